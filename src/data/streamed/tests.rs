//! Rows through blocks, threads and shards are the rows of the files.
use super::{
    ahead::Ahead,
    reader::{Field, Reader},
    source::{Column, Source},
    RowFiles,
};
use crate::{
    data::{Dataset, FileDataset, Shuffle},
    Error, Result, Seed,
};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand::Rng;
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, Mutex,
    },
    thread,
    time::{Duration, Instant},
};

const CPU: Device = Device::Cpu;

/// Writes `x` of these rows as `.npy` files of `shards` rows each.
fn write(folder: &std::path::Path, x: &Tensor, shards: &[usize]) -> Vec<PathBuf> {
    let mut start = 0;
    let part = |(number, rows): (usize, &usize)| {
        let path = folder.join(format!("{number}.npy"));
        x.narrow(0, start, *rows).unwrap().contiguous().unwrap().write_npy(&path).unwrap();
        start += rows;
        path
    };
    shards.iter().enumerate().map(part).collect()
}

/// `row · 10 + column`, of which the source counts the reads.
struct Counted {
    columns: Vec<Column>,
    rows: usize,
    reads: AtomicUsize,
    /// The threads that have read.
    readers: Mutex<Vec<String>>,
    /// The row that cannot be read.
    fault: Option<usize>,
}

impl Counted {
    fn new(rows: usize, fault: Option<usize>) -> Arc<Self> {
        let columns = vec![Column::new("x".into(), DType::F32, vec![2])];
        Arc::new(Self { columns, rows, reads: AtomicUsize::new(0), readers: Mutex::default(), fault })
    }

