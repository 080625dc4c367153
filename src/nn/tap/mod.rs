//! What a forward pass hands to the training besides its output: additional losses, and outputs of layers.
//!
//! A collector is on the stack of its thread while [`collect`] runs. Without one, [`add_loss`] and
//! [`observe`] do nothing and cost one read of a thread-local number.
mod activation_meter;
mod activity_regularizer;
#[cfg(test)]
mod tests;

pub(crate) use activation_meter::ActivationMeter;
pub use activation_meter::ActivationRecord;
pub use activity_regularizer::{ActivityRegularizer, Reduce};

use candle_core::{Result, Tensor};
use std::{
    cell::{Cell, RefCell},
    fmt::Write,
};

/// What is collected during a forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collect {
    /// The losses of [`add_loss`].
    pub(crate) losses: bool,
    /// The outputs of layers.
    pub(crate) activations: bool,
}

/// What has been collected.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The losses, in the order of the calls.
    pub(crate) losses: Vec<Tensor>,
    /// The outputs of layers, in the order of the calls.
    pub(crate) activations: Vec<Observed>,
}

impl Collected {
    /// The sum of all elements of all losses; `None` without a loss. Its type is that of the first.
    pub(crate) fn loss(&self) -> Result<Option<Tensor>> {
        let mut total: Option<Tensor> = None;
        for loss in &self.losses {
            let loss = if loss.rank() == 0 { loss.clone() } else { loss.sum_all()? };
            total = Some(match total {
                Some(total) => (&total + loss.to_dtype(total.dtype())?)?,
                None => loss,
            });
        }
        Ok(total)
    }
}

/// The output of a layer.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The layer's name: its path in the network.
    pub(crate) layer: String,
    /// The limits beyond which an output counts as saturated.
    pub(crate) bounds: Option<Bounds>,
    /// The output, detached.
    pub(crate) output: Tensor,
}

/// The range in which an output of a bounded activation is not saturated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

struct Collector {
    what: Collect,
    collected: Collected,
    /// The path of the `Sequential` whose layers run at present, such as `3.`.
    path: String,
}

thread_local! {
    /// Whether any collector of this thread wants losses, and whether any wants activations.
    static WANTED: Cell<Collect> = const { Cell::new(Collect { losses: false, activations: false }) };
    static COLLECTORS: RefCell<Vec<Collector>> = const { RefCell::new(Vec::new()) };
}

/// Removes the innermost collector, also when `collect` is left by a panic.
struct Guard {
    before: Collect,
}

impl Guard {
    fn begin(what: Collect) -> Self {
        let before = WANTED.get();
        COLLECTORS.with_borrow_mut(|all| {
            all.push(Collector { what, collected: Collected::default(), path: String::new() });
        });
        WANTED.set(Collect {
            losses: before.losses | what.losses,
            activations: before.activations | what.activations,
        });
        Self { before }
    }

    fn end() -> Collected {
        let collector =
            COLLECTORS.with_borrow_mut(|all| all.last_mut().map(|c| std::mem::take(&mut c.collected)));
        collector.unwrap_or_default()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        WANTED.set(self.before);
        COLLECTORS.with_borrow_mut(Vec::pop);
    }
}

/// Runs `f`, which calls the forward pass, and collects what the pass reports on this thread. Calls may be
/// nested; the innermost collector that wants something gets it.
pub(crate) fn collect<T>(what: Collect, f: impl FnOnce() -> T) -> (T, Collected) {
    let guard = Guard::begin(what);
    let result = f();
    let collected = Guard::end();
    drop(guard);
    (result, collected)
}

/// Whether losses are collected on this thread.
fn wants_losses() -> bool {
    WANTED.get().losses
}

/// Whether activations are collected on this thread.
pub(crate) fn wants_activations() -> bool {
    WANTED.get().activations
}

fn with_collector(wanted: impl Fn(Collect) -> bool, f: impl FnOnce(&mut Collector)) {
    COLLECTORS.with_borrow_mut(|all| {
        if let Some(collector) = all.iter_mut().rev().find(|collector| wanted(collector.what)) {
            f(collector);
        }
    });
}

