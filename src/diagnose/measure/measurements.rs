//! All that is measured of rows and of a network apart from its training.
use crate::{
    data::{Dataset, Split},
    diagnose::{
        FirstLoss, LeakCheck, OneBatchReport, OneBatchTest, ScaleCheck, TwoSampleReport, TwoSampleTest,
    },
    evaluate::SplitCheck,
    plan::RunSpec,
    train::Trainer,
    Network, Result, Seed,
};
use candle_core::Device;

/// What is measured of the rows and of a network apart from its training. Each part is `None` where it has not been
/// measured.
///
/// An [`Examination`](crate::diagnose::Examination) measures all of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Measurements {
    /// The scales of inputs and targets.
    pub scales: Option<ScaleCheck>,
    /// How well each column alone predicts the target.
    pub leaks: Option<LeakCheck>,
    /// The check of the split into training and validation rows.
    pub split: Option<SplitCheck>,
    /// Whether training and validation rows can be told apart; `None` also where there are too few of them.
    pub two_sample: Option<TwoSampleReport>,
    /// The loss before the first step.
    pub first_loss: Option<FirstLoss>,
    /// Whether the network can fit one batch.
    pub one_batch: Option<OneBatchReport>,
}

/// What becomes of a measurement that fails, for example because the inputs are images.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnFailure {
    /// Its error is returned.
    Fail,
    /// It is left out.
    LeaveOut,
}

impl OnFailure {
    fn take<T>(self, measured: Result<T>) -> Result<Option<T>> {
        match self {
            Self::Fail => measured.map(Some),
            Self::LeaveOut => Ok(measured.ok()),
        }
    }
}

impl Measurements {
    /// Adds what is measured of the rows, whatever the network.
    pub(crate) fn of_rows(
        self,
        data: &dyn Dataset,
        split: &Split,
        test: &TwoSampleTest,
        seed: Seed,
        failed: OnFailure,
    ) -> Result<Self> {
        let (train, valid) = (&split.train, &split.test);
        let two_sample = match test.enough(data, train, valid) {
            true => failed.take(test.run(data, train, valid, seed))?,
            false => None,
        };
        Ok(Self {
            scales: failed.take(ScaleCheck::of(data, train))?,
            leaks: failed.take(LeakCheck::of(data, train))?,
            split: failed.take(SplitCheck::of(data, train, valid))?,
            two_sample,
            ..self
        })
    }

    /// Adds what is measured of the network of a run before it is trained.
    pub(crate) fn of_network<N: Network>(
        self,
        trainer: &Trainer<N>,
        data: &dyn Dataset,
        run: &RunSpec,
        (test, device): (&OneBatchTest, &Device),
        failed: OnFailure,
    ) -> Result<Self> {
        Ok(Self {
            first_loss: failed.take(FirstLoss::of(trainer, data, run, device))?,
            one_batch: failed.take(test.run(trainer, data, run, device))?,
            ..self
        })
    }
}
