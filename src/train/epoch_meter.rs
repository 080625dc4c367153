//! The loss and the metric of an epoch, accumulated over its batches.
use crate::{
    data::{Batch, Task},
    kernels::{argmax::is_argmax, cpu, float::Number},
};
use candle_core::{DType, Result, Tensor};

/// The mean loss and metric over the rows of all batches added so far, by the weights of the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochMeter {
    task: Task,
    loss: f64,
    /// Correct rows for classes, squared errors for values.
    score: f64,
    /// The sum of the weights; the number of rows where there are none.
    weight: f64,
}

impl EpochMeter {
    pub(crate) fn new(task: Task) -> Self {
        Self { task, loss: 0., score: 0., weight: 0. }
    }

    /// Adds a batch with its mean loss and the network's output for it.
    pub(crate) fn add(&mut self, loss: f64, output: &Tensor, batch: &Batch) -> Result<()> {
        let weights = batch.weights.as_ref().map(|w| w.to_dtype(DType::F64)?.to_vec1::<f64>()).transpose()?;
        let weights = weights.as_deref();
        let weight = match weights {
            None => batch.targets.dim(0)? as f64,
            Some(weights) => weights.iter().sum(),
        };
        self.loss += loss * weight;
        self.weight += weight;
        self.score += match output.dtype() {
            DType::F64 => self.score_of::<f64>(output, &batch.targets, weights)?,
            _ => self.score_of::<f32>(output, &batch.targets, weights)?,
        };
        Ok(())
    }

    /// The score of a batch, computed from the outputs as numbers of type `T`.
    fn score_of<T: Number>(&self, output: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<f64> {
        match self.task {
            Task::Classification { .. } => cpu::with_slice(output, |out: &[T]| {
                cpu::with_slice(targets, |classes| correct_rows(out, classes, weights))
            })?,
            Task::Regression { outputs } => {
                let error = cpu::with_slice(output, |out: &[T]| {
                    cpu::with_slice(targets, |y: &[T]| squared_error(out, y, outputs, weights))
                })??;
                Ok(error / outputs as f64)
            }
        }
    }

    /// The mean loss, and the accuracy (classes) or the root mean squared error (values). `None` if the weights of all
    /// rows are 0.
    pub(crate) fn finish(self) -> Option<(f64, f64)> {
        let (loss, score) = (self.loss / self.weight, self.score / self.weight);
        let figures = match self.task {
            Task::Classification { .. } => (loss, score),
            Task::Regression { .. } => (loss, score.sqrt()),
        };
        (self.weight != 0.).then_some(figures)
    }
}

/// The weights of the rows that have their largest output at their class, or their number. A single output is the logit
/// of class 1.
fn correct_rows<T: Number>(outputs: &[T], classes: &[u32], weights: Option<&[f64]>) -> f64 {
    let width = outputs.len() / classes.len().max(1);
    let is_correct = |row: &[T], class: usize| match row {
        [logit] => usize::from(*logit > T::zero()) == class,
        _ => is_argmax(row, class),
    };
    let rows = outputs.chunks_exact(width.max(1)).zip(classes);
    let correct = rows.map(|(row, class)| is_correct(row, *class as usize));
    match weights {
        None => correct.filter(|correct| *correct).count() as f64,
        Some(weights) => correct.zip(weights).filter(|(correct, _)| *correct).map(|(_, weight)| weight).sum(),
    }
}

/// The sum of the squared errors, those of a row times its weight.
fn squared_error<T: Number>(outputs: &[T], targets: &[T], width: usize, weights: Option<&[f64]>) -> f64 {
    let of = |outputs: &[T], targets: &[T]| -> f64 {
        outputs.iter().zip(targets).map(|(a, b)| Into::<f64>::into(*a - *b).powi(2)).sum()
    };
    let Some(weights) = weights else { return of(outputs, targets) };
    let rows = outputs.chunks_exact(width.max(1)).zip(targets.chunks_exact(width.max(1)));
    rows.zip(weights).map(|((outputs, targets), weight)| weight * of(outputs, targets)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn figures(task: Task, output: &Tensor, targets: &Tensor) -> (f64, f64) {
        let batch = Batch { inputs: output.clone().into(), targets: targets.clone(), weights: None };
        let mut meter = EpochMeter::new(task);
        meter.add(0.5, output, &batch).unwrap();
        meter.finish().unwrap()
    }

    /// Two batches of three and one rows, of which the weights are 1, 0, 3 and 4.
    #[test]
    fn rows_count_by_their_weights() {
        let tensor = |x: &[f32]| Tensor::new(x, &Device::Cpu).unwrap();
        let batch = |targets: Tensor, weights: &[f32]| Batch {
            inputs: targets.clone().into(),
            targets,
            weights: Some(tensor(weights)),
        };
        let mut meter = EpochMeter::new(Task::Regression { outputs: 1 });
        meter.add(2., &tensor(&[1., 9., 0.]), &batch(tensor(&[3., 0., 0.]), &[1., 0., 3.])).unwrap();
        meter.add(5., &tensor(&[1.]), &batch(tensor(&[0.]), &[4.])).unwrap();
        assert_eq!(meter.finish().unwrap(), ((4. * 2. + 4. * 5.) / 8., 1.)); // (1 · 4 + 3 · 0 + 4 · 1) / 8 = 1

        let mut meter = EpochMeter::new(Task::Classification { classes: 2 });
        let labels = Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap();
        meter.add(1., &tensor(&[-1., 1., -1.]), &batch(labels.clone(), &[1., 2., 5.])).unwrap();
        assert_eq!(meter.finish().unwrap(), (1., 3. / 8.));
        let mut meter = EpochMeter::new(Task::Classification { classes: 2 });
        meter.add(1., &tensor(&[-1., 1., -1.]), &batch(labels, &[0.; 3])).unwrap();
        assert_eq!(meter.finish(), None);
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
