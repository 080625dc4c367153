//! Data sets over files: the same rows, members and predictions as from memory.
use crate::common::{bits, blobs, bytes, flat, line, normal, Tally, CPU};
use candle_core::{safetensors, DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::{
        Batch, Dataset, FileDataset, Fingerprint, Purpose, RowFiles, Scaling, Shuffle, Task, TensorDataset,
    },
    exec::{Sequential, Threads},
    store::MemoryStore,
    strategy::{Bagging, EnsembleBuilder, KFold, RandomSplit},
    train::{ClassWeights, EarlyStopping, Trainer},
    Checkpoints, Error, Result, Session,
};
use candle_nn::{linear, seq, Activation, Sequential as Mlp};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Blocks of 4 rows of which 3 are mixed, in which a run of 60 rows has several windows.
const BLOCKS: Shuffle = Shuffle::Blocks { rows: 4, window: 3 };

fn trainer(width: usize) -> Trainer<Mlp> {
    let mlp = move |vb: candle_nn::VarBuilder<'_>| {
        Ok(seq().add(linear(2, 6, vb.pp("a"))?).add(Activation::Relu).add(linear(6, width, vb.pp("b"))?))
    };
    Trainer::new(mlp).epochs(3).batch_size(7)
}

/// A data set in memory that claims another order and another fingerprint.
struct As<'a>(&'a TensorDataset, Shuffle, Fingerprint);

impl Dataset for As<'_> {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn task(&self) -> Task {
        self.0.task()
    }
    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.0.batch(rows, device)
    }
    fn batch_for(&self, purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.0.batch_for(purpose, rows, device)
    }
    fn strata(&self) -> Option<&[u32]> {
        self.0.strata()
    }
    fn groups(&self) -> Option<&[u32]> {
        self.0.groups()
    }
    fn shuffle(&self) -> Shuffle {
        self.1
    }
    fn fingerprint(&self) -> Fingerprint {
        self.2
    }
}

/// Writes a column of `.npy` files of 25 rows each.
fn npy(folder: &Path, name: &str, column: &Tensor) -> RowFiles {
    let rows = column.dim(0).unwrap();
    let part = |start: usize| {
        let path = folder.join(format!("{name}-{start:03}.npy"));
        column
            .narrow(0, start, 25.min(rows - start))
            .unwrap()
            .contiguous()
            .unwrap()
            .write_npy(&path)
            .unwrap();
        path
    };
    RowFiles::npy(name, (0..rows).step_by(25).map(part)).unwrap()
}

/// The files of a data set: inputs `x`, targets `y`, groups `g` and weights `w`.
fn files(folder: &Path, data: &TensorDataset) -> RowFiles {
    let ids = |ids: &[u32]| Tensor::new(ids, &CPU).unwrap().to_dtype(DType::I64).unwrap();
    let columns = [
        ("x", Some(data.inputs().only().unwrap().clone())),
        ("y", Some(data.labels().map_or_else(|| data.targets().clone(), ids))),
        ("g", data.groups().map(ids)),
        ("w", data.weights().cloned()),
    ];
    let files = columns.into_iter().filter_map(|(name, column)| Some(npy(folder, name, &column?)));
    files.reduce(|all, file| all.beside(file).unwrap()).unwrap()
}

/// Members and held-out predictions, as bytes, of a data set.
fn built(
    data: &dyn Dataset,
    trainer: &Trainer<Mlp>,
    strategy: &dyn EnsembleBuilder,
    threads: usize,
) -> (Vec<Vec<u8>>, Vec<u64>) {
    let executor = Threads::new(threads).unwrap();
    let pool = Session::new(trainer, data).executor(&executor).fit(strategy, 5).unwrap();
    (bytes(pool.members()), bits(pool.held_out().unwrap().predictions().values()))
}

