//! A training loss that jumps.
use super::{diverged::diverged_at, evidence, labelled, Labelled};
use crate::{
    diagnose::{
        series::{median, share, Series},
        words::{figure, percent},
        Curve, Evidence, Finding, Label, Mark, Observations, Rule,
    },
    Result,
};

/// Finds training losses that jump from epoch to epoch.
pub(super) struct UnstableLearning;

impl Rule for UnstableLearning {
    fn name(&self) -> &'static str {
        Label::UnstableLearning.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, typical }) = labelled(seen, Label::UnstableLearning) else {
            return Ok(vec![]);
        };
        // A training that diverges is a finding of its own.
        if curves.runs.iter().any(|run| diverged_at(run).is_some()) {
            return Ok(vec![]);
        }
        let source =
            "Bengio 2012, arXiv:1206.5533; Zhang, Shen, Ma, Zhai and Lin 2024, doi:10.1109/TDSC.2024.3450951";
        let jitter = jitter(&curves.runs);
        let how = jitter.as_ref().and_then(|evidence| evidence.value).map_or_else(String::new, |size| {
            format!(": from epoch to epoch it varies by {} of its level", percent(size))
        });
        let summary = format!("The training is unstable: the training loss jumps{how}.");
        let finding = Finding::of(Label::UnstableLearning, probability, summary, source)
            .evidence_if(jitter)
            .evidence_if(largest_rise(&curves.runs))
            .evidence_if(rises(&curves.runs))
            .evidence_if(evidence::fall(&typical.train))
            .evidence_if(evidence::learning_rate(seen))
            .experiment(
                "Train with a tenth of the learning rate. If the loss falls smoothly to a lower level, the rate was too \
                 high; if it still jumps, look for rows with extreme values and for batches that are too small.",
            );
        Ok(vec![finding])
    }
}

/// The noise of the training loss from epoch to epoch in the second half, as a share of its level: the median
/// over the runs.
fn jitter(runs: &[Curve]) -> Option<Evidence> {
    let of = |run: &Curve| {
        let half = Series::of(&run.train_loss).tail(0.5);
        share(half.noise()?, median(half.values())?)
    };
    let size = median(runs.iter().filter_map(of))?;
    let text = format!(
        "In the second half of the epochs, the training loss varies about its trend by a standard deviation of {} of its \
         level.",
        percent(size)
    );
    Some(Evidence::new(text).value(size))
}

/// The largest rise of a training loss from one epoch to the next in any run.
fn largest_rise(runs: &[Curve]) -> Option<Evidence> {
    let of = |run: &Curve| {
        let loss = Series::of(&run.train_loss);
        let (epoch, rise) = loss.largest_rise()?;
        Some((rise, epoch, loss.at(epoch)?))
    };
    // The earlier epoch of equal rises: the order of the runs does not matter.
    let larger = |a: (f64, usize, f64), b: (f64, usize, f64)| {
        if b.0 > a.0 || (b.0 == a.0 && (b.1, b.2) < (a.1, a.2)) {
            b
        } else {
            a
        }
    };
    let (rise, epoch, to) = runs.iter().filter_map(of).reduce(larger)?;
    let text = format!(
        "The largest jump of a run is at epoch {epoch}: the training loss rises from {} to {}.",
        figure(to - rise),
        figure(to)
    );
    Some(Evidence::new(text).value(rise).mark(Mark::Epoch(epoch)))
}

/// The share of epochs at which the training loss does not fall: the median over the runs.
fn rises(runs: &[Curve]) -> Option<Evidence> {
    let falls = runs.iter().filter_map(|run| Series::of(&run.train_loss).share_of_falls());
    let rises = 1. - median(falls)?;
    Some(Evidence::new(format!("The training loss rises in {} of the epochs.", percent(rises))).value(rises))
}
