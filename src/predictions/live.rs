//! Members as live networks, and what they predict.
use crate::{
    data::{Batch, Dataset, Inputs, Task},
    network::{output::ln, Network, Output, Scale},
    predictions::Predictions,
    store::{member::predicting, Member, Record},
    train::{in_batches, Learner},
    weights::strict,
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// One live network.
#[derive(Debug)]
pub(crate) struct LiveMember<N> {
    network: N,
    features: Option<Vec<u32>>,
}

impl<N: Network> LiveMember<N> {
    /// What it puts out in evaluation mode; of the inputs it sees its own features.
    pub(crate) fn run(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        self.network.run(&inputs.columns(self.features.as_deref())?, false)
    }

    pub(crate) fn into_network(self) -> N {
        self.network
    }
}

/// Live networks, by slot.
#[derive(Debug)]
pub(crate) struct LiveMembers<N> {
    pub(crate) slots: Vec<Vec<LiveMember<N>>>,
    pub(crate) members: Vec<Member>,
    pub(crate) task: Task,
    pub(crate) output: Output,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
}

impl<N: Network> LiveMembers<N> {
    pub(crate) fn build<L: Learner<Network = N>>(
        members: &[Member],
        learner: &L,
        task: Task,
        device: &Device,
    ) -> Result<Self> {
        let members: Vec<Member> = predicting(members).cloned().collect();
        let mut slots: BTreeMap<usize, Vec<LiveMember<N>>> = BTreeMap::new();
        for member in &members {
            let live = Self::live(learner, member, device)?;
            slots.entry(member.record.slot).or_default().push(live);
        }
        Ok(Self {
            slots: slots.into_values().collect(),
            members,
            task,
            output: learner.output(),
            dtype: learner.dtype(),
            device: device.clone(),
        })
    }

    /// The network of one member; its tensors are the member's own where that lies on the same device.
    pub(crate) fn live<L: Learner<Network = N>>(
        learner: &L,
        member: &Member,
        device: &Device,
    ) -> Result<LiveMember<N>> {
        let (vb, unread) = strict::builder(&member.weights, learner.dtype(), device);
        let Record { architecture, settings, .. } = &member.record;
        let network = learner.build(architecture, settings, vb)?;
        match unread.names() {
            names if names.is_empty() => Ok(LiveMember { network, features: member.record.features.clone() }),
            names => Err(Error::Foreign {
                what: format!("the member {}", member.record.key),
                why: format!("the network {architecture:?} has no {}", names.join(", ")),
            }),
        }
    }

    /// Drops the slots at all other positions.
    pub(crate) fn keep(&mut self, positions: &[usize]) {
        let numbers: BTreeSet<usize> = self.members.iter().map(|m| m.record.slot).collect();
        let position = |number: usize| numbers.range(..number).count();
        self.members.retain(|m| positions.contains(&position(m.record.slot)));
        let mut slots = 0..;
        self.slots.retain(|_| slots.next().is_some_and(|p| positions.contains(&p)));
    }

    /// The number of classes, where every slot is one network on the CPU that puts out as many f32 logits.
    pub(crate) fn logits(&self) -> Option<usize> {
        let alone = self.slots.iter().all(|slot| slot.len() == 1);
        let plain = self.output == Output::Logits && self.dtype == DType::F32;
        match (self.task, &self.device) {
            // Two classes may come as one logit.
            (Task::Classification { classes }, Device::Cpu) if alone && plain && classes > 2 => Some(classes),
            _ => None,
        }
    }

    /// What each slot says, `(S, B, C)`, in one pass.
    pub(crate) fn say(&self, inputs: &Inputs, scale: Scale) -> CandleResult<Predictions> {
        let slots = self.slots.iter().map(|slot| self.slot_predictions(slot, inputs, scale));
        let values = Tensor::stack(&slots.collect::<CandleResult<Vec<_>>>()?, 0)?;
        Predictions::on_scale(values, None, self.task, scale)
    }

    fn slot_predictions(
        &self,
        slot: &[LiveMember<N>],
        inputs: &Inputs,
        scale: Scale,
    ) -> CandleResult<Tensor> {
        let says =
            |member: &LiveMember<N>, scale| self.output.prediction(&member.run(inputs)?, self.task, scale);
        if let [member] = slot {
            return says(member, scale);
        }
        let predictions = slot.iter().map(|member| says(member, Scale::Probability));
        let mean = Tensor::stack(&predictions.collect::<CandleResult<Vec<_>>>()?, 0)?.mean(0)?;
        match (self.task, scale) {
            (Task::Classification { .. }, Scale::LogProbability) => ln(&mean),
            _ => Ok(mean),
        }
    }

    /// What each slot says, `(S, N, C)`, in passes of `rows` rows.
    pub(crate) fn predictions(&self, inputs: &Inputs, rows: usize, scale: Scale) -> Result<Predictions> {
        let passes =
            in_passes(inputs, rows, &self.device, |inputs| Ok(self.say(inputs, scale)?.values().detach()))?;
        Ok(Predictions::on_scale(cat(passes, 1)?, None, self.task, scale)?)
    }

    /// The same of some rows of a data set.
    pub(crate) fn predictions_on(
        &self,
        data: &dyn Dataset,
        rows: &[u32],
        pass: usize,
    ) -> Result<Predictions> {
        let says =
            |batch: CandleResult<Batch>| Ok(self.say(&batch?.inputs, Scale::Probability)?.values().detach());
        let passes = in_batches(data, rows.to_vec(), pass, &self.device).map(says);
        let predicted = cat(passes.collect::<CandleResult<Vec<_>>>()?, 1)?;
        Ok(Predictions::on_scale(predicted, None, self.task, Scale::Probability)?)
    }
}

/// All that a row's inputs hold, as one table of floats `(B, F)`.
pub(crate) fn flat(inputs: &Inputs) -> CandleResult<Tensor> {
    let table = |t: &Tensor| match t.dtype() {
        DType::F64 => t.flatten_from(1),
        _ => t.to_dtype(DType::F32)?.flatten_from(1),
    };
    let tables = inputs.tensors().iter().map(|t| if t.rank() == 1 { t.unsqueeze(1) } else { Ok(t.clone()) });
    let tables = tables.map(|t| table(&t?)).collect::<CandleResult<Vec<_>>>()?;
    match tables.as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let f32s = several.iter().map(|t| t.to_dtype(DType::F32)).collect::<CandleResult<Vec<_>>>()?;
            Tensor::cat(&f32s, 1)
        }
    }
}

/// Calls `f` for `rows` rows at a time.
pub(crate) fn in_passes(
    inputs: &Inputs,
    rows: usize,
    device: &Device,
    f: impl Fn(&Inputs) -> CandleResult<Tensor>,
) -> Result<Vec<Tensor>> {
    let all = inputs.rows();
    if all == 0 {
        return Err(Error::invalid("the inputs", "of at least one row", 0));
    }
    let pass = |start: usize| {
        let part = inputs.narrow(start, rows.min(all - start))?.to_device(device)?;
        f(&part)
    };
    Ok((0..all).step_by(rows).map(pass).collect::<CandleResult<_>>()?)
}

pub(crate) fn cat(mut parts: Vec<Tensor>, dim: usize) -> CandleResult<Tensor> {
    match parts.len() {
        1 => Ok(parts.swap_remove(0)),
        _ => Tensor::cat(&parts, dim),
    }
}
