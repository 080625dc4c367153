//! Networks that a run may turn into one network of many members.
use crate::{
    data::Dataset,
    nn::{many::EfficientEnsemble, Sequential},
    plan::{RunSpec, Settings},
    train::{Learner, Trainer},
    AnyNetwork, Error, Result,
};
use candle_core::Result as CandleResult;
use candle_nn::VarBuilder;

/// The setting of a run that names the method by which its network holds many members.
pub(crate) const EFFICIENT_ENSEMBLE: &str = "efficient_ensemble";

/// The method that the settings of a run name.
fn method(settings: &Settings) -> Result<Option<EfficientEnsemble>> {
    let text = settings.text(EFFICIENT_ENSEMBLE)?;
    text.map(|text| EfficientEnsemble::registry().parse(text)).transpose()
}

/// Checks a run, and whether the learner carries out what not every learner does and none may leave out silently.
pub(crate) fn check_run<L: Learner + ?Sized>(learner: &L, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
    if let Some(method) = method(&run.settings)?
        && !learner.converts(&run.architecture)
    {
        let RunSpec { architecture, .. } = run;
        let must = format!(
            "one that carries out the setting {EFFICIENT_ENSEMBLE:?} for {architecture:?}, such as \
             Trainer::convertible"
        );
        return Err(Error::invalid(
            "the learner",
            must,
            format!("another one, which cannot make a {method}"),
        ));
    }
    learner.check(run, data)
}

/// The constructor of the network of a run: that of `plain`, or one of many members.
fn converting(
    plain: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<Sequential> + Send + Sync + 'static,
) -> impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<AnyNetwork> + Send + Sync + 'static {
    move |settings, vb| match method(settings)? {
        None => plain(settings, vb).map(AnyNetwork::new),
        Some(method) => method.convert(vb, |vb| plain(settings, vb)).map(AnyNetwork::new),
    }
}

/// What the constructor reads of the settings of a run.
fn and_method<'r>(reads: &[&'r str]) -> Vec<&'r str> {
    reads.iter().copied().chain([EFFICIENT_ENSEMBLE]).collect()
}

impl Trainer<AnyNetwork> {
    /// Trains the network that the constructor `plain` builds of layers, or one of many members that is made of it: a run with
    /// the setting `"efficient_ensemble"`, such as `"tab-m:32"`, gets what
    /// [`EfficientEnsemble::convert`](crate::nn::many::EfficientEnsemble::convert) makes of the constructor.
    ///
    /// [`Efficient`](crate::strategy::Efficient) gives the setting to runs; `efficient:tab-m:32` is its text. So one trainer
    /// trains plain networks and those of every method, and a [`Study`](crate::evaluate::Study) compares them. Without the setting
    /// the weights are those of [`Trainer::reading`] to the bit, and with it those of a constructor that converts by itself.
    ///
    /// `reads` names the other settings of the run that the constructor reads, such as a width, as for [`Trainer::reading`].
    ///
    /// Use it where a strategy or a command line chooses the method. Where there is one method only, let the constructor of
    /// [`Trainer::new`] convert.
    ///
    /// # Errors
    /// A session refuses a method that is unknown or has a parameter out of range, and layers that cannot be converted, before
    /// it trains.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::TensorDataset, evaluate::Study, nn::{linear, seq, Activation}, train::Trainer, Session};
    ///
    /// let trainer = Trainer::convertible(&["hidden"], |settings, vb| {
    ///     let hidden = settings.count("hidden")?.unwrap_or(8);
    ///     Ok(seq().add(linear(2, hidden, vb.pp(0))?).add(Activation::Relu).add(linear(hidden, 1, vb.pp(1))?))
    /// })
    /// .epochs(3);
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sqr()?.sum(1)?)?;
    /// let test = TensorDataset::regression(&x.affine(1., 0.01)?, &x.affine(1., 0.01)?.sqr()?.sum(1)?)?;
    /// let report = Study::new(Session::new(&trainer, &data), &test)
    ///     .strategies("bootstrap:4,efficient:tab-m:8,k-fold:3+efficient:heads:4")?
    ///     .combinations("mean")?
    ///     .repeats(2)
    ///     .run(42)?;
    /// println!("{}", report.table());
    /// assert_eq!(report.ensembles[1].members, 8);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn convertible(
        reads: &[&str],
        plain: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<Sequential> + Send + Sync + 'static,
    ) -> Self {
        Self::reading(&and_method(reads), converting(plain))
    }

    /// Adds an architecture that a run may turn into one network of many members, or replaces the architecture of the same
    /// name; see [`Trainer::convertible`].
    #[must_use]
    pub fn convertible_architecture(
        self,
        name: &str,
        reads: &[&str],
        plain: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<Sequential> + Send + Sync + 'static,
    ) -> Self {
        self.architecture_reading(name, &and_method(reads), converting(plain))
    }
}
