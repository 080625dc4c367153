//! The source of the variables of a network for several members, as a backend of candle's `VarBuilder`.
use crate::{nn::frozen::is_untracked, weights::Vars};
use candle_core::{bail, DType, Device, Result, Shape, Tensor, TensorId, Var};
use candle_nn::{var_builder::SimpleBackend, Init};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// What the variables of the network stand for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    by_id: Arc<HashMap<TensorId, Variable>>,
    by_name: Arc<BTreeMap<String, Tensor>>,
}

/// The variables of the members that one variable stands for.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) vars: Vec<Var>,
    /// Whether operations on it are tracked.
    is_tracked: bool,
}

impl Variable {
    /// The variable of a member as the operand of a layer.
    pub(super) fn operand(&self, var: Var) -> Tensor {
        match self.is_tracked {
            true => var.into_inner(),
            false => var.as_detached_tensor(),
        }
    }
}

impl Made {
    pub(super) fn get(&self, id: TensorId) -> Option<&Variable> {
        self.by_id.get(&id)
    }

    /// The names of all variables, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    fn insert(&mut self, stands_for: Tensor, variable: Variable) {
        Arc::make_mut(&mut self.by_name).insert(variable.name.clone(), stands_for.clone());
        Arc::make_mut(&mut self.by_id).insert(stands_for.id(), variable);
    }
}

/// Makes a variable of the shape of the members' variables for each name that is asked for.
pub(super) struct StackBackend {
    /// The variables of each member.
    members: Vec<BTreeMap<String, Var>>,
    /// The names of the variables that are not trained.
    frozen: BTreeSet<String>,
    made: Arc<Mutex<Made>>,
}

impl StackBackend {
    pub(super) fn new(members: &[&Vars], frozen: &BTreeSet<String>) -> Self {
        let named = |vars: &&Vars| vars.named().into_iter().collect();
        Self { members: members.iter().map(named).collect(), frozen: frozen.clone(), made: Arc::default() }
    }

    /// A handle to what is made.
    pub(super) fn made(&self) -> Arc<Mutex<Made>> {
        self.made.clone()
    }

    /// The variable of this name of each member.
    fn of_members(&self, name: &str) -> Result<Vec<Var>> {
        let of = |member: &BTreeMap<String, Var>| match member.get(name) {
            Some(var) => Ok(var.clone()),
            None => bail!("not every member has a variable `{name}`"),
        };
        self.members.iter().map(of).collect()
    }

    /// What stands for the variables of this name.
    fn stands_for(&self, name: &str) -> Result<Tensor> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tensor) = made.by_name.get(name) {
            return Ok(tensor.clone());
        }
        let vars = self.of_members(name)?;
        let Some(first) = vars.first() else { bail!("there are no members") };
        let alike = |var: &Var| {
            var.shape() == first.shape()
                && var.dtype() == first.dtype()
                && var.device().same_device(first.device())
        };
        if !vars.iter().all(alike) {
            bail!("the variables `{name}` of the members differ in their shapes, types or devices");
        }
        let (var, is_tracked) = (unusable(first)?, !is_untracked(&self.frozen, name));
        let tensor = if is_tracked { var.into_inner() } else { var.as_detached_tensor() };
        made.insert(tensor.clone(), Variable { name: name.into(), vars, is_tracked });
        Ok(tensor)
    }
}

/// A variable of this shape and type with which nothing can be computed unnoticed: NaN, or the largest integers.
fn unusable(like: &Var) -> Result<Var> {
    let (shape, device) = (like.shape(), like.device());
    let full = match like.dtype() {
        DType::U32 => Tensor::full(u32::MAX, shape, device)?,
        DType::U8 => Tensor::full(u8::MAX, shape, device)?,
        DType::I64 => Tensor::full(i64::MAX, shape, device)?,
        dtype => Tensor::full(f32::NAN, shape, device)?.to_dtype(dtype)?,
    };
    Var::from_tensor(&full)
}

impl SimpleBackend for StackBackend {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, _: &Device) -> Result<Tensor> {
        let tensor = self.stands_for(name)?;
        if tensor.shape() != &shape || tensor.dtype() != dtype {
            let (had, has) = (tensor.shape(), tensor.dtype());
            bail!("`{name}` is {has:?} {had:?}, but is requested as {dtype:?} {shape:?}");
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        self.stands_for(name)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.members.first().is_some_and(|member| member.contains_key(name))
    }
}
