//! The data sets, as tables of numbers, and the problems made of them: which rows train, watch and test.
use super::generators::Generator;
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Dataset, Scaler, TensorDataset},
    metrics,
    plan::{Plan, RunSpec},
    train::Learner,
    Error, Pool, Result, Rows, Seed,
};
use std::{fs, ops::Range, path::Path, sync::Arc};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/techniques/data.safetensors");

/// Fresh rows on which every network is scored too.
const NEW_ROWS: usize = 10_000;

/// Inputs row by row, and targets: numbers of classes, or values.
#[derive(Clone, Debug)]
pub struct Table {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

impl Table {
    /// A data set of the file beside this program, as scikit-learn made it.
    pub fn read(name: &str) -> Result<Self> {
        let path = Path::new(FILE);
        let bytes = fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
        let numbers = |part: &str| -> Result<Vec<f64>> {
            let name = format!("{name}.{part}");
            let tensor = tensors.get(&name);
            let tensor = tensor.ok_or_else(|| Error::invalid(FILE, format!("with {name}"), "without"))?;
            Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
        };
        Ok(Self { x: numbers("x")?, y: numbers("y")? })
    }

    pub fn rows(&self) -> usize {
        self.y.len()
    }

    fn width(&self) -> usize {
        self.x.len() / self.rows()
    }

    /// The numbers of a column of the inputs.
    fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        self.x.iter().skip(column).step_by(self.width()).copied()
    }

    /// The shift and the factor of each column that bring it to [−1, 1].
    pub fn to_unit_range(&self) -> Vec<(f64, f64)> {
        let of = |column| {
            let low = self.column(column).fold(f64::INFINITY, f64::min);
            let high = self.column(column).fold(f64::NEG_INFINITY, f64::max);
            ((low + high) / 2., 2. / (high - low))
        };
        (0..self.width()).map(of).collect()
    }

    /// The same inputs, shifted and stretched column by column.
    pub fn scaled(mut self, columns: &[(f64, f64)]) -> Self {
        for (x, (shift, factor)) in self.x.iter_mut().zip(columns.iter().cycle()) {
            *x = (*x - shift) * factor;
        }
        self
    }

    /// The inputs at mean 0 and variance 1 of the first `rows` rows.
    pub fn inputs_standardized(self, rows: usize) -> Result<Self> {
        let width = self.width();
        Ok(Self { x: standardized(&self.x, width, rows)?, ..self })
    }

    /// The targets at mean 0 and variance 1 of the first `rows` rows.
    pub fn targets_standardized(self, rows: usize) -> Result<Self> {
        Ok(Self { y: standardized(&self.y, 1, rows)?, ..self })
    }

    fn inputs(&self) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.x, (self.rows(), self.width()), &Device::Cpu)?.to_dtype(DType::F32)?)
    }

    fn targets(&self) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.y, self.rows(), &Device::Cpu)?)
    }

    fn classes(&self, classes: usize) -> Result<TensorDataset> {
        let labels = self.targets()?.to_dtype(DType::U32)?;
        TensorDataset::classification(self.inputs()?, &labels)?.with_classes(classes)
    }

    fn values(&self) -> Result<TensorDataset> {
        TensorDataset::regression(self.inputs()?, &self.targets()?.to_dtype(DType::F32)?)
    }
}

/// Every column at mean 0 and variance 1 of the first `rows` rows.
fn standardized(numbers: &[f64], columns: usize, rows: usize) -> Result<Vec<f64>> {
    let all = Tensor::from_slice(numbers, (numbers.len() / columns, columns), &Device::Cpu)?;
    let scaler = Scaler::standardize(&all.narrow(0, 0, rows)?)?;
    Ok(scaler.transform(&all)?.flatten_all()?.to_vec1()?)
}

/// How networks are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// The share of rows whose class is right.
    Accuracy,
    MeanSquared,
}

impl Metric {
    pub fn higher_is_better(self) -> bool {
        self == Self::Accuracy
    }
}

