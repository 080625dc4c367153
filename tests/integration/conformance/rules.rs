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

macro_rules! learned {
    ($name:literal, $rule:expr, $problems:expr) => {
        Rule { name: $name, combine: |pool| combined(pool, &$rule), learns: true, problems: $problems }
    };
}

pub const RULES: &[Rule] = &[
    Rule { name: "mean", combine: |pool| combined(pool, &Mean), learns: false, problems: ALL },
    Rule {
        name: "geometric-mean",
        combine: |pool| combined(pool, &GeometricMean),
        learns: false,
        problems: CLASSES,
    },
    Rule { name: "hard-vote", combine: |pool| combined(pool, &HardVote), learns: false, problems: CLASSES },
    Rule { name: "median", combine: |pool| combined(pool, &Median), learns: false, problems: ALL },
    Rule {
        name: "weighted-mean",
        combine: |pool| weighted(pool, Weighted::new),
        learns: false,
        problems: ALL,
    },
    Rule {
        name: "weighted-vote",
        combine: |pool| weighted(pool, WeightedVote::new),
        learns: false,
        problems: CLASSES,
    },
    Rule {
        name: "log-odds-mean",
        combine: |pool| combined(pool, &LogOddsMean),
        learns: false,
        problems: CLASSES,
    },
    Rule { name: "product", combine: |pool| combined(pool, &Product), learns: false, problems: CLASSES },
    Rule { name: "minimum", combine: |pool| combined(pool, &Minimum), learns: false, problems: ALL },
    Rule { name: "maximum", combine: |pool| combined(pool, &Maximum), learns: false, problems: ALL },
    Rule {
        name: "trimmed-mean",
        combine: |pool| combined(pool, &TrimmedMean::new(0.2)?),
        learns: false,
        problems: ALL,
    },
    Rule {
        name: "winsorized-mean",
        combine: |pool| combined(pool, &WinsorizedMean::new(0.2)?),
        learns: false,
        problems: ALL,
    },
    Rule {
        name: "rank-average",
        combine: |pool| combined(pool, &RankAverage),
        learns: false,
        problems: CLASSES,
    },
    Rule {
        name: "borda-count",
        combine: |pool| combined(pool, &BordaCount),
        learns: false,
        problems: CLASSES,
    },
    Rule {
        name: "knora-e",
        combine: |pool| combined(pool, &KnoraE::new(5)),
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "knora-u",
        combine: |pool| combined(pool, &KnoraU::new(5)),
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "meta-des",
        combine: |pool| combined(pool, &MetaDes::new(5)),
        learns: true,
        problems: CLASSES,
    },
    Rule {
        name: "gating",
        combine: |pool| combined(pool, &Gating::new().hidden(4).epochs(3)),
        learns: true,
        problems: ALL,
    },
    learned!("inverse-error", InverseError::new(), ALL),
    learned!("simplex-squares", SimplexSquares::new(), ALL),
    learned!("simplex-log-loss", SimplexLogLoss::new(), CLASSES),
    learned!("shrunk-log-loss", SimplexLogLoss::new().penalty(Penalty::chosen().seed(1)), CLASSES),
    learned!("least-squares", LeastSquares::new(), ALL),
    learned!("ridge", LeastSquares::ridge(Penalty::chosen().seed(1)), ALL),
    learned!("differential-evolution", DifferentialEvolution::new().seed(1).max_generations(3), ALL),
    learned!("per-class", PerClass, ALL),
    learned!("pseudo-bma", PseudoBma::new(), ALL),
    learned!("pseudo-bma+", PseudoBma::bootstrap(20).seed(1), ALL),
    learned!("predictive-stacking", PredictiveStacking, ALL),
    learned!("model-combination", ModelCombination::new().seed(1).draws(30), ALL),
    Rule {
        name: "ensemble-selection",
        combine: |pool| combined(pool, &selection()),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "linear-stack",
        combine: |pool| combined(pool, &Stack::new(stack::Linear)),
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "mean, temperature",
        combine: |pool| combined(pool, &Mean.calibrated(Calibration::Temperature)),
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
        combine: |pool| {
            combined(pool, &Stack::new(stack::NeuralNetwork::new(stack::Mlp::new(&[4])).epochs(5)))
        },
        learns: true,
        problems: ALL,
    },
    Rule {
        name: "linear-stack over linear-stack, median",
        combine: |pool| {
            combined(
                pool,
                &MultiLayerStack::new((Stack::new(stack::Linear), Median), Stack::new(stack::Linear))
                    .folds(3),
            )
        },
        learns: true,
        problems: ALL,
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
    C::Fitted: 'static,
{
    Ok(Box::new(pool.combine(rule)?))
}

/// By weights that rise from slot to slot.
fn weighted<C: Combiner>(
    pool: Pool<'_, Trainer<Net>>,
    rule: impl Fn(&[f64]) -> Result<C>,
) -> Result<Box<dyn Predictor>>
where
    C::Fitted: 'static,
{
    let weights: Vec<f64> = (1..=pool.slots()).map(|w| w as f64).collect();
    combined(pool, &rule(&weights)?)
}

impl<N: Network + 'static, H: FittedCombiner + 'static> Predictor for Ensemble<N, H> {
    fn name(&self) -> String {
        self.fitted().name()
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
