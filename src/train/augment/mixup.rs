//! Mixtures of rows.
use crate::{
    check::positive,
    data::{Inputs, Positions},
    kernels::rows::select,
    registry::{Argument, Entry},
    train::augment::{
        made, own_share, partners, probability, probability_text, BatchTransform, MixedBatch, TransformBatch,
        PROBABILITY,
    },
    Error, Result, Seed,
};
use candle_core::{DType, Result as CResult, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Mixup: each row of a batch is mixed with another one. See [`BatchTransform`].
///
/// ```text
/// x ← λ x + (1 − λ) x',   loss = λ l(y) + (1 − λ) l(y')       λ ~ Beta(α, α), one for each batch
/// ```
///
/// The partner of each row is that of a random permutation of the batch, as in the source. The loss of a row is that of both
/// targets with their shares: for cross-entropy it is that of the mixed labels, and for the squared error its gradient is
/// that of the mixed targets. Each target counts with the weight of the row that it is from. All inputs are mixed, so all
/// must be of a floating-point type. Of rows with several positions, each position has both targets with their shares; a
/// position whose target is ignored in one of two rows has the other one alone.
///
/// Use it for classes, with an `α` from 0.1 to 0.4, where a network that is trained for long overfits, and for probabilities
/// that are less extreme. A larger `α` mixes more, and underfits. Do not use it for inputs whose mixtures mean nothing, such
/// as numbers of categories.
///
/// # Errors
/// [`BatchTransform::check`] names a parameter that is out of range. The first step fails if an input is of an integer type.
///
/// # Source
/// Zhang et al. 2018, arXiv:1710.09412.
///
/// ```
/// use candle_ensemble::train::{BatchTransform, Mixup};
///
/// assert_eq!(BatchTransform::registry().parse("mixup:0.2")?, Mixup::new(0.2).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mixup {
    /// The parameter `α` of the distribution of `λ`, above 0.
    pub alpha: f64,
    /// The probability with which a batch is mixed, from 0 to 1. Default 1.
    pub probability: f64,
}

impl Mixup {
    /// Mixtures of every batch with this `α`.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, probability: 1. }
    }

    /// Sets the probability with which a batch is mixed.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }
}

impl TransformBatch for Mixup {
    const ENTRY: Entry<BatchTransform> =
        Entry::new("mixup", "BatchTransform::Mixup", "Mixtures of each row with another one", |arguments| {
            let mixup = Mixup::new(arguments.get("alpha")?);
            made(mixup.probability(arguments.get("probability")?))
        })
        .with_arguments(&[
            Argument::new("alpha", "0.2", "The parameter of the Beta distribution of the shares"),
            PROBABILITY,
        ])
        .with_source("Zhang et al. 2018, arXiv:1710.09412");

    fn mixes(_: Positions) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        positive("Mixup::alpha", self.alpha)?;
        probability("Mixup::probability", self.probability)
    }

    fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        match batch.batch.inputs.tensors().iter().find(|tensor| !tensor.dtype().is_float()) {
            None => Ok(()),
            Some(tensor) => {
                let what = "the inputs of a training with Mixup";
                Err(Error::invalid(what, "of a floating-point type", tensor.dtype().as_str()))
            }
        }
    }

    fn apply(&self, batch: MixedBatch, seed: Seed) -> Result<MixedBatch> {
        let mut rng = seed.rng();
        if rng.random::<f64>() >= self.probability {
            return Ok(batch);
        }
        let own = own_share(self.alpha, &mut rng)?;
        let partners = partners(batch.batch.inputs.rows(), &mut rng);
        mix(batch, own, &partners)
    }
}

/// Mixes inputs and targets of each row with those of its partner.
pub(super) fn mix(batch: MixedBatch, own: f64, partners: &[u32]) -> Result<MixedBatch> {
    let mixed = |x: &Tensor| -> CResult<Tensor> {
        // The sum of short floats is rounded once.
        let wide = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let other = select(x, partners)?.to_dtype(wide)?;
        ((x.to_dtype(wide)? * own)? + (other * (1. - own))?)?.to_dtype(x.dtype())
    };
    let inputs = batch.batch.inputs.tensors().iter().map(mixed).collect::<CResult<Vec<_>>>()?;
    let mut batch = batch.mix_targets(own, partners)?;
    batch.batch.inputs = Inputs::from(inputs);
    Ok(batch)
}

impl fmt::Display for Mixup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mixup:{}{}", self.alpha, probability_text(self.probability))
    }
}
