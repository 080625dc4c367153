//! The spread of a result over the last epochs and from run to run.
use super::evidence::metric_name;
use crate::{
    diagnose::{
        series::{usable, Series},
        spread::{sd_interval, LEVEL},
        Curve, Curves,
    },
    statistics::{variance_components, Interval, Summary},
    Result,
};

/// The fewest of the last epochs that are looked at, where there are as many.
const EPOCHS: usize = 3;

/// One of the series of a run.
type Part = fn(&Curve) -> &[f64];

/// The spread of a series over its last epochs and from run to run.
#[derive(Clone, Debug)]
pub(super) struct RunSpread {
    /// What varies, such as `validation accuracy`.
    pub(super) name: String,
    /// Runs that have it.
    pub(super) runs: usize,
    /// The first and the last of the last epochs, of the longest run.
    pub(super) epochs: (usize, usize),
    /// The mean, smallest and largest value in the last epoch.
    pub(super) ends: (f64, f64, f64),
    /// The standard deviation of the last epoch's value from run to run, with its 95 % interval; `None` for
    /// one run.
    pub(super) total: Option<Interval>,
    /// The standard deviation from epoch to epoch within a run, about a straight line.
    pub(super) within: Option<f64>,
    /// The standard deviation of the runs' means, less what the noise within runs adds to it.
    pub(super) between: Option<f64>,
}

impl RunSpread {
    /// Of the validation metric, or else of the first that is known of validation loss, training metric and
    /// training loss. Runs whose last value is not finite do not count. `None` if no run is left.
    pub(super) fn of(curves: &Curves) -> Result<Option<Self>> {
        let metric = metric_name(curves);
        let choices: [(String, Part); 4] = [
            (format!("validation {metric}"), |run| &run.valid_metric),
            ("validation loss".into(), |run| &run.valid_loss),
            (format!("training {metric}"), |run| &run.train_metric),
            ("training loss".into(), |run| &run.train_loss),
        ];
        for (name, of) in choices {
            // By their values, so that the order of the runs does not matter to the last bit.
            let mut tails: Vec<Series> = curves.runs.iter().filter_map(|run| tail(of(run))).collect();
            tails.sort_by(|a, b| {
                let differ = a.values().rev().zip(b.values().rev()).map(|(a, b)| a.total_cmp(&b));
                differ.into_iter().find(|order| order.is_ne()).unwrap_or(a.len().cmp(&b.len()))
            });
            if !tails.is_empty() {
                return Self::of_tails(name, &tails).map(Some);
            }
        }
        Ok(None)
    }

    fn of_tails(name: String, tails: &[Series]) -> Result<Self> {
        let last: Vec<f64> = tails.iter().filter_map(|tail| Some(tail.last()?.1)).collect();
        let ends = Summary::of(&last)?;
        let total = ends.sd.map(|sd| sd_interval(sd, last.len(), LEVEL)).transpose()?;
        let parts = variance_components(&tails.iter().map(without_trend).collect::<Vec<_>>())?;
        let longest = tails.iter().max_by_key(|tail| tail.last().map(|(epoch, _)| epoch));
        let epochs = longest.and_then(|tail| Some((tail.first()?.0, tail.last()?.0))).unwrap_or_default();
        let (low, high) =
            last.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
        Ok(Self {
            name,
            runs: last.len(),
            epochs,
            ends: (ends.mean, low, high),
            total,
            within: parts.within,
            between: parts.between,
        })
    }
}

/// The last fifth of the epochs, or [`EPOCHS`] of them if those are more; `None` if the last value is not
/// finite.
fn tail(values: &[f64]) -> Option<Series> {
    values.last().filter(|x| usable(**x))?;
    let from = (values.len() * 4 / 5).min(values.len().saturating_sub(EPOCHS));
    let masked: Vec<f64> =
        values.iter().enumerate().map(|(epoch, x)| if epoch < from { f64::NAN } else { *x }).collect();
    Some(Series::of(&masked))
}

/// The values less their straight line, about their mean.
fn without_trend(tail: &Series) -> Vec<f64> {
    match tail.line() {
        Some(line) if tail.len() > 2 => {
            tail.points().iter().map(|(epoch, x)| x - line.at(*epoch) + line.mean).collect()
        }
        _ => tail.values().collect(),
    }
}
