//! Atomic writing of files.
//!
//! A file is written under a temporary name in the folder of its path, synced to the disk and renamed. So no
//! reader finds an incomplete file, even after a crash, and an older file stays until the new one is
//! complete.
pub(crate) mod envelope;
pub(crate) mod fixed;
pub(crate) mod header;
pub(crate) mod map;
mod pickle;
mod recognize;
pub(crate) mod shards;
pub(crate) mod stored;
pub(crate) mod tensors;
mod torch;

pub(crate) use tensors::{read as read_tensors, TensorFile};

use crate::{Error, Result};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// The prefix of temporary names.
const PREFIX: &str = ".candle-ensemble-";

/// Writes `bytes` to `path` atomically: `path` names either the complete new file or what was there before.
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
/// [`Error::Io`] with the path when the file cannot be written. An existing file stays unchanged then.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_with(path.as_ref(), |file| file.write_all(bytes))
}

/// Writes a file atomically with a closure.
pub(crate) fn write_with(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> Result<()> {
    write_draft(path, |draft| write(draft).map_err(|source| failed(path, source)))
}

/// Writes a file atomically with a closure that writes out of order or fails for reasons other than the file.
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    write_draft(path, |draft| write(draft.as_file()))
}

fn write_draft(path: &Path, write: impl FnOnce(&mut NamedTempFile) -> Result<()>) -> Result<()> {
    let mut draft = Draft::new(path)?;
    write(&mut draft.file)?;
    draft.commit()
}

/// A file under a temporary name, which is removed unless it is completed.
#[derive(Debug)]
pub(crate) struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// An empty file that is to be put at `path`.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let failed = |source| failed(path, source);
        refuse_special(path).map_err(failed)?;
        Ok(Self { file: draft(path).map_err(failed)?, path: path.to_owned() })
    }

    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The path that the file is to have.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file, which is complete, at its path.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { file, path } = self;
        let failed = |source| failed(&path, source);
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        sync_folder(&path).map_err(failed)
    }
}

/// A file without a name in the folder of `path`, which is gone when it is closed.
#[cfg(feature = "learned")]
pub(crate) fn scratch(path: &Path) -> Result<File> {
    tempfile::tempfile_in(folder(path)).map_err(|source| failed(path, source))
}

/// Checks that a file can be put at `path`: its folder exists, and there is nothing but perhaps a file, which the
/// new one replaces. A device such as /dev/null would be replaced too.
fn refuse_special(path: &Path) -> io::Result<()> {
    fs::metadata(folder(path))?;
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => Err(io::Error::other("it is a folder, not a file")),
        Ok(about) if !about.is_file() => {
            Err(io::Error::other("it is a device or a pipe, which a file cannot replace"))
        }
        _ => Ok(()),
    }
}

/// Writes a new file atomically. Returns `false` where there is a file already, which stays unchanged.
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

/// Removes a file, if it exists.
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

/// A temporary file in the folder of `path`, with its extension, locked as long as it is open.
fn draft(path: &Path) -> io::Result<NamedTempFile> {
    let suffix = path.extension().map(|e| format!(".{}", e.to_string_lossy().to_ascii_lowercase()));
    let mut options = tempfile::Builder::new();
    options.prefix(PREFIX).suffix(suffix.as_deref().unwrap_or_default());
    // Temporary files are private by default; this one gets the permissions of any new file.
    #[cfg(unix)]
    options.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = options.tempfile_in(folder(path))?;
        if !removed_before_lock(&file) {
            return Ok(file);
        }
    }
}

/// Takes the lock that protects the file from [`remove_leftovers`] in other processes. Returns whether it was
/// removed before the lock was taken.
#[cfg(unix)]
fn removed_before_lock(file: &NamedTempFile) -> bool {
    match file.as_file().try_lock() {
        Err(fs::TryLockError::WouldBlock) => true,
        Ok(()) => !file.path().exists(),
        // On a file system without locks no leftovers are removed.
        Err(fs::TryLockError::Error(_)) => false,
    }
}

/// On other systems than Unix a locked file cannot be opened a second time, so no leftovers are removed.
#[cfg(not(unix))]
fn removed_before_lock(_: &NamedTempFile) -> bool {
    false
}

/// Removes temporary files in `folder` whose writers no longer run. Errors are ignored, because leftovers are
/// harmless.
pub(crate) fn remove_leftovers(folder: &Path) {
    #[cfg(unix)]
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let path = entry.path();
            let abandoned = File::open(&path).is_ok_and(|file| {
                // Removed under the lock, so that a writer that has just created it notices.
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

/// Syncs the folder's entries to the disk: without that, a renamed file may be lost in a power failure.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder(path))?.sync_all() {
        // Some network file systems cannot sync folders.
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
    fn only_a_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let sub = folder.path().join("sub");
        fs::create_dir(&sub).unwrap();
        let e = write_whole(&sub, b"new").unwrap_err().to_string();
        assert_eq!(e, format!("{}: it is a folder, not a file", sub.display()));
        let lost = folder.path().join("no/where.bin");
        let e = write_whole(&lost, b"new").unwrap_err().to_string();
        assert!(e.starts_with(&format!("{}: ", lost.display())) && !e.contains(PREFIX), "{e}");
        #[cfg(unix)]
        {
            let socket = folder.path().join("socket");
            let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            let e = write_whole(&socket, b"new").unwrap_err().to_string();
            assert!(e.ends_with("which a file cannot replace"), "{e}");
        }
        assert!(names(&sub).is_empty());
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
    fn leftovers_of_dead_writers_are_removed_and_those_of_running_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let abandoned = folder.path().join(format!("{PREFIX}abandoned.bin"));
        fs::write(&abandoned, "half").unwrap();
        fs::write(folder.path().join(".other"), "of another program").unwrap();
        let open = draft(&path).unwrap();
        remove_leftovers(folder.path());
        assert!(!abandoned.exists() && open.path().exists());
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn removing_leftovers_beside_writers_loses_no_file() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|s| {
            let writers: Vec<_> = (0..4)
                .map(|w| {
                    let path = folder.path().join(format!("{w}.bin"));
                    s.spawn(move || (0..50u8).for_each(|i| write_whole(&path, &[i; 100]).unwrap()))
                })
                .collect();
            while !writers.iter().all(|w| w.is_finished()) {
                remove_leftovers(folder.path());
            }
        });
        for w in 0..4 {
            assert_eq!(fs::read(folder.path().join(format!("{w}.bin"))).unwrap(), [49; 100]);
        }
        assert_eq!(names(folder.path()).len(), 4);
    }
}
