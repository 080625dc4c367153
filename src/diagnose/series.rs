//! Series of losses or metrics over the epochs, and what is read from them.
use crate::diagnose::{Curve, Curves};

/// The usable values of a series, by epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series(Vec<(usize, f64)>);

/// Losses from here on have diverged: their squares are not finite.
const LARGEST: f64 = 1e150;

/// Whether a loss or a metric is a number that can be used.
pub(crate) fn usable(x: f64) -> bool {
    x.abs() < LARGEST
}

/// The median of finite values; `None` if there are none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        1 => Some(upper),
        _ => Some(0.5 * (sorted.get(sorted.len() / 2 - 1)? + upper)),
    }
}

impl Series {
    pub(crate) fn of(values: &[f64]) -> Self {
        Self(values.iter().copied().enumerate().filter(|(_, x)| usable(*x)).collect())
    }

    /// The median over the runs at each epoch, up to the last epoch that at least half of the runs reach. One
    /// run that goes astray does not change it, nor does the order of the runs.
    pub(crate) fn typical(curves: &Curves, of: impl Fn(&Curve) -> &[f64]) -> Self {
        let runs: Vec<&[f64]> = curves.runs.iter().map(of).filter(|run| !run.is_empty()).collect();
        let epochs = runs.iter().map(|run| run.len()).max().unwrap_or(0);
        let at = |epoch: usize| {
            let values = runs.iter().filter_map(|run| run.get(epoch)).copied().filter(|x| usable(*x));
            let values: Vec<f64> = values.collect();
            let enough = 2 * values.len() >= runs.len();
            median(values).filter(|_| enough).map(|value| (epoch, value))
        };
        Self((0..epochs).filter_map(at).collect())
    }

    pub(crate) fn points(&self) -> &[(usize, f64)] {
        &self.0
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = f64> + '_ {
        self.0.iter().map(|(_, value)| *value)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> Option<(usize, f64)> {
        self.0.first().copied()
    }

    pub(crate) fn last(&self) -> Option<(usize, f64)> {
        self.0.last().copied()
    }

    /// The epoch of the smallest value, and the value; the first one of equal values.
    pub(crate) fn lowest(&self) -> Option<(usize, f64)> {
        self.0.iter().copied().reduce(|low, point| if point.1 < low.1 { point } else { low })
    }

    /// The value at an epoch, or at the last one before it.
    pub(crate) fn at(&self, epoch: usize) -> Option<f64> {
        self.0.iter().rev().find(|(at, _)| *at <= epoch).map(|(_, value)| *value)
    }

    /// The part from a share of the epochs on: `tail(0.8)` is the last fifth. It has at least one value.
    pub(crate) fn tail(&self, from: f64) -> Self {
        let Some((last, _)) = self.last() else { return Self::default() };
        let start = (from * (last + 1) as f64).floor().min(last as f64);
        Self(self.0.iter().copied().filter(|(epoch, _)| *epoch as f64 >= start).collect())
    }

    /// The level at the end: the median over the last tenth of the epochs.
    pub(crate) fn level(&self) -> Option<f64> {
        median(self.tail(0.9).values())
    }

    /// The fall from the first value to the lowest one, as a share of the first.
    pub(crate) fn fall(&self) -> Option<f64> {
        let ((_, first), (_, lowest)) = (self.first()?, self.lowest()?);
        share(first - lowest, first)
    }

    /// The fall over the last fifth of the epochs, along a straight line fitted to it, as a share of the
    /// value where it begins. A rise is negative. It needs three values.
    pub(crate) fn fall_of_last_fifth(&self) -> Option<f64> {
        let tail = self.tail(0.8);
        let line = tail.line().filter(|_| tail.len() >= 3)?;
        let (from, to) = (line.at(tail.first()?.0), line.at(tail.last()?.0));
        share(from - to, from)
    }

    /// The standard deviation of the noise from epoch to epoch, without the trend: the median absolute second
    /// difference, which for independent normal noise is `√6 · 0.6745` times its standard deviation.
    pub(crate) fn noise(&self) -> Option<f64> {
        let values: Vec<f64> = self.values().collect();
        let second = values.windows(3).filter_map(|three| match three {
            [a, b, c] => Some((a - 2. * b + c).abs()),
            _ => None,
        });
        median(second).map(|size| size / (6f64.sqrt() * 0.6744897501960817))
    }

    /// The share of epochs at which the value is lower than at the epoch before.
    pub(crate) fn share_of_falls(&self) -> Option<f64> {
        let falls = self.0.windows(2).filter(|two| matches!(two, [a, b] if b.1 < a.1)).count();
        (self.len() > 1).then(|| falls as f64 / (self.len() - 1) as f64)
    }

    /// The largest rise from one value to the next: the epoch at which it has risen, and the rise; `None` if
    /// it never rises.
    pub(crate) fn largest_rise(&self) -> Option<(usize, f64)> {
        let rises = self.0.windows(2).filter_map(|two| match two {
            [a, b] if b.1 > a.1 => Some((b.0, b.1 - a.1)),
            _ => None,
        });
        rises.reduce(|most, rise| if rise.1 > most.1 { rise } else { most })
    }

    /// The straight line of least squares; `None` with fewer than two values.
    pub(crate) fn line(&self) -> Option<Line> {
        let n = self.len() as f64;
        if n < 2. {
            return None;
        }
        let centre = self.0.iter().map(|(epoch, _)| *epoch as f64).sum::<f64>() / n;
        let mean = self.values().sum::<f64>() / n;
        let offsets = || self.0.iter().map(|(epoch, value)| (*epoch as f64 - centre, value));
        let spread: f64 = offsets().map(|(x, _)| x * x).sum();
        let slope = offsets().map(|(x, value)| x * (value - mean)).sum::<f64>() / spread;
        Some(Line { centre, mean, slope })
    }
}

/// A straight line over the epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    centre: f64,
    /// Its value at the centre of the epochs, which is the mean of the values.
    pub(crate) mean: f64,
    pub(crate) slope: f64,
}

