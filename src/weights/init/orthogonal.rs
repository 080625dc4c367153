//! Random matrices with orthogonal rows or columns.
use crate::kernels::sums::fold_in_lanes;

/// A matrix of this shape, row by row, whose rows or columns, whichever are fewer, are orthogonal and of
/// length `gain`. `next` draws from the standard normal distribution.
///
/// Gram and Schmidt's method, twice for each vector, is a QR decomposition whose `R` has a positive diagonal;
/// once would leave a last vector that is not quite orthogonal to the others.
pub(super) fn matrix(rows: usize, columns: usize, gain: f64, mut next: impl FnMut() -> f64) -> Vec<f64> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    while vectors.len() < count {
        let mut vector: Vec<f64> = (0..length).map(|_| next()).collect();
        let drawn = dot(&vector, &vector);
        for _ in 0..2 {
            for other in &vectors {
                let share = dot(other, &vector);
                vector.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
        }
        let rest = dot(&vector, &vector);
        // A draw within the span of the others is rounding errors only, and is drawn again.
        if rest > drawn * 1e-20 {
            let length = rest.sqrt();
            vector.iter_mut().for_each(|x| *x /= length);
            vectors.push(vector);
        }
    }
    let scaled = |x: f64| gain * x;
    if rows <= columns {
        return vectors.into_iter().flatten().map(scaled).collect();
    }
    (0..rows)
        .flat_map(|row| vectors.iter().filter_map(move |vector| vector.get(row)))
        .map(|x| scaled(*x))
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // In eight partial sums, so that the compiler may use wide registers; the result does not depend on them.
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut lanes = [0.; 8];
    for (a, b) in a.iter().zip(b) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    fold_in_lanes(&lanes, rest, |a, x| a + x, |a, b| a + b)
}
