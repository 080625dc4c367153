//! Averages that follow a training: stochastic weight averaging and exponential moving averages.
use crate::{
    codec,
    files::{read_tensors, TensorFile},
    kernels::{
        real::vectorized,
        slices::{self, dense, Held, Loop},
    },
    threads,
    weights::{
        compatibility::{differences, is_averaged, unlike, Kind, Kinds},
        NamedTensors, Weights,
    },
    Error, Result,
};
use candle_core::{DType, Device, Shape, Tensor, Var, WithDType};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the bytes of an average call themselves.
const KIND: &str = "average";

/// Numbers of one piece of parallel work.
const PIECE: usize = 1 << 15;
/// Numbers of a network from which on the update is worth more than one core.
const LARGE: usize = 1 << 19;

/// What an average is kept in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Precision {
    /// f32, and f64 for f64: an update costs what adding the network would.
    Single,
    /// f64.
    Double,
}

/// Averages by name, moved towards one network after the other.
#[derive(Debug)]
pub(crate) struct Running {
    precision: Precision,
    tensors: BTreeMap<String, Mean>,
    numbers: usize,
    count: u64,
}

/// The average of one tensor.
#[derive(Debug)]
struct Mean {
    /// The networks'.
    dtype: DType,
    shape: Shape,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Not averaged: the newest.
    Newest(Var),
}

