//! The rectangle that values are drawn in, with its axes.
use crate::chart::{
    picture::{Anchor, At, Drawn, Picture, SPARE},
    scale::{Scale, Tick},
    style::{AXIS, FAINT, GREY, GRID, TICK},
};

/// A rectangle with a horizontal and a vertical scale.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    /// Ticks on both axes.
    pub(crate) x_ticks: Vec<Tick>,
    pub(crate) y_ticks: Vec<Tick>,
}

/// The room below a frame for the labels of ticks and of the axis.
pub(crate) const BELOW: f64 = 58.0;

impl Frame {
    /// A frame within `left` to `right`, with room for the labels on its left. `bottom` is its lower edge; the
    /// labels below it take [`BELOW`].
    pub(crate) fn new(
        (left, right): (f64, f64),
        (top, bottom): (f64, f64),
        x: Scale,
        y: Scale,
    ) -> Drawn<Self> {
        let y_ticks = y.ticks(((bottom - top) / 58.0).clamp(3.0, 7.0));
        let left = left + 28.0 + TICK.widest(y_ticks.iter().map(|t| t.1.as_str()))?;
        let x_ticks = fitting(&x, right - left)?;
        Ok(Self { left, right, top, bottom, x, y, x_ticks, y_ticks })
    }

    /// The position of a pair of values.
    pub(crate) fn at(&self, x: f64, y: f64) -> At {
        (self.x_at(x), self.y_at(y))
    }

    pub(crate) fn x_at(&self, x: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.share(x)
    }

    pub(crate) fn y_at(&self, y: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.y.share(y)
    }

    /// Draws the grid, the ticks and the lines of the axes.
    pub(crate) fn draw(&self, picture: &mut Picture) {
        self.draw_grid(picture);
        self.label_x(picture);
        self.label_y(picture);
        let corner = vec![(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)];
        picture.stroke(corner, 1.0, GREY);
    }

    pub(crate) fn draw_grid(&self, picture: &mut Picture) {
        for (value, _) in &self.x_ticks {
            let x = self.x_at(*value);
            picture.stroke(vec![(x, self.top), (x, self.bottom)], 1.0, FAINT);
        }
        // Grid lines for values are darker, because values are read more often.
        for (value, _) in &self.y_ticks {
            let y = self.y_at(*value);
            picture.stroke(vec![(self.left, y), (self.right, y)], 1.0, GRID);
        }
    }

    pub(crate) fn label_x(&self, picture: &mut Picture) {
        for (value, label) in &self.x_ticks {
            let x = self.x_at(*value);
            picture.stroke(vec![(x, self.bottom), (x, self.bottom + 4.0)], 1.0, GREY);
            picture.text(label, (x, self.bottom + 16.0), TICK, Anchor::Center);
        }
    }

    pub(crate) fn label_y(&self, picture: &mut Picture) {
        for (value, label) in &self.y_ticks {
            picture.text(label, (self.left - 8.0, self.y_at(*value)), TICK, Anchor::Right);
        }
    }

    /// Writes what the axes show.
    pub(crate) fn name_axes(&self, picture: &mut Picture, x: &str, y: &str) -> Drawn {
        let middle = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        let x = AXIS.fit(x, (self.right - self.left) / SPARE)?;
        picture.text(x, (middle.0, self.bottom + 41.0), AXIS, Anchor::Center);
        let y = AXIS.fit(y, (self.bottom - self.top) / SPARE)?;
        let left = self.left - 18.0 - TICK.widest(self.y_ticks.iter().map(|t| t.1.as_str()))?;
        picture.turned_text(y, (left - 4.0, middle.1), AXIS, Anchor::Center);
        Ok(())
    }
}

/// As many ticks as there is room for on a horizontal axis.
fn fitting(scale: &Scale, width: f64) -> Drawn<Vec<Tick>> {
    let mut number = (width / 75.0).clamp(2.0, 10.0);
    loop {
        let ticks = scale.ticks(number);
        let widest = TICK.widest(ticks.iter().map(|t| t.1.as_str()))?;
        let places: Vec<f64> = ticks.iter().map(|t| width * scale.share(t.0)).collect();
        let near = places.windows(2).any(|p| matches!(p, [a, b] if b - a < widest + 10.0));
        if !near || number < 2.0 {
            return Ok(ticks);
        }
        number *= 0.8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::scale::Range;

    #[test]
    fn values_are_placed_from_the_lower_left_corner() {
        let unit = Scale::Linear(Range { low: 0.0, high: 1.0 });
        let frame = Frame::new((0.0, 500.0), (50.0, 250.0), unit, unit).unwrap();
        assert_eq!((frame.at(0.0, 0.0), frame.at(1.0, 1.0)), ((frame.left, 250.0), (500.0, 50.0)));
        assert!(frame.left > 28.0, "room for the labels");
    }

    #[test]
    fn labels_below_do_not_touch() {
        for range in [
            Range { low: 1e6, high: 1e6 + 1.0 },
            Range { low: -1e-9, high: 3e-7 },
            Range { low: 0.0, high: 9.0 },
        ] {
            for width in [120.0, 300.0, 800.0] {
                let ticks = fitting(&Scale::Linear(range), width).unwrap();
                assert!(ticks.len() >= 2, "{ticks:?}");
                for pair in ticks.windows(2) {
                    let gap = width * (range.share(pair[1].0) - range.share(pair[0].0));
                    assert!(gap >= TICK.width(&pair[0].1).unwrap() || width < 200.0, "{ticks:?}");
                }
            }
        }
    }
}
