//! A `VarBuilder` over given weights that reports which of them were not used.
use crate::weights::Weights;
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// The names of the weights that the constructor has not requested.
#[derive(Clone)]
pub(crate) struct Unread(Arc<Mutex<BTreeSet<String>>>);

impl Unread {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// A `VarBuilder` that returns `weights`, and the names that were not requested yet. If a constructor leaves
/// some names, the weights are those of another network, even if all requested weights fit.
pub(crate) fn builder(weights: &Weights, dtype: DType, device: &Device) -> (VarBuilder<'static>, Unread) {
    let unread = Unread(Arc::new(Mutex::new(weights.keys().cloned().collect())));
    let weights = weights.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    let backend = StrictWeights { weights, unread: unread.clone() };
    (VarBuilder::from_backend(Box::new(backend), dtype, device.clone()), unread)
}

/// The backend of [`builder`].
struct StrictWeights {
    weights: HashMap<String, Tensor>,
    unread: Unread,
}

impl SimpleBackend for StrictWeights {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.unread.remove(name);
        SimpleBackend::get(&self.weights, shape, name, init, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        self.unread.remove(name);
        self.weights.get_unchecked(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }
}
