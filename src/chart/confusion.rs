//! Which classes are taken for which.
use crate::{
    chart::{
        cells::{Cells, MOST},
        check_length, check_number,
        picture::{Anchor, Draw, Drawn, Picture},
        scale::Range,
        style::{sequential, EDGE, FAINT, INK, NAME, TICK, TOP, WIDTH},
        Chart,
    },
    Error, Result,
};

/// A confusion matrix: how many rows of each true class are predicted as each class.
///
/// The colour of a cell is its share of the rows of its true class. Cells have their count and, where there is
/// room, the share in percent; from about 30 classes on only the colour. An empty cell stands for zero. The
/// line below the title has the accuracy.
///
/// Use it to see which classes are confused. For more than 200 classes, leave out those that are hardly ever
/// confused, or join them.
///
/// [`Chart::check`] fails when there are no classes or more than 200, `counts` is not a square with a row for
/// each class, all counts are zero, or their sum overflows.
///
/// ```
/// use candle_ensemble::chart::{Chart, ConfusionMatrix};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("confusion.svg");
/// ConfusionMatrix {
///     title: "Iris: bagging of 10, mean".into(),
///     classes: ["setosa", "versicolor", "virginica"].map(String::from).to_vec(),
///     counts: vec![vec![50, 0, 0], vec![0, 47, 3], vec![0, 2, 48]],
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// The title above the chart.
    pub title: String,
    /// The names of the classes, 1 to 200.
    pub classes: Vec<String>,
    /// `counts[t][p]` rows of true class `t` are predicted as class `p`.
    pub counts: Vec<Vec<u64>>,
}

impl Chart for ConfusionMatrix {
    fn check(&self) -> Result<()> {
        let classes = self.classes.len();
        check_number("classes of the confusion matrix", 1..=MOST, classes)?;
        check_length("the number of rows of the confusion matrix", "class", classes, self.counts.len())?;
        for (t, row) in self.counts.iter().enumerate() {
            check_length(format!("the number of counts of true class {t}"), "class", classes, row.len())?;
        }
        let total = self.counts.iter().flatten().try_fold(0u64, |sum, &n| sum.checked_add(n));
        match total {
            Some(0) => Err(Error::invalid("the sum of the counts", "above 0", 0)),
            None => Err(Error::invalid("the sum of the counts", "below 2^64", "larger")),
            Some(_) => Ok(()),
        }
    }
}

impl Draw for ConfusionMatrix {
    fn picture(&self) -> Drawn<Picture> {
        let cells = Cells::new(&self.classes, TOP + 28.0, true)?;
        let mut picture = Picture::new(WIDTH, cells.bottom() + 34.0);
        picture.title(&self.title)?;
        picture.text(self.summary(), (EDGE, TOP + 2.0), TICK, Anchor::Left);
        let ground = sequential(0.0);
        cells.fill_all(&mut picture, ground);
        let shares = self.shares();
        for (t, row) in shares.iter().enumerate() {
            match row {
                Some(row) => {
                    for (p, &share) in row.iter().enumerate().filter(|(_, s)| **s > 0.0) {
                        cells.fill(&mut picture, t, p, sequential(share));
                    }
                }
                // Grey: there are no rows of this class.
                None => (0..self.classes.len()).for_each(|p| cells.fill(&mut picture, t, p, FAINT)),
            }
        }
        if cells.cell >= 8.0 {
            (0..self.classes.len()).for_each(|t| cells.outline(&mut picture, t, t, INK));
        }
        self.write_counts(&mut picture, &cells, &shares)?;
        cells.draw_names(&mut picture);
        cells.name_axes(&mut picture, "true class", "predicted class")?;
        let percent = Range { low: 0.0, high: 100.0 };
        cells.draw_bar(&mut picture, (percent, "% of the true class"), sequential)?;
        Ok(picture)
    }
}

impl ConfusionMatrix {
    /// The counts divided by the sum of their row; none for a row without rows.
    fn shares(&self) -> Vec<Option<Vec<f64>>> {
        let share = |row: &Vec<u64>| {
            let total: u64 = row.iter().sum();
            (total > 0).then(|| row.iter().map(|&n| n as f64 / total as f64).collect())
        };
        self.counts.iter().map(share).collect()
    }

