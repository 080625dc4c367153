//! The combinations by name.
use super::Combination;
use crate::{
    combine::{self, AnyCombiner},
    merge::{Alignment, Distill, GreedySoup, LearnedSoup, MergeSpec, Teachers},
    registry::{Argument, Arguments, Entry, Registry},
    train::Averaging,
    weights::RunWeights,
    Error, Result,
};
use std::sync::LazyLock;

/// The combinations by name: all combiners ([`combine::registry`](crate::combine::registry())), and the ways to
/// make one network of the members.
///
/// | Name | What it does | Arguments |
/// |---|---|---|
/// | `average-weights`, `uniform-soup` | One network: the mean of the members' weights | |
/// | `average-weights-linear` | One network: a mean of weights that counts later members more, in equal steps | |
/// | `average-weights-exponential` | One network: a mean of weights that counts later members more, by a constant factor | `alpha=2` |
/// | `swa` | One network: stochastic weight averaging over the epochs of one run | `start=0.75`, `every=1` |
/// | `ema` | One network: the exponential moving average over the steps of one run | `decay=0.999`, `warm-up=true` |
/// | `greedy-soup` | One network: members are added to the mean while the loss on reserved rows does not rise | `strict=false` |
/// | `learned-soup` | One network: a mean whose weights are fitted on reserved rows | |
/// | `aligned-soup` | One network: the mean after the units of the members are put into one order | `repair=false` |
/// | `distilled` | One network: a student that is trained on the members' predictions | `temperature=2`, `alpha=0.9`, `teachers=unseen` |
/// | `best-of` | The best single network, soup, ensemble or, with `student`, distilled network on reserved rows, within a cost | `max-cost=1`, `student`, `temperature`, `alpha` |
///
/// ```
/// use candle_ensemble::evaluate::combinations;
///
/// let three = combinations().parse_list("mean,simplex-log-loss,average-weights-exponential:alpha=3");
/// # #[cfg(feature = "learned")]
/// assert_eq!(three?.len(), 3);
/// assert!(combinations().parse("swa")?.is_one_network());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[must_use]
pub fn combinations() -> &'static Registry<Combination> {
    static REGISTRY: LazyLock<Registry<Combination>> = LazyLock::new(|| {
        let rules = combine::registry().entries().iter().map(|entry| entry.with_make(rule));
        Registry::new("combination", rules.chain(ONE_NETWORK.iter().copied()).collect())
    });
    &REGISTRY
}

fn rule(arguments: &Arguments) -> Result<Combination> {
    let combiner: AnyCombiner = combine::registry().get(arguments.entry())?.make(arguments)?;
    Ok(combiner.into())
}

fn average(weights: RunWeights) -> Result<Combination> {
    Ok(Combination::merge(MergeSpec::average(weights)))
}

