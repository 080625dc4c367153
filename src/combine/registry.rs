//! The combiners by name.
use crate::{
    combine::{
        stack::{ElasticNet, Linear, Logistic, MetaFeatures, MetaLearner, Mlp, NeuralNetwork, Ridge},
        AnyCombiner, AnyFitted, BordaCount, Calibrate, Calibration, Combiner, DifferentialEvolution,
        EnsembleSelection, FittedStack, Gating, GeometricMean, GridSearch, HardVote, InverseError, KnoraE,
        KnoraU, LeastSquares, LogOddsMean, Maximum, Mean, Median, MetaDes, Minimum, ModelCombination,
        MultiLayerStack, Penalty, PerClass, PredictiveStacking, Product, PseudoBma, RankAverage,
        SimplexLogLoss, SimplexSquares, Space, Stack, TrimmedMean, Weighted, WeightedVote, WinsorizedMean,
    },
    metrics::{self, Metric},
    registry::{Argument, Arguments, Entry, Registry, Tasks},
    Error, Result, Seed,
};
use std::sync::LazyLock;

/// The combiners by name.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{self, Combiner, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.2, 0.8]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// for combiner in combine::registry().parse_list("mean,inverse-error:power=2,ridge:lambda=0.1")? {
///     let fitted = combiner.fit(&held_out)?;
///     println!("{}: {:?}", fitted.name(), held_out.metrics(&fitted)?);
/// }
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[must_use]
pub fn registry() -> &'static Registry<AnyCombiner> {
    static REGISTRY: LazyLock<Registry<AnyCombiner>> = LazyLock::new(|| {
        Registry::new("combiner", [FIXED, BLENDS, SELECTIONS, STACKS, CALIBRATIONS, DYNAMIC].concat())
    });
    &REGISTRY
}

const CLASSES: Tasks = Tasks::Classification;

const WEIGHTS: Argument = Argument::required("weights", "one weight for each member, separated by commas");

const CUT: Argument = Argument::new("cut", "0.2", "Share cut off at each end");

const CRITERION: Argument = Argument::optional(
    "criterion",
    "What is minimised: any metric, such as log-loss, brier, squared; if not set, log-loss or squared error",
);

const LAMBDA: Argument =
    Argument::optional("lambda", "Strength of the penalty; if not set, chosen by cross-validation");

const SEED: Argument = Argument::optional(
    "seed",
    "Seed of what is drawn at random; if not set, that of the held-out predictions",
);

const FEATURES: Argument = Argument::new(
    "features",
    "probabilities",
    "What the meta-learner is given of the members: probabilities, log-odds or classes",
);

const PASS_THROUGH: Argument =
    Argument::new("pass-through", "false", "Whether the meta-learner is given the rows' inputs too");

const NEIGHBOURS: Argument = Argument::new("neighbours", "7", "Neighbours of a row");

const OUTPUTS: Argument =
    Argument::new("outputs", "false", "Whether to use the members' outputs in place of the rows' inputs");

fn any<C: Combiner + 'static>(combiner: C) -> Result<AnyCombiner>
where
    C::Fitted: Into<AnyFitted>,
{
    Ok(AnyCombiner::new(combiner))
}

/// Calls the setter `seed` with the value of [`SEED`], where there is one.
macro_rules! seeded {
    ($combiner:expr, $arguments:expr) => {{
        let combiner = $combiner;
        match $arguments.optional::<u64>("seed")? {
            Some(seed) => combiner.seed(Seed::from(seed)),
            None => combiner,
        }
    }};
}

fn penalty(arguments: &Arguments) -> Result<Penalty> {
    Ok(match arguments.optional("lambda")? {
        Some(lambda) => Penalty::Fixed(lambda),
        None => seeded!(Penalty::chosen(), arguments),
    })
}

fn criterion(arguments: &Arguments) -> Result<Option<Metric>> {
    arguments.optional::<String>("criterion")?.map(|name| metrics::registry().parse(&name)).transpose()
}

fn space(arguments: &Arguments) -> Result<Space> {
    Ok(if arguments.get("outputs")? { Space::Outputs } else { Space::Inputs })
}

fn stack<M: MetaLearner + 'static>(arguments: &Arguments, learner: M) -> Result<AnyCombiner>
where
    FittedStack<M::Model>: Into<AnyFitted>,
{
    let words = [
        ("probabilities", MetaFeatures::Probabilities),
        ("log-odds", MetaFeatures::LogOdds),
        ("classes", MetaFeatures::Classes),
    ];
    let features = arguments.choice("features", &words)?.unwrap_or_default();
    any(Stack::new(learner).features(features).pass_through(arguments.get("pass-through")?))
}

