//! Diagnosis, improvement and studies of rows with several positions. Where it can be one, the oracle is the same data with one
//! position a row, grouped by row.
use crate::{
    common::{normal, CPU},
    positions::{dense, rows, same_numbers, trainer, Net, POSITIONS, ROWS},
};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    diagnose::{Examination, Examined, FirstLoss, OneBatchTest, ScaleCheck, TwoSampleTest},
    evaluate::{SplitCheck, TrainingSizeCurve, TransferStudy},
    improve::{Budget, Improve},
    nn::{self, seq},
    plan::RunSpec,
    prelude::*,
    train::Optimizer,
    Seed,
};

/// The points of `dense`, one a row, grouped by row.
fn points() -> TensorDataset {
    let of_row = (0..(ROWS * POSITIONS) as u32).map(|at| at / POSITIONS as u32).collect();
    rows().with_groups(of_row).unwrap()
}

fn expand(rows: &[u32]) -> Vec<u32> {
    rows.iter().flat_map(|row| (0..POSITIONS as u32).map(move |at| row * POSITIONS as u32 + at)).collect()
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-5 * (1. + b.abs()), "{a} {b}");
}

#[test]
fn an_examination_has_the_curves_and_losses_of_the_same_points() {
    let run = |trainer: &Trainer<Net>, data: &TensorDataset, each: usize| {
        let test = OneBatchTest::default().rows(2 * each).steps(30);
        Examination::new(trainer, data).runs(3).one_batch(test).run(4).unwrap()
    };
    let a: Examined = run(&trainer(4), &dense(), 1);
    let b: Examined = run(&trainer(4 * POSITIONS), &points(), POSITIONS);
    assert_eq!((expand(&a.split.train), expand(&a.split.test)), (b.split.train, b.split.test));
    for (a, b) in a.curves.runs.iter().zip(&b.curves.runs) {
        a.train_loss.iter().zip(&b.train_loss).for_each(|(a, b)| near(*a, *b));
        a.valid_loss.iter().zip(&b.valid_loss).for_each(|(a, b)| near(*a, *b));
    }
    // A row is what counts.
    assert_eq!(a.curves.train_rows, Some(a.split.train.len()));
    let (first, of_points) = (a.measurements.first_loss.unwrap(), b.measurements.first_loss.unwrap());
    near(first.loss, of_points.loss);
    near(first.constant.unwrap(), of_points.constant.unwrap());
    near(first.zero.unwrap(), 3f64.ln());
    assert!(a.measurements.one_batch.is_some() && a.measurements.leaks.is_some());
    assert!(a.measurements.split.unwrap().classes.is_none());
    println!("{}", a.diagnosis);
}

#[test]
fn labels_and_pictures_are_examined() {
    let x = normal(6, 120, 3);
    let label = |row: &Vec<f32>| [row[0] > 0., row[1] > 0.5].map(u32::from);
    let y: Vec<u32> = x.to_vec2::<f32>().unwrap().iter().flat_map(label).collect();
    // One more input, in thousands.
    let wide = Tensor::cat(&[&x, &(x.narrow(1, 2, 1).unwrap() * 5000.).unwrap()], 1).unwrap();
    let labels = TensorDataset::multi_label(&wide, &Tensor::from_vec(y, (120, 2), &CPU).unwrap()).unwrap();
    let linear = Trainer::new(|vb| candle_nn::linear(4, 2, vb)).epochs(20).optimizer(Optimizer::adam(0.02));
    let test = OneBatchTest::default().rows(8).steps(300);
    let examined = Examination::new(&linear, &labels).runs(2).one_batch(test).run(1).unwrap();
    let scales = examined.measurements.scales.unwrap();
    assert!(scales.targets.is_empty() && scales.inputs[3].deviation > 1000.);
    assert!(examined.diagnosis.get("unscaled_inputs").is_some(), "{}", examined.diagnosis);

    let x = normal(4, 40, 30).reshape((40, 1, 5, 6)).unwrap();
    let classes = x.squeeze(1).unwrap().ge(0.3).unwrap().to_dtype(DType::U32).unwrap();
    let pictures = TensorDataset::dense(&x, &classes, Some(255)).unwrap();
    let of_pixels = Trainer::new(|vb| nn::conv2d(1, 2, 1, Default::default(), vb)).epochs(4);
    let of_pixels = of_pixels.optimizer(Optimizer::adam(0.1));
    let examined =
        Examination::new(&of_pixels, &pictures).runs(2).training_sizes([0.5, 1.], 2).run(1).unwrap();
    assert_eq!(examined.members.len(), 2);
    assert!(examined.measurements.one_batch.unwrap().fitted(), "a threshold is easy");
    let sizes = examined.training_size.unwrap();
    assert_eq!((sizes.metric.as_str(), sizes.points.len()), ("accuracy", 2));
}

