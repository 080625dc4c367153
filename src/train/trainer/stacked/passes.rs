//! The forward and backward passes of several members as one graph.
use crate::{
    data::Inputs,
    nn::{
        backward,
        stack::Stack,
        tap::{collect, Collect, Observed},
        Recording,
    },
    seed::pass::seeded_passes,
    train::{
        loss::{MemberLoss, MemberLosses},
        trainer::{stacked::lane::Lane, training::ReadyStep},
    },
    Network, Result,
};
use candle_core::{backprop::GradStore, bail, DType, Device, Result as CandleResult, Tensor};

/// What the passes give.
pub(super) struct Together {
    /// For each member.
    pub(super) parts: Vec<Part>,
    /// The gradients of the variables of all members.
    pub(super) gradients: GradStore,
}

/// What the passes give one member.
pub(super) struct Part {
    pub(super) output: Tensor,
    pub(super) value: CandleResult<f64>,
    pub(super) activations: Vec<Observed>,
}

/// The passes of the steps that these members are at, whose inputs have the same shapes. Returns also the names of the
/// variables that no layer has read as those of several members.
pub(super) fn run<N: Network>(
    (stack, network): (&Stack, &N),
    lanes: &[&mut Lane<'_, '_, N>],
) -> (Result<Together>, Vec<String>) {
    let steps = lanes.iter().map(|lane| lane.step()).collect::<Result<Vec<_>>>();
    let steps = match steps {
        Ok(steps) => steps,
        Err(e) => return (Err(e), vec![]),
    };
    let _recording = Recording::begin();
    let members: Vec<usize> = lanes.iter().map(|lane| lane.member).collect();
    let seeds = steps.iter().map(|step| step.draws).collect();
    let activations = steps.iter().any(|step| step.collect.activations);
    let forward = || -> CandleResult<_> {
        let inputs = joined(&steps)?;
        let run = || seeded_passes(seeds, || network.run(&inputs, true));
        let (output, collected) = collect(Collect { losses: true, activations }, run);
        Ok((output?, collected))
    };
    let (passed, left) = stack.pass(&members, forward);
    let together: Result<Together> = passed.map_err(Into::into).and_then(|(output, collected)| {
        let count = lanes.len();
        let outputs =
            (0..count).map(|part| of_member(&output, part, count)).collect::<CandleResult<Vec<_>>>()?;
        let (losses, penalties) = match lanes.iter().all(|lane| lane.course.training().is_plain()) {
            true => (losses(lanes, &steps, (&output, &outputs))?, None),
            false => losses_of_each(lanes, &steps, &output)?,
        };
        let added: Vec<Tensor> = collected.losses.into_iter().chain(penalties).collect();
        let gradients = backward(&total(lanes, losses.losses, &added)?)?;
        let parts = outputs.into_iter().zip(losses.values).enumerate().map(|(part, (output, value))| {
            let activations = observed(&collected.activations, part, count)?;
            Ok(Part { output, value, activations })
        });
        Ok(Together { parts: parts.collect::<CandleResult<_>>()?, gradients })
    });
    (together, left)
}

/// The inputs of all members as one batch.
fn joined(steps: &[&ReadyStep]) -> CandleResult<Inputs> {
    let inputs = steps.first().map_or(0, |step| step.seen.inputs.tensors().len());
    let joined = (0..inputs).map(|input| {
        let of = |step: &&ReadyStep| match step.seen.inputs.tensors().get(input) {
            Some(tensor) => Ok(tensor.clone()),
            None => bail!("not every member has an input {input}"),
        };
        Tensor::cat(&steps.iter().map(of).collect::<CandleResult<Vec<_>>>()?, 0)
    });
    Ok(joined.collect::<CandleResult<Vec<_>>>()?.into())
}

