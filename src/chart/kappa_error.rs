//! Agreement and error of pairs of members.
use crate::{
    chart::{
        check_number, drawable,
        frame::{Frame, BELOW},
        legend::{Entry, Legend},
        picture::{Draw, Drawn, Picture},
        scale::Scale,
        style::{color, mark, EDGE, WHITE, WIDTH},
        Chart,
    },
    Result,
};

/// A pair of members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KappaError {
    /// Cohen's kappa of the two members' predictions: 1 if they always agree, 0 if as often as by chance.
    pub kappa: f64,
    /// The mean of the two members' error rates.
    pub error: f64,
}

/// The pairs of members of one ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct PairGroup {
    /// The name in the legend, such as the strategy.
    pub name: String,
    /// The pairs, at least one.
    pub pairs: Vec<KappaError>,
}

/// A kappa-error diagram: the agreement of each pair of members against their mean error.
///
/// Each ensemble has a cloud of markers in a colour and a shape, and a large marker at the mean of the cloud.
/// Members are good when they are low, and diverse when they are on the left; an ensemble needs both, and the
/// diagram shows what a strategy trades for what.
///
/// Of more than 1500 pairs of a group, every k-th is drawn, and the legend says so; the mean is of all.
///
/// [`Chart::check`] fails when there are no groups or more than 40, a group has no pairs, or a value is not
/// finite or beyond ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, KappaError, KappaErrorDiagram, PairGroup};
///
/// let group = |name: &str, kappa: f64, error: f64| {
///     let pair = |i: i32| KappaError { kappa: kappa + 0.01 * f64::from(i), error: error - 0.002 * f64::from(i) };
///     PairGroup { name: name.into(), pairs: (0..10).map(pair).collect() }
/// };
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("kappa_error.svg");
/// KappaErrorDiagram {
///     title: "Digits: pairs of members".into(),
///     groups: vec![group("bagging", 0.7, 0.12), group("snapshots", 0.85, 0.1)],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Margineantu and Dietterich 1997, "Pruning adaptive boosting".
#[derive(Clone, Debug, PartialEq)]
pub struct KappaErrorDiagram {
    /// The title above the chart.
    pub title: String,
    /// The ensembles, 1 to 40.
    pub groups: Vec<PairGroup>,
}

/// The largest number of markers of a group.
const MOST_PAIRS: usize = 1500;

impl Chart for KappaErrorDiagram {
    fn check(&self) -> Result<()> {
        check_number("groups of the diagram", 1..=40, self.groups.len())?;
        for group in &self.groups {
            let name = &group.name;
            check_number(&format!("pairs of group {name:?}"), 1..=usize::MAX, group.pairs.len())?;
            for (i, pair) in group.pairs.iter().enumerate() {
                drawable(pair.kappa, || format!("kappa of pair {i} of group {name:?}"))?;
                drawable(pair.error, || format!("error of pair {i} of group {name:?}"))?;
            }
        }
        Ok(())
    }
}

impl PairGroup {
    /// Every how many pairs one is drawn.
    fn every(&self) -> usize {
        self.pairs.len().div_ceil(MOST_PAIRS).max(1)
    }

    fn mean(&self) -> KappaError {
        let n = self.pairs.len() as f64;
        let mean = |value: fn(&KappaError) -> f64| self.pairs.iter().map(|p| value(p) / n).sum();
        KappaError { kappa: mean(|p| p.kappa), error: mean(|p| p.error) }
    }

    fn entry(&self, i: usize) -> Entry<'_> {
        let thinned = match self.every() {
            1 => String::new(),
            k => format!(" (1 of {k} pairs drawn)"),
        };
        Entry::new(format!("{}{thinned}", self.name), move |picture, (x, y)| {
            for (dx, dy) in [(-11.0, 2.0), (11.0, -2.0)] {
                picture.mark(mark(i), (x + dx, y + dy), 2.6, color(i), 0.4);
            }
            picture.edged_mark(mark(i), (x, y), 5.0, color(i), WHITE);
        })
    }
}

