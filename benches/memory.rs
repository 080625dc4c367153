//! Peak memory of building members of a 5-million-parameter network into a directory store. A hundred members
//! need no more than the networks that train at the same time, with the state of their optimizers, and one
//! more. `cargo bench --bench memory` builds a hundred for each line.
//!
//! Each line is measured in a process of its own. It is the growth of the peak resident memory during the
//! build. Next to it is the limit, `threads + 1` units, for two definitions of the unit: the network with the
//! state of its optimizer (weights and Adam's two moments), computed; or a network in training, measured on
//! one member, which also has the gradients and the tensors of candle's backward pass. The latter are up to
//! five tensors of the size of a layer, so they are large for a network with one wide layer: the deep network
//! has layers of one size, and the wide one has 61 % of its weights in one layer.
//!
//! A network of the library's layers needs no such tensors. A line for each network compares its training with
//! what cannot be done without, and 10 % on top: weights, gradients, two moments, and the outputs of its layers.
//!
//! Further lines are of pictures with a class for each pixel: held-out predictions, predictions, metrics and `best_of` of four
//! networks, as the number of pixels grows. What is kept of predictions grows to a limit, and metrics keep none.
//!
//! glibc's allocator keeps freed tensors, and the larger ones for longer. The processes are started with a
//! setting that prevents this, so that resident memory is memory in use.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::TensorDataset, exec::Threads, store::DirectoryStore, strategy::MultiRun, threads, train::Trainer,
    Checkpoints, Error, Network, Result, Session,
};
use candle_nn::{linear, seq, Activation, Sequential, VarBuilder};
use perceptron::layers;
use pictures::Pictures;

mod own_process;
mod perceptron;
mod pictures;

/// 512·720 + 9·720² + 720·10 weights, with biases 5.05 million parameters.
const DEEP: [usize; 12] = [512, 720, 720, 720, 720, 720, 720, 720, 720, 720, 720, 10];
/// 512·2048 + 2048·1500 + 1500·600 + 600·10 weights, with biases 5.03 million parameters.
const WIDE: [usize; 5] = [512, 2048, 1500, 600, 10];
const ROWS: usize = 64;
const BATCH: usize = 32;
const MIB: f64 = 1024. * 1024.;
/// The number of pictures.
const PICTURES: usize = 128;

fn widths(name: &str) -> &'static [usize] {
    match name.starts_with("wide") {
        true => &WIDE,
        false => &DEEP,
    }
}

fn net(widths: &[usize], vb: VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let mut layers = widths.windows(2).enumerate();
    layers.try_fold(seq(), |net, (i, w)| {
        let net = net.add(linear(w[0], w[1], vb.pp(i))?);
        Ok(if w[1] == 10 { net } else { net.add(Activation::Relu) })
    })
}

/// Works on pictures of this side, and prints the growth of the peak in MiB.
fn of_pictures(work: &str, side: usize) -> Result<()> {
    let pictures = Pictures { rows: PICTURES, side };
    let growth = pictures::run(work, &pictures, |work| Ok(own_process::growth_and_seconds(work).0))?;
    println!("{growth}");
    Ok(())
}

/// Builds the members, and prints the growth of the peak in MiB.
fn build<N: Network + 'static>(
    widths: &'static [usize],
    new: fn(&[usize], VarBuilder<'_>) -> candle_core::Result<N>,
    members: usize,
    workers: usize,
    checkpoints: Checkpoints,
) -> Result<()> {
    threads::one_core_per_member();
    let x = Tensor::arange(0u32, (ROWS * widths[0]) as u32, &Device::Cpu)?;
    let x = x.to_dtype(DType::F32)?.sin()?.reshape((ROWS, widths[0]))?;
    let y = Tensor::from_iter((0..ROWS as u32).map(|i| i % 10), &Device::Cpu)?;
    let data = TensorDataset::classification(x, &y)?;
    let trainer = Trainer::new(move |vb| new(widths, vb)).batch_size(BATCH).epochs(2);
    let folder = tempfile::tempdir().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let (store, threads) = (DirectoryStore::new(folder.path())?, Threads::new(workers)?);
    let session = Session::new(&trainer, &data).executor(&threads).store(&store).checkpoints(checkpoints);
    let plan = session.plan(&MultiRun::new(members), 42)?;
    println!("{}", own_process::growth_and_seconds(|| session.build(&plan)).0);
    Ok(())
}

/// The growth of the peak of a build in a process of its own, in MiB.
fn growth(network: &str, members: usize, workers: usize, often: &str) -> f64 {
    own_process::run(&[network, &members.to_string(), &workers.to_string(), often])[0]
}

fn main() -> Result<()> {
    if let Some([network, members, workers, often]) = own_process::case().as_deref() {
        let checkpoints = if often == "always" { Checkpoints::Epochs(1) } else { Checkpoints::Never };
        let number = |text: &str| text.parse().expect("a number");
        let (widths, members, workers) = (widths(network), number(members), number(workers));
        return match network.ends_with("layers") {
            true => build(widths, layers, members, workers, checkpoints),
            false => build(widths, net, members, workers, checkpoints),
        };
    }
    if let Some([work, side]) = own_process::case().as_deref() {
        return of_pictures(work, side.parse().expect("a number"));
    }
    let sides: &[usize] = if own_process::measured() { &[32, 64, 128, 256] } else { &[16] };
    println!("{PICTURES} pictures, 3 classes, 4 networks: growth of the peak in MiB");
    for work in pictures::WORK {
        let peak = |side: &usize| own_process::run(&[work.to_owned(), side.to_string()])[0];
        let peaks = sides.iter().map(|side| format!("{side} × {side}: {:.0}", peak(side)));
        println!("  {work}: {}", peaks.collect::<Vec<_>>().join(", "));
    }
    let members = if own_process::measured() { 100 } else { 2 };
    for network in ["deep", "wide"] {
        let numbers: usize = widths(network).windows(2).map(|w| (w[0] + 1) * w[1]).sum();
        let (state, training) = ((3 * 4 * numbers) as f64 / MIB, growth(network, 1, 1, "never"));
        println!(
            "{network}: {:.2} M parameters; network and optimizer {state:.0} MiB, in training {training:.0} MiB",
            numbers as f64 / 1e6
        );
        let outputs: usize = BATCH * widths(network)[1..].iter().sum::<usize>();
        let limit = 1.1 * (4 * (4 * numbers + outputs)) as f64 / MIB;
        let of_layers = growth(&format!("{network} layers"), 1, 1, "never");
        println!(
            "  of the library's layers in training {of_layers:.0} MiB; allowed {limit:.0} {}",
            if of_layers <= limit { "met" } else { "missed" }
        );
        for (workers, often) in [(1, "never"), (2, "never"), (1, "always"), (2, "always")] {
            let members = if often == "always" { members.min(10) } else { members };
            let peak = growth(network, members, workers, often);
            let verdict = |unit: f64| {
                let limit = (workers + 1) as f64 * unit;
                format!("{limit:.0} {}", if peak <= limit { "met" } else { "missed" })
            };
            println!(
                "  {members} members, {workers} at a time, checkpoints {often}: {peak:.0} MiB; \
                 allowed {} (with optimizer), {} (in training)",
                verdict(state),
                verdict(training)
            );
        }
    }
    Ok(())
}
