//! Metrics that are computed row by row, so that several of them need one pass over the rows.
use crate::{
    metrics::inputs::{finite, Case, Cases, Mean, Pair, Pairs},
    Result,
};
use candle_core::Tensor;

/// What a metric accumulates over rows of type `Row`.
pub(crate) trait Accumulate<Row> {
    /// Adds a row.
    fn add(&mut self, row: &Row);

    /// The metric of all rows.
    fn finish(self: Box<Self>) -> Result<f64>;
}

/// An accumulator of rows of class probabilities.
pub(crate) trait ClassRows: for<'r> Accumulate<Case<'r>> {}

impl<A: for<'r> Accumulate<Case<'r>>> ClassRows for A {}

/// An accumulator of rows of values.
pub(crate) trait ValueRows: for<'r> Accumulate<Pair<'r>> {}

impl<A: for<'r> Accumulate<Pair<'r>>> ValueRows for A {}

/// The metric of class probabilities and their labels.
pub(crate) fn of_classes(
    mut rows: impl ClassRows,
    probs: &Tensor,
    labels: &[u32],
    weights: Option<&[f64]>,
) -> Result<f64> {
    Cases::new(probs, labels, weights)?.each(|case| rows.add(&case))?;
    Box::new(rows).finish()
}

/// The metric of values and their targets.
pub(crate) fn of_values(
    mut rows: impl ValueRows,
    predictions: &Tensor,
    targets: &Tensor,
    weights: Option<&[f64]>,
) -> Result<f64> {
    Pairs::new(predictions, targets, weights)?.each(|pair| rows.add(&pair))?;
    Box::new(rows).finish()
}

/// The weighted mean of a score of each row, which is known to be finite.
pub(crate) struct MeanScore {
    score: fn(&Case<'_>) -> f64,
    mean: Mean,
}

impl MeanScore {
    pub(crate) fn new(score: fn(&Case<'_>) -> f64) -> Self {
        Self { score, mean: Mean::default() }
    }
}

impl Accumulate<Case<'_>> for MeanScore {
    fn add(&mut self, case: &Case<'_>) {
        self.mean.add((self.score)(case), case.weight);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok(self.mean.get())
    }
}

/// A function of the weighted mean over rows and outputs of a score of a prediction and its target.
pub(crate) struct MeanError<F> {
    name: &'static str,
    score: F,
    last: fn(f64) -> f64,
    mean: Mean,
}

impl<F: Fn(f64, f64) -> f64> MeanError<F> {
    /// The mean of `score(prediction, target)`; errors call the metric `name`.
    pub(crate) fn new(name: &'static str, score: F) -> Self {
        Self { name, score, last: |mean| mean, mean: Mean::default() }
    }

    /// The same, with a function of the mean.
    pub(crate) fn then(self, last: fn(f64) -> f64) -> Self {
        Self { last, ..self }
    }
}

impl<F: Fn(f64, f64) -> f64> Accumulate<Pair<'_>> for MeanError<F> {
    fn add(&mut self, pair: &Pair<'_>) {
        let each = pair.predictions.iter().zip(pair.targets).map(|(p, t)| (self.score)(*p, *t));
        self.mean.add(each.sum::<f64>() / pair.targets.len() as f64, pair.weight);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        finite(self.name, (self.last)(self.mean.get()))
    }
}
