//! The loss of a network that has learned nothing.
use crate::diagnose::{
    classify::numbers::{median, or_nan},
    CurveMetric, Curves,
};

/// Numbers of classes of which the loss of an untrained network may be the logarithm.
const CLASSES: [f64; 8] = [2., 3., 4., 5., 6., 8., 10., 20.];
/// From this loss on, an untrained network is not one of few classes.
const MANY: f64 = 2.5;

/// The loss of a network that has learned nothing, estimated from the curves: for classes the smallest `ln C` that the
/// loss of the first epoch does not exceed by much; for values the loss at the beginning. 1 if the curves do not say.
pub(super) fn untrained_loss(curves: &Curves) -> f64 {
    let first = |of: &dyn Fn(usize) -> Option<f64>| or_nan(median((0..curves.runs.len()).filter_map(of)));
    let train = first(&|run| curves.runs.get(run)?.train_loss.first().copied());
    let valid = first(&|run| curves.runs.get(run)?.valid_loss.first().copied());
    let start = train.max(valid).max(0.);
    let loss = match curves.metric {
        Some(CurveMetric::Accuracy) if start < MANY => {
            let classes = CLASSES.iter().map(|classes| classes.ln());
            or_nan(classes.clone().find(|ln| *ln >= 0.93 * start).or(classes.clone().next_back()))
        }
        Some(CurveMetric::Accuracy) => start,
        _ => {
            let early = |run: usize| -> Option<f64> {
                let losses = &curves.runs.get(run)?.train_loss;
                let tenth = (curves.runs.iter().map(|run| run.train_loss.len()).max()? / 10).max(1);
                losses.iter().take(tenth).copied().filter(|x| x.is_finite()).reduce(f64::max)
            };
            start.max(first(&early))
        }
    };
    if loss.is_finite() && loss > 0. {
        loss
    } else {
        1.
    }
}
