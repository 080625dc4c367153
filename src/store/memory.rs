//! Members in memory.
use crate::{
    store::{blobs, Blobs, Checkpoint, Store},
    Member, Result,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps members and checkpoints in memory, for as long as the store lives. It can hold the members of
/// several plans, because keys of different plans differ.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    members: BTreeMap<String, Member>,
    checkpoints: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // The maps are consistent even if a thread panicked, because none of it panics while it changes one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn put(&self, member: Member) -> Result<()> {
        self.content().members.insert(member.record.key.clone(), member);
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Member>> {
        Ok(self.content().members.get(key).cloned())
    }

    fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.content().members.contains_key(key))
    }

    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        let bytes = checkpoint.to_bytes(key)?;
        self.content().checkpoints.insert(key.into(), bytes);
        Ok(())
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        self.content().checkpoints.get(key).map(|bytes| Checkpoint::from_bytes(key, bytes)).transpose()
    }

    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        self.content().checkpoints.remove(key);
        Ok(())
    }

    fn blobs(&self) -> Option<&dyn Blobs> {
        Some(self)
    }
}

impl Blobs for MemoryStore {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        blobs::check_name(name)?;
        Ok(self.content().blobs.get(name).cloned())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        blobs::check_name(name)?;
        self.content().blobs.insert(name.into(), bytes.into());
        Ok(())
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        blobs::check_name(name)?;
        let mut content = self.content();
        let new = !content.blobs.contains_key(name);
        if new {
            content.blobs.insert(name.into(), bytes.into());
        }
        Ok(new)
    }

    fn exists(&self, name: &str) -> Result<bool> {
        blobs::check_name(name)?;
        Ok(self.content().blobs.contains_key(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let content = self.content();
        let members = content.members.keys().map(|key| format!("{key}.safetensors"));
        let checkpoints = content.checkpoints.keys().map(|key| format!("{key}.checkpoint"));
        let all = content.blobs.keys().cloned().chain(members).chain(checkpoints);
        let mut names: Vec<_> = all.filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        blobs::check_name(name)?;
        self.content().blobs.remove(name);
        Ok(())
    }

    fn locate(&self, name: &str) -> String {
        format!("{name} in memory")
    }
}
