//! Rows drawn with replacement.
use super::{Draw, Resample};
use crate::{data::Dataset, Error, Result, Rows, Seed};
use rand::Rng;

/// How many rows to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share of the rows, above 0; rounded, at least one row.
    Share(f64),
    /// A number of rows, at least 1.
    Count(usize),
}

impl Default for Amount {
    fn default() -> Self {
        Self::Share(1.)
    }
}

impl Amount {
    fn of(self, rows: usize) -> Result<usize> {
        let size = match self {
            Self::Share(share) if !(share > 0. && share.is_finite()) => {
                return Err(Error::invalid("the sample size", "a share above 0", share));
            }
            Self::Share(share) => ((share * rows as f64).round() as usize).max(1),
            Self::Count(count) => count,
        };
        match size {
            0 => Err(Error::invalid("the sample size", "at least one row", 0)),
            n if n > u32::MAX as usize => {
                Err(Error::invalid("the sample size", format!("at most {} rows", u32::MAX), n))
            }
            n => Ok(n),
        }
    }
}

/// The bootstrap (Efron 1979, doi:10.1214/aos/1176344552): rows drawn uniformly with replacement. A row is out
/// of a sample of `n` from `N` with probability `(1 − 1/N)ⁿ`, about e⁻¹ at full size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How many samples, at least 1.
    pub runs: usize,
    /// How many rows each.
    pub amount: Amount,
}

impl Resample for Bootstrap {
    fn draw(&self, data: &dyn Dataset, seed: Seed) -> Result<Vec<Draw>> {
        if self.runs == 0 {
            return Err(Error::invalid("runs", "at least 1", 0));
        }
        let (rows, size) = (data.rows() as u32, self.amount.of(data.rows())?);
        let sample = |run: usize| {
            let mut rng = seed.nth("bootstrap", run as u64).rng();
            let mut train: Rows = (0..size).map(|_| rng.random_range(0..rows)).collect();
            train.sort_unstable();
            Draw { train, valid: vec![] }
        };
        Ok((0..self.runs).map(sample).collect())
    }

    fn name(&self) -> String {
        "bootstrap".into()
    }
}
