//! A data set with the predictions of teachers as soft targets.
use crate::{
    codec,
    data::{same_rows, Batch, Dataset, Fingerprint, Purpose, Task},
    kernels::rows::select,
    Error, Result, Rows,
};
use candle_core::{bail, DType, Device, Result as CandleResult, Tensor};

/// The rows of a data set, of which some have predictions.
pub(super) struct Taught<'a> {
    data: &'a dyn Dataset,
    /// The rows with predictions, sorted.
    rows: Rows,
    /// Their predictions: `(R, C)` probabilities, or values in the shape of the targets.
    predictions: Tensor,
    fingerprint: Fingerprint,
}

impl<'a> Taught<'a> {
    /// The data with predictions `(R, C)` for these rows, which are sorted.
    pub(super) fn new(data: &'a dyn Dataset, (predictions, rows): (Tensor, Rows)) -> Result<Self> {
        let predictions = match data.task() {
            Task::Classification { .. } => predictions,
            Task::Regression { .. } => like_targets(data, predictions, &rows)?,
        };
        let predictions = predictions.detach().contiguous()?;
        let bits: Vec<u64> = match predictions.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>() {
            Ok(numbers) => numbers.into_iter().map(f64::to_bits).collect(),
            Err(e) => return Err(e.into()),
        };
        let content = codec::encode(&("taught", data.fingerprint(), &rows, bits))?;
        Ok(Self { data, rows, predictions, fingerprint: Fingerprint::of(&content) })
    }

    /// The rows with predictions.
    pub(super) fn rows_with_predictions(&self) -> Rows {
        self.rows.clone()
    }
}

/// Predictions of values `(R, K)` in the shape and the type of the targets.
fn like_targets(data: &dyn Dataset, predictions: Tensor, rows: &[u32]) -> Result<Tensor> {
    let Some(first) = rows.get(..1) else {
        return Err(Error::invalid("the number of rows of the student", "at least 1", 0));
    };
    let targets = data.batch(first, &Device::Cpu)?.targets;
    let mut shape = targets.dims().to_vec();
    if let Some(count) = shape.first_mut() {
        *count = rows.len();
    }
    Ok(predictions.reshape(shape)?.to_dtype(targets.dtype())?)
}

impl Dataset for Taught<'_> {
    same_rows!();

    fn task(&self) -> Task {
        self.data.task()
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.data.batch(rows, device)
    }

    fn batch_for(&self, purpose: Purpose, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.data.batch_for(purpose, rows, device)
    }

    fn soft_targets(&self, rows: &[u32], device: &Device) -> CandleResult<Option<Tensor>> {
        let place = |row: &u32| match self.rows.binary_search(row) {
            Ok(place) => Ok(place as u32),
            Err(_) => bail!("row {row} has no prediction of a teacher"),
        };
        let places = rows.iter().map(place).collect::<CandleResult<Rows>>()?;
        select(&self.predictions, &places)?.to_device(device).map(Some)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}