/// All rows train the networks of the only size, so the scores are those of the same points.
#[test]
fn scores_by_training_size_and_transfers_are_those_of_the_same_points() {
    let run = |trainer: &Trainer<Net>, data: &TensorDataset| {
        let report = TrainingSizeCurve::new(trainer, data).sizes([1.]).repeats(3).run(5).unwrap();
        (report.points[0].rows, serde_json::to_value(&report.points).unwrap())
    };
    let ((n, a), (m, b)) = (run(&trainer(4), &dense()), run(&trainer(4 * POSITIONS), &points()));
    assert_eq!(n * POSITIONS, m);
    let without_rows = |value: serde_json::Value| {
        let mut point = value[0].clone();
        point.as_object_mut().unwrap().remove("rows");
        point
    };
    same_numbers("point", &without_rows(a), &without_rows(b));

    let (of_dense, of_points) = ((trainer(4), dense()), (trainer(4 * POSITIONS), points()));
    let run = |(trainer, data): &(Trainer<Net>, TensorDataset)| {
        TransferStudy::new(trainer, data, data).repeats(3).run(2).unwrap()
    };
    let json = |of: &(Trainer<Net>, TensorDataset)| serde_json::to_value(run(of)).unwrap();
    same_numbers("transfer", &json(&of_dense), &json(&of_points));
    let test = rows();
    let e = TransferStudy::new(&of_dense.0, &of_dense.1, &of_dense.1).test(&test).repeats(2).run(2);
    let e = e.err().unwrap().to_string();
    assert!(e.contains("the test data must be of a class at each position of a row"), "{e}");
}

#[test]
fn duplicates_and_shares_by_hand() {
    let x = Tensor::new(&[[0f32, 1.], [2., 3.], [0., 1.], [2., 3.]], &CPU).unwrap();
    let y = Tensor::new(&[[0u32, 1, 1], [2, 2, 9], [0, 1, 1], [2, 0, 9]], &CPU).unwrap();
    let data = TensorDataset::dense(&x, &y, Some(9)).unwrap();
    let check = SplitCheck::of(&data, &[0, 1], &[2, 3]).unwrap();
    let found: Vec<(u32, u32, bool)> =
        check.duplicates.iter().map(|pair| (pair.test, pair.train, pair.same_target)).collect();
    assert_eq!(found, [(2, 0, true), (3, 1, false)]);
    assert!(check.classes.is_none());
    assert!(ScaleCheck::of(&data, &[0, 1, 2, 3]).unwrap().targets.is_empty());

    // Rows whose inputs are alike and whose classes are not can be told apart.
    let x = normal(7, 200, 2);
    let classes = Tensor::from_iter((0..800u32).map(|at| u32::from(at % 4 == 0 || at >= 400)), &CPU).unwrap();
    let data = TensorDataset::dense(&x, &classes.reshape((200, 4)).unwrap(), None).unwrap();
    let (first, second): (Vec<u32>, Vec<u32>) = ((0..100).collect(), (100..200).collect());
    let report = TwoSampleTest::default().run(&data, &first, &second, 1).unwrap();
    assert!(report.auc > 0.95, "{}", report.auc);

    // A network without weights puts out zeros: ln 2 at each of the positions, and of the best constant the entropy.
    let trainer = Trainer::new(|vb| {
        let linear = candle_nn::linear(2, 4, vb)?;
        Ok(seq().add(linear).add_fn(|x: &Tensor| Tensor::stack(&[x.clone(), x.zeros_like()?], 2)))
    });
    let trainer = trainer.init(candle_ensemble::weights::InitScheme::parse("constant:0").unwrap());
    let run = RunSpec::new(0, "model", Seed::from(1), first);
    let loss = FirstLoss::of(&trainer, &data, &run, &CPU).unwrap();
    near(loss.loss, 2f64.ln());
    near(loss.constant.unwrap(), 4f64.ln() - 0.75 * 3f64.ln());
}

/// A learning rate that is far too small is found, and what is kept is better on rows that no decision saw.
#[test]
fn an_improvement_of_positions_is_measured_on_whole_rows() {
    let x = normal(11, 60 * 4, 2).reshape((60, 4, 2)).unwrap();
    let classes =
        x.narrow(2, 0, 1).unwrap().squeeze(2).unwrap().ge(0.).unwrap().to_dtype(DType::U32).unwrap();
    let data = TensorDataset::dense(&x, &classes, None).unwrap();
    let network = |vb: candle_nn::VarBuilder<'static>| Ok(seq().add(candle_nn::linear(2, 2, vb)?));
    let trainer = Trainer::new(network).epochs(8).batch_size(8).optimizer(Optimizer::adam(1e-4));
    let improve = |seed: u64| {
        let improve = Improve::new(&trainer, &data).runs(2).splits(6).runs_per_split(1).final_runs(2);
        improve.attempts(2).max_steps(2).budget(Budget::Trainings(150)).run(seed).unwrap()
    };
    let improved = improve(3);
    let report = serde_json::to_value(&improved.report).unwrap();
    assert_eq!(report, serde_json::to_value(&improve(3).report).unwrap(), "it is the same again");
    assert_eq!(improved.rows().len() + improved.test_rows().len(), 60);
    println!("{}", improved.report.story());
    let gain = improved.report.gain.as_ref().unwrap();
    assert!(gain.low > 0., "{gain:?}");
}
