//! How the outputs of the members of one network become one output.
use crate::{
    data::Task,
    network::{
        output::{ln, widened},
        Output, Scale,
    },
};
use candle_core::{bail, Result, Tensor, D};
use serde::{Deserialize, Serialize};

/// How the outputs of the `M` members of one network become one prediction.
///
/// | Aggregation | Classes | Values |
/// |---|---|---|
/// | [`MeanPrediction`](Self::MeanPrediction) | the mean of the members' probabilities | the mean of their values |
/// | [`MeanOutput`](Self::MeanOutput) | the softmax of the mean of their logits | the mean of their values |
/// | [`SumOutput`](Self::SumOutput) | the softmax of a factor times the sum of their logits | a factor times the sum of their values |
///
/// The loss on which the members were trained decides
/// ([`JointLoss::aggregation`](crate::train::JointLoss::aggregation)): members that were trained by themselves predict as any
/// ensemble does, and members that were trained as one sum predict as that sum. To get a sum where means are computed, multiply
/// the outputs of each member by [`weight`](Self::weight) first.
///
/// ```
/// use candle_ensemble::{network::Aggregation, train::JointLoss};
///
/// assert_eq!(JointLoss::MemberMean.aggregation(), Aggregation::MeanPrediction);
/// let boosted = JointLoss::SoftGradientBoosting { shrinkage: 0.5 }.aggregation();
/// assert_eq!(boosted, Aggregation::SumOutput { factor: 0.5 });
/// // Half the sum of eight outputs is the mean of four times these outputs.
/// assert_eq!(boosted.weight(8), 4.);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Aggregation {
    /// The mean of the predictions, as for every ensemble: of probabilities, of values, or of distributions of values.
    #[default]
    MeanPrediction,
    /// The mean of the outputs, such as logits.
    MeanOutput,
    /// The sum of the outputs times a factor.
    SumOutput {
        /// The factor.
        factor: f64,
    },
}

impl Aggregation {
    /// The number by which the outputs of each of `members` members have to be multiplied, so that their mean is the output
    /// of all. It is 1 for means.
    #[must_use]
    pub fn weight(self, members: usize) -> f64 {
        match self {
            Self::MeanPrediction | Self::MeanOutput => 1.,
            Self::SumOutput { factor } => factor * members as f64,
        }
    }

    /// The output of all members, `(B, …)` of the same kind as that of each, from their outputs `(M·B, …)`: the rows of one
    /// member after those of the other. Log-probabilities stand for logits. `None` where the mean of the members' predictions is
    /// no output of that kind, as for distributions of values, whose mean is a mixture.
    pub(crate) fn output(
        self,
        (kind, task): (Output, Task),
        outputs: &Tensor,
        members: usize,
    ) -> Result<Option<Tensor>> {
        match (self, task) {
            (Self::MeanOutput, _) => mean(outputs, members).map(Some),
            (Self::SumOutput { factor }, _) => {
                let sum = by_member(&widened(outputs)?, members)?.sum(0)?;
                (sum * factor).map(Some)
            }
            (Self::MeanPrediction, _) if kind.is_distribution() => Ok(None),
            (Self::MeanPrediction, Task::Regression { .. }) => mean(outputs, members).map(Some),
            (Self::MeanPrediction, Task::Classification { .. }) => match kind {
                Output::Probabilities => mean(outputs, members).map(Some),
                // A margin beyond the range counts as its bound.
                Output::Margins => mean(&widened(outputs)?.clamp(-1f64, 1f64)?, members).map(Some),
                _ => of_logits((kind, task), outputs, members).map(Some),
            },
        }
    }
}

/// The mean of the outputs of the members, in f32 at least. Gradients pass through.
///
/// # Errors
/// When the rows cannot be shared equally.
pub(crate) fn mean(outputs: &Tensor, members: usize) -> Result<Tensor> {
    by_member(&widened(outputs)?, members)?.mean(0)
}

/// Outputs `(M·B, …)` as `(M, B, …)`.
pub(crate) fn by_member(outputs: &Tensor, members: usize) -> Result<Tensor> {
    match outputs.dims() {
        [rows, rest @ ..] if members > 0 && rows.is_multiple_of(members) => {
            let dims = [&[members, rows / members], rest].concat();
            outputs.reshape(dims)
        }
        dims => {
            bail!("an output of shape {dims:?} has not the same number of rows for each of {members} members")
        }
    }
}

/// Logits whose probabilities are the means of those of the members.
fn of_logits((kind, task): (Output, Task), outputs: &Tensor, members: usize) -> Result<Tensor> {
    let logarithms = kind.prediction(outputs, task, Scale::LogProbability)?;
    let logarithms = by_member(&logarithms, members)?;
    // ln of the mean of exponentials, which cannot overflow.
    let most = logarithms.max_keepdim(0)?;
    let sum = logarithms.broadcast_sub(&most)?.exp()?.sum(0)?;
    let logarithms = (sum.log()? + most.squeeze(0)?)?.affine(1., -(members as f64).ln())?;
    let classes = logarithms.dim(D::Minus1)?;
    let logits = match kind {
        Output::CumulativeLogits | Output::ConditionalLogits => ordinal(kind, &logarithms.exp()?)?,
        // One logit of class 1 of two.
        _ if outputs.elem_count() < members * logarithms.elem_count() => {
            (logarithms.narrow(1, 1, 1)? - logarithms.narrow(1, 0, 1)?)?
        }
        _ => return Ok(logarithms),
    };
    match outputs.rank() {
        1 if classes == 2 => logits.squeeze(1),
        _ => Ok(logits),
    }
}

