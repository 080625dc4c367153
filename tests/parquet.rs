//! Data sets over Parquet files, which pyarrow wrote (tests/reference/parquet_files.py).
#[path = "integration/common.rs"]
#[allow(dead_code)]
mod common;

use candle_core::{DType, Tensor};
use candle_ensemble::{
    data::{Dataset, FileDataset, RowFiles, Shuffle, TensorDataset},
    strategy::KFold,
    train::Trainer,
    Result, Session,
};
use common::{flat, CPU};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streamed").join(name)
}

fn shards() -> RowFiles {
    RowFiles::parquet(["part-0.parquet", "part-1.parquet"].map(path)).unwrap()
}

/// All values of a column.
fn column(files: &RowFiles, name: &str) -> Result<Vec<f64>> {
    let data = FileDataset::regression(files, &[name], &[name]).dtype(DType::F64).open()?;
    let all: Vec<u32> = (0..data.rows() as u32).collect();
    Ok(flat(data.batch(&all, &CPU)?.inputs.only()?))
}

/// A column: its name, and its value in a row.
type Column = (&'static str, fn(i64) -> f64);

/// The columns of the script for row `i`.
const COLUMNS: [Column; 9] = [
    ("i8", |i| (i % 100 - 50) as f64),
    ("u32", |i| ((1i64 << 32) - 1 - i) as f64),
    ("i64", |i| (i * 1000 - 7) as f64),
    ("f32", |i| i as f64 / 4.),
    ("f64", |i| -i as f64 / 8.),
    ("truth", |i| f64::from(u8::from(i % 5 == 0))),
    // Categories in the order of their bytes: blue, green, red.
    ("colour", |i| [2., 0., 1.][i as usize % 3]),
    ("code", |i| [2., 0., 1.][i as usize % 3]),
    ("class", |i| (i % 3) as f64),
];

#[test]
fn columns_of_every_type_are_read_through_row_groups_and_shards() {
    let files = shards();
    assert_eq!((files.rows(), files.columns()), (160, COLUMNS.map(|(name, _)| name).to_vec()));
    for (name, of) in COLUMNS {
        assert_eq!(column(&files, name).unwrap(), (0..160).map(of).collect::<Vec<_>>(), "{name}");
    }
    for texts in ["colour", "code"] {
        assert_eq!(files.categories(texts).unwrap(), ["blue", "green", "red"]);
    }
    assert_eq!(files.categories("class"), None);
}

#[test]
fn rows_in_any_order_are_read_from_their_pages() {
    let files = shards();
    let rows: Vec<u32> = (0..160).map(|i| i * 67 % 160).collect();
    let names = COLUMNS.map(|(name, _)| name);
    for shuffle in
        [Shuffle::Full, Shuffle::Blocks { rows: 7, window: 2 }, Shuffle::Blocks { rows: 150, window: 1 }]
    {
        let builder = FileDataset::regression(&files, &names, &["f64"]).dtype(DType::F64);
        let batch = builder.shuffle(shuffle).open().unwrap().batch(&rows, &CPU).unwrap();
        let expected = rows.iter().flat_map(|row| COLUMNS.map(|(_, of)| of(i64::from(*row))));
        assert_eq!(flat(batch.inputs.only().unwrap()), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_training_on_parquet_is_that_on_the_numbers() {
    let inputs = ["f32", "truth", "f64"];
    let of = |name: &str| COLUMNS.iter().find(|(known, _)| *known == name).unwrap().1;
    let x: Vec<f32> = (0..160).flat_map(|i| inputs.map(|name| of(name)(i) as f32)).collect();
    let y: Vec<u32> = (0..160u32).map(|i| i % 3).collect();
    let x = Tensor::from_vec(x, (160, 3), &CPU).unwrap();
    let memory = TensorDataset::classification(x, &Tensor::new(y.clone(), &CPU).unwrap()).unwrap();
    let memory = memory.with_strata(y).unwrap();
    let groups = FileDataset::classification(&shards(), &inputs, "class").groups("i64").open().map(drop);
    let error = groups.unwrap_err().to_string();
    assert!(error.contains("the group in row 0, column \"i64\", must be a whole number"), "{error}");
    let builder = FileDataset::classification(&shards(), &inputs, "class").strata("class");
    let data = builder.shuffle(Shuffle::Full).open().unwrap();
    assert_eq!(data.fingerprint(), memory.fingerprint());
    let trainer = Trainer::new(|vb| candle_nn::linear(3, 3, vb)).epochs(2).batch_size(16);
    let members = |data: &dyn Dataset| {
        let pool = Session::new(&trainer, data).fit(&KFold::new(3), 1).unwrap();
        pool.members().iter().map(|member| member.to_bytes().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(members(&data), members(&memory));
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let files = RowFiles::parquet([path("nulls.parquet")]).unwrap();
    assert_eq!(column(&files, "fine").unwrap(), (0..60).map(f64::from).collect::<Vec<_>>());
    let of = |name: &str| column(&files, name).unwrap_err().to_string();
    let place =
        |what: &str, row| format!("column \"{what}\" in row {row} of {}", path("nulls.parquet").display());
    assert_eq!(of("x"), format!("{} must be there, but is null", place("x", 50)));
    assert_eq!(of("t"), format!("{} must be there, but is null", place("t", 2)));
    for (name, got) in
        [("list.list.element", "nested"), ("date", "Date"), ("u64", "Integer"), ("decimal", "Decimal")]
    {
        let error = of(name);
        assert!(
            error.contains("signed one, float32, float64 or text, but is") && error.contains(got),
            "{error}"
        );
    }
    let differ = RowFiles::parquet([path("part-0.parquet"), path("other.parquet")]).map(drop);
    let error = differ.unwrap_err().to_string();
    assert!(
        error.contains("other.parquet") && error.contains("\"i8\" of type i64, as in the first file"),
        "{error}"
    );

    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.parquet");
    let whole = std::fs::read(path("part-0.parquet")).unwrap();
    for length in [0, 3, 100, whole.len() - 1] {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let error = RowFiles::parquet([&cut]).map(drop).unwrap_err().to_string();
        assert!(error.contains("cut.parquet"), "{error}");
    }
}
