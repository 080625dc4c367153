//! Members at the minima of a triangular learning rate, after ordinary training.
use crate::{
    plan::{collect::CollectMembers, Position},
    registry::{Argument, Entry},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// Collects the network at each minimum of a triangular learning rate, after a share of ordinary training
/// (fast geometric ensembling).
///
/// ```text
/// α = (1 − 2t) α₁ + 2t α₂           for t ≤ ½
/// α = (2 − 2t) α₂ + (2t − 1) α₁     for t > ½,    t = ((epoch mod c) + i / n) / c
/// ```
///
/// at batch `i` of `n`, from 0.
///
/// After pretraining, the learning rate falls from `α₁` to `α₂` and rises again in cycles of `c` epochs.
/// Epochs are counted from the end of pretraining, and a member is collected after half a cycle, when `epoch
/// mod c + 1 = c / 2`.
///
/// On its own it is a strategy with one run. In the setter `collect` of another strategy it applies to each
/// run of that strategy.
///
/// Use it when there is time for one training only, and short cycles have to give many members. They stay
/// close to each other, along paths of low loss, so their weights can often be averaged; for members that
/// differ more use [`Snapshot`](crate::plan::Snapshot).
///
/// Cost: the epochs of one network; prediction costs one forward pass per member.
///
/// # Schedules
/// The rule sets the learning rate after pretraining. During pretraining the trainer's schedule applies, if
/// it has one ([`Trainer::schedule`](crate::train::Trainer::schedule)). The schedule still counts all epochs
/// of the run: a cosine, for example, has not reached its end when pretraining ends.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range or fewer epochs than
/// half a cycle follow pretraining.
///
/// # Source
/// Garipov et al. 2018, arXiv:1802.10026, section 5. The rate is that of the authors' program
/// (github.com/timgaripov/dnn-mode-connectivity), in which a cycle begins at `t = 0`. The paper counts steps
/// from 1 and begins at the first step after it: `t(i) = (mod(i − 1, c) + 1) / c`, with `c` in steps. So each
/// step here has the rate that the paper gives to the step before, and the last step before a member is
/// collected has a rate of one step's change above `α₂`. Members are collected after the same step in both.
///
/// ```
/// use candle_ensemble::{plan::FastGeometric, strategy::Bagging};
///
/// let cycles = FastGeometric::new(4, 5e-2, 5e-4); // cycles of 4 epochs between two learning rates
/// let longer = cycles.pretraining(0.8);
/// let in_each_bootstrap_run = Bagging::new(5).collect(cycles);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FastGeometric {
    cycle: usize,
    high: f64,
    low: f64,
    pretraining: f64,
}

impl FastGeometric {
    /// Cycles of `cycle` epochs, an even number, between the learning rates `high` (`α₁`) and `low` (`α₂`).
    /// Three quarters of the epochs are pretraining.
    #[must_use]
    pub fn new(cycle: usize, high: f64, low: f64) -> Self {
        Self { cycle, high, low, pretraining: 0.75 }
    }

    /// Sets the share of the epochs, in [0, 1), that are pretraining. It is rounded to whole epochs. The
    /// default is 0.75.
    #[must_use]
    pub fn pretraining(mut self, share: f64) -> Self {
        self.pretraining = share;
        self
    }

    /// The number of epochs of pretraining.
    fn pretrained(self, epochs: usize) -> usize {
        (self.pretraining * epochs as f64).round() as usize
    }
}

impl CollectMembers for FastGeometric {
    const ENTRY: Entry<Self> = Entry::new(
        "fast-geometric",
        "FastGeometric",
        "Networks of one run, at the trough of each triangular cycle",
        |arguments| {
            let (high, low) = (arguments.get("high")?, arguments.get("low")?);
            Ok(Self::new(arguments.get("cycle")?, high, low).pretraining(arguments.get("pretraining")?))
        },
    )
    .with_arguments(&[
        Argument::new("cycle", "4", "Epochs of a cycle, an even number"),
        Argument::new("high", "0.05", "Highest learning rate of a cycle"),
        Argument::new("low", "0.0005", "Lowest learning rate of a cycle"),
        Argument::new("pretraining", "0.75", "Share of the epochs that come before the first cycle"),
    ])
    .with_source("Garipov et al. 2018, arXiv:1802.10026");

    fn due(&self, epoch: usize, epochs: usize) -> Option<usize> {
        let epoch = epoch.checked_sub(self.pretrained(epochs))?;
        (epoch % self.cycle.max(1) + 1 == self.cycle / 2).then(|| epoch / self.cycle)
    }

    fn rate(&self, _base: f64, at: Position) -> Option<f64> {
        let epoch = at.epoch.checked_sub(self.pretrained(at.epochs))?;
        let within = at.batch as f64 / at.batches_per_epoch as f64;
        let t = ((epoch % self.cycle.max(1)) as f64 + within) / self.cycle as f64;
        Some(match t {
            t if t <= 0.5 => (1. - 2. * t) * self.high + 2. * t * self.low,
            t => (2. - 2. * t) * self.low + (2. * t - 1.) * self.high,
        })
    }

