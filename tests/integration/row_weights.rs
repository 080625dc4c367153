//! Weights of rows for training, for validation and for scoring: each counts where it belongs, and nowhere else.
use crate::common::{bits, flat, line, listed, normal, weights, CPU};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::{InverseError, Mean},
    data::{Batch, Dataset, Fingerprint, Purpose, Task, TensorDataset},
    merge::Model,
    nn::{seq, Sequential as Net},
    strategy::{KFold, MultiRun},
    train::{EarlyStopping, Optimizer, Trainer},
    Member, Pool, Result, Session,
};
use candle_nn::{linear, VarBuilder};

const ROWS: usize = 40;

/// Targets 0, 1, 0, 1, … that nothing predicts.
fn data() -> TensorDataset {
    let x = Tensor::zeros((ROWS, 1), DType::F32, &CPU).unwrap();
    let y: Vec<f32> = (0..ROWS).map(|row| (row % 2) as f32).collect();
    TensorDataset::regression(&x, &Tensor::new(y, &CPU).unwrap()).unwrap()
}

/// Weights of rows with target 0 and target 1.
fn of(zero: f32, one: f32) -> Vec<f32> {
    (0..ROWS).map(|row| if row % 2 == 0 { zero } else { one }).collect()
}

/// A network of a bias, which ends at the mean of the targets by their weights.
fn bias() -> Trainer<Net> {
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let bias = vb.get_with_hints(1, "bias", candle_nn::Init::Const(0.))?;
        Ok(seq().add_fn(move |x: &Tensor| x.broadcast_add(&bias)))
    });
    trainer.epochs(60).batch_size(ROWS).optimizer(Optimizer::sgd(0.5))
}

fn b(member: &Member) -> f64 {
    flat(&member.weights["bias"])[0]
}

/// The share of ones by weights, among these rows.
fn share(rows: &[u32], zero: f64, one: f64) -> f64 {
    let ones = rows.iter().filter(|row| **row % 2 == 1).count() as f64;
    one * ones / (one * ones + zero * (rows.len() as f64 - ones))
}

/// The mean of `(b − y)²` by weights.
fn error(rows: &[u32], b: f64, zero: f64, one: f64) -> f64 {
    let ones = share(rows, zero, one);
    ones * (1. - b).powi(2) + (1. - ones) * b * b
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-5, "{a} is not {b}");
}

#[test]
fn each_kind_of_weights_counts_where_it_belongs() -> Result<()> {
    let data = data()
        .with_training_weights(of(1., 3.))?
        .with_validation_weights(of(5., 1.))?
        .with_scoring_weights(of(1., 9.))?;
    let trainer = bias();
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(2).validation(0.3), 3)?.reserve(0.25, &data, 3)?;
    let pool = session.train(&plan)?;
    let (run, member) = (&plan.runs[0], &pool.members()[0]);
    let (b, train, valid) = (b(member), listed(&run.train), listed(&run.valid));
    close(b, share(&train, 1., 3.));
    let last = member.record.curve.last().unwrap();
    close(last.train_loss, error(&train, b, 1., 3.));
    close(last.train_metric, error(&train, b, 1., 3.).sqrt());
    close(last.valid_loss.unwrap(), error(&valid, b, 5., 1.));
    close(last.valid_metric.unwrap(), error(&valid, b, 5., 1.).sqrt());

    // Everything that is scored.
    let held_out = pool.held_out()?;
    assert_eq!(held_out.rows(), pool.reserved());
    let scoring = of(1., 9.);
    let of_rows: Vec<f64> = held_out.rows().iter().map(|row| f64::from(scoring[*row as usize])).collect();
    assert_eq!(flat(held_out.weights().unwrap()), of_rows);
    let mean = pool.members().iter().map(self::b).sum::<f64>() / 2.;
    let rmse = |rows: &[u32], b: f64| error(rows, b, 1., 9.).sqrt();
    close(held_out.metrics(&Mean)?.headline(), rmse(pool.reserved(), mean));
    let all: Vec<u32> = (0..ROWS as u32).collect();
    close(pool.combine(&Mean)?.on(&data).evaluate()?.headline(), rmse(&all, mean));
    let loss = Model::new(&trainer)?.loss(&member.weights, &data, pool.reserved())?;
    close(loss, error(pool.reserved(), b, 1., 9.));
    Ok(())
}

