//! The store in object storage, on a server of the S3 protocol, with faults: nothing is lost, nothing is half-written, and
//! the objects are the files of a directory store to the byte.
#[path = "../integration/common.rs"]
#[allow(dead_code)]
mod common;
mod faults;
mod proxy;
mod secrets;
mod server;
mod sessions;

use candle_core::Tensor;
use candle_ensemble::{
    exec::{Executor, Sequential, Worker},
    observe::{Observer, Silent},
    store::{Checkpoints, DirectoryStore, ObjectStore, ObjectStoreOptions, Store},
    strategy::Bagging,
    train::Trainer,
    Error, Member, Result, Session,
};
use common::{line, CPU};
use server::{ACCESS_KEY, BUCKET, SECRET_KEY};
use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, sync::LazyLock, time::Duration};

/// The number of runs of a build, and of its epochs. After each epoch there is a checkpoint.
const RUNS: usize = 4;
const EPOCHS: usize = 3;

/// The options of a server at an address.
fn options(server: SocketAddr) -> ObjectStoreOptions {
    ObjectStoreOptions::new()
        .set("endpoint", format!("http://{server}"))
        .set("region", "us-east-1")
        .set("allow_http", "true")
        .set("access_key_id", ACCESS_KEY)
        .set("secret_access_key", SECRET_KEY)
}

/// The store under a prefix of a server, with short waits.
fn store(server: SocketAddr, prefix: &str) -> ObjectStore {
    with_options(options(server), prefix)
}

fn with_options(options: ObjectStoreOptions, prefix: &str) -> ObjectStore {
    let store = ObjectStore::from_url_with(&format!("s3://{BUCKET}/{prefix}"), &options).unwrap();
    store.backoff(Duration::from_millis(2), Duration::from_millis(50))
}

/// Trains what the store lacks, and returns the members as bytes.
fn build(store: &dyn Store, executor: &dyn Executor, observer: &dyn Observer) -> Result<()> {
    let data = line(1, 60, 0.1);
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(EPOCHS).batch_size(16);
    let session = Session::new(&trainer, &data).store(store).executor(executor).observer(observer);
    let session = session.checkpoints(Checkpoints::Epochs(1));
    session.build(&session.plan(&Bagging::new(RUNS), 7)?)
}

/// Takes the runs of the same build from the store.
fn work(store: &dyn Store, worker: &Worker) -> Result<()> {
    let data = line(1, 60, 0.1);
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(EPOCHS).batch_size(16);
    let session = Session::new(&trainer, &data).store(store).executor(&Sequential).worker(worker);
    let session = session.checkpoints(Checkpoints::Epochs(1));
    session.build(&session.plan(&Bagging::new(RUNS), 7)?)
}

/// The members of the build in a store, as bytes.
fn load(store: &dyn Store) -> Result<Vec<Vec<u8>>> {
    let data = line(1, 60, 0.1);
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(EPOCHS).batch_size(16);
    let session = Session::new(&trainer, &data).store(store);
    let pool = session.load(&session.plan(&Bagging::new(RUNS), 7)?)?;
    Ok(common::bytes(pool.members()))
}

fn train(store: &dyn Store) -> Result<()> {
    build(store, &Sequential, &Silent)
}

/// The files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

/// The files of a directory store in which the build was made.
static EXPECTED: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    train(&DirectoryStore::new(folder.path()).unwrap()).unwrap();
    let files = files(folder.path());
    assert_eq!(files.len(), 1 + RUNS);
    files
});

/// Checks that the objects in a folder of a server are the files of a directory store, and that the pool can be loaded.
fn assert_complete(folder: &Path, store: &ObjectStore) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let there = files(folder);
    assert_eq!(names(&there), names(&EXPECTED));
    assert!(there == *EXPECTED, "the bytes differ");
    assert_eq!(load(store).unwrap(), load(&DirectoryStore::new(folder).unwrap()).unwrap());
}

/// A member of the build whose weights take about 12 megabytes.
fn large() -> Member {
    let (_, bytes) = EXPECTED.iter().find(|(name, _)| name.ends_with("safetensors")).unwrap();
    let mut member = Member::from_bytes(bytes).unwrap();
    let weights = Tensor::arange(0f32, 3e6, &CPU).unwrap();
    member.weights = [("w".to_string(), weights)].into();
    member.record.key = "large".into();
    member
}

/// The text of an error, checked to contain no credentials and to have the form for debugging without any.
fn text(error: &Error) -> String {
    for shown in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
        secrets::assert_none(&shown);
    }
    error.to_string()
}