    fn summary(&self) -> String {
        let total: u64 = self.counts.iter().flatten().sum();
        let right: u64 = self.counts.iter().enumerate().filter_map(|(c, row)| row.get(c)).sum();
        format!("accuracy {:.2} % of {total} rows; an empty cell is 0", 100.0 * right as f64 / total as f64)
    }

    fn write_counts(&self, picture: &mut Picture, cells: &Cells, shares: &[Option<Vec<f64>>]) -> Drawn {
        let text = |n: &u64| n.to_string();
        let counts: Vec<Vec<String>> = self.counts.iter().map(|r| r.iter().map(text).collect()).collect();
        let both = cells.cell >= 46.0;
        let all = counts.iter().flatten().map(String::as_str);
        let Some(pen) = cells.pen(all, if both { 2.0 } else { 1.0 })? else { return Ok(()) };
        for (t, row) in counts.iter().enumerate() {
            for (p, count) in row.iter().enumerate().filter(|(_, c)| *c != "0") {
                let share = shares.get(t).and_then(|r| r.as_ref()?.get(p)).copied().unwrap_or(0.0);
                let ground = sequential(share);
                let up = if both { -8.0 } else { 0.0 };
                cells.write(picture, (t, p), up, (count, pen), ground);
                if both {
                    let percent = format!("{:.*} %", usize::from(share < 0.0995), 100.0 * share);
                    cells.write(picture, (t, p), 9.0, (&percent, NAME.sized(12.0)), ground);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart(counts: Vec<Vec<u64>>) -> ConfusionMatrix {
        let classes = (0..counts.len()).map(|c| format!("class <{c}>")).collect();
        ConfusionMatrix { title: "M".into(), classes, counts }
    }

    fn banded(classes: u64) -> ConfusionMatrix {
        let count = |t: u64, p: u64| if t == p { 90 + t } else { u64::from(t.abs_diff(p) == 1) * 5 };
        chart((0..classes).map(|t| (0..classes).map(|p| count(t, p)).collect()).collect())
    }

    #[test]
    fn cells_have_counts_and_shares_of_the_row() {
        let svg = inspect(&chart(vec![vec![3, 1], vec![0, 4]]));
        let texts = texts(&svg);
        for text in ["3", "75 %", "1", "25 %", "4", "100 %", "accuracy 87.50 % of 8 rows; an empty cell is 0"]
        {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        assert!(!texts.contains(&"0 %"));
        // 75 % lies at a stop of the scale, 100 % at its end.
        assert_eq!(count(&svg, &["<rect", "width=\"338\"", "#2171B5"]), 1);
        assert_eq!(count(&svg, &["<rect", "width=\"338\"", "#08306B"]), 1);
        assert_eq!(texts.iter().filter(|t| **t == "class &lt;1&gt;").count(), 2);
    }

    #[test]
    fn thirty_classes_have_counts_and_two_hundred_only_colors() {
        let svg = inspect(&banded(30));
        assert_eq!(texts(&svg).iter().filter(|t| **t == "5").count(), 58);
        assert_eq!(texts(&svg).iter().filter(|t| t.starts_with("class")).count(), 60);
        let svg = inspect(&banded(200));
        assert!(texts(&svg).len() < 150);
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("classes of the confusion matrix must be 1 to 200, but is 0"));
        assert!(fault(&chart(vec![vec![0, 0], vec![0, 0]])).contains("sum of the counts must be above 0"));
        assert!(
            fault(&chart(vec![vec![1, 2], vec![3]])).contains("true class 1 must be 2, one for each class")
        );
        assert!(fault(&chart(vec![vec![u64::MAX, 1], vec![0, 0]])).contains("below 2^64"));
        let mut short = banded(3);
        short.counts.pop();
        assert!(fault(&short).contains("number of rows"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let mut long = banded(4);
        long.classes = vec!["a very long name of a class ".repeat(30); 4];
        for c in [chart(vec![vec![7]]), chart(vec![vec![u64::MAX / 2, 1], vec![0, 0]]), long] {
            inspect(&c);
        }
    }
}
