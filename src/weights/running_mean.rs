//! An average of networks that moves towards one network after the other: what [`Swa`](super::Swa),
//! [`Ema`](super::Ema), [`Average`](super::Average) and SWAG share.
use crate::{
    codec,
    files::{read_tensors, TensorFile},
    kernels::{
        cpu::{contiguous, Elements, FloatLoop},
        simd::vectorized,
    },
    threads,
    weights::{
        compatibility::{differences, is_averaged, refuse_differences, Kind, Kinds},
        finite::first_non_finite,
        NamedTensors, Weights,
    },
    Error, Result,
};
use candle_core::{DType, Device, Shape, Tensor, Var, WithDType};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind of file that a saved average is.
const KIND: &str = "average";

/// Elements of one unit of parallel work.
const PIECE: usize = 1 << 15;
/// The size of a network, in elements, from which an update is worth more than one core.
const LARGE: usize = 1 << 19;

/// The precision in which an average is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Precision {
    /// f64 for f64 tensors, f32 for all others. An update costs as much as adding the network would.
    Single,
    /// f64 for all tensors.
    Double,
}

/// The average of some networks, tensor by tensor.
#[derive(Debug)]
pub(crate) struct RunningMean {
    precision: Precision,
    tensors: BTreeMap<String, TensorMean>,
    /// The number of elements of a network.
    elements: usize,
    count: u64,
}

/// The average of one tensor.
#[derive(Debug)]
struct TensorMean {
    /// The dtype of the networks' tensors.
    dtype: DType,
    shape: Shape,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// A tensor that is not averaged: that of the newest network.
    Newest(Var),
}

impl RunningMean {
    pub(crate) fn new(precision: Precision) -> Self {
        Self { precision, tensors: BTreeMap::new(), elements: 0, count: 0 }
    }

    /// The number of networks that were added.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// The average of a tensor, if it is kept in f64.
    pub(crate) fn f64_values(&self, name: &str) -> Option<&[f64]> {
        match &self.tensors.get(name)?.values {
            Values::F64(values) => Some(values),
            _ => None,
        }
    }

    /// Moves the average towards a network: `θ̄ ← θ̄ + (θ − θ̄)·share`. The first network is copied.
    pub(crate) fn push(&mut self, network: &impl NamedTensors, share: f64) -> Result<()> {
        if self.count == 0 {
            let tensors = self.copied(network)?;
            self.elements = tensors.values().map(|mean| mean.shape.elem_count()).sum();
            self.tensors = tensors;
        } else {
            self.check(network)?;
            let large = self.elements >= LARGE;
            let tensors = &mut self.tensors;
            let mut update = |parallel| {
                network.each(&mut |name, tensor| match tensors.get_mut(name) {
                    Some(mean) => mean.move_towards(tensor, share, parallel),
                    None => Ok(()),
                })
            };
            match large {
                true => threads::wide(|| update(true))?,
                false => update(false)?,
            }
        }
        self.count += 1;
        Ok(())
    }

    fn copied(&self, network: &impl NamedTensors) -> Result<BTreeMap<String, TensorMean>> {
        let mut tensors = BTreeMap::new();
        network.each(&mut |name, tensor| {
            tensors.insert(name.to_string(), TensorMean::new(tensor, self.precision)?);
            Ok(())
        })?;
        Ok(tensors)
    }

    /// Checks that the network has the names, shapes and dtypes of those before it.
    fn check(&self, network: &impl NamedTensors) -> Result<()> {
        let (mut names, mut matches) = (0, true);
        network.each(&mut |name, tensor| {
            names += 1;
            let mean = self.tensors.get(name);
            matches &= mean.is_some_and(|m| m.dtype == tensor.dtype() && m.shape == *tensor.shape());
            Ok(())
        })?;
        if matches && names == self.tensors.len() {
            return Ok(());
        }
        let mut kinds = Kinds::new();
        network.each(&mut |name, tensor| {
            kinds.insert(name.into(), Kind::of(tensor));
            Ok(())
        })?;
        refuse_differences(&differences(&self.kinds(), &kinds))
    }

    fn kinds(&self) -> Kinds {
        self.tensors.iter().map(|(name, mean)| (name.clone(), mean.kind())).collect()
    }

    /// The average as a network, in the networks' dtypes.
    pub(crate) fn weights(&self) -> Result<Weights> {
        if self.count == 0 {
            return Err(Error::invalid("the number of networks averaged", "at least 1", 0));
        }
        let cast = self.tensors.iter().map(|(name, mean)| {
            let tensor = mean.tensor()?.to_dtype(mean.dtype)?;
            mean.check_finite(name, &tensor)?;
            Ok((name.clone(), tensor))
        });
        cast.collect()
    }

    /// The state as bytes: everything that the next push depends on.
    pub(super) fn save(&self) -> Result<Vec<u8>> {
        let exact = self.tensors.iter().map(|(name, mean)| Ok((name.clone(), mean.tensor()?)));
        let dtypes = self.tensors.values().map(|mean| mean.dtype.as_str().to_string()).collect();
        codec::encode(&Saved {
            count: self.count,
            dtypes,
            values: TensorFile::new(KIND, "", exact.collect::<Result<Vec<_>>>()?)?.to_bytes()?,
        })
    }

