//! The built-in remedies, one or one family a file. To add one, write a file with a `BuiltIn` and add a line
//! to the list.
mod activation;
mod adam;
mod bagging;
mod batch_norm;
mod clip_gradients;
mod cosine_schedule;
mod deeper_network;
mod dropout;
mod early_stopping;
mod fewer_epochs;
mod higher_learning_rate;
mod huber_loss;
mod initial_weights;
mod input_noise;
mod k_fold_ensemble;
mod l2_penalty;
mod label_smoothing;
mod larger_batch;
mod less_regularization;
mod longer_patience;
mod lower_learning_rate;
mod more_epochs;
mod one_cycle;
mod one_network;
mod regularization_cocktail;
mod rows;
mod several_runs;
mod smaller_network;
mod standardize_inputs;
mod standardize_targets;
mod suggested_learning_rate;
mod unfreeze;
mod usual_loss;
mod weight_average;
mod weight_decay;
mod wider_network;
mod within_run;

use super::kind::{because, rounded, BuiltIn, Draft};
use crate::{
    data::Task,
    diagnose::{ColumnScale, Finding, Label},
    nn::Activation,
    remedy::{Remedy, Start},
    train::Optimizer,
};
use std::fmt::Write;

/// The built-in remedies. Among equals, the first one is proposed first.
const ALL: [BuiltIn; 45] = [
    suggested_learning_rate::REMEDY,
    higher_learning_rate::REMEDY,
    lower_learning_rate::REMEDY,
    initial_weights::REMEDY,
    activation::REMEDY,
    usual_loss::REMEDY,
    standardize_inputs::REMEDY,
    standardize_targets::REMEDY,
    unfreeze::REMEDY,
    more_epochs::REMEDY,
    longer_patience::REMEDY,
    one_cycle::REMEDY,
    cosine_schedule::REMEDY,
    adam::REMEDY,
    batch_norm::REMEDY,
    clip_gradients::REMEDY,
    larger_batch::REMEDY,
    huber_loss::REMEDY,
    less_regularization::REMEDY,
    wider_network::REMEDY,
    deeper_network::REMEDY,
    early_stopping::REMEDY,
    fewer_epochs::REMEDY,
    regularization_cocktail::REMEDY,
    l2_penalty::REMEDY,
    dropout::REMEDY,
    smaller_network::REMEDY,
    weight_decay::REMEDY,
    label_smoothing::REMEDY,
    input_noise::REMEDY,
    several_runs::REMEDY,
    bagging::REMEDY,
    k_fold_ensemble::REMEDY,
    within_run::HORIZONTAL,
    within_run::SNAPSHOT,
    weight_average::EMA,
    weight_average::SWA,
    one_network::GREEDY_SOUP,
    one_network::BEST_OF,
    rows::MORE,
    rows::VALIDATION,
    rows::DEDUPLICATE,
    rows::GROUPS,
    rows::LEAK,
    rows::DRIFT,
];

/// The built-in remedies; see the [module](crate::remedy).
#[must_use]
pub fn remedies() -> Vec<Box<dyn Remedy>> {
    ALL.into_iter().map(|remedy| Box::new(remedy) as Box<dyn Remedy>).collect()
}

/// The built-in remedies as two tables in Markdown, for documentation: each remedy, and the remedies for each
/// finding, the best first.
#[must_use]
pub fn remedies_markdown() -> String {
    let mut out = String::from("| Remedy | What it proposes |\n|---|---|\n");
    for remedy in ALL {
        let _ = writeln!(out, "| `{}` | {} |", remedy.name, remedy.summary);
    }
    out += "\n| Finding | Remedies |\n|---|---|\n";
    for finding in names() {
        let of = |remedy: BuiltIn| Some((remedy.priority_for(finding)?, remedy.name));
        let mut names: Vec<_> = ALL.into_iter().filter_map(of).collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0));
        let names: Vec<_> = names.iter().map(|(_, name)| format!("`{name}`")).collect();
        let _ = writeln!(out, "| `{finding}` | {} |", names.join(", "));
    }
    out
}

/// The names of findings that remedies are for: those of the labels first.
pub(super) fn names() -> Vec<&'static str> {
    let mut all: Vec<_> = Label::ALL.iter().map(|label| label.name()).collect();
    all.extend(ALL.iter().flat_map(|remedy| remedy.treats).map(|(name, _)| *name));
    let mut seen = vec![];
    for name in all {
        if !seen.contains(&name) && ALL.iter().any(|remedy| remedy.priority_for(name).is_some()) {
            seen.push(name);
        }
    }
    seen
}

