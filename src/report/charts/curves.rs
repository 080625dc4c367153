//! Charts of learning curves, with the evidence of findings.
use crate::{
    chart::{Curve, CurvePoint, LearningCurves},
    diagnose::{self, CurveMetric, Curves, Finding},
    remedy::DiagnosisReport,
    report::marks::Marks,
};

impl DiagnosisReport {
    /// A chart of the losses with the evidence marked (feature `charts`), as [`Curves::chart`]. `None`
    /// without curves.
    #[must_use]
    pub fn chart(&self, title: &str) -> Option<LearningCurves> {
        self.curves.as_ref()?.chart(title, &self.diagnosis.findings)
    }
}

impl Curves {
    /// A chart of the training and validation losses against the epoch, with the places marked that the
    /// evidence of `findings` names (feature `charts`).
    ///
    /// The lines are means over the runs, and the bands go from the smallest run to the largest. Epochs are
    /// counted from 0. Losses that are missing or not finite are left out, so the curve of a network that
    /// diverges ends there. The axis is logarithmic where all losses are above 0 and the drawn ones span a
    /// factor of 20. Up to eight places are marked, those of the first findings. `None` if there is no finite
    /// loss.
    ///
    /// ```
    /// use candle_ensemble::{chart::Chart, diagnose::{Curve, Curves, Evidence, Finding, Label, Mark}};
    ///
    /// let mut run = Curve::default();
    /// run.train_loss = vec![0.9, 0.5, 0.3, 0.2, 0.1];
    /// run.valid_loss = vec![0.9, 0.6, 0.5, 0.6, 0.7];
    /// let turn = Evidence::new("The validation loss turns at epoch 2.").mark(Mark::Epoch(2));
    /// let finding = Finding::of(Label::Overfit, 0.9, "It overfits.", "").evidence(turn);
    /// let chart = Curves::new(vec![run]).chart("My network", &[finding]).ok_or("no losses")?;
    /// assert!(chart.svg()?.contains("overfit: 2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn chart(&self, title: &str, findings: &[Finding]) -> Option<LearningCurves> {
        let marks = Marks::of(findings);
        let curves = vec![
            self.curve("training", |run| &run.train_loss),
            self.curve("validation", |run| &run.valid_loss),
        ];
        chart(title, "loss (lower is better)".into(), curves, Some(&marks))
    }

    /// A chart of the metric on the training and validation rows against the epoch, as [`chart`](Self::chart)
    /// (feature `charts`). `None` if no metric was recorded.
    #[must_use]
    pub fn metric_chart(&self, title: &str) -> Option<LearningCurves> {
        let metric = match self.metric {
            Some(CurveMetric::Accuracy) => "accuracy (higher is better)",
            Some(CurveMetric::Rmse) => "root mean squared error (lower is better)",
            _ => "metric",
        };
        let curves = vec![
            self.curve("training", |run| &run.train_metric),
            self.curve("validation", |run| &run.valid_metric),
        ];
        chart(title, metric.into(), curves, None)
    }

    /// Mean, smallest and largest value over the runs for each epoch that has one.
    pub(super) fn curve(&self, name: &str, series: fn(&diagnose::Curve) -> &Vec<f64>) -> Curve {
        let epochs = self.runs.iter().map(|run| series(run).len()).max().unwrap_or(0);
        let point = |epoch: usize| {
            let values = || {
                let values = self.runs.iter().filter_map(|run| series(run).get(epoch).copied());
                values.filter(|x| x.abs() <= 1e300)
            };
            let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
            // Divided first, because the sum of large values overflows.
            let runs = values().count() as f64;
            let mean = values().map(|x| x / runs).sum::<f64>().clamp(low, high);
            Some(CurvePoint { epoch, mean, low, high })
        };
        Curve { name: name.into(), points: (0..epochs).filter_map(point).collect() }
    }
}

/// The chart of curves that have a point.
pub(super) fn chart(
    title: &str,
    metric: String,
    mut curves: Vec<Curve>,
    marks: Option<&Marks<'_>>,
) -> Option<LearningCurves> {
    curves.retain(|curve| !curve.points.is_empty());
    let points = curves.iter().flat_map(|curve| &curve.points).flat_map(|p| [p.low, p.high]);
    let marked = marks.map(Marks::losses).unwrap_or_default();
    let (low, high) = points
        .chain(marked)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    (!curves.is_empty()).then(|| LearningCurves {
        title: title.into(),
        metric,
        log: low > 0. && high / low > 20.,
        curves,
        marks: marks.map(Marks::of_chart).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chart::{Chart, CurveMark},
        diagnose::{Evidence, Label, Mark},
    };

    fn run(train: &[f64], valid: &[f64]) -> diagnose::Curve {
        let mut run = diagnose::Curve::default();
        (run.train_loss, run.valid_loss) = (train.to_vec(), valid.to_vec());
        run
    }

    #[test]
    fn lines_are_means_of_the_runs_and_bands_their_range() {
        let curves =
            Curves::new(vec![run(&[3., 2., 1.], &[4., 4., f64::NAN]), run(&[5., 4., f64::INFINITY], &[])]);
        let chart = curves.chart("t", &[]).unwrap();
        let points = |i: usize| -> Vec<_> {
            chart.curves[i].points.iter().map(|p| (p.epoch, p.low, p.mean, p.high)).collect()
        };
        assert_eq!(points(0), [(0, 3., 4., 5.), (1, 2., 3., 4.), (2, 1., 1., 1.)]);
        assert_eq!(points(1), [(0, 4., 4., 4.), (1, 4., 4., 4.)]);
        assert!(!chart.log && chart.svg().is_ok());
    }

    #[test]
    fn the_axis_is_logarithmic_where_losses_and_marks_span_much() {
        let curves = Curves::new(vec![run(&[2., 0.5, 0.09], &[])]);
        assert!(curves.chart("t", &[]).unwrap().log);
        let level = |x: f64| {
            [Finding::of(Label::UnderfitFlat, 1., "", "").evidence(Evidence::new("").mark(Mark::Level(x)))]
        };
        let zero = curves.chart("t", &level(0.)).unwrap();
        assert!(!zero.log && zero.svg().is_ok());
        let few = Curves::new(vec![run(&[2., 1.], &[])]);
        assert!(!few.chart("t", &[]).unwrap().log && few.chart("t", &level(50.)).unwrap().log);
    }

    #[test]
    fn curves_without_values_are_left_out() {
        let nan = Curves::new(vec![run(&[f64::NAN; 3], &[f64::NAN; 3])]);
        assert!(nan.chart("t", &[]).is_none() && nan.metric_chart("t").is_none());
        assert!(Curves::new(vec![]).chart("t", &[]).is_none());
        let huge = Curves::new(vec![run(&[1e300, 1e300], &[]), run(&[1e300, -1e300], &[])]);
        assert_eq!(huge.chart("t", &[]).unwrap().curves.len(), 1);
        assert!(huge.chart("t", &[]).unwrap().svg().is_ok());
    }

    #[test]
    fn a_report_marks_the_evidence() {
        let finding =
            Finding::of(Label::Overfit, 0.9, "", "").evidence(Evidence::new("").mark(Mark::Epoch(1)));
        let mut report = DiagnosisReport::default();
        assert!(report.chart("t").is_none());
        report.diagnosis.findings = vec![finding];
        let chart = report.curves(Curves::new(vec![run(&[1., 0.5], &[1., 2.])])).chart("t").unwrap();
        assert_eq!(chart.marks, [CurveMark::Epoch { epoch: 1, label: "A, overfit".into() }]);
    }
}
