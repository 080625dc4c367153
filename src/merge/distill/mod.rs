//! Distillation: one network that is trained on the predictions of a pool.
mod taught;

use crate::{
    data::{Dataset, RowBitmap, Split, View},
    plan::{Plan, RunSpec, Settings},
    store::member::predicting,
    train::{Distillation, Learner},
    Error, Member, Pool, Result, Rows, Seed, Session,
};
use std::collections::BTreeSet;
use taught::Taught;

/// Which members of a pool predict a row that the student is trained on.
///
/// A member is close to certain of the rows that it was trained on, so that its predictions there say little more than the
/// labels, wrong labels included, and nothing of how well it predicts new rows. A member's record says which rows these
/// are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Teachers {
    /// The members that have not seen the row. A row of the student that all members have seen is an error.
    #[default]
    Unseen,
    /// The members that have not seen the row. Rows that all members have seen are left out.
    UnseenOnly,
    /// All members, also those that were trained on the row. It is what Hinton et al. do, and the only way where every
    /// member was trained on all rows.
    All,
}

/// How one network, the student, is made of a pool by [`Pool::distill`].
///
/// ```
/// use candle_ensemble::{merge::{Distill, Teachers}, train::Distillation};
///
/// let options = Distill::new().temperature(4.).alpha(1.).teachers(Teachers::UnseenOnly);
/// assert_eq!(options.distillation(), Distillation::new().temperature(4.).alpha(1.));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distill {
    distillation: Distillation,
    teachers: Teachers,
    rows: Option<Rows>,
    validation: Option<f64>,
    architecture: Option<String>,
    settings: Settings,
}

impl Distill {
    /// The temperature and the share of [`Distillation::new`], predictions of members that have not seen a row, and all
    /// rows of the pool's data that are not [reserved](Pool::reserved).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the temperature, above 0; see [`Distillation`]. The default is 2.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.distillation.temperature = temperature;
        self
    }

    /// Sets the share of the pool's predictions in the loss, from 0 to 1; the rest is that of the targets. The default is
    /// 0.9.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.distillation.alpha = alpha;
        self
    }

    /// The temperature and the share.
    #[must_use]
    pub fn distillation(&self) -> Distillation {
        self.distillation
    }

    /// Sets which members predict a row. The default is [`Teachers::Unseen`].
    #[must_use]
    pub fn teachers(mut self, teachers: Teachers) -> Self {
        self.teachers = teachers;
        self
    }

    /// Sets the rows of the pool's data that the student is trained on. Duplicates are removed.
    #[must_use]
    pub fn rows(mut self, rows: impl Into<Rows>) -> Self {
        self.rows = Some(rows.into());
        self
    }

    /// Keeps a share of the student's rows, in (0, 1), for early stopping: whole groups where the data has groups, otherwise
    /// in proportion to the strata where it has strata. By default there are no validation rows.
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = Some(share);
        self
    }

    /// Sets the architecture of the student. The default is the first of its learner.
    #[must_use]
    pub fn architecture(mut self, name: impl Into<String>) -> Self {
        self.architecture = Some(name.into());
        self
    }

    /// Sets settings of the student's run, which replace those of its learner.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The text of a [combination](crate::evaluate::combinations) with this temperature, share and choice of teachers.
    pub(crate) fn text(&self) -> String {
        let teachers = Teachers::NAMES.iter().find(|(_, own)| *own == self.teachers);
        let Distillation { temperature, alpha } = self.distillation;
        format!("distilled:{temperature}:{alpha}:{}", teachers.map_or("", |(name, _)| name))
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// The data of the student, and the plan of its one run.
    fn prepare<'a, L: Learner, S: Learner>(
        &self,
        pool: &Pool<'a, L>,
        student: &S,
        seed: Seed,
    ) -> Result<(Taught<'a>, Plan)> {
        self.distillation.check()?;
        if !student.distills() {
            let must =
                "one that carries out the setting \"distillation\", such as Trainer, with which a pool of \
                        pretrained networks can be built as well as with Pretrained";
            return Err(Error::invalid("the learner of the student", must, "another one"));
        }
        let (_, data, _) = pool.parts();
        data.positions().check_one("a distillation")?;
        pool.refuse_unknown()?;
        let teachers = self.teachers.of(pool);
        let (predictions, without) = self.teachers.predict(pool, &self.student_rows(pool)?)?;
        if let (Teachers::Unseen, Some(first)) = (self.teachers, without.first()) {
            let must = "rows that at least one member has not seen (train the members with a strategy that leaves rows \
                        out, such as KFold or Bagging; leave such rows out of the student's with Teachers::UnseenOnly; \
                        or let members predict rows that they were trained on with Teachers::All)";
            let got =
                format!("{} rows that all members have seen, the first of which is {first}", without.len());
            return Err(Error::invalid("the rows of the student", must, got));
        }
        let taught = Taught::new(data, predictions)?;
        let mut run = self.run(student, taught.rows_with_predictions(), data, seed)?;
        // Whatever shaped the targets has shaped the student, also the rows that its own training does not use.
        let seen = RowBitmap::union_of(teachers.iter().filter_map(|member| pool.seen_by(member)));
        run.excluded = seen.difference(&run.seen()?).to_vec().into();
        let plan =
            Plan { runs: vec![run], reserved: pool.reserved().into(), data: taught.fingerprint(), seed };
        Ok((taught, plan))
    }

    /// The rows that the student may be trained on, sorted.
    fn student_rows<L: Learner>(&self, pool: &Pool<'_, L>) -> Result<Rows> {
        let (_, data, _) = pool.parts();
        let all = data.rows() as u32;
        let mut rows = match &self.rows {
            Some(rows) => rows.clone(),
            None => (0..all).filter(|row| pool.reserved().binary_search(row).is_err()).collect(),
        };
        rows.sort_unstable();
        rows.dedup();
        match rows.last() {
            None => Err(Error::invalid("the number of rows of the student", "at least 1", 0)),
            Some(&last) if last >= all => {
                let must = format!("below {all}, the number of rows of the data");
                Err(Error::invalid("a row of the student", must, last))
            }
            Some(_) => Ok(rows),
        }
    }

    /// The run that trains the student on these rows.
    fn run<S: Learner>(&self, student: &S, rows: Rows, data: &dyn Dataset, seed: Seed) -> Result<RunSpec> {
        let known = student.architectures();
        let architecture = match &self.architecture {
            Some(name) => name.clone(),
            None => known.first().cloned().ok_or_else(|| {
                Error::invalid("the learner of the student", "one with an architecture", "one without")
            })?,
        };
        let (mut train, mut valid) = (rows, Rows::new());
        if let Some(share) = self.validation {
            let view = View::new(data, train)?;
            let split = Split::of(&view, share, seed.child("validation"))?;
            let numbers = |positions: Rows| -> Rows {
                let number = |at: &u32| view.row_numbers().get(*at as usize).copied();
                positions.iter().filter_map(number).collect()
            };
            (train, valid) = (numbers(split.train), numbers(split.test));
        }
        let mut run = RunSpec::new(0, &architecture, seed.child("student"), train);
        run.valid = valid.into();
        run.settings = self.settings.clone().with("distillation", self.distillation.to_string().as_str());
        Ok(run)
    }
}

