//! What the slots say, with coverage.
use crate::{
    data::Task,
    train::{ln, Scale},
};
use candle_core::{DType, Device, Result, Tensor};

/// What `S` slots say of `B` rows: `(S, B, C)`, each slot the mean of its members.
///
/// Where some slot may not speak about a row (it was fitted on it), that voice is missing: NaN in
/// [`values`](Self::values), 0 in [`covered`](Self::covered). It stays missing through every rule.
#[derive(Clone, Debug)]
pub struct Voices {
    values: Tensor,
    covered: Option<Tensor>,
    task: Task,
    scale: Scale,
}

impl Voices {
    /// Voices that are all there: probabilities `(S, B, C)` for classes, values `(S, B, K)` for regression.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::*, data::Task};
    ///
    /// let members = Tensor::new(&[[[0.9f32, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]], &Device::Cpu)?;
    /// let voices = Voices::new(members, Task::Classification { classes: 2 })?;
    /// assert_eq!(HardVote.combine(&voices)?.argmax(1)?.to_vec1::<u32>()?, [1]);
    /// assert_eq!(Mean.combine(&voices)?.argmax(1)?.to_vec1::<u32>()?, [0]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the shape is not three-dimensional, has no slots, or does not go with the task.
    pub fn new(values: Tensor, task: Task) -> Result<Self> {
        Self::on_scale(values, None, task, Scale::Probability)
    }

    /// Voices of which some are missing: `covered` `(S, B)` is 1 where a slot speaks about a row, else 0.
    ///
    /// # Errors
    /// As for [`Voices::new`], and when the shapes of the two don't go together.
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
            candle_core::bail!("voices must be (slots, rows, {wanted}), but are {:?}", values.dims());
        }
        let covered = match covered {
            Some(c) if c.dims() != [slots, rows] => {
                candle_core::bail!("coverage must be ({slots}, {rows}), but is {:?}", c.dims())
            }
            Some(c) => Some(c.to_dtype(values.dtype())?),
            None => None,
        };
        Ok(Self { values, covered, task, scale })
    }

    /// `(S, B, C)`; NaN where a voice is missing.
    #[must_use]
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// `(S, B)`: 1 where a slot speaks about a row, else 0. `None` where none is missing.
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

    /// The voices `from..from + count`.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn narrow(&self, from: usize, count: usize) -> Result<Self> {
        let covered = self.covered.as_ref().map(|c| c.narrow(0, from, count)).transpose()?;
        Self::on_scale(self.values.narrow(0, from, count)?, covered, self.task, self.scale)
    }

    /// These rows of all voices.
    ///
    /// # Errors
    /// When a row is out of range.
    pub fn select_rows(&self, rows: &[u32]) -> Result<Self> {
        let rows = Tensor::new(rows, self.values.device())?;
        let covered = self.covered.as_ref().map(|c| c.index_select(&rows, 1)).transpose()?;
        Self::on_scale(self.values.index_select(&rows, 1)?, covered, self.task, self.scale)
    }

    pub(crate) fn to_device(&self, device: &Device) -> Result<Self> {
        let covered = self.covered.as_ref().map(|c| c.to_device(device)).transpose()?;
        Self::on_scale(self.values.to_device(device)?, covered, self.task, self.scale)
    }

    /// Probabilities or values; an error where a rule for classes meets values.
    pub(super) fn probabilities(&self, rule: &str) -> Result<Tensor> {
        match (self.task, self.scale) {
            (Task::Regression { .. }, _) => {
                candle_core::bail!("{rule} is a rule for classes, not for values")
            }
            (_, Scale::Probability) => Ok(self.values.clone()),
            (_, Scale::LogProbability) => self.values.exp(),
        }
    }

    /// Log-probabilities; an error where a rule for classes meets values.
    pub(super) fn log_probabilities(&self, rule: &str) -> Result<Tensor> {
        match (self.task, self.scale) {
            (Task::Classification { .. }, Scale::LogProbability) => Ok(self.values.clone()),
            _ => ln(&self.probabilities(rule)?),
        }
    }

    /// The mean over the voices that are there, `(S, B, C) -> (B, C)`; NaN where none is.
    pub(super) fn mean_of(&self, values: &Tensor) -> Result<Tensor> {
        let Some(covered) = &self.covered else { return values.mean(0) };
        let mask = covered.unsqueeze(2)?.broadcast_as(values.shape())?;
        let present = mask.to_dtype(DType::U8)?.where_cond(values, &values.zeros_like()?)?;
        present.sum(0)?.broadcast_div(&covered.sum(0)?.unsqueeze(1)?)
    }

    /// Whether slot `s` speaks about row `b`, as rows of the coverage.
    pub(crate) fn coverage(&self) -> Result<Option<Vec<Vec<f32>>>> {
        self.covered.as_ref().map(|c| c.to_dtype(DType::F32)?.to_vec2()).transpose()
    }
}
