//! What was measured for a row: its pairs of networks and their differences.
use super::{data::Scores, setting::Row};
use candle_ensemble::{
    statistics::{t_interval, Interval},
    Result,
};
use serde::Serialize;

/// The scores of a setting's networks, in the order of the repeats; `None` where one became NaN or infinite.
pub type Outcomes = [Option<Scores>];

/// A row's networks, and the differences of the pairs in which both are finite.
#[derive(Serialize)]
pub struct Comparison<'a> {
    pub without: &'a Outcomes,
    pub with: &'a Outcomes,
    pub test: Option<Differences>,
    /// On new rows, where there are any.
    pub new: Option<Differences>,
}

/// The differences of pairs: with the technique less without it.
#[derive(Serialize)]
pub struct Differences {
    pub of_pairs: Vec<f64>,
    pub mean: f64,
    /// Student's 95 % interval, from two pairs on.
    pub interval: Option<Interval>,
    /// Pairs in which the technique is better, and in which both are equal.
    pub better: usize,
    pub equal: usize,
    higher_is_better: bool,
}

/// What the interval of the differences says about the technique.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// A single pair.
    Unknown,
    /// All pairs are equal.
    Nothing,
    /// The interval includes 0.
    None,
    Helps,
    Harms,
}

impl<'a> Comparison<'a> {
    pub fn new(row: &Row, without: &'a Outcomes, with: &'a Outcomes) -> Result<Self> {
        let higher = row.with.problem.metric.higher_is_better();
        let of = |score: &dyn Fn(&Scores) -> Option<f64>| -> Result<Option<Differences>> {
            let pairs = without.iter().zip(with);
            let difference =
                |(a, b): (&Option<_>, &Option<_>)| Some(score(b.as_ref()?)? - score(a.as_ref()?)?);
            Differences::new(pairs.filter_map(difference).collect(), higher)
        };
        Ok(Self { without, with, test: of(&|s| Some(s.test))?, new: of(&|s| s.new)? })
    }
}

impl Differences {
    fn new(of_pairs: Vec<f64>, higher_is_better: bool) -> Result<Option<Self>> {
        if of_pairs.is_empty() {
            return Ok(None);
        }
        let mean = of_pairs.iter().sum::<f64>() / of_pairs.len() as f64;
        let interval = if of_pairs.len() < 2 { None } else { Some(t_interval(&of_pairs, 0.95)?) };
        let is_better = |d: &&f64| if higher_is_better { **d > TIE } else { **d < -TIE };
        let better = of_pairs.iter().filter(is_better).count();
        let equal = of_pairs.iter().filter(|d| d.abs() <= TIE).count();
        Ok(Some(Self { of_pairs, mean, interval, better, equal, higher_is_better }))
    }

    /// The mean difference, positive where the technique is better.
    pub fn gain(&self) -> f64 {
        if self.higher_is_better {
            self.mean
        } else {
            -self.mean
        }
    }

    pub fn effect(&self) -> Effect {
        let Some(interval) = &self.interval else { return Effect::Unknown };
        match interval {
            _ if self.equal == self.of_pairs.len() => Effect::Nothing,
            i if i.low <= 0. && i.high >= 0. => Effect::None,
            _ if self.gain() > 0. => Effect::Helps,
            _ => Effect::Harms,
        }
    }
}

/// Differences up to this are rounding: 1/70 is not exact.
const TIE: f64 = 1e-12;
