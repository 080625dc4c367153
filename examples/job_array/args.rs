//! The command line.
use clap::Parser;
use std::path::PathBuf;

/// Train the networks of a bagged ensemble on handwritten digits in many processes that share a store, and collect them.
///
/// Each process trains a fixed share of the networks. Under Slurm (array or tasks), Open MPI and Kubernetes (indexed
/// job) it finds its share by itself. With --worker it takes one network after the other from the store instead, so that
/// processes can come and go. A process that is killed continues where it was when it is started again.
#[derive(Parser)]
pub struct Args {
    /// Where members are kept: a folder that all processes see, or, with the feature object-store, an address such as
    /// s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub store: String,
    /// The share of this process, such as 2/8, from 0 to N − 1 [default: what the scheduler says, otherwise all]
    #[arg(long, value_name = "I/N", value_parser = share, conflicts_with_all = ["worker", "collect", "status"])]
    pub shard: Option<(usize, usize)>,
    /// Take one network after the other from the store, beside other workers, until all are trained
    #[arg(long, conflicts_with_all = ["collect", "status"])]
    pub worker: bool,
    /// Seconds without a sign of life after which other workers take over what a worker trains, 0.1 or more
    #[arg(long, value_name = "SECONDS", default_value_t = 60., value_parser = seconds, requires = "worker")]
    pub expiry: f64,
    /// Print how far the build is: trained, under way, failed and missing networks
    #[arg(long, conflicts_with = "collect")]
    pub status: bool,
    /// Print the status as one line of JSON
    #[arg(long, requires = "status")]
    pub json: bool,
    /// Print the status again after so many seconds, 0.1 or more, until the build has ended
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "status")]
    pub watch: Option<f64>,
    /// Collect the trained networks: measure the ensemble and write it to this file
    #[arg(long, value_name = "FILE")]
    pub collect: Option<PathBuf>,
    /// Networks. All processes need the same number, and so for epochs, width and seed
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub members: u32,
    /// Passes over the training rows
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Units of each of the two hidden layers
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub width: u32,
    /// Seed of everything
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Epochs after which an unfinished network is kept
    #[arg(long, value_name = "EPOCHS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: u32,
    /// Networks that train at the same time [default: one on each core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// No progress bar
    #[arg(long)]
    pub quiet: bool,
}

fn share(text: &str) -> Result<(usize, usize), String> {
    let must = "must be a number and how many there are, such as 2/8";
    let (index, of) = text.split_once('/').ok_or(must)?;
    match (index.parse(), of.parse()) {
        (Ok(index), Ok(of)) => Ok((index, of)),
        _ => Err(must.into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds, 0.1 or more".into()),
    }
}
