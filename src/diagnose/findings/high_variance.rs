//! A result that varies from epoch to epoch or from run to run.
use super::{labelled, run_spread::RunSpread, Labelled};
use crate::{
    data::Task,
    diagnose::{
        ensemble_gain::{ClassScores, EnsembleGain},
        series::usable,
        spread::{runs_for_sd, sd_interval, LEVEL, SPREAD_WITHIN},
        words::{count, figure, percent},
        Curves, Evidence, Finding, Label, Mark, Observations, Rule,
    },
    Result,
};

/// Finds results that vary from epoch to epoch or from run to run.
pub(super) struct HighVariance;

/// The sizes of ensembles whose gain is predicted.
const MEMBERS: [usize; 2] = [5, 10];
/// From this ratio on, one standard deviation is the larger one.
const CLEARLY: f64 = 1.5;
/// The number of runs that shows the order of the spread.
const FEW_RUNS: usize = 5;

impl Rule for HighVariance {
    fn name(&self) -> &'static str {
        Label::HighVariance.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, .. }) = labelled(seen, Label::HighVariance) else {
            return Ok(vec![]);
        };
        let spread = RunSpread::of(curves)?;
        let how = match &spread {
            Some(RunSpread { name, total: Some(total), ends, runs, .. }) => format!(
                ": the {name} of {runs} runs is {} ± {} (standard deviation)",
                figure(ends.0),
                figure(total.estimate)
            ),
            Some(RunSpread { name, within: Some(within), ends, .. }) => {
                format!(
                    ": over the last epochs the {name} of {} varies by {}",
                    figure(ends.0),
                    figure(*within)
                )
            }
            _ => String::new(),
        };
        let summary = format!("The result depends on the seed or on the last epoch{how}.");
        let source = "Bouthillier et al. 2021, arXiv:2103.03098; Krogh and Vedelsby 1995, NIPS 7:231";
        let mut finding = Finding::of(Label::HighVariance, probability, summary, source);
        if let Some(spread) = &spread {
            finding = finding
                .evidence_if(from_run_to_run(spread, curves)?)
                .evidence_if(over_the_last_epochs(spread))
                .evidence_if(without_the_noise(spread));
        }
        let gain = ensemble(seen)?;
        finding = match gain.is_empty() {
            true => finding.evidence_if(spread.as_ref().and_then(smaller_spread)),
            false => gain.into_iter().fold(finding, Finding::evidence),
        };
        let experiment = "Train five networks that differ in their seeds, and score the mean of their predictions beside \
                          each of them. Where the spread over the last epochs is the larger one, train once more with a \
                          learning rate that decays to zero, or average the weights of the last epochs.";
        Ok(vec![finding.experiment(experiment)])
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        let Some(curves) = seen.curves else { return vec![] };
        let mut missing = vec![];
        if let (1, Ok(few), Ok(many)) =
            (curves.runs.len(), sd_interval(1., FEW_RUNS, LEVEL), runs_for_sd(SPREAD_WITHIN))
        {
            missing.push(format!(
                "The spread from run to run needs at least 2 runs. {FEW_RUNS} would give its standard deviation between \
                 {} and {} of the estimate (95 %), and {many} within ± {}.",
                percent(few.low),
                percent(few.high),
                percent(SPREAD_WITHIN)
            ));
        }
        if seen.named(Label::HighVariance).is_some() && seen.predictions.is_none() {
            missing.push(
                "What an ensemble would gain is told by the predictions of 2 runs or more for rows that they did not \
                 learn from."
                    .into(),
            );
        }
        missing
    }
}

/// The spread of the last epoch's result from run to run, and how many runs would tell it.
fn from_run_to_run(spread: &RunSpread, curves: &Curves) -> Result<Option<Evidence>> {
    let Some(total) = spread.total else { return Ok(None) };
    let many = runs_for_sd(SPREAD_WITHIN)?;
    let more = match spread.runs < many {
        true => format!("; {many} runs would tell it within ± {}", percent(SPREAD_WITHIN)),
        false => String::new(),
    };
    let text = format!(
        "From run to run, the {} of the last epoch lies between {} and {}, with a standard deviation of {} (95 % interval \
         {} to {}, {}{more}).",
        spread.name,
        figure(spread.ends.1),
        figure(spread.ends.2),
        figure(total.estimate),
        figure(total.low),
        figure(total.high),
        count(spread.runs, "run")
    );
    let evidence = Evidence::new(text).value(total.estimate);
    Ok(Some(match losses_at_the_end(curves) {
        Some(mark) => evidence.mark(mark),
        None => evidence,
    }))
}

