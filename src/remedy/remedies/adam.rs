//! Adam.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::Optimizer};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "adam",
    summary: "Adam in place of an optimizer whose steps depend on the size of the gradient",
    treats: &[
        ("underfit_flat", 0.65),
        ("vanishing_gradients", 0.65),
        ("slow_learning", 0.85),
        ("underfit_unfinished", 0.7),
        ("unstable_learning", 0.5),
        ("cannot_fit_one_batch", 0.6),
        ("underfit_capacity", 0.4),
    ],
    source: "Kingma and Ba 2015, arXiv:1412.6980",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let by_size =
        matches!(start.config.optimizer, Optimizer::Sgd(_) | Optimizer::Adagrad(_) | Optimizer::Adadelta(_));
    if !by_size {
        return vec![];
    }
    let reason = "Adam's steps are about as large as the rate for each weight, however small or large its \
                  gradient is.";
    let effect = "The loss falls early and with less tuning. A well-tuned SGD with momentum is often as \
                  good in the end.";
    vec![Draft::new(because(finding, reason), effect).set("optimizer", "adam").set("learning_rate", 0.001)]
}
