//! Re-estimation of batch-norm's running statistics, for any network with a forward pass.
use crate::{
    seed::pass::seeded_pass,
    threads::in_order,
    weights::{finite::first_non_finite, Vars, Weights},
    Error, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

thread_local! {
    static MEASURING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread re-estimates statistics, which takes variances that are divided by `n − 1`.
pub(crate) fn is_measuring() -> bool {
    MEASURING.get()
}

/// Sets [`is_measuring`] until it is dropped.
struct Measuring(bool);

impl Measuring {
    fn begin() -> Self {
        Self(MEASURING.replace(true))
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        MEASURING.set(self.0);
    }
}

/// A forward pass over rows.
type Forward<'a> = dyn Fn(&[u32]) -> Result<Tensor> + 'a;

/// A network in training mode, with its variables.
pub(crate) struct TrainingNetwork<'a> {
    vars: Vars,
    /// The output for some rows.
    forward: Box<Forward<'a>>,
}

impl<'a> TrainingNetwork<'a> {
    /// A network whose variables are `vars`. What `forward` does depends on them and on its rows alone, so that it does
    /// not matter which rows went before.
    pub(crate) fn new(vars: &Vars, forward: impl Fn(&[u32]) -> Result<Tensor> + 'a) -> Self {
        Self { vars: vars.clone(), forward: Box::new(forward) }
    }

    /// A pass whose random layers draw from the number of its first row, on any thread.
    fn run(&self, rows: &[u32]) -> Result<Tensor> {
        seeded_pass(u64::from(rows.first().copied().unwrap_or(0)), || (self.forward)(rows))
    }
}

/// What builds the network once more on the thread that calls it.
pub(crate) type Build<'a> = dyn Fn() -> Result<TrainingNetwork<'a>> + Sync + 'a;

/// The weights with their running statistics re-estimated over the rows of `parts`, on up to `threads` threads: those
/// besides the calling one run what `build` gives them. The result is the same to the bit. The variables of `own` are
/// left as their last pass set them. See [`merge::re_estimate`](crate::merge::re_estimate()).
pub(crate) fn re_estimate_by(
    own: &TrainingNetwork<'_>,
    build: Option<&Build<'_>>,
    weights: &Weights,
    parts: &[&[u32]],
    threads: usize,
) -> Result<Weights> {
    let _measuring = Measuring::begin();
    own.vars.load(weights)?;
    let Some(first) = parts.first() else { return Ok(weights.clone()) };
    let statistics = Statistics::find(own, weights, first)?;
    if statistics.buffers.is_empty() {
        return Ok(weights.clone());
    }
    let momenta = statistics.momenta(own, first)?;
    let of_part = |network: &TrainingNetwork<'_>, number: usize| {
        let part = parts.get(number).copied().unwrap_or_default();
        Ok::<_, Error>((part.len(), statistics.of_batch(network, &momenta, part)?))
    };
    let helper = || {
        let network = build?().ok()?;
        Some(move |number| of_part(&network, number))
    };
    let mut joined: BTreeMap<&str, Joined> = BTreeMap::new();
    in_order(
        parts.len(),
        if build.is_some() { threads } else { 1 },
        helper,
        |number| of_part(own, number),
        |(rows, of_batch)| {
            for (name, values) in &of_batch {
                let counted = statistics.positions.get(*name).copied().unwrap_or(1.) * rows as f64;
                match mean_of(name).map(|mean| of_batch.get(mean.as_str())) {
                    Some(means) => joined.entry(name).or_default().variance(counted, values, means),
                    None => joined.entry(name).or_default().mean(rows as f64, values),
                }
            }
            Ok(())
        },
    )?;
    let mut all = weights.clone();
    for (name, joined) in joined {
        let values = joined.finish(mean_of(name).is_some());
        statistics.check_finite(name, &values)?;
        if let Some(tensor) = all.get_mut(name) {
            let values = Tensor::from_vec(values, tensor.shape(), &candle_core::Device::Cpu)?;
            *tensor = values.to_dtype(tensor.dtype())?.to_device(tensor.device())?;
        }
    }
    Ok(all)
}

