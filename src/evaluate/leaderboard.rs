//! A table of the members of a pool and of combinations of them, best first.
use crate::{
    combine::{cross_fit::cross_fit, Combiner, FittedCombiner},
    data::{Dataset, Positions, RowBitmap},
    evaluate::{
        combination::{Combination, Way},
        combinations,
    },
    metrics::{Metric, MetricList},
    network::Scale,
    observe::RunTimes,
    predictions::{
        live::flat_inputs,
        passes::{Passes, Source, ROWS},
        scored_rows::ScoredRows,
        Predictions,
    },
    registry::split_list,
    store::member::{by_network, is_seen_unknown, predicting},
    train::Learner,
    Error, HeldOut, Member, Pool, Result, Rows,
};
use candle_core::{Device, Tensor};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::Serialize;
use std::{collections::BTreeSet, fmt, time::Instant};

/// The most folds by which a combiner that learns is measured on held-out rows.
const FOLDS: usize = 5;

/// The members of a pool and combiners of them, with their scores and costs, best first.
///
/// A member has a score on the held-out rows, which it was not fitted on, and a combiner that learns is scored on
/// rows that it was not fitted on either, by cross-fitting. The score on test rows, if there are any, sorts the
/// table; otherwise the held-out score does. Members of one slot act as one predictor and have one row.
///
/// Use it to look at one pool; a [`Study`](crate::evaluate::Study) compares strategies over repeated trainings. The
/// held-out scores of bagged members are on different rows for each member, so small differences between them mean
/// nothing. Of test rows with many positions, the same number of positions of each row is scored, as in a study.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{evaluate::Leaderboard, observe::RunTimes, prelude::*};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// let data = TensorDataset::classification(x, &y)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
///
/// let times = RunTimes::new();
/// let pool = Session::new(&trainer, &data).observer(&times).fit(&Bagging::new(4), 42)?;
/// let board = Leaderboard::of(&pool).combinations("mean,ensemble-selection")?.run_times(&times).measure()?;
/// println!("{board}");
/// assert_eq!(board.rows.len(), 6);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: the table of the same name in AutoGluon (Erickson et al. 2020, arXiv:2003.06505).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaderboard {
    /// The metric of the scores.
    pub metric: String,
    /// Whether a higher value of it is better.
    pub higher_is_better: bool,
    /// The rows, best first; those without a score are last.
    pub rows: Vec<LeaderboardRow>,
}

/// One member, or one combiner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeaderboardRow {
    /// The name of the member, or of the combiner as it was given.
    pub name: String,
    /// Whether it is a single slot of the pool.
    pub is_member: bool,
    /// The metric on the test rows.
    pub score: Option<f64>,
    /// The metric on held-out rows.
    pub held_out_score: Option<f64>,
    /// Number of these held-out rows.
    pub held_out_rows: usize,
    /// Wall-clock time of the training, if [`RunTimes`] were given, or of the fit of a combiner without the
    /// training of its members, in seconds.
    pub fit_seconds: Option<f64>,
    /// Wall-clock time to predict the test rows, in seconds, one member after the other.
    pub predict_seconds: Option<f64>,
    /// Number of networks that predict. A network that holds several members is one, also for one of them.
    pub networks: usize,
    /// Number of rows that shaped it, held-out rows that a combiner was fitted on included; none where it is not known.
    pub seen_rows: Option<usize>,
    /// The settings of the member's run that differ from the learner's own.
    pub settings: String,
    /// Why a combiner could not be fitted.
    pub failure: Option<String>,
}

impl Leaderboard {
    /// Settings of a leaderboard of this pool.
    #[must_use]
    pub fn of<'p, 'a, L: Learner>(pool: &'p Pool<'a, L>) -> LeaderboardOf<'p, 'a, L> {
        LeaderboardOf { pool, combinations: vec![], metric: None, test: None, times: None }
    }
}

/// Settings of a [`Leaderboard`]; [`Leaderboard::of`] makes them.
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct LeaderboardOf<'p, 'a, L: Learner> {
    pool: &'p Pool<'a, L>,
    combinations: Vec<(String, Combination)>,
    metric: Option<Metric>,
    test: Option<&'p dyn Dataset>,
    times: Option<&'p RunTimes>,
}

type AnyRule = dyn Combiner<Fitted = Box<dyn FittedCombiner>>;