/// The smallest and the largest validation loss, or else training loss, of the last epoch.
fn losses_at_the_end(curves: &Curves) -> Option<Mark> {
    let valid = curves.runs.iter().any(|run| run.valid_loss.last().is_some_and(|x| usable(*x)));
    let loss = |run: &crate::diagnose::Curve| {
        let series = if valid { &run.valid_loss } else { &run.train_loss };
        series.last().copied().filter(|x| usable(*x)).map(|x| (series.len() - 1, x))
    };
    let ends: Vec<(usize, f64)> = curves.runs.iter().filter_map(loss).collect();
    Some(Mark::Gap {
        epoch: ends.iter().map(|(epoch, _)| *epoch).max()?,
        low: ends.iter().map(|(_, x)| *x).reduce(f64::min)?,
        high: ends.iter().map(|(_, x)| *x).reduce(f64::max)?,
    })
}

fn over_the_last_epochs(spread: &RunSpread) -> Option<Evidence> {
    let (within, (from, to)) = (spread.within?, spread.epochs);
    let text = format!(
        "Within a run, the {} varies over the epochs {from} to {to} by a standard deviation of {} about its trend.",
        spread.name,
        figure(within)
    );
    Some(Evidence::new(text).value(within).mark(Mark::Epochs { from, to }))
}

/// What of the spread from run to run is left without that from epoch to epoch.
fn without_the_noise(spread: &RunSpread) -> Option<Evidence> {
    let (within, between) = (spread.within?, spread.between?);
    let larger = if between > CLEARLY * within {
        "most of the spread is that from run to run, which several runs average out"
    } else if within > CLEARLY * between {
        "most of the spread is that from epoch to epoch, which averaged weights or a decaying learning rate take away"
    } else {
        "both parts are about equal"
    };
    let text = format!(
        "Without the noise of single epochs, runs differ by a standard deviation of {}: {larger}.",
        figure(between)
    );
    Some(Evidence::new(text).value(between))
}

/// What an ensemble would take away of the squared error, from the predictions of several runs, and for classes what the
/// mean of these runs is worth.
pub(super) fn ensemble(seen: &Observations<'_>) -> Result<Vec<Evidence>> {
    let Some((predictions, targets)) = seen.predictions else { return Ok(vec![]) };
    let Some(gain) = EnsembleGain::of(predictions, targets)? else { return Ok(vec![]) };
    let loss = match predictions.task() {
        Task::Classification { .. } => "Brier score",
        Task::Regression { .. } => "mean squared error",
    };
    let parts =
        MEMBERS.map(|members| format!("{members} would take {} of it away", percent(gain.share(members))));
    let text = format!(
        "The {loss} of one network is {}, of which {} is variance from seed to seed ({}): a mean of {}.",
        figure(gain.member_loss),
        figure(gain.variance),
        count(gain.networks, "network"),
        parts.join(", and one of ")
    );
    let mut evidence = vec![Evidence::new(text).value(gain.share(MEMBERS[0]))];
    if let Some(scores) = ClassScores::of(predictions, targets)? {
        let text = format!(
            "The mean of the {} has an accuracy of {} and a log-loss of {}; one network has {} and {} on average.",
            count(gain.networks, "network"),
            figure(scores.together.0),
            figure(scores.together.1),
            figure(scores.one.0),
            figure(scores.one.1)
        );
        evidence.push(Evidence::new(text).value(scores.together.0 - scores.one.0));
    }
    Ok(evidence)
}

/// What an ensemble does to the spread of a result, where only the curves are known.
fn smaller_spread(spread: &RunSpread) -> Option<Evidence> {
    let sd = spread.total?.estimate;
    let of = |members: usize| figure(sd / (members as f64).sqrt());
    let text = format!(
        "If the result of an ensemble varies like the mean of its members' results, then its standard deviation is about \
         {} for {} members and {} for {}. By how much its level is better, curves do not tell.",
        of(MEMBERS[0]),
        MEMBERS[0],
        of(MEMBERS[1]),
        MEMBERS[1]
    );
    Some(Evidence::new(text).value(sd / (MEMBERS[0] as f64).sqrt()))
}