/// What each kind of weights does not reach stays the same, to the bit.
#[test]
fn no_kind_of_weights_counts_elsewhere() -> Result<()> {
    let plain = line(3, 60, 0.5);
    let ones: Vec<f32> = (0..60).map(|row| 0.2 + (row * 7 % 5) as f32).collect();
    let trainer = Trainer::new(|vb: VarBuilder<'_>| linear(2, 1, vb)).epochs(5);
    type Parts = (Vec<Vec<(String, Vec<u64>)>>, Vec<Vec<Option<f64>>>, Vec<u64>);
    let parts = |data: &TensorDataset| -> Result<Parts> {
        let session = Session::new(&trainer, data);
        let pool = session.fit(&KFold::new(3).repeats(2).validation(0.25), 5)?;
        let trained = pool.members().iter().map(weights).collect();
        let valid = |m: &Member| m.record.curve.iter().map(|epoch| epoch.valid_loss).collect();
        let fitted = scores(&pool)?;
        Ok((trained, pool.members().iter().map(valid).collect(), fitted))
    };
    fn scores(pool: &Pool<'_, Trainer<candle_nn::Linear>>) -> Result<Vec<u64>> {
        let held_out = pool.held_out()?;
        let score = held_out.metrics(&Mean)?.headline();
        let combined = pool.combine(&InverseError::new())?.predict(normal(9, 5, 2))?;
        Ok([bits(&combined), vec![score.to_bits()]].concat())
    }
    let base = parts(&plain)?;
    let training = parts(&plain.clone().with_training_weights(ones.clone())?)?;
    let validation = parts(&plain.clone().with_validation_weights(ones.clone())?)?;
    let scoring = parts(&plain.clone().with_scoring_weights(ones)?)?;
    assert!(training.0 != base.0);
    assert!(validation.0 == base.0 && validation.1 != base.1 && validation.2 == base.2);
    assert!(scoring.0 == base.0 && scoring.1 == base.1 && scoring.2 != base.2);
    Ok(())
}

/// The bias moves from 0 to 1. By rows with target 0 the first epoch is the best, by the others the last one.
#[test]
fn early_stopping_watches_the_loss_by_validation_weights() -> Result<()> {
    let rule = EarlyStopping { patience: 100, restore_best: true, ..EarlyStopping::default() };
    let best = |zero: f32, one: f32| -> Result<(f64, f64)> {
        let data = data().with_training_weights(of(0., 1.))?.with_validation_weights(of(zero, one))?;
        let trainer = bias().epochs(5).optimizer(Optimizer::sgd(0.1)).early_stopping(rule.clone());
        let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1).validation(0.5), 3)?;
        Ok((b(&pool.members()[0]), pool.members()[0].record.curve.last().unwrap().valid_loss.unwrap()))
    };
    let after = |epochs: i32| 1. - 0.8f64.powi(epochs);
    close(best(1., 0.)?.0, after(1));
    close(best(0., 1.)?.0, after(5));
    close(best(1., 0.)?.1, after(5).powi(2));
    Ok(())
}

/// More validation rows than one pass has: 1024 of weight 1 in the first, the rest of weight 9.
#[test]
fn passes_over_validation_rows_count_by_the_sums_of_their_weights() -> Result<()> {
    let rows = 1600usize;
    let x = Tensor::zeros((rows, 1), DType::F32, &CPU)?;
    let y: Vec<f32> = (0..rows).map(|row| if row < 1200 { 0. } else { 1. }).collect();
    let data = TensorDataset::regression(&x, &Tensor::new(y.clone(), &CPU)?)?;
    let weights: Vec<f32> = (0..rows).map(|row| if row < 1200 { 1. } else { 9. }).collect();
    let data = data.with_validation_weights(weights.clone())?;
    let trainer = bias().epochs(1).batch_size(512);
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(1).validation(0.9), 3)?;
    assert!(listed(&plan.runs[0].valid).len() > 1024);
    let member = session.train(&plan)?.members()[0].clone();
    let b = b(&member);
    let (mut sum, mut total) = (0., 0.);
    for row in &listed(&plan.runs[0].valid) {
        let (w, y) = (f64::from(weights[*row as usize]), f64::from(y[*row as usize]));
        (sum, total) = (sum + w * (b - y).powi(2), total + w);
    }
    close(member.record.curve[0].valid_loss.unwrap(), sum / total);
    Ok(())
}

