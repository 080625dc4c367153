//! One network for several members: the variables of the members behind those of one network.
//!
//! A [`Stack`] calls the constructor of a network once more, with variables that stand for those of the members. In a
//! [pass](Stack::pass) the layers of this crate find the members' variables behind them, by [`members`], and compute each
//! member's part of the rows with its own. Rows are along dimension 0, those of one member after those of the other, so
//! that operations on single rows need not know of the members. Nothing is copied: a layer reads the variables that the
//! optimizers write, and its gradients are those of the members' variables.
//!
//! What stands for a variable is NaN everywhere. A layer that does not know of the members computes with it, so its
//! outputs are not those of the members, and whoever compares them sees it.
mod backend;
mod operation;
#[cfg(test)]
mod tests;

pub(super) use operation::{apply, give};

use crate::weights::Vars;
use backend::{Made, StackBackend, Variable};
use candle_core::{bail, DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

/// The variables of several members of one architecture behind those of one network.
#[derive(Debug)]
pub(crate) struct Stack(Arc<std::sync::Mutex<Made>>);

impl Stack {
    /// The stack of these members, and the `VarBuilder` with which its network has to be built. Operations on the `frozen`
    /// variables are not tracked.
    pub(crate) fn new(
        members: &[&Vars],
        frozen: &BTreeSet<String>,
        dtype: DType,
        device: &Device,
    ) -> (Self, VarBuilder<'static>) {
        let backend = StackBackend::new(members, frozen);
        let stack = Self(backend.made());
        (stack, VarBuilder::from_backend(Box::new(backend), dtype, device.clone()))
    }

    /// Runs `f` while the layers of the network compute for the members with these numbers. Returns also the names of the
    /// variables that no layer has asked for.
    pub(crate) fn pass<T>(&self, members: &[usize], f: impl FnOnce() -> T) -> (T, Vec<String>) {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let _within = Within::begin(Pass { made, members: members.to_vec(), asked: BTreeSet::new() });
        let result = f();
        let left = PASS.with_borrow(|pass| pass.as_ref().map(Pass::left)).unwrap_or_default();
        (result, left)
    }
}

/// A pass for several members.
struct Pass {
    made: Made,
    /// The numbers of the members.
    members: Vec<usize>,
    /// The names of the variables that layers have asked for.
    asked: BTreeSet<String>,
}

impl Pass {
    /// The names of the variables that no layer has asked for.
    fn left(&self) -> Vec<String> {
        let names = self.made.names();
        names.filter(|name| !self.asked.contains(*name)).map(ToString::to_string).collect()
    }

    /// What `part` makes of each member's variable that a tensor stands for.
    fn find<T>(&mut self, tensor: &Tensor, part: impl Fn(&Variable, Var) -> T) -> Result<Option<Vec<T>>> {
        let Some(variable) = self.made.get(tensor.id()) else { return Ok(None) };
        let Variable { name, vars, .. } = variable;
        if !self.asked.contains(name) {
            self.asked.insert(name.clone());
        }
        let of = |member: &usize| match vars.get(*member) {
            Some(var) => Ok(part(variable, var.clone())),
            None => bail!("there is no member {member} in a stack of {}", vars.len()),
        };
        self.members.iter().map(of).collect::<Result<_>>().map(Some)
    }
}

thread_local! {
    static PASS: RefCell<Option<Pass>> = const { RefCell::new(None) };
    /// The number of members of the pass on this thread; 1 outside of a pass.
    static PARTS: Cell<usize> = const { Cell::new(1) };
}

/// Ends a pass, also when it is left by a panic.
struct Within(Option<Pass>, usize);

impl Within {
    fn begin(pass: Pass) -> Self {
        let parts = PARTS.replace(pass.members.len());
        Self(PASS.replace(Some(pass)), parts)
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        PASS.set(self.0.take());
        PARTS.set(self.1);
    }
}

/// The number of members whose rows the pass on this thread has; 1 outside of a [pass](Stack::pass).
pub(super) fn parts() -> usize {
    PARTS.get()
}

/// Whether this thread runs a [pass](Stack::pass).
pub(super) fn is_passing() -> bool {
    PASS.with_borrow(Option::is_some)
}

/// The variables of the members of the pass on this thread that stand behind a tensor; `None` for any other tensor.
///
/// # Errors
/// When the pass is for more members than the stack has.
pub(super) fn members(tensor: &Tensor) -> Result<Option<Vec<Var>>> {
    find(tensor, |_, var| var)
}

fn find<T>(tensor: &Tensor, part: impl Fn(&Variable, Var) -> T) -> Result<Option<Vec<T>>> {
    PASS.with_borrow_mut(|pass| pass.as_mut().map_or(Ok(None), |pass| pass.find(tensor, part)))
}

/// The operand of a layer for each member of a pass: its own variable, untracked if it is frozen, or a constant that all of
/// them share.
///
/// # Errors
/// When the tensor has been computed from variables, which are not those of the members.
pub(super) fn operands(tensor: &Tensor) -> Result<Vec<Tensor>> {
    match find(tensor, Variable::operand)? {
        Some(operands) => Ok(operands),
        None if tensor.track_op() => bail!("a layer has weights that are computed from variables"),
        None => Ok(vec![tensor.clone(); parts()]),
    }
}

/// The number of rows that each member has of these.
///
/// # Errors
/// When the rows cannot be shared equally.
pub(super) fn rows_of_each(rows: usize) -> Result<usize> {
    let parts = parts();
    match rows.checked_rem(parts) {
        Some(0) => Ok(rows / parts),
        _ => bail!("{rows} rows cannot be shared by {parts} members"),
    }
}

/// What `f` makes of each member's rows, one after the other: for layers that are not one operation.
///
/// # Errors
/// When the rows cannot be shared equally, or `f` fails.
pub(super) fn each(x: &Tensor, mut f: impl FnMut(usize, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let rows = rows_of_each(x.dim(0)?)?;
    let made = (0..parts()).map(|member| f(member, &x.narrow(0, member * rows, rows)?));
    Tensor::cat(&made.collect::<Result<Vec<_>>>()?, 0)
}
