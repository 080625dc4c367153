//! Training on data in files, next to the same data in memory: rows a second, peak memory, and a training under a limit of
//! the address space.
//!
//! It takes a minute or two. `--gigabytes 20 --folder /data` writes as many gigabytes of rows into a temporary folder there and
//! trains on them with 1 GB of memory (`ulimit -v`, on Unix), for one epoch.
//!
//! The two sides of a ratio run in turn, and the ratio is that of the medians.
//! Trainings from files keep 64 MiB of rows in memory, so that every epoch reads the files again; whether the system then
//! reads the disk depends on its own cache. The data in memory is shuffled in full, that in files in blocks.
use crate::{own_process, perceptron::layers};
use candle_core::Tensor;
use candle_ensemble::{
    data::{Dataset, FileDataset, RowFiles, TensorDataset},
    strategy::MultiRun,
    threads,
    train::{Optimizer, Trainer},
    Error, Result, Session,
};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

const MIB: usize = 1 << 20;
/// The bytes of rows that are kept of files.
const MEMORY: usize = 64 * MIB;
/// The limit of the address space of a training, in MiB.
const LIMIT: usize = 1000;
/// The batch size and the widths of each network.
const NETWORKS: [(&str, usize, &[usize]); 3] = [
    ("small", 32, &[64, 64, 32, 10]),
    ("large", 128, &[784, 512, 512, 10]),
    // For many rows in little time.
    ("shallow", 128, &[784, 32, 10]),
];

fn network(name: &str) -> (usize, &'static [usize]) {
    let found = NETWORKS.iter().find(|(known, ..)| *known == name);
    found.map(|(_, batch, widths)| (*batch, *widths)).expect("a network of this name")
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::Io { path: path.to_owned(), source }
}

/// Writes a `.npy` file of `rows` rows, whose bytes `row` appends.
fn write(
    path: &Path,
    descr: &str,
    shape: &str,
    rows: usize,
    mut row: impl FnMut(usize, &mut Vec<u8>),
) -> Result<()> {
    let mut write = || {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        header.push_str(&" ".repeat((64 - (header.len() + 11) % 64) % 64));
        header.push('\n');
        let mut file = BufWriter::with_capacity(MIB, File::create(path)?);
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        let mut bytes = vec![];
        for number in 0..rows {
            bytes.clear();
            row(number, &mut bytes);
            file.write_all(&bytes)?;
        }
        file.flush()
    };
    write().map_err(failed(path))
}

/// The files of `rows` rows of this width, in a folder: inputs and class ids.
fn make(folder: &Path, rows: usize, width: usize) -> Result<()> {
    // Each row is noise from another place.
    let noise: Vec<u8> = (0..8192 + width)
        .flat_map(|i| (((i * 7919 + i * i % 641) % 2003) as f32 / 1001. - 1.).to_le_bytes())
        .collect();
    write(&folder.join("x.npy"), "<f4", &format!("({rows}, {width})"), rows, |row, bytes| {
        let start = row.wrapping_mul(2_654_435_761) % 8192 * 4;
        bytes.extend(&noise[start..start + width * 4]);
    })?;
    write(&folder.join("y.npy"), "|u1", &format!("({rows},)"), rows, |row, bytes| {
        bytes.push((row.wrapping_mul(2_654_435_761) % 8192 % 10) as u8);
    })
}

fn files(folder: &Path) -> Result<FileDataset> {
    let files =
        RowFiles::npy("x", [folder.join("x.npy")])?.beside(RowFiles::npy("y", [folder.join("y.npy")])?)?;
    FileDataset::classification(&files, &["x"], "y").memory(MEMORY).open()
}

fn in_memory(folder: &Path) -> Result<TensorDataset> {
    let read = |name| Tensor::read_npy(folder.join(name));
    TensorDataset::classification(read("x.npy")?, &read("y.npy")?)
}

