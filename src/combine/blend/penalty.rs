//! The penalty towards equal weights or zero: a fixed one, or one chosen by cross-validation.
use crate::{
    combine::{
        blend::{
            means::Means,
            simplex::{CellLoss, SimplexProblem},
        },
        held_out_table::Number,
        Weighted,
    },
    metrics::RowLoss,
    Error, HeldOut, HeldOutFile, Result, Rows, Seed,
};
use serde::{Deserialize, Serialize};

/// Candidates are these powers of ten, times the mean second derivative of the loss.
const POWERS: std::ops::RangeInclusive<i32> = -6..=2;

/// The factor `λ` of a penalty: fixed, or chosen by cross-validation over the held-out rows.
///
/// Cross-validation tries no penalty, 10⁻⁶ to 10² times the mean second derivative of the loss, and infinity
/// where the penalty pulls towards equal weights. Its cost is one fit for each fold and candidate.
///
/// # Examples
/// ```
/// use candle_ensemble::combine::{Penalty, SimplexLogLoss};
///
/// let fixed = SimplexLogLoss::new().penalty(Penalty::Fixed(0.1));
/// let chosen = SimplexLogLoss::new().penalty(Penalty::chosen());
/// assert_ne!(fixed, chosen);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Penalty {
    /// This factor, 0 or more. The loss is a mean over rows, so the factor does not depend on their number.
    /// With infinity the weights are equal.
    Fixed(f64),
    /// The factor with the least cross-validated loss over the held-out rows; the greatest of equals.
    CrossValidated {
        /// Number of folds, 2 or more. Where there are fewer rows or groups, each is a fold; where there is
        /// only one, the greatest candidate is taken.
        folds: usize,
        /// Seed of the split into folds; without one it follows from [`HeldOut::seed`].
        seed: Option<Seed>,
        /// Whether to take the greatest factor whose loss is within one standard error (over the folds) of
        /// the least loss (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3).
        one_standard_error: bool,
    },
}

impl Default for Penalty {
    /// No penalty.
    fn default() -> Self {
        Self::Fixed(0.)
    }
}

impl Penalty {
    /// The factor with the least loss in five-fold cross-validation.
    #[must_use]
    pub fn chosen() -> Self {
        Self::CrossValidated { folds: 5, seed: None, one_standard_error: false }
    }

    /// Sets the seed of the split into folds. The default follows from [`HeldOut::seed`]. A fixed penalty has
    /// no folds and stays as it is.
    #[must_use]
    pub fn seed(self, seed: impl Into<Seed>) -> Self {
        match self {
            Self::Fixed(_) => self,
            Self::CrossValidated { folds, one_standard_error, .. } => {
                Self::CrossValidated { folds, seed: Some(seed.into()), one_standard_error }
            }
        }
    }

    /// The factor, if it is fixed.
    pub(crate) fn fixed(self) -> Option<f64> {
        match self {
            Self::Fixed(factor) => Some(factor),
            Self::CrossValidated { .. } => None,
        }
    }

    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Fixed(x) if x.is_nan() || x < 0. => Err(Error::invalid("the penalty", "0 or more", x)),
            Self::CrossValidated { folds, .. } if folds < 2 => {
                Err(Error::invalid("folds of the held-out rows", "at least 2", folds))
            }
            _ => Ok(()),
        }
    }

    /// The factor itself, for a combiner called `combiner`. `losses(train, valid)` gets two sets of row
    /// weights that each sum to one, and returns the loss of each of the `candidates`, which increase.
    pub(crate) fn resolve(
        self,
        combiner: &str,
        held_out: &HeldOut,
        row_weights: &[f64],
        candidates: &[f64],
        losses: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    ) -> Result<f64> {
        let (folds, seed, one_standard_error) = match self {
            Self::Fixed(x) => return Ok(x),
            Self::CrossValidated { folds, seed, one_standard_error } => (folds, seed, one_standard_error),
        };
        let seed = seed.unwrap_or_else(|| held_out.seed().child(combiner));
        let units = held_out.units();
        let greatest = candidates.last().copied().unwrap_or_default();
        if units < 2 {
            return Ok(greatest);
        }
        let mut scores: Vec<(f64, Vec<f64>)> = vec![];
        for fold in held_out.folds(folds.min(units), seed)? {
            let (train, valid) = split(row_weights, &fold);
            let weight: f64 = fold.iter().map(|row| row_weights[*row as usize]).sum();
            if let (Some(train), Some(valid)) = (train, valid) {
                scores.push((weight, losses(&train, &valid)));
            }
        }
        let total: f64 = scores.iter().map(|(weight, _)| weight).sum();
        let mean = |k: usize| scores.iter().map(|(weight, l)| weight / total * l[k]).sum::<f64>();
        let means: Vec<f64> = (0..candidates.len()).map(mean).collect();
        let Some(best) = (0..candidates.len()).rev().min_by(|a, b| means[*a].total_cmp(&means[*b])) else {
            return Ok(greatest);
        };
        let mut limit = means[best];
        if one_standard_error && scores.len() > 1 {
            let k = scores.len() as f64;
            let squares = scores.iter().map(|(_, l)| (l[best] - means[best]).powi(2)).sum::<f64>();
            limit += (squares / (k - 1.) / k).sqrt();
        }
        let chosen = (best..candidates.len()).rev().find(|k| means[*k] <= limit);
        Ok(chosen.map_or(greatest, |k| candidates[k]))
    }
}

