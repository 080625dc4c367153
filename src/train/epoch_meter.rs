//! The loss and the metric of an epoch, accumulated over its batches.
use crate::{
    data::{Batch, Task},
    kernels::{argmax::is_argmax, cpu, float::Number},
};
use candle_core::{DType, Result, Tensor};

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
        self.score += match output.dtype() {
            DType::F64 => self.score_of::<f64>(output, &batch.targets)?,
            _ => self.score_of::<f32>(output, &batch.targets)?,
        };
        Ok(())
    }

    /// The score of a batch, computed from the outputs as numbers of type `T`.
    fn score_of<T: Number>(&self, output: &Tensor, targets: &Tensor) -> Result<f64> {
        match self.task {
            Task::Classification { .. } => cpu::with_slice(output, |out: &[T]| {
                cpu::with_slice(targets, |classes| correct_rows(out, classes))
            })?,
            Task::Regression { outputs } => {
                let error = cpu::with_slice(output, |out: &[T]| {
                    cpu::with_slice(targets, |y: &[T]| squared_error(out, y))
                })??;
                Ok(error / outputs as f64)
            }
        }
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
fn correct_rows<T: Number>(outputs: &[T], classes: &[u32]) -> f64 {
    let width = outputs.len() / classes.len().max(1);
    let is_correct = |row: &[T], class: usize| match row {
        [logit] => usize::from(*logit > T::zero()) == class,
        _ => is_argmax(row, class),
    };
    let rows = outputs.chunks_exact(width.max(1)).zip(classes);
    rows.filter(|(row, class)| is_correct(row, **class as usize)).count() as f64
}

fn squared_error<T: Number>(outputs: &[T], targets: &[T]) -> f64 {
    outputs.iter().zip(targets).map(|(a, b)| Into::<f64>::into(*a - *b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn figures(task: Task, output: &Tensor, targets: &Tensor) -> (f64, f64) {
        let batch = Batch { inputs: output.clone().into(), targets: targets.clone(), weights: None };
        let mut meter = EpochMeter::new(task);
        meter.add(0.5, output, &batch).unwrap();
        meter.finish()
    }

    /// Around 1e9, numbers of type `f32` are 64 apart.
    #[test]
    fn the_error_of_a_network_in_f64_is_computed_in_f64() {
        let output = Tensor::new(&[1e9f64 + 3., 1e9 - 4.], &Device::Cpu).unwrap();
        let targets = Tensor::new(&[1e9f64, 1e9], &Device::Cpu).unwrap();
        let (_, rmse) = figures(Task::Regression { outputs: 1 }, &output, &targets);
        assert!((rmse - 12.5f64.sqrt()).abs() < 1e-12, "{rmse}");
        let logits = Tensor::new(&[[1f64, 1. + 1e-12], [1. + 1e-12, 1.]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1u32, 0], &Device::Cpu).unwrap();
        assert_eq!(figures(Task::Classification { classes: 2 }, &logits, &labels).1, 1.);
    }

    /// The mean of 1000 squares of 100: their sum is 10 000 000, and `f16` ends at 65 504.
    #[test]
    fn the_error_of_a_network_in_half_precision_is_summed_in_f64() {
        for dtype in [DType::F16, DType::BF16] {
            let output = Tensor::full(100f32, 1000, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let targets = Tensor::zeros(1000, DType::F32, &Device::Cpu).unwrap();
            assert_eq!(figures(Task::Regression { outputs: 1 }, &output, &targets), (0.5, 100.));
        }
    }
}
