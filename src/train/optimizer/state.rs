use crate::{
    check::non_negative,
    kernels::float::Real,
    train::{
        clip::{norm, Limits},
        optimizer::rule::{InPlace, Step, UpdateRule, SLOTS},
        Clip, Optimizer,
    },
    weights::Weights,
    Error, Result,
};
use candle_core::{backprop::GradStore, DType, Device, Result as CResult, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// An optimizer at work on a network's variables.
///
/// Each variable has its own count of steps, as in PyTorch: one that has no gradient at a step is left alone
/// by it entirely.
///
/// ```
/// use candle_core::{Device, Var};
/// use candle_ensemble::train::{Clip, Optimizer, OptimizerState};
///
/// // The least of (w − 3)².
/// let w = Var::new(0f32, &Device::Cpu)?;
/// let optimizer = Optimizer::adam(0.1);
/// let mut state = OptimizerState::new(&optimizer, vec![("w".into(), w.clone())])?;
/// for _ in 0..200 {
///     let gradients = (w.as_tensor() - 3.0)?.sqr()?.backward()?;
///     state.step(&gradients, optimizer.learning_rate(), &Clip::None)?;
/// }
/// assert!((w.to_scalar::<f32>()? - 3.0).abs() < 0.01);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct OptimizerState {
    optimizer: Optimizer,
    variables: Vec<Variable>,
}

/// A variable with what the optimizer remembers of its gradients.
#[derive(Debug)]
struct Variable {
    name: String,
    var: Var,
    count: u64,
    moments: Moments,
}

/// Moments, in the type that the update is computed in. Those that an optimizer does not use are empty
/// vectors or scalars.
#[derive(Debug)]
enum Moments {
    F32([Vec<f32>; SLOTS]),
    F64([Vec<f64>; SLOTS]),
    Tensors([Tensor; SLOTS]),
}

impl OptimizerState {
    /// A fresh state for the floating-point variables among `vars`, which may come in any order. A variable
    /// that has several names is updated once, under the first of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a parameter out of range ([`Optimizer::check`]), a name that occurs twice, and
    /// when there is no floating-point variable.
    pub fn new(optimizer: &Optimizer, vars: Vec<(String, Var)>) -> Result<Self> {
        Self::with_moments(optimizer, vars, |var| (var.dtype(), var.device().is_cpu()))
    }

    pub(crate) fn with_moments(
        optimizer: &Optimizer,
        mut vars: Vec<(String, Var)>,
        kind: impl Fn(&Var) -> (DType, bool),
    ) -> Result<Self> {
        optimizer.check()?;
        vars.retain(|(_, var)| var.dtype().is_float());
        vars.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(pair) = vars.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid("names of variables", "distinct", format!("`{}` twice", pair[0].0)));
        }
        let mut seen = HashSet::new();
        vars.retain(|(_, var)| seen.insert(var.id()));
        if vars.is_empty() {
            return Err(Error::invalid("variables", "at least one of a floating-point type", "none"));
        }
        let slots = slots(optimizer);
        let fresh = |(name, var): (String, Var)| {
            let moments = match kind(&var) {
                (DType::F32, true) => Moments::F32(zeros(&slots, &var)),
                (DType::F64, true) => Moments::F64(zeros(&slots, &var)),
                _ => Moments::tensors(&slots, &var)?,
            };
            Ok(Variable { name, var, count: 0, moments })
        };
        let variables = vars.into_iter().map(fresh).collect::<Result<_>>()?;
        Ok(Self { optimizer: optimizer.clone(), variables })
    }

    /// Names and variables that are updated, sorted by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.variables.iter().map(|v| (v.name.as_str(), &v.var))
    }

    /// The Euclidean norm of all gradients together, before clipping.
    ///
    /// # Errors
    /// candle's.
    pub fn gradient_norm(&self, gradients: &GradStore) -> CResult<f64> {
        norm(self.with_gradients(gradients))
    }

    fn with_gradients<'a>(&'a self, gradients: &'a GradStore) -> impl Iterator<Item = &'a Tensor> {
        self.variables.iter().filter_map(|v| gradients.get(&v.var))
    }

    /// Updates every variable that has a gradient, at this learning rate.
    ///
    /// # Errors
    /// For a learning rate that is negative or not finite, gradients that [`Clip`] cannot clip (both before
    /// anything is changed), and a gradient of another shape than its variable.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64, clip: &Clip) -> CResult<()> {
        non_negative("learning rate", learning_rate)?;
        let limits = clip.limits(self.with_gradients(gradients))?;
        for variable in &mut self.variables {
            if let Some(gradient) = gradients.get(&variable.var) {
                match &self.optimizer {
                    Optimizer::Adam(rule) => variable.step(rule, gradient, learning_rate, limits)?,
                    Optimizer::Sgd(rule) => variable.step(rule, gradient, learning_rate, limits)?,
                    Optimizer::RmsProp(rule) => variable.step(rule, gradient, learning_rate, limits)?,
                }
            }
        }
        Ok(())
    }

    /// What the optimizer remembers, as data. The variables' values are not part of it.
    ///
    /// # Errors
    /// candle's, from copying moments off a device.
    pub fn save(&self) -> Result<SavedOptimizer> {
        let slots = slots(&self.optimizer);
        let save = |v: &Variable| Ok((v.name.clone(), v.save(&slots)?));
        Ok(SavedOptimizer { variables: self.variables.iter().map(save).collect::<CResult<_>>()? })
    }

    /// Goes on from what was saved, as if nothing had happened in between; to the bit, if the variables'
    /// values are restored too.
    ///
    /// # Errors
    /// [`Error::Foreign`] that names the variable whose name, shape, type or moments differ; nothing is
    /// changed then.
    pub fn restore(&mut self, saved: &SavedOptimizer) -> Result<()> {
        let slots = slots(&self.optimizer);
        if let Some(name) =
            saved.variables.keys().find(|&name| self.variables.iter().all(|v| v.name != *name))
        {
            return Err(foreign(name, "this network has no such variable"));
        }
        let restored = |v: &Variable| {
            let saved = saved.variables.get(&v.name).ok_or_else(|| foreign(&v.name, "it was not saved"))?;
            Ok((saved.count, v.restored(saved, &slots)?))
        };
        let restored = self.variables.iter().map(restored).collect::<Result<Vec<_>>>()?;
        for (variable, (count, moments)) in self.variables.iter_mut().zip(restored) {
            (variable.count, variable.moments) = (count, moments);
        }
        Ok(())
    }
}

