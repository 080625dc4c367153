//! Each finding from curves with known figures, and from curves of which much is missing.
mod measured;
mod monitors;

use crate::{
    data::Task,
    diagnose::{
        Curve, CurveMetric, Curves, Diagnose, Diagnosis, Evidence, Finding, Label, LabelProbability, Mark,
        Observations, Problem, Rule,
    },
    evaluate::RowTargets,
    plan::Settings,
    predictions::Predictions,
    train::TrainConfig,
    Result, Seed,
};
use candle_core::{Device, Tensor};
use rand::{seq::SliceRandom, Rng};

fn series(epochs: usize, of: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..epochs).map(|t| of(t as f64)).collect()
}

/// 1 in even epochs, −1 in odd ones.
fn alternating(t: f64) -> f64 {
    if (t as usize).is_multiple_of(2) {
        1.
    } else {
        -1.
    }
}

fn run(train: Vec<f64>, valid: Vec<f64>) -> Curve {
    Curve { train_loss: train, valid_loss: valid, ..Curve::default() }
}

fn diagnose(curves: &Curves, label: Label) -> Diagnosis {
    Diagnose::curves(curves).labels(vec![(label, 0.8)]).run().unwrap()
}

fn finding(curves: &Curves, label: Label) -> Finding {
    let diagnosis = diagnose(curves, label);
    assert_eq!(diagnosis.findings.len(), 1, "{diagnosis}");
    let finding = diagnosis.findings[0].clone();
    assert_eq!((finding.kind, finding.problem), (Some(label), label.problem()));
    assert!(finding.experiment.is_some() || label == Label::GoodFit, "{finding:?}");
    finding
}

fn close(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|x| (x - expected).abs() <= 1e-9 * expected.abs().max(1.)),
        "{found:?} {expected}"
    );
}

fn with(finding: &Finding, text: &str) -> Evidence {
    let found = finding.evidence.iter().find(|evidence| evidence.text.contains(text));
    found.unwrap_or_else(|| panic!("no {text} in {finding:?}")).clone()
}

/// Training losses fall; validation losses fall from 1 to 0.5 at epoch `turn`, rise to 0.75 at epoch 17, and
/// stay.
fn turning(turn: f64) -> Curve {
    let down = move |t: f64| 1. - 0.5 * t / turn;
    let up = move |t: f64| (0.5 + 0.25 * (t - turn) / (17. - turn)).min(0.75);
    run(series(20, |t| 1. / (1. + t)), series(20, |t| if t <= turn { down(t) } else { up(t) }))
}

#[test]
fn an_overfit_names_the_turn_and_the_cost_of_going_on() {
    let found = finding(&Curves::new(vec![turning(7.)]), Label::Overfit);
    let first = &found.evidence[0];
    assert_eq!(first.mark, Some(Mark::Epoch(7)));
    close(first.value, 0.5);
    assert!(first.text.contains("from 0.500 it rises to 0.750, by 50 %"), "{}", first.text);
    // The gap: 0.5 − 1/8 at the turn, and 0.75 − 1/20 at the end.
    let growth = with(&found, "grows");
    close(growth.value, (0.75 - 0.05) - (0.5 - 0.125));
    assert_eq!(growth.mark, Some(Mark::Epochs { from: 7, to: 19 }));
    let gap = with(&found, "In the last epoch");
    assert_eq!(gap.mark, Some(Mark::Gap { epoch: 19, low: 0.05, high: 0.75 }));
    assert!(gap.text.contains("15.0 times as high"), "{}", gap.text);

    let runs = Curves::new(vec![turning(9.), turning(7.), turning(6.)]);
    assert!(finding(&runs, Label::Overfit).evidence[0].text.contains("(runs: epochs 6 to 9)"));
}

