//! Segmentation: one network against an ensemble, pixel by pixel, on pictures of discs and squares.
//!
//! `cargo run --release --example segment -- --help`
#[path = "common/program.rs"]
mod program;

use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    combine,
    data::{Dataset, TensorDataset},
    metrics::MetricList,
    nn::{self, seq},
    strategy::Bagging,
    train::{Optimizer, Trainer},
    Pool, ProgressBar, Seed, Session,
};
use candle_nn::{Conv2dConfig, VarBuilder};
use clap::Parser;
use program::{parse, program, Failure};
use rand::Rng;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The pixels on the edges of shapes, which have no class.
const EDGE: u32 = 255;

/// Height and width of a picture.
const SIZE: usize = 24;

/// Train convolutional networks that give each pixel a class, on synthetic pictures of discs and squares, and compare one
/// network with ensembles: accuracy, mean intersection over union, and calibration, on pictures that no network was fitted on.
#[derive(Parser)]
struct Args {
    /// Pictures to train on
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..))]
    pictures: u32,
    /// Pictures to test on
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    test: u32,
    /// Networks, each trained on a bootstrap sample of the pictures
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..))]
    members: u32,
    /// Passes over the training pictures
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Standard deviation of the noise; the shapes are 1 brighter than the background
    #[arg(long, default_value_t = 0.5)]
    noise: f64,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Few pictures and epochs, to check that it runs
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    program(|| run(parse()?))
}

fn run(mut args: Args) -> Result<(), Failure> {
    if args.quick {
        (args.pictures, args.test, args.members, args.epochs) = (12, 6, 3, 2);
    }
    if !(args.noise >= 0. && args.noise.is_finite()) {
        return Err(candle_ensemble::Error::invalid("--noise", "0 or more", args.noise).into());
    }
    let seed = Seed::from(args.seed);
    let train = pictures(args.pictures as usize, args.noise, seed.child("train"))?;
    let test = pictures(args.test as usize, args.noise, seed.child("test"))?;

    let trainer =
        Trainer::new(network).epochs(args.epochs as usize).batch_size(8).optimizer(Optimizer::adam(0.01));
    let progress = ProgressBar::new(1);
    let session = Session::new(&trainer, &train).observer(&progress);
    let pool = session.fit(&Bagging::new(args.members as usize), args.seed)?;
    println!(
        "{} networks, each trained on a bootstrap sample of {} pictures of {SIZE} × {SIZE} pixels.\n",
        args.members, args.pictures
    );
    compare(&pool, &test)?;
    show(&pool, &test)
}

/// Three convolutions; the second one looks further than its neighbours. Logits `(B, 3, H, W)`.
fn network(vb: VarBuilder<'_>) -> candle_core::Result<nn::Sequential> {
    let near = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
    let far = Conv2dConfig { padding: 2, dilation: 2, ..Conv2dConfig::default() };
    let layers = seq().add(nn::conv2d(1, 8, 3, near, vb.pp("near"))?).add(nn::Activation::Relu);
    let layers = layers.add(nn::conv2d(8, 8, 3, far, vb.pp("far"))?).add(nn::Activation::Relu);
    Ok(layers.add(nn::conv2d(8, 3, 3, near, vb.pp("classes"))?))
}

/// Pictures `(N, 1, H, W)` with one disc and one square each in noise, and the classes of their pixels, `(N, H, W)`:
/// background, disc, square. The edges of the shapes have no class.
fn pictures(count: usize, noise: f64, seed: Seed) -> candle_ensemble::Result<TensorDataset> {
    let (mut pixels, mut classes) = (vec![], vec![]);
    for picture in 0..count {
        let mut rng = seed.nth("picture", picture as u64).rng();
        let normal = rand_distr::Normal::new(0., noise)
            .map_err(|e| candle_ensemble::Error::invalid("--noise", "0 or more", e))?;
        let mut place = |radius: f64| {
            let mut along = || rng.random_range(radius..SIZE as f64 - radius);
            (along(), along(), radius)
        };
        let (disc, square) = (place(4.), place(3.5));
        for (y, x) in (0..SIZE).flat_map(|y| (0..SIZE).map(move |x| (y as f64 + 0.5, x as f64 + 0.5))) {
            let round = (y - disc.0).hypot(x - disc.1) - disc.2;
            let straight = (y - square.0).abs().max((x - square.1).abs()) - square.2;
            let class = match (round.abs().min(straight.abs()) < 0.5, straight < 0., round < 0.) {
                (true, ..) => EDGE,
                (_, true, _) => 2,
                (.., true) => 1,
                _ => 0,
            };
            let bright = f64::from(u8::from(round < 0. || straight < 0.));
            pixels.push((bright + rng.sample(normal)) as f32);
            classes.push(class);
        }
    }
    let pixels = Tensor::from_vec(pixels, (count, 1, SIZE, SIZE), &Device::Cpu)?;
    let classes = Tensor::from_vec(classes, (count, SIZE, SIZE), &Device::Cpu)?;
    TensorDataset::dense(pixels, &classes, Some(i64::from(EDGE)))?.with_classes(3)
}

