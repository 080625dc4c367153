//! Predictions of members, and which of them are missing.
//!
//! An ensemble has slots. A slot holds one member, or several that act as one predictor, such as the fold
//! models of one architecture; their mean is the slot's prediction. [`Predictions`] holds what `S` slots
//! predict for `B` rows.
//!
//! Combiners that learn must be fitted on held-out rows: rows that a member was not trained on. Resampling
//! leaves different rows out for each member, so for most rows only some slots have a held-out prediction.
//! The others are *missing*, and the *coverage* says which ones: 1 where slot `s` predicts row `b`, 0 where
//! its prediction is missing. [`HeldOut`] joins such predictions with the targets of the rows.
mod held_out;
pub(crate) mod joined;
pub(crate) mod kept;
pub(crate) mod live;
pub(crate) mod on_disk;
pub(crate) mod passes;
pub(crate) mod scored_rows;
pub(crate) mod unseen;
pub(crate) mod workers;

pub use held_out::HeldOut;
pub(crate) use held_out::Targets;
pub use on_disk::{HeldOutFile, HeldOutWriter};

use crate::{
    data::Task,
    kernels::{cpu, finite::not_finite, float::Number},
    network::{
        output::{ln, widened},
        positions::Layout,
        Scale,
    },
};
use candle_core::{DType, Device, Result, Tensor};
use std::sync::Arc;

/// What `S` slots predict for `B` rows, `(S, B, C)`: probabilities of `C` classes, or `C` values for
/// regression. Where a row has several [`Positions`](crate::data::Positions), each position is a row of its own, in the
/// order of the targets, with probabilities of its classes. A slot's prediction is the mean of its members. Values of a type
/// shorter than f32 are kept as f32, so that sums and means over them are exact enough.
///
/// A slot must not predict the rows that it was trained on when the predictions are used to fit or to score a
/// combiner. Such a prediction is missing: its coverage is 0 ([`covered`](Self::covered)), and no combiner
/// reads its values. [`Mean`](crate::combine::Mean), for example, averages the predictions that are there,
/// row by row; a row for which all predictions are missing gives NaN. [`fill_missing`](Self::fill_missing)
/// replaces missing predictions by the mean of the others.
#[derive(Clone, Debug)]
pub struct Predictions {
    values: Tensor,
    covered: Option<Tensor>,
    task: Task,
    scale: Scale,
    inputs: Option<Tensor>,
    names: Option<Arc<[String]>>,
    layout: Option<Arc<Layout>>,
}

impl Predictions {
    /// Predictions of which none is missing: probabilities `(S, B, C)` for classes, values `(S, B, K)` for
    /// regression.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::*, data::Task, predictions::*};
    ///
    /// let members = Tensor::new(&[[[0.9f32, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]], &Device::Cpu)?;
    /// let predictions = Predictions::new(members, Task::Classification { classes: 2 })?;
    /// assert_eq!(HardVote.combine(&predictions)?.argmax(1)?.to_vec1::<u32>()?, [1]);
    /// assert_eq!(Mean.combine(&predictions)?.argmax(1)?.to_vec1::<u32>()?, [0]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the shape does not have three dimensions, there are no slots, or the last dimension is not the
    /// number of classes or outputs of the task.
    pub fn new(values: Tensor, task: Task) -> Result<Self> {
        Self::on_scale(values, None, task, Scale::Probability)
    }

    /// Predictions of which some may be missing. `covered`, `(S, B)`, is 1 where a slot predicts a row and 0
    /// where the prediction is missing; the values of a missing prediction are never read.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::*, data::Task, predictions::*};
    ///
    /// let values = Tensor::new(&[[[1f32], [4.]], [[3.], [f32::NAN]]], &Device::Cpu)?;
    /// let covered = Tensor::new(&[[1u8, 1], [1, 0]], &Device::Cpu)?; // slot 1 does not predict row 1
    /// let predictions = Predictions::partial(values, covered, Task::Regression { outputs: 1 })?;
    /// assert_eq!(Mean.combine(&predictions)?.to_vec2::<f32>()?, [[2.], [4.]]);
    /// assert_eq!(predictions.fill_missing()?.values().to_vec3::<f32>()?, [[[1.], [4.]], [[3.], [4.]]]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Predictions::new`], and when the shape of `covered` is not `(S, B)`.
    pub fn partial(values: Tensor, covered: Tensor, task: Task) -> Result<Self> {
        Self::on_scale(values, Some(covered), task, Scale::Probability)
    }

