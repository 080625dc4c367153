//! The points that are not dominated.
use crate::{Error, Result};

/// Finds the Pareto front: the points to which no other is better in one of cost and quality and at least as
/// good in the other.
///
/// ```text
/// j dominates i  ⇔  cost_j ≤ cost_i and quality_j ≥ quality_i, and one of the two is strict
/// ```
///
/// `points` are pairs of cost and quality. Lower cost is better; of quality, higher is better if
/// `higher_is_better`, and lower otherwise. Returns the numbers of the points of the front in order of
/// increasing cost, so quality does not get worse from one to the next. Points that are equal in both stay
/// together, in their order.
///
/// The cost is O(n log n).
///
/// # Errors
/// [`Error::Invalid`] when a number is NaN.
///
/// # Examples
/// ```
/// use candle_ensemble::chart::pareto_front;
///
/// // Accuracy of ensembles that cost 1, 5, 5 and 10 networks.
/// let points = [(1.0, 0.90), (5.0, 0.93), (5.0, 0.92), (10.0, 0.93)];
/// assert_eq!(pareto_front(&points, true)?, [0, 1]);
/// // An error: lower is better.
/// assert_eq!(pareto_front(&[(1.0, 0.10), (5.0, 0.07)], false)?, [0, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kung, Luccio and Preparata 1975, "On finding the maxima of a set of vectors",
/// doi:10.1145/321906.321910.
pub fn pareto_front(points: &[(f64, f64)], higher_is_better: bool) -> Result<Vec<usize>> {
    if let Some(i) = points.iter().position(|p| p.0.is_nan() || p.1.is_nan()) {
        return Err(Error::invalid(format!("cost and quality of point {i}"), "numbers", "NaN"));
    }
    // Adding zero turns -0 into 0, which total_cmp tells apart.
    let loss = |q: f64| if higher_is_better { -q + 0.0 } else { q + 0.0 };
    let mut sorted: Vec<(f64, f64, usize)> =
        points.iter().enumerate().map(|(i, p)| (p.0 + 0.0, loss(p.1), i)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut front: Vec<(f64, f64, usize)> = vec![];
    for point in sorted {
        let beaten =
            front.last().is_some_and(|last| point.1 >= last.1 && (point.0, point.1) != (last.0, last.1));
        if !beaten {
            front.push(point);
        }
    }
    Ok(front.into_iter().map(|p| p.2).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition, in O(n²).
    fn by_definition(points: &[(f64, f64)], higher: bool) -> Vec<usize> {
        let better = |a: f64, b: f64| if higher { a > b } else { a < b };
        let dominates = |j: &(f64, f64), i: &(f64, f64)| {
            j.0 <= i.0 && !better(i.1, j.1) && (j.0 < i.0 || better(j.1, i.1))
        };
        let mut front: Vec<usize> =
            (0..points.len()).filter(|&i| !points.iter().any(|j| dominates(j, &points[i]))).collect();
        front.sort_by(|a, b| points[*a].0.partial_cmp(&points[*b].0).unwrap());
        front
    }

    #[test]
    fn the_front_of_a_case_by_hand() {
        let points = [(3.0, 0.9), (1.0, 0.5), (2.0, 0.4), (3.0, 0.9), (4.0, 0.9), (0.5, 0.1), (3.0, 0.8)];
        assert_eq!(pareto_front(&points, true).unwrap(), [5, 1, 0, 3]);
        assert_eq!(pareto_front(&points, false).unwrap(), [5]);
        assert_eq!(pareto_front(&[], true).unwrap(), Vec::<usize>::new());
        assert_eq!(pareto_front(&[(-0.0, 1.0), (0.0, 1.0), (0.0, 0.0)], true).unwrap(), [0, 1]);
        assert!(pareto_front(&[(0.0, 1.0), (f64::NAN, 1.0)], true)
            .unwrap_err()
            .to_string()
            .contains("point 1"));
    }

    proptest! {
        #[test]
        fn the_front_is_that_of_the_definition(
            points in proptest::collection::vec((0u8..6, 0u8..6), 0..30),
            higher in any::<bool>(),
        ) {
            let points: Vec<_> = points.into_iter().map(|(c, q)| (f64::from(c), f64::from(q))).collect();
            prop_assert_eq!(pareto_front(&points, higher).unwrap(), by_definition(&points, higher));
        }
    }
}
