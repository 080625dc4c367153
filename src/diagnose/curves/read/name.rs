//! What the name of a column says.

/// Which rows a column is about. Where several kinds of held-out rows are there, the first is the validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Split {
    Train,
    Valid,
    Dev,
    Eval,
    Test,
}

/// What a column measures. The first of a kind that is there is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// The loss itself.
    Loss,
    /// A loss by its formula: cross-entropy, negative log-likelihood, Huber.
    Formula,
    /// The mean squared error.
    Mse,
    /// The mean absolute error.
    Mae,
    /// An error, of classification or regression.
    Error,
    /// The accuracy.
    Accuracy,
    /// The share of errors of a classifier.
    ErrorRate,
    /// The root mean squared error.
    Rmse,
    /// A metric that is not named.
    Metric,
}

/// The name of a column with a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Which rows; `None` if the name does not say it.
    pub split: Option<Split>,
    pub measure: Measure,
    /// The number of words that are not known. Such a column is the last resort.
    pub unknown: usize,
    /// Whether it is of each step rather than of each epoch; it ranks behind one of the epoch.
    pub per_step: usize,
}

/// What a column without a measure is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Epoch,
    Step,
    Run,
    /// Whether a row is about training or validation.
    Split,
}

const SPLITS: [(&str, Split); 20] = [
    ("train", Split::Train),
    ("training", Split::Train),
    ("trn", Split::Train),
    ("tr", Split::Train),
    ("valid", Split::Valid),
    ("validation", Split::Valid),
    ("val", Split::Valid),
    ("validate", Split::Valid),
    ("vld", Split::Valid),
    ("cv", Split::Valid),
    ("dev", Split::Dev),
    ("development", Split::Dev),
    ("eval", Split::Eval),
    ("evaluation", Split::Eval),
    ("test", Split::Test),
    ("testing", Split::Test),
    ("tst", Split::Test),
    ("holdout", Split::Test),
    ("heldout", Split::Test),
    ("oof", Split::Test),
];

/// Words that name a measure, the most telling first. All words of an entry must be there.
const MEASURES: [(&[&str], Measure); 41] = [
    (&["accuracy"], Measure::Accuracy),
    (&["acc"], Measure::Accuracy),
    (&["acc1"], Measure::Accuracy),
    (&["top1"], Measure::Accuracy),
    (&["error", "rate"], Measure::ErrorRate),
    (&["err", "rate"], Measure::ErrorRate),
    (&["errorrate"], Measure::ErrorRate),
    (&["misclassification"], Measure::ErrorRate),
    (&["merror"], Measure::ErrorRate),
    (&["multi", "error"], Measure::ErrorRate),
    (&["binary", "error"], Measure::ErrorRate),
    (&["classification", "error"], Measure::ErrorRate),
    (&["classification", "loss"], Measure::Loss),
    (&["rmse"], Measure::Rmse),
    (&["root", "mean", "squared", "error"], Measure::Rmse),
    (&["root", "mean", "square", "error"], Measure::Rmse),
    (&["loss"], Measure::Loss),
    (&["losses"], Measure::Loss),
    (&["cost"], Measure::Loss),
    (&["objective"], Measure::Loss),
    (&["criterion"], Measure::Loss),
    (&["nll"], Measure::Formula),
    (&["cross", "entropy"], Measure::Formula),
    (&["crossentropy"], Measure::Formula),
    (&["xent"], Measure::Formula),
    (&["ce"], Measure::Formula),
    (&["bce"], Measure::Formula),
    (&["logloss"], Measure::Formula),
    (&["mlogloss"], Measure::Formula),
    (&["deviance"], Measure::Formula),
    (&["huber"], Measure::Formula),
    (&["mse"], Measure::Mse),
    (&["l2"], Measure::Mse),
    (&["mean", "squared", "error"], Measure::Mse),
    (&["mae"], Measure::Mae),
    (&["l1"], Measure::Mae),
    (&["mean", "absolute", "error"], Measure::Mae),
    (&["error"], Measure::Error),
    (&["err"], Measure::Error),
    (&["metric"], Measure::Metric),
    (&["score"], Measure::Metric),
];