impl Draw for KappaErrorDiagram {
    fn picture(&self) -> Drawn<Picture> {
        let entries = self.groups.iter().enumerate().map(|(i, g)| g.entry(i));
        let legend = Legend::new(entries.collect())?;
        let (top, bottom) = (legend.bottom, legend.bottom + 430.0);
        let pairs = || self.groups.iter().flat_map(|g| &g.pairs);
        let x = Scale::linear(pairs().map(|p| p.kappa), 0.04);
        let y = Scale::linear(pairs().map(|p| p.error), 0.05);
        let frame = Frame::new((EDGE, WIDTH - EDGE), (top, bottom), x, y)?;
        let mut picture = Picture::new(WIDTH, bottom + BELOW);
        picture.title(&self.title)?;
        legend.draw(&mut picture);
        frame.draw(&mut picture);
        let axes = (
            "kappa of two members (lower: more diverse)",
            "mean error rate of two members (lower is better)",
        );
        frame.name_axes(&mut picture, axes.0, axes.1)?;
        for (i, group) in self.groups.iter().enumerate().rev() {
            for pair in group.pairs.iter().step_by(group.every()) {
                picture.mark(mark(i), frame.at(pair.kappa, pair.error), 2.6, color(i), 0.4);
            }
        }
        for (i, group) in self.groups.iter().enumerate().rev() {
            let mean = group.mean();
            picture.edged_mark(mark(i), frame.at(mean.kappa, mean.error), 7.0, color(i), WHITE);
        }
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn group(name: &str, pairs: impl IntoIterator<Item = (f64, f64)>) -> PairGroup {
        let pairs = pairs.into_iter().map(|(kappa, error)| KappaError { kappa, error }).collect();
        PairGroup { name: name.into(), pairs }
    }

    fn chart(groups: Vec<PairGroup>) -> KappaErrorDiagram {
        KappaErrorDiagram { title: "K".into(), groups }
    }

    #[test]
    fn each_pair_has_a_marker_and_each_group_a_mean() {
        let a = group("a<b", [(0.5, 0.1), (0.7, 0.2), (0.6, 0.3)]);
        assert!((a.mean().kappa - 0.6).abs() < 1e-15 && (a.mean().error - 0.2).abs() < 1e-15);
        let svg = inspect(&chart(vec![a, group("c", [(0.8, 0.1)])]));
        assert_eq!(count(&svg, &["<circle", "#0072B2", "opacity=\"0.4\""]), 3 + 2);
        assert_eq!(count(&svg, &["<circle", "#0072B2", "r=\"28\""]), 1);
        assert_eq!(count(&svg, &["<polygon", "#D55E00", "opacity=\"0.4\""]), 1 + 2);
        assert!(texts(&svg).contains(&"a&lt;b"));
    }

    #[test]
    fn large_groups_are_thinned_and_the_legend_says_so() {
        let pairs = (0..4000).map(|i| (f64::from(i % 63) / 63.0, f64::from(i % 17) / 17.0));
        let svg = inspect(&chart(vec![group("large", pairs)]));
        assert_eq!(count(&svg, &["<circle", "opacity=\"0.4\""]), 1334 + 2);
        assert!(texts(&svg).contains(&"large (1 of 3 pairs drawn)"));
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("groups of the diagram must be 1 to 40"));
        assert!(fault(&chart(vec![group("a", [])])).contains("pairs of group \"a\""));
        assert!(fault(&chart(vec![group("a", [(f64::NAN, 0.1)])])).contains("kappa of pair 0 of group \"a\""));
        assert!(fault(&chart(vec![group("a", [(0.1, 1e301)])])).contains("error of pair 0"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let many = (0..40).map(|i| group(&format!("group {i}"), [(f64::from(i), 0.1)])).collect();
        let long = vec![group(&"name ".repeat(100), [(1e9, 1e-9), (-1e9, 2e-9)])];
        for groups in [vec![group("one", [(0.5, 0.5)])], vec![group("flat", [(0.5, 0.5); 9])], many, long] {
            inspect(&chart(groups));
        }
        inspect(&chart(vec![group("vast", [(1e300, -1e300), (1e300, 1e300)])]));
    }
}
