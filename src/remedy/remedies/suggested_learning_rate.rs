//! The learning rate that a range test suggests.
use super::{because, is_flat, rounded, BuiltIn, Draft};
use crate::{
    diagnose::{Finding, Label},
    remedy::Start,
    train::Optimizer,
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "suggested-learning-rate",
    summary: "The learning rate that a range test suggests",
    treats: &[
        ("slow_learning", 0.97),
        ("underfit_flat", 0.98),
        ("underfit_unfinished", 0.95),
        ("unstable_learning", 0.95),
        ("update_ratio", 0.95),
        ("cannot_fit_one_batch", 0.9),
        ("underfit_capacity", 0.62),
    ],
    source: "Smith 2017, arXiv:1506.01186",
    drafts,
};

/// A smaller change of the rate is within the error of the test.
const FACTOR: f64 = 2.;

/// The shares of a suggestion that are proposed, with their weights. The first steps of an optimizer that divides by the
/// size of the gradient are small ones, so the test lets it go to rates that are several times too high.
const fn shares(optimizer: &Optimizer) -> [(f64, f64); 2] {
    match optimizer {
        Optimizer::Sgd(_) => [(1., 1.), (1. / 3., 0.9)],
        _ => [(0.2, 1.), (0.06, 0.9)],
    }
}

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(test) = start.range_test else { return vec![] };
    let mut suggestions: Vec<f64> =
        [test.suggestion, test.valley, test.tenth_of_minimum].into_iter().flatten().collect();
    suggestions.sort_by(f64::total_cmp);
    let (optimizer, unstable) = (&start.config.optimizer, finding.is(Label::UnstableLearning.name()));
    // The careful one where the training is unstable, and the one in the middle elsewhere.
    let middle = suggestions.len().saturating_sub(1) / 2;
    let Some(suggested) = suggestions.get(if unstable { 0 } else { middle }) else { return vec![] };
    let plateau = finding.is(Label::UnderfitCapacity.name());
    let present = optimizer.learning_rate();
    let draft = |(share, weight): (f64, f64)| {
        let rate = rounded(suggested * share);
        let (lower, higher) = (rate <= present / FACTOR, rate >= present * FACTOR);
        let fits = match () {
            () if unstable => lower,
            () if plateau || is_flat(finding) => lower || higher,
            () => higher,
        };
        // A rate that is too high ends on a plateau like that of a small network.
        let weight = if plateau && lower { 1.6 * weight } else { weight };
        let reason = format!(
            "The loss of the range test falls well at a rate of {}, for a training with this optimizer that is {rate}, \
             and the present rate is {present}.",
            rounded(*suggested)
        );
        let effect = "The training loss falls as far as the network allows. A suggestion is right within a \
                      factor of about 3.";
        let draft = Draft::new(because(finding, reason), effect);
        fits.then(|| draft.set("learning_rate", rate).times(weight))
    };
    shares(optimizer).into_iter().filter_map(draft).collect()
}
