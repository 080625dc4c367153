//! Faults of files and processes, which must be reported and must not lose finished runs.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        stack::{self, AffineModel, FittedStack, Stack},
        GeometricMean, HardVote, Mean, Median,
    },
    data::TensorDataset,
    exec::Sequential,
    network::Output,
    observe::{Event, Flow, Observer},
    plan::Plan,
    store::{Checkpoint, DirectoryStore, EpochRecord, Manifest, Store},
    strategy::{Bagging, MultiRun},
    train::{CustomLoop, Trainer},
    Ensemble, Error, Member, Network, Result, Seed, Session,
};
use candle_nn::{linear, seq, Activation, Linear, Sequential as Mlp, VarBuilder};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const RUNS: usize = 4;

fn data(shift: f64) -> TensorDataset {
    let x = Tensor::arange(0f32, 80., &Device::Cpu).unwrap().affine(0.05, shift).unwrap();
    let x = x.reshape((40, 2)).unwrap();
    TensorDataset::regression(x.clone(), &x.sqr().unwrap().sum(1).unwrap()).unwrap()
}

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| linear(2, 1, vb)).epochs(2)
}

fn plan(trainer: &Trainer<Linear>, data: &TensorDataset) -> Plan {
    Session::new(trainer, data).plan(&Bagging::new(RUNS), 42).unwrap()
}

/// Trains the plan in `folder`.
fn build(folder: &Path, observer: &dyn Observer) -> Result<Vec<Member>> {
    let (trainer, data, store) = (trainer(), data(0.), DirectoryStore::new(folder)?);
    let session = Session::new(&trainer, &data).store(&store).executor(&Sequential).observer(observer);
    Ok(session.train(&plan(&trainer, &data))?.members().to_vec())
}

/// Counts the runs that are trained.
#[derive(Default)]
struct Runs(AtomicUsize);

impl Observer for Runs {
    fn notify(&self, event: &Event<'_>) -> Flow {
        if matches!(event, Event::RunStarted { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Flow::Continue
    }
}

impl Runs {
    fn of(folder: &Path) -> (Result<Vec<Member>>, usize) {
        let runs = Self::default();
        (build(folder, &runs), runs.0.into_inner())
    }
}

/// The files of a folder and their bytes, without temporary files.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    let named = entries.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()));
    named
        .filter(|(name, _)| !name.starts_with('.'))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

fn temporary(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with('.')).count()
}

/// A folder with a finished build.
struct Finished {
    folder: tempfile::TempDir,
    good: BTreeMap<String, Vec<u8>>,
    members: Vec<PathBuf>,
}

impl Finished {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (built, runs) = Runs::of(folder.path());
        assert_eq!((built.unwrap().len(), runs), (RUNS, RUNS));
        let good = files(folder.path());
        let member = |name: &&String| name.ends_with(".safetensors");
        let members: Vec<_> = good.keys().filter(member).map(|name| folder.path().join(name)).collect();
        assert_eq!((good.len(), members.len()), (RUNS + 1, RUNS));
        Self { folder, good, members }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Checks a broken `file`: the build fails with an error that names it, and the other files can be read.
    /// After the file is removed, only its run is trained again, and the folder has its original content.
    fn broken(&self, file: &Path, what: &str) {
        let name = file.file_name().unwrap().to_string_lossy();
        let (built, runs) = Runs::of(self.path());
        let error = built.expect_err(what).to_string();
        assert!(error.contains(&*name), "{what}: {error}");
        assert_eq!(runs, 0, "{what}");
        let store = DirectoryStore::new(self.path()).unwrap();
        for other in self.members.iter().filter(|path| *path != file) {
            let key = other.file_stem().unwrap().to_string_lossy();
            assert!(store.get(&key).unwrap().is_some(), "{what}");
        }
        if file.is_dir() {
            fs::remove_dir(file).unwrap();
        } else {
            fs::remove_file(file).unwrap();
        }
        let (built, runs) = Runs::of(self.path());
        assert_eq!((built.unwrap().len(), runs), (RUNS, usize::from(self.members.iter().any(|m| m == file))));
        assert!(files(self.path()) == self.good, "{what}");
    }
}

// ---- Broken files.

#[test]
fn a_flipped_bit_anywhere_in_a_member_is_an_error() {
    let finished = Finished::new();
    let (file, bytes) = (&finished.members[1], fs::read(&finished.members[1]).unwrap());
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let find = |text: &str| bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    let parts = [
        ("the header's length", 1),
        ("the header's brace", 8),
        ("the title", find("candle-ensemble")),
        ("the format", find("format 2") + 7),
        ("the hash", find(", member\":\"") + 12),
        ("the record", find("architecture")),
        ("a row seen", find("seen") + 9),
        ("a tensor's name", find("\"weight\"") + 1),
        ("a tensor's type", find("F32")),
        ("a tensor's shape", find("shape") + 8),
        ("a tensor's offsets", find("data_offsets") + 15),
        ("the header's end", 8 + header - 1),
        ("the first weight", 8 + header),
        ("the last weight", bytes.len() - 1),
    ];
    for (part, at) in parts {
        for bit in [0, 7] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(file, flipped).unwrap();
            finished.broken(file, &format!("{part}, bit {bit}"));
        }
    }
}

