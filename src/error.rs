//! The error type of the library.
//!
//! Every fallible function returns [`Result`]. Errors that a program may want to handle have a variant of
//! their own; all others are [`Error::Invalid`], which names the parameter, what it must be and what it is.
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// The result type of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The errors of the library.
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
    /// A combiner that learns has too few held-out rows.
    #[error(
        "{combiner} needs at least {need} held-out rows, but only {have} of {rows} rows are held out; train the members \
         with a strategy that resamples rows, or reserve rows with Session::reserve"
    )]
    HeldOut {
        /// Name of the combiner.
        combiner: String,
        /// Number of rows that it needs.
        need: usize,
        /// Number of held-out rows.
        have: usize,
        /// Number of rows in the data set.
        rows: usize,
    },
    /// It is unknown which rows of the pool's data shaped some members, so no row counts as held out.
    #[error(
        "it is unknown which rows shaped {}, so no row of the pool's data is held out: declare what they have seen \
         (Seen::Rows, or Seen::Nothing if that is no row of this data set), or use rows that are new to all members \
         (Pool::on_new_data)", members.join(", ")
    )]
    UnknownRows {
        /// Names of the members.
        members: Vec<String>,
    },
    /// Steps that were too large made the loss or a variable of a run NaN or infinite.
    #[error(
        "run {run} diverged: {what} is {value} in epoch {epoch}, batch {batch}, at learning rate \
         {learning_rate}; lower the learning rate, clip gradients or standardize the data"
    )]
    Diverged {
        /// Number of the run in its plan.
        run: usize,
        /// What is not finite: the loss, or a variable with its name and the position of the number.
        what: String,
        /// The number.
        value: f64,
        /// Epoch, from 0.
        epoch: usize,
        /// Batch within the epoch, from 0.
        batch: usize,
        /// Learning rate of that step.
        learning_rate: f64,
    },
    /// Something in a run is NaN or infinite for another reason than the learning rate: rows of the data, a
    /// statistic of batch normalization, an output of a network that has not been trained yet.
    #[error("run {run}: {what} is {value} {when}: {cause}")]
    NotFinite {
        /// Number of the run in its plan.
        run: usize,
        /// What is not finite, with the position of the number.
        what: String,
        /// The number.
        value: f64,
        /// When it was found, such as "in epoch 0, batch 3".
        when: String,
        /// The likely cause, and what to do.
        cause: String,
    },
    /// Some trainable variables get no gradient from the loss.
    #[error("run {run}: {}", no_gradient(names, trained))]
    NoGradient {
        /// Number of the run in its plan.
        run: usize,
        /// Names of the variables.
        names: Vec<String>,
        /// Names of the variables that do get a gradient.
        trained: Vec<String>,
    },
    /// Some runs of a plan have not been trained.
    #[error("{} of {of} runs are not in the store: {missing:?}", missing.len())]
    Incomplete {
        /// Numbers of the missing runs.
        missing: Vec<usize>,
        /// Number of runs in the plan.
        of: usize,
    },
    /// A file, a plan or a store was made for something else.
    #[error("{what} does not belong here: {why}")]
    Foreign {
        /// What it is; its path, for a file.
        what: String,
        /// How it differs from what was expected.
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
    /// The content of a file has changed since it was written, or is cut short.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// What it is; its path, for a file.
        what: String,
        /// How it differs from what was expected.
        why: String,
    },
    /// An observer stopped the build.
    #[error("cancelled; {done} of {of} runs are finished and kept in the store")]
    Cancelled {
        /// Number of finished runs.
        done: usize,
        /// Number of runs in the plan.
        of: usize,
    },
    /// An observer stopped a prediction for rows of a data set.
    #[error("stopped; {rows} of {of} rows are predicted")]
    Stopped {
        /// Number of predicted rows.
        rows: usize,
        /// Number of rows to predict.
        of: usize,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// An object in object storage could not be read or written.
    #[error("{object}: {action} failed{}: {why}", in_attempts(*attempts))]
    ObjectStorage {
        /// The address of the object, without credentials.
        object: String,
        /// What was tried, such as "reading".
        action: String,
        /// How often it was tried.
        attempts: usize,
        /// Why the last attempt failed, without credentials.
        why: String,
    },
    /// An error in a run, with the number of the run.
    #[error("run {run}: {source}")]
    Run {
        /// Number of the run in its plan.
        run: usize,
        /// The error.
        source: Box<Error>,
    },
    /// A run failed on another worker ([`exec::Worker`](crate::exec::Worker)), which wrote its error to the store.
    #[error("{error} (on worker {worker}, attempt {attempts})")]
    FailedElsewhere {
        /// Number of the run in its plan.
        run: usize,
        /// The error.
        error: String,
        /// Name of the worker.
        worker: String,
        /// How often the run failed.
        attempts: usize,
    },
    /// An error of candle.
    #[error("{}", WithoutBacktrace(.0))]
    Candle(#[source] candle_core::Error),
}

impl Error {
    /// The error "`what` must be `must`, but is `got`".
    pub fn invalid(what: impl Into<String>, must: impl Into<String>, got: impl fmt::Display) -> Self {
        Self::Invalid { what: what.into(), must: must.into(), got: got.to_string() }
    }

    /// The error with the number of the run in which it occurred, unless it has one already.
    pub(crate) fn in_run(self, run: usize) -> Self {
        match self {
            e @ (Self::Run { .. }
            | Self::Diverged { .. }
            | Self::NotFinite { .. }
            | Self::NoGradient { .. }
            | Self::FailedElsewhere { .. }
            | Self::Cancelled { .. }) => e,
            e => Self::Run { run, source: Box::new(e) },
        }
    }
}

/// How often something was tried, where that is more than once.
fn in_attempts(attempts: usize) -> String {
    match attempts {
        0 | 1 => String::new(),
        attempts => format!(" in {attempts} attempts"),
    }
}

/// What is not trained, what would be trained alone, and what to do.
fn no_gradient(names: &[String], trained: &[String]) -> String {
    let rest = match trained {
        [] => "so nothing would be trained".into(),
        _ => format!(
            "so only {} would be trained, and all else would keep its random initial values",
            grouped(trained)
        ),
    };
    format!(
        "no gradient reaches {} of {} variables: {}; {rest}. candle has no backward pass for some operations \
         (ops::softmax_last_dim, ops::layer_norm, ops::rms_norm), which cut off everything before them: use \
         their slow forms (ops::softmax, ops::layer_norm_slow, ops::rms_norm_slow). Allow frozen variables in \
         the trainer only if these variables are meant to keep their initial values",
        names.len(),
        names.len() + trained.len(),
        grouped(names)
    )
}

/// The most names, or groups of names, that an error lists.
const LISTED: usize = 6;

/// Names of variables for people to read. A long list is shortened to the prefixes that the names have in
/// common, each with the number of its names.
fn grouped(names: &[String]) -> String {
    let depth = names.iter().map(|name| name.split('.').count()).max().unwrap_or(1);
    let at = |depth: usize| {
        let mut groups = BTreeMap::<String, usize>::new();
        for name in names {
            let parts: Vec<_> = name.split('.').collect();
            let group = match parts.len() > depth {
                true => format!("{}.*", parts[..depth].join(".")),
                false => name.clone(),
            };
            *groups.entry(group).or_default() += 1;
        }
        groups
    };
    // The deepest prefixes of which there are few enough; the shortest if there are too many of any depth.
    let groups = (1..=depth).rev().map(at).find(|groups| groups.len() <= LISTED).unwrap_or_else(|| at(1));
    let word = |(group, count): (&String, &usize)| match group.ends_with(".*") {
        true => format!("{group} ({count})"),
        false => group.clone(),
    };
    let mut words: Vec<_> = groups.iter().take(LISTED).map(word).collect();
    if groups.len() > LISTED {
        words.push(format!("and {} more", groups.values().skip(LISTED).sum::<usize>()));
    }
    words.join(", ")
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

/// For code that must return candle's error, such as a custom training loop.
impl From<Error> for candle_core::Error {
    fn from(e: Error) -> Self {
        match e {
            Error::Candle(e) => e,
            // `candle_core::Error::wrap` would add a backtrace.
            e => candle_core::Error::Wrapped(Box::new(e)),
        }
    }
}

/// Displays candle's error without the backtrace that its own `Display` prints.
struct WithoutBacktrace<'a>(&'a candle_core::Error);

impl fmt::Display for WithoutBacktrace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use candle_core::Error as E;
        match self.0 {
            E::WithBacktrace { inner, .. } => WithoutBacktrace(inner).fmt(f),
            E::Context { inner, context } => write!(f, "{context}: {}", WithoutBacktrace(inner)),
            E::WithPath { inner, path } => write!(f, "{}: {}", path.display(), WithoutBacktrace(inner)),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candle_errors_are_displayed_without_backtrace_and_with_their_path() {
        let inner = candle_core::Error::Msg("no such thing".into());
        let traced = candle_core::Error::WithBacktrace {
            inner: Box::new(inner),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        let e = Error::from(traced.with_path("weights.bin"));
        assert_eq!(e.to_string(), "weights.bin: no such thing");
    }

    /// 37 of 39 variables: an embedding, two layers of 17 and 18 variables, and a head that is reached.
    #[test]
    fn a_long_list_of_variables_is_shortened_to_prefixes_and_counts() {
        let mut names: Vec<String> = ["bert.embeddings.weight".into(), "bert.embeddings.bias".into()].into();
        for (layer, count) in [(0, 17), (1, 18)] {
            names.extend((0..count).map(|i| format!("bert.layer.{layer}.part{i}.weight")));
        }
        let trained = vec!["head.bias".to_string(), "head.weight".into()];
        let text = Error::NoGradient { run: 3, names, trained }.to_string();
        let expected = "run 3: no gradient reaches 37 of 39 variables: bert.embeddings.bias, \
                        bert.embeddings.weight, bert.layer.0.* (17), bert.layer.1.* (18); so only head.bias, \
                        head.weight would be trained, and all else would keep its random initial values.";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("only if these variables are meant to keep their initial values"), "{text}");
    }

    #[test]
    fn names_are_grouped_by_the_deepest_prefixes_of_which_there_are_few() {
        let list = |names: &[&str]| grouped(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(list(&["a", "b.c"]), "a, b.c");
        let layers: Vec<String> = (0..12).flat_map(|l| [format!("l.{l}.w"), format!("l.{l}.b")]).collect();
        assert_eq!(grouped(&layers), "l.* (24)");
        assert_eq!(list(&["1", "2", "3", "4", "5", "6", "7", "8"]), "1, 2, 3, 4, 5, 6, and 2 more");
        let e = Error::NoGradient { run: 0, names: vec!["w".into()], trained: vec![] }.to_string();
        assert!(e.starts_with("run 0: no gradient reaches 1 of 1 variables: w; so nothing would be trained"));
    }

    #[test]
    fn an_invalid_parameter_is_named_with_its_requirement_and_value() {
        let e = Error::invalid("k", "at least 2", 1);
        assert_eq!(e.to_string(), "k must be at least 2, but is 1");
        assert_eq!(candle_core::Error::from(e).to_string(), "k must be at least 2, but is 1");
    }
}
