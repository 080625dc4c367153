//! The backward pass without the detours of candle's store of gradients.
mod recording;
#[cfg(test)]
mod tests;

pub(crate) use recording::{apply_op1, apply_op2, apply_op3, Recording};

use candle_core::{backprop::GradStore, Result, Tensor, TensorId};
use std::cell::RefCell;

thread_local! {
    /// The gradients of the backward passes that run on this thread; the innermost pass is the last.
    static PASSES: RefCell<Vec<Vec<(TensorId, Tensor)>>> = const { RefCell::new(Vec::new()) };
}

/// Ends a pass, also when it is left by a panic.
struct Pass;

impl Pass {
    fn begin() -> Self {
        PASSES.with_borrow_mut(|passes| passes.push(Vec::new()));
        Self
    }

    fn take() -> Vec<(TensorId, Tensor)> {
        PASSES.with_borrow_mut(|passes| passes.last_mut().map(std::mem::take)).unwrap_or_default()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        PASSES.with_borrow_mut(Vec::pop);
    }
}

/// The gradients of a loss with respect to all variables that it depends on, as
/// [`Tensor::backward`] computes them, and faster where layers of this module are used.
///
/// candle's store fills a tensor with zeros for each variable and then adds the gradient to it in a third
/// tensor. Layers of this module with weights, such as [`Linear`](crate::nn::Linear),
/// [`Conv2d`](crate::nn::Conv2d), [`Embedding`](crate::nn::Embedding) and [`BatchNorm`](crate::nn::BatchNorm), hand
/// their gradients over without that in this function, which saves about a tenth of a training step of a small network.
/// The numbers are the same, except that `−0` may stand for `0`. The [`Trainer`](crate::train::Trainer) uses
/// it; use it in a training loop of your own. The trainer also records the operations of each forward pass. Where all of
/// them, from the variables to the loss, are those of this module and of its losses, the backward pass takes them in the
/// opposite order, without a search of the graph and without candle's store.
///
/// The loss is of any shape and any floating-point type; of several elements the sum is differentiated.
///
/// # Errors
/// When an operation between the variables and the loss has no derivative.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::{backward, linear}, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let layer = linear(3, 2, vb)?;
/// let loss = layer.forward(&Tensor::ones((4, 3), DType::F32, &Device::Cpu)?)?.sum_all()?;
/// let gradients = backward(&loss)?;
/// let bias = gradients.get(layer.bias().expect("has a bias")).expect("reached");
/// assert_eq!(bias.to_vec1::<f32>()?, [4., 4.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let pass = Pass::begin();
    let (mut store, recorded) = match recording::backward(loss)? {
        Some(gradients) => (GradStore::default(), gradients),
        None => (loss.backward()?, Vec::new()),
    };
    let given = Pass::take();
    drop(pass);
    for (id, gradient) in recorded.into_iter().chain(given) {
        let sum = match store.get_id(id) {
            Some(other) => (other + &gradient)?,
            None => gradient,
        };
        store.insert_id(id, sum);
    }
    Ok(store)
}

/// Hands over the gradient of an argument of an operation. What is returned is for candle's own store: `None`
/// if [`backward`] runs on this thread and the argument is a variable.
pub(in crate::nn) fn hand_over(argument: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    if !argument.is_variable() {
        return Ok(Some(gradient));
    }
    PASSES.with_borrow_mut(|passes| match passes.last_mut() {
        None => Ok(Some(gradient)),
        Some(given) => add(given, argument.id(), gradient).map(|()| None),
    })
}

/// Adds a gradient to those of a list.
fn add(gradients: &mut Vec<(TensorId, Tensor)>, id: TensorId, gradient: Tensor) -> Result<()> {
    match gradients.iter_mut().find(|(known, _)| *known == id) {
        Some((_, sum)) => *sum = (&*sum + &gradient)?,
        None => gradients.push((id, gradient)),
    }
    Ok(())
}
