//! Learning-rate schedules.
//!
//! A schedule is a pure function of the position within a training, so a training can resume anywhere. The
//! learning rate of a step is the optimizer's base learning rate times a factor `f(t, T)`, where `t` is the
//! number of units (steps or epochs) before this step and `T` the number of units of the whole training.
//!
//! To add a shape, add a variant to [`Schedule`] with an arm in `factor` and an arm in `check`.
use crate::{
    check::{below_one, non_negative, positive, power},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

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
        let (t, total) = match self.unit {
            Unit::Iteration => (at.iteration(), at.iterations()),
            Unit::Epoch => (at.epoch, at.epochs),
        };
        base * self.shape.factor(t, total)
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.shape.check()
    }
}

impl From<Schedule> for LrSchedule {
    /// Counts iterations.
    fn from(shape: Schedule) -> Self {
        shape.per(Unit::Iteration)
    }
}

/// The unit that a schedule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Batches: the learning rate may change at every step.
    #[default]
    Iteration,
    /// Epochs: the learning rate is constant within an epoch.
    Epoch,
}

/// A position within a training, before one of its steps.
///
/// ```
/// let at = candle_ensemble::plan::Position { epoch: 2, batch: 5, epochs: 10, batches_per_epoch: 30 };
/// assert_eq!((at.iteration(), at.iterations()), (65, 300));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The batch within the epoch, from 0.
    pub batch: usize,
    /// Epochs of the whole training.
    pub epochs: usize,
    /// Batches of one epoch.
    pub batches_per_epoch: usize,
}

impl Position {
    /// Steps before this one.
    #[must_use]
    pub fn iteration(self) -> usize {
        self.epoch * self.batches_per_epoch + self.batch
    }

    /// Steps of the whole training.
    #[must_use]
    pub fn iterations(self) -> usize {
        self.epochs * self.batches_per_epoch
    }
}

/// The shape of a learning-rate schedule: the factor `f(t, T)` on the base learning rate at unit `t` of `T`.
///
/// [`per`](Schedule::per) says what a unit is. After the last unit the factor stays at the value of the end.
///
/// Use [`Cosine`](Schedule::Cosine) or [`Linear`](Schedule::Linear) to 0 for a network that is trained for a
/// fixed number of epochs: both train faster at first and settle at the end. Put a warm-up before it
/// ([`after_warm_up`](Schedule::after_warm_up)) when the first steps diverge, as with large batches.
/// [`Constant`](Schedule::Constant) is enough for Adam on small problems. With early stopping prefer
/// `Constant` or [`Step`](Schedule::Step), which do not depend on the number of epochs. Cost: none.
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
    /// A learning rate that changes by a factor at regular intervals: `f = factor^⌊t / every⌋`.
    Step {
        /// Units from one change to the next, at least 1.
        every: usize,
        /// The factor of each change, above 0.
        factor: f64,
    },
    /// A straight line: `f = 1 + (to − 1) · t / T`. It reaches `to` one unit after the last.
    Linear {
        /// Fraction of the base rate, 0 or more.
        to: f64,
    },
    /// Half a cosine wave: `f = to + (1 − to) · (1 + cos(π t / T)) / 2`. It reaches `to` one unit after the
    /// last.
    ///
    /// Source: Loshchilov and Hutter 2017, arXiv:1608.03983.
    Cosine {
        /// Fraction of the base rate, 0 or more.
        to: f64,
    },
    /// Cosine waves with warm restarts: `f = (1 + cos(π (t mod L) / L)) / 2` with `L = ⌈T / M⌉`. Each of the
    /// `M` half waves falls from 1 towards 0. The last is cut short if `M` does not divide `T`.
    ///
    /// [`Snapshot`](crate::plan::Snapshot) sets the same learning rate with waves of whole epochs, and
    /// collects a member at the end of each.
    ///
    /// Sources: Loshchilov and Hutter 2017, arXiv:1608.03983, in the form of Huang et al. 2017,
    /// arXiv:1704.00109.
    WarmRestarts {
        /// The number `M` of waves, at least 1.
        cycles: usize,
    },
    /// A linear warm-up over the first `n` units, then a schedule `g` over the rest: `f = (t + 1) / (n + 1) ·
    /// g(0, T − n)` for `t < n`, then `f = g(t − n, T − n)`.
    ///
    /// Source: Goyal et al. 2017, arXiv:1706.02677.
    WarmUp {
        /// The `n` units.
        over: Span,
        /// The schedule `g`.
        then: Box<Schedule>,
    },
    /// A schedule for stochastic weight averaging: `f = g(t, T)` for `t < n`, then a [`SwaRate`].
    ///
    /// Source: Izmailov et al. 2018, arXiv:1803.05407.
    Swa {
        /// The schedule `g`, over the whole training.
        before: Box<Schedule>,
        /// The `n` units before the averaging starts; see [`Averaging::Swa`](crate::train::Averaging::Swa).
        start: Span,
        /// The learning rate while networks are averaged.
        then: SwaRate,
    },
}

