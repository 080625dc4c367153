//! Charts of a test metric against ensemble size, as SVG or PNG files.
//!
//! Both kinds need nothing of the machine: PNG text is set in an embedded font, SVG text in the viewer's own.
//! The same chart gives the same bytes.
mod canvas;
mod scale;

use std::{fs::File, io, io::Write, path::Path};

use canvas::{At, Canvas, Drawn, Mark, Pen, FINENESS};
use plotters::{
    prelude::{BitMapBackend, DrawingBackend, SVGBackend},
    style::{text_anchor::HPos, RGBColor},
};
use scale::{robust, ticks, whole_ticks, Range};

use crate::{files, Error, Result};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 560;
const WHITE: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(34, 34, 34);
const GREY: RGBColor = RGBColor(85, 85, 85);
/// Heights are read off more often than sizes.
const GRID: RGBColor = RGBColor(228, 228, 228);
const FAINT: RGBColor = RGBColor(241, 241, 241);

/// Okabe and Ito's colours (2008, "Color Universal Design"), which stay apart for colour-blind readers; their
/// yellow, too pale for a line on white, gives way to a wine red.
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(136, 34, 85),
];
const MARKS: [Mark; 5] = [Mark::Disc, Mark::Square, Mark::Up, Mark::Diamond, Mark::Down];

const TITLE: Pen = Pen { size: 20.0, bold: true, color: INK };
const AXIS: Pen = Pen { size: 15.5, bold: false, color: INK };
const TICK: Pen = Pen { size: 14.0, bold: false, color: GREY };
const NAME: Pen = Pen { size: 14.5, bold: false, color: INK };

/// Radius of the dot of a single network, and of a line's markers.
const DOT: f64 = 2.8;
const MARK: f64 = 3.4;
const BAND_OPACITY: f64 = 0.16;
const DOT_OPACITY: f64 = 0.45;

/// The metric of ensembles of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Members in the ensemble, at least 1.
    pub size: usize,
    /// Mean of the metric over the repetitions.
    pub mean: f64,
    /// Lower edge of the band.
    pub low: f64,
    /// Upper edge of the band, not below `low`. Equal edges draw no band.
    pub high: f64,
}

/// One line of the chart: a strategy with a combination rule, say.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name in the legend; a long one is shortened in the middle.
    pub name: String,
    /// Its points, at least one, by ascending size.
    pub points: Vec<Point>,
}

/// A test metric against ensemble size: a line with a band for each strategy and rule, and a dot for each
/// single network.
///
/// What the bands mean (± one standard deviation over the repetitions, a 95 % interval) is for the title to say.
///
/// ```
/// use candle_ensemble::report::chart::{Line, Point, SizeChart};
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
    /// The metric of each single network, drawn as dots just left of size 1, spread so that they do not cover
    /// each other.
    /// One that lies so far off that showing it would squash the lines becomes an arrowhead at the chart's
    /// edge, and the legend counts it.
    pub singles: Vec<f64>,
    /// The lines, at least one. Colours and markers together tell 40 apart; the legend has room for 32.
    pub lines: Vec<Line>,
}

