//! Training one network, from fresh weights or a checkpoint to the end of its training loop.
use crate::{
    data::Dataset,
    observe::Observer,
    plan::RunSpec,
    store::EpochRecord,
    train::{Collected, Learner, Run, RunParts},
    weights::{init, Vars, Weights},
    Result,
};
use candle_core::Device;

/// Trains the network of one run. Returns its variables and its learning curve.
pub(crate) fn train_run<L: Learner>(learner: &L, parts: RunParts<'_>) -> Result<(Vars, Vec<EpochRecord>)> {
    let RunParts { spec, device, .. } = parts;
    let scheme = learner.init(&spec.settings)?;
    let (vars, vb) = init::fresh(spec.seed.child("init"), scheme, learner.dtype(), device);
    let network = learner.build(&spec.architecture, &spec.settings, vb)?;
    let mut run = Run::start(parts, &vars, learner.epochs(spec))?;
    let outcome = learner.fit(&network, &mut run);
    let curve = run.finish(outcome)?;
    Ok((vars, curve))
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
    learner.check(spec, data)?;
    let checkpoints = None;
    let (store_member, after_step) = (&|_: usize, _: Collected<'_>| Ok(()), None);
    let parts = RunParts { data, spec, device, observer, checkpoints, store_member, after_step };
    let (vars, curve) = train_run(learner, parts)?;
    Ok((vars.snapshot()?, curve))
}
