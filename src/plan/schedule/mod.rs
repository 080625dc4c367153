//! Learning-rate schedules.
//!
//! A schedule is a pure function of the position within a training, so a training can resume anywhere. The
//! learning rate of a step is the optimizer's base learning rate times a factor `f(t, T)`, where `t` is the
//! number of units (steps or epochs) before this step and `T` the number of units of the whole training.
//!
//! There is one shape per file. To add a shape, write a file with its `factor`, its `check`, its `text` and
//! its `ENTRY` in the registry, and add the shape to the list below.
mod position;
mod span;

pub use cyclic::CyclicMode;
pub use position::{Position, Unit};
pub use span::Span;
pub use swa::SwaRate;

use crate::{
    plan::EpochSteps,
    registry::{Arguments, Entry, Registry},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// How the learning rate changes during a training: a [`Schedule`], counted in a [`Unit`].
///
/// A schedule is made from a [`Schedule`]: `Schedule::Cosine { to: 0.0 }.per(Unit::Epoch)`, or
/// `Schedule::Cosine { to: 0.0 }.into()`, which counts steps.
///
/// ```
/// use candle_ensemble::plan::{LrSchedule, Position, Schedule, Unit};
///
/// let cosine = LrSchedule::from(Schedule::Cosine { to: 0.0 });
/// let halfway = Position { epoch: 5, batch: 0, epochs: 10, batches_per_epoch: 30 };
/// assert!((cosine.rate(0.1, halfway) - 0.05).abs() < 1e-15);
///
/// let steps = Schedule::Step { every: 3, factor: 0.1 }.per(Unit::Epoch);
/// assert!((steps.rate(0.1, halfway) - 0.01).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LrSchedule {
    /// The shape of the curve.
    pub shape: Schedule,
    /// The unit that the shape counts.
    pub unit: Unit,
}

impl LrSchedule {
    /// The learning rate at a position: `base · f(t, T)`, where `f` is the [shape](Schedule), `t` the number
    /// of units before the position and `T` the number of units of the whole training.
    #[must_use]
    pub fn rate(&self, base: f64, at: Position) -> f64 {
        self.rate_of(base, at, (at.iteration(), at.iterations()))
    }

