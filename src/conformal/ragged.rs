//! Lists of different lengths in one piece of memory.
use serde::{Deserialize, Serialize};

/// Lists of different lengths, one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ragged<T> {
    items: Vec<T>,
    lengths: Vec<usize>,
}

impl<T> Ragged<T> {
    pub(super) fn new() -> Self {
        Self { items: Vec::new(), lengths: Vec::new() }
    }

    /// Adds a list behind the others.
    pub(super) fn push(&mut self, list: impl IntoIterator<Item = T>) {
        let before = self.items.len();
        self.items.extend(list);
        self.lengths.push(self.items.len() - before);
    }

    /// Number of lists.
    pub(super) fn lists(&self) -> usize {
        self.lengths.len()
    }

    /// All items, list by list.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// The lists, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[T]> {
        let mut rest = self.items.as_slice();
        self.lengths.iter().filter_map(move |length| {
            let (list, behind) = rest.split_at_checked(*length)?;
            rest = behind;
            Some(list)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_in_their_order() {
        let mut lists = Ragged::new();
        for list in [vec![1, 2], vec![], vec![3]] {
            lists.push(list);
        }
        assert_eq!(lists.iter().collect::<Vec<_>>(), [&[1, 2][..], &[], &[3]]);
        assert_eq!((lists.lists(), lists.items()), (3, &[1, 2, 3][..]));
    }
}
