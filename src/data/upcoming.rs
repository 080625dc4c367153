//! Tells a data set which rows are read next.
use crate::data::Dataset;

/// A pass over rows in their order, of which the data set is told some way ahead.
pub(crate) struct Upcoming<'a> {
    data: &'a dyn Dataset,
    /// How many rows ahead of those that are being read it is told.
    distance: usize,
    /// How many rows it has been told.
    told: usize,
}

impl<'a> Upcoming<'a> {
    pub(crate) fn new(data: &'a dyn Dataset) -> Self {
        Self { data, distance: data.read_ahead_rows(), told: 0 }
    }

    /// Before the rows up to position `end` are read. Each row is told once.
    pub(crate) fn before(&mut self, rows: &[u32], end: usize) {
        if self.distance == 0 {
            return;
        }
        let until = end.saturating_add(self.distance).min(rows.len());
        if let Some(ahead) = rows.get(self.told..until).filter(|ahead| !ahead.is_empty()) {
            self.data.read_ahead(ahead);
            self.told = until;
        }
    }
}
