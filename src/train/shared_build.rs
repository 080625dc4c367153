//! Constructors of networks that other threads can call.
use crate::{plan::Settings, train::networks::Networks};
use candle_core::Result as CandleResult;
use candle_nn::VarBuilder;
use std::{fmt, sync::Arc};

type Build<N> = dyn Fn(&str, &Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync;

/// What builds the networks of a learner, on any thread and without the learner.
///
/// An ensemble predicts on all cores if it has one: networks need not be `Send`, so each thread builds its own, from
/// the same weights. [`Learner::shared_build`](crate::train::Learner::shared_build) returns it.
///
/// ```
/// use candle_ensemble::train::SharedBuild;
/// use candle_nn::linear;
///
/// let build = SharedBuild::new(|_architecture, _settings, vb| linear(2, 1, vb));
/// ```
pub struct SharedBuild<N>(Kind<N>);

enum Kind<N> {
    Function(Arc<Build<N>>),
    Networks(Arc<Networks<N>>),
}

impl<N> SharedBuild<N> {
    /// A function of the name of an architecture, the settings of a run, and a `VarBuilder` over the weights of a
    /// member. The network that it returns depends on nothing else.
    pub fn new(
        build: impl Fn(&str, &Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Function(Arc::new(build)))
    }

    /// The constructors of a ready-made learner.
    pub(crate) fn of_networks(networks: &Networks<N>) -> Self {
        Self(Kind::Networks(Arc::new(networks.clone())))
    }

    pub(crate) fn build(&self, name: &str, settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<N> {
        match &self.0 {
            Kind::Function(build) => build(name, settings, vb),
            Kind::Networks(networks) => networks.build(name, settings, vb),
        }
    }
}

/// The copies share the constructors.
impl<N> Clone for SharedBuild<N> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Function(build) => Kind::Function(build.clone()),
            Kind::Networks(networks) => Kind::Networks(networks.clone()),
        })
    }
}

impl<N> fmt::Debug for SharedBuild<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedBuild")
    }
}
