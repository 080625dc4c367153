//! A gating network, which computes the weights of the slots for each row.
use crate::{
    combine::{
        check_fitted_on, cross_fit::others, joint_normal::JointNormal, Combiner, Fit, FittedCombiner,
        FittedOn,
    },
    data::Task,
    predictions::Predictions,
    threads,
    train::{Clip, Optimizer, OptimizerState},
    Error, HeldOut, Result, Rows, Seed,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor, Var, D};
use candle_nn::ops;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The number of folds of the cross-validation that finds the number of epochs.
const FOLDS: usize = 5;
/// The number of epochs without an improvement after which that search ends.
const PATIENCE: usize = 20;
/// The number of standard errors by which training must improve the loss; otherwise the gate is not trained.
const MIN_GAIN: f64 = 2.;
/// Standardized features are clipped to this size, so that a row far from all others does not get extreme
/// weights.
const MAX_FEATURE: f64 = 5.;
/// Added to the logit of a slot that does not predict the row, so that its weight is 0.
const MISSING: f64 = -1e30;
/// Added to a probability before its logarithm is taken.
const EPSILON: f64 = 1e-7;

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

/// The features of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Features {
    inputs: bool,
    outputs: bool,
}

impl Features {
    /// The number of features of each slot.
    fn of_slot(task: Task) -> usize {
        match task {
            // The probability of the last class follows from the others.
            Task::Classification { classes } if classes > 1 => classes - 1,
            task => task.width(),
        }
    }

    /// The features of the slots, `(B, S·C)`, slot by slot, in f64. Those of missing predictions have no
    /// meaning.
    fn outputs(predictions: &Predictions) -> CandleResult<Tensor> {
        let values = predictions.values().narrow(2, 0, Self::of_slot(predictions.task()))?;
        values.transpose(0, 1)?.contiguous()?.flatten_from(1)?.to_dtype(DType::F64)
    }

    /// The table of features, `(B, F)`, in f64, from those of the slots.
    fn table(self, outputs: Option<Tensor>, predictions: &Predictions) -> CandleResult<Tensor> {
        let mut tables: Vec<Tensor> = outputs.into_iter().collect();
        if self.inputs {
            match predictions.inputs() {
                Some(inputs) => tables.push(inputs.to_dtype(DType::F64)?),
                None => candle_core::bail!(
                    "the gate needs the inputs of the rows (Predictions::with_inputs, HeldOut::with_inputs); with \
                     Gating::inputs(false) it needs none"
                ),
            }
        }
        Tensor::cat(&tables, 1)
    }
}

/// Standardizes features to mean 0 and standard deviation 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Scaler {
    means: Vec<f64>,
    /// One divided by the standard deviation; 0 for a constant feature.
    factors: Vec<f64>,
}

impl Scaler {
    /// Fits the scaler on a table `(R, F)`.
    fn fit(table: &Tensor) -> CandleResult<Self> {
        let mean = table.mean_keepdim(0)?;
        let deviation = table.broadcast_sub(&mean)?.sqr()?.mean(0)?.sqrt()?;
        let means: Vec<f64> = mean.squeeze(0)?.to_vec1()?;
        let factor = |(deviation, mean): (f64, &f64)| match deviation > 1e-9 * mean.abs() {
            true => 1. / deviation,
            false => 0.,
        };
        let factors = deviation.to_vec1()?.into_iter().zip(&means).map(factor).collect();
        Ok(Self { means, factors })
    }

    /// The standardized and clipped table, in f32.
    fn transform(&self, table: &Tensor) -> CandleResult<Tensor> {
        let width = table.dim(1)?;
        if width != self.means.len() || width != self.factors.len() {
            candle_core::bail!("the gate was trained on {} features, not {width}", self.means.len());
        }
        let row = |numbers: Vec<f64>| Tensor::from_vec(numbers, (1, width), table.device());
        let scaled = table.broadcast_sub(&row(self.means.clone())?)?;
        let scaled = scaled.broadcast_mul(&row(self.factors.clone())?)?;
        scaled.clamp(-MAX_FEATURE, MAX_FEATURE)?.to_dtype(DType::F32)
    }
}

