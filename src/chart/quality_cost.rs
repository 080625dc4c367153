//! Quality against cost.
use crate::{
    chart::{
        check_band, check_number, drawable,
        frame::{Frame, BELOW},
        labels::{place, Area},
        legend::{Entry, Legend},
        pareto::pareto_front,
        picture::{Anchor, At, Draw, Drawn, Mark, Picture, SPARE},
        scale::Scale,
        style::{between, color, EDGE, GREY, INK, NAME, TICK, WHITE, WIDTH},
        Chart,
    },
    Error, Result,
};
use plotters::style::RGBColor;

/// One way to build and combine an ensemble, with what it costs and gives.
#[derive(Clone, Debug, PartialEq)]
pub struct CostPoint {
    /// The name beside the point or in the table.
    pub name: String,
    /// The cost, above 0.
    pub cost: f64,
    /// The quality, such as the mean of a test metric.
    pub quality: f64,
    /// Lower edge of the interval of the quality.
    pub low: f64,
    /// Upper edge of the interval, not below `low`. Equal edges draw no interval.
    pub high: f64,
}

/// A chart of quality against cost, with the Pareto front.
///
/// Points of the same cost are side by side, the best on the right. The points of the front are filled and
/// joined by steps; the others are hollow ([`pareto_front`]). Costs are on a logarithmic axis. Names are
/// placed beside their points without overlap, with a line where they are farther away. More than 12 points
/// have numbers, and a table beside the chart has the names.
///
/// The title should say what the intervals are, such as 95 % over the repeats.
///
/// [`Chart::check`] fails when there are no points or more than 100, a cost is not above zero, an interval
/// has its low edge above its high edge, or a value is not finite or beyond ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, CostPoint, QualityCost};
///
/// let point = |name: &str, cost: f64, quality: f64| {
///     CostPoint { name: name.into(), cost, quality, low: quality - 0.005, high: quality + 0.005 }
/// };
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("quality_cost.svg");
/// QualityCost {
///     title: "Digits: test accuracy with 95 % intervals".into(),
///     quality: "test accuracy (higher is better)".into(),
///     higher_is_better: true,
///     cost: "prediction cost (networks)".into(),
///     points: vec![point("single network", 1.0, 0.91), point("soup", 1.0, 0.92), point("bagging", 10.0, 0.935)],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QualityCost {
    /// The title above the chart.
    pub title: String,
    /// Label of the vertical axis: the metric, its unit, and whether higher or lower is better.
    pub quality: String,
    /// Whether higher quality is better.
    pub higher_is_better: bool,
    /// Label of the horizontal axis: the cost and its unit, such as networks for a prediction, or epochs or
    /// seconds of training.
    pub cost: String,
    /// The points, 1 to 100.
    pub points: Vec<CostPoint>,
}

/// The largest number of points with their names beside them.
const NAMED: usize = 12;
const FRONT: RGBColor = RGBColor(0, 114, 178);
const RADIUS: f64 = 5.0;
/// The distance of points of the same cost.
const STEP: f64 = 9.0;
/// The largest distance of the first and the last of them.
const SPREAD: f64 = 54.0;
/// The room for the table of names, and the height of its rows.
const TABLE: f64 = 270.0;
const ROW: f64 = 20.0;

impl Chart for QualityCost {
    fn check(&self) -> Result<()> {
        check_number("points of the chart", 1..=100, self.points.len())?;
        for (i, p) in self.points.iter().enumerate() {
            let name = &p.name;
            check_band(p.quality, p.low, p.high, || format!("point {i}, {name:?}"))?;
            drawable(p.cost, || format!("cost of point {i}, {name:?}"))?;
            if p.cost <= 0.0 {
                return Err(Error::invalid(format!("cost of point {i}, {name:?}"), "above 0", p.cost));
            }
        }
        Ok(())
    }
}

