//! Losses and penalties that the user has written.
use crate::{
    data::Batch,
    train::{
        loss::mean_of_rows,
        trainer::{TrainConfig, Trainer},
    },
    weights::Vars,
    Error, Network, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use std::sync::Arc;

/// The losses `(B,)` of the rows of a batch.
type RowLosses = dyn Fn(&Tensor, &Batch) -> CandleResult<Tensor> + Send + Sync;
/// A number that is added to the mean loss of a batch.
type Penalty = dyn Fn(&Tensor, &Batch, &Vars) -> CandleResult<Tensor> + Send + Sync;

/// The loss of the user, and the penalties that are added to the loss, by name. The configuration has the names.
#[derive(Clone, Default)]
pub(crate) struct Custom {
    loss: Option<(String, Arc<RowLosses>)>,
    penalties: Vec<(String, Arc<Penalty>)>,
}

/// Nothing of the user's.
pub(crate) static NO_CUSTOM: Custom = Custom { loss: None, penalties: vec![] };

impl Custom {
    fn set_loss(
        &mut self,
        name: &str,
        losses: impl Fn(&Tensor, &Batch) -> CandleResult<Tensor> + Send + Sync + 'static,
    ) {
        self.loss = Some((name.into(), Arc::new(losses)));
    }

    fn add_penalty(
        &mut self,
        name: &str,
        penalty: impl Fn(&Tensor, &Batch, &Vars) -> CandleResult<Tensor> + Send + Sync + 'static,
    ) {
        self.penalties.push((name.into(), Arc::new(penalty)));
    }

    /// Checks that what the configuration names is here, under names that tell one from another.
    pub(crate) fn check(&self, config: &TrainConfig) -> Result<()> {
        if let Some(name) = &config.custom_loss {
            check_name("the name of the loss", name)?;
            if self.loss.as_ref().is_none_or(|(own, _)| own != name) {
                let must = "one that Trainer::custom_loss gives the trainer";
                return Err(Error::invalid("the loss", must, format!("{name:?}")));
            }
        }
        for (place, name) in config.custom_penalties.iter().enumerate() {
            check_name("the name of a penalty", name)?;
            if config.custom_penalties.iter().take(place).any(|before| before == name) {
                return Err(Error::invalid("the names of penalties", "different", format!("{name:?} twice")));
            }
            if !self.penalties.iter().any(|(own, _)| own == name) {
                let must = "one that Trainer::custom_penalty gives the trainer";
                return Err(Error::invalid("a penalty", must, format!("{name:?}")));
            }
        }
        Ok(())
    }

    /// The mean loss of a batch, if the configuration has the loss of the user.
    pub(crate) fn mean(
        &self,
        config: &TrainConfig,
        output: &Tensor,
        batch: &Batch,
    ) -> Option<CandleResult<Tensor>> {
        let (name, losses) =
            self.loss.as_ref().filter(|(name, _)| config.custom_loss.as_ref() == Some(name))?;
        Some(losses(output, batch).and_then(|losses| {
            let rows = batch.targets.dim(0)?;
            if losses.dims() != [rows] || !losses.dtype().is_float() {
                let what = format!("what the loss {name:?} returns");
                let must = format!("floats of shape [{rows}], a loss for each row");
                return Err(refused(what, must, &losses));
            }
            mean_of_rows(&widened(losses)?, batch.weights.as_ref())
        }))
    }

    /// The sum of the penalties; `None` if there are none.
    pub(super) fn penalty(
        &self,
        config: &TrainConfig,
        output: &Tensor,
        batch: &Batch,
        vars: &Vars,
    ) -> CandleResult<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (name, penalty) in
            self.penalties.iter().filter(|(name, _)| config.custom_penalties.contains(name))
        {
            let value = penalty(output, batch, vars)?;
            if !value.dims().is_empty() || !value.dtype().is_float() {
                let what = format!("what the penalty {name:?} returns");
                return Err(refused(what, "a float of shape []".into(), &value));
            }
            let value = widened(value)?;
            sum = Some(match sum {
                Some(sum) => (&sum + value.to_dtype(sum.dtype())?)?,
                None => value,
            });
        }
        Ok(sum)
    }
}

/// Losses of half precision in `f32`.
fn widened(x: Tensor) -> CandleResult<Tensor> {
    match x.dtype() {
        DType::F32 | DType::F64 => Ok(x),
        _ => x.to_dtype(DType::F32),
    }
}

