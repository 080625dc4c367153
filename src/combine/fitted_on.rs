//! What a combiner was fitted on.
use crate::{
    combine::FittedCombiner,
    data::Task,
    kernels::{cpu, float::Number},
    network::Scale,
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::DType;
use serde::{Deserialize, Serialize};

/// What a combiner was fitted on: the task with its number of classes or outputs, the number of slots, and
/// the names of the slots where they are known.
///
/// A fitted combiner that has learned from held-out predictions keeps this record, also in a file
/// ([`save_combiner`](crate::combine::save_combiner), [`Ensemble::save`](crate::Ensemble::save)), and refuses
/// predictions of another kind: weights that were learned for classes mean nothing for values, and the weight
/// of one member means nothing for another. Names are compared only where both sides have them
/// ([`Predictions::with_names`], [`HeldOut::with_names`]).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.2, 0.8]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted.clone(), Task::Classification { classes: 2 })?;
/// let named = predictions.with_names(vec!["tree".into(), "forest".into()])?;
/// let held_out = HeldOut::from_predictions(&named, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = EnsembleSelection::new(5).fit(&held_out)?;
/// assert!(fitted.combine(&predictions).is_ok());
///
/// let turned = named.select_slots(&[1, 0])?;
/// let error = fitted.combine(&turned).unwrap_err().to_string();
/// assert!(error.contains("must be \"tree\", as in its fit (the order differs), but is \"forest\""), "{error}");
/// let values = Predictions::new(predicted, Task::Regression { outputs: 2 })?;
/// assert!(fitted.combine(&values).unwrap_err().to_string().contains("must be probabilities of 2 classes"));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FittedOn {
    task: Task,
    slots: usize,
    names: Option<Vec<String>>,
}

impl FittedOn {
    /// The record of a fit on these held-out predictions. A combiner of your own keeps it and returns it from
    /// [`FittedCombiner::fitted_on`].
    #[must_use]
    pub fn new(held_out: &HeldOut) -> Self {
        let predictions = held_out.predictions();
        let names = predictions.names().map(<[String]>::to_vec);
        Self { task: predictions.task(), slots: predictions.slots(), names }
    }

    /// The task, with the number of classes or outputs.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The names of the slots, where they are known.
    #[must_use]
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// The record for only these slots.
    pub(crate) fn select_slots(&self, slots: &[usize]) -> Self {
        let pick = |names: &Vec<String>| slots.iter().filter_map(|s| names.get(*s).cloned()).collect();
        Self { task: self.task, slots: slots.len(), names: self.names.as_ref().map(pick) }
    }

