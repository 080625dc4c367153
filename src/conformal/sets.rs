//! Prediction sets of classes.
use super::inputs::check_rows;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Prediction sets, `(K, C)`: for each row, which classes are in its set.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::PredictionSets;
///
/// let sets = PredictionSets::new(vec![true, false, true, false, false, false], 3)?;
/// assert_eq!(sets.sizes(), [2, 0]);
/// assert_eq!(sets.classes_of(0).collect::<Vec<_>>(), [0, 2]);
/// assert_eq!(sets.contain(&[2, 2])?, [true, false]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Table")]
pub struct PredictionSets {
    inside: Vec<bool>,
    classes: usize,
}

/// The sets as a file has them, unchecked.
#[derive(Deserialize)]
struct Table {
    inside: Vec<bool>,
    classes: usize,
}

impl TryFrom<Table> for PredictionSets {
    type Error = Error;

    fn try_from(table: Table) -> Result<Self> {
        Self::new(table.inside, table.classes)
    }
}

impl PredictionSets {
    /// Takes whether each class is in the set of each row, row by row.
    ///
    /// # Errors
    /// When there are no classes, or the length is not a multiple of their number.
    pub fn new(inside: Vec<bool>, classes: usize) -> Result<Self> {
        if classes == 0 {
            return Err(Error::invalid("number of classes", "at least 1", 0));
        }
        if !inside.len().is_multiple_of(classes) {
            let must = format!("a multiple of {classes}, one for each class and row");
            return Err(Error::invalid("length of the prediction sets", must, inside.len()));
        }
        Ok(Self { inside, classes })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.inside.len() / self.classes
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// For each row, whether each class is in its set.
    pub fn iter(&self) -> impl Iterator<Item = &[bool]> {
        self.inside.chunks_exact(self.classes)
    }

    /// The whole table, row by row.
    #[must_use]
    pub fn as_slice(&self) -> &[bool] {
        &self.inside
    }

    /// The classes in the set of a row, in ascending order; none if there is no such row.
    pub fn classes_of(&self, row: usize) -> impl Iterator<Item = u32> + '_ {
        let set = self.iter().nth(row).unwrap_or_default();
        set.iter().zip(0..).filter(|(inside, _)| **inside).map(|(_, class)| class)
    }

    /// The number of classes in the set of each row.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        self.iter().map(|set| set.iter().filter(|inside| **inside).count()).collect()
    }

    /// Returns for each row whether its label is in its set.
    ///
    /// # Errors
    /// When the number of labels differs from that of the rows, or a label is not the number of a class.
    pub fn contain(&self, labels: &[u32]) -> Result<Vec<bool>> {
        check_rows("labels", labels.len(), self.rows())?;
        let inside = self.iter().zip(labels).enumerate().map(|(row, (set, label))| {
            let bad =
                || Error::invalid(format!("label of row {row}"), format!("below {}", self.classes), label);
            set.get(*label as usize).copied().ok_or_else(bad)
        });
        inside.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_shapes_and_labels_are_named() {
        assert!(PredictionSets::new(vec![true], 0).is_err());
        assert!(PredictionSets::new(vec![true; 3], 2).is_err());
        let sets = PredictionSets::new(vec![true; 4], 2).unwrap();
        let error = sets.contain(&[1, 2]).unwrap_err().to_string();
        assert_eq!(error, "label of row 1 must be below 2, but is 2");
        assert!(sets.contain(&[1]).is_err());
        assert_eq!(sets.classes_of(7).count(), 0);
    }
}
