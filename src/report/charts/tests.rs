use crate::{
    evaluate::{Cost, CurvePoint, EnsembleReport, StudyReport},
    report::testing::{ensemble, interval, one_network, refused, study, GAIN},
};

#[test]
fn all_charts_are_drawn_and_have_names_for_files() {
    let weights = Some(vec![0.25, 0.75, -0.125]);
    let stack = EnsembleReport { weights, ..ensemble("a", "stack", &[0.91], GAIN) };
    let report = study(vec![ensemble("a", "mean", &[0.92], GAIN), stack, refused("a", "soup")]);
    let charts = report.charts("Digits");
    let names: Vec<&str> = charts.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "prediction-cost",
        "training-cost",
        "sizes",
        "learning",
        "confusion-single",
        "confusion-best",
        "weights-1",
    ];
    assert_eq!(names, expected);
    for (name, chart) in &charts {
        assert!(chart.svg().unwrap().contains("Digits: "), "{name}");
    }
    assert!(study(vec![])
        .charts("x")
        .iter()
        .all(|(name, _)| name == "learning" || name == "confusion-single"));
}

#[test]
fn a_cost_chart_has_the_single_network_and_each_result_with_its_interval() {
    let merged = one_network(ensemble("a", "swa", &[0.91], interval(-0.01, 0.03)));
    let report =
        study(vec![ensemble("a", "mean", &[0.92, 0.94], interval(0.01, 0.04)), merged, refused("a", "soup")]);
    let chart = report.prediction_cost_chart("t").unwrap();
    let of = |i: usize| {
        let p = &chart.points[i];
        (p.name.as_str(), p.cost, [p.quality, p.low, p.high].map(|x| (x * 1e6).round() / 1e6))
    };
    assert_eq!(chart.points.len(), 3);
    assert_eq!(of(0), ("single network", 1., [0.9; 3]));
    assert_eq!(of(1), ("a, mean", 10., [0.93, 0.915, 0.945]));
    assert_eq!(of(2), ("a, swa", 1., [0.91, 0.89, 0.93]));
    let training = report.training_cost_chart("t").unwrap();
    assert_eq!(training.points.iter().map(|p| p.cost).collect::<Vec<_>>(), [5., 50., 50.]);
}

#[test]
fn of_too_many_rows_the_front_and_the_best_are_drawn() {
    // The better a row is, the cheaper, so that the front is the single network and the last row.
    let row = |i: usize| {
        let cost = Cost { prediction_networks: 200. - i as f64, trained_epochs: 1., ..Cost::default() };
        let accuracy = if i == 0 { 0.901 } else { 0.95 + i as f64 / 1e4 };
        EnsembleReport { cost, ..ensemble("a", &i.to_string(), &[accuracy], GAIN) }
    };
    let report = study((0..130).map(row).collect());
    let chart = report.prediction_cost_chart("t").unwrap();
    let names: Vec<&str> = chart.points.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names.len(), 100);
    assert!(names.contains(&"single network") && names.contains(&"a, 129"));
    // 98 others have room.
    assert!(names.contains(&"a, 31") && !names.contains(&"a, 30") && !names.contains(&"a, 0"), "{names:?}");
    let sizes = report.size_chart("t").unwrap();
    assert_eq!(sizes.lines.len(), 24);
    all_are_drawn(&report);
}

fn all_are_drawn(report: &StudyReport) {
    for (name, chart) in report.charts("t") {
        chart.svg().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn where_lower_is_better_the_lowest_curves_are_kept() {
    let row = |i: usize| {
        let mut e = ensemble("a", &i.to_string(), &[0.9], GAIN);
        e.size_curve.iter_mut().for_each(|s| s.summary.mean = i as f64);
        e
    };
    let report = StudyReport { higher_is_better: false, ..study((0..30).map(row).collect()) };
    let lines = report.size_chart("t").unwrap().lines;
    let names: Vec<String> = lines.into_iter().map(|line| line.name).collect();
    assert_eq!(names, (0..24).map(|i| format!("a, {i}")).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_drawn_is_left_out() {
    let mut nan = ensemble("a", "nan", &[0.9], GAIN);
    nan.metrics.get_mut("accuracy").unwrap().mean = f64::NAN;
    nan.size_curve[1].summary.mean = f64::NAN;
    nan.weights = Some(vec![0.5, f64::INFINITY]);
    let free = EnsembleReport { cost: Cost::default(), ..ensemble("a", "free", &[0.9], GAIN) };
    let mut endless = ensemble("a", "endless", &[0.91], interval(f64::NEG_INFINITY, f64::INFINITY));
    endless.difference.as_mut().unwrap().estimate = 0.01;
    let mut report = study(vec![nan, free, endless]);
    report.single.learning_curve.push(CurvePoint { epoch: 6, mean: f64::NAN, low: f64::NAN, high: f64::NAN });
    report.single.confusion = Some(vec![vec![0.; 2]; 2]);
    let names: Vec<String> =
        report.prediction_cost_chart("t").unwrap().points.into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["single network", "a, endless"]);
    assert_eq!(report.size_chart("t").unwrap().lines.len(), 2);
    assert_eq!(report.learning_chart("t").unwrap().curves[0].points.len(), 5);
    assert_eq!(report.confusion_charts().len(), 1);
    assert!(report.weights_charts().is_empty());
    all_are_drawn(&report);
    report.html("t", "", &[]).unwrap();
}

#[test]
fn a_learning_curve_is_logarithmic_where_losses_span_much() {
    let mut report = study(vec![]);
    assert!(!report.learning_chart("t").unwrap().log, "0.1 to 2 is a factor of 20");
    report.single.learning_curve[4].low = 0.01;
    assert!(report.learning_chart("t").unwrap().log);
    report.single.learning_curve[4].low = 0.;
    assert!(!report.learning_chart("t").unwrap().log);
    report.single.learning_curve.truncate(1);
    assert!(report.learning_chart("t").is_none());
}

#[test]
fn weights_have_a_chart_for_each_strategy() {
    let weighted = |strategy: &str, combine: &str, weights: &[f64]| EnsembleReport {
        weights: Some(weights.to_vec()),
        ..ensemble(strategy, combine, &[0.9], GAIN)
    };
    let report = study(vec![
        weighted("b", "ridge", &[0.5, 0.5]),
        weighted("a", "ridge", &[0.2, 0.3, 0.5]),
        weighted("b", "greedy", &[1., 0.]),
        weighted("c", "greedy", &[1.]),
    ]);
    let charts = report.weights_charts();
    let rules: Vec<Vec<&str>> =
        charts.iter().map(|chart| chart.rules.iter().map(|rule| rule.name.as_str()).collect()).collect();
    assert_eq!(rules, [vec!["ridge", "greedy"], vec!["ridge"]]);
    assert_eq!(charts[1].members, ["member 1", "member 2", "member 3"]);
    assert!(charts[0].title.ends_with("of b"));
}