/// Ways to make one network.
const ONE_NETWORK: &[Entry<Combination>] = &[
    Entry::new(
        "average-weights",
        "merge::MergeSpec::average",
        "One network: the mean of the members' weights",
        |_| average(RunWeights::Uniform),
    )
    .with_aliases(&["uniform-soup"])
    .with_source("Wortsman et al. 2022, arXiv:2203.05482"),
    Entry::new(
        "average-weights-linear",
        "weights::RunWeights::Linear",
        "One network: a mean of weights that counts later members more, in equal steps",
        |_| average(RunWeights::Linear),
    ),
    Entry::new(
        "average-weights-exponential",
        "weights::RunWeights::Exponential",
        "One network: a mean of weights that counts later members more, by a constant factor",
        |arguments| average(RunWeights::Exponential { alpha: arguments.get("alpha")? }),
    )
    .with_arguments(&[Argument::new(
        "alpha",
        "2",
        "Each member counts exp(1/alpha) times as much as the one before it",
    )]),
    Entry::new(
        "swa",
        "train::Averaging::Swa",
        "One network: stochastic weight averaging over the epochs of one run",
        averaging,
    )
    .with_arguments(Averaging::SWA)
    .with_source("Izmailov et al. 2018, arXiv:1803.05407"),
    Entry::new(
        "ema",
        "train::Averaging::Ema",
        "One network: the exponential moving average over the steps of one run",
        averaging,
    )
    .with_arguments(Averaging::EMA)
    .with_source("Tarvainen and Valpola 2017, arXiv:1703.01780"),
    Entry::new(
        "greedy-soup",
        "merge::GreedySoup",
        "One network: members are added to the mean while the loss on reserved rows does not rise",
        |arguments| {
            let soup = GreedySoup::new().strict(arguments.get("strict")?);
            Ok(Combination::merge(MergeSpec::greedy(soup)))
        },
    )
    .with_arguments(&[Argument::new(
        "strict",
        "false",
        "Whether the loss must fall for a member to be added",
    )])
    .with_source("Wortsman et al. 2022, arXiv:2203.05482"),
    Entry::new(
        "learned-soup",
        "merge::LearnedSoup",
        "One network: a mean whose weights are fitted on reserved rows",
        |_| Ok(Combination::merge(MergeSpec::learned(LearnedSoup::new()))),
    )
    .with_source("Wortsman et al. 2022, arXiv:2203.05482"),
    Entry::new(
        "aligned-soup",
        "merge::MergeSpec::alignment",
        "One network: the mean after the units of the members are put into one order",
        |arguments| {
            let average = MergeSpec::average(RunWeights::Uniform).alignment(Alignment::Weights);
            Ok(Combination::merge(average.repair(arguments.get("repair")?)))
        },
    )
    .with_arguments(&[Argument::new(
        "repair",
        "false",
        "Whether the statistics of activations are repaired after it",
    )])
    .with_source("Ainsworth et al. 2023, arXiv:2209.04836"),
    Entry::new(
        "distilled",
        "merge::Distill",
        "One network: a student that is trained on the members' predictions",
        |arguments| Ok(Combination::distilled(student(arguments, &arguments.get::<String>("teachers")?)?)),
    )
    .with_arguments(&[
        Argument::new("temperature", "2", "What logits are divided by"),
        Argument::new("alpha", "0.9", "The share of the members in the loss"),
        Argument::new("teachers", "unseen", "Which members predict a row: unseen, unseen-only or all"),
    ])
    .with_source("Hinton et al. 2015, arXiv:1503.02531"),
    Entry::new(
        "best-of",
        "merge::best_of()",
        "The best single network, soup, ensemble or, with student, distilled network on reserved rows, within a cost",
        |arguments| {
            let max_cost = arguments.get("max-cost")?;
            if let Some(teachers) = arguments.optional::<String>("student")? {
                return Ok(Combination::best_of_with_student(max_cost, student(arguments, &teachers)?));
            }
            for name in ["temperature", "alpha"] {
                if let Some(value) = arguments.optional::<f64>(name)? {
                    let must = "given with student, such as best-of:student=unseen";
                    return Err(Error::invalid(format!("{name} of best-of"), must, format!("{value} without")));
                }
            }
            Ok(Combination::best_of(max_cost))
        },
    )
    .with_arguments(&[
        Argument::new("max-cost", "1", "The highest cost of a prediction, in networks"),
        Argument::optional(
            "student",
            "Weighs a student of the members too; which of them predict a row: unseen, unseen-only or all",
        ),
        Argument::optional("temperature", "What logits are divided by for the student, 2 if not given"),
        Argument::optional("alpha", "The share of the members in the student's loss, 0.9 if not given"),
    ]),
];

/// A student with these teachers, and the temperature and the share of the arguments.
fn student(arguments: &Arguments, teachers: &str) -> Result<Distill> {
    let mut options = Distill::new().teachers(Teachers::parse(teachers)?);
    if let Some(temperature) = arguments.optional("temperature")? {
        options = options.temperature(temperature);
    }
    if let Some(alpha) = arguments.optional("alpha")? {
        options = options.alpha(alpha);
    }
    Ok(options)
}

fn averaging(arguments: &Arguments) -> Result<Combination> {
    Ok(Combination::averaged(Averaging::registry().get(arguments.entry())?.make(arguments)?))
}
