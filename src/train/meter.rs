//! Loss and metric of an epoch, accumulated over its batches.
use crate::{
    data::{Batch, Task},
    kernels::{argmax::argmax, cpu},
};
use candle_core::{Result, Tensor};

/// Running means, weighted by rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    loss: f64,
    score: f64,
    rows: f64,
}

impl Meter {
    /// Adds a batch: its mean loss, and the network's output for it.
    pub(crate) fn add(&mut self, loss: f64, output: &Tensor, batch: &Batch, task: Task) -> Result<()> {
        let rows = batch.targets.dim(0)?;
        self.loss += loss * rows as f64;
        self.rows += rows as f64;
        self.score += match task {
            Task::Classification { .. } => {
                cpu::with_slice(output, |out| cpu::with_slice(&batch.targets, |ids| hits(out, ids)))??
            }
            Task::Regression { outputs } => {
                let errors =
                    cpu::with_slice(output, |out| cpu::with_slice(&batch.targets, |y| squares(out, y)))??;
                errors / outputs as f64
            }
        };
        Ok(())
    }

    /// Mean loss, and accuracy or root mean squared error.
    pub(crate) fn finish(self, task: Task) -> (f64, f64) {
        let (loss, score) = (self.loss / self.rows, self.score / self.rows);
        match task {
            Task::Classification { .. } => (loss, score),
            Task::Regression { .. } => (loss, score.sqrt()),
        }
    }
}

/// Rows whose largest output is their class; a single output is the logit of class 1.
fn hits(outputs: &[f32], ids: &[u32]) -> f64 {
    let width = outputs.len() / ids.len().max(1);
    let class = |row: &[f32]| match row {
        [logit] => usize::from(*logit > 0.),
        _ => argmax(row),
    };
    let right = outputs.chunks_exact(width.max(1)).zip(ids).filter(|(row, id)| class(row) == **id as usize);
    right.count() as f64
}

fn squares(outputs: &[f32], targets: &[f32]) -> f64 {
    outputs.iter().zip(targets).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