/// The rows of one of `parts` members, as a view.
fn of_member(all: &Tensor, part: usize, parts: usize) -> CandleResult<Tensor> {
    match all.dims().first() {
        Some(rows) if rows.is_multiple_of(parts) => {
            let rows = rows / parts;
            all.detach().narrow(0, part * rows, rows)
        }
        _ => bail!("a tensor of shape {:?} has not the rows of {parts} members", all.dims()),
    }
}

/// The mean loss of each member, whatever it is made of, and the penalties of the user, if there are any. Both have the same
/// rows of the output, so that the gradient there is a sum in the same order as for each member alone.
fn losses_of_each<N: Network>(
    lanes: &[&mut Lane<'_, '_, N>],
    steps: &[&ReadyStep],
    output: &Tensor,
) -> CandleResult<(MemberLosses, Option<Tensor>)> {
    let rows = output.dim(0)? / lanes.len().max(1);
    let (mut means, mut penalties) = (vec![], vec![]);
    for (part, (lane, step)) in lanes.iter().zip(steps).enumerate() {
        let (training, own) = (lane.course.training(), output.narrow(0, part * rows, rows)?);
        means.push(training.loss_of_step(&lane.run, (&own, &own), step));
        penalties.push(training.penalty(&lane.run, &own, step)?);
    }
    let losses = MemberLosses::of_means(output, means)?;
    let Some(like) = penalties.iter().flatten().next() else { return Ok((losses, None)) };
    let (dtype, none) = (like.dtype(), like.zeros_like()?);
    let each = penalties.into_iter().map(|penalty| penalty.map_or(Ok(none.clone()), |p| p.to_dtype(dtype)));
    let penalties = Tensor::stack(&each.collect::<CandleResult<Vec<_>>>()?, 0)?;
    Ok((losses, Some(penalties)))
}

/// The mean loss of each member, where all are losses of the library for the targets of the batch.
fn losses<N: Network>(
    lanes: &[&mut Lane<'_, '_, N>],
    steps: &[&ReadyStep],
    (output, outputs): (&Tensor, &[Tensor]),
) -> CandleResult<MemberLosses> {
    let of_lanes = lanes.iter().zip(outputs);
    let losses = of_lanes.map(|(lane, output)| lane.course.training().loss_of(&lane.run, output));
    let members = losses.zip(steps).map(|(loss, step)| MemberLoss {
        loss,
        targets: &step.seen.targets,
        weights: step.seen.weights.as_ref(),
    });
    MemberLosses::new(output, &members.collect::<Vec<_>>())
}

/// The losses with the penalties that layers have added, times the scales of the losses.
fn total<N: Network>(
    lanes: &[&mut Lane<'_, '_, N>],
    losses: Tensor,
    added: &[Tensor],
) -> CandleResult<Tensor> {
    let mut total = losses;
    for penalty in added {
        if penalty.dims() != [lanes.len()] {
            bail!("a layer adds a loss that is not one for each member");
        }
        total = (&total + penalty.to_dtype(total.dtype())?)?;
    }
    let scales: Vec<Option<f64>> = lanes.iter().map(|lane| lane.course.training().scale_of_loss()).collect();
    if scales.iter().all(Option::is_none) {
        return Ok(total);
    }
    let scales: Vec<f64> = scales.into_iter().map(|scale| scale.unwrap_or(1.)).collect();
    let total = if total.dtype() == DType::F64 { total } else { total.to_dtype(DType::F32)? };
    let scales = Tensor::new(scales, &Device::Cpu)?.to_dtype(total.dtype())?.to_device(total.device())?;
    total * scales
}

/// The outputs of layers for one of `parts` members.
fn observed(all: &[Observed], part: usize, parts: usize) -> CandleResult<Vec<Observed>> {
    let of = |observed: &Observed| {
        let Observed { layer, bounds, output } = observed;
        Ok(Observed { layer: layer.clone(), bounds: *bounds, output: of_member(output, part, parts)? })
    };
    all.iter().map(of).collect()
}
