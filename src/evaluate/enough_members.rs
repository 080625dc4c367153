//! How many members are enough.
use crate::{
    evaluate::{SizePoint, SizeSummary},
    metrics::{t_interval, Interval, Summary},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// The curve `a + b/M` that is fitted to the metric of ensembles of M members.
///
/// ```text
/// metric(M) = limit + slope / M
/// ```
///
/// The limit is what ensembles of ever more members approach, and `|slope|/M` is what they still gain over M
/// members. For the squared error of a mean of exchangeable members the curve is exact; for the error rate and
/// the log-loss it is an approximation that is good from a few members on.
///
/// It is fitted by weighted least squares. The weight of a size is the number of members that its values use,
/// the size times the number of groups, because the variance of the metric over trainings falls about as 1/M.
/// The groups of one repeat share members across sizes, so their values depend on each other. With two or more
/// repeats, each repeat is fitted on its own, and the intervals are Student's t intervals of the fits, which
/// such dependence does not impair. With one repeat they are those of the regression, which takes the values of
/// different sizes as independent: they are an indication only, and usually too narrow.
///
/// ```
/// use candle_ensemble::evaluate::{SizeFit, SizePoint};
///
/// // Errors of 0.1 + 0.2/M in one repeat and of 0.12 + 0.2/M in another.
/// let curve = |limit: f64| -> Vec<SizePoint> {
///     (1..=8).map(|size| SizePoint { size, values: vec![limit + 0.2 / size as f64] }).collect()
/// };
/// let fit = SizeFit::of(&[curve(0.1), curve(0.12)], 0.95)?;
/// assert!((fit.limit.estimate - 0.11).abs() < 1e-12 && (fit.slope.estimate - 0.2).abs() < 1e-12);
/// assert!((fit.standard_error.unwrap() - 0.01).abs() < 1e-12);
/// assert_eq!(fit.enough(0.05), Some(4)); // more members gain less than 0.05
/// assert_eq!(fit.enough_within_noise(), Some(20));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeFit {
    /// The limit `a`, in units of the metric.
    pub limit: Interval,
    /// The slope `b`, in units of the metric: above 0 where the metric falls with the size.
    pub slope: Interval,
    /// Number of repeats.
    pub repeats: usize,
    /// The standard error of the mean metric of the largest ensembles: over the repeats, or, for one repeat,
    /// the standard deviation of a residual at the largest size. `None` when it is not known.
    pub standard_error: Option<f64>,
}

impl SizeFit {
    /// Fits the curve to the size curves of one or more repeats, with intervals of this level.
    ///
    /// # Errors
    /// When there are no repeats; a repeat has fewer than two sizes with values, or a single repeat fewer than
    /// three; a size is 0; a value is not finite; or the level is not between 0 and 1.
    pub fn of(repeats: &[Vec<SizePoint>], level: f64) -> Result<Self> {
        let lines = repeats.iter().map(|curve| Line::fit(curve)).collect::<Result<Vec<_>>>()?;
        if let [line] = &lines[..] {
            return line.alone(level);
        }
        let column = |of: fn(&Line) -> f64| lines.iter().map(of).collect::<Vec<_>>();
        let last = Summary::of(&column(|line| line.last))?;
        Ok(Self {
            limit: t_interval(&column(|line| line.limit), level)?,
            slope: t_interval(&column(|line| line.slope), level)?,
            repeats: lines.len(),
            standard_error: last.sd.map(|sd| sd / (lines.len() as f64).sqrt()),
        })
    }

    /// Fits the curve to the size curve of a report, with intervals of this level.
    ///
    /// # Errors
    /// As for [`of`](Self::of).
    pub fn of_report(curve: &[SizeSummary], level: f64) -> Result<Self> {
        let repeats = curve.iter().map(|summary| summary.repeats.len()).max().unwrap_or_default();
        let point = |summary: &SizeSummary, repeat: usize| SizePoint {
            size: summary.size,
            values: summary.repeats.get(repeat).cloned().unwrap_or_default(),
        };
        let of_repeat = |repeat| curve.iter().map(|summary| point(summary, repeat)).collect();
        Self::of(&(0..repeats).map(of_repeat).collect::<Vec<_>>(), level)
    }

    /// Returns the fitted metric of ensembles of a size of at least 1.
    #[must_use]
    pub fn at(&self, size: usize) -> f64 {
        self.limit.estimate + self.slope.estimate / size.max(1) as f64
    }

    /// Returns the smallest size from which on more members change the fitted metric by at most `tolerance`,
    /// `⌈|b| / tolerance⌉`; `None` when no size does, or the tolerance is not 0 or more.
    ///
    /// Look at the sign of the slope first: where ensembles get worse with their size, the size says where that
    /// ends.
    #[must_use]
    pub fn enough(&self, tolerance: f64) -> Option<usize> {
        smallest(self.slope.estimate.abs(), tolerance)
    }