/// Whether the training loss hardly falls, for whatever reason.
fn is_flat(finding: &Finding) -> bool {
    finding.is(Label::UnderfitFlat.name()) || finding.name == "cannot_fit_one_batch"
}

/// Whether the learning rate is roughly right, and its neighbours may be better.
fn is_coarse(finding: &Finding) -> bool {
    finding.name == "coarse_learning_rate"
}

/// The highest rate that is proposed for an optimizer.
fn highest_rate(optimizer: &Optimizer) -> f64 {
    match optimizer {
        Optimizer::Sgd(_) | Optimizer::Adagrad(_) | Optimizer::Adadelta(_) => 10.,
        _ => 0.3,
    }
}

/// The activation function of the hidden layers, if the setup gives it.
fn activation(start: &Start<'_>) -> Option<Activation> {
    Activation::registry().parse(&start.text("activation")?).ok()
}

/// The widths of the hidden layers, if the model reads them and the setup gives them: `64,32`, or `none`.
fn widths(start: &Start<'_>) -> Option<Vec<usize>> {
    if !start.can_set("hidden") {
        return None;
    }
    match start.text("hidden")?.trim() {
        "" | "none" => Some(vec![]),
        text => text.split(',').map(|width| width.trim().parse().ok()).collect(),
    }
}

fn widths_text(widths: &[usize]) -> String {
    widths.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// The proposal to scale columns: none if they are on one scale already. Numbers of another size than the network is made
/// for come before what is only likely.
fn scaling(draft: Draft, columns: Option<&[ColumnScale]>) -> Vec<Draft> {
    let far = |column: &ColumnScale| column.size() > FAR || column.size() < 1. / FAR;
    match columns {
        Some(columns) if columns.iter().all(ColumnScale::is_usual) => vec![],
        Some(columns) if columns.iter().any(far) => vec![draft.times(1.5)],
        _ => vec![draft],
    }
}

/// The size of a column that is far from 1.
const FAR: f64 = 30.;

/// How many times as many weights the network has with other hidden layers.
fn size_ratio(now: &[usize], then: &[usize], start: &Start<'_>) -> f64 {
    let inputs = inputs(now, start);
    weights(inputs, then, start) / weights(inputs, now, start).max(1.)
}

/// So many weights for each row are far too many.
const FAR_TOO_MANY: f64 = 4.;

/// The weights of the network for each row to learn from, if that is far too many.
fn too_many_weights(start: &Start<'_>) -> Option<f64> {
    let (now, rows) = (widths(start)?, start.rows?);
    let per_row = weights(inputs(&now, start), &now, start) / rows.max(1) as f64;
    (per_row >= FAR_TOO_MANY).then_some(per_row)
}

/// The number of inputs; that of the units of the first hidden layer where it is not known.
fn inputs(hidden: &[usize], start: &Start<'_>) -> usize {
    start.features.unwrap_or_else(|| hidden.first().copied().unwrap_or(1))
}

/// The weights of a network with these inputs and hidden layers, the offsets among them.
fn weights(inputs: usize, hidden: &[usize], start: &Start<'_>) -> f64 {
    let outputs = match start.task {
        Some(Task::Classification { classes }) => classes,
        Some(Task::Regression { outputs }) => outputs,
        None => 1,
    };
    let all: Vec<f64> = [&[inputs], hidden, &[outputs]].concat().iter().map(|width| *width as f64).collect();
    all.iter().zip(all.iter().skip(1)).map(|(inputs, units)| (inputs + 1.) * units).sum()
}

/// The steps of a training, if the number of rows is known.
fn steps(start: &Start<'_>) -> Option<usize> {
    let rows = start.rows?;
    let in_epoch = rows.div_ceil(start.config.batch_size.rows_at(0, rows).max(1));
    Some(in_epoch.saturating_mul(start.config.epochs))
}

/// The draft without early stopping, which goes neither with averages nor with members collected within a
/// run.
fn not_stopped(draft: Draft, start: &Start<'_>) -> Draft {
    match start.config.early_stopping {
        Some(_) => draft.set("early_stopping", "none"),
        None => draft,
    }
}
