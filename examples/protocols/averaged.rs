//! One network out of the last epochs of a run.
use super::{accuracy_of, data, network, repeat, report::Report, Args};
use candle_core::D;
use candle_ensemble::{
    merge::Model,
    metrics::Summary,
    plan::Horizontal,
    train::{Optimizer, Sgd, Velocity},
    weights::{average, RunWeights, Weights},
    Result,
};

/// The reference's standard deviations over sizes, for equal, linear and exponential weights.
type Spreads = [f64; 3];

pub fn averaging(args: &Args) -> Result<Vec<Report>> {
    let sgd = Sgd::new(0.01).momentum(0.9).velocity(Velocity::LrInside);
    let adam = [(0.811, 0.005), (0.810, 0.004), (0.810, 0.004), (0.810, 0.005)];
    let momentum = [(0.802, 0.010), (0.806, 0.006), (0.806, 0.007), (0.805, 0.007)];
    Ok(vec![
        with_optimizer(args, "Adam", None, adam, [0.0014, 0.0011, 0.0007])?,
        with_optimizer(args, "SGD", Some(sgd.into()), momentum, [0.0042, 0.0034, 0.0026])?,
    ])
}

fn with_optimizer(
    args: &Args,
    name: &str,
    optimizer: Option<Optimizer>,
    references: [(f64, f64); 4],
    spreads: Spreads,
) -> Result<Report> {
    let (train, test) = data::small(args.data_dir.as_deref())?;
    let mut trainer = network(25, 500);
    if let Some(optimizer) = optimizer {
        trainer = trainer.optimizer(optimizer);
    }
    let model = Model::new(&trainer)?;
    let accuracy = |weights: &Weights| -> Result<f64> {
        let predicted = model.output(weights, test.inputs())?;
        accuracy_of(&candle_nn::ops::softmax(&predicted, D::Minus1)?, test.labels().unwrap_or_default())
    };
    let schemes = [
        ("equal", RunWeights::Uniform),
        ("linear", RunWeights::Linear),
        ("exponential", RunWeights::Exponential { alpha: 2. }),
    ];
    let (mut last, mut tens, mut sds) = (vec![], [vec![], vec![], vec![]], [vec![], vec![], vec![]]);
    repeat(args, &trainer, &train, &test, &Horizontal::last(10), |trained| {
        let all: Vec<&Weights> = trained.weights.iter().collect();
        last.push(accuracy(&trained.weights[9])?);
        for ((_, scheme), (tens, sds)) in schemes.iter().zip(tens.iter_mut().zip(&mut sds)) {
            let of_size = |n: usize| accuracy(&average(&all[10 - n..], &scheme.weights(n)?)?);
            let scores = (1..=10).map(of_size).collect::<Result<Vec<_>>>()?;
            tens.push(scores[9]);
            sds.extend(Summary::of(&scores)?.sd);
        }
        Ok(())
    })?;
    let mut report = Report::new(&format!("7 Weight averaging: the last 10 epochs of one run, {name}"));
    let row = |(mean, sd): (f64, f64)| (mean, Some(sd));
    report.row("final network", &last, row(references[0]))?;
    for (((scheme, _), scores), reference) in schemes.iter().zip(&tens).zip(&references[1..]) {
        report.row(&format!("{scheme} average of 10"), scores, row(*reference))?;
    }
    let mut means = vec![];
    for (((scheme, _), sds), spread) in schemes.iter().zip(&sds).zip(spreads) {
        let mean = Summary::of(sds)?.mean;
        means.push(mean);
        report.note(
            &format!("{scheme}: sd over the sizes 1–10"),
            &format!("{mean:.4}"),
            &format!("{spread:.4}"),
        );
    }
    let falls = means.windows(2).all(|pair| pair[1] < pair[0]);
    report.note("it falls from equal to linear to exponential", if falls { "met" } else { "missed" }, "yes");
    Ok(report)
}
