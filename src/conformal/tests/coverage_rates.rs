//! Coverage over 200 draws of calibration rows and new rows.
//!
//! With distinct scores the number of covered rows of `m` new ones is beta-binomial with the parameters k and
//! n + 1 − k, where k is the rank of the quantile of n scores. The bounds are four standard deviations of the
//! mean over the draws: code that is right fails for one seed in 16 000.
use crate::{conformal::*, Seed};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

const DRAWS: usize = 200;
const NEW: usize = 100;

/// Four standard deviations of the mean share over the draws.
fn tolerance(n: usize, rank: usize) -> f64 {
    let (a, b, m) = (rank as f64, (n + 1 - rank) as f64, NEW as f64);
    let variance = a * b * (a + b + m) / (m * (a + b).powi(2) * (a + b + 1.0));
    4.0 * (variance / DRAWS as f64).sqrt()
}

/// The mean over the draws.
fn mean(mut draw: impl FnMut(&mut ChaCha8Rng) -> f64) -> f64 {
    let mut rng = Seed::from(7).child("coverage rates").rng();
    (0..DRAWS).map(|_| draw(&mut rng)).sum::<f64>() / DRAWS as f64
}

fn share(covered: &[bool]) -> f64 {
    coverage(covered, 0.95).unwrap().share.estimate
}

/// Inputs in [−1, 1], and targets whose noise grows with the input: `y = 2x + (1 + x)·e`.
fn rows(rng: &mut ChaCha8Rng, count: usize) -> (Vec<f64>, Vec<f64>) {
    let row = |_| {
        let x: f64 = rng.random::<f64>() * 2.0 - 1.0;
        let noise = rng.random::<f64>() + rng.random::<f64>() - 1.0;
        (x, 2.0 * x + (1.0 + x) * noise)
    };
    (0..count).map(row).unzip()
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected} ± {tolerance}");
}

/// A model that is wrong on purpose.
fn model(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 1.5 * x + 0.25).collect()
}

#[test]
fn split_conformal_prediction_has_exact_coverage() {
    let covered = mean(|rng| {
        let ((x, y), (new_x, new_y)) = (rows(rng, 99), rows(rng, NEW));
        let split = SplitConformal::fit(&model(&x), &y, None, 0.1).unwrap();
        share(&intervals_contain(&split.predict(&model(&new_x), None).unwrap(), &new_y).unwrap())
    });
    near(covered, 0.9, tolerance(99, 90));
}

#[test]
fn normalized_residuals_have_exact_coverage_and_less_width() {
    let scale = |x: &[f64]| x.iter().map(|x| 1.1 + x).collect::<Vec<f64>>();
    let mut widths = [0.0; 2];
    let covered = mean(|rng| {
        let ((x, y), (new_x, new_y)) = (rows(rng, 99), rows(rng, NEW));
        let double = |x: &[f64]| x.iter().map(|x| 2.0 * x).collect::<Vec<f64>>();
        let fitted = NormalizedConformal::fit(&double(&x), &scale(&x), &y, None, 0.1).unwrap();
        let intervals = fitted.predict(&double(&new_x), &scale(&new_x), None).unwrap();
        let split = SplitConformal::fit(&double(&x), &y, None, 0.1).unwrap();
        widths[0] += mean_width(&intervals).unwrap();
        widths[1] += mean_width(&split.predict(&double(&new_x), None).unwrap()).unwrap();
        share(&intervals_contain(&intervals, &new_y).unwrap())
    });
    near(covered, 0.9, tolerance(99, 90));
    assert!(widths[0] < 0.9 * widths[1], "{widths:?}");
}