impl Running {
    pub(crate) fn new(precision: Precision) -> Self {
        Self { precision, tensors: BTreeMap::new(), numbers: 0, count: 0 }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The average of a tensor that is kept in f64.
    pub(crate) fn doubles(&self, name: &str) -> Option<&[f64]> {
        match &self.tensors.get(name)?.values {
            Values::F64(values) => Some(values),
            _ => None,
        }
    }

    /// `θ̄ ← θ̄ + (θ − θ̄)·share`; the first network is copied.
    pub(crate) fn push(&mut self, network: &impl NamedTensors, share: f64) -> Result<()> {
        if self.count == 0 {
            let tensors = self.started(network)?;
            self.numbers = tensors.values().map(|mean| mean.shape.elem_count()).sum();
            self.tensors = tensors;
        } else {
            self.check(network)?;
            let large = self.numbers >= LARGE;
            let tensors = &mut self.tensors;
            let mut update = |parallel| {
                network.each(&mut |name, tensor| match tensors.get_mut(name) {
                    Some(mean) => mean.towards(tensor, share, parallel),
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

    fn started(&self, network: &impl NamedTensors) -> Result<BTreeMap<String, Mean>> {
        let mut tensors = BTreeMap::new();
        network.each(&mut |name, tensor| {
            tensors.insert(name.to_string(), Mean::of(tensor, self.precision)?);
            Ok(())
        })?;
        Ok(tensors)
    }

    /// The network has to be like those before it. Costs nothing where it is.
    fn check(&self, network: &impl NamedTensors) -> Result<()> {
        let (mut names, mut alike) = (0, true);
        network.each(&mut |name, tensor| {
            names += 1;
            let mean = self.tensors.get(name);
            alike &= mean.is_some_and(|m| m.dtype == tensor.dtype() && m.shape == *tensor.shape());
            Ok(())
        })?;
        if alike && names == self.tensors.len() {
            return Ok(());
        }
        let mut its = Kinds::new();
        network.each(&mut |name, tensor| {
            its.insert(name.into(), Kind::of(tensor));
            Ok(())
        })?;
        unlike(&differences(&self.kinds(), &its))
    }

    fn kinds(&self) -> Kinds {
        self.tensors.iter().map(|(name, mean)| (name.clone(), mean.kind())).collect()
    }

    /// The averages in the networks' dtypes.
    pub(crate) fn weights(&self) -> Result<Weights> {
        if self.count == 0 {
            return Err(Error::invalid("an average", "of at least one network", 0));
        }
        let cast = self.tensors.iter().map(|(name, mean)| {
            let tensor = mean.tensor()?.to_dtype(mean.dtype)?;
            mean.check_finite(name, &tensor)?;
            Ok((name.clone(), tensor))
        });
        cast.collect()
    }

    /// Everything that the next push depends on.
    fn save(&self) -> Result<Saved> {
        let exact = self.tensors.iter().map(|(name, mean)| Ok((name.clone(), mean.tensor()?)));
        let dtypes = self.tensors.values().map(|mean| mean.dtype.as_str().to_string()).collect();
        Ok(Saved {
            count: self.count,
            dtypes,
            values: TensorFile::new(KIND, "", exact.collect::<Result<Vec<_>>>()?)?.to_bytes()?,
        })
    }

    fn restore(saved: &Saved) -> Result<Self> {
        let exact =
            read_tensors(KIND, &saved.values).map_err(|error| error.of("the running average"))?.tensors;
        if exact.len() != saved.dtypes.len() {
            return Err(foreign("its parts do not go together".into()));
        }
        let mut running = Self::new(Precision::Single);
        for ((name, tensor), dtype) in exact.into_iter().zip(&saved.dtypes) {
            let dtype = dtype.parse::<DType>().map_err(|e| foreign(e.to_string()))?;
            running.numbers += tensor.elem_count();
            running.tensors.insert(name, Mean { dtype, ..Mean::of(&tensor, Precision::Single)? });
        }
        running.count = saved.count;
        Ok(running)
    }
}

impl Mean {
    fn of(tensor: &Tensor, precision: Precision) -> Result<Self> {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
        let values = match (dtype, precision) {
            (dtype, _) if !is_averaged(dtype) => {
                Values::Newest(Var::from_tensor(&dense(tensor)?.copy()?.detach())?)
            }
            (DType::F64, _) | (_, Precision::Double) => {
                Values::F64(dense(tensor)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
            }
            _ => Values::F32(dense(tensor)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?),
        };
        Ok(Self { dtype, shape, values })
    }

    fn kind(&self) -> Kind {
        Kind { dtype: self.dtype.into(), shape: self.shape.dims().to_vec() }
    }

    fn towards(&mut self, tensor: &Tensor, share: f64, parallel: bool) -> Result<()> {
        if let Values::Newest(newest) = &self.values {
            return Ok(newest.set(&dense(tensor)?)?);
        }
        let tensor = dense(tensor)?;
        let guard = tensor.storage_and_layout();
        let held = Held::of(&guard);
        slices::run(held.storage()?, Towards { mean: &mut self.values, held, share, parallel })
    }

    /// As it is kept.
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
        let guard = cast.storage_and_layout();
        let held = Held::of(&guard);
        match slices::run(held.storage()?, NotFinite { held })? {
            Some(x) => Err(Error::invalid(format!("the average of {name}"), "finite", x)),
            None => Ok(()),
        }
    }
}

/// Moves an average towards a tensor.
struct Towards<'a> {
    mean: &'a mut Values,
    held: Held<'a>,
    share: f64,
    parallel: bool,
}

impl Loop for Towards<'_> {
    type Out = ();

    fn run<T: WithDType>(
        self,
        all: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<()> {
        let (x, share) = (self.held.part(all)?, self.share);
        match self.mean {
            Values::F32(mean) => in_pieces(mean, x, self.parallel, |mean, x| {
                // Exact: what is averaged in f32 is no wider.
                let (load, share) = (
                    #[inline(always)]
                    |x| load(x) as f32,
                    share as f32,
                );
                vectorized(
                    #[inline(always)]
                    || move_towards(mean, x, share, load),
                );
            }),
            Values::F64(mean) => in_pieces(mean, x, self.parallel, |mean, x| {
                vectorized(
                    #[inline(always)]
                    || move_towards(mean, x, share, load),
                );
            }),
            Values::Newest(_) => {}
        }
        Ok(())
    }
}

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
fn move_towards<A: WithDType, T: Copy>(mean: &mut [A], x: &[T], share: A, load: impl Fn(T) -> A) {
    let pairs = mean.iter_mut().zip(x);
    // `m + (x − m)` is not `x` where `m` is much the larger.
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

/// The first number that is not finite.
struct NotFinite<'a> {
    held: Held<'a>,
}

impl Loop for NotFinite<'_> {
    type Out = Option<f64>;

    fn run<T: WithDType>(
        self,
        all: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<Option<f64>> {
        Ok(self.held.part(all)?.iter().map(|x| load(*x)).find(|x| !x.is_finite()))
    }
}

/// The state of an average, as it is written.
#[derive(Serialize, Deserialize)]
struct Saved {
    count: u64,
    /// The networks' own, in the order of names.
    dtypes: Vec<String>,
    /// A safetensors buffer of the averages as they are kept.
    values: Vec<u8>,
}

fn foreign(why: String) -> Error {
    Error::Foreign { what: "the state of a running average".into(), why }
}

/// Stochastic weight averaging: the mean of the networks that a training passes through, `θ̄ ← θ̄ + (θ − θ̄)/(n + 1)`
/// with `n` the networks before this one. The first is copied, and counts once.
///
/// An update is one pass in place, of what adding the network would cost, and nothing is allocated after the first.
/// Called within a pool of threads (where members train side by side) it stays on its core, else it takes all cores
/// for a large network. f16 and bf16 are averaged in f32. Of batch-norm's running statistics the mean is kept like
/// that of weights: re-estimate them for the average ([module](crate::merge)).
///
/// The ready-made trainer does it as a setting ([`Trainer::averaging`](crate::train::Trainer::averaging)).
///
/// Source: Izmailov et al. 2018, arXiv:1803.05407.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{Swa, Weights};
///
/// let mut swa = Swa::new();
/// for w in [1f32, 2., 3., 4.] {
///     // A `VarMap`, too.
///     swa.push(&Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]))?;
/// }
/// assert_eq!(swa.weights()?["w"].to_vec1::<f32>()?, [2.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Swa(Running);

impl Default for Swa {
    fn default() -> Self {
        Self::new()
    }
}

impl Swa {
    /// Of no network yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Running::new(Precision::Single))
    }

    /// Adds a network.
    ///
    /// # Errors
    /// When its names, shapes or dtypes are not those of the networks before; the average is then as it was.
    pub fn push(&mut self, network: &impl NamedTensors) -> Result<()> {
        let share = 1. / (self.0.count as f64 + 1.);
        self.0.push(network, share)
    }

    /// How many networks there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count
    }

    /// The average, in the networks' own dtypes.
    ///
    /// # Errors
    /// When there was no network, or a number is NaN or infinite (its tensor is named).
    pub fn weights(&self) -> Result<Weights> {
        self.0.weights()
    }

    /// The state, for a checkpoint: [`Swa::restore`] goes on from it to the bit.
    ///
    /// # Errors
    /// Those of writing a safetensors buffer.
    pub fn save(&self) -> Result<Vec<u8>> {
        codec::encode(&self.0.save()?)
    }

    /// The average as it was when saved.
    ///
    /// # Errors
    /// When the bytes are not what [`Swa::save`] gave.
    pub fn restore(bytes: &[u8]) -> Result<Self> {
        Ok(Self(Running::restore(&codec::decode(bytes).map_err(foreign)?)?))
    }
}

/// A decay that grows with the steps: `dₛ = 1 − (1 + s/γ)^−p`, at most the average's own, `s` the networks before this
/// one.
///
/// Source: the usual form of the schedule; `γ = 1` and `p = 2/3` suit long trainings (.999 after 31 600 steps), `p =
/// 3/4` shorter ones (.999 after 10 000).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// `γ`, above 0.
    pub gamma: f64,
    /// `p`, above 0.
    pub power: f64,
}

impl Default for WarmUp {
    /// `γ = 1`, `p = 2/3`.
    fn default() -> Self {
        Self { gamma: 1., power: 2. / 3. }
    }
}

/// An exponential moving average of a network's weights, `θ̄ ← d·θ̄ + (1 − d)·θ`. The first network is copied.
///
/// Cost, threads and dtypes are as for [`Swa`]. Push after each step of the optimizer.
///
/// Source: Polyak and Juditsky 1992, doi:10.1137/0330046, for averages over a training; Tarvainen and Valpola 2017,
/// arXiv:1703.01780, for this form.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{Ema, Weights};
///
/// let mut ema = Ema::new(0.75)?;
/// for w in [4f32, 8.] {
///     ema.push(&Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]))?;
/// }
/// assert_eq!(ema.weights()?["w"].to_vec1::<f32>()?, [5.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Ema {
    running: Running,
    decay: f64,
    warm_up: Option<WarmUp>,
}

impl Ema {
    /// Of no network yet; `decay` is from 0 to less than 1.
    ///
    /// # Errors
    /// When it is not.
    pub fn new(decay: f64) -> Result<Self> {
        check_decay(decay)?;
        Ok(Self { running: Running::new(Precision::Single), decay, warm_up: None })
    }