/// The learning rate of stochastic weight averaging: the factor on the base rate, `s = 0, 1, …` units after
/// the averaging starts.
///
/// Source: Izmailov et al. 2018, arXiv:1803.05407.
///
/// ```
/// use candle_ensemble::plan::{Schedule, Span, SwaRate, Unit};
///
/// // Cycles of 4 epochs from the base rate down to a tenth of it, in the last quarter.
/// let rate = SwaRate::Cycle { from: 1.0, to: 0.1, length: 4 };
/// let schedule = Schedule::Constant.then_swa(Span::Share(0.75), rate).per(Unit::Epoch);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SwaRate {
    /// From the rate `g` at the start to a constant, in `over` units: `f = a · to + (1 − a) · g`, where `a`
    /// is `u` or `(1 − cos πu) / 2`, with `u = min(1, s / over)`. This is the form of PyTorch's `SWALR`.
    Constant {
        /// Fraction of the base rate, 0 or more.
        to: f64,
        /// Units until the constant is reached. With 0 it is reached at once.
        over: usize,
        /// Whether the rate follows half a cosine wave rather than a straight line.
        cosine: bool,
    },
    /// The cyclic rate of the paper: `f = (1 − u) · from + u · to`, with `u = (s mod length + 1) / length`.
    /// It falls along a straight line, reaches `to` at the last unit of a cycle, and starts again.
    Cycle {
        /// Fraction of the base rate from which a cycle falls, 0 or more.
        from: f64,
        /// Fraction of the base rate at the end of a cycle, 0 or more.
        to: f64,
        /// Units of a cycle, at least 1.
        length: usize,
    },
}

impl SwaRate {
    /// The factor `s` units after the start, where the factor was `g`.
    fn factor(self, s: usize, g: f64) -> f64 {
        match self {
            Self::Constant { to, over, cosine } => {
                let u = if s >= over { 1.0 } else { s as f64 / over as f64 };
                let a = if cosine { (1.0 - (PI * u).cos()) / 2.0 } else { u };
                to * a + g * (1.0 - a)
            }
            Self::Cycle { from, to, length } => {
                let length = length.max(1);
                let u = (s % length + 1) as f64 / length as f64;
                from * (1.0 - u) + to * u
            }
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Self::Constant { to, .. } => non_negative("SwaRate::Constant::to", to),
            Self::Cycle { length: 0, .. } => Err(Error::invalid("SwaRate::Cycle::length", "at least 1", 0)),
            Self::Cycle { from, to, .. } => {
                non_negative("SwaRate::Cycle::from", from)?;
                non_negative("SwaRate::Cycle::to", to)
            }
        }
    }
}

/// A part of a training.
///
/// ```
/// use candle_ensemble::plan::{Schedule, Span};
///
/// let five_units = Schedule::Constant.after_warm_up(Span::Units(5));
/// let a_tenth = Schedule::Constant.after_warm_up(Span::Share(0.1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Span {
    /// A number of units of the schedule.
    Units(usize),
    /// A share of the training, from 0 to less than 1, rounded to whole units.
    Share(f64),
}

impl Span {
    /// Checks that a share is from 0 to less than 1.
    pub(crate) fn check(self, what: &str) -> Result<()> {
        match self {
            Self::Units(_) => Ok(()),
            Self::Share(share) => below_one(what, share),
        }
    }

