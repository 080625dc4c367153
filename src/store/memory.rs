//! In memory.
use super::Store;
use crate::{Member, Result};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps members in memory, as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Member>>);

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        // A thread that panicked elsewhere cannot have left the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
}
