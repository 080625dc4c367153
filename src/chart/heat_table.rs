//! A measure for each pair of two lists.
use crate::{
    chart::{
        cells::{Cells, MOST},
        check_length, check_number, drawable,
        picture::{Draw, Drawn, Picture, SPARE},
        scale::{short, Range},
        style::{sequential, AXIS, EDGE, GRID, TOP, WIDTH},
        Chart,
    },
    Result,
};

/// A heat map with a cell for each pair of a row and a column, such as a learning rate and a batch size.
///
/// More is darker. A cell without a value is grey and has the text `missing`. For pairs of members of one
/// ensemble use a [`HeatMap`](super::HeatMap).
///
/// [`Chart::check`] fails when there are no rows or columns or more than 200 of either, `values` does not
/// have a row for each of `rows` and a value for each of `columns`, or a value is not finite or beyond
/// ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, HeatTable};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sensitivity.svg");
/// HeatTable {
///     title: "Digits: loss by learning rate and batch size".into(),
///     measure: "validation loss (lower is better)".into(),
///     rows: ("learning rate".into(), ["0.001", "0.01", "1"].map(String::from).to_vec()),
///     columns: ("batch size".into(), ["16", "64"].map(String::from).to_vec()),
///     values: vec![vec![Some(0.4), Some(0.7)], vec![Some(0.2), Some(0.3)], vec![None, None]],
///     missing: "diverged".into(),
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HeatTable {
    /// The title above the chart.
    pub title: String,
    /// Label of the colour bar: the measure, its unit, and which direction is better.
    pub measure: String,
    /// What the rows are, and the name of each, 1 to 200.
    pub rows: (String, Vec<String>),
    /// What the columns are, and the name of each, 1 to 200.
    pub columns: (String, Vec<String>),
    /// The values of each row, in the order of the columns. `None` where there is no value.
    pub values: Vec<Vec<Option<f64>>>,
    /// The text of cells without a value, such as "diverged".
    pub missing: String,
}

impl Chart for HeatTable {
    fn check(&self) -> Result<()> {
        let (rows, columns) = (self.rows.1.len(), self.columns.1.len());
        check_number("rows of the heat table", 1..=MOST, rows)?;
        check_number("columns of the heat table", 1..=MOST, columns)?;
        check_length("the number of rows of values of the heat table", "row", rows, self.values.len())?;
        for (i, row) in self.values.iter().enumerate() {
            let what = format!("the number of values in row {i} of the heat table");
            check_length(what, "column", columns, row.len())?;
        }
        self.cells().try_for_each(|(i, j, value)| match value {
            Some(value) => drawable(value, || format!("value of row {i}, column {j}")),
            None => Ok(()),
        })
    }
}

impl HeatTable {
    fn cells(&self) -> impl Iterator<Item = (usize, usize, Option<f64>)> {
        let row = |(i, row): (usize, &Vec<Option<f64>>)| {
            row.iter().enumerate().map(|(j, value)| (i, j, *value)).collect::<Vec<_>>()
        };
        self.values.iter().enumerate().flat_map(row)
    }

    /// The values at both ends of the colours.
    fn range(&self) -> Range {
        let range = Range::of(self.cells().filter_map(|(.., value)| value));
        let range = range.unwrap_or(Range { low: 0.0, high: 1.0 });
        if range.span() > 1e-9 * range.low.abs().max(range.high.abs()) {
            range
        } else {
            range.padded(0.0)
        }
    }
}

impl Draw for HeatTable {
    fn picture(&self) -> Drawn<Picture> {
        let cells = Cells::table(&self.rows.1, &self.columns.1, TOP + 6.0, true)?;
        let mut picture = Picture::new(WIDTH, cells.bottom().max(TOP + 120.0) + 40.0);
        picture.title(&self.title)?;
        let range = self.range();
        let ground = |value: Option<f64>| value.map_or(GRID, |value| sequential(range.share(value)));
        for (i, j, value) in self.cells() {
            cells.fill(&mut picture, i, j, ground(value));
        }
        let text = |value: Option<f64>| match value {
            Some(value) => short(value, 25.0 * range.span()),
            None => self.missing.clone(),
        };
        let texts: Vec<String> = self.cells().map(|(.., value)| text(value)).collect();
        if let Some(pen) = cells.pen(texts.iter().map(String::as_str), 1.0)? {
            for ((i, j, value), text) in self.cells().zip(&texts) {
                cells.write(
                    &mut picture,
                    (i, j),
                    0.0,
                    (&pen.fit(text, cells.cell / SPARE)?, pen),
                    ground(value),
                );
            }
        }
        cells.draw_names(&mut picture);
        let fit = |label: &str| AXIS.fit(label, (WIDTH - 2.0 * EDGE) / 3.0);
        cells.name_axes(&mut picture, &fit(&self.rows.0)?, &fit(&self.columns.0)?)?;
        cells.draw_bar(&mut picture, (range, &self.measure), sequential)?;
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart(values: Vec<Vec<Option<f64>>>) -> HeatTable {
        let names = |of: &str, number| (of.to_string(), (0..number).map(|i| format!("{of}{i}")).collect());
        HeatTable {
            title: "T".into(),
            measure: "loss & more".into(),
            rows: names("r", values.len()),
            columns: names("c", values.first().map_or(0, Vec::len)),
            values,
            missing: "none".into(),
        }
    }

    #[test]
    fn cells_have_values_and_colors_by_their_place_in_the_range() {
        let c = chart(vec![vec![Some(0.1), Some(0.5), Some(0.3)], vec![Some(0.3), None, Some(0.5)]]);
        let svg = inspect(&c);
        let texts = texts(&svg);
        for (text, color, number) in
            [("0.10", "#F7FBFF", 1), ("0.30", "#6BAED6", 2), ("0.50", "#08306B", 2), ("none", "#E4E4E4", 1)]
        {
            assert_eq!(texts.iter().filter(|t| **t == text).count(), number, "{text} in {texts:?}");
            assert_eq!(count(&svg, &["<rect", "height=\"338\"", color]), number, "{text}");
        }
        for text in ["r", "c", "r1", "c2", "loss &amp; more"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("rows of the heat table must be 1 to 200"));
        assert!(fault(&chart(vec![vec![]])).contains("columns of the heat table"));
        assert!(fault(&chart(vec![vec![Some(f64::NAN)]])).contains("value of row 0, column 0"));
        let mut c = chart(vec![vec![Some(1.0)], vec![Some(2.0)]]);
        c.values[1].clear();
        assert!(fault(&c).contains("values in row 1 of the heat table must be 1, one for each column"));
        c.values.pop();
        assert!(fault(&c).contains("rows of values of the heat table"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let mut long = chart(vec![vec![Some(1.0), None]; 3]);
        long.rows.0 = "a very long label ".repeat(30);
        long.columns.1 = vec!["a very long name ".repeat(30); 2];
        long.missing = "not a number at all".into();
        let large = chart(vec![vec![Some(1e300); 200]; 150]);
        for c in [chart(vec![vec![None; 4]; 2]), chart(vec![vec![Some(0.0)]]), long, large] {
            inspect(&c);
        }
    }
}
