//! The mean of softmaxes in one pass over the logits, for ensembles that average plain logits.
use crate::kernels::{exp::exp_of_negative, simd::vectorized};

/// The number of rows that are computed side by side, each in one lane of a vector.
const LANES: usize = 64;

/// Adds to `out` the mean over `logits` of the softmax of each row: `(S, B, C) -> (B, C)`.
///
/// `out` is as long as each of the logits, a multiple of `classes`. The order of the sums is fixed, so the
/// result does not depend on the width of the vectors.
pub(crate) fn softmax_mean(logits: &[&[f32]], classes: usize, out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || blocks(logits, classes, out),
    );
}

#[inline(always)]
fn blocks(logits: &[&[f32]], classes: usize, out: &mut [f32]) {
    let block = LANES * classes;
    let share = 1. / logits.len() as f32;
    let (mut row, mut mean) = (vec![[0f32; LANES]; classes], vec![[0f32; LANES]; classes]);
    for (number, out) in out.chunks_mut(block).enumerate() {
        mean.fill([0.; LANES]);
        for logits in logits {
            let rows = &logits[number * block..number * block + out.len()];
            for (lane, values) in rows.chunks_exact(classes).enumerate() {
                for (class, value) in row.iter_mut().zip(values) {
                    class[lane] = *value;
                }
            }
            add_softmax(&mut row, share, &mut mean);
        }
        for (lane, out) in out.chunks_exact_mut(classes).enumerate() {
            for (class, out) in mean.iter().zip(out) {
                *out = class[lane];
            }
        }
    }
}

/// Adds a share of the softmax over the first index to `mean`, for all lanes at once.
#[inline(always)]
fn add_softmax(row: &mut [[f32; LANES]], share: f32, mean: &mut [[f32; LANES]]) {
    let mut greatest = [f32::NEG_INFINITY; LANES];
    for class in row.iter() {
        for (g, x) in greatest.iter_mut().zip(class) {
            *g = if *x > *g { *x } else { *g };
        }
    }
    let mut total = [0f32; LANES];
    for class in row.iter_mut() {
        for ((x, g), total) in class.iter_mut().zip(&greatest).zip(&mut total) {
            *x = exp_of_negative(*x - *g);
            *total += *x;
        }
    }
    for total in &mut total {
        *total = share / *total;
    }
    for (class, mean) in row.iter().zip(mean) {
        for ((x, total), mean) in class.iter().zip(&total).zip(mean) {
            *mean += *x * *total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_mean_of_softmaxes_for_any_number_of_rows_and_classes() {
        for (members, rows, classes) in
            [(1, 1, 1), (3, 1, 2), (2, 64, 3), (5, 65, 10), (4, 200, 7), (1, 3, 1000)]
        {
            let logit = |m: usize, i: usize| ((m * 7919 + i * 104_729) % 2003) as f32 / 50. - 20.;
            let logits: Vec<Vec<f32>> =
                (0..members).map(|m| (0..rows * classes).map(|i| logit(m, i)).collect()).collect();
            let views: Vec<&[f32]> = logits.iter().map(Vec::as_slice).collect();
            let mut out = vec![f32::NAN; rows * classes];
            softmax_mean(&views, classes, &mut out);
            for (i, got) in out.iter().enumerate() {
                let softmax = |l: &Vec<f32>| {
                    let row = &l[i / classes * classes..][..classes];
                    let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                    f64::from(l[i]).exp() / total
                };
                let expected = logits.iter().map(softmax).sum::<f64>() / members as f64;
                assert!((f64::from(*got) - expected).abs() < 1e-6, "{members} {rows} {classes} {i}: {got}");
            }
        }
    }

    #[test]
    fn a_nan_logit_gives_nan_in_its_row_only() {
        let mut out = vec![0.; 4];
        softmax_mean(&[&[1., f32::NAN, 0., 0.]], 2, &mut out);
        assert!(out[0].is_nan() && out[1].is_nan());
        assert_eq!(&out[2..], [0.5, 0.5]);
    }
}
