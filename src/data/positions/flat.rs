//! Positions as rows of their own: the targets of a batch whose rows have several.
use crate::{
    data::{Batch, Dataset, Positions, Purpose},
    kernels::rows::select,
    Error, Result, Rows,
};
use candle_core::{DType, Device, Tensor};

/// Rows that are read at a time.
const READ_ROWS: usize = 1024;

/// The targets and the weights of the positions of some rows.
#[derive(Clone, Debug)]
pub(crate) struct FlatTargets {
    /// The classes of the positions that have one, `(P,)` of type `u32`.
    pub(crate) targets: Tensor,
    /// The weight of each of these positions, which is that of its row unless positions have weights of their own, `(P,)`.
    pub(crate) weights: Option<Tensor>,
    /// The numbers of these positions among all positions of the rows; `None` where all of them have a class.
    pub(crate) kept: Option<Vec<u32>>,
    /// The number of positions of a row.
    pub(crate) per_row: usize,
}

impl FlatTargets {
    /// The positions of these rows of a data set, for scoring. They are read in batches, because a batch has the inputs of
    /// its rows too.
    ///
    /// # Errors
    /// As [`of`](Self::of), and when the data cannot be read or rows have different numbers of positions.
    pub(crate) fn read(data: &dyn Dataset, rows: &[u32], device: &Device) -> Result<Self> {
        Self::read_by(READ_ROWS, data, rows, device)
    }

    fn read_by(size: usize, data: &dyn Dataset, rows: &[u32], device: &Device) -> Result<Self> {
        let batch =
            |rows: &[u32]| Self::of(&data.batch_for(Purpose::Scoring, rows, device)?, data.positions());
        if rows.len() <= size {
            return batch(rows);
        }
        let (mut targets, mut weights, mut kept) = (vec![], vec![], vec![]);
        let (mut per_row, mut positions) = (None, 0u32);
        for rows in rows.chunks(size) {
            let part = batch(rows)?;
            let own = *per_row.get_or_insert(part.per_row);
            if part.per_row != own {
                let must = format!("{own}, as that of the rows before");
                return Err(Error::invalid("the number of positions of a row", must, part.per_row));
            }
            let end = positions + (rows.len() * own) as u32;
            match part.kept {
                Some(some) => kept.extend(some.iter().map(|position| positions + position)),
                None => kept.extend(positions..end),
            }
            positions = end;
            targets.push(part.targets);
            weights.extend(part.weights);
        }
        Ok(Self {
            targets: Tensor::cat(&targets, 0)?,
            weights: if weights.is_empty() { None } else { Some(Tensor::cat(&weights, 0)?) },
            kept: (kept.len() < positions as usize).then_some(kept),
            per_row: per_row.unwrap_or(1),
        })
    }

    /// The positions of the rows of a batch; those of the ignored class are left out.
    ///
    /// # Errors
    /// When the targets are no class ids of positions.
    pub(crate) fn of(batch: &Batch, positions: Positions) -> Result<Self> {
        Self::new(&batch.targets, batch.weights.as_ref(), positions)
    }

    /// The positions of rows with these targets, and with weights of the rows, `(B,)`, or of all positions, `(B, …)`.
    pub(crate) fn new(targets: &Tensor, weights: Option<&Tensor>, positions: Positions) -> Result<Self> {
        Self::of_some(targets, weights, positions)?.ok_or_else(|| {
            let rows = targets.dims().first().copied().unwrap_or_default();
            let must = "of another class than the ignored one at one position at least";
            Error::invalid(format!("the targets of {rows} rows"), must, "of no other class")
        })
    }

