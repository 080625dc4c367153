//! What is fitted.
use crate::{
    data::scale::{
        affine,
        columns::FittedColumns,
        fitted::{channels, Kind},
        one_hot::FittedOneHot,
        power::FittedPower,
        quantile::FittedQuantile,
        FittedScaling, Scaler,
    },
    registry::{Argument, Entry, Registry},
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
/// | [`OneHot`](Self::OneHot) | `one-hot` | one column of 0 and 1 for each value |
///
/// Tensors are `(N, D)`, or `(N,)` for one column, of any float dtype. The first four also take `(N, C, …)`, such as
/// images, and scale each channel. The results are those of scikit-learn's `StandardScaler`, `MinMaxScaler`,
/// `MaxAbsScaler`, `RobustScaler`, `PowerTransformer`, `QuantileTransformer` and `OneHotEncoder`.
///
/// [`Trainer::input_scaling`](crate::train::Trainer::input_scaling) and
/// [`Trainer::target_scaling`](crate::train::Trainer::target_scaling) fit a scaling on the training rows of each run, so
/// that no row that is held out has an effect, and keep it with the member.
///
/// Use `standardize` for inputs of different units, and for targets that are far from 0 or far from 1 in size: a loss in
/// the thousands makes training diverge. Use `robust` or `quantile` where single values are extreme, `power` for skewed
/// columns, `one-hot` for categories given as numbers. Do not scale inputs that are on one scale already, such as bits or
/// pixels from 0 to 1: nothing is gained.
///
/// Cost: one or two passes over the rows; `robust` and `quantile` sort each column; `power` makes about 60 passes.
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
    /// One column for each distinct value, in increasing order. There is no inverse.
    OneHot {
        /// Whether a value that was not among the rows of the fit becomes zeros. If not, it is an error.
        ignore_unknown: bool,
    },
    /// A scaling for each group of columns, which are numbered from 0. Other columns stay as they are.
    Columns(Vec<(Vec<usize>, Scaling)>),
}

