//! What is fitted.
use crate::{
    data::scale::{
        columns, fit::Fitting, max_abs, min_max, one_hot, power, quantile, robust, standardize, FittedColumn,
        FittedScaling,
    },
    registry::Registry,
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A scaling of columns, as data. [`fit`](Self::fit) measures what it needs on some rows, and the result transforms any
/// rows.
///
/// | Scaling | In text | Each column `x` becomes |
/// |---|---|---|
/// | [`Standardize`](Self::Standardize) | `standardize` | `(x − mean) / standard deviation` |
/// | [`MinMax`](Self::MinMax) | `min-max:0:1` | `low + (high − low) (x − min) / (max − min)` |
/// | [`MaxAbs`](Self::MaxAbs) | `max-abs` | `x / max \|x\|` |
/// | [`Robust`](Self::Robust) | `robust:0.25:0.75` | `(x − median) / (q₀.₇₅ − q₀.₂₅)` |
/// | [`Power`](Self::Power) | `power` | Yeo and Johnson's power, then standardized |
/// | [`Quantile`](Self::Quantile) | `quantile:1000` | its rank among the rows: uniform or normal |
/// | [`OneHot`](Self::OneHot) | `one-hot` | one column of 0 and 1 for each category |
/// | [`Columns`](Self::Columns) | `0,3=one-hot;1=power` | what the scaling of its group makes of it |
///
/// Tensors are `(N, D)`, or `(N,)` for one column, of any float dtype. All but one-hot encoding also take `(N, C, …)`, such
/// as images, and scale each channel, which is dimension 1. The results are those of scikit-learn's `StandardScaler`,
/// `MinMaxScaler`, `MaxAbsScaler`, `RobustScaler`, `PowerTransformer`, `QuantileTransformer` and `OneHotEncoder`.
///
/// [`Trainer::input_scaling`](crate::train::Trainer::input_scaling) and
/// [`Trainer::target_scaling`](crate::train::Trainer::target_scaling) fit a scaling on the training rows of each run, so
/// that no row that is held out has an effect, and keep it with the member.
///
/// Use `standardize` for inputs of different units, and for targets whose spread is far from 1: the gradient grows with the
/// error, so that gradient descent diverges on targets in the hundreds at a learning rate that suits targets of spread 1.
/// Use `robust` or `quantile` where single values are extreme, `power` for skewed columns, `one-hot` for categories given as
/// numbers. Do not expect scaled inputs to help where they are on one scale already, such as standard normal features or
/// pixels from 0 to 1: there they make no difference. For targets, `quantile` cannot predict beyond the range of the
/// training rows.
///
/// Cost: one pass over the rows for each 2²⁵ values. `robust` and `quantile` sort each column; `power` computes about 30
/// times as many powers as there are values. A fitted `quantile` holds a number for each quantile of each column, in memory
/// and in the member's file.
///
/// # Errors
/// [`fit`](Self::fit) names a parameter that is out of range, a row and column that is NaN or infinite, and a shape that
/// the scaling does not take.
///
/// # Sources
/// Yeo and Johnson 2000, doi:10.1093/biomet/87.4.954, for `power`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::data::Scaling;
///
/// let x = Tensor::new(&[[1f32, 5.], [3., 9.]], &Device::Cpu)?;
/// let fitted = Scaling::Standardize.fit(&x)?;
/// assert_eq!(fitted.transform(&x)?.to_vec2::<f32>()?, [[-1., -1.], [1., 1.]]);
/// assert_eq!(fitted.inverse(&fitted.transform(&x)?)?.to_vec2::<f32>()?, x.to_vec2::<f32>()?);
///
/// // Categories in column 0, numbers in column 1.
/// let mixed = Scaling::parse("0=one-hot;1=min-max:0:1")?;
/// assert_eq!(mixed.fit(&x)?.transform(&x)?.to_vec2::<f32>()?, [[1., 0., 0.], [0., 1., 1.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Scaling {
    /// To mean 0 and standard deviation 1 (that of the population). A constant column becomes 0.
    Standardize,
    /// To the range from `low` to `high`. A constant column becomes `low`.
    MinMax {
        /// The smallest value after the scaling.
        low: f64,
        /// The largest value after the scaling, above `low`.
        high: f64,
    },
    /// To the range from −1 to 1, without a shift, so that zeros stay 0.
    MaxAbs,
    /// By the median and a range of quantiles, on which single extreme values have no effect.
    Robust {
        /// The lower quantile, from 0 to less than `high`.
        low: f64,
        /// The upper quantile, at most 1.
        high: f64,
    },
    /// By the power `λ` that makes the column most like a normal distribution, and then to mean 0 and standard deviation 1.
    Power,
    /// To the uniform distribution from 0 to 1, or to the standard normal distribution. Values beyond those of the fit
    /// become the ends, so they are lost in the inverse.
    Quantile {
        /// The number of quantiles, at least 2; no more than there are rows are used.
        quantiles: usize,
        /// Whether the result is normal rather than uniform.
        normal: bool,
    },
    /// One column of 0 and 1 for each category, in increasing order. There is no inverse.
    ///
    /// The network must have as many inputs as there are categories in all. Where runs train on a part of the rows, a rare
    /// category may be missing in some of them: list the categories then, so that every run has the same columns.
    OneHot {
        /// The categories, in increasing order. If the list is empty, they are the distinct values of the rows of the fit.
        categories: Vec<f64>,
        /// Whether a value that is no category becomes zeros. If not, it is an error.
        ignore_unknown: bool,
    },
    /// A scaling for each group of columns, which are numbered from 0. Other columns stay as they are.
    Columns(Vec<(Vec<usize>, Scaling)>),
}

