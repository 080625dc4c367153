//! A learner made of constructors and a training loop, given as a closure.
use crate::{
    data::Dataset,
    network::Output,
    plan::{RunSpec, Settings},
    train::{
        networks::{learner_methods, network_setters, Networks},
        Learner, Run,
    },
    weights::InitScheme,
    Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// A learner that trains networks with a closure.
///
/// The closure receives the network and its [`Run`], and returns when the network is trained. It may use any
/// optimizer, any loss and any number of epochs. A loop without calls to [`Run::end_epoch`] is enough where
/// one member is collected at the end of each run.
///
/// Before the loop, the network predicts one or two rows, so that an output of the wrong shape is an error
/// before anything is trained. After the loop, a variable that is NaN or infinite is an error.
///
/// Use it when a training loop exists already, or when [`Trainer`](crate::train::Trainer) lacks what the
/// training needs. To compute the tag or to check settings, implement [`Learner`] instead.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::Bagging, train::CustomLoop, Session};
/// use candle_nn::{linear, loss, AdamW, Optimizer};
///
/// let x = Tensor::arange(0f32, 32., &Device::Cpu)?.reshape((16, 2))?;
/// let y = x.sum(1)?;
/// let data = TensorDataset::regression(x.clone(), &y)?;
///
/// // The tag describes the loop.
/// let learner = CustomLoop::new("AdamW 1e-2, 3 epochs", |vb| linear(2, 1, vb), |network, run| {
///     let mut optimizer = AdamW::new_lr(run.vars().all_vars(), 1e-2)?;
///     for epoch in 0..3 {
///         for batch in run.batches(epoch, 8) {
///             let batch = batch?;
///             let out = candle_core::Module::forward(network, batch.inputs.only()?)?.squeeze(1)?;
///             optimizer.backward_step(&loss::mse(&out, &batch.targets)?)?;
///         }
///     }
///     Ok(())
/// });
/// let ensemble = Session::new(&learner, &data).fit(&Bagging::new(3), 7)?.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [16, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub struct CustomLoop<N, F> {
    tag: String,
    networks: Networks<N>,
    init: InitScheme,
    fit: F,
    epochs: usize,
}

impl<N, F> std::fmt::Debug for CustomLoop<N, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomLoop")
            .field("tag", &self.tag)
            .field("architectures", &self.networks.names())
            .finish_non_exhaustive()
    }
}

impl<N: Network, F: Fn(&N, &mut Run<'_>) -> CandleResult<()> + Sync> CustomLoop<N, F> {
    /// Trains the network that the constructor `new` builds with the loop `fit`. The architecture is called
    /// `"model"`.
    ///
    /// `tag` describes everything in the loop that affects the result, such as the optimizer and the number
    /// of epochs; see [`Learner::tag`].
    pub fn new(
        tag: impl Into<String>,
        new: impl Fn(VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
        fit: F,
    ) -> Self {
        let networks = Networks::new(&[], move |_, vb| new(vb));
        Self { tag: tag.into(), networks, init: InitScheme::default(), fit, epochs: 0 }
    }

    network_setters!(init);

    /// Adds an architecture whose constructor reads settings of the run, such as a width, or replaces the
    /// architecture of the same name.
    #[must_use]
    pub fn architecture_reading(
        mut self,
        name: &str,
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.networks.add(name, &[], new);
        self
    }

    /// Sets how many epochs the loop runs. Strategies that collect members within a run need the number, and
    /// progress bars show it. The default is 0, which means that the number is not known.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }
}

impl<N: Network, F: Fn(&N, &mut Run<'_>) -> CandleResult<()> + Sync> Learner for CustomLoop<N, F> {
    learner_methods!();

    fn init(&self, _settings: &Settings) -> Result<InitScheme> {
        Ok(self.init.clone())
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        run.try_network(network, self.networks.output)?;
        (self.fit)(network, run)
    }

    fn tag(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.tag, self.init, self.networks.dtype, self.networks.output)
    }

    fn epochs(&self, _: &RunSpec) -> usize {
        self.epochs
    }

    /// The loop may read any setting, so only the name of the architecture is checked.
    fn check(&self, run: &RunSpec, _: &dyn Dataset) -> Result<()> {
        run.collect.check(self.epochs)?;
        self.networks.check_name(&run.architecture)
    }
}
