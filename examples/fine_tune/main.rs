//! Fine-tuning: a network of one set of classes is trained further on a few rows of other classes, several times, and what
//! the fine-tuned networks give as an ensemble is compared with what they give as one network.
//!
//! A network that has learned letters needs fewer digits. Networks that were fine-tuned from one base are more alike than
//! networks from fresh weights, so their ensemble gains less over one of them. A greedy soup of them is as good as an
//! ensemble at the cost of one network, and so is the network that is best on validation rows; the mean of all of them is
//! not. These two alone use validation rows. What was tried out was tried on the first half of the digits. The rows to test
//! on are the second half, which other people wrote.
//!
//! `cargo run --release --example fine_tune -- --help`
mod data;
#[path = "../common/digits.rs"]
mod digits;
#[path = "../common/letters.rs"]
mod letters;
#[path = "../common/program.rs"]
mod program;

use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Dataset, TensorDataset},
    merge::{merge, uniform_soup, GreedySoup, Model, ModelStock},
    metrics::accuracy,
    nn::{self, seq, Activation, MaxPool2d, Sequential},
    plan::Settings,
    statistics::{t_interval, Interval},
    strategy::MultiRun,
    train::{Freeze, Optimizer, RandomCrop, Trainer, Unfreeze, WarmStart},
    weights::Weights,
    Seed, Session,
};
use candle_nn::{ops::softmax_last_dim, Conv2dConfig, VarBuilder};
use clap::Parser;
use data::{classes, Images};
use program::{parse, program, say, Failure};
use std::{path::PathBuf, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The learning rates of the runs, one after the other.
const RATES: [f64; 3] = [1e-2, 3e-3, 1e-3];
/// The factor on the learning rate from one layer to the one before it.
const LAYER_DECAY: f64 = 0.8;

/// Train a small convolutional network on letters, fine-tune it several times on a few handwritten digits, and compare the
/// networks, their ensemble and their averages: the story of model soups on a small scale.
#[derive(Parser)]
struct Args {
    /// A folder with the unpacked idx files of Fashion-MNIST or MNIST, whose lower half of the classes is learned first
    /// [default: letters, and handwritten digits of 8 by 8 pixels]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Rows of each new class to fine-tune on, and as many to choose soups by
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..))]
    rows: u32,
    /// Networks that are fine-tuned from the one
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..))]
    members: u32,
    /// Passes over the few rows
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..))]
    epochs: u32,
    /// Passes of the first training over its rows
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    source_epochs: u32,
    /// Draws of the few rows, over which the results are averaged
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    repeats: u32,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// No progress on stderr
    #[arg(long)]
    quiet: bool,
    /// Two networks, two repeats and few epochs, to check that it runs
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    program(|| run(parse()?))
}

/// Two convolutions and a hidden layer, the body, and the head.
fn network(side: usize, classes: usize, vb: VarBuilder<'_>) -> CandleResult<Sequential> {
    let (body, config) = (vb.pp("body"), Conv2dConfig { padding: 1, ..Default::default() });
    let first =
        seq().add(nn::conv2d(1, 16, 3, config, body.pp(0))?).add(Activation::Relu).add(MaxPool2d::new(2));
    let second =
        first.add(nn::conv2d(16, 32, 3, config, body.pp(1))?).add(Activation::Relu).add(MaxPool2d::new(2));
    let pixels = (side / 4) * (side / 4);
    let hidden = second.add_fn(|x| x.flatten_from(1)).add(nn::linear(32 * pixels, 64, body.pp(2))?);
    Ok(hidden.add(Activation::Relu).add(nn::linear(64, classes, vb.pp("head"))?))
}

