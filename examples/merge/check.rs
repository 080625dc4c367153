//! What the merged network is worth on data, beside the networks and their ensemble.
use candle_core::{DType, Device, Result, Tensor, D};
use candle_nn::ops::log_softmax;
use clap::ValueEnum;
use npyz::{NpyFile, Order};
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

/// The function between two linear layers.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Activation {
    Relu,
    Gelu,
    Silu,
    Tanh,
    Sigmoid,
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu_erf(),
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => candle_nn::ops::sigmoid(x),
        }
    }
}

/// The arrays of a NumPy archive: `inputs`, `(N, F)`, and `targets`, `(N,)` or `(N, K)`, if it has them.
struct Data {
    inputs: Tensor,
    targets: Option<Tensor>,
}

impl Data {
    fn read(path: &Path) -> std::result::Result<Self, String> {
        let named = |e: String| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| named(e.to_string()))?;
        let mut archive = zip::ZipArchive::new(BufReader::new(file))
            .map_err(|e| named(format!("not a NumPy archive (.npz): {e}")))?;
        let mut table = |name: &str| -> std::result::Result<Option<Tensor>, String> {
            let Ok(mut entry) = archive.by_name(&format!("{name}.npy")) else { return Ok(None) };
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).map_err(|e| named(format!("{name}: {e}")))?;
            array(&bytes).map(Some).map_err(|e| named(format!("{name}: {e}")))
        };
        let inputs = table("inputs")?.ok_or_else(|| named("it has no array `inputs`".into()))?;
        let targets = table("targets")?;
        let rows = inputs.dim(0).map_err(|e| named(e.to_string()))?;
        if rows == 0 || targets.as_ref().is_some_and(|t| t.dim(0).ok() != Some(rows)) {
            return Err(named("its inputs must have at least one row, and its targets as many".into()));
        }
        let inputs = inputs.reshape((rows, ())).map_err(|e| named(e.to_string()))?;
        Ok(Self { inputs, targets })
    }
}

/// The numbers of an array in row-major order, as f64.
fn array(bytes: &[u8]) -> std::result::Result<Tensor, String> {
    let file = NpyFile::new(bytes).map_err(|e| e.to_string())?;
    let dims: Vec<usize> = file.shape().iter().map(|dim| *dim as usize).collect();
    if file.order() == Order::Fortran && dims.len() > 1 {
        return Err("it must be in row-major (C) order".into());
    }
    let npyz::DType::Plain(dtype) = file.dtype() else { return Err("it must hold numbers".into()) };
    macro_rules! read {
        ($type:ty, $number:expr) => {
            file.into_vec::<$type>()
                .map_err(|e| e.to_string())?
                .into_iter()
                .map($number)
                .collect::<Vec<f64>>()
        };
    }
    use npyz::TypeChar::{Float, Int, Uint};
    let numbers = match (dtype.type_char(), dtype.size_field()) {
        (Float, 4) => read!(f32, f64::from),
        (Float, 8) => read!(f64, |x| x),
        (Int, 1) => read!(i8, f64::from),
        (Int, 4) => read!(i32, f64::from),
        (Int, 8) => read!(i64, |x| x as f64),
        (Uint, 1) => read!(u8, f64::from),
        (Uint, 4) => read!(u32, f64::from),
        (Uint, 8) => read!(u64, |x| x as f64),
        _ => return Err("it must hold f32, f64 or integers".into()),
    };
    if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
        return Err(format!("element {at} must be finite, but is {}", numbers[at]));
    }
    Tensor::from_vec(numbers, dims, &Device::Cpu).map_err(|e| e.to_string())
}

/// A multilayer perceptron: its weights, `(out, in)`, and biases, in order.
struct Mlp(Vec<(Tensor, Option<Tensor>)>);

