//! The members that are trained side by side, and whether they can be.
use crate::{
    nn::stack::Stack,
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
    Error, Network, Result,
};
use candle_core::{backprop::GradStore, Var};

/// The number of steps, from the first, in which the passes of all members are compared with those of each.
const COMPARED_STEPS: usize = 2;

/// The network for all members, as long as it is known to do what theirs do.
pub(super) struct Group<N> {
    network: Option<(Stack, N)>,
    compared: usize,
    /// The shapes of the inputs of the batches that have been compared.
    known: Vec<Shapes>,
}

/// The shapes of the inputs of a batch.
type Shapes = Vec<Vec<usize>>;
/// The lanes whose batches have these shapes.
type OfShapes<'l, 't, 'a, N> = (Shapes, Vec<&'l mut Lane<'t, 'a, N>>);
/// Lanes whose batches have the same shapes.
type Alike<'l, 't, 'a, N> = [&'l mut Lane<'t, 'a, N>];

impl<N: Network> Group<N> {
    /// Builds the network for these members.
    pub(super) fn new(trainer: &Trainer<N>, lanes: &mut [Lane<'_, '_, N>]) -> Self {
        let mut group = Self { network: None, compared: 0, known: vec![] };
        let ([first, _, ..], vars) = (&*lanes, lanes.iter().map(|lane| lane.run.vars())) else {
            return group;
        };
        let (stack, vb) = Stack::new(&vars.collect::<Vec<_>>(), Learner::dtype(trainer), first.run.device());
        match trainer.networks.build(&first.run.spec().architecture, first.run.settings(), vb) {
            Ok(network) => group.network = Some((stack, network)),
            Err(e) => {
                let why =
                    format!("its constructor does not take the variables of several members: {}", words(e));
                lanes.iter_mut().for_each(|lane| announce(lane, Err(why.as_str())));
            }
        }
        group
    }

    /// Whether there is a network for all members.
    pub(super) fn is_stacked(&self) -> bool {
        self.network.is_some()
    }

    /// Takes the step that each lane is at.
    pub(super) fn train(&mut self, lanes: &mut [Lane<'_, '_, N>]) {
        let mut parts: Vec<OfShapes<'_, '_, '_, N>> = vec![];
        for lane in lanes.iter_mut() {
            let Ok(shapes) = shapes(lane) else { continue };
            match parts.iter_mut().find(|(of_part, _)| *of_part == shapes) {
                Some((_, part)) => part.push(lane),
                None => parts.push((shapes, vec![lane])),
            }
        }
        let mut reason = None;
        for (shapes, mut part) in parts {
            if let Some(why) = self.train_alike(&mut part, shapes) {
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

    /// The same for lanes whose batches have these shapes. Returns why members can no longer be trained side by side.
    fn train_alike(&mut self, lanes: &mut Alike<'_, '_, '_, N>, shapes: Shapes) -> Option<String> {
        let network = match &self.network {
            Some(network) if lanes.len() > 1 => network,
            _ => {
                lanes.iter_mut().for_each(|lane| lane.train_alone());
                return None;
            }
        };
        let is_known = self.compared >= COMPARED_STEPS && self.known.contains(&shapes);
        let outcome = match is_known {
            true => train_together(network, lanes),
            false => compare(network, lanes),
        };
        match outcome {
            Ok(None) => {
                if !is_known {
                    self.compared += 1;
                    self.known.push(shapes);
                }
                None
            }
            Ok(why) => {
                self.network = None;
                why
            }
            Err(e) => {
                self.network = None;
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
    network: &(Stack, N),
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
fn compare<N: Network>(network: &(Stack, N), lanes: &mut Alike<'_, '_, '_, N>) -> Result<Option<String>> {
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
