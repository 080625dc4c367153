//! The weights from which a training starts, in place of fresh ones.
use crate::{
    files::TensorFile,
    train::transfer::patterns::{by_patterns, first_layers, floats, parsed},
    weights::{
        compatibility::{list, prefix_hint, Kind},
        finite::first_non_finite,
        StateDict, Vars, Weights,
    },
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor, Var};
use glob::Pattern;
use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};

/// The most patterns that an error proposes.
const LISTED: usize = 5;

/// The variables of the network that take their values from the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Taken {
    All,
    FirstLayers(usize),
    Names(Vec<String>),
    Except(Vec<String>),
}

/// Starts a training from the weights of another network, in place of fresh ones.
///
/// Before the first epoch of each run, the values of the chosen variables are copied from the weights; the
/// other variables keep the values that the run's seed gives them. Tensors go by name. Integer variables,
/// such as the state of [`Dropout`](crate::nn::Dropout), always stay those of the run. By default all float
/// variables are taken, and names, shapes and dtypes must be equal on both sides.
///
/// Use it for fine-tuning, with [`Freeze`](crate::train::Freeze) for the layers that are to stay, and with a
/// learning rate that is lower than usual. Members that start from one network are alike, so an ensemble of
/// them gains less. It does not help in general: on small problems a warm start from a related problem is no
/// better than fresh weights on average, and which source network it was makes the larger difference. A
/// [`TransferStudy`](crate::evaluate::TransferStudy) measures it.
///
/// Where the target has other classes than the source, its head has another shape: leave it fresh with
/// [`except`](Self::except).
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{train::WarmStart, weights::fresh};
///
/// let network = |classes, vb: candle_nn::VarBuilder<'_>| {
///     candle_nn::linear(4, 8, vb.pp("body"))?;
///     candle_nn::linear(8, classes, vb.pp("head"))
/// };
/// let ((source, vb), (target, to)) = [1, 2].map(|seed| fresh(seed, Default::default(), DType::F32, &Device::Cpu)).into();
/// network(10, vb)?;
/// network(3, to)?;
/// let start = WarmStart::new(source.snapshot()?)?;
/// assert!(start.load_into(&target).is_err());
/// start.except(["head.*"]).load_into(&target)?;
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// The weights are part of the trainer's tag, so a store tells the members of different warm starts apart.
/// Cost: one copy of the weights.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{prelude::*, train::{Freeze, WarmStart}};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.affine(0.1, -1.)?.reshape((10, 2))?;
/// let source = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let target = TensorDataset::regression(&x, &x.max(1)?)?;
/// let network = |vb: candle_nn::VarBuilder<'_>| {
///     Ok(seq().add(candle_nn::linear(2, 4, vb.pp("hidden"))?).add(candle_nn::linear(4, 1, vb.pp("out"))?))
/// };
/// let trainer = Trainer::new(network).epochs(3);
/// let pool = Session::new(&trainer, &source).fit(&MultiRun::new(1), 1)?;
///
/// let start = WarmStart::new(pool.members()[0].weights.clone())?.first_layers(1);
/// let trainer = Trainer::new(network).epochs(3).warm_start(start).freeze(Freeze::FirstLayers(1));
/// let tuned = Session::new(&trainer, &target).fit(&MultiRun::new(3), 2)?;
/// let hidden = |weights: &candle_ensemble::weights::Weights| weights["hidden.weight"].to_vec2::<f32>();
/// assert_eq!(hidden(&tuned.members()[2].weights)?, hidden(&pool.members()[0].weights)?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Yosinski et al. (2014), "How transferable are features in deep neural networks?", arXiv:1411.1792.
#[derive(Clone)]
pub struct WarmStart {
    weights: Arc<Weights>,
    digest: blake3::Hash,
    taken: Taken,
    allow_unmatched: bool,
    cast: bool,
}

impl fmt::Debug for WarmStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmStart")
            .field("tensors", &self.weights.len())
            .field("taken", &self.taken)
            .field("allow_unmatched", &self.allow_unmatched)
            .field("cast", &self.cast)
            .finish_non_exhaustive()
    }
}

impl PartialEq for WarmStart {
    /// Whether both do the same: the weights are compared by a hash.
    fn eq(&self, other: &Self) -> bool {
        self.tag() == other.tag()
    }
}

