//! The trait for a training loop of the user's own.
use crate::{
    data::Dataset,
    network::Output,
    plan::{RunSpec, Settings},
    train::Run,
    weights::InitScheme,
    Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// Builds fresh networks and fits one. [`Trainer`](crate::train::Trainer) is the ready-made one;
/// [`CustomLoop`](crate::train::CustomLoop) makes one of a closure.
pub trait Learner: Sync {
    /// The network. It never crosses a thread.
    type Network: Network;

    /// The architectures, each by a name of its own.
    fn architectures(&self) -> Vec<String>;

    /// Builds an architecture from a `VarBuilder`: for training, and again for inference.
    ///
    /// # Errors
    /// candle's, or what the constructor says.
    fn build(
        &self,
        architecture: &str,
        settings: &Settings,
        vb: VarBuilder<'_>,
    ) -> CandleResult<Self::Network>;

    /// Fits `network`, whose variables are [`Run::vars`], to the run's rows.
    ///
    /// # Errors
    /// candle's, or what the loop says; see [`Run::fail`] for errors of this library.
    fn fit(&self, network: &Self::Network, run: &mut Run<'_>) -> CandleResult<()>;

    /// Names everything that shapes a member besides the data and the plan: hyper-parameters, a version of the
    /// loop. A store never takes a member of one tag for one of another.
    fn tag(&self) -> String;

    /// How many epochs a run will do, for progress bars; 0 where that is not known.
    fn epochs(&self, _run: &RunSpec) -> usize {
        0
    }

    /// How initial weights are drawn.
    fn init(&self) -> InitScheme {
        InitScheme::default()
    }

    /// Type of the weights.
    fn dtype(&self) -> DType {
        DType::F32
    }

    /// What the networks put out for classes.
    fn output(&self) -> Output {
        Output::default()
    }

    /// Checks a run before anything is trained.
    ///
    /// # Errors
    /// When the run asks for what this learner cannot do.
    fn check(&self, _run: &RunSpec, _data: &dyn Dataset) -> Result<()> {
        Ok(())
    }
}
