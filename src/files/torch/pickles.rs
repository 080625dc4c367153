//! The form of PyTorch's files before version 1.6, which `torch.save` still writes with
//! `_use_new_zipfile_serialization=False`: five pickles (a magic number, a version, what the machine was, the object, and
//! the names of the storages), and then each storage, with the number of its elements before it.
use super::{rebuild::element, unread, TorchFile};
use crate::files::{
    header::FormatError,
    pickle::{Pickle, Value},
};
use std::{collections::BTreeMap, ops::Range};

/// The magic number in a pickle: an integer of 10 bytes.
const MAGIC: &[u8] = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
/// The version of the form.
const VERSION: Value = Value::Int(1001);

/// The parts of a file.
pub(in crate::files) fn pickles(bytes: &[u8]) -> Result<TorchFile, FormatError> {
    let mut rest = bytes;
    let mut next = || {
        let (pickle, length) = Pickle::parse(rest).map_err(unread)?;
        let (own, after) = rest.split_at_checked(length).unwrap_or_default();
        rest = after;
        Ok((pickle, own))
    };
    if !next()?.1.ends_with(MAGIC) {
        return Err(FormatError::foreign("it is a Python pickle that torch.save did not write"));
    }
    if next()?.0.top != VERSION {
        return Err(FormatError::foreign("it is a PyTorch file of an unknown version"));
    }
    let machine = next()?.0;
    let order = machine.dict(machine.top).unwrap_or_default().iter();
    let mut order = order.filter(|(name, _)| machine.text(*name) == Some("little_endian"));
    if order.any(|(_, value)| *value == Value::Bool(false)) {
        return Err(FormatError::foreign("its numbers are big-endian; save it on a little-endian machine"));
    }
    let (pickle, names) = (next()?.0, next()?.0);
    let storages = storages(&pickle, &names, bytes.len() - rest.len(), bytes)?;
    Ok(TorchFile { pickle, storages })
}

/// Where the storages are, the first of which begins at `at`.
fn storages(
    pickle: &Pickle,
    names: &Pickle,
    mut at: usize,
    bytes: &[u8],
) -> Result<BTreeMap<String, Range<usize>>, FormatError> {
    let mut classes = BTreeMap::new();
    for id in pickle.persistent() {
        let Some([_, class, name, ..]) = pickle.sequence(id) else { continue };
        if let (Some((_, class)), Some(name)) = (pickle.global(*class), pickle.text(*name)) {
            classes.insert(name, class);
        }
    }
    let names = names.sequence(names.top).unwrap_or_default().iter().filter_map(|name| names.text(*name));
    let mut storages = BTreeMap::new();
    for name in names {
        let class = classes.get(name).copied().unwrap_or("that the file does not name");
        let Some((_, width, _)) = element(class) else {
            return Err(FormatError::foreign(format!("it has numbers of the unknown type {class}")));
        };
        let count =
            bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|count| u64::from_le_bytes(*count));
        let range = count.and_then(|count| {
            let (start, length) = (at.checked_add(8)?, usize::try_from(count).ok()?.checked_mul(width)?);
            Some(start..start.checked_add(length)?)
        });
        let range = range.filter(|range| range.end <= bytes.len());
        let range = range.ok_or_else(|| FormatError::Damaged("it is cut short".into()))?;
        at = range.end;
        storages.insert(name.to_string(), range);
    }
    Ok(storages)
}
