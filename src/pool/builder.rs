//! Pools of networks that are already there.
use crate::{
    data::{Dataset, RowBitmap},
    plan::Settings,
    pool::{
        load::{Load, LoadReport},
        Pool,
    },
    predictions::live::Constructor,
    store::{member::each_in_network, InNetwork, Record, Seen},
    train::{check_output_at, Learner},
    weights::{strict, StateDict},
    Error, Member, Network, Result, Rows, Seed,
};
use candle_core::Device;
use std::collections::BTreeSet;

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
    /// What it has seen is declared anew, because its record is about the data set that it was trained on. Where that
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

/// Makes a [`Pool`] of networks that are already there: checkpoints of other programs, members of other ensembles,
/// weights in memory. Nothing is trained.
///
/// A pool needs to know which rows of its data each network has seen, because rules, prunings and choices are made on
/// rows that are new to the networks. Nothing in a file shows it, so it is declared for each network ([`Seen`]). A wrong
/// declaration makes every figure of the pool too good. A network that has seen a row of a
/// [group](crate::data::Dataset::groups) counts as having seen the group. With [`Seen::Unknown`] the pool makes no held-out predictions;
/// combiners without anything to fit work, and all others on rows that are new to all networks
/// ([`Pool::on_new_data`]).
///
/// The learner builds the networks: [`Pretrained`](crate::train::Pretrained), which trains nothing, or the
/// [`Trainer`](crate::train::Trainer) of another pool, whose members can then stand beside
/// ([`PretrainedMember::of_member`]).
///
/// A network that holds several members gives a member for each. Weights of fewer members than its constructor makes, such as
/// those of a pruned pool ([`Pool::select_slots`](crate::Pool::select_slots)), give a network of these members, if the constructor can do
/// with fewer, as those of [`nn::many`](crate::nn::many) can.
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
        let round = member.record.as_ref().and_then(|record| record.round.as_ref());
        if let Some(round) = round {
            round.check_predictor("a member of a pool")?;
        }
        let load = Load {
            learner: self.learner,
            architecture: &architecture,
            settings: &member.settings,
            from: &member.weights,
            strict: member.strict,
            seed: self.seed.nth("pretrained", number as u64),
        };
        let (weights, report) = load.run()?;
        let aggregation = self.learner.aggregation(&member.settings)?;
        let own = member.record.as_ref().and_then(|record| record.in_network);
        let (vb, _) = strict::builder(&weights, self.learner.dtype(), &self.device);
        let network = self.learner.build(&architecture, &member.settings, vb)?;
        let in_network = own.or(InNetwork::first_of(network.members().count, aggregation));
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
            in_network,
            seen_unknown,
            round: None,
            curve,
            key: format!("pretrained {number}"),
        };
        let added = Member { weights, record };
        self.try_network(&added, member.weights.origin())?;
        match own {
            Some(_) => self.members.push(added),
            None => self.members.extend(each_in_network(added)),
        }
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

    /// The declared rows, and whether they are unknown.
    fn declared(&self, seen: &Seen) -> Result<(RowBitmap, bool)> {
        let rows = match seen {
            Seen::Rows(rows) => rows.clone(),
            Seen::Nothing => RowBitmap::new(),
            Seen::Unknown => return Ok((RowBitmap::new(), true)),
        };
        match rows.last() {
            Some(last) if last as usize >= self.data.rows() => {
                let must = format!("below {}, the number of rows of the data", self.data.rows());
                Err(Error::invalid("a row that a network has seen", must, last))
            }
            _ => Ok((self.with_groups(rows), false)),
        }
    }

    /// These rows and all others of their groups.
    fn with_groups(&self, rows: RowBitmap) -> RowBitmap {
        let Some(groups) = self.data.groups() else { return rows };
        let seen: BTreeSet<u32> = rows.iter().filter_map(|row| groups.get(row as usize).copied()).collect();
        (0..).zip(groups).filter(|(_, group)| seen.contains(group)).map(|(row, _)| row).collect()
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
