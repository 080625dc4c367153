//! What losses of classes with an order have in common: the logits of questions about the label, such as whether it is above
//! a class.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    train::loss::{
        binary_cross_entropy,
        evaluated::{Evaluated, FusedBatch},
        shapes::{invalid, labels},
    },
};
use candle_core::{Result as CResult, Tensor};

/// How many of the questions `y > 0, y > 1, …` a label has an answer for in the loss.
type Asked = fn(label: usize, questions: usize) -> usize;

/// What the loss must be, if it does not go with this output.
pub(super) fn misfit(task: Task, output: Output, own: Output, must: &'static str) -> Option<&'static str> {
    match task {
        Task::Regression { .. } => {
            Some("a loss for values, such as Loss::MeanSquared, where the task is regression")
        }
        Task::Classification { .. } => (output != own).then_some(must),
    }
}

/// The sum of the cross-entropies of the questions that are asked, and its gradient.
pub(super) fn fused<T: Real>(batch: &FusedBatch<'_, T>, asked: Asked) -> CResult<Evaluated<T>> {
    let (rows, questions) = shape(batch.output)?;
    let labels = labels(batch.targets, rows, questions + 1)?;
    let mut gradient = vec![T::zero(); batch.x.len()];
    let mut value = 0.0;
    let of_rows = batch.x.chunks_exact(questions).zip(gradient.chunks_exact_mut(questions)).zip(&labels);
    for (row, ((z, gradient), &label)) in of_rows.enumerate() {
        let (share, label) = (batch.share(row), label as usize);
        for (k, (&z, gradient)) in z.iter().zip(gradient).enumerate().take(asked(label, questions)) {
            let (loss, slope) = binary_cross_entropy::at(z, label > k);
            value += share * loss.wide();
            *gradient = T::of(share) * slope;
        }
    }
    Ok(Evaluated { value: T::of(value), gradient })
}

/// The same for each row, `(B,)`, composed of candle's operations.
pub(super) fn composed(output: &Tensor, targets: &Tensor, asked: Asked) -> CResult<Tensor> {
    let (rows, questions) = shape(output)?;
    let labels = labels(targets, rows, questions + 1)?;
    let table = |is: &dyn Fn(usize, usize) -> bool| {
        let of_row =
            |label: &u32| (0..questions).map(|k| f64::from(is(*label as usize, k))).collect::<Vec<_>>();
        let table: Vec<f64> = labels.iter().flat_map(of_row).collect();
        Tensor::from_vec(table, (rows, questions), output.device())?.to_dtype(output.dtype())
    };
    let each =
        binary_cross_entropy::composed(&output.reshape((rows, questions))?, &table(&|label, k| label > k)?)?;
    (each * table(&|label, k| k < asked(label, questions))?)?.sum(1)
}

/// The rows and the questions of logits `(B, C − 1)`, or `(B,)` for two classes.
fn shape(output: &Tensor) -> CResult<(usize, usize)> {
    match *output.dims() {
        [rows] => Ok((rows, 1)),
        [rows, questions] if questions > 0 => Ok((rows, questions)),
        _ => Err(invalid("the output", "logits of shape [rows, classes − 1]", output)),
    }
}
