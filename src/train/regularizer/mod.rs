//! Weight penalties: what is added to the loss to keep weights small, sparse or orthogonal.
//!
//! Each penalty has a file with its parameters, its formula and its gradient. To add one, write a file with a
//! type that implements [`WeightPenalty`] and add one line to the list below.
mod elementwise;
mod l1;
mod l1_l2;
mod l2;
mod list;
mod orthogonal;

pub use l1::L1;
pub use l1_l2::L1L2;
pub use l2::L2;
pub use list::Regularizers;
pub use orthogonal::Orthogonal;

use crate::{
    registry::{Argument, Arguments, Entry, Registry},
    weights::{members::has_entries, WeightFilter},
    Error, Result,
};
use candle_core::{backprop::GradStore, Result as CResult, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// A penalty on the weights of one variable at a time.
pub(crate) trait WeightPenalty: fmt::Display + Sized {
    /// Its entry in the registry.
    const ENTRY: Entry<Regularizer>;

    /// Whether the penalty is of a kernel as a whole, so that each entry of a variable with an entry for each of several
    /// members has its own.
    const OF_KERNELS: bool = false;

    /// The variables that it applies to.
    fn filter(&self) -> &WeightFilter;

    /// Checks the parameters, the filter apart.
    fn check(&self) -> Result<()>;

    /// The penalty times `factor`.
    fn times(&self, factor: f64) -> Self;

    /// Adds the penalty's gradient at `w` to the gradient `g`, which has the same shape and may be changed in
    /// place. Returns the sum and the penalty.
    fn add(&self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)>;
}

macro_rules! regularizers {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// A penalty on weights that is added to the loss, as data.
        ///
        /// ```text
        /// loss = mean loss of the batch + Σ penalty(w)     over the variables w that the filter selects
        /// ```
        ///
        /// | Regularizer | In text | Penalty |
        /// |---|---|---|
        /// | [`L1`] | `l1:1e-5` | `λ Σ\|w\|` |
        /// | [`L2`] | `l2:0.001` | `λ Σ w²`, or half of that |
        /// | [`L1L2`] | `l1-l2:1e-5:1e-4` | both |
        /// | [`Orthogonal`] | `orthogonal:1e-4` | `λ ‖W Wᵀ − I‖²` |
        ///
        /// Penalties apply to kernels unless a [`WeightFilter`] says otherwise ([`on`](Self::on)). The penalty
        /// is not divided by the number of rows: the loss is a mean, so `λ` does not depend on the batch size.
        ///
        /// The gradient is exact and is added to the gradients of the loss before they are clipped. Weights
        /// that the loss does not reach, because they are frozen, have no penalty. Recorded losses are without
        /// penalties, so those of training and validation rows can be compared.
        ///
        /// Use a penalty against overfitting, above all of a network that is large for its rows. It also makes
        /// probabilities less extreme, often where the accuracy stays the same. Choose `λ` on validation rows,
        /// from powers of ten. A penalty that is too strong underfits. Do not add one to weights whose scale
        /// has no effect, such as those before batch normalization: there it only raises the effective
        /// learning rate (van Laarhoven 2017, arXiv:1706.05350).
        ///
        /// # Decoupled weight decay
        /// With plain [`Sgd`](crate::train::Sgd), `½ λ Σ w²` in the loss is the same as weight decay `λ`. With
        /// [`Adam`](crate::train::Adam) and other optimizers that divide by the size of gradients it is not: a
        /// weight with large gradients is decayed less. Decoupled decay
        /// ([`Optimizer::adamw`](crate::train::Optimizer::adamw)) shrinks all weights alike and is the usual
        /// choice with Adam (Loshchilov and Hutter 2019, arXiv:1711.05101).
        ///
        /// ```
        /// use candle_ensemble::{train::{Regularizer, L2}, weights::WeightFilter};
        ///
        /// let hidden = Regularizer::l2(0.001).on(WeightFilter::names(["hidden.*"]));
        /// assert_eq!(Regularizer::registry().parse("l2:0.001:hidden.*")?, hidden);
        /// assert_eq!(hidden.to_string(), "l2:0.001:hidden.*");
        ///
        /// // As weight decay in PyTorch.
        /// let decay: Regularizer = L2::new(0.01).half(true).on(WeightFilter::All).into();
        /// assert!(Regularizer::l1(-1.0).check().is_err());
        /// # Ok::<(), candle_ensemble::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Regularizer {
            $(
                $(#[$doc])*
                $kind($kind),
            )+
        }

        $(
            impl From<$kind> for Regularizer {
                fn from(penalty: $kind) -> Self {
                    Self::$kind(penalty)
                }
            }
        )+

        /// Evaluates an expression with the parameters of the regularizer, whichever it is.
        macro_rules! each {
            ($of:expr, $penalty:ident => $expression:expr) => {
                match $of {
                    $(Regularizer::$kind($penalty) => $expression,)+
                }
            };
        }

        const ENTRIES: &[Entry<Regularizer>] = &[$($kind::ENTRY,)+];
    };
}

regularizers! {
    /// The sum of absolute values. See [`L1`].
    L1,
    /// The sum of squares. See [`L2`].
    L2,
    /// Both. See [`L1L2`].
    L1L2,
    /// The distance from orthogonal rows or columns. See [`Orthogonal`].
    Orthogonal,
}

