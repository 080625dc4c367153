//! The combiners by name.
use crate::{
    combine::{
        AnyCombiner, AnyFitted, BordaCount, Combiner, EnsembleSelection, GeometricMean, HardVote,
        LogOddsMean, Maximum, Mean, Median, Minimum, Product, RankAverage, TrimmedMean, Weighted,
        WeightedVote, WinsorizedMean,
    },
    metrics::{self, Metric},
    registry::{Argument, Arguments, Entry, Registry, Tasks},
    Result,
};
use std::sync::LazyLock;

/// The combiners by name.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{self, Combiner, FittedCombiner}, data::Task, predictions::*, HeldOut};
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
    static REGISTRY: LazyLock<Registry<AnyCombiner>> =
        LazyLock::new(|| Registry::new("combiner", lists().concat()));
    &REGISTRY
}

#[cfg(feature = "learned")]
mod learned;

#[cfg(feature = "learned")]
fn lists() -> [&'static [Entry<AnyCombiner>]; 6] {
    use learned::{BLENDS, CALIBRATIONS, DYNAMIC, STACKS};
    [FIXED, BLENDS, SELECTIONS, STACKS, CALIBRATIONS, DYNAMIC]
}

#[cfg(not(feature = "learned"))]
fn lists() -> [&'static [Entry<AnyCombiner>]; 2] {
    [FIXED, SELECTIONS]
}

const CLASSES: Tasks = Tasks::Classification;

const WEIGHTS: Argument = Argument::required("weights", "one weight for each member, separated by commas");

const CUT: Argument = Argument::new("cut", "0.2", "Share cut off at each end");

const CRITERION: Argument = Argument::optional(
    "criterion",
    "What is minimised: any metric, such as log-loss, brier, squared; if not set, log-loss or squared error",
);

const SEED: Argument = Argument::optional(
    "seed",
    "Seed of what is drawn at random; if not set, that of the held-out predictions",
);

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
            Some(seed) => combiner.seed($crate::Seed::from(seed)),
            None => combiner,
        }
    }};
}
#[cfg(feature = "learned")]
use seeded;