/// Trains one network. Returns rows a second, the peak memory in MiB, and the seconds to open the data.
fn train(kind: &str, name: &str, epochs: usize, folder: &Path) -> Result<Vec<f64>> {
    threads::one_core_per_member();
    let (batch, widths) = network(name);
    let start = Instant::now();
    let data: Box<dyn Dataset> = match kind {
        "memory" => Box::new(in_memory(folder)?),
        _ => Box::new(files(folder)?),
    };
    let opened = start.elapsed().as_secs_f64();
    let trainer = Trainer::new(move |vb| layers(widths, vb)).optimizer(Optimizer::adam(1e-3));
    let trainer = trainer.batch_size(batch).epochs(epochs);
    let session = Session::new(&trainer, &*data);
    let plan = session.plan(&MultiRun::new(1), 42)?;
    let start = Instant::now();
    drop(session.train(&plan)?);
    let rate = (data.rows() * epochs) as f64 / start.elapsed().as_secs_f64();
    Ok(vec![rate, own_process::peak(), opened])
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The value of a flag.
fn flag<'a>(arguments: &'a [String], name: &str) -> Option<&'a String> {
    arguments.iter().skip_while(|argument| *argument != name).nth(1)
}

pub fn case(arguments: &[String]) -> Result<Vec<f64>> {
    let [kind, name, epochs, folder] = arguments else { panic!("{arguments:?}") };
    train(kind, name, epochs.parse().expect("a number"), Path::new(folder))
}

/// Prints the figures of some sizes, or of one with a limit of memory.
pub fn print(arguments: &[String]) -> Result<()> {
    let measured = own_process::measured();
    let parent = flag(arguments, "--folder").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(&parent).map_err(failed(&parent))?;
    let path = folder.path().to_str().expect("a path of text").to_owned();
    let gigabytes =
        flag(arguments, "--gigabytes").map(|text| text.parse::<f64>().expect("a number of gigabytes"));
    if gigabytes.is_none() {
        println!(
            "rows a second of one training on one core, and peak memory; {} MiB of rows kept of files",
            MEMORY / MIB
        );
        let cases = [("small", 800_000, 2, 3), ("large", 60_000, 1, 3)];
        for (name, rows, epochs, turns) in cases {
            let (rows, epochs, turns) = if measured { (rows, epochs, turns) } else { (2_000, 1, 1) };
            let width = network(name).1[0];
            make(folder.path(), rows, width)?;
            let run = |kind: &str| own_process::run(&["streaming", kind, name, &epochs.to_string(), &path]);
            let (mut memory, mut files) = (vec![], vec![]);
            for _ in 0..turns {
                memory.push(run("memory"));
                files.push(run("files"));
            }
            let of = |side: &[Vec<f64>], figure: usize| median(side.iter().map(|of| of[figure]).collect());
            println!(
                "{name}, {rows} rows of {width} ({} MiB): memory {:.0} rows/s, {:.0} MiB; files {:.0} rows/s, {:.0} MiB; \
                 ratio {:.2}",
                rows * width * 4 / MIB,
                of(&memory, 0),
                of(&memory, 1),
                of(&files, 0),
                of(&files, 1),
                of(&files, 0) / of(&memory, 0)
            );
        }
    }
    if cfg!(unix) {
        let bytes = gigabytes.unwrap_or(if measured { 1.5 } else { 0.01 }) * 1e9;
        let (_, widths) = network("shallow");
        let rows = (bytes / (widths[0] * 4) as f64) as usize;
        make(folder.path(), rows, widths[0])?;
        let start = Instant::now();
        let figures = own_process::run_within(LIMIT, &["streaming", "files", "shallow", "1", &path]);
        println!(
            "{:.2} GB of rows, {rows} rows, under ulimit -v of {LIMIT} MiB: {:.0} rows/s, peak {:.0} MiB, opened in {:.0} s, \
             {:.0} s in all",
            bytes / 1e9,
            figures[0],
            figures[1],
            figures[2],
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
