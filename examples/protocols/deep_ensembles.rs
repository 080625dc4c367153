//! Deep Ensembles on tables of values (Lakshminarayanan et al. 2017, arXiv:1612.01474), by the protocol of Hernández-Lobato
//! and Adams 2015 (arXiv:1502.05336): random splits with 90 % of the rows to train on.
use super::{
    executor,
    report::{Reference, Report},
    tabular::{
        args::{TableArgs, TaskName},
        data::Data,
    },
    Args,
};
use crate::table::Target;
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Dataset, Scaling, Split, TensorDataset},
    distribution::{Mixture, Score},
    observe::{Observer, Silent},
    strategy::MultiRun,
    train::{Adversarial, Optimizer, Output, Trainer},
    Error, ProgressBar, Result, Seed, Session,
};
use candle_nn::{linear, seq, Activation, Sequential, VarBuilder};

/// The networks of an ensemble.
const NETWORKS: usize = 5;
/// The share of the rows that are tested on.
const TEST: f64 = 0.1;

/// What the paper's table has for the ensemble, mean and standard deviation over the splits: RMSE and negative
/// log-likelihood.
fn paper(name: &str) -> Option<(Reference, Reference)> {
    (name == "wine").then_some(((0.64, Some(0.04)), (0.94, Some(0.12))))
}

pub fn deep_ensembles(args: &Args) -> Result<Vec<Report>> {
    let names: Vec<&str> = match args.data.as_str() {
        file if std::path::Path::new(file).is_file() => vec![file],
        names => names.split(',').map(str::trim).collect(),
    };
    names.into_iter().map(|name| on_data(args, name)).collect()
}

fn on_data(args: &Args, name: &str) -> Result<Report> {
    let (shown, data) = read(args, name)?;
    let splits = args.repeats.unwrap_or(20);
    let trainer = trainer(args, data.batch(&[0], &Device::Cpu)?.inputs.only()?.dim(1)?);
    let executor = executor(args)?;
    let bar = ProgressBar::new(splits.into());
    let observer: &dyn Observer = if args.quiet { &Silent } else { &bar };
    let (mut single, mut mixture, mut matched) = <(Scores, Scores, Scores)>::default();
    for number in 0..splits {
        let seed = Seed::from(args.seed).child(&shown).nth("split", number.into());
        let split = Split::random(data.rows(), TEST, seed.child("rows"))?;
        let (train, test) = (data.subset(&split.train)?, data.subset(&split.test)?);
        let session = Session::new(&trainer, &train).executor(&executor).observer(observer);
        let pool = session.fit(&MultiRun::new(NETWORKS), seed)?;
        let predicted = pool.distributions_on(&test)?;
        let mut of_members = Scores::default();
        for member in 0..predicted.members() {
            of_members.add(&predicted.member(member)?, test.targets())?;
        }
        single.add_means(&of_members);
        mixture.add(&predicted, test.targets())?;
        matched.add(&predicted.moment_matched()?, test.targets())?;
    }
    bar.clear();
    let mut report = Report::new(&format!(
        "8 Deep Ensembles on {shown}: {NETWORKS} networks of 50 relu units, 40 epochs, {splits} splits{}",
        if args.adversarial { ", adversarial training" } else { "" }
    ));
    let reference = paper(&shown);
    let (rmse, nll) = reference.map_or((None, None), |(rmse, nll)| (Some(rmse), Some(nll)));
    report.row_or_note("RMSE, mean of the single networks", &single.rmse, None)?;
    report.row_or_note("RMSE, ensemble", &mixture.rmse, rmse)?;
    report.row_or_note("NLL, mean of the single networks", &single.nll, None)?;
    report.row_or_note("NLL, ensemble as one Gaussian (as in the paper)", &matched.nll, nll)?;
    report.row_or_note("NLL, ensemble as a mixture", &mixture.nll, None)?;
    report.row_or_note("CRPS, mean of the single networks", &single.crps, None)?;
    report.row_or_note("CRPS, ensemble as a mixture", &mixture.crps, None)?;
    report.row_or_note("share in the intervals of 90 %, single", &single.coverage, None)?;
    report.row_or_note("share in the intervals of 90 %, mixture", &mixture.coverage, None)?;
    Ok(report)
}

/// The network and the training of the paper.
fn trainer(args: &Args, inputs: usize) -> Trainer<Sequential> {
    let net = move |vb: VarBuilder<'_>| -> CandleResult<Sequential> {
        let layers = seq().add(linear(inputs, 50, vb.pp("hidden"))?).add(Activation::Relu);
        Ok(layers.add(linear(50, 2, vb.pp("out"))?))
    };
    let trainer = Trainer::new(net)
        .output(Output::Gaussian)
        .input_scaling(Scaling::Standardize)
        .target_scaling(Scaling::Standardize)
        .optimizer(Optimizer::adam(args.learning_rate))
        .batch_size(100)
        .epochs(40);
    match args.adversarial {
        true => trainer.adversarial(Adversarial::fast_gradient_sign(0.01)),
        false => trainer,
    }
}

/// The scores of distributions over the splits.
#[derive(Default)]
struct Scores {
    rmse: Vec<f64>,
    nll: Vec<f64>,
    crps: Vec<f64>,
    coverage: Vec<f64>,
}

impl Scores {
    fn add(&mut self, predicted: &Mixture, targets: &Tensor) -> Result<()> {
        let mean = predicted.mean()?;
        let targets = targets.to_dtype(DType::F64)?.reshape(mean.shape())?;
        self.rmse.push((mean - &targets)?.sqr()?.mean_all()?.sqrt()?.to_scalar()?);
        self.nll.push(predicted.score(Score::Nll, &targets, None)?);
        self.crps.push(predicted.score(Score::Crps, &targets, None)?);
        self.coverage.push(predicted.score(Score::Coverage { level: 0.9 }, &targets, None)?);
        Ok(())
    }

    /// Adds the means over some members as the scores of one split.
    fn add_means(&mut self, members: &Self) {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        self.rmse.push(mean(&members.rmse));
        self.nll.push(mean(&members.nll));
        self.crps.push(mean(&members.crps));
        self.coverage.push(mean(&members.coverage));
    }
}

/// A data set of values, with its name.
fn read(args: &Args, name: &str) -> Result<(String, TensorDataset)> {
    let is_file = std::path::Path::new(name).is_file();
    let table = TableArgs {
        data: name.into(),
        target: args.target.clone().filter(|_| is_file),
        drop: vec![],
        delimiter: None,
        encoding: None,
        decimal: '.',
        no_header: false,
        task: Some(TaskName::Regression),
        train_rows: None,
        test_fraction: TEST,
        standardize: true,
    };
    let data = Data::read(&table, name)?;
    for note in data.notes.iter().filter(|_| !args.quiet) {
        eprintln!("warning: {}: {note}", data.name);
    }
    let Target::Values(targets) = &data.answers else {
        return Err(Error::invalid("--data", "tables whose target is a value", name));
    };
    let rows = data.rows();
    let inputs = (0..rows).flat_map(|row| data.columns.iter().map(move |column| column.values[row] as f32));
    let inputs = Tensor::from_iter(inputs, &Device::Cpu)?.reshape((rows, data.columns.len()))?;
    // In f64, because targets may be far from 0: the trainer scales them before they are cast.
    let targets = Tensor::new(targets.as_slice(), &Device::Cpu)?;
    Ok((data.name.clone(), TensorDataset::regression(inputs, &targets)?))
}
