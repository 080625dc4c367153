//! Findings from what was measured of rows and networks.
use crate::{
    data::{Scaling, Task},
    diagnose::{
        ColumnScale, ColumnScore, Curve, CurveMetric, Curves, Diagnose, Evidence, Finding, FirstLoss, Label,
        LeakCheck, Observations, OneBatchReport, OneBatchTraining, Problem, ScaleCheck, TwoSampleReport,
    },
    evaluate::{ColumnDrift, Duplicate, SplitCheck, TrainingSizePoint, TrainingSizeReport},
    metrics::Summary,
    network::Output,
    train::{Loss, TrainConfig},
};

fn of(seen: Observations<'_>) -> Vec<Finding> {
    Diagnose::new(seen).run().unwrap().findings
}

fn one(seen: Observations<'_>, name: &str) -> Finding {
    let findings = of(seen);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = findings[0].clone();
    assert_eq!(finding.name, name);
    assert!(!finding.evidence.is_empty() && !finding.source.is_empty(), "{finding:?}");
    finding
}

fn first_loss(loss: f64) -> FirstLoss {
    FirstLoss { loss, constant: Some(0.5), zero: Some(0.6), output_size: 1., rows: 100, warm_start: false }
}

#[test]
fn first_losses_are_compared_with_that_of_a_constant() {
    let task = Some(Task::Classification { classes: 2 });
    let found =
        |first: &FirstLoss| of(Observations { first_loss: Some(first), task, ..Observations::default() });
    assert!(found(&first_loss(0.5)).is_empty() && found(&first_loss(1.9)).is_empty());
    let high = found(&first_loss(2.)).remove(0);
    assert_eq!((high.name.as_str(), high.problem), ("first_loss_too_high", Problem::Learning));
    assert!((high.confidence - 0.5).abs() < 1e-9 && high.evidence[0].value == Some(4.));
    assert_eq!(found(&first_loss(f64::NAN))[0].confidence, 0.95);
    let low = found(&first_loss(0.05)).remove(0);
    assert_eq!((low.name.as_str(), low.problem), ("first_loss_too_low", Problem::Data));
    assert!((low.confidence - 0.95).abs() < 1e-9);
    assert!(found(&FirstLoss { warm_start: true, ..first_loss(0.05) }).is_empty());
    assert!(found(&FirstLoss { constant: None, ..first_loss(50.) }).is_empty());
}

fn training(learning_rate: f64, fitted: bool) -> OneBatchTraining {
    let score = if fitted { 1. } else { 0.4 };
    OneBatchTraining { learning_rate, steps: 100, first_loss: 1., loss: 0.9, score, fitted, diverged: false }
}

#[test]
fn a_batch_that_is_not_fitted_is_a_finding_of_the_network_or_of_the_rate() {
    let found = |trainings: Vec<OneBatchTraining>| {
        let report = OneBatchReport { rows: 32, classes: true, trainings };
        of(Observations { one_batch: Some(&report), ..Observations::default() })
    };
    assert!(found(vec![training(0.01, true)]).is_empty());
    let none = found(vec![training(0.01, false), training(0.1, false), training(0.001, false)]).remove(0);
    assert_eq!((none.confidence, none.kind, none.evidence.len()), (0.9, Some(Label::UnderfitFlat), 3));
    let slow = found(vec![training(0.01, false), training(0.1, true)]).remove(0);
    assert_eq!((slow.confidence, slow.kind), (0.6, Some(Label::UnderfitFlat)));
    let fast = found(vec![training(0.01, false), training(0.1, false), training(0.001, true)]).remove(0);
    assert_eq!(fast.kind, Some(Label::UnstableLearning));
}

fn column(column: usize, mean: f64, deviation: f64) -> ColumnScale {
    ColumnScale { column, mean, deviation, smallest: mean - 2. * deviation, largest: mean + 2. * deviation }
}

fn scales(inputs: Vec<ColumnScale>, targets: Vec<ColumnScale>) -> ScaleCheck {
    ScaleCheck { rows: 100, inputs, targets, whole_numbers: None }
}

fn of_scales(scales: &ScaleCheck, config: &TrainConfig) -> Vec<(String, Vec<f64>)> {
    let task = Some(Task::Regression { outputs: 1 });
    let seen = Observations { scales: Some(scales), config: Some(config), task, ..Observations::default() };
    let values = |evidence: &Vec<Evidence>| evidence.iter().filter_map(|evidence| evidence.value).collect();
    of(seen).iter().map(|finding| (finding.name.clone(), values(&finding.evidence))).collect()
}

