//! Any fitted rule, so that one can be chosen at run time and kept in a file.
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{
        stack::{AffineModel, LogisticModel, Mlp, NetworkModel},
        *,
    },
    network::Scale,
    predictions::*,
    prune::PrunedHead,
    HeldOut, Result,
};
use serde::{Deserialize, Serialize};

macro_rules! any {
    ($($variant:ident($head:ty)),* $(,)?) => {
        /// Any fitted rule.
        #[derive(Debug, Serialize, Deserialize)]
        #[allow(clippy::large_enum_variant)] // there is one of them
        pub enum AnyHead {
            $($variant($head),)*
        }

        $(impl From<$head> for AnyHead {
            fn from(head: $head) -> Self {
                Self::$variant(head)
            }
        })*

        impl AnyHead {
            fn inner(&self) -> &dyn Head {
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
    MeanLog(MeanLog),
    MeanLogit(MeanLogit),
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
    PerClass(PerClassHead),
    KnoraE(KnoraEHead),
    KnoraU(KnoraUHead),
    MetaDes(MetaDesHead),
    Gating(GatingHead),
    StackAffine(StackHead<AffineModel>),
    StackLogistic(StackHead<LogisticModel>),
    StackNetwork(StackHead<NetworkModel<Mlp>>),
    CalibratedMean(CalibratedHead<Mean>),
    Calibrated(CalibratedHead<Box<AnyHead>>),
    OnCalibrated(OnCalibratedHead<Box<AnyHead>>),
    Pruned(PrunedHead<Box<AnyHead>>),
    Layers(LayersHead<Vec<AnyHead>, Box<AnyHead>>),
}

impl Head for AnyHead {
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

    fn wants_inputs(&self) -> bool {
        self.inner().wants_inputs()
    }

    fn combine(&self, voices: &Voices) -> CandleResult<Tensor> {
        self.inner().combine(voices)
    }
}

/// A rule whose fitted form is any rule's.
#[derive(Debug)]
pub struct Any<C>(pub C);

impl<C: Combiner> Combiner for Any<C>
where
    C::Head: Into<AnyHead>,
{
    type Head = AnyHead;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<AnyHead> {
        Ok(self.0.fit(held_out)?.into())
    }

    fn wants_inputs(&self) -> bool {
        self.0.wants_inputs()
    }
}

/// A rule that was chosen at run time.
#[derive(Debug)]
pub struct AnyRule(pub Box<dyn Combiner<Head = AnyHead>>);

impl Combiner for AnyRule {
    type Head = AnyHead;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<AnyHead> {
        self.0.fit(held_out)
    }

    fn wants_inputs(&self) -> bool {
        self.0.wants_inputs()
    }
}

/// The same, for within another rule: what is in itself needs a box.
#[derive(Debug)]
pub struct Boxed(pub AnyRule);

impl Combiner for Boxed {
    type Head = Box<AnyHead>;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<Box<AnyHead>> {
        Ok(Box::new(self.0.fit(held_out)?))
    }

    fn wants_inputs(&self) -> bool {
        self.0.wants_inputs()
    }
}
