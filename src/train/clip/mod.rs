//! Gradient clipping.
mod clipping;

pub(crate) use clipping::{norm, Limits};

use crate::{
    check::positive,
    registry::{Argument, Entry, Registry},
    Result,
};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Gradient clipping: limits gradients before the optimizer uses them, and before it adds weight decay to
/// them.
///
/// ```text
/// Value(c):            g ← max(−c, min(c, g))                  for each element
/// Norm(c):             g ← g · min(1, c / ‖g‖)                 with ‖g‖ over every element of every variable
/// NormPerVariable(c):  g ← g · min(1, c / ‖g‖)                 with ‖g‖ over the elements of one variable
/// Adaptive(λ, ε):      g ← g · min(1, λ max(‖w‖, ε) / ‖g‖)     with norms over the weights of one unit
/// Normalize(c):        g ← g · c / ‖g‖                         with ‖g‖ over every element of every variable
/// ```
///
/// Use [`Clip::Norm`] for networks whose gradients sometimes explode, such as recurrent and very deep ones:
/// it keeps the direction of the step. [`Clip::NormPerVariable`] is Keras' `clipnorm`; a variable with large
/// gradients does not slow the others down, but the direction changes. Use [`Clip::Value`] when single
/// elements are extreme. [`Clip::Adaptive`] is for networks without batch normalization in large batches. Do
/// not clip to hide a learning rate that is too high, nor targets that are not scaled. With an optimizer that
/// divides gradients by their size, such as [`Adam`](crate::train::Adam), a limit that always acts does
/// little.
///
/// Cost: [`Clip::Value`] is part of the update and costs next to nothing; the others read all gradients once
/// more. [`Clip::Adaptive`] also reads all weights, and copies the gradients of variables that it clips.
///
/// # Errors
/// A session returns [`Error::Invalid`](crate::Error::Invalid) before it trains, if a limit is not positive
/// and finite. Where a norm is not finite, the step fails and changes nothing.
///
/// # Sources
/// Norm: Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063. Adaptive: Brock, De, Smith and Simonyan 2021,
/// arXiv:2102.06171. Normalize: Hazan, Levy and Shalev-Shwartz 2015, arXiv:1507.02030.
///
/// ```
/// use candle_ensemble::train::Clip;
///
/// assert!(Clip::Norm(1.0).check().is_ok());
/// let e = Clip::Value(-1.0).check().unwrap_err().to_string();
/// assert_eq!(e, "Clip::Value must be positive and finite, but is -1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Clip {
    /// No clipping.
    #[default]
    None,
    /// Limits each element to the range from `−c` to `c`. Infinite elements become `±c`. NaN stays NaN, so
    /// that the next loss shows it.
    Value(f64),
    /// Scales all gradients together, so that their Euclidean norm is at most `c`.
    Norm(f64),
    /// Scales the gradient of each variable by itself, so that its Euclidean norm is at most `c`.
    NormPerVariable(f64),
    /// Adaptive gradient clipping (AGC): the gradient's norm is at most `ratio` times the norm of the
    /// weights, for each unit by itself. The units of a variable are its parts along dimension 0, which are
    /// the rows of a linear layer and the filters of a convolution; a variable with one dimension or none is
    /// one unit. A variable with an entry for each member of a network that holds several has the units of each entry.
    ///
    /// The source takes 0.01 for batches of 4096 and more for smaller ones, and leaves the last layer out.
    Adaptive {
        /// The largest ratio `λ` of the norms of gradient and weights.
        ratio: f64,
        /// The norm `ε` that weights have at least for this purpose, so that units that begin at 0 can learn.
        /// The source takes 0.001.
        floor: f64,
    },
    /// Scales all gradients together, so that their Euclidean norm is `c`, also where it is smaller.
    /// Gradients that are all 0 stay 0.
    Normalize(f64),
}

impl Clip {
    /// The clippings by name. The trainer reads such a text from a run's setting `"clip"`.
    ///
    /// ```
    /// use candle_ensemble::train::Clip;
    ///
    /// assert_eq!(Clip::registry().parse("norm:0.5")?, Clip::Norm(0.5));
    /// assert_eq!(Clip::registry().parse("adaptive")?, Clip::Adaptive { ratio: 0.01, floor: 0.001 });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Clip>> =
            LazyLock::new(|| Registry::new("gradient clipping", Clip::ENTRIES.to_vec()));
        &REGISTRY
    }

    const LIMIT: &[Argument] = &[Argument::new("limit", "1", "The largest size of an element")];
    const MAX: &[Argument] = &[Argument::new("max", "1", "The largest norm")];
    const ADAPTIVE: &[Argument] = &[
        Argument::new("ratio", "0.01", "The largest ratio of the norms of gradient and weights"),
        Argument::new("floor", "0.001", "The norm that weights have at least for this purpose"),
    ];
    const NORM: &[Argument] = &[Argument::new("norm", "1", "The norm")];

    const ENTRIES: &[Entry<Self>] = &[
        Entry::new("none", "Clip::None", "No clipping", |_| Ok(Self::None)),
        Entry::new("value", "Clip::Value", "Each element by itself", |arguments| {
            Ok(Self::Value(arguments.get("limit")?))
        })
        .with_arguments(Self::LIMIT),
        Entry::new("norm", "Clip::Norm", "All gradients by their norm", |arguments| {
            Ok(Self::Norm(arguments.get("max")?))
        })
        .with_arguments(Self::MAX)
        .with_source("Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063"),
        Entry::new(
            "norm-per-variable",
            "Clip::NormPerVariable",
            "Each variable's gradient by its norm",
            |arguments| Ok(Self::NormPerVariable(arguments.get("max")?)),
        )
        .with_arguments(Self::MAX),
        Entry::new(
            "adaptive",
            "Clip::Adaptive",
            "Each unit's gradient by its norm in proportion to the weights",
            |arguments| Ok(Self::Adaptive { ratio: arguments.get("ratio")?, floor: arguments.get("floor")? }),
        )
        .with_arguments(Self::ADAPTIVE)
        .with_source("Brock et al. 2021, arXiv:2102.06171"),
        Entry::new("normalize", "Clip::Normalize", "All gradients to one norm", |arguments| {
            Ok(Self::Normalize(arguments.get("norm")?))
        })
        .with_arguments(Self::NORM)
        .with_source("Hazan, Levy and Shalev-Shwartz 2015, arXiv:1507.02030"),
    ];

    /// Checks that the limits are positive and finite.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the limit.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::None => Ok(()),
            Self::Value(c) => positive("Clip::Value", c),
            Self::Norm(c) => positive("Clip::Norm", c),
            Self::NormPerVariable(c) => positive("Clip::NormPerVariable", c),
            Self::Adaptive { ratio, floor } => {
                positive("Clip::Adaptive::ratio", ratio)?;
                positive("Clip::Adaptive::floor", floor)
            }
            Self::Normalize(c) => positive("Clip::Normalize", c),
        }
    }
}

#[cfg(test)]
mod tests;
