//! The colours, markers, dashes and sizes of text that the charts share.
use crate::chart::picture::{Anchor, At, Dashes, Mark, Pen, Picture};
use plotters::style::RGBColor;

/// The width of every picture, about that of a README.
pub(crate) const WIDTH: f64 = 900.0;
/// The empty space at the left and right edges.
pub(crate) const EDGE: f64 = 22.0;
/// Where the content below the title begins.
pub(crate) const TOP: f64 = 52.0;

pub(crate) const WHITE: RGBColor = RGBColor(255, 255, 255);
pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
pub(crate) const GREY: RGBColor = RGBColor(85, 85, 85);
/// Lines that stand behind others.
pub(crate) const PALE: RGBColor = RGBColor(205, 205, 205);
pub(crate) const GRID: RGBColor = RGBColor(228, 228, 228);
pub(crate) const FAINT: RGBColor = RGBColor(241, 241, 241);

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
const DASHES: [Dashes; 3] = [&[], &[9.0, 5.0], &[2.5, 4.0]];

pub(crate) const TITLE: Pen = Pen { size: 20.0, bold: true, color: INK };
pub(crate) const AXIS: Pen = Pen { size: 15.5, bold: false, color: INK };
pub(crate) const TICK: Pen = Pen { size: 14.0, bold: false, color: GREY };
pub(crate) const NAME: Pen = Pen { size: 14.5, bold: false, color: INK };

/// The radius of markers on lines.
pub(crate) const MARK: f64 = 3.4;
pub(crate) const BAND_OPACITY: f64 = 0.16;

pub(crate) fn color(i: usize) -> RGBColor {
    COLORS[i % COLORS.len()]
}

/// 8 colours and 5 markers have no common factor, so there are 40 pairs.
pub(crate) fn mark(i: usize) -> Mark {
    MARKS[i % MARKS.len()]
}

pub(crate) fn dashes(i: usize) -> Dashes {
    DASHES[i % DASHES.len()]
}

/// A colour between two others: `from` at 0, `to` at 1.
pub(crate) fn between(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// ColorBrewer's Blues: the darker, the more.
const BLUES: [RGBColor; 5] = [
    RGBColor(247, 251, 255),
    RGBColor(198, 219, 239),
    RGBColor(107, 174, 214),
    RGBColor(33, 113, 181),
    RGBColor(8, 48, 107),
];
/// ColorBrewer's RdBu, reversed: blue below the middle, red above it.
const BLUE_TO_RED: [RGBColor; 5] = [
    RGBColor(33, 102, 172),
    RGBColor(146, 197, 222),
    RGBColor(247, 247, 247),
    RGBColor(244, 165, 130),
    RGBColor(178, 24, 43),
];

/// A colour on a scale from pale to dark, for a share from 0 to 1.
pub(crate) fn sequential(share: f64) -> RGBColor {
    ramp(&BLUES, share)
}

/// A colour on a scale with a pale middle, for a share from 0 to 1.
pub(crate) fn diverging(share: f64) -> RGBColor {
    ramp(&BLUE_TO_RED, share)
}

fn ramp(stops: &[RGBColor], share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let below = (at as usize).min(stops.len() - 2);
    between(stops[below], stops[below + 1], at - below as f64)
}

/// The colour of text on a ground: dark or white, whichever has more contrast.
pub(crate) fn ink_on(ground: RGBColor) -> RGBColor {
    let linear = |c: u8| (f64::from(c) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(ground.0) + 0.7152 * linear(ground.1) + 0.0722 * linear(ground.2);
    // The contrast with white, (1 + .05) / (L + .05), and with INK, whose luminance is .016.
    if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.066 {
        WHITE
    } else {
        INK
    }
}

impl Picture {
    /// Writes the title, and keeps it for readers that do not see the picture.
    pub(crate) fn title(&mut self, title: &str) -> crate::chart::picture::Drawn {
        self.about = TITLE.fit(title, 4.0 * WIDTH)?;
        let title = TITLE.fit(title, (f64::from(self.width) - 2.0 * EDGE) / 1.05)?;
        self.text(title, (EDGE, 28.0), TITLE, Anchor::Left);
        Ok(())
    }

    /// Fills a rectangle with parallel lines: upwards to the right, or downwards.
    pub(crate) fn hatch(&mut self, a: At, b: At, upwards: bool, color: RGBColor) {
        let (left, right) = (a.0.min(b.0), a.0.max(b.0));
        let (top, bottom) = (a.1.min(b.1), a.1.max(b.1));
        let (width, height) = (right - left, bottom - top);
        // A line at 45° leaves the left or the upper edge and ends at the right or the lower one.
        let mut along = 3.0;
        while along < width + height {
            let start = (along.min(width), (along - width).max(0.0));
            let end = ((along - height).max(0.0), along.min(height));
            let place = |(x, y): At| (left + x, if upwards { top + y } else { bottom - y });
            self.stroke(vec![place(start), place(end)], 1.0, color);
            along += 6.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_begin_and_end_at_their_stops_and_darken() {
        assert_eq!((sequential(0.0), sequential(1.0)), (BLUES[0], BLUES[4]));
        assert_eq!((diverging(-1.0), diverging(0.5)), (BLUE_TO_RED[0], BLUE_TO_RED[2]));
        assert_eq!(between(WHITE, RGBColor(5, 55, 155), 0.5), RGBColor(130, 155, 205));
        let sum = |c: RGBColor| u32::from(c.0) + u32::from(c.1) + u32::from(c.2);
        assert!((1..=100)
            .all(|i| { sum(sequential(f64::from(i) / 100.0)) < sum(sequential(f64::from(i - 1) / 100.0)) }));
    }

    #[test]
    fn text_is_dark_on_pale_and_white_on_dark() {
        assert_eq!(ink_on(WHITE), INK);
        assert_eq!(ink_on(sequential(0.3)), INK);
        assert_eq!(ink_on(sequential(1.0)), WHITE);
        assert_eq!(ink_on(diverging(0.0)), WHITE);
    }

    #[test]
    fn forty_pairs_of_color_and_marker_differ() {
        let pairs: Vec<_> = (0..40).map(|i| (color(i), mark(i))).collect();
        assert!((0..40).all(|i| pairs[..i].iter().all(|p| *p != pairs[i])));
    }
}
