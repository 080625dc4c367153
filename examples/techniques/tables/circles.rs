//! circles_100: the network and the training of moons_100.
use super::moons::{trainer, NETWORK};
use crate::{
    data::Bench,
    network::Mlp,
    reference::{better_from, difference, level, with_ties, Direction, Level},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{nn::Dropout, Result};

pub fn table(bench: &Bench) -> Result<Table> {
    let circles = bench.circles_100()?;
    let with = |name: &str, trainer, expected: Level| {
        Setting::new(format!("circles_100, {name}"), &circles, trainer, expected)
    };
    let plain = || trainer(bench, NETWORK);
    let without = || with("plain", plain(), level((1., 0.), (0.775, 0.012)).log_loss("2.10"));
    let dropout = Mlp { after: |network, vb| Ok(network.add(Dropout::new(0.4, vb)?)), ..NETWORK };

    let rows = vec![Row::new(
        "dropout",
        "dropout .4 after the hidden layer",
        without(),
        with("dropout .4", trainer(bench, dropout), level((0.967, 0.), (0.799, 0.020)).log_loss("0.52"))
            .slower(1.5),
    )
    .test(with_ties(0.024, (0.013, 0.034), 16, 3), better_from(9))
    .fresh(difference(0.026, (0.025, 0.028), 20), Direction::Any)];
    Ok(Table { key: "circles", title: "circles_100, 4000 epochs", rows })
}
