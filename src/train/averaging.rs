//! Averages of the networks of one run, as a setting of the ready-made trainer.
use crate::{
    plan::{RunSpec, Span},
    registry::{Argument, Entry, Registry},
    weights::{average, Ema, Swa, Vars, WarmUp, Weights},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The average of a run's networks that becomes the run's member, in place of the last network.
///
/// ```text
/// Swa:  w̄ = (w₁ + … + wₙ) / n          over the networks at the ends of n epochs
/// Ema:  w̄ ← d · w̄ + (1 − d) · w        after each step of the optimizer, with decay d
/// ```
///
/// The average does not affect the training. The learning curve, with its validation figures, is that of the
/// network in training. Checkpoints include the average. Batch-norm statistics (variables called
/// `….running_mean` and `….running_var`) are measured at the end in one pass over the run's training rows;
/// see [`re_estimate`](crate::merge::re_estimate()).
///
/// Use it when one network has to generalize better than the last network of its run, at no cost in
/// prediction. Use [`Swa`](Averaging::Swa) with a learning rate that stays high or is cyclic to the end
/// ([`SwaRate`](crate::plan::SwaRate)): with a rate that falls to 0 there is little left to average. It
/// cannot be combined with early stopping, or with members that are collected within a run. To keep
/// several networks and average some of them later, collect them with
/// [`Horizontal`](crate::plan::Horizontal) and merge them.
///
/// Cost: memory for one more network, and one addition to it for each network averaged: each epoch (SWA) or
/// each step (EMA).
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range or no epoch of the
/// run is averaged.
///
/// # Sources
/// SWA: Izmailov et al. 2018, arXiv:1803.05407. EMA: Tarvainen and Valpola 2017, arXiv:1703.01780.
///
/// ```
/// use candle_ensemble::{plan::{Schedule, Span, SwaRate, Unit}, train::{Averaging, Trainer}};
///
/// // Average the last quarter of the epochs, at half the base learning rate, which is reached in 5 epochs.
/// let average = Averaging::swa(Span::Share(0.75));
/// let rate = SwaRate::Constant { to: 0.5, over: 5, cosine: true };
/// let schedule = Schedule::Constant.then_swa(Span::Share(0.75), rate).per(Unit::Epoch);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).averaging(average).schedule(schedule);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Averaging {
    /// Stochastic weight averaging: the mean of the networks at the end of every `every`-th epoch after
    /// `start`. With a cyclic learning rate ([`SwaRate::Cycle`](crate::plan::SwaRate::Cycle)) counted in
    /// epochs, set `every` to the length of a cycle, so that the networks are those at the lowest rate. See
    /// [`Swa`].
    Swa {
        /// Epochs before the averaging begins.
        start: Span,
        /// Epochs from one averaged network to the next, at least 1.
        every: usize,
    },
    /// An exponential moving average, updated after each step of the optimizer. See [`Ema`].
    Ema {
        /// The decay `d`, from 0 to less than 1.
        decay: f64,
        /// How the decay rises to its value. With `None` it has its value from the start.
        warm_up: Option<WarmUp>,
    },
}

impl Averaging {
    /// [`Averaging::Swa`] over every epoch after `start`.
    #[must_use]
    pub fn swa(start: Span) -> Self {
        Self::Swa { start, every: 1 }
    }

    /// [`Averaging::Ema`] without warm-up.
    #[must_use]
    pub fn ema(decay: f64) -> Self {
        Self::Ema { decay, warm_up: None }
    }