    /// The learning rate at a position of a run whose epochs have these numbers of steps. It is
    /// [`rate`](Self::rate) where all epochs have the same number.
    ///
    /// ```
    /// use candle_ensemble::{data::LastBatch, plan::{BatchSize, EpochSteps, LrSchedule, Schedule}};
    ///
    /// // 100 rows: 10 steps in each of 2 epochs, then 5 in each of 2.
    /// let size = BatchSize::Steps(vec![(0, 10), (2, 20)]);
    /// let steps = EpochSteps::new(&size, 4, 100, LastBatch::Keep, false);
    /// let linear = LrSchedule::from(Schedule::Linear { to: 0.0 });
    /// // 21 of 30 steps are done at the second step of epoch 2.
    /// assert!((linear.rate_in(1.0, steps.position(2, 1), &steps) - 0.3).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn rate_in(&self, base: f64, at: Position, steps: &EpochSteps) -> f64 {
        self.rate_of(base, at, (steps.before(at.epoch) + at.batch, steps.total()))
    }

    fn rate_of(&self, base: f64, at: Position, iterations: (usize, usize)) -> f64 {
        let (t, total) = self.units(at, iterations);
        base * self.shape.factor(t, total)
    }

    /// The momentum at a position, for optimizers that have one: with [`Schedule::OneCycle`] it falls from
    /// `high` to `low` while the learning rate rises, and rises back while the rate falls. `None` for other
    /// shapes.
    ///
    /// Smith and Topin propose 0.95 and 0.85. The ready-made trainer keeps the momentum constant; use it in a
    /// [`Learner`](crate::train::Learner) of your own.
    ///
    /// ```
    /// use candle_ensemble::plan::{LrSchedule, Position, Schedule};
    ///
    /// let schedule = LrSchedule::from(Schedule::one_cycle(0.3));
    /// let at = |batch| Position { epoch: 0, batch, epochs: 1, batches_per_epoch: 10 };
    /// assert_eq!(schedule.momentum(0.85, 0.95, at(0)), Some(0.95));
    /// assert_eq!(schedule.momentum(0.85, 0.95, at(2)), Some(0.85)); // the largest rate
    /// ```
    #[must_use]
    pub fn momentum(&self, low: f64, high: f64, at: Position) -> Option<f64> {
        let (t, total) = self.units(at, (at.iteration(), at.iterations()));
        self.shape.momentum(low, high, t, total)
    }

    fn units(&self, at: Position, iterations: (usize, usize)) -> (usize, usize) {
        match self.unit {
            Unit::Iteration => iterations,
            Unit::Epoch => (at.epoch, at.epochs),
        }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.shape.check()
    }

    /// Reads a schedule from text: a [`Schedule`] as text, with `per=epoch` among its arguments where it
    /// counts epochs.
    ///
    /// # Errors
    /// As [`Schedule::parse`].
    ///
    /// ```
    /// use candle_ensemble::plan::{LrSchedule, Schedule, Unit};
    ///
    /// let schedule = LrSchedule::parse("exponential:0.9:per=epoch")?;
    /// assert_eq!(schedule, Schedule::Exponential { gamma: 0.9 }.per(Unit::Epoch));
    /// assert_eq!(LrSchedule::parse("cosine")?, Schedule::Cosine { to: 0.0 }.into());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let (mut unit, mut rest) = (Unit::Iteration, vec![]);
        for part in text.split(':') {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("per", "epoch")) => unit = Unit::Epoch,
                Some(("per", "iteration")) => unit = Unit::Iteration,
                Some(("per", other)) => {
                    let what = "the argument per of a schedule";
                    return Err(Error::invalid(what, "one of epoch, iteration", other));
                }
                _ => rest.push(part),
            }
        }
        Ok(Schedule::parse(&rest.join(":"))?.per(unit))
    }

    /// The text that [`LrSchedule::parse`] reads as this schedule, where there is one; see
    /// [`Schedule::text`].
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let unit = if self.unit == Unit::Epoch { ":per=epoch" } else { "" };
        Some(self.shape.text()? + unit)
    }
}

impl From<Schedule> for LrSchedule {
    /// Counts iterations.
    fn from(shape: Schedule) -> Self {
        shape.per(Unit::Iteration)
    }
}

const CONSTANT: Entry<Schedule> =
    Entry::new("constant", "Schedule::Constant", "A constant learning rate", |_| Ok(Schedule::Constant));

