//! The training loop of the ready-made trainer.
use crate::{
    data::{passes, Batch, FittedScalings, Task},
    metrics::Metric,
    network::Output,
    nn::{
        backward,
        tap::{collect, Collect},
        Recording,
    },
    plan::{EpochSteps, Position},
    seed::pass::seeded_step,
    store::{checkpoint::LoopState, EpochRecord},
    train::{
        averaging::RunningAverage,
        epoch_meter::EpochMeter,
        fit::check_output,
        monitor::EpochMonitor,
        run::named_element,
        trainer::{
            checkpoint::TrainingState,
            diagnosis::{check_data, diagnose, Step},
            phase::Phase,
            scaling,
            validation::ValidationRows,
            TrainConfig,
        },
        transfer::Frozen,
        LossScaling, NoiseStep, OptimizerState, PlateauMonitor, Regularizer, Regularizers, Retrain, Run,
        StoppingMonitor, StoppingStatus,
    },
    weights::{
        batch_norm::re_estimate_by,
        compatibility::{has_statistics, is_statistic},
        finite::first_non_finite,
        Vars, Weights,
    },
    Error, Network, Result, Seed,
};
use candle_core::{backprop::GradStore, DType, Result as CandleResult, Tensor, Var};
use std::collections::BTreeSet;

/// Rows in a batch that is only evaluated.
const EVALUATION_BATCH: usize = 1024;

/// The training of one network: everything that changes from step to step, besides the network's variables.
pub(crate) struct Training<'t, N> {
    config: &'t TrainConfig,
    network: &'t N,
    /// The variables that are not trained.
    frozen: Frozen,
    /// The epoch of the run with which this training begins: 0, unless the run consists of several trainings.
    begin: usize,
    /// What the network outputs for classes.
    kind: Output,
    task: Task,
    /// The seeds of noise, and of forward passes.
    seeds: [Seed; 2],
    optimizer: OptimizerState,
    /// The variables that are trained.
    trained: Vec<(String, Var)>,
    /// The scale of the loss.
    loss_scaling: Option<LossScaling>,
    /// The scalings of inputs and targets.
    scalings: FittedScalings,
    /// The penalties times the scale of the loss.
    penalties: Regularizers,
    average: Option<RunningAverage>,
    plateau: Option<PlateauMonitor>,
    monitor: Option<StoppingMonitor>,
    /// The metric that is watched in place of the validation loss.
    watched: Option<Metric>,
    /// The weights of the best epoch, if early stopping restores them.
    best: Option<Weights>,
    /// The epoch that was the best so far, and its training loss.
    best_epoch: Option<(usize, f64)>,
    phase: Phase,
    stopped: bool,
    /// Whether the first step has shown that the loss reaches every variable.
    gradients_checked: bool,
    /// The measurement of this epoch.
    monitor_of_epoch: Option<EpochMonitor>,
    /// The learning rate of the last step.
    learning_rate: f64,
    /// The first epoch of this process, in which the data is checked.
    first_epoch: usize,
    /// Whether it is the present one.
    first_pass: bool,
}

impl<'t, N: Network> Training<'t, N> {
    /// The training of all variables but the `frozen` ones from epoch `begin` of the run on: at its beginning, or at
    /// the last checkpoint.
    pub(crate) fn start(
        config: &'t TrainConfig,
        network: &'t N,
        kind: Output,
        watched: Option<Metric>,
        (begin, frozen): (usize, BTreeSet<String>),
        run: &mut Run<'_>,
    ) -> Result<Self> {
        check_patterns(config, run.vars())?;
        let frozen = Frozen::new(frozen, run.vars())?;
        let trained = frozen.others(run.vars());
        let scalings = scaling::fit(config, run)?;
        let average = config.averaging.map(|averaging| RunningAverage::new(averaging, config.epochs));
        let higher = watched.as_ref().is_some_and(Metric::higher_is_better);
        let monitor = |rule| StoppingMonitor::new(rule).higher_is_better(higher);
        let mut training = Self {
            config,
            network,
            kind,
            task: run.task(),
            seeds: ["noise", "pass"].map(|name| run.seed(name)),
            optimizer: optimizer(config, trained.clone())?,
            trained,
            scalings,
            loss_scaling: config.loss_scale.map(LossScaling::new).transpose()?,
            penalties: config.regularizers.clone(),
            frozen,
            begin,
            average: average.transpose()?,
            plateau: config.plateau.clone().map(PlateauMonitor::new),
            monitor: config.early_stopping.clone().map(monitor),
            watched,
            best: None,
            best_epoch: None,
            phase: Phase::First,
            stopped: false,
            gradients_checked: false,
            monitor_of_epoch: None,
            learning_rate: config.optimizer.learning_rate(),
            first_epoch: run.first_epoch(),
            first_pass: false,
        };
        if run.first_epoch() > begin {
            let tensors = run.take_state_tensors();
            training.resume(TrainingState::decode(run.state(), &tensors)?)?;
        }
        Ok(training)
    }

