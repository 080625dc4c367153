//! The data sets of the suite: three real ones and three drawn at random, with a setup for each that is known to work.
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Scaler, TensorDataset},
    plan::Value,
    remedy::Setup,
    Result, Seed,
};
use rand::Rng;
use rand_distr::StandardNormal;
use std::f64::consts::PI;

/// A table of numbers: inputs row by row, and targets.
struct Table {
    columns: usize,
    inputs: Vec<f64>,
    targets: Targets,
}

enum Targets {
    Classes(Vec<u32>),
    Values(Vec<f64>),
}

/// A data set of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Digits,
    Wine,
    Diabetes,
    Moons,
    Rings,
    Friedman,
}

/// How the table is changed before it is a data set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spoiled {
    /// Rows that are left, at random; all if `None`.
    pub rows: Option<usize>,
    /// The share of the rows whose class is drawn at random, or whose value gets noise of one standard deviation.
    pub noise: f64,
    /// The factor of every second column; 1 leaves the inputs standardized.
    pub input_scale: f64,
    /// The factor of the targets of a regression; 1 leaves them standardized.
    pub target_scale: f64,
}

impl Spoiled {
    pub const NOT: Self = Self { rows: None, noise: 0., input_scale: 1., target_scale: 1. };
}

impl Set {
    pub const ALL: [Self; 6] =
        [Self::Digits, Self::Wine, Self::Diabetes, Self::Moons, Self::Rings, Self::Friedman];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Wine => "wine",
            Self::Diabetes => "diabetes",
            Self::Moons => "moons",
            Self::Rings => "rings",
            Self::Friedman => "friedman",
        }
    }

    pub const fn regression(self) -> bool {
        matches!(self, Self::Diabetes | Self::Friedman)
    }

    /// A setup that works: the learning curves of several seeds show a good fit, or nothing that a remedy helps against.
    pub fn healthy(self) -> Setup {
        let (hidden, rate, epochs, extra) = match self {
            Self::Digits => ("64", 0.003, 60, Some(("regularizer", Value::from("l2:0.003")))),
            Self::Wine => ("16", 0.003, 30, Some(("weight_decay", 0.02.into()))),
            Self::Diabetes => ("8", 0.003, 40, Some(("weight_decay", 0.1.into()))),
            Self::Moons => ("16", 0.01, 60, None),
            Self::Rings => ("32", 0.01, 60, None),
            Self::Friedman => ("32", 0.01, 100, Some(("weight_decay", 0.3.into()))),
        };
        let mut setup = Setup::default();
        setup.settings = setup
            .settings
            .with("hidden", hidden)
            .with("optimizer", "adamw:0.001:weight-decay=0")
            .with("learning_rate", rate)
            .with("epochs", epochs)
            .with("batch_size", 32);
        if let Some((name, value)) = extra {
            setup.settings = setup.settings.with(name, value);
        }
        setup
    }

    /// The rows, standardized and then spoiled.
    pub fn data(self, spoiled: Spoiled, seed: Seed) -> Result<TensorDataset> {
        let Table { columns, inputs, targets } = self.table(seed.child("table"));
        let rows = inputs.len() / columns;
        let inputs = Tensor::from_vec(inputs, (rows, columns), &Device::Cpu)?;
        let mut inputs = Scaler::standardize(&inputs)?.transform(&inputs)?;
        if spoiled.input_scale != 1. {
            let factor = |column: usize| if column.is_multiple_of(2) { spoiled.input_scale } else { 1. };
            let factors: Vec<f64> = (0..columns).map(factor).collect();
            inputs = inputs.broadcast_mul(&Tensor::from_vec(factors, (1, columns), &Device::Cpu)?)?;
        }
        let inputs = inputs.to_dtype(DType::F32)?;
        let mut rng = seed.child("noise").rng();
        let data = match targets {
            Targets::Classes(mut ids) => {
                let classes = ids.iter().max().map_or(1, |most| most + 1);
                for id in &mut ids {
                    if rng.random::<f64>() < spoiled.noise {
                        *id = rng.random_range(0..classes);
                    }
                }
                TensorDataset::classification(inputs, &Tensor::new(ids, &Device::Cpu)?)?
            }
            Targets::Values(values) => {
                let values = Tensor::new(values, &Device::Cpu)?;
                let values = Scaler::standardize(&values)?.transform(&values)?.to_vec1::<f64>()?;
                let spoil = |value: f64| {
                    let noise: f64 = if spoiled.noise > 0. { rng.sample(StandardNormal) } else { 0. };
                    (spoiled.target_scale * (value + noise * spoiled.noise)) as f32
                };
                let values: Vec<f32> = values.into_iter().map(spoil).collect();
                TensorDataset::regression(inputs, &Tensor::new(values, &Device::Cpu)?)?
            }
        };
        match spoiled.rows {
            Some(few) if few < rows => {
                let mut keep: Vec<u32> = (0..rows as u32).collect();
                let mut rng = seed.child("rows").rng();
                for i in 0..few {
                    keep.swap(i, rng.random_range(i..rows));
                }
                keep.truncate(few);
                data.subset(&keep)
            }
            _ => Ok(data),
        }
    }

    fn table(self, seed: Seed) -> Table {
        match self {
            Self::Digits => {
                let digits = smartcore::dataset::digits::load_dataset();
                Table {
                    columns: digits.num_features,
                    inputs: digits.data.iter().map(|x| f64::from(*x)).collect(),
                    targets: Targets::Classes(digits.target.iter().map(|d| *d as u32).collect()),
                }
            }
            Self::Wine => {
                let wine = linfa_datasets::winequality();
                // Qualities 3 to 8, in three classes: up to 5, 6, and above.
                let class = |quality: &usize| (*quality).clamp(5, 7) as u32 - 5;
                Table {
                    columns: wine.records().ncols(),
                    inputs: wine.records().iter().copied().collect(),
                    targets: Targets::Classes(wine.targets().iter().map(class).collect()),
                }
            }
            Self::Diabetes => {
                let diabetes = linfa_datasets::diabetes();
                Table {
                    columns: diabetes.records().ncols(),
                    inputs: diabetes.records().iter().copied().collect(),
                    targets: Targets::Values(diabetes.targets().to_vec()),
                }
            }
            Self::Moons => moons(1500, 0.2, seed),
            Self::Rings => rings(1500, 0.15, seed),
            Self::Friedman => friedman(1200, 1., seed),
        }
    }
}

