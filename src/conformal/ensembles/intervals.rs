//! Intervals that are fitted for an ensemble.
use super::{
    calibration::{columns, of_output},
    quantile_intervals::ends,
};
use crate::{
    combine::{FittedCombiner, FittedOn},
    conformal::{CrossConformal, PredictionInterval, QuantileConformal, ScoreQuantiles},
    distribution::Mixture,
    predictions::Predictions,
    uncertainty::ValueUncertainty,
    Error, HeldOut, Result,
};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

/// Conformal intervals that are fitted for the members of an ensemble: what
/// [`SplitIntervals`](super::SplitIntervals), [`CrossIntervals`](super::CrossIntervals) and
/// [`QuantileIntervals`](super::QuantileIntervals) become.
///
/// [`Ensemble::predict_intervals`](crate::Ensemble::predict_intervals) applies them to new inputs. They are data and can be
/// saved with serde, beside the ensemble's own file. They remember the task, the combiner and the number of members (with
/// the names of the members, where they are known), and refuse predictions of others.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, conformal::*, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = |values: &[f64]| {
///     let values = Tensor::from_slice(values, (1, values.len(), 1), &Device::Cpu)?;
///     Predictions::new(values, Task::Regression { outputs: 1 })
/// };
/// let targets = Tensor::new(&[1.5f64, 2.25, 2.], &Device::Cpu)?;
/// let calibration = HeldOut::from_predictions(&predicted(&[1., 2., 3.])?, &targets)?;
/// let fitted = SplitIntervals::new(0.5).fit(&calibration, &Mean)?;
///
/// let text = serde_json::to_string(&fitted).expect("data");
/// let read: ConformalIntervals = serde_json::from_str(&text).expect("the same data");
/// let intervals = output_intervals(&read.predict(&predicted(&[7.])?, &Mean, None)?, 0)?;
/// assert_eq!(intervals, [PredictionInterval { low: 6.5, high: 7.5 }]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConformalIntervals {
    alpha: f64,
    rows: usize,
    combiner: String,
    on: FittedOn,
    kind: Kind,
}

/// The fit, with an element for each output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Split { quantiles: Vec<ScoreQuantiles>, floor: Option<f64> },
    Cross(Vec<CrossConformal>),
    Quantiles(OfQuantiles),
}

/// Corrections of the quantiles of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OfQuantiles {
    pub(super) fitted: Vec<QuantileConformal>,
    /// The weights of the members in the mixture.
    pub(super) weights: Vec<f64>,
}

impl ConformalIntervals {
    pub(super) fn new(alpha: f64, rows: &HeldOut, combiner: &dyn FittedCombiner, kind: Kind) -> Self {
        Self { alpha, rows: rows.rows().len(), combiner: combiner.name(), on: FittedOn::new(rows), kind }
    }

    /// The share of rows whose target the intervals may miss.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The number of calibration rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The quantiles of the errors for each output, of split conformal intervals; `None` for others. One that is infinite,
    /// and the groups that [`ScoreQuantiles::too_few`] lists, make infinite intervals.
    #[must_use]
    pub fn quantiles(&self) -> Option<&[ScoreQuantiles]> {
        match &self.kind {
            Kind::Split { quantiles, .. } => Some(quantiles),
            Kind::Cross(_) | Kind::Quantiles(_) => None,
        }
    }

    /// Whether the intervals need the numbers of the groups of new rows.
    #[must_use]
    pub fn by_group(&self) -> bool {
        match &self.kind {
            Kind::Split { quantiles, .. } => quantiles.iter().any(ScoreQuantiles::by_group),
            Kind::Cross(_) => false,
            Kind::Quantiles(OfQuantiles { fitted, .. }) => {
                fitted.iter().flat_map(QuantileConformal::corrections).any(ScoreQuantiles::by_group)
            }
        }
    }

    /// Whether the intervals are made of the predictions of members rather than slots.
    pub(crate) fn of_members(&self) -> bool {
        matches!(self.kind, Kind::Cross(_))
    }

