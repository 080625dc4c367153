//! When the network of a run is collected as a member, and the learning rate that belongs to it.
//!
//! A run can give one member at its end ([`Last`]) or several members at the ends of epochs. Some of these
//! rules, such as [`Snapshot`], also prescribe the learning rate, because it has to be low when a member is
//! collected. There is one rule per file. To add a rule, write a file with a type that implements
//! [`CollectMembers`], and add one line to the list below.
use crate::{
    plan::Position,
    registry::{Entry, Registry},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{f64::consts::PI, sync::LazyLock};

/// A rule for when the network of a run is collected as a member.
pub(crate) trait CollectMembers: Into<Collect> + Copy {
    /// The rule's name, its arguments, and how it is made from them.
    const ENTRY: Entry<Self>;

    /// The number, from 0, of the member that is collected at the end of epoch `epoch` of `epochs`, or
    /// `None`.
    fn due(&self, epoch: usize, epochs: usize) -> Option<usize>;

    /// The learning rate at a position, if the rule prescribes it. `base` is the learning rate of the
    /// optimizer.
    fn rate(&self, _base: f64, _at: Position) -> Option<f64> {
        None
    }

    /// Whether the rule prescribes the learning rate of every step, so that a schedule would have no effect.
    fn replaces_schedule(&self) -> bool {
        false
    }

    /// Whether the one member is collected when the run ends, which may be earlier than planned, rather than
    /// at the end of an epoch that is known in advance.
    fn at_end(&self) -> bool {
        false
    }

    /// Checks the parameters for runs of `epochs` epochs.
    ///
    /// # Errors
    /// When a parameter is out of range.
    fn check(&self, epochs: usize) -> Result<()>;
}

macro_rules! collect {
    ($($file:ident::$rule:ident),+ $(,)?) => {
        $(
            mod $file;
            pub use $file::$rule;
        )+

        /// When the network of a run is collected as a member, as data: one of the rules with its parameters.
        ///
        /// Strategies take it in their setter `collect`, for example
        /// [`Bagging::collect`](crate::strategy::Bagging::collect). On its own, each rule but [`Last`] is
        /// also a strategy with one run.
        ///
        /// ```
        /// use candle_ensemble::plan::{Collect, Horizontal};
        ///
        /// let collect = Collect::from(Horizontal::last(2));
        /// assert_eq!(collect.members(10), 2);
        /// assert_eq!((collect.due(7, 10), collect.due(8, 10), collect.due(9, 10)), (None, Some(0), Some(1)));
        /// ```
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
            /// The name of the rule in tables and command lines.
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

        /// Evaluates an expression with the rule, whichever it is.
        macro_rules! each {
            ($collect:expr, $of:ident => $call:expr) => {
                match $collect {
                    $(Collect::$rule($of) => $call,)+
                }
            };
        }
    };
}

collect! { last::Last, horizontal::Horizontal, snapshot::Snapshot, fast_geometric::FastGeometric }

impl Default for Collect {
    /// [`Last`]: one member, when the run ends.
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

    /// The number of members that a run of `epochs` epochs gives.
    #[must_use]
    pub fn members(&self, epochs: usize) -> usize {
        match self.at_end() {
            true => 1,
            false => (0..epochs).filter(|epoch| self.due(*epoch, epochs).is_some()).count(),
        }
    }

    /// The number, from 0, of the member that is collected at the end of epoch `epoch` of `epochs`, or `None`
    /// if none is. With [`Last`] it is always `None`, because the member is collected when the run ends.
    #[must_use]
    pub fn due(&self, epoch: usize, epochs: usize) -> Option<usize> {
        each!(self, rule => rule.due(epoch, epochs))
    }

    /// The learning rate at a position, if the rule prescribes it. `base` is the learning rate of the
    /// optimizer.
    #[must_use]
    pub fn rate(&self, base: f64, at: Position) -> Option<f64> {
        each!(self, rule => rule.rate(base, at))
    }

    /// Whether the rule prescribes the learning rate at the end of a run of `epochs` epochs.
    pub(crate) fn prescribes_rate(&self, epochs: usize) -> bool {
        let last = Position { epoch: epochs.saturating_sub(1), batch: 0, epochs, batches_per_epoch: 1 };
        self.rate(1., last).is_some()
    }

    /// Whether the rule prescribes the learning rate of every step. A trainer with a schedule then returns an
    /// error.
    #[must_use]
    pub fn replaces_schedule(&self) -> bool {
        each!(self, rule => rule.replaces_schedule())
    }

    /// Whether the one member is collected when the run ends.
    #[must_use]
    pub fn at_end(&self) -> bool {
        each!(self, rule => rule.at_end())
    }

    /// Checks the parameters for runs of `epochs` epochs; 0 means that the learner does not know the number.
    ///
    /// # Errors
    /// When a parameter is out of range, or when the number of epochs is needed and not known.
    pub fn check(&self, epochs: usize) -> Result<()> {
        if epochs == 0 && !self.at_end() {
            let must = "known where members are collected within a run (CustomLoop::epochs)";
            return Err(Error::invalid("the number of epochs", must, "unknown"));
        }
        each!(self, rule => rule.check(epochs))
    }
}

/// Half a cosine wave from 1 to 0: `(cos(π·t/T) + 1)/2`.
pub(crate) fn cosine(t: f64, total: f64) -> f64 {
    ((PI * t / total).cos() + 1.) / 2.
}