impl SizeChart {
    /// Writes the chart to `path`: an SVG (900 × 560) or a PNG (1800 × 1120, for crisp print) by its extension.
    ///
    /// The file is written under a temporary name beside `path` and renamed, so it is there in full or not at
    /// all; an existing one is replaced.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another extension, for no lines or a line without points, for sizes that do not
    /// ascend from 1 or more, for an upside-down band, and for values that are not finite or beyond ±1e300;
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let png = match extension.as_deref() {
            Some("svg") => false,
            Some("png") => true,
            _ => return Err(Error::invalid("chart file", "named .svg or .png", path.display())),
        };
        self.check()?;
        files::write_with(path, |file| {
            // plotters goes by the extension, which a temporary file shares.
            if png {
                self.write_png(file.path())
            } else {
                self.write_svg(file.as_file_mut())
            }
        })
    }

    fn check(&self) -> Result<()> {
        if self.lines.is_empty() {
            return Err(Error::invalid("lines of the chart", "at least one", "none"));
        }
        for line in &self.lines {
            line.check()?;
        }
        self.singles.iter().try_for_each(|&v| drawable(v, || "value of a single network".into()))
    }

    fn write_svg(&self, file: &mut File) -> io::Result<()> {
        let size = (WIDTH * FINENESS, HEIGHT * FINENESS);
        let mut text = String::new();
        self.draw(Canvas::vector(SVGBackend::with_string(&mut text, size))).map_err(io::Error::other)?;
        let fine = format!(r#"width="{}" height="{}""#, size.0, size.1);
        let true_size = format!(r#"width="{WIDTH}" height="{HEIGHT}" stroke-linejoin="round""#);
        file.write_all(text.replacen(&fine, &true_size, 1).as_bytes())
    }

    /// Drawn at twice the size of the file and averaged down: plotters leaves edges jagged.
    fn write_png(&self, path: &Path) -> io::Result<()> {
        let (width, height) = (WIDTH * FINENESS, HEIGHT * FINENESS);
        let mut fine = vec![255; width as usize * height as usize * 3];
        self.draw(Canvas::raster(BitMapBackend::with_buffer(&mut fine, (width, height))))
            .map_err(io::Error::other)?;
        let size = (width / 2, height / 2);
        let mut file = BitMapBackend::new(path, size);
        file.blit_bitmap((0, 0), size, &halved(&fine, width as usize))
            .and_then(|()| file.present())
            .map_err(|e| io::Error::other(e.to_string()))
    }

    fn draw<B: DrawingBackend>(&self, mut canvas: Canvas<B>) -> Drawn {
        let plot = Plot::of(self)?;
        canvas.area(&rectangle((0.0, 0.0), (f64::from(WIDTH), f64::from(HEIGHT))), WHITE, 1.0)?;
        plot.draw_axes(&mut canvas, self)?;
        plot.draw_singles(&mut canvas, &self.singles)?;
        for (i, line) in self.lines.iter().enumerate() {
            plot.draw_band(&mut canvas, line, color(i))?;
        }
        // The first line is the one to be seen best.
        for (i, line) in self.lines.iter().enumerate().rev() {
            plot.draw_line(&mut canvas, line, i)?;
        }
        plot.draw_legend(&mut canvas)?;
        canvas.backend.present().map_err(|e| e.to_string())
    }
}

impl Line {
    fn banded(&self) -> bool {
        self.points.iter().any(|p| p.low < p.high)
    }

    fn check(&self) -> Result<()> {
        let name = &self.name;
        if self.points.is_empty() {
            return Err(Error::invalid(format!("points of line {name:?}"), "at least one", "none"));
        }
        let mut least = 1;
        for p in &self.points {
            if p.size < least {
                let must = format!("at least {least} here (sizes ascend)");
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

/// Beyond 1e300, distances between values overflow.
fn drawable(value: f64, what: impl FnOnce() -> String) -> Result<()> {
    if value.abs() <= 1e300 {
        return Ok(());
    }
    Err(Error::invalid(what(), "finite and within ±1e300", value))
}

fn color(i: usize) -> RGBColor {
    COLORS[i % COLORS.len()]
}

/// 8 and 5 share no factor: 40 pairs of colour and marker.
fn mark(i: usize) -> Mark {
    MARKS[i % MARKS.len()]
}

fn rectangle(a: At, b: At) -> [At; 4] {
    [a, (b.0, a.1), b, (a.0, b.1)]
}

/// RGB pixels in rows of `width`, each square of four averaged to one.
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

/// What stands where.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// From the left edge to size 1: room for the dots, which would drown among the lines.
    margin: f64,
    largest: usize,
    values: Range,
    ticks: Vec<(f64, String)>,
    /// Whether points stand far enough apart for markers.
    marked: bool,
    legend: Vec<Entry>,
}

/// One row of the legend.
enum Entry {
    Line {
        number: usize,
        name: String,
        banded: bool,
    },
    Singles(String),
    /// The lines that have no room.
    More(String),
}

impl Entry {
    fn text(&self) -> &str {
        match self {
            Self::Line { name: text, .. } | Self::Singles(text) | Self::More(text) => text,
        }
    }
}

/// Widest text of the legend, room for its symbols, and the most lines it names.
const LEGEND_TEXT: f64 = 220.0;
const LEGEND_SYMBOL: f64 = 34.0;
const LEGEND_LINES: usize = 32;

impl Plot {
    fn of(chart: &SizeChart) -> Drawn<Self> {
        let points = || chart.lines.iter().flat_map(|l| &l.points);
        let lines = Range::of(points().flat_map(|p| [p.mean, p.low, p.high])).ok_or("no points")?;
        let values = robust(lines, &chart.singles).padded(0.05);
        let ticks = ticks(values);
        let mut tick_width = 0f64;
        for (_, label) in &ticks {
            tick_width = tick_width.max(TICK.width(label)?);
        }
        let off = chart.singles.iter().filter(|v| !values.holds(**v)).count();
        let legend = legend(chart, off)?;
        let mut legend_width = 0f64;
        for entry in &legend {
            legend_width = legend_width.max(NAME.width(entry.text())?);
        }
        // SVG viewers choose the font: leave room for a wider one.
        let spare = 1.15;
        let (left, right) =
            (50.0 + spare * tick_width, f64::from(WIDTH) - 34.0 - LEGEND_SYMBOL - spare * legend_width);
        let largest = points().map(|p| p.size).max().unwrap_or(1);
        let margin = if chart.singles.is_empty() { 16.0 } else { 48.0 };
        let marked = (right - left) / largest as f64 >= 12.0;
        Ok(Self { left, right, top: 58.0, bottom: 500.0, margin, largest, values, ticks, marked, legend })
    }

    fn x(&self, size: usize) -> f64 {
        let (first, last) = (self.left + self.margin, self.right - 16.0);
        match self.largest {
            0 | 1 => (self.left + self.right) / 2.0,
            largest => first + (last - first) * ((size as f64 - 1.0) / (largest as f64 - 1.0)),
        }
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.values.share(value)
    }

    fn draw_axes<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, chart: &SizeChart) -> Drawn {
        for size in whole_ticks(self.largest) {
            let x = self.x(size);
            canvas.stroke(&[(x, self.top), (x, self.bottom)], 1.0, FAINT)?;
            canvas.stroke(&[(x, self.bottom), (x, self.bottom + 4.0)], 1.0, GREY)?;
            canvas.text(&size.to_string(), (x, self.bottom + 16.0), TICK, HPos::Center, false)?;
        }
        for (value, label) in &self.ticks {
            let y = self.y(*value);
            canvas.stroke(&[(self.left, y), (self.right, y)], 1.0, GRID)?;
            canvas.text(label, (self.left - 9.0, y), TICK, HPos::Right, false)?;
        }
        let corner = [(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)];
        canvas.stroke(&corner, 1.0, GREY)?;

        let title = TITLE.fit(&chart.title, f64::from(WIDTH) - 2.0 * 22.0)?;
        canvas.text(&title, (22.0, 28.0), TITLE, HPos::Left, false)?;
        let metric = AXIS.fit(&chart.metric, self.bottom - self.top)?;
        canvas.text(&metric, (24.0, (self.top + self.bottom) / 2.0), AXIS, HPos::Center, true)?;
        let below = ((self.left + self.right) / 2.0, self.bottom + 41.0);
        canvas.text("networks in the ensemble", below, AXIS, HPos::Center, false)
    }

    fn draw_singles<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, singles: &[f64]) -> Drawn {
        let heights: Vec<f64> =
            singles.iter().map(|&v| self.y(v).clamp(self.top + 4.0, self.bottom - 5.0)).collect();
        for (&value, at) in singles.iter().zip(swarm(&heights, 15.0)) {
            let mark = match value {
                v if v > self.values.high => Mark::Up,
                v if v < self.values.low => Mark::Down,
                _ => Mark::Disc,
            };
            canvas.mark(mark, (self.x(1) - 27.0 + at.0, at.1), DOT, GREY, DOT_OPACITY)?;
        }
        Ok(())
    }

    fn draw_band<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, line: &Line, color: RGBColor) -> Drawn {
        if !line.banded() {
            return Ok(());
        }
        let mut outline = self.path(line, |p| p.high);
        outline.extend(self.path(line, |p| p.low).into_iter().rev());
        canvas.area(&outline, color, BAND_OPACITY)
    }

    fn draw_line<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, line: &Line, i: usize) -> Drawn {
        canvas.stroke(&self.path(line, |p| p.mean), 2.0, color(i))?;
        if self.marked {
            for p in &line.points {
                canvas.mark(mark(i), (self.x(p.size), self.y(p.mean)), MARK, color(i), 1.0)?;
            }
        }
        Ok(())
    }

    /// The points' places; a single one becomes a short dash.
    fn path(&self, line: &Line, value: impl Fn(&Point) -> f64) -> Vec<At> {
        let at = |p: &Point| (self.x(p.size), self.y(value(p)));
        match line.points.as_slice() {
            [only] => {
                let (x, y) = at(only);
                vec![(x - 8.0, y), (x + 8.0, y)]
            }
            points => points.iter().map(at).collect(),
        }
    }

    fn draw_legend<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let row = ((self.bottom - self.top) / self.legend.len() as f64).min(23.0);
        let left = self.right + 16.0;
        let middle = left + LEGEND_SYMBOL / 2.0 - 5.0;
        for (k, entry) in self.legend.iter().enumerate() {
            let y = self.top + (k as f64 + 0.5) * row;
            match *entry {
                Entry::Line { number: i, banded, .. } => {
                    if banded {
                        let band = rectangle((middle - 12.0, y - 5.5), (middle + 12.0, y + 5.5));
                        canvas.area(&band, color(i), BAND_OPACITY)?;
                    }
                    canvas.stroke(&[(middle - 12.0, y), (middle + 12.0, y)], 2.0, color(i))?;
                    if self.marked {
                        canvas.mark(mark(i), (middle, y), MARK, color(i), 1.0)?;
                    }
                }
                Entry::Singles(_) => {
                    for (dx, dy) in [(-5.5, 1.5), (0.5, -2.5), (5.0, 2.5)] {
                        canvas.disc((middle + dx, y + dy), DOT, GREY, DOT_OPACITY)?;
                    }
                }
                Entry::More(_) => {}
            }
            canvas.text(entry.text(), (left + LEGEND_SYMBOL, y), NAME, HPos::Left, false)?;
        }
        Ok(())
    }
}

