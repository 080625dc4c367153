//! Intervals and sets of MAPIE for the same predictions, and shares of scipy: `tests/reference/conformal.py`.
use crate::{
    conformal::{aps::rank_of, class_score::RowScores, *},
    statistics::clopper_pearson,
};
use serde_json::Value;

fn reference(part: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    all[part].clone()
}

/// A list of numbers, NaN for null.
fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
}

fn integers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn cases(value: &Value) -> impl Iterator<Item = (f64, &Value)> {
    value.as_array().unwrap().iter().map(|case| (number(&case["alpha"]), case))
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} is not {expected}");
}

#[track_caller]
fn check(found: &[PredictionInterval], case: &Value) {
    let (low, high) = (floats(&case["low"]), floats(&case["high"]));
    assert_eq!(found.len(), low.len());
    for ((found, low), high) in found.iter().zip(low).zip(high) {
        close(found.low, low, 1e-10);
        close(found.high, high, 1e-10);
    }
}

#[test]
fn intervals_of_split_conformal_prediction() {
    let all = reference("regression");
    let [p, scale, y, new, new_scale] =
        ["predictions", "scales", "targets", "new", "new_scales"].map(|name| floats(&all[name]));
    for (alpha, case) in cases(&all["split"]) {
        check(&SplitConformal::fit(&p, &y, None, alpha).unwrap().predict(&new, None).unwrap(), case);
    }
    for (alpha, case) in cases(&all["normalized"]) {
        let fitted = NormalizedConformal::fit(&p, &scale, &y, None, alpha).unwrap();
        check(&fitted.predict(&new, &new_scale, None).unwrap(), case);
    }
}

#[test]
fn intervals_of_quantile_regression() {
    let all = reference("regression");
    let [low, high, y, new_low, new_high] =
        ["lows", "highs", "targets", "new_lows", "new_highs"].map(|name| floats(&all[name]));
    for (alpha, case) in cases(&all["quantile"]) {
        let correction = match case["symmetric"].as_bool().unwrap() {
            true => QuantileCorrection::Symmetric,
            false => QuantileCorrection::Asymmetric,
        };
        let fitted = QuantileConformal::fit([&low, &high], &y, None, correction, alpha).unwrap();
        check(&fitted.predict([&new_low, &new_high], None).unwrap(), case);
    }
}

#[test]
fn intervals_of_members_of_cross_validation_and_bagging() {
    let all = reference("cross");
    for (alpha, case) in cases(&all["cases"]) {
        let table = &all["tables"][case["table"].as_u64().unwrap() as usize];
        let [held_out, targets, new] = ["held_out", "targets", "new"].map(|name| floats(&table[name]));
        let aggregation = match case["aggregation"].as_str().unwrap() {
            "mean" => Aggregation::Mean,
            _ => Aggregation::Median,
        };
        let method = match case["method"].as_str().unwrap() {
            "plus" => CrossMethod::Plus,
            _ => CrossMethod::MinMax,
        };
        let members = table["members"].as_u64().unwrap() as usize;
        let fitted = CrossConformal::fit(&held_out, members, &targets, aggregation, method, alpha).unwrap();
        assert_eq!(fitted.rows(), targets.len());
        check(&fitted.predict(&new).unwrap(), case);
    }
}

/// The sets of MAPIE as booleans.
fn inside(value: &Value) -> Vec<bool> {
    integers(value).into_iter().map(|inside| inside == 1).collect()
}

#[test]
fn sets_of_lac() {
    let all = reference("classes");
    let [p, new] = ["probabilities", "new"].map(|name| floats(&all[name]));
    let [p, new] = [&p, &new].map(|p| ClassProbabilities::new(p, 4).unwrap());
    let labels = integers(&all["labels"]);
    for (alpha, case) in cases(&all["lac"]) {
        let fitted =
            ClassConformal::fit(ClassScore::Lac, &p, &labels, Condition::Marginal, alpha, None).unwrap();
        close(fitted.quantiles().of(None).unwrap().quantile, number(&case["quantile"]), 1e-12);
        let sets = fitted.predict(&new, None, EmptySets::Keep, None).unwrap();
        assert_eq!(sets.as_slice(), inside(&case["sets"]));
    }
}

