//! The networks of a pool's members.
use crate::{
    data::Inputs,
    pool::Pool,
    predictions::live::{Constructor, LiveMember},
    train::Learner,
    Error, Result,
};
use candle_core::Result as CandleResult;

impl<L: Learner> Pool<'_, L> {
    /// Builds the network of the member at this position, with its weights.
    ///
    /// # Errors
    /// When there is no such member, when it scales its inputs or targets ([`on_network`](Self::on_network) scales the
    /// inputs), or candle cannot build the network.
    pub fn network(&self, position: usize) -> Result<L::Network> {
        self.live(position)?.into_network()
    }

    /// What `f` makes of the network of the member at this position and of inputs, which it gets as the network does: the
    /// columns that the member was trained on, scaled as they were.
    ///
    /// Use it for what a network computes besides its predictions, such as the features of a hidden layer.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::Scaling, prelude::*, uncertainty::Mahalanobis};
    /// use candle_nn::{linear, Activation, VarBuilder};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(2., 100.)?.reshape((40, 2))?;
    /// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// let data = TensorDataset::classification(&x, &y)?;
    /// let network = |vb: VarBuilder| {
    ///     Ok(seq().add(linear(2, 4, vb.pp("hidden"))?).add(Activation::Gelu).add(linear(4, 2, vb.pp("out"))?))
    /// };
    /// let trainer = Trainer::new(network).input_scaling(Scaling::Standardize).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?;
    ///
    /// let features = pool.on_network(0, &x, |network, inputs| network.forward_first(2, inputs.only()?))?;
    /// let distances = Mahalanobis::fit(&features, data.labels().unwrap_or_default(), 0.1)?.distances(&features)?;
    /// assert_eq!(distances.len(), 40);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such member, candle cannot build the network, or the inputs do not fit it; that of `f`.
    pub fn on_network<T>(
        &self,
        position: usize,
        inputs: impl Into<Inputs>,
        f: impl FnOnce(&L::Network, &Inputs) -> CandleResult<T>,
    ) -> Result<T> {
        let inputs = inputs.into().to_device(&self.device)?;
        Ok(self.live(position)?.on_network(&inputs, f)?)
    }

    fn live(&self, position: usize) -> Result<LiveMember<L::Network>> {
        let must = || format!("below {}, the number of members", self.members.len());
        let member = self.members.get(position);
        let member = member.ok_or_else(|| Error::invalid("a member's position", must(), position))?;
        Constructor::of(self.learner).build(member, &self.device)
    }
}
