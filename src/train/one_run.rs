//! Training one network, from fresh weights or a checkpoint to the end of its training loop.
use crate::{
    data::Dataset,
    observe::{Flow, Observer},
    plan::RunSpec,
    store::EpochRecord,
    train::{check_run, Collected, Learner, Run, RunParts},
    weights::{init, Vars, Weights},
    Result,
};
use candle_core::Device;

/// Trains the network of one run. Returns its variables and its learning curve.
pub(crate) fn train_run<L: Learner>(learner: &L, parts: RunParts<'_>) -> Result<(Vars, Vec<EpochRecord>)> {
    let (vars, network) = build(learner, &parts)?;
    let epochs = learner.epochs(parts.spec);
    let mut run = Run::start(parts, (&vars, &network), epochs)?;
    let outcome = learner.fit(&network, &mut run);
    let curve = run.finish(outcome)?;
    Ok((vars, curve))
}

/// The network of a run with fresh weights.
fn build<L: Learner>(learner: &L, parts: &RunParts<'_>) -> Result<(Vars, L::Network)> {
    let RunParts { spec, device, .. } = parts;
    let scheme = learner.init(&spec.settings)?;
    let (vars, vb) = init::fresh(spec.seed.child("init"), scheme, learner.dtype(), device);
    let network = learner.build(&spec.architecture, &spec.settings, vb)?;
    Ok((vars, network))
}

/// Trains the networks of several runs side by side, all of the same [`stack_key`](Learner::stack_key). Calls `finished`
/// for each with its number and its learning curve, when its last member has been collected; where that returns
/// [`Flow::Stop`], the others are cancelled.
pub(crate) fn train_stacked<L: Learner>(
    learner: &L,
    parts: Vec<RunParts<'_>>,
    finished: &mut dyn FnMut(usize, Result<Vec<EpochRecord>>) -> Flow,
) {
    let mut built = vec![];
    for (number, parts) in parts.into_iter().enumerate() {
        match build(learner, &parts) {
            Ok(network) => built.push(((number, parts), network)),
            Err(e) => _ = finished(number, Err(e)),
        }
    }
    let (parts, built): (Vec<_>, Vec<_>) = built.into_iter().unzip();
    let (mut started, mut members) = (vec![], vec![]);
    for ((number, parts), (vars, network)) in parts.into_iter().zip(&built) {
        let epochs = learner.epochs(parts.spec);
        match Run::start(parts, (vars, network), epochs) {
            Ok(run) => {
                started.push(number);
                members.push((network, run));
            }
            Err(e) => _ = finished(number, Err(e)),
        }
    }
    learner.fit_stacked(members, &mut |place, run, outcome| match started.get(place) {
        Some(number) => finished(*number, run.finish(outcome)),
        None => Flow::Continue,
    });
}

/// Trains the network of one run without a plan, a store or an observer. Returns its weights and its learning
/// curve.
#[cfg(any(test, feature = "learned"))] // stacked networks are trained by it
pub(crate) fn train_alone<L: Learner>(
    learner: &L,
    data: &dyn Dataset,
    spec: &RunSpec,
    device: &Device,
) -> Result<(Weights, Vec<EpochRecord>)> {
    train_observed(learner, data, spec, device, &crate::observe::Silent)
}

/// The same with an observer.
pub(crate) fn train_observed<L: Learner>(
    learner: &L,
    data: &dyn Dataset,
    spec: &RunSpec,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(Weights, Vec<EpochRecord>)> {
    check_run(learner, spec, data)?;
    let checkpoints = None;
    let (store_member, after_step) = (&|_: usize, _: Collected<'_>| Ok(()), None);
    let parts = RunParts { data, spec, device, observer, checkpoints, store_member, after_step };
    let (vars, curve) = train_run(learner, parts)?;
    Ok((vars.snapshot()?, curve))
}
