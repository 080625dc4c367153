//! The training loop of the ready-made trainer.
mod evaluation;
mod members;
mod objective;
mod spread;
mod step;

pub(crate) use objective::check_soft_targets;
use spread::Spread;
pub(super) use step::{EpochPass, Passed, ReadyStep};

use crate::{
    data::{passes, Batch, FittedScalings, Task},
    metrics::Metric,
    network::{Members, Output},
    plan::Position,
    store::{checkpoint::LoopState, EpochRecord},
    threads,
    train::{
        accumulate::Accumulated,
        augment::OwnTransforms,
        averaging::RunningAverage,
        class_weights::FittedClassWeights,
        groups::{places, Place},
        monitor::EpochMonitor,
        run::named_element,
        trainer::{checkpoint::TrainingState, custom::Custom, phase::Phase, scaling, TrainConfig},
        transfer::{Freezing, Frozen},
        LossScaling, Moves, OptimizerState, PlateauMonitor, Regularizers, Retrain, Run, StoppingMonitor,
        StoppingStatus,
    },
    weights::{
        batch_norm::{self, re_estimate_by, TrainingNetwork},
        compatibility::has_statistics,
        number_of_parameters, Vars, Weights,
    },
    Error, Network, Result, Seed,
};
use candle_core::{DType, Result as CandleResult, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// Rows in a batch that is only evaluated.
const EVALUATION_BATCH: usize = 1024;

/// What builds a network with variables of its own.
pub(crate) type Build<'b, N> = dyn Fn() -> Result<(Vars, N)> + Sync + 'b;

/// The training of one network: everything that changes from step to step, besides the network's variables.
pub(crate) struct Training<'t, N> {
    config: &'t TrainConfig,
    /// The loss and the penalties of the user.
    custom: &'t Custom,
    network: &'t N,
    /// The members that the network holds.
    members: Members,
    /// The same network without tracked operations on the frozen variables, if it has been built.
    partly: Option<N>,
    /// The variables that are not trained in some epochs, and those that are not trained now.
    freezing: Freezing,
    frozen: Frozen,
    /// The epoch of the run with which this training begins: 0, unless the run consists of several trainings.
    begin: usize,
    /// What the network outputs for classes.
    kind: Output,
    task: Task,
    /// The seeds of noise, of forward passes, and of transforms.
    seeds: [Seed; 3],
    /// The user's transforms of batches.
    transforms: Option<&'t OwnTransforms>,
    /// The gradients of the batches since the last step of the optimizer, if those of several are accumulated.
    accumulated: Accumulated,
    optimizer: OptimizerState,
    /// The variables that are trained now.
    trained: Vec<(String, Var)>,
    /// The groups of variables, if there are any.
    places: Option<BTreeMap<String, Place>>,
    /// The scale of the loss.
    loss_scaling: Option<LossScaling>,
    /// The scalings of inputs and targets.
    scalings: FittedScalings,
    /// How far adversarial training moves the inputs.
    moves: Option<Moves>,
    /// The weights of the classes in the loss.
    class_weights: Option<FittedClassWeights>,
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
    /// The learning rate of the last step, and those of the groups after it.
    learning_rate: f64,
    rates: Vec<f64>,
    /// The first epoch of this process, in which the data is checked.
    first_epoch: usize,
    /// Whether it is the present one.
    first_pass: bool,
}

impl<'t, N: Network> Training<'t, N> {
    /// The training of the variables that are not frozen from epoch `begin` of the run on: at its beginning, or at the
    /// last checkpoint.
    pub(crate) fn start(
        (config, custom): (&'t TrainConfig, &'t Custom),
        network: &'t N,
        kind: Output,
        watched: Option<Metric>,
        (begin, freezing): (usize, Freezing),
        run: &mut Run<'_>,
    ) -> Result<Self> {
        check_patterns(config, run.vars())?;
        let members = network.members();
        members.check()?;
        config.joint_loss.check_members(members)?;
        let places = places(config, run.vars())?;
        let scalings = scaling::fit(config, run)?;
        let average = config.averaging.map(|averaging| RunningAverage::new(averaging, config.epochs));
        let higher = watched.as_ref().is_some_and(Metric::higher_is_better);
        let monitor = |rule| StoppingMonitor::new(rule).higher_is_better(higher);
        let class_weights = config.class_weights.as_ref();
        let mut training = Self {
            config,
            custom,
            class_weights: class_weights.map(|weights| run.fit_class_weights(weights)).transpose()?,
            network,
            members,
            kind,
            task: run.task(),
            seeds: ["noise", "pass", "augment"].map(|name| run.seed(name)),
            transforms: None,
            accumulated: Accumulated::default(),
            moves: config.adversarial.map(|adversarial| adversarial.fit(run, &scalings)).transpose()?,
            optimizer: optimizer(config, freezing.ever_trained(run.vars()), places.as_ref())?,
            trained: run.vars().named(),
            places,
            scalings,
            loss_scaling: config.loss_scale.map(LossScaling::new).transpose()?,
            penalties: config.regularizers.clone(),
            partly: None,
            freezing,
            frozen: Frozen::default(),
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
            rates: vec![],
            first_epoch: run.first_epoch(),
            first_pass: false,
        };
        if run.first_epoch() > begin {
            let tensors = run.take_state_tensors();
            training.resume(TrainingState::decode(run.state(), &tensors)?)?;
        }
        // What was frozen in the last epoch decides how a training that is over ends.
        training.freeze(run.first_epoch().saturating_sub(1), run.vars())?;
        Ok(training)
    }

