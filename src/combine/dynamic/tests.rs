//! Reference numbers: `tests/reference/deslib_rules.py`.
use crate::{
    codec,
    combine::{dynamic::*, Combiner, FittedCombiner, HardVote, Mean},
    data::Task,
    kernels::argmax::{argmax, argmax_rows},
    predictions::Predictions,
    Error, HeldOut,
};
use candle_core::{DType, Device, Tensor};
use serde::{de::DeserializeOwned, Serialize};

const MEMBERS: usize = 5;
const HELD_OUT: usize = 60;
const ROWS: usize = 72;

fn inputs() -> Vec<f64> {
    let number = |i: usize, f: usize| (i * i * 31 + i * 17 + f * 43 + i * f * 29 + i * i * i * f * 7) % 997;
    (0..ROWS * 2).map(|i| number(i / 2, i % 2) as f64 / 997.).collect()
}

/// The table of the reference script: the held-out rows and the fresh rows. For two classes, its first two.
pub(crate) fn tables(classes: usize) -> (HeldOut, Predictions) {
    let x = inputs();
    let label = |i: usize| ((x[2 * i] * 4.) as usize + (x[2 * i + 1] * 3.) as usize) % 3;
    let mut predicted = vec![];
    for s in 0..MEMBERS {
        for i in 0..ROWS {
            let knows = (x[2 * i] * 5.) as usize != s && (i * 11 + s * 29) % 7 < 5;
            let raw = [0, 1, 2].map(|c| {
                let base = (s * 131 + i * 37 + c * 101 + s * i * c * 17 + s * c * 59) % 97 + 1;
                base as f64 + if knows && c == label(i) { 90. } else { 0. }
            });
            let all = raw.map(|x| x / raw.iter().sum::<f64>());
            let total: f64 = if classes == 2 { all[0] + all[1] } else { 1. };
            predicted.extend(all[..classes].iter().map(|p| p / total));
        }
    }
    let predicted = Tensor::from_vec(predicted, (MEMBERS, ROWS, classes), &Device::Cpu).unwrap();
    let x = Tensor::from_slice(&x, (ROWS, 2), &Device::Cpu).unwrap();
    let predictions =
        Predictions::new(predicted, Task::Classification { classes }).unwrap().with_inputs(&x).unwrap();
    let some = |rows: std::ops::Range<usize>| {
        predictions.select_rows(&rows.map(|i| i as u32).collect::<Vec<_>>()).unwrap()
    };
    let labels: Vec<u32> = (0..HELD_OUT).map(|i| (label(i) % classes) as u32).collect();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    (HeldOut::from_predictions(&some(0..HELD_OUT), &labels).unwrap(), some(HELD_OUT..ROWS))
}

