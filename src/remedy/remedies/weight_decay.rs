//! Decoupled weight decay.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::Optimizer};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "weight-decay",
    summary: "Weights that shrink in each step, decoupled from the gradient with Adam",
    treats: &[("overfit", 0.7), ("unrepresentative_train", 0.7), ("high_variance", 0.35)],
    source: "Loshchilov and Hutter 2019, arXiv:1711.05101",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let (now, usual) = match &start.config.optimizer {
        Optimizer::Adam(adam) => (adam.weight_decay, 0.1),
        Optimizer::Sgd(sgd) => (sgd.weight_decay, 0.001),
        Optimizer::RAdam(adam) => (adam.weight_decay, 0.1),
        Optimizer::NAdam(adam) => (adam.weight_decay, 0.1),
        _ => return vec![],
    };
    let decay = if now > 0. { super::rounded(now * 10.) } else { usual };
    let reason =
        format!("Weights that the loss does not need fall to 0: a decay of {decay} in place of {now}.");
    let effect = "A smaller gap, as with an L2 penalty; with Adam more evenly over the weights.";
    let draft = Draft::new(because(finding, reason), effect);
    vec![match &start.config.optimizer {
        Optimizer::Adam(a) if !a.decoupled && !a.epsilon_hat => draft
            .set(
                "optimizer",
                &*format!(
                    "adamw:{}:{decay}:{}:{}:{}:{}",
                    a.learning_rate, a.beta1, a.beta2, a.epsilon, a.amsgrad
                ),
            )
            .set("weight_decay", decay),
        _ => draft.set("weight_decay", decay),
    }]
}