impl Scaling {
    /// [`Scaling::OneHot`] with the categories of the rows of the fit. Others are errors.
    #[must_use]
    pub fn one_hot() -> Self {
        Self::OneHot { categories: vec![], ignore_unknown: false }
    }

    /// [`Scaling::Columns`]: a scaling for each group of columns.
    ///
    /// ```
    /// use candle_ensemble::data::Scaling;
    ///
    /// let scaling = Scaling::columns(vec![(vec![0, 3], Scaling::one_hot()), (vec![1], Scaling::Power)]);
    /// assert_eq!(scaling, Scaling::parse("0,3=one-hot;1=power")?);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn columns(groups: Vec<(Vec<usize>, Self)>) -> Self {
        Self::Columns(groups)
    }

    /// The scalings by name, but for that by columns, which [`parse`](Self::parse) reads too.
    ///
    /// ```
    /// use candle_ensemble::data::Scaling;
    ///
    /// let robust = Scaling::registry().parse("robust:0.1:0.9")?;
    /// assert_eq!(robust, Scaling::Robust { low: 0.1, high: 0.9 });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Scaling>> = LazyLock::new(|| {
            let entries = vec![
                standardize::ENTRY,
                min_max::ENTRY,
                max_abs::ENTRY,
                robust::ENTRY,
                power::ENTRY,
                quantile::ENTRY,
                one_hot::ENTRY,
            ];
            Registry::new("scaling", entries)
        });
        &REGISTRY
    }

    /// Reads a scaling from text: a name with its arguments, or `columns=scaling` for groups of columns, separated by
    /// semicolons, such as `0,3=one-hot;1,2=standardize`.
    ///
    /// # Errors
    /// When a name, an argument or the number of a column is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let scaling = columns::parse(text).unwrap_or_else(|| Self::registry().parse(text))?;
        scaling.check().map(|()| scaling)
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Standardize | Self::MaxAbs | Self::Power => Ok(()),
            Self::MinMax { low, high } => min_max::check(*low, *high),
            Self::Robust { low, high } => robust::check(*low, *high),
            Self::Quantile { quantiles, .. } => quantile::check(*quantiles),
            Self::OneHot { categories, .. } => one_hot::check(categories),
            Self::Columns(groups) => columns::check(groups),
        }
    }

    /// Whether it has an inverse: one-hot has none.
    pub(crate) fn has_inverse(&self) -> bool {
        match self {
            Self::OneHot { .. } => false,
            Self::Columns(groups) => groups.iter().all(|(_, scaling)| scaling.has_inverse()),
            _ => true,
        }
    }

    /// Whether it shifts and stretches columns, and does nothing else.
    pub(crate) fn is_affine(&self) -> bool {
        match self {
            Self::Standardize | Self::MinMax { .. } | Self::MaxAbs | Self::Robust { .. } => true,
            Self::Power | Self::Quantile { .. } | Self::OneHot { .. } => false,
            Self::Columns(groups) => groups.iter().all(|(_, scaling)| scaling.is_affine()),
        }
    }

    /// Fits the scaling on the rows of `x`.
    ///
    /// # Errors
    /// When a parameter is out of range, or `x` is not a tensor of floats of a shape that the scaling takes, has no rows,
    /// or contains NaN or infinity in a column that is scaled.
    pub fn fit(&self, x: &Tensor) -> Result<FittedScaling> {
        let mut fitting = Fitting::new("", self, x, x.dims().first().copied().unwrap_or(0), None)?;
        while fitting.next_pass()? {
            if fitting.reads() {
                fitting.add(x, |row| row)?;
            }
        }
        fitting.finish()
    }

    /// Fits one column, whose values are finite.
    pub(super) fn fit_column(&self, values: Vec<f64>) -> Result<FittedColumn> {
        match self {
            Self::Standardize => standardize::fit(values),
            Self::MinMax { low, high } => Ok(min_max::fit(&values, *low, *high)),
            Self::MaxAbs => Ok(max_abs::fit(&values)),
            Self::Robust { low, high } => Ok(robust::fit(values, *low, *high)),
            Self::Power => power::fit(values),
            Self::Quantile { quantiles, normal } => Ok(quantile::fit(values, *quantiles, *normal)),
            Self::OneHot { categories, ignore_unknown } => one_hot::fit(values, categories, *ignore_unknown),
            Self::Columns(_) => {
                Err(Error::invalid("a scaling within Scaling::Columns", "another one", "Scaling::Columns"))
            }
        }
    }
}