    /// Whether the intervals are made of the distributions that the ensemble predicts, by
    /// [`predict_distributions`](Self::predict_distributions).
    #[must_use]
    pub fn needs_distributions(&self) -> bool {
        matches!(self.kind, Kind::Quantiles(_))
    }

    /// The intervals of `N` new rows, `(N, K, 2)` of type f64, from the distributions that the ensemble predicts, for
    /// intervals of conformalized quantile regression. `groups` are the groups of the rows, where the corrections are
    /// [by group](Self::by_group).
    ///
    /// # Errors
    /// When the intervals are of another kind; when the number of outputs, or the number or the weights of the members, are
    /// not those of the fit; when groups are missing or superfluous.
    pub fn predict_distributions(&self, predicted: &Mixture, groups: Option<&[u32]>) -> Result<Tensor> {
        let Kind::Quantiles(OfQuantiles { fitted, weights }) = &self.kind else {
            let must = "those of QuantileIntervals, where distributions are given";
            return Err(Error::invalid("the conformal intervals", must, "others"));
        };
        if predicted.outputs() != fitted.len() {
            let must = format!("{}, as in the fit", fitted.len());
            return Err(Error::invalid("the number of predicted values", must, predicted.outputs()));
        }
        if predicted.weights() != weights.as_slice() {
            let must = format!("{weights:?}, as in the fit");
            let got = format!("{:?}", predicted.weights());
            return Err(Error::invalid("the weights of the members for conformal intervals", must, got));
        }
        let [lows, highs] = ends(predicted, self.alpha)?;
        let outputs = fitted.iter().zip(lows.iter().zip(&highs));
        let intervals = outputs.map(|(fitted, (low, high))| fitted.predict([low, high], groups));
        table(&intervals.collect::<Result<Vec<_>>>()?)
    }

    /// The intervals of `N` new rows, `(N, K, 2)` of type f64: the lower and the upper end for each of `K` outputs, from the
    /// predictions of all members. `groups` are the groups of the rows, where the quantiles are [by group](Self::by_group).
    /// The ends are infinite where there are fewer calibration rows, in all or in the group of the row, than
    /// [`rows_needed`](super::super::rows_needed()).
    ///
    /// For jackknife+ intervals, the predictions are those of the members
    /// ([`Pool::predictions_per_member`](crate::Pool::predictions_per_member)); otherwise they are those of the slots
    /// ([`Pool::predictions`](crate::Pool::predictions)), which `combiner` combines.
    ///
    /// # Errors
    /// When the task, the combiner, or the number or names of members are not those of the fit; when a prediction is missing
    /// or not finite; when groups are missing or superfluous; when the intervals
    /// [need distributions](Self::needs_distributions).
    pub fn predict(
        &self,
        predictions: &Predictions,
        combiner: &dyn FittedCombiner,
        groups: Option<&[u32]>,
    ) -> Result<Tensor> {
        check_fit("conformal intervals", &self.on, &self.combiner, predictions, combiner)?;
        match &self.kind {
            Kind::Quantiles(_) => {
                let must = "given to ConformalIntervals::predict_distributions, for intervals of quantiles";
                Err(Error::invalid("the predicted distributions", must, "missing"))
            }
            Kind::Split { quantiles, floor } => {
                let combined = columns(&combiner.combine(predictions)?)?;
                let scales = floor.map(|floor| scales(predictions, combiner, floor)).transpose()?;
                let intervals = |(output, (centres, quantiles)): (usize, (&Vec<f64>, &ScoreQuantiles))| {
                    let radii = quantiles.of_rows(centres.len(), groups)?;
                    let scale = scales.as_ref().and_then(|scales| scales.get(output));
                    let scale = |row: usize| scale.and_then(|scale| scale.get(row)).copied().unwrap_or(1.);
                    let around = |(row, (centre, radius)): (usize, (&f64, f64))| match centre.is_finite() {
                        true => Ok(PredictionInterval::around(*centre, radius * scale(row))),
                        false => Err(Error::invalid(format!("prediction of row {row}"), "finite", centre)),
                    };
                    centres.iter().zip(radii).enumerate().map(around).collect()
                };
                let outputs = combined.iter().zip(quantiles).enumerate().map(intervals);
                table(&outputs.collect::<Result<Vec<_>>>()?)
            }
            Kind::Cross(fitted) => {
                if groups.is_some() {
                    return Err(Error::invalid(
                        "groups of the new rows",
                        "left out, as the fit had none",
                        "given",
                    ));
                }
                let outputs = fitted.iter().enumerate();
                let outputs =
                    outputs.map(|(output, fitted)| fitted.predict(&of_output(predictions, output)?));
                table(&outputs.collect::<Result<Vec<_>>>()?)
            }
        }
    }
}

