use super::*;
use crate::{codec, Seed};

/// The losses of `tests/reference/schedules.py`.
const LOSSES: [f64; 14] = [1.0, 0.9, 0.95, 0.9, 0.89, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6];

fn rates(rule: &ReduceOnPlateau, values: &[f64], higher: bool) -> Vec<f64> {
    let mut monitor = PlateauMonitor::new(rule.clone());
    let rate = |value: &f64| {
        monitor.update(*value, higher);
        // A monitor that was saved and restored goes on.
        monitor = codec::decode(&codec::encode(&monitor).unwrap()).unwrap();
        monitor.rate(1.0)
    };
    values.iter().map(rate).collect()
}

fn assert_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-12), "{got:?} against {expected:?}");
}

/// The rates of torch.optim.lr_scheduler.ReduceLROnPlateau, whose patience is one less.
#[test]
fn rates_are_those_of_pytorch() {
    let rule = ReduceOnPlateau { factor: 0.5, patience: 2, min_delta: 0.02, ..ReduceOnPlateau::default() };
    assert_close(
        &rates(&rule, &LOSSES, false),
        &[1., 1., 1., 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625, 0.0625, 0.03125, 0.03125],
    );
    let rule = ReduceOnPlateau {
        factor: 0.1,
        patience: 1,
        min_delta: 0.05,
        relative: false,
        cooldown: 2,
        ..ReduceOnPlateau::default()
    };
    assert_close(
        &rates(&rule, &LOSSES, false),
        &[1., 1., 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4],
    );
    let rule = ReduceOnPlateau {
        patience: 2,
        min_delta: 0.,
        relative: false,
        min_rate: 0.03,
        ..ReduceOnPlateau::default()
    };
    assert_close(
        &rates(&rule, &LOSSES.map(|loss| -loss), true),
        &[1., 1., 1., 0.1, 0.1, 0.1, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03],
    );
}

#[test]
fn a_rate_is_never_above_the_scheduled_one() {
    let rule = ReduceOnPlateau { patience: 1, min_rate: 0.1, ..ReduceOnPlateau::default() };
    let mut monitor = PlateauMonitor::new(rule);
    assert_eq!((monitor.update(1., false), monitor.rate(0.05)), (1., 0.05));
    monitor.update(f64::NAN, false); // no improvement
    assert_eq!(
        (monitor.factor(), monitor.rate(2.), monitor.rate(0.5), monitor.rate(0.05)),
        (0.1, 0.2, 0.1, 0.05)
    );
}

#[test]
fn the_watched_figure_of_a_record_counts() {
    let record = EpochRecord { train_loss: 3., valid_metric: Some(0.5), ..EpochRecord::default() };
    let monitor = |watch| PlateauMonitor::new(ReduceOnPlateau { watch, ..ReduceOnPlateau::default() });
    for (watch, best) in [(PlateauWatch::TrainingLoss, 3.), (PlateauWatch::Metric, -0.5)] {
        let mut monitor = monitor(watch);
        monitor.after_epoch(&record, true).unwrap();
        assert_eq!(monitor.best, best);
    }
    let e = monitor(PlateauWatch::ValidationLoss).after_epoch(&record, true).unwrap_err().to_string();
    assert!(e.contains("epoch 0") && e.contains("ValidationLoss"), "{e}");
}

#[test]
fn bad_parameters_are_named() {
    let mut run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
    run.valid = vec![1].into();
    let rule = ReduceOnPlateau::default();
    assert!(rule.check(&run).is_ok());
    for (rule, name) in [
        (ReduceOnPlateau { factor: 1., ..rule.clone() }, "factor"),
        (ReduceOnPlateau { factor: 0., ..rule.clone() }, "factor"),
        (ReduceOnPlateau { patience: 0, ..rule.clone() }, "patience"),
        (ReduceOnPlateau { min_delta: -1., ..rule.clone() }, "min_delta"),
        (ReduceOnPlateau { min_rate: f64::NAN, ..rule.clone() }, "min_rate"),
    ] {
        let e = rule.check(&run).unwrap_err().to_string();
        assert!(e.contains(&format!("ReduceOnPlateau::{name}")), "{e}");
    }
    run.valid = vec![].into();
    assert!(rule.check(&run).unwrap_err().to_string().contains("ReduceOnPlateau::watch"));
    assert!(ReduceOnPlateau { watch: PlateauWatch::TrainingLoss, ..rule.clone() }.check(&run).is_ok());
    assert_eq!(ReduceOnPlateau::registry().parse("reduce-on-plateau").unwrap(), rule);
    let text = "reduce-on-plateau:watch=loss";
    assert!(ReduceOnPlateau::registry().parse(text).unwrap_err().to_string().contains("valid-loss"));
}
