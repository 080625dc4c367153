//! Estimates with their intervals, one below the other.
use crate::{
    chart::{
        check_number, drawable,
        frame::{Frame, BELOW},
        picture::{Anchor, Draw, Drawn, Mark, Picture, SPARE},
        scale::{robust, short, Range, Scale},
        style::{color, AXIS, EDGE, FAINT, GREY, INK, NAME, TOP, WHITE, WIDTH},
        Chart,
    },
    Error, Result,
};

/// A forest plot: estimates with their intervals, such as the gains of several changes, against zero.
///
/// Rows that are highlighted have filled markers. An end of an interval that is infinite, or so far away that
/// it would make the others invisible, is an arrow at the edge of the chart; the figures stand beside it.
///
/// [`Chart::check`] fails when there are no rows or more than 100, an estimate is not finite, an end is NaN,
/// or the ends are not on both sides of the estimate.
///
/// ```
/// use candle_ensemble::chart::{Chart, ForestPlot, ForestRow};
///
/// let row = |name: &str, [low, estimate, high]: [f64; 3], highlighted| ForestRow {
///     name: name.into(), estimate, low, high, highlighted,
/// };
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("gains.svg");
/// ForestPlot {
///     title: "What each remedy gains".into(),
///     measure: "reduction of the loss in % (right is better)".into(),
///     rows: vec![
///         row("raise-learning-rate", [31., 38., 45.], true),
///         row("weight-decay", [-4., 1., 6.], false),
///     ],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Lewis and Clarke 2001, "Forest plots: trying to see the wood and the trees",
/// doi:10.1136/bmj.322.7300.1479.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestPlot {
    /// The title above the chart.
    pub title: String,
    /// Label of the horizontal axis: what is estimated, its unit, and which side is better.
    pub measure: String,
    /// The rows from top to bottom, 1 to 100.
    pub rows: Vec<ForestRow>,
}

/// One row of a [`ForestPlot`].
#[derive(Clone, Debug, PartialEq)]
pub struct ForestRow {
    /// The name.
    pub name: String,
    /// The estimate.
    pub estimate: f64,
    /// The lower end of the interval, which may be minus infinity.
    pub low: f64,
    /// The upper end of the interval, which may be infinity.
    pub high: f64,
    /// Whether the row is highlighted, such as a change that was kept.
    pub highlighted: bool,
}

/// The height of a row.
const ROW: f64 = 27.0;
/// The largest width of a name.
const NAMES: f64 = 270.0;

impl Chart for ForestPlot {
    fn check(&self) -> Result<()> {
        check_number("rows of the forest plot", 1..=100, self.rows.len())?;
        for row in &self.rows {
            let name = &row.name;
            drawable(row.estimate, || format!("estimate of row {name:?}"))?;
            for (end, value, right) in
                [("low", row.low, row.low <= row.estimate), ("high", row.high, row.high >= row.estimate)]
            {
                if !right {
                    let must = if end == "low" { "at most" } else { "at least" };
                    let must = format!("{must} the estimate, {}", row.estimate);
                    return Err(Error::invalid(format!("{end} of row {name:?}"), must, value));
                }
            }
        }
        Ok(())
    }
}

impl Draw for ForestPlot {
    fn picture(&self) -> Drawn<Picture> {
        let names =
            self.rows.iter().map(|row| NAME.fit(&row.name, NAMES / SPARE)).collect::<Drawn<Vec<_>>>()?;
        let range = self.range();
        let figures: Vec<String> = self.rows.iter().map(|row| figures(row, range.span())).collect();
        let widest = |texts: &[String]| NAME.widest(texts.iter().map(String::as_str));
        let (left, right) = (EDGE + widest(&names)? + 8.0 - 28.0, WIDTH - EDGE - widest(&figures)? - 14.0);
        let bottom = TOP + 8.0 + ROW * self.rows.len() as f64;
        // The rows are the vertical axis, which has no ticks.
        let rows = Scale::Linear(Range { low: 0.0, high: 1.0 });
        let mut frame = Frame::new((left, right), (TOP, bottom), Scale::Linear(range), rows)?;
        frame.left = left + 28.0;
        frame.y_ticks.clear();
        let mut picture = Picture::new(WIDTH, bottom + BELOW);
        picture.title(&self.title)?;
        for i in (0..self.rows.len()).step_by(2) {
            let top = TOP + 4.0 + ROW * i as f64;
            picture.rectangle((EDGE - 6.0, top), (WIDTH - EDGE + 6.0, top + ROW), FAINT, 1.0);
        }
        for (value, _) in &frame.x_ticks {
            let x = frame.x_at(*value);
            picture.stroke(vec![(x, frame.top), (x, frame.bottom)], 1.0, FAINT);
        }
        let zero = frame.x_at(0.0);
        picture.dashed(vec![(zero, frame.top), (zero, frame.bottom)], &[4.0, 3.0], 1.3, GREY);
        frame.label_x(&mut picture);
        picture.stroke(vec![(frame.left, frame.bottom), (frame.right, frame.bottom)], 1.0, GREY);
        let measure = AXIS.fit(&self.measure, (WIDTH - 2.0 * EDGE) / SPARE)?;
        let half = SPARE * AXIS.width(&measure)? / 2.0;
        let middle = ((frame.left + frame.right) / 2.0).clamp(EDGE + half, WIDTH - EDGE - half);
        picture.text(measure, (middle, frame.bottom + 41.0), AXIS, Anchor::Center);
        for (i, ((row, name), figures)) in self.rows.iter().zip(names).zip(figures).enumerate() {
            let y = TOP + 4.0 + ROW * (i as f64 + 0.5);
            picture.text(name, (EDGE, y), NAME, Anchor::Left);
            picture.text(figures, (WIDTH - EDGE, y), NAME, Anchor::Right);
            row.draw(&mut picture, &frame, range, y);
        }
        Ok(picture)
    }
}

