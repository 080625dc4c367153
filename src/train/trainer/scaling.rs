//! The scalings of a run: fitted on its training rows, and applied to its batches.
use crate::{
    data::{only, Batch, FittedScalings, Scaling, Task},
    train::{trainer::TrainConfig, Run},
    Error, Result,
};

/// Fits the scalings of the configuration on the training rows of the run.
///
/// # Errors
/// When there are several inputs, or the rows cannot be scaled.
pub(super) fn fit(config: &TrainConfig, run: &Run<'_>) -> Result<FittedScalings> {
    let TrainConfig { input_scaling, target_scaling, .. } = config;
    if input_scaling.is_none() && target_scaling.is_none() {
        return Ok(FittedScalings::default());
    }
    let Batch { inputs, targets, .. } = run.batch(&run.spec().train)?;
    let inputs = input_scaling.as_ref().map(|scaling| scaling.fit(only(&inputs)?)).transpose()?;
    let targets = target_scaling.as_ref().map(|scaling| scaling.fit(&targets)).transpose()?;
    Ok(FittedScalings { inputs, targets })
}

/// Checks the parameters of the scalings, and that those of targets go with the task.
pub(super) fn check(config: &TrainConfig, task: Task) -> Result<()> {
    config.input_scaling.as_ref().map_or(Ok(()), Scaling::check)?;
    let Some(targets) = &config.target_scaling else { return Ok(()) };
    targets.check()?;
    if matches!(task, Task::Classification { .. }) {
        let must = "left unset where the targets are classes";
        return Err(Error::invalid("the scaling of targets", must, format!("{targets:?}")));
    }
    match targets.has_inverse() {
        true => Ok(()),
        false => {
            let must = "one with an inverse, which the predictions need";
            Err(Error::invalid("the scaling of targets", must, format!("{targets:?}")))
        }
    }
}
