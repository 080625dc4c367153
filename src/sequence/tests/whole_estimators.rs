//! Gradient boosting against whole estimators of scikit-learn: what its trees predict is injected as what members predict.
//! `tests/reference/boosting.py` has written the numbers.
use super::*;
use crate::sequence::gradient_boosting::{loss_of, BoostedSums};
use serde_json::Value;

fn cases(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("gradient_boosting.json")).unwrap();
    all[of].as_array().unwrap().clone()
}

fn number(of: &Value) -> f64 {
    of.as_f64().unwrap()
}

fn numbers(of: &Value) -> Vec<f64> {
    of.as_array().unwrap().iter().map(number).collect()
}

fn count(of: &Value) -> usize {
    of.as_u64().unwrap() as usize
}

/// The task, and how many numbers a member puts out.
fn task_of(case: &Value) -> (Task, usize) {
    match case["loss"].as_str().unwrap() {
        "squared" => (Task::Regression { outputs: 1 }, 1),
        "logistic" => (Task::Classification { classes: 2 }, 1),
        _ => (Task::Classification { classes: 3 }, 3),
    }
}

/// Rows with their weights scaled to the sum 1, as a session does.
fn rows(task: Task, targets: Vec<f64>, weights: &[f64]) -> SequenceRows {
    let sum: f64 = weights.iter().sum();
    let targets = match task {
        Task::Classification { .. } => {
            RowTargets::Classes(targets.iter().map(|class| *class as u32).collect())
        }
        Task::Regression { .. } => RowTargets::Values(targets),
    };
    SequenceRows { targets, weights: weights.iter().map(|weight| weight / sum).collect() }
}

fn train_rows(case: &Value) -> SequenceRows {
    rows(task_of(case).0, numbers(&case["targets"]), &numbers(&case["weights"]))
}

fn rule_of(case: &Value) -> GradientBoostingRule {
    GradientBoostingRule { shrinkage: number(&case["shrinkage"]), ..GradientBoostingRule::default() }
}

/// The mean loss of these training rows, by their weights.
fn loss_of_rows(data: &SequenceData, raw: &[f64], kept: &[usize]) -> f64 {
    let width = data.member_task.width();
    let weights: Vec<f64> = kept.iter().map(|row| data.train.weights[*row]).collect();
    let targets = match &data.train.targets {
        RowTargets::Classes(classes) => kept.iter().map(|row| f64::from(classes[*row])).collect(),
        RowTargets::Values(values) => kept.iter().map(|row| values[*row]).collect(),
    };
    let raw: Vec<f64> = kept.iter().flat_map(|row| raw[row * width..][..width].to_vec()).collect();
    loss_of(&SequenceData { train: rows(data.task, targets, &weights), ..data.clone() }, &raw)
}

