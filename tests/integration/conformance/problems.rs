//! The kinds of task and of output, tiny.
use crate::common::{blobs, flat, line, CPU};
use candle_core::Tensor;
use candle_ensemble::{
    data::TensorDataset,
    distribution::Levels,
    nn::{
        self,
        many::{EfficientEnsemble, EnsembleNetwork},
        seq, Sequential,
    },
    plan::Settings,
    train::{Optimizer, Output, Trainer},
    AnyNetwork, Network,
};
use candle_nn::{linear, Activation, VarBuilder};

pub type Net = AnyNetwork;

pub const ROWS: usize = 60;
pub const EPOCHS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Three classes.
    Classes,
    /// Two classes, one logit.
    Binary,
    /// Two outputs.
    Values,
    /// The mean and the variance of two outputs.
    Gaussians,
    /// The location and the scale of two outputs.
    Laplaces,
    /// The same, of Student's t distributions.
    StudentTs,
    /// Two Gaussians for each of two outputs.
    Mixtures,
    /// Three quantiles of two outputs.
    Quantiles,
    /// Three classes at each of two positions.
    Positions,
    /// Three labels, each of which a row has or has not.
    Labels,
    /// Three classes with an order, two logits.
    Ordered,
}

impl Problem {
    /// Those with which everything is tried. Rules, merges and records see a distribution as its mean, so Gaussians stand for
    /// all of them.
    pub const ALL: [Self; 7] = [
        Self::Classes,
        Self::Binary,
        Self::Values,
        Self::Gaussians,
        Self::Positions,
        Self::Labels,
        Self::Ordered,
    ];

    /// The kinds of distributions, with which everything is tried that depends on the kind.
    pub const DISTRIBUTIONS: [Self; 5] =
        [Self::Gaussians, Self::Laplaces, Self::StudentTs, Self::Mixtures, Self::Quantiles];

    pub fn is_classification(self) -> bool {
        self != Self::Values && !self.output().is_distribution()
    }

    pub fn output(self) -> Output {
        match self {
            Self::Gaussians => Output::Gaussian,
            Self::Laplaces => Output::Laplace,
            Self::StudentTs => Output::StudentT { degrees_of_freedom: 4. },
            Self::Mixtures => Output::GaussianMixture { components: 2 },
            Self::Ordered => Output::CumulativeLogits,
            Self::Quantiles => Output::Quantiles { levels: Levels::new(&[0.1, 0.5, 0.9]).unwrap() },
            _ => Output::Logits,
        }
    }

    /// The number of positions of a row.
    pub fn positions(self) -> usize {
        match self {
            Self::Positions => 2,
            Self::Labels => 3,
            _ => 1,
        }
    }

    pub fn data(self) -> TensorDataset {
        match self {
            Self::Labels => {
                let one = blobs(5, ROWS, 3, 0.7);
                let each = one
                    .labels()
                    .unwrap()
                    .iter()
                    .flat_map(|class| [u32::from(*class > 0), class % 2, u32::from(*class < 2)]);
                let each = Tensor::from_iter(each, &CPU).unwrap().reshape((ROWS, 3)).unwrap();
                TensorDataset::multi_label(one.inputs().clone(), &each).unwrap()
            }
            Self::Positions => {
                let one = blobs(4, ROWS, 3, 0.7);
                let both = one.labels().unwrap().iter().flat_map(|class| [*class, (class + 1) % 3]);
                let both = Tensor::from_iter(both, &CPU).unwrap().reshape((ROWS, 2)).unwrap();
                TensorDataset::dense(one.inputs().clone(), &both, None).unwrap()
            }
            Self::Classes => blobs(1, ROWS, 3, 0.7),
            Self::Binary => blobs(2, ROWS, 2, 0.9),
            Self::Ordered => blobs(6, ROWS, 3, 0.7),
            _ => {
                let one = line(3, ROWS, 0.5);
                let x = one.inputs().only().unwrap().clone();
                let other = x.sqr().unwrap().sum(1).unwrap();
                TensorDataset::regression(x, &Tensor::stack(&[one.targets(), &other], 1).unwrap()).unwrap()
            }
        }
    }

    /// The same data but for one row, which has another class, or another first target.
    pub fn with_other_target(self, row: u32) -> TensorDataset {
        let data = self.data();
        let inputs = data.inputs().clone();
        if self.positions() > 1 {
            let mut ids: Vec<u32> = data.targets().flatten_all().unwrap().to_vec1().unwrap();
            let (first, classes) = (self.positions() * row as usize, data.classes().unwrap() as u32);
            ids[first] = (ids[first] + 1) % classes;
            let targets = Tensor::from_vec(ids, data.targets().shape(), &CPU).unwrap();
            return match self {
                Self::Labels => TensorDataset::multi_label(inputs, &targets).unwrap(),
                _ => TensorDataset::dense(inputs, &targets, None).unwrap(),
            };
        }
        match data.labels() {
            Some(labels) => {
                let classes = data.classes().unwrap() as u32;
                let mut labels = labels.to_vec();
                labels[row as usize] = (labels[row as usize] + 1) % classes;
                TensorDataset::classification(inputs, &Tensor::new(labels, &CPU).unwrap()).unwrap()
            }
            None => {
                let mut targets: Vec<f32> = flat(data.targets()).iter().map(|y| *y as f32).collect();
                targets[2 * row as usize] += 5.;
                let targets = Tensor::from_vec(targets, data.targets().shape(), &CPU).unwrap();
                TensorDataset::regression(inputs, &targets).unwrap()
            }
        }
    }

    /// The network for so many inputs, with so many hidden units.
    pub fn network<'v>(
        self,
        inputs: usize,
        hidden: usize,
        vb: VarBuilder<'v>,
    ) -> candle_core::Result<Sequential> {
        let outputs = match self {
            Self::Classes => 3,
            Self::Binary => 1,
            Self::Ordered => 2,
            Self::Positions => 6,
            Self::Labels => 3,
            _ => 2 * self.output().numbers_per_value(),
        };
        // The layers of the library for one of the tasks, those of candle for the others.
        if self == Self::Binary {
            let layers = seq().add(nn::linear(inputs, hidden, vb.pp("hidden"))?).add(nn::Activation::Relu);
            return Ok(layers.add(nn::linear(hidden, outputs, vb.pp("out"))?));
        }
        let layers = seq().add(linear(inputs, hidden, vb.pp("hidden"))?).add(Activation::Relu);
        let layers = layers.add(linear(hidden, outputs, vb.pp("out"))?);
        match self {
            Self::Positions => Ok(layers.add(|x: &Tensor| x.reshape((x.dim(0)?, 2, 3)))),
            _ => Ok(layers),
        }
    }

    pub fn learner(self) -> Trainer<Net> {
        let net = move |settings: &Settings, vb: VarBuilder<'static>| {
            self.network(settings.count("inputs")?.unwrap_or(2), 5, vb)
        };
        self.trained(Trainer::convertible(&["inputs"], net))
    }

    /// The trainer of many members in one network.
    pub fn learner_of(self, method: EfficientEnsemble) -> Trainer<EnsembleNetwork> {
        let net = move |settings: &Settings, vb: VarBuilder<'static>| {
            let inputs = settings.count("inputs")?.unwrap_or(2);
            method.convert(vb, move |vb| self.network(inputs, 12, vb))
        };
        self.trained(Trainer::reading(&["inputs"], net))
    }

    fn trained<N: Network>(self, trainer: Trainer<N>) -> Trainer<N> {
        trainer.epochs(EPOCHS).batch_size(16).optimizer(Optimizer::adam(1e-2)).output(self.output())
    }
}
