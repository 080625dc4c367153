//! Ensembles: members and a fitted combiner, as one candle module.
//!
//! An [`Ensemble`] predicts like one network. It can be a layer of another network, a teacher or a member of
//! another ensemble, and it can be saved to one file and loaded from it.
mod file;

use crate::{
    combine::{softmax_mean, FittedCombiner, Weighted},
    data::{Inputs, Task},
    kernels::{argmax::argmax_rows, cpu},
    network::{output::ln, Scale},
    predictions::live::{concat, flatten_inputs, map_batches, LiveMembers},
    Error, Member, Network, Result,
};
use candle_core::{Module, Result as CandleResult, Tensor};

/// Members and a fitted combiner, which predict like one network.
///
/// [`Pool::combine`](crate::Pool::combine) makes an ensemble. It is a candle [`Module`], so it stands
/// wherever one of its members could stand: as a layer of another network, as a teacher, as a member of
/// another ensemble. For classification `forward` returns log-probabilities `(B, C)`, which are valid logits;
/// for regression it returns values in the shape of its members' outputs. It is `Send` and `Sync` where the
/// networks and the fitted combiner are.
///
/// `N` is the type of the member networks, `F` that of the fitted combiner ([`fitted`](Self::fitted)).
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::Bagging, train::Trainer, Session};
/// use candle_nn::linear;
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
/// let trainer = Trainer::new(|vb| linear(2, 2, vb)).epochs(2);
///
/// let ensemble = Session::new(&trainer, &data).fit(&Bagging::new(3), 42)?.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [20]);
/// assert_eq!(ensemble.predict_proba(&x)?.dims(), [20, 2]);
/// assert_eq!(ensemble.member_predictions(&x)?.dims(), [3, 20, 2]);
/// let layers = candle_nn::seq().add(ensemble).add_fn(|logits| logits.relu());
/// assert_eq!(layers.forward(&x)?.dims(), [20, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Ensemble<N, F> {
    live: LiveMembers<N>,
    fitted: F,
    batch_rows: usize,
}

impl<N: Network, F: FittedCombiner> Ensemble<N, F> {
    pub(crate) fn new(live: LiveMembers<N>, fitted: F) -> Self {
        Self { live, fitted, batch_rows: 1024 }
    }

    /// Sets how many rows one pass over the members takes, at least 1; the default is 1024. The memory that a
    /// prediction needs besides its result is that of one pass, however long the input is.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// The weights and records of the members that predict: in a slot with refit members these alone, in
    /// other slots all.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.live.members
    }

    /// The fitted combiner, with what it learned: its weights, for example.
    #[must_use]
    pub fn fitted(&self) -> &F {
        &self.fitted
    }

    /// What the ensemble predicts: classes or values.
    #[must_use]
    pub fn task(&self) -> Task {
        self.live.task
    }

    /// The prediction for each of N rows: class ids `(N,)` of type u32, where ties go to the lowest class; or
    /// values `(N, K)` for K outputs.
    ///
    /// # Errors
    /// When the inputs are empty or do not fit the networks.
    pub fn predict(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let combined = self.combined(&inputs.into())?;
        match self.task() {
            Task::Classification { .. } => Ok(lowest_argmax(&combined)?),
            Task::Regression { .. } => Ok(combined),
        }
    }

    /// The probabilities of C classes for each of N rows, `(N, C)`.
    ///
    /// # Errors
    /// When the ensemble is one for regression; when the inputs are empty or do not fit the networks.
    pub fn predict_proba(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        match self.task() {
            Task::Classification { .. } => self.combined(&inputs.into()),
            Task::Regression { .. } => {
                Err(Error::invalid("the task of predict_proba", "classification", "regression"))
            }
        }
    }

    /// The prediction of each slot, `(S, N, C)`: probabilities or values.
    ///
    /// # Errors
    /// When the inputs are empty or do not fit the networks.
    pub fn member_predictions(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let predictions =
            self.live.predict_in_batches(&inputs.into(), self.batch_rows, Scale::Probability)?;
        Ok(predictions.values().clone())
    }

    fn combined(&self, inputs: &Inputs) -> Result<Tensor> {
        if self.fitted.is_mean()
            && let Some(classes) = self.live.classes_of_plain_logits()
        {
            return self.mean_of_softmaxes(inputs, classes);
        }
        let passes = map_batches(inputs, self.batch_rows, &self.live.device, |inputs| {
            Ok(self.combined_pass(inputs)?.detach())
        })?;
        Ok(concat(passes, 0)?)
    }

    /// The combined prediction, `(B, C)`, in one pass. A combiner may be the user's own, so the shape is
    /// checked.
    fn combined_pass(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        let mut predictions = self.live.predict(inputs, self.fitted.scale())?;
        if self.fitted.needs_inputs() {
            predictions = predictions.with_inputs(&flatten_inputs(inputs)?)?;
        }
        let predicted = self.fitted.combine(&predictions)?;
        match [predictions.rows(), self.task().width()] {
            shape if predicted.dims() == shape => Ok(predicted),
            shape => {
                candle_core::bail!(
                    "{} must return {shape:?}, but returns {:?}",
                    self.fitted.name(),
                    predicted.dims()
                )
            }
        }
    }
}

