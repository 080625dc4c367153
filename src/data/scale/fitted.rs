//! A fitted scaling.
use crate::{
    data::{
        dataset::move_view,
        scale::{one_hot, FittedColumn},
        values::{on_cpu, place, position},
    },
    kernels::cpu::{self, Elements, FloatLoop},
    Error, Result,
};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result as CandleResult, Shape, Tensor, WithDType};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A [`Scaling`](crate::data::Scaling) that has been fitted: it transforms columns and, but for one-hot, back again.
///
/// Numbers are computed in f64 and rounded once. Tensors keep dtype and device; the computation is on the CPU. Gradients
/// pass through. [`Scaling`](crate::data::Scaling) has the formulas and an example. Copies share their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<FittedColumn>", into = "Vec<FittedColumn>")]
pub struct FittedScaling(Arc<[FittedColumn]>);

/// There, or back again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Transform,
    Inverse,
}

impl FittedScaling {
    pub(super) fn new(columns: Vec<FittedColumn>) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::invalid("the number of columns of a scaling", "at least 1", 0));
        }
        columns.iter().enumerate().try_for_each(|(number, column)| column.check(number))?;
        Ok(Self(columns.into()))
    }

    /// What is done to each column, or to each channel, with the fitted numbers.
    #[must_use]
    pub fn parameters(&self) -> &[FittedColumn] {
        &self.0
    }

    /// The number of columns, or of channels, before the transform.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.0.len()
    }

    /// The number of columns after the transform, which one-hot encoding raises.
    #[must_use]
    pub fn output_columns(&self) -> usize {
        self.0.iter().map(FittedColumn::width).sum()
    }

    /// Whether there is an inverse: not for one-hot encoding.
    #[must_use]
    pub fn has_inverse(&self) -> bool {
        self.0.iter().all(FittedColumn::has_inverse)
    }

    /// The transformed tensor: `(N, D)` to `(N, output_columns)`, `(N,)` to the same or, one-hot, to `(N, C)`. Tensors of
    /// higher rank keep their shape.
    ///
    /// # Errors
    /// When `x` has another number of columns or contains NaN or infinity, when a category is unknown, or when a result is
    /// too large for the dtype.
    pub fn transform(&self, x: &Tensor) -> Result<Tensor> {
        self.checked(x, Way::Transform)
    }

    /// The inverse of [`transform`](Self::transform). It takes every finite number: those that no transform returns, such as
    /// outputs of a network above 1 for a uniform distribution, become the nearest number of the rows of the fit, or for a
    /// power one range of them beyond.
    ///
    /// The result has the dtype of `z`. Where the shift is large against the scale, `f32` cannot hold it without loss:
    /// convert `z` to `f64` first.
    ///
    /// # Errors
    /// As [`transform`](Self::transform), and for one-hot encoding, which has no inverse.
    pub fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        self.checked(z, Way::Inverse)
    }

    /// As [`transform`](Self::transform), but NaN stays NaN, and what is too large becomes infinite.
    pub(crate) fn transform_all(&self, x: &Tensor) -> CandleResult<Tensor> {
        self.apply(x, Way::Transform)
    }

    /// As [`inverse`](Self::inverse), but NaN stays NaN, and what is too large becomes infinite.
    pub(crate) fn inverse_all(&self, z: &Tensor) -> CandleResult<Tensor> {
        self.apply(z, Way::Inverse)
    }

    fn checked(&self, x: &Tensor, way: Way) -> Result<Tensor> {
        self.check_shape(x, way)?;
        let names = |at: usize| {
            let width = x.dims().iter().skip(1).product::<usize>().max(1);
            place(at / width, &position(at % width, x.dims().get(1..).unwrap_or_default()))
        };
        if let Some((at, value)) = first_not_finite(x)? {
            return Err(Error::invalid(names(at), "finite", value));
        }
        let scaled = match x.track_op() {
            true => self.apply(x, way)?,
            // Not as an operation of candle, so that an error stays one of this crate.
            false => {
                let on_cpu = on_cpu(x)?;
                let made = Elements::of(&on_cpu)?.run(MakeTensor { of: self, way, dims: x.dims() })?;
                move_view(&made, x.device())?
            }
        };
        match first_not_finite(&scaled)? {
            None => Ok(scaled),
            Some((at, _)) => {
                // One-hot encoding only returns 0 and 1, so an infinite number has the same place before and after where
                // there is no such column; else its row is named.
                let what = match x.elem_count() == scaled.elem_count() {
                    true => names(at),
                    false => format!("row {}", at / self.output_columns().max(1)),
                };
                let must = format!("small enough to be scaled in {}", x.dtype().as_str());
                Err(Error::invalid(what, must, "too large"))
            }
        }
    }

    fn check_shape(&self, x: &Tensor, way: Way) -> Result<()> {
        if way == Way::Inverse && !self.has_inverse() {
            let must = "that of another one than one-hot";
            return Err(Error::invalid("the inverse of a scaling", must, "that of one-hot"));
        }
        check_table(x)?;
        let columns = x.dims().get(1).copied().unwrap_or(1);
        if columns != self.columns() {
            let must = format!("that of the scaling, {}", self.columns());
            return Err(Error::invalid("the number of columns", must, columns));
        }
        if x.rank() > 2 && !self.has_inverse() {
            let must = "of shape (N, D) or (N,) for one-hot encoding";
            return Err(Error::invalid("a table", must, format!("{:?}", x.dims())));
        }
        Ok(())
    }

    fn apply(&self, x: &Tensor, way: Way) -> CandleResult<Tensor> {
        self.check_shape(x, way)?;
        let on_cpu = on_cpu(x)?;
        let op = Apply { of: self.clone(), way };
        let scaled = match on_cpu.track_op() {
            true => on_cpu.apply_op1(op)?,
            false => on_cpu.apply_op1_no_bwd(&op)?,
        };
        move_view(&scaled, x.device())
    }

    /// The shape of the result for a tensor of this shape.
    fn shape(&self, dims: &[usize], way: Way) -> Shape {
        let width = self.output_columns();
        match dims {
            [rows] if way == Way::Transform && width > 1 => (*rows, width).into(),
            [rows, _] => (*rows, width).into(),
            dims => dims.into(),
        }
    }

    /// The scaled elements of a tensor of this shape.
    fn map<T: WithDType>(
        &self,
        dims: &[usize],
        way: Way,
        elements: &[T],
        load: impl Fn(T) -> f64,
        store: impl Fn(f64) -> T,
    ) -> Result<Vec<T>> {
        let inner = dims.iter().skip(2).product::<usize>().max(1);
        let row = self.columns() * inner;
        let affine: Option<Vec<(f64, f64)>> = self.0.iter().map(FittedColumn::affine).collect();
        let mut to = Vec::with_capacity(elements.len() / row * self.output_columns() * inner);
        for (number, cells) in elements.chunks_exact(row).enumerate() {
            match (&affine, way) {
                (Some(affine), Way::Transform) if inner == 1 => {
                    let cells = cells.iter().zip(affine);
                    to.extend(cells.map(|(x, (shift, scale))| store((load(*x) - shift) / scale)));
                }
                (Some(affine), Way::Inverse) if inner == 1 => {
                    let cells = cells.iter().zip(affine);
                    to.extend(cells.map(|(z, (shift, scale))| store(load(*z) * scale + shift)));
                }
                _ => {
                    let columns = cells.chunks_exact(inner).zip(self.0.iter()).enumerate();
                    for (place, (cells, column)) in columns {
                        match column {
                            FittedColumn::OneHot { categories, ignore_unknown } => {
                                for x in cells.iter().map(|x| load(*x)) {
                                    let one = one_hot::place(categories, x);
                                    if one.is_none() && !ignore_unknown && !x.is_nan() {
                                        let what = format!("row {number}, column {place}");
                                        return Err(Error::invalid(what, one_hot::listed(categories), x));
                                    }
                                    let other = if x.is_nan() { f64::NAN } else { 0. };
                                    let value = |i| if one == Some(i) { 1. } else { other };
                                    to.extend((0..categories.len()).map(|i| store(value(i))));
                                }
                            }
                            FittedColumn::Unchanged => to.extend_from_slice(cells),
                            column => {
                                let cells = cells.iter().map(|x| load(*x));
                                match way {
                                    Way::Transform => to.extend(cells.map(|x| store(column.transform(x)))),
                                    Way::Inverse => to.extend(cells.map(|z| store(column.inverse(z)))),
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(to)
    }

    /// The gradient of the elements from that of the scaled ones.
    fn gradient(&self, dims: &[usize], way: Way, elements: &[f64], upstream: &[f64]) -> Vec<f64> {
        let inner = dims.iter().skip(2).product::<usize>().max(1);
        let mut upstream = upstream.iter();
        let mut to = Vec::with_capacity(elements.len());
        for (cells, column) in elements.chunks_exact(inner).zip(self.0.iter().cycle()) {
            for x in cells {
                let mut own = upstream.by_ref().take(column.width());
                to.push(match column {
                    FittedColumn::OneHot { .. } => {
                        own.for_each(drop);
                        0.
                    }
                    column => {
                        let slope = match way {
                            Way::Transform => column.slope(*x),
                            Way::Inverse => column.inverse_slope(*x),
                        };
                        own.next().map_or(f64::NAN, |g| g * slope)
                    }
                });
            }
        }
        to
    }
}

/// Checks that a tensor has rows and columns of floats.
pub(super) fn check_table(x: &Tensor) -> Result<()> {
    if !x.dtype().is_float() {
        return Err(Error::invalid("a table to scale", "of floats", x.dtype().as_str()));
    }
    match x.rank() > 0 && x.elem_count() > 0 {
        true => Ok(()),
        false => {
            let must = "of at least one row and column";
            Err(Error::invalid("a table to scale", must, format!("{:?}", x.dims())))
        }
    }
}

/// The position of the first number that is not finite, and the number.
fn first_not_finite(x: &Tensor) -> Result<Option<(usize, f64)>> {
    struct Find;
    impl FloatLoop for Find {
        type Out = Option<(usize, f64)>;

        fn run<T: WithDType>(
            self,
            elements: &[T],
            load: impl Fn(T) -> f64 + Copy,
            _: impl Fn(f64) -> T + Copy,
        ) -> Result<Self::Out> {
            Ok(elements.iter().map(|x| load(*x)).enumerate().find(|(_, x)| !x.is_finite()))
        }
    }
    let on_cpu = on_cpu(x)?;
    Elements::of(&on_cpu)?.run(Find)
}

/// The scaling as a loop over elements that makes a tensor.
struct MakeTensor<'s> {
    of: &'s FittedScaling,
    way: Way,
    dims: &'s [usize],
}

impl FloatLoop for MakeTensor<'_> {
    type Out = Tensor;

    fn run<T: WithDType>(
        self,
        elements: &[T],
        load: impl Fn(T) -> f64 + Copy,
        store: impl Fn(f64) -> T + Copy,
    ) -> Result<Tensor> {
        let Self { of, way, dims } = self;
        let scaled = of.map(dims, way, elements, load, store)?;
        Ok(Tensor::from_vec(scaled, of.shape(dims, way), &Device::Cpu)?)
    }
}

/// The scaling as an operation of candle.
struct Apply {
    of: FittedScaling,
    way: Way,
}

/// The scaling as a loop over elements that makes the storage of a tensor.
struct MakeStorage<'s> {
    apply: &'s Apply,
    dims: &'s [usize],
}

impl FloatLoop for MakeStorage<'_> {
    type Out = CpuStorage;

    fn run<T: WithDType>(
        self,
        elements: &[T],
        load: impl Fn(T) -> f64 + Copy,
        store: impl Fn(f64) -> T + Copy,
    ) -> Result<CpuStorage> {
        let Apply { of, way } = self.apply;
        Ok(T::to_cpu_storage_owned(of.map(self.dims, *way, elements, load, store)?))
    }
}

impl CustomOp1 for Apply {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let dims = layout.shape().dims();
        let scaled = cpu::run_on(storage, layout, MakeStorage { apply: self, dims })?;
        Ok((scaled, self.of.shape(dims, self.way)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, upstream: &Tensor) -> CandleResult<Option<Tensor>> {
        let dims = x.dims();
        let gradient = cpu::with_slice(x, |x: &[f64]| {
            cpu::with_slice(upstream, |upstream: &[f64]| self.of.gradient(dims, self.way, x, upstream))
        })??;
        let gradient = Tensor::from_vec(gradient, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?;
        gradient.to_device(x.device()).map(Some)
    }
}

impl TryFrom<Vec<FittedColumn>> for FittedScaling {
    type Error = Error;

    fn try_from(columns: Vec<FittedColumn>) -> Result<Self> {
        Self::new(columns)
    }
}

impl From<FittedScaling> for Vec<FittedColumn> {
    fn from(fitted: FittedScaling) -> Self {
        fitted.0.to_vec()
    }
}
