//! Cross-conformal sets of classes of an ensemble.
use super::{
    calibration::counted_rows,
    sets::{probabilities, ConformalSets, Kind},
    CalibrationRows, ConformalMethod,
};
use crate::{
    combine::FittedCombiner,
    conformal::{inputs::check_alpha, ClassScore, CrossClassConformal, EmptySets},
    data::Task,
    Error, HeldOut, Result, Seed,
};
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Cross-conformal sets of classes, from members that were each trained on a part of the rows. No rows are set aside.
///
/// ```text
/// Eᵢ = s(π₋ᵢ(xᵢ), yᵢ),   π₋ᵢ = the mean of the members that have not seen row i
/// C(x) = { c : #{ i : Eᵢ < s(π₋ᵢ(x), c) } < (1 − α)(n + 1) }
/// ```
///
/// The score `s` is that of LAC, APS or RAPS ([`ClassScore`]). The strategy that made the members gives the method its name:
/// it is **jackknife+-after-bootstrap** with [`Bagging`](crate::strategy::Bagging), whose members leave rows out of the bag;
/// **CV+** with [`KFold`](crate::strategy::KFold); **jackknife+** with as many folds as rows. The records of the members say
/// which rows they have seen, rows of early stopping included. [`CrossClassConformal`] states the guarantees: `1 − 2α` or a
/// little less, and about `1 − α` in practice.
///
/// The members are combined by the mean. They must be those of the strategy: a choice of members on the held-out rows, such
/// as a pruning, spoils the guarantee. Rows in groups, and the positions of dense outputs, are not exchangeable and are
/// refused; calibrate [`ClassSets`](super::ClassSets) on rows of other groups.
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
/// let pool = Session::new(&trainer, &data).fit(&KFold::new(5), 42)?;
///
/// let conformal = pool.conformal(&Mean, &CrossSets::new(0.1).score(ClassScore::Aps))?; // CV+
/// let sets = pool.combine(&Mean)?.predict_sets(&conformal, &x)?;
/// assert_eq!((sets.rows(), sets.classes()), (80, 2));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Romano, Sesia and Candès 2020, arXiv:2006.02544; Kim, Xu and Barber 2020, arXiv:2002.09025.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossSets {
    alpha: f64,
    score: ClassScore,
    empty: EmptySets,
    seed: Option<Seed>,
}

impl CrossSets {
    /// Sets that miss the class of about a share `alpha` of the rows, above 0 and below 1. The score is [`ClassScore::Lac`],
    /// and a set without classes gets the most probable one.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, score: ClassScore::Lac, empty: EmptySets::default(), seed: None }
    }

    /// Sets the score of a class.
    #[must_use]
    pub fn score(self, score: ClassScore) -> Self {
        Self { score, ..self }
    }

    /// Sets what happens to a set without classes.
    #[must_use]
    pub fn empty(self, empty: EmptySets) -> Self {
        Self { empty, ..self }
    }

    /// Randomizes the scores of APS and RAPS, which makes the sets smaller; see
    /// [`ClassConformal`](super::super::ClassConformal). The draws belong to the positions of the rows in a call.
    #[must_use]
    pub fn randomized(self, seed: impl Into<Seed>) -> Self {
        Self { seed: Some(seed.into()), ..self }
    }
}

impl ConformalMethod for CrossSets {
    type Fitted = ConformalSets;

    fn calibration_rows(&self) -> CalibrationRows {
        CalibrationRows::HeldOut
    }

    fn fit(&self, calibration: &HeldOut, combiner: &dyn FittedCombiner) -> Result<ConformalSets> {
        check_alpha(self.alpha)?;
        let predictions = calibration.predictions();
        let Task::Classification { classes } = predictions.task() else {
            return Err(Error::invalid("the task of conformal sets", "classification", predictions.task()));
        };
        if !combiner.is_mean() {
            let must = "the mean, which is known without some of the members";
            return Err(Error::invalid("combiner of cross-conformal sets", must, combiner.name()));
        }
        if calibration.groups().is_some() {
            let must = "left out, because rows of a group are not exchangeable (ClassSets takes groups)";
            return Err(Error::invalid("groups of the rows of cross-conformal sets", must, "given"));
        }
        let rows = counted_rows(calibration)?;
        let labels = rows.targets().to_device(&Device::Cpu)?.to_vec1::<u32>()?;
        let (held_out, members) = (held_out(&rows, classes)?, rows.predictions().slots());
        let fitted = CrossClassConformal::fit(
            self.score, &held_out, members, classes, &labels, self.alpha, self.seed,
        )?;
        Ok(ConformalSets::new(self.alpha, &rows, combiner, Kind::Cross(fitted), (self.empty, self.seed)))
    }
}

/// The probabilities of the members, `(M, R, C)`, NaN where they are missing.
fn held_out(rows: &HeldOut, classes: usize) -> Result<Vec<f64>> {
    let predictions = rows.predictions();
    let mut values = probabilities(predictions.values())?;
    let covered = predictions.coverage_by_slot()?.unwrap_or_default();
    for (of_row, covered) in values.chunks_exact_mut(classes).zip(covered.iter().flatten()) {
        if *covered == 0. {
            of_row.fill(f64::NAN);
        }
    }
    Ok(values)
}
