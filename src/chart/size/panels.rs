//! A panel for each line.
use super::{
    singles::{counted, mean_band},
    size_ticks, sizes, Line, SizeChart, SIZE_AXIS,
};
use crate::chart::{
    frame::{Frame, BELOW},
    legend::{Entry, Legend},
    picture::{Anchor, At, Dashes, Drawn, Mark, Pen, Picture, SPARE},
    scale::{Range, Scale},
    style::{color, AXIS, BAND_OPACITY, EDGE, GREY, MARK, NAME, PALE, TICK, WIDTH},
};
use std::collections::BTreeMap;

const SINGLES_DASHES: Dashes = &[5.0, 4.0];
/// The largest number of lines that are all drawn in each panel.
const SHOWN: usize = 40;
/// The room between two panels, and that for the name above a panel.
const GAP: f64 = 16.0;
const HEAD: f64 = 26.0;

/// The panels: one scale for all, and the number of columns and rows.
struct Grid<'a> {
    chart: &'a SizeChart,
    columns: usize,
    largest: usize,
    values: Range,
    left: f64,
    top: f64,
    /// Of a panel, without the name above it.
    width: f64,
    height: f64,
    singles: Option<(f64, Range)>,
}

pub(super) fn draw(chart: &SizeChart) -> Drawn<Picture> {
    let values = chart.values()?;
    let mut grid = Grid::of(chart, values)?;
    let legend = legend(chart, values, grid.marked())?;
    grid.top = legend.bottom;
    let rows = chart.lines.len().div_ceil(grid.columns) as f64;
    let bottom = grid.top + rows * (HEAD + grid.height);
    let mut picture = Picture::new(WIDTH, bottom + BELOW);
    picture.title(&chart.title)?;
    legend.draw(&mut picture);
    for (i, line) in chart.lines.iter().enumerate() {
        grid.draw_panel(&mut picture, i, line)?;
    }
    let middle = (grid.left + (WIDTH - EDGE - grid.left) / 2.0, (grid.top + HEAD + bottom) / 2.0);
    picture.text(SIZE_AXIS, (middle.0, bottom + 41.0), AXIS, Anchor::Center);
    let metric = AXIS.fit(&chart.metric, (bottom - grid.top) / SPARE)?;
    picture.turned_text(metric, (24.0, middle.1), AXIS, Anchor::Center);
    Ok(picture)
}

impl<'a> Grid<'a> {
    fn of(chart: &'a SizeChart, values: Range) -> Drawn<Self> {
        let (columns, height) = match chart.lines.len() {
            3 => (3, 190.0),
            0..=4 => (2, 190.0),
            5..=12 => (3, 150.0),
            _ => (4, 112.0),
        };
        let scale = Scale::Linear(values);
        let ticks = scale.ticks(height / 42.0);
        let left = 48.0 + TICK.widest(ticks.iter().map(|t| t.1.as_str()))?;
        let width = (WIDTH - EDGE - left - GAP * (columns as f64 - 1.0)) / columns as f64;
        let singles = mean_band(&chart.singles);
        Ok(Self { chart, columns, largest: chart.largest(), values, left, top: 0.0, width, height, singles })
    }

    /// Whether there is room for a marker at each size.
    fn marked(&self) -> bool {
        self.width / self.largest as f64 >= 9.0
    }

    fn draw_panel(&self, picture: &mut Picture, i: usize, line: &Line) -> Drawn {
        let (row, column) = (i / self.columns, i % self.columns);
        let left = self.left + column as f64 * (self.width + GAP);
        let top = self.top + row as f64 * (HEAD + self.height) + HEAD;
        let frame = Frame {
            left,
            right: left + self.width,
            top,
            bottom: top + self.height,
            x: sizes(self.largest, 0.04, 0.04),
            y: Scale::Linear(self.values),
            x_ticks: size_ticks(self.largest, (self.width / 25.0) as usize),
            y_ticks: Scale::Linear(self.values).ticks(self.height / 42.0),
        };
        let bold = Pen { bold: true, ..NAME };
        let name = bold.fit(&line.name, self.width / SPARE)?;
        picture.text(name, (left, top - 10.0), bold, Anchor::Left);
        frame.draw_grid(picture);
        self.draw_singles(picture, &frame);
        let at = |size: usize, value: f64| frame.at(size as f64, value);
        self.draw_others(picture, i, &at);
        line.draw_band(picture, &at, color(0));
        picture.stroke(line.path(|p| at(p.size, p.mean)), 2.0, color(0));
        if self.marked() {
            line.draw_marks(picture, &at, Mark::Disc, color(0));
        }
        let corner = vec![(left, top), (left, frame.bottom), (frame.right, frame.bottom)];
        picture.stroke(corner, 1.0, GREY);
        if column == 0 {
            frame.label_y(picture);
        }
        // The lowest panel of each column has the labels of the sizes.
        if i + self.columns >= self.chart.lines.len() {
            frame.label_x(picture);
        }
        Ok(())
    }

