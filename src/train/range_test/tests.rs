use super::*;
use crate::{
    data::TensorDataset,
    plan::BatchSize,
    train::{Averaging, Clip, EarlyStopping, Optimizer, ReduceOnPlateau},
};
use candle_core::Tensor;
use candle_nn::{linear, linear_no_bias, Linear};

/// `y = 3 x ± 1/2` with `x = ±2` and noise that no line fits: the loss `4 (w − 3)² + 1/4` has the curvature
/// `L = 8`, and gradient descent diverges above the rate `2 / L`.
fn quadratic() -> TensorDataset {
    let (x, noise) = ([2f32, 2., -2., -2.], [0.5f32, -0.5, 0.5, -0.5]);
    let y: Vec<f32> = x.iter().zip(noise).map(|(x, e)| 3. * x + e).collect();
    let x = Tensor::new(&x, &Device::Cpu).unwrap().reshape((4, 1)).unwrap();
    TensorDataset::regression(x, &Tensor::new(y.as_slice(), &Device::Cpu).unwrap()).unwrap()
}

const CRITICAL: f64 = 0.25;

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| linear_no_bias(1, 1, vb)).optimizer(Optimizer::sgd(123.)).batch_size(BatchSize::Full)
}

const SLOW: RangeTest = RangeTest { from: 1e-3, to: 10., steps: 1000, smoothing: 0.9, stop_at: 4. };

/// With batches of one row, whose minima are 3.25 and 2.75, the distance to the minimum never vanishes. Their noise
/// alone raises the loss several times before the critical rate, but not a hundred times.
#[test]
fn the_loss_of_a_quadratic_rises_above_the_critical_rate() {
    let test = RangeTest { smoothing: 0.99, stop_at: 100., ..SLOW };
    let report = test.run(&trainer().batch_size(1usize), &quadratic(), 1).unwrap();
    assert_eq!(report.end, RangeEnd::Rose);
    let last = *report.rates.last().unwrap();
    assert!(last > CRITICAL && last < 2. * CRITICAL, "{last}");
    for rate in [report.suggestion, report.valley, report.tenth_of_minimum] {
        assert!(rate.unwrap() < CRITICAL, "{rate:?}");
    }
    let text = report.to_string();
    assert!(text.contains("steepest descent") && text.contains("rose to 100 times its minimum"), "{text}");
}

/// Gradient descent: the distance to the minimum shrinks by `1 − 8 · rate`.
#[test]
fn steps_are_those_of_the_trainer_s_optimizer() {
    let report = SLOW.run(&trainer(), &quadratic(), 1).unwrap();
    let excess: Vec<f64> = report.losses.iter().map(|loss| loss - 0.25).collect();
    for i in 0..50 {
        let expected = excess[i] * (1. - 8. * report.rates[i]).powi(2);
        assert!((excess[i + 1] - expected).abs() < 1e-4 * expected, "{i}: {} {expected}", excess[i + 1]);
    }
}

#[test]
fn rates_rise_geometrically_from_the_first_to_the_last() {
    let test = RangeTest { from: 1e-5, to: 1e-2, steps: 31, ..RangeTest::default() };
    let report = test.run(&trainer(), &quadratic(), 1).unwrap();
    assert_eq!((report.end, report.rates.len()), (RangeEnd::Finished, 31));
    for (i, rate) in report.rates.iter().enumerate() {
        let expected = 1e-5 * 10f64.powf(i as f64 / 10.);
        assert!((rate / expected - 1.).abs() < 1e-12, "{i}: {rate}");
    }
    assert!(report.to_string().ends_with("31 of 31 steps from 1.00e-5 to 1.00e-2: all steps done"));
}

