//! Members at the troughs of a cyclic cosine learning rate.
use super::CollectMembers;
use crate::{
    plan::{collect::cosine, Position, Unit},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// Snapshot ensembles: one run, whose learning rate falls from the optimizer's to 0 along a cosine and starts again,
/// `M` times; at the end of each cycle the network is a member.
///
/// The rate is `α(t) = α₀/2·(cos(π·t/L) + 1)`, with `t` the steps since the cycle began and `L` its length, stepped
/// per iteration (the paper) or per epoch. A cycle is `⌊T/M⌋` of the run's `T` epochs; what remains goes to the
/// last, whose cosine is as much longer. (Where `M` divides `T`, that is the paper's
/// `α₀/2·(cos(π·((t−1) mod ⌈T/M⌉)/⌈T/M⌉) + 1)`, `t` from 1. The paper's cycles may end within an epoch and its last
/// may be cut short; here every cycle ends at its trough. For the formula to the letter, whatever `M` and `T`, give the
/// trainer [`Schedule::WarmRestarts`](crate::plan::Schedule::WarmRestarts) and take the members you want with
/// [`Horizontal`](crate::plan::Horizontal).)
///
/// Choose it when one training is all you can afford. Early snapshots are weak: [`Snapshot::keep`] the last few.
/// Cost: the epochs of one network. On its own it is a builder of one run; within any other strategy it says when
/// that strategy's runs yield members.
///
/// Source: Huang et al. 2017, arXiv:1704.00109; Loshchilov and Hutter 2017, arXiv:1608.03983.
///
/// ```
/// use candle_ensemble::{plan::{Snapshot, Unit}, strategy::Bagging};
///
/// let five_of_ten = Snapshot::new(10).keep(5).per(Unit::Epoch);
/// let in_each_bootstrap_run = Bagging::new(5).collect(Snapshot::new(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    cycles: usize,
    keep: usize,
    unit: Unit,
}

impl Snapshot {
    /// So many cycles, each of which yields a member; stepped per iteration.
    #[must_use]
    pub fn new(cycles: usize) -> Self {
        Self { cycles, keep: cycles, unit: Unit::Iteration }
    }

    /// Takes the last so many cycles' members only.
    #[must_use]
    pub fn keep(mut self, last: usize) -> Self {
        self.keep = last;
        self
    }

    /// Steps the rate per iteration or per epoch.
    #[must_use]
    pub fn per(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The cycle that an epoch is in, its first epoch, and its length in epochs.
    fn cycle(self, epoch: usize, epochs: usize) -> (usize, usize, usize) {
        let (cycles, length) = (self.cycles.max(1), (epochs / self.cycles.max(1)).max(1));
        let cycle = (epoch / length).min(cycles - 1);
        let first = cycle * length;
        let length = if cycle + 1 == cycles { epochs - first } else { length };
        (cycle, first, length)
    }
}

impl CollectMembers for Snapshot {
    const NAME: &'static str = "snapshot";

    fn due(&self, epoch: usize, epochs: usize) -> Option<usize> {
        let (cycle, first, length) = self.cycle(epoch, epochs);
        let skipped = self.cycles.saturating_sub(self.keep);
        (epoch + 1 == first + length && cycle >= skipped).then(|| cycle - skipped)
    }

    fn rate(&self, base: f64, at: Position) -> Option<f64> {
        let (_, first, length) = self.cycle(at.epoch, at.epochs);
        let epoch = (at.epoch - first) as f64;
        Some(match self.unit {
            Unit::Epoch => base * cosine(epoch, length as f64),
            Unit::Iteration => {
                let batches = at.batches_per_epoch as f64;
                base * cosine(epoch * batches + at.batch as f64, length as f64 * batches)
            }
        })
    }

    fn replaces_schedule(&self) -> bool {
        true
    }

    fn check(&self, epochs: usize) -> Result<()> {
        if self.cycles == 0 || self.cycles > epochs {
            return Err(Error::invalid("cycles", format!("1 to {epochs}, the epochs of a run"), self.cycles));
        }
        if self.keep == 0 || self.keep > self.cycles {
            return Err(Error::invalid("keep", format!("1 to {}, the cycles", self.cycles), self.keep));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Collect;
    use std::f64::consts::PI;

    fn positions(epochs: usize, batches_per_epoch: usize) -> impl Iterator<Item = Position> {
        (0..epochs).flat_map(move |epoch| {
            (0..batches_per_epoch).map(move |batch| Position { epoch, batch, epochs, batches_per_epoch })
        })
    }

    #[test]
    fn is_the_papers_formula_at_every_iteration() {
        let (epochs, batches, cycles) = (30, 7, 6);
        let length = (epochs * batches / cycles) as f64; // ⌈T/M⌉
        for (i, at) in positions(epochs, batches).enumerate() {
            let t = i as f64 + 1.;
            let paper = 0.1 / 2. * ((PI * ((t - 1.) % length) / length).cos() + 1.);
            assert!((Snapshot::new(cycles).rate(0.1, at).unwrap() - paper).abs() < 1e-12, "{i}");
        }
    }

    #[test]
    fn is_the_per_epoch_form_with_its_restarts() {
        for at in positions(500, 4) {
            let e = at.epoch as f64;
            let form = 0.01 / 2. * ((PI * (e % 50.) / 50.).cos() + 1.);
            assert!((Snapshot::new(10).per(Unit::Epoch).rate(0.01, at).unwrap() - form).abs() < 1e-12);
        }
        let due = |e: usize| Snapshot::new(10).due(e, 500);
        assert!((0..500).all(|e| due(e).is_some() == ((e + 1) % 50 == 0)));
        assert_eq!((due(49), due(499)), (Some(0), Some(9)));
    }

    #[test]
    fn remainder_epochs_go_to_the_last_cycle() {
        let t = Snapshot::new(3).per(Unit::Epoch);
        let due: Vec<usize> = (0..11).filter(|e| t.due(*e, 11).is_some()).collect();
        assert_eq!(due, [2, 5, 10]);
        let at = |epoch| Position { epoch, batch: 0, epochs: 11, batches_per_epoch: 1 };
        for k in 0..5 {
            let form = 0.5 * ((PI * k as f64 / 5.).cos() + 1.);
            assert!((t.rate(1., at(6 + k)).unwrap() - form).abs() < 1e-12);
        }
    }

    #[test]
    fn keeps_the_last_cycles() {
        let t = Snapshot::new(5).keep(2);
        let due: Vec<_> = (0..10).filter_map(|e| t.due(e, 10).map(|i| (e, i))).collect();
        assert_eq!(due, [(7, 0), (9, 1)]);
        assert_eq!(Collect::from(t).members(10), 2);
    }

    #[test]
    fn bad_parameters_are_named() {
        assert!(Snapshot::new(0).check(5).unwrap_err().to_string().contains("cycles"));
        assert!(Snapshot::new(6).check(5).unwrap_err().to_string().contains("cycles"));
        assert!(Snapshot::new(3).keep(4).check(5).unwrap_err().to_string().contains("keep"));
        assert!(Snapshot::new(3).keep(0).check(5).unwrap_err().to_string().contains("keep"));
    }
}
