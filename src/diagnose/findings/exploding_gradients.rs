//! Gradients that are too large for any learning rate.
use super::{certainty, monitors};
use crate::{
    data::Task,
    diagnose::{
        series::median,
        words::{figure, percent},
        Evidence, Finding, Label, Mark, Observations, Problem, Rule,
    },
    store::{EpochRecord, Monitors},
    Result,
};

/// Finds gradients that are not finite, far too large for the loss, or that burst.
pub(super) struct ExplodingGradients;

/// From this relative sensitivity of the loss to the weights on: see [`sensitivity`].
const SENSITIVITY: f64 = 300.;
/// At this sensitivity there is no doubt.
const SURE_SENSITIVITY: f64 = 1e5;
/// From this growth of the gradient over the epochs on, as in AutoTrainer (its β₃, between layers).
const GROWTH: f64 = 70.;
/// At this growth there is no doubt.
const SURE_GROWTH: f64 = 7000.;
/// From this norm of the gradient on, where the loss of an untrained network is about 1: 0.1 to 5 is usual.
const NORM: f64 = 30.;
/// At this norm there is no doubt.
const SURE_NORM: f64 = 1000.;
/// A burst does harm only if its step changes the weights by this share of their norm.
const STEP: f64 = 0.1;

impl Rule for ExplodingGradients {
    fn name(&self) -> &'static str {
        "exploding_gradients"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let runs = monitors::runs(seen);
        let signs = [not_finite(&runs), burst(&runs), sensitive(&runs), large(seen, &runs)];
        let mut signs: Vec<(f64, Evidence)> = signs.into_iter().flatten().collect();
        signs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let Some(confidence) = signs.first().map(|(confidence, _)| *confidence) else { return Ok(vec![]) };
        let summary = "The gradients explode: a step of the usual size changes the network beyond measure.";
        let source = "Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063; Zhang, Zhai, Ma and Shen 2021, \
                      doi:10.1109/ICSE43902.2021.00043";
        let finding =
            Finding::new(self.name(), Problem::Learning, confidence, summary, source)
                .kind(Label::UnstableLearning)
.with_curves(seen)
                .experiment(
                    "Train once with gradients clipped to a norm of 1 and a tenth of the learning rate, and once with initial \
                     weights drawn by glorot-uniform on standardized inputs. If the loss then falls smoothly, the gradients \
                     were the cause.",
                );
        Ok(vec![signs.into_iter().fold(finding, |finding, (_, evidence)| finding.evidence(evidence))])
    }
}

type Run<'a> = Vec<(&'a EpochRecord, &'a Monitors)>;

fn norm(monitors: &Monitors, of: fn(&crate::store::VariableRecord) -> f64) -> f64 {
    monitors.variables.iter().map(|variable| of(variable).powi(2)).sum::<f64>().sqrt()
}

fn gradient(monitors: &Monitors) -> f64 {
    norm(monitors, |variable| variable.gradient)
}

/// A gradient that is NaN or infinite.
fn not_finite(runs: &[Run<'_>]) -> Option<(f64, Evidence)> {
    let mut all = runs.iter().flatten();
    let (record, _) = all.find(|(_, monitors)| !gradient(monitors).is_finite())?;
    let text = format!("In epoch {}, the gradient is not finite.", record.epoch);
    Some((0.97, Evidence::new(text).mark(Mark::Epoch(record.epoch))))
}

/// The largest gradient of a run, compared with that of its first epoch, where the steps are large as well.
fn burst(runs: &[Run<'_>]) -> Option<(f64, Evidence)> {
    let of_run = |run: &Run<'_>| {
        let first = run.first().map(|(_, monitors)| gradient(monitors)).filter(|norm| *norm > 0.)?;
        let burst = |(record, monitors): &(&EpochRecord, &Monitors)| {
            let step =
                norm(monitors, |variable| variable.update) / norm(monitors, |variable| variable.weight);
            let growth = gradient(monitors) / first;
            (step >= STEP && growth.is_finite()).then_some((growth, record.epoch, step))
        };
        run.iter().filter_map(burst).reduce(|a, b| if b.0 > a.0 { b } else { a })
    };
    let (growth, epoch, step) =
        runs.iter().filter_map(of_run).reduce(|a, b| if b.0 > a.0 { b } else { a })?;
    let text = format!(
        "In epoch {epoch}, the gradient is {} times as large as in the first epoch, and a step changes the weights by {} of \
         their norm.",
        figure(growth),
        percent(step)
    );
    let confidence = certainty::log_ramp(growth, GROWTH, SURE_GROWTH)?;
    Some((confidence, Evidence::new(text).value(growth).mark(Mark::Epoch(epoch))))
}

/// How sensitive the loss of the first epoch is to the weights: `‖g‖ ‖w‖ / L`, the relative change of the loss for a
/// relative change of the weights along the gradient. It has no unit, so it is comparable between networks: some tens
/// for networks of usual initial weights.
fn sensitivity((record, monitors): &(&EpochRecord, &Monitors)) -> Option<f64> {
    let loss = record.train_loss.abs();
    (loss > 0.).then(|| gradient(monitors) * norm(monitors, |variable| variable.weight) / loss)
}

/// A loss that changes by far more than the weights do, from the start.
fn sensitive(runs: &[Run<'_>]) -> Option<(f64, Evidence)> {
    let of_first = |run: &Run<'_>| run.first().and_then(sensitivity);
    let figure_of = median(runs.iter().filter_map(of_first))?;
    let text = format!(
        "In the first epoch, a change of the weights by 0.1 % along the gradient changes the loss by {} of its value.",
        percent(figure_of / 1000.)
    );
    let confidence = certainty::log_ramp(figure_of, SENSITIVITY, SURE_SENSITIVITY)?;
    Some((confidence, Evidence::new(text).value(figure_of).mark(Mark::Epoch(0))))
}

/// A gradient that is large from the start, where the unit of the loss is known: cross-entropies, and losses of scaled
/// targets.
fn large(seen: &Observations<'_>, runs: &[Run<'_>]) -> Option<(f64, Evidence)> {
    let config = seen.config?;
    let known = match seen.task? {
        Task::Classification { .. } => true,
        Task::Regression { .. } => config.target_scaling.is_some(),
    };
    let of_first = |run: &Run<'_>| run.first().map(|(_, monitors)| gradient(monitors));
    let norm = median(runs.iter().filter_map(of_first)).filter(|_| known)?;
    let text = format!(
        "In the first epoch, the gradient has a norm of {}; 0.1 to 5 is usual for this loss.",
        figure(norm)
    );
    Some((certainty::log_ramp(norm, NORM, SURE_NORM)?, Evidence::new(text).value(norm).mark(Mark::Epoch(0))))
}
