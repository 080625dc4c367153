//! Rows with several positions: pixels, tokens, labels. The oracle is the same data with one position a row.
use crate::common::{bits, bytes, distance, flat, listed, normal, CPU};
use candle_core::{DType, Module, Tensor};
use candle_ensemble::{
    combine::{self, EnsembleSelection, InverseError, Mean},
    data::{Batch, Dataset, Fingerprint, Positions, Task, TensorDataset},
    exec::Stacked,
    metrics::{self, Metrics},
    nn::{self, seq},
    prelude::*,
    resample::PlannedRows,
    store::{Checkpoints, DirectoryStore},
    train::{CustomLoop, Optimizer, Output},
    HeldOut,
};
use candle_nn::VarBuilder;
use std::collections::BTreeSet;

pub(crate) const ROWS: usize = 24;
pub(crate) const POSITIONS: usize = 5;
const FEATURES: usize = 2;

pub(crate) type Net = nn::Sequential;

/// Points `(N, P, 2)` and their classes `(N, P)` of three.
fn points() -> (Tensor, Tensor) {
    let x = normal(1, ROWS * POSITIONS, FEATURES);
    let noise = flat(&normal(2, ROWS * POSITIONS, 1));
    let class = |(row, noise): (&[f64], &f64)| match row[0] + 0.4 * noise {
        x if x < -0.5 => 0u32,
        x if x < 0.5 => 1,
        _ => 2,
    };
    let classes: Vec<u32> = flat(&x).chunks(FEATURES).zip(&noise).map(class).collect();
    let x = x.reshape((ROWS, POSITIONS, FEATURES)).unwrap();
    (x, Tensor::from_vec(classes, (ROWS, POSITIONS), &CPU).unwrap())
}

pub(crate) fn dense() -> TensorDataset {
    let (x, y) = points();
    TensorDataset::dense(&x, &y, None).unwrap()
}

/// The same points, one a row.
pub(crate) fn rows() -> TensorDataset {
    let (x, y) = points();
    let x = x.reshape((ROWS * POSITIONS, FEATURES)).unwrap();
    TensorDataset::classification(&x, &y.flatten_all().unwrap()).unwrap()
}

/// The same classifier at each position: logits `(B, P, 3)`, or `(B, 3)` of points.
fn everywhere(vb: VarBuilder<'_>) -> candle_core::Result<Net> {
    let layers = seq().add(candle_nn::linear(FEATURES, 6, vb.pp("hidden"))?).add(candle_nn::Activation::Relu);
    Ok(layers.add(candle_nn::linear(6, 3, vb.pp("out"))?))
}

pub(crate) fn trainer(rows: usize) -> Trainer<Net> {
    Trainer::new(everywhere).epochs(6).batch_size(rows).shuffle(false).optimizer(Optimizer::adam(0.02))
}

pub(crate) fn close(a: &Tensor, b: &Tensor) {
    let d = distance(&a.flatten_all().unwrap(), &b.flatten_all().unwrap());
    assert!(d < 1e-5, "{d}");
}

