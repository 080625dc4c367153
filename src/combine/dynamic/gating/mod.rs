//! A gating network, which computes the weights of the slots for each row.
mod dataset;
mod features;
mod fitted;
mod network;
mod training;

pub use fitted::FittedGating;

use crate::{
    combine::{cross_fit::others, Combiner, Fit, FittedOn},
    threads,
    train::Optimizer,
    Error, HeldOut, Result, Rows, Seed,
};
use candle_core::Result as CandleResult;
use dataset::GateDataset;
use features::Features;
use fitted::Layer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use training::Training;

/// The number of folds of the cross-validation that finds the number of epochs.
const FOLDS: usize = 5;
/// The number of epochs without an improvement after which that search ends.
const PATIENCE: usize = 20;
/// The number of standard errors by which training must improve the loss; otherwise the gate is not trained.
const MIN_GAIN: f64 = 2.;

/// A gating network: a small network computes the weights of the slots for each row.
///
/// ```text
/// p(x) = Σ_s g_s(x) p_s(x)    with g(x) = softmax(net(features(x)))
/// ```
///
/// The features are the predictions of the slots and the inputs of the row, standardized. The network has one
/// hidden layer with ReLU, or none. The members are not changed; the network is trained on the held-out
/// predictions `(S, R, C)` with AdamW, by the log-loss for classes and the squared error for regression. The
/// fitted gating combines `(S, B, C)` to `(B, C)`; [`FittedGating::gates`] gives the weights.
///
/// Training starts at equal weights, so zero epochs of training give the mean. The number of epochs is found
/// by cross-validation over five folds of the held-out rows. If the best number is not better than zero
/// epochs by two standard errors, the gate is not trained, and the combiner is the mean. Rows of weight 0 are
/// as if they were not there.
///
/// In a row with missing predictions the weights are divided by the sum of those that are there, in training
/// too: a slot is judged by its own predictions only. As a feature of the gate, a missing prediction is
/// treated as in a [`Stack`](crate::combine::Stack): drawn from the joint distribution of the slots in the
/// rows of the fit, and its expectation at inference.
///
/// Use it when each member is good in a different region of the inputs and there are many held-out rows, some
/// thousand or more; unlike [`KnoraE`](crate::combine::KnoraE) and [`MetaDes`](crate::combine::MetaDes) it
/// also works for regression, and gradients pass through it to the predictions. With few rows, or with
/// members that are equally good everywhere, it falls back to the mean after all the work. One set of weights
/// for all rows, as from [`SimplexLogLoss`](crate::combine::SimplexLogLoss), needs far fewer rows. The cost
/// is training six small networks, one for each fold and one on all rows; a prediction costs one pass through
/// the gate.
///
/// # Errors
/// Fitting fails when the gate uses neither inputs nor outputs, when the inputs are needed and missing, when
/// a feature is not finite, and when the learning rate or the weight decay is out of range.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is right for negative inputs, the second one for the others.
/// let x = Tensor::arange(-100f32, 100., &Device::Cpu)?.unsqueeze(1)?;
/// let (first, second) = (x.relu()?, x.neg()?.relu()?);
/// let predicted = Predictions::new(Tensor::stack(&[first, second], 0)?, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predicted, &Tensor::zeros((200, 1), x.dtype(), &Device::Cpu)?)?;
/// let fitted = Gating::new().fit(&held_out.clone().with_inputs(&x)?)?;
/// let gated = fitted.combine(&predicted.with_inputs(&x)?)?;
/// let error = |t: &Tensor| t.sqr()?.mean_all()?.to_scalar::<f32>();
/// assert!(error(&gated)? < 0.1 * error(&Mean.combine(&predicted)?)?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Jacobs, Jordan, Nowlan and Hinton 1991, doi:10.1162/neco.1991.3.1.79; there members and gate are
/// trained together, here the members are trained before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gating {
    hidden: usize,
    inputs: bool,
    outputs: bool,
    epochs: Epochs,
    learning_rate: f64,
    weight_decay: f64,
    seed: Option<Seed>,
}

/// The number of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Epochs {
    /// It is given.
    Fixed(usize),
    /// It is found by cross-validation, and is at most this number.
    CrossValidated { max: usize },
}

impl Default for Gating {
    fn default() -> Self {
        Self {
            hidden: 16,
            inputs: true,
            outputs: true,
            epochs: Epochs::CrossValidated { max: 200 },
            learning_rate: 0.01,
            weight_decay: 1e-3,
            seed: None,
        }
    }
}

impl Gating {
    /// A gate with 16 hidden units that uses the inputs of the rows and the predictions of the slots.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of hidden units; 16 by default. With 0 the gate has no hidden layer and is linear.
    #[must_use]
    pub fn hidden(mut self, units: usize) -> Self {
        self.hidden = units;
        self
    }

    /// Whether the inputs of the rows are features of the gate; `true` by default.
    #[must_use]
    pub fn inputs(mut self, inputs: bool) -> Self {
        self.inputs = inputs;
        self
    }

    /// Whether the predictions of the slots are features of the gate; `true` by default.
    #[must_use]
    pub fn outputs(mut self, outputs: bool) -> Self {
        self.outputs = outputs;
        self
    }

