//! Stores: where members and the checkpoints of unfinished runs are kept.
//!
//! A [`Member`] is data: named tensors and a [`Record`] of which rows shaped it. A [`Store`] keeps members by
//! key: [`MemoryStore`] for as long as the process runs, [`DirectoryStore`] on disk, where an interrupted
//! build resumes from and several processes can share the work, and `ObjectStore` (feature `object-store`) in object
//! storage, where processes on several machines can. The key is a hash of everything that
//! determines the member's bytes, so a store never returns a member of another plan, data set or learner.
mod blobs;
pub(crate) mod checkpoint;
mod directory;
mod layout;
pub(crate) mod lease;
pub(crate) mod listing;
mod manifest;
pub(crate) mod member;
mod member_file;
mod memory;
mod monitors;
#[cfg(feature = "object-store")]
mod object;
mod status;

pub use blobs::Blobs;
pub use checkpoint::{Checkpoint, Checkpoints};
pub(crate) use directory::read_file;
pub use directory::DirectoryStore;
pub use manifest::Manifest;
pub use member::{EpochRecord, InNetwork, Member, Record, Seen};
pub(crate) use member_file::read as read_member;
pub use memory::MemoryStore;
pub use monitors::{Monitors, VariableRecord};
#[cfg(feature = "object-store")]
#[cfg_attr(docsrs, doc(cfg(feature = "object-store")))]
pub use object::{ObjectStore, ObjectStoreOptions};
pub(crate) use status::RunKeys;
pub use status::{Checkpointed, Failure, RunNumbers, Status, UnderWay};

use crate::Result;

/// Keeps members by key, and checkpoints of unfinished runs. Two processes may put the same key, because both
/// put the same bytes.
pub trait Store: Sync {
    /// Called before anything is trained, with the manifest of the build: plan, data, learner and networks. A
    /// store that outlives the process keeps the first manifest that it is given.
    ///
    /// # Errors
    /// When the store holds members of another data set, plan, learner or network; the error says which of
    /// them differs.
    fn open(&self, _manifest: &Manifest<'_>) -> Result<()> {
        Ok(())
    }

    /// Keeps `member` under the key of its record, atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put(&self, member: Member) -> Result<()>;

    /// The member under `key`, or `None`.
    ///
    /// # Errors
    /// When there is a member, but it cannot be read or has another key.
    fn get(&self, key: &str) -> Result<Option<Member>>;

    /// Whether there is a member under `key`, readable or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// Keeps the state of an unfinished run under `key`, atomically, in place of an earlier one. Keys of
    /// checkpoints and keys of members are separate. The default keeps no checkpoints.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put_checkpoint(&self, _key: &str, _checkpoint: &Checkpoint) -> Result<()> {
        Ok(())
    }

    /// The checkpoint under `key`, or `None`.
    ///
    /// # Errors
    /// When there is a checkpoint, but it cannot be read or has changed since it was put.
    fn checkpoint(&self, _key: &str) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    /// Removes the checkpoint under `key`, if it exists.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn drop_checkpoint(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    /// The blobs that lie beside the members, through which processes that share the store find each other. Their list also
    /// has each member as `KEY.safetensors` and each checkpoint as `KEY.checkpoint`. The default is that there are none, so
    /// that processes cannot take runs from the store.
    fn blobs(&self) -> Option<&dyn Blobs> {
        None
    }
}
