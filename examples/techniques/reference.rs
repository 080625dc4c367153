//! What the reference obtains: an independent implementation, 20 networks for each setting, which differ in
//! initial weights and shuffles. The rows are always the same. Standard deviations are divided by n − 1.
//!
//! Every network has relu units and zero biases unless its table says so. Kernels are drawn uniformly from
//! ±√(6 / (in + out)) (Glorot), or hidden ones from ±√(6 / in) (He). Rows are reshuffled every epoch, and the
//! last, shorter batch is kept. Adam: rate 0.001, β 0.9 and 0.999, ε 1e-7 added to √v. SGD: rate 0.01, momentum
//! 0.9 as v = m v − rate g, w += v.

/// Networks behind each figure of the reference.
pub const NETWORKS: usize = 20;

/// A mean and a standard deviation over the reference's networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    pub mean: f64,
    pub sd: f64,
}

/// What the networks of a setting obtain in the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    Level(Level),
    /// NaN in all 20.
    NotFinite,
}

/// The figures of a setting whose networks stay finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    pub train: Figure,
    pub test: Figure,
    pub tail: Tail,
    /// The test log-loss, where it shows what accuracy hides; as the reference rounds it.
    pub log_loss: Option<&'static str>,
}

/// Whether a few networks are far from the others, so that means say little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tail {
    None,
    /// So many of the 20 end at this test accuracy. Networks below `below` count as such here, and the others
    /// are compared.
    Collapsed {
        count: usize,
        at: f64,
        below: f64,
    },
    /// Medians are compared, each with the spread of the middle of the networks: that of nearly all where the
    /// others are few, or the interquartile range / 1.349. They are medians of `networks`.
    Medians {
        train: Figure,
        test: Figure,
        networks: usize,
    },
}

/// The medians of nearly all of the reference's networks.
pub const fn nearly_all(train: f64, test: f64) -> Tail {
    let train = Figure { mean: train, sd: 0. };
    Tail::Medians { train, test: Figure { mean: test, sd: 0. }, networks: NETWORKS }
}

/// Medians and spreads of 200 networks of a second implementation (tests/reference/techniques.py), because the
/// reference has none.
pub const fn medians(train: (f64, f64), test: (f64, f64)) -> Tail {
    medians_of(200, train, test)
}

/// The same of another number of networks.
pub const fn medians_of(networks: usize, train: (f64, f64), test: (f64, f64)) -> Tail {
    let train = Figure { mean: train.0, sd: train.1 };
    Tail::Medians { train, test: Figure { mean: test.0, sd: test.1 }, networks }
}

impl Level {
    /// Networks a few of which are far from the others.
    pub const fn tail(self, tail: Tail) -> Self {
        Self { tail, ..self }
    }

    /// The test log-loss.
    pub const fn log_loss(self, text: &'static str) -> Self {
        Self { log_loss: Some(text), ..self }
    }

    /// The test figures of the networks that have not collapsed: mean and standard deviation of 20 values
    /// without `count` values at `at`.
    pub fn test_of_the_others(&self) -> Figure {
        let Tail::Collapsed { count, at, .. } = self.tail else { return self.test };
        let (n, out) = (NETWORKS as f64, count as f64);
        let rest = n - out;
        let mean = (n * self.test.mean - out * at) / rest;
        let between = out * rest / n * (mean - at) * (mean - at);
        let within = ((n - 1.) * self.test.sd * self.test.sd - between).max(0.);
        Figure { mean, sd: (within / (rest - 1.)).sqrt() }
    }
}

/// Figures for training and test rows, each a mean and a standard deviation.
pub const fn level(train: (f64, f64), test: (f64, f64)) -> Level {
    let train = Figure { mean: train.0, sd: train.1 };
    Level { train, test: Figure { mean: test.0, sd: test.1 }, tail: Tail::None, log_loss: None }
}

impl From<Level> for Expected {
    fn from(level: Level) -> Self {
        Self::Level(level)
    }
}

/// A difference with its 95 % interval, and in how many of 20 pairs the setting is better or equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
    pub better: usize,
    pub equal: usize,
}

pub const fn difference(mean: f64, (low, high): (f64, f64), better: usize) -> Option<Difference> {
    Some(Difference { mean, low, high, better, equal: 0 })
}

/// A difference some of whose pairs are equal.
pub const fn with_ties(mean: f64, interval: (f64, f64), better: usize, equal: usize) -> Option<Difference> {
    let (low, high) = interval;
    Some(Difference { mean, low, high, better, equal })
}

/// The direction that a difference must have, from so many repeats on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Direction {
    /// None is required: the reference's interval includes 0, or the difference belongs to these rows.
    #[default]
    Any,
    Better {
        from: usize,
    },
    Worse {
        from: usize,
    },
}

pub const BETTER: Direction = Direction::Better { from: 1 };
pub const WORSE: Direction = Direction::Worse { from: 1 };

pub const fn better_from(from: usize) -> Direction {
    Direction::Better { from }
}

pub const fn worse_from(from: usize) -> Direction {
    Direction::Worse { from }
}
