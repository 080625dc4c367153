//! Generalized linear models with a Tweedie distribution.
//!
//! linfa-linear 0.8.1 minimises by L-BFGS, has no row weights, and stops at an absolute gradient. Its Poisson
//! deviance (power 1) lacks a factor of 2 in two of three terms, so its objective does not go with its
//! gradient, and the coefficients are wrong. So its solution, on standardised rows and for power 1 at a power
//! next to it, is only the start of Newton's method, which uses the weights and reaches the exact optimum.
use super::{
    affine::{affine, check_shape},
    fit_rows::{check_regression, FitRows},
    linear_regression::standardised,
    moments::unsolvable,
    MetaDataset, MetaLearner, MetaModel,
};
use crate::{codec::real, combine::Fit, data::Task, Error, Result};
use candle_core::{Result as CandleResult, Tensor};
use linfa::{traits::Fit as _, DatasetBase};
use linfa_linalg::eigh::*;
use linfa_linear::TweedieRegressor;
use ndarray::{concatenate, s, Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

const NAME: &str = "Tweedie regression";
/// A direction with less curvature than this share of the largest is taken for rounding, as for duplicate
/// members.
const RANK: f64 = 1e-11;
/// The largest number of L-BFGS iterations of linfa.
const START: usize = 100;

/// The function from the linear predictor `η = b + xᵀβ` to the mean `μ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// `μ = η`.
    Identity,
    /// `μ = exp(η)`, above 0.
    Log,
    /// `μ = 1/(1 + exp(−η))`, between 0 and 1.
    Logit,
}

/// A generalized linear model with a Tweedie distribution, for regression on counts, durations, or amounts
/// with many zeros.
///
/// ```text
/// minimise 1/(2 Σ_i w_i) Σ_i w_i d(y_i, μ_i) + α/2 ‖β‖²    for each output; the intercept has no penalty
/// ```
///
/// Here `d` is the unit deviance of a distribution with variance `μ^power`. The objective is that of
/// scikit-learn's `TweedieRegressor`.
///
/// | power | distribution | targets |
/// |---|---|---|
/// | below 0 | extreme stable | any, with predictions above 0 |
/// | 0 | normal: `d = (y − μ)²` | any |
/// | 1 | Poisson: `d = 2 (y ln(y/μ) − y + μ)` | 0 or more |
/// | between 1 and 2 | compound Poisson and gamma | 0 or more |
/// | 2 | gamma: `d = 2 (ln(μ/y) + y/μ − 1)` | above 0 |
/// | 3 | inverse Gaussian: `d = (y − μ)²/(μ² y)` | above 0 |
///
/// The meta-features are `(R, F)`, the coefficients `(K, F)` for `K` outputs. The weights of the rows are
/// used. If the solution is not unique (α = 0 and duplicate members), duplicate members get the same
/// coefficient.
///
/// Use it when the spread of the targets grows with their mean and predictions must stay above 0. With the
/// logarithmic link a prediction is a product of powers of `exp(member)`; members that predict large values
/// need a small α, or their logarithms as predictions. For targets of both signs use
/// [`Ridge`](crate::combine::stack::Ridge), which is power 0 with the identity link and faster.
///
/// `TweedieRegressor` of linfa-linear (L-BFGS) finds the start, and Newton's method with halved steps, or
/// Fisher scoring where the curvature is negative, finds the optimum. Time `R·F² + F³` for each iteration,
/// mostly 3 to 10 of them; memory `R·F`; one thread.
///
/// # Errors
/// Fitting fails for classes, for a power between 0 and 1 or a negative α, for targets out of the range of
/// the distribution or the link, with fewer than two rows, and when the gradient does not get below the
/// tolerance (as with an identity link whose mean reaches 0, or with the logit and targets that are all 0 or
/// 1).
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::Tweedie, Combiner, FittedCombiner, Stack, Predictions}, data::Task, HeldOut};
/// let members = Tensor::new(&[[[0f64], [1.], [2.], [3.]]], &Device::Cpu)?;
/// let members = Predictions::new(members, Task::Regression { outputs: 1 })?;
/// let counts = Tensor::new(&[1f64, 2., 4., 8.], &Device::Cpu)?; // 2 to the power of x₀
/// let held_out = HeldOut::from_predictions(&members, &counts)?;
/// let fitted = Stack::new(Tweedie::poisson().alpha(0.)).fit(&held_out)?;
/// assert!((fitted.model().coefficients()[0][0] - 2f64.ln()).abs() < 1e-6);
/// assert!((fitted.combine(&members)?.to_vec2::<f64>()?[3][0] - 8.).abs() < 1e-5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Nelder and Wedderburn 1972, doi:10.2307/2344614; Jørgensen 1987,
/// doi:10.1111/j.2517-6161.1987.tb01685.x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tweedie {
    power: f64,
    alpha: f64,
    link: Option<Link>,
    tolerance: f64,
    max_iterations: usize,
}

