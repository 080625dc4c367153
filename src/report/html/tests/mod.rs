//! Pages, read back by an HTML parser.
use crate::{
    evaluate::{Cost, EnsembleReport, Failure, FittedOnRows, SingleReport, Spread, StudyReport},
    report::testing::{ensemble, interval, one_network, refused, study, summary, GAIN},
};
use parsed::{contains_all, Parsed};
use std::collections::BTreeMap;

mod diagnosis;
mod improve;
mod parsed;

/// Makes the page, and checks what holds for every page.
fn page(report: &StudyReport, title: &str, settings: &[(String, String)]) -> Parsed {
    let page = report.html(title, "What the data is.", settings).unwrap();
    assert_eq!(page, report.clone().html(title, "What the data is.", settings).unwrap());
    let parsed = Parsed::checked(&page);
    let rows =
        parsed.table("results-table").all("th").into_iter().filter(|th| th.attribute("scope") == "row");
    assert_eq!(rows.count(), 1 + report.ensembles.len());
    parsed
}

/// The text of the verdict.
fn verdict(report: &StudyReport) -> String {
    page(report, "Title", &[]).class("verdict").text()
}

#[test]
fn a_page_shows_the_whole_study() {
    let weighted = EnsembleReport {
        weights: Some(vec![0.25, 0.75, -0.125]),
        fitted_on: Some(FittedOnRows { source: "out-of-bag".into(), rows: 190 }),
        ..ensemble("bagging:10", "stack-linear", &[0.91, 0.93, 0.91, 0.93], interval(-0.01, 0.05))
    };
    let report = study(vec![
        ensemble("bagging:10", "mean", &[0.92, 0.94, 0.92, 0.94], GAIN),
        weighted,
        refused("bagging:10", "average-weights"),
    ]);
    let settings = [("learning rate".to_string(), "0.001".to_string())];
    let page = page(&report, "Digits", &settings);
    assert_eq!(page.all("title")[0].text(), "Digits");
    let figures: Vec<String> = page.all("svg").iter().map(|svg| svg.text()).collect();
    assert_eq!(figures.len(), 7, "two costs, sizes, learning, two confusions, weights");
    contains_all(
        &figures.concat(),
        &["forward passes", "training epochs of all networks", "bagging:10, mean", "stack-linear"],
    );
    let headings: Vec<String> = page.all("h2").iter().map(|h| h.text()).collect();
    assert_eq!(headings.first().unwrap(), "Result");
    assert_eq!(headings.last().unwrap(), "How to read this page");
    contains_all(
        &headings.join("|"),
        &["All results", "Cost", "Number of members", "Learning curve", "Confusion"],
    );
    contains_all(&headings.join("|"), &["Weights", "Spread", "Members", "Settings"]);
    let results = page.table("results-table").text();
    contains_all(
        &results,
        &[
            "accuracy ↑",
            "nll ↓",
            "★ 0.9300 ± 0.0115",
            "+0.0300 (+0.0100 … +0.0500)",
            "−0.0100",
            "190 out-of-bag",
            "refused: loss barrier 0.31",
            "40 reserved",
            "bagging:10 (10 members)",
            "(one network)",
        ],
    );
    // The two rows share the best nll.
    assert_eq!(results.matches('★').count() - 1, 3, "one is in the caption");
    contains_all(
        &page.table("cost-table").text(),
        &["50 (10\u{a0}×)", "2.5 s (5\u{a0}×)", "10 ms", "4.0 MB (10\u{a0}×)"],
    );
    contains_all(&page.table("weights-table").text(), &["bagging:10 with stack-linear0.2500.750−0.125"]);
    contains_all(&page.table("members-table").text(), &["0.8800"]);
    let all = page.all("main")[0].text();
    contains_all(
        &all,
        &["learning rate", "0.001", "Out-of-bag", "Reserved", "Student's t interval", "Loss barrier"],
    );
    // One sentence for all merges that are refused in every training.
    contains_all(&all, &["Refused: the loss of the one network on the reserved rows is higher"]);
    assert!(!all.contains("no result in"));
    assert!(!all.contains("Out-of-fold") && !all.contains("Holm"));
}