    /// Lets the decay grow to its value.
    ///
    /// # Errors
    /// When `γ` or `p` is not above 0.
    pub fn with_warm_up(mut self, warm_up: WarmUp) -> Result<Self> {
        warm_up.check()?;
        self.warm_up = Some(warm_up);
        Ok(self)
    }

    /// The decay of the next push.
    #[must_use]
    pub fn decay(&self) -> f64 {
        match self.warm_up {
            None => self.decay,
            Some(WarmUp { gamma, power }) => {
                let grown = 1. - (1. + self.running.count as f64 / gamma).powf(-power);
                grown.clamp(0., self.decay)
            }
        }
    }

    /// Adds a network.
    ///
    /// # Errors
    /// When its names, shapes or dtypes are not those of the networks before; the average is then as it was.
    pub fn push(&mut self, network: &impl NamedTensors) -> Result<()> {
        let share = 1. - self.decay();
        self.running.push(network, share)
    }

    /// How many networks there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.running.count
    }

    /// The average, in the networks' own dtypes.
    ///
    /// # Errors
    /// When there was no network, or a number is NaN or infinite (its tensor is named).
    pub fn weights(&self) -> Result<Weights> {
        self.running.weights()
    }

    /// The state, for a checkpoint: [`Ema::restore`] goes on from it to the bit. The decay is no part of it.
    ///
    /// # Errors
    /// Those of writing a safetensors buffer.
    pub fn save(&self) -> Result<Vec<u8>> {
        codec::encode(&self.running.save()?)
    }

