//! The members that are trained side by side, and whether they can be.
use crate::{
    nn::{frozen::with_frozen_statistics, stack::Stack},
    observe::Event,
    train::{
        trainer::{
            stacked::{
                lane::Lane,
                passes::{self, Part, Together},
                values::{all, are_same, Values},
            },
            training::Passed,
        },
        Learner, Trainer,
    },
    weights::Vars,
    Error, Network, Result,
};
use candle_core::{backprop::GradStore, Var};
use std::collections::BTreeSet;

/// The number of steps, from the first, in which the passes of all members are compared with those of each.
const COMPARED_STEPS: usize = 2;

/// The networks for all members, as long as they are known to do what theirs do.
pub(super) struct Group<'t, 'a, N> {
    trainer: &'t Trainer<N>,
    /// The variables of each member, by its number.
    vars: Vec<&'a Vars>,
    /// One for each choice of frozen variables that members have had.
    networks: Vec<Stacked<N>>,
    is_stacked: bool,
}

/// The network of members with the same frozen variables.
struct Stacked<N> {
    frozen: BTreeSet<String>,
    stack: Stack,
    network: N,
    compared: usize,
    /// The shapes of the inputs of the batches that have been compared.
    known: Vec<Shapes>,
}

/// The shapes of the inputs of a batch.
type Shapes = Vec<Vec<usize>>;
/// What lanes must have in common to take a step with one graph: the shapes of their batches, and what is frozen.
type Kind = (Shapes, BTreeSet<String>);
/// The lanes of a kind.
type OfKind<'l, 't, 'a, N> = (Kind, Vec<&'l mut Lane<'t, 'a, N>>);
/// Lanes of one kind.
type Alike<'l, 't, 'a, N> = [&'l mut Lane<'t, 'a, N>];

impl<'t, 'a, N: Network> Group<'t, 'a, N> {
    /// Builds the network for these members, whose numbers are their places.
    pub(super) fn new(trainer: &'t Trainer<N>, lanes: &mut [Lane<'_, 'a, N>]) -> Self {
        let vars = lanes.iter().map(|lane| lane.run.vars()).collect();
        let mut group = Self { trainer, vars, networks: vec![], is_stacked: lanes.len() > 1 };
        if let Some(first) = lanes.first().filter(|_| group.is_stacked)
            && let Err(why) = group.network(first, &first.course.training().frozen().clone())
        {
            group.is_stacked = false;
            lanes.iter_mut().for_each(|lane| announce(lane, Err(why.as_str())));
        }
        group
    }

    /// The number of the network of members with these frozen variables, which is built when it is needed first. `like` is
    /// one of the members.
    fn network(
        &mut self,
        like: &Lane<'_, '_, N>,
        frozen: &BTreeSet<String>,
    ) -> std::result::Result<usize, String> {
        if let Some(known) = self.networks.iter().position(|network| network.frozen == *frozen) {
            return Ok(known);
        }
        let (dtype, device) = (Learner::dtype(self.trainer), like.run.device());
        let (stack, vb) = Stack::new(&self.vars, frozen, dtype, device);
        let (architecture, settings) = (&like.run.spec().architecture, like.run.settings());
        let network =
            with_frozen_statistics(frozen, || self.trainer.networks.build(architecture, settings, vb));
        let network = network.map_err(|e| {
            format!("its constructor does not take the variables of several members: {}", words(e))
        })?;
        let (frozen, known) = (frozen.clone(), vec![]);
        self.networks.push(Stacked { frozen, stack, network, compared: 0, known });
        Ok(self.networks.len() - 1)
    }

    /// Whether there is a network for all members.
    pub(super) fn is_stacked(&self) -> bool {
        self.is_stacked
    }