    /// Sets the user's transforms of batches.
    pub(super) fn transforms(mut self, transforms: &'t OwnTransforms) -> Self {
        self.transforms = Some(transforms).filter(|transforms| !transforms.is_empty());
        self
    }

    /// Freezes what is frozen in an epoch of the run. Returns whether that is something else than before. The network is
    /// the given one then, until [`set_partly`](Self::set_partly) is called.
    pub(super) fn freeze(&mut self, epoch: usize, vars: &Vars) -> Result<bool> {
        let of_training = epoch.saturating_sub(self.begin);
        // A training from scratch begins with the same frozen variables, one that continues goes on with those that are left.
        let number = match self.config.early_stopping.as_ref().map(|rule| rule.then) {
            Some(Retrain::FromScratch) => self.within(epoch).0,
            _ => of_training,
        };
        let names = self.freezing.at(number);
        if names == *self.frozen.names() {
            return Ok(false);
        }
        self.frozen = Frozen::new(names, vars)?;
        self.trained = self.frozen.others(vars);
        (self.partly, self.gradients_checked) = (None, false);
        Ok(true)
    }

    /// The names of the variables that are not trained now.
    pub(super) fn frozen(&self) -> &BTreeSet<String> {
        self.frozen.names()
    }

    /// Whether what is frozen changes from epoch to epoch.
    pub(super) fn freezing_changes(&self) -> bool {
        self.freezing.changes()
    }

    /// Whether running statistics are measured anew when the training ends.
    pub(super) fn measures_at_end(&self) -> bool {
        self.average.is_some()
    }

    /// Sets the network in which operations on the frozen variables are not tracked.
    pub(super) fn set_partly(&mut self, network: N) {
        self.partly = Some(network);
    }

    /// The network that is trained.
    fn network(&self) -> &N {
        self.partly.as_ref().unwrap_or(self.network)
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
        self.optimizer =
            optimizer(self.config, self.freezing.ever_trained(run.vars()), self.places.as_ref())?;
        self.loss_scaling = self.config.loss_scale.map(LossScaling::new).transpose()?;
        self.plateau = None;
        (self.phase, self.best, self.stopped) = (phase, None, false);
        Ok(())
    }

    /// One pass over the training rows, and the evaluation after it.
    pub(crate) fn epoch(&mut self, run: &Run<'_>, epoch: usize) -> Result<EpochRecord> {
        let mut pass = self.begin(run, epoch);
        while let Some(step) = self.ready(run, &mut pass)? {
            let Passed { output, value, activations, mut gradients } = self.pass(run, &step)?;
            self.complete(run, &mut pass, step, (&output, value, &activations), &mut gradients)?;
        }
        self.end(run, pass)
    }

