//! Members of sequences, which predict together.
use crate::{
    data::{Inputs, Positions, Task},
    kernels::cpu,
    network::{output::ln, Network, Scale},
    predictions::live::LiveNetwork,
    sequence::Join,
};
use candle_core::{bail, DType, Result as CandleResult, Tensor};

/// The networks of a slot that predict together: those of each sequence, and every other network by itself.
pub(crate) fn predictors<'n, N>(slot: &[&'n LiveNetwork<N>]) -> Vec<Vec<&'n LiveNetwork<N>>> {
    let mut groups: Vec<Vec<&LiveNetwork<N>>> = vec![];
    for member in slot.iter().copied() {
        let of = |group: &&mut Vec<&LiveNetwork<N>>| {
            let known = group.first().and_then(|first| first.round.as_ref());
            known.zip(member.round.as_ref()).is_some_and(|(a, b)| a.sequence == b.sequence)
        };
        match groups.iter_mut().find(of) {
            Some(group) => group.push(member),
            None => groups.push(vec![member]),
        }
    }
    groups
}

/// The prediction of one slot, `(B, C)`: the mean of its predictors.
pub(crate) fn predict_slot<N: Network>(
    slot: &[&LiveNetwork<N>],
    inputs: &Inputs,
    task: Task,
    scale: Scale,
) -> CandleResult<Tensor> {
    let each = predictors(slot).into_iter().map(|predictor| predict(&predictor, inputs, task));
    let mean = match each.collect::<CandleResult<Vec<_>>>()?.as_slice() {
        [one] => one.clone(),
        several => Tensor::stack(several, 0)?.mean(0)?,
    };
    match (task, scale) {
        (Task::Classification { .. }, Scale::LogProbability) => ln(&mean),
        _ => Ok(mean),
    }
}

/// What networks that predict together predict, `(B, C)`: probabilities, or values.
pub(crate) fn predict<N: Network>(
    members: &[&LiveNetwork<N>],
    inputs: &Inputs,
    task: Task,
) -> CandleResult<Tensor> {
    let mut members = members.to_vec();
    members.sort_by_key(|member| member.round.as_ref().map(|round| round.round));
    let (first, round) = match members.as_slice() {
        [first, ..] => match &first.round {
            Some(round) => (first, round),
            None => return predict_alone(first, inputs, task),
        },
        [] => bail!("a prediction needs at least one network, but there is none"),
    };
    let own = match &round.join {
        Join::Sum { start } => Task::Regression { outputs: start.len() },
        _ => task,
    };
    let weights: Vec<f64> = members.iter().filter_map(|member| Some(member.round.as_ref()?.weight)).collect();
    let each = members.iter().map(|member| numbers(&predict_alone(member, inputs, own)?));
    let (rows, device) = (inputs.rows(), inputs.tensors().first().map(Tensor::device));
    let joined = round.join.combine(&weights, &each.collect::<CandleResult<Vec<_>>>()?, rows, task);
    let Some(device) = device else { bail!("a prediction needs inputs, but there are none") };
    let dtype = if first.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    Tensor::from_vec(joined, (rows, task.width()), device)?.to_dtype(dtype)
}

/// What one network predicts by itself for its own task, `(B, W)`.
pub(crate) fn predict_alone<N: Network>(
    member: &LiveNetwork<N>,
    inputs: &Inputs,
    task: Task,
) -> CandleResult<Tensor> {
    member.output.prediction_at(&member.run(inputs)?, (task, Positions::One), Scale::Probability)
}

/// The elements of a tensor, row by row.
pub(crate) fn numbers(tensor: &Tensor) -> CandleResult<Vec<f64>> {
    cpu::with_slice(&tensor.detach(), |numbers: &[f64]| numbers.to_vec())
}