#[test]
fn positions_train_predict_and_combine_as_rows_of_their_own() {
    let (dense, rows) = (dense(), rows());
    let (of_dense, of_rows) = (trainer(4), trainer(4 * POSITIONS));
    let strategy = MultiRun::new(3).validation(0.25);
    let plan = Session::new(&of_dense, &dense).plan(&strategy, 7).unwrap();
    let a = Session::new(&of_dense, &dense).train(&plan).unwrap();
    // The same positions, as rows.
    let expand = |rows: &PlannedRows| -> PlannedRows {
        let positions = |row| (0..POSITIONS as u32).map(move |at| row * POSITIONS as u32 + at);
        listed(rows).into_iter().flat_map(positions).collect()
    };
    let mut plan = plan.clone();
    plan.data = rows.fingerprint();
    for run in &mut plan.runs {
        (run.train, run.valid) = (expand(&run.train), expand(&run.valid));
    }
    plan.reserved = expand(&plan.reserved);
    let b = Session::new(&of_rows, &rows).train(&plan).unwrap();
    for (a, b) in a.members().iter().zip(b.members()) {
        for (name, weights) in &a.weights {
            assert!(distance(weights, &b.weights[name]) < 1e-5, "{name}");
        }
        let last = |member: &candle_ensemble::Member| member.record.curve.last().unwrap().clone();
        let (a, b) = (last(a), last(b));
        assert!((a.train_loss - b.train_loss).abs() < 1e-6);
        assert!((a.train_metric - b.train_metric).abs() < 1e-9);
        assert!((a.valid_loss.unwrap() - b.valid_loss.unwrap()).abs() < 1e-6);
        assert!((a.valid_metric.unwrap() - b.valid_metric.unwrap()).abs() < 1e-9);
    }
    let (x, points) = (dense.inputs().only().unwrap(), rows.inputs().only().unwrap());
    let (a, b) = (a.combine(&Mean).unwrap(), b.combine(&Mean).unwrap());
    let (p, q) = (a.predict_proba(x).unwrap(), b.predict_proba(points).unwrap());
    assert_eq!(p.dims(), [ROWS, POSITIONS, 3]);
    close(&p, &q);
    let classes = a.predict(x).unwrap();
    assert_eq!(classes.dims(), [ROWS, POSITIONS]);
    assert_eq!(bits(&classes.flatten_all().unwrap()), bits(&b.predict(points).unwrap()));
    assert_eq!(a.member_predictions(x).unwrap().dims(), [3, ROWS, POSITIONS, 3]);
    close(&Module::forward(&a, x).unwrap(), &Module::forward(&b, points).unwrap());
    let (m, n) = (a.on(&dense).evaluate().unwrap(), b.on(&rows).evaluate().unwrap());
    for ((name, m), (_, n)) in m.values().into_iter().zip(n.values()) {
        assert!((m - n).abs() < 1e-6, "{name}: {m} against {n}");
    }
}

#[test]
fn held_out_positions_are_grouped_by_row_and_rules_learn_from_them() {
    let (data, trainer) = (dense(), trainer(4));
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3).repeats(2), 5).unwrap();
    let held_out = pool.held_out().unwrap();
    assert_eq!((held_out.rows().len(), held_out.total_rows()), (ROWS * POSITIONS, ROWS * POSITIONS));
    assert_eq!(held_out.groups().unwrap(), held_out.rows());
    assert_eq!(bits(held_out.targets()), bits(&data.targets().flatten_all().unwrap()));
    // No row is on two sides.
    let folds = held_out.folds(4, 1).unwrap();
    let rows_of =
        |fold: &Vec<u32>| -> BTreeSet<u32> { fold.iter().map(|at| held_out.rows()[*at as usize]).collect() };
    assert_eq!(folds.iter().map(|fold| rows_of(fold).len()).sum::<usize>(), ROWS);

    // A slot's prediction is that of its member that has not seen the row.
    let everywhere = pool.predictions_per_member(data.inputs()).unwrap();
    let (slot, row) = (1, 10usize);
    let unseen = |m: &candle_ensemble::Member| m.record.slot == slot && !m.record.seen.contains(row as u32);
    let member = pool.members().iter().position(unseen).unwrap();
    let of = |values: &Tensor, first: usize| {
        let cells = values.get(first).unwrap();
        cells.narrow(0, row * POSITIONS, POSITIONS).unwrap()
    };
    close(&of(held_out.predictions().values(), slot), &of(everywhere.values(), member));

    let x = data.inputs().only().unwrap();
    let weighted = pool.combine(&InverseError::new()).unwrap();
    assert_eq!(weighted.predict_proba(x).unwrap().dims(), [ROWS, POSITIONS, 3]);
    println!("{}", pool.judge(&EnsembleSelection::new(5)).unwrap());
    let e = pool.combine(&combine::registry().parse("knora-e").unwrap()).err().unwrap().to_string();
    assert!(e.contains("reads the inputs of a row must be of one prediction for each row"), "{e}");
}

