//! The loss of a network whose output is the same for every row.
use crate::{data::Task, train::Loss, Result};
use candle_core::{DType, Device, Tensor};

/// The smallest share of a class: the logarithm of 0 is not finite.
const LEAST_SHARE: f64 = 1e-9;

/// The loss of outputs that are the same for every row: of zeros, and of the best constant.
pub(super) struct Constant {
    pub(super) of_zero: Option<f64>,
    pub(super) best: Option<f64>,
}

impl Constant {
    /// For outputs of this shape. The best constant is sought among those that are best for common losses: the shares of
    /// the classes, and the means, medians and logarithms of the means of values.
    ///
    /// # Errors
    /// When candle fails.
    pub(super) fn of(
        loss: Loss,
        task: Task,
        shape: &[usize],
        targets: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Self> {
        let width = shape.get(1).copied().unwrap_or(1);
        let targets = match task {
            Task::Classification { .. } => targets.to_device(&Device::Cpu)?,
            Task::Regression { .. } => targets.to_device(&Device::Cpu)?.to_dtype(DType::F64)?,
        };
        let weights = weights.map(|weights| weights.to_device(&Device::Cpu)).transpose()?;
        let value = |constant: Vec<f64>| -> Option<f64> {
            let row = Tensor::from_vec(constant, (1, width), &Device::Cpu).ok()?;
            let rows = shape.first().copied()?;
            let output =
                row.broadcast_as((rows, width)).ok()?.contiguous().ok()?.reshape(shape.to_vec()).ok()?;
            // A loss that is not defined for this constant has no value.
            let mean = loss.mean(&output, &targets, weights.as_ref()).ok()?;
            mean.to_dtype(DType::F64).ok()?.to_scalar::<f64>().ok().filter(|loss| loss.is_finite())
        };
        let candidates = match task {
            Task::Classification { classes } => {
                of_classes(&shares(&targets, weights.as_ref(), classes)?, width)
            }
            Task::Regression { .. } => of_values(&targets, width)?,
        };
        let of_zero = value(vec![0.; width]);
        let best = candidates.into_iter().filter_map(value).chain(of_zero).reduce(f64::min);
        Ok(Self { of_zero, best })
    }
}

/// The shares of the classes, by the weights of the rows.
fn shares(targets: &Tensor, weights: Option<&Tensor>, classes: usize) -> Result<Vec<f64>> {
    let ids = targets.to_dtype(DType::U32)?.to_vec1::<u32>()?;
    let weights = match weights {
        Some(weights) => weights.to_dtype(DType::F64)?.to_vec1::<f64>()?,
        None => vec![1.; ids.len()],
    };
    let (mut shares, total) = (vec![0.; classes], weights.iter().sum::<f64>());
    for (id, weight) in ids.iter().zip(weights) {
        if let Some(share) = shares.get_mut(*id as usize) {
            *share += weight / total;
        }
    }
    Ok(shares)
}

/// Logits, margins of two classes, and both kinds of logits of classes with an order.
fn of_classes(shares: &[f64], width: usize) -> Vec<Vec<f64>> {
    let ln = |share: f64| share.max(LEAST_SHARE).ln();
    match (width, shares) {
        (1, [zero, one]) => vec![vec![ln(*one) - ln(*zero)], vec![1.], vec![-1.]],
        _ if width + 1 == shares.len() => {
            let logit = |above: f64, rest: f64| ln(above) - ln(rest);
            let above: Vec<f64> = (1..=width).map(|k| shares.iter().skip(k).sum()).collect();
            let cumulative = above.iter().map(|above| logit(*above, 1. - above)).collect();
            vec![cumulative, above.iter().zip(shares).map(|(above, own)| logit(*above, *own)).collect()]
        }
        _ => vec![shares.iter().map(|share| ln(*share)).collect()],
    }
}

fn of_values(targets: &Tensor, width: usize) -> Result<Vec<Vec<f64>>> {
    let rows = targets.dim(0)?;
    // The outputs of a distribution are more than its values.
    if rows * width != targets.elem_count() {
        return Ok(vec![]);
    }
    let columns = targets.reshape((rows, width))?.t()?.contiguous()?.to_vec2::<f64>()?;
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let median =
        |values: &Vec<f64>| crate::diagnose::series::median(values.iter().copied()).unwrap_or(f64::NAN);
    let of_logarithms = |values: &Vec<f64>| {
        let logarithms: Vec<f64> = values.iter().map(|y| y.max(0.).ln_1p()).collect();
        mean(&logarithms).exp_m1()
    };
    let of = |f: &dyn Fn(&Vec<f64>) -> f64| columns.iter().map(f).collect::<Vec<f64>>();
    let means = of(&mean);
    let logarithms = means.iter().map(|mean| mean.max(LEAST_SHARE).ln()).collect();
    Ok(vec![means, of(&median), of(&of_logarithms), logarithms])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(loss: Loss, task: Task, shape: &[usize], targets: &Tensor) -> (f64, f64) {
        let found = Constant::of(loss, task, shape, targets, None).unwrap();
        (found.of_zero.unwrap(), found.best.unwrap())
    }

    /// Shares 1/4 and 3/4: zeros have the loss ln 2, and the shares their entropy, ln 4 − 3/4 ln 3.
    #[test]
    fn for_classes_it_is_the_entropy_of_their_shares() {
        let y = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu).unwrap();
        let (task, entropy) = (Task::Classification { classes: 2 }, 4f64.ln() - 0.75 * 3f64.ln());
        let cross_entropy = Loss::CrossEntropy { smoothing: 0. };
        for (loss, shape) in [(cross_entropy, vec![4, 2]), (Loss::BinaryCrossEntropy, vec![4])] {
            let (zero, best) = constant(loss, task, &shape, &y);
            assert!((zero - 2f64.ln()).abs() < 1e-12 && (best - entropy).abs() < 1e-12, "{loss:?} {best}");
        }
        // The hinge loss of the constant 1: a quarter of the rows is 2 away from its side.
        assert_eq!(constant(Loss::Hinge, task, &[4, 1], &y), (1., 0.5));
        // Shares 1/4, 1/2 and 1/4 of classes with an order: the likelihood of CORN is their entropy, and CORAL has that of each
        // question alone.
        let y = Tensor::new(&[0u32, 1, 1, 2], &Device::Cpu).unwrap();
        let three = Task::Classification { classes: 3 };
        for (loss, zeros, expected) in [
            (Loss::Corn, (1. + 2. + 2. + 2.) / 4. * 2f64.ln(), 1.5 * 2f64.ln()),
            (Loss::Coral, 2. * 2f64.ln(), 2. * entropy),
        ] {
            let (zero, best) = constant(loss, three, &[4, 2], &y);
            assert!(
                (zero - zeros).abs() < 1e-12 && (best - expected).abs() < 1e-12,
                "{loss:?} {zero} {best}"
            );
        }
        let y = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu).unwrap();
        // Weights count: with equal shares the entropy is ln 2.
        let w = Tensor::new(&[3f32, 1., 1., 1.], &Device::Cpu).unwrap();
        let found = Constant::of(cross_entropy, task, &[4, 2], &y, Some(&w)).unwrap();
        assert!((found.best.unwrap() - 2f64.ln()).abs() < 1e-12);
    }

    /// Values 1, 2, 3 and 6: mean 3, variance 3.5, mean of squares 12.5, median 2.5, mean distance from it 1.5.
    #[test]
    fn for_values_it_is_their_spread() {
        let y = Tensor::new(&[1f32, 2., 3., 6.], &Device::Cpu).unwrap();
        let task = Task::Regression { outputs: 1 };
        assert_eq!(constant(Loss::MeanSquared, task, &[4, 1], &y), (12.5, 3.5));
        assert_eq!(constant(Loss::MeanAbsolute, task, &[4], &y), (3., 1.5));
        // Of rates, zero is not a good one: p − y ln p with the mean rate 3.
        let found = Constant::of(Loss::Poisson { log_rate: true }, task, &[4], &y, None).unwrap();
        assert!((found.best.unwrap() - (3. - 3. * 3f64.ln())).abs() < 1e-9);
    }
}
