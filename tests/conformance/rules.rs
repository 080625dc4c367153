//! Every rule. To enrol a new one, add a row.
use super::problems::{Net, Problem};
use candle_core::{Module, Tensor};
use candle_ensemble::{combine::*, data::Inputs, train::Trainer, Ensemble, Network, Pool, Result};

type Combine = fn(Pool<'_, Trainer<Net>>) -> Result<Box<dyn Predictor>>;

pub struct Rule {
    pub name: &'static str,
    pub combine: Combine,
    /// Whether it learns from held-out rows.
    pub learns: bool,
    pub problems: &'static [Problem],
}

const ALL: &[Problem] = &Problem::ALL;
const CLASSES: &[Problem] = &[Problem::Classes, Problem::Binary];

pub const RULES: &[Rule] = &[
    Rule { name: "mean", combine: |pool| combined(pool, &Mean), learns: false, problems: ALL },
    Rule { name: "mean-log", combine: |pool| combined(pool, &MeanLog), learns: false, problems: CLASSES },
    Rule { name: "hard-vote", combine: |pool| combined(pool, &HardVote), learns: false, problems: CLASSES },
    Rule { name: "median", combine: |pool| combined(pool, &Median), learns: false, problems: ALL },
    Rule {
        name: "linear-stack",
        combine: |pool| combined(pool, &Stack::new(stack::Linear)),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "ridge-stack",
        combine: |pool| combined(pool, &Stack::new(stack::Ridge::cross_validated(3)).pass_through(true)),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "elastic-net-stack",
        combine: |pool| combined(pool, &Stack::new(stack::ElasticNet::new(0.01, 0.5))),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "logistic-stack",
        combine: |pool| {
            combined(pool, &Stack::new(stack::Logistic::new()).features(stack::MetaFeatures::LogOdds))
        },
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "network-stack",
        combine: |pool| combined(pool, &Stack::new(stack::Network::new(stack::Mlp::new(&[4])).epochs(5))),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "linear-stack over linear-stack, median",
        combine: |pool| {
            combined(
                pool,
                &Layers::new((Stack::new(stack::Linear), Median), Stack::new(stack::Linear)).folds(3),
            )
        },
        learns: true,
        problems: ALL,
    },
];

/// An ensemble, whatever its head.
pub trait Predictor {
    fn name(&self) -> String;
    fn predict(&self, inputs: &Inputs) -> Result<Tensor>;
    fn predict_proba(&self, inputs: &Inputs) -> Result<Tensor>;
    fn member_predictions(&self, inputs: &Inputs) -> Result<Tensor>;
    fn forward(&self, inputs: &Inputs) -> Result<Tensor>;
    fn batch_rows(self: Box<Self>, rows: usize) -> Box<dyn Predictor>;
}

fn combined<C: Combiner>(pool: Pool<'_, Trainer<Net>>, rule: &C) -> Result<Box<dyn Predictor>>
where
    C::Head: 'static,
{
    Ok(Box::new(pool.combine(rule)?))
}

impl<N: Network + 'static, H: Head + 'static> Predictor for Ensemble<N, H> {
    fn name(&self) -> String {
        self.head().name()
    }
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        self.predict(inputs)
    }
    fn predict_proba(&self, inputs: &Inputs) -> Result<Tensor> {
        self.predict_proba(inputs)
    }
    fn member_predictions(&self, inputs: &Inputs) -> Result<Tensor> {
        self.member_predictions(inputs)
    }
    fn forward(&self, inputs: &Inputs) -> Result<Tensor> {
        Ok(Module::forward(self, inputs.only()?)?)
    }
    fn batch_rows(self: Box<Self>, rows: usize) -> Box<dyn Predictor> {
        Box::new(Ensemble::batch_rows(*self, rows))
    }
}
