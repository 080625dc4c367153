//! A higher learning rate.
use super::{because, highest_rate, is_coarse, is_flat, rounded, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "higher-learning-rate",
    summary: "A learning rate that is 3, 10 or 100 times as high",
    treats: &[
        ("underfit_flat", 0.85),
        ("slow_learning", 0.94),
        ("underfit_unfinished", 0.85),
        ("cannot_fit_one_batch", 0.7),
        ("underfit_capacity", 0.5),
        ("coarse_learning_rate", 0.9),
    ],
    source: "Bengio 2012, arXiv:1206.5533, section 3.1.1",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let optimizer = &start.config.optimizer;
    let flat = is_flat(finding);
    // Each with its weight among the three.
    let factors: &[(f64, f64)] = match () {
        () if flat => &[(10., 1.), (100., 0.8), (3., 0.5)],
        () if is_coarse(finding) => &[(3., 1.)],
        () => &[(10., 1.), (3., 0.95)],
    };
    let rate = optimizer.learning_rate();
    let drafts = factors.iter().map(|(factor, weight)| {
        let higher = rounded(rate * factor);
        let reason = match () {
            () if is_coarse(finding) => format!("The rate is {rate}, and {higher} may be better."),
            () => format!(
                "Steps that are too small look like this: the rate is {rate}, and {higher} makes each step \
             {factor} times as large."
            ),
        };
        let effect = "The training loss falls faster. If the rate was not the cause, the training becomes \
                      unstable.";
        (higher, Draft::new(because(finding, reason), effect).set("learning_rate", higher).times(*weight))
    });
    drafts.filter(|(rate, _)| *rate <= highest_rate(optimizer)).map(|(_, draft)| draft).collect()
}
