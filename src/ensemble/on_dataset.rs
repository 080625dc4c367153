//! Predictions of an ensemble for a data set, batch by batch.
use crate::{
    combine::FittedCombiner,
    data::{Dataset, Task},
    distribution::Mixture,
    ensemble::Ensemble,
    metrics::Metrics,
    observe::{Observer, Silent},
    predictions::passes::{Passes, Source},
    Error, Network, Result, Rows,
};
use candle_core::{DType, Device, Tensor};

/// An ensemble and the rows of a data set that it predicts; [`Ensemble::on`] makes one.
///
/// The rows are read in batches of [`Ensemble::batch_rows`], so the inputs need not fit in memory: what is
/// kept is the result. [`for_each`](Self::for_each) keeps nothing. The predictions are those of the same rows
/// as tensors, to the bit.
#[allow(missing_debug_implementations)] // neither data set nor observer need be Debug
pub struct OnDataset<'a, N, F> {
    ensemble: &'a Ensemble<N, F>,
    data: &'a dyn Dataset,
    rows: Option<Rows>,
    observer: &'a dyn Observer,
}

impl<'a, N: Network, F: FittedCombiner> OnDataset<'a, N, F> {
    pub(super) fn new(ensemble: &'a Ensemble<N, F>, data: &'a dyn Dataset) -> Self {
        Self { ensemble, data, rows: None, observer: &Silent }
    }

    /// Sets which rows are predicted, in this order. The default is all of them.
    #[must_use]
    pub fn rows(mut self, rows: &[u32]) -> Self {
        self.rows = Some(rows.to_vec());
        self
    }

    /// Sets the observer that is notified after each batch, with
    /// [`Event::RowsPredicted`](crate::observe::Event::RowsPredicted).
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = observer;
        self
    }

    /// The prediction for each row; see [`Ensemble::predict`].
    ///
    /// # Errors
    /// As [`Ensemble::predict`]; [`Error::Stopped`] when the observer stops it; when the data has another task
    /// than the ensemble or cannot be read.
    pub fn predict(&self) -> Result<Tensor> {
        self.with_passes(|passes| self.ensemble.predict_passes(passes))
    }

    /// The probabilities of the classes for each row; see [`Ensemble::predict_proba`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`Ensemble::predict_proba`].
    pub fn predict_proba(&self) -> Result<Tensor> {
        self.with_passes(|passes| self.ensemble.predict_proba_passes(passes))
    }

    /// The mixture of the distributions that the members predict for each row; see [`Ensemble::predict_distribution`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict) and [`Ensemble::predict_distribution`].
    pub fn predict_distribution(&self) -> Result<Mixture> {
        self.with_passes(|passes| self.ensemble.distribution_passes(passes))
    }

    /// The prediction of each slot for each row, `(S, N, C)`; see [`Ensemble::member_predictions`].
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn member_predictions(&self) -> Result<Tensor> {
        self.with_passes(|passes| self.ensemble.member_predictions_passes(passes))
    }

    /// Calls `f` with each batch: the numbers of its rows in the data set and their predictions, `(B, C)`
    /// probabilities or `(B, K)` values. Nothing is kept, so a result of any length can be written to a file.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and that of `f`.
    pub fn for_each(&self, mut f: impl FnMut(&[u32], &Tensor) -> Result<()>) -> Result<()> {
        self.over_rows(|passes, rows| {
            self.ensemble.combined_passes(passes, |pass, predicted| {
                f(&rows[pass.start..pass.start + pass.inputs.rows()], &predicted)
            })
        })
    }

    /// The metrics of the predictions: those of classes, or those of values. Rows count by their weights,
    /// where the data set has weights.
    ///
    /// The predictions, targets and weights of all rows are kept until the end.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); when the targets do not fit the predictions, or a prediction is NaN.
    pub fn evaluate(&self) -> Result<Metrics> {
        let (mut predicted, mut targets, mut weights) = (vec![], vec![], vec![]);
        self.over_rows(|passes, _| {
            self.ensemble.combined_passes(passes, |pass, of_pass| {
                predicted.push(of_pass.to_device(&Device::Cpu)?);
                targets.extend(pass.targets.map(|targets| targets.to_device(&Device::Cpu)).transpose()?);
                let of_batch = |w: Tensor| w.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>();
                weights.extend(pass.weights.map(of_batch).transpose()?.unwrap_or_default());
                Ok(())
            })
        })?;
        let (predicted, targets) = (Tensor::cat(&predicted, 0)?, Tensor::cat(&targets, 0)?);
        let weights = (!weights.is_empty()).then_some(weights.as_slice());
        match self.data.task() {
            Task::Classification { .. } => {
                Metrics::classification(&predicted, &targets.to_vec1::<u32>()?, weights)
            }
            Task::Regression { .. } => {
                Metrics::regression(&predicted, &targets.reshape(predicted.shape())?, weights)
            }
        }
    }

    fn with_passes<T>(&self, f: impl FnOnce(&Passes<'_>) -> Result<T>) -> Result<T> {
        self.over_rows(|passes, _| f(passes))
    }

    fn over_rows<T>(&self, f: impl FnOnce(&Passes<'_>, &[u32]) -> Result<T>) -> Result<T> {
        let (own, other) = (self.ensemble.task(), self.data.task());
        if own != other {
            return Err(Error::invalid(
                "the task of the data",
                format!("that of the ensemble, {own}"),
                other,
            ));
        }
        let all: Rows;
        let rows = match &self.rows {
            Some(rows) => rows,
            None => {
                all = (0..self.data.rows() as u32).collect();
                &all
            }
        };
        f(&self.ensemble.passes(Source::Rows(self.data, rows)).observer(self.observer), rows)
    }
}
