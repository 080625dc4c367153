//! Where members are kept; one place a file.
pub(crate) mod checkpoint;
mod directory;
mod manifest;
pub(crate) mod member;
mod member_file;
mod memory;

pub use checkpoint::{Checkpoint, Checkpoints};
pub(crate) use directory::read_file;
pub use directory::DirectoryStore;
pub use manifest::Manifest;
pub use member::{EpochRecord, Member, Record};
pub(crate) use member_file::check_record;
pub use memory::MemoryStore;

use crate::Result;

/// Keeps members by key, and what unfinished runs left to go on from. Two processes may put the same key: both
/// then hold the same bytes.
pub trait Store: Sync {
    /// Called before anything is trained, with what the store is to hold the members of. A store that outlives
    /// the process keeps the first manifest it is given.
    ///
    /// # Errors
    /// When the store was made for another data set, plan, learner or network: the error says which.
    fn open(&self, _manifest: &Manifest<'_>) -> Result<()> {
        Ok(())
    }

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

    /// Whether there is one, be it readable or not.
    ///
    /// # Errors
    /// When that cannot be told.
    fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// Keeps the state of an unfinished run under `key`, whole or not at all, in place of what was
    /// there. Keys of checkpoints and of members are apart. A store that keeps none leaves this as it is.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn put_checkpoint(&self, _key: &str, _checkpoint: &Checkpoint) -> Result<()> {
        Ok(())
    }

    /// The checkpoint under `key`, or `None`.
    ///
    /// # Errors
    /// When there is one, but it cannot be read or is not what was put.
    fn checkpoint(&self, _key: &str) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    /// Removes the checkpoint under `key`, if there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn drop_checkpoint(&self, _key: &str) -> Result<()> {
        Ok(())
    }
}
