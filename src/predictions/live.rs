//! Members as networks that can predict.
use crate::{
    data::{Dataset, FittedScalings, Inputs, Positions, Task},
    distribution::Mixture,
    network::{dtype::name_inputs, output::ln, positions::Layout, Network, Output, Scale},
    plan::Settings,
    predictions::{
        joined,
        passes::{concat, Pass, Passes},
        workers::{self, Workers},
        Predictions,
    },
    sequence::RoundRecord,
    store::{member::predicting, InNetwork, Member, Record},
    train::{in_batches, Learner, SharedBuild},
    weights::{number_of_parameters, strict},
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, BTreeSet};

/// Rows that are read at a time.
const BATCH_ROWS: usize = 1024;

/// The network of a member, or of several that it holds.
#[derive(Debug)]
pub(crate) struct LiveNetwork<N> {
    network: N,
    /// The type of the variables.
    pub(super) dtype: DType,
    features: Option<Vec<u32>>,
    scaling: FittedScalings,
    pub(super) output: Output,
    /// The number of parameters.
    pub(crate) parameters: usize,
    /// The number of members that it holds.
    count: usize,
    /// The factor on the output of each member.
    weight: f64,
    /// Its place in a sequence of networks that predict together.
    pub(super) round: Option<RoundRecord>,
}

impl<N: Network> LiveNetwork<N> {
    /// The output of the network in evaluation mode, in the targets' own units; of a distribution the mean. The network
    /// gets those columns of the inputs that the member was trained on, scaled as they were.
    pub(crate) fn run(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        self.scaling.unscale_outputs(&self.output.values(&self.raw(inputs)?)?)
    }

    /// The outputs of the network's members, one after the other, in evaluation mode, in the targets' own units; of
    /// distributions the means.
    pub(crate) fn outputs(&self, inputs: &Inputs) -> CandleResult<Vec<Tensor>> {
        let unscaled = |raw: &Tensor| self.scaling.unscale_outputs(&self.output.values(raw)?);
        self.raw_outputs(inputs)?.iter().map(unscaled).collect()
    }

    /// The outputs of the network's members as they are.
    fn raw_outputs(&self, inputs: &Inputs) -> CandleResult<Vec<Tensor>> {
        if self.count == 1 && self.weight == 1. {
            return Ok(vec![self.raw(inputs)?]);
        }
        let all = self.on_network(inputs, |network, inputs| {
            network.run_members(inputs).map_err(|e| name_inputs(e, inputs, self.dtype))
        })?;
        let rows = inputs.rows();
        if all.dims().first() != Some(&(rows * self.count)) {
            let count = self.count;
            candle_core::bail!(
                "{count} members must return {count} × {rows} rows, but return {:?}",
                all.dims()
            )
        }
        let all = if self.weight == 1. { all } else { (all * self.weight)? };
        (0..self.count).map(|member| all.narrow(0, member * rows, rows)).collect()
    }

    /// Whether it predicts together with the others of a sequence.
    pub(super) fn is_in_sequence(&self) -> bool {
        self.round.is_some()
    }

    /// The output of the network as it is.
    fn raw(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        self.on_network(inputs, |network, inputs| {
            network.run(inputs, false).map_err(|e| name_inputs(e, inputs, self.dtype))
        })
    }

    /// What `f` makes of the network and of the columns of the inputs that the member was trained on, scaled as they were.
    pub(crate) fn on_network<T>(
        &self,
        inputs: &Inputs,
        f: impl FnOnce(&N, &Inputs) -> CandleResult<T>,
    ) -> CandleResult<T> {
        f(&self.network, &self.scaling.scale_inputs(&inputs.columns(self.features.as_deref())?)?)
    }

    /// The parameters of the distributions that the network's members predict, `(B, W)`, in the targets' own units.
    fn parameters(&self, inputs: &Inputs, task: Task) -> CandleResult<Vec<Tensor>> {
        let targets = self.scaling.affine_targets(task.width())?;
        self.raw_outputs(inputs)?.iter().map(|raw| self.output.parameters(raw, &targets)).collect()
    }

    /// The network alone.
    ///
    /// # Errors
    /// When inputs or targets were scaled, which the network alone does not do.
    pub(crate) fn into_network(self) -> Result<N> {
        match self.scaling.is_none() {
            true => Ok(self.network),
            false => {
                let must =
                    "of a member without scaling; an ensemble of one member scales inputs and outputs itself";
                Err(Error::invalid("a network alone", must, "of one with scaling"))
            }
        }
    }
}

