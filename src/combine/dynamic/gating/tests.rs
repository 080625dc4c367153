use super::*;
use crate::{
    codec,
    combine::{FittedCombiner, Mean},
    data::Task,
    metrics::{RowLoss, Truth},
    predictions::Predictions,
};
use candle_core::{DType, Device, Tensor};
use rand::Rng;

const TWO: Task = Task::Classification { classes: 2 };

fn loss(predicted: &Tensor, held_out: &HeldOut) -> f64 {
    let truth = held_out.truth().unwrap();
    let of = match truth {
        Truth::Classes(_) => RowLoss::LogLoss,
        Truth::Values(_) => RowLoss::Squared,
    };
    let predicted: Vec<Vec<f64>> = predicted.to_dtype(DType::F64).unwrap().to_vec2().unwrap();
    predicted.iter().enumerate().map(|(row, predicted)| of.of(predicted, &truth, row)).sum::<f64>()
        / predicted.len() as f64
}

/// Member `s` is right with probability .9 where the first input is on its side, and guesses elsewhere.
fn sides(rows: usize, seed: u64) -> HeldOut {
    let mut rng = Seed::from(seed).rng();
    let (mut x, mut y, mut predicted) = (vec![], vec![], [vec![], vec![]]);
    for _ in 0..rows {
        let (here, other): (f32, f32) = (rng.random_range(-1. ..1.), rng.random_range(-1. ..1.));
        let label = u32::from(rng.random_bool(0.5));
        x.extend([here, other]);
        y.push(label);
        for (member, predicted) in predicted.iter_mut().enumerate() {
            let knows = (here > 0.) == (member == 1);
            let right = rng.random_bool(if knows { 0.95 } else { 0.5 });
            let first = if right == (label == 0) { 0.9 } else { 0.1 };
            predicted.extend([first, 1. - first]);
        }
    }
    made(predicted.concat(), 2, rows, x, y)
}

/// Members that are equally good everywhere: the truth is right with probability .8, and each member errs
/// around that.
fn exchangeable(members: usize, rows: usize, seed: u64) -> HeldOut {
    let mut rng = Seed::from(seed).rng();
    let x: Vec<f32> = (0..rows * 2).map(|_| rng.random_range(-1. ..1.)).collect();
    let probability: Vec<f32> =
        (0..rows).map(|i| 1. / (1. + (-3. * x[2 * i] - x[2 * i + 1]).exp())).collect();
    let y = probability.iter().map(|p| u32::from(rng.random_bool(f64::from(*p)))).collect();
    let predicted = (0..members * rows).flat_map(|i| {
        let p = probability[i % rows];
        let noise: f32 = rng.random_range(-1. ..1.);
        let p = 1. / (1. + (-(p / (1. - p)).ln() - noise).exp());
        [1. - p, p]
    });
    made(predicted.collect(), members, rows, x, y)
}

fn made(predicted: Vec<f32>, members: usize, rows: usize, x: Vec<f32>, y: Vec<u32>) -> HeldOut {
    let predicted = Tensor::from_vec(predicted, (members, rows, 2), &Device::Cpu).unwrap();
    let predictions = Predictions::new(predicted, TWO).unwrap();
    let y = Tensor::from_vec(y, rows, &Device::Cpu).unwrap();
    let x = Tensor::from_vec(x, (rows, 2), &Device::Cpu).unwrap();
    HeldOut::from_predictions(&predictions, &y).unwrap().with_inputs(&x).unwrap()
}

fn fit(gating: &Gating, held_out: &HeldOut) -> FittedGating {
    gating.fit(held_out).unwrap()
}

