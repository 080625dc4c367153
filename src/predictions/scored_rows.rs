//! The targets and the weights of rows on which predictions are scored, of all their positions where they have several.
use crate::{
    data::{positions::FlatTargets, Dataset},
    predictions::Predictions,
    train::in_batches,
    Error, Result, Rows,
};
use candle_core::{DType, Device, Tensor};

/// Rows that are read at a time.
const READ_ROWS: usize = 1024;

/// The targets of some rows of a data set, on the CPU. Each position that has a class is a row here.
pub(crate) struct ScoredRows {
    /// `(R,)` class ids, or `(R,)` or `(R, K)` values.
    pub(crate) targets: Tensor,
    /// The scoring weights of the rows, if there are any.
    pub(crate) weights: Option<Vec<f64>>,
    /// The groups of the rows. The positions of a row are a group where the data has no others.
    pub(crate) groups: Option<Vec<u32>>,
    /// The numbers of the positions that have a class, where not all have one.
    kept: Option<Rows>,
}

impl ScoredRows {
    /// Reads these rows of a data set in batches.
    ///
    /// # Errors
    /// When there are no rows, or the data cannot be read.
    pub(crate) fn read(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        let one = data.positions().is_one();
        let (mut targets, mut weights, mut kept, mut of_positions) = (vec![], vec![], vec![], Rows::new());
        let mut positions = 0u32;
        let batches = in_batches(data, rows.to_vec(), READ_ROWS, &Device::Cpu);
        for (batch, rows) in batches.zip(rows.chunks(READ_ROWS)) {
            let flat = FlatTargets::of(&batch?, data.positions())?;
            if let Some(of_batch) = &flat.weights {
                weights.extend(of_batch.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            }
            if !one {
                let count = (rows.len() * flat.per_row) as u32;
                of_positions.extend(flat.rows(rows));
                match &flat.kept {
                    Some(some) => kept.extend(some.iter().map(|position| positions + position)),
                    None => kept.extend(positions..positions + count),
                }
                positions += count;
            }
            targets.push(flat.targets);
        }
        if targets.is_empty() {
            return Err(Error::invalid("the number of rows to score", "at least 1", 0));
        }
        let of_rows = if one { rows } else { &of_positions };
        let group =
            |groups: &[u32]| of_rows.iter().filter_map(|row| groups.get(*row as usize).copied()).collect();
        let groups = match (data.groups(), one) {
            (Some(groups), _) => Some(group(groups)),
            (None, true) => None,
            // The positions of a row are alike.
            (None, false) => Some(of_positions.clone()),
        };
        Ok(Self {
            targets: Tensor::cat(&targets, 0)?,
            weights: (!weights.is_empty()).then_some(weights),
            groups,
            kept: (kept.len() < positions as usize).then_some(kept),
        })
    }

    /// Of predictions for all positions of the rows those that have a class.
    ///
    /// # Errors
    /// When candle fails.
    pub(crate) fn kept_of(&self, predictions: Predictions) -> Result<Predictions> {
        match &self.kept {
            Some(kept) => Ok(predictions.select_rows(kept)?),
            None => Ok(predictions),
        }
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
        let kept = scored.kept_of(predictions).unwrap();
        let first: Vec<f32> =
            kept.values().narrow(2, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(first, [0., 3., 6., 9., 15.]);
    }

    #[test]
    fn rows_with_one_target_are_read_as_they_are() {
        let x = Tensor::zeros((3, 1), DType::F32, &Device::Cpu).unwrap();
        let y = Tensor::new(&[1f32, 2., 3.], &Device::Cpu).unwrap();
        let data = TensorDataset::regression(x, &y).unwrap();
        let scored = ScoredRows::read(&data, &[2, 0]).unwrap();
        assert_eq!(scored.targets.to_vec1::<f32>().unwrap(), [3., 1.]);
        assert!(scored.weights.is_none() && scored.groups.is_none() && scored.kept.is_none());
        let like = scored.targets_like(&Tensor::zeros((2, 1), DType::F64, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(like.to_vec2::<f64>().unwrap(), [[3.], [1.]]);
        assert!(ScoredRows::read(&data, &[]).is_err());
    }
}
