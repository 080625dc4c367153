//! A picture as SVG text and as the pixels of a PNG file.
use crate::chart::picture::{embedded, Anchor, At, Drawn, Pen, Picture, Shape, FINENESS};
use plotters::{
    prelude::{BitMapBackend, DrawingBackend, SVGBackend},
    style::{
        text_anchor::{HPos, Pos, VPos},
        Color, FontFamily, FontTransform, RGBColor, ShapeStyle, TextStyle,
    },
};
use std::{fmt::Write, io, path::Path};

/// The picture as an SVG element that is as wide as it can be, but not wider than the picture.
pub(crate) fn svg(picture: &Picture) -> Drawn<String> {
    let (width, height) = (picture.width, picture.height);
    let (fine_width, fine_height) = (width * FINENESS, height * FINENESS);
    let mut body = String::new();
    draw(picture, &mut Canvas::vector(SVGBackend::with_string(&mut body, (fine_width, fine_height))))?;
    // What plotters writes first is an opening tag of its own.
    let (_, body) = body.split_once('>').ok_or("plotters has written no SVG element")?;
    let mut text = String::with_capacity(body.len() + 500);
    write!(
        text,
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {fine_width} {fine_height}\" \
         style=\"max-width:100%;height:auto\" stroke-linejoin=\"round\" role=\"img\" aria-label=\"{}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n\
         <rect class=\"background\" width=\"{fine_width}\" height=\"{fine_height}\" fill=\"#FFFFFF\"/>",
        escaped(&picture.about)
    )
    .map_err(|e| e.to_string())?;
    text.push_str(body);
    Ok(text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writes the picture as a PNG file of twice its size. It is drawn at four times its size and each square of
/// four pixels is averaged, because plotters draws jagged edges.
pub(crate) fn png(picture: &Picture, path: &Path) -> io::Result<()> {
    let (width, height) = (picture.width * FINENESS, picture.height * FINENESS);
    let mut fine = vec![255; width as usize * height as usize * 3];
    draw(picture, &mut Canvas::raster(BitMapBackend::with_buffer(&mut fine, (width, height))))
        .map_err(io::Error::other)?;
    let size = (width / 2, height / 2);
    let mut file = BitMapBackend::new(path, size);
    file.blit_bitmap((0, 0), size, &halved(&fine, width as usize))
        .and_then(|()| file.present())
        .map_err(|e| io::Error::other(e.to_string()))
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

fn draw<B: DrawingBackend>(picture: &Picture, canvas: &mut Canvas<B>) -> Drawn {
    for shape in &picture.shapes {
        match shape {
            Shape::Area { outline, color, opacity } => canvas.area(outline, *color, *opacity)?,
            Shape::Rectangle { from, to, color, opacity } => {
                canvas.rectangle(*from, *to, *color, *opacity)?
            }
            Shape::Stroke { path, width, color } => canvas.stroke(path, *width, *color)?,
            Shape::Disc { at, radius, color, opacity } => canvas.disc(*at, *radius, *color, *opacity)?,
            Shape::Text { text, at, pen, anchor, turned } => {
                canvas.text(text, *at, *pen, *anchor, *turned)?
            }
        }
    }
    canvas.backend.present().map_err(|e| e.to_string())
}

/// A backend with drawing functions in the picture's units.
struct Canvas<B> {
    backend: B,
    /// Vector backends have their own fonts and strokes; for other backends this crate has both.
    vector: bool,
}

impl<B: DrawingBackend> Canvas<B> {
    fn vector(backend: B) -> Self {
        Self { backend, vector: true }
    }

    fn raster(backend: B) -> Self {
        Self { backend, vector: false }
    }

    fn area(&mut self, outline: &[At], color: RGBColor, opacity: f64) -> Drawn {
        let outline: Vec<_> = outline.iter().map(|&at| fine(at)).collect();
        self.backend.fill_polygon(outline, &color.mix(opacity)).map_err(|e| e.to_string())
    }

    fn rectangle(&mut self, from: At, to: At, color: RGBColor, opacity: f64) -> Drawn {
        let (from, mut to) = (fine(from), fine(to));
        if !self.vector {
            // Thin rectangles do not vanish between pixels.
            to = (to.0.max(from.0 + 1), to.1.max(from.1 + 1));
        }
        self.backend.draw_rect(from, to, &color.mix(opacity), true).map_err(|e| e.to_string())
    }

    fn stroke(&mut self, path: &[At], width: f64, color: RGBColor) -> Drawn {
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
        // Joints are round, ends are not.
        let joints = path.get(1..path.len().saturating_sub(1)).unwrap_or_default();
        joints.iter().try_for_each(|&at| self.disc(at, width / 2.0, color, 1.0))
    }

    fn disc(&mut self, at: At, radius: f64, color: RGBColor, opacity: f64) -> Drawn {
        let radius = (radius * f64::from(FINENESS)).round() as u32;
        self.backend.draw_circle(fine(at), radius, &color.mix(opacity), true).map_err(|e| e.to_string())
    }

    fn text(&mut self, text: &str, at: At, pen: Pen, anchor: Anchor, turned: bool) -> Drawn {
        // The backends differ in the baseline of "centred" text, and none centres the capital letters.
        let drop = pen.size * if self.vector { 0.08 } else { 0.205 };
        let at = if turned { (at.0 + drop, at.1) } else { (at.0, at.1 + drop) };
        let transform = if turned { FontTransform::Rotate270 } else { FontTransform::None };
        let anchor = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Center => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let family = if self.vector { FontFamily::SansSerif } else { embedded() };
        let style = TextStyle::from(pen.font(family).transform(transform))
            .color(&pen.color)
            .pos(Pos::new(anchor, VPos::Center));
        self.backend.draw_text(text, &style, fine(at)).map_err(|e| e.to_string())
    }
}

/// The backend's pixel for a position in the picture.
fn fine((x, y): At) -> (i32, i32) {
    let fineness = f64::from(FINENESS);
    ((x * fineness).round() as i32, (y * fineness).round() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pixels_are_averaged_to_one() {
        let fine = [[0, 10, 20], [4, 10, 20], [0, 10, 20], [4, 10, 23]].concat();
        assert_eq!(halved(&fine, 2), [2, 10, 21]);
    }
}
