//! Predictions of members for the rows that did not shape them.
use crate::{
    data::Dataset,
    network::Scale,
    predictions::{
        joined,
        live::{Constructor, LiveNetwork},
        passes::{concat, Passes, Source},
    },
    store::{member::predicting_with, Member},
    threads::{self, in_order},
    train::Learner,
    weights::number_of_parameters,
    Error, Result, Rows,
};
use candle_core::{Device, Result as CandleResult, Tensor};
use std::ops::Range;

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

/// One pass over rows that the members of a network have not seen.
#[derive(Clone, Debug)]
struct Job {
    /// The positions of the members, which one network holds.
    members: Range<usize>,
    /// The number of the pass.
    pass: usize,
    /// Whether it is the last one of its members.
    last: bool,
}

/// The network that a thread works on, or those that predict together, and the rows that they predict.
struct Current<N> {
    first: usize,
    live: Vec<LiveNetwork<N>>,
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
            move |number: usize| jobs.get(number).map(|job| self.run(job, &mut current, keep)).transpose()
        };
        let mut parts: Vec<Vec<Tensor>> = vec![];
        in_order(
            jobs.len(),
            threads,
            || Some(worker()),
            worker(),
            |done: Option<(&Job, Vec<Tensor>)>| {
                let Some((job, predicted)) = done else { return Ok(()) };
                parts.resize_with(predicted.len(), Vec::new);
                parts.iter_mut().zip(predicted).for_each(|(parts, predicted)| parts.push(predicted));
                if !job.last {
                    return Ok(());
                }
                let members = self.members.get(job.members.clone()).unwrap_or_default();
                for (member, parts) in members.iter().zip(std::mem::take(&mut parts)) {
                    take(member, &self.rows_of(member), concat(parts, 0)?)?;
                }
                Ok(())
            },
        )
    }

    /// The passes of all members, and how much work they are, in parameters times rows. Members of one network that follow
    /// each other share its passes.
    fn jobs(&self) -> (Vec<Job>, usize) {
        let (mut jobs, mut work, mut first) = (vec![], 0usize, 0);
        for of_network in self.members.chunk_by(|a, b| a.shares_network(b)) {
            let (members, member) = (first..first + of_network.len(), of_network[0]);
            first = members.end;
            let rows = self.count_of(member);
            let passes = rows.div_ceil(self.pass_rows);
            jobs.extend((0..passes).map(|pass| Job {
                members: members.clone(),
                pass,
                last: pass + 1 == passes,
            }));
            let all = number_of_parameters(&member.weights).saturating_mul(member.record.held());
            work = work.saturating_add(rows.saturating_mul(all));
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

    fn run<'j>(
        &self,
        job: &'j Job,
        current: &mut Option<Current<L::Network>>,
        keep: impl Fn(&[u32], Tensor) -> Result<Tensor>,
    ) -> Result<(&'j Job, Vec<Tensor>)> {
        let current = match current {
            Some(same) if same.first == job.members.start => same,
            _ => {
                *current = None;
                current.insert(self.start(job.members.start)?)
            }
        };
        let (kind, output) = ((self.data.task(), self.data.positions()), self.learner.output());
        let members = self.members.get(job.members.clone()).unwrap_or_default();
        let passes = Passes::new(Source::Rows(self.data, &current.rows), self.pass_rows, self.device);
        let (pass, predicted) = passes.one(job.pass, |inputs| match &*current.live {
            [one] if !one.is_in_sequence() => {
                let outputs = one.outputs(inputs)?;
                let numbers = members.iter().map(|member| member.record.number_in_network());
                let own = numbers.filter_map(|number| outputs.get(number));
                let predicted = own
                    .map(|of_member| Ok(output.prediction_at(of_member, kind, Scale::Probability)?.detach()));
                predicted.collect::<CandleResult<Vec<_>>>()
            }
            together => {
                let together = together.iter().collect::<Vec<_>>();
                Ok(vec![joined::predict(&together, inputs, kind.0)?.detach()])
            }
        })?;
        let count = pass.inputs.rows();
        let rows = current.rows.get(pass.start..pass.start + count).unwrap_or_default();
        let kept = predicted.into_iter().map(|predicted| {
            passes.check_predicted(&predicted, 0, (pass.start, predicted.dim(0)? / count.max(1)))?;
            keep(rows, predicted)
        });
        Ok((job, kept.collect::<Result<_>>()?))
    }

    fn start(&self, first: usize) -> Result<Current<L::Network>> {
        let member = self.members.get(first);
        let must = || format!("below {}, the number of members", self.members.len());
        let member = member.ok_or_else(|| Error::invalid("a member's position", must(), first))?;
        let constructor = Constructor::of(self.learner);
        let together = predicting_with(self.all, member).into_iter();
        let live = together.map(|member| constructor.build(member, self.device)).collect::<Result<_>>()?;
        Ok(Current { first, live, rows: self.rows_of(member) })
    }
}
