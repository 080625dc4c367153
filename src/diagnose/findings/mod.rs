//! The built-in rules, one a file.
mod cannot_fit_one_batch;
mod certainty;
mod dead_units;
mod diverged;
mod drift;
mod duplicates;
mod evidence;
mod exploding_gradients;
mod first_loss;
mod good_fit;
mod groups_split_apart;
mod high_variance;
mod loss_does_not_fit_task;
mod monitors;
mod overfit;
mod run_spread;
mod saturated_units;
mod slow_learning;
mod small_validation;
mod target_leak;
#[cfg(test)]
mod tests;
mod too_few_rows;
mod underfit_capacity;
mod underfit_flat;
mod underfit_unfinished;
mod unrepresentative_train;
mod unrepresentative_validation;
mod unscaled;
mod unstable_learning;
mod update_ratio;
mod vanishing_gradients;

use crate::diagnose::{series::Typical, Curves, Label, Observations, Rule};

/// The built-in rules. To add one, write its file and add it here.
pub(super) const RULES: &[&dyn Rule] = &[
    &diverged::Diverged,
    &unstable_learning::UnstableLearning,
    &underfit_flat::UnderfitFlat,
    &slow_learning::SlowLearning,
    &underfit_unfinished::UnderfitUnfinished,
    &underfit_capacity::UnderfitCapacity,
    &overfit::Overfit,
    &unrepresentative_train::UnrepresentativeTrain,
    &unrepresentative_validation::UnrepresentativeValidation,
    &high_variance::HighVariance,
    &good_fit::GoodFit,
    &dead_units::DeadUnits,
    &saturated_units::SaturatedUnits,
    &vanishing_gradients::VanishingGradients,
    &exploding_gradients::ExplodingGradients,
    &update_ratio::UpdateRatio,
    &cannot_fit_one_batch::CannotFitOneBatch,
    &first_loss::OfUntrained,
    &loss_does_not_fit_task::LossDoesNotFitTask,
    &unscaled::UnscaledInputs,
    &unscaled::UnscaledTargets,
    &duplicates::Duplicates,
    &groups_split_apart::GroupsSplitApart,
    &target_leak::TargetLeak,
    &drift::Drift,
    &small_validation::SmallValidation,
    &too_few_rows::TooFewRows,
];

/// The curves of a condition that is likely enough to be named.
struct Labelled<'a> {
    probability: f64,
    curves: &'a Curves,
    typical: Typical,
}

/// The curves, if this condition is to be named.
fn labelled<'a>(seen: &Observations<'a>, label: Label) -> Option<Labelled<'a>> {
    let curves = seen.curves?;
    Some(Labelled { probability: seen.named(label)?, curves, typical: Typical::of(curves) })
}