/// A data set with its rows: which train, which are watched by early stopping, which are scored.
pub struct Problem {
    pub data: TensorDataset,
    pub train: Rows,
    pub valid: Rows,
    pub test: Rows,
    pub metric: Metric,
    /// What a mean squared error is divided by.
    unit: f64,
    parts: Parts,
}

/// The rows that are scored.
struct Parts {
    train: TensorDataset,
    test: TensorDataset,
    new: Option<TensorDataset>,
}

/// What one network obtains.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Scores {
    pub train: f64,
    pub test: f64,
    /// On fresh rows of the same distribution, where there is a generator.
    pub new: Option<f64>,
    /// The negative log-likelihood of the test rows' classes.
    pub log_loss: Option<f64>,
    /// Epochs until the end or until early stopping.
    pub epochs: usize,
}

impl Problem {
    fn new(
        data: TensorDataset,
        new: Option<TensorDataset>,
        train: Range<u32>,
        metric: Metric,
    ) -> Result<Self> {
        let (test, train): (Rows, Rows) = ((train.end..data.rows() as u32).collect(), train.collect());
        let parts = Parts { train: data.subset(&train)?, test: data.subset(&test)?, new };
        Ok(Self { data, train, valid: vec![], test, metric, unit: 1., parts })
    }

    /// Classes, with new rows of the same distribution. `scale` changes the inputs of both in the same way.
    pub fn classes(
        name: &str,
        generator: Generator,
        train: u32,
        seed: Seed,
        scale: fn(&Table) -> Vec<(f64, f64)>,
    ) -> Result<Self> {
        let table = Table::read(name)?;
        let (columns, classes) = (scale(&table), generator.classes());
        let new = generator.rows(NEW_ROWS, seed.child(name)).scaled(&columns).classes(classes)?;
        Self::new(table.scaled(&columns).classes(classes)?, Some(new), 0..train, Metric::Accuracy)
    }

    /// Values, scored by the mean squared error.
    pub fn values(table: &Table, train: u32) -> Result<Self> {
        Self::new(table.values()?, None, 0..train, Metric::MeanSquared)
    }

    /// Scores the mean squared error in units of the variance of the training rows' targets.
    pub fn in_units_of_variance(self) -> Result<Self> {
        let targets = self.parts.train.targets().to_dtype(DType::F64)?;
        let unit = targets.broadcast_sub(&targets.mean_all()?)?.sqr()?.mean_all()?.to_scalar()?;
        Ok(Self { unit, ..self })
    }

    /// The rows that early stopping watches.
    pub fn watching(self, valid: Range<u32>) -> Self {
        Self { valid: valid.collect(), ..self }
    }

    /// Scores only these rows.
    pub fn scored_on(mut self, test: Range<u32>) -> Result<Self> {
        self.test = test.collect();
        self.parts.test = self.data.subset(&self.test)?;
        Ok(self)
    }

    /// A plan of one run on the training rows. Its initial weights and shuffles depend on the seed only.
    pub fn plan(&self, seed: Seed) -> Plan {
        let mut run = RunSpec::new(0, "model", seed, self.train.clone());
        run.valid = (&self.valid).into();
        Plan { runs: vec![run], reserved: vec![].into(), data: self.data.fingerprint(), seed }
    }

    /// Scores the one network of the pool.
    pub fn score<L: Learner>(&self, pool: &Pool<'_, L>) -> Result<Scores> {
        let epochs = pool.members().first().map_or(0, |member| member.record.curve.len());
        let (test, log_loss) = self.score_on(pool, &self.parts.test)?;
        let (train, _) = self.score_on(pool, &self.parts.train)?;
        let new = self.parts.new.as_ref().map(|new| Ok::<_, Error>(self.score_on(pool, new)?.0));
        Ok(Scores { train, test, new: new.transpose()?, log_loss, epochs })
    }

