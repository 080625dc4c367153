//! What every metric of the registry must do.
use super::CPU;
use candle_core::Tensor;
use candle_ensemble::{
    distribution::{Family, Mixture},
    metrics::{self, Metric},
};

/// For classes: good predictions, bad ones, targets. For values: the same.
fn rows(values: bool) -> (Tensor, Tensor, Tensor) {
    let ids: Vec<u32> = (0..12).map(|i| i % 3).collect();
    if values {
        // No metric is defined for targets of 0 and for predictions below -1 alike.
        let y = Tensor::from_iter(ids.iter().map(|id| 1. + f64::from(*id) * 2.), &CPU).unwrap();
        return (y.clone(), y.affine(-1., 6.5).unwrap(), y);
    }
    let one_hot = |shift: u32| {
        let p =
            ids.iter().flat_map(|id| (0..3).map(move |class| f64::from(u8::from(class == (id + shift) % 3))));
        Tensor::from_iter(p, &CPU).unwrap().reshape((12, 3)).unwrap()
    };
    (one_hot(0), one_hot(1), Tensor::new(ids, &CPU).unwrap())
}

/// Every metric of predictions with the predictions and targets of its task.
fn each(check: impl Fn(&str, &Metric, (Tensor, Tensor, Tensor))) {
    for entry in metrics::registry().entries() {
        let metric = metrics::registry().parse(entry.name()).unwrap();
        if metric.needs_distributions() {
            continue;
        }
        let (perfect, wrong, targets) = rows(entry.tasks().regression());
        match entry.name() {
            // Of three classes the true one is always among the five most probable.
            "top-k" => {
                check("top-k:2", &metrics::registry().parse("top-k:2").unwrap(), (perfect, wrong, targets))
            }
            // Predictions that are always wrong tell the classes apart, and equal ones do not.
            name @ "brier-resolution" => {
                check(name, &metric, (perfect, (wrong.ones_like().unwrap() / 3.).unwrap(), targets))
            }
            name => check(name, &metric, (perfect, wrong, targets)),
        }
    }
}

#[test]
fn perfect_predictions_are_better_than_wrong_ones() {
    each(|name, metric, (perfect, wrong, targets)| {
        let (perfect, wrong) = (
            metric.compute(&perfect, &targets, None).unwrap(),
            metric.compute(&wrong, &targets, None).unwrap(),
        );
        assert_eq!(metric.higher_is_better(), perfect > wrong, "{name}: {perfect}, {wrong}");
    });
}

#[test]
fn the_order_of_rows_and_the_scale_of_weights_do_not_matter() {
    each(|name, metric, (perfect, wrong, targets)| {
        let some = ((perfect * 0.7).unwrap() + (wrong * 0.3).unwrap()).unwrap();
        let weights: Vec<f64> = (1..=12u8).map(f64::from).collect();
        let value = metric.compute(&some, &targets, Some(&weights)).unwrap();
        let close = |other: f64| {
            assert!((other - value).abs() < 1e-9 * (1. + value.abs()), "{name}: {value}, {other}")
        };
        let twice: Vec<f64> = weights.iter().map(|w| 2. * w).collect();
        close(metric.compute(&some, &targets, Some(&twice)).unwrap());
        let order = Tensor::from_iter((0..12u32).rev(), &CPU).unwrap();
        let turned = |t: &Tensor| t.index_select(&order, 0).unwrap();
        let weights: Vec<f64> = weights.into_iter().rev().collect();
        close(metric.compute(&turned(&some), &turned(&targets), Some(&weights)).unwrap());
    });
}

#[test]
fn numbers_of_rows_that_differ_are_refused() {
    each(|name, metric, (perfect, _, targets)| {
        let fewer = targets.narrow(0, 0, 11).unwrap();
        assert!(metric.compute(&perfect, &fewer, None).is_err(), "{name}");
        let nan = (&perfect * f64::NAN).unwrap();
        assert!(metric.compute(&nan, &targets, None).is_err(), "{name}");
    });
}

/// Every metric of distributions, for distributions around the targets, for others, and with the targets.
fn each_of_distributions(check: impl Fn(&str, &Metric, (&Mixture, &Mixture, &Tensor))) {
    let (_, _, targets) = rows(true);
    let around = |by: f64| {
        let locations = (&targets + by).unwrap().reshape((1, 12, 1)).unwrap();
        let scales = Tensor::from_iter((0..12).map(|i| 0.5 + f64::from(i % 4)), &CPU).unwrap();
        Mixture::new(Family::Laplace, &locations, &scales.reshape((1, 12, 1)).unwrap()).unwrap()
    };
    let (right, wrong) = (around(0.), around(20.));
    for entry in metrics::registry().entries() {
        let metric = metrics::registry().parse(entry.name()).unwrap();
        if metric.needs_distributions() {
            check(entry.name(), &metric, (&right, &wrong, &targets));
        }
    }
}

#[test]
fn distributions_around_the_targets_are_better_than_others() {
    each_of_distributions(|name, metric, (right, wrong, targets)| {
        let of = |mixture| metric.compute_distributions(mixture, targets, None).unwrap();
        let (right, wrong) = (of(right), of(wrong));
        assert_eq!(metric.higher_is_better(), right > wrong, "{name}: {right}, {wrong}");
    });
}

#[test]
fn metrics_of_distributions_count_rows_by_their_weights_and_refuse_what_does_not_fit() {
    each_of_distributions(|name, metric, (right, wrong, targets)| {
        // Rows with weights of 0 are as if they were not there.
        let weights: Vec<f64> = (0..12).map(|row| if row < 7 { 0.5 } else { 0. }).collect();
        for mixture in [right, wrong] {
            let some = metric.compute_distributions(mixture, targets, Some(&weights)).unwrap();
            let rows: Vec<u32> = (0..7).collect();
            let few = mixture.select_rows(&rows).unwrap();
            let alone = metric.compute_distributions(&few, &targets.narrow(0, 0, 7).unwrap(), None).unwrap();
            assert!((some - alone).abs() < 1e-12 * (1. + alone.abs()), "{name}: {some}, {alone}");
        }
        let fewer = targets.narrow(0, 0, 11).unwrap();
        assert!(metric.compute_distributions(right, &fewer, None).is_err(), "{name}");
        let e = metric.compute(targets, targets, None).unwrap_err().to_string();
        assert!(e.contains("predicted values or probabilities") && e.contains(&metric.name()), "{e}");
    });
}
