use super::*;
use proptest::prelude::*;
use std::f64::consts::PI;

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
    assert_close(&curve(Schedule::Step { every: 2, factor: 0.5 }, 0.8, 6), &[0.8, 0.8, 0.4, 0.4, 0.2, 0.2]);
    assert_close(&curve(Schedule::Linear { to: 0.2 }, 1.0, 4), &[1.0, 0.8, 0.6, 0.4]);
    assert_close(&curve(Schedule::Linear { to: 3.0 }, 1.0, 4), &[1.0, 1.5, 2.0, 2.5]);
    // cos of 0, 45, 90 and 135 degrees.
    let half = 0.5f64.sqrt();
    assert_close(&curve(Schedule::Cosine { to: 0.0 }, 2.0, 4), &[2.0, 1.0 + half, 1.0, 1.0 - half]);
    // From 1 to 0.1 over 6: cos of 0, 30, 60, … degrees.
    let wave = [1.0, 0.75f64.sqrt(), 0.5, 0.0, -0.5, -(0.75f64.sqrt())];
    assert_close(&curve(Schedule::Cosine { to: 0.1 }, 1.0, 6), &wave.map(|c| 0.1 + 0.9 * (1.0 + c) / 2.0));
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
    for (epochs, batches, cycles) in [(30, 7, 6), (10, 7, 4), (11, 3, 3), (5, 1, 5), (7, 13, 11), (3, 1, 8)] {
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

/// `n` steps of an epoch.
fn steps(shape: &Schedule, n: usize) -> Vec<f64> {
    (0..n).map(|t| shape.factor(t, n)).collect()
}

/// The numbers of `tests/reference/schedules.py`, from PyTorch 2.15.
#[test]
fn shapes_are_those_of_pytorch_and_keras() {
    let one_cycle = |pct_start, div_factor, final_div_factor, cosine, three_phase| Schedule::OneCycle {
        pct_start,
        div_factor,
        final_div_factor,
        cosine,
        three_phase,
    };
    let cases: [(Schedule, &[f64]); 14] = [
        (
            Schedule::one_cycle(0.3),
            &[
                0.04,
                0.52,
                1.,
                0.950484632013,
                0.81174565395,
                0.611262021936,
                0.388741978064,
                0.18825834605,
                0.0495193679865,
                4e-06,
            ],
        ),
        (one_cycle(0.4, 10., 100., false, true), &[0.1, 0.4, 0.7, 1., 0.7, 0.4, 0.1, 0.067, 0.034, 0.001]),
        (
            one_cycle(0.25, 4., 10., true, false),
            &[0.25, 0.994555027785, 0.869862787517, 0.620978955304, 0.334396250621, 0.109708597521, 0.025],
        ),
        (one_cycle(0., 4., 10., true, false), &[0.75625, 0.26875, 0.025]),
        (Schedule::Exponential { gamma: 0.9 }, &[1., 0.9, 0.81, 0.729, 0.6561]),
        (
            Schedule::MultiStep { at: vec![2, 3, 6], factor: 0.5 },
            &[1., 1., 0.5, 0.25, 0.25, 0.25, 0.125, 0.125],
        ),
        (Schedule::Polynomial { to: 0., power: 2. }, &[1., 0.64, 0.36, 0.16, 0.04]),
        (Schedule::Polynomial { to: 0.1, power: 0.5 }, &[1., 0.879422863406, 0.736396103068, 0.55]),
        (Schedule::TimeBased { decay: 0.5 }, &[1., 2. / 3., 0.5, 0.4, 1. / 3.]),
        (
            Schedule::Cyclic { up: 4, down: 2, low: 0.2, mode: CyclicMode::Triangular },
            &[0.2, 0.4, 0.6, 0.8, 1., 0.6, 0.2, 0.4, 0.6, 0.8, 1., 0.6],
        ),
        (
            Schedule::Cyclic { up: 2, down: 3, low: 0.2, mode: CyclicMode::Triangular2 },
            &[
                0.2,
                0.6,
                1.,
                0.733333333333,
                0.466666666667,
                0.2,
                0.4,
                0.6,
                0.466666666667,
                0.333333333333,
                0.2,
                0.3,
            ],
        ),
        (
            Schedule::Cyclic { up: 2, down: 2, low: 0.2, mode: CyclicMode::ExpRange { gamma: 0.9 } },
            &[0.2, 0.56, 0.848, 0.4916, 0.2, 0.436196, 0.6251528, 0.39131876, 0.2, 0.3549681956],
        ),
        (
            Schedule::InverseSquareRoot { warm_up: Span::Units(4) },
            &[
                0.25,
                0.5,
                0.75,
                1.,
                0.894427191,
                0.816496580928,
                0.755928946018,
                std::f64::consts::FRAC_1_SQRT_2,
                0.666666666667,
                0.632455532034,
            ],
        ),
        // The same warm-up as a share of 10 steps.
        (
            Schedule::InverseSquareRoot { warm_up: Span::Share(0.4) },
            &[
                0.25,
                0.5,
                0.75,
                1.,
                0.894427191,
                0.816496580928,
                0.755928946018,
                std::f64::consts::FRAC_1_SQRT_2,
                0.666666666667,
                0.632455532034,
            ],
        ),
    ];
    for (shape, expected) in cases {
        let got = steps(&shape, expected.len());
        let close = got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-11);
        assert!(close, "{shape:?}: {got:?} against {expected:?}");
    }
}

