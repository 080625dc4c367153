//! Peak memory of building members of a 5-million-parameter network into a directory store: a hundred of them take no
//! more than the networks that train at the time, with their optimizers' state, and one. The unit is measured first:
//! what the process needs to train one such network. `cargo bench --bench memory` builds a hundred.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    build::MultiRun, data::TensorDataset, exec::Threads, store::DirectoryStore, threads, train::Trainer,
    Error, Result, Session,
};
use candle_nn::{linear, seq, Activation, Sequential, VarBuilder};
use std::fs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 512·2048 + 2048·1500 + 1500·600 and a little: 5.03 million parameters.
const WIDTHS: [usize; 5] = [512, 2048, 1500, 600, 10];
const ROWS: usize = 64;

fn net(vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let mut layers = WIDTHS.windows(2).enumerate();
    layers.try_fold(seq(), |net, (i, w)| {
        let net = net.add(linear(w[0], w[1], vb.pp(i))?);
        Ok(if w[1] == 10 { net } else { net.add(Activation::Relu) })
    })
}

/// Peak resident memory of this process in MiB; 0 where the system does not tell.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    // `cargo test` only sees that it runs.
    let members = if std::env::args().any(|arg| arg == "--bench") { 100 } else { 2 };
    let x = Tensor::arange(0u32, (ROWS * WIDTHS[0]) as u32, &Device::Cpu)?;
    let x = x.to_dtype(candle_core::DType::F32)?.sin()?.reshape((ROWS, WIDTHS[0]))?;
    let y = Tensor::from_iter((0..ROWS as u32).map(|i| i % 10), &Device::Cpu)?;
    let data = TensorDataset::classification(x, &y)?;
    let trainer = Trainer::new(net).epochs(1);
    let parameters: usize = WIDTHS.windows(2).map(|w| (w[0] + 1) * w[1]).sum();
    let before = peak();
    let build = |members: usize, workers: usize| -> Result<f64> {
        let folder = tempfile::tempdir();
        let folder = folder.map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
        let (store, threads) = (DirectoryStore::new(folder.path())?, Threads::new(workers)?);
        let session = Session::new(&trainer, &data).executor(&threads).store(&store);
        session.build(&session.plan(&MultiRun::new(members), 42)?)?;
        Ok(peak() - before)
    };
    let unit = build(1, 1)?;
    println!(
        "one network of {:.2} M parameters in training: {unit:.0} MiB at the peak",
        parameters as f64 / 1e6
    );
    // The peak of a process only grows, so the larger case comes last.
    for workers in [1, 2] {
        let (peak, most) = (build(members, workers)?, (workers + 1) as f64 * unit);
        let met = if peak <= most { "met" } else { "missed" };
        println!(
            "{members} members, {workers} at a time: {peak:.0} MiB, {} networks are {most:.0}: {met}",
            workers + 1
        );
    }
    Ok(())
}