/// Two half circles of radius 1, with noise.
fn moons(rows: usize, noise: f64, seed: Seed) -> Table {
    let mut rng = seed.rng();
    let (mut inputs, mut classes) = (vec![], vec![]);
    for row in 0..rows {
        let (sin, cos) = (PI * rng.random::<f64>()).sin_cos();
        let point = if row % 2 == 0 { [cos, sin] } else { [1. - cos, 0.5 - sin] };
        inputs.extend(point.map(|x| x + noise * rng.sample::<f64, _>(StandardNormal)));
        classes.push((row % 2) as u32);
    }
    Table { columns: 2, inputs, targets: Targets::Classes(classes) }
}

/// Three rings around one another, of the radii 1, 2 and 3, with noise.
fn rings(rows: usize, noise: f64, seed: Seed) -> Table {
    let mut rng = seed.rng();
    let (mut inputs, mut classes) = (vec![], vec![]);
    for row in 0..rows {
        let class = row % 3;
        let (sin, cos) = (2. * PI * rng.random::<f64>()).sin_cos();
        let radius = class as f64 + 1.;
        inputs.extend([radius * cos, radius * sin].map(|x| x + noise * rng.sample::<f64, _>(StandardNormal)));
        classes.push(class as u32);
    }
    Table { columns: 2, inputs, targets: Targets::Classes(classes) }
}

/// Friedman's first function of five of ten inputs, with noise (Friedman 1991, doi:10.1214/aos/1176347963).
fn friedman(rows: usize, noise: f64, seed: Seed) -> Table {
    let mut rng = seed.rng();
    let (mut inputs, mut values) = (vec![], vec![]);
    for _ in 0..rows {
        let x: [f64; 10] = std::array::from_fn(|_| rng.random());
        let value = 10. * (PI * x[0] * x[1]).sin() + 20. * (x[2] - 0.5).powi(2) + 10. * x[3] + 5. * x[4];
        inputs.extend(x);
        values.push(value + noise * rng.sample::<f64, _>(StandardNormal));
    }
    Table { columns: 10, inputs, targets: Targets::Values(values) }
}
