//! How layers are pretrained, as data.
use crate::{
    check::{below_one, positive},
    Error, Result, Seed,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// How [`GreedyPretraining`](crate::train::GreedyPretraining) trains one hidden layer after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Pretraining {
    /// Each step adds a hidden layer below the output layer and trains with the targets. The output layer
    /// keeps its weights from step to step.
    ///
    /// Source: Bengio et al. (2007), "Greedy layer-wise training of deep networks", NIPS 19:153–160.
    Supervised {
        /// Whether the hidden layers of earlier steps are frozen. They then run in evaluation mode.
        freeze_earlier: bool,
        /// Epochs in which all layers are trained together after the last step; 0 for none.
        fine_tuning: usize,
    },
    /// Each hidden layer learns to reconstruct its inputs `x`, without targets: a linear decoder of its own,
    /// which is no part of the member, is trained with it. All layers are then trained together with the
    /// targets.
    ///
    /// ```text
    /// l = mean((x − (V f(x̃) + c))²),   x̃ = x, or x with noise for a denoising autoencoder
    /// ```
    ///
    /// Source: Bengio et al. (2007), as above; Vincent et al. (2010), "Stacked denoising autoencoders", JMLR
    /// 11:3371–3408.
    Autoencoder {
        /// Epochs for each hidden layer, at least 1.
        epochs: usize,
        /// The noise of a denoising autoencoder.
        corruption: Option<Corruption>,
    },
}

impl Default for Pretraining {
    /// [`Pretraining::Supervised`] with earlier layers frozen and no fine-tuning.
    fn default() -> Self {
        Self::Supervised { freeze_earlier: true, fine_tuning: 0 }
    }
}

impl Pretraining {
    /// [`Pretraining::Autoencoder`] without noise.
    #[must_use]
    pub fn autoencoder(epochs: usize) -> Self {
        Self::Autoencoder { epochs, corruption: None }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Supervised { .. } => Ok(()),
            Self::Autoencoder { epochs: 0, .. } => {
                Err(Error::invalid("Pretraining::Autoencoder::epochs", "at least 1", 0))
            }
            Self::Autoencoder { corruption, .. } => {
                corruption.map_or(Ok(()), |corruption| corruption.check())
            }
        }
    }
}

/// The noise that a denoising autoencoder removes, drawn anew for each batch from the run's seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Corruption {
    /// Adds normal noise to each input: `x̃ = x + σ·z`.
    Gaussian {
        /// The standard deviation `σ`, above 0.
        std: f64,
    },
    /// Sets each input to 0 with this probability; the others stay as they are.
    Masking {
        /// The probability, from 0 to less than 1.
        share: f64,
    },
}

impl Corruption {
    fn check(self) -> Result<()> {
        match self {
            Self::Gaussian { std } => positive("Corruption::Gaussian::std", std),
            Self::Masking { share } => below_one("Corruption::Masking::share", share),
        }
    }

    /// The inputs with noise.
    pub(super) fn apply(self, xs: &Tensor, seed: Seed) -> CandleResult<Tensor> {
        let (mut rng, n) = (seed.rng(), xs.elem_count());
        let drawn: Vec<f64> = match self {
            Self::Gaussian { std } => (0..n).map(|_| std * rng.sample::<f64, _>(StandardNormal)).collect(),
            Self::Masking { share } => (0..n).map(|_| f64::from(rng.random::<f64>() >= share)).collect(),
        };
        let dtype = if xs.dtype().is_float() { xs.dtype() } else { DType::F32 };
        let drawn = Tensor::from_vec(drawn, xs.shape(), &candle_core::Device::Cpu)?;
        let (drawn, xs) = (drawn.to_dtype(dtype)?.to_device(xs.device())?, xs.to_dtype(dtype)?);
        match self {
            Self::Gaussian { .. } => xs + drawn,
            Self::Masking { .. } => xs * drawn,
        }
    }
}