/// Words beside a measure that do not change what it is.
const NEUTRAL: [&str; 31] = [
    "epoch",
    "mean",
    "avg",
    "average",
    "averaged",
    "total",
    "running",
    "final",
    "overall",
    "model",
    "main",
    "categorical",
    "sparse",
    "binary",
    "multi",
    "multiclass",
    "softmax",
    "per",
    "value",
    "metrics",
    "metric",
    "log",
    "logistic",
    "smooth",
    "squared",
    "set",
    "history",
    "on",
    "top",
    "1",
    "score",
];

/// Words that may follow a key: `run_id`, `fold number`.
const AFTER_KEY: [&str; 8] = ["id", "name", "number", "num", "no", "nr", "idx", "index"];

const KEYS: [(&str, Key); 26] = [
    ("epoch", Key::Epoch),
    ("epochs", Key::Epoch),
    ("ep", Key::Epoch),
    ("step", Key::Step),
    ("steps", Key::Step),
    ("iteration", Key::Step),
    ("iterations", Key::Step),
    ("iter", Key::Step),
    ("batch", Key::Step),
    ("run", Key::Run),
    ("runs", Key::Run),
    ("seed", Key::Run),
    ("fold", Key::Run),
    ("trial", Key::Run),
    ("rep", Key::Run),
    ("repeat", Key::Run),
    ("repetition", Key::Run),
    ("replicate", Key::Run),
    ("version", Key::Run),
    ("member", Key::Run),
    ("split", Key::Split),
    ("phase", Key::Split),
    ("stage", Key::Split),
    ("subset", Key::Split),
    ("set", Key::Split),
    ("mode", Key::Split),
];

/// The rows that a word names.
pub(super) fn split(word: &str) -> Option<Split> {
    SPLITS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, split)| *split)
}

/// What a column is for whose name holds no measure.
pub(super) fn key(name: &str) -> Option<Key> {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let known = |word: &str| KEYS.iter().find(|(known, _)| *known == word).map(|(_, key)| *key);
    match *words {
        [word] => known(word),
        ["global" | "trainer" | "cv" | "random" | "current", word] => known(word),
        ["trainer", "global", "step"] => Some(Key::Step),
        ["num" | "n", "epochs" | "epoch"] => Some(Key::Epoch),
        [word, after] if AFTER_KEY.contains(&after) => known(word),
        _ => None,
    }
}

/// What a column measures, and on which rows; `None` if no word of it is a measure.
pub(super) fn measure(name: &str) -> Option<Name> {
    measure_of(&words(name))
}

/// The same for words that are found already.
pub(super) fn measure_of(words: &[String]) -> Option<Name> {
    let is = |word: &str| words.iter().any(|known| known == word);
    let (used, measure) = MEASURES.iter().find(|(all, _)| all.iter().all(|word| is(word)))?;
    let mut splits = words.iter().filter_map(|word| split(word));
    let first = splits.next();
    // "train_val_gap" is of neither.
    let mixed = usize::from(splits.any(|other| Some(other) != first));
    let known = |word: &str| {
        used.contains(&word) || split(word).is_some() || NEUTRAL.contains(&word) || STEP.contains(&word)
    };
    // "nll_loss" is a loss, and so is "mse_loss".
    let formula = |word: &str| *measure == Measure::Loss && LOSSES.contains(&word);
    let unknown = words.iter().filter(|word| !known(word) && !formula(word));
    Some(Name {
        split: first,
        measure: *measure,
        unknown: unknown.count() + mixed,
        per_step: usize::from(words.iter().any(|word| STEP.contains(&word.as_str()))),
    })
}