impl Regularizer {
    /// [`L1`] on the kernels.
    #[must_use]
    pub fn l1(rate: f64) -> Self {
        L1::new(rate).into()
    }

    /// [`L2`] on the kernels, without the factor ½.
    #[must_use]
    pub fn l2(rate: f64) -> Self {
        L2::new(rate).into()
    }

    /// [`L1L2`] on the kernels.
    #[must_use]
    pub fn l1_l2(l1: f64, l2: f64) -> Self {
        L1L2::new(l1, l2).into()
    }

    /// [`Orthogonal`] on the kernels.
    #[must_use]
    pub fn orthogonal(rate: f64) -> Self {
        Orthogonal::new(rate).into()
    }

    /// Sets the variables that it applies to. Default [`WeightFilter::Kernels`].
    #[must_use]
    pub fn on(mut self, on: WeightFilter) -> Self {
        each!(&mut self, penalty => penalty.on = on);
        self
    }

    /// The variables that it applies to.
    #[must_use]
    pub fn filter(&self) -> &WeightFilter {
        each!(self, penalty => penalty.filter())
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.filter().check()?;
        each!(self, penalty => WeightPenalty::check(penalty))
    }

    /// The penalty times `factor`.
    pub(crate) fn times(&self, factor: f64) -> Self {
        each!(self, penalty => penalty.times(factor).into())
    }

    /// Adds the gradient of the penalty to the gradients, and returns the penalty.
    ///
    /// `vars` are the variables of the network with their names. Variables without a gradient are left out. The
    /// weights are not changed; the gradients may be changed in place. Call it after the backward pass and
    /// before gradients are clipped.
    ///
    /// # Errors
    /// When a gradient has another shape than its variable, or candle fails.
    ///
    /// ```
    /// use candle_core::{Device, Var};
    /// use candle_ensemble::train::Regularizer;
    ///
    /// let w = Var::new(&[[3f32, -1.0]], &Device::Cpu)?;
    /// let mut gradients = w.sum_all()?.backward()?;
    /// let penalty = Regularizer::l2(0.1).add_to(&[("w".into(), w.clone())], &mut gradients)?;
    /// assert!((penalty - 1.0).abs() < 1e-7);
    /// // 1 + 2 · 0.1 · w
    /// assert_eq!(gradients.get(&w).unwrap().to_vec2::<f32>()?, [[1.6, 0.8]]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn add_to(&self, vars: &[(String, Var)], gradients: &mut GradStore) -> Result<f64> {
        let mut total = 0.0;
        for (name, var) in self.filter().select(vars) {
            let Some(gradient) = gradients.get(var) else { continue };
            if gradient.shape() != var.shape() {
                let must = format!("of the variable's shape, {:?}", var.dims());
                let got = format!("of shape {:?}", gradient.dims());
                return Err(Error::invalid(format!("the gradient of `{name}`"), must, got));
            }
            let w = var.as_detached_tensor();
            let (sum, penalty) = each!(self, regularizer => with_penalty(regularizer, name, &w, gradient))?;
            gradients.insert(var, sum);
            total += penalty;
        }
        Ok(total)
    }

    /// The regularizers by name.
    ///
    /// ```
    /// use candle_ensemble::train::Regularizer;
    ///
    /// let parse = |text| Regularizer::registry().parse(text);
    /// assert_eq!(parse("l1-l2:1e-5:1e-4")?, Regularizer::l1_l2(1e-5, 1e-4));
    /// assert!(parse("l2:-1").is_err());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Regularizer>> =
            LazyLock::new(|| Registry::new("regularizer", ENTRIES.to_vec()));
        &REGISTRY
    }
}

/// As in text: `l2:0.001`.
impl fmt::Display for Regularizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, penalty => write!(f, "{penalty}"))
    }
}

/// The argument for the factor of a penalty.
const RATE: Argument = Argument::required("rate", "The factor of the penalty");

/// The argument for the variables that a penalty applies to.
const ON: Argument =
    Argument::new("on", "kernels", "The variables: kernels, biases, all, or patterns of names");

/// The regularizer, if its parameters are in range, on the variables that the arguments name.
fn made(regularizer: impl Into<Regularizer>, arguments: &Arguments) -> Result<Regularizer> {
    let regularizer = regularizer.into().on(arguments.get("on")?);
    regularizer.check()?;
    Ok(regularizer)
}

/// The filter as the last argument of a text; empty for the default.
fn on_text(on: &WeightFilter) -> String {
    if *on == WeightFilter::default() {
        String::new()
    } else {
        format!(":{on}")
    }
}

/// The gradient with that of the penalty, and the penalty. See [`WeightPenalty::add`].
fn with_penalty<P: WeightPenalty>(penalty: &P, name: &str, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
    if !P::OF_KERNELS || !has_entries(name) || w.rank() == 0 {
        return penalty.add(w, g);
    }
    let (mut sums, mut total) = (vec![], 0.);
    for member in 0..w.dim(0)? {
        let (sum, penalty) = penalty.add(&w.get(member)?, &g.get(member)?)?;
        sums.push(sum);
        total += penalty;
    }
    Ok((Tensor::stack(&sums, 0)?, total))
}

#[cfg(test)]
mod tests;
