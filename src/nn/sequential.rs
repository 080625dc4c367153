//! Layers one after the other, in a type that may be shared between threads.
use crate::nn::{
    many::{BatchEnsembleLayer, PackedLayer, SeparateLayer},
    tap::{observe, wants_activations, within, Bounds},
    then::{Then, WithThen},
    Activation, BatchNorm, Conv1d, Conv2d, Linear,
};
use candle_core::{ModuleT, Result, Tensor};
use std::{any::Any, fmt};

/// Layers one after the other: each gets the output of the layer before it.
///
/// ```text
/// y = f_n(… f_2(f_1(x)))
/// ```
///
/// It replaces candle's own [`Sequential`](candle_nn::Sequential), with the same methods and the same names
/// of variables, and differs in two points. It is `Send` and `Sync`, so an ensemble of such networks can be
/// shared between the threads of a server. And it knows whether it is in training, so layers such as
/// [`Dropout`](crate::nn::Dropout) and batch normalization can be among its layers.
///
/// Inputs and outputs have the shapes of the first and of the last layer; no layer at all returns its input.
/// The cost is that of the layers.
///
/// # Errors
/// The forward pass fails when that of a layer fails.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::nn::{seq, Dropout};
/// use candle_ensemble::{train::Trainer, weights::fresh, Seed};
/// use candle_nn::{linear, Activation, VarBuilder};
///
/// let mlp = |vb: VarBuilder| {
///     let hidden = seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu);
///     Ok(hidden.add(Dropout::new(0.2, vb.pp("dropout"))?).add(linear(16, 3, vb.pp(1))?))
/// };
/// let trainer = Trainer::new(mlp);
///
/// let (_, vb) = fresh(Seed::from(1), Default::default(), DType::F32, &Device::Cpu);
/// let network = mlp(vb)?;
/// assert_eq!(network.forward(&Tensor::ones((2, 4), DType::F32, &Device::Cpu)?)?.dims(), [2, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Layer>,
}

/// A layer whose type can be asked for.
trait AnyLayer: ModuleT + Any + Send + Sync {}

impl<L: ModuleT + Any + Send + Sync> AnyLayer for L {}

/// One of the layers of a [`Sequential`].
pub(super) struct Layer {
    module: Box<dyn AnyLayer>,
    kind: Kind,
    /// The name of the layer's type.
    name: &'static str,
    /// The same layer as `module`, if it can be one operation with an activation behind it.
    first: Option<Box<dyn WithThen + Send + Sync>>,
    /// The same layer as `module`, if it can be one operation with a layer before it.
    then: Option<Then>,
}

impl Layer {
    /// The layer, to ask for its type.
    pub(super) fn as_any(&self) -> &dyn Any {
        self.module.as_ref()
    }

    /// The name of the layer's type, for errors.
    pub(super) fn type_name(&self) -> &'static str {
        self.name
    }

    /// The layers within, or the layer itself if it is a single one.
    pub(super) fn into_nested(self) -> std::result::Result<Sequential, Self> {
        if !self.as_any().is::<Sequential>() {
            return Err(self);
        }
        let module: Box<dyn Any> = self.module;
        Ok(module.downcast().map(|nested| *nested).unwrap_or_default())
    }
}

/// What the monitors need to know of a layer.
#[derive(Clone, Copy)]
enum Kind {
    /// Layers one after the other, which report their own outputs.
    Nested,
    /// A layer whose outputs have these bounds, if they are known.
    Single(Option<Bounds>),
}

impl Kind {
    fn of(layer: &dyn Any) -> Self {
        if layer.is::<Sequential>() {
            return Self::Nested;
        }
        let ours = layer.downcast_ref::<Activation>().and_then(|activation| activation.bounds());
        Self::Single(ours.or_else(|| match layer.downcast_ref::<candle_nn::Activation>()? {
            candle_nn::Activation::Sigmoid => Activation::Sigmoid.bounds(),
            candle_nn::Activation::HardSigmoid => Activation::HardSigmoid.bounds(),
            _ => None,
        }))
    }
}

/// The layer, if it can do the work of an activation behind it.
fn with_then(layer: &dyn Any) -> Option<Box<dyn WithThen + Send + Sync>> {
    fn of<L: WithThen + Clone + Send + Sync + 'static>(
        layer: &dyn Any,
    ) -> Option<Box<dyn WithThen + Send + Sync>> {
        layer.downcast_ref::<L>().map(|layer| Box::new(layer.clone()) as _)
    }
    of::<Linear>(layer)
        .or_else(|| of::<Conv1d>(layer))
        .or_else(|| of::<Conv2d>(layer))
        .or_else(|| of::<BatchNorm>(layer))
        .or_else(|| of::<BatchEnsembleLayer>(layer))
        .or_else(|| of::<SeparateLayer>(layer))
        .or_else(|| of::<PackedLayer>(layer))
}

