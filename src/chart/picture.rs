//! A picture: strokes, areas and text in the order in which they are drawn.
use std::sync::OnceLock;

use plotters::style::{register_font, FontDesc, FontFamily, FontStyle, RGBColor};

/// Backend pixels for one unit of a picture. Backends take whole numbers, which would make curves jagged at
/// one pixel a unit.
pub(crate) const FINENESS: u32 = 4;

/// The result of a drawing step. plotters' error types differ by backend, so only their text is kept.
pub(crate) type Drawn<T = ()> = Result<T, String>;

/// A position in a picture, from its top left corner.
pub(crate) type At = (f64, f64);

/// The embedded font, under a name of this crate's own, so that it replaces no font of the program.
const FAMILY: FontFamily<'static> = FontFamily::Name("candle-ensemble chart");

/// SVG viewers choose the font, which may be wider than the embedded one by this factor.
pub(crate) const SPARE: f64 = 1.12;

pub(crate) fn embedded() -> FontFamily<'static> {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        let regular = include_bytes!("../../assets/Roboto-Regular-subset.ttf");
        let medium = include_bytes!("../../assets/Roboto-Medium-subset.ttf");
        // If the font cannot be registered, the first text that needs it is an error.
        let _ = register_font(FAMILY.as_str(), FontStyle::Normal, regular);
        let _ = register_font(FAMILY.as_str(), FontStyle::Bold, medium);
    });
    FAMILY
}

/// The style of a text: size (ascent to descent), weight and colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pen {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) color: RGBColor,
}

impl Pen {
    pub(crate) fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    pub(crate) fn colored(self, color: RGBColor) -> Self {
        Self { color, ..self }
    }

    /// The largest width of `texts` in the font of any viewer.
    pub(crate) fn widest<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Drawn<f64> {
        texts.into_iter().try_fold(0f64, |widest, text| Ok(widest.max(SPARE * self.width(text)?)))
    }

    pub(crate) fn font(&self, family: FontFamily<'static>) -> FontDesc<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        FontDesc::new(family, self.size * f64::from(FINENESS), style)
    }

    /// The width of `text` in the embedded font.
    pub(crate) fn width(&self, text: &str) -> Drawn<f64> {
        let (width, _) = self.font(embedded()).box_size(text).map_err(|e| e.to_string())?;
        Ok(f64::from(width) / f64::from(FINENESS))
    }

    /// `text` on one line, no wider than `width`. It is shortened in the middle, because similar names
    /// usually differ at their ends.
    pub(crate) fn fit(&self, text: &str, width: f64) -> Drawn<String> {
        // Control characters break the line, or an SVG file.
        let clean = |c: char| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c };
        let letters: Vec<char> = text.trim().chars().map(clean).collect();
        if letters.len() <= 300 {
            let whole: String = letters.iter().collect();
            if self.width(&whole)? <= width {
                return Ok(whole);
            }
        }
        for kept in (1..letters.len().min(300)).rev() {
            let (head, tail) = (kept.div_ceil(2), kept / 2);
            let short: String = letters
                .iter()
                .take(head)
                .chain(std::iter::once(&'…'))
                .chain(letters.iter().skip(letters.len() - tail))
                .collect();
            if self.width(&short)? <= width {
                return Ok(short);
            }
        }
        Ok("…".into())
    }
}

/// The shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Disc,
    Square,
    Up,
    Diamond,
    Down,
}

impl Mark {
    /// The outline of a marker of about the size of a disc of `radius`; a disc has none.
    fn outline(self, (x, y): At, radius: f64) -> Option<Vec<At>> {
        let outline: &[At] = match self {
            Self::Disc => return None,
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Up => &[(0.0, -1.2), (1.15, 0.8), (-1.15, 0.8)],
            Self::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::Down => &[(0.0, 1.2), (1.15, -0.8), (-1.15, -0.8)],
        };
        Some(outline.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect())
    }
}

