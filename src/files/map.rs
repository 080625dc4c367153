//! Files mapped into memory, which takes unsafe code.
//!
//! candle's tensors own their memory and are copied out of the map. Without the map, a second buffer as large
//! as the file would lie between the page cache and the tensors.
#![allow(unsafe_code)]
use memmap2::Mmap;
use std::{
    fs::{self, File},
    io,
    ops::Range,
    path::Path,
};

/// Calls `read` with the content of a file; `None` where there is no file.
///
/// The map lives no longer than the call.
pub(crate) fn with_file<T>(path: &Path, read: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
    let file = match open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // SAFETY: The slice stays valid as long as the file is not changed or truncated while it is mapped. This
    // library never does that: it writes each file under another name and renames it (`files`), so a file in
    // its place has its final content, and a file that is replaced or removed stays readable until the map is
    // dropped. The map lives for this call only, so another program can interfere only while the file is
    // being read. If it truncates the file then, this process ends with SIGBUS, like any process that maps
    // files.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(Some(read(&map)))
}

/// The kernel may map a whole large page, 2 MiB, around each page that is accessed.
#[cfg(unix)]
const LARGE_PAGE: usize = 1 << 21;

/// A file that is mapped as long as this value lives, for files larger than memory.
#[derive(Debug)]
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Maps a regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        // SAFETY: As above, but for the whole duration of a merge, or the life of a `StateDict`, whose
        // documentation requires that the files are neither changed nor truncated meanwhile. Replacing a file
        // by renaming another over it is harmless.
        unsafe { Mmap::map(&file) }.map(Self)
    }

    /// Maps a file that nobody else can reach, such as one without a name.
    #[cfg(feature = "learned")]
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        // SAFETY: The file has no name and is not written to while it is mapped, so it does not change.
        unsafe { Mmap::map(file) }.map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Releases the pages of these bytes, which are not needed for now: they no longer count as memory of
    /// this process.
    pub(crate) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        {
            // Large pages are aligned in memory.
            let base = self.0.as_ptr() as usize % LARGE_PAGE;
            let start = ((base + range.start) / LARGE_PAGE * LARGE_PAGE).saturating_sub(base);
            let end = ((base + range.end).next_multiple_of(LARGE_PAGE) - base).min(self.0.len());
            // SAFETY: The map is of a file and is never written to, so a released page that is accessed again
            // is read from the file with the same content; readers of neighbouring bytes only wait for it.
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
    fn released_pages_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let mapped = Mapped::open(&path).unwrap();
        for range in [0..0, 0..1, 100_000..299_999, 299_999..300_000, 0..300_000] {
            assert_eq!(mapped.bytes()[range.clone()], bytes[range.clone()]);
            mapped.release(&range);
            assert_eq!(mapped.bytes(), bytes);
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(Mapped::open(&path).unwrap().bytes(), b"");
        assert!(Mapped::open(folder.path()).is_err() && Mapped::open(&folder.path().join("b")).is_err());
    }

    #[test]
    fn full_empty_and_missing_files_are_read() {
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
        assert_eq!(replaced.unwrap().unwrap(), b"abc", "a map keeps the file that was opened");
        assert!(with_file(folder.path(), |_| ()).unwrap_err().to_string().contains("not a regular file"));
    }
}
