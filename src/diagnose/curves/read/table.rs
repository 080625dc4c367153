//! Tables as text: CSV and its relatives, of Keras, PyTorch Lightning or any other program.
use super::{
    build::{Builder, Parsed},
    cell::Cell,
    layout::{listed, Layout, Shortened},
    CurveFormat, Source,
};
use crate::{Error, Result};
use csv::{ReaderBuilder, StringRecord, Trim};

/// Any table with a header.
pub(super) struct Table;

impl CurveFormat for Table {
    fn name(&self) -> &'static str {
        "a table (CSV)"
    }

    fn recognizes(&self, source: &Source<'_>) -> bool {
        source.json.is_none()
    }

    fn read(&self, source: &Source<'_>) -> Result<Parsed> {
        let Header { names, layout, delimiter, line: above, rest } = Header::find(source.file, &source.text)?;
        let mut rows = Builder::new(source.file, "line", layout);
        let mut ragged = Ragged { width: names.len(), rows: 0, lines: Shortened::default(), first: None };
        let mut restart = false;
        let mut csv = reader(rest, delimiter);
        let mut record = StringRecord::new();
        let failed = |e: csv::Error| Error::invalid(source.file, "a table (CSV)", e);
        while csv.read_record(&mut record).map_err(failed)? {
            if record.iter().eq(&names) {
                restart = true;
            } else if !record.iter().all(str::is_empty) {
                let line = above + record.position().map_or(0, csv::Position::line);
                ragged.see(line, &record);
                let comma = delimiter != b',';
                let cell = |column| record.get(column).map_or(Cell::Missing, |text| Cell::parse(text, comma));
                rows.push(line, None, restart, cell)?;
                restart = false;
            }
        }
        let note = ragged.note(source.file)?;
        let mut parsed = rows.finish()?;
        parsed.notes.extend(note);
        Ok(parsed)
    }
}

/// Records of any length, without white space around the fields. Lines that begin with # are comments.
pub(super) fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).trim(Trim::All).comment(Some(b'#')).delimiter(delimiter);
    builder.from_reader(text.as_bytes())
}

/// The fields of a line.
pub(super) fn fields(line: &str, delimiter: u8) -> Vec<String> {
    let mut record = StringRecord::new();
    let read = reader(line, delimiter).read_record(&mut record);
    read.map_or(vec![], |_| record.iter().map(String::from).collect())
}

/// The header of a table.
struct Header<'a> {
    names: Vec<String>,
    layout: Layout,
    delimiter: u8,
    /// The number of its line, from 1.
    line: u64,
    /// What is below it.
    rest: &'a str,
}

impl<'a> Header<'a> {
    /// The first line, or a comment above it that names the columns, as NumPy writes it.
    fn find(file: &str, text: &'a str) -> Result<Self> {
        let mut rest = text;
        for line in 1.. {
            let (now, below) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = below;
            let comment = now.starts_with('#');
            let now = now.trim_start_matches(['#', ' ']).trim_end_matches('\r');
            if now.is_empty() && !rest.is_empty() {
                continue;
            }
            let delimiter = delimiter(now);
            let names = fields(now, delimiter);
            match Self::layout(file, &names) {
                Ok(layout) => return Ok(Self { names, layout, delimiter, line, rest }),
                Err(_) if comment && !rest.is_empty() => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::invalid(file, "a table with a header", "empty"))
    }

    fn layout(file: &str, names: &[String]) -> Result<Layout> {
        let number = |name: &String| Cell::parse(name, true).number().is_some();
        if names.iter().all(|name| number(name) || name.is_empty()) {
            let must = "a header with the names of the columns, such as epoch,train_loss,valid_loss";
            return Err(Error::invalid(format!("the first line of {file}"), must, listed(names)));
        }
        Layout::of(file, names)
    }
}

/// What separates the fields: that of the usual characters which the header holds most often. A comma wins a
/// tie.
fn delimiter(header: &str) -> u8 {
    let count = |delimiter: &u8| fields(header, *delimiter).len();
    [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// Rows that have more or fewer fields than the header.
struct Ragged {
    width: usize,
    rows: usize,
    lines: Shortened,
    first: Option<(u64, usize)>,
}

impl Ragged {
    fn see(&mut self, line: u64, record: &StringRecord) {
        self.rows += 1;
        let beyond = record.iter().skip(self.width).any(|field| !field.is_empty());
        if record.len() < self.width || beyond {
            self.first = self.first.or(Some((line, record.len())));
            self.lines.push(|| line.to_string());
        }
    }

    /// What to say about them. Where most rows differ, the header is not theirs.
    fn note(&self, file: &str) -> Result<Option<String>> {
        let Some((line, fields)) = self.first else { return Ok(None) };
        if self.lines.count * 2 > self.rows {
            let must = format!("{} fields, as the header has", self.width);
            return Err(Error::invalid(format!("line {line} of {file}"), must, fields));
        }
        let missing =
            format!("lines with more or fewer fields than the header's {}: {}", self.width, self.lines);
        Ok(Some(format!("{missing}; what is missing there is taken as missing, what is beyond is left out")))
    }
}
