//! Several trainings side by side: all take a step at a time, and their forward and backward passes are one graph.
//!
//! Each member keeps its own training, with its variables, its optimizer, its schedule, its early stopping and its
//! checkpoints. Only the passes are shared: the batches of all members are one batch, and a further network, built with
//! variables that stand for those of the members ([`Stack`](crate::nn::stack::Stack)), computes each member's rows with
//! the member's weights. The members' variables are read where they are, so nothing is copied before a step, and a member
//! may leave at any time: when it is finished, stopped early, or failed. Members whose batches differ in their numbers of
//! rows, such as the last ones of epochs, are in different passes for that step.
mod group;
mod lane;
mod passes;
mod values;

use crate::{
    observe::Flow,
    train::{trainer::course::Course, Finished, Run, TrainConfig, Trainer},
    Error, Network,
};
use group::Group;
use lane::Lane;

/// Trains the networks of several runs, which have the same constructor; see
/// [`Learner::fit_stacked`](crate::train::Learner::fit_stacked).
pub(super) fn fit<'a, N: Network>(
    trainer: &Trainer<N>,
    members: Vec<(&N, Run<'a>)>,
    finished: &mut Finished<'_, 'a>,
) {
    let (mut configs, mut rest) = (vec![], vec![]);
    for (number, (network, run)) in members.into_iter().enumerate() {
        match trainer.config.for_run(run.settings()) {
            Ok(config) => {
                configs.push(config);
                rest.push((number, network, run));
            }
            Err(e) => fail(number, run, e, finished),
        }
    }
    let lanes = start(trainer, &configs, rest, finished);
    train(trainer, lanes, finished);
}

/// The lanes of the members whose trainings could start.
fn start<'t, 'a, N: Network>(
    trainer: &'t Trainer<N>,
    configs: &'t [TrainConfig],
    members: Vec<(usize, &'t N, Run<'a>)>,
    finished: &mut Finished<'_, 'a>,
) -> Vec<Lane<'t, 'a, N>> {
    let mut lanes = vec![];
    for (config, (number, network, mut run)) in configs.iter().zip(members) {
        match Course::start(trainer, config, network, &mut run) {
            Ok(course) => lanes.push(Lane::new((number, lanes.len()), run, course)),
            Err(e) => fail(number, run, e, finished),
        }
    }
    lanes
}

fn fail<'a>(number: usize, mut run: Run<'a>, error: Error, finished: &mut Finished<'_, 'a>) {
    let error = run.fail(error);
    // One run that cannot start does not stop the others.
    let _ = finished(number, run, Err(error));
}

/// Trains all members to their ends: together as long as that is possible, and then one after the other.
fn train<'a, N: Network>(
    trainer: &Trainer<N>,
    mut lanes: Vec<Lane<'_, 'a, N>>,
    finished: &mut Finished<'_, 'a>,
) {
    let mut group = Group::new(trainer, &mut lanes);
    while group.is_stacked() && lanes.len() > 1 {
        lanes.iter_mut().for_each(Lane::take_step);
        lanes = without_ended(lanes, finished);
        group.train(&mut lanes);
        lanes = without_ended(lanes, finished);
    }
    while !lanes.is_empty() {
        lanes[0].train_to_end();
        lanes = without_ended(lanes, finished);
    }
}

/// The lanes that go on. The others are finished; all are where `finished` says that the build stops.
fn without_ended<'t, 'a, N: Network>(
    lanes: Vec<Lane<'t, 'a, N>>,
    finished: &mut Finished<'_, 'a>,
) -> Vec<Lane<'t, 'a, N>> {
    if lanes.iter().all(|lane| !lane.has_ended()) {
        return lanes;
    }
    let (ended, mut going): (Vec<_>, Vec<_>) = lanes.into_iter().partition(Lane::has_ended);
    let mut stop = false;
    for lane in ended {
        stop |= lane.finish(finished) == Flow::Stop;
    }
    if stop {
        for mut lane in going.drain(..) {
            lane.cancel();
            // The build has stopped.
            let _ = lane.finish(finished);
        }
    }
    going
}