impl<'p, L: Learner> LeaderboardOf<'p, '_, L> {
    /// Adds the combiners that a list names, separated by commas; see [`combinations`].
    ///
    /// # Errors
    /// When a name or an argument is unknown, or names one network, which a study measures.
    pub fn combinations(mut self, list: &str) -> Result<Self> {
        for text in split_list(list) {
            let combination = combinations().parse(&text)?;
            if !matches!(combination.0, Way::Rule(_)) {
                return Err(Error::invalid(
                    "a combination of a leaderboard",
                    "a combiner of predictions",
                    text,
                ));
            }
            self.combinations.push((text, combination));
        }
        Ok(self)
    }

    /// Adds a combiner under a name.
    #[must_use]
    pub fn combiner<C: Combiner + 'static>(mut self, name: impl Into<String>, combiner: C) -> Self
    where
        C::Fitted: 'static,
    {
        self.combinations.push((name.into(), Combination::rule(combiner)));
        self
    }

    /// Sets the metric; the default is the accuracy for classes and the root mean squared error for values.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = Some(metric);
        self
    }

    /// Sets the test rows, which shaped no member.
    #[must_use]
    pub fn test(mut self, test: &'p dyn Dataset) -> Self {
        self.test = Some(test);
        self
    }

    /// Sets the times of the runs, which an observer of the session has kept.
    #[must_use]
    pub fn run_times(mut self, times: &'p RunTimes) -> Self {
        self.times = Some(times);
        self
    }

    /// Measures all members and combiners.
    ///
    /// # Errors
    /// When the test data has another task than the pool's, the metric does not go with it, or candle fails. A
    /// combiner that cannot be fitted is a row with the reason.
    pub fn measure(self) -> Result<Leaderboard> {
        let task = self.pool.parts().1.task();
        if let Some(test) = self.test.filter(|test| test.task() != task) {
            return Err(Error::invalid(
                "the task of the test data",
                format!("that of the pool, {task}"),
                test.task(),
            ));
        }
        let metric = self.metric.clone().unwrap_or_else(|| MetricList::for_task(task).headline().clone());
        metric.check_of_predictions()?;
        let held_out = match self.pool.held_out() {
            Ok(held_out) => Some(held_out),
            Err(Error::HeldOut { .. } | Error::UnknownRows { .. }) => None,
            Err(e) => return Err(e),
        };
        let test = self.test.map(|test| TestTable::of(test, self.pool)).transpose()?;
        let board = Board { pool: self.pool, metric: &metric, held_out, test, times: self.times };
        let mut rows = (0..self.pool.slots()).map(|slot| board.member(slot)).collect::<Result<Vec<_>>>()?;
        for (name, combination) in &self.combinations {
            if let Way::Rule(rule) = &combination.0 {
                rows.push(board.combiner(name, &**rule)?);
            }
        }
        let higher = metric.higher_is_better();
        let place = |row: &LeaderboardRow| {
            let score = if board.test.is_some() { row.score } else { row.held_out_score };
            score.map_or(f64::INFINITY, |score| if higher { -score } else { score })
        };
        rows.sort_by(|a, b| place(a).total_cmp(&place(b)));
        Ok(Leaderboard { metric: metric.name().to_string(), higher_is_better: higher, rows })
    }
}

/// The test rows with the predictions of each slot.
struct TestTable {
    predictions: Predictions,
    logs: Predictions,
    /// None where rows have several positions, which have no inputs of their own.
    inputs: Option<Tensor>,
    scored: ScoredRows,
    /// By slot.
    seconds: Vec<f64>,
}

impl TestTable {
    fn of<L: Learner>(test: &dyn Dataset, pool: &Pool<'_, L>) -> Result<Self> {
        let rows: Rows = (0..test.rows() as u32).collect();
        let scored = ScoredRows::of_test(test)?;
        let (_, _, device) = pool.parts();
        let passes =
            Passes::new(Source::Rows(test, &rows), ROWS, device).limited((test.task(), test.positions()));
        let keep = |places, predicted| scored.select(places, predicted);
        let (mut values, mut seconds) = (vec![], vec![]);
        for slot in 0..pool.slots() {
            let one = pool.select_slots(&[slot])?;
            let started = Instant::now();
            values.push(one.predict_kept(&passes, Scale::Probability, keep)?.to_device(&Device::Cpu)?);
            seconds.push(started.elapsed().as_secs_f64());
        }
        let tables: Vec<&Tensor> = values.iter().map(Predictions::values).collect();
        let all = Predictions::new(Tensor::cat(&tables, 0)?, test.task())?.with_names(pool.names())?;
        let logs = pool.predict_kept(&passes, Scale::LogProbability, keep)?.to_device(&Device::Cpu)?;
        let inputs = match test.positions() {
            Positions::One => Some(flat_inputs(test, &rows, &Device::Cpu)?),
            _ => None,
        };
        Ok(Self { predictions: all, logs: logs.with_names(pool.names())?, inputs, scored, seconds })
    }

