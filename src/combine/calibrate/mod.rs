//! Calibration: class probabilities are corrected so that they agree with the frequencies of the classes.
//!
//! Neural networks are often overconfident: of the rows that get a probability of 0.9, fewer than 90 % have
//! the class. A [`Calibration`] fits a map of the probabilities on held-out rows. [`Calibrate`] makes it part
//! of a combiner: each slot is calibrated before its prediction is combined, or the combined probabilities
//! are calibrated.
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

/// A method to calibrate class probabilities, `(N, C) -> (N, C)`. It is fitted on held-out rows, for which
/// neither a member nor the combiner was fitted.
///
/// ```text
/// Temperature  p'_c ∝ p_c^(1/T)
/// Vector       p'_c ∝ p_c^(a_c) exp(b_c)
/// Isotonic     p'_c ∝ f_c(p_c)    f_c non-decreasing
/// ```
///
/// Start with the temperature: it has one parameter, needs few rows and never changes the predicted class.
/// Vector scaling also corrects classes that are predicted too often; isotonic regression fits any monotone
/// error, but needs hundreds of rows of each class. Calibration does not help a combiner whose probabilities
/// are not read, only its most probable class. Probabilities below
/// [`NLL_EPSILON`](crate::metrics::NLL_EPSILON) count as that, so that 0 and 1 do no harm. Fitting takes some
/// hundred passes over the `N·C` numbers at most.
///
/// [`Calibrate`] makes a calibration a step before or after a combiner. It can also be used on any
/// probabilities:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Calibration, metrics::nll};
///
/// // 90 % sure, and right in two of three cases.
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
    /// Temperature scaling, `p'_c ∝ exp(ln p_c / T)`. The temperature `T`, from 0.01 to 100, is the one with
    /// the least log-loss. Below 1 it makes probabilities sharper, above 1 flatter. The order of the classes
    /// does not change. Source: Guo et al. 2017, arXiv:1706.04599.
    Temperature,
    /// Vector scaling, `p'_c ∝ exp(a_c ln p_c + b_c)`. The scale and the offset of each class are those with
    /// the least log-loss. A penalty of `5·10⁻⁹ Σ_c ((a_c − 1)² + b_c²)` keeps them finite when a class is
    /// missing or every row is predicted correctly. Source: Guo et al. 2017, arXiv:1706.04599.
    Vector,
    /// Isotonic regression: for each class the non-decreasing function of its probability with the least
    /// squared distance to the targets (1 for rows of the class, 0 for the others), linear between its
    /// points. The results are divided by their sum. For two classes one function serves both. A class that
    /// no row has keeps its probability. The result can be exactly 0. Source: Zadrozny and Elkan 2002,
    /// doi:10.1145/775047.775151.
    Isotonic,
}

impl Calibration {
    /// The name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::Vector => "vector-scaling",
            Self::Isotonic => "isotonic",
        }
    }

    /// Fits the calibration on probabilities `(N, C)`, with a label below `C` and optionally a weight for
    /// each row.
    ///
    /// # Errors
    /// The errors of [`nll`]: when there are no rows, when the numbers of rows, labels and weights differ, or
    /// when a row does not hold probabilities.
    pub fn fit(self, probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<Calibrator> {
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

/// A fitted [`Calibration`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Calibrator {
    /// The identity, when there were no rows to fit on.
    Identity,
    /// The temperature `T`.
    Temperature(f64),
    /// The scales and offsets of the classes.
    Vector {
        /// The factors `a_c` of the log-probabilities.
        scales: Vec<f64>,
        /// The summands `b_c`.
        offsets: Vec<f64>,
    },
    /// A non-decreasing function for each class.
    Isotonic(Isotonic),
}

impl Calibrator {
    /// Checks that the parameters agree with each other.
    fn check(&self) -> Result<()> {
        match self {
            Self::Identity => Ok(()),
            Self::Temperature(t) if *t > 0. && t.is_finite() => Ok(()),
            Self::Temperature(t) => Err(Error::invalid("temperature", "positive and finite", t)),
            Self::Vector { scales, offsets } if !scales.is_empty() && scales.len() == offsets.len() => Ok(()),
            Self::Vector { scales, offsets } => {
                let got = format!("{} and {}", scales.len(), offsets.len());
                Err(Error::invalid("numbers of scales and offsets", "equal and positive", got))
            }
            Self::Isotonic(functions) => functions.check(),
        }
    }

    /// Calibrates probabilities, `(N, C) -> (N, C)`. NaN stays NaN.
    ///
    /// # Errors
    /// When the number of classes is not that of the fit.
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
                check_classes(scales.len(), probs)?;
                let row =
                    |numbers: &Vec<f64>| Tensor::new(numbers.as_slice(), probs.device())?.to_dtype(dtype);
                let scaled = cases::ln(&wide)?.broadcast_mul(&row(scales)?)?;
                ops::softmax(&scaled.broadcast_add(&row(offsets)?)?, D::Minus1)?
            }
            Self::Isotonic(functions) => {
                check_classes(functions.classes(), probs)?;
                functions.apply(&wide)?
            }
        };
        predicted.to_dtype(probs.dtype())
    }
}

fn check_classes(classes: usize, probs: &Tensor) -> CandleResult<()> {
    match probs.dims2()? {
        (_, got) if got == classes => Ok(()),
        (_, got) => candle_core::bail!("the calibration was fitted on {classes} classes, not {got}"),
    }
}

/// Calibration as a step of a combiner. It is implemented for every combiner.
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
    /// Calibrates the combined probabilities: see [`Calibrated`].
    fn calibrated(self, calibration: Calibration) -> Calibrated<Self> {
        Calibrated::new(self, calibration)
    }

    /// Calibrates the prediction of each slot before they are combined: see [`OnCalibrated`].
    fn on_calibrated(self, calibration: Calibration) -> OnCalibrated<Self> {
        OnCalibrated::new(self, calibration)
    }
}

impl<C: Combiner> Calibrate for C {}

/// The labels and the weights of the rows; an error for regression.
fn labels_and_weights(calibration: Calibration, held_out: &HeldOut) -> Result<(Vec<u32>, Option<Vec<f64>>)> {
    match held_out.truth()? {
        Truth::Classes(labels) => Ok((labels, held_out.row_weights()?)),
        Truth::Values(_) => {
            let must = format!("classification, since {} calibration is for classes", calibration.name());
            Err(Error::invalid("the task", must, "regression"))
        }
    }
}
