//! Tables in text files (CSV and its relatives), for every example that reads one.
//!
//! Bytes become UTF-8 ([`bytes`]); the layout is found ([`layout`]: where the table begins, its delimiter,
//! whether it has a header); records become a [`Table`] of named columns; a column is read as numbers or as
//! texts ([`column`], by what its cells say: [`cell`]); [`leaks`] finds columns that
//! give the target away. Every guess is noted, so that a program can say it
//! aloud. What cannot be read is an error that names the line and the column.
mod bytes;
pub mod cell;
mod column;
mod layout;
pub mod leaks;

pub use column::{numbered, odd_classes, Input, Kind, Target};
pub use layout::delimiter;

use candle_ensemble::{Error, Result};
use csv::StringRecord;
use encoding_rs::Encoding;
use std::collections::{BTreeMap, HashSet};

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What separates the fields; found out where it is not given.
    pub delimiter: Option<u8>,
    /// How characters are encoded; UTF-8 or UTF-16 where it is not given.
    pub encoding: Option<&'static Encoding>,
    /// Numbers have a decimal comma.
    pub decimal_comma: bool,
    /// The first line is a row, and the columns are called 1, 2, ….
    pub no_header: bool,
    /// Columns to leave out.
    pub drop: Vec<String>,
}

/// Named columns of texts, with the line of each row.
#[derive(Debug)]
pub struct Table {
    file: String,
    names: Vec<String>,
    /// Where in the records each column is.
    fields: Vec<usize>,
    records: Vec<StringRecord>,
    lines: Vec<usize>,
    notes: Vec<String>,
    last_is_unnamed: bool,
}

impl Table {
    /// Reads the bytes of a file. `file` is its name in messages.
    ///
    /// # Errors
    /// When it is not a table of two columns or more with a header, has a row of another length, text in
    /// another encoding, or two columns of one name.
    pub fn parse(file: &str, bytes: Vec<u8>, options: &Options) -> Result<Self> {
        let text = bytes::utf8(file, bytes, options.encoding)?;
        let raw = Raw::of(file, &text, options.delimiter)?;
        let (header, raw) = raw.header(options.no_header)?;
        let mut raw = raw.with_equal_lengths(header.len())?;
        if options.decimal_comma {
            raw.records.iter_mut().for_each(|record| *record = with_decimal_points(record));
        }
        let Raw { file, records, lines, notes, .. } = raw;
        let names = header.iter().map(String::from).collect();
        let (file, fields) = (file.into(), (0..header.len()).collect());
        let mut table = Self { file, names, fields, records, lines, notes, last_is_unnamed: false };
        table.drop(&options.drop)?;
        table.leave_out_unnamed();
        table.check_names()?;
        Ok(table)
    }

    /// What was guessed or left out, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub fn rows(&self) -> usize {
        self.records.len()
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of the column with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The number of the last column, which is the usual target.
    ///
    /// # Errors
    /// When it has no name.
    pub fn last(&self) -> Result<usize> {
        match self.names.len().checked_sub(1) {
            Some(last) if !self.last_is_unnamed => Ok(last),
            _ => {
                let must = "named in the header (or another one be named as the target)";
                Err(Error::invalid(format!("the last column of {}", self.file), must, "without a name"))
            }
        }
    }

    /// The cells of a column.
    pub fn cells(&self, column: usize) -> impl ExactSizeIterator<Item = &str> + Clone {
        let field = self.fields.get(column).copied().unwrap_or(usize::MAX);
        self.records.iter().map(move |record| record.get(field).unwrap_or_default())
    }

    /// Where a cell is: `column "width" in line 8 of data.csv`.
    pub fn place(&self, column: usize, row: usize) -> String {
        let name = cell::quote(self.name(column));
        format!("column {name} in line {} of {}", self.line(row), self.file)
    }

    fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
    }

    fn line(&self, row: usize) -> usize {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// The number of rows that are equal to an earlier one in every column.
    pub fn repeated_rows(&self) -> usize {
        let row = |record| -> Vec<&str> { self.of_record(record).collect() };
        self.rows() - self.records.iter().map(row).collect::<HashSet<_>>().len()
    }

    fn of_record<'r>(&'r self, record: &'r StringRecord) -> impl Iterator<Item = &'r str> {
        self.fields.iter().filter_map(|field| record.get(*field))
    }

    /// Leaves out columns by name. A list may be separated by commas.
    fn drop(&mut self, lists: &[String]) -> Result<()> {
        for list in lists {
            let names = if self.find(list).is_some() { vec![&**list] } else { list.split(',').collect() };
            for name in names.into_iter().map(str::trim).filter(|name| !name.is_empty()) {
                if self.find(name).is_none() {
                    let must = format!("columns of {}: {}", self.file, some(&self.names));
                    return Err(Error::invalid("--drop", must, cell::quote(name)));
                }
                self.retain(|_, known| known != name);
            }
        }
        Ok(())
    }

    fn retain(&mut self, keep: impl Fn(usize, &str) -> bool) {
        let kept = self.names.iter().zip(&self.fields).enumerate();
        let kept =
            kept.filter(|(i, (name, _))| keep(*i, name)).map(|(_, (name, field))| (name.clone(), *field));
        (self.names, self.fields) = kept.unzip();
    }

    /// A column without a name is nearly always an index that pandas or R has written. It would tell the order
    /// of the rows.
    fn leave_out_unnamed(&mut self) {
        let unnamed: Vec<_> = (0..self.names.len()).filter(|i| is_unnamed(self.name(*i))).collect();
        let (empty, full): (Vec<usize>, Vec<usize>) =
            unnamed.iter().partition(|i| self.cells(**i).all(str::is_empty));
        let last = (0..self.names.len()).rev().find(|i| !empty.contains(i));
        self.last_is_unnamed = self.rows() > 0 && full.last() == last.as_ref();
        let numbers =
            |columns: &[usize]| some(&columns.iter().map(|i| (i + 1).to_string()).collect::<Vec<_>>());
        match &*full {
            [] => {}
            [one] => {
                let numbers: Vec<_> = self.cells(*one).map_while(cell::number).collect();
                let counts = numbers.len() == self.rows() && layout::count_up(&numbers);
                let why = if counts { "numbers the rows" } else { "is probably an index" };
                self.notes.push(format!("column {} has no name and {why}: it is left out", one + 1));
            }
            several => {
                let columns = numbers(several);
                self.notes.push(format!("columns {columns} have no name (an index?): they are left out"));
            }
        }
        if let Some(first) = empty.first() {
            let columns = numbers(&empty);
            let are = if empty.len() == 1 { "is" } else { "are" };
            let which = if *first + 1 == self.names.len() { "the last column" } else { "columns" };
            self.notes.push(format!("{which} ({columns}) without name and values {are} left out"));
        }
        self.retain(|i, _| !unnamed.contains(&i));
    }

    fn check_names(&self) -> Result<()> {
        let mut seen = BTreeMap::new();
        for (i, name) in self.names.iter().enumerate() {
            if let Some(first) = seen.insert(name, i) {
                let field = |i: usize| self.fields.get(i).map_or(0, |field| field + 1);
                let got = format!("{} for the columns {} and {}", cell::quote(name), field(first), field(i));
                let must =
                    format!("different in every column (rename one, or leave both out: --drop {name})");
                return Err(Error::invalid(format!("the names in the header of {}", self.file), must, got));
            }
        }
        Ok(())
    }
}

/// pandas reads a column without a name as `Unnamed: 0`, and writes it so.
fn is_unnamed(name: &str) -> bool {
    name.is_empty() || name.strip_prefix("Unnamed: ").is_some_and(|n| n.parse::<usize>().is_ok())
}

/// Records of any length, with their lines.
struct Raw<'a> {
    file: &'a str,
    layout: layout::Layout,
    records: Vec<StringRecord>,
    lines: Vec<usize>,
    notes: Vec<String>,
}