#[test]
fn a_gain_is_claimed_only_where_the_interval_shows_it() {
    let best = |difference| ensemble("a", "mean", &[0.92, 0.94], difference);
    let other = || ensemble("a", "median", &[0.91, 0.92], interval(-0.01, 0.03));
    let one_row = verdict(&study(vec![best(GAIN)]));
    contains_all(
        &one_row,
        &[
            "a with mean has the best accuracy: 0.9300, against 0.9000 for a single network.",
            "The difference is +0.0300 (95\u{a0}% interval +0.0100 to +0.0500).",
            "so a gain was shown",
            "10\u{a0}× the epochs of one network",
            "10 forward passes",
        ],
    );
    let several = verdict(&study(vec![best(GAIN), other()]));
    contains_all(
        &several,
        &["this row on its own shows a gain", "not corrected for the choice of the best of 2 rows"],
    );
    let nothing = verdict(&study(vec![best(interval(-0.01, 0.07)), other()]));
    contains_all(&nothing, &["The interval contains 0, so no gain over a single network was shown."]);
    let worse = verdict(&study(vec![best(interval(-0.07, -0.01))]));
    contains_all(&worse, &["so even the best combination is worse"]);
    let unknown = verdict(&study(vec![EnsembleReport { difference: None, ..best(GAIN) }]));
    contains_all(&unknown, &["There is no interval"]);
    for text in [nothing, worse, unknown] {
        assert!(!text.contains("gain was shown.") || text.contains("no gain"), "{text}");
        assert!(!text.contains("cheapest"), "{text}");
    }
}

#[test]
fn after_holm_s_correction_only_what_survives_is_a_gain() {
    let with_p = |p_holm| EnsembleReport {
        p_value: Some(0.004),
        p_holm,
        ..ensemble("a", "mean", &[0.92, 0.94], GAIN)
    };
    let survives = study(vec![with_p(Some(0.012)), with_p(Some(1.))]);
    contains_all(
        &verdict(&survives),
        &["The gain is significant after Holm's correction for 2 rows (p = 0.012)."],
    );
    let page = page(&survives, "Title", &[]);
    contains_all(&page.table("results-table").text(), &["pp (Holm)", "0.0040.012"]);
    contains_all(&page.class("terms").text(), &["p (Holm)"]);
    let fails = verdict(&study(vec![with_p(Some(0.05))]));
    contains_all(
        &fails,
        &["the gain is not significant after Holm's correction for 1 row (p = 0.050)", "no gain over"],
    );
    assert!(verdict(&study(vec![with_p(Some(f64::NAN))])).contains("no gain over"));
}

#[test]
fn where_lower_is_better_a_fall_is_the_gain() {
    let of = |combine: &str, nll: &[f64], difference| EnsembleReport {
        metrics: [("nll".to_string(), summary(nll))].into(),
        ..ensemble("a", combine, &[0.9, 0.9], difference)
    };
    let report = StudyReport {
        metric: "nll".into(),
        higher_is_better: false,
        metrics: vec!["nll".into()],
        ..study(vec![
            of("high", &[0.5, 0.5], interval(0.05, 0.15)),
            of("low", &[0.3, 0.3], interval(-0.15, -0.05)),
        ])
    };
    contains_all(&verdict(&report), &["a with low has the best nll: 0.3000", "−0.1000", "shows a gain"]);
}

/// The interval by hand: n = 4, mean −0.0005, sd sqrt(5e-6 / 3), t(0.975, 3) = 3.182446.
#[test]
fn the_cheapest_row_that_is_not_significantly_worse_is_found() {
    let best = ensemble("a", "mean", &[0.940, 0.942, 0.941, 0.943], GAIN);
    let close = ensemble("b", "swa", &[0.938, 0.942, 0.940, 0.944], GAIN);
    let clearly_worse = ensemble("c", "swa", &[0.930, 0.932, 0.931, 0.933], GAIN);
    let cheap = |networks, e: EnsembleReport| EnsembleReport {
        cost: Cost { prediction_networks: networks, ..e.cost },
        ..e
    };
    let report = study(vec![best.clone(), cheap(3., close.clone()), cheap(1., clearly_worse.clone())]);
    contains_all(&verdict(&report), &[
        "The cheapest row that is not significantly worse than the best one is b with swa: 3 forward passes",
        "−0.0005 (95\u{a0}% interval −0.0026 to +0.0016)",
        "no proof that the two are equal",
    ]);
    assert!(!verdict(&study(vec![best.clone(), cheap(1., clearly_worse)])).contains("cheapest"));
    assert!(!verdict(&study(vec![best, close])).contains("cheapest"), "it costs as much");
}

/// The interval by hand: differences of the splits −0.01, 0.01 and −0.02, with the standard error
/// 0.0152753 sqrt(1/3 + 50/200) and t(0.975, 2) = 4.302653.
#[test]
fn over_splits_the_cheapest_row_is_judged_by_the_corrected_interval() {
    let over_splits = |combine: &str, accuracy: &[f64]| {
        let mut e = ensemble("a", combine, accuracy, GAIN);
        e.repeats.iter_mut().enumerate().for_each(|(i, r)| (r.split, r.repeat) = (i, 0));
        e
    };
    let best = over_splits("mean", &[0.94, 0.94, 0.96]);
    let cheap = one_network(over_splits("swa", &[0.93, 0.95, 0.94]));
    let report = StudyReport { splits: 3, repeats: 1, ..study(vec![best, cheap]) };
    contains_all(
        &verdict(&report),
        &["a with swa: 1 forward pass", "−0.0067 (95\u{a0}% interval −0.0569 to +0.0435)"],
    );
    let page = page(&report, "Title", &[]);
    contains_all(&page.class("terms").text(), &["Nadeau and Bengio 2003"]);
    contains_all(
        &page.class("facts").text(),
        &["200 in the first split", "1 of each strategy for each split"],
    );
}