#[test]
fn quantile_regression_has_exact_coverage_and_on_each_side_if_asymmetric() {
    for correction in [QuantileCorrection::Symmetric, QuantileCorrection::Asymmetric] {
        let mut below = 0.0;
        let covered = mean(|rng| {
            let ((x, y), (new_x, new_y)) = (rows(rng, 99), rows(rng, NEW));
            let low = |x: &[f64]| x.iter().map(|x| 2.0 * x - 0.1).collect::<Vec<f64>>();
            let high = |x: &[f64]| x.iter().map(|x| 2.5 * x + 0.3).collect::<Vec<f64>>();
            let fitted = QuantileConformal::fit([&low(&x), &high(&x)], &y, None, correction, 0.1).unwrap();
            let intervals = fitted.predict([&low(&new_x), &high(&new_x)], None).unwrap();
            below += intervals.iter().zip(&new_y).filter(|(i, y)| **y < i.low).count() as f64;
            share(&intervals_contain(&intervals, &new_y).unwrap())
        });
        let below = below / (DRAWS * NEW) as f64;
        match correction {
            QuantileCorrection::Symmetric => near(covered, 0.9, tolerance(99, 90)),
            QuantileCorrection::Asymmetric => {
                near(below, 0.05, tolerance(99, 95));
                near(1.0 - covered - below, 0.05, tolerance(99, 95));
            }
        }
    }
}

/// Half of the rows have five times the noise.
#[test]
fn each_group_has_exact_coverage_and_a_common_width_has_not() {
    let rows = |rng: &mut ChaCha8Rng, count: usize| {
        let groups: Vec<u32> = (0..count).map(|row| (row % 2) as u32).collect();
        let noise = |group: &u32| (rng.random::<f64>() * 2.0 - 1.0) * if *group == 0 { 1.0 } else { 5.0 };
        (groups.iter().map(noise).collect::<Vec<f64>>(), groups)
    };
    for by_group in [true, false] {
        let mut covered = [0.0; 2];
        mean(|rng| {
            let ((y, groups), (new_y, new_groups)) = (rows(rng, 98), rows(rng, 2 * NEW));
            let given = |groups| Some(groups).filter(|_| by_group);
            let split = SplitConformal::fit(&[0.0; 98], &y, given(&groups[..]), 0.1).unwrap();
            let intervals = split.predict(&[0.0; 2 * NEW], given(&new_groups[..])).unwrap();
            let inside = intervals_contain(&intervals, &new_y).unwrap();
            for (group, found) in coverage_by_group(&inside, &new_groups, 0.95).unwrap() {
                covered[group as usize] += found.share.estimate / DRAWS as f64;
            }
            0.0
        });
        if by_group {
            near(covered[0], 0.9, tolerance(49, 45));
            near(covered[1], 0.9, tolerance(49, 45));
        } else {
            assert!(covered[0] > 0.99 && covered[1] < 0.85, "{covered:?}");
        }
    }
}

/// New inputs have the density 2x instead of 1 on [0, 1], and the noise grows with x. Without weights the
/// coverage is 0.832, from the distribution function q − q ln q of the scores.
#[test]
fn weights_keep_the_coverage_under_a_shift_of_the_inputs() {
    let mut unweighted = 0.0;
    let weighted = mean(|rng| {
        let x: Vec<f64> = (0..199).map(|_| rng.random()).collect();
        let scores: Vec<f64> = x.iter().map(|x| x * rng.random::<f64>()).collect();
        let weighted = WeightedScores::new(&scores, &x).unwrap();
        let common = conformal_quantile(&scores, 0.1).unwrap();
        let mut covered = [0; 2];
        for _ in 0..NEW {
            let x = rng.random::<f64>().max(rng.random());
            let score = x * rng.random::<f64>();
            covered[0] += usize::from(score <= weighted.quantile(x, 0.1).unwrap());
            covered[1] += usize::from(score <= common);
        }
        unweighted += covered[1] as f64 / (NEW * DRAWS) as f64;
        covered[0] as f64 / NEW as f64
    });
    near(unweighted, 0.834, 0.02);
    assert!((0.888..0.92).contains(&weighted), "{weighted}");
}

