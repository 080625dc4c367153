//! This library's own curves as JSON.
use super::{build::Parsed, columns, json::Json, CurveFormat, Source};
use crate::{diagnose::CurveMetric, Error, Result};

/// An object with a list of runs, each an object of lists.
pub(super) struct CurvesJson;

impl CurveFormat for CurvesJson {
    fn name(&self) -> &'static str {
        "learning curves as JSON"
    }

    fn recognizes(&self, source: &Source<'_>) -> bool {
        source.json.as_ref().is_some_and(|json| json.get("runs").is_some())
    }

    fn read(&self, source: &Source<'_>) -> Result<Parsed> {
        let Some(json) = &source.json else { return Ok(Parsed::default()) };
        let runs = json.get("runs").map(Json::list).unwrap_or_default();
        if runs.is_empty() {
            let must = "a list with at least one run";
            return Err(Error::invalid(
                format!("\"runs\" of {}", source.file),
                must,
                "empty or something else",
            ));
        }
        let runs: Vec<(String, &Json)> = (1..).map(|n: usize| n.to_string()).zip(runs).collect();
        let mut parsed = columns::read(source.file, &runs)?;
        let text = |name| match json.get(name) {
            Some(Json::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        parsed.metric = parsed.metric.or(text("metric").and_then(CurveMetric::of_name));
        parsed.train_rows = json.get("train_rows").and_then(Json::count);
        parsed.valid_rows = json.get("valid_rows").and_then(Json::count);
        Ok(parsed)
    }
}