impl Draw for QualityCost {
    fn picture(&self) -> Drawn<Picture> {
        let front = self.front()?;
        let legend = self.legend()?;
        let keyed = self.points.len() > NAMED;
        let height = if keyed { (self.points.len() as f64 * ROW).max(430.0) } else { 430.0 };
        let (top, bottom) = (legend.bottom, legend.bottom + height);
        let right = WIDTH - EDGE - if keyed { TABLE } else { 0.0 };
        let x = Scale::log(self.points.iter().map(|p| p.cost), 0.1);
        let y = Scale::linear(self.points.iter().flat_map(|p| [p.quality, p.low, p.high]), 0.06);
        let frame = Frame::new((EDGE, right), (top, bottom), x, y)?;
        let mut picture = Picture::new(WIDTH, bottom + BELOW);
        picture.title(&self.title)?;
        legend.draw(&mut picture);
        frame.draw(&mut picture);
        let places = self.places(&frame);
        let moved = self.points.iter().zip(&places).any(|(p, at)| (frame.x_at(p.cost) - at.0).abs() > 0.5);
        let note = if moved { "; points of the same cost are side by side" } else { "" };
        frame.name_axes(&mut picture, &format!("{}, log scale{note}", self.cost), &self.quality)?;
        let steps = steps(&front.iter().filter_map(|&i| places.get(i).copied()).collect::<Vec<_>>());
        picture.stroke(steps.clone(), 2.0, between(WHITE, FRONT, 0.6));
        self.draw_points(&mut picture, &frame, &front, &places);
        self.draw_names(&mut picture, &frame, &front, (&places, &steps))?;
        if keyed {
            self.draw_table(&mut picture, right + 24.0, top, &front)?;
        }
        Ok(picture)
    }
}

impl QualityCost {
    fn front(&self) -> Drawn<Vec<usize>> {
        let pairs: Vec<_> = self.points.iter().map(|p| (p.cost, p.quality)).collect();
        pareto_front(&pairs, self.higher_is_better).map_err(|e| e.to_string())
    }

    /// The positions of the points. Those of about the same cost are side by side, the best on the right, so
    /// that their intervals do not cover each other.
    fn places(&self, frame: &Frame) -> Vec<At> {
        let mut places: Vec<At> = self.points.iter().map(|p| frame.at(p.cost, p.quality)).collect();
        let mut order: Vec<usize> = (0..places.len()).collect();
        let best = if self.higher_is_better { 1.0 } else { -1.0 };
        order.sort_by(|&a, &b| {
            let ((x, y), (v, w)) = (places[a], places[b]);
            x.total_cmp(&v).then((best * w).total_cmp(&(best * y)))
        });
        let groups: Vec<&[usize]> = order.chunk_by(|&a, &b| places[b].0 - places[a].0 < STEP).collect();
        let middle = |group: &[usize]| group.iter().map(|&i| places[i].0).sum::<f64>() / group.len() as f64;
        let middles: Vec<f64> = groups.iter().map(|g| middle(g)).collect();
        let closest = middles.windows(2).map(|m| m[1] - m[0]).fold(frame.right - frame.left, f64::min);
        for (group, middle) in groups.iter().zip(&middles) {
            let step = STEP.min(SPREAD.min(0.8 * closest) / group.len() as f64);
            for (k, &i) in group.iter().enumerate() {
                places[i].0 = middle + (k as f64 - (group.len() as f64 - 1.0) / 2.0) * step;
            }
        }
        places
    }

    fn draw_points(&self, picture: &mut Picture, frame: &Frame, front: &[usize], places: &[At]) {
        for (p, &(x, _)) in self.points.iter().zip(places).filter(|(p, _)| p.low < p.high) {
            let (low, high) = (frame.y_at(p.low), frame.y_at(p.high));
            picture.stroke(vec![(x, low), (x, high)], 1.3, GREY);
            for y in [low, high] {
                picture.stroke(vec![(x - 3.5, y), (x + 3.5, y)], 1.3, GREY);
            }
        }
        for (i, &at) in places.iter().enumerate() {
            draw_point(picture, at, front.contains(&i));
        }
    }

