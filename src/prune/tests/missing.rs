//! Pruning by partly missing predictions, with members whose skill is known.
use crate::{
    combine::{
        tests::{random_members, COVERAGES},
        Combiner, Mean, SimplexSquares,
    },
    metrics::RowLoss,
    prune::*,
    Seed,
};
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;

fn prunings(classes: bool) -> Vec<(&'static str, Box<dyn Prune>)> {
    let loss = if classes { RowLoss::LogLoss } else { RowLoss::Squared };
    let mut prunings: Vec<(&str, Box<dyn Prune>)> = vec![
        ("reduce error", Box::new(Ordered::reduce_error().criterion(loss).members(2))),
        ("disagreement", Box::new(ByDiversity::disagreement(2))),
        ("by weight", Box::new(ByWeight::largest(SimplexSquares::new(), 2))),
    ];
    if classes {
        prunings.push(("complementarity", Box::new(Ordered::complementarity().members(2))));
        prunings.push(("margin distance", Box::new(Ordered::margin_distance().members(2))));
        prunings.push(("kappa", Box::new(ByDiversity::kappa(2))));
    }
    prunings
}

/// Of four members of equal skill two are kept. Each member is kept in half of the cases, within 4 standard
/// errors (which chance exceeds in one of 15,000 numbers), whatever it covers.
#[test]
fn pruning_does_not_prefer_members_by_their_coverage() {
    const SEEDS: u64 = 200;
    let mut wrong = vec![];
    for classes in [false, true] {
        for (name, pruning) in prunings(classes) {
            let mut kept = [0.; 4];
            for seed in 0..SEEDS {
                let mut order: Vec<usize> = (0..COVERAGES.len()).collect();
                order.shuffle(&mut Seed::from(seed).child("order").rng());
                let coverages: Vec<f64> = order.iter().map(|i| COVERAGES[*i]).collect();
                let held_out = random_members(Seed::from(seed), 300, classes, &coverages);
                for slot in pruning.keep(&held_out).unwrap() {
                    kept[order[slot]] += 1. / SEEDS as f64;
                }
            }
            let error = 0.5 / (SEEDS as f64).sqrt();
            if kept.iter().any(|share| (share - 0.5).abs() > 4. * error) {
                wrong.push(format!("{name}: {kept:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn all_members_of_equal_skill_are_kept_where_each_helps() {
    for classes in [false, true] {
        let criterion = if classes { RowLoss::LogLoss } else { RowLoss::Squared };
        let held_out = random_members(Seed::from(7), 6000, classes, &COVERAGES);
        let pruning = Ordered::reduce_error().criterion(criterion);
        assert_eq!(pruning.keep(&held_out).unwrap(), [0, 1, 2, 3]);
        let fitted = Pruned::new(pruning, Mean).fit(&held_out).unwrap();
        assert_eq!(fitted.kept(), [0, 1, 2, 3]);
    }
}

#[test]
fn rows_of_weight_0_are_as_if_they_were_not_there() {
    for (coverages, classes) in
        [([1.; 4], false), ([1.; 4], true), ([0.3, 0.5, 0.7, 1.], false), ([0.3, 0.5, 0.7, 1.], true)]
    {
        let all = random_members(Seed::from(1), 120, classes, &coverages);
        let weights: Vec<f64> = (0..all.rows().len()).map(|row| (row % 3) as f64).collect();
        let kept: Vec<u32> = (0..all.rows().len() as u32).filter(|row| row % 3 > 0).collect();
        let all = all.with_weights(&Tensor::new(weights, &Device::Cpu).unwrap()).unwrap();
        let some = all.select(&kept).unwrap();
        for (name, pruning) in prunings(classes) {
            assert_eq!(pruning.keep(&all).unwrap(), pruning.keep(&some).unwrap(), "{name}");
        }
    }
}
