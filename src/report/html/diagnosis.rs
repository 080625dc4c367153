//! The page of a diagnosis.
use super::{
    findings::{findings, proposals},
    page::{figures, page, Part},
    text::{count, percent},
};
use crate::{
    diagnose::{Curves, Finding, Problem},
    remedy::DiagnosisReport,
    report::marks::Marks,
    Result,
};
use maud::{html, Markup};

impl DiagnosisReport {
    /// The diagnosis as an HTML page (feature `charts`): what is wrong in a sentence, the learning curves
    /// with the evidence marked, the findings and the remedies with their code.
    ///
    /// The page is one file that loads nothing. [`files::write_whole`](crate::files::write_whole) writes it.
    /// All texts are escaped. The same report gives the same bytes.
    ///
    /// ```
    /// use candle_ensemble::{
    ///     diagnose::{Curve, Curves, Diagnosis, Evidence, Finding, Label, Mark},
    ///     remedy::DiagnosisReport,
    /// };
    ///
    /// let mut run = Curve::default();
    /// run.train_loss = vec![0.9, 0.5, 0.3, 0.2, 0.1];
    /// run.valid_loss = vec![0.9, 0.6, 0.5, 0.6, 0.7];
    /// let mut diagnosis = Diagnosis::default();
    /// let turn = Evidence::new("The validation loss turns at epoch 2.").mark(Mark::Epoch(2));
    /// diagnosis.findings = vec![Finding::of(Label::Overfit, 0.9, "It overfits.", "").evidence(turn)];
    /// let page = DiagnosisReport::new("my network", diagnosis).curves(Curves::new(vec![run])).html("Diagnosis")?;
    /// assert!(page.starts_with("<!DOCTYPE html>") && page.contains("It overfits."));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a chart cannot be drawn, because the library's font is missing.
    pub fn html(&self, title: &str) -> Result<String> {
        Ok(page(title, &self.description(), &self.parts("")?))
    }

    /// Several diagnoses as one HTML page (feature `charts`), as [`html`](Self::html).
    ///
    /// # Errors
    /// Those of [`html`](Self::html).
    pub fn html_of(title: &str, reports: &[Self]) -> Result<String> {
        let part = |(i, report): (usize, &Self)| {
            let place = format!("network-{}-", i + 1);
            let curves = report.curves.as_ref().map(Curves::to_string);
            let lead = html! { @if let Some(curves) = curves { p.lead { (curves) "." } } };
            let heading = Part::new(&place, "diagnosis", &report.name, lead);
            Ok(Part { parts: report.parts(&place)?, ..heading })
        };
        let parts = reports.iter().enumerate().map(part).collect::<Result<Vec<_>>>()?;
        Ok(page(title, &format!("{}.", count(reports.len(), "network")), &parts))
    }

    /// What was diagnosed.
    fn description(&self) -> String {
        let curves = self.curves.as_ref().map(|curves| format!(": {curves}")).unwrap_or_default();
        format!("{}{curves}.", self.name)
    }

    fn parts(&self, place: &str) -> Result<Vec<Part>> {
        let marks = Marks::of(&self.diagnosis.findings);
        let mut parts = vec![Part::new(place, "result", "Result", self.result())];
        let mut add = |name: &str, heading: &str, body: Option<Markup>| {
            parts.extend(body.map(|body| Part::new(place, name, heading, body)));
        };
        if let Some(curves) = &self.curves {
            add("curves", "Learning curves", curve_figures(curves, &self.diagnosis.findings, "Losses")?);
        }
        let found = &self.diagnosis.findings;
        add("findings", "Findings", (!found.is_empty()).then(|| findings(found, &marks)));
        let remedies = !self.proposals.is_empty();
        add("remedies", "What can be done", remedies.then(|| proposals(&self.proposals)));
        add("missing", "What would tell more", sentences(&self.diagnosis.missing));
        add("notes", "How the curves were read", sentences(&self.notes));
        Ok(parts)
    }

    /// What is wrong, in a few sentences.
    fn result(&self) -> Markup {
        let first = self.diagnosis.first();
        let others = self.diagnosis.findings.len().saturating_sub(1);
        let remedy = first.and_then(|first| self.proposals_for(&first.name).next());
        html! {
            div.verdict {
                @match first {
                    None => { p { "Nothing was found." } }
                    Some(first) if first.problem == Problem::None => {
                        p {
                            strong { "Nothing is wrong" } " (confidence " (percent(first.confidence)) "). "
                            (first.summary)
                        }
                    }
                    Some(first) => {
                        p {
                            "Act first on " strong { (first.name) } ", a problem of " (first.problem) " (confidence "
                            (percent(first.confidence)) "). " (first.summary)
                        }
                    }
                }
                @if let Some(remedy) = remedy {
                    p { "Try first: " strong { (remedy.remedy) } ", " (remedy.change) "." }
                }
                @if others > 0 { p { (count(others, "other finding")) " below." } }
            }
        }
    }
}

/// Learning curves with the evidence marked, and the metric's; none without values.
pub(super) fn curve_figures(curves: &Curves, findings: &[Finding], title: &str) -> Result<Option<Markup>> {
    let runs = curves.runs.len();
    let lines = match runs {
        1 => "One run.".to_string(),
        runs => format!("Lines are means of {runs} runs, and bands go from the smallest to the largest."),
    };
    let stopped = stopped_runs(curves);
    let losses = html! {
        (lines) " Epochs are counted from 0."
        @if !Marks::of(findings).of_chart().is_empty() { " Letters stand before the evidence that the marks show." }
        @if stopped > 0 { " " (count(stopped, "run")) " ended in a loss that is not finite." }
    };
    let loss = curves.chart(title, findings);
    let metric = curves.metric_chart("Metric");
    let metric = metric.iter().map(|chart| figures([chart], &html! { (lines) }));
    let all = loss.iter().map(|chart| figures([chart], &losses)).chain(metric).collect::<Result<Vec<_>>>()?;
    Ok((!all.is_empty()).then(|| html! { @for figure in &all { (figure) } }))
}

/// The number of runs whose training loss is not finite at the end.
fn stopped_runs(curves: &Curves) -> usize {
    curves.runs.iter().filter(|run| run.train_loss.last().is_some_and(|loss| !loss.is_finite())).count()
}

fn sentences(texts: &[String]) -> Option<Markup> {
    (!texts.is_empty()).then(|| html! { ul { @for text in texts { li { (text) } } } })
}
