//! Predictions of members for the rows that did not shape them.
use crate::{
    data::Dataset,
    network::Scale,
    predictions::{
        joined,
        live::{Constructor, LiveMember},
        passes::{concat, Passes, Source},
    },
    store::{member::predicting_with, Member},
    threads::{self, in_order},
    train::Learner,
    weights::number_of_parameters,
    Error, Result, Rows,
};
use candle_core::{Device, Tensor};

/// The members of a learner and the data whose rows they predict.
pub(crate) struct Unseen<'a, L> {
    /// The members whose predictions are asked for; of members that predict together the first.
    pub(crate) members: Vec<&'a Member>,
    /// All members.
    pub(crate) all: &'a [Member],
    pub(crate) learner: &'a L,
    pub(crate) data: &'a dyn Dataset,
    /// Whether no member has seen any row of the data, whatever its record says of other data.
    pub(crate) new_data: bool,
    pub(crate) device: &'a Device,
    /// Rows of a pass.
    pub(crate) pass_rows: usize,
}

/// One pass over rows that a member has not seen.
#[derive(Clone, Copy)]
struct Job {
    /// The position of the member.
    member: usize,
    /// The number of the pass.
    pass: usize,
    /// Whether it is the last one of its member.
    last: bool,
}

/// The network of the member that a thread works on, or those that predict together, and the rows that they predict.
struct Current<N> {
    position: usize,
    live: Vec<LiveMember<N>>,
    rows: Rows,
}

impl<L: Learner> Unseen<'_, L> {
    /// Gives each member that has rows to predict, these rows and what `keep` has kept of their predictions in each pass,
    /// `(n, C)`, to `take`, in order. The passes of all members are spread over threads.
    pub(crate) fn predict(
        &self,
        keep: impl Fn(&[u32], Tensor) -> Result<Tensor> + Sync,
        mut take: impl FnMut(&Member, &[u32], Tensor) -> Result<()>,
    ) -> Result<()> {
        let (jobs, work) = self.jobs();
        let threads = if self.device.is_cpu() { threads::for_passes(None, work) } else { 1 };
        let worker = || {
            let mut current = None;
            let (jobs, keep) = (&jobs, &keep);
            move |number: usize| jobs.get(number).map(|job| self.run(*job, &mut current, keep)).transpose()
        };
        let mut parts = vec![];
        in_order(
            jobs.len(),
            threads,
            || Some(worker()),
            worker(),
            |done: Option<(Job, Tensor)>| {
                let Some((job, predicted)) = done else { return Ok(()) };
                parts.push(predicted);
                match (job.last, self.members.get(job.member)) {
                    (true, Some(member)) => {
                        take(member, &self.rows_of(member), concat(std::mem::take(&mut parts), 0)?)
                    }
                    _ => Ok(()),
                }
            },
        )
    }

    /// The passes of all members, and how much work they are, in parameters times rows.
    fn jobs(&self) -> (Vec<Job>, usize) {
        let (mut jobs, mut work) = (vec![], 0usize);
        for (position, member) in self.members.iter().enumerate() {
            let rows = self.count_of(member);
            let passes = rows.div_ceil(self.pass_rows);
            jobs.extend((0..passes).map(|pass| Job { member: position, pass, last: pass + 1 == passes }));
            work = work.saturating_add(rows.saturating_mul(number_of_parameters(&member.weights)));
        }
        (jobs, work)
    }

    /// The rows that at least one member has not seen.
    pub(crate) fn predicted_rows(&self) -> Rows {
        let mut predicted = vec![false; self.data.rows()];
        for member in &self.members {
            for row in self.rows_of(member) {
                predicted[row as usize] = true;
            }
        }
        (0..).zip(predicted).filter(|(_, predicted)| *predicted).map(|(row, _)| row).collect()
    }

    /// Whether each of these slots has, for each of these rows, a member that has not seen it. The members are sorted by
    /// slot.
    pub(crate) fn is_complete(&self, slots: &[usize], rows: &[u32]) -> bool {
        slots.iter().all(|slot| {
            let mut missing = vec![false; self.data.rows()];
            rows.iter().for_each(|row| missing[*row as usize] = true);
            let first = self.members.partition_point(|member| member.record.slot < *slot);
            let own = self.members[first..].iter().take_while(|member| member.record.slot == *slot);
            for row in own.flat_map(|member| self.rows_of(member)) {
                missing[row as usize] = false;
            }
            !missing.contains(&true)
        })
    }

    fn rows_of(&self, member: &Member) -> Rows {
        match self.new_data {
            true => (0..self.data.rows() as u32).collect(),
            false => member.record.seen.complement(self.data.rows()).to_vec(),
        }
    }

    /// How many rows the member has not seen.
    fn count_of(&self, member: &Member) -> usize {
        match self.new_data {
            true => self.data.rows(),
            false => member.record.seen.complement_len(self.data.rows()),
        }
    }

    fn run(
        &self,
        job: Job,
        current: &mut Option<Current<L::Network>>,
        keep: impl Fn(&[u32], Tensor) -> Result<Tensor>,
    ) -> Result<(Job, Tensor)> {
        let current = match current {
            Some(same) if same.position == job.member => same,
            _ => {
                *current = None;
                current.insert(self.start(job.member)?)
            }
        };
        let (kind, output) = ((self.data.task(), self.data.positions()), self.learner.output());
        let passes = Passes::new(Source::Rows(self.data, &current.rows), self.pass_rows, self.device);
        let (pass, predicted) = passes.one(job.pass, |inputs| {
            let predicted = match &*current.live {
                [one] if !one.is_in_sequence() => {
                    output.prediction_at(&one.run(inputs)?, kind, Scale::Probability)?
                }
                together => joined::predict(&together.iter().collect::<Vec<_>>(), inputs, kind.0)?,
            };
            Ok(predicted.detach())
        })?;
        let count = pass.inputs.rows();
        passes.check_predicted(&predicted, 0, (pass.start, predicted.dim(0)? / count.max(1)))?;
        let rows = current.rows.get(pass.start..pass.start + count).unwrap_or_default();
        Ok((job, keep(rows, predicted)?))
    }

    fn start(&self, position: usize) -> Result<Current<L::Network>> {
        let member = self.members.get(position);
        let must = || format!("below {}, the number of members", self.members.len());
        let member = member.ok_or_else(|| Error::invalid("a member's position", must(), position))?;
        let constructor = Constructor::of(self.learner);
        let together = predicting_with(self.all, member).into_iter();
        let live = together.map(|member| constructor.build(member, self.device)).collect::<Result<_>>()?;
        Ok(Current { position, live, rows: self.rows_of(member) })
    }
}
