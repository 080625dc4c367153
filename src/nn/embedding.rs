//! A table of vectors.
use crate::{
    kernels::{cpu, float::Real},
    nn::{
        gradients::{apply_op1, hand_over},
        stack::{self, give},
    },
};
use candle_core::{bail, CpuStorage, CustomOp1, DType, Layout, Module, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};

/// A table with a vector for each of a number of things, such as words or categories, which are given by their
/// numbers.
///
/// ```text
/// y = E[i]
/// ```
///
/// `E` is the variable `weight` of the shape `(things, size)`, of any floating-point type. Inputs are numbers
/// below `things`, of type u8, u32 or i64 and any shape; outputs have the shape of the inputs and `size` as a
/// further dimension. The gradient of `E` is 0 for the things that a batch does not name.
///
/// It replaces candle's [`Embedding`](candle_nn::Embedding), with the same variable and the same initial
/// weights. On the CPU, in f32 and f64, its backward pass adds the gradients of the vectors to a table of zeros
/// once, where that of candle's layer makes two tables and copies them twice.
///
/// # Errors
/// The forward pass fails for a number that is not below `things`.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::embedding, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let words = embedding(100, 8, vb.pp("words"))?;
/// let y = words.forward(&Tensor::new(&[[5u32, 7, 5], [0, 99, 1]], &Device::Cpu)?)?;
/// assert_eq!(y.dims(), [2, 3, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    embeddings: Tensor,
    size: usize,
}

/// A table of `things` vectors of `size` elements, in the variable `weight`.
///
/// A fresh `VarBuilder` of candle draws the vectors from the standard normal distribution, as for candle's own
/// [`embedding`](candle_nn::embedding()); one of [`fresh`](crate::weights::fresh()) follows its own scheme.
///
/// # Errors
/// When the `VarBuilder` has another variable of this name.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::embedding, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert_eq!(embedding(100, 8, vb)?.embeddings().dims(), [100, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn embedding(things: usize, size: usize, vb: VarBuilder<'_>) -> Result<Embedding> {
    let embeddings = vb.get_with_hints((things, size), "weight", Init::Randn { mean: 0., stdev: 1. })?;
    Ok(Embedding::new(embeddings, size))
}

impl Embedding {
    /// A layer with this table, `(things, size)`.
    #[must_use]
    pub fn new(embeddings: Tensor, size: usize) -> Self {
        Self { embeddings, size }
    }

    /// The table, `(things, size)`.
    #[must_use]
    pub fn embeddings(&self) -> &Tensor {
        &self.embeddings
    }

    /// The number of elements of a vector.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.size
    }
}

impl Module for Embedding {
    fn forward(&self, things: &Tensor) -> Result<Tensor> {
        match (self.lookup(things)?, stack::is_passing()) {
            (Some(lookup), false) => apply_op1(&self.embeddings.contiguous()?, lookup),
            (Some(lookup), true) => self.of_members(lookup),
            (None, _) => self.by_tensors(things),
        }
    }
}

impl Embedding {
    /// The layer in candle's operations.
    fn by_tensors(&self, things: &Tensor) -> Result<Tensor> {
        let rows = |table: &Tensor, things: &Tensor| table.index_select(&things.flatten_all()?, 0);
        let rows = match stack::is_passing() {
            true => {
                let tables = stack::operands(&self.embeddings)?;
                stack::each(things, |member, things| rows(&tables[member], things))?
            }
            false => rows(&self.embeddings, things)?,
        };
        rows.reshape([things.dims(), &[self.size]].concat())
    }

    /// The numbers of the rows, if the layer can be one operation for them: otherwise candle's operation has
    /// the right result or the right error.
    fn lookup(&self, things: &Tensor) -> Result<Option<Lookup>> {
        let table = &self.embeddings;
        let (rows, size) = table.dims2()?;
        let fits = matches!(table.dtype(), DType::F32 | DType::F64)
            && matches!(things.dtype(), DType::U8 | DType::U32 | DType::I64)
            && size == self.size
            && table.device().is_cpu()
            && things.device().is_cpu();
        if !fits || !table.track_op() {
            return Ok(None);
        }
        let numbers = things.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        let known = |number| usize::try_from(number).ok().filter(|row| *row < rows);
        let rows = numbers.into_iter().map(known).collect::<Option<_>>();
        Ok(rows.map(|rows| Lookup { rows, things: things.dims().to_vec() }))
    }
}

impl Embedding {
    /// The vectors of each member of a pass.
    fn of_members(&self, lookup: Lookup) -> Result<Tensor> {
        let (tables, rows) = (stack::operands(&self.embeddings)?, stack::rows_of_each(lookup.rows.len())?);
        // The variable that stands for the tables makes the operation part of the graph. It is not read.
        apply_op1(&self.embeddings, LookupOfMembers { lookup, tables, rows })
    }
}

/// Rows of a table.
struct Lookup {
    /// Their numbers, all of them below the number of rows of the table.
    rows: Vec<usize>,
    /// The dimensions of their numbers.
    things: Vec<usize>,
}

impl Lookup {
    /// The shape of vectors of this size.
    fn shape(&self, size: usize) -> Shape {
        [self.things.as_slice(), &[size]].concat().into()
    }

    fn vectors<T: Real>(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, size) = layout.shape().dims2()?;
        let table = cpu::storage_slice::<T>(table, layout)?;
        let mut vectors = Vec::with_capacity(self.rows.len() * size);
        extend(&mut vectors, table, &self.rows, size);
        Ok((T::to_cpu_storage_owned(vectors), self.shape(size)))
    }

    fn gradient<T: Real>(&self, table: &Tensor, g: &Tensor) -> Result<Tensor> {
        let sums = cpu::with_slice(g, |g: &[T]| sums(table, &self.rows, g))??;
        Tensor::from_vec(sums, table.shape(), table.device())
    }
}

