//! The inputs and targets of rows, read in blocks.
use crate::{
    data::{
        streamed::{
            cache::Cache,
            source::{Column, Source},
        },
        values::Digest,
    },
    kernels::cpu::{on_values, Elements},
    Error, Result,
};
use candle_core::{DType, Device, Tensor, WithDType};
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// The bytes that are read at a time where all rows are read.
const READ: usize = 1 << 20;

/// Columns that become one tensor of a batch.
#[derive(Debug)]
pub(super) struct Field {
    /// What it is called in errors.
    pub(super) name: String,
    columns: Vec<usize>,
    /// The type in a block, which is that of the files where possible.
    held: DType,
    /// The type in a batch.
    dtype: DType,
    /// The dimensions of a row.
    row: Vec<usize>,
}

impl Field {
    /// Columns of one value each, side by side: rows of shape `(D,)`.
    pub(super) fn table(name: &str, columns: Vec<usize>, dtype: DType) -> Self {
        let row = vec![columns.len()];
        Self { name: name.into(), columns, held: dtype, dtype, row }
    }

    /// A column as it is, of this type.
    pub(super) fn tensor(name: String, (number, column): (usize, &Column), dtype: DType) -> Self {
        Self { name, columns: vec![number], held: column.dtype, dtype, row: column.row.clone() }
    }

    /// The bytes of a row in a block.
    pub(super) fn bytes(&self) -> usize {
        self.row.iter().product::<usize>() * self.held.size_in_bytes()
    }

    /// The tensor of its columns as they were read.
    fn join(&self, mut columns: Vec<Tensor>) -> Result<Tensor> {
        if let ([only], true) = (columns.as_slice(), self.columns.len() == 1)
            && only.rank() == self.row.len() + 1
        {
            return Ok(columns.swap_remove(0));
        }
        let columns =
            columns.iter().map(|column| column.to_dtype(self.held)).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::stack(&columns, 1)?)
    }
}

/// The fields of the rows of a source, through a cache of blocks.
pub(super) struct Reader {
    source: Arc<dyn Source>,
    fields: Vec<Field>,
    /// The rows of a block; none where rows are read one by one.
    block: Option<usize>,
    cache: Cache<Vec<Tensor>>,
}

impl Reader {
    pub(super) fn new(
        source: Arc<dyn Source>,
        fields: Vec<Field>,
        block: Option<usize>,
        memory: usize,
    ) -> Self {
        Self { source, fields, block: block.map(|rows| rows.max(1)), cache: Cache::new(memory) }
    }

    pub(super) fn rows(&self) -> usize {
        self.source.rows()
    }

    /// The number of the block of a row; none where there are no blocks.
    pub(super) fn block_of(&self, row: u32) -> Option<usize> {
        self.block.map(|rows| row as usize / rows)
    }

    /// Whether a block is in memory, or is being read.
    pub(super) fn knows(&self, block: usize) -> bool {
        self.cache.knows(block)
    }

