//! A test metric against the size of the ensemble.
mod one;
mod panels;
mod singles;

use crate::{
    chart::{
        check_band, check_number, drawable,
        picture::{At, Draw, Drawn, Mark, Picture},
        scale::{robust, whole_ticks, Range, Scale, Tick},
        style::{BAND_OPACITY, MARK},
        Chart,
    },
    Error, Result,
};
use plotters::style::RGBColor;

/// The metric of ensembles of one size, or of networks trained on this many rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Members in the ensemble, or training rows, at least 1.
    pub size: usize,
    /// Mean of the metric over the repeats.
    pub mean: f64,
    /// Lower edge of the band.
    pub low: f64,
    /// Upper edge of the band, not below `low`. Equal edges draw no band.
    pub high: f64,
}

/// One line of the chart, such as a strategy with a combiner.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The name in the legend or above the panel; long names are shortened in the middle.
    pub name: String,
    /// The points, at least one, in order of increasing size.
    pub points: Vec<Point>,
}

/// A chart of a test metric against the size of the ensemble: a line with a band for each strategy and
/// combiner, and the single networks.
///
/// Up to two lines, or three without bands, are drawn in one panel, with a dot for each single network to the
/// left of size 1. More lines get a panel each, because overlapping bands cannot be read: a panel has its
/// line and band in colour, the other lines thin and grey behind them, and the mean of the single networks as
/// a dashed line with a band of one standard deviation. All panels have the same axes. From 41 lines on, the
/// range of all lines takes the place of the other lines.
///
/// The title should say what the bands are, such as ± one standard deviation over the repeats, or a 95 %
/// interval.
///
/// [`Chart::check`] fails when there are no lines or more than 200, a line has no points, sizes do not
/// increase from 1 or more, a band has its low edge above its high edge, or a value is not finite or beyond
/// ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, Line, Point, SizeChart};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sizes.svg");
/// let means = [0.912, 0.926, 0.931, 0.934];
/// let points = (1..).zip(means).map(|(size, mean)| Point { size, mean, low: mean - 0.004, high: mean + 0.004 });
/// SizeChart {
///     title: "Digits: mean ± one standard deviation of 20 repetitions".into(),
///     metric: "test accuracy (higher is better)".into(),
///     singles: vec![0.909, 0.914, 0.917, 0.908],
///     lines: vec![Line { name: "bagging, average".into(), points: points.collect() }],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SizeChart {
    /// The title above the chart.
    pub title: String,
    /// Label of the vertical axis: the metric, its unit, and whether higher or lower is better.
    pub metric: String,
    /// The metric of each single network. A value so far off that showing it would flatten the lines is not
    /// shown at its height, and the legend counts it.
    pub singles: Vec<f64>,
    /// The lines, 1 to 200.
    pub lines: Vec<Line>,
}

const MOST_LINES: usize = 200;
const SIZE_AXIS: &str = "networks in the ensemble";

impl Chart for SizeChart {
    fn check(&self) -> Result<()> {
        check_number("lines of the chart", 1..=MOST_LINES, self.lines.len())?;
        for line in &self.lines {
            line.check()?;
        }
        self.singles.iter().try_for_each(|&v| drawable(v, || "value of a single network".into()))
    }
}

impl Draw for SizeChart {
    fn picture(&self) -> Drawn<Picture> {
        if self.lines.len() <= self.together() {
            one::draw(self)
        } else {
            panels::draw(self)
        }
    }
}

impl SizeChart {
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.lines.iter().flat_map(|l| &l.points)
    }

    /// The largest number of lines in one panel: bands of three cannot be told apart.
    fn together(&self) -> usize {
        if self.lines.iter().any(Line::banded) {
            2
        } else {
            3
        }
    }

    fn largest(&self) -> usize {
        self.points().map(|p| p.size).max().unwrap_or(1)
    }

    /// The values of the vertical axis.
    fn values(&self) -> Drawn<Range> {
        let lines = Range::of(self.points().flat_map(|p| [p.mean, p.low, p.high])).ok_or("no points")?;
        Ok(robust(lines, &self.singles).padded(0.05))
    }
}

impl Line {
    pub(super) fn check(&self) -> Result<()> {
        let name = &self.name;
        check_number(&format!("points of line {name:?}"), 1..=usize::MAX, self.points.len())?;
        let mut least = 1;
        for p in &self.points {
            if p.size < least {
                let must = format!("at least {least} here, because sizes increase");
                return Err(Error::invalid(format!("size in line {name:?}"), must, p.size));
            }
            least = p.size.saturating_add(1);
            check_band(p.mean, p.low, p.high, || format!("line {name:?} at size {}", p.size))?;
        }
        Ok(())
    }

    fn banded(&self) -> bool {
        self.points.iter().any(|p| p.low < p.high)
    }

    fn draw_band(&self, picture: &mut Picture, at: &impl Fn(usize, f64) -> At, color: RGBColor) {
        if self.banded() {
            let mut outline = self.path(|p| at(p.size, p.high));
            outline.extend(self.path(|p| at(p.size, p.low)).into_iter().rev());
            picture.area(outline, color, BAND_OPACITY);
        }
    }

    fn draw_marks(&self, picture: &mut Picture, at: &impl Fn(usize, f64) -> At, mark: Mark, color: RGBColor) {
        for p in &self.points {
            picture.mark(mark, at(p.size, p.mean), MARK, color, 1.0);
        }
    }

    /// The positions of the points; a single point becomes a short dash.
    fn path(&self, at: impl Fn(&Point) -> At) -> Vec<At> {
        match self.points.as_slice() {
            [only] => {
                let (x, y) = at(only);
                vec![(x - 8.0, y), (x + 8.0, y)]
            }
            points => points.iter().map(at).collect(),
        }
    }
}

/// A scale for sizes up to `largest`, with margins that are shares of its length.
fn sizes(largest: usize, left: f64, right: f64) -> Scale {
    let span = (largest as f64 - 1.0).max(1.0);
    if largest <= 1 {
        return Scale::Linear(Range { low: 0.0, high: 2.0 });
    }
    Scale::Linear(Range { low: 1.0 - left * span, high: largest as f64 + right * span })
}

fn size_ticks(largest: usize, number: usize) -> Vec<Tick> {
    whole_ticks(largest, number).into_iter().map(|size| (size as f64, size.to_string())).collect()
}

#[cfg(test)]
mod tests;
