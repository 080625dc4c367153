//! The masks of Masksembles: which features of a layer each member keeps.
use crate::{
    check::{power, require},
    Error, Result, Seed,
};
use rand::seq::SliceRandom;

/// How often masks are drawn until every feature is one of some member. A draw succeeds with a probability of some percent.
const MOST_DRAWS: u64 = 100_000;

/// Masks for `members` members, one after the other, with a choice for each of the `features`: 1 where a member keeps it.
///
/// Each member keeps `K = ⌊features / (scale · (1 − (1 − 1/scale)^M))⌋` features, and every feature is kept by some
/// member. A member's features are a random set of `K` out of about `K · scale` positions, so two members share about the
/// `1/scale`-th part of theirs. Positions that no member keeps are removed; the number of positions is such that `features`
/// of them are left on average, and masks are drawn until exactly that many are left.
pub(super) fn draw(features: usize, members: usize, scale: f64, seed: Seed) -> Result<Vec<u32>> {
    check(members, scale)?;
    let (kept, positions) = sizes(features, members, scale)?;
    let draws =
        (0..MOST_DRAWS).map(|number| masks_of(features, members, kept, positions, seed.nth("masks", number)));
    draws.flatten().next().ok_or_else(|| unreachable(features, members, scale))
}

/// Checks the parameters that are the same for all layers.
pub(super) fn check(members: usize, scale: f64) -> Result<()> {
    if members == 0 {
        return Err(Error::invalid("the number of members of Masksembles", "at least 1", 0));
    }
    require((1. ..=6.).contains(&scale), "Masksembles::scale", "from 1 (all masks are the same) to 6", scale)
}

/// The features that each member keeps, and the positions out of which they are drawn.
fn sizes(features: usize, members: usize, scale: f64) -> Result<(usize, usize)> {
    if features < 10 {
        let what = "the number of features of a layer behind which Masksembles puts masks";
        return Err(Error::invalid(what, "at least 10", features));
    }
    let kept = (features as f64 / growth(scale, members)) as usize;
    // The paper's code searches within a fifth of the scale, torch-uncertainty's up to four times the scale.
    let found = [(0.8, 1.2), (0.2, 4.)]
        .into_iter()
        .find_map(|(least, most)| search(features, members, kept, [(least * scale).max(1.), most * scale]));
    found.map(|positions| (kept, positions)).ok_or_else(|| unreachable(features, members, scale))
}

/// The positions in use per feature of a member, for `scale` positions per feature: `scale · (1 − (1 − 1/scale)^M)`.
fn growth(scale: f64, members: usize) -> f64 {
    scale * (1. - power(1. - 1. / scale, members as u64))
}

