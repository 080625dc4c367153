//! Pools of networks that are already there.
use crate::{
    data::Dataset,
    plan::Settings,
    pool::Pool,
    predictions::live::Constructor,
    store::{Record, Seen},
    train::{check_output_at, signature::requested, Learner},
    weights::{compatibility::list, finite::first_non_finite, fresh, StateDict, Weights},
    Error, Member, Result, Rows, Seed,
};
use candle_core::{Device, Tensor};
use candle_nn::Init;
use std::{collections::BTreeSet, fmt};

/// How the names of PyTorch's counters of batches end, which batch-norm in candle has no use for.
const COUNTER: &str = "num_batches_tracked";

/// One network that is already there, for a [`PoolBuilder`]: its weights, its architecture, and what it has seen.
///
/// ```
/// use candle_ensemble::{store::Seen, weights::StateDict, PretrainedMember};
///
/// # fn member() -> candle_ensemble::Result<PretrainedMember> {
/// // Trained in Python on rows 0 to 799 of the pool's data, with a body that is called differently there.
/// let weights = StateDict::open("seed0.safetensors")?.strip_prefix("module.")?;
/// let member = PretrainedMember::new(weights, Seen::rows(0..800)).architecture("resnet18");
/// # Ok(member)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PretrainedMember {
    weights: StateDict,
    seen: Seen,
    strict: bool,
    architecture: Option<String>,
    slot: Option<usize>,
    /// What is known of a member of this library.
    record: Option<Record>,
    settings: Settings,
    features: Option<Vec<u32>>,
}

impl PretrainedMember {
    /// A network with these weights, which has seen these rows of the pool's data.
    ///
    /// Its architecture is the first one of the learner, it gets all columns of the inputs, it is a slot of its own, and
    /// its weights have to match exactly.
    pub fn new(weights: impl Into<StateDict>, seen: Seen) -> Self {
        Self {
            weights: weights.into(),
            seen,
            strict: true,
            architecture: None,
            slot: None,
            record: None,
            settings: Settings::new(),
            features: None,
        }
    }

    /// A member of another pool or of an ensemble ([`Member::read_all`]), with its architecture, settings, columns and
    /// scalings.
    ///
    /// What it has seen is declared anew, because its record speaks of the data set that it was trained on. Where that
    /// is the pool's data set too, it is [`Seen::of`] the record.
    #[must_use]
    pub fn of_member(member: &Member, seen: Seen) -> Self {
        let Member { weights, record } = member;
        Self {
            architecture: Some(record.architecture.clone()),
            settings: record.settings.clone(),
            features: record.features.clone(),
            record: Some(record.clone()),
            ..Self::new(weights, seen)
        }
    }

    /// The name of its architecture, as the learner knows it.
    #[must_use]
    pub fn architecture(mut self, name: &str) -> Self {
        self.architecture = Some(name.into());
        self
    }

    /// The settings that its constructor reads, such as a width.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The columns of the inputs `(N, D)` that it sees; all by default.
    #[must_use]
    pub fn features(mut self, columns: impl IntoIterator<Item = u32>) -> Self {
        self.features = Some(columns.into_iter().collect());
        self
    }

    /// The number of its slot. Members of one slot act as one predictor, whose prediction is their mean: the networks of
    /// one cross-validation, for example, which together predict every row. The default is a slot of its own.
    ///
    /// Give the slot of all members of a pool or of none: the default is the number of the member.
    #[must_use]
    pub fn slot(mut self, slot: usize) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Whether every float variable of the network needs a tensor of its name, and every tensor a variable, as in
    /// PyTorch's `load_state_dict`; true by default.
    ///
    /// Otherwise a variable without a tensor takes the value that the network's constructor gives it with the seed of the
    /// pool, a tensor without a variable is not used, and the [`LoadReport`] lists both. Shapes and types have to match in
    /// any case. So a head that is to be drawn anew has to be dropped first ([`StateDict::map_names`]).
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }
}

/// What did not match when weights were loaded ([`PretrainedMember::strict`]). Both lists are empty after a strict load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The float variables of the network without a tensor, which have the values that the constructor gives them.
    pub missing: Vec<String>,
    /// The tensors without a variable, which are not used.
    pub unexpected: Vec<String>,
}

