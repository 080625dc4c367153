//! Evidence that several findings share.
use crate::{
    data::Task,
    diagnose::{
        series::{share, Series, Typical},
        words::{figure, pair, percent},
        CurveMetric, Curves, Evidence, Mark, Observations,
    },
    train::Loss,
};

/// How far the training loss falls in all.
pub(super) fn fall(train: &Series) -> Option<Evidence> {
    let ((_, first), (epoch, lowest), fall) = (train.first()?, train.lowest()?, train.fall()?);
    let (from, to) = pair(first, lowest);
    let text = format!(
        "The training loss falls by {} in all, from {from} in the first epoch to {to} in epoch {epoch}.",
        percent(fall)
    );
    Some(Evidence::new(text).value(fall).mark(Mark::Level(first)))
}

/// How far a loss falls over the last fifth of the epochs.
pub(super) fn fall_of_last_fifth(name: &str, loss: &Series) -> Option<Evidence> {
    let fall = loss.fall_of_last_fifth()?;
    let tail = loss.tail(0.8);
    let (from, to) = (tail.first()?.0, tail.last()?.0);
    let how = match fall {
        fall if fall >= 0.0005 => format!("falls by {}", percent(fall)),
        fall if fall <= -0.0005 => format!("rises by {}", percent(-fall)),
        _ => "does not change".into(),
    };
    let text = format!("Over the last fifth of the epochs, {from} to {to}, the {name} loss {how}.");
    Some(Evidence::new(text).value(fall).mark(Mark::Epochs { from, to }))
}

/// The two losses at the last epoch that has both.
pub(super) fn gap(typical: &Typical) -> Option<Evidence> {
    let (epoch, train, valid) = typical.end()?;
    let of = match (train.min(valid), share((valid - train).abs(), train)) {
        (low, Some(gap)) if low > 0. && valid > 2. * train => {
            format!(", {} times as high as the training loss", figure(gap + 1.))
        }
        (_, Some(gap)) if valid >= train => format!(", {} above the training loss", percent(gap)),
        (_, Some(gap)) => format!(", {} below the training loss", percent(gap)),
        _ => String::new(),
    };
    let text = format!(
        "In the last epoch, {epoch}, the validation loss is {} and the training loss {}{of}.",
        figure(valid),
        figure(train)
    );
    let mark = Mark::Gap { epoch, low: train.min(valid), high: train.max(valid) };
    Some(Evidence::new(text).value(valid - train).mark(mark))
}

/// The loss of a network that has learned nothing and gives every class the same probability, `ln C`, beside
/// the level that the training loss ends at. `None` for other losses, whose level depends on the targets.
pub(super) fn without_a_model(seen: &Observations<'_>, train: &Series) -> Option<Evidence> {
    let Some(Task::Classification { classes }) = seen.task else { return None };
    let task = Task::Classification { classes };
    let default = || Loss::default_for(task, seen.output.unwrap_or_default(), classes);
    let loss = seen.config?.loss.unwrap_or_else(default);
    let cross_entropy = matches!(loss, Loss::CrossEntropy { .. } | Loss::BinaryCrossEntropy);
    let (end, nothing) = (train.level()?, (classes as f64).ln());
    let text = format!(
        "A network that gives each of the {classes} classes the same probability has a loss of ln {classes} = {}; the \
         training loss ends at {}, {} of it.",
        figure(nothing),
        figure(end),
        percent(end / nothing)
    );
    (cross_entropy && nothing > 0.)
        .then(|| Evidence::new(text).value(end / nothing).mark(Mark::Level(nothing)))
}

/// The learning rate, where it is known.
pub(super) fn learning_rate(seen: &Observations<'_>) -> Option<Evidence> {
    let rate = seen.config?.optimizer.learning_rate();
    Some(Evidence::new(format!("The learning rate is {rate}.")).value(rate))
}

/// What the metric is called.
pub(super) const fn metric_name(curves: &Curves) -> &'static str {
    match curves.metric {
        Some(CurveMetric::Accuracy) => "accuracy",
        Some(CurveMetric::Rmse) => "root mean squared error",
        None => "metric",
    }
}

/// The level of the metric on the training and validation rows at the end.
pub(super) fn metric_level(curves: &Curves, typical: &Typical) -> Option<Evidence> {
    let (name, train) = (metric_name(curves), typical.train_metric.level()?);
    let text = match typical.valid_metric.level() {
        Some(valid) => format!(
            "The {name} ends at {} on the training rows and {} on the validation rows.",
            figure(train),
            figure(valid)
        ),
        None => format!("The {name} ends at {} on the training rows.", figure(train)),
    };
    Some(Evidence::new(text).value(train))
}

/// The experiment that tells too small a network apart from targets with noise.
pub(super) fn larger_network(level: Option<f64>) -> String {
    let level = level.map_or_else(|| "its level".into(), figure);
    format!(
        "Train a network of four times the units for the same number of epochs, and once more with a learning rate that \
         a range test suggests. If the training loss and the validation loss both end clearly below {level}, the \
         network was too small or its rate was wrong. If they do not, what remains is noise of the targets, or the \
         columns do not say more about them."
    )
}

impl crate::diagnose::Finding {
    /// Adds evidence, where there is some.
    pub(super) fn evidence_if(self, evidence: Option<Evidence>) -> Self {
        match evidence {
            Some(evidence) => self.evidence(evidence),
            None => self,
        }
    }
}