/// The lengths of the dashes of a line and of the gaps between them, in turn; none for a solid line.
pub(crate) type Dashes = &'static [f64];

/// Where a text is with respect to its position.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    /// To the right of it.
    Left,
    Center,
    /// To the left of it.
    Right,
}

/// One element of a picture.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Area { outline: Vec<At>, color: RGBColor, opacity: f64 },
    Rectangle { from: At, to: At, color: RGBColor, opacity: f64 },
    Stroke { path: Vec<At>, width: f64, color: RGBColor },
    Disc { at: At, radius: f64, color: RGBColor, opacity: f64 },
    Text { text: String, at: At, pen: Pen, anchor: Anchor, turned: bool },
}

/// Draws a chart. As it cannot be named outside of this crate, only its charts implement
/// [`Chart`](super::Chart).
pub trait Draw {
    #[doc(hidden)]
    fn picture(&self) -> Drawn<Picture>;
}

/// A drawing of `width` by `height` units on a white ground. Text that is given has been fitted.
#[derive(Clone, Debug)]
pub struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// What the picture shows, for readers that do not see it.
    pub(crate) about: String,
    pub(crate) shapes: Vec<Shape>,
}

impl Picture {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self {
            width: width.ceil() as u32,
            height: height.ceil() as u32,
            about: String::new(),
            shapes: vec![],
        }
    }

    pub(crate) fn area(&mut self, outline: Vec<At>, color: RGBColor, opacity: f64) {
        self.shapes.push(Shape::Area { outline, color, opacity });
    }

    /// Draws a rectangle between two opposite corners.
    pub(crate) fn rectangle(&mut self, a: At, b: At, color: RGBColor, opacity: f64) {
        let (from, to) = ((a.0.min(b.0), a.1.min(b.1)), (a.0.max(b.0), a.1.max(b.1)));
        self.shapes.push(Shape::Rectangle { from, to, color, opacity });
    }

    /// Draws the edges of a rectangle.
    pub(crate) fn frame(&mut self, a: At, b: At, width: f64, color: RGBColor) {
        self.stroke(vec![a, (b.0, a.1), b, (a.0, b.1), a], width, color);
    }

    /// Draws a path with round joints.
    pub(crate) fn stroke(&mut self, path: Vec<At>, width: f64, color: RGBColor) {
        self.shapes.push(Shape::Stroke { path, width, color });
    }

    /// Draws a path in dashes.
    pub(crate) fn dashed(&mut self, path: Vec<At>, dashes: Dashes, width: f64, color: RGBColor) {
        if dashes.is_empty() {
            return self.stroke(path, width, color);
        }
        for dash in dash(&path, dashes) {
            self.stroke(dash, width, color);
        }
    }

    pub(crate) fn disc(&mut self, at: At, radius: f64, color: RGBColor, opacity: f64) {
        self.shapes.push(Shape::Disc { at, radius, color, opacity });
    }

    /// Draws a marker of about the size of a disc of `radius`.
    pub(crate) fn mark(&mut self, mark: Mark, at: At, radius: f64, color: RGBColor, opacity: f64) {
        match mark.outline(at, radius) {
            Some(outline) => self.area(outline, color, opacity),
            None => self.disc(at, radius, color, opacity),
        }
    }

    /// Draws a marker with an edge of another colour.
    pub(crate) fn edged_mark(&mut self, mark: Mark, at: At, radius: f64, color: RGBColor, edge: RGBColor) {
        self.mark(mark, at, radius + 1.5, edge, 1.0);
        self.mark(mark, at, radius, color, 1.0);
    }

    /// Draws a line of text whose capital letters are centred at the height of `at`; or, if turned, a line
    /// that reads upwards.
    pub(crate) fn text(&mut self, text: impl Into<String>, at: At, pen: Pen, anchor: Anchor) {
        self.shapes.push(Shape::Text { text: text.into(), at, pen, anchor, turned: false });
    }

    /// Draws a line of text that reads upwards.
    pub(crate) fn turned_text(&mut self, text: impl Into<String>, at: At, pen: Pen, anchor: Anchor) {
        self.shapes.push(Shape::Text { text: text.into(), at, pen, anchor, turned: true });
    }
}

