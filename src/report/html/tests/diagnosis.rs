//! Pages of diagnoses.
use super::parsed::{contains_all, Parsed};
use crate::{
    diagnose::{Curve, CurveMetric, Curves, Diagnose, Diagnosis, Finding, Label, Problem},
    remedy::{propose, remedies, DiagnosisReport, Setup, Start},
    train::TrainConfig,
};

/// Runs whose validation loss turns at epoch 10 and ends at 0.9.
pub(super) fn overfitting(runs: usize) -> Curves {
    let run = |run: usize| {
        let wave = |epoch: usize| 0.02 * ((epoch * 7 + run * 3) as f64).sin();
        let power = |base: f64, epoch: usize| base.powi(epoch as i32);
        let valid = |e: usize| 0.3 + 1.8 * power(0.8, e) + 0.014 * e.saturating_sub(10) as f64 + wave(e);
        Curve {
            train_loss: (0..50).map(|e| 0.02 + 2. * power(0.85, e)).collect(),
            valid_loss: (0..50).map(valid).collect(),
            train_metric: (0..50).map(|e| 1. - 0.7 * power(0.85, e)).collect(),
            valid_metric: (0..50).map(|e| 0.9 - 0.6 * power(0.8, e) + wave(e)).collect(),
        }
    };
    let mut curves = Curves::new((0..runs).map(run).collect());
    (curves.train_rows, curves.valid_rows) = (Some(400), Some(120));
    curves.metric = Some(CurveMetric::Accuracy);
    curves
}

pub(super) fn report() -> DiagnosisReport {
    let curves = overfitting(5);
    let labels = vec![(Label::Overfit, 0.93), (Label::HighVariance, 0.06), (Label::GoodFit, 0.01)];
    let diagnosis = Diagnose::curves(&curves).labels(labels).run().unwrap();
    let (trainer, setup) = (TrainConfig::default(), Setup::default());
    let proposals = propose(&remedies(), &diagnosis.findings, &Start::new(&trainer, &setup).unwrap());
    DiagnosisReport::new("my <network>", diagnosis)
        .curves(curves)
        .proposals(proposals)
        .notes(vec!["a Keras history".into()])
}

#[test]
fn a_page_shows_findings_evidence_and_remedies() {
    let report = report();
    let text = report.html("Diagnosis & remedies").unwrap();
    assert_eq!(text, report.html("Diagnosis & remedies").unwrap());
    let page = Parsed::checked(&text);
    assert_eq!(page.all("title")[0].text(), "Diagnosis & remedies");
    contains_all(
        &page.class("lead").text(),
        &["my <network>: 5 runs, 50 epochs, accuracy, 400 training rows, 120 validation rows."],
    );
    contains_all(
        &page.class("verdict").text(),
        &["Act first on overfit, a problem of generalization (confidence 93\u{a0}%).", "Try first:"],
    );
    let main = page.all("main")[0].text();
    for finding in &report.diagnosis.findings {
        contains_all(&main, &[&finding.name, &finding.summary]);
        finding.evidence.iter().for_each(|evidence| contains_all(&main, &[&evidence.text]));
    }
    for proposal in &report.proposals {
        contains_all(&main, &[&proposal.remedy, &proposal.why, proposal.code.trim_end(), &proposal.source]);
    }
    contains_all(&main, &["a Keras history"]);
    let figures = page.all("svg");
    assert_eq!(figures.len(), 2, "losses and metric");
    // The marks of the chart have the letters that stand before the evidence.
    contains_all(&figures[0].text(), &["A, overfit"]);
    let letters = page.all("li").iter().filter(|li| li.text().starts_with("A ")).count();
    assert!(letters >= 1, "no evidence has the letter A");
}

#[test]
fn several_networks_have_one_page() {
    let healthy = Finding::of(Label::GoodFit, 0.97, "Both losses have converged, close to each other.", "");
    let diagnosis = Diagnosis { findings: vec![healthy], ..Diagnosis::default() };
    let healthy = DiagnosisReport::new("b.csv", diagnosis);
    let page = Parsed::checked(&DiagnosisReport::html_of("Two", &[report(), healthy]).unwrap());
    let headings: Vec<String> = page.all("h2").iter().map(|h| h.text()).collect();
    assert_eq!(headings, ["my <network>", "b.csv"]);
    contains_all(&page.all("main")[0].text(), &["Nothing is wrong (confidence 97\u{a0}%)."]);
}

#[test]
fn unusual_diagnoses_have_pages() {
    let empty = DiagnosisReport::new("", Diagnosis::default());
    let page = Parsed::checked(&empty.html("t").unwrap());
    contains_all(&page.class("verdict").text(), &["Nothing was found."]);
    let run = Curve { train_loss: vec![f64::NAN], ..Curve::default() };
    let nan = DiagnosisReport::new("nan", Diagnosis::default()).curves(Curves::new(vec![run]));
    assert!(Parsed::checked(&nan.html("t").unwrap()).all("svg").is_empty());
    let findings = vec![Finding::new("<b>", Problem::Data, f64::NAN, "\u{1}", "")];
    let diagnosis = Diagnosis { findings, ..Diagnosis::default() };
    Parsed::checked(&DiagnosisReport::new("x", diagnosis).html("t").unwrap());
}
