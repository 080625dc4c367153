//! Learning-rate schedules: pure functions of the position within a training, so that a training may be
//! resumed anywhere.
//!
//! A new shape is a new variant of [`Schedule`] with an arm in `factor` and an arm in `check`.
use crate::{
    check::{below_one, non_negative, positive, power},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the learning rate changes during a training: a [`Schedule`] counted in a [`Unit`].
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
    /// What it counts.
    pub unit: Unit,
}

impl LrSchedule {
    /// The learning rate at a position: `base · f(t, T)`, with `t` the units before this one, `T` the units
    /// of the whole training, and `f` the [shape](Schedule).
    #[must_use]
    pub fn rate(&self, base: f64, at: Position) -> f64 {
        let (t, of) = match self.unit {
            Unit::Iteration => (at.iteration(), at.iterations()),
            Unit::Epoch => (at.epoch as u64, at.epochs as u64),
        };
        base * self.shape.factor(t, of)
    }

    /// Is every parameter in its range?
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.shape.check()
    }
}

impl From<Schedule> for LrSchedule {
    /// Counted in iterations.
    fn from(shape: Schedule) -> Self {
        shape.per(Unit::Iteration)
    }
}

/// What a schedule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Batches: the rate may change at every step.
    #[default]
    Iteration,
    /// Epochs: the rate stays the same within one.
    Epoch,
}

/// A position within a training, before the step it predicts.
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
    pub fn iteration(self) -> u64 {
        self.epoch as u64 * self.batches_per_epoch as u64 + self.batch as u64
    }

    /// Steps of the whole training.
    #[must_use]
    pub fn iterations(self) -> u64 {
        self.epochs as u64 * self.batches_per_epoch as u64
    }
}

/// The factor `f(t, T)` on the base learning rate at unit `t` of `T`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Schedule {
    /// `1`.
    #[default]
    Constant,
    /// `factor^⌊t / every⌋`.
    Step {
        /// Units between two changes, at least 1.
        every: u64,
        /// What each change multiplies the rate with, above 0.
        factor: f64,
    },
    /// `1 + (to − 1) · t / T`: a straight line that would reach `to` at the end, one unit after the last.
    Linear {
        /// Fraction of the base rate, 0 or more.
        to: f64,
    },
    /// `to + (1 − to) · (1 + cos(π t / T)) / 2`: half a cosine wave that would reach `to` at the end, one
    /// unit after the last (Loshchilov & Hutter 2017, arXiv:1608.03983).
    Cosine {
        /// Fraction of the base rate, 0 or more.
        to: f64,
    },
    /// `(1 + cos(π (t mod L) / L)) / 2` with `L = ⌈T / M⌉`: `M` half cosine waves from 1 towards 0, each a warm restart
    /// (Loshchilov & Hutter 2017, arXiv:1608.03983; this form is that of Huang et al. 2017, arXiv:1704.00109, for
    /// any `T` and `M`, so that the last wave is cut short where `M` does not divide `T`).
    /// [`Snapshot`](crate::plan::Snapshot) sets the same rate, with waves of whole epochs.
    WarmRestarts {
        /// The `M` waves, at least 1.
        cycles: usize,
    },
    /// `(t + 1) / (n + 1) · g(0, T − n)` for `t < n`, then `g(t − n, T − n)`: a straight line from near 0
    /// over the first `n` units, then another schedule `g` over the rest (Goyal et al. 2017,
    /// arXiv:1706.02677).
    WarmUp {
        /// The `n` units.
        over: Span,
        /// The schedule `g`.
        then: Box<Schedule>,
    },
    /// `g(t, T)` for `t < n`, then the rate at which stochastic weight averaging explores; see [`SwaRate`].
    Swa {
        /// The schedule `g`, of the whole training.
        before: Box<Schedule>,
        /// The `n` units: where the averaging starts ([`Averaging::Swa`](crate::train::Averaging::Swa)).
        start: Span,
        /// What follows.
        then: SwaRate,
    },
}

/// The learning rate of stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407), as a factor on the base
/// rate, `s = 0, 1, …` units after its start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SwaRate {
    /// `to + (g − to)·(1 − a)`: from `g`, the rate where it starts, to a constant, in `over` units; with `u = min(1,
    /// s/over)`, `a` is `u` or `(1 − cos πu)/2`. 0 units are one step. This is the form of PyTorch's `SWALR`.
    Constant {
        /// Fraction of the base rate, 0 or more.
        to: f64,
        /// Units that it takes to get there.
        over: u64,
        /// Along half a cosine wave rather than a straight line.
        cosine: bool,
    },
    /// `(1 − u)·from + u·to` with `u = (s mod length + 1)/length`: falls along a straight line, reaches `to` at the
    /// cycle's last unit, and starts again. This is the paper's cyclic rate.
    Cycle {
        /// Fraction of the base rate above which a cycle starts, 0 or more.
        from: f64,
        /// Fraction of the base rate at its end, 0 or more.
        to: f64,
        /// Units of a cycle, at least 1.
        length: u64,
    },
}

