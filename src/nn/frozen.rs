//! Networks some of whose variables are not trained.
//!
//! The constructor of a network is called once more, with the same variables. Those that are not trained are handed out as
//! plain tensors of the same storage: candle tracks no operation on them, so the backward pass computes neither their
//! gradients nor those of what comes before them. [`BatchNorm`](crate::nn::BatchNorm) asks here whether its running
//! statistics are frozen, and then normalizes by them in training too.
use crate::weights::{compatibility::is_statistic, Vars};
use candle_core::{bail, DType, Device, Result, Shape, Tensor, Var};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

thread_local! {
    /// The names of the frozen variables of the network that this thread builds.
    static FROZEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Builds a network whose running statistics of these names are frozen. Other names have no effect.
pub(crate) fn with_frozen_statistics<T>(frozen: &BTreeSet<String>, build: impl FnOnce() -> T) -> T {
    /// Sets the names back, also when the constructor panics.
    struct Outer(BTreeSet<String>);
    impl Drop for Outer {
        fn drop(&mut self) {
            FROZEN.set(std::mem::take(&mut self.0));
        }
    }
    let _outer = Outer(FROZEN.replace(frozen.clone()));
    build()
}

/// Whether the variable of this name is frozen in the network that is built.
pub(in crate::nn) fn is_frozen(vb: &VarBuilder<'_>, name: &str) -> bool {
    FROZEN.with_borrow(|frozen| {
        let full = || match vb.prefix() {
            prefix if prefix.is_empty() => name.to_owned(),
            prefix => format!("{prefix}.{name}"),
        };
        !frozen.is_empty() && frozen.contains(&full())
    })
}

/// Whether operations on a frozen variable are left untracked. A layer that writes its running statistics needs the
/// variables themselves.
pub(in crate::nn) fn is_untracked(frozen: &BTreeSet<String>, name: &str) -> bool {
    frozen.contains(name) && !is_statistic(name)
}

/// The variables of a network that has been built, for its constructor: operations on the frozen ones are not tracked.
pub(crate) fn untracked(
    vars: &Vars,
    frozen: &BTreeSet<String>,
    dtype: DType,
    device: &Device,
) -> VarBuilder<'static> {
    let handed_out = |(name, var): (String, Var)| {
        let tensor = match is_untracked(frozen, &name) {
            true => var.as_detached_tensor(),
            false => var.as_tensor().clone(),
        };
        (name, tensor)
    };
    let backend = Existing(vars.named().into_iter().map(handed_out).collect());
    VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
}

/// The tensors of variables that exist.
struct Existing(BTreeMap<String, Tensor>);

impl Existing {
    fn find(&self, name: &str, dtype: DType, device: &Device) -> Result<&Tensor> {
        let Some(tensor) = self.0.get(name) else {
            bail!("the constructor did not ask for a variable `{name}` when it was called first")
        };
        if tensor.dtype() != dtype || !tensor.device().same_device(device) {
            let (had, at) = (tensor.dtype(), tensor.device());
            bail!("{name} is {had:?} on {at:?}, but is requested as {dtype:?} on {device:?}")
        }
        Ok(tensor)
    }
}

impl SimpleBackend for Existing {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.find(name, dtype, device)?;
        if tensor.shape() != &shape {
            bail!("{name} has shape {:?}, but is requested with {shape:?}", tensor.shape())
        }
        Ok(tensor.clone())
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        self.find(name, dtype, device).cloned()
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nn::{backward, batch_norm, linear, seq, Activation, Sequential},
        weights::fresh,
    };
    use candle_core::ModuleT;

    fn network(vb: VarBuilder<'_>) -> Result<Sequential> {
        let first = seq().add(linear(3, 4, vb.pp("a"))?).add(batch_norm(4, 1e-5, vb.pp("norm"))?);
        Ok(first.add(Activation::Tanh).add(linear(4, 2, vb.pp("b"))?))
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn frozen_variables_have_no_gradient_and_the_others_the_same() {
        for dtype in [DType::F32, DType::F64] {
            let (vars, vb) = fresh(1, Default::default(), dtype, &Device::Cpu);
            let whole = network(vb).unwrap();
            let x = crate::nn::testing::numbers((8, 3), 1, dtype);
            let gradients = |network: &Sequential| {
                let y = network.forward_t(&x, true).unwrap();
                backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap()
            };
            let all = gradients(&whole);
            for frozen in [&["a.weight", "a.bias"][..], &["a.weight", "b.bias", "norm.weight"], &["b.weight"]]
            {
                let frozen = names(frozen);
                let part = network(untracked(&vars, &frozen, dtype, &Device::Cpu)).unwrap();
                let some = gradients(&part);
                for (name, var) in vars.named().into_iter().filter(|(name, _)| !is_statistic(name)) {
                    let bits = |t: &Tensor| {
                        let flat = t.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
                        flat.to_vec1::<f64>().unwrap().into_iter().map(f64::to_bits).collect::<Vec<_>>()
                    };
                    match some.get(&var) {
                        None => assert!(frozen.contains(&name), "{name}"),
                        Some(gradient) => {
                            assert!(!frozen.contains(&name), "{name}");
                            assert_eq!(bits(gradient), bits(all.get(&var).unwrap()), "{name}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_set_later_reaches_the_network() {
        let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
        let whole = network(vb).unwrap();
        let frozen = names(&["a.weight", "a.bias", "b.bias"]);
        let part = network(untracked(&vars, &frozen, DType::F32, &Device::Cpu)).unwrap();
        for var in vars.all_vars() {
            var.set(&(var.as_detached_tensor() * 1.5).unwrap()).unwrap();
        }
        let x = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let out = |network: &Sequential| network.forward_t(&x, false).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(out(&part), out(&whole));
    }

    #[test]
    fn frozen_batch_normalization_uses_its_statistics_in_training() {
        let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
        let whole = network(vb).unwrap();
        let x = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((4, 3)).unwrap();
        let out =
            |network: &Sequential, train| network.forward_t(&x, train).unwrap().to_vec2::<f32>().unwrap();
        let (before, evaluated) = (vars.snapshot().unwrap(), out(&whole, false));
        let frozen = names(&["norm.running_mean", "norm.running_var"]);
        let build = || network(untracked(&vars, &frozen, DType::F32, &Device::Cpu));
        let part = with_frozen_statistics(&frozen, build).unwrap();
        assert_eq!(out(&part, true), evaluated);
        let mean = |weights: &crate::weights::Weights| weights["norm.running_mean"].to_vec1::<f32>().unwrap();
        assert_eq!(mean(&vars.snapshot().unwrap()), mean(&before));
        // Outside of the constructor nothing is frozen.
        assert_ne!(out(&build().unwrap(), true), evaluated);
        assert_ne!(mean(&vars.snapshot().unwrap()), mean(&before));
    }

    #[test]
    fn another_constructor_is_an_error() {
        let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
        network(vb).unwrap();
        let vb = || untracked(&vars, &BTreeSet::new(), DType::F32, &Device::Cpu);
        let e = linear(3, 4, vb().pp("c")).unwrap_err().to_string();
        assert!(e.contains("did not ask for a variable `c.weight`"), "{e}");
        let e = linear(4, 4, vb().pp("a")).unwrap_err().to_string();
        assert!(e.contains("a.weight has shape [4, 3]"), "{e}");
        assert!(vb().contains_tensor("a.weight") && !vb().contains_tensor("c.weight"));
    }
}
