//! How a table is laid out: where it begins, what separates its fields, whether it has a header line.
use super::cell;
use candle_ensemble::{Error, Result};
use csv::{ByteRecord, ReaderBuilder, StringRecord};
use std::collections::BTreeMap;

/// The delimiters that are looked for, in the order in which they win a tie.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Number of lines that are looked at to find the delimiter.
const SAMPLE: usize = 100;

/// Where a table begins, and what separates its fields.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    /// The first byte after comments and Excel's `sep=` line.
    pub(super) start: usize,
    /// A space stands for any number of spaces.
    pub(super) delimiter: u8,
    /// Whether the delimiter was found, not given.
    pub(super) found: bool,
    /// The last line of the comments before the table, which may hold the names of the columns (as
    /// `numpy.savetxt` writes them), and its offset.
    pub(super) comment: Option<(usize, Vec<u8>)>,
}

impl Layout {
    pub(super) fn of(text: &[u8], delimiter: Option<u8>) -> Self {
        let (mut start, mut given, mut comment) = (0, delimiter, None);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let words = line.trim_ascii();
            match words.get(..4).map(<[u8]>::to_ascii_lowercase).as_deref() {
                Some(b"sep=") if words.len() <= 5 => given = given.or(words.get(4).copied()),
                _ if words.first() == Some(&b'#') => comment = Some((start, uncommented(words))),
                _ if words.is_empty() => {}
                _ => break,
            }
            start += line.len();
        }
        let rest = text.get(start..).unwrap_or_default();
        let delimiter = given.unwrap_or_else(|| find_delimiter(rest));
        Self { start, delimiter, found: given.is_none() && delimiter != b',', comment }
    }

    /// The records of the table with the offsets at which they begin. Fields are trimmed.
    pub(super) fn records<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = (usize, ByteRecord)> + 't {
        let start = self.start;
        records(text.get(start..).unwrap_or_default(), self.delimiter)
            .map(move |(offset, record)| (start + offset, record))
    }

    /// The fields of the last comment, if they are as many as `width` and none of them is a number.
    pub(super) fn commented_names(&self, width: usize) -> Option<(usize, StringRecord)> {
        let (offset, text) = self.comment.as_ref()?;
        let (_, record) = records(text, self.delimiter).next()?;
        let names = StringRecord::from_byte_record(record).ok()?;
        let fits = names.len() == width && names.iter().all(|name| cell::number(name).is_none());
        fits.then_some((*offset, names))
    }
}

fn uncommented(line: &[u8]) -> Vec<u8> {
    let first = line.iter().position(|byte| *byte != b'#').unwrap_or(line.len());
    line.get(first..).unwrap_or_default().trim_ascii().to_vec()
}

/// Reading bytes of any shape from memory does not fail.
fn records(text: &[u8], delimiter: u8) -> impl Iterator<Item = (usize, ByteRecord)> + '_ {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
    std::iter::from_fn(move || {
        let (offset, mut record) = (reader.position().byte() as usize, ByteRecord::new());
        if !matches!(reader.read_byte_record(&mut record), Ok(true)) {
            return None;
        }
        // The reader's position is before the blank lines that it skips.
        let blank = text.get(offset..).unwrap_or_default().iter().take_while(|b| b"\r\n".contains(b)).count();
        Some((offset + blank, tidy(&record, delimiter)))
    })
}

/// The fields without spaces around them, and without quotes that stand after a space. Between spaces as
/// delimiters there is no empty field.
fn tidy(record: &ByteRecord, delimiter: u8) -> ByteRecord {
    let fields = record.iter().map(|field| match std::str::from_utf8(field) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => field.trim_ascii(),
    });
    let fields = fields.filter(|field| delimiter != b' ' || !field.is_empty());
    fields
        .map(|field| field.strip_prefix(b"\"").and_then(|f| f.strip_suffix(b"\"")).unwrap_or(field))
        .collect()
}

/// The delimiter that divides the first lines into equally many fields, and into the most of them. Spaces are
/// tried where no other delimiter does.
fn find_delimiter(text: &[u8]) -> u8 {
    let mut best = (0, b',');
    for delimiter in DELIMITERS {
        let columns = columns(text, delimiter);
        if columns > best.0 {
            best = (columns, delimiter);
        }
    }
    match best.0 {
        0 | 1 if columns(text, b' ') > 1 => b' ',
        // One field a line: the delimiter of the first line, so that a ragged table is called ragged.
        0 | 1 => {
            let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let most = |d: &u8| first.iter().filter(|byte| *byte == d).count();
            DELIMITERS.into_iter().rev().max_by_key(most).unwrap_or(b',')
        }
        _ => best.1,
    }
}

/// The number of fields in nine lines of ten below the header, or 0 where they differ more or the header does not
/// fit: it may be one name short, as R writes it.
fn columns(text: &[u8], delimiter: u8) -> usize {
    let mut lines = records(text, delimiter).map(|(_, record)| record.len());
    let header = lines.next().unwrap_or(0);
    let mut widths = BTreeMap::<usize, usize>::new();
    lines.take(SAMPLE).for_each(|width| *widths.entry(width).or_default() += 1);
    let all: usize = widths.values().sum();
    let (usual, count) = widths.into_iter().max_by_key(|(_, count)| *count).unwrap_or((header, 0));
    let fits = header > 1 && (header == usual || header + 1 == usual) && count * 10 >= all * 9;
    if fits {
        usual
    } else {
        0
    }
}