    /// The largest number of epochs. The best number up to it is found by cross-validation; 200 by default.
    #[must_use]
    pub fn max_epochs(mut self, max_epochs: usize) -> Self {
        self.epochs = Epochs::CrossValidated { max: max_epochs };
        self
    }

    /// The number of epochs, without cross-validation. That takes a sixth of the work, but the gate is
    /// trained even if training makes it worse than the mean.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = Epochs::Fixed(epochs);
        self
    }

    /// The learning rate of AdamW; 0.01 by default.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// The weight decay of AdamW, which pulls the gate towards equal weights; 0.001 by default.
    #[must_use]
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.weight_decay = decay;
        self
    }

    /// The seed of the initial weights, the batches and the folds; by default the seed of the held-out
    /// predictions ([`HeldOut::seed`]).
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }

    fn optimizer(&self) -> Optimizer {
        Optimizer::adamw(self.learning_rate, self.weight_decay)
    }
}

impl Combiner for Gating {
    type Fitted = FittedGating;

    fn fit(&self, held_out: &HeldOut) -> Result<FittedGating> {
        if !self.inputs && !self.outputs {
            return Err(Error::invalid("the features of a gate", "inputs, outputs or both", "neither"));
        }
        self.optimizer().check()?;
        let held_out = &held_out.rows_with_weight()?;
        let seed = self.seed.unwrap_or_else(|| held_out.seed().child("gating"));
        let features = Features { inputs: self.inputs, outputs: self.outputs };
        let (joint, scaler, dataset) = GateDataset::new(features, held_out)?;
        let all_rows: Rows = (0..held_out.rows().len() as u32).collect();
        let epochs = match self.epochs {
            Epochs::Fixed(epochs) => epochs,
            Epochs::CrossValidated { max } => self.best_epochs(max, held_out, &dataset, seed)?,
        };
        let mut training = Training::new(self, &dataset, all_rows, seed.child("all"))?;
        (0..epochs).try_for_each(|_| training.epoch(&dataset))?;
        let layers = training.layers.iter().map(Layer::of).collect::<CandleResult<Vec<_>>>()?;
        let weights: Vec<f32> = dataset.weights.to_vec1()?;
        let losses = dataset.losses(&training.layers, &training.rows)?;
        let objective = losses.iter().zip(&weights).map(|(loss, w)| loss * f64::from(*w)).sum::<f64>()
            / weights.iter().map(|w| f64::from(*w)).sum::<f64>();
        let fit = Fit { objective, iterations: epochs, gap: None };
        Ok(FittedGating { features, joint, scaler, layers, on: FittedOn::new(held_out), fit })
    }

    fn needs_inputs(&self) -> bool {
        self.inputs
    }
}

impl Gating {
    /// The number of epochs with the least loss on rows that the gate is not trained on; 0 if the gain is too
    /// small.
    fn best_epochs(
        &self,
        max: usize,
        held_out: &HeldOut,
        dataset: &GateDataset,
        seed: Seed,
    ) -> Result<usize> {
        let (rows, units) = (held_out.rows().len(), held_out.units());
        if units < 2 || held_out.predictions().slots() < 2 {
            return Ok(0);
        }
        let folds = held_out.folds(FOLDS.min(units), seed.child("folds"))?;
        let folds: Vec<Rows> =
            folds.into_iter().filter(|fold| !fold.is_empty() && fold.len() < rows).collect();
        let training = |(number, fold): (u64, &Rows)| {
            Training::new(self, dataset, others(rows, fold), seed.nth("fold", number))
        };
        let mut trainings = (0..).zip(&folds).map(training).collect::<Result<Vec<_>>>()?;
        let weights: Vec<f32> = dataset.weights.to_vec1()?;
        // The loss of each row, times its weight, with the gate that is not trained on it.
        let held_out_losses = |trainings: &[Training]| -> Result<Vec<f64>> {
            let mut losses = vec![0.; rows];
            for (training, fold) in trainings.iter().zip(&folds) {
                for (row, loss) in fold.iter().zip(dataset.losses(&training.layers, fold)?) {
                    losses[*row as usize] = loss * f64::from(weights[*row as usize]);
                }
            }
            Ok(losses)
        };
        let total = |losses: &[f64]| losses.iter().sum::<f64>();
        let before = held_out_losses(&trainings)?;
        let (mut best, mut best_losses) = (0, before.clone());
        for epoch in 1..=max {
            threads::wide(|| trainings.par_iter_mut().try_for_each(|training| training.epoch(dataset)))?;
            let losses = held_out_losses(&trainings)?;
            if total(&losses) < total(&best_losses) {
                (best, best_losses) = (epoch, losses);
            } else if epoch - best >= PATIENCE {
                break;
            }
        }
        let gains: Vec<f64> = before.iter().zip(&best_losses).map(|(before, best)| before - best).collect();
        let mean = total(&gains) / rows as f64;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / rows as f64;
        let standard_error = (variance / rows as f64).sqrt();
        Ok(if mean > MIN_GAIN * standard_error { best } else { 0 })
    }
}

#[cfg(test)]
mod tests;
