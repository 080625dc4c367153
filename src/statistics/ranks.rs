//! Ranks with ties.

/// The ranks of finite values, from 1 for the least. Values that differ by at most `tolerance` from the next
/// in order are tied and have the mean of their ranks. Returns also the sizes of the ties.
pub(super) fn ranks(values: &[f64], tolerance: f64) -> (Vec<f64>, Vec<usize>) {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let value = |i: u32| values[i as usize];
    order.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
    let mut ranks = vec![0.0; values.len()];
    let (mut ties, mut start) = (vec![], 0);
    for tied in order.chunk_by(|&a, &b| value(b) - value(a) <= tolerance) {
        let rank = start as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&i| ranks[i as usize] = rank);
        if tied.len() > 1 {
            ties.push(tied.len());
        }
        start += tied.len();
    }
    (ranks, ties)
}
