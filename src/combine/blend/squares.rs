//! The shares with the least squared error.
use crate::{
    combine::{
        blend::{penalty::Blend, simplex::Loss, table::Table},
        held_out_table::HeldOutTable,
        Combiner, Penalty, Weighted,
    },
    data::Task,
    kernels::float::Number,
    metrics::Truth,
    HeldOut, Result,
};
use serde::{Deserialize, Serialize};

/// The shares with the least squared error on the held-out rows: `min Σ_i ω_i ‖Σ_s w_s p_s,i − y_i‖²` over `w ≥ 0`,
/// `Σ w = 1`. For classes that is the Brier score, with `y_i` the indicator of the true class; for values the mean over
/// outputs. An exact convex quadratic programme, solved by clarabel; its gap is in [`Fit::gap`](crate::combine::Fit).
/// Members that say the same share what weight they have between them.
///
/// Source: Breiman 1996, doi:10.1007/BF00117832 (stacked regressions).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, SimplexSquares}, data::Task, predictions::Predictions, HeldOut};
///
/// // One says one too much, one three too little.
/// let y = Tensor::arange(0f64, 9., &Device::Cpu)?.reshape((9, 1))?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 3.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = SimplexSquares::new().fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 0.75).abs() < 1e-9);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimplexSquares {
    strength: Penalty,
}

impl SimplexSquares {
    /// Without a penalty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a penalty towards equal weights, `λ ‖w − 1/S‖²`: useful where held-out rows are few. The fitted's name
    /// tells `λ`.
    #[must_use]
    pub fn towards_equal(self, strength: Penalty) -> Self {
        Self { strength }
    }
}

impl Combiner for SimplexSquares {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        self.strength.check()?;
        let held_out_table = HeldOutTable::of(&held_out)?;
        match held_out_table.task {
            Task::Classification { .. } => {
                held_out_table.with(|all: &[f32]| self.on(&held_out, &held_out_table, all))?
            }
            Task::Regression { .. } => {
                held_out_table.with(|all: &[f64]| self.on(&held_out, &held_out_table, all))?
            }
        }
    }
}

impl SimplexSquares {
    fn on<T: Number>(
        &self,
        held_out: &HeldOut,
        held_out_table: &HeldOutTable,
        all: &[T],
    ) -> Result<Weighted> {
        let (_, rows, width) = held_out_table.dims();
        let (targets, share) = targets(held_out_table);
        let (table, loss) = (Table::new(all, rows * width), Loss::Squares(&targets));
        let (rules, row_weights) = (["simplex-squares", "shrunk-squares"], held_out_table.weights.as_slice());
        Blend { rules, table, loss, row_weights, width, share }.fit(held_out, self.strength)
    }
}

/// What each cell of `(R, C)` should say, and each one's share of its row's loss.
pub(crate) fn targets(held_out_table: &HeldOutTable) -> (Vec<f64>, f64) {
    let (_, rows, width) = held_out_table.dims();
    match &held_out_table.truth {
        Truth::Values(values) => (values.clone(), 1. / width as f64),
        Truth::Classes(ids) => {
            let mut targets = vec![0.; rows * width];
            targets.chunks_exact_mut(width).zip(ids).for_each(|(row, id)| {
                if let Some(y) = row.get_mut(*id as usize) {
                    *y = 1.;
                }
            });
            (targets, 1.)
        }
    }
}
