//! The mixture of what the members of an ensemble predict.
use crate::{
    check,
    distribution::{cell::Cell, Family, Levels, Score},
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

/// What the `M` members of an ensemble predict for `N` rows and `K` outputs, as distributions, and their mixture.
///
/// ```text
/// F(x) = Σ_m w_m F_m(x)
/// mean        μ  = Σ_m w_m μ_m
/// variance    σ² = Σ_m w_m σ_m²  +  Σ_m w_m (μ_m − μ)²
///                  aleatoric        epistemic
/// ```
///
/// Without weights all members count the same. [`Ensemble::predict_distribution`] and [`Pool::distributions`] return it
/// for networks whose output is a distribution; [`new`](Self::new) takes numbers from anywhere. The cells of the results
/// are `(N, K)`, as targets are.
///
/// Use it where it matters how sure a prediction is. The aleatoric part is noise that no further member takes away; the
/// epistemic part is large where the training rows say little, and it needs several members. Do not read either as a
/// guarantee: a mixture is as calibrated as its members are.
///
/// Cost: one pass over the cells for moments, densities and distribution functions; some tens of passes for a quantile;
/// `O(M²)` for the CRPS of Gaussian and Laplace members, and a numerical integral over each cell for Student's t. Cells are
/// shared by the threads of rayon.
///
/// # Errors
/// The constructors name shapes that do not go together, and numbers that are not finite or not positive.
///
/// # Sources
/// Lakshminarayanan et al. 2017, arXiv:1612.01474. Gneiting and Raftery 2007, doi:10.1198/016214506000001437.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::distribution::{Family, Mixture, Score};
///
/// // Two members, one row, one output: N(0, 1) and N(4, 3²).
/// let means = Tensor::new(&[[[0f64]], [[4.]]], &Device::Cpu)?;
/// let deviations = Tensor::new(&[[[1f64]], [[3.]]], &Device::Cpu)?;
/// let mixture = Mixture::new(Family::Gaussian, &means, &deviations)?;
/// assert_eq!(mixture.mean()?.to_vec2::<f64>()?, [[2.]]);
/// assert_eq!(mixture.aleatoric()?.to_vec2::<f64>()?, [[5.]]); // (1 + 9) / 2
/// assert_eq!(mixture.epistemic()?.to_vec2::<f64>()?, [[4.]]); // (2² + 2²) / 2
/// assert_eq!(mixture.variance()?.to_vec2::<f64>()?, [[9.]]);
///
/// let (lower, upper) = mixture.interval(0.9)?;
/// let target = Tensor::new(&[[3f64]], &Device::Cpu)?;
/// println!("from {lower} to {upper}, NLL {}", mixture.score(Score::Nll, &target, None)?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// [`Ensemble::predict_distribution`]: crate::Ensemble::predict_distribution
/// [`Pool::distributions`]: crate::Pool::distributions
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// The weights of the members, which sum to 1.
    weights: Vec<f64>,
    rows: usize,
    outputs: usize,
    kind: Kind,
}

/// The numbers of all cells: the row comes first, then the output, the member and its components.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Parts {
        family: Family,
        components: usize,
        /// Empty where there is one component.
        shares: Vec<f64>,
        locations: Vec<f64>,
        scales: Vec<f64>,
    },
    Quantiles {
        levels: Levels,
        values: Vec<f64>,
    },
}

impl Mixture {
    /// Distributions of a family, with locations and scales of shape `(M, N, K)`. Both are in the unit of the targets: the
    /// scale of a Gaussian is its standard deviation.
    ///
    /// # Errors
    /// When the shapes differ or are empty, a number is not finite, or a scale is not positive.
    pub fn new(family: Family, locations: &Tensor, scales: &Tensor) -> Result<Self> {
        let (locations, scales) = (locations.unsqueeze(locations.rank())?, scales.unsqueeze(scales.rank())?);
        Self::of_parts(family, None, &locations, &scales)
    }

    /// Members that are mixtures of `J` components themselves, with shares, locations and scales of shape `(M, N, K, J)`.
    /// The shares of a cell are divided by their sum.
    ///
    /// # Errors
    /// As [`new`](Self::new); when a share is negative, or those of a cell are all 0.
    pub fn of_components(
        family: Family,
        shares: &Tensor,
        locations: &Tensor,
        scales: &Tensor,
    ) -> Result<Self> {
        Self::of_parts(family, Some(shares), locations, scales)
    }

