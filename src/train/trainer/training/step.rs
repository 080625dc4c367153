//! A step of the training loop in three parts: the batch is made ready, the passes run, and the step is completed with
//! their gradients. The three follow each other where a network is trained alone. Where several are trained side by side,
//! the passes of all of them are one.
use crate::{
    data::{positions::FlatTargets, Batch, Inputs, Rows},
    network::positions::Layout,
    nn::{
        backward, seeded_pass,
        tap::{collect, Collect, Observed},
        Recording,
    },
    plan::{EpochSteps, LrSchedule, Position},
    train::{
        accumulate::{ends_step, weight},
        augment::{MixedBatch, TargetShare},
        epoch_meter::EpochMeter,
        fit::check_output_at,
        monitor::EpochMonitor,
        run::named_element,
        trainer::{
            diagnosis::{check_data, diagnose, Step},
            training::{scalar, spread::Spread, Training},
        },
        Moves, NoiseStep, NoisyWeights, Regularizer, Run,
    },
    weights::{compatibility::is_statistic, finite::first_non_finite},
    Error, Network, Result, Seed,
};
use candle_core::{backprop::GradStore, Result as CandleResult, Tensor, Var};
use std::borrow::Cow;

/// The number of a batch, the numbers of its rows, and the batch.
type NumberedBatch = (usize, (Rows, CandleResult<Batch>));

/// A pass over the training rows that has begun.
pub(in crate::train::trainer) struct EpochPass<'a> {
    pub(in crate::train::trainer) epoch: usize,
    /// The number of the epoch within the training.
    number: usize,
    /// The numbers of batches, and of steps of the optimizer.
    counts: EpochSteps,
    steps: EpochSteps,
    /// The batches that follow, with the numbers of their rows.
    batches: Box<dyn Iterator<Item = NumberedBatch> + 'a>,
    pub(in crate::train::trainer) meter: EpochMeter,
}

impl EpochPass<'_> {
    /// The position of the last batch.
    pub(in crate::train::trainer) fn last(&self) -> Position {
        self.counts.position(self.number, self.counts.of(self.number).saturating_sub(1))
    }
}

/// A step whose batch is ready for the passes. Where gradients are accumulated, a step of the optimizer follows after
/// several of them.
pub(in crate::train::trainer) struct ReadyStep {
    /// The position of the batch.
    pub(in crate::train::trainer) at: Position,
    /// The position of the optimizer's step.
    step: Position,
    /// Whether it follows this batch.
    ends: bool,
    /// The numbers of the batch's rows.
    pub(in crate::train::trainer) rows: Rows,
    batch: Batch,
    /// The batch as the network gets it, with the targets that have the largest share.
    pub(in crate::train::trainer) seen: Batch,
    /// The share of these targets, and the other targets of the rows.
    pub(super) shares: (f64, Vec<TargetShare>),
    /// The positions of the rows by these other targets, where rows have several.
    flat_others: Vec<FlatTargets>,
    /// What the teacher predicts for the rows, in the units that the network is trained in.
    pub(super) teacher: Option<Tensor>,
    /// The seed of the forward pass.
    pub(in crate::train::trainer) draws: Seed,
    /// The positions of the rows, where they have several.
    flat: Option<FlatTargets>,
    /// The rows of each member, where the network holds several.
    spread: Option<Spread>,
    /// What is collected in the forward pass.
    pub(in crate::train::trainer) collect: Collect,
    noise: NoiseStep,
    noisy: NoisyWeights,
}

/// What the passes of a step give.
pub(in crate::train::trainer) struct Passed {
    pub(in crate::train::trainer) output: Tensor,
    /// The loss of the data alone: penalties are trained on, and not recorded.
    pub(in crate::train::trainer) value: f64,
    /// The outputs of the layers, if they are collected.
    pub(in crate::train::trainer) activations: Vec<Observed>,
    pub(in crate::train::trainer) gradients: GradStore,
}

impl ReadyStep {
    /// The numbers of the rows of the output within the data set: those of the batch for each member.
    pub(super) fn output_rows(&self) -> Cow<'_, [u32]> {
        match &self.spread {
            None => Cow::Borrowed(&self.rows),
            Some(spread) => Cow::Owned(spread.numbers(&self.rows)),
        }
    }

    /// Their number.
    fn output_len(&self) -> usize {
        self.spread.as_ref().map_or(self.rows.len(), Spread::len)
    }

    /// The output of the network, with one row for each position where rows have several: those with a class by the
    /// targets of this number, 0 for those of the batch.
    pub(super) fn at_positions(&self, run: &Run<'_>, output: Tensor, targets: usize) -> CandleResult<Tensor> {
        match self.flat.iter().chain(&self.flat_others).nth(targets) {
            None => Ok(output),
            Some(flat) => Layout::flat_output(&output, run.kind_of_targets(), flat),
        }
    }
}

