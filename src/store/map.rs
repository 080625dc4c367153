//! Files mapped into memory: the one place with unsafe code.
//!
//! Mapping saves a second buffer, as large as the file, between the page cache and the tensors, which own their
//! memory in candle and are copied straight out of the map.
#![allow(unsafe_code)]
use memmap2::Mmap;
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Hands the content of a file to `read`; `None` where there is no file.
///
/// The map lives no longer than the call.
pub(super) fn with_file<T>(path: &Path, read: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
    let file = match open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // SAFETY: The slice stays valid as long as nobody changes or truncates the file under the map. This library
    // never does: it writes each file under another name and renames it (`files`), so a file in its place has
    // its final content, and one that is replaced or removed lives on until the map is gone. The map is private
    // to this call, so the window in which another program could do otherwise is that of one reading. A program
    // that truncates the file within it ends this process with SIGBUS, as it would any that maps files.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(Some(read(&map)))
}

/// Opens a regular file: a pipe would wait for a writer, and a device has no length.
fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_emptiness_and_absence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(with_file(&path, |_| ()).unwrap(), None);
        fs::write(&path, b"").unwrap();
        assert_eq!(with_file(&path, <[u8]>::to_vec).unwrap().unwrap(), b"");
        fs::write(&path, b"abc").unwrap();
        assert_eq!(with_file(&path, <[u8]>::to_vec).unwrap().unwrap(), b"abc");
        let replaced = with_file(&path, |bytes| {
            crate::files::write_whole(&path, b"x").unwrap();
            bytes.to_vec()
        });
        assert_eq!(replaced.unwrap().unwrap(), b"abc", "a map sees what it opened");
        assert!(with_file(folder.path(), |_| ()).unwrap_err().to_string().contains("not a regular file"));
    }
}
