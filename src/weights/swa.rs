//! Stochastic weight averaging.
use crate::{
    weights::{
        running_mean::{Precision, RunningMean},
        NamedTensors, Weights,
    },
    Result,
};

/// Averages the networks that a training passes through, with equal weights (stochastic weight averaging).
///
/// Formula: `θ̄ ← θ̄ + (θ − θ̄)/(n + 1)`, where `n` is the number of networks pushed before. The first
/// network is copied.
///
/// Tensors may have any shape and any dtype. f16, bf16 and f32 tensors are averaged in f32, f64 tensors in
/// f64; integer tensors are those of the newest network. Batch-norm's running statistics are averaged like
/// weights, which is not what the averaged network would measure: re-estimate them afterwards
/// ([`merge::re_estimate`](crate::merge::re_estimate())).
///
/// Use it for the last part of a training, at a constant or cyclic learning rate, with one network each epoch
/// or cycle. Don't use it from the first epoch on: early networks are far from the later ones.
/// [`Ema`](crate::weights::Ema) forgets them. The ready-made trainer averages by a setting
/// ([`Trainer::averaging`](crate::train::Trainer::averaging)).
///
/// Cost: a push is one pass over the weights, in place, and allocates nothing after the first. It runs on one
/// core within a rayon pool, where members train side by side, and else on all cores if the network is large.
/// Memory for one network.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{Swa, Weights};
///
/// let mut swa = Swa::new();
/// for w in [1f32, 2., 3., 4.] {
///     // A `VarMap`, too.
///     swa.push(&Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]))?;
/// }
/// assert_eq!(swa.weights()?["w"].to_vec1::<f32>()?, [2.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization",
/// arXiv:1803.05407.
#[derive(Debug)]
pub struct Swa(RunningMean);

impl Default for Swa {
    fn default() -> Self {
        Self::new()
    }
}

impl Swa {
    /// An average of no networks.
    #[must_use]
    pub fn new() -> Self {
        Self(RunningMean::new(Precision::Single))
    }

    /// Adds a network.
    ///
    /// # Errors
    /// [`Error::Incompatible`](crate::Error::Incompatible) when its names, shapes or dtypes differ from those
    /// of the networks before it. The average is unchanged then.
    pub fn push(&mut self, network: &impl NamedTensors) -> Result<()> {
        let share = 1. / (self.0.count() as f64 + 1.);
        self.0.push(network, share)
    }

    /// The number of networks that were added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// The average, in the dtypes of the networks.
    ///
    /// # Errors
    /// When no network was added, or an element of a tensor, which is named, is NaN or infinite.
    pub fn weights(&self) -> Result<Weights> {
        self.0.weights()
    }

    /// The state as bytes, for a checkpoint. An average that is [restored](Swa::restore) continues to the
    /// same bytes.
    ///
    /// # Errors
    /// When the safetensors buffer cannot be written.
    pub fn save(&self) -> Result<Vec<u8>> {
        self.0.save()
    }

    /// The average whose state was [saved](Swa::save).
    ///
    /// # Errors
    /// When the bytes are not a saved state.
    pub fn restore(bytes: &[u8]) -> Result<Self> {
        Ok(Self(RunningMean::restore(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn the_first_network_counts_once() -> Result<()> {
        let mut swa = Swa::new();
        for w in [1f32, 2., 3., 4.] {
            swa.push(&Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]))?;
        }
        assert_eq!((swa.weights()?["w"].to_vec1::<f32>()?, swa.count()), (vec![2.5], 4));
        Ok(())
    }
}
