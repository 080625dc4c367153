//! Against numbers from `tests/reference/stacking.py`.
use crate::{
    combine::{
        stack::{centred::RowSet, reference::*, InferenceMode, MultiLayerStack, *},
        FittedCombiner, Mean, Median,
    },
    Seed,
};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use linfa::traits::Fit as _;
use proptest::prelude::*;

const ROWS: usize = 60;
const CPU: &Device = &Device::Cpu;

/// The generator of the script.
struct Lcg(u64);

impl Lcg {
    fn draw(&mut self) -> f64 {
        self.0 = (self.0 * 1_664_525 + 1_013_904_223) % (1 << 32);
        self.0 as f64 / f64::from(1u32 << 16) / f64::from(1u32 << 16)
    }

    fn rest(&mut self) -> (Tensor, Tensor) {
        let inputs: Vec<f64> = (0..ROWS * 2).map(|_| self.draw()).collect();
        let weights: Vec<f64> = (0..ROWS).map(|_| 0.5 + self.draw()).collect();
        (Tensor::from_vec(inputs, (ROWS, 2), CPU).unwrap(), Tensor::from_vec(weights, ROWS, CPU).unwrap())
    }
}

/// Held-out rows with inputs, and weights to add.
fn classes(members: usize, classes: usize, seed: u64) -> (HeldOut, Tensor) {
    let mut g = Lcg(seed);
    let labels: Vec<u32> = (0..ROWS).map(|_| (g.draw() * classes as f64) as u32).collect();
    let mut predicted = vec![];
    for _ in 0..members {
        for y in &labels {
            let row: Vec<f64> = (0..classes)
                .map(|c| (3. * g.draw() + if c == *y as usize { 1.2 } else { 0. }).exp())
                .collect();
            let sum: f64 = row.iter().sum();
            predicted.extend(row.iter().map(|p| p / sum));
        }
    }
    let predicted = Tensor::from_vec(predicted, (members, ROWS, classes), CPU).unwrap();
    let (inputs, weights) = g.rest();
    let predictions = Predictions::new(predicted, Task::Classification { classes }).unwrap();
    let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(labels, CPU).unwrap()).unwrap();
    (held_out.with_inputs(&inputs).unwrap(), weights)
}

fn values(members: usize, seed: u64) -> (HeldOut, Tensor) {
    let mut g = Lcg(seed);
    let answers: Vec<f64> = (0..ROWS).map(|_| 6. * g.draw() - 3.).collect();
    let mut predicted = vec![];
    for m in 0..members {
        predicted
            .extend(answers.iter().map(|y| 0.8 * y + 2. * g.draw() - 0.3 * m as f64).collect::<Vec<_>>());
    }
    let predicted = Tensor::from_vec(predicted, (members, ROWS, 1), CPU).unwrap();
    let (inputs, weights) = g.rest();
    let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 }).unwrap();
    let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(answers, CPU).unwrap()).unwrap();
    (held_out.with_inputs(&inputs).unwrap(), weights)
}

/// The meta-features, `(B, F)`.
fn feature_table(predictions: &Predictions, features: MetaFeatures, inputs: bool) -> CandleResult<Tensor> {
    append_inputs(slot_features(predictions, features)?, predictions, inputs)
}

fn fit<C: Combiner>(combiner: &C, held_out: &HeldOut) -> C::Fitted {
    combiner.fit(held_out).unwrap()
}

fn predict(fitted: &impl FittedCombiner, held_out: &HeldOut) -> Vec<Vec<f64>> {
    fitted.combine(held_out.predictions()).unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

#[track_caller]
fn near<A: AsRef<[f64]>, B: AsRef<[f64]>>(ours: &[A], reference: &[B], tolerance: f64) {
    assert_eq!(ours.len(), reference.len());
    for (a, b) in ours.iter().zip(reference) {
        let (a, b) = (a.as_ref(), b.as_ref());
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance * (1. + b.abs()), "{a} is not {b}");
        }
    }
}

fn exact() -> Logistic {
    Logistic::new().tolerance(1e-8)
}

type Table = &'static [&'static [f64]];

