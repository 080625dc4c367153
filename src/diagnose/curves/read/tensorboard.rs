//! Series that were downloaded from TensorBoard.
use super::{
    build::{Builder, Parsed},
    cell::Cell,
    layout::Layout,
    name::{self, Split},
    table, CurveFormat, Source,
};
use crate::{Error, Result};
use std::path::Path;

/// A table with the columns `Wall time`, `Step` and `Value`.
pub(super) struct TensorBoard;

const HEADER: [&str; 3] = ["Wall time", "Step", "Value"];

impl CurveFormat for TensorBoard {
    fn name(&self) -> &'static str {
        "a series of TensorBoard"
    }

    fn recognizes(&self, source: &Source<'_>) -> bool {
        let header = source.text.lines().next().unwrap_or_default();
        source.json.is_none() && table::fields(header, b',') == HEADER
    }

    fn read(&self, source: &Source<'_>) -> Result<Parsed> {
        let file = source.file;
        let (run, column) = series(file)?;
        let layout = Layout::of(file, &["Wall time".into(), "step".into(), column])?;
        let mut rows = Builder::new(file, "line", layout);
        for record in table::reader(&source.text, b',').into_records().skip(1) {
            let record = record.map_err(|e| Error::invalid(file, "a table (CSV)", e))?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell =
                |column: usize| record.get(column).map_or(Cell::Missing, |text| Cell::parse(text, false));
            rows.push(line, Some(&run), false, cell)?;
        }
        Ok(Parsed { partial: true, ..rows.finish()? })
    }
}

/// The key of the run, and the name of the series, such as `train_loss`. TensorBoard names the file
/// `run-RUN-tag-TAG.csv`. Keras writes training and validation as two runs whose names end in `train` and
/// `validation`.
fn series(file: &str) -> Result<(String, String)> {
    let path = Path::new(file);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (run, tag) = match stem.split_once("-tag-") {
        Some((run, tag)) => (run.strip_prefix("run-").unwrap_or(run), tag),
        None => ("", &*stem),
    };
    let words = name::words(run);
    let rest: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| name::split(word).is_none()).collect();
    let measured = name::measure(tag).map(|tag| tag.split);
    let Some(split) = measured else {
        let must = "named after the series it holds, such as run-train-tag-epoch_loss.csv or valid_loss.csv";
        return Err(Error::invalid(format!("a TensorBoard file ({file})"), must, format!("{stem:?}")));
    };
    let folder = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let of_run = words.iter().rev().find_map(|word| name::split(word));
    let prefix = match (split, of_run) {
        (None, Some(Split::Train) | None) => "train ",
        (None, Some(_)) => "valid ",
        (Some(_), _) => "",
    };
    Ok((format!("{folder}/{}", rest.join(" ")), format!("{prefix}{tag}")))
}
