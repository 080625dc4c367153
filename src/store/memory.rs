//! In memory.
use crate::{
    store::{Checkpoint, Store},
    Member, Result,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps members and checkpoints in memory, as long as it lives; of any plan, since keys tell plans apart.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    members: BTreeMap<String, Member>,
    checkpoints: BTreeMap<String, Vec<u8>>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A thread that panicked elsewhere cannot have left a map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn put(&self, member: Member) -> Result<()> {
        self.kept().members.insert(member.record.key.clone(), member);
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Member>> {
        Ok(self.kept().members.get(key).cloned())
    }

    fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.kept().members.contains_key(key))
    }

    fn put_checkpoint(&self, key: &str, checkpoint: &Checkpoint) -> Result<()> {
        let bytes = checkpoint.to_bytes(key)?;
        self.kept().checkpoints.insert(key.into(), bytes);
        Ok(())
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Checkpoint>> {
        self.kept().checkpoints.get(key).map(|bytes| Checkpoint::from_bytes(key, bytes)).transpose()
    }

    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        self.kept().checkpoints.remove(key);
        Ok(())
    }
}