/// The numbers of `tests/reference/range_test.py`.
#[test]
fn smoothing_and_suggestions_are_those_of_fast_ai() {
    let test = RangeTest { from: 1e-4, to: 10., steps: 40, smoothing: 0.8, stop_at: 4. };
    let mut trace = Trace::default();
    for i in 0..40 {
        let rate = 1e-4 * 1e5f64.powf(f64::from(i) / 39.);
        let loss = 2. / (1. + 50. * rate) + 0.3 * rate * rate + f64::from((7 * i) % 5 - 2) / 40.;
        if trace.add(&test, rate, loss) == Flow::Stop {
            break;
        }
    }
    let report = RangeTestReport::new(test, trace);
    assert_eq!((report.rates.len(), report.end), (37, RangeEnd::Rose));
    let smoothed = [
        (0, 1.94004975424),
        (1, 1.96594191639),
        (9, 1.93027615394),
        (25, 0.609861435982),
        (36, 1.91194306081),
    ];
    for (i, expected) in smoothed {
        assert!((report.smoothed[i] - expected).abs() < 1e-10, "{i}");
    }
    for (got, expected) in [
        (report.suggestion, 0.0492388263171),
        (report.valley, 0.0151177507062),
        (report.tenth_of_minimum, 0.0942668455118),
    ] {
        assert!((got.unwrap() / expected - 1.).abs() < 1e-9, "{got:?} {expected}");
    }
}

#[test]
fn without_enough_steps_or_a_fall_there_is_no_suggestion() {
    let short = RangeTest { steps: 5, ..SLOW }.run(&trainer(), &quadratic(), 1).unwrap();
    assert_eq!((short.suggestion, short.valley, short.tenth_of_minimum), (None, None, None));
    let (rates, rising) = ([0.1, 0.2, 0.4], [1., 2., 3.]);
    assert_eq!((suggest::steepest(&rates, &rising), suggest::valley(&rates, &rising)), (None, None));
}

#[test]
fn divergence_is_a_result() {
    let test = RangeTest { from: 1., to: 1e30, steps: 50, smoothing: 0., stop_at: f64::INFINITY };
    let report = test.run(&trainer(), &quadratic(), 1).unwrap();
    assert_eq!(report.end, RangeEnd::Diverged);
    assert!(report.rates.len() < 50 && report.losses.iter().all(|loss| loss.is_finite()));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<RangeTestReport>(&text).unwrap(), report);
}

#[test]
fn the_trainer_s_other_settings_apply_or_are_off() {
    let base = |trainer: Trainer<Linear>| SLOW.run(&trainer, &quadratic(), 1).unwrap();
    let plain = base(trainer());
    assert_eq!(plain, base(trainer()), "deterministic");
    // Off: rates, epochs, early stopping, averaging.
    let other = trainer().epochs(1).schedule(Schedule::Linear { to: 0. }).averaging(Averaging::ema(0.9));
    assert_eq!(base(other), plain);
    assert_eq!(base(trainer().early_stopping(EarlyStopping::default())), plain);
    assert_eq!(base(trainer().reduce_on_plateau(ReduceOnPlateau::default())), plain);
    // On: clipping, the batch size.
    assert_ne!(base(trainer().clip(Clip::Norm(0.1))), plain);
    assert_ne!(base(trainer().batch_size(1usize)), plain);
    let run = RunSpec::new(0, "model", Seed::from(3), vec![0, 2]);
    let report = SLOW.run_on(&trainer(), &quadratic(), &run, &Device::Cpu).unwrap();
    assert_ne!(report.losses, plain.losses);
}

#[test]
fn bad_parameters_are_named() {
    let data = quadratic();
    for (test, name) in [
        (RangeTest { from: 0., ..SLOW }, "RangeTest::from"),
        (RangeTest { to: f64::INFINITY, ..SLOW }, "RangeTest::to"),
        (RangeTest { to: 1e-3, ..SLOW }, "RangeTest::to must be above 0.001"),
        (RangeTest { steps: 1, ..SLOW }, "RangeTest::steps"),
        (RangeTest { smoothing: 1., ..SLOW }, "RangeTest::smoothing"),
        (RangeTest { stop_at: 1., ..SLOW }, "RangeTest::stop_at"),
        (RangeTest { stop_at: f64::NAN, ..SLOW }, "RangeTest::stop_at"),
    ] {
        let e = test.run(&trainer(), &data, 1).unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
    }
    let wide = Trainer::new(|vb| linear(1, 2, vb));
    assert!(SLOW.run(&wide, &data, 1).unwrap_err().to_string().contains("output"));
}