macro_rules! shapes {
    ($(
        $(#[$about:meta])*
        $file:ident::$shape:ident { $( $(#[$what:meta])* $field:ident: $type:ty, )+ }
    )+) => {
        $(mod $file;)+

        /// The shape of a learning-rate schedule: the factor `f(t, T)` on the base learning rate at unit `t`
        /// of `T`.
        ///
        /// [`per`](Schedule::per) says what a unit is. After the last unit the factor of a shape that ends
        /// stays at the value of the end.
        ///
        /// Use [`Cosine`](Schedule::Cosine) or [`Linear`](Schedule::Linear) to 0 for a network that is
        /// trained for a fixed number of epochs: both train faster at first and settle at the end. Put a
        /// warm-up before it ([`after_warm_up`](Schedule::after_warm_up)) when the first steps diverge, as
        /// with large batches. [`Constant`](Schedule::Constant) is enough for Adam on small problems. With
        /// early stopping prefer a shape that does not depend on the number of epochs, such as `Constant`,
        /// [`Step`](Schedule::Step) or [`Exponential`](Schedule::Exponential). Cost: none.
        ///
        /// # Errors
        /// [`Schedule::check`] names a parameter that is out of range. A session checks before it trains.
        ///
        /// ```
        /// use candle_ensemble::{plan::{Schedule, Span, Unit}, train::Trainer};
        ///
        /// // A tenth of the epochs for a linear warm-up, then half a cosine wave to 0.
        /// let schedule = Schedule::Cosine { to: 0.0 }.after_warm_up(Span::Share(0.1)).per(Unit::Epoch);
        /// assert!(schedule.check().is_ok());
        /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).schedule(schedule);
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Schedule {
            /// A constant learning rate: `f = 1`.
            #[default]
            Constant,
            $(
                $(#[$about])*
                $shape { $( $(#[$what])* $field: $type, )+ },
            )+
        }

        impl Schedule {
            /// The factor at unit `t` of `total`.
            fn factor(&self, t: usize, total: usize) -> f64 {
                match self {
                    Self::Constant => 1.0,
                    $( Self::$shape { $($field),+ } => $file::factor(t, total, $($field),+), )+
                }
            }

            /// Checks that every parameter is in its range.
            ///
            /// # Errors
            /// [`Error::Invalid`] that names the parameter.
            pub fn check(&self) -> Result<()> {
                match self {
                    Self::Constant => Ok(()),
                    $( Self::$shape { $($field),+ } => $file::check($($field),+), )+
                }
            }

            /// The text that [`Schedule::parse`] reads as this shape. `None` for [`Swa`](Schedule::Swa) with
            /// a [`SwaRate`] that text cannot express.
            #[must_use]
            pub fn text(&self) -> Option<String> {
                match self {
                    Self::Constant => Some(CONSTANT.name().into()),
                    $( Self::$shape { $($field),+ } => $file::text($($field),+), )+
                }
            }
        }

        const ENTRIES: &[Entry<Schedule>] = &[CONSTANT, $($file::ENTRY,)+];
    };
}

shapes! {
    /// A learning rate that changes by a factor at regular intervals: `f = factor^⌊t / every⌋`.
    step::Step {
        /// Units from one change to the next, at least 1.
        every: usize,
        /// The factor of each change, above 0.
        factor: f64,
    }
    /// A learning rate that changes by a factor at given units: `f = factor^k`, where `k` of the units in
    /// `at` are at most `t`.
    ///
    /// This is PyTorch's `MultiStepLR`. Use it where experience says when the loss stops falling; otherwise a
    /// [`Cosine`](Self::Cosine) needs less choice.
    multi_step::MultiStep {
        /// The units of the changes, at least one, in increasing order.
        at: Vec<usize>,
        /// The factor of each change, above 0.
        factor: f64,
    }
    /// A straight line: `f = 1 + (to − 1) · t / T`. It reaches `to` one unit after the last.
    linear::Linear {
        /// Fraction of the base rate, 0 or more.
        to: f64,
    }
    /// A power of the part of the training that is left: `f = to + (1 − to) · (1 − t / T)^power`. It reaches
    /// `to` one unit after the last.
    ///
    /// This is Keras' `PolynomialDecay`. Powers above 1 spend more of the training at small rates than a
    /// straight line, powers below 1 less.
    polynomial::Polynomial {
        /// Fraction of the base rate, 0 or more.
        to: f64,
        /// The power, above 0. With 1 the shape is [`Linear`](Self::Linear).
        power: f64,
    }
    /// A learning rate that changes by the same factor at each unit: `f = gamma^t`.
    ///
    /// This is PyTorch's `ExponentialLR`. Count epochs ([`Unit::Epoch`]), or choose `gamma` very close to 1:
    /// with 0.99 for each step the rate is below a thousandth after 700 steps.
    exponential::Exponential {
        /// The factor from one unit to the next, above 0.
        gamma: f64,
    }
    /// The inverse of the time: `f = 1 / (1 + decay · t)`.
    ///
    /// This is the argument `decay` of Keras' older optimizers, which counts steps. The rate falls fast at
    /// first and then ever more slowly; it is half the base rate after `1 / decay` units.
    time_based::TimeBased {
        /// The decay, 0 or more.
        decay: f64,
    }
    /// The inverse square root of the time after a linear warm-up: `f = min((t + 1) / n, √(n / (t + 1)))`.
    ///
    /// The rate is the base rate after `n` units. Use it for transformers that are trained for a number of
    /// steps that is not known in advance. Source: Vaswani et al. 2017, arXiv:1706.03762, whose factor `d^-½
    /// · n^-½` is part of the base rate here.
    inverse_square_root::InverseSquareRoot {
        /// The `n` units of the warm-up; 0 counts as 1.
        warm_up: Span,
    }
    /// Half a cosine wave: `f = to + (1 − to) · (1 + cos(π t / T)) / 2`. It reaches `to` one unit after the
    /// last.
    ///
    /// Source: Loshchilov and Hutter 2017, arXiv:1608.03983.
    cosine::Cosine {
        /// Fraction of the base rate, 0 or more.
        to: f64,
    }
    /// Cosine waves with warm restarts: `f = (1 + cos(π (t mod L) / L)) / 2` with `L = ⌈T / M⌉`. Each of the
    /// `M` half waves falls from 1 towards 0. The last is cut short if `M` does not divide `T`.
    ///
    /// [`Snapshot`](crate::plan::Snapshot) sets the same learning rate with waves of whole epochs, and
    /// collects a member at the end of each.
    ///
    /// Sources: Loshchilov and Hutter 2017, arXiv:1608.03983, in the form of Huang et al. 2017,
    /// arXiv:1704.00109.
    warm_restarts::WarmRestarts {
        /// The number `M` of waves, at least 1.
        cycles: usize,
    }
    /// Triangles between a low rate and the base rate: `f = low + (1 − low) · h · s`. The height `h` rises
    /// from 0 to 1 in `up` units and falls back to 0 in `down` units; the [mode](CyclicMode) gives `s`.
    ///
    /// This is PyTorch's `CyclicLR`, with the base rate as `max_lr` and `low · max_lr` as `base_lr`. Take a
    /// cycle of 4 to 20 epochs, and the two rates from a [`RangeTest`](crate::train::RangeTest). The loss
    /// rises in each cycle, so end the training at the end of one. It needs the same tuning as a schedule
    /// that falls.
    ///
    /// Source: Smith 2017, arXiv:1506.01186.
    cyclic::Cyclic {
        /// Units in which the rate rises, at least 1.
        up: usize,
        /// Units in which the rate falls, at least 1.
        down: usize,
        /// Fraction of the base rate at the feet of the triangles, from 0 to 1.
        low: f64,
        /// How the height of the triangles changes.
        mode: CyclicMode,
    }
    /// One cycle: from `1 / div_factor` up to the base rate, and down to `1 / (div_factor ·
    /// final_div_factor)`, which is reached at the last unit.
    ///
    /// ```text
    /// pct_start · T − 1 is the unit of the base rate. With three phases the rate falls back to 1 / div_factor at
    /// unit 2 · pct_start · T − 2 before it falls to the end.
    /// ```
    ///
    /// This is PyTorch's `OneCycleLR`, with the base rate as `max_lr`. The base rate is the largest rate that
    /// the training tolerates, higher than a constant rate would be: take it from a
    /// [`RangeTest`](crate::train::RangeTest). Count steps, not epochs. It saves epochs where a high rate is
    /// tolerated; it does not help where the number of epochs is not the limit. See [`LrSchedule::momentum`]
    /// for the momentum.
    ///
    /// Sources: Smith 2018, arXiv:1803.09820; Smith and Topin 2018, arXiv:1708.07120.
    one_cycle::OneCycle {
        /// Share of the training in which the rate rises, from 0 to 1; to 0.5 with three phases.
        pct_start: f64,
        /// The base rate over the first rate, above 0.
        div_factor: f64,
        /// The first rate over the last rate, above 0.
        final_div_factor: f64,
        /// Whether the rate follows half cosine waves rather than straight lines.
        cosine: bool,
        /// Whether the rate falls as fast as it rose before it falls to the end.
        three_phase: bool,
    }
    /// A linear warm-up over the first `n` units, then a schedule `g` over the rest: `f = (t + 1) / (n + 1) ·
    /// g(0, T − n)` for `t < n`, then `f = g(t − n, T − n)`.
    ///
    /// Source: Goyal et al. 2017, arXiv:1706.02677.
    warm_up::WarmUp {
        /// The `n` units.
        over: Span,
        /// The schedule `g`.
        then: Box<Schedule>,
    }
    /// A schedule for stochastic weight averaging: `f = g(t, T)` for `t < n`, then a [`SwaRate`].
    ///
    /// Source: Izmailov et al. 2018, arXiv:1803.05407.
    swa::Swa {
        /// The schedule `g`, over the whole training.
        before: Box<Schedule>,
        /// The `n` units before the averaging starts; see [`Averaging::Swa`](crate::train::Averaging::Swa).
        start: Span,
        /// The learning rate while networks are averaged.
        then: SwaRate,
    }
}

/// The argument that is a schedule itself.
const NESTED: &str = "schedule";

impl Schedule {
    /// The schedule with this shape that counts `unit`.
    #[must_use]
    pub fn per(self, unit: Unit) -> LrSchedule {
        LrSchedule { shape: self, unit }
    }

    /// A linear warm-up, and this shape after it.
    #[must_use]
    pub fn after_warm_up(self, over: Span) -> Self {
        Self::WarmUp { over, then: Box::new(self) }
    }

    /// This shape up to `start`, and the learning rate of stochastic weight averaging after it.
    #[must_use]
    pub fn then_swa(self, start: Span, then: SwaRate) -> Self {
        Self::Swa { before: Box::new(self), start, then }
    }

    /// The shapes by name. [`Schedule::parse`] reads the same texts, and shapes within shapes.
    ///
    /// ```
    /// use candle_ensemble::plan::Schedule;
    ///
    /// let step = Schedule::registry().parse("step:30:factor=0.5")?;
    /// assert_eq!(step, Schedule::Step { every: 30, factor: 0.5 });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Schedule>> =
            LazyLock::new(|| Registry::new("schedule", ENTRIES.to_vec()));
        &REGISTRY
    }

    /// Reads a shape from text, such as `cosine`, `one-cycle:0.3`, `exponential:0.99` or
    /// `multi-step:30,60:factor=0.1`. The shape after a warm-up is the rest of the text:
    /// `warm-up:0.1:cosine:0.01`.
    ///
    /// # Errors
    /// When the name or an argument is unknown, or a value is not what it must be.
    ///
    /// ```
    /// use candle_ensemble::plan::{Schedule, Span};
    ///
    /// let cosine = Schedule::Cosine { to: 0.01 };
    /// assert_eq!(Schedule::parse("warm-up:0.1:cosine:0.01")?, cosine.clone().after_warm_up(Span::Share(0.1)));
    /// assert_eq!(Schedule::parse("warm-up:500:cosine:0.01")?, cosine.after_warm_up(Span::Units(500)));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let arguments = Self::registry().get(text)?.arguments();
        let schedule = match arguments.iter().position(|argument| argument.name() == NESTED) {
            None => Self::registry().parse(text)?,
            Some(before) => {
                let mut parts: Vec<&str> = text.splitn(before + 2, ':').collect();
                let inner = if parts.len() > before + 1 { parts.pop() } else { None };
                let outer = parts.join(":");
                match inner {
                    None => Self::registry().parse(&outer)?,
                    Some(inner) => {
                        let inner = inner.strip_prefix("schedule=").unwrap_or(inner).replace(':', "/");
                        Self::registry().parse(&format!("{outer}:{NESTED}={inner}"))?
                    }
                }
            }
        };
        schedule.check()?;
        Ok(schedule)
    }
}

/// The shape that an argument names, with slashes in place of its colons: a colon ends an argument.
fn nested(arguments: &Arguments) -> Result<Schedule> {
    Schedule::parse(&arguments.get::<String>(NESTED)?.replace('/', ":"))
}

/// The share of the training that is done, at most 1.
fn done(t: usize, total: usize) -> f64 {
    if total == 0 {
        0.0
    } else {
        t.min(total) as f64 / total as f64
    }
}

fn at_least_one(what: &str, value: usize) -> Result<()> {
    match value {
        0 => Err(Error::invalid(what, "at least 1", 0)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
