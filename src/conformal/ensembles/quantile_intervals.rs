//! Conformalized quantile regression of an ensemble.
use super::{
    calibration::{columns, counted_rows, outputs, quantiles},
    intervals::{ConformalIntervals, Kind, OfQuantiles},
    CalibrationRows, ConformalMethod,
};
use crate::{
    combine::FittedCombiner,
    conformal::{inputs::check_alpha, QuantileConformal, QuantileCorrection},
    distribution::Mixture,
    Error, HeldOut, Result,
};
use serde::{Deserialize, Serialize};

/// Conformalized quantile regression: intervals between two quantiles of the distributions that an ensemble predicts,
/// corrected by their errors on rows that no member has seen.
///
/// ```text
/// C(x) = [l(x) − q, h(x) + q],   q = the conformal quantile of max(l(xᵢ) − yᵢ, yᵢ − h(xᵢ))
/// ```
///
/// `l(x)` and `h(x)` are the quantiles `α/2` and `1 − α/2` of the mixture of the members
/// ([`Mixture::quantile`]), weighted where the combiner has weights. The networks put out
/// [`Output::Quantiles`](crate::network::Output::Quantiles), with levels that reach from about `α/2` to `1 − α/2`, or any
/// other distribution. The intervals are wide where the noise is large, and the coverage is `1 − α` at least, however wrong
/// the distributions are. With several outputs, each has corrections of its own: the coverage holds for each output, and
/// not for all at once. Groups of the calibration rows count as for [`SplitIntervals`](super::SplitIntervals).
///
/// Use it where there are rows to set aside and the noise differs from row to row;
/// [`SplitIntervals::normalized`](super::SplitIntervals::normalized) needs no distributions.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{conformal::*, distribution::Levels, prelude::*, train::Output};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
/// let data = TensorDataset::regression(&x, &x.sqr()?)?;
/// let levels = Levels::new(&[0.05, 0.5, 0.95])?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 3, vb)).output(Output::Quantiles { levels }).epochs(2);
/// // A quarter of the rows is kept from every run, for the calibration.
/// let pool = Session::new(&trainer, &data).reserve(0.25).fit(&MultiRun::new(3), 42)?;
///
/// let conformal = pool.conformal(&Mean, &QuantileIntervals::new(0.1))?;
/// let intervals = pool.combine(&Mean)?.predict_intervals(&conformal, &x)?;
/// assert_eq!(intervals.dims(), [80, 1, 2]); // the lower and the upper ends
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Romano, Patterson and Candès 2019, arXiv:1905.03222.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileIntervals {
    alpha: f64,
    correction: QuantileCorrection,
    by_group: bool,
}

impl QuantileIntervals {
    /// Intervals that miss the target of a share `alpha` of the rows at most, above 0 and below 1.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, correction: QuantileCorrection::Symmetric, by_group: false }
    }

    /// Sets whether both ends move by the same amount, as they do by default, or each has a correction of its own.
    #[must_use]
    pub fn correction(self, correction: QuantileCorrection) -> Self {
        Self { correction, ..self }
    }

    /// Gives each group of the calibration rows corrections of its own. New rows need the numbers of their groups, which a
    /// data set has ([`OnDataset::predict_intervals`](crate::OnDataset::predict_intervals)).
    #[must_use]
    pub fn by_group(self) -> Self {
        Self { by_group: true, ..self }
    }
}

impl ConformalMethod for QuantileIntervals {
    type Fitted = ConformalIntervals;

    fn calibration_rows(&self) -> CalibrationRows {
        CalibrationRows::Unseen
    }

    fn needs_distributions(&self) -> bool {
        true
    }

    fn fit(&self, calibration: &HeldOut, combiner: &dyn FittedCombiner) -> Result<ConformalIntervals> {
        check_alpha(self.alpha)?;
        outputs("conformalized quantile regression", calibration.predictions().task())?;
        let rows = counted_rows(calibration)?;
        let Some(mixture) = rows.distributions() else {
            let must = "with the distributions that the ensemble predicts (HeldOut::with_distributions)";
            return Err(Error::invalid(
                "the rows of conformalized quantile regression",
                must,
                "without them",
            ));
        };
        let [lows, highs] = ends(mixture, self.alpha)?;
        let targets = columns(rows.targets())?;
        let of_output = |((low, high), targets): ((&Vec<f64>, &Vec<f64>), &Vec<f64>)| {
            let quantiles = |scores: &[f64], alpha| quantiles(scores, &rows, self.by_group, alpha);
            QuantileConformal::fit_by([low, high], targets, self.correction, self.alpha, quantiles)
        };
        let fitted = lows.iter().zip(&highs).zip(&targets).map(of_output).collect::<Result<_>>()?;
        let kind = Kind::Quantiles(OfQuantiles { fitted, weights: mixture.weights().to_vec() });
        Ok(ConformalIntervals::new(self.alpha, &rows, combiner, kind))
    }
}

/// The quantiles `α/2` and `1 − α/2` of each row, one list for each output.
pub(super) fn ends(mixture: &Mixture, alpha: f64) -> Result<[Vec<Vec<f64>>; 2]> {
    let quantiles = |p| columns(&mixture.quantile(p)?);
    Ok([quantiles(alpha / 2.)?, quantiles(1. - alpha / 2.)?])
}