    fn resume(&mut self, state: TrainingState) -> Result<()> {
        self.optimizer.restore(&state.optimizer)?;
        self.average = match (self.average.take(), &state.average) {
            (Some(average), Some(bytes)) => Some(average.restore(bytes)?),
            _ => None,
        };
        (self.monitor, self.best, self.stopped) = (state.monitor, state.best, state.stopped);
        (self.best_epoch, self.phase) = (state.best_epoch, state.phase);
        (self.loss_scaling, self.plateau) = (state.scaling, state.plateau);
        Ok(())
    }

    /// Whether early stopping has ended the training.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether this epoch follows. When early stopping has ended the first training, it begins the second one, if there
    /// is one; `initial` returns the weights with which the run began.
    pub(super) fn goes_on(
        &mut self,
        run: &Run<'_>,
        epoch: usize,
        initial: impl FnOnce() -> Result<Weights>,
    ) -> Result<bool> {
        let (number, epochs) = self.within(epoch);
        let ended = self.stopped || number >= epochs;
        let again = self.config.early_stopping.as_ref().map_or(Retrain::No, |rule| rule.then);
        match (self.phase, again) {
            (Phase::First, Retrain::FromScratch) if ended => {
                let epochs = self.best_epoch.map_or(epoch, |(best, _)| best + 1);
                self.train_again(
                    run,
                    &initial()?,
                    Phase::Again { start: epoch - self.begin, epochs, target: None },
                )?;
                Ok(true)
            }
            (Phase::First, Retrain::Continue { epochs }) if ended => {
                let weights = self.best.take().map_or_else(|| run.vars().snapshot(), Ok)?;
                let target = self.best_epoch.map(|(_, train_loss)| train_loss);
                self.train_again(run, &weights, Phase::Again { start: epoch - self.begin, epochs, target })?;
                Ok(true)
            }
            _ => Ok(!ended),
        }
    }

    /// The number of an epoch of the run within this training, and the number of epochs of this training.
    fn within(&self, epoch: usize) -> (usize, usize) {
        self.phase.within(epoch.saturating_sub(self.begin), self.config.epochs)
    }

    /// Begins the second training with these weights.
    fn train_again(&mut self, run: &Run<'_>, weights: &Weights, phase: Phase) -> Result<()> {
        run.vars().load(weights)?;
        self.optimizer = optimizer(self.config, self.trained.clone())?;
        self.loss_scaling = self.config.loss_scale.map(LossScaling::new).transpose()?;
        self.plateau = None;
        (self.phase, self.best, self.stopped) = (phase, None, false);
        Ok(())
    }