impl<'a> Raw<'a> {
    fn of(file: &'a str, text: &[u8], delimiter: Option<u8>) -> Result<Self> {
        let layout = layout::Layout::of(text, delimiter);
        let (mut records, mut lines, mut blank): (Vec<StringRecord>, _, _) = (vec![], vec![], 0);
        let (mut line, mut counted) = (1, 0);
        for (offset, record) in layout.records(text) {
            line += text.get(counted..offset).unwrap_or_default().iter().filter(|b| **b == b'\n').count();
            counted = offset;
            let header = records.first();
            let record =
                StringRecord::from_byte_record(record).map_err(|e| not_utf8(file, line, e, header))?;
            if record.iter().all(str::is_empty) && !records.is_empty() {
                blank += usize::from(record.len() > 1);
                continue;
            }
            records.push(record);
            lines.push(line);
        }
        let mut notes = vec![];
        if layout.found {
            notes.push(format!("{file} is separated by {}", layout::delimiter_name(layout.delimiter)));
        }
        if blank > 0 {
            notes.push(format!("{blank} lines without any value are left out"));
        }
        Ok(Self { file, layout, records, lines, notes })
    }

    /// The names of the columns, and the rows below them.
    fn header(mut self, none: bool) -> Result<(StringRecord, Self)> {
        let Some(first) = self.records.first().cloned() else {
            return Err(Error::invalid(self.file, "a table of two columns or more", "empty"));
        };
        if none {
            let names = (1..=first.len()).map(|i| i.to_string()).collect::<Vec<_>>();
            return Ok((StringRecord::from(names), self));
        }
        let rows = self.records.get(1..).unwrap_or_default();
        if layout::is_data(&first, rows) {
            if let Some((_, names)) = self.layout.commented_names(first.len()) {
                self.notes
                    .push(format!("the names of the columns are those of a comment: {}", quoted(&names)));
                return Ok((names, self));
            }
            let what = format!("the first line of {}", self.file);
            let must =
                "a header with the names of the columns (--no-header: there is none, and the columns are \
                        called 1, 2, …)";
            let numbers = first.iter().all(|field| cell::number(field).is_some());
            let like = if numbers { "all numbers" } else { "numbers like the lines below it" };
            return Err(Error::invalid(what, must, format!("{like}: {}", quoted(&first))));
        }
        if first.len() < 2 && rows.iter().all(|row| row.len() < 2) {
            let got = format!("one column: {}", quoted(&first));
            let must = "a table of two columns or more (--delimiter says what separates them)";
            return Err(Error::invalid(self.file, must, got));
        }
        if first.iter().any(|name| cell::number(name).is_some()) && !rows.is_empty() {
            let names = quoted(&first);
            self.notes.push(format!("the first line is the header: {names}; --no-header reads it as a row"));
        }
        self.records.remove(0);
        self.lines.remove(0);
        Ok((self.with_row_names(first), self))
    }

    /// R and pandas read a header that is one name short as one without a name for the column of row names.
    /// Where that column would be empty, every line ends with a delimiter instead.
    fn with_row_names(&self, header: StringRecord) -> StringRecord {
        let width = header.len() + 1;
        let short = !self.records.is_empty() && self.records.iter().all(|record| record.len() == width);
        match short && !self.records.iter().all(|record| record.get(width - 1) == Some("")) {
            true => std::iter::once("").chain(&header).collect(),
            false => header,
        }
    }

    /// Empty fields at the end of a line are left out; other lines must have one field for each name.
    fn with_equal_lengths(mut self, width: usize) -> Result<Self> {
        let mut widths: Vec<_> = self.records.iter().map(StringRecord::len).collect();
        widths.dedup();
        if let [other] = *widths
            && other > width
            && self.records.iter().any(|record| record.get(width).is_some_and(|field| !field.is_empty()))
        {
            let must = format!("{other} names of columns, as the lines below it have fields");
            let hint = "lines above the header must begin with #";
            return Err(Error::invalid(
                format!("the header of {}", self.file),
                must,
                format!("{width} ({hint})"),
            ));
        }
        for (record, line) in self.records.iter_mut().zip(&self.lines) {
            if record.len() > width && record.iter().skip(width).all(str::is_empty) {
                record.truncate(width);
            }
            if record.len() != width {
                let open = record.iter().any(|field| field.contains('\n'));
                let hint = match record.get(0) {
                    _ if open => "; a quote in it is not closed".into(),
                    Some(only) if record.len() == 1 => format!(": {}", cell::quote(only)),
                    _ => String::new(),
                };
                let must = format!("{width} fields, as the header has");
                let got = format!("{}{hint}", record.len());
                return Err(Error::invalid(format!("line {line} of {}", self.file), must, got));
            }
        }
        Ok(self)
    }
}

