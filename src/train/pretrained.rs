//! A learner that builds networks and trains none.
use crate::{
    data::Dataset,
    network::Output,
    plan::{RunSpec, Settings},
    train::{
        networks::{learner_methods, network_setters, Networks},
        Learner, Run,
    },
    weights::InitScheme,
    Error, Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// The constructors of networks whose weights are there already.
///
/// It is the learner of a pool of pretrained networks ([`PoolBuilder`](crate::PoolBuilder)), and of an ensemble of
/// them that is loaded ([`Ensemble::load`](crate::Ensemble::load)). It trains nothing: a
/// [`Session`](crate::Session) refuses it. Networks that are to be trained further need a
/// [`Trainer`](crate::train::Trainer), with which a pool can be built as well.
///
/// ```
/// use candle_ensemble::{nn::seq, train::Pretrained};
/// use candle_nn::{linear, Activation, VarBuilder};
///
/// let network = |hidden: usize| {
///     move |vb: VarBuilder<'static>| {
///         let body = seq().add(linear(4, hidden, vb.pp("fc1"))?).add(Activation::Relu);
///         Ok(body.add(linear(hidden, 3, vb.pp("fc2"))?))
///     }
/// };
/// let networks = Pretrained::new(network(16)).architecture("wide", network(64));
/// ```
pub struct Pretrained<N> {
    networks: Networks<N>,
    init: InitScheme,
}

impl<N> std::fmt::Debug for Pretrained<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pretrained").field("architectures", &self.networks.names()).finish_non_exhaustive()
    }
}

impl<N: Network> Pretrained<N> {
    /// Networks that the constructor `new` builds. The architecture is called `"model"`.
    pub fn new(new: impl Fn(VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static) -> Self {
        Self { networks: Networks::new(&[], move |_, vb| new(vb)), init: InitScheme::default() }
    }

    network_setters!(init);

    /// Adds an architecture whose constructor reads the settings of the member, such as a width, or replaces the
    /// architecture of the same name.
    #[must_use]
    pub fn architecture_reading(
        mut self,
        name: &str,
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.networks.add(name, &[], new);
        self
    }
}

impl<N: Network> Learner for Pretrained<N> {
    learner_methods!();

    fn init(&self, _settings: &Settings) -> Result<InitScheme> {
        Ok(self.init.clone())
    }

    fn fit(&self, _network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        Err(run.fail(trains_nothing()))
    }

    fn tag(&self) -> String {
        format!("pretrained {:?} {:?} {:?}", self.init, self.networks.dtype, self.networks.output)
    }

    fn check(&self, _run: &RunSpec, _data: &dyn Dataset) -> Result<()> {
        Err(trains_nothing())
    }
}

fn trains_nothing() -> Error {
    let got = "Pretrained, which trains nothing: give its networks to a PoolBuilder";
    Error::invalid("the learner of a session", "one that trains, such as Trainer or CustomLoop", got)
}
