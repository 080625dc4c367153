//! The scalings of a run.
use crate::{
    data::{FittedScaling, Inputs},
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The scalings that a run has fitted on its training rows: of its inputs, and of its targets. The default is none.
///
/// They are part of a member's record ([`Record::scaling`](crate::store::Record::scaling)). Whatever predicts with the
/// member scales the inputs before the network, and the values that the network outputs back after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FittedScalings {
    /// The scaling of the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<FittedScaling>,
    /// The scaling of the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<FittedScaling>,
}

impl FittedScalings {
    /// Whether nothing is scaled.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.inputs.is_none() && self.targets.is_none()
    }

    /// The inputs as the network gets them.
    ///
    /// # Errors
    /// When there are several inputs, or as [`FittedScaling::transform`].
    pub fn scale_inputs(&self, inputs: &Inputs) -> Result<Inputs> {
        match &self.inputs {
            None => Ok(inputs.clone()),
            Some(scaling) => Ok(scaling.transform(only(inputs)?)?.into()),
        }
    }

    /// The targets as the network is trained on them.
    ///
    /// # Errors
    /// As [`FittedScaling::transform`].
    pub fn scale_targets(&self, targets: &Tensor) -> Result<Tensor> {
        self.targets.as_ref().map_or_else(|| Ok(targets.clone()), |scaling| scaling.transform(targets))
    }

    /// What the network outputs, in the targets' own units: `(B, K)` or `(B,)`.
    ///
    /// # Errors
    /// As [`FittedScaling::inverse`].
    pub fn unscale_outputs(&self, output: &Tensor) -> Result<Tensor> {
        self.targets.as_ref().map_or_else(|| Ok(output.clone()), |scaling| scaling.inverse(output))
    }

    /// The same as operations that gradients pass through.
    ///
    /// # Errors
    /// When the targets are scaled otherwise than by a shift and a factor.
    pub(crate) fn unscale_in_graph(&self, output: &Tensor) -> Result<Tensor> {
        let Some(scaling) = &self.targets else { return Ok(output.clone()) };
        let Some(affine) = scaling.affine() else {
            let must = "one by a shift and a factor, where gradients have to pass through it";
            return Err(Error::invalid("the scaling of the targets", must, "another one"));
        };
        let row = |numbers: &[f64]| Tensor::new(numbers, output.device())?.to_dtype(output.dtype());
        let scaled = output.broadcast_mul(&row(affine.scale())?)?;
        Ok(scaled.broadcast_add(&row(affine.shift())?)?)
    }
}

/// The only input.
pub(crate) fn only(inputs: &Inputs) -> Result<&Tensor> {
    match inputs.tensors() {
        [only] => Ok(only),
        several => {
            let must = "used where the network has one input";
            Err(Error::invalid("the scaling of inputs", must, format!("used with {} inputs", several.len())))
        }
    }
}
