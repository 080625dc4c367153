//! All metrics of a set of predictions, in one pass.
use crate::{
    metrics::{
        accuracy::correct,
        brier,
        calibration_bins::{Bins, EqualWidth},
        inputs::{Cases, Pairs},
        mae::absolute_errors,
        nll,
        r2::R2,
        rmse::root_of_squares,
        stream::{Accumulate, MeanScore, ValueRows},
    },
    Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

const CLASSIFICATION: [&str; 4] = ["accuracy", "nll", "brier", "ece"];
const REGRESSION: [&str; 3] = ["rmse", "mae", "r2"];

/// All metrics of a set of predictions, computed in one pass.
///
/// The serialized form is a flat record of numbers under the names of the fields. These names tell the
/// variant, so the metrics can be read back from formats that name their fields, such as JSON, but not from
/// bincode.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::Metrics;
///
/// let targets = Tensor::new(&[0f32, 2.0, 4.0], &Device::Cpu)?;
/// let predictions = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu)?;
/// let metrics = Metrics::regression(&predictions, &targets, None)?;
/// assert_eq!(metrics.headline(), (2.0f64 / 3.0).sqrt());
/// for (name, value) in metrics.values() {
///     println!("{name}: {value:.3}");
/// }
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Metrics {
    /// Metrics of class probabilities.
    Classification {
        /// Share of rows whose most probable class is right, 0 to 1:
        /// [`accuracy`](crate::metrics::accuracy()).
        accuracy: f64,
        /// Negative log-likelihood in nats, 0 or more: [`nll`](crate::metrics::nll()).
        nll: f64,
        /// Brier score summed over the classes, 0 to 2: [`brier`](crate::metrics::brier()).
        brier: f64,
        /// Expected calibration error in 15 bins of equal width, 0 to 1: [`ece`](crate::metrics::ece()).
        ece: f64,
    },
    /// Metrics of regression predictions.
    Regression {
        /// Root mean squared error in the unit of the targets: [`rmse`](crate::metrics::rmse()).
        rmse: f64,
        /// Mean absolute error in the unit of the targets: [`mae`](crate::metrics::mae()).
        mae: f64,
        /// Coefficient of determination, at most 1: [`r2`](crate::metrics::r2()).
        r2: f64,
    },
}

impl Metrics {
    /// Computes the metrics of class probabilities `(N, C)` (rows, classes), with one weight for each row if
    /// `weights` are given.
    ///
    /// # Errors
    /// When the inputs are not valid; see the [module](super).
    pub fn classification(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<Self> {
        let mut sums = ClassMetrics::default();
        sums.add(probs, labels, weights)?;
        sums.finish()
    }

    /// Computes the metrics of regression predictions, `(N,)` or `(N, K)` (rows, outputs) like the targets,
    /// with one weight for each row if `weights` are given.
    ///
    /// # Errors
    /// When the inputs are not valid (see the [module](super)), or squares overflow f64.
    pub fn regression(predictions: &Tensor, targets: &Tensor, weights: Option<&[f64]>) -> Result<Self> {
        let mut sums = ValueMetrics::default();
        sums.add(predictions, targets, weights)?;
        sums.finish()
    }

    /// Returns the metric to rank by: the accuracy or the root mean squared error.
    #[must_use]
    pub fn headline(&self) -> f64 {
        match *self {
            Self::Classification { accuracy, .. } => accuracy,
            Self::Regression { rmse, .. } => rmse,
        }
    }

    /// Returns the name of the [`headline`](Self::headline).
    #[must_use]
    pub fn headline_name(&self) -> &'static str {
        self.names()[0]
    }

    /// Returns whether a larger [`headline`](Self::headline) is better.
    #[must_use]
    pub fn larger_is_better(&self) -> bool {
        matches!(self, Self::Classification { .. })
    }

    /// Returns the names of the metrics, which never change. The headline comes first.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Classification { .. } => &CLASSIFICATION,
            Self::Regression { .. } => &REGRESSION,
        }
    }

    /// Returns the metrics with their names, in the order of [`names`](Self::names).
    #[must_use]
    pub fn values(&self) -> Vec<(&'static str, f64)> {
        let name = |values: &[f64]| self.names().iter().copied().zip(values.iter().copied()).collect();
        match *self {
            Self::Classification { accuracy, nll, brier, ece } => name(&[accuracy, nll, brier, ece]),
            Self::Regression { rmse, mae, r2 } => name(&[rmse, mae, r2]),
        }
    }
}

/// The metrics of class probabilities that come part by part.
pub(crate) struct ClassMetrics {
    accuracy: MeanScore,
    nll: MeanScore,
    brier: MeanScore,
    ece: EqualWidth,
}

impl Default for ClassMetrics {
    fn default() -> Self {
        Self {
            accuracy: MeanScore::new(correct),
            nll: MeanScore::new(nll::loss),
            brier: MeanScore::new(brier::distance),
            ece: EqualWidth::new(Bins::USUAL),
        }
    }
}

