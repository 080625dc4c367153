//! Members as data: named tensors and a record, not a live network, so that they can cross threads, restarts
//! and machines.
use crate::{
    codec::real,
    data::{FittedScalings, RowBitmap},
    network::Aggregation,
    plan::Settings,
    sequence::RoundRecord,
    store::Monitors,
    weights::{compatibility::Visit, NamedTensors, Weights},
    Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One trained network as data: its weights and its record.
#[derive(Clone, Debug)]
pub struct Member {
    /// Parameters and buffers (batch-norm's running statistics), on the CPU.
    pub weights: Weights,
    /// Where the member comes from, and which rows shaped it.
    pub record: Record,
}

/// The members that predict at inference: in a slot with refit members these alone, in other slots all.
pub(crate) fn predicting(members: &[Member]) -> impl Iterator<Item = &Member> {
    let refit: BTreeSet<usize> = members.iter().filter(|m| m.record.refit).map(|m| m.record.slot).collect();
    members.iter().filter(move |m| m.record.refit || !refit.contains(&m.record.slot))
}

/// The members in the order of their slots, each with a slot of its own.
pub(crate) fn in_slot_order(members: &[Member]) -> Vec<Member> {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| member.record.slot); // stable
    with_own_slots(members)
}

/// Whether it is unknown which rows shaped one of the members.
pub(crate) fn is_seen_unknown(members: &[Member]) -> bool {
    members.iter().any(|member| member.record.seen_unknown)
}

/// The members, each with a slot of its own. Members of one sequence, which predict together, share one.
pub(crate) fn with_own_slots<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<Member> {
    let mut members: Vec<Member> = members.into_iter().cloned().collect();
    let (mut slots, mut next) = (BTreeMap::new(), 0..);
    for Member { record, .. } in &mut members {
        let own = |next: &mut std::ops::RangeFrom<usize>| next.next().unwrap_or_default();
        record.slot = match record.predictor() {
            Some(predictor) => *slots.entry(predictor).or_insert_with(|| own(&mut next)),
            None => own(&mut next),
        };
    }
    members
}

/// The members by the network that holds them, in the order of the first one of each.
pub(crate) fn by_network<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<Vec<&'a Member>> {
    let mut networks: Vec<Vec<&Member>> = vec![];
    for member in members {
        let holds =
            |network: &&mut Vec<&Member>| network.first().is_some_and(|first| first.shares_network(member));
        // Members of one network mostly follow each other.
        match networks.iter_mut().rev().find(holds) {
            Some(network) => network.push(member),
            None => networks.push(vec![member]),
        }
    }
    networks
}

/// The members with a slot for each network: those that one network holds share it, as do those of one sequence.
pub(crate) fn with_slots_by_network<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<Member> {
    let mut known: Vec<Member> = vec![];
    for mut member in with_own_slots(members) {
        if let Some(other) = known.iter().rev().find(|other| other.shares_network(&member)) {
            member.record.slot = other.record.slot;
        }
        known.push(member);
    }
    known
}

/// Each member of the networks, which a store keeps with the record of the first one. Slots are numbered by network and
/// member.
pub(crate) fn each_in_networks(mut networks: Vec<Member>) -> Vec<Member> {
    let stride = networks.iter().map(|network| network.record.held()).max().unwrap_or(1).max(1);
    networks.iter_mut().for_each(|network| network.record.slot *= stride);
    networks.into_iter().flat_map(each_in_network).collect()
}

/// Each member of a network, in slots that follow that of the first one.
pub(crate) fn each_in_network(network: Member) -> Vec<Member> {
    let member = |number: usize| {
        let mut member = network.clone();
        member.record.slot += number;
        if let Some(place) = &mut member.record.in_network {
            place.member = number;
        }
        member
    };
    (0..network.record.held().max(1)).map(member).collect()
}

/// The first member of each predictor: of a sequence its first member, and every other member.
pub(crate) fn leading<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<&'a Member> {
    let mut known = BTreeSet::new();
    let is_first = |member: &&Member| member.record.predictor().is_none_or(|of| known.insert(of));
    members.into_iter().filter(is_first).collect()
}

