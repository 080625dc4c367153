use super::*;
use crate::{
    data::Task,
    evaluate::{decomposition::tests::reference, RowTargets},
    predictions::Predictions,
};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

/// By `tests/reference/diversity.py`.
const MEASURES: &[(&str, f64)] = &[
    ("q-statistic", -0.16839296459894904),
    ("correlation", -0.056896687798340416),
    ("disagreement", 0.46),
    ("double-fault", 0.0842857142857143),
    ("ratio-of-errors", 10.974862914862914),
    ("kappa", -0.05457170304613572),
    ("cohen-kappa", 0.1271016411411649),
    ("entropy", 0.7214285714285714),
    ("kohavi-wolpert", 0.184),
    ("interrater-kappa", -0.06723484848484862),
    ("difficulty", 0.03151020408163266),
    ("generalized", 0.7318181818181817),
    ("coincident-failure", 0.7916666666666667),
];

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-12 * (1. + b.abs()), "{a} is not {b}");
}

/// Predictions of two classes, `(S, N, 2)`, that are right (class 0) where the bits say so.
fn oracle(right: &[Vec<bool>]) -> (Predictions, RowTargets) {
    let (slots, rows) = (right.len(), right[0].len());
    let values: Vec<f32> =
        right.iter().flatten().flat_map(|r| if *r { [1., 0.] } else { [0., 1.] }).collect();
    let values = Tensor::from_vec(values, (slots, rows, 2), &Device::Cpu).unwrap();
    let predictions = Predictions::new(values, Task::Classification { classes: 2 }).unwrap();
    (predictions, RowTargets::classes(&vec![0; rows], 2).unwrap())
}

#[test]
fn agrees_with_deslib_and_scikit_learn() {
    let (repeats, labels) = reference();
    let predictions = Predictions::new(repeats[0].clone(), Task::Classification { classes: 3 }).unwrap();
    let got = Diversity::of(&predictions, &RowTargets::classes(&labels, 3).unwrap()).unwrap();
    assert_eq!(got.measures.len(), MEASURES.len());
    for (name, want) in MEASURES {
        near(got.get(name).unwrap(), *want);
    }
    // Equal weights, and full coverage that is spelled out, take the other paths.
    let weighted = RowTargets::classes(&labels, 3).unwrap().with_weights(&[2.; 70]).unwrap();
    let covered = Tensor::ones((5, 70), candle_core::DType::U8, &Device::Cpu).unwrap();
    let covered = Predictions::partial(repeats[0].clone(), covered, predictions.task()).unwrap();
    let other = Diversity::of(&covered, &weighted).unwrap();
    for (name, want) in MEASURES {
        near(other.get(name).unwrap(), *want);
    }
    assert_eq!(got.kappa_error.len(), 10);
    assert!(got.to_string().contains("| q-statistic        |"));
}