/// Four classes whose probabilities are known up to a wrong temperature.
fn class_rows(rng: &mut ChaCha8Rng, count: usize) -> (Vec<f64>, Vec<u32>) {
    let (mut predicted, mut labels) = (vec![], vec![]);
    for _ in 0..count {
        let logits: [f64; 4] = std::array::from_fn(|_| 4.0 * rng.random::<f64>());
        let normalized = |temperature: f64| {
            let exp = logits.map(|logit| (logit / temperature).exp());
            exp.map(|e| e / exp.iter().sum::<f64>())
        };
        predicted.extend(normalized(0.5));
        let mut rest = rng.random::<f64>();
        let label = normalized(1.0).iter().position(|p| {
            rest -= p;
            rest < 0.0
        });
        labels.push(label.unwrap_or(3) as u32);
    }
    (predicted, labels)
}

/// The share of covered rows over the draws, with empty sets kept, and the mean size of the sets.
fn class_coverage(score: ClassScore, condition: Condition<'_>, randomized: bool) -> (f64, f64) {
    let mut sizes = 0.0;
    let covered = mean(|rng| {
        let ((p, labels), (new_p, new_labels)) = (class_rows(rng, 99), class_rows(rng, NEW));
        let [p, new_p] = [&p, &new_p].map(|p| ClassProbabilities::new(p, 4).unwrap());
        let seed = randomized.then(|| Seed::from(rng.random::<u64>()));
        let fitted = ClassConformal::fit(score, &p, &labels, condition, 0.1, seed).unwrap();
        let sets = fitted.predict(&new_p, None, EmptySets::Keep, seed).unwrap();
        sizes += mean_set_size(&sets).unwrap() / DRAWS as f64;
        share(&sets.contain(&new_labels).unwrap())
    });
    (covered, sizes)
}

#[test]
fn sets_have_exact_coverage_on_average() {
    let raps = ClassScore::Raps { lambda: 0.1, k_reg: 2 };
    for score in [ClassScore::Lac, ClassScore::Aps, raps] {
        for randomized in [false, true] {
            let (covered, _) = class_coverage(score, Condition::Marginal, randomized);
            near(covered, 0.9, tolerance(99, 90));
        }
    }
    // The sets of LAC are the smallest, and randomized ones of APS are smaller than the others.
    let size = |score, randomized| class_coverage(score, Condition::Marginal, randomized).1;
    assert!(size(ClassScore::Lac, false) < size(ClassScore::Aps, true));
    assert!(size(ClassScore::Aps, true) < size(ClassScore::Aps, false));
}

/// A class with n rows has a coverage from 0.9 to 0.9 + 1/(n + 1), for about 25 rows.
#[test]
fn class_conditional_sets_have_the_coverage_in_each_class() {
    let (mut hits, mut rows) = ([0.0; 4], [0.0; 4]);
    mean(|rng| {
        let ((p, labels), (new_p, new_labels)) = (class_rows(rng, 99), class_rows(rng, NEW));
        // Class 0 is never the most probable one for the model.
        let distort = |p: &[f64]| -> Vec<f64> {
            let row = |p: &[f64]| {
                let rest = 1.0 - p[0] * 0.9;
                [p[0] * 0.1 / rest, p[1] / rest, p[2] / rest, p[3] / rest]
            };
            p.chunks_exact(4).flat_map(row).collect()
        };
        let (p, new_p) = (distort(&p), distort(&new_p));
        let [p, new_p] = [&p, &new_p].map(|p| ClassProbabilities::new(p, 4).unwrap());
        let fitted =
            ClassConformal::fit(ClassScore::Lac, &p, &labels, Condition::Classes, 0.1, None).unwrap();
        let sets = fitted.predict(&new_p, None, EmptySets::Keep, None).unwrap();
        for (inside, label) in sets.contain(&new_labels).unwrap().into_iter().zip(new_labels) {
            hits[label as usize] += f64::from(u8::from(inside));
            rows[label as usize] += 1.0;
        }
        0.0
    });
    for (hits, rows) in hits.iter().zip(rows) {
        let covered = hits / rows;
        assert!((0.88..0.96).contains(&covered), "{covered}");
    }
}