#[test]
fn logistic_stacks_equal_those_of_scikit_learn() {
    let check = |held_out: &HeldOut, through: bool, columns: usize, tables: [Table; 4]| {
        let [coefficients, intercepts, decisions, probabilities] = tables;
        let fitted = fit(&Stack::new(exact()).pass_through(through), held_out);
        assert_eq!(fitted.columns().len(), columns);
        assert!(fitted.model().gradient() <= 1e-8, "{fitted:?}");
        near(fitted.model().coefficients(), coefficients, 1e-6);
        near(&[fitted.model().intercepts()], intercepts, 1e-6);
        let table = feature_table(held_out.predictions(), MetaFeatures::Probabilities, through).unwrap();
        near(&fitted.model().decision_function(&table).unwrap().to_vec2().unwrap()[..3], decisions, 1e-6);
        near(&predict(&fitted, held_out)[..3], probabilities, 1e-6);
    };
    let (three, of_three) = classes(4, 3, 7);
    let plain = [THREE_COEFFICIENTS, THREE_INTERCEPTS, THREE_DECISIONS, THREE_PROBABILITIES];
    check(&three, false, 12, plain);
    let through = [
        THREE_THROUGH_COEFFICIENTS,
        THREE_THROUGH_INTERCEPTS,
        THREE_THROUGH_DECISIONS,
        THREE_THROUGH_PROBABILITIES,
    ];
    check(&three, true, 14, through);
    let (two, of_two) = classes(3, 2, 8);
    check(&two, false, 3, [TWO_COEFFICIENTS, TWO_INTERCEPTS, TWO_DECISIONS, TWO_PROBABILITIES]);
    let through =
        [TWO_THROUGH_COEFFICIENTS, TWO_THROUGH_INTERCEPTS, TWO_THROUGH_DECISIONS, TWO_THROUGH_PROBABILITIES];
    check(&two, true, 5, through);

    let fitted = fit(&Stack::new(exact()).features(MetaFeatures::Classes), &two);
    near(fitted.model().coefficients(), TWO_CLASSES_COEFFICIENTS, 1e-6);
    assert_eq!(fitted.columns(), ["member 0, class 1", "member 1, class 1", "member 2, class 1"]);
    for (held_out, weights, expected) in
        [(three, of_three, THREE_WEIGHTED_COEFFICIENTS), (two, of_two, TWO_WEIGHTED_COEFFICIENTS)]
    {
        let fitted = fit(&Stack::new(exact()), &held_out.with_weights(&weights).unwrap());
        near(fitted.model().coefficients(), expected, 1e-6);
    }
}

#[test]
fn the_default_accuracy_and_single_precision_are_close_to_the_exact_fit() {
    for (members, k, seed) in [(4, 3, 7), (3, 2, 8)] {
        let (held_out, _) = classes(members, k, seed);
        let best = fit(&Stack::new(exact()), &held_out).fitted().unwrap().objective;
        let fitted = fit(&Stack::new(Logistic::new()), &held_out);
        assert!(fitted.model().gradient() <= 1e-4);
        assert!((0. ..1e-5).contains(&(fitted.fitted().unwrap().objective - best)));

        let dataset = MetaDataset::new(
            feature_table(held_out.predictions(), MetaFeatures::Probabilities, false).unwrap(),
            &held_out,
        );
        let labels: Vec<u32> = held_out.targets().to_vec1().unwrap();
        let present = (0..k as u32).collect();
        let single = Logistic::new().fit_as::<f32>(&dataset, &labels, &vec![1.; ROWS], present, k).unwrap();
        assert!((single.fitted().unwrap().objective - best).abs() < 1e-5);
        assert!(single.gradient() <= 2e-4);
    }
}

/// linfa has the same objective, as a sum over the rows with α = 1/C.
#[test]
fn logistic_stacks_equal_those_of_linfa() {
    let (held_out, _) = classes(4, 3, 7);
    let features = feature_table(held_out.predictions(), MetaFeatures::Probabilities, false).unwrap();
    let x = ndarray::Array2::from_shape_vec(
        (ROWS, 12),
        features.flatten_all().unwrap().to_vec1::<f64>().unwrap(),
    );
    let y: Vec<usize> = held_out.targets().to_vec1::<u32>().unwrap().iter().map(|y| *y as usize).collect();
    let data = linfa::DatasetBase::new(x.unwrap(), ndarray::Array1::from(y));
    let model =
        linfa_logistic::MultiLogisticRegression::default().gradient_tolerance(1e-8).fit(&data).unwrap();
    let ours = fit(&Stack::new(exact()), &held_out);
    let theirs: Vec<Vec<f64>> = model.params().columns().into_iter().map(|c| c.to_vec()).collect();
    near(ours.model().coefficients(), &theirs, 1e-5);
}

fn linear_row(model: &AffineModel) -> Vec<f64> {
    [&model.coefficients()[0][..], model.intercepts()].concat()
}

#[test]
fn stacks_for_regression_equal_those_of_scikit_learn() {
    fn check<M: MetaLearner<Model = AffineModel> + Copy>(
        learner: M,
        plain: [Table; 2],
        through: [Table; 2],
        weighted: Table,
    ) {
        let (held_out, weights) = values(4, 9);
        for (inputs, [coefficients, predictions]) in [(false, plain), (true, through)] {
            let fitted = fit(&Stack::new(learner).pass_through(inputs), &held_out);
            near(&[linear_row(fitted.model())], coefficients, 1e-6);
            assert_eq!(fitted.columns().len() + 1, coefficients[0].len());
            near(&[predict(&fitted, &held_out).concat()[..3].to_vec()], predictions, 1e-6);
        }
        let fitted = fit(&Stack::new(learner), &held_out.with_weights(&weights).unwrap());
        near(&[linear_row(fitted.model())], weighted, 1e-6);
    }
    check(Linear, [LINEAR, LINEAR_SAID], [LINEAR_THROUGH, LINEAR_THROUGH_SAID], LINEAR_WEIGHTED);
    check(Ridge::new(3.), [RIDGE, RIDGE_SAID], [RIDGE_THROUGH, RIDGE_THROUGH_SAID], RIDGE_WEIGHTED);
    check(ElasticNet::new(0.05, 0.5), [NET, NET_SAID], [NET_THROUGH, NET_THROUGH_SAID], NET_WEIGHTED);
    check(ElasticNet::new(0.3, 1.), [LASSO, LASSO_SAID], [LASSO_THROUGH, LASSO_THROUGH_SAID], LASSO_WEIGHTED);
}