fn run(mut args: Args) -> Result<(), Failure> {
    if args.quick {
        (args.members, args.repeats, args.epochs, args.source_epochs) = (2, 2, 3, 2);
    }
    let images = match &args.data {
        Some(folder) => Images::of_folder(folder)?,
        None => Images::letters_and_digits()?,
    };
    let told = |what: String| {
        if !args.quiet {
            eprintln!("{what}")
        }
    };
    let (side, seed) = (images.side, Seed::from(args.seed));
    let of = |data| {
        let classes = classes(data);
        Trainer::new(move |vb| network(side, classes, vb)).batch_size(16usize)
    };
    let source = &images.source;
    told(format!("first training: {} rows of {} classes", source.rows(), classes(source)));
    let first = of(source).epochs(args.source_epochs as usize).augment(RandomCrop::new(1));
    let pool = Session::new(&first, source).fit(&MultiRun::new(1), seed.child("first"))?;
    let trainer = of(&images.target);
    let body = only(pool.weights())?;

    let mut results = Results::default();
    let mut sizes = (0, 0);
    for repeat in 0..args.repeats {
        told(format!("fine-tuning, repeat {} of {}", repeat + 1, args.repeats));
        let seed = seed.nth("repeat", u64::from(repeat));
        let rows = images.draw(args.rows as usize, seed.child("rows"))?;
        sizes = (rows.test.len(), rows.few.len());
        let part = |rows: &[u32]| images.target.subset(rows);
        let [few, valid, test] = [part(&rows.few)?, part(&rows.valid)?, part(&rows.test)?];
        let tuning = Tuning { trainer: &trainer, few: &few, args: &args, seed };
        let networks = tuning.networks(body)?;
        results.add(&compare(&trainer, &networks, [&valid, &test])?);
    }
    say(format_args!(
        "{} rows to fine-tune on, {} rows to test on, {} repeats, {} networks\n",
        sizes.1, sizes.0, args.repeats, args.members
    ));
    results.show()
}

fn only(weights: Vec<&Weights>) -> Result<&Weights, Failure> {
    weights.into_iter().next().ok_or_else(|| "the training gave no network".into())
}

/// The trainings on few rows.
struct Tuning<'t> {
    trainer: &'t Trainer<Sequential>,
    few: &'t TensorDataset,
    args: &'t Args,
    seed: Seed,
}

/// The networks of one repeat.
struct Networks {
    /// Trained from fresh weights.
    fresh: Vec<Weights>,
    /// The body of the first training with a new head.
    base: Weights,
    /// Fine-tuned from the base.
    tuned: Vec<Weights>,
}

impl Tuning<'_> {
    fn networks(&self, body: &Weights) -> Result<Networks, Failure> {
        let epochs = self.args.epochs as usize;
        let trainer = self.trainer.clone().epochs(epochs);
        // The head alone first, on the body as it is: its gradients would otherwise disturb the body.
        let start = WarmStart::new(body.clone())?.except(["head.*"]);
        let head = trainer.clone().warm_start(start).freeze(Freeze::names_like(["body.*"]));
        let head = head.optimizer(Optimizer::adam(1e-2));
        let base = self.trained(&head, 1, "head")?.pop().ok_or("the training gave no network")?;
        // Then all layers, the first convolution later than the others, and lower layers at lower rates.
        let all = trainer.clone().warm_start(WarmStart::new(base.clone())?).layer_decay(LAYER_DECAY);
        let all = all.freeze(1).unfreeze(Unfreeze::At(epochs.div_ceil(3)));
        let members = self.args.members as usize;
        let tuned = self.trained(&all, members, "tuned")?;
        Ok(Networks { fresh: self.trained(&trainer, members, "fresh")?, base, tuned })
    }

    /// Networks of runs that differ in their seeds and their learning rates.
    fn trained(
        &self,
        trainer: &Trainer<Sequential>,
        runs: usize,
        name: &str,
    ) -> Result<Vec<Weights>, Failure> {
        let rates = RATES.iter().map(|rate| Settings::new().with("learning_rate", *rate));
        let builder = MultiRun::new(runs);
        let builder = if runs > 1 { builder.settings(rates) } else { builder };
        let pool = Session::new(trainer, self.few).fit(&builder, self.seed.child(name))?;
        Ok(pool.weights().into_iter().cloned().collect())
    }
}

