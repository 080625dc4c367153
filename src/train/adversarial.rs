//! Adversarial training: steps on inputs that are moved towards a larger loss.
use crate::{
    check::positive,
    data::{FittedScalings, Inputs},
    registry::{Argument, Entry, Registry},
    train::Run,
    Error, Result,
};
use candle_core::{backprop::GradStore, DType, Result as CResult, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 1024;

/// Adversarial training by the fast gradient sign method: each step is made on the mean of two losses, that of the batch
/// and that of the same rows with inputs that are moved a little in the direction in which the loss grows.
///
/// ```text
/// x' = x + ε r · sign(∂ loss(x) / ∂x)          with the range r of each input over the training rows
/// step on (loss(x) + loss(x')) / 2
/// ```
///
/// `x` are the inputs as the network gets them, scaled and with noise. The direction is that of the loss of the batch, and
/// no gradient passes through it. The recorded loss is that of `x`.
///
/// Use it to make predictions, and their uncertainty, smooth around the training rows; Deep Ensembles use `ε = 0.01`. Compare
/// on validation rows, because it often makes no difference. Members are trained one at a time with it, not side by side.
///
/// Cost: a step takes twice as long. Before the first step the training rows are read once, for the ranges.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if `ε` is not positive and finite. A run fails if there are
/// several inputs, or if the input is not of floats.
///
/// # Sources
/// Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572. Lakshminarayanan et al. 2017, arXiv:1612.01474.
///
/// ```
/// use candle_ensemble::train::{Adversarial, Trainer};
///
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).adversarial(Adversarial { epsilon: 0.01 });
/// assert_eq!(Adversarial::registry().parse("fast-gradient-sign:0.01")?, Adversarial { epsilon: 0.01 });
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adversarial {
    /// How far each input is moved, as a share `ε` of its range over the training rows.
    pub epsilon: f64,
}

impl Adversarial {
    /// The methods by name.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("epsilon", "0.01", "How far inputs are moved, as a share of their range")];
        static REGISTRY: LazyLock<Registry<Adversarial>> = LazyLock::new(|| {
            let summary = "Steps on inputs that are moved towards a larger loss as well";
            let entry = Entry::new("fast-gradient-sign", "Adversarial", summary, |arguments| {
                Ok(Adversarial { epsilon: arguments.get("epsilon")? })
            });
            let source = "Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572";
            let entry = entry.with_aliases(&["fgsm"]).with_arguments(ARGUMENTS).with_source(source);
            Registry::new("adversarial training", vec![entry])
        });
        &REGISTRY
    }

    pub(crate) fn check(self) -> Result<()> {
        positive("Adversarial::epsilon", self.epsilon)
    }

    /// The moves for the training rows of a run.
    pub(crate) fn fit(self, run: &Run<'_>, scalings: &FittedScalings) -> Result<Moves> {
        let mut ends: Option<(Tensor, Tensor)> = None;
        for rows in run.train_rows().chunks(BATCH_ROWS) {
            let inputs = scalings.scale_inputs(&run.batch(rows)?.inputs)?;
            let x = only(&inputs)?.to_dtype(DType::F32)?;
            let (low, high) = (x.min_keepdim(0)?, x.max_keepdim(0)?);
            ends = Some(match ends {
                None => (low, high),
                Some((least, most)) => (least.minimum(&low)?, most.maximum(&high)?),
            });
        }
        let Some((low, high)) = ends else {
            return Err(Error::invalid("the number of training rows", "at least 1", 0));
        };
        Ok(Moves { sizes: ((high - low)? * self.epsilon)? })
    }
}

/// How far the inputs are moved.
#[derive(Debug)]
pub(crate) struct Moves {
    /// For one row, `(1, …)`.
    sizes: Tensor,
}

impl Moves {
    /// The inputs as a variable, so that a backward pass gives their gradient.
    pub(crate) fn tracked(inputs: &Inputs) -> Result<Var> {
        Ok(Var::from_tensor(&only(inputs)?.detach())?)
    }

    /// The inputs, moved in the direction of their gradient.
    pub(crate) fn moved(&self, inputs: &Var, gradients: &GradStore) -> Result<Inputs> {
        let Some(gradient) = gradients.get(inputs) else {
            let must = "reached by the gradient, for adversarial training";
            return Err(Error::invalid(
                "the input of the network",
                must,
                "not reached: the network detaches it",
            ));
        };
        let sizes = self.sizes.to_dtype(inputs.dtype())?;
        let step = gradient.detach().to_dtype(inputs.dtype())?.sign()?.broadcast_mul(&sizes)?;
        Ok((inputs.as_detached_tensor() + step)?.into())
    }

    /// Makes the gradients of the variables the means of those of both losses.
    pub(crate) fn average(
        gradients: &mut GradStore,
        others: &GradStore,
        variables: &[(String, Var)],
    ) -> CResult<()> {
        for (_, var) in variables {
            let sum = match (gradients.get(var), others.get(var)) {
                (Some(one), Some(other)) => (one + other)?,
                (Some(one), None) | (None, Some(one)) => one.clone(),
                (None, None) => continue,
            };
            gradients.insert(var, (sum * 0.5)?);
        }
        Ok(())
    }
}

/// The only input, of floats.
fn only(inputs: &Inputs) -> Result<&Tensor> {
    match inputs.tensors() {
        [only] if only.dtype().is_float() => Ok(only),
        [other] => {
            let must = "floating-point numbers for adversarial training";
            Err(Error::invalid("the inputs", must, other.dtype().as_str()))
        }
        several => Err(Error::invalid("the number of inputs for adversarial training", "1", several.len())),
    }
}
