//! The command line.
use super::setting::Table;
use candle_ensemble::{Error, Result};
use clap::Parser;
use std::path::PathBuf;

/// Measure what the usual techniques for better learning and better generalization gain, on small data sets.
///
/// Each row compares a setting without a technique and with it. Networks differ in initial weights and
/// shuffles only, and the two networks of a pair share both, so the difference is paired. Beside each figure
/// stands that of an independent implementation (20 networks a setting). The figures must agree with it within
/// three standard deviations, and a difference must have its sign where the reference is sure of it and enough
/// networks are trained. Techniques that do not help on average are said not to.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "\
Rows are selected by a table (moons), a technique (l2, in all tables), a row (l2-.01) or both \
(moons/l2); --list prints them all."
)]
pub struct Args {
    /// Rows to run, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub only: Vec<String>,
    /// Networks trained for each setting; the reference has 20
    #[arg(long, default_value_t = 5, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: u16,
    /// The same seed gives the same figures
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Networks trained at a time [default: one on each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// A fiftieth of the epochs and no gates, to see that it runs
    #[arg(long)]
    pub quick: bool,
    /// Print the rows with their names, and train nothing
    #[arg(long)]
    pub list: bool,
    /// Write the scores of every network, the differences and the gates as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print no progress
    #[arg(long)]
    pub quiet: bool,
}

impl Args {
    /// The tables with the rows that are asked for.
    pub fn select(&self, mut tables: Vec<Table>) -> Result<Vec<Table>> {
        for word in &self.only {
            if !tables.iter().any(|table| table.rows.iter().any(|row| row.is(table.key, word))) {
                let known: Vec<_> = tables.iter().map(|table| table.key).collect();
                let must = format!("a row of --list or one of the tables {}", known.join(", "));
                return Err(Error::invalid("--only", must, format!("{word:?}")));
            }
        }
        for table in &mut tables {
            let key = table.key;
            table.rows.retain(|row| self.only.is_empty() || self.only.iter().any(|word| row.is(key, word)));
        }
        tables.retain(|table| !table.rows.is_empty());
        Ok(tables)
    }
}