/// Adds a loss to that of the training step whose forward pass calls it, such as a penalty on what a layer
/// computes. Where no training step collects losses, as in evaluation, it does nothing.
///
/// ```text
/// loss of the step = mean loss over the batch + Σ added losses
/// ```
///
/// Call it in the forward pass of a model, on the thread that runs the pass; it is Keras' `add_loss`. The
/// loss is any number of elements, which are summed, and any floating-point type. It has to be computed from
/// variables or inputs by operations that have a derivative. The losses that the trainer records are without
/// it. For penalties on the size of a layer's outputs there is
/// [`ActivityRegularizer`](crate::nn::ActivityRegularizer). A training loop of your own has to add such terms
/// itself.
///
/// ```
/// use candle_core::{ModuleT, Result, Tensor};
/// use candle_ensemble::{nn::add_loss, train::Trainer};
/// use candle_nn::{linear, Linear, VarBuilder};
///
/// /// Its outputs are pulled towards a mean of 0.
/// struct Centred(Linear);
/// impl ModuleT for Centred {
///     fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
///         let y = x.apply(&self.0)?;
///         if train {
///             add_loss(&(y.mean_all()?.sqr()? * 0.1)?);
///         }
///         Ok(y)
///     }
/// }
/// let trainer = Trainer::new(|vb: VarBuilder| Ok(Centred(linear(2, 1, vb)?)));
/// ```
pub fn add_loss(loss: &Tensor) {
    if wants_losses() {
        with_collector(|what| what.losses, |collector| collector.collected.losses.push(loss.clone()));
    }
}

/// Reports what a part of a model computes, under a name, so that a [monitor](crate::train::Monitor) records
/// its mean, its spread and its dead units. Call it in the forward pass, on the thread that runs the pass.
/// Where nothing measures, it does nothing. A [`Sequential`](crate::nn::Sequential) reports its layers
/// itself.
///
/// `output` has rows along dimension 0 and units along dimension 1, in any floating-point type.
///
/// ```
/// use candle_core::{Module, Result, Tensor};
/// use candle_ensemble::nn::observe_output;
/// use candle_nn::Linear;
///
/// struct Net(Linear, Linear);
/// impl Module for Net {
///     fn forward(&self, x: &Tensor) -> Result<Tensor> {
///         let hidden = x.apply(&self.0)?.relu()?;
///         observe_output("hidden", &hidden);
///         hidden.apply(&self.1)
///     }
/// }
/// ```
pub fn observe_output(name: &str, output: &Tensor) {
    observe(name, None, output);
}

/// Reports the output of a layer to the collector of this thread, if there is one. A name that has been
/// reported before in this pass gets a number: `0`, then `0#2`.
pub(crate) fn observe(name: &str, bounds: Option<Bounds>, output: &Tensor) {
    if !wants_activations() {
        return;
    }
    with_collector(
        |what| what.activations,
        |Collector { collected: Collected { activations, .. }, path, .. }| {
            let mut layer = format!("{path}{name}");
            let plain = layer.len();
            let mut number = 1;
            while activations.iter().any(|observed| observed.layer == layer) {
                number += 1;
                layer.truncate(plain);
                let _ = write!(layer, "#{number}");
            }
            activations.push(Observed { layer, bounds, output: output.detach() });
        },
    );
}

/// Runs `f` with `name.` in front of the names that it reports.
pub(crate) fn within<T>(name: &str, f: impl FnOnce() -> T) -> T {
    /// Shortens the path again, also when `f` panics.
    struct Shorten(usize);
    impl Drop for Shorten {
        fn drop(&mut self) {
            with_collector(|what| what.activations, |collector| collector.path.truncate(self.0));
        }
    }
    let mut before = 0;
    with_collector(
        |what| what.activations,
        |collector| {
            before = collector.path.len();
            let _ = write!(collector.path, "{name}.");
        },
    );
    let _shorten = Shorten(before);
    f()
}
