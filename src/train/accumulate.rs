//! The gradients of several batches, accumulated for one step of the optimizer.
use crate::{data::Batch, plan::Position};
use candle_core::{backprop::GradStore, DType, Result as CResult, Tensor, Var};

/// The weighted mean of the gradients of the batches added so far.
///
/// ```text
/// g = Σⱼ Wⱼ gⱼ / Σⱼ Wⱼ        Wⱼ = the sum of the weights of the rows of batch j, or their number
/// ```
///
/// The loss of a batch is the mean over its rows, so `g` is the gradient of the mean over the rows of all batches together.
/// The mean is updated with each batch, so that it stays in the range of its type; in half precision it is kept in `f32`.
#[derive(Debug, Default)]
pub(crate) struct Accumulated {
    /// The mean for each variable, in their order; `None` for one that has had no gradient.
    gradients: Vec<Option<Tensor>>,
    /// The mean loss.
    loss: f64,
    weight: f64,
}

impl Accumulated {
    /// Adds a batch with its loss and its gradients for these variables, which are the same in each call.
    pub(crate) fn add(
        &mut self,
        vars: &[(String, Var)],
        gradients: &GradStore,
        (loss, weight): (f64, f64),
    ) -> CResult<()> {
        let total = self.weight + weight;
        // The gradient of a batch whose rows have no weight is 0.
        let share = if total > 0. { weight / total } else { 0. };
        self.gradients.resize(vars.len(), None);
        for (mean, (_, var)) in self.gradients.iter_mut().zip(vars) {
            let new = gradients.get(var).map(Tensor::detach);
            *mean = match (mean.take(), new) {
                (None, None) => None,
                // Exact for the first batch.
                (None, Some(new)) if self.weight == 0. => Some(new),
                (None, Some(new)) => Some((wide(&new)? * share)?),
                (Some(mean), None) => Some((wide(&mean)? * (1. - share))?),
                (Some(mean), Some(new)) => Some(((wide(&mean)? * (1. - share))? + (wide(&new)? * share)?)?),
            };
        }
        self.loss += (loss - self.loss) * share;
        self.weight = total;
        Ok(())
    }

    /// Puts the mean gradients in the place of those of the last batch, and returns the mean loss. The next batch begins
    /// anew.
    pub(crate) fn take(&mut self, vars: &[(String, Var)], gradients: &mut GradStore) -> CResult<f64> {
        let Self { gradients: means, loss, .. } = std::mem::take(self);
        for (mean, (_, var)) in means.into_iter().zip(vars) {
            if let Some(mean) = mean {
                gradients.insert(var, mean.to_dtype(var.dtype())?);
            }
        }
        Ok(loss)
    }
}

/// Whether a step of the optimizer follows the batch at this position, if one is made for this many batches.
pub(crate) fn ends_step(at: Position, batches: usize) -> bool {
    let done = at.batch + 1;
    done.is_multiple_of(batches.max(1)) || done == at.batches_per_epoch
}

/// What a batch counts for among those of a step: the sum of the weights of its rows, or their number.
pub(crate) fn weight(batch: &Batch) -> CResult<f64> {
    match &batch.weights {
        None => Ok(batch.targets.dim(0)? as f64),
        Some(weights) => weights.to_dtype(DType::F64)?.sum_all()?.to_scalar(),
    }
}

/// The gradient in the type in which means are computed.
fn wide(gradient: &Tensor) -> CResult<Tensor> {
    match gradient.dtype() {
        DType::F16 | DType::BF16 => gradient.to_dtype(DType::F32),
        _ => Ok(gradient.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The gradients of `factor · w` for weights of batches that a mean of means would get wrong, in every type.
    #[test]
    fn the_mean_is_that_of_all_rows() {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let w = Var::zeros(2, dtype, &Device::Cpu).unwrap();
            let unused = Var::zeros(1, dtype, &Device::Cpu).unwrap();
            let vars = [("w".to_string(), w.clone()), ("unused".to_string(), unused.clone())];
            let mut accumulated = Accumulated::default();
            let mut store = GradStore::default();
            for (factor, weight) in [(1., 3.), (2., 0.), (8., 1.), (-4., 4.)] {
                let loss = (w.as_tensor() * factor).unwrap().sum_all().unwrap();
                store = loss.backward().unwrap();
                accumulated.add(&vars, &store, (factor, weight)).unwrap();
            }
            // (3 · 1 + 1 · 8 − 4 · 4) / 8
            assert_eq!(accumulated.take(&vars, &mut store).unwrap(), -0.625);
            let mean = store.get(&w).unwrap();
            assert_eq!(mean.dtype(), dtype);
            assert_eq!(
                mean.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap(),
                [-0.625; 2],
                "{dtype:?}"
            );
            assert!(store.get(&unused).is_none());
            // It begins anew, exactly with the first batch, whatever its weight.
            let loss = (w.as_tensor() * 0.3).unwrap().sum_all().unwrap();
            let mut store = loss.backward().unwrap();
            let alone = store.get(&w).unwrap().clone();
            accumulated.add(&vars, &store, (0.3, 7.)).unwrap();
            assert_eq!(accumulated.take(&vars, &mut store).unwrap(), 0.3);
            let bits = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            assert_eq!(bits(store.get(&w).unwrap()), bits(&alone));
        }
    }

    /// A variable that only some batches reach has a gradient of 0 in the others.
    #[test]
    fn a_batch_that_does_not_reach_a_variable_counts_as_zero() {
        let [a, b] = [0, 1].map(|_| Var::zeros(1, DType::F64, &Device::Cpu).unwrap());
        let vars = [("a".to_string(), a.clone()), ("b".to_string(), b.clone())];
        let mut accumulated = Accumulated::default();
        let mut store = a.as_tensor().sum_all().unwrap().backward().unwrap();
        accumulated.add(&vars, &store, (1., 1.)).unwrap();
        store = b.as_tensor().sum_all().unwrap().backward().unwrap();
        accumulated.add(&vars, &store, (1., 3.)).unwrap();
        accumulated.take(&vars, &mut store).unwrap();
        let of = |var: &Var| store.get(var).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!((of(&a), of(&b)), (vec![0.25], vec![0.75]));
    }
}
