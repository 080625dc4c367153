//! The scales of inputs and targets.
use super::table::{Table, Targets};
use crate::{codec::real, data::Dataset, Result};
use serde::{Deserialize, Serialize};

/// The scales of the columns of inputs and targets, from one pass over at most 10 000 rows.
///
/// Networks learn fastest when inputs and targets have a mean near 0 and a standard deviation near 1: initial weights and
/// learning rates are made for numbers of that size.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, diagnose::ScaleCheck};
///
/// let x = Tensor::new(&[[1f32, 2000.], [3., 2010.]], &Device::Cpu)?;
/// let data = TensorDataset::regression(&x, &Tensor::new(&[1f32, 2.], &Device::Cpu)?)?;
/// let scales = ScaleCheck::of(&data, &[0, 1])?;
/// assert_eq!((scales.inputs[1].mean, scales.inputs[1].deviation), (2005., 5.));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: LeCun, Bottou, Orr and Müller 1998, doi:10.1007/3-540-49430-8_2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScaleCheck {
    /// The number of rows that were read.
    pub rows: usize,
    /// The columns of inputs of a floating-point type that are not constant.
    pub inputs: Vec<ColumnScale>,
    /// The outputs of targets that are values; empty for classes and labels.
    pub targets: Vec<ColumnScale>,
    /// Whether every target is a whole number, and how many different ones there are; `None` for classes and for several
    /// outputs.
    pub whole_numbers: Option<usize>,
}

/// The scale of a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnScale {
    /// The number of the column.
    pub column: usize,
    /// The mean.
    #[serde(with = "real")]
    pub mean: f64,
    /// The standard deviation, divided by the number of rows.
    #[serde(with = "real")]
    pub deviation: f64,
    /// The smallest value.
    #[serde(with = "real")]
    pub smallest: f64,
    /// The largest value.
    #[serde(with = "real")]
    pub largest: f64,
}

impl ColumnScale {
    fn of(column: usize, values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { column, mean, deviation: variance.sqrt(), smallest, largest }
    }

    /// The largest absolute value.
    #[must_use]
    pub fn size(&self) -> f64 {
        self.largest.abs().max(self.smallest.abs())
    }

    /// Whether it is a scale that networks are made for: a standard deviation between 1/3 and 3, and a mean that is
    /// less than a standard deviation away from 0.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        (1. / 3. ..=3.).contains(&self.deviation) && self.offset() < 1.
    }

    /// The distance of the mean from 0, in standard deviations.
    #[must_use]
    pub fn offset(&self) -> f64 {
        self.mean.abs() / self.deviation
    }
}

impl ScaleCheck {
    /// Reads these rows.
    ///
    /// # Errors
    /// When there are no rows, the data cannot be read, or a number is NaN or infinite.
    pub fn of(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        let table = Table::read(data, rows)?;
        let columns = table.columns.iter().enumerate().filter(|(_, column)| column.real);
        let inputs = columns.map(|(number, column)| ColumnScale::of(number, &column.values));
        let targets = match &table.targets {
            Targets::Classes(..) | Targets::Shares(_) => vec![],
            Targets::Values(outputs) => {
                outputs.iter().enumerate().map(|(number, values)| ColumnScale::of(number, values)).collect()
            }
        };
        let whole_numbers = match &table.targets {
            Targets::Values(outputs) if outputs.len() == 1 => {
                outputs.first().and_then(|values| whole(values))
            }
            _ => None,
        };
        let inputs = inputs.filter(|scale| scale.smallest < scale.largest).collect();
        Ok(Self { rows: table.len(), inputs, targets, whole_numbers })
    }
}

/// How many different numbers there are, if all are whole.
fn whole(values: &[f64]) -> Option<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    sorted.iter().all(|x| x.fract() == 0.).then_some(sorted.len())
}