#[test]
fn a_flat_loss_is_measured_against_its_start_and_an_untrained_network() {
    let flat = |t: f64| 1.995 + 0.005 * alternating(t);
    let curves = Curves::new(vec![run(series(30, flat), vec![])]);
    let (config, labels) = (TrainConfig::default(), vec![(Label::UnderfitFlat, 0.9)]);
    let diagnosis = Diagnose::curves(&curves)
        .labels(labels)
        .config(&config)
        .task(Task::Classification { classes: 4 })
        .run()
        .unwrap();
    let found = diagnosis.first().unwrap();
    assert_eq!((found.name.as_str(), found.confidence), ("underfit_flat", 0.9));
    assert_eq!(found.evidence[0].mark, Some(Mark::Level(2.)));
    close(found.evidence[0].value, 0.005);
    let nothing = with(found, "ln 4 = 1.39");
    assert_eq!(nothing.mark, Some(Mark::Level(4f64.ln())));
    close(nothing.value, 1.99 / 4f64.ln());
    assert_eq!(with(found, "The learning rate is 0.001.").value, Some(1e-3));
    // A target of values has no such level, and neither has another loss.
    let values = Diagnose::curves(&curves)
        .labels(vec![(Label::UnderfitFlat, 0.9)])
        .config(&config)
        .task(Task::Regression { outputs: 1 });
    let text = values.run().unwrap().to_string();
    assert!(
        !text.contains("same probability") && text.contains("hardly falls, from 2.000 to 1.990"),
        "{text}"
    );
}

#[test]
fn a_loss_that_falls_steadily_but_hardly_is_slow_learning() {
    let curves = Curves::new(vec![run(series(30, |t| 2. - 0.001 * t), vec![])]);
    for label in [Label::UnderfitFlat, Label::UnderfitUnfinished] {
        let found = finding(&curves, label);
        assert_eq!(found.name, "slow_learning");
        close(found.evidence[0].value, 1.);
        close(with(&found, "in all, from").value, 0.029 / 2.);
    }
    // Both kinds are one finding.
    let both = vec![(Label::UnderfitUnfinished, 0.3), (Label::UnderfitFlat, 0.6)];
    let diagnosis = Diagnose::curves(&curves).labels(both).run().unwrap();
    assert_eq!(diagnosis.findings.len(), 1);
    assert_eq!(diagnosis.findings[0].kind, Some(Label::UnderfitFlat));
}

#[test]
fn an_unfinished_training_says_how_far_it_would_fall() {
    let curve = |t: f64| 0.2 + (-t / 20.).exp();
    let found =
        finding(&Curves::new(vec![run(series(40, curve), series(40, curve))]), Label::UnderfitUnfinished);
    assert_eq!(found.name, "underfit_unfinished");
    assert_eq!(found.evidence[0].mark, Some(Mark::Epochs { from: 32, to: 39 }));
    // The straight line through the last fifth falls nearly as far as the curve.
    close(
        found.evidence[0].value.map(|fall| (fall * 100.).round()),
        (100. * (1. - curve(39.) / curve(32.))).round(),
    );
    let more = with(&found, "would have stopped");
    // e^(−0.8 T / 20) − e^(−T / 20) = 0.01 · 1.2 at T = 98.95.
    assert!((more.value.unwrap() / 98.95 - 1.).abs() < 0.02, "{}", more.text);
    assert!(more.text.contains("after about 100 epochs in all, in place of 40"), "{}", more.text);
    let few = Curves::new(vec![run(series(4, curve), vec![])]);
    assert!(diagnose(&few, Label::UnderfitUnfinished).missing.iter().any(|m| m.starts_with("With 4 epochs")));
}

#[test]
fn an_unstable_training_names_its_jumps() {
    let wave = |t: f64| 1. + 0.1 * alternating(t);
    let mut jump = series(20, wave);
    jump[13] = 4.;
    let found = finding(
        &Curves::new(vec![run(series(20, wave), vec![]), run(jump, vec![]), run(series(20, wave), vec![])]),
        Label::UnstableLearning,
    );
    assert_eq!(found.name, "unstable_learning");
    // Second differences of ± 0.4 about a level of 1, the middle of 0.9 and 1.1.
    close(found.evidence[0].value, 0.4 / (6f64.sqrt() * 0.6744897501960817));
    let largest = with(&found, "largest jump");
    assert_eq!((largest.mark, largest.value), (Some(Mark::Epoch(13)), Some(4. - 1.1)));
    // 9 of 19 steps rise.
    close(with(&found, "rises in").value, 9. / 19.);
}

