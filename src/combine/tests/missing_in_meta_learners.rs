//! Missing predictions, with a known truth: equally good slots count alike whatever they cover.
//!
//! Each check takes means over seeds, and fails by chance when a mean is four standard errors off: once in
//! 16,000 comparisons.
use crate::{
    combine::{
        stack::{Linear, Logistic, MetaFeatures, Ridge, Stack},
        *,
    },
    data::Task,
    metrics::Summary,
    HeldOut, Seed,
};
use candle_core::{DType, Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The shares of the rows that the slots predict.
pub(crate) const SHARES: [f64; 4] = [0.1, 0.37, 0.63, 1.];

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

/// Predictions `(S, R, C)`, each of a slot for a row, or missing.
fn predictions(all: &[Vec<Option<Vec<f64>>>], task: Task) -> Predictions {
    let (slots, rows, width) = (all.len(), all[0].len(), task.width());
    let cells = || all.iter().flatten();
    let values: Vec<f64> = cells().flat_map(|c| c.clone().unwrap_or_else(|| vec![f64::NAN; width])).collect();
    let covered: Vec<u8> = cells().map(|c| u8::from(c.is_some())).collect();
    let values = Tensor::from_vec(values, (slots, rows, width), &Device::Cpu).unwrap();
    let covered = Tensor::from_vec(covered, (slots, rows), &Device::Cpu).unwrap();
    Predictions::partial(values, covered, task).unwrap()
}

const VALUES: Task = Task::Regression { outputs: 1 };

/// The truth is standard normal; slot `s` adds noise of its own, and predicts a share of the rows.
fn regression(seed: u64, rows: usize, noise: &[f64], shares: &[f64]) -> HeldOut {
    let mut rng = Seed::from(seed).rng();
    let truth: Vec<f64> = (0..rows).map(|_| normal(&mut rng)).collect();
    let all: Vec<_> = noise
        .iter()
        .zip(shares)
        .map(|(noise, share)| {
            let cell = |y: &f64| {
                let predicted = y + noise * normal(&mut rng);
                rng.random_bool(*share).then(|| vec![predicted])
            };
            truth.iter().map(cell).collect::<Vec<_>>()
        })
        .collect();
    let predictions = predictions(&all, VALUES);
    HeldOut::from_predictions(&predictions, &Tensor::from_vec(truth, (rows, 1), &Device::Cpu).unwrap())
        .unwrap()
        .with_seed(seed)
}

/// Each mean over the seeds is its truth, to within four standard errors and `bias`.
#[track_caller]
fn assert_means(found: &[Vec<f64>], truth: &[f64], bias: f64, largest_error: f64) {
    for (slot, truth) in truth.iter().enumerate() {
        let of_slot: Vec<f64> = found.iter().map(|run| run[slot]).collect();
        let Summary { mean, sd, .. } = Summary::of(&of_slot).unwrap();
        let error = sd.unwrap() / (of_slot.len() as f64).sqrt();
        assert!((mean - truth).abs() < 4. * error + bias, "slot {slot}: {mean} ± {error}, not {truth}");
        assert!(error < largest_error, "slot {slot}: {mean} ± {error}");
    }
}

/// The coefficients of the best linear predictor of y ~ N(0, 1) from y + u_s, u_s ~ N(0, σ_s²).
fn best_coefficients(noise: &[f64]) -> Vec<f64> {
    let precision = |sd: &f64| 1. / (sd * sd);
    let total = 1. + noise.iter().map(precision).sum::<f64>();
    noise.iter().map(|sd| precision(sd) / total).collect()
}

#[test]
fn a_stack_finds_the_coefficients_of_complete_predictions() {
    // The row of slots that are alike moves the estimates a little when a slot predicts 50 rows.
    for (noise, bias) in [([0.5; 4], 0.), ([0.4, 1., 0.7, 1.], 0.025)] {
        let coefficients = |seed: u64| {
            let fitted = Stack::new(Linear).fit(&regression(seed, 500, &noise, &SHARES)).unwrap();
            fitted.model().coefficients()[0].clone()
        };
        let found: Vec<Vec<f64>> = (0..60).map(coefficients).collect();
        assert_means(&found, &best_coefficients(&noise), bias, 0.02);
    }
}

/// Ten slots that each predict 37 % of the rows, as in bagging. On new rows, which all slots predict, the
/// stack has the loss of the best coefficients, 1 / (1 + 10 / .49) = .0467, but for the noise of the fit. (A
/// model of means and indicators has a loss of about 1 there, because the coefficients for four slots of ten
/// are too large.)
#[test]
fn a_stack_that_is_fitted_on_partial_rows_predicts_complete_rows() {
    let (noise, loss) = ([0.7; 10], 1. / (1. + 10. / 0.49));
    let losses: Vec<f64> = (0..20)
        .map(|seed| {
            let fitted =
                Stack::new(Ridge::new(1.)).fit(&regression(seed, 1000, &noise, &[0.37; 10])).unwrap();
            let fresh = regression(seed + 1000, 2000, &noise, &[1.; 10]).complete_rows().unwrap();
            let predicted = fitted.combine(fresh.predictions()).unwrap();
            let apart = (predicted - fresh.targets()).unwrap().sqr().unwrap().mean_all().unwrap();
            apart.to_scalar::<f64>().unwrap()
        })
        .collect();
    let Summary { mean, sd, .. } = Summary::of(&losses).unwrap();
    let error = sd.unwrap() / 20f64.sqrt();
    // 1000 rows of 10 features cost 1 %, the drawn cells about as much again.
    assert!(mean < 1.06 * loss + 4. * error && mean > loss - 4. * error, "{mean} ± {error}, {loss}");
}

/// A row with missing predictions gets the expectation of what the model says of the complete row: with the
/// slots alike, the best predictor from `k` of them is Σ x / (σ² + k).
#[test]
fn a_row_with_missing_predictions_gets_the_expected_prediction() {
    let held_out = regression(5, 20_000, &[0.5; 3], &[1., 0.6, 0.4]);
    let fitted = Stack::new(Linear).fit(&held_out).unwrap();
    let cell = |x: Option<f64>| vec![x.map(|x| vec![x]), x.map(|_| vec![0.]), None];
    let rows = [cell(Some(1.)), cell(None)];
    let columns: Vec<Vec<_>> =
        (0..3).map(|slot| rows.iter().map(|row| row[slot].clone()).collect()).collect();
    let predicted = fitted.combine(&predictions(&columns, VALUES)).unwrap().flatten_all().unwrap();
    let predicted: Vec<f64> = predicted.to_vec1().unwrap();
    assert!((predicted[0] - 1. / 2.25).abs() < 0.02 && predicted[1].is_nan(), "{predicted:?}");
}

/// Two classes with log-odds that are right but for noise: the coefficients of equally good slots are equal.
#[test]
fn a_logistic_stack_treats_equally_good_slots_alike() {
    let coefficients = |seed: u64| {
        let mut rng = Seed::from(seed).rng();
        let odds: Vec<f64> = (0..600).map(|_| 2. * normal(&mut rng)).collect();
        let labels = odds.iter().map(|z| u32::from(rng.random::<f64>() < 1. / (1. + (-z).exp()))).collect();
        let all: Vec<_> = SHARES
            .iter()
            .map(|share| {
                let cell = |z: &f64| {
                    let p = 1. / (1. + (-z - normal(&mut rng)).exp());
                    rng.random_bool(*share).then(|| vec![1. - p, p])
                };
                odds.iter().map(cell).collect::<Vec<_>>()
            })
            .collect();
        let labels = Tensor::from_vec::<_, u32>(labels, 600, &Device::Cpu).unwrap();
        let predictions = predictions(&all, Task::Classification { classes: 2 });
        let held_out = HeldOut::from_predictions(&predictions, &labels).unwrap().with_seed(seed);
        let fitted = Stack::new(Logistic::new()).features(MetaFeatures::LogOdds).fit(&held_out).unwrap();
        let found = &fitted.model().coefficients()[0];
        (0..3).map(|slot| found[slot] - found[3]).collect::<Vec<f64>>()
    };
    let found: Vec<Vec<f64>> = (0..60).map(coefficients).collect();
    assert_means(&found, &[0.; 3], 0., 0.08);
}

/// Members that are right with probability .6 on each row, independently; in the fresh rows member `s` votes
/// for class `s`, so that the combined prediction is the weights of the members.
pub(crate) fn votes(seed: u64) -> (HeldOut, Predictions) {
    const ROWS: usize = 300;
    let task = Task::Classification { classes: 4 };
    let mut rng = Seed::from(seed).rng();
    let labels: Vec<u32> = (0..ROWS).map(|_| rng.random_range(0..4)).collect();
    let sure = |class: usize| (0..4).map(|c| if c == class { 0.7 } else { 0.1 }).collect::<Vec<f64>>();
    let all: Vec<_> = SHARES
        .iter()
        .map(|share| {
            let cell = |label: &u32| {
                let class = match rng.random_bool(0.6) {
                    true => *label as usize,
                    false => (*label as usize + rng.random_range(1..4)) % 4,
                };
                rng.random_bool(*share).then(|| sure(class))
            };
            labels.iter().map(cell).collect::<Vec<_>>()
        })
        .collect();
    let inputs = |rng: &mut ChaCha8Rng, rows: usize| {
        Tensor::from_iter((0..2 * rows).map(|_| rng.random::<f64>()), &Device::Cpu)
            .unwrap()
            .reshape((rows, 2))
            .unwrap()
    };
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    let predictions_ = predictions(&all, task);
    let held_out =
        HeldOut::from_predictions(&predictions_.with_inputs(&inputs(&mut rng, ROWS)).unwrap(), &labels);
    let fresh: Vec<_> = (0..4).map(|slot| vec![Some(sure(slot)); 50]).collect();
    let fresh = predictions(&fresh, task).with_inputs(&inputs(&mut rng, 50)).unwrap();
    (held_out.unwrap().with_seed(seed), fresh)
}

#[test]
fn dynamic_selection_selects_equally_good_members_equally_often() {
    fn check<C: Combiner>(combiner: &C) {
        let weights = |seed: u64| {
            let (held_out, fresh) = votes(seed);
            let predicted = combiner.fit(&held_out).unwrap().combine(&fresh).unwrap();
            predicted.mean(0).unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
        };
        let found: Vec<Vec<f64>> = (0..150).map(weights).collect();
        assert_means(&found, &[0.25; 4], 0., 0.02);
    }
    check(&KnoraE::new(7));
    check(&KnoraU::new(7));
}

/// A slot that does not predict a row has no vote, and one that is never right where it predicts has none.
#[test]
fn dynamic_selection_judges_a_slot_by_its_own_rows() {
    let task = Task::Classification { classes: 2 };
    let (right, wrong) = (Some(vec![0.9, 0.1]), Some(vec![0.2, 0.8]));
    // Slot 0 predicts two far rows, rightly; slot 1 the four near ones, rightly but for the nearest.
    let all = [
        vec![None, None, None, None, right.clone(), right.clone()],
        vec![wrong.clone(), right.clone(), right.clone(), right.clone(), None, None],
    ];
    let x = Tensor::new(&[[0f64], [1.], [2.], [3.], [8.], [9.]], &Device::Cpu).unwrap();
    let held_out = predictions(&all, task).with_inputs(&x).unwrap();
    let held_out =
        HeldOut::from_predictions(&held_out, &Tensor::new(&[0u32; 6], &Device::Cpu).unwrap()).unwrap();
    let fresh = predictions(&[vec![right.clone()], vec![wrong.clone()]], task);
    let fresh = fresh.with_inputs(&Tensor::new(&[[0f64]], &Device::Cpu).unwrap()).unwrap();
    let of = |predicted: Tensor| predicted.to_vec2::<f64>().unwrap().concat();
    // Runs of 2 and 0: slot 0 alone. Shares of 2/2 and 3/4 of four neighbours: 4 votes against 3.
    assert_eq!(of(KnoraE::new(4).fit(&held_out).unwrap().combine(&fresh).unwrap()), [1., 0.]);
    let union = of(KnoraU::new(4).fit(&held_out).unwrap().combine(&fresh).unwrap());
    assert!((union[0] - 4. / 7.).abs() < 1e-12, "{union:?}");
    let silent = predictions(&[vec![None], vec![wrong]], task);
    let silent = silent.with_inputs(&Tensor::new(&[[0f64]], &Device::Cpu).unwrap()).unwrap();
    assert_eq!(of(KnoraE::new(4).fit(&held_out).unwrap().combine(&silent).unwrap()), [0., 1.]);
    assert_eq!(of(MetaDes::new(4).fit(&held_out).unwrap().combine(&silent).unwrap()), [0., 1.]);
}

/// Distances between output profiles are those of scikit-learn's `nan_euclidean_distances`.
#[test]
fn profiles_are_compared_over_the_slots_that_predict_both_rows() {
    // Profiles of three slots: (0, 2, –), (0, –, 4), (5, 5, 5); the fresh row is (1, 1, –).
    // Squared distances: 3/2 (1 + 1) = 3, 3/1 · 1 = 3, 3/2 (16 + 16) = 48.
    let cell = |x: f64| Some(vec![x / 10., 1. - x / 10.]);
    let all =
        [vec![cell(5.), cell(0.), cell(0.)], vec![cell(5.), cell(2.), None], vec![cell(5.), None, cell(4.)]];
    let task = Task::Classification { classes: 2 };
    let labels = Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap();
    let held_out = HeldOut::from_predictions(&predictions(&all, task), &labels).unwrap();
    let fresh = predictions(&[vec![cell(1.)], vec![cell(1.)], vec![None]], task);
    let fitted = KnoraU::new(3).space(Space::Outputs).fit(&held_out).unwrap();
    let nearest = fitted.fitted.nearest(&fresh).unwrap();
    assert_eq!([nearest.of(0, 0), nearest.of(0, 1), nearest.of(0, 2)], [&[1, 2, 0][..], &[1, 0], &[2, 0]]);
}

#[test]
fn a_gate_gives_equally_good_members_equal_weights() {
    let gates = |seed: u64| {
        let held_out = regression(seed, 300, &[1.; 4], &SHARES);
        let gating = Gating::new().inputs(false).hidden(0).epochs(15);
        let fitted = gating.fit(&held_out).unwrap();
        let fresh = regression(seed + 500, 200, &[1.; 4], &[1.; 4]);
        let gates = fitted.gates(fresh.predictions()).unwrap().mean(0).unwrap();
        gates.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
    };
    let found: Vec<Vec<f64>> = (0..30).map(gates).collect();
    assert_means(&found, &[0.25; 4], 0., 0.02);
}

/// The calibration of a slot is that of its own rows alone.
#[test]
fn each_slot_is_calibrated_on_its_own_rows() {
    let (held_out, _) = votes(3);
    let fitted = Mean.on_calibrated(Calibration::Temperature).fit(&held_out).unwrap();
    for slot in 0..4 {
        let own = held_out.select_slots(&[slot]).unwrap();
        assert!(slot == 3 || own.rows().len() < 250);
        let labels: Vec<u32> = own.targets().to_vec1().unwrap();
        let want = Calibration::Temperature.fit(&own.predictions().values().get(0).unwrap(), &labels, None);
        assert_eq!(fitted.calibrators()[slot], want.unwrap());
    }
}

/// A layer's top sees which predictions of the members are missing.
#[test]
fn the_top_of_layers_sees_what_is_missing() {
    #[derive(Debug)]
    struct Covers(Vec<f64>);
    impl Combiner for Covers {
        type Fitted = Mean;
        fn fit(&self, held_out: &HeldOut) -> crate::Result<Mean> {
            let covered = held_out.predictions().covered().expect("some are missing");
            let shares: Vec<f64> = covered.to_dtype(DType::F64)?.mean(1)?.to_vec1()?;
            assert_eq!(shares, self.0);
            Ok(Mean)
        }
    }
    let held_out = regression(1, 400, &[1.; 4], &SHARES);
    let covered = held_out.predictions().covered().unwrap();
    let mut shares: Vec<f64> = covered.to_dtype(DType::F64).unwrap().mean(1).unwrap().to_vec1().unwrap();
    shares.insert(0, 1.);
    let fitted = MultiLayerStack::new((Mean,), Covers(shares)).members(true).fit(&held_out).unwrap();
    let predicted: Vec<Vec<f64>> = fitted.combine(held_out.predictions()).unwrap().to_vec2().unwrap();
    assert!(predicted.concat().iter().all(|x| x.is_finite()));
}