/// The test accuracy of each way to predict, with the number of networks that a prediction runs.
fn compare(
    trainer: &Trainer<Sequential>,
    networks: &Networks,
    [valid, test]: [&TensorDataset; 2],
) -> Result<Vec<(&'static str, usize, f64)>, Failure> {
    let model = Model::new(trainer)?;
    let probabilities = |weights: &Weights| -> Result<Tensor, Failure> {
        Ok(softmax_last_dim(&model.output(weights, test.inputs().clone())?)?)
    };
    let score = |probabilities: &Tensor| accuracy(probabilities, test.labels().unwrap_or_default(), None);
    let of = |weights: &Weights| -> Result<f64, Failure> { Ok(score(&probabilities(weights)?)?) };
    let single = |all: &[Weights]| -> Result<f64, Failure> {
        let scores = all.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        Ok(scores.iter().sum::<f64>() / scores.len() as f64)
    };
    let ensemble = |all: &[Weights]| -> Result<f64, Failure> {
        let each = all.iter().map(probabilities).collect::<Result<Vec<_>, _>>()?;
        Ok(score(&Tensor::stack(&each, 0)?.mean(0)?)?)
    };
    let Networks { fresh, base, tuned } = networks;
    let all: Vec<&Weights> = tuned.iter().collect();
    let rows: Vec<u32> = (0..valid.rows() as u32).collect();
    let loss = |weights: &Weights| model.loss(weights, valid, &rows);
    let losses = tuned.iter().map(loss).collect::<Result<Vec<_>, _>>()?;
    let least = |a: &(&Weights, f64), b: &(&Weights, f64)| a.1.total_cmp(&b.1);
    let best = all.iter().copied().zip(losses).min_by(least).ok_or("there is no network")?.0;
    let greedy = GreedySoup::new().merge(&all, |weights| Ok(-loss(weights)?))?;
    Ok(vec![
        ("one network from fresh weights", 1, single(fresh)?),
        ("ensemble of networks from fresh weights", fresh.len(), ensemble(fresh)?),
        ("new head on the frozen body", 1, of(base)?),
        (TUNED, 1, single(tuned)?),
        ("the fine-tuned network that is best on validation rows", 1, of(best)?),
        ("ensemble of fine-tuned networks", tuned.len(), ensemble(tuned)?),
        ("uniform soup of fine-tuned networks", 1, of(&uniform_soup(&all)?)?),
        ("greedy soup of fine-tuned networks", 1, of(&greedy.weights)?),
        ("Model Stock of fine-tuned networks", 1, of(&merge(&ModelStock::new(), &all, Some(base))?)?),
    ])
}

/// What everything is compared with.
const TUNED: &str = "one fine-tuned network";

/// The accuracies of all repeats.
#[derive(Default)]
struct Results(Vec<(&'static str, usize, Vec<f64>)>);

impl Results {
    fn add(&mut self, repeat: &[(&'static str, usize, f64)]) {
        for (name, cost, score) in repeat {
            match self.0.iter_mut().find(|(known, ..)| known == name) {
                Some((.., scores)) => scores.push(*score),
                None => self.0.push((*name, *cost, vec![*score])),
            }
        }
    }

    /// Prints means and differences. The intervals are about other draws of the few rows and other seeds, with the same first
    /// network and the same images.
    fn show(&self) -> Result<(), Failure> {
        let interval = |values: &[f64]| t_interval(values, 0.95);
        let tuned = self.0.iter().find(|(name, ..)| *name == TUNED).map(|(.., scores)| scores.as_slice());
        let tuned = tuned.unwrap_or_default();
        say(format_args!(
            "{:55} {:>8}   {:24}   {:24}",
            "", "networks", "test accuracy", "over one fine-tuned"
        ));
        let cell = |of: Interval, plus: bool| {
            let number = |x: f64| if plus { format!("{x:+.4}") } else { format!("{x:.4}") };
            format!("{} [{}, {}]", number(of.estimate), number(of.low), number(of.high))
        };
        for (name, cost, scores) in &self.0 {
            let gains: Vec<f64> = scores.iter().zip(tuned).map(|(score, tuned)| score - tuned).collect();
            let gain = if *name == TUNED { String::new() } else { cell(interval(&gains)?, true) };
            say(format_args!("{name:55} {cost:>8}   {:24}   {gain:24}", cell(interval(scores)?, false)));
        }
        say("\n95 % intervals of the mean over draws of the few rows and seeds.");
        Ok(())
    }
}
