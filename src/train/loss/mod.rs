//! Losses: how far the outputs of a batch are from its targets, as one differentiable number.
//!
//! On the CPU, a loss over `f32` or `f64` is one operation that computes its value and its gradient in the
//! same pass over the rows. On other devices, and for half precision, it is composed of candle's
//! differentiable operations. Each loss has a file of its own, with both forms.
mod binary_cross_entropy;
mod coral;
mod corn;
mod cosine_similarity;
mod cross_entropy;
mod elementwise;
mod evaluated;
mod fit;
mod focal;
mod function;
mod gaussian_mixture_nll;
mod gaussian_nll;
mod hinge;
mod huber;
mod kl_divergence;
mod laplace_nll;
mod located;
mod log_cosh;
mod mean_absolute;
mod mean_squared;
mod mean_squared_logarithmic;
mod members;
mod ordinal;
mod pinball;
mod poisson;
mod shapes;
mod soft;
mod squared_hinge;
mod student_t_nll;

use crate::{
    data::Task,
    distribution::Levels,
    kernels::{cpu, float::Real},
    network::Output,
    nn::apply_op1,
    registry::{Entry, Registry},
    Result,
};
use candle_core::{DType, Result as CResult, Tensor};
use evaluated::{Evaluated, FusedBatch};
use function::{Fault, LossFunction};
pub(crate) use members::{MemberLoss, MemberLosses};
use serde::{Deserialize, Serialize};
use shapes::{invalid, normalized};
use std::sync::LazyLock;

