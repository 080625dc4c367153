//! What a monitor measured in one epoch of a run.
use crate::{codec::real, nn::ActivationRecord};
use serde::{Deserialize, Serialize};

/// Norms of the gradients, weights and updates of each variable in one epoch, and statistics of the outputs of layers.
///
/// [`Trainer::monitor`](crate::train::Trainer::monitor) turns the measurement on. The records are part of the learning
/// curve ([`EpochRecord::monitors`](crate::store::EpochRecord::monitors)), so they are stored with the member and
/// survive an interruption.
///
/// Read them from the output layer to the input layer. Gradients that shrink by a factor from layer to layer vanish, and
/// gradients that grow by a factor explode. A ratio of updates to weights around 0.001 is usual; far more means that the
/// learning rate is too high for the layer, far less that the layer hardly learns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Monitors {
    /// One record for each trainable variable that had a gradient, in the order of names.
    pub variables: Vec<VariableRecord>,
    /// One record for each layer of a [`Sequential`](crate::nn::Sequential), and for each output that the model
    /// [reports](crate::nn::observe_output), in the order of the forward pass.
    #[serde(default)]
    pub layers: Vec<ActivationRecord>,
}

/// The norms of one variable in one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariableRecord {
    /// The name of the variable.
    pub name: String,
    /// `‖g‖`: the mean, over the measured steps, of the Euclidean norm of the gradient, before it is clipped.
    #[serde(with = "real")]
    pub gradient: f64,
    /// `‖w‖`: the Euclidean norm of the weights after the epoch.
    #[serde(with = "real")]
    pub weight: f64,
    /// `‖Δw‖`: the mean, over the measured steps, of the Euclidean norm of the change of the weights.
    #[serde(with = "real")]
    pub update: f64,
}

impl VariableRecord {
    /// `‖Δw‖ / ‖w‖`; `None` where all weights are 0.
    #[must_use]
    pub fn update_ratio(&self) -> Option<f64> {
        (self.weight > 0.).then(|| self.update / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_with_numbers_that_are_not_finite_survives_json() {
        let record =
            VariableRecord { name: "a.weight".into(), gradient: f64::INFINITY, weight: 2., update: 0.5 };
        let monitors = Monitors { variables: vec![record], layers: vec![] };
        let text = serde_json::to_string(&monitors).unwrap();
        assert_eq!(serde_json::from_str::<Monitors>(&text).unwrap(), monitors);
        assert_eq!(monitors.variables[0].update_ratio(), Some(0.25));
        let zero = VariableRecord { weight: 0., ..monitors.variables[0].clone() };
        assert_eq!(zero.update_ratio(), None);
    }
}
