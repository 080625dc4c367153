//! The folder of a loop: results and decisions, by name.
use crate::{files, Error, Result};
use serde::{de::DeserializeOwned, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Keeps values by name in a folder, as JSON; keeps nothing without a folder. A file that cannot be read is
/// as good as none: what it holds can be made again.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: Option<PathBuf>,
}

impl Kept {
    pub(super) fn new(folder: Option<&Path>) -> Result<Self> {
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(|e| files::failed(folder, e))?;
            files::remove_leftovers(folder);
        }
        Ok(Self { folder: folder.map(Path::to_owned) })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(path) = self.path(name) else { return Ok(None) };
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(files::failed(&path, e)),
        }
    }

    pub(super) fn put(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let Some(path) = self.path(name) else { return Ok(()) };
        let text = serde_json::to_vec(value).map_err(|e| Error::invalid(name, "writable as JSON", e))?;
        files::write_whole(path, &text)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")))
    }
}

/// A name for a file, from all that a value depends on.
pub(super) fn key(of: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(of).map_err(|e| Error::invalid("a setting", "writable as JSON", e))?;
    Ok(blake3::hash(&text).to_hex()[..32].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_back_and_broken_files_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(Some(&folder.path().join("new"))).unwrap();
        assert_eq!(kept.get::<Vec<f64>>("a").unwrap(), None);
        kept.put("a", &vec![0.1, 1e-300]).unwrap();
        assert_eq!(kept.get::<Vec<f64>>("a").unwrap(), Some(vec![0.1, 1e-300]));
        fs::write(folder.path().join("new/a.json"), "[0.1, ").unwrap();
        assert_eq!(kept.get::<Vec<f64>>("a").unwrap(), None);
        let nowhere = Kept::new(None).unwrap();
        nowhere.put("a", &1).unwrap();
        assert_eq!(nowhere.get::<i32>("a").unwrap(), None);
        assert_eq!(key(&(1, "a")).unwrap().len(), 32);
        assert_ne!(key(&(1, "a")).unwrap(), key(&(2, "a")).unwrap());
    }
}