impl Mlp {
    /// Reads the layers of a file: tensors `….weight` of two dimensions, with a `….bias` or without.
    fn read(path: &Path) -> std::result::Result<Self, String> {
        let refuse = |why: String| {
            format!(
                "--check runs multilayer perceptrons in single files, and {} is none: {why}",
                path.display()
            )
        };
        if path.is_dir() || path.extension().is_some_and(|e| e == "json") {
            return Err(refuse("it is sharded or a folder".into()));
        }
        let tensors =
            candle_core::safetensors::load(path, &Device::Cpu).map_err(|e| refuse(e.to_string()))?;
        let tensors: BTreeMap<Vec<Part>, (String, Tensor)> =
            tensors.into_iter().map(|(name, tensor)| (parts(&name), (name, tensor))).collect();
        let mut layers: Vec<(String, Tensor, Option<Tensor>)> = vec![];
        for (name, tensor) in tensors.values().filter(|(name, _)| name.ends_with("weight")) {
            let tensor = tensor.to_dtype(DType::F64).map_err(|e| refuse(e.to_string()))?;
            layers.push((name.strip_suffix("weight").unwrap_or_default().into(), tensor, None));
        }
        for (name, tensor) in tensors.values().filter(|(name, _)| !name.ends_with("weight")) {
            let layer = layers.iter_mut().find(|(layer, ..)| *name == format!("{layer}bias"));
            let Some((.., bias)) = layer else { return Err(refuse(format!("it has a tensor {name}"))) };
            *bias = Some(tensor.to_dtype(DType::F64).map_err(|e| refuse(e.to_string()))?);
        }
        let mut width = None;
        for (name, weight, _) in &layers {
            let dims = weight.dims();
            if dims.len() != 2 || width.is_some_and(|width| width != dims[1]) {
                return Err(refuse(format!(
                    "{name}weight is {dims:?}, which does not follow the layer before it"
                )));
            }
            width = Some(dims[0]);
        }
        if layers.is_empty() {
            return Err(refuse("it has no tensor whose name ends in weight".into()));
        }
        Ok(Self(layers.into_iter().map(|(_, weight, bias)| (weight, bias)).collect()))
    }

    fn forward(&self, inputs: &Tensor, activation: Activation) -> Result<Tensor> {
        let mut x = inputs.clone();
        for (i, (weight, bias)) in self.0.iter().enumerate() {
            x = if i > 0 { activation.apply(&x)? } else { x }.matmul(&weight.t()?)?;
            x = bias.as_ref().map_or(Ok(x.clone()), |bias| x.broadcast_add(bias))?;
        }
        Ok(x)
    }
}

/// A part of a name: numbers are ordered by value, so that layer 10 follows layer 9.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

fn parts(name: &str) -> Vec<Part> {
    name.split('.').map(|part| part.parse().map_or_else(|_| Part::Text(part.into()), Part::Number)).collect()
}

/// The networks that are merged, and what they say about the data.
pub struct Check {
    data: Data,
    activation: Activation,
    names: Vec<String>,
    outputs: Vec<Tensor>,
}

impl Check {
    /// Reads the data and runs the networks.
    pub fn new(
        data: &Path,
        networks: &[PathBuf],
        activation: Activation,
    ) -> std::result::Result<Self, String> {
        let data = Data::read(data)?;
        let outputs = networks.iter().map(|path| output(path, &data, activation));
        let outputs = outputs.collect::<std::result::Result<_, _>>()?;
        let names = networks.iter().map(|path| path.display().to_string()).collect();
        Ok(Self { data, activation, names, outputs })
    }

    /// Scores the networks, their ensemble and the merged network. Outputs of more than one column are logits of
    /// classes if the targets are class ids.
    pub fn report(&self, merged: &Path) -> std::result::Result<Report, String> {
        let merged = output(merged, &self.data, self.activation)?;
        self.scored(&merged).map_err(|e| format!("the check failed: {e}"))
    }
}

fn output(path: &Path, data: &Data, activation: Activation) -> std::result::Result<Tensor, String> {
    let output = Mlp::read(path)?.forward(&data.inputs, activation);
    output.map_err(|e| format!("{}: {e}", path.display()))
}

