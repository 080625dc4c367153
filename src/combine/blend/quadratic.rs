//! Convex quadratic programs over the simplex, solved with clarabel's interior-point method.
use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettings, DefaultSolver, IPSolver, SupportedConeT},
};

/// The tolerance of clarabel, relative to the largest second derivative.
const TOLERANCE: f64 = 1e-12;

/// Minimises `½ yᵀHy + cᵀy` over `y ≥ 0`, `Σ y = 1`, for a positive semidefinite `H`, `(n, n)`. Zeros of the
/// solution are exact. Returns `None` when the solver fails.
pub(crate) fn minimize_on_simplex(h: &[f64], c: &[f64]) -> Option<Vec<f64>> {
    let n = c.len();
    if n == 1 {
        return Some(vec![1.]);
    }
    let largest = (0..n).map(|i| h[i * n + i]).fold(0., f64::max);
    let spread = c.iter().fold(0f64, |most, x| most.max((x - c[0]).abs()));
    let scale = largest.max(spread);
    if !scale.is_finite() || scale <= 0. {
        // Every point is a minimum.
        return scale.is_finite().then(|| vec![1. / n as f64; n]);
    }
    // Upper triangle, column by column.
    let columns = (0..n).flat_map(|j| (0..=j).map(move |i| (i, j)));
    let (rows, values) = columns.map(|(i, j)| (i, h[i * n + j] / scale)).unzip();
    let p = CscMatrix::new(n, n, (0..=n).map(|j| j * (j + 1) / 2).collect(), rows, values);
    let q: Vec<f64> = c.iter().map(|x| (x - c[0]) / scale).collect();
    // One equality, then -y ≤ 0.
    let rows = (0..n).flat_map(|j| [0, j + 1]).collect();
    let a = CscMatrix::new(n + 1, n, (0..=n).map(|j| 2 * j).collect(), rows, [1., -1.].repeat(n));
    let mut b = vec![0.; n + 1];
    b[0] = 1.;
    let cones = [SupportedConeT::ZeroConeT(1), SupportedConeT::NonnegativeConeT(n)];
    let settings = DefaultSettings {
        verbose: false,
        tol_gap_abs: TOLERANCE,
        tol_gap_rel: TOLERANCE,
        tol_feas: TOLERANCE,
        ..DefaultSettings::default()
    };
    let mut solver = DefaultSolver::new(&p, &q, &a, &b, &cones, settings).ok()?;
    solver.solve();
    let solution = solver.solution;
    // Either a variable or its multiplier is zero at the minimum: the smaller one.
    let nonzero = |(x, z): (&f64, &f64)| if x > z { *x } else { 0. };
    let y: Vec<f64> = solution.x.iter().zip(solution.z.get(1..)?).map(nonzero).collect();
    let total: f64 = y.iter().sum();
    (total.is_finite() && (total - 1.).abs() < 1e-3).then(|| y.iter().map(|y| y / total).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_solutions_by_hand() {
        let close = |got: &[f64], want: &[f64]| {
            got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-9, "{got:?} {want:?}"));
        };
        // The nearest point to (.5, .7, -1): (.4, .6, 0).
        let identity = [1., 0., 0., 0., 1., 0., 0., 0., 1.];
        let y = minimize_on_simplex(&identity, &[-0.5, -0.7, 1.]).unwrap();
        close(&y, &[0.4, 0.6, 0.]);
        assert_eq!(y[2], 0.);
        // A linear function.
        close(&minimize_on_simplex(&[0.; 9], &[3., 1., 2.]).unwrap(), &[0., 1., 0.]);
        assert_eq!(minimize_on_simplex(&[0.; 4], &[1., 1.]).unwrap(), [0.5, 0.5]);
        assert!(minimize_on_simplex(&[f64::NAN, 0., 0., 1.], &[0., 0.]).is_none());
        // Singular: the first two are the same.
        let y = minimize_on_simplex(&[1., 1., 0., 1., 1., 0., 0., 0., 1.], &[0.; 3]).unwrap();
        assert!((y[0] + y[1] - 0.5).abs() < 1e-9 && (y[2] - 0.5).abs() < 1e-9);
    }
}
