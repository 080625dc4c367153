//! Members on disk.
use crate::{
    files::{self, header::FormatError, map, TensorFile},
    store::{
        blobs,
        layout::{self, Files},
        Blobs, Checkpoint, Manifest, Store,
    },
    Member, Result,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Keeps the members of one plan in a directory, from which an interrupted build resumes and which several
/// processes can share.
///
/// ```text
/// plan.bin              the manifest: the plan, the data's fingerprint, the learner's tag, its networks
/// KEY.safetensors       a member: weights, and its record in the header; any safetensors reader opens it
/// KEY.checkpoint        the state of an unfinished run
/// KEY.lease-000001      which worker trains the run (exec::Worker), as JSON
/// KEY.failed            why the run failed on a worker, as JSON
/// ```
///
/// - **Complete files.** Each file is written under a temporary name, synced and renamed. A crash leaves
///   complete files, and at most harmless temporary ones; the next [`DirectoryStore::new`] removes those
///   whose writer no longer runs (on Unix, on file systems with locks).
/// - **Checked files.** Each file contains its format and a BLAKE3 hash of all its bytes, which is checked on
///   every read. A file that is cut short, changed or foreign is an error that names it; the others stay
///   valid. Remove it, and only its run is trained again.
/// - **One plan.** The first build writes the manifest. A build with other data, another plan, trainer or
///   network is refused with an error that says which of them differs.
/// - **Several processes.** They can work on one directory at the same time, on one machine or on a shared
///   disk. Each run is trained at least once, and a file that is written twice has the same bytes both times.
///
/// Members are not kept in memory: [`Store::get`] maps the file, checks it and copies the weights out of the
/// map, so reading takes no more memory than the member itself. Only this library may write into the
/// directory meanwhile: if another program truncates a file while it is being read, the process can end.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{data::TensorDataset, store::DirectoryStore, strategy::*, train::Trainer, Session};
/// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("members");
/// let store = DirectoryStore::new(&path)?;
/// let session = Session::new(&trainer, &data).store(&store);
/// session.fit(&MultiRun::new(3), 42)?; // if interrupted, it resumes when it is run again
/// let again = session.fit(&MultiRun::new(3), 42)?; // nothing is left to train
/// assert_eq!(again.members().len(), 3);
///
/// let other = session.fit(&Bagging::new(3), 42).err().unwrap();
/// assert!(other.to_string().contains("another plan (run 0 differs in training rows)"), "{other}");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    path: PathBuf,
}

impl DirectoryStore {
    /// The store in the directory `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be created.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|e| files::failed(&path, e))?;
        files::remove_leftovers(&path);
        Ok(Self { path })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest of the first build; `None` before it.
    ///
    /// # Errors
    /// When the manifest cannot be read or is damaged.
    pub fn manifest(&self) -> Result<Option<Manifest<'static>>> {
        layout::manifest(self)
    }

    fn file(&self, name: &str) -> Result<PathBuf> {
        blobs::check_name(name)?;
        Ok(self.path.join(name))
    }
}

impl Store for DirectoryStore {
    fn open(&self, manifest: &Manifest<'_>) -> Result<()> {
        layout::open(self, manifest).map(drop)
    }

    fn put(&self, member: Member) -> Result<()> {
        layout::put(self, &member)
    }

    fn get(&self, key: &str) -> Result<Option<Member>> {
        layout::get(self, key)
    }

    fn contains(&self, key: &str) -> Result<bool> {
        layout::contains(self, key)
    }

    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        layout::put_checkpoint(self, key, checkpoint)
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        layout::checkpoint(self, key)
    }

    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        layout::drop_checkpoint(self, key)
    }

    fn blobs(&self) -> Option<&dyn Blobs> {
        Some(self)
    }
}

/// Files are mapped to be read, and written one tensor at a time.
impl Files for DirectoryStore {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn read_with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Result<T, FormatError>,
    ) -> Result<Option<T>> {
        read_file(&self.file(name)?, read)
    }

    fn write_tensors(&self, name: &str, file: &TensorFile) -> Result<()> {
        files::write_with(&self.file(name)?, |out| file.write(out))
    }
}

/// Each blob is a file of the directory.
impl Blobs for DirectoryStore {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.file(name)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(files::failed(&path, e)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write_whole(self.file(name)?, bytes)
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        files::write_new(&self.file(name)?, bytes)
    }

