//! Named byte strings that several processes share: the ground of the stores that outlive a process.
use crate::{Error, Result};

/// Named byte strings ("blobs") that several processes on several machines can read and write at the same time: the files
/// of a directory, the objects of a bucket.
///
/// Every operation is atomic: a reader sees a whole blob or none. [`write_new`](Self::write_new) is the one operation on which
/// processes agree: of several that write a new blob of one name at the same time, exactly one is told that it did.
///
/// Names have 1 to 220 letters, digits, `-`, `_` and `.`, without a `.` at the start, and no folders.
pub trait Blobs: Send + Sync {
    /// The blob under `name`, or `None`.
    ///
    /// # Errors
    /// When the name is not one, or the blob cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Keeps `bytes` under `name`, in place of an earlier blob.
    ///
    /// # Errors
    /// When the name is not one, or the blob cannot be written.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Keeps `bytes` under `name` if there is no blob of this name yet. Returns whether it did.
    ///
    /// # Errors
    /// When the name is not one, or the blob cannot be written.
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// Whether there is a blob under `name`.
    ///
    /// # Errors
    /// When the name is not one, or that cannot be found out.
    fn exists(&self, name: &str) -> Result<bool>;

    /// The names of all blobs that begin with `prefix`, sorted. The prefix may be empty.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes the blob under `name`, if there is one.
    ///
    /// # Errors
    /// When the name is not one, or the blob cannot be removed.
    fn remove(&self, name: &str) -> Result<()>;

    /// Where the blob `name` is, for errors and tables: a path or an address without credentials.
    fn locate(&self, name: &str) -> String;
}

/// Checks that `name` can be the name of a blob. Such a name cannot lead to a file elsewhere.
pub(crate) fn check_name(name: &str) -> Result<()> {
    check_plain("the name of a blob", name, 220)
}

/// Checks that a text can be a name or a part of one, of at most so many characters.
pub(crate) fn check_plain(what: &str, text: &str, most: usize) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=most).contains(&text.len()) || text.starts_with('.') || !text.chars().all(plain) {
        let must = format!("1 to {most} letters, digits, '-', '_' and '.', without a '.' at the start");
        return Err(Error::invalid(what, must, format!("{text:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::store::{DirectoryStore, MemoryStore, Store};

    #[test]
    fn blobs_are_kept_listed_and_removed_and_of_several_writers_one_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DirectoryStore::new(folder.path()).unwrap();
        for store in [&directory as &dyn Store, &MemoryStore::new()] {
            let blobs = store.blobs().unwrap();
            assert_eq!(blobs.read("a.lease").unwrap(), None);
            blobs.write("a.lease", b"1").unwrap();
            blobs.write("a.lease", b"2").unwrap();
            assert_eq!(blobs.read("a.lease").unwrap().unwrap(), b"2");
            let first = std::thread::scope(|scope| {
                let put = |k: u8| scope.spawn(move || blobs.write_new("b", &[k]).unwrap());
                let all: Vec<_> = (0..8).map(put).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(first.iter().filter(|first| **first).count(), 1);
            let winner = first.iter().position(|first| *first).unwrap() as u8;
            assert_eq!(blobs.read("b").unwrap().unwrap(), [winner]);
            assert_eq!(blobs.list("").unwrap(), ["a.lease", "b"]);
            assert_eq!(blobs.list("a").unwrap(), ["a.lease"]);
            blobs.remove("b").unwrap();
            blobs.remove("b").unwrap();
            assert!(!blobs.exists("b").unwrap() && blobs.exists("a.lease").unwrap());
            for name in ["", ".a", "../a", "a/b", "a\\b", &"x".repeat(221)] {
                assert!(blobs.read(name).is_err() && blobs.write_new(name, b"").is_err(), "{name:?}");
                assert!(blobs.write(name, b"").is_err() && blobs.remove(name).is_err(), "{name:?}");
                assert!(blobs.exists(name).is_err(), "{name:?}");
            }
        }
    }
}
