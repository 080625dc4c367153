//! A learner made of constructors and a training loop of the user's own.
use crate::{
    data::Dataset,
    network::Output,
    plan::{RunSpec, Settings},
    train::{architectures::Architectures, Learner, Run},
    weights::InitScheme,
    Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// Networks, and the closure that fits one.
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
/// // The loop, as it would stand without this library. The tag names what it does.
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
    architectures: Architectures<N>,
    fit: F,
    init: InitScheme,
    dtype: DType,
    output: Output,
    epochs: usize,
}

impl<N, F> std::fmt::Debug for CustomLoop<N, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomLoop")
            .field("tag", &self.tag)
            .field("architectures", &self.architectures.names())
            .finish_non_exhaustive()
    }
}

impl<N: Network, F: Fn(&N, &mut Run<'_>) -> CandleResult<()> + Sync> CustomLoop<N, F> {
    /// The network that `new` makes, called `"model"`, fitted by `fit`; `tag` names what the loop does
    /// ([`Learner::tag`]).
    pub fn new(
        tag: impl Into<String>,
        new: impl Fn(VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
        fit: F,
    ) -> Self {
        let mut architectures = Architectures::new();
        architectures.add("model", &[], move |_, vb| new(vb));
        Self {
            tag: tag.into(),
            architectures,
            fit,
            init: InitScheme::default(),
            dtype: DType::F32,
            output: Output::default(),
            epochs: 0,
        }
    }

    /// Adds an architecture, or replaces the one of that name.
    #[must_use]
    pub fn architecture(
        mut self,
        name: &str,
        new: impl Fn(VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.architectures.add(name, &[], move |_, vb| new(vb));
        self
    }

    /// How many epochs the loop does, for strategies that take members within a run and for progress bars.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The same, for a constructor that reads settings of the run, such as a width.
    #[must_use]
    pub fn architecture_reading(
        mut self,
        name: &str,
        new: impl Fn(&Settings, VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.architectures.add(name, &[], new);
        self
    }

    /// How initial weights are drawn.
    #[must_use]
    pub fn init(mut self, init: InitScheme) -> Self {
        self.init = init;
        self
    }

    /// Type of the weights; f32, if not set.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// What the networks put out for classes; logits, if not set.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }
}

impl<N: Network, F: Fn(&N, &mut Run<'_>) -> CandleResult<()> + Sync> Learner for CustomLoop<N, F> {
    type Network = N;

    fn architectures(&self) -> Vec<String> {
        self.architectures.names()
    }

    fn build(&self, name: &str, settings: &Settings, vb: VarBuilder<'_>) -> CandleResult<N> {
        self.architectures.build(name, settings, vb)
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        (self.fit)(network, run)
    }

    fn tag(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.tag, self.init, self.dtype, self.output)
    }

    fn epochs(&self, _: &RunSpec) -> usize {
        self.epochs
    }

    fn init(&self) -> InitScheme {
        self.init
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn output(&self) -> Output {
        self.output
    }

    /// The loop may read any setting, so only the architecture's name is checked.
    fn check(&self, run: &RunSpec, _: &dyn Dataset) -> Result<()> {
        run.collect.check(self.epochs)?;
        self.architectures.check(&run.architecture, &Settings::new(), &[])
    }
}