    fn reader(self: &Arc<Self>, block: Option<usize>, memory: usize) -> Reader {
        let field = Field::tensor("inputs".into(), (0, &self.columns[0]), DType::F32);
        Reader::new(self.clone(), vec![field], block, memory)
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Source for Counted {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn read(&self, rows: Range<usize>, _: &[usize]) -> Result<Vec<Tensor>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.readers.lock().unwrap().push(thread::current().name().unwrap_or_default().into());
        if let Some(row) = self.fault.filter(|row| rows.contains(row)) {
            return Err(Error::invalid(format!("row {row}"), "readable", "not"));
        }
        let values: Vec<f32> =
            rows.clone().flat_map(|row| [row as f32 * 10., row as f32 * 10. + 1.]).collect();
        Ok(vec![Tensor::from_vec(values, (rows.len(), 2), &CPU)?])
    }
}

fn expected(rows: &[u32]) -> Vec<Vec<f32>> {
    rows.iter().map(|row| vec![*row as f32 * 10., *row as f32 * 10. + 1.]).collect()
}

fn wait_until(is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_rows_come_in_their_order_through_any_blocks(
        rows in prop::collection::vec(0u32..50, 1..80),
        block in prop::option::of(1usize..60),
        memory in 0usize..500,
    ) {
        let reader = Counted::new(50, None).reader(block, memory);
        let got = reader.gather(&rows).unwrap();
        prop_assert_eq!(got[0].to_vec2::<f32>().unwrap(), expected(&rows));
    }

    #[test]
    fn shards_are_read_as_one_array(
        shards in prop::collection::vec(1usize..9, 1..5),
        block in prop::option::of(1usize..12),
        dtype in prop::sample::select(vec![DType::F64, DType::F32, DType::U8, DType::U32, DType::I64]),
        draw: u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let count: usize = shards.iter().sum();
        let x = Tensor::arange(0u32, count as u32 * 3, &CPU).unwrap().reshape((count, 3)).unwrap();
        let x = x.to_dtype(dtype).unwrap();
        let files = RowFiles::npy("x", write(folder.path(), &x, &shards)).unwrap();
        prop_assert_eq!(files.rows(), count);
        let field = Field::tensor("inputs".into(), (0, &files.0.columns()[0]), DType::F32);
        let reader = Reader::new(files.0.clone(), vec![field], block, 100);
        let mut rng = Seed::from(draw).rng();
        let rows: Vec<u32> = (0..30).map(|_| rng.random_range(0..count as u32)).collect();
        let ids = Tensor::new(rows.as_slice(), &CPU).unwrap();
        let want = x.to_dtype(DType::F32).unwrap().index_select(&ids, 0).unwrap().to_vec2::<f32>().unwrap();
        prop_assert_eq!(reader.gather(&rows).unwrap()[0].to_vec2::<f32>().unwrap(), want);
    }
}

/// Blocks of 5 rows are 40 bytes: with room for 8 of them, 8 threads that read everywhere get their rows while another one
/// reads ahead, and no more than the room is kept.
#[test]
fn many_threads_share_a_small_memory() {
    let source = Counted::new(100, None);
    let ahead = Ahead::new(source.reader(Some(5), 8 * 40), 4);
    thread::scope(|scope| {
        for of in 0..8 {
            let ahead = &ahead;
            scope.spawn(move || {
                let mut rng = Seed::from(of).rng();
                for _ in 0..200 {
                    let rows: Vec<u32> = (0..12).map(|_| rng.random_range(0..100)).collect();
                    ahead.read(&rows);
                    let got = ahead.reader().gather(&rows).unwrap();
                    assert_eq!(got[0].to_vec2::<f32>().unwrap(), expected(&rows));
                }
            });
        }
    });
    assert!(ahead.reader().kept() <= 8 * 40);
}

#[test]
fn the_thread_reads_ahead_and_ends_with_the_data() {
    let source = Counted::new(40, None);
    let ahead = Ahead::new(source.reader(Some(10), 1000), 8);
    assert_eq!(source.reads(), 0, "nothing is read before it is asked for");
    ahead.read(&[35, 1, 2, 36, 11]);
    wait_until(|| source.reads() == 3);
    assert!(source.readers.lock().unwrap().iter().all(|name| name == "read-ahead"));
    wait_until(|| ahead.reader().kept() == 3 * 80);
    let got = ahead.reader().gather(&[0, 39, 15]).unwrap();
    assert_eq!(got[0].to_vec2::<f32>().unwrap(), expected(&[0, 39, 15]));
    assert_eq!(source.reads(), 3, "what was read ahead is not read again");
    ahead.read(&[20]);
    drop(ahead);
    assert_eq!(Arc::strong_count(&source), 1, "neither the reader nor its thread is left");
}

#[test]
fn what_goes_wrong_ahead_is_an_error_where_it_is_needed() {
    let source = Counted::new(40, Some(33));
    let ahead = Ahead::new(source.reader(Some(10), 1000), 8);
    ahead.read(&(0..40).collect::<Vec<_>>());
    wait_until(|| source.reads() == 4);
    assert!(ahead.reader().gather(&[29, 3]).is_ok());
    for _ in 0..2 {
        let error = ahead.reader().gather(&[29, 30]).unwrap_err().to_string();
        assert_eq!(error, "row 33 must be readable, but is not");
    }
}

/// The parts of a data set with `y` of these values, one file each.
fn files(folder: &std::path::Path, y: &[f64]) -> RowFiles {
    let x = Tensor::arange(0f64, y.len() as f64 * 2., &CPU).unwrap().reshape((y.len(), 2)).unwrap();
    let paths = ["x.npy", "y.npy"].map(|name| folder.join(name));
    x.write_npy(&paths[0]).unwrap();
    Tensor::new(y, &CPU).unwrap().write_npy(&paths[1]).unwrap();
    let [x, y] = paths;
    RowFiles::npy("x", [x]).unwrap().beside(RowFiles::npy("y", [y]).unwrap()).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_when_the_data_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let of = |y: &[f64]| files(folder.path(), y);
    let classes = |y: &[f64]| FileDataset::classification(&of(y), &["x"], "y").open().map(drop);
    let check = |result: Result<()>, what: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(what), "{error:?} does not contain {what:?}");
    };
    check(
        classes(&[0., -1.]),
        "the class id in row 1, column \"y\", must be a whole number from 0 to 4294967294, but is -1",
    );
    check(classes(&[0.5, 1.]), "the class id in row 0");
    check(classes(&[0., f64::NAN]), "but is NaN");
    check(classes(&[2., 2.]), "of more than one class");
    let few = FileDataset::classification(&of(&[0., 3.]), &["x"], "y").classes(3).open();
    check(few.map(drop), "classes must be above the highest class id, 3, but is 3");
    let values = FileDataset::regression(&of(&[1., f64::INFINITY]), &["x"], &["y"]).open();
    check(values.map(drop), "targets, row 1 must be finite, but is inf");
    let lost = FileDataset::regression(&of(&[1., 2.]), &["z"], &["y"]).open();
    check(lost.map(drop), "a column of the files must be one of x, y, but is z");
    let wide = FileDataset::classification(&of(&[1., 2.]), &["y"], "x").open();
    check(wide.map(drop), "a row of the column \"x\" must be a single value, but is of shape [2]");
    let none = FileDataset::regression(&of(&[1., 2.]), &[], &["y"]).open();
    check(none.map(drop), "the columns of the inputs must be at least one");
    let blocks = Shuffle::Blocks { rows: 1, window: 2 };
    let small = FileDataset::regression(&of(&[1., 2., 3., 4.]), &["x"], &["y"]).shuffle(blocks);
    // 2 windows of 2 blocks of 1 row of 3 numbers in f64.
    check(small.clone().memory(95).open().map(drop), "at least 96 bytes");
    assert!(small.memory(96).open().is_ok());
    let whole = FileDataset::regression(&of(&[1., 2.]), &["x"], &["y"]).dtype(DType::U32).open();
    check(whole.map(drop), "the type of a regression must be a float, but is u32");
    let twice = of(&[1., 2.]).beside(of(&[1., 2.])).map(drop);
    check(twice, "different from theirs, but is x");
    let other = RowFiles::npy("z", [folder.path().join("x.npy")]).unwrap();
    let shorter = files(tempfile::tempdir().unwrap().path(), &[1.]);
    check(shorter.beside(other).map(drop), "must be 1, as those before them have, but is 2");
}

#[test]
fn a_known_content_is_not_read_again_and_is_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), &[1., 2., 3.]);
    let data = FileDataset::regression(&files, &["x"], &["y"]).open().unwrap();
    let again = FileDataset::regression(&files, &["x"], &["y"]).content(data.content()).open().unwrap();
    assert_eq!(again.fingerprint(), data.fingerprint());
    assert_ne!(
        FileDataset::regression(&files, &["x"], &["y"]).dtype(DType::F64).open().unwrap().content(),
        data.content()
    );
    let full = FileDataset::regression(&files, &["x"], &["y"]).shuffle(Shuffle::Full).open().unwrap();
    assert_eq!(full.content(), data.content());
    assert_ne!(full.fingerprint(), data.fingerprint());
}