/// A function that builds the network of an architecture with the settings of a run.
pub(crate) type Build<'a, N> = dyn Fn(&str, &Settings, VarBuilder<'static>) -> CandleResult<N> + 'a;

/// What it takes to build the networks of members.
pub(crate) struct Constructor<'a, N> {
    pub(crate) build: Box<Build<'a, N>>,
    pub(crate) dtype: DType,
    pub(crate) output: Output,
}

impl<'a, N: Network> Constructor<'a, N> {
    pub(crate) fn of<L: Learner<Network = N>>(learner: &'a L) -> Self {
        let build = Box::new(|name: &str, settings: &Settings, vb| learner.build(name, settings, vb));
        Self { build, dtype: learner.dtype(), output: learner.output() }
    }

    /// What builds networks on any thread.
    pub(crate) fn shared(build: &'a SharedBuild<N>, dtype: DType, output: Output) -> Self {
        let build = Box::new(|name: &str, settings: &Settings, vb| build.build(name, settings, vb));
        Self { build, dtype, output }
    }

    /// Builds the network of a member. It shares the member's tensors if they are on the same device.
    ///
    /// # Errors
    /// When the weights do not fit the network, or it holds another number of members than the record says.
    pub(crate) fn build(&self, member: &Member, device: &Device) -> Result<LiveNetwork<N>> {
        let (vb, unread) = strict::builder(&member.weights, self.dtype, device);
        let Record { architecture, settings, .. } = &member.record;
        let network = (self.build)(architecture, settings, vb)?;
        // Of a sequence a network is one member, whatever it holds.
        let count = if member.record.round.is_some() { 1 } else { network.members().count.max(1) };
        let of = member.record.held();
        if count != of {
            let why = format!("the network {architecture:?} holds {count} members, and its own held {of}");
            return Err(Error::Foreign { what: format!("the member {}", member.record.key), why });
        }
        match unread.names() {
            names if names.is_empty() => {
                let Record { features, scaling, .. } = &member.record;
                let (features, scaling) = (features.clone(), scaling.clone());
                Ok(LiveNetwork {
                    network,
                    dtype: self.dtype,
                    features,
                    scaling,
                    output: self.output,
                    parameters: number_of_parameters(&member.weights),
                    count,
                    weight: member.record.in_network.map_or(1., InNetwork::weight),
                    round: member.record.round.clone(),
                })
            }
            names => Err(Error::Foreign {
                what: format!("the member {}", member.record.key),
                why: format!("the network {architecture:?} has no {}", names.join(", ")),
            }),
        }
    }
}

/// Where the output of a member is: the position of its network, and its number among the members of that network.
#[derive(Clone, Copy, Debug)]
struct Place {
    network: usize,
    member: usize,
}

/// The networks of the members that predict, by slot.
#[derive(Debug)]
pub(crate) struct LiveSlots<N> {
    networks: Vec<LiveNetwork<N>>,
    slots: Vec<Vec<Place>>,
    /// The task of a position.
    pub(crate) task: Task,
    pub(crate) positions: Positions,
    pub(crate) output: Output,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
}

impl<N: Network> LiveSlots<N> {
    /// Builds the networks of the members that predict.
    pub(crate) fn build<L: Learner<Network = N>>(
        members: &[Member],
        learner: &L,
        data: &dyn Dataset,
        device: &Device,
    ) -> Result<Self> {
        let kind = (data.task(), data.positions());
        Self::construct(members, &Constructor::of(learner), kind, device)
    }

    /// Builds the networks of the members that predict, without a learner.
    pub(crate) fn construct(
        members: &[Member],
        constructor: &Constructor<'_, N>,
        (task, positions): (Task, Positions),
        device: &Device,
    ) -> Result<Self> {
        let mut slots: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
        let (mut networks, mut last) = (vec![], None::<&Member>);
        for member in predicting(members) {
            if !last.is_some_and(|last| last.shares_network(member)) {
                networks.push(constructor.build(member, device)?);
            }
            last = Some(member);
            let place = Place { network: networks.len() - 1, member: member.record.number_in_network() };
            slots.entry(member.record.slot).or_default().push(place);
        }
        let slots = slots.into_values().collect();
        let Constructor { dtype, output, .. } = *constructor;
        Ok(Self { networks, slots, task, positions, output, dtype, device: device.clone() })
    }

