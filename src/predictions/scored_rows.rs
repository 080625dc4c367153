//! The targets and the weights of rows on which predictions are scored, of their positions where they have several.
use crate::{
    data::Dataset,
    predictions::{kept::Kept, Predictions, Targets},
    train::in_batches,
    Error, Result, Rows, Seed,
};
use candle_core::{DType, Device, Tensor};
use std::ops::Range;

/// Rows that are read at a time.
const READ_ROWS: usize = 1024;
/// The most numbers that the predictions of one slot for positions may have: 32 MB of f32.
const MOST_NUMBERS: usize = 1 << 23;

/// The targets of some rows of a data set, on the CPU. Each position that is scored is a row here: all that have a class, or
/// the same number of each row, drawn at random, where their predictions would be many.
pub(crate) struct ScoredRows {
    /// `(R,)` class ids, or `(R,)` or `(R, K)` values.
    pub(crate) targets: Tensor,
    /// The scoring weights of the rows, if there are any.
    pub(crate) weights: Option<Vec<f64>>,
    /// The groups of the rows. The positions of a row are a group where the data has no others.
    pub(crate) groups: Option<Vec<u32>>,
    /// Which positions are scored.
    kept: Kept,
}

impl ScoredRows {
    /// Reads all rows of a test set, of which there must be some.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn of_test(data: &dyn Dataset) -> Result<Self> {
        let rows: Rows = (0..data.rows() as u32).collect();
        match rows.is_empty() {
            true => Err(Error::invalid("the number of rows of the test data", "at least 1", 0)),
            false => Self::read(data, &rows),
        }
    }

    /// Reads these rows of a data set in batches.
    ///
    /// # Errors
    /// When there are no rows, or the data cannot be read.
    pub(crate) fn read(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        Self::at_most(data, rows, MOST_NUMBERS)
    }

    /// The same, where the predictions of one slot for positions may be so many numbers.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn at_most(data: &dyn Dataset, rows: &[u32], numbers: usize) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::invalid("the number of rows to score", "at least 1", 0));
        }
        let kept = Kept::of(data, rows, numbers, &Device::Cpu, Seed::from(0).child("scored rows"))?;
        let groups_of = |rows: &[u32], groups: &[u32]| -> Vec<u32> {
            rows.iter().filter_map(|row| groups.get(*row as usize).copied()).collect()
        };
        if let Kept::Positions(positions) = &kept {
            let all: Rows = (0..kept.len() as u32).collect();
            let of = positions.targets(&all, rows, data.rows(), &Device::Cpu)?;
            let Targets { targets, weights, rows: of_positions, .. } = of;
            let weights = weights.map(|weights| weights.to_dtype(DType::F64)?.to_vec1());
            // The positions of a row are alike.
            let groups = data.groups().map(|groups| groups_of(&of_positions, groups)).or(Some(of_positions));
            return Ok(Self { targets, weights: weights.transpose()?, groups, kept });
        }
        let (mut targets, mut weights) = (vec![], vec![]);
        for batch in in_batches(data, rows.to_vec(), READ_ROWS, &Device::Cpu) {
            let batch = batch?;
            if let Some(of_batch) = &batch.weights {
                weights.extend(of_batch.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            }
            targets.push(batch.targets);
        }
        Ok(Self {
            targets: Tensor::cat(&targets, 0)?,
            weights: (!weights.is_empty()).then_some(weights),
            groups: data.groups().map(|groups| groups_of(rows, groups)),
            kept,
        })
    }

    /// Of predictions of slots for the rows at these places, `(S, n, C)`, those that are scored.
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn select(&self, places: Range<usize>, predictions: Predictions) -> Result<Predictions> {
        self.kept.select_all(&numbers(places), predictions)
    }

    /// The same for predictions `(n, C)`.
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn select_one(&self, places: Range<usize>, predicted: Tensor) -> Result<Tensor> {
        self.kept.select(&numbers(places), predicted)
    }

    /// The targets in the shape and the type of predictions of one slot: those of one output may be `(R,)`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn targets_like(&self, predicted: &Tensor) -> Result<Tensor> {
        match self.targets.dtype().is_float() {
            true => Ok(self.targets.to_dtype(predicted.dtype())?.reshape(predicted.shape())?),
            false => Ok(self.targets.clone()),
        }
    }
}