#[test]
fn least_squares_equals_that_of_linfa() {
    let (held_out, _) = values(4, 9);
    let features = feature_table(held_out.predictions(), MetaFeatures::Probabilities, true).unwrap();
    let x =
        ndarray::Array2::from_shape_vec((ROWS, 6), features.flatten_all().unwrap().to_vec1::<f64>().unwrap());
    let y = ndarray::Array1::from(held_out.targets().to_vec1::<f64>().unwrap());
    let model =
        linfa_linear::LinearRegression::default().fit(&linfa::DatasetBase::new(x.unwrap(), y)).unwrap();
    let ours = fit(&Stack::new(Linear).pass_through(true), &held_out);
    near(&[&ours.model().coefficients()[0]], &[model.params().to_vec()], 1e-9);
    near(&[ours.model().intercepts()], &[[model.intercept()]], 1e-9);
}

#[test]
fn multi_layer_stacks_equal_those_of_scikit_learn() {
    let (held_out, _) = classes(4, 3, 7);
    let combiner =
        MultiLayerStack::new((Stack::new(exact()), Stack::new(exact().c(0.1))), Stack::new(exact()));
    let fitted = fit(&combiner, &held_out);
    near(&predict(&fitted, &held_out)[..3], LAYERS_PROBABILITIES, 1e-6);
    assert_eq!(fitted.name(), "logistic-stack over logistic-stack, logistic-stack");
    assert_eq!(fitted.top().columns()[3], "logistic-stack 2, class 0");
}

#[test]
fn a_layer_predicts_with_one_refit_or_with_the_mean_of_the_fold_fits() {
    let (held_out, _) = values(3, 4);
    let layer = || (Stack::new(Linear), Median);
    for (how, fits) in [(InferenceMode::Refit, 1), (InferenceMode::FoldMean, 4)] {
        let fitted = fit(&MultiLayerStack::new(layer(), Mean).folds(4).inference_mode(how), &held_out);
        assert_eq!(fitted.lower().len(), fits);
        let mut sum = vec![0.; ROWS];
        for (stack, median) in fitted.lower() {
            let both = [predict(stack, &held_out).concat(), predict(median, &held_out).concat()];
            sum.iter_mut()
                .enumerate()
                .for_each(|(i, sum)| *sum += (both[0][i] + both[1][i]) / 2. / fits as f64);
        }
        near(&[predict(&fitted, &held_out).concat()], &[sum], 1e-12);
    }
    // The top is fitted on predictions of the lower combiners for rows that they were not fitted on.
    let top = MultiLayerStack::new(layer(), Stack::new(Linear)).members(true).folds(ROWS);
    let fitted = fit(&top, &held_out);
    assert_eq!(fitted.top().columns(), ["linear-stack", "median", "member 0", "member 1", "member 2"]);
    let nested = MultiLayerStack::new(
        vec![Median, Median],
        MultiLayerStack::new((Mean, Median), Stack::new(Ridge::new(1.))),
    );
    assert_eq!(predict(&fit(&nested, &held_out), &held_out).len(), ROWS);
    for bad in [0, 1] {
        let e = MultiLayerStack::new(layer(), Mean).folds(bad).fit(&held_out).unwrap_err();
        assert!(e.to_string().contains("number of folds of a multi-layer stack"), "{e}");
    }
    let e = MultiLayerStack::new(Vec::<Mean>::new(), Mean).fit(&held_out).unwrap_err();
    assert!(e.to_string().contains("number of combiners in a layer must be at least 1"), "{e}");
}

/// Fits every stack on `held_out`, and calls `then` with its name and its predictions for the same rows.
fn each_stack(held_out: &HeldOut, then: impl Fn(&str, Vec<Vec<f64>>)) {
    fn one<C: Combiner>(held_out: &HeldOut, combiner: C) -> (String, Vec<Vec<f64>>) {
        let fitted = fit(&combiner, held_out);
        (fitted.name(), predict(&fitted, held_out))
    }
    let network = || NeuralNetwork::new(Mlp::new(&[4])).epochs(3);
    let mut all = vec![
        one(held_out, Stack::new(Linear)),
        one(held_out, Stack::new(Ridge::new(1.)).pass_through(true)),
        one(held_out, Stack::new(Ridge::cross_validated(3))),
        one(held_out, Stack::new(ElasticNet::new(0.01, 0.5))),
        one(held_out, Stack::new(ElasticNet::cross_validated(1., 3))),
        one(held_out, Stack::new(network())),
        one(held_out, MultiLayerStack::new((Stack::new(Linear), Mean), Stack::new(network())).folds(3)),
    ];
    if let Task::Classification { .. } = held_out.predictions().task() {
        for features in [MetaFeatures::Probabilities, MetaFeatures::LogOdds, MetaFeatures::Classes] {
            all.push(one(held_out, Stack::new(Logistic::new()).features(features)));
            all.push(one(held_out, Stack::new(Linear).features(features)));
        }
    }
    all.into_iter().for_each(|(name, predicted)| then(&name, predicted));
}

