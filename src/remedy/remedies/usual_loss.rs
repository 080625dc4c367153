//! The loss that is usual for the task.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::Loss};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "usual-loss",
    summary: "Cross-entropy for classes, and the squared error for values",
    treats: &[
        ("loss_does_not_fit_task", 1.),
        ("underfit_flat", 0.9),
        ("underfit_capacity", 0.9),
        ("cannot_fit_one_batch", 0.9),
        ("unstable_learning", 0.7),
        ("underfit_unfinished", 0.6),
        ("overfit", 0.3),
    ],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2",
    drafts,
};

/// More label smoothing than this leaves little of the labels.
const SMOOTHING: f64 = 0.3;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if let Some(Loss::CrossEntropy { smoothing }) = start.config.loss
        && smoothing > SMOOTHING
    {
        let reason =
            format!("A label smoothing of {smoothing} leaves little of the labels: train without it.");
        let draft = Draft::new(because(finding, reason), "What is trained and what is scored agree.");
        return vec![draft.set("label_smoothing", 0.)];
    }
    // The loss belongs to the kind of output.
    let own = start.output.is_distribution() || start.output.is_ordinal();
    let Some(loss) = start.config.loss.filter(|_| !own) else { return vec![] };
    let (usual, factor) = match (start.values(), loss) {
        (true, Loss::MeanSquared) => return vec![],
        // These differ from the usual loss by the weight of outliers only.
        (true, Loss::Huber { .. } | Loss::LogCosh | Loss::MeanAbsolute) => ("mean-squared", 0.4),
        (true, _) => ("mean-squared", 1.),
        (
            false,
            Loss::CrossEntropy { .. } | Loss::BinaryCrossEntropy | Loss::KlDivergence | Loss::Focal { .. },
        ) => return vec![],
        // Networks that are trained with these have one output.
        (false, Loss::Hinge | Loss::SquaredHinge) => ("binary-cross-entropy", 0.6),
        (false, _) => ("cross-entropy", 1.),
    };
    let reason = format!("{loss:?} measures something else than the task asks for: train with {usual}.");
    let effect = "What is trained and what is scored agree.";
    vec![Draft::new(because(finding, reason), effect).set("loss", usual).times(factor)]
}