impl LoadReport {
    /// Whether every float variable got a tensor, and every tensor was used.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    fn differences(&self) -> impl Iterator<Item = String> {
        let missing = self.missing.iter().map(|name| format!("{name} is missing"));
        missing.chain(self.unexpected.iter().map(|name| format!("{name} is not of this network")))
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_exact() {
            true => f.write_str("all names match"),
            false => f.write_str(&list(&self.differences().collect::<Vec<_>>())),
        }
    }
}

/// Makes a [`Pool`] of networks that are already there: checkpoints of other programs, members of other ensembles,
/// weights in memory. Nothing is trained.
///
/// A pool needs to know which rows of its data each network has seen, because rules, prunings and choices are made on
/// rows that are new to the networks. Nothing in a file shows it, so it is declared for each network ([`Seen`]). A wrong
/// declaration makes every figure of the pool too good. With [`Seen::Unknown`] the pool makes no held-out predictions;
/// combiners without anything to fit work, and all others on rows that are new to all networks
/// ([`Pool::on_new_data`]).
///
/// The learner builds the networks: [`Pretrained`](crate::train::Pretrained), which trains nothing, or the
/// [`Trainer`](crate::train::Trainer) of another pool, whose members can then stand beside
/// ([`PretrainedMember::of_member`]).
///
/// Each network is checked when it is added: names, shapes and types of its weights, that they are finite, and that it
/// predicts for the task of the data.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{prelude::*, store::Seen, train::Pretrained, weights::StateDict};
/// use candle_ensemble::{PoolBuilder, PretrainedMember};
/// use candle_nn::linear;
/// # use std::collections::HashMap;
///
/// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.025, -1.)?.reshape((40, 2))?;
/// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// # let folder = tempfile::tempdir()?;
/// # let path = |seed: u32| folder.path().join(format!("seed{seed}.safetensors"));
/// # for seed in 0..3 {
/// #     let w = 1. + seed as f32;
/// #     let weight = Tensor::new(&[[-w, -1.], [w, 1.]], &Device::Cpu)?;
/// #     let bias = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu)?;
/// #     let tensors = HashMap::from([("fc.weight".to_string(), weight), ("fc.bias".into(), bias)]);
/// #     candle_core::safetensors::save(&tensors, path(seed))?;
/// # }
/// let data = TensorDataset::classification(&x, &y)?;
/// let networks = Pretrained::new(|vb| linear(2, 2, vb.pp("fc")));
///
/// let mut pool = PoolBuilder::new(&networks, &data);
/// for seed in 0..3 {
///     let weights = StateDict::open(path(seed))?;
///     pool.add(PretrainedMember::new(weights, Seen::rows(0..30)))?; // rows 30 to 39 are new
/// }
/// let pool = pool.build()?;
/// assert_eq!(pool.held_out()?.rows(), (30..40).collect::<Vec<u32>>());
/// let ensemble = pool.combine(&EnsembleSelection::new(10))?; // fitted on the new rows
/// ensemble.save(folder.path().join("ensemble.safetensors"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct PoolBuilder<'a, L: Learner> {
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
    seed: Seed,
    members: Vec<Member>,
}

impl<'a, L: Learner> PoolBuilder<'a, L> {
    /// A pool of networks that `learner` builds, over `data`, on the CPU, without members yet.
    #[must_use]
    pub fn new(learner: &'a L, data: &'a dyn Dataset) -> Self {
        Self { learner, data, device: Device::Cpu, seed: Seed::from(0), members: vec![] }
    }

