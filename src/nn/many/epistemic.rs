//! The last layer of a network with an epinet.
use crate::{
    nn::{
        many::{convert::At, ensemble_view::EnsembleView, mc_dropout::ANY_SEEDS, member_masks::of_networks},
        random::{seed_of, Draws},
        stack, Linear, Sequential,
    },
    Error, Seed,
};
use candle_core::{DType, Device, Module, ModuleT, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use rand::Rng;
use rand_distr::StandardNormal;
use std::sync::{Arc, Mutex, PoisonError};

/// A linear layer and an epinet beside it: `(B, …, F)` to `(M·B, …, outputs)`.
#[derive(Clone, Debug)]
pub(super) struct Head {
    base: Linear,
    /// `(rows, F + X + D)` to `(rows, outputs · D)`.
    mlp: Arc<Sequential>,
    prior: Arc<Prior>,
    indices: Indices,
    /// The inputs of the network for each row of features; 0 where the epinet does not get them.
    inputs: usize,
}

impl Head {
    pub(super) fn new(
        base: Linear,
        mlp: Sequential,
        prior: Prior,
        [inputs, index]: [usize; 2],
        at: &At<'_>,
    ) -> Result<Self> {
        let draws = Draws::new(&at.vb().pp("epinet").pp("index"))?;
        let seeds = at.variable("seeds", &[4], ANY_SEEDS, DType::U32)?;
        let indices = Indices { draws, seeds, size: index };
        Ok(Self { base, mlp: Arc::new(mlp), prior: Arc::new(prior), indices, inputs })
    }

    /// The outputs of all members for features, the inputs of this layer, and the inputs of the network.
    pub(super) fn forward(&self, features: &Tensor, x: &Tensor, train: bool) -> Result<Tensor> {
        self.with_indices(&self.indices.next(train, features)?, features, x, train)
    }

    /// The same with the indices `z` of the members, `(M, D)`.
    fn with_indices(&self, z: &Tensor, features: &Tensor, x: &Tensor, train: bool) -> Result<Tensor> {
        let view = EnsembleView::new(self.indices.members()?)?;
        let base = view.forward(&self.base.forward(features)?)?;
        let seen = view.forward(&self.seen(features, x)?)?;
        let (rows, size) = (seen.dim(0)?, self.indices.size);
        let each = rows / z.dim(0)?.max(1);
        let z = z.unsqueeze(1)?.broadcast_as((z.dim(0)?, each, size))?.contiguous()?.reshape((rows, size))?;
        let seen = Tensor::cat(&[&seen, &z], 1)?;
        let by_element = match self.prior.forward(&seen)? {
            Some(prior) => (self.mlp.forward_t(&seen, train)? + prior)?,
            None => self.mlp.forward_t(&seen, train)?,
        };
        let terms = by_element.reshape((rows, (), size))?.broadcast_mul(&z.unsqueeze(1)?)?.sum(2)?;
        &base + terms.reshape(base.shape())?
    }

    /// What the epinet knows of each row of features, `(rows, F + X)`. It is a constant.
    fn seen(&self, features: &Tensor, x: &Tensor) -> Result<Tensor> {
        let size = features.dims().last().copied().unwrap_or_default();
        let rows = features.elem_count() / size.max(1);
        let features = features.detach().reshape((rows, size))?;
        if self.inputs == 0 {
            return Ok(features);
        }
        if x.elem_count() != rows * self.inputs {
            let must = format!(
                "{} numbers for each of {rows} rows, those of its first linear layer, or left out by Epinet::inputs",
                self.inputs
            );
            return Err(Error::invalid(
                "the inputs of a network for Epinet",
                must,
                format!("{:?}", x.dims()),
            )
            .into());
        }
        let x = x.detach().to_dtype(features.dtype())?.contiguous()?.reshape((rows, self.inputs))?;
        Tensor::cat(&[features, x], 1)
    }
}

/// The layer where it is the whole network.
impl ModuleT for Head {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(x, x, train)
    }
}

/// The indices of the members, `N(0, I)`.
#[derive(Clone, Debug)]
struct Indices {
    /// Those of training.
    draws: Draws,
    /// Integers for the index of each member in evaluation, `(M, 4)`.
    seeds: Tensor,
    /// The elements of an index `D`.
    size: usize,
}

