//! The scalings of a run: fitted on its training rows, and applied to its batches.
use crate::{
    data::{Dataset, FittedScalings},
    plan::RunSpec,
    train::{trainer::TrainConfig, Run},
    Result,
};

/// The scalings of the configuration, fitted on the training rows of the run: once for each run, also where several
/// trainings follow one another. Training resumes with the same scalings, because they depend on the rows alone.
///
/// # Errors
/// As [`FittedScalings::fit`].
pub(crate) fn fit(config: &TrainConfig, run: &mut Run<'_>) -> Result<FittedScalings> {
    let TrainConfig { input_scaling, target_scaling, .. } = config;
    run.fit_scaling(input_scaling.as_ref(), target_scaling.as_ref())?;
    Ok(run.scaling().clone())
}

/// Checks the scalings of the configuration, and that the data of the run can be scaled so.
pub(crate) fn check(config: &TrainConfig, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
    let TrainConfig { input_scaling, target_scaling, .. } = config;
    if input_scaling.is_none() && target_scaling.is_none() {
        return Ok(());
    }
    let (row, features) = (run.train.a_row(), run.features.as_deref());
    let rows = (row.as_slice(), run.train.at_most()?);
    FittedScalings::check(data, rows, features, input_scaling.as_ref(), target_scaling.as_ref())
}