    /// The device that the networks predict on; the CPU by default. Set it before members are added.
    #[must_use]
    pub fn device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// The seed of the pool: of rules that draw at random, and of variables that have no weights
    /// ([`PretrainedMember::strict`]); 0 by default. Set it before members are added.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
        self
    }

    /// Reads and checks a network, and adds it. Returns what did not match, which is nothing unless the load is not
    /// [strict](PretrainedMember::strict).
    ///
    /// Integer variables without a tensor, such as the state of [`Dropout`](crate::nn::Dropout), keep the values of the
    /// constructor, and PyTorch's `num_batches_tracked`, which candle's batch-norm has no use for, is left out; neither
    /// counts as a difference.
    ///
    /// # Errors
    /// [`Error::Incompatible`] lists all variables and tensors that do not match, with the shapes and types of both. When
    /// the architecture is unknown, a row is out of range, a weight is NaN or infinite, or the network does not predict
    /// for the task of the data. As [`StateDict::tensor`].
    pub fn add(&mut self, member: PretrainedMember) -> Result<LoadReport> {
        let number = self.members.len();
        let architecture = self.architecture(member.architecture.as_deref())?;
        let (seen, seen_unknown) = self.declared(&member.seen)?;
        let load = Load {
            learner: self.learner,
            architecture: &architecture,
            settings: &member.settings,
            from: &member.weights,
            strict: member.strict,
            seed: self.seed.nth("pretrained", number as u64),
        };
        let (weights, report) = load.run()?;
        let (scaling, curve) = member.record.map(|record| (record.scaling, record.curve)).unwrap_or_default();
        let record = Record {
            run: number,
            index: 0,
            slot: member.slot.unwrap_or(number),
            refit: false,
            architecture,
            settings: member.settings,
            features: member.features,
            scaling,
            seen,
            seen_unknown,
            curve,
            key: format!("pretrained {number}"),
        };
        let added = Member { weights, record };
        self.try_network(&added, member.weights.origin())?;
        self.members.push(added);
        Ok(report)
    }

    /// The pool of the members that were added.
    ///
    /// # Errors
    /// When there are none.
    pub fn build(self) -> Result<Pool<'a, L>> {
        Pool::new(self.members, self.learner, self.data, self.device, (Rows::new(), self.seed))
    }

    fn architecture(&self, name: Option<&str>) -> Result<String> {
        let known = self.learner.architectures();
        let found = match name {
            None => known.first(),
            Some(name) => known.iter().find(|architecture| *architecture == name),
        };
        let unknown = || {
            let got = name.map_or_else(|| "none".into(), |name| format!("{name:?}"));
            Error::invalid("the architecture", format!("one of {}", known.join(", ")), got)
        };
        found.cloned().ok_or_else(unknown)
    }

    /// The declared rows, sorted, and whether they are unknown.
    fn declared(&self, seen: &Seen) -> Result<(Rows, bool)> {
        let mut rows = match seen {
            Seen::Rows(rows) => rows.clone(),
            Seen::Nothing => Rows::new(),
            Seen::Unknown => return Ok((Rows::new(), true)),
        };
        rows.sort_unstable();
        rows.dedup();
        match rows.last() {
            Some(last) if *last as usize >= self.data.rows() => {
                let must = format!("below {}, the number of rows of the data", self.data.rows());
                Err(Error::invalid("a row that a network has seen", must, last))
            }
            _ => Ok((rows, false)),
        }
    }

    /// Lets the network predict one or two rows, and checks the shape of its output.
    fn try_network(&self, member: &Member, origin: &str) -> Result<()> {
        let network = Constructor::of(self.learner).build(member, &self.device)?;
        let rows: Rows = (0..self.data.rows().min(2) as u32).collect();
        let output = network.run(&self.data.batch(&rows, &self.device)?.inputs)?;
        let kind = (self.data.task(), self.data.positions());
        check_output_at(&output, kind, rows.len(), self.learner.output()).map_err(|e| match e {
            Error::Invalid { what, must, got } => {
                Error::Invalid { what: format!("{what}, built with the weights of {origin},"), must, got }
            }
            e => e,
        })
    }
}

/// The weights of a network from a source.
struct Load<'l, L> {
    learner: &'l L,
    architecture: &'l str,
    settings: &'l Settings,
    from: &'l StateDict,
    strict: bool,
    seed: Seed,
}