fn foreign(name: &str, why: impl std::fmt::Display) -> Error {
    Error::Foreign { what: "saved optimizer state".into(), why: format!("variable `{name}`: {why}") }
}

fn slots(optimizer: &Optimizer) -> [Option<&'static str>; SLOTS] {
    match optimizer {
        Optimizer::Adam(rule) => rule.slots(),
        Optimizer::Sgd(rule) => rule.slots(),
        Optimizer::RmsProp(rule) => rule.slots(),
    }
}

fn zeros<T: Real>(slots: &[Option<&str>; SLOTS], var: &Var) -> [Vec<T>; SLOTS] {
    slots.map(|slot| if slot.is_some() { vec![T::zero(); var.elem_count()] } else { Vec::new() })
}

/// Half precision is computed in `f32`.
fn compute_dtype(var: &Var) -> DType {
    match var.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

impl Moments {
    fn tensors(slots: &[Option<&str>; SLOTS], var: &Var) -> CResult<Self> {
        let zeros = |slot: Option<&str>| match slot {
            Some(_) => Tensor::zeros(var.shape(), compute_dtype(var), var.device()),
            None => Tensor::zeros((), DType::F32, &Device::Cpu),
        };
        let [a, b, c] = *slots;
        Ok(Self::Tensors([zeros(a)?, zeros(b)?, zeros(c)?]))
    }
}

impl Variable {
    fn step<R: UpdateRule>(&mut self, rule: &R, gradient: &Tensor, rate: f64, limits: Limits) -> CResult<()> {
        if gradient.shape() != self.var.shape() {
            let must = format!("of the variable's shape, {:?}", self.var.dims());
            let what = format!("the gradient of `{}`", self.name);
            return Err(Error::invalid(what, must, format!("of shape {:?}", gradient.dims())).into());
        }
        self.count += 1;
        let step = Step { rate, count: self.count, limits };
        match &mut self.moments {
            Moments::F32(moments) => in_place(rule, step, &self.var, gradient, moments),
            Moments::F64(moments) => in_place(rule, step, &self.var, gradient, moments),
            Moments::Tensors(moments) => {
                let dtype = compute_dtype(&self.var);
                // Detached: moments that remembered how they came about would hold every step's graph.
                let w = self.var.as_detached_tensor().to_dtype(dtype)?;
                let g = limits.apply(&gradient.detach().to_dtype(dtype)?)?;
                let w = rule.tensors(step, &w, &g, moments)?;
                self.var.set(&w.to_dtype(self.var.dtype())?)
            }
        }
    }

    fn save(&self, slots: &[Option<&'static str>; SLOTS]) -> CResult<SavedVariable> {
        let mut moments = BTreeMap::new();
        for (i, slot) in slots.iter().enumerate() {
            if let Some(name) = slot {
                moments.insert((*name).to_owned(), self.moments.save(i)?);
            }
        }
        Ok(SavedVariable { count: self.count, shape: self.var.dims().to_vec(), moments })
    }

    fn restored(&self, saved: &SavedVariable, slots: &[Option<&'static str>; SLOTS]) -> Result<Moments> {
        if saved.shape != self.var.dims() {
            let why = format!("its shape was {:?} and is {:?}", saved.shape, self.var.dims());
            return Err(foreign(&self.name, why));
        }
        let wanted: Vec<&str> = slots.iter().copied().flatten().collect();
        if !saved.moments.keys().eq(wanted.iter().copied().collect::<BTreeSet<_>>()) {
            let found: Vec<_> = saved.moments.keys().collect();
            return Err(foreign(&self.name, format!("its moments were {found:?} and must be {wanted:?}")));
        }
        let mut moments = match &self.moments {
            Moments::F32(_) => Moments::F32(Default::default()),
            Moments::F64(_) => Moments::F64(Default::default()),
            Moments::Tensors(_) => Moments::tensors(slots, &self.var)?,
        };
        for (i, slot) in slots.iter().enumerate() {
            let Some(values) = slot.and_then(|slot| saved.moments.get(slot)) else { continue };
            let length = match values {
                Values::F32(x) => x.len(),
                Values::F64(x) => x.len(),
            };
            if length != self.var.elem_count() {
                return Err(foreign(
                    &self.name,
                    format!("{length} values were saved for shape {:?}", saved.shape),
                ));
            }
            match (&mut moments, values) {
                (Moments::F32(m), Values::F32(x)) => m[i].clone_from(x),
                (Moments::F64(m), Values::F64(x)) => m[i].clone_from(x),
                (Moments::Tensors(m), Values::F32(x)) if m[i].dtype() == DType::F32 => {
                    m[i] = Tensor::from_slice(x, self.var.shape(), self.var.device())?;
                }
                (Moments::Tensors(m), Values::F64(x)) if m[i].dtype() == DType::F64 => {
                    m[i] = Tensor::from_slice(x, self.var.shape(), self.var.device())?;
                }
                _ => return Err(foreign(&self.name, "its moments are of another floating-point type")),
            }
        }
        Ok(moments)
    }
}

impl Moments {
    fn save(&self, slot: usize) -> CResult<Values> {
        Ok(match self {
            Self::F32(m) => Values::F32(m[slot].clone()),
            Self::F64(m) => Values::F64(m[slot].clone()),
            Self::Tensors(m) => {
                let flat = m[slot].flatten_all()?;
                match flat.dtype() {
                    DType::F64 => Values::F64(flat.to_vec1()?),
                    _ => Values::F32(flat.to_vec1()?),
                }
            }
        })
    }
}

fn in_place<T: Real, R: UpdateRule>(
    rule: &R,
    step: Step,
    var: &Var,
    gradient: &Tensor,
    moments: &mut [Vec<T>; SLOTS],
) -> CResult<()> {
    // As candle computes them, gradients are of the variable's type and contiguous: neither call copies.
    let gradient = gradient.to_dtype(T::DTYPE)?.contiguous()?;
    var.inplace_op2(&gradient, &InPlace::new(rule.kernel::<T>(step), moments))
}

/// The state of an optimizer, as data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedOptimizer {
    /// By the variable's name.
    pub variables: BTreeMap<String, SavedVariable>,
}

impl SavedOptimizer {
    /// The moments as tensors, called `VARIABLE/MOMENT`, and the rest.
    pub(crate) fn without_moments(mut self) -> Result<(Self, Weights)> {
        let mut tensors = Weights::new();
        for (name, variable) in &mut self.variables {
            for (moment, values) in std::mem::take(&mut variable.moments) {
                let tensor = match values {
                    Values::F32(x) => Tensor::from_vec(x, &*variable.shape, &Device::Cpu)?,
                    Values::F64(x) => Tensor::from_vec(x, &*variable.shape, &Device::Cpu)?,
                };
                tensors.insert(format!("{name}/{moment}"), tensor);
            }
        }
        Ok((self, tensors))
    }

    /// The inverse of [`SavedOptimizer::without_moments`].
    pub(crate) fn with_moments(mut self, tensors: Weights) -> Result<Self> {
        for (path, tensor) in tensors {
            let variable = path.rsplit_once('/').and_then(|(name, moment)| {
                self.variables.get_mut(name).map(|variable| (variable, moment.to_string()))
            });
            let Some((variable, moment)) = variable else {
                return Err(foreign(&path, "it is a moment of no variable"));
            };
            let flat = tensor.flatten_all()?;
            let values = match flat.dtype() {
                DType::F64 => Values::F64(flat.to_vec1()?),
                _ => Values::F32(flat.to_vec1()?),
            };
            variable.moments.insert(moment, values);
        }
        Ok(self)
    }
}

/// What an optimizer remembers of one variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedVariable {
    /// Steps in which the variable had a gradient.
    pub count: u64,
    /// The variable's shape, and that of each moment.
    pub shape: Vec<usize>,
    /// Moments by name, elements in row-major order.
    pub moments: BTreeMap<String, Values>,
}

/// The elements of a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// Of a variable in `f32` or half precision.
    F32(Vec<f32>),
    /// Of a variable in `f64`.
    F64(Vec<f64>),
}
