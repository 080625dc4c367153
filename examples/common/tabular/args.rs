//! The flags for a table of data and for the network that is trained on it.
use crate::{
    table,
    values::{count, number},
};
use candle_ensemble::{nn::Activation, weights::InitScheme, Result};
use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};
use std::path::Path;

// Not a documentation comment: clap would make it the program's description.
// The data, its target, and which rows are tested on.
#[derive(Debug, Args, Serialize)]
pub struct TableArgs {
    /// `digits`, `wine` or `diabetes` (they come with the repository), or a CSV file with a header line, which may
    /// be gzipped
    #[arg(long, default_value = "digits", value_name = "NAME|FILE.csv")]
    pub data: String,
    /// Column of a CSV file to predict [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Columns of a CSV file to leave out, separated by commas
    #[arg(long, value_name = "COLUMN,…")]
    pub drop: Vec<String>,
    /// What separates the fields of a CSV file: one character, tab or space [default: found out]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// How the characters of a CSV file are encoded, such as windows-1252 [default: UTF-8 or UTF-16]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<Encoding>,
    /// The decimal point of a CSV file: a point or a comma
    #[arg(long, default_value_t = '.', value_name = "CHARACTER", value_parser = decimal)]
    pub decimal: char,
    /// A CSV file has no header line: its columns are called 1, 2, …
    #[arg(long)]
    pub no_header: bool,
    /// Predict classes or values [default: inferred from the target column, and printed]
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// Train on the first N rows and test on the others, instead of a random split
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub train_rows: Option<usize>,
    /// Share of the rows to test on, drawn at random, class by class; between 0 and 1
    #[arg(
        long,
        default_value_t = 0.3,
        value_name = "SHARE",
        conflicts_with = "train_rows",
        value_parser = number("between 0 and 1", |x| x > 0. && x < 1.)
    )]
    pub test_fraction: f64,
    /// Bring each column (and a regression target) to mean 0 and standard deviation 1 of the training rows
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub standardize: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TaskName {
    Classification,
    Regression,
}

/// An encoding of characters, by one of the names of the Encoding Standard.
#[derive(Clone, Copy, Debug)]
pub struct Encoding(pub &'static encoding_rs::Encoding);

impl Serialize for Encoding {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.name().serialize(to)
    }
}

fn encoding(name: &str) -> Result<Encoding, String> {
    let known = encoding_rs::Encoding::for_label(name.as_bytes()).map(Encoding);
    known.ok_or_else(|| "must be an encoding, such as utf-8, windows-1252, utf-16le or shift_jis".into())
}

fn delimiter(text: &str) -> Result<char, String> {
    table::delimiter(text).map(char::from).map_err(|e| e.to_string())
}

fn decimal(text: &str) -> Result<char, String> {
    match text {
        "." => Ok('.'),
        "," => Ok(','),
        _ => Err("must be a point or a comma".into()),
    }
}

impl TableArgs {
    /// The names of the data sets. A file whose name has a comma is one.
    pub fn data_sets(&self) -> Vec<String> {
        match Path::new(&self.data).is_file() {
            true => vec![self.data.clone()],
            false => self.data.split(',').map(|name| name.trim().to_string()).collect(),
        }
    }
}

// The network and its training.
#[derive(Debug, Args, Serialize)]
pub struct NetworkArgs {
    /// Widths of the hidden layers, separated by commas
    #[arg(
        long,
        default_value = "64,32",
        value_delimiter = ',',
        value_name = "W,…",
        value_parser = count::<usize>
    )]
    pub hidden: Vec<usize>,
    /// The optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam)]
    pub optimizer: OptimizerName,
    /// Learning rate
    #[arg(long, default_value_t = 1e-3, value_parser = number("above 0", |x| x > 0.))]
    pub lr: f64,
    /// Momentum of SGD, in [0, 1)
    #[arg(
        long,
        default_value_t = 0.9,
        value_parser = number("at least 0 and below 1", |x| (0. ..1.).contains(&x))
    )]
    pub momentum: f64,
    /// L2 penalty added to the gradient
    #[arg(long, default_value_t = 0., value_parser = number("at least 0", |x| x >= 0.))]
    pub weight_decay: f64,
    /// Adam's ε
    #[arg(long, default_value_t = 1e-8, value_parser = number("above 0", |x| x > 0.))]
    pub epsilon: f64,
    /// How initial weights are drawn: default (candle's own way), or a scheme such as glorot-uniform, he-uniform or
    /// uniform:0:1, with zero biases
    #[arg(long, default_value = "default", value_name = "NAME", value_parser = initial)]
    pub init: String,
    /// The activation function of the hidden layers, such as relu, tanh or sigmoid
    #[arg(long, default_value = "relu", value_name = "NAME", value_parser = activation)]
    pub activation: String,
    /// Rows of a step
    #[arg(long, default_value_t = 32, value_name = "ROWS", value_parser = count::<usize>)]
    pub batch: usize,
    /// Passes over the training rows
    #[arg(long, default_value_t = 30, value_parser = count::<usize>)]
    pub epochs: usize,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    Adam,
    Sgd,
}

fn initial(name: &str) -> Result<String, String> {
    if name != "default" {
        InitScheme::parse(name).map_err(|e| e.to_string())?;
    }
    Ok(name.into())
}

fn activation(name: &str) -> Result<String, String> {
    Activation::registry().parse(name).map_err(|e| e.to_string())?;
    Ok(name.into())
}