/// A [`Sequential`] without layers, to which [`add`](Sequential::add) adds them.
#[must_use]
pub fn seq() -> Sequential {
    Sequential::default()
}

impl Sequential {
    /// Adds a layer after the others.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // the name that candle's users know
    pub fn add(mut self, layer: impl ModuleT + Send + Sync + 'static) -> Self {
        let (kind, then) = (Kind::of(&layer), Then::of(&layer));
        let (first, name) = (with_then(&layer), std::any::type_name_of_val(&layer));
        self.layers.push(Layer { module: Box::new(layer), kind, name, first, then });
        self
    }

    /// Adds a layer of another network.
    pub(super) fn push(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// The layers.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers, to build another network of them.
    pub(super) fn into_layers(self) -> Vec<Layer> {
        self.layers
    }

    /// Adds a function after the other layers.
    #[must_use]
    pub fn add_fn(self, function: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        self.add(function)
    }

    /// The number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are no layers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The forward pass in evaluation mode. [`ModuleT::forward_t`] takes the mode as an argument.
    ///
    /// # Errors
    /// When a layer fails.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_t(xs, false)
    }

    /// The output of the first `layers` layers, in evaluation mode; that of all layers if there are fewer.
    ///
    /// # Errors
    /// When a layer fails.
    pub fn forward_first(&self, layers: usize, xs: &Tensor) -> Result<Tensor> {
        run(self.layers.get(..layers).unwrap_or(&self.layers), xs, false)
    }

    /// The output of each layer, in evaluation mode.
    ///
    /// # Errors
    /// When a layer fails.
    pub fn forward_all(&self, xs: &Tensor) -> Result<Vec<Tensor>> {
        let mut outputs = Vec::with_capacity(self.len());
        for layer in &self.layers {
            let output = layer.module.forward_t(outputs.last().unwrap_or(xs), false)?;
            outputs.push(output);
        }
        Ok(outputs)
    }
}

impl ModuleT for Sequential {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        match wants_activations() {
            true => self.forward_observed(xs, train),
            false => run(&self.layers, xs, train),
        }
    }
}

impl Sequential {
    /// The forward pass, one layer after the other, with a report of each output.
    fn forward_observed(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        let mut xs = xs.clone();
        for (number, Layer { module, kind, .. }) in self.layers.iter().enumerate() {
            xs = match kind {
                Kind::Nested => within(&number.to_string(), || module.forward_t(&xs, train))?,
                Kind::Single(bounds) => {
                    let output = module.forward_t(&xs, train)?;
                    observe(&number.to_string(), *bounds, &output);
                    output
                }
            };
        }
        Ok(xs)
    }
}

