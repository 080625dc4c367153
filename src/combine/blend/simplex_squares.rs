//! The weights on the simplex with the least squared error.
use crate::{
    combine::{
        blend::{
            known::fit_known,
            matrix::SlotMatrix,
            means::Means,
            on_disk::{factor, file_matrix, known_slots, residual_products, Scratch},
            penalty::{penalized, PenalizedFit},
            simplex::CellLoss,
        },
        file_rows::FileRows,
        fit_loaded,
        held_out_table::{with_predictions, HeldOutTable, Number},
        Combiner, Penalty, Weighted,
    },
    data::Task,
    metrics::{RowLoss, Truth},
    HeldOut, HeldOutFile, Result,
};
use serde::{Deserialize, Serialize};

/// Finds the weights with the least squared error on the held-out rows.
///
/// ```text
/// min Σ_i ω_i ‖Σ_s w_s p_s,i − y_i‖² + λ ‖w − 1/S‖²  over  w ≥ 0, Σ w = 1
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). For classes `y_i` is the
/// indicator of the true class, so the loss is the Brier score; for values the loss is the mean over the
/// outputs. The problem is a convex quadratic program, solved by clarabel;
/// [`Fit::gap`](crate::combine::Fit) is an upper bound of the distance from the minimum. Members with the
/// same predictions have equal weights. Where predictions are missing, the mean of a row is that of the slots
/// that predict it, with their weights divided by the sum of these. That is not convex; Gauss–Newton searches
/// start at equal weights and end at the lowest minimum that they reach, without a gap.
///
/// Use it as the default for values when there are at least some hundred held-out rows. With fewer rows, add
/// a [`penalty`](Self::penalty). Where members are biased or their scale is wrong,
/// [`LeastSquares`](crate::combine::LeastSquares) or a [`Stack`](crate::combine::Stack) can correct it.
///
/// The cost is a few passes over the predictions, `S² R C` multiplications, and a quadratic program of `S`
/// variables.
///
/// # Errors
/// [`Combiner::fit`] fails when the penalty is negative, NaN, or cross-validated in fewer than two folds.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, SimplexSquares}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// // The first member is 1 too high, the second is 3 too low.
/// let y = Tensor::arange(0f64, 9., &Device::Cpu)?.reshape((9, 1))?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 3.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = SimplexSquares::new().fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 0.75).abs() < 1e-9);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Breiman 1996, doi:10.1007/BF00117832 (stacked regressions).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimplexSquares {
    penalty: Penalty,
}

penalized!(SimplexSquares);

impl Combiner for SimplexSquares {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        self.penalty.check()?;
        fit_known(held_out, |held_out| {
            let table = HeldOutTable::of(held_out)?;
            with_predictions!(table, |all| self.fit_table(held_out, &table, all))?
        })
    }

    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Weighted> {
        self.penalty.check()?;
        let Some(lambda) = self.penalty.fixed() else { return fit_loaded(self, held_out) };
        match (held_out.is_partial(), held_out.is_wide()) {
            (false, _) => fit_products(held_out, lambda),
            (true, false) => fit_partial::<f32>(held_out, lambda),
            (true, true) => fit_partial::<f64>(held_out, lambda),
        }
    }
}

const NAMES: [&str; 2] = ["simplex-squares", "shrunk-squares"];

/// Fits weights to a file without missing predictions. The squared error depends on the rows only through the products of the
/// members' residuals, so it is that of a table of at most `S` cells with the same products.
fn fit_products(file: &HeldOutFile, lambda: f64) -> Result<Weighted> {
    let slots: Vec<usize> = (0..file.slots()).collect();
    let (table, cells) = factor(residual_products(file)?, slots.len());
    let fit = PenalizedFit {
        names: NAMES,
        means: Means::covered(SlotMatrix::new(&table, cells), None, 1),
        loss: CellLoss::Squares(&vec![0.; cells]),
        criterion: squares_for(file.task()),
        row_weights: &vec![1.; cells],
        width: 1,
        share: 1.,
    };
    fit.fit_on_disk(file, &slots, lambda)
}

/// Fits weights to a file with missing predictions, in passes over all of it.
fn fit_partial<T: Number>(file: &HeldOutFile, lambda: f64) -> Result<Weighted> {
    let (slots, width) = (known_slots(file), file.task().width());
    let rows = FileRows::of(file)?;
    let (targets, share) = targets_of_cells(&rows.truth, width);
    let there = Scratch::of_coverage(file, &slots, 1)?;
    let matrix = file_matrix::<T>(file, &slots)?;
    let fit = PenalizedFit {
        names: NAMES,
        means: Means::covered(matrix, there.as_ref().map(Scratch::matrix).transpose()?, width),
        loss: CellLoss::Squares(&targets),
        criterion: squares_for(file.task()),
        row_weights: &rows.weights,
        width,
        share,
    };
    fit.fit_on_disk(file, &slots, lambda)
}

impl SimplexSquares {
    fn fit_table<T: Number>(&self, held_out: &HeldOut, table: &HeldOutTable, all: &[T]) -> Result<Weighted> {
        let (_, _, width) = table.dims();
        let (targets, share) = cell_targets(table);
        let fit = PenalizedFit {
            names: NAMES,
            means: Means::of_table(table, all, width),
            loss: CellLoss::Squares(&targets),
            criterion: squares_for(table.task),
            row_weights: &table.weights,
            width,
            share,
        };
        fit.fit(held_out, self.penalty)
    }
}

/// The squared error as a mean over rows: the Brier score for classes.
pub(crate) fn squares_for(task: Task) -> RowLoss {
    match task {
        Task::Classification { .. } => RowLoss::Brier,
        Task::Regression { .. } => RowLoss::Squared,
    }
}

/// The target of each cell, `(R, C)`, and the share of its row's loss that each cell has.
pub(crate) fn cell_targets(table: &HeldOutTable) -> (Vec<f64>, f64) {
    targets_of_cells(&table.truth, table.dims().2)
}

/// The same for `width` cells of each row.
pub(crate) fn targets_of_cells(truth: &Truth, width: usize) -> (Vec<f64>, f64) {
    match truth {
        Truth::Values(values) => (values.clone(), 1. / width as f64),
        Truth::Classes(ids) => {
            let mut targets = vec![0.; ids.len() * width];
            targets.chunks_exact_mut(width).zip(ids).for_each(|(row, id)| {
                if let Some(y) = row.get_mut(*id as usize) {
                    *y = 1.;
                }
            });
            (targets, 1.)
        }
    }
}