    fn score_on<L: Learner>(&self, pool: &Pool<'_, L>, rows: &TensorDataset) -> Result<(f64, Option<f64>)> {
        let predicted = pool.predictions_per_member(rows.inputs())?.values().squeeze(0)?;
        match self.metric {
            Metric::Accuracy => {
                let labels = rows.labels().unwrap_or_default();
                let accuracy = metrics::accuracy(&predicted, labels, None)?;
                Ok((accuracy, Some(metrics::nll(&predicted, labels, None)?)))
            }
            Metric::MeanSquared => {
                let errors =
                    (predicted.squeeze(1)?.to_dtype(DType::F64)? - rows.targets().to_dtype(DType::F64)?)?;
                Ok((errors.sqr()?.mean_all()?.to_scalar::<f64>()? / self.unit, None))
            }
        }
    }
}

/// What the tables share: the data, and how long networks are trained.
pub struct Bench {
    seed: Seed,
    /// Only every 50th epoch, to see that everything runs.
    quick: bool,
}

impl Bench {
    pub fn new(seed: Seed, quick: bool) -> Self {
        Self { seed: seed.child("new rows"), quick }
    }

    pub fn epochs(&self, epochs: usize) -> usize {
        if self.quick {
            epochs.div_ceil(50)
        } else {
            epochs
        }
    }

    /// moons_100, trained on rows 0–29 and scored on rows 30–99.
    pub fn moons_100(&self) -> Result<Problem> {
        Problem::classes("moons_100", Generator::Moons { noise: 0.2 }, 30, self.seed, as_it_is)
    }

    /// circles_100, trained on rows 0–29 and scored on rows 30–99.
    pub fn circles_100(&self) -> Result<Arc<Problem>> {
        let circles = Problem::classes("circles_100", Generator::CIRCLES, 30, self.seed, as_it_is);
        circles.map(Arc::new)
    }

    /// circles_1000, trained on rows 0–499 and scored on rows 500–999.
    pub fn circles_1000(&self) -> Result<Arc<Problem>> {
        let circles = Problem::classes("circles_1000", Generator::CIRCLES, 500, self.seed, as_it_is);
        circles.map(Arc::new)
    }

    /// circles_1000 with inputs in [−1, 1], by the minimum and the maximum of all rows.
    pub fn circles_1000_in_unit_range(&self) -> Result<Arc<Problem>> {
        let scale = Table::to_unit_range;
        Problem::classes("circles_1000", Generator::CIRCLES, 500, self.seed, scale).map(Arc::new)
    }

    /// blobs_1000, trained on rows 0–499 and scored on rows 500–999.
    pub fn blobs_1000(&self) -> Result<Arc<Problem>> {
        let blobs = Generator::Blobs { centers: &BLOBS, sd: 2. };
        Problem::classes("blobs_1000", blobs, 500, self.seed, as_it_is).map(Arc::new)
    }

    /// The blobs of other centers, from which networks are transferred.
    pub fn blobs_1000_seed1(&self) -> Result<Arc<Problem>> {
        let blobs = Generator::Blobs { centers: &BLOBS_SEED1, sd: 2. };
        Problem::classes("blobs_1000_seed1", blobs, 500, self.seed, as_it_is).map(Arc::new)
    }

    /// regression_1000, whose rows 0–499 train.
    pub fn regression_1000(&self) -> Result<Table> {
        Table::read("regression_1000")
    }
}

fn as_it_is(table: &Table) -> Vec<(f64, f64)> {
    vec![(0., 1.); table.width()]
}

/// The centers that scikit-learn drew for blobs_1000 and blobs_1000_seed1.
const BLOBS: [[f64; 2]; 3] = [
    [-1.2801019571599248, -9.481475363442174],
    [0.9932495575741829, -1.293552147634463],
    [-1.5926439582502194, -3.3933035799225175],
];
const BLOBS_SEED1: [[f64; 2]; 3] = [
    [-1.6595599059485195, 4.4064898688431615],
    [-9.997712503653101, -3.9533485473632046],
    [-7.064882183657739, -8.153228104624045],
];
