//! What a network is made of, without making it: the variables that its constructor asks for.
use crate::{codec, plan::RunSpec, train::Learner, Result};
use candle_core::{bail, DType, Device, Result as CandleResult, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::{
    collections::{btree_map::Entry, BTreeMap},
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

/// Name, type, shape and initial law of each variable, by name.
type Asked = Arc<Mutex<BTreeMap<String, (DType, Shape, Init)>>>;

/// The network of each run; see [`of`]. A constructor is called once for each of its settings.
pub(crate) fn of_runs<L: Learner>(learner: &L, runs: &[RunSpec], device: &Device) -> Result<Vec<String>> {
    let mut known = BTreeMap::<_, String>::new();
    let network = |run: &RunSpec| {
        Ok(match known.entry((run.architecture.clone(), codec::encode(&run.settings)?)) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(of(learner, run, device).map_err(|e| e.in_run(run.id))?).clone(),
        })
    };
    runs.iter().map(network).collect()
}

/// The network of a run in a line: its architecture, the number of its variables and of the numbers in them, and a
/// hash of their names, types, shapes and initial laws. Nothing of their size is allocated.
fn of<L: Learner>(learner: &L, run: &RunSpec, device: &Device) -> Result<String> {
    let asked = Asked::default();
    let vb =
        VarBuilder::from_backend(Box::new(ShapeRecorder(asked.clone())), learner.dtype(), device.clone());
    learner.build(&run.architecture, &run.settings, vb)?;
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut list, mut numbers) = (String::new(), 0);
    for (name, (dtype, shape, init)) in &*asked {
        numbers += shape.elem_count();
        // Writing to a text cannot fail.
        let _ = writeln!(list, "{name:?} {dtype:?} {:?} {init:?}", shape.dims());
    }
    let hash = blake3::hash(list.as_bytes()).to_hex();
    Ok(format!("{:?}, {} variables of {numbers} numbers, {}", run.architecture, asked.len(), &hash[..16]))
}

/// Notes what is asked for, and gives one zero that looks like as many.
struct ShapeRecorder(Asked);

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
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.get(name) {
            Some((_, shape, _)) => Tensor::zeros((), dtype, device)?.broadcast_as(shape),
            None => bail!("{name} has not been made yet, and without a shape it cannot be"),
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

    fn print(
        new: impl Fn(VarBuilder<'_>) -> CandleResult<crate::AnyNetwork> + Send + Sync + 'static,
    ) -> String {
        of(&Trainer::new(new), &RunSpec::new(0, "model", Seed::from(1), vec![0]), &Device::Cpu).unwrap()
    }

    fn boxed(network: impl ModuleT + 'static) -> crate::AnyNetwork {
        crate::AnyNetwork::new(network)
    }

    #[test]
    fn whatever_the_constructor_declares_shows() {
        let plain = print(|vb| Ok(boxed(linear(3, 2, vb.pp("a"))?)));
        assert!(plain.starts_with("\"model\", 2 variables of 8 numbers, "), "{plain}");
        assert_eq!(plain, print(|vb| Ok(boxed(linear(3, 2, vb.pp("a"))?))));
        let others = [
            print(|vb| Ok(boxed(linear(2, 3, vb.pp("a"))?))),
            print(|vb| Ok(boxed(linear(3, 2, vb.pp("b"))?))),
            print(|vb| Ok(boxed(linear_no_bias(3, 2, vb.pp("a"))?))),
            print(|vb| Ok(boxed(linear(3, 2, vb.pp("a").to_dtype(DType::F64))?))),
            print(|vb| {
                let ones = vb.pp("a").get_with_hints((2, 3), "weight", Init::Const(1.))?;
                Ok(boxed(candle_nn::Linear::new(ones, Some(vb.pp("a").get(2, "bias")?))))
            }),
        ];
        assert!(others.iter().all(|other| *other != plain), "{plain} {others:?}");
    }

    #[test]
    fn constructors_that_make_variables_of_what_they_get_work() {
        assert!(print(|vb| Ok(boxed(batch_norm(4, 1e-5, vb)?))).contains("4 variables of 16 numbers"));
    }

    #[test]
    fn a_constructor_that_fails_is_an_error() {
        let trainer = Trainer::new(|_| -> CandleResult<candle_nn::Linear> { bail!("no such width") });
        let run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
        assert!(of(&trainer, &run, &Device::Cpu).unwrap_err().to_string().contains("no such width"));
    }
}
