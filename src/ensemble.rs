//! Members and a fitted rule: itself a candle module.
mod file;
pub(crate) mod given;

use crate::{
    combine::{softmax_mean, Head, Voices, Weighted},
    data::{Batch, Dataset, Inputs, Task},
    host,
    member::{speaking, Record},
    train::{in_batches, ln, Learner, Output, Scale},
    Error, Member, Network, Result,
};
use candle_core::{DType, Device, Module, Result as CandleResult, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// One live network.
#[derive(Debug)]
pub(crate) struct Speaker<N> {
    network: N,
    features: Option<Vec<u32>>,
}

impl<N: Network> Speaker<N> {
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
pub(crate) struct Speakers<N> {
    slots: Vec<Vec<Speaker<N>>>,
    members: Vec<Member>,
    task: Task,
    output: Output,
    dtype: DType,
    device: Device,
}

impl<N: Network> Speakers<N> {
    pub(crate) fn build<L: Learner<Network = N>>(
        members: &[Member],
        learner: &L,
        task: Task,
        device: &Device,
    ) -> Result<Self> {
        let members: Vec<Member> = speaking(members).cloned().collect();
        let mut slots: BTreeMap<u32, Vec<Speaker<N>>> = BTreeMap::new();
        for member in &members {
            let speaker = Self::speaker(learner, member, device)?;
            slots.entry(member.record.slot).or_default().push(speaker);
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
    pub(crate) fn speaker<L: Learner<Network = N>>(
        learner: &L,
        member: &Member,
        device: &Device,
    ) -> Result<Speaker<N>> {
        let (vb, unread) = given::builder(&member.weights, learner.dtype(), device);
        let Record { architecture, settings, .. } = &member.record;
        let network = learner.build(architecture, settings, vb)?;
        match unread.names() {
            names if names.is_empty() => Ok(Speaker { network, features: member.record.features.clone() }),
            names => Err(Error::Foreign {
                what: format!("the member {}", member.record.key),
                why: format!("the network {architecture:?} has no {}", names.join(", ")),
            }),
        }
    }

    /// Drops the slots at all other positions.
    fn keep(&mut self, positions: &[usize]) {
        let numbers: BTreeSet<u32> = self.members.iter().map(|m| m.record.slot).collect();
        let position = |number: u32| numbers.range(..number).count();
        self.members.retain(|m| positions.contains(&position(m.record.slot)));
        let mut slots = 0..;
        self.slots.retain(|_| slots.next().is_some_and(|p| positions.contains(&p)));
    }

    /// The number of classes, where every slot is one network on the CPU that puts out as many f32 logits.
    fn logits(&self) -> Option<usize> {
        let alone = self.slots.iter().all(|slot| slot.len() == 1);
        let plain = self.output == Output::Logits && self.dtype == DType::F32;
        match (self.task, &self.device) {
            // Two classes may come as one logit.
            (Task::Classification { classes }, Device::Cpu) if alone && plain && classes > 2 => Some(classes),
            _ => None,
        }
    }

    /// What each slot says, `(S, B, C)`, in one pass.
    fn say(&self, inputs: &Inputs, scale: Scale) -> CandleResult<Voices> {
        let slots = self.slots.iter().map(|slot| self.slot_says(slot, inputs, scale));
        let values = Tensor::stack(&slots.collect::<CandleResult<Vec<_>>>()?, 0)?;
        Voices::on_scale(values, None, self.task, scale)
    }

    fn slot_says(&self, slot: &[Speaker<N>], inputs: &Inputs, scale: Scale) -> CandleResult<Tensor> {
        let says = |speaker: &Speaker<N>, scale| self.output.voice(&speaker.run(inputs)?, self.task, scale);
        if let [speaker] = slot {
            return says(speaker, scale);
        }
        let voices = slot.iter().map(|speaker| says(speaker, Scale::Probability));
        let mean = Tensor::stack(&voices.collect::<CandleResult<Vec<_>>>()?, 0)?.mean(0)?;
        match (self.task, scale) {
            (Task::Classification { .. }, Scale::LogProbability) => ln(&mean),
            _ => Ok(mean),
        }
    }

    /// What each slot says, `(S, N, C)`, in passes of `rows` rows.
    pub(crate) fn voices(&self, inputs: &Inputs, rows: usize, scale: Scale) -> Result<Voices> {
        let passes =
            in_passes(inputs, rows, &self.device, |inputs| Ok(self.say(inputs, scale)?.values().detach()))?;
        Ok(Voices::on_scale(cat(passes, 1)?, None, self.task, scale)?)
    }

    /// The same of some rows of a data set.
    pub(crate) fn voices_on(&self, data: &dyn Dataset, rows: &[u32], pass: usize) -> Result<Voices> {
        let says =
            |batch: CandleResult<Batch>| Ok(self.say(&batch?.inputs, Scale::Probability)?.values().detach());
        let passes = in_batches(data, rows.to_vec(), pass, &self.device).map(says);
        let said = cat(passes.collect::<CandleResult<Vec<_>>>()?, 1)?;
        Ok(Voices::on_scale(said, None, self.task, Scale::Probability)?)
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
fn in_passes(
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

fn cat(mut parts: Vec<Tensor>, dim: usize) -> CandleResult<Tensor> {
    match parts.len() {
        1 => Ok(parts.swap_remove(0)),
        _ => Tensor::cat(&parts, dim),
    }
}

/// Members and a fitted rule.
///
/// An ensemble is a candle [`Module`]: a layer of another network, a teacher, a member of another ensemble. For
/// classes `forward` returns log-probabilities, which are valid logits; for regression it returns values in the
/// shape its members put out. `Send` and `Sync` when the networks and the rule are.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{build::Bagging, combine::Mean, data::TensorDataset, train::Trainer, Session};
/// use candle_nn::linear;
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
/// let trainer = Trainer::new(|vb| linear(2, 2, vb)).epochs(2);
///
/// let ensemble = Session::new(&trainer, &data).grow(&Bagging::new(3), 42)?.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [20]);
/// assert_eq!(ensemble.predict_proba(&x)?.dims(), [20, 2]);
/// assert_eq!(ensemble.member_predictions(&x)?.dims(), [3, 20, 2]);
/// let layers = candle_nn::seq().add(ensemble).add_fn(|logits| logits.relu());
/// assert_eq!(layers.forward(&x)?.dims(), [20, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Ensemble<N, H> {
    speakers: Speakers<N>,
    head: H,
    batch_rows: usize,
}

impl<N: Network, H: Head> Ensemble<N, H> {
    pub(crate) fn new(speakers: Speakers<N>, head: H) -> Self {
        Self { speakers, head, batch_rows: 1024 }
    }

    /// Rows a pass over the members, at least 1; 1024, if not set. What an input of any length needs besides its
    /// result is the memory of one pass.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// The weights and records of the members that speak: all, or the refit ones.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.speakers.members
    }

    /// The fitted rule.
    #[must_use]
    pub fn head(&self) -> &H {
        &self.head
    }

    /// What is predicted.
    #[must_use]
    pub fn task(&self) -> Task {
        self.speakers.task
    }

    /// Class ids `(N,)` u32, ties to the lowest class; or values `(N, K)`.
    ///
    /// # Errors
    /// When the inputs are empty or don't go with the networks.
    pub fn predict(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let combined = self.combined(&inputs.into())?;
        match self.task() {
            Task::Classification { .. } => Ok(lowest_argmax(&combined)?),
            Task::Regression { .. } => Ok(combined),
        }
    }

    /// Probabilities of the classes, `(N, C)`.
    ///
    /// # Errors
    /// When the ensemble predicts values; when the inputs are empty or don't go with the networks.
    pub fn predict_proba(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        match self.task() {
            Task::Classification { .. } => self.combined(&inputs.into()),
            Task::Regression { .. } => {
                Err(Error::invalid("predict_proba", "asked of an ensemble for classes", "asked of values"))
            }
        }
    }

    /// What each slot says, `(S, N, C)`: probabilities or values.
    ///
    /// # Errors
    /// When the inputs are empty or don't go with the networks.
    pub fn member_predictions(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let voices = self.speakers.voices(&inputs.into(), self.batch_rows, Scale::Probability)?;
        Ok(voices.values().clone())
    }

    fn combined(&self, inputs: &Inputs) -> Result<Tensor> {
        if self.head.is_mean()
            && let Some(classes) = self.speakers.logits()
        {
            return self.mean_of_softmaxes(inputs, classes);
        }
        let passes = in_passes(inputs, self.batch_rows, &self.speakers.device, |inputs| {
            Ok(self.say(inputs)?.detach())
        })?;
        Ok(cat(passes, 0)?)
    }

    /// What the rule makes of the voices, `(B, C)`, in one pass. The rule may be anyone's, so its word on the
    /// shape is not taken.
    fn say(&self, inputs: &Inputs) -> CandleResult<Tensor> {
        let mut voices = self.speakers.say(inputs, self.head.scale())?;
        if self.head.wants_inputs() {
            voices = voices.with_inputs(&flat(inputs)?)?;
        }
        let said = self.head.combine(&voices)?;
        match [voices.rows(), self.task().width()] {
            shape if said.dims() == shape => Ok(said),
            shape => {
                candle_core::bail!("{} must give {shape:?}, but gives {:?}", self.head.name(), said.dims())
            }
        }
    }
}

impl<N: Network, H: Head> Ensemble<N, H> {
    /// The mean of probabilities, straight from the logits.
    fn mean_of_softmaxes(&self, inputs: &Inputs, classes: usize) -> Result<Tensor> {
        let passes = in_passes(inputs, self.batch_rows, &self.speakers.device, |inputs| {
            let speakers = self.speakers.slots.iter().flatten();
            let logits = speakers.map(|speaker| Ok(speaker.run(inputs)?.detach()));
            let logits = logits.collect::<CandleResult<Vec<_>>>()?;
            let rows = inputs.rows();
            if let Some(odd) = logits.iter().find(|l| l.dims() != [rows, classes]) {
                candle_core::bail!(
                    "the network must put out ({rows}, {classes}), but puts out {:?}",
                    odd.dims()
                );
            }
            let mut mean = vec![0f32; rows * classes];
            host::with_f32s(&logits, |logits| softmax_mean(logits, classes, &mut mean))?;
            Tensor::from_vec(mean, (rows, classes), &self.speakers.device)
        })?;
        Ok(cat(passes, 0)?)
    }
}

impl<N: Network> Ensemble<N, Weighted> {
    /// Without the slots whose weight is zero: the same predictions, to the bit, from fewer networks and a smaller file.
    /// Where no slot has a weight, all stay.
    #[must_use]
    pub fn pruned(mut self) -> Self {
        let used = self.head.used();
        if used.is_empty() {
            return self;
        }
        self.speakers.keep(&used);
        self.head = self.head.pruned();
        self
    }
}

/// In one pass, so that gradients can flow through it.
impl<N: Network, H: Head> Module for Ensemble<N, H> {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let combined = self.say(&Inputs::from(xs.clone()))?;
        match self.task() {
            Task::Classification { .. } => ln(&combined),
            Task::Regression { .. } => Ok(combined),
        }
    }
}

/// candle's own argmax does not say which of equals it takes.
fn lowest_argmax(probabilities: &Tensor) -> CandleResult<Tensor> {
    Tensor::new(host::winners(probabilities)?, probabilities.device())
}
