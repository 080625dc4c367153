//! The charts of a study, as data that can be drawn.
use crate::{
    chart::{Line, Point, SizeChart},
    evaluate::{EnsembleReport, SizeSummary, StudyReport},
};

impl StudyReport {
    /// A chart of the metric against the size of the ensemble (feature `charts`); `None` where no row has a curve.
    #[must_use]
    pub fn size_chart(&self, title: &str) -> Option<SizeChart> {
        let point = |s: &SizeSummary| {
            let sd = s.summary.sd.unwrap_or(0.);
            Point { size: s.size, mean: s.summary.mean, low: s.summary.mean - sd, high: s.summary.mean + sd }
        };
        let line = |e: &EnsembleReport| Line {
            name: format!("{}, {}", e.strategy, e.combine),
            points: e.size_curve.iter().map(point).collect(),
        };
        let better = if self.higher_is_better { "higher is better" } else { "lower is better" };
        let headlines = self.single.repeats.iter().flatten().filter_map(|scores| scores.first().copied());
        let lines: Vec<Line> = self.ensembles.iter().filter(|e| e.size_curve.len() > 1).map(line).collect();
        (!lines.is_empty()).then(|| SizeChart {
            title: title.into(),
            metric: format!("test {} ({better})", self.metric),
            singles: headlines.collect(),
            lines,
        })
    }
}
