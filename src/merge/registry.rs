//! The merge methods by name.
use crate::{
    merge::{Breadcrumbs, Dare, Fisher, LinearMerge, Method, ModelStock, Slerp, TaskArithmetic, Ties},
    registry::{Argument, Arguments, Entry, Registry},
    Result,
};
use std::sync::LazyLock;

/// The merge methods by name.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge, weights::Weights, Result};
///
/// let network = |v: [f32; 2]| -> Result<_> { Ok(Weights::from([("w".into(), Tensor::new(&v, &Device::Cpu)?)])) };
/// let (a, b) = (network([1., 5.])?, network([3., 4.])?);
/// let method = merge::registry().parse("weighted:3,1")?;
/// let merged = merge::merge(&*method, &[&a, &b], None)?;
/// assert_eq!(merged["w"].to_vec1::<f32>()?, [1.5, 4.75]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[must_use]
pub fn registry() -> &'static Registry<Box<dyn Method>> {
    static REGISTRY: LazyLock<Registry<Box<dyn Method>>> =
        LazyLock::new(|| Registry::new("merge method", METHODS.to_vec()));
    &REGISTRY
}

const WEIGHTS: Argument =
    Argument::optional("weights", "One weight for each network, separated by commas; 1 for each by default");

const LAMBDA: Argument = Argument::new("lambda", "1", "Factor of the merged task vector");

const DENSITY: Argument = Argument::new("density", "0.1", "Share of each task vector that is kept");

const GAMMA: Argument =
    Argument::new("gamma", "0.01", "Share of each task vector that is dropped, the largest elements");

const ADDED: Argument = Argument::new(
    "normalize",
    "false",
    "Whether the task vectors that are joined are divided by the sum of their weights",
);

const AVERAGED: Argument = Argument::new("normalize", "true", ADDED.summary());

const SEED: Argument = Argument::new("seed", "42", "Seed of the random choice");

/// The method, with the value of [`WEIGHTS`].
macro_rules! weighted {
    ($method:expr, $arguments:expr) => {{
        let method = $method;
        match $arguments.optional::<Vec<f64>>("weights")? {
            Some(weights) => boxed(method.weights(&weights)),
            None => boxed(method),
        }
    }};
}

fn boxed(method: impl Method + 'static) -> Result<Box<dyn Method>> {
    Ok(Box::new(method))
}

fn dare(arguments: &Arguments) -> Result<Dare> {
    let dare = Dare::new(arguments.get("density")?, arguments.get::<u64>("seed")?);
    Ok(dare.lambda(arguments.get("lambda")?).normalize(arguments.get("normalize")?))
}

fn breadcrumbs(arguments: &Arguments) -> Result<Breadcrumbs> {
    let (density, gamma) = (arguments.get("density")?, arguments.get("gamma")?);
    let breadcrumbs = Breadcrumbs::new(density, gamma).lambda(arguments.get("lambda")?);
    Ok(breadcrumbs.normalize(arguments.get("normalize")?))
}

