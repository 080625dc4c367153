//! Pages of loops of improvement.
use super::{
    diagnosis,
    parsed::{contains_all, Parsed},
};
use crate::{improve::ImproveReport, statistics::Interval};
use serde_json::{json, Value};

fn interval(low: f64, high: f64, level: f64) -> Value {
    json!(Interval { estimate: (low + high) / 2., low, high, level })
}

/// A loop that kept one of three remedies.
fn report() -> ImproveReport {
    let diagnosed = diagnosis::report();
    let (finding, remedies) = (&diagnosed.diagnosis.findings[0], &diagnosed.proposals);
    let step = |i: usize, gain: Value, verdict: Value, kept: bool| {
        let pairs: Vec<Value> =
            (0..8).map(|split| json!({ "split": split, "without": 0.5, "with": 0.4 })).collect();
        json!({
            "finding": finding, "remedy": remedies[i], "pairs": pairs, "gain": gain, "level": 0.98,
            "trainings": 16, "epochs": 480, "verdict": verdict, "kept": kept
        })
    };
    let scores = |accuracy: f64, nll: f64| {
        json!({
            "metrics": { "accuracy": accuracy, "nll": nll }, "spread": { "accuracy": 0.01, "nll": 0.02 },
            "diverged": 0, "runs": 5
        })
    };
    let after = json!({ "settings": { "weight_decay": 0.01 } });
    serde_json::from_value(json!({
        "seed": "42", "metric": "nll", "higher_is_better": false, "no_model": 2.302, "rows": 300, "test_rows": 100,
        "start_setup": {}, "final_setup": after, "start": scores(0.91, 0.52), "final": scores(0.93, 0.41),
        "gain": interval(0.05, 0.17, 0.95),
        "steps": [
            step(0, interval(-0.1, 0.06, 0.95), json!("no_gain"), false),
            step(1, interval(0.12, 0.28, 0.98), json!("better"), true),
            step(2, Value::Null, json!({ "refused": "no validation rows" }), false),
        ],
        "diagnoses": [
            { "after_steps": 0, "curves": diagnosed.curves, "findings": diagnosed.diagnosis.findings },
            { "after_steps": 2, "curves": diagnosis::overfitting(2), "findings": [] },
        ],
        "stopped": "nothing_helps", "trainings": 63, "epochs": 1890
    }))
    .unwrap()
}

#[test]
fn a_page_shows_what_was_tried_and_what_it_bought() {
    let report = report();
    let settings = [("hidden".to_string(), "64,32".to_string())];
    let text = report.html("Improved <digits>", "400 rows.", &settings).unwrap();
    assert_eq!(text, report.html("Improved <digits>", "400 rows.", &settings).unwrap());
    let page = Parsed::checked(&text);
    let kept = report.steps[1].remedy.remedy.as_str();
    contains_all(
        &page.class("verdict").text(),
        &[
            "On the 100 rows that no decision saw, the nll goes from 0.5200 ± 0.0200 to 0.4100 ± 0.0200 (lower is better).",
            "The gain is +0.1100 (+0.0500 … +0.1700) (95 % interval): better beyond chance.",
            &format!("3 remedies tried, 1 kept: {kept}."),
            "It ended because no remedy that is left helps. 63 networks were trained for 1890 epochs together.",
        ],
    );
    contains_all(&page.table("scores-table").text(), &["accuracy0.9100 ± 0.01000.9300 ± 0.0100"]);
    contains_all(
        &page.table("tried-table").text(),
        &["+20.0 % (+12.0 … +28.0)", "kept: better", "not kept: no certain gain", "not kept: does not fit"],
    );
    let main = page.all("main")[0].text();
    contains_all(
        &main,
        &[
            "\"weight_decay\": 0.01",
            "no validation rows",
            "At the start",
            "nll without a model2.3020",
            "After step 2",
            "64,32",
        ],
    );
    // The forest plot, both validation losses, and losses and metric at the start and after the change.
    let figures = page.all("svg");
    assert_eq!(figures.len(), 6);
    contains_all(&figures[1].text(), &["start", &format!("after 2. {kept}")]);
    contains_all(&figures[0].text(), &[&format!("2. {kept}"), "20.0 (12.0 to 28.0)"]);
}

#[test]
fn a_loop_without_steps_has_a_page() {
    let mut report = report();
    report.steps.clear();
    report.diagnoses.truncate(1);
    report.gain = None;
    let page = Parsed::checked(&report.html("t", "", &[]).unwrap());
    contains_all(&page.class("verdict").text(), &["Nothing was changed. The nll on the 100 rows"]);
    report.diagnoses.clear();
    Parsed::checked(&report.html("t", "", &[]).unwrap());
}

#[test]
fn the_tables_and_the_story_name_every_step() {
    let report = report();
    let table = report.table();
    contains_all(&table, &["+20.0 % (+12.0 … +28.0)", "98.00 %", "kept: better", "not kept: does not fit"]);
    assert_eq!(table.lines().count(), 2 + 3 + 1 + 2 + 2);
    contains_all(&table, &["| nll      | 0.5200 ± 0.0200 | 0.4100 ± 0.0200 |"]);
    let story = report.story();
    let lines: Vec<&str> = story.lines().collect();
    assert_eq!(lines.len(), 2 + 3 + 3, "{story}");
    contains_all(lines[0], &["Found: overfit (93 %)"]);
    contains_all(
        lines[2],
        &[
            "Step 2:",
            "Kept: better; the loss is reduced by +20.0 % (+12.0 … +28.0) at level 98.00 % over 8 splits.",
        ],
    );
    assert_eq!(lines[3], "Found: nothing.");
    contains_all(lines[4], &["Step 3:", "Not kept: does not fit (no validation rows)."]);
}
