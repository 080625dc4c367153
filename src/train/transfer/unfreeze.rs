//! When frozen variables are trained after all.
use crate::{
    plan::{Settings, Value},
    registry::{Argument, ArgumentValue, Entry, Registry},
    train::transfer::patterns::parsed,
    weights::{layers, Vars},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// The epoch from which variables that [`Freeze`](crate::train::Freeze) chooses are trained after all, as data.
///
/// Epochs are counted from 0: a variable that is unfrozen at epoch 2 stays as it is in epochs 0 and 1. Its moments in the
/// optimizer begin at 0 then, with their own count of steps, while the learning rate is that of the schedule at this epoch.
/// The running statistics of a layer of batch normalization move from that epoch on. A resumed training continues to the
/// bit. Where nothing is frozen, it has no effect.
///
/// Use it to fine-tune on few rows: first the new head alone, then the layers below it, so that gradients of a head with
/// random weights do not destroy what the layers have learned. With many rows, or with a small learning rate for the lower
/// layers ([`LayerDecay`](crate::train::LayerDecay)), it often makes no difference.
///
/// After early stopping, a training from scratch on all rows ([`Retrain::FromScratch`](crate::train::Retrain)) freezes and
/// unfreezes once more; one that continues leaves unfrozen what is.
///
/// Cost: each change calls the constructor of the network once more and copies the weights.
///
/// ```
/// use candle_ensemble::train::{Freeze, Trainer, Unfreeze};
///
/// let network = |vb: candle_nn::VarBuilder<'_>| candle_nn::linear(2, 1, vb.pp("head"));
/// let trainer = Trainer::new(network).freeze(Freeze::names_like(["encoder.*"])).unfreeze(Unfreeze::At(3));
/// assert_eq!(Unfreeze::parse("3")?, Unfreeze::At(3));
/// let below = Unfreeze::names([("encoder.1.*", 1), ("encoder.0.*", 2)]);
/// assert_eq!(Unfreeze::parse("names:encoder.1.*@1|encoder.0.*@2")?, below);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Howard and Ruder (2018), "Universal language model fine-tuning for text classification", arXiv:1801.06146,
/// section 3.3, for [`Gradual`](Self::Gradual).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unfreeze {
    /// What is frozen stays frozen.
    #[default]
    Never,
    /// Everything is trained from this epoch on, at least 1.
    At(usize),
    /// One layer more is trained after each time that this many epochs have passed, at least 1: first the last of the
    /// frozen layers, then the one before it. Layers are those of [`weights::layers`](crate::weights::layers()) that have
    /// a frozen weight; running statistics go with their layer.
    Gradual(usize),
    /// Frozen variables whose names match a glob pattern are trained from its epoch on, at least 1. The first pattern that
    /// matches counts. Each pattern must match a frozen variable.
    Names(Vec<(String, usize)>),
}

const EPOCH: &[Argument] = &[Argument::required("epoch", "The first epoch in which everything is trained")];
const EVERY: &[Argument] = &[Argument::new("every", "1", "The number of epochs from one layer to the next")];
const PATTERNS: &[Argument] =
    &[Argument::required("patterns", "Patterns of names, each with @ and its epoch, separated by |")];

/// A pattern with its epoch, as in `hidden.*@2`.
struct Timed(String, usize);

/// Several, separated by `|`.
struct AllTimed(Vec<Timed>);

impl ArgumentValue for AllTimed {
    fn must_be() -> String {
        "patterns of names, each with @ and an epoch, such as hidden.*@2, separated by |".into()
    }

    fn read(text: &str) -> Option<Self> {
        let one = |part: &str| {
            let (pattern, epoch) = part.rsplit_once('@')?;
            Some(Timed(pattern.trim().into(), epoch.trim().parse().ok()?))
        };
        text.split('|').map(one).collect::<Option<_>>().map(Self)
    }
}

impl From<usize> for Unfreeze {
    /// [`Unfreeze::At`].
    fn from(epoch: usize) -> Self {
        Self::At(epoch)
    }
}

impl Unfreeze {
    /// [`Unfreeze::Names`] with these patterns and their epochs.
    #[must_use]
    pub fn names<S: Into<String>>(patterns: impl IntoIterator<Item = (S, usize)>) -> Self {
        Self::Names(patterns.into_iter().map(|(pattern, epoch)| (pattern.into(), epoch)).collect())
    }