    fn of_parts(
        family: Family,
        shares: Option<&Tensor>,
        locations: &Tensor,
        scales: &Tensor,
    ) -> Result<Self> {
        family.check()?;
        let (members, rows, outputs, components) = shape("the locations", locations)?;
        for (what, other) in [("scales", Some(scales)), ("shares", shares)] {
            let Some(other) = other.filter(|other| other.dims() != locations.dims()) else { continue };
            let must = format!("that of the locations, {:?}", locations.dims());
            return Err(Error::invalid(
                format!("the shape of the {what}"),
                must,
                format!("{:?}", other.dims()),
            ));
        }
        let locations = by_cell("a location", locations, |x| x.is_finite(), "finite")?;
        let positive = |x: f64| x > 0. && x.is_finite();
        let scales = by_cell("a scale", scales, positive, "positive and finite")?;
        let share = |x: f64| x >= 0. && x.is_finite();
        let shares = shares.map(|shares| by_cell("a share", shares, share, "0 or more, and finite"));
        let mut shares = shares.transpose()?.unwrap_or_default();
        for of_member in shares.chunks_mut(components) {
            let total: f64 = of_member.iter().sum();
            if total <= 0. {
                return Err(Error::invalid("the sum of the shares of a distribution", "above 0", total));
            }
            of_member.iter_mut().for_each(|share| *share /= total);
        }
        let kind = Kind::Parts { family, components, shares, locations, scales };
        Ok(Self { weights: vec![1. / members as f64; members], rows, outputs, kind })
    }

    /// Members that predict quantiles, `(M, N, K, Q)` for the `Q` levels. The quantile function of a member is linear
    /// between the levels and constant beyond the outer ones, so an outer quantile has all of the probability beyond it.
    /// Quantiles that are not in order are sorted (Chernozhukov et al. 2010, doi:10.3982/ECTA7880). The mixture averages
    /// distribution functions, not quantiles.
    ///
    /// # Errors
    /// When the shape does not fit the levels, or a quantile is not finite.
    pub fn of_quantiles(levels: Levels, quantiles: &Tensor) -> Result<Self> {
        let (members, rows, outputs, count) = shape("the quantiles", quantiles)?;
        if count != levels.as_slice().len() {
            let must = format!("that of the levels, {}", levels.as_slice().len());
            return Err(Error::invalid("the number of quantiles", must, count));
        }
        let mut values = by_cell("a quantile", quantiles, |x| x.is_finite(), "finite")?;
        values.chunks_mut(count).for_each(|of_member| of_member.sort_unstable_by(f64::total_cmp));
        let weights = vec![1. / members as f64; members];
        Ok(Self { weights, rows, outputs, kind: Kind::Quantiles { levels, values } })
    }

    /// Sets the weights of the members, which are divided by their sum.
    ///
    /// # Errors
    /// When their number is not that of the members, one is negative or not finite, or all are 0.
    pub fn with_weights(self, weights: &[f64]) -> Result<Self> {
        check::weights(Some(weights), self.members(), false)?;
        let total: f64 = weights.iter().sum();
        Ok(Self { weights: weights.iter().map(|weight| weight / total).collect(), ..self })
    }

    /// The number of members, `M`.
    #[must_use]
    pub fn members(&self) -> usize {
        self.weights.len()
    }

