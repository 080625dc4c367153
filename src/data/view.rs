//! Some rows of a data set, as a data set.
use crate::{
    codec,
    data::{Batch, Dataset, Fingerprint, Positions, Purpose, Shuffle, Task},
    Error, Result, Rows,
};
use candle_core::{Device, Result as CandleResult, Tensor};

/// Rows of a data set, numbered anew from 0. A network that is trained on a view cannot see the other rows.
pub(crate) struct View<'a> {
    data: &'a dyn Dataset,
    rows: Rows,
    strata: Option<Vec<u32>>,
    groups: Option<Vec<u32>>,
    fingerprint: Fingerprint,
}

impl<'a> View<'a> {
    pub(crate) fn new(data: &'a dyn Dataset, rows: Rows) -> Result<Self> {
        if let Some(row) = rows.iter().find(|row| **row as usize >= data.rows()) {
            return Err(Error::invalid("a row", format!("below {}, the number of rows", data.rows()), row));
        }
        let of_rows = |ids: Option<&[u32]>| {
            let ids = ids?;
            Some(rows.iter().map(|row| ids.get(*row as usize).copied().unwrap_or_default()).collect())
        };
        let (strata, groups) = (of_rows(data.strata()), of_rows(data.groups()));
        let fingerprint = Fingerprint::of(&codec::encode(&(data.fingerprint(), &rows))?);
        Ok(Self { data, rows, strata, groups, fingerprint })
    }

    /// The rows, as the data set numbers them.
    pub(crate) fn row_numbers(&self) -> &[u32] {
        &self.rows
    }

    /// What the data set calls these rows of the view.
    fn numbers(&self, rows: &[u32]) -> CandleResult<Rows> {
        let number = |row: &u32| match self.rows.get(*row as usize) {
            Some(number) => Ok(*number),
            None => candle_core::bail!("row {row} is out of range: the data has {} rows", self.rows.len()),
        };
        rows.iter().map(number).collect()
    }
}

impl Dataset for View<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn task(&self) -> Task {
        self.data.task()
    }

    fn positions(&self) -> Positions {
        self.data.positions()
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.data.batch(&self.numbers(rows)?, device)
    }

    fn batch_for(&self, purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.data.batch_for(purpose, &self.numbers(rows)?, device)
    }

    fn soft_targets(&self, rows: &[u32], device: &Device) -> CandleResult<Option<Tensor>> {
        self.data.soft_targets(&self.numbers(rows)?, device)
    }

    fn strata(&self) -> Option<&[u32]> {
        self.strata.as_deref()
    }

    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    /// Blocks of as many rows as the view has of a block of the data, if its rows are spread evenly.
    fn shuffle(&self) -> Shuffle {
        match self.data.shuffle() {
            Shuffle::Blocks { rows, window } => {
                let of = self.data.rows().max(1);
                Shuffle::Blocks { rows: rows.saturating_mul(self.rows.len()).div_ceil(of).max(1), window }
            }
            full => full,
        }
    }

    fn read_ahead_rows(&self) -> usize {
        self.data.read_ahead_rows()
    }

    fn read_ahead(&self, rows: &[u32]) {
        if let Ok(rows) = self.numbers(rows) {
            self.data.read_ahead(&rows);
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;
    use candle_core::Tensor;

    #[test]
    fn a_view_has_its_rows_and_no_others() {
        let x = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((6, 1)).unwrap();
        let y = Tensor::new(&[0u32, 1, 0, 1, 0, 1], &Device::Cpu).unwrap();
        let data =
            TensorDataset::classification(&x, &y).unwrap().with_groups(vec![5, 5, 6, 6, 7, 7]).unwrap();
        let view = View::new(&data, vec![1, 4, 5]).unwrap();
        assert_eq!((view.rows(), view.task()), (3, data.task()));
        assert_eq!(view.strata(), Some([1, 0, 1].as_slice()));
        assert_eq!(view.groups(), Some([5, 7, 7].as_slice()));
        let batch = view.batch(&[2, 0, 2], &Device::Cpu).unwrap();
        assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [1, 1, 1]);
        let inputs = batch.inputs.only().unwrap().flatten_all().unwrap();
        assert_eq!(inputs.to_vec1::<f32>().unwrap(), [5., 1., 5.]);
        assert!(view.batch(&[3], &Device::Cpu).is_err());
        assert!(View::new(&data, vec![6]).is_err());
        let within = View::new(&view, vec![0, 2]).unwrap();
        assert_eq!(within.groups(), Some([5, 7].as_slice()));
        assert_ne!(view.fingerprint(), View::new(&data, vec![1, 5, 4]).unwrap().fingerprint());
        assert_ne!(view.fingerprint(), data.fingerprint());
    }
}
