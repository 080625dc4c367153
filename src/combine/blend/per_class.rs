//! One weight for each slot and class.
use crate::{
    combine::{
        blend::{
            matrix::SlotMatrix,
            simplex::{CellLoss, SimplexProblem},
            simplex_squares::cell_targets,
        },
        check_fitted_on,
        fixed::weighted::{finite_weights, one_name_a_slot, to_probabilities},
        held_out_table::{with_predictions, HeldOutTable, Number},
        Combiner, Fit, FittedCombiner, FittedOn,
    },
    data::Task,
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Finds weights of the slots for each class, or each output, separately.
///
/// ```text
/// min Σ_i ω_i (Σ_s w_s,c p_s,i,c − [y_i = c])²  over  w_c ≥ 0, Σ_s w_s,c = 1,  for each c
/// ```
///
/// It learns from complete held-out predictions `(S, R, C)` (slots, rows, classes or outputs). For values the
/// target of an output takes the place of the indicator, which is
/// [`SimplexSquares`](crate::combine::SimplexSquares) for each output. For classes, each row of the combined
/// predictions is divided by its sum.
///
/// Use it for members that differ in which classes they predict well. It has `S C` weights, so it takes more
/// held-out rows than one weight for each slot.
///
/// The cost is that of `SimplexSquares` for each class.
///
/// # Errors
/// [`Combiner::fit`] fails when candle fails. The fitted combiner fails for another number of slots or
/// classes.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, PerClass}, data::Task, predictions::Predictions, HeldOut};
///
/// // Two outputs; each member predicts one of them exactly.
/// let y = Tensor::new(&[[1f64, 2.], [3., 1.], [2., 5.]], &Device::Cpu)?;
/// let (one, other) = (Tensor::new(&[0f64, 1.], &Device::Cpu)?, Tensor::new(&[1f64, 0.], &Device::Cpu)?);
/// let predicted = Tensor::stack(&[y.broadcast_add(&one)?, y.broadcast_add(&other)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = PerClass.fit(&held_out)?;
/// assert!(fitted.class_weights()[0][0] > 0.999 && fitted.class_weights()[1][1] > 0.999);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kuncheva 2014, Combining Pattern Classifiers, section 5.3 (class-dependent weights).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerClass;

/// The fitted [`PerClass`]: one weight for each slot and class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPerClass {
    names: Vec<String>,
    weights: Vec<Vec<f64>>,
    fit: Fit,
    on: FittedOn,
}

impl FittedPerClass {
    /// Returns the weight of each slot, for each class or output: `[class][slot]`.
    #[must_use]
    pub fn class_weights(&self) -> &[Vec<f64>] {
        &self.weights
    }

    /// Returns the slots' names, in the order of the weights.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Combiner for PerClass {
    type Fitted = FittedPerClass;

    fn fit(&self, held_out: &HeldOut) -> Result<FittedPerClass> {
        let table = HeldOutTable::of(held_out)?;
        let (weights, fit) = with_predictions!(table, |all| fit_classes(&table, all))?;
        Ok(FittedPerClass { names: held_out.names().to_vec(), weights, fit, on: FittedOn::new(held_out) })
    }
}

/// The weights of each class, and the sum of the losses over the classes.
fn fit_classes<T: Number>(table: &HeldOutTable, all: &[T]) -> (Vec<Vec<f64>>, Fit) {
    let (_, rows, width) = table.dims();
    let (targets, share) = cell_targets(table);
    let mut fit = Fit { objective: 0., iterations: 0, gap: None };
    let (mut found, mut gap) = (vec![], 0.);
    for class in 0..width {
        let column: Vec<T> = all.iter().skip(class).step_by(width).copied().collect();
        let truth: Vec<f64> = targets.iter().skip(class).step_by(width).copied().collect();
        let (matrix, loss) = (SlotMatrix::new(&column, rows), CellLoss::Squares(&truth));
        let problem = SimplexProblem { matrix, loss, weights: &table.weights, penalty: 0. };
        let solution = problem.solve(None);
        fit.objective += share * solution.loss;
        fit.iterations += solution.steps;
        gap += share * solution.gap;
        found.push(solution.weights);
    }
    fit.gap = Some(gap);
    (found, fit)
}

impl FittedCombiner for FittedPerClass {
    fn name(&self) -> String {
        "per-class".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn check(&self) -> Result<()> {
        self.on.check(self.names.len())?;
        if self.weights.len() != self.on.task().width() {
            let must = format!("{}, as in the fit", self.on.task().width());
            return Err(Error::invalid("number of classes or outputs", must, self.weights.len()));
        }
        for weights in &self.weights {
            one_name_a_slot(&self.names, weights.len())?;
            finite_weights(&self.names, weights)?;
        }
        Ok(())
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        let (slots, _, width) = predictions.values().dims3()?;
        let filled = predictions.fill_missing()?;
        let (device, dtype) = (filled.values().device(), filled.values().dtype());
        let weights = Tensor::from_vec(self.weights.concat(), (width, slots), device)?.to_dtype(dtype)?;
        // Slot by slot, because a product of all predictions at once would take as much memory as they do.
        let mut predicted = None;
        for slot in 0..slots {
            let part =
                filled.values().get(slot)?.broadcast_mul(&weights.narrow(1, slot, 1)?.flatten_all()?)?;
            predicted = Some(match predicted {
                None => part,
                Some(predicted) => (predicted + part)?,
            });
        }
        let Some(predicted) = predicted else { candle_core::bail!("no predictions") };
        match predictions.task() {
            Task::Regression { .. } => Ok(predicted),
            Task::Classification { .. } => to_probabilities(&predicted),
        }
    }
}
