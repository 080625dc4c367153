//! Plans and records as bytes: the one place that knows bincode.
use crate::{Error, Result};
use serde::{de::DeserializeOwned, Serialize};

/// Bytes that depend on nothing but the value.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|e| Error::invalid("a value to be stored", "serializable", e))
}

/// The inverse, for bytes that hold one value and nothing else.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let foreign = |why: String| Error::Foreign { what: what.into(), why };
    match bincode::serde::decode_from_slice(bytes, bincode::config::standard()) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => Err(foreign(format!("it goes on after {read} bytes"))),
        Err(e) => Err(foreign(e.to_string())),
    }
}
