//! One network on its own: a run without a plan, a store or an observer.
use crate::{
    data::Dataset,
    observe::Silent,
    plan::RunSpec,
    store::{Checkpoints, EpochRecord, MemoryStore},
    train::{keeper::Keeper, Learner, Run, RunParts},
    weights::{init, Weights},
    Result,
};
use candle_core::Device;

/// Trains one network on the rows of `run`. Returns its weights and its learning curve.
pub(crate) fn train_alone<L: Learner>(
    learner: &L,
    data: &dyn Dataset,
    run: &RunSpec,
    device: &Device,
) -> Result<(Weights, Vec<EpochRecord>)> {
    learner.check(run, data)?;
    let (vars, vb) = init::fresh(run.seed.child("init"), learner.init(), learner.dtype(), device);
    let network = learner.build(&run.architecture, &run.settings, vb)?;
    let store = MemoryStore::new();
    let mut context = Run::start(RunParts {
        data,
        spec: run,
        vars: &vars,
        device,
        observer: &Silent,
        epochs: learner.epochs(run),
        keeper: Keeper::new(&store, String::new(), Checkpoints::Never),
        take: &|_, _| Ok(()),
    })?;
    let outcome = learner.fit(&network, &mut context);
    let curve = context.finish(outcome)?;
    Ok((vars.snapshot()?, curve))
}