/// A field that is not in UTF-8, with what it says in the encoding that it most probably has.
fn not_utf8(file: &str, line: usize, e: csv::FromUtf8Error, header: Option<&StringRecord>) -> Error {
    let field = e.utf8_error().field();
    let name = header.and_then(|header| header.get(field));
    let name = name.map_or_else(|| (field + 1).to_string(), cell::quote);
    let record = e.into_byte_record();
    let (text, ..) = encoding_rs::WINDOWS_1252.decode(record.get(field).unwrap_or_default());
    let must = "in UTF-8 (--encoding windows-1252 reads Latin-1 and Windows' files)";
    let got = format!("not; in windows-1252 it is {}", cell::quote(text.trim()));
    Error::invalid(format!("column {name} in line {line} of {file}"), must, got)
}

fn with_decimal_points(record: &StringRecord) -> StringRecord {
    record.iter().map(|field| cell::with_decimal_point(field).unwrap_or_else(|| field.into())).collect()
}

fn quoted(names: &StringRecord) -> String {
    some(&names.iter().map(cell::quote).collect::<Vec<_>>())
}

/// The first of some names, and how many more there are.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.get(..SHOWN.min(names.len())).unwrap_or_default().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        Table::parse("t.csv", text.into(), &Options::default())
    }

    fn refused(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    fn column(table: &Table, name: &str) -> Vec<String> {
        table.cells(table.find(name).unwrap()).map(String::from).collect()
    }

    #[test]
    fn columns_have_names_and_cells_have_lines() {
        let table = read("a,b\n1,x\n\n\n2,\"y\nz\"\n3,w\n").unwrap();
        assert_eq!(table.names(), ["a", "b"]);
        assert_eq!(column(&table, "b"), ["x", "y\nz", "w"]);
        assert_eq!(table.place(1, 2), "column \"b\" in line 7 of t.csv");
        assert!(table.notes().is_empty());
    }

    #[test]
    fn lines_of_another_length_are_named() {
        assert_eq!(
            refused("a,b\n1,2\n\n1,2,3\n"),
            "line 4 of t.csv must be 2 fields, as the header has, but is 3"
        );
        assert!(refused("a;b;c\n1,2,3\n")
            .contains("line 2 of t.csv must be 3 fields, as the header has, but is 1: \"1,2,3\""));
        assert!(refused("a,b,c\n1,2,3\n1,\"2,3\n3,4,5\n").contains("a quote in it is not closed"));
    }

    #[test]
    fn a_header_that_is_too_short_is_blamed_itself() {
        let error = refused("Sales of 2024\n\na,b,c\n1,2,3\n");
        assert!(error.contains("the header of t.csv must be 3 names of columns"), "{error}");
    }

    #[test]
    fn decimal_commas_are_read_where_asked_for() {
        let options = Options { decimal_comma: true, ..Options::default() };
        let table = Table::parse("t.csv", "a;b\n1,5;x, y\n-1.234,25;2\n".into(), &options).unwrap();
        assert_eq!(
            (column(&table, "a"), column(&table, "b")),
            (vec!["1.5".into(), "-1234.25".into()], vec!["x, y".to_string(), "2".into()])
        );
        let error = read("a;b\n1,5;2\n2,5;3\n").unwrap().input(0).unwrap_err().to_string();
        assert!(error.contains("--decimal , reads decimal commas"), "{error}");
    }

    #[test]
    fn delimiters_at_the_ends_of_lines_and_empty_lines_of_a_spreadsheet_are_left_out() {
        for text in ["a,b\n1,2,\n3,4,\n", "a,b,\n1,2,\n3,4,\n", "a,b,,\n1,2,,\n3,4,,\n,,,\n"] {
            let table = read(text).unwrap();
            assert_eq!((table.names(), table.rows()), (&["a".to_string(), "b".into()][..], 2), "{text}");
            assert!(table.last().is_ok());
        }
    }

    #[test]
    fn indices_without_a_name_are_left_out_and_said() {
        for text in [
            ",a,b\n0,1,2\n1,3,4\n2,5,6\n",
            "Unnamed: 0,a,b\n0,1,2\n1,3,4\n2,5,6\n",
            "\"a\",\"b\"\n\"1\",1,2\n\"2\",3,4\n\"3\",5,6\n",
        ] {
            let table = read(text).unwrap();
            assert_eq!(
                (table.names(), column(&table, "a")),
                (&["a".to_string(), "b".into()][..], vec!["1".to_string(), "3".into(), "5".into()])
            );
            assert_eq!(
                table.notes(),
                ["column 1 has no name and numbers the rows: it is left out"],
                "{text}"
            );
        }
        let table = read(",,a,b\nx,0,1,2\nx,1,3,4\n").unwrap();
        assert_eq!(table.notes(), ["columns 1, 2 have no name (an index?): they are left out"]);
        assert!(read("a,b,\n1,2,3\n").unwrap().last().unwrap_err().to_string().contains("without a name"));
    }

    #[test]
    fn columns_are_dropped_by_name() {
        let drop = |names: &[&str]| {
            let drop = names.iter().map(|name| name.to_string()).collect();
            Table::parse("t.csv", "a,\"b, c\",d,a\n1,2,3,4\n".into(), &Options { drop, ..Options::default() })
        };
        assert_eq!(drop(&["a"]).unwrap().names(), ["b, c", "d"]);
        assert_eq!(drop(&["b, c", "a"]).unwrap().names(), ["d"]);
        assert_eq!(drop(&["d, a"]).unwrap().names(), ["b, c"]);
        assert!(drop(&["b, c"]).unwrap_err().to_string().contains("\"a\" for the columns 1 and 4"));
        assert!(drop(&["x"]).unwrap_err().to_string().contains("--drop must be columns of t.csv"));
    }

    #[test]
    fn a_header_may_be_missing_or_in_a_comment() {
        assert!(refused("1,2\n3,4\n").contains("but is all numbers: \"1\", \"2\""));
        assert!(refused("5.1,setosa\n4.9,setosa\n").contains("numbers like the lines below it"));
        let none = Options { no_header: true, ..Options::default() };
        let table = Table::parse("t.csv", "5.1,setosa\n4.9,setosa\n".into(), &none).unwrap();
        assert_eq!((table.names(), table.rows()), (&["1".to_string(), "2".into()][..], 2));
        let table = read("# a, b\n1,2\n3,4\n").unwrap();
        assert_eq!((table.names(), table.rows()), (&["a".to_string(), "b".into()][..], 2));
        assert!(table.notes()[0].contains("those of a comment"));
        let table = read("0,1,2\n0.5,7,1\n0.25,3,0\n").unwrap();
        assert_eq!(table.rows(), 2);
        assert!(table.notes()[0].contains("--no-header reads it as a row"));
    }

    #[test]
    fn a_field_that_is_not_utf8_is_named() {
        let text = [&b"a,b\n1,x\n2,caf"[..], b"\xe9\n"].concat();
        let error = Table::parse("t.csv", text, &Options::default()).unwrap_err().to_string();
        assert!(error.starts_with("column \"b\" in line 3 of t.csv must be in UTF-8"), "{error}");
        assert!(error.ends_with("in windows-1252 it is \"café\""), "{error}");
    }

    #[test]
    fn an_empty_file_and_one_column_are_no_table() {
        for (text, what) in
            [("", "but is empty"), ("\n \n", "but is empty"), ("a\n1\n2\n", "one column: \"a\"")]
        {
            assert!(refused(text).contains(what), "{}", refused(text));
        }
    }

    #[test]
    fn repeated_rows_are_counted() {
        assert_eq!(read("a,b\n1,2\n1,3\n1,2\n1,2\n").unwrap().repeated_rows(), 2);
    }
}