/// Combiners that learn nothing.
const FIXED: &[Entry<AnyCombiner>] = &[
    Entry::new("mean", "Mean", "Mean of probabilities or values", |_| any(Mean)).with_aliases(&["soft-vote"]),
    Entry::new("weighted-mean", "Weighted", "Mean with given weights", |arguments| {
        any(Weighted::new(&arguments.get::<Vec<f64>>("weights")?)?)
    })
    .with_arguments(&[WEIGHTS]),
    Entry::new("geometric-mean", "GeometricMean", "Mean of log-probabilities, normalised", |_| {
        any(GeometricMean)
    })
    .with_aliases(&["mean-log"])
    .with_tasks(CLASSES),
    Entry::new("log-odds-mean", "LogOddsMean", "Mean of log-odds", |_| any(LogOddsMean))
        .with_aliases(&["mean-logit"])
        .with_tasks(CLASSES),
    Entry::new("hard-vote", "HardVote", "Share of votes; ties go to the lowest class", |_| any(HardVote))
        .with_tasks(CLASSES),
    Entry::new("weighted-vote", "WeightedVote", "Share of votes with given weights", |arguments| {
        any(WeightedVote::new(&arguments.get::<Vec<f64>>("weights")?)?)
    })
    .with_arguments(&[WEIGHTS])
    .with_tasks(CLASSES),
    Entry::new("product", "Product", "Product of probabilities, normalised", |_| any(Product))
        .with_tasks(CLASSES),
    Entry::new("minimum", "Minimum", "Smallest probability or value", |_| any(Minimum)),
    Entry::new("maximum", "Maximum", "Greatest probability or value", |_| any(Maximum)),
    Entry::new("median", "Median", "Median of probabilities or values", |_| any(Median)),
    Entry::new("trimmed-mean", "TrimmedMean", "Mean without a share at each end", |arguments| {
        any(TrimmedMean::new(arguments.get("cut")?)?)
    })
    .with_arguments(&[CUT]),
    Entry::new(
        "winsorized-mean",
        "WinsorizedMean",
        "Mean with a share at each end set to the next value",
        |arguments| any(WinsorizedMean::new(arguments.get("cut")?)?),
    )
    .with_arguments(&[CUT]),
    Entry::new("rank-average", "RankAverage", "Mean rank of each class", |_| any(RankAverage))
        .with_tasks(CLASSES),
    Entry::new("borda-count", "BordaCount", "Points by rank, added up", |_| any(BordaCount))
        .with_tasks(CLASSES),
];