#[test]
fn a_run_that_ends_without_a_number_has_diverged_whatever_the_classifier_says() {
    let nan = f64::NAN;
    let curves = Curves::new(vec![
        run(vec![2., 1., 8., nan, nan], vec![2., 1., nan, nan, nan]),
        run(vec![2., 1., 0.5, 0.4, 0.3], vec![]),
        run(vec![2., 3., 4., 1e200, f64::INFINITY], vec![]),
    ]);
    let diagnosis = diagnose(&curves, Label::Overfit);
    let found = diagnosis.first().unwrap();
    assert_eq!((found.name.as_str(), found.kind), ("diverged", Some(Label::UnstableLearning)));
    assert_eq!((found.confidence, found.evidence[0].value), (1., Some(2.)));
    assert_eq!(found.evidence[0].mark, Some(Mark::Epoch(3)));
    close(with(found, "by a factor").value, 8.);
    assert_eq!(diagnosis.get("overfit").unwrap().after.as_deref(), Some("diverged"));
    // Under its own label there is no second finding.
    assert_eq!(diagnose(&curves, Label::UnstableLearning).findings.len(), 1);
    // A value that was not recorded in the last epoch is no divergence.
    let gap = Curves::new(vec![run(vec![2., 1., nan], vec![2., 1., 1.])]);
    assert!(diagnose(&gap, Label::GoodFit).healthy());
}

#[test]
fn a_poor_plateau_and_noise_are_both_named_with_the_experiment_that_tells_them_apart() {
    let curve = |t: f64| 0.6 + 0.4 * (-t).exp();
    let curves = Curves::new(vec![run(series(40, curve), series(40, curve))]);
    let labels = vec![(Label::GoodFit, 0.1), (Label::UnderfitCapacity, 0.75), (Label::Overfit, 0.15)];
    let diagnosis = Diagnose::curves(&curves).labels(labels).run().unwrap();
    let names: Vec<&str> = diagnosis.findings.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["underfit_capacity", "overfit", "good_fit"]);
    let plateau = &diagnosis.findings[0].evidence[0];
    assert!(matches!(plateau.mark, Some(Mark::Level(level)) if (level - 0.6).abs() < 1e-6), "{plateau:?}");
    close(plateau.value.map(|left| (left * 1e4).round()), 6000.);
    assert!(with(&diagnosis.findings[0], "too little for").value.unwrap() < 1e-6);
    // Second differences of ± 0.12 on the plateau, of a fall of 0.4.
    let noisy = |t: f64| curve(t) + if t < 3. { 0. } else { 0.03 * alternating(t) };
    let noisy = finding(&Curves::new(vec![run(series(40, noisy), vec![])]), Label::UnderfitCapacity);
    close(with(&noisy, "may be the cause as well").value.map(|x| (x * 1e6).round()), 181581.);
    for name in ["underfit_capacity", "good_fit"] {
        let experiment = diagnosis.get(name).unwrap().experiment.as_deref().unwrap();
        assert!(
            experiment.contains("four times the units") && experiment.contains("below 0.600"),
            "{experiment}"
        );
    }
}