#[test]
fn every_stack_gives_valid_predictions_on_unusual_rows() {
    let (numbers, _) = values(3, 4);
    let several = {
        let predicted =
            Tensor::cat(&[numbers.predictions().values(), &numbers.predictions().values().sin().unwrap()], 2)
                .unwrap();
        let answers = Tensor::stack(&[numbers.targets(), &numbers.targets().sin().unwrap()], 1).unwrap();
        let predictions = Predictions::new(predicted, Task::Regression { outputs: 2 }).unwrap();
        let inputs = numbers.predictions().inputs().unwrap();
        HeldOut::from_predictions(&predictions, &answers).unwrap().with_inputs(inputs).unwrap()
    };
    let cases = [numbers, several, classes(3, 2, 4).0, classes(3, 3, 4).0, classes(3, 7, 4).0];
    for held_out in cases {
        let (values, task) = (held_out.predictions().values(), held_out.predictions().task());
        let remade = |values: Tensor, covered: Option<Tensor>| {
            let predictions = match covered {
                Some(covered) => Predictions::partial(values, covered, task),
                None => Predictions::new(values, task),
            };
            // With the predictions, because rows that no slot predicts are left out.
            let predictions =
                predictions.unwrap().with_inputs(held_out.predictions().inputs().unwrap()).unwrap();
            HeldOut::from_predictions(&predictions, held_out.targets()).unwrap()
        };
        let covered: Vec<f32> = (0..3 * ROWS).map(|i| f32::from(u8::from(i % 4 > 0))).collect();
        let covered = Tensor::from_vec(covered, (3, ROWS), CPU).unwrap();
        let constant = values.narrow(1, 0, 1).unwrap().repeat((1, ROWS, 1)).unwrap();
        let certain = values.ge(&values.max_keepdim(2).unwrap().broadcast_as(values.shape()).unwrap());
        let certain = certain.unwrap().to_dtype(DType::F64).unwrap();
        let variants = [
            ("unchanged", held_out.clone()),
            ("in single precision", remade(values.to_dtype(DType::F32).unwrap(), None)),
            ("with missing predictions", remade(values.clone(), Some(covered))),
            ("one member", held_out.select_slots(&[1]).unwrap()),
            ("duplicates", held_out.select_slots(&[0, 1, 0, 1, 1]).unwrap()),
            ("a constant", remade(Tensor::cat(&[values, &constant], 0).unwrap(), None)),
            ("constants alone", remade(constant, None)),
            ("exactly 0 or 1", remade(certain, None)),
            ("few rows", held_out.select(&(0..9).collect::<Vec<_>>()).unwrap()),
        ];
        for (what, held_out) in variants {
            each_stack(&held_out, |name, predicted| {
                assert_eq!((predicted.len(), predicted[0].len()), (held_out.rows().len(), task.width()));
                for row in predicted {
                    assert!(row.iter().all(|x| x.is_finite()), "{name}, {what}, {task:?}: {row:?}");
                    if let Task::Classification { .. } = task {
                        assert!(row.iter().all(|p| *p >= 0.), "{name}, {what}: {row:?}");
                        assert!((row.iter().sum::<f64>() - 1.).abs() < 1e-5, "{name}, {what}: {row:?}");
                    }
                }
            });
        }
    }
}

#[test]
fn duplicates_get_equal_coefficients_and_constants_get_none() {
    let (held_out, _) = values(3, 5);
    let twice = held_out.select_slots(&[0, 1, 2, 1]).unwrap();
    let (one, two) = (fit(&Stack::new(Linear), &held_out), fit(&Stack::new(Linear), &twice));
    near(&predict(&one, &held_out), &predict(&two, &twice), 1e-8);
    let (one, two) = (&one.model().coefficients()[0], &two.model().coefficients()[0]);
    near(&[[one[0], one[1] / 2., one[2], one[1] / 2.]], &[two], 1e-7);

    let constant = Tensor::full(7.1f64, (1, ROWS, 1), CPU).unwrap();
    let more = Tensor::cat(&[held_out.predictions().values(), &constant], 0).unwrap();
    let more = Predictions::new(more, Task::Regression { outputs: 1 }).unwrap();
    let more = HeldOut::from_predictions(&more, held_out.targets()).unwrap();
    let fitted = fit(&Stack::new(Linear), &more);
    assert_eq!(fitted.model().coefficients()[0][3], 0.);
    near(&[&fitted.model().coefficients()[0][..3]], &[one], 1e-9);

    // The probabilities of three classes sum to one: the table is singular to begin with.
    let (held_out, _) = classes(4, 3, 7);
    let single = Predictions::new(
        held_out.predictions().values().to_dtype(DType::F32).unwrap(),
        held_out.predictions().task(),
    );
    let single = HeldOut::from_predictions(&single.unwrap(), held_out.targets()).unwrap();
    let double = fit(&Stack::new(Linear), &held_out);
    near(&predict(&double, &held_out), &predict(&fit(&Stack::new(Linear), &single), &single), 1e-5);
    assert!(double.model().coefficients().concat().iter().all(|b| b.abs() < 10.));
}