/// Where the vectors of this size are in a table.
fn places(rows: &[usize], size: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    rows.iter().map(move |row| row * size..(row + 1) * size)
}

/// Appends these rows of a table.
fn extend<T: Real>(vectors: &mut Vec<T>, table: &[T], rows: &[usize], size: usize) {
    places(rows, size).filter_map(|place| table.get(place)).for_each(|v| vectors.extend_from_slice(v));
}

/// The gradient of a table, from those of its rows.
fn sums<T: Real>(table: &Tensor, rows: &[usize], g: &[T]) -> Result<Vec<T>> {
    let (_, size) = table.dims2()?;
    let mut sums = vec![T::zero(); table.elem_count()];
    for (place, g) in places(rows, size).zip(g.chunks_exact(size.max(1))) {
        let sums = sums.get_mut(place).unwrap_or_default();
        sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += *g);
    }
    Ok(sums)
}

/// Rows of the tables of several members.
struct LookupOfMembers {
    lookup: Lookup,
    tables: Vec<Tensor>,
    /// The number of rows of each member.
    rows: usize,
}

impl LookupOfMembers {
    fn each(&self) -> impl Iterator<Item = (&Tensor, &[usize])> {
        self.tables.iter().zip(self.lookup.rows.chunks(self.rows.max(1)))
    }

    fn vectors<T: Real>(&self, size: usize) -> Result<(CpuStorage, Shape)> {
        let mut vectors = Vec::with_capacity(self.lookup.rows.len() * size);
        for (table, rows) in self.each() {
            extend(&mut vectors, cpu::Elements::of(table)?.as_slice::<T>()?, rows, size);
        }
        Ok((T::to_cpu_storage_owned(vectors), self.lookup.shape(size)))
    }

    fn gradients<T: Real>(&self, g: &Tensor) -> Result<()> {
        let size = g.dims().last().copied().unwrap_or(0);
        cpu::with_slice(g, |g: &[T]| {
            for ((table, rows), g) in self.each().zip(g.chunks((self.rows * size).max(1))) {
                give(table, Some(sums(table, rows, g)?))?;
            }
            Ok(())
        })?
    }
}

impl CustomOp1 for LookupOfMembers {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [_, size] = layout.dims() else { bail!("expected a table of vectors") };
        match table {
            CpuStorage::F64(_) => self.vectors::<f64>(*size),
            _ => self.vectors::<f32>(*size),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        match g.dtype() {
            DType::F64 => self.gradients::<f64>(g)?,
            _ => self.gradients::<f32>(g)?,
        }
        Ok(None)
    }
}

impl CustomOp1 for Lookup {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        match table {
            CpuStorage::F64(_) => self.vectors::<f64>(table, layout),
            _ => self.vectors::<f32>(table, layout),
        }
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let gradient = match table.dtype() {
            DType::F64 => self.gradient::<f64>(table, g)?,
            _ => self.gradient::<f32>(table, g)?,
        };
        hand_over(table, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::backward;
    use candle_core::{Device, Var};

    fn table(dtype: DType) -> Var {
        let table = Tensor::arange(0f64, 12., &Device::Cpu).unwrap().reshape((4, 3)).unwrap();
        Var::from_tensor(&table.to_dtype(dtype).unwrap()).unwrap()
    }

    fn flat(x: &Tensor) -> Vec<f64> {
        x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn outputs_and_gradients_are_those_of_candles_layer() {
        for dtype in [DType::F16, DType::F32, DType::F64] {
            let table = table(dtype);
            let ours = Embedding::new(table.as_tensor().clone(), 3);
            let theirs = candle_nn::Embedding::new(table.as_tensor().clone(), 3);
            let numbers = Tensor::new(&[[3u32, 0, 3], [1, 3, 0]], &Device::Cpu).unwrap();
            let types = [DType::U8, DType::U32, DType::I64].map(|dtype| numbers.to_dtype(dtype).unwrap());
            let none = numbers.narrow(0, 0, 0).unwrap();
            for numbers in types.into_iter().chain([numbers.t().unwrap(), none]) {
                let (a, b) = (ours.forward(&numbers).unwrap(), theirs.forward(&numbers).unwrap());
                assert_eq!((a.dims(), flat(&a)), (b.dims(), flat(&b)));
                let weigh = |y: &Tensor| {
                    let up = Tensor::arange(1f64, 1. + y.elem_count() as f64, &Device::Cpu).unwrap();
                    let up = up.reshape(y.shape()).unwrap().to_dtype(dtype).unwrap();
                    (y * up).unwrap().sum_all().unwrap()
                };
                let expected = flat(weigh(&b).backward().unwrap().get(&table).unwrap());
                assert_eq!(flat(weigh(&a).backward().unwrap().get(&table).unwrap()), expected);
                assert_eq!(flat(backward(&weigh(&a)).unwrap().get(&table).unwrap()), expected);
            }
        }
    }

    #[test]
    fn a_number_beyond_the_table_is_an_error() {
        let layer = Embedding::new(table(DType::F32).as_tensor().clone(), 3);
        assert!(layer.forward(&Tensor::new(&[4u32], &Device::Cpu).unwrap()).is_err());
        assert!(layer.forward(&Tensor::new(&[1f32], &Device::Cpu).unwrap()).is_err());
    }
}