/// A loss: the function that training minimises. It has a value `l` for each row, and the mean of a batch is
/// what a step minimises.
///
/// ```text
/// mean = Σ l / B,   or with weights w of the rows   Σ w l / Σ w
/// ```
///
/// Outputs are `(B, C)` logits, `(B, K)` values, or the parameters of distributions of values, of a batch of `B` rows, in
/// any floating-point type. The trainer chooses [`Loss::default_for`] the task and the output of the network if no loss is
/// set.
///
/// Each loss needs a certain output of the network, which its documentation names: an activation at the end
/// of the network, or none. [`Loss::check_fit`] finds a loss that does not go with the task or the kind of
/// output, and [`Loss::check_targets`] a target that the loss is not defined for.
///
/// Cost: one pass over the outputs.
///
/// # Errors
/// [`Loss::check`] names a parameter that is out of range, and [`Loss::mean`] a tensor of the wrong shape or
/// type. A session checks parameters before it trains.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use candle_ensemble::train::Loss;
///
/// let logits = Var::new(&[[2f64, 0.0], [0.0, 0.0]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let loss = Loss::CrossEntropy { smoothing: 0.0 }.mean(&logits, &labels, None)?;
/// let by_hand = ((1.0 + (-2f64).exp()).ln() + 2f64.ln()) / 2.0;
/// assert!((loss.to_scalar::<f64>()? - by_hand).abs() < 1e-15);
/// assert!(loss.backward()?.get(&logits).is_some());
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Loss {
    /// Cross-entropy of classes: `l = −Σ_c q_c ln softmax(z)_c`, with `q = (1 − s) · onehot(label) + s / C`.
    ///
    /// Outputs are `(B, C)` logits with `C` at least 2. Targets are `(B,)` labels of type `u32`, below `C`, or
    /// soft targets: `(B, C)` probabilities in place of `onehot(label)`, each row with the sum 1.
    ///
    /// The network ends in a linear layer without activation: the loss includes the softmax.
    ///
    /// Use it for classes. Label smoothing makes networks less certain, which helps when labels are noisy; do
    /// not use it where the probabilities themselves are needed, unless they are calibrated afterwards.
    ///
    /// Source for smoothing: Szegedy et al. 2016, arXiv:1512.00567.
    CrossEntropy {
        /// Label smoothing `s`, from 0 to less than 1.
        smoothing: f64,
    },
    /// Cross-entropy of two classes with one logit: `l = −y ln σ(z) − (1 − y) ln(1 − σ(z))`, computed as
    /// `max(z, 0) − z y + ln(1 + e^−|z|)`, which does not overflow.
    ///
    /// Outputs are `(B, 1)` or `(B,)` logits of class 1. Targets are `(B,)` labels of type `u32`, 0 or 1, or
    /// soft targets: `(B, 2)` probabilities of the two classes, of which `y` is the second.
    ///
    /// The network ends in a linear layer without activation: the loss includes the sigmoid.
    ///
    /// Use it for two classes when the network has one output.
    BinaryCrossEntropy,
    /// Squared error: `l = d²`, with `d = output − target`.
    ///
    /// Outputs and targets are `(B,)` or `(B, K)`, where `(B, 1)` and `(B,)` are the same. `l` is the mean
    /// over the `K` values.
    ///
    /// The network ends in a linear layer without activation, or in one whose range holds all targets.
    ///
    /// Use it to predict means. Outliers have a large effect.
    MeanSquared,
    /// Absolute error: `l = |d|`, with derivative 0 at `d = 0`. Shapes and the end of the network are
    /// those of [`Loss::MeanSquared`].
    ///
    /// Use it to predict medians, or when there are outliers.
    MeanAbsolute,
    /// Huber loss: `l = d² / 2` for `|d| ≤ δ`, and `δ (|d| − δ / 2)` otherwise. Shapes and the end of the
    /// network are those of [`Loss::MeanSquared`].
    ///
    /// Use it to predict means when there are outliers. It behaves like the squared error for small
    /// differences and like the absolute error for large ones.
    ///
    /// Source: Huber 1964, doi:10.1214/aoms/1177703732.
    Huber {
        /// The difference `δ` at which the parabola becomes a line, above 0, in the unit of the targets.
        delta: f64,
    },
    /// Squared error of logarithms: `l = (ln(1 + output) − ln(1 + target))²`. Shapes are those of
    /// [`Loss::MeanSquared`].
    ///
    /// The network ends in an activation that is 0 or more, such as ReLU or softplus.
    ///
    /// Use it for targets that are 0 or more and differ by orders of magnitude, such as prices, where a ratio
    /// matters rather than a difference. Do not use it for targets that may be negative: their logarithm does
    /// not exist, and with `clip` all of them count as 0, so the network cannot learn them.
    MeanSquaredLogarithmic {
        /// Whether outputs and targets below `10⁻⁷` count as `10⁻⁷`, as in Keras; the gradient of such an
        /// output is 0. Otherwise a number below 0 is an error.
        clip: bool,
    },
    /// Log-cosh loss: `l = ln cosh(output − target)`, which is about `d² / 2` for small differences and
    /// `|d| − ln 2` for large ones. Shapes and the end of the network are those of [`Loss::MeanSquared`].
    ///
    /// Use it like [`Loss::Huber`] with `δ = 1`, where a smooth second derivative is wanted. It has no
    /// parameter for the scale, so standardize the targets.
    ///
    /// Source: Saleh and Saleh 2022, arXiv:2208.04564.
    LogCosh,
    /// Hinge loss: `l = max(0, 1 − y m)` of the output `m`, with `y = 1` for class 1 and `−1` for class 0.
    ///
    /// The network ends in one unit with tanh, and its output is [`Output::Margins`]; the sign of the output
    /// is the class. Outputs are `(B, 1)` or `(B,)`, and targets `(B,)` labels of type `u32`, 0 or 1. In a
    /// task of values, targets are 1 or −1 in the shape of the outputs, and any output is allowed.
    ///
    /// Use it for two classes where only the class matters. The outputs are no calibrated probabilities: for
    /// these, and for the accuracy in most cases, [`Loss::BinaryCrossEntropy`] is as good or slightly better.
    ///
    /// Source: Cortes and Vapnik 1995, doi:10.1007/BF00994018.
    Hinge,
    /// Squared hinge loss: `l = max(0, 1 − y m)²`. Everything else is as for [`Loss::Hinge`]. It has a
    /// continuous derivative, and large violations of the margin count for more.
    SquaredHinge,
    /// Kullback–Leibler divergence of the predicted distribution from the true one:
    /// `l = Σ_c y_c (ln y_c − ln softmax(z)_c)`, where a class with `y_c = 0` adds 0.
    ///
    /// Outputs are `(B, C)` logits with `C` at least 2; the network ends in a linear layer without
    /// activation, because the loss includes the softmax. Targets are `(B, C)` probabilities, each row with
    /// the sum 1, in a task of values, or `(B,)` labels of type `u32`. In a task of values the predictions
    /// are the outputs of the network, which here are logits.
    ///
    /// Use it where the targets are distributions: shares of annotators' votes, or the predictions of another
    /// model. For labels it equals [`Loss::CrossEntropy`] and gains nothing.
    ///
    /// Source: Kullback and Leibler 1951, doi:10.1214/aoms/1177729694.
    KlDivergence,
    /// Negative log-likelihood of counts with a Poisson distribution, without the part that does not depend
    /// on the output: `l = p − y ln(p + 10⁻⁷)` of a rate `p`, or `l = eᶻ − y z` of the logarithm `z` of a
    /// rate. Shapes are those of [`Loss::MeanSquared`].
    ///
    /// With rates the network ends in an activation that is 0 or more, such as softplus, and an output below
    /// 0 is an error. With log-rates it ends in a linear layer without activation, and the predictions are
    /// logarithms. Targets are 0 or more.
    ///
    /// Use it for counts, whose variance grows with their mean. Log-rates have a gradient everywhere; rates
    /// from ReLU have none where the rate is 0.
    Poisson {
        /// Whether the network outputs the logarithm of the rate.
        log_rate: bool,
    },
    /// One minus the cosine between the outputs and the targets of a row: `l = 1 − x·y / (‖x‖ ‖y‖)`, where a
    /// vector shorter than `10⁻⁸` counts as that long.
    ///
    /// Outputs and targets are `(B, K)` with `K` at least 2. The network ends in a linear layer without
    /// activation.
    ///
    /// Use it to predict directions, such as embeddings. The length of the output is not trained, so the
    /// squared error of the predictions means nothing.
    CosineSimilarity,
    /// Negative log-likelihood of a Gaussian: `l = ½ ln(2π v) + (m − y)² / (2 v)` with the variance
    /// `v = ln(1 + eᵗ) + 10⁻⁶`, in nats.
    ///
    /// Outputs are `(B, 2 K)` for targets `(B, K)`: the means `m`, then the raw variances `t`, which are
    /// [`Output::Gaussian`]. The network ends in a linear layer without activation. `l` is the mean over the `K` values.
    ///
    /// Use it where the noise differs from row to row and it matters how sure a prediction is. Standardize the targets:
    /// at the start all variances are near 0.7. Rows that the network finds noisy count less for the means, so the means
    /// alone can be worse than those of [`Loss::MeanSquared`]; outliers are better served by [`Loss::StudentTNll`].
    ///
    /// Source: Nix and Weigend 1994, doi:10.1109/ICNN.1994.374138. Lakshminarayanan et al. 2017, arXiv:1612.01474.
    GaussianNll,
    /// Negative log-likelihood of a Laplace distribution: `l = ln(2 s) + |m − y| / s` with the scale
    /// `s = ln(1 + eᵗ) + 10⁻⁶`, and derivative 0 of `|m − y|` at 0. Outputs are as for [`Loss::GaussianNll`], of the kind
    /// [`Output::Laplace`].
    ///
    /// Use it like [`Loss::MeanAbsolute`], for predictions of medians, where the size of the errors differs from row to
    /// row.
    LaplaceNll,
    /// Negative log-likelihood of Student's t distribution with `ν` degrees of freedom:
    /// `l = ln s + ½ (ν + 1) ln(1 + ((m − y) / s)² / ν) + c` with the scale `s = ln(1 + eᵗ) + 10⁻⁶` and the constant that
    /// makes it a density. Outputs are as for [`Loss::GaussianNll`], of the kind [`Output::StudentT`].
    ///
    /// Use it in place of [`Loss::GaussianNll`] where there are outliers: an error far beyond the scale has a small effect.
    ///
    /// Source: Lange, Little and Taylor 1989, doi:10.1080/01621459.1989.10478852.
    StudentTNll {
        /// The degrees of freedom `ν`, above 2; 5 is usual, and a Gaussian has infinitely many.
        degrees_of_freedom: f64,
    },
    /// Negative log-likelihood of a mixture of `J` Gaussians: `l = −ln Σ_j softmax(a)_j N(y; m_j, v_j)` with the variances
    /// `v = ln(1 + eᵗ) + 10⁻⁶`.
    ///
    /// Outputs are `(B, 3 J K)` for targets `(B, K)`, of the kind [`Output::GaussianMixture`]: all logits `a`, then all
    /// means, then all raw variances, each with the `J` numbers of the first target first.
    ///
    /// Use it where the same inputs go with several values, as in inverse problems. Do not use it where one peak is
    /// enough: components without rows stay where they began, and a component on a single row has a likelihood without
    /// bound, which the lower bound of the variances limits.
    ///
    /// Source: Bishop 1994, Mixture density networks, Aston University NCRG/94/004.
    GaussianMixtureNll {
        /// The number of components `J`, at least 1.
        components: usize,
    },
    /// Pinball loss of quantiles: `l = max(p e, (p − 1) e)` of the excess `e = y − q` of the target over the quantile of
    /// level `p`, with derivative 0 at `e = 0`. `l` is the mean over values and levels.
    ///
    /// Outputs are `(B, K Q)` for targets `(B, K)` and `Q` levels, of the kind [`Output::Quantiles`]: the `Q` quantiles of
    /// the first target first. One level also goes with plain values `(B, K)`, and their predictions are then the
    /// quantiles. The network ends in a linear layer without activation.
    ///
    /// Use it for intervals without an assumption on their distribution, and where one direction of error costs more than
    /// the other. Quantiles of several levels may cross.
    ///
    /// Source: Koenker and Bassett 1978, doi:10.2307/1913643.
    Pinball {
        /// The levels of the quantiles.
        levels: Levels,
    },
    /// Focal loss of classes: `l = −(1 − p)^γ ln p`, where `p` is the probability of the label: the softmax of
    /// `(B, C)` logits, or the sigmoid of `(B, 1)` or `(B,)` logits of class 1 of two. Targets are `(B,)` labels of
    /// type `u32`.
    ///
    /// The network ends in a linear layer without activation. With `γ = 0` it is the cross-entropy, to the bit.
    ///
    /// Use it where most rows are easy and the rare ones matter, as in detection; `γ = 2` is usual. The `α` of the
    /// paper, which balances the classes, is
    /// [`Trainer::class_weights`](crate::train::Trainer::class_weights). Do not use it where the probabilities
    /// themselves are needed: its minimum is not at the true ones, and networks become less certain.
    ///
    /// Source: Lin et al. 2017, arXiv:1708.02002.
    Focal {
        /// The exponent `γ`, 0 or more.
        gamma: f64,
    },
    /// Cross-entropies of classes with an order: `l = Σ_k softplus(z_k) − [y > k] z_k` over the classes `k` but the last,
    /// with the logits `z_k` of `P(y > k)` and `softplus(z) = ln(1 + e^z)`.
    ///
    /// Outputs are `(B, C − 1)` logits of the kind [`Output::CumulativeLogits`], whose documentation has a network of the
    /// paper. Targets are `(B,)` labels of type `u32` in the order of the classes.
    ///
    /// Use it for grades, stages and ages in bands, where a near miss is better than a far one. It is not the likelihood of
    /// the classes: where their probabilities matter most, use [`Loss::Corn`], or [`Loss::CrossEntropy`], which does not
    /// need the order.
    ///
    /// Source: Cao, Mirjalili and Raschka 2020, arXiv:1901.07884.
    Coral,
    /// Negative log-likelihood of classes with an order: `l = Σ_{k ≤ y} softplus(z_k) − [y > k] z_k` over the classes `k` but
    /// the last, with the logits `z_k` of `P(y > k | y ≥ k)`. A row counts for the classes that its label has reached.
    ///
    /// Outputs are `(B, C − 1)` logits of the kind [`Output::ConditionalLogits`]; the network ends in a linear layer without
    /// activation. Targets are `(B,)` labels of type `u32` in the order of the classes. The loss of a batch is the mean over
    /// its rows; the paper divides by the number of logits that count.
    ///
    /// Use it like [`Loss::Coral`], without a constraint on the last layer.
    ///
    /// Source: Shi, Cao and Raschka 2021, arXiv:2111.08851.
    Corn,
}