    /// The same; nothing where no position has a class.
    pub(crate) fn of_some(
        targets: &Tensor,
        weights: Option<&Tensor>,
        positions: Positions,
    ) -> Result<Option<Self>> {
        if positions.is_one() {
            let (targets, weights) = (targets.clone(), weights.cloned());
            return Ok(Some(Self { targets, weights, kept: None, per_row: 1 }));
        }
        let dims = targets.dims();
        let (rows, per_row) = match (positions, dims) {
            (Positions::Labels { labels }, [rows, width]) if *width == labels => (*rows, labels),
            (Positions::Many { .. }, [rows, each @ ..]) if !each.is_empty() => {
                (*rows, each.iter().product::<usize>())
            }
            _ => {
                return Err(Error::invalid("the targets", shape_of(positions), format!("of shape {dims:?}")))
            }
        };
        if targets.dtype() != DType::U32 {
            let got = targets.dtype().as_str();
            return Err(Error::invalid("the targets of positions", "of type u32", got));
        }
        let targets = targets.flatten_all()?;
        let weights = match weights {
            Some(weights) if weights.rank() > 1 => Some(weights.flatten_all()?),
            Some(weights) => Some(weights.reshape((rows, 1))?.broadcast_as((rows, per_row))?.flatten_all()?),
            None => None,
        };
        let Positions::Many { ignore_index: Some(ignored) } = positions else {
            return Ok(Some(Self { targets, weights, kept: None, per_row }));
        };
        let ids = targets.to_device(&Device::Cpu)?.to_vec1::<u32>()?;
        if ids.iter().all(|id| *id != ignored) {
            return Ok(Some(Self { targets, weights, kept: None, per_row }));
        }
        let kept: Vec<u32> = (0u32..).zip(&ids).filter(|(_, id)| **id != ignored).map(|(at, _)| at).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let weights = weights.map(|weights| select(&weights, &kept)).transpose()?;
        Ok(Some(Self { targets: select(&targets, &kept)?, weights, kept: Some(kept), per_row }))
    }

    /// A batch with the targets and weights of its positions in place of those of its rows, and what is needed to bring the
    /// outputs of the network in the same order; nothing where rows have one position.
    pub(crate) fn flattened(batch: Batch, positions: Positions) -> Result<(Batch, Option<Self>)> {
        if positions.is_one() {
            return Ok((batch, None));
        }
        let flat = Self::of(&batch, positions)?;
        Ok((flat.in_place_of_rows(batch), Some(flat)))
    }

    /// The same; nothing where no position of the batch has a class.
    pub(crate) fn flattened_some(
        batch: Batch,
        positions: Positions,
    ) -> Result<Option<(Batch, Option<Self>)>> {
        if positions.is_one() {
            return Ok(Some((batch, None)));
        }
        let flat = Self::of_some(&batch.targets, batch.weights.as_ref(), positions)?;
        Ok(flat.map(|flat| (flat.in_place_of_rows(batch), Some(flat))))
    }

    fn in_place_of_rows(&self, batch: Batch) -> Batch {
        Batch { targets: self.targets.clone(), weights: self.weights.clone(), ..batch }
    }

    /// The kept ones of a tensor that has all positions along dimension 0.
    pub(crate) fn kept_of(&self, flat: Tensor) -> candle_core::Result<Tensor> {
        match &self.kept {
            None => Ok(flat),
            // A differentiable operation.
            Some(kept) => {
                let kept = Tensor::from_slice(kept, kept.len(), flat.device())?;
                flat.contiguous()?.index_select(&kept, 0)
            }
        }
    }

    /// For each kept position the number of its row among `rows`.
    pub(crate) fn rows(&self, rows: &[u32]) -> Rows {
        let row = |position: usize| rows.get(position / self.per_row.max(1)).copied().unwrap_or_default();
        match &self.kept {
            Some(kept) => kept.iter().map(|position| row(*position as usize)).collect(),
            None => (0..rows.len() * self.per_row).map(row).collect(),
        }
    }
}