    /// The arguments of `swa` in text.
    pub(crate) const SWA: &'static [Argument] = &[
        Argument::new("start", "0.75", "Share of the run before the averaging begins"),
        Argument::new("every", "1", "Epochs from one averaged network to the next"),
    ];

    /// The arguments of `ema` in text.
    pub(crate) const EMA: &'static [Argument] = &[
        Argument::new("decay", "0.999", "The decay for each step"),
        Argument::new("warm-up", "true", "Whether the decay rises to its value, as in a short run it has to"),
    ];

    /// The averages by name. The trainer reads such a text from a run's setting `"averaging"`.
    ///
    /// ```
    /// use candle_ensemble::{plan::Span, train::Averaging};
    ///
    /// assert_eq!(Averaging::registry().parse("swa:0.5")?, Averaging::swa(Span::Share(0.5)));
    /// assert_eq!(Averaging::registry().parse("ema:0.99:false")?, Averaging::ema(0.99));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Averaging>> = LazyLock::new(|| {
            let swa = Entry::new(
                "swa",
                "Averaging::Swa",
                "The mean over epochs at the end of a run",
                |arguments| {
                    let start = Span::Share(arguments.get("start")?);
                    Ok(Averaging::Swa { start, every: arguments.get("every")? })
                },
            );
            let ema = Entry::new(
                "ema",
                "Averaging::Ema",
                "The exponential moving average over steps",
                |arguments| {
                    let warm_up = arguments.get::<bool>("warm-up")?.then(WarmUp::default);
                    Ok(Averaging::Ema { decay: arguments.get("decay")?, warm_up })
                },
            );
            Registry::new(
                "average",
                vec![swa.with_arguments(Averaging::SWA), ema.with_arguments(Averaging::EMA)],
            )
        });
        &REGISTRY
    }

    /// The text from which [`registry`](Self::registry) makes this average: if it starts after a share of the run,
    /// and has no warm-up or the default one.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Swa { start: Span::Share(share), every } => Some(format!("swa:{share}:{every}")),
            Self::Ema { decay, warm_up: None } => Some(format!("ema:{decay}:false")),
            Self::Ema { decay, warm_up: Some(warm_up) } if *warm_up == WarmUp::default() => {
                Some(format!("ema:{decay}:true"))
            }
            _ => None,
        }
    }

    /// The average of networks that were collected within one run, oldest first: their mean for SWA; for EMA a
    /// mean whose weights fall by the decay from each network to the one before it.
    pub(crate) fn of(&self, networks: &[&Weights]) -> Result<Weights> {
        let decay = match self {
            Self::Swa { .. } => 1.,
            Self::Ema { decay, .. } => *decay,
        };
        let newest = networks.len().saturating_sub(1) as i32;
        let weights: Vec<f64> = (0..=newest).map(|i| decay.powi(newest - i)).collect();
        average(networks, &weights)
    }

    /// Checks the parameters for a run of `epochs` epochs.
    pub(crate) fn check(&self, epochs: usize, run: &RunSpec) -> Result<()> {
        if !run.collect.at_end() {
            let must = "off where members are collected within a run, because the average is the only member";
            return Err(Error::invalid("averaging", must, "on"));
        }
        match *self {
            Self::Swa { every: 0, .. } => Err(Error::invalid("Averaging::Swa::every", "at least 1 epoch", 0)),
            Self::Swa { start, every } => {
                start.check("Averaging::Swa::start")?;
                match (0..epochs).any(|epoch| is_due(start, every, epoch, epochs)) {
                    true => Ok(()),
                    false => {
                        let must = format!("early enough to average at least one of the {epochs} epochs");
                        Err(Error::invalid(
                            "Averaging::Swa::start",
                            must,
                            format!("{start:?}, every {every}"),
                        ))
                    }
                }
            }
            Self::Ema { .. } => self.new_state().map(drop),
        }
    }

    fn new_state(&self) -> Result<State> {
        Ok(match *self {
            Self::Swa { .. } => State::Swa(Swa::new()),
            Self::Ema { decay, warm_up: None } => State::Ema(Ema::new(decay)?),
            Self::Ema { decay, warm_up: Some(warm_up) } => State::Ema(Ema::new(decay)?.warm_up(warm_up)?),
        })
    }
}

/// Whether the network at the end of an epoch is averaged.
fn is_due(start: Span, every: usize, epoch: usize, epochs: usize) -> bool {
    let done = (epoch + 1).saturating_sub(start.units(epochs));
    done > 0 && done.is_multiple_of(every.max(1))
}

