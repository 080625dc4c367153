//! Training on all rows after early stopping has found the number of epochs.
use crate::common::{listed, normal, weights};
use candle_ensemble::{
    data::TensorDataset,
    plan::{Plan, Settings},
    strategy::Bagging,
    train::{EarlyStopping, Optimizer, Retrain, Trainer},
    Member, Result, Session,
};
use candle_nn::{linear, seq, Activation, Sequential, VarBuilder};

const EPOCHS: usize = 60;

fn mlp(vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    Ok(seq().add(linear(3, 12, vb.pp("a"))?).add(Activation::Relu).add(linear(12, 1, vb.pp("b"))?))
}

/// Noisy values of few rows: networks overfit soon.
fn data() -> TensorDataset {
    let (x, noise) = (normal(1, 40, 3), normal(2, 40, 1));
    let y = (x.narrow(1, 0, 1).unwrap() + noise).unwrap();
    TensorDataset::regression(&x, &y).unwrap()
}

fn trainer() -> Trainer<Sequential> {
    Trainer::new(mlp).epochs(EPOCHS).batch_size(8).shuffle(false).optimizer(Optimizer::adam(0.02))
}

fn stopping(then: Retrain) -> EarlyStopping {
    EarlyStopping { patience: 4, then, ..EarlyStopping::default() }
}

fn plan(runs: usize) -> Result<Plan> {
    Session::new(&trainer(), &data()).plan(&Bagging::new(runs).validation(0.3), 5)
}

fn members(trainer: &Trainer<Sequential>, plan: &Plan) -> Result<Vec<Member>> {
    let data = data();
    Ok(Session::new(trainer, &data).train(plan)?.members().to_vec())
}

/// The number of the epoch with the lowest validation loss, and of the last epoch that has one.
fn best(member: &Member) -> (usize, usize) {
    let losses: Vec<f64> = member.record.curve.iter().map_while(|epoch| epoch.valid_loss).collect();
    let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
    (best, losses.len() - 1)
}

#[test]
fn from_scratch_is_a_training_on_all_rows_for_as_many_epochs() -> Result<()> {
    let plan = plan(3)?;
    let again = members(&trainer().early_stopping(stopping(Retrain::FromScratch)), &plan)?;
    for (run, again) in again.iter().enumerate() {
        let (best, last) = best(again);
        let epochs: Vec<usize> = again.record.curve.iter().map(|epoch| epoch.epoch).collect();
        assert_eq!(epochs, (0..last + 1 + best + 1).collect::<Vec<_>>());
        assert!(best + 4 == last, "the run stopped early");

        let mut all = plan.clone();
        all.runs = vec![plan.runs[run].clone()];
        let spec = &mut all.runs[0];
        (spec.id, spec.settings) = (0, Settings::new().with("epochs", best as i64 + 1));
        let valid = std::mem::take(&mut spec.valid);
        spec.train = [listed(&spec.train), listed(&valid)].concat().into();
        let plain = members(&trainer(), &all)?;
        assert_eq!(weights(again), weights(&plain[0]));
        assert_eq!(again.record.seen, plain[0].record.seen);
    }
    Ok(())
}

#[test]
fn going_on_ends_when_the_loss_of_the_validation_rows_is_below_the_target() -> Result<()> {
    let plan = plan(4)?;
    let stopped = members(&trainer().early_stopping(stopping(Retrain::No)), &plan)?;
    let most = 500;
    let again = members(&trainer().early_stopping(stopping(Retrain::Continue { epochs: most })), &plan)?;
    for (stopped, again) in stopped.iter().zip(&again) {
        let (curve, first) = (&again.record.curve, stopped.record.curve.len());
        assert_eq!(curve[..first], stopped.record.curve[..]);
        assert!(curve.len() > first && curve[first..].iter().all(|epoch| epoch.valid_loss.is_none()));
        assert_ne!(weights(again), weights(stopped));
        // The validation rows are trained on now, so their loss falls below the target long before the last epoch.
        assert!(curve.len() < first + most);
    }
    Ok(())
}

#[test]
fn the_second_training_resumes() {
    for then in [Retrain::FromScratch, Retrain::Continue { epochs: 3 }] {
        let trainer = trainer().epochs(12).shuffle(true).early_stopping(stopping(then));
        let builder = Bagging::new(2).validation(0.3);
        let resumed = crate::resume::interrupt_everywhere_on(
            &data(),
            &trainer,
            &builder,
            candle_ensemble::Checkpoints::Epochs(3),
        );
        assert!(resumed > 0);
    }
}

#[test]
fn a_second_training_without_epochs_is_an_error() {
    let trainer = trainer().early_stopping(stopping(Retrain::Continue { epochs: 0 }));
    let e = members(&trainer, &plan(2).unwrap()).unwrap_err().to_string();
    assert!(e.contains("Retrain::Continue::epochs must be at least 1, but is 0"), "{e}");
}
