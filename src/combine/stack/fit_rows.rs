//! The held-out rows as the tables that a fit by linfa needs.
use crate::{combine::stack::MetaDataset, data::Task, kernels::cpu, Error, Result};
use candle_core::{Result as CandleResult, Tensor};
use ndarray::{Array1, Array2, Axis};

/// The held-out rows with a weight above 0, in double precision.
#[derive(Debug)]
pub struct FitRows {
    pub(super) features: Array2<f64>,
    /// For each class 1 where a row has it and 0 elsewhere, or the values of each output.
    pub(super) targets: Vec<Array1<f64>>,
    pub(super) weights: Array1<f64>,
    /// The classes that some row has, in order.
    pub(super) present: Vec<usize>,
}

impl FitRows {
    /// # Errors
    /// When there are fewer than two rows or, for classes, fewer than two classes; when a meta-feature is not
    /// finite.
    pub(super) fn of(dataset: &MetaDataset<'_>, learner: &str) -> Result<Self> {
        let weights = dataset.weights()?;
        let keep: Vec<usize> = (0..weights.len()).filter(|row| weights[*row] > 0.).collect();
        if keep.len() < 2 {
            let must = format!("at least 2 for {learner}");
            return Err(Error::invalid("number of held-out rows with a weight above 0", must, keep.len()));
        }
        let features = to_f64(dataset.features())?.select(Axis(0), &keep);
        if let Some(bad) = features.iter().find(|x| !x.is_finite()) {
            return Err(Error::invalid("the meta-features", format!("finite for {learner}"), bad));
        }
        let kept = |column: Vec<f64>| keep.iter().map(|row| column[*row]).collect::<Array1<_>>();
        let targets: Vec<_> = dataset.target_columns()?.into_iter().map(kept).collect();
        if let Some(bad) = targets.iter().flatten().find(|y| !y.is_finite()) {
            return Err(Error::invalid("the targets", format!("finite for {learner}"), bad));
        }
        let has = |class: &usize| targets[*class].iter().any(|is| *is > 0.);
        let present: Vec<usize> = match dataset.task() {
            Task::Classification { classes } => (0..classes).filter(has).collect(),
            Task::Regression { .. } => vec![],
        };
        if let [only] = present[..] {
            let must = format!("two or more for {learner}");
            return Err(Error::invalid("the classes of the held-out rows", must, format!("only {only}")));
        }
        Ok(Self { features, targets, weights: kept(weights), present })
    }

    pub(super) fn count(&self) -> usize {
        self.features.nrows()
    }
}

/// The table `(B, F)` in f64 on the CPU.
pub(super) fn to_f64(features: &Tensor) -> CandleResult<Array2<f64>> {
    let shape = features.dims2()?;
    let all = cpu::with_slice(features, |x: &[f64]| x.to_vec())?;
    Array2::from_shape_vec(shape, all).map_err(candle_core::Error::wrap)
}

/// Checks that the task is regression.
pub(super) fn check_regression(task: Task, learner: &str) -> Result<()> {
    match task {
        Task::Regression { .. } => Ok(()),
        Task::Classification { .. } => {
            let must = format!("regression, since {learner} is for values");
            Err(Error::invalid("the task", must, "classification"))
        }
    }
}
