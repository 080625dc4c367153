//! Scores of predictive distributions.
use crate::{
    check,
    distribution::cell::Cell,
    registry::{Argument, Entry, Registry},
    Result,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// How good a predictive distribution `F` with density `f` is for the target `y`; less is better. All scores but
/// [`Coverage`](Self::Coverage) are proper: the distribution from which the targets come has the least expected score.
///
/// | Score | In text | Formula |
/// |---|---|---|
/// | [`Nll`](Self::Nll) | `nll` | `−ln f(y)` |
/// | [`Crps`](Self::Crps) | `crps` | `∫ (F(x) − [y ≤ x])² dx = E \|X − y\| − E \|X − X'\| / 2` |
/// | [`Pinball`](Self::Pinball) | `pinball:0.5` | `(y − q) p` for `y ≥ q`, else `(q − y)(1 − p)`, with the `p`-quantile `q` |
/// | [`Interval`](Self::Interval) | `interval:0.9` | `u − l + 2 / (1 − level) · (distance of y from [l, u])` |
/// | [`Coverage`](Self::Coverage) | `coverage:0.9` | 1 where `y` is in `[l, u]`, else 0 |
///
/// `nll` punishes a wrong and sure prediction without bound and has no unit; `crps` is in the unit of the targets, and for
/// a distribution that is a point it is the absolute error. `pinball` is for a single quantile, `interval` for the central
/// interval. `coverage` is no loss: its mean should be the level, and more is not better.
///
/// # Sources
/// Gneiting and Raftery 2007, doi:10.1198/016214506000001437. The CRPS of Gaussian mixtures: Grimit et al. 2006,
/// doi:10.1256/qj.05.235.
///
/// ```
/// use candle_ensemble::distribution::Score;
///
/// assert_eq!(Score::registry().parse("interval:0.8")?, Score::Interval { level: 0.8 });
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Score {
    /// The negative log-likelihood, in nats.
    Nll,
    /// The continuous ranked probability score.
    Crps,
    /// The pinball loss of a quantile.
    Pinball {
        /// The level `p` of the quantile, between 0 and 1.
        level: f64,
    },
    /// The interval score of the central interval.
    Interval {
        /// The probability of the interval, between 0 and 1.
        level: f64,
    },
    /// Whether the central interval holds the target.
    Coverage {
        /// The probability of the interval, between 0 and 1.
        level: f64,
    },
}

impl Score {
    /// The scores by name, with their parameters.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        const QUANTILE: &[Argument] = &[Argument::new("level", "0.5", "The level of the quantile")];
        const PROBABILITY: &[Argument] =
            &[Argument::new("level", "0.9", "The probability of the central interval")];
        static REGISTRY: LazyLock<Registry<Score>> = LazyLock::new(|| {
            let entries = vec![
                Entry::new("nll", "Score::Nll", "Negative log-likelihood in nats", |_| Ok(Score::Nll))
                    .with_aliases(&["distribution-nll", "nlpd"])
                    .with_source("Good 1952, J. R. Stat. Soc. B 14:107"),
                Entry::new("crps", "Score::Crps", "Continuous ranked probability score", |_| Ok(Score::Crps))
                    .with_source("Matheson and Winkler 1976, doi:10.1287/mnsc.22.10.1087"),
                Entry::new("pinball", "Score::Pinball", "Pinball loss of a quantile", |arguments| {
                    Score::Pinball { level: arguments.get("level")? }.checked()
                })
                .with_aliases(&["quantile-loss"])
                .with_arguments(QUANTILE)
                .with_source("Koenker and Bassett 1978, doi:10.2307/1913643"),
                Entry::new("interval", "Score::Interval", "Score of the central interval", |arguments| {
                    Score::Interval { level: arguments.get("level")? }.checked()
                })
                .with_aliases(&["interval-score"])
                .with_arguments(PROBABILITY)
                .with_source("Gneiting and Raftery 2007, doi:10.1198/016214506000001437"),
                Entry::new(
                    "coverage",
                    "Score::Coverage",
                    "Share of targets in the central interval",
                    |arguments| Score::Coverage { level: arguments.get("level")? }.checked(),
                )
                .with_arguments(PROBABILITY),
            ];
            Registry::new("score of a distribution", entries)
        });
        &REGISTRY
    }

    /// Checks that the level is between 0 and 1.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names it.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Nll | Self::Crps => Ok(()),
            Self::Pinball { level } => check::share("Score::Pinball::level", level),
            Self::Interval { level } => check::share("Score::Interval::level", level),
            Self::Coverage { level } => check::share("Score::Coverage::level", level),
        }
    }

    fn checked(self) -> Result<Self> {
        self.check().map(|()| self)
    }

    /// The score of one number.
    pub(super) fn of(self, cell: &Cell<'_>, y: f64) -> f64 {
        match self {
            Self::Nll => -cell.ln_density(y),
            Self::Crps => cell.crps(y),
            Self::Pinball { level } => {
                let excess = y - cell.quantile(level);
                (level * excess).max((level - 1.) * excess)
            }
            Self::Interval { level } => {
                let (low, high) = ends(cell, level);
                high - low + 2. / (1. - level) * ((low - y).max(0.) + (y - high).max(0.))
            }
            Self::Coverage { level } => {
                let (low, high) = ends(cell, level);
                f64::from(u8::from(low <= y && y <= high))
            }
        }
    }
}

fn ends(cell: &Cell<'_>, level: f64) -> (f64, f64) {
    (cell.quantile((1. - level) / 2.), cell.quantile((1. + level) / 2.))
}