/// The number of positions of which `features` are in use on average, by bisection of the positions per feature of a member.
fn search(features: usize, members: usize, kept: usize, [mut low, mut high]: [f64; 2]) -> Option<usize> {
    for _ in 0..100 {
        let middle = (low + high) / 2.;
        match ((kept as f64 * growth(middle, members)) as usize).cmp(&features) {
            std::cmp::Ordering::Equal => return Some((kept as f64 * middle) as usize),
            std::cmp::Ordering::Less => low = middle,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn unreachable(features: usize, members: usize, scale: f64) -> Error {
    let must = format!("another number of features, members or scale: no masks of the scale {scale} cover {features} features");
    Error::invalid("a layer with masks of Masksembles", must, format!("{members} masks"))
}

/// Masks of `kept` out of `positions`, without the positions that no member keeps; `None` where other than `features` are
/// left.
fn masks_of(features: usize, members: usize, kept: usize, positions: usize, seed: Seed) -> Option<Vec<u32>> {
    let mut rng = seed.rng();
    let mut all: Vec<usize> = (0..positions).collect();
    let mut masks = vec![0; members * positions];
    let mut used = vec![false; positions];
    for mask in masks.chunks_exact_mut(positions) {
        for position in all.partial_shuffle(&mut rng, kept).0.iter() {
            mask[*position] = 1;
            used[*position] = true;
        }
    }
    if used.iter().filter(|used| **used).count() != features {
        return None;
    }
    let of_used = masks.iter().zip(used.iter().cycle());
    Some(of_used.filter(|(_, used)| **used).map(|(choice, _)| *choice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn of(case: &Value, name: &str) -> f64 {
        case[name].as_f64().unwrap()
    }

    fn arguments(case: &Value) -> (usize, usize, f64) {
        (of(case, "channels") as usize, of(case, "members") as usize, of(case, "scale"))
    }

    /// The paper's generator draws from another stream, so the distributions are compared (`tests/reference`): the number
    /// of features that are kept, the features without a member, and the mean overlap within 5 standard deviations of
    /// the difference of the two means.
    #[test]
    fn masks_are_those_of_the_papers_generator_in_distribution() {
        let all: Value = serde_json::from_str(include_str!("tests/reference.json")).unwrap();
        for case in all["masks"]["cases"].as_array().unwrap() {
            let ((features, members, scale), draws) = (arguments(case), 200);
            let (mut overlaps, mut pairs) = (0., 0.);
            for seed in 0..draws {
                let masks = draw(features, members, scale, seed.into()).unwrap();
                assert_eq!(masks.len(), features * members);
                let masks: Vec<&[u32]> = masks.chunks(features).collect();
                for (i, a) in masks.iter().enumerate() {
                    let kept = a.iter().sum::<u32>();
                    assert_eq!(case["kept"], serde_json::json!([kept]), "{case}");
                    for b in &masks[..i] {
                        let both = a.iter().zip(*b).filter(|(a, b)| **a == 1 && **b == 1).count() as f64;
                        overlaps += both / (2. * f64::from(kept) - both);
                        pairs += 1.;
                    }
                }
                assert!((0..features).all(|feature| masks.iter().any(|mask| mask[feature] == 1)), "{case}");
            }
            let apart = (overlaps / pairs - of(case, "overlap")).abs();
            let error = of(case, "overlap_deviation") * (1. / of(case, "draws") + 1. / draws as f64).sqrt();
            assert!(apart <= 5. * error + 1e-12, "{case}: {}", overlaps / pairs);
        }
        for case in all["masks"]["refused"].as_array().unwrap() {
            let (features, members, scale) = arguments(case);
            assert!(draw(features, members, scale, 1.into()).is_err(), "{case}");
        }
    }

    #[test]
    fn masks_depend_on_the_seed_alone_and_are_full_at_scale_1() {
        let masks = |seed: u64, scale| draw(16, 4, scale, seed.into()).unwrap();
        assert_eq!(masks(1, 2.), masks(1, 2.));
        assert_ne!(masks(1, 2.), masks(2, 2.));
        assert_eq!(masks(1, 1.), [1; 64]);
        assert_eq!(draw(16, 1, 3., 1.into()).unwrap(), [1; 16]);
    }

    /// Where the search of the paper's code fails, the wider one finds masks.
    #[test]
    fn few_features_and_large_scales_have_masks_or_an_error_in_words() {
        let masks = draw(10, 3, 1.5, 1.into()).unwrap();
        assert_eq!(masks.chunks(10).map(|mask| mask.iter().sum::<u32>()).collect::<Vec<_>>(), [6; 3]);
        let message = |outcome: Result<Vec<u32>>| outcome.unwrap_err().to_string();
        assert!(message(draw(10, 2, 6., 1.into())).contains("no masks of the scale 6 cover 10 features"));
        assert!(message(draw(9, 2, 2., 1.into())).contains("at least 10, but is 9"));
        assert!(message(draw(16, 2, 0.5, 1.into())).contains("Masksembles::scale must be from 1"));
        assert!(message(draw(16, 0, 2., 1.into())).contains("the number of members of Masksembles"));
    }
}