impl WarmStart {
    /// A start from these weights, which are copied: those of a member, or a checkpoint of another program.
    ///
    /// ```no_run
    /// use candle_ensemble::{train::WarmStart, weights::StateDict};
    ///
    /// let start = WarmStart::new(StateDict::open("resnet18.pth")?.strip_prefix("module.")?)?.except(["fc.*"]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are no tensors, or one has a type that safetensors lacks. As [`StateDict::tensor`].
    pub fn new(weights: impl Into<StateDict>) -> Result<Self> {
        let weights = weights.into().copied()?;
        if weights.is_empty() {
            return Err(Error::invalid("the weights of a warm start", "at least one tensor", "none"));
        }
        let bytes = TensorFile::new("warm start", "", weights.clone())?.to_bytes()?;
        let (taken, digest) = (Taken::All, blake3::hash(&bytes));
        Ok(Self { weights: Arc::new(weights), digest, taken, allow_unmatched: false, cast: false })
    }

    /// A start from the tensors of a file, such as the file of a member or one that another program wrote: whatever
    /// [`StateDict::open`] opens. To change names, give the `StateDict` to [`new`](Self::new).
    ///
    /// # Errors
    /// As [`StateDict::open`] and [`WarmStart::new`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(StateDict::open(path)?)
    }

    /// Takes only the variables of the network whose names match one of these patterns, in which `*` stands
    /// for any characters and `?` for one. Tensors of other names are not used.
    #[must_use]
    pub fn names<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.taken = Taken::Names(patterns.into_iter().map(Into::into).collect());
        self
    }

    /// Takes all variables of the network but those whose names match one of these patterns, which are those of
    /// [`names`](Self::names). They keep the values that the run's seed gives them, whatever tensors of their names the
    /// weights have; all others have to match. Each pattern must match a variable of the network or a tensor.
    ///
    /// Use it for a new head, whose weights are drawn anew: `except(["head.*"])`.
    #[must_use]
    pub fn except<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.taken = Taken::Except(patterns.into_iter().map(Into::into).collect());
        self
    }

    /// Takes only the variables of the network's first layers with weights, which are counted as by
    /// [`Freeze`](crate::train::Freeze).
    #[must_use]
    pub fn first_layers(mut self, layers: usize) -> Self {
        self.taken = Taken::FirstLayers(layers);
        self
    }

    /// Sets whether a chosen variable without a tensor of its name, shape and dtype keeps its fresh value,
    /// and whether tensors of the weights may be left over. The default is `false`: both are errors.
    #[must_use]
    pub fn allow_unmatched(mut self, allow: bool) -> Self {
        self.allow_unmatched = allow;
        self
    }

    /// Sets whether weights of another float type are converted to that of the network. The default is
    /// `false`.
    #[must_use]
    pub fn cast(mut self, cast: bool) -> Self {
        self.cast = cast;
        self
    }

    /// What does not match between the network and the weights, one difference each; with
    /// [`allow_unmatched`](Self::allow_unmatched) these variables keep their values.
    ///
    /// # Errors
    /// When there are not that many layers, or a pattern matches no variable.
    pub fn unmatched(&self, vars: &Vars) -> Result<Vec<String>> {
        Ok(self.matched(vars)?.differences)
    }

    /// Copies the weights into the variables of a network.
    ///
    /// [`Trainer::warm_start`](crate::train::Trainer::warm_start) does it before the first epoch of a run,
    /// and not when a run resumes.
    ///
    /// # Errors
    /// [`Error::Incompatible`] lists what does not match, unless that is allowed; and when nothing matches,
    /// there are not that many layers, a pattern matches no variable, or a weight is NaN or infinite in place
    /// of a finite one. No variable is changed then.
    pub fn load_into(&self, vars: &Vars) -> Result<()> {
        let found = self.matched(vars)?;
        if found.matched.is_empty() || !(found.differences.is_empty() || self.allow_unmatched) {
            let why = match found.differences.is_empty() {
                true => "no variable is taken".into(),
                false => format!("{}. {}", list(&found.differences), found.way_out(vars)),
            };
            return Err(Error::Incompatible {
                what: "the network and the weights of the warm start".into(),
                why,
            });
        }
        for (name, var, tensor) in &found.matched {
            if let (Some(found), None) = (first_non_finite(tensor)?, first_non_finite(var.as_tensor())?) {
                let what = format!("`{name}`{:?} of the warm start", found.position);
                return Err(Error::invalid(what, "finite, as it is in the network", found.value));
            }
        }
        // All copies to the device are made first, because they may fail.
        let ready = |(_, var, tensor): (String, Var, Tensor)| {
            let value = tensor.to_dtype(var.dtype())?.to_device(var.device())?;
            Ok((var, value))
        };
        for (var, value) in found.matched.into_iter().map(ready).collect::<CandleResult<Vec<_>>>()? {
            var.set(&value)?;
        }
        Ok(())
    }

    /// The chosen variables with the tensors that they take, and what does not match.
    fn matched(&self, vars: &Vars) -> Result<Matched> {
        let chosen: BTreeSet<String> = match &self.taken {
            Taken::All => floats(vars),
            Taken::FirstLayers(k) => first_layers("WarmStart::first_layers", *k, vars)?,
            Taken::Names(patterns) => by_patterns("WarmStart::names", patterns, vars)?,
            Taken::Except(patterns) => self.others(patterns, vars)?,
        };
        let mut found = Matched::default();
        for (name, var) in vars.named().into_iter().filter(|(name, _)| chosen.contains(name)) {
            let Some(tensor) = self.weights.get(&name) else {
                found.differences.push(format!("{name} is missing"));
                found.missing.push(name);
                continue;
            };
            let same_dtype = tensor.dtype() == var.dtype() || (self.cast && tensor.dtype().is_float());
            if tensor.dims() == var.dims() && same_dtype {
                found.matched.push((name, var, tensor.clone()));
                continue;
            }
            found.castable += usize::from(tensor.dims() == var.dims() && tensor.dtype().is_float());
            let (is, must) = (Kind::of(tensor), Kind::of(var.as_tensor()));
            found.differences.push(format!("{name} is {is} in place of {must}"));
        }
        let left_out = match &self.taken {
            Taken::All => Some(vec![]),
            Taken::Except(patterns) => Some(parsed("WarmStart::except", patterns)?),
            Taken::FirstLayers(_) | Taken::Names(_) => None,
        };
        let beyond = self.weights.iter().filter(|(name, tensor)| {
            let is_left_out = |globs: &Vec<Pattern>| globs.iter().any(|glob| glob.matches(name));
            tensor.dtype().is_float()
                && !chosen.contains(name.as_str())
                && !left_out.as_ref().is_some_and(is_left_out)
        });
        found.unexpected = beyond.map(|(name, _)| name.clone()).collect();
        if left_out.is_some() {
            let beyond = found.unexpected.iter().map(|name| format!("{name} is not of this model"));
            found.differences.extend(beyond);
        }
        Ok(found)
    }

    /// The variables that match none of the patterns.
    fn others(&self, patterns: &[String], vars: &Vars) -> Result<BTreeSet<String>> {
        let (globs, mut names) = (parsed("WarmStart::except", patterns)?, floats(vars));
        if let Some(glob) =
            globs.iter().find(|glob| !names.iter().chain(self.weights.keys()).any(|name| glob.matches(name)))
        {
            let must = "patterns that each match a variable of the network or a tensor of the weights";
            let was = format!("{:?}, which matches none", glob.as_str());
            return Err(Error::invalid("WarmStart::except", must, was));
        }
        names.retain(|name| !globs.iter().any(|glob| glob.matches(name)));
        Ok(names)
    }

    /// What distinguishes it from other warm starts, for the tag of a learner.
    pub(crate) fn tag(&self) -> String {
        let Self { digest, taken, allow_unmatched, cast, .. } = self;
        format!("warm start {} {taken:?} {allow_unmatched} {cast}", digest.to_hex())
    }
}

