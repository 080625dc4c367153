//! Single networks as dots, and as their mean with a band.
use crate::chart::{
    frame::Frame,
    picture::{At, Mark, Picture},
    scale::Range,
    style::GREY,
};

/// The radius of the dots.
pub(super) const DOT: f64 = 2.8;
pub(super) const DOT_OPACITY: f64 = 0.45;

/// What the legend says of the networks, some of which may be off the scale.
pub(super) fn counted(name: &str, singles: &[f64], values: Range) -> String {
    match singles.iter().filter(|v| !values.holds(**v)).count() {
        0 => name.into(),
        off => format!("{name} ({off} off the scale)"),
    }
}

/// Draws the networks as dots around `x`. Those off the scale are arrowheads at the edge.
pub(super) fn draw_dots(picture: &mut Picture, frame: &Frame, x: f64, values: Range, singles: &[f64]) {
    let heights: Vec<f64> =
        singles.iter().map(|&v| frame.y_at(v).clamp(frame.top + 4.0, frame.bottom - 5.0)).collect();
    for (&value, at) in singles.iter().zip(swarm(&heights, 15.0)) {
        let mark = match value {
            v if v > values.high => Mark::Up,
            v if v < values.low => Mark::Down,
            _ => Mark::Disc,
        };
        picture.mark(mark, (x + at.0, at.1), DOT, GREY, DOT_OPACITY);
    }
}

/// Three dots that stand for all of them in the legend.
pub(super) fn symbol(picture: &mut Picture, (x, y): At) {
    for (dx, dy) in [(-5.5, 1.5), (0.5, -2.5), (5.0, 2.5)] {
        picture.disc((x + dx, y + dy), DOT, GREY, DOT_OPACITY);
    }
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

/// The mean of the values, and the mean ± one standard deviation (with n − 1).
pub(super) fn mean_band(values: &[f64]) -> Option<(f64, Range)> {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| v / n).sum::<f64>();
    if values.is_empty() {
        return None;
    }
    // Deviations are scaled, because squares of values up to 1e300 overflow.
    let largest = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max);
    let sd = if values.len() < 2 || largest == 0.0 {
        0.0
    } else {
        let squares = values.iter().map(|v| ((v - mean) / largest).powi(2)).sum::<f64>();
        largest * (squares / (n - 1.0)).sqrt()
    };
    Some((mean, Range { low: mean - sd, high: mean + sd }))
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

    #[test]
    fn the_band_is_one_standard_deviation() {
        // Deviations −1, 0, 1: the variance is 2 / 2.
        assert_eq!(mean_band(&[4.0, 5.0, 6.0]), Some((5.0, Range { low: 4.0, high: 6.0 })));
        assert_eq!(mean_band(&[0.5]), Some((0.5, Range { low: 0.5, high: 0.5 })));
        assert_eq!(mean_band(&[]), None);
        let (mean, band) = mean_band(&[1e300, -1e300]).unwrap();
        assert!(mean == 0.0 && band.high.is_finite() && band.high > 1e300);
    }
}