/// The dashes of a path.
fn dash(path: &[At], dashes: &[f64]) -> Vec<Vec<At>> {
    let (mut all, mut current) = (vec![], vec![]);
    let mut lengths = dashes.iter().copied().cycle();
    let (mut left, mut drawn) = (lengths.next().unwrap_or(f64::INFINITY), true);
    for ends in path.windows(2) {
        let [a, b] = *ends else { continue };
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        let at = |done: f64| {
            let share = if length > 0.0 { done / length } else { 0.0 };
            (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share)
        };
        let mut done = 0.0;
        if drawn && current.is_empty() {
            current.push(a);
        }
        while length - done > left {
            done += left;
            if drawn {
                current.push(at(done));
                all.push(std::mem::take(&mut current));
            } else {
                current = vec![at(done)];
            }
            drawn = !drawn;
            left = lengths.next().unwrap_or(f64::INFINITY);
        }
        left -= length - done;
        if drawn {
            current.push(b);
        }
    }
    if current.len() > 1 {
        all.push(current);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEN: Pen = Pen { size: 14.0, bold: false, color: RGBColor(0, 0, 0) };

    #[test]
    fn the_embedded_fonts_hold_every_character_they_should() {
        let missing = PEN.width("\u{4E2D}").unwrap();
        for bold in [false, true] {
            let pen = Pen { bold, ..PEN };
            for c in "ÄÖÜäöüßéñ±×²³·µαβγλμσχωΔΣ–—’…−≈≤≥∞".chars() {
                assert!(pen.width(&c.to_string()).unwrap() > 0.0);
                assert_ne!(pen.width(&c.to_string().repeat(50)).unwrap(), 50.0 * missing, "{c}");
            }
        }
        // Digits are 0.5615 em wide in Roboto, and its ascent and descent sum to 1.1719 em.
        let wide = Pen { size: 1.1719 * 100.0, ..PEN };
        assert!((wide.width("0000000000").unwrap() - 561.5).abs() < 1.0);
    }

    #[test]
    fn what_does_not_fit_goes_from_the_middle() {
        assert_eq!(PEN.fit(" short ", 200.0).unwrap(), "short");
        assert_eq!(PEN.fit("two\nlines\u{0}", 200.0).unwrap(), "two lines ");
        let long = format!("bagging {} stacking", "x".repeat(100_000));
        let short = PEN.fit(&long, 120.0).unwrap();
        assert!(
            short.starts_with("bagging x") && short.ends_with("x stacking") && short.contains('…'),
            "{short}"
        );
        assert!(PEN.width(&short).unwrap() <= 120.0);
        assert_eq!(PEN.fit("abc", 0.0).unwrap(), "…");
    }

    #[test]
    fn dashes_go_around_corners() {
        // Ten to the right, ten down, in dashes of 8 and gaps of 4.
        let path = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)];
        let expected: Vec<Vec<At>> = vec![vec![(0.0, 0.0), (8.0, 0.0)], vec![(10.0, 2.0), (10.0, 10.0)]];
        assert_eq!(dash(&path, &[8.0, 4.0]), expected);
        assert_eq!(dash(&path, &[15.0, 1.0])[0], [(0.0, 0.0), (10.0, 0.0), (10.0, 5.0)]);
        assert!(dash(&[], &[1.0, 1.0]).is_empty() && dash(&path[..1], &[1.0, 1.0]).is_empty());
        assert_eq!(dash(&[(0.0, 0.0), (0.0, 0.0), (3.0, 0.0)], &[2.0, 2.0]).len(), 1);
    }
}