impl Tweedie {
    /// A model with the variance `μ^power`. The defaults are α = 1, the identity link for powers up to 0 and
    /// the logarithmic link for powers from 1 on, a tolerance of 1e-8 and at most 100 iterations.
    #[must_use]
    pub fn new(power: f64) -> Self {
        Self { power, alpha: 1., link: None, tolerance: 1e-8, max_iterations: 100 }
    }

    /// Poisson regression, power 1, for counts.
    #[must_use]
    pub fn poisson() -> Self {
        Self::new(1.)
    }

    /// Gamma regression, power 2, for amounts whose spread is proportional to their mean.
    #[must_use]
    pub fn gamma() -> Self {
        Self::new(2.)
    }

    /// The strength α of the penalty, finite and not negative; 1 by default.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The link; the default depends on the power.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = Some(link);
        self
    }

    /// The largest derivative by a coefficient at which the fit has converged; 1e-8 by default. It is
    /// measured with the meta-features in standard deviations and the targets in units of their mean.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The largest number of iterations of Newton's method; 100 by default. The fit fails if it needs more.
    #[must_use]
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }

    fn check(&self) -> Result<()> {
        let Self { power, alpha, tolerance, .. } = *self;
        if !power.is_finite() || (power > 0. && power < 1.) {
            return Err(Error::invalid("the Tweedie power", "finite and not between 0 and 1", power));
        }
        if !alpha.is_finite() || alpha < 0. {
            return Err(Error::invalid("the Tweedie penalty", "finite and not negative", alpha));
        }
        if !tolerance.is_finite() || tolerance <= 0. {
            return Err(Error::invalid("the Tweedie tolerance", "above 0", tolerance));
        }
        match self.max_iterations {
            0 => Err(Error::invalid("the largest number of iterations of the Tweedie fit", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    fn own_link(&self) -> Link {
        let own = if self.power <= 0. { Link::Identity } else { Link::Log };
        self.link.unwrap_or(own)
    }

    /// Checks that the targets are in the range of the distribution, and their mean in that of the link.
    fn check_targets(&self, y: &Array1<f64>, mean: f64) -> Result<()> {
        let must = match self.power {
            p if p < 1. => None,
            p if p < 2. => y.iter().find(|y| **y < 0.).map(|bad| ("0 or more", bad)),
            _ => y.iter().find(|y| **y <= 0.).map(|bad| ("above 0", bad)),
        };
        if let Some((must, bad)) = must {
            return Err(Error::invalid(format!("targets for a Tweedie power of {}", self.power), must, bad));
        }
        let must = match self.own_link() {
            Link::Logit if !(mean > 0. && mean < 1.) => "between 0 and 1",
            Link::Log if mean <= 0. => "above 0",
            Link::Identity if mean <= 0. && self.power != 0. => "above 0",
            _ => return Ok(()),
        };
        Err(Error::invalid(format!("the targets' mean for {NAME} with this link"), must, mean))
    }
}

/// A fitted [`Tweedie`] model: one function of the meta-features for each output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TweedieModel {
    #[serde(with = "real")]
    power: f64,
    #[serde(with = "real")]
    alpha: f64,
    link: Link,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    fit: Fit,
}

impl TweedieModel {
    /// The coefficients on the scale of the link: for each output one number for each meta-feature.
    #[must_use]
    pub fn coefficients(&self) -> &[Vec<f64>] {
        &self.coefficients
    }

    /// The intercepts on the scale of the link, one for each output.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    /// The link.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }
}

impl MetaModel for TweedieModel {
    fn name(&self) -> String {
        "tweedie".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn check(&self, features: usize, task: Task) -> Result<()> {
        check_regression(task, NAME)?;
        check_shape(&self.coefficients, &self.intercepts, task.width(), features)
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let predictor = affine(features, &self.coefficients, &self.intercepts)?;
        match self.link {
            Link::Identity => Ok(predictor),
            Link::Log => predictor.exp(),
            Link::Logit => (predictor.neg()?.exp()? + 1.)?.recip(),
        }
    }
}

impl MetaLearner for Tweedie {
    type Model = TweedieModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<TweedieModel> {
        self.check()?;
        check_regression(dataset.task(), NAME)?;
        let rows = FitRows::of(dataset, NAME)?;
        let link = self.own_link();
        let (mut coefficients, mut intercepts) = (vec![], vec![]);
        let mut fit = Fit { objective: 0., iterations: 0, gap: None };
        for y in &rows.targets {
            let (b, intercept, objective, iterations) = self.fit_one(&rows, y, link)?;
            coefficients.push(b);
            intercepts.push(intercept);
            fit.objective += objective;
            fit.iterations = fit.iterations.max(iterations);
        }
        Ok(TweedieModel { power: self.power, alpha: self.alpha, link, coefficients, intercepts, fit })
    }
}

impl Tweedie {
    /// The coefficients, the intercept, the objective and the number of iterations for one output.
    fn fit_one(&self, rows: &FitRows, y: &Array1<f64>, link: Link) -> Result<(Vec<f64>, f64, f64, usize)> {
        let (weights, total) = (&rows.weights, rows.weights.sum());
        let mean = y.dot(weights) / total;
        self.check_targets(y, mean)?;
        // Units in which a gradient means something: targets by their mean or spread, meta-features by their own, or by
        // one common number where the penalty ties them to each other.
        let (p, unit) = match (link, self.power) {
            (Link::Logit, p) => (p, 1.),
            (Link::Identity, 0.) => {
                let variance = y.mapv(|y| (y - mean).powi(2)).dot(weights) / total;
                (0., if variance > 0. { variance.sqrt() } else { 1. })
            }
            (_, p) => (p, mean),
        };
        let (mut x, means, mut deviations) = standardised(&rows.features, weights);
        let mut penalty = 0.;
        if self.alpha > 0. {
            x *= &deviations;
            let common = deviations.mapv(|sd| sd * sd).mean().unwrap_or(1.).sqrt();
            deviations.fill(common);
            x /= common;
            penalty = self.alpha / (common * common);
            penalty *= match link {
                Link::Identity => unit.powf(p),
                _ => unit.powf(p - 2.),
            };
        }
        let y = y / unit;
        let problem = Problem { x: x.view(), y: &y, weights: weights / total, power: p, link, penalty };
        let (found, objective, iterations) = problem.solve(self.tolerance, self.max_iterations)?;
        let stretch = if link == Link::Identity { unit } else { 1. };
        let b = &found.slice(s![1..]) * stretch / &deviations;
        let shift = if link == Link::Log { unit.ln() } else { 0. };
        let intercept = found[0] * stretch + shift - b.dot(&means);
        Ok((b.to_vec(), intercept, objective * unit.powf(2. - p), iterations))
    }
}

/// `Σ w d(y, μ)/2 + penalty/2 ‖β‖²`, the weights of sum 1.
struct Problem<'a> {
    x: ndarray::ArrayView2<'a, f64>,
    y: &'a Array1<f64>,
    weights: Array1<f64>,
    power: f64,
    link: Link,
    penalty: f64,
}

impl Problem<'_> {
    /// The intercept and the coefficients, the objective, and the number of iterations.
    fn solve(&self, tolerance: f64, max_iterations: usize) -> Result<(Array1<f64>, f64, usize)> {
        let mut at = self.start();
        let mut value = self.value(&at);
        for iteration in 0..=max_iterations {
            let (gradient, curvatures) = self.derivatives(&at);
            let largest = gradient.iter().fold(0f64, |max, g| max.max(g.abs()));
            if largest <= tolerance {
                return Ok((at, value, iteration));
            }
            let step = step(curvatures, &gradient)?;
            let slack = 1e-13 * (1. + value.abs());
            let halved = (0..40).map(|h| &at - &(&step * 0.5f64.powi(h)));
            let lower =
                |to: Array1<f64>| Some(self.value(&to)).filter(|v| *v <= value + slack).map(|v| (to, v));
            match halved.filter_map(lower).next() {
                Some(next) if iteration < max_iterations => (at, value) = next,
                _ => {
                    let what = format!("the gradient of {NAME} after {iteration} iterations");
                    return Err(Error::invalid(
                        what,
                        format!("at most {tolerance:e}"),
                        format!("{largest:e}"),
                    ));
                }
            }
        }
        unreachable!("the last iteration returns")
    }

    /// linfa's solution, or the intercept alone where that is better.
    fn start(&self) -> Array1<f64> {
        let mean = self.y.dot(&self.weights);
        let intercept = match self.link {
            Link::Identity => mean,
            Link::Log => mean.ln(),
            Link::Logit => (mean / (1. - mean)).ln(),
        };
        let mut alone = Array1::zeros(self.x.ncols() + 1);
        alone[0] = intercept;
        let link = match self.link {
            Link::Identity => linfa_linear::Link::Identity,
            Link::Log => linfa_linear::Link::Log,
            Link::Logit => linfa_linear::Link::Logit,
        };
        let rows = self.y.len() as f64;
        let params = TweedieRegressor::params()
            .power(if self.power == 1. { 1. + 1e-4 } else { self.power })
            .alpha(self.penalty * rows) // linfa sums the deviances
            .link(link)
            .tol(1e-4 * rows)
            .max_iter(START);
        let Ok(model) = params.fit(&DatasetBase::new(self.x, self.y.view())) else { return alone };
        let found = concatenate![Axis(0), Array1::from_elem(1, model.intercept), model.coef];
        if self.value(&found) < self.value(&alone) {
            found
        } else {
            alone
        }
    }

    /// μ with its first and second derivative by η.
    fn means(&self, at: &Array1<f64>) -> [Array1<f64>; 3] {
        let predictor = self.x.dot(&at.slice(s![1..])) + at[0];
        let rows = self.y.len();
        match self.link {
            Link::Identity => [predictor, Array1::ones(rows), Array1::zeros(rows)],
            Link::Log => {
                let mean = predictor.mapv(f64::exp);
                [mean.clone(), mean.clone(), mean]
            }
            Link::Logit => {
                let mean = predictor.mapv(|e| 1. / (1. + (-e).exp()));
                let slope = mean.mapv(|m| m * (1. - m));
                let bend = &slope * &mean.mapv(|m| 1. - 2. * m);
                [mean, slope, bend]
            }
        }
    }

    /// Infinite where a mean is out of the distribution's range, NaN never.
    fn value(&self, at: &Array1<f64>) -> f64 {
        let [means, ..] = self.means(at);
        let rows = self.weights.iter().zip(self.y).zip(&means);
        let sum: f64 = rows.map(|((w, y), mean)| w * half_deviance(self.power, *y, *mean)).sum();
        let b = at.slice(s![1..]);
        match sum + self.penalty / 2. * b.dot(&b) {
            value if value.is_nan() => f64::INFINITY,
            value => value,
        }
    }

    /// The gradient, the matrix of second derivatives, and what that is on average for targets of these means
    /// (Fisher's information), which has no negative direction.
    fn derivatives(&self, at: &Array1<f64>) -> (Array1<f64>, [Array2<f64>; 2]) {
        let [means, slopes, bends] = self.means(at);
        let variances = means.mapv(|m| m.powf(self.power));
        let residuals = &self.weights / &variances * (&means - self.y);
        let expected = &self.weights * &slopes * &slopes / &variances;
        // A mean of 0 has no variance to change with it at power 0.
        let change = match self.power {
            0. => Array1::zeros(means.len()),
            p => p * &slopes * &slopes / &means,
        };
        let observed = &expected + &(&residuals * &(bends - change));
        let rows = concatenate![Axis(1), Array2::ones((self.y.len(), 1)), self.x];
        let mut gradient = rows.t().dot(&(residuals * slopes));
        (1..gradient.len()).for_each(|i| gradient[i] += self.penalty * at[i]);
        let curvature = |by_row: Array1<f64>| {
            let mut curvature = rows.t().dot(&(&rows * &by_row.insert_axis(Axis(1))));
            (1..rows.ncols()).for_each(|i| curvature[[i, i]] += self.penalty);
            curvature
        };
        (gradient, [curvature(observed), curvature(expected)])
    }
}

/// Half the unit deviance.
fn half_deviance(power: f64, y: f64, mean: f64) -> f64 {
    if power == 0. {
        return (y - mean).powi(2) / 2.;
    }
    if mean <= 0. {
        return f64::INFINITY;
    }
    // (m^(k − power) − 1)/(k − power), which is ln m at 0.
    let part = |k: f64, m: f64| match k - power {
        0. => m.ln(),
        e => (e * m.ln()).exp_m1() / e,
    };
    let of = |m: f64| part(2., m) - if y == 0. { 0. } else { y * part(1., m) };
    let least = match y {
        y if y > 0. => of(y),
        0. => -1. / (2. - power),
        y => y / (1. - power) - 1. / (2. - power),
    };
    of(mean) - least
}

/// The step of least norm that solves `m x = b`, without the directions that are rounding; `m` is the first
/// of the matrices that has no negative direction.
fn step(matrices: [Array2<f64>; 2], b: &Array1<f64>) -> Result<Array1<f64>> {
    for m in matrices {
        if m.iter().any(|x| !x.is_finite()) {
            continue;
        }
        let (values, vectors) = m.eigh_into().map_err(|e| unsolvable(&e))?;
        let largest = values.iter().fold(0f64, |most, v| most.max(v.abs()));
        if values.iter().all(|v| *v > -RANK * largest) {
            let mut rotated = vectors.t().dot(b);
            rotated.zip_mut_with(&values, |r, v| *r = if *v > RANK * largest { *r / v } else { 0. });
            return Ok(vectors.dot(&rotated));
        }
    }
    Err(unsolvable(&"out of the range of numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use candle_core::Device;

    /// The formulas of the table in the docs, and for the other powers the usual one.
    #[test]
    fn deviances_are_those_of_the_books() {
        for (y, mean) in [(2.5f64, 1.5f64), (0.3, 4.), (3., 3.), (1e-3, 7.)] {
            let usual = |p: f64| {
                y.powf(2. - p) / (1. - p) / (2. - p) - y * mean.powf(1. - p) / (1. - p)
                    + mean.powf(2. - p) / (2. - p)
            };
            let cases = [
                (0., (y - mean).powi(2) / 2.),
                (1., y * (y / mean).ln() - y + mean),
                (2., (mean / y).ln() + y / mean - 1.),
                (3., (y - mean).powi(2) / (2. * mean * mean * y)),
                (1.5, usual(1.5)),
                (2.7, usual(2.7)),
                (-1., usual(-1.)),
            ];
            for (power, expected) in cases {
                let ours = half_deviance(power, y, mean);
                assert!(
                    (ours - expected).abs() < 1e-12 * (1. + expected.abs()),
                    "{power}: {ours}, {expected}"
                );
            }
            // Next to 1 and 2 it goes over into them.
            for power in [1., 2.] {
                let gap = half_deviance(power + 1e-9, y, mean) - half_deviance(power, y, mean);
                assert!(gap.abs() < 1e-6, "{power}: {gap}");
            }
        }
        assert_eq!(half_deviance(1., 0., 3.), 3.);
        assert_eq!(half_deviance(1.5, 0., 4.), 4.); // μ^(2 − p)/(2 − p)
        let negative = 2. * 4f64.powi(2) / 2. + 4f64.powi(3) / 3.; // −y μ^(1 − p)/(1 − p) + μ^(2 − p)/(2 − p)
        assert!((half_deviance(-1., -2., 4.) - negative).abs() < 1e-12);
        assert_eq!(half_deviance(1., 1., -1.), f64::INFINITY);
    }

    #[test]
    fn derivatives_are_those_of_the_value() {
        let x = Array2::from_shape_fn((7, 2), |(i, j)| ((i * 5 + j * 3) % 7) as f64 / 7. - 0.4);
        let y = Array1::from_shape_fn(7, |i| 0.1 + (i % 4) as f64 / 5.);
        let weights = Array1::from_shape_fn(7, |i| (i + 1) as f64 / 28.);
        for link in [Link::Identity, Link::Log, Link::Logit] {
            for power in [-1., 0., 1., 1.5, 2., 3.] {
                let problem =
                    Problem { x: x.view(), y: &y, weights: weights.clone(), power, link, penalty: 0.3 };
                let at = ndarray::array![0.6, 0.2, -0.1];
                let (gradient, [observed, _]) = problem.derivatives(&at);
                for i in 0..3 {
                    let value = |step: f64| {
                        let mut to = at.clone();
                        to[i] += step;
                        problem.value(&to)
                    };
                    let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
                    assert!((slope - gradient[i]).abs() < 1e-7 * (1. + slope.abs()), "{link:?}, {power}");
                    let gradient = |step: f64| {
                        let mut to = at.clone();
                        to[i] += step;
                        problem.derivatives(&to).0
                    };
                    let bend = (gradient(1e-5) - gradient(-1e-5)) / 2e-5;
                    for (a, b) in bend.iter().zip(observed.row(i)) {
                        assert!((a - b).abs() < 1e-6 * (1. + b.abs()), "{link:?}, {power}: {a} is not {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_come_back_and_odd_ones_do_not_panic() {
        let fit = Fit { objective: 0.5, iterations: 3, gap: None };
        let (coefficients, intercepts) = (vec![vec![0.5, -0.25]], vec![f64::MIN_POSITIVE]);
        let model = TweedieModel { power: 1., alpha: 0., link: Link::Log, coefficients, intercepts, fit };
        let bytes = codec::encode(&model).unwrap();
        assert_eq!(codec::decode::<TweedieModel>(&bytes).unwrap(), model);
        let features = Tensor::new(&[[1f32, 2.], [5., f32::NAN]], &Device::Cpu).unwrap();
        let all = model.predict(&features).unwrap().to_vec2::<f32>().unwrap();
        assert!((all[0][0] - 1.).abs() < 1e-6 && all[1][0].is_nan());
        assert!(model.predict(&features.narrow(1, 0, 1).unwrap()).is_err());
        for i in 0..bytes.len() {
            assert!(codec::decode::<TweedieModel>(&bytes[..i]).is_err());
            let mut odd = bytes.clone();
            odd[i] ^= 0xff;
            if let Ok(odd) = codec::decode::<TweedieModel>(&odd) {
                let _ = odd.predict(&features);
            }
        }
    }
}