/// Two examples from the tests of DESlib: a double fault of 3/7 and a ratio of errors of 5/3.
#[test]
fn known_examples() {
    let right = |y: &[u8], p: &[u8]| y.iter().zip(p).map(|(y, p)| y == p).collect::<Vec<_>>();
    let y = [0, 0, 0, 0, 1, 1, 1];
    let pair = PairCounts::of(&right(&y, &[1, 0, 1, 0, 0, 0, 0]), &right(&y, &[1, 0, 0, 0, 1, 0, 0]));
    assert_eq!(double_fault(&pair), Some(3. / 7.));
    let y = [0, 0, 1, 0, 0, 0, 0, 1, 1, 1];
    let first = right(&y, &[0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    let pair = PairCounts::of(&first, &right(&y, &[1, 0, 0, 1, 1, 0, 0, 0, 1, 1]));
    assert_eq!(ratio_of_errors(&pair), Some(5. / 3.));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Kuncheva and Whitaker 2003, section 4: KW = (L − 1)/2L D and κ = 1 − D/(2 p̄ (1 − p̄)).
    #[test]
    fn measures_of_the_group_follow_from_the_mean_disagreement(
        right in (2usize..7, 1usize..150).prop_flat_map(|(slots, rows)| {
            prop::collection::vec(prop::collection::vec(any::<bool>(), rows), slots)
        }),
    ) {
        let (predictions, targets) = oracle(&right);
        let got = Diversity::of(&predictions, &targets).unwrap();
        let (slots, rows) = (right.len() as f64, right[0].len() as f64);
        let d = got.get("disagreement").unwrap();
        near(got.get("kohavi-wolpert").unwrap(), (slots - 1.) / (2. * slots) * d);
        let p = right.iter().flatten().filter(|r| **r).count() as f64 / (slots * rows);
        match got.get("interrater-kappa") {
            Some(kappa) => near(kappa, 1. - d / (2. * p * (1. - p))),
            None => prop_assert!(p == 0. || p == 1.),
        }
        for (a, b) in (0..right.len()).flat_map(|a| (a..right.len()).map(move |b| (a, b))) {
            let pair = PairCounts::of(&right[a], &right[b]);
            prop_assert_eq!(got.pairs("double-fault").unwrap().get(a, b), double_fault(&pair));
            prop_assert_eq!(got.pairs("q-statistic").unwrap().get(b, a), q_statistic(&pair));
        }
    }

    /// A row of weight 2 counts as two rows, and a missing prediction as no row.
    #[test]
    fn weights_count_as_rows_and_missing_predictions_as_none(
        seed in 0u64..1000, rows in 2usize..140,
    ) {
        use rand::Rng;
        let mut rng = crate::Seed::from(seed).rng();
        let right: Vec<Vec<bool>> = (0..2).map(|_| (0..rows).map(|_| rng.random()).collect()).collect();
        let weights: Vec<usize> = (0..rows).map(|_| rng.random_range(1..3)).collect();
        let covered: Vec<u8> = (0..2 * rows).map(|_| u8::from(rng.random::<f64>() < 0.8)).collect();
        let kept: Vec<usize> = (0..rows).filter(|i| covered[*i] * covered[rows + i] > 0).collect();
        prop_assume!(!kept.is_empty());
        let (predictions, targets) = oracle(&right);
        let mask = Tensor::from_slice(&covered, (2, rows), &Device::Cpu).unwrap();
        let partial = Predictions::partial(predictions.values().clone(), mask, predictions.task()).unwrap();
        let weights_of_rows: Vec<f64> = weights.iter().map(|w| *w as f64).collect();
        let got = Diversity::of(&partial, &targets.with_weights(&weights_of_rows).unwrap()).unwrap();
        let repeated = |slot: usize| -> Vec<bool> {
            kept.iter().flat_map(|i| vec![right[slot][*i]; weights[*i]]).collect()
        };
        let (predictions, targets) = oracle(&[repeated(0), repeated(1)]);
        let want = Diversity::of(&predictions, &targets).unwrap();
        prop_assert_eq!(got.common_rows, kept.len());
        for (a, b) in got.measures.iter().zip(&want.measures) {
            prop_assert_eq!(a.value.is_some(), b.value.is_some(), "{}", a.name);
            if let (Some(a), Some(b)) = (a.value, b.value) {
                near(a, b);
            }
        }
    }
}

#[test]
fn a_member_that_is_always_right_has_no_association() {
    let (predictions, targets) =
        oracle(&[vec![true; 4], vec![true, false, true, false], vec![false, true, true, false]]);
    let got = Diversity::of(&predictions, &targets).unwrap();
    for name in ["q-statistic", "correlation"] {
        let pairs = got.pairs(name).unwrap();
        assert_eq!((pairs.get(0, 1), pairs.defined_pairs()), (None, 1));
        assert_eq!(pairs.get(1, 2), Some(0.)); // each of the four cases once
        assert_eq!(got.get(name), Some(0.));
    }
    let (predictions, targets) = oracle(&[vec![true, false]]);
    let single = Diversity::of(&predictions, &targets).unwrap();
    assert_eq!(
        (single.get("entropy"), single.get("disagreement"), single.get("generalized")),
        (None, None, None)
    );
}

/// By hand: errors 1, −1, 0 and 2, −2, 0 and 1, 1, −2 have the correlations 1, 0 and 0, and a constant error none.
#[test]
fn correlations_of_errors() {
    let slots = [[[1f64], [-1.], [0.]], [[2.], [-2.], [0.]], [[1.], [1.], [-2.]], [[0.1], [0.1], [0.1]]];
    let values = Tensor::new(&slots, &Device::Cpu).unwrap();
    let targets = RowTargets::values(&Tensor::new(&[0f32, 0., 0.], &Device::Cpu).unwrap()).unwrap();
    let covered = Tensor::ones((4, 3), candle_core::DType::U8, &Device::Cpu).unwrap();
    let task = Task::Regression { outputs: 1 };
    for predictions in
        [Predictions::new(values.clone(), task), Predictions::partial(values.clone(), covered, task)]
    {
        let got = Diversity::of(&predictions.unwrap(), &targets).unwrap();
        let pairs = got.pairs("error-correlation").unwrap();
        near(pairs.get(0, 1).unwrap(), 1.);
        near(pairs.get(0, 2).unwrap(), 0.);
        assert_eq!(pairs.get(0, 3), None);
        near(got.errors[1].unwrap(), 8. / 3.);
    }
}

#[test]
#[ignore = "takes time: 100 members on 100,000 rows"]
fn many_members_and_rows() {
    use rand::Rng;
    let mut rng = crate::Seed::from(1).rng();
    let values: Vec<f32> = (0..100 * 100_000 * 10).map(|_| rng.random()).collect();
    let values = Tensor::from_vec(values, (100, 100_000, 10), &Device::Cpu).unwrap();
    let labels: Vec<u32> = (0..100_000).map(|i| i % 10).collect();
    let predictions = Predictions::new(values, Task::Classification { classes: 10 }).unwrap();
    let targets = RowTargets::classes(&labels, 10).unwrap();
    let started = std::time::Instant::now();
    let got = Diversity::of(&predictions, &targets).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    near((got.get("cohen-kappa").unwrap() * 100.).round(), 0.);
    assert!(seconds < 10., "{seconds} s");
}
