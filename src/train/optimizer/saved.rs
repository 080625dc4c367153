//! The state of an optimizer, as data.
use crate::{weights::Weights, Error, Result};
use candle_core::{DType, Device, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of an optimizer, as data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedOptimizer {
    /// The state of each variable, by its name.
    pub variables: BTreeMap<String, SavedVariable>,
}

impl SavedOptimizer {
    /// Splits off the moments, as tensors called `VARIABLE/MOMENT`.
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
                return Err(foreign(&path, "no saved variable has this moment"));
            };
            variable.moments.insert(moment, values(&tensor)?);
        }
        Ok(self)
    }
}

/// The state of an optimizer for one variable, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedVariable {
    /// Steps of the variable: those in which it had a gradient.
    pub count: u64,
    /// The shape of the variable and of each moment.
    pub shape: Vec<usize>,
    /// Moments by name, with elements in row-major order. For a variable in half precision also its weights in
    /// `f32`, as `weights`.
    pub moments: BTreeMap<String, Values>,
}

impl Values {
    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
        }
    }
}

/// The elements of a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// The moment of a variable in `f32` or half precision.
    F32(Vec<f32>),
    /// The moment of a variable in `f64`.
    F64(Vec<f64>),
}

/// The elements of a tensor in `f32` or `f64`.
pub(super) fn values(tensor: &Tensor) -> CResult<Values> {
    let flat = tensor.flatten_all()?;
    Ok(match flat.dtype() {
        DType::F64 => Values::F64(flat.to_vec1()?),
        _ => Values::F32(flat.to_vec1()?),
    })
}

pub(super) fn foreign(name: &str, why: impl std::fmt::Display) -> Error {
    Error::Foreign { what: "saved optimizer state".into(), why: format!("variable `{name}`: {why}") }
}
