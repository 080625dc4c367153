mod code;
mod compiled;
mod ranks;
mod setups;

use crate::{
    data::{Task, TensorDataset},
    diagnose::{Evidence, Finding, Label, Mark, Problem},
    nn::{seq, Activation, BatchNorm, BatchNormConfig, Dropout, Sequential},
    plan::Settings,
    remedy::{Setup, Start},
    train::{
        Adam, EarlyStopping, Freeze, InputNoise, Loss, MaxNorm, RangeEnd, RangeTest, RangeTestReport, Sgd,
        TrainConfig, Trainer, L2,
    },
    weights::InitScheme,
};
use candle_core::{Device, Tensor};
use candle_nn::{linear, VarBuilder};

const READS: [&str; 4] = ["activation", "batch_norm", "dropout", "hidden"];

/// A perceptron for 3 columns that reads widths, activation, dropout and batch normalization, and fails at
/// what it cannot read.
fn perceptron(outputs: usize) -> Trainer<Sequential> {
    Trainer::reading(&READS, move |settings: &Settings, vb: VarBuilder<'static>| {
        let text = settings.text("hidden")?.unwrap_or("8");
        let widths: Vec<usize> = match text {
            "none" => vec![],
            text => text.split(',').map(|width| width.parse().expect(text)).collect(),
        };
        let activation = Activation::registry().parse(settings.text("activation")?.unwrap_or("relu"))?;
        let (mut network, mut width) = (seq(), 3);
        for (i, next) in widths.into_iter().enumerate() {
            network = network.add(linear(width, next, vb.pp(i))?);
            if settings.flag("batch_norm")?.unwrap_or(false) {
                network =
                    network.add(BatchNorm::new(next, BatchNormConfig::default(), vb.pp(format!("n{i}")))?);
            }
            let share = settings.real("dropout")?.unwrap_or(0.);
            network = network.add(activation).add(Dropout::new(share, vb.pp(format!("d{i}")))?);
            width = next;
        }
        Ok(network.add(linear(width, outputs, vb.pp("out"))?))
    })
}

fn plain(outputs: usize) -> Trainer<Sequential> {
    Trainer::new(move |vb| Ok(seq().add(linear(3, outputs, vb)?)))
}

/// A trainer, a setup whose settings the trainer has already, and the data.
struct Case {
    name: &'static str,
    trainer: Trainer<Sequential>,
    setup: Setup,
    reads: &'static [&'static str],
    task: Task,
    rows: usize,
}

impl Case {
    fn start(&self) -> Start<'_> {
        let start = Start::new(self.trainer.config(), &self.setup).unwrap();
        assert_eq!(&start.config, self.trainer.config(), "{}", self.name);
        start.reads(self.reads.iter().copied()).task(self.task).rows(self.rows).features(3)
    }

    fn data(&self) -> TensorDataset {
        let x = Tensor::arange(0f32, 3. * self.rows as f32, &Device::Cpu).unwrap();
        let x = x.affine(1e-3, 0.).unwrap().reshape((self.rows, 3)).unwrap();
        match self.task {
            Task::Classification { classes } => {
                let y = Tensor::from_iter((0..self.rows as u32).map(|i| i % classes as u32), &Device::Cpu);
                TensorDataset::classification(x, &y.unwrap()).unwrap()
            }
            Task::Regression { .. } => TensorDataset::regression(x.clone(), &x.sum(1).unwrap()).unwrap(),
        }
    }
}

fn settings<const N: usize>(texts: [(&str, &str); N]) -> Settings {
    texts.into_iter().fold(Settings::new(), |all, (name, text)| all.with(name, text))
}

fn cases() -> Vec<Case> {
    let (three, value) = (Task::Classification { classes: 3 }, Task::Regression { outputs: 1 });
    let case = |name, trainer, setup, reads, task, rows| Case { name, trainer, setup, reads, task, rows };
    let with = |settings| Setup { settings, ..Setup::default() };
    let tanh = with(settings([("hidden", "64,32"), ("activation", "tanh")]).with("epochs", 60));
    let busy = Setup {
        settings: settings([("hidden", "40"), ("activation", "relu")])
            .with("dropout", 0.2)
            .with("batch_size", 2),
        strategy: Some("multi-run:5".into()),
        validation: Some(0.2),
        ..Setup::default()
    };
    let within = Setup { strategy: Some("snapshot:3".into()), ..with(settings([("hidden", "none")])) };
    vec![
        case("plain", plain(3), Setup::default(), &[], three, 500),
        case("plain values", plain(1).optimizer(Adam::new(0.1)), Setup::default(), &[], value, 60),
        case(
            "tanh",
            perceptron(3).epochs(60).init(InitScheme::Normal { mean: 0., deviation: 3. }),
            tanh,
            &READS,
            three,
            300,
        ),
        case(
            "busy",
            perceptron(1)
                .batch_size(2usize)
                .optimizer(Sgd::new(0.01).momentum(0.9).weight_decay(1e-3))
                .regularizer(L2::new(1e-4))
                .noise(InputNoise::new(0.1))
                .constraint(MaxNorm::new(3.))
                .freeze(Freeze::FirstLayers(1))
                .early_stopping(EarlyStopping { patience: 4, ..EarlyStopping::default() })
                .loss(Loss::MeanSquaredLogarithmic { clip: true }),
            busy,
            &READS,
            value,
            90,
        ),
        case("within a run", perceptron(3).epochs(40), within, &READS, three, 40),
    ]
}

/// A finding of every name that remedies are for, and one of a name that is only known by its label.
fn findings() -> Vec<Finding> {
    let turn = Evidence::new("The validation loss is lowest at epoch 7").value(7.).mark(Mark::Epoch(6));
    let of = |label: Label| Finding::of(label, 0.9, "A summary.", "").evidence(turn.clone());
    let named = |name: &&str| Finding::new(name, Problem::Learning, 0.9, "A summary.", "");
    let mut all: Vec<_> = Label::ALL.into_iter().map(of).collect();
    let names = super::remedies::names();
    all.extend(names.iter().filter(|name| !Label::ALL.iter().any(|label| label.name() == **name)).map(named));
    all.push(named(&"slow_learning").kind(Label::UnderfitUnfinished));
    all
}

/// A range test that suggests these rates.
fn range_test(suggestion: f64, valley: f64, tenth_of_minimum: f64) -> RangeTestReport {
    RangeTestReport {
        test: RangeTest::default(),
        rates: vec![],
        losses: vec![],
        smoothed: vec![],
        end: RangeEnd::Finished,
        suggestion: Some(suggestion),
        valley: Some(valley),
        tenth_of_minimum: Some(tenth_of_minimum),
    }
}

fn config() -> TrainConfig {
    TrainConfig::default()
}
