//! How strong a penalty is, given or chosen on held-out rows.
use crate::{
    combine::{
        blend::{
            simplex::{Loss, Problem},
            table::Table,
        },
        Fit, Weighted,
    },
    kernels::float::Number,
    Error, HeldOut, Result, Rows, Seed,
};
use serde::{Deserialize, Serialize};

/// The strengths that are tried, times the mean curvature of the loss: these powers of ten.
const POWERS: std::ops::RangeInclusive<i32> = -6..=2;

/// How strong a penalty is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Penalty {
    /// This, 0 or more, beside a loss that is a mean over rows. Infinity leaves nothing but what the penalty pulls to.
    Fixed(f64),
    /// The one with the least cross-validated loss over the held-out rows, the strongest of equals. Tried are none
    /// and 10⁻⁶ to 10² times the mean curvature of the loss, and infinity where the penalty pulls to equal weights.
    CrossValidated {
        /// How many folds, 2 or more (fewer where there are fewer rows or groups; where there is but one of them, the
        /// strongest is taken).
        folds: usize,
        /// What deals the rows.
        seed: Seed,
        /// Whether to take the strongest whose loss lies within one standard error (over the folds) of the least
        /// (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3).
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
    /// Cross-validated in five folds, the least loss.
    #[must_use]
    pub fn chosen(seed: impl Into<Seed>) -> Self {
        Self::CrossValidated { folds: 5, seed: seed.into(), one_standard_error: false }
    }

    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Fixed(x) if x.is_nan() || x < 0. => {
                Err(Error::invalid("strength of the penalty", "0 or more", x))
            }
            Self::CrossValidated { folds, .. } if folds < 2 => {
                Err(Error::invalid("folds of the held-out rows", "at least 2", folds))
            }
            _ => Ok(()),
        }
    }

    /// The strength itself. `curvature` is the unit of those to try. `losses(train, valid)`, two sets of row weights
    /// that each sum to one, gives the loss of each strength, weakest first.
    pub(crate) fn resolve(
        self,
        held_out: &HeldOut,
        row_weights: &[f64],
        grid: &[f64],
        losses: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    ) -> Result<f64> {
        let (folds, seed, one_standard_error) = match self {
            Self::Fixed(x) => return Ok(x),
            Self::CrossValidated { folds, seed, one_standard_error } => (folds, seed, one_standard_error),
        };
        let units = held_out.units();
        let strongest = grid.last().copied().unwrap_or_default();
        if units < 2 {
            return Ok(strongest);
        }
        let mut scores: Vec<(f64, Vec<f64>)> = vec![];
        for fold in held_out.folds(folds.min(units), seed)? {
            let (train, valid) = split(row_weights, &fold);
            let mass: f64 = fold.iter().map(|row| row_weights[*row as usize]).sum();
            if let (Some(train), Some(valid)) = (train, valid) {
                scores.push((mass, losses(&train, &valid)));
            }
        }
        let total: f64 = scores.iter().map(|(mass, _)| mass).sum();
        let mean = |k: usize| scores.iter().map(|(mass, l)| mass / total * l[k]).sum::<f64>();
        let means: Vec<f64> = (0..grid.len()).map(mean).collect();
        let Some(best) = (0..grid.len()).rev().min_by(|a, b| means[*a].total_cmp(&means[*b])) else {
            return Ok(strongest);
        };
        let mut bar = means[best];
        if one_standard_error && scores.len() > 1 {
            let k = scores.len() as f64;
            let spread = scores.iter().map(|(_, l)| (l[best] - means[best]).powi(2)).sum::<f64>();
            bar += (spread / (k - 1.) / k).sqrt();
        }
        Ok((best..grid.len()).rev().find(|k| means[*k] <= bar).map_or(strongest, |k| grid[k]))
    }
}

/// What is tried, weakest first.
pub(crate) fn grid(curvature: f64) -> Vec<f64> {
    let powers = POWERS.map(|p| curvature * 10f64.powi(p));
    std::iter::once(0.).chain(powers).collect()
}

/// The weights of the rows outside the fold and in it, each summing to one, where they are not all zero.
fn split(row_weights: &[f64], fold: &Rows) -> (Option<Vec<f64>>, Option<Vec<f64>>) {
    let mut inside = vec![false; row_weights.len()];
    fold.iter().for_each(|row| inside[*row as usize] = true);
    let of = |side: bool| {
        let mut part: Vec<f64> =
            row_weights.iter().zip(&inside).map(|(w, i)| if *i == side { *w } else { 0. }).collect();
        let total: f64 = part.iter().sum();
        part.iter_mut().for_each(|w| *w /= total);
        (total > 0.).then_some(part)
    };
    (of(false), of(true))
}

/// Each row's weight for each of its cells, times `share`.
pub(crate) fn of_cells(row_weights: &[f64], width: usize, share: f64) -> Vec<f64> {
    row_weights.iter().flat_map(|w| std::iter::repeat_n(w * share, width)).collect()
}

/// A loss over the rows' cells, minimised over the simplex with a penalty towards equal weights.
pub(crate) struct Blend<'a, T> {
    /// What the rule is called without a penalty, and with one.
    pub(crate) rules: [&'a str; 2],
    pub(crate) table: Table<'a, T>,
    pub(crate) loss: Loss<'a>,
    pub(crate) row_weights: &'a [f64],
    /// Cells a row, and how much of the row's weight each has.
    pub(crate) width: usize,
    pub(crate) share: f64,
}

impl<T: Number> Blend<'_, T> {
    pub(crate) fn fit(&self, held_out: &HeldOut, strength: Penalty) -> Result<Weighted> {
        let weights = self.of_cells(self.row_weights);
        let plain = strength == Penalty::default();
        let mut grid = match strength {
            Penalty::Fixed(_) => vec![],
            Penalty::CrossValidated { .. } => grid(self.problem(&weights, 0.).curvature()),
        };
        grid.push(f64::INFINITY);
        let losses = |train: &[f64], valid: &[f64]| {
            let (train, valid) = (self.of_cells(train), self.of_cells(valid));
            let mut found: Vec<Vec<f64>> = vec![];
            // From equal weights outwards, each search starts where the last one ended.
            for strength in grid.iter().rev() {
                let start = found.last().map(Vec::as_slice);
                found.push(self.problem(&train, *strength).solve(start).weights);
            }
            found.iter().rev().map(|w| self.problem(&valid, 0.).loss_of(w)).collect()
        };
        let strength = strength.resolve(held_out, self.row_weights, &grid, losses)?;
        let solution = self.problem(&weights, strength).solve(None);
        let name = match plain {
            true => self.rules[0].to_string(),
            false => format!("{} (λ = {strength:.2e})", self.rules[1]),
        };
        let fit = Fit { objective: solution.loss, iterations: solution.steps, gap: Some(solution.gap) };
        Ok(Weighted::found(&name, held_out.names(), solution.weights, Some(fit)))
    }

    fn problem<'b>(&'b self, weights: &'b [f64], strength: f64) -> Problem<'b, T> {
        Problem { table: self.table, loss: self.loss, weights, strength }
    }

    fn of_cells(&self, row_weights: &[f64]) -> Vec<f64> {
        of_cells(row_weights, self.width, self.share)
    }
}
