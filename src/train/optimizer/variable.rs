//! A variable with its moments.
use crate::{
    kernels::float::Real,
    train::{
        clip::Limits,
        optimizer::{
            rule::{InPlace, Step, UpdateRule, MAX_MOMENTS},
            saved::{foreign, values, SavedVariable, Values},
        },
    },
    Error, Result,
};
use candle_core::{DType, Device, Result as CResult, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// A variable with its moments.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) var: Var,
    /// Whether weight decay acts on it.
    pub(super) decays: bool,
    /// The number of its learning rate among those of a step.
    pub(super) group: usize,
    /// The factor on that learning rate.
    pub(super) factor: f64,
    /// The weight decay in place of that of the optimizer: its number among the others.
    pub(super) other: Option<usize>,
    pub(super) count: u64,
    pub(super) moments: Moments,
}

/// Moments, in the type in which the update is computed. Moments that the optimizer does not use are empty
/// vectors or scalars.
#[derive(Debug)]
pub(super) enum Moments {
    F32([Vec<f32>; MAX_MOMENTS]),
    F64([Vec<f64>; MAX_MOMENTS]),
    Tensors {
        moments: [Tensor; MAX_MOMENTS],
        /// The weights in `f32`, for a variable in half precision.
        master: Option<Tensor>,
    },
}

/// The name under which the `f32` weights of a variable in half precision are saved beside its moments.
const MASTER: &str = "weights";

/// Moments before the first step.
pub(super) fn begin<T: Real>(
    names: &[Option<&str>; MAX_MOMENTS],
    initial: f64,
    var: &Var,
) -> [Vec<T>; MAX_MOMENTS] {
    names.map(|name| if name.is_some() { vec![T::of(initial); var.elem_count()] } else { Vec::new() })
}

