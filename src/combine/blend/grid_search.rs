//! Every combination of a few levels.
use crate::{
    combine::{
        blend::search::{searched, By, Worth},
        Combiner, Weighted,
    },
    metrics::Criterion,
    Error, HeldOut, Result,
};
use rayon::prelude::*;

/// Points a task.
const POINTS: u64 = 256;

/// The best of all weights on a grid, `{0, 1/n, …, 1}^S`, each point divided by its sum, by any [`Criterion`].
///
/// Points in order, the last slot's level changing fastest; points whose levels are all equal (the mean, and nothing)
/// are skipped; of equals the first wins. The criterion is the accuracy for classes and the squared error for values,
/// unless predicted otherwise, and `n` is 10. A grid grows as `(n + 1)^S`: beyond [`GridSearch::most`] points it is refused.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, GridSearch, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = GridSearch::new().fit(&held_out)?;
/// let weights = fitted.weights().unwrap();
/// assert!((weights[0] - 2. / 3.).abs() < 1e-12); // 0.2 : 0.1, the first of its kind
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GridSearch {
    steps: usize,
    most: u64,
    by: By,
}

impl Default for GridSearch {
    fn default() -> Self {
        Self::new()
    }
}

impl GridSearch {
    /// Eleven levels.
    #[must_use]
    pub fn new() -> Self {
        Self { steps: 10, most: 1_000_000, by: By::default() }
    }

    /// `n`: one less than the levels of each weight.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// What to make small.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.by = By::given(criterion);
        self
    }

    /// How many points at most: 1,000,000 unless predicted otherwise.
    #[must_use]
    pub fn most(mut self, points: u64) -> Self {
        self.most = points;
        self
    }

    fn search(&self, worth: &dyn Worth) -> Result<(Vec<f64>, u64)> {
        let (levels, slots) = (self.steps as u64 + 1, worth.slots() as u32);
        let points = levels.checked_pow(slots).filter(|points| *points <= self.most).ok_or_else(|| {
            let got = format!("{levels}^{slots} = {:.3e}", (levels as f64).powf(slots as f64));
            Error::invalid("points of the grid of weights", format!("at most {}", self.most), got)
        })?;
        let weights = |mut point: u64| {
            let mut weights = vec![0.; slots as usize];
            for w in weights.iter_mut().rev() {
                *w = (point % levels) as f64 / self.steps as f64;
                point /= levels;
            }
            weights
        };
        let even =
            |point: &u64| (0..slots).map(|s| point / levels.pow(s) % levels).all(|l| l == point % levels);
        let chunk = |k: u64| {
            let mut best: Option<(f64, u64)> = None;
            for point in (k * POINTS..((k + 1) * POINTS).min(points)).filter(|point| !even(point)) {
                let loss = worth.of(&weights(point))?;
                if best.is_none_or(|(least, _)| loss < least) {
                    best = Some((loss, point));
                }
            }
            Ok(best)
        };
        let found: Vec<_> =
            (0..points.div_ceil(POINTS)).into_par_iter().map(chunk).collect::<Result<Vec<_>>>()?;
        let first = |a: (f64, u64), b: (f64, u64)| if b.0 < a.0 { b } else { a };
        let best = found.into_iter().flatten().reduce(first).map_or(0, |(_, point)| point);
        Ok((weights(best), points - levels))
    }
}

impl Combiner for GridSearch {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        if self.steps == 0 {
            return Err(Error::invalid("steps of the grid of weights", "at least 1", 0));
        }
        searched("grid-search", held_out, &self.by, |worth| self.search(worth))
    }
}
