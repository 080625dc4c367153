//! Sets of classes of an ensemble.
use super::{
    calibration::{check_complete, counted_rows, quantiles},
    sets::{probabilities, ConformalSets, Kind},
    CalibrationRows, ConformalMethod,
};
use crate::{
    combine::FittedCombiner,
    conformal::{
        inputs::check_alpha, ClassConformal, ClassProbabilities, ClassScore, EmptySets, ScoreQuantiles,
    },
    data::Task,
    Error, HeldOut, Result, Seed,
};
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Conformal sets of classes: for each row, the classes that are not improbable by the ensemble's errors on rows that no
/// member has seen.
///
/// ```text
/// C(x) = { c : s(x, c) ≤ q },   q = the conformal quantile of s(xᵢ, yᵢ)
/// ```
///
/// The score `s` is that of LAC, APS or RAPS ([`ClassScore`]). A set contains the true class with probability `1 − α` at
/// least. By default that holds on average over all rows; [`by_class`](Self::by_class) makes it hold for each true class, and
/// [`by_group`](Self::by_group) in each group of rows. Where the calibration rows have groups and the sets are not by group,
/// it holds for rows of new groups, as for [`SplitIntervals`](super::SplitIntervals).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{conformal::*, prelude::*};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
/// let y = Tensor::from_iter((0..80u32).map(|i| i / 40), &Device::Cpu)?;
/// let data = TensorDataset::classification(&x, &y)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(1, 2, vb)).epochs(2);
/// // A quarter of the rows is kept from every run, for the calibration.
/// let pool = Session::new(&trainer, &data).reserve(0.25).fit(&MultiRun::new(3), 42)?;
///
/// let conformal = pool.conformal(&Mean, &ClassSets::new(0.1).score(ClassScore::Aps))?;
/// let sets = pool.combine(&Mean)?.predict_sets(&conformal, &x)?;
/// assert_eq!((sets.rows(), sets.classes()), (80, 2));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: see [`ClassScore`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSets {
    alpha: f64,
    score: ClassScore,
    by: By,
    empty: EmptySets,
    seed: Option<Seed>,
}

/// What the coverage holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum By {
    All,
    Class,
    Group,
}

impl ClassSets {
    /// Sets that miss the class of a share `alpha` of the rows at most, above 0 and below 1. The score is [`ClassScore::Lac`],
    /// and a set without classes gets the most probable one.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, score: ClassScore::Lac, by: By::All, empty: EmptySets::default(), seed: None }
    }

    /// Sets the score of a class.
    #[must_use]
    pub fn score(self, score: ClassScore) -> Self {
        Self { score, ..self }
    }

    /// Makes the coverage hold for each class: each has a quantile of its own, for which it needs
    /// [`rows_needed`](super::super::rows_needed()) calibration rows.
    #[must_use]
    pub fn by_class(self) -> Self {
        Self { by: By::Class, ..self }
    }

    /// Makes the coverage hold in each group of the calibration rows. New rows need the numbers of their groups, which a data
    /// set has ([`OnDataset::predict_sets`](crate::OnDataset::predict_sets)).
    #[must_use]
    pub fn by_group(self) -> Self {
        Self { by: By::Group, ..self }
    }

    /// Sets what happens to a set without classes.
    #[must_use]
    pub fn empty(self, empty: EmptySets) -> Self {
        Self { empty, ..self }
    }

    /// Randomizes the scores of APS and RAPS, which makes the sets smaller and the coverage exact; see [`ClassConformal`]. The
    /// draws belong to the positions of the rows in a call.
    #[must_use]
    pub fn randomized(self, seed: impl Into<Seed>) -> Self {
        Self { seed: Some(seed.into()), ..self }
    }

    fn quantiles(&self, scores: &[f64], labels: &[u32], rows: &HeldOut) -> Result<ScoreQuantiles> {
        match (self.by, rows.groups()) {
            (By::Class, None) => ScoreQuantiles::fit(scores, Some(labels), self.alpha),
            (By::Class, Some(_)) => Err(Error::invalid(
                "groups of the calibration rows",
                "left out where the sets are by class, because the rows of a group, or the positions of a row, are not \
                 exchangeable",
                "given",
            )),
            (by, _) => quantiles(scores, rows, by == By::Group, self.alpha),
        }
    }
}

impl ConformalMethod for ClassSets {
    type Fitted = ConformalSets;

    fn calibration_rows(&self) -> CalibrationRows {
        CalibrationRows::Unseen
    }

    fn fit(&self, calibration: &HeldOut, combiner: &dyn FittedCombiner) -> Result<ConformalSets> {
        check_alpha(self.alpha)?;
        let Task::Classification { classes } = calibration.predictions().task() else {
            let got = calibration.predictions().task();
            return Err(Error::invalid("the task of conformal sets", "classification", got));
        };
        let rows = counted_rows(calibration)?;
        check_complete(&rows)?;
        let values = probabilities(&combiner.combine(rows.predictions())?)?;
        let (values, labels) = (
            ClassProbabilities::new(&values, classes)?,
            rows.targets().to_device(&Device::Cpu)?.to_vec1::<u32>()?,
        );
        let scores = self.score.of_labels(&values, &labels, self.seed)?;
        let quantiles = self.quantiles(&scores, &labels, &rows)?;
        let (by_class, randomized) = (self.by == By::Class, self.seed.is_some());
        let fitted = ClassConformal::of_quantiles(self.score, classes, quantiles, by_class, randomized);
        Ok(ConformalSets::new(self.alpha, &rows, combiner, Kind::Split(fitted), (self.empty, self.seed)))
    }
}
