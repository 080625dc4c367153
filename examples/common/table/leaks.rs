//! Columns that give the target away, or the order of the rows.
use super::Target;
use std::collections::BTreeMap;

/// With fewer rows, or fewer different values, chance does the same.
const ENOUGH: usize = 10;

/// Whether the numbers are consecutive whole numbers, each once, in any order: those of an index or an
/// identifier.
pub fn numbers_rows(values: &[f64]) -> bool {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.len() >= ENOUGH
        && sorted.iter().all(|x| x.fract() == 0.)
        && sorted.windows(2).all(|pair| pair[1] - pair[0] == 1.)
}

/// Whether each value of the column goes with one class and the other way round, or the column puts the rows
/// in the same order as the target (or the reverse), or is a linear function of it.
pub fn gives_away(column: &[f64], target: &Target) -> bool {
    match target {
        Target::Classes(names, ids) => names.len() < ids.len() && one_to_one(column, ids),
        Target::Values(values) => same_order(column, values) || linear(column, values),
    }
}

/// The number that seems to mean "missing": one that programs use for it, in several rows, and far from all
/// others.
pub fn sentinel(column: &[f64]) -> Option<f64> {
    let usual = [-9., -99., -999., -9999., -99999., 99., 999., 9999., 99999., 999_999.];
    usual.into_iter().find(|x| {
        let others: Vec<f64> = column.iter().copied().filter(|y| y != x).collect();
        let (low, high) = others
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(*y), high.max(*y)));
        let gap = (low - x).max(x - high);
        column.len() - others.len() > 1 && others.len() >= ENOUGH && high > low && gap > 3. * (high - low)
    })
}

fn one_to_one(column: &[f64], ids: &[u32]) -> bool {
    let (mut to, mut from) = (BTreeMap::new(), BTreeMap::new());
    // + 0. makes one of both zeros.
    let bits = column.iter().map(|x| (x + 0.).to_bits());
    bits.zip(ids).all(|(x, id)| to.entry(x).or_insert(id) == &id && from.entry(id).or_insert(x) == &x)
}

fn same_order(a: &[f64], b: &[f64]) -> bool {
    let mut pairs: Vec<_> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.sort_by(|p, q| p.0.total_cmp(&q.0));
    pairs.dedup();
    let steps =
        |rises: fn(f64, f64) -> bool| pairs.windows(2).all(|w| w[0].0 < w[1].0 && rises(w[0].1, w[1].1));
    pairs.len() >= ENOUGH && (steps(|y, z| y < z) || steps(|y, z| y > z))
}

/// A correlation of 1 up to one part in a million.
fn linear(a: &[f64], b: &[f64]) -> bool {
    let n = a.len() as f64;
    let centred = |x: &[f64]| -> Vec<f64> {
        let largest = x.iter().fold(0f64, |most, x| most.max(x.abs()));
        let mean = x.iter().map(|x| x / largest / n).sum::<f64>();
        x.iter().map(|x| x / largest - mean).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let both = dot(&a, &a) * dot(&b, &b);
    a.len() >= ENOUGH && both > 0. && dot(&a, &b).powi(2) >= both * (1. - 2e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_consecutive_in_any_order() {
        let index: Vec<f64> = (5..25).map(f64::from).collect();
        assert!(numbers_rows(&index));
        let shuffled: Vec<f64> = (0..20).map(|i| f64::from(i * 7 % 20)).collect();
        assert!(numbers_rows(&shuffled));
        assert!(!numbers_rows(&index[..9]), "few rows");
        let twice: Vec<f64> = (0..20).map(|i| f64::from(i / 2)).collect();
        assert!(!numbers_rows(&twice) && !numbers_rows(&index.iter().map(|x| x / 2.).collect::<Vec<_>>()));
    }

    #[test]
    fn a_number_for_missing_values_is_far_from_the_others() {
        let with =
            |x: f64| -> Vec<f64> { (0..30).map(|i| if i % 10 == 3 { x } else { f64::from(i) }).collect() };
        assert_eq!(
            [with(-9999.), with(999.), with(-9.), with(1000.)].map(|x| sentinel(&x)),
            [Some(-9999.), Some(999.), None, None]
        );
        let once: Vec<f64> = (0..30).map(|i| if i == 3 { -9999. } else { f64::from(i) }).collect();
        assert_eq!(sentinel(&once), None);
        let two = [0., -9999.].repeat(20);
        assert_eq!(sentinel(&two), None, "a code of two values");
    }

    #[test]
    fn a_copy_of_classes_under_other_names_gives_them_away() {
        let target =
            Target::Classes(vec!["a".into(), "b".into(), "c".into()], (0..30).map(|i| i % 3).collect());
        let codes: Vec<f64> = (0..30).map(|i| [7., -1., 0.][i % 3]).collect();
        assert!(gives_away(&codes, &target));
        let mut one_off = codes.clone();
        one_off[4] = 7.;
        assert!(!gives_away(&one_off, &target));
        let zeros: Vec<f64> = (0..30).map(|i| [0., 1., 2.][i % 3] * if i < 15 { -1. } else { 1. }).collect();
        assert!(!gives_away(&zeros, &target));
        let signed: Vec<f64> = codes.iter().enumerate().map(|(i, x)| if i == 2 { -0. } else { *x }).collect();
        assert!(gives_away(&signed, &target), "both zeros are one value");
    }

    #[test]
    fn a_function_of_the_target_gives_it_away() {
        let y: Vec<f64> = (0..40).map(|i| f64::from(i * 17 % 40) - 7.5).collect();
        let target = Target::Values(y.clone());
        let of = |f: &dyn Fn(f64) -> f64| y.iter().map(|y| f(*y)).collect::<Vec<_>>();
        for copy in [of(&|y| y), of(&|y| 1e9 - 3. * y), of(&|y| y.exp()), of(&|y| (y * 1e3).round())] {
            assert!(gives_away(&copy, &target));
        }
        assert!(!gives_away(&of(&|y| y.abs()), &target));
        assert!(!gives_away(&of(&|y| y + (y * 9.).sin()), &target), "a good predictor is none");
        assert!(!gives_away(&of(&|_| 1.), &target));
        assert!(!gives_away(&y[..5], &Target::Values(y[..5].to_vec())), "few rows");
    }
}
