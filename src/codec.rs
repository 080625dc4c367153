//! Plans and records as bytes: the one place that knows bincode.
use crate::{Error, Result};
use serde::Serialize;

/// Bytes that depend on nothing but the value.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|e| Error::invalid("a value to be stored", "serializable", e))
}
