//! The runs of a setup on the training rows of a split.
use crate::{
    data::{Dataset, View},
    improve::together::Together,
    plan::{Plan, RunSpec},
    remedy::Setup,
    resample::PlannedRows,
    train::{Learner, PlateauWatch, TrainConfig, Trainer},
    Network, Result, Seed, Session,
};

/// The share of the training rows that is reserved for a combination that needs rows which no member has
/// seen.
const RESERVED: f64 = 0.2;
/// The share of a run's rows that it watches, where the trainer watches rows and the setup gives no share.
const WATCHED: f64 = 0.15;

/// Whether something in a run depends on its validation rows.
fn watches(config: &TrainConfig) -> bool {
    let plateau = config.plateau.as_ref().is_some_and(|rule| rule.watch != PlateauWatch::TrainingLoss);
    config.early_stopping.is_some() || plateau
}

/// The setup with a share of validation rows, if the trainer watches some.
pub(super) fn completed<N>(setup: &Setup, trainer: &Trainer<N>) -> Result<Setup>
where
    N: Network,
{
    let mut setup = setup.clone();
    if setup.validation.is_none() && watches(&setup.config(trainer.config())?) {
        setup.validation = Some(WATCHED);
    }
    Ok(setup)
}

/// Lays out the runs of a setup: on the rows `train` of a view, from a seed.
///
/// The rows `score` are those that the members are scored on. No run learns from them. Where nothing in the
/// training depends on validation rows, they are the validation rows of the runs, whose losses are then those
/// of the learning curves. Otherwise the runs watch some of their training rows.
pub(super) fn plan<N: Network>(
    setup: &Setup,
    trainer: &Trainer<N>,
    view: &View<'_>,
    (train, score): (&[u32], &[u32]),
    seed: Seed,
) -> Result<Plan> {
    let rows = View::new(view, train.to_vec())?;
    let mut plan = Session::new(trainer, &rows).plan(&*setup.strategy()?, seed)?;
    let together = Together::of(setup)?;
    if together.needs_reserved() || together.needs_held_out() && !leaves_rows_out(&plan, rows.rows())? {
        plan = plan.reserve(RESERVED, &rows, seed)?;
    }
    let watches = watches(&setup.config(trainer.config())?);
    for run in &mut plan.runs {
        for of_run in [&mut run.train, &mut run.valid, &mut run.excluded] {
            *of_run = renumbered(of_run, &rows)?;
        }
        let of_score = match watches || setup.validation.is_some() {
            true => &mut run.excluded,
            false => &mut run.valid,
        };
        *of_score = of_score.bitmap()?.union(&score.into()).to_vec().into();
    }
    plan.reserved = renumbered(&plan.reserved, &rows)?;
    plan.data = view.fingerprint();
    Ok(plan)
}

/// Whether a run leaves rows out.
fn leaves_rows_out(plan: &Plan, rows: usize) -> Result<bool> {
    for run in plan.runs.iter().filter(|run| !run.refit) {
        if run.seen()?.len() < rows {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Rows of a view, as its data set numbers them.
fn renumbered(rows: &PlannedRows, view: &View<'_>) -> Result<PlannedRows> {
    let numbers = view.row_numbers();
    Ok(rows.iter()?.filter_map(|row| numbers.get(row as usize).copied()).collect())
}

/// The epochs that the runs are expected to train.
pub(super) fn epochs<N: Network>(trainer: &Trainer<N>, runs: &[RunSpec]) -> usize {
    runs.iter().map(|run| Learner::epochs(trainer, run)).fold(0, usize::saturating_add)
}
