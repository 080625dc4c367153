//! The learning rate that a range test suggests.
use super::{because, is_flat, rounded, BuiltIn, Draft};
use crate::{
    diagnose::{Finding, Label},
    remedy::Start,
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "suggested-learning-rate",
    summary: "The learning rate that a range test suggests",
    treats: &[
        ("underfit_flat", 0.98),
        ("underfit_unfinished", 0.95),
        ("unstable_learning", 0.95),
        ("update_ratio", 0.95),
        ("cannot_fit_one_batch", 0.9),
        ("underfit_capacity", 0.6),
    ],
    source: "Smith 2017, arXiv:1506.01186",
    drafts,
};

/// A smaller change of the rate is within the error of the test.
const FACTOR: f64 = 2.;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(test) = start.range_test else { return vec![] };
    let mut suggestions: Vec<f64> =
        [test.suggestion, test.valley, test.tenth_of_minimum].into_iter().flatten().collect();
    suggestions.sort_by(f64::total_cmp);
    let (rate, unstable) =
        (start.config.optimizer.learning_rate(), finding.is(Label::UnstableLearning.name()));
    // The careful one where the training is unstable, and the one in the middle elsewhere.
    let middle = suggestions.len().saturating_sub(1) / 2;
    let Some(best) = suggestions.get(if unstable { 0 } else { middle }) else { return vec![] };
    let (best, ratio) = (rounded(*best), best / rate);
    let (lower, higher) = (ratio <= 1. / FACTOR, ratio >= FACTOR);
    let plateau = finding.is(Label::UnderfitCapacity.name());
    let fits = match () {
        () if unstable => lower,
        () if plateau || is_flat(finding) => lower || higher,
        () => higher,
    };
    if !fits {
        return vec![];
    }
    // A rate that is too high ends on a plateau like that of a small network.
    let weight = if plateau && lower { 1.5 } else { 1. };
    let direction = if ratio < 1. { "lower" } else { "higher" };
    let reason = format!(
        "The loss of the range test falls well at a rate of {best}, which is {direction} than the present \
         {rate}."
    );
    let effect = "The training loss falls as far as the network allows. A suggestion is right within a \
                  factor of about 3.";
    vec![Draft::new(because(finding, reason), effect).set("learning_rate", best).times(weight)]
}
