//! The figures of learning curves that their condition is read from.
use crate::{
    codec::real,
    diagnose::{
        classify::{
            numbers::{log, mean, median, noise, or_nan, sd, slope, smooth},
            untrained::untrained_loss,
        },
        Curve, CurveMetric, Curves,
    },
};
use serde::{Deserialize, Serialize};

/// Declares the features: a struct with a field for each, and their names and values in the same order.
macro_rules! features {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => {
        /// The figures of learning curves that their condition is read from.
        ///
        /// Losses are divided by the loss of a network that has learned nothing, which is estimated from the curves, so
        /// the figures do not depend on units. "The end" of a series is the median of its last tenth. Over several runs
        /// a figure is the median, unless it is said to be a spread. A figure is NaN where the curves do not have what it
        /// needs. The texts of the findings and [`Diagnosis`](crate::diagnose::Diagnosis) use the same figures.
        ///
        /// ```
        /// use candle_ensemble::diagnose::{Curve, Curves, Features};
        ///
        /// let mut run = Curve::default();
        /// run.train_loss = (0..20).map(|epoch| 0.9f64.powi(epoch)).collect();
        /// let features = Features::of(&Curves::new(vec![run]));
        /// assert!(features.fall > 0.8 && features.gap.is_nan());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub struct Features {
            $($(#[$doc])+ #[serde(with = "real")] pub $name: f64,)+
        }

        impl Features {
            /// The names of the features.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The features, in the order of their names.
            #[must_use]
            pub fn values(&self) -> Vec<f64> {
                vec![$(self.$name),+]
            }
        }
    };
}

features! {
    /// The share of runs whose last training loss is not finite.
    diverged_runs,
    /// The share of training losses, over all runs and epochs, that are not finite.
    not_finite,
    /// The logarithm of the loss at the first epoch as a multiple of that of an untrained network.
    first_loss,
    /// The training loss at the end.
    train_end,
    /// Its logarithm.
    log_train_end,
    /// The validation loss at the end.
    valid_end,
    /// Its logarithm.
    log_valid_end,
    /// The smallest training loss of a run.
    train_lowest,
    /// The fall of the training loss as a share of its first value.
    fall,
    /// The fall of the training loss.
    fall_of_untrained,
    /// The fall of the training loss over the last fifth as a share of its mean there.
    last_fall,
    /// The fall of the training loss over the last fifth.
    last_fall_of_untrained,
    /// The fall of the validation loss over the last fifth; it is negative where the loss rises.
    last_valid_fall,
    /// The logarithm of the step-to-step noise of the training loss in the second half.
    train_noise,
    /// The same for the validation loss.
    valid_noise,
    /// The logarithm of the validation noise as a multiple of the training noise.
    noise_ratio,
    /// The logarithm of the training noise as a multiple of the training loss at the end.
    train_noise_of_end,
    /// The largest rise of the training loss from one epoch to the next.
    largest_rise,
    /// The share of epochs at which the training loss rises.
    rises,
    /// The gap at the end: validation loss less training loss.
    gap,
    /// The logarithm of the validation loss as a multiple of the training loss, at the end.
    gap_ratio,
    /// The logarithm of the validation loss at the end as a multiple of the smallest one, both smoothed.
    turn,
    /// The rise of the validation loss since the smallest one.
    turn_rise,
    /// Where the smallest validation loss is, from 0 at the first epoch to 1 at the last.
    turn_at,
    /// The gap at the epoch of the smallest validation loss.
    gap_at_turn,
    /// The logarithm of the training loss at the epoch of the smallest validation loss as a multiple of that at the end.
    train_fall_since_turn,
    /// The gap in the second quarter of the epochs.
    early_gap,
    /// The gap at the end less the early one.
    gap_growth,
    /// The logarithm of the standard deviation over runs of the training loss at the end.
    train_spread,
    /// The same for the validation loss.
    valid_spread,
    /// The logarithm of the spread of the training loss as a multiple of its median.
    train_spread_of_end,
    /// The same for the validation loss.
    valid_spread_of_end,
    /// The largest less the smallest training loss at the end over the runs.
    train_range,
    /// The training loss at the end of the best run.
    best_train_end,
    /// The accuracy on training rows at the end, or for values 1 less the squared error as a multiple of the first one.
    train_score,
    /// The same on validation rows.
    valid_score,
    /// The standard deviation over runs of the training accuracy at the end, or of the error as a multiple of the first
    /// one.
    train_score_spread,
    /// The same for the validation rows.
    valid_score_spread,
    /// The standard deviation of the validation accuracy or error over the last epochs of a run.
    valid_score_wander,
    /// The same for the training rows.
    train_score_wander,
    /// The logarithm of the spread of the validation accuracy as a multiple of the standard deviation that the number of
    /// validation rows explains.
    valid_spread_of_chance,
    /// The training score less the validation score.
    score_gap,
    /// The logarithm of the number of validation rows.
    valid_rows,
    /// Whether the metric is an accuracy: 1 or 0.
    classification,
    /// The logarithm of the number of epochs.
    epochs,
}

impl Features {
    /// The features of learning curves.
    #[must_use]
    pub fn of(curves: &Curves) -> Self {
        let runs: Vec<Run<'_>> = curves.runs.iter().map(Run).collect();
        let untrained = untrained_loss(curves);
        let epochs = runs.iter().map(|run| run.0.epochs()).max().unwrap_or(0);
        let (tenth, fifth) = ((epochs / 10).max(1), (epochs / 5).max(2));
        let over = |figure: &dyn Fn(&Run<'_>) -> f64| or_nan(median(runs.iter().map(figure)));
        let ends = |of: fn(&Curve) -> &[f64]| -> Vec<f64> {
            runs.iter().map(|run| end(of(run.0), tenth)).filter(|x| x.is_finite()).collect()
        };
        let middle = |values: &[f64]| or_nan(median(values.iter().copied()));
        let (train, valid) = (ends(|run| &run.train_loss), ends(|run| &run.valid_loss));
        let (train_end, valid_end) = (middle(&train), middle(&valid));
        let first_train = over(&|run| first(&run.0.train_loss));
        let train_noise = over(&|run| noise(&run.0.train_loss));
        let valid_noise = over(&|run| noise(&run.0.valid_loss));
        let turns: Vec<Turn> = runs.iter().filter_map(|run| run.turn(untrained)).collect();
        let turn_of = |figure: fn(&Turn) -> f64| or_nan(median(turns.iter().map(figure)));
        let gap = over(&|run| end(&run.0.valid_loss, tenth) - end(&run.0.train_loss, tenth)) / untrained;
        let early_gap = over(&|run| run.early_gap(epochs)) / untrained;
        let lowest = |values: &[f64]| or_nan(values.iter().copied().reduce(f64::min));
        let range = or_nan(train.iter().copied().reduce(f64::max)) - lowest(&train);
        let scores = Scores::of(curves, tenth);
        let first_loss = first_train.max(over(&|run| first(&run.0.valid_loss))); // f64::max leaves out what is NaN
        let tiny = |noise: f64| noise + 1e-5 * untrained;
        let runs_of = runs.len().max(1) as f64;
        let losses = || runs.iter().flat_map(|run| &run.0.train_loss);
        Self {
            diverged_runs: runs.iter().filter(|run| run.diverged()).count() as f64 / runs_of,
            not_finite: losses().filter(|x| !x.is_finite()).count() as f64 / (losses().count().max(1) as f64),
            first_loss: log(first_loss / untrained, 1e-6),
            train_end: train_end / untrained,
            log_train_end: log(train_end / untrained, 1e-4),
            valid_end: valid_end / untrained,
            log_valid_end: log(valid_end / untrained, 1e-4),
            train_lowest: over(&|run| lowest(&run.finite_train())) / untrained,
            fall: 1. - over(&|run| end(&run.0.train_loss, tenth) / first(&run.0.train_loss)),
            fall_of_untrained: (first_train - train_end) / untrained,
            last_fall: over(&|run| last_fall(&run.0.train_loss, fifth, true)),
            last_fall_of_untrained: over(&|run| last_fall(&run.0.train_loss, fifth, false)) / untrained,
            last_valid_fall: over(&|run| last_fall(&run.0.valid_loss, fifth, false)) / untrained,
            train_noise: log(train_noise / untrained, 1e-5),
            valid_noise: log(valid_noise / untrained, 1e-5),
            noise_ratio: log(tiny(valid_noise) / tiny(train_noise), 1e-6),
            train_noise_of_end: log(train_noise / train_end.max(1e-12), 1e-5),
            largest_rise: over(&|run| or_nan(run.steps().filter(|x| x.is_finite()).reduce(f64::max)))
                / untrained,
            rises: over(&|run| mean(run.steps().map(|step| f64::from(u8::from(step > 0.))))),
            gap,
            gap_ratio: log((valid_end + 1e-3 * untrained) / (train_end + 1e-3 * untrained), 1e-6),
            turn: log(turn_of(|turn| turn.ratio), 1e-6),
            turn_rise: (turn_of(|turn| turn.ratio) - 1.) * valid_end / untrained,
            turn_at: turn_of(|turn| turn.at),
            gap_at_turn: turn_of(|turn| turn.gap) / untrained,
            train_fall_since_turn: turn_of(|turn| turn.train_fall),
            early_gap,
            gap_growth: gap - early_gap,
            train_spread: log(sd(&train) / untrained, 1e-5),
            valid_spread: log(sd(&valid) / untrained, 1e-5),
            train_spread_of_end: log(sd(&train) / train_end.max(1e-9), 1e-4),
            valid_spread_of_end: log(sd(&valid) / valid_end.max(1e-9), 1e-4),
            train_range: range / untrained,
            best_train_end: lowest(&train) / untrained,
            train_score: scores.train,
            valid_score: scores.valid,
            train_score_spread: scores.train_spread,
            valid_score_spread: scores.valid_spread,
            valid_score_wander: scores.valid_wander,
            train_score_wander: scores.train_wander,
            valid_spread_of_chance: scores.spread_of_chance,
            score_gap: scores.train - scores.valid,
            valid_rows: curves.valid_rows.map_or(f64::NAN, |rows| log(rows as f64, 1.)),
            classification: f64::from(u8::from(curves.metric == Some(CurveMetric::Accuracy))),
            epochs: log(epochs as f64, 1.),
        }
    }
}

/// The value of the first epoch.
fn first(series: &[f64]) -> f64 {
    or_nan(series.first().copied().filter(|x| x.is_finite()))
}

/// The median of the finite values of the last epochs.
fn end(series: &[f64], epochs: usize) -> f64 {
    or_nan(median(series.iter().rev().take(epochs).copied()))
}

/// The fall over the last epochs along the least-squares line, or that as a share of the mean.
fn last_fall(series: &[f64], epochs: usize, share: bool) -> f64 {
    let Some(last) = series.len().checked_sub(epochs).and_then(|from| series.get(from..)) else {
        return f64::NAN;
    };
    if series.len() < 5 || last.iter().any(|x| !x.is_finite()) {
        return f64::NAN;
    }
    let fall = -slope(last) * last.len() as f64;
    match share {
        true => fall / mean(last.iter().copied()).max(1e-12),
        false => fall,
    }
}

/// The curve of one run.
#[derive(Clone, Copy)]
struct Run<'c>(&'c Curve);

/// Where the validation loss of a run is smallest, and what came of it.
struct Turn {
    /// The validation loss at the end as a multiple of the smallest one, both smoothed.
    ratio: f64,
    /// The epoch as a share of all.
    at: f64,
    /// Validation less training loss there.
    gap: f64,
    /// The logarithm of the training loss there as a multiple of that at the end.
    train_fall: f64,
}

impl Run<'_> {
    fn diverged(&self) -> bool {
        self.0.train_loss.last().is_some_and(|x| !x.is_finite())
    }

    fn finite_train(&self) -> Vec<f64> {
        self.0.train_loss.iter().copied().filter(|x| x.is_finite()).collect()
    }

    /// The changes of the training loss from epoch to epoch.
    fn steps(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.train_loss.iter().zip(self.0.train_loss.iter().skip(1)).map(|(before, after)| after - before)
    }

    /// Validation less training loss in the second quarter of the epochs.
    fn early_gap(&self, epochs: usize) -> f64 {
        let range = if epochs >= 8 { epochs / 4..epochs / 2 } else { 0..2 };
        let part = |series: &[f64]| {
            let values = series.iter().take(range.end).skip(range.start).copied();
            or_nan(median(values))
        };
        part(&self.0.valid_loss) - part(&self.0.train_loss)
    }

    fn turn(&self, untrained: f64) -> Option<Turn> {
        let (train, valid) = (&self.0.train_loss, &self.0.valid_loss);
        if valid.len() < 3 {
            return None;
        }
        let width = (valid.len() / 20).max(1);
        let smoothed = smooth(valid, width);
        let finite = smoothed.iter().copied().enumerate().filter(|(_, x)| x.is_finite());
        let (epoch, lowest) = finite.reduce(|low, point| if point.1 < low.1 { point } else { low })?;
        let train_there = *smooth(train, width).get(epoch)?;
        let train_end = mean(train.iter().rev().take(width).copied().filter(|x| x.is_finite()));
        let floor = 1e-4 * untrained;
        Some(Turn {
            ratio: smoothed.last()? / lowest,
            at: epoch as f64 / (valid.len() - 1) as f64,
            gap: lowest - train_there,
            train_fall: ((train_there + floor) / (train_end + floor)).ln(),
        })
    }
}