#[test]
fn members_that_are_good_on_one_side_get_their_weight_there() {
    let (held_out, fresh) = (sides(600, 1), sides(2000, 2));
    let single = |s: usize| loss(&fresh.predictions().values().get(s).unwrap(), &fresh);
    let mean = loss(&Mean.combine(fresh.predictions()).unwrap(), &fresh);
    // The loss of a gate that always takes the right side: -.95 ln .9 - .05 ln .1.
    let best = -(0.95 * 0.9f64.ln() + 0.05 * 0.1f64.ln());
    for hidden in [0, 16] {
        let fitted = fit(&Gating::new().hidden(hidden), &held_out);
        let gated = loss(&fitted.combine(fresh.predictions()).unwrap(), &fresh);
        assert!(gated < best + 0.08, "{hidden}: {gated} against {best}");
        assert!(gated < mean - 0.15 && gated < single(0) - 0.3 && gated < single(1) - 0.3, "{gated} {mean}");
        let gates: Vec<Vec<f32>> = fitted.gates(fresh.predictions()).unwrap().to_vec2().unwrap();
        let x: Vec<Vec<f32>> = fresh.predictions().inputs().unwrap().to_vec2().unwrap();
        let right_side = gates.iter().zip(&x).filter(|(g, x)| (g[1] > 0.5) == (x[0] > 0.)).count();
        assert!(right_side > 1850, "{hidden}: {right_side}");
    }
}

/// In at least 18 of 20 seeds the loss of the gate is at most 1 % above that of the mean.
#[test]
fn members_that_are_equally_good_stay_near_the_mean() {
    let fresh = exchangeable(4, 4000, 99);
    let mean = loss(&Mean.combine(fresh.predictions()).unwrap(), &fresh);
    let ratios: Vec<f64> = (0..20)
        .map(|seed| {
            let fitted = fit(&Gating::new().max_epochs(40), &exchangeable(4, 80, seed));
            loss(&fitted.combine(fresh.predictions()).unwrap(), &fresh) / mean
        })
        .collect();
    assert!(ratios.iter().filter(|ratio| **ratio < 1.01).count() >= 18, "{ratios:?}");
    assert!(ratios.iter().all(|ratio| *ratio < 1.1), "{ratios:?}");
}

