//! Where members are kept; one place a file.
mod format;
mod memory;

pub use memory::MemoryStore;

use crate::{Member, Result};

/// Keeps members by key. Two processes may put the same key: both then hold the same bytes.
pub trait Store: Sync {
    /// Keeps `member` under its record's key, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn put(&self, member: Member) -> Result<()>;

    /// The member under `key`, or `None`.
    ///
    /// # Errors
    /// When there is one, but it cannot be read or is not what the key says.
    fn get(&self, key: &str) -> Result<Option<Member>>;

    /// Keeps the state of a run that is under way, instead of an earlier one.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn put_checkpoint(&self, key: &str, bytes: &[u8]) -> Result<()>;

    /// The state of a run that was under way, or `None`.
    ///
    /// # Errors
    /// When there is one, but it cannot be read.
    fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Forgets the state of a run, if there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn drop_checkpoint(&self, key: &str) -> Result<()>;

    /// Whether there is one.
    ///
    /// # Errors
    /// When that cannot be told.
    fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }
}