fn table(t: &Tensor) -> Vec<Vec<f64>> {
    t.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// Checks that the combiner gives the members these weights for the fresh rows, with votes and with
/// probabilities.
fn assert_weights<M: CompetenceMeasure + Copy>(combiner: DynamicSelection<M>, weights: &[[f64; MEMBERS]]) {
    let (held_out, fresh) = tables(3);
    let members: Vec<Vec<Vec<f64>>> = fresh.values().to_vec3().unwrap();
    for soft in [false, true] {
        let predicted = table(&fit(&combiner.soft(soft), &held_out).combine(&fresh).unwrap());
        assert_eq!(predicted.len(), weights.len());
        for (row, (predicted, weights)) in predicted.iter().zip(weights).enumerate() {
            let total: f64 = weights.iter().sum();
            for (class, got) in predicted.iter().enumerate() {
                let value = |s: usize| match soft {
                    true => members[s][row][class],
                    false => f64::from(u8::from(argmax(&members[s][row]) == class)),
                };
                let want: f64 = (0..MEMBERS).map(|s| weights[s] / total * value(s)).sum();
                assert!((got - want).abs() < 1e-12, "row {row}, class {class}: {got} against {want}");
            }
        }
    }
}

fn fit<C: Combiner>(combiner: &C, held_out: &HeldOut) -> C::Fitted {
    combiner.fit(held_out).unwrap()
}

#[test]
fn knora_e_selects_the_members_that_deslib_selects() {
    let seven = [
        [1., 0., 0., 0., 0.],
        [1., 1., 0., 0., 0.],
        [0., 0., 0., 0., 1.],
        [0., 0., 0., 1., 0.],
        [0., 0., 0., 1., 0.],
        [0., 1., 0., 0., 1.],
        [1., 0., 0., 0., 0.],
        [1., 1., 0., 0., 0.],
        [1., 0., 0., 0., 0.],
        [0., 0., 0., 1., 0.],
        [0., 0., 0., 0., 1.],
        [0., 0., 1., 0., 0.],
    ];
    let three = [
        [1., 1., 0., 0., 0.],
        [1., 1., 1., 1., 0.],
        [0., 0., 0., 0., 1.],
        [0., 1., 0., 1., 0.],
        [0., 0., 1., 1., 0.],
        [0., 1., 0., 0., 1.],
        [1., 1., 0., 0., 0.],
        [1., 1., 0., 0., 0.],
        [1., 0., 0., 0., 0.],
        [1., 0., 1., 1., 1.],
        [0., 0., 0., 1., 1.],
        [1., 0., 1., 1., 0.],
    ];
    assert_weights(KnoraE::new(7), &seven);
    assert_weights(KnoraE::new(3), &three);
}

#[test]
fn knora_u_gives_the_votes_that_deslib_gives() {
    let votes = [
        [7., 6., 5., 5., 3.],
        [7., 7., 4., 5., 4.],
        [3., 6., 2., 4., 7.],
        [4., 4., 5., 7., 5.],
        [4., 4., 5., 7., 5.],
        [5., 6., 3., 4., 6.],
        [7., 6., 4., 6., 5.],
        [7., 7., 3., 4., 6.],
        [7., 5., 5., 3., 4.],
        [6., 5., 5., 7., 6.],
        [4., 4., 3., 6., 6.],
        [6., 4., 7., 6., 3.],
    ];
    assert_weights(KnoraU::new(7), &votes);
}

#[test]
fn meta_des_selects_the_members_that_deslib_selects() {
    let selected = [
        [1., 0., 1., 1., 1.],
        [1., 1., 1., 1., 1.],
        [1., 1., 1., 1., 0.],
        [1., 1., 1., 0., 1.],
        [1., 0., 0., 1., 1.],
        [1., 1., 0., 1., 0.],
        [1., 1., 1., 1., 1.],
        [1., 0., 1., 1., 1.],
        [1., 1., 1., 0., 0.],
        [1., 0., 1., 1., 1.],
        [1., 1., 1., 1., 0.],
        [1., 0., 0., 1., 1.],
    ];
    assert_weights(MetaDes::new(7), &selected);
}

/// Calls a check with every combiner in every space.
macro_rules! for_each_combiner {
    ($check:ident $(, $argument:expr)*) => {
        for space in [Space::Inputs, Space::Outputs] {
            $check(KnoraE::new(7).space(space) $(, $argument)*);
            $check(KnoraU::new(7).space(space) $(, $argument)*);
            $check(MetaDes::new(7).space(space) $(, $argument)*);
        }
    };
}

#[test]
fn fitted_combiners_survive_serialization() {
    fn check<C: Combiner>(combiner: C)
    where
        C::Fitted: Serialize + DeserializeOwned + PartialEq,
    {
        let (held_out, fresh) = tables(3);
        let fitted = fit(&combiner, &held_out);
        let back: C::Fitted = codec::decode(&codec::encode(&fitted).unwrap()).unwrap();
        assert_eq!(back, fitted);
        assert_eq!(table(&back.combine(&fresh).unwrap()), table(&fitted.combine(&fresh).unwrap()));
        assert_eq!(fitted.needs_inputs(), combiner.needs_inputs());
    }
    for_each_combiner!(check);
}

/// A value written with other fields than its type allows.
fn damaged<T: Serialize + DeserializeOwned>(value: &T, change: impl FnOnce(&mut serde_json::Value)) -> T {
    let mut json = serde_json::to_value(value).unwrap();
    change(&mut json);
    serde_json::from_value(json).unwrap()
}

#[test]
fn damaged_fits_are_found() {
    let (held_out, _) = tables(3);
    let knora = fit(&KnoraE::new(7), &held_out);
    knora.check().unwrap();
    for (field, value) in
        [("k", 0.into()), ("k", 1000.into()), ("slots", 4.into()), ("right", true_values(7).into())]
    {
        let bad = damaged(&knora, |json| json["fitted"][field] = value);
        assert!(bad.check().is_err(), "{field}");
    }
    for (field, value) in [("width", 0.into()), ("width", 7.into()), ("space", "Outputs".into())] {
        let bad = damaged(&knora, |json| json["fitted"]["neighbours"][field] = value);
        assert!(bad.check().is_err(), "{field}");
    }
    let meta_des = fit(&MetaDes::new(7), &held_out);
    meta_des.check().unwrap();
    for (field, value) in [("kp", 0.into()), ("kp", 61.into()), ("true_class", vec![0.5].into())] {
        let bad = damaged(&meta_des, |json| json["fitted"]["features"][field] = value);
        assert!(bad.check().is_err(), "{field}");
    }
    let bad = damaged(&meta_des, |json| json["fitted"]["classifier"]["log_odds"] = vec![1.].into());
    assert!(bad.check().is_err());
}

fn true_values(count: usize) -> Vec<bool> {
    vec![true; count]
}

#[test]
fn rows_of_weight_zero_are_left_out_and_only_ratios_of_weights_matter() {
    fn check<C: Combiner>(combiner: C) {
        let (held_out, fresh) = tables(3);
        let some: Vec<f32> = (0..HELD_OUT).map(|i| if i % 4 == 0 { 0. } else { 3. }).collect();
        let rows: Vec<u32> = (0..HELD_OUT as u32).filter(|i| i % 4 != 0).collect();
        let weighted = held_out.clone().with_weights(&Tensor::new(some, &Device::Cpu).unwrap()).unwrap();
        let got = table(&fit(&combiner, &weighted).combine(&fresh).unwrap());
        let want = table(&fit(&combiner, &held_out.select(&rows).unwrap()).combine(&fresh).unwrap());
        let far = got.concat().iter().zip(want.concat()).any(|(a, b)| (a - b).abs() > 1e-12);
        assert!(!far, "{combiner:?}: {got:?} against {want:?}");
    }
    for_each_combiner!(check);
}

#[test]
fn a_missing_prediction_casts_no_vote() {
    fn check<C: Combiner>(combiner: C) {
        let (held_out, fresh) = tables(3);
        // The third row has one prediction, the fourth has none; a third of the held-out predictions are missing too.
        let present = |s: usize, row: usize| f32::from(row != 3 && (row != 2 || s == 1));
        let partial = |predictions: &Predictions, present: &dyn Fn(usize, usize) -> f32| {
            let (slots, rows) = (predictions.slots(), predictions.rows());
            let covered =
                Tensor::from_iter((0..slots * rows).map(|i| present(i / rows, i % rows)), &Device::Cpu);
            let covered = covered.unwrap().reshape((slots, rows)).unwrap();
            let mask = covered.to_dtype(DType::U8).unwrap().unsqueeze(2).unwrap();
            let mask = mask.broadcast_as(predictions.values().shape()).unwrap();
            let nan = (predictions.values().zeros_like().unwrap() / 0.).unwrap();
            let values = mask.where_cond(predictions.values(), &nan).unwrap();
            let some = Predictions::partial(values, covered, predictions.task()).unwrap();
            some.with_inputs(predictions.inputs().unwrap()).unwrap()
        };
        let learned = partial(held_out.predictions(), &|s, row| f32::from((s + row) % 3 > 0));
        let learned = HeldOut::from_predictions(&learned, held_out.targets()).unwrap();
        let fresh = partial(&fresh, &present);
        let predicted = table(&fit(&combiner, &learned).combine(&fresh).unwrap());
        assert!(predicted[3].iter().all(|p| p.is_nan()), "{combiner:?}: {:?}", predicted[3]);
        assert_eq!(predicted[2], table(&HardVote.combine(&fresh).unwrap())[2], "{combiner:?}");
        let others = predicted.iter().enumerate().filter(|(row, _)| *row != 3);
        others.for_each(|(_, p)| assert!((p.iter().sum::<f64>() - 1.).abs() < 1e-12, "{combiner:?}"));
    }
    for_each_combiner!(check);
}

#[test]
fn few_rows_a_single_member_and_members_that_are_always_wrong_are_combined() {
    fn check<C: Combiner>(combiner: C) {
        let (held_out, fresh) = tables(3);
        // Fewer rows than neighbours; classes that are missing.
        let few = held_out.select(&[5, 9, 11]).unwrap();
        let predicted = table(&fit(&combiner, &few).combine(&fresh).unwrap());
        assert!(predicted.iter().all(|p| (p.iter().sum::<f64>() - 1.).abs() < 1e-12), "{combiner:?}");
        let one = held_out.select_slots(&[2]).unwrap();
        let alone = fresh.select_slots(&[2]).unwrap();
        let predicted = table(&fit(&combiner, &one).combine(&alone).unwrap());
        assert_eq!(predicted, table(&HardVote.combine(&alone).unwrap()), "{combiner:?}");
        // Every label differs from the class that the members vote for.
        let sure: Vec<u32> = argmax_rows(&held_out.predictions().values().get(0).unwrap()).unwrap();
        let wrong = Tensor::from_iter(sure.iter().map(|vote| (vote + 1) % 3), &Device::Cpu).unwrap();
        let same = held_out.predictions().select_slots(&[0, 0]).unwrap();
        let wrong = HeldOut::from_predictions(&same, &wrong).unwrap();
        let same = fresh.select_slots(&[0, 1]).unwrap();
        let predicted = table(&fit(&combiner, &wrong).combine(&same).unwrap());
        assert_eq!(predicted, table(&HardVote.combine(&same).unwrap()), "{combiner:?}");
    }
    for_each_combiner!(check);
}

#[test]
fn unsuitable_predictions_and_settings_are_errors() {
    fn check<C: Combiner>(combiner: C) {
        let (held_out, fresh) = tables(3);
        let fitted = fit(&combiner, &held_out);
        let four = fresh.narrow_slots(0, 4).unwrap();
        assert!(
            fitted.combine(&four).unwrap_err().to_string().contains("must be 5, as in its fit, but is 4"),
            "{combiner:?}"
        );
        let values = Tensor::zeros((2, 9, 1), DType::F32, &Device::Cpu).unwrap();
        let y = values.get(0).unwrap();
        let values =
            Predictions::new(values, Task::Regression { outputs: 1 }).unwrap().with_inputs(&y).unwrap();
        let values = HeldOut::from_predictions(&values, &y).unwrap();
        let e = combiner.fit(&values).unwrap_err().to_string();
        assert!(e.contains("a combiner for classes"), "{e}");
        let bare =
            Predictions::new(held_out.predictions().values().clone(), held_out.predictions().task()).unwrap();
        let bare = HeldOut::from_predictions(&bare, held_out.targets()).unwrap();
        match combiner.fit(&bare) {
            Ok(_) => assert!(!combiner.needs_inputs()),
            Err(e) => assert!(combiner.needs_inputs() && e.to_string().contains("with_inputs"), "{e}"),
        }
    }
    for_each_combiner!(check);
    let (held_out, _) = tables(3);
    let assert_error = |e: crate::Result<()>, what: &str| assert!(e.unwrap_err().to_string().contains(what));
    assert_error(KnoraE::new(0).fit(&held_out).map(drop), "number of neighbours");
    assert_error(MetaDes::new(7).profiles(0).fit(&held_out).map(drop), "output profiles");
    for threshold in [-0.1, 1., f64::NAN] {
        let combiner = MetaDes::new(7).threshold(threshold);
        assert_error(combiner.fit(&held_out).map(drop), "from 0 to less than 1");
    }
    let one = held_out.select(&[0]).unwrap();
    assert!(matches!(MetaDes::new(7).fit(&one), Err(Error::HeldOut { need: 2, have: 1, .. })));
}

/// Each member is right in a third of the inputs, where it is less confident; selection is right far more
/// often than the mean.
#[test]
fn selection_finds_the_member_that_is_right_in_each_region() {
    fn check<C: Combiner>(combiner: C) {
        let rows = 1200;
        let mut rng = crate::Seed::from(3).rng();
        use rand::Rng;
        let x: Vec<f64> = (0..rows).map(|_| rng.random::<f64>()).collect();
        let y: Vec<u32> = (0..rows).map(|_| rng.random_range(0..3)).collect();
        // Member `s` is right in its third of the inputs; elsewhere all members predict the same wrong class, more confidently.
        let predicted = (0..3 * rows).flat_map(|i| {
            let (s, row) = (i / rows, i % rows);
            let knows = (x[row] * 3.) as usize == s;
            let class = if knows { y[row] } else { (y[row] + 1) % 3 };
            let p = if knows { 0.6 } else { 0.7 };
            [0, 1, 2].map(|c| if c == class { p } else { (1. - p) / 2. })
        });
        let predicted = Tensor::from_iter(predicted, &Device::Cpu).unwrap().reshape((3, rows, 3)).unwrap();
        let x = Tensor::from_slice(&x, (rows, 1), &Device::Cpu).unwrap();
        let predictions = Predictions::new(predicted, Task::Classification { classes: 3 })
            .unwrap()
            .with_inputs(&x)
            .unwrap();
        let (first, rest): (Vec<u32>, Vec<u32>) = (0..rows as u32).partition(|row| row % 2 == 0);
        let all = HeldOut::from_predictions(&predictions, &Tensor::new(y, &Device::Cpu).unwrap()).unwrap();
        let (held_out, fresh) = (all.select(&first).unwrap(), all.select(&rest).unwrap());
        let accuracy = |fitted: &dyn FittedCombiner| fresh.metrics(fitted).unwrap().headline();
        assert!(accuracy(&Mean) < 0.1);
        assert!(accuracy(&fit(&combiner, &held_out)) > 0.95, "{combiner:?}");
    }
    check(KnoraE::new(7));
    check(KnoraU::new(7));
    check(MetaDes::new(7));
}