/// The rows of the legend, `off` singles being off the chart.
fn legend(chart: &SizeChart, off: usize) -> Drawn<Vec<Entry>> {
    let mut legend = Vec::new();
    for (number, line) in chart.lines.iter().enumerate().take(LEGEND_LINES) {
        let name = NAME.fit(&line.name, LEGEND_TEXT)?;
        legend.push(Entry::Line { number, name, banded: line.banded() });
    }
    let more = chart.lines.len().saturating_sub(legend.len());
    if more > 0 {
        legend.push(Entry::More(format!("and {more} more")));
    }
    if !chart.singles.is_empty() {
        let counted = if off > 0 { format!(" ({off} off the scale)") } else { String::new() };
        legend.push(Entry::Singles(format!("single networks{counted}")));
    }
    Ok(legend)
}

/// Dots at given heights, moved sideways by up to `reach` so that none covers another while there is room.
fn swarm(heights: &[f64], reach: f64) -> Vec<At> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut dots: Vec<At> = heights.iter().map(|&y| (0.0, y)).collect();
    let steps = (reach / DOT).max(0.0) as u32;
    for k in 0..order.len() {
        let y = dots[order[k]].1;
        // The nearest few above are the only ones that can be in the way; more would not fit side by side.
        let near = &order[k.saturating_sub(60)..k];
        let free = |x: f64| near.iter().all(|&j| (dots[j].0 - x).hypot(dots[j].1 - y) >= 2.0 * DOT);
        let side = if k % 2 == 0 { DOT } else { -DOT };
        let tries = (0..=steps).flat_map(|s| [f64::from(s) * side, -f64::from(s) * side]);
        // Without room the golden ratio spreads them evenly.
        let spread = reach * (2.0 * (k as f64 * 0.618_033_988_749_895).fract() - 1.0);
        dots[order[k]].0 = tries.into_iter().find(|&x| free(x)).unwrap_or(spread);
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing temporary is left");
        fs::read_to_string(path).unwrap()
    }

    fn png(chart: &SizeChart) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.PNG");
        chart.save(&path).unwrap();
        fs::read(path).unwrap()
    }

    /// The polylines that are lines: two units wide, and none of the legend's, which have two points.
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
    fn other_users_may_read_a_chart_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("chart.svg"), folder.path().join("plain"));
        chart(vec![line("a", [0.9], 0.0)]).save(&path).unwrap();
        fs::write(&plain, "").unwrap();
        let mode = |p| fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn bad_charts_are_named() {
        let says = |c: &SizeChart, file: &str| {
            let folder = tempfile::tempdir().unwrap();
            let e = c.save(folder.path().join(file)).unwrap_err();
            assert!(matches!(e, Error::Invalid { .. }), "{e}");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
            e.to_string()
        };
        let good = chart(vec![line("a", [0.9, 0.91], 0.01)]);
        assert!(says(&good, "chart.gif").contains("chart.gif"));
        assert!(says(&good, "chart").starts_with("chart file must be named .svg or .png"));
        assert_eq!(says(&chart(vec![]), "c.svg"), "lines of the chart must be at least one, but is none");
        assert!(says(&chart(vec![line("b", [], 0.0)]), "c.svg").contains("points of line \"b\""));
        let with = |change: fn(&mut SizeChart)| {
            let mut c = good.clone();
            change(&mut c);
            says(&c, "c.png")
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
    fn a_file_that_cannot_be_written_is_named() {
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
    fn odd_charts_are_drawn() {
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
    fn dots_keep_their_height_and_do_not_overlap_while_there_is_room() {
        let heights: Vec<f64> = (0..40).map(|i| 100.0 + f64::from(i * 37 % 40) * 1.5).collect();
        let dots = swarm(&heights, 24.0);
        for (i, a) in dots.iter().enumerate() {
            assert!(a.1 == heights[i] && a.0.abs() <= 24.0);
            assert!(dots[..i].iter().all(|b| (a.0 - b.0).hypot(a.1 - b.1) >= 2.0 * DOT));
        }
        assert!(swarm(&[5.0; 1000], 24.0).iter().all(|d| d.0.abs() <= 24.0));
    }

    #[test]
    fn four_pixels_are_averaged_to_one() {
        let fine = [[0, 10, 20], [4, 10, 20], [0, 10, 20], [4, 10, 23]].concat();
        assert_eq!(halved(&fine, 2), [2, 10, 21]);
    }
}