    /// Checks that the record agrees with itself and with the number of slots that a combiner has learned
    /// about.
    pub(crate) fn check(&self, slots: usize) -> Result<()> {
        if self.slots == 0 || self.slots != slots {
            let must = format!("{}, as in the fit", slots.max(1));
            return Err(Error::invalid("number of slots", must, self.slots));
        }
        match &self.names {
            Some(names) if names.len() != slots => {
                Err(Error::invalid("number of names", format!("{slots}, one for each slot"), names.len()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that what is called `name` was fitted for this task and this number of members.
    pub(crate) fn accepts(&self, name: &str, task: Task, slots: usize) -> Result<()> {
        if task != self.task {
            let must = format!("{}, as in its fit", describe(self.task));
            return Err(Error::invalid(format!("what {name} combines"), must, describe(task)));
        }
        if slots != self.slots {
            let what = format!("number of members for {name}");
            return Err(Error::invalid(what, format!("{}, as in its fit", self.slots), slots));
        }
        Ok(())
    }

    /// Checks that predictions are of this task and of these slots, for what is called `name`.
    pub(crate) fn check_predictions(&self, name: &str, predictions: &Predictions) -> Result<()> {
        if let Some((fitted, now)) = self.names().zip(predictions.names())
            && let Some(slot) = (0..fitted.len().max(now.len())).find(|s| fitted.get(*s) != now.get(*s))
        {
            return Err(other_member(name, fitted, now, slot));
        }
        self.accepts(name, predictions.task(), predictions.slots())
    }
}

/// Checks that these predictions are of the kind that `combiner` was fitted on. A combiner that has learned
/// something calls it before it combines.
///
/// # Errors
/// When the task, the number of classes or outputs, the number of slots, their names or the scale of the
/// predictions is not that of the fit.
pub(crate) fn check_fitted_on(combiner: &dyn FittedCombiner, predictions: &Predictions) -> Result<()> {
    let Some(on) = combiner.fitted_on() else { return Ok(()) };
    on.check_predictions(&combiner.name(), predictions)?;
    let fails = |got: String| {
        let what = format!("what {} combines", combiner.name());
        Err(Error::invalid(what, "probabilities, as in its fit", got))
    };
    match (predictions.scale(), combiner.scale(), on.task()) {
        (Scale::LogProbability, Scale::Probability, _) => fails("log-probabilities".into()),
        (Scale::Probability, _, Task::Classification { .. }) => match no_probability(predictions)? {
            Some((slot, row, x)) => fails(format!("{x} for member {slot}, row {row}, as logits may be")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// How far rounding may carry a probability out of the range from 0 to 1.
const ROUNDING: f64 = 1e-3;

/// The first prediction below 0 or above 1, with its slot and row. Predictions on another device than the CPU
/// are not looked at, because they would have to be copied.
fn no_probability(predictions: &Predictions) -> Result<Option<(usize, usize, f64)>> {
    let values = predictions.values();
    match values.dtype() {
        _ if !values.device().is_cpu() => Ok(None),
        DType::F64 => first_outside::<f64>(predictions),
        _ => first_outside::<f32>(predictions),
    }
}

fn first_outside<T: Number>(predictions: &Predictions) -> Result<Option<(usize, usize, f64)>> {
    let (_, rows, width) = predictions.values().dims3()?;
    // NaN is not outside: a row that no slot predicts.
    let outside = |x: &T| ((*x).into() - 0.5).abs() > 0.5 + ROUNDING;
    let coverage = predictions.coverage_by_slot()?;
    let place = |i: usize| (i / width / rows, i / width % rows);
    let present = |(slot, row): (usize, usize)| coverage.as_ref().is_none_or(|all| all[slot][row] > 0.);
    Ok(cpu::with_slice(predictions.values(), |all: &[T]| {
        let blocks = all.chunks(1024).enumerate();
        let blocks = blocks.filter(|(_, block)| block.iter().fold(false, |found, x| found | outside(x)));
        let mut found = blocks.flat_map(|(n, block)| {
            block.iter().enumerate().filter(|(_, x)| outside(x)).map(move |(i, x)| (n * 1024 + i, *x))
        });
        found.find(|(i, _)| present(place(*i))).map(|(i, x)| (place(i).0, place(i).1, x.into()))
    })?)
}

/// The first member that is not that of the fit.
fn other_member(name: &str, fitted: &[String], now: &[String], slot: usize) -> Error {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    let quoted = |name: Option<&String>| name.map(|name| format!("{name:?}"));
    let must = match quoted(fitted.get(slot)) {
        Some(name) if sorted(fitted) == sorted(now) => format!("{name}, as in its fit (the order differs)"),
        Some(name) => format!("{name}, as in its fit"),
        None => format!("absent: it was fitted on {} members", fitted.len()),
    };
    let got = quoted(now.get(slot)).unwrap_or_else(|| "absent".into());
    Error::invalid(format!("member {slot} for {name}"), must, got)
}

/// What is predicted, in words.
fn describe(task: Task) -> String {
    match task {
        Task::Classification { classes } => format!("probabilities of {classes} classes"),
        Task::Regression { outputs: 1 } => "values of 1 output".into(),
        Task::Regression { outputs } => format!("values of {outputs} outputs"),
    }
}
