//! Every strategy of the registry, with variations, compositions and parameters that are out of range.
use super::problems::Problem;
use candle_ensemble::{
    plan::{Horizontal, Settings},
    strategy::{self, Bagging, EnsembleBuilder, MultiRun},
};

type Boxed = Box<dyn EnsembleBuilder>;

/// A strategy that the suite runs.
pub struct Row {
    pub name: String,
    /// Networks for one architecture, if the suite knows.
    pub networks: Option<usize>,
    make: Make,
}

enum Make {
    Text(String),
    Code(fn() -> Boxed),
}

/// What the suite knows: strategies with so few networks that it is quick, and how many these are.
const KNOWN: &[(&str, usize)] = &[
    ("multi-run:3", 3),
    ("multi-run:2:validation=0.2", 2),
    ("bootstrap:4", 4),
    ("bootstrap:3:0.5:validation=0.25", 3),
    ("bootstrap:2+snapshot:2", 4),
    ("k-fold:4", 4),
    ("k-fold:3:2:refit=true", 8),
    ("k-fold:3:2:unit=rows", 6),
    ("k-fold:3+snapshot:2", 6),
    ("random-split:3:0.7", 3),
    ("random-subspace:3", 3),
    ("random-patches:3:0.6:0.5", 3),
    ("forward-chaining:3:gap=2", 3),
    ("adaboost:3:algorithm=samme.r", 3),
    ("k-fold:3+adaboost:2:algorithm=samme.r", 6),
    ("gradient-boosting:3:subsample=0.7", 3),
    ("multi-run:2:validation=0.2+gradient-boosting:3:0.5", 6),
    ("efficient:tab-m:3", 1),
    ("k-fold:3+efficient:heads:2", 3),
    ("efficient:heads:2+adaboost:2:algorithm=samme.r", 2),
    ("horizontal:3", 3),
    ("snapshot:2", 2),
    ("fast-geometric:2:0.02:0.01:0", 2),
];

/// Parameters that are out of range, and what the error must name.
const BAD: &[(&str, &str)] = &[
    ("multi-run:0", "runs"),
    ("multi-run:3:validation=0", "validation"),
    ("multi-run:3:validation=1", "validation"),
    ("multi-run:3:validation=nan", "validation"),
    ("bootstrap:0", "runs"),
    ("bootstrap:3:size=0", "sample size"),
    ("bootstrap:3:size=-0.5", "sample size"),
    ("bootstrap:3:size=nan", "sample size"),
    ("bootstrap:3:size=inf", "sample size"),
    ("bootstrap:3:size=1e30", "sample size"),
    ("bootstrap:3:validation=-0.1", "validation"),
    ("horizontal:0", "horizontal window"),
    ("horizontal:5", "horizontal window"),
    ("horizontal:2:every=0", "every"),
    ("snapshot:0", "cycles"),
    ("snapshot:5", "cycles"),
    ("snapshot:2:keep=0", "keep"),
    ("snapshot:2:keep=3", "keep"),
    ("fast-geometric:3:0.02:0.01", "cycle"),
    ("fast-geometric:2:0.01:0.02", "rates"),
    ("fast-geometric:2:0.02:0.01:1", "pretraining"),
    ("fast-geometric:4:0.02:0.01:0.75", "pretraining"),
    ("k-fold:0", "k"),
    ("k-fold:1", "k"),
    ("k-fold:61", "k"),
    ("k-fold:3:repeats=0", "repeats"),
    ("random-split:0:0.7", "runs"),
    ("random-split:2:0", "number of rows"),
    ("random-split:2:1.5", "number of rows"),
    ("random-subspace:0", "runs"),
    ("random-subspace:2:0", "feature"),
    ("forward-chaining:0", "folds"),
    ("forward-chaining:100", "number of rows"),
    ("gradient-boosting:0", "rounds"),
    ("gradient-boosting:2:shrinkage=0", "shrinkage"),
    ("gradient-boosting:2:subsample=1.5", "subsample"),
    ("gradient-boosting:2:patience=0", "patience"),
    ("multi-run:0+efficient:tab-m:2", "runs"),
    ("efficient:validation=1:tab-m:2", "validation"),
];

type MakeBoxed = fn() -> Boxed;

/// The same, for parameters that have no name in text.
const BAD_IN_CODE: &[(MakeBoxed, &str)] = &[
    (|| Box::new(Bagging::new(3).rows(0)), "sample size"),
    (|| Box::new(Bagging::new(3).rows(usize::MAX)), "sample size"),
    (|| Box::new(Horizontal::window(2..2)), "horizontal window"),
    (|| Box::new(Horizontal::window(2..5)), "horizontal window"),
    (|| Box::new(strategy::RandomSubspace::new(2, 0.5).features(3)), "feature"),
];

/// All rows: what the suite knows, and every other entry of the registry with few members.
pub fn rows() -> Vec<Row> {
    let known = KNOWN.iter().map(|(text, networks)| Row {
        name: (*text).into(),
        networks: Some(*networks),
        make: Make::Text((*text).into()),
    });
    let unknown = strategy::registry().names().into_iter().filter(|name| {
        let named = |text: &str| text.split([':', '+']).next() == Some(name);
        !KNOWN.iter().any(|(text, _)| named(text))
    });
    let unknown =
        unknown.map(|name| Row { name: name.into(), networks: None, make: Make::Text(name.into()) });
    let with_settings = Row {
        name: "multi-run with settings".into(),
        networks: Some(3),
        make: Make::Code(|| {
            let rate = |rate: f64| Settings::new().with("learning_rate", rate);
            Box::new(MultiRun::new(3).settings([rate(0.01), rate(0.02)]))
        }),
    };
    known.chain(unknown).chain([with_settings]).collect()
}

/// Strategies with parameters that are out of range, and what the error must name.
pub fn bad() -> Vec<(Boxed, &'static str)> {
    let in_text = BAD.iter().map(|(text, what)| (strategy::parse(text).unwrap(), *what));
    in_text.chain(BAD_IN_CODE.iter().map(|(make, what)| (make(), *what))).collect()
}

impl Row {
    /// Whether the strategy trains members that depend on each other.
    pub fn is_sequence(&self) -> bool {
        self.name.contains("adaboost") || self.name.contains("gradient-boosting")
    }

    /// Members that depend on each other learn one class or plain values a row.
    pub fn goes_with(&self, problem: Problem) -> bool {
        match problem {
            Problem::Classes | Problem::Binary => true,
            Problem::Ordered => !self.name.contains("gradient-boosting"),
            Problem::Values => !self.name.contains("adaboost"), // two values
            _ => !self.is_sequence(),
        }
    }

    pub fn strategy(&self) -> Boxed {
        let small = [("runs", "3"), ("k", "3"), ("folds", "3"), ("epochs", "2"), ("cycles", "2")];
        match &self.make {
            Make::Text(text) => {
                strategy::parse_with(text, &small.map(|(name, value)| (name, value.to_string()))).unwrap()
            }
            Make::Code(make) => make(),
        }
    }
}
