//! The operations of a forward pass in the order in which they ran, and the backward pass over them.
//!
//! candle's backward pass sorts the graph, fills a tensor with zeros for each argument of an operation and adds the
//! gradient to it in a third tensor. Where all operations between the variables and the loss are the library's own,
//! their order is known, and a gradient is used as it is.
use super::add;
use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor, TensorId};
use std::{cell::RefCell, sync::Arc};

/// An operation and its arguments.
enum Operation {
    One(Arc<Box<dyn CustomOp1 + Send + Sync>>, [Tensor; 1]),
    Two(Arc<Box<dyn CustomOp2 + Send + Sync>>, [Tensor; 2]),
    Three(Arc<Box<dyn CustomOp3 + Send + Sync>>, [Tensor; 3]),
}

impl Operation {
    fn arguments(&self) -> &[Tensor] {
        match self {
            Self::One(_, arguments) => arguments,
            Self::Two(_, arguments) => arguments,
            Self::Three(_, arguments) => arguments,
        }
    }

    /// The gradients of the arguments.
    fn gradients(&self, output: &Tensor, gradient: &Tensor) -> Result<[Option<Tensor>; 3]> {
        Ok(match self {
            Self::One(op, [a]) => [op.bwd(a, output, gradient)?, None, None],
            Self::Two(op, [a, b]) => {
                let (a, b) = op.bwd(a, b, output, gradient)?;
                [a, b, None]
            }
            Self::Three(op, [a, b, c]) => op.bwd(a, b, c, output, gradient)?.into(),
        })
    }
}

struct Recorded {
    operation: Operation,
    output: Tensor,
}

thread_local! {
    /// The recordings of this thread; the innermost is the last.
    static RECORDINGS: RefCell<Vec<Vec<Recorded>>> = const { RefCell::new(Vec::new()) };
}

/// Records the operations of this thread until it is dropped. [`backward`](crate::nn::backward()) then goes through
/// them, if it finds all operations of its loss there.
pub(crate) struct Recording(());

impl Recording {
    pub(crate) fn begin() -> Self {
        RECORDINGS.with_borrow_mut(|all| all.push(Vec::new()));
        Self(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // The tensors are dropped when the list is no longer borrowed.
        drop(RECORDINGS.with_borrow_mut(Vec::pop));
    }
}

/// [`Tensor::apply_op1`], recorded.
pub(crate) fn apply_op1(a: &Tensor, op: impl CustomOp1 + Send + Sync + 'static) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp1 + Send + Sync>> = Arc::new(Box::new(op));
    let output = a.apply_op1_arc(op.clone())?;
    record(&output, || Operation::One(op, [a.clone()]));
    Ok(output)
}

/// [`Tensor::apply_op2`], recorded.
pub(crate) fn apply_op2(
    a: &Tensor,
    b: &Tensor,
    op: impl CustomOp2 + Send + Sync + 'static,
) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp2 + Send + Sync>> = Arc::new(Box::new(op));
    let output = a.apply_op2_arc(b, op.clone())?;
    record(&output, || Operation::Two(op, [a.clone(), b.clone()]));
    Ok(output)
}

/// [`Tensor::apply_op3`], recorded.
pub(crate) fn apply_op3(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    op: impl CustomOp3 + Send + Sync + 'static,
) -> Result<Tensor> {
    let op: Arc<Box<dyn CustomOp3 + Send + Sync>> = Arc::new(Box::new(op));
    let output = a.apply_op3_arc(b, c, op.clone())?;
    record(&output, || Operation::Three(op, [a.clone(), b.clone(), c.clone()]));
    Ok(output)
}

fn record(output: &Tensor, operation: impl FnOnce() -> Operation) {
    if !output.track_op() {
        return;
    }
    RECORDINGS.with_borrow_mut(|all| {
        if let Some(recorded) = all.last_mut() {
            recorded.push(Recorded { operation: operation(), output: output.clone() });
        }
    });
}

/// The gradients of the variables that a loss depends on, by a backward pass over the innermost recording. `None` if
/// that lacks an operation between the loss and a variable. The recording is empty afterwards.
///
/// The gradient of an output is complete when its operation is reached, because every operation that uses the output ran
/// after it.
pub(super) fn backward(loss: &Tensor) -> Result<Option<Vec<(TensorId, Tensor)>>> {
    // Taken, because an operation may record others while it computes its gradients.
    let recorded = RECORDINGS.with_borrow_mut(|all| all.last_mut().map(std::mem::take)).unwrap_or_default();
    match covers(&recorded, loss) {
        true => gradients(recorded, loss).map(Some),
        false => Ok(None),
    }
}

/// Whether the gradient of an argument is passed on to the operation that computed it. An argument that is neither a
/// variable nor computed from one gets no gradient.
fn is_computed(argument: &Tensor) -> bool {
    argument.track_op() && !argument.is_variable()
}

/// Whether the loss depends on variables by recorded operations alone.
fn covers(recorded: &[Recorded], loss: &Tensor) -> bool {
    let mut open = vec![loss.id()];
    for Recorded { operation, output } in recorded.iter().rev() {
        let Some(at) = open.iter().position(|id| *id == output.id()) else { continue };
        open.swap_remove(at);
        for argument in operation.arguments().iter().filter(|argument| is_computed(argument)) {
            if !open.contains(&argument.id()) {
                open.push(argument.id());
            }
        }
    }
    open.is_empty()
}

fn gradients(mut recorded: Vec<Recorded>, loss: &Tensor) -> Result<Vec<(TensorId, Tensor)>> {
    let mut of_variables = Vec::new();
    // The gradients of outputs whose operations are still to come.
    let mut open = vec![(loss.id(), loss.ones_like()?)];
    // Each operation, with the tensors that only it still needs, is dropped as soon as it is done.
    while let Some(Recorded { operation, output }) = recorded.pop() {
        let Some(at) = open.iter().position(|(id, _)| *id == output.id()) else { continue };
        let (_, gradient) = open.swap_remove(at);
        let of_arguments = operation.gradients(&output, &gradient.detach())?;
        for (argument, gradient) in operation.arguments().iter().zip(of_arguments) {
            match gradient {
                Some(gradient) if argument.is_variable() => add(&mut of_variables, argument.id(), gradient)?,
                Some(gradient) if is_computed(argument) => add(&mut open, argument.id(), gradient)?,
                _ => {}
            }
        }
    }
    Ok(of_variables)
}
