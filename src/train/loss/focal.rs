//! Focal loss of classes.
use crate::{
    check::non_negative,
    data::Task,
    kernels::{float::Real, simd::vectorized, sums::fold_in_lanes},
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        binary_cross_entropy::BinaryCrossEntropy,
        cross_entropy::{log_softmax, CrossEntropy},
        elementwise,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_logits, LossFunction},
        shapes::{classes, labels},
        Loss,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct Focal {
    pub(super) gamma: f64,
}

/// The least `1 − p` whose power is differentiated by candle: at 0 its derivative is infinite for `γ < 1`.
const LEAST_REST: f64 = 1e-30;

impl LossFunction for Focal {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("gamma", "2", "How much less rows count that are classified well")];
        Entry::new(
            "focal",
            "Loss::Focal",
            "Cross-entropy in which rows that are classified well count less",
            |arguments| Ok(Loss::Focal { gamma: arguments.get("gamma")? }),
        )
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Classification)
        .with_source("Lin et al. 2017, arXiv:1708.02002")
    }

    fn check(&self) -> Result<()> {
        non_negative("Loss::Focal::gamma", self.gamma)
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        needs_logits(task, output)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let gamma = self.gamma;
        match (is_one_logit(batch.output), gamma == 0.0) {
            (true, true) => BinaryCrossEntropy {}.fused(batch),
            (false, true) => CrossEntropy { smoothing: 0.0 }.fused(batch),
            (true, false) => elementwise::fused_labels(batch, |z: T, positive| {
                let (loss, slope) = of_margin(if positive { z.wide() } else { -z.wide() }, gamma);
                (T::of(loss), T::of(if positive { slope } else { -slope }))
            }),
            (false, false) => {
                let (rows, classes) = classes(batch.output)?;
                let labels = labels(batch.targets, rows, classes)?;
                Ok(vectorized(
                    #[inline(always)]
                    || fused(batch, &labels, classes, gamma),
                ))
            }
        }
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        let one_logit = is_one_logit(output);
        if self.gamma == 0.0 {
            return match one_logit {
                true => BinaryCrossEntropy {}.composed(output, targets),
                false => CrossEntropy { smoothing: 0.0 }.composed(output, targets),
            };
        }
        let neg_log = match one_logit {
            true => BinaryCrossEntropy {}.composed(output, targets)?,
            false => {
                let (rows, classes) = classes(output)?;
                labels(targets, rows, classes)?;
                log_softmax(output)?.gather(&targets.unsqueeze(1)?.contiguous()?, 1)?.squeeze(1)?.neg()?
            }
        };
        let rest = (neg_log.neg()?.exp()?.neg()? + 1.0)?;
        rest.maximum(LEAST_REST)?.powf(self.gamma)? * neg_log
    }
}

/// Whether outputs are one logit for each row.
fn is_one_logit(output: &Tensor) -> bool {
    matches!(*output.dims(), [_] | [_, 1])
}

/// The loss `−q^γ ln p` for `p = σ(m)` and `q = 1 − p`, and its derivative `γ q^γ p ln p − q^(γ + 1)`.
fn of_margin(m: f64, gamma: f64) -> (f64, f64) {
    let small = (-m.abs()).exp();
    let (near, far) = (1.0 / (1.0 + small), small / (1.0 + small));
    let (p, q) = if m >= 0.0 { (near, far) } else { (far, near) };
    let neg_log = small.ln_1p() + (-m).max(0.0);
    let power = q.powf(gamma);
    // The product of p and its logarithm is 0 where the logarithm is infinite.
    let entropy = if p > 0.0 { p * neg_log } else { 0.0 };
    (power * neg_log, -power * (gamma * entropy + q))
}

/// The sum over the rows of their share times their loss, and its gradient.
#[inline(always)]
fn fused<T: Real>(batch: &FusedBatch<'_, T>, labels: &[u32], classes: usize, gamma: f64) -> Evaluated<T> {
    let sum = |numbers: &[T]| fold_in_lanes(numbers, T::zero(), |a, x| a + x, |a, b| a + b);
    let greater = |a, b| if b > a { b } else { a };

    // As for the cross-entropy: logits minus the greatest of their row, exponentials, gradient.
    let mut gradient = batch.x.to_vec();
    let mut at_labels = Vec::with_capacity(labels.len());
    for (z, &label) in gradient.chunks_exact_mut(classes).zip(labels) {
        let greatest = fold_in_lanes(z, z[0], greater, greater);
        z.iter_mut().for_each(|z| *z -= greatest);
        at_labels.push(z[label as usize].wide());
    }
    T::exp_all(&mut gradient);
    let mut value = 0.0;
    let rows = gradient.chunks_exact_mut(classes).zip(labels).zip(at_labels);
    for (row, ((e, &label), at_label)) in rows.enumerate() {
        // The sum of the others, so that 1 − p has all its digits where p is near 1.
        let own = std::mem::replace(&mut e[label as usize], T::zero()).wide();
        let rest = sum(e).wide();
        let total = own + rest;
        let (p, q) = (own / total, rest / total);
        let neg_log = total.ln() - at_label;
        let power = q.powf(gamma);
        let share = batch.share(row);
        value += share * power * neg_log;
        // ∂l / ∂z_j = a p_j for the others, and −a q for the label.
        let entropy = if q > 0.0 { gamma * power / q * p * neg_log } else { 0.0 };
        let a = share * (power + entropy);
        let each = T::of(a / total);
        e.iter_mut().for_each(|e| *e = each * *e);
        e[label as usize] = T::of(-a * q);
    }
    Evaluated { value: T::of(value), gradient }
}
