//! Scalings that are fitted value by value, for columns whose values do not fit in memory.
use crate::{
    data::scale::{max_abs, min_max, scaler::Moments, FittedColumn, Scaling},
    Result,
};

/// The fit of a column in passes over its values, which are finite. The result is that of the scaling on all values, to the
/// bit.
pub(super) enum Running {
    /// Three passes; the number says which one is next.
    Standardize(Moments, usize),
    MinMax {
        low: f64,
        high: f64,
        min: f64,
        max: f64,
    },
    MaxAbs(f64),
}

impl Running {
    /// The passes that any of them takes at most.
    pub(super) const PASSES: usize = 3;

    /// The fit of a scaling on `values` values; none if it needs them all at once.
    pub(super) fn of(scaling: &Scaling, values: usize) -> Option<Self> {
        Some(match scaling {
            Scaling::Standardize => Self::Standardize(Moments::new(values), 0),
            Scaling::MinMax { low, high } => {
                Self::MinMax { low: *low, high: *high, min: f64::INFINITY, max: f64::NEG_INFINITY }
            }
            Scaling::MaxAbs => Self::MaxAbs(0.),
            _ => return None,
        })
    }

    /// The next value of this pass. Where fewer passes are needed, the others change nothing.
    pub(super) fn add(&mut self, x: f64) {
        match self {
            Self::Standardize(moments, 0) => moments.measure(x),
            Self::Standardize(moments, 1) => moments.add(x),
            Self::Standardize(moments, _) => moments.deviate(x),
            Self::MinMax { min, max, .. } => (*min, *max) = (min.min(x), max.max(x)),
            Self::MaxAbs(largest) => *largest = largest.max(x.abs()),
        }
    }

    /// Ends a pass.
    pub(super) fn end_pass(&mut self) {
        if let Self::Standardize(moments, pass) = self {
            match *pass {
                0 => moments.measured(),
                1 => moments.added(),
                _ => {}
            }
            *pass += 1;
        }
    }

    pub(super) fn finish(self) -> Result<FittedColumn> {
        Ok(match self {
            Self::Standardize(moments, _) => {
                let (shift, scale) = moments.finish();
                FittedColumn::Affine { shift, scale }
            }
            Self::MinMax { low, high, min, max } => min_max::of_range((min, max), low, high),
            Self::MaxAbs(largest) => max_abs::of_largest(largest),
        })
    }
}
