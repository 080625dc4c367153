//! The losses of several members whose outputs are one tensor, the rows of one member after those of the other.
use crate::{
    kernels::{cpu, float::Real},
    nn::apply_op1,
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        shapes::{invalid, normalized},
        Loss,
    },
};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result as CResult, Shape, Tensor};

/// What the outputs of a member are compared with.
#[derive(Clone, Copy)]
pub(crate) struct MemberLoss<'a> {
    pub(crate) loss: Loss,
    pub(crate) targets: &'a Tensor,
    pub(crate) weights: Option<&'a Tensor>,
}

/// The mean loss of each member.
pub(crate) struct MemberLosses {
    /// As a tensor `(members,)`, with 0 for a member whose loss is an error.
    pub(crate) losses: Tensor,
    /// As numbers, or the error of the member.
    pub(crate) values: Vec<CResult<f64>>,
}

impl MemberLosses {
    /// The mean losses of the members, which have an equal number of rows each. They are those of [`Loss::mean`].
    ///
    /// # Errors
    /// When the rows cannot be shared equally.
    pub(crate) fn new(output: &Tensor, members: &[MemberLoss<'_>]) -> CResult<Self> {
        let rows = output.dims().first().copied().unwrap_or(0);
        if rows == 0 || !rows.is_multiple_of(members.len()) {
            return Err(invalid("the output", "the same number of rows for each member", output));
        }
        match (output.device().is_cpu(), output.dtype()) {
            (true, DType::F32) => Self::fused::<f32>(output, rows / members.len(), members),
            (true, DType::F64) => Self::fused::<f64>(output, rows / members.len(), members),
            _ => Self::composed(output, rows / members.len(), members),
        }
    }

    /// Values and gradients in one pass over the rows, as one operation.
    fn fused<T: Real>(output: &Tensor, rows: usize, members: &[MemberLoss<'_>]) -> CResult<Self> {
        let output = output.contiguous()?;
        let width = output.elem_count() / members.len();
        let (mut numbers, mut values) = (vec![], vec![]);
        let mut gradient = Vec::with_capacity(output.elem_count());
        for (member, of) in members.iter().enumerate() {
            match of.evaluated::<T>(&output.narrow(0, member * rows, rows)?.detach()) {
                Ok(Evaluated { value, gradient: mut of_member }) => {
                    gradient.append(&mut of_member);
                    numbers.push(value);
                    values.push(Ok(value.wide()));
                }
                Err(e) => {
                    gradient.resize((member + 1) * width, T::zero());
                    numbers.push(T::zero());
                    values.push(Err(e));
                }
            }
        }
        let losses = apply_op1(&output, EvaluatedMembers { values: numbers, gradient })?;
        Ok(Self { losses, values })
    }

    /// In tensor operations, for other devices and for half precision.
    fn composed(output: &Tensor, rows: usize, members: &[MemberLoss<'_>]) -> CResult<Self> {
        let mean = |(member, of): (usize, &MemberLoss<'_>)| {
            of.loss.mean(&output.narrow(0, member * rows, rows)?, of.targets, of.weights)
        };
        Self::of_means(output, members.iter().enumerate().map(mean).collect())
    }

    /// Losses that have been computed for each member, by any function.
    ///
    /// # Errors
    /// When all are errors.
    pub(crate) fn of_means(output: &Tensor, means: Vec<CResult<Tensor>>) -> CResult<Self> {
        let Some(Ok(like)) = means.iter().find(|mean| mean.is_ok()) else {
            return Err(invalid("the output", "one for which the loss of a member is defined", output));
        };
        // Where the loss of a member is an error there is nothing to differentiate.
        let nothing = like.zeros_like()?;
        let losses: Vec<&Tensor> = means.iter().map(|mean| mean.as_ref().unwrap_or(&nothing)).collect();
        let losses = Tensor::stack(&losses, 0)?;
        let numbers = losses.detach().to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let values = means.into_iter().zip(numbers).map(|(mean, number)| mean.map(|_| number)).collect();
        Ok(Self { losses, values })
    }
}

impl MemberLoss<'_> {
    fn evaluated<T: Real>(&self, output: &Tensor) -> CResult<Evaluated<T>> {
        let Self { loss, targets, weights } = *self;
        loss.check()?;
        let rows = output.dim(0)?;
        let weights = weights.map(|w| normalized(w, rows)).transpose()?;
        let weights = weights.as_deref();
        cpu::with_slice(output, |x: &[T]| loss.fused(&FusedBatch { output, x, targets, weights, rows }))?
    }
}

/// Losses whose values and gradients have been computed already.
struct EvaluatedMembers<T> {
    values: Vec<T>,
    gradient: Vec<T>,
}

impl<T: Real> CustomOp1 for EvaluatedMembers<T> {
    fn name(&self) -> &'static str {
        "losses"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> CResult<(CpuStorage, Shape)> {
        Ok((T::to_cpu_storage_owned(self.values.clone()), self.values.len().into()))
    }

    fn bwd(&self, output: &Tensor, _: &Tensor, upstream: &Tensor) -> CResult<Option<Tensor>> {
        let factors = upstream.to_vec1::<T>()?;
        let width = (self.gradient.len() / factors.len().max(1)).max(1);
        let mut gradient = self.gradient.clone();
        for (gradient, &factor) in gradient.chunks_mut(width).zip(&factors) {
            gradient.iter_mut().for_each(|g| *g = factor * *g);
        }
        Tensor::from_vec(gradient, output.shape(), output.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn outputs(dtype: DType) -> Var {
        let numbers = (0..18).map(|i| f64::from(i * 7 % 11) / 3. - 1.);
        let output = Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape((6, 3)).unwrap();
        Var::from_tensor(&output.to_dtype(dtype).unwrap()).unwrap()
    }

    fn flat(x: &Tensor) -> Vec<f64> {
        x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn values_and_gradients_are_those_of_each_member() {
        let labels = Tensor::new(&[0u32, 2, 1, 1, 0, 2], &Device::Cpu).unwrap();
        let weights = Tensor::new(&[0.5f32, 2.], &Device::Cpu).unwrap();
        let losses = [0., 0.1, 0.2].map(|smoothing| Loss::CrossEntropy { smoothing });
        for dtype in [DType::F32, DType::F64, DType::F16] {
            let output = outputs(dtype);
            let of = |member: usize, output: &Tensor| {
                let targets = labels.narrow(0, 2 * member, 2).unwrap();
                let own = output.narrow(0, 2 * member, 2).unwrap();
                losses[member].mean(&own, &targets, (member == 1).then_some(&weights)).unwrap()
            };
            let targets: Vec<_> = (0..3).map(|member| labels.narrow(0, 2 * member, 2).unwrap()).collect();
            let members: Vec<_> = (0..3)
                .map(|member| MemberLoss {
                    loss: losses[member],
                    targets: &targets[member],
                    weights: (member == 1).then_some(&weights),
                })
                .collect();
            let together = MemberLosses::new(&output, &members).unwrap();
            let factors = Tensor::new(&[1f32, 8., 0.5], &Device::Cpu).unwrap();
            let factors = factors.to_dtype(together.losses.dtype()).unwrap();
            let scaled = (&together.losses * &factors).unwrap();
            let gradient = flat(scaled.backward().unwrap().get(&output).unwrap());
            for member in 0..3 {
                let alone = of(member, &output);
                assert_eq!(together.values[member].as_ref().unwrap(), &flat(&alone)[0], "{dtype:?}");
                assert_eq!(flat(&together.losses)[member], flat(&alone)[0], "{dtype:?}");
                let scaled = (alone * flat(&factors)[member]).unwrap();
                let expected = flat(scaled.backward().unwrap().get(&output).unwrap());
                let own = 6 * member..6 * (member + 1);
                assert_eq!(gradient[own.clone()], expected[own], "{dtype:?}");
            }
        }
    }

    #[test]
    fn an_error_of_one_member_leaves_the_others_as_they_are() {
        let labels = [[0u32, 9], [1, 2], [2, 0]].map(|labels| Tensor::new(&labels, &Device::Cpu).unwrap());
        let loss = Loss::CrossEntropy { smoothing: 0. };
        for dtype in [DType::F32, DType::F16] {
            let output = outputs(dtype);
            let members = labels.each_ref().map(|targets| MemberLoss { loss, targets, weights: None });
            let MemberLosses { values, losses } = MemberLosses::new(&output, &members).unwrap();
            assert!(values[0].is_err() && values[1].is_ok() && values[2].is_ok());
            let gradient = flat(losses.backward().unwrap().get(&output).unwrap());
            assert!(gradient[..6].iter().all(|g| *g == 0.) && gradient[6..].iter().any(|g| *g != 0.));
            assert!(MemberLosses::new(&output, &members[..0]).is_err());
        }
        let four = labels.each_ref().map(|targets| MemberLoss { loss, targets, weights: None });
        let four = [four.as_slice(), &four[..1]].concat();
        assert!(MemberLosses::new(&outputs(DType::F32), &four).is_err());
    }
}