/// Combiners that learn one weight for each slot.
const BLENDS: &[Entry<AnyCombiner>] = &[
    Entry::new("inverse-error", "InverseError", "Weights proportional to 1/loss", |arguments| {
        let combiner = InverseError::new().power(arguments.get("power")?);
        let Some(metric) = criterion(arguments)? else { return any(combiner) };
        match metric.row_loss() {
            Some(loss) => any(combiner.loss(loss)),
            None => {
                let must = "a mean over rows for inverse-error";
                Err(Error::invalid("the criterion", must, metric.name()))
            }
        }
    })
    .with_arguments(&[Argument::new("power", "1", "The weights are 1/loss to this power"), CRITERION]),
    Entry::new(
        "simplex-squares",
        "SimplexSquares",
        "Weights of least squared error, 0 or more, sum 1",
        |_| any(SimplexSquares::new()),
    ),
    Entry::new("simplex-log-loss", "SimplexLogLoss", "Weights of least log-loss, 0 or more, sum 1", |_| {
        any(SimplexLogLoss::new())
    })
    .with_tasks(CLASSES),
    Entry::new(
        "shrunk-squares",
        "SimplexSquares::penalty",
        "The same as simplex-squares, shrunk towards equal weights",
        |arguments| any(SimplexSquares::new().penalty(penalty(arguments)?)),
    )
    .with_arguments(&[LAMBDA, SEED]),
    Entry::new(
        "shrunk-log-loss",
        "SimplexLogLoss::penalty",
        "The same as simplex-log-loss, shrunk towards equal weights",
        |arguments| any(SimplexLogLoss::new().penalty(penalty(arguments)?)),
    )
    .with_arguments(&[LAMBDA, SEED])
    .with_tasks(CLASSES),
    Entry::new("least-squares", "LeastSquares", "Any weights of least squared error", |_| {
        any(LeastSquares::new())
    }),
    Entry::new(
        "ridge",
        "LeastSquares::ridge",
        "Any weights of least squared error with a penalty",
        |arguments| any(LeastSquares::ridge(penalty(arguments)?)),
    )
    .with_arguments(&[LAMBDA, SEED]),
    Entry::new("grid-search", "GridSearch", "The best weights of a grid, 0 or more, sum 1", |arguments| {
        let combiner = GridSearch::new().steps(arguments.get("grid-steps")?);
        match criterion(arguments)? {
            Some(metric) => any(combiner.criterion(metric)),
            None => any(combiner),
        }
    })
    .with_arguments(&[Argument::new("grid-steps", "10", "Steps of a weight from 0 to 1"), CRITERION]),
    Entry::new(
        "differential-evolution",
        "DifferentialEvolution",
        "Weights by differential evolution, 0 or more, sum 1",
        |arguments| {
            let combiner = DifferentialEvolution::new().max_generations(arguments.get("generations")?);
            let combiner = seeded!(combiner, arguments);
            match criterion(arguments)? {
                Some(metric) => any(combiner.criterion(metric)),
                None => any(combiner),
            }
        },
    )
    .with_arguments(&[Argument::new("generations", "1000", "Generations at most"), CRITERION, SEED]),
    Entry::new("per-class", "PerClass", "Weights of least squared error for each class", |_| any(PerClass)),
    Entry::new("pseudo-bma", "PseudoBma", "Weights by expected log predictive density", |_| {
        any(PseudoBma::new())
    }),
    Entry::new(
        "pseudo-bma-plus",
        "PseudoBma::bootstrap",
        "The same as pseudo-bma, with the Bayesian bootstrap",
        |arguments| any(seeded!(PseudoBma::bootstrap(arguments.get("draws")?), arguments)),
    )
    .with_arguments(&[Argument::new("draws", "1000", "Draws of the bootstrap"), SEED]),
    Entry::new(
        "predictive-stacking",
        "PredictiveStacking",
        "Weights by stacking of predictive distributions",
        |_| any(PredictiveStacking),
    ),
    Entry::new("model-combination", "ModelCombination", "Bayesian model combination", |arguments| {
        any(seeded!(ModelCombination::new().draws(arguments.get("draws")?), arguments))
    })
    .with_arguments(&[Argument::new("draws", "1000", "Draws of weights"), SEED]),
];

/// Combiners that select members.
const SELECTIONS: &[Entry<AnyCombiner>] = &[Entry::new(
    "ensemble-selection",
    "EnsembleSelection",
    "Greedy selection of members, with replacement",
    |arguments| {
        let combiner = EnsembleSelection::new(arguments.get("steps")?).start(arguments.get("start")?);
        let mut combiner = seeded!(combiner, arguments);
        if let Some(metric) = criterion(arguments)? {
            combiner = combiner.criterion(metric);
        }
        if let Some(bags) = arguments.optional("bags")? {
            combiner = combiner.bags(bags, arguments.get("bag-share")?);
        }
        if let Some(budget) = arguments.optional("budget")? {
            combiner = combiner.budget(budget);
        }
        any(combiner.replacement(!arguments.get::<bool>("without-replacement")?))
    },
)
.with_arguments(&[
    Argument::new("steps", "50", "Steps, each of which adds a member"),
    Argument::new("start", "0", "How many of the best members it starts from"),
    Argument::optional("bags", "Bags of members to select from"),
    Argument::new("bag-share", "0.5", "Share of the members in a bag"),
    Argument::optional("budget", "What the members may cost together"),
    Argument::new("without-replacement", "false", "Whether each member is added at most once"),
    CRITERION,
    SEED,
])];

