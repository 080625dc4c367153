//! The ready-made trainer with another configuration, for tests that train for a few steps.
use crate::{
    network::{Aggregation, Output},
    plan::Settings,
    train::{Learner, Run, SharedBuild, TrainConfig, Trainer},
    weights::InitScheme,
    Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// A trainer that trains every run with this configuration, whatever the settings of the run say. The settings still
/// reach the constructor of the network.
pub(crate) struct Configured<'t, N> {
    pub(crate) trainer: &'t Trainer<N>,
    pub(crate) config: TrainConfig,
    /// What it is for, which is part of its tag.
    pub(crate) purpose: &'static str,
}

impl<N: Network> Learner for Configured<'_, N> {
    type Network = N;

    fn architectures(&self) -> Vec<String> {
        self.trainer.architectures()
    }

    fn build(&self, architecture: &str, settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<N> {
        self.trainer.build(architecture, settings, vb)
    }

    fn shared_build(&self) -> Option<SharedBuild<N>> {
        self.trainer.shared_build()
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        self.trainer.fit_as(&self.config, network, run)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.purpose, self.trainer.tag())
    }

    fn init(&self, settings: &Settings) -> Result<InitScheme> {
        Learner::init(self.trainer, settings)
    }

    fn aggregation(&self, _settings: &Settings) -> Result<Aggregation> {
        Ok(self.config.joint_loss.aggregation())
    }

    fn converts(&self, architecture: &str) -> bool {
        self.trainer.converts(architecture)
    }

    fn dtype(&self) -> DType {
        Learner::dtype(self.trainer)
    }

    fn output(&self) -> Output {
        Learner::output(self.trainer)
    }
}
