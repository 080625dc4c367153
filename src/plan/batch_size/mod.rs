//! How many rows each step has, as data.
use crate::{
    plan::{Settings, Value},
    registry::{Argument, Entry, Registry},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// How many rows each step of a training has.
///
/// ```text
/// Fixed(n):   n rows in every epoch
/// Full:       all rows, so one step an epoch (batch gradient descent)
/// Online:     1 row (stochastic gradient descent in the strict sense)
/// Steps:      the size of the last pair (epoch, size) whose epoch is not later
/// Doubling:   min(max, from · 2^⌊epoch / every⌋)
/// ```
///
/// A size is never larger than the number of training rows.
///
/// A small batch makes noisy steps, many for each pass over the rows; the noise often helps to generalize. A
/// large batch uses the processor better and needs a larger learning rate to learn as much in an epoch. Sizes
/// of 16 to 256 are usual. `Full` suits a few hundred rows and smooth losses; `Online` is slow, and fails
/// with batch normalization, which needs two rows. Growing batches have the effect of a falling learning rate
/// with fewer steps: they replace a schedule, so do not combine them with one that falls. On small data they
/// gain nothing.
///
/// # Errors
/// [`BatchSize::check`] names a parameter that is out of range. A session checks before it trains.
///
/// # Source
/// Growing batches: Smith et al. 2018, arXiv:1711.00489.
///
/// ```
/// use candle_ensemble::{plan::BatchSize, train::Trainer};
///
/// let growing = BatchSize::Doubling { from: 32, every: 10, max: 512 };
/// assert_eq!((growing.rows_at(9, 1000), growing.rows_at(10, 1000), growing.rows_at(99, 1000)), (32, 64, 512));
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).batch_size(growing);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BatchSize {
    /// The same number of rows in every epoch, at least 1.
    Fixed(usize),
    /// All training rows.
    Full,
    /// One row.
    Online,
    /// Pairs of an epoch and the size from this epoch on. The first epoch is 0, and epochs increase.
    Steps(Vec<(usize, usize)>),
    /// A size that doubles at regular intervals.
    Doubling {
        /// The size of the first epoch, at least 1.
        from: usize,
        /// Epochs from one doubling to the next, at least 1.
        every: usize,
        /// The largest size, at least `from`.
        max: usize,
    },
}

const FIXED: &[Argument] = &[Argument::new("rows", "32", "Rows of each step")];
const STEPS: &[Argument] = &[
    Argument::required("sizes", "The sizes, separated by commas"),
    Argument::required("at", "The epochs of the second size and of those after it"),
];
const DOUBLING: &[Argument] = &[
    Argument::new("from", "32", "Size of the first epoch"),
    Argument::new("every", "10", "Epochs from one doubling to the next"),
    Argument::new("max", "512", "The largest size"),
];

impl Default for BatchSize {
    /// 32 rows.
    fn default() -> Self {
        Self::Fixed(32)
    }
}

impl From<usize> for BatchSize {
    fn from(rows: usize) -> Self {
        Self::Fixed(rows)
    }
}

impl BatchSize {
    /// The rows of each step in an epoch of a run with `train_rows` training rows: at least 1, and at most
    /// all.
    #[must_use]
    pub fn rows_at(&self, epoch: usize, train_rows: usize) -> usize {
        let size = match self {
            Self::Fixed(size) => *size,
            Self::Full => train_rows,
            Self::Online => 1,
            Self::Steps(steps) => {
                let reached = steps.iter().take_while(|(start, _)| *start <= epoch).last();
                reached.or(steps.first()).map_or(1, |(_, size)| *size)
            }
            Self::Doubling { from, every, max } => {
                let doublings = (epoch / (*every).max(1)).min(usize::BITS as usize - 1);
                from.saturating_mul(1 << doublings).min(*max)
            }
        };
        size.min(train_rows).max(1)
    }