    /// Writes a name or a number beside each point; those of the front get their places first.
    fn draw_names(
        &self,
        picture: &mut Picture,
        frame: &Frame,
        front: &[usize],
        (places, steps): (&[At], &[At]),
    ) -> Drawn {
        let keyed = self.points.len() > NAMED;
        let pen = if keyed { TICK.colored(INK) } else { NAME };
        let rest = (0..self.points.len()).filter(|i| !front.contains(i));
        let order: Vec<usize> = front.iter().copied().chain(rest).collect();
        let (mut points, mut texts, mut sizes) = (vec![], vec![], vec![]);
        for &i in &order {
            let (Some(&at), Some(point)) = (places.get(i), self.points.get(i)) else { continue };
            let text = if keyed { (i + 1).to_string() } else { pen.fit(&point.name, 230.0)? };
            sizes.push((SPARE * pen.width(&text)? + 4.0, 0.9 * pen.size));
            points.push(at);
            texts.push(text);
        }
        let bounds =
            Area { left: frame.left, top: frame.top, right: frame.right + 14.0, bottom: frame.bottom - 2.0 };
        let areas = place(&points, &sizes, &self.obstacles(frame, places, steps), bounds);
        for ((area, point), text) in areas.iter().zip(&points).zip(texts) {
            let near = area.nearest(*point);
            let (dx, dy) = (near.0 - point.0, near.1 - point.1);
            let distance = dx.hypot(dy);
            if distance > 15.0 || distance > RADIUS + 2.0 && area.belongs_elsewhere(*point, &points) {
                let share = (RADIUS + 2.0) / distance;
                picture.stroke(vec![(point.0 + dx * share, point.1 + dy * share), near], 1.0, GREY);
            }
            picture.text(text, area.middle(), pen, Anchor::Center);
        }
        Ok(())
    }

    /// What names must not cover: points, intervals and the steps of the front.
    fn obstacles(&self, frame: &Frame, places: &[At], steps: &[At]) -> Vec<Area> {
        let mut taken = vec![];
        for (p, &at) in self.points.iter().zip(places) {
            taken.push(Area::around(at, (2.0 * RADIUS + 3.0, 2.0 * RADIUS + 3.0)));
            let (top, bottom) = (frame.y_at(p.high), frame.y_at(p.low));
            taken.push(Area { left: at.0 - 4.0, right: at.0 + 4.0, top: top - 5.0, bottom: bottom + 5.0 });
        }
        for ends in steps.windows(2) {
            if let [a, b] = *ends {
                let (left, right) = (a.0.min(b.0) - 1.0, a.0.max(b.0) + 1.0);
                taken.push(Area { left, right, top: a.1.min(b.1) - 1.0, bottom: a.1.max(b.1) + 1.0 });
            }
        }
        taken
    }

    fn draw_table(&self, picture: &mut Picture, left: f64, top: f64, front: &[usize]) -> Drawn {
        for (i, point) in self.points.iter().enumerate() {
            let y = top + (i as f64 + 0.5) * ROW;
            let pen = TICK.colored(INK);
            picture.text((i + 1).to_string(), (left + 22.0, y), pen, Anchor::Right);
            draw_point(picture, (left + 34.0, y), front.contains(&i));
            let name = pen.fit(&point.name, (WIDTH - EDGE / 2.0 - left - 44.0) / SPARE)?;
            picture.text(name, (left + 46.0, y), pen, Anchor::Left);
        }
        Ok(())
    }

    fn legend(&self) -> Drawn<Legend<'_>> {
        let mut entries = vec![Entry::new("on the Pareto front", |picture, (x, y)| {
            let path = vec![(x - 13.0, y + 4.0), (x, y + 4.0), (x, y - 4.0), (x + 13.0, y - 4.0)];
            picture.stroke(path, 2.0, between(WHITE, FRONT, 0.6));
            draw_point(picture, (x, y), true);
        })];
        entries
            .push(Entry::new("dominated: another is as good or better and costs no more", |picture, at| {
                draw_point(picture, at, false)
            }));
        Legend::new(entries)
    }
}

fn draw_point(picture: &mut Picture, at: At, front: bool) {
    if front {
        picture.edged_mark(Mark::Disc, at, RADIUS, FRONT, WHITE);
    } else {
        picture.disc(at, RADIUS - 0.4, color(1), 1.0);
        picture.disc(at, RADIUS - 2.4, WHITE, 1.0);
    }
}