/// The held-out rows as the gate is trained on them.
struct GateDataset {
    /// The standardized features, `(R, F)`.
    features: Tensor,
    /// What the gate averages for the loss, `(R, K, S)`: for classes the slots' probabilities of the true
    /// class, `K` = 1; for regression the slots' errors of each output, in standard deviations of the
    /// targets.
    terms: Tensor,
    /// The weights of the rows, `(R,)`.
    weights: Tensor,
    /// 1 where a slot predicts a row and 0 elsewhere, `(R, S)`; `None` where no prediction is missing.
    present: Option<Tensor>,
    classes: bool,
}

impl GateDataset {
    fn new(features: Features, held_out: &HeldOut) -> Result<(Option<JointNormal>, Scaler, Self)> {
        let predictions = held_out.predictions().to_device(&Device::Cpu)?;
        let values = predictions.values().detach().to_dtype(DType::F64)?;
        let (slots, rows, width) = values.dims3()?;
        let (joint, outputs) = match features.outputs {
            true => {
                let table = Features::outputs(&predictions)?.detach();
                let targets = held_out.target_columns()?;
                let targets = &targets[..Features::of_slot(predictions.task())];
                let (joint, table) = JointNormal::fit_table(&table, held_out, targets)?;
                (Some(joint), Some(table))
            }
            false => (None, None),
        };
        let features = features.table(outputs, &predictions)?.detach();
        let sum = features.abs()?.sum_all()?.to_scalar::<f64>()?;
        if !sum.is_finite() {
            return Err(Error::invalid("the sum of the features of a gate", "finite", sum));
        }
        let scaler = Scaler::fit(&features)?;
        let targets = held_out.targets().to_device(&Device::Cpu)?;
        let (terms, classes) = match predictions.task() {
            Task::Classification { .. } => {
                let labels = targets.to_dtype(DType::U32)?.reshape((1, rows, 1))?;
                let labels = labels.broadcast_as((slots, rows, 1))?.contiguous()?;
                (values.contiguous()?.gather(&labels, 2)?, true)
            }
            Task::Regression { .. } => {
                let targets = targets.to_dtype(DType::F64)?.reshape((rows, width))?;
                let errors = values.broadcast_sub(&targets)?;
                let factors = Scaler::fit(&targets)?.factors;
                let factors: Vec<f64> = factors.into_iter().map(|f| if f > 0. { f } else { 1. }).collect();
                (errors.broadcast_mul(&Tensor::from_vec(factors, (1, 1, width), &Device::Cpu)?)?, false)
            }
        };
        let terms = terms.permute((1, 2, 0))?.contiguous()?.to_dtype(DType::F32)?;
        let present = present(&predictions)?;
        let terms = match &present {
            // A missing prediction has a weight of 0, and its value may be NaN.
            Some(present) => {
                let mask = present.unsqueeze(1)?.broadcast_as(terms.shape())?.to_dtype(DType::U8)?;
                mask.where_cond(&terms, &terms.zeros_like()?)?
            }
            None => terms,
        };
        let weights = match held_out.weights() {
            Some(weights) => weights.to_device(&Device::Cpu)?.to_dtype(DType::F32)?,
            None => Tensor::ones(rows, DType::F32, &Device::Cpu)?,
        };
        let features = scaler.transform(&features)?;
        Ok((joint, scaler, Self { features, terms, weights, present, classes }))
    }

    /// The loss of each of these rows, `(n,)`.
    fn loss(&self, layers: &[(Tensor, Tensor)], rows: &Tensor) -> CandleResult<Tensor> {
        let present = self.present.as_ref().map(|present| present.index_select(rows, 0)).transpose()?;
        let gates = gates(layers, &self.features.index_select(rows, 0)?, present.as_ref())?;
        let mean = self.terms.index_select(rows, 0)?.broadcast_mul(&gates.unsqueeze(1)?)?.sum(D::Minus1)?;
        match self.classes {
            true => mean.squeeze(1)?.affine(1., EPSILON)?.log()?.neg(),
            false => mean.sqr()?.mean(1),
        }
    }

