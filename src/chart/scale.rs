//! The range of an axis, and the positions and labels of its ticks.

/// The values an axis spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    /// The smallest range that holds all of `values`.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        values.into_iter().fold(None, |range: Option<Self>, v| match range {
            None => Some(Self { low: v, high: v }),
            Some(r) => Some(Self { low: r.low.min(v), high: r.high.max(v) }),
        })
    }

    pub(crate) fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    pub(crate) fn span(&self) -> f64 {
        self.high - self.low
    }

    /// A range that is wider by `share` of its span at both ends; a range of one value becomes wider by 1 %
    /// of it.
    pub(crate) fn padded(&self, share: f64) -> Self {
        let size = self.low.abs().max(self.high.abs());
        let pad = if size < 1e-290 {
            1.0
        } else if self.span() <= 1e-9 * size {
            0.01 * size
        } else {
            share * self.span()
        };
        Self { low: self.low - pad, high: self.high + pad }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (value - self.low) / self.span()
    }
}

/// The range of a chart's values: all of `lines`, and the singles that do not flatten the lines.
///
/// A diverged network would make everything else invisible, so singles are included up to one and a half
/// times the span of the lines and of the singles' middle half.
pub(crate) fn robust(lines: Range, singles: &[f64]) -> Range {
    let mut sorted = singles.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = [quantile(&sorted, 0.25), quantile(&sorted, 0.75)].into_iter().flatten();
    let core = Range::of([lines.low, lines.high].into_iter().chain(middle)).unwrap_or(lines);
    let fence = Range { low: core.low - 1.5 * core.span(), high: core.high + 1.5 * core.span() };
    Range::of(sorted.into_iter().filter(|&v| fence.holds(v)).chain([core.low, core.high])).unwrap_or(core)
}

/// The quantile at `share` of `sorted` values, linear between neighbours (Hyndman and Fan 1996, type 7).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (*sorted.get(at.floor() as usize)?, *sorted.get(at.ceil() as usize)?);
    Some(below + (above - below) * at.fract())
}

/// The value and the label of a tick.
pub(crate) type Tick = (f64, String);

/// Ticks at round values, about as many as `number`.
pub(crate) fn ticks(range: Range, number: f64) -> Vec<Tick> {
    let rough = (range.span() / number).log10();
    let mut exponent = rough.floor() as i32;
    // The round step nearest in ratio: borders at √2, √10 (a little less, so that there are eleven at most)
    // and √50.
    let times = match 10f64.powf(rough - rough.floor()) {
        t if t < 1.414 => 1.0,
        t if t < 3.13 => 2.0,
        t if t < 7.071 => 5.0,
        _ => {
            exponent += 1;
            1.0
        }
    };
    let step = times * 10f64.powi(exponent);
    let first = (range.low / step).ceil();
    (0..30)
        // Adding zero turns -0 into 0.
        .map(|k| (first + f64::from(k)) * step + 0.0)
        .take_while(|&v| v <= range.high)
        .map(|v| (v, label(v, exponent, range)))
        .collect()
}

/// `value` to the decimal `10^exponent`, with a true minus sign.
fn label(value: f64, exponent: i32, range: Range) -> String {
    let size = range.low.abs().max(range.high.abs());
    let text = if (1e-3..1e6).contains(&size) {
        format!("{value:.*}", exponent.min(0).unsigned_abs() as usize)
    } else {
        let digits = if value == 0.0 { 0 } else { (value.abs().log10() + 1e-9).floor() as i32 - exponent };
        format!("{value:.*e}", digits.clamp(0, 15) as usize)
    };
    text.replace('-', "−")
}