#[test]
fn rows_that_all_have_weight_zero_are_an_error() -> Result<()> {
    let run = |data: TensorDataset| -> String {
        let trainer = bias();
        let plan = Session::new(&trainer, &data).plan(&MultiRun::new(1).validation(0.5), 3).unwrap();
        let valid = listed(&plan.runs[0].valid);
        let on = |inside: bool| {
            (0..ROWS as u32).map(|row| f32::from(u8::from(valid.contains(&row) == inside))).collect()
        };
        let training = data.clone().with_training_weights(on(true)).unwrap();
        let validation = data.clone().with_validation_weights(on(false)).unwrap();
        [training, validation]
            .map(|data| {
                let fitted = Session::new(&trainer, &data).fit(&MultiRun::new(1).validation(0.5), 3);
                fitted.map(drop).unwrap_err().to_string()
            })
            .join("\n")
    };
    let errors = run(data());
    for rows in ["training", "validation"] {
        let part = format!("the weights of the {rows} rows of the run must be above 0 for at least one row");
        assert!(errors.contains(&part), "{errors}");
    }
    Ok(())
}

/// A data set that knows of one kind of weights only has them for every purpose.
#[test]
fn a_data_set_of_the_user_keeps_its_weights_for_all_purposes() -> Result<()> {
    struct Weighted;
    impl Dataset for Weighted {
        fn rows(&self) -> usize {
            4
        }
        fn task(&self) -> Task {
            Task::Regression { outputs: 1 }
        }
        fn batch(&self, rows: &[u32], device: &candle_core::Device) -> candle_core::Result<Batch> {
            let numbers: Vec<f32> = rows.iter().map(|row| *row as f32).collect();
            let x = Tensor::new(numbers, device)?;
            Ok(Batch { inputs: x.unsqueeze(1)?.into(), weights: Some((&x + 1.)?), targets: x })
        }
        fn fingerprint(&self) -> Fingerprint {
            Fingerprint::of(b"weighted")
        }
    }
    for purpose in Purpose::ALL {
        let batch = Weighted.batch_for(purpose, &[1, 3], &CPU)?;
        assert_eq!(batch.weights.unwrap().to_vec1::<f32>()?, [2., 4.]);
    }
    assert!(Weighted.soft_targets(&[0], &CPU)?.is_none());
    Ok(())
}

/// About a hundredth of the rows, with target 1, has nine tenths of all weight. The loss of a batch is divided by the weights of
/// its own rows, so a step follows the share of the heavy rows in its batch: on average about a quarter. The batches of one step
/// count together.
#[test]
fn weights_count_within_the_batches_of_a_step() -> Result<()> {
    let (rows, heavy, size) = (1024usize, 10usize, 32usize);
    let is_heavy = |row: usize| row.is_multiple_of(103);
    let weight = 9. * (rows - heavy) as f32 / heavy as f32;
    let y: Vec<f32> = (0..rows).map(|row| f32::from(u8::from(is_heavy(row)))).collect();
    assert_eq!(y.iter().sum::<f32>(), heavy as f32);
    let weights = y.iter().map(|y| if *y > 0. { weight } else { 1. }).collect();
    let x = Tensor::zeros((rows, 1), DType::F32, &CPU)?;
    let data = TensorDataset::regression(&x, &Tensor::new(y, &CPU)?)?.with_training_weights(weights)?;
    let trained = |rate: f64, steps_of: usize| -> Result<f64> {
        let trainer = bias().epochs(40).batch_size(size).accumulate(steps_of).optimizer(Optimizer::sgd(rate));
        Ok(b(&Session::new(&trainer, &data).fit(&MultiRun::new(1), 3)?.members()[0]))
    };

    // The number of heavy rows in a batch, k, has a hypergeometric distribution.
    let none = |i: usize| (rows - heavy - i) as f64 / (rows - i) as f64;
    let mut p: f64 = (0..size).map(none).product();
    let mut expected = 0.;
    for k in 0..=heavy {
        let of_heavy = k as f64 * f64::from(weight);
        expected += p * of_heavy / (of_heavy + (size - k) as f64);
        p *= ((heavy - k) * (size - k)) as f64 / ((k + 1) * (rows - heavy - size + k + 1)) as f64;
    }
    assert!((0.2..0.3).contains(&expected), "{expected}");
    let by_batch = trained(0.002, 1)?;
    assert!((by_batch - expected).abs() < 0.03, "{by_batch} is not about {expected}");
    close(trained(0.5, rows / size)?, 0.9);
    Ok(())
}
