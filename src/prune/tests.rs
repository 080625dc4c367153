use crate::{
    combine::{Mean, Weighted},
    data::Task,
    predictions::Predictions,
    prune::*,
    Seed,
};
use candle_core::{Device, Tensor};
use rand::Rng;

#[cfg(feature = "learned")]
mod missing;

/// Predictions of two classes for rows whose true class is 1; `1` where a member is right.
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

fn order(pruning: &Ordered, held_out: &HeldOut) -> Vec<usize> {
    pruning.order(held_out).unwrap().into_iter().map(|(slot, _)| slot).collect()
}

#[test]
fn orders_agree_with_orders_by_hand() {
    let held_out = votes_of(&[
        &[1, 1, 1, 0, 0, 0], // 0
        &[1, 1, 1, 1, 0, 0], // 1: the best on its own
        &[0, 0, 0, 0, 1, 1], // 2: right where the best is wrong
        &[1, 0, 1, 1, 1, 0], // 3: as good as the best, one of the rows it misses
    ]);
    // After 1, rows 4 and 5 are wrong; 2 corrects both. Then 1 and 2 tie on all rows and the lowest class, 0,
    // wins, so all six rows are wrong; 3 corrects four of them, 0 three.
    assert_eq!(order(&Ordered::complementarity(), &held_out), [1, 2, 3, 0]);
    let half: Vec<usize> = Ordered::complementarity().members(2).keep(&held_out).unwrap();
    assert_eq!(half, [1, 2]);
    // First the member nearest to .075 on all rows: margins of ±1/4 are .175 or .325 away, so the one that is
    // right most often, 1. Then margins of two: 0 is .075 away, ½ is .425 and −½ is .575 away. With 2 there
    // are six zeros. Then ±¼ again: 3, and 0 is left.
    assert_eq!(order(&Ordered::margin_distance(), &held_out), [1, 2, 3, 0]);
    // By error, 1 has two of six rows wrong. With a second member there are ties of p = ½, which class 0
    // wins, unless both are right: 1 and 0 have three wrong, 1 and 2 six, 1 and 3 three. Of equals the
    // lowest, 0, is added. Then the majority of 0, 1 and 3 is wrong on rows 4 and 5.
    let by_error = Ordered::reduce_error().order(&held_out).unwrap();
    assert_eq!(by_error.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [1, 0, 3, 2]);
    assert!((by_error[0].1 - 2. / 6.).abs() < 1e-12 && (by_error[1].1 - 0.5).abs() < 1e-12);
    assert_eq!(Ordered::reduce_error().keep(&held_out).unwrap(), [1]);
}

/// Compares the order with the definition of margin distance on random votes.
#[test]
fn margin_distance_agrees_with_its_definition() {
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
            let remaining = (0..9).filter(|slot| !chosen.contains(slot));
            let least = remaining.map(distance).fold(f64::INFINITY, f64::min);
            assert!(distance(next) <= least + 1e-9, "{seed}");
            chosen.push(next);
        }
    }
}

#[test]
fn diversity_keeps_members_with_errors_on_different_rows() {
    let held_out = votes_of(&[
        &[1, 1, 1, 1, 0, 0], // 0
        &[1, 1, 1, 1, 0, 0], // 1: the same as 0
        &[1, 1, 1, 0, 0, 0], // 2: almost the same
        &[0, 0, 1, 1, 1, 1], // 3: errors on other rows
    ]);
    // κ is 1 for 0 and 1, which agree. 0 and 3 agree on two of six rows, by chance on 5/9: κ = −½. 2 and 3
    // agree on one of six, by chance on ½: κ = −⅔.
    assert_eq!(ByDiversity::kappa(2).keep(&held_out).unwrap(), [2, 3]);
    assert_eq!(ByDiversity::kappa(3).keep(&held_out).unwrap(), [0, 2, 3]);
    assert_eq!(ByDiversity::kappa(1).keep(&held_out).unwrap(), [0]);
    assert_eq!(ByDiversity::kappa(9).keep(&held_out).unwrap(), [0, 1, 2, 3]);
    // The best member, then the one that disagrees most, then 2: it disagrees with 0 on one row and with 3 on
    // five, and 1 on none and four.
    assert_eq!(ByDiversity::disagreement(2).keep(&held_out).unwrap(), [0, 3]);
    assert_eq!(ByDiversity::disagreement(3).keep(&held_out).unwrap(), [0, 2, 3]);
}