/// Words that say which loss it is.
const LOSSES: [&str; 11] =
    ["nll", "cross", "entropy", "crossentropy", "xent", "ce", "bce", "huber", "mse", "mae", "l1"];

/// Words of columns with a value for each step.
const STEP: [&str; 3] = ["step", "batch", "iter"];

/// The words of a name in lower case: `val/loss`, `valLoss` and `valloss` are `val` and `loss`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    let mut last = ' ';
    for c in name.chars() {
        let starts = c.is_uppercase() && last.is_lowercase();
        if c.is_alphanumeric() {
            match words.last_mut() {
                Some(word) if last.is_alphanumeric() && !starts => word.extend(c.to_lowercase()),
                _ => words.push(c.to_lowercase().collect()),
            }
        }
        last = c;
    }
    words.into_iter().flat_map(apart).collect()
}

/// Takes `valloss` apart.
fn apart(word: String) -> Vec<String> {
    for (split, _) in SPLITS.iter().filter(|(split, _)| split.len() > 2) {
        let rest = word.strip_prefix(split).filter(|rest| MEASURES.iter().any(|(all, _)| **all == [*rest]));
        if let Some(rest) = rest {
            return vec![(*split).into(), rest.into()];
        }
    }
    vec![word]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_many_programs_are_understood() {
        use {Measure::*, Split::*};
        for (name, split, what) in [
            ("loss", None, Loss),
            ("val_loss", Some(Valid), Loss),
            ("valid_loss", Some(Valid), Loss),
            ("Validation Loss", Some(Valid), Loss),
            ("val/loss", Some(Valid), Loss),
            ("Loss/train", Some(Train), Loss),
            ("trainLoss", Some(Train), Loss),
            ("valloss", Some(Valid), Loss),
            ("train_loss_epoch", Some(Train), Loss),
            ("eval_loss", Some(Eval), Loss),
            ("test_loss", Some(Test), Loss),
            ("train_nll_loss", Some(Train), Loss),
            ("cross_entropy", None, Formula),
            ("val_log_loss", Some(Valid), Loss),
            ("valid logloss", Some(Valid), Formula),
            ("val_sparse_categorical_accuracy", Some(Valid), Accuracy),
            ("acc", None, Accuracy),
            ("train_acc@1", Some(Train), Accuracy),
            ("val_root_mean_squared_error", Some(Valid), Rmse),
            ("mean_squared_error", None, Mse),
            ("val_mae", Some(Valid), Mae),
            ("train_error_rate", Some(Train), ErrorRate),
            ("valid_error", Some(Valid), Error),
            ("train_metric", Some(Train), Metric),
            ("val_metric", Some(Valid), Metric),
        ] {
            let read = measure(name).unwrap();
            assert_eq!(
                (read.split, read.measure, read.unknown, read.per_step),
                (split, what, 0, 0),
                "{name}"
            );
        }
        assert_eq!(measure("train_loss_step").unwrap().per_step, 1);
        for name in ["val_f1", "lr-Adam", "learning_rate", "time", "auc", "losing"] {
            assert_eq!(measure(name), Option::None, "{name}");
        }
        for name in
            ["box_loss", "top_5_accuracy", "balanced_accuracy", "loss_std", "train_val_loss", "r2_score"]
        {
            assert!(measure(name).unwrap().unknown > 0, "{name}");
        }
    }

    #[test]
    fn keys_are_epochs_steps_runs_and_splits() {
        for (name, what) in [
            ("epoch", Some(Key::Epoch)),
            ("Epoch", Some(Key::Epoch)),
            ("global_step", Some(Key::Step)),
            ("trainer/global_step", Some(Key::Step)),
            ("fold_id", Some(Key::Run)),
            ("Seed", Some(Key::Run)),
            ("random_seed", Some(Key::Run)),
            ("phase", Some(Key::Split)),
            ("time", None),
            ("val_epoch_loss", None),
        ] {
            assert_eq!(key(name), what, "{name}");
        }
    }
}
