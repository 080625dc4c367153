//! Members at the minima of a cyclic cosine learning rate.
use crate::{
    plan::{
        collect::{cosine, CollectMembers},
        Position, Unit,
    },
    registry::{Argument, Entry},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// Collects the network at the end of each cycle of a cyclic cosine learning rate (snapshot ensembles).
///
/// ```text
/// α(t) = α₀ / 2 · (cos(π · t / L) + 1)      t steps since the cycle began, of L
/// ```
///
/// In each of `M` cycles the learning rate falls from that of the optimizer, `α₀`, to 0. It changes at every
/// step (as in the paper) or at every epoch. A cycle has `⌊T/M⌋` of the run's `T` epochs; the last cycle also
/// has the remaining epochs.
///
/// On its own it is a strategy with one run. In the setter `collect` of another strategy it applies to each
/// run of that strategy.
///
/// Use it when there is time for one training only. Each restart leads to a different minimum, so the members
/// differ more than those of [`Horizontal`](crate::plan::Horizontal), and less than independent networks. The
/// members of the first cycles are weak: [`Snapshot::keep`] the last few. Do not use it with few epochs per
/// cycle.
///
/// Cost: the epochs of one network; prediction costs one forward pass per member.
///
/// # Schedules
/// The rule sets the learning rate of every step. A trainer with a schedule of its own
/// ([`Trainer::schedule`](crate::train::Trainer::schedule)) is therefore an error.
///
/// If `M` divides `T`, the rate is that of the paper, `α₀/2·(cos(π·((t−1) mod ⌈T/M⌉)/⌈T/M⌉) + 1)` with `t`
/// from 1. Otherwise a cycle of the paper may end within an epoch, and its last cycle may be cut short,
/// whereas here every cycle ends at its minimum. For the paper's formula with any `M` and `T`, set
/// [`Schedule::WarmRestarts`](crate::plan::Schedule::WarmRestarts) and collect members with
/// [`Horizontal`](crate::plan::Horizontal).
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if there are more cycles than epochs, if more
/// members are kept than there are cycles, or if the trainer has a schedule.
///
/// # Sources
/// Huang et al. 2017, arXiv:1704.00109; Loshchilov and Hutter 2017, arXiv:1608.03983.
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
    /// A number of cycles. Each gives a member, and the learning rate changes at every step.
    #[must_use]
    pub fn new(cycles: usize) -> Self {
        Self { cycles, keep: cycles, unit: Unit::Iteration }
    }

    /// Sets how many members are kept: those of the last cycles. The default is to keep the members of all
    /// cycles.
    #[must_use]
    pub fn keep(mut self, last: usize) -> Self {
        self.keep = last;
        self
    }

    /// Sets whether the learning rate changes at every step (the default) or at every epoch.
    #[must_use]
    pub fn per(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The number of the cycle of an epoch, the first epoch of that cycle, and its length in epochs.
    fn cycle(self, epoch: usize, epochs: usize) -> (usize, usize, usize) {
        let (cycles, length) = (self.cycles.max(1), (epochs / self.cycles.max(1)).max(1));
        let cycle = (epoch / length).min(cycles - 1);
        let first = cycle * length;
        let length = if cycle + 1 == cycles { epochs - first } else { length };
        (cycle, first, length)
    }
}

impl CollectMembers for Snapshot {
    const ENTRY: Entry<Self> = Entry::new(
        "snapshot",
        "Snapshot",
        "Networks of one run, at the end of each cosine cycle",
        |arguments| {
            let units = [("iteration", Unit::Iteration), ("epoch", Unit::Epoch)];
            let mut snapshot = Self::new(arguments.get("cycles")?);
            if let Some(last) = arguments.optional("keep")? {
                snapshot = snapshot.keep(last);
            }
            if let Some(unit) = arguments.choice("per", &units)? {
                snapshot = snapshot.per(unit);
            }
            Ok(snapshot)
        },
    )
    .with_arguments(&[
        Argument::new("cycles", "5", "Cycles of the learning rate"),
        Argument::optional("keep", "Keeps the members of the last so many cycles only"),
        Argument::new("per", "iteration", "What steps the learning rate: iteration or epoch"),
    ])
    .with_source("Huang et al. 2017, arXiv:1704.00109");

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
            return Err(Error::invalid(
                "cycles",
                format!("from 1 to {epochs}, the epochs of a run"),
                self.cycles,
            ));
        }
        if self.keep == 0 || self.keep > self.cycles {
            return Err(Error::invalid(
                "keep",
                format!("from 1 to {}, the number of cycles", self.cycles),
                self.keep,
            ));
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
    fn the_rate_is_the_papers_formula_at_every_step() {
        let (epochs, batches, cycles) = (30, 7, 6);
        let length = (epochs * batches / cycles) as f64; // ⌈T/M⌉
        for (i, at) in positions(epochs, batches).enumerate() {
            let t = i as f64 + 1.;
            let paper = 0.1 / 2. * ((PI * ((t - 1.) % length) / length).cos() + 1.);
            assert!((Snapshot::new(cycles).rate(0.1, at).unwrap() - paper).abs() < 1e-12, "{i}");
        }
    }

    #[test]
    fn the_rate_per_epoch_restarts_with_each_cycle() {
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
    fn the_last_cycle_has_the_remaining_epochs() {
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
    fn keep_collects_the_members_of_the_last_cycles() {
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
