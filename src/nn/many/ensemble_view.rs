//! The rows of a batch, once for each member.
use crate::nn::{many::check_members, stack};
use candle_core::{Module, Result, Tensor};

/// The rows of a batch, once for each member: `(B, …)` to `(M·B, …)`, the rows of one member after those of the other.
///
/// ```text
/// x_m = x, m = 1 … M
/// ```
///
/// Layers of this module take the rows of each member, so this stands where the rows that all members share become those of
/// each: at the latest before they are added to rows of members, as by a skip connection. Inputs have any type. A layer with
/// `shared_inputs` does the same without a copy of the rows, so it is the better choice where nothing else needs them.
///
/// # Errors
/// [`new`](Self::new) fails when there are no members.
///
/// # Source
/// Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210: `EnsembleView` of the package `tabm`.
///
/// ```
/// use candle_core::{Device::Cpu, Module, Tensor};
/// use candle_ensemble::nn::many::EnsembleView;
///
/// let x = Tensor::new(&[[1f32, 2.], [3., 4.]], &Cpu)?;
/// let y = EnsembleView::new(2)?.forward(&x)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[1., 2.], [3., 4.], [1., 2.], [3., 4.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EnsembleView {
    members: usize,
}

impl EnsembleView {
    /// The rows of so many members. Take the number from a layer with variables of members, of which a pruned network has
    /// fewer.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(members: usize) -> Result<Self> {
        check_members("EnsembleView", members)?;
        Ok(Self { members })
    }
}

impl Module for EnsembleView {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (networks, members) = (stack::parts(), self.members);
        let (rows, others) = (stack::rows_of_each(x.dim(0)?)?, x.dims().get(1..).unwrap_or_default());
        let size = rows * others.iter().product::<usize>();
        let all = x.contiguous()?.reshape((networks, 1, size))?.broadcast_as((networks, members, size))?;
        all.contiguous()?.reshape([&[networks * members * rows], others].concat())
    }
}
