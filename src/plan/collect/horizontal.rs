//! Members from the epochs of one run.
use super::CollectMembers;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Epochs {
    /// The last so many.
    Last(usize),
    /// From the first up to but not including the second, from 0.
    Range(usize, usize),
}

/// Horizontal voting: the members are one run's networks at the ends of a contiguous block of epochs, or of every
/// n-th epoch in it.
///
/// Choose it when the validation metric is noisy from epoch to epoch late in training, and one training is all you
/// can afford. Cost: the epochs of one network. On its own it is a builder of one run; within any other strategy it
/// says when that strategy's runs yield members.
///
/// Source: Xie et al. 2013, arXiv:1306.2759.
///
/// ```
/// use candle_ensemble::{plan::Horizontal, strategy::Bagging};
///
/// let last_fifty = Horizontal::last(50);
/// let window = Horizontal::window(100..200).every(10);          // epochs 100, 110 … 190, from 0
/// let in_each_bootstrap_run = Bagging::new(5).collect(Horizontal::last(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizontal {
    epochs: Epochs,
    every: usize,
}

impl Horizontal {
    /// The last so many epochs.
    #[must_use]
    pub fn last(epochs: usize) -> Self {
        Self { epochs: Epochs::Last(epochs), every: 1 }
    }

    /// These epochs, from 0.
    #[must_use]
    pub fn window(epochs: std::ops::Range<usize>) -> Self {
        Self { epochs: Epochs::Range(epochs.start, epochs.end), every: 1 }
    }

    /// Every n-th epoch of the block, its first included.
    #[must_use]
    pub fn every(mut self, n: usize) -> Self {
        self.every = n;
        self
    }

    fn bounds(self, epochs: usize) -> (usize, usize) {
        match self.epochs {
            Epochs::Last(n) => (epochs.saturating_sub(n), epochs),
            Epochs::Range(from, to) => (from, to),
        }
    }
}

impl CollectMembers for Horizontal {
    const NAME: &'static str = "horizontal";

    fn due(&self, epoch: usize, epochs: usize) -> Option<usize> {
        let ((from, to), every) = (self.bounds(epochs), self.every.max(1));
        let within = (from..to).contains(&epoch) && (epoch - from).is_multiple_of(every);
        within.then(|| (epoch - from) / every)
    }

    fn check(&self, epochs: usize) -> Result<()> {
        if self.every == 0 {
            return Err(Error::invalid("every", "at least 1 epoch", 0));
        }
        match self.epochs {
            Epochs::Last(n) if n == 0 || n > epochs => {
                Err(Error::invalid("the horizontal window", format!("1 to {epochs} epochs long"), n))
            }
            Epochs::Range(from, to) if from >= to || to > epochs => {
                let got = format!("{from}..{to}");
                Err(Error::invalid("the horizontal window", format!("a range within 0..{epochs}"), got))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Collect;

    fn taken(t: Horizontal, epochs: usize) -> Vec<(usize, usize)> {
        (0..epochs).filter_map(|e| t.due(e, epochs).map(|i| (e, i))).collect()
    }

    #[test]
    fn takes_the_window_and_nothing_else() {
        assert_eq!(taken(Horizontal::last(2), 5), [(3, 0), (4, 1)]);
        assert_eq!(taken(Horizontal::window(1..3), 5), [(1, 0), (2, 1)]);
        assert_eq!(taken(Horizontal::window(0..5).every(2), 5), [(0, 0), (2, 1), (4, 2)]);
        assert_eq!(taken(Horizontal::last(4).every(3), 6), [(2, 0), (5, 1)]);
        assert_eq!(Collect::from(Horizontal::last(50)).members(1000), 50);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        for t in
            [Horizontal::last(0), Horizontal::last(6), Horizontal::window(3..3), Horizontal::window(4..6)]
        {
            assert!(t.check(5).unwrap_err().to_string().contains("the horizontal window"), "{t:?}");
        }
        assert!(Horizontal::last(1).every(0).check(5).unwrap_err().to_string().contains("every"));
        assert!(Horizontal::last(5).check(5).is_ok());
    }
}