    /// Returns [`enough`](Self::enough) for the slope at the end of its interval that is farther from 0: a size
    /// that is enough although the slope is uncertain.
    #[must_use]
    pub fn surely_enough(&self, tolerance: f64) -> Option<usize> {
        smallest(self.slope.low.abs().max(self.slope.high.abs()), tolerance)
    }

    /// Returns the smallest size from which on more members change the fitted metric by at most the standard
    /// error of the measurement; `None` when it is 0 or not known.
    #[must_use]
    pub fn enough_within_noise(&self) -> Option<usize> {
        self.enough(self.standard_error?)
    }
}

/// The smallest size of at least 1 with `slope / size ≤ tolerance`.
fn smallest(slope: f64, tolerance: f64) -> Option<usize> {
    if slope == 0. && tolerance >= 0. {
        return Some(1);
    }
    // The factor keeps a quotient that rounding put above a whole number from giving the next size.
    let size = (slope / tolerance * (1. - 1e-12)).ceil().max(1.);
    (tolerance > 0. && size <= u32::MAX.into()).then_some(size as usize)
}

/// The weighted least squares line of one repeat, over `1/M`.
struct Line {
    limit: f64,
    slope: f64,
    /// The mean metric of the largest size.
    last: f64,
    sizes: usize,
    /// The weight of the largest size, the sums of `w`, `w (x − x̄)²` and of the squared residuals, and `x̄`.
    last_weight: f64,
    weight: f64,
    spread: f64,
    residual: f64,
    centre: f64,
}

impl Line {
    fn fit(curve: &[SizePoint]) -> Result<Self> {
        let mut points = vec![];
        for SizePoint { size, values } in curve.iter().filter(|point| !point.values.is_empty()) {
            if *size == 0 {
                return Err(Error::invalid("size of an ensemble", "at least 1", 0));
            }
            let weight = (size * values.len()) as f64;
            points.push((*size, 1. / *size as f64, Summary::of(values)?.mean, weight));
        }
        points.sort_by_key(|(size, ..)| *size);
        points.dedup_by_key(|(size, ..)| *size);
        let (Some((_, _, last, last_weight)), true) = (points.last().copied(), points.len() >= 2) else {
            return Err(Error::invalid("number of sizes of a repeat", "at least 2", points.len()));
        };
        let sum =
            |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(_, x, y, w)| w * of(*x, *y)).sum::<f64>();
        let weight = sum(&|_, _| 1.);
        let (centre, level) = (sum(&|x, _| x) / weight, sum(&|_, y| y) / weight);
        let spread = sum(&|x, _| (x - centre).powi(2));
        let slope = sum(&|x, y| (x - centre) * (y - level)) / spread;
        let limit = level - slope * centre;
        let residual = sum(&|x, y| (y - limit - slope * x).powi(2));
        Ok(Self { limit, slope, last, sizes: points.len(), last_weight, weight, spread, residual, centre })
    }

    /// The fit of one repeat, with the intervals of the regression.
    fn alone(&self, level: f64) -> Result<SizeFit> {
        if self.sizes < 3 {
            let what = "number of sizes of a single repeat";
            return Err(Error::invalid(what, "at least 3 for an interval", self.sizes));
        }
        let freedom = self.sizes - 2;
        let (t, variance) = (t_quantile(freedom, level)?, self.residual / freedom as f64);
        let interval = |estimate: f64, factor: f64| {
            let half = t * (variance * factor).sqrt();
            Interval { estimate, low: estimate - half, high: estimate + half, level }
        };
        Ok(SizeFit {
            limit: interval(self.limit, 1. / self.weight + self.centre.powi(2) / self.spread),
            slope: interval(self.slope, 1. / self.spread),
            repeats: 1,
            standard_error: Some((variance / self.last_weight).sqrt()),
        })
    }
}

