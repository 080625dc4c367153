//! Loss scaling for training in half precision.
use crate::{
    check::{positive, require},
    registry::{Argument, Entry, Registry},
    Error, Result,
};
use candle_core::{DType, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Loss scaling: the loss is multiplied by a scale before its gradients are computed, and the gradients are
/// divided by it in the optimizer's step, so that small gradients do not vanish in half precision.
///
/// ```text
/// Static(s):  s
/// Dynamic:    s ← s · backoff     after a step whose gradients are not finite; that step is skipped
///             s ← s · growth      after `every` steps in a row whose gradients were finite
/// ```
///
/// Use it with networks in `f16`, which has no numbers between 0 and 6e-8: most gradients are smaller in many
/// networks. [`LossScale::Dynamic`] needs no tuning. Do not use it in `f32`, nor in `bf16`, which has the
/// range of `f32`: there it gains nothing.
///
/// Cost: one multiplication of the loss; [`LossScale::Dynamic`] reads all gradients once more, and loses the
/// steps that it skips, one in some thousand.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range.
///
/// # Sources
/// Micikevicius et al. 2018, arXiv:1710.03740, section 3.2. The defaults of [`LossScale::dynamic`] are those
/// of PyTorch's `GradScaler`.
///
/// ```
/// use candle_ensemble::train::LossScale;
///
/// assert_eq!(LossScale::registry().parse("static:1024")?, LossScale::Static(1024.0));
/// assert_eq!(LossScale::registry().parse("dynamic")?, LossScale::dynamic());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LossScale {
    /// Always this scale. A gradient that is not finite enters the weights, as it does without a scale.
    Static(f64),
    /// The largest scale at which gradients are finite, found by trying.
    Dynamic {
        /// The first scale. Default 65536.
        initial: f64,
        /// The factor by which it grows, above 1. Default 2.
        growth: f64,
        /// The factor by which it falls, between 0 and 1. Default 0.5.
        backoff: f64,
        /// Steps in a row with finite gradients after which it grows, at least 1. Default 2000.
        every: usize,
    },
}

impl LossScale {
    /// [`LossScale::Dynamic`] with the defaults.
    #[must_use]
    pub fn dynamic() -> Self {
        Self::Dynamic { initial: 65536.0, growth: 2.0, backoff: 0.5, every: 2000 }
    }