#[test]
fn a_gap_that_stays_is_measured_halfway_and_at_the_end() {
    let curves = Curves::new(vec![run(series(21, |t| 1. / (1. + t)), series(21, |t| 0.5 + 0.5 / (1. + t)))]);
    let found = finding(&Curves { train_rows: Some(35), ..curves.clone() }, Label::UnrepresentativeTrain);
    // 0.5 (1 − 1 / (1 + t)) at the epochs 10 and 20.
    let gap = |t: f64| 0.5 * (1. - 1. / (1. + t));
    close(with(&found, "at epoch 10").value, gap(20.) - gap(10.));
    close(with(&found, "learned from").value, 35.);
    let missing = diagnose(&curves, Label::UnrepresentativeTrain).missing;
    assert!(missing.iter().any(|m| m.contains("TrainingSizeCurve")), "{missing:?}");
}

#[test]
fn validation_rows_that_are_too_few_or_easier() {
    let mut noisy = run(series(20, |_| 1.), series(20, |t| 1. + 0.1 * alternating(t)));
    noisy.valid_metric = vec![0.9; 20];
    let noisy =
        Curves { metric: Some(CurveMetric::Accuracy), valid_rows: Some(19), ..Curves::new(vec![noisy]) };
    let found = finding(&noisy, Label::UnrepresentativeValidation);
    assert!(found.summary.contains("19 rows are too few"), "{}", found.summary);
    // (0.9 · 19 + 0.5) / 20 = 0.88: ± 1.96 √(0.88 · 0.12 / 19), and 0.88 · 0.12 (1.96 / 0.02)² rows.
    let rows = with(&found, "known to ± 0.15");
    close(rows.value, (0.88 * 0.12 * (1.959963984540054f64 / 0.02).powi(2)).ceil());
    close(with(&found, "varies about its trend").value, 0.4 / (6f64.sqrt() * 0.6744897501960817));

    let mut easier = run(series(20, |_| 1.), series(20, |_| 0.6));
    easier.valid_metric = vec![0.5; 20];
    let easier =
        Curves { metric: Some(CurveMetric::Rmse), valid_rows: Some(50), ..Curves::new(vec![easier]) };
    let found = finding(&easier, Label::UnrepresentativeValidation);
    assert!(found.summary.contains("easier"), "{}", found.summary);
    assert!(found.evidence[0].text.ends_with("40 % below the training loss."), "{}", found.evidence[0].text);
    assert_eq!(with(&found, "is known to ± 20 %").value, Some(769.));
    let unknown = Curves { valid_rows: None, ..easier };
    assert!(diagnose(&unknown, Label::UnrepresentativeValidation)
        .missing
        .iter()
        .any(|m| m.contains("noise")));
}

/// Five runs of accuracy 0.80, 0.82, …, 0.88 at the end; within the last ten epochs each alternates by ±
/// 0.01.
fn spread_runs() -> Curves {
    let runs = (0..5).map(|i| Curve {
        train_loss: series(50, |t| 1. / (1. + t)),
        valid_loss: series(50, move |t| 1. / (1. + t) + 0.1 * f64::from(i)),
        valid_metric: series(50, move |t| 0.79 + 0.02 * f64::from(i) - 0.01 * alternating(t)),
        ..Curve::default()
    });
    Curves { metric: Some(CurveMetric::Accuracy), ..Curves::new(runs.collect()) }
}

#[test]
fn a_spread_has_its_interval_and_its_parts() {
    let curves = spread_runs();
    let found = finding(&curves, Label::HighVariance);
    // The standard deviation of 0.80, …, 0.88 is √0.001; chi-square quantiles as in
    // tests/reference/diagnosis.py.
    let sd = 0.001f64.sqrt();
    let total = &found.evidence[0];
    close(total.value, sd);
    let Some(Mark::Gap { epoch: 49, low, high }) = total.mark else { panic!("{total:?}") };
    assert!((low - 0.02).abs() < 1e-12 && (high - 0.42).abs() < 1e-12);
    let (low, high) = (sd * 0.599133139134141, sd * 2.87355563407822);
    let interval =
        format!("95 % interval {low:.4} to {high:.4}, 5 runs; 49 runs would tell it within ± 25 %");
    assert!(total.text.contains(&interval), "{} {interval}", total.text);
    // Residuals of an alternating series of ten from its line: Σ x² − (Σ x t)² / Σ t², with x = ± 0.01.
    let slope = 0.05f64.powi(2) / 82.5;
    let within = ((10. * 1e-4 - slope) / 9.).sqrt();
    let inside = with(&found, "Within a run");
    close(inside.value, within);
    assert_eq!(inside.mark, Some(Mark::Epochs { from: 40, to: 49 }));
    close(with(&found, "Without the noise").value, (0.001 - within * within / 10.).sqrt());
    close(with(&found, "varies like the mean").value, sd / 5f64.sqrt());
    assert!(found.evidence.iter().all(|e| !e.text.contains("Brier")));
}

