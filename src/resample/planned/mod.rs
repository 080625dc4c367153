//! The rows of a run, as a list or as the rule that draws them.
mod blocks;
mod draw;
mod row_units;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

pub(crate) use draw::{Draw, How, Side};
pub(crate) use row_units::RowUnits;
pub(crate) use watch::Watch;

use crate::{
    data::{Dataset, RowBitmap},
    Error, Result, Rows,
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// Rows, one after the other.
pub(crate) type RowIter<'a> = Box<dyn Iterator<Item = u32> + Send + 'a>;

/// The most steps of a rule: its base, the validation rows, and reserved rows.
const MOST_STEPS: usize = 8;

/// The rows of a run in a plan: a list of them, or the rule that draws them.
///
/// The [resamplings](crate::resample) of the library plan rules, which consist of a seed and a few parameters. So a plan of
/// 100,000 runs over 10⁸ rows takes a few hundred bytes a run, in memory and on disk, and the rows of a run are drawn where
/// they are needed. A resampling of your own returns lists, which convert into this type.
///
/// The rows of a rule come in increasing order, a row as often as it is drawn. Data of more than 65,536 rows is drawn
/// block by block of 65,536 rows: [`iter`](Self::iter) needs the memory of one block (of one block of each stratum; a
/// number for each group). A rule that draws by strata or groups needs those of the data, so a plan that was read
/// from a file must be [bound](crate::plan::Plan::bind) to its data first.
///
/// Two are equal if they are the same list or the same rule. A comparison with a list compares the rows.
///
/// ```
/// use candle_ensemble::resample::PlannedRows;
///
/// let rows = PlannedRows::from(0..4);
/// assert_eq!(rows.len()?, 4);
/// assert_eq!(rows.iter()?.sum::<u32>(), 6);
/// assert_eq!(rows, [0, 1, 2, 3]);
/// assert_eq!(PlannedRows::from(vec![7, 7, 9]).bitmap()?, [7, 9]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRows(Kind);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    List(Rows),
    Rule(#[serde(with = "shared")] Arc<Rule>),
}

/// Rows to begin with, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rule {
    base: Base,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Base {
    /// Sorted rows.
    List(Rows),
    Range(Range<u32>),
    Draw(Draw),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    /// Removes all copies of these rows.
    Without(Base),
    /// Adds these rows.
    With(Base),
    /// Keeps a side of a split of the distinct rows.
    Watch(Watch, Side),
}

impl PlannedRows {
    /// No rows.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The rows of a draw.
    pub(crate) fn drawn(units: &RowUnits, how: How, seed: crate::Seed) -> Self {
        Self::rule(Base::Draw(Draw { units: units.clone(), how, seed }))
    }

    fn rule(base: Base) -> Self {
        Self(Kind::Rule(Arc::new(Rule { base, steps: vec![] })))
    }

    /// The rows: those of a list in its order, and those of a rule in increasing order, each as often as it is trained on.
    ///
    /// # Errors
    /// When the plan was read from a file, its rows are drawn by strata or groups, and it has not been
    /// [bound](crate::plan::Plan::bind) to its data. When the rows cannot be split as the plan says.
    pub fn iter(&self) -> Result<Box<dyn Iterator<Item = u32> + Send + '_>> {
        match &self.0 {
            Kind::List(rows) => Ok(Box::new(rows.iter().copied())),
            Kind::Rule(rule) => rule.iter(rule.steps.len()),
        }
    }

    /// The rows as a list, 4 bytes each.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn to_vec(&self) -> Result<Rows> {
        match &self.0 {
            Kind::List(rows) => Ok(rows.clone()),
            Kind::Rule(_) => Ok(self.iter()?.collect()),
        }
    }

    /// The distinct rows as a set.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn bitmap(&self) -> Result<RowBitmap> {
        match &self.0 {
            Kind::Rule(rule) if rule.steps.is_empty() => match &rule.base {
                Base::Range(rows) => Ok(RowBitmap::range(rows.clone())),
                _ => Ok(self.iter()?.collect()),
            },
            _ => Ok(self.iter()?.collect()),
        }
    }

    /// The number of rows, each as often as it is trained on. Most rules know it without drawing.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn len(&self) -> Result<usize> {
        match &self.0 {
            Kind::List(rows) => Ok(rows.len()),
            Kind::Rule(rule) if rule.steps.is_empty() => rule.base.len(),
            Kind::Rule(_) => Ok(self.iter()?.count()),
        }
    }

    /// Whether there are no rows. A rule draws one row at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Kind::List(rows) if rows.is_empty())
    }

    /// The first rows, at most `most`.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn first(&self, most: usize) -> Result<Rows> {
        Ok(self.iter()?.take(most).collect())
    }

    /// One of the rows, or of those that they are drawn from: checks that look at one row need no draw.
    pub(crate) fn a_row(&self) -> Option<u32> {
        match &self.0 {
            Kind::List(rows) => rows.first().copied(),
            Kind::Rule(rule) => match &rule.base {
                Base::List(rows) => rows.first().copied(),
                Base::Range(rows) => Some(rows.start),
                Base::Draw(_) => Some(0),
            },
        }
    }

    /// The number of rows, or of those that some are removed from.
    pub(crate) fn at_most(&self) -> Result<usize> {
        match &self.0 {
            Kind::List(rows) => Ok(rows.len()),
            Kind::Rule(rule) => rule.base.len(),
        }
    }

    /// Whether a row is one of them. It draws the rows before it: ask the [set](Self::bitmap) about many rows.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn contains(&self, row: u32) -> Result<bool> {
        match &self.0 {
            Kind::List(rows) => Ok(rows.contains(&row)),
            Kind::Rule(_) => Ok(self.iter()?.find(|other| *other >= row) == Some(row)),
        }
    }

    /// A row that is not below `rows`, the number of rows of the data.
    pub(crate) fn out_of_range(&self, rows: u32) -> Option<u32> {
        match &self.0 {
            Kind::List(list) => list.iter().find(|row| **row >= rows).copied(),
            Kind::Rule(rule) => {
                let added = rule.steps.iter().filter_map(|step| match step {
                    Step::With(base) => base.out_of_range(rows),
                    Step::Without(_) | Step::Watch(..) => None,
                });
                rule.base.out_of_range(rows).into_iter().chain(added).next()
            }
        }
    }

    /// The rows to train on and those to watch.
    pub(crate) fn split(&self, watch: &Watch) -> Result<(Self, Self)> {
        let Kind::List(rows) = &self.0 else {
            let [train, valid] =
                [Side::Train, Side::Test].map(|side| self.then(Step::Watch(watch.clone(), side)));
            // What cannot be split is refused when it is planned, if it is small enough to look at.
            if watch.units.rows() <= SMALL {
                valid.first(1)?;
            }
            return Ok((train, valid));
        };
        let watched = watch.of_list(rows)?;
        let train = rows.iter().copied().filter(|row| watched.binary_search(row).is_err()).collect();
        Ok((Self(Kind::List(train)), Self(Kind::List(watched))))
    }

    /// The rows of which these are the two sides of a split; `None` where they are not. Their set is drawn faster
    /// than those of the sides.
    pub(crate) fn before_split(train: &Self, valid: &Self) -> Option<Self> {
        let (Kind::Rule(train), Kind::Rule(valid)) = (&train.0, &valid.0) else { return None };
        let (mut steps, mut splits) = (vec![], 0);
        for (a, b) in train.steps.iter().zip(&valid.steps) {
            match (a, b) {
                (Step::Watch(a, Side::Train), Step::Watch(b, Side::Test)) if a == b => splits += 1,
                (Step::Without(a), Step::Without(b)) if a == b => steps.push(Step::Without(a.clone())),
                _ => return None,
            }
        }
        let are_sides = splits == 1 && train.base == valid.base && train.steps.len() == valid.steps.len();
        are_sides.then(|| Self(Kind::Rule(Arc::new(Rule { base: train.base.clone(), steps }))))
    }

    /// The rows of both, in increasing order.
    pub(crate) fn with(&self, other: &Self) -> Result<Self> {
        if other.is_empty() {
            return Ok(self.clone());
        }
        let mut others = other.to_vec()?;
        others.sort_unstable();
        match &self.0 {
            Kind::Rule(_) => Ok(self.then(Step::With(Base::List(others)))),
            Kind::List(rows) => {
                others.extend(rows);
                others.sort_unstable();
                Ok(Self(Kind::List(others)))
            }
        }
    }

    /// The rows without those that `removed` draws, which `set` has as a set where it is needed.
    pub(crate) fn without(&self, removed: &Self, set: &mut Option<RowBitmap>) -> Result<Self> {
        let base = match (&self.0, &removed.0) {
            (Kind::Rule(_), Kind::List(rows)) => Base::List(rows.clone()),
            (Kind::Rule(_), Kind::Rule(rule)) if rule.steps.is_empty() => rule.base.clone(),
            (Kind::Rule(_), Kind::Rule(_)) => Base::List(removed.to_vec()?),
            (Kind::List(rows), _) => {
                let set = match set {
                    Some(set) => set,
                    None => set.insert(removed.bitmap()?),
                };
                return Ok(Self(Kind::List(
                    rows.iter().copied().filter(|row| !set.contains(*row)).collect(),
                )));
            }
        };
        let rest = self.then(Step::Without(base));
        let are_left = self.are_surely_left(removed)? || rest.iter()?.next().is_some();
        Ok(if are_left { rest } else { Self::none() })
    }

    /// Whether some rows are left when those of `removed`, which are drawn at random, are removed from these: `false` where
    /// that must be looked at.
    ///
    /// All of `m` distinct rows are among `r` of `N` that are drawn independently with probability `(r / N)ᵐ` at most. That
    /// is taken for impossible below 2⁻²⁰⁰. A sample with replacement has more distinct rows than a fourth of its draws.
    fn are_surely_left(&self, removed: &Self) -> Result<bool> {
        let (Kind::Rule(rule), Kind::Rule(removed)) = (&self.0, &removed.0) else { return Ok(false) };
        let Base::Draw(Draw { units, .. }) = &removed.base else { return Ok(false) };
        if units.are_groups() {
            return Ok(false);
        }
        let mut least = rule.base.len()?.min(units.rows() as usize) as f64 / 4.;
        for step in &rule.steps {
            match step {
                Step::Watch(watch, Side::Train) => least *= 1. - watch.share,
                Step::Watch(watch, Side::Test) => least *= watch.share,
                Step::With(_) => {}
                Step::Without(_) => return Ok(false),
            }
        }
        let share = removed.base.len()? as f64 / f64::from(units.rows());
        Ok(least * share.log2() < -200.)
    }

    fn then(&self, step: Step) -> Self {
        let rule = match &self.0 {
            Kind::List(rows) => Rule { base: Base::List(rows.clone()), steps: vec![step] },
            Kind::Rule(rule) => {
                let steps = rule.steps.iter().cloned().chain([step]).collect();
                Rule { base: rule.base.clone(), steps }
            }
        };
        Self(Kind::Rule(Arc::new(rule)))
    }

    /// Whether the strata and groups of the data are there, where the rows are drawn by them.
    pub(crate) fn is_bound(&self) -> bool {
        let Kind::Rule(rule) = &self.0 else { return true };
        let step = |step: &Step| match step {
            Step::Without(base) | Step::With(base) => base.is_bound(),
            Step::Watch(watch, _) => watch.units.is_bound(),
        };
        rule.base.is_bound() && rule.steps.iter().all(step)
    }

    /// The same rows with the strata and groups of the data. `known` are those that have been listed already.
    pub(crate) fn bound(&self, data: &dyn Dataset, known: &mut Vec<RowUnits>) -> Result<Self> {
        let Kind::Rule(rule) = &self.0 else { return Ok(self.clone()) };
        let base = rule.base.bound(data, known)?;
        let mut step = |step: &Step| {
            Ok(match step {
                Step::Without(base) => Step::Without(base.bound(data, known)?),
                Step::With(base) => Step::With(base.bound(data, known)?),
                Step::Watch(watch, side) => {
                    Step::Watch(Watch { units: watch.units.bound(data, known)?, ..watch.clone() }, *side)
                }
            })
        };
        let steps = rule.steps.iter().map(&mut step).collect::<Result<_>>()?;
        Ok(Self(Kind::Rule(Arc::new(Rule { base, steps }))))
    }
}