#[test]
fn a_truncated_member_is_an_error_at_any_length() {
    let finished = Finished::new();
    let (file, bytes) = (&finished.members[0], fs::read(&finished.members[0]).unwrap());
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for length in [0, 1, 7, 8, 9, 60, 90, 120, header - 1, header, header + 1, bytes.len() - 1] {
        fs::write(file, &bytes[..length]).unwrap();
        finished.broken(file, &format!("cut to {length} bytes"));
    }
    fs::write(file, [&bytes[..], b"\n"].concat()).unwrap();
    finished.broken(file, "with a byte more");
}

#[test]
fn a_foreign_file_in_place_of_a_member_is_refused() {
    let finished = Finished::new();
    let file = &finished.members[2];
    let elsewhere = tempfile::tempdir().unwrap();
    let (trainer, other) = (trainer(), data(1.));
    let store = DirectoryStore::new(elsewhere.path()).unwrap();
    Session::new(&trainer, &other).store(&store).train(&plan(&trainer, &other)).unwrap();
    let of_other_store = files(elsewhere.path()).into_iter().find(|(name, _)| name.starts_with("00002-"));
    let x = Tensor::new(&[1f32, 2.], &Device::Cpu).unwrap();
    let mut newer = finished.good.values().next().unwrap().clone();
    let format = newer.windows(8).position(|w| w == b"format 2").unwrap() + 7;
    newer[format] = b'9';
    for (what, bytes) in [
        ("a member of another store", of_other_store.unwrap().1),
        ("another member of this store", fs::read(&finished.members[0]).unwrap()),
        ("a member of another format", newer),
        ("someone else's safetensors", safetensors::serialize([("weight", &x)], None).unwrap()),
        ("the manifest", fs::read(finished.path().join("plan.bin")).unwrap()),
        ("a text", b"hello".to_vec()),
        ("zeros", vec![0; 10_000]),
    ] {
        fs::write(file, bytes).unwrap();
        finished.broken(file, what);
    }
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    finished.broken(file, "a directory");
}

#[test]
fn only_the_run_of_a_missing_member_is_trained_again() {
    let finished = Finished::new();
    fs::remove_file(&finished.members[3]).unwrap();
    let (built, runs) = Runs::of(finished.path());
    assert_eq!((built.unwrap().len(), runs), (RUNS, 1));
    assert!(files(finished.path()) == finished.good);
    // While the build is running: the run whose member is missing is named.
    struct Thief<'a>(&'a Path);
    impl Observer for Thief<'_> {
        fn notify(&self, event: &Event<'_>) -> Flow {
            if matches!(event, Event::BuildFinished) {
                fs::remove_file(self.0).unwrap();
            }
            Flow::Continue
        }
    }
    let e = build(finished.path(), &Thief(&finished.members[3])).unwrap_err();
    assert!(matches!(&e, Error::Incomplete { missing, .. } if *missing == [3]), "{e}");
}

#[test]
fn a_broken_manifest_is_an_error_and_is_rewritten_after_its_removal() {
    let finished = Finished::new();
    let file = finished.path().join("plan.bin");
    let bytes = fs::read(&file).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let newer = String::from_utf8_lossy(&bytes).replacen("format 3", "format 4", 1).into_bytes();
    for (what, bytes) in [
        ("flipped", &flipped[..]),
        ("cut short", &bytes[..bytes.len() - 1]),
        ("empty", b""),
        ("newer", &newer),
        ("a member", &fs::read(&finished.members[0]).unwrap()),
    ] {
        fs::write(&file, bytes).unwrap();
        finished.broken(&file, what);
    }
}

