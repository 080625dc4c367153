//! A matrix of coloured cells with names, and its colour bar.
use crate::chart::{
    picture::{Anchor, At, Drawn, Pen, Picture, SPARE},
    scale::{Range, Scale},
    style::{ink_on, AXIS, EDGE, GREY, NAME, TICK, WIDTH},
};
use plotters::style::RGBColor;

/// The largest number of names. More cells would be smaller than four pixels.
pub(crate) const MOST: usize = 200;

/// The room for the colour bar with its labels.
const BAR: f64 = 130.0;
/// How much rectangles overlap their neighbours. Without it, viewers show the ground between them.
const SEAM: f64 = 0.5;
const LABEL: f64 = 28.0;

/// Where the cells are.
pub(crate) struct Cells {
    left: f64,
    top: f64,
    pub(crate) cell: f64,
    rows: Vec<String>,
    columns: Vec<String>,
    pen: Pen,
    /// Every how many names one is written.
    every: usize,
    /// Whether the names of columns read upwards.
    turned: bool,
    /// The height of the names of columns.
    below: f64,
    /// The width of the names of rows.
    widest: f64,
}

impl Cells {
    /// Cells for a row and a column for each name, from `top` on. `labelled`: the axes have labels.
    pub(crate) fn new(names: &[String], top: f64, labelled: bool) -> Drawn<Self> {
        Self::table(names, names, top, labelled)
    }

    /// Cells for these rows and columns.
    pub(crate) fn table(rows: &[String], columns: &[String], top: f64, labelled: bool) -> Drawn<Self> {
        let label = if labelled { LABEL } else { 0.0 };
        let room = WIDTH - 2.0 * EDGE - BAR - label;
        let most = rows.len().max(columns.len()) as f64;
        let cell = ((room - 150.0).min(620.0) / most).min(84.0);
        let pen = NAME.sized((0.9 * cell).clamp(11.0, NAME.size));
        let every = ((pen.size / cell).ceil() as usize).max(1);
        let fit =
            |names: &[String]| names.iter().map(|n| pen.fit(n, 138.0 / SPARE)).collect::<Drawn<Vec<_>>>();
        let (rows, columns) = (fit(rows)?, fit(columns)?);
        let widest = pen.widest(rows.iter().map(String::as_str))?;
        let widest_column = pen.widest(columns.iter().map(String::as_str))?;
        let turned = widest_column > cell - 4.0 || every > 1;
        let below = if turned { widest_column + 8.0 } else { 22.0 };
        // The matrix with its names and its bar is in the middle.
        let used = label + widest + 10.0 + columns.len() as f64 * cell + BAR;
        let left = EDGE + ((WIDTH - 2.0 * EDGE - used) / 2.0).max(0.0) + label + widest + 10.0;
        Ok(Self { left, top, cell, rows, columns, pen, every, turned, below, widest })
    }

    fn width(&self) -> f64 {
        self.cell * self.columns.len() as f64
    }

    fn height(&self) -> f64 {
        self.cell * self.rows.len() as f64
    }

