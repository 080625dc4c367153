//! Members collected within a run, alone and within other strategies.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    plan::{FastGeometric, Horizontal, Schedule, Snapshot, Unit},
    strategy::{Bagging, MultiRun},
    train::{CustomLoop, EarlyStopping, Trainer},
    Pool, Result, Session,
};
use candle_nn::{linear, Linear, VarBuilder};

fn data() -> TensorDataset {
    let x = Tensor::arange(0f32, 80., &Device::Cpu)
        .unwrap()
        .affine(0.025, -1.)
        .unwrap()
        .reshape((40, 2))
        .unwrap();
    TensorDataset::regression(x.clone(), &x.sqr().unwrap().sum(1).unwrap()).unwrap()
}

fn net(vb: VarBuilder<'_>) -> candle_core::Result<Linear> {
    linear(2, 1, vb)
}

fn weights<L: candle_ensemble::train::Learner>(pool: &Pool<'_, L>, member: usize) -> Vec<Vec<f32>> {
    pool.members()[member].weights["weight"].to_vec2().unwrap()
}

#[test]
fn a_horizontal_member_equals_a_network_of_as_many_epochs() -> Result<()> {
    let (data, trainer) = (data(), Trainer::new(net).epochs(10));
    let pool = Session::new(&trainer, &data).fit(&Horizontal::window(3..10).every(3), 5)?;
    let epochs: Vec<usize> = pool.members().iter().map(|m| m.record.curve.len()).collect();
    assert_eq!(epochs, [4, 7, 10]);
    for (i, epochs) in [4, 7, 10].into_iter().enumerate() {
        let short = Trainer::new(net).epochs(epochs);
        let alone = Session::new(&short, &data).fit(&MultiRun::new(1), 5)?;
        assert_eq!(weights(&pool, i), weights(&alone, 0));
    }
    Ok(())
}

#[test]
fn a_snapshot_run_follows_its_learning_rate() -> Result<()> {
    let (data, trainer) = (data(), Trainer::new(net).epochs(6).batch_size(10));
    let pool = Session::new(&trainer, &data).fit(&Snapshot::new(2).per(Unit::Epoch), 5)?;
    assert_eq!(pool.members().len(), 2);
    let rates: Vec<f64> = pool.members()[1].record.curve.iter().map(|e| e.learning_rate).collect();
    let third = |k: f64| 1e-3 / 2. * ((std::f64::consts::PI * k / 3.).cos() + 1.);
    for (rate, expected) in rates.iter().zip([0., 1., 2., 0., 1., 2.].map(third)) {
        assert!((rate - expected).abs() < 1e-12);
    }
    Ok(())
}

#[test]
fn snapshots_and_a_schedule_are_an_error_that_names_both() {
    let trainer = Trainer::new(net).epochs(6).schedule(Schedule::Linear { to: 0.5 });
    let e = Session::new(&trainer, &data()).fit(&Snapshot::new(2), 5).err().unwrap().to_string();
    assert!(
        e.contains("the schedule must be left unset with Snapshot") && e.contains("Linear { to: 0.5 }"),
        "{e}"
    );
}

#[test]
fn the_schedule_applies_to_the_pretraining_of_fast_geometric_cycles() -> Result<()> {
    let schedule = Schedule::Linear { to: 0. }.per(Unit::Epoch);
    let (data, trainer) = (data(), Trainer::new(net).epochs(8).batch_size(40).schedule(schedule));
    let cycles = FastGeometric::new(4, 5e-2, 1e-2).pretraining(0.5);
    let pool = Session::new(&trainer, &data).fit(&cycles, 5)?;
    let rates: Vec<f64> = pool.members()[0].record.curve.iter().map(|e| e.learning_rate).collect();
    // The schedule counts all 8 epochs. The member is collected after half a cycle, at epoch 5.
    for (rate, expected) in rates.iter().zip([1e-3, 8.75e-4, 7.5e-4, 6.25e-4, 5e-2, 3e-2]) {
        assert!((rate - expected).abs() < 1e-12, "{rates:?}");
    }
    assert_eq!(rates.len(), 6);
    Ok(())
}

#[test]
fn strategies_compose_and_every_member_has_a_slot() -> Result<()> {
    let data = data();
    let trainer = Trainer::new(net).architecture("other", net).epochs(8);
    let session = Session::new(&trainer, &data);
    // Two architectures, three bootstrap runs each, two members a run.
    for builder in [
        Bagging::new(3).collect(Snapshot::new(2)),
        Bagging::new(3).collect(Horizontal::last(2)),
        Bagging::new(3).collect(FastGeometric::new(2, 1e-2, 1e-3).pretraining(0.5)),
    ] {
        let pool = session.fit(&builder, 3)?;
        assert_eq!((pool.members().len(), pool.slots()), (12, 12));
        let held_out = pool.held_out()?;
        assert_eq!(held_out.predictions().slots(), 12);
        assert_eq!(pool.combine(&Mean)?.member_predictions(&data.inputs().tensors()[0])?.dims(), [12, 40, 1]);
    }
    Ok(())
}

#[test]
fn members_of_a_custom_loop_are_collected_at_the_ends_of_epochs() -> Result<()> {
    let data = data();
    let record = |epoch| candle_ensemble::store::EpochRecord {
        epoch,
        learning_rate: 0.1,
        train_loss: 0.,
        train_metric: 0.,
        ..Default::default()
    };
    let complete =
        CustomLoop::new("five", net, move |_, run| (0..5).try_for_each(|e| run.end_epoch(record(e))));
    let pool =
        Session::new(&complete.epochs(5), &data).fit(&Horizontal::last(3), 1).map(|p| p.members().len());
    assert_eq!(pool?, 3);

    let short =
        CustomLoop::new("three", net, move |_, run| (0..3).try_for_each(|e| run.end_epoch(record(e))));
    let e = Session::new(&short.epochs(5), &data).fit(&Horizontal::last(3), 1).err().unwrap();
    assert!(e.to_string().contains("calls Run::end_epoch for each of 5 epochs"), "{e}");

    let unknown = CustomLoop::new("unknown", net, move |_, run| run.end_epoch(record(0)));
    let e = Session::new(&unknown, &data).fit(&Horizontal::last(3), 1).err().unwrap();
    assert!(e.to_string().contains("CustomLoop::epochs"), "{e}");
    Ok(())
}

#[test]
fn a_run_that_collects_members_on_its_way_cannot_stop_early() {
    let (data, trainer) = (data(), Trainer::new(net).early_stopping(EarlyStopping::default()));
    let builder = MultiRun::new(1).validation(0.2).collect(Snapshot::new(2));
    let e = Session::new(&trainer, &data).fit(&builder, 1).err().unwrap();
    assert!(e.to_string().contains("early stopping must be off"), "{e}");
}
