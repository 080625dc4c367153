//! Every combiner of the registry, and combinations of them.
use super::problems::Problem;
use candle_ensemble::{
    combine::{self, *},
    prune::{Ordered, Pruned},
    train::Learner,
    Ensemble, Pool, Result,
};

/// A combiner that the suite runs.
pub struct Row {
    pub name: String,
    /// The name of the fitted combiner, up to a bracket: behind it may stand what the fit chose.
    pub fitted_name: String,
    /// Whether it learns from held-out rows.
    pub learns: bool,
    /// Whether it goes with classes, and with values.
    tasks: (bool, bool),
    /// Whether it reads the inputs of a row, which positions do not have for themselves.
    reads_inputs: bool,
    make: Make,
}

enum Make {
    Text(String),
    Code(fn() -> AnyCombiner),
}

/// Entries whose arguments differ from the defaults here, so that the suite is quick or reaches more code.
const TEXTS: &[&str] = &[
    "stack-ridge:pass-through=true",
    "stack-elastic-net:0.01",
    "stack-logistic:features=log-odds",
    "stack-tweedie:0",
];

/// Entries whose fitted combiner has another name than the entry.
const FITTED_NAMES: &[(&str, &str)] = &[
    ("pseudo-bma-plus", "pseudo-bma+"),
    ("stack-linear", "linear-stack"),
    ("stack-linear-regression", "linear-regression-stack"),
    ("stack-tweedie", "tweedie-stack"),
    ("stack-ridge", "ridge-stack"),
    ("stack-elastic-net", "elastic-net-stack"),
    ("stack-logistic", "logistic-stack"),
    ("stack-network", "network-stack"),
    ("multi-layer-stack", "simplex-squares over mean, simplex-squares, ridge-stack"),
    ("temperature", "mean, temperature"),
    ("vector-scaling", "mean, vector-scaling"),
    ("isotonic", "mean, isotonic"),
];

type MakeAny = fn() -> AnyCombiner;

/// Combinations of combiners: their names and whether they go with values.
const COMBINATIONS: &[(&str, bool, MakeAny)] = &[
    ("vector-scaling, ensemble-selection", false, || {
        let selection = AnyCombiner::new(EnsembleSelection::new(50));
        AnyCombiner::new(selection.on_calibrated(Calibration::Vector))
    }),
    ("pruned, mean, vector-scaling", false, || {
        let mean = AnyCombiner::new(Mean.calibrated(Calibration::Vector));
        AnyCombiner::new(Pruned::new(Ordered::reduce_error(), mean))
    }),
    ("linear-stack over linear-stack, median", true, || {
        let linear = || AnyCombiner::new(Stack::new(stack::Linear));
        let lower = vec![linear(), AnyCombiner::new(Median)];
        AnyCombiner::new(MultiLayerStack::new(lower, linear()).folds(3))
    }),
];

/// All rows: every entry of the registry, then the combinations.
pub fn rows() -> Vec<Row> {
    let entries = combine::registry().entries().iter().map(|entry| {
        let name = entry.name();
        let text = TEXTS.iter().find(|text| text.split(':').next() == Some(name)).unwrap_or(&name);
        let fitted = FITTED_NAMES.iter().find(|(entry, _)| *entry == name).map_or(name, |(_, fitted)| fitted);
        let tasks = (entry.tasks().classification(), entry.tasks().regression());
        (name, fitted, tasks, Make::Text(text.to_string()))
    });
    let combinations =
        COMBINATIONS.iter().map(|(name, values, make)| (*name, *name, (true, *values), Make::Code(*make)));
    let row = |(name, fitted, tasks, make): (&str, &str, _, Make)| {
        let combiner = make.combiner(2).unwrap();
        let (learns, reads_inputs) = (combiner.needs_held_out(), combiner.needs_inputs());
        Row { name: name.into(), fitted_name: fitted.into(), learns, tasks, reads_inputs, make }
    };
    entries.chain(combinations).map(row).collect()
}

impl Row {
    pub fn goes_with(&self, problem: Problem) -> bool {
        if problem.positions() > 1 {
            self.tasks.0 && !self.reads_inputs
        } else if problem.is_classification() {
            self.tasks.0
        } else {
            self.tasks.1
        }
    }

    /// The ensemble of the pool's members with this combiner, fitted.
    pub fn combine<L: Learner>(&self, pool: &Pool<'_, L>) -> Result<Ensemble<L::Network, Box<AnyFitted>>> {
        pool.combine(&self.make.combiner(pool.slots())?)
    }
}

impl Make {
    /// The combiner, with settings under which it is quick, and with weights that rise from slot to slot.
    fn combiner(&self, slots: usize) -> Result<AnyCombiner> {
        let text = match self {
            Self::Text(text) => text,
            Self::Code(make) => return Ok(make()),
        };
        let weights: Vec<String> = (1..=slots).map(|weight| weight.to_string()).collect();
        let small = [
            ("weights", &*weights.join(",")),
            ("seed", "1"),
            ("neighbours", "5"),
            ("gate-units", "4"),
            ("gate-epochs", "3"),
            ("grid-steps", "4"),
            ("generations", "3"),
            ("draws", "30"),
            ("hidden", "4"),
            ("epochs", "5"),
            ("folds", "3"),
        ];
        combine::registry().parse_with(text, &small.map(|(name, value)| (name, value.to_string())))
    }
}