    /// The average whose state was [saved](Self::save).
    pub(super) fn restore(bytes: &[u8]) -> Result<Self> {
        let saved: Saved = codec::decode(bytes).map_err(foreign)?;
        let exact =
            read_tensors(KIND, &saved.values).map_err(|fault| fault.of("the running average"))?.tensors;
        if exact.len() != saved.dtypes.len() {
            return Err(foreign("it has another number of tensors than of dtypes".into()));
        }
        let mut running = Self::new(Precision::Single);
        for ((name, tensor), dtype) in exact.into_iter().zip(&saved.dtypes) {
            let dtype = dtype.parse::<DType>().map_err(|e| foreign(e.to_string()))?;
            running.elements += tensor.elem_count();
            running
                .tensors
                .insert(name, TensorMean { dtype, ..TensorMean::new(&tensor, Precision::Single)? });
        }
        running.count = saved.count;
        Ok(running)
    }
}

impl TensorMean {
    fn new(tensor: &Tensor, precision: Precision) -> Result<Self> {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
        let values = match (dtype, precision) {
            (dtype, _) if !is_averaged(dtype) => {
                Values::Newest(Var::from_tensor(&contiguous(tensor)?.copy()?.detach())?)
            }
            (DType::F64, _) | (_, Precision::Double) => {
                Values::F64(contiguous(tensor)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
            }
            _ => Values::F32(contiguous(tensor)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?),
        };
        Ok(Self { dtype, shape, values })
    }

    fn kind(&self) -> Kind {
        Kind { dtype: self.dtype.into(), shape: self.shape.dims().to_vec() }
    }

    fn move_towards(&mut self, tensor: &Tensor, share: f64, parallel: bool) -> Result<()> {
        if let Values::Newest(newest) = &self.values {
            return Ok(newest.set(&contiguous(tensor)?)?);
        }
        let tensor = contiguous(tensor)?;
        Elements::of(&tensor)?.run(MoveTowards { mean: &mut self.values, share, parallel })
    }

    /// The average in the precision in which it is kept.
    fn tensor(&self) -> Result<Tensor> {
        let shape = self.shape.clone();
        Ok(match &self.values {
            Values::F32(values) => Tensor::from_slice(values, shape, &Device::Cpu)?,
            Values::F64(values) => Tensor::from_slice(values, shape, &Device::Cpu)?,
            Values::Newest(newest) => newest.copy()?.detach(),
        })
    }

    fn check_finite(&self, name: &str, cast: &Tensor) -> Result<()> {
        if matches!(self.values, Values::Newest(_)) {
            return Ok(());
        }
        match first_non_finite(cast)? {
            Some(found) => Err(Error::invalid(format!("the average of {name}"), "finite", found.value)),
            None => Ok(()),
        }
    }
}

/// The loop that moves an average towards a tensor.
struct MoveTowards<'a> {
    mean: &'a mut Values,
    share: f64,
    parallel: bool,
}

impl FloatLoop for MoveTowards<'_> {
    type Out = ();

    fn run<T: WithDType>(
        self,
        x: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<()> {
        let share = self.share;
        match self.mean {
            Values::F32(mean) => in_pieces(mean, x, self.parallel, |mean, x| {
                // Exact: tensors that are averaged in f32 have at most its precision.
                let (load, share) = (
                    #[inline(always)]
                    |x| load(x) as f32,
                    share as f32,
                );
                vectorized(
                    #[inline(always)]
                    || move_slice_towards(mean, x, share, load),
                );
            }),
            Values::F64(mean) => in_pieces(mean, x, self.parallel, |mean, x| {
                vectorized(
                    #[inline(always)]
                    || move_slice_towards(mean, x, share, load),
                );
            }),
            Values::Newest(_) => {}
        }
        Ok(())
    }
}

/// Calls `work` with pairs of parts of the two slices, on all threads of the pool if `parallel`.
fn in_pieces<A: Send, T: Sync>(
    mean: &mut [A],
    x: &[T],
    parallel: bool,
    work: impl Fn(&mut [A], &[T]) + Sync,
) {
    if parallel && x.len() > PIECE {
        mean.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(mean, x)| work(mean, x));
    } else {
        work(mean, x);
    }
}

#[inline(always)]
fn move_slice_towards<A: WithDType, T: Copy>(mean: &mut [A], x: &[T], share: A, load: impl Fn(T) -> A) {
    let pairs = mean.iter_mut().zip(x);
    // Not `m + (x − m)`, which differs from `x` where `m` is much larger than `x`.
    if share == A::one() {
        pairs.for_each(
            #[inline(always)]
            |(m, x)| *m = load(*x),
        );
    } else {
        pairs.for_each(
            #[inline(always)]
            |(m, x)| *m = *m + (load(*x) - *m) * share,
        );
    }
}

