//! Strokes, areas and text on a backend of plotters.
use std::sync::OnceLock;

use plotters::{
    prelude::DrawingBackend,
    style::{
        register_font, text_anchor::HPos, text_anchor::Pos, text_anchor::VPos, Color, FontDesc, FontFamily,
        FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
    },
};

/// Backend pixels for one unit of the chart. Backends take whole numbers, which would make curves jagged at
/// one pixel a unit.
pub(crate) const FINENESS: u32 = 4;

/// The result of a drawing step. plotters' error types differ by backend, so only their text is kept.
pub(crate) type Drawn<T = ()> = Result<T, String>;

/// A position on the chart, from its top left corner.
pub(crate) type At = (f64, f64);

/// The embedded font, under a name of this crate's own, so that it replaces no font of the program.
const FAMILY: FontFamily<'static> = FontFamily::Name("candle-ensemble chart");

fn embedded() -> FontFamily<'static> {
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
    fn font(&self, family: FontFamily<'static>) -> FontDesc<'static> {
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
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Disc,
    Square,
    Up,
    Diamond,
    Down,
}

/// A backend with drawing functions in the chart's units.
pub(crate) struct Canvas<B> {
    pub(crate) backend: B,
    /// Vector backends have their own fonts and strokes; for other backends this crate has both.
    vector: bool,
}

impl<B: DrawingBackend> Canvas<B> {
    pub(crate) fn vector(backend: B) -> Self {
        Self { backend, vector: true }
    }

    pub(crate) fn raster(backend: B) -> Self {
        Self { backend, vector: false }
    }

    pub(crate) fn area(&mut self, outline: &[At], color: RGBColor, opacity: f64) -> Drawn {
        let outline: Vec<_> = outline.iter().map(|&at| fine(at)).collect();
        self.backend.fill_polygon(outline, &color.mix(opacity)).map_err(|e| e.to_string())
    }

    /// Draws a path with round joints.
    pub(crate) fn stroke(&mut self, path: &[At], width: f64, color: RGBColor) -> Drawn {
        if self.vector {
            let stroke_width = (width * f64::from(FINENESS)).round() as u32;
            let style = ShapeStyle { color: color.to_rgba(), filled: false, stroke_width };
            let path: Vec<_> = path.iter().map(|&at| fine(at)).collect();
            return self.backend.draw_path(path, &style).map_err(|e| e.to_string());
        }
        // plotters' wide strokes have spikes at sharp turns of a path.
        for ends in path.windows(2) {
            if let [a, b] = *ends {
                let (dx, dy) = (b.0 - a.0, b.1 - a.1);
                let length = dx.hypot(dy);
                if length > 0.0 {
                    let (nx, ny) = (-dy / length * width / 2.0, dx / length * width / 2.0);
                    let side = [(a.0 + nx, a.1 + ny), (b.0 + nx, b.1 + ny)];
                    let other = [(b.0 - nx, b.1 - ny), (a.0 - nx, a.1 - ny)];
                    self.area(&[side, other].concat(), color, 1.0)?;
                }
            }
        }
        path.iter().try_for_each(|&at| self.disc(at, width / 2.0, color, 1.0))
    }

    pub(crate) fn disc(&mut self, at: At, radius: f64, color: RGBColor, opacity: f64) -> Drawn {
        let radius = (radius * f64::from(FINENESS)).round() as u32;
        self.backend.draw_circle(fine(at), radius, &color.mix(opacity), true).map_err(|e| e.to_string())
    }

    /// Draws a marker of about the size of a disc of `radius`.
    pub(crate) fn mark(
        &mut self,
        mark: Mark,
        (x, y): At,
        radius: f64,
        color: RGBColor,
        opacity: f64,
    ) -> Drawn {
        let r = radius;
        let outline: &[At] = match mark {
            Mark::Disc => return self.disc((x, y), r, color, opacity),
            Mark::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Mark::Up => &[(0.0, -1.2), (1.15, 0.8), (-1.15, 0.8)],
            Mark::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Mark::Down => &[(0.0, 1.2), (1.15, -0.8), (-1.15, -0.8)],
        };
        let outline: Vec<At> = outline.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
        self.area(&outline, color, opacity)
    }

    /// Draws a line of text whose capital letters are centred at the height of `at`; or, if rotated, a line
    /// that reads upwards.
    pub(crate) fn text(&mut self, text: &str, at: At, pen: Pen, anchor: HPos, turned: bool) -> Drawn {
        // The backends differ in the baseline of "centred" text, and none centres the capital letters.
        let drop = pen.size * if self.vector { 0.08 } else { 0.205 };
        let at = if turned { (at.0 + drop, at.1) } else { (at.0, at.1 + drop) };
        let transform = if turned { FontTransform::Rotate270 } else { FontTransform::None };
        let family = if self.vector { FontFamily::SansSerif } else { embedded() };
        let style = TextStyle::from(pen.font(family).transform(transform))
            .color(&pen.color)
            .pos(Pos::new(anchor, VPos::Center));
        self.backend.draw_text(text, &style, fine(at)).map_err(|e| e.to_string())
    }
}

/// The backend's pixel for a position on the chart.
fn fine((x, y): At) -> (i32, i32) {
    let fineness = f64::from(FINENESS);
    ((x * fineness).round() as i32, (y * fineness).round() as i32)
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
}