impl<L: Learner> Load<'_, L> {
    fn run(&self) -> Result<(Weights, LoadReport)> {
        let requested = requested(self.learner, self.architecture, self.settings, &Device::Cpu)?;
        let (mut report, mut differences, mut found) = (LoadReport::default(), vec![], vec![]);
        for (name, (dtype, shape, init)) in &requested {
            match self.from.shape(name) {
                None if dtype.is_float() => report.missing.push(name.clone()),
                None => {}
                Some(dims) if dims == shape.dims() && self.from.dtype(name) == Some(*dtype) => {
                    found.push((name, init));
                }
                Some(dims) => {
                    let must = format!("{} {:?}", dtype.as_str(), shape.dims());
                    let hint =
                        if dims == shape.dims() { " (StateDict::to_dtype converts floats)" } else { "" };
                    differences.push(format!("{name} is {} in place of {must}{hint}", self.from.kind(name)));
                }
            }
        }
        let unexpected =
            self.from.names().filter(|name| !requested.contains_key(*name) && !name.ends_with(COUNTER));
        report.unexpected = unexpected.map(Into::into).collect();
        if self.strict || found.is_empty() {
            differences.extend(report.differences());
        }
        if !differences.is_empty() {
            return Err(self.incompatible(&report, &differences));
        }
        let mut weights = found
            .into_iter()
            .map(|(name, init)| Ok((name.clone(), self.finite(name, *init)?)))
            .collect::<Result<Weights>>()?;
        if weights.len() < requested.len() {
            let mut constructed = self.constructed()?;
            constructed.retain(|name, _| !weights.contains_key(name));
            weights.append(&mut constructed);
        }
        Ok((weights, report))
    }

    /// A tensor, which is finite unless the constructor sets the variable to infinity itself.
    fn finite(&self, name: &str, init: Init) -> Result<Tensor> {
        let tensor = self.from.tensor(name)?;
        match first_non_finite(&tensor)? {
            Some(found) if !matches!(init, Init::Const(value) if !value.is_finite()) => {
                let what = format!("{name}{:?} of {}", found.position, self.from.origin());
                Err(Error::invalid(what, "finite", found.value))
            }
            _ => Ok(tensor),
        }
    }

    /// The weights that the constructor gives the network.
    fn constructed(&self) -> Result<Weights> {
        let (learner, init) = (self.learner, self.learner.init(self.settings)?);
        let (vars, vb) = fresh(self.seed, init, learner.dtype(), &Device::Cpu);
        learner.build(self.architecture, self.settings, vb)?;
        Ok(vars.snapshot()?)
    }

    fn incompatible(&self, report: &LoadReport, differences: &[String]) -> Error {
        let mut why = list(differences);
        if let Some(hint) = prefix_hint(report) {
            why = format!("{why}; {hint}");
        }
        Error::Incompatible {
            what: format!("the network {:?} and the weights of {}", self.architecture, self.from.origin()),
            why,
        }
    }
}

/// What to do where all names that are missing are there with a prefix, or without one.
fn prefix_hint(report: &LoadReport) -> Option<String> {
    let LoadReport { missing, unexpected } = report;
    let first = missing.first()?;
    let names: BTreeSet<&str> = unexpected.iter().map(String::as_str).collect();
    let has = |name: &str| names.contains(name);
    let longer = unexpected.iter().find_map(|name| {
        let prefix = name.strip_suffix(first.as_str())?;
        missing.iter().all(|name| has(&format!("{prefix}{name}"))).then_some(prefix)
    });
    if let Some(prefix) = longer {
        return Some(format!("the names have a prefix: StateDict::strip_prefix({prefix:?})"));
    }
    let shorter = unexpected.iter().find_map(|name| {
        let prefix = first.strip_suffix(name.as_str())?;
        missing.iter().all(|name| name.strip_prefix(prefix).is_some_and(has)).then_some(prefix)
    });
    shorter.map(|prefix| format!("the names lack a prefix: StateDict::add_prefix({prefix:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_all_names_have_or_lack_is_found() {
        let report = |missing: &[&str], unexpected: &[&str]| {
            let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            prefix_hint(&LoadReport { missing: own(missing), unexpected: own(unexpected) })
        };
        let longer = report(&["a.w", "b.w"], &["m.a.w", "m.b.w", "x"]).unwrap();
        assert!(longer.contains("strip_prefix(\"m.\")"), "{longer}");
        let shorter = report(&["m.a.w", "m.b.w"], &["a.w", "b.w"]).unwrap();
        assert!(shorter.contains("add_prefix(\"m.\")"), "{shorter}");
        assert_eq!(report(&["a.w", "b.w"], &["m.a.w"]), None);
        assert_eq!(report(&[], &["m.a.w"]), None);
    }
}
