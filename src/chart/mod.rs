//! Charts of a test metric against the size of the ensemble, as SVG or PNG files.
//!
//! A [`SizeChart`] is data; [`SizeChart::save`] draws it. No fonts need to be installed: text in PNG files is
//! drawn with an embedded font, and text in SVG files with a font of the viewer. The same chart gives the
//! same bytes.
mod canvas;
mod plot;
mod scale;

use std::{fs::File, io, io::Write, path::Path};

use canvas::{Canvas, FINENESS};
use plot::{draw, HEIGHT, WIDTH};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};

use crate::{files, Error, Result};

/// The metric of ensembles of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Members in the ensemble, at least 1.
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
    /// The name in the legend; long names are shortened in the middle.
    pub name: String,
    /// The points, at least one, in order of increasing size.
    pub points: Vec<Point>,
}

/// A chart of a test metric against the size of the ensemble: a line with a band for each strategy and
/// combiner, and a dot for each single network.
///
/// The title should say what the bands are, such as ± one standard deviation over the repeats, or a 95 %
/// interval.
///
/// ```
/// use candle_ensemble::chart::{Line, Point, SizeChart};
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
    /// The metric of each single network, drawn as dots to the left of size 1, spread so that they do not
    /// overlap. A value so far off that showing it would flatten the lines becomes an arrowhead at the edge
    /// of the chart, and the legend counts it.
    pub singles: Vec<f64>,
    /// The lines, at least one. Colours and markers distinguish 40 lines; the legend has room for 32.
    pub lines: Vec<Line>,
}

impl SizeChart {
    /// Writes the chart to `path`, as SVG (900 × 560) or PNG (1800 × 1120, for sharp print), depending on the
    /// extension.
    ///
    /// The file is written atomically; an existing one is replaced.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the extension is another one, there are no lines or a line has no points,
    /// sizes do not increase from 1 or more, a band has its low edge above its high edge, or a value is not
    /// finite or beyond ±1e300; [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let png = match extension.as_deref() {
            Some("svg") => false,
            Some("png") => true,
            _ => {
                return Err(Error::invalid(
                    "the chart's file name",
                    "one that ends in .svg or .png",
                    path.display(),
                ))
            }
        };
        self.check()?;
        files::write_with(path, |file| {
            // plotters looks at the extension, which is that of the temporary file too.
            if png {
                self.write_png(file.path())
            } else {
                self.write_svg(file.as_file_mut())
            }
        })
    }

    fn check(&self) -> Result<()> {
        if self.lines.is_empty() {
            return Err(Error::invalid("the number of lines of the chart", "at least 1", 0));
        }
        for line in &self.lines {
            line.check()?;
        }
        self.singles.iter().try_for_each(|&v| drawable(v, || "value of a single network".into()))
    }

    fn write_svg(&self, file: &mut File) -> io::Result<()> {
        let size = (WIDTH * FINENESS, HEIGHT * FINENESS);
        let mut text = String::new();
        draw(self, Canvas::vector(SVGBackend::with_string(&mut text, size))).map_err(io::Error::other)?;
        let fine = format!(r#"width="{}" height="{}""#, size.0, size.1);
        let true_size = format!(r#"width="{WIDTH}" height="{HEIGHT}" stroke-linejoin="round""#);
        file.write_all(text.replacen(&fine, &true_size, 1).as_bytes())
    }

    /// Draws at twice the size and averages each square of four pixels, because plotters draws jagged edges.
    fn write_png(&self, path: &Path) -> io::Result<()> {
        let (width, height) = (WIDTH * FINENESS, HEIGHT * FINENESS);
        let mut fine = vec![255; width as usize * height as usize * 3];
        draw(self, Canvas::raster(BitMapBackend::with_buffer(&mut fine, (width, height))))
            .map_err(io::Error::other)?;
        let size = (width / 2, height / 2);
        let mut file = BitMapBackend::new(path, size);
        file.blit_bitmap((0, 0), size, &halved(&fine, width as usize))
            .and_then(|()| file.present())
            .map_err(|e| io::Error::other(e.to_string()))
    }
}

impl Line {
    fn check(&self) -> Result<()> {
        let name = &self.name;
        if self.points.is_empty() {
            return Err(Error::invalid(format!("the number of points of line {name:?}"), "at least 1", 0));
        }
        let mut least = 1;
        for p in &self.points {
            if p.size < least {
                let must = format!("at least {least} here, because sizes increase");
                return Err(Error::invalid(format!("size in line {name:?}"), must, p.size));
            }
            least = p.size.saturating_add(1);
            for (what, value) in [("mean", p.mean), ("low", p.low), ("high", p.high)] {
                drawable(value, || format!("{what} of line {name:?} at size {}", p.size))?;
            }
            if p.low > p.high {
                let what = format!("low of line {name:?} at size {}", p.size);
                return Err(Error::invalid(what, format!("at most high, {}", p.high), p.low));
            }
        }
        Ok(())
    }
}

/// Checks that a value can be drawn: beyond 1e300, distances between values overflow.
fn drawable(value: f64, what: impl FnOnce() -> String) -> Result<()> {
    if value.abs() <= 1e300 {
        return Ok(());
    }
    Err(Error::invalid(what(), "finite and within ±1e300", value))
}

/// RGB pixels in rows of `width`, with each square of four averaged to one.
fn halved(fine: &[u8], width: usize) -> Vec<u8> {
    let mut coarse = Vec::with_capacity(fine.len() / 4);
    for rows in fine.chunks_exact(2 * width * 3) {
        let (upper, lower) = rows.split_at(width * 3);
        for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for c in 0..3 {
                let sum = u16::from(a[c]) + u16::from(a[c + 3]) + u16::from(b[c]) + u16::from(b[c + 3]);
                coarse.push(((sum + 2) / 4) as u8);
            }
        }
    }
    coarse
}

