//! The loss of a model as a tensor whose gradient reaches its weights.
use crate::{
    data::{positions::FlatTargets, Dataset, Purpose, Task},
    merge::{network::model::Live, Model},
    network::{output::widened, Scale},
    nn::backward,
    threads::in_order,
    train::Learner,
    weights::{finite::first_non_finite, Weights},
};
use candle_core::{DType, Device, Result as CandleResult, Tensor, Var};

/// The loss over some rows, and its gradient.
struct Sums {
    loss: f64,
    /// The sum of the rows' weights.
    count: f64,
    /// By tensor of the weights; none for a tensor that is no variable or that the loss does not depend on.
    gradients: Vec<Option<Tensor>>,
}

impl Sums {
    /// Adds those of further rows. The gradients are summed in f64.
    fn add(&mut self, other: Self) -> CandleResult<()> {
        self.loss += other.loss;
        self.count += other.count;
        for (sum, gradient) in self.gradients.iter_mut().zip(other.gradients) {
            let Some(gradient) = gradient else { continue };
            let gradient = gradient.to_dtype(DType::F64)?;
            *sum = Some(match sum.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            });
        }
        Ok(())
    }
}

impl<L: Learner> Model<'_, L> {
    /// As [`loss`](Self::loss), as a scalar tensor whose gradient reaches the tensors of `weights`: the loss
    /// of a [`LearnedSoup`](crate::merge::LearnedSoup).
    ///
    /// The rows are divided into passes of [`batch_rows`](Self::batch_rows), which several
    /// [`threads`](Self::threads) share. Each pass computes its part of the gradient at once. So there are never more in
    /// memory than the graph of one pass and two gradients for each thread, and the sum of the gradients in f64. What is
    /// returned has the loss as its value and this sum as its gradient; it cannot be differentiated twice.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{data::TensorDataset, merge::{LearnedSoup, Model}, plan::Horizontal, train::Trainer, Session};
    /// # let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// # let data = TensorDataset::classification(x, &Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(4);
    /// let pool = Session::new(&trainer, &data).fit(&Horizontal::last(3), 42)?;
    /// let (model, rows) = (Model::new(&trainer)?, [0, 5, 10, 15]);
    /// let soup = LearnedSoup::new().merge(&pool.weights(), |w| model.loss_tensor(w, &data, &rows))?;
    /// assert!(soup.score <= model.loss(&pool.members()[0].weights, &data, &rows)?);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`loss`](Self::loss), and when an operation of the network has no derivative. No gradient reaches a tensor
    /// that has infinite elements, such as a mask.
    pub fn loss_tensor(&self, weights: &Weights, data: &dyn Dataset, rows: &[u32]) -> CandleResult<Tensor> {
        if rows.is_empty() {
            candle_core::bail!("the number of rows must be at least 1, but is 0");
        }
        let leaves = leaves(weights)?;
        let live = self.of_leaves(&leaves)?;
        let parts: Vec<&[u32]> = rows.chunks(self.pass_rows()).collect();
        let sums = |live: &Live<L::Network>, number: usize| {
            self.sums(live, &leaves, data, parts.get(number).copied().unwrap_or_default())
        };
        let helper = || {
            let live = self.of_leaves(&leaves).ok()?;
            Some(move |number| sums(&live, number))
        };
        let mut total = Sums { loss: 0., count: 0., gradients: vec![None; leaves.len()] };
        let threads = self.threads_for(weights, rows.len());
        in_order(parts.len(), threads, helper, |number| sums(&live, number), |part| total.add(part))?;
        self.with_gradients(total, weights)
    }

    /// A network of these tensors.
    fn of_leaves(&self, leaves: &Weights) -> CandleResult<Live<L::Network>> {
        let (live, unread) = self.of_tensors(leaves)?;
        match unread.first() {
            None => Ok(live),
            Some(name) => candle_core::bail!("the network {:?} has no {name}", self.name()),
        }
    }

    /// The sums over the rows of one pass.
    fn sums(
        &self,
        live: &Live<L::Network>,
        leaves: &Weights,
        data: &dyn Dataset,
        rows: &[u32],
    ) -> CandleResult<Sums> {
        let (batch, output) =
            (data.batch_for(Purpose::Scoring, rows, self.target_device())?, self.output_kind());
        let predicted = live.run(&batch.inputs, false)?;
        let kind = (data.task(), data.positions());
        let flat = FlatTargets::of(&batch, data.positions())?;
        let each = match data.task() {
            Task::Classification { .. } => {
                let predicted = output.prediction_at(&predicted, kind, Scale::LogProbability)?;
                flat.kept_of(predicted)?.gather(&flat.targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?
            }
            Task::Regression { .. } => {
                let predicted = output.prediction_at(&predicted, kind, Scale::Probability)?;
                let targets = flat.targets.to_dtype(predicted.dtype())?.reshape(predicted.shape())?;
                (predicted - targets)?.sqr()?.mean(1)?
            }
        };
        let (loss, count) = match flat.weights {
            None => (each.sum_all()?, each.dim(0)? as f64),
            Some(weights) => {
                let count = weights.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
                ((&each * weights.to_dtype(each.dtype())?)?.sum_all()?, count)
            }
        };
        let gradients = match leaves.values().any(Tensor::is_variable) {
            false => vec![],
            true => {
                let store = backward(&loss)?;
                // Detached from the activations that they were computed from.
                leaves.values().map(|leaf| store.get(leaf).map(Tensor::detach)).collect()
            }
        };
        Ok(Sums { loss: loss.to_dtype(DType::F64)?.to_scalar()?, count, gradients })
    }

    /// The mean loss with its gradient: `L + Σ ⟨∂L/∂θ, θ − θ₀⟩`, where `θ₀` is the value of `θ`.
    fn with_gradients(&self, sums: Sums, weights: &Weights) -> CandleResult<Tensor> {
        let mut loss = widened(&Tensor::zeros((), self.dtype(), self.target_device())?)?;
        let mean = Tensor::new(sums.loss / sums.count, &Device::Cpu)?;
        loss = (&loss + mean.to_dtype(loss.dtype())?.to_device(loss.device())?)?;
        for (weight, gradient) in weights.values().zip(sums.gradients) {
            let Some(gradient) = gradient.filter(|_| !matches!(first_non_finite(weight), Ok(Some(_)))) else {
                continue;
            };
            let gradient = (gradient / sums.count)?.to_dtype(weight.dtype())?;
            let linear = ((weight - weight.detach())? * gradient)?.sum_all()?;
            loss = (&loss + linear.to_dtype(loss.dtype())?)?;
        }
        Ok(loss)
    }
}

/// The weights as variables, where a gradient is to reach them.
fn leaves(weights: &Weights) -> CandleResult<Weights> {
    let leaf = |(name, tensor): (&String, &Tensor)| {
        let tensor = match tensor.track_op() && tensor.dtype().is_float() {
            true => Var::from_tensor(&tensor.detach())?.into_inner(),
            false => tensor.clone(),
        };
        Ok((name.clone(), tensor))
    };
    weights.iter().map(leaf).collect()
}
