//! Writing of held-out predictions slot by slot.
use crate::{
    data::Task,
    kernels::bytes::bytes_of,
    predictions::on_disk::{
        about_rows::AboutRows,
        chunks::{OpenChunk, Out},
        layout::{Index, ALIGN},
        writer::default_rows,
        HeldOutFile,
    },
    Result, Seed,
};
use std::path::{Path, PathBuf};

/// Writes a [`HeldOutFile`] slot by slot, where the rows are known before. A slot's predictions go to all chunks, which is
/// a whole stretch of each, so that nothing is to be transposed.
pub(crate) struct SlotWriter {
    path: PathBuf,
    out: Out,
    index: Index,
    chunks: Vec<OpenChunk>,
    rows: AboutRows,
}

/// What a file of held-out predictions of a pool is about.
pub(crate) struct About {
    pub(crate) task: Task,
    /// Whether predictions are f64.
    pub(crate) wide: bool,
    pub(crate) names: Vec<String>,
    pub(crate) costs: Vec<f64>,
    pub(crate) seed: Seed,
    pub(crate) total_rows: usize,
    /// Whether some predictions are missing.
    pub(crate) partial: bool,
}

impl SlotWriter {
    /// Begins a file of these rows that is to be put at `path`.
    pub(crate) fn create(path: &Path, about: About, rows: AboutRows) -> Result<Self> {
        let About { task, wide, names, costs, seed, total_rows, partial } = about;
        let slots = names.len();
        let index = Index {
            task,
            wide,
            names,
            named: true,
            costs,
            seed,
            total_rows,
            weighted: rows.weights.is_some(),
            grouped: rows.groups.is_some(),
            counts: vec![],
            chunks: vec![],
        };
        let of_row = slots.saturating_mul(task.width()).saturating_mul(index.size());
        let (capacity, all) = (default_rows(of_row), rows.numbers.len());
        let (mut chunks, mut end) = (vec![], ALIGN);
        for first in (0..all).step_by(capacity) {
            let chunk = OpenChunk::new(&index, end, capacity.min(all - first), partial)?;
            end = chunk.end();
            chunks.push(chunk);
        }
        Ok(Self { out: Out::create(path)?, path: path.to_owned(), index, chunks, rows })
    }

    /// Writes the predictions of the next slot: sums `(R, C)` over its members, and how many of these predict each row.
    pub(crate) fn put(&mut self, sums: &[f64], counts: &[f32]) -> Result<()> {
        let width = self.index.task.width();
        let mean = |i: usize, sum: f64| if counts[i / width] > 0. { sum } else { 0. };
        let covered: Vec<f32> = counts.iter().map(|n| f32::from(u8::from(*n > 0.))).collect();
        self.index.counts.push(covered.iter().filter(|x| **x > 0.).count() as u64);
        let mut first = 0;
        for chunk in &mut self.chunks {
            let (rows, from) = (first..first + chunk.rows(), first * width);
            let means = sums[from..rows.end * width].iter().enumerate().map(|(i, sum)| mean(from + i, *sum));
            let there = bytes_of(&covered[rows.clone()]);
            match self.index.wide {
                true => chunk.put_slot(&self.out, bytes_of(&means.collect::<Vec<f64>>()), there)?,
                false => {
                    let means: Vec<f32> = means.map(|x| x as f32).collect();
                    chunk.put_slot(&self.out, bytes_of(&means), there)?;
                }
            }
            first = rows.end;
        }
        Ok(())
    }

    /// Writes what is known of the rows and puts the file at its path.
    pub(crate) fn finish(mut self) -> Result<HeldOutFile> {
        let (mut first, mut end) = (0, ALIGN);
        for chunk in self.chunks {
            let rows = first..first + chunk.rows();
            (first, end) = (rows.end, chunk.end());
            self.index.chunks.push(chunk.close(&self.out, &self.rows, rows)?);
        }
        self.out.finish(&self.index, end)?;
        HeldOutFile::open(&self.path)
    }
}
