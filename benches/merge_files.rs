//! Speed and peak memory of merging safetensors files, compared with reading and writing the same bytes.
//!
//! `cargo bench --bench merge_files` merges four files of 400 MB each. The comparison reads the inputs in
//! large blocks on as many threads, writes a file of the size of the result and syncs it to the disk. Inputs
//! are in the page cache on both sides.
use candle_ensemble::merge::{FileMerge, LinearMerge, Method, Slerp, TaskArithmetic, Ties};
use std::{
    error::Error,
    fs::{self, File},
    hint::black_box,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Instant,
};

mod own_process;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Done<T> = Result<T, Box<dyn Error>>;

const BLOCK: usize = 1 << 20;
const INPUTS: usize = 4;

/// Writes a file of eight f32 tensors of equal size with `numbers` values in all.
fn write_network(path: &Path, numbers: usize, seed: u32) -> Done<()> {
    let each = numbers / 8;
    let infos: Vec<_> = (0..8usize)
        .map(|i| {
            format!(
                r#""layer{i}":{{"dtype":"F32","shape":[{each}],"data_offsets":[{},{}]}}"#,
                i * each * 4,
                (i + 1) * each * 4
            )
        })
        .collect();
    let mut header = format!("{{{}}}", infos.join(","));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut state = seed;
    let mut block = Vec::with_capacity(BLOCK);
    let mut left = each * 8;
    while left > 0 {
        block.clear();
        for _ in 0..left.min(BLOCK / 4) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            block.extend_from_slice(&((state >> 8) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes());
        }
        file.write_all(&block)?;
        left -= block.len() / 4;
    }
    file.sync_all()?;
    Ok(())
}

/// Reads all inputs and writes as many bytes as one of them has, on `threads` threads.
fn read_and_write(inputs: &[PathBuf], out: &Path, threads: usize) -> Done<()> {
    let file = File::create(out)?;
    let length = fs::metadata(&inputs[0])?.len() as usize;
    file.set_len(length as u64)?;
    let part = |thread: usize| -> std::io::Result<()> {
        let mut block = vec![0u8; BLOCK];
        for path in inputs.iter().skip(thread).step_by(threads) {
            let mut input = File::open(path)?;
            while input.read(&mut block)? > 0 {
                black_box(&block);
            }
        }
        for at in (thread * BLOCK..length).step_by(threads * BLOCK) {
            std::os::unix::fs::FileExt::write_all_at(&file, &block[..BLOCK.min(length - at)], at as u64)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        all.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    file.sync_all()?;
    Ok(())
}

fn method(name: &str) -> Box<dyn Method> {
    match name {
        "task arithmetic" => Box::new(TaskArithmetic::new().lambda(0.5)),
        "TIES" => Box::new(Ties::new(0.2)),
        "SLERP" => Box::new(Slerp::new(0.5)),
        _ => Box::new(LinearMerge::uniform()),
    }
}

fn merge(name: &str, inputs: &[PathBuf], out: &Path, threads: usize) -> Done<()> {
    let method = method(name);
    let (base, networks) = match method.needs() {
        needs if needs.base => (Some(&inputs[0]), &inputs[1..]),
        needs => (None, &inputs[..needs.most.min(inputs.len())]),
    };
    let merge = FileMerge::new(networks).threads(threads);
    let merge = if let Some(base) = base { merge.base(base) } else { merge };
    merge.write(&*method, out)?;
    Ok(())
}

fn seconds(work: impl FnOnce() -> Done<()>) -> Done<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() -> Done<()> {
    if let Some([name, threads, out, inputs @ ..]) = own_process::case().as_deref() {
        let inputs: Vec<PathBuf> = inputs.iter().map(PathBuf::from).collect();
        merge(name, &inputs, Path::new(out), threads.parse()?)?;
        println!("{}", own_process::peak());
        return Ok(());
    }
    let measured = own_process::measured();
    let (numbers, repeats) = if measured { (100_000_000, 7) } else { (80_000, 1) };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = tempfile::tempdir()?;
    let inputs: Vec<_> = (0..INPUTS).map(|i| folder.path().join(format!("{i}.safetensors"))).collect();
    for (i, path) in inputs.iter().enumerate() {
        write_network(path, numbers, i as u32)?;
    }
    let out = folder.path().join("merged.safetensors");
    println!("{INPUTS} files of {} MB, {threads} threads", numbers * 4 / 1_000_000);
    for name in ["uniform", "task arithmetic", "TIES", "SLERP"] {
        let read = if name == "SLERP" { &inputs[..2] } else { &inputs[..] };
        let (mut ours, mut floors, mut ratios) = (vec![], vec![], vec![]);
        for _ in 0..repeats {
            floors.push(seconds(|| read_and_write(read, &out, threads))?);
            ours.push(seconds(|| merge(name, &inputs, &out, threads))?);
            ratios.push(ours[ours.len() - 1] / floors[floors.len() - 1]);
        }
        println!(
            "{name}: {:.2} s, reading and writing the same bytes {:.2} s, ratio {:.2}",
            median(ours),
            median(floors),
            median(ratios)
        );
    }
    // The bound is two of the largest tensors for each thread, plus a constant: the peak of merging tiny
    // files.
    let tiny_files: Vec<_> =
        (0..INPUTS).map(|i| folder.path().join(format!("tiny{i}.safetensors"))).collect();
    for (i, path) in tiny_files.iter().enumerate() {
        write_network(path, 80, i as u32)?;
    }
    let peak_of = |name: &str, threads: usize, inputs: &[PathBuf]| {
        let mut case = vec![name.to_owned(), threads.to_string(), out.display().to_string()];
        case.extend(inputs.iter().map(|input| input.display().to_string()));
        own_process::run(&case)[0]
    };
    let largest = (numbers / 8 * 4) as f64 / (1 << 20) as f64;
    for name in ["uniform", "TIES"] {
        for threads in [1, 2] {
            let (all, tiny) = (peak_of(name, threads, &inputs), peak_of(name, threads, &tiny_files));
            println!(
                "{name}, {threads} at a time: {all:.1} MiB at the peak, {tiny:.1} for tiny files; the largest tensor \
                 is {largest:.0} MiB"
            );
        }
    }
    Ok(())
}