#[test]
fn zero_epochs_give_the_mean() {
    let held_out = sides(40, 1);
    let fitted = fit(&Gating::new().max_epochs(0), &held_out);
    assert_eq!(fitted.fitted().unwrap().iterations, 0);
    let far = (fitted.combine(held_out.predictions()).unwrap()
        - Mean.combine(held_out.predictions()).unwrap())
    .unwrap();
    assert!(far.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
}

#[test]
fn the_same_seed_gives_the_same_gate_and_it_survives_serialization() {
    let held_out = sides(300, 3);
    let gating = Gating::new().epochs(5).seed(Seed::from(5));
    let gate = fit(&gating, &held_out);
    assert_eq!(gate.fitted().unwrap().iterations, 5);
    assert_eq!(gate, fit(&gating, &held_out));
    assert_ne!(gate, fit(&gating.clone().seed(6), &held_out));
    let seeded = held_out.clone().with_seed(6);
    assert_eq!(gate, fit(&gating, &seeded), "its own seed comes first");
    let unseeded = Gating::new().epochs(5);
    assert_ne!(fit(&unseeded, &held_out), fit(&unseeded, &seeded));
    let bytes = codec::encode(&gate).unwrap();
    assert_eq!(codec::decode::<FittedGating>(&bytes).unwrap(), gate);
}

#[test]
fn damaged_gates_are_found() {
    let gate = fit(&Gating::new().hidden(3).epochs(1), &sides(40, 1));
    gate.check().unwrap();
    let damage: [fn(&mut FittedGating); 6] = [
        |gate| gate.features = Features { inputs: false, outputs: false },
        |gate| gate.scaler.factors.push(1.),
        |gate| gate.layers.clear(),
        |gate| gate.layers[0].weight.truncate(5),
        |gate| gate.layers[1].bias.clear(),
        |gate| gate.on = gate.on.select_slots(&[0]),
    ];
    for (i, damage) in damage.iter().enumerate() {
        let mut bad = gate.clone();
        damage(&mut bad);
        assert!(bad.check().is_err(), "damage {i}");
    }
}

#[test]
fn regression_works_for_any_units_and_several_outputs() {
    let rows = 400;
    let mut rng = Seed::from(4).rng();
    let x: Vec<f64> = (0..rows).map(|_| rng.random_range(-1. ..1.)).collect();
    let y: Vec<f64> = x.iter().flat_map(|x| [1e6 + 1e3 * x, 1e-3 * x]).collect();
    let wrong = |sign: f64| {
        x.iter().flat_map(move |x| {
            let off = if x * sign > 0. { 1. } else { 0. };
            [1e6 + 1e3 * (x + off), 1e-3 * (x - off)]
        })
    };
    let predicted: Vec<f64> = wrong(1.).chain(wrong(-1.)).collect();
    let predicted = Tensor::from_vec(predicted, (2, rows, 2), &Device::Cpu).unwrap();
    let predictions = Predictions::new(predicted, Task::Regression { outputs: 2 }).unwrap();
    let y = Tensor::from_vec(y, (rows, 2), &Device::Cpu).unwrap();
    let x = Tensor::from_slice(&x, (rows, 1), &Device::Cpu).unwrap();
    let held_out = HeldOut::from_predictions(&predictions, &y).unwrap().with_inputs(&x).unwrap();
    let fitted = fit(&Gating::new().max_epochs(100), &held_out);
    let predicted = fitted.combine(held_out.predictions()).unwrap();
    assert_eq!((predicted.dtype(), predicted.dims()), (DType::F64, &[rows, 2][..]));
    let mean = loss(&Mean.combine(held_out.predictions()).unwrap(), &held_out);
    assert!(loss(&predicted, &held_out) < 0.2 * mean);
}

#[test]
fn a_missing_prediction_has_no_weight() {
    let all = sides(200, 7);
    let present: Vec<f32> = (0..400).map(|i| if i % 200 < 20 && i < 200 { 0. } else { 1. }).collect();
    let covered = Tensor::from_vec(present, (2, 200), &Device::Cpu).unwrap();
    let values = all.predictions().values();
    let nan = (values.zeros_like().unwrap() / 0.).unwrap();
    let mask =
        covered.unsqueeze(2).unwrap().broadcast_as(values.shape()).unwrap().to_dtype(DType::U8).unwrap();
    let values = mask.where_cond(values, &nan).unwrap();
    let predictions = Predictions::partial(values.clone(), covered, TWO).unwrap();
    let held_out = HeldOut::from_predictions(&predictions, all.targets()).unwrap();
    let held_out = held_out.with_inputs(all.predictions().inputs().unwrap()).unwrap();
    let predicted = fit(&Gating::new().max_epochs(30), &held_out).combine(held_out.predictions()).unwrap();
    let predicted: Vec<Vec<f32>> = predicted.to_vec2().unwrap();
    let second: Vec<Vec<f32>> = values.get(1).unwrap().to_vec2().unwrap();
    for (row, (predicted, second)) in predicted.iter().zip(&second).enumerate() {
        assert!((predicted[0] + predicted[1] - 1.).abs() < 1e-6, "{row}");
        assert!(row >= 20 || (predicted[0] - second[0]).abs() < 1e-6, "{row}");
    }
}

#[test]
fn settings_out_of_range_and_unsuitable_predictions_are_errors() {
    let held_out = sides(40, 1);
    let assert_error = |gating: Gating, what: &str| {
        let e = gating.fit(&held_out).unwrap_err().to_string();
        assert!(e.contains(what), "{e}");
    };
    assert_error(Gating::new().inputs(false).outputs(false), "inputs, outputs or both");
    assert_error(Gating::new().learning_rate(-1.), "learning_rate");
    assert_error(Gating::new().weight_decay(f64::NAN), "weight_decay");
    let fitted = fit(&Gating::new().max_epochs(2), &held_out);
    let alone = held_out.predictions().narrow_slots(0, 1).unwrap();
    assert!(fitted.combine(&alone).unwrap_err().to_string().contains("must be 2, as in its fit, but is 1"));
    let bare = Predictions::new(held_out.predictions().values().clone(), TWO).unwrap();
    assert!(fitted.combine(&bare).unwrap_err().to_string().contains("with_inputs"));
    let other = Tensor::zeros((40, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(fitted.combine(&bare.with_inputs(&other).unwrap()).unwrap_err().to_string().contains("features"));
}
