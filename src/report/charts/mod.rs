//! The charts of a study, as data that can be drawn.
mod curves;
mod improve;
#[cfg(test)]
mod tests;
mod why;

use crate::{
    chart::{
        pareto_front, Chart, ConfusionMatrix, CostPoint, Curve, CurvePoint, HeatMap, LearningCurves, Line,
        Point, QualityCost, ReliabilityDiagram, RuleWeights, SizeChart, WeightsChart,
    },
    evaluate::{Cost, EnsembleReport, SizeSummary, StudyReport},
};
use std::collections::{BTreeMap, BTreeSet};

/// The largest number of lines of a size chart. Each has a panel, and more are hard to compare.
const LINES: usize = 24;
/// The largest number of points of a cost chart and of rules of a weights chart: as many as these can draw.
const POINTS: usize = 100;
const RULES: usize = 40;
/// The largest number of members of a weights chart.
const SLOTS: usize = 500;
/// The value beyond which charts cannot draw.
const VAST: f64 = 1e300;

/// What an ensemble costs, as a cost chart shows it.
#[derive(Clone, Copy)]
enum Axis {
    Prediction,
    Training,
}

impl Axis {
    fn of(self, cost: &Cost) -> f64 {
        match self {
            Self::Prediction => cost.prediction_networks,
            Self::Training => cost.trained_epochs,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Prediction => "forward passes for a prediction",
            Self::Training => "training epochs of all networks",
        }
    }
}

