//! Learning rates that the curve of a range test suggests.

/// The rate at which the loss falls fastest per change of the logarithm of the rate. `None` if it never
/// falls.
///
/// A slope is that between the losses a tenth of the steps before and after, so that the noise of single steps, and the
/// first smoothed losses, which are means of few, do not decide.
pub(super) fn steepest(rates: &[f64], losses: &[f64]) -> Option<f64> {
    let n = rates.len().min(losses.len());
    let reach = (n / 10).max(1);
    let slope = |i: usize| {
        let (before, after) = (i.checked_sub(reach)?, i + reach);
        let change = losses.get(after)? - losses.get(before)?;
        Some((change / (rates.get(after)? / rates.get(before)?).ln(), *rates.get(i)?))
    };
    let least = (0..n).filter_map(slope).fold((0., None), |(least, at), (slope, rate)| match slope < least {
        true => (slope, Some(rate)),
        false => (least, at),
    });
    least.1
}

/// A rate in the first half of the longest falling subsequence of the losses. `None` if the loss never falls.
///
/// This is fast.ai's `valley`: the subsequence ends at `e` and has the length `n`, `s` is a third of it, and
/// the rate is number `e − n + ⌊s⌋ + ⌊s / 2⌋`.
pub(super) fn valley(rates: &[f64], losses: &[f64]) -> Option<f64> {
    let mut lengths: Vec<usize> = vec![];
    for (i, loss) in losses.iter().enumerate() {
        let before = losses.iter().zip(&lengths).take(i).filter(|(earlier, _)| loss < earlier);
        lengths.push(before.map(|(_, length)| length + 1).max().unwrap_or(1));
    }
    let longest = lengths.iter().copied().max().filter(|length| *length > 1)?;
    let end = lengths.iter().position(|length| *length == longest)?;
    let start = end.saturating_sub(longest);
    let third = (end - start) as f64 / 3.;
    rates.get(start + third as usize + (third / 2.) as usize).copied()
}

/// A tenth of the rate with the smallest loss.
pub(super) fn tenth_of_minimum(rates: &[f64], losses: &[f64]) -> Option<f64> {
    let least = rates.iter().zip(losses).min_by(|a, b| a.1.total_cmp(b.1));
    least.map(|(rate, _)| rate / 10.)
}