fn numbers(places: Range<usize>) -> Rows {
    places.map(|place| place as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Task, TensorDataset};

    #[test]
    fn positions_without_a_class_are_left_out_and_rows_are_groups() {
        let pixels = Tensor::new(&[[0u32, 9, 1], [9, 9, 2], [1, 1, 0]], &Device::Cpu).unwrap();
        let inputs = Tensor::zeros((3, 1), DType::F32, &Device::Cpu).unwrap();
        let data = TensorDataset::dense(inputs, &pixels, Some(9)).unwrap();
        let data = data.with_weights(vec![1., 2., 3.]).unwrap();
        let scored = ScoredRows::read(&data, &[2, 0]).unwrap();
        assert_eq!(scored.targets.to_vec1::<u32>().unwrap(), [1, 1, 0, 0, 1]);
        assert_eq!(scored.weights.as_deref().unwrap(), [3., 3., 3., 1., 1.]);
        assert_eq!(scored.groups.as_deref().unwrap(), [2, 2, 2, 0, 0]);
        let values = Tensor::arange(0f32, 18., &Device::Cpu).unwrap().reshape((1, 6, 3)).unwrap();
        let predictions = Predictions::new(values, Task::Classification { classes: 3 }).unwrap();
        let kept = scored.select(0..2, predictions).unwrap();
        let first: Vec<f32> =
            kept.values().narrow(2, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(first, [0., 3., 6., 9., 15.]);
        // Of row 0 alone, which is the second of the list, the positions 0 and 2.
        let values = Tensor::arange(0f32, 9., &Device::Cpu).unwrap().reshape((3, 3)).unwrap();
        let kept = scored.select_one(1..2, values).unwrap();
        assert_eq!(kept.to_vec2::<f32>().unwrap(), [[0., 1., 2.], [6., 7., 8.]]);
    }

    /// One position of each row, where there is room for no more.
    #[test]
    fn where_there_are_many_positions_the_same_number_of_each_row_is_drawn() {
        let pixels =
            Tensor::from_iter((0..400u32).map(|at| at % 2), &Device::Cpu).unwrap().reshape((4, 100)).unwrap();
        let inputs = Tensor::zeros((4, 1), DType::F32, &Device::Cpu).unwrap();
        let data = TensorDataset::dense(inputs, &pixels, None).unwrap();
        let some = ScoredRows::at_most(&data, &[3, 1, 0], 2 * 3 * 7).unwrap();
        assert_eq!(some.groups.as_deref().unwrap(), [[3; 7], [1; 7], [0; 7]].concat());
        // The number of a position tells its class.
        let numbers = Tensor::arange(0f32, 300., &Device::Cpu).unwrap().reshape((300, 1)).unwrap();
        let kept = some.select_one(0..3, numbers).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let classes: Vec<u32> = kept.iter().map(|number| *number as u32 % 2).collect();
        assert_eq!(some.targets.to_vec1::<u32>().unwrap(), classes);
    }

    #[test]
    fn rows_with_one_target_are_read_as_they_are() {
        let x = Tensor::zeros((3, 1), DType::F32, &Device::Cpu).unwrap();
        let y = Tensor::new(&[1f32, 2., 3.], &Device::Cpu).unwrap();
        let data = TensorDataset::regression(x, &y).unwrap();
        let scored = ScoredRows::read(&data, &[2, 0]).unwrap();
        assert_eq!(scored.targets.to_vec1::<f32>().unwrap(), [3., 1.]);
        assert!(scored.weights.is_none() && scored.groups.is_none());
        let like = scored.targets_like(&Tensor::zeros((2, 1), DType::F64, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(like.to_vec2::<f64>().unwrap(), [[3.], [1.]]);
        assert!(ScoredRows::read(&data, &[]).is_err());
    }
}