/// Rows of data that is split once when it is planned, to see whether it can be.
const SMALL: u32 = 1024;

impl Rule {
    /// The rows after the first `steps` steps.
    fn iter(&self, steps: usize) -> Result<RowIter<'_>> {
        if self.steps.len() > MOST_STEPS {
            let must = format!("at most {MOST_STEPS}");
            return Err(Error::invalid("the number of steps of a rule for rows", must, self.steps.len()));
        }
        let before = || self.iter(steps - 1);
        match steps.checked_sub(1).and_then(|last| self.steps.get(last)) {
            None => self.base.iter(),
            Some(Step::Without(removed)) => Ok(without(before()?, removed.iter()?)),
            Some(Step::With(added)) => Ok(merged(before()?, added.iter()?)),
            Some(Step::Watch(watch, side)) => watch.side(*side, before),
        }
    }
}

impl Base {
    fn iter(&self) -> Result<RowIter<'_>> {
        match self {
            Self::List(rows) => Ok(Box::new(rows.iter().copied())),
            Self::Range(rows) => Ok(Box::new(rows.clone())),
            Self::Draw(draw) => draw.iter(),
        }
    }

    fn len(&self) -> Result<usize> {
        match self {
            Self::List(rows) => Ok(rows.len()),
            Self::Range(rows) => Ok(rows.len()),
            Self::Draw(draw) => draw.len(),
        }
    }

    fn out_of_range(&self, rows: u32) -> Option<u32> {
        let above = |end: u32| end.checked_sub(1).filter(|last| *last >= rows);
        match self {
            Self::List(list) => list.iter().find(|row| **row >= rows).copied(),
            Self::Range(range) => above(range.end),
            Self::Draw(draw) => above(draw.units.rows()),
        }
    }

    fn is_bound(&self) -> bool {
        match self {
            Self::Draw(draw) => draw.units.is_bound(),
            _ => true,
        }
    }

    fn bound(&self, data: &dyn Dataset, known: &mut Vec<RowUnits>) -> Result<Self> {
        match self {
            Self::Draw(draw) => {
                Ok(Self::Draw(Draw { units: draw.units.bound(data, known)?, ..draw.clone() }))
            }
            other => Ok(other.clone()),
        }
    }
}