/// The state of an average, as it is saved.
#[derive(Serialize, Deserialize)]
struct Saved {
    count: u64,
    /// The dtypes of the networks' tensors, in the order of names.
    dtypes: Vec<String>,
    /// A safetensors buffer of the averages, in the precision in which they are kept.
    values: Vec<u8>,
}

fn foreign(why: String) -> Error {
    Error::Foreign { what: "the state of a running average".into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::testing::{first, one, path};
    use crate::weights::{Ema, Swa};
    use candle_nn::VarMap;
    use std::collections::HashMap;

    #[test]
    fn f16_and_bf16_are_averaged_in_f32() -> Result<()> {
        // In bf16 itself, 256 + (257 − 256)/n would stay at 256.
        let mut ema = Ema::new(0.99)?;
        ema.push(&one(256., DType::BF16))?;
        for _ in 0..1000 {
            ema.push(&one(258., DType::BF16))?;
        }
        assert_eq!(first(&ema.weights()?), 258.);
        Ok(())
    }

    #[test]
    fn all_kinds_of_maps_give_the_same_average() -> Result<()> {
        let map = VarMap::new();
        let vars = candle_nn::VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        candle_nn::linear(3, 2, vars.pp("a"))?;
        candle_nn::linear(2, 2, vars.pp("b"))?;
        let data = map.data().lock().unwrap().clone();
        let hashed: HashMap<String, Tensor> =
            data.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect();
        let sorted: Weights = hashed.clone().into_iter().collect();
        let mut swas = [Swa::new(), Swa::new(), Swa::new()];
        for _ in 0..3 {
            swas[0].push(&map)?;
            swas[1].push(&hashed)?;
            swas[2].push(&sorted)?;
            for var in data.values() {
                var.set(&(var.as_detached_tensor() * 1.5)?)?; // the clones of the map share the variables
            }
        }
        let bytes = swas.iter().map(Swa::save).collect::<Result<Vec<_>>>()?;
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
        Ok(())
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() -> Result<()> {
        let network = |i: u32| -> Result<Weights> {
            let t = |n: usize| {
                Tensor::arange(0u32, n as u32, &Device::Cpu)?
                    .to_dtype(DType::F32)?
                    .affine(0.01, f64::from(i))?
                    .sin()
            };
            Ok(Weights::from([
                ("a".into(), t(LARGE + 13)?),
                ("b".into(), t(PIECE - 1)?),
                ("c".into(), t(0)?),
            ]))
        };
        let run = || -> Result<Vec<u8>> {
            let mut ema = Ema::new(0.7)?;
            (0..4).try_for_each(|i| ema.push(&network(i)?))?;
            ema.save()
        };
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(run()?, single.install(run)?);
        Ok(())
    }

    #[test]
    fn an_incompatible_network_changes_nothing() -> Result<()> {
        let mut swa = Swa::new();
        swa.push(&one(1., DType::F32))?;
        let before = swa.save()?;
        let mut more = one(3., DType::F32);
        more.insert("v".into(), Tensor::new(1f32, &Device::Cpu)?);
        for other in [one(2., DType::F16), Weights::new(), more] {
            let e = swa.push(&other).unwrap_err().to_string();
            assert!(e.contains("w is") || e.contains("v is not of this model"), "{e}");
        }
        assert_eq!(swa.save()?, before);
        assert!(Swa::new().weights().is_err());
        let mut bad = Swa::new();
        bad.push(&one(f64::NAN, DType::F32))?;
        assert!(bad.weights().unwrap_err().to_string().contains("average of w"));
        Ok(())
    }

    #[test]
    fn integers_are_copies_of_the_newest() -> Result<()> {
        let step = Var::new(&[7u32], &Device::Cpu)?;
        let network = Weights::from([("n".to_string(), step.as_tensor().clone())]);
        let mut swa = Swa::new();
        swa.push(&network)?;
        step.set(&Tensor::new(&[8u32], &Device::Cpu)?)?;
        assert_eq!(swa.weights()?["n"].to_vec1::<u32>()?, [7]);
        swa.push(&network)?;
        assert_eq!(swa.weights()?["n"].to_vec1::<u32>()?, [8]);
        Ok(())
    }

    #[test]
    fn a_restored_average_continues_to_the_same_bytes() -> Result<()> {
        let network = |w: f64| {
            let mut network = one(w, DType::BF16);
            network.insert("n".into(), Tensor::new(w as u32, &Device::Cpu).unwrap());
            network.insert("d".into(), Tensor::new(w, &Device::Cpu).unwrap());
            network
        };
        let (mut whole, mut cut) = (Ema::new(0.9)?, Ema::new(0.9)?);
        for (i, w) in path(9).enumerate() {
            whole.push(&network(w))?;
            cut.push(&network(w))?;
            if i % 4 == 0 {
                cut = Ema::new(0.9)?.restore(&cut.save()?)?;
            }
        }
        assert_eq!(whole.save()?, cut.save()?);
        assert_eq!(cut.count(), 9);
        let empty = Swa::restore(&Swa::new().save()?)?;
        assert_eq!(empty.count(), 0);
        assert!(Swa::restore(b"nonsense").is_err());
        Ok(())
    }
}