#[test]
fn ignored_positions_are_neither_trained_on_nor_measured() {
    let (x, y) = points();
    // Every third position is ignored; in one data set it has a class in truth, in the other another one.
    let ids = y.flatten_all().unwrap().to_vec1::<u32>().unwrap();
    let with = |ignored: i64| {
        let ids = ids.iter().enumerate().map(|(i, id)| if i % 3 == 0 { ignored } else { i64::from(*id) });
        let y = Tensor::from_iter(ids, &CPU).unwrap().reshape((ROWS, POSITIONS)).unwrap();
        TensorDataset::dense(&x, &y, Some(ignored)).unwrap().with_classes(3).unwrap()
    };
    let (a, b) = (with(-100), with(77));
    let learner = trainer(4);
    let pools = [&a, &b].map(|data| Session::new(&learner, data).fit(&KFold::new(3), 3).unwrap());
    for (m, n) in pools[0].members().iter().zip(pools[1].members()) {
        for (name, weights) in &m.weights {
            assert_eq!(bits(weights), bits(&n.weights[name]), "{name}");
        }
    }
    let held_out = pools[0].held_out().unwrap();
    assert_eq!(held_out.rows().len(), ROWS * POSITIONS * 2 / 3);
    let kept: Vec<u32> = ids.iter().enumerate().filter(|(i, _)| i % 3 != 0).map(|(_, id)| *id).collect();
    assert_eq!(held_out.targets().to_vec1::<u32>().unwrap(), kept);

    // The metrics are those of the other positions.
    let ensemble = pools[0].combine(&Mean).unwrap();
    let p = ensemble.predict_proba(&x).unwrap().reshape((ROWS * POSITIONS, 3)).unwrap();
    let index: Vec<u32> = (0..(ROWS * POSITIONS) as u32).filter(|i| i % 3 != 0).collect();
    let p = p.index_select(&Tensor::new(index, &CPU).unwrap(), 0).unwrap();
    let expected = Metrics::classification(&p, &kept, None).unwrap();
    let metrics = ensemble.batch_rows(5).on(&a).evaluate().unwrap();
    for ((name, got), (_, expected)) in metrics.values().into_iter().zip(expected.values()) {
        assert!((got - expected).abs() < 1e-6, "{name}: {got}, not {expected}");
    }
}

/// Images with one channel, and a convolution that puts out logits `(B, 3, H, W)`.
#[test]
fn convolutions_put_classes_behind_the_rows() {
    let x = normal(4, 12, 6 * 7).reshape((12, 1, 6, 7)).unwrap();
    let y = x.gt(0.3).unwrap().to_dtype(DType::U32).unwrap();
    let y = (y + x.gt(-0.5).unwrap().to_dtype(DType::U32).unwrap()).unwrap().squeeze(1).unwrap();
    let data = TensorDataset::dense(&x, &y, None).unwrap();
    let net = |vb: VarBuilder<'_>| {
        let with = candle_nn::Conv2dConfig { padding: 1, ..Default::default() };
        let layers = seq().add(nn::conv2d(1, 4, 3, with, vb.pp("a"))?).add(nn::Activation::Relu);
        Ok(layers.add(nn::conv2d(4, 3, 1, Default::default(), vb.pp("b"))?))
    };
    let trainer = Trainer::new(net).epochs(60).optimizer(Optimizer::adam(0.03));
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(3), 1).unwrap();
    let ensemble = pool.combine(&Mean).unwrap();
    assert_eq!(ensemble.predict_proba(&x).unwrap().dims(), [12, 3, 6, 7]);
    assert_eq!(ensemble.predict(&x).unwrap().dims(), [12, 6, 7]);
    let forward = Module::forward(&ensemble, &x).unwrap();
    close(&forward.exp().unwrap(), &ensemble.predict_proba(&x).unwrap());
    let Metrics::Classification { accuracy, .. } = ensemble.on(&data).evaluate().unwrap() else { panic!() };
    assert!(accuracy > 0.85, "{accuracy}");
    // As the metrics of the probabilities with classes last.
    let p = ensemble.predict_proba(&x).unwrap().permute((0, 2, 3, 1)).unwrap().reshape(((), 3)).unwrap();
    let ids = y.flatten_all().unwrap();
    let iou = metrics::registry().parse("mean-iou").unwrap().compute(&p, &ids, None).unwrap();
    assert!(iou > 0.65 && iou < accuracy, "{iou}");

    // An ensemble that is saved and loaded still knows its positions.
    let bytes = ensemble.to_bytes().unwrap();
    let loaded = candle_ensemble::Ensemble::<_, Mean>::from_bytes(&bytes, &trainer, &CPU).unwrap();
    assert_eq!(loaded.positions(), Positions::Many { ignore_index: None });
    assert_eq!(bits(&loaded.predict(&x).unwrap()), bits(&ensemble.predict(&x).unwrap()));
    // Soups are weighed against the ensemble by their losses at all positions of reserved rows.
    let pool = Session::new(&trainer, &data).reserve(0.3).fit(&MultiRun::new(3), 1).unwrap();
    let best = candle_ensemble::merge::best_of(&pool, &candle_ensemble::merge::BestOf::new()).unwrap();
    assert!(best.report.candidates.len() > 3, "{}", best.report);
    assert_eq!(best.ensemble.predict(&x).unwrap().dims(), [12, 6, 7]);
}

