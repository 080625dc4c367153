//! What a store holds, from one list of its names.
use crate::{
    store::{checkpoint, lease, Blobs, Store},
    Error, Result,
};
use std::collections::{BTreeMap, HashSet};

/// The names in a store, sorted by what they name. One list costs an object store a request for each 1000 names.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    names: usize,
    members: HashSet<String>,
    checkpoints: HashSet<String>,
    failed: HashSet<String>,
    /// The generations of the leases of each run, by its key.
    leases: BTreeMap<String, Vec<u32>>,
}

impl Listing {
    /// Lists what the store holds.
    pub(crate) fn of(blobs: &dyn Blobs) -> Result<Self> {
        Ok(Self::new(blobs.list("")?))
    }

    fn new(names: Vec<String>) -> Self {
        let mut listing = Self { names: names.len(), ..Self::default() };
        for name in names {
            if let Some(key) = name.strip_suffix(".safetensors") {
                listing.members.insert(key.into());
            } else if let Some(key) = name.strip_suffix(".checkpoint") {
                listing.checkpoints.insert(key.into());
            } else if let Some(key) = name.strip_suffix(".failed") {
                listing.failed.insert(key.into());
            } else if let Some((key, generation)) = lease::parse(&name) {
                listing.leases.entry(key.into()).or_default().push(generation);
            }
        }
        listing
    }

    /// Number of names.
    pub(crate) fn names(&self) -> usize {
        self.names
    }

    /// Whether all members with these keys are there.
    pub(crate) fn has_members<'k>(&self, keys: impl IntoIterator<Item = &'k String>) -> bool {
        keys.into_iter().all(|key| self.members.contains(key))
    }

    /// Whether there is a checkpoint of the run with this key.
    pub(crate) fn has_checkpoint(&self, key: &str) -> bool {
        self.checkpoints.contains(&checkpoint::key(key))
    }

    /// Whether the run with this key failed.
    pub(crate) fn has_failed(&self, key: &str) -> bool {
        self.failed.contains(key)
    }

    /// The highest generation of the lease of the run with this key; 0 where there is none.
    pub(crate) fn generation(&self, key: &str) -> u32 {
        self.leases.get(key).and_then(|all| all.iter().max()).copied().unwrap_or(0)
    }

    /// Removes what is left over of the leases and failures of a run that is done.
    pub(crate) fn sweep(&self, blobs: &dyn Blobs, key: &str) -> Result<()> {
        for generation in self.leases.get(key).into_iter().flatten() {
            blobs.remove(&lease::name(key, *generation))?;
        }
        match self.has_failed(key) {
            true => blobs.remove(&lease::failure_name(key)),
            false => Ok(()),
        }
    }
}

/// The blobs of a store; an error for `who` where it has none.
pub(crate) fn required_blobs<'s>(store: &'s dyn Store, who: &str) -> Result<&'s dyn Blobs> {
    let must = "one that several processes find each other through (Store::blobs), such as a DirectoryStore";
    store.blobs().ok_or_else(|| Error::invalid(format!("the store for {who}"), must, "one without blobs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn names_are_sorted_by_what_they_name_and_leftovers_are_swept() {
        let store = MemoryStore::new();
        for name in ["a.lease-000002", "a.lease-000001", "b.lease-000001", "a.failed", "other", "lease-1"] {
            store.write(name, b"").unwrap();
        }
        let listing = Listing::of(&store).unwrap();
        assert_eq!(listing.names(), 6);
        assert_eq!([listing.generation("a"), listing.generation("b"), listing.generation("c")], [2, 1, 0]);
        assert!(listing.has_failed("a") && !listing.has_failed("b"));
        listing.sweep(&store, "a").unwrap();
        assert_eq!(store.list("").unwrap(), ["b.lease-000001", "lease-1", "other"]);

        let names = ["k.safetensors", "k-checkpoint.checkpoint"].map(String::from).to_vec();
        let listing = Listing::new(names);
        assert!(listing.has_members([&"k".to_string()]) && listing.has_checkpoint("k"));
        assert!(!listing.has_members([&"k".to_string(), &"l".into()]) && !listing.has_checkpoint("l"));
    }
}
