//! Conformal prediction on rows of the pool's own data.
use crate::{
    combine::Combiner,
    conformal::{CalibrationRows, ConformalMethod},
    pool::Pool,
    store::member::in_slot_order,
    train::Learner,
    Error, Result,
};

impl<L: Learner> Pool<'_, L> {
    /// Fits a method of [conformal prediction](crate::conformal) for the members, combined by `combiner`, on rows of the pool's
    /// own data.
    ///
    /// [`CrossIntervals`](crate::conformal::CrossIntervals) and [`CrossSets`](crate::conformal::CrossSets) take the held-out
    /// predictions of the members: out of the bag for bagging, out of the fold for cross-validation.
    /// [`SplitIntervals`](crate::conformal::SplitIntervals), [`QuantileIntervals`](crate::conformal::QuantileIntervals) and
    /// [`ClassSets`](crate::conformal::ClassSets) take the rows that [no member has seen](Self::unseen), such as those that
    /// [`Session::reserve`](crate::Session::reserve) keeps. To calibrate on another data set, use
    /// [`OnDataset::conformal`](crate::OnDataset::conformal).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{conformal::*, prelude::*};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
    /// let data = TensorDataset::regression(&x, &x.sqr()?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&Bagging::new(20), 42)?;
    /// let conformal = pool.conformal(&Mean, &CrossIntervals::new(0.1))?;
    /// let ensemble = pool.combine(&Mean)?;
    /// assert_eq!(ensemble.predict_intervals(&conformal, &x)?.dims(), [80, 1, 2]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::HeldOut`] when there are no such rows, and [`Error::UnknownRows`] when it is unknown which rows shaped some
    /// member; when the combiner is itself fitted on rows of the pool, except for
    /// jackknife+ intervals, which need a mean or median; when the pool has refit members and the intervals are of the others;
    /// as [`ConformalMethod::fit`].
    pub fn conformal<C: Combiner, M: ConformalMethod>(&self, combiner: &C, method: &M) -> Result<M::Fitted> {
        match method.calibration_rows() {
            CalibrationRows::HeldOut => {
                if method.needs_distributions() {
                    let must =
                        "one that is calibrated on rows that no member has seen, as QuantileIntervals is";
                    return Err(Error::invalid(
                        "a conformal method that needs distributions",
                        must,
                        "another one",
                    ));
                }
                if self.members.iter().any(|member| member.record.refit) {
                    let must =
                        "those that leave rows out; Pool::with_members makes a pool without refit members";
                    return Err(Error::invalid(
                        "members of cross-conformal prediction",
                        must,
                        "refit members too",
                    ));
                }
                let fitted = self.fit_combiner(combiner)?;
                match self.slots() == self.members.len() {
                    true => method.fit(self.held_out()?, &fitted),
                    false => {
                        method.fit(self.with_members(in_slot_order(&self.members))?.held_out()?, &fitted)
                    }
                }
            }
            CalibrationRows::Unseen => {
                if combiner.needs_held_out() {
                    let must =
                        "one that is not fitted on rows of the pool, or calibrated on another data set";
                    return Err(Error::invalid("combiner of the calibration", must, format!("{combiner:?}")));
                }
                self.refuse_unknown()?;
                let rows = self.unseen();
                if rows.is_empty() {
                    let (combiner, rows) = ("split conformal prediction".into(), self.data.rows());
                    return Err(Error::HeldOut { combiner, need: 1, have: 0, rows });
                }
                self.combine(combiner)?.on(self.data).rows(&rows).conformal(method)
            }
        }
    }
}
