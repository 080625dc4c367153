//! Jackknife+ intervals of an ensemble.
use super::{
    calibration::{columns, counted_rows, of_output, outputs},
    intervals::{ConformalIntervals, Kind},
    CalibrationRows, ConformalMethod,
};
use crate::{
    combine::{FittedCombiner, Median},
    conformal::{inputs::check_alpha, Aggregation, CrossConformal, CrossMethod},
    Error, HeldOut, Result,
};
use serde::{Deserialize, Serialize};

/// Jackknife+ intervals of values, from members that were each trained on a part of the rows. No rows are set aside.
///
/// ```text
/// Rᵢ = |yᵢ − μ₋ᵢ(xᵢ)|,   μ₋ᵢ = the members that have not seen row i, combined
/// C(x) = [⌊(n + 1)α⌋-th smallest of μ₋ᵢ(x) − Rᵢ,  ⌈(n + 1)(1 − α)⌉-th smallest of μ₋ᵢ(x) + Rᵢ]
/// ```
///
/// The strategy that made the members gives the method its name: it is **jackknife+-after-bootstrap** with
/// [`Bagging`](crate::strategy::Bagging), whose members leave rows out of the bag; **CV+** with
/// [`KFold`](crate::strategy::KFold); **jackknife+** with as many folds as rows. The records of the members say which rows
/// they have seen, rows of early stopping included. [`CrossConformal`] states the guarantees: `1 − 2α` or a little less, and
/// about `1 − α` in practice.
///
/// The members are combined by the mean or the median, for which it is known what the prediction would be without some of
/// the members. The members must be those of the strategy: a choice of members on the held-out rows, such as a pruning,
/// spoils the guarantee. There is no guarantee for time series, whose rows are not exchangeable. Rows in groups are not
/// exchangeable either, and are refused; calibrate [`SplitIntervals`](super::SplitIntervals) on rows of other groups.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{conformal::*, prelude::*};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
/// let data = TensorDataset::regression(&x, &x.sqr()?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).fit(&Bagging::new(20), 42)?;
///
/// let conformal = pool.conformal(&Mean, &CrossIntervals::new(0.1))?; // from the rows out of the bags
/// let intervals = pool.combine(&Mean)?.predict_intervals(&conformal, &x)?;
/// assert_eq!(intervals.dims(), [80, 1, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Barber, Candès, Ramdas and Tibshirani 2021, arXiv:1905.02928; Kim, Xu and Barber 2020, arXiv:2002.09025.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossIntervals {
    alpha: f64,
    method: CrossMethod,
}

impl CrossIntervals {
    /// Intervals that miss the target of about a share `alpha` of the rows, above 0 and below 1.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, method: CrossMethod::Plus }
    }

    /// Sets how the intervals are made; the default is [`CrossMethod::Plus`].
    #[must_use]
    pub fn method(self, method: CrossMethod) -> Self {
        Self { method, ..self }
    }
}

impl ConformalMethod for CrossIntervals {
    type Fitted = ConformalIntervals;

    fn calibration_rows(&self) -> CalibrationRows {
        CalibrationRows::HeldOut
    }

    fn fit(&self, calibration: &HeldOut, combiner: &dyn FittedCombiner) -> Result<ConformalIntervals> {
        check_alpha(self.alpha)?;
        let aggregation = aggregation(combiner)?;
        let outputs = outputs("jackknife+ intervals", calibration.predictions().task())?;
        if calibration.groups().is_some() {
            let must = "left out, because rows of a group are not exchangeable (SplitIntervals takes groups)";
            return Err(Error::invalid("groups of the rows of jackknife+ intervals", must, "given"));
        }
        let rows = counted_rows(calibration)?;
        let targets = columns(rows.targets())?;
        let fit = |output: usize| {
            let (held_out, members) = held_out(&rows, output)?;
            let targets = targets.get(output).map_or(&[][..], Vec::as_slice);
            CrossConformal::fit(&held_out, members, targets, aggregation, self.method, self.alpha)
        };
        let kind = Kind::Cross((0..outputs).map(fit).collect::<Result<_>>()?);
        Ok(ConformalIntervals::new(self.alpha, &rows, combiner, kind))
    }
}

/// The predictions of one output, `(M, R)`, NaN where they are missing, and the number of members.
fn held_out(rows: &HeldOut, output: usize) -> Result<(Vec<f64>, usize)> {
    let predictions = rows.predictions();
    let mut values = of_output(predictions, output)?;
    let covered = predictions.coverage_by_slot()?.unwrap_or_default();
    for (value, covered) in values.iter_mut().zip(covered.iter().flatten()) {
        if *covered == 0. {
            *value = f64::NAN;
        }
    }
    Ok((values, predictions.slots()))
}

/// How members are combined without some of them.
fn aggregation(combiner: &dyn FittedCombiner) -> Result<Aggregation> {
    match combiner.name() {
        _ if combiner.is_mean() => Ok(Aggregation::Mean),
        name if name == Median.name() => Ok(Aggregation::Median),
        name => {
            let must = "the mean or the median, which are known without some of the members";
            Err(Error::invalid("combiner of jackknife+ intervals", must, name))
        }
    }
}
