//! Losses: circles_1000 with 50 units and 200 epochs, blobs_1000 with 50 units and 100 epochs, regression_1000
//! with 25 units and 100 epochs. He-uniform hidden layers, SGD, batch 32. The inputs and targets of
//! regression_1000 are standardised over all 1000 rows.
use crate::{
    data::{Bench, Problem},
    network::{sgd, Mlp},
    reference::{better_from, difference, level, Level},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{train::Loss, Result};
use std::sync::Arc;

pub fn table(bench: &Bench) -> Result<Table> {
    let regression = Arc::new(Problem::values(&bench.regression_1000()?.standardized(), 500)?);
    let values = |name: &str, loss: Loss, expected: Level| {
        let trainer = Mlp::new(20, 25, 1).he().trainer(bench.epochs(100), sgd(0.01))?.loss(loss);
        let name = format!("regression_1000 standardised, {name}");
        Ok::<_, candle_ensemble::Error>(Setting::new(name, &regression, trainer, expected))
    };
    let squared = values("MSE", Loss::MeanSquared, level((0.0021, 0.0012), (0.0060, 0.0039)))?;

    let rows = vec![Row::new(
        "mae",
        "MAE against MSE (regression_1000, X and y standardised, 100 epochs; MSE)",
        &squared,
        values("MAE", Loss::MeanAbsolute, level((0.0034, 0.0029), (0.0041, 0.0039)))?,
    )
    .test(difference(-0.0019, (-0.0038, 0.), 14), better_from(42))];
    Ok(Table { key: "losses", title: "losses", rows })
}