/// The members that predict together with this one, itself included.
pub(crate) fn predicting_with<'a>(members: &'a [Member], member: &'a Member) -> Vec<&'a Member> {
    match member.record.predictor() {
        Some(of) => members.iter().filter(|other| other.record.predictor() == Some(of)).collect(),
        None => vec![member],
    }
}

/// The members without those that sequences have left out.
pub(crate) fn without_left_out(mut members: Vec<Member>) -> Vec<Member> {
    let mut kept = BTreeMap::new();
    for round in members.iter().filter_map(|member| member.record.round.as_ref()) {
        if let Some(count) = round.kept {
            kept.insert(round.sequence, count);
        }
    }
    let is_kept = |round: &RoundRecord| kept.get(&round.sequence).is_none_or(|count| round.round < *count);
    members.retain(|member| member.record.round.as_ref().is_none_or(is_kept));
    members
}

impl Record {
    /// The number of members that its network holds.
    pub(crate) fn held(&self) -> usize {
        self.in_network.map_or(1, |place| place.of)
    }

    /// Its number among the members of its network.
    pub(crate) fn number_in_network(&self) -> usize {
        self.in_network.map_or(0, |place| place.member)
    }

    /// The predictor that the member is a part of, where it predicts together with others: its slot and its sequence.
    pub(crate) fn predictor(&self) -> Option<(usize, usize)> {
        self.round.as_ref().map(|round| (self.slot, round.sequence))
    }
}

impl Member {
    /// Its name in tables: the architecture, the number of its run, its number within the run if it is not the first, and its
    /// number within its network if that holds several.
    pub(crate) fn name(&self) -> String {
        let Record { architecture, run, index, in_network, .. } = &self.record;
        let of_network = match index {
            0 => format!("{architecture} {run}"),
            index => format!("{architecture} {run}.{index}"),
        };
        match in_network {
            None => of_network,
            Some(InNetwork { member, .. }) => format!("{of_network}:{member}"),
        }
    }

    /// Whether one network holds this member and another one.
    pub(crate) fn shares_network(&self, other: &Self) -> bool {
        let several = |member: &Self| member.record.in_network.map(|place| place.of);
        let tensors = || self.weights.values().map(Tensor::id).eq(other.weights.values().map(Tensor::id));
        several(self).is_some() && several(self) == several(other) && tensors()
    }
}

/// The record of a member: where it comes from, which rows shaped it, and how its training went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the run that trained it.
    pub run: usize,
    /// Number of the member within its run, from 0.
    pub index: usize,
    /// Number of the slot. Members of the same slot act as one predictor.
    pub slot: usize,
    /// Whether it is a refit member: at inference it predicts instead of the others of its slot, and it makes
    /// no held-out predictions; see [`KFold::refit`](crate::strategy::KFold::refit).
    #[serde(default)]
    pub refit: bool,
    /// Which member of its network it is, where that holds several ([`Network::members`](crate::Network::members)): such
    /// members have the same weights. A store keeps the network once, with the record of its first member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_network: Option<InNetwork>,
    /// Name of the architecture, as the learner knows it.
    pub architecture: String,
    /// The settings in which its run differed from the learner's own.
    pub settings: Settings,
    /// The columns of the inputs `(N, D)` that it sees; `None` means all of them.
    pub features: Option<Vec<u32>>,
    /// The scalings of inputs and targets that its run has fitted.
    #[serde(default, skip_serializing_if = "FittedScalings::is_none")]
    pub scaling: FittedScalings,
    /// Every row that shaped it, including validation rows of early stopping, and every row that it may not
    /// predict for another reason ([`RunSpec::excluded`](crate::plan::RunSpec::excluded)). All other rows
    /// are held out, unless [`seen_unknown`](Self::seen_unknown) says otherwise.
    pub seen: RowBitmap,
    /// Whether other rows may have shaped it too, and it is unknown which: then no row is held out from it. It is the
    /// case for a network of unknown origin ([`Seen::Unknown`]) and for what is made of one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_unknown: bool,
    /// The place of the member in a sequence of members, which predict together. `None` for a member that predicts by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<RoundRecord>,
    /// Losses and metrics by epoch, up to the epoch at which the member was collected.
    pub curve: Vec<EpochRecord>,
    /// Its key in a store, made from the data, the run and the learner.
    pub key: String,
}