/// The output of the last layer. A layer of ours with weights and the activation behind it are one operation.
fn run(mut layers: &[Layer], xs: &Tensor, train: bool) -> Result<Tensor> {
    let mut xs = xs.clone();
    loop {
        (xs, layers) = match layers {
            [] => return Ok(xs),
            [Layer { first: Some(first), .. }, Layer { then: Some(then), .. }, rest @ ..] => {
                (first.forward_with(*then, &xs, train)?, rest)
            }
            [Layer { module, .. }, rest @ ..] => (module.forward_t(&xs, train)?, rest),
        };
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequential of {} layers", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nn::{self, Dropout},
        weights::fresh,
        Seed,
    };
    use candle_core::{DType, Device, Module};
    use candle_nn::{batch_norm, linear, Activation};

    fn input() -> Tensor {
        Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((3, 4)).unwrap()
    }

    #[test]
    fn equals_candles_sequential() {
        let (_, vb) = fresh(Seed::from(1), Default::default(), DType::F32, &Device::Cpu);
        let layers = [linear(4, 8, vb.pp(0)).unwrap(), linear(8, 2, vb.pp(1)).unwrap()];
        let [a, b] = layers.clone();
        let ours = seq().add(a).add(Activation::Relu).add(b).add_fn(|x| x * 2.);
        let [a, b] = layers;
        let theirs = candle_nn::seq().add(a).add(Activation::Relu).add(b).add_fn(|x| x * 2.);
        let numbers = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        assert_eq!(numbers(&ours.forward(&input()).unwrap()), numbers(&theirs.forward(&input()).unwrap()));
        let (ours_all, all) = (ours.forward_all(&input()).unwrap(), theirs.forward_all(&input()).unwrap());
        assert_eq!(ours_all.len(), 4);
        assert!(ours_all.iter().zip(&all).all(|(a, b)| numbers(a) == numbers(b)));
        assert_eq!((ours.len(), ours.is_empty(), seq().is_empty()), (4, false, true));
        assert_eq!(numbers(&seq().forward(&input()).unwrap()), numbers(&input()));
    }

    #[test]
    fn layers_know_whether_they_are_in_training() {
        let (vars, vb) = fresh(Seed::from(1), Default::default(), DType::F32, &Device::Cpu);
        let network = seq()
            .add(batch_norm(4, 1e-5, vb.pp("norm")).unwrap())
            .add(Dropout::new(0.9, vb.pp("dropout")).unwrap());
        let mean = || vars.snapshot().unwrap()["norm.running_mean"].to_vec1::<f32>().unwrap();
        let evaluated = network.forward(&input()).unwrap().to_vec2::<f32>().unwrap();
        assert!(evaluated.concat()[1..].iter().all(|x| *x > 0.), "nothing is dropped");
        assert_eq!(mean(), [0.; 4]);
        let trained = network.forward_t(&input(), true).unwrap().to_vec2::<f32>().unwrap().concat();
        assert!(trained.iter().filter(|x| **x == 0.).count() >= 6, "{trained:?}");
        assert!(mean().iter().all(|m| *m > 0.));
    }

    #[test]
    fn an_error_of_a_layer_is_that_of_the_network() {
        let network = seq().add_fn(|_| candle_core::bail!("no such layer"));
        for outcome in [network.forward(&input()), network.forward_all(&input()).map(|all| all[0].clone())] {
            let e = crate::Error::from(outcome.unwrap_err());
            assert!(e.to_string().ends_with("no such layer"), "{e}");
        }
    }

    /// Linear layers with activations that do their work within them, and others.
    fn layers_of_ours(dtype: DType) -> (crate::weights::Vars, Sequential) {
        let (vars, vb) = fresh(Seed::from(1), Default::default(), dtype, &Device::Cpu);
        let layer = |i: usize, inputs, outputs| nn::linear(inputs, outputs, vb.pp(i)).unwrap();
        let network = seq()
            .add(layer(0, 4, 8))
            .add(Activation::Relu)
            .add(layer(1, 8, 6))
            .add(nn::Activation::Tanh)
            .add(nn::linear_no_bias(6, 5, vb.pp(2)).unwrap())
            .add(nn::Activation::Gelu)
            .add(layer(3, 5, 2));
        (vars, network)
    }

    #[test]
    fn linear_layers_do_the_work_of_activations_without_changing_results() {
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let (vars, network) = layers_of_ours(dtype);
            let x = input().to_dtype(dtype).unwrap();
            let all = network.forward_all(&x).unwrap();
            let numbers = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
            for (layers, output) in all.iter().enumerate() {
                assert_eq!(numbers(&network.forward_first(layers + 1, &x).unwrap()), numbers(output));
            }
            assert_eq!(numbers(&network.forward_first(9, &x).unwrap()), numbers(&all[6]));
            let loss = |y: &Tensor| y.sqr().unwrap().sum_all().unwrap();
            let fused = nn::backward(&loss(&network.forward_t(&x, true).unwrap())).unwrap();
            let single = loss(&all[6]).backward().unwrap();
            for (name, var) in vars.named() {
                let both = [&fused, &single].map(|store| store.get(var.as_tensor()).unwrap());
                let [fused, single] = both.map(|g| g.to_dtype(DType::F64).unwrap().flatten_all().unwrap());
                let apart = (fused - single).unwrap().abs().unwrap().max_all().unwrap();
                assert!(apart.to_scalar::<f64>().unwrap() < 1e-4, "{name} {dtype:?}");
            }
        }
    }

    #[test]
    fn monitors_see_the_output_of_each_layer() {
        let (_, network) = layers_of_ours(DType::F32);
        let what = crate::nn::tap::Collect { losses: false, activations: true };
        let (output, collected) = crate::nn::tap::collect(what, || network.forward(&input()).unwrap());
        let names: Vec<&str> = collected.activations.iter().map(|seen| seen.layer.as_str()).collect();
        assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6"]);
        let numbers = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        for (seen, expected) in collected.activations.iter().zip(network.forward_all(&input()).unwrap()) {
            assert_eq!(numbers(&seen.output), numbers(&expected));
        }
        assert_eq!(numbers(&output), numbers(&network.forward(&input()).unwrap()));
    }
}
