//! A loss or a metric against the epoch.
use crate::{
    chart::{
        check_band, check_number,
        curve_marks::{draw_before, draw_behind, Flags},
        frame::{Frame, BELOW},
        legend::{Entry, Legend},
        picture::{At, Draw, Drawn, Picture},
        scale::{Range, Scale},
        style::{color, dashes, mark, BAND_OPACITY, EDGE, MARK, WIDTH},
        Chart, CurveMark,
    },
    Error, Result,
};

/// The loss or the metric after one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The epoch.
    pub epoch: usize,
    /// The mean over the runs.
    pub mean: f64,
    /// Lower edge of the band, such as the smallest value of a run.
    pub low: f64,
    /// Upper edge of the band, not below `low`. Equal edges draw no band.
    pub high: f64,
}

/// One curve, such as the loss on the training rows or on the validation rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The name in the legend.
    pub name: String,
    /// The points, at least one, in order of increasing epoch.
    pub points: Vec<CurvePoint>,
}

/// Learning curves: a loss or a metric against the epoch, with a band over runs.
///
/// Curves differ in colour, in dashes and in markers. The title should say what the bands are, such as the
/// smallest and the largest value of five runs.
///
/// Use it to see whether training has converged, and where the validation loss rises again. Marks point at what
/// the curves show; their labels avoid each other and the curves. The cost grows with the number of points.
///
/// [`Chart::check`] fails when there are no curves or more than 40, more than 20 marks, a curve has no points,
/// epochs do not increase, a band or a mark has its low edge above its high edge, or a value is not finite, or
/// not above zero on a logarithmic axis.
///
/// ```
/// use candle_ensemble::chart::{Chart, Curve, CurveMark, CurvePoint, LearningCurves};
///
/// let curve = |name: &str, end: f64| {
///     let point = |epoch: usize| {
///         let mean = end + 2.0 * 0.8f64.powi(epoch as i32);
///         CurvePoint { epoch, mean, low: 0.9 * mean, high: 1.1 * mean }
///     };
///     Curve { name: name.into(), points: (1..=30).map(point).collect() }
/// };
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("learning.svg");
/// LearningCurves {
///     title: "Digits: mean, smallest and largest loss of 5 runs".into(),
///     metric: "cross-entropy in nats (lower is better)".into(),
///     log: true,
///     curves: vec![curve("training", 0.02), curve("validation", 0.15)],
///     marks: vec![CurveMark::Epoch { epoch: 24, label: "best epoch".into() }],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LearningCurves {
    /// The title above the chart.
    pub title: String,
    /// Label of the vertical axis: the loss or the metric, its unit, and whether higher or lower is better.
    pub metric: String,
    /// Whether the vertical axis is logarithmic. All values must be above zero then.
    pub log: bool,
    /// The curves, 1 to 40.
    pub curves: Vec<Curve>,
    /// What is marked, up to 20 places.
    pub marks: Vec<CurveMark>,
}

impl Chart for LearningCurves {
    fn check(&self) -> Result<()> {
        check_number("curves of the chart", 1..=40, self.curves.len())?;
        check_number("marks of the chart", 0..=20, self.marks.len())?;
        self.curves.iter().try_for_each(|curve| curve.check(self.log))?;
        self.marks.iter().try_for_each(|mark| mark.check(self.log))
    }
}

impl Curve {
    fn check(&self, log: bool) -> Result<()> {
        let name = &self.name;
        check_number(&format!("points of curve {name:?}"), 1..=usize::MAX, self.points.len())?;
        let mut before = None;
        for p in &self.points {
            if let Some(before) = before.filter(|b| *b >= p.epoch) {
                let must = format!("above {before} here, because epochs increase");
                return Err(Error::invalid(format!("epoch in curve {name:?}"), must, p.epoch));
            }
            before = Some(p.epoch);
            let of = || format!("curve {name:?} at epoch {}", p.epoch);
            check_band(p.mean, p.low, p.high, of)?;
            let least = p.low.min(p.mean);
            if log && least <= 0.0 {
                return Err(Error::invalid(of(), "above 0 on a logarithmic axis", least));
            }
        }
        Ok(())
    }

    fn banded(&self) -> bool {
        self.points.iter().any(|p| p.low < p.high)
    }