    fn check(&self, epochs: usize) -> Result<()> {
        if self.cycle == 0 || self.cycle % 2 == 1 {
            return Err(Error::invalid("the cycle", "an even number of epochs, at least 2", self.cycle));
        }
        if !(self.low > 0. && self.high >= self.low && self.high.is_finite()) {
            let got = format!("{} and {}", self.high, self.low);
            return Err(Error::invalid(
                "the learning rates of the cycle",
                "above 0 and finite, with the higher rate first",
                got,
            ));
        }
        if !(0. ..1.).contains(&self.pretraining) {
            return Err(Error::invalid(
                "the share of pretraining",
                "from 0 to less than 1",
                self.pretraining,
            ));
        }
        let remaining = epochs - self.pretrained(epochs);
        if remaining < self.cycle / 2 {
            let must = format!("at least {}, half a cycle", self.cycle / 2);
            return Err(Error::invalid("the epochs after pretraining", must, remaining));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Collect;

    #[test]
    fn the_rate_falls_and_rises_after_pretraining() {
        let t = FastGeometric::new(4, 0.05, 0.01).pretraining(0.5);
        let at = |epoch, batch| Position { epoch, batch, epochs: 16, batches_per_epoch: 2 };
        assert_eq!(t.rate(1., at(7, 1)), None);
        // Two steps per epoch: from α₁ down to α₂ in four steps, and back in four.
        let expected = [0.05, 0.04, 0.03, 0.02, 0.01, 0.02, 0.03, 0.04, 0.05, 0.04];
        for (i, rate) in expected.into_iter().enumerate() {
            let got = t.rate(1., at(8 + i / 2, i % 2)).unwrap();
            assert!((got - rate).abs() < 1e-12, "{i}: {got}");
        }
    }

    /// The function `cyclic_learning_rate` of the authors' program, called with `iter / num_iters`.
    fn authors_program(
        epoch: usize,
        iter: usize,
        num_iters: usize,
        cycle: usize,
        high: f64,
        low: f64,
    ) -> f64 {
        let t = ((epoch % cycle) as f64 + iter as f64 / num_iters as f64) / cycle as f64;
        match t < 0.5 {
            true => high * (1. - 2. * t) + low * 2. * t,
            false => high * (2. * t - 1.) + low * (2. - 2. * t),
        }
    }

    /// The formula of the paper for step `i`, from 1, of cycles of `c` steps.
    fn paper(i: usize, c: usize, high: f64, low: f64) -> f64 {
        let t = ((i - 1) % c + 1) as f64 / c as f64;
        match t <= 0.5 {
            true => (1. - 2. * t) * high + 2. * t * low,
            false => (2. - 2. * t) * low + (2. * t - 1.) * high,
        }
    }

    /// For cycles and batches that do not divide the epochs.
    #[test]
    fn the_rate_is_that_of_the_authors_program_and_one_step_behind_the_papers_formula() {
        let (high, low) = (0.05, 0.0005);
        for (c, n, epochs, share) in [(2, 1, 9, 0.), (6, 7, 40, 0.75), (10, 3, 53, 0.31), (4, 13, 17, 0.5)] {
            let fge = FastGeometric::new(c, high, low).pretraining(share);
            let start = (share * epochs as f64).round() as usize;
            let rate =
                |epoch, batch| fge.rate(1., Position { epoch, batch, epochs, batches_per_epoch: n }).unwrap();
            for (epoch, batch) in (start..epochs).flat_map(|e| (0..n).map(move |i| (e, i))) {
                let (got, since) = (rate(epoch, batch), epoch - start);
                let program = authors_program(since, batch, n, c, high, low);
                assert!((got - program).abs() < 1e-12, "{c} {n} {epoch} {batch}: {got} against {program}");
                // Step number `steps + 1` of the cycles, from 1: its rate is the paper's for number `steps`.
                let steps = since * n + batch;
                if steps > 0 {
                    let before = paper(steps, c * n, high, low);
                    assert!((got - before).abs() < 1e-12, "{c} {n} {epoch} {batch}: {got} against {before}");
                }
                // Both collect after step mod(i − 1, c) + 1 = c / 2.
                let due = batch + 1 == n && steps % (c * n) + 1 == c * n / 2;
                assert_eq!(
                    batch + 1 == n && fge.due(epoch, epochs).is_some(),
                    due,
                    "{c} {n} {epoch} {batch}"
                );
            }
        }
    }

    #[test]
    fn members_are_collected_at_the_minima() {
        let t = FastGeometric::new(4, 0.05, 0.01).pretraining(0.5);
        let due: Vec<_> = (0..16).filter_map(|e| t.due(e, 16).map(|i| (e, i))).collect();
        assert_eq!(due, [(9, 0), (13, 1)]);
        assert_eq!(Collect::from(t).members(16), 2);
    }

    #[test]
    fn bad_parameters_are_named() {
        let check = |t: FastGeometric| t.check(20).unwrap_err().to_string();
        assert!(check(FastGeometric::new(3, 0.05, 0.01)).contains("the cycle must"));
        assert!(check(FastGeometric::new(4, 0.01, 0.05)).contains("rates"));
        assert!(check(FastGeometric::new(4, 0.05, 0.01).pretraining(1.)).contains("pretraining"));
        assert!(check(FastGeometric::new(20, 0.05, 0.01)).contains("after pretraining"));
    }
}
