//! Training one hidden layer to reconstruct its inputs.
use crate::{
    codec,
    data::Batch,
    plan::EpochSteps,
    store::{checkpoint::LoopState, EpochRecord},
    train::{
        accumulate::{ends_step, weight, Accumulated},
        greedy::{
            network::{is_of_layer, GreedyNetwork},
            Corruption,
        },
        run::named_element,
        trainer::{optimizer, scalar, with_prefix, without_prefix},
        Loss, OptimizerState, Run, SavedOptimizer, TrainConfig,
    },
    weights::{fresh, Vars},
    Error, Result,
};
use candle_core::{DType, Module, Tensor};
use candle_nn::{linear, Linear};
use std::ops::Range;

/// Rows in a batch that is only evaluated.
const EVALUATION_BATCH: usize = 1024;
/// The prefixes of the names under which a checkpoint holds the decoder and the moments of the optimizer.
const DECODER: &str = "decoder/";
const MOMENTS: &str = "optimizer/";

/// The training of one hidden layer with a linear decoder.
pub(super) struct Autoencoder<'t> {
    config: &'t TrainConfig,
    network: &'t GreedyNetwork,
    layer: usize,
    corruption: Option<Corruption>,
    /// The epochs of the run in which the layer is trained.
    epochs: Range<usize>,
    decoder: Linear,
    decoder_vars: Vars,
    optimizer: OptimizerState,
}

impl<'t> Autoencoder<'t> {
    /// The training at its beginning, or at the run's last checkpoint.
    pub(super) fn start(
        config: &'t TrainConfig,
        network: &'t GreedyNetwork,
        (layer, epochs): (usize, Range<usize>),
        (corruption, dtype): (Option<Corruption>, DType),
        run: &mut Run<'_>,
    ) -> Result<Self> {
        let first = run.train_rows().iter().take(2).copied().collect::<Vec<_>>();
        let first = run.scaling().scale_inputs(&run.batch(&first)?.inputs)?;
        let inputs = network.encode(layer, first.only()?)?;
        let width = |xs: &Tensor| -> Result<usize> { Ok(xs.elem_count() / xs.dim(0)?.max(1)) };
        let (from, to) = (width(&network.encode(layer + 1, first.only()?)?)?, width(&inputs)?);
        let seed = run.seed("decoder").nth("layer", layer as u64);
        let (decoder_vars, vb) = fresh(seed, config.init.clone(), dtype, run.device());
        let decoder = linear(from, to, vb.pp("decoder"))?;
        let own = run.vars().named().into_iter().filter(|(name, _)| is_of_layer(name, layer));
        let vars = own.chain(decoder_vars.named()).collect();
        let optimizer = optimizer(config, vars, None)?;
        let mut training =
            Self { config, network, layer, corruption, epochs, decoder, decoder_vars, optimizer };
        if run.first_epoch() > training.epochs.start {
            let tensors = run.take_state_tensors();
            let saved: SavedOptimizer = codec::decode(run.state())
                .map_err(|why| Error::Foreign { what: "the checkpoint of a pretraining".into(), why })?;
            training.optimizer.restore(&saved.with_moments(without_prefix(MOMENTS, &tensors))?)?;
            training.decoder_vars.load(&without_prefix(DECODER, &tensors))?;
        }
        Ok(training)
    }