    fn draw_band(&self, picture: &mut Picture, frame: &Frame, i: usize) {
        if self.banded() {
            let edge = |value: fn(&CurvePoint) -> f64| {
                self.points.iter().map(move |p| frame.at(p.epoch as f64, value(p)))
            };
            let outline = edge(|p| p.high).chain(edge(|p| p.low).rev()).collect();
            picture.area(outline, color(i), BAND_OPACITY);
        }
    }

    /// The path of the means.
    fn path(&self, frame: &Frame) -> Vec<At> {
        self.points.iter().map(|p| frame.at(p.epoch as f64, p.mean)).collect()
    }

    /// Draws the means, with markers far enough apart.
    fn draw_line(&self, picture: &mut Picture, frame: &Frame, i: usize) {
        let path = self.path(frame);
        let mut marked = f64::NEG_INFINITY;
        let marks: Vec<_> = path
            .iter()
            .copied()
            .filter(|(x, _)| {
                let far = x - marked >= 55.0;
                if far {
                    marked = *x;
                }
                far
            })
            .collect();
        picture.dashed(path, dashes(i), 2.0, color(i));
        for at in marks {
            picture.mark(mark(i), at, MARK + 0.4, color(i), 1.0);
        }
    }
}

impl Draw for LearningCurves {
    fn picture(&self) -> Drawn<Picture> {
        self.against("epoch")
    }
}

impl LearningCurves {
    /// The chart with this name of the horizontal axis.
    pub(super) fn against(&self, name: &str) -> Drawn<Picture> {
        let legend = Legend::new(self.curves.iter().enumerate().map(entry).collect())?;
        let height = if self.marks.is_empty() { 400.0 } else { 380.0 };
        let top = legend.bottom;
        // Places on the horizontal axis do not depend on how high the frame stands.
        let flags = Flags::place(&self.marks, &self.frame(top, top + height)?)?;
        let (top, bottom) = (top + flags.height(), top + flags.height() + height);
        let frame = self.frame(top, bottom)?;
        let mut picture = Picture::new(WIDTH, bottom + BELOW);
        picture.title(&self.title)?;
        legend.draw(&mut picture);
        frame.draw(&mut picture);
        let scale = if self.log { ", log scale" } else { "" };
        frame.name_axes(&mut picture, name, &format!("{}{scale}", self.metric))?;
        draw_behind(&self.marks, &flags, &mut picture, &frame);
        for (i, curve) in self.curves.iter().enumerate() {
            curve.draw_band(&mut picture, &frame, i);
        }
        // The first curve is drawn last, on top.
        for (i, curve) in self.curves.iter().enumerate().rev() {
            curve.draw_line(&mut picture, &frame, i);
        }
        let lines: Vec<_> = self.curves.iter().map(|curve| curve.path(&frame)).collect();
        draw_before(&self.marks, &flags, &lines, &mut picture, &frame)?;
        Ok(picture)
    }

    fn frame(&self, top: f64, bottom: f64) -> Drawn<Frame> {
        let points = || self.curves.iter().flat_map(|c| &c.points);
        let marked = self.marks.iter().flat_map(CurveMark::values);
        let values = points().flat_map(|p| [p.mean, p.low, p.high]).chain(marked);
        // The label of the highest level stands above its line.
        let room = if self.marks.iter().any(|m| matches!(m, CurveMark::Level { .. })) { 0.05 } else { 0.0 };
        let y = if self.log { Scale::log(values, 0.04 + room) } else { Scale::linear(values, 0.05 + room) };
        let epochs = points().map(|p| p.epoch).chain(self.marks.iter().flat_map(CurveMark::epochs));
        let epochs = Range::of(epochs.map(|epoch| epoch as f64)).ok_or("no points")?;
        let pad = if epochs.span() > 0.0 { 0.02 * epochs.span() } else { 1.0 };
        let x = Scale::Linear(Range { low: epochs.low - pad, high: epochs.high + pad });
        let mut frame = Frame::new((EDGE, WIDTH - EDGE), (top, bottom), x, y)?;
        // Epochs are whole. Ticks are rounded multiples of a step.
        frame.x_ticks.retain(|(value, _)| (value - value.round()).abs() < 1e-6 && *value > -0.5);
        for (value, label) in &mut frame.x_ticks {
            if *value < 1e6 {
                *label = format!("{value:.0}");
            }
        }
        Ok(frame)
    }
}