    /// One pass over the training rows, and the evaluation after it.
    pub(crate) fn epoch(&mut self, run: &Run<'_>, epoch: usize) -> Result<EpochRecord> {
        let config = self.config;
        let mut meter = EpochMeter::new(run.task());
        self.first_pass = epoch == self.first_epoch;
        self.monitor_of_epoch =
            config.monitor.map(|monitor| EpochMonitor::new(monitor, self.optimizer.variables()));
        let rows = self.phase.rows(run);
        let (epoch_number, epochs) = self.within(epoch);
        let batch_norm = run.vars().has_statistics();
        let steps = EpochSteps::new(&config.batch_size, epochs, rows.len(), config.last_batch, batch_norm);
        let size = config.batch_size.rows_at(epoch_number, rows.len());
        let rows = if config.shuffle { run.shuffled(rows, epoch) } else { rows };
        let batches = run.training_batches(rows, size, config.last_batch);
        for (number, (rows, batch)) in batches.enumerate() {
            let at = steps.position(epoch_number, number);
            let batch = batch?;
            if self.first_pass {
                check_data(run, &batch, &rows, &when(at))?;
            }
            self.step(run, (at, &steps), &batch, &rows, &mut meter)?;
        }
        self.frozen.restore_statistics()?;
        let last = steps.of(epoch_number).saturating_sub(1);
        self.check_variables(run, steps.position(epoch_number, last))?;
        if let Some(average) = &mut self.average {
            average.after_epoch(epoch - self.begin, run.vars())?;
        }
        let (train_loss, train_metric) = meter.finish();
        let validated = self.evaluate(run, epoch)?;
        let (valid_loss, valid_metric) = match self.phase {
            Phase::First => validated.unzip(),
            Phase::Again { target, .. } => {
                self.stopped =
                    matches!((target, validated), (Some(target), Some((loss, _))) if loss < target);
                (None, None)
            }
        };
        let monitors = self.monitor_of_epoch.take().map(EpochMonitor::finish).transpose()?;
        let learning_rate = self.learning_rate;
        Ok(EpochRecord { epoch, learning_rate, train_loss, train_metric, valid_loss, valid_metric, monitors })
    }

    /// One step. `rows` are the numbers of the batch's rows.
    fn step(
        &mut self,
        run: &Run<'_>,
        (at, steps): (Position, &EpochSteps),
        batch: &Batch,
        rows: &[u32],
        meter: &mut EpochMeter,
    ) -> Result<()> {
        let base = self.config.optimizer.learning_rate();
        let prescribed = run.learning_rate(base, at);
        let rate = prescribed.unwrap_or_else(|| self.config.schedule.rate_in(base, at, steps));
        self.learning_rate = self.plateau.as_ref().map_or(rate, |plateau| plateau.rate(rate));
        let here = NoiseStep::new(self.seeds[0], at).step(steps.before(at.epoch) + at.batch);
        let here = here.loss_scale(self.loss_scale());

        let (output, value, gradients) = self.gradients(run, (at, here), batch, rows)?;
        self.update(run, &gradients, at)?;
        meter.add(value, &self.unscaled(&output)?, batch)?;
        run.end_step(self.learning_rate, value)
    }

    /// Forward and backward pass: the output of the network, the loss of the batch, and the gradients, to which penalties
    /// and noise have been added. The loss is that of the data alone: penalties are trained on, and not recorded.
    fn gradients(
        &mut self,
        run: &Run<'_>,
        (at, here): (Position, NoiseStep),
        batch: &Batch,
        rows: &[u32],
    ) -> Result<(Tensor, f64, GradStore)> {
        let noise = &self.config.noise;
        let seen = self.scaled(batch)?;
        let inputs = noise.perturb_inputs(&seen.inputs, here)?;
        let targets = noise.perturb_targets(&seen.targets, run.task(), here)?;
        let seen = Batch { inputs, targets, ..seen };
        let noisy = noise.perturb_weights(&self.trained, here)?;
        let measured = self.monitor_of_epoch.as_mut().filter(|monitor| monitor.is_due(at.batch));
        let what = Collect { losses: true, activations: measured.is_some() };
        let _recording = Recording::begin();
        let forward = || self.network.run(&seen.inputs, true);
        let (output, collected) = collect(what, || seeded_step(self.seeds[1], here.step as u64, forward));
        let output = output?;
        if let Some(monitor) = measured {
            monitor.add_outputs(&collected.activations)?;
        }
        check_output(&output, run.task(), rows.len(), self.kind)?;
        if self.first_pass {
            self.check_fit(run, &output, &seen, rows)?;
        }
        let mut loss = self.loss(run, &output, &seen)?;
        let value = scalar(&loss)?;
        if !value.is_finite() {
            let when = when(at);
            let step = Step { run, when: &when, batch, rows, output: &output, loss: value };
            let (what, value) = diagnose(&step, has_trained(at))?;
            return Err(self.diverged(run, at, what, value));
        }
        if let Some(penalty) = collected.loss()? {
            loss = (&loss + penalty.to_dtype(loss.dtype())?)?;
        }
        if let Some(scaling) = &self.loss_scaling {
            loss = scaling.scale(&loss)?;
        }
        let mut gradients = backward(&loss)?;
        noisy.restore()?;
        self.check_gradients(run, &gradients, at)?;
        self.add_penalties(&mut gradients)?;
        self.config.noise.perturb_gradients(&mut gradients, &self.trained, here)?;
        Ok((output, value, gradients))
    }