impl ForestPlot {
    /// The range of the axis: zero, the estimates that are highlighted, and what does not flatten them.
    fn range(&self) -> Range {
        let highlighted = self.rows.iter().filter(|row| row.highlighted);
        let lines = Range::of(highlighted.map(|row| row.estimate).chain([0.0]))
            .unwrap_or(Range { low: 0.0, high: 0.0 });
        let all = self.rows.iter().flat_map(|row| [row.low, row.estimate, row.high]);
        let all: Vec<f64> = all.filter(|x| x.abs() <= 1e300).collect();
        robust(lines, &all).padded(0.06)
    }
}

impl ForestRow {
    fn draw(&self, picture: &mut Picture, frame: &Frame, range: Range, y: f64) {
        let x = |value: f64| frame.x_at(value.clamp(range.low, range.high));
        let ink = if self.highlighted { color(0) } else { INK };
        let (low, high) = (x(self.low), x(self.high));
        if self.low <= range.high && self.high >= range.low {
            picture.stroke(vec![(low, y), (high, y)], 2.0, ink);
        }
        for (value, at, way) in [(self.low, low, -1.0), (self.high, high, 1.0)] {
            let path = match range.holds(value) {
                true => vec![(at, y - 5.0), (at, y + 5.0)],
                // An arrow head at the edge that the end is behind.
                false if (value < range.low) == (way < 0.0) => {
                    vec![(at - 6.0 * way, y - 5.0), (at, y), (at - 6.0 * way, y + 5.0)]
                }
                false => continue,
            };
            picture.stroke(path, 2.0, ink);
        }
        let at = (x(self.estimate), y);
        match (range.holds(self.estimate), self.highlighted) {
            (true, true) => picture.edged_mark(Mark::Square, at, 5.0, ink, ink),
            (true, false) => picture.edged_mark(Mark::Square, at, 3.5, WHITE, ink),
            (false, _) => {
                let way = if self.estimate < range.low { -6.0 } else { 6.0 };
                picture.stroke(vec![(at.0 - way, y - 5.0), at, (at.0 - way, y + 5.0)], 2.0, ink);
            }
        }
    }
}

/// The estimate with its interval.
fn figures(row: &ForestRow, span: f64) -> String {
    let text = |value: f64| match value {
        f64::INFINITY => "∞".into(),
        f64::NEG_INFINITY => "−∞".into(),
        // A figure as fine as a hundredth of the axis.
        value => short(value, 5.0 * span),
    };
    format!("{} ({} to {})", text(row.estimate), text(row.low), text(row.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn row(name: &str, low: f64, estimate: f64, high: f64) -> ForestRow {
        ForestRow { name: name.into(), estimate, low, high, highlighted: low > 0.0 }
    }

    fn chart(rows: Vec<ForestRow>) -> ForestPlot {
        ForestPlot { title: "Gains".into(), measure: "gain in % (right is better)".into(), rows }
    }

    #[test]
    fn every_row_has_its_name_and_its_figures() {
        let svg = inspect(&chart(vec![row("a & b", 12.0, 20.0, 28.0), row("c", -4.0, 1.0, 6.0)]));
        let texts = texts(&svg);
        for text in
            ["a &amp; b", "20.0 (12.0 to 28.0)", "c", "1.0 (−4.0 to 6.0)", "0", "gain in % (right is better)"]
        {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        assert_eq!(count(&svg, &["<text "]), count(&svg, &["</text>"]));
    }

    #[test]
    fn ends_far_away_do_not_flatten_the_others() {
        let far = chart(vec![
            row("a", 12.0, 20.0, 28.0),
            row("b", -1.0, 2.0, 4.0),
            row("c", -9000.0, -5000.0, f64::INFINITY),
            row("d", f64::NEG_INFINITY, 1.0, 5.0),
        ]);
        let range = far.range();
        assert!(range.low > -100.0 && range.high < 100.0 && range.holds(28.0), "{range:?}");
        let svg = inspect(&far);
        assert!(texts(&svg).contains(&"1.0 (−∞ to 5.0)"), "{:?}", texts(&svg));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        inspect(&chart(vec![row("zero", 0.0, 0.0, 0.0)]));
        inspect(&chart(vec![row(&"long name ".repeat(40), -1e300, 1e-9, 1e300)]));
        inspect(&chart((0..100).map(|i| row("many", f64::from(i), f64::from(i), 200.0)).collect()));
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("rows of the forest plot must be 1 to 100"));
        assert!(fault(&chart(vec![row("a", 0.0, f64::NAN, 1.0)])).contains("estimate of row \"a\""));
        let e = fault(&chart(vec![row("a", 2.0, 1.0, 3.0)]));
        assert!(e.contains("low of row \"a\" must be at most the estimate, 1"), "{e}");
        assert!(fault(&chart(vec![row("a", 0.0, 1.0, f64::NAN)])).contains("high of row \"a\""));
    }
}
