//! Predicted values against one input, with bands.
use crate::{
    chart::{
        check_number, drawable,
        frame::{Frame, BELOW},
        legend::{Entry, Legend},
        picture::{At, Draw, Drawn, Picture},
        scale::{Range, Scale},
        style::{color, dashes, mark, BAND_OPACITY, EDGE, GREY, WIDTH},
        Chart,
    },
    Error, Result,
};

/// A band between two values at each input, such as a prediction interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// The name in the legend.
    pub name: String,
    /// The input and the two ends, at least two, in order of increasing input.
    pub points: Vec<BandPoint>,
}

/// The ends of a band at one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    /// The input.
    pub input: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end, not below `low`.
    pub high: f64,
}

/// A line through values, or single values, such as a prediction or the rows of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuePoints {
    /// The name in the legend.
    pub name: String,
    /// The inputs with their values.
    pub points: Vec<(f64, f64)>,
}

/// Predicted values against one input: lines, such as the mean of an ensemble, bands, such as conformal intervals, and the
/// rows of data sets as dots.
///
/// Bands and lines differ in colour, and the edges of the bands and the lines in dashes; dots differ in their markers. The
/// first band lies behind the others, so give the widest one first.
///
/// [`Chart::check`] fails when there is nothing to draw, there are more than 4 bands, 8 lines or 4 sets of rows, a line has no
/// points or a band fewer than two, inputs of a band or a line do not increase, an end is above the other one, or a value is
/// not finite or beyond ±1e300. Conformal intervals of too few rows are infinite.
///
/// ```
/// use candle_ensemble::chart::{Band, BandPoint, Chart, PredictionBands, ValuePoints};
///
/// let inputs: Vec<f64> = (0..50).map(|i| f64::from(i) / 10.0).collect();
/// let line = |x: &f64| (*x, x.sin());
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("bands.svg");
/// PredictionBands {
///     title: "A sine: mean of 10 networks".into(),
///     input: "input".into(),
///     target: "target".into(),
///     bands: vec![Band {
///         name: "90 % interval".into(),
///         points: inputs.iter().map(|x| BandPoint { input: *x, low: x.sin() - 0.3, high: x.sin() + 0.3 }).collect(),
///     }],
///     lines: vec![ValuePoints { name: "mean".into(), points: inputs.iter().map(line).collect() }],
///     rows: vec![],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PredictionBands {
    /// The title above the chart.
    pub title: String,
    /// Label of the horizontal axis.
    pub input: String,
    /// Label of the vertical axis.
    pub target: String,
    /// The bands, from back to front.
    pub bands: Vec<Band>,
    /// The lines.
    pub lines: Vec<ValuePoints>,
    /// Rows of data sets, drawn as dots.
    pub rows: Vec<ValuePoints>,
}

impl Chart for PredictionBands {
    fn check(&self) -> Result<()> {
        check_number("bands of the chart", 0..=4, self.bands.len())?;
        check_number("lines of the chart", 0..=8, self.lines.len())?;
        check_number("sets of rows of the chart", 0..=4, self.rows.len())?;
        check_number("values of the chart", 1..=usize::MAX, self.values().count())?;
        for band in &self.bands {
            let name = &band.name;
            check_number(&format!("points of band {name:?}"), 2..=usize::MAX, band.points.len())?;
            check_rising(&format!("band {name:?}"), band.points.iter().map(|p| p.input))?;
            for p in &band.points {
                let of = |what: &str| format!("{what} of band {name:?} at {}", p.input);
                drawable(p.low, || of("low"))?;
                drawable(p.high, || of("high"))?;
                if p.low > p.high {
                    return Err(Error::invalid(of("low"), format!("at most high, {}", p.high), p.low));
                }
            }
        }
        for line in &self.lines {
            let name = &line.name;
            check_number(&format!("points of line {name:?}"), 1..=usize::MAX, line.points.len())?;
            check_rising(&format!("line {name:?}"), line.points.iter().map(|p| p.0))?;
        }
        for (kind, set) in self.lines.iter().map(|l| ("line", l)).chain(self.rows.iter().map(|r| ("rows", r)))
        {
            for (x, y) in &set.points {
                drawable(*x, || format!("input of {kind} {:?}", set.name))?;
                drawable(*y, || format!("value of {kind} {:?} at {x}", set.name))?;
            }
        }
        Ok(())
    }
}

/// Checks that inputs increase.
fn check_rising(of: &str, inputs: impl Iterator<Item = f64>) -> Result<()> {
    let mut before = None;
    for input in inputs {
        drawable(input, || format!("input of {of}"))?;
        if let Some(before) = before.filter(|before| *before >= input) {
            let must = format!("above {before} here, because inputs increase");
            return Err(Error::invalid(format!("input of {of}"), must, input));
        }
        before = Some(input);
    }
    Ok(())
}

/// Half of the width of a symbol in the legend.
const HALF: f64 = 13.0;
/// The radius of a row's dot.
const DOT: f64 = 2.1;
const DOT_OPACITY: f64 = 0.6;

impl PredictionBands {
    /// All pairs of an input and a value.
    fn values(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let ends = |p: &BandPoint| [(p.input, p.low), (p.input, p.high)];
        let bands = self.bands.iter().flat_map(move |band| band.points.iter().flat_map(ends));
        bands.chain(self.lines.iter().chain(&self.rows).flat_map(|set| set.points.iter().copied()))
    }

