//! The layout of a chart, and its drawing.
use crate::chart::{
    canvas::{At, Canvas, Drawn, Mark, Pen},
    scale::{robust, ticks, whole_ticks, Range},
    Line, Point, SizeChart,
};
use plotters::{
    prelude::DrawingBackend,
    style::{text_anchor::HPos, RGBColor},
};

pub(crate) const WIDTH: u32 = 900;
pub(crate) const HEIGHT: u32 = 560;
const WHITE: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(34, 34, 34);
const GREY: RGBColor = RGBColor(85, 85, 85);
/// Grid lines for values are darker than those for sizes, because values are read more often.
const GRID: RGBColor = RGBColor(228, 228, 228);
const FAINT: RGBColor = RGBColor(241, 241, 241);

/// The colours of Okabe and Ito (2008, "Color Universal Design"), which colour-blind readers can distinguish.
/// Their yellow, too pale for a line on white, is replaced by a wine red.
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

/// Radius of the dots of single networks, and of the markers of lines.
const DOT: f64 = 2.8;
const MARK: f64 = 3.4;
pub(crate) const BAND_OPACITY: f64 = 0.16;
pub(crate) const DOT_OPACITY: f64 = 0.45;

pub(crate) fn draw<B: DrawingBackend>(chart: &SizeChart, mut canvas: Canvas<B>) -> Drawn {
    let plot = Plot::of(chart)?;
    canvas.area(&rectangle((0.0, 0.0), (f64::from(WIDTH), f64::from(HEIGHT))), WHITE, 1.0)?;
    plot.draw_axes(&mut canvas, chart)?;
    plot.draw_singles(&mut canvas, &chart.singles)?;
    for (i, line) in chart.lines.iter().enumerate() {
        plot.draw_band(&mut canvas, line, color(i))?;
    }
    // The first line is drawn last, on top.
    for (i, line) in chart.lines.iter().enumerate().rev() {
        plot.draw_line(&mut canvas, line, i)?;
    }
    plot.draw_legend(&mut canvas)?;
    canvas.backend.present().map_err(|e| e.to_string())
}

fn banded(line: &Line) -> bool {
    line.points.iter().any(|p| p.low < p.high)
}

fn color(i: usize) -> RGBColor {
    COLORS[i % COLORS.len()]
}

/// 8 colours and 5 markers have no common factor, so there are 40 pairs.
fn mark(i: usize) -> Mark {
    MARKS[i % MARKS.len()]
}

fn rectangle(a: At, b: At) -> [At; 4] {
    [a, (b.0, a.1), b, (a.0, b.1)]
}

/// The layout of a chart.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Distance from the left edge to size 1: room for the dots, which would be hidden by the lines.
    margin: f64,
    largest: usize,
    values: Range,
    ticks: Vec<(f64, String)>,
    /// Whether points are far enough apart for markers.
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
    /// The number of lines without room in the legend.
    More(String),
}

impl Entry {
    fn text(&self) -> &str {
        match self {
            Self::Line { name: text, .. } | Self::Singles(text) | Self::More(text) => text,
        }
    }
}

/// The largest width of a text in the legend, the room for its symbols, and the largest number of lines in
/// it.
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
        // SVG viewers choose the font, which may be wider.
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
        if !banded(line) {
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

    /// The positions of the points; a single point becomes a short dash.
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

/// The rows of the legend, where `off` singles are off the chart.
fn legend(chart: &SizeChart, off: usize) -> Drawn<Vec<Entry>> {
    let mut legend = Vec::new();
    for (number, line) in chart.lines.iter().enumerate().take(LEGEND_LINES) {
        let name = NAME.fit(&line.name, LEGEND_TEXT)?;
        legend.push(Entry::Line { number, name, banded: banded(line) });
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

/// Dots at the given heights, moved sideways by up to `reach`, so that they do not overlap while there is
/// room.
fn swarm(heights: &[f64], reach: f64) -> Vec<At> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut dots: Vec<At> = heights.iter().map(|&y| (0.0, y)).collect();
    let steps = (reach / DOT).max(0.0) as u32;
    for k in 0..order.len() {
        let y = dots[order[k]].1;
        // Only the nearest dots above can overlap; more than these do not fit side by side.
        let near = &order[k.saturating_sub(60)..k];
        let free = |x: f64| near.iter().all(|&j| (dots[j].0 - x).hypot(dots[j].1 - y) >= 2.0 * DOT);
        let side = if k % 2 == 0 { DOT } else { -DOT };
        let tries = (0..=steps).flat_map(|s| [f64::from(s) * side, -f64::from(s) * side]);
        // Without room, the golden ratio spreads them evenly.
        let spread = reach * (2.0 * (k as f64 * 0.618_033_988_749_895).fract() - 1.0);
        dots[order[k]].0 = tries.into_iter().find(|&x| free(x)).unwrap_or(spread);
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_keep_their_heights_and_do_not_overlap_while_there_is_room() {
        let heights: Vec<f64> = (0..40).map(|i| 100.0 + f64::from(i * 37 % 40) * 1.5).collect();
        let dots = swarm(&heights, 24.0);
        for (i, a) in dots.iter().enumerate() {
            assert!(a.1 == heights[i] && a.0.abs() <= 24.0);
            assert!(dots[..i].iter().all(|b| (a.0 - b.0).hypot(a.1 - b.1) >= 2.0 * DOT));
        }
        assert!(swarm(&[5.0; 1000], 24.0).iter().all(|d| d.0.abs() <= 24.0));
    }
}
