//! The form of PyTorch's files since version 1.6: a zip archive with the pickle and a file for each storage.
use super::{unread, TorchFile};
use crate::files::{header::FormatError, pickle::Pickle};
use std::{collections::BTreeMap, io::Cursor, ops::Range};
use zip::{CompressionMethod, ZipArchive};

/// The parts of an archive.
pub(in crate::files) fn archive(bytes: &[u8]) -> Result<TorchFile, FormatError> {
    let entries = entries(bytes)?;
    let pickles: Vec<_> = entries.keys().filter_map(|name| name.strip_suffix("data.pkl")).collect();
    let [root] = pickles[..] else {
        return Err(FormatError::foreign("it is a zip archive without a pickle of PyTorch"));
    };
    let of = |name: &str| entries.get(&format!("{root}{name}")).and_then(|range| bytes.get(range.clone()));
    if of("byteorder").is_some_and(|order| order == b"big") {
        return Err(FormatError::foreign("its numbers are big-endian; save it on a little-endian machine"));
    }
    let (pickle, _) = Pickle::parse(of("data.pkl").unwrap_or_default()).map_err(unread)?;
    let data = format!("{root}data/");
    let storage =
        |(name, range): (&String, &Range<usize>)| Some((name.strip_prefix(&data)?.into(), range.clone()));
    let storages = entries.iter().filter_map(storage).collect();
    Ok(TorchFile { pickle, storages })
}

/// The positions of the files in the archive.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, FormatError> {
    let bad = |e: zip::result::ZipError| FormatError::Damaged(format!("its zip archive: {e}"));
    let archive = ZipArchive::new(Cursor::new(bytes));
    // The list of the files is at the end.
    let mut archive =
        archive.map_err(|e| FormatError::Damaged(format!("its end is not that of a zip archive: {e}")))?;
    if archive.file_names().flatten().any(|name| name.ends_with("/constants.pkl")) {
        let why = "it is a TorchScript program, as torch.jit.save writes it; save model.state_dict() with torch.save";
        return Err(FormatError::foreign(why));
    }
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(bad)?;
        let name = entry.name().map_err(bad)?.into_owned();
        if entry.compression() != CompressionMethod::Stored {
            let why = format!("its part {name:?} is compressed, which torch.save does not do");
            return Err(FormatError::foreign(why));
        }
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(entry.compressed_size()).ok();
        let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let range = range.filter(|range| range.end <= bytes.len());
        let cut = || FormatError::Damaged(format!("it is cut short: its part {name:?} lies beyond its end"));
        let range = range.ok_or_else(cut)?;
        entries.insert(name, range);
    }
    Ok(entries)
}
