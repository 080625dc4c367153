//! When a run's network becomes a member, and the learning rate that goes with it; one rule a file.
//!
//! To add a rule, write a file with a type that implements [`CollectMembers`], and add one line to the list
//! below.
mod fast_geometric;
mod horizontal;
mod last;
mod snapshot;

pub use fast_geometric::FastGeometric;
pub use horizontal::Horizontal;
pub(crate) use last::Last;
pub use snapshot::Snapshot;

use crate::{
    plan::Position,
    registry::{Entry, Registry},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{f64::consts::PI, sync::LazyLock};

/// A rule that says at the ends of which epochs a run's network becomes a member.
pub(crate) trait CollectMembers: Into<Collect> + Copy {
    /// The rule's name, its arguments, and how it is made from them.
    const ENTRY: Entry<Self>;

    /// The number, from 0, of the member that is collected at the end of epoch `epoch` of `epochs`. `None` where
    /// none is.
    fn due(&self, epoch: usize, epochs: usize) -> Option<usize>;

    /// The learning rate at a position, where the rule prescribes one. `base` is the optimizer's.
    fn rate(&self, _base: f64, _at: Position) -> Option<f64> {
        None
    }

    /// Whether the rule prescribes the learning rate of all steps, so that a schedule would have no effect.
    fn replaces_schedule(&self) -> bool {
        false
    }

    /// Whether the member is collected when the run is over, whenever that is, and not at the end of an epoch that is
    /// known beforehand.
    fn at_end(&self) -> bool {
        false
    }

    /// Checks the parameters against the length of a run.
    ///
    /// # Errors
    /// When a parameter is out of range.
    fn check(&self, epochs: usize) -> Result<()>;
}

macro_rules! collect {
    ($($rule:ident),+ $(,)?) => {
        /// When a run's network becomes a member: any of the rules, as data.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Collect {
            $(
                #[doc = concat!("See [`", stringify!($rule), "`].")]
                $rule($rule),
            )+
        }

        $(
            impl From<$rule> for Collect {
                fn from(rule: $rule) -> Self {
                    Self::$rule(rule)
                }
            }
        )+

        impl Collect {
            /// What tables and command lines call the rule.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$rule(_) => <$rule as CollectMembers>::ENTRY.name(),)+
                }
            }

            /// The rules by name, each made into a `T`.
            pub(crate) fn entries<T: From<Collect>>() -> Vec<Entry<T>> {
                vec![$(
                    <$rule as CollectMembers>::ENTRY.with_make(|arguments| {
                        let rule: $rule = <$rule as CollectMembers>::ENTRY.make(arguments)?;
                        Ok(T::from(rule.into()))
                    }),
                )+]
            }
        }

        /// Calls a method of the rule, whichever it is.
        macro_rules! each {
            ($collect:expr, $of:ident => $call:expr) => {
                match $collect {
                    $(Collect::$rule($of) => $call,)+
                }
            };
        }
    };
}

collect! { Last, Horizontal, Snapshot, FastGeometric }

impl Default for Collect {
    /// One member, when the run ends.
    fn default() -> Self {
        Last.into()
    }
}

impl Collect {
    /// The rules for collecting members, by name.
    ///
    /// ```
    /// use candle_ensemble::plan::{Collect, Snapshot};
    ///
    /// assert_eq!(Collect::registry().parse("snapshot:5:keep=2")?, Snapshot::new(5).keep(2).into());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Collect>> =
            LazyLock::new(|| Registry::new("rule for collecting members", Collect::entries()));
        &REGISTRY
    }

    /// How many members a run of `epochs` epochs gives.
    #[must_use]
    pub fn members(&self, epochs: usize) -> usize {
        match self.at_end() {
            true => 1,
            false => (0..epochs).filter(|epoch| self.due(*epoch, epochs).is_some()).count(),
        }
    }

    /// The number, from 0, of the member that is collected at the end of epoch `epoch` of `epochs`. `None` where none
    /// is. With [`Last`], none ever is: its member is collected when the run is over.
    #[must_use]
    pub fn due(&self, epoch: usize, epochs: usize) -> Option<usize> {
        each!(self, rule => rule.due(epoch, epochs))
    }

    /// The learning rate at a position, where the rule prescribes one; `base` is the optimizer's.
    #[must_use]
    pub fn rate(&self, base: f64, at: Position) -> Option<f64> {
        each!(self, rule => rule.rate(base, at))
    }

    /// Whether the rule prescribes the learning rate of all steps, so that a schedule would have no effect.
    #[must_use]
    pub fn replaces_schedule(&self) -> bool {
        each!(self, rule => rule.replaces_schedule())
    }

    /// Whether the one member is collected when the run is over.
    #[must_use]
    pub fn at_end(&self) -> bool {
        each!(self, rule => rule.at_end())
    }

    /// Checks the parameters against the length of a run; 0 epochs where the learner does not tell.
    ///
    /// # Errors
    /// When a parameter is out of range, or the run's length is needed and not known.
    pub fn check(&self, epochs: usize) -> Result<()> {
        if epochs == 0 && !self.at_end() {
            let must = "known where members are collected within a run (CustomLoop::epochs)";
            return Err(Error::invalid("the number of epochs", must, "unknown"));
        }
        each!(self, rule => rule.check(epochs))
    }
}

/// Half a cosine wave from 1 to 0: `(cos(π·t/T) + 1)/2`.
pub(crate) fn cosine(t: f64, of: f64) -> f64 {
    ((PI * t / of).cos() + 1.) / 2.
}