/// The accuracy, or the error as a multiple of the first one.
struct Scores {
    train: f64,
    valid: f64,
    train_spread: f64,
    valid_spread: f64,
    train_wander: f64,
    valid_wander: f64,
    spread_of_chance: f64,
}

impl Scores {
    fn of(curves: &Curves, tenth: usize) -> Self {
        let series = |of: fn(&Curve) -> &[f64]| move || curves.runs.iter().map(of);
        let (train, valid) = (series(|run| &run.train_metric), series(|run| &run.valid_metric));
        let unit = match curves.metric {
            Some(CurveMetric::Accuracy) => 1.,
            _ => or_nan(median(train().chain(valid()).map(first))),
        };
        let ends = |series: &mut dyn Iterator<Item = &[f64]>| -> Vec<f64> {
            series.map(|run| end(run, tenth)).filter(|x| x.is_finite()).collect()
        };
        let (train_ends, valid_ends) = (ends(&mut train()), ends(&mut valid()));
        let score = |ends: &[f64]| {
            let end = or_nan(median(ends.iter().copied()));
            match curves.metric {
                Some(CurveMetric::Accuracy) => end,
                _ => 1. - (end / unit).powi(2),
            }
        };
        let wander = |series: &mut dyn Iterator<Item = &[f64]>| {
            let last = tenth.max(3);
            let of_run = |run: &[f64]| {
                let last: Vec<f64> = run.iter().rev().take(last).copied().collect();
                let n = last.len() as f64;
                sd(&last) * ((n - 1.) / n).sqrt()
            };
            or_nan(median(series.map(of_run))) / unit
        };
        let valid_score = score(&valid_ends);
        let chance = curves
            .valid_rows
            .map_or(f64::NAN, |rows| ((valid_score * (1. - valid_score)).max(0.01) / rows as f64).sqrt());
        let accuracy = curves.metric == Some(CurveMetric::Accuracy);
        let spread = sd(&valid_ends) / unit;
        Self {
            train: score(&train_ends),
            valid: valid_score,
            train_spread: sd(&train_ends) / unit,
            valid_spread: spread,
            train_wander: wander(&mut train()),
            valid_wander: wander(&mut valid()),
            spread_of_chance: if accuracy { log((spread + 1e-4) / chance, 1e-6) } else { f64::NAN },
        }
    }
}