impl Scaling {
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
        const RANGE: &[Argument] = &[
            Argument::new("low", "0", "The smallest value"),
            Argument::new("high", "1", "The largest value"),
        ];
        const QUANTILES: &[Argument] = &[
            Argument::new("low", "0.25", "The lower quantile"),
            Argument::new("high", "0.75", "The upper quantile"),
        ];
        const COUNT: &[Argument] = &[
            Argument::new("quantiles", "1000", "The number of quantiles"),
            Argument::new("normal", "false", "Whether the result is normal rather than uniform"),
        ];
        const UNKNOWN: &[Argument] =
            &[Argument::new("ignore-unknown", "false", "Whether unknown categories become zeros")];
        static REGISTRY: LazyLock<Registry<Scaling>> = LazyLock::new(|| {
            let entries = vec![
                Entry::new(
                    "standardize",
                    "Scaling::Standardize",
                    "To mean 0 and standard deviation 1",
                    |_| Ok(Scaling::Standardize),
                ),
                Entry::new("min-max", "Scaling::MinMax", "To a range", |arguments| {
                    Ok(Scaling::MinMax { low: arguments.get("low")?, high: arguments.get("high")? })
                })
                .with_arguments(RANGE),
                Entry::new(
                    "max-abs",
                    "Scaling::MaxAbs",
                    "To the range from -1 to 1, without a shift",
                    |_| Ok(Scaling::MaxAbs),
                ),
                Entry::new(
                    "robust",
                    "Scaling::Robust",
                    "By the median and a range of quantiles",
                    |arguments| {
                        Ok(Scaling::Robust { low: arguments.get("low")?, high: arguments.get("high")? })
                    },
                )
                .with_arguments(QUANTILES),
                Entry::new("power", "Scaling::Power", "Yeo and Johnson's power, then standardized", |_| {
                    Ok(Scaling::Power)
                }),
                Entry::new(
                    "quantile",
                    "Scaling::Quantile",
                    "To a uniform or normal distribution",
                    |arguments| {
                        let (quantiles, normal) = (arguments.get("quantiles")?, arguments.get("normal")?);
                        Ok(Scaling::Quantile { quantiles, normal })
                    },
                )
                .with_arguments(COUNT),
                Entry::new("one-hot", "Scaling::OneHot", "One column for each value", |arguments| {
                    Ok(Scaling::OneHot { ignore_unknown: arguments.get("ignore-unknown")? })
                })
                .with_arguments(UNKNOWN),
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
        // `robust:low=0.1` has an equals sign too, but after a colon.
        let is_group = |part: &str| part.find('=').is_some_and(|at| !part[..at].contains(':'));
        if !text.split(';').all(is_group) {
            return Self::registry().parse(text).and_then(Self::checked);
        }
        let group = |part: &str| {
            let (columns, scaling) = part.split_once('=').unwrap_or_default();
            let number = |text: &str| {
                let wrong =
                    |_| Error::invalid("a column of a scaling", "a whole number", format!("{text:?}"));
                text.trim().parse::<usize>().map_err(wrong)
            };
            let columns = columns.split(',').map(number).collect::<Result<Vec<_>>>()?;
            Ok((columns, Self::registry().parse(scaling.trim())?))
        };
        Self::Columns(text.split(';').map(group).collect::<Result<_>>()?).checked()
    }

    fn checked(self) -> Result<Self> {
        self.check().map(|()| self)
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Standardize | Self::MaxAbs | Self::Power | Self::OneHot { .. } => Ok(()),
            Self::MinMax { low, high } => {
                let fine = (high - low).is_normal() && low < high;
                in_range(
                    fine,
                    "Scaling::MinMax::low and high",
                    "finite and in order",
                    format!("{low} and {high}"),
                )
            }
            Self::Robust { low, high } => {
                let fine = 0. <= *low && low < high && *high <= 1.;
                let must = "from 0 to 1 and in order";
                in_range(fine, "Scaling::Robust::low and high", must, format!("{low} and {high}"))
            }
            Self::Quantile { quantiles, .. } => {
                in_range(*quantiles >= 2, "Scaling::Quantile::quantiles", "at least 2", quantiles)
            }
            Self::Columns(groups) => groups.iter().try_for_each(|(_, scaling)| match scaling {
                Self::Columns(_) => {
                    Err(Error::invalid("a scaling of Scaling::Columns", "another one", "the same"))
                }
                other => other.check(),
            }),
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

    /// Fits the scaling on the rows of `x`.
    ///
    /// # Errors
    /// When a parameter is out of range, or `x` is not a tensor of floats of a shape that the scaling takes, has no rows,
    /// or contains NaN or infinity.
    pub fn fit(&self, x: &Tensor) -> Result<FittedScaling> {
        self.check()?;
        Ok(FittedScaling(match self {
            Self::Standardize => Kind::Affine(Scaler::standardize(&channels(x)?)?),
            Self::MinMax { low, high } => Kind::Affine(affine::min_max(&channels(x)?, *low, *high)?),
            Self::MaxAbs => Kind::Affine(affine::max_abs(&channels(x)?)?),
            Self::Robust { low, high } => Kind::Affine(affine::robust(&channels(x)?, *low, *high)?),
            Self::Power => Kind::Power(FittedPower::fit(x)?),
            Self::Quantile { quantiles, normal } => {
                Kind::Quantile(FittedQuantile::fit(x, *quantiles, *normal)?)
            }
            Self::OneHot { ignore_unknown } => Kind::OneHot(FittedOneHot::fit(x, *ignore_unknown)?),
            Self::Columns(groups) => Kind::Columns(FittedColumns::fit(x, groups)?),
        }))
    }
}

fn in_range(fine: bool, what: &str, must: &str, got: impl std::fmt::Display) -> Result<()> {
    match fine {
        true => Ok(()),
        false => Err(Error::invalid(what, must, got)),
    }
}
