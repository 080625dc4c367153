//! A network that says whom to trust on which row.
use crate::{
    combine::{Combiner, Fit, FittedCombiner},
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

/// Folds of the held-out rows on which the number of epochs is found.
const FOLDS: usize = 5;
/// Epochs without a better one after which the search for their number ends.
const PATIENCE: usize = 20;
/// By how many standard errors a number of epochs has to be better than none.
const CLEAR: f64 = 2.;
/// Features count as so many standard deviations at most: a row unlike all others is not a reason to be surer than ever.
const FURTHEST: f64 = 5.;
/// Added to a probability before its logarithm is taken.
const TINY: f64 = 1e-7;

/// A mixture with a gating network: row by row, `p(x) = Σ_s g_s(x) p_s(x)` with `g = softmax(net(features))`. The features
/// are what the members say and the row's inputs, standardized; the network has one hidden layer, or none. The members
/// stay as they are; the gate is trained on held-out rows, by log-loss for classes and squared error for values.
///
/// It starts from equal weights, so that no epoch of training is the equal-weight mean. How many epochs to train is
/// found by cross-validation over the held-out rows; where the best number is not better than none by two standard
/// errors, the mean it stays. So with few rows, or members that are equally good everywhere, it comes to the mean.
///
/// Source: Jacobs et al. 1991, doi:10.1162/neco.1991.3.1.79, with members that are trained before. Where predictions are
/// missing, the gate's weights go to those that are there, and as a feature a missing prediction is stood in for by the mean
/// of the others.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is right below 0, the second above.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gating {
    hidden: usize,
    inputs: bool,
    outputs: bool,
    epochs: usize,
    exactly: bool,
    learning_rate: f64,
    weight_decay: f64,
    seed: Seed,
}

impl Default for Gating {
    fn default() -> Self {
        Self {
            hidden: 16,
            inputs: true,
            outputs: true,
            epochs: 200,
            exactly: false,
            learning_rate: 0.01,
            weight_decay: 1e-3,
            seed: Seed::from(0).child("gating"),
        }
    }
}

impl Gating {
    /// A gate that looks at inputs and outputs, with 16 hidden units.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many hidden units (ReLU); with 0 the gate is linear.
    #[must_use]
    pub fn hidden(mut self, units: usize) -> Self {
        self.hidden = units;
        self
    }

    /// Whether the gate looks at the rows' inputs.
    #[must_use]
    pub fn inputs(mut self, looks: bool) -> Self {
        self.inputs = looks;
        self
    }

    /// Whether the gate looks at what the members say.
    #[must_use]
    pub fn outputs(mut self, looks: bool) -> Self {
        self.outputs = looks;
        self
    }

    /// At most so many epochs, the best number found by cross-validation; 200, if not set.
    #[must_use]
    pub fn epochs(mut self, most: usize) -> Self {
        (self.epochs, self.exactly) = (most, false);
        self
    }

    /// So many epochs, whether they help or not: a sixth of the work, and no guard against fitting noise.
    #[must_use]
    pub fn exactly(mut self, epochs: usize) -> Self {
        (self.epochs, self.exactly) = (epochs, true);
        self
    }

    /// Adam's learning rate; 0.01, if not set.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// Decoupled weight decay, which draws the gate towards equal weights; 0.001, if not set.
    #[must_use]
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.weight_decay = decay;
        self
    }

    /// The seed of initial weights, batches and folds.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
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
            return Err(Error::invalid("what a gate looks at", "inputs, outputs or both", "neither"));
        }
        self.optimizer().check()?;
        let looks = Looks { inputs: self.inputs, outputs: self.outputs };
        let (scaler, dataset) = dataset(looks, &held_out)?;
        let everyone: Rows = (0..held_out.rows().len() as u32).collect();
        let epochs = match self.exactly {
            true => self.epochs,
            false => self.best_epochs(&held_out, &dataset)?,
        };
        let mut gate = Training::new(self, &dataset, everyone, self.seed.child("all"))?;
        (0..epochs).try_for_each(|_| gate.epoch(&dataset))?;
        let layers = gate.layers.iter().map(Layer::of).collect::<CandleResult<Vec<_>>>()?;
        let weights: Vec<f32> = dataset.weights.to_vec1()?;
        let losses = dataset.losses(&gate.layers, &gate.rows)?;
        let objective = losses.iter().zip(&weights).map(|(loss, w)| loss * f64::from(*w)).sum::<f64>()
            / weights.iter().map(|w| f64::from(*w)).sum::<f64>();
        let fit = Fit { objective, iterations: epochs as u64, gap: None };
        Ok(FittedGating { looks, scaler, layers, slots: held_out.predictions().slots(), fit })
    }

    fn needs_inputs(&self) -> bool {
        self.inputs
    }
}

