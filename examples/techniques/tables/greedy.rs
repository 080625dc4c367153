//! Greedy layer-wise pretraining on blobs_1000: 10 units a layer, He-uniform hidden layers, SGD, batch 32. A
//! network of 2 layers, of which one is hidden, comes first. Each step adds a hidden layer below the output layer,
//! freezes all earlier hidden layers, keeps the output layer's weights, and trains both for 100 epochs with a
//! fresh optimizer. The number of layers counts the output layer.
use crate::{
    data::Bench,
    network::{sgd, Mlp, HE},
    reference::{better_from, difference, level, with_ties, Difference, Direction, Level, Tail},
    setting::{train, Row, Setting, Table},
};
use candle_core::Result as CandleResult;
use candle_ensemble::{
    nn::{seq, Activation, Sequential},
    train::GreedyPretraining,
    weights::InitScheme,
    Result,
};
use candle_nn::{linear, VarBuilder};

const UNITS: usize = 10;
const STEP: usize = 100;

/// One of 20 ends with a layer whose units are all dead.
const ONE_DEAD: Tail = Tail::Collapsed { count: 1, at: 0.326, below: 0.5 };

fn hidden(inputs: usize, vb: VarBuilder<'_>) -> CandleResult<Sequential> {
    Ok(seq().add(linear(inputs, UNITS, vb)?).add(Activation::Relu))
}

pub fn table(bench: &Bench) -> Result<Table> {
    let blobs = bench.blobs_1000()?;
    let end_to_end = |layers: usize, epochs: usize, expected: Level| {
        let network = Mlp { layers: layers - 1, ..Mlp::new(2, UNITS, 3).he() };
        let trainer = network.trainer(bench.epochs(epochs), sgd(0.01))?;
        let name = format!("blobs_1000, {layers} layers end to end, {epochs} epochs");
        let setting = Setting::new(name, &blobs, trainer, expected);
        Ok::<_, candle_ensemble::Error>(setting.slower(0.5 + network.layers as f64 / 2.))
    };
    let greedy = |layers: usize, expected: Level| {
        let (steps, epochs) = (layers - 1, bench.epochs(STEP));
        let learner = GreedyPretraining::new(|vb| linear(UNITS, 3, vb))
            .hidden(|vb| hidden(2, vb))
            .hidden_layers(steps - 1, |vb| hidden(UNITS, vb))
            .epochs_per_layer(epochs)
            .optimizer(sgd(0.01))
            .init(InitScheme::parse(HE)?);
        let name = format!("blobs_1000, {layers} layers greedy");
        let cost = (16 * epochs * steps) as f64 * (0.7 + steps as f64 / 6.);
        let of = blobs.clone();
        let job = move |seed, observer: &dyn candle_ensemble::observe::Observer| {
            train(&learner, &of, seed, observer)
        };
        Ok::<_, candle_ensemble::Error>(Setting::of(name, &blobs, expected, cost, job))
    };
    let two = end_to_end(2, STEP, level((0.822, 0.011), (0.827, 0.006)).log_loss("0.413"))?;
    let three = greedy(3, level((0.832, 0.008), (0.825, 0.006)))?;
    let six = greedy(6, level((0.843, 0.005), (0.825, 0.005)))?;
    let nine = greedy(9, level((0.846, 0.006), (0.825, 0.005)))?;
    let twelve = greedy(12, level((0.822, 0.113), (0.801, 0.112)).tail(ONE_DEAD))?;
    let against = |key, name, without: &Setting, with: &Setting, test, new: Option<Difference>| {
        Row::new(key, name, without, with.clone()).test(test, Direction::Any).fresh(new, Direction::Any)
    };

    let rows = vec![
        against(
            "layers-3",
            "3 layers, greedy, against 2 layers",
            &two,
            &three,
            with_ties(-0.002, (-0.005, 0.001), 7, 2),
            difference(0., (-0.004, 0.004), 8),
        ),
        against(
            "layers-6",
            "6 layers, greedy, against 2 layers",
            &two,
            &six,
            with_ties(-0.001, (-0.005, 0.003), 9, 2),
            difference(-0.001, (-0.004, 0.003), 6),
        ),
        against(
            "layers-9",
            "9 layers, greedy, against 2 layers",
            &two,
            &nine,
            with_ties(-0.001, (-0.005, 0.003), 8, 1),
            difference(-0.001, (-0.005, 0.002), 8),
        )
        .note("The reference's log-loss gets worse with each layer, from .413 to .479 with 10."),
        against(
            "layers-12",
            "12 layers, greedy, against 2 layers",
            &two,
            &twelve,
            with_ties(-0.025, (-0.076, 0.026), 8, 2),
            difference(-0.025, (-0.073, 0.023), 5),
        ),
        against(
            "end-to-end-3",
            "3 layers, greedy, against end to end, 100 epochs",
            &end_to_end(3, STEP, level((0.827, 0.009), (0.825, 0.010)))?,
            &three,
            with_ties(0., (-0.005, 0.005), 8, 1),
            difference(0.001, (-0.003, 0.006), 8),
        ),
        against(
            "end-to-end-6",
            "6 layers, greedy, against end to end, 100 epochs",
            &end_to_end(6, STEP, level((0.831, 0.017), (0.821, 0.012)))?,
            &six,
            with_ties(0.004, (-0.002, 0.011), 13, 2),
            difference(0.004, (-0.002, 0.009), 12),
        ),
        against(
            "end-to-end-9",
            "9 layers, greedy, against end to end, 100 epochs",
            &end_to_end(9, STEP, level((0.827, 0.022), (0.814, 0.019)))?,
            &nine,
            with_ties(0.012, (0.002, 0.021), 16, 1),
            difference(0.009, (-0.002, 0.019), 12),
        )
        .gate(better_from(27))
        .note("The reference's gain is one on these test rows only."),
        against(
            "end-to-end-12",
            "12 layers, greedy, against end to end, 100 epochs",
            &end_to_end(12, STEP, level((0.800, 0.110), (0.788, 0.111)).tail(ONE_DEAD))?,
            &twelve,
            with_ties(0.013, (-0.064, 0.091), 13, 1),
            difference(0.008, (-0.065, 0.080), 15),
        ),
        against(
            "end-to-end-long-12",
            "12 layers, greedy, against end to end, 1100 epochs",
            &end_to_end(12, 11 * STEP, level((0.813, 0.114), (0.783, 0.110)).tail(ONE_DEAD))?,
            &twelve,
            with_ties(0.019, (-0.058, 0.095), 16, 2),
            difference(0.016, (-0.057, 0.088), 16),
        ),
    ];
    Ok(Table {
        key: "greedy",
        title: "greedy layer-wise pretraining (blobs_1000, 10 units, 100 epochs a step)",
        rows,
    })
}
