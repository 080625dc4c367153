//! Resampling: held-out estimates and ensembles, scored on rows that no member was fitted on.
use super::{accuracy_of, data, mean, network, repeat, report::Report, score, singles, Args, Trained};
use candle_core::Tensor;
use candle_ensemble::{
    data::TensorDataset,
    metrics::Summary,
    predictions::Predictions,
    resample::ResampleUnit,
    strategy::{Bagging, EnsembleBuilder, KFold, MultiRun, RandomSplit},
    Result,
};

/// A way to resample, and the reference: held-out estimate, single network, ensemble.
struct Way {
    name: &'static str,
    builder: Box<dyn EnsembleBuilder>,
    estimate: f64,
    single: (f64, f64),
    ensemble: (f64, f64),
    above: &'static str,
}

pub fn resampling(args: &Args) -> Result<Report> {
    let (train, test) = data::large(args.data_dir.as_deref())?;
    let trainer = network(50, 50);
    let mut report = Report::new("3 Resampling: ten members of 5000 rows, 50,000 unseen rows");
    let mut alone = vec![];
    repeat(args, &trainer, &train, &test, &MultiRun::new(1), |trained| {
        alone.push(score(&trained.test, &test)?);
        Ok(())
    })?;
    report.row("one network on all 5000", &alone, (0.8199, Some(0.0007)))?;

    let ways = [
        Way {
            name: "a random split",
            builder: Box::new(RandomSplit::new(10, 0.9).unit(ResampleUnit::Rows)),
            estimate: 0.825,
            single: (0.8199, 0.0006),
            ensemble: (0.8204, 0.0003),
            above: "27 of 30",
        },
        Way {
            name: "b k-fold",
            builder: Box::new(KFold::new(10).unit(ResampleUnit::Rows)),
            estimate: 0.826,
            single: (0.8198, 0.0008),
            ensemble: (0.8204, 0.0002),
            above: "30 of 30",
        },
        Way {
            name: "c bootstrap",
            builder: Box::new(Bagging::new(10).rows(4500)),
            estimate: 0.825,
            single: (0.8192, 0.0012),
            ensemble: (0.8203, 0.0002),
            above: "30 of 30",
        },
    ];
    for way in ways {
        let (mut estimates, mut means, mut ensembles) = (vec![], vec![], vec![]);
        repeat(args, &trainer, &train, &test, &*way.builder, |trained| {
            estimates.push(mean(&held_out(trained, &train)?)?);
            means.push(mean(&singles(&trained.test, &test)?)?);
            ensembles.push(score(&trained.test, &test)?);
            Ok(())
        })?;
        let name = |what: &str| format!("{}: {what}", way.name);
        report.row(&name("held-out estimate"), &estimates, (way.estimate, None))?;
        report.row(&name("mean single network"), &means, (way.single.0, Some(way.single.1)))?;
        report.row(&name("ensemble"), &ensembles, (way.ensemble.0, Some(way.ensemble.1)))?;
        let above = ensembles.iter().zip(&means).filter(|(ensemble, mean)| ensemble > mean).count();
        report.count(&name("ensemble above its mean single"), above, means.len(), way.above);
        let gain: Vec<f64> = ensembles.iter().zip(&means).map(|(ensemble, mean)| ensemble - mean).collect();
        let reference = way.ensemble.0 - way.single.0;
        report.row(&name("gain"), &[Summary::of(&gain)?.mean], (reference, None))?;
    }
    Ok(report)
}

/// Accuracy of each member on the training rows that it has not seen.
fn held_out(trained: &Trained, train: &TensorDataset) -> Result<Vec<f64>> {
    let labels = train.labels().unwrap_or_default();
    let of = |(i, seen): (usize, &Vec<u32>)| {
        let unseen: Vec<u32> =
            (0..labels.len() as u32).filter(|row| seen.binary_search(row).is_err()).collect();
        let predicted: &Predictions = &trained.train;
        let index = Tensor::new(unseen.as_slice(), predicted.values().device())?;
        let probabilities = predicted.values().get(i)?.index_select(&index, 0)?;
        let own: Vec<u32> = unseen.iter().map(|row| labels[*row as usize]).collect();
        accuracy_of(&probabilities, &own)
    };
    trained.seen.iter().enumerate().map(of).collect()
}
