//! Optimizers: their parameters as data, and a state that can be saved and restored to the bit.
//!
//! Each optimizer has a file with its parameters, its update as a loop over slices, and the same update in
//! tensor operations. On the CPU, a step updates `f32` and `f64` variables in place, in one pass through
//! memory and without allocations. On other devices, and for half precision, it uses candle's tensor
//! operations; in half precision with moments and weights in `f32`.
//!
//! To add an optimizer, write a file with a type that implements [`UpdateRule`](rule::UpdateRule) and has
//! `ENTRIES` of the registry, and add one line to the list below.
mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod lamb;
mod lion;
mod nadam;
mod radam;
mod rmsprop;
mod rule;
mod saved;
mod sgd;
mod state;
mod text;
mod variable;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamax::Adamax;
pub use lamb::Lamb;
pub use lion::Lion;
pub use nadam::NAdam;
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use saved::{SavedOptimizer, SavedVariable, Values};
pub use sgd::{Sgd, Velocity};
pub use state::OptimizerState;

use crate::{registry::Registry, Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

macro_rules! optimizers {
    ($($(#[$doc:meta])* $optimizer:ident,)+) => {
        /// How gradients change weights, as data: one of the optimizers with its parameters.
        ///
        /// [`Trainer::optimizer`](crate::train::Trainer::optimizer) accepts an `Optimizer` or one of the
        /// concrete types. [`OptimizerState`] applies an optimizer to variables.
        ///
        /// ```
        /// use candle_ensemble::train::{Adam, Optimizer, Sgd};
        ///
        /// let optimizer = Optimizer::adamw(1e-3, 0.01);
        /// assert_eq!(optimizer, Adam::new(1e-3).weight_decay(0.01).decoupled(true).into());
        ///
        /// let nesterov: Optimizer = Sgd::new(0.1).momentum(0.9).nesterov(true).into();
        /// assert_eq!(nesterov.learning_rate(), 0.1);
        /// assert!(Optimizer::sgd(-1.0).check().is_err());
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Optimizer {
            $(
                $(#[$doc])*
                $optimizer($optimizer),
            )+
        }

        $(
            impl From<$optimizer> for Optimizer {
                fn from(optimizer: $optimizer) -> Self {
                    Self::$optimizer(optimizer)
                }
            }
        )+

        impl Optimizer {
            /// The name of the type of its parameters.
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$optimizer(_) => stringify!($optimizer),)+
                }
            }

            /// The optimizers by name. The trainer reads such a text from a run's setting `"optimizer"`. The
            /// first argument is the learning rate.
            ///
            /// ```
            /// use candle_ensemble::train::{Adam, Optimizer, Sgd};
            ///
            /// let optimizers = Optimizer::registry();
            /// assert_eq!(optimizers.parse("adam:0.01")?, Optimizer::adam(0.01));
            /// assert_eq!(optimizers.parse("adamw:0.01:0.1")?, Optimizer::adamw(0.01, 0.1));
            /// assert_eq!(optimizers.parse("sgd:0.1:momentum=0.9")?, Sgd::new(0.1).momentum(0.9).into());
            /// assert_eq!(optimizers.parse("amsgrad")?, Adam::default().amsgrad(true).into());
            /// # Ok::<(), candle_ensemble::Error>(())
            /// ```
            #[must_use]
            pub fn registry() -> &'static Registry<Self> {
                static REGISTRY: LazyLock<Registry<Optimizer>> = LazyLock::new(|| {
                    Registry::new("optimizer", [$($optimizer::ENTRIES,)+].concat())
                });
                &REGISTRY
            }
        }

        /// Evaluates an expression with the parameters of the optimizer, whichever it is.
        macro_rules! each {
            ($of:expr, $parameters:ident => $expression:expr) => {
                match $of {
                    $(Optimizer::$optimizer($parameters) => $expression,)+
                }
            };
        }
        use each;
    };
}

