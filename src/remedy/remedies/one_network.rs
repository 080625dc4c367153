//! One network that is made of several.
use super::{because, not_stopped, BuiltIn, Draft};
use crate::{diagnose::Finding, plan::LrSchedule, remedy::Start};

pub(super) const GREEDY_SOUP: BuiltIn = BuiltIn {
    name: "greedy-soup",
    summary: "One network: the mean of the weights of those of the last epochs that lower the loss of reserved rows",
    treats: &[("high_variance", 0.61), ("overfit", 0.25)],
    source: "Wortsman et al. 2022, arXiv:2203.05482",
    drafts: greedy_soup,
};

pub(super) const BEST_OF: BuiltIn = BuiltIn {
    name: "best-of-runs",
    summary: "One network: the best of 5 runs, or of their averages, on reserved rows",
    treats: &[("high_variance", 0.56)],
    source: "Wortsman et al. 2022, arXiv:2203.05482",
    drafts: best_of,
};

/// Networks of which a soup is made.
const MOST: usize = 10;
/// Runs of which the best is taken.
const RUNS: usize = 5;

/// Whether the setup trains and uses a single network.
fn is_single(start: &Start<'_>) -> bool {
    start.setup.strategy.is_none() && start.setup.combination.is_none()
}

fn greedy_soup(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let last = (start.config.epochs / 4).min(MOST);
    if !is_single(start) || last < 2 || start.config.averaging.is_some() {
        return vec![];
    }
    let reason = format!("The mean of the weights of the last {last} epochs varies less than each of them.");
    let effect = "Less spread over the last epochs, and one network to predict with. A fifth of the rows is \
                  reserved to choose the epochs. The spread from run to run stays.";
    let draft = not_stopped(Draft::new(because(finding, reason), effect), start);
    // At the low rates at the end of a schedule the networks hardly differ.
    let weight = if start.config.schedule == LrSchedule::default() { 1. } else { 0.8 };
    vec![draft.strategy(format!("horizontal:{last}")).combination("greedy-soup").cost(1., 1.).times(weight)]
}

fn best_of(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if !is_single(start) {
        return vec![];
    }
    let reason = format!("Runs differ, so the best of {RUNS} is better than one of them.");
    let effect =
        "The gain of a lucky run, and one network to predict with. The mean of the runs is nearly always \
                  better still. A fifth of the rows is reserved to choose the run.";
    vec![Draft::new(because(finding, reason), effect)
        .strategy(format!("multi-run:{RUNS}"))
        .combination("best-of")
        .cost(RUNS as f64, 1.)]
}