    /// The metric of combined predictions, `(N, C)`.
    fn score(&self, metric: &Metric, predicted: &Tensor) -> Result<f64> {
        metric.compute(predicted, &self.scored.targets_like(predicted)?, self.scored.weights.as_deref())
    }
}

/// Targets of one output in the shape of the predictions.
fn shaped(targets: &Tensor, predicted: &Tensor) -> Result<Tensor> {
    match targets.dtype().is_float() {
        true => Ok(targets.reshape(predicted.shape())?),
        false => Ok(targets.clone()),
    }
}

/// What the rows of the table are measured with.
struct Board<'b, 'a, L: Learner> {
    pool: &'b Pool<'a, L>,
    metric: &'b Metric,
    held_out: Option<&'b HeldOut>,
    test: Option<TestTable>,
    times: Option<&'b RunTimes>,
}

impl<L: Learner> Board<'_, '_, L> {
    fn member(&self, slot: usize) -> Result<LeaderboardRow> {
        let members = self.pool.members_of(&[slot])?;
        let own = self.held_out.and_then(|held_out| held_out.select_slots(&[slot]).ok());
        let held_out_score = match &own {
            Some(own) => Some(self.held_out_score(own, &own.predictions().values().get(0)?)?),
            None => None,
        };
        let score = match &self.test {
            Some(test) => Some(test.score(self.metric, &test.predictions.values().get(slot)?)?),
            None => None,
        };
        let runs: BTreeSet<usize> = members.iter().map(|member| member.record.run).collect();
        let seconds = |times: &RunTimes| {
            runs.iter().map(|run| times.of(*run).map(|time| time.as_secs_f64())).sum::<Option<f64>>()
        };
        Ok(LeaderboardRow {
            name: self.pool.names().get(slot).cloned().unwrap_or_default(),
            is_member: true,
            score,
            held_out_score,
            held_out_rows: own.map_or(0, |own| own.rows().len()),
            fit_seconds: self.times.and_then(seconds),
            predict_seconds: self.test.as_ref().and_then(|test| test.seconds.get(slot).copied()),
            networks: by_network(predicting(&members)).len(),
            seen_rows: seen(&members),
            settings: settings(&members),
            failure: None,
        })
    }

    fn combiner(&self, name: &str, rule: &AnyRule) -> Result<LeaderboardRow> {
        let mut row = LeaderboardRow {
            name: name.into(),
            is_member: false,
            score: None,
            held_out_score: None,
            held_out_rows: 0,
            fit_seconds: None,
            predict_seconds: None,
            networks: 0,
            seen_rows: seen(self.pool.members()),
            settings: String::new(),
            failure: None,
        };
        match self.measure(rule, &mut row) {
            Ok(()) => {}
            Err(e @ (Error::Io { .. } | Error::Stopped { .. })) => return Err(e),
            Err(e) => row.failure = Some(e.to_string()),
        }
        Ok(row)
    }