/// The checkpoint of a run that has finished this many epochs.
fn checkpoint(epochs: usize) -> Checkpoint {
    let record = |epoch| EpochRecord {
        epoch,
        learning_rate: 0.1,
        train_loss: 1. / 3.,
        train_metric: f64::NAN,
        ..Default::default()
    };
    let weights = [("w".to_string(), Tensor::new(&[0.5f32, -1.], &Device::Cpu).unwrap())].into();
    Checkpoint::new((0..epochs).map(record).collect(), weights, vec![7; 100])
}

#[test]
fn broken_checkpoints_are_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path()).unwrap();
    store.put_checkpoint("run-1", &checkpoint(1)).unwrap();
    let file = folder.path().join("run-1.checkpoint");
    let bytes = fs::read(&file).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        for broken in [&flipped[..], &bytes[..at]] {
            fs::write(&file, broken).unwrap();
            let e = store.checkpoint("run-1").unwrap_err().to_string();
            assert!(e.contains("run-1.checkpoint"), "{e}");
        }
    }
    store.put_checkpoint("run-1", &checkpoint(2)).unwrap();
    assert_eq!(store.checkpoint("run-1").unwrap().unwrap().epoch(), 2);
}

// ---- Other data, plans and learners.

#[test]
fn a_store_of_another_build_is_refused_with_what_differs() {
    let finished = Finished::new();
    let store = DirectoryStore::new(finished.path()).unwrap();
    let why = |trainer: &Trainer<Linear>, data: &TensorDataset, plan: &Plan| {
        let e = Session::new(trainer, data).store(&store).train(plan).err().unwrap();
        assert!(matches!(e, Error::Foreign { .. }), "{e}");
        assert!(e.to_string().contains(&finished.path().display().to_string()), "{e}");
        e.to_string()
    };
    let (trainer, data) = (trainer(), (data(0.), data(1.)));
    let same = plan(&trainer, &data.0);
    let other_data = why(&trainer, &data.1, &plan(&trainer, &data.1));
    assert!(
        other_data.contains("made for another data set (") && !other_data.contains("trainer"),
        "{other_data}"
    );
    let slower = self::trainer().epochs(3);
    let other_learner = why(&slower, &data.0, &same);
    assert!(other_learner.contains("made for another trainer (") && !other_learner.contains("data set"));
    assert!(!other_learner.contains("network"), "{other_learner}");
    let unbiased = Trainer::new(|vb| candle_nn::linear_no_bias(2, 1, vb)).epochs(2);
    let other_network = why(&unbiased, &data.0, &same);
    assert!(
        other_network.contains("made for another network (\"model\", 2 variables of 3 numbers, ")
            && !other_network.contains("trainer"),
        "{other_network}"
    );
    let seed = Session::new(&trainer, &data.0).plan(&Bagging::new(RUNS), 43).unwrap();
    assert!(why(&trainer, &data.0, &seed)
        .contains("made for another plan (run 0 differs in seed, training rows)"));
    let more = Session::new(&trainer, &data.0).plan(&Bagging::new(RUNS + 1), 42).unwrap();
    assert!(why(&trainer, &data.0, &more).contains("another plan (4 runs, not 5)"));
    let reserved = same.reserve(0.2, &data.0, Seed::from(1)).unwrap();
    assert!(why(&trainer, &data.0, &reserved).contains("another plan"));
    assert!(files(finished.path()) == finished.good, "a refused store is left as it was");
    assert_eq!(store.manifest().unwrap().unwrap().plan.runs.len(), RUNS);
}

