//! The command line.
use super::{
    program::{parse, Failure},
    values::{chart, check_folders, count, page},
};
use candle_ensemble::Result;
use clap::Parser;
use std::path::PathBuf;

/// Read learning curves, say what is wrong with the network (learning, generalization or predictions), show the
/// evidence, and name the techniques that help.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Learning curves, each file those of a network of its own: a JSON file of this library or of Keras' History, or
    /// a CSV file of Keras' CSVLogger, PyTorch Lightning, TensorBoard, or with columns such as epoch, train_loss,
    /// valid_loss, train_metric, valid_metric, and run where it has several runs
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub curves: Vec<PathBuf>,
    /// Take all files as runs of one network
    #[arg(long)]
    pub together: bool,
    /// Number of training rows, where the files do not say it
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub train_rows: Option<usize>,
    /// Number of validation rows, where the files do not say it
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub valid_rows: Option<usize>,
    /// Number of classes, which tells the loss of a network that has learned nothing
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub classes: Option<usize>,
    /// Settings that the network was trained with, as a JSON file that `improve` writes; remedies start from them
    /// [default: Adam with a learning rate of 0.001]
    #[arg(long, value_name = "FILE.json")]
    pub settings: Option<PathBuf>,
    /// Draw the curves with the evidence marked into this file; several networks have files beside it, with numbers
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = chart)]
    pub chart: Option<PathBuf>,
    /// Write findings, curves and remedies as an HTML page
    #[arg(long, value_name = "FILE.html", value_parser = page)]
    pub html: Option<PathBuf>,
    /// Write the findings with their evidence and remedies into this file, one entry a network
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
    /// Print nothing
    #[arg(long)]
    pub quiet: bool,
}

impl Args {
    /// The arguments of this process.
    pub fn read() -> Result<Self, Failure> {
        parse()
    }

    /// Checks that the folders of the output files exist.
    pub fn check(&self) -> Result<()> {
        check_folders([
            ("--json", self.json.as_deref()),
            ("--html", self.html.as_deref()),
            ("--chart", self.chart.as_deref()),
        ])
    }
}
