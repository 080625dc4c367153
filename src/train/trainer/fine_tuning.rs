//! The setters of fine-tuning: from which weights runs start, what is trained, and how fast.
use crate::{
    train::{trainer::starts::Starts, Freeze, LayerDecay, ParameterGroups, Trainer, Unfreeze, WarmStart},
    Network,
};

impl<N: Network> Trainer<N> {
    /// Starts every run from the weights of another network, in place of fresh ones.
    #[must_use]
    pub fn warm_start(mut self, start: WarmStart) -> Self {
        self.starts = Starts::Same(start);
        self
    }

    /// Starts each run from weights of its own: the run with the number `i` in its plan from the `i`-th of these. Members
    /// that start from different networks differ more than those that start from one.
    ///
    /// A run's setting `"warm_start"` names another one by its number, so that several runs may start from the same
    /// weights. A run for which there is none is an error when the plan is trained, before its first run.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{prelude::*, plan::Settings, train::WarmStart, Result};
    ///
    /// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.affine(0.1, -1.)?.reshape((10, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?;
    ///
    /// let starts = pool.weights().into_iter().map(|weights| WarmStart::new(weights.clone()));
    /// let tuning = trainer.clone().warm_starts(starts.collect::<Result<Vec<_>>>()?);
    /// let tuned = Session::new(&tuning, &data).fit(&MultiRun::new(3), 2)?;
    /// assert!(Session::new(&tuning, &data).fit(&MultiRun::new(4), 2).is_err());
    /// // Two runs from each network.
    /// let settings = (0..6).map(|run| Settings::new().with("warm_start", run / 2));
    /// let twice = Session::new(&tuning, &data).fit(&MultiRun::new(6).settings(settings), 2)?;
    /// assert_eq!((tuned.members().len(), twice.members().len()), (3, 6));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn warm_starts(mut self, starts: impl IntoIterator<Item = WarmStart>) -> Self {
        self.starts = Starts::Each(starts.into_iter().collect());
        self
    }

    /// Sets which variables are not trained. By default all are. Their gradients are not computed, for which the
    /// constructor of the network is called once more.
    #[must_use]
    pub fn freeze(mut self, freeze: impl Into<Freeze>) -> Self {
        self.config.freeze = freeze.into();
        self
    }

    /// Sets from which epoch frozen variables are trained after all: an epoch, or an [`Unfreeze`]. By default they stay
    /// frozen.
    #[must_use]
    pub fn unfreeze(mut self, unfreeze: impl Into<Unfreeze>) -> Self {
        self.config.unfreeze = unfreeze.into();
        self
    }

    /// Gives parts of the network a learning rate, weight decay or schedule of their own: a
    /// [`ParameterGroup`](crate::train::ParameterGroup), or several collected into [`ParameterGroups`]. The default is
    /// none.
    #[must_use]
    pub fn parameter_groups(mut self, groups: impl Into<ParameterGroups>) -> Self {
        self.config.parameter_groups = groups.into();
        self
    }

    /// Lets the learning rate fall from the last layer to the first, by a factor or as a [`LayerDecay`] says. By default
    /// all layers have the same.
    #[must_use]
    pub fn layer_decay(mut self, decay: impl Into<LayerDecay>) -> Self {
        self.config.layer_decay = Some(decay.into());
        self
    }
}