#[test]
fn one_of_two_simultaneous_first_builds_writes_the_manifest() {
    let (trainer, data) = (trainer(), data(0.));
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let plans = [RUNS, RUNS + 1];
        let plans = plans.map(|runs| Session::new(&trainer, &data).plan(&MultiRun::new(runs), 1).unwrap());
        let opened: Vec<_> = std::thread::scope(|s| {
            let open = |plan| {
                let path = folder.path();
                move || DirectoryStore::new(path).unwrap().open(&Manifest::new(plan, "learner", &[])).is_ok()
            };
            let threads = [&plans[0], &plans[1], &plans[0]].map(|plan| s.spawn(open(plan)));
            threads.map(|t| t.join().unwrap()).into()
        });
        assert!(opened == [true, false, true] || opened == [false, true, false], "{opened:?}");
        let kept = DirectoryStore::new(folder.path()).unwrap().manifest().unwrap().unwrap();
        assert_eq!(kept.plan.runs.len() == RUNS, opened[0]);
    }
}

// ---- Paths that cannot be written.

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "a file").unwrap();
    let e = DirectoryStore::new(file.join("store")).unwrap_err();
    assert!(matches!(&e, Error::Io { path, .. } if *path == file.join("store")), "{e}");

    // The folder is replaced by a file while the build is running.
    struct Spoiler<'a>(&'a Path, AtomicUsize);
    impl Observer for Spoiler<'_> {
        fn notify(&self, event: &Event<'_>) -> Flow {
            if matches!(event, Event::RunFinished { .. }) && self.1.fetch_add(1, Ordering::Relaxed) == 1 {
                fs::rename(self.0, self.0.with_extension("away")).unwrap();
                fs::write(self.0, "in its place").unwrap();
            }
            Flow::Continue
        }
    }
    let path = folder.path().join("store");
    let e = build(&path, &Spoiler(&path, AtomicUsize::new(0))).unwrap_err();
    assert!(e.to_string().contains(&path.display().to_string()), "{e}");
    fs::remove_file(&path).unwrap();
    fs::rename(path.with_extension("away"), &path).unwrap();
    let (built, runs) = Runs::of(&path);
    assert_eq!((built.unwrap().len(), runs), (RUNS, RUNS - 2), "the two that were finished are there");
}

/// Root may write into any directory, so the test does nothing for root.
#[cfg(unix)]
#[test]
fn a_read_only_directory_can_be_read_and_writing_to_it_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let finished = Finished::new();
    fs::remove_file(&finished.members[0]).unwrap();
    let mode = |mode| fs::set_permissions(finished.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    if fs::write(finished.path().join(".probe"), "").is_ok() {
        mode(0o755);
        return;
    }
    let (built, _) = Runs::of(finished.path());
    mode(0o755);
    let e = built.unwrap_err().to_string();
    assert!(e.contains(&finished.members[0].display().to_string()) && e.contains("denied"), "{e}");
    assert_eq!(Runs::of(finished.path()).1, 1);
    assert!(files(finished.path()) == finished.good);
}

/// A limit on the size of files has the effect of a full disk: a write fails before its end.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_incomplete_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let limited = |folder: &Path, blocks: u32| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash"]).arg(std::env::current_exe().unwrap());
        worker(&mut command, folder, "build").output().unwrap()
    };
    let failed = limited(&store, 0);
    let text = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(!failed.status.success() && text.contains("plan.bin: File too large"), "{text}");
    assert!(files(&store).is_empty() && temporary(&store) == 0);
    // There is room for the members, but not for the ensemble.
    let done = limited(&store, 8);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let good = files(&store);
    assert_eq!(good.len(), RUNS + 1);
    // There is no room for the missing member: the existing files stay.
    fs::remove_file(store.join(good.keys().next().unwrap())).unwrap();
    let failed = limited(&store, 0);
    let text = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert!(
        !failed.status.success() && text.contains(&format!("{}: File", good.keys().next().unwrap())),
        "{text}"
    );
    assert_eq!((files(&store).len(), temporary(&store)), (RUNS, 0));
    assert_eq!(Runs::of(&store).1, 1);
    assert!(files(&store) == good);
}

// ---- Several processes.

/// A command that starts this test program again, with the test [`child`] only.
fn worker<'a>(command: &'a mut Command, folder: &Path, task: &str) -> &'a mut Command {
    let arguments = ["--exact", "faults::child", "--nocapture", "--test-threads=1"];
    command.args(arguments).env("FAULTS_FOLDER", folder).env("FAULTS_TASK", task)
}

