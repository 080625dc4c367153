//! A metric against the number of training rows.
use crate::{
    chart::{
        check_number,
        picture::{Draw, Drawn, Picture},
        Chart, Curve, CurvePoint, LearningCurves, Line,
    },
    Result,
};

/// A metric against the number of training rows, such as that on the training rows and that on the validation
/// rows.
///
/// Use it to see whether more data would help: where the validation line still rises, it would; where both
/// lines are flat and close, a larger network may.
///
/// [`Chart::check`] fails when there are no lines or more than 40, a line has no points, sizes do not
/// increase from 1 or more, a band has its low edge above its high edge, or a value is not finite or beyond
/// ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, Line, Point, TrainingSizeChart};
///
/// let line = |name: &str, means: [f64; 3]| {
///     let points = [100, 200, 400].into_iter().zip(means);
///     let points = points.map(|(size, mean)| Point { size, mean, low: mean - 0.01, high: mean + 0.01 });
///     Line { name: name.into(), points: points.collect() }
/// };
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sizes.svg");
/// TrainingSizeChart {
///     title: "Digits: mean and 95 % interval of 10 splits".into(),
///     metric: "accuracy (higher is better)".into(),
///     lines: vec![line("training", [1.0, 0.99, 0.98]), line("validation", [0.8, 0.86, 0.9])],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSizeChart {
    /// The title above the chart.
    pub title: String,
    /// Label of the vertical axis: the metric, its unit, and whether higher or lower is better.
    pub metric: String,
    /// The lines, 1 to 40, with numbers of training rows as sizes.
    pub lines: Vec<Line>,
}

impl Chart for TrainingSizeChart {
    fn check(&self) -> Result<()> {
        check_number("lines of the chart", 1..=40, self.lines.len())?;
        self.lines.iter().try_for_each(Line::check)
    }
}

impl Draw for TrainingSizeChart {
    fn picture(&self) -> Drawn<Picture> {
        let curve = |line: &Line| {
            let point = |p: &crate::chart::Point| CurvePoint {
                epoch: p.size,
                mean: p.mean,
                low: p.low,
                high: p.high,
            };
            Curve { name: line.name.clone(), points: line.points.iter().map(point).collect() }
        };
        let curves = self.lines.iter().map(curve).collect();
        let (title, metric) = (self.title.clone(), self.metric.clone());
        LearningCurves { title, metric, log: false, curves, marks: vec![] }.against("training rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{
        testing::{fault, inspect, texts},
        Point,
    };

    #[test]
    fn lines_are_against_training_rows() {
        let point = |size: usize| Point { size, mean: 0.5, low: 0.4, high: 0.6 };
        let line = |sizes: &[usize]| Line {
            name: "validation".into(),
            points: sizes.iter().map(|size| point(*size)).collect(),
        };
        let chart = |lines| TrainingSizeChart { title: "T".into(), metric: "accuracy".into(), lines };
        let svg = inspect(&chart(vec![line(&[10, 20, 40])]));
        let texts = texts(&svg);
        for text in ["validation", "training rows", "accuracy", "20"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        assert!(fault(&chart(vec![])).contains("lines of the chart must be 1 to 40"));
        assert!(fault(&chart(vec![line(&[20, 10])])).contains("size in line \"validation\""));
        assert!(fault(&chart(vec![line(&[0])])).contains("at least 1"));
    }
}
