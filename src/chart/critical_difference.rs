//! Average ranks, and which of them do not differ significantly.
use crate::{
    chart::{
        check_length, check_number, drawable,
        picture::{Anchor, Draw, Drawn, Picture, SPARE},
        style::{AXIS, EDGE, GREY, INK, NAME, TICK, TOP, WIDTH},
        Chart,
    },
    Error, Result,
};

/// A critical-difference diagram: the average ranks of several methods over data sets or repeats.
///
/// The best rank is on the right. Thick bars join methods that do not differ significantly. The critical
/// difference, where it is given, is a ruler above the axis: ranks that are farther apart differ.
///
/// The groups come from a test, such as the one of Nemenyi after that of Friedman, or Wilcoxon tests with
/// Holm's correction.
///
/// [`Chart::check`] fails when there are fewer than 2 methods or more than 60, the numbers of names and ranks
/// differ, a rank is not between 1 and the number of methods, a group is empty or names a method that is not
/// there, or the critical difference is not finite or not above zero.
///
/// ```
/// use candle_ensemble::chart::{Chart, CriticalDifferenceDiagram};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("ranks.svg");
/// CriticalDifferenceDiagram {
///     title: "Average ranks over 20 data sets".into(),
///     names: ["single network", "bagging", "snapshots", "stacking"].map(String::from).to_vec(),
///     ranks: vec![3.8, 1.9, 2.6, 1.7],
///     cliques: vec![vec![3, 1, 2], vec![2, 0]],
///     critical_difference: Some(1.05),
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Demšar 2006, "Statistical comparisons of classifiers over multiple data sets".
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalDifferenceDiagram {
    /// The title above the chart.
    pub title: String,
    /// The names of the methods, 2 to 60.
    pub names: Vec<String>,
    /// The average rank of each method, from 1 (best) to their number.
    pub ranks: Vec<f64>,
    /// Groups of methods that do not differ significantly, as numbers of methods in any order. A group of one
    /// is not drawn.
    pub cliques: Vec<Vec<usize>>,
    /// The critical difference, for tests that have one.
    pub critical_difference: Option<f64>,
}

impl Chart for CriticalDifferenceDiagram {
    fn check(&self) -> Result<()> {
        let methods = self.names.len();
        check_number("methods of the diagram", 2..=60, methods)?;
        check_length("the number of ranks", "name", methods, self.ranks.len())?;
        for (i, &rank) in self.ranks.iter().enumerate() {
            if !(1.0..=methods as f64).contains(&rank) {
                return Err(Error::invalid(
                    format!("rank of method {i}"),
                    format!("between 1 and {methods}"),
                    rank,
                ));
            }
        }
        for (g, clique) in self.cliques.iter().enumerate() {
            check_number(&format!("methods in clique {g}"), 1..=usize::MAX, clique.len())?;
            if let Some(method) = clique.iter().find(|w| **w >= methods) {
                let must = format!("below {methods}, the number of methods");
                return Err(Error::invalid(format!("number of a method in clique {g}"), must, method));
            }
        }
        if let Some(difference) = self.critical_difference {
            drawable(difference, || "the critical difference".into())?;
            if difference <= 0.0 {
                return Err(Error::invalid("the critical difference", "above 0", difference));
            }
        }
        Ok(())
    }
}

const ROW: f64 = 23.0;
/// The distance of two bars.
const BAR: f64 = 10.0;
/// The largest width of a name.
const NAMES: f64 = 250.0;

struct Layout {
    left: f64,
    right: f64,
    axis: f64,
    methods: usize,
}

impl Layout {
    /// The best rank is on the right.
    fn x(&self, rank: f64) -> f64 {
        self.right - (self.right - self.left) * (rank - 1.0) / (self.methods as f64 - 1.0)
    }
}