impl Check {
    fn scored(&self, merged: &Tensor) -> Result<Report> {
        let (outputs, data) = (&self.outputs, &self.data);
        let (rows, width) = merged.dims2()?;
        let classes = match &data.targets {
            Some(targets) if width > 1 => class_ids(targets, width)?,
            _ => None,
        };
        let ensemble = match classes {
            Some(_) => {
                let probabilities =
                    outputs.iter().map(|x| log_softmax(x, D::Minus1)?.exp()).collect::<Result<Vec<_>>>()?;
                Tensor::stack(&probabilities, 0)?.mean(0)?.log()?
            }
            None => Tensor::stack(outputs, 0)?.mean(0)?,
        };
        let score = |output: &Tensor| -> Result<Vec<f64>> {
            match (&classes, &data.targets) {
                (Some(ids), _) => classified(output, ids),
                (None, Some(targets)) => Ok(vec![mean_square(output, &targets.reshape((rows, ()))?)?]),
                (None, None) => Ok(vec![mean_square(output, &ensemble)?]),
            }
        };
        let named = self.names.iter().cloned().zip(outputs);
        let named = named.chain([("their ensemble".to_string(), &ensemble), ("merged".to_string(), merged)]);
        let scores = named.map(|(name, output)| Ok(Score { name, figures: score(output)? }));
        let figures: &[&str] = match (&classes, &data.targets) {
            (Some(_), _) => &["log-loss", "accuracy"],
            (None, Some(_)) => &["squared error"],
            (None, None) => &["squared distance from their ensemble"],
        };
        Ok(Report { rows, figures, scores: scores.collect::<Result<_>>()? })
    }
}

/// The score of one predictor.
struct Score {
    name: String,
    figures: Vec<f64>,
}

/// The scores of the networks, of their ensemble and of the merged network.
pub struct Report {
    rows: usize,
    figures: &'static [&'static str],
    scores: Vec<Score>,
}

impl Report {
    /// The loss of the merged network minus the mean loss of the networks.
    pub fn barrier(&self) -> f64 {
        let loss = |score: &Score| score.figures[0];
        let networks = &self.scores[..self.scores.len() - 2];
        let mean = networks.iter().map(loss).sum::<f64>() / networks.len() as f64;
        self.scores.last().map_or(f64::NAN, loss) - mean
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on {} rows:", self.rows)?;
        for Score { name, figures } in &self.scores {
            let figures = self.figures.iter().zip(figures).map(|(figure, x)| format!("{figure} {x:.4}"));
            write!(f, "\n  {name}: {}", figures.collect::<Vec<_>>().join(", "))?;
        }
        write!(
            f,
            "\n  barrier, the loss of the merged network minus the mean loss of the networks: {:+.4}",
            self.barrier()
        )
    }
}

/// The targets as class ids, if all are.
fn class_ids(targets: &Tensor, classes: usize) -> Result<Option<Vec<usize>>> {
    if targets.rank() != 1 {
        return Ok(None);
    }
    let all = targets.to_vec1::<f64>()?;
    let is_class = |x: &f64| x.fract() == 0. && *x >= 0. && *x < classes as f64;
    Ok(all.iter().all(is_class).then(|| all.iter().map(|x| *x as usize).collect()))
}

/// The log-loss and the accuracy of logits.
fn classified(logits: &Tensor, ids: &[usize]) -> Result<Vec<f64>> {
    let log_probabilities = log_softmax(logits, D::Minus1)?.to_vec2::<f64>()?;
    let best = logits.argmax(1)?.to_vec1::<u32>()?;
    let loss = log_probabilities.iter().zip(ids).map(|(row, id)| -row[*id]).sum::<f64>();
    let right = best.iter().zip(ids).filter(|(best, id)| **best as usize == **id).count();
    Ok(vec![loss / ids.len() as f64, right as f64 / ids.len() as f64])
}

fn mean_square(a: &Tensor, b: &Tensor) -> Result<f64> {
    (a - b)?.sqr()?.mean_all()?.to_scalar()
}