/// Predictions of a pool, `(R, C)`, with the numbers of the rows.
type OfRows = (candle_core::Tensor, Rows);

impl Teachers {
    const NAMES: [(&str, Self); 3] =
        [("unseen", Self::Unseen), ("unseen-only", Self::UnseenOnly), ("all", Self::All)];

    /// Reads a name: `unseen`, `unseen-only` or `all`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(name: &str) -> Result<Self> {
        let known = Self::NAMES.iter().find(|(own, _)| *own == name.trim());
        known
            .map(|(_, teachers)| *teachers)
            .ok_or_else(|| Error::invalid("the teachers", "unseen, unseen-only or all", format!("{name:?}")))
    }

    /// The members whose predictions the student may get.
    fn of<'p, L: Learner>(self, pool: &'p Pool<'_, L>) -> Vec<&'p Member> {
        match self {
            Self::All => predicting(pool.members()).collect(),
            Self::Unseen | Self::UnseenOnly => {
                pool.members().iter().filter(|member| !member.record.refit).collect()
            }
        }
    }

    /// The predictions for those of these rows that can be predicted, and the rows that cannot.
    fn predict<L: Learner>(self, pool: &Pool<'_, L>, rows: &[u32]) -> Result<(OfRows, Rows)> {
        let (_, data, _) = pool.parts();
        if self == Self::All {
            let predictions = pool.predict_rows(data, rows)?;
            return Ok(((predictions.mean_over_slots(predictions.values())?, rows.to_vec()), Rows::new()));
        }
        let held_out = match pool.held_out() {
            Ok(held_out) => held_out,
            Err(Error::HeldOut { .. }) => return Err(none_unseen(rows.len())),
            Err(e) => return Err(e),
        };
        let is_asked = |row: &u32| rows.binary_search(row).is_ok();
        let positions: Rows =
            (0..).zip(held_out.rows()).filter(|(_, row)| is_asked(row)).map(|(at, _)| at).collect();
        if positions.is_empty() {
            return Err(none_unseen(rows.len()));
        }
        let selected = held_out.select(&positions)?;
        let predictions = selected.predictions();
        let there: BTreeSet<u32> = selected.rows().iter().copied().collect();
        let without = rows.iter().copied().filter(|row| !there.contains(row)).collect();
        let mean = predictions.mean_over_slots(predictions.values())?;
        Ok(((mean, selected.rows().to_vec()), without))
    }
}

