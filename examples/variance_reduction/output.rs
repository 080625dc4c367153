//! What the program prints and writes.
use super::{args::Args, print, program::Failure, study::DataSet};
use candle_ensemble::{
    chart::Chart,
    evaluate::{DataSetsReport, StudyReport},
    files, Result,
};
use serde_json::{json, Value};
use std::path::{Path, PathBuf};

/// Prints the tables, and writes the files that are asked for.
pub fn write(args: &Args, sets: &[DataSet], reports: Vec<StudyReport>) -> Result<(), Failure> {
    for (set, report) in sets.iter().zip(&reports) {
        let heading = if sets.len() > 1 { format!("\n{}\n", set.first.name) } else { String::new() };
        print(args, heading);
        print(args, report.table());
        if let Some(why) = report.why_table() {
            print(args, format!("\nWhy ensembles gain: the loss on the test rows in parts\n\n{why}"));
        }
    }
    let named: Vec<(&str, &StudyReport)> =
        sets.iter().zip(&reports).map(|(set, report)| (&*set.first.name, report)).collect();
    let compared = if sets.len() > 1 { Some(DataSetsReport::of(&named)?) } else { None };
    if let Some(compared) = &compared {
        print(args, format!("\nAll data sets\n\n{}", compared.table()));
    }
    if let Some(path) = &args.json {
        let documents = sets.iter().zip(&reports).map(|(set, report)| document(args, set, report));
        let mut documents = documents.collect::<Result<Vec<_>>>()?;
        let document = match &compared {
            None => documents.remove(0),
            Some(compared) => json!({ "studies": documents, "comparison": compared }),
        };
        files::write_whole(path, format!("{document:#}\n").as_bytes())?;
        print(args, format!("\nAll figures, by repeat and size: {}", path.display()));
    }
    for (set, report) in sets.iter().zip(&reports) {
        let name = (sets.len() > 1).then_some(&*set.first.name);
        let title = &set.first.name;
        let sizes =
            report.size_chart(&format!("{title}: mean ± sd over {} trainings", args.repeats * args.splits));
        let cost = |what: &str| format!("{title}: test {} and the cost of {what}", report.metric);
        let metric = &report.metric;
        draw(args, name, "", &format!("Test {metric} against ensemble size"), sizes)?;
        let prediction = report.prediction_cost_chart(&cost("a prediction"));
        draw(args, name, "prediction", &format!("Test {metric} against cost of a prediction"), prediction)?;
        let training = report.training_cost_chart(&cost("training"));
        draw(args, name, "training", &format!("Test {metric} against cost of training"), training)?;
    }
    let ranks = compared.as_ref().map(|compared| compared.rank_chart("Average ranks over the data sets"));
    draw(args, None, "ranks", "Average ranks", ranks)?;
    if let Some(path) = &args.html {
        files::write_whole(path, page(args, sets, &reports, compared.as_ref())?.as_bytes())?;
        print(args, format!("\nThe page: {}", path.display()));
    }
    Ok(())
}

/// The page of one data set, or of all with their comparison.
fn page(
    args: &Args,
    sets: &[DataSet],
    reports: &[StudyReport],
    compared: Option<&DataSetsReport>,
) -> Result<String> {
    let settings = |set: &DataSet| -> Result<Vec<(String, String)>> {
        let Value::Object(settings) = args.settings(&set.first)? else { return Ok(vec![]) };
        let shown = |value: Value| match value {
            Value::String(text) => text,
            Value::Array(values) => {
                let texts = values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), String::from));
                texts.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        let given = settings.into_iter().filter(|(_, value)| !value.is_null());
        Ok(given.map(|(name, value)| (name, shown(value))).collect())
    };
    match compared {
        None => {
            let set = &sets[0].first;
            reports[0].html(&format!("Ensembles on {}", set.name), &set.describe(), &settings(&sets[0])?)
        }
        Some(compared) => {
            let study = |(set, report): (&DataSet, _)| Ok((set.first.describe(), report, settings(set)?));
            let studies = sets.iter().zip(reports).map(study).collect::<Result<Vec<_>>>()?;
            compared.html("Ensembles on several data sets", &studies)
        }
    }
}

/// Writes a chart beside the others, and says what it shows.
fn draw(args: &Args, set: Option<&str>, kind: &str, what: &str, chart: Option<impl Chart>) -> Result<()> {
    let Some(chart) = chart else { return Ok(()) };
    let path = beside(&args.chart, set, kind);
    chart.save(&path)?;
    print(args, format!("\n{what}: {}", path.display()));
    Ok(())
}

/// The path with a data set and a kind of chart added to the name of the file.
fn beside(path: &Path, set: Option<&str>, kind: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let parts: Vec<&str> =
        [&*stem].into_iter().chain(set).chain((!kind.is_empty()).then_some(kind)).collect();
    path.with_file_name(format!("{}.{extension}", parts.join("_")))
}

/// The JSON document of one data set.
fn document(args: &Args, set: &DataSet, report: &StudyReport) -> Result<Value> {
    let mut document = json!({ "settings": args.settings(&set.first)?, "warnings": set.first.notes });
    if let (Value::Object(to), Ok(Value::Object(from))) = (&mut document, serde_json::to_value(report)) {
        to.extend(from);
    }
    Ok(document)
}
