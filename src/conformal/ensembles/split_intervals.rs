//! Split conformal intervals of an ensemble.
use super::{
    calibration::{check_complete, columns, counted_rows, outputs, quantiles},
    intervals::{scales, ConformalIntervals, Kind},
    CalibrationRows, ConformalMethod,
};
use crate::{
    check::positive,
    combine::FittedCombiner,
    conformal::{absolute_residuals, inputs::check_alpha, normalized_residuals},
    HeldOut, Result,
};
use serde::{Deserialize, Serialize};

/// Split conformal prediction of values: intervals around an ensemble's prediction, from its errors on rows that no member
/// has seen.
///
/// ```text
/// C(x) = μ(x) ± q,         q = the conformal quantile of |yᵢ − μ(xᵢ)|
/// C(x) = μ(x) ± q (s(x) + floor),   q = that of |yᵢ − μ(xᵢ)| / (s(xᵢ) + floor)      with `normalized(floor)`
/// ```
///
/// `s` is the standard deviation of the members, weighted where the combiner has weights. With several outputs, each has
/// quantiles of its own: the coverage `1 − α` holds for each output, and not for all at once.
///
/// **Groups.** Where the calibration rows have groups ([`Dataset::groups`](crate::data::Dataset::groups)), the rows of a
/// group share their errors, and fewer independent errors are there than rows. The intervals then have the coverage
/// `1 − α` for a row of a new group ([`ScoreQuantiles::fit_for_new_groups`](super::super::ScoreQuantiles::fit_for_new_groups)).
/// With [`by_group`](Self::by_group), each group has a quantile of its own, for new rows of the same groups.
///
/// Use it where there are rows to set aside; [`CrossIntervals`](super::CrossIntervals) needs none.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{conformal::*, prelude::*};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
/// let data = TensorDataset::regression(&x, &x.sqr()?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).epochs(2);
/// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
///
/// let calibration = TensorDataset::regression((&x + 0.01)?, &(&x + 0.01)?.sqr()?)?;
/// let conformal = ensemble.on(&calibration).conformal(&SplitIntervals::new(0.1))?;
/// assert_eq!(ensemble.predict_intervals(&conformal, &x)?.dims(), [80, 1, 2]); // the lower and the upper ends
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, arXiv:1604.04173; for groups Lee, Barber and Willett 2023,
/// arXiv:2306.06342.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitIntervals {
    alpha: f64,
    floor: Option<f64>,
    by_group: bool,
}

impl SplitIntervals {
    /// Intervals that miss the target of a share `alpha` of the rows at most, above 0 and below 1.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, floor: None, by_group: false }
    }

    /// Makes the width proportional to the standard deviation of the members plus `floor`, which is positive and in the units
    /// of the targets.
    ///
    /// The intervals are wide where the members disagree. The `floor` stands for the noise that the members agree on; a
    /// guess such as a tenth of the targets' standard deviation will do. It must not be chosen on the calibration rows.
    #[must_use]
    pub fn normalized(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// Gives each group of the calibration rows a quantile of its own. New rows need the numbers of their groups, which a data
    /// set has ([`OnDataset::predict_intervals`](crate::OnDataset::predict_intervals)).
    #[must_use]
    pub fn by_group(self) -> Self {
        Self { by_group: true, ..self }
    }
}

impl ConformalMethod for SplitIntervals {
    type Fitted = ConformalIntervals;

    fn calibration_rows(&self) -> CalibrationRows {
        CalibrationRows::Unseen
    }

    fn fit(&self, calibration: &HeldOut, combiner: &dyn FittedCombiner) -> Result<ConformalIntervals> {
        check_alpha(self.alpha)?;
        if let Some(floor) = self.floor {
            positive("floor of the normalized intervals", floor)?;
        }
        outputs("split conformal intervals", calibration.predictions().task())?;
        let rows = counted_rows(calibration)?;
        check_complete(&rows)?;
        let predicted = columns(&combiner.combine(rows.predictions())?)?;
        let targets = columns(rows.targets())?;
        let scores = match self.floor {
            None => predicted.iter().zip(&targets).map(|(p, t)| absolute_residuals(p, t)).collect(),
            Some(floor) => {
                let scales = scales(rows.predictions(), combiner, floor)?;
                let outputs = predicted.iter().zip(&scales).zip(&targets);
                outputs.map(|((p, scale), t)| normalized_residuals(p, scale, t)).collect::<Result<Vec<_>>>()
            }
        };
        let quantiles =
            scores?.into_iter().map(|scores| quantiles(&scores, &rows, self.by_group, self.alpha));
        let kind = Kind::Split { quantiles: quantiles.collect::<Result<_>>()?, floor: self.floor };
        Ok(ConformalIntervals::new(self.alpha, &rows, combiner, kind))
    }
}