fn refused(what: String, must: String, got: &Tensor) -> candle_core::Error {
    Error::invalid(what, must, format!("{} of shape {:?}", got.dtype().as_str(), got.dims())).into()
}

fn check_name(what: &str, name: &str) -> Result<()> {
    match name.trim().is_empty() {
        true => Err(Error::invalid(what, "at least one character, as it tells trainings apart", "empty")),
        false => Ok(()),
    }
}

impl<N: Network> Trainer<N> {
    /// Sets a loss of your own: a function of the network's outputs and the batch that returns the losses `(B,)` of its
    /// rows.
    ///
    /// ```text
    /// loss of a batch = Σ l / B,   or with weights w of the rows   Σ w l / Σ w
    /// ```
    ///
    /// The losses are composed of candle's differentiable operations and may be of any type of floats. The batch is as
    /// the network gets it in training: inputs and targets are scaled, if they are scaled at all, with their noise.
    /// Leave `batch.weights`, in which class weights are already, to the trainer, which multiplies them in. Where rows have
    /// several positions, each position with a class is a row here: outputs are `(P, C)` and targets `(P,)` of the `P`
    /// positions of the batch, and the inputs are those of the rows. The loss of validation rows, which early stopping
    /// watches, is computed by the same function. Where the data has
    /// [soft targets](crate::data::Dataset::soft_targets), they are the targets in training, and not in validation. Where
    /// several members are trained [side by side](crate::exec::Stacked), the function gets the outputs of one of them.
    ///
    /// `name` is part of the trainer's tag, by which a store tells trainings apart. Change it whenever the function
    /// changes, for example by a version: `"tversky 0.7, version 2"`. A run with the setting `"loss"` is trained with that
    /// loss instead.
    ///
    /// Use it where [`Loss`](crate::train::Loss) has not what you need. On the CPU the losses of the library are faster,
    /// because value and gradient are one operation.
    ///
    /// # Errors
    /// A run fails in its first step if the function returns an error or another shape, and with
    /// [`Error::NoGradient`](crate::Error::NoGradient) if the losses do not reach a variable. A loss that is not finite is
    /// an error in every step. An empty name is an error before anything is trained.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::TensorDataset, strategy::MultiRun, train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// // The squared error, in which predictions that are too low count three times.
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).custom_loss("asymmetric 3", |outputs, batch| {
    ///     let d = (outputs.squeeze(1)? - &batch.targets)?;
    ///     let low = d.neg()?.relu()?.sqr()?;
    ///     d.sqr()? + (low * 2.)?
    /// });
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?;
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn custom_loss(
        mut self,
        name: &str,
        losses: impl Fn(&Tensor, &Batch) -> CandleResult<Tensor> + Send + Sync + 'static,
    ) -> Self {
        self.custom.set_loss(name, losses);
        (self.config.loss, self.config.custom_loss) = (None, Some(name.into()));
        self
    }

    /// Adds a penalty of your own: a function of the network's outputs, the batch and the variables that returns one
    /// number, which is added to the mean loss of each step. Penalties are trained on, and not recorded in learning
    /// curves. They are no part of the loss of validation rows.
    ///
    /// Several are added up. `name` is part of the trainer's tag, as that of [`custom_loss`](Self::custom_loss); each
    /// needs one of its own. The [`regularizer`](Self::regularizer)s are penalties on weights that are ready-made, and
    /// [`ActivityRegularizer`](crate::nn::ActivityRegularizer) is one on the outputs of a layer. With a penalty that reads
    /// variables, members may have to be trained one by one where others are trained
    /// [side by side](crate::exec::Stacked): the observer is told.
    ///
    /// # Errors
    /// A run fails in its first step if the function returns an error or another shape. Two penalties of the same name, or
    /// an empty one, are an error before anything is trained.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::TensorDataset, strategy::MultiRun, train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
    /// let data = TensorDataset::classification(&x, &y)?;
    /// // Rewards networks that are less certain: 0.1 times the negative entropy of their predictions.
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).custom_penalty("entropy 0.1", |outputs, _, _| {
    ///     let log = candle_nn::ops::log_softmax(outputs, 1)?;
    ///     (log.exp()? * log)?.sum(1)?.mean_all()? * 0.1
    /// });
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?;
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn custom_penalty(
        mut self,
        name: &str,
        penalty: impl Fn(&Tensor, &Batch, &Vars) -> CandleResult<Tensor> + Send + Sync + 'static,
    ) -> Self {
        self.custom.add_penalty(name, penalty);
        self.config.custom_penalties.push(name.into());
        self
    }
}
