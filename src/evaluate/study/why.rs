//! Why ensembles gain: how different their members are, and the parts of their loss.
use super::{
    test_rows::TestRows,
    trial::{Combined, Trained},
    Trials,
};
use crate::{
    data::Task,
    evaluate::{
        decomposition::{
            AdditiveLoss, BiasVariance, BiasVarianceRepeats, DiversityEffectRepeats, DiversityRepeats,
            ZeroOneBiasVariance, ZeroOneRepeats,
        },
        diversity::PairMatrix,
        Diversity, DiversityMeasure, KappaError, RowTargets, StrategyReport,
    },
    metrics::Truth,
    predictions::Predictions,
    statistics::Summary,
    Result,
};

/// The measure of pairs that is kept for charts.
fn pair_measure(task: Task) -> &'static str {
    match task {
        Task::Classification { .. } => "disagreement",
        Task::Regression { .. } => "error-correlation",
    }
}

impl TestRows {
    /// The targets and weights, for measures of diversity and decompositions.
    fn row_targets(&self) -> Result<RowTargets> {
        let targets = match self.truth() {
            Truth::Classes(ids) => RowTargets::classes(ids, self.task().width())?,
            Truth::Values(_) => RowTargets::values(self.targets())?,
        };
        match self.weights() {
            Some(weights) => targets.with_weights(weights),
            None => Ok(targets),
        }
    }
}

/// The losses that have a decomposition into bias, variance and diversity.
fn losses(task: Task) -> &'static [AdditiveLoss] {
    match task {
        Task::Classification { .. } => &[AdditiveLoss::CrossEntropy, AdditiveLoss::Squared],
        Task::Regression { .. } => &[AdditiveLoss::Squared],
    }
}

/// Fills in why the ensembles of a strategy gain: measures of diversity over all trainings, decompositions over
/// the repeats of the first split.
pub(super) fn explain(report: StrategyReport, splits: &[Trials], strategy: usize) -> Result<StrategyReport> {
    let mut all: Vec<Diversity> = vec![];
    for split in splits {
        let targets = split.rows.row_targets()?;
        for trial in split.strategies.get(strategy).map(|(_, trials)| trials).into_iter().flatten() {
            let predictions = Predictions::new(trial.trained.predictions.tensor()?, split.rows.task())?;
            if predictions.slots() > 1 {
                all.push(Diversity::of(&predictions, &targets)?);
            }
        }
    }
    let Some(first) = all.first() else { return Ok(report) };
    let measure = |i: usize| -> Result<DiversityMeasure> {
        let values: Vec<f64> = all.iter().filter_map(|d| d.measures.get(i)?.value).collect();
        let summary = if values.is_empty() { None } else { Some(Summary::of(&values)?) };
        let name = first.measures[i].name.clone();
        Ok(DiversityMeasure { name, summary, more_is_more_diverse: first.measures[i].more_is_more_diverse })
    };
    let (kappa_error, name): (Vec<KappaError>, _) =
        (first.kappa_error.clone(), splits.first().map(|split| pair_measure(split.rows.task())));
    let pairs: Option<PairMatrix> = name.and_then(|name| first.pairs(name)).cloned();
    let report = StrategyReport {
        diversity: (0..first.measures.len()).map(measure).collect::<Result<_>>()?,
        kappa_error,
        pair_measure: name.map(String::from),
        pairs,
        ..report
    };
    match splits.first() {
        Some(split) => decompose(report, split, strategy),
        None => Ok(report),
    }
}

fn decompose(report: StrategyReport, split: &Trials, strategy: usize) -> Result<StrategyReport> {
    let trained: Vec<&Trained> = match split.strategies.get(strategy) {
        Some((_, trials)) if trials.len() > 1 => trials.iter().map(|trial| &trial.trained).collect(),
        _ => return Ok(report),
    };
    if trained.iter().any(|t| t.members != trained[0].members) {
        return Ok(report);
    }
    let (targets, task) = (split.rows.row_targets()?, split.rows.task());
    let mut decompositions = vec![];
    for loss in losses(task) {
        let mut repeats = DiversityRepeats::new(*loss, &targets)?;
        trained.iter().try_for_each(|t| repeats.push(&t.predictions.tensor()?))?;
        decompositions.push(repeats.finish()?);
    }
    let diversity_effect = match task {
        Task::Regression { .. } => None,
        Task::Classification { .. } => {
            let mut repeats = DiversityEffectRepeats::new(&targets)?;
            trained.iter().try_for_each(|t| repeats.push(&t.predictions.tensor()?))?;
            Some(repeats.finish()?)
        }
    };
    Ok(StrategyReport { decompositions, diversity_effect, ..report })
}

/// Bias and variance of a combination over the repeats of one split, if there are two or more.
pub(super) fn bias_variance(
    rows: &TestRows,
    repeats: &[&Combined],
) -> Result<(Option<BiasVariance>, Option<ZeroOneBiasVariance>)> {
    if repeats.len() < 2 {
        return Ok((None, None));
    }
    let (targets, task) = (rows.row_targets()?, rows.task());
    let predictions = repeats.iter().map(|r| r.predictions.tensor()).collect::<Result<Vec<_>>>()?;
    // Some combinations give scores that are no distribution, such as rank averages.
    let mut additive = BiasVarianceRepeats::new(losses(task)[0], &targets)?;
    let additive =
        predictions.iter().try_for_each(|p| additive.push(p)).and_then(|()| additive.finish()).ok();
    let zero_one = match task {
        Task::Regression { .. } => None,
        Task::Classification { .. } => {
            let mut repeats = ZeroOneRepeats::new(&targets)?;
            predictions.iter().try_for_each(|p| repeats.push(p))?;
            Some(repeats.finish()?)
        }
    };
    Ok((additive, zero_one))
}