impl<N: Network> Training<'_, N> {
    /// Begins a pass over the training rows.
    pub(in crate::train::trainer) fn begin<'a>(&mut self, run: &Run<'a>, epoch: usize) -> EpochPass<'a> {
        let config = self.config;
        self.first_pass = epoch == self.first_epoch;
        let trained = || self.optimizer.variables().filter(|(name, _)| !self.frozen.contains(name));
        self.monitor_of_epoch = config.monitor.map(|monitor| EpochMonitor::new(monitor, trained()));
        let rows = self.phase.rows(run);
        let (number, epochs) = self.within(epoch);
        let batch_norm = run.vars().has_statistics();
        let counts = EpochSteps::new(&config.batch_size, epochs, rows.len(), config.last_batch, batch_norm);
        let steps = counts.clone().accumulate(config.accumulate);
        let size = config.batch_size.rows_at(number, rows.len());
        let rows = if config.shuffle { run.shuffled(rows, epoch) } else { rows };
        let batches = Box::new(run.training_batches(rows, size, config.last_batch).enumerate());
        EpochPass { epoch, number, counts, steps, batches, meter: EpochMeter::new(run.task()) }
    }

    /// The next step; `None` after the last one. Its learning rate is set, and the weights have noise until it is
    /// completed.
    pub(in crate::train::trainer) fn ready(
        &mut self,
        run: &Run<'_>,
        pass: &mut EpochPass<'_>,
    ) -> Result<Option<ReadyStep>> {
        let Some((number, (rows, batch))) = pass.batches.next() else { return Ok(None) };
        let (at, mut batch) = (pass.counts.position(pass.number, number), batch?);
        let step = pass.steps.position(pass.number, number / self.config.accumulate.max(1));
        if self.first_pass {
            check_data(run, &batch, &rows, &when(at))?;
        }
        let (base, schedule) = (self.config.optimizer.learning_rate(), &self.config.schedule);
        let rate = |base: f64, schedule: &LrSchedule| {
            let prescribed = run.learning_rate(base, step);
            prescribed.unwrap_or_else(|| schedule.rate_in(base, step, &pass.steps))
        };
        let plateau = &self.plateau;
        let reduced = |rate: f64| plateau.as_ref().map_or(rate, |plateau| plateau.rate(rate));
        self.learning_rate = reduced(rate(base, schedule));
        self.rates.clear();
        self.rates.push(self.learning_rate);
        let groups = self.config.parameter_groups.iter();
        self.rates.extend(groups.map(|group| reduced(group.rate_by(base, schedule, rate))));

        let here = NoiseStep::new(self.seeds[0], at).step(pass.counts.before(at.epoch) + at.batch);
        let here = here.loss_scale(self.loss_scale());
        let noise = &self.config.noise;
        let batch_of_run = MixedBatch::from(self.scaled(&batch)?).positions(run.positions());
        let draws = self.seeds[1].nth("step", here.step as u64);
        let spread = self.spread(rows.len(), draws);
        let mut mixed = self.transformed(batch_of_run, at)?;
        if let Some(spread) = &spread {
            mixed = spread.mixed(mixed)?;
            batch = spread.counted(batch)?;
        }
        let MixedBatch { batch: seen, share, mut others, .. } = mixed;
        if self.transforms.is_some() || !self.config.augment.is_empty() {
            // The metric counts against the targets with the largest share.
            batch.targets = self.scalings.unscale_outputs(&seen.targets)?;
        }
        let (seen, flat) = FlatTargets::flattened(seen, run.positions())?;
        let mut flat_others = vec![];
        if flat.is_some() {
            (batch.targets, batch.weights) = (seen.targets.clone(), seen.weights.clone());
            for other in &mut others {
                let flat = FlatTargets::new(&other.targets, other.weights.as_ref(), run.positions())?;
                (other.targets, other.weights) = (flat.targets.clone(), flat.weights.clone());
                flat_others.push(flat);
            }
        }
        let seen = self.class_weighted(seen)?;
        let inputs = noise.perturb_inputs(&seen.inputs, here)?;
        let targets = noise.perturb_targets(&seen.targets, run.task(), here)?;
        for (index, other) in others.iter_mut().enumerate() {
            other.targets = noise.perturb_targets(&other.targets, run.task(), here.of_targets(index))?;
        }
        let (targets, teacher) =
            self.with_soft_targets(run, &batch, (&rows, spread.as_ref()), targets, || when(at))?;
        let activations = self.monitor_of_epoch.as_ref().is_some_and(|monitor| monitor.is_due(step.batch));
        Ok(Some(ReadyStep {
            at,
            step,
            ends: ends_step(at, self.config.accumulate),
            rows,
            batch,
            flat,
            seen: Batch { inputs, targets, ..seen },
            shares: (share, others),
            flat_others,
            teacher,
            draws,
            spread,
            collect: Collect { losses: true, activations },
            // Noise on gradients falls with the steps of the optimizer.
            noise: here.step(pass.steps.before(step.epoch) + step.batch),
            noisy: noise.perturb_weights(&self.trained, here)?,
        }))
    }

    /// Forward and backward pass; of adversarial training those on moved inputs too, whose gradients are mixed with the others.
    pub(in crate::train::trainer) fn pass(&self, run: &Run<'_>, step: &ReadyStep) -> Result<Passed> {
        let Some(moves) = &self.moves else { return self.pass_on(run, step, &step.seen.inputs) };
        let inputs = Moves::tracked(&step.seen.inputs)?;
        let mut passed = self.pass_on(run, step, &inputs.as_tensor().clone().into())?;
        let again = |inputs: &Var| Ok(self.pass_on(run, step, &inputs.as_tensor().clone().into())?.gradients);
        let moved = moves.moved(&inputs, &passed.gradients, step.draws.child("adversarial"), again)?;
        let others = self.pass_on(run, step, &moved)?.gradients;
        moves.mix(&mut passed.gradients, &others, &self.trained)?;
        Ok(passed)
    }

    /// Forward and backward pass on these inputs.
    fn pass_on(&self, run: &Run<'_>, step: &ReadyStep, inputs: &Inputs) -> Result<Passed> {
        let _recording = Recording::begin();
        let forward = || self.network().run(inputs, true);
        let (output, collected) = collect(step.collect, || seeded_pass(step.draws, forward));
        let output = self.fused(output?)?;
        self.check_pass(run, step, &output)?;
        let of_rows = output;
        let output = step.at_positions(run, of_rows.clone(), 0)?;
        let mut loss = self.loss_of_step(run, (&of_rows, &output), step)?;
        let value = scalar(&loss)?;
        self.check_value(run, step, &output, value)?;
        for penalty in [collected.loss()?, self.penalty(run, &output, step)?].into_iter().flatten() {
            loss = (&loss + penalty.to_dtype(loss.dtype())?)?;
        }
        if let Some(scaling) = &self.loss_scaling {
            loss = scaling.scale(&loss)?;
        }
        Ok(Passed { output, value, activations: collected.activations, gradients: backward(&loss)? })
    }

    /// The batch after the transforms of the training.
    fn transformed(&self, mut mixed: MixedBatch, at: Position) -> Result<MixedBatch> {
        let Self { config, transforms, seeds: [_, _, seed], .. } = self;
        if transforms.is_none() && config.augment.is_empty() {
            return Ok(mixed);
        }
        let seed = seed.nth("epoch", at.epoch as u64).nth("batch", at.batch as u64);
        if let Some(own) = transforms {
            mixed.batch = own.apply(mixed.batch, seed)?;
            if self.first_pass {
                own.check_finite(&mixed.batch)?;
            }
        }
        config.augment.apply(mixed, seed)
    }

    /// Checks the output of a forward pass: its shape, and in the first epoch whether the loss is defined for it.
    pub(in crate::train::trainer) fn check_pass(
        &self,
        run: &Run<'_>,
        step: &ReadyStep,
        output: &Tensor,
    ) -> Result<()> {
        check_output_at(output, run.kind_of_targets(), step.output_len(), self.kind)?;
        match self.first_pass {
            // Class ids and logits of positions are valid for every loss that fits them.
            true if step.flat.is_none() => self.check_fit(run, output, step),
            _ => Ok(()),
        }
    }

    /// Checks that the loss is finite.
    pub(in crate::train::trainer) fn check_value(
        &self,
        run: &Run<'_>,
        step: &ReadyStep,
        output: &Tensor,
        value: f64,
    ) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        // The rows of a batch in their own order are those of the data set.
        let read = step.spread.as_ref().map(|_| run.batch(&step.rows)).transpose()?;
        let output_rows = &step.output_rows();
        let ReadyStep { at, step, batch, rows, .. } = step;
        let (trained, custom) = (has_trained(*step), self.config.custom_loss.as_deref());
        let batch = read.as_ref().unwrap_or(batch);
        let step = Step { run, when: &when(*at), batch, rows, output, output_rows, loss: value, custom };
        let (what, value) = diagnose(&step, trained)?;
        Err(self.diverged(run, *at, what, value))
    }

    /// Completes a step with what its passes gave. The gradients may be those of other variables too.
    pub(in crate::train::trainer) fn complete(
        &mut self,
        run: &Run<'_>,
        pass: &mut EpochPass<'_>,
        step: ReadyStep,
        (output, value, activations): (&Tensor, f64, &[Observed]),
        gradients: &mut GradStore,
    ) -> Result<()> {
        let ReadyStep { at, step, ends, batch, seen, noise, noisy, collect, .. } = step;
        if let Some(monitor) = self.monitor_of_epoch.as_mut().filter(|_| collect.activations) {
            monitor.add_outputs(activations)?;
        }
        noisy.restore()?;
        self.frozen.remove_from(gradients);
        self.check_gradients(run, gradients, (at, step))?;
        let (output, batch) = self.counted(output, batch)?;
        pass.meter.add(value, &self.unscaled(&output)?, &batch)?;
        let mut loss = value;
        if self.config.accumulate > 1 {
            self.accumulated.add(&self.trained, gradients, (value, weight(&seen)?))?;
            if !ends {
                return Ok(());
            }
            loss = self.accumulated.take(&self.trained, gradients)?;
        }
        self.add_penalties(gradients)?;
        self.config.noise.perturb_gradients(gradients, &self.trained, noise)?;
        self.update(run, gradients, step)?;
        run.end_step(self.learning_rate, loss)
    }

    /// Clips the gradients and updates the weights, and whatever follows the weights.
    fn update(&mut self, run: &Run<'_>, gradients: &GradStore, at: Position) -> Result<()> {
        let due = self.monitor_of_epoch.as_ref().filter(|monitor| monitor.is_due(at.batch));
        let before = due.map(|monitor| monitor.before_step(gradients, self.loss_scale())).transpose()?;
        let (rates, clip) = (&*self.rates, &self.config.clip);
        match &mut self.loss_scaling {
            None => self.optimizer.step_by(gradients, rates, clip)?,
            Some(scaling) => {
                if !self.optimizer.step_scaled_by(gradients, rates, clip, scaling)? {
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

    /// Adds the gradients of the penalties on weights, which are scaled as the loss is.
    fn add_penalties(&mut self, gradients: &mut GradStore) -> Result<()> {
        if let (Some(scaling), false) = (&self.loss_scaling, self.penalties.is_empty()) {
            let scaled = |penalty: &Regularizer| penalty.times(scaling.factor());
            self.penalties = self.config.regularizers.iter().map(scaled).collect();
        }
        self.penalties.add_to(&self.trained, gradients).map(drop)
    }

    /// Checks in the first step that the loss reaches every trainable variable, unless frozen variables are
    /// allowed. Before anything has been trained, gradients that are not finite are the network's fault.
    fn check_gradients(
        &mut self,
        run: &Run<'_>,
        gradients: &GradStore,
        (at, step): (Position, Position),
    ) -> Result<()> {
        if self.gradients_checked {
            return Ok(());
        }
        self.gradients_checked = true;
        let (trained, names) = variables_by_gradient(&self.trained, gradients);
        if !names.is_empty() && !self.config.allow_frozen {
            return Err(Error::NoGradient { run: run.spec().id, names, trained });
        }
        // A dynamic scale of the loss may be too large at first. It then falls, and the step is skipped.
        if has_trained(step) || self.loss_scaling.is_some_and(|scaling| scaling.is_dynamic()) {
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
}

/// Whether steps of the optimizer came before this one.
fn has_trained(step: Position) -> bool {
    step.epoch + step.batch > 0
}

/// The words for the time of a step.
fn when(at: Position) -> String {
    format!("in epoch {}, batch {}", at.epoch, at.batch)
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