impl Gating {
    /// How many epochs are best for rows that the gate is not trained on; 0 where that is not clearly better than none.
    fn best_epochs(&self, held_out: &HeldOut, dataset: &MetaDataset) -> Result<usize> {
        let rows = held_out.rows().len();
        let units = held_out.groups().map_or(rows, |groups| {
            let mut ids = groups.to_vec();
            ids.sort_unstable();
            ids.dedup();
            ids.len()
        });
        if units < 2 || held_out.predictions().slots() < 2 {
            return Ok(0);
        }
        let folds = held_out.folds(FOLDS.min(units), self.seed.child("folds"))?;
        let folds: Vec<Rows> =
            folds.into_iter().filter(|fold| !fold.is_empty() && fold.len() < rows).collect();
        let train = |(number, fold): (u64, &Rows)| {
            let rest = crate::combine::cross_fit::others(rows, fold);
            Training::new(self, dataset, rest, self.seed.nth("fold", number))
        };
        let mut gates = (0..).zip(&folds).map(train).collect::<Result<Vec<_>>>()?;
        let weights: Vec<f32> = dataset.weights.to_vec1()?;
        // The loss of each row by the gate that was not trained on it, times the row's weight.
        let outside = |gates: &[Training]| -> Result<Vec<f64>> {
            let mut losses = vec![0.; rows];
            for (gate, fold) in gates.iter().zip(&folds) {
                for (row, loss) in fold.iter().zip(dataset.losses(&gate.layers, fold)?) {
                    losses[*row as usize] = loss * f64::from(weights[*row as usize]);
                }
            }
            Ok(losses)
        };
        let total = |losses: &[f64]| losses.iter().sum::<f64>();
        let even = outside(&gates)?;
        let (mut best, mut losses) = (0, even.clone());
        for epoch in 1..=self.epochs {
            threads::wide(|| gates.par_iter_mut().try_for_each(|gate| gate.epoch(dataset)))?;
            let now = outside(&gates)?;
            if total(&now) < total(&losses) {
                (best, losses) = (epoch, now);
            } else if epoch - best >= PATIENCE {
                break;
            }
        }
        let gains: Vec<f64> = even.iter().zip(&losses).map(|(even, loss)| even - loss).collect();
        let mean = total(&gains) / rows as f64;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / rows as f64;
        let clear = mean > CLEAR * (variance / rows as f64).sqrt();
        Ok(if clear { best } else { 0 })
    }
}

/// What a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Looks {
    inputs: bool,
    outputs: bool,
}

impl Looks {
    /// `(B, F)`, f64.
    fn at(self, predictions: &Predictions) -> CandleResult<Tensor> {
        let mut tables = vec![];
        if self.outputs {
            let values = predictions.fill_missing()?.values().clone();
            let values = match predictions.task() {
                // One probability is what the others leave.
                Task::Classification { classes } if classes > 1 => values.narrow(2, 0, classes - 1)?,
                _ => values,
            };
            tables.push(values.transpose(0, 1)?.contiguous()?.flatten_from(1)?.to_dtype(DType::F64)?);
        }
        if self.inputs {
            match predictions.inputs() {
                Some(inputs) => tables.push(inputs.to_dtype(DType::F64)?),
                None => candle_core::bail!(
                    "the gate looks at the rows' inputs, which are not there (Predictions::with_inputs, \
                     HeldOut::with_inputs); Gating::inputs(false) does without"
                ),
            }
        }
        Tensor::cat(&tables, 1)
    }
}

/// What makes features of mean 0 and standard deviation 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Scaler {
    means: Vec<f64>,
    /// One over the standard deviation; 0 for a feature that never changes.
    factors: Vec<f64>,
}

impl Scaler {
    /// Of a table `(R, F)`.
    fn of(table: &Tensor) -> CandleResult<Self> {
        let mean = table.mean_keepdim(0)?;
        let spread = table.broadcast_sub(&mean)?.sqr()?.mean(0)?.sqrt()?;
        let means: Vec<f64> = mean.squeeze(0)?.to_vec1()?;
        let factor = |(spread, mean): (f64, &f64)| if spread > 1e-9 * mean.abs() { 1. / spread } else { 0. };
        let factors = spread.to_vec1()?.into_iter().zip(&means).map(factor).collect();
        Ok(Self { means, factors })
    }

