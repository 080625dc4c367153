//! Weights handed to a constructor, which has to take all of them.
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{var_builder::SimpleBackend, Init, VarBuilder};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use crate::weights::Weights;

/// The names that the constructor has not asked for.
#[derive(Clone)]
pub(crate) struct Unread(Arc<Mutex<BTreeSet<String>>>);

impl Unread {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn strike(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// A builder that gives `weights`, and what is left of them. A constructor that leaves some is that of another
/// network, even where the others fit.
pub(crate) fn builder(weights: &Weights, dtype: DType, device: &Device) -> (VarBuilder<'static>, Unread) {
    let unread = Unread(Arc::new(Mutex::new(weights.keys().cloned().collect())));
    let weights = weights.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    let given = StrictWeights { weights, unread: unread.clone() };
    (VarBuilder::from_backend(Box::new(given), dtype, device.clone()), unread)
}

struct StrictWeights {
    weights: HashMap<String, Tensor>,
    unread: Unread,
}

impl SimpleBackend for StrictWeights {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.unread.strike(name);
        SimpleBackend::get(&self.weights, shape, name, init, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        self.unread.strike(name);
        self.weights.get_unchecked(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }
}
