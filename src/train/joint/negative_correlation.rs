//! Negative correlation learning.
use crate::{
    check::require,
    data::Batch,
    network::mean_of_members,
    registry::{Argument, Entry},
    train::{joint::of_one, JointLoss},
    Result,
};
use candle_core::{Result as CResult, Tensor};

pub(super) const ENTRY: Entry<JointLoss> = Entry::new(
    "negative-correlation",
    "JointLoss::NegativeCorrelation",
    "Between the mean of the members' losses and the loss of their mean",
    |arguments| {
        let lambda = arguments.get("lambda")?;
        check(lambda)?;
        Ok(JointLoss::NegativeCorrelation { lambda })
    },
)
.with_aliases(&["ncl"])
.with_arguments(&[Argument::new("lambda", "0.5", "How much the members learn as one, from 0 to 1")])
.with_source("Liu and Yao 1999, doi:10.1016/S0893-6080(99)00073-8");

pub(super) fn check(lambda: f64) -> Result<()> {
    let what = "JointLoss::NegativeCorrelation::lambda";
    require((0.0..=1.0).contains(&lambda), what, "from 0 to 1", lambda)
}

/// `(1 − λ) · mean of the members' losses + λ · loss of their mean`.
pub(super) fn loss(
    (lambda, members): (f64, usize),
    (output, batch): (&Tensor, &Batch),
    mean: impl Fn(&Tensor, &Batch) -> CResult<Tensor>,
) -> CResult<Tensor> {
    let together = mean(&mean_of_members(output, members)?, &of_one(batch, members)?)?;
    if lambda == 1. {
        return Ok(together);
    }
    let each = mean(output, batch)?.to_dtype(together.dtype())?;
    (each * (1. - lambda))? + (together * lambda)?
}