/// Student's quantile for two tails: the half width of the interval of `freedom + 1` numbers, in units of the
/// standard error of their mean.
fn t_quantile(freedom: usize, level: f64) -> Result<f64> {
    let numbers: Vec<f64> = (0..=freedom).map(|i| i as f64).collect();
    let (interval, n) = (t_interval(&numbers, level)?, numbers.len() as f64);
    let sd = Summary::of(&numbers)?.sd.unwrap_or(1.);
    Ok((interval.high - interval.estimate) / (sd / n.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use rand::Rng;
    use rand_distr::StandardNormal;

    fn curve(values: impl Fn(usize) -> Vec<f64>, sizes: usize) -> Vec<SizePoint> {
        (1..=sizes).map(|size| SizePoint { size, values: values(size) }).collect()
    }

    #[test]
    fn a_curve_without_noise_is_recovered() {
        for (a, b) in [(0.3, 0.7), (0.9, -0.2), (5., 0.)] {
            let exact = curve(|size| vec![a + b / size as f64; 12 / size], 12);
            for repeats in [vec![exact.clone()], vec![exact.clone(); 3]] {
                let fit = SizeFit::of(&repeats, 0.95).unwrap();
                for (interval, truth) in [(fit.limit, a), (fit.slope, b)] {
                    assert!((interval.estimate - truth).abs() < 1e-12);
                    assert!(interval.high - interval.low < 1e-12);
                }
                assert!((fit.at(4) - (a + b / 4.)).abs() < 1e-12);
            }
        }
    }

    /// By hand: one value for each of the sizes 1, 2 and 4, so the weights are 1, 2 and 4.
    #[test]
    fn weights_are_sizes_times_groups() {
        let points = [(1, 4.), (2, 3.), (4, 1.)].map(|(size, y)| SizePoint { size, values: vec![y] });
        // Σw = 7, Σwx = 3, Σwx² = 7/4, Σwy = 14, Σwxy = 8: slope = (7·8 − 3·14)/(7·7/4 − 9) = 14/3.25.
        let fit = SizeFit::of(&[points.to_vec()], 0.95).unwrap();
        assert!((fit.slope.estimate - 14. / 3.25).abs() < 1e-12);
        assert!((fit.limit.estimate - (14. - 3. * 14. / 3.25) / 7.).abs() < 1e-12);
        // One degree of freedom: t = 12.7062. The variance of the slope is s²/(Σwx² − (Σwx)²/Σw).
        let residual: f64 = [(1., 1., 4.), (2., 0.5, 3.), (4., 0.25, 1.)]
            .map(|(w, x, y)| w * (y - fit.limit.estimate - fit.slope.estimate * x).powi(2))
            .iter()
            .sum();
        let half = 12.706204736174694 * (residual / (1.75 - 9. / 7.)).sqrt();
        assert!((fit.slope.high - fit.slope.estimate - half).abs() < 1e-9 * half);
    }

    /// The squared error of means of members that share a part of their error: `a + b/M` with `a` the variance
    /// of the common part and `b` that of the own part. All sizes are measured on the same members.
    fn repeat(seed: Seed, a: f64, b: f64) -> Vec<SizePoint> {
        const MEMBERS: usize = 8;
        const ROWS: usize = 40;
        let mut rng = seed.rng();
        let mut normal = |variance: f64| variance.sqrt() * rng.sample::<f64, _>(StandardNormal);
        let common: Vec<f64> = (0..ROWS).map(|_| normal(a)).collect();
        let own: Vec<Vec<f64>> = (0..MEMBERS).map(|_| (0..ROWS).map(|_| normal(b)).collect()).collect();
        let error = |members: &[Vec<f64>]| {
            let square = |row: usize| {
                let mean = members.iter().map(|m| m[row]).sum::<f64>() / members.len() as f64;
                (common[row] + mean).powi(2)
            };
            (0..ROWS).map(square).sum::<f64>() / ROWS as f64
        };
        curve(|size| own.chunks_exact(size).map(error).collect(), MEMBERS)
    }

    /// 95 % of 600 intervals are 570 ± 5.3; three standard deviations allow 554 to 586, exceeded by chance in
    /// 0.3 % of choices of the seeds.
    #[test]
    fn intervals_over_repeats_cover_as_often_as_they_say() {
        let (a, b) = (0.5, 1.5);
        let mut covered = [0; 2];
        for trial in 0..600 {
            let seed = Seed::from(7).nth("trial", trial);
            let repeats: Vec<_> = (0..6).map(|i| repeat(seed.nth("repeat", i), a, b)).collect();
            let fit = SizeFit::of(&repeats, 0.95).unwrap();
            covered[0] += u32::from(fit.limit.contains(a));
            covered[1] += u32::from(fit.slope.contains(b));
        }
        assert!(covered.iter().all(|n| (554..=586).contains(n)), "{covered:?} of 600");
    }

    #[test]
    fn enough_is_the_smallest_size_within_the_tolerance() {
        let exact = curve(|size| vec![0.1 + 0.3 / size as f64], 6);
        let fit = SizeFit::of(&[exact.clone(), exact], 0.95).unwrap();
        for (tolerance, size) in [(1., 1), (0.3, 1), (0.29, 2), (0.1, 3), (0.01, 30)] {
            assert_eq!(fit.enough(tolerance), Some(size));
            assert!((fit.at(size) - 0.1) <= tolerance + 1e-9);
        }
        assert_eq!((fit.enough(0.), fit.enough(-1.), fit.enough(f64::NAN)), (None, None, None));
    }

    #[test]
    fn bad_curves_are_errors() {
        let message = |repeats: &[Vec<SizePoint>]| SizeFit::of(repeats, 0.95).unwrap_err().to_string();
        let of = |sizes| curve(|size| vec![size as f64], sizes);
        assert_eq!(message(&[of(1), of(1)]), "number of sizes of a repeat must be at least 2, but is 1");
        assert_eq!(
            message(&[of(2)]),
            "number of sizes of a single repeat must be at least 3 for an interval, but is 2"
        );
        assert!(SizeFit::of(&[], 0.95).is_err());
    }
}
