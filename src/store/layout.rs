//! The layout of a store that outlives its process: the names of its files, their content, and the checks of what is
//! read. A directory and a bucket share it, so that each can be copied to the other.
use crate::{
    files::{header::FormatError, TensorFile},
    store::{blobs, manifest, member_file, Blobs, Checkpoint, Manifest},
    Error, Member, Result,
};

/// The name of the manifest.
pub(crate) const MANIFEST: &str = "plan.bin";

/// Where the files of such a store are. Each is read whole and written atomically.
pub(crate) trait Files: Blobs {
    /// Where they all are, for errors.
    fn place(&self) -> String;

    /// What `read` makes of a file; `None` where there is none. Every error names the file.
    fn read_with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Result<T, FormatError>,
    ) -> Result<Option<T>>;

    /// Writes a file of tensors, in place of an earlier one.
    fn write_tensors(&self, name: &str, file: &TensorFile) -> Result<()>;
}

/// The manifest of the first build; `None` before it.
pub(crate) fn manifest(files: &impl Files) -> Result<Option<Manifest<'static>>> {
    files.read_with(MANIFEST, manifest::read)
}

/// Writes the manifest, or compares it with the one that is there. Returns whether it was written.
pub(crate) fn open(files: &impl Files, manifest: &Manifest<'_>) -> Result<bool> {
    let bytes = manifest.to_bytes()?;
    // Of two processes that start at the same time, one writes and the other compares.
    if !files.exists(MANIFEST)? && files.write_new(MANIFEST, &bytes)? {
        return Ok(true);
    }
    let read = |there: &[u8]| match there == bytes {
        true => Ok(None),
        false => manifest::read(there).map(Some),
    };
    // `None` where the file has just been removed, by someone who removes the store.
    match files.read_with(MANIFEST, read)?.flatten().map(|there| manifest.differs(&there)) {
        None | Some(None) => Ok(false),
        Some(Some(why)) => Err(Error::Foreign { what: format!("the store {}", files.place()), why }),
    }
}

/// Writes a member under the key of its record.
pub(crate) fn put(files: &impl Files, member: &Member) -> Result<()> {
    files.write_tensors(&of_member(&member.record.key)?, &member.to_file()?)
}

/// The member under `key`, or `None`.
pub(crate) fn get(files: &impl Files, key: &str) -> Result<Option<Member>> {
    files.read_with(&of_member(key)?, |bytes| {
        let member = member_file::read(bytes)?;
        match member.record.key == key {
            true => Ok(member),
            false => Err(FormatError::foreign(format!("it holds the member {:?}", member.record.key))),
        }
    })
}

/// Whether there is a member under `key`.
pub(crate) fn contains(files: &impl Files, key: &str) -> Result<bool> {
    files.exists(&of_member(key)?)
}

/// Writes a checkpoint under `key`.
pub(crate) fn put_checkpoint(files: &impl Files, key: &str, checkpoint: &Checkpoint) -> Result<()> {
    files.write_tensors(&of_checkpoint(key)?, &checkpoint.to_file(key)?)
}

/// The checkpoint under `key`, or `None`.
pub(crate) fn checkpoint(files: &impl Files, key: &str) -> Result<Option<Checkpoint>> {
    files.read_with(&of_checkpoint(key)?, |bytes| Checkpoint::read(key, bytes))
}

/// Removes the checkpoint under `key`, if there is one.
pub(crate) fn drop_checkpoint(files: &impl Files, key: &str) -> Result<()> {
    files.remove(&of_checkpoint(key)?)
}

fn of_member(key: &str) -> Result<String> {
    named(key, "safetensors")
}

fn of_checkpoint(key: &str) -> Result<String> {
    named(key, "checkpoint")
}

/// The name of a file; an error for keys that could name a file elsewhere.
fn named(key: &str, extension: &str) -> Result<String> {
    blobs::check_plain("a key", key, 200)?;
    Ok(format!("{key}.{extension}"))
}
