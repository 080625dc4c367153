//! Predicted probabilities of classes.
use crate::{Error, Result};
use rayon::prelude::*;

/// By so much the sum of the probabilities of a row may differ from 1.
const TOLERANCE: f64 = 1e-3;

/// Predicted probabilities, `(N, C)`: one distribution over the classes for each row.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::ClassProbabilities;
///
/// let probabilities = ClassProbabilities::new(&[0.5, 0.5, 0.9, 0.1], 2)?;
/// assert_eq!((probabilities.rows(), probabilities.classes()), (2, 2));
/// assert!(ClassProbabilities::new(&[0.5, 0.4], 2).is_err());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassProbabilities<'a> {
    values: &'a [f64],
    classes: usize,
}

impl<'a> ClassProbabilities<'a> {
    /// Takes the probabilities of `classes` classes, row by row.
    ///
    /// # Errors
    /// When there are fewer than two classes, the length is not a multiple of their number, a probability is
    /// negative or not finite, or the sum of a row differs from 1 by more than 0.001.
    pub fn new(values: &'a [f64], classes: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::invalid("number of classes", "at least 2", classes));
        }
        if !values.len().is_multiple_of(classes) {
            let must = format!("a multiple of {classes}, one for each class and row");
            return Err(Error::invalid("number of probabilities", must, values.len()));
        }
        for (row, probabilities) in values.chunks_exact(classes).enumerate() {
            check_row(row, probabilities)?;
        }
        Ok(Self { values, classes })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len() / self.classes
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The probabilities of each row.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [f64]> {
        self.values.chunks_exact(self.classes)
    }

    /// The probabilities of each row, for several threads.
    pub(super) fn par_iter(&self) -> impl IndexedParallelIterator<Item = &'a [f64]> {
        self.values.par_chunks_exact(self.classes)
    }

    /// Checks that there is a label for each row, and that each is the number of a class.
    pub(super) fn check_labels(&self, labels: &[u32]) -> Result<()> {
        super::inputs::check_rows("labels", labels.len(), self.rows())?;
        match labels.iter().enumerate().find(|(_, label)| **label as usize >= self.classes) {
            None => Ok(()),
            Some((row, label)) => {
                Err(Error::invalid(format!("label of row {row}"), format!("below {}", self.classes), label))
            }
        }
    }
}

fn check_row(row: usize, probabilities: &[f64]) -> Result<()> {
    if let Some(p) = probabilities.iter().find(|p| !(p.is_finite() && **p >= 0.0)) {
        return Err(Error::invalid(format!("probability in row {row}"), "0 or more, and finite", p));
    }
    let sum: f64 = probabilities.iter().sum();
    match (sum - 1.0).abs() <= TOLERANCE {
        true => Ok(()),
        false => Err(Error::invalid(format!("sum of the probabilities of row {row}"), "1", sum)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_tables_and_labels_are_named() {
        let error =
            |values: &[f64], classes| ClassProbabilities::new(values, classes).unwrap_err().to_string();
        assert_eq!(error(&[1.0], 1), "number of classes must be at least 2, but is 1");
        assert!(error(&[0.5, 0.5, 1.0], 2).contains("must be a multiple of 2"));
        assert_eq!(
            error(&[0.5, 0.5, 1.5, -0.5], 2),
            "probability in row 1 must be 0 or more, and finite, but is -0.5"
        );
        assert!(error(&[f64::NAN, 0.5], 2).contains("probability in row 0"));
        assert_eq!(error(&[0.25, 0.5], 2), "sum of the probabilities of row 0 must be 1, but is 0.75");
        let table = ClassProbabilities::new(&[0.5, 0.5], 2).unwrap();
        assert_eq!(
            table.check_labels(&[2]).unwrap_err().to_string(),
            "label of row 0 must be below 2, but is 2"
        );
        assert!(table.check_labels(&[]).is_err());
    }
}
