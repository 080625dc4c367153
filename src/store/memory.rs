//! In memory.
use super::Store;
use crate::{Member, Result};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps members and checkpoints in memory, as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    members: Mutex<BTreeMap<String, Member>>,
    checkpoints: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        locked(&self.members)
    }

    fn checkpoints(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        locked(&self.checkpoints)
    }
}

impl Store for MemoryStore {
    fn put(&self, member: Member) -> Result<()> {
        self.members().insert(member.record.key.clone(), member);
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Member>> {
        Ok(self.members().get(key).cloned())
    }

    fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.members().contains_key(key))
    }

    fn put_checkpoint(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.checkpoints().insert(key.into(), bytes.into());
        Ok(())
    }

    fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.checkpoints().get(key).cloned())
    }

    fn drop_checkpoint(&self, key: &str) -> Result<()> {
        self.checkpoints().remove(key);
        Ok(())
    }
}

/// A thread that panicked elsewhere cannot have left a map half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