/// The type in which a variable's update is computed; `f32` for half precision.
fn compute_dtype(var: &Var) -> DType {
    match var.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

fn is_half(var: &Var) -> bool {
    matches!(var.dtype(), DType::F16 | DType::BF16)
}

/// The `f32` weights with which the next step begins: the master weights, except where the variable does not
/// hold their rounded values, because something else has changed it.
fn up_to_date(master: &Tensor, var: &Tensor) -> CResult<Tensor> {
    let unchanged = master.to_dtype(var.dtype())?.eq(var)?;
    unchanged.where_cond(master, &var.to_dtype(DType::F32)?)
}

impl Moments {
    pub(super) fn tensors(names: &[Option<&str>; MAX_MOMENTS], initial: f64, var: &Var) -> CResult<Self> {
        let begin = |name: Option<&str>| match name {
            Some(_) => Tensor::zeros(var.shape(), compute_dtype(var), var.device())? + initial,
            None => Tensor::zeros((), DType::F32, &Device::Cpu),
        };
        let [a, b, c] = *names;
        let master = is_half(var).then(|| var.as_detached_tensor().to_dtype(DType::F32)).transpose()?;
        Ok(Self::Tensors { moments: [begin(a)?, begin(b)?, begin(c)?], master })
    }
}

impl Variable {
    pub(super) fn step<R: UpdateRule>(
        &mut self,
        rule: &R,
        gradient: &Tensor,
        rate: f64,
        limits: Limits,
    ) -> CResult<()> {
        if gradient.shape() != self.var.shape() {
            let must = format!("of the variable's shape, {:?}", self.var.dims());
            let what = format!("the gradient of `{}`", self.name);
            return Err(Error::invalid(what, must, format!("of shape {:?}", gradient.dims())).into());
        }
        self.count += 1;
        let step = Step { rate, count: self.count, limits, rank: self.var.rank() };
        match &mut self.moments {
            Moments::F32(moments) => in_place(rule, step, &self.var, gradient, moments),
            Moments::F64(moments) => in_place(rule, step, &self.var, gradient, moments),
            Moments::Tensors { moments, master } => {
                let dtype = compute_dtype(&self.var);
                // Detached, because moments that track their operations would keep the graph of every step.
                let stored = self.var.as_detached_tensor();
                let w = match master {
                    Some(master) => up_to_date(master, &stored)?,
                    None => stored.to_dtype(dtype)?,
                };
                let g = limits.apply(&gradient.detach().to_dtype(dtype)?)?;
                let w = rule.update_tensors(step, &w, &g, moments)?;
                self.var.set(&w.to_dtype(self.var.dtype())?)?;
                if let Some(master) = master {
                    *master = w;
                }
                Ok(())
            }
        }
    }

    pub(super) fn save(&self, names: &[Option<&'static str>; MAX_MOMENTS]) -> CResult<SavedVariable> {
        let mut moments = BTreeMap::new();
        for (i, name) in names.iter().enumerate() {
            if let Some(name) = name {
                moments.insert((*name).to_owned(), self.moments.save(i)?);
            }
        }
        if let Moments::Tensors { master: Some(master), .. } = &self.moments {
            moments.insert(MASTER.into(), values(master)?);
        }
        Ok(SavedVariable { count: self.count, shape: self.var.dims().to_vec(), moments })
    }

    pub(super) fn restored(
        &self,
        saved: &SavedVariable,
        names: &[Option<&'static str>; MAX_MOMENTS],
    ) -> Result<Moments> {
        if saved.shape != self.var.dims() {
            let why = format!("its shape was {:?} and is {:?}", saved.shape, self.var.dims());
            return Err(foreign(&self.name, why));
        }
        let master = is_half(&self.var).then_some(MASTER);
        let expected: Vec<&str> = names.iter().copied().flatten().chain(master).collect();
        if !saved.moments.keys().eq(expected.iter().copied().collect::<BTreeSet<_>>()) {
            let saved: Vec<_> = saved.moments.keys().collect();
            return Err(foreign(&self.name, format!("its moments were {saved:?} and must be {expected:?}")));
        }
        let mut moments = match &self.moments {
            Moments::F32(_) => Moments::F32(Default::default()),
            Moments::F64(_) => Moments::F64(Default::default()),
            Moments::Tensors { .. } => Moments::tensors(names, 0.0, &self.var)?,
        };
        for (name, values) in &saved.moments {
            let length = match values {
                Values::F32(x) => x.len(),
                Values::F64(x) => x.len(),
            };
            if length != self.var.elem_count() {
                let why = format!("{length} values were saved as {name:?} for shape {:?}", saved.shape);
                return Err(foreign(&self.name, why));
            }
            let index = names.iter().position(|known| *known == Some(name.as_str()));
            let tensor = |x: &Values| match x {
                Values::F32(x) => Tensor::from_slice(x, self.var.shape(), self.var.device()),
                Values::F64(x) => Tensor::from_slice(x, self.var.shape(), self.var.device()),
            };
            match (&mut moments, values, index) {
                (Moments::F32(m), Values::F32(x), Some(i)) => m[i].clone_from(x),
                (Moments::F64(m), Values::F64(x), Some(i)) => m[i].clone_from(x),
                (Moments::Tensors { moments: m, .. }, x, Some(i)) if m[i].dtype() == x.dtype() => {
                    m[i] = tensor(x)?;
                }
                (Moments::Tensors { master: Some(master), .. }, x @ Values::F32(_), None) => {
                    *master = tensor(x)?;
                }
                _ => return Err(foreign(&self.name, "its moments are of another floating-point type")),
            }
        }
        Ok(moments)
    }
}

impl Moments {
    fn save(&self, index: usize) -> CResult<Values> {
        match self {
            Self::F32(m) => Ok(Values::F32(m[index].clone())),
            Self::F64(m) => Ok(Values::F64(m[index].clone())),
            Self::Tensors { moments, .. } => values(&moments[index]),
        }
    }
}

fn in_place<T: Real, R: UpdateRule>(
    rule: &R,
    step: Step,
    var: &Var,
    gradient: &Tensor,
    moments: &mut [Vec<T>; MAX_MOMENTS],
) -> CResult<()> {
    // candle's gradients have the variable's type and are contiguous, so neither call copies them.
    let gradient = gradient.to_dtype(T::DTYPE)?.contiguous()?;
    var.inplace_op2(&gradient, &InPlace::new(rule.kernel::<T>(step), moments))
}