/// The running statistics of a network, found by running it.
struct Statistics {
    buffers: BTreeSet<String>,
    /// The number of elements of a channel in each row, for variances.
    positions: BTreeMap<String, f64>,
    weights: Weights,
}

impl Statistics {
    /// Finds the variables that a training pass changes. A statistic that happens to equal that of the batch
    /// does not change, so there is a second pass, for which every variable that no gradient reaches is
    /// moved.
    fn find(network: &TrainingNetwork<'_>, weights: &Weights, rows: &[u32]) -> Result<Self> {
        let (vars, output) = (&network.vars, network.run(rows)?);
        let nodes = output.sorted_nodes();
        let mut statistics =
            Self { buffers: BTreeSet::new(), positions: BTreeMap::new(), weights: weights.clone() };
        let first = vars.snapshot()?;
        let mut moved = weights.clone();
        for (name, var) in vars.named() {
            let reached = nodes.iter().any(|node| node.id() == var.id());
            if let (false, true, Some(tensor)) = (reached, var.dtype().is_float(), moved.get_mut(&name)) {
                *tensor = (tensor.detach() + 1.)?;
            }
        }
        vars.load(&moved)?;
        drop(network.run(rows)?);
        let second = vars.snapshot()?;
        for (from, to) in [(weights, &first), (&moved, &second)] {
            for (name, tensor) in from.iter().filter(|(_, tensor)| tensor.dtype().is_float()) {
                if to.get(name).map_or(Ok(vec![]), bits)? != bits(tensor)? {
                    statistics.buffers.insert(name.clone());
                }
            }
        }
        let variances = statistics.buffers.iter().filter(|name| mean_of(name).is_some());
        let rows = output.dims().first().copied().unwrap_or(1).max(1) as f64;
        for name in variances {
            let scale = format!("{}weight", name.trim_end_matches("running_var"));
            let scale = vars.named().into_iter().find(|(other, _)| *other == scale);
            if let Some((_, scale)) = scale {
                let channels = scale.elem_count();
                let broad = nodes.iter().rev().find(|node| {
                    node.elem_count() > channels && node.sorted_nodes().iter().any(|n| n.id() == scale.id())
                });
                if let Some(broad) = broad {
                    let each = broad.elem_count() as f64 / channels as f64 / rows;
                    statistics.positions.insert(name.clone(), each);
                }
            }
        }
        Ok(statistics)
    }

    /// Checks that a statistic is finite. If it is not, a weight that is not finite is named in its place.
    fn check_finite(&self, name: &str, values: &[f64]) -> Result<()> {
        let Some((channel, odd)) = values.iter().enumerate().find(|(_, x)| !x.is_finite()) else {
            return Ok(());
        };
        for (other, tensor) in self.weights.iter().filter(|(other, _)| !self.buffers.contains(*other)) {
            if let Some(found) = first_non_finite(tensor)? {
                let must = "finite for the statistics of batch normalization to be measured";
                return Err(Error::invalid(format!("`{other}`{:?}", found.position), must, found.value));
            }
        }
        let must = "finite (the layer's inputs are NaN, infinite, or too large for their type)";
        Err(Error::invalid(format!("`{name}`[{channel}] over the rows"), must, odd))
    }

    /// Sets the statistics to `f` of the given ones, and all other variables to the given weights.
    fn set(&self, vars: &Vars, f: impl Fn(&Tensor) -> CandleResult<Tensor>) -> Result<()> {
        let mut all = self.weights.clone();
        for (_, tensor) in all.iter_mut().filter(|(name, _)| self.buffers.contains(*name)) {
            *tensor = f(tensor)?;
        }
        vars.load(&all)
    }