impl<N: Network, F: FittedCombiner> Ensemble<N, F> {
    /// The mean of the members' probabilities, computed from their logits in one step.
    fn mean_of_softmaxes(&self, inputs: &Inputs, classes: usize) -> Result<Tensor> {
        let passes = map_batches(inputs, self.batch_rows, &self.live.device, |inputs| {
            let live = self.live.slots.iter().flatten();
            let logits = live.map(|member| Ok(member.run(inputs)?.detach()));
            let logits = logits.collect::<CandleResult<Vec<_>>>()?;
            let rows = inputs.rows();
            if let Some(odd) = logits.iter().find(|l| l.dims() != [rows, classes]) {
                candle_core::bail!(
                    "the network must return ({rows}, {classes}), but returns {:?}",
                    odd.dims()
                );
            }
            let mut mean = vec![0f32; rows * classes];
            cpu::with_f32_slices(&logits, |logits| softmax_mean(logits, classes, &mut mean))?;
            Tensor::from_vec(mean, (rows, classes), &self.live.device)
        })?;
        Ok(concat(passes, 0)?)
    }
}

impl<N: Network> Ensemble<N, Weighted> {
    /// The ensemble without the slots whose weight is zero: the same predictions to the bit, from fewer
    /// networks and a smaller file. If all weights are zero, all slots stay.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::EnsembleSelection, data::TensorDataset, strategy::KFold};
    /// use candle_ensemble::{train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.025, -1.)?.reshape((40, 2))?;
    /// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&KFold::new(2).repeats(5), 42)?;
    ///
    /// let ensemble = pool.combine(&EnsembleSelection::new(2))?; // at most two slots get a weight
    /// let before = ensemble.predict(&x)?.to_vec2::<f32>()?;
    /// let pruned = ensemble.pruned();
    /// assert!(pruned.members().len() <= 4);
    /// assert_eq!(pruned.predict(&x)?.to_vec2::<f32>()?, before);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn pruned(mut self) -> Self {
        let used = self.fitted.used();
        if used.is_empty() {
            return self;
        }
        self.live.keep(&used);
        self.fitted = self.fitted.pruned();
        self
    }
}

/// Predicts in one pass, so that gradients flow through the ensemble.
impl<N: Network, F: FittedCombiner> Module for Ensemble<N, F> {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let combined = self.combined_pass(&Inputs::from(xs.clone()))?;
        match self.task() {
            Task::Classification { .. } => ln(&combined),
            Task::Regression { .. } => Ok(combined),
        }
    }
}

/// The class of the largest probability of each row; of equal ones the lowest. candle's argmax leaves ties
/// open.
fn lowest_argmax(probabilities: &Tensor) -> CandleResult<Tensor> {
    Tensor::new(argmax_rows(probabilities)?, probabilities.device())
}
