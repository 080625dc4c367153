//! Members from consecutive epochs of one run.
use crate::{
    plan::collect::CollectMembers,
    registry::{Argument, Entry},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// The epochs of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Epochs {
    /// The last `n` epochs.
    Last(usize),
    /// From the first number up to but not including the second.
    Range(usize, usize),
}

/// Collects the networks at the ends of consecutive epochs, or of every n-th of them (horizontal voting).
///
/// ```text
/// members = networks at the ends of the epochs  from, from + n, from + 2n, …  < to
/// ```
///
/// On its own it is a strategy with one run. In the setter `collect` of another strategy it applies to each
/// run of that strategy.
///
/// Use it when validation metrics vary from epoch to epoch late in training and there is time for one
/// training only. The members are similar, so the gain is smaller than that of independent runs. Their
/// weights are close together, so they can often be averaged into one network ([`merge`](crate::merge)).
///
/// Cost: the epochs of one network; prediction costs one forward pass per member.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if the window does not lie within the epochs of a
/// run.
///
/// # Source
/// Xie, Xu and Chuang 2013, arXiv:1306.2759.
///
/// ```
/// use candle_ensemble::{plan::Horizontal, strategy::Bagging};
///
/// let last_fifty = Horizontal::last(50);
/// let window = Horizontal::window(100..200).every(10); // epochs 100, 110 … 190, from 0
/// let in_each_bootstrap_run = Bagging::new(5).collect(Horizontal::last(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizontal {
    epochs: Epochs,
    every: usize,
}

impl Horizontal {
    /// The last `epochs` epochs.
    #[must_use]
    pub fn last(epochs: usize) -> Self {
        Self { epochs: Epochs::Last(epochs), every: 1 }
    }

    /// A range of epochs, counted from 0.
    #[must_use]
    pub fn window(epochs: std::ops::Range<usize>) -> Self {
        Self { epochs: Epochs::Range(epochs.start, epochs.end), every: 1 }
    }

    /// Sets the interval: every n-th epoch, beginning with the first of the window. The default is 1.
    #[must_use]
    pub fn every(mut self, n: usize) -> Self {
        self.every = n;
        self
    }

    /// The first epoch of the window, and the first after it.
    fn bounds(self, epochs: usize) -> (usize, usize) {
        match self.epochs {
            Epochs::Last(n) => (epochs.saturating_sub(n), epochs),
            Epochs::Range(from, to) => (from, to),
        }
    }
}

impl CollectMembers for Horizontal {
    const ENTRY: Entry<Self> = Entry::new(
        "horizontal",
        "Horizontal",
        "Networks of one run, after each of its last epochs",
        |arguments| Ok(Self::last(arguments.get("epochs")?).every(arguments.get("every")?)),
    )
    .with_arguments(&[
        Argument::new("epochs", "5", "How many of the last epochs"),
        Argument::new("every", "1", "Collects after every n-th of these epochs, the first included"),
    ])
    .with_source("Xie et al. 2013, arXiv:1306.2759");

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

    fn collected(t: Horizontal, epochs: usize) -> Vec<(usize, usize)> {
        (0..epochs).filter_map(|e| t.due(e, epochs).map(|i| (e, i))).collect()
    }

    #[test]
    fn members_are_the_epochs_of_the_window() {
        assert_eq!(collected(Horizontal::last(2), 5), [(3, 0), (4, 1)]);
        assert_eq!(collected(Horizontal::window(1..3), 5), [(1, 0), (2, 1)]);
        assert_eq!(collected(Horizontal::window(0..5).every(2), 5), [(0, 0), (2, 1), (4, 2)]);
        assert_eq!(collected(Horizontal::last(4).every(3), 6), [(2, 0), (5, 1)]);
        assert_eq!(Collect::from(Horizontal::last(50)).members(1000), 50);
    }

    #[test]
    fn windows_beyond_the_run_are_errors() {
        for t in
            [Horizontal::last(0), Horizontal::last(6), Horizontal::window(3..3), Horizontal::window(4..6)]
        {
            assert!(t.check(5).unwrap_err().to_string().contains("the horizontal window"), "{t:?}");
        }
        assert!(Horizontal::last(1).every(0).check(5).unwrap_err().to_string().contains("every"));
        assert!(Horizontal::last(5).check(5).is_ok());
    }
}
