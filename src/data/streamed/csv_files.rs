//! Tables in CSV files, of which some rows are read without those before them.
//!
//! The files are read once when they are opened: each column is found to be of numbers or of categories, and the place of
//! every [`EVERY`]th row is noted, so that rows are found later.
use crate::{
    data::streamed::source::{in_shards, starts, Column, Source},
    files::fixed::FixedFile,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use csv::{ByteRecord, Position, Reader, ReaderBuilder, Trim};
use rayon::prelude::*;
use std::{collections::BTreeSet, fs::File, ops::Range, path::Path, str};

/// The rows from one noted place to the next.
const EVERY: usize = 256;
/// The most categories of a column.
const MOST: usize = 1 << 16;

/// How CSV files are read.
///
/// ```
/// use candle_ensemble::data::CsvOptions;
///
/// let options = CsvOptions { delimiter: b';', categories: vec!["postcode".into()] };
/// assert_eq!(CsvOptions::default().delimiter, b',');
/// # drop(options);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// What separates the cells of a row. The default is a comma.
    pub delimiter: u8,
    /// Columns of categories, whatever their cells look like.
    pub categories: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', categories: vec![] }
    }
}

/// A file, and the places of its rows.
struct Shard {
    file: FixedFile,
    places: Vec<Position>,
    rows: usize,
}

/// What the cells of a column are, in one file.
#[derive(Clone, Default)]
struct Seen {
    /// Cells that are finite numbers.
    numbers: usize,
    /// Cells without text, and the line of the first.
    missing: usize,
    first_missing: Option<u64>,
    /// The first other cell with its line.
    odd: Option<(u64, String)>,
}

/// Columns of CSV files.
pub(super) struct CsvFiles {
    delimiter: u8,
    shards: Vec<Shard>,
    starts: Vec<usize>,
    columns: Vec<Column>,
}

