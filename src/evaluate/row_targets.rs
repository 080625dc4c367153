//! The targets and the weights of the rows on which predictions are analysed.
use crate::{metrics::Truth, Error, HeldOut, Result};
use candle_core::{DType, Device, Tensor};
use std::sync::Arc;

/// The targets of N rows, and the weight of each row: what [`diversity`](crate::evaluate::diversity) and
/// [`decomposition`](crate::evaluate::decomposition) compare predictions with.
///
/// The targets are class ids, or values `(N, K)` of K outputs in f64. Only the ratios of the weights matter;
/// without weights all rows count alike. A clone shares the numbers.
///
/// ```
/// use candle_ensemble::evaluate::RowTargets;
///
/// let targets = RowTargets::classes(&[0, 2, 1], 3)?.with_weights(&[1., 1., 2.])?;
/// assert_eq!((targets.rows(), targets.width()), (3, 3));
/// assert!(RowTargets::classes(&[0, 3], 3).is_err());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowTargets {
    truth: Arc<Truth>,
    rows: usize,
    width: usize,
    weights: Option<Arc<[f64]>>,
}

/// The target of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowTarget<'a> {
    Class(usize),
    Values(&'a [f64]),
}

impl RowTarget<'_> {
    /// The target value of a column: of an output, or 1 for the class of the row and 0 for the others.
    #[inline]
    pub(crate) fn column(self, column: usize) -> f64 {
        match self {
            Self::Class(class) => f64::from(u8::from(class == column)),
            Self::Values(values) => values.get(column).copied().unwrap_or(f64::NAN),
        }
    }
}

impl RowTargets {
    /// The class of each row, below the number of classes.
    ///
    /// # Errors
    /// When there are no rows, or a label is not below `classes`.
    pub fn classes(labels: &[u32], classes: usize) -> Result<Self> {
        if let Some(row) = labels.iter().position(|label| *label as usize >= classes) {
            let must = format!("below {classes}, the number of classes");
            return Err(Error::invalid(format!("label of row {row}"), must, labels[row]));
        }
        Self::new(Truth::Classes(labels.to_vec()), labels.len(), classes)
    }

    /// The values of each row, `(N,)` or `(N, K)`, of any float type.
    ///
    /// # Errors
    /// When the tensor has another shape, no rows or no columns, or a value is not finite.
    pub fn values(values: &Tensor) -> Result<Self> {
        let (rows, width) = match values.dims() {
            [rows] => (*rows, 1),
            [rows, width] => (*rows, *width),
            dims => {
                return Err(Error::invalid("shape of the targets", "(N,) or (N, K)", format!("{dims:?}")));
            }
        };
        let flat = values.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?;
        let flat = flat.to_vec1::<f64>()?;
        if let Some(i) = flat.iter().position(|x| !x.is_finite()) {
            return Err(Error::invalid(format!("target of row {}", i / width.max(1)), "finite", flat[i]));
        }
        Self::new(Truth::Values(flat), rows, width)
    }

    /// The targets and the weights of held-out predictions.
    ///
    /// # Errors
    /// When candle fails.
    pub fn from_held_out(held_out: &HeldOut) -> Result<Self> {
        let predictions = held_out.predictions();
        let new = Self::new(held_out.truth()?, predictions.rows(), predictions.task().width())?;
        match held_out.weights() {
            Some(weights) => new.with_weights(&weights.to_dtype(DType::F64)?.to_vec1::<f64>()?),
            None => Ok(new),
        }
    }

    fn new(truth: Truth, rows: usize, width: usize) -> Result<Self> {
        if rows == 0 || width == 0 {
            return Err(Error::invalid(
                "targets",
                "of at least one row and one column",
                format!("{rows} by {width}"),
            ));
        }
        Ok(Self { truth: Arc::new(truth), rows, width, weights: None })
    }

    /// Attaches a weight to each row: finite, not negative, not all zero.
    ///
    /// # Errors
    /// When there are not as many weights as rows, or one is out of range.
    pub fn with_weights(mut self, weights: &[f64]) -> Result<Self> {
        if weights.len() != self.rows {
            let must = format!("{}, one for each row", self.rows);
            return Err(Error::invalid("number of weights", must, weights.len()));
        }
        if let Some(row) = weights.iter().position(|w| !w.is_finite() || *w < 0.) {
            let what = format!("weight of row {row}");
            return Err(Error::invalid(what, "finite and not negative", weights[row]));
        }
        let largest = weights.iter().copied().fold(0., f64::max);
        if largest == 0. {
            return Err(Error::invalid("sum of the weights", "positive", 0));
        }
        // Divided by the largest, so that no sum of them leaves the range of the numbers.
        self.weights = Some(weights.iter().map(|w| w / largest).collect());
        Ok(self)
    }

    /// Returns the number of rows, N.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of classes, C, or of outputs, K.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The weight of each row, at most 1; `None` when all count alike.
    pub(crate) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The weight of a row, at most 1.
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1., |weights| weights.get(row).copied().unwrap_or(0.))
    }

    /// The sum of the weights, above 0.
    pub(crate) fn total_weight(&self) -> f64 {
        self.weights.as_ref().map_or(self.rows as f64, |weights| weights.iter().sum())
    }

    pub(crate) fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The classes; an error for values, which names what needs classes.
    pub(crate) fn labels(&self, what: &str) -> Result<&[u32]> {
        match &*self.truth {
            Truth::Classes(labels) => Ok(labels),
            Truth::Values(_) => Err(Error::invalid(format!("targets of {what}"), "classes", "values")),
        }
    }

    /// The target of a row below the number of rows.
    pub(crate) fn row(&self, row: usize) -> RowTarget<'_> {
        match &*self.truth {
            Truth::Classes(labels) => {
                RowTarget::Class(labels.get(row).map_or(usize::MAX, |label| *label as usize))
            }
            Truth::Values(values) => {
                RowTarget::Values(values.get(row * self.width..(row + 1) * self.width).unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn bad_targets_are_errors_that_name_them() {
        let none = "targets must be of at least one row and one column, but is 0 by 2";
        assert_eq!(message(RowTargets::classes(&[], 2)), none);
        assert_eq!(
            message(RowTargets::classes(&[0, 2], 2)),
            "label of row 1 must be below 2, the number of classes, but is 2"
        );
        let values = Tensor::new(&[[1f32, 2.], [3., f32::NAN]], &Device::Cpu).unwrap();
        assert_eq!(message(RowTargets::values(&values)), "target of row 1 must be finite, but is NaN");
        let deep = Tensor::zeros((1, 1, 1), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(
            message(RowTargets::values(&deep)),
            "shape of the targets must be (N,) or (N, K), but is [1, 1, 1]"
        );
    }

    #[test]
    fn bad_weights_are_errors_that_name_them() {
        let weighted = |weights: &[f64]| RowTargets::classes(&[0, 1], 2).unwrap().with_weights(weights);
        assert_eq!(weighted(&[1e300, 2e300]).unwrap().total_weight(), 1.5);
        assert_eq!(message(weighted(&[1.])), "number of weights must be 2, one for each row, but is 1");
        assert_eq!(
            message(weighted(&[1., -1.])),
            "weight of row 1 must be finite and not negative, but is -1"
        );
        assert_eq!(message(weighted(&[0., 0.])), "sum of the weights must be positive, but is 0");
    }
}
