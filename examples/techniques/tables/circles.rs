//! circles_100: the network and the training of moons_100.
use super::moons::{trainer, unit_norm, DROPOUT, NETWORK};
use crate::{
    data::Bench,
    network::{first_kernel, Insert, Mlp},
    reference::{better_from, difference, level, with_ties, worse_from, Direction, Level, WORSE},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{
    nn::{ActivityRegularizer, GaussianNoise, Reduce},
    train::Regularizer,
    Result,
};

const SMALL_NOISE: Insert = |network, vb| Ok(network.add(GaussianNoise::new(0.01, vb)?));
const NOISE: Insert = |network, vb| Ok(network.add(GaussianNoise::new(0.1, vb)?));
/// Divided by the rows of the batch.
const L1_MEAN: Insert = |network, _| Ok(network.add(ActivityRegularizer::l1(1e-4).reduce(Reduce::Mean)));
const L1_SUM: Insert = |network, _| Ok(network.add(ActivityRegularizer::l1(1e-4).reduce(Reduce::Sum)));

pub fn table(bench: &Bench) -> Result<Table> {
    let circles = bench.circles_100()?;
    let setting = |name: &str, trainer, expected: Level| {
        Setting::new(format!("circles_100, {name}"), &circles, trainer, expected)
    };
    let layer = |name: &str, network: Mlp, expected: Level| {
        Ok::<_, candle_ensemble::Error>(setting(name, trainer(bench, network)?, expected).slower(1.3))
    };
    let plain = level((1., 0.), (0.775, 0.012)).log_loss("2.10");
    let l2 = Regularizer::l2(0.001).on(first_kernel());
    let without = setting("plain", trainer(bench, NETWORK)?, plain);

    let rows = vec![
        Row::new(
            "activity-l1-before-mean",
            "activity L1 1e-4 before relu, mean over the batch",
            &without,
            layer(
                "activity L1 before relu, mean",
                Mlp { before: L1_MEAN, ..NETWORK },
                level((1., 0.), (0.749, 0.016)).log_loss("1.3–1.4"),
            )?,
        )
        .test(with_ties(-0.026, (-0.036, -0.016), 2, 1), Direction::Any)
        .fresh(difference(0.003, (0., 0.006), 13), Direction::Any)
        .note("The reference is worse on the test rows and better on new rows."),
        Row::new(
            "activity-l1-after-mean",
            "activity L1 1e-4 after relu, mean over the batch",
            &without,
            layer(
                "activity L1 after relu, mean",
                Mlp { after: L1_MEAN, ..NETWORK },
                level((1., 0.), (0.769, 0.018)).log_loss("1.3–1.4"),
            )?,
        )
        .test(with_ties(-0.006, (-0.015, 0.003), 5, 6), Direction::Any)
        .fresh(difference(0.009, (0.008, 0.011), 20), better_from(2)),
        Row::new(
            "activity-l1-before-sum",
            "activity L1 1e-4 before relu, summed over the batch",
            &without,
            layer(
                "activity L1 before relu, sum",
                Mlp { before: L1_SUM, ..NETWORK },
                level((0.967, 0.), (0.815, 0.018)),
            )?,
        )
        .test(difference(0.040, (0.029, 0.051), 19), better_from(3))
        .fresh(difference(0.024, (0.020, 0.029), 20), Direction::Any)
        .note("The sum is 30 times as strong as the mean here."),
        Row::new(
            "activity-l1-after-sum",
            "activity L1 1e-4 after relu, summed over the batch",
            &without,
            layer(
                "activity L1 after relu, sum",
                Mlp { after: L1_SUM, ..NETWORK },
                level((1., 0.), (0.737, 0.016)),
            )?,
        )
        .test(with_ties(-0.038, (-0.048, -0.028), 0, 2), worse_from(3))
        .fresh(difference(-0.020, (-0.023, -0.018), 0), Direction::Any),
        Row::new(
            "noise-input-.01",
            "Gaussian noise σ .01 on the input",
            &without,
            layer(
                "noise .01 on the input",
                Mlp { on_inputs: SMALL_NOISE, ..NETWORK },
                level((1., 0.), (0.771, 0.014)),
            )?,
        )
        .test(with_ties(-0.004, (-0.014, 0.005), 6, 7), Direction::Any)
        .fresh(difference(0., (-0.001, 0.001), 9), Direction::Any),
        Row::new(
            "noise-input-.1",
            "Gaussian noise σ .1 on the input",
            &without,
            layer(
                "noise .1 on the input",
                Mlp { on_inputs: NOISE, ..NETWORK },
                level((0.938, 0.022), (0.674, 0.019)),
            )?,
        )
        .test(difference(-0.101, (-0.113, -0.090), 0), WORSE)
        .fresh(difference(-0.039, (-0.043, -0.035), 0), Direction::Any),
        Row::new(
            "noise-before",
            "Gaussian noise σ .1 before relu",
            &without,
            layer(
                "noise .1 before relu",
                Mlp { before: NOISE, ..NETWORK },
                level((0.947, 0.017), (0.799, 0.018)).log_loss("0.80"),
            )?,
        )
        .test(with_ties(0.024, (0.011, 0.037), 15, 2), better_from(12))
        .fresh(difference(0.030, (0.029, 0.030), 20), Direction::Any),
        Row::new(
            "noise-after",
            "Gaussian noise σ .1 after relu",
            &without,
            layer(
                "noise .1 after relu",
                Mlp { after: NOISE, ..NETWORK },
                level((0.990, 0.016), (0.810, 0.022)).log_loss("0.67"),
            )?,
        )
        .test(with_ties(0.035, (0.023, 0.047), 18, 2), better_from(5))
        .fresh(difference(0.027, (0.025, 0.028), 20), Direction::Any),
        Row::new(
            "dropout",
            "dropout .4 after the hidden layer",
            &without,
            layer("dropout .4", DROPOUT, level((0.967, 0.), (0.799, 0.020)).log_loss("0.52"))?,
        )
        .test(with_ties(0.024, (0.013, 0.034), 16, 3), better_from(9))
        .fresh(difference(0.026, (0.025, 0.028), 20), Direction::Any),
        Row::new(
            "l2",
            "L2 penalty λ = .001",
            &without,
            setting(
                "L2 .001",
                trainer(bench, NETWORK)?.regularizer(l2),
                level((1., 0.), (0.781, 0.013)).log_loss("0.75"),
            ),
        )
        .test(with_ties(0.006, (-0.004, 0.015), 11, 4), Direction::Any)
        .fresh(difference(0.018, (0.016, 0.020), 20), better_from(2)),
        Row::new(
            "unit-norm",
            "unit norm",
            &without,
            setting(
                "unit norm",
                trainer(bench, NETWORK)?.constraint(unit_norm()),
                level((1., 0.), (0.756, 0.018)),
            ),
        )
        .test(with_ties(-0.019, (-0.029, -0.008), 2, 5), worse_from(18))
        .fresh(difference(-0.005, (-0.008, -0.002), 4), Direction::Any)
        .note("The same constraint helps on moons: it is not a safe default."),
    ];
    Ok(Table { key: "circles", title: "circles_100, 4000 epochs", rows })
}