    /// The number of rows, `N`.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of outputs, `K`.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights of the members, which sum to 1.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// What one member predicts.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn member(&self, position: usize) -> Result<Self> {
        if position >= self.members() {
            let must = format!("below {}, the number of members", self.members());
            return Err(Error::invalid("a member's position", must, position));
        }
        let one = |numbers: &[f64], width: usize| {
            let of_member = numbers.chunks(width.max(1)).skip(position).step_by(self.members());
            of_member.flatten().copied().collect::<Vec<f64>>()
        };
        let kind = match &self.kind {
            Kind::Parts { family, components, shares, locations, scales } => {
                let [shares, locations, scales] = [shares, locations, scales].map(|of| one(of, *components));
                Kind::Parts { family: *family, components: *components, shares, locations, scales }
            }
            Kind::Quantiles { levels, values } => {
                Kind::Quantiles { levels: *levels, values: one(values, levels.as_slice().len()) }
            }
        };
        Ok(Self { weights: vec![1.], rows: self.rows, outputs: self.outputs, kind })
    }

    /// The distributions of these rows, in this order.
    ///
    /// # Errors
    /// When there are no rows, or one is out of range.
    pub fn select_rows(&self, rows: &[u32]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::invalid("the rows of distributions", "at least one", "none"));
        }
        if let Some(row) = rows.iter().find(|row| **row as usize >= self.rows) {
            return Err(Error::invalid("a row of distributions", format!("below {}", self.rows), row));
        }
        let select = |numbers: &[f64]| -> Vec<f64> {
            let width = numbers.len() / self.rows.max(1);
            let row = |row: &u32| numbers.get(*row as usize * width..(*row as usize + 1) * width);
            rows.iter().filter_map(row).flatten().copied().collect()
        };
        let kind = match &self.kind {
            Kind::Parts { family, components, shares, locations, scales } => {
                let [shares, locations, scales] = [shares, locations, scales].map(|numbers| select(numbers));
                Kind::Parts { family: *family, components: *components, shares, locations, scales }
            }
            Kind::Quantiles { levels, values } => Kind::Quantiles { levels: *levels, values: select(values) },
        };
        Ok(Self { weights: self.weights.clone(), rows: rows.len(), outputs: self.outputs, kind })
    }

    /// The mean of each cell, `(N, K)`.
    ///
    /// # Errors
    /// When candle fails.
    pub fn mean(&self) -> Result<Tensor> {
        self.map(|cell| total(cell, |mean, _| mean))
    }

    /// The variance of each cell, `(N, K)`: the sum of the [`aleatoric`](Self::aleatoric) and the
    /// [`epistemic`](Self::epistemic) part.
    ///
    /// # Errors
    /// When candle fails.
    pub fn variance(&self) -> Result<Tensor> {
        self.map(|cell| total(cell, |_, variance| variance) + spread_of_means(cell))
    }

    /// The mean of the members' variances, `(N, K)`: what the data leave open.
    ///
    /// # Errors
    /// When candle fails.
    pub fn aleatoric(&self) -> Result<Tensor> {
        self.map(|cell| total(cell, |_, variance| variance))
    }

    /// The variance of the members' means, `(N, K)`: what the members disagree on.
    ///
    /// # Errors
    /// When candle fails.
    pub fn epistemic(&self) -> Result<Tensor> {
        self.map(spread_of_means)
    }

    /// The probability of a number of at most that in `x`, for each cell; both are `(N, K)`.
    ///
    /// # Errors
    /// When `x` has another shape.
    pub fn cdf(&self, x: &Tensor) -> Result<Tensor> {
        self.map_with("the numbers of the distribution function", x, |cell, x| cell.cdf(x))
    }

    /// The quantile of this level for each cell, `(N, K)`: the least number whose distribution function is at least `p`. It
    /// is found by Newton's method between bounds, to the precision of `f64`.
    ///
    /// # Errors
    /// When `p` is not between 0 and 1.
    pub fn quantile(&self, p: f64) -> Result<Tensor> {
        check::share("the level of a quantile", p)?;
        self.map(|cell| cell.quantile(p))
    }

    /// The central interval of this probability, as its lower and upper ends, `(N, K)` each: the quantiles of the levels
    /// `(1 − level) / 2` and `(1 + level) / 2`.
    ///
    /// # Errors
    /// When `level` is not between 0 and 1.
    pub fn interval(&self, level: f64) -> Result<(Tensor, Tensor)> {
        check::share("the level of an interval", level)?;
        Ok((self.quantile((1. - level) / 2.)?, self.quantile((1. + level) / 2.)?))
    }

    /// The Gaussian with the mean and the variance of the mixture, as one member. Its negative log-likelihood is that of
    /// the tables of Deep Ensembles; that of the mixture itself is another number.
    ///
    /// # Errors
    /// When a variance is 0, as that of members which all predict one and the same point is.
    pub fn moment_matched(&self) -> Result<Self> {
        let deviations = self.variance()?.sqrt()?;
        Self::new(Family::Gaussian, &self.mean()?.unsqueeze(0)?, &deviations.unsqueeze(0)?)
    }

    /// The score of each cell against its target, `(N, K)`. Targets are `(N, K)`, or `(N,)` for one output.
    ///
    /// # Errors
    /// When targets have another shape or are not finite; when a level of the score is out of range; when the score is the
    /// likelihood, and the members predict quantiles, which have no density.
    pub fn scores(&self, score: Score, targets: &Tensor) -> Result<Tensor> {
        score.check()?;
        if let (Score::Nll, Kind::Quantiles { .. }) = (score, &self.kind) {
            let must = "Score::Crps, Score::Pinball or Score::Interval for quantiles, which have no density";
            return Err(Error::invalid("the score", must, "Score::Nll"));
        }
        self.map_with("the targets", targets, |cell, y| score.of(cell, y))
    }

    /// The mean score over all cells: the mean over the outputs of a row, and over the rows, by their weights if given.
    ///
    /// # Errors
    /// As [`scores`](Self::scores); when there is not one weight for each row, one is negative or not finite, or all are 0.
    pub fn score(&self, score: Score, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
        let scores = self.scores(score, targets)?.mean(1)?.to_vec1::<f64>()?;
        let Some(weights) = weights else { return Ok(scores.iter().sum::<f64>() / self.rows as f64) };
        if weights.len() != self.rows {
            let must = format!("{}, one for each row", self.rows);
            return Err(Error::invalid("the number of weights", must, weights.len()));
        }
        check::weights(Some(weights), self.rows, false)?;
        let sum: f64 = scores.iter().zip(weights).map(|(score, weight)| score * weight).sum();
        Ok(sum / weights.iter().sum::<f64>())
    }

    fn cells(&self) -> usize {
        self.rows * self.outputs
    }

    fn cell(&self, number: usize) -> Cell<'_> {
        let members = self.members();
        let part = |numbers: &'_ [f64], width: usize| {
            let width = width * members;
            let range = number * width..(number + 1) * width;
            range.start.min(numbers.len())..range.end.min(numbers.len())
        };
        match &self.kind {
            Kind::Parts { family, components, shares, locations, scales } => Cell::Parts {
                family: *family,
                weights: &self.weights,
                shares: shares.get(part(shares, *components)).unwrap_or_default(),
                locations: locations.get(part(locations, *components)).unwrap_or_default(),
                scales: scales.get(part(scales, *components)).unwrap_or_default(),
            },
            Kind::Quantiles { levels, values } => {
                let count = levels.as_slice().len();
                let values = values.get(part(values, count)).unwrap_or_default();
                Cell::Quantiles { levels: levels.as_slice(), weights: &self.weights, values }
            }
        }
    }

    fn map(&self, f: impl Fn(&Cell<'_>) -> f64 + Sync) -> Result<Tensor> {
        let numbers: Vec<f64> = (0..self.cells()).into_par_iter().map(|cell| f(&self.cell(cell))).collect();
        Ok(Tensor::from_vec(numbers, (self.rows, self.outputs), &Device::Cpu)?)
    }

    fn map_with(&self, what: &str, x: &Tensor, f: impl Fn(&Cell<'_>, f64) -> f64 + Sync) -> Result<Tensor> {
        let (rows, outputs) = (self.rows, self.outputs);
        let fits = x.dims() == [rows, outputs] || (outputs == 1 && x.dims() == [rows]);
        if !fits || !x.dtype().is_float() {
            let must = format!("floating-point numbers of shape [{rows}, {outputs}]");
            return Err(Error::invalid(
                what,
                must,
                format!("{} of shape {:?}", x.dtype().as_str(), x.dims()),
            ));
        }
        let x = x.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f64>()?;
        if let Some((cell, value)) = x.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            let place = format!("{what}, row {}, column {}", cell / outputs, cell % outputs);
            return Err(Error::invalid(place, "finite", value));
        }
        let cells = x.par_iter().enumerate();
        let numbers: Vec<f64> = cells.map(|(cell, x)| f(&self.cell(cell), *x)).collect();
        Ok(Tensor::from_vec(numbers, (rows, outputs), &Device::Cpu)?)
    }
}