impl CsvFiles {
    pub(super) fn open<P: AsRef<Path>>(
        files: impl IntoIterator<Item = P>,
        options: &CsvOptions,
    ) -> Result<Self> {
        let files =
            files.into_iter().map(|path| FixedFile::new(path.as_ref())).collect::<Result<Vec<_>>>()?;
        let Some(first) = files.first() else {
            return Err(Error::invalid("the files of a data set", "at least one", "none"));
        };
        let names = header(first, options.delimiter)?;
        let mut known = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !known.insert(*name)) {
            let what = format!("the names in the header of {}", first.path().display());
            return Err(Error::invalid(what, "different", format!("{twice:?} for two columns")));
        }
        if let Some(name) = options.categories.iter().find(|name| !names.contains(name)) {
            let must = format!("columns of {}: {}", first.path().display(), names.join(", "));
            return Err(Error::invalid("CsvOptions::categories", must, format!("{name:?}")));
        }
        let scan = |file: &FixedFile| scan(file, options.delimiter, &names);
        let scanned = files.par_iter().map(scan).collect::<Vec<_>>();
        let (mut shards, mut seen) = (vec![], vec![]);
        for scanned in scanned {
            let (shard, columns) = scanned?;
            shards.push(shard);
            seen.push(columns);
        }
        let starts = starts(shards.iter().map(|shard| shard.rows));
        let mut columns: Vec<Column> = vec![];
        for (number, name) in names.into_iter().enumerate() {
            let of_files: Vec<_> =
                shards.iter().zip(seen.iter().filter_map(|columns| columns.get(number))).collect();
            let as_categories = options.categories.contains(&name);
            let fault = fault(&name, &of_files, as_categories);
            let are_texts = of_files.iter().any(|(_, seen)| seen.odd.is_some()) || as_categories;
            let categories = (are_texts && fault.is_none()).then_some(vec![]);
            columns.push(Column { fault, categories, ..Column::new(name, DType::F64, vec![]) });
        }
        let mut files = Self { delimiter: options.delimiter, shards, starts, columns };
        files.find_categories()?;
        Ok(files)
    }

    /// Collects the texts of the columns of categories, in order.
    fn find_categories(&mut self) -> Result<()> {
        let of_texts = |(number, column): (usize, &Column)| column.categories.is_some().then_some(number);
        let numbers: Vec<usize> = self.columns.iter().enumerate().filter_map(of_texts).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let find = |shard: &Shard| -> Result<Vec<BTreeSet<String>>> {
            let mut texts = vec![BTreeSet::new(); numbers.len()];
            self.each_row(shard, 0..shard.rows, |line, record| {
                for (texts, number) in texts.iter_mut().zip(&numbers) {
                    let cell = record.get(*number).unwrap_or_default();
                    // No more than one beyond what is allowed.
                    let text = || self.text(shard, line, *number, cell);
                    if texts.len() <= MOST && !texts.contains(text()?) {
                        texts.insert(text()?.to_owned());
                    }
                }
                Ok(())
            })?;
            Ok(texts)
        };
        let mut all = vec![BTreeSet::new(); numbers.len()];
        for found in self.shards.par_iter().map(find).collect::<Vec<_>>() {
            all.iter_mut().zip(found?).for_each(|(all, mut found)| all.append(&mut found));
        }
        for (number, texts) in numbers.into_iter().zip(all) {
            let Some(column) = self.columns.get_mut(number) else { continue };
            if texts.len() > MOST {
                let what = format!("the column {:?} of texts", column.name);
                let must = format!("of at most {MOST} different ones");
                column.fault = Some([what, must, "of more".into()]);
            }
            column.categories = Some(texts.into_iter().take(MOST).collect());
        }
        Ok(())
    }

    /// A cell as text.
    fn text<'c>(&self, shard: &Shard, line: u64, column: usize, cell: &'c [u8]) -> Result<&'c str> {
        str::from_utf8(cell).map_err(|_| {
            let name = self.columns.get(column).map_or("", |column| &column.name);
            Error::invalid(place(name, line, &shard.file), "in UTF-8", "not")
        })
    }

    /// Calls `each` with the line and the cells of these rows of a file.
    fn each_row(
        &self,
        shard: &Shard,
        rows: Range<usize>,
        mut each: impl FnMut(u64, &ByteRecord) -> Result<()>,
    ) -> Result<()> {
        let Some(place) = shard.places.get(rows.start / EVERY).filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        let bad = |e: csv::Error| unreadable(&shard.file, e);
        let mut reader = reader(&shard.file, self.delimiter)?;
        reader.seek(place.clone()).map_err(bad)?;
        let (mut record, mut row) = (ByteRecord::new(), rows.start / EVERY * EVERY);
        while row < rows.end {
            if !reader.read_byte_record(&mut record).map_err(bad)? {
                let why = format!("it ends before row {}", rows.end);
                return Err(Error::Damaged { what: shard.file.path().display().to_string(), why });
            }
            if row >= rows.start {
                each(record.position().map_or(0, Position::line), &record)?;
            }
            row += 1;
        }
        Ok(())
    }
}

impl Source for CsvFiles {
    fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_direct(&self) -> bool {
        false
    }

    fn least_block(&self) -> usize {
        EVERY
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Tensor>> {
        let mut values = vec![Vec::with_capacity(rows.len()); columns.len()];
        for (number, part) in in_shards(&self.starts, rows) {
            let Some(shard) = self.shards.get(number) else { continue };
            self.each_row(shard, part, |line, record| {
                for (values, number) in values.iter_mut().zip(columns) {
                    let Some(column) = self.columns.get(*number) else { continue };
                    let text = self.text(shard, line, *number, record.get(*number).unwrap_or_default())?;
                    let value = match &column.categories {
                        None => finite(text),
                        Some(texts) => {
                            texts.binary_search_by(|known| (**known).cmp(text)).ok().map(|id| id as f64)
                        }
                    };
                    values.push(value.ok_or_else(|| {
                        let place = place(&column.name, line, &shard.file);
                        Error::invalid(place, "what it was when the file was opened", format!("{text:?}"))
                    })?);
                }
                Ok(())
            })?;
        }
        let tensor = |values: Vec<f64>| {
            let rows = values.len();
            Ok(Tensor::from_vec(values, rows, &Device::Cpu)?)
        };
        values.into_iter().map(tensor).collect()
    }
}

fn reader(file: &FixedFile, delimiter: u8) -> Result<Reader<File>> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).trim(Trim::All).buffer_capacity(1 << 16);
    Ok(builder.from_reader(file.open_at(0)?))
}

