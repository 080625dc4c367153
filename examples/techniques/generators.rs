//! Fresh rows from the distributions that the data sets were drawn from (scikit-learn's `make_moons`,
//! `make_circles` and `make_blobs`).
use super::data::Table;
use candle_ensemble::Seed;
use rand::Rng;
use rand_distr::StandardNormal;
use std::f64::consts::PI;

/// A distribution of two inputs and a class.
#[derive(Clone, Copy, Debug)]
pub enum Generator {
    /// Two half circles of radius 1, of which the second is turned and moved by (1, ½), with noise.
    Moons { noise: f64 },
    /// A circle of radius 1 and one of radius `factor` inside it, with noise.
    Circles { noise: f64, factor: f64 },
    /// Normal clouds around centers.
    Blobs { centers: &'static [[f64; 2]], sd: f64 },
}

impl Generator {
    /// The circles of both data sets.
    pub const CIRCLES: Self = Self::Circles { noise: 0.1, factor: 0.8 };

    pub fn classes(self) -> usize {
        match self {
            Self::Moons { .. } | Self::Circles { .. } => 2,
            Self::Blobs { centers, .. } => centers.len(),
        }
    }

    /// `n` rows, with the classes in turn. Points lie evenly on their curves, as those of scikit-learn do.
    pub fn rows(self, n: usize, seed: Seed) -> Table {
        let mut rng = seed.rng();
        let (classes, mut x, mut y) = (self.classes(), Vec::with_capacity(2 * n), Vec::with_capacity(n));
        for row in 0..n {
            let (class, along, of) = (row % classes, row / classes, n.div_ceil(classes));
            let (point, sd) = self.point(class, along, of);
            x.extend(point.map(|at| at + sd * rng.sample::<f64, _>(StandardNormal)));
            y.push(class as f64);
        }
        Table { x, y }
    }

    /// Point number `along` of the `of` points of a class, without noise; and the noise.
    fn point(self, class: usize, along: usize, of: usize) -> ([f64; 2], f64) {
        match self {
            Self::Moons { noise } => {
                let (sin, cos) = (PI * along as f64 / (of - 1) as f64).sin_cos();
                (if class == 0 { [cos, sin] } else { [1. - cos, 0.5 - sin] }, noise)
            }
            Self::Circles { noise, factor } => {
                let (sin, cos) = (2. * PI * along as f64 / of as f64).sin_cos();
                let radius = if class == 0 { 1. } else { factor };
                ([radius * cos, radius * sin], noise)
            }
            Self::Blobs { centers, sd } => (centers[class], sd),
        }
    }
}
