//! Combiners that are chosen at run time.
use crate::{
    combine::{
        forward,
        stack::{AffineModel, LogisticModel, Mlp, NeuralNetworkModel},
        BordaCount, Combiner, FittedCalibrated, FittedCombiner, FittedGating, FittedKnoraE, FittedKnoraU,
        FittedMetaDes, FittedMultiLayerStack, FittedOnCalibrated, FittedPerClass, FittedPruned, FittedStack,
        GeometricMean, HardVote, LogOddsMean, Maximum, Mean, Median, Minimum, Product, RankAverage,
        TrimmedMean, Weighted, WeightedVote, WinsorizedMean,
    },
    data::Task,
    HeldOut, Result, Seed,
};
use serde::{Deserialize, Serialize};

macro_rules! any_fitted {
    ($($variant:ident($fitted:ty)),* $(,)?) => {
        /// Any fitted combiner of this crate, so that one that was chosen at run time can be kept in a file.
        ///
        /// ```
        /// use candle_ensemble::combine::{load_combiner, save_combiner, AnyFitted, FittedCombiner, Mean};
        /// # let folder = tempfile::tempdir()?;
        /// # let path = folder.path().join("mean.combiner");
        /// save_combiner(&path, &AnyFitted::from(Mean))?;
        /// assert_eq!(load_combiner::<AnyFitted>(&path)?.name(), "mean");
        /// # Ok::<_, Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum AnyFitted {
            $(
                #[doc = concat!("A fitted combiner of the type `", stringify!($fitted), "`.")]
                $variant($fitted),
            )*
        }

        $(impl From<$fitted> for AnyFitted {
            fn from(fitted: $fitted) -> Self {
                Self::$variant(fitted)
            }
        })*

        impl AnyFitted {
            fn inner(&self) -> &dyn FittedCombiner {
                match self {
                    $(Self::$variant(fitted) => fitted,)*
                }
            }
        }
    };
}

// A new type goes to the end: files have the position of the type.
any_fitted! {
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
    MultiLayerStack(FittedMultiLayerStack<Vec<Box<AnyFitted>>, Box<AnyFitted>>),
}

impl FittedCombiner for AnyFitted {
    forward!(Self::inner; name, scale, is_mean, weights, fitted, needs_inputs, check, combine);
}

/// Any combiner of this crate, chosen at run time: what [`registry`](crate::combine::registry) makes from a name.
///
/// It is itself a combiner, so it can be calibrated, pruned, judged and stacked like any other.
///
/// ```
/// use candle_ensemble::combine::{self, AnyCombiner, Calibrate, Calibration, SimplexSquares};
///
/// let chosen = combine::registry().parse("trimmed-mean:0.1")?;
/// let made = AnyCombiner::new(SimplexSquares::new());
/// let calibrated = chosen.calibrated(Calibration::Temperature);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct AnyCombiner(Box<dyn Combiner<Fitted = Box<AnyFitted>>>);

impl AnyCombiner {
    /// This combiner.
    #[must_use]
    pub fn new<C: Combiner + 'static>(combiner: C) -> Self
    where
        C::Fitted: Into<AnyFitted>,
    {
        Self(Box::new(Erased(combiner)))
    }

    /// The fitted combiner, if there is nothing to fit ([`Combiner::needs_held_out`]).
    ///
    /// # Errors
    /// When a parameter is out of range.
    ///
    /// ```
    /// use candle_ensemble::combine;
    ///
    /// assert!(combine::registry().parse("median")?.fixed()?.is_some());
    /// assert!(combine::registry().parse("ridge")?.fixed()?.is_none());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn fixed(&self) -> Result<Option<Box<AnyFitted>>> {
        if self.needs_held_out() {
            return Ok(None);
        }
        let no_rows = HeldOut::none(Task::Regression { outputs: 1 }, vec![], vec![], 0, Seed::from(0))?;
        Ok(Some(self.fit(&no_rows)?))
    }
}

impl Combiner for AnyCombiner {
    type Fitted = Box<AnyFitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Box<AnyFitted>> {
        self.0.fit(held_out)
    }

    fn needs_held_out(&self) -> bool {
        self.0.needs_held_out()
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}

/// A combiner, with its fitted type erased.
#[derive(Debug)]
struct Erased<C>(C);

impl<C: Combiner> Combiner for Erased<C>
where
    C::Fitted: Into<AnyFitted>,
{
    type Fitted = Box<AnyFitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Box<AnyFitted>> {
        Ok(Box::new(self.0.fit(held_out)?.into()))
    }

    fn needs_held_out(&self) -> bool {
        self.0.needs_held_out()
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}