#[test]
fn predictions_say_what_an_ensemble_takes_away() {
    let curves = spread_runs();
    // Two networks that predict 1 and 5 of a target of 0: a loss of 13, of which 8 is variance.
    let values = Tensor::new(&[[[1f64]], [[5.]]], &Device::Cpu).unwrap();
    let predictions = Predictions::new(values, Task::Regression { outputs: 1 }).unwrap();
    let targets = RowTargets::values(&Tensor::new(&[0f64], &Device::Cpu).unwrap()).unwrap();
    for (label, pieces) in [(Label::HighVariance, 4), (Label::GoodFit, 4)] {
        let diagnosis = Diagnose::curves(&curves)
            .labels(vec![(label, 0.9)])
            .predictions(&predictions, &targets)
            .run()
            .unwrap();
        let found = diagnosis.first().unwrap();
        assert_eq!(found.evidence.len(), pieces, "{found:?}");
        let gain = with(found, "a mean of 5 would take 49 % of it away, and one of 10 would take 55 %");
        close(gain.value, 0.8 * 8. / 13.);
        assert!(!diagnosis.missing.iter().any(|m| m.contains("ensemble")), "{:?}", diagnosis.missing);
    }
}

#[test]
fn predictions_of_classes_say_what_their_mean_is_worth() {
    let curves = spread_runs();
    let values = Tensor::new(&[[[0.9f64, 0.1], [0.6, 0.4]], [[0.6, 0.4], [0.2, 0.8]]], &Device::Cpu).unwrap();
    let predictions = Predictions::new(values, Task::Classification { classes: 2 }).unwrap();
    let targets = RowTargets::classes(&[0, 1], 2).unwrap();
    let labels = vec![(Label::HighVariance, 0.9)];
    let diagnosis =
        Diagnose::curves(&curves).labels(labels).predictions(&predictions, &targets).run().unwrap();
    let found = diagnosis.first().unwrap();
    // Brier scores: (0.02 + 0.72 + 0.32 + 0.08) / 4, with a variance of 2 · 0.15² · 2 = 0.09 and 2 · 0.2² · 2 = 0.16.
    close(with(found, "Brier score of one network is 0.285").value, 0.8 * 0.125 / 0.285);
    close(with(found, "accuracy of 1.00").value, 0.25);
}

#[test]
fn one_run_says_what_more_runs_would_tell() {
    let curves = Curves::new(vec![spread_runs().runs[0].clone()]);
    let diagnosis = diagnose(&curves, Label::HighVariance);
    assert!(diagnosis.first().unwrap().evidence[0].text.starts_with("Within a run"));
    let runs = "5 would give its standard deviation between 60 % and 287 % of the estimate (95 %), and 49 within ± 25 %";
    assert!(diagnosis.missing.iter().any(|m| m.contains(runs)), "{:?}", diagnosis.missing);
    assert!(diagnosis.missing.iter().any(|m| m.contains("What an ensemble would gain")));
}

#[test]
fn a_good_fit_is_said_plainly() {
    let diagnosis = diagnose(&spread_runs(), Label::GoodFit);
    assert!(diagnosis.healthy() && diagnosis.problem() == Problem::None);
    assert!(diagnosis.to_string().contains("Nothing is wrong"), "{diagnosis}");
    assert!(diagnosis.first().unwrap().experiment.is_none());
}

