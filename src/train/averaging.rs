//! Averages of the networks that a run passes through, as a setting of the ready-made trainer.
use crate::{
    plan::{RunSpec, Span},
    weights::{Ema, Swa, Vars, WarmUp, Weights},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// Which average of the networks that a run passes through is its member, in place of the last of them.
///
/// Training itself goes on as without it, and so does the learning curve, validation included: it is that of the
/// network in training. The average is part of the run's checkpoints. Batch-norm's running statistics (variables called
/// `….running_mean` and `….running_var`) are measured at the end, by one pass over the run's training rows; see
/// [`re_estimate`](crate::merge::network::re_estimate::re_estimate()).
///
/// ```
/// use candle_ensemble::{plan::{Schedule, Span, SwaRate}, train::{Averaging, Trainer}};
///
/// // The last quarter's epochs, at a constant rate of half the base rate that is reached in 5 epochs.
/// let swa = Averaging::swa(Span::Share(0.75));
/// let rate = SwaRate::Constant { to: 0.5, over: 5, cosine: true };
/// let schedule = Schedule::Constant.then_swa(Span::Share(0.75), rate).per(candle_ensemble::plan::Unit::Epoch);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).averaging(swa).schedule(schedule);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Averaging {
    /// Stochastic weight averaging: the mean of the networks at the end of every so many epochs, counted from
    /// `start`. With a cyclic rate ([`SwaRate::Cycle`](crate::plan::SwaRate::Cycle)) counted in epochs, `every` is a cycle's
    /// length, so that networks are taken where the rate is lowest. See [`Swa`].
    Swa {
        /// Epochs before the averaging begins.
        start: Span,
        /// Epochs from one network to the next, at least 1.
        every: usize,
    },
    /// An exponential moving average, moved after each step of the optimizer. See [`Ema`].
    Ema {
        /// The decay, from 0 to less than 1.
        decay: f64,
        /// How the decay grows to its value; it is there from the start, if `None`.
        warm_up: Option<WarmUp>,
    },
}

impl Averaging {
    /// [`Averaging::Swa`] of each epoch from `start` on.
    #[must_use]
    pub fn swa(start: Span) -> Self {
        Self::Swa { start, every: 1 }
    }

    /// [`Averaging::Ema`] without warm-up.
    #[must_use]
    pub fn ema(decay: f64) -> Self {
        Self::Ema { decay, warm_up: None }
    }

    /// Checks the parameters for a run of `epochs` epochs.
    pub(crate) fn check(&self, epochs: usize, run: &RunSpec) -> Result<()> {
        if !run.collect.at_end() {
            let must = "off where members are taken within a run: the average is the run's one member";
            return Err(Error::invalid("averaging", must, "on"));
        }
        match *self {
            Self::Swa { every: 0, .. } => Err(Error::invalid("Averaging::Swa::every", "at least 1 epoch", 0)),
            Self::Swa { start, every } => {
                start.check("Averaging::Swa::start")?;
                match (0..epochs).any(|epoch| is_due(start, every, epoch, epochs)) {
                    true => Ok(()),
                    false => {
                        let must = format!("so early that an epoch of the run's {epochs} is averaged");
                        Err(Error::invalid(
                            "Averaging::Swa::start",
                            must,
                            format!("{start:?}, every {every}"),
                        ))
                    }
                }
            }
            Self::Ema { .. } => self.begin().map(drop),
        }
    }

    fn begin(&self) -> Result<State> {
        Ok(match *self {
            Self::Swa { .. } => State::Swa(Swa::new()),
            Self::Ema { decay, warm_up: None } => State::Ema(Ema::new(decay)?),
            Self::Ema { decay, warm_up: Some(warm_up) } => State::Ema(Ema::new(decay)?.warm_up(warm_up)?),
        })
    }
}

fn is_due(start: Span, every: usize, epoch: usize, epochs: usize) -> bool {
    let start = start.units(epochs as u64);
    let (done, every) = ((epoch as u64 + 1).saturating_sub(start), (every.max(1)) as u64);
    done > 0 && done.is_multiple_of(every)
}

/// An average on its way.
#[derive(Debug)]
pub(crate) struct Averager {
    rule: Averaging,
    epochs: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Swa(Swa),
    Ema(Ema),
}

impl Averager {
    /// For a run of `epochs` epochs.
    pub(crate) fn new(rule: Averaging, epochs: usize) -> Result<Self> {
        Ok(Self { rule, epochs, state: rule.begin()? })
    }

    /// To be called after each step of the optimizer.
    pub(crate) fn step_ended(&mut self, vars: &Vars) -> Result<()> {
        match &mut self.state {
            State::Ema(ema) => ema.push(vars),
            State::Swa(_) => Ok(()),
        }
    }

    /// To be called after each epoch.
    pub(crate) fn epoch_ended(&mut self, epoch: usize, vars: &Vars) -> Result<()> {
        match (&mut self.state, self.rule) {
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
    fn epochs_are_averaged_from_the_start_on() {
        assert_eq!(due(Span::Share(0.75), 1, 8), [6, 7]);
        assert_eq!(due(Span::Units(3), 2, 8), [4, 6]);
        assert_eq!(due(Span::Units(0), 1, 3), [0, 1, 2]);
        assert!(due(Span::Units(8), 1, 8).is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
        assert!(Averaging::swa(Span::Units(9)).check(10, &run).is_ok());
        for (rule, name) in [
            (Averaging::swa(Span::Units(10)), "Swa::start"),
            (Averaging::swa(Span::Share(1.)), "Swa::start"),
            (Averaging::Swa { start: Span::Units(8), every: 3 }, "Swa::start"),
            (Averaging::Swa { start: Span::Units(0), every: 0 }, "Swa::every"),
            (Averaging::ema(1.), "the decay"),
            (Averaging::ema(f64::NAN), "the decay"),
            (Averaging::Ema { decay: 0.9, warm_up: Some(WarmUp { gamma: 0., power: 1. }) }, "WarmUp::gamma"),
        ] {
            let e = rule.check(10, &run).unwrap_err().to_string();
            assert!(e.contains(name), "{e}");
        }
        run.collect = Horizontal::last(2).into();
        assert!(Averaging::ema(0.9).check(10, &run).unwrap_err().to_string().contains("averaging"));
    }
}
