//! Variables with one entry for each member.
use crate::{
    nn::{many::masks, random::seed_of},
    registry::{Argument, ArgumentValue},
    weights::members::{has_entries, MEMBERS},
    Error,
};
use candle_core::{DType, Result, Tensor, Var};
use candle_nn::{init::NormalOrUniform, Init, VarBuilder};
use serde::{Deserialize, Serialize};
use std::{cell::Cell, fmt};

/// How the scales of members begin.
///
/// ```
/// use candle_ensemble::nn::many::{BatchEnsemble, ScaleInit};
///
/// assert_eq!(BatchEnsemble::new(4).init, ScaleInit::RandomSigns { probability: 0.5 });
/// let near_one = BatchEnsemble::new(4).init(ScaleInit::Normal { mean: 1., deviation: 0.5 });
/// assert!(ScaleInit::Normal { mean: 1., deviation: -0.5 }.check().is_err());
/// # let _ = near_one;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ScaleInit {
    /// Each scale is 1 with this probability and −1 otherwise.
    RandomSigns {
        /// The probability of 1, from 0 to 1.
        probability: f64,
    },
    /// Drawn from `N(mean, deviation²)`.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation, 0 or more.
        deviation: f64,
    },
    /// All scales are 1.
    Ones,
}

/// As in text: `random-signs:0.5`, `normal:1:0.5`, `ones`.
impl fmt::Display for ScaleInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomSigns { probability } => write!(f, "random-signs:{probability}"),
            Self::Normal { mean, deviation } => write!(f, "normal:{mean}:{deviation}"),
            Self::Ones => f.write_str("ones"),
        }
    }
}

impl ArgumentValue for ScaleInit {
    fn must_be() -> String {
        "random-signs, random-signs:probability, normal:mean:deviation or ones".into()
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        Some(match *parts {
            ["random-signs"] => Self::default(),
            ["random-signs", p] => Self::RandomSigns { probability: p.parse().ok()? },
            ["normal", mean, deviation] => {
                Self::Normal { mean: mean.parse().ok()?, deviation: deviation.parse().ok()? }
            }
            ["ones"] => Self::Ones,
            _ => return None,
        })
    }
}

/// 1 and −1 with the same probability.
impl Default for ScaleInit {
    fn default() -> Self {
        Self::RandomSigns { probability: 0.5 }
    }
}

/// The argument for how scales begin.
pub(super) const INIT: Argument = Argument::new(
    "init",
    "random-signs",
    "How scales begin: random-signs:probability, normal:mean:deviation or ones",
)
.nested();

/// The argument behind the others of a text; empty for the default.
pub(super) fn init_text(init: ScaleInit) -> String {
    match init == ScaleInit::default() {
        true => String::new(),
        false => format!(":init={init}"),
    }
}

impl ScaleInit {
    /// Checks the parameters.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn check(&self) -> crate::Result<()> {
        use crate::check::{non_negative, require};
        match *self {
            Self::RandomSigns { probability } => {
                let what = "ScaleInit::RandomSigns::probability";
                require((0. ..=1.).contains(&probability), what, "from 0 to 1", probability)
            }
            Self::Normal { mean, deviation } => {
                require(mean.is_finite(), "ScaleInit::Normal::mean", "finite", mean)?;
                non_negative("ScaleInit::Normal::deviation", deviation)
            }
            Self::Ones => Ok(()),
        }
    }
}

/// How a variable begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// Each entry is drawn on its own.
    Each(Init),
    /// All entries are equal.
    Alike(Init),
    /// Each number is 1 with this probability, and −1 otherwise.
    Signs(f64),
    /// Integers: the masks of [`Masksembles`](crate::nn::many::Masksembles) with this scale.
    Masks { scale: f64 },
}

impl From<ScaleInit> for Start {
    fn from(init: ScaleInit) -> Self {
        match init {
            ScaleInit::RandomSigns { probability } => Self::Signs(probability),
            ScaleInit::Normal { mean, deviation } => Self::Each(Init::Randn { mean, stdev: deviation }),
            ScaleInit::Ones => Self::Each(Init::Const(1.)),
        }
    }
}