/// Ticks for a range of logarithms to base 10, about as many as `number`, with the values themselves.
///
/// Where the range spans few powers of ten, ticks are at 1, 2 and 5 times such powers, or at round values.
pub(crate) fn log_ticks(logs: Range, number: f64) -> Vec<Tick> {
    if logs.span() < 1.0 {
        let values = Range { low: 10f64.powf(logs.low), high: 10f64.powf(logs.high) };
        return ticks(values, number);
    }
    let (first, last) = (logs.low.floor() as i32, logs.high.ceil() as i32);
    let every = (logs.span() / number).ceil().max(1.0) as i32;
    let times: &[f64] = if 3.0 * logs.span() <= 1.5 * number { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (first..=last)
        .filter(|k| k.rem_euclid(every) == 0)
        .flat_map(|k| times.iter().map(move |m| (k, *m)))
        .map(|(k, m)| (k, m * 10f64.powi(k), m))
        // The margin may reach powers that are no numbers.
        .filter(|(k, v, m)| v.is_normal() && logs.holds(f64::from(*k) + m.log10()))
        .map(|(k, v, m)| (v, power_label(v, k, m)))
        .collect()
}

/// `value`, which is `times` · 10^`exponent`, as short as possible.
fn power_label(value: f64, exponent: i32, times: f64) -> String {
    if (-4..6).contains(&exponent) {
        format!("{value:.*}", exponent.min(0).unsigned_abs() as usize)
    } else {
        format!("{times:.0}e{exponent}").replace('-', "−")
    }
}

/// A number with as many digits as a step of 1/1000 of `span` needs, for a label next to its mark.
pub(crate) fn short(value: f64, span: f64) -> String {
    let size = value.abs();
    let text = if value == 0.0 {
        "0".into()
    } else if (1e-3..1e6).contains(&size) {
        let finest = (span / 500.0).max(size * 1e-6).log10().floor();
        format!("{value:.*}", (-finest).clamp(0.0, 6.0) as usize)
    } else {
        format!("{value:.1e}")
    };
    text.replace('-', "−")
}

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    Linear(Range),
    /// By their logarithms to base 10, whose range this is.
    Log(Range),
}

impl Scale {
    /// A linear scale that holds `values`, with a margin.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>, margin: f64) -> Self {
        Self::Linear(Range::of(values).unwrap_or(Range { low: 0.0, high: 1.0 }).padded(margin))
    }

    /// A logarithmic scale that holds `values`, which are positive, with a margin.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>, margin: f64) -> Self {
        let logs = Range::of(values.into_iter().map(f64::log10)).unwrap_or(Range { low: 0.0, high: 1.0 });
        let pad = if logs.span() < 1e-6 { 0.3 } else { margin * logs.span() };
        Self::Log(Range { low: logs.low - pad, high: logs.high + pad })
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        match self {
            Self::Linear(range) => range.share(value),
            Self::Log(logs) => logs.share(value.log10()),
        }
    }

    pub(crate) fn ticks(&self, number: f64) -> Vec<Tick> {
        match self {
            Self::Linear(range) => ticks(*range, number),
            Self::Log(logs) => log_ticks(*logs, number),
        }
    }
}

