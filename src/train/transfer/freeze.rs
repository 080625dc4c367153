//! Which variables a training leaves as they are.
use crate::{
    plan::{Settings, Value},
    registry::{Argument, Entry, Registry},
    train::transfer::patterns::{by_patterns, first_layers, floats, is_trained, parsed},
    weights::Vars,
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::LazyLock};

/// The variables that a training leaves as they are, as data.
///
/// A frozen variable has the same bytes after the training as before it: it gets no update, no weight decay
/// and no constraint, and the norms by which gradients are clipped do not include it. The running statistics
/// of a frozen layer of batch normalization stay as they are, too. The library's own
/// [`BatchNorm`](crate::nn::BatchNorm) then normalizes by them in training, as in Keras. candle's layer learns
/// from its caller alone whether it is in training, so it still normalizes by the batch. Dropout and noise in
/// frozen parts act as before; [`features`](crate::train::features()) runs the frozen layers in evaluation
/// mode.
///
/// [`Unfreeze`](crate::train::Unfreeze) says from which epoch frozen variables are trained after all.
///
/// Layers are counted as [`weights::layers`](crate::weights::layers()) counts them, in the order in which the
/// constructor makes them. Layers without weights, such as dropout, are not counted. A layer of batch
/// normalization is.
///
/// Use it with a [`WarmStart`](crate::train::WarmStart) where the target has few rows and the source is like
/// it. It often does not help: with a source and a target of the same size, networks with frozen layers are
/// no better than fresh ones and can be worse, the more layers are frozen, so measure it. Layers that are
/// frozen at random initial weights learn nothing.
///
/// Cost: none. The gradients of frozen variables are not computed: the trainer calls the constructor once
/// more, with variables on which candle tracks no operations. So the backward pass ends at the first layer
/// that is trained, and a step with most layers frozen takes about as long as a forward pass; `features`
/// saves that, too. The weights of the other variables have the same bits as if all gradients were computed.
///
/// ```
/// use candle_ensemble::{plan::Settings, strategy::MultiRun, train::Freeze};
///
/// assert_eq!(Freeze::parse("2")?, Freeze::FirstLayers(2));
/// assert_eq!(Freeze::parse("names:embed.*|*.bias")?, Freeze::names_like(["embed.*", "*.bias"]));
/// // Runs that freeze 0, 1 and 2 layers.
/// let strategy = MultiRun::new(3).settings((0..3).map(|k| Settings::new().with("freeze", k)));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Yosinski et al. (2014), "How transferable are features in deep neural networks?", arXiv:1411.1792.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Freeze {
    /// Every variable is trained.
    #[default]
    None,
    /// The first layers with weights are frozen: this many of them, fewer than all.
    FirstLayers(usize),
    /// The variables are frozen whose names match one of these glob patterns, in which `*` stands for any
    /// characters, dots included, and `?` for one. Each pattern must match a variable.
    Names(Vec<String>),
}

const LAYERS: &[Argument] = &[Argument::required("layers", "The number of layers")];
const PATTERNS: &[Argument] = &[Argument::required("patterns", "Patterns of names, separated by |")];

impl From<usize> for Freeze {
    /// [`Freeze::FirstLayers`].
    fn from(layers: usize) -> Self {
        Self::FirstLayers(layers)
    }
}

impl Freeze {
    /// [`Freeze::Names`] with these patterns.
    #[must_use]
    pub fn names_like<S: Into<String>>(patterns: impl IntoIterator<Item = S>) -> Self {
        Self::Names(patterns.into_iter().map(Into::into).collect())
    }

    /// What is frozen, by name: `none`, `first-layers:2` and `names:conv1.*|conv2.*`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Freeze>> = LazyLock::new(|| {
            let none = Entry::new("none", "Freeze::None", "Every variable is trained", |_| Ok(Freeze::None));
            let first =
                Entry::new("first-layers", "Freeze::FirstLayers", "The first layers are not trained", |a| {
                    Ok(Freeze::FirstLayers(a.get("layers")?))
                });
            let names =
                Entry::new("names", "Freeze::Names", "Variables of these names are not trained", |a| {
                    Ok(Freeze::names_like(a.get::<String>("patterns")?.split('|')))
                });
            let all = vec![none, first.with_arguments(LAYERS), names.with_arguments(PATTERNS)];
            Registry::new("choice of frozen variables", all)
        });
        &REGISTRY
    }

    /// Reads a text: a number of first layers, or a text that [`registry`](Self::registry) reads.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().parse() {
            Ok(layers) => Ok(Self::FirstLayers(layers)),
            Err(_) => Self::registry().parse(text),
        }
    }

    /// What a run's setting `"freeze"` says: a number or a text. `None` if it is not set.
    pub(crate) fn of_run(settings: &Settings) -> Result<Option<Self>> {
        match settings.iter().find(|(name, _)| *name == "freeze") {
            None => Ok(None),
            Some((_, Value::Text(text))) => Self::parse(text).map(Some),
            Some(_) => Ok(settings.count("freeze")?.map(Self::FirstLayers)),
        }
    }

    /// Checks what can be checked without a network: there are glob patterns, and none is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Names(patterns) if patterns.is_empty() => {
                Err(Error::invalid("Freeze::Names", "at least one pattern", "none"))
            }
            Self::Names(patterns) if patterns.iter().any(String::is_empty) => {
                Err(Error::invalid("Freeze::Names", "patterns of at least one character", "an empty one"))
            }
            Self::Names(patterns) => parsed("Freeze::Names", patterns).map(drop),
            _ => Ok(()),
        }
    }

    /// The names of the frozen variables of a network: those of float types that are chosen.
    ///
    /// # Errors
    /// When there are not that many layers, a pattern matches no variable, or nothing is left to train.
    pub fn names(&self, vars: &Vars) -> Result<BTreeSet<String>> {
        self.check()?;
        let (what, names) = match self {
            Self::None => return Ok(BTreeSet::new()),
            Self::FirstLayers(k) => {
                let what = "Freeze::FirstLayers";
                (what, first_layers(what, *k, vars)?)
            }
            Self::Names(patterns) => ("Freeze::Names", by_patterns("Freeze::Names", patterns, vars)?),
        };
        let all = floats(vars);
        let mut trained = all.iter().filter(|name| is_trained(name)).peekable();
        if trained.peek().is_some() && trained.all(|name| names.contains(name)) {
            let must = "a choice that leaves a variable to be trained";
            return Err(Error::invalid(what, must, "one that freezes them all"));
        }
        Ok(names)
    }
}
