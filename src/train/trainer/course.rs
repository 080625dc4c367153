//! The course of a training: one epoch after the other, step by step.
use crate::{
    nn::{
        frozen::{untracked, with_frozen_statistics},
        tap::Observed,
    },
    plan::RunSpec,
    train::{
        trainer::{
            scaling,
            training::{EpochPass, Passed, ReadyStep},
            TrainConfig, Trainer, Training,
        },
        transfer::Freezing,
        Run,
    },
    weights::{compatibility::is_statistic, fresh, InitScheme},
    Error, Network, Result, Seed,
};
use candle_core::{backprop::GradStore, Tensor};
use std::collections::BTreeSet;

/// A training and where it is. Whoever drives it takes the steps one after the other and completes each.
pub(super) struct Course<'t, 'a, N> {
    trainer: &'t Trainer<N>,
    training: Training<'t, N>,
    epoch: usize,
    /// The pass over the training rows that goes on.
    pass: Option<EpochPass<'a>>,
}

impl<'t, 'a, N: Network> Course<'t, 'a, N> {
    /// The training of a network at its beginning, or at the last checkpoint of the run.
    pub(super) fn start(
        trainer: &'t Trainer<N>,
        config: &'t TrainConfig,
        network: &'t N,
        run: &mut Run<'a>,
    ) -> Result<Self> {
        let watched = trainer.watched(config)?;
        if let (0, Some(start)) = (run.first_epoch(), trainer.start_of(run.spec())?) {
            start.load_into(run.vars())?;
        }
        if run.first_epoch() == 0 && !trainer.fits.names().is_empty() {
            // The variables of a run that resumes are in its checkpoint.
            scaling::fit(config, run)?;
            trainer.fits.fit(run)?;
        }
        let begin = (0, Freezing::new(config, run.vars())?.and(trainer.fits.variables().cloned()));
        let config = (config, &trainer.custom);
        let training = Training::start(config, network, trainer.networks.output, watched, begin, run)?;
        let training = training.transforms(&trainer.transforms);
        let mut course = Self { trainer, training, epoch: run.first_epoch(), pass: None };
        course.rebuild(run)?;
        Ok(course)
    }

    /// Builds the network once more where variables are frozen, so that no gradient of theirs is computed.
    fn rebuild(&mut self, run: &Run<'a>) -> Result<()> {
        let (networks, frozen) = (&self.trainer.networks, self.training.frozen());
        if frozen.is_empty() {
            return Ok(());
        }
        // Constructors may set variables.
        let weights = run.vars().snapshot()?;
        let vb = untracked(run.vars(), frozen, networks.dtype, run.device());
        let RunSpec { architecture, settings, .. } = run.spec();
        let network = with_frozen_statistics(frozen, || networks.build(architecture, settings, vb))?;
        run.vars().load(&weights)?;
        self.training.set_partly(network);
        Ok(())
    }

    /// The next step, after whatever ends the epoch before it. `None` when the training is over.
    pub(super) fn next_step(&mut self, run: &mut Run<'a>) -> Result<Option<ReadyStep>> {
        loop {
            match self.pass.take() {
                Some(mut pass) => match self.training.ready(run, &mut pass)? {
                    Some(step) => {
                        self.pass = Some(pass);
                        return Ok(Some(step));
                    }
                    None => self.end_epoch(run, pass)?,
                },
                None => {
                    let initial = || self.trainer.initial_weights(run);
                    if !self.training.goes_on(run, self.epoch, initial)? {
                        return Ok(None);
                    }
                    if self.training.freezing_changes() && self.training.freeze(self.epoch, run.vars())? {
                        self.rebuild(run)?;
                    }
                    self.pass = Some(self.training.begin(run, self.epoch));
                }
            }
        }
    }

    fn end_epoch(&mut self, run: &mut Run<'a>, pass: EpochPass<'a>) -> Result<()> {
        let record = self.training.end(run, pass)?;
        self.training.watch(&record, run.vars())?;
        run.end_epoch(record).map_err(|e| run.failed(e))?;
        run.checkpoint_with(|| self.training.state()).map_err(|e| run.failed(e))?;
        self.epoch += 1;
        Ok(())
    }

    /// The passes of a step.
    pub(super) fn pass(&self, run: &Run<'a>, step: &ReadyStep) -> Result<Passed> {
        self.training.pass(run, step)
    }

    /// Completes a step with what its passes gave.
    pub(super) fn complete(
        &mut self,
        run: &Run<'a>,
        step: ReadyStep,
        (output, value, activations): (&Tensor, f64, &[Observed]),
        gradients: &mut GradStore,
    ) -> Result<()> {
        match &mut self.pass {
            Some(pass) => {
                let passed = (output, value, activations);
                self.training.complete(run, pass, step, passed, gradients)
            }
            None => Err(Error::invalid("a step", "one of an epoch that has begun", "another")),
        }
    }

    /// Passes and completes a step.
    pub(super) fn train(&mut self, run: &Run<'a>, step: ReadyStep) -> Result<()> {
        let Passed { output, value, activations, mut gradients } = self.pass(run, &step)?;
        self.complete(run, step, (&output, value, &activations), &mut gradients)
    }

    /// Takes all steps that are left.
    pub(super) fn train_to_end(&mut self, run: &mut Run<'a>) -> Result<()> {
        while let Some(step) = self.next_step(run)? {
            self.train(run, step)?;
        }
        Ok(())
    }

    pub(super) fn training(&self) -> &Training<'t, N> {
        &self.training
    }

    /// Puts the weights of the member into the variables.
    pub(super) fn finish(self, run: &Run<'a>) -> Result<()> {
        let (networks, spec, device) = (&self.trainer.networks, run.spec(), run.device());
        let frozen = self.training.frozen().clone();
        let constructed =
            |vb| with_frozen_statistics(&frozen, || networks.build(&spec.architecture, &spec.settings, vb));
        let build = || {
            let (vars, vb) = fresh(Seed::from(0), InitScheme::AsDeclared, networks.dtype, device);
            Ok((vars, constructed(vb)?))
        };
        // Operations on all weights are tracked, by which the elements of each channel are counted.
        let measured = match self.training.measures_at_end() && frozen.iter().any(|name| is_statistic(name)) {
            true => {
                let weights = run.vars().snapshot()?;
                let network = constructed(untracked(run.vars(), &BTreeSet::new(), networks.dtype, device))?;
                run.vars().load(&weights)?;
                Some(network)
            }
            false => None,
        };
        self.training.finish(run, Some(&build), measured.as_ref())
    }
}
