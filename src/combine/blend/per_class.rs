//! One weight for each slot and class.
use crate::{
    combine::{
        blend::{
            simplex::{Loss, Problem},
            squares::targets,
            table::Table,
        },
        fixed::weighted::{finite_weights, one_name_a_slot, to_probabilities},
        held_out_table::HeldOutTable,
        Combiner, Fit, FittedCombiner,
    },
    data::Task,
    kernels::cpu::Number,
    predictions::Predictions,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Shares of the slots for each class, or each output, by themselves: for class `c` those with the least squared error
/// of `Σ_s w_s,c p_s,i,c` on the indicator of that class (one against the rest), `w_c` on the simplex. What comes out
/// is normalised over the classes. For several outputs it is [`SimplexSquares`](crate::combine::SimplexSquares) for each.
///
/// For members of which each knows some classes better than others. It has as many weights as there are slots and
/// classes, so it takes more held-out rows than one weight a slot. Source: Kuncheva 2014, Combining Pattern
/// Classifiers, section 5.3 (class-dependent weights).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, PerClass}, data::Task, predictions::Predictions, HeldOut};
///
/// // Two outputs; each member knows one.
/// let y = Tensor::new(&[[1f64, 2.], [3., 1.], [2., 5.]], &Device::Cpu)?;
/// let (one, other) = (Tensor::new(&[0f64, 1.], &Device::Cpu)?, Tensor::new(&[1f64, 0.], &Device::Cpu)?);
/// let predicted = Tensor::stack(&[y.broadcast_add(&one)?, y.broadcast_add(&other)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 2 })?, &y)?;
/// let fitted = PerClass.fit(&held_out)?;
/// assert!(fitted.of_classes()[0][0] > 0.999 && fitted.of_classes()[1][1] > 0.999);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerClass;

/// [`PerClass`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPerClass {
    names: Vec<String>,
    weights: Vec<Vec<f64>>,
    fit: Fit,
}

impl FittedPerClass {
    /// For each class or output, the weight of each slot.
    #[must_use]
    pub fn of_classes(&self) -> &[Vec<f64>] {
        &self.weights
    }

    /// The slots' names, in the order of the weights.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Combiner for PerClass {
    type Fitted = FittedPerClass;

    fn fit(&self, held_out: &HeldOut) -> Result<FittedPerClass> {
        let held_out_table = HeldOutTable::of(&held_out)?;
        let (weights, fit) = match held_out_table.task {
            Task::Classification { .. } => {
                held_out_table.with(|all: &[f32]| class_by_class(&held_out_table, all))?
            }
            Task::Regression { .. } => {
                held_out_table.with(|all: &[f64]| class_by_class(&held_out_table, all))?
            }
        };
        Ok(FittedPerClass { names: held_out.names().to_vec(), weights, fit })
    }
}

/// The weights, and the sum of the losses over the classes.
fn class_by_class<T: Number>(held_out_table: &HeldOutTable, all: &[T]) -> (Vec<Vec<f64>>, Fit) {
    let (_, rows, width) = held_out_table.dims();
    let (targets, share) = targets(held_out_table);
    let mut fit = Fit { objective: 0., iterations: 0, gap: None };
    let (mut found, mut gap) = (vec![], 0.);
    for class in 0..width {
        let column: Vec<T> = all.iter().skip(class).step_by(width).copied().collect();
        let truth: Vec<f64> = targets.iter().skip(class).step_by(width).copied().collect();
        let (table, loss) = (Table::new(&column, rows), Loss::Squares(&truth));
        let solution = Problem { table, loss, weights: &held_out_table.weights, strength: 0. }.solve(None);
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

    fn check(&self) -> Result<()> {
        for weights in &self.weights {
            one_name_a_slot(&self.names, weights.len())?;
            finite_weights(&self.names, weights)?;
        }
        Ok(())
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let (slots, _, width) = predictions.values().dims3()?;
        if slots != self.names.len() || width != self.weights.len() {
            let (s, w) = (self.names.len(), self.weights.len());
            candle_core::bail!(
                "per-class was fitted on {s} predictions of {w} numbers, not {slots} of {width}"
            );
        }
        let filled = predictions.fill_missing()?;
        let (device, dtype) = (filled.values().device(), filled.values().dtype());
        let weights = Tensor::from_vec(self.weights.concat(), (width, slots), device)?.to_dtype(dtype)?;
        // Slot by slot: a product with all predictions at once would be as large as they are.
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