/// Least squares with an intercept, on the rows that are kept.
fn line(x: &[f64], y: &[f64], kept: impl Fn(usize) -> usize) -> impl Fn(f64) -> f64 {
    let weight: Vec<f64> = (0..x.len()).map(|row| kept(row) as f64).collect();
    let all: f64 = weight.iter().sum();
    let mean = |values: &[f64]| values.iter().zip(&weight).map(|(v, w)| v * w).sum::<f64>() / all;
    let (centre, level) = (mean(x), mean(y));
    let pairs = || x.iter().zip(y).zip(&weight);
    let covariance: f64 = pairs().map(|((x, y), w)| w * (x - centre) * (y - level)).sum();
    let variance: f64 = pairs().map(|((x, _), w)| w * (x - centre).powi(2)).sum();
    let slope = covariance / variance;
    move |x| level + slope * (x - centre)
}

/// How often each of `members` members has each of `rows` rows.
type Counts = fn(&mut ChaCha8Rng, usize) -> Vec<Vec<usize>>;

fn folds(members: usize, rows: usize) -> Vec<Vec<usize>> {
    (0..members).map(|m| (0..rows).map(|row| usize::from(row % members != m)).collect()).collect()
}

fn bootstrap(rng: &mut ChaCha8Rng, rows: usize) -> Vec<Vec<usize>> {
    let sample = |_| {
        let mut counts = vec![0; rows];
        for _ in 0..rows {
            counts[rng.random_range(0..rows)] += 1;
        }
        counts
    };
    (0..25).map(sample).collect()
}

fn cross_coverage(counts: Counts, aggregation: Aggregation, method: CrossMethod) -> f64 {
    mean(|rng| {
        let ((x, y), (new_x, new_y)) = (rows(rng, 40), rows(rng, NEW));
        let (mut held_out, mut predictions) = (vec![], vec![]);
        let counts = counts(rng, 40);
        for counts in &counts {
            let fitted = line(&x, &y, |row| counts[row]);
            let missing = |row: usize| if counts[row] > 0 { f64::NAN } else { fitted(x[row]) };
            held_out.extend((0..40).map(missing));
            predictions.extend(new_x.iter().map(|x| fitted(*x)));
        }
        let fitted = CrossConformal::fit(&held_out, counts.len(), &y, aggregation, method, 0.1).unwrap();
        share(&intervals_contain(&fitted.predict(&predictions).unwrap(), &new_y).unwrap())
    })
}

/// The guarantee is 0.8, and less for CV+. The expected coverage of these stable fits is not known exactly;
/// it is close to the one of split conformal prediction, whose tolerance is about 0.018, and 0.01 is added.
#[test]
fn jackknife_plus_and_its_relatives_are_near_the_nominal_coverage() {
    let leave_one_out: Counts = |_, rows| folds(rows, rows);
    let ten_folds: Counts = |_, rows| folds(10, rows);
    let near_nominal = tolerance(40, 37) + 0.01;
    for (counts, aggregation) in [
        (leave_one_out, Aggregation::Mean),
        (ten_folds, Aggregation::Mean),
        (bootstrap as Counts, Aggregation::Mean),
        (bootstrap as Counts, Aggregation::Median),
    ] {
        let plus = cross_coverage(counts, aggregation, CrossMethod::Plus);
        near(plus, 37.0 / 41.0, near_nominal);
        assert!(plus >= 0.8);
        let minmax = cross_coverage(counts, aggregation, CrossMethod::MinMax);
        assert!(minmax >= plus && minmax >= 0.9 - tolerance(40, 37), "{minmax} {plus}");
    }
}

