//! A measure for each pair of members.
use crate::{
    chart::{
        cells::{Cells, MOST},
        check_length, check_number, drawable,
        picture::{Draw, Drawn, Picture},
        scale::{short, Range},
        style::{diverging, sequential, GRID, TOP, WIDTH},
        Chart,
    },
    Error, Result,
};
use plotters::style::RGBColor;

/// A heat map of a measure for each pair, such as the disagreement, the correlation or the kappa of two
/// members.
///
/// Cells have their value where there is room. The diagonal is grey, because the measure of a member with
/// itself says nothing, and it does not count for the range of the colours. With a `center`, values
/// below it are blue and values above it red; without one, more is darker.
///
/// Use it for up to about 30 members to find groups of alike ones; from there on it shows only patterns. To
/// compare strategies, use a [`KappaErrorDiagram`](super::KappaErrorDiagram).
///
/// [`Chart::check`] fails when there are no names or more than 200, `values` is not a square with a row for
/// each name, it is not symmetric, or a value outside the diagonal is not finite or beyond ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, HeatMap};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("correlation.svg");
/// HeatMap {
///     title: "Digits: correlation of errors".into(),
///     measure: "correlation (lower: more diverse)".into(),
///     names: ["MLP 0", "MLP 1", "CNN 0"].map(String::from).to_vec(),
///     values: vec![vec![1.0, 0.7, 0.2], vec![0.7, 1.0, -0.1], vec![0.2, -0.1, 1.0]],
///     center: Some(0.0),
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// The title above the chart.
    pub title: String,
    /// Label of the colour bar: the measure, its unit, and which direction is more diverse.
    pub measure: String,
    /// The names of the members, 1 to 200.
    pub names: Vec<String>,
    /// The measure of each pair: symmetric, with a row for each name. The diagonal may be anything.
    pub values: Vec<Vec<f64>>,
    /// The value in the middle of a scale of two colours, such as 0 for a correlation.
    pub center: Option<f64>,
}

impl Chart for HeatMap {
    fn check(&self) -> Result<()> {
        let names = self.names.len();
        check_number("names of the heat map", 1..=MOST, names)?;
        check_length("the number of rows of the heat map", "name", names, self.values.len())?;
        for (i, row) in self.values.iter().enumerate() {
            check_length(
                format!("the number of values in row {i} of the heat map"),
                "name",
                names,
                row.len(),
            )?;
        }
        for (i, j, value) in self.pairs() {
            drawable(value, || format!("value of pair {i}, {j}"))?;
            let other = self.values.get(j).and_then(|r| r.get(i)).copied().unwrap_or(f64::NAN);
            let close = (value - other).abs() <= 1e-9 * value.abs().max(other.abs());
            // Not so where the other is NaN.
            if !close {
                let must = format!("{other}, as that of pair {j}, {i}");
                return Err(Error::invalid(format!("value of pair {i}, {j}"), must, value));
            }
        }
        self.center.map_or(Ok(()), |c| drawable(c, || "center of the heat map".into()))
    }
}

impl HeatMap {
    /// The values outside the diagonal.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        let row = |(i, row): (usize, &'_ Vec<f64>)| {
            row.iter()
                .enumerate()
                .filter(move |(j, _)| *j != i)
                .map(move |(j, &v)| (i, j, v))
                .collect::<Vec<_>>()
        };
        self.values.iter().enumerate().flat_map(row)
    }

    /// The values at both ends of the colours.
    fn range(&self) -> Range {
        let range = Range::of(self.pairs().map(|p| p.2)).unwrap_or(Range { low: 0.0, high: 1.0 });
        let range = match self.center {
            Some(c) => {
                let half = (range.high - c).max(c - range.low);
                Range { low: c - half, high: c + half }
            }
            None => range,
        };
        if range.span() > 1e-9 * range.low.abs().max(range.high.abs()) {
            range
        } else {
            range.padded(0.0)
        }
    }

    fn color(&self, share: f64) -> RGBColor {
        if self.center.is_some() {
            diverging(share)
        } else {
            sequential(share)
        }
    }
}

