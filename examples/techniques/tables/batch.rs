//! The batch size on blobs_1000: 2 → 50 → 3, He-uniform, SGD, 200 epochs.
use crate::{
    data::Bench,
    network::{sgd, Mlp},
    reference::{difference, level, with_ties, worse_from, Direction, Level, WORSE},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{plan::BatchSize, Result};

pub fn table(bench: &Bench) -> Result<Table> {
    let blobs = bench.blobs_1000()?;
    let batches = |size: BatchSize, rate: f64, expected: Level| {
        let trainer = Mlp::new(2, 50, 3).he().trainer(bench.epochs(200), sgd(rate))?.batch_size(size.clone());
        let name = format!("blobs_1000, batch {size:?} at {rate}");
        Ok::<_, candle_ensemble::Error>(Setting::new(name, &blobs, trainer, expected))
    };
    let full = batches(BatchSize::Full, 0.01, level((0.814, 0.008), (0.833, 0.003)))?;
    let mini = batches(BatchSize::Fixed(32), 0.01, level((0.832, 0.007), (0.820, 0.006)))?;
    let online = batches(BatchSize::Online, 0.01, level((0.566, 0.076), (0.578, 0.075)))?;
    let slow_online = batches(BatchSize::Online, 0.001, level((0.830, 0.010), (0.816, 0.010)))?;

    let rows = vec![
        Row::new("batch-32", "batch 32 against 500", &full, mini.clone())
            .test(difference(-0.013, (-0.016, -0.010), 0), worse_from(17))
            .fresh(difference(-0.005, (-0.008, -0.002), 4), Direction::Any)
            .note("It is better on the training rows."),
        Row::new("batch-1", "batch 1 against 500", &full, online)
            .test(difference(-0.255, (-0.290, -0.220), 0), WORSE)
            .fresh(difference(-0.229, (-0.261, -0.196), 0), Direction::Any)
            .note("The rate is too high for steps of one row."),
        Row::new("batch-1-slow", "batch 1 at rate .001 against 500 at .01", &full, slow_online.clone())
            .test(difference(-0.017, (-0.022, -0.013), 0), worse_from(7))
            .fresh(difference(-0.014, (-0.019, -0.008), 1), Direction::Any),
        Row::new("batch-1-slow-32", "batch 1 at rate .001 against 32 at .01", &mini, slow_online)
            .test(with_ties(-0.004, (-0.010, 0.001), 7, 1), Direction::Any)
            .fresh(difference(-0.009, (-0.015, -0.003), 5), worse_from(21)),
    ];
    Ok(Table { key: "batch", title: "blobs_1000, batch size (50 units, 200 epochs)", rows })
}
