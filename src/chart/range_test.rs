//! The loss against a rising learning rate.
use crate::{
    chart::{
        check_number, drawable,
        frame::{Frame, BELOW},
        legend::{Entry, Legend},
        picture::{Draw, Drawn, Mark, Picture},
        scale::{robust, Range, Scale},
        style::{color, dashes, mark, EDGE, INK, MARK, PALE, WIDTH},
        Chart,
    },
    Error, Result,
};

/// One step of a learning-rate range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatePoint {
    /// The learning rate, above 0.
    pub rate: f64,
    /// The loss of the step.
    pub loss: f64,
    /// The smoothed loss.
    pub smoothed: f64,
}

/// A learning rate that a marker shows, such as a suggestion.
#[derive(Clone, Debug, PartialEq)]
pub struct RateMark {
    /// The learning rate, above 0.
    pub rate: f64,
    /// What it is.
    pub label: String,
}

/// A learning-rate range test: the loss and the smoothed loss against the logarithm of the learning rate,
/// with marks on the smoothed loss.
///
/// Losses of single steps that are far above the smoothed ones are not drawn, because they would flatten the
/// curve.
///
/// [`RangeTestReport::chart`](crate::train::RangeTestReport::chart) makes it from a test. Read it from left
/// to right: the flat part is too small a rate, the falling part is usable, and the rate where the curve
/// rises again is too large.
///
/// [`Chart::check`] fails when there are no points, rates do not increase or are not above 0, a value is not
/// finite or beyond ±1e300, or there are more than 8 marks.
///
/// ```
/// use candle_ensemble::chart::{Chart, RangeTestChart, RateMark, RatePoint};
///
/// let point = |i: i32| {
///     let rate = 1e-5 * 10f64.powf(f64::from(i) / 20.0);
///     let loss = 2.0 / (1.0 + 200.0 * rate) + 3.0 * rate * rate;
///     RatePoint { rate, loss: loss * (1.0 + 0.05 * f64::from(i % 3)), smoothed: loss }
/// };
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("range.svg");
/// RangeTestChart {
///     title: "Digits: learning-rate range test".into(),
///     measure: "training loss".into(),
///     points: (0..100).map(point).collect(),
///     marks: vec![RateMark { rate: 5e-3, label: "steepest descent".into() }],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTestChart {
    /// The title above the chart.
    pub title: String,
    /// Label of the vertical axis.
    pub measure: String,
    /// The steps, at least one, in order of increasing rate.
    pub points: Vec<RatePoint>,
    /// Rates to mark, at most 8.
    pub marks: Vec<RateMark>,
}

impl Chart for RangeTestChart {
    fn check(&self) -> Result<()> {
        check_number("points of the range test", 1..=usize::MAX, self.points.len())?;
        check_number("marks of the range test", 0..=8, self.marks.len())?;
        let mut before = 0.0;
        for (i, p) in self.points.iter().enumerate() {
            check_rate(p.rate, || format!("rate of point {i}"))?;
            if p.rate <= before {
                let must = format!("above {before}, because rates increase");
                return Err(Error::invalid(format!("rate of point {i}"), must, p.rate));
            }
            before = p.rate;
            drawable(p.loss, || format!("loss of point {i}"))?;
            drawable(p.smoothed, || format!("smoothed loss of point {i}"))?;
        }
        self.marks.iter().try_for_each(|m| check_rate(m.rate, || format!("rate of mark {:?}", m.label)))
    }
}

fn check_rate(rate: f64, what: impl Fn() -> String) -> Result<()> {
    drawable(rate, &what)?;
    if rate > 0.0 {
        return Ok(());
    }
    Err(Error::invalid(what(), "above 0", rate))
}

impl RangeTestChart {
    fn frame(&self, (top, bottom): (f64, f64)) -> Drawn<Frame> {
        let lines = Range::of(self.points.iter().map(|p| p.smoothed)).ok_or("no points")?;
        let losses: Vec<f64> = self.points.iter().map(|p| p.loss).collect();
        let y = robust(lines, &losses);
        let rates = self.points.iter().map(|p| p.rate).chain(self.marks.iter().map(|m| m.rate));
        let (x, y) = (Scale::log(rates, 0.02), Scale::linear([y.low, y.high], 0.05));
        Frame::new((EDGE, WIDTH - EDGE), (top, bottom), x, y)
    }

    /// The smoothed loss at a rate, between two steps along a straight line.
    fn smoothed_at(&self, rate: f64) -> Option<f64> {
        let after = self.points.iter().position(|p| p.rate >= rate);
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return None };
        match after {
            Some(0) => Some(first.smoothed),
            None => Some(last.smoothed),
            Some(i) => {
                let (a, b) = (self.points.get(i - 1)?, self.points.get(i)?);
                let share = (rate / a.rate).ln() / (b.rate / a.rate).ln();
                Some(a.smoothed + (b.smoothed - a.smoothed) * share)
            }
        }
    }
}