    pub(crate) fn on_scale(
        values: Tensor,
        covered: Option<Tensor>,
        task: Task,
        scale: Scale,
    ) -> Result<Self> {
        let (slots, rows, width) = values.dims3()?;
        let values = widened(&values)?;
        let wanted = task.width();
        if slots == 0 || width != wanted {
            candle_core::bail!("predictions must be (slots, rows, {wanted}), but are {:?}", values.dims());
        }
        let covered = match covered {
            Some(c) if c.dims() != [slots, rows] => {
                candle_core::bail!("coverage must be ({slots}, {rows}), but is {:?}", c.dims())
            }
            Some(c) => Some(c.to_dtype(values.dtype())?),
            None => None,
        };
        Ok(Self { values, covered, task, scale, inputs: None, names: None, layout: None })
    }

    /// The predicted probabilities or values, `(S, B, C)`. Those of a missing prediction have no meaning; a
    /// pool sets them to NaN.
    #[must_use]
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The coverage, `(S, B)`: 1 where a slot predicts a row, 0 where its prediction is missing. `None` when
    /// no prediction is missing.
    #[must_use]
    pub fn covered(&self) -> Option<&Tensor> {
        self.covered.as_ref()
    }

    /// The task: classes or values, and how many.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.values.dims()[0]
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.dims()[1]
    }

    /// The inputs of the rows, `(B, F)`, for combiners that use them
    /// ([`FittedCombiner::needs_inputs`](crate::combine::FittedCombiner::needs_inputs)).
    #[must_use]
    pub fn inputs(&self) -> Option<&Tensor> {
        self.inputs.as_ref()
    }

    /// Attaches the inputs of the rows, `(B, F)`.
    ///
    /// # Errors
    /// When `inputs` is not a table of floats with one row for each row of the predictions.
    pub fn with_inputs(&self, inputs: &Tensor) -> Result<Self> {
        match inputs.dims() {
            [rows, width] if *rows == self.rows() && *width > 0 && inputs.dtype().is_float() => {}
            got => candle_core::bail!("inputs must be floats of shape ({}, F), but are {got:?}", self.rows()),
        }
        Ok(Self { inputs: Some(inputs.clone()), ..self.clone() })
    }

    /// The names of the slots, if they are known.
    #[must_use]
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Names the slots. A combiner that was fitted on slots with names refuses predictions of slots with
    /// other names, or in another order ([`FittedOn`](crate::combine::FittedOn)).
    ///
    /// # Errors
    /// When there are not as many names as slots.
    pub fn with_names(&self, names: Vec<String>) -> crate::Result<Self> {
        match self.slots() {
            slots if slots == names.len() => Ok(Self { names: Some(names.into()), ..self.clone() }),
            slots => {
                let must = format!("{slots}, one for each slot");
                Err(crate::Error::invalid("number of names", must, names.len()))
            }
        }
    }

    /// The predictions without the graph that they come from.
    pub(crate) fn detached(self) -> Self {
        Self { values: self.values.detach(), ..self }
    }

    /// Attaches the layout of the outputs, for a task with positions.
    pub(crate) fn with_layout(self, layout: Option<Layout>) -> Self {
        Self { layout: layout.map(Arc::new), ..self }
    }

    /// The layout of the outputs, where their rows have positions.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        self.layout.as_deref()
    }

    /// The scale of the values.
    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    /// Maps the values, the coverage and the inputs; `f` also takes the dimension that counts the rows.
    fn map_tensors(&self, f: impl Fn(&Tensor, usize) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            values: f(&self.values, 1)?,
            covered: self.covered.as_ref().map(|c| f(c, 1)).transpose()?,
            inputs: self.inputs.as_ref().map(|i| f(i, 0)).transpose()?,
            ..self.clone()
        })
    }

    /// The predictions of the slots `from..from + count`.
    ///
    /// # Errors
    /// When there are fewer slots.
    pub fn narrow_slots(&self, from: usize, count: usize) -> Result<Self> {
        let covered = self.covered.as_ref().map(|c| c.narrow(0, from, count)).transpose()?;
        let values = self.values.narrow(0, from, count)?;
        let names = self.names.as_ref().map(|names| names[from..from + count].into());
        Ok(Self { values, covered, names, ..self.clone() })
    }

    /// The predictions of the same slots for the rows of all parts, in their order. There is at least one part, and none is
    /// missing.
    pub(crate) fn concat_rows(mut parts: Vec<Self>) -> Result<Self> {
        let Some(last) = parts.pop() else {
            candle_core::bail!("there must be rows to predict, but there are none")
        };
        if parts.is_empty() {
            return Ok(last);
        }
        parts.push(last.clone());
        let all = |of: fn(&Self) -> Option<&Tensor>, dim: usize| {
            let tensors: Option<Vec<_>> = parts.iter().map(of).collect();
            tensors.map(|tensors| Tensor::cat(&tensors, dim)).transpose()
        };
        let (values, inputs) = (all(|part| Some(&part.values), 1)?, all(|part| part.inputs.as_ref(), 0)?);
        Ok(Self { values: values.unwrap_or_else(|| last.values.clone()), inputs, ..last })
    }

    /// The predictions of these slots, in this order.
    ///
    /// # Errors
    /// When `slots` is empty, or one of them is out of range.
    pub fn select_slots(&self, slots: &[usize]) -> Result<Self> {
        if slots.is_empty() || slots.iter().any(|s| *s >= self.slots()) {
            candle_core::bail!("slots must be one or more, each below {}, but are {slots:?}", self.slots())
        }
        let index = Tensor::from_iter(slots.iter().map(|s| *s as u32), self.values.device())?;
        let covered = self.covered.as_ref().map(|c| c.index_select(&index, 0)).transpose()?;
        let names = self.names.as_ref().map(|names| slots.iter().map(|s| names[*s].clone()).collect());
        Ok(Self { values: self.values.index_select(&index, 0)?, covered, names, ..self.clone() })
    }

    /// The predictions of all slots for these rows, in this order.
    ///
    /// # Errors
    /// When a row is out of range.
    pub fn select_rows(&self, rows: &[u32]) -> Result<Self> {
        if rows.len() == self.rows() && rows.iter().enumerate().all(|(i, row)| *row as usize == i) {
            return Ok(self.clone());
        }
        let rows = Tensor::new(rows, self.values.device())?;
        self.map_tensors(|t, dim| t.index_select(&rows, dim))
    }

    pub(crate) fn to_device(&self, device: &Device) -> Result<Self> {
        self.map_tensors(|t, _| t.to_device(device))
    }

    /// The same predictions without their coverage, when the caller knows that none is missing.
    pub(crate) fn assume_complete(self) -> Self {
        Self { covered: None, ..self }
    }

    #[cfg(feature = "learned")]
    /// Predictions of other slots, `(S', B, C)`, for the same rows; none is missing.
    pub(crate) fn replace_slots(&self, values: Tensor) -> Result<Self> {
        let other = Self::on_scale(values, None, self.task, Scale::Probability)?;
        Ok(Self { inputs: self.inputs.clone(), ..other })
    }

    #[cfg(feature = "learned")]
    /// Other probabilities or values for the same slots and rows; missing predictions stay missing.
    pub(crate) fn replace_values(&self, values: Tensor) -> Result<Self> {
        let other = Self::on_scale(values, self.covered.clone(), self.task, Scale::Probability)?;
        Ok(Self { inputs: self.inputs.clone(), names: self.names.clone(), ..other })
    }

    /// Replaces each missing prediction by the mean of the slots that predict the row. A row that no slot
    /// predicts gets NaN.
    ///
    /// The weights of combiners and the choice of members are learned from the predictions that are there, not
    /// from filled ones: a filled prediction is the ensemble's, not the member's.
    ///
    /// # Errors
    /// When candle fails.
    pub fn fill_missing(&self) -> Result<Self> {
        let Some(covered) = &self.covered else { return Ok(self.clone()) };
        let (slots, rows, width) = self.values.dims3()?;
        let mean = self.mean_over_slots(&self.values)?.unsqueeze(0)?.broadcast_as((slots, rows, width))?;
        let there = covered.unsqueeze(2)?.broadcast_as((slots, rows, width))?.to_dtype(DType::U8)?;
        let values = there.where_cond(&self.values, &mean)?;
        Ok(Self { values, covered: None, ..self.clone() })
    }

    /// Checks that every prediction is finite, except for those that are missing.
    pub(crate) fn check_finite(&self) -> crate::Result<()> {
        match self.values.dtype() {
            DType::F64 => self.check_finite_as::<f64>(),
            _ => self.check_finite_as::<f32>(),
        }
    }

    fn check_finite_as<T: Number>(&self) -> crate::Result<()> {
        let (_, rows, width) = self.values.dims3()?;
        let covered = self.coverage_by_slot()?;
        let bad = cpu::with_slice(&self.values, |all: &[T]| {
            let present =
                |i: usize| covered.as_ref().is_none_or(|c| c[i / width / rows][i / width % rows] > 0.);
            not_finite(all).find(|(i, _)| present(*i))
        })?;
        match bad {
            None => Ok(()),
            Some((i, x)) => {
                let what = format!("prediction of member {}, row {}", i / width / rows, i / width % rows);
                Err(crate::Error::invalid(what, "finite", x))
            }
        }
    }

    /// The probabilities; an error for regression, which names the combiner.
    pub(crate) fn probabilities(&self, combiner: &str) -> Result<Tensor> {
        match (self.task, self.scale) {
            (Task::Regression { .. }, _) => {
                candle_core::bail!("{combiner} is a combiner for classes, not for values")
            }
            (_, Scale::Probability) => Ok(self.values.clone()),
            (_, Scale::LogProbability) => self.values.exp(),
        }
    }

    /// The log-probabilities, none of them −∞; an error for regression, which names the combiner.
    pub(crate) fn log_probabilities(&self, combiner: &str) -> Result<Tensor> {
        match (self.task, self.scale) {
            (Task::Classification { .. }, Scale::LogProbability) => {
                // A class that a network rules out; a sum of −∞ and +∞ would be NaN.
                let least = if self.values.dtype() == DType::F16 { -1e3 } else { -1e30 };
                let none = self.values.eq(f64::NEG_INFINITY)?;
                none.where_cond(&self.values.ones_like()?.affine(least, 0.)?, &self.values)
            }
            _ => ln(&self.probabilities(combiner)?),
        }
    }

    /// The mean over the slots that predict a row, `(S, B, C) -> (B, C)`; NaN where none does.
    pub(crate) fn mean_over_slots(&self, values: &Tensor) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return values.mean(0) };
        self.sum_over_slots(values)?.broadcast_div(&covered.sum(0)?.unsqueeze(1)?)
    }

    /// The sum over the slots that predict a row, `(S, B, C) -> (B, C)`.
    pub(crate) fn sum_over_slots(&self, values: &Tensor) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return values.sum(0) };
        let mask = covered.unsqueeze(2)?.broadcast_as(values.shape())?;
        let present = mask.to_dtype(DType::U8)?.where_cond(values, &values.zeros_like()?)?;
        present.sum(0)
    }

    /// Completes what a combiner that uses only `slots` has combined, `(B, C)`: a row that none of them
    /// predicts gets the mean of all slots that predict it.
    pub(crate) fn or_mean(&self, combined: Tensor, slots: &[usize]) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return Ok(combined) };
        let slots = Tensor::from_iter(slots.iter().map(|s| *s as u32), covered.device())?;
        let predicted = covered.index_select(&slots, 0)?.sum(0)?.gt(0f64)?;
        let values = match self.scale {
            Scale::Probability => self.values.clone(),
            Scale::LogProbability => self.values.exp()?,
        };
        let mean = self.mean_over_slots(&values)?;
        predicted.unsqueeze(1)?.broadcast_as(combined.shape())?.where_cond(&combined, &mean)
    }

    /// The coverage as one list for each slot; positive where the slot predicts the row.
    pub(crate) fn coverage_by_slot(&self) -> Result<Option<Vec<Vec<f32>>>> {
        self.covered.as_ref().map(|c| c.to_dtype(DType::F32)?.to_vec2()).transpose()
    }
}