    /// The choices by name: `never`, `at:3`, `gradual:1` and `names:encoder.1.*@1|encoder.0.*@2`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Unfreeze>> = LazyLock::new(|| {
            let never = Entry::new("never", "Unfreeze::Never", "What is frozen stays frozen", |_| {
                Ok(Unfreeze::Never)
            });
            let at = Entry::new("at", "Unfreeze::At", "Everything is trained from an epoch on", |a| {
                Ok(Unfreeze::At(a.get("epoch")?))
            });
            let gradual =
                Entry::new("gradual", "Unfreeze::Gradual", "One layer more at a time, the last first", |a| {
                    Ok(Unfreeze::Gradual(a.get("every")?))
                });
            let names =
                Entry::new("names", "Unfreeze::Names", "Variables of these names from an epoch on", |a| {
                    let AllTimed(all) = a.get("patterns")?;
                    Ok(Unfreeze::names(all.into_iter().map(|Timed(pattern, epoch)| (pattern, epoch))))
                });
            let all = vec![
                never,
                at.with_arguments(EPOCH),
                gradual.with_arguments(EVERY),
                names.with_arguments(PATTERNS),
            ];
            Registry::new("choice of when variables are unfrozen", all)
        });
        &REGISTRY
    }

    /// Reads a text: the number of an epoch, or a text that [`registry`](Self::registry) reads.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().parse() {
            Ok(epoch) => Ok(Self::At(epoch)),
            Err(_) => Self::registry().parse(text),
        }
    }

    /// What a run's setting `"unfreeze"` says: a number or a text. `None` if it is not set.
    pub(crate) fn of_run(settings: &Settings) -> Result<Option<Self>> {
        match settings.iter().find(|(name, _)| *name == "unfreeze") {
            None => Ok(None),
            Some((_, Value::Text(text))) => Self::parse(text).map(Some),
            Some(_) => Ok(settings.count("unfreeze")?.map(Self::At)),
        }
    }

    /// Checks what can be checked without a network, for a training of this many epochs.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter, when an epoch is 0 or not before the end of the training, or a pattern
    /// is none.
    pub fn check(&self, epochs: usize) -> Result<()> {
        let within = |what: &str, epoch: usize| match epoch {
            0 => Err(Error::invalid(what, "an epoch from 1 on (leave out Freeze for epoch 0)", 0)),
            epoch if epoch >= epochs => {
                let must = format!("an epoch below {epochs}, the number of epochs, so that it is reached");
                Err(Error::invalid(what, must, epoch))
            }
            _ => Ok(()),
        };
        match self {
            Self::Never => Ok(()),
            Self::At(epoch) => within("Unfreeze::At", *epoch),
            Self::Gradual(0) => Err(Error::invalid("Unfreeze::Gradual", "at least 1 epoch", 0)),
            Self::Gradual(every) => within("Unfreeze::Gradual", *every),
            Self::Names(patterns) if patterns.is_empty() => {
                Err(Error::invalid("Unfreeze::Names", "at least one pattern", "none"))
            }
            Self::Names(patterns) => {
                let texts: Vec<String> = patterns.iter().map(|(pattern, _)| pattern.clone()).collect();
                parsed("Unfreeze::Names", &texts)?;
                patterns.iter().try_for_each(|(_, epoch)| within("Unfreeze::Names", *epoch))
            }
        }
    }

    /// The epoch from which each of these frozen variables is trained. Those that are left out stay frozen.
    ///
    /// # Errors
    /// When a pattern matches none of them.
    pub(super) fn epochs(&self, frozen: &BTreeSet<String>, vars: &Vars) -> Result<BTreeMap<String, usize>> {
        match self {
            _ if frozen.is_empty() => Ok(BTreeMap::new()),
            Self::Never => Ok(BTreeMap::new()),
            Self::At(epoch) => Ok(frozen.iter().map(|name| (name.clone(), *epoch)).collect()),
            Self::Gradual(every) => {
                let all = layers(vars);
                let part = |name: &&String| frozen.contains(*name);
                let with_weights = all.iter().filter(|layer| layer.is_trained);
                let last_first = with_weights
                    .map(|layer| &layer.names)
                    .filter(|names| names.iter().any(|name| part(&name)));
                let numbered = last_first.rev().enumerate();
                Ok(numbered
                    .flat_map(|(i, names)| {
                        names.iter().filter(part).map(move |name| (name.clone(), (i + 1) * every))
                    })
                    .collect())
            }
            Self::Names(patterns) => {
                let texts: Vec<String> = patterns.iter().map(|(pattern, _)| pattern.clone()).collect();
                let globs = parsed("Unfreeze::Names", &texts)?;
                if let Some(glob) = globs.iter().find(|glob| !frozen.iter().any(|name| glob.matches(name))) {
                    let must = "patterns that each match a frozen variable";
                    let was = format!("{:?}, which matches none", glob.as_str());
                    return Err(Error::invalid("Unfreeze::Names", must, was));
                }
                let epoch = |name: &String| {
                    let first = globs.iter().zip(patterns).find(|(glob, _)| glob.matches(name));
                    first.map(|(_, (_, epoch))| (name.clone(), *epoch))
                };
                Ok(frozen.iter().filter_map(epoch).collect())
            }
        }
    }
}
