//! Depth on circles_1000 with inputs in [−1, 1]: layers of 5 units, SGD, batch 32, 500 epochs.
use crate::{
    data::Bench,
    network::{sgd, Mlp, Weights},
    reference::{difference, level, with_ties, Direction, Level, BETTER, WORSE},
    setting::{Row, Setting, Table},
};
use candle_core::Tensor;
use candle_ensemble::{train::Trainer, Result};

pub fn table(bench: &Bench) -> Result<Table> {
    let circles = bench.circles_1000_in_unit_range()?;
    let net = Mlp { activation: Tensor::tanh, ..Mlp::new(2, 5, 1) };
    let positive = Mlp { hidden: Weights::Positive, out: Weights::Positive, ..net };
    let setting = |name: &str, network: Mlp, expected: Level| {
        let trainer = Trainer::new(move |vb| network.build(vb)).epochs(bench.epochs(500));
        let name = format!("circles_1000 in [−1, 1], {name}");
        let setting = Setting::new(name, &circles, trainer.optimizer(sgd(0.01)), expected);
        setting.slower(0.5 + network.layers as f64 / 2.)
    };
    let deep = |network: Mlp| Mlp { layers: 5, ..network };
    let one_positive =
        || setting("one tanh layer, uniform(0, 1)", positive, level((0.811, 0.013), (0.822, 0.018)));
    let five_positive =
        || setting("five tanh layers, uniform(0, 1)", deep(positive), level((0.591, 0.058), (0.568, 0.073)));
    let one_glorot = || setting("one tanh layer, Glorot", net, level((0.812, 0.011), (0.825, 0.014)));
    let five_glorot =
        || setting("five tanh layers, Glorot", deep(net), level((0.828, 0.014), (0.828, 0.014)));
    let five_relu = || {
        let network = deep(Mlp { activation: Tensor::relu, ..net }).he();
        setting("five relu layers, He", network, level((0.833, 0.012), (0.835, 0.014)))
    };

    let rows = vec![
        Row::new(
            "depth-positive",
            "five tanh layers against one, weights uniform(0, 1)",
            one_positive(),
            five_positive(),
        )
        .test(difference(-0.255, (-0.289, -0.220), 0), WORSE)
        .fresh(difference(-0.244, (-0.276, -0.212), 0), Direction::Any),
        Row::new(
            "relu-positive",
            "five relu layers he_uniform against five tanh uniform(0, 1)",
            five_positive(),
            five_relu(),
        )
        .test(difference(0.267, (0.231, 0.303), 20), BETTER)
        .fresh(difference(0.246, (0.214, 0.279), 20), Direction::Any)
        .note("The gain is that of the initial weights."),
        Row::new("depth-glorot", "five tanh layers against one, glorot_uniform", one_glorot(), five_glorot())
            .test(difference(0.003, (-0.006, 0.012), 11), Direction::Any)
            .fresh(difference(-0.003, (-0.009, 0.003), 10), Direction::Any),
        Row::new(
            "relu-glorot",
            "five relu layers he_uniform against five tanh glorot_uniform",
            five_glorot(),
            five_relu(),
        )
        .test(with_ties(0.007, (-0.001, 0.015), 15, 2), Direction::Any)
        .fresh(difference(0.000, (-0.004, 0.005), 6), Direction::Any),
    ];
    Ok(Table { key: "depth", title: "depth (circles_1000 in [−1, 1], 5 units a layer, 500 epochs)", rows })
}