/// `rows` without those of `removed`; both are in order.
fn without<'a>(rows: RowIter<'a>, removed: RowIter<'a>) -> RowIter<'a> {
    let mut removed = removed.peekable();
    Box::new(rows.filter(move |row| {
        while removed.next_if(|other| other < row).is_some() {}
        removed.peek() != Some(row)
    }))
}

/// The rows of both in order; both are in order.
fn merged<'a>(a: RowIter<'a>, b: RowIter<'a>) -> RowIter<'a> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    Box::new(std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if y < x => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    }))
}

impl Default for PlannedRows {
    fn default() -> Self {
        Self(Kind::List(Rows::new()))
    }
}

impl From<Rows> for PlannedRows {
    fn from(rows: Rows) -> Self {
        Self(Kind::List(rows))
    }
}

impl From<&[u32]> for PlannedRows {
    fn from(rows: &[u32]) -> Self {
        rows.to_vec().into()
    }
}

impl From<&Rows> for PlannedRows {
    fn from(rows: &Rows) -> Self {
        rows.clone().into()
    }
}

impl From<Range<u32>> for PlannedRows {
    fn from(rows: Range<u32>) -> Self {
        match rows.is_empty() {
            true => Self::none(),
            false => Self::rule(Base::Range(rows)),
        }
    }
}

impl FromIterator<u32> for PlannedRows {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        Self(Kind::List(rows.into_iter().collect()))
    }
}

impl PartialEq<[u32]> for PlannedRows {
    fn eq(&self, other: &[u32]) -> bool {
        self.iter().is_ok_and(|rows| rows.eq(other.iter().copied()))
    }
}

impl PartialEq<&[u32]> for PlannedRows {
    fn eq(&self, other: &&[u32]) -> bool {
        *self == **other
    }
}

impl<const N: usize> PartialEq<[u32; N]> for PlannedRows {
    fn eq(&self, other: &[u32; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq<Rows> for PlannedRows {
    fn eq(&self, other: &Rows) -> bool {
        *self == other[..]
    }
}

/// A shared value, written as the value.
mod shared {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(super) fn serialize<T: Serialize, S: Serializer>(x: &Arc<T>, s: S) -> Result<S::Ok, S::Error> {
        x.as_ref().serialize(s)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(d).map(Arc::new)
    }
}
