//! Measurements of rows and networks whose faults are known.
use super::{FirstLoss, LeakCheck, OneBatchTest, ScaleCheck, TwoSampleTest};
use crate::{
    data::{Scaling, TensorDataset},
    nn::{seq, Activation, Sequential},
    plan::RunSpec,
    train::{Optimizer, Trainer},
    weights::InitScheme,
    Rows, Seed,
};
use candle_core::{Device, Tensor};
use candle_nn::{linear, VarBuilder};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

fn tensor(values: Vec<f32>, columns: usize) -> Tensor {
    let rows = values.len() / columns;
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seed::from(seed).rng();
    (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
}

fn regression(x: Vec<f32>, columns: usize, y: Vec<f32>) -> TensorDataset {
    TensorDataset::regression(tensor(x, columns), &Tensor::new(y, &Device::Cpu).unwrap()).unwrap()
}

fn rows(from: u32, to: u32) -> Rows {
    (from..to).collect()
}

/// Under the null the p-value is at most as often below 5 % as it says. 200 tests reject 10 on average at the level; with
/// 21 or more the probability is below 0.001.
#[test]
fn the_two_sample_test_keeps_its_level() {
    let test = TwoSampleTest::default().epochs(4);
    let rejects = |seed: u64| {
        let data = regression(normal(120, seed), 2, normal(60, seed + 10_000));
        test.run(&data, &rows(0, 30), &rows(30, 60), seed).unwrap().p_value <= 0.05
    };
    let rejected = (0..200).filter(|seed| rejects(*seed)).count();
    assert!(rejected <= 20, "{rejected} of 200");
}

#[test]
fn the_two_sample_test_finds_what_single_columns_do_not_show() {
    // The correlation changes its sign, and the columns are standard normal on either side.
    let z = normal(1200, 1);
    let flipped = |i: usize, z: &[f32]| {
        if i < 300 {
            [z[0], 0.9 * z[0] + 0.436 * z[1]]
        } else {
            [z[0], -0.9 * z[0] + 0.436 * z[1]]
        }
    };
    let x = z.chunks(2).enumerate().flat_map(|(i, z)| flipped(i, z)).collect();
    let data = regression(x, 2, normal(600, 2));
    let (first, second) = (rows(0, 300), rows(300, 600));
    let report = TwoSampleTest::default().run(&data, &first, &second, 1).unwrap();
    assert!(report.p_value < 1e-6 && report.auc > 0.75, "{report:?}");
    // The targets follow the other column on the second side.
    let x = normal(1200, 3);
    let y = x.chunks(2).enumerate().map(|(i, x)| if i < 300 { x[0] } else { x[1] }).collect();
    let report = TwoSampleTest::default().run(&regression(x, 2, y), &first, &second, 1).unwrap();
    assert!(report.p_value < 1e-3, "{report:?}");
}

#[test]
fn groups_count_once_in_the_two_sample_test() {
    let data = regression(normal(80, 1), 2, normal(40, 2));
    let data = data.with_groups((0..40).map(|row| row / 4).collect()).unwrap();
    let e = TwoSampleTest::default().run(&data, &rows(0, 20), &rows(20, 40), 1).unwrap_err().to_string();
    assert!(e.contains("at least 10, of different groups") && e.ends_with("but is 5"), "{e}");
}

#[test]
fn a_column_that_holds_the_target_is_found_and_no_other() {
    let (mut x, y) = (normal(4 * 300, 1), normal(300, 2));
    for (row, y) in x.chunks_mut(4).zip(&y) {
        (row[1], row[2]) = (y.exp(), y + 0.3 * row[2]);
    }
    let check = LeakCheck::of(&regression(x.clone(), 4, y.clone()), &rows(0, 300)).unwrap();
    let scores: Vec<f64> = check.columns.iter().map(|column| column.score).collect();
    assert!(scores[0] < 0.1 && scores[3] < 0.1 && (0.8..0.95).contains(&scores[2]), "{scores:?}");
    assert!(check.best().unwrap().column == 1 && scores[1] > 0.99, "{scores:?}");

    let labels: Vec<u32> = y.iter().map(|y| if *y < -0.5 { 0 } else { 1 + u32::from(*y > 0.7) }).collect();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    let data = TensorDataset::classification(tensor(x, 4), &labels).unwrap();
    let check = LeakCheck::of(&data, &rows(0, 300)).unwrap();
    let scores: Vec<f64> = check.columns.iter().map(|column| column.score).collect();
    assert!(check.best().unwrap().column == 1 && scores[1] > 0.98, "{scores:?}");
    assert!(scores[0] < 0.1 && scores[2] < 0.9, "{scores:?}");
}

/// Each row occurs three times: its twins would predict it, but they are in its fold.
#[test]
fn equal_rows_are_no_leak() {
    let (x, y) = (normal(2 * 100, 1), normal(100, 2));
    let data = regression([x.clone(), x.clone(), x].concat(), 2, [y.clone(), y.clone(), y].concat());
    let check = LeakCheck::of(&data, &rows(0, 300)).unwrap();
    assert!(check.columns.iter().all(|column| column.score < 0.2), "{check:?}");
}

/// Two bins of five rows with the values 0 and 1, but for one row of the second bin: predicted by the others, it is wrong,
/// and it alone.
#[test]
fn scores_are_those_of_a_count_by_hand() {
    let x: Vec<f32> = (0..60).flat_map(|row| [(row / 30) as f32, row as f32]).collect();
    let y: Vec<u32> = (0..60).map(|row| u32::from(row >= 30 && row != 45)).collect();
    let data = TensorDataset::classification(tensor(x, 2), &Tensor::new(y, &Device::Cpu).unwrap()).unwrap();
    let check = LeakCheck::of(&data, &rows(0, 60)).unwrap();
    // 59 of 60 are right, and 31 are of the larger class.
    assert!((check.columns[0].score - (59. - 31.) / (60. - 31.)).abs() < 1e-12, "{check:?}");
}

#[test]
fn scales_are_those_of_the_columns() {
    let data = regression(vec![1., 5., 7., 3., 5., 8.], 3, vec![0., 4.]);
    let scales = ScaleCheck::of(&data, &[0, 1]).unwrap();
    let means: Vec<(usize, f64, f64)> =
        scales.inputs.iter().map(|c| (c.column, c.mean, c.deviation)).collect();
    // Column 1 is constant.
    assert_eq!(means, [(0, 2., 1.), (2, 7.5, 0.5)]);
    assert_eq!((scales.inputs[1].size(), scales.inputs[1].offset()), (8., 15.));
    assert_eq!((scales.targets[0].deviation, scales.whole_numbers), (2., Some(2)));
}

fn network(outputs: usize) -> Trainer<Sequential> {
    Trainer::new(move |vb: VarBuilder<'static>| {
        let hidden = seq().add(linear(4, 32, vb.pp("in"))?).add(Activation::Relu);
        Ok(hidden.add(linear(32, outputs, vb.pp("out"))?))
    })
    .optimizer(Optimizer::adam(0.005))
}