#[test]
fn the_momentum_of_one_cycle_is_that_of_pytorch() {
    let at = |batch| Position { epoch: 0, batch, epochs: 1, batches_per_epoch: 10 };
    let momenta = |shape: Schedule| {
        let schedule = LrSchedule::from(shape);
        (0..10).map(|batch| schedule.momentum(0.85, 0.95, at(batch)).unwrap()).collect::<Vec<_>>()
    };
    let expected = [
        0.95,
        0.9,
        0.85,
        0.854951556605,
        0.868825509907,
        0.888873953302,
        0.911126046698,
        0.931174490093,
        0.945048443395,
        0.95,
    ];
    let got = momenta(Schedule::one_cycle(0.3));
    assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-11), "{got:?}");
    let three = Schedule::OneCycle {
        pct_start: 0.4,
        div_factor: 25.,
        final_div_factor: 1e4,
        cosine: false,
        three_phase: true,
    };
    let expected =
        [0.95, 0.916666666667, 0.883333333333, 0.85, 0.883333333333, 0.916666666667, 0.95, 0.95, 0.95, 0.95];
    let got = momenta(three);
    assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-11), "{got:?}");
    assert_eq!(LrSchedule::default().momentum(0.85, 0.95, at(3)), None);
}

#[test]
fn shapes_that_end_stay_at_their_ends() {
    for (shape, end) in [
        (Schedule::one_cycle(0.3), 4e-6),
        (Schedule::Polynomial { to: 0.1, power: 3. }, 0.1),
        (Schedule::Linear { to: 0.2 }, 0.2),
    ] {
        for t in [10, 11, 1000] {
            assert!((shape.factor(t, 10) - end).abs() < 1e-15, "{shape:?}");
        }
        assert!(shape.factor(0, 0).is_finite() && shape.factor(5, 1).is_finite());
    }
}

