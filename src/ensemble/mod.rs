//! Members and a fitted rule: itself a candle module.
mod file;

use crate::predictions::live::{concat, flatten_inputs, map_batches, LiveMembers};
use crate::{
    combine::{softmax_mean, FittedCombiner, Weighted},
    data::{Inputs, Task},
    kernels::cpu,
    network::{output::ln, Scale},
    Error, Member, Network, Result,
};
use candle_core::{Module, Result as CandleResult, Tensor};

/// Members and a fitted rule.
///
/// An ensemble is a candle [`Module`]: a layer of another network, a teacher, a member of another ensemble. For
/// classes `forward` returns log-probabilities, which are valid logits; for regression it returns values in the
/// shape its members put out. `Send` and `Sync` when the networks and the rule are.
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
pub struct Ensemble<N, H> {
    live: LiveMembers<N>,
    fitted: H,
    batch_rows: usize,
}

impl<N: Network, H: FittedCombiner> Ensemble<N, H> {
    pub(crate) fn new(live: LiveMembers<N>, fitted: H) -> Self {
        Self { live, fitted, batch_rows: 1024 }
    }

    /// Rows a pass over the members, at least 1; 1024, if not set. What an input of any length needs besides its
    /// result is the memory of one pass.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// The weights and records of the members that predict: all, or the refit ones.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.live.members
    }

    /// The fitted rule.
    #[must_use]
    pub fn fitted(&self) -> &H {
        &self.fitted
    }

    /// What is predicted.
    #[must_use]
    pub fn task(&self) -> Task {
        self.live.task
    }

    /// Class ids `(N,)` u32, ties to the lowest class; or values `(N, K)`.
    ///
    /// # Errors
    /// When the inputs are empty or don't go with the networks.
    pub fn predict(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let combined = self.combined(&inputs.into())?;
        match self.task() {
            Task::Classification { .. } => Ok(lowest_argmax(&combined)?),
            Task::Regression { .. } => Ok(combined),
        }
    }

    /// Probabilities of the classes, `(N, C)`.
    ///
    /// # Errors
    /// When the ensemble predicts values; when the inputs are empty or don't go with the networks.
    pub fn predict_proba(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        match self.task() {
            Task::Classification { .. } => self.combined(&inputs.into()),
            Task::Regression { .. } => {
                Err(Error::invalid("predict_proba", "asked of an ensemble for classes", "asked of values"))
            }
        }
    }

    /// What each slot says, `(S, N, C)`: probabilities or values.
    ///
    /// # Errors
    /// When the inputs are empty or don't go with the networks.
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
        let passes =
            map_batches(inputs, self.batch_rows, &self.live.device, |inputs| Ok(self.say(inputs)?.detach()))?;
        Ok(concat(passes, 0)?)
    }

    /// What the rule makes of the predictions, `(B, C)`, in one pass. The rule may be anyone's, so its word on the
    /// shape is not taken.
    fn say(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        let mut predictions = self.live.predict(inputs, self.fitted.scale())?;
        if self.fitted.needs_inputs() {
            predictions = predictions.with_inputs(&flatten_inputs(inputs)?)?;
        }
        let predicted = self.fitted.combine(&predictions)?;
        match [predictions.rows(), self.task().width()] {
            shape if predicted.dims() == shape => Ok(predicted),
            shape => {
                candle_core::bail!(
                    "{} must give {shape:?}, but gives {:?}",
                    self.fitted.name(),
                    predicted.dims()
                )
            }
        }
    }
}

impl<N: Network, H: FittedCombiner> Ensemble<N, H> {
    /// The mean of probabilities, straight from the logits.
    fn mean_of_softmaxes(&self, inputs: &Inputs, classes: usize) -> Result<Tensor> {
        let passes = map_batches(inputs, self.batch_rows, &self.live.device, |inputs| {
            let live = self.live.slots.iter().flatten();
            let logits = live.map(|member| Ok(member.run(inputs)?.detach()));
            let logits = logits.collect::<CandleResult<Vec<_>>>()?;
            let rows = inputs.rows();
            if let Some(odd) = logits.iter().find(|l| l.dims() != [rows, classes]) {
                candle_core::bail!(
                    "the network must put out ({rows}, {classes}), but puts out {:?}",
                    odd.dims()
                );
            }
            let mut mean = vec![0f32; rows * classes];
            cpu::with_f32s(&logits, |logits| softmax_mean(logits, classes, &mut mean))?;
            Tensor::from_vec(mean, (rows, classes), &self.live.device)
        })?;
        Ok(concat(passes, 0)?)
    }
}

impl<N: Network> Ensemble<N, Weighted> {
    /// Without the slots whose weight is zero: the same predictions, to the bit, from fewer networks and a smaller file.
    /// Where no slot has a weight, all stay.
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

/// In one pass, so that gradients can flow through it.
impl<N: Network, H: FittedCombiner> Module for Ensemble<N, H> {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let combined = self.say(&Inputs::from(xs.clone()))?;
        match self.task() {
            Task::Classification { .. } => ln(&combined),
            Task::Regression { .. } => Ok(combined),
        }
    }
}

/// candle's own argmax does not say which of equals it takes.
fn lowest_argmax(probabilities: &Tensor) -> CandleResult<Tensor> {
    Tensor::new(cpu::winners(probabilities)?, probabilities.device())
}
