//! Scaling of columns, and its inverse.
use crate::{
    data::scale::table::{map_cells, Table},
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Scales each column to `(x − shift) / scale`, computed in f64 and rounded once.
///
/// Fit it on the rows to train on, and apply it to all rows. Tensors are `(N, D)`, or `(N,)` for a single
/// column, of any float dtype; dtype and device are kept.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::data::Scaler;
///
/// let x = Tensor::new(&[[1f32, 5.], [3., 5.]], &Device::Cpu)?;
/// let scaler = Scaler::standardize(&x)?;
/// let z = scaler.transform(&x)?;
/// assert_eq!(z.to_vec2::<f32>()?, [[-1., 0.], [1., 0.]]);
/// assert_eq!(scaler.inverse(&z)?.to_vec2::<f32>()?, [[1., 5.], [3., 5.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Columns", into = "Columns")]
pub struct Scaler(Columns);

/// One entry for each column; no scale is 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Columns {
    shift: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    /// A scaler to mean 0 and standard deviation 1, like scikit-learn's `StandardScaler`. The standard
    /// deviation is that of the population (division by `N`). A column that is constant up to rounding is
    /// only shifted.
    ///
    /// The variance is computed in two passes in f64, the second corrected by the sum of the deviations
    /// (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115), so it stays accurate where the
    /// mean is large against the deviation. It does not overflow where the squares of the values would.
    ///
    /// # Errors
    /// When `x` is not a tensor of floats `(N, D)` or `(N,)`, has no rows, or contains NaN or infinity.
    pub fn standardize(x: &Tensor) -> Result<Self> {
        let table = Table::of(x)?;
        let mut moments = vec![Moments::new(table.rows); table.columns];
        let on = |moments: &mut [Moments], column: usize, f: fn(&mut Moments, f64), x| {
            moments.get_mut(column).into_iter().for_each(|moments| f(moments, x));
        };
        table.each(|column, x| on(&mut moments, column, Moments::measure, x))?;
        moments.iter_mut().for_each(Moments::measured);
        table.each(|column, x| on(&mut moments, column, Moments::add, x))?;
        moments.iter_mut().for_each(Moments::added);
        table.each(|column, x| on(&mut moments, column, Moments::deviate, x))?;
        let (shift, scale) = moments.into_iter().map(Moments::finish).unzip();
        Columns { shift, scale }.try_into()
    }

    /// A scaler to the range from 0 to 1, like scikit-learn's `MinMaxScaler`. A constant column becomes 0.
    ///
    /// # Errors
    /// When `x` is not a tensor of floats `(N, D)` or `(N,)`, has no rows, or contains NaN or infinity.
    pub fn min_max(x: &Tensor) -> Result<Self> {
        let table = Table::of(x)?;
        let (mut low, mut high) =
            (vec![f64::INFINITY; table.columns], vec![f64::NEG_INFINITY; table.columns]);
        table.each(|column, x| {
            if let (Some(low), Some(high)) = (low.get_mut(column), high.get_mut(column)) {
                (*low, *high) = (low.min(x), high.max(x));
            }
        })?;
        let scale =
            low.iter().zip(&high).map(|(low, high)| if high > low { high - low } else { 1. }).collect();
        Columns { shift: low, scale }.try_into()
    }

    /// The number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.0.shift.len()
    }

    /// The number subtracted from each column: its mean, or its minimum.
    #[must_use]
    pub fn shift(&self) -> &[f64] {
        &self.0.shift
    }

    /// The number by which each column is then divided: its standard deviation, or its range.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.0.scale
    }

    /// Returns `(x − shift) / scale`.
    ///
    /// # Errors
    /// When `x` has another number of columns or contains NaN or infinity, or a result is too large for the
    /// dtype.
    pub fn transform(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, |x, shift, scale| (x - shift) / scale)
    }

    /// Returns `x × scale + shift`, the inverse of [`Self::transform`].
    ///
    /// The result has the dtype of `x`. Where the shift is large against the scale (times in milliseconds,
    /// prices in cents), `f32` cannot hold it without loss: convert `x` to `f64` first.
    ///
    /// # Errors
    /// When `x` has another number of columns or contains NaN or infinity, or a result is too large for the
    /// dtype.
    pub fn inverse(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, |x, shift, scale| x * scale + shift)
    }

    fn apply(&self, x: &Tensor, f: impl Fn(f64, f64, f64) -> f64) -> Result<Tensor> {
        let at = |of: &[f64], column: usize| of.get(column).copied().unwrap_or(f64::NAN);
        map_cells(x, self.columns(), |column, x| f(x, at(&self.0.shift, column), at(&self.0.scale, column)))
    }
}

impl TryFrom<Columns> for Scaler {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self> {
        let Columns { shift, scale } = &columns;
        if shift.len() != scale.len() {
            return Err(Error::invalid(
                "the number of scales",
                format!("that of shifts, {}", shift.len()),
                scale.len(),
            ));
        }
        for (column, (shift, scale)) in shift.iter().zip(scale).enumerate() {
            if !shift.is_finite() || !scale.is_normal() {
                let got = format_args!("{shift} and {scale}").to_string();
                return Err(Error::invalid(
                    format!("shift and scale of column {column}"),
                    "finite and not 0",
                    got,
                ));
            }
        }
        Ok(Self(columns))
    }
}

impl From<Scaler> for Columns {
    fn from(scaler: Scaler) -> Self {
        scaler.0
    }
}

/// The largest power of two that is at most `x`, or 1 where there is none. A division by it is exact, and
/// keeps squares from overflow and underflow.
fn power_of_two(x: f64) -> f64 {
    match x.is_normal() {
        true => f64::from_bits(x.to_bits() & f64::INFINITY.to_bits()),
        false => 1.,
    }
}

/// Mean and standard deviation of a column in three passes over its values: for the size of the numbers, for their sum, and
/// for their deviations from the mean.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    /// The number of values.
    n: f64,
    /// The largest number without its sign, and then the unit in which numbers are summed.
    unit: f64,
    /// The sum, and then the mean.
    mean: f64,
    squares: f64,
    deviations: f64,
}

impl Moments {
    pub(super) fn new(values: usize) -> Self {
        Self { n: values as f64, unit: 0., mean: 0., squares: 0., deviations: 0. }
    }

    /// A value of the first pass.
    pub(super) fn measure(&mut self, x: f64) {
        self.unit = x.abs().max(self.unit);
    }

    /// After the first pass.
    pub(super) fn measured(&mut self) {
        self.unit = power_of_two(self.unit);
    }

    /// A value of the second pass.
    pub(super) fn add(&mut self, x: f64) {
        self.mean += x / self.unit;
    }

    /// After the second pass.
    pub(super) fn added(&mut self) {
        self.mean /= self.n;
    }

    /// A value of the third pass.
    pub(super) fn deviate(&mut self, x: f64) {
        let deviation = x / self.unit - self.mean;
        self.squares += deviation * deviation;
        self.deviations += deviation;
    }

    /// Shift and scale.
    pub(super) fn finish(self) -> (f64, f64) {
        let Self { n, unit, mean, squares, deviations } = self;
        let variance = ((squares - deviations * deviations / n) / n).clamp(0., f64::INFINITY);
        // The variance that rounding alone can leave in a constant column; the bound is scikit-learn's.
        let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
        let scale = if variance <= rounding { 1. } else { variance.sqrt() * unit };
        (mean * unit, scale)
    }
}

#[cfg(test)]
mod tests;