impl Line {
    pub(crate) fn at(&self, epoch: usize) -> f64 {
        self.mean + self.slope * (epoch as f64 - self.centre)
    }
}

/// `part` as a share of a positive `whole`.
pub(crate) fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.).then(|| part / whole)
}

/// The typical curves of several runs.
#[derive(Clone, Debug)]
pub(crate) struct Typical {
    pub(crate) train: Series,
    pub(crate) valid: Series,
    pub(crate) train_metric: Series,
    pub(crate) valid_metric: Series,
}

impl Typical {
    pub(crate) fn of(curves: &Curves) -> Self {
        Self {
            train: Series::typical(curves, |run| &run.train_loss),
            valid: Series::typical(curves, |run| &run.valid_loss),
            train_metric: Series::typical(curves, |run| &run.train_metric),
            valid_metric: Series::typical(curves, |run| &run.valid_metric),
        }
    }

    /// The last epoch with both losses, the training loss and the validation loss there.
    pub(crate) fn end(&self) -> Option<(usize, f64, f64)> {
        let mut both = self.valid.points().iter().rev();
        both.find_map(|(epoch, valid)| {
            let train = self.train.points().iter().find(|(at, _)| at == epoch)?;
            Some((*epoch, train.1, *valid))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() <= 1e-12 * b.abs().max(1.)), "{a:?} {b}");
    }

    #[test]
    fn a_series_by_hand() {
        let series = Series::of(&[4., 2., f64::NAN, 3., 1., 1.]);
        assert_eq!(series.points(), [(0, 4.), (1, 2.), (3, 3.), (4, 1.), (5, 1.)]);
        assert_eq!(series.lowest(), Some((4, 1.)));
        assert_eq!(series.largest_rise(), Some((3, 1.)));
        assert_eq!((series.at(2), series.at(5)), (Some(2.), Some(1.)));
        close(series.fall(), 0.75);
        close(series.share_of_falls(), 0.5);
        assert_eq!(series.tail(0.8).points(), [(4, 1.), (5, 1.)]);
        assert_eq!(Series::of(&[]).level(), None);
        assert_eq!(Series::of(&[f64::NAN]).fall(), None);
        // A loss at or below zero has no share.
        assert_eq!(Series::of(&[0., -1.]).fall(), None);
    }

    #[test]
    fn the_last_fifth_of_a_straight_line_falls_by_its_slope() {
        let falling: Vec<f64> = (0..20).map(|t| 10. - 0.25 * f64::from(t)).collect();
        // From epoch 16, at 6, to epoch 19, at 5.25.
        close(Series::of(&falling).fall_of_last_fifth(), 0.75 / 6.);
        close(Series::of(&falling).noise(), 0.);
        close(Series::of(&falling).level(), 5.375);
        assert_eq!(Series::of(&[3., 2.]).fall_of_last_fifth(), None);
    }

    #[test]
    fn the_noise_is_the_standard_deviation_of_normal_noise() {
        let mut rng = crate::Seed::from(3).rng();
        let values: Vec<f64> = (0..20_000)
            .map(|t| {
                use rand::Rng;
                // The sum of twelve uniform numbers is close to normal, of variance 1.
                let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.;
                0.001 * f64::from(t) + 0.5 * normal
            })
            .collect();
        let noise = Series::of(&values).noise().unwrap();
        // Four standard errors of about 1.2 % of the median, in second differences that are correlated.
        assert!((noise - 0.5).abs() < 0.025, "{noise}");
    }

    #[test]
    fn the_typical_curve_is_the_median_and_ends_where_half_of_the_runs_end() {
        let run = |loss: &[f64]| Curve { train_loss: loss.to_vec(), ..Curve::default() };
        let curves = Curves::new(vec![run(&[3., 2., 1., 1.]), run(&[5., 4.]), run(&[4., f64::NAN, 7.])]);
        let typical = Series::typical(&curves, |run| &run.train_loss);
        assert_eq!(typical.points(), [(0, 4.), (1, 3.), (2, 4.)]);
    }
}
