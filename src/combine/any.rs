//! Combiners that are chosen at run time.
#[cfg(feature = "learned")]
use crate::combine::{
    stack::{AffineModel, LogisticModel, Mlp, NeuralNetworkModel, TweedieModel},
    FittedCalibrated, FittedGating, FittedKnoraE, FittedKnoraU, FittedMetaDes, FittedMultiLayerStack,
    FittedOnCalibrated, FittedPerClass, FittedStack,
};
use crate::{
    combine::{
        forward, BordaCount, Combiner, FittedCombiner, FittedPruned, GeometricMean, HardVote, LogOddsMean,
        Maximum, Mean, Median, Minimum, Product, RankAverage, TrimmedMean, Weighted, WeightedVote,
        WinsorizedMean,
    },
    data::Task,
    HeldOut, HeldOutFile, Result, Seed,
};
use serde::{de::Error as _, Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;

macro_rules! any_fitted {
    ($($(#[$only:meta])* $variant:ident($fitted:ty)),* $(,)?) => {
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
        // Gives functions of these names; the traits are implemented below.
        #[serde(remote = "Self")]
        #[non_exhaustive]
        pub enum AnyFitted {
            $(
                #[doc = concat!("A fitted combiner of the type `", stringify!($fitted), "`.")]
                $(#[$only])*
                $variant($fitted),
            )*
        }

        $($(#[$only])* impl From<$fitted> for AnyFitted {
            fn from(fitted: $fitted) -> Self {
                Self::$variant(fitted)
            }
        })*

        impl AnyFitted {
            fn inner(&self) -> &dyn FittedCombiner {
                match self {
                    $($(#[$only])* Self::$variant(fitted) => fitted,)*
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
    Pruned(FittedPruned<Box<AnyFitted>>),
    #[cfg(feature = "learned")]
    PerClass(FittedPerClass),
    #[cfg(feature = "learned")]
    KnoraE(FittedKnoraE),
    #[cfg(feature = "learned")]
    KnoraU(FittedKnoraU),
    #[cfg(feature = "learned")]
    MetaDes(FittedMetaDes),
    #[cfg(feature = "learned")]
    Gating(FittedGating),
    #[cfg(feature = "learned")]
    StackAffine(FittedStack<AffineModel>),
    #[cfg(feature = "learned")]
    StackLogistic(FittedStack<LogisticModel>),
    #[cfg(feature = "learned")]
    StackNetwork(FittedStack<NeuralNetworkModel<Mlp>>),
    #[cfg(feature = "learned")]
    CalibratedMean(FittedCalibrated<Mean>),
    #[cfg(feature = "learned")]
    Calibrated(FittedCalibrated<Box<AnyFitted>>),
    #[cfg(feature = "learned")]
    OnCalibrated(FittedOnCalibrated<Box<AnyFitted>>),
    #[cfg(feature = "learned")]
    MultiLayerStack(FittedMultiLayerStack<Vec<Box<AnyFitted>>, Box<AnyFitted>>),
    #[cfg(feature = "learned")]
    StackTweedie(FittedStack<TweedieModel>),
}

impl Serialize for AnyFitted {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        AnyFitted::serialize(self, serializer)
    }
}

/// Limits how deep combiners are nested, so that no file can overflow the stack.
impl<'de> Deserialize<'de> for AnyFitted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let too_deep = || D::Error::custom(format!("combiners are nested more than {MAX_DEPTH} deep"));
        let _level = Level::enter().ok_or_else(too_deep)?;
        AnyFitted::deserialize(deserializer)
    }
}

/// How deep combiners may be nested in a file.
const MAX_DEPTH: usize = 32;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// One level of nesting; it ends when this is dropped.
struct Level;

impl Level {
    fn enter() -> Option<Self> {
        let depth = DEPTH.get();
        (depth < MAX_DEPTH).then(|| {
            DEPTH.set(depth + 1);
            Self
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl FittedCombiner for AnyFitted {
    forward!(Self::inner; name, scale, is_mean, weights, fitted, fitted_on, needs_inputs, check, combine);
}

/// Any combiner of this crate, chosen at run time: what [`registry`](crate::combine::registry()) makes from a
/// name.
///
/// It is itself a combiner, so it can be calibrated, pruned, judged and stacked like any other.
///
/// ```
/// use candle_ensemble::combine::{self, AnyCombiner, Combiner, EnsembleSelection};
///
/// let chosen = combine::registry().parse("trimmed-mean:0.1")?;
/// let made = AnyCombiner::new(EnsembleSelection::new(20));
/// assert!(!chosen.needs_held_out() && made.needs_held_out());
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
    /// assert!(combine::registry().parse("ensemble-selection")?.fixed()?.is_none());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn fixed(&self) -> Result<Option<Box<AnyFitted>>> {
        if self.needs_held_out() {
            return Ok(None);
        }
        let no_rows = HeldOut::none(
            Task::Regression { outputs: 1 },
            vec!["member 0".into()],
            vec![1.],
            0,
            Seed::from(0),
        )?;
        Ok(Some(self.fit(&no_rows)?))
    }
}

impl Combiner for AnyCombiner {
    type Fitted = Box<AnyFitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Box<AnyFitted>> {
        self.0.fit(held_out)
    }

    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Box<AnyFitted>> {
        self.0.fit_on_disk(held_out)
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

    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Box<AnyFitted>> {
        Ok(Box::new(self.0.fit_on_disk(held_out)?.into()))
    }

    fn needs_held_out(&self) -> bool {
        self.0.needs_held_out()
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn combiners_are_nested_up_to_a_limit() {
        let task = Task::Regression { outputs: 1 };
        let held_out = HeldOut::none(task, vec!["a".into()], vec![1.], 0, Seed::from(0)).unwrap();
        let nested = |levels: usize| {
            (1..levels).fold(AnyFitted::from(Mean), |inner, _| {
                AnyFitted::from(FittedPruned::new(vec![0], &held_out, Box::new(inner)))
            })
        };
        let decoded = |levels| codec::decode::<AnyFitted>(&codec::encode(&nested(levels)).unwrap());
        assert!(decoded(MAX_DEPTH).is_ok());
        assert!(decoded(MAX_DEPTH + 1).unwrap_err().contains("nested more than 32 deep"));
        // An error leaves the depth as it was.
        assert!(decoded(MAX_DEPTH).is_ok());
    }
}
