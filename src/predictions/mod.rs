//! What the slots say, with coverage.
mod held_out;
pub(crate) mod live;

pub use held_out::HeldOut;

use crate::{
    data::Task,
    kernels::{cpu, float::Number},
    network::{output::ln, Scale},
};
use candle_core::{DType, Device, Result, Tensor};

/// What `S` slots predict for `B` rows: `(S, B, C)`, each slot the mean of its members.
///
/// Where some slot may not predict a row (it was fitted on it), that prediction is missing: NaN in
/// [`values`](Self::values), 0 in [`covered`](Self::covered). It stays missing through every rule.
#[derive(Clone, Debug)]
pub struct Predictions {
    values: Tensor,
    covered: Option<Tensor>,
    task: Task,
    scale: Scale,
    inputs: Option<Tensor>,
}

impl Predictions {
    /// Predictions that are all there: probabilities `(S, B, C)` for classes, values `(S, B, K)` for regression.
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
    /// When the shape is not three-dimensional, has no slots, or does not go with the task.
    pub fn new(values: Tensor, task: Task) -> Result<Self> {
        Self::on_scale(values, None, task, Scale::Probability)
    }

    /// Predictions of which some are missing: `covered` `(S, B)` is 1 where a slot predicts a row, else 0.
    ///
    /// # Errors
    /// As for [`Predictions::new`], and when the shapes of the two don't go together.
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
        Ok(Self { values, covered, task, scale, inputs: None })
    }

    /// `(S, B, C)`; NaN where a prediction is missing.
    #[must_use]
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// `(S, B)`: 1 where a slot predicts a row, else 0. `None` where none is missing.
    #[must_use]
    pub fn covered(&self) -> Option<&Tensor> {
        self.covered.as_ref()
    }

    /// What is predicted.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// How many slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.values.dims()[0]
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.dims()[1]
    }

    /// The rows' inputs, `(B, F)`, for rules that look at them.
    #[must_use]
    pub fn inputs(&self) -> Option<&Tensor> {
        self.inputs.as_ref()
    }

    /// With the rows' inputs, `(B, F)`.
    ///
    /// # Errors
    /// When they are not a float table of as many rows.
    pub fn with_inputs(&self, inputs: &Tensor) -> Result<Self> {
        match inputs.dims() {
            [rows, width] if *rows == self.rows() && *width > 0 && inputs.dtype().is_float() => {}
            got => candle_core::bail!("inputs must be floats ({}, F), but are {got:?}", self.rows()),
        }
        Ok(Self { inputs: Some(inputs.clone()), ..self.clone() })
    }

    /// The same predictions with other values or rows.
    fn mapped(&self, f: impl Fn(&Tensor, usize) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            values: f(&self.values, 1)?,
            covered: self.covered.as_ref().map(|c| f(c, 1)).transpose()?,
            inputs: self.inputs.as_ref().map(|i| f(i, 0)).transpose()?,
            ..*self
        })
    }

    /// The predictions `from..from + count`.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn narrow(&self, from: usize, count: usize) -> Result<Self> {
        let covered = self.covered.as_ref().map(|c| c.narrow(0, from, count)).transpose()?;
        Ok(Self { values: self.values.narrow(0, from, count)?, covered, ..self.clone() })
    }

    /// The predictions of these slots, in this order.
    ///
    /// # Errors
    /// When there is none, or one is out of range.
    pub fn select_slots(&self, slots: &[usize]) -> Result<Self> {
        if slots.is_empty() || slots.iter().any(|s| *s >= self.slots()) {
            candle_core::bail!("slots must be at least one of the {}, but are {slots:?}", self.slots())
        }
        let index = Tensor::from_iter(slots.iter().map(|s| *s as u32), self.values.device())?;
        let covered = self.covered.as_ref().map(|c| c.index_select(&index, 0)).transpose()?;
        Ok(Self { values: self.values.index_select(&index, 0)?, covered, ..self.clone() })
    }

    /// These rows of all predictions.
    ///
    /// # Errors
    /// When a row is out of range.
    pub fn select_rows(&self, rows: &[u32]) -> Result<Self> {
        if rows.len() == self.rows() && rows.iter().enumerate().all(|(i, row)| *row as usize == i) {
            return Ok(self.clone());
        }
        let rows = Tensor::new(rows, self.values.device())?;
        self.mapped(|t, dim| t.index_select(&rows, dim))
    }

    pub(crate) fn to_device(&self, device: &Device) -> Result<Self> {
        self.mapped(|t, _| t.to_device(device))
    }

    /// The same predictions, of which the caller knows that none is missing.
    pub(crate) fn uncovered(self) -> Self {
        Self { covered: None, ..self }
    }

    #[cfg(feature = "learned")]
    /// Other values `(S', B, C)` for the same rows, none missing.
    pub(crate) fn replaced(&self, values: Tensor) -> Result<Self> {
        let other = Self::on_scale(values, None, self.task, Scale::Probability)?;
        Ok(Self { inputs: self.inputs.clone(), ..other })
    }

    #[cfg(feature = "learned")]
    /// Other probabilities or values for the same slots and rows; what is missing stays missing.
    pub(crate) fn with_values(&self, values: Tensor) -> Result<Self> {
        let other = Self::on_scale(values, self.covered.clone(), self.task, Scale::Probability)?;
        Ok(Self { inputs: self.inputs.clone(), ..other })
    }

    /// Every prediction there: one that is missing is stood in for by the mean of those that predict the row. NaN
    /// where none does.
    ///
    /// # Errors
    /// When candle fails.
    pub fn filled(&self) -> Result<Self> {
        let Some(covered) = &self.covered else { return Ok(self.clone()) };
        let (slots, rows, width) = self.values.dims3()?;
        let mean = self.mean_of(&self.values)?.unsqueeze(0)?.broadcast_as((slots, rows, width))?;
        let there = covered.unsqueeze(2)?.broadcast_as((slots, rows, width))?.to_dtype(DType::U8)?;
        let values = there.where_cond(&self.values, &mean)?;
        Ok(Self { values, covered: None, ..self.clone() })
    }

    /// Whether every prediction that is there is finite.
    pub(crate) fn check_finite(&self) -> crate::Result<()> {
        match self.values.dtype() {
            DType::F64 => self.check_finite_as::<f64>(),
            _ => self.check_finite_as::<f32>(),
        }
    }

    fn check_finite_as<T: Number>(&self) -> crate::Result<()> {
        let (_, rows, width) = self.values.dims3()?;
        let covered = self.coverage()?;
        let bad = cpu::with_slice(&self.values, |all: &[T]| {
            let there =
                |i: usize| covered.as_ref().is_none_or(|c| c[i / width / rows][i / width % rows] > 0.);
            // The sum first: it is quick, and finite almost always.
            let nought = |block: &[T]| block.iter().fold(T::zero(), |s, x| s + *x * T::zero());
            let odd = all.chunks(4096).enumerate().filter(|(_, b)| nought(b) != T::zero());
            let mut odd = odd.flat_map(|(n, b)| b.iter().enumerate().map(move |(i, x)| (n * 4096 + i, *x)));
            odd.find(|(i, x)| !(*x).into().is_finite() && there(*i))
        })?;
        match bad {
            None => Ok(()),
            Some((i, x)) => {
                let what = format!("prediction of member {}, row {}", i / width / rows, i / width % rows);
                Err(crate::Error::invalid(what, "finite", x))
            }
        }
    }

    /// Probabilities or values; an error where a rule for classes meets values.
    pub(crate) fn probabilities(&self, rule: &str) -> Result<Tensor> {
        match (self.task, self.scale) {
            (Task::Regression { .. }, _) => {
                candle_core::bail!("{rule} is a rule for classes, not for values")
            }
            (_, Scale::Probability) => Ok(self.values.clone()),
            (_, Scale::LogProbability) => self.values.exp(),
        }
    }

    /// Log-probabilities; an error where a rule for classes meets values.
    pub(crate) fn log_probabilities(&self, rule: &str) -> Result<Tensor> {
        match (self.task, self.scale) {
            (Task::Classification { .. }, Scale::LogProbability) => Ok(self.values.clone()),
            _ => ln(&self.probabilities(rule)?),
        }
    }

    /// The mean over the predictions that are there, `(S, B, C) -> (B, C)`; NaN where none is.
    pub(crate) fn mean_of(&self, values: &Tensor) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return values.mean(0) };
        self.sum_of(values)?.broadcast_div(&covered.sum(0)?.unsqueeze(1)?)
    }

    /// What a rule that listens to `slots` alone has predicted; of a row about which none of them predicts, the mean of the
    /// others is the best word there is.
    pub(crate) fn or_mean(&self, predicted: Tensor, slots: &[usize]) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return Ok(predicted) };
        let row_predictions = Tensor::from_iter(slots.iter().map(|s| *s as u32), covered.device())?;
        let row_predictions = covered.index_select(&row_predictions, 0)?.sum(0)?.gt(0f64)?;
        let values = match self.scale {
            Scale::Probability => self.values.clone(),
            Scale::LogProbability => self.values.exp()?,
        };
        row_predictions
            .unsqueeze(1)?
            .broadcast_as(predicted.shape())?
            .where_cond(&predicted, &self.mean_of(&values)?)
    }

    /// The sum over the predictions that are there, `(S, B, C) -> (B, C)`.
    pub(crate) fn sum_of(&self, values: &Tensor) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return values.sum(0) };
        let mask = covered.unsqueeze(2)?.broadcast_as(values.shape())?;
        let present = mask.to_dtype(DType::U8)?.where_cond(values, &values.zeros_like()?)?;
        present.sum(0)
    }

    /// Whether slot `s` predicts row `b`, as rows of the coverage.
    pub(crate) fn coverage(&self) -> Result<Option<Vec<Vec<f32>>>> {
        self.covered.as_ref().map(|c| c.to_dtype(DType::F32)?.to_vec2()).transpose()
    }
}
