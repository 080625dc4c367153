//! The gain of a change, in pairs of scores, and whether it is certain.
use crate::{
    improve::{RunScores, Verdict},
    statistics::{corrected_t_interval, Interval},
    Result,
};

/// How a metric becomes a loss, of which a gain is a relative reduction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measure {
    /// Whether a higher metric is better. The loss is then 1 minus the metric.
    pub(super) higher_is_better: bool,
    /// A loss that is next to nothing: differences of losses far below it count as none.
    pub(super) floor: f64,
}

/// The floor of a measure as a share of the loss of the prediction without a model.
const FLOOR: f64 = 1e-3;
/// The limit of a relative difference where it becomes a reduction, which has no lower limit: a loss that is
/// 19 times as large.
const LOWEST: f64 = -0.9;

impl Measure {
    /// The measure of a metric, of which the prediction without a model has this value.
    pub(super) fn new(higher_is_better: bool, no_model: f64) -> Self {
        let loss = if higher_is_better { 1. - no_model } else { no_model };
        let floor = FLOOR * if loss.is_finite() { loss.abs() } else { 1. };
        Self { higher_is_better, floor: floor.max(f64::MIN_POSITIVE) }
    }

    /// The relative difference of the losses without and with a change, `(a − b) / (a + b)` from −1 to 1.
    ///
    /// It is half the difference of their logarithms where they are close, and its limits are those of a loss
    /// that vanishes or diverges: a bounded measure, which a single training that diverges does not take
    /// over.
    pub(super) fn difference(self, pair: &RunScores) -> f64 {
        let (a, b) = (self.loss(pair.without), self.loss(pair.with));
        match (a.is_finite(), b.is_finite()) {
            (true, true) => (a - b) / (a + b + 2. * self.floor),
            (false, true) => 1.,
            (true, false) => -1.,
            (false, false) => 0.,
        }
    }

    /// A loss of 0 or more; infinite where the training diverged.
    fn loss(self, metric: f64) -> f64 {
        let loss = if self.higher_is_better { 1. - metric } else { metric };
        match loss.is_nan() {
            true => f64::INFINITY,
            false => loss.max(0.),
        }
    }
}

/// The share by which the loss is reduced, from a relative difference.
fn reduction(difference: f64) -> f64 {
    let d = difference.clamp(LOWEST, 1.);
    2. * d / (1. + d)
}

/// The mean relative difference of the pairs of each split, in the order of the splits.
fn differences(pairs: &[RunScores], measure: Measure) -> Vec<f64> {
    let of_split = |pairs: &[RunScores]| {
        pairs.iter().map(|pair| measure.difference(pair)).sum::<f64>() / pairs.len() as f64
    };
    pairs.chunk_by(|a, b| a.split == b.split).map(of_split).collect()
}

/// The interval of the mean gain over splits, as a reduction of the loss; `None` for fewer than two splits.
/// The pairs are in the order of their splits.
///
/// The differences are from splits of the same rows, so it is Nadeau and Bengio's corrected resampled t
/// interval.
pub(super) fn gain(
    pairs: &[RunScores],
    measure: Measure,
    (valid, train): (usize, usize),
    level: f64,
) -> Result<Option<Interval>> {
    let differences = differences(pairs, measure);
    if differences.len() < 2 {
        return Ok(None);
    }
    let interval = corrected_t_interval(&differences, valid, train, level)?;
    let [estimate, low, high] = [interval.estimate, interval.low, interval.high].map(reduction);
    Ok(Some(Interval { estimate, low, high, level }))
}

/// The mean relative difference of the pairs.
pub(super) fn mean_difference(pairs: &[RunScores], measure: Measure) -> f64 {
    let differences = differences(pairs, measure);
    differences.iter().sum::<f64>() / differences.len() as f64
}

/// What the interval of a gain says, where a gain below `min_gain` is not worth a change.
pub(super) fn verdict(gain: Option<Interval>, pairs: &[RunScores], min_gain: f64) -> Verdict {
    let diverged = |score: fn(&RunScores) -> f64| pairs.iter().filter(|pair| score(pair).is_nan()).count();
    let (without, with) = (diverged(|pair| pair.without), diverged(|pair| pair.with));
    match gain {
        Some(gain) if gain.low > 0. && gain.estimate < min_gain => Verdict::SmallGain,
        Some(gain) if gain.low > 0. => Verdict::Better,
        _ if with > without && 2 * with > pairs.len() => Verdict::Diverged,
        Some(gain) if gain.high < 0. => Verdict::Worse,
        _ => Verdict::NoGain,
    }
}

/// The one-sided level of the remedy that is tried as number `tried` (from 0) since the last change that was
/// kept: `α / (k (k + 1))` for the k-th one, and all that is left, `α / k`, for one after which no other is tried.
///
/// These levels add up to `α`, however many remedies are tried, so the probability of keeping one of them is
/// at most `α` where none does anything (Bonferroni's inequality). The first remedies get most of the level,
/// because remedies are tried in the order of their promise. A change that is kept starts a new family of
/// hypotheses about a new setup.
pub(super) fn level_of(alpha: f64, tried: usize, last: bool) -> f64 {
    let k = tried as f64 + 1.;
    alpha / if last { k } else { k * (k + 1.) }
}