#[test]
fn a_weight_of_two_equals_two_rows() {
    fn check<M: MetaLearner>(learner: M, held_out: &HeldOut, tolerance: f64) {
        let twice: Vec<u32> = (0..ROWS as u32).flat_map(|i| vec![i; 1 + usize::from(i % 3 == 0)]).collect();
        let weights: Vec<f64> = (0..ROWS).map(|i| if i % 3 == 0 { 2. } else { 1. }).collect();
        let weighted = held_out.clone().with_weights(&Tensor::new(weights, CPU).unwrap()).unwrap();
        let combiner = Stack::new(learner);
        let a = predict(&fit(&combiner, &weighted), held_out);
        near(&a, &predict(&fit(&combiner, &held_out.select(&twice).unwrap()), held_out), tolerance);
        let none: Vec<f64> = (0..ROWS).map(|i| f64::from(u8::from(i % 4 != 0))).collect();
        let some: Vec<u32> = (0..ROWS as u32).filter(|i| i % 4 != 0).collect();
        let weighted = held_out.clone().with_weights(&Tensor::new(none, CPU).unwrap()).unwrap();
        let a = predict(&fit(&combiner, &weighted), held_out);
        near(&a, &predict(&fit(&combiner, &held_out.select(&some).unwrap()), held_out), tolerance);
    }
    let (numbers, _) = values(3, 6);
    let (labels, _) = classes(3, 3, 6);
    for held_out in [&numbers, &labels] {
        check(Linear, held_out, 1e-8);
        check(Ridge::new(0.5), held_out, 1e-8);
        check(ElasticNet::new(0.05, 0.5), held_out, 1e-6);
    }
    check(exact(), &labels, 1e-6);
}

#[test]
fn missing_classes_get_probability_zero_and_a_single_class_is_an_error() {
    let (held_out, _) = classes(3, 4, 11);
    let labels: Vec<u32> = held_out.targets().to_vec1().unwrap();
    let keep = |classes: &[u32]| -> Vec<u32> {
        (0..ROWS as u32).filter(|i| classes.contains(&labels[*i as usize])).collect()
    };
    for present in [&[1u32, 3][..], &[0, 2, 3]] {
        let fitted = fit(&Stack::new(Logistic::new()), &held_out.select(&keep(present)).unwrap());
        assert_eq!(fitted.model().present(), present);
        for row in predict(&fitted, &held_out) {
            let sum: f64 = row.iter().sum();
            assert!((sum - 1.).abs() < 1e-12);
            assert!((0..4u32).all(|c| present.contains(&c) == (row[c as usize] > 0.)), "{row:?}");
        }
    }
    let one = held_out.select(&keep(&[2])).unwrap();
    let e = Stack::new(Logistic::new()).fit(&one).unwrap_err().to_string();
    assert_eq!(
        e,
        "the classes of the held-out rows must be two or more for logistic regression, but is only 2"
    );
    let fitted = fit(&Stack::new(Linear), &one);
    assert!(
        predict(&fitted, &held_out).iter().all(|row| (row[2] - 1.).abs() < 1e-9),
        "a linear stack can be fitted"
    );
}

#[test]
fn parameters_out_of_range_are_named() {
    let (held_out, _) = classes(3, 3, 6);
    fn assert_error<C: Combiner>(combiner: &C, held_out: &HeldOut, what: &str) {
        let e = combiner.fit(held_out).err().unwrap().to_string();
        assert!(e.contains(what), "{e}");
    }
    for c in [0., -1., f64::NAN, f64::INFINITY] {
        assert_error(&Stack::new(Logistic::new().c(c)), &held_out, "C must be above 0");
        assert_error(&Stack::new(Logistic::new().tolerance(c)), &held_out, "the tolerance must be above 0");
    }
    assert_error(
        &Stack::new(Logistic::new().max_iterations(0)),
        &held_out,
        "the largest number of iterations",
    );
    assert_error(
        &Stack::new(Ridge::new(-1.)),
        &held_out,
        "the ridge penalty must be finite and not negative",
    );
    assert_error(&Stack::new(Ridge::cross_validated(1)), &held_out, "number of folds to choose the penalty");
    assert_error(&Stack::new(ElasticNet::new(f64::NAN, 0.5)), &held_out, "the elastic net's penalty");
    assert_error(&Stack::new(ElasticNet::new(1., 1.1)), &held_out, "from 0 to 1");
    assert_error(&Stack::new(NeuralNetwork::new(Mlp::new(&[0]))), &held_out, "the width of hidden layer 0");
    assert_error(&Stack::new(NeuralNetwork::new(Mlp::new(&[3])).epochs(0)), &held_out, "epochs");
    let (numbers, _) = values(3, 6);
    assert_error(&Stack::new(Logistic::new()), &numbers, "logistic regression is for classes");
    assert_error(
        &Stack::new(Linear).features(MetaFeatures::LogOdds),
        &numbers,
        "the meta-features LogOdds are for classes",
    );
    let without_inputs = HeldOut::from_predictions(
        &Predictions::new(numbers.predictions().values().clone(), numbers.predictions().task()).unwrap(),
        numbers.targets(),
    );
    assert_error(
        &Stack::new(Linear).pass_through(true),
        &without_inputs.unwrap(),
        "the inputs of the held-out rows",
    );
}

#[test]
fn a_fitted_stack_refuses_other_predictions() {
    let (held_out, _) = classes(3, 3, 6);
    let fitted = fit(&Stack::new(Linear).pass_through(true), &held_out);
    let fewer = held_out.predictions().narrow_slots(0, 2).unwrap();
    assert!(fitted.combine(&fewer).unwrap_err().to_string().contains("must be 3, as in its fit, but is 2"));
    let wide =
        held_out.predictions().with_inputs(&Tensor::zeros((ROWS, 5), DType::F64, CPU).unwrap()).unwrap();
    assert!(fitted.combine(&wide).unwrap_err().to_string().contains("on 2 inputs per row, not 5"));
}

