//! Everything that was trained, with what is needed to use it.
use crate::{
    combine::{Combiner, Head, Voices},
    data::{Dataset, Inputs, Task},
    ensemble::{Ensemble, Speakers},
    evaluate::Metrics,
    member::Weights,
    train::{in_batches, Learner, Scale},
    Error, Member, Result, Rows,
};
use candle_core::{DType, Device, Tensor};

/// Rows a forward pass where the caller has no say.
const ROWS: usize = 1024;

/// The members of a plan. Only a pool can make held-out predictions, from what each member's record says it
/// has seen, so a rule that learns cannot be fed predictions on rows that members were fitted on.
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Pool<'a, L: Learner> {
    members: Vec<Member>,
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
}

impl<'a, L: Learner> Pool<'a, L> {
    pub(crate) fn new(
        members: Vec<Member>,
        learner: &'a L,
        data: &'a dyn Dataset,
        device: Device,
    ) -> Result<Self> {
        if members.is_empty() {
            return Err(Error::invalid("a pool", "of at least one member", "empty"));
        }
        Ok(Self { members, learner, data, device })
    }

    /// The members, in the order of the plan.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members' weights, in the order of the plan.
    #[must_use]
    pub fn weights(&self) -> Vec<&Weights> {
        self.members.iter().map(|member| &member.weights).collect()
    }

    /// A pool of other members of the same learner and data, such as averages of these or draws around them. Their
    /// records say what they may speak about.
    ///
    /// # Errors
    /// When there are none.
    pub fn with_members(&self, members: Vec<Member>) -> Result<Self> {
        Self::new(members, self.learner, self.data, self.device.clone())
    }

    /// How many slots, each of one voice.
    #[must_use]
    pub fn slots(&self) -> usize {
        slots(&self.members).len()
    }

    /// Fits `combiner` and assembles the ensemble.
    ///
    /// # Errors
    /// When the rule cannot be fitted ([`Error::HeldOut`]), or candle fails.
    pub fn combine<C: Combiner>(self, combiner: &C) -> Result<Ensemble<L::Network, C::Head>> {
        let head = combiner.fit(&|| self.held_out())?;
        let speakers = self.speakers()?;
        Ok(Ensemble::new(speakers, head))
    }

    /// What each slot says of other rows: `(S, N, C)`.
    ///
    /// # Errors
    /// When the inputs don't go with the networks.
    pub fn voices(&self, inputs: impl Into<Inputs>) -> Result<Voices> {
        self.speakers()?.voices(&inputs.into(), ROWS, Scale::Probability)
    }

    /// What each member says of other rows on its own, whatever its slot: `(M, N, C)`.
    ///
    /// # Errors
    /// When the inputs don't go with the networks.
    pub fn members_apart(&self, inputs: impl Into<Inputs>) -> Result<Voices> {
        let mut members = self.members.clone();
        members.iter_mut().zip(0..).for_each(|(member, slot)| member.record.slot = slot);
        let apart = Speakers::build(&members, self.learner, self.data.task(), &self.device)?;
        apart.voices(&inputs.into(), ROWS, Scale::Probability)
    }

    /// What members say about rows that none of the member's own training touched.
    ///
    /// Each slot's voice for a row is the mean over its members that held the row out. Rows that no slot may
    /// speak about are left out; voices that are missing for a row that is there stay missing
    /// ([`Voices::covered`]).
    ///
    /// # Errors
    /// When there is no such row, or candle fails.
    pub fn held_out(&self) -> Result<HeldOut> {
        let (rows, task) = (self.data.rows(), self.data.task());
        let (mut values, mut covered) = (vec![], vec![]);
        for slot in slots(&self.members) {
            let (mut sum, mut count) = (None::<Tensor>, vec![0f32; rows]);
            for member in self.members.iter().filter(|m| m.record.slot == slot) {
                let unseen: Rows =
                    (0..rows as u32).filter(|row| member.record.seen.binary_search(row).is_err()).collect();
                if unseen.is_empty() {
                    continue;
                }
                let said = self.says(member, &unseen)?;
                let before = match sum {
                    Some(sum) => sum,
                    None => Tensor::zeros((rows, said.dim(1)?), said.dtype(), &self.device)?,
                };
                sum = Some(before.index_add(&Tensor::new(unseen.as_slice(), &self.device)?, &said, 0)?);
                unseen.iter().for_each(|row| count[*row as usize] += 1.);
            }
            let sum = match sum {
                Some(sum) => sum,
                None => Tensor::zeros((rows, task.width()), self.learner.dtype(), &self.device)?,
            };
            let counts = Tensor::new(count.as_slice(), &self.device)?.to_dtype(sum.dtype())?;
            // 0 / 0 marks a voice that is missing.
            values.push(sum.broadcast_div(&counts.unsqueeze(1)?)?);
            covered.push(counts.gt(0f64)?.to_dtype(DType::F32)?);
        }
        let voices = Voices::partial(Tensor::stack(&values, 0)?, Tensor::stack(&covered, 0)?, task)?;
        HeldOut::new(&voices, self.data, &self.device)
    }