    /// The bytes of blocks in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.cache.bytes()
    }

    /// The fields of a block.
    pub(super) fn block(&self, number: usize) -> Result<Arc<Vec<Tensor>>> {
        let rows = self.block.unwrap_or(1);
        let start = number.saturating_mul(rows);
        let range = start..start.saturating_add(rows).min(self.rows());
        self.cache.get(number, || {
            let bytes = range.len() * self.fields.iter().map(Field::bytes).sum::<usize>();
            Ok((self.read(range)?, bytes))
        })
    }

    /// The fields of these rows.
    fn read(&self, rows: Range<usize>) -> Result<Vec<Tensor>> {
        let columns: Vec<usize> =
            self.fields.iter().flat_map(|field| field.columns.iter().copied()).collect();
        let mut tensors = self.source.read(rows, &columns)?.into_iter();
        self.fields
            .iter()
            .map(|field| field.join(tensors.by_ref().take(field.columns.len()).collect()))
            .collect()
    }

    /// The fields of rows with these numbers, which exist, in this order. No more than one block is in use at a time.
    pub(super) fn gather(&self, rows: &[u32]) -> Result<Vec<Tensor>> {
        let number = |place: &usize| rows.get(*place).copied().unwrap_or_default();
        let mut places: Vec<usize> = (0..rows.len()).collect();
        places.sort_by_key(number);
        let of = |bytes: usize| vec![0u8; rows.len() * bytes];
        let mut gathered: Vec<Vec<u8>> = self.fields.iter().map(|field| of(field.bytes())).collect();
        // Without blocks, rows that follow each other are read together.
        let together = |a: &usize, b: &usize| match self.block {
            Some(_) => self.block_of(number(a)) == self.block_of(number(b)),
            None => number(b) - number(a) <= 1,
        };
        for part in places.chunk_by(together) {
            let (Some(first), Some(last)) = (part.first().map(number), part.last().map(number)) else {
                continue;
            };
            let (start, tensors) = match self.block {
                Some(rows) => (first as usize / rows * rows, self.block(first as usize / rows)?),
                None => (first as usize, Arc::new(self.read(first as usize..last as usize + 1)?)),
            };
            for ((field, tensor), to) in self.fields.iter().zip(tensors.iter()).zip(&mut gathered) {
                let (bytes, tensor) = (field.bytes(), tensor.contiguous()?);
                let elements = Elements::of(&tensor)?;
                let from = elements.as_bytes()?;
                for place in part {
                    let at = (number(place) as usize - start) * bytes;
                    if let (Some(to), Some(from)) =
                        (to.get_mut(place * bytes..(place + 1) * bytes), from.get(at..at + bytes))
                    {
                        to.copy_from_slice(from);
                    }
                }
            }
        }
        let tensor = |(field, bytes): (&Field, Vec<u8>)| {
            let shape = [&[rows.len()], &*field.row].concat();
            Ok(Tensor::from_raw_buffer(&bytes, field.held, &shape, &Device::Cpu)?.to_dtype(field.dtype)?)
        };
        self.fields.iter().zip(gathered).map(tensor).collect()
    }

    /// Digests of the fields as those of tensors with all rows, for which every value must be finite. The rows are read once,
    /// on all threads.
    pub(super) fn digests(&self) -> Result<Vec<[u8; 32]>> {
        let rows = self.rows();
        let mut digests: Vec<Digest> = self
            .fields
            .iter()
            .map(|field| Digest::new(&field.name, field.dtype, &[&[rows], &*field.row].concat()))
            .collect();
        let each = (READ / self.fields.iter().map(Field::bytes).sum::<usize>().max(1)).max(1);
        let starts: Vec<usize> = (0..rows).step_by(each).collect();
        let read = |start: &usize| {
            let tensors = self.read(*start..(start + each).min(rows))?;
            let cast = |(tensor, field): (Tensor, &Field)| Ok(tensor.to_dtype(field.dtype)?.contiguous()?);
            tensors.into_iter().zip(&self.fields).map(cast).collect::<Result<Vec<_>>>()
        };
        for part in starts.chunks(2 * rayon::current_num_threads()) {
            for tensors in part.par_iter().map(read).collect::<Vec<_>>() {
                for (digest, tensor) in digests.iter_mut().zip(tensors?) {
                    digest.add(&tensor)?;
                }
            }
        }
        Ok(digests.into_iter().map(Digest::finish).collect())
    }
}

/// All values of a column with one value a row, each made of an f64. `make` gets the number of the row.
pub(super) fn all_values<T: Send>(
    source: &dyn Source,
    column: usize,
    make: impl Fn(usize, f64) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let Some(Column { name, dtype, row, .. }) = source.columns().get(column) else {
        return Err(Error::invalid("the number of a column", "one of the files", column));
    };
    if row.iter().product::<usize>() != 1 {
        let what = format!("a row of the column {name:?}");
        return Err(Error::invalid(what, "a single value", format!("of shape {row:?}")));
    }
    let (rows, each) = (source.rows(), READ / dtype.size_in_bytes().max(1));
    let starts: Vec<usize> = (0..rows).step_by(each).collect();
    let read = |start: &usize| -> Result<Vec<T>> {
        let tensors = source.read(*start..(start + each).min(rows), &[column])?;
        let Some(tensor) = tensors.first() else { return Ok(vec![]) };
        on_values!(tensor, values => {
            values.iter().enumerate().map(|(i, x)| make(start + i, x.to_f64())).collect()
        })
    };
    let mut all = Vec::with_capacity(rows);
    for part in starts.chunks(2 * rayon::current_num_threads()) {
        for values in part.par_iter().map(read).collect::<Vec<_>>() {
            all.extend(values?);
        }
    }
    Ok(all)
}