/// Whether the first line is a row like the others, and no header: wherever the column below is of numbers, it
/// has a number too. Numbers that count up by one are names, as pandas writes them, and so are years.
pub(super) fn is_data(first: &StringRecord, rows: &[StringRecord]) -> bool {
    let numeric = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
        let numbers = cells().filter(|cell| cell::number(cell).is_some()).count();
        numbers > 0 && numbers * 2 >= cells().count()
    };
    let over: Vec<_> = (0..first.len()).filter(|column| numeric(*column)).collect();
    let named =
        over.iter().filter_map(|column| first.get(*column)).filter(|field| !cell::is_missing(field, true));
    let numbers: Option<Vec<f64>> = named.map(cell::number).collect();
    match numbers.as_deref() {
        None | Some([]) => {
            rows.is_empty() && !first.is_empty() && first.iter().all(|f| cell::number(f).is_some())
        }
        Some(numbers) => !(count_up(numbers) || are_years(numbers)),
    }
}

/// Three or more whole numbers, each one more than the one before.
pub(super) fn count_up(numbers: &[f64]) -> bool {
    numbers.len() >= 3
        && numbers.iter().all(|x| x.fract() == 0.)
        && numbers.windows(2).all(|pair| pair[1] - pair[0] == 1.)
}

fn are_years(numbers: &[f64]) -> bool {
    numbers.iter().all(|x| x.fract() == 0. && (1900. ..=2100.).contains(x)) && numbers.is_sorted()
}

/// Reads `--delimiter`.
pub fn delimiter(text: &str) -> Result<u8> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        ("space", _) => Ok(b' '),
        (_, [byte]) if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err(Error::invalid("the delimiter", "one character, tab or space", cell::quote(text))),
    }
}

/// The name of a delimiter, for messages.
pub(super) fn delimiter_name(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".into(),
        b' ' => "spaces".into(),
        other => format!("\"{}\"", char::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delimiter_of(text: &str) -> char {
        char::from(Layout::of(text.as_bytes(), None).delimiter)
    }

    fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
        let layout = Layout::of(text.as_bytes(), None);
        let fields =
            |record: ByteRecord| record.iter().map(|f| String::from_utf8(f.into()).unwrap()).collect();
        layout.records(text.as_bytes()).map(|(at, record)| (at, fields(record))).collect()
    }

    #[test]
    fn the_delimiter_is_found() {
        assert_eq!(delimiter_of("a,b,y\n1,2,3\n"), ',');
        assert_eq!(delimiter_of("a;b;y\n0,5;1,5;2\n0,1;2,7;3\n"), ';');
        let german: String = (0..20).map(|i| format!("0,{i};1,{i};2\n")).collect();
        assert_eq!(delimiter_of(&format!("a;b;y\n{german}")), ';');
        assert_eq!(delimiter_of("a\tb\n1\t2\n"), '\t');
        assert_eq!(delimiter_of("a|b|y\n1|2|3\n"), '|');
        assert_eq!(delimiter_of("a  b   y\n1  2   3\n"), ' ');
        assert_eq!(delimiter_of("day;price, EUR;y\n1;2,5;3\n2;3,5;4\n"), ';');
        assert_eq!(delimiter_of("name,tags\nx,\"a;b;c\"\ny,\"a;b;c\"\n"), ',');
        assert_eq!(delimiter_of("a;b\n1;2;3\n1\n"), ';', "ragged");
        assert_eq!(delimiter_of(""), ',');
    }

    #[test]
    fn a_table_begins_after_comments_and_the_line_of_excel() {
        let layout = Layout::of(b"sep=;\na;b\n1;2\n", None);
        assert_eq!(layout, Layout { start: 6, delimiter: b';', found: false, comment: None });
        let layout = Layout::of(b"# made today\n\n## a, b\n1,2\n", None);
        assert_eq!((layout.start, &layout.comment), (22, &Some((14, b"a, b".to_vec()))));
        let (offset, names) = layout.commented_names(2).unwrap();
        assert_eq!((offset, names), (14, StringRecord::from(vec!["a", "b"])));
        assert_eq!(layout.commented_names(3), None);
    }

    #[test]
    fn fields_are_trimmed_and_lines_are_counted_past_blank_ones() {
        let read = rows("a, \"b\" ,y\n\n\r\n 1,\u{a0}2 ,\"x, y\"\n");
        assert_eq!(read[0], (0, vec!["a".into(), "b".into(), "y".into()]));
        assert_eq!(read[1], (13, vec!["1".into(), "2".into(), "x, y".into()]));
    }

    #[test]
    fn a_first_line_like_the_others_is_no_header() {
        let record = |text: &str| StringRecord::from(text.split(',').collect::<Vec<_>>());
        let is = |first: &str, row: &str| is_data(&record(first), &[record(row)]);
        assert!(is("0.1,0.2,1", "0.3,0.4,0"));
        assert!(is("5.1,3.5,Iris-setosa", "4.9,3.0,Iris-setosa"));
        assert!(!is("a,b,y", "0.3,0.4,0"));
        assert!(!is("a,b,y", "x,y,z"), "texts only: nothing tells");
        assert!(!is("0,1,2", "0.3,0.4,0.1"), "pandas' names");
        assert!(!is("id,2019,2020,2021", "7,0.3,0.4,0.1"));
        assert!(!is("country,2020", "NL,3.5") && !is("country,2010,2020", "NL,3.5,3.7"));
        assert!(is_data(&record("1,2"), &[]));
        assert!(!is_data(&record("a,b"), &[]));
    }

    #[test]
    fn delimiters_have_names() {
        assert_eq!([delimiter("tab").unwrap(), delimiter(";").unwrap()], [b'\t', b';']);
        assert!(delimiter("ab").is_err() && delimiter("").is_err() && delimiter("é").is_err());
    }
}