impl Indices {
    fn members(&self) -> Result<usize> {
        self.seeds.dim(0)
    }

    /// Indices of the type of `like`, `(M, D)`; those of one network after those of the other in a pass for several.
    fn next(&self, train: bool, like: &Tensor) -> Result<Tensor> {
        if train {
            let dims = (stack::parts() * self.members()?, self.size);
            return self.draws.normal(&Tensor::zeros(dims, like.dtype(), like.device())?, 0., 1.);
        }
        let seeds = of_networks(&self.seeds)?.to_vec2::<u32>()?;
        let z: Vec<f64> = seeds.iter().flat_map(|parts| index(parts, self.size)).collect();
        Tensor::from_vec(z, (seeds.len(), self.size), &Device::Cpu)?
            .to_dtype(like.dtype())?
            .to_device(like.device())
    }
}

/// The index that these integers make.
pub(super) fn index(parts: &[u32], size: usize) -> Vec<f64> {
    let mut rng = seed_of(parts).child("index").rng();
    (0..size).map(|_| rng.sample(StandardNormal)).collect()
}

/// A perceptron with random weights that are not trained, times a scale.
#[derive(Debug)]
pub(super) struct Prior {
    scale: f64,
    widths: Vec<usize>,
    /// Four integers, from which the weights follow.
    seed: Tensor,
    /// The weights of the last pass.
    drawn: Mutex<Vec<Arc<Drawn>>>,
}

/// Weights `(inputs, outputs)` and biases of each layer.
#[derive(Debug)]
struct Drawn {
    seed: Vec<u32>,
    layers: Vec<(Tensor, Tensor)>,
}

impl Prior {
    /// A perceptron of these widths, from its inputs to its outputs.
    pub(super) fn new(scale: f64, widths: Vec<usize>, vb: &VarBuilder<'_>) -> Result<Self> {
        let any = Init::Uniform { lo: 0., up: u32::MAX.into() };
        let seed = vb.get_with_hints_dtype(4, "seed", any, DType::U32)?;
        Ok(Self { scale, widths, seed, drawn: Mutex::default() })
    }

    /// The outputs, times the scale; `None` for a scale of 0.
    fn forward(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let seeds = of_networks(&self.seed)?.to_vec1::<u32>()?;
        if self.scale == 0. {
            return Ok(None);
        }
        // candle has no products of half precision on the CPU.
        let dtype = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let networks = self.networks(&seeds, dtype, x.device())?;
        let y = stack::each(&x.to_dtype(dtype)?, |network, x| match networks.get(network) {
            Some(drawn) => drawn.forward(x),
            None => candle_core::bail!("no prior of network {network}"),
        })?;
        (y * self.scale)?.to_dtype(x.dtype()).map(Some)
    }

    /// The weights of each network of a pass. They are drawn where the last pass had others.
    fn networks(&self, seeds: &[u32], dtype: DType, device: &Device) -> Result<Vec<Arc<Drawn>>> {
        let mut last = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |drawn: &&Arc<Drawn>, seed: &[u32]| drawn.seed == seed && drawn.fits(dtype, device);
        let of = |seed: &[u32]| match last.iter().find(|drawn| known(drawn, seed)) {
            Some(drawn) => Ok(drawn.clone()),
            None => self.draw(seed, dtype, device).map(Arc::new),
        };
        let now = seeds.chunks(4).map(of).collect::<Result<Vec<_>>>()?;
        last.clone_from(&now);
        Ok(now)
    }

    /// Weights as those with which [`linear`](crate::nn::linear()) layers begin.
    fn draw(&self, seed: &[u32], dtype: DType, device: &Device) -> Result<Drawn> {
        let of = seed_of(seed);
        let layer = |(number, pair): (usize, &[usize])| {
            let (inputs, outputs) = (pair[0], pair[1]);
            let own = of.nth("layer", number as u64);
            let (weight, bias) = numbers(own, inputs, outputs);
            let made = |all: Vec<f64>, dims: &[usize]| {
                Tensor::from_vec(all, dims, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
            };
            Ok((made(weight, &[inputs, outputs])?, made(bias, &[outputs])?))
        };
        let layers = self.widths.windows(2).enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Drawn { seed: seed.to_vec(), layers })
    }
}

