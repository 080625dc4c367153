//! Scaling and clipping on regression_1000: 20 → 25 → 1, He-uniform, SGD, batch 32, 100 epochs. The targets
//! have a variance of about 20 400: with them as they are, the training ends in NaN. Clipped trainings do not
//! and are scored in these units, in which the mean of the training targets scores 26 270. Standardised is by the
//! training rows; with standardised targets the unit of the MSE is their variance.
use crate::{
    data::{Bench, Problem},
    network::{sgd, Mlp},
    reference::{difference, level, medians, Direction, Expected},
    setting::{Row, Setting, Table},
};
use candle_ensemble::{data::Scaling, train::Clip, Error, Result};
use std::sync::Arc;

pub fn table(bench: &Bench) -> Result<Table> {
    let data = bench.regression_1000()?;
    let raw = Arc::new(Problem::values(&data, 500)?);
    let in_units = Arc::new(Problem::values(&data, 500)?.in_units_of_variance()?);
    let plain = || Mlp::new(20, 25, 1).he().trainer(bench.epochs(100), sgd(0.01));
    let y_scaled = || Ok::<_, Error>(plain()?.target_scaling(Scaling::Standardize));
    let setting = |problem: &Arc<Problem>, name: &str, trainer, expected: Expected| {
        Setting::new(format!("regression_1000, {name}"), problem, trainer, expected)
    };
    let without = setting(&raw, "no scaling", plain()?, Expected::NotFinite);
    let clipped = |name: &str, clip, expected: Expected| {
        Ok::<_, Error>(setting(&raw, name, plain()?.clip(clip), expected))
    };

    let y_alone = level((0.0020, 0.0013), (0.0058, 0.0043));
    let y_alone = setting(&in_units, "y standardised", y_scaled()?, y_alone.into());
    let both = level((0.0020, 0.0012), (0.0058, 0.0040));
    let both = setting(
        &in_units,
        "X and y standardised",
        y_scaled()?.input_scaling(Scaling::Standardize),
        both.into(),
    );

    let rows = vec![
        Row::new("y", "y standardised (MSE in units of y’s variance)", &without, y_alone.clone()),
        Row::new("x-and-y", "X and y standardised against y alone", &y_alone, both)
            .test(difference(-0.0001, (-0.0003, 0.0002), 10), Direction::Any),
        Row::new(
            "x",
            "X standardised, y not",
            &without,
            setting(
                &raw,
                "X standardised",
                plain()?.input_scaling(Scaling::Standardize),
                Expected::NotFinite,
            ),
        ),
        Row::new(
            "clip-norm",
            "gradient norm ≤ 1 over all parameters together",
            &without,
            clipped("norm 1", Clip::Norm(1.), level((3.5, 1.9), (21.6, 5.8)).into())?,
        ),
        Row::new(
            "clip-norm-per-array",
            "gradient norm ≤ 1 for each array by itself",
            &without,
            clipped("norm 1 each", Clip::NormPerVariable(1.), level((1.3, 0.7), (15.8, 2.6)).into())?,
        ),
        Row::new(
            "clip-value",
            "each gradient value within ±5",
            &without,
            clipped(
                "value 5",
                Clip::Value(5.),
                level((35.9, 16.6), (42.8, 23.1)).tail(medians((43.2, 28.7), (53.0, 34.3))).into(),
            )?,
        ),
    ];
    Ok(Table { key: "scaling", title: "scaling and clipping (regression_1000, 100 epochs; MSE)", rows })
}
