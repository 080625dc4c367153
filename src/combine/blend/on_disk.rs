//! What blending reads of held-out predictions on disk.
use crate::{
    combine::{
        blend::{
            matrix::{Block, SlotMatrix},
            simplex_squares::targets_of_cells,
        },
        file_rows::{truth_of, weights_of},
    },
    files::{failed, map::Mapped, scratch},
    kernels::{
        bytes::{bytes_of, numbers_of},
        float::Number,
    },
    predictions::on_disk::ChunkView,
    threads::wide,
    Error, HeldOutFile, Result,
};
use rayon::prelude::*;
use std::{io::Write, ops::Range, path::PathBuf};

/// A block of a scratch file has so many bytes at most, unless it is that of one chunk. Tests have several blocks.
const BLOCK_BYTES: usize = if cfg!(test) { 1 << 11 } else { 32 << 20 };

/// A matrix of so few bytes stays in memory, as a chunk does: to release and to read it again takes longer than to compute
/// with it. Tests release all.
const KEPT_BYTES: usize = if cfg!(test) { 0 } else { 64 << 20 };

/// The slots that predict some row. The others get the weight 0.
pub(crate) fn known_slots(file: &HeldOutFile) -> Vec<usize> {
    (0..file.slots()).filter(|slot| file.counts()[*slot] > 0).collect()
}

/// The predictions of these slots, of type `T`, with one block for each chunk of the file.
pub(crate) fn file_matrix<'a, T: Number>(
    file: &'a HeldOutFile,
    slots: &'a [usize],
) -> Result<SlotMatrix<'a, T>> {
    let width = file.task().width();
    let bytes = file.views().map(|view| view.mapped().1.len()).sum::<usize>();
    let block = |view: ChunkView<'a>| {
        let values = view.values::<T>()?;
        view.release();
        let mapped = (bytes > KEPT_BYTES).then(|| view.mapped());
        Ok(Block::of_file(values, view.rows() * width, Some(slots), mapped))
    };
    Ok(SlotMatrix::of_blocks(slots.len(), file.views().map(block).collect::<Result<_>>()?))
}

/// Numbers `(S, R)` of slots for rows, in a file without a name beside that of the predictions.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    mapped: Mapped,
    slots: usize,
    /// The number of chunks of the predictions in a block.
    chunks: usize,
    /// The rows of each block.
    blocks: Vec<usize>,
}

impl Scratch {
    /// The probability of the true class by each of these slots for each row, at least `floor`; 0 where it is missing.
    pub(crate) fn of_true_classes(file: &HeldOutFile, slots: &[usize], floor: f32) -> Result<Self> {
        let bytes = file.views().map(|view| view.rows() * slots.len() * 4).max().unwrap_or(1);
        Self::write(file, slots, (BLOCK_BYTES / bytes.max(1)).max(1), |view| {
            let (all, covered, classes) =
                (view.values::<f32>()?, view.covered()?, view.about_rows()?.classes);
            let (rows, width) = (view.rows(), file.task().width());
            Ok(move |slot: usize, out: &mut [f32]| {
                let predicted = all[slot * rows * width..(slot + 1) * rows * width].chunks_exact(width);
                for (row, (out, (predicted, class))) in
                    out.iter_mut().zip(predicted.zip(&classes)).enumerate()
                {
                    let there = covered.is_none_or(|covered| covered[slot * rows + row] > 0.);
                    *out = match there {
                        true => predicted.get(*class as usize).map_or(f32::NAN, |p| p.clamp(floor, 1.)),
                        false => 0.,
                    };
                }
            })
        })
    }

    /// 1 where a slot predicts a row, else 0; `None` where no prediction is missing.
    pub(crate) fn of_coverage(file: &HeldOutFile, slots: &[usize], chunks: usize) -> Result<Option<Self>> {
        let all = || {
            Self::write(file, slots, chunks, |view| {
                let (covered, rows) = (view.covered()?, view.rows());
                Ok(move |slot: usize, out: &mut [f32]| match covered {
                    Some(covered) => out.copy_from_slice(&covered[slot * rows..(slot + 1) * rows]),
                    None => out.fill(1.),
                })
            })
        };
        file.is_partial().then(all).transpose()
    }

    /// The number of chunks of the predictions in a block.
    pub(crate) fn chunks_a_block(&self) -> usize {
        self.chunks
    }

