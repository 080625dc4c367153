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
