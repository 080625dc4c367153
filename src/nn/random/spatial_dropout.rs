//! Dropout of whole channels.
use crate::{
    check::below_one,
    nn::random::{of_elements, Draws},
    Error,
};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::VarBuilder;

macro_rules! spatial_dropout {
    ($(#[$doc:meta])* $name:ident, $rank:literal, $shape:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            p: f64,
            draws: Draws,
        }

        impl $name {
            /// A layer that drops channels with probability `p`, in [0, 1). Each layer needs a name of its
            /// own, such as `vb.pp("dropout")`.
            ///
            /// # Errors
            /// When `p` is out of range, or the `VarBuilder` cannot draw integers.
            pub fn new(p: f64, vb: VarBuilder<'_>) -> Result<Self> {
                below_one(concat!("the probability of ", stringify!($name)), p)?;
                Ok(Self { p, draws: Draws::new(&vb)? })
            }

            /// The variable `seed`.
            pub(in crate::nn) fn seed(&self) -> &Tensor {
                &self.draws.seed
            }

            /// The probability with which channels are dropped.
            pub(in crate::nn) fn probability(&self) -> f64 {
                self.p
            }
        }

        impl ModuleT for $name {
            fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
                if x.rank() != $rank {
                    let what = concat!("the shape of the inputs of ", stringify!($name));
                    return Err(Error::invalid(what, $shape, format_args!("{:?}", x.dims())).into());
                }
                match train && self.p > 0. {
                    true => drop_channels(x, self.p, &self.draws),
                    false => Ok(x.clone()),
                }
            }
        }
    };
}

spatial_dropout! {
    /// Dropout of whole channels of sequences: sets each channel of each row to 0 with probability `p` in
    /// training, and does nothing in evaluation.
    ///
    /// ```text
    /// y[b, c, :] = 0 with probability p,   y[b, c, :] = x[b, c, :] / (1 − p) otherwise
    /// ```
    ///
    /// Inputs have the shape `(B, C, L)`, the channels second, and any floating-point type; outputs have the
    /// same. It is PyTorch's `Dropout1d`; Keras' `SpatialDropout1D` has the channels last.
    ///
    /// Use it in place of [`Dropout`](crate::nn::Dropout) between convolutions: neighbouring elements of a
    /// channel are alike, so a single dropped element tells the next layer little. Do not use it where there
    /// are few channels. Cost: one random number for each channel and row. Masks are seeded as those of
    /// [`Dropout`](crate::nn::Dropout) are.
    ///
    /// # Errors
    /// The forward pass fails for inputs of another rank.
    ///
    /// # Source
    /// Tompson et al. 2015, arXiv:1411.4280.
    ///
    /// ```
    /// use candle_core::{DType, Device, ModuleT, Tensor};
    /// use candle_ensemble::{nn::SpatialDropout1d, weights::fresh};
    ///
    /// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// let dropout = SpatialDropout1d::new(0.5, vb.pp("dropout"))?;
    /// let y = dropout.forward_t(&Tensor::ones((4, 8, 3), DType::F32, &Device::Cpu)?, true)?;
    /// assert!(y.to_vec3::<f32>()?.concat().iter().all(|c| *c == [0.; 3] || *c == [2.; 3]));
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    SpatialDropout1d, 3, "(rows, channels, length)"
}

spatial_dropout! {
    /// Dropout of whole channels of images: sets each channel of each row to 0 with probability `p` in
    /// training, and does nothing in evaluation.
    ///
    /// ```text
    /// y[b, c, :, :] = 0 with probability p,   y[b, c, :, :] = x[b, c, :, :] / (1 − p) otherwise
    /// ```
    ///
    /// Inputs have the shape `(B, C, H, W)`, the channels second, and any floating-point type; outputs have
    /// the same. It is PyTorch's `Dropout2d`; Keras' `SpatialDropout2D` has the channels last unless told
    /// otherwise.
    ///
    /// Use it in place of [`Dropout`](crate::nn::Dropout) between convolutions: neighbouring pixels of a
    /// channel are alike, so a single dropped pixel tells the next layer little. Do not use it where there
    /// are few channels. Cost: one random number for each channel and row. Masks are seeded as those of
    /// [`Dropout`](crate::nn::Dropout) are.
    ///
    /// # Errors
    /// The forward pass fails for inputs of another rank.
    ///
    /// # Source
    /// Tompson et al. 2015, arXiv:1411.4280.
    ///
    /// ```
    /// use candle_core::{DType, Device, ModuleT, Tensor};
    /// use candle_ensemble::{nn::SpatialDropout2d, weights::fresh};
    ///
    /// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// let dropout = SpatialDropout2d::new(0.5, vb.pp("dropout"))?;
    /// let y = dropout.forward_t(&Tensor::ones((4, 8, 2, 3), DType::F32, &Device::Cpu)?, true)?;
    /// let channels = y.flatten_from(2)?.to_vec3::<f32>()?.concat();
    /// assert!(channels.iter().all(|c| *c == [0.; 6] || *c == [2.; 6]));
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    SpatialDropout2d, 4, "(rows, channels, height, width)"
}

/// The first two dimensions count the channels of all rows.
fn drop_channels(x: &Tensor, p: f64, draws: &Draws) -> Result<Tensor> {
    let channels: usize = x.dims()[..2].iter().product();
    let inner: usize = x.dims()[2..].iter().product();
    let mask = draws.mask(p, channels, 0., (1. / (1. - p)) as f32)?;
    let each = mask.into_iter().flat_map(|factor| std::iter::repeat_n(factor, inner)).collect();
    x * of_elements::<f32>(each, x.shape(), x)?
}
