//! Probabilities made to mean what they say: before a rule, slot by slot, or after it.
mod after;
mod before;
mod cases;
mod isotonic;
mod temperature;
#[cfg(test)]
mod tests;
mod vector;

pub use after::{Calibrated, FittedCalibrated};
pub use before::{FittedOnCalibrated, OnCalibrated};

use crate::{
    combine::Combiner,
    metrics::{nll, Truth},
    Error, HeldOut, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor, D};
use candle_nn::ops;
use cases::Cases;
use isotonic::Isotonic;
use serde::{Deserialize, Serialize};

/// How class probabilities are calibrated: a map of them, fitted on rows that nobody behind the probabilities was
/// fitted on.
///
/// Probabilities below [`NLL_EPSILON`](crate::metrics::NLL_EPSILON) count as that, so that 0 and 1 are harmless.
///
/// As a step before or after a rule: [`Calibrate`]. On any probabilities:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Calibration, metrics::nll};
///
/// // Nine parts sure, right in two of three cases.
/// let probs = Tensor::new(&[[0.9f64, 0.1], [0.1, 0.9], [0.9, 0.1]], &Device::Cpu)?;
/// let labels = [0, 1, 1];
/// let calibrator = Calibration::Temperature.fit(&probs, &labels, None)?;
/// let better = calibrator.apply(&probs)?;
/// assert!((better.to_vec2::<f64>()?[0][0] - 2. / 3.).abs() < 1e-9);
/// assert!(nll(&better, &labels, None)? < nll(&probs, &labels, None)?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Calibration {
    /// `p' ∝ exp(ln p / T)`, one number `T` from 0.01 to 100 of least log-loss: sharper below 1, flatter above. The
    /// order of the classes stays (Guo et al. 2017, arXiv:1706.04599).
    Temperature,
    /// `p'_c ∝ exp(a_c ln p_c + b_c)`, a scale and an offset for each class, of least log-loss (Guo et al. 2017). A
    /// penalty of `5·10⁻⁹ (Σ_c (a_c − 1)² + b_c²)` keeps them finite where a class is missing or all rows are right.
    Vector,
    /// For each class the non-decreasing function of its probability that is nearest, in squares, to whether it is
    /// the true one, linear between the steps; normalised again (Zadrozny and Elkan 2002,
    /// doi:10.1145/775047.775151). Of two classes one function serves both. A class that the rows lack keeps its
    /// probability. Needs many rows, and gives probabilities of exactly 0.
    Isotonic,
}

impl Calibration {
    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::Vector => "vector-scaling",
            Self::Isotonic => "isotonic",
        }
    }

    /// Fits it on probabilities `(N, C)` with labels below C and weights, one a row.
    ///
    /// # Errors
    /// As the metrics ([`nll`]): no rows, numbers that differ, probabilities that are none.
    pub fn fit(self, probs: &Tensor, labels: &[u32], weights: Option<&[f32]>) -> Result<Calibrator> {
        nll(probs, labels, weights)?;
        let cases = Cases::new(probs, labels, weights)?;
        Ok(match self {
            Self::Temperature => Calibrator::Temperature(temperature::fit(&cases)?),
            Self::Vector => {
                let (scales, offsets) = vector::fit(&cases)?;
                Calibrator::Vector { scales, offsets }
            }
            Self::Isotonic => Calibrator::Isotonic(Isotonic::fit(&cases)),
        })
    }
}

/// A [`Calibration`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Calibrator {
    /// Changes nothing: there were no rows to fit it on.
    Identity,
    /// The temperature.
    Temperature(f64),
    /// `a` and `b` of each class.
    Vector {
        /// What log-probabilities are multiplied by.
        scales: Vec<f64>,
        /// What is added then.
        offsets: Vec<f64>,
    },
    /// A function for each class.
    Isotonic(Isotonic),
}

impl Calibrator {
    /// Calibrates probabilities `(N, C)`; NaN stays NaN.
    ///
    /// # Errors
    /// When there are not as many classes as in the fit.
    pub fn apply(&self, probs: &Tensor) -> CandleResult<Tensor> {
        let dtype = match probs.dtype() {
            DType::F64 => DType::F64,
            _ => DType::F32,
        };
        let wide = probs.to_dtype(dtype)?;
        let predicted = match self {
            Self::Identity => return Ok(probs.clone()),
            Self::Temperature(t) => ops::softmax(&(cases::ln(&wide)? / *t)?, D::Minus1)?,
            Self::Vector { scales, offsets } => {
                check(scales.len(), probs)?;
                let row =
                    |numbers: &Vec<f64>| Tensor::new(numbers.as_slice(), probs.device())?.to_dtype(dtype);
                let scaled = cases::ln(&wide)?.broadcast_mul(&row(scales)?)?;
                ops::softmax(&scaled.broadcast_add(&row(offsets)?)?, D::Minus1)?
            }
            Self::Isotonic(functions) => {
                check(functions.classes(), probs)?;
                functions.apply(&wide)?
            }
        };
        predicted.to_dtype(probs.dtype())
    }
}

fn check(classes: usize, probs: &Tensor) -> CandleResult<()> {
    match probs.dims2()? {
        (_, got) if got == classes => Ok(()),
        (_, got) => candle_core::bail!("calibrated for {classes} classes, not {got}"),
    }
}

/// Calibration as a step of any rule for classes.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]; 2], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1, 1, 0], &Device::Cpu)?)?;
/// let after = Mean.calibrated(Calibration::Temperature).fit(&held_out)?;
/// let before = GeometricMean.on_calibrated(Calibration::Vector).fit(&held_out)?;
/// let both = Mean.on_calibrated(Calibration::Vector).calibrated(Calibration::Isotonic);
/// assert_eq!(after.combine(&predictions)?.dims(), before.combine(&predictions)?.dims());
/// println!("{}", held_out.judge(&both)?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Calibrate: Combiner + Sized {
    /// What this rule says is calibrated, by a map fitted on what it says of rows that it was not fitted on itself.
    fn calibrated(self, calibration: Calibration) -> Calibrated<Self> {
        Calibrated::new(self, calibration)
    }

    /// The rule works on predictions that are each calibrated first.
    fn on_calibrated(self, calibration: Calibration) -> OnCalibrated<Self> {
        OnCalibrated::new(self, calibration)
    }
}

impl<C: Combiner> Calibrate for C {}

/// Labels and weights of the rows; an error for values.
fn answers(calibration: Calibration, held_out: &HeldOut) -> Result<(Vec<u32>, Option<Vec<f32>>)> {
    match held_out.truth()? {
        Truth::Classes(labels) => Ok((labels, held_out.row_weights()?)),
        Truth::Values(_) => {
            Err(Error::invalid(calibration.name(), "a rule for classes", "asked to calibrate values"))
        }
    }
}