#[test]
fn one_network_in_place_of_several_has_a_sentence_of_its_own() {
    let best = ensemble("a", "mean", &[0.94, 0.95], GAIN);
    let one = |difference| one_network(ensemble("a", "swa", &[0.91, 0.92], difference));
    let text = verdict(&study(vec![best.clone(), one(interval(-0.01, 0.04))]));
    contains_all(&text, &["a with swa is the best: 0.9150", "which shows no gain"]);
    let text = verdict(&study(vec![best.clone(), one(interval(-0.04, -0.01))]));
    contains_all(&text, &["which is worse than a single network"]);
    let text = verdict(&study(vec![best.clone(), refused("a", "average-weights")]));
    contains_all(&text, &["None of the rows that make one network of the members gave a result."]);
    let text = verdict(&study(vec![one_network(best.clone())]));
    contains_all(&text, &["The result is one network"]);
    assert!(!verdict(&study(vec![best])).contains("one network of the members"));
}

#[test]
fn names_are_text_and_never_markup() {
    let odd = "<b onload=\"x()\">&amp; 'q' \u{202e}Ж 中 🦀</b><script>";
    let mut report = study(vec![
        ensemble(odd, odd, &[0.92, 0.94], GAIN),
        ensemble("nul\u{0}", "bell\u{7}", &[0.91, 0.94], GAIN),
        EnsembleReport { failed: vec![Failure { barrier: None, why: odd.into() }; 2], ..refused(odd, "<i>") },
        EnsembleReport {
            failed: vec![Failure { barrier: None, why: odd.into() }],
            ..ensemble(odd, "partly", &[0.9], GAIN)
        },
    ]);
    report.ensembles[0].fitted_on = Some(FittedOnRows { source: odd.into(), rows: 1 });
    report.ensembles[0].weights = Some(vec![1.]);
    report.strategies[0].strategy = odd.into();
    report.metric = odd.into();
    report.metrics[0] = odd.into();
    for e in &mut report.ensembles {
        if let Some(of) = e.metrics.remove("accuracy") {
            e.metrics.insert(odd.into(), of);
        }
    }
    let settings = [(odd.to_string(), odd.to_string())];
    let html = report.html(odd, odd, &settings).unwrap();
    assert!(!html.contains("<b ") && !html.contains("<script") && !html.contains("<i>"));
    let page = page(&report, odd, &settings);
    assert_eq!(page.all("h1")[0].text(), odd);
    let results = page.table("results-table").text();
    contains_all(&results, &[odd, "<i>", "nul\u{fffd}", "bell\u{fffd}"]);
    contains_all(&page.all("main")[0].text(), &["no result in 1 of 1 training. Reason: <b"]);
}

#[test]
fn unusual_studies_have_pages() {
    let empty = StudyReport {
        metrics: vec![],
        repeats: 1,
        strategies: vec![],
        single: SingleReport {
            metrics: BTreeMap::new(),
            spread: Spread::default(),
            cost: Cost::default(),
            learning_curve: vec![],
            confusion: None,
            reliability: vec![],
            repeats: vec![],
        },
        ..study(vec![])
    };
    contains_all(&verdict(&empty), &["No combination gave a result"]);
    let all_refused = study(vec![refused("a", "swa"); 3]);
    contains_all(&verdict(&all_refused), &["No combination gave a result"]);
    let many = (0..60).map(|i| {
        let (strategy, combine) = (format!("strategy {}", i % 6), format!("combination {i}"));
        ensemble(&strategy, &combine, &[0.9 + f64::from(i) / 1000., 0.92], GAIN)
    });
    let page = page(&study(many.collect()), "Many", &[]);
    let groups =
        page.table("results-table").all("tr").into_iter().filter(|tr| tr.attribute("class") == "group");
    assert_eq!(groups.count(), 6);
    let one_training = StudyReport {
        repeats: 1,
        budget_epochs: Some(100),
        ..study(vec![EnsembleReport { size_curve: vec![], ..ensemble("a", "b", &[0.92], GAIN) }])
    };
    let text = self::page(&one_training, "Title", &[]).all("main")[0].text();
    contains_all(&text, &["bootstrap over the test rows", "100 epochs for each strategy in all"]);
}