#[test]
fn members_from_files_are_those_from_memory_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let groups: Vec<u32> = (0..90).map(|row| row / 6).collect();
    let weights: Vec<f32> = (0..90).map(|row| 1. + (row % 3) as f32).collect();
    let memory = blobs(1, 90, 3, 0.4).with_weights(weights).unwrap();
    let grouped = memory.clone().with_groups(groups).unwrap();
    let all = files(folder.path(), &grouped);
    let stop = trainer(3).early_stopping(EarlyStopping::default());
    let scaled = trainer(3).input_scaling(Scaling::Standardize).class_weights(ClassWeights::Balanced);
    let cases: [(&Trainer<Mlp>, &dyn EnsembleBuilder, bool); 4] = [
        (&trainer(3), &Bagging::new(3), false),
        (&trainer(3), &KFold::new(4), true),
        (&stop, &RandomSplit::new(2, 0.7).validation(0.2), false),
        (&scaled, &KFold::new(3), false),
    ];
    for (number, (trainer, strategy, by_group)) in cases.into_iter().enumerate() {
        let memory = if by_group { &grouped } else { &memory };
        for shuffle in [Shuffle::Full, BLOCKS] {
            let builder = FileDataset::classification(&all, &["x"], "y").weights("w").shuffle(shuffle);
            let builder = if by_group { builder.groups("g") } else { builder };
            // Two windows of 12 rows of 8 bytes: the least that is allowed, for two trainings at a time.
            let data = builder.memory(2 * 12 * 8).open().unwrap();
            assert_eq!(data.strata(), memory.strata());
            assert_eq!(data.groups(), memory.groups());
            assert_eq!(data.fingerprint() == memory.fingerprint(), shuffle == Shuffle::Full);
            let twin = As(memory, shuffle, data.fingerprint());
            let want = built(&twin, trainer, strategy, 1);
            assert_eq!(built(&data, trainer, strategy, 2), want, "case {number}, {shuffle:?}");
            assert_eq!(built(&data.clone(), trainer, strategy, 1), want, "case {number}, {shuffle:?}");
        }
    }
}

#[test]
fn a_regression_from_safetensors_is_that_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let memory = line(3, 60, 0.1);
    let part = |start: usize, rows: usize| {
        let of = |t: &Tensor| t.narrow(0, start, rows).unwrap().contiguous().unwrap();
        let path = folder.path().join(format!("{start}.safetensors"));
        let tensors = HashMap::from([
            ("x", of(memory.inputs().only().unwrap())),
            ("y", of(memory.targets()).to_dtype(DType::F64).unwrap()),
        ]);
        safetensors::save(&tensors, &path).unwrap();
        path
    };
    let files = RowFiles::safetensors([part(0, 10), part(10, 49), part(59, 1)]).unwrap();
    // In the order of the file, which has wide types first.
    assert_eq!((files.rows(), files.columns()), (60, vec!["y", "x"]));
    let data = FileDataset::regression(&files, &["x"], &["y"]).shuffle(Shuffle::Full).open().unwrap();
    assert_eq!(data.fingerprint(), memory.fingerprint(), "f64 of files is cast to f32");
    assert_eq!(
        built(&data, &trainer(1), &Bagging::new(2), 2),
        built(&memory, &trainer(1), &Bagging::new(2), 1)
    );
    let ensemble = |data: &dyn Dataset| {
        Session::new(&trainer(1), data).fit(&Bagging::new(2), 5).unwrap().combine(&Mean).unwrap()
    };
    let x = normal(4, 7, 2);
    let (a, b) = (ensemble(&data).predict(&x).unwrap(), ensemble(&memory).predict(&x).unwrap());
    assert_eq!(bits(&a), bits(&b));
}

#[test]
fn a_training_in_blocks_resumes_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), &blobs(2, 60, 2, 0.4));
    let data = FileDataset::classification(&files, &["x"], "y").shuffle(BLOCKS).open().unwrap();
    let trainer = trainer(2);
    let session = Session::new(&trainer, &data).executor(&Sequential);
    let plan = session.plan(&Bagging::new(2), 7).unwrap();
    let whole = bytes(session.train(&plan).unwrap().members());
    for epochs in 0..6 {
        let (store, tally) = (MemoryStore::new(), Tally::stopping("epoch", epochs));
        let session = session.clone().store(&store).checkpoints(Checkpoints::Epochs(1));
        let cut = session.clone().observer(&tally).train(&plan);
        assert!(matches!(cut, Err(Error::Cancelled { .. })));
        assert_eq!(bytes(session.train(&plan).unwrap().members()), whole, "after {epochs} epochs");
    }
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streamed").join(name)
}

/// The rows of files of tests/reference/npy_files.py, as f64.
fn rows_of(file: &str) -> Result<Vec<f64>> {
    let files = RowFiles::npy("x", [reference(file)])?;
    let data = FileDataset::regression(&files, &["x"], &["x"]).dtype(DType::F64).open()?;
    let all: Vec<u32> = (0..data.rows() as u32).collect();
    Ok(flat(&data.batch(&all, &CPU)?.targets))
}