impl Draw for CriticalDifferenceDiagram {
    fn picture(&self) -> Drawn<Picture> {
        let mut order: Vec<usize> = (0..self.ranks.len()).collect();
        order.sort_by(|&a, &b| self.rank(a).total_cmp(&self.rank(b)));
        let (better, worse) = order.split_at(order.len().div_ceil(2));
        let (right_names, left_names) = (self.labels(better)?, self.labels(worse)?);
        let room = |names: &[String]| NAME.widest(names.iter().map(String::as_str));
        let layout = Layout {
            left: EDGE + room(&left_names)? + 34.0,
            right: WIDTH - EDGE - room(&right_names)? - 34.0,
            axis: TOP + if self.critical_difference.is_some() { 78.0 } else { 38.0 },
            methods: self.names.len(),
        };
        let bars = self.bars(&layout);
        let levels = bars.iter().map(|b| b.2 + 1).max().unwrap_or(0);
        let first = layout.axis + 20.0 + levels as f64 * BAR + 12.0;
        let bottom = first + (better.len() as f64 - 1.0) * ROW;
        let mut picture = Picture::new(WIDTH, bottom + 54.0);
        picture.title(&self.title)?;
        draw_axis(&mut picture, &layout);
        for (methods, names, on_right) in [(better, right_names, true), (worse, left_names, false)] {
            // The outermost method is on top, so lines do not cross.
            let methods: Vec<usize> =
                if on_right { methods.to_vec() } else { methods.iter().rev().copied().collect() };
            let names: Vec<String> = if on_right { names } else { names.into_iter().rev().collect() };
            for (k, (method, name)) in methods.into_iter().zip(names).enumerate() {
                let (x, y) = (layout.x(self.rank(method)), first + k as f64 * ROW);
                let (end, text, anchor) = if on_right {
                    (layout.right + 22.0, layout.right + 29.0, Anchor::Left)
                } else {
                    (layout.left - 22.0, layout.left - 29.0, Anchor::Right)
                };
                picture.stroke(vec![(x, layout.axis), (x, y), (end, y)], 1.3, GREY);
                picture.text(name, (text, y), NAME, anchor);
            }
        }
        for (from, to, level) in bars {
            let y = layout.axis + 20.0 + level as f64 * BAR;
            picture.stroke(vec![(from, y), (to, y)], 4.5, INK);
        }
        if let Some(difference) = self.critical_difference {
            self.draw_difference(&mut picture, &layout, difference);
        }
        let middle = (layout.left + layout.right) / 2.0;
        let text = if self.cliques.iter().any(|c| c.len() > 1) {
            "average rank (1 is best); a bar joins those that do not differ significantly"
        } else {
            "average rank (1 is best)"
        };
        let half = SPARE * AXIS.width(text)? / 2.0;
        let middle = middle.clamp(EDGE + half, WIDTH - EDGE - half);
        picture.text(text, (middle, bottom + 34.0), AXIS, Anchor::Center);
        Ok(picture)
    }
}

impl CriticalDifferenceDiagram {
    fn rank(&self, method: usize) -> f64 {
        self.ranks.get(method).copied().unwrap_or(1.0)
    }

    /// The names with their ranks.
    fn labels(&self, methods: &[usize]) -> Drawn<Vec<String>> {
        let label = |&method: &usize| {
            let rank = format!(" ({:.2})", self.rank(method));
            let name = self.names.get(method).map_or("", String::as_str);
            Ok(NAME.fit(name, (NAMES - 60.0) / SPARE)? + &rank)
        };
        methods.iter().map(label).collect()
    }

    /// The ends of the bars and their level below the axis: the first at which they touch no other.
    fn bars(&self, layout: &Layout) -> Vec<(f64, f64, usize)> {
        let ends = |clique: &Vec<usize>| {
            let ranks = || clique.iter().map(|&w| layout.x(self.rank(w)));
            (ranks().fold(f64::INFINITY, f64::min) - 5.0, ranks().fold(f64::NEG_INFINITY, f64::max) + 5.0)
        };
        let mut spans: Vec<(f64, f64)> = self.cliques.iter().filter(|c| c.len() > 1).map(ends).collect();
        // From the best.
        spans.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.total_cmp(&b.0)));
        let mut bars: Vec<(f64, f64, usize)> = vec![];
        for (from, to) in spans {
            let touches =
                |level: usize| bars.iter().any(|b| b.2 == level && from < b.1 + 6.0 && b.0 < to + 6.0);
            let level = (0..).find(|&l| !touches(l)).unwrap_or(0);
            bars.push((from, to, level));
        }
        bars
    }

    fn draw_difference(&self, picture: &mut Picture, layout: &Layout, difference: f64) {
        let y = layout.axis - 44.0;
        let widest = layout.methods as f64 - 1.0;
        let right = layout.right;
        let left = layout.x(1.0 + difference.min(widest));
        picture.stroke(vec![(left, y), (right, y)], 2.0, INK);
        for x in [left, right] {
            picture.stroke(vec![(x, y - 5.0), (x, y + 5.0)], 2.0, INK);
        }
        let longer = if difference > widest { ", longer than the axis" } else { "" };
        let text = format!("critical difference {difference:.3}{longer}");
        picture.text(text, (right, y - 16.0), NAME, Anchor::Right);
    }
}