    /// The number of slots.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Keeps only the slots at these positions.
    pub(crate) fn keep(&mut self, positions: &[usize]) {
        let mut slots = 0..;
        self.slots.retain(|_| slots.next().is_some_and(|p| positions.contains(&p)));
        let used: BTreeSet<usize> = self.slots.iter().flatten().map(|place| place.network).collect();
        let mut networks = 0..;
        self.networks.retain(|_| networks.next().is_some_and(|network| used.contains(&network)));
        for place in self.slots.iter_mut().flatten() {
            place.network = used.range(..place.network).count();
        }
    }

    /// These networks, and what builds them once more on other threads. One thread is enough where there is no such
    /// constructor, and where all threads would wait for one device.
    pub(crate) fn workers<'a>(&'a self, build: Option<workers::Build<'a, Self>>) -> Workers<'a, Self> {
        let build = build.filter(|_| self.device.is_cpu());
        Workers::new(
            self,
            build,
            self.networks.iter().map(|network| network.parameters * network.count).sum(),
        )
    }

    /// The number of classes, if every slot is one network on the CPU with one logit for each class, of f32 or
    /// a shorter type. Then the mean of their softmaxes can be computed in one pass.
    pub(crate) fn classes_of_plain_logits(&self) -> Option<usize> {
        let alone = self.networks.iter().all(|network| !network.is_in_sequence());
        let one_member_each = alone && self.slots.iter().all(|slot| slot.len() == 1);
        let f32_logits = self.output == Output::Logits && self.dtype != DType::F64;
        match (self.task, &self.device) {
            // A network for two classes may have a single logit.
            (Task::Classification { classes }, Device::Cpu)
                if one_member_each && f32_logits && classes > 2 && self.positions.is_one() =>
            {
                Some(classes)
            }
            _ => None,
        }
    }

    /// The predictions of all slots, `(S, B, C)`, in one pass. Positions are rows of their own.
    pub(crate) fn predict(&self, inputs: &Inputs, scale: Scale) -> CandleResult<Predictions> {
        let mut layout = None;
        let predicted = self.predict_by(inputs, scale, |output, scale| {
            if !self.positions.is_one() {
                same_layout(&mut layout, Layout::of(output.dims(), self.task, self.positions)?)?;
            }
            self.output.prediction_at(output, (self.task, self.positions), scale)
        })?;
        Ok(predicted.with_layout(layout))
    }

    /// The predictions of all slots for the last position of each row, `(S, B, C)`, in one pass. No other position is
    /// predicted, though the networks run on all of them.
    ///
    /// # Errors
    /// When the positions of an output are other than one after the other, `(B, T, C)` or `(B, C, T)`.
    pub(crate) fn predict_last(&self, inputs: &Inputs, scale: Scale) -> CandleResult<Predictions> {
        self.predict_by(inputs, scale, |output, scale| {
            let last = Layout::of(output.dims(), self.task, self.positions)?.last(output)?;
            self.output.prediction_at(&last, (self.task, Positions::One), scale)
        })
    }

    /// The predictions of all slots, where `predicted` is that of an output.
    fn predict_by(
        &self,
        inputs: &Inputs,
        scale: Scale,
        mut predicted: impl FnMut(&Tensor, Scale) -> CandleResult<Tensor>,
    ) -> CandleResult<Predictions> {
        let mut outputs = Outputs::of(self, LiveNetwork::outputs, inputs);
        let mut predict = |place: &Place, scale| predicted(&outputs.get(place)?, scale);
        let slots = self.slots.iter().map(|slot| self.predict_slot(slot, (inputs, scale), &mut predict));
        let values = Tensor::stack(&slots.collect::<CandleResult<Vec<_>>>()?, 0)?;
        Predictions::on_scale(values, None, self.task, scale)
    }