    /// The evaluation after a pass over the training rows.
    pub(super) fn end(&mut self, run: &Run<'_>, pass: EpochPass<'_>) -> Result<EpochRecord> {
        let EpochPass { epoch, meter, .. } = pass;
        self.frozen.restore_statistics()?;
        self.check_variables(run, pass.last())?;
        if let Some(average) = &mut self.average {
            average.after_epoch(epoch - self.begin, run.vars())?;
        }
        let (train_loss, train_metric) = meter.finish().ok_or_else(|| no_weight("training"))?;
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

    /// The factor of the loss in the backward pass; `None` if the loss is not scaled.
    pub(super) fn scale_of_loss(&self) -> Option<f64> {
        self.loss_scaling.map(|scaling| scaling.factor())
    }

    /// The factor of the loss in the backward pass.
    fn loss_scale(&self) -> f64 {
        self.scale_of_loss().unwrap_or(1.)
    }

    /// The batch as the network gets it.
    fn scaled(&self, batch: &Batch) -> CandleResult<Batch> {
        let inputs = self.scalings.scale_inputs(&batch.inputs)?;
        let targets = self.scalings.scale_targets(&batch.targets)?;
        Ok(Batch { inputs, targets, weights: batch.weights.clone() })
    }

    /// The output of the network in the targets' own units; of a distribution the mean.
    fn unscaled(&self, output: &Tensor) -> CandleResult<Tensor> {
        self.scalings.unscale_outputs(&self.kind.values(&output.detach())?)
    }

    /// Checks after an epoch that all variables are finite: no loss follows the last step, and a statistic of
    /// batch normalization has no effect on the loss in training. `at` is the position of the last step.
    fn check_variables(&self, run: &Run<'_>, at: Position) -> Result<()> {
        let Some((name, found)) = run.first_non_finite()? else { return Ok(()) };
        let when = format!("after epoch {}", at.epoch);
        let fault = run.batch_norm_error(&name, &found, &when);
        Err(fault.unwrap_or_else(|| self.diverged(run, at, named_element(&name, &found), found.value)))
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
    /// average. `build` builds the network with variables of its own, where other threads may do so; `measured` is the
    /// network by which running statistics are measured, if that is not the given one.
    pub(crate) fn finish(
        self,
        run: &Run<'_>,
        build: Option<&Build<'_, N>>,
        measured: Option<&N>,
    ) -> Result<()> {
        if let Some(best) = &self.best {
            run.vars().load(best)?;
        }
        if let Some(average) = &self.average {
            self.load_average(average, run, (build, measured.unwrap_or(self.network)))?;
        }
        Ok(self.frozen.restore_statistics()?)
    }

    /// Replaces the last network by the average. Batch-norm statistics are measured anew over the training
    /// rows, because the average of the statistics is not what the averaged network would measure.
    fn load_average(
        &self,
        average: &RunningAverage,
        run: &Run<'_>,
        (build, network): (Option<&Build<'_, N>>, &N),
    ) -> Result<()> {
        let (weights, rows) = (self.constrained(average.weights()?)?, run.train_rows());
        if rows.len() < 2 || !has_statistics(&weights) {
            return run.vars().load(&weights);
        }
        let (read, scalings) = (run.reader(), &self.scalings);
        let (members, seed) = (self.members, self.seeds[1].child("statistics"));
        let forward = |network: &N, part: &[u32]| -> Result<Tensor> {
            let inputs = scalings.scale_inputs(&read(part)?.inputs)?;
            let inputs = match Spread::new(members, part.len(), seed) {
                Some(spread) => spread.inputs(inputs)?,
                None => inputs,
            };
            Ok(network.run(&inputs, true)?)
        };
        let own = TrainingNetwork::new(run.vars(), |part| forward(network, part));
        let build = build.filter(|_| run.device().is_cpu()).map(|build| {
            move || -> Result<_> {
                let (vars, network) = build()?;
                Ok(TrainingNetwork::new(&vars, move |part| forward(&network, part)))
            }
        });
        let build = build.as_ref().map(|build| build as &batch_norm::Build<'_>);
        let threads = threads::for_passes(None, number_of_parameters(&weights).saturating_mul(rows.len()));
        let parts = passes(rows, run.evaluation_rows(EVALUATION_BATCH).max(2))?;
        run.vars().load(&re_estimate_by(&own, build, &weights, &parts, threads)?)
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
pub(crate) fn optimizer(
    config: &TrainConfig,
    vars: Vec<(String, Var)>,
    places: Option<&BTreeMap<String, Place>>,
) -> Result<OptimizerState> {
    let decays = |name: &str, var: &Var| config.decay_on.matches(name, var.dims());
    let state = OptimizerState::new(&config.optimizer, vars)?.decay_only(decays);
    Ok(match places {
        Some(places) => state.in_places(|name| places.get(name).copied()),
        None => state,
    })
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

/// The error for rows that have no weight.
fn no_weight(rows: &str) -> Error {
    let what = format!("the weights of the {rows} rows of the run");
    Error::invalid(what, "above 0 for at least one row", "0 for all")
}

pub(crate) fn scalar(loss: &Tensor) -> CandleResult<f64> {
    match loss.dtype() {
        DType::F32 => Ok(f64::from(loss.to_scalar::<f32>()?)),
        _ => loss.to_dtype(DType::F64)?.to_scalar(),
    }
}