/// A mark of the chart, with its rate in the legend.
fn entry<'a>((i, m): (usize, &RateMark)) -> Entry<'a> {
    let rate = format!("{:.1e}", m.rate).replace('-', "−");
    Entry::new(format!("{}: {rate}", m.label), move |picture, at| {
        picture.edged_mark(shape(i), at, MARK + 1.5, color(i + 1), INK);
    })
}

fn shape(i: usize) -> Mark {
    mark(i + 1)
}

impl Draw for RangeTestChart {
    fn picture(&self) -> Drawn<Picture> {
        let line = Entry::new("smoothed loss", |picture, (x, y)| {
            picture.stroke(vec![(x - 13.0, y), (x + 13.0, y)], 2.2, color(0));
        });
        let raw = Entry::new("loss of a step", |picture, at| picture.disc(at, 2.0, PALE, 1.0));
        let marks = self.marks.iter().enumerate().map(entry);
        let legend = Legend::new([line, raw].into_iter().chain(marks).collect())?;
        let (top, bottom) = (legend.bottom, legend.bottom + 400.0);
        let frame = self.frame((top, bottom))?;
        let mut picture = Picture::new(WIDTH, bottom + BELOW);
        picture.title(&self.title)?;
        legend.draw(&mut picture);
        frame.draw(&mut picture);
        frame.name_axes(&mut picture, "learning rate, log scale", &self.measure)?;
        for p in &self.points {
            if (0.0..=1.0).contains(&frame.y.share(p.loss)) {
                picture.disc(frame.at(p.rate, p.loss), 2.0, PALE, 1.0);
            }
        }
        for (i, m) in self.marks.iter().enumerate() {
            let x = frame.x_at(m.rate);
            picture.dashed(vec![(x, frame.top), (x, frame.bottom)], dashes(1), 1.2, color(i + 1));
        }
        let path = self.points.iter().map(|p| frame.at(p.rate, p.smoothed)).collect();
        picture.stroke(path, 2.2, color(0));
        for (i, m) in self.marks.iter().enumerate() {
            if let Some(loss) = self.smoothed_at(m.rate) {
                picture.edged_mark(shape(i), frame.at(m.rate, loss), MARK + 1.5, color(i + 1), INK);
            }
        }
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart(number: usize) -> RangeTestChart {
        let point = |i: usize| {
            let rate = 1e-4 * 1.5f64.powi(i as i32);
            RatePoint { rate, loss: 2.0 + (i % 2) as f64, smoothed: 2.5 - 0.01 * i as f64 }
        };
        RangeTestChart {
            title: "Range".into(),
            measure: "loss".into(),
            points: (0..number).map(point).collect(),
            marks: vec![RateMark { rate: 1e-3, label: "steepest & best".into() }],
        }
    }

    #[test]
    fn steps_are_dots_and_marks_are_in_the_legend() {
        let svg = inspect(&chart(20));
        // One more in the legend.
        assert_eq!(count(&svg, &["<circle"]), 21);
        let texts = texts(&svg);
        for text in ["steepest &amp; best: 1.0e−3", "smoothed loss", "learning rate, log scale", "loss"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn marks_are_on_the_curve_and_far_losses_left_out() {
        let mut c = chart(20);
        assert!((c.smoothed_at(c.points[3].rate).unwrap() - c.points[3].smoothed).abs() < 1e-12);
        let between = (c.points[3].rate * c.points[4].rate).sqrt();
        assert!((c.smoothed_at(between).unwrap() - 2.465).abs() < 1e-12);
        assert_eq!((c.smoothed_at(1e-9), c.smoothed_at(1e9)), (Some(2.5), Some(2.31)));
        c.points[19].loss = 1e12;
        assert_eq!(count(&inspect(&c), &["<circle"]), 20);
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        let with = |change: fn(&mut RangeTestChart)| {
            let mut c = chart(3);
            change(&mut c);
            fault(&c)
        };
        assert!(fault(&chart(0)).contains("points of the range test must be at least 1"));
        assert!(with(|c| c.points[0].rate = 0.0).contains("rate of point 0 must be above 0"));
        assert!(with(|c| c.points[1].rate = c.points[0].rate).contains("because rates increase"));
        assert!(with(|c| c.points[2].loss = f64::INFINITY).contains("loss of point 2"));
        assert!(with(|c| c.points[2].smoothed = f64::NAN).contains("smoothed loss of point 2"));
        assert!(with(|c| c.marks[0].rate = -1.0).contains("rate of mark \"steepest & best\""));
        assert!(with(|c| c.marks = vec![c.marks[0].clone(); 9]).contains("marks of the range test"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let mut wide = chart(3);
        wide.points[0].rate = 1e-300;
        wide.points[2].smoothed = 1e300;
        wide.marks = vec![RateMark { rate: 1e300, label: "long ".repeat(99) }; 8];
        for c in [chart(1), wide, chart(1500)] {
            inspect(&c);
        }
    }
}