    /// The prediction of one slot, `(B, C)`: the mean of its members.
    fn predict_slot(
        &self,
        slot: &[Place],
        (inputs, scale): (&Inputs, Scale),
        predict: &mut impl FnMut(&Place, Scale) -> CandleResult<Tensor>,
    ) -> CandleResult<Tensor> {
        if slot.iter().filter_map(|place| self.networks.get(place.network)).any(LiveNetwork::is_in_sequence) {
            return joined::predict_slot(&self.networks_of(slot), inputs, self.task, scale);
        }
        if let [member] = slot {
            return predict(member, scale);
        }
        let predictions = slot.iter().map(|member| predict(member, Scale::Probability));
        let mean = Tensor::stack(&predictions.collect::<CandleResult<Vec<_>>>()?, 0)?.mean(0)?;
        match (self.task, scale) {
            (Task::Classification { .. }, Scale::LogProbability) => ln(&mean),
            _ => Ok(mean),
        }
    }

    /// The predictions of all members, whatever their slots, `(M, B, C)`, in the order of the slots. A sequence of members
    /// counts as one.
    pub(crate) fn predict_members(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        let mut outputs = Outputs::of(self, LiveNetwork::outputs, inputs);
        let mut members = vec![];
        for slot in &self.slots {
            if self.networks_of(slot).iter().any(|network| network.is_in_sequence()) {
                let together = joined::predictors(&self.networks_of(slot)).into_iter();
                let each = together.map(|predictor| joined::predict(&predictor, inputs, self.task));
                members.extend(each.collect::<CandleResult<Vec<_>>>()?);
                continue;
            }
            for place in slot {
                let (output, kind) = (outputs.get(place)?, (self.task, self.positions));
                members.push(self.output.prediction_at(&output, kind, Scale::Probability)?);
            }
        }
        Tensor::stack(&members, 0)
    }

    /// The networks of these places.
    fn networks_of(&self, slot: &[Place]) -> Vec<&LiveNetwork<N>> {
        slot.iter().filter_map(|place| self.networks.get(place.network)).collect()
    }

    /// The outputs of the members, one after the other.
    pub(crate) fn outputs(&self, inputs: &Inputs) -> CandleResult<Vec<Tensor>> {
        self.check_alone("the output of a network")?;
        let mut outputs = Outputs::of(self, LiveNetwork::outputs, inputs);
        self.slots.iter().flatten().map(|place| Ok(outputs.get(place)?.detach())).collect()
    }

    /// The parameters of the distributions that the members predict, `(M, B, W)` for M members, one after the other.
    fn parameters(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        self.check_alone("the distribution that a network predicts")?;
        let of = |network: &LiveNetwork<N>, inputs: &Inputs| network.parameters(inputs, self.task);
        let mut outputs = Outputs::of(self, of, inputs);
        let each = self.slots.iter().flatten().map(|place| outputs.get(place));
        Tensor::stack(&each.collect::<CandleResult<Vec<_>>>()?, 0)
    }

    /// Refuses networks that predict together.
    fn check_alone(&self, what: &str) -> CandleResult<()> {
        match self.networks.iter().all(|network| network.round.is_none()) {
            true => Ok(()),
            false => candle_core::bail!(
                "{what} must be that of a network that predicts by itself, but is that of a member of a sequence"
            ),
        }
    }

    /// The weight of each network, where slots have these weights and the networks of a slot count the same.
    fn weights_of_networks(&self, weights: &[f64]) -> Vec<f64> {
        let slots = self.slots.iter().zip(weights);
        slots.flat_map(|(slot, weight)| slot.iter().map(move |_| weight / slot.len() as f64)).collect()
    }
}

/// What the members of networks make of the same inputs. A network of several members runs once.
struct Outputs<'a, N, F> {
    networks: &'a [LiveNetwork<N>],
    of: F,
    inputs: &'a Inputs,
    /// What the members of a network gave, where it has several.
    known: BTreeMap<usize, Vec<Tensor>>,
}

impl<'a, N, F: Fn(&LiveNetwork<N>, &Inputs) -> CandleResult<Vec<Tensor>>> Outputs<'a, N, F> {
    fn of(live: &'a LiveSlots<N>, of: F, inputs: &'a Inputs) -> Self {
        Self { networks: &live.networks, of, inputs, known: BTreeMap::new() }
    }