    fn frame(&self, top: f64, bottom: f64) -> Drawn<Frame> {
        let inputs = Range::of(self.values().map(|value| value.0)).ok_or("no points")?;
        let x = Scale::Linear(inputs.padded(0.02));
        let y = Scale::linear(self.values().map(|value| value.1), 0.04);
        Frame::new((EDGE, WIDTH - EDGE), (top, bottom), x, y)
    }

    /// The number of the colour of a band; lines have the first ones.
    fn band_color(&self, i: usize) -> usize {
        self.lines.len() + i
    }

    fn legend(&self) -> Drawn<Legend<'_>> {
        let lines = self.lines.iter().enumerate().map(|(i, line)| {
            Entry::new(&line.name, move |picture, (x, y)| {
                picture.dashed(vec![(x - HALF, y), (x + HALF, y)], dashes(i), 2.2, color(i));
            })
        });
        let bands = self.bands.iter().enumerate().map(|(i, band)| {
            let color = color(self.band_color(i));
            Entry::new(&band.name, move |picture, (x, y)| {
                picture.rectangle((x - HALF, y - 5.5), (x + HALF, y + 5.5), color, BAND_OPACITY);
                for edge in [y - 5.5, y + 5.5] {
                    picture.dashed(vec![(x - HALF, edge), (x + HALF, edge)], dashes(i), 1.2, color);
                }
            })
        });
        let rows = self.rows.iter().enumerate().map(|(i, rows)| {
            Entry::new(&rows.name, move |picture, at| picture.mark(mark(i), at, DOT + 0.6, GREY, 1.0))
        });
        Legend::new(lines.chain(bands).chain(rows).collect())
    }
}

impl Draw for PredictionBands {
    fn picture(&self) -> Drawn<Picture> {
        let legend = self.legend()?;
        let (top, bottom) = (legend.bottom, legend.bottom + 400.0);
        let frame = self.frame(top, bottom)?;
        let mut picture = Picture::new(WIDTH, bottom + BELOW);
        picture.title(&self.title)?;
        legend.draw(&mut picture);
        frame.draw(&mut picture);
        frame.name_axes(&mut picture, &self.input, &self.target)?;
        for (i, band) in self.bands.iter().enumerate() {
            let edge = |end: fn(&BandPoint) -> f64| -> Vec<At> {
                band.points.iter().map(|p| frame.at(p.input, end(p))).collect()
            };
            let (low, high) = (edge(|p| p.low), edge(|p| p.high));
            let color = color(self.band_color(i));
            let outline = high.iter().chain(low.iter().rev()).copied().collect();
            picture.area(outline, color, BAND_OPACITY);
            picture.dashed(low, dashes(i), 1.2, color);
            picture.dashed(high, dashes(i), 1.2, color);
        }
        for (i, rows) in self.rows.iter().enumerate() {
            for (x, y) in &rows.points {
                picture.mark(mark(i), frame.at(*x, *y), DOT, GREY, DOT_OPACITY);
            }
        }
        for (i, line) in self.lines.iter().enumerate().rev() {
            let path = line.points.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            picture.dashed(path, dashes(i), 2.2, color(i));
        }
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart() -> PredictionBands {
        let inputs = [0.0, 1.0, 3.0];
        let band = |name: &str, half: f64| Band {
            name: name.into(),
            points: inputs.map(|input| BandPoint { input, low: -half, high: half }).to_vec(),
        };
        PredictionBands {
            title: "Bands".into(),
            input: "x & more".into(),
            target: "y".into(),
            bands: vec![band("wide", 2.0), band("narrow", 0.5)],
            lines: vec![ValuePoints { name: "mean".into(), points: inputs.map(|x| (x, 0.1 * x)).to_vec() }],
            rows: vec![ValuePoints { name: "rows".into(), points: vec![(0.5, 1.0), (2.0, -3.0)] }],
        }
    }

    #[test]
    fn bands_lines_and_rows_are_drawn_and_named() {
        let svg = inspect(&chart());
        assert_eq!(count(&svg, &["<polygon", &format!("opacity=\"{BAND_OPACITY}\"")]), 2);
        // Two rows, and one in the legend.
        assert_eq!(count(&svg, &["<circle"]), 3);
        let texts = texts(&svg);
        for text in ["mean", "wide", "narrow", "rows", "x &amp; more", "y", "−3"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        let empty = PredictionBands { bands: vec![], lines: vec![], rows: vec![], ..chart() };
        assert!(fault(&empty).contains("values of the chart must be at least 1"));
        let mut c = chart();
        c.bands[1].points[2].high = f64::INFINITY;
        assert!(fault(&c).contains("high of band \"narrow\" at 3"));
        let mut c = chart();
        c.bands[0].points[1].low = 5.0;
        assert!(fault(&c).contains("low of band \"wide\" at 1 must be at most high, 2"));
        let mut c = chart();
        c.lines[0].points[2].0 = 1.0;
        assert!(fault(&c).contains("input of line \"mean\" must be above 1 here"));
        let mut c = chart();
        c.rows[0].points[0].1 = f64::NAN;
        assert!(fault(&c).contains("value of rows \"rows\" at 0.5"));
        let mut c = chart();
        c.bands[0].points.truncate(1);
        assert!(fault(&c).contains("points of band \"wide\" must be at least 2"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let one = PredictionBands { bands: vec![], lines: vec![], ..chart() };
        let mut names = chart();
        names.lines[0].name = "a long name ".repeat(50);
        names.input = "a long name ".repeat(50);
        let mut flat = chart();
        flat.bands.clear();
        flat.rows.clear();
        flat.lines[0].points = vec![(1e9, 1e-9)];
        for c in [one, names, flat] {
            inspect(&c);
        }
    }
}