#[test]
fn regression_members_are_pruned_by_their_errors() {
    let y = Tensor::arange(0f64, 8., &Device::Cpu).unwrap().reshape((8, 1)).unwrap();
    let wave = Tensor::new(&[[1f64], [-1.], [1.], [-1.], [1.], [-1.], [1.], [-1.]], &Device::Cpu).unwrap();
    let off = |by: &Tensor, times: f64| (&y + (by * times).unwrap()).unwrap();
    let slow = (&y - 3.5).unwrap();
    let predicted =
        Tensor::stack(&[off(&wave, 0.5), off(&wave, 0.6), off(&wave, -0.7), off(&slow, 0.4)], 0).unwrap();
    let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 }).unwrap();
    let held_out = HeldOut::from_predictions(&predictions, &y).unwrap();
    // The errors of member 2 are the negative errors of member 0: correlation −1.
    assert_eq!(ByDiversity::disagreement(2).keep(&held_out).unwrap(), [0, 2]);
    assert_eq!(Ordered::reduce_error().members(2).keep(&held_out).unwrap(), [0, 2]);
    for pruning in
        [&Ordered::complementarity() as &dyn Prune, &Ordered::margin_distance(), &ByDiversity::kappa(2)]
    {
        assert!(pruning.keep(&held_out).unwrap_err().to_string().contains("classes"));
    }
    for pruning in [&Ordered::reduce_error().members(0) as &dyn Prune, &ByDiversity::kappa(0)] {
        assert!(pruning.keep(&held_out).unwrap_err().to_string().contains("at least 1"));
    }
}

/// A combiner with given weights.
#[derive(Debug)]
struct FixedWeights(&'static [f64]);

impl crate::combine::Combiner for FixedWeights {
    type Fitted = Weighted;

    fn fit(&self, _: &HeldOut) -> Result<Weighted> {
        Weighted::new(self.0)
    }
}

#[test]
fn members_are_kept_by_their_weights() {
    let held_out = votes_of(&[&[1, 1], &[1, 0], &[0, 1], &[1, 1]]);
    let keep = |pruning: ByWeight<FixedWeights>| pruning.keep(&held_out);
    let weights = || FixedWeights(&[0.1, 0.4, 0., 0.5]);
    assert_eq!(keep(ByWeight::above(weights(), 0.)).unwrap(), [0, 1, 3]);
    assert_eq!(keep(ByWeight::above(weights(), 0.1)).unwrap(), [1, 3]);
    assert_eq!(keep(ByWeight::largest(weights(), 1)).unwrap(), [3]);
    assert_eq!(keep(ByWeight::largest(weights(), 9)).unwrap(), [0, 1, 3]);
    assert_eq!(keep(ByWeight::largest(FixedWeights(&[1., 1., 1., 1.]), 2)).unwrap(), [0, 1]);
    assert!(keep(ByWeight::above(weights(), 0.5)).unwrap_err().to_string().contains("below the largest"));
    assert!(keep(ByWeight::above(weights(), f64::NAN)).is_err());
    assert!(keep(ByWeight::largest(weights(), 0)).is_err());
    assert!(ByWeight::above(Mean, 0.)
        .keep(&held_out)
        .unwrap_err()
        .to_string()
        .contains("weight for each slot"));
}

#[test]
fn a_decoded_combiner_with_slots_out_of_range_is_an_error() {
    use crate::combine::FittedCombiner;
    let on = |slots: usize| serde_json::json!({ "task": { "Regression": { "outputs": 1 } }, "slots": slots, "names": null });
    let check = |kept: &[usize], weights: Option<Vec<f64>>, slots: usize| {
        let json = serde_json::json!({ "kept": kept, "weights": weights, "on": on(slots), "fitted": null });
        serde_json::from_value::<FittedPruned<Mean>>(json).unwrap().check()
    };
    assert!(check(&[0, 2], Some(vec![0.5, 0., 0.5]), 3).is_ok());
    for kept in [&[0, 3][..], &[1, 1], &[2, 0], &[]] {
        assert!(check(kept, None, 3).unwrap_err().to_string().contains("increasing slots below 3"));
    }
    assert!(check(&[0], Some(vec![1.]), 3).unwrap_err().to_string().contains("number of weights must be 3"));
}
