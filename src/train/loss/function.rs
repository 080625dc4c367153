//! What every loss has in common.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::Entry,
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        Loss,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};

/// One loss. A loss is a file with an implementation, a variant of [`Loss`], and a line of the list `losses!`.
pub(super) trait LossFunction {
    /// The entry of the registry.
    fn entry() -> Entry<Loss>;

    /// Checks the parameters.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// What the loss must be, as an error puts it, if it does not go with the task and the kind of output.
    fn misfit(&self, task: Task, output: Output) -> Option<&'static str>;

    /// What is wrong with a row of targets that are numbers.
    fn target_fault(&self, _row: &[f64]) -> Option<Fault> {
        None
    }

    /// What is wrong with a row of outputs.
    fn output_fault(&self, _row: &[f64]) -> Option<Fault> {
        None
    }

    /// The mean loss and its gradient, in one pass.
    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>>;

    /// The losses `(B,)` of the rows, composed of candle's differentiable operations, for every device and
    /// type.
    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor>;
}

/// What is wrong with a number of a row, or with the row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fault {
    /// The number's place in the row; `None` if the whole row is meant.
    pub(super) column: Option<usize>,
    pub(super) must: &'static str,
    /// The number, or the one that stands for the row, such as its sum.
    pub(super) value: f64,
}

impl Fault {
    /// The first number of a row for which `fits` is false.
    pub(super) fn first(row: &[f64], must: &'static str, fits: impl Fn(f64) -> bool) -> Option<Self> {
        let column = row.iter().position(|x| !fits(*x))?;
        Some(Self { column: Some(column), must, value: row.get(column).copied()? })
    }

    /// The first number below 0.
    pub(super) fn below_zero(row: &[f64]) -> Option<Self> {
        Self::first(row, "0 or more", |x| x.is_nan() || x >= 0.0)
    }
}

/// For a loss that compares values.
pub(super) fn needs_values(task: Task) -> Option<&'static str> {
    match task {
        Task::Regression { .. } => None,
        Task::Classification { .. } => {
            Some("a loss for classes, such as Loss::CrossEntropy, where the task is classification")
        }
    }
}

/// For a loss of the parameters of a distribution, with the kind of output that it must be used with.
pub(super) fn needs_distribution(task: Task, fits: bool, must: &'static str) -> Option<&'static str> {
    needs_values(task).or_else(|| (!fits).then_some(must))
}

/// For a loss of the logits of classes.
pub(super) fn needs_logits(task: Task, output: Output) -> Option<&'static str> {
    match (task, output) {
        (Task::Regression { .. }, _) => {
            Some("a loss for values, such as Loss::MeanSquared, where the task is regression")
        }
        (_, Output::Logits) => None,
        (_, Output::Probabilities) => Some(
            "used with Output::Logits: it computes the softmax itself, so the network must not end in one",
        ),
        (_, Output::Margins) => Some("Loss::Hinge or Loss::SquaredHinge for a network with Output::Margins"),
        (_, Output::CumulativeLogits) => Some("Loss::Coral for a network with Output::CumulativeLogits"),
        (_, Output::ConditionalLogits) => Some("Loss::Corn for a network with Output::ConditionalLogits"),
        _ => Some("used with Output::Logits: the outputs of a distribution are for values"),
    }
}

/// For a loss of the margin of two classes, or of values that are 1 or −1.
pub(super) fn needs_margins(task: Task, output: Output) -> Option<&'static str> {
    match (task, output) {
        (Task::Regression { .. }, _) | (Task::Classification { classes: 2 }, Output::Margins) => None,
        (Task::Classification { classes: 2 }, _) => Some(
            "used with Output::Margins: end the network in one unit with tanh, and say that its output is \
             Output::Margins",
        ),
        _ => Some("Loss::CrossEntropy unless there are 2 classes"),
    }
}
