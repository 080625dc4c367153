//! Depth on circles_1000 with inputs in [−1, 1]: layers of 5 units, SGD, batch 32, 500 epochs.
use crate::{
    data::Bench,
    network::{sgd, Mlp, POSITIVE},
    reference::{difference, level, medians_of, with_ties, Direction, Level, BETTER, WORSE},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{nn::Activation, Result};

/// One hidden layer of tanh units.
const TANH: Mlp = Mlp { activation: Activation::Tanh, ..Mlp::new(2, 5, 1) };
const TANH_5: Mlp = Mlp { layers: 5, ..TANH };
const RELU_5: Mlp = Mlp { activation: Activation::Relu, ..TANH_5 };

pub fn table(bench: &Bench) -> Result<Table> {
    let circles = bench.circles_1000_in_unit_range()?;
    let setting = |name: &str, network: Mlp, expected: Level| {
        let trainer = network.trainer(bench.epochs(500), sgd(0.01))?;
        let name = format!("circles_1000 in [−1, 1], {name}");
        let setting = Setting::new(name, &circles, trainer, expected);
        Ok::<_, candle_ensemble::Error>(setting.slower(0.5 + network.layers as f64 / 2.))
    };
    let positive = |network| Mlp { init: POSITIVE, ..network };
    let one_positive =
        setting("one tanh layer, uniform(0, 1)", positive(TANH), level((0.811, 0.013), (0.822, 0.018)))?;
    let five_positive =
        setting("five tanh layers, uniform(0, 1)", positive(TANH_5), level((0.591, 0.058), (0.568, 0.073)))?;
    let one_glorot = setting("one tanh layer, Glorot", TANH, level((0.812, 0.011), (0.825, 0.014)))?;
    let five_glorot = setting("five tanh layers, Glorot", TANH_5, level((0.828, 0.014), (0.828, 0.014)))?;
    let relu = level((0.833, 0.012), (0.835, 0.014)).tail(medians_of(60, (0.834, 0.016), (0.832, 0.019)));
    let five_relu = setting("five relu layers, He", RELU_5.he(), relu)?;

    let rows = vec![
        Row::new(
            "tanh-positive",
            "five tanh layers against one, weights uniform(0, 1)",
            &one_positive,
            five_positive.clone(),
        )
        .test(difference(-0.255, (-0.289, -0.220), 0), WORSE)
        .fresh(difference(-0.244, (-0.276, -0.212), 0), Direction::Any),
        Row::new(
            "relu-positive",
            "five relu layers he_uniform against five tanh uniform(0, 1)",
            &five_positive,
            five_relu.clone(),
        )
        .test(difference(0.267, (0.231, 0.303), 20), BETTER)
        .fresh(difference(0.246, (0.214, 0.279), 20), Direction::Any)
        .note("The gain is that of the initial weights."),
        Row::new(
            "tanh-glorot",
            "five tanh layers against one, glorot_uniform",
            &one_glorot,
            five_glorot.clone(),
        )
        .test(difference(0.003, (-0.006, 0.012), 11), Direction::Any)
        .fresh(difference(-0.003, (-0.009, 0.003), 10), Direction::Any),
        Row::new(
            "relu-glorot",
            "five relu layers he_uniform against five tanh glorot_uniform",
            &five_glorot,
            five_relu,
        )
        .test(with_ties(0.007, (-0.001, 0.015), 15, 2), Direction::Any)
        .fresh(difference(0.000, (-0.004, 0.005), 6), Direction::Any),
    ];
    Ok(Table { key: "depth", title: "depth (circles_1000 in [−1, 1], 5 units a layer, 500 epochs)", rows })
}
