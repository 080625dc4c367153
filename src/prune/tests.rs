use crate::{
    combine::{EnsembleSelection, FittedCombiner, Mean, Weighted},
    data::{Task, TensorDataset},
    metrics::RowLoss,
    predictions::Predictions,
    prune::*,
    strategy::MultiRun,
    train::Trainer,
    Ensemble, Seed, Session,
};
use candle_core::{Device, Tensor};
use rand::Rng;

/// Votes of two classes on rows whose true class is 1: `1` where a member is right.
fn votes_of(right: &[&[u8]]) -> HeldOut {
    let rows = right[0].len();
    let predicted: Vec<f32> = right
        .iter()
        .flat_map(|m| m.iter().flat_map(|r| if *r == 1 { [0.25, 0.75] } else { [0.75, 0.25] }))
        .collect();
    let predicted = Tensor::from_vec(predicted, (right.len(), rows, 2), &Device::Cpu).unwrap();
    let predictions = Predictions::new(predicted, Task::Classification { classes: 2 }).unwrap();
    HeldOut::from_predictions(
        &predictions,
        &Tensor::ones(rows, candle_core::DType::U32, &Device::Cpu).unwrap(),
    )
    .unwrap()
}

fn order(rule: &Ordered, held_out: &HeldOut) -> Vec<usize> {
    rule.order(held_out).unwrap().into_iter().map(|(slot, _)| slot).collect()
}

#[test]
fn orders_computed_by_hand() {
    let held_out = votes_of(&[
        &[1, 1, 1, 0, 0, 0], // 0
        &[1, 1, 1, 1, 0, 0], // 1: the best alone
        &[0, 0, 0, 0, 1, 1], // 2: right where the best is wrong
        &[1, 0, 1, 1, 1, 0], // 3: as good as the best, one of the rows it misses
    ]);
    // After 1, wrong on rows 4 and 5: 2 mends both. Then 1 and 2 tie on all rows, and the lowest class, 0, wins: all six
    // are wrong; 3 mends four, 0 three.
    assert_eq!(order(&Ordered::complementarity(), &held_out), [1, 2, 3, 0]);
    let half: Vec<usize> = Ordered::complementarity().members(2).keep(&held_out).unwrap();
    assert_eq!(half, [1, 2]);
    // First the one nearest to .075 on all rows: ±1/4 off by .175 or .325, so the most right: 1. Then sums of two: 0 is
    // off by .075, ½ by .425, −½ by .575. With 2: six zeros. Then ±¼ again: 3, and 0 is left.
    assert_eq!(order(&Ordered::margin_distance(), &held_out), [1, 2, 3, 0]);
    // By error: 1 has two of six wrong; a second makes ties of p = ½, which class 0 wins, unless both are right.
    // 1 and 0: three wrong; 1 and 2: six; 1 and 3: three. Of equals the lowest, 0; then 0, 1, 3 by majority: rows 4, 5.
    let by_error = Ordered::reduce_error().order(&held_out).unwrap();
    assert_eq!(by_error.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [1, 0, 3, 2]);
    assert!((by_error[0].1 - 2. / 6.).abs() < 1e-12 && (by_error[1].1 - 0.5).abs() < 1e-12);
    assert_eq!(Ordered::reduce_error().keep(&held_out).unwrap(), [1]);
}

/// The definition of margin distance, plainly, on random votes.
#[test]
fn margin_distance_is_what_its_definition_says() {
    for seed in 0..20 {
        let mut rng = Seed::from(seed).rng();
        let right: Vec<Vec<u8>> =
            (0..9).map(|_| (0..31).map(|_| u8::from(rng.random_bool(0.6))).collect()).collect();
        let held_out = votes_of(&right.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut order = order(&Ordered::margin_distance(), &held_out).into_iter();
        let mut chosen: Vec<usize> = vec![];
        while chosen.len() < 9 {
            let distance = |slot: usize| -> f64 {
                let row = |r: usize| {
                    let members = chosen.iter().chain([&slot]);
                    let margin: f64 = members.map(|m| if right[*m][r] == 1 { 1. } else { -1. }).sum();
                    (0.075 - margin / 9.).powi(2)
                };
                (0..31).map(row).sum()
            };
            let next = order.next().unwrap();
            let left = (0..9).filter(|slot| !chosen.contains(slot));
            let least = left.map(distance).fold(f64::INFINITY, f64::min);
            assert!(distance(next) <= least + 1e-9, "{seed}");
            chosen.push(next);
        }
    }
}

#[test]
fn diversity_keeps_members_that_err_apart() {
    let held_out = votes_of(&[
        &[1, 1, 1, 1, 0, 0], // 0
        &[1, 1, 1, 1, 0, 0], // 1: the same
        &[1, 1, 1, 0, 0, 0], // 2: nearly
        &[0, 0, 1, 1, 1, 1], // 3: errs elsewhere
    ]);
    // κ: 0 and 1 agree: 1. 0 and 3: agree on two of six, by chance 2·(⅔·⅓)... = 5/9: κ = −½. 2 and 3: one of six, ½: −⅔.
    assert_eq!(ByDiversity::kappa(2).keep(&held_out).unwrap(), [2, 3]);
    assert_eq!(ByDiversity::kappa(3).keep(&held_out).unwrap(), [0, 2, 3]);
    assert_eq!(ByDiversity::kappa(1).keep(&held_out).unwrap(), [0]);
    assert_eq!(ByDiversity::kappa(9).keep(&held_out).unwrap(), [0, 1, 2, 3]);
    // The best alone, then the one that differs most; then 2: it differs from 0 in one row and from 3 in five, 1 in none
    // and four.
    assert_eq!(ByDiversity::disagreement(2).keep(&held_out).unwrap(), [0, 3]);
    assert_eq!(ByDiversity::disagreement(3).keep(&held_out).unwrap(), [0, 2, 3]);
}

#[test]
fn values_are_pruned_by_their_errors() {
    let y = Tensor::arange(0f64, 8., &Device::Cpu).unwrap().reshape((8, 1)).unwrap();
    let wave = Tensor::new(&[[1f64], [-1.], [1.], [-1.], [1.], [-1.], [1.], [-1.]], &Device::Cpu).unwrap();
    let off = |by: &Tensor, times: f64| (&y + (by * times).unwrap()).unwrap();
    let slow = (&y - 3.5).unwrap();
    let predicted =
        Tensor::stack(&[off(&wave, 0.5), off(&wave, 0.6), off(&wave, -0.7), off(&slow, 0.4)], 0).unwrap();
    let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 }).unwrap();
    let held_out = HeldOut::from_predictions(&predictions, &y).unwrap();
    // The third's errors are the first's turned round: correlation −1.
    assert_eq!(ByDiversity::disagreement(2).keep(&held_out).unwrap(), [0, 2]);
    assert_eq!(Ordered::reduce_error().members(2).keep(&held_out).unwrap(), [0, 2]);
    for rule in
        [&Ordered::complementarity() as &dyn Prune, &Ordered::margin_distance(), &ByDiversity::kappa(2)]
    {
        assert!(rule.keep(&held_out).unwrap_err().to_string().contains("classes"));
    }
    for rule in [&Ordered::reduce_error().members(0) as &dyn Prune, &ByDiversity::kappa(0)] {
        assert!(rule.keep(&held_out).unwrap_err().to_string().contains("at least 1"));
    }
}

