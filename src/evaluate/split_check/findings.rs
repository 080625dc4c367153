//! What a check of a split found, in words.
use crate::evaluate::split_check::{Duplicate, SplitCheck};
use std::fmt;

/// The level at which a difference is a finding.
const LEVEL: f64 = 0.05;
/// The most rows, groups or columns that a finding lists.
const LISTED: usize = 5;

impl SplitCheck {
    /// What was found, one sentence each: rows, groups and inputs on both sides, and differences of class
    /// shares and columns at the 5 % level. Empty if nothing was.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut found = vec![];
        let numbers = |numbers: &[u32]| list(numbers, |number| number.to_string());
        match &*self.on_both_sides {
            [] => {}
            [row] => found.push(format!("Row {row} is both a training row and a test row.")),
            rows => {
                found.push(format!(
                    "{} rows are both training rows and test rows: {}.",
                    rows.len(),
                    numbers(rows)
                ));
            }
        }
        match &*self.groups_on_both_sides {
            [] => {}
            [group] => found.push(format!("Group {group} has rows on both sides.")),
            groups => {
                found.push(format!("{} groups have rows on both sides: {}.", groups.len(), numbers(groups)))
            }
        }
        found.extend(self.duplicates_in_words());
        found.extend(self.classes_in_words());
        found.extend(self.drift_in_words());
        found
    }

    fn duplicates_in_words(&self) -> Option<String> {
        let pair = |d: &Duplicate| format!("test row {} = training row {}", d.test, d.train);
        let (count, other) = match &*self.duplicates {
            [] => return None,
            all => (all.len(), all.iter().filter(|d| !d.same_target).count()),
        };
        let have = if count == 1 { "has" } else { "have" };
        let rows = self.test_rows;
        let pairs = list(&self.duplicates, pair);
        let targets = match other {
            0 => String::new(),
            1 => "; 1 of them with another target".into(),
            other => format!("; {other} of them with another target"),
        };
        Some(format!("{count} of {rows} test rows {have} the inputs of a training row ({pairs}){targets}."))
    }

    fn classes_in_words(&self) -> Option<String> {
        let shares = self.classes.as_ref().filter(|shares| shares.homogeneity.p_value <= LEVEL)?;
        let pairs = shares.train.iter().zip(&shares.test).enumerate();
        let (class, (train, test)) =
            pairs.max_by(|(_, (a, b)), (_, (c, d))| (*a - *b).abs().total_cmp(&(*c - *d).abs()))?;
        let p = shares.homogeneity.p_value;
        Some(format!(
            "The class shares differ (chi-squared test, p = {p:.2e}), above all that of class {class}: {:.1} % of the \
             training rows and {:.1} % of the test rows.",
            100. * train,
            100. * test
        ))
    }

    fn drift_in_words(&self) -> Option<String> {
        let mut columns: Vec<_> = self.drifting(LEVEL).collect();
        columns.sort_by(|a, b| b.distance.total_cmp(&a.distance));
        let (count, of) = (columns.len(), self.columns.len());
        let verb = match count {
            0 => return None,
            1 => "is",
            _ => "are",
        };
        let largest =
            list(&columns, |c| format!("{} (D = {:.3}, p = {:.2e})", c.column, c.distance, c.holm_p_value));
        Some(format!(
            "{count} of {of} columns {verb} distributed differently on both sides (Kolmogorov–Smirnov test, Holm's \
             correction): {largest}."
        ))
    }
}

/// The first elements, separated by commas, and how many more there are.
fn list<T>(all: &[T], text: impl Fn(&T) -> String) -> String {
    let shown = all.iter().take(LISTED).map(text).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The findings, one a line.
impl fmt::Display for SplitCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let findings = self.findings();
        if findings.is_empty() {
            let (train, test) = (self.train_rows, self.test_rows);
            return write!(
                f,
                "Nothing was found in the split of {train} training rows and {test} test rows."
            );
        }
        f.write_str(&findings.join("\n"))
    }
}