    /// Standardized, f32.
    fn scaled(&self, table: &Tensor) -> CandleResult<Tensor> {
        let width = table.dim(1)?;
        if width != self.means.len() || width != self.factors.len() {
            candle_core::bail!("the gate was trained on {} features, not {width}", self.means.len());
        }
        let row = |numbers: Vec<f64>| Tensor::from_vec(numbers, (1, width), table.device());
        let scaled = table.broadcast_sub(&row(self.means.clone())?)?;
        let scaled = scaled.broadcast_mul(&row(self.factors.clone())?)?;
        scaled.clamp(-FURTHEST, FURTHEST)?.to_dtype(DType::F32)
    }
}

/// Held-out rows as the gate learns from them.
struct MetaDataset {
    /// `(R, F)`.
    features: Tensor,
    /// `(R, K, S)`: for classes the probability of the true one, `K` = 1; for values the error of each output, in
    /// standard deviations of the targets.
    stakes: Tensor,
    /// `(R,)`.
    weights: Tensor,
    classes: bool,
}

fn dataset(looks: Looks, held_out: &HeldOut) -> Result<(Scaler, MetaDataset)> {
    let predictions = held_out.predictions().fill_missing()?.to_device(&Device::Cpu)?;
    let values = predictions.values().detach().to_dtype(DType::F64)?;
    let (slots, rows, width) = values.dims3()?;
    let features = looks.at(&predictions)?.detach();
    let bad = features.abs()?.sum_all()?.to_scalar::<f64>()?;
    if !bad.is_finite() {
        return Err(Error::invalid("what a gate looks at", "finite", bad));
    }
    let scaler = Scaler::of(&features)?;
    let targets = held_out.targets().to_device(&Device::Cpu)?;
    let (stakes, classes) = match predictions.task() {
        Task::Classification { .. } => {
            let labels = targets.to_dtype(DType::U32)?.reshape((1, rows, 1))?;
            let labels = labels.broadcast_as((slots, rows, 1))?.contiguous()?;
            (values.contiguous()?.gather(&labels, 2)?, true)
        }
        Task::Regression { .. } => {
            let targets = targets.to_dtype(DType::F64)?.reshape((rows, width))?;
            let errors = values.broadcast_sub(&targets)?;
            let factors = Scaler::of(&targets)?.factors;
            let factors: Vec<f64> = factors.into_iter().map(|f| if f > 0. { f } else { 1. }).collect();
            (errors.broadcast_mul(&Tensor::from_vec(factors, (1, 1, width), &Device::Cpu)?)?, false)
        }
    };
    let stakes = stakes.permute((1, 2, 0))?.contiguous()?.to_dtype(DType::F32)?;
    let weights = match held_out.weights() {
        Some(weights) => weights.to_device(&Device::Cpu)?.to_dtype(DType::F32)?,
        None => Tensor::ones(rows, DType::F32, &Device::Cpu)?,
    };
    Ok((scaler.clone(), MetaDataset { features: scaler.scaled(&features)?, stakes, weights, classes }))
}

impl MetaDataset {
    /// The loss of each of these rows, `(n,)`.
    fn loss(&self, layers: &[(Tensor, Tensor)], rows: &Tensor) -> CandleResult<Tensor> {
        let gate = gate(layers, &self.features.index_select(rows, 0)?)?;
        let predicted =
            self.stakes.index_select(rows, 0)?.broadcast_mul(&gate.unsqueeze(1)?)?.sum(D::Minus1)?;
        match self.classes {
            true => predicted.squeeze(1)?.affine(1., TINY)?.log()?.neg(),
            false => predicted.sqr()?.mean(1),
        }
    }

    fn losses(&self, layers: &[(Var, Var)], rows: &[u32]) -> Result<Vec<f64>> {
        let loss = self.loss(&held(layers), &Tensor::new(rows, &Device::Cpu)?)?;
        Ok(loss.to_dtype(DType::F64)?.to_vec1()?)
    }
}

/// The variables' values, of which no graph is kept.
fn held(layers: &[(Var, Var)]) -> Vec<(Tensor, Tensor)> {
    layers.iter().map(|(weight, bias)| (weight.as_detached_tensor(), bias.as_detached_tensor())).collect()
}

/// `softmax(net(features))`, `(B, F) -> (B, S)`.
fn gate(layers: &[(Tensor, Tensor)], features: &Tensor) -> CandleResult<Tensor> {
    let mut x = features.clone();
    for (number, (weight, bias)) in layers.iter().enumerate() {
        if number > 0 {
            x = x.relu()?;
        }
        x = x.matmul(weight)?.broadcast_add(bias)?;
    }
    ops::softmax(&x, D::Minus1)
}

/// A gate in training on some rows.
struct Training {
    /// Weight `(in, out)` and bias `(1, out)` of each layer.
    layers: Vec<(Var, Var)>,
    state: OptimizerState,
    rate: f64,
    rows: Rows,
    seed: Seed,
    epochs: u64,
}