fn classes() -> TensorDataset {
    let x = normal(4 * 90, 1);
    let y: Vec<u32> = x.chunks(4).map(|x| u32::from(x[0] > 0.4) + u32::from(x[0] > -0.4)).collect();
    TensorDataset::classification(tensor(x, 4), &Tensor::new(y, &Device::Cpu).unwrap()).unwrap()
}

fn run() -> RunSpec {
    RunSpec::new(0, "model", Seed::from(1), rows(0, 90))
}

#[test]
fn the_first_loss_is_that_of_a_constant_unless_something_is_too_large() {
    let first = |trainer: &Trainer<Sequential>, data: &TensorDataset| {
        FirstLoss::of(trainer, data, &run(), &Device::Cpu).unwrap()
    };
    let usual = first(&network(3), &classes());
    assert!((usual.zero.unwrap() - 3f64.ln()).abs() < 1e-9 && usual.constant.unwrap() <= 3f64.ln());
    assert!((0.8..2.5).contains(&(usual.loss / usual.constant.unwrap())), "{usual:?}");
    let huge = first(&network(3).init(InitScheme::parse("uniform:-5:5").unwrap()), &classes());
    assert!(huge.loss > 10. * huge.constant.unwrap() && huge.output_size > 10., "{huge:?}");
    let zero = first(&network(3).init(InitScheme::parse("constant:0").unwrap()), &classes());
    assert!((zero.loss - 3f64.ln()).abs() < 1e-6 && zero.output_size == 0., "{zero:?}");

    let y: Vec<f32> = normal(90, 2).iter().map(|y| 150. + 70. * y).collect();
    let data = regression(normal(4 * 90, 1), 4, y);
    let unscaled = first(&network(1), &data);
    assert!(
        unscaled.loss > 4. * unscaled.constant.unwrap() && unscaled.zero.unwrap() > 20_000.,
        "{unscaled:?}"
    );
    let scaled = first(&network(1).target_scaling(Scaling::Standardize), &data);
    assert!((scaled.constant.unwrap() - 1.).abs() < 1e-6 && scaled.loss < 8., "{scaled:?}");
}

