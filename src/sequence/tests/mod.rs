//! Rules on predictions that are given, against scikit-learn on the same predictions.
mod numbers;
mod whole_estimators;

use super::*;
use crate::{data::Task, Seed};
use numbers::*;

const ROWS: usize = 12;
const ROUNDS: usize = 4;

/// The predicted class of `tests/reference/boosting.py`.
fn guess(k: usize, i: usize, m: usize) -> usize {
    let y = class(k, i);
    match (i * 7 + m * 5).is_multiple_of(4) && !(1 + m).is_multiple_of(k) {
        true => (y + 1 + m) % k,
        false => y,
    }
}

fn class(k: usize, i: usize) -> usize {
    (i * i + i / 3) % k
}

/// The predicted probabilities of `tests/reference/boosting.py`.
fn probabilities(k: usize, i: usize, m: usize) -> Vec<f64> {
    let mut raw: Vec<f64> = (0..k).map(|c| 1. + ((i * 5 + m * 3 + c * 7) % 11) as f64 / 4.).collect();
    let y = class(k, i);
    raw[if (i * 7 + m * 5).is_multiple_of(4) { (y + 1) % k } else { y }] += 4.;
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|p| p / sum).collect()
}

fn one_hot(k: usize, class: usize) -> Vec<f64> {
    (0..k).map(|c| f64::from(u8::from(c == class))).collect()
}

fn value(i: usize) -> f64 {
    (i as f64).sin() * 3. + i as f64 / 4.
}

/// The predicted value of `tests/reference/boosting.py`.
fn estimate(i: usize, m: usize) -> f64 {
    let size = if (i + m).is_multiple_of(5) { 2.5 } else { 1. };
    value(i) + (((i * 5 + m * 7) % 9) as f64 - 4.) * (0.3 + 0.1 * m as f64) * size
}

fn weights() -> Vec<f64> {
    let raw: Vec<f64> = (0..ROWS).map(|i| 1. + (i % 3) as f64 / 2.).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|w| w / sum).collect()
}

fn data(task: Task, member_task: Task) -> SequenceData {
    let targets = match task {
        Task::Classification { classes } => {
            RowTargets::Classes((0..ROWS).map(|i| class(classes, i) as u32).collect())
        }
        Task::Regression { .. } => RowTargets::Values((0..ROWS).map(value).collect()),
    };
    let none = SequenceRows { targets: RowTargets::Values(vec![]), weights: vec![] };
    SequenceData { task, member_task, train: SequenceRows { targets, weights: weights() }, valid: none }
}

fn near(got: &[f64], expected: &[f64], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!(
            (got - expected).abs() <= 1e-10 * expected.abs().max(1.),
            "{what}, {i}: {got}, not {expected}"
        );
    }
}

/// What a sequence does with these predictions of its members, round by round.
struct Course {
    rounds: Vec<RoundData>,
    weights: Vec<f64>,
    kept: Option<usize>,
    predicted: Vec<f64>,
}

fn run(rule: impl SequenceRule, data: SequenceData, member: impl Fn(usize, usize) -> Vec<f64>) -> Course {
    let (task, width) = (data.task, data.member_task.width());
    let mut course = Rule::new(rule).get().unwrap().clone().start(data).unwrap();
    let (mut rounds, mut weights, mut members, mut kept) = (vec![], vec![], vec![], None);
    for number in 0..ROUNDS {
        let round = Round { number, of: ROUNDS, seed: Seed::from(number as u64) };
        rounds.push(course.round_data(round).unwrap());
        let train: Vec<f64> = (0..ROWS).flat_map(|i| member(i, number)).collect();
        let outcome =
            course.update(round, &Predicted { train: train.clone(), valid: vec![], width }).unwrap();
        weights.push(outcome.weight);
        members.push(train);
        kept = outcome.kept;
        if kept.is_some() {
            break;
        }
    }
    let count = kept.unwrap_or(members.len());
    weights.truncate(count);
    let predicted = course.join().combine(&weights, &members[..count], ROWS, task);
    Course { rounds, weights, kept, predicted }
}