#[test]
fn scales_far_from_one_are_found() {
    let config = TrainConfig::default();
    let usual = || vec![column(0, 0., 1.), column(1, 1., 2.)];
    assert!(of_scales(&scales(usual(), vec![column(0, 3., 2.)]), &config).is_empty());
    // Sizes 2 and 2000.
    let far = scales(vec![column(0, 0., 1.), column(1, 0., 1000.)], vec![]);
    assert_eq!(of_scales(&far, &config), [("unscaled_inputs".into(), vec![2000., 1000.])]);
    // A year, 2000 ± 20: 100 standard deviations from 0.
    let year = of_scales(&scales(vec![column(0, 2000., 20.)], vec![]), &config);
    assert_eq!(year[0].1, [2040., 100.]);
    let small = of_scales(&scales(vec![column(0, 0., 1e-4)], vec![]), &config);
    assert_eq!(small, [("unscaled_inputs".to_string(), vec![2e-4])]);
    let target = scales(usual(), vec![column(0, 152., 77.)]);
    assert_eq!(of_scales(&target, &config), [("unscaled_targets".into(), vec![77.])]);
    let mut scaled = TrainConfig::default();
    (scaled.input_scaling, scaled.target_scaling) = (Some(Scaling::Standardize), Some(Scaling::Standardize));
    assert!(of_scales(&far, &scaled).is_empty() && of_scales(&target, &scaled).is_empty());
}

#[test]
fn a_network_that_learns_well_makes_scales_unlikely_as_a_problem() {
    let far = scales(vec![column(0, 0., 1.), column(1, 0., 1e5)], vec![]);
    let found = |label| {
        let run = Curve { train_loss: vec![1., 0.5, 0.2, 0.1], ..Curve::default() };
        let curves = Curves::new(vec![run]);
        Diagnose::curves(&curves).labels(vec![(label, 1.)]).scales(&far).run().unwrap()
    };
    assert!(found(Label::GoodFit).healthy());
    assert_eq!(found(Label::UnderfitFlat).get("unscaled_inputs").unwrap().confidence, 0.95);
}

#[test]
fn losses_that_do_not_fit_the_targets_are_found() {
    let found = |loss: Option<Loss>, task, output, scales: Option<&ScaleCheck>| {
        let mut config = TrainConfig::default();
        (config.loss, config.shuffle) = (loss, true);
        let (config, task, output) = (Some(&config), Some(task), Some(output));
        let findings = of(Observations { config, task, output, scales, ..Observations::default() });
        findings
            .iter()
            .find(|finding| finding.name == "loss_does_not_fit_task")
            .map(|finding| finding.confidence)
    };
    let (three, value) = (Task::Classification { classes: 3 }, Task::Regression { outputs: 1 });
    assert_eq!(found(None, three, Output::Logits, None), None);
    assert_eq!(found(Some(Loss::MeanAbsolute), three, Output::Logits, None), Some(1.));
    assert_eq!(found(Some(Loss::Hinge), three, Output::Logits, None), Some(1.));
    let smoothed = |smoothing| found(Some(Loss::CrossEntropy { smoothing }), three, Output::Logits, None);
    assert_eq!((smoothed(0.1), smoothed(0.9)), (None, Some(0.8)));
    let of_values = |loss, scales: &ScaleCheck| found(loss, value, Output::Logits, Some(scales));
    let usual = scales(vec![], vec![column(0, 0., 1.)]);
    assert_eq!(of_values(None, &usual), None);
    assert_eq!(of_values(Some(Loss::Huber { delta: 1. }), &usual), None);
    assert_eq!(of_values(Some(Loss::Huber { delta: 1e-3 }), &usual), Some(0.6));
    assert_eq!(of_values(Some(Loss::MeanSquaredLogarithmic { clip: true }), &usual), Some(0.9));
    let ids = ColumnScale { column: 0, mean: 1., deviation: 0.8, smallest: 0., largest: 2. };
    let ids = ScaleCheck { whole_numbers: Some(3), ..scales(vec![], vec![ids]) };
    assert_eq!((of_values(None, &ids), of_values(Some(Loss::MeanAbsolute), &ids)), (Some(0.3), None));
}

fn split() -> SplitCheck {
    SplitCheck {
        train_rows: 300,
        test_rows: 100,
        on_both_sides: vec![],
        groups_on_both_sides: vec![],
        duplicates: vec![],
        classes: None,
        columns: vec![],
    }
}

fn of_split(split: &SplitCheck, name: &str) -> Finding {
    one(Observations { split: Some(split), ..Observations::default() }, name)
}

#[test]
fn rows_on_both_sides_are_found_by_their_share() {
    assert!(of(Observations { split: Some(&split()), ..Observations::default() }).is_empty());
    let with = |n: u32| SplitCheck {
        duplicates: (0..n).map(|i| Duplicate { test: i, train: 100 + i, same_target: i > 0 }).collect(),
        ..split()
    };
    let few = of_split(&with(2), "duplicates");
    assert_eq!((few.confidence, few.problem), (0.2, Problem::Data));
    assert!(few.evidence[0]
        .text
        .starts_with("2 of 100 validation rows have the inputs of a training row, 1 of them"));
    assert_eq!(of_split(&with(30), "duplicates").confidence, 0.95);
    let numbers = SplitCheck { on_both_sides: (0..30).collect(), ..split() };
    assert_eq!(of_split(&numbers, "duplicates").evidence[0].value, Some(30.));
    let groups = SplitCheck { groups_on_both_sides: vec![7, 9], ..split() };
    assert!(of_split(&groups, "groups_split_apart").summary.contains("2 groups"));
}

