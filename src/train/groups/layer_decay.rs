//! Learning rates that fall from the output to the input.
use crate::{
    plan::{Settings, Value},
    train::transfer::parsed,
    weights::{compatibility::is_statistic, layers, Vars},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Layer-wise decay of the learning rate: the last layer has the full rate, and each layer before it a rate that is smaller
/// by a factor, as data.
///
/// ```text
/// η_l = η · factor^(L − 1 − l)        for layer l of 0 … L − 1, counted from the input
/// ```
///
/// Layers are those of [`weights::layers`](crate::weights::layers()) with weights, in the order in which the constructor
/// makes them; a layer of batch normalization with a name of its own is one. [`blocks`](Self::blocks) names larger parts in
/// their place, such as the blocks of a transformer. The factor multiplies the rate of a variable's
/// [`ParameterGroup`](crate::train::ParameterGroup) and whatever the schedule says.
///
/// Use it to fine-tune deep networks: lower layers compute what most tasks need and should move less. Common factors are
/// 0.65 to 0.9 for transformer blocks, and 1/2.6 for ULMFiT's few layers. It does not help a network that is trained from
/// fresh weights, whose lower layers would learn too slowly.
///
/// Cost: none.
///
/// ```
/// use candle_ensemble::train::{LayerDecay, Trainer};
///
/// let decay = LayerDecay::new(0.8).blocks(["embedding.*", "block.0.*", "block.1.*", "head.*"]);
/// assert_eq!(LayerDecay::parse("0.8:embedding.*|block.0.*|block.1.*|head.*")?, decay);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).layer_decay(0.9);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Howard and Ruder (2018), arXiv:1801.06146; Clark et al. (2020), "ELECTRA", arXiv:2003.10555; Bao et al. (2022),
/// "BEiT", arXiv:2106.08254.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerDecay {
    /// The factor from one layer to the one before it, above 0 and at most 1.
    pub factor: f64,
    /// Glob patterns of the blocks from the input to the output, which count as layers. Empty for the layers themselves.
    pub blocks: Vec<String>,
}

impl From<f64> for LayerDecay {
    /// [`LayerDecay::new`].
    fn from(factor: f64) -> Self {
        Self::new(factor)
    }
}

impl LayerDecay {
    /// This factor from layer to layer.
    #[must_use]
    pub fn new(factor: f64) -> Self {
        Self { factor, blocks: vec![] }
    }

    /// Counts blocks in place of layers: glob patterns of names, from the input to the output. A variable belongs to the
    /// first pattern that it matches, and must match one; each pattern must match a variable.
    #[must_use]
    pub fn blocks<S: Into<String>>(self, patterns: impl IntoIterator<Item = S>) -> Self {
        Self { blocks: patterns.into_iter().map(Into::into).collect(), ..self }
    }

    /// Reads a text: the factor, and the patterns of blocks after a colon, separated by `|`.
    ///
    /// # Errors
    /// When the text is none, or a value is out of range.
    pub fn parse(text: &str) -> Result<Self> {
        let (factor, blocks) = text.split_once(':').unwrap_or((text, ""));
        let must = "a factor such as 0.8, or one with blocks such as 0.8:block.0.*|block.1.*";
        let factor =
            factor.trim().parse().map_err(|_| Error::invalid("layer_decay", must, format!("{text:?}")))?;
        let blocks = blocks.split('|').map(str::trim).filter(|block| !block.is_empty());
        let decay = Self::new(factor).blocks(blocks);
        decay.check()?;
        Ok(decay)
    }

    /// What a run's setting `"layer_decay"` says: a number or a text. `None` if it is not set.
    pub(crate) fn of_run(settings: &Settings) -> Result<Option<Self>> {
        match settings.iter().find(|(name, _)| *name == "layer_decay") {
            None => Ok(None),
            Some((_, Value::Text(text))) => Self::parse(text).map(Some),
            Some(_) => Ok(settings.real("layer_decay")?.map(Self::new)),
        }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        let in_range = self.factor > 0. && self.factor <= 1.;
        crate::check::require(in_range, "LayerDecay::factor", "above 0 and at most 1", self.factor)?;
        parsed("LayerDecay::blocks", &self.blocks).map(drop)
    }

    /// The factor on the learning rate of each trained variable of a network, by name.
    ///
    /// # Errors
    /// When a pattern matches no variable, or a variable matches none.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_ensemble::{train::LayerDecay, weights::fresh};
    ///
    /// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// for name in ["first", "second", "head"] {
    ///     candle_nn::linear(2, 2, vb.pp(name))?;
    /// }
    /// let factors = LayerDecay::new(0.5).factors(&vars)?;
    /// assert_eq!((factors["first.weight"], factors["second.bias"], factors["head.weight"]), (0.25, 0.5, 1.));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn factors(&self, vars: &Vars) -> Result<BTreeMap<String, f64>> {
        self.check()?;
        let mut names = vars.named();
        names.retain(|(name, var)| var.dtype().is_float() && !is_statistic(name));
        let numbers = if self.blocks.is_empty() { by_layers(vars) } else { self.by_blocks(&names)? };
        let count = if self.blocks.is_empty() {
            numbers.values().max().map_or(0, |last| last + 1)
        } else {
            self.blocks.len()
        };
        let factor = |(name, _)| {
            let depth = numbers.get(&name).map_or(0, |number| count.saturating_sub(number + 1));
            (name, self.factor.powi(i32::try_from(depth).unwrap_or(i32::MAX)))
        };
        Ok(names.into_iter().map(factor).collect())
    }

    /// The number of each variable's block.
    fn by_blocks(&self, names: &[(String, candle_core::Var)]) -> Result<BTreeMap<String, usize>> {
        let globs = parsed("LayerDecay::blocks", &self.blocks)?;
        let mut numbers = BTreeMap::new();
        for (name, _) in names {
            let Some(number) = globs.iter().position(|glob| glob.matches(name)) else {
                let must = "patterns of which one matches each trained variable";
                let was = format!("ones of which none matches {name}");
                return Err(Error::invalid("LayerDecay::blocks", must, was));
            };
            numbers.insert(name.clone(), number);
        }
        match (0..globs.len()).find(|number| numbers.values().all(|of| of != number)) {
            Some(number) => {
                let must = "patterns that are each the first to match some variable";
                let was = format!("with {:?}, which is the first for none", self.blocks[number]);
                Err(Error::invalid("LayerDecay::blocks", must, was))
            }
            None => Ok(numbers),
        }
    }
}

/// The number of each variable's layer among those with weights.
fn by_layers(vars: &Vars) -> BTreeMap<String, usize> {
    let with_weights = layers(vars).into_iter().filter(|layer| layer.is_trained).enumerate();
    with_weights.flat_map(|(number, layer)| layer.names.into_iter().map(move |name| (name, number))).collect()
}

/// As [`parse`](LayerDecay::parse) reads it.
impl fmt::Display for LayerDecay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.factor)?;
        match self.blocks.is_empty() {
            true => Ok(()),
            false => write!(f, ":{}", self.blocks.join("|")),
        }
    }
}