impl Training {
    fn new(rule: &Gating, dataset: &MetaDataset, rows: Rows, seed: Seed) -> Result<Self> {
        let (features, slots) = (dataset.features.dim(1)?, dataset.stakes.dim(2)?);
        let zeros = |shape: (usize, usize)| Var::zeros(shape, DType::F32, &Device::Cpu);
        let mut layers = vec![];
        // The last layer is 0: equal weights to begin with.
        if rule.hidden > 0 {
            let mut rng = seed.child("weights").rng();
            let spread = (2. / features as f32).sqrt();
            let mut draw = || -> f32 { StandardNormal.sample(&mut rng) };
            let weight: Vec<f32> = (0..features * rule.hidden).map(|_| spread * draw()).collect();
            let weight = Var::from_vec(weight, (features, rule.hidden), &Device::Cpu)?;
            layers.push((weight, zeros((1, rule.hidden))?));
        }
        let last = if rule.hidden > 0 { rule.hidden } else { features };
        layers.push((zeros((last, slots))?, zeros((1, slots))?));
        let named = layers.iter().enumerate().flat_map(|(i, (weight, bias))| {
            [(format!("{i}.weight"), weight.clone()), (format!("{i}.bias"), bias.clone())]
        });
        let optimizer = rule.optimizer();
        let state = OptimizerState::new(&optimizer, named.collect())?;
        Ok(Self { layers, state, rate: rule.learning_rate, rows, seed, epochs: 0 })
    }

    fn epoch(&mut self, dataset: &MetaDataset) -> Result<()> {
        let mut rows = self.rows.clone();
        rows.shuffle(&mut self.seed.nth("epoch", self.epochs).rng());
        self.epochs += 1;
        // Batches grow with the rows, so that an epoch has some thirty steps.
        for batch in rows.chunks((rows.len() / 32).clamp(32, 1024)) {
            let batch = Tensor::new(batch, &Device::Cpu)?;
            let layers: Vec<_> =
                self.layers.iter().map(|(w, b)| (w.as_tensor().clone(), b.as_tensor().clone())).collect();
            let weights = dataset.weights.index_select(&batch, 0)?;
            let total = weights.sum_all()?.to_scalar::<f32>()?;
            if total > 0. {
                let loss = (dataset.loss(&layers, &batch)? * weights)?.sum_all()?;
                let gradients = (loss / f64::from(total))?.backward()?;
                self.state.step(&gradients, self.rate, &Clip::Norm(5.))?;
            }
        }
        Ok(())
    }
}

/// A trained layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Layer {
    /// `(in, out)`, row by row.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn of((weight, bias): &(Var, Var)) -> CandleResult<Self> {
        Ok(Self { weight: weight.flatten_all()?.to_vec1()?, bias: bias.flatten_all()?.to_vec1()? })
    }

    fn tensors(&self, device: &Device) -> CandleResult<(Tensor, Tensor)> {
        let out = self.bias.len().max(1);
        let weight = Tensor::from_slice(&self.weight, (self.weight.len() / out, out), device)?;
        Ok((weight, Tensor::from_slice(&self.bias, (1, out), device)?))
    }
}

/// [`Gating`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedGating {
    looks: Looks,
    scaler: Scaler,
    layers: Vec<Layer>,
    slots: usize,
    fit: Fit,
}

impl FittedGating {
    /// The weights that each row's predictions have, `(B, S)` f32: not negative, and they sum to one over the predictions that are
    /// there.
    ///
    /// # Errors
    /// When the predictions, or their inputs, are not like those that it was fitted on.
    pub fn gates(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        if predictions.slots() != self.slots {
            candle_core::bail!(
                "the gate was trained on {} predictions, not {}",
                self.slots,
                predictions.slots()
            );
        }
        let features = self.scaler.scaled(&self.looks.at(predictions)?)?;
        let layers = self.layers.iter().map(|layer| layer.tensors(features.device()));
        let gates = gate(&layers.collect::<CandleResult<Vec<_>>>()?, &features)?;
        match predictions.covered() {
            None => Ok(gates),
            Some(covered) => {
                let there = (gates * covered.t()?.to_dtype(DType::F32)?)?;
                there.broadcast_div(&there.sum_keepdim(1)?)
            }
        }
    }
}

impl FittedCombiner for FittedGating {
    fn name(&self) -> String {
        "gating".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn needs_inputs(&self) -> bool {
        self.looks.inputs
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let gates = self.gates(predictions)?.to_dtype(predictions.values().dtype())?;
        predictions.sum_over_slots(&predictions.values().broadcast_mul(&gates.t()?.unsqueeze(2)?)?)
    }
}

#[cfg(test)]
mod tests;
