//! What can go wrong, and how it is said.
use std::{fmt, path::PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter or an input is not what it must be.
    #[error("{what} must be {must}, but is {got}")]
    Invalid {
        /// The parameter or input.
        what: String,
        /// What it must be.
        must: String,
        /// What it was.
        got: String,
    },
    /// A learned rule has too few rows that its members were not fitted on.
    #[error(
        "{combiner} learns from rows its members have not seen, at least {need}, but {have} of {rows} rows \
         qualify; grow the members with resampling, or keep rows back with Plan::reserve"
    )]
    HeldOut {
        /// The rule.
        combiner: String,
        /// How many rows it needs.
        need: usize,
        /// How many qualify.
        have: usize,
        /// Rows in the data set.
        rows: usize,
    },
    /// The loss became NaN or infinite.
    #[error(
        "run {run} diverged: the loss is {loss} in epoch {epoch}, batch {batch}, at learning rate \
         {learning_rate}; lower the learning rate, clip gradients or standardize the data"
    )]
    Diverged {
        /// Number of the run in its plan.
        run: usize,
        /// Epoch, from 0.
        epoch: usize,
        /// Batch within the epoch, from 0.
        batch: usize,
        /// Learning rate of that step.
        learning_rate: f64,
        /// The loss.
        loss: f64,
    },
    /// Trainable variables that the loss does not reach.
    #[error(
        "run {run}: no gradient reaches {}; candle has no backward pass for some operations \
         (ops::softmax_last_dim, ops::layer_norm, ops::rms_norm): use their slow forms, or allow frozen \
         variables in the trainer", names.join(", ")
    )]
    NoGradient {
        /// Number of the run in its plan.
        run: usize,
        /// The variables.
        names: Vec<String>,
    },
    /// Some runs of a plan have not been trained.
    #[error("{} of {of} runs are not in the store: {missing:?}", missing.len())]
    Incomplete {
        /// Numbers of the missing runs.
        missing: Vec<usize>,
        /// Runs in the plan.
        of: usize,
    },
    /// Something was made for, or by, something else.
    #[error("{what} does not belong here: {why}")]
    Foreign {
        /// The thing.
        what: String,
        /// How that was noticed.
        why: String,
    },
    /// Networks whose tensors differ in names, shapes or dtypes, or weights that do not fit a network.
    #[error("{what} are incompatible: {why}")]
    Incompatible {
        /// The networks, or the network and the weights.
        what: String,
        /// The differences.
        why: String,
    },
    /// A merge was refused, because the loss between the networks is higher than the caller allows.
    #[error(
        "the loss barrier must be at most {limit} for one network in place of several to be sound, but is \
         {barrier:.4}: {}", alternatives(*aligned)
    )]
    BarrierTooHigh {
        /// The loss barrier between the networks.
        barrier: f64,
        /// The highest barrier that is allowed.
        limit: f64,
        /// Whether the units of the networks were aligned first.
        aligned: bool,
    },
    /// Something is no longer what was written: cut short, or changed.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// The thing; its path, for a file.
        what: String,
        /// How that was noticed.
        why: String,
    },
    /// An observer asked to stop.
    #[error("cancelled; {done} of {of} runs are finished and kept in the store")]
    Cancelled {
        /// Runs that were finished.
        done: usize,
        /// Runs in all.
        of: usize,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An error within a run, with the run's number.
    #[error("run {run}: {source}")]
    Run {
        /// Number of the run in its plan.
        run: usize,
        /// The error.
        source: Box<Error>,
    },
    /// candle failed.
    #[error("{}", Peeled(.0))]
    Candle(#[source] candle_core::Error),
}

impl Error {
    /// `what` must be `must`, but is `got`.
    pub fn invalid(what: impl Into<String>, must: impl Into<String>, got: impl fmt::Display) -> Self {
        Self::Invalid { what: what.into(), must: must.into(), got: got.to_string() }
    }

    /// The error with the number of the run in which it happened, unless it names a run already.
    pub(crate) fn in_run(self, run: usize) -> Self {
        match self {
            e @ (Self::Run { .. }
            | Self::Diverged { .. }
            | Self::NoGradient { .. }
            | Self::Cancelled { .. }) => e,
            e => Self::Run { run, source: Box::new(e) },
        }
    }
}

/// What to do instead of a merge that was refused.
fn alternatives(aligned: bool) -> &'static str {
    match aligned {
        true => "keep the networks and combine their predictions (Pool::combine)",
        false => {
            "align the networks first (MergeSpec::alignment, merge::align), or keep the networks and combine \
             their predictions (Pool::combine)"
        }
    }
}

impl From<candle_core::Error> for Error {
    fn from(e: candle_core::Error) -> Self {
        Self::Candle(e)
    }
}

/// For code that has to return candle's error, such as a training loop of the user's own.
impl From<Error> for candle_core::Error {
    fn from(e: Error) -> Self {
        match e {
            Error::Candle(e) => e,
            // Not `wrap`, which adds a backtrace.
            e => candle_core::Error::Wrapped(Box::new(e)),
        }
    }
}

/// candle's error without the backtrace that its own `Display` prints.
struct Peeled<'a>(&'a candle_core::Error);

impl fmt::Display for Peeled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use candle_core::Error as E;
        match self.0 {
            E::WithBacktrace { inner, .. } => Peeled(inner).fmt(f),
            E::Context { inner, context } => write!(f, "{context}: {}", Peeled(inner)),
            E::WithPath { inner, path } => write!(f, "{}: {}", path.display(), Peeled(inner)),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candle_errors_lose_their_backtrace_and_keep_their_path() {
        let inner = candle_core::Error::Msg("no such thing".into());
        let traced = candle_core::Error::WithBacktrace {
            inner: Box::new(inner),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        let e = Error::from(traced.with_path("weights.bin"));
        assert_eq!(e.to_string(), "weights.bin: no such thing");
    }

    #[test]
    fn an_invalid_parameter_is_named_with_what_it_must_be() {
        let e = Error::invalid("k", "at least 2", 1);
        assert_eq!(e.to_string(), "k must be at least 2, but is 1");
        assert_eq!(candle_core::Error::from(e).to_string(), "k must be at least 2, but is 1");
    }
}