optimizers! {
    /// Adam; AdamW with decoupled weight decay; AMSGrad. See [`Adam`].
    Adam,
    /// Stochastic gradient descent, with or without momentum. See [`Sgd`].
    Sgd,
    /// RMSProp. See [`RmsProp`].
    RmsProp,
    /// Adam with Nesterov's momentum. See [`NAdam`].
    NAdam,
    /// Adam with a warm-up that follows from its second moment. See [`RAdam`].
    RAdam,
    /// Adam with the largest recent size of the gradient. See [`Adamax`].
    Adamax,
    /// Adagrad. See [`Adagrad`].
    Adagrad,
    /// Adadelta. See [`Adadelta`].
    Adadelta,
    /// Lion. See [`Lion`].
    Lion,
    /// LAMB. See [`Lamb`].
    Lamb,
}

impl Optimizer {
    /// [`Adam`] with its default parameters.
    #[must_use]
    pub fn adam(learning_rate: f64) -> Self {
        Adam::new(learning_rate).into()
    }

    /// [`Adam`] with decoupled weight decay, which is AdamW.
    #[must_use]
    pub fn adamw(learning_rate: f64, weight_decay: f64) -> Self {
        Adam::new(learning_rate).weight_decay(weight_decay).decoupled(true).into()
    }

    /// [`Sgd`] without momentum.
    #[must_use]
    pub fn sgd(learning_rate: f64) -> Self {
        Sgd::new(learning_rate).into()
    }

    /// [`RmsProp`] with its default parameters.
    #[must_use]
    pub fn rmsprop(learning_rate: f64) -> Self {
        RmsProp::new(learning_rate).into()
    }

    /// [`Adam`] with the largest second moment so far, which is AMSGrad.
    #[must_use]
    pub fn amsgrad(learning_rate: f64) -> Self {
        Adam::new(learning_rate).amsgrad(true).into()
    }

    /// [`NAdam`] with its default parameters.
    #[must_use]
    pub fn nadam(learning_rate: f64) -> Self {
        NAdam::new(learning_rate).into()
    }

    /// [`RAdam`] with its default parameters.
    #[must_use]
    pub fn radam(learning_rate: f64) -> Self {
        RAdam::new(learning_rate).into()
    }

    /// [`Adamax`] with its default parameters.
    #[must_use]
    pub fn adamax(learning_rate: f64) -> Self {
        Adamax::new(learning_rate).into()
    }

    /// [`Adagrad`] with its default parameters.
    #[must_use]
    pub fn adagrad(learning_rate: f64) -> Self {
        Adagrad::new(learning_rate).into()
    }

    /// [`Adadelta`] with its default parameters.
    #[must_use]
    pub fn adadelta(learning_rate: f64) -> Self {
        Adadelta::new(learning_rate).into()
    }

    /// [`Lion`] with its default parameters.
    #[must_use]
    pub fn lion(learning_rate: f64) -> Self {
        Lion::new(learning_rate).into()
    }

    /// [`Lamb`] with its default parameters.
    #[must_use]
    pub fn lamb(learning_rate: f64) -> Self {
        Lamb::new(learning_rate).into()
    }

    /// The base learning rate.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        each!(self, o => o.learning_rate)
    }

    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        each!(self, o => o.learning_rate = learning_rate);
    }

    pub(crate) fn set_weight_decay(&mut self, weight_decay: f64) {
        each!(self, o => o.weight_decay = weight_decay);
    }

    /// # Errors
    /// For an optimizer that has no momentum.
    pub(crate) fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        match self {
            Self::Sgd(o) => o.momentum = momentum,
            Self::RmsProp(o) => o.momentum = momentum,
            other => {
                let got = format!("set for {}", other.name());
                return Err(Error::invalid("momentum", "set for SGD or RMSprop", got));
            }
        }
        Ok(())
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        each!(self, o => o.check())
    }
}

/// Checks that `epsilon` does not vanish when it is rounded to `f32`: an element that never had a gradient
/// would otherwise be 0 / 0.
fn check_epsilon(what: &str, epsilon: f64) -> Result<()> {
    let in_range = epsilon >= f64::from(f32::MIN_POSITIVE) && epsilon.is_finite();
    crate::check::require(in_range, what, "at least 1.2e-38, and finite", epsilon)
}

#[cfg(test)]
mod tests;