fn row_weights(course: &Course) -> Vec<f64> {
    course.rounds.iter().flat_map(|round_data| round_data.weights.clone().unwrap()).collect()
}

fn adaboost() -> AdaBoostRule {
    AdaBoostRule { learning_rate: 0.7, ..AdaBoostRule::default() }
}

fn of_classes(classes: usize) -> SequenceData {
    let task = Task::Classification { classes };
    data(task, task)
}

#[test]
fn samme_is_that_of_scikit_learn_step_by_step() {
    let expected = [
        (2, &SAMME_ROWS_2[..], &SAMME_MEMBERS_2[..], &SAMME_PROBABILITIES_2[..]),
        (3, &SAMME_ROWS_3[..], &SAMME_MEMBERS_3[..], &SAMME_PROBABILITIES_3[..]),
    ];
    for (k, rows, members, predicted) in expected {
        let course = run(adaboost(), of_classes(k), |i, m| one_hot(k, guess(k, i, m)));
        // Both end with a member that makes no error, whose weight is 1.
        assert_eq!((course.kept, course.weights.last()), (Some(k), Some(&1.)), "{k} classes");
        near(&row_weights(&course), rows, "weights of rows");
        near(&course.weights, &members[..k], "weights of members");
        near(&course.predicted, predicted, "probabilities");
    }
}

#[test]
fn samme_r_is_that_of_scikit_learn_step_by_step() {
    let expected = [
        (2, &SAMME_R_ROWS_2[..], &SAMME_R_PROBABILITIES_2[..]),
        (3, &SAMME_R_ROWS_3[..], &SAMME_R_PROBABILITIES_3[..]),
    ];
    for (k, rows, predicted) in expected {
        let rule = AdaBoostRule { algorithm: AdaBoostAlgorithm::SammeR, ..adaboost() };
        let course = run(rule, of_classes(k), |i, m| probabilities(k, i, m));
        near(&row_weights(&course), rows, "weights of rows");
        assert_eq!((course.kept, &*course.weights), (None, &[1.; ROUNDS][..]));
        near(&course.predicted, predicted, "probabilities");
    }
}

#[test]
fn r2_is_that_of_scikit_learn_step_by_step() {
    let expected = [
        (ErrorLoss::Linear, &R2_ROWS_LINEAR, &R2_MEMBERS_LINEAR, &R2_PREDICTED_LINEAR),
        (ErrorLoss::Square, &R2_ROWS_SQUARE, &R2_MEMBERS_SQUARE, &R2_PREDICTED_SQUARE),
        (ErrorLoss::Exponential, &R2_ROWS_EXPONENTIAL, &R2_MEMBERS_EXPONENTIAL, &R2_PREDICTED_EXPONENTIAL),
    ];
    for (loss, rows, members, predicted) in expected {
        let task = Task::Regression { outputs: 1 };
        let course = run(AdaBoostRule { loss, ..adaboost() }, data(task, task), |i, m| vec![estimate(i, m)]);
        near(&row_weights(&course), rows, "weights of rows");
        near(&course.weights, members, "weights of members");
        near(&course.predicted, predicted, "predictions");
        assert_eq!(course.kept, None);
    }
}

