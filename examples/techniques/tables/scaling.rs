//! Scaling and clipping on regression_1000: 20 → 25 → 1, He-uniform, SGD, batch 32, 100 epochs. The targets
//! have a variance of about 20 400: with them as they are, the training ends in NaN. Clipped trainings do not
//! and are scored in these units, in which the mean of the training targets scores 26 270.
use crate::{
    data::{Bench, Problem},
    network::{sgd, Mlp},
    reference::{level, Expected, Tail},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{train::Clip, Result};
use std::sync::Arc;

pub fn table(bench: &Bench) -> Result<Table> {
    let data = bench.regression_1000()?;
    let raw = Arc::new(Problem::values(&data, 500)?);
    let plain = || Mlp::new(20, 25, 1).he().trainer(bench.epochs(100), sgd(0.01));
    let setting = |problem: &Arc<Problem>, name: &str, trainer, expected: Expected| {
        Setting::new(format!("regression_1000, {name}"), problem, trainer, expected)
    };
    let without = setting(&raw, "no scaling", plain()?, Expected::NotFinite);
    let clipped = |name: &str, clip, expected: Expected| {
        Ok::<_, candle_ensemble::Error>(setting(&raw, name, plain()?.clip(clip), expected))
    };

    let rows = vec![
        Row::new(
            "clip-norm",
            "gradient norm ≤ 1 over all parameters together",
            &without,
            clipped("norm 1", Clip::Norm(1.), level((3.5, 1.9), (21.6, 5.8)).into())?,
        ),
        Row::new(
            "clip-norm-per-array",
            "gradient norm ≤ 1 for each array by itself",
            &without,
            clipped("norm 1 each", Clip::NormPerVariable(1.), level((1.3, 0.7), (15.8, 2.6)).into())?,
        ),
        Row::new(
            "clip-value",
            "each gradient value within ±5",
            &without,
            clipped("value 5", Clip::Value(5.), level((35.9, 16.6), (42.8, 23.1)).tail(Tail::Heavy).into())?,
        ),
    ];
    Ok(Table { key: "scaling", title: "scaling and clipping (regression_1000, 100 epochs; MSE)", rows })
}