#[test]
fn meta_features_are_the_selected_columns() {
    let predicted =
        Tensor::new(&[[[0.2f32, 0.8, 0.], [0.4, 0.2, 0.4]], [[1., 0., 0.], [0.3, 0.3, 0.4]]], CPU).unwrap();
    let predictions = Predictions::new(predicted, Task::Classification { classes: 3 }).unwrap();
    let of = |features| feature_table(&predictions, features, false).unwrap().to_vec2::<f32>().unwrap();
    let classes = of(MetaFeatures::Classes);
    assert_eq!(classes, [[0., 1., 0., 1., 0., 0.], [1., 0., 0., 0., 0., 1.]], "the lowest class wins a tie");
    let odds = of(MetaFeatures::LogOdds);
    assert!((odds[0][0] - 0.25f32.ln()).abs() < 1e-6 && (odds[0][1] - 4f32.ln()).abs() < 1e-6);
    assert!((13.7..13.9).contains(&odds[0][3]) && (odds[0][2] + odds[0][3]).abs() < 0.1, "{odds:?}");
    assert_eq!(of(MetaFeatures::Probabilities)[1], [0.4, 0.2, 0.4, 0.3, 0.3, 0.4]);
}

#[test]
fn a_network_learns_what_is_not_linear_and_survives_serialization() {
    let (held_out, _) = classes(4, 3, 7);
    let combiner = Stack::new(
        NeuralNetwork::new(Mlp::new(&[10])).epochs(150).optimizer(crate::train::Optimizer::adam(1e-2)),
    );
    let fitted = fit(&combiner, &held_out);
    assert!(held_out.metrics(&fitted).unwrap().headline() > held_out.metrics(&Mean).unwrap().headline());
    let bytes = crate::codec::encode(&fitted).unwrap();
    let back: FittedStack<NeuralNetworkModel<Mlp>> = crate::codec::decode(&bytes).unwrap();
    assert_eq!(back, fitted);
    assert_eq!(predict(&back, &held_out), predict(&fitted, &held_out));
    assert_eq!(crate::codec::encode(&fit(&combiner, &held_out)).unwrap(), bytes, "one seed, one network");
    let other = Stack::new(NeuralNetwork::new(Mlp::new(&[10])).epochs(2).seed(5));
    assert_ne!(fit(&other, &held_out), fitted);
    for i in (0..bytes.len()).step_by(7) {
        let _ = crate::codec::decode::<FittedStack<NeuralNetworkModel<Mlp>>>(&bytes[..i]);
        let mut flipped = bytes.clone();
        flipped[i] ^= 0xff;
        if let Ok(odd) = crate::codec::decode::<FittedStack<NeuralNetworkModel<Mlp>>>(&flipped) {
            let _ = odd.combine(held_out.predictions());
        }
    }
    // The units do not matter, because the network gets standardised numbers.
    let (numbers, _) = values(3, 6);
    let large = (numbers.predictions().values() * 1e6).unwrap();
    let large = Predictions::new(large, numbers.predictions().task()).unwrap();
    let large = HeldOut::from_predictions(&large, &(numbers.targets() * 1e6).unwrap()).unwrap();
    let small = predict(&fit(&combiner, &numbers), &numbers).concat();
    let large = predict(&fit(&combiner, &large), &large).concat();
    // Rounding in f32 grows a little over 150 epochs.
    near(&[large.iter().map(|x| x / 1e6).collect::<Vec<_>>()], &[small], 1e-2);
    assert!(large.iter().any(|x| x.abs() > 1e6), "the targets are large");
}

