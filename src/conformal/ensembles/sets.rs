//! Sets of classes that are fitted for an ensemble.
use super::intervals::check_fit;
use crate::{
    combine::{FittedCombiner, FittedOn},
    conformal::{ClassConformal, ClassProbabilities, EmptySets, PredictionSets},
    predictions::Predictions,
    HeldOut, Result, Seed,
};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

/// Conformal sets of classes that are fitted for the members of an ensemble: what [`ClassSets`](super::ClassSets) becomes.
///
/// [`Ensemble::predict_sets`](crate::Ensemble::predict_sets) applies them to new inputs. They are data and can be saved with
/// serde, beside the ensemble's own file. They remember the classes, the combiner and the number of members, and refuse
/// predictions of others.
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
    fitted: ClassConformal,
    empty: EmptySets,
    seed: Option<Seed>,
}

impl ConformalSets {
    pub(super) fn new(
        alpha: f64,
        rows: &HeldOut,
        combiner: &dyn FittedCombiner,
        fitted: ClassConformal,
        (empty, seed): (EmptySets, Option<Seed>),
    ) -> Self {
        let (on, combiner, rows) = (FittedOn::new(rows), combiner.name(), rows.rows().len());
        Self { alpha, rows, combiner, on, fitted, empty, seed }
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

    /// The score of the classes and its quantiles.
    #[must_use]
    pub fn fitted(&self) -> &ClassConformal {
        &self.fitted
    }

    /// Whether the sets need the numbers of the groups of new rows.
    #[must_use]
    pub fn by_group(&self) -> bool {
        self.fitted.by_group()
    }

    /// The sets of new rows, from the predictions of all slots, which `combiner` combines. `groups` are the groups of the
    /// rows, where the quantiles are [by group](Self::by_group).
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
        let values = probabilities(&combiner.combine(predictions)?)?;
        let values = ClassProbabilities::new(&values, self.on.task().width())?;
        // The draws of new rows are not those of the calibration rows.
        self.fitted.predict(&values, groups, self.empty, self.seed)
    }
}

/// Combined probabilities as numbers, row by row.
pub(super) fn probabilities(combined: &Tensor) -> Result<Vec<f64>> {
    Ok(combined.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
