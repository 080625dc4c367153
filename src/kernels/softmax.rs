//! The softmax of a few numbers in f64.

/// Replaces logits by their softmax, and returns the logarithm of the sum of their exponentials.
pub(crate) fn softmax(logits: &mut [f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let total: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|x| *x /= total);
    largest + total.ln()
}
