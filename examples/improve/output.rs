//! What the program prints and writes at the end.
use crate::{args::Args, print, program::Failure, tabular::prepared::Prepared};
use candle_ensemble::{
    files,
    improve::{ImproveReport, Improved, Step},
    AnyNetwork,
};
use serde_json::{json, Value};

/// Prints the result, and writes the files.
pub fn write(args: &Args, prepared: &Prepared, improved: Improved<'_, AnyNetwork>) -> Result<(), Failure> {
    let report = &improved.report;
    print(args, &format!("\n{}", report.table()));
    report.final_setup.write(&args.write_settings)?;
    print(
        args,
        &format!("\nThe settings, for --settings and Setup::read: {}", args.write_settings.display()),
    );
    improved.ensemble()?.save(&args.save)?;
    print(args, &format!("The result, for Ensemble::load: {}", args.save.display()));
    if let Some(path) = &args.json {
        files::write_whole(path, format!("{:#}\n", document(args, prepared, report)?).as_bytes())?;
        print(args, &format!("All figures: {}", path.display()));
    }
    let page =
        report.html(&format!("Improving a network on {}", prepared.name), &prepared.describe(), &[])?;
    files::write_whole(&args.html, page.as_bytes())?;
    print(args, &format!("The report: {}", args.html.display()));
    Ok(())
}

/// The JSON document.
fn document(args: &Args, prepared: &Prepared, report: &ImproveReport) -> Result<Value, Failure> {
    let value = |of: Result<Value, serde_json::Error>| of.map_err(|e| Failure::from(e.to_string()));
    let mut settings = value(serde_json::to_value(args))?;
    settings["data"] = json!(prepared.source);
    settings["target"] = json!(prepared.target);
    settings["task"] = json!(prepared.task);
    let mut document = value(serde_json::to_value(report))?;
    let steps: Vec<Value> =
        report.steps.iter().map(step).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    document["steps"] = json!(steps);
    document["settings"] = settings;
    document["warnings"] = json!(prepared.notes);
    if let Some(scaler) = &prepared.target_scaler {
        document["target_scaler"] = value(serde_json::to_value(scaler))?;
    }
    Ok(document)
}

/// One step: its names first, and then all of it.
fn step(step: &Step) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(step)?;
    value["finding_details"] = value["finding"].take();
    value["finding"] = json!(step.finding.name);
    value["remedy_details"] = value["remedy"].take();
    value["remedy"] = json!(step.remedy.remedy);
    Ok(value)
}
