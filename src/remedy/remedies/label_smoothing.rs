//! Label smoothing.
use super::{because, BuiltIn, Draft};
use crate::{data::Task, diagnose::Finding, remedy::Start, train::Loss};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "label-smoothing",
    summary: "Classes with a probability of 90 % in place of 100 %",
    treats: &[("overfit", 0.5), ("unrepresentative_train", 0.4)],
    source: "Szegedy et al. 2016, arXiv:1512.00567",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    // With two classes and no loss set, the network may have one output, which has no smoothing.
    let fits = match (start.task, start.config.loss) {
        (Some(Task::Classification { classes }), None) => classes > 2 && !start.output.is_ordinal(),
        (Some(Task::Classification { .. }), Some(Loss::CrossEntropy { smoothing })) => smoothing == 0.,
        _ => false,
    };
    if !fits || start.config.custom_loss.is_some() {
        return vec![];
    }
    let reason = "The loss then no longer rewards a network for being ever more certain of single rows.";
    let effect =
        "Better with wrong labels. Probabilities are less extreme than they should be and need calibration.";
    vec![Draft::new(because(finding, reason), effect).set("label_smoothing", 0.1)]
}