impl ClassMetrics {
    /// Adds rows, as [`Metrics::classification`] takes them.
    pub(crate) fn add(&mut self, probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<()> {
        Cases::new(probs, labels, weights)?.each(|case| {
            self.accuracy.add(&case);
            self.nll.add(&case);
            self.brier.add(&case);
            self.ece.add(case.confidence, case.is_correct(), case.weight);
        })
    }

    pub(crate) fn finish(self) -> Result<Metrics> {
        Ok(Metrics::Classification {
            accuracy: Box::new(self.accuracy).finish()?,
            nll: Box::new(self.nll).finish()?,
            brier: Box::new(self.brier).finish()?,
            ece: self.ece.expected(),
        })
    }
}

/// The metrics of values that come part by part.
pub(crate) struct ValueMetrics {
    rmse: Box<dyn ValueRows>,
    mae: Box<dyn ValueRows>,
    r2: R2,
}

impl Default for ValueMetrics {
    fn default() -> Self {
        Self { rmse: Box::new(root_of_squares()), mae: Box::new(absolute_errors()), r2: R2::default() }
    }
}

impl ValueMetrics {
    /// Adds rows, as [`Metrics::regression`] takes them.
    pub(crate) fn add(
        &mut self,
        predictions: &Tensor,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<()> {
        Pairs::new(predictions, targets, weights)?.each(|pair| {
            self.rmse.add(&pair);
            self.mae.add(&pair);
            self.r2.add(&pair);
        })
    }

    pub(crate) fn finish(self) -> Result<Metrics> {
        Ok(Metrics::Regression {
            rmse: self.rmse.finish()?,
            mae: self.mae.finish()?,
            r2: Box::new(self.r2).finish()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{accuracy, brier, ece, ece_equal_mass, mae, nll, r2, reference, rmse};
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    #[test]
    fn one_pass_agrees_with_the_single_metrics() {
        let (probs, labels, weights) = reference::classification();
        let (p, t, _) = reference::regression();
        for w in [None, Some(&weights[..])] {
            let all = Metrics::classification(&probs, &labels, w).unwrap();
            let each = [
                ("accuracy", accuracy(&probs, &labels, w).unwrap()),
                ("nll", nll(&probs, &labels, w).unwrap()),
                ("brier", brier(&probs, &labels, w).unwrap()),
                ("ece", ece(&probs, &labels, 15, w).unwrap()),
            ];
            assert_eq!(all.values(), each);
            assert_eq!((all.headline_name(), all.headline()), each[0]);
            assert!(all.larger_is_better());

            let all = Metrics::regression(&p, &t, w).unwrap();
            let each = [
                ("rmse", rmse(&p, &t, w).unwrap()),
                ("mae", mae(&p, &t, w).unwrap()),
                ("r2", r2(&p, &t, w).unwrap()),
            ];
            assert_eq!(all.values(), each);
            assert_eq!((all.headline_name(), all.headline()), each[0]);
            assert!(!all.larger_is_better());
        }
    }

    #[test]
    fn json_is_flat_and_comes_back() {
        let classification = Metrics::Classification { accuracy: 0.5, nll: 1.25, brier: 0.75, ece: 0.1 };
        let regression = Metrics::Regression { rmse: 0.1, mae: 0.2, r2: -0.3 };
        for (metrics, json) in [
            (classification, r#"{"accuracy":0.5,"nll":1.25,"brier":0.75,"ece":0.1}"#),
            (regression, r#"{"rmse":0.1,"mae":0.2,"r2":-0.3}"#),
        ] {
            assert_eq!(serde_json::to_string(&metrics).unwrap(), json);
            assert_eq!(serde_json::from_str::<Metrics>(json).unwrap(), metrics);
        }
        assert!(serde_json::from_str::<Metrics>(r#"{"accuracy":0.5}"#).is_err());
    }

    /// A row of a table: its numbers, its label or target, and its weight as a whole number.
    #[derive(Clone, Debug)]
    struct Row {
        values: Vec<f64>,
        label: u32,
        weight: u8,
    }

    impl Row {
        fn probs(&self) -> Vec<f64> {
            let total: f64 = self.values.iter().sum();
            self.values.iter().map(|v| v / total).collect()
        }
    }

    /// Up to 40 rows of 2 to 10 values of at least 1 (some of them equal), the first with a positive weight,
    /// and a permutation of them.
    fn rows() -> impl Strategy<Value = (Vec<Row>, Vec<Row>)> {
        (2usize..=10)
            .prop_flat_map(|classes| {
                let value = prop_oneof![Just(2.0), 1.0..50.0];
                let row = (prop::collection::vec(value, classes), 0..classes as u32, 0u8..4)
                    .prop_map(|(values, label, weight)| Row { values, label, weight });
                prop::collection::vec(row, 1..40)
            })
            .prop_flat_map(|mut rows| {
                rows[0].weight += 1;
                (Just(rows.clone()), Just(rows).prop_shuffle())
            })
    }

    fn table(rows: &[Vec<f64>]) -> Tensor {
        Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
    }

    /// Every metric of a table of rows, first read as probabilities and labels, then as predictions (with
    /// targets made from the label).
    fn all(rows: &[Row], weights: Option<&[f64]>) -> Vec<f64> {
        let probs = table(&rows.iter().map(Row::probs).collect::<Vec<_>>());
        let labels: Vec<u32> = rows.iter().map(|r| r.label).collect();
        let predictions = table(&rows.iter().map(|r| r.values.clone()).collect::<Vec<_>>());
        let target = |r: &Row| (0..r.values.len()).map(|k| f64::from(r.label) * (k as f64 - 1.5)).collect();
        let targets = table(&rows.iter().map(target).collect::<Vec<Vec<f64>>>());
        let of_classes = Metrics::classification(&probs, &labels, weights).unwrap();
        let of_values = Metrics::regression(&predictions, &targets, weights).unwrap();
        let mut out: Vec<f64> =
            of_classes.values().into_iter().chain(of_values.values()).map(|(_, value)| value).collect();
        out.extend([1, 2, 5].map(|bins| ece_equal_mass(&probs, &labels, bins, weights).unwrap()));
        out
    }

    fn same(a: &[f64], b: &[f64]) -> std::result::Result<(), TestCaseError> {
        prop_assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            prop_assert!((x - y).abs() <= 1e-11 * (1.0 + x.abs()), "{:?} is not {:?}", a, b);
        }
        Ok(())
    }

    fn weights(rows: &[Row]) -> Vec<f64> {
        rows.iter().map(|r| f64::from(r.weight)).collect()
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter((rows, shuffled) in rows()) {
            same(&all(&rows, None), &all(&shuffled, None))?;
            same(&all(&rows, Some(&weights(&rows))), &all(&shuffled, Some(&weights(&shuffled))))?;
        }

        #[test]
        fn a_whole_weight_is_a_row_repeated((rows, _) in rows()) {
            let repeated: Vec<Row> =
                rows.iter().flat_map(|r| std::iter::repeat_n(r.clone(), r.weight.into())).collect();
            same(&all(&rows, Some(&weights(&rows))), &all(&repeated, None))?;
        }

        #[test]
        fn equal_weights_are_no_weights((rows, _) in rows(), weight in 1e-3f64..1e3) {
            same(&all(&rows, Some(&vec![weight; rows.len()])), &all(&rows, None))?;
        }

        #[test]
        fn every_metric_is_within_its_range((rows, _) in rows()) {
            let values = all(&rows, None);
            let [accuracy, nll, brier, ece, rmse, mae, r2] = values[..7] else { unreachable!() };
            let classes = rows[0].values.len() as f64;
            prop_assert!((0.0..=1.0).contains(&accuracy) && (0.0..=2.0).contains(&brier));
            // No probability is below 1 of 50 per class.
            prop_assert!(nll > 0.0 && nll <= (50.0 * classes).ln());
            prop_assert!((0.0..=1.0).contains(&ece) && values[7..].iter().all(|e| (0.0..=1.0).contains(e)));
            prop_assert!(mae <= rmse * (1.0 + 1e-12) && r2 <= 1.0);
        }

        #[test]
        fn perfect_predictions_have_perfect_metrics((rows, _) in rows()) {
            let corner = |r: &Row| (0..r.values.len()).map(|c| f64::from(c == r.label as usize)).collect();
            let probs = table(&rows.iter().map(corner).collect::<Vec<Vec<f64>>>());
            let labels: Vec<u32> = rows.iter().map(|r| r.label).collect();
            for w in [None, Some(&weights(&rows)[..])] {
                let metrics = Metrics::classification(&probs, &labels, w).unwrap();
                let perfect = Metrics::Classification { accuracy: 1.0, nll: 0.0, brier: 0.0, ece: 0.0 };
                prop_assert_eq!(metrics, perfect);
                prop_assert_eq!(ece_equal_mass(&probs, &labels, 7, w).unwrap(), 0.0);
                let perfect = Metrics::Regression { rmse: 0.0, mae: 0.0, r2: 1.0 };
                prop_assert_eq!(Metrics::regression(&probs, &probs, w).unwrap(), perfect);
            }
        }

        #[test]
        fn uniform_probabilities_have_the_metrics_of_theory((rows, _) in rows(), classes in 2usize..200) {
            let share = 1.0 / classes as f64;
            let probs = table(&vec![vec![share; classes]; rows.len()]);
            let labels: Vec<u32> = rows.iter().map(|r| r.label % classes as u32).collect();
            let lowest = labels.iter().filter(|&&l| l == 0).count() as f64 / labels.len() as f64;
            let metrics = Metrics::classification(&probs, &labels, None).unwrap();
            let values: Vec<f64> = metrics.values().into_iter().map(|(_, value)| value).collect();
            let theory = [lowest, (classes as f64).ln(), 1.0 - share, (lowest - share).abs()];
            same(&values, &theory)?;
        }
    }
}