impl StudyReport {
    /// All charts of the report with names for their files, such as `sizes` or `confusion-best` (feature `charts`).
    ///
    /// Each title begins with `title`, such as the name of the data. Charts for which the report has no data are left
    /// out.
    #[must_use]
    pub fn charts(&self, title: &str) -> Vec<(String, Box<dyn Chart>)> {
        fn named<C: Chart + 'static>(name: &str, chart: Option<C>) -> Option<(String, Box<dyn Chart>)> {
            chart.map(|chart| (name.into(), Box::new(chart) as Box<dyn Chart>))
        }
        let titled = |what: &str| format!("{title}: {what}");
        let of_metric = |what: &str| titled(&format!("test {} {what}", self.metric));
        let mut charts: Vec<(String, Box<dyn Chart>)> = [
            named("prediction-cost", self.prediction_cost_chart(&of_metric("and the cost of a prediction"))),
            named("training-cost", self.training_cost_chart(&of_metric("and the cost of training"))),
            named("sizes", self.size_chart(&of_metric("by number of members, mean ± one sd"))),
            named(
                "learning",
                self.learning_chart(&titled("training loss of single networks, mean and range")),
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        for (name, chart) in ["confusion-single", "confusion-best"].into_iter().zip(self.confusion_charts()) {
            let chart = ConfusionMatrix { title: titled(&chart.title), ..chart };
            charts.push((name.into(), Box::new(chart)));
        }
        for (i, chart) in self.weights_charts().into_iter().enumerate() {
            let chart = WeightsChart { title: titled(&chart.title), ..chart };
            charts.push((format!("weights-{}", i + 1), Box::new(chart)));
        }
        for (name, chart) in
            ["reliability-single", "reliability-best"].into_iter().zip(self.reliability_charts())
        {
            let chart = ReliabilityDiagram { title: titled(&chart.title), ..chart };
            charts.push((name.into(), Box::new(chart)));
        }
        charts.extend(named(
            "kappa-error",
            self.kappa_error_chart(&titled("pairs of members of one training")),
        ));
        for (i, chart) in self.diversity_charts().into_iter().enumerate() {
            let chart = HeatMap { title: titled(&chart.title), ..chart };
            charts.push((format!("diversity-{}", i + 1), Box::new(chart)));
        }
        charts
    }

    /// A chart of the metric against the size of the ensemble, with bands of ± one standard deviation (feature
    /// `charts`).
    ///
    /// Of more than 24 rows it has the 24 that are best at their largest size. `None` where no row has a curve of two
    /// sizes or more.
    #[must_use]
    pub fn size_chart(&self, title: &str) -> Option<SizeChart> {
        let drawable = |s: &SizeSummary| s.summary.mean.abs() + s.summary.sd.unwrap_or(0.) < VAST;
        let has_curve = |e: &&EnsembleReport| e.size_curve.len() > 1 && e.size_curve.iter().all(drawable);
        let rows: Vec<&EnsembleReport> = self.ensembles.iter().filter(has_curve).collect();
        let last = |e: &&EnsembleReport| e.size_curve.last().map_or(f64::NAN, |s| s.summary.mean);
        let best: BTreeSet<usize> =
            self.ranked(&rows.iter().map(last).collect::<Vec<_>>()).into_iter().take(LINES).collect();
        let point = |s: &SizeSummary| {
            let sd = s.summary.sd.unwrap_or(0.);
            Point { size: s.size, mean: s.summary.mean, low: s.summary.mean - sd, high: s.summary.mean + sd }
        };
        let line =
            |e: &EnsembleReport| Line { name: name(e), points: e.size_curve.iter().map(point).collect() };
        let headlines =
            self.single.repeats.iter().flatten().filter_map(|scores| scores.get(&self.metric).copied());
        (!rows.is_empty()).then(|| SizeChart {
            title: title.into(),
            metric: self.test_metric(),
            singles: headlines.filter(|x| x.abs() < VAST).collect(),
            lines: rows.iter().enumerate().filter(|(i, _)| best.contains(i)).map(|(_, e)| line(e)).collect(),
        })
    }

    /// A chart of the metric against the number of forward passes for a prediction, with the Pareto front (feature
    /// `charts`).
    ///
    /// The bars are the intervals of the differences from a single network, around the means. Of more than 100 rows it
    /// has those of the front and the best others. `None` where there is no ensemble to draw.
    #[must_use]
    pub fn prediction_cost_chart(&self, title: &str) -> Option<QualityCost> {
        self.cost_chart(title, Axis::Prediction)
    }

    /// A chart of the metric against the number of epochs that all networks of the ensemble were trained for (feature
    /// `charts`), as [`prediction_cost_chart`](Self::prediction_cost_chart).
    #[must_use]
    pub fn training_cost_chart(&self, title: &str) -> Option<QualityCost> {
        self.cost_chart(title, Axis::Training)
    }

    fn cost_chart(&self, title: &str, axis: Axis) -> Option<QualityCost> {
        let single = self.single.metrics.get(&self.metric).map(|summary| CostPoint {
            name: "single network".into(),
            cost: axis.of(&self.single.cost),
            quality: summary.mean,
            low: summary.mean,
            high: summary.mean,
        });
        let ensemble = |e: &EnsembleReport| {
            let quality = e.metrics.get(&self.metric)?.mean;
            let (below, above) = e.difference.map_or((0., 0.), |i| (i.estimate - i.low, i.high - i.estimate));
            let band = |half: f64| if (0. ..VAST).contains(&half) { half } else { 0. };
            let (low, high) = (quality - band(below), quality + band(above));
            Some(CostPoint { name: name(e), cost: axis.of(&e.cost), quality, low, high })
        };
        let drawable =
            |p: &CostPoint| p.cost > 0. && [p.cost, p.quality, p.low, p.high].iter().all(|x| x.abs() < VAST);
        let ensembles: Vec<_> = self.ensembles.iter().filter_map(ensemble).filter(drawable).collect();
        if ensembles.is_empty() {
            return None;
        }
        let points = single.into_iter().filter(drawable).chain(ensembles).collect();
        Some(QualityCost {
            title: title.into(),
            quality: self.test_metric(),
            higher_is_better: self.higher_is_better,
            cost: axis.label().into(),
            points: self.most_telling(points),
        })
    }

    /// At most as many points as a chart has room for: the Pareto front, then the best of the others.
    fn most_telling(&self, points: Vec<CostPoint>) -> Vec<CostPoint> {
        if points.len() <= POINTS {
            return points;
        }
        let pairs: Vec<_> = points.iter().map(|p| (p.cost, p.quality)).collect();
        let front = pareto_front(&pairs, self.higher_is_better).unwrap_or_default();
        let mut kept: BTreeSet<usize> = front.into_iter().take(POINTS).collect();
        for i in self.ranked(&points.iter().map(|p| p.quality).collect::<Vec<_>>()) {
            if kept.len() < POINTS {
                kept.insert(i);
            }
        }
        points.into_iter().enumerate().filter(|(i, _)| kept.contains(i)).map(|(_, p)| p).collect()
    }

    /// A chart of the training loss of single networks by epoch: mean, lowest and highest (feature `charts`).
    ///
    /// The axis is logarithmic where the losses are above 0 and span a factor of 20. `None` for fewer than two epochs.
    #[must_use]
    pub fn learning_chart(&self, title: &str) -> Option<LearningCurves> {
        let curve = self.single.learning_curve.iter();
        let drawable = curve.filter(|p| [p.mean, p.low, p.high].iter().all(|x| x.abs() < VAST));
        let points: Vec<CurvePoint> = drawable
            .map(|p| CurvePoint {
                epoch: p.epoch,
                mean: p.mean,
                low: p.low.min(p.mean),
                high: p.high.max(p.mean),
            })
            .collect();
        let low = points.iter().map(|p| p.low).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p.high).fold(f64::NEG_INFINITY, f64::max);
        (points.len() > 1).then(|| LearningCurves {
            title: title.into(),
            metric: "training loss".into(),
            log: low > 0. && high / low > 20.,
            curves: vec![Curve { name: "single networks".into(), points }],
            marks: vec![],
        })
    }

