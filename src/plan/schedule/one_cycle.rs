//! One cycle up and down.
use super::Schedule;
use crate::{
    check::positive,
    registry::{Argument, Entry},
    Error, Result,
};
use std::f64::consts::PI;

pub(super) const ENTRY: Entry<Schedule> =
    Entry::new("one-cycle", "Schedule::OneCycle", "Up to the base rate and down to almost 0", |arguments| {
        let anneal = arguments.choice("anneal", &[("cos", true), ("linear", false)])?;
        Ok(Schedule::OneCycle {
            pct_start: arguments.get("pct-start")?,
            div_factor: arguments.get("div-factor")?,
            final_div_factor: arguments.get("final-div-factor")?,
            cosine: anneal.unwrap_or(true),
            three_phase: arguments.get("three-phase")?,
        })
    })
    .with_arguments(&[
        Argument::new("pct-start", "0.3", "Share of the training in which the rate rises"),
        Argument::new("div-factor", "25", "The base rate over the first rate"),
        Argument::new("final-div-factor", "10000", "The first rate over the last rate"),
        Argument::new("anneal", "cos", "The form of the curve: cos or linear"),
        Argument::new("three-phase", "false", "Whether it falls as fast as it rises, and then to the end"),
    ])
    .with_source("Smith and Topin 2018, arXiv:1708.07120");

impl Schedule {
    /// [`Schedule::OneCycle`] with PyTorch's defaults: from 1/25 of the base rate up to it in this share of
    /// the training, and down to 1/25 · 10⁻⁴ of it, along cosines.
    #[must_use]
    pub fn one_cycle(pct_start: f64) -> Self {
        Self::OneCycle {
            pct_start,
            div_factor: 25.0,
            final_div_factor: 1e4,
            cosine: true,
            three_phase: false,
        }
    }

    /// The momentum at unit `t` of `total`, which falls from `high` to `low` while the rate of
    /// [`OneCycle`](Schedule::OneCycle) rises, and rises back with it. `None` for other shapes.
    #[must_use]
    pub(super) fn momentum(&self, low: f64, high: f64, t: usize, total: usize) -> Option<f64> {
        match *self {
            Self::OneCycle { pct_start, cosine, three_phase, .. } => {
                Some(at(t, total, (pct_start, cosine, three_phase), [high, low, high, high]))
            }
            _ => None,
        }
    }
}

/// The value at unit `t` of a curve through the first three of `values` in two phases, or through all four in
/// three.
fn at(t: usize, total: usize, (share, cosine, three_phase): (f64, bool, bool), values: [f64; 4]) -> f64 {
    let last = total.max(1) - 1;
    let (t, rise) = (t.min(last) as f64, share * total as f64);
    let [first, high, third, fourth] = values;
    let (end, low, last) = (rise - 1.0, 2.0 * rise - 2.0, last as f64);
    let (from, to, start, end) = match three_phase {
        _ if t <= end => (first, high, 0.0, end),
        true if t <= low => (high, third, end, low),
        true => (third, fourth, low, last),
        false => (high, third, end, last),
    };
    let u = if end > start { ((t - start) / (end - start)).clamp(0.0, 1.0) } else { 1.0 };
    match cosine {
        true => to + (from - to) / 2.0 * (1.0 + (PI * u).cos()),
        false => from + (to - from) * u,
    }
}

pub(super) fn factor(
    t: usize,
    total: usize,
    &pct_start: &f64,
    &div_factor: &f64,
    &final_div_factor: &f64,
    &cosine: &bool,
    &three_phase: &bool,
) -> f64 {
    let first = 1.0 / div_factor;
    let last = first / final_div_factor;
    let values = [first, 1.0, if three_phase { first } else { last }, last];
    at(t, total, (pct_start, cosine, three_phase), values)
}

pub(super) fn check(
    &pct_start: &f64,
    &div_factor: &f64,
    &final_div_factor: &f64,
    _: &bool,
    &three_phase: &bool,
) -> Result<()> {
    let most = if three_phase { 0.5 } else { 1.0 };
    if !(0.0..=most).contains(&pct_start) {
        let must = if three_phase { "from 0 to 0.5 with three phases" } else { "from 0 to 1" };
        return Err(Error::invalid("Schedule::OneCycle::pct_start", must, pct_start));
    }
    positive("Schedule::OneCycle::div_factor", div_factor)?;
    positive("Schedule::OneCycle::final_div_factor", final_div_factor)
}

pub(super) fn text(
    pct_start: &f64,
    div_factor: &f64,
    final_div_factor: &f64,
    &cosine: &bool,
    three_phase: &bool,
) -> Option<String> {
    let anneal = if cosine { "cos" } else { "linear" };
    Some(format!("one-cycle:{pct_start}:{div_factor}:{final_div_factor}:{anneal}:{three_phase}"))
}
