//! PyTorch's files: a pickle, which says what the tensors are, and the bytes of each storage.
//!
//! Nothing of the pickle is carried out ([`pickle`](super::pickle)). Of its values the tensors are read, and all
//! others are left: numbers, texts and objects of any class. The pickle and the storages are the files of a zip archive
//! (`archive`), or follow each other (`pickles`).
mod archive;
mod pickles;
mod rebuild;

pub(super) use archive::archive;
pub(super) use pickles::pickles;

use crate::files::{
    header::FormatError,
    pickle::{Pickle, Value, CUT_SHORT},
    stored::StoredTensor,
};
use std::{collections::BTreeMap, ops::Range};

/// The most keys that are searched, and that are shown, for an error.
const SEARCHED: usize = 100;

/// A file of either form.
pub(super) struct TorchFile {
    pickle: Pickle,
    /// Where the bytes of each storage are.
    storages: BTreeMap<String, Range<usize>>,
}

/// The tensors of a file by name, with their positions in it. They are those of the dictionary at the top of the
/// pickle, or of the dictionary that it has under `key`.
pub(super) fn contents(
    file: TorchFile,
    key: Option<&str>,
) -> Result<BTreeMap<String, StoredTensor>, FormatError> {
    file.tensors(key).map_err(FormatError::foreign)
}

/// Why a pickle cannot be read.
fn unread(why: String) -> FormatError {
    match why == CUT_SHORT {
        true => FormatError::Damaged("it is cut short".into()),
        false => FormatError::foreign(why),
    }
}

impl TorchFile {
    fn tensors(&self, key: Option<&str>) -> Result<BTreeMap<String, StoredTensor>, String> {
        let top = self.named(self.pickle.top).ok_or_else(|| self.no_dictionary())?;
        let items = match key {
            None | Some("") => top,
            Some(key) => self.find(&top, key).ok_or_else(|| {
                let keys = or_none(self.keys(&top));
                format!("it has no dictionary {key:?}; those with tensors are: {keys}")
            })?,
        };
        let mut tensors = BTreeMap::new();
        for (name, value) in &items {
            if let Some(tensor) = self.tensor(*value) {
                let tensor = tensor.map_err(|why| format!("its tensor {name:?} {why}"))?;
                tensors.insert((*name).to_string(), tensor);
            }
        }
        // Such as the state of a generator of random numbers, beside the dictionary of a network.
        if tensors.is_empty() || (key.is_none() && self.most(&items) > tensors.len()) {
            let count = if tensors.is_empty() { "no".into() } else { format!("only {}", tensors.len()) };
            let place = if key.is_some() { "under this key" } else { "at its top" };
            let inside = |name| match key {
                Some(key) if !key.is_empty() => format!("{key}.{name}"),
                _ => name,
            };
            return Err(format!(
                "it has {count} tensors {place}; the keys whose dictionaries have some are: {} (StateDict::open_key)",
                or_none(self.keys(&items).into_iter().map(inside))
            ));
        }
        Ok(tensors)
    }

    /// The dictionary under a key, or under keys with dots between them, one inside the other.
    fn find<'p>(&'p self, items: &[(&'p str, Value)], key: &str) -> Option<Vec<(&'p str, Value)>> {
        let under = |key: &str| {
            let found = items.iter().find(|(name, _)| *name == key);
            found.and_then(|(_, value)| self.named(*value))
        };
        let inside = |(at, _): (usize, &str)| self.find(&under(key.get(..at)?)?, key.get(at + 1..)?);
        under(key).or_else(|| key.match_indices('.').find_map(inside))
    }

    /// The keys of dictionaries with tensors, and of those in dictionaries without.
    fn keys(&self, items: &[(&str, Value)]) -> Vec<String> {
        let mut keys: Vec<String> = self.dictionaries(items).map(|(key, _)| key).collect();
        keys.dedup();
        keys.truncate(SEARCHED);
        keys
    }

    /// The most tensors that one of these dictionaries has.
    fn most(&self, items: &[(&str, Value)]) -> usize {
        self.dictionaries(items).map(|(_, count)| count).max().unwrap_or(0)
    }

    /// The dictionaries with tensors, and those in dictionaries without, with their keys and the numbers of their tensors.
    fn dictionaries(&self, items: &[(&str, Value)]) -> impl Iterator<Item = (String, usize)> {
        items.iter().take(SEARCHED).flat_map(|(name, value)| match self.count(*value) {
            0 => {
                let inner = self.named(*value).unwrap_or_default().into_iter().take(SEARCHED);
                let counted = inner.map(|(inner, value)| (format!("{name}.{inner}"), self.count(value)));
                counted.filter(|(_, count)| *count > 0).collect::<Vec<_>>()
            }
            count => vec![((*name).to_string(), count)],
        })
    }

    /// The items of a dictionary that have a name.
    fn named(&self, value: Value) -> Option<Vec<(&str, Value)>> {
        let items = self.pickle.dict(value)?.iter();
        Some(items.filter_map(|(name, value)| Some((self.pickle.text(*name)?, *value))).collect())
    }

    /// The number of tensors with a name among the first items of a dictionary.
    fn count(&self, value: Value) -> usize {
        let items = self.pickle.dict(value).unwrap_or_default().iter().take(SEARCHED);
        let is_named = |name: &Value| self.pickle.text(*name).is_some();
        items.filter(|(name, value)| is_named(name) && self.tensor(*value).is_some()).count()
    }

    fn no_dictionary(&self) -> String {
        let top = self.pickle.top;
        let what = match (self.tensor(top), self.pickle.call(top), self.pickle.sequence(top)) {
            (Some(_), ..) => "a single tensor".into(),
            (_, Some(((module, name), _)), _) => format!("an object of {module}.{name}"),
            (.., Some(_)) => "a list".into(),
            _ => "an object".into(),
        };
        format!("it holds {what} in place of a dictionary of tensors; save model.state_dict()")
    }
}

fn or_none(keys: impl IntoIterator<Item = String>) -> String {
    let keys: Vec<String> = keys.into_iter().map(|key| format!("{key:?}")).collect();
    match keys.is_empty() {
        true => "none".into(),
        false => keys.join(", "),
    }
}
