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
/// for combiner in combine::registry().parse_list("mean,trimmed-mean:0.1,ensemble-selection:steps=20")? {
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
)
.nested();

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
    let Some(name) = arguments.optional::<String>("criterion")? else { return Ok(None) };
    let metric = metrics::registry().parse(&name)?;
    metric.check_of_predictions()?;
    Ok(Some(metric))
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

#[cfg(all(test, feature = "learned"))]
mod tests;