    /// Clips the gradients and updates the weights, and whatever follows the weights.
    fn update(&mut self, run: &Run<'_>, gradients: &GradStore, at: Position) -> Result<()> {
        let due = self.monitor_of_epoch.as_ref().filter(|monitor| monitor.is_due(at.batch));
        let before = due.map(|monitor| monitor.before_step(gradients, self.loss_scale())).transpose()?;
        let (rate, clip) = (self.learning_rate, &self.config.clip);
        match &mut self.loss_scaling {
            None => self.optimizer.step(gradients, rate, clip)?,
            Some(scaling) => {
                if !self.optimizer.step_scaled(gradients, rate, clip, scaling)? {
                    return Ok(());
                }
            }
        }
        self.config.constraints.apply(&self.trained)?;
        if let (Some(monitor), Some(before)) = (&mut self.monitor_of_epoch, before) {
            monitor.after_step(before)?;
        }
        match &mut self.average {
            Some(average) => average.after_step(run.vars()),
            None => Ok(()),
        }
    }

    /// The factor of the loss in the backward pass.
    fn loss_scale(&self) -> f64 {
        self.loss_scaling.map_or(1., |scaling| scaling.factor())
    }

    /// The batch as the network gets it.
    fn scaled(&self, batch: &Batch) -> CandleResult<Batch> {
        let inputs = self.scalings.scale_inputs(&batch.inputs)?;
        let targets = self.scalings.scale_targets(&batch.targets)?;
        Ok(Batch { inputs, targets, weights: batch.weights.clone() })
    }

    /// The output of the network in the targets' own units.
    fn unscaled(&self, output: &Tensor) -> CandleResult<Tensor> {
        self.scalings.unscale_outputs(&output.detach())
    }

    /// Checks that the loss is defined for the targets and the outputs of a batch.
    fn check_fit(&self, run: &Run<'_>, output: &Tensor, batch: &Batch, rows: &[u32]) -> Result<()> {
        let loss = self.config.loss_for(run.task(), self.kind, output);
        loss.check_targets(&batch.targets, rows)?;
        loss.check_output_values(output, run.task(), self.kind, rows)
    }

    /// Adds the gradients of the penalties on weights, which are scaled as the loss is.
    fn add_penalties(&mut self, gradients: &mut GradStore) -> Result<()> {
        if let (Some(scaling), false) = (&self.loss_scaling, self.penalties.is_empty()) {
            let scaled = |penalty: &Regularizer| penalty.times(scaling.factor());
            self.penalties = self.config.regularizers.iter().map(scaled).collect();
        }
        self.penalties.add_to(&self.trained, gradients).map(drop)
    }

    /// The mean loss of a batch.
    fn loss(&self, run: &Run<'_>, output: &Tensor, batch: &Batch) -> CandleResult<Tensor> {
        self.config.loss_for(run.task(), self.kind, output).mean(
            output,
            &batch.targets,
            batch.weights.as_ref(),
        )
    }

    /// Checks in the first step that the loss reaches every trainable variable, unless frozen variables are
    /// allowed. Before anything has been trained, gradients that are not finite are the network's fault.
    fn check_gradients(&mut self, run: &Run<'_>, gradients: &GradStore, at: Position) -> Result<()> {
        if self.gradients_checked {
            return Ok(());
        }
        self.gradients_checked = true;
        let (trained, names) = variables_by_gradient(&self.trained, gradients);
        if !names.is_empty() && !self.config.allow_frozen {
            return Err(Error::NoGradient { run: run.spec().id, names, trained });
        }
        if has_trained(at) {
            return Ok(());
        }
        for (name, var) in &self.trained {
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            if let Some(found) = first_non_finite(gradient)? {
                let what = format!("the gradient of {}", named_element(name, &found));
                let cause = "the loss is finite, but its derivative is not: an operation of the network has \
                             none at its input (such as sqrt at 0), or overflows its type";
                return Err(run.not_finite(what, found.value, &when(at), cause));
            }
        }
        Ok(())
    }

