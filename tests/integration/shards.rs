//! Shards: processes that share a plan and one directory.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    exec::{Sequential, Shard, Stacked, Threads},
    observe::{Event, Flow, Observer},
    store::DirectoryStore,
    strategy::Bagging,
    train::Trainer,
    Error, Member, Result, Session,
};
use candle_nn::linear;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn any_process_loads_the_members_that_shards_have_trained() -> Result<()> {
    let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).epochs(2);
    let plan = Session::new(&trainer, &data).plan(&Bagging::new(5), 1)?;
    let bytes = |members: &[Member]| members.iter().map(Member::to_bytes).collect::<Result<Vec<_>>>();

    let folder = tempfile::tempdir().unwrap();
    let (store, two) = (DirectoryStore::new(folder.path())?, Threads::new(2)?);
    let (first, second) = (Shard::new(0, 2, &two)?, Shard::new(1, 2, &Sequential)?);
    let session = Session::new(&trainer, &data).store(&store);

    session.clone().executor(&second).build(&plan)?;
    let missing = session.load(&plan).err().unwrap();
    assert!(matches!(&missing, Error::Incomplete { missing, of: 5 } if *missing == [0, 2, 4]), "{missing}");
    assert_eq!(missing.to_string(), "3 of 5 runs are not in the store: [0, 2, 4]");

    session.clone().executor(&first).build(&plan)?;
    let in_one_process = Session::new(&trainer, &data).train(&plan)?;
    assert_eq!(bytes(session.load(&plan)?.members())?, bytes(in_one_process.members())?);
    Ok(())
}

/// CPU workers stand in for several GPUs. Which device trains a run does not matter.
#[test]
fn runs_are_spread_over_devices_and_give_the_same_bytes() -> Result<()> {
    let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).epochs(3);
    let session = Session::new(&trainer, &data);
    let bytes = |members: &[Member]| members.iter().map(Member::to_bytes).collect::<Result<Vec<_>>>();
    let one = bytes(session.fit(&Bagging::new(7), 1)?.members())?;

    let devices = vec![Device::Cpu; 3];
    let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let observer = Counting { running: &running, most: &most };
    let on_three = session.clone().devices(devices.clone())?.observer(&observer);
    assert_eq!(bytes(on_three.fit(&Bagging::new(7), 1)?.members())?, one);
    assert!((1..=3).contains(&most.into_inner()), "one worker for each device");

    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path())?;
    let plan = session.plan(&Bagging::new(7), 1)?;
    for (index, stacked) in [Stacked::new(2)?, Stacked::new(1)?].iter().enumerate() {
        let shard = Shard::new(index, 2, stacked)?;
        session.clone().devices(devices.clone())?.store(&store).executor(&shard).build(&plan)?;
    }
    assert_eq!(bytes(session.clone().store(&store).load(&plan)?.members())?, one);
    let e = session.devices([]).err().unwrap().to_string();
    assert_eq!(e, "the devices must be at least one, but is none");
    Ok(())
}

/// Counts how many runs train at the same time.
struct Counting<'a> {
    running: &'a AtomicUsize,
    most: &'a AtomicUsize,
}

impl Observer for Counting<'_> {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::RunStarted { .. } => {
                let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(running, Ordering::SeqCst);
            }
            Event::RunFinished { .. } => {
                self.running.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Flow::Continue
    }
}
