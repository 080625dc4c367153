//! Numbers as text.
use crate::metrics::{Interval, Summary};

/// What a cell shows where there is nothing to show.
pub(super) const NONE: &str = "–";

/// The number of digits after the decimal point for a metric of this size.
pub(super) fn digits(metric: f64) -> usize {
    match metric.abs() {
        x if x < 10. => 4,
        x if x < 1000. => 2,
        _ => 0,
    }
}

/// The mean, and the standard deviation if there is one.
pub(super) fn plus_minus(summary: &Summary) -> String {
    let (mean, digits) = (summary.mean, digits(summary.mean));
    match summary.sd {
        Some(sd) => format!("{mean:.digits$} ± {sd:.digits$}"),
        None => format!("{mean:.digits$}"),
    }
}

/// An estimate with its interval.
pub(super) fn interval(i: &Interval, digits: usize) -> String {
    let (x, low, high) = (i.estimate, i.low, i.high);
    format!("{x:+.digits$} ({low:+.digits$} … {high:+.digits$})")
}

pub(super) fn seconds(s: f64) -> String {
    match s {
        s if s < 1. => format!("{:.0} ms", s * 1e3),
        s if s < 120. => format!("{s:.1} s"),
        s => format!("{:.1} min", s / 60.),
    }
}

pub(super) fn bytes(size: f64) -> String {
    match size {
        size if size < 1e6 => format!("{:.0} kB", size / 1e3),
        size if size < 1e9 => format!("{:.1} MB", size / 1e6),
        size => format!("{:.1} GB", size / 1e9),
    }
}
