//! How metrics of single classes become one number.
use serde::{Deserialize, Serialize};

/// How a metric that is defined for one class against the others becomes one number for all classes.
///
/// ```text
/// macro: 1/C Σ_c m_c      weighted: Σ_c n_c/N m_c      micro: m of the pooled counts
/// ```
///
/// `m_c` is the metric of class `c` and `n_c` the weight of the rows of this class. Use `Macro` where rare
/// classes matter as much as frequent ones, `Weighted` where every row matters as much as every other, and
/// `Binary` where one of two classes is the one to find. The names are those of scikit-learn's argument
/// `average`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{f1, Average};
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3]], &Device::Cpu)?;
/// assert_eq!(f1(&probs, &[0, 1, 1], Average::Binary, None)?, 2. / 3.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Average {
    /// The mean over the classes. The default.
    #[default]
    Macro,
    /// The mean over the classes, weighted by the rows of each class.
    Weighted,
    /// The metric of all decisions "this row is of this class" together, without regard to the class.
    Micro,
    /// The metric of class 1 of two classes.
    Binary,
}

impl Average {
    /// The words of the registry's argument `average`.
    pub(crate) const WORDS: [(&str, Self); 4] = [
        ("macro", Self::Macro),
        ("weighted", Self::Weighted),
        ("micro", Self::Micro),
        ("binary", Self::Binary),
    ];
}