fn entry((i, curve): (usize, &Curve)) -> Entry<'_> {
    let banded = curve.banded();
    Entry::new(&curve.name, move |picture, (x, y)| {
        if banded {
            picture.rectangle((x - 13.0, y - 5.5), (x + 13.0, y + 5.5), color(i), BAND_OPACITY);
        }
        picture.dashed(vec![(x - 13.0, y), (x + 13.0, y)], dashes(i), 2.0, color(i));
        picture.mark(mark(i), (x, y), MARK + 0.4, color(i), 1.0);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn curve(name: &str, means: impl IntoIterator<Item = f64>, half: f64) -> Curve {
        let points = (0..).zip(means).map(|(epoch, mean)| CurvePoint {
            epoch,
            mean,
            low: mean - half,
            high: mean + half,
        });
        Curve { name: name.into(), points: points.collect() }
    }

    fn chart(curves: Vec<Curve>) -> LearningCurves {
        LearningCurves {
            title: "Loss".into(),
            metric: "nats <per row>".into(),
            log: false,
            curves,
            marks: vec![CurveMark::Epoch { epoch: 2, label: "best & last".into() }],
        }
    }

    #[test]
    fn curves_have_bands_and_the_mark_its_label() {
        let c = chart(vec![curve("train", [3.0, 2.0, 1.5], 0.1), curve("validation", [3.0, 2.5, 2.6], 0.0)]);
        let svg = inspect(&c);
        assert_eq!(count(&svg, &["<polygon", &format!("opacity=\"{BAND_OPACITY}\"")]), 1);
        let texts = texts(&svg);
        for text in
            ["train", "validation", "best &amp; last: 2", "epoch", "nats &lt;per row&gt;", "0", "1", "2"]
        {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        let log = LearningCurves { log: true, marks: vec![], ..c };
        let svg = inspect(&log);
        assert!(svg.contains("nats &lt;per row&gt;, log scale") && !svg.contains("best"));
    }

    #[test]
    fn ticks_are_at_whole_epochs() {
        for last in [1, 2, 3, 4, 7] {
            let mut c = chart(vec![curve("a", (0..=last).map(f64::from), 0.0)]);
            c.marks = vec![];
            let frame = c.frame(0.0, 400.0).unwrap();
            let labels: Vec<_> = frame.x_ticks.iter().map(|t| t.1.clone()).collect();
            assert_eq!(labels, (0..=last).map(|e| e.to_string()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn markers_are_apart() {
        let svg = inspect(&chart(vec![curve("a", (0..5000).map(f64::from), 1.0)]));
        let discs = count(&svg, &["<circle"]);
        assert!((8..=18).contains(&discs), "{discs}");
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("curves of the chart must be 1 to 40"));
        assert!(fault(&chart(vec![curve("a", [], 0.0)])).contains("points of curve \"a\""));
        assert!(
            fault(&chart(vec![curve("a", [1.0, f64::NAN], 0.0)])).contains("mean of curve \"a\" at epoch 1")
        );
        let mut twice = chart(vec![curve("a", [1.0, 2.0], 0.0)]);
        twice.curves[0].points[1].epoch = 0;
        assert!(fault(&twice).contains("above 0 here"));
        let log = LearningCurves { log: true, ..chart(vec![curve("a", [1.0, 0.5], 0.5)]) };
        assert!(fault(&log).contains("curve \"a\" at epoch 1 must be above 0 on a logarithmic axis"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let one = chart(vec![curve("one", [1.0], 0.0)]);
        let flat = LearningCurves { log: true, ..chart(vec![curve("flat", [1e-9; 9], 0.0)]) };
        let wide = LearningCurves { log: true, ..chart(vec![curve("wide", [1e-300, 1.0, 1e300], 0.0)]) };
        let large = chart(vec![curve("large", [1e9, 2e9], 1e8)]);
        let many = chart((0..40).map(|i| curve(&format!("curve {i}"), [1.0, f64::from(i)], 0.1)).collect());
        let mut names = chart(vec![curve(&"long name ".repeat(50), [1.0, 2.0], 0.0)]);
        names.marks = vec![CurveMark::Epoch { epoch: usize::MAX, label: "very long ".repeat(50) }];
        for c in [one, flat, wide, large, many, names] {
            inspect(&c);
        }
    }
}