#[cfg(test)]
mod tests {
    use super::{
        plot::{BAND_OPACITY, DOT_OPACITY},
        *,
    };
    use std::fs;

    fn line(name: &str, means: impl IntoIterator<Item = f64>, half: f64) -> Line {
        let points =
            (1..).zip(means).map(|(size, mean)| Point { size, mean, low: mean - half, high: mean + half });
        Line { name: name.into(), points: points.collect() }
    }

    fn chart(lines: Vec<Line>) -> SizeChart {
        let singles = vec![0.90, 0.91, 0.905, 0.905, 0.905];
        SizeChart { title: "Title".into(), metric: "accuracy (higher is better)".into(), singles, lines }
    }

    fn svg(chart: &SizeChart) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        chart.save(&path).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
        fs::read_to_string(path).unwrap()
    }

    fn png(chart: &SizeChart) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.PNG");
        chart.save(&path).unwrap();
        fs::read(path).unwrap()
    }

    /// The number of polylines that are lines of the chart: two units wide, and with more points than those
    /// of the legend.
    fn polylines(svg: &str) -> usize {
        let wide = format!(r#"stroke-width="{}""#, 2 * FINENESS);
        let points = |l: &&str| l.matches(',').count() > 2;
        svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(&wide)).filter(points).count()
    }

    #[test]
    fn an_svg_has_the_names_escaped_a_polyline_a_line_and_a_dot_a_network() {
        let c = SizeChart {
            title: "M > 1 & \"more\"".into(),
            ..chart(vec![
                line("bagging <b>&amp;", [0.90, 0.92, 0.93], 0.01),
                line("snapshots", [0.91, 0.915, 0.92], 0.02),
            ])
        };
        let svg = svg(&c);
        assert!(svg.starts_with("<svg width=\"900\" height=\"560\"") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("bagging &lt;b&gt;&amp;amp;\n") && svg.contains("snapshots\n"));
        assert!(svg.contains("M &gt; 1 &amp; &quot;more&quot;") && !svg.contains("<b>"));
        assert!(svg.contains("accuracy (higher is better)") && svg.contains("font-family=\"sans-serif\""));
        assert_eq!(polylines(&svg), 2);
        let dots = format!(r#"opacity="{DOT_OPACITY}""#);
        assert_eq!(svg.lines().filter(|l| l.starts_with("<circle") && l.contains(&dots)).count(), 5 + 3);
        let bands = format!(r#"opacity="{BAND_OPACITY}""#);
        assert_eq!(svg.lines().filter(|l| l.starts_with("<polygon") && l.contains(&bands)).count(), 2 + 2);
    }

    #[test]
    fn a_png_has_its_signature_and_twice_the_size() {
        let png = png(&chart(vec![line("a", [0.90, 0.92, 0.93], 0.01)]));
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(png[16..24], [1800u32.to_be_bytes(), 1120u32.to_be_bytes()].concat());
        assert_eq!(&png[png.len() - 8..png.len() - 4], b"IEND");
        assert!(png.len() > 10_000, "{} bytes: an empty picture", png.len());
    }

    #[test]
    fn the_same_chart_gives_the_same_bytes() {
        let c = chart(vec![line("a", [0.90, 0.92, 0.93], 0.01), line("b", [0.8, 0.81], 0.0)]);
        assert_eq!(svg(&c), svg(&c.clone()));
        assert!(png(&c) == png(&c.clone()));
    }

    #[test]
    fn an_existing_file_is_replaced_and_a_failure_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        fs::write(&path, "old").unwrap();
        let mut c = chart(vec![line("a", [f64::NAN], 0.0)]);
        c.save(&path).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        c.lines = vec![line("a", [0.9], 0.0)];
        c.save(&path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("<svg"));
    }

    #[cfg(unix)]
    #[test]
    fn a_chart_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("chart.svg"), folder.path().join("plain"));
        chart(vec![line("a", [0.9], 0.0)]).save(&path).unwrap();
        fs::write(&plain, "").unwrap();
        let mode = |p| fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn invalid_charts_are_errors_that_name_the_fault() {
        let error = |c: &SizeChart, file: &str| {
            let folder = tempfile::tempdir().unwrap();
            let e = c.save(folder.path().join(file)).unwrap_err();
            assert!(matches!(e, Error::Invalid { .. }), "{e}");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
            e.to_string()
        };
        let good = chart(vec![line("a", [0.9, 0.91], 0.01)]);
        assert!(error(&good, "chart.gif").contains("chart.gif"));
        assert!(
            error(&good, "chart").starts_with("the chart's file name must be one that ends in .svg or .png")
        );
        assert_eq!(
            error(&chart(vec![]), "c.svg"),
            "the number of lines of the chart must be at least 1, but is 0"
        );
        assert!(error(&chart(vec![line("b", [], 0.0)]), "c.svg").contains("points of line \"b\""));
        let with = |change: fn(&mut SizeChart)| {
            let mut c = good.clone();
            change(&mut c);
            error(&c, "c.png")
        };
        assert!(with(|c| c.lines[0].points[1].mean = f64::NAN).contains("mean of line \"a\" at size 2"));
        assert!(with(|c| c.lines[0].points[0].high = f64::INFINITY).contains("high of line"));
        assert!(with(|c| c.lines[0].points[0].low = -1e301).contains("low of line"));
        assert!(with(|c| c.lines[0].points[0].low = 1.0).contains("at most high"));
        assert!(with(|c| c.lines[0].points[0].size = 0).contains("at least 1"));
        assert!(with(|c| c.lines[0].points[1].size = 1).contains("at least 2 here"));
        assert!(with(|c| c.singles.push(f64::NAN)).contains("single network"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no such folder").join("chart.png");
        fs::create_dir(folder.path().join("taken.svg")).unwrap();
        let c = chart(vec![line("a", [0.9], 0.0)]);
        for path in [missing, folder.path().join("taken.svg")] {
            match c.save(&path).unwrap_err() {
                Error::Io { path: named, .. } => assert_eq!(named, path),
                e => panic!("{e}"),
            }
        }
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let flat = chart(vec![line("flat", [0.9; 5], 0.0)]);
        let one = chart(vec![line("one", [0.9], 0.01)]);
        let mut late = one.clone();
        late.lines[0].points[0].size = 7;
        let mut vast = one.clone();
        vast.lines[0].points[0].size = usize::MAX;
        let long = chart(vec![line("long", (0..1000).map(|i| 0.9 + 0.01 * f64::from(i % 7)), 0.02)]);
        let mut names = chart(vec![line(&"name ".repeat(5000), [0.9, 0.91], 0.01), line("", [0.9], 0.0)]);
        names.title = "t".repeat(100_000);
        names.metric = "\u{0}中文\n".repeat(400);
        let far = SizeChart { singles: vec![1e300, -1e300, 0.9, 0.9, 0.9], ..one.clone() };
        let many = chart((0..100).map(|i| line(&format!("line {i}"), [0.9, 0.91], 0.0)).collect());
        let crowd = SizeChart { singles: vec![0.9; 5000], ..flat.clone() };
        let huge = chart(vec![line("huge", [1e300, -1e300, 5e-324], 0.0)]);
        let zero = SizeChart { singles: vec![], ..chart(vec![line("zero", [0.0, -0.0], 0.0)]) };
        for c in [flat, one, late, vast, long, names, far, many, crowd, huge, zero] {
            let drawn = svg(&c);
            assert!(!drawn.contains("NaN") && !drawn.contains("inf") && !drawn.contains('\u{0}'));
            assert!(png(&c).len() > 5000);
        }
    }

    #[test]
    fn singles_off_the_scale_are_counted() {
        let c = SizeChart {
            singles: vec![0.9, 0.89, 0.9, 0.9, 0.1],
            ..chart(vec![line("a", [0.9, 0.92], 0.01)])
        };
        assert!(svg(&c).contains("single networks (1 off the scale)"));
        assert!(!svg(&chart(c.lines)).contains("off the scale"));
    }

    #[test]
    fn four_pixels_are_averaged_to_one() {
        let fine = [[0, 10, 20], [4, 10, 20], [0, 10, 20], [4, 10, 23]].concat();
        assert_eq!(halved(&fine, 2), [2, 10, 21]);
    }
}