/// The weighted sum over the members of a function of their means and variances.
fn total(cell: &Cell<'_>, f: impl Fn(f64, f64) -> f64) -> f64 {
    cell.moments().into_iter().map(|(weight, mean, variance)| weight * f(mean, variance)).sum()
}

fn spread_of_means(cell: &Cell<'_>) -> f64 {
    let center = total(cell, |mean, _| mean);
    total(cell, |mean, _| (mean - center).powi(2))
}

/// Members, rows, outputs and components.
fn shape(what: &str, numbers: &Tensor) -> Result<(usize, usize, usize, usize)> {
    match *numbers.dims() {
        [members, rows, outputs, components] if numbers.elem_count() > 0 => {
            Ok((members, rows, outputs, components))
        }
        _ => {
            let must = "[members, rows, outputs] and, where a member has several components or quantiles, their number, \
                        none of them 0";
            Err(Error::invalid(format!("the shape of {what}"), must, format!("{:?}", numbers.dims())))
        }
    }
}

/// The numbers `(M, N, K, J)` in the order `(N, K, M, J)`, checked.
fn by_cell(what: &str, numbers: &Tensor, fits: impl Fn(f64) -> bool, must: &str) -> Result<Vec<f64>> {
    let on_cpu = numbers.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let numbers = on_cpu.permute((1, 2, 0, 3))?.flatten_all()?.to_vec1::<f64>()?;
    match numbers.iter().position(|x| !fits(*x)) {
        None => Ok(numbers),
        Some(at) => {
            let of_row = on_cpu.elem_count() / on_cpu.dim(1)?.max(1);
            let (row, value) = (at / of_row.max(1), numbers.get(at).copied().unwrap_or(f64::NAN));
            Err(Error::invalid(format!("{what} of row {row}"), must, value))
        }
    }
}

#[cfg(test)]
mod tests;