    /// Checks after an epoch that all variables are finite: no loss follows the last step, and a statistic of
    /// batch normalization has no effect on the loss in training. `at` is the position of the last step.
    fn check_variables(&self, run: &Run<'_>, at: Position) -> Result<()> {
        let Some((name, found)) = run.first_non_finite()? else { return Ok(()) };
        let when = format!("after epoch {}", at.epoch);
        let fault = run.batch_norm_error(&name, &found, &when);
        Err(fault.unwrap_or_else(|| self.diverged(run, at, named_element(&name, &found), found.value)))
    }

    /// The loss and the metric over the validation rows, if there are any. The metric is the one that is
    /// watched, or the usual one.
    fn evaluate(&self, run: &Run<'_>, epoch: usize) -> Result<Option<(f64, f64)>> {
        let needed = !matches!(self.phase, Phase::Again { target: None, .. });
        if run.spec().valid.is_empty() || !needed {
            return Ok(None);
        }
        let mut meter = EpochMeter::new(run.task());
        let mut watched = self.watched.as_ref().map(|metric| ValidationRows::new(metric, self.kind));
        for (rows, batch) in run.validation_batches(EVALUATION_BATCH) {
            let batch = batch?;
            let seen = self.scaled(&batch)?;
            let output = self.network.run(&seen.inputs, false)?.detach();
            check_output(&output, run.task(), rows.len(), self.kind)?;
            let loss = scalar(&self.loss(run, &output, &seen)?)?;
            if loss.is_nan() {
                let when = format!("in the validation after epoch {epoch}");
                check_data(run, &batch, &rows, &when)?;
                let cause =
                    "the weights and the rows are finite, so the network's output in evaluation mode \
                             is not, or its loss is beyond the range of its type";
                return Err(run.not_finite("the validation loss".into(), loss, &when, cause));
            }
            let output = self.unscaled(&output)?;
            meter.add(loss, &output, &batch)?;
            if let Some(watched) = &mut watched {
                watched.add(&output, &batch, run.task())?;
            }
        }
        let (loss, metric) = meter.finish();
        let metric = watched.map_or(Ok(metric), |watched| watched.finish(run, epoch))?;
        Ok(Some((loss, metric)))
    }

    /// Applies early stopping to the validation loss of an epoch, or to the metric in its place: keeps the
    /// weights if it improved, or stops.
    pub(crate) fn watch(&mut self, record: &EpochRecord, vars: &Vars) -> Result<()> {
        if let (Some(plateau), Phase::First) = (&mut self.plateau, self.phase) {
            let higher_is_better = self.watched.as_ref().map(Metric::higher_is_better);
            plateau.after_epoch(
                record,
                higher_is_better.unwrap_or(matches!(self.task, Task::Classification { .. })),
            )?;
        }
        let value = if self.watched.is_some() { record.valid_metric } else { record.valid_loss };
        let (Some(monitor), Some(value)) = (&mut self.monitor, value) else { return Ok(()) };
        match monitor.update_with(value, record.train_loss) {
            StoppingStatus::Improved => {
                self.best_epoch = Some((record.epoch, record.train_loss));
                if monitor.rule().restore_best {
                    self.best = Some(vars.snapshot()?);
                }
            }
            StoppingStatus::NotImproved => {}
            StoppingStatus::Stop => self.stopped = true,
        }
        Ok(())
    }

    /// What a checkpoint holds besides the network's variables.
    pub(crate) fn state(&self) -> Result<LoopState> {
        let average = self.average.as_ref().map(RunningAverage::save).transpose()?;
        let (monitor, best, stopped) = (self.monitor.clone(), self.best.clone(), self.stopped);
        let (best_epoch, phase, optimizer) = (self.best_epoch, self.phase, self.optimizer.save()?);
        let (scaling, plateau) = (self.loss_scaling, self.plateau.clone());
        TrainingState { optimizer, scaling, plateau, monitor, best, best_epoch, phase, stopped, average }
            .encode()
    }

    /// Puts the weights of the member into the variables: those of the best epoch, of the last epoch, or the
    /// average.
    pub(crate) fn finish(self, run: &Run<'_>) -> Result<()> {
        if let Some(best) = &self.best {
            run.vars().load(best)?;
        }
        if let Some(average) = &self.average {
            self.load_average(average, run)?;
        }
        Ok(self.frozen.restore_statistics()?)
    }