/// The average of the networks so far, within a run.
#[derive(Debug)]
pub(crate) struct RunningAverage {
    averaging: Averaging,
    epochs: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Swa(Swa),
    Ema(Ema),
}

impl RunningAverage {
    /// For a run of `epochs` epochs.
    pub(crate) fn new(averaging: Averaging, epochs: usize) -> Result<Self> {
        Ok(Self { averaging, epochs, state: averaging.new_state()? })
    }

    /// Call it after each step of the optimizer.
    pub(crate) fn after_step(&mut self, vars: &Vars) -> Result<()> {
        match &mut self.state {
            State::Ema(ema) => ema.push(vars),
            State::Swa(_) => Ok(()),
        }
    }

    /// Call it after each epoch.
    pub(crate) fn after_epoch(&mut self, epoch: usize, vars: &Vars) -> Result<()> {
        match (&mut self.state, self.averaging) {
            (State::Swa(swa), Averaging::Swa { start, every })
                if is_due(start, every, epoch, self.epochs) =>
            {
                swa.push(vars)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn weights(&self) -> Result<Weights> {
        match &self.state {
            State::Swa(swa) => swa.weights(),
            State::Ema(ema) => ema.weights(),
        }
    }

    pub(crate) fn save(&self) -> Result<Vec<u8>> {
        match &self.state {
            State::Swa(swa) => swa.save(),
            State::Ema(ema) => ema.save(),
        }
    }

    /// The average that [`RunningAverage::save`] wrote; `self` is a new one with the same setting.
    pub(crate) fn restore(self, bytes: &[u8]) -> Result<Self> {
        let state = match self.state {
            State::Swa(_) => State::Swa(Swa::restore(bytes)?),
            State::Ema(ema) => State::Ema(ema.restore(bytes)?),
        };
        Ok(Self { state, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Horizontal, Seed};

    fn due(start: Span, every: usize, epochs: usize) -> Vec<usize> {
        (0..epochs).filter(|epoch| is_due(start, every, *epoch, epochs)).collect()
    }

    #[test]
    fn a_text_makes_the_average_that_it_describes() {
        let warm = Averaging::Ema { decay: 0.99, warm_up: Some(WarmUp::default()) };
        for averaging in [
            Averaging::swa(Span::Share(0.6)),
            Averaging::Swa { start: Span::Share(0.5), every: 3 },
            Averaging::ema(0.9),
            warm,
        ] {
            let text = averaging.text().unwrap();
            assert_eq!(Averaging::registry().parse(&text).unwrap(), averaging, "{text}");
        }
        assert_eq!(Averaging::swa(Span::Units(3)).text(), None);
    }

    #[test]
    fn averaging_begins_after_start() {
        assert_eq!(due(Span::Share(0.75), 1, 8), [6, 7]);
        assert_eq!(due(Span::Units(3), 2, 8), [4, 6]);
        assert_eq!(due(Span::Units(0), 1, 3), [0, 1, 2]);
        assert!(due(Span::Units(8), 1, 8).is_empty());
    }

    #[test]
    fn invalid_settings_are_errors() {
        let mut run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
        assert!(Averaging::swa(Span::Units(9)).check(10, &run).is_ok());
        for (averaging, name) in [
            (Averaging::swa(Span::Units(10)), "Swa::start"),
            (Averaging::swa(Span::Share(1.)), "Swa::start"),
            (Averaging::Swa { start: Span::Units(8), every: 3 }, "Swa::start"),
            (Averaging::Swa { start: Span::Units(0), every: 0 }, "Swa::every"),
            (Averaging::ema(1.), "the decay"),
            (Averaging::ema(f64::NAN), "the decay"),
            (Averaging::Ema { decay: 0.9, warm_up: Some(WarmUp { gamma: 0., power: 1. }) }, "WarmUp::gamma"),
        ] {
            let e = averaging.check(10, &run).unwrap_err().to_string();
            assert!(e.contains(name), "{e}");
        }
        run.collect = Horizontal::last(2).into();
        assert!(Averaging::ema(0.9).check(10, &run).unwrap_err().to_string().contains("averaging"));
    }
}