    fn measure(&self, rule: &AnyRule, row: &mut LeaderboardRow) -> Result<()> {
        // The held-out predictions are there already; with inputs they are made before the time starts.
        let held_out = match self.held_out {
            Some(_) => Some(self.pool.held_out_for(rule.needs_inputs())?),
            None => None,
        };
        let started = Instant::now();
        let fitted = self.pool.fit_combiner(rule)?;
        row.fit_seconds = Some(started.elapsed().as_secs_f64());
        if rule.needs_held_out() {
            let rows = self.pool.parts().1.rows();
            row.seen_rows = match self.pool.is_on_new_data() {
                true => row.seen_rows.map(|seen| seen + rows),
                false => Some(rows),
            };
        }
        let needed = |slot: &usize| fitted.weights().is_none_or(|w| w.get(*slot).is_none_or(|w| *w != 0.));
        let slots: Vec<usize> = (0..self.pool.slots()).filter(needed).collect();
        row.networks = by_network(predicting(&self.pool.members_of(&slots)?)).len();
        if let Some(test) = &self.test {
            let predictions = match fitted.scale() {
                Scale::LogProbability => &test.logs,
                _ => &test.predictions,
            };
            let predictions = match fitted.needs_inputs() {
                true => match &test.inputs {
                    Some(inputs) => predictions.with_inputs(inputs)?,
                    None => predictions.clone(),
                },
                false => predictions.clone(),
            };
            let started = Instant::now();
            let predicted = fitted.combine(&predictions)?;
            let combining = started.elapsed().as_secs_f64();
            let members: f64 = slots.iter().filter_map(|slot| test.seconds.get(*slot)).sum();
            row.predict_seconds = Some(members + combining);
            row.score = Some(test.score(self.metric, &predicted)?);
        }
        if let Some(held_out) = held_out {
            row.held_out_rows = held_out.rows().len();
            row.held_out_score =
                Some(self.held_out_score(held_out, &self.held_out_prediction(held_out, rule)?)?);
        }
        Ok(())
    }

    /// The combiner's predictions for the held-out rows, each from a fit on other rows.
    fn held_out_prediction(&self, held_out: &HeldOut, rule: &AnyRule) -> Result<Tensor> {
        match rule.needs_held_out() {
            false => Ok(rule.fit(held_out)?.combine(held_out.predictions())?),
            true => {
                let folds =
                    held_out.folds(FOLDS.min(held_out.units()), held_out.seed().child("leaderboard"))?;
                cross_fit(rule, held_out, &folds)
            }
        }
    }

    fn held_out_score(&self, held_out: &HeldOut, predicted: &Tensor) -> Result<f64> {
        let weights = held_out.row_weights::<f64>()?;
        self.metric.compute(predicted, &shaped(held_out.targets(), predicted)?, weights.as_deref())
    }
}

/// The number of rows that shaped the members, if it is known.
fn seen(members: &[Member]) -> Option<usize> {
    let rows = || RowBitmap::union_of(members.iter().map(|member| &member.record.seen)).len();
    (!is_seen_unknown(members)).then(rows)
}

/// The settings of the members that differ from the learner's, without repetition.
fn settings(members: &[Member]) -> String {
    let shown = |member: &Member| {
        let each = member.record.settings.iter().map(|(name, value)| format!("{name}={value}"));
        each.collect::<Vec<_>>().join(" ")
    };
    let distinct: BTreeSet<String> = members.iter().map(shown).filter(|text| !text.is_empty()).collect();
    distinct.into_iter().collect::<Vec<_>>().join("; ")
}

/// As a Markdown table.
impl fmt::Display for Leaderboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let has = |of: fn(&LeaderboardRow) -> bool| self.rows.iter().any(of);
        let (test, settings) = (has(|row| row.score.is_some()), has(|row| !row.settings.is_empty()));
        let mut header = vec![String::new()];
        header.extend(test.then(|| format!("test {}", self.metric)));
        header.extend([format!("held-out {}", self.metric), "rows".into(), "fit".into()]);
        header.extend(test.then(|| "prediction".to_string()));
        header.extend(["networks".into(), "seen rows".into()]);
        header.extend(settings.then(|| "settings".to_string()));
        table.set_header(header);
        for row in &self.rows {
            let score = |score: Option<f64>| score.map_or_else(|| "–".into(), |score| format!("{score:.4}"));
            let time =
                |time: Option<f64>| time.map_or_else(|| "–".into(), |time| format!("{:.1} ms", time * 1e3));
            let mut cells = vec![row.name.clone()];
            cells.extend(test.then(|| score(row.score)));
            cells.extend([score(row.held_out_score), row.held_out_rows.to_string(), time(row.fit_seconds)]);
            cells.extend(test.then(|| time(row.predict_seconds)));
            let seen = row.seen_rows.map_or_else(|| "unknown".into(), |rows| rows.to_string());
            cells.extend([row.networks.to_string(), seen]);
            cells.extend(settings.then(|| row.settings.clone()));
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")?;
        for row in self.rows.iter().filter(|row| row.failure.is_some()) {
            write!(f, "\n{}: {}", row.name, row.failure.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}