/// Calls the methods of [`LossFunction`] for every variant. A new loss is a file, a variant and a line here.
macro_rules! losses {
    ($($module:ident::$loss:ident { $($field:ident),* };)+) => {
        impl Loss {
            fn check_parameters(self) -> Result<()> {
                match self {
                    $(Self::$loss { $($field),* } => $module::$loss { $($field),* }.check(),)+
                }
            }

            fn misfit(self, task: Task, output: Output) -> Option<&'static str> {
                match self {
                    $(Self::$loss { $($field),* } => $module::$loss { $($field),* }.misfit(task, output),)+
                }
            }

            fn target_fault(self, row: &[f64]) -> Option<Fault> {
                match self {
                    $(Self::$loss { $($field),* } => $module::$loss { $($field),* }.target_fault(row),)+
                }
            }

            fn output_fault(self, row: &[f64]) -> Option<Fault> {
                match self {
                    $(Self::$loss { $($field),* } => $module::$loss { $($field),* }.output_fault(row),)+
                }
            }

            fn fused<T: Real>(self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
                match self {
                    $(Self::$loss { $($field),* } => $module::$loss { $($field),* }.fused(batch),)+
                }
            }

            fn composed(self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
                match self {
                    $(Self::$loss { $($field),* } => {
                        $module::$loss { $($field),* }.composed(output, targets)
                    })+
                }
            }

            fn entries() -> Vec<Entry<Self>> {
                vec![$($module::$loss::entry()),+]
            }
        }
    };
}