    /// Draws the lines of the other panels.
    fn draw_others(&self, picture: &mut Picture, i: usize, at: &impl Fn(usize, f64) -> At) {
        if self.chart.lines.len() > SHOWN {
            return picture.area(range(self.chart, at), PALE, 0.5);
        }
        for (_, other) in self.chart.lines.iter().enumerate().filter(|(j, _)| *j != i) {
            picture.stroke(other.path(|p| at(p.size, p.mean)), 1.0, PALE);
        }
    }

    fn draw_singles(&self, picture: &mut Picture, frame: &Frame) {
        let Some((mean, band)) = self.singles else { return };
        let (low, high) = (band.low.max(self.values.low), band.high.min(self.values.high));
        if low < high {
            let corners = ((frame.left, frame.y_at(high)), (frame.right, frame.y_at(low)));
            picture.rectangle(corners.0, corners.1, GREY, BAND_OPACITY);
        }
        if self.values.holds(mean) {
            let y = frame.y_at(mean);
            picture.dashed(vec![(frame.left, y), (frame.right, y)], SINGLES_DASHES, 1.3, GREY);
        }
    }
}

/// The outline of the range of the means of all lines, over the sizes that there are.
pub(super) fn range(chart: &SizeChart, at: &impl Fn(usize, f64) -> At) -> Vec<At> {
    let mut ranges: BTreeMap<usize, Range> = BTreeMap::new();
    for p in chart.points() {
        let range = ranges.entry(p.size).or_insert(Range { low: p.mean, high: p.mean });
        *range = Range { low: range.low.min(p.mean), high: range.high.max(p.mean) };
    }
    let upper = ranges.iter().map(|(size, range)| at(*size, range.high));
    let lower = ranges.iter().rev().map(|(size, range)| at(*size, range.low));
    upper.chain(lower).collect()
}

fn legend(chart: &SizeChart, values: Range, marked: bool) -> Drawn<Legend<'_>> {
    let banded = chart.lines.iter().any(Line::banded);
    let all = chart.lines.len() > SHOWN;
    let mut entries = vec![
        Entry::new("the line of the panel", move |picture, (x, y)| {
            if banded {
                picture.rectangle((x - 13.0, y - 5.5), (x + 13.0, y + 5.5), color(0), BAND_OPACITY);
            }
            picture.stroke(vec![(x - 13.0, y), (x + 13.0, y)], 2.0, color(0));
            if marked {
                picture.disc((x, y), MARK, color(0), 1.0);
            }
        }),
        Entry::new(if all { "the range of all lines" } else { "the other lines" }, move |picture, (x, y)| {
            if all {
                return picture.rectangle((x - 13.0, y - 5.5), (x + 13.0, y + 5.5), PALE, 0.5);
            }
            picture.stroke(vec![(x - 13.0, y + 3.0), (x, y - 3.0), (x + 13.0, y - 4.0)], 1.0, PALE);
        }),
    ];
    if !chart.singles.is_empty() {
        let name = counted("single networks, mean ± sd", &chart.singles, values);
        entries.push(Entry::new(name, |picture, (x, y)| {
            picture.rectangle((x - 13.0, y - 5.5), (x + 13.0, y + 5.5), GREY, BAND_OPACITY);
            picture.dashed(vec![(x - 13.0, y), (x + 13.0, y)], SINGLES_DASHES, 1.3, GREY);
        }));
    }
    Legend::new(entries)
}