/// Combiners with a meta-learner.
const STACKS: &[Entry<AnyCombiner>] = &[
    Entry::new("stack-linear", "stack::Linear", "Linear regression as meta-learner", |arguments| {
        stack(arguments, Linear)
    })
    .with_arguments(&[FEATURES, PASS_THROUGH]),
    Entry::new("stack-ridge", "stack::Ridge", "Ridge regression as meta-learner", |arguments| {
        let lambda = arguments.optional("lambda")?;
        stack(arguments, lambda.map_or_else(|| Ridge::cross_validated(5), Ridge::new))
    })
    .with_arguments(&[LAMBDA, FEATURES, PASS_THROUGH]),
    Entry::new("stack-elastic-net", "stack::ElasticNet", "Elastic net as meta-learner", |arguments| {
        let ratio = arguments.get("l1-ratio")?;
        stack(
            arguments,
            match arguments.optional("lambda")? {
                Some(lambda) => ElasticNet::new(lambda, ratio),
                None => ElasticNet::cross_validated(ratio, 5),
            },
        )
    })
    .with_arguments(&[
        LAMBDA,
        Argument::new("l1-ratio", "0.5", "Share of the absolute penalty, 0 to 1"),
        FEATURES,
        PASS_THROUGH,
    ]),
    Entry::new(
        "stack-logistic",
        "stack::Logistic",
        "Multinomial logistic regression as meta-learner",
        |arguments| stack(arguments, Logistic::new().c(arguments.get("c")?)),
    )
    .with_arguments(&[Argument::new("c", "1", "Inverse strength of the penalty"), FEATURES, PASS_THROUGH])
    .with_tasks(CLASSES),
    Entry::new("stack-network", "stack::NeuralNetwork", "A neural network as meta-learner", |arguments| {
        let network = NeuralNetwork::new(Mlp::new(&arguments.get::<Vec<usize>>("hidden")?));
        stack(arguments, seeded!(network.epochs(arguments.get("epochs")?), arguments))
    })
    .with_arguments(&[
        Argument::new("hidden", "10", "Widths of the hidden layers, separated by commas"),
        Argument::new("epochs", "300", "Passes over the rows"),
        FEATURES,
        PASS_THROUGH,
        SEED,
    ]),
    Entry::new(
        "multi-layer-stack",
        "MultiLayerStack",
        "Mean, simplex-squares and stack-ridge, blended by simplex-squares",
        |arguments| {
            let lower = vec![
                AnyCombiner::new(Mean),
                AnyCombiner::new(SimplexSquares::new()),
                AnyCombiner::new(Stack::new(Ridge::cross_validated(5))),
            ];
            let top = AnyCombiner::new(SimplexSquares::new());
            any(seeded!(MultiLayerStack::new(lower, top).folds(arguments.get("folds")?), arguments))
        },
    )
    .with_arguments(&[Argument::new("folds", "5", "Folds of the held-out rows"), SEED]),
];

/// The mean, calibrated.
const CALIBRATIONS: &[Entry<AnyCombiner>] = &[
    Entry::new("temperature", "Calibration::Temperature", "The mean, scaled by one temperature", |_| {
        any(Mean.calibrated(Calibration::Temperature))
    })
    .with_tasks(CLASSES),
    Entry::new("vector-scaling", "Calibration::Vector", "The mean, scaled class by class", |_| {
        any(Mean.calibrated(Calibration::Vector))
    })
    .with_tasks(CLASSES),
    Entry::new("isotonic", "Calibration::Isotonic", "The mean, through isotonic regression", |_| {
        any(Mean.calibrated(Calibration::Isotonic))
    })
    .with_tasks(CLASSES),
];

/// Combiners that weigh members row by row.
const DYNAMIC: &[Entry<AnyCombiner>] = &[
    Entry::new("knora-e", "KnoraE", "Members that are right on all neighbours of a row", |arguments| {
        any(KnoraE::new(arguments.get("neighbours")?).space(space(arguments)?))
    })
    .with_arguments(&[NEIGHBOURS, OUTPUTS])
    .with_tasks(CLASSES),
    Entry::new("knora-u", "KnoraU", "Members by how many neighbours they are right on", |arguments| {
        any(KnoraU::new(arguments.get("neighbours")?).space(space(arguments)?))
    })
    .with_arguments(&[NEIGHBOURS, OUTPUTS])
    .with_tasks(CLASSES),
    Entry::new("meta-des", "MetaDes", "Members by a learned estimate of their competence", |arguments| {
        any(MetaDes::new(arguments.get("neighbours")?).space(space(arguments)?))
    })
    .with_arguments(&[NEIGHBOURS, OUTPUTS])
    .with_tasks(CLASSES),
    Entry::new("gating", "Gating", "Members by a gating network", |arguments| {
        let outputs: bool = arguments.get("outputs")?;
        let gating = Gating::new().hidden(arguments.get("gate-units")?).inputs(!outputs).outputs(outputs);
        any(seeded!(gating, arguments))
    })
    .with_arguments(&[
        Argument::new("gate-units", "0", "Hidden units of the gate; 0 for a linear gate"),
        OUTPUTS,
        SEED,
    ]),
];