/// Ticks for whole numbers from 1 to `last`: each up to `number`, then 1 and round numbers.
pub(crate) fn whole_ticks(last: usize, number: usize) -> Vec<usize> {
    let mut step = 1usize;
    while last / step > if step == 1 { number } else { number.div_ceil(2) + 2 } {
        let next = match step.to_string().as_bytes() {
            [b'1'] => step.checked_mul(5),
            [b'2', ..] => step.checked_mul(5).map(|s| s / 2),
            _ => step.checked_mul(2),
        };
        match next {
            Some(next) => step = next,
            None => break,
        }
    }
    std::iter::once(1)
        .chain((1..=20).map_while(|k| step.checked_mul(k)).filter(|&s| s > 1).take_while(|&s| s <= last))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        ticks(Range { low, high }, 7.0).into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_at_round_values() {
        assert_eq!(labels(0.885, 0.9432), ["0.89", "0.90", "0.91", "0.92", "0.93", "0.94"]);
        assert_eq!(labels(53.1, 58.4), ["54", "55", "56", "57", "58"]);
        assert_eq!(labels(-0.07, 0.07), ["−0.06", "−0.04", "−0.02", "0.00", "0.02", "0.04", "0.06"]);
        assert_eq!(
            labels(0.9712, 0.9748),
            ["0.9715", "0.9720", "0.9725", "0.9730", "0.9735", "0.9740", "0.9745"]
        );
        assert_eq!(labels(1.9e7, 2.5e7), ["1.9e7", "2.0e7", "2.1e7", "2.2e7", "2.3e7", "2.4e7", "2.5e7"]);
        assert_eq!(labels(-1e-6, 6.1e-5), ["0e0", "1e−5", "2e−5", "3e−5", "4e−5", "5e−5", "6e−5"]);
    }

    #[test]
    fn whole_ticks_are_few_and_round() {
        assert_eq!(whole_ticks(1, 20), [1]);
        assert_eq!(whole_ticks(5, 20), [1, 2, 3, 4, 5]);
        assert_eq!(whole_ticks(20, 20).len(), 20);
        assert_eq!(whole_ticks(50, 20), [1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]);
        assert_eq!(whole_ticks(65, 20), [1, 10, 20, 30, 40, 50, 60]);
        assert_eq!(whole_ticks(200, 20), [1, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200]);
        assert_eq!(whole_ticks(1000, 20), [1, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
        assert!(whole_ticks(usize::MAX, 20).len() <= 14);
    }

    #[test]
    fn log_ticks_are_powers_of_ten_or_round_values() {
        let of = |low: f64, high: f64, number| {
            let logs = Range { low: low.log10(), high: high.log10() };
            log_ticks(logs, number).into_iter().map(|t| t.1).collect::<Vec<_>>()
        };
        assert_eq!(of(0.009, 20.0, 5.0), ["0.01", "0.1", "1", "10"]);
        assert_eq!(of(0.9, 60.0, 7.0), ["1", "2", "5", "10", "20", "50"]);
        assert_eq!(of(1.1, 3.2, 5.0), ["1.5", "2.0", "2.5", "3.0"]);
        assert_eq!(
            of(0.5e-9, 2e9, 6.0),
            ["1e−8", "1e−4", "1", "1e4", "1e8"].map(|s| match s {
                "1e4" => "10000".to_string(),
                "1e−4" => "0.0001".to_string(),
                s => s.to_string(),
            })
        );
        assert!(of(1e-300, 1e300, 6.0).len() <= 8);
        let beyond = log_ticks(Range { low: -360.0, high: 360.0 }, 6.0);
        assert!(beyond.len() >= 3 && beyond.iter().all(|t| t.0.is_normal()), "{beyond:?}");
    }

    #[test]
    fn scales_place_values() {
        let log = Scale::Log(Range { low: -1.0, high: 3.0 });
        assert!((log.share(10.0) - 0.5).abs() < 1e-15);
        assert_eq!(Scale::linear([2.0, 4.0], 0.5), Scale::Linear(Range { low: 1.0, high: 5.0 }));
        let one = Scale::log([7.0], 0.05);
        assert!((one.share(7.0) - 0.5).abs() < 1e-12 && !one.ticks(6.0).is_empty());
    }

    #[test]
    fn short_numbers_show_what_the_axis_resolves() {
        assert_eq!(short(0.93217, 0.05), "0.9322");
        assert_eq!(short(-0.25, 2.0), "−0.250");
        assert_eq!(short(1234.5, 2000.0), "1234");
        assert_eq!(short(1e-9, 1e-9), "1.0e−9");
        assert_eq!(short(0.0, 1.0), "0");
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8], [.25, .75]) = [1.75, 5.0] by hand: positions 0.75 and 2.25.
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.25), Some(1.75));
        assert_eq!(quantile(&sorted, 0.75), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_diverged_single_does_not_flatten_the_lines() {
        let lines = Range { low: 0.90, high: 0.94 };
        assert_eq!(robust(lines, &[0.89, 0.88, 0.90, 0.1, 0.89]), Range { low: 0.88, high: 0.94 });
        assert_eq!(robust(Range { low: 0.9, high: 0.9 }, &[0.8]), Range { low: 0.8, high: 0.9 });
        assert_eq!(robust(lines, &[]), lines);
    }

    proptest! {
        #[test]
        fn ticks_lie_in_the_range_and_their_labels_differ(middle in -1e4f64..1e4, log_span in -6f64..6.0) {
            let range = Range { low: middle, high: middle + 10f64.powf(log_span) };
            prop_assume!(range.span() > 1e-9 * range.low.abs().max(range.high.abs()));
            let ticks = ticks(range, 7.0);
            prop_assert!((4..=11).contains(&ticks.len()), "{ticks:?}");
            for (value, text) in &ticks {
                prop_assert!(range.holds(*value));
                let read: f64 = text.replace('−', "-").parse().unwrap();
                prop_assert!((read - value).abs() <= 1e-3 * range.span(), "{text} for {value}");
            }
        }

        #[test]
        fn every_range_has_ticks(a in -1e300f64..1e300, flat in any::<bool>(), scale in -300f64..0.0) {
            let low = a * 10f64.powf(scale);
            let range = Range { low, high: if flat { low } else { 1e300 } }.padded(0.05);
            prop_assert!(range.span() > 0.0 && range.span().is_finite());
            let ticks = ticks(range, 7.0);
            prop_assert!((4..=11).contains(&ticks.len()), "{ticks:?}");
        }
    }
}