    /// The loss of each of these rows, without a graph.
    fn losses(&self, layers: &[(Var, Var)], rows: &[u32]) -> Result<Vec<f64>> {
        let detached = |(weight, bias): &(Var, Var)| (weight.as_detached_tensor(), bias.as_detached_tensor());
        let layers: Vec<_> = layers.iter().map(detached).collect();
        let loss = self.loss(&layers, &Tensor::new(rows, &Device::Cpu)?)?;
        Ok(loss.to_dtype(DType::F64)?.to_vec1()?)
    }
}

/// 1 where a slot predicts a row and 0 elsewhere, `(B, S)` in f32; `None` where no prediction is missing.
fn present(predictions: &Predictions) -> CandleResult<Option<Tensor>> {
    predictions.covered().map(|covered| covered.t()?.contiguous()?.to_dtype(DType::F32)).transpose()
}

/// `softmax(net(features))` over the slots that are present, `(B, F) -> (B, S)`.
fn gates(layers: &[(Tensor, Tensor)], features: &Tensor, present: Option<&Tensor>) -> CandleResult<Tensor> {
    let mut x = features.clone();
    for (number, (weight, bias)) in layers.iter().enumerate() {
        if number > 0 {
            x = x.relu()?;
        }
        x = x.matmul(weight)?.broadcast_add(bias)?;
    }
    if let Some(present) = present {
        x = (x + present.affine(-MISSING, MISSING)?)?;
    }
    ops::softmax(&x, D::Minus1)
}

/// A gate that is trained on some rows.
struct Training {
    /// Weight `(in, out)` and bias `(1, out)` of each layer.
    layers: Vec<(Var, Var)>,
    state: OptimizerState,
    learning_rate: f64,
    rows: Rows,
    seed: Seed,
    epochs: u64,
}

impl Training {
    fn new(gating: &Gating, dataset: &GateDataset, rows: Rows, seed: Seed) -> Result<Self> {
        let (features, slots) = (dataset.features.dim(1)?, dataset.terms.dim(2)?);
        let zeros = |shape: (usize, usize)| Var::zeros(shape, DType::F32, &Device::Cpu);
        let mut layers = vec![];
        // The last layer is 0, so that the weights of the slots are equal at first.
        if gating.hidden > 0 {
            let mut rng = seed.child("weights").rng();
            let deviation = (2. / features as f32).sqrt();
            let mut draw = || -> f32 { StandardNormal.sample(&mut rng) };
            let weight: Vec<f32> = (0..features * gating.hidden).map(|_| deviation * draw()).collect();
            let weight = Var::from_vec(weight, (features, gating.hidden), &Device::Cpu)?;
            layers.push((weight, zeros((1, gating.hidden))?));
        }
        let last = if gating.hidden > 0 { gating.hidden } else { features };
        layers.push((zeros((last, slots))?, zeros((1, slots))?));
        let named = layers.iter().enumerate().flat_map(|(i, (weight, bias))| {
            [(format!("{i}.weight"), weight.clone()), (format!("{i}.bias"), bias.clone())]
        });
        let optimizer = gating.optimizer();
        let state = OptimizerState::new(&optimizer, named.collect())?;
        Ok(Self { layers, state, learning_rate: gating.learning_rate, rows, seed, epochs: 0 })
    }

    /// Trains for one epoch.
    fn epoch(&mut self, dataset: &GateDataset) -> Result<()> {
        let mut rows = self.rows.clone();
        rows.shuffle(&mut self.seed.nth("epoch", self.epochs).rng());
        self.epochs += 1;
        // Batches grow with the number of rows, so that an epoch has about 32 steps.
        for batch in rows.chunks((rows.len() / 32).clamp(32, 1024)) {
            let batch = Tensor::new(batch, &Device::Cpu)?;
            let layers: Vec<_> =
                self.layers.iter().map(|(w, b)| (w.as_tensor().clone(), b.as_tensor().clone())).collect();
            let weights = dataset.weights.index_select(&batch, 0)?;
            let total = weights.sum_all()?.to_scalar::<f32>()?;
            if total > 0. {
                let loss = (dataset.loss(&layers, &batch)? * weights)?.sum_all()?;
                let gradients = (loss / f64::from(total))?.backward()?;
                self.state.step(&gradients, self.learning_rate, &Clip::Norm(5.))?;
            }
        }
        Ok(())
    }
}