/// The place of a member among those of its network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InNetwork {
    /// Its number, from 0.
    pub member: usize,
    /// The number of members that the network holds, at least 1.
    pub of: usize,
    /// How the members were trained to predict together. The outputs of each are multiplied by
    /// [`Aggregation::weight`], so that their mean is what all of them predict.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aggregation: Aggregation,
}

impl InNetwork {
    /// The first of so many members; `None` where it is the only one and predicts as it is.
    pub(crate) fn first_of(count: usize, aggregation: Aggregation) -> Option<Self> {
        let first = Self { member: 0, of: count.max(1), aggregation };
        (count > 1 || first.weight() != 1.).then_some(first)
    }

    /// The factor on the outputs of a member.
    pub(crate) fn weight(self) -> f64 {
        self.aggregation.weight(self.of)
    }
}

fn is_default(aggregation: &Aggregation) -> bool {
    *aggregation == Aggregation::default()
}

/// Which rows of a data set have shaped a network that was trained elsewhere. A user declares it, because nothing in a
/// file of weights shows it.
///
/// Rows that shaped a network include the validation rows of early stopping and of a choice of hyper-parameters. On
/// such rows a network looks better than it is: networks with an accuracy of 0.82 on new rows had 0.89 on rows that
/// they were trained on.
///
/// ```
/// use candle_ensemble::store::Seen;
///
/// let first_half = Seen::rows(0..50);
/// assert_eq!(first_half, Seen::Rows((0..50).collect()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// These rows. All other rows of the data set are new to the network.
    Rows(RowBitmap),
    /// No row of this data set. All its rows are new to the network.
    Nothing,
    /// It is not known. The rows of this data set say nothing about how good the network is, so there are no held-out
    /// predictions, and nothing is fitted or chosen on them.
    Unknown,
}

impl Seen {
    /// These rows, in any order.
    pub fn rows(rows: impl IntoIterator<Item = u32>) -> Self {
        Self::Rows(rows.into_iter().collect())
    }

    /// What the record of a member says, for the data set that the member was trained on.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        match record.seen_unknown {
            true => Self::Unknown,
            false => Self::Rows(record.seen.clone()),
        }
    }
}

/// One epoch of a learning curve.
///
/// The training figures are means over the epoch's batches, measured while each batch was fitted, in training
/// mode. The validation figures are measured after the epoch, in evaluation mode. The metric is the accuracy
/// for classification and the root mean squared error for regression; where early stopping watches another
/// metric, the metric of the validation rows is that one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 0.
    pub epoch: usize,
    /// Learning rate of the epoch's last step.
    #[serde(with = "real")]
    pub learning_rate: f64,
    /// Mean training loss.
    #[serde(with = "real")]
    pub train_loss: f64,
    /// Training accuracy, or root mean squared error.
    #[serde(with = "real")]
    pub train_metric: f64,
    /// Mean loss over the run's validation rows, where it has any.
    #[serde(with = "real::option")]
    pub valid_loss: Option<f64>,
    /// Validation accuracy, or root mean squared error, or the metric that early stopping watches
    /// ([`EarlyStopping::metric`](crate::train::EarlyStopping::metric)), where there are validation rows.
    #[serde(with = "real::option")]
    pub valid_metric: Option<f64>,
    /// Norms of gradients, weights and updates, where the training measures them
    /// ([`Trainer::monitor`](crate::train::Trainer::monitor)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitors: Option<Monitors>,
}

impl NamedTensors for Member {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.weights.each(visit)
    }
}
