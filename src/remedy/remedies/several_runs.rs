//! The mean of several networks.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "several-runs",
    summary: "The mean prediction of 5 or 10 networks from different seeds",
    treats: &[
        ("high_variance", 0.97),
        ("single_network", 0.9),
        ("unrepresentative_train", 0.84),
        ("overfit", 0.75),
    ],
    source: "Hansen and Salamon 1990, doi:10.1109/34.58871; Lakshminarayanan et al. 2017, arXiv:1612.01474",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let now = match start.setup.strategy.as_deref() {
        None => 1,
        Some(text) => match text.strip_prefix("multi-run:").map(str::parse::<usize>) {
            Some(Ok(runs)) => runs,
            _ => return vec![],
        },
    };
    // What ten add to five is less than an eighth of what five gain.
    let sizes: &[(usize, f64)] =
        if finding.name == "single_network" { &[(5, 1.)] } else { &[(5, 1.), (10, 0.75)] };
    let more = sizes.iter().copied().filter(|(runs, _)| *runs > now);
    let draft = |(runs, weight): (usize, f64)| {
        let reason = format!(
            "The mean of {runs} networks varies √{runs} times less from run to run than one of them."
        );
        let effect = "The part of the error that is due to the spread falls to the inverse of the number of \
                      networks. It helps in nearly every case, and costs as many trainings.";
        let cost = runs as f64 / now.max(1) as f64;
        Draft::new(because(finding, reason), effect)
            .strategy(format!("multi-run:{runs}"))
            .cost(cost, cost)
            .times(weight)
    };
    more.map(draft).collect()
}