/// The level of the two-sided interval whose lower end is the one-sided bound at `level_of`.
pub(super) fn interval_level(alpha: f64, tried: usize, last: bool) -> f64 {
    1. - 2. * level_of(alpha, tried, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(without: f64, with: f64) -> RunScores {
        RunScores { split: 0, without, with }
    }

    #[test]
    fn differences_are_relative_and_bounded() {
        let loss = Measure { higher_is_better: false, floor: 0. };
        assert_eq!(loss.difference(&pair(3., 1.)), 0.5);
        assert_eq!(loss.difference(&pair(1., 3.)), -0.5);
        assert_eq!(loss.difference(&pair(f64::NAN, 3.)), 1.);
        assert_eq!(loss.difference(&pair(1., f64::INFINITY)), -1.);
        assert_eq!(loss.difference(&pair(f64::NAN, f64::NAN)), 0.);
        let accuracy = Measure { higher_is_better: true, floor: 0. };
        assert!((accuracy.difference(&pair(0.7, 0.9)) - 0.5).abs() < 1e-12);
        assert_eq!(accuracy.difference(&pair(f64::NAN, 0.9)), 1.);
        // Losses far below that of a prediction without a model are the same.
        let measure = Measure::new(false, 0.7);
        assert!(measure.difference(&pair(1e-6, 1e-9)) < 1e-3);
        assert_eq!(measure.difference(&pair(0., 0.)), 0.);
        assert_eq!(Measure::new(true, 1.).difference(&pair(1., 1.)), 0.);
    }

    #[test]
    fn a_reduction_is_a_share_of_the_loss() {
        // From 3 to 1: two thirds less. From 1 to 3: two times more.
        assert!((reduction(0.5) - 2. / 3.).abs() < 1e-15);
        assert!((reduction(-0.5) + 2.).abs() < 1e-15);
        assert_eq!((reduction(1.), reduction(0.)), (1., 0.));
        assert!(reduction(-1.).is_finite());
    }

    /// Differences 0.1, 0.2 and 0.3: mean 0.2, sd 0.1, and the quantile of Student's distribution with 2
    /// degrees of freedom at 0.975 is 4.302653; the half width is 4.302653 · 0.1 · sqrt(1/3 + 1/3) =
    /// 0.351310.
    #[test]
    fn the_interval_is_that_of_nadeau_and_bengio() {
        // The first split has two runs, with differences 0 and 0.2.
        let all = [(0, pair(1., 1.)), (0, pair(1.2, 0.8)), (1, pair(1.2, 0.8)), (2, pair(1.3, 0.7))];
        let pairs = all.map(|(split, pair)| RunScores { split, ..pair });
        let measure = Measure { higher_is_better: false, floor: 0. };
        let gain = gain(&pairs, measure, (25, 75), 0.95).unwrap().unwrap();
        let back = |r: f64| r / (2. - r);
        assert!((back(gain.estimate) - 0.2).abs() < 1e-12);
        assert!((back(gain.low) - (0.2 - 0.351310)).abs() < 1e-5, "{gain:?}");
        assert!((back(gain.high) - (0.2 + 0.351310)).abs() < 1e-5, "{gain:?}");
        assert_eq!(verdict(Some(gain), &pairs, 0.), Verdict::NoGain);
        assert!(super::gain(&pairs[..2], measure, (25, 75), 0.95).unwrap().is_none());
    }

    #[test]
    fn verdicts() {
        let interval =
            |low: f64, high: f64| Some(Interval { estimate: (low + high) / 2., low, high, level: 0.95 });
        let fine = [pair(1., 1.), pair(1., 1.)];
        assert_eq!(verdict(interval(0.1, 0.2), &fine, 0.), Verdict::Better);
        assert_eq!(verdict(interval(0.1, 0.2), &fine, 0.16), Verdict::SmallGain);
        assert_eq!(verdict(interval(0.1, 0.2), &fine, 0.14), Verdict::Better);
        assert_eq!(verdict(interval(-0.1, 0.2), &fine, 0.), Verdict::NoGain);
        assert_eq!(verdict(interval(-0.3, -0.1), &fine, 0.), Verdict::Worse);
        assert_eq!(verdict(None, &fine, 0.), Verdict::NoGain);
        let diverged = [pair(1., f64::NAN), pair(1., f64::NAN), pair(1., 1.)];
        assert_eq!(verdict(interval(-1., 0.), &diverged, 0.), Verdict::Diverged);
        // Both diverge: nothing is lost by the change.
        let both = [pair(f64::NAN, f64::NAN), pair(f64::NAN, f64::NAN)];
        assert_eq!(verdict(interval(0., 0.), &both, 0.), Verdict::NoGain);
    }

    #[test]
    fn the_levels_add_up_to_alpha() {
        assert!((level_of(0.05, 0, false) - 0.025).abs() < 1e-15);
        let sum: f64 = (0..100_000).map(|tried| level_of(0.05, tried, false)).sum();
        assert!(sum < 0.05 && sum > 0.0499, "{sum}");
        // One that is the last takes what the ones before it have left.
        for before in [0, 1, 9] {
            let sum: f64 = (0..before).map(|tried| level_of(0.05, tried, false)).sum();
            assert!((sum + level_of(0.05, before, true) - 0.05).abs() < 1e-15, "{before}");
        }
        assert!((interval_level(0.05, 0, false) - 0.95).abs() < 1e-12);
    }
}
