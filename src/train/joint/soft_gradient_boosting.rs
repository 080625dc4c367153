//! Soft gradient boosting.
use crate::{
    check::require,
    data::{Batch, Task},
    network::{by_member, output::widened, Output},
    registry::{Argument, Entry},
    train::{joint::SQUARED, JointLoss, Loss, TrainConfig},
    Error, Result,
};
use candle_core::{DType, Result as CResult, Tensor, D};
use candle_nn::ops;

pub(super) const ENTRY: Entry<JointLoss> = Entry::new(
    "soft-gradient-boosting",
    "JointLoss::SoftGradientBoosting",
    "Each member learns what those before it leave, all at once",
    |arguments| {
        let shrinkage = arguments.get("shrinkage")?;
        check(shrinkage)?;
        Ok(JointLoss::SoftGradientBoosting { shrinkage })
    },
)
.with_aliases(&["sgb"])
.with_arguments(&[Argument::new("shrinkage", "1", "What each member contributes to the sum")])
.with_source("Feng, Xu, Wang and Jiang 2020, arXiv:2006.04059");

pub(super) fn check(shrinkage: f64) -> Result<()> {
    let what = "JointLoss::SoftGradientBoosting::shrinkage";
    require(shrinkage > 0. && shrinkage <= 1., what, "above 0 and at most 1", shrinkage)
}

/// Its loss is the squared error of values and of logits.
pub(super) fn check_with(config: &TrainConfig, task: Task, output: Output) -> Result<()> {
    if output != Output::Logits {
        let must = "Output::Logits with JointLoss::SoftGradientBoosting";
        return Err(Error::invalid("the output of the network", must, format!("Output::{output:?}")));
    }
    if let Some(name) = &config.custom_loss {
        let must = "unset with JointLoss::SoftGradientBoosting, whose loss is the squared error";
        return Err(Error::invalid("the loss", must, format!("{name:?}")));
    }
    match (task, config.loss) {
        (_, None) | (Task::Regression { .. }, Some(Loss::MeanSquared)) => Ok(()),
        (_, Some(loss)) => {
            let must = "unset with JointLoss::SoftGradientBoosting, whose loss is the squared error";
            Err(Error::invalid("the loss", must, format!("{loss:?}")))
        }
    }
}

/// The sum over the members of the squared errors for what the members before them leave.
pub(super) fn loss(
    (shrinkage, members): (f64, usize),
    task: Task,
    (output, batch): (&Tensor, &Batch),
) -> CResult<Tensor> {
    let output = widened(output)?;
    let output = if output.rank() == 1 { output.unsqueeze(1)? } else { output };
    let before = (before(&output, members)? * shrinkage)?;
    let (before, targets) = match task {
        Task::Regression { .. } => (before, batch.targets.reshape(output.shape())?.to_dtype(output.dtype())?),
        Task::Classification { .. } => {
            let targets = indicators(&batch.targets, output.dim(1)?)?.to_dtype(output.dtype())?;
            let probabilities = match output.dim(1)? {
                1 => ops::sigmoid(&before)?,
                _ => ops::softmax(&before, D::Minus1)?,
            };
            (probabilities, targets)
        }
    };
    // o − r = o + p − y, whose squares have the same mean over the rows of all members as each member has over its own.
    let excess = (output + before)?;
    SQUARED.mean(&excess, &targets, batch.weights.as_ref())? * members as f64
}

/// The sum of the outputs of the members before each.
fn before(output: &Tensor, members: usize) -> CResult<Tensor> {
    let each = by_member(output, members)?;
    let mut sums = vec![each.narrow(0, 0, 1)?.zeros_like()?.detach()];
    for member in 1..members {
        let own = each.narrow(0, member - 1, 1)?;
        let sum = match sums.last().filter(|_| member > 1) {
            Some(sum) => (sum + own)?,
            None => own,
        };
        sums.push(sum);
    }
    Tensor::cat(&sums, 0)?.reshape(output.shape())
}

/// Labels as vectors with a 1 at the class; soft targets as they are. With one logit, what belongs to class 1.
fn indicators(targets: &Tensor, width: usize) -> CResult<Tensor> {
    match (targets.rank(), width) {
        (1, 1) => targets.to_dtype(DType::F32)?.unsqueeze(1),
        (1, _) => candle_nn::encoding::one_hot(targets.clone(), width, 1f32, 0f32),
        (_, 1) => targets.narrow(1, 1, 1),
        _ => Ok(targets.clone()),
    }
}