/// Not a test of its own, but the code of the processes that [`worker`] starts.
#[test]
fn child() {
    let (Some(folder), Ok(task)) = (std::env::var_os("FAULTS_FOLDER"), std::env::var("FAULTS_TASK")) else {
        return;
    };
    /// Slows the process down, so that the parent can kill it in time.
    struct Slow;
    impl Observer for Slow {
        fn notify(&self, event: &Event<'_>) -> Flow {
            if matches!(event, Event::EpochEnded { .. }) {
                std::thread::sleep(Duration::from_millis(30));
            }
            Flow::Continue
        }
    }
    let observer: &dyn Observer = if task == "slow" { &Slow } else { &Runs::default() };
    if let Err(e) = build(Path::new(&folder), observer) {
        println!("{e}");
        std::process::exit(3);
    }
}

fn start(folder: &Path, task: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    worker(&mut command, folder, task).stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn several_processes_write_the_same_bytes_as_one() {
    let alone = Finished::new();
    let folder = tempfile::tempdir().unwrap();
    let together: Vec<_> = (0..3).map(|_| start(folder.path(), "slow")).collect();
    for mut process in together {
        assert!(process.wait().unwrap().success());
    }
    assert!(files(folder.path()) == alone.good);
    assert_eq!(temporary(folder.path()), 0);
}

#[test]
fn a_killed_process_loses_no_finished_run() {
    let alone = Finished::new();
    let folder = tempfile::tempdir().unwrap();
    for finished in 1..RUNS {
        let mut process = start(folder.path(), "slow");
        let patience = Instant::now();
        // The manifest and this many members.
        while files(folder.path()).len() < finished + 1 {
            assert!(patience.elapsed() < Duration::from_secs(60), "no member appears");
            std::thread::sleep(Duration::from_millis(2));
        }
        process.kill().unwrap();
        process.wait().unwrap();
        for (name, bytes) in files(folder.path()) {
            assert!(alone.good[&name] == bytes, "{name}");
        }
    }
    fs::write(folder.path().join(".candle-ensemble-abc123.safetensors"), "half").unwrap();
    let (built, runs) = Runs::of(folder.path());
    assert!(built.is_ok() && runs < RUNS, "{runs}");
    assert!(files(folder.path()) == alone.good);
    assert_eq!(temporary(folder.path()), if cfg!(unix) { 0 } else { 1 });
}

#[test]
fn several_threads_write_the_same_bytes_as_one() {
    let alone = Finished::new();
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|s| {
        let threads = [(); 4].map(|()| s.spawn(|| Runs::of(folder.path()).0.unwrap()));
        for thread in threads {
            assert_eq!(thread.join().unwrap().len(), RUNS);
        }
    });
    assert!(files(folder.path()) == alone.good);
    assert_eq!(temporary(folder.path()), 0);
}

// ---- Ensembles as files.

fn mlp(vb: VarBuilder<'_>) -> candle_core::Result<Mlp> {
    Ok(seq().add(linear(2, 4, vb.pp("in"))?).add(Activation::Relu).add(linear(4, 3, vb.pp("out"))?))
}

fn classes() -> (Tensor, TensorDataset) {
    let x = Tensor::arange(0f32, 240., &Device::Cpu).unwrap().affine(0.01, -1.2).unwrap();
    let x = x.reshape((120, 2)).unwrap();
    let y = Tensor::from_iter((0..120u32).map(|i| i / 40), &Device::Cpu).unwrap();
    (x.clone(), TensorDataset::classification(x, &y).unwrap())
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

fn saved<H>(combiner: &impl candle_ensemble::combine::Combiner<Fitted = H>, batch: usize)
where
    H: candle_ensemble::combine::FittedCombiner + serde::Serialize + serde::de::DeserializeOwned,
{
    let (x, data) = classes();
    let trainer = Trainer::new(mlp).epochs(3).architecture("wide", |vb| {
        Ok(seq().add(linear(2, 9, vb.pp("in"))?).add(Activation::Relu).add(linear(9, 3, vb.pp("out"))?))
    });
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(2), 7).unwrap().reserve(0.4, &data, Seed::from(7)).unwrap();
    let ensemble = session.train(&plan).unwrap().combine(combiner).unwrap().batch_rows(batch);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ensemble.safetensors");
    ensemble.save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), ensemble.to_bytes().unwrap());
    let loaded = Ensemble::<_, H>::load(&path, &trainer, &Device::Cpu).unwrap();
    assert_eq!(bits(&loaded.predict_proba(&x).unwrap()), bits(&ensemble.predict_proba(&x).unwrap()));
    assert_eq!(
        bits(&loaded.member_predictions(&x).unwrap()),
        bits(&ensemble.member_predictions(&x).unwrap())
    );
    assert_eq!(loaded.to_bytes().unwrap(), ensemble.to_bytes().unwrap());
    assert_eq!(loaded.members().len(), 4);
}