    /// The epochs below `epochs` at which the size changes, and the first.
    pub(crate) fn changes(&self, epochs: usize) -> Vec<usize> {
        let epochs_of: Vec<usize> = match self {
            Self::Fixed(_) | Self::Full | Self::Online => vec![0],
            Self::Steps(steps) => std::iter::once(0).chain(steps.iter().map(|(start, _)| *start)).collect(),
            Self::Doubling { every, .. } => {
                (0..usize::BITS as usize).map(|k| k.saturating_mul((*every).max(1))).collect()
            }
        };
        let mut changes: Vec<usize> = epochs_of.into_iter().filter(|epoch| *epoch < epochs.max(1)).collect();
        changes.dedup();
        changes
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Fixed(0) => Err(Error::invalid("batch_size", "at least 1 row", 0)),
            Self::Fixed(_) | Self::Full | Self::Online => Ok(()),
            Self::Steps(steps) => {
                let ordered = steps.windows(2).all(|pair| pair[0].0 < pair[1].0);
                if !ordered || steps.first().is_none_or(|(epoch, _)| *epoch != 0) {
                    let must = "pairs of an epoch and a size, the first for epoch 0, with increasing epochs";
                    return Err(Error::invalid("BatchSize::Steps", must, format!("{steps:?}")));
                }
                match steps.iter().find(|(_, size)| *size == 0) {
                    Some((epoch, _)) => {
                        let what = format!("the size of BatchSize::Steps from epoch {epoch} on");
                        Err(Error::invalid(what, "at least 1 row", 0))
                    }
                    None => Ok(()),
                }
            }
            Self::Doubling { from: 0, .. } => {
                Err(Error::invalid("BatchSize::Doubling::from", "at least 1 row", 0))
            }
            Self::Doubling { every: 0, .. } => {
                Err(Error::invalid("BatchSize::Doubling::every", "at least 1 epoch", 0))
            }
            Self::Doubling { from, max, .. } if max < from => {
                let must = format!("at least {from}, the first size");
                Err(Error::invalid("BatchSize::Doubling::max", must, max))
            }
            Self::Doubling { .. } => Ok(()),
        }
    }

    /// The sizes by name. [`BatchSize::parse`] reads a plain number too.
    ///
    /// ```
    /// use candle_ensemble::plan::BatchSize;
    ///
    /// let steps = BatchSize::registry().parse("steps:32,64,128:10,20")?;
    /// assert_eq!(steps, BatchSize::Steps(vec![(0, 32), (10, 64), (20, 128)]));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<BatchSize>> = LazyLock::new(|| {
            let fixed =
                Entry::new("fixed", "BatchSize::Fixed", "The same size in every epoch", |arguments| {
                    Ok(BatchSize::Fixed(arguments.get("rows")?))
                });
            let full = Entry::new("full", "BatchSize::Full", "All training rows", |_| Ok(BatchSize::Full));
            let online = Entry::new("online", "BatchSize::Online", "One row", |_| Ok(BatchSize::Online));
            let steps = Entry::new("steps", "BatchSize::Steps", "Sizes from given epochs on", |arguments| {
                let sizes: Vec<usize> = arguments.get("sizes")?;
                let at: Vec<usize> = arguments.get("at")?;
                if sizes.len() != at.len() + 1 {
                    let must = format!("{}, one more than the epochs at which they change", at.len() + 1);
                    return Err(Error::invalid("the number of sizes of steps", must, sizes.len()));
                }
                Ok(BatchSize::Steps(std::iter::once(0).chain(at).zip(sizes).collect()))
            });
            let doubling =
                Entry::new("doubling", "BatchSize::Doubling", "Doubles at regular intervals", |arguments| {
                    Ok(BatchSize::Doubling {
                        from: arguments.get("from")?,
                        every: arguments.get("every")?,
                        max: arguments.get("max")?,
                    })
                });
            Registry::new(
                "batch size",
                vec![
                    fixed.with_arguments(FIXED),
                    full,
                    online,
                    steps.with_arguments(STEPS),
                    doubling.with_arguments(DOUBLING).with_source("Smith et al. 2018, arXiv:1711.00489"),
                ],
            )
        });
        &REGISTRY
    }

    /// Reads a batch size from text: a number of rows, or a name with its arguments, such as `full` or
    /// `doubling:32:10:512`. The trainer reads a run's setting `"batch_size"` so if it is a text.
    ///
    /// # Errors
    /// When the name or an argument is unknown, or a value is not what it must be.
    ///
    /// ```
    /// use candle_ensemble::plan::BatchSize;
    ///
    /// assert_eq!(BatchSize::parse("64")?, BatchSize::Fixed(64));
    /// assert_eq!(BatchSize::parse("online")?, BatchSize::Online);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let size = match text.trim().parse() {
            Ok(rows) => Self::Fixed(rows),
            Err(_) => Self::registry().parse(text)?,
        };
        size.check()?;
        Ok(size)
    }

    /// The text that [`BatchSize::parse`] reads as this size: `32`, `full`, `steps:32,64:10`.
    #[must_use]
    pub fn text(&self) -> String {
        let list = |numbers: Vec<usize>| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Fixed(rows) => rows.to_string(),
            Self::Full => "full".into(),
            Self::Online => "online".into(),
            Self::Steps(steps) => {
                let sizes = list(steps.iter().map(|(_, size)| *size).collect());
                format!("steps:{sizes}:{}", list(steps.iter().skip(1).map(|(epoch, _)| *epoch).collect()))
            }
            Self::Doubling { from, every, max } => format!("doubling:{from}:{every}:{max}"),
        }
    }

    /// The setting `"batch_size"` of a run: a number of rows, or a text.
    pub(crate) fn setting(settings: &Settings) -> Result<Option<Self>> {
        const NAME: &str = "batch_size";
        match settings.iter().find(|(name, _)| *name == NAME) {
            Some((_, Value::Text(text))) => Self::parse(text).map(Some),
            _ => Ok(settings.count(NAME)?.map(Self::Fixed)),
        }
    }
}

/// The value of a run's setting `"batch_size"`.
impl From<BatchSize> for Value {
    fn from(size: BatchSize) -> Self {
        match size {
            BatchSize::Fixed(rows) if i64::try_from(rows).is_ok() => Self::Int(rows as i64),
            size => Self::Text(size.text()),
        }
    }
}

#[cfg(test)]
mod tests;