/// A trained layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Layer {
    /// The weights `(in, out)`, row by row.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn of((weight, bias): &(Var, Var)) -> CandleResult<Self> {
        Ok(Self { weight: weight.flatten_all()?.to_vec1()?, bias: bias.flatten_all()?.to_vec1()? })
    }

    /// Weight `(in, out)` and bias `(1, out)`.
    fn tensors(&self, device: &Device) -> CandleResult<(Tensor, Tensor)> {
        let out = self.bias.len().max(1);
        let weight = Tensor::from_slice(&self.weight, (self.weight.len() / out, out), device)?;
        Ok((weight, Tensor::from_slice(&self.bias, (1, out), device)?))
    }
}

/// A fitted [`Gating`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedGating {
    features: Features,
    /// The distribution of the features of the slots, for those that are missing.
    joint: Option<JointNormal>,
    scaler: Scaler,
    layers: Vec<Layer>,
    on: FittedOn,
    fit: Fit,
}

impl FittedGating {
    /// The weights of the slots for each row, `(B, S)` in f32. They are not negative and sum to one over the
    /// slots that predict the row.
    ///
    /// # Errors
    /// When the task, the slots, or the number of inputs is not that of the fit.
    pub fn gates(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        let outputs = match &self.joint {
            Some(joint) => Some(joint.complete_table(&Features::outputs(predictions)?, predictions)?),
            None => None,
        };
        let features = self.scaler.transform(&self.features.table(outputs, predictions)?)?;
        let layers = self.layers.iter().map(|layer| layer.tensors(features.device()));
        gates(&layers.collect::<CandleResult<Vec<_>>>()?, &features, present(predictions)?.as_ref())
    }
}

impl FittedCombiner for FittedGating {
    fn name(&self) -> String {
        "gating".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn needs_inputs(&self) -> bool {
        self.features.inputs
    }

    fn check(&self) -> Result<()> {
        if !self.features.inputs && !self.features.outputs {
            return Err(Error::invalid("the features of a gate", "inputs, outputs or both", "neither"));
        }
        let (means, factors) = (self.scaler.means.len(), self.scaler.factors.len());
        if means == 0 || means != factors {
            let got = format!("{means} and {factors}");
            return Err(Error::invalid("numbers of means and factors of a gate", "equal and positive", got));
        }
        if !(1..=2).contains(&self.layers.len()) {
            return Err(Error::invalid("number of layers of a gate", "1 or 2", self.layers.len()));
        }
        let mut width = means;
        for layer in &self.layers {
            let units = layer.bias.len();
            if units == 0 || width.checked_mul(units) != Some(layer.weight.len()) {
                let must = format!("{width} for each of its units, with {units} units");
                return Err(Error::invalid("number of weights of a gate's layer", must, layer.weight.len()));
            }
            width = units;
        }
        self.on.check(width)?;
        match &self.joint {
            Some(joint) => joint.check(width, joint.columns()),
            None if self.features.outputs => Err(Error::invalid(
                "the joint distribution of the slots",
                "there for a gate on outputs",
                "missing",
            )),
            None => Ok(()),
        }
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let gates = self.gates(predictions)?.to_dtype(predictions.values().dtype())?;
        let combined =
            predictions.sum_over_slots(&predictions.values().broadcast_mul(&gates.t()?.unsqueeze(2)?)?)?;
        match predictions.covered() {
            // 0 / 0: a row that no slot predicts is NaN.
            Some(covered) => {
                let any = covered.sum(0)?.gt(0f64)?.to_dtype(combined.dtype())?;
                combined.broadcast_div(&any.unsqueeze(1)?)
            }
            None => Ok(combined),
        }
    }
}

#[cfg(test)]
mod tests;