    /// Replaces the last network by the average. Batch-norm statistics are measured anew over the training
    /// rows, because the average of the statistics is not what the averaged network would measure.
    fn load_average(&self, average: &RunningAverage, run: &Run<'_>) -> Result<()> {
        let (weights, rows) = (self.constrained(average.weights()?)?, &run.spec().train);
        if rows.len() < 2 || !has_statistics(&weights) {
            return run.vars().load(&weights);
        }
        let forward = |part: &[u32]| {
            let inputs = self.scalings.scale_inputs(&run.batch(part)?.inputs)?;
            Ok(self.network.run(&inputs, true)?)
        };
        let parts = passes(rows, EVALUATION_BATCH)?;
        run.vars().load(&re_estimate_by(run.vars(), &weights, &parts, &forward)?)
    }

    /// Brings an average back to the constraints: the mean of two vectors of length 1, for example, is shorter.
    fn constrained(&self, mut weights: Weights) -> Result<Weights> {
        let trained = |name: &String| self.trained.iter().any(|(trained, _)| trained == name);
        let mut part: Weights = weights.iter().filter(|(name, _)| trained(name)).map(own).collect();
        self.config.constraints.apply_to(&mut part)?;
        weights.extend(part);
        Ok(weights)
    }

    fn diverged(&self, run: &Run<'_>, at: Position, what: String, value: f64) -> Error {
        let Position { epoch, batch, .. } = at;
        let learning_rate = self.learning_rate;
        Error::Diverged { run: run.spec().id, what, value, epoch, batch, learning_rate }
    }
}

/// The optimizer of these variables before its first step.
pub(crate) fn optimizer(config: &TrainConfig, vars: Vec<(String, Var)>) -> Result<OptimizerState> {
    let decays = |name: &str, var: &Var| config.decay_on.matches(name, var.dims());
    Ok(OptimizerState::new(&config.optimizer, vars)?.decay_only(decays))
}

/// Checks that each pattern of the configuration matches a variable of the network.
fn check_patterns(config: &TrainConfig, vars: &Vars) -> Result<()> {
    let vars = vars.named();
    config.regularizers.check_variables(&vars)?;
    config.constraints.check_variables(&vars)?;
    config.noise.check_variables(&vars)?;
    config.decay_on.check_some(vars.iter().map(|(name, _)| name.as_str()))?;
    let names: Vec<String> = vars.into_iter().map(|(name, _)| name).collect();
    match config.init.unmatched_patterns(&names)?.first() {
        None => Ok(()),
        Some(pattern) => {
            let must = format!("a pattern of names of the network, which are {}", names.join(", "));
            Err(Error::invalid("InitScheme::ByName", must, format!("{pattern:?}")))
        }
    }
}

fn own((name, tensor): (&String, &Tensor)) -> (String, Tensor) {
    (name.clone(), tensor.clone())
}

/// Whether steps came before this one.
fn has_trained(at: Position) -> bool {
    at.epoch + at.batch > 0
}

/// The words for the time of a step.
fn when(at: Position) -> String {
    format!("in epoch {}, batch {}", at.epoch, at.batch)
}

pub(crate) fn scalar(loss: &Tensor) -> CandleResult<f64> {
    match loss.dtype() {
        DType::F32 => Ok(f64::from(loss.to_scalar::<f32>()?)),
        _ => loss.to_dtype(DType::F64)?.to_scalar(),
    }
}

/// The names of the trainable variables that the loss reaches, and of those that it does not. Batch-norm
/// statistics are not trainable: the forward pass writes them.
fn variables_by_gradient(vars: &[(String, Var)], gradients: &GradStore) -> (Vec<String>, Vec<String>) {
    let trainable = vars.iter().filter(|(name, var)| var.dtype().is_float() && !is_statistic(name));
    let (reached, unreached): (Vec<_>, Vec<_>) =
        trainable.partition(|(_, var)| gradients.get(var.as_tensor()).is_some());
    let names =
        |variables: Vec<&(String, Var)>| variables.into_iter().map(|(name, _)| name.clone()).collect();
    (names(reached), names(unreached))
}
