//! The first words of every file of ours: what it is, and in which format.
use crate::Error;
use std::fmt;

/// Changes whenever bytes that older versions wrote would be misread.
const FORMAT: u32 = 2;
const OURS: &str = "candle-ensemble, format ";

/// A digest in hexadecimal.
pub(crate) const HEX: usize = 64;

/// What is wrong with bytes.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// They are no longer what was written.
    Damaged(String),
    /// They are something else.
    Foreign(String),
}

impl Fault {
    pub(crate) fn foreign(why: impl fmt::Display) -> Self {
        Self::Foreign(why.to_string())
    }

    /// The error about `what`, a path mostly.
    pub(crate) fn of(self, what: impl fmt::Display) -> Error {
        let what = what.to_string();
        match self {
            Self::Damaged(why) => Error::Damaged { what, why },
            Self::Foreign(why) => Error::Foreign { what, why },
        }
    }
}

/// The title of a `kind` of file.
pub(crate) fn title(kind: &str) -> String {
    format!("{OURS}{FORMAT}, {kind}")
}

/// Why a file that begins with `found` is no `kind`; `found` may be of any length.
pub(crate) fn mismatch(found: &[u8], kind: &str) -> Fault {
    let start = &found[..found.len().min(300)];
    let line = String::from_utf8_lossy(start);
    let line = line.split(['\n', '"']).next().unwrap_or_default();
    let Some((format, holds)) = line.strip_prefix(OURS).and_then(|rest| rest.split_once(", ")) else {
        return Fault::foreign(format!("it does not begin as a {kind} of this library does"));
    };
    if format != FORMAT.to_string() {
        return Fault::foreign(format!("it is of format {format:?}, but this version reads {FORMAT}"));
    }
    Fault::foreign(format!("it holds a {holds:?}, not a {kind:?}"))
}

/// The digest that a file carries is not that of its content.
pub(crate) fn changed() -> Fault {
    Fault::Damaged("its content is not what was written: the hash differs".into())
}