    /// The statistics of one batch, by name.
    fn of_batch<'m>(
        &self,
        network: &TrainingNetwork<'_>,
        momenta: &'m BTreeMap<String, f64>,
        rows: &[u32],
    ) -> Result<BTreeMap<&'m str, Vec<f64>>> {
        let _measuring = Measuring::begin();
        self.set(&network.vars, Tensor::zeros_like)?;
        drop(network.run(rows)?);
        let mut of_batch = BTreeMap::new();
        network.vars.visit(|name, var| {
            if let Some((name, momentum)) = momenta.get_key_value(name) {
                of_batch.insert(name.as_str(), numbers(var)?.into_iter().map(|x| x / momentum).collect());
            }
            Ok(())
        })?;
        Ok(of_batch)
    }

    /// The momentum `m` of each statistic. From a huge old value, the pass leaves `1 − m` times that value,
    /// beside which the statistic of the batch is negligible.
    fn momenta(&self, network: &TrainingNetwork<'_>, rows: &[u32]) -> Result<BTreeMap<String, f64>> {
        const HUGE: f64 = (1u64 << 60) as f64;
        self.set(&network.vars, |tensor| tensor.zeros_like()? + HUGE)?;
        drop(network.run(rows)?);
        let found = network.vars.snapshot()?;
        let momentum = |name: &String| {
            let Some(tensor) = found.get(name) else { return Ok((name.clone(), 1.)) };
            self.check_finite(name, &numbers(tensor)?)?;
            let rounding = if tensor.dtype() == DType::F64 { 1e-12 } else { f64::from(f32::EPSILON) };
            let kept: Vec<f64> = numbers(tensor)?.into_iter().map(|x| x / HUGE).collect();
            let (low, high) = kept
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
            if !(high - low <= rounding && low > -rounding && high < 1. - rounding) {
                let got = format!("one that keeps {low} to {high} of its old values");
                return Err(Error::invalid(
                    format!("{name}, which training passes change"),
                    "a running mean with a momentum above 0",
                    got,
                ));
            }
            Ok((name.clone(), shortest(1. - low, rounding)))
        };
        self.buffers.iter().map(momentum).collect()
    }
}

/// The number with the fewest digits within `rounding` of `x`: the momentum as it is written in a program.
pub(crate) fn shortest(x: f64, rounding: f64) -> f64 {
    let rounded = |digits: usize| format!("{x:.digits$e}").parse::<f64>().ok();
    (0..17).filter_map(rounded).find(|short| (short - x).abs() <= rounding && *short > 0.).unwrap_or(x)
}

/// The name of the running mean that belongs to a running variance.
fn mean_of(name: &str) -> Option<String> {
    name.strip_suffix("running_var").map(|layer| format!("{layer}running_mean"))
}

/// The statistics of several batches, joined.
#[derive(Default)]
struct Joined {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Joined {
    fn mean(&mut self, count: f64, values: &[f64]) {
        self.mean.resize(values.len(), 0.);
        self.count += count;
        for (mean, x) in self.mean.iter_mut().zip(values) {
            *mean += (x - *mean) * count / self.count;
        }
    }

    /// Adds the variance of a batch: sums of squares around the common mean, or around 0 for a layer without
    /// means.
    fn variance(&mut self, count: f64, variances: &[f64], means: Option<&Vec<f64>>) {
        let (before, all) = (self.count, self.count + count);
        self.squares.resize(variances.len(), 0.);
        self.mean.resize(variances.len(), 0.);
        self.squares.iter_mut().zip(variances).for_each(|(sum, x)| *sum += x * (count - 1.));
        for ((sum, mean), x) in self.squares.iter_mut().zip(&mut self.mean).zip(means.into_iter().flatten()) {
            *sum += (x - *mean).powi(2) * before * count / all;
            *mean += (x - *mean) * count / all;
        }
        self.count = all;
    }

    fn finish(self, variance: bool) -> Vec<f64> {
        match variance {
            true => self.squares.into_iter().map(|sum| sum / (self.count - 1.)).collect(),
            false => self.mean,
        }
    }
}

pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

pub(crate) fn bits(tensor: &Tensor) -> Result<Vec<u64>> {
    Ok(numbers(tensor)?.into_iter().map(f64::to_bits).collect())
}
