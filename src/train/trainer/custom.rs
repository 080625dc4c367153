//! Losses and penalties that the user has written.
use crate::{
    data::Batch, train::loss::mean_of_rows, train::trainer::TrainConfig, weights::Vars, Error, Result,
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
    pub(super) fn set_loss(
        &mut self,
        name: &str,
        losses: impl Fn(&Tensor, &Batch) -> CandleResult<Tensor> + Send + Sync + 'static,
    ) {
        self.loss = Some((name.into(), Arc::new(losses)));
    }

    pub(super) fn add_penalty(
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