impl SwaRate {
    /// The factor `s` units after the start, where it was `g`.
    fn factor(self, s: u64, g: f64) -> f64 {
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Span {
    /// So many units of the schedule.
    Units(u64),
    /// This share of the whole, from 0 to less than 1, rounded to whole units.
    Share(f64),
}

impl Span {
    /// A share has to be from 0 to less than 1.
    pub(crate) fn check(self, what: &str) -> Result<()> {
        match self {
            Self::Units(_) => Ok(()),
            Self::Share(share) => below_one(what, share),
        }
    }

    pub(crate) fn units(self, of: u64) -> u64 {
        match self {
            Self::Units(n) => n,
            Self::Share(share) => (share * of as f64).round() as u64,
        }
    }
}

impl Schedule {
    /// This shape, counted in `unit`.
    #[must_use]
    pub fn per(self, unit: Unit) -> LrSchedule {
        LrSchedule { shape: self, unit }
    }

    /// A linear warm-up, then this shape.
    #[must_use]
    pub fn after_warm_up(self, over: Span) -> Self {
        Self::WarmUp { over, then: Box::new(self) }
    }

    /// This shape up to `start`, then the rate of stochastic weight averaging.
    #[must_use]
    pub fn then_swa(self, start: Span, then: SwaRate) -> Self {
        Self::Swa { before: Box::new(self), start, then }
    }

    /// The factor at unit `t` of `of`; beyond the end it stays what it would be at the end.
    fn factor(&self, t: u64, of: u64) -> f64 {
        let done = if of == 0 { 0.0 } else { t.min(of) as f64 / of as f64 };
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, factor } => power(factor, t / every.max(1)),
            Self::Linear { to } => 1.0 + (to - 1.0) * done,
            Self::Cosine { to } => to + (1.0 - to) * (1.0 + (PI * done).cos()) / 2.0,
            Self::WarmRestarts { cycles } => {
                let length = of.div_ceil((cycles.max(1)) as u64).max(1);
                (1.0 + (PI * (t % length) as f64 / length as f64).cos()) / 2.0
            }
            Self::WarmUp { over, ref then } => {
                let n = over.units(of);
                let rest = of.saturating_sub(n);
                if t < n {
                    (t + 1) as f64 / (n + 1) as f64 * then.factor(0, rest)
                } else {
                    then.factor(t - n, rest)
                }
            }
            Self::Swa { ref before, start, then } => match start.units(of) {
                n if t < n => before.factor(t, of),
                n => then.factor(t - n, before.factor(n, of)),
            },
        }
    }

    /// Is every parameter in its range?
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

    /// The paper's formula as it stands there, at every iteration of runs that the cycles divide and do not divide.
    #[test]
    fn warm_restarts_are_the_paper_s_formula_for_any_length() {
        for (epochs, batches, cycles) in
            [(30, 7, 6), (10, 7, 4), (11, 3, 3), (5, 1, 5), (7, 13, 11), (3, 1, 8)]
        {
            let (rate, of) = (0.1, (epochs * batches) as f64);
            let length = (of / cycles as f64).ceil();
            let schedule = LrSchedule::from(Schedule::WarmRestarts { cycles });
            for i in 0..epochs * batches {
                let t = i as f64 + 1.0;
                let paper = rate / 2.0 * ((PI * ((t - 1.0) % length) / length).cos() + 1.0);
                let (epoch, batch) = (i / batches, i % batches);
                let got = schedule.rate(rate, Position { epoch, batch, epochs, batches_per_epoch: batches });
                assert!((got - paper).abs() < 1e-12, "{i} of {of} in {cycles}: {got} against {paper}");
            }
        }
    }

    #[test]
    fn warm_up_climbs_to_where_the_rest_begins() {
        let rest = Schedule::Linear { to: 0.0 };
        let expected = [0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2];
        assert_close(&curve(rest.clone().after_warm_up(Span::Units(3)), 1.0, 8), &expected);
        assert_close(&curve(rest.after_warm_up(Span::Share(0.4)), 1.0, 8), &expected);
        // Longer than the training: it never gets there, and nothing overflows.
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
        fn falling_shapes_stay_between_their_ends(to in 0.0..1.0f64, n in 1..200usize, warm in 0..50u64) {
            for shape in [Schedule::Linear { to }, Schedule::Cosine { to }] {
                let rates = curve(shape.after_warm_up(Span::Units(warm)), 1.0, n);
                for rate in rates.into_iter().skip(warm as usize) {
                    prop_assert!(rate >= to - 1e-12 && rate <= 1.0);
                }
            }
        }
    }
}
