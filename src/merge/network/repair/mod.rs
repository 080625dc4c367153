//! REPAIR: restores the mean and the spread of the hidden units of an averaged network.
use crate::{data::Inputs, merge::align::trace::Trace, train::Learner, weights::Weights, Error, Result};
use candle_core::{DType, Device, Tensor};

/// A repaired network.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The weights of the network.
    pub weights: Weights,
    /// The names of the weights of the layers that were adjusted, in the order of the forward pass.
    pub layers: Vec<String>,
}

/// Rescales the hidden units of an averaged network to the mean and spread that they have in its parents
/// (REPAIR).
///
/// Averaged units vary less than either parent's, the more so the deeper they lie. The weights and the bias
/// of each hidden unit are scaled and shifted so that its pre-activation over `inputs` has the parents' mean
/// and standard deviation:
///
/// ```text
/// μ* = Σ cₖ μₖ    σ* = Σ cₖ σₖ    s = σ*/σ    w ← w·s    b ← b·s + μ* − s·μ
/// ```
///
/// Layers are adjusted in the order of the forward pass, and each is measured behind the adjusted ones. The
/// paper inserts batch-norm layers and fuses them again, which gives the same.
///
/// `parents` are the aligned networks of which `merged = Σ cₖ θₖ` was made, and `shares` their coefficients
/// `c`. `inputs` has at least two rows, `(N, …)`. Every hidden linear and convolutional layer with a bias
/// that `trace` found is adjusted; layers without a bias are left. A unit that is constant in the merged
/// network is only shifted.
///
/// Use it for the average of two or more aligned networks without batch-norm. For a network with batch-norm
/// [`re_estimate`](crate::merge::re_estimate()) does the same, as in the paper.
///
/// Cost: one forward pass over `inputs` for each parent and for each hidden layer. Memory for the activations
/// of one pass.
///
/// # Errors
/// [`Error::Incompatible`] when names, shapes or dtypes differ (all differences are listed). When there is
/// not one share for each parent, there are fewer than two rows, or an element is not finite.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::*, data::TensorDataset, strategy::MultiRun, train::Trainer, Session};
/// use candle_nn::{linear, seq, Activation};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.05, -2.)?.reshape((40, 2))?;
/// let data = TensorDataset::classification(&x, &Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?)?;
/// let trainer = Trainer::new(|vb| {
///     Ok(seq().add(linear(2, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 2, vb.pp(1))?))
/// });
/// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?;
/// let parents = pool.weights();
/// let trace = Trace::new(&Model::new(&trainer)?, &x)?;
/// let repaired = repair(&trace, &parents, &[0.5, 0.5], &uniform_soup(&parents)?, &x)?;
/// assert_eq!(repaired.layers, ["0.weight"]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Jordan et al. (2023), "REPAIR: REnormalizing Permuted Activations for Interpolation Repair",
/// arXiv:2211.08403.
pub fn repair<L: Learner>(
    trace: &Trace<'_, L>,
    parents: &[&Weights],
    shares: &[f64],
    merged: &Weights,
    inputs: impl Into<Inputs>,
) -> Result<Repaired> {
    let inputs = inputs.into();
    if parents.is_empty() || parents.len() != shares.len() || shares.iter().any(|c| !c.is_finite()) {
        let must = format!("{} finite numbers, one for each of the parents", parents.len().max(1));
        return Err(Error::invalid("the shares", must, format!("{shares:?}")));
    }
    let hidden: Vec<_> = trace.hidden().collect();
    let numbers: Vec<usize> = hidden.iter().map(|layer| layer.number).collect();
    let parent_moments = parents.iter().map(|parent| trace.moments(&numbers, parent, &inputs));
    let parent_moments = parent_moments.collect::<Result<Vec<_>>>()?;
    let mut weights = merged.clone();
    for (i, layer) in hidden.iter().enumerate() {
        let (mut mean, mut sd) = (vec![], vec![]);
        for (moments, share) in parent_moments.iter().zip(shares) {
            if let Some(moments) = moments.get(i) {
                add(&mut mean, &moments.mean, *share);
                add(&mut sd, &moments.sd, *share);
            }
        }
        for present in trace.moments(&[layer.number], &weights, &inputs)? {
            let scales = present.sd.iter().zip(&sd).zip(&present.mean).map(|((now, wanted), mean)| {
                // The spread of a constant unit is only rounding.
                if *now > 1e-6 * mean.abs().max(f64::MIN_POSITIVE) {
                    wanted / now
                } else {
                    1.
                }
            });
            let scales: Vec<f64> = scales.collect();
            let shifts =
                mean.iter().zip(&scales).zip(&present.mean).map(|((wanted, s), now)| wanted - s * now);
            let shifts: Vec<f64> = shifts.collect();
            if let Some(odd) = scales.iter().chain(&shifts).find(|x| !x.is_finite()) {
                return Err(Error::invalid(
                    format!("the factors that repair {}", layer.weight),
                    "finite",
                    odd,
                ));
            }
            adjust(&mut weights, layer.weight, layer.axis, &scales, None)?;
            adjust(&mut weights, layer.bias, 0, &scales, Some(&shifts))?;
        }
    }
    let layers = hidden.iter().map(|layer| layer.weight.to_string()).collect();
    Ok(Repaired { weights, layers })
}

/// `sum += share·values`
fn add(sum: &mut Vec<f64>, values: &[f64], share: f64) {
    sum.resize(values.len(), 0.);
    sum.iter_mut().zip(values).for_each(|(sum, x)| *sum += share * x);
}

/// Multiplies a parameter by factors along an axis, and adds `plus` if given.
fn adjust(weights: &mut Weights, name: &str, axis: usize, by: &[f64], plus: Option<&[f64]>) -> Result<()> {
    let Some(tensor) = weights.get_mut(name) else { return Ok(()) };
    let mut shape = vec![1; tensor.rank()];
    if let Some(length) = shape.get_mut(axis) {
        *length = by.len();
    }
    let along = |values: &[f64]| Tensor::from_slice(values, shape.as_slice(), &Device::Cpu);
    let wide = tensor.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let mut result = wide.broadcast_mul(&along(by)?)?;
    if let Some(plus) = plus {
        result = result.broadcast_add(&along(plus)?)?;
    }
    *tensor = result.to_dtype(tensor.dtype())?.to_device(tensor.device())?;
    Ok(())
}

#[cfg(test)]
mod tests;