    /// Takes the step that each lane is at.
    pub(super) fn train(&mut self, lanes: &mut [Lane<'_, 'a, N>]) {
        let mut parts: Vec<OfKind<'_, '_, 'a, N>> = vec![];
        for lane in lanes.iter_mut() {
            let Ok(shapes) = shapes(lane) else { continue };
            let frozen = lane.course.training().frozen();
            match parts.iter_mut().find(|((known, of_part), _)| *known == shapes && of_part == frozen) {
                Some((_, part)) => part.push(lane),
                None => parts.push(((shapes, frozen.clone()), vec![lane])),
            }
        }
        let mut reason = None;
        for (kind, mut part) in parts {
            if let Some(why) = self.train_alike(&mut part, kind) {
                reason = Some(why);
            }
        }
        if let Some(why) = reason {
            lanes
                .iter_mut()
                .filter(|lane| !lane.has_ended())
                .for_each(|lane| announce(lane, Err(why.as_str())));
        }
    }

    /// The same for lanes of one kind. Returns why members can no longer be trained side by side.
    fn train_alike(&mut self, lanes: &mut Alike<'_, '_, '_, N>, (shapes, frozen): Kind) -> Option<String> {
        let network = match lanes.first() {
            Some(first) if self.is_stacked && lanes.len() > 1 => self.network(first, &frozen),
            _ => {
                lanes.iter_mut().for_each(|lane| lane.train_alone());
                return None;
            }
        };
        let stacked = match network.map(|number| self.networks.get_mut(number)) {
            Ok(Some(stacked)) => stacked,
            outcome => {
                self.is_stacked = false;
                lanes.iter_mut().for_each(|lane| lane.train_alone());
                return Some(outcome.err().unwrap_or_else(|| "it has not been built".into()));
            }
        };
        let is_known = stacked.compared >= COMPARED_STEPS && stacked.known.contains(&shapes);
        let network = (&stacked.stack, &stacked.network);
        let outcome = match is_known {
            true => train_together(network, lanes),
            false => compare(network, lanes),
        };
        match outcome {
            Ok(None) => {
                if !is_known {
                    stacked.compared += 1;
                    stacked.known.push(shapes);
                }
                None
            }
            Ok(why) => {
                self.is_stacked = false;
                why
            }
            Err(e) => {
                self.is_stacked = false;
                lanes.iter_mut().for_each(|lane| lane.fail_step(&e));
                Some(words(e))
            }
        }
    }
}

/// The shapes of the inputs of the batch that a lane is at.
fn shapes<N: Network>(lane: &Lane<'_, '_, N>) -> Result<Shapes> {
    Ok(lane.step()?.seen.inputs.tensors().iter().map(|input| input.dims().to_vec()).collect())
}

/// Takes the steps with one graph for all. Returns why that is not possible, after the members have taken the steps one
/// by one.
fn train_together<N: Network>(
    network: (&Stack, &N),
    lanes: &mut Alike<'_, '_, '_, N>,
) -> Result<Option<String>> {
    let state = Values::of(lanes.iter().flat_map(|lane| lane.state.iter().cloned()))?;
    match passes::run(network, lanes) {
        (Ok(Together { parts, mut gradients }), _) => {
            for (lane, part) in lanes.iter_mut().zip(parts) {
                complete(lane, part, &mut gradients);
            }
            Ok(None)
        }
        (Err(e), left) => {
            state.restore()?;
            lanes.iter_mut().for_each(|lane| lane.train_alone());
            Ok(Some(why(&words(e), &left)))
        }
    }
}

/// Completes the step of a lane.
fn complete<N: Network>(lane: &mut Lane<'_, '_, N>, part: Part, gradients: &mut GradStore) {
    let Part { output, value, activations } = part;
    let checked = lane.step().and_then(|step| {
        let (training, run) = (lane.course.training(), &lane.run);
        training.check_pass(run, step, &output)?;
        let value = value?;
        training.check_value(run, step, &output, value)?;
        Ok(value)
    });
    match checked {
        Ok(value) => lane.complete((&output, value, &activations), gradients),
        Err(e) => lane.fail(e),
    }
}