impl Draw for HeatMap {
    fn picture(&self) -> Drawn<Picture> {
        let cells = Cells::new(&self.names, TOP + 6.0, false)?;
        let mut picture = Picture::new(WIDTH, cells.bottom() + 18.0);
        picture.title(&self.title)?;
        let range = self.range();
        let ground = |value| self.color(range.share(value));
        cells.fill_all(&mut picture, GRID);
        for (i, j, value) in self.pairs() {
            cells.fill(&mut picture, i, j, ground(value));
        }
        let texts: Vec<_> = self.pairs().map(|p| short(p.2, 25.0 * range.span())).collect();
        if let Some(pen) = cells.pen(texts.iter().map(String::as_str), 1.0)? {
            for ((i, j, value), text) in self.pairs().zip(&texts) {
                cells.write(&mut picture, (i, j), 0.0, (text, pen), ground(value));
            }
        }
        cells.draw_names(&mut picture);
        cells.draw_bar(&mut picture, (range, &self.measure), |share| self.color(share))?;
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart(number: usize, value: impl Fn(usize, usize) -> f64) -> HeatMap {
        HeatMap {
            title: "H".into(),
            measure: "disagreement & more".into(),
            names: (0..number).map(|i| format!("m{i}")).collect(),
            values: (0..number).map(|i| (0..number).map(|j| value(i.min(j), i.max(j))).collect()).collect(),
            center: None,
        }
    }

    #[test]
    fn cells_have_values_and_colors_by_their_place_in_the_range() {
        // .1 is the least, .5 the most, .3 in the middle.
        let c = chart(3, |i, j| [[9.0, 0.1, 0.3], [9.0, 9.0, 0.5], [9.0; 3]][i][j]);
        let svg = inspect(&c);
        for (text, color) in [("0.10", "#F7FBFF"), ("0.30", "#6BAED6"), ("0.50", "#08306B")] {
            assert_eq!(texts(&svg).iter().filter(|t| **t == text).count(), 2, "{text}");
            assert_eq!(count(&svg, &["<rect", "height=\"338\"", color]), 2, "{text}");
        }
        assert!(svg.contains("disagreement &amp; more\n") && !svg.contains("9.0"));
        // Around .2, .5 is the farthest value.
        let svg = inspect(&HeatMap { center: Some(0.2), ..c });
        assert_eq!(count(&svg, &["<rect", "height=\"338\"", "#B2182B"]), 2);
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(0, |_, _| 0.0)).contains("names of the heat map must be 1 to 200"));
        assert!(fault(&chart(2, |_, _| f64::NAN)).contains("value of pair 0, 1"));
        let mut c = chart(3, |_, _| 0.5);
        c.values[2][0] = 0.6;
        assert!(fault(&c).contains("value of pair 0, 2 must be 0.6, as that of pair 2, 0, but is 0.5"));
        c.values[2].pop();
        assert!(fault(&c).contains("row 2 of the heat map must be 3, one for each name"));
        c.values.pop();
        assert!(fault(&c).contains("number of rows of the heat map"));
        let center = HeatMap { center: Some(f64::INFINITY), ..chart(2, |_, _| 0.5) };
        assert!(fault(&center).contains("center"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let mut long = chart(5, |i, j| (i + j) as f64);
        long.names = vec!["a very long name ".repeat(30); 5];
        let mut centered = chart(3, |_, _| 1e9);
        centered.center = Some(1e9);
        let diagonal = chart(2, |i, j| if i == j { f64::NAN } else { 0.3 });
        let large = chart(200, |i, j| (i * j) as f64 * 1e-9);
        for c in [chart(1, |_, _| 1.0), chart(4, |_, _| 0.0), long, centered, diagonal, large] {
            inspect(&c);
        }
        inspect(&chart(3, |i, j| if i + j == 1 { -1e300 } else { 1e300 }));
    }
}
