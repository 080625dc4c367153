//! The loss and the metric of an epoch, accumulated over its batches.
use crate::{
    data::{Batch, Task},
    kernels::{argmax::argmax, cpu},
};
use candle_core::{Result, Tensor};

/// The mean loss and metric over the rows of all batches added so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochMeter {
    task: Task,
    loss: f64,
    /// Correct rows for classes, squared errors for values.
    score: f64,
    rows: f64,
}

impl EpochMeter {
    pub(crate) fn new(task: Task) -> Self {
        Self { task, loss: 0., score: 0., rows: 0. }
    }

    /// Adds a batch with its mean loss and the network's output for it.
    pub(crate) fn add(&mut self, loss: f64, output: &Tensor, batch: &Batch) -> Result<()> {
        let rows = batch.targets.dim(0)?;
        self.loss += loss * rows as f64;
        self.rows += rows as f64;
        self.score += match self.task {
            Task::Classification { .. } => cpu::with_slice(output, |out| {
                cpu::with_slice(&batch.targets, |classes| correct_rows(out, classes))
            })??,
            Task::Regression { outputs } => {
                let error = cpu::with_slice(output, |out| {
                    cpu::with_slice(&batch.targets, |y| squared_error(out, y))
                })??;
                error / outputs as f64
            }
        };
        Ok(())
    }

    /// The mean loss, and the accuracy (classes) or the root mean squared error (values).
    pub(crate) fn finish(self) -> (f64, f64) {
        let (loss, score) = (self.loss / self.rows, self.score / self.rows);
        match self.task {
            Task::Classification { .. } => (loss, score),
            Task::Regression { .. } => (loss, score.sqrt()),
        }
    }
}

/// How many rows have their largest output at their class. A single output is the logit of class 1.
fn correct_rows(outputs: &[f32], classes: &[u32]) -> f64 {
    let width = outputs.len() / classes.len().max(1);
    let predicted = |row: &[f32]| match row {
        [logit] => usize::from(*logit > 0.),
        _ => argmax(row),
    };
    let rows = outputs.chunks_exact(width.max(1)).zip(classes);
    rows.filter(|(row, class)| predicted(row) == **class as usize).count() as f64
}

fn squared_error(outputs: &[f32], targets: &[f32]) -> f64 {
    outputs.iter().zip(targets).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
