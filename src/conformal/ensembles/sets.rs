//! Sets of classes that are fitted for an ensemble.
use super::intervals::check_fit;
use crate::{
    combine::{FittedCombiner, FittedOn},
    conformal::{ClassConformal, ClassProbabilities, CrossClassConformal, EmptySets, PredictionSets},
    predictions::Predictions,
    Error, HeldOut, Result, Seed,
};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

/// Conformal sets of classes that are fitted for the members of an ensemble: what [`ClassSets`](super::ClassSets) and
/// [`CrossSets`](super::CrossSets) become.
///
/// [`Ensemble::predict_sets`](crate::Ensemble::predict_sets) applies them to new inputs. They are data and can be saved with
/// serde, beside the ensemble's own file. They remember the classes, the combiner and the number of members (with the names
/// of the members, where they are known), and refuse predictions of others.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, conformal::*, data::Task, predictions::Predictions, HeldOut};
///
/// let (cpu, task) = (Device::Cpu, Task::Classification { classes: 2 });
/// let rows = Tensor::new(&[[[0.75f64, 0.25], [0.875, 0.125], [0.625, 0.375]]], &cpu)?;
/// let labels = Tensor::new(&[0u32, 0, 0], &cpu)?;
/// let calibration = HeldOut::from_predictions(&Predictions::new(rows, task)?, &labels)?;
/// let fitted = ClassSets::new(0.25).fit(&calibration, &Mean)?; // scores up to 0.375
/// let new = Predictions::new(Tensor::new(&[[[0.7f64, 0.3], [0.5, 0.5]]], &cpu)?, task)?;
/// assert_eq!(fitted.predict(&new, &Mean, None)?.sizes(), [1, 1]); // the second would be empty
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConformalSets {
    alpha: f64,
    rows: usize,
    combiner: String,
    on: FittedOn,
    kind: Kind,
    empty: EmptySets,
    seed: Option<Seed>,
}

/// The fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Split(ClassConformal),
    Cross(CrossClassConformal),
}

impl ConformalSets {
    pub(super) fn new(
        alpha: f64,
        rows: &HeldOut,
        combiner: &dyn FittedCombiner,
        kind: Kind,
        (empty, seed): (EmptySets, Option<Seed>),
    ) -> Self {
        let (on, combiner, rows) = (FittedOn::new(rows), combiner.name(), rows.rows().len());
        Self { alpha, rows, combiner, on, kind, empty, seed }
    }

    /// The share of rows whose class the sets may miss.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The number of calibration rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The score of the classes and its quantiles; `None` for cross-conformal sets, which have no common quantile.
    #[must_use]
    pub fn fitted(&self) -> Option<&ClassConformal> {
        match &self.kind {
            Kind::Split(fitted) => Some(fitted),
            Kind::Cross(_) => None,
        }
    }

    /// Whether the sets need the numbers of the groups of new rows.
    #[must_use]
    pub fn by_group(&self) -> bool {
        self.fitted().is_some_and(ClassConformal::by_group)
    }

    /// Whether the sets are made of the predictions of members rather than slots.
    pub(crate) fn of_members(&self) -> bool {
        matches!(self.kind, Kind::Cross(_))
    }

    /// The sets of new rows, from the predictions of all slots, which `combiner` combines. `groups` are the groups of the
    /// rows, where the quantiles are [by group](Self::by_group).
    ///
    /// For cross-conformal sets, the predictions are those of the members
    /// ([`Pool::predictions_per_member`](crate::Pool::predictions_per_member)).
    ///
    /// # Errors
    /// When the classes, the combiner, or the number of members are not those of the fit; when a prediction is missing or no
    /// probability; when groups are missing or superfluous.
    pub fn predict(
        &self,
        predictions: &Predictions,
        combiner: &dyn FittedCombiner,
        groups: Option<&[u32]>,
    ) -> Result<PredictionSets> {
        check_fit("conformal sets", &self.on, &self.combiner, predictions, combiner)?;
        // The draws of new rows are not those of the calibration rows.
        match &self.kind {
            Kind::Split(fitted) => {
                let values = probabilities(&combiner.combine(predictions)?)?;
                let values = ClassProbabilities::new(&values, self.on.task().width())?;
                fitted.predict(&values, groups, self.empty, self.seed)
            }
            Kind::Cross(_) if groups.is_some() => {
                Err(Error::invalid("groups of the new rows", "left out, as the fit had none", "given"))
            }
            Kind::Cross(fitted) => {
                fitted.predict(&probabilities(predictions.values())?, self.empty, self.seed)
            }
        }
    }
}

/// Probabilities as numbers, row by row.
pub(super) fn probabilities(combined: &Tensor) -> Result<Vec<f64>> {
    Ok(combined.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
