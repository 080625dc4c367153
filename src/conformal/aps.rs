//! Scores of adaptive prediction sets, with and without regularization.

/// What is added to the score of a class for its rank: `lambda · max(0, rank − k_reg)`, ranks from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Penalty {
    pub(super) lambda: f64,
    pub(super) k_reg: usize,
}

impl Penalty {
    pub(super) const NONE: Self = Self { lambda: 0.0, k_reg: 0 };

    fn of(self, rank: usize) -> f64 {
        self.lambda * rank.saturating_sub(self.k_reg) as f64
    }
}

/// Writes the score of each class of a row: the sum of the probabilities of all classes that are more
/// probable, `share` of its own, and the penalty of its rank. Of equally probable classes, the one with the
/// lower number comes first.
pub(super) fn aps_scores(
    probabilities: &[f64],
    share: f64,
    penalty: Penalty,
    order: &mut Vec<(f64, usize)>,
    scores: &mut [f64],
) {
    sort_by_probability(probabilities, order);
    let mut above = 0.0;
    for (before, (p, class)) in order.iter().enumerate() {
        if let Some(score) = scores.get_mut(*class) {
            *score = above + share * p + penalty.of(before + 1);
        }
        above += p;
    }
}

/// The rank of a class by its probability, from 1, or `None` if there is no such class.
pub(super) fn rank_of(class: usize, probabilities: &[f64], order: &mut Vec<(f64, usize)>) -> Option<usize> {
    sort_by_probability(probabilities, order);
    order.iter().position(|(_, other)| *other == class).map(|before| before + 1)
}

fn sort_by_probability(probabilities: &[f64], order: &mut Vec<(f64, usize)>) {
    order.clear();
    order.extend(probabilities.iter().enumerate().map(|(class, p)| (*p, class)));
    order.sort_unstable_by(|(p, a), (q, b)| q.total_cmp(p).then(a.cmp(b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(share: f64, penalty: Penalty, expected: [f64; 4]) {
        let mut scores = [0.0; 4];
        aps_scores(&[0.125, 0.5, 0.125, 0.25], share, penalty, &mut Vec::new(), &mut scores);
        assert_eq!(scores, expected);
    }

    #[test]
    fn scores_by_hand() {
        check(1.0, Penalty::NONE, [0.875, 0.5, 1.0, 0.75]);
        check(0.0, Penalty::NONE, [0.75, 0.0, 0.875, 0.5]);
        check(0.5, Penalty::NONE, [0.8125, 0.25, 0.9375, 0.625]);
        check(1.0, Penalty { lambda: 0.5, k_reg: 2 }, [1.375, 0.5, 2.0, 0.75]);
        check(1.0, Penalty { lambda: 0.5, k_reg: 0 }, [2.375, 1.0, 3.0, 1.75]);
    }

    #[test]
    fn ranks_count_from_the_most_probable() {
        let ranks: Vec<_> =
            (0..5).map(|class| rank_of(class, &[0.125, 0.5, 0.125, 0.25], &mut Vec::new())).collect();
        assert_eq!(ranks, [Some(3), Some(1), Some(4), Some(2), None]);
    }
}