    /// What one member says of rows of the pool's own data, `(n, C)`.
    fn says(&self, member: &Member, rows: &[u32]) -> Result<Tensor> {
        let speaker = Speakers::speaker(self.learner, member, &self.device)?;
        let (task, output) = (self.data.task(), self.learner.output());
        let mut said = vec![];
        for batch in in_batches(self.data, rows.to_vec(), ROWS, &self.device) {
            let out = speaker.run(&batch?.inputs)?.detach();
            said.push(output.voice(&out, task, Scale::Probability)?);
        }
        Ok(Tensor::cat(&said, 0)?)
    }

    pub(crate) fn speakers(&self) -> Result<Speakers<L::Network>> {
        Speakers::build(&self.members, self.learner, self.data.task(), &self.device)
    }
}

/// The slots' numbers, in order.
fn slots(members: &[Member]) -> Vec<u32> {
    let mut slots: Vec<u32> = members.iter().map(|m| m.record.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// Predictions that no member behind them was fitted on. Only [`Pool::held_out`] makes one.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{build::Bagging, combine::Mean, data::TensorDataset, train::Trainer, Session};
/// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// # let data = TensorDataset::classification(x, &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).grow(&Bagging::new(10), 42)?;
/// let out_of_bag = pool.held_out()?;
/// println!("{:?} on {} of {} rows", out_of_bag.metrics(&Mean)?, out_of_bag.rows().len(), out_of_bag.of());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeldOut {
    voices: Voices,
    targets: Tensor,
    weights: Option<Tensor>,
    rows: Rows,
    of: usize,
}

impl HeldOut {
    fn new(voices: &Voices, data: &dyn Dataset, device: &Device) -> Result<Self> {
        let of = voices.rows();
        let covered = voices.coverage()?.unwrap_or_default();
        let any = |row: &u32| covered.iter().any(|slot| slot[*row as usize] > 0.);
        Self::of_rows(voices, data, (0..of as u32).filter(any).collect(), of, device)
    }

    fn of_rows(voices: &Voices, data: &dyn Dataset, rows: Rows, of: usize, device: &Device) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::HeldOut { combiner: "the rule".into(), need: 1, have: 0, rows: of });
        }
        let batch = data.batch(&rows, device)?;
        let voices = voices.select_rows(&rows)?;
        Ok(Self { voices, targets: batch.targets, weights: batch.weights, rows, of })
    }

    /// `(S, R, C)`: what the slots say of the rows, with coverage.
    #[must_use]
    pub fn voices(&self) -> &Voices {
        &self.voices
    }

    /// Targets of the same rows: `(R,)` class ids, or `(R,)` or `(R, K)` values.
    #[must_use]
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// Weights of the same rows, `(R,)`, where the data has them.
    #[must_use]
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights.as_ref()
    }

    /// Numbers of the rows, sorted.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// How many rows the data set has.
    #[must_use]
    pub fn of(&self) -> usize {
        self.of
    }

    /// How good a rule is on these rows: for bagging, the out-of-bag estimate. Where voices are missing, each row is
    /// scored on those that are there.
    ///
    /// A rule that was fitted on the same rows looks better here than it is.
    ///
    /// # Errors
    /// When the rule does not go with the task, or needs voices that are missing (score
    /// [`HeldOut::complete`] then).
    pub fn metrics(&self, head: &dyn Head) -> Result<Metrics> {
        let said = head.combine(&self.voices)?;
        let weights: Option<Vec<f32>> = self.weights.as_ref().map(|w| w.to_vec1()).transpose()?;
        match self.voices.task() {
            Task::Classification { .. } => {
                Metrics::classification(&said, &self.targets.to_vec1::<u32>()?, weights.as_deref())
            }
            Task::Regression { .. } => Metrics::regression(&said, &self.targets, weights.as_deref()),
        }
    }

    /// The rows that every slot speaks about.
    ///
    /// # Errors
    /// When there is no such row, or candle fails.
    pub fn complete(&self) -> Result<Self> {
        let covered = self.voices.coverage()?.unwrap_or_default();
        let all = |row: &u32| covered.iter().all(|slot| slot[*row as usize] > 0.);
        let keep: Rows = (0..self.rows.len() as u32).filter(all).collect();
        if keep.is_empty() {
            let combiner = "a rule that needs every slot".to_string();
            return Err(Error::HeldOut { combiner, need: 1, have: 0, rows: self.of });
        }
        let index = Tensor::new(keep.as_slice(), self.targets.device())?;
        let some = self.voices.select_rows(&keep)?;
        Ok(Self {
            voices: Voices::new(some.values().clone(), some.task())?,
            targets: self.targets.index_select(&index, 0)?,
            weights: self.weights.as_ref().map(|w| w.index_select(&index, 0)).transpose()?,
            rows: keep.iter().map(|i| self.rows[*i as usize]).collect(),
            of: self.of,
        })
    }

    /// The targets as columns: the indicator of each class, or each output.
    pub(crate) fn target_table(&self) -> Result<Vec<Vec<f64>>> {
        match self.voices.task() {
            Task::Classification { classes } => {
                let ids: Vec<u32> = self.targets.to_vec1()?;
                let column = |c: usize| ids.iter().map(|id| f64::from(u8::from(*id as usize == c))).collect();
                Ok((0..classes).map(column).collect())
            }
            Task::Regression { outputs } => {
                let table = self.targets.to_dtype(DType::F64)?.reshape(((), outputs))?;
                Ok(table.t()?.to_vec2()?)
            }
        }
    }
}
