//! REPAIR: hidden units of an averaged network brought back to the spread they had.
use crate::{data::Inputs, merge::align::trace::Trace, train::Learner, weights::Weights, Error, Result};
use candle_core::{DType, Device, Tensor};

/// A repaired network.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// Its weights.
    pub weights: Weights,
    /// The layers that were adjusted, by the names of their weights, those that come first first.
    pub layers: Vec<String>,
}

/// REPAIR (Jordan et al. 2023, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair",
/// arXiv:2211.08403). Averaged units vary less than either parent's, the more so the deeper they lie. Here each hidden
/// unit's weights and bias are scaled and shifted so that over `inputs` its pre-activation has the mean and the
/// standard deviation `Σₖ cₖ μₖ` and `Σₖ cₖ σₖ` of the parents' own: `w ← w·s`, `b ← b·s + t`, `s = σ*/σ`,
/// `t = μ* − s·μ`. Layer after layer, each measured behind the repaired ones (the paper does so by batch-norm layers
/// put in and fused again: the same).
///
/// `parents` are the aligned networks that `merged = Σₖ cₖ θₖ` was made of, with their `shares` `c`. Every linear and
/// convolutional layer with a bias that `trace` found hidden is adjusted; layers without a bias are left. For a network
/// with batch-norm, [`re_estimate`](crate::merge::network::re_estimate::re_estimate) does the same and is what the paper does. A unit that says
/// always the same in the merged network is only shifted.
///
/// # Errors
/// When names, shapes or dtypes differ (all differences are listed), there is not one share for each parent, there are
/// fewer than two rows, or a number is not finite.
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
    let theirs = parents.iter().map(|parent| trace.moments(&numbers, parent, &inputs));
    let theirs = theirs.collect::<Result<Vec<_>>>()?;
    let mut weights = merged.clone();
    for (i, layer) in hidden.iter().enumerate() {
        let (mut mean, mut sd) = (vec![], vec![]);
        for (moments, share) in theirs.iter().zip(shares) {
            if let Some(moments) = moments.get(i) {
                add(&mut mean, &moments.mean, *share);
                add(&mut sd, &moments.sd, *share);
            }
        }
        for present in trace.moments(&[layer.number], &weights, &inputs)? {
            let scales = present.sd.iter().zip(&sd).zip(&present.mean).map(|((now, wanted), mean)| {
                // What rounding leaves of a constant is no spread.
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
                return Err(Error::invalid(format!("what repairs {}", layer.weight), "finite", odd));
            }
            adjust(&mut weights, layer.weight, layer.axis, &scales, None)?;
            adjust(&mut weights, layer.bias, 0, &scales, Some(&shifts))?;
        }
    }
    let layers = hidden.iter().map(|layer| layer.weight.to_string()).collect();
    Ok(Repaired { weights, layers })
}

fn add(sum: &mut Vec<f64>, values: &[f64], share: f64) {
    sum.resize(values.len(), 0.);
    sum.iter_mut().zip(values).for_each(|(sum, x)| *sum += share * x);
}

/// Scales a parameter along an axis, and shifts it.
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
