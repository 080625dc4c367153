//! Every strategy. To enrol a new one, add a row.
use candle_ensemble::build::{Bagging, EnsembleBuilder, MultiRun, Settings};

type Boxed = Box<dyn EnsembleBuilder>;
type Make = fn() -> Boxed;

pub struct Builder {
    pub name: &'static str,
    pub make: Make,
    /// Members for one architecture; at least 2.
    pub members: usize,
    /// Parameters that are out of range, and what the error must call them.
    pub bad: &'static [(Make, &'static str)],
}

pub const BUILDERS: &[Builder] = &[
    Builder {
        name: "multi-run",
        make: || Box::new(MultiRun::new(3)),
        members: 3,
        bad: &[
            (|| Box::new(MultiRun::new(0)), "runs"),
            (|| Box::new(MultiRun::new(3).validation(0.)), "validation"),
            (|| Box::new(MultiRun::new(3).validation(1.)), "validation"),
            (|| Box::new(MultiRun::new(3).validation(f64::NAN)), "validation"),
        ],
    },
    Builder {
        name: "multi-run with validation rows",
        make: || Box::new(MultiRun::new(2).validation(0.2)),
        members: 2,
        bad: &[],
    },
    Builder {
        name: "multi-run with settings",
        make: || {
            let rate = |rate: f64| Settings::new().with("learning_rate", rate);
            Box::new(MultiRun::new(3).settings([rate(0.01), rate(0.02)]))
        },
        members: 3,
        bad: &[],
    },
    Builder {
        name: "bagging",
        make: || Box::new(Bagging::new(4)),
        members: 4,
        bad: &[
            (|| Box::new(Bagging::new(0)), "runs"),
            (|| Box::new(Bagging::new(3).rows(0)), "sample size"),
            (|| Box::new(Bagging::new(3).size(0.)), "sample size"),
            (|| Box::new(Bagging::new(3).size(-0.5)), "sample size"),
            (|| Box::new(Bagging::new(3).size(f64::NAN)), "sample size"),
            (|| Box::new(Bagging::new(3).size(f64::INFINITY)), "sample size"),
            (|| Box::new(Bagging::new(3).size(1e30)), "sample size"),
            (|| Box::new(Bagging::new(3).rows(usize::MAX)), "sample size"),
            (|| Box::new(Bagging::new(3).validation(-0.1)), "validation"),
        ],
    },
    Builder {
        name: "bagging, half as many rows, with validation rows",
        make: || Box::new(Bagging::new(3).size(0.5).validation(0.25)),
        members: 3,
        bad: &[],
    },
];
