//! Shards: processes that share a plan and one directory.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    exec::{Sequential, Shard, Threads},
    store::DirectoryStore,
    strategy::Bagging,
    train::Trainer,
    Error, Member, Result, Session,
};
use candle_nn::linear;

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
