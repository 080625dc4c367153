//! Which column of a table is what.
use super::name::{self, Key, Measure, Name, Split};
use crate::{Error, Result};
use std::fmt;

/// The order in which series are kept: training and validation loss, training and validation metric.
const SERIES: [&str; 4] =
    ["the training loss", "the validation loss", "the training metric", "the validation metric"];

/// Measures that may be the loss, the first choice first.
const LOSSES: [Measure; 5] = [Measure::Loss, Measure::Formula, Measure::Mse, Measure::Mae, Measure::Error];

/// Measures that may be the metric, the first choice first.
const METRICS: [Measure; 6] =
    [Measure::Accuracy, Measure::ErrorRate, Measure::Rmse, Measure::Mse, Measure::Error, Measure::Metric];

/// Held-out rows that may be the validation, the first choice first.
const HELD_OUT: [Split; 4] = [Split::Valid, Split::Dev, Split::Eval, Split::Test];

/// Which column of a table is what, by the names of the columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub names: Vec<String>,
    pub epoch: Option<usize>,
    pub step: Option<usize>,
    /// The columns that tell runs apart.
    pub runs: Vec<usize>,
    /// The column that says whether a row is about training or validation.
    pub split: Option<usize>,
    /// The columns of the four series.
    pub series: [Option<usize>; 4],
    /// What the metric's columns measure.
    pub metric: Option<Measure>,
    /// What was taken as what, in sentences.
    pub notes: Vec<String>,
}

impl Layout {
    /// Finds the columns.
    ///
    /// # Errors
    /// When there is neither a loss nor a metric.
    pub(super) fn of(file: &str, names: &[String]) -> Result<Self> {
        let mut layout = Self { names: names.to_vec(), ..Self::default() };
        let mut measured = vec![];
        for (column, text) in names.iter().enumerate() {
            match (name::key(text), name::measure(text)) {
                (Some(Key::Epoch), _) => layout.epoch = layout.epoch.or(Some(column)),
                (Some(Key::Step), _) => layout.step = layout.step.or(Some(column)),
                (Some(Key::Run), _) => layout.runs.push(column),
                (Some(Key::Split), _) => layout.split = layout.split.or(Some(column)),
                (None, Some(name)) => measured.push((column, name)),
                (None, None) => {}
            }
        }
        if measured.iter().any(|(_, name)| name.split.is_some()) {
            // The names say the rows, so that the column counts something else, such as folds.
            layout.runs.extend(layout.split.take());
        }
        layout.choose(&measured);
        if layout.series.iter().all(Option::is_none) {
            let must = "named so that one is the loss or the metric, such as epoch, train_loss, valid_loss";
            return Err(Error::invalid(format!("the columns of {file}"), must, listed(names)));
        }
        layout.describe();
        Ok(layout)
    }

    /// A column with its name, for messages.
    pub(super) fn column(&self, column: usize) -> String {
        format!("column {:?}", self.names.get(column).map_or("", String::as_str))
    }

    fn choose(&mut self, measured: &[(usize, Name)]) {
        let known: Vec<_> = measured.iter().filter(|(_, name)| name.unknown == 0).copied().collect();
        let mut held_out = None;
        // Columns with words that are not known, such as box_loss, only where there are no others.
        for columns in [&known, measured] {
            if let Some((train, valid, split)) = pair(columns, &LOSSES, None).map(|(pair, _)| pair) {
                (self.series[0], self.series[1], held_out) = (train, valid, split);
                break;
            }
        }
        if let Some(((train, valid, _), measure)) = pair(&known, &METRICS, held_out) {
            let loss = [self.series[0], self.series[1]];
            // The error that stands in for the loss tells nothing new; a mean squared error gives its root.
            if measure != Measure::Error || loss != [train, valid] {
                (self.series[2], self.series[3], self.metric) = (train, valid, Some(measure));
            }
        }
        self.unnamed_metric(measured);
    }

    /// A metric that does not say its rows belongs to the training rows in Keras, where the loss does not say
    /// them either. Beside train_loss and valid_loss, as in fastai, it belongs to the validation rows.
    fn unnamed_metric(&mut self, measured: &[(usize, Name)]) {
        let split = |series: Option<usize>| {
            measured.iter().find(|(column, _)| Some(*column) == series).and_then(|(_, name)| name.split)
        };
        let [loss, valid_loss, metric, valid_metric] = self.series;
        if split(loss).is_some() && valid_loss.is_some() && metric.is_some() && split(metric).is_none() {
            (self.series[2], self.series[3]) = (None, valid_metric.or(metric));
        }
    }

