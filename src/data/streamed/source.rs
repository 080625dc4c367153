//! What a format of files has to do: read some rows of some columns.
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use std::{ops::Range, sync::Arc};

/// A column of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type in which it is read.
    pub(super) dtype: DType,
    /// The dimensions of a row: none for a single value.
    pub(super) row: Vec<usize>,
    /// The texts that its values number, if they are categories.
    pub(super) categories: Option<Vec<String>>,
    /// Why it cannot be read, as the three parts of an error.
    pub(super) fault: Option<[String; 3]>,
}

impl Column {
    /// A column of numbers.
    pub(super) fn new(name: String, dtype: DType, row: Vec<usize>) -> Self {
        Self { name, dtype, row, categories: None, fault: None }
    }
}

/// Columns of rows in files.
pub(super) trait Source: Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    fn columns(&self) -> &[Column];

    /// Whether a row is found without reading others.
    fn is_direct(&self) -> bool;

    /// The least number of rows that are worth reading at a time.
    fn least_block(&self) -> usize {
        1
    }

    /// These columns of these rows, which exist: one tensor for each column, with rows along dimension 0, on the CPU.
    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Tensor>>;
}

/// The columns of several sources with the same rows.
pub(super) struct Beside {
    sources: [Arc<dyn Source>; 2],
    columns: Vec<Column>,
}

impl Beside {
    pub(super) fn new(first: Arc<dyn Source>, second: Arc<dyn Source>) -> Result<Self> {
        if first.rows() != second.rows() {
            let must = format!("{}, as those before them have", first.rows());
            return Err(Error::invalid("the number of rows of the files beside others", must, second.rows()));
        }
        let (known, others) = (first.columns(), second.columns());
        if let Some(twice) = others.iter().find(|column| known.iter().any(|of| of.name == column.name)) {
            return Err(Error::invalid(
                "the names of columns of files beside others",
                "different from theirs",
                &twice.name,
            ));
        }
        let columns = [known, others].concat();
        Ok(Self { sources: [first, second], columns })
    }
}

impl Source for Beside {
    fn rows(&self) -> usize {
        self.sources[0].rows()
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_direct(&self) -> bool {
        self.sources.iter().all(|source| source.is_direct())
    }

    fn least_block(&self) -> usize {
        self.sources.iter().map(|source| source.least_block()).max().unwrap_or(1)
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Tensor>> {
        let [first, second] = &self.sources;
        let own = first.columns().len();
        let of = |part: &dyn Fn(&usize) -> Option<usize>| columns.iter().filter_map(part).collect::<Vec<_>>();
        let (left, right) = (of(&|at| Some(*at).filter(|at| *at < own)), of(&|at| at.checked_sub(own)));
        let read = |source: &Arc<dyn Source>, columns: &[usize]| match columns {
            [] => Ok(vec![]),
            _ => source.read(rows.clone(), columns),
        };
        let (mut left, mut right) = (read(first, &left)?.into_iter(), read(second, &right)?.into_iter());
        Ok(columns.iter().filter_map(|at| if *at < own { left.next() } else { right.next() }).collect())
    }
}

/// The parts of shards that have these rows: the number of the shard, and its rows. `starts` has the first row of each shard,
/// and the number of all rows at last.
pub(super) fn in_shards(starts: &[usize], rows: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let first = starts.partition_point(|start| *start <= rows.start).saturating_sub(1);
    let shards = starts.windows(2).enumerate().skip(first);
    shards.map_while(move |(shard, ends)| {
        let &[start, end] = ends else { return None };
        let part = rows.start.max(start)..rows.end.min(end);
        (start < rows.end).then(|| (shard, part.start - start..part.end.saturating_sub(start)))
    })
}

/// The first row of each shard, and the number of all rows at last.
pub(super) fn starts(rows: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut starts = vec![0];
    let mut total = 0usize;
    for rows in rows {
        total = total.saturating_add(rows);
        starts.push(total);
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_their_shards() {
        let starts = starts([3, 0, 4, 1]);
        let of = |rows| in_shards(&starts, rows).filter(|(_, rows)| !rows.is_empty()).collect::<Vec<_>>();
        assert_eq!(of(0..8), [(0, 0..3), (2, 0..4), (3, 0..1)]);
        assert_eq!(of(2..4), [(0, 2..3), (2, 0..1)]);
        assert_eq!(of(3..4), [(2, 0..1)]);
        assert_eq!(of(6..8), [(2, 3..4), (3, 0..1)]);
        assert_eq!(of(7..8), [(3, 0..1)]);
        assert_eq!(of(4..4), []);
    }
}