    fn get(&mut self, place: &Place) -> CandleResult<Tensor> {
        let found = match self.known.get(&place.network) {
            Some(known) => known.get(place.member).cloned(),
            None => {
                let Some(network) = self.networks.get(place.network) else {
                    candle_core::bail!("there is no network {}", place.network)
                };
                let outputs = (self.of)(network, self.inputs)?;
                let found = outputs.get(place.member).cloned();
                if network.count > 1 {
                    self.known.insert(place.network, outputs);
                }
                found
            }
        };
        found.ok_or_else(|| candle_core::Error::Msg(format!("a network has no member {}", place.member)))
    }
}

/// Keeps the first layout of several.
///
/// # Errors
/// When another one has other positions, so that their predictions cannot be combined.
pub(crate) fn same_layout(first: &mut Option<Layout>, other: Layout) -> CandleResult<()> {
    match first {
        Some(first) if first.has_positions_of(&other) => Ok(()),
        Some(first) => {
            let must = format!("those of all outputs, {first}");
            Err(Error::invalid("the positions of an output", must, other).into())
        }
        None => {
            *first = Some(other);
            Ok(())
        }
    }
}

impl<N: Network> Workers<'_, LiveSlots<N>> {
    /// The predictions of all slots, `(S, N, C)`, without a graph.
    pub(crate) fn predict(&self, passes: &Passes<'_>, scale: Scale) -> Result<Predictions> {
        self.predict_with(passes, scale, |_, predicted| Ok(predicted))
    }

    /// What `keep` keeps of the predictions of all slots in each pass, in one, without a graph.
    pub(crate) fn predict_with(
        &self,
        passes: &Passes<'_>,
        scale: Scale,
        keep: impl Fn(&Pass, Predictions) -> Result<Predictions>,
    ) -> Result<Predictions> {
        let (mut parts, mut layout) = (vec![], None);
        passes.spread(
            self,
            |slots, inputs| Ok(slots.predict(inputs, scale)?.detached()),
            |pass, predicted| {
                let per_row = predicted.layout().map_or(1, Layout::per_row);
                passes.check_predicted(predicted.values(), 1, (pass.start, per_row))?;
                if let Some(of_pass) = predicted.layout() {
                    same_layout(&mut layout, of_pass.clone())?;
                }
                parts.push(keep(&pass, predicted)?.values().clone());
                Ok(())
            },
        )?;
        let predictions = Predictions::on_scale(concat(parts, 1)?, None, self.own().task, scale)?;
        Ok(predictions.with_layout(layout))
    }

    /// The mixture of the distributions that the networks predict, where slots have these weights. Networks of weight 0
    /// take no part.
    pub(crate) fn distributions(&self, passes: &Passes<'_>, weights: &[f64]) -> Result<Mixture> {
        let LiveSlots { output, task, .. } = *self.own();
        if !output.is_distribution() {
            return output.distribution_only();
        }
        let mut parts = vec![];
        passes.spread(
            self,
            |slots, inputs| slots.parameters(inputs),
            |pass, parameters| {
                passes.check_predicted(&parameters, 1, (pass.start, 1))?;
                parts.push(parameters);
                Ok(())
            },
        )?;
        let weights = self.own().weights_of_networks(weights);
        output.mixture(&concat(parts, 1)?, task.width())?.with_weights(&weights)
    }
}

/// All tensors of the inputs as one table of floats, `(B, F)`, with one row for each row of the inputs.
pub(crate) fn flatten_inputs(inputs: &Inputs) -> CandleResult<Tensor> {
    let table = |t: &Tensor| match t.dtype() {
        DType::F64 => t.flatten_from(1),
        _ => t.to_dtype(DType::F32)?.flatten_from(1),
    };
    let tables = inputs.tensors().iter().map(|t| if t.rank() == 1 { t.unsqueeze(1) } else { Ok(t.clone()) });
    let tables = tables.map(|t| table(&t?)).collect::<CandleResult<Vec<_>>>()?;
    match tables.as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let f32s = several.iter().map(|t| t.to_dtype(DType::F32)).collect::<CandleResult<Vec<_>>>()?;
            Tensor::cat(&f32s, 1)
        }
    }
}

/// The inputs of these rows of a data set as one table, `(R, F)`, read in batches.
pub(crate) fn flat_inputs(data: &dyn Dataset, rows: &[u32], device: &Device) -> Result<Tensor> {
    let batches = in_batches(data, rows.to_vec(), BATCH_ROWS, device);
    let tables = batches.map(|batch| Ok(flatten_inputs(&batch?.inputs)?)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&tables, 0)?)
}
