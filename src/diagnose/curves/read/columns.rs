//! Runs in JSON: lists by name, or rows.
use super::{
    build::{Builder, Parsed},
    cell::Cell,
    json::Json,
    layout::Layout,
};
use crate::{Error, Result};
use std::borrow::Cow;

/// The runs, each with its name: an object of lists, or a list of rows.
pub(super) fn read(file: &str, runs: &[(String, &Json)]) -> Result<Parsed> {
    let tables: Result<Vec<(&str, Table<'_>)>> =
        runs.iter().map(|(name, run)| Ok((&**name, Table::of(file, run)?))).collect();
    let tables = tables?;
    let mut names: Vec<String> = vec![];
    for name in tables.iter().flat_map(|(_, table)| &table.names) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    let layout = Layout::of(file, &names)?;
    let mut notes = vec![];
    // A single list of rows may tell its runs apart by a column.
    let named = runs.len() > 1 || layout.runs.is_empty();
    let mut builder = Builder::new(file, "entry", layout);
    for (run, table) in &tables {
        let places: Vec<Option<usize>> =
            names.iter().map(|name| table.names.iter().position(|known| known == name)).collect();
        for row in 0..table.rows {
            let cell = |column: usize| {
                places.get(column).copied().flatten().map_or(Cell::Missing, |place| table.cell(place, row))
            };
            builder.push(row as u64 + 1, named.then_some(run), false, cell)?;
        }
        notes.extend(table.notes.iter().cloned());
    }
    let mut parsed = builder.finish()?;
    parsed.notes.extend(notes);
    Ok(parsed)
}

/// The content of a table by columns or by rows.
enum Content<'a> {
    /// Lists of numbers, each with the number of epochs that a value stands for.
    Columns(Vec<(Cow<'a, [f64]>, usize)>),
    /// Objects.
    Rows(&'a [Json]),
}

struct Table<'a> {
    names: Vec<Cow<'a, str>>,
    rows: usize,
    content: Content<'a>,
    notes: Vec<String>,
}

impl<'a> Table<'a> {
    fn of(file: &str, json: &'a Json) -> Result<Self> {
        match json {
            Json::Object(_) => Self::of_columns(file, json),
            _ => Self::of_rows(file, json.list()),
        }
    }

    fn of_columns(file: &str, json: &'a Json) -> Result<Self> {
        let mut columns = vec![];
        collect(file, "", json, &mut columns)?;
        let rows = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let mut notes = vec![];
        let stretched: Vec<_> = columns
            .iter()
            .map(|(name, values)| {
                let every = if values.is_empty() { 1 } else { rows / values.len() };
                if values.len() < rows && !values.is_empty() {
                    notes.push(match every {
                        1 => format!(
                            "{name:?} has {} of {rows} values; the last ones are missing",
                            values.len()
                        ),
                        _ => format!(
                            "{name:?} has {} of {rows} values: one every {every} epochs",
                            values.len()
                        ),
                    });
                }
                (values.clone(), every.max(1))
            })
            .collect();
        let names = columns.into_iter().map(|(name, _)| name).collect();
        Ok(Self { names, rows, content: Content::Columns(stretched), notes })
    }

    fn of_rows(file: &str, rows: &'a [Json]) -> Result<Self> {
        let mut names: Vec<Cow<'a, str>> = vec![];
        for (number, row) in rows.iter().enumerate() {
            if !row.is_object() {
                let what = format!("entry {} of {file}", number + 1);
                return Err(Error::invalid(what, "an object with the values of an epoch", "something else"));
            }
            for (name, _) in row.entries() {
                if !names.iter().any(|known| known == name) {
                    names.push(Cow::Borrowed(name));
                }
            }
        }
        Ok(Self { names, rows: rows.len(), content: Content::Rows(rows), notes: vec![] })
    }

    fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        match &self.content {
            Content::Rows(rows) => {
                let name = self.names.get(column).map_or("", |name| name);
                rows.get(row).and_then(|row| row.get(name)).map_or(Cell::Missing, Json::cell)
            }
            Content::Columns(columns) => {
                let Some((values, every)) = columns.get(column) else { return Cell::Missing };
                let value = match (row + 1) % every {
                    0 => values.get((row + 1) / every - 1),
                    _ => None,
                };
                value.map_or(Cell::Missing, |value| Cell::Number(*value))
            }
        }
    }
}

/// The lists of numbers of an object, with their names. Those of objects inside have the names of both. Lists
/// of texts and other values are passed over, except where they have the name of a loss.
fn collect<'a>(
    file: &str,
    prefix: &str,
    json: &'a Json,
    columns: &mut Vec<(Cow<'a, str>, Cow<'a, [f64]>)>,
) -> Result<()> {
    for (name, value) in json.entries() {
        let name =
            if prefix.is_empty() { Cow::Borrowed(&**name) } else { Cow::Owned(format!("{prefix}/{name}")) };
        match value {
            Json::Numbers(values) => columns.push((name, Cow::Borrowed(values))),
            Json::Object(entries) => match numbers_by_index(entries) {
                Some(values) => columns.push((name, Cow::Owned(values))),
                None => collect(file, &name, value, columns)?,
            },
            Json::List(values) if super::name::measure(&name).is_some() => {
                let odd = values.iter().position(|value| value.cell().number().is_none()).unwrap_or(0);
                let what = format!("{name:?} of {file}");
                return Err(Error::invalid(
                    what,
                    "a list of numbers",
                    format!("something else in entry {}", odd + 1),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// pandas writes a column as an object of numbers by row: `{"0": 0.9, "1": 0.4}`.
fn numbers_by_index(entries: &[(String, Json)]) -> Option<Vec<f64>> {
    let value = |(index, value): &(String, Json)| {
        index.parse::<u64>().ok()?;
        match value {
            Json::Null => Some(f64::NAN),
            value => value.cell().number(),
        }
    };
    if entries.is_empty() {
        return None;
    }
    entries.iter().map(value).collect()
}