fn header(file: &FixedFile, delimiter: u8) -> Result<Vec<String>> {
    let mut reader = reader(file, delimiter)?;
    let header = reader.headers().map_err(|e| unreadable(file, e))?;
    Ok(header.iter().map(String::from).collect())
}

/// Reads a file from its beginning: where its rows are, and what the cells of its columns are.
fn scan(file: &FixedFile, delimiter: u8, names: &[String]) -> Result<(Shard, Vec<Seen>)> {
    let bad = |e: csv::Error| unreadable(file, e);
    let mut reader = reader(file, delimiter)?;
    let own = reader.headers().map_err(bad)?;
    if own.iter().ne(names.iter().map(String::as_str)) {
        let what = format!("the header of {}", file.path().display());
        let own: Vec<&str> = own.iter().collect();
        return Err(Error::invalid(
            what,
            format!("that of the first file, {}", names.join(", ")),
            own.join(", "),
        ));
    }
    let (mut seen, mut places, mut rows) = (vec![Seen::default(); names.len()], vec![], 0usize);
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(bad)? {
        let position = record.position().cloned().unwrap_or_else(Position::new);
        for (seen, cell) in seen.iter_mut().zip(&record) {
            match str::from_utf8(cell) {
                Ok("") => {
                    seen.missing += 1;
                    seen.first_missing.get_or_insert(position.line());
                }
                Ok(text) if finite(text).is_some() => seen.numbers += 1,
                _ if seen.odd.is_none() => {
                    seen.odd = Some((position.line(), String::from_utf8_lossy(cell).into_owned()));
                }
                _ => {}
            }
        }
        if rows.is_multiple_of(EVERY) {
            places.push(position);
        }
        rows += 1;
    }
    Ok((Shard { file: file.clone(), places, rows }, seen))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// Why a column is neither of numbers nor of categories: a cell is missing, or most cells are numbers and some are not. Of
/// the three parts of an error.
fn fault(name: &str, of_files: &[(&Shard, &Seen)], as_categories: bool) -> Option<[String; 3]> {
    let count = |of: fn(&Seen) -> usize| of_files.iter().map(|(_, seen)| of(seen)).sum::<usize>();
    let rows: usize = of_files.iter().map(|(shard, _)| shard.rows).sum();
    if let Some((shard, line)) = of_files.iter().find_map(|(shard, seen)| Some((shard, seen.first_missing?)))
    {
        let got = format!("missing ({} of {rows} are)", count(|seen| seen.missing));
        return Some([place(name, line, &shard.file), "there".into(), got]);
    }
    let numbers = count(|seen| seen.numbers);
    if as_categories || numbers * 2 < rows || numbers == rows {
        return None;
    }
    let (shard, (line, text)) =
        of_files.iter().find_map(|(shard, seen)| Some((shard, seen.odd.as_ref()?)))?;
    let must = format!("a finite number, as {numbers} of {rows} are");
    let got = format!("{text:?} (CsvOptions::categories names columns of categories)");
    Some([place(name, *line, &shard.file), must, got])
}

fn place(name: &str, line: u64, file: &FixedFile) -> String {
    format!("column {name:?} in line {line} of {}", file.path().display())
}

fn unreadable(file: &FixedFile, e: csv::Error) -> Error {
    let path = file.path();
    match e.into_kind() {
        csv::ErrorKind::Io(source) => Error::Io { path: path.to_owned(), source },
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |pos| pos.line());
            let what = format!("line {line} of {}", path.display());
            Error::invalid(what, format!("{expected_len} cells, as the header has"), len)
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.map_or(1, |pos| pos.line());
            Error::invalid(format!("line {line} of {}", path.display()), "in UTF-8", "not")
        }
        other => Error::Foreign { what: path.display().to_string(), why: format!("{other:?}") },
    }
}
