//! Files that are read part by part and must stay as they are.
//!
//! A part is read with a position rather than through a map. So a file may be larger than the address space that the process
//! is allowed (`ulimit -v`), and one that is truncated meanwhile is an error rather than the end of the process by SIGBUS.
use crate::{
    files::{self, tensors::LENGTH},
    Error, Result,
};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A regular file with the size and the time of its last change. It is not kept open, so there may be any number of them.
#[derive(Clone, Debug)]
pub(crate) struct FixedFile {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

impl FixedFile {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let about = fs::metadata(path).map_err(|e| files::failed(path, e))?;
        if !about.is_file() {
            let fault = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(files::failed(path, fault));
        }
        Ok(Self { path: path.to_owned(), size: about.len(), modified: modified(&about) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Opens the file at a position.
    ///
    /// # Errors
    /// When it cannot be opened, or has changed.
    pub(crate) fn open_at(&self, at: u64) -> Result<File> {
        let failed = |e| files::failed(&self.path, e);
        let mut file = File::open(&self.path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.len() != self.size {
            return Err(self.changed(format!("it had {} bytes and now has {}", self.size, about.len())));
        }
        if modified(&about) != self.modified {
            return Err(self.changed("it was written to while it was in use".into()));
        }
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        Ok(file)
    }

    /// Fills `bytes` with those from a position on.
    ///
    /// # Errors
    /// When the file cannot be read, ends before, or has changed.
    pub(crate) fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        match self.open_at(at)?.read_exact(bytes) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                let end = at.saturating_add(bytes.len() as u64);
                Err(self.changed(format!("it ends before byte {end}")))
            }
            done => done.map_err(|e| files::failed(&self.path, e)),
        }
    }

    /// The bytes of a safetensors header with its length before it, or the whole file if that is shorter.
    pub(crate) fn head(&self) -> Result<Vec<u8>> {
        let mut length = [0; LENGTH];
        if self.size < LENGTH as u64 {
            let mut all = vec![0; self.size as usize];
            self.read(0, &mut all)?;
            return Ok(all);
        }
        self.read(0, &mut length)?;
        let header = u64::from_le_bytes(length).min(files::tensors::MAX_HEADER);
        let mut head = vec![0; (LENGTH as u64 + header).min(self.size) as usize];
        self.read(0, &mut head)?;
        Ok(head)
    }

    fn changed(&self, why: String) -> Error {
        Error::Damaged { what: self.path.display().to_string(), why }
    }
}

fn modified(about: &Metadata) -> Option<SystemTime> {
    about.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_or_is_cut_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, [1, 2, 3, 4]).unwrap();
        let file = FixedFile::new(&path).unwrap();
        let mut two = [0; 2];
        file.read(2, &mut two).unwrap();
        assert_eq!(two, [3, 4]);
        let error = file.read(3, &mut two).unwrap_err().to_string();
        assert!(error.contains("ends before byte 5"), "{error}");
        fs::write(&path, [1, 2, 3]).unwrap();
        let error = file.read(0, &mut two).unwrap_err().to_string();
        assert!(error.contains("it had 4 bytes and now has 3"), "{error}");
        fs::write(&path, [1, 2, 3, 4]).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        let error = file.read(0, &mut two).unwrap_err().to_string();
        assert!(error.contains("written to"), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.read(0, &mut two), Err(Error::Io { .. })));
        assert!(FixedFile::new(folder.path()).is_err());
    }
}
