//! The combiners by name that need a solver.
use super::{any, criterion, seeded, CLASSES, CRITERION, SEED};
use crate::{
    combine::{
        stack::{
            ElasticNet, Linear, LinearRegression, Link, Logistic, MetaFeatures, MetaLearner, Mlp,
            NeuralNetwork, Ridge, Tweedie,
        },
        AnyCombiner, AnyFitted, Calibrate, Calibration, DifferentialEvolution, FittedStack, Gating,
        GridSearch, InverseError, KnoraE, KnoraU, LeastSquares, Mean, MetaDes, ModelCombination,
        MultiLayerStack, Penalty, PerClass, PredictiveStacking, PseudoBma, SimplexLogLoss, SimplexSquares,
        Space, Stack,
    },
    registry::{Argument, Arguments, Entry, Tasks},
    Error, Result,
};

const LAMBDA: Argument =
    Argument::optional("lambda", "Strength of the penalty; if not set, chosen by cross-validation");

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

fn penalty(arguments: &Arguments) -> Result<Penalty> {
    Ok(match arguments.optional("lambda")? {
        Some(lambda) => Penalty::Fixed(lambda),
        None => seeded!(Penalty::chosen(), arguments),
    })
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

/// Combiners that learn one weight for each slot.
pub(super) const BLENDS: &[Entry<AnyCombiner>] = &[
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

/// Combiners with a meta-learner.
pub(super) const STACKS: &[Entry<AnyCombiner>] = &[
    Entry::new("stack-linear", "stack::Linear", "Least squares as meta-learner", |arguments| {
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
    Entry::new(
        "stack-linear-regression",
        "stack::LinearRegression",
        "Linear regression as meta-learner, which refuses members that are not independent",
        |arguments| stack(arguments, LinearRegression),
    )
    .with_arguments(&[FEATURES, PASS_THROUGH])
    .with_tasks(Tasks::Regression),
    Entry::new(
        "stack-tweedie",
        "stack::Tweedie",
        "A generalized linear model as meta-learner",
        |arguments| {
            let links = [("identity", Link::Identity), ("log", Link::Log), ("logit", Link::Logit)];
            let tweedie = Tweedie::new(arguments.get("tweedie-power")?).alpha(arguments.get("alpha")?);
            match arguments.choice("link", &links)? {
                Some(link) => stack(arguments, tweedie.link(link)),
                None => stack(arguments, tweedie),
            }
        },
    )
    .with_arguments(&[
        Argument::new(
            "tweedie-power",
            "1",
            "The variance is the mean to this power: 0 normal, 1 Poisson, 2 gamma",
        ),
        Argument::new("alpha", "1", "Strength of the penalty"),
        Argument::optional("link", "How the linear predictor gives the mean: identity, log or logit"),
        FEATURES,
        PASS_THROUGH,
    ])
    .with_tasks(Tasks::Regression)
    .with_source("Jørgensen 1987, doi:10.1111/j.2517-6161.1987.tb01685.x"),
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
pub(super) const CALIBRATIONS: &[Entry<AnyCombiner>] = &[
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
pub(super) const DYNAMIC: &[Entry<AnyCombiner>] = &[
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
        let gating = match arguments.optional("gate-epochs")? {
            Some(epochs) => gating.epochs(epochs),
            None => gating,
        };
        any(seeded!(gating, arguments))
    })
    .with_arguments(&[
        Argument::new("gate-units", "0", "Hidden units of the gate; 0 for a linear gate"),
        Argument::optional("gate-epochs", "Passes of the gate over the rows at most"),
        OUTPUTS,
        SEED,
    ]),
];