/// The logits of classes with an order that have these probabilities, `(B, C)`.
fn ordinal(kind: Output, probabilities: &Tensor) -> Result<Tensor> {
    let classes = probabilities.dim(1)?;
    let inner = classes.saturating_sub(1);
    // P(y > k) for each class k but the last.
    let backwards: Vec<u32> = (0..classes as u32).rev().collect();
    let backwards = Tensor::from_vec(backwards, classes, probabilities.device())?;
    let reversed = probabilities.contiguous()?.index_select(&backwards, 1)?;
    let from = reversed.cumsum(1)?.contiguous()?.index_select(&backwards, 1)?;
    let above = ln(&from.narrow(1, 1, inner)?)?;
    let others = match kind {
        Output::ConditionalLogits => probabilities.narrow(1, 0, inner)?,
        _ => probabilities.cumsum(1)?.narrow(1, 0, inner)?,
    };
    above - ln(&others)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    const TWO: Task = Task::Classification { classes: 2 };
    const FOUR: Task = Task::Classification { classes: 4 };

    fn tensor(numbers: Vec<f64>, dims: &[usize]) -> Tensor {
        Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap()
    }

    fn flat(x: &Tensor) -> Vec<f64> {
        x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn sums_and_means_by_hand() {
        let outputs = tensor(vec![1., 2., 3., 4., 5., 9.], &[6, 1]);
        let task = Task::Regression { outputs: 1 };
        let of = |aggregation: Aggregation| {
            let output = aggregation.output((Output::Logits, task), &outputs, 3).unwrap().unwrap();
            assert_eq!(output.dims(), [2, 1]);
            flat(&output)
        };
        assert_eq!(of(Aggregation::MeanPrediction), [3., 5.]);
        assert_eq!(of(Aggregation::MeanOutput), [3., 5.]);
        assert_eq!(of(Aggregation::SumOutput { factor: 0.5 }), [4.5, 7.5]);
        assert_eq!(Aggregation::SumOutput { factor: 0.5 }.weight(3), 1.5);
        let e = mean(&outputs, 4).unwrap_err().to_string();
        assert!(e.contains("[6, 1] has not the same number of rows for each of 4 members"), "{e}");
    }

    /// The logits of two members are (0, ln 3) and (ln 3, 0): probabilities ¼, ¾ and ¾, ¼.
    #[test]
    fn logits_by_hand() {
        let three = 3f64.ln();
        let outputs = tensor(vec![0., three, three, 0., 0., 0., 0., 3. * three], &[4, 2]);
        let kind = (Output::Logits, TWO);
        let means = Aggregation::MeanPrediction.output(kind, &outputs, 2).unwrap().unwrap();
        let by_hand: [[f64; 2]; 2] =
            [[(0.25 + 0.5) / 2., (0.75 + 0.5) / 2.], [(0.75 + 1. / 28.) / 2., (0.25 + 27. / 28.) / 2.]];
        for (got, p) in flat(&means).iter().zip(by_hand.as_flattened()) {
            assert!((got - p.ln()).abs() < 1e-14, "{got}");
        }
        let logits = Aggregation::MeanOutput.output(kind, &outputs, 2).unwrap().unwrap();
        assert_eq!(flat(&logits), [0., three / 2., three / 2., 1.5 * three]);
    }

    #[test]
    fn distributions_have_no_mean_of_their_kind() {
        let kind = (Output::Gaussian, Task::Regression { outputs: 1 });
        assert!(Aggregation::MeanPrediction
            .output(kind, &tensor(vec![0.; 8], &[4, 2]), 2)
            .unwrap()
            .is_none());
    }

    proptest! {
        /// The prediction of the aggregated output is the mean of the members' predictions, for every kind of output.
        #[test]
        fn predictions_are_the_means_of_those_of_the_members(
            numbers in prop::collection::vec(-4f64..4., 24),
            members in prop::sample::select(&[1usize, 2, 3][..]),
        ) {
            let margins: Vec<f64> = numbers.iter().map(|x| x / 3.).collect();
            let shares = tensor(numbers.iter().map(|x| (x + 4.5) / 10.).collect(), &[6, 4]);
            let shares = shares.broadcast_div(&shares.sum_keepdim(1).unwrap()).unwrap();
            for (kind, task, outputs) in [
                (Output::Logits, FOUR, tensor(numbers.clone(), &[6, 4])),
                (Output::Logits, TWO, tensor(numbers.clone(), &[24])),
                (Output::Logits, TWO, tensor(numbers.clone(), &[24, 1])),
                (Output::Logits, TWO, tensor(numbers.clone(), &[12, 2])),
                (Output::Margins, TWO, tensor(margins.clone(), &[24, 1])),
                (Output::Probabilities, FOUR, shares),
                (Output::CumulativeLogits, FOUR, tensor(numbers[..18].to_vec(), &[6, 3])),
                (Output::ConditionalLogits, FOUR, tensor(numbers[..18].to_vec(), &[6, 3])),
                (Output::ConditionalLogits, TWO, tensor(numbers.clone(), &[24, 1])),
            ] {
                let together = Aggregation::MeanPrediction.output((kind, task), &outputs, members).unwrap().unwrap();
                prop_assert_eq!(together.rank(), outputs.rank());
                let got = kind.prediction(&together, task, Scale::Probability).unwrap();
                let each = kind.prediction(&outputs, task, Scale::Probability).unwrap();
                let want = flat(&mean(&each, members).unwrap());
                for (got, want) in flat(&got).iter().zip(&want) {
                    prop_assert!((got - want).abs() < 1e-12, "{:?}: {} for {}", kind, got, want);
                }
            }
        }
    }
}