/// Checks that predictions for new rows are of the kind of the fit, and that none is missing.
pub(super) fn check_fit(
    what: &str,
    on: &FittedOn,
    fitted: &str,
    predictions: &Predictions,
    combiner: &dyn FittedCombiner,
) -> Result<()> {
    if predictions.task() != on.task() {
        let must = format!("{}, as in the fit", on.task());
        return Err(Error::invalid(format!("task of the predictions for {what}"), must, predictions.task()));
    }
    on.check_predictions(what, predictions)?;
    if combiner.name() != fitted {
        let must = format!("{fitted:?}, as in the fit");
        return Err(Error::invalid(format!("combiner of {what}"), must, format!("{:?}", combiner.name())));
    }
    match predictions.covered() {
        None => Ok(()),
        Some(_) => {
            Err(Error::invalid(format!("predictions for {what}"), "those of all members", "missing for some"))
        }
    }
}

/// The standard deviation of the members plus `floor`, one list for each output.
pub(super) fn scales(
    predictions: &Predictions,
    combiner: &dyn FittedCombiner,
    floor: f64,
) -> Result<Vec<Vec<f64>>> {
    let spread = ValueUncertainty::weighted(predictions, None, combiner.weights())?.between.sqrt()?;
    columns(&(spread + floor)?)
}

/// Intervals by output as a table `(N, K, 2)`.
fn table(outputs: &[Vec<PredictionInterval>]) -> Result<Tensor> {
    let rows = outputs.first().map_or(0, Vec::len);
    let ends = (0..rows).flat_map(|row| outputs.iter().filter_map(move |output| output.get(row)));
    let ends: Vec<f64> = ends.flat_map(|interval| [interval.low, interval.high]).collect();
    Ok(Tensor::from_vec(ends, (rows, outputs.len(), 2), &Device::Cpu)?)
}

/// The intervals of one output as a list, from intervals `(N, K, 2)`: for
/// [`intervals_contain`](super::super::intervals_contain), [`mean_width`](super::super::mean_width) and the like.
///
/// # Errors
/// When the shape is another one, or there is no such output.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::conformal::{intervals_contain, output_intervals};
///
/// let intervals = Tensor::new(&[[[0f64, 1.]], [[2., 4.]]], &Device::Cpu)?;
/// assert_eq!(intervals_contain(&output_intervals(&intervals, 0)?, &[0.5, 5.])?, [true, false]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn output_intervals(intervals: &Tensor, output: usize) -> Result<Vec<PredictionInterval>> {
    let (_, outputs, 2) = intervals.dims3()? else {
        return Err(Error::invalid("shape of the intervals", "(N, K, 2)", format!("{:?}", intervals.dims())));
    };
    if output >= outputs {
        return Err(Error::invalid("output", format!("below {outputs}, the number of outputs"), output));
    }
    let ends = intervals.narrow(1, output, 1)?.squeeze(1)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let interval = |ends: &Vec<f64>| match ends.as_slice() {
        [low, high] => Some(PredictionInterval { low: *low, high: *high }),
        _ => None,
    };
    Ok(ends.iter().filter_map(interval).collect())
}
