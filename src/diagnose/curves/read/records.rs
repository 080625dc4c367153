//! Lists of rows as JSON: the records of this library's members, JSON Lines, the log of Hugging Face's
//! trainer.
use super::{build::Parsed, columns, json::Json, CurveFormat, Source};
use crate::Result;

/// A list of objects, each with the values of an epoch or of a part of it; or a list of such lists, one for
/// each run.
pub(super) struct Records;

impl CurveFormat for Records {
    fn name(&self) -> &'static str {
        "rows as JSON"
    }

    fn recognizes(&self, source: &Source<'_>) -> bool {
        source.json.as_ref().is_some_and(|json| !runs(json).is_empty())
    }

    fn read(&self, source: &Source<'_>) -> Result<Parsed> {
        match &source.json {
            Some(json) => columns::read(source.file, &runs(json)),
            None => Ok(Parsed::default()),
        }
    }
}

fn runs(json: &Json) -> Vec<(String, &Json)> {
    let json = json.get("log_history").unwrap_or(json);
    let rows = |json: &Json| !json.list().is_empty() && json.list().iter().all(Json::is_object);
    match json {
        _ if rows(json) => vec![(String::new(), json)],
        Json::List(runs) if runs.iter().all(rows) => (1..).map(|n: usize| n.to_string()).zip(runs).collect(),
        _ => vec![],
    }
}