#[test]
fn one_batch_is_fitted_by_a_healthy_network() {
    for seed in 0..5 {
        let run = RunSpec { seed: Seed::from(seed), ..run() };
        let report = OneBatchTest::default().run(&network(3), &classes(), &run, &Device::Cpu).unwrap();
        assert!(report.trainings.len() == 1 && report.trainings[0].fitted, "{report:?}");
        let x = normal(4 * 90, seed);
        let y = x.chunks(4).map(|x| 30. + 10. * (x[0] * x[1]).sin()).collect();
        let trainer = network(1).target_scaling(Scaling::Standardize);
        let report = OneBatchTest::default().run(&trainer, &regression(x, 4, y), &run, &Device::Cpu).unwrap();
        assert!(report.trainings[0].fitted && report.trainings[0].score >= 0.99, "{report:?}");
    }
}

#[test]
fn one_batch_tells_a_wrong_network_from_a_wrong_rate() {
    let test = OneBatchTest::default().steps(150);
    let of = |trainer: &Trainer<Sequential>| test.run(trainer, &classes(), &run(), &Device::Cpu).unwrap();
    // Units that begin alike stay alike.
    let zero = of(&network(3).init(InitScheme::parse("constant:0").unwrap()));
    assert!(!zero.fitted() && zero.trainings.len() == 3, "{zero:?}");
    let slow = of(&network(3).optimizer(Optimizer::adam(4e-4)));
    assert!(!slow.trainings[0].fitted && slow.trainings[1].fitted && slow.trainings.len() == 2, "{slow:?}");
    let fast = of(&network(3).optimizer(Optimizer::sgd(1e6)));
    assert!(!fast.fitted(), "{fast:?}");
    // The penalty alone keeps the network from fitting, and it is off.
    let penalized = network(3).regularizer(crate::train::Regularizers::parse("l2:10").unwrap());
    assert!(of(&penalized).trainings[0].fitted);
}

#[test]
fn parameters_are_checked() {
    let data = classes();
    let e = OneBatchTest::default().rows(1).run(&network(3), &data, &run(), &Device::Cpu).unwrap_err();
    assert_eq!(e.to_string(), "OneBatchTest::rows must be at least 2, but is 1");
    let e = TwoSampleTest::default().rows(3).run(&data, &rows(0, 40), &rows(40, 90), 1).unwrap_err();
    assert_eq!(e.to_string(), "TwoSampleTest::rows must be at least 10, but is 3");
    let mut x = normal(4 * 60, 1);
    x[9] = f32::NAN;
    let data = TensorDataset::regression(tensor(x, 4), &Tensor::new(normal(60, 2), &Device::Cpu).unwrap());
    if let Ok(data) = data {
        let e = LeakCheck::of(&data, &rows(0, 60)).unwrap_err().to_string();
        assert!(e.contains("row 2, column 1 of the inputs must be finite"), "{e}");
    }
    assert!(ScaleCheck::of(&classes(), &[]).is_err());
}

#[test]
fn a_random_column_has_no_score() {
    let mut rng = Seed::from(5).rng();
    let y: Vec<u32> = (0..200).map(|_| rng.random_range(0..2)).collect();
    let data =
        TensorDataset::classification(tensor(normal(2 * 200, 4), 2), &Tensor::new(y, &Device::Cpu).unwrap());
    let check = LeakCheck::of(&data.unwrap(), &rows(0, 200)).unwrap();
    assert!(check.columns.iter().all(|column| column.score < 0.25), "{check:?}");
}
