//! The source of the seeded initial weights, as a backend of candle's `VarBuilder`.
use crate::{
    weights::{init::InitScheme, members::has_entries, Vars},
    Seed,
};
use candle_core::{bail, DType, Device, Result as CResult, Shape, Tensor, Var};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};

/// A `VarBuilder` backend that draws each variable from a hash of a seed and the variable's name.
///
/// A variable's value depends on the seed, the scheme, and the variable's name, shape and `Init`, and on
/// nothing else. It is drawn in f64 and then rounded to the dtype. Of the integer types only u32 can be
/// drawn, uniformly; it is rounded down. [`fresh`] wraps the backend in a `VarBuilder`.
///
/// A variable of floats with `members` among the parts of its name has one entry for each member of a network along
/// dimension 0 (see [`nn::many`](crate::nn::many)). Each entry is drawn as a variable of its own, so that the first members
/// of a larger network begin like those of a smaller one.
///
/// A second request for a name returns the same variable; with another shape, dtype or device it is an error.
#[derive(Clone, Debug)]
pub struct SeededInit {
    seed: Seed,
    scheme: InitScheme,
    vars: Vars,
}

impl SeededInit {
    /// A backend with no variables yet.
    #[must_use]
    pub fn new(seed: impl Into<Seed>, scheme: InitScheme) -> Self {
        Self { seed: seed.into(), scheme, vars: Vars::default() }
    }

    /// A handle to the variables, those still to be made included.
    #[must_use]
    pub fn vars(&self) -> Vars {
        self.vars.clone()
    }
}

impl SimpleBackend for SeededInit {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> CResult<Tensor> {
        let mut vars = self.vars.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape {
                bail!("{name} has shape {:?}, but is requested with {shape:?}", var.shape())
            }
            return same_variable(name, var, dtype, device);
        }
        // Schemes apply to weights; integers are the state of a layer.
        let scheme = if dtype.is_float() { &self.scheme } else { &InitScheme::AsDeclared };
        let seed = self.seed.child(name);
        let var = match shape.dims().split_first() {
            Some((&count, entry)) if dtype.is_float() && has_entries(name) => {
                let (entry, count) = (Shape::from(entry), count as u64);
                let distribution = scheme.of_entries(name, init, &entry)?;
                let entries = (0..count).map(|member| {
                    distribution.var(name, entry.clone(), seed.nth("member", member), dtype, device)
                });
                let entries = entries.map(|entry| Ok(entry?.into_inner()));
                of_entries(&entries.collect::<CResult<Vec<_>>>()?, &shape, dtype, device)?
            }
            _ => {
                let distribution = scheme.distribution(name, init, &shape)?;
                distribution.var(name, shape, seed, dtype, device)?
            }
        };
        let tensor = var.as_tensor().clone();
        vars.insert(name.into(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> CResult<Tensor> {
        match self.vars.lock().get(name) {
            Some(var) => same_variable(name, var, dtype, device),
            None => bail!("{name} has not been made yet, and it cannot be made without a shape"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vars.lock().contains_key(name)
    }
}

/// A variable of these entries along dimension 0.
fn of_entries(entries: &[Tensor], shape: &Shape, dtype: DType, device: &Device) -> CResult<Var> {
    match entries {
        [] => Var::zeros(shape, dtype, device),
        _ => Var::from_tensor(&Tensor::stack(entries, 0)?.detach()),
    }
}

/// The variable's tensor. A cast or moved variable would be a copy that training does not update, so it is an
/// error.
fn same_variable(name: &str, var: &Var, dtype: DType, device: &Device) -> CResult<Tensor> {
    if var.dtype() != dtype {
        bail!("{name} is {:?}, but is requested as {dtype:?}", var.dtype())
    }
    if !var.device().same_device(device) {
        bail!("{name} is on {:?}, but is requested on {device:?}", var.device())
    }
    Ok(var.as_tensor().clone())
}

/// An empty set of variables, and the `VarBuilder` that fills it while a model is built.
///
/// ```
/// use candle_core::{DType, Device, Module};
/// use candle_ensemble::weights::{fresh, InitScheme};
///
/// let build = |seed: u64| {
///     let (_, vb) = fresh(seed, InitScheme::GlorotUniform, DType::F32, &Device::Cpu);
///     candle_nn::linear(3, 2, vb)?.weight().to_vec2::<f32>()
/// };
/// assert_eq!(build(1)?, build(1)?);
/// assert_ne!(build(1)?, build(2)?);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[must_use]
pub fn fresh(
    seed: impl Into<Seed>,
    scheme: InitScheme,
    dtype: DType,
    device: &Device,
) -> (Vars, VarBuilder<'static>) {
    let backend = SeededInit::new(seed, scheme);
    (backend.vars(), VarBuilder::from_backend(Box::new(backend), dtype, device.clone()))
}
