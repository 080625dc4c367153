use super::*;
use crate::codec;
use proptest::prelude::*;
use StoppingStatus::{Improved, NotImproved, Stop};

fn rule() -> EarlyStopping {
    EarlyStopping::default()
}

/// The statuses up to the first stop, as letters.
fn statuses(monitor: StoppingMonitor, values: &[f64]) -> String {
    let (mut monitor, mut letters) = (monitor, String::new());
    for value in values {
        letters.push(match monitor.update(*value) {
            Improved => 'I',
            NotImproved => '-',
            Stop => 'S',
        });
        if letters.ends_with('S') {
            break;
        }
    }
    letters
}

#[test]
fn a_run_stops_after_patience_epochs_without_improvement() {
    let rule = EarlyStopping { patience: 2, ..rule() };
    assert_eq!(statuses(StoppingMonitor::new(rule), &[3., 2., 2., 1.5, 1.6, 1.5]), "II-I-S");
}

#[test]
fn an_improvement_is_a_loss_below_the_best_less_min_delta() {
    let rule = EarlyStopping { patience: 3, min_delta: 0.5, ..rule() };
    // 2.6 is not below 3 − 0.5, and neither is 2.5; 2.4 is.
    assert_eq!(statuses(StoppingMonitor::new(rule.clone()), &[3., 2.6, 2.5, 2.4]), "I--I");
    let worst = [f64::NAN, f64::INFINITY, 1e300];
    assert_eq!(statuses(StoppingMonitor::new(rule.clone()), &worst), "--I");
    let accuracy = StoppingMonitor::new(rule).higher_is_better(true);
    assert_eq!(statuses(accuracy, &[f64::NEG_INFINITY, -1e300]), "-I");
}

const VALUES: [f64; 12] = [5.0, 4.0, 4.5, 3.0, 3.5, 3.25, 2.75, 2.5, 3.0, 3.5, 2.9, 2.0];

/// The statuses of tests/reference/stopping.py, which has the callback of Keras.
#[test]
fn start_epoch_and_baseline_are_those_of_keras() {
    let of = |patience, min_delta, baseline, start_epoch, higher| {
        let rule = EarlyStopping { patience, min_delta, baseline, start_epoch, ..rule() };
        assert!(rule.check().is_ok());
        statuses(StoppingMonitor::new(rule).higher_is_better(higher), &VALUES)
    };
    assert_eq!(of(2, 0., None, 0, false), "II-I-S");
    assert_eq!(of(3, 0., None, 0, false), "II-I--II--S");
    assert_eq!(of(3, 0.5, None, 0, false), "II-I--S");
    assert_eq!(of(3, 0., Some(2.6), 0, false), "IIS");
    assert_eq!(of(6, 0., Some(3.1), 0, false), "II-I--II---I");
    assert_eq!(of(2, 0., None, 4, false), "----IIII-S");
    assert_eq!(of(2, 0., Some(1.), 2, false), "--IIS");
    assert_eq!(of(2, 0., None, 0, true), "I-S");
    assert_eq!(of(2, 0., Some(4.75), 1, true), "-IIS");
    assert_eq!(of(1, 0., None, 12, false), "------------");
}

const VALID: [f64; 15] = [8., 6., 5., 5.1, 5.3, 4.8, 4.9, 5., 5.4, 5.2, 5.3, 5.5, 5.6, 5.8, 6.];
const TRAIN: [f64; 15] = [8., 6., 4., 3.6, 3.4, 3.3, 3.2, 3.15, 3.1, 3.08, 3.06, 3.05, 3.04, 3.03, 3.02];

/// The epoch after which a criterion stops, with values multiplied by `sign`.
fn stop(criterion: StoppingCriterion, sign: f64) -> Option<usize> {
    let mut monitor = StoppingMonitor::new(EarlyStopping { criterion, patience: 1, ..rule() });
    if sign < 0. {
        monitor = monitor.higher_is_better(true);
    }
    let mut epochs = VALID.iter().zip(TRAIN);
    epochs.position(|(valid, train)| monitor.update_with(sign * valid, train) == Stop)
}

/// The epochs of tests/reference/stopping.py, by the paper's formulas.
#[test]
fn criteria_stop_where_prechelts_formulas_do() {
    for (alpha, epoch) in
        [(1., Some(3)), (3., Some(4)), (5., Some(4)), (10., Some(8)), (20., Some(13)), (100., None)]
    {
        let criterion = StoppingCriterion::GeneralizationLoss { alpha };
        assert_eq!((stop(criterion, 1.), stop(criterion, -1.)), (epoch, epoch), "{criterion:?}");
    }
    for (strip, alpha, epoch) in [
        (2, 0.1, 7),
        (2, 0.5, 7),
        (2, 1., 9),
        (2, 2., 9),
        (3, 0.1, 8),
        (3, 0.5, 8),
        (3, 1., 11),
        (3, 2., 11),
        (5, 0.1, 9),
        (5, 0.5, 14),
        (5, 1., 14),
        (5, 2., 14),
    ] {
        let criterion = StoppingCriterion::ProgressQuotient { alpha, strip };
        assert_eq!((stop(criterion, 1.), stop(criterion, -1.)), (Some(epoch), Some(epoch)), "{criterion:?}");
    }
    for (length, strips, epoch) in [
        (2, 1, Some(7)),
        (2, 2, Some(9)),
        (2, 3, Some(11)),
        (3, 1, Some(8)),
        (3, 2, Some(11)),
        (3, 3, Some(14)),
        (5, 1, Some(14)),
        (5, 2, None),
    ] {
        let criterion = StoppingCriterion::Up { strips, length };
        assert_eq!((stop(criterion, 1.), stop(criterion, -1.)), (epoch, epoch), "{criterion:?}");
    }
}

