//! Every rule. To enrol a new one, add a row.
use super::problems::{Net, Problem};
use candle_core::{Module, Tensor};
use candle_ensemble::{combine::*, data::Inputs, prune::*, train::Trainer, Ensemble, Network, Pool, Result};

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
    Rule { name: "linear-stack", combine: |pool| combined(pool, &LinearStack), learns: true, problems: ALL },
    Rule {
        name: "ensemble-selection",
        combine: |pool| combined(pool, &selection()),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "mean, vector-scaling",
        combine: |pool| combined(pool, &Mean.calibrated(Calibration::Vector)),
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "mean, isotonic",
        combine: |pool| combined(pool, &Mean.calibrated(Calibration::Isotonic)),
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "vector-scaling, ensemble-selection",
        combine: |pool| combined(pool, &selection().on_calibrated(Calibration::Vector)),
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "pruned, mean, vector-scaling",
        combine: |pool| {
            combined(pool, &Pruned::new(Ordered::reduce_error(), Mean.calibrated(Calibration::Vector)))
        },
        learns: true,
        problems: CLASSES,
    },
];

/// Enough steps that every target shows in the weights.
fn selection() -> EnsembleSelection {
    EnsembleSelection::new(50)
}

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