    /// The lower edge, with the names of columns.
    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height() + self.below
    }

    /// Two corners of a cell.
    fn corners(&self, row: usize, column: usize) -> (At, At) {
        let at = |k: usize, j: usize| (self.left + j as f64 * self.cell, self.top + k as f64 * self.cell);
        (at(row, column), at(row + 1, column + 1))
    }

    /// Fills a cell. Cells are filled in order, so each covers what the one before has too much.
    pub(crate) fn fill(&self, picture: &mut Picture, row: usize, column: usize, color: RGBColor) {
        let (a, b) = self.corners(row, column);
        picture.rectangle(a, (b.0 + SEAM, b.1 + SEAM), color, 1.0);
    }

    /// Fills all cells at once.
    pub(crate) fn fill_all(&self, picture: &mut Picture, color: RGBColor) {
        let (a, b) = ((self.left, self.top), (self.left + self.width(), self.top + self.height()));
        picture.rectangle(a, b, color, 1.0);
    }

    pub(crate) fn outline(&self, picture: &mut Picture, row: usize, column: usize, color: RGBColor) {
        let (a, b) = self.corners(row, column);
        picture.frame(a, b, 1.2, color);
    }

    /// The largest pen for texts in `lines` lines in a cell; none if they would be too small to read.
    pub(crate) fn pen<'t>(&self, texts: impl Iterator<Item = &'t str>, lines: f64) -> Drawn<Option<Pen>> {
        let widest = NAME.widest(texts)?;
        let size =
            (NAME.size * (self.cell - 2.5) / widest.max(1.0)).min(0.6 * self.cell / lines).min(NAME.size);
        Ok((size >= 8.0).then(|| NAME.sized(size)))
    }

    /// Writes in a cell, `down` below its middle, in a colour that can be read on `ground`.
    pub(crate) fn write(
        &self,
        picture: &mut Picture,
        (row, column): (usize, usize),
        down: f64,
        (text, pen): (&str, Pen),
        ground: RGBColor,
    ) {
        let (a, b) = self.corners(row, column);
        let middle = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0 + down);
        picture.text(text, middle, pen.colored(ink_on(ground)), Anchor::Center);
    }

    /// Writes the names of rows and columns, and draws the edge.
    pub(crate) fn draw_names(&self, picture: &mut Picture) {
        let middle = |i: usize| (i as f64 + 0.5) * self.cell;
        for (i, name) in self.rows.iter().enumerate().step_by(self.every) {
            picture.text(name, (self.left - 8.0, self.top + middle(i)), self.pen, Anchor::Right);
        }
        let bottom = self.top + self.height();
        for (i, name) in self.columns.iter().enumerate().step_by(self.every) {
            if self.turned {
                picture.turned_text(name, (self.left + middle(i), bottom + 7.0), self.pen, Anchor::Right);
            } else {
                picture.text(name, (self.left + middle(i), bottom + 14.0), self.pen, Anchor::Center);
            }
        }
        picture.frame((self.left, self.top), (self.left + self.width(), bottom), 1.0, GREY);
    }

    /// Writes what rows and columns are.
    pub(crate) fn name_axes(&self, picture: &mut Picture, rows: &str, columns: &str) -> Drawn {
        let x = self.left - self.widest - 24.0;
        picture.turned_text(rows, (x, self.top + self.height() / 2.0), AXIS, Anchor::Center);
        let at = (self.left + self.width() / 2.0, self.bottom() + 14.0);
        picture.text(columns, at, AXIS, Anchor::Center);
        Ok(())
    }

    /// Draws the colour bar to the right of the cells, at most 280 high.
    pub(crate) fn draw_bar(
        &self,
        picture: &mut Picture,
        (range, label): (Range, &str),
        color: impl Fn(f64) -> RGBColor,
    ) -> Drawn {
        let height = self.height().clamp(110.0, 280.0);
        let (left, top, width) = (self.left + self.width() + 26.0, self.top, 16.0);
        let steps = 64;
        for k in 0..steps {
            let (from, to) = (f64::from(k) / f64::from(steps), f64::from(k + 1) / f64::from(steps));
            let corners =
                ((left, top + height * (1.0 - to) - SEAM), (left + width, top + height * (1.0 - from)));
            picture.rectangle(corners.0, corners.1, color((from + to) / 2.0), 1.0);
        }
        picture.frame((left, top), (left + width, top + height), 1.0, GREY);
        let ticks = Scale::Linear(range).ticks(height / 45.0);
        for (value, text) in &ticks {
            let y = top + height * (1.0 - range.share(*value));
            picture.stroke(vec![(left + width, y), (left + width + 4.0, y)], 1.0, GREY);
            picture.text(text, (left + width + 8.0, y), TICK, Anchor::Left);
        }
        let beside = left + width + 24.0 + TICK.widest(ticks.iter().map(|t| t.1.as_str()))?;
        let label = AXIS.fit(label, self.height().max(height) / SPARE)?;
        let middle = top + height.max(SPARE * AXIS.width(&label)?) / 2.0;
        picture.turned_text(label, (beside, middle), AXIS, Anchor::Center);
        Ok(())
    }
}