#[test]
fn labels_are_predicted_each_for_itself() {
    let x = normal(6, 200, 3);
    let columns = x.to_vec2::<f32>().unwrap();
    // Each label has a rule of its own.
    let labels = |row: &Vec<f32>| [row[0] > 0., row[1] > 0.5, row[0] + row[2] > 0., row[2] < -1.];
    let y: Vec<u32> = columns.iter().flat_map(labels).map(u32::from).collect();
    let y = Tensor::from_vec(y, (200, 4), &CPU).unwrap();
    let data = TensorDataset::multi_label(&x, &y).unwrap();
    assert_eq!(data.task(), Task::Classification { classes: 2 });
    let trainer = Trainer::new(|vb| candle_nn::linear(3, 4, vb)).epochs(60).optimizer(Optimizer::adam(0.05));
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(4), 2).unwrap();
    let ensemble = pool.combine(&InverseError::new()).unwrap();
    let p = ensemble.predict_proba(&x).unwrap();
    assert_eq!(p.dims(), [200, 4]);
    let predicted = ensemble.predict(&x).unwrap();
    assert_eq!(bits(&predicted), bits(&p.gt(0.5).unwrap().to_dtype(DType::U32).unwrap()));
    let Metrics::Classification { accuracy, .. } = ensemble.on(&data).evaluate().unwrap() else { panic!() };
    let right = predicted.eq(&y).unwrap().to_dtype(DType::F64).unwrap().mean_all().unwrap();
    assert!((right.to_scalar::<f64>().unwrap() - accuracy).abs() < 1e-12);
    assert!(accuracy > 0.95, "{accuracy}");
    // As a candle module it puts out the log of the odds, which are valid logits.
    let logits = Module::forward(&ensemble, &x).unwrap();
    close(&candle_nn::ops::sigmoid(&logits).unwrap(), &p);

    // The loss is that of each label's binary cross-entropy, by hand.
    let loss = pool.members()[0].record.curve.last().unwrap().train_loss;
    assert!(loss > 0. && loss < 0.2, "{loss}");
}

