//! Any fitted rule, so that one can be chosen at run time and kept in a file.
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{
        stack::{AffineModel, LogisticModel, Mlp, NeuralNetworkModel},
        *,
    },
    network::Scale,
    predictions::*,
    prune::FittedPruned,
    HeldOut, Result,
};
use serde::{Deserialize, Serialize};

macro_rules! any {
    ($($variant:ident($head:ty)),* $(,)?) => {
        /// Any fitted rule.
        #[derive(Debug, Serialize, Deserialize)]
        #[allow(clippy::large_enum_variant)] // there is one of them
        pub enum AnyFitted {
            $($variant($head),)*
        }

        $(impl From<$head> for AnyFitted {
            fn from(head: $head) -> Self {
                Self::$variant(head)
            }
        })*

        impl AnyFitted {
            fn inner(&self) -> &dyn FittedCombiner {
                match self {
                    $(Self::$variant(head) => head,)*
                }
            }
        }
    };
}

any! {
    Mean(Mean),
    Weighted(Weighted),
    GeometricMean(GeometricMean),
    LogOddsMean(LogOddsMean),
    HardVote(HardVote),
    WeightedVote(WeightedVote),
    Product(Product),
    Minimum(Minimum),
    Maximum(Maximum),
    Median(Median),
    TrimmedMean(TrimmedMean),
    WinsorizedMean(WinsorizedMean),
    RankAverage(RankAverage),
    BordaCount(BordaCount),
    PerClass(FittedPerClass),
    KnoraE(FittedKnoraE),
    KnoraU(FittedKnoraU),
    MetaDes(FittedMetaDes),
    Gating(FittedGating),
    StackAffine(FittedStack<AffineModel>),
    StackLogistic(FittedStack<LogisticModel>),
    StackNetwork(FittedStack<NeuralNetworkModel<Mlp>>),
    CalibratedMean(FittedCalibrated<Mean>),
    Calibrated(FittedCalibrated<Box<AnyFitted>>),
    OnCalibrated(FittedOnCalibrated<Box<AnyFitted>>),
    Pruned(FittedPruned<Box<AnyFitted>>),
    MultiLayerStack(FittedMultiLayerStack<Vec<AnyFitted>, Box<AnyFitted>>),
}

impl FittedCombiner for AnyFitted {
    fn name(&self) -> String {
        self.inner().name()
    }

    fn scale(&self) -> Scale {
        self.inner().scale()
    }

    fn weights(&self) -> Option<&[f64]> {
        self.inner().weights()
    }

    fn fitted(&self) -> Option<&Fit> {
        self.inner().fitted()
    }

    fn needs_inputs(&self) -> bool {
        self.inner().needs_inputs()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        self.inner().combine(predictions)
    }
}

/// A rule whose fitted form is any rule's.
#[derive(Debug)]
pub struct Any<C>(pub C);

impl<C: Combiner> Combiner for Any<C>
where
    C::Fitted: Into<AnyFitted>,
{
    type Fitted = AnyFitted;

    fn fit(&self, held_out: &HeldOut) -> Result<AnyFitted> {
        Ok(self.0.fit(held_out)?.into())
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}

/// A rule that was chosen at run time.
#[derive(Debug)]
pub struct AnyRule(pub Box<dyn Combiner<Fitted = AnyFitted>>);

impl Combiner for AnyRule {
    type Fitted = AnyFitted;

    fn fit(&self, held_out: &HeldOut) -> Result<AnyFitted> {
        self.0.fit(held_out)
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}

/// The same, for within another rule: what is in itself needs a box.
#[derive(Debug)]
pub struct Boxed(pub AnyRule);

impl Combiner for Boxed {
    type Fitted = Box<AnyFitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Box<AnyFitted>> {
        Ok(Box::new(self.0.fit(held_out)?))
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}
