//! Which rows combiners are fitted on, and which they are scored on.
use super::{args::Args, labels::Groups};
use std::ops::Range;

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// `A..B`, either end may be left out.
    Range(Option<usize>, Option<usize>),
    /// Every second row, from 0 or 1.
    Even,
    Odd,
    /// All of them.
    All,
}

impl Rows {
    pub fn positions(&self, what: &str, rows: usize) -> Result<Vec<u32>, String> {
        let range: Range<usize> = match self {
            Self::Range(from, to) => from.unwrap_or(0)..to.unwrap_or(rows),
            Self::All => 0..rows,
            Self::Even => return Ok((0..rows as u32).step_by(2).collect()),
            Self::Odd if rows < 2 => return Err(format!("{what} odd: there is no odd row, only row 0")),
            Self::Odd => return Ok((1..rows as u32).step_by(2).collect()),
        };
        if range.start >= range.end || range.end > rows {
            let (a, b) = (range.start, range.end);
            return Err(format!("{what} must be a range of the rows 0..{rows}, but is {a}..{b}"));
        }
        Ok((range.start as u32..range.end as u32).collect())
    }
}

impl std::str::FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "even" => return Ok(Self::Even),
            "odd" => return Ok(Self::Odd),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let end = |part: &str| match part {
            "" => Ok(None),
            part => part.parse().map(Some).map_err(|_| format!("{part:?} is not a row number")),
        };
        let (from, to) = text.split_once("..").ok_or("rows are A..B, even, odd or all")?;
        Ok(Self::Range(end(from)?, end(to)?))
    }
}

/// The rows to fit on and the rows to score on.
pub struct Split {
    pub fit: Vec<u32>,
    pub score: Vec<u32>,
}

impl Split {
    /// The rows of the command line. Rows that are not named are the others; if none are named, every second
    /// row or, where there are groups, every second group is fitted on. No row and no group is in both.
    pub fn of(args: &Args, rows: usize, groups: Option<&Groups>) -> Result<Self, String> {
        let named = |what: &str, which: &Option<Rows>| {
            which.as_ref().map(|which| which.positions(what, rows)).transpose()
        };
        let fit = named("--fit-rows", &args.fit_rows)?;
        let score = named("--score-rows", &args.score_rows)?;
        let split = match (fit, score, groups) {
            (Some(fit), Some(score), _) => Self { fit, score },
            (Some(fit), None, _) => Self { score: others(&fit, rows, "--fit-rows")?, fit },
            (None, Some(score), _) => Self { fit: others(&score, rows, "--score-rows")?, score },
            (None, None, Some(groups)) => Self::by_groups(groups)?,
            (None, None, None) if rows < 2 => {
                return Err("there is only one row, but combiners are scored on other rows than they are \
                            fitted on: two or more are needed"
                    .into())
            }
            (None, None, None) => Self {
                fit: Rows::Even.positions("--fit-rows", rows)?,
                score: Rows::Odd.positions("--score-rows", rows)?,
            },
        };
        split.check(groups)?;
        Ok(split)
    }

    /// Every second group, in the order in which they begin.
    fn by_groups(groups: &Groups) -> Result<Self, String> {
        let mut order: Vec<u32> = vec![];
        let mut place = vec![None; groups.names.len()];
        for group in &groups.of_row {
            place[*group as usize].get_or_insert_with(|| {
                order.push(*group);
                order.len() - 1
            });
        }
        if let [only] = groups.names.as_slice() {
            return Err(format!(
                "all rows are of group {only}, but combiners are scored on other groups than they are fitted \
                 on: two or more are needed"
            ));
        }
        let is_even = |row: &u32| {
            let group = groups.of_row[*row as usize] as usize;
            place[group].is_some_and(|place| place % 2 == 0)
        };
        let (fit, score) = (0..groups.of_row.len() as u32).partition(is_even);
        Ok(Self { fit, score })
    }

    fn check(&self, groups: Option<&Groups>) -> Result<(), String> {
        let both = self.score.iter().filter(|row| self.fit.binary_search(row).is_ok()).count();
        if both > 0 {
            return Err(format!("--fit-rows and --score-rows must have no row in common, but have {both}"));
        }
        let Some(groups) = groups else { return Ok(()) };
        let mut fitted = vec![false; groups.names.len()];
        self.fit.iter().for_each(|row| fitted[groups.of_row[*row as usize] as usize] = true);
        let common = self.score.iter().map(|row| groups.of_row[*row as usize] as usize).find(|g| fitted[*g]);
        match common {
            None => Ok(()),
            Some(group) => Err(format!(
                "--fit-rows and --score-rows must have no group in common, but both have rows of group {}: \
                 give rows that keep each group whole, or neither flag",
                groups.names[group]
            )),
        }
    }
}

/// The rows that are not among `rows`.
fn others(some: &[u32], rows: usize, flag: &str) -> Result<Vec<u32>, String> {
    let others: Vec<u32> = (0..rows as u32).filter(|row| some.binary_search(row).is_err()).collect();
    match others.is_empty() {
        true => Err(format!("{flag} must leave rows for the other flag, but names all {rows}")),
        false => Ok(others),
    }
}