#[test]
fn files_of_numpy_are_read_in_every_type_and_byte_order() {
    let table: Vec<f64> = (0..12).map(|i| f64::from((i * 10 - 1 + 121) % 121)).collect();
    for name in [
        "f2",
        "f4",
        "f8",
        "f2_big",
        "f4_big",
        "f8_big",
        "i1",
        "i2",
        "i4",
        "i8",
        "i2_big",
        "i8_big",
        "u1",
        "u2",
        "u4",
        "u2_big",
        "u4_big",
        "version_2",
        "version_3",
    ] {
        assert_eq!(rows_of(&format!("{name}.npy")).unwrap(), table, "{name}");
    }
    let truth: Vec<f64> = table.iter().map(|x| f64::from(u8::from(*x > 50.))).collect();
    assert_eq!(rows_of("bool.npy").unwrap(), truth);
    assert_eq!(rows_of("vector.npy").unwrap(), table.iter().step_by(2).copied().collect::<Vec<_>>());
    assert_eq!(rows_of("negative.npy").unwrap(), [-128., 127., -1., 0., 1., 2.]);
    assert_eq!(rows_of("large.npy").unwrap(), [65535., 32768., 0., 1., 2., 3.]);
}

#[test]
fn files_of_numpy_that_are_not_read_say_why() {
    for (name, why) in [
        ("fortran.npy", "it is in Fortran order; save numpy.ascontiguousarray of it"),
        ("complex.npy", "its type is \"<c8\""),
        ("u8.npy", "uint64, which candle lacks"),
        ("scalar.npy", "a single value, without rows"),
        ("f5.npy", "No such file"),
    ] {
        let error = rows_of(name).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(name), "{error}");
    }
}

#[test]
fn a_file_that_is_cut_or_changed_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = blobs(2, 60, 2, 0.4);
    let all = files(folder.path(), &data);
    let path = folder.path().join("x-025.npy");
    let whole = fs::read(&path).unwrap();
    let open = || FileDataset::classification(&all, &["x"], "y").open();
    let data = open().unwrap();
    fs::write(&path, &whole[..whole.len() - 8]).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("x-025.npy") && error.contains("bytes and now has"), "{error}");
    let trained = Session::new(&trainer(2), &data).fit(&Bagging::new(1), 1).map(drop);
    let error = trained.unwrap_err().to_string();
    assert!(error.contains("x-025.npy"), "{error}");
    let error = RowFiles::npy("x", [&path]).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("its array [25, 2] takes 200 bytes, but it has 192"), "{error}");
    fs::write(&path, &whole[..30]).unwrap();
    assert!(RowFiles::npy("x", [&path]).unwrap_err().to_string().contains("cut short within its header"));

    let path = folder.path().join("x.safetensors");
    safetensors::save(&HashMap::from([("x", normal(1, 9, 2))]), &path).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    let error = RowFiles::safetensors([&path]).unwrap_err();
    assert!(error.to_string().contains("its tensors take 72 bytes, but it has 68"), "{error}");
    fs::write(&path, &whole[..20]).unwrap();
    assert!(RowFiles::safetensors([&path]).unwrap_err().to_string().contains("its header takes"));
    let none: [&Path; 0] = [];
    assert!(RowFiles::safetensors(none).unwrap_err().to_string().contains("at least one with an array"));
}

#[test]
fn shards_that_differ_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, tensors: HashMap<&str, Tensor>| {
        let path = folder.path().join(name);
        safetensors::save(&tensors, &path).unwrap();
        path
    };
    let (two, three) = (normal(1, 4, 2), normal(1, 4, 3));
    let first = save("a", HashMap::from([("x", two.clone()), ("y", three.clone())]));
    let refused = |second: HashMap<&str, Tensor>| {
        RowFiles::safetensors([first.clone(), save("b", second)]).unwrap_err().to_string()
    };
    let error = refused(HashMap::from([("x", two.clone())]));
    assert!(error.contains("it lacks the tensor \"y\""), "{error}");
    let error = refused(HashMap::from([("x", two.clone()), ("y", three.clone()), ("z", two.clone())]));
    assert!(error.contains("\"z\" is not in the first file"), "{error}");
    let error = refused(HashMap::from([("x", two.clone()), ("y", two.clone())]));
    assert!(error.contains("f32 with rows of shape [3], as in"), "{error}");
    let error = refused(HashMap::from([("x", normal(1, 5, 2)), ("y", three.clone())]));
    assert!(
        error.contains("the array \"y\" must be 9, as that of \"x\", but is 8")
            || error.contains("must be 8"),
        "{error}"
    );
}