fn criterion(arguments: &Arguments) -> Result<Option<Metric>> {
    arguments.optional::<String>("criterion")?.map(|name| metrics::registry().parse(&name)).transpose()
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
<<<<<<< HEAD
=======

/// Combiners with a meta-learner.
const STACKS: &[Entry<AnyCombiner>] = &[
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        combine::{decode_combiner, encode_combiner, FittedCombiner},
        data::Task,
        metrics::RowLoss,
        predictions::Predictions,
        HeldOut,
    };
    use candle_core::{Device, Tensor};

    const ROWS: usize = 48;

    /// Four members that are right in different places.
    fn held_out(classes: bool) -> HeldOut {
        let noise = |i: usize| (((i * 7919 + 13) % 101) as f64 / 101. - 0.5) * 1.6;
        let inputs = Tensor::from_iter((0..2 * ROWS).map(noise), &Device::Cpu).unwrap();
        let inputs = inputs.reshape((ROWS, 2)).unwrap();
        let signal = |row: usize| (row % 3) as f64 - 1.;
        let member = |m: usize, row: usize| signal(row) * (1. + 0.1 * m as f64) + noise(m * ROWS + row);
        let (predicted, task, targets) = if classes {
            let p = |m: usize, row: usize| 1. / (1. + (-2. * member(m, row)).exp());
            let table = (0..4).flat_map(|m| (0..ROWS).flat_map(move |row| [1. - p(m, row), p(m, row)]));
            let labels = (0..ROWS).map(|row| u32::from(signal(row) + 0.5 * noise(row) > 0.));
            (
                Tensor::from_iter(table, &Device::Cpu).unwrap().reshape((4, ROWS, 2)),
                Task::Classification { classes: 2 },
                Tensor::from_iter(labels, &Device::Cpu).unwrap(),
            )
        } else {
            let table = (0..4).flat_map(|m| (0..ROWS).map(move |row| 3. + member(m, row)));
            let values = (0..ROWS).map(|row| 3. + signal(row) + 0.5 * noise(row));
            (
                Tensor::from_iter(table, &Device::Cpu).unwrap().reshape((4, ROWS, 1)),
                Task::Regression { outputs: 1 },
                Tensor::from_iter(values, &Device::Cpu).unwrap(),
            )
        };
        let predictions = Predictions::new(predicted.unwrap(), task).unwrap().with_inputs(&inputs).unwrap();
        HeldOut::from_predictions(&predictions, &targets).unwrap()
    }

    fn numbers(fitted: &AnyFitted, held_out: &HeldOut) -> Vec<f64> {
        fitted.combine(held_out.predictions()).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_combiner_fits_and_comes_back_from_bytes() {
        let small = [("weights", "1,2,3,4"), ("generations", "5"), ("draws", "20"), ("epochs", "5")];
        let small = small.map(|(name, value)| (name, value.to_string()));
        for classes in [true, false] {
            let held_out = held_out(classes);
            for entry in registry().entries() {
                let tasks = entry.tasks();
                if !(if classes { tasks.classification() } else { tasks.regression() }) {
                    continue;
                }
                let combiner = registry().parse_with(entry.name(), &small).unwrap();
                let fitted = combiner.fit(&held_out).unwrap_or_else(|e| panic!("{}: {e}", entry.name()));
                let again: AnyFitted = decode_combiner("any", &encode_combiner(&fitted).unwrap()).unwrap();
                assert_eq!(again.name(), fitted.name());
                assert_eq!(again.weights(), fitted.weights(), "{}", entry.name());
                assert_eq!(again.needs_inputs(), combiner.needs_inputs(), "{}", entry.name());
                assert_eq!(numbers(&again, &held_out), numbers(&fitted, &held_out), "{}", entry.name());
            }
        }
    }

    #[test]
    fn a_text_makes_the_combiner_that_code_makes() {
        fn same<C: Combiner + 'static>(text: &str, combiner: C)
        where
            C::Fitted: Into<AnyFitted>,
        {
            let parsed = registry().parse(text).unwrap();
            assert_eq!(format!("{parsed:?}"), format!("{:?}", AnyCombiner::new(combiner)), "{text}");
        }
        same("soft-vote", Mean);
        same("trimmed-mean:0.1", TrimmedMean::new(0.1).unwrap());
        same("weighted-vote:1,2", WeightedVote::new(&[1., 2.]).unwrap());
        same("inverse-error:2:squared", InverseError::new().power(2.).loss(RowLoss::Squared));
        same("ridge:0.5", LeastSquares::ridge(Penalty::Fixed(0.5)));
        same("ridge:seed=3", LeastSquares::ridge(Penalty::chosen().seed(3)));
        same("shrunk-log-loss", SimplexLogLoss::new().penalty(Penalty::chosen()));
        same("pseudo-bma-plus:50:7", PseudoBma::bootstrap(50).seed(7));
        same("ensemble-selection:20:bags=5:bag-share=0.6", EnsembleSelection::new(20).bags(5, 0.6));
        same("ensemble-selection:without-replacement=true", EnsembleSelection::new(50).replacement(false));
        same("stack-elastic-net:0.1:0.3", Stack::new(ElasticNet::new(0.1, 0.3)));
        same(
            "stack-linear:log-odds:true",
            Stack::new(Linear).features(MetaFeatures::LogOdds).pass_through(true),
        );
        same("stack-tweedie:1.5:link=log", Stack::new(Tweedie::new(1.5).link(Link::Log)));
        same("knora-u:5:true", KnoraU::new(5).space(Space::Outputs));
        same("gating:3:outputs=true", Gating::new().hidden(3).inputs(false).outputs(true));
    }

    #[test]
    fn errors_name_the_criterion_and_the_argument() {
        let error = |text| registry().parse(text).unwrap_err().to_string();
        assert!(
            error("inverse-error:criterion=ece").contains("a mean over rows for inverse-error, but is ece")
        );
        assert!(error("grid-search:criterion=los").contains("the metric must be one of accuracy, "));
        assert!(error("weighted-mean").contains("the argument weights of weighted-mean must be given"));
        assert!(error("mean:3").contains("the number of arguments of mean must be at most 0, but is 1"));
    }
}
>>>>>>> w-reg