/// Prints the metrics of a single network and of ensembles on the test pictures, and what the held-out pixels say.
fn compare(pool: &Pool<'_, Trainer<nn::Sequential>>, test: &TensorDataset) -> Result<(), Failure> {
    let metrics = MetricList::parse("accuracy,mean-iou,nll,ece")?;
    println!("| {:<26} | {} |", "on the test pictures", metrics.names().join(" | "));
    println!("|{}|", vec!["---"; metrics.names().len() + 1].join("|"));
    let row = |name: &str, values: Vec<f64>| {
        let names = metrics.names();
        let cells = values.iter().zip(&names).map(|(value, name)| format!("{value:>0$.3}", name.len()));
        println!("| {name:<26} | {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    let mean_rule = combine::registry().parse("mean")?;
    let singles = (0..pool.slots())
        .map(|slot| pool.select_slots(&[slot])?.combine(&mean_rule)?.on(test).metrics(&metrics))
        .collect::<candle_ensemble::Result<Vec<_>>>()?;
    let mean = |at: usize| singles.iter().map(|single| single[at]).sum::<f64>() / singles.len() as f64;
    row("one network, on average", (0..metrics.names().len()).map(mean).collect());
    for rule in ["mean", "simplex-log-loss", "temperature"] {
        let ensemble = pool.combine(&combine::registry().parse(rule)?)?;
        row(&format!("ensemble, {rule}"), ensemble.on(test).metrics(&metrics)?);
    }
    println!("\nOn the training pictures, each pixel by the networks that have not seen its picture; intervals over pictures:\n");
    println!("{}", pool.judge(&combine::registry().parse("simplex-log-loss")?)?);
    Ok(())
}

/// Prints the first test picture: the truth, the prediction, and where the networks disagree.
fn show(pool: &Pool<'_, Trainer<nn::Sequential>>, test: &TensorDataset) -> Result<(), Failure> {
    let ensemble = pool.combine(&combine::registry().parse("mean")?)?;
    let batch = test.batch(&[0], &Device::Cpu)?;
    let predicted = ensemble.predict(&batch.inputs)?.get(0)?.to_vec2::<u32>()?;
    let truth = batch.targets.get(0)?.to_vec2::<u32>()?;
    let votes = ensemble.member_predictions(&batch.inputs)?.argmax(2)?.squeeze(1)?.to_dtype(DType::U32)?;
    let agree =
        votes.broadcast_eq(&votes.get(0)?.unsqueeze(0)?)?.to_dtype(DType::U32)?.min(0)?.to_vec2::<u32>()?;
    let mark = |class: &u32| match class {
        0 => '.',
        1 => 'o',
        2 => '#',
        _ => ' ',
    };
    let line = |row: &[u32]| row.iter().map(mark).collect::<String>();
    println!("\n{:<SIZE$}   {:<SIZE$}   {:<SIZE$}", "truth", "ensemble", "networks disagree: ?");
    for ((truth, predicted), agree) in truth.iter().zip(&predicted).zip(&agree) {
        let doubt: String = agree.iter().map(|agree| if *agree == 1 { '.' } else { '?' }).collect();
        println!("{}   {}   {doubt}", line(truth), line(predicted));
    }
    println!("\n. background   o disc   # square   blank: an edge, which has no class");
    Ok(())
}