#[test]
fn labels_are_named_by_their_place_and_probability() {
    let curves = spread_runs();
    let labels = [
        (Label::Overfit, 0.02),
        (Label::HighVariance, 0.5),
        (Label::UnderfitFlat, 0.19),
        (Label::UnderfitUnfinished, 0.21),
        (Label::GoodFit, 0.08),
    ];
    let diagnosis = Diagnose::curves(&curves).labels(labels.to_vec()).run().unwrap();
    let names: Vec<&str> = diagnosis.findings.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["high_variance", "underfit_unfinished", "slow_learning", "good_fit"]);
    let first = LabelProbability { label: Label::HighVariance, probability: 0.5 };
    assert_eq!((diagnosis.labels[0], diagnosis.labels.len()), (first, 5));
    let error = Diagnose::curves(&curves).labels(vec![(Label::Overfit, f64::NAN)]).run().unwrap_err();
    assert_eq!(error.to_string(), "the probability of overfit must be from 0 to 1, but is NaN");
}

#[test]
fn a_diagnosis_prints_and_is_read_back() {
    let curves = Curves::new(vec![turning(7.)]);
    let labels = vec![(Label::Overfit, 0.5), (Label::UnderfitCapacity, 0.4)];
    let diagnosis = Diagnose::curves(&curves).labels(labels).run().unwrap();
    assert_eq!(diagnosis.first().unwrap().name, "underfit_capacity");
    let text = diagnosis.to_string();
    for part in [
        "1. overfit (generalization, 50 %)\n   The network overfits its training rows",
        "   - The validation loss turns up at epoch 7",
        "   To be sure: Train 8 epochs",
        "   Solve underfit_capacity first",
        "Not known: The spread from run to run",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(diagnosis.table().contains("| overfit"), "{}", diagnosis.table());
    let json = serde_json::to_string(&diagnosis).unwrap();
    assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), diagnosis);
    assert_eq!(
        Diagnose::new(Observations::default()).run().unwrap().to_string().lines().next(),
        Some("Nothing was found.")
    );
}

#[test]
fn a_rule_of_the_users_own_is_asked_too() {
    struct Own;
    impl Rule for Own {
        fn name(&self) -> &str {
            "own"
        }
        fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
            let rate = seen.config.map_or(0., |config| config.optimizer.learning_rate());
            Ok(vec![Finding::new(self.name(), Problem::Data, 1., format!("rate {rate}"), "")])
        }
        fn missing(&self, _: &Observations<'_>) -> Vec<String> {
            vec!["something".into()]
        }
    }
    let curves = Curves::new(vec![turning(7.)]);
    let config = TrainConfig::default().for_run(&Settings::new().with("learning_rate", 0.5)).unwrap();
    let labels = vec![(Label::Overfit, 0.9)];
    let diagnosis =
        Diagnose::curves(&curves).labels(labels).config(&config).rule(Box::new(Own)).run().unwrap();
    assert_eq!(diagnosis.findings[0].summary, "rate 0.5");
    assert_eq!(diagnosis.get("overfit").unwrap().after.as_deref(), Some("own"));
    assert!(diagnosis.missing.contains(&"something".into()));
}

/// Runs of random lengths, levels, noise and missing values.
fn random_curves(seed: u64) -> Curves {
    let mut rng = Seed::from(77).nth("curves", seed).rng();
    let epochs = rng.random_range(1..60);
    let runs = (0..rng.random_range(1..7)).map(|_| {
        let (level, rate, noise) = (rng.random::<f64>(), rng.random::<f64>() / 10., rng.random::<f64>() / 5.);
        let mut losses = |extra: f64| -> Vec<f64> {
            let epochs = rng.random_range(1..=epochs);
            let loss = |t: usize, noise: f64| level + extra + (-rate * t as f64).exp() + noise;
            (0..epochs).map(|t| loss(t, noise * rng.random::<f64>())).collect()
        };
        let (train_loss, mut valid_loss, valid_metric) = (losses(0.), losses(0.3), losses(0.1));
        valid_loss.resize(train_loss.len(), f64::NAN);
        Curve { train_metric: valid_metric.clone(), train_loss, valid_loss, valid_metric }
    });
    Curves { valid_rows: Some(40), metric: Some(CurveMetric::Rmse), ..Curves::new(runs.collect()) }
}

