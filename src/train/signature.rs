//! The signature of a network: the variables that its constructor requests, found without allocating them.
//!
//! A constructor is called with a `VarBuilder` that records the name, type, shape and initialization of each
//! variable and returns a broadcast zero. The signature is part of the key of every member, so a store
//! refuses the members of another network.
use crate::{
    codec,
    plan::{RunSpec, Settings},
    train::Learner,
    Result,
};
use candle_core::{bail, DType, Device, Result as CandleResult, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::{
    collections::{btree_map::Entry, BTreeMap},
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

/// Type, shape and initialization of each requested variable, by name.
pub(crate) type Requested = BTreeMap<String, (DType, Shape, Init)>;

/// The signature of the network of each run; see [`of_run`]. The constructor is called once for each distinct
/// architecture and settings.
pub(crate) fn of_runs<L: Learner>(learner: &L, runs: &[RunSpec], device: &Device) -> Result<Vec<Arc<str>>> {
    let mut known = BTreeMap::<_, Arc<str>>::new();
    let signature = |run: &RunSpec| {
        Ok(match known.entry((run.architecture.clone(), codec::encode(&run.settings)?)) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                new.insert(of_run(learner, run, device).map_err(|e| e.in_run(run.id))?.into()).clone()
            }
        })
    };
    runs.iter().map(signature).collect()
}

/// The signature of the network of a run, as one line: its architecture, the number of its variables and of
/// their elements, and a hash of the variables' names, types, shapes and initializations.
fn of_run<L: Learner>(learner: &L, run: &RunSpec, device: &Device) -> Result<String> {
    let requested = requested(learner, &run.architecture, &run.settings, device)?;
    let (mut list, mut elements) = (String::new(), 0);
    for (name, (dtype, shape, init)) in &requested {
        elements += shape.elem_count();
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{name:?} {dtype:?} {:?} {init:?}", shape.dims());
    }
    let hash = blake3::hash(list.as_bytes()).to_hex();
    let (architecture, count) = (&run.architecture, requested.len());
    Ok(format!("{architecture:?}, {count} variables of {elements} numbers, {}", &hash[..16]))
}

/// The variables that the constructor of an architecture requests.
pub(crate) fn requested<L: Learner>(
    learner: &L,
    architecture: &str,
    settings: &Settings,
    device: &Device,
) -> Result<Requested> {
    let recorder = ShapeRecorder::default();
    let vb = VarBuilder::from_backend(Box::new(recorder.clone()), learner.dtype(), device.clone());
    learner.build(architecture, settings, vb)?;
    let requested = recorder.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(requested)
}

/// Records each requested variable, and returns one zero that is broadcast to the variable's shape.
#[derive(Clone, Default)]
struct ShapeRecorder(Arc<Mutex<Requested>>);

impl SimpleBackend for ShapeRecorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> CandleResult<Tensor> {
        let zero = Tensor::zeros((), dtype, device)?.broadcast_as(&shape)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), (dtype, shape, init));
        Ok(zero)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> CandleResult<Tensor> {
        let requested = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match requested.get(name) {
            Some((_, shape, _)) => Tensor::zeros((), dtype, device)?.broadcast_as(shape),
            None => bail!("the variable {name} does not exist yet, and cannot be created without a shape"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{train::Trainer, Seed};
    use candle_nn::{batch_norm, linear, linear_no_bias, ModuleT};

    fn signature(
        new: impl Fn(VarBuilder<'static>) -> CandleResult<crate::AnyNetwork> + Send + Sync + 'static,
    ) -> String {
        of_run(&Trainer::new(new), &RunSpec::new(0, "model", Seed::from(1), vec![0]), &Device::Cpu).unwrap()
    }

    fn boxed(network: impl ModuleT + Send + Sync + 'static) -> crate::AnyNetwork {
        crate::AnyNetwork::new(network)
    }

    #[test]
    fn the_signature_shows_every_property_of_the_variables() {
        let plain = signature(|vb| Ok(boxed(linear(3, 2, vb.pp("a"))?)));
        assert!(plain.starts_with("\"model\", 2 variables of 8 numbers, "), "{plain}");
        assert_eq!(plain, signature(|vb| Ok(boxed(linear(3, 2, vb.pp("a"))?))));
        let others = [
            signature(|vb| Ok(boxed(linear(2, 3, vb.pp("a"))?))),
            signature(|vb| Ok(boxed(linear(3, 2, vb.pp("b"))?))),
            signature(|vb| Ok(boxed(linear_no_bias(3, 2, vb.pp("a"))?))),
            signature(|vb| Ok(boxed(linear(3, 2, vb.pp("a").to_dtype(DType::F64))?))),
            signature(|vb| {
                let ones = vb.pp("a").get_with_hints((2, 3), "weight", Init::Const(1.))?;
                Ok(boxed(candle_nn::Linear::new(ones, Some(vb.pp("a").get(2, "bias")?))))
            }),
        ];
        assert!(others.iter().all(|other| *other != plain), "{plain} {others:?}");
    }

    #[test]
    fn constructors_that_turn_tensors_into_variables_work() {
        assert!(signature(|vb| Ok(boxed(batch_norm(4, 1e-5, vb)?))).contains("4 variables of 16 numbers"));
    }

    #[test]
    fn a_constructor_that_fails_is_an_error() {
        let trainer = Trainer::new(|_| -> CandleResult<candle_nn::Linear> { bail!("no such width") });
        let run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
        assert!(of_run(&trainer, &run, &Device::Cpu).unwrap_err().to_string().contains("no such width"));
    }
}
