//! The comparison of strategies and combinations over several data sets.
use crate::{
    evaluate::StudyReport,
    statistics::{RankComparison, RankTest},
    Error, Result,
};
use serde::Serialize;

/// The name of the single networks among the methods.
pub const SINGLE: &str = "single network";

/// Strategies and combinations over several data sets: their ranks, and whether they differ from a single network.
///
/// ```text
/// score = (L_single − L) / L_single    on each data set, with the loss L: 1 − metric where higher is better
/// ```
///
/// The scores have no unit, so data sets with different metrics can be compared. Methods are ranked on each data
/// set; the average ranks are compared by Friedman's test, each method with the single network by Wilcoxon's test
/// with Holm's correction, and all with each other by Nemenyi's critical difference. A method that has no result on
/// one of the data sets, such as a merge that was refused, is left out and listed.
///
/// Use it when a default is to be chosen for data that are not here yet. With fewer than six data sets no single
/// comparison can be significant at 5 %.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, evaluate::{DataSetsReport, Study, StudyReport}, train::Trainer};
/// use candle_ensemble::{Result, Session};
///
/// let report = |scale: f64| -> Result<StudyReport> {
///     let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(scale, -0.8)?.reshape((40, 2))?;
///     let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
///     let data = TensorDataset::classification(x, &y)?;
///     let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
///     let study = Study::new(Session::new(&trainer, &data), &data).repeats(2);
///     study.strategies("bootstrap:2")?.combinations("mean,median")?.run(1)
/// };
/// let all = DataSetsReport::of(&[("narrow", &report(0.01)?), ("wide", &report(0.02)?)])?;
/// assert_eq!(all.methods.len(), 3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Source
/// Demšar 2006, <https://www.jmlr.org/papers/v7/demsar06a.html>.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSetsReport {
    /// The names of the data sets.
    pub data_sets: Vec<String>,
    /// The metric of each data set.
    pub metrics: Vec<String>,
    /// The single network, then each strategy with each combination: `bootstrap:10, mean`.
    pub methods: Vec<String>,
    /// The mean of the metric, by data set and method; `None` where there is no result.
    pub values: Vec<Vec<Option<f64>>>,
    /// The scores, by data set and method.
    pub scores: Vec<Vec<Option<f64>>>,
    /// Ranks, tests, and groups that do not differ. The single network is the control.
    pub comparison: RankComparison,
}

impl DataSetsReport {
    /// Compares the reports of several data sets, each with its name. A method is found by its names; one that is
    /// missing in a report has no result there.
    ///
    /// # Errors
    /// When there are fewer than two data sets, two have the same name, or no method has a result on all of them.
    pub fn of(reports: &[(&str, &StudyReport)]) -> Result<Self> {
        if reports.len() < 2 {
            return Err(Error::invalid("the number of data sets", "at least 2", reports.len()));
        }
        let mut methods = vec![SINGLE.to_string()];
        for (_, report) in reports {
            for ensemble in &report.ensembles {
                let name = name(&ensemble.strategy, &ensemble.combine);
                if !methods.contains(&name) {
                    methods.push(name);
                }
            }
        }
        let values: Vec<Vec<Option<f64>>> =
            reports.iter().map(|(_, report)| values(report, &methods)).collect();
        let scores: Vec<Vec<Option<f64>>> =
            reports.iter().zip(&values).map(|((_, report), values)| scores(report, values)).collect();
        let data_sets: Vec<String> = reports.iter().map(|(name, _)| (*name).to_string()).collect();
        if let Some((_, twice)) =
            data_sets.iter().enumerate().find(|(i, name)| data_sets[..*i].contains(name))
        {
            return Err(Error::invalid(
                "the names of the data sets",
                "different",
                format!("{twice:?} twice"),
            ));
        }
        Ok(Self {
            comparison: RankTest::new(true).control(SINGLE).compare(&methods, &scores)?,
            metrics: reports.iter().map(|(_, report)| report.metric.clone()).collect(),
            data_sets,
            methods,
            values,
            scores,
        })
    }

    /// The places of the compared methods in [`RankComparison::names`], by average rank, best first.
    #[must_use]
    pub fn by_rank(&self) -> Vec<usize> {
        let ranks = &self.comparison.friedman.average_ranks;
        let mut order: Vec<usize> = (0..ranks.len()).collect();
        order.sort_by(|a, b| ranks[*a].total_cmp(&ranks[*b]));
        order
    }
}

/// The name of a strategy with a combination.
pub(crate) fn name(strategy: &str, combine: &str) -> String {
    format!("{strategy}, {combine}")
}

/// The mean of the metric for each method.
fn values(report: &StudyReport, methods: &[String]) -> Vec<Option<f64>> {
    let of = |method: &String| match method.as_str() {
        SINGLE => report.single.metrics.get(&report.metric).map(|summary| summary.mean),
        method => {
            let ensemble = report.ensembles.iter().find(|e| name(&e.strategy, &e.combine) == method)?;
            // A result of some of the trainings only is not that of the method.
            ensemble.metrics.get(&report.metric).filter(|_| ensemble.failed.is_empty()).map(|s| s.mean)
        }
    };
    methods.iter().map(of).collect()
}

/// By how much each method lowers the loss of a single network, relative to it; as a difference where a single
/// network has no loss.
fn scores(report: &StudyReport, values: &[Option<f64>]) -> Vec<Option<f64>> {
    let loss = |value: f64| if report.higher_is_better { 1. - value } else { value };
    let single = values.first().copied().flatten().map_or(f64::NAN, loss);
    let score = |value: f64| match single.abs() > 0. {
        true => (single - loss(value)) / single.abs(),
        false => single - loss(value),
    };
    values.iter().map(|value| value.map(score)).collect()
}
