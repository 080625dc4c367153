//! Places for names beside points, without overlap.
use crate::chart::picture::At;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    pub(crate) fn around((x, y): At, (width, height): (f64, f64)) -> Self {
        let (half, above) = (width / 2.0, height / 2.0);
        Self { left: x - half, right: x + half, top: y - above, bottom: y + above }
    }

    pub(crate) fn middle(&self) -> At {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }

    /// The size of what two rectangles share.
    fn shared(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// The rectangle moved into `bounds`. One that is too wide or too high sticks out on the right or at the
    /// bottom.
    fn within(&self, bounds: &Self) -> Self {
        let right = (bounds.left - self.left).max((bounds.right - self.right).min(0.0));
        let down = (bounds.top - self.top).max((bounds.bottom - self.bottom).min(0.0));
        Self {
            left: self.left + right,
            right: self.right + right,
            top: self.top + down,
            bottom: self.bottom + down,
        }
    }

    /// Whether another of the points is nearer than `own`, so that a label here seems to be that of the other.
    pub(crate) fn belongs_elsewhere(&self, own: At, points: &[At]) -> bool {
        let distance = |at: At| {
            let near = self.nearest(at);
            (near.0 - at.0).hypot(near.1 - at.1)
        };
        let own = distance(own);
        points.iter().any(|&p| distance(p) < own)
    }

    /// The point of the rectangle that is nearest to `at`.
    pub(crate) fn nearest(&self, at: At) -> At {
        (at.0.clamp(self.left, self.right), at.1.clamp(self.top, self.bottom))
    }
}

/// What a label that is nearer to another point costs, as an area of overlap.
const MISLEADING: f64 = 30.0;

/// Distances of a label from its point, and directions in the order in which they are tried.
const DISTANCES: [f64; 8] = [8.0, 14.0, 22.0, 34.0, 50.0, 70.0, 95.0, 125.0];
const DIRECTIONS: [At; 16] = [
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (0.7, -0.7),
    (0.7, 0.7),
    (-0.7, -0.7),
    (-0.7, 0.7),
    (0.9, -0.4),
    (0.9, 0.4),
    (-0.9, -0.4),
    (-0.9, 0.4),
    (0.4, -0.9),
    (0.4, 0.9),
    (-0.4, -0.9),
    (-0.4, 0.9),
];

/// Places a label of each size near its point, one after the other: at the first place that is free, or else
/// at the one with the least overlap. Labels avoid `taken` and places that are nearer to another point, and stay
/// within `bounds`.
///
/// This takes O(n²) steps for n points.
pub(crate) fn place(points: &[At], sizes: &[(f64, f64)], taken: &[Area], bounds: Area) -> Vec<Area> {
    let mut taken = taken.to_vec();
    let mut placed = vec![];
    for (&point, &size) in points.iter().zip(sizes) {
        let cost = |area: &Area| {
            let overlap = taken.iter().map(|t| area.shared(t)).sum::<f64>();
            overlap + if area.belongs_elsewhere(point, points) { MISLEADING } else { 0.0 }
        };
        let candidates = DISTANCES
            .iter()
            .flat_map(|&d| DIRECTIONS.iter().map(move |&way| beside(point, size, d, way).within(&bounds)));
        let mut best: Option<(f64, Area)> = None;
        for area in candidates {
            let cost = cost(&area);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, area));
            }
            if cost <= 0.0 {
                break;
            }
        }
        let area = best.map_or(Area::around(point, size), |b| b.1);
        taken.push(area);
        placed.push(area);
    }
    placed
}

/// A label at a distance from its point.
fn beside((x, y): At, (width, height): (f64, f64), distance: f64, (right, down): At) -> Area {
    // Straight to the side, the label is beside the point; above or below it, its middle is.
    let middle = (
        x + right * distance + right.clamp(-0.7, 0.7) / 0.7 * width / 2.0,
        y + down * (distance + height / 2.0),
    );
    Area::around(middle, (width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Area = Area { left: 0.0, top: 0.0, right: 800.0, bottom: 400.0 };

    #[test]
    fn labels_neither_overlap_nor_leave_the_picture() {
        let point = |i: usize| ((i * 331 % 790) as f64, (i * 97 % 390) as f64);
        let points: Vec<At> = (0..14).map(point).collect();
        let marks: Vec<Area> = points.iter().map(|p| Area::around(*p, (8.0, 8.0))).collect();
        let placed = place(&points, &[(90.0, 16.0); 14], &marks, BOUNDS);
        for (i, area) in placed.iter().enumerate() {
            assert!(area.left >= 0.0 && area.right <= 800.0 && area.top >= 0.0 && area.bottom <= 400.0);
            assert!(placed[..i].iter().all(|a| a.shared(area) == 0.0), "{i}");
            assert!(marks.iter().all(|m| m.shared(area) == 0.0), "{i}");
        }
    }

    #[test]
    fn a_free_point_has_its_label_on_the_right_and_one_at_the_edge_on_the_left() {
        let points = [(100.0, 50.0), (795.0, 200.0)];
        let placed = place(&points, &[(40.0, 10.0); 2], &points.map(|p| Area::around(p, (4.0, 4.0))), BOUNDS);
        assert_eq!(placed[0], Area { left: 108.0, right: 148.0, top: 45.0, bottom: 55.0 });
        assert_eq!(placed[1].right, 787.0, "on the right it would cover its point");
    }

    #[test]
    fn a_label_is_nearest_to_its_own_point() {
        // To its right is another point, whose own label has its place already.
        let points = [(130.0, 50.0), (100.0, 50.0)];
        let placed = place(&points, &[(40.0, 10.0); 2], &points.map(|p| Area::around(p, (4.0, 4.0))), BOUNDS);
        assert!(!placed[1].belongs_elsewhere(points[1], &points) && placed[1].right == 92.0);
        assert!(Area::around((115.0, 60.0), (2.0, 2.0)).belongs_elsewhere((90.0, 50.0), &points));
    }

    #[test]
    fn without_room_the_overlap_is_small_and_nothing_is_lost() {
        let placed =
            place(&[(5.0, 5.0); 30], &[(40.0, 10.0); 30], &[], Area { right: 60.0, bottom: 40.0, ..BOUNDS });
        assert_eq!(placed.len(), 30);
        assert_eq!(place(&[], &[], &[], BOUNDS), []);
    }

    #[test]
    fn the_nearest_point_is_on_the_edge() {
        let area = Area { left: 10.0, top: 10.0, right: 20.0, bottom: 20.0 };
        assert_eq!(area.nearest((0.0, 15.0)), (10.0, 15.0));
        assert_eq!(area.nearest((30.0, 30.0)), (20.0, 20.0));
    }
}
