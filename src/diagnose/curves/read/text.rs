//! From the bytes of a file to its text.
use crate::{Error, Result};
use std::borrow::Cow;

/// How files begin that hold no text, and what to do with them.
const OTHERS: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "a zip archive or an Excel workbook: unpack it, or save it as CSV"),
    (b"\x1f\x8b", "compressed with gzip: unpack it"),
    (b"\x93NUMPY", "a NumPy array: write it as CSV or JSON"),
    (b"\x89HDF", "an HDF5 file: write the history as CSV or JSON"),
    (b"\x80\x04\x95", "a Python pickle: write the history as JSON"),
    (b"\x80\x03", "a Python pickle: write the history as JSON"),
    (b"<", "a web page or XML"),
];

/// The text of a file: UTF-8, or UTF-16 with a byte order mark. Bytes of another encoding become U+FFFD,
/// which can only be part of a name that no reader looks for.
pub(super) fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>> {
    let must = "learning curves as text (CSV or JSON)";
    if let Some((_, what)) = OTHERS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(Error::invalid(file, must, *what));
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        _ => String::from_utf8_lossy(bytes),
    };
    if text.contains('\0') {
        let hint = if file.contains("tfevents") {
            "a TensorBoard event file: download its series as CSV in TensorBoard's page"
        } else {
            "binary"
        };
        return Err(Error::invalid(file, must, hint));
    }
    if text.trim().is_empty() {
        return Err(Error::invalid(file, must, "empty"));
    }
    // Old Macs end lines so.
    Ok(if text.contains('\r') && !text.contains('\n') { text.replace('\r', "\n").into() } else { text })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks(2).map(|pair| match *pair {
        [a, b] => unit([a, b]),
        _ => 0xfffd,
    });
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