/// The error where all members have seen all rows.
fn none_unseen(rows: usize) -> Error {
    let must = "rows that at least one member has not seen (train the members with a strategy that leaves rows out, such as \
                KFold or Bagging, or let members predict rows that they were trained on with Teachers::All)";
    Error::invalid("the rows of the student", must, format!("{rows} rows that all members have seen"))
}

impl<'a, L: Learner> Pool<'a, L> {
    /// Trains one network, the student, on the predictions of this pool: distillation.
    ///
    /// ```text
    /// loss = α T² KL(q ‖ softmax(z / T)) + (1 − α) loss of the labels,    q_c ∝ p_c^(1/T)
    /// ```
    ///
    /// `p` is the mean of the predictions of the pool's slots for the row, and `z` are the logits of the student. For values
    /// the loss is `α l(output, p) + (1 − α) l(output, target)`. [`Distillation`] has the details. The other settings are
    /// those of the learner `student`, which may have another architecture than the members, such as a smaller one.
    ///
    /// So that the student learns how the pool predicts new rows, a row is predicted by those members that have not seen it
    /// ([`Teachers::Unseen`]), unless [`Distill::teachers`] says otherwise. What the student has
    /// [seen](crate::store::Record::seen) are its own training and validation rows, and every row that any of its teachers
    /// has seen. The pool that is returned has the student as its only network: one member, or all members of a student that
    /// holds several, whose prediction is their [`Mean`](crate::combine::Mean). It can be measured, saved and compared
    /// like any other pool; [`best_of`](crate::merge::best_of()) weighs it beside soups ([`BestOf::distill`]).
    ///
    /// Use it for one network that is nearly as good as the ensemble, where a soup is not, as of networks that were trained
    /// independently. It helps most with few or noisy labels. Don't expect it to be better than the ensemble.
    ///
    /// Cost: a pass of the members over the rows, and one training.
    ///
    /// # Errors
    /// With [`Teachers::Unseen`], when all members have seen a row of the student: the error names the way out. When the
    /// learner does not carry out distillation ([`Learner::distills`]), a parameter is out of range, or the training fails.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::Mean, data::TensorDataset, merge::Distill, strategy::KFold, train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// let data = TensorDataset::classification(&x, &y)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
    ///
    /// let teachers = Session::new(&trainer, &data).fit(&KFold::new(4), 42)?;
    /// let student = teachers.distill(&trainer, &Distill::new().temperature(2.).alpha(0.9), 7)?;
    /// assert_eq!(student.members().len(), 1);
    /// assert_eq!(student.combine(&Mean)?.predict(&x)?.dims(), [40]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// [`BestOf::distill`]: crate::merge::BestOf::distill
    ///
    /// Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
    pub fn distill<'s, S: Learner>(
        &self,
        student: &'s S,
        options: &Distill,
        seed: impl Into<Seed>,
    ) -> Result<Pool<'s, S>>
    where
        'a: 's,
    {
        let (_, data, device) = self.parts();
        self.distill_in(&Session::new(student, data).device(device), options, seed)
    }

    /// As [`distill`](Self::distill), in a session of the student's learner: with its device, executor, store, observer and
    /// checkpoints. Its data must be that of this pool.
    ///
    /// # Errors
    /// As [`distill`](Self::distill), and when the session has other data.
    pub fn distill_in<'s, S: Learner>(
        &self,
        session: &Session<'s, S>,
        options: &Distill,
        seed: impl Into<Seed>,
    ) -> Result<Pool<'s, S>>
    where
        'a: 's,
    {
        let (_, data, _) = self.parts();
        if session.data().fingerprint() != data.fingerprint() {
            let must = "that of the pool, whose members predict its rows";
            return Err(Error::invalid("the data of the student's session", must, "other data"));
        }
        let (taught, plan) = options.prepare(self, session.learner(), seed.into())?;
        let members = session.on_data(&taught).train(&plan)?.into_members();
        session.pool(members, &plan)
    }
}