/// Labels that are not known of some rows are ignored positions: they change nothing, whatever stands there.
#[test]
fn labels_that_are_not_known_are_ignored_positions() {
    let x = normal(6, 60, 3);
    let known = |row: usize, label: usize| !(row + label).is_multiple_of(4);
    let labels = |ignored: i64| {
        let columns = x.to_vec2::<f32>().unwrap();
        let of_row = |(row, x): (usize, &Vec<f32>)| {
            let all = [x[0] > 0., x[1] > 0.5].map(i64::from);
            [0, 1].map(|label| if known(row, label) { all[label] } else { ignored })
        };
        let ids: Vec<i64> = columns.iter().enumerate().flat_map(of_row).collect();
        Tensor::from_vec(ids, (60, 2), &CPU).unwrap()
    };
    let e = TensorDataset::multi_label(&x, &labels(-1)).unwrap_err().to_string();
    assert!(
        e.contains("label 0 must be 0 or 1 (TensorDataset::dense takes labels that are not known"),
        "{e}"
    );
    let network = |vb: VarBuilder<'_>| {
        let linear = candle_nn::linear(3, 2, vb)?;
        Ok(candle_nn::func(move |x: &Tensor| linear.forward(x)?.unsqueeze(2)))
    };
    let trainer = Trainer::new(network).epochs(40).optimizer(Optimizer::adam(0.05));
    let fit = |ignored: i64| {
        let data = TensorDataset::dense(&x, &labels(ignored), Some(ignored)).unwrap();
        let pool = Session::new(&trainer, &data).fit(&Bagging::new(3), 2).unwrap();
        let held_out = pool.held_out().unwrap().rows().len();
        let ensemble = pool.combine(&Mean).unwrap();
        let Metrics::Classification { accuracy, .. } = ensemble.on(&data).evaluate().unwrap() else {
            panic!()
        };
        (held_out, accuracy, ensemble.predict_proba(&x).unwrap())
    };
    let (held_out, accuracy, p) = fit(-1);
    assert_eq!(p.dims(), [60, 2, 2]);
    assert!(held_out < 90 && accuracy > 0.9, "{held_out} {accuracy}");
    assert_eq!(bits(&p.flatten_all().unwrap()), bits(&fit(7).2.flatten_all().unwrap()));
}

/// A sigmoid at the end, as many networks from elsewhere have it: the predictions are those of the logits.
#[test]
fn probabilities_of_labels_are_predictions_too() {
    let x = normal(6, 40, 3);
    let y = x.gt(0f32).unwrap().to_dtype(DType::U32).unwrap();
    let data = TensorDataset::multi_label(&x, &y).unwrap();
    let linear = |vb: VarBuilder<'_>| candle_nn::linear(3, 3, vb);
    let logits = CustomLoop::new("none", linear, |_, _| Ok(()));
    let sigmoid =
        |vb: VarBuilder<'_>| Ok(seq().add(candle_nn::linear(3, 3, vb)?).add(candle_nn::Activation::Sigmoid));
    let probabilities = CustomLoop::new("none", sigmoid, |_, _| Ok(())).output(Output::Probabilities);
    let strategy = MultiRun::new(2);
    let a = Session::new(&logits, &data).fit(&strategy, 3).unwrap().combine(&Mean).unwrap();
    let b = Session::new(&probabilities, &data).fit(&strategy, 3).unwrap().combine(&Mean).unwrap();
    close(&a.predict_proba(&x).unwrap(), &b.predict_proba(&x).unwrap());
    // The losses of the library compute the sigmoid themselves.
    let trainer = Trainer::new(sigmoid).output(Output::Probabilities).epochs(1);
    let e = Session::new(&trainer, &data).fit(&strategy, 3).err().unwrap().to_string();
    assert!(e.contains("the loss must be used with Output::Logits: it computes the softmax itself"), "{e}");
}

#[test]
fn outputs_that_do_not_fit_are_refused_on_the_first_batch() {
    let data = dense();
    let fit = |net: fn(VarBuilder<'_>) -> candle_core::Result<candle_nn::Linear>| {
        let trainer = Trainer::new(net).epochs(1);
        Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string()
    };
    let e = fit(|vb| candle_nn::linear(FEATURES, 4, vb));
    assert!(
        e.contains("must be of shape (B, 3, …) or (B, …, 3), logits of 3 classes at each position"),
        "{e}"
    );
    // Fewer positions than targets.
    let first = |vb: VarBuilder<'_>| {
        let linear = candle_nn::linear(FEATURES, 3, vb)?;
        Ok(move |x: &Tensor| linear.forward(&x.narrow(1, 0, 4)?))
    };
    let trainer = Trainer::new(first).epochs(1);
    let e = Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string();
    assert!(e.contains("must be 5, the number of targets of a row, but is 4"), "{e}");
    let trainer = trainer_of_margins();
    let e = Session::new(&trainer, &data).fit(&MultiRun::new(1), 1).err().unwrap().to_string();
    assert!(e.contains("Margins"), "{e}");
}

