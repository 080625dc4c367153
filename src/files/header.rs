//! Identifiers: the text that every file of this library begins with, and the errors of reading one.
use crate::Error;
use std::fmt;

/// The version of the format of a kind of file. It changes whenever this version would misread the bytes of older ones.
fn format_of(kind: &str) -> u32 {
    match kind {
        "plan" => 3,
        _ => 2,
    }
}

const PREFIX: &str = "candle-ensemble, format ";

/// Length of a digest in hexadecimal.
pub(crate) const HEX: usize = 64;

/// Why bytes cannot be read.
#[derive(Debug, PartialEq)]
pub(crate) enum FormatError {
    /// They have changed since they were written.
    Damaged(String),
    /// They are something other than what was expected.
    Foreign(String),
}

impl FormatError {
    pub(crate) fn foreign(why: impl fmt::Display) -> Self {
        Self::Foreign(why.to_string())
    }

    /// The library's error about `what`, which is mostly a path.
    pub(crate) fn of(self, what: impl fmt::Display) -> Error {
        let what = what.to_string();
        match self {
            Self::Damaged(why) => Error::Damaged { what, why },
            Self::Foreign(why) => Error::Foreign { what, why },
        }
    }
}

/// The identifier of a kind of file: library, format and kind.
pub(crate) fn identifier(kind: &str) -> String {
    format!("{PREFIX}{}, {kind}", format_of(kind))
}

/// Why a file that begins with `found` is not of this kind. `found` may be of any length.
pub(crate) fn wrong_kind(found: &[u8], kind: &str) -> FormatError {
    let start = &found[..found.len().min(300)];
    let line = String::from_utf8_lossy(start);
    let line = line.split(['\n', '"']).next().unwrap_or_default();
    let Some((format, holds)) = line.strip_prefix(PREFIX).and_then(|rest| rest.split_once(", ")) else {
        return FormatError::foreign(format!("it does not begin like a {kind} of this library"));
    };
    let own = format_of(holds);
    if format != own.to_string() {
        return FormatError::foreign(format!("it is of format {format:?}, but this version reads {own}"));
    }
    FormatError::foreign(format!("it holds a {holds:?}, not a {kind:?}"))
}

/// The hash in a file differs from that of its content.
pub(crate) fn hash_mismatch() -> FormatError {
    FormatError::Damaged("its content is not what was written: the hash differs".into())
}