#[test]
fn texts_make_the_schedules_that_they_describe() {
    let cosine = Schedule::Cosine { to: 0.25 };
    let anneal = SwaRate::Constant { to: 0.5, over: 3, cosine: true };
    let shapes = [
        Schedule::Constant,
        Schedule::Step { every: 30, factor: 0.5 },
        Schedule::MultiStep { at: vec![3, 7, 20], factor: 0.2 },
        Schedule::Linear { to: 0.1 },
        Schedule::Polynomial { to: 0., power: 1.5 },
        Schedule::Exponential { gamma: 0.99 },
        Schedule::TimeBased { decay: 1e-4 },
        Schedule::InverseSquareRoot { warm_up: Span::Units(4000) },
        Schedule::WarmRestarts { cycles: 3 },
        Schedule::Cyclic { up: 20, down: 30, low: 0.2, mode: CyclicMode::Triangular },
        Schedule::Cyclic { up: 20, down: 20, low: 0.2, mode: CyclicMode::Triangular2 },
        Schedule::Cyclic { up: 20, down: 30, low: 0.2, mode: CyclicMode::ExpRange { gamma: 0.999 } },
        Schedule::one_cycle(0.25),
        cosine.clone().after_warm_up(Span::Share(0.1)),
        cosine.clone().after_warm_up(Span::Share(0.0)),
        Schedule::one_cycle(0.4).after_warm_up(Span::Units(2)).after_warm_up(Span::Units(5)),
        cosine.after_warm_up(Span::Units(3)).then_swa(Span::Share(0.75), anneal),
    ];
    for shape in shapes {
        for unit in [Unit::Iteration, Unit::Epoch] {
            let schedule = shape.clone().per(unit);
            let text = schedule.text().unwrap();
            assert_eq!(LrSchedule::parse(&text).unwrap(), schedule, "{text}");
        }
    }
    assert_eq!(Schedule::Constant.then_swa(Span::Units(1), CYCLE).text(), None);
    let parse = |text: &str| LrSchedule::parse(text).unwrap();
    assert_eq!(parse("cosine"), Schedule::Cosine { to: 0. }.into());
    assert_eq!(parse("one-cycle:0.3"), Schedule::one_cycle(0.3).into());
    let warm = Schedule::Step { every: 3, factor: 0.5 }.after_warm_up(Span::Units(2)).per(Unit::Epoch);
    assert_eq!(parse("warm-up:2:step:3:factor=0.5:per=epoch"), warm);
    assert_eq!(parse("warm-up"), Schedule::Constant.after_warm_up(Span::Share(0.1)).into());
    // Every entry's defaults are a valid schedule.
    for entry in Schedule::registry().entries() {
        let required = match entry.name() {
            "step" => ":30",
            "multi-step" => ":30,60",
            "exponential" => ":0.9",
            "time-based" => ":0.1",
            _ => "",
        };
        assert!(Schedule::parse(&format!("{}{required}", entry.name())).is_ok(), "{}", entry.name());
    }
}

#[test]
fn bad_texts_are_errors_that_say_why() {
    for (text, part) in [
        ("cosin", "did you mean cosine?"),
        ("exponential", "the argument gamma of exponential must be given"),
        ("exponential:-1", "Schedule::Exponential::gamma"),
        ("warm-up:0.1:cosin", "did you mean cosine?"),
        ("warm-up:1.5:cosine", "Schedule::WarmUp::over"),
        ("warm-up:a:cosine", "a whole number of units, or a share"),
        ("multi-step:5,3", "increasing units"),
        ("cosine:per=day", "one of epoch, iteration"),
        ("cosine:0:0", "at most 1"),
    ] {
        let e = LrSchedule::parse(text).unwrap_err().to_string();
        assert!(e.contains(part), "{text}: {e}");
    }
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
        (Schedule::MultiStep { at: vec![], factor: 0.5 }, "MultiStep::at"),
        (Schedule::MultiStep { at: vec![2, 2], factor: 0.5 }, "MultiStep::at"),
        (Schedule::MultiStep { at: vec![2], factor: 0.0 }, "MultiStep::factor"),
        (Schedule::Polynomial { to: -1.0, power: 1.0 }, "Polynomial::to"),
        (Schedule::Polynomial { to: 0.0, power: 0.0 }, "Polynomial::power"),
        (Schedule::Exponential { gamma: 0.0 }, "Exponential::gamma"),
        (Schedule::TimeBased { decay: -1.0 }, "TimeBased::decay"),
        (Schedule::InverseSquareRoot { warm_up: Span::Share(1.0) }, "InverseSquareRoot::warm_up"),
        (Schedule::Cyclic { up: 0, down: 1, low: 0.1, mode: CyclicMode::Triangular }, "Cyclic::up"),
        (Schedule::Cyclic { up: 1, down: 0, low: 0.1, mode: CyclicMode::Triangular }, "Cyclic::down"),
        (Schedule::Cyclic { up: 1, down: 1, low: 1.1, mode: CyclicMode::Triangular }, "Cyclic::low"),
        (
            Schedule::Cyclic { up: 1, down: 1, low: 0.1, mode: CyclicMode::ExpRange { gamma: 0.0 } },
            "ExpRange::gamma",
        ),
        (Schedule::one_cycle(1.1), "OneCycle::pct_start"),
        (
            Schedule::OneCycle {
                pct_start: 0.6,
                div_factor: 25.0,
                final_div_factor: 1e4,
                cosine: true,
                three_phase: true,
            },
            "from 0 to 0.5 with three phases",
        ),
        (
            Schedule::OneCycle {
                pct_start: 0.3,
                div_factor: 0.0,
                final_div_factor: 1e4,
                cosine: true,
                three_phase: false,
            },
            "OneCycle::div_factor",
        ),
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
