//! Members at the troughs of a triangular learning rate, after a share of pretraining.
use super::CollectMembers;
use crate::{plan::Position, Error, Result};
use serde::{Deserialize, Serialize};

/// Fast geometric ensembling: after a share of ordinary training the learning rate goes down and up in triangles,
/// `α₁ → α₂ → α₁` every `c` epochs, and the network at each trough is a member.
///
/// `α = (1 − 2t)·α₁ + 2t·α₂` for `t ≤ ½`, `(2 − 2t)·α₂ + (2t − 1)·α₁` after, with
/// `t = ((epoch mod c) + i/n)/c` at batch `i` of `n`, epochs counted from the end of pretraining. A member is taken
/// when `epoch mod c + 1 = c/2`. While it pretrains, a run follows the trainer's own schedule.
///
/// Choose it when members of one run have to be near each other (along paths of low loss), as for averaging their
/// weights. Cost: the epochs of one network. On its own it is a builder of one run; within any other strategy it says
/// when that strategy's runs yield members.
///
/// Source: Garipov et al. 2018, arXiv:1802.10026.
///
/// ```
/// use candle_ensemble::{plan::FastGeometric, strategy::Bagging};
///
/// let fge = FastGeometric::new(4, 5e-2, 5e-4);                  // cycles of 4 epochs between two rates
/// let longer = fge.pretraining(0.8);
/// let in_each_bootstrap_run = Bagging::new(5).collect(fge);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FastGeometric {
    cycle: usize,
    high: f64,
    low: f64,
    pretraining: f64,
}

impl FastGeometric {
    /// Cycles of so many epochs (an even number) between the rates `α₁` and `α₂`, after three quarters of the
    /// epochs.
    #[must_use]
    pub fn new(cycle: usize, high: f64, low: f64) -> Self {
        Self { cycle, high, low, pretraining: 0.75 }
    }

    /// The share of the epochs, in [0, 1), that pretrain; rounded to whole epochs.
    #[must_use]
    pub fn pretraining(mut self, share: f64) -> Self {
        self.pretraining = share;
        self
    }

    fn pretrained(self, epochs: usize) -> usize {
        (self.pretraining * epochs as f64).round() as usize
    }
}

impl CollectMembers for FastGeometric {
    const NAME: &'static str = "fast-geometric";

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
            return Err(Error::invalid("the cycle's rates", "above 0, the higher first", got));
        }
        if !(0. ..1.).contains(&self.pretraining) {
            return Err(Error::invalid(
                "the share of pretraining",
                "at least 0 and below 1",
                self.pretraining,
            ));
        }
        let left = epochs - self.pretrained(epochs);
        if left < self.cycle / 2 {
            let must = format!("at least {}, half a cycle", self.cycle / 2);
            return Err(Error::invalid("the epochs after pretraining", must, left));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Collect;

    #[test]
    fn goes_down_and_up_after_pretraining() {
        let t = FastGeometric::new(4, 0.05, 0.01).pretraining(0.5);
        let at = |epoch, batch| Position { epoch, batch, epochs: 16, batches_per_epoch: 2 };
        assert_eq!(t.rate(1., at(7, 1)), None);
        // Eight steps down from α₁, two an epoch, to α₂ after four of them, and back.
        let expected = [0.05, 0.04, 0.03, 0.02, 0.01, 0.02, 0.03, 0.04, 0.05, 0.04];
        for (i, rate) in (0..).zip(expected) {
            let got = t.rate(1., at(8 + i / 2, i % 2)).unwrap();
            assert!((got - rate).abs() < 1e-12, "{i}: {got}");
        }
    }

    /// The paper's formula as it stands there, for cycles and batches that divide nothing.
    #[test]
    fn is_the_papers_formula_at_every_step() {
        let (high, low) = (0.05, 0.0005);
        for (c, n, epochs, share) in [(2, 1, 9, 0.), (6, 7, 40, 0.75), (10, 3, 53, 0.31), (4, 13, 17, 0.5)] {
            let fge = FastGeometric::new(c, high, low).pretraining(share);
            let start = (share * epochs as f64).round() as usize;
            for (epoch, batch) in (start..epochs).flat_map(|e| (0..n).map(move |i| (e, i))) {
                let t = (((epoch - start) % c) as f64 + batch as f64 / n as f64) / c as f64;
                let down = |t: f64| high + (low - high) * t;
                let paper = if t <= 0.5 { down(2. * t) } else { down(2. - 2. * t) };
                let got = fge.rate(1., Position { epoch, batch, epochs, batches_per_epoch: n }).unwrap();
                assert!((got - paper).abs() < 1e-12, "{c} {n} {epoch} {batch}: {got} against {paper}");
                let due = (epoch - start) % c + 1 == c / 2;
                assert_eq!(fge.due(epoch, epochs).is_some(), due);
            }
        }
    }

    #[test]
    fn takes_members_at_the_troughs() {
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
