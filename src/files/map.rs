//! Files mapped into memory: the one place with unsafe code.
//!
//! Mapping saves a second buffer, as large as the file, between the page cache and the tensors, which own their
//! memory in candle and are copied straight out of the map.
#![allow(unsafe_code)]
use memmap2::Mmap;
use std::{
    fs::{self, File},
    io,
    ops::Range,
    path::Path,
};

/// Hands the content of a file to `read`; `None` where there is no file.
///
/// The map lives no longer than the call.
pub(crate) fn with_file<T>(path: &Path, read: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
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

/// The kernel maps more than the page that is touched: up to the whole large page around it, 2 MiB.
#[cfg(unix)]
const AROUND: usize = 1 << 21;

/// A file mapped for as long as this lives, for what is larger than memory.
#[derive(Debug)]
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Maps a regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        // SAFETY: As above, but for the whole of a merge: its files must neither be changed nor truncated while it
        // runs, which its documentation says. Replacing one by renaming another over it is harmless.
        unsafe { Mmap::map(&file) }.map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// These bytes are not needed for now: their pages no longer count as this process's memory.
    pub(crate) fn done(&self, range: &Range<usize>) {
        #[cfg(unix)]
        {
            // Large pages are aligned in memory.
            let base = self.0.as_ptr() as usize % AROUND;
            let start = ((base + range.start) / AROUND * AROUND).saturating_sub(base);
            let end = ((base + range.end).next_multiple_of(AROUND) - base).min(self.0.len());
            // SAFETY: The map is of a file and is never written to, so a page that was let go of and is touched
            // again comes back with the same content; readers of neighbouring bytes only wait for it.
            let _ = unsafe {
                self.0.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    start,
                    end.saturating_sub(start),
                )
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
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
    fn pages_that_were_let_go_of_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let mapped = Mapped::open(&path).unwrap();
        for range in [0..0, 0..1, 100_000..299_999, 299_999..300_000, 0..300_000] {
            assert_eq!(mapped.bytes()[range.clone()], bytes[range.clone()]);
            mapped.done(&range);
            assert_eq!(mapped.bytes(), bytes);
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(Mapped::open(&path).unwrap().bytes(), b"");
        assert!(Mapped::open(folder.path()).is_err() && Mapped::open(&folder.path().join("b")).is_err());
    }

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