    /// The confusion matrices of the single networks and of the best ensemble, each over all trainings and with its
    /// name as title (feature `charts`).
    ///
    /// Classes have numbers. Empty for values, and for more than 30 classes.
    #[must_use]
    pub fn confusion_charts(&self) -> Vec<ConfusionMatrix> {
        let chart = |title: String, counts: &Option<Vec<Vec<f64>>>| {
            let whole = |row: &Vec<f64>| row.iter().map(|n| n.round() as u64).collect();
            let counts: Vec<Vec<u64>> = counts.as_ref()?.iter().map(whole).collect();
            let classes = counts.len();
            let square = classes > 0 && counts.iter().all(|row| row.len() == classes);
            let any = counts.iter().flatten().any(|n| *n > 0);
            let classes = (0..classes).map(|class| class.to_string()).collect();
            (square && any).then_some(ConfusionMatrix { title, classes, counts })
        };
        let single = chart("Single networks".into(), &self.single.confusion);
        let best = self.best(|_| true).and_then(|e| chart(name(e), &e.confusion));
        single.into_iter().chain(best).collect()
    }

    /// The mean weights of the members, a chart for each strategy that is combined by weights (feature `charts`).
    #[must_use]
    pub fn weights_charts(&self) -> Vec<WeightsChart> {
        let mut order: Vec<(&str, usize)> = vec![];
        let mut rules: BTreeMap<(&str, usize), Vec<RuleWeights>> = BTreeMap::new();
        for e in &self.ensembles {
            let weights = e.weights.clone().unwrap_or_default();
            if (2..=SLOTS).contains(&weights.len()) && weights.iter().all(|w| w.abs() < VAST) {
                let key = (e.strategy.as_str(), weights.len());
                if !order.contains(&key) {
                    order.push(key);
                }
                rules.entry(key).or_default().push(RuleWeights { name: e.combine.clone(), weights });
            }
        }
        let chart = |key: (&str, usize)| WeightsChart {
            title: format!("Weights of the members of {}", key.0),
            label: "weight".into(),
            members: (1..=key.1).map(|slot| format!("member {slot}")).collect(),
            rules: rules.get(&key).into_iter().flatten().take(RULES).cloned().collect(),
            sorted: false,
        };
        order.into_iter().map(chart).collect()
    }

    fn test_metric(&self) -> String {
        let better = if self.higher_is_better { "higher is better" } else { "lower is better" };
        format!("test {} ({better})", self.metric)
    }

    /// The places of the values, best first.
    fn ranked(&self, values: &[f64]) -> Vec<usize> {
        let loss = |i: usize| values.get(i).map_or(f64::NAN, |x| if self.higher_is_better { -x } else { *x });
        let mut places: Vec<usize> = (0..values.len()).collect();
        places.sort_by(|a, b| loss(*a).total_cmp(&loss(*b)));
        places
    }
}

fn name(e: &EnsembleReport) -> String {
    format!("{}, {}", e.strategy, e.combine)
}