/// Points of three classes with centres of their own, `(x, y)`, and their labels.
fn points(rng: &mut ChaCha8Rng, count: usize) -> (Vec<[f64; 2]>, Vec<u32>) {
    const CENTRES: [[f64; 2]; 3] = [[0.0, 0.0], [1.2, 0.0], [0.4, 1.1]];
    let noise = |rng: &mut ChaCha8Rng| (0..6).map(|_| rng.random::<f64>() - 0.5).sum::<f64>();
    let point = |_| {
        let label = rng.random_range(0..3u32);
        let point = CENTRES[label as usize].map(|centre| centre + noise(rng));
        (point, label)
    };
    (0..count).map(point).unzip()
}

/// Probabilities by the distances from the means of the classes, which are fitted on the rows that are kept.
fn centroids(x: &[[f64; 2]], labels: &[u32], kept: &[usize]) -> impl Fn(&[f64; 2]) -> [f64; 3] {
    let mut sums = [[0.0; 3]; 3];
    for ((x, label), n) in x.iter().zip(labels).zip(kept) {
        let sum = &mut sums[*label as usize];
        [sum[0], sum[1], sum[2]] = [sum[0] + *n as f64 * x[0], sum[1] + *n as f64 * x[1], sum[2] + *n as f64];
    }
    move |x| {
        // A class without rows has its mean at 0.
        let distance =
            |sum: &[f64; 3]| (0..2).map(|i| (x[i] - sum[i] / sum[2].max(1.0)).powi(2)).sum::<f64>();
        let exp = std::array::from_fn::<f64, 3, _>(|class| (-2.0 * distance(&sums[class])).exp());
        exp.map(|e| e / exp.iter().sum::<f64>())
    }
}

/// The share of covered rows over the draws, with empty sets kept, and the mean size of the sets.
fn cross_class_coverage(counts: Counts, score: ClassScore, randomized: bool) -> (f64, f64) {
    const NOT: [f64; 3] = [f64::NAN; 3];
    let mut sizes = 0.0;
    let covered = mean(|rng| {
        let ((x, labels), (new_x, new_labels)) = (points(rng, 40), points(rng, NEW));
        let (mut held_out, mut predictions) = (vec![], vec![]);
        let counts = counts(rng, 40);
        for counts in &counts {
            let fitted = centroids(&x, &labels, counts);
            held_out.extend((0..40).flat_map(|row| if counts[row] > 0 { NOT } else { fitted(&x[row]) }));
            predictions.extend(new_x.iter().flat_map(&fitted));
        }
        let seed = randomized.then(|| Seed::from(rng.random::<u64>()));
        let fitted = CrossClassConformal::fit(score, &held_out, counts.len(), 3, &labels, 0.1, seed).unwrap();
        let sets = fitted.predict(&predictions, EmptySets::Keep, seed).unwrap();
        sizes += mean_set_size(&sets).unwrap() / DRAWS as f64;
        share(&sets.contain(&new_labels).unwrap())
    });
    (covered, sizes)
}

/// As for intervals: the guarantee is 0.8 or a little less, and the coverage of stable fits is close to the nominal one. The
/// label is the least probable class of more than a tenth of the rows, and its score of 1 is that of such a class in each new
/// row, so scores of APS that are not randomized cover more.
#[test]
fn sets_of_cross_validation_and_bagging_are_near_the_nominal_coverage() {
    let leave_one_out: Counts = |_, rows| folds(rows, rows);
    let ten_folds: Counts = |_, rows| folds(10, rows);
    let near_nominal = tolerance(40, 37) + 0.01;
    let raps = ClassScore::Raps { lambda: 0.1, k_reg: 1 };
    for counts in [leave_one_out, ten_folds, bootstrap as Counts] {
        for (score, randomized) in
            [(ClassScore::Lac, false), (ClassScore::Aps, true), (ClassScore::Aps, false), (raps, true)]
        {
            let (covered, size) = cross_class_coverage(counts, score, randomized);
            match (score, randomized) {
                (ClassScore::Aps, false) => {
                    assert!((37.0 / 41.0 - near_nominal..0.96).contains(&covered), "{covered}")
                }
                _ => near(covered, 37.0 / 41.0, near_nominal),
            }
            assert!((1.0..2.5).contains(&size), "{size}");
        }
    }
}
