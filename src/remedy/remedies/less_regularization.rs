//! Without penalties and noise.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "less-regularization",
    summary: "Training without the penalties, constraints, dropout and noise that are set",
    treats: &[
        ("underfit_capacity", 0.95),
        ("cannot_fit_one_batch", 0.85),
        ("underfit_flat", 0.8),
        ("underfit_unfinished", 0.5),
    ],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 11.4.1",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let config = &start.config;
    let mut probe = config.optimizer.clone();
    probe.set_weight_decay(0.);
    let dropout = start.can_set("dropout")
        && start.setup.settings.real("dropout").ok().flatten().is_some_and(|share| share > 0.);
    let mut names = vec![];
    let mut draft = Draft::new("", "A lower training loss. Overfitting may come back.");
    if probe != config.optimizer {
        names.push("weight decay");
        draft = draft.set("weight_decay", 0.);
    }
    for (set, what, name) in [
        (!config.regularizers.is_empty(), "penalties", "regularizer"),
        (!config.constraints.is_empty(), "constraints", "constraint"),
        (!config.noise.is_empty(), "noise", "noise"),
    ] {
        if set {
            names.push(what);
            draft = draft.set(name, "none");
        }
    }
    if dropout {
        names.push("dropout");
        draft = draft.set("dropout", 0.);
    }
    if names.is_empty() {
        return vec![];
    }
    let reason =
        format!("The training has {}, which keep the network from fitting its rows.", names.join(", "));
    vec![draft.because(because(finding, reason))]
}