/// What a warm start finds in a network.
#[derive(Default)]
struct Matched {
    /// The variables that take a tensor.
    matched: Vec<(String, Var, Tensor)>,
    /// What does not match, in words.
    differences: Vec<String>,
    /// The variables without a tensor, and the tensors that are not taken.
    missing: Vec<String>,
    unexpected: Vec<String>,
    /// How many tensors differ from their variables in the type of floats alone.
    castable: usize,
}

impl Matched {
    /// What to do about variables that do not match.
    fn way_out(&self, vars: &Vars) -> String {
        if let Some(hint) = prefix_hint(&self.missing, &self.unexpected) {
            return hint;
        }
        if self.castable == self.differences.len() {
            return "WarmStart::cast(true) converts floats".into();
        }
        let taken: BTreeSet<&str> = self.matched.iter().map(|(name, ..)| name.as_str()).collect();
        let layer =
            |name: &str| name.rsplit_once('.').map_or(name.to_owned(), |(layer, _)| format!("{layer}.*"));
        let others: BTreeSet<String> = floats(vars)
            .iter()
            .filter(|name| !taken.contains(name.as_str()))
            .map(|name| layer(name))
            .collect();
        let patterns: Vec<String> =
            others.iter().take(LISTED).map(|pattern| format!("{pattern:?}")).collect();
        let fresh = match patterns.is_empty() {
            true => String::new(),
            false => format!("leave them fresh with WarmStart::except([{}]), or ", patterns.join(", ")),
        };
        format!("To start all the same, {fresh}take what matches with WarmStart::allow_unmatched(true)")
    }
}