#[test]
fn criteria_are_defined_without_progress_and_at_zero() {
    // No progress: every generalization loss is too large, and none is not.
    let criterion = StoppingCriterion::ProgressQuotient { alpha: 1e9, strip: 2 };
    let mut monitor = StoppingMonitor::new(EarlyStopping { criterion, ..rule() });
    let losses = [1., 1., 1., 1., 0.5, 0.6];
    assert_eq!(
        losses.map(|x| monitor.update_with(x, 2.)),
        [Improved, NotImproved, NotImproved, NotImproved, Improved, Stop]
    );
    // Without training losses it does not stop.
    let monitor = StoppingMonitor::new(EarlyStopping { criterion, ..rule() });
    assert_eq!(statuses(monitor, &losses), "I---I-");
    // A loss of 0 is the best there is, and anything above it is infinitely worse.
    let criterion = StoppingCriterion::GeneralizationLoss { alpha: 1e9 };
    let monitor = StoppingMonitor::new(EarlyStopping { criterion, ..rule() });
    assert_eq!(statuses(monitor, &[0., 0., 0., 1e-9]), "I--S");
    // A log-likelihood below 0: −4 is 100 % worse than −2.
    for (alpha, expected) in [(99., "I-S"), (101., "I--")] {
        let criterion = StoppingCriterion::GeneralizationLoss { alpha };
        let monitor = StoppingMonitor::new(EarlyStopping { criterion, ..rule() });
        assert_eq!(statuses(monitor.higher_is_better(true), &[-2., -3., -4.]), expected);
    }
}

/// Patience counts only for the baseline under another criterion.
#[test]
fn a_baseline_goes_with_every_criterion() {
    let criterion = StoppingCriterion::Up { strips: 9, length: 1 };
    let of = |baseline| {
        let rule = EarlyStopping { criterion, baseline, patience: 2, ..rule() };
        statuses(StoppingMonitor::new(rule), &[5., 4., 4., 4., 4.])
    };
    assert_eq!(of(None), "II---");
    assert_eq!(of(Some(4.5)), "II---");
    assert_eq!(of(Some(3.)), "IIS");
}

#[test]
fn the_best_value_and_its_epoch_are_kept() {
    let mut monitor = StoppingMonitor::new(EarlyStopping { start_epoch: 2, ..rule() });
    assert_eq!((monitor.best(), monitor.best_epoch()), (None, None));
    for value in VALUES {
        _ = monitor.update(value);
    }
    assert_eq!((monitor.best(), monitor.best_epoch()), (Some(2.), Some(11)));
    assert_eq!(monitor.rule().start_epoch, 2);
}

#[test]
fn bad_parameters_are_named() {
    use StoppingCriterion::{GeneralizationLoss, ProgressQuotient, Up};
    for (rule, name) in [
        (EarlyStopping { patience: 0, ..rule() }, "EarlyStopping::patience"),
        (EarlyStopping { min_delta: -1., ..rule() }, "EarlyStopping::min_delta"),
        (EarlyStopping { baseline: Some(f64::NAN), ..rule() }, "EarlyStopping::baseline must be finite"),
        (
            EarlyStopping { criterion: GeneralizationLoss { alpha: 0. }, ..rule() },
            "GeneralizationLoss::alpha",
        ),
        (
            EarlyStopping { criterion: ProgressQuotient { alpha: 1., strip: 1 }, ..rule() },
            "ProgressQuotient::strip",
        ),
        (
            EarlyStopping { criterion: ProgressQuotient { alpha: -1., strip: 5 }, ..rule() },
            "ProgressQuotient::alpha",
        ),
        (
            EarlyStopping { criterion: Up { strips: 0, length: 5 }, ..rule() },
            "Up::strips must be at least 1, but is 0",
        ),
        (EarlyStopping { criterion: Up { strips: 1, length: 0 }, ..rule() }, "Up::length"),
    ] {
        let e = rule.check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
        // Without the check nothing panics.
        let mut monitor = StoppingMonitor::new(rule);
        _ = VALUES.map(|value| monitor.update_with(value, value));
    }
}

/// A rule of an earlier version, as JSON.
#[test]
fn a_rule_without_the_new_fields_is_read() {
    let json = r#"{"patience":3,"min_delta":0.0,"restore_best":true,"metric":null,"then":"No"}"#;
    let read: EarlyStopping = serde_json::from_str(json).unwrap();
    assert_eq!(read, EarlyStopping { patience: 3, ..rule() });
}

proptest! {
    /// A monitor that is saved and restored after every epoch does what the other does.
    #[test]
    fn a_saved_monitor_goes_on(
        values in proptest::collection::vec(0u8..9, 1..30),
        kind in 0usize..4,
        start_epoch in 0usize..4,
        baseline in proptest::option::of(1f64..8.),
        higher: bool,
    ) {
        let criterion = [
            StoppingCriterion::Patience,
            StoppingCriterion::GeneralizationLoss { alpha: 30. },
            StoppingCriterion::ProgressQuotient { alpha: 0.2, strip: 3 },
            StoppingCriterion::Up { strips: 2, length: 2 },
        ][kind];
        let rule = EarlyStopping { patience: 3, criterion, start_epoch, baseline, ..rule() };
        let mut whole = StoppingMonitor::new(rule).higher_is_better(higher);
        let mut parts = whole.clone();
        for value in values {
            parts = codec::decode(&codec::encode(&parts).unwrap()).unwrap();
            let value = f64::from(value);
            prop_assert_eq!(whole.update_with(value, value), parts.update_with(value, value));
            prop_assert_eq!(&whole, &parts);
        }
    }
}