/// The shape of the targets of positions.
fn shape_of(positions: Positions) -> String {
    match positions {
        Positions::Labels { labels } => format!("of shape (B, {labels}), 0 or 1 for each of {labels} labels"),
        _ => "of shape (B, …), with a class id at each position of a row".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;

    const DENSE: Positions = Positions::Many { ignore_index: Some(9) };

    fn batch(targets: Tensor) -> Batch {
        let inputs = Tensor::zeros((2, 1), DType::F32, &Device::Cpu).unwrap();
        let weights = Tensor::new(&[1f32, 3.], &Device::Cpu).unwrap();
        Batch { inputs: inputs.into(), targets, weights: Some(weights) }
    }

    #[test]
    fn ignored_positions_are_left_out_and_rows_give_their_weights() -> Result<()> {
        let targets = Tensor::new(&[[[0u32, 9], [1, 2]], [[9, 9], [2, 9]]], &Device::Cpu)?;
        let flat = FlatTargets::of(&batch(targets), DENSE)?;
        assert_eq!(flat.targets.to_vec1::<u32>()?, [0, 1, 2, 2]);
        assert_eq!(flat.weights.as_ref().unwrap().to_vec1::<f32>()?, [1., 1., 1., 3.]);
        assert_eq!(flat.rows(&[7, 5]), [7, 7, 7, 5]);
        let numbers = Tensor::arange(0f32, 8., &Device::Cpu)?;
        assert_eq!(flat.kept_of(numbers.clone())?.to_vec1::<f32>()?, [0., 2., 3., 6.]);
        // Weights of positions.
        let targets = Tensor::new(&[[[0u32, 9], [1, 2]], [[9, 9], [2, 9]]], &Device::Cpu)?;
        let flat = FlatTargets::new(&targets, Some(&numbers.reshape((2, 2, 2))?), DENSE)?;
        assert_eq!(flat.weights.unwrap().to_vec1::<f32>()?, [0., 2., 3., 6.]);
        Ok(())
    }

    #[test]
    fn batches_read_what_one_batch_reads() -> Result<()> {
        let pixels = Tensor::new(&[[0u32, 9], [1, 2], [9, 2], [1, 1], [2, 9]], &Device::Cpu)?;
        let x = Tensor::zeros((5, 1), DType::F32, &Device::Cpu)?;
        let dense = TensorDataset::dense(&x, &pixels, Some(9))?.with_weights(vec![1., 2., 3., 4., 5.])?;
        let values = TensorDataset::regression(&x, &Tensor::arange(0f32, 5., &Device::Cpu)?)?;
        let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        for (data, kept) in [(&dense, Some(vec![0, 1, 2, 3, 4, 6])), (&values, None)] {
            let rows = [3, 1, 0, 4];
            let whole = FlatTargets::read(data, &rows, &Device::Cpu)?;
            assert_eq!(whole.kept, kept);
            for size in 1..4 {
                let parts = FlatTargets::read_by(size, data, &rows, &Device::Cpu)?;
                assert_eq!(numbers(&parts.targets)?, numbers(&whole.targets)?);
                let weights = |flat: &FlatTargets| flat.weights.as_ref().map(numbers).transpose();
                assert_eq!(weights(&parts)?, weights(&whole)?);
                assert_eq!((parts.kept, parts.per_row), (whole.kept.clone(), whole.per_row));
            }
        }
        Ok(())
    }

    #[test]
    fn labels_are_positions() -> Result<()> {
        let targets = Tensor::new(&[[0u32, 1, 1], [1, 0, 0]], &Device::Cpu)?;
        let flat = FlatTargets::of(&batch(targets), Positions::Labels { labels: 3 })?;
        assert_eq!(flat.targets.to_vec1::<u32>()?, [0, 1, 1, 1, 0, 0]);
        assert_eq!(
            (flat.per_row, flat.kept.is_none(), flat.rows(&[4, 2])),
            (3, true, vec![4, 4, 4, 2, 2, 2])
        );
        Ok(())
    }

    #[test]
    fn targets_that_do_not_fit_are_refused() {
        let of =
            |targets: Tensor, positions| FlatTargets::of(&batch(targets), positions).unwrap_err().to_string();
        let ids = |dims: &[usize], id: f64| {
            Tensor::full(id, dims, &Device::Cpu).unwrap().to_dtype(DType::U32).unwrap()
        };
        let e = of(ids(&[2, 4], 1.), Positions::Labels { labels: 3 });
        assert!(e.contains("of shape (B, 3), 0 or 1 for each of 3 labels, but is of shape [2, 4]"), "{e}");
        assert!(of(ids(&[2], 1.), DENSE).contains("with a class id at each position"));
        let e = of(ids(&[2, 4], 9.), DENSE);
        assert!(e.contains("the targets of 2 rows must be of another class than the ignored one"), "{e}");
        assert!(FlatTargets::of_some(&ids(&[2, 4], 9.), None, DENSE).unwrap().is_none());
        let floats = Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(of(floats, DENSE).contains("of type u32"));
    }
}
