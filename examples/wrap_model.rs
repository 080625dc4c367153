//! An ensemble of a candle model that was written without this library.
//!
//! `cargo run --release --example wrap_model -- --help`
#[path = "common/digits.rs"]
mod digits;
#[path = "common/program.rs"]
mod program;

use candle_core::{ModuleT, Result as CandleResult, Tensor};
use candle_ensemble::{combine::Mean, data::*, metrics::accuracy, strategy::Bagging, train::*, *};
use candle_nn::{
    batch_norm, conv2d, linear, BatchNorm, Conv2d, Conv2dConfig, Dropout, Linear, Module, VarBuilder,
};
use clap::Parser;
use program::{parse, program, Failure};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train an ensemble of a convolutional network with batch-norm and dropout, on handwritten digits.
#[derive(Parser)]
struct Args {
    /// Networks in the ensemble
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    members: u16,
    /// Passes over the training rows
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Two members and one epoch, to check that it runs
    #[arg(long)]
    quick: bool,
}

// ---- The model, as a user of candle writes it.

struct ConvNet {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    dropout: Dropout,
    out: Linear,
}

impl ConvNet {
    fn new(vb: VarBuilder<'_>) -> CandleResult<Self> {
        let same = Conv2dConfig { padding: 1, ..Default::default() };
        Ok(Self {
            conv1: conv2d(1, 8, 3, same, vb.pp("conv1"))?,
            norm1: batch_norm(8, 1e-5, vb.pp("norm1"))?,
            conv2: conv2d(8, 16, 3, same, vb.pp("conv2"))?,
            norm2: batch_norm(16, 1e-5, vb.pp("norm2"))?,
            dropout: Dropout::new(0.25),
            out: linear(16 * 2 * 2, 10, vb.pp("out"))?,
        })
    }
}

impl ModuleT for ConvNet {
    fn forward_t(&self, images: &Tensor, train: bool) -> CandleResult<Tensor> {
        let xs = self.norm1.forward_t(&self.conv1.forward(images)?, train)?.relu()?.max_pool2d(2)?;
        let xs = self.norm2.forward_t(&self.conv2.forward(&xs)?, train)?.relu()?.max_pool2d(2)?;
        self.out.forward(&self.dropout.forward_t(&xs.flatten_from(1)?, train)?)
    }
}

fn main() -> ExitCode {
    program(|| run(&parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    let (members, epochs) = if args.quick { (2, 1) } else { (args.members.into(), args.epochs) };

    let data = digits::digits(&[1, 8, 8])?; // your inputs and class ids, as a `TensorDataset`

    // ---- The ensemble, in ten lines.
    let split = Split::stratified(data.strata().unwrap_or_default(), 0.3, Seed::from(1))?;
    let (train, test) = (data.subset(&split.train)?, data.subset(&split.test)?);

    let trainer =
        Trainer::new(|vb| ConvNet::new(vb)).epochs(epochs as usize).optimizer(Optimizer::adam(2e-3));
    let bar = ProgressBar::new(1);
    let pool = Session::new(&trainer, &train).observer(&bar).fit(&Bagging::new(members), 42)?;
    let ensemble = pool.combine(&Mean)?;
    bar.clear();

    // ---- Its predictions for images that no member was fitted on.
    let (xs, ys) = (test.inputs(), test.labels().unwrap_or_default());
    let each = ensemble.member_predictions(xs)?;
    for member in 0..members {
        println!("member {member}: test accuracy {:.4}", accuracy(&each.get(member)?, ys, None)?);
    }
    println!("ensemble: test accuracy {:.4}", accuracy(&ensemble.predict_proba(xs)?, ys, None)?);

    // An ensemble is a candle module: here it is the first layer of another network.
    let below_five = candle_nn::seq().add(ensemble).add_fn(|log_p| log_p.exp()?.narrow(1, 0, 5)?.sum(1));
    let low = below_five.forward(&xs.tensors()[0].narrow(0, 0, 3)?)?;
    println!("P(digit < 5) of the first three: {:.3?}", low.to_vec1::<f32>()?);
    Ok(())
}