#[test]
fn a_loaded_ensemble_predicts_the_same_bits() {
    saved(&Mean, 512);
    saved(&GeometricMean, 7);
    saved(&HardVote, 1);
    saved(&Median, 512);
    saved(&Stack::new(stack::Linear), 50);
}

fn ensemble<N: Network>(trainer: &Trainer<N>) -> Ensemble<N, Mean> {
    let (_, data) = classes();
    Session::new(trainer, &data).fit(&MultiRun::new(2), 7).unwrap().combine(&Mean).unwrap()
}

#[test]
fn loading_another_kind_of_ensemble_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ensemble.safetensors");
    let trainer = || Trainer::new(mlp).epochs(1);
    ensemble(&trainer()).save(&path).unwrap();
    let why = |e: Option<Error>| {
        let e = e.unwrap();
        assert!(e.to_string().contains("ensemble.safetensors"), "{e}");
        assert!(matches!(e, Error::Foreign { .. }), "{e}");
        e.to_string()
    };
    let rule = why(Ensemble::<_, FittedStack<AffineModel>>::load(&path, &trainer(), &Device::Cpu).err());
    assert!(rule.contains(r#"its combiner is "mean", which is not the one asked for"#), "{rule}");
    let rule = why(Ensemble::<_, Median>::load(&path, &trainer(), &Device::Cpu).err());
    assert!(rule.contains(r#"its combiner is "mean", not "median""#), "{rule}");

    let load = |trainer: Trainer<Mlp>| why(Ensemble::<_, Mean>::load(&path, &trainer, &Device::Cpu).err());
    assert!(load(trainer().dtype(candle_core::DType::F64))
        .contains("type of its networks is f32, but that of the learner's networks is f64"));
    let other = CustomLoop::new("none", mlp, |_, _| Ok(())).output(Output::Probabilities);
    let other = why(Ensemble::<_, Mean>::load(&path, &other, &Device::Cpu).err());
    assert!(
        other.contains(
            "output of its networks is Logits, but that of the learner's networks is Probabilities"
        ),
        "{other}"
    );
    let fewer = |vb: VarBuilder<'_>| Ok(seq().add(linear(2, 4, vb.pp("in"))?));
    assert!(load(Trainer::new(fewer)).contains("has no out.bias, out.weight"));
    let wider =
        |vb: VarBuilder<'_>| Ok(seq().add(linear(2, 5, vb.pp("in"))?).add(linear(5, 3, vb.pp("out"))?));
    assert!(load(Trainer::new(wider)).contains("in.weight"));

    let two = trainer().architecture("second", mlp);
    ensemble(&two).save(&path).unwrap();
    let missing = load(trainer());
    assert!(missing.contains(r#"it has a network "second", but the learner builds model"#), "{missing}");
}

#[test]
fn an_incomplete_ensemble_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ensemble.safetensors");
    let trainer = Trainer::new(mlp).epochs(1);
    let e = Ensemble::<_, Mean>::load(&path, &trainer, &Device::Cpu).err().unwrap();
    assert!(matches!(&e, Error::Io { path: named, .. } if *named == path), "{e}");
    let good = ensemble(&trainer);
    let bytes = good.to_bytes().unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(Ensemble::<_, Mean>::from_bytes(&flipped, &trainer, &Device::Cpu).is_err(), "{at}");
        assert!(Ensemble::<_, Mean>::from_bytes(&bytes[..at], &trainer, &Device::Cpu).is_err(), "{at}");
    }
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let e = Ensemble::<_, Mean>::load(&path, &trainer, &Device::Cpu).err().unwrap();
    assert!(matches!(&e, Error::Damaged { what, .. } if what.contains("ensemble.safetensors")), "{e}");
    good.save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes, "what is there is replaced");
    // A failed save leaves the existing file unchanged.
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    assert!(good.save(&taken).unwrap_err().to_string().contains("taken"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