fn draw_axis(picture: &mut Picture, layout: &Layout) {
    picture.stroke(vec![(layout.left, layout.axis), (layout.right, layout.axis)], 1.5, INK);
    let every = if layout.methods > 20 { 5 } else { 1 };
    for rank in 1..=layout.methods {
        let (x, labelled) = (layout.x(rank as f64), rank == 1 || rank % every == 0);
        let length = if labelled { 7.0 } else { 4.0 };
        picture.stroke(vec![(x, layout.axis), (x, layout.axis - length)], 1.5, INK);
        if labelled {
            picture.text(rank.to_string(), (x, layout.axis - 18.0), TICK, Anchor::Center);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart(ranks: &[f64], cliques: &[&[usize]]) -> CriticalDifferenceDiagram {
        CriticalDifferenceDiagram {
            title: "R".into(),
            names: (0..ranks.len()).map(|i| format!("method & {i}")).collect(),
            ranks: ranks.to_vec(),
            cliques: cliques.iter().map(|c| c.to_vec()).collect(),
            critical_difference: Some(1.25),
        }
    }

    #[test]
    fn ways_have_names_with_ranks_and_groups_bars() {
        let svg = inspect(&chart(&[2.0, 1.25, 3.75, 3.0], &[&[1, 0], &[3, 0], &[2]]));
        let texts = texts(&svg);
        for text in ["method &amp; 0 (2.00)", "method &amp; 2 (3.75)", "critical difference 1.250", "1", "4"]
        {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        assert_eq!(count(&svg, &["<polyline", "stroke-width=\"18\""]), 2);
    }

    /// Bars that share a method touch, so they are on levels of their own; others share one.
    #[test]
    fn bars_are_on_the_first_level_with_room() {
        let c = chart(&[1.0, 2.0, 3.0, 4.0, 5.0], &[&[0, 1], &[1, 2], &[3, 4]]);
        let layout = Layout { left: 100.0, right: 500.0, axis: 0.0, methods: 5 };
        let bars = c.bars(&layout);
        assert_eq!(bars, [(395.0, 505.0, 0), (295.0, 405.0, 1), (95.0, 205.0, 0)]);
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(&[1.0], &[])).contains("methods of the diagram must be 2 to 60, but is 1"));
        assert!(fault(&chart(&[1.0, 2.5], &[])).contains("rank of method 1 must be between 1 and 2"));
        assert!(fault(&chart(&[f64::NAN, 2.0], &[])).contains("rank of method 0"));
        assert!(fault(&chart(&[1.0, 2.0], &[&[]])).contains("methods in clique 0"));
        assert!(fault(&chart(&[1.0, 2.0], &[&[2]])).contains("clique 0 must be below 2"));
        let mut c = chart(&[1.0, 2.0], &[]);
        c.critical_difference = Some(0.0);
        assert!(fault(&c).contains("critical difference must be above 0"));
        c.ranks.pop();
        assert!(fault(&c).contains("number of ranks must be 2, one for each name"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let many: Vec<f64> = (1..=60).map(f64::from).collect();
        let all: Vec<usize> = (0..60).collect();
        let mut long = chart(&[1.0, 2.0, 3.0], &[&[0, 1, 2]]);
        long.names = vec!["a very long name of a method ".repeat(20); 3];
        let mut none = chart(&[1.5, 1.5], &[]);
        none.critical_difference = None;
        for c in [chart(&many, &[&all]), chart(&[1.5, 1.5], &[&[0, 1]]), long, none] {
            inspect(&c);
        }
    }
}