#[test]
fn members_that_are_no_better_than_chance_are_left_out() {
    // The first member is wrong for a few rows, the second for all.
    let course = run(adaboost(), of_classes(3), |i, m| {
        one_hot(3, if m == 1 { (class(3, i) + 1) % 3 } else { guess(3, i, m) })
    });
    assert_eq!((course.kept, course.weights.len(), course.rounds.len()), (Some(1), 1, 2));
    let task = Task::Regression { outputs: 1 };
    let course =
        run(adaboost(), data(task, task), |i, m| vec![value(i) + if m == 1 { 5. } else { (i % 3) as f64 }]);
    assert_eq!((course.kept, course.weights.len()), (Some(1), 1));

    let rule = Rule::new(adaboost());
    let mut course = rule.get().unwrap().clone().start(of_classes(3)).unwrap();
    let round = Round { number: 0, of: 2, seed: Seed::from(0) };
    let wrong = (0..ROWS).flat_map(|i| one_hot(3, (class(3, i) + 1) % 3)).collect();
    let e =
        course.update(round, &Predicted { train: wrong, valid: vec![], width: 3 }).unwrap_err().to_string();
    assert!(e.contains("the weighted error of the first member of AdaBoost must be below 0.66"), "{e}");
}

#[test]
fn rows_are_drawn_by_their_weights() {
    let rule = AdaBoostRule { resample: true, ..adaboost() };
    let rows = 4000;
    let weights: Vec<f64> = (0..rows).map(|i| [0., 1., 3.][i % 3]).collect();
    let sum: f64 = weights.iter().sum();
    let targets = RowTargets::Classes(vec![0; rows]);
    let train = SequenceRows { targets, weights: weights.iter().map(|w| w / sum).collect() };
    let data = SequenceData { train, ..of_classes(2) };
    let course = Rule::new(rule).get().unwrap().clone().start(data).unwrap();
    let drawn = |seed: u64| {
        let round_data = course.round_data(Round { number: 0, of: 2, seed: Seed::from(seed) }).unwrap();
        round_data.rows.unwrap()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let mut counts = [0; 3];
    drawn(1).iter().for_each(|row| counts[row % 3] += 1);
    assert_eq!((counts[0], counts.iter().sum::<usize>()), (0, rows));
    // 3000 of 4000 in the mean, with a standard deviation of 27.
    assert!((2850..3150).contains(&counts[2]), "{counts:?}");
}

#[test]
fn rules_are_read_back_from_their_texts() {
    let rules = [
        AdaBoostRule::default(),
        AdaBoostRule {
            learning_rate: 0.1 + 0.2,
            algorithm: AdaBoostAlgorithm::SammeR,
            loss: ErrorLoss::Exponential,
            resample: true,
        },
    ];
    for rule in rules {
        assert_eq!(AdaBoostRule::from_text(&rule.text()), Some(rule));
        let sequence = Sequence { number: 1, first: 10, rounds: 10, rule: Rule::new(rule) };
        let back = Sequence::from_text(&sequence.to_text()).unwrap();
        assert!(back == sequence && back.rule.get().is_ok());
    }
    let own = Sequence::from_text("0 0 3 my rule, version 1").unwrap();
    assert_eq!(own.rule.text(), "my rule, version 1");
    assert!(own.rule.get().unwrap_err().to_string().contains("make the plan with its strategy instead"));
    assert!(Sequence::from_text("0 0 adaboost").is_err());
}

#[test]
fn round_data_and_outcomes_that_make_no_sense_are_refused() {
    #[derive(Debug)]
    struct Given(RoundData, Outcome);
    impl SequenceRule for Given {
        type State = ();
        fn text(&self) -> String {
            "given".into()
        }
        fn join(&self, _: &SequenceData) -> Join {
            Join::Mean
        }
        fn start(&self, _: &SequenceData) -> Result<()> {
            Ok(())
        }
        fn round_data(&self, _: &SequenceData, (): &(), _: Round) -> Result<RoundData> {
            Ok(self.0.clone())
        }
        fn update(&self, _: &SequenceData, (): &mut (), _: Round, _: &Predicted) -> Result<Outcome> {
            Ok(self.1)
        }
    }
    let error = |round_data: RoundData, outcome: Outcome| {
        let mut course =
            Rule::new(Given(round_data, outcome)).get().unwrap().clone().start(of_classes(2)).unwrap();
        let round = Round { number: 1, of: 3, seed: Seed::from(0) };
        let predicted = Predicted { train: vec![0.; 2 * ROWS], valid: vec![], width: 2 };
        let outcome = course.round_data(round).and_then(|_| course.update(round, &predicted));
        outcome.map_err(|e| e.to_string())
    };
    let fine = Outcome::proceed(1.);
    assert!(error(RoundData::default(), fine).is_ok());
    for (round_data, words) in [
        (RoundData::weights(vec![1.; 3]), "the number of weights of a round must be 12, but is 3"),
        (RoundData::weights(vec![-1.; ROWS]), "the weight of training row 0 must be finite, 0 or more"),
        (RoundData::weights(vec![0.; ROWS]), "above 0 for at least one row"),
        (RoundData::rows(vec![]), "the rows of a round must be at least one"),
        (RoundData::rows(vec![ROWS]), "a row of a round must be below 12"),
        (
            RoundData {
                targets: Some(NewTargets { train: vec![0.], valid: vec![] }),
                ..RoundData::default()
            },
            "the number of targets of a round must be 24, but is 1",
        ),
    ] {
        let e = error(round_data, fine).unwrap_err();
        assert!(e.contains(words), "{e}");
    }
    assert!(error(RoundData::default(), Outcome::proceed(f64::NAN)).unwrap_err().contains("finite"));
    assert!(error(RoundData::default(), Outcome::stop(1., 3)).unwrap_err().contains("from 1 to 2"));
}

/// The output of `tests/reference/boosting.py`.
fn output(i: usize, m: usize, c: usize) -> f64 {
    (i as f64 + 2. * m as f64 + 3. * c as f64).cos()
}

#[test]
fn gradient_boosting_has_the_gradients_and_losses_of_scikit_learn_step_by_step() {
    let classes = |classes| Task::Classification { classes };
    let expected = [
        (
            Task::Regression { outputs: 1 },
            1,
            [&SQUARED_START[..], &SQUARED_RESIDUALS, &SQUARED_LOSSES, &SQUARED_PREDICTED],
        ),
        (classes(2), 1, [&LOGISTIC_START[..], &LOGISTIC_RESIDUALS, &LOGISTIC_LOSSES, &LOGISTIC_PREDICTED]),
        (
            classes(3),
            3,
            [&MULTINOMIAL_START[..], &MULTINOMIAL_RESIDUALS, &MULTINOMIAL_LOSSES, &MULTINOMIAL_PREDICTED],
        ),
    ];
    for (task, outputs, [start, residuals, losses, predicted]) in expected {
        let rule = GradientBoostingRule { shrinkage: 0.3, ..GradientBoostingRule::default() };
        let member_task = rule.member_task(task, outputs).unwrap();
        let data = data(task, member_task);
        let join = rule.join(&data);
        let Join::Sum { start: own } = &join else { panic!("{join:?}") };
        near(own, start, "start");
        let member = |i: usize, m: usize| (0..outputs).map(|c| output(i, m, c)).collect::<Vec<_>>();
        let mut raw = own.repeat(ROWS);
        for (m, loss) in losses.iter().enumerate() {
            let of_member = (0..ROWS).flat_map(|i| member(i, m));
            raw.iter_mut().zip(of_member).for_each(|(sum, output)| *sum += 0.3 * output);
            near(&[gradient_boosting::loss_of(&data, &raw)], &[*loss], "loss");
        }
        let course = run(rule, data, member);
        let own: Vec<f64> =
            course.rounds.iter().flat_map(|round_data| round_data.targets.clone().unwrap().train).collect();
        near(&own, residuals, "residuals");
        near(&course.weights, &[0.3; ROUNDS], "weights of members");
        near(&course.predicted, predicted, "predictions");
    }
}

#[test]
fn gradient_boosting_ends_when_the_validation_loss_does_and_leaves_the_last_members_out() {
    let task = Task::Regression { outputs: 1 };
    let no_valid = data(task, task);
    let mut data = no_valid.clone();
    data.valid = SequenceRows { targets: RowTargets::Values(vec![1., 3.]), weights: vec![0.5, 0.5] };
    data.train.targets = RowTargets::Values(vec![2.; ROWS]);
    // The sums of the validation rows begin at 2, and each member adds one of these.
    let ends = |added: &[f64], patience: usize| {
        let rule = GradientBoostingRule { patience: Some(patience), ..GradientBoostingRule::default() };
        let mut course = Rule::new(rule).get().unwrap().clone().start(data.clone()).unwrap();
        for (number, added) in added.iter().enumerate() {
            let round = Round { number, of: 6, seed: Seed::from(0) };
            let predicted = Predicted { train: vec![0.; ROWS], valid: vec![-added, *added], width: 1 };
            let outcome = course.update(round, &predicted).unwrap();
            if let Some(kept) = outcome.kept {
                return (number + 1, Some(kept));
            }
        }
        (added.len(), None)
    };
    // The losses are those of a distance of 1 less the sum of what is added.
    assert_eq!(ends(&[0.5, 0.4, -0.1, -0.1, 0.2], 2), (4, Some(2)));
    assert_eq!(ends(&[0.5, 0.4, -0.1, 0.15, 0.01], 2), (5, None));
    assert_eq!(ends(&[0.5, 0.1, 0.1, 0.1, 0.1, -0.1], 3), (6, Some(5)));
    assert_eq!(ends(&[0.5, 0.1, 0.1, 0.1, 0.1, 0.1], 3), (6, None));
    assert_eq!(ends(&[-0.5, -0.1], 1), (2, Some(1)));

    let rule = GradientBoostingRule { patience: Some(1), ..GradientBoostingRule::default() };
    let e = Rule::new(rule).get().unwrap().clone().start(no_valid).err().unwrap();
    assert!(e.to_string().contains("the number of validation rows must be at least one"), "{e}");
}

#[test]
fn gradient_boosting_draws_rows_without_replacement() {
    let task = Task::Regression { outputs: 1 };
    let rule = GradientBoostingRule { subsample: 0.5, ..GradientBoostingRule::default() };
    let course = Rule::new(rule).get().unwrap().clone().start(data(task, task)).unwrap();
    let drawn = |seed: u64| {
        course.round_data(Round { number: 0, of: 2, seed: Seed::from(seed) }).unwrap().rows.unwrap()
    };
    let rows = drawn(1);
    assert_eq!((rows.len(), &rows), (6, &drawn(1)));
    assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{rows:?}");
    assert!((2..9).any(|seed| drawn(seed) != rows));
}

#[test]
fn gradient_boosting_refuses_networks_with_other_outputs_and_parameters_out_of_range() {
    let rule = GradientBoostingRule::default();
    let member_task = |task, outputs| rule.member_task(task, outputs).map_err(|e| e.to_string());
    let classes = |classes| Task::Classification { classes };
    assert_eq!(member_task(classes(2), 2), Ok(Task::Regression { outputs: 2 }));
    assert!(member_task(classes(2), 3).unwrap_err().contains("must be 1 or 2, for two classes, but is 3"));
    assert!(member_task(classes(3), 1)
        .unwrap_err()
        .contains("must be 3, as for classification with 3 classes"));
    assert!(member_task(Task::Regression { outputs: 2 }, 1).is_err());
    for rule in [
        GradientBoostingRule { shrinkage: 0., ..rule },
        GradientBoostingRule { subsample: 0., ..rule },
        GradientBoostingRule { subsample: 1.5, ..rule },
        GradientBoostingRule { patience: Some(0), ..rule },
        GradientBoostingRule { tolerance: -1., ..rule },
    ] {
        assert!(SequenceRule::check(&rule, classes(2)).is_err(), "{rule:?}");
        assert_eq!(GradientBoostingRule::from_text(&rule.text()), Some(rule));
    }
}