const METHODS: &[Entry<Box<dyn Method>>] = &[
    Entry::new("uniform", "LinearMerge::uniform", "The mean of all networks", |_| {
        boxed(LinearMerge::uniform())
    }),
    Entry::new(
        "linear",
        "LinearMerge::falling",
        "A mean with weights that fall in equal steps from the first network, the newest",
        |_| boxed(LinearMerge::falling()),
    ),
    Entry::new(
        "exponential",
        "LinearMerge::exponential",
        "A mean with weights that fall by a constant factor from the first network, the newest",
        |arguments| boxed(LinearMerge::exponential(arguments.get("alpha")?)),
    )
    .with_arguments(&[Argument::new(
        "alpha",
        "2",
        "Number of networks over which the weight falls by a factor of e",
    )]),
    Entry::new("weighted", "LinearMerge::weighted", "A mean with given weights", |arguments| {
        boxed(LinearMerge::weighted(&arguments.get::<Vec<f64>>("weights")?))
    })
    .with_aliases(&["average"])
    .with_arguments(&[Argument::required("weights", "One weight for each network, separated by commas")]),
    Entry::new(
        "task-arithmetic",
        "TaskArithmetic",
        "The base plus the sum of the task vectors, the differences from the base",
        |arguments| {
            let method = TaskArithmetic::new().lambda(arguments.get("lambda")?);
            weighted!(method.normalize(arguments.get("normalize")?), arguments)
        },
    )
    .with_arguments(&[LAMBDA, ADDED, WEIGHTS])
    .with_source("Ilharco et al. 2023, arXiv:2212.04089"),
    Entry::new(
        "ties",
        "Ties",
        "Task vectors trimmed to their largest elements, merged by sign election",
        |arguments| {
            let method = Ties::new(arguments.get("density")?).lambda(arguments.get("lambda")?);
            weighted!(method.normalize(arguments.get("normalize")?), arguments)
        },
    )
    .with_arguments(&[
        Argument::new("density", "0.2", "Share of each task vector that is kept"),
        LAMBDA,
        AVERAGED,
        WEIGHTS,
    ])
    .with_source("Yadav et al. 2023, arXiv:2306.01708"),
    Entry::new(
        "dare-linear",
        "Dare",
        "The sum of task vectors whose elements are dropped at random and rescaled",
        |arguments| weighted!(dare(arguments)?, arguments),
    )
    .with_aliases(&["dare"])
    .with_arguments(&[DENSITY, LAMBDA, SEED, ADDED, WEIGHTS])
    .with_source("Yu et al. 2024, arXiv:2311.03099"),
    Entry::new("dare-ties", "Dare::elect_signs", "As dare-linear, merged by sign election", |arguments| {
        weighted!(dare(arguments)?.elect_signs(true), arguments)
    })
    .with_arguments(&[DENSITY, LAMBDA, SEED, AVERAGED, WEIGHTS])
    .with_source("Yu et al. 2024, arXiv:2311.03099"),
    Entry::new("slerp", "Slerp", "Interpolation of two networks along the arc between them", |arguments| {
        boxed(Slerp::new(arguments.get("t")?))
    })
    .with_arguments(&[Argument::new("t", "0.5", "From the first network (0) to the second (1)")])
    .with_source("Shoemake 1985, doi:10.1145/325334.325242"),
    Entry::new(
        "model-stock",
        "ModelStock",
        "A network between the base and the mean, by the angle between the task vectors",
        |_| boxed(ModelStock::new()),
    )
    .with_source("Jang et al. 2024, arXiv:2403.19522"),
    Entry::new("fisher", "Fisher", "A mean weighted by each network's Fisher information", |arguments| {
        let method = Fisher::new().floor(arguments.get("floor")?);
        weighted!(method.favor_first(arguments.get("favor-first")?), arguments)
    })
    .with_arguments(&[
        Argument::new("floor", "1e-6", "Lower bound of the Fisher information"),
        Argument::new("favor-first", "false", "Raise only the first network's Fisher information to it"),
        WEIGHTS,
    ])
    .with_source("Matena and Raffel 2022, arXiv:2111.09832"),
    Entry::new(
        "breadcrumbs",
        "Breadcrumbs",
        "The sum of task vectors without their largest and smallest elements",
        |arguments| weighted!(breadcrumbs(arguments)?, arguments),
    )
    .with_arguments(&[DENSITY, GAMMA, LAMBDA, ADDED, WEIGHTS])
    .with_source("Davari and Belilovsky 2024, arXiv:2312.06795"),
    Entry::new(
        "breadcrumbs-ties",
        "Breadcrumbs::elect_signs",
        "As breadcrumbs, merged by sign election",
        |arguments| weighted!(breadcrumbs(arguments)?.elect_signs(true), arguments),
    )
    .with_arguments(&[DENSITY, GAMMA, LAMBDA, AVERAGED, WEIGHTS])
    .with_source("Davari and Belilovsky 2024, arXiv:2312.06795"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_makes_the_method_that_it_names() {
        for entry in registry().entries() {
            let weights = [("weights", "1,2".to_string())];
            let method = registry().parse_with(entry.name(), &weights).unwrap();
            assert!(!method.name().is_empty(), "{}", entry.name());
        }
        let e = registry().parse("weighted").unwrap_err().to_string();
        assert!(e.starts_with("the argument weights of weighted must be given"), "{e}");
    }
}
