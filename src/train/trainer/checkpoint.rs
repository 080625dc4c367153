//! What a checkpoint of the ready-made trainer holds besides the network's variables.
use crate::{
    codec,
    store::checkpoint::LoopState,
    train::{trainer::phase::Phase, LossScaling, PlateauMonitor, SavedOptimizer, StoppingMonitor},
    weights::Weights,
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The prefixes of the names under which a checkpoint holds the weights of the best epoch and the moments of
/// the optimizer.
const BEST: &str = "best/";
const MOMENTS: &str = "optimizer/";

/// The state of a training between two epochs.
pub(super) struct TrainingState {
    pub(super) optimizer: SavedOptimizer,
    pub(super) scaling: Option<LossScaling>,
    pub(super) plateau: Option<PlateauMonitor>,
    pub(super) monitor: Option<StoppingMonitor>,
    /// The weights of the best epoch.
    pub(super) best: Option<Weights>,
    pub(super) best_epoch: Option<(usize, f64)>,
    pub(super) phase: Phase,
    pub(super) stopped: bool,
    /// The saved running average.
    pub(super) average: Option<Vec<u8>>,
}

/// The same without its tensors, which a checkpoint holds by name.
#[derive(Serialize, Deserialize)]
struct Encoded {
    optimizer: SavedOptimizer,
    scaling: Option<LossScaling>,
    plateau: Option<PlateauMonitor>,
    monitor: Option<StoppingMonitor>,
    has_best: bool,
    best_epoch: Option<(usize, f64)>,
    phase: Phase,
    stopped: bool,
    average: Option<Vec<u8>>,
}

impl TrainingState {
    pub(super) fn encode(self) -> Result<LoopState> {
        let Self { optimizer, scaling, plateau, monitor, best, best_epoch, phase, stopped, average } = self;
        let (optimizer, moments) = optimizer.without_moments()?;
        let has_best = best.is_some();
        let bytes = codec::encode(&Encoded {
            optimizer,
            scaling,
            plateau,
            monitor,
            has_best,
            best_epoch,
            phase,
            stopped,
            average,
        })?;
        let best = best.unwrap_or_default();
        let tensors = with_prefix(MOMENTS, moments).chain(with_prefix(BEST, best)).collect();
        Ok(LoopState { bytes, tensors })
    }

    /// The inverse of [`TrainingState::encode`].
    pub(super) fn decode(bytes: &[u8], tensors: &Weights) -> Result<Self> {
        let Encoded { optimizer, scaling, plateau, monitor, has_best, best_epoch, phase, stopped, average } =
            codec::decode(bytes)
                .map_err(|why| Error::Foreign { what: "the trainer's checkpoint".into(), why })?;
        let optimizer = optimizer.with_moments(without_prefix(MOMENTS, tensors))?;
        let best = has_best.then(|| without_prefix(BEST, tensors));
        Ok(Self { optimizer, scaling, plateau, monitor, best, best_epoch, phase, stopped, average })
    }
}

/// All tensors, with `prefix` before their names.
pub(crate) fn with_prefix(prefix: &str, tensors: Weights) -> impl Iterator<Item = (String, Tensor)> + '_ {
    tensors.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
}

/// The tensors whose names begin with `prefix`, under the rest of their names.
pub(crate) fn without_prefix(prefix: &str, tensors: &Weights) -> Weights {
    let rest = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.into(), tensor.clone()));
    tensors.iter().filter_map(rest).collect()
}
