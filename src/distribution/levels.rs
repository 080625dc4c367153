//! The levels of quantiles.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The levels of the quantiles that a network puts out: from 1 to 24 increasing numbers between 0 and 1.
///
/// ```
/// use candle_ensemble::distribution::Levels;
///
/// let levels = Levels::new(&[0.05, 0.5, 0.95])?;
/// assert_eq!(levels.as_slice(), [0.05, 0.5, 0.95]);
/// assert_eq!(Levels::evenly_spaced(3)?.as_slice(), [0.25, 0.5, 0.75]);
/// assert!(Levels::new(&[0.5, 0.5]).is_err());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Levels {
    /// The levels, and zeros behind them.
    levels: [f64; Levels::MOST],
    count: usize,
}

impl Levels {
    /// The largest number of levels.
    pub const MOST: usize = 24;

    /// These levels.
    ///
    /// # Errors
    /// When there is none or more than [`MOST`](Self::MOST), when one is not between 0 and 1, and when they do not increase.
    pub fn new(levels: &[f64]) -> Result<Self> {
        if levels.is_empty() || levels.len() > Self::MOST {
            let must = format!("from 1 to {}", Self::MOST);
            return Err(Error::invalid("the number of levels of quantiles", must, levels.len()));
        }
        let mut before = 0.;
        for level in levels {
            if !(*level > before && *level < 1.) {
                let must = "between 0 and 1 and above the level before it";
                return Err(Error::invalid("a level of a quantile", must, level));
            }
            before = *level;
        }
        let mut all = [0.; Self::MOST];
        all.iter_mut().zip(levels).for_each(|(to, level)| *to = *level);
        Ok(Self { levels: all, count: levels.len() })
    }

    /// The levels `1 / (count + 1)`, `2 / (count + 1)` and so on.
    ///
    /// # Errors
    /// When `count` is 0 or above [`MOST`](Self::MOST).
    pub fn evenly_spaced(count: usize) -> Result<Self> {
        let parts = count.saturating_add(1) as f64;
        Self::new(&(1..=count.min(Self::MOST + 1)).map(|i| i as f64 / parts).collect::<Vec<_>>())
    }

    /// The levels, in increasing order.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        self.levels.get(..self.count).unwrap_or_default()
    }

    /// What each quantile counts for in the mean of the distribution, whose quantile function is linear between the
    /// levels and constant beyond them. The numbers sum to 1.
    pub(crate) fn mean_weights(&self) -> Vec<f64> {
        let levels = self.as_slice();
        let at = |i: usize| levels.get(i).copied().unwrap_or(1.);
        let half = |i: usize| if i + 1 < levels.len() { (at(i + 1) - at(i)) / 2. } else { 1. - at(i) };
        let before = |i: usize| i.checked_sub(1).map_or_else(|| at(0), half);
        (0..levels.len()).map(|i| before(i) + half(i)).collect()
    }
}

/// As a list of numbers.
impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl TryFrom<Vec<f64>> for Levels {
    type Error = Error;

    fn try_from(levels: Vec<f64>) -> Result<Self> {
        Self::new(&levels)
    }
}

impl From<Levels> for Vec<f64> {
    fn from(levels: Levels) -> Self {
        levels.as_slice().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_mean_by_hand() {
        // The quantile function is q₀ up to 0.1, linear to q₁ at 0.5 and to q₂ at 0.8, and q₂ from there on.
        let weights = Levels::new(&[0.1, 0.5, 0.8]).unwrap().mean_weights();
        for (got, by_hand) in weights.iter().zip([0.1 + 0.2, 0.2 + 0.15, 0.15 + 0.2]) {
            assert!((got - by_hand).abs() < 1e-15, "{weights:?}");
        }
        assert_eq!(Levels::new(&[0.3]).unwrap().mean_weights(), [1.]);
    }

    #[test]
    fn levels_that_are_none_are_named() {
        for (levels, words) in [
            (vec![], "the number of levels of quantiles must be from 1 to 24, but is 0"),
            (vec![0.5; 25], "but is 25"),
            (
                vec![0., 0.5],
                "a level of a quantile must be between 0 and 1 and above the level before it, but is 0",
            ),
            (vec![0.5, 0.4], "but is 0.4"),
            (vec![f64::NAN], "but is NaN"),
            (vec![1.], "but is 1"),
        ] {
            let e = Levels::new(&levels).unwrap_err().to_string();
            assert!(e.contains(words), "{e}");
        }
        assert!(Levels::evenly_spaced(0).is_err() && Levels::evenly_spaced(usize::MAX).is_err());
        assert_eq!(Levels::evenly_spaced(24).unwrap().as_slice().len(), 24);
    }

    #[test]
    fn levels_are_a_list_on_disk() {
        let levels = Levels::new(&[0.05, 0.95]).unwrap();
        assert_eq!(serde_json::to_string(&levels).unwrap(), "[0.05,0.95]");
        assert_eq!(serde_json::from_str::<Levels>("[0.05,0.95]").unwrap(), levels);
        assert!(serde_json::from_str::<Levels>("[0.95,0.05]").is_err());
        assert_eq!(format!("{levels:?}"), "[0.05, 0.95]");
    }
}
