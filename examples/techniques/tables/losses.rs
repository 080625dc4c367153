//! Losses: circles_1000 with 50 units and 200 epochs, blobs_1000 with 50 units and 100 epochs, regression_1000
//! with 25 units and 100 epochs. He-uniform hidden layers, SGD, batch 32. The inputs and targets of
//! regression_1000 are standardised over all 1000 rows.
use crate::{
    data::{Bench, Problem},
    network::{sgd, Insert, Mlp},
    reference::{
        better_from, difference, level, medians, with_ties, worse_from, Direction, Level, Tail, WORSE,
    },
    setting::{Row, Setting, Table},
};
use candle_core::D;
use candle_ensemble::{
    nn::{Activation, Sequential},
    train::{Loss, Output, Trainer},
    Result,
};
use candle_nn::ops::softmax;
use std::sync::Arc;

const TANH: Insert = |network, _| Ok(network.add(Activation::Tanh));

/// Probabilities clipped to [1e-7, 1], as logits: where the clip acts, the gradient is 0.
const CLIPPED: Insert =
    |network, _| Ok(network.add_fn(|logits| softmax(logits, D::Minus1)?.clamp(1e-7, 1.)?.log()));

/// Two of 20 networks of clipped probabilities end at .546.
const TWO_COLLAPSED: Tail = Tail::Collapsed { count: 2, at: 0.546, below: 0.65 };

pub fn table(bench: &Bench) -> Result<Table> {
    let (circles, blobs) = (bench.circles_1000()?, bench.blobs_1000()?);
    let regression = bench.regression_1000()?.inputs_standardized(1000)?.targets_standardized(1000)?;
    let regression = Arc::new(Problem::values(&regression, 500)?);

    let two_classes = Mlp::new(2, 50, 1).he();
    let on_circles = |name: &str, trainer: Trainer<Sequential>, expected: Level| {
        Setting::new(format!("circles_1000, 200 epochs, {name}"), &circles, trainer, expected)
    };
    let bce = two_classes.trainer(bench.epochs(200), sgd(0.01))?;
    let bce = on_circles("binary cross-entropy", bce, level((0.834, 0.005), (0.847, 0.006)));
    let margins = |name: &str, loss: Loss, expected: Level| {
        let network = Mlp { on_outputs: TANH, ..two_classes };
        let trainer = network.trainer(bench.epochs(200), sgd(0.01))?.loss(loss).output(Output::Margins);
        Ok::<_, candle_ensemble::Error>(on_circles(name, trainer, expected))
    };

    let three_classes = Mlp::new(2, 50, 3).he();
    let on_blobs = |name: &str, network: Mlp, loss: Loss, expected: Level| {
        let trainer = network.trainer(bench.epochs(100), sgd(0.01))?.loss(loss);
        let name = format!("blobs_1000, 50 units, 100 epochs, {name}");
        Ok::<_, candle_ensemble::Error>(Setting::new(name, &blobs, trainer, expected))
    };
    let ce = level((0.828, 0.012), (0.819, 0.008));
    let cross_entropy = on_blobs("cross-entropy", three_classes, Loss::CrossEntropy { smoothing: 0. }, ce)?;

    let values = |name: &str, loss: Loss, expected: Level| {
        let trainer = Mlp::new(20, 25, 1).he().trainer(bench.epochs(100), sgd(0.01))?.loss(loss);
        let name = format!("regression_1000 standardised, {name}");
        Ok::<_, candle_ensemble::Error>(Setting::new(name, &regression, trainer, expected))
    };
    let squared = values("MSE", Loss::MeanSquared, level((0.0021, 0.0012), (0.0060, 0.0039)))?;

    let rows = vec![
        Row::new(
            "hinge",
            "hinge against binary cross-entropy (circles_1000, 50 units, 200 epochs)",
            &bce,
            margins(
                "hinge",
                Loss::Hinge,
                level((0.847, 0.003), (0.841, 0.008)).tail(medians((0.848, 0.003), (0.844, 0.009))),
            )?,
        )
        .test(with_ties(-0.006, (-0.010, -0.002), 4, 1), worse_from(18))
        .fresh(difference(-0.007, (-0.009, -0.006), 0), Direction::Any)
        .note("Scored by the sign of the output. About 1 % of networks saturate at once and learn nothing."),
        Row::new(
            "squared-hinge",
            "squared hinge against binary cross-entropy",
            &bce,
            margins(
                "squared hinge",
                Loss::SquaredHinge,
                level((0.838, 0.006), (0.844, 0.007)).tail(medians((0.840, 0.006), (0.842, 0.011))),
            )?,
        )
        .test(with_ties(-0.003, (-0.007, 0.002), 7, 1), Direction::Any)
        .fresh(difference(-0.005, (-0.007, -0.004), 0), worse_from(4)),
        Row::new(
            "kl",
            "KL divergence from logits against cross-entropy (blobs_1000, 50 units, 100 epochs)",
            &cross_entropy,
            on_blobs("KL from logits", three_classes, Loss::KlDivergence, ce)?,
        )
        .same()
        .note("With classes for targets the two are one loss."),
        Row::new(
            "kl-clipped",
            "KL divergence on clipped probabilities against cross-entropy",
            &cross_entropy,
            on_blobs(
                "KL on clipped probabilities",
                Mlp { on_outputs: CLIPPED, ..three_classes },
                Loss::KlDivergence,
                level((0.798, 0.088), (0.793, 0.085)).tail(TWO_COLLAPSED),
            )?,
        )
        .test(with_ties(-0.026, (-0.066, 0.013), 8, 3), Direction::Any)
        .fresh(difference(-0.027, (-0.068, 0.014), 9), Direction::Any)
        .note(
            "The gradient is 0 where the clip acts, so some networks stop learning: compute it from logits.",
        ),
        Row::new(
            "msle",
            "MSLE against MSE (regression_1000, X and y standardised, 100 epochs; MSE)",
            &squared,
            values(
                "MSLE",
                Loss::MeanSquaredLogarithmic { clip: true },
                level((0.1210, 0.0414), (0.1497, 0.0527)).tail(medians((0.108, 0.040), (0.139, 0.047))),
            )?,
        )
        .test(difference(0.1437, (0.1184, 0.1690), 0), WORSE)
        .note("It is wrong for targets that are negative; in about 3 % of trainings the MSE ends above 1."),
        Row::new(
            "mae",
            "MAE against MSE (same; MSE)",
            &squared,
            values("MAE", Loss::MeanAbsolute, level((0.0034, 0.0029), (0.0041, 0.0039)))?,
        )
        .test(difference(-0.0019, (-0.0038, 0.), 14), better_from(42)),
    ];
    Ok(Table { key: "losses", title: "losses", rows })
}
