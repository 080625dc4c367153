//! Keras' `History` as JSON, and other objects of lists.
use super::{build::Parsed, columns, json::Json, name, CurveFormat, Source};
use crate::Result;

/// `History.history`, or what holds it: lists by name, for one run or several.
pub(super) struct History;

impl CurveFormat for History {
    fn name(&self) -> &'static str {
        "a history as JSON (lists by name)"
    }

    fn recognizes(&self, source: &Source<'_>) -> bool {
        source.json.as_ref().is_some_and(|json| !histories(json).is_empty())
    }

    fn read(&self, source: &Source<'_>) -> Result<Parsed> {
        let Some(json) = &source.json else { return Ok(Parsed::default()) };
        let mut parsed = columns::read(source.file, &histories(json))?;
        // Keras before 2.3 tells the number of training rows.
        parsed.train_rows = json.get("params").and_then(|params| params.get("samples")).and_then(Json::count);
        Ok(parsed)
    }
}

/// The runs: one object of lists, a list of them, or an object of them by the name of the run.
fn histories(json: &Json) -> Vec<(String, &Json)> {
    let json = inner(json);
    if let Json::List(runs) = json {
        return match runs.iter().all(|run| has_lists(inner(run))) {
            true => (1..).map(|n: usize| n.to_string()).zip(runs.iter().map(inner)).collect(),
            false => vec![],
        };
    }
    let entries = json.entries();
    let names_rows = |name: &str| name::words(name).iter().any(|word| name::split(word).is_some());
    match () {
        () if has_lists(json) => vec![(String::new(), json)],
        () if entries.iter().all(|(name, run)| has_lists(inner(run)) && !names_rows(name)) => {
            entries.iter().map(|(name, run)| (name.clone(), inner(run))).collect()
        }
        () if entries.iter().any(|(_, rows)| has_lists(rows)) => vec![(String::new(), json)],
        () => vec![],
    }
}

/// The lists inside of what Keras keeps beside them.
fn inner(json: &Json) -> &Json {
    json.get("history").filter(|inner| inner.is_object()).unwrap_or(json)
}

/// Whether it is an object with a list of numbers, or with a column of pandas.
fn has_lists(json: &Json) -> bool {
    let list = |value: &Json| match value {
        Json::Numbers(values) => !values.is_empty(),
        Json::Object(entries) => entries.iter().any(|(name, value)| name == "0" && !value.is_object()),
        _ => false,
    };
    json.entries()
        .iter()
        .any(|(name, value)| list(value) && (name::measure(name).is_some() || name::key(name).is_some()))
}
