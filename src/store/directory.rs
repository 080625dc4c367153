//! On disk.
use crate::{
    files::{self, header::Fault, map},
    store::{manifest, member_file, Checkpoint, Manifest, Store},
    Error, Member, Result,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Keeps the members of one plan in a directory, for resuming, for several processes, and for good.
///
/// ```text
/// plan.bin              what it is for: the plan, the data's fingerprint, the learner's tag, its networks
/// KEY.safetensors       a member: weights, and its record in the header; any safetensors reader opens it
/// KEY.checkpoint        how far an unfinished run has come
/// ```
///
/// - **Whole files.** Each is written under a temporary name, brought to the disk and renamed. A crash at any
///   point leaves whole files, and at most temporary ones that harm nobody; the next [`DirectoryStore::new`]
///   removes those whose writer is dead (on Unix, on file systems with locks).
/// - **Checked files.** Each carries its format and a BLAKE3 hash of all its bytes, checked whenever it is read. A
///   file that is cut short, changed or foreign is an error that names it; the others stay good. Remove it, and
///   its run alone is trained again.
/// - **One plan.** The first build writes the manifest; a build of other data, another plan, trainer or network is
///   refused with an error that says which of them differs.
/// - **Several processes.** They may work on one directory at the same time, on one machine or on a shared disk:
///   each run is done at least once, and whoever is last replaces a file by the same bytes.
///
/// Members are not kept in memory: [`Store::get`] maps the file, checks it and copies the weights out of the map
/// (tensors own their memory in candle), so reading takes no more than the member itself. Nothing but this
/// library should write into the directory meanwhile; a file that someone cuts short while it is being read can
/// end the process.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{data::TensorDataset, plan::*, store::DirectoryStore, strategy::*, train::Trainer, Session};
/// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("members");
/// let store = DirectoryStore::new(&path)?;
/// let session = Session::new(&trainer, &data).store(&store);
/// session.fit(&MultiRun::new(3), 42)?; // interrupted here or there, it goes on where it was
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
    /// The store in the directory `path`, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|e| files::failed(&path, e))?;
        files::sweep(&path);
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is for; `None` before the first build.
    ///
    /// # Errors
    /// When the manifest cannot be read, or is damaged.
    pub fn manifest(&self) -> Result<Option<Manifest<'static>>> {
        read_file(&self.manifest_path(), manifest::read)
    }

    fn manifest_path(&self) -> PathBuf {
        self.path.join("plan.bin")
    }

    fn member_path(&self, key: &str) -> Result<PathBuf> {
        self.file(key, "safetensors")
    }

    fn checkpoint_path(&self, key: &str) -> Result<PathBuf> {
        self.file(key, "checkpoint")
    }

    /// A key names a file of this directory, never one elsewhere.
    fn file(&self, key: &str, extension: &str) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=200).contains(&key.len()) || key.starts_with('.') || !key.chars().all(plain) {
            let must = "1 to 200 letters, digits, '-', '_' and '.', without a '.' at the start";
            return Err(Error::invalid("a key", must, format!("{key:?}")));
        }
        Ok(self.path.join(format!("{key}.{extension}")))
    }
}

impl Store for DirectoryStore {
    fn open(&self, manifest: &Manifest<'_>) -> Result<()> {
        let (path, bytes) = (self.manifest_path(), manifest.to_bytes()?);
        // Of two processes that come first, one writes and the other compares.
        if !path.exists() && files::write_new(&path, &bytes)? {
            return Ok(());
        }
        let read = |there: &[u8]| match there == bytes {
            true => Ok(None),
            false => manifest::read(there).map(Some),
        };
        // `None` where it has just been removed: then someone is taking the store away.
        match read_file(&path, read)?.flatten().map(|there| manifest.differs(&there)) {
            None | Some(None) => Ok(()),
            Some(Some(why)) => {
                Err(Error::Foreign { what: format!("the store {}", self.path.display()), why })
            }
        }
    }

    fn put(&self, member: Member) -> Result<()> {
        let (path, layout) = (self.member_path(&member.record.key)?, member.layout()?);
        files::write_with(&path, |file| layout.write(file))
    }

    fn get(&self, key: &str) -> Result<Option<Member>> {
        read_file(&self.member_path(key)?, |bytes| {
            let member = member_file::read(bytes)?;
            match member.record.key == key {
                true => Ok(member),
                false => Err(Fault::foreign(format!("it holds the member {:?}", member.record.key))),
            }
        })
    }

    fn contains(&self, key: &str) -> Result<bool> {
        let path = self.member_path(key)?;
        path.try_exists().map_err(|e| files::failed(&path, e))
    }

    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        let (path, layout) = (self.checkpoint_path(key)?, checkpoint.layout(key)?);
        files::write_with(&path, |file| layout.write(file))
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        read_file(&self.checkpoint_path(key)?, |bytes| Checkpoint::read(key, bytes))
    }

    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        files::remove(&self.checkpoint_path(key)?)
    }
}

/// What `read` makes of a file; `None` where there is none. Every error names the file.
pub(crate) fn read_file<T>(path: &Path, read: impl FnOnce(&[u8]) -> Result<T, Fault>) -> Result<Option<T>> {
    let read = map::with_file(path, read).map_err(|e| files::failed(path, e))?;
    read.transpose().map_err(|fault| fault.of(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Settings, store::Record};
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
            seen: vec![0],
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
    fn members_come_back_equal_from_a_new_store() {
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
    fn a_member_under_another_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path()).unwrap();
        store.put(member("a", 1.)).unwrap();
        let [a, b] = ["a", "b"].map(|key| folder.path().join(format!("{key}.safetensors")));
        fs::copy(a, &b).unwrap();
        let e = store.get("b").unwrap_err().to_string();
        assert_eq!(e, format!("{} does not belong here: it holds the member \"a\"", b.display()));
    }

    #[test]
    fn no_key_leads_out_of_the_directory() {
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
    fn checkpoints_are_apart_from_members_and_from_each_other() {
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