fn trainer_of_margins() -> Trainer<Net> {
    trainer(4).output(Output::Margins)
}

#[test]
fn threads_stacks_and_resumes_change_no_bit() {
    let (data, learner) = (dense(), trainer(4));
    let strategy = Bagging::new(4).validation(0.2);
    let expected = bytes(Session::new(&learner, &data).fit(&strategy, 9).unwrap().members());
    let stacked = Stacked::new(2).unwrap();
    let pool = Session::new(&learner, &data).executor(&stacked).fit(&strategy, 9).unwrap();
    assert_eq!(bytes(pool.members()), expected);
    let x = data.inputs();
    let ensemble = pool.combine(&Mean).unwrap();
    let one = ensemble.threads(1).batch_rows(3).predict_proba(x).unwrap();
    let ensemble = pool.combine(&Mean).unwrap().threads(3).batch_rows(3);
    assert_eq!(bits(&one), bits(&ensemble.predict_proba(x).unwrap()));

    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path()).unwrap();
    let session = Session::new(&learner, &data).store(&store).checkpoints(Checkpoints::Epochs(1));
    let stopper = crate::common::Tally::stopping("epoch", 3);
    assert!(session.clone().observer(&stopper).fit(&strategy, 9).is_err());
    assert_eq!(bytes(session.fit(&strategy, 9).unwrap().members()), expected);
}

/// Texts of two lengths, which cannot be in one tensor of held-out predictions.
struct Texts;

impl Dataset for Texts {
    fn rows(&self) -> usize {
        600
    }
    fn task(&self) -> Task {
        Task::Classification { classes: 3 }
    }
    fn positions(&self) -> Positions {
        Positions::Many { ignore_index: None }
    }
    fn batch(&self, rows: &[u32], device: &candle_core::Device) -> candle_core::Result<Batch> {
        let length = if rows.iter().any(|row| *row >= 300) { 4 } else { 6 };
        let inputs = Tensor::zeros((rows.len(), length, FEATURES), DType::F32, device)?;
        let ids = (0..rows.len() * length).map(|i| (i % 3) as u32);
        let targets = Tensor::from_iter(ids, device)?.reshape((rows.len(), length))?;
        Ok(Batch { inputs: inputs.into(), targets, weights: None })
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"texts")
    }
}

#[test]
fn rows_of_other_lengths_are_named() {
    let learner = trainer(8);
    let pool = Session::new(&learner, &Texts).fit(&KFold::new(2), 1).unwrap();
    let e = pool.held_out().map(HeldOut::total_rows).unwrap_err().to_string();
    assert!(
        e.contains("the number of positions of a row must be 6, as that of the rows before, but is 4"),
        "{e}"
    );
}