    /// Says which column was taken as what.
    fn describe(&mut self) {
        let name = |column: &usize| self.names.get(*column).map_or(String::new(), |name| format!("{name:?}"));
        let mut taken: Vec<String> = SERIES
            .iter()
            .zip(&self.series)
            .filter_map(|(what, column)| Some(format!("{what} is {}", name(column.as_ref()?))))
            .collect();
        taken.extend(self.epoch.iter().map(|column| format!("the epoch is {}", name(column))));
        taken.extend(self.runs.iter().map(|column| format!("runs are told apart by {}", name(column))));
        let mut notes = vec![taken.join(", ")];
        let test = self.series[1]
            .or(self.series[3])
            .and_then(|column| name::measure(self.names.get(column)?)?.split);
        if test == Some(Split::Test) {
            notes.push("the test rows are taken as the validation rows, because there are no others".into());
        }
        let used = |column: &usize| {
            let keys = [self.epoch, self.step, self.split];
            self.series.iter().chain(&keys).any(|known| known.as_ref() == Some(column))
                || self.runs.contains(column)
        };
        let unused: Shortened = (0..self.names.len())
            .filter(|column| !used(column) && self.names.get(*column).is_some_and(|name| !name.is_empty()))
            .map(|column| name(&column))
            .collect();
        if unused.count > 0 {
            notes.push(format!("not used: {unused}"));
        }
        self.notes = notes;
    }
}

/// The columns of the training and the validation rows, and which held-out rows these are.
type Pair = (Option<usize>, Option<usize>, Option<Split>);

/// The columns of the first measure that both training and validation rows have, or else of the first that
/// one of them has.
fn pair(columns: &[(usize, Name)], measures: &[Measure], held_out: Option<Split>) -> Option<(Pair, Measure)> {
    let found = |measure: &Measure| {
        let of = |split: Option<Split>| {
            let mine = columns.iter().filter(|(_, name)| name.measure == *measure && name.split == split);
            mine.min_by_key(|(column, name)| (name.unknown, name.per_step, *column))
                .map(|(column, _)| *column)
        };
        let splits = held_out.into_iter().chain(HELD_OUT);
        let valid = splits.filter_map(|split| Some((of(Some(split))?, split))).next();
        let train = of(Some(Split::Train)).or_else(|| of(None));
        ((train, valid.map(|(column, _)| column), valid.map(|(_, split)| split)), *measure)
    };
    let all: Vec<_> = measures.iter().map(found).collect();
    let both = all.iter().find(|((train, valid, _), _)| train.is_some() && valid.is_some());
    both.or_else(|| all.iter().find(|((train, valid, _), _)| train.is_some() || valid.is_some())).copied()
}

/// Names in quotes.
pub(super) fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Shortened>().to_string()
}

/// The first of some texts, and how many more there are.
#[derive(Default)]
pub(super) struct Shortened {
    shown: Vec<String>,
    pub count: usize,
}

impl Shortened {
    pub(super) fn push(&mut self, text: impl FnOnce() -> String) {
        const SHOWN: usize = 8;
        self.count += 1;
        if self.count <= SHOWN {
            self.shown.push(text());
        }
    }
}

impl FromIterator<String> for Shortened {
    fn from_iter<T: IntoIterator<Item = String>>(texts: T) -> Self {
        let mut shortened = Self::default();
        texts.into_iter().for_each(|text| shortened.push(|| text));
        shortened
    }
}

impl fmt::Display for Shortened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join(", "))?;
        match self.count - self.shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(header: &str) -> [Option<usize>; 4] {
        Layout::of("a.csv", &header.split(',').map(String::from).collect::<Vec<_>>()).unwrap().series
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        assert_eq!(series("epoch,accuracy,loss,val_accuracy,val_loss"), [Some(2), Some(4), Some(1), Some(3)]);
        assert_eq!(series("epoch,train_loss,valid_loss,train_metric,valid_metric"), [1, 2, 3, 4].map(Some));
        assert_eq!(series("loss,test_loss"), [Some(0), Some(1), None, None]);
        assert_eq!(series("train_loss,test_loss,val_loss"), [Some(0), Some(2), None, None]);
        assert_eq!(series("train_loss_step,train_loss_epoch,val_loss"), [Some(1), Some(2), None, None]);
        assert_eq!(series("mse,val_mse"), [Some(0), Some(1), Some(0), Some(1)]);
        assert_eq!(series("train_error,valid_error"), [Some(0), Some(1), None, None]);
        assert_eq!(series("train_loss,valid_loss,train_error,valid_error"), [0, 1, 2, 3].map(Some));
        assert_eq!(series("box_loss,val_box_loss"), [Some(0), Some(1), None, None]);
        assert_eq!(series("box_loss,loss"), [Some(1), None, None, None]);
        assert_eq!(series("acc,val_acc,f1"), [None, None, Some(0), Some(1)]);
        // Keras and fastai.
        assert_eq!(series("loss,val_loss,acc"), [Some(0), Some(1), Some(2), None]);
        assert_eq!(series("train_loss,valid_loss,acc"), [Some(0), Some(1), None, Some(2)]);
        // The held-out rows of loss and metric are the same.
        assert_eq!(series("loss,test_loss,val_acc,test_acc"), [Some(0), Some(1), None, Some(3)]);
    }

    #[test]
    fn a_table_without_a_loss_is_refused_with_its_columns() {
        let error = Layout::of("a.csv", &["a".into(), "b".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the columns of a.csv must be named so that one is the loss or the metric, such as epoch, \
             train_loss, valid_loss, but is \"a\", \"b\""
        );
    }
}
