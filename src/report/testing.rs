//! Reports of studies, made by hand for tests.
use crate::{
    evaluate::{
        Cost, CurvePoint, EnsembleReport, Failure, FittedOnRows, RepeatReport, SingleReport, SizeSummary,
        Spread, StrategyReport, StudyReport,
    },
    metrics::{Interval, Summary},
};
use std::collections::BTreeMap;

/// The interval of a gain.
pub(crate) const GAIN: Interval = interval(0.01, 0.05);

pub(crate) fn summary(values: &[f64]) -> Summary {
    Summary::of(values).unwrap()
}

pub(crate) const fn interval(low: f64, high: f64) -> Interval {
    Interval { estimate: (low + high) / 2., low, high, level: 0.95 }
}

/// An ensemble with this accuracy in each training, beside single networks of 0.9.
pub(crate) fn ensemble(
    strategy: &str,
    combine: &str,
    accuracy: &[f64],
    difference: Interval,
) -> EnsembleReport {
    let cost = Cost {
        trained_epochs: 50.,
        train_seconds: 2.5,
        fit_seconds: 0.01,
        prediction_networks: 10.,
        bytes: 4e6,
    };
    let repeat = |(repeat, accuracy): (usize, &f64)| RepeatReport {
        split: 0,
        repeat,
        metrics: [("accuracy".to_string(), *accuracy), ("nll".into(), 0.3)].into(),
        members_mean: 0.9,
        single_mean: 0.9,
        cost,
    };
    EnsembleReport {
        strategy: strategy.into(),
        combine: combine.into(),
        one_network: false,
        members: 10,
        metrics: [("accuracy".to_string(), summary(accuracy)), ("nll".into(), summary(&[0.3, 0.32]))].into(),
        spread: Spread { seeds: summary(accuracy).sd, splits: None, both: None },
        difference: Some(difference),
        p_value: None,
        p_holm: None,
        sd_ratio: Some(2.),
        cost,
        fitted_on: None,
        barrier: None,
        failed: vec![],
        weights: None,
        size_fit: None,
        reliability: vec![],
        bias_variance: None,
        zero_one: None,
        size_curve: (1..4)
            .map(|size| SizeSummary {
                size,
                summary: summary(&[0.9, 0.92]),
                repeats: vec![vec![0.9], vec![0.92]],
            })
            .collect(),
        confusion: Some(vec![vec![9., 1.], vec![2., 8.]]),
        repeats: accuracy.iter().enumerate().map(repeat).collect(),
    }
}

/// A merge that was refused in every training.
pub(crate) fn refused(strategy: &str, combine: &str) -> EnsembleReport {
    let why = "the loss barrier must be at most 0.05, but is 0.31";
    EnsembleReport {
        one_network: true,
        metrics: BTreeMap::new(),
        spread: Spread::default(),
        difference: None,
        sd_ratio: None,
        cost: Cost::default(),
        fitted_on: Some(FittedOnRows { source: "reserved".into(), rows: 40 }),
        barrier: Some(0.31),
        failed: vec![Failure { barrier: Some(0.31), why: why.into() }; 4],
        size_curve: vec![],
        confusion: None,
        ..ensemble(strategy, combine, &[0.9; 4], interval(0., 0.))
    }
}

/// The same with one network at the end, which costs one forward pass.
pub(crate) fn one_network(e: EnsembleReport) -> EnsembleReport {
    EnsembleReport {
        one_network: true,
        cost: Cost { prediction_networks: 1., ..e.cost },
        size_curve: vec![],
        ..e
    }
}

pub(crate) fn study(ensembles: Vec<EnsembleReport>) -> StudyReport {
    let curve = |epoch| CurvePoint {
        epoch,
        mean: 1. / epoch as f64,
        low: 0.5 / epoch as f64,
        high: 2. / epoch as f64,
    };
    let scores = |[accuracy, nll]: [f64; 2]| [("accuracy".to_string(), accuracy), ("nll".into(), nll)].into();
    StudyReport {
        metric: "accuracy".into(),
        higher_is_better: true,
        metrics: vec!["accuracy".into(), "nll".into()],
        train_rows: 200,
        test_rows: 50,
        splits: 1,
        repeats: 4,
        budget_epochs: None,
        single: SingleReport {
            metrics: [
                ("accuracy".to_string(), summary(&[0.89, 0.91])),
                ("nll".into(), summary(&[0.4, 0.42])),
            ]
            .into(),
            spread: Spread { seeds: Some(0.01), splits: None, both: None },
            cost: Cost {
                trained_epochs: 5.,
                train_seconds: 0.5,
                fit_seconds: 0.,
                prediction_networks: 1.,
                bytes: 4e5,
            },
            learning_curve: (1..6).map(curve).collect(),
            confusion: Some(vec![vec![80., 20.], vec![10., 90.]]),
            reliability: vec![],
            repeats: vec![[[0.89, 0.4], [0.91, 0.42]].map(scores).to_vec(); 4],
        },
        enough_members: None,
        strategies: vec![StrategyReport {
            strategy: "bagging:10".into(),
            members: 10,
            networks: 10,
            members_mean: 0.88,
            diversity: vec![],
            kappa_error: vec![],
            pair_measure: None,
            pairs: None,
            decompositions: vec![],
            diversity_effect: None,
        }],
        ensembles,
    }
}