/// A value whose serialized fields were changed.
fn damaged<T: Serialize + serde::de::DeserializeOwned>(
    value: &T,
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<T, serde_json::Error> {
    let mut json = serde_json::to_value(value).unwrap();
    change(&mut json);
    serde_json::from_value(json)
}

#[test]
fn damaged_stacks_are_found() {
    let (held_out, _) = classes(3, 3, 6);
    let linear = fit(&Stack::new(Linear), &held_out);
    linear.check().unwrap();
    let short = vec![0.5; 2];
    for (field, value) in [
        ("coefficients", vec![short.clone(); 3].into()),
        ("coefficients", vec![vec![0.5; 9]; 2].into()),
        ("intercepts", short.clone().into()),
    ] {
        let bad = damaged(&linear, |json| json["model"][field] = value).unwrap();
        assert!(bad.check().is_err(), "{field}");
    }
    for names in [vec![], vec!["one"; 2], vec!["one"; 4]] {
        let bad = damaged(&linear, |json| json["names"] = names.into()).unwrap();
        assert!(bad.check().is_err());
    }
    let logistic = fit(&Stack::new(Logistic::new()), &held_out);
    logistic.check().unwrap();
    for (field, value) in [
        ("classes", serde_json::Value::from(2)),
        ("present", vec![0, 1, 7].into()),
        ("present", vec![1, 0, 2].into()),
        ("present", vec![0].into()),
        ("coefficients", vec![short.clone(); 3].into()),
        ("intercepts", short.into()),
    ] {
        let bad = damaged(&logistic, |json| json["model"][field] = value).unwrap();
        assert!(bad.check().is_err(), "{field}");
    }
    let layers = fit(&MultiLayerStack::new((Mean, Median), Stack::new(Linear)), &held_out);
    layers.check().unwrap();
    let bad = damaged(&layers, |json| json["lower"] = Vec::<i32>::new().into()).unwrap();
    assert!(bad.check().is_err());
    let bad = damaged(&layers, |json| json["top"]["model"]["intercepts"] = Vec::<f64>::new().into()).unwrap();
    assert!(bad.check().is_err());
}

#[test]
fn damaged_networks_are_found() {
    let (held_out, _) = values(3, 6);
    let network = fit(&Stack::new(NeuralNetwork::new(Mlp::new(&[4])).epochs(2)), &held_out);
    network.check().unwrap();
    assert_eq!(damaged(&network, |_| ()).unwrap(), network);
    assert!(damaged(&network, |json| json["model"]["inputs"] = 4.into()).is_err(), "other shapes");
    assert!(
        damaged(&network, |json| json["model"]["scales"] = Vec::<i32>::new().into()).is_err(),
        "no scales"
    );
    let bad = damaged(&network, |json| json["names"] = vec!["one"; 4].into()).unwrap();
    assert!(bad.check().is_err(), "another number of slots");
    // Sizes of which the product overflows, in the header of the weights.
    let huge = "[18446744073709551615,18446744073709551615]";
    let header =
        format!(r#"{{"0.weight":{{"dtype":"F32","shape":{huge},"data_offsets":[0,18446744073709551615]}}}}"#);
    let weights = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    assert!(damaged(&network, |json| json["model"]["weights"] = weights.into()).is_err(), "overflow");
    // A layer that is far larger than its weights.
    let wide = vec![1usize << 60];
    let bad = damaged(&network, |json| json["model"]["architecture"]["hidden"] = wide.into());
    assert!(bad.is_err(), "a layer without weights");
}

#[test]
fn the_seed_of_the_held_out_predictions_reaches_the_stacks() {
    let (held_out, _) = values(3, 6);
    let other = held_out.clone().with_seed(9);
    let network = Stack::new(NeuralNetwork::new(Mlp::new(&[4])).epochs(1));
    assert_ne!(fit(&network, &held_out), fit(&network, &other));
    let seeded = Stack::new(NeuralNetwork::new(Mlp::new(&[4])).epochs(1).seed(5));
    assert_eq!(fit(&seeded, &held_out), fit(&seeded, &other));
    let layers = MultiLayerStack::new((Stack::new(Linear), Median), Stack::new(Linear));
    assert_ne!(fit(&layers, &held_out), fit(&layers, &other));
    assert_eq!(fit(&layers.seed(5), &held_out), fit(&layers.seed(5), &other));
}

/// An architecture of the user's own type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OneLayer;

impl Architecture for OneLayer {
    type Network = candle_nn::Linear;

    fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> CandleResult<candle_nn::Linear> {
        candle_nn::linear(inputs, outputs, vb)
    }
}

#[test]
fn any_architecture_works_and_gradients_flow_through_it() {
    let (held_out, _) = classes(2, 3, 7);
    let fitted = fit(&Stack::new(NeuralNetwork::new(OneLayer).epochs(3)), &held_out);
    let predicted = candle_core::Var::from_tensor(held_out.predictions().values()).unwrap();
    let predictions = Predictions::new(predicted.as_tensor().clone(), held_out.predictions().task()).unwrap();
    let out = fitted.combine(&predictions).unwrap().narrow(1, 0, 1).unwrap().sum_all().unwrap();
    let gradient = out.backward().unwrap().get(&predicted).unwrap().abs().unwrap().sum_all().unwrap();
    assert!(gradient.to_scalar::<f64>().unwrap() > 0.);
}

#[test]
fn the_chosen_penalty_has_the_least_error_over_the_folds() {
    let (held_out, _) = values(4, 9);
    let folds = held_out.folds(4, Seed::from(0).child("penalty")).unwrap();
    let error = |combiner: &dyn Fn(&HeldOut) -> FittedStack<AffineModel>| -> f64 {
        let by_fold = |fold: &crate::Rows| {
            let fitted = combiner(&held_out.select(&crate::combine::cross_fit::others(ROWS, fold)).unwrap());
            let rest = held_out.select(fold).unwrap();
            let answers: Vec<f64> = rest.targets().to_vec1().unwrap();
            predict(&fitted, &rest).concat().iter().zip(&answers).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
        };
        folds.iter().map(by_fold).sum()
    };
    let ridge = |alpha: f64| error(&|rows| fit(&Stack::new(Ridge::new(alpha)), rows));
    let grid: Vec<f64> = (-12..=12).map(|h| 10f64.powf(f64::from(h) / 2.)).collect();
    let best = grid.iter().copied().min_by(|a, b| ridge(*a).total_cmp(&ridge(*b))).unwrap();
    let fitted = fit(&Stack::new(Ridge::cross_validated(4)), &held_out);
    assert_eq!(fitted.model().penalty(), best);
    let net = fit(&Stack::new(ElasticNet::cross_validated(0.5, 4)), &held_out);
    let at = |factor: f64| {
        error(&|rows| fit(&Stack::new(ElasticNet::new(net.model().penalty() * factor, 0.5)), rows))
    };
    let most = RowSet::of_all_rows(&MetaDataset::new(
        feature_table(held_out.predictions(), MetaFeatures::Probabilities, false).unwrap(),
        &held_out,
    ));
    let most = most.unwrap().centred().largest_covariance() / 0.5;
    let steps: Vec<f64> = (0..20).map(|i| most * 10f64.powf(-3. * f64::from(i) / 19.)).collect();
    assert!(steps.contains(&net.model().penalty()));
    let least = steps.iter().map(|lambda| at(lambda / net.model().penalty())).fold(f64::INFINITY, f64::min);
    assert!(at(1.) <= least * (1. + 1e-6), "{} is not the best, {least}", net.model().penalty());
}

/// With fewer rows than meta-features: numbers of `tests/reference/stacking_wide.py`, from numpy's
/// pseudo-inverse, and from scikit-learn's `Ridge` and `ElasticNet`.
#[test]
fn stacks_on_fewer_rows_than_features_equal_those_of_scikit_learn() {
    let (held_out, weights) = classes(4, 20, 7);
    let weighted = held_out.clone().with_weights(&weights).unwrap();
    for (held_out, [linear, ridge, net]) in [(&held_out, WIDE), (&weighted, WIDE_WEIGHTED)] {
        let check = |model: &AffineModel, [coefficients, intercept]: [&[f64]; 2], tolerance: f64| {
            near(&[&model.coefficients()[3][..5]], &[coefficients], tolerance);
            near(&[[model.intercepts()[3]]], &[intercept], tolerance);
        };
        let fitted = fit(&Stack::new(Linear), held_out);
        assert!(fitted.fitted().unwrap().objective < 1e-15, "it interpolates");
        check(fitted.model(), linear, 1e-7);
        check(fit(&Stack::new(Ridge::new(3.)), held_out).model(), ridge, 1e-8);
        check(fit(&Stack::new(ElasticNet::new(0.002, 0.5)), held_out).model(), net, 1e-5);
    }
}

/// Both forms find the same coefficients and choose the same penalty: with as many rows as features less one,
/// and with two columns more.
#[test]
fn both_forms_of_least_squares_agree() {
    let (held_out, weights) = classes(4, 20, 11);
    let held_out = held_out.with_weights(&weights).unwrap();
    let table = feature_table(held_out.predictions(), MetaFeatures::Probabilities, false).unwrap();
    for width in [ROWS - 7, ROWS, ROWS + 20] {
        let dataset = MetaDataset::new(table.narrow(1, 0, width).unwrap(), &held_out);
        let all: crate::Rows = (0..ROWS as u32).collect();
        let (moments, rows) = RowSet::both_forms(&dataset, &[all]).unwrap();
        let (moments, rows) = (moments[0].centred(), rows[0].centred());
        let flat = |table: ndarray::Array2<f64>| vec![table.into_iter().collect::<Vec<f64>>()];
        for penalty in [1e-3, 1.] {
            let (a, b) = (moments.ridge(penalty).unwrap(), rows.ridge(penalty).unwrap());
            assert!((moments.error(&a) - rows.error(&b)).abs() < 1e-9);
            near(&[moments.intercepts(&a)], &[rows.intercepts(&b)], 1e-8);
            near(&flat(a), &flat(b), 1e-8);
        }
        near(&flat(moments.least_squares().unwrap()), &flat(rows.least_squares().unwrap()), 1e-5);
        let folds = dataset.folds(4, 3).unwrap();
        let (moments, rows) = RowSet::both_forms(&dataset, &folds).unwrap();
        let rest = |sets: &[RowSet]| RowSet::joined(sets[1..].iter()).unwrap().centred();
        let (by_moments, by_rows) = (rest(&moments), rest(&rows));
        let mut errors =
            (by_moments.ridge_errors(&moments[0]).unwrap(), by_rows.ridge_errors(&rows[0]).unwrap());
        for penalty in [1e-4, 1e-2, 10.] {
            let (a, b) = (errors.0(penalty).unwrap(), errors.1(penalty).unwrap());
            assert!((a - b).abs() < 1e-8 * a, "{a} {b}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Neither the order of the members nor the units of the values matter.
    #[test]
    fn least_squares_does_not_depend_on_order_and_units(seed in 0u64..1000, unit in 1e-6f64..1e6) {
        let (held_out, _) = values(4, seed);
        let plain = predict(&fit(&Stack::new(Linear), &held_out), &held_out);
        let turned = held_out.select_slots(&[2, 0, 3, 1]).unwrap();
        near(&predict(&fit(&Stack::new(Linear), &turned), &turned), &plain, 1e-8);
        let values = held_out.predictions().values();
        let first = (values.narrow(0, 0, 1).unwrap() * unit).unwrap();
        let scaled = Tensor::cat(&[first, values.narrow(0, 1, 3).unwrap()], 0).unwrap();
        let scaled = Predictions::new(scaled, held_out.predictions().task()).unwrap();
        let scaled = HeldOut::from_predictions(&scaled, held_out.targets()).unwrap();
        near(&predict(&fit(&Stack::new(Linear), &scaled), &scaled), &plain, 1e-8);
    }

    /// The objective is convex, so a gradient of zero means that the minimum is reached.
    #[test]
    fn logistic_regression_reaches_the_minimum(seed in 0u64..1000, classes_ in 2usize..5) {
        let (held_out, _) = classes(2, classes_, seed);
        let fitted = fit(&Stack::new(exact()), &held_out);
        prop_assert!(fitted.model().gradient() <= 1e-8, "{:?}", fitted.fitted());
    }
}