/// The points of a front, joined by steps: to the right as long as nothing better can be had, then up or down.
fn steps(front: &[At]) -> Vec<At> {
    let mut path: Vec<At> = vec![];
    for &(x, y) in front {
        if let Some(&(_, before)) = path.last() {
            path.push((x, before));
        }
        path.push((x, y));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn point(name: &str, cost: f64, quality: f64) -> CostPoint {
        CostPoint { name: name.into(), cost, quality, low: quality - 0.01, high: quality + 0.01 }
    }

    fn chart(points: Vec<CostPoint>) -> QualityCost {
        QualityCost {
            title: "Q".into(),
            quality: "accuracy (higher is better)".into(),
            higher_is_better: true,
            cost: "networks".into(),
            points,
        }
    }

    #[test]
    fn the_front_is_filled_and_few_points_have_their_names() {
        let mut c =
            chart(vec![point("one <&>", 1.0, 0.9), point("ten", 10.0, 0.95), point("worse", 10.0, 0.8)]);
        let filled = |svg: &str| count(svg, &["<circle", "#0072B2"]);
        let svg = inspect(&c);
        assert_eq!(filled(&svg), 2 + 1);
        assert_eq!(count(&svg, &["<circle", "#D55E00"]), 1 + 1);
        assert!([
            "one &lt;&amp;&gt;",
            "ten",
            "worse",
            "networks, log scale; points of the same cost are side by side"
        ]
        .iter()
        .all(|t| texts(&svg).contains(t)));
        c.higher_is_better = false;
        assert_eq!(filled(&inspect(&c)), 2 + 1, "the first and the last");
    }

    #[test]
    fn many_points_have_numbers_and_a_table() {
        let c = chart((0..13).map(|i| point(&format!("way {i}"), f64::from(i + 1), 0.9)).collect());
        let svg = inspect(&c);
        let texts = texts(&svg);
        assert_eq!(texts.iter().filter(|t| t.starts_with("way")).count(), 13);
        assert_eq!(texts.iter().filter(|t| **t == "13").count(), 2);
    }

    #[test]
    fn points_of_the_same_cost_are_side_by_side() {
        let c = chart(vec![point("b", 10.0, 0.9), point("a", 1.0, 0.9), point("c", 10.0, 0.8)]);
        let unit = |low: f64, high: f64| crate::chart::scale::Range { low, high };
        let scales = (Scale::Log(unit(0.0, 1.0)), Scale::Linear(unit(0.0, 1.0)));
        let mut frame = Frame::new((0.0, 200.0), (0.0, 100.0), scales.0, scales.1).unwrap();
        (frame.left, frame.right) = (0.0, 100.0);
        let places = c.places(&frame);
        let xs: Vec<f64> = places.iter().map(|p| p.0).collect();
        assert_eq!(xs, [100.0 + STEP / 2.0, 0.0, 100.0 - STEP / 2.0]);
        assert!((places[2].1 - 20.0).abs() < 1e-9);
    }

    #[test]
    fn steps_go_right_first() {
        assert_eq!(steps(&[(0.0, 9.0), (5.0, 4.0)]), [(0.0, 9.0), (5.0, 9.0), (5.0, 4.0)]);
        assert_eq!(steps(&[]), []);
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("points of the chart must be 1 to 100"));
        assert!(fault(&chart(vec![point("a", 0.0, 0.9)])).contains("cost of point 0, \"a\" must be above 0"));
        assert!(fault(&chart(vec![point("a", f64::NAN, 0.9)])).contains("cost of point 0"));
        assert!(fault(&chart(vec![point("a", 1.0, f64::NAN)])).contains("mean of point 0"));
        let mut crossed = chart(vec![point("a", 1.0, 0.9)]);
        crossed.points[0].low = 1.0;
        assert!(fault(&crossed).contains("at most high"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let crowd = chart(vec![point("the same place", 1.0, 0.9); 12]);
        let many =
            chart((0..100).map(|i| point(&"long ".repeat(30), 1e-9 * f64::from(i + 1), 1e9)).collect());
        let long = chart(vec![point(&"a long name ".repeat(30), 5.0, 0.9), point("", 1e9, 0.0)]);
        let vast = chart(vec![point("low", 1e-300, -1e300), point("high", 1e300, 1e300)]);
        for c in [chart(vec![point("one", 3.0, 0.9)]), crowd, many, long, vast] {
            inspect(&c);
        }
    }
}