/// Takes the steps one by one, and compares them with one graph for all. Returns in what they differ.
fn compare<N: Network>(network: (&Stack, &N), lanes: &mut Alike<'_, '_, '_, N>) -> Result<Option<String>> {
    let vars: Vec<Var> = lanes.iter().flat_map(|lane| lane.run.vars().all_vars()).collect();
    let before = Values::of(vars)?;
    let (together, left) = passes::run(network, lanes);
    let mut after = vec![];
    for lane in lanes.iter() {
        after.push(Values::of(lane.run.vars().all_vars())?);
    }
    before.restore()?;
    let (together, mut reason) = match together {
        Ok(together) => (Some(together), None),
        Err(e) => (None, Some(why(&words(e), &left))),
    };
    for (part, (lane, after)) in lanes.iter_mut().zip(after).enumerate() {
        let passed = lane.step().and_then(|step| lane.course.pass(&lane.run, step));
        let passed = match passed {
            Ok(passed) => passed,
            Err(e) => {
                lane.fail(e);
                continue;
            }
        };
        if let Some((together, part)) = together.as_ref().and_then(|all| Some((all, all.parts.get(part)?))) {
            let differs = difference(lane, (&passed, &after), (part, &together.gradients))?;
            reason = reason.or_else(|| differs.map(|what| why(what, &left)));
        }
        let Passed { output, value, activations, mut gradients } = passed;
        lane.complete((&output, value, &activations), &mut gradients);
    }
    if reason.is_none() {
        let members = lanes.len();
        lanes.iter_mut().filter(|lane| !lane.has_ended()).for_each(|lane| announce(lane, Ok(members)));
    }
    Ok(reason)
}

/// In what the passes of a member alone and with the others differ. `after` are the variables after the passes with the
/// others.
fn difference<N: Network>(
    lane: &Lane<'_, '_, N>,
    (alone, after): (&Passed, &Values),
    (part, gradients): (&Part, &GradStore),
) -> Result<Option<&'static str>> {
    if !are_same(&alone.output, &part.output)? {
        return Ok(Some("its outputs for a batch of several members are not those of each member"));
    }
    if part.value.as_ref().ok().map(|value| value.to_bits()) != Some(alone.value.to_bits()) {
        return Ok(Some("its loss is not that of each member"));
    }
    let observed = alone.activations.is_empty() || alone.activations.len() == part.activations.len();
    let outputs = alone.activations.iter().zip(&part.activations);
    if !observed || !all(outputs.map(|(a, b)| Ok(a.layer == b.layer && are_same(&a.output, &b.output)?)))? {
        return Ok(Some("the outputs of its layers are not those of each member"));
    }
    let same_gradient = |var: &Var| match (alone.gradients.get(var), gradients.get(var)) {
        (None, None) => Ok(true),
        (Some(a), Some(b)) => are_same(a, b),
        _ => Ok(false),
    };
    if !all(lane.run.vars().all_vars().iter().map(same_gradient))? {
        return Ok(Some("its gradients for a batch of several members are not those of each member"));
    }
    Ok((!after.are_unchanged()?)
        .then_some("its forward pass changes other variables than that of each member"))
}

/// A reason, with the variables that no layer has read as those of several members.
fn why(what: &str, left: &[String]) -> String {
    if left.is_empty() {
        return what.into();
    }
    let names: Vec<_> = left.iter().map(|name| format!("`{name}`")).collect();
    format!("{what}; no layer of candle_ensemble::nn that can be stacked reads {}", names.join(", "))
}

/// The words of an error without its backtrace.
fn words(error: impl Into<Error>) -> String {
    error.into().to_string()
}

/// Tells the observer of a run, once, with how many others it is trained side by side, or why it is not.
fn announce<N: Network>(lane: &mut Lane<'_, '_, N>, outcome: std::result::Result<usize, &str>) {
    let run = lane.run.spec();
    let told = match outcome {
        Ok(_) if lane.is_announced => Ok(()),
        Ok(members) => lane.run.notify(&Event::Stacked { run, members }),
        Err(reason) => lane.run.notify(&Event::NotStacked { run, reason }),
    };
    lane.is_announced = true;
    if let Err(e) = told {
        lane.fail(e);
    }
}