#[test]
fn the_order_of_the_runs_changes_nothing() {
    for seed in 0..15 {
        let curves = random_curves(seed);
        let mut shuffled = curves.clone();
        shuffled.runs.shuffle(&mut Seed::from(1).nth("order", seed).rng());
        for label in Label::ALL {
            assert_eq!(diagnose(&curves, label), diagnose(&shuffled, label), "{seed}");
        }
    }
}

/// The loss of values in other units is a multiple: the same findings with the same shares.
#[test]
fn losses_in_other_units_give_the_same_findings() {
    for seed in 0..15 {
        let curves = random_curves(seed);
        let scale = |xs: &[f64]| xs.iter().map(|x| 1024. * x).collect::<Vec<_>>();
        let of = |run: &Curve| Curve {
            train_loss: scale(&run.train_loss),
            valid_loss: scale(&run.valid_loss),
            train_metric: scale(&run.train_metric),
            valid_metric: scale(&run.valid_metric),
        };
        let scaled = Curves { runs: curves.runs.iter().map(of).collect(), ..curves.clone() };
        for label in Label::ALL {
            let (a, b) = (diagnose(&curves, label), diagnose(&scaled, label));
            assert_eq!(a.missing, b.missing);
            for (a, b) in a.findings.iter().zip(&b.findings) {
                assert_eq!(
                    (&a.name, a.kind, &a.experiment.is_some()),
                    (&b.name, b.kind, &b.experiment.is_some())
                );
                for (x, y) in a.evidence.iter().zip(&b.evidence) {
                    let (x, y) = (x.value.unwrap(), y.value.unwrap());
                    assert!(x == y || 1024. * x == y || (x.is_nan() && y.is_nan()), "{label}: {x} {y}");
                }
                assert_eq!(a.evidence.len(), b.evidence.len());
            }
            assert_eq!(a.findings.len(), b.findings.len());
        }
    }
}

#[test]
fn curves_of_which_much_is_missing_give_what_is_possible() {
    let nan = f64::NAN;
    let runs: [&[Curve]; 9] = [
        &[],
        &[Curve::default()],
        &[run(vec![nan; 4], vec![nan; 4])],
        &[run(vec![1.], vec![])],
        &[run(vec![], vec![1., 0.5])],
        &[run(vec![0.; 12], vec![0.; 12])],
        &[run(vec![-1., -2., -3., -4.], vec![1., -1., 0., -2.])],
        &[run(vec![1e200, 1e-300, 5e-324, f64::MAX], vec![f64::NEG_INFINITY, 1., nan, 2.])],
        &[run(vec![1., 2.], vec![]), Curve::default(), run(vec![], vec![3.])],
    ];
    for runs in runs {
        let curves = Curves::new(runs.to_vec());
        for label in Label::ALL {
            let diagnosis = Diagnose::curves(&curves).labels(vec![(label, 1.)]).run().unwrap();
            assert!(diagnosis.findings.iter().any(|f| f.kind == Some(label)), "{label} {runs:?}");
            let text = diagnosis.to_string();
            assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
        }
        let missing = Diagnose::curves(&curves).run().unwrap().missing;
        let valid = runs.iter().any(|run| !run.valid_loss.is_empty());
        assert_eq!(
            valid,
            !missing.iter().any(|m| m.starts_with("There is no validation loss")),
            "{missing:?}"
        );
    }
    let missing = Diagnose::new(Observations::default()).run().unwrap().missing;
    assert!(missing[0].starts_with("There are no learning curves"), "{missing:?}");
}
