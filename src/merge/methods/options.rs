//! The settings that merges in memory and merges of files share.
use crate::{Error, Result};
use candle_core::DType;
use safetensors::Dtype;
use std::collections::BTreeMap;

/// The settings of a merge, whatever it reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct MergeOptions {
    pub(crate) dtype: Option<DType>,
    /// Names of tensors, each with the name of the tensor that it is tied to.
    pub(crate) tied: Vec<(String, String)>,
    pub(crate) copy_integers: bool,
}

impl MergeOptions {
    /// The dtype of the floating-point tensors of the result, if it is set.
    pub(crate) fn to(&self) -> Result<Option<Dtype>> {
        match self.dtype {
            None => Ok(None),
            Some(DType::F16) => Ok(Some(Dtype::F16)),
            Some(DType::BF16) => Ok(Some(Dtype::BF16)),
            Some(DType::F32) => Ok(Some(Dtype::F32)),
            Some(DType::F64) => Ok(Some(Dtype::F64)),
            Some(other) => Err(Error::invalid("the dtype", "f16, bf16, f32 or f64", other.as_str())),
        }
    }

    /// Gives each input that lacks a tied tensor the tensor that it is tied to.
    pub(crate) fn tie<T: Clone>(&self, inputs: &mut [&mut BTreeMap<String, T>]) -> Result<()> {
        for (name, of) in &self.tied {
            if !inputs.iter().any(|tensors| tensors.contains_key(name)) {
                let what = format!("the tied tensor {name}");
                return Err(Error::invalid(
                    what,
                    "a tensor of at least one of the networks",
                    "in none of them",
                ));
            }
            for tensors in inputs.iter_mut().filter(|tensors| !tensors.contains_key(name)) {
                if let Some(tensor) = tensors.get(of).cloned() {
                    tensors.insert(name.clone(), tensor);
                }
            }
        }
        Ok(())
    }
}

/// The setters of these settings.
macro_rules! merge_option_setters {
    () => {
        /// The dtype of the floating-point tensors of the result: f16, bf16, f32 or f64. The floating-point
        /// tensors of the inputs may then differ in their dtypes. By default each keeps its own, which must be
        /// the same in all inputs.
        #[must_use]
        pub fn dtype(mut self, dtype: DType) -> Self {
            self.options.dtype = Some(dtype);
            self
        }

        /// Declares the tensor `name` tied to the tensor `of`: an input that lacks `name` has its elements in
        /// `of`. So a checkpoint that stores its output layer only once, as its embedding, can be merged with
        /// one that stores both. The result has both.
        #[must_use]
        pub fn tied(mut self, name: impl Into<String>, of: impl Into<String>) -> Self {
            self.options.tied.push((name.into(), of.into()));
            self
        }

        /// Whether integer and boolean tensors of more than one element are copied from the base, or from the
        /// first network, although they differ between the inputs; false by default. They are an error
        /// otherwise, since they may be quantized weights, which belong to their own scales and zero points.
        /// Counters, which have one element, are always copied.
        #[must_use]
        pub fn copy_integers(mut self, copy: bool) -> Self {
            self.options.copy_integers = copy;
            self
        }
    };
}
pub(crate) use merge_option_setters;
