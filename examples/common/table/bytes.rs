//! From the bytes of a file to bytes in UTF-8.
use candle_ensemble::{Error, Result};
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// How files begin that are no tables as text, and what they are.
const OTHERS: [(&[u8], &str); 19] = [
    (b"PK\x03\x04", "a zip archive or an Excel workbook: unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV"),
    (b"PAR1", "a Parquet file: write it as CSV"),
    (b"ARROW1", "an Arrow file: write it as CSV"),
    (b"\x93NUMPY", "a NumPy file: write it as CSV"),
    (b"\x89HDF", "an HDF5 file: write it as CSV"),
    (b"SQLite format 3", "an SQLite database: write the table as CSV"),
    (b"BZh", "compressed with bzip2: unpack it"),
    (b"\xfd7zXZ", "compressed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard: unpack it"),
    (b"%PDF", "a PDF file"),
    (b"\x89PNG", "an image"),
    (b"version https://git-lfs", "a pointer of Git LFS: git lfs pull fetches the file itself"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
    (b"{\"", "a JSON file: write it as CSV"),
    (b"[{\"", "a JSON file: write it as CSV"),
    (b"@relation", "an ARFF file: write it as CSV"),
];
/// Number of bytes that are looked at to tell UTF-16 without a mark.
const START: usize = 1024;
/// The mark with which DOS ends a text.
const END: u8 = 0x1a;

/// The text of a file as UTF-8, without a byte order mark and with line feeds at the ends of lines. gzip is
/// unpacked. UTF-16 is recognised. Bytes that are not in UTF-8 stay: only the reader of fields can name their
/// column.
///
/// # Errors
/// When the file is of another kind, or is not in `encoding`.
pub(super) fn utf8(file: &str, bytes: Vec<u8>, encoding: Option<&'static Encoding>) -> Result<Vec<u8>> {
    let bytes = unpacked(file, bytes)?;
    let start = bytes.trim_ascii_start();
    let begins = |with: &[u8]| start.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with));
    if let Some((_, what)) = OTHERS.iter().find(|(with, _)| begins(with)) {
        return Err(Error::invalid(file, "a table as text (CSV)", what));
    }
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(Error::invalid(file, "a text in UTF-8 or UTF-16", "in UTF-32"));
    }
    let marked = Encoding::for_bom(&bytes).map(|(encoding, _)| encoding);
    let text = match encoding.or(marked).or_else(|| utf16(&bytes)) {
        Some(encoding) => decoded(file, &bytes, encoding, marked)?,
        None => bytes,
    };
    if let Some(at) = text.iter().position(|byte| *byte == 0) {
        return Err(Error::invalid(file, "a text", format!("binary: byte {} is 0", at + 1)));
    }
    Ok(with_line_feeds(text))
}

fn unpacked(file: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    if !bytes.starts_with(b"\x1f\x8b") {
        return Ok(bytes);
    }
    let mut text = vec![];
    match MultiGzDecoder::new(&*bytes).read_to_end(&mut text) {
        Ok(_) => Ok(text),
        Err(e) => Err(Error::invalid(file, "a whole gzip file", format!("damaged: {e}"))),
    }
}

/// UTF-16 without a mark: in a table, nearly every second byte is 0.
fn utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = bytes.get(..bytes.len().min(START)).unwrap_or_default();
    let zeros = |odd: usize| start.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let most = start.len() / 3;
    match () {
        () if odd > most && even == 0 => Some(UTF_16LE),
        () if even > most && odd == 0 => Some(UTF_16BE),
        () => None,
    }
}

/// A UTF-8 that was only marked stays as it is: the reader of fields says where it is broken.
fn decoded(
    file: &str,
    bytes: &[u8],
    encoding: &'static Encoding,
    marked: Option<&'static Encoding>,
) -> Result<Vec<u8>> {
    if encoding == encoding_rs::UTF_8 {
        return Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).to_vec());
    }
    let (text, _, broken) = encoding.decode(bytes);
    match broken {
        false => Ok(text.into_owned().into_bytes()),
        true => {
            let why = if marked.is_some() { "its byte order mark says" } else { "was asked for or guessed" };
            let must = format!("in {}, as {why}", encoding.name());
            Err(Error::invalid(file, must, "not"))
        }
    }
}

/// Carriage returns alone end lines on old Macs; DOS marks the end of a text.
fn with_line_feeds(mut text: Vec<u8>) -> Vec<u8> {
    if text.last() == Some(&END) {
        text.pop();
    }
    if !text.contains(&b'\n') {
        text.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{write::GzEncoder, Compression};
    use std::io::Write;

    fn read(bytes: &[u8]) -> Result<String> {
        Ok(String::from_utf8(utf8("t.csv", bytes.to_vec(), None)?).unwrap())
    }

    fn refused(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn every_unicode_encoding_gives_the_same_text() {
        let text = "a,ü\n1,2\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            little.clone(),
            big.clone(),
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
        ] {
            assert_eq!(read(&bytes).unwrap(), text);
        }
    }

    #[test]
    fn gzip_is_unpacked_and_damage_is_named() {
        let mut packed = GzEncoder::new(vec![], Compression::default());
        packed.write_all(b"a,b\n1,2\n").unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(read(&packed).unwrap(), "a,b\n1,2\n");
        assert_eq!(read(&[&packed[..], &packed].concat()).unwrap(), "a,b\n1,2\na,b\n1,2\n", "two members");
        assert!(refused(&packed[..packed.len() - 6]).contains("must be a whole gzip file, but is damaged"));
    }

    #[test]
    fn an_encoding_that_is_named_is_used() {
        let windows = Encoding::for_label(b"windows-1252");
        let text = utf8("t.csv", b"\x93tr\xe8s\x94".to_vec(), windows).unwrap();
        assert_eq!(text, "“très”".as_bytes());
        assert!(utf8("t.csv", b"\x83".to_vec(), Encoding::for_label(b"shift_jis")).is_err());
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        assert!(refused(b"PK\x03\x04...").contains("must be a table as text (CSV), but is a zip archive"));
        assert!(refused(b"\n<!DOCTYPE html>").contains("a web page"));
        assert!(refused(b"\x89PNG\r\n\x1a\n").contains("an image"));
        assert!(refused(b"a,b\n\x00\x01").contains("binary: byte 5 is 0"));
        assert!(refused(b"\xff\xfe\0\0a\0\0\0").contains("UTF-32"));
    }

    #[test]
    fn the_end_mark_of_dos_is_left_out() {
        assert_eq!(read(b"a,b\r\n1,2\r\n\x1a").unwrap(), "a,b\r\n1,2\r\n");
    }

    #[test]
    fn carriage_returns_alone_end_lines() {
        assert_eq!(read(b"a,b\r1,2\r").unwrap(), "a,b\n1,2\n");
        assert_eq!(read(b"a,b\r\n1,2\r\n").unwrap(), "a,b\r\n1,2\r\n");
    }
}