    /// The scalings by name. The trainer reads such a text from a run's setting `"loss_scale"`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<LossScale>> =
            LazyLock::new(|| Registry::new("loss scale", LossScale::ENTRIES.to_vec()));
        &REGISTRY
    }

    const STATIC: &[Argument] = &[Argument::new("scale", "1024", "The scale")];

    const DYNAMIC: &[Argument] = &[
        Argument::new("initial", "65536", "The first scale"),
        Argument::new("growth", "2", "The factor by which it grows"),
        Argument::new("backoff", "0.5", "The factor by which it falls where gradients are not finite"),
        Argument::new("every", "2000", "Steps in a row with finite gradients after which it grows"),
    ];

    const ENTRIES: &[Entry<Self>] = &[
        Entry::new("static", "LossScale::Static", "Always the same scale", |arguments| {
            Ok(Self::Static(arguments.get("scale")?))
        })
        .with_arguments(Self::STATIC),
        Entry::new(
            "dynamic",
            "LossScale::Dynamic",
            "The largest scale at which gradients are finite",
            |arguments| {
                Ok(Self::Dynamic {
                    initial: arguments.get("initial")?,
                    growth: arguments.get("growth")?,
                    backoff: arguments.get("backoff")?,
                    every: arguments.get("every")?,
                })
            },
        )
        .with_arguments(Self::DYNAMIC)
        .with_source("Micikevicius et al. 2018, arXiv:1710.03740"),
    ];

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Static(scale) => in_f32("LossScale::Static", scale),
            Self::Dynamic { initial, growth, backoff, every } => {
                in_f32("LossScale::Dynamic::initial", initial)?;
                positive("LossScale::Dynamic::growth", growth)?;
                require(growth > 1.0, "LossScale::Dynamic::growth", "above 1", growth)?;
                crate::check::share("LossScale::Dynamic::backoff", backoff)?;
                match every {
                    0 => Err(Error::invalid("LossScale::Dynamic::every", "at least 1 step", 0)),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Whether a scale, and one over it, are normal numbers of `f32`.
fn is_usable(scale: f64) -> bool {
    const LARGEST: f64 = 1e38;
    (1.0 / LARGEST..=LARGEST).contains(&scale)
}

fn in_f32(what: &str, scale: f64) -> Result<()> {
    require(is_usable(scale), what, "from 1e-38 to 1e38", scale)
}

/// A [`LossScale`] in use: the scale of the next step, and how many steps it has been good for. It is data,
/// so that a training which is resumed continues with it.
///
/// ```
/// use candle_core::{DType, Device, Var};
/// use candle_ensemble::train::{Clip, LossScale, LossScaling, Optimizer, OptimizerState};
///
/// // Half of the smallest number of f16 is the gradient.
/// let w = Var::zeros((), DType::F16, &Device::Cpu)?;
/// let mut state = OptimizerState::new(&Optimizer::sgd(1e5), vec![("w".into(), w.clone())])?;
/// let mut scaling = LossScaling::new(LossScale::Static(1024.0))?;
/// let loss = (w.to_dtype(DType::F32)? * 2f64.powi(-25))?;
/// let gradients = scaling.scale(&loss)?.backward()?;
/// assert!(state.step_scaled(&gradients, 1e5, &Clip::None, &mut scaling)?);
/// let expected = -1e5 * 2f32.powi(-25);
/// assert!((w.to_dtype(DType::F32)?.to_scalar::<f32>()? / expected - 1.0).abs() < 1e-3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScaling {
    setting: LossScale,
    scale: f64,
    good_steps: usize,
}

impl LossScaling {
    /// The scaling before the first step.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a parameter is out of range.
    pub fn new(setting: LossScale) -> Result<Self> {
        setting.check()?;
        let scale = match setting {
            LossScale::Static(scale) => scale,
            LossScale::Dynamic { initial, .. } => initial,
        };
        Ok(Self { setting, scale, good_steps: 0 })
    }

    /// The setting that it was made of.
    #[must_use]
    pub fn setting(&self) -> LossScale {
        self.setting
    }

    /// The scale of the next step.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.scale
    }

    /// The loss times the scale, in `f32` where the loss is in half precision, which most scales would leave.
    /// Give the gradients of the result to
    /// [`OptimizerState::step_scaled`](crate::train::OptimizerState::step_scaled).
    ///
    /// # Errors
    /// When candle fails.
    pub fn scale(&self, loss: &Tensor) -> CResult<Tensor> {
        match loss.dtype() {
            DType::F64 => loss * self.scale,
            _ => loss.to_dtype(DType::F32)? * self.scale,
        }
    }

    pub(crate) fn is_dynamic(&self) -> bool {
        matches!(self.setting, LossScale::Dynamic { .. })
    }

    /// Call it after each step, with whether its gradients were finite.
    pub(crate) fn after_step(&mut self, finite: bool) -> Result<()> {
        let LossScale::Dynamic { growth, backoff, every, .. } = self.setting else { return Ok(()) };
        if !finite {
            self.good_steps = 0;
            let scale = self.scale * backoff;
            if !is_usable(scale) {
                return Err(Error::invalid(
                    "the gradients",
                    "finite at some scale of the loss",
                    "not finite",
                ));
            }
            self.scale = scale;
            return Ok(());
        }
        self.good_steps += 1;
        if self.good_steps >= every {
            self.good_steps = 0;
            if is_usable(self.scale * growth) {
                self.scale *= growth;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch 2.15: `GradScaler("cpu", 1024, 4, 0.25, 2)`, with a gradient that is infinite at the steps for
    /// which it is `false`: `update`, then `get_scale`.
    #[test]
    fn the_dynamic_scale_is_that_of_pytorch() {
        let setting = LossScale::Dynamic { initial: 1024.0, growth: 4.0, backoff: 0.25, every: 2 };
        let mut scaling = LossScaling::new(setting).unwrap();
        for (finite, expected) in [
            (true, 1024.0),
            (true, 4096.0),
            (true, 4096.0),
            (false, 1024.0),
            (true, 1024.0),
            (false, 256.0),
            (false, 64.0),
            (true, 64.0),
            (true, 256.0),
            (true, 256.0),
            (true, 1024.0),
        ] {
            scaling.after_step(finite).unwrap();
            assert_eq!(scaling.factor(), expected);
            let text = serde_json::to_string(&scaling).unwrap();
            assert_eq!(serde_json::from_str::<LossScaling>(&text).unwrap(), scaling);
        }
    }

    #[test]
    fn a_static_scale_stays() {
        let mut scaling = LossScaling::new(LossScale::Static(8.0)).unwrap();
        for finite in [true, false] {
            scaling.after_step(finite).unwrap();
        }
        assert_eq!(scaling, LossScaling::new(LossScale::Static(8.0)).unwrap());
    }

    #[test]
    fn the_scale_stays_in_the_range_of_f32() {
        let setting = LossScale::Dynamic { initial: 1e37, growth: 8.0, backoff: 0.5, every: 1 };
        let mut scaling = LossScaling::new(setting).unwrap();
        for _ in 0..9 {
            scaling.after_step(true).unwrap();
        }
        assert_eq!(scaling.factor(), 8e37);
        let failed =
            (0..1000).find_map(|step| scaling.after_step(false).err().map(|e| (step, e.to_string())));
        let (step, e) = failed.unwrap();
        assert_eq!(step, (8e75f64).log2().floor() as usize);
        assert_eq!(e, "the gradients must be finite at some scale of the loss, but is not finite");
    }

    #[test]
    fn bad_parameters_are_named() {
        let dynamic =
            |initial, growth, backoff, every| LossScale::Dynamic { initial, growth, backoff, every };
        for (setting, name) in [
            (LossScale::Static(0.0), "Static"),
            (LossScale::Static(1e39), "Static"),
            (dynamic(f64::NAN, 2.0, 0.5, 1), "initial"),
            (dynamic(1.0, 1.0, 0.5, 1), "growth"),
            (dynamic(1.0, f64::INFINITY, 0.5, 1), "growth"),
            (dynamic(1.0, 2.0, 1.0, 1), "backoff"),
            (dynamic(1.0, 2.0, 0.0, 1), "backoff"),
            (dynamic(1.0, 2.0, 0.5, 0), "every"),
        ] {
            let e = LossScaling::new(setting).unwrap_err().to_string();
            assert!(e.contains(&format!("::{name} must be")), "{e}");
        }
        assert!(LossScale::dynamic().check().is_ok());
    }

    #[test]
    fn a_text_makes_the_scale_that_it_describes() {
        let parse = |text| LossScale::registry().parse(text).unwrap();
        assert_eq!(parse("static"), LossScale::Static(1024.0));
        let expected = LossScale::Dynamic { initial: 256.0, growth: 2.0, backoff: 0.5, every: 10 };
        assert_eq!(parse("dynamic:256:every=10"), expected);
    }
}