    /// This average with the state that was saved.
    ///
    /// # Errors
    /// When the bytes are not what [`Ema::save`] gave.
    pub fn restore(self, bytes: &[u8]) -> Result<Self> {
        Ok(Self { running: Running::restore(&codec::decode(bytes).map_err(foreign)?)?, ..self })
    }
}

/// From 0 to less than 1.
fn check_decay(decay: f64) -> Result<()> {
    match (0. ..1.).contains(&decay) {
        true => Ok(()),
        false => Err(Error::invalid("the decay", "from 0 to less than 1", decay)),
    }
}

impl WarmUp {
    fn check(self) -> Result<()> {
        for (what, value) in [("WarmUp::gamma", self.gamma), ("WarmUp::power", self.power)] {
            if !(value > 0. && value.is_finite()) {
                return Err(Error::invalid(what, "above 0 and finite", value));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::VarMap;
    use std::collections::HashMap;

    fn one(w: f64, dtype: DType) -> Weights {
        Weights::from([(
            "w".into(),
            Tensor::new(&[w, -2. * w], &Device::Cpu).unwrap().to_dtype(dtype).unwrap(),
        )])
    }

    fn first(weights: &Weights) -> f64 {
        weights["w"].to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0]
    }

    fn path(n: u32) -> impl Iterator<Item = f64> {
        (0..n).map(|i| f64::from(i * 37 % 11) * 0.3 - 1.)
    }

    #[test]
    fn swa_counts_the_first_network_once() -> Result<()> {
        let mut swa = Swa::new();
        for w in [1., 2., 3., 4.] {
            swa.push(&one(w, DType::F32))?;
        }
        assert_eq!((first(&swa.weights()?), swa.count()), (2.5, 4));
        Ok(())
    }

    #[test]
    fn ten_updates_in_closed_form() -> Result<()> {
        for (dtype, off) in [(DType::F64, 1e-15), (DType::F32, 3e-7), (DType::F16, 2e-3), (DType::BF16, 1e-2)]
        {
            let (mut swa, mut ema) = (Swa::new(), Ema::new(0.9)?);
            let mut seen = vec![];
            for w in path(10) {
                let network = one(w, dtype);
                seen.push(first(&network));
                swa.push(&network)?;
                ema.push(&network)?;
            }
            let mean = seen.iter().sum::<f64>() / 10.;
            // 0.9⁹·w₀ + 0.1·Σ 0.9^(9 − i)·wᵢ
            let rest: f64 = (1..10).map(|i| 0.1 * 0.9f64.powi(9 - i as i32) * seen[i]).sum();
            let moving = 0.9f64.powi(9) * seen[0] + rest;
            for (got, expected) in [(swa.weights()?, mean), (ema.weights()?, moving)] {
                assert_eq!(got["w"].dtype(), dtype);
                assert!((first(&got) - expected).abs() <= off, "{dtype:?}: {} {expected}", first(&got));
            }
        }
        Ok(())
    }

    #[test]
    fn halves_are_averaged_in_single_precision() -> Result<()> {
        // In bf16 itself, 256 + (257 − 256)/n would stay at 256 for ever.
        let mut ema = Ema::new(0.99)?;
        ema.push(&one(256., DType::BF16))?;
        for _ in 0..1000 {
            ema.push(&one(258., DType::BF16))?;
        }
        assert_eq!(first(&ema.weights()?), 258.);
        Ok(())
    }

    #[test]
    fn the_decay_warms_up() -> Result<()> {
        let warm_up = WarmUp { gamma: 2., power: 0.75 };
        let mut ema = Ema::new(0.8)?.with_warm_up(warm_up)?;
        let mut expected = f64::NAN;
        for (step, w) in path(20).enumerate() {
            let decay = (1. - (1. + step as f64 / 2.).powf(-0.75)).min(0.8);
            assert!((ema.decay() - decay).abs() < 1e-15);
            expected = if step == 0 { w } else { decay * expected + (1. - decay) * w };
            ema.push(&one(w, DType::F64))?;
        }
        assert!((first(&ema.weights()?) - expected).abs() < 1e-14);
        assert_eq!(ema.decay(), 0.8);
        assert!((1. - (1f64 + 31_600.).powf(-2. / 3.) - 0.999).abs() < 1e-6);
        for bad in [WarmUp { gamma: 0., power: 1. }, WarmUp { gamma: 1., power: f64::NAN }] {
            assert!(Ema::new(0.5)?.with_warm_up(bad).is_err());
        }
        assert!(Ema::new(1.).is_err() && Ema::new(-0.1).is_err() && Ema::new(f64::NAN).is_err());
        Ok(())
    }

    #[test]
    fn maps_of_any_kind_give_the_same() -> Result<()> {
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
                var.set(&(var.as_detached_tensor() * 1.5)?)?; // the copies show it, too
            }
        }
        let bytes = swas.iter().map(Swa::save).collect::<Result<Vec<_>>>()?;
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
        Ok(())
    }

    #[test]
    fn large_networks_on_all_cores_give_the_bytes_of_one() -> Result<()> {
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
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(run()?, alone.install(run)?);
        Ok(())
    }

    #[test]
    fn a_network_that_differs_changes_nothing() -> Result<()> {
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
    fn integers_are_the_newest_and_no_alias() -> Result<()> {
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
    fn goes_on_from_what_was_saved() -> Result<()> {
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
