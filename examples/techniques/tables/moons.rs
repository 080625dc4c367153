//! moons_100: 2 → 500 → 1, Adam, 4000 epochs of one batch of the 30 training rows, no scaling.
use crate::{
    data::{Bench, Problem},
    network::{adam, first_kernel, Mlp},
    reference::{better_from, difference, level, nearly_all, with_ties, Direction, Expected, Level, BETTER},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{
    nn::{Dropout, Sequential},
    train::{Constraint, EarlyStopping, Regularizer, Trainer},
    Result,
};
use std::sync::Arc;

/// The network of both small data sets.
pub const NETWORK: Mlp = Mlp::new(2, 500, 1);

/// With dropout after the hidden layer.
pub const DROPOUT: Mlp = Mlp { after: |network, vb| Ok(network.add(Dropout::new(0.4, vb)?)), ..NETWORK };

/// The training of both.
pub fn trainer(bench: &Bench, network: Mlp) -> Result<Trainer<Sequential>> {
    network.trainer(bench.epochs(4000), adam())
}

/// Unit norm of the hidden kernel.
pub fn unit_norm() -> Constraint {
    Constraint::unit_norm().on(first_kernel())
}

pub fn table(bench: &Bench) -> Result<Table> {
    let all = Arc::new(bench.moons_100()?.watching(30..100));
    // Early stopping watches rows 30–64, and rows 65–99 score.
    let half = Arc::new(bench.moons_100()?.watching(30..65).scored_on(65..100)?);
    let plain = || trainer(bench, NETWORK);
    let setting = |problem: &Arc<Problem>, name: &str, trainer, expected: Level| {
        Setting::new(format!("moons_100, {name}"), problem, trainer, Expected::from(expected))
    };
    let without = setting(&all, "plain", plain()?, level((1., 0.), (0.914, 0.)).log_loss("0.50"));
    let with = |name: &str, trainer, expected: Level| setting(&all, name, trainer, expected);
    let half_without = setting(&half, "plain, rows 65–99", plain()?, level((1., 0.), (0.886, 0.)));
    let patient = |restore_best| {
        let rule = EarlyStopping { patience: 200, restore_best, ..EarlyStopping::default() };
        Ok::<_, candle_ensemble::Error>(plain()?.early_stopping(rule))
    };

    let l2 = |rate| Regularizer::l2(rate).on(first_kernel());
    let max_norm = |max| Constraint::max_norm(max).on(first_kernel());

    let rows = vec![
        Row::new(
            "l2",
            "L2 penalty λ = .001 on the hidden kernel",
            &without,
            with("L2 .001", plain()?.regularizer(l2(0.001)), level((1., 0.), (0.943, 0.)).log_loss("0.26")),
        )
        .test(difference(0.029, (0.029, 0.029), 20), BETTER)
        .fresh(difference(0.010, (0.010, 0.011), 20), Direction::Any),
        Row::new(
            "l2-.01",
            "L2 penalty λ = .01",
            &without,
            with("L2 .01", plain()?.regularizer(l2(0.01)), level((1., 0.), (0.934, 0.007)).log_loss("0.21")),
        )
        .test(difference(0.019, (0.016, 0.023), 20), BETTER)
        .fresh(difference(0.007, (0.007, 0.008), 20), Direction::Any),
        Row::new(
            "unit-norm",
            "unit norm on the hidden kernel",
            &without,
            with(
                "unit norm",
                plain()?.constraint(unit_norm()),
                level((1., 0.), (0.943, 0.)).log_loss("0.32"),
            ),
        )
        .test(difference(0.029, (0.029, 0.029), 20), BETTER)
        .fresh(difference(0.012, (0.011, 0.013), 20), Direction::Any),
        Row::new(
            "max-norm-1",
            "max-norm 1",
            &without,
            with("max-norm 1", plain()?.constraint(max_norm(1.)), level((1., 0.), (0.914, 0.))),
        )
        .test(with_ties(0., (0., 0.), 0, 20), Direction::Any)
        .fresh(difference(0.001, (0., 0.001), 19), better_from(4)),
        Row::new(
            "max-norm-3",
            "max-norm 3",
            &without,
            with("max-norm 3", plain()?.constraint(max_norm(3.)), level((1., 0.), (0.914, 0.))),
        )
        .test(with_ties(0., (0., 0.), 0, 20), Direction::Any)
        .fresh(difference(0., (0., 0.), 3), Direction::Any)
        .note("It does not bind: the norms reach about 2."),
        Row::new(
            "dropout",
            "dropout .4",
            &without,
            with("dropout .4", trainer(bench, DROPOUT)?, level((1., 0.), (0.936, 0.010))).slower(1.5),
        )
        .test(with_ties(0.021, (0.017, 0.026), 18, 2), BETTER)
        .fresh(difference(0.007, (0.007, 0.008), 20), Direction::Any),
        Row::new(
            "early-stopping-last",
            "early stopping, weights of the last epoch; watched and scored on the same 70 rows",
            &without,
            with(
                "early stopping, last weights",
                patient(false)?,
                level((0.997, 0.010), (0.933, 0.031)).tail(nearly_all(1., 0.943)).log_loss("0.27"),
            )
            .slower(0.5),
        )
        .test(difference(0.019, (0.004, 0.033), 18), better_from(25))
        .fresh(difference(0.001, (-0.006, 0.008), 18), Direction::Any)
        .note("A gain on the rows that were watched is no gain on others."),
        Row::new(
            "early-stopping-best",
            "early stopping, best weights restored; the same 70 rows",
            &without,
            with(
                "early stopping, best weights",
                patient(true)?,
                level((0.997, 0.010), (0.917, 0.035)).tail(nearly_all(1., 0.929)),
            )
            .slower(0.5),
        )
        .test(difference(0.003, (-0.014, 0.019), 18), Direction::Any)
        .fresh(difference(-0.001, (-0.008, 0.007), 18), Direction::Any)
        .note("To restore the best weights is not better than to keep the last ones."),
        Row::new(
            "early-stopping-other-rows-last",
            "early stopping, last weights; watched on rows 30–64, scored on rows 65–99",
            &half_without,
            setting(
                &half,
                "early stopping, last weights, rows 65–99",
                patient(false)?,
                level((1., 0.), (0.914, 0.)),
            )
            .slower(0.5),
        )
        .test(difference(0.029, (0.029, 0.029), 20), BETTER)
        .fresh(difference(0.006, (0.006, 0.006), 20), Direction::Any),
        Row::new(
            "early-stopping-other-rows-best",
            "early stopping, best restored; watched on 30–64, scored on 65–99",
            &half_without,
            setting(
                &half,
                "early stopping, best weights, rows 65–99",
                patient(true)?,
                level((1., 0.), (0.914, 0.)),
            )
            .slower(0.5),
        )
        .test(difference(0.029, (0.029, 0.029), 20), BETTER)
        .fresh(difference(0.006, (0.005, 0.006), 20), Direction::Any),
    ];
    Ok(Table { key: "moons", title: "moons_100, 4000 epochs", rows })
}
