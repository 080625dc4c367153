//! Every strategy. To enrol a new one, add a row.
use candle_ensemble::{
    plan::{FastGeometric, Horizontal, Settings, Snapshot},
    resample::ResampleUnit,
    strategy::{
        Bagging, EnsembleBuilder, ForwardChaining, KFold, MultiRun, RandomPatches, RandomSplit,
        RandomSubspace,
    },
};

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
    Builder {
        name: "horizontal",
        make: || Box::new(Horizontal::last(3)),
        members: 3,
        bad: &[
            (|| Box::new(Horizontal::last(0)), "horizontal window"),
            (|| Box::new(Horizontal::last(5)), "horizontal window"),
            (|| Box::new(Horizontal::window(2..2)), "horizontal window"),
            (|| Box::new(Horizontal::window(2..5)), "horizontal window"),
            (|| Box::new(Horizontal::last(2).every(0)), "every"),
        ],
    },
    Builder {
        name: "snapshot",
        make: || Box::new(Snapshot::new(2)),
        members: 2,
        bad: &[
            (|| Box::new(Snapshot::new(0)), "cycles"),
            (|| Box::new(Snapshot::new(5)), "cycles"),
            (|| Box::new(Snapshot::new(2).keep(0)), "keep"),
            (|| Box::new(Snapshot::new(2).keep(3)), "keep"),
        ],
    },
    Builder {
        name: "fast geometric",
        make: || Box::new(FastGeometric::new(2, 0.02, 0.01).pretraining(0.)),
        members: 2,
        bad: &[
            (|| Box::new(FastGeometric::new(3, 0.02, 0.01)), "cycle"),
            (|| Box::new(FastGeometric::new(2, 0.01, 0.02)), "rates"),
            (|| Box::new(FastGeometric::new(2, 0.02, 0.01).pretraining(1.)), "pretraining"),
            (|| Box::new(FastGeometric::new(4, 0.02, 0.01).pretraining(0.75)), "pretraining"),
        ],
    },
    Builder {
        name: "snapshots within bagging",
        make: || Box::new(Bagging::new(2).collect(Snapshot::new(2))),
        members: 4,
        bad: &[],
    },
    Builder {
        name: "k-fold",
        make: || Box::new(KFold::new(4)),
        members: 4,
        bad: &[
            (|| Box::new(KFold::new(0)), "k"),
            (|| Box::new(KFold::new(1)), "k"),
            (|| Box::new(KFold::new(61)), "k"),
            (|| Box::new(KFold::new(3).repeats(0)), "repeats"),
        ],
    },
    Builder {
        name: "k-fold, refit",
        make: || Box::new(KFold::new(3).refit(true).repeats(2)),
        members: 8,
        bad: &[],
    },
    Builder {
        name: "repeated k-fold by rows",
        make: || Box::new(KFold::new(3).repeats(2).unit(ResampleUnit::Rows)),
        members: 6,
        bad: &[],
    },
    Builder {
        name: "random split",
        make: || Box::new(RandomSplit::new(3, 0.7)),
        members: 3,
        bad: &[
            (|| Box::new(RandomSplit::new(0, 0.7)), "runs"),
            (|| Box::new(RandomSplit::new(2, 0.)), "number of rows"),
            (|| Box::new(RandomSplit::new(2, 1.5)), "number of rows"),
        ],
    },
    Builder {
        name: "random subspace",
        make: || Box::new(RandomSubspace::new(3, 0.5)),
        members: 3,
        bad: &[
            (|| Box::new(RandomSubspace::new(0, 0.5)), "runs"),
            (|| Box::new(RandomSubspace::new(2, 0.)), "feature"),
            (|| Box::new(RandomSubspace::new(2, 0.5).features(3)), "feature"),
        ],
    },
    Builder {
        name: "random patches",
        make: || Box::new(RandomPatches::new(3, 0.6, 0.5)),
        members: 3,
        bad: &[],
    },
    Builder {
        name: "forward chaining",
        make: || Box::new(ForwardChaining::new(3).gap(2)),
        members: 3,
        bad: &[
            (|| Box::new(ForwardChaining::new(0)), "folds"),
            (|| Box::new(ForwardChaining::new(100)), "number of rows"),
        ],
    },
    Builder {
        name: "snapshots within each fold",
        make: || Box::new(KFold::new(3).collect(Snapshot::new(2))),
        members: 6,
        bad: &[],
    },
];