    /// One pass over the training rows, and the reconstruction error of the validation rows after it.
    pub(super) fn epoch(&mut self, run: &Run<'_>, epoch: usize) -> Result<EpochRecord> {
        let config = self.config;
        let rows = if config.shuffle { run.shuffled_rows(epoch) } else { run.train_rows().to_vec() };
        let (epochs, within) = (self.epochs.len(), epoch - self.epochs.start);
        let batch_norm = run.vars().has_statistics();
        let counts = EpochSteps::new(&config.batch_size, epochs, rows.len(), config.last_batch, batch_norm);
        let steps = counts.clone().accumulate(config.accumulate);
        let own = self.optimizer.variables().map(|(name, var)| (name.to_owned(), var.clone()));
        let (vars, mut accumulated) = (own.collect::<Vec<_>>(), Accumulated::default());
        let size = config.batch_size.rows_at(within, rows.len());
        let (mut sum, mut count, mut learning_rate) = (0., 0., config.optimizer.learning_rate());
        for (number, (_, batch)) in run.training_batches(rows, size, config.last_batch).enumerate() {
            let at = counts.position(within, number);
            let step = steps.position(within, number / config.accumulate.max(1));
            learning_rate = config.schedule.rate_in(config.optimizer.learning_rate(), step, &steps);
            let batch = batch?;
            let inputs = run.scaling().scale_inputs(&batch.inputs)?;
            let clean = self.network.encode(self.layer, inputs.only()?)?;
            let seed = run.seed("corruption").nth("epoch", epoch as u64).nth("batch", number as u64);
            let seen = match self.corruption {
                Some(corruption) => corruption.apply(&clean, seed)?,
                None => clean.clone(),
            };
            let loss = self.loss(&seen, &clean, &batch, true)?;
            let value = scalar(&loss)?;
            if !value.is_finite() {
                let what = format!("the reconstruction error of hidden layer {}", self.layer);
                let run = run.spec().id;
                return Err(Error::Diverged { run, what, value, epoch, batch: number, learning_rate });
            }
            let rows = clean.dim(0)? as f64;
            (sum, count) = (sum + value * rows, count + rows);
            let mut gradients = loss.backward()?;
            if config.accumulate > 1 {
                accumulated.add(&vars, &gradients, (value, weight(&batch)?))?;
                if !ends_step(at, config.accumulate) {
                    continue;
                }
                accumulated.take(&vars, &mut gradients)?;
            }
            self.optimizer.step(&gradients, learning_rate, &config.clip)?;
        }
        if let Some((name, found)) = run.first_non_finite()? {
            let when = format!("after epoch {epoch}");
            return Err(run.batch_norm_error(&name, &found, &when).unwrap_or_else(|| Error::Diverged {
                run: run.spec().id,
                what: named_element(&name, &found),
                value: found.value,
                epoch,
                batch: counts.of(within).saturating_sub(1),
                learning_rate,
            }));
        }
        let train_loss: f64 = sum / count;
        let valid_loss = self.validate(run)?;
        Ok(EpochRecord {
            epoch,
            learning_rate,
            train_loss,
            train_metric: train_loss.sqrt(),
            valid_loss,
            valid_metric: valid_loss.map(f64::sqrt),
            monitors: None,
        })
    }

    /// The reconstruction error over the validation rows, without noise.
    fn validate(&self, run: &Run<'_>) -> Result<Option<f64>> {
        let (mut sum, mut count) = (0., 0.);
        for (_, batch) in run.validation_batches(EVALUATION_BATCH) {
            let batch = batch?;
            let inputs = run.scaling().scale_inputs(&batch.inputs)?;
            let clean = self.network.encode(self.layer, inputs.only()?)?;
            let rows = clean.dim(0)? as f64;
            sum += scalar(&self.loss(&clean, &clean, &batch, false)?)? * rows;
            count += rows;
        }
        Ok((count > 0.).then(|| sum / count))
    }

    /// The mean squared difference between the clean inputs and what the decoder makes of the layer's output.
    fn loss(&self, seen: &Tensor, clean: &Tensor, batch: &Batch, train: bool) -> Result<Tensor> {
        let Some(layer) = self.network.hidden.get(self.layer) else {
            return Err(Error::invalid("a hidden layer", "one of the network", self.layer));
        };
        let rows = clean.dim(0)?;
        let flat = |xs: &Tensor| xs.reshape((rows, xs.elem_count() / rows.max(1)));
        let output = self.decoder.forward(&flat(&layer.forward_t(seen, train)?)?)?;
        // Losses in half precision have targets of f32.
        let dtype = if output.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let targets = flat(&clean.to_dtype(dtype)?)?;
        Ok(Loss::MeanSquared.mean(&output, &targets, batch.weights.as_ref())?)
    }

    /// What a checkpoint holds besides the network's variables.
    pub(super) fn state(&self) -> Result<LoopState> {
        let (optimizer, moments) = self.optimizer.save()?.without_moments()?;
        let decoder = self.decoder_vars.snapshot()?;
        let tensors = with_prefix(MOMENTS, moments).chain(with_prefix(DECODER, decoder)).collect();
        Ok(LoopState { bytes: codec::encode(&optimizer)?, tensors })
    }
}
