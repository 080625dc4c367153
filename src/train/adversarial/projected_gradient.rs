//! Projected gradient descent.
use crate::{
    check::{positive, require},
    registry::{Argument, Entry},
    train::adversarial::{made, Adversarial},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Adversarial training by projected gradient descent: each step of the optimizer is made on inputs that several steps have
/// moved towards a larger loss, each within a box around the inputs of the batch.
///
/// ```text
/// δ₀ = 0, or drawn uniformly from the box
/// δ ← clamp(δ + α r · sign(∂ loss(x + δ) / ∂x), −ε r, ε r)      with the range r of each input over the training rows
/// step on (1 − s) loss(x) + s loss(x + δ)
/// ```
///
/// `x` are the inputs as the network gets them, scaled and with noise. No gradient passes through `δ`. With limits of the
/// inputs, `x + δ` is brought into them after each step. The recorded loss is that of `x`.
///
/// With one step of the size of the radius, no random start, and the share ½, it is
/// [`FastGradientSign`](crate::train::FastGradientSign) to the bit.
///
/// Use it where inputs may be changed on purpose, and accept that predictions for unchanged inputs become worse. For smooth
/// uncertainty around the training rows the cheaper [`FastGradientSign`](crate::train::FastGradientSign) is usual.
///
/// Cost: a step takes as long as `steps + 1` plain ones, and one more with a random start.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range. A run fails if there are several
/// inputs, or if the input is not of floats.
///
/// Source: Madry et al. 2018, arXiv:1706.06083.
///
/// ```
/// use candle_ensemble::train::{Adversarial, ProjectedGradient, Trainer};
///
/// // Pixels from 0 to 1, ten steps.
/// let method = ProjectedGradient::new(0.1).steps(10).limits(0., 1.);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).adversarial(method);
/// assert_eq!(Adversarial::registry().parse("pgd:0.1:10:low=0:high=1")?, method.into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProjectedGradient {
    /// How far each input is moved at most, as a share `ε` of its range over the training rows.
    pub radius: f64,
    /// The number of steps, at least 1. Default 7.
    pub steps: usize,
    /// How far a step moves each input, as a share `α` of its range. `None`, the default, means `2.5 ε / steps`, with which
    /// every point of the box can be reached.
    pub step_size: Option<f64>,
    /// Whether the first step starts from a random point of the box. Default yes.
    pub random_start: bool,
    /// The share `s` of the loss of the moved inputs, above 0 and at most 1. Default 1: the inputs of the batch are not trained
    /// on.
    pub share: f64,
    /// The limits of inputs, which moved ones keep, in the units of the network's inputs. Default none.
    pub limits: Option<(f64, f64)>,
}

const ARGUMENTS: &[Argument] = &[
    Argument::new("radius", "0.03", "How far inputs are moved at most, as a share of their range"),
    Argument::new("steps", "7", "The number of steps"),
    Argument::optional("step-size", "How far a step moves inputs, as a share of their range"),
    Argument::new("random-start", "true", "Whether the first step starts from a random point"),
    Argument::new("share", "1", "The share of the loss of the moved inputs"),
    Argument::optional("low", "The lower limit of inputs"),
    Argument::optional("high", "The upper limit of inputs"),
];

pub(super) const ENTRY: Entry<Adversarial> = Entry::new(
    "projected-gradient",
    "ProjectedGradient",
    "Steps on inputs that several steps have moved towards a larger loss",
    |arguments| {
        let limits = match (arguments.optional("low")?, arguments.optional("high")?) {
            (Some(low), Some(high)) => Some((low, high)),
            (None, None) => None,
            _ => {
                let what = "the arguments low and high of projected-gradient";
                return Err(Error::invalid(what, "given both, or none of them", "one of them alone"));
            }
        };
        made(ProjectedGradient {
            radius: arguments.get("radius")?,
            steps: arguments.get("steps")?,
            step_size: arguments.optional("step-size")?,
            random_start: arguments.get("random-start")?,
            share: arguments.get("share")?,
            limits,
        })
    },
)
.with_aliases(&["pgd"])
.with_arguments(ARGUMENTS)
.with_source("Madry et al. 2018, arXiv:1706.06083");

impl ProjectedGradient {
    /// Seven steps from a random start within this share of the range of each input.
    #[must_use]
    pub fn new(radius: f64) -> Self {
        Self { radius, steps: 7, step_size: None, random_start: true, share: 1., limits: None }
    }

    /// Sets the number of steps.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets how far a step moves each input, as a share of its range.
    #[must_use]
    pub fn step_size(mut self, step_size: f64) -> Self {
        self.step_size = Some(step_size);
        self
    }

    /// Sets whether the first step starts from a random point.
    #[must_use]
    pub fn random_start(mut self, random: bool) -> Self {
        self.random_start = random;
        self
    }

    /// Sets the share of the loss of the moved inputs.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets the limits of inputs, which the inputs of the batch are expected to keep too.
    #[must_use]
    pub fn limits(mut self, low: f64, high: f64) -> Self {
        self.limits = Some((low, high));
        self
    }

    /// How far a step moves each input, as a share of its range.
    pub(super) fn size_of_step(&self) -> f64 {
        self.step_size.unwrap_or(2.5 * self.radius / self.steps as f64)
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("ProjectedGradient::radius", self.radius)?;
        require(self.steps > 0, "ProjectedGradient::steps", "at least 1", self.steps as f64)?;
        positive("ProjectedGradient::step_size", self.size_of_step())?;
        let is_share = self.share > 0. && self.share <= 1.;
        require(is_share, "ProjectedGradient::share", "above 0 and at most 1", self.share)?;
        match self.limits {
            Some((low, high)) if low >= high || low.is_nan() || high.is_nan() => {
                let got = format!("from {low} to {high}");
                Err(Error::invalid("ProjectedGradient::limits", "from a number to a larger one", got))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ProjectedGradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { radius, steps, step_size, random_start, share, limits } = self;
        write!(f, "projected-gradient:{radius}:{steps}")?;
        if let Some(size) = step_size {
            write!(f, ":step-size={size}")?;
        }
        if !random_start {
            f.write_str(":random-start=false")?;
        }
        if *share != 1. {
            write!(f, ":share={share}")?;
        }
        match limits {
            Some((low, high)) => write!(f, ":low={low}:high={high}"),
            None => Ok(()),
        }
    }
}