    fn exists(&self, name: &str) -> Result<bool> {
        let path = self.file(name)?;
        path.try_exists().map_err(|e| files::failed(&path, e))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = vec![];
        for entry in fs::read_dir(&self.path).map_err(|e| files::failed(&self.path, e))? {
            let name = entry.map_err(|e| files::failed(&self.path, e))?.file_name();
            // Other files, such as temporary ones, have names that no blob has.
            if let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) {
                names.extend(blobs::check_name(name).is_ok().then(|| name.to_string()));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        files::remove(&self.file(name)?)
    }

    fn locate(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

/// What `read` makes of a file; `None` where there is none. Every error names the file.
pub(crate) fn read_file<T>(
    path: &Path,
    read: impl FnOnce(&[u8]) -> Result<T, FormatError>,
) -> Result<Option<T>> {
    let read = map::with_file(path, read).map_err(|e| files::failed(path, e))?;
    read.transpose().map_err(|error| error.of(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Settings, store::Record, Error};
    use candle_core::{Device, Tensor};

    fn member(key: &str, weight: f32) -> Member {
        let record = Record {
            run: 0,
            index: 0,
            slot: 0,
            refit: false,
            architecture: "model".into(),
            settings: Settings::new(),
            features: None,
            scaling: Default::default(),
            seen: vec![0].into(),
            in_network: None,
            seen_unknown: false,
            round: None,
            curve: vec![],
            key: key.into(),
        };
        let weights = [("w".to_string(), Tensor::new(&[weight], &Device::Cpu).unwrap())].into();
        Member { weights, record }
    }

    fn checkpoint(state: &[u8]) -> Checkpoint {
        Checkpoint::new(vec![], member("", 0.5).weights, state.to_vec())
    }

    #[test]
    fn members_are_read_back_equal_by_a_new_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er");
        let store = DirectoryStore::new(&path).unwrap();
        assert!(store.get("a").unwrap().is_none() && !store.contains("a").unwrap());
        store.put(member("a", 1.5)).unwrap();
        let again = DirectoryStore::new(&path).unwrap();
        assert!(again.contains("a").unwrap());
        let back = again.get("a").unwrap().unwrap();
        assert_eq!(back.to_bytes().unwrap(), member("a", 1.5).to_bytes().unwrap());
        assert_eq!(fs::read(path.join("a.safetensors")).unwrap(), back.to_bytes().unwrap());
    }

    #[test]
    fn a_member_under_another_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path()).unwrap();
        store.put(member("a", 1.)).unwrap();
        let [a, b] = ["a", "b"].map(|key| folder.path().join(format!("{key}.safetensors")));
        fs::copy(a, &b).unwrap();
        let e = store.get("b").unwrap_err().to_string();
        assert_eq!(e, format!("{} does not belong here: it holds the member \"a\"", b.display()));
    }

    #[test]
    fn keys_that_name_files_elsewhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path().join("store")).unwrap();
        let long = "x".repeat(201);
        for key in ["", ".", "..", "../a", "/a", "a/b", "a\\b", "a\0", "C:a", "ä", ".hidden", &long] {
            let refused =
                |e: Option<Error>| assert!(matches!(e, Some(Error::Invalid { .. })), "{key:?}: {e:?}");
            refused(store.put(member(key, 1.)).err());
            refused(store.get(key).err());
            refused(store.contains(key).err());
            refused(store.put_checkpoint(key, &checkpoint(b"x")).err());
            refused(store.checkpoint(key).err());
            refused(store.drop_checkpoint(key).err());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn checkpoints_of_different_keys_and_members_are_separate() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path()).unwrap();
        for store in [&store as &dyn Store, &crate::store::MemoryStore::new()] {
            assert!(store.checkpoint("a").unwrap().is_none());
            store.put_checkpoint("a", &checkpoint(b"epoch 1")).unwrap();
            store.put_checkpoint("a", &checkpoint(b"epoch 2")).unwrap();
            store.put_checkpoint("b", &checkpoint(b"")).unwrap();
            store.put(member("a", 1.)).unwrap();
            assert_eq!(store.checkpoint("a").unwrap().unwrap().state.bytes, b"epoch 2");
            assert_eq!(store.checkpoint("b").unwrap().unwrap().state.bytes, b"");
            store.drop_checkpoint("a").unwrap();
            store.drop_checkpoint("a").unwrap();
            assert!(store.checkpoint("a").unwrap().is_none());
            assert!(store.contains("a").unwrap());
        }
        fs::copy(folder.path().join("b.checkpoint"), folder.path().join("c.checkpoint")).unwrap();
        let e = store.checkpoint("c").unwrap_err().to_string();
        assert!(e.contains("c.checkpoint") && e.contains("checkpoint of b"), "{e}");
    }
}
