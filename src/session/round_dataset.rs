//! A data set as the member of a round sees it.
use crate::{
    data::{same_rows, Batch, Dataset, Fingerprint, Positions, Purpose, Task},
    sequence::RoundData,
    Error, Result, Rows,
};
use candle_core::{bail, DType, Device, Result as CandleResult, Tensor};
use std::sync::Arc;

/// Marks rows that are neither trained on nor watched.
const NONE: u32 = u32::MAX;

/// The rows of a sequence, and where among them a row of the data is: its position among the training rows, or after them
/// among the validation rows.
pub(super) struct Places {
    pub(super) train: Rows,
    pub(super) valid: Rows,
    of_row: Vec<u32>,
}

impl Places {
    pub(super) fn new(data: &dyn Dataset, train: Rows, valid: Rows) -> Result<Self> {
        let mut of_row = vec![NONE; data.rows()];
        for (row, place) in train.iter().chain(&valid).zip(0..) {
            match of_row.get_mut(*row as usize) {
                Some(free) if *free == NONE => *free = place,
                _ => {
                    let must = "each row of the data once, because the next member depends on what is predicted for it";
                    return Err(Error::invalid("the rows of a sequence", must, format!("row {row} twice")));
                }
            }
        }
        Ok(Self { train, valid, of_row })
    }
}

/// A data set with the weights and the targets of a round.
pub(super) struct RoundDataset<'a> {
    pub(super) data: &'a dyn Dataset,
    /// The task that the members of the sequence learn.
    pub(super) task: Task,
    /// `None` for a check before the first round.
    pub(super) round_data: Option<(Arc<Places>, RoundData)>,
}

impl RoundDataset<'_> {
    /// The positions of these rows.
    fn places(&self, places: &Places, rows: &[u32]) -> CandleResult<Vec<usize>> {
        let place = |row: &u32| match places.of_row.get(*row as usize) {
            Some(place) if *place != NONE => Ok(*place as usize),
            _ => bail!("row {row} is not a row of the sequence"),
        };
        rows.iter().map(place).collect()
    }

    /// The targets of the rows at these places, in the type and shape of those of the data where these are values too.
    fn targets(&self, all: [&[f64]; 2], places: &[usize], of: &Tensor) -> CandleResult<Tensor> {
        let width = self.task.width();
        let [train, valid] = all;
        let mut targets = Vec::with_capacity(places.len() * width);
        for place in places {
            let at = place * width;
            let of_row = match at.checked_sub(train.len()) {
                None => train.get(at..at + width),
                Some(at) => valid.get(at..at + width),
            };
            targets.extend_from_slice(of_row.unwrap_or_default());
        }
        let shape = match (self.data.task() == self.task, width) {
            (true, _) => of.dims().to_vec(),
            (false, 1) => vec![places.len()],
            (false, width) => vec![places.len(), width],
        };
        let dtype = if of.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        Tensor::from_vec(targets, shape, of.device())?.to_dtype(dtype)
    }
}

impl Dataset for RoundDataset<'_> {
    same_rows!();

    fn task(&self) -> Task {
        self.task
    }

    fn positions(&self) -> Positions {
        self.data.positions()
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.batch_for(Purpose::Training, rows, device)
    }

    fn batch_for(&self, purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        let mut batch = self.data.batch_for(purpose, rows, device)?;
        let Some((places, round_data)) = &self.round_data else { return Ok(batch) };
        let places_of = self.places(places, rows)?;
        if let Some(targets) = &round_data.targets {
            batch.targets = self.targets([&targets.train, &targets.valid], &places_of, &batch.targets)?;
        }
        if let (Some(weights), Purpose::Training) = (&round_data.weights, purpose) {
            // About 1 on average, which f32 can tell apart best. Validation rows have no weights to train with.
            let scale = weights.len() as f64 / weights.iter().sum::<f64>();
            let weight = |place: &usize| weights.get(*place).map_or(1., |weight| (weight * scale) as f32);
            batch.weights = Some(Tensor::from_iter(places_of.iter().map(weight), device)?);
        }
        Ok(batch)
    }

    fn soft_targets(&self, rows: &[u32], device: &Device) -> CandleResult<Option<Tensor>> {
        match self.task == self.data.task() {
            true => self.data.soft_targets(rows, device),
            false => Ok(None),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        self.data.fingerprint()
    }
}
