//! Gradient boosting by a session, against whole estimators of scikit-learn: each network is trained to predict what a tree does.
//! `tests/reference/boosting.py` has written the numbers. `src/sequence/tests` compares every step of the rule itself.
use crate::common::{flat, CPU};
use candle_core::{bail, DType, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::{Inputs, TensorDataset},
    exec::Sequential,
    strategy::GradientBoosting,
    train::CustomLoop,
    Network, Result, Session,
};
use candle_nn::{Init, VarBuilder};
use serde_json::Value;
use std::sync::Mutex;

/// An output for each row of the data, whose input is its number.
struct Table(Tensor);

impl Network for Table {
    fn run(&self, inputs: &Inputs, _train: bool) -> CandleResult<Tensor> {
        self.0.index_select(&inputs.only()?.squeeze(1)?.to_dtype(DType::U32)?, 0)
    }
}

fn numbers(of: &Value) -> Vec<f64> {
    of.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (row, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance, "{what}, {row}: {got}, not {expected}");
    }
}

/// The targets of classes, the weights of rows and probabilities are in f32.
const ROUNDED: f64 = 1e-6;

#[test]
fn a_boosted_pool_learns_and_predicts_what_an_estimator_of_scikit_learn_does() -> Result<()> {
    let all: Value =
        serde_json::from_str(include_str!("../../src/sequence/tests/gradient_boosting.json")).unwrap();
    for case in all["steps"].as_array().unwrap() {
        let name = case["loss"].as_str().unwrap();
        let (targets, weights) = (numbers(&case["targets"]), numbers(&case["weights"]));
        let (rows, width) = (targets.len(), numbers(&case["start"]).len());
        let x = Tensor::arange(0., rows as f64, &CPU)?.reshape((rows, 1))?;
        let (data, tolerance) = match name {
            "squared" => (TensorDataset::regression(x.clone(), &Tensor::new(targets, &CPU)?)?, 1e-10),
            _ => {
                let classes = Tensor::from_iter(targets.iter().map(|class| *class as u32), &CPU)?;
                (TensorDataset::classification(x.clone(), &classes)?, ROUNDED)
            }
        };
        let data = data.with_training_weights(weights.iter().map(|weight| *weight as f32).collect())?;
        let rounds = case["rounds"].as_array().unwrap();

        // What each member is given: its targets, and how many rows.
        let given: Mutex<Vec<(Vec<f64>, usize)>> = Mutex::default();
        let new = move |vb: VarBuilder<'_>| {
            Ok(Table(vb.get_with_hints((rows, width), "table", Init::Const(0.))?))
        };
        let learner = CustomLoop::new(format!("the trees of {name}"), new, |_, run| {
            let Some(sequence) = &run.spec().sequence else { bail!("not in a sequence") };
            let round = run.spec().id - sequence.first;
            // All rows at once; where only some are trained on, their targets are among those of all.
            let mut of_rows = vec![f64::NAN; rows * width];
            let mut count = 0;
            for batch in run.batches_in_order(rows) {
                let batch = batch?;
                let (of_batch, targets) = (flat(batch.inputs.only()?), flat(&batch.targets));
                let of_weights = flat(batch.weights.as_ref().unwrap());
                for (i, row) in of_batch.iter().map(|row| *row as usize).enumerate() {
                    of_rows[row * width..][..width].copy_from_slice(&targets[i * width..][..width]);
                    assert_eq!(of_weights[i], weights[row]);
                }
                count += of_batch.len();
            }
            given.lock().unwrap().push((of_rows, count));
            let outputs = Tensor::new(numbers(&rounds[round]["outputs"]), &CPU)?.reshape((rows, width))?;
            run.vars().all_vars()[0].set(&outputs)
        });
        let learner = learner.dtype(DType::F64);
        let subsample = case["subsample"].as_f64().unwrap();
        let boosting = GradientBoosting::new(rounds.len()).shrinkage(case["shrinkage"].as_f64().unwrap());
        let session = Session::new(&learner, &data).executor(&Sequential);
        let pool = session.fit(&boosting.subsample(subsample), 3)?;

        for (round, (of_round, (targets, count))) in
            rounds.iter().zip(given.lock().unwrap().iter()).enumerate()
        {
            let expected = numbers(&of_round["targets"]);
            let trained_on: Vec<(f64, f64)> =
                targets.iter().copied().zip(expected).filter(|(target, _)| !target.is_nan()).collect();
            assert_eq!(
                (*count, trained_on.len()),
                (of_round["rows"].as_array().unwrap().len(), count * width)
            );
            let (targets, expected): (Vec<f64>, Vec<f64>) = trained_on.into_iter().unzip();
            close(&targets, &expected, tolerance, &format!("targets of round {round} of {name}"));

            // The first members alone predict what the estimator does at this stage.
            let members = pool.members()[..=round].to_vec();
            let first = pool.with_members(members)?.combine(&Mean)?;
            let predicted = match name {
                "squared" => first.predict(&x)?,
                _ => first.predict_proba(&x)?,
            };
            let expected = numbers(&of_round["predicted"]);
            close(
                &flat(&predicted),
                &expected,
                tolerance,
                &format!("predictions of round {round} of {name}"),
            );
        }
    }
    Ok(())
}