/// The source of the variables with one entry for each member. The first that is stored says how many members there are:
/// there may be fewer of them than declared.
pub(super) struct Variables<'a> {
    root: VarBuilder<'a>,
    declared: usize,
    found: Cell<Option<usize>>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(root: VarBuilder<'a>, declared: usize) -> Self {
        Self { root, declared, found: Cell::new(None) }
    }

    /// The number of members: that of the variables, if there are any yet.
    pub(super) fn count(&self) -> usize {
        self.found.get().unwrap_or(self.declared)
    }

    /// The variable `<layer>.members.<name>` with entries of these dimensions, `(M, …)`.
    ///
    /// # Errors
    /// When what is stored has entries of other dimensions, or for another number of members.
    pub(super) fn get(
        &self,
        layer: &str,
        name: &str,
        entry: &[usize],
        start: Start,
        dtype: DType,
    ) -> Result<Tensor> {
        let at = [layer, MEMBERS].into_iter().filter(|part| !part.is_empty());
        let vb = at.fold(self.root.clone(), |vb, part| vb.pp(part));
        debug_assert!(has_entries(&vb.pp(name).prefix()));
        if vb.contains_tensor(name) {
            let stored = vb.get_unchecked_dtype(name, dtype)?;
            self.check(&vb.pp(name).prefix(), stored.dims(), entry)?;
            return Ok(stored);
        }
        let count = self.count();
        let dims = [&[count], entry].concat();
        let declared = match start {
            Start::Each(init) | Start::Alike(init) => of_entry(init, entry),
            Start::Signs(_) => Init::Uniform { lo: -1., up: 1. },
            Start::Masks { .. } => Init::Uniform { lo: 0., up: u32::MAX.into() },
        };
        let made = vb.get_with_hints_dtype(dims, name, declared, dtype)?;
        self.found.set(Some(count));
        // It has just been made, so nothing is lost. What is no variable is not for training.
        if made.is_variable() {
            begin(&Var::from_tensor(&made)?, start)?;
        }
        Ok(made)
    }

    fn check(&self, name: &str, stored: &[usize], entry: &[usize]) -> Result<()> {
        let (count, of_entry) = stored.split_first().unwrap_or((&0, &[]));
        let (most, must) = match self.found.get() {
            Some(found) => (found, format!("{found}, as for other variables")),
            None => (self.declared, format!("from 1 to {}, those of the constructor", self.declared)),
        };
        if of_entry != entry {
            let must = format!("(members, {}), as the layer is built", shown(entry));
            return Err(Error::invalid(format!("the shape of {name}"), must, format!("{stored:?}")).into());
        }
        if *count == 0 || *count > most || self.found.get().is_some_and(|found| found != *count) {
            return Err(Error::invalid(format!("the number of members in {name}"), must, count).into());
        }
        self.found.set(Some(*count));
        Ok(())
    }
}

fn shown(dims: &[usize]) -> String {
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a layer of one member declares, as a distribution that does not depend on the shape: a backend sees the shape of all
/// entries.
fn of_entry(init: Init, entry: &[usize]) -> Init {
    match init {
        Init::Kaiming { dist, fan, non_linearity } => {
            let stdev = non_linearity.gain() / (fan.for_shape(&entry.into()) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => Init::Randn { mean: 0., stdev },
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * stdev;
                    Init::Uniform { lo: -bound, up: bound }
                }
            }
        }
        other => other,
    }
}

/// Sets a fresh variable to what no `Init` can say.
fn begin(var: &Var, start: Start) -> Result<()> {
    let drawn = var.as_detached_tensor();
    match start {
        Start::Each(_) => Ok(()),
        Start::Alike(_) => var.set(&drawn.narrow(0, 0, 1)?.broadcast_as(var.shape())?.force_contiguous()?),
        Start::Signs(probability) => {
            // Uniform from −1 to 1, which is below 2p − 1 with probability p.
            let positive = drawn.lt(2. * probability - 1.)?.to_dtype(var.dtype())?;
            var.set(&positive.affine(2., -1.)?)
        }
        Start::Masks { scale } => {
            let (members, features) = drawn.dims2()?;
            let seed = seed_of(&drawn.flatten_all()?.to_vec1::<u32>()?);
            let masks = masks::draw(features, members, scale, seed)?;
            var.set(&Tensor::from_vec(masks, var.shape(), var.device())?)
        }
    }
}