    /// The numbers as a matrix, of one cell a row.
    pub(crate) fn matrix(&self) -> Result<SlotMatrix<'_, f32>> {
        let mut start = 0;
        let block = |rows: &usize| {
            let bytes: Range<usize> = start..start + self.slots * rows * 4;
            start = bytes.end;
            let values = self.mapped.bytes().get(bytes.clone()).and_then(numbers_of::<f32>);
            let must = "the size that it was written with";
            let values = values.ok_or_else(|| {
                Error::invalid(
                    format!("the scratch file beside {}", self.path.display()),
                    must,
                    "another one",
                )
            })?;
            let mapped = (self.mapped.bytes().len() > KEPT_BYTES).then_some((&self.mapped, bytes));
            Ok(Block::of_file(values, *rows, None, mapped))
        };
        Ok(SlotMatrix::of_blocks(self.slots, self.blocks.iter().map(block).collect::<Result<_>>()?))
    }

    /// Writes the numbers block by block. `of_chunk` gives what fills the numbers of a slot for the rows of a chunk.
    fn write<'a, F: Fn(usize, &mut [f32]) + Sync>(
        file: &'a HeldOutFile,
        slots: &[usize],
        chunks: usize,
        of_chunk: impl Fn(ChunkView<'a>) -> Result<F>,
    ) -> Result<Self> {
        let path = file.path().to_owned();
        let mut out = scratch(&path)?;
        let views: Vec<ChunkView<'a>> = file.views().collect();
        let mut blocks = vec![];
        for views in views.chunks(chunks.max(1)) {
            let rows: usize = views.iter().map(ChunkView::rows).sum();
            let mut block = vec![0f32; slots.len() * rows];
            let mut done = 0;
            for view in views {
                let fill = of_chunk(*view)?;
                let own = done..done + view.rows();
                wide(|| {
                    let each = block.par_chunks_mut(rows).zip(slots);
                    each.for_each(|(block, slot)| fill(*slot, &mut block[own.clone()]));
                });
                done = own.end;
                view.release();
            }
            out.write_all(bytes_of(&block)).map_err(|source| failed(&path, source))?;
            blocks.push(rows);
        }
        let mapped = Mapped::of(&out).map_err(|source| failed(&path, source))?;
        Ok(Self { path, mapped, slots: slots.len(), chunks, blocks })
    }
}

/// The weighted products `Σ_i ω_i e_s,i e_t,i` of the residuals of all slots over all cells, `(S, S)`, in one pass over a file
/// without missing predictions.
pub(crate) fn residual_products(file: &HeldOutFile) -> Result<Vec<f64>> {
    match file.is_wide() {
        true => products_of::<f64>(file),
        false => products_of::<f32>(file),
    }
}

fn products_of<T: Number>(file: &HeldOutFile) -> Result<Vec<f64>> {
    let (slots, width, total) = (file.slots(), file.task().width(), file.total_weight());
    let all: Vec<usize> = (0..slots).collect();
    let mut products = vec![0.; slots * slots];
    for view in file.views() {
        let (values, weights) = (view.values::<T>()?, weights_of(view, total)?);
        let (targets, share) = targets_of_cells(&truth_of(file.task(), view.about_rows()?), width);
        let of_view = wide(|| {
            let mut residuals = vec![0f64; values.len()];
            let each = residuals.par_chunks_mut(targets.len()).zip(values.par_chunks(targets.len()));
            each.for_each(|(residuals, values)| {
                let cells = residuals.iter_mut().zip(values).zip(&targets);
                cells.for_each(|((e, x), y)| *e = (*x).into() - y);
            });
            view.release();
            SlotMatrix::new(&residuals, targets.len()).gram(&all, |cell| share * weights[cell / width])
        });
        products.iter_mut().zip(of_view).for_each(|(sum, x)| *sum += x);
    }
    Ok(products)
}

/// A table `(S, n)` whose rows have these products `(S, S)`, and `n`, at most `S` (Cholesky's factor with pivoting; it ends
/// where rounding is all that is left).
pub(crate) fn factor(mut products: Vec<f64>, slots: usize) -> (Vec<f64>, usize) {
    let at = |s: usize, t: usize| s * slots + t;
    let largest = (0..slots).map(|s| products[at(s, s)]).fold(0., f64::max);
    let mut columns: Vec<Vec<f64>> = vec![];
    while columns.len() < slots {
        let pivot = (0..slots).max_by(|s, t| products[at(*s, *s)].total_cmp(&products[at(*t, *t)]));
        let Some(pivot) = pivot.filter(|s| products[at(*s, *s)] > f64::EPSILON * largest) else { break };
        let root = products[at(pivot, pivot)].sqrt();
        let column: Vec<f64> = (0..slots).map(|s| products[at(s, pivot)] / root).collect();
        let rows = products.par_chunks_exact_mut(slots).zip(&column);
        rows.for_each(|(row, x)| row.iter_mut().zip(&column).for_each(|(p, y)| *p -= x * y));
        products[at(pivot, pivot)] = 0.;
        columns.push(column);
    }
    if columns.is_empty() {
        columns.push(vec![0.; slots]);
    }
    let table = (0..slots).flat_map(|s| columns.iter().map(move |column| column[s])).collect();
    (table, columns.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_has_the_products() {
        // Rank 2 of 4 members: the last two are the first, and the sum of both.
        let rows: [[f64; 5]; 4] =
            [[1., 2., 3., -1., 0.5], [0., 1., -2., 4., 1.], [1., 2., 3., -1., 0.5], [1., 3., 1., 3., 1.5]];
        let product = |s: usize, t: usize| rows[s].iter().zip(&rows[t]).map(|(a, b)| a * b).sum::<f64>();
        let products: Vec<f64> = (0..16).map(|i| product(i / 4, i % 4)).collect();
        let (table, cells) = factor(products.clone(), 4);
        assert_eq!(cells, 2);
        for (i, want) in products.iter().enumerate() {
            let (a, b) = (&table[i / 4 * cells..][..cells], &table[i % 4 * cells..][..cells]);
            let got: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
        assert_eq!(factor(vec![0.; 4], 2), (vec![0., 0.], 1));
    }
}
