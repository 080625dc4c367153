//! Files that are there in full or not at all.
//!
//! A file is written under a temporary name beside its place, brought to the disk and renamed, so that neither
//! a reader nor a crash ever meets half of it, and an older file stays until the new one is whole.
pub(crate) mod envelope;
pub(crate) mod header;
pub(crate) mod map;
pub(crate) mod tensors;

pub(crate) use tensors::{read as read_tensors, Layout};

use crate::{Error, Result};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// What temporary names begin with.
const PREFIX: &str = ".candle-ensemble-";

/// Writes `bytes` to `path`, whole or not at all; an existing file is replaced.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("figures.json");
/// candle_ensemble::files::write_whole(&path, b"{}")?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`] with the path when the file cannot be written; what was there before is still there then.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_with(path.as_ref(), |file| file.write_all(bytes))
}

/// The same, written by a closure.
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> Result<()> {
    write_draft(path, |draft| write(draft).map_err(|source| failed(path, source)))
}

/// The same for what is not written from one end to the other, and may fail for other reasons than the file.
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    write_draft(path, |draft| write(draft.as_file()))
}

fn write_draft(path: &Path, write: impl FnOnce(&mut NamedTempFile) -> Result<()>) -> Result<()> {
    let failed = |source| failed(path, source);
    let mut file = draft(path).map_err(failed)?;
    write(&mut file)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    sync_folder(path).map_err(failed)
}

/// Writes a file that is not there yet. `false` where there is one: it stays as it is.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    let attempt = || {
        let mut file = draft(path)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => sync_folder(path).map(|()| true),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e.error),
        }
    };
    attempt().map_err(|source| failed(path, source))
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
    .map_err(|source| failed(path, source))
}

pub(crate) fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

/// A temporary file beside `path`, with its extension, locked as long as it is open.
fn draft(path: &Path) -> io::Result<NamedTempFile> {
    let suffix = path.extension().map(|e| format!(".{}", e.to_string_lossy().to_ascii_lowercase()));
    let mut options = tempfile::Builder::new();
    options.prefix(PREFIX).suffix(suffix.as_deref().unwrap_or_default());
    // Temporary files are closed to other users; what becomes of this one is as open as any new file.
    #[cfg(unix)]
    options.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = options.tempfile_in(folder(path))?;
        if !swept(&file) {
            return Ok(file);
        }
    }
}

/// Takes the lock that tells [`sweep`] of other processes that someone is at work. Whether one came before it.
#[cfg(unix)]
fn swept(file: &NamedTempFile) -> bool {
    match file.as_file().try_lock() {
        Err(fs::TryLockError::WouldBlock) => true,
        Ok(()) => !file.path().exists(),
        // A file system without locks: nobody sweeps there.
        Err(fs::TryLockError::Error(_)) => false,
    }
}

/// Elsewhere than on Unix a lock would keep the file from being opened a second time, so nothing is swept.
#[cfg(not(unix))]
fn swept(_: &NamedTempFile) -> bool {
    false
}

/// Removes what writers that are no longer alive left in `folder`. Whatever goes wrong is left for another day:
/// the leftovers harm nobody.
pub(crate) fn sweep(folder: &Path) {
    #[cfg(unix)]
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let path = entry.path();
            let abandoned = File::open(&path).is_ok_and(|file| {
                // Removed while the lock is held: a writer that has just made it then sees that it is gone.
                file.try_lock().is_ok() && fs::remove_file(&path).is_ok()
            });
            tracing::debug!(path = %path.display(), abandoned, "a temporary file");
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Brings the folder's new entry to the disk: without it a renamed file may be gone after a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder(path))?.sync_all() {
        // Some network file systems cannot, and keep their own order.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().to_string_lossy().into_owned();
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_whole(&path, b"old").unwrap();
        let e = write_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(e.unwrap_err().to_string(), format!("{}: the disk is full", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_whole(&path, b"new").unwrap();
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), names(folder.path())),
            (&b"new"[..], vec!["a.bin".into()])
        );
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.bin");
        assert!(write_new(&path, b"first").unwrap());
        assert!(!write_new(&path, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["plan.bin"]);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn leftovers_of_the_dead_are_swept_and_the_living_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let dead = folder.path().join(format!("{PREFIX}dead.bin"));
        fs::write(&dead, "half").unwrap();
        fs::write(folder.path().join(".other"), "of someone else").unwrap();
        let living = draft(&path).unwrap();
        sweep(folder.path());
        assert!(!dead.exists() && living.path().exists());
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn writers_and_sweepers_side_by_side_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|s| {
            let writers: Vec<_> = (0..4)
                .map(|w| {
                    let path = folder.path().join(format!("{w}.bin"));
                    s.spawn(move || (0..50u8).for_each(|i| write_whole(&path, &[i; 100]).unwrap()))
                })
                .collect();
            while !writers.iter().all(|w| w.is_finished()) {
                sweep(folder.path());
            }
        });
        for w in 0..4 {
            assert_eq!(fs::read(folder.path().join(format!("{w}.bin"))).unwrap(), [49; 100]);
        }
        assert_eq!(names(folder.path()).len(), 4);
    }
}
