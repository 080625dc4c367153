//! Members in memory.
use crate::{
    store::{Checkpoint, Store},
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
}