#[test]
fn each_step_of_gradient_boosting_is_that_of_an_estimator_of_scikit_learn() {
    let cases = cases("steps");
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let (task, width) = task_of(case);
        let rule = GradientBoostingRule { subsample: number(&case["subsample"]), ..rule_of(case) };
        let none = rows(task, vec![], &[]);
        let member_task = rule.member_task(task, width).unwrap();
        let data = SequenceData { task, member_task, train: train_rows(case), valid: none };
        let Join::Sum { start } = rule.join(&data) else { panic!("the members are added up") };
        near(&start, &numbers(&case["start"]), "start");

        let rounds = case["rounds"].as_array().unwrap();
        let mut sums = rule.start(&data).unwrap();
        let (mut members, mut weights) = (vec![], vec![]);
        for (m, of_round) in rounds.iter().enumerate() {
            let what = |part: &str| format!("{} of round {m} of {}", part, case["loss"]);
            let round = Round { number: m, of: rounds.len(), seed: Seed::from(m as u64) };
            let round_data = rule.round_data(&data, &sums, round).unwrap();
            near(&round_data.targets.unwrap().train, &numbers(&of_round["targets"]), &what("targets"));
            assert!(round_data.weights.is_none(), "the weights are those of the data");

            let outputs = numbers(&of_round["outputs"]);
            let predicted = Predicted { train: outputs.clone(), valid: vec![], width };
            weights.push(rule.update(&data, &mut sums, round, &predicted).unwrap().weight);
            members.push(outputs);
            near(sums.train(), &numbers(&of_round["raw"]), &what("raw predictions"));
            let joined = rule.join(&data).combine(&weights, &members, data.train.len(), task);
            near(&joined, &numbers(&of_round["predicted"]), &what("predictions"));

            // The rows come from another generator. Of theirs, the number is the same, and the losses of them and of the others.
            let in_bag: Vec<usize> = of_round["rows"].as_array().unwrap().iter().map(count).collect();
            let own = round_data.rows.map_or(data.train.len(), |rows| rows.len());
            assert_eq!(own, in_bag.len(), "{}", what("rows"));
            let out_of_bag: Vec<usize> = (0..data.train.len()).filter(|row| !in_bag.contains(row)).collect();
            for (rows, expected) in [(in_bag, &of_round["loss"]), (out_of_bag, &of_round["out_of_bag_loss"])]
            {
                match expected.is_null() {
                    true => assert!(rows.is_empty()),
                    false => {
                        let loss = loss_of_rows(&data, sums.train(), &rows);
                        near(&[loss], &[number(expected)], &what("loss"));
                    }
                }
            }
        }
    }
}

/// Where scikit-learn ends: with the first loss that is not below the worst of the last `n_iter_no_change` ones. It keeps that
/// member, too.
fn trained_by_scikit_learn(losses: &[f64], n_iter_no_change: usize, tol: f64) -> usize {
    let mut last = vec![f64::INFINITY; n_iter_no_change];
    for (m, loss) in losses.iter().enumerate() {
        match last.iter().any(|before| loss + tol < *before) {
            true => last[m % n_iter_no_change] = *loss,
            false => return m + 1,
        }
    }
    losses.len()
}

/// The losses of the validation rows are those of scikit-learn, and would end the sequence where it does. Here a sequence ends
/// after `patience` members without a loss below the least one, and keeps the members up to that one.
#[test]
fn a_sequence_with_the_validation_losses_of_scikit_learn_keeps_the_members_up_to_the_least_one() {
    let cases = cases("early_stopping");
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let (task, width) = task_of(case);
        let (patience, tolerance) = (count(&case["patience"]), number(&case["tolerance"]));
        let rule = GradientBoostingRule { patience: Some(patience), tolerance, ..rule_of(case) };
        let valid = rows(task, numbers(&case["valid_targets"]), &numbers(&case["valid_weights"]));
        let member_task = rule.member_task(task, width).unwrap();
        let data = SequenceData { task, member_task, train: train_rows(case), valid };
        let watched = SequenceData { train: data.valid.clone(), ..data.clone() };
        let mut sums: BoostedSums = rule.start(&data).unwrap();
        let (mut losses, mut end) = (vec![], None);
        for (number, outputs) in case["outputs"].as_array().unwrap().iter().enumerate() {
            let round = Round { number, of: count(&case["planned"]), seed: Seed::from(0) };
            let train = vec![0.; data.train.len() * width];
            let predicted = Predicted { train, valid: numbers(outputs), width };
            let kept = rule.update(&data, &mut sums, round, &predicted).unwrap().kept;
            end = end.or(kept.map(|kept| (number + 1, kept)));
            losses.push(loss_of(&watched, sums.valid()));
        }
        near(&losses, &numbers(&case["losses"]), "validation losses");
        assert_eq!(end, Some((count(&case["trained"]), count(&case["kept"]))), "{}", case["loss"]);
        let theirs = trained_by_scikit_learn(&losses, patience, tolerance);
        assert_eq!(theirs, count(&case["trained_by_scikit_learn"]), "{}", case["loss"]);
    }
}
