//! Combiners that are fitted on half of the test rows and scored on the other half: searched weights and
//! stacking.
use super::{accuracy_of, data, network, repeat, report::Report, score, singles, Args, Trained};
use candle_core::Tensor;
use candle_ensemble::{
    combine::{
        stack::{Logistic, Mlp, NeuralNetwork, Stack},
        Combiner, DifferentialEvolution, FittedCombiner, GridSearch, Mean,
    },
    data::TensorDataset,
    metrics::{t_interval, RowLoss},
    predictions::Predictions,
    strategy::MultiRun,
    train::Adam,
    weights::InitScheme,
    HeldOut, Result, Seed,
};

/// Predictions of some test rows, and their labels.
struct Half {
    predictions: Predictions,
    labels: Vec<u32>,
}

/// Predictions of five members for the first and the second half of the test rows. No member was fitted on
/// test rows.
fn halves(trained: &Trained, test: &TensorDataset) -> Result<[Half; 2]> {
    let labels = test.labels().unwrap_or_default();
    let half = |rows: std::ops::Range<usize>| -> Result<Half> {
        let ids: Vec<u32> = rows.clone().map(|row| row as u32).collect();
        let predictions = trained.test.narrow_slots(0, 5)?.select_rows(&ids)?;
        Ok(Half { predictions, labels: labels.get(rows).unwrap_or_default().to_vec() })
    };
    let middle = labels.len() / 2;
    Ok([half(0..middle)?, half(middle..labels.len())?])
}

impl Half {
    fn held_out(&self) -> Result<HeldOut> {
        HeldOut::from_predictions(
            &self.predictions,
            &Tensor::new(self.labels.as_slice(), self.predictions.values().device())?,
        )
    }

    fn accuracy(&self, fitted: &dyn FittedCombiner) -> Result<f64> {
        accuracy_of(&fitted.combine(&self.predictions)?, &self.labels)
    }
}

/// Accuracy on the second half of a combiner that is fitted on the first.
fn learned<C: Combiner>(combiner: &C, [fit, score]: &[Half; 2]) -> Result<f64> {
    score.accuracy(&combiner.fit(&fit.held_out()?)?)
}

pub fn weighted(args: &Args) -> Result<Report> {
    let (train, test) = data::small(args.data_dir.as_deref())?;
    let (mut single, mut five, mut ten, mut half) = (vec![], vec![], vec![], vec![]);
    let (mut grid, mut evolved) = (vec![], vec![]);
    repeat(args, &network(25, 500), &train, &test, &MultiRun::new(10), |trained| {
        single.push(singles(&trained.test, &test)?[0]);
        five.push(score(&trained.test.narrow_slots(0, 5)?, &test)?);
        ten.push(score(&trained.test, &test)?);
        let halves = halves(trained, &test)?;
        half.push(halves[1].accuracy(&Mean)?);
        grid.push(learned(&GridSearch::new().criterion(RowLoss::Error), &halves)?);
        evolved
            .push(learned(&DifferentialEvolution::new().seed(args.seed).criterion(RowLoss::Error), &halves)?);
        Ok(())
    })?;
    let mut report = Report::new(
        "2 Weighted average: weights searched on the first half of the test rows, scored on the second",
    );
    report.row("single network", &single, (0.810, Some(0.006)))?;
    report.row("equal weights, 5", &five, (0.811, Some(0.003)))?;
    report.row("equal weights, 10", &ten, (0.8125, Some(0.002)))?;
    report.row("equal weights, 5, second half", &half, (0.812, None))?;
    report.row("grid search, second half", &grid, (0.813, Some(0.006)))?;
    report.row("differential evolution, second half", &evolved, (0.812, Some(0.003)))?;
    for (name, searched) in [("grid search", &grid), ("differential evolution", &evolved)] {
        let gains: Vec<f64> = searched.iter().zip(&half).map(|(s, h)| s - h).collect();
        let gain = t_interval(&gains, 0.95)?;
        let verdict = if gain.low > 0. { "better" } else { "not better" };
        let found = format!("{:+.4} ({:+.4} … {:+.4}): {verdict}", gain.estimate, gain.low, gain.high);
        report.note(&format!("{name} against equal weights (95 %)"), &found, "not better");
    }
    Ok(report)
}

pub fn stacking(args: &Args) -> Result<Report> {
    let (train, test) = data::small(args.data_dir.as_deref())?;
    let (mut equal, mut logistic, mut net) = (vec![], vec![], vec![]);
    let mut repeats = 0;
    repeat(args, &network(25, 500), &train, &test, &MultiRun::new(5), |trained| {
        let halves = halves(trained, &test)?;
        equal.push(halves[1].accuracy(&Mean)?);
        logistic.push(learned(&Stack::new(Logistic::new()), &halves)?);
        let learner = NeuralNetwork::new(Mlp::new(&[10]))
            .epochs(300)
            .optimizer(Adam::new(1e-3).epsilon(1e-7))
            .init(InitScheme::GlorotUniform);
        let seed = Seed::from(args.seed).nth("stacker", repeats);
        net.push(learned(&Stack::new(learner.seed(seed)), &halves)?);
        repeats += 1;
        Ok(())
    })?;
    let mut report =
        Report::new("6 Stacking: five members; the meta-learner fits on the first half of the test rows");
    report.row("equal weights", &equal, (0.812, None))?;
    report.row("logistic regression on the 15 probabilities", &logistic, (0.832, Some(0.0035)))?;
    report.row("network 15-10-3 on them, members frozen", &net, (0.828, Some(0.004)))?;
    for (name, stacked) in [("logistic regression", &logistic), ("network", &net)] {
        let above = stacked.iter().zip(&equal).filter(|(s, e)| s > e).count();
        report.count(&format!("{name} above equal weights"), above, equal.len(), "30 of 30");
    }
    Ok(report)
}
