//! One weight for each slot and class.
use crate::{
    combine::{
        blend::{
            known::known,
            matrix::SlotMatrix,
            means::Means,
            simplex::{CellLoss, SimplexProblem},
            simplex_squares::{cell_targets, squares_for},
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
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). For values the target of
/// an output takes the place of the indicator, which is
/// [`SimplexSquares`](crate::combine::SimplexSquares) for each output. For classes, each row of the combined
/// predictions is divided by its sum; [`Fit::objective`] is the Brier score after that. Where predictions are
/// missing, the weights of a class are divided by the sum of those that are there; if that is 0, the class
/// gets the mean of the slots that predict the row.
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
        let (rows, slots) = known(held_out)?;
        let table = HeldOutTable::of(&rows)?;
        let (found, mut fit) = with_predictions!(table, |all| fit_classes(&table, all))?;
        // A slot of which nothing is known gets the weight 0.
        let spread = |found: &Vec<f64>| {
            let mut weights = vec![0.; held_out.names().len()];
            slots.iter().zip(found).for_each(|(slot, weight)| weights[*slot] = *weight);
            weights
        };
        let weights = found.iter().map(spread).collect();
        let mut fitted = FittedPerClass {
            names: held_out.names().to_vec(),
            weights,
            fit: fit.clone(),
            on: FittedOn::new(held_out),
        };
        fit.objective = held_out.rows_with_weight()?.loss_of(&fitted, &squares_for(table.task))?;
        fitted.fit = fit;
        Ok(fitted)
    }
}

/// The weights of each class, and the effort; the objective is not set yet.
fn fit_classes<T: Number>(table: &HeldOutTable, all: &[T]) -> (Vec<Vec<f64>>, Fit) {
    let (_, rows, width) = table.dims();
    let (targets, share) = cell_targets(table);
    let mut fit = Fit { objective: f64::NAN, iterations: 0, gap: None };
    let (mut found, mut gap) = (vec![], 0.);
    for class in 0..width {
        let column: Vec<T> = all.iter().skip(class).step_by(width).copied().collect();
        let truth: Vec<f64> = targets.iter().skip(class).step_by(width).copied().collect();
        let means = Means::new(SlotMatrix::new(&column, rows), table.coverage.as_ref(), 1);
        let loss = CellLoss::Squares(&truth);
        let problem = SimplexProblem { means: &means, loss, weights: &table.weights, penalty: 0. };
        let solution = problem.solve(None);
        fit.iterations += solution.steps;
        gap += share * solution.gap;
        found.push(solution.weights);
    }
    fit.gap = table.coverage.is_none().then_some(gap);
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
        let values = predictions.values();
        let (device, dtype) = (values.device(), values.dtype());
        let weights = Tensor::from_vec(self.weights.concat(), (width, slots), device)?.to_dtype(dtype)?;
        let weights_of = |slot: usize| weights.narrow(1, slot, 1)?.reshape((1, width));
        // Slot by slot, because a product of all predictions at once would take as much memory as they do.
        let mut predicted = (values.get(0)?.zeros_like()?, None);
        for slot in 0..slots {
            let (mut part, weight) =
                (values.get(slot)?.broadcast_mul(&weights_of(slot)?)?, weights_of(slot)?);
            if let Some(covered) = predictions.covered() {
                let there = covered.get(slot)?.unsqueeze(1)?;
                let mask = there.broadcast_as(part.shape())?.gt(0f64)?;
                part = mask.where_cond(&part, &part.zeros_like()?)?;
                let total = there.broadcast_mul(&weight)?;
                predicted.1 = Some(match predicted.1 {
                    None => total,
                    Some(sum) => (sum + total)?,
                });
            }
            predicted.0 = (predicted.0 + part)?;
        }
        let predicted = match predicted {
            (sums, None) => sums,
            (sums, Some(totals)) => {
                let mean = predictions.mean_over_slots(values)?;
                totals.gt(0f64)?.where_cond(&(sums / &totals)?, &mean)?
            }
        };
        match predictions.task() {
            Task::Regression { .. } => Ok(predicted),
            Task::Classification { .. } => to_probabilities(&predicted),
        }
    }
}