    /// The number of units in a training of `total` units.
    pub(crate) fn units(self, total: usize) -> usize {
        match self {
            Self::Units(n) => n,
            Self::Share(share) => (share * total as f64).round() as usize,
        }
    }
}

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

    /// The factor at unit `t` of `total`. After the end it stays at its last value.
    fn factor(&self, t: usize, total: usize) -> f64 {
        let done = if total == 0 { 0.0 } else { t.min(total) as f64 / total as f64 };
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, factor } => power(factor, (t / every.max(1)) as u64),
            Self::Linear { to } => 1.0 + (to - 1.0) * done,
            Self::Cosine { to } => to + (1.0 - to) * (1.0 + (PI * done).cos()) / 2.0,
            Self::WarmRestarts { cycles } => {
                let length = total.div_ceil(cycles.max(1)).max(1);
                (1.0 + (PI * (t % length) as f64 / length as f64).cos()) / 2.0
            }
            Self::WarmUp { over, ref then } => {
                let n = over.units(total);
                let rest = total.saturating_sub(n);
                if t < n {
                    (t + 1) as f64 / (n + 1) as f64 * then.factor(0, rest)
                } else {
                    then.factor(t - n, rest)
                }
            }
            Self::Swa { ref before, start, then } => match start.units(total) {
                n if t < n => before.factor(t, total),
                n => then.factor(t - n, before.factor(n, total)),
            },
        }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Constant => Ok(()),
            Self::Step { every: 0, .. } => Err(Error::invalid("Schedule::Step::every", "at least 1", 0)),
            Self::Step { factor, .. } => positive("Schedule::Step::factor", factor),
            Self::Linear { to } => non_negative("Schedule::Linear::to", to),
            Self::Cosine { to } => non_negative("Schedule::Cosine::to", to),
            Self::WarmRestarts { cycles: 0 } => {
                Err(Error::invalid("Schedule::WarmRestarts::cycles", "at least 1", 0))
            }
            Self::WarmRestarts { .. } => Ok(()),
            Self::WarmUp { over, ref then } => {
                over.check("Schedule::WarmUp::over")?;
                then.check()
            }
            Self::Swa { ref before, start, then } => {
                start.check("Schedule::Swa::start")?;
                then.check()?;
                before.check()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CYCLE: SwaRate = SwaRate::Cycle { from: 1.0, to: 0.5, length: 2 };

    fn curve(shape: Schedule, base: f64, n: usize) -> Vec<f64> {
        let schedule = shape.per(Unit::Epoch);
        let at = |epoch| Position { epoch, batch: 0, epochs: n, batches_per_epoch: 7 };
        (0..n).map(|epoch| schedule.rate(base, at(epoch))).collect()
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((g - e).abs() < 1e-12, "{got:?} against {expected:?}");
        }
    }

    #[test]
    fn shapes_follow_their_formulas() {
        assert_close(&curve(Schedule::Constant, 0.3, 3), &[0.3; 3]);
        assert_close(
            &curve(Schedule::Step { every: 2, factor: 0.5 }, 0.8, 6),
            &[0.8, 0.8, 0.4, 0.4, 0.2, 0.2],
        );
        assert_close(&curve(Schedule::Linear { to: 0.2 }, 1.0, 4), &[1.0, 0.8, 0.6, 0.4]);
        assert_close(&curve(Schedule::Linear { to: 3.0 }, 1.0, 4), &[1.0, 1.5, 2.0, 2.5]);
        // cos of 0, 45, 90 and 135 degrees.
        let half = 0.5f64.sqrt();
        assert_close(&curve(Schedule::Cosine { to: 0.0 }, 2.0, 4), &[2.0, 1.0 + half, 1.0, 1.0 - half]);
        // From 1 to 0.1 over 6: cos of 0, 30, 60, … degrees.
        let wave = [1.0, 0.75f64.sqrt(), 0.5, 0.0, -0.5, -(0.75f64.sqrt())];
        assert_close(
            &curve(Schedule::Cosine { to: 0.1 }, 1.0, 6),
            &wave.map(|c| 0.1 + 0.9 * (1.0 + c) / 2.0),
        );
    }

    /// PyTorch's CosineAnnealingLR(T_max = 10, eta_min = 0.01) documents itself by this recursion.
    #[test]
    fn cosine_obeys_the_recursion_of_pytorch() {
        let (base, least, n) = (0.5, 0.01, 10);
        let rates = curve(Schedule::Cosine { to: least / base }, base, n);
        let mut rate = base;
        for (t, got) in rates.iter().enumerate() {
            assert!((got - rate).abs() < 1e-12);
            let cos = |t: usize| 1.0 + (PI * t as f64 / n as f64).cos();
            rate = cos(t + 1) / cos(t) * (rate - least) + least;
        }
    }

    /// The formula of the paper at every iteration, for lengths that the number of cycles divides and does
    /// not divide.
    #[test]
    fn warm_restarts_are_the_paper_s_formula_for_any_length() {
        for (epochs, batches, cycles) in
            [(30, 7, 6), (10, 7, 4), (11, 3, 3), (5, 1, 5), (7, 13, 11), (3, 1, 8)]
        {
            let (rate, total) = (0.1, (epochs * batches) as f64);
            let length = (total / cycles as f64).ceil();
            let schedule = LrSchedule::from(Schedule::WarmRestarts { cycles });
            for i in 0..epochs * batches {
                let t = i as f64 + 1.0;
                let paper = rate / 2.0 * ((PI * ((t - 1.0) % length) / length).cos() + 1.0);
                let (epoch, batch) = (i / batches, i % batches);
                let got = schedule.rate(rate, Position { epoch, batch, epochs, batches_per_epoch: batches });
                assert!((got - paper).abs() < 1e-12, "{i} of {total} in {cycles}: {got} against {paper}");
            }
        }
    }

    #[test]
    fn warm_up_rises_to_the_start_of_the_schedule_after_it() {
        let rest = Schedule::Linear { to: 0.0 };
        let expected = [0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2];
        assert_close(&curve(rest.clone().after_warm_up(Span::Units(3)), 1.0, 8), &expected);
        assert_close(&curve(rest.after_warm_up(Span::Share(0.4)), 1.0, 8), &expected);
        // Longer than the training: the end of the warm-up is never reached, and nothing overflows.
        assert_close(&curve(Schedule::Constant.after_warm_up(Span::Units(3)), 1.0, 2), &[0.25, 0.5]);
    }

    /// torch.optim.swa_utils.SWALR, written as the recursion of its `get_lr`.
    fn swalr(start_rate: f64, to: f64, over: i64, cosine: bool, steps: i64) -> Vec<f64> {
        let anneal = |u: f64| if cosine { (1.0 - (PI * u).cos()) / 2.0 } else { u };
        let mut rate = start_rate;
        let mut rates = vec![];
        for step in 0..steps {
            let step = if over == 0 { step.max(1) } else { step };
            let u = |k: i64| (k as f64 / over.max(1) as f64).clamp(0.0, 1.0);
            let before = anneal(u(step - 1));
            let initial = if before == 1.0 { to } else { (rate - before * to) / (1.0 - before) };
            let a = anneal(u(step));
            rate = to * a + initial * (1.0 - a);
            rates.push(rate);
        }
        rates
    }

    #[test]
    fn swa_anneals_to_its_rate_as_pytorch_does() {
        for (over, cosine) in [(0, true), (1, false), (4, false), (4, true), (20, true)] {
            let rate = SwaRate::Constant { to: 0.5, over, cosine };
            let rates = curve(Schedule::Linear { to: 0.0 }.then_swa(Span::Units(4), rate), 2.0, 12);
            assert_close(&rates[..4], &curve(Schedule::Linear { to: 0.0 }, 2.0, 12)[..4]);
            assert_close(&rates[4..], &swalr(2.0 * (1.0 - 4.0 / 12.0), 1.0, over as i64, cosine, 8));
        }
    }

    #[test]
    fn swa_cycles_as_in_the_paper() {
        let rate = SwaRate::Cycle { from: 1.0, to: 0.25, length: 3 };
        let rates = curve(Schedule::Constant.then_swa(Span::Share(0.25), rate), 1.0, 8);
        // i = 1, 2 …: t = ((i − 1) mod 3 + 1)/3, (1 − t)·α₁ + t·α₂.
        assert_close(&rates, &[1.0, 1.0, 0.75, 0.5, 0.25, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn iterations_count_batches_and_epochs_do_not() {
        let at = |epoch, batch| Position { epoch, batch, epochs: 2, batches_per_epoch: 5 };
        let linear = Schedule::Linear { to: 0.0 };
        assert!((linear.clone().per(Unit::Iteration).rate(1.0, at(1, 2)) - 0.3).abs() < 1e-12);
        assert!((linear.per(Unit::Epoch).rate(1.0, at(1, 2)) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn bad_parameters_are_named() {
        let bad = [
            (Schedule::Step { every: 0, factor: 0.5 }, "Step::every"),
            (Schedule::Step { every: 1, factor: 0.0 }, "Step::factor"),
            (Schedule::Linear { to: -0.1 }, "Linear::to"),
            (Schedule::Cosine { to: f64::NAN }, "Cosine::to"),
            (Schedule::WarmRestarts { cycles: 0 }, "WarmRestarts::cycles"),
            (Schedule::Constant.after_warm_up(Span::Share(1.0)), "WarmUp::over"),
            (Schedule::Linear { to: -1.0 }.then_swa(Span::Units(1), CYCLE), "Linear::to"),
            (Schedule::Constant.then_swa(Span::Share(-0.1), CYCLE), "Swa::start"),
            (
                Schedule::Constant.then_swa(Span::Units(1), SwaRate::Cycle { from: 1.0, to: 0.5, length: 0 }),
                "length",
            ),
            (Schedule::Cosine { to: -1.0 }.after_warm_up(Span::Units(2)), "Cosine::to"),
        ];
        for (shape, name) in bad {
            let e = shape.check().unwrap_err().to_string();
            assert!(e.contains(name), "{e}");
        }
        assert!(Schedule::Cosine { to: 0.0 }.after_warm_up(Span::Share(0.1)).check().is_ok());
    }

    proptest! {
        #[test]
        fn falling_shapes_stay_between_their_ends(to in 0.0..1.0f64, n in 1..200usize, warm in 0..50usize) {
            for shape in [Schedule::Linear { to }, Schedule::Cosine { to }] {
                let rates = curve(shape.after_warm_up(Span::Units(warm)), 1.0, n);
                for rate in rates.into_iter().skip(warm) {
                    prop_assert!(rate >= to - 1e-12 && rate <= 1.0);
                }
            }
        }
    }
}
