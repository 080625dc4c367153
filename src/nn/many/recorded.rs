//! What a constructor asks its `VarBuilder` for.
use candle_core::{bail, DType, Device, Result, Shape, Tensor, TensorId, Var};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A variable that a constructor has asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The whole name.
    pub(super) name: String,
    shape: Shape,
    init: Init,
    dtype: DType,
    device: Device,
    /// What the constructor was given: zeros.
    placeholder: Tensor,
}

impl Asked {
    /// The variable itself.
    pub(super) fn get(&self, root: &VarBuilder<'_>) -> Result<Tensor> {
        ask(root, self.shape.clone(), &self.name, self.init, self.dtype, &self.device)
    }

    /// The variable of this name with another shape and another beginning.
    pub(super) fn get_as(&self, root: &VarBuilder<'_>, shape: Shape, init: Init) -> Result<Tensor> {
        ask(root, shape, &self.name, init, self.dtype, &self.device)
    }

    pub(super) fn init(&self) -> Init {
        self.init
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }
}

fn ask(
    root: &VarBuilder<'_>,
    shape: Shape,
    name: &str,
    init: Init,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let root = root.clone();
    let root = if root.device().same_device(device) { root } else { root.set_device(device.clone()) };
    root.get_with_hints_dtype(shape, name, init, dtype)
}

/// The variables that a constructor has asked for by shape, in the order in which it first did.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    by_name: BTreeMap<String, Asked>,
    by_id: HashMap<TensorId, String>,
    order: Vec<String>,
}

impl Recorded {
    /// Calls a constructor with variables that are zeros, and writes down which ones it asks for. A name without a shape is
    /// passed on.
    pub(super) fn of<'a, T>(
        vb: &VarBuilder<'a>,
        constructor: impl FnOnce(VarBuilder<'a>) -> Result<T>,
    ) -> Result<(Self, T)> {
        let recorded = Arc::new(Mutex::new(Self::default()));
        let made =
            constructor(at_the_place_of(vb, Recorder { root: vb.root(), recorded: recorded.clone() }))?;
        let recorded = lock(&recorded).clone();
        Ok((recorded, made))
    }

    /// The variable behind a tensor that the constructor was given.
    pub(super) fn behind(&self, tensor: &Tensor) -> Option<&Asked> {
        self.by_name.get(self.by_id.get(&tensor.id())?)
    }

    /// The variable of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Asked> {
        self.by_name.get(name)
    }

    /// All variables, in the order in which the constructor asked for them.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Asked> {
        self.order.iter().filter_map(|name| self.by_name.get(name))
    }

    /// Calls the constructor again, with the variables themselves in place of zeros, except for the names in `kept`.
    pub(super) fn again<'a, T>(
        &self,
        vb: &VarBuilder<'a>,
        kept: BTreeSet<String>,
        constructor: impl FnOnce(VarBuilder<'a>) -> Result<T>,
    ) -> Result<T> {
        constructor(at_the_place_of(vb, Given { root: vb.root(), kept, recorded: self.clone() }))
    }

    fn add(&mut self, asked: Asked) -> Tensor {
        let (name, placeholder) = (asked.name.clone(), asked.placeholder.clone());
        self.by_id.insert(placeholder.id(), name.clone());
        self.order.push(name.clone());
        self.by_name.insert(name, asked);
        placeholder
    }

    /// What the constructor was given for a variable of this shape.
    fn placeholder(&self, name: &str, shape: &Shape) -> Result<Option<Tensor>> {
        match self.by_name.get(name) {
            Some(asked) if asked.shape == *shape => Ok(Some(asked.placeholder.clone())),
            Some(asked) => bail!("{name} has shape {:?}, but is requested with {shape:?}", asked.shape),
            None => Ok(None),
        }
    }
}

fn lock(recorded: &Mutex<Recorded>) -> MutexGuard<'_, Recorded> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A `VarBuilder` with this backend, of the type, device and prefix of another.
fn at_the_place_of<'a>(vb: &VarBuilder<'a>, backend: impl SimpleBackend + 'a) -> VarBuilder<'a> {
    let root = VarBuilder::from_backend(Box::new(backend), vb.dtype(), vb.device().clone());
    match vb.prefix() {
        prefix if prefix.is_empty() => root,
        prefix => root.set_prefix(prefix),
    }
}

struct Recorder<'a> {
    root: VarBuilder<'a>,
    recorded: Arc<Mutex<Recorded>>,
}

impl SimpleBackend for Recorder<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut recorded = lock(&self.recorded);
        if let Some(placeholder) = recorded.placeholder(name, &shape)? {
            return Ok(placeholder);
        }
        // A variable, because layers that write to theirs copy what is none.
        let placeholder = Var::zeros(shape.clone(), dtype, device)?.into_inner();
        let device = device.clone();
        Ok(recorded.add(Asked { name: name.into(), shape, init, dtype, device, placeholder }))
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        self.root.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.root.contains_tensor(name)
    }
}

struct Given<'a> {
    root: VarBuilder<'a>,
    kept: BTreeSet<String>,
    recorded: Recorded,
}

impl SimpleBackend for Given<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        match self.recorded.placeholder(name, &shape)? {
            None => bail!("the constructor did not ask for a variable `{name}` when it was called first"),
            Some(placeholder) if self.kept.contains(name) => Ok(placeholder),
            Some(_) => ask(&self.root, shape, name, init, dtype, device),
        }
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        self.root.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.root.contains_tensor(name)
    }
}
