//! Transfer from blobs_1000_seed1 to blobs_1000: 2-5-5-3, He-uniform hidden layers, SGD .01 without momentum, batch
//! 32, 100 epochs on both. Each network starts from a source network of its own, which was trained on the first 500
//! rows. A frozen layer is not updated, and the output layer always is.
use crate::{
    data::Bench,
    network::Mlp,
    reference::{difference, level, medians, with_ties, worse_from, Direction, Level},
    setting::{fit, train, Row, Setting, Table},
};
use candle_ensemble::{
    nn::Sequential,
    observe::Observer,
    train::{Freeze, Optimizer, Trainer, WarmStart},
    Result, Seed,
};

pub fn table(bench: &Bench) -> Result<Table> {
    let (source, target) = (bench.blobs_1000_seed1()?, bench.blobs_1000()?);
    let epochs = bench.epochs(100);
    let trainer = move || -> Result<Trainer<Sequential>> {
        Mlp { layers: 2, ..Mlp::new(2, 5, 3).he() }.trainer(epochs, Optimizer::sgd(0.01))
    };
    let fresh = Setting::new(
        "transfer, fresh",
        &target,
        trainer()?,
        level((0.793, 0.035), (0.816, 0.031)).tail(medians((0.800, 0.024), (0.823, 0.017))),
    );
    let frozen = |layers: usize, expected: Level| {
        let (from, to) = (source.clone(), target.clone());
        let job = move |seed: Seed, observer: &dyn Observer| {
            let trainer_of_source = trainer()?;
            let Some(pool) = fit(&trainer_of_source, &from, seed.child("source"), observer)? else {
                return Ok(None);
            };
            let weights = pool.members().first().map(|member| member.weights.clone()).unwrap_or_default();
            let mut trainer = trainer()?.warm_start(WarmStart::new(weights)?);
            if layers > 0 {
                trainer = trainer.freeze(Freeze::FirstLayers(layers));
            }
            train(&trainer, &to, seed, observer)
        };
        let cost = (2 * 16 * epochs) as f64 * 1.5;
        Setting::of(format!("transfer, {layers} layers frozen"), &target, expected, cost, job)
    };

    let rows = vec![
        Row::new(
            "frozen-0",
            "0 layers frozen against a fresh network",
            &fresh,
            frozen(0, level((0.782, 0.051), (0.804, 0.048)).tail(medians((0.794, 0.025), (0.820, 0.026)))),
        )
        .test(with_ties(-0.013, (-0.039, 0.014), 7, 1), Direction::Any)
        .fresh(difference(-0.012, (-0.035, 0.011), 7), Direction::Any),
        Row::new(
            "frozen-1",
            "1 layer frozen against a fresh network",
            &fresh,
            frozen(1, level((0.767, 0.044), (0.795, 0.051)).tail(medians((0.778, 0.037), (0.810, 0.044)))),
        )
        .test(with_ties(-0.022, (-0.048, 0.005), 6, 1), Direction::Any)
        .fresh(difference(-0.026, (-0.049, -0.004), 5), worse_from(31)),
        Row::new(
            "frozen-2",
            "2 layers frozen against a fresh network",
            &fresh,
            frozen(2, level((0.743, 0.064), (0.774, 0.069)).tail(medians((0.756, 0.046), (0.786, 0.075)))),
        )
        .test(with_ties(-0.042, (-0.077, -0.007), 2, 1), worse_from(29))
        .fresh(difference(-0.044, (-0.074, -0.014), 2), Direction::Any),
    ];
    Ok(Table { key: "transfer", title: "transfer (2-5-5-3, blobs_1000_seed1 → blobs_1000)", rows })
}
