//! Batch normalization on circles_1000: 2 → 50 → 1, He-uniform, SGD, batch 32, 100 epochs; momentum .99,
//! ε .001, batch variances divided by n, evaluated with the moving values.
use crate::{
    data::Bench,
    network::{sgd, Insert, Mlp},
    reference::{difference, level, worse_from, Direction, Level},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{
    nn::{BatchNorm, BatchNormConfig},
    Result,
};

const UNITS: usize = 50;
const NETWORK: Mlp = Mlp::new(2, UNITS, 1).he();
const BATCH_NORM: Insert =
    |network, vb| Ok(network.add(BatchNorm::new(UNITS, BatchNormConfig::keras(), vb)?));

pub fn table(bench: &Bench) -> Result<Table> {
    let circles = bench.circles_1000()?;
    let setting = |name: &str, network: Mlp, expected: Level| {
        let trainer = network.trainer(bench.epochs(100), sgd(0.01))?;
        let name = format!("circles_1000, 100 epochs, {name}");
        Ok::<_, candle_ensemble::Error>(Setting::new(name, &circles, trainer, expected))
    };
    let plain = level((0.832, 0.007), (0.847, 0.007)).log_loss("0.389");
    let without = setting("plain", NETWORK, plain)?;
    let after = level((0.833, 0.007), (0.847, 0.008)).log_loss("0.365");

    let rows = vec![
        Row::new(
            "after",
            "after relu",
            &without,
            setting("after relu", Mlp { after: BATCH_NORM, ..NETWORK }, after)?,
        )
        .test(difference(0., (-0.005, 0.005), 12), Direction::Any)
        .fresh(difference(-0.001, (-0.002, 0.), 7), Direction::Any),
        Row::new(
            "before",
            "before relu",
            &without,
            setting(
                "before relu",
                Mlp { before: BATCH_NORM, ..NETWORK },
                level((0.817, 0.010), (0.823, 0.013)),
            )?,
        )
        .test(difference(-0.024, (-0.031, -0.018), 1), worse_from(3))
        .fresh(difference(-0.013, (-0.016, -0.010), 0), Direction::Any),
    ];
    Ok(Table { key: "batch-norm", title: "batch normalisation (circles_1000, 50 units, 100 epochs)", rows })
}