/// The choice between an ensemble and one network by positions is that by the same points, one a row, grouped by row.
#[test]
fn the_best_use_of_a_pool_is_that_by_the_same_points() {
    use candle_ensemble::merge::{best_of, BestOf, Model};
    let (dense, of_dense) = (dense(), trainer(4));
    let of_row = (0..(ROWS * POSITIONS) as u32).map(|at| at / POSITIONS as u32).collect();
    let (rows, of_rows) = (rows().with_groups(of_row).unwrap(), trainer(4 * POSITIONS));
    let plan = Session::new(&of_dense, &dense).reserve(0.4).plan(&MultiRun::new(3), 7).unwrap();
    let a = Session::new(&of_dense, &dense).train(&plan).unwrap();
    let expand = |rows: &[u32]| -> Vec<u32> {
        rows.iter().flat_map(|row| (0..POSITIONS as u32).map(move |at| row * POSITIONS as u32 + at)).collect()
    };
    let mut plan = plan.clone();
    (plan.data, plan.reserved) = (rows.fingerprint(), expand(&listed(&plan.reserved)).into());
    plan.runs.iter_mut().for_each(|run| run.train = expand(&listed(&run.train)).into());
    let b = Session::new(&of_rows, &rows).train(&plan).unwrap();
    let (a_best, b_best) = (best_of(&a, &BestOf::new()).unwrap(), best_of(&b, &BestOf::new()).unwrap());
    assert_eq!(a_best.report.rows, b_best.report.rows);
    assert!(a_best.report.candidates.iter().filter(|candidate| candidate.score.is_some()).count() > 4);
    let json = |report: &candle_ensemble::merge::BestReport| serde_json::to_value(report).unwrap();
    same_numbers("best", &json(&a_best.report), &json(&b_best.report));

    // The loss of a model, whatever the passes; weights and ignored positions count as those of rows.
    let member = &a.members()[0];
    let some = [1u32, 8, 5];
    for batch in [2, 3, 100] {
        let of = |trainer, data: &TensorDataset, rows: &[u32]| {
            Model::of(trainer, &member.record).batch_rows(batch).loss(&member.weights, data, rows).unwrap()
        };
        let (m, n) = (of(&of_dense, &dense, &some), of(&of_rows, &rows, &expand(&some)));
        assert!((m - n).abs() < 1e-6, "{m} {n}");
    }
    let weighted = dense.clone().with_weights((0..ROWS).map(|row| (row % 3) as f32).collect()).unwrap();
    let weights_of = (0..ROWS * POSITIONS).map(|at| ((at / POSITIONS) % 3) as f32).collect();
    let of_points = rows.clone().with_weights(weights_of).unwrap();
    let model = |trainer| Model::of(trainer, &member.record).batch_rows(2);
    // Row 3 has the weight 0.
    let some = [3u32, 0, 3, 8, 5, 7];
    let m = model(&of_dense).loss(&member.weights, &weighted, &some).unwrap();
    let n = model(&of_rows).loss(&member.weights, &of_points, &expand(&some)).unwrap();
    assert!((m - n).abs() < 1e-6, "{m} {n}");
    assert!(model(&of_dense).loss(&member.weights, &weighted, &[0, 3]).is_err());
}

/// A study of positions is the study of the same points, one a row, whose groups are the rows.
#[test]
fn a_study_measures_positions_and_its_intervals_are_those_of_rows() {
    use candle_ensemble::evaluate::Study;
    let run = |trainer: &Trainer<Net>, data: &TensorDataset| {
        let study = Study::new(Session::new(trainer, data), data).combinations("mean,hard-vote").unwrap();
        study.strategies("multi-run:3").unwrap().baseline(MultiRun::new(2)).repeats(3).run(5).unwrap()
    };
    let of_row = (0..(ROWS * POSITIONS) as u32).map(|at| at / POSITIONS as u32).collect();
    let a = run(&trainer(4), &dense());
    let b = run(&trainer(4 * POSITIONS), &rows().with_groups(of_row).unwrap());
    assert_eq!((a.test_rows * POSITIONS, a.ensembles.len()), (b.test_rows, b.ensembles.len()));
    let json =
        |report: &candle_ensemble::evaluate::StudyReport| serde_json::to_value(&report.ensembles).unwrap();
    same_numbers("ensembles", &json(&a), &json(&b));
}

/// The numbers are the same but for rounding and the times.
pub(crate) fn same_numbers(place: &str, a: &serde_json::Value, b: &serde_json::Value) {
    use serde_json::Value;
    match (a, b) {
        _ if place.ends_with("seconds") => {}
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{place}");
            a.iter().for_each(|(key, a)| same_numbers(&format!("{place}.{key}"), a, &b[key]));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}");
            a.iter().zip(b).for_each(|(a, b)| same_numbers(place, a, b));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() < 1e-4 * (1. + b.abs()), "{place}: {a}, not {b}");
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}