/// A rule of given weights.
#[derive(Debug)]
struct Given(&'static [f64]);

impl crate::combine::Combiner for Given {
    type Fitted = Weighted;

    fn fit(&self, _: &HeldOut) -> Result<Weighted> {
        Weighted::new(self.0)
    }
}

#[test]
fn weights_decide_who_stays() {
    let held_out = votes_of(&[&[1, 1], &[1, 0], &[0, 1], &[1, 1]]);
    let keep = |rule: ByWeight<Given>| rule.keep(&held_out);
    let weights = || Given(&[0.1, 0.4, 0., 0.5]);
    assert_eq!(keep(ByWeight::above(weights(), 0.)).unwrap(), [0, 1, 3]);
    assert_eq!(keep(ByWeight::above(weights(), 0.1)).unwrap(), [1, 3]);
    assert_eq!(keep(ByWeight::largest(weights(), 1)).unwrap(), [3]);
    assert_eq!(keep(ByWeight::largest(weights(), 9)).unwrap(), [0, 1, 3]);
    assert_eq!(keep(ByWeight::largest(Given(&[1., 1., 1., 1.]), 2)).unwrap(), [0, 1]);
    assert!(keep(ByWeight::above(weights(), 0.5)).unwrap_err().to_string().contains("below the largest"));
    assert!(keep(ByWeight::above(weights(), f64::NAN)).is_err());
    assert!(keep(ByWeight::largest(weights(), 0)).is_err());
    assert!(ByWeight::above(Mean, 0.).keep(&held_out).unwrap_err().to_string().contains("weight a slot"));
}

#[test]
fn a_pruned_ensemble_says_the_same_from_a_smaller_file() {
    let x = Tensor::arange(0f32, 240., &Device::Cpu)
        .unwrap()
        .affine(0.01, -1.2)
        .unwrap()
        .reshape((120, 2))
        .unwrap();
    let y = Tensor::from_iter((0..120u32).map(|i| i / 40), &Device::Cpu).unwrap();
    let data = TensorDataset::classification(x.clone(), &y).unwrap();
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 3, vb)).epochs(3);
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(8), 42).unwrap().reserve(0.4, &data, Seed::from(1)).unwrap();
    let rule = EnsembleSelection::new(6).criterion(RowLoss::LogLoss);
    let whole = session.train(&plan).unwrap().combine(&rule).unwrap();
    let used = whole.fitted().used();
    assert!((1..8).contains(&used.len()), "{used:?}");
    let bits = |t: Tensor| -> Vec<u32> {
        t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    let (predicted, bytes) = (bits(whole.predict_proba(&x).unwrap()), whole.to_bytes().unwrap().len());
    let pruned = whole.pruned();
    assert_eq!(pruned.members().len(), used.len());
    assert_eq!(pruned.fitted().weights().unwrap().len(), used.len());
    assert_eq!(bits(pruned.predict_proba(&x).unwrap()), predicted);
    let smaller = pruned.to_bytes().unwrap();
    assert!(
        smaller.len() < bytes * (used.len() + 2) / 8,
        "{} of {bytes}, {} of 8",
        smaller.len(),
        used.len()
    );
    let back = Ensemble::<_, Weighted>::from_bytes(&smaller, &trainer, &Device::Cpu).unwrap();
    assert_eq!(bits(back.predict_proba(&x).unwrap()), predicted);

    // A pool pruned first has as many; and a rule that prunes first says what that ensemble says.
    let keep = Ordered::reduce_error().members(3);
    let small = session.train(&plan).unwrap().prune(&keep).unwrap().combine(&Mean).unwrap();
    assert_eq!(small.members().len(), 3);
    let within = session.train(&plan).unwrap().combine(&Pruned::new(keep, Mean)).unwrap();
    assert_eq!(within.fitted().kept().len(), 3);
    let apart = (small.predict_proba(&x).unwrap() - within.predict_proba(&x).unwrap()).unwrap();
    assert!(apart.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
}