#[test]
fn drift_has_to_be_large_and_unlikely_by_chance() {
    let with = |distance, p| SplitCheck {
        columns: vec![ColumnDrift { column: 3, distance, p_value: p, holm_p_value: p }],
        ..split()
    };
    let none =
        |split: &SplitCheck| of(Observations { split: Some(split), ..Observations::default() }).is_empty();
    assert!(none(&with(0.5, 0.01)) && none(&with(0.1, 1e-9)));
    let found = of_split(&with(0.35, 1e-9), "drift");
    assert!(
        (found.confidence - 0.725).abs() < 1e-9 && found.evidence[0].text.contains("Column 3"),
        "{found:?}"
    );
    let of_test = |auc, p_value| {
        let report = TwoSampleReport { rows: 100, auc, p_value };
        of(Observations { two_sample: Some(&report), ..Observations::default() })
    };
    assert!(of_test(0.9, 0.01).is_empty() && of_test(0.55, 1e-9).is_empty());
    assert_eq!(of_test(0.9, 1e-9)[0].confidence, 0.95);
}

#[test]
fn a_column_is_suspicious_when_hardly_an_error_is_left() {
    let with = |score| LeakCheck {
        rows: 200,
        classes: true,
        columns: vec![ColumnScore { column: 0, score: 0.3 }, ColumnScore { column: 5, score }],
    };
    let found = |leaks: &LeakCheck| of(Observations { leaks: Some(leaks), ..Observations::default() });
    assert!(found(&with(0.95)).is_empty());
    let leak = found(&with(1.)).remove(0);
    assert_eq!((leak.confidence, leak.problem), (0.95, Problem::Data));
    assert!(leak.summary.contains("Column 5") && leak.evidence[1].value == Some(0.3), "{leak:?}");
    assert!(found(&with(0.99))[0].confidence < 0.7);
}

/// An accuracy of 0.8 on 12 rows: 10.1 of 13 with half a row on both sides, 1.96 √(0.777 · 0.223 / 12) = 0.2355.
#[test]
fn few_validation_rows_are_found_by_the_width_of_the_interval() {
    let found = |rows: usize, metric: Option<CurveMetric>| {
        let mut run = Curve::default();
        (run.train_loss, run.valid_metric) = (vec![1.; 10], vec![0.8; 10]);
        let mut curves = Curves::new(vec![run]);
        (curves.metric, curves.valid_rows) = (metric, Some(rows));
        let labels = vec![(Label::GoodFit, 0.9)];
        let diagnosis = Diagnose::curves(&curves).labels(labels).run().unwrap();
        diagnosis.get("small_validation").cloned()
    };
    let few = found(12, Some(CurveMetric::Accuracy)).unwrap();
    assert_eq!(few.kind, Some(Label::UnrepresentativeValidation));
    assert!((few.evidence[0].value.unwrap() - 0.2355).abs() < 1e-4, "{few:?}");
    assert!(found(100, Some(CurveMetric::Accuracy)).is_none() && found(12, None).is_none());
    // 1.96 / √(2 · 20) = 0.31 of the error.
    assert!((found(20, Some(CurveMetric::Rmse)).unwrap().evidence[0].value.unwrap() - 0.3099).abs() < 1e-4);
}

/// The error falls from 0.4 to 0.2 with four times the rows, as `rows^−½`: twice the rows take away 1 − 2^−½ = 29 %.
#[test]
fn too_few_rows_are_found_by_the_power_law_of_the_last_sizes() {
    let point = |rows: usize, scores: [f64; 4]| TrainingSizePoint {
        rows,
        training: vec![0.1; 4],
        validation: scores.to_vec(),
        training_summary: Summary::of(&[0.1; 4]).unwrap(),
        validation_summary: Summary::of(&scores).unwrap(),
        training_interval: None,
        validation_interval: None,
    };
    let report = |last: [f64; 4], higher_is_better| TrainingSizeReport {
        metric: "rmse".into(),
        higher_is_better,
        validation_rows: 100,
        points: vec![point(100, [0.41, 0.39, 0.4, 0.4]), point(400, last)],
    };
    let found = |report: &TrainingSizeReport| {
        of(Observations { training_size: Some(report), ..Observations::default() })
    };
    let few = found(&report([0.21, 0.19, 0.2, 0.2], false)).remove(0);
    assert_eq!((few.name.as_str(), few.kind), ("too_few_rows", Some(Label::UnrepresentativeTrain)));
    assert!((few.evidence[0].value.unwrap() - (1. - 0.5f64.sqrt())).abs() < 1e-9, "{few:?}");
    // No gain, a gain within the noise, and a loss.
    assert!(found(&report([0.4, 0.4, 0.41, 0.39], false)).is_empty());
    assert!(found(&report([0.6, 0.1, 0.5, 0.2], false)).is_empty());
    assert!(found(&report([0.21, 0.19, 0.2, 0.2], true)).is_empty());
}
