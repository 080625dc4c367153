//! What the program prints and writes.
use super::{
    args::Args,
    program::{say, Failure},
};
use candle_ensemble::{
    chart::Chart,
    diagnose::{Evidence, Features, Finding},
    files,
    remedy::{DiagnosisReport, Proposal},
    Result,
};
use serde_json::{json, Value};
use std::path::{Path, PathBuf};

/// The number of remedies that are printed for each finding.
const PRINTED: usize = 3;

/// Prints the findings, and writes the files that are asked for.
pub fn write(args: &Args, reports: &[DiagnosisReport]) -> Result<(), Failure> {
    for (number, report) in reports.iter().enumerate() {
        let gap = if number > 0 { "\n" } else { "" };
        print(args, &format!("{gap}{}", text(report)));
    }
    if let Some(path) = &args.chart {
        for (number, report) in reports.iter().enumerate() {
            let path = numbered(path, (reports.len() > 1).then_some(number + 1));
            match report.chart(&title(report)) {
                Some(chart) => {
                    chart.save(&path)?;
                    print(args, &format!("\nThe curves of {}: {}", report.name, path.display()));
                }
                None => print(args, &format!("\nNo chart of {}: it has no finite loss", report.name)),
            }
        }
    }
    if let Some(path) = &args.html {
        let page = match reports {
            [one] => one.html("Diagnosis")?,
            several => DiagnosisReport::html_of("Diagnoses", several)?,
        };
        files::write_whole(path, page.as_bytes())?;
        print(args, &format!("\nThe page: {}", path.display()));
    }
    if let Some(path) = &args.json {
        let document = Value::Array(reports.iter().map(document).collect());
        files::write_whole(path, format!("{document:#}\n").as_bytes())?;
        print(args, &format!("\nAll findings and remedies: {}", path.display()));
    }
    Ok(())
}

fn print(args: &Args, text: &str) {
    if !args.quiet {
        say(text.trim_end_matches('\n'));
    }
}

/// The diagnosis in words, with the best remedies for each finding.
fn text(report: &DiagnosisReport) -> String {
    let best = report.best(PRINTED);
    let more = report.proposals.len() - best.proposals.len();
    let notes: String = report.notes.iter().map(|note| format!("  {note}\n")).collect();
    let curves = report.curves.as_ref().map(|curves| format!(": {curves}")).unwrap_or_default();
    let more = match more {
        0 => String::new(),
        more => format!("{more} more remedies are in the files of --html and --json.\n"),
    };
    format!("{}{curves}\n{notes}\n{best}{more}", report.name)
}

/// The title of the chart.
fn title(report: &DiagnosisReport) -> String {
    match report.curves.as_ref().map_or(0, |curves| curves.runs.len()) {
        0 | 1 => report.name.clone(),
        runs => format!("{}: mean, smallest and largest of {runs} runs", report.name),
    }
}

/// The path, with a number added to the name of the file.
fn numbered(path: &Path, number: Option<usize>) -> PathBuf {
    let Some(number) = number else { return path.into() };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}_{number}.{extension}"))
}

/// The entry of one network in the JSON file.
fn document(report: &DiagnosisReport) -> Value {
    let findings = report.diagnosis.findings.iter();
    let findings: Vec<Value> = findings.map(|finding| of_finding(report, finding)).collect();
    let features = report.curves.as_ref().map(|curves| Features::of(curves).values()).unwrap_or_default();
    let features =
        Features::NAMES.iter().zip(features).map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "file": report.name,
        "findings": findings,
        "labels": report.diagnosis.labels,
        "features": features.collect::<Vec<_>>(),
    })
}

fn of_finding(report: &DiagnosisReport, finding: &Finding) -> Value {
    let remedies: Vec<Value> = report.proposals_for(&finding.name).map(of_remedy).collect();
    json!({
        "name": finding.name,
        "kind": finding.kind,
        "problem": finding.problem,
        "confidence": finding.confidence,
        "evidence": finding.evidence.iter().map(of_evidence).collect::<Vec<_>>(),
        "remedies": remedies,
    })
}

fn of_evidence(evidence: &Evidence) -> Value {
    json!({ "text": evidence.text, "value": evidence.value })
}

fn of_remedy(proposal: &Proposal) -> Value {
    json!({
        "name": proposal.remedy,
        "why": proposal.why,
        "change": proposal.change,
        "code": proposal.code,
        "cost": proposal.cost,
        "effect": proposal.effect,
        "source": proposal.source,
    })
}