losses! {
    cross_entropy::CrossEntropy { smoothing };
    binary_cross_entropy::BinaryCrossEntropy {};
    mean_squared::MeanSquared {};
    mean_absolute::MeanAbsolute {};
    huber::Huber { delta };
    mean_squared_logarithmic::MeanSquaredLogarithmic { clip };
    log_cosh::LogCosh {};
    hinge::Hinge {};
    squared_hinge::SquaredHinge {};
    kl_divergence::KlDivergence {};
    poisson::Poisson { log_rate };
    cosine_similarity::CosineSimilarity {};
    gaussian_nll::GaussianNll {};
    laplace_nll::LaplaceNll {};
    student_t_nll::StudentTNll { degrees_of_freedom };
    gaussian_mixture_nll::GaussianMixtureNll { components };
    pinball::Pinball { levels };
    focal::Focal { gamma };
    coral::Coral {};
    corn::Corn {};
}

impl Loss {
    /// The losses by name, with their parameters.
    ///
    /// ```
    /// use candle_ensemble::train::Loss;
    ///
    /// assert_eq!(Loss::registry().parse("huber:0.5")?, Loss::Huber { delta: 0.5 });
    /// assert_eq!(Loss::registry().parse("msle:clip=false")?, Loss::MeanSquaredLogarithmic { clip: false });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<Loss>> = LazyLock::new(|| Registry::new("loss", Loss::entries()));
        &REGISTRY
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.check_parameters()
    }

    /// The mean loss of a batch, as a scalar of the type of the outputs (`f32` for half precision): `Σ l /
    /// B`, or with weights `(B,)` `Σ w l / Σ w`. If all weights are 0, the mean is 0.
    ///
    /// Gradients flow into the outputs, and not into targets and weights.
    ///
    /// # Errors
    /// When a parameter is out of range, the batch is empty, shapes do not match, labels are not of type
    /// `u32` or out of range, weights are negative or not finite, or the loss is not defined for an output or
    /// a target below 0. Outputs or targets that are not finite
    /// are not an error: the result is then not finite either.
    pub fn mean(&self, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
        self.check()?;
        let rows = output.dims().first().copied().unwrap_or(0);
        if rows == 0 {
            return Err(invalid("the output", "a batch of at least one row", output));
        }
        let weights = weights.map(|w| normalized(w, rows)).transpose()?;
        match (output.device().is_cpu(), output.dtype()) {
            (true, DType::F32) => self.fused_mean::<f32>(output, targets, weights.as_deref()),
            (true, DType::F64) => self.fused_mean::<f64>(output, targets, weights.as_deref()),
            _ => self.composed_mean(output, targets, weights),
        }
    }

    fn fused_mean<T: Real>(
        self,
        output: &Tensor,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> CResult<Tensor> {
        let output = output.contiguous()?;
        let rows = output.dim(0)?;
        let evaluated = cpu::with_slice(&output, |x: &[T]| {
            self.fused(&FusedBatch { output: &output, x, targets, weights, rows })
        })??;
        apply_op1(&output, evaluated)
    }

    /// The mean of the losses of the rows; in `f32` for half precision.
    fn composed_mean(self, output: &Tensor, targets: &Tensor, weights: Option<Vec<f64>>) -> CResult<Tensor> {
        let output = match output.dtype() {
            DType::F16 | DType::BF16 => output.to_dtype(DType::F32)?,
            _ => output.clone(),
        };
        shared(&self.composed(&output, targets)?, weights)
    }
}

/// The mean of the losses `(B,)` of the rows, by the weights of the rows: `Σ w l / Σ w`, or 0 if all weights are 0.
///
/// # Errors
/// When the weights have another shape, or one is negative or not finite.
pub(crate) fn mean_of_rows(losses: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
    let rows = losses.dim(0)?;
    shared(losses, weights.map(|w| normalized(w, rows)).transpose()?)
}

/// The sum of the losses of the rows times their shares; their mean without shares.
fn shared(each_row: &Tensor, shares: Option<Vec<f64>>) -> CResult<Tensor> {
    match shares {
        None => each_row.mean_all(),
        Some(w) => {
            let w = Tensor::new(w, each_row.device())?.to_dtype(each_row.dtype())?;
            (each_row * w)?.sum_all()
        }
    }
}

#[cfg(test)]
mod likelihood_tests;
#[cfg(test)]
mod ordinal_tests;
#[cfg(test)]
mod tests;