/// Weights from `N(0, 2 / inputs)` and biases from −1/√inputs to 1/√inputs.
pub(super) fn numbers(seed: Seed, inputs: usize, outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut of_weight, mut of_bias) = (seed.child("weight").rng(), seed.child("bias").rng());
    let (deviation, bound) = ((2. / inputs as f64).sqrt(), 1. / (inputs as f64).sqrt());
    let weight = (0..inputs * outputs).map(|_| deviation * of_weight.sample::<f64, _>(StandardNormal));
    let bias = (0..outputs).map(|_| of_bias.random_range(-bound..=bound));
    (weight.collect(), bias.collect())
}

impl Drawn {
    fn fits(&self, dtype: DType, device: &Device) -> bool {
        self.layers.iter().all(|(weight, _)| weight.dtype() == dtype && weight.device().same_device(device))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = x.clone();
        for (number, (weight, bias)) in self.layers.iter().enumerate() {
            if number > 0 {
                y = y.relu()?;
            }
            y = y.matmul(weight)?.broadcast_add(bias)?;
        }
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{backward, seq, testing::assert_near, Activation};
    use candle_core::Var;
    use serde_json::Value;

    fn tensor(of: &Value) -> Tensor {
        let list = |name: &str| of[name].as_array().unwrap().iter();
        let dims: Vec<usize> = list("shape").map(|x| x.as_u64().unwrap() as usize).collect();
        let values: Vec<f64> = list("values").map(|x| x.as_f64().unwrap()).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    /// The formulas of the source in numpy (`tests/reference/epinet.py`), for given indices and a given prior.
    #[test]
    fn outputs_and_gradients_are_those_of_the_reference() {
        let case: Value = serde_json::from_str(include_str!("tests/epinet.json")).unwrap();
        let given = |name: &str| tensor(&case["given"][name]);
        let var = |name: &str| (name.to_string(), Var::from_tensor(&given(name)).unwrap());
        let names = ["base.weight", "base.bias", "0.weight", "0.bias", "1.weight", "1.bias", "features"];
        let vars: std::collections::BTreeMap<_, _> = names.into_iter().map(var).collect();
        let of = |name: &str| vars[name].as_tensor().clone();
        let linear =
            |name: &str| Linear::new(of(&format!("{name}.weight")), Some(of(&format!("{name}.bias"))));
        let mlp = seq().add(linear("0")).add(Activation::Relu).add(linear("1"));
        let (z, x) = (given("z"), given("x"));
        let (_, vb) = crate::weights::fresh(1, Default::default(), DType::F64, &Device::Cpu);
        let prior = Prior::new(case["scale"].as_f64().unwrap(), vec![], &vb).unwrap();
        let of_prior = |number: usize| {
            let [weight, bias] = ["weight", "bias"].map(|kind| given(&format!("prior.{number}.{kind}")));
            (weight.t().unwrap(), bias)
        };
        let seed = prior.seed.to_vec1().unwrap();
        prior.drawn.lock().unwrap().push(Arc::new(Drawn { seed, layers: [0, 1].map(of_prior).to_vec() }));
        let seeds = Tensor::zeros((z.dim(0).unwrap(), 4), DType::U32, &Device::Cpu).unwrap();
        let draws = Draws::new(&vb.pp("index")).unwrap();
        let indices = Indices { draws, seeds, size: z.dim(1).unwrap() };
        let (base, inputs) = (linear("base"), x.dim(1).unwrap());
        let head = Head { base, mlp: Arc::new(mlp), prior: Arc::new(prior), indices, inputs };
        let y = head.with_indices(&z, &of("features"), &x, true).unwrap();
        assert_near(&y, &tensor(&case["y"]), 1e-12, "y");
        let store = backward(&(y * tensor(&case["up"])).unwrap().sum_all().unwrap()).unwrap();
        for (name, var) in &vars {
            assert_near(store.get(var).unwrap(), &tensor(&case["gradients"][name]), 1e-12, name);
        }
    }
}