/// The candidates of cross-validation, increasing, for a loss with this mean second derivative.
pub(crate) fn candidates(curvature: f64) -> Vec<f64> {
    let powers = POWERS.map(|p| curvature * 10f64.powi(p));
    std::iter::once(0.).chain(powers).collect()
}

/// The weights of the rows outside the fold and in it, each divided by their sum, unless all are zero.
fn split(row_weights: &[f64], fold: &Rows) -> (Option<Vec<f64>>, Option<Vec<f64>>) {
    let mut inside = vec![false; row_weights.len()];
    fold.iter().for_each(|row| inside[*row as usize] = true);
    let part = |side: bool| {
        let mut part: Vec<f64> =
            row_weights.iter().zip(&inside).map(|(w, i)| if *i == side { *w } else { 0. }).collect();
        let total: f64 = part.iter().sum();
        part.iter_mut().for_each(|w| *w /= total);
        (total > 0.).then_some(part)
    };
    (part(false), part(true))
}

/// The weight of each cell: its row's weight times `share`.
pub(crate) fn cell_weights(row_weights: &[f64], width: usize, share: f64) -> Vec<f64> {
    row_weights.iter().flat_map(|w| std::iter::repeat_n(w * share, width)).collect()
}

/// Writes the constructor and the setter of a combiner whose only field is a penalty towards equal weights.
macro_rules! penalized {
    ($combiner:ident) => {
        impl $combiner {
            /// Creates the combiner without a penalty.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            /// Sets a penalty towards equal weights, `λ ‖w − 1/S‖²`, which helps where held-out rows are few.
            /// The name of the fitted combiner contains `λ`.
            #[must_use]
            pub fn penalty(self, penalty: $crate::combine::Penalty) -> Self {
                Self { penalty }
            }
        }
    };
}
pub(crate) use penalized;

/// A loss over the cells of all rows, to be minimised over the simplex with a penalty towards equal weights.
pub(crate) struct PenalizedFit<'a, T> {
    /// Names of the combiner without and with a penalty.
    pub(crate) names: [&'a str; 2],
    pub(crate) means: Means<'a, T>,
    pub(crate) loss: CellLoss<'a>,
    /// The same loss as a mean over rows.
    pub(crate) criterion: RowLoss,
    pub(crate) row_weights: &'a [f64],
    /// Number of cells in a row.
    pub(crate) width: usize,
    /// The share of its row's weight that each cell has.
    pub(crate) share: f64,
}

impl<T: Number> PenalizedFit<'_, T> {
    pub(crate) fn fit(&self, held_out: &HeldOut, penalty: Penalty) -> Result<Weighted> {
        let [plain, _] = self.names;
        let mut candidates = match penalty {
            Penalty::Fixed(_) => vec![],
            Penalty::CrossValidated { .. } => {
                candidates(self.problem(&self.cell_weights(self.row_weights), 0.).curvature())
            }
        };
        candidates.push(f64::INFINITY);
        let losses = |train: &[f64], valid: &[f64]| {
            let (train, valid) = (self.cell_weights(train), self.cell_weights(valid));
            let mut found: Vec<Vec<f64>> = vec![];
            // From equal weights on; each search starts at the result of the last one.
            for lambda in candidates.iter().rev() {
                let start = found.last().map(Vec::as_slice);
                found.push(self.problem(&train, *lambda).solve(start).weights);
            }
            found.iter().rev().map(|w| self.problem(&valid, 0.).loss_of(w)).collect()
        };
        let lambda = penalty.resolve(plain, held_out, self.row_weights, &candidates, losses)?;
        let (name, weights, end) = self.solve(penalty, lambda);
        Weighted::with_loss_on(held_out, &name, weights, &self.criterion, end)
    }

    /// The fit of all slots of a file, of which `slots` take part, with a fixed penalty.
    pub(crate) fn fit_on_disk(&self, file: &HeldOutFile, slots: &[usize], lambda: f64) -> Result<Weighted> {
        let (name, found, end) = self.solve(Penalty::Fixed(lambda), lambda);
        let mut weights = vec![0.; file.slots()];
        slots.iter().zip(found).for_each(|(slot, weight)| weights[*slot] = weight);
        Weighted::with_loss_on_disk(file, &name, weights, &self.criterion, end)
    }

    /// The name, the weights and the end of the search with the factor of the penalty.
    fn solve(&self, penalty: Penalty, lambda: f64) -> (String, Vec<f64>, (usize, Option<f64>)) {
        let [plain, penalized] = self.names;
        let solution = self.problem(&self.cell_weights(self.row_weights), lambda).solve(None);
        let name = match penalty == Penalty::default() {
            true => plain.to_string(),
            false => format!("{penalized} (λ = {lambda:.2e})"),
        };
        let end = (solution.steps, self.means.partial.is_none().then_some(solution.gap));
        (name, solution.weights, end)
    }

    fn problem<'b>(&'b self, weights: &'b [f64], penalty: f64) -> SimplexProblem<'b, T> {
        SimplexProblem { means: &self.means, loss: self.loss, weights, penalty }
    }

    fn cell_weights(&self, row_weights: &[f64]) -> Vec<f64> {
        cell_weights(row_weights, self.width, self.share)
    }
}