/// Compares the quantile and the sets of APS or RAPS. MAPIE subtracts `u p`, where the share here is `1 − u`.
#[track_caller]
fn check_aps(
    score: ClassScore,
    [p, new]: [&ClassProbabilities<'_>; 2],
    labels: &[u32],
    [u, u_new]: [&[f64]; 2],
    alpha: f64,
    case: &Value,
) {
    let randomized = case["randomized"].as_bool().unwrap();
    let shares: Vec<f64> = u.iter().map(|u| if randomized { 1.0 - u } else { 1.0 }).collect();
    let scores = score.of_labels_with(p, labels, &shares).unwrap();
    let condition = Condition::Marginal;
    let fitted =
        ClassConformal::from_scores(score, 4, &scores, labels, condition, alpha, randomized).unwrap();
    close(fitted.quantiles().of(None).unwrap().quantile, number(&case["quantile"]), 1e-12);
    let predict = |empty, shares: &[f64]| fitted.predict_with(new, None, empty, shares).unwrap();
    // Sets up to the last class below the quantile, never empty.
    let whole = vec![1.0; new.rows()];
    assert_eq!(predict(EmptySets::MostProbable, &whole).as_slice(), inside(&case["False"]));
    // And the next class too.
    let kept = predict(EmptySets::Keep, &whole);
    let more = PredictionSets::new(inside(&case["True"]), 4).unwrap();
    for ((kept, more), p) in kept.iter().zip(more.iter()).zip(new.iter()) {
        let size = kept.iter().filter(|inside| **inside).count();
        for (class, inside) in more.iter().enumerate() {
            assert_eq!(*inside, rank_of(class, p, &mut vec![]).unwrap() <= size + 1);
        }
    }
    if randomized && !case["randomized sets"].is_null() {
        let shares: Vec<f64> = u_new.iter().map(|u| 1.0 - u).collect();
        assert_eq!(predict(EmptySets::Keep, &shares).as_slice(), inside(&case["randomized sets"]));
    }
}

#[test]
fn sets_of_aps() {
    let all = reference("classes");
    let [p, new, u, u_new] = ["probabilities", "new", "u", "u_new"].map(|name| floats(&all[name]));
    let [p, new] = [&p, &new].map(|p| ClassProbabilities::new(p, 4).unwrap());
    let labels = integers(&all["labels"]);
    for (alpha, case) in cases(&all["aps"]) {
        check_aps(ClassScore::Aps, [&p, &new], &labels, [&u, &u_new], alpha, case);
    }
}

#[test]
fn sets_and_penalty_of_raps() {
    let all = reference("classes");
    let [p, new, u, u_new] = ["raps_probabilities", "new", "u", "u_new"].map(|name| floats(&all[name]));
    let labels = integers(&all["raps_labels"]);
    let new = ClassProbabilities::new(&new, 4).unwrap();
    let take = |rows: &[u32]| -> (Vec<f64>, Vec<u32>) {
        let p = rows.iter().flat_map(|row| p[4 * *row as usize..4 * *row as usize + 4].to_vec()).collect();
        (p, rows.iter().map(|row| labels[*row as usize]).collect())
    };
    for (alpha, case) in cases(&all["raps"]) {
        let k_reg = case["k_reg"].as_u64().unwrap() as usize;
        let score = ClassScore::Raps { lambda: number(&case["lambda"]), k_reg };
        let (p, labels) = take(&integers(&case["rows"]));
        let p = ClassProbabilities::new(&p, 4).unwrap();
        check_aps(score, [&p, &new], &labels, [&u, &u_new], alpha, case);
        let (p, labels) = take(&integers(&case["selecting"]));
        let p = ClassProbabilities::new(&p, 4).unwrap();
        let selected = select_raps(&p, &labels, alpha, &RAPS_LAMBDAS, None).unwrap();
        assert!(matches!(selected, ClassScore::Raps { k_reg: found, .. } if found == k_reg));
    }
}

/// CV+ of MAPIE. Its rule for APS never has a class in a set that is the least probable one, so these are left out; see the
/// script.
#[test]
fn sets_of_members_of_cross_validation() {
    let all = reference("cross_classes");
    let [held_out, new] = ["held_out", "new"].map(|name| floats(&all[name]));
    let (labels, members) = (integers(&all["labels"]), all["members"].as_u64().unwrap() as usize);
    let rows = new.len() / (3 * members);
    let mut compared = 0;
    for (alpha, case) in cases(&all["cases"]) {
        let lac = case["score"] == "lac";
        let score = if lac { ClassScore::Lac } else { ClassScore::Aps };
        let fitted = CrossClassConformal::fit(score, &held_out, members, 3, &labels, alpha, None).unwrap();
        assert_eq!(fitted.rows(), labels.len());
        let sets = fitted.predict(&new, EmptySets::Keep, None).unwrap();
        for (place, (found, expected)) in sets.as_slice().iter().zip(inside(&case["sets"])).enumerate() {
            let (row, class) = (place / 3, place % 3);
            let is_last = |member: usize| {
                let p = &new[3 * (member * rows + row)..][..3];
                p.iter().enumerate().all(|(other, q)| other == class || *q > p[class])
            };
            if lac || !(0..members).any(is_last) {
                assert_eq!(*found, expected, "{score:?}, α {alpha}, class {class} of row {row}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 3 * 60 + 3 * 33);
}

/// The mean size of the sets for each λ, by the definition. MAPIE's own search is not compared: it uses λ for
/// k_reg.
#[test]
fn the_penalty_with_the_smallest_sets_is_selected() {
    let all = reference("classes");
    let p = floats(&all["raps_probabilities"]);
    let (p, labels) = (ClassProbabilities::new(&p, 4).unwrap(), integers(&all["raps_labels"]));
    for alpha in [0.05, 0.1, 0.25, 0.4] {
        let ClassScore::Raps { lambda, k_reg } =
            select_raps(&p, &labels, alpha, &RAPS_LAMBDAS, None).unwrap()
        else {
            panic!("not RAPS");
        };
        let size = |lambda: f64| {
            let mut row = RowScores::new(ClassScore::Raps { lambda, k_reg }, 4);
            let scores: Vec<Vec<f64>> = p.iter().map(|p| row.of(p, 1.0).to_vec()).collect();
            let own: Vec<f64> =
                scores.iter().zip(&labels).map(|(scores, label)| scores[*label as usize]).collect();
            let q = conformal_quantile(&own, alpha).unwrap();
            scores.concat().iter().filter(|score| **score <= q).count()
        };
        let sizes = RAPS_LAMBDAS.map(size);
        let least = RAPS_LAMBDAS.iter().zip(sizes).min_by_key(|(_, size)| *size).unwrap();
        assert_eq!(*least.0, lambda, "{sizes:?}");
    }
}

#[test]
fn exact_intervals_of_shares() {
    for case in reference("clopper_pearson").as_array().unwrap() {
        let count = |name: &str| case[name].as_u64().unwrap() as usize;
        let found = clopper_pearson(count("hits"), count("trials"), number(&case["level"])).unwrap();
        close(found.low, number(&case["low"]), 1e-9);
        close(found.high, number(&case["high"]), 1e-9);
    }
}
