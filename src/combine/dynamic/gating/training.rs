//! The training of a gate.
use super::{dataset::GateDataset, Gating};
use crate::{
    train::{Clip, OptimizerState},
    Result, Rows, Seed,
};
use candle_core::{DType, Device, Tensor, Var};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// A gate that is trained on some rows.
pub(super) struct Training {
    /// Weight `(in, out)` and bias `(1, out)` of each layer.
    pub(super) layers: Vec<(Var, Var)>,
    state: OptimizerState,
    learning_rate: f64,
    pub(super) rows: Rows,
    seed: Seed,
    epochs: u64,
}

impl Training {
    pub(super) fn new(gating: &Gating, dataset: &GateDataset, rows: Rows, seed: Seed) -> Result<Self> {
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
    pub(super) fn epoch(&mut self, dataset: &GateDataset) -> Result<()> {
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
