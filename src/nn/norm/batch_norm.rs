//! Batch normalization.
use crate::{
    check::{positive, require},
    kernels::normalize::{Dims, Sets},
    nn::{
        frozen::is_frozen,
        norm::op::{Layer, Measured},
        stack,
        then::{Then, WithThen},
        Activation,
    },
    weights::batch_norm::is_measuring,
    Error,
};
use candle_core::{DType, Device, ModuleT, Result, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

/// Which framework's meaning the momentum and the variance of a [`BatchNorm`] have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BatchNormConvention {
    /// `running ← (1 − m) · running + m · batch`, with the variance divided by `n − 1`. A batch with one
    /// value for each channel is refused in training.
    Torch,
    /// `moving ← m · moving + (1 − m) · batch`, with the variance divided by `n`. A batch with one value for
    /// each channel has variance 0.
    Keras,
}

/// The parameters of a [`BatchNorm`].
///
/// [`torch`](Self::torch) and [`keras`](Self::keras) are the defaults of PyTorch and of Keras. A momentum of
/// 0.1 in PyTorch and one of 0.9 in Keras mean the same; the two defaults do not.
///
/// ```
/// use candle_ensemble::nn::{BatchNormConfig, BatchNormConvention};
///
/// let config = BatchNormConfig::keras().momentum(0.9);
/// assert_eq!((config.momentum, config.eps, config.convention), (0.9, 1e-3, BatchNormConvention::Keras));
/// assert_eq!((BatchNormConfig::default().momentum, BatchNormConfig::default().eps), (0.1, 1e-5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchNormConfig {
    /// The momentum of the running statistics, in the meaning of the convention.
    pub momentum: f64,
    /// What is added to the variance, above 0.
    pub eps: f64,
    /// Whether there are weights and biases.
    pub affine: bool,
    /// Whether the mean is removed. If not, elements are divided by the root of their mean square.
    #[serde(default = "yes")]
    pub remove_mean: bool,
    /// What the momentum means, and which variance is kept.
    pub convention: BatchNormConvention,
}

fn yes() -> bool {
    true
}

impl BatchNormConfig {
    /// PyTorch's defaults: momentum 0.1, ε 1e-5.
    #[must_use]
    pub fn torch() -> Self {
        let convention = BatchNormConvention::Torch;
        Self { momentum: 0.1, eps: 1e-5, affine: true, remove_mean: true, convention }
    }

    /// Keras' defaults: momentum 0.99, ε 1e-3.
    #[must_use]
    pub fn keras() -> Self {
        let convention = BatchNormConvention::Keras;
        Self { momentum: 0.99, eps: 1e-3, affine: true, remove_mean: true, convention }
    }

    /// Sets the momentum: above 0 and at most 1 in PyTorch's meaning, from 0 to less than 1 in Keras'.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// Sets whether there are weights and biases.
    #[must_use]
    pub fn affine(self, affine: bool) -> Self {
        Self { affine, ..self }
    }

    /// Sets whether the mean is removed.
    #[must_use]
    pub fn remove_mean(self, remove_mean: bool) -> Self {
        Self { remove_mean, ..self }
    }

    /// The share of the batch in the running statistics.
    fn share_of_batch(self) -> f64 {
        match self.convention {
            BatchNormConvention::Torch => self.momentum,
            BatchNormConvention::Keras => 1. - self.momentum,
        }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn check(&self) -> crate::Result<()> {
        positive("BatchNormConfig::eps", self.eps)?;
        let must = match self.convention {
            BatchNormConvention::Torch => "above 0 and at most 1 (the share of the batch, as in PyTorch)",
            BatchNormConvention::Keras => "from 0 to less than 1 (the share of the old value, as in Keras)",
        };
        let share = self.share_of_batch();
        require(share > 0. && share <= 1., "BatchNormConfig::momentum", must, self.momentum)
    }
}

/// [`torch`](Self::torch), which is also candle's default.
impl Default for BatchNormConfig {
    fn default() -> Self {
        Self::torch()
    }
}

/// [`torch`](BatchNormConfig::torch) with this `ε`.
impl From<f64> for BatchNormConfig {
    fn from(eps: f64) -> Self {
        Self::torch().eps(eps)
    }
}

/// candle's parameters, whose momentum is PyTorch's.
impl From<candle_nn::BatchNormConfig> for BatchNormConfig {
    fn from(config: candle_nn::BatchNormConfig) -> Self {
        let candle_nn::BatchNormConfig { eps, remove_mean, affine, momentum } = config;
        Self { momentum, eps, affine, remove_mean, convention: BatchNormConvention::Torch }
    }
}

/// Batch normalization: each channel gets mean 0 and variance 1 over the batch, and then a learned scale and
/// shift. In evaluation it uses running statistics of the batches in training.
///
/// ```text
/// y = (x − μ) / √(σ² + ε) · weight + bias
/// ```
///
/// `μ` and `σ²` (divided by `n`) are those of the batch in training and running statistics in evaluation.
/// Inputs have the shape `(B, C)`, `(B, C, L)` or `(B, C, H, W)`, with any further dimensions, and any
/// floating-point type; outputs have the same. Half precision is computed in f32.
///
/// It replaces candle's [`BatchNorm`](candle_nn::BatchNorm): [`batch_norm`] takes the arguments of candle's function
/// and makes its variables, `weight`, `bias`, `running_mean` and `running_var`. So checkpoints, merges and the
/// [re-estimation](crate::merge::re_estimate()) of the statistics work with either layer. It differs from candle's
/// layer in four points: it is one operation instead of about twenty, also with an [`Activation`] behind it in
/// [`seq`](crate::nn::seq()) or by [`forward_then`](Self::forward_then); it takes Keras' parameters, too; in half
/// precision the weights stay exact in the product; and it refuses a batch that has no variance, from which candle's
/// layer makes NaN.
///
/// Use it in deep networks that are slow to train, with batches of 16 rows or more. With smaller batches use
/// [`GroupNorm`](crate::nn::GroupNorm) or [`LayerNorm`](crate::nn::LayerNorm). It does not always help: in a
/// network with one hidden layer on a noisy two-dimensional problem, the accuracy did not change with the
/// layer after the activation (the log-loss fell a little), and fell by 2 points with the layer before it,
/// where the source places it. Place it where it helps, by the order of layers in [`seq`](crate::nn::seq()).
///
/// Where a training freezes the running statistics ([`Freeze`](crate::train::Freeze)), the layer normalizes by them in
/// training too, as in Keras.
///
/// Cost: two passes over the inputs forwards and two backwards, little beside a matrix product.
///
/// # Errors
/// The forward pass fails for inputs with another number of channels. In training it fails for a batch with
/// one value for each channel, unless the convention is Keras'. The trainer avoids such a last batch by
/// itself; see [`LastBatch`](crate::data::LastBatch).
///
/// # Source
/// Ioffe and Szegedy 2015, arXiv:1502.03167.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{seq, BatchNorm, BatchNormConfig}, weights::fresh};
/// use candle_nn::{linear, Activation, ModuleT, VarBuilder};
///
/// let mlp = |vb: VarBuilder| {
///     let hidden = seq().add(linear(2, 16, vb.pp(0))?).add(Activation::Relu);
///     let norm = BatchNorm::new(16, BatchNormConfig::keras(), vb.pp("norm"))?;
///     Ok::<_, candle_core::Error>(hidden.add(norm).add(linear(16, 1, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let network = mlp(vb)?;
/// let x = Tensor::new(&[[0f32, 1.], [2., 3.], [5., 8.]], &Device::Cpu)?;
/// network.forward_t(&x, true)?;
/// assert!(vars.snapshot()?["norm.running_mean"].to_vec1::<f32>()?.iter().any(|mean| *mean > 0.));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    config: BatchNormConfig,
    affine: Option<(Tensor, Tensor)>,
    running_mean: Var,
    running_var: Var,
    /// Whether the trainer keeps the running statistics, by which the layer then normalizes in training too.
    frozen: bool,
}

/// A [`BatchNorm`] with the arguments and the variables of candle's [`batch_norm`](candle_nn::batch_norm()), so that a
/// model changes its `use` line only.
///
/// `config` is `ε`, candle's [`BatchNormConfig`](candle_nn::BatchNormConfig) or the [`BatchNormConfig`] of this crate.
///
/// # Errors
/// When a parameter is out of range, or the `VarBuilder` has other variables of these names.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::batch_norm, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// assert_eq!(batch_norm(16, 1e-5, vb.pp("norm"))?.momentum(), 0.1);
/// let names = ["norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"];
/// assert_eq!(vars.snapshot()?.keys().collect::<Vec<_>>(), names);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn batch_norm<C: Into<BatchNormConfig>>(
    channels: usize,
    config: C,
    vb: VarBuilder<'_>,
) -> Result<BatchNorm> {
    BatchNorm::new(channels, config.into(), vb)
}

impl BatchNorm {
    /// A layer for `channels` channels. Each layer needs a name of its own, such as `vb.pp("norm")`.
    ///
    /// # Errors
    /// When a parameter is out of range, or the `VarBuilder` has other variables of these names.
    pub fn new(channels: usize, config: BatchNormConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let frozen = is_frozen(&vb, "running_mean") && is_frozen(&vb, "running_var");
        let variable = |name, value| vb.get_with_hints(channels, name, Init::Const(value));
        let (mean, var) = (variable("running_mean", 0.)?, variable("running_var", 1.)?);
        let affine = match config.affine {
            true => Some((variable("weight", 1.)?, variable("bias", 0.)?)),
            false => None,
        };
        let (running_mean, running_var) = (Var::from_tensor(&mean)?, Var::from_tensor(&var)?);
        Ok(Self { config, affine, running_mean, running_var, frozen })
    }

    /// A layer with these variables, each with one element for each channel, in any shape. It is `frozen` if it normalizes
    /// by its running statistics in training too.
    pub(in crate::nn) fn of_variables(
        config: BatchNormConfig,
        affine: Option<(Tensor, Tensor)>,
        [mean, var]: [&Tensor; 2],
        frozen: bool,
    ) -> Result<Self> {
        config.check()?;
        let (running_mean, running_var) = (Var::from_tensor(mean)?, Var::from_tensor(var)?);
        Ok(Self { config, affine, running_mean, running_var, frozen })
    }

    /// The parameters.
    #[must_use]
    pub fn config(&self) -> BatchNormConfig {
        self.config
    }

    /// The running means of the channels, `(channels,)`.
    #[must_use]
    pub fn running_mean(&self) -> &Tensor {
        self.running_mean.as_tensor()
    }

    /// The running variances of the channels, `(channels,)`.
    #[must_use]
    pub fn running_var(&self) -> &Tensor {
        self.running_var.as_tensor()
    }

    /// What is added to the variance.
    #[must_use]
    pub fn eps(&self) -> f64 {
        self.config.eps
    }

    /// The momentum of the running statistics, in the meaning of the convention.
    #[must_use]
    pub fn momentum(&self) -> f64 {
        self.config.momentum
    }

    /// The scale and the shift of each channel, `(channels,)`.
    #[must_use]
    pub fn weight_and_bias(&self) -> Option<(&Tensor, &Tensor)> {
        self.affine.as_ref().map(|(weight, bias)| (weight, bias))
    }

    /// The forward pass in training.
    ///
    /// # Errors
    /// As for the forward pass.
    pub fn forward_train(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, true)
    }

    /// The activation of the outputs, as one operation where that is possible.
    ///
    /// The result is that of the two layers one after the other, to the bit. It saves the memory of the inputs of the
    /// activation and two passes over them.
    ///
    /// # Errors
    /// As for the forward passes of the two layers.
    pub fn forward_then(&self, activation: Activation, x: &Tensor, train: bool) -> Result<Tensor> {
        self.activated(activation, x, train)
    }

    /// Moves the running statistics towards those of a batch with `n` values for each channel.
    fn update(&self, batch: &Measured, n: usize) -> Result<()> {
        match (stack::members(&self.running_mean)?, stack::members(&self.running_var)?) {
            (Some(means), Some(vars)) => {
                let mut each = means.iter().zip(&vars).enumerate();
                each.try_for_each(|(member, of)| self.update_one(of, &batch.part(member), n))
            }
            _ => self.update_one((&self.running_mean, &self.running_var), batch, n),
        }
    }

    /// The same for these variables.
    fn update_one(&self, (mean, var): (&Var, &Var), batch: &Measured, n: usize) -> Result<()> {
        // Re-estimation joins the statistics of several batches and expects unbiased variances.
        let unbiased = self.config.convention == BatchNormConvention::Torch || is_measuring();
        let factor = if unbiased && n > 1 { n as f64 / (n - 1) as f64 } else { 1. };
        let share = self.config.share_of_batch();
        let mean = self.config.remove_mean.then_some((mean, &batch.means, 1.));
        for (var, values, factor) in mean.into_iter().chain([(var, &batch.variances, factor)]) {
            let old = numbers(var)?;
            let new = old.iter().zip(values).map(|(old, x)| (1. - share) * old + share * factor * x);
            let new = Tensor::from_iter(new, &Device::Cpu)?.to_dtype(var.dtype())?;
            var.set(&new.reshape(var.shape())?.to_device(var.device())?)?;
        }
        Ok(())
    }

    /// The running statistics; those of each member, one after the other, in a pass for several members.
    fn running(&self) -> Result<Measured> {
        let all = |var: &Var| match stack::members(var)? {
            Some(vars) => Ok(vars.iter().map(numbers).collect::<Result<Vec<_>>>()?.concat()),
            None => numbers(var),
        };
        Ok(Measured { means: all(&self.running_mean)?, variances: all(&self.running_var)? })
    }
}

fn numbers(var: &Var) -> Result<Vec<f64>> {
    var.as_detached_tensor().to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_with(Then::Nothing, x, train)
    }
}

impl WithThen for BatchNorm {
    fn forward_with(&self, then: Then, x: &Tensor, train: bool) -> Result<Tensor> {
        let channels = self.running_mean.elem_count();
        let (outer, inner) = match x.dims() {
            [outer, found, inner @ ..] if *found == channels => (*outer, inner.iter().product::<usize>()),
            dims => {
                let must = format!("(rows, {channels}, …)");
                let got = format!("{dims:?}");
                return Err(Error::invalid("the shape of the inputs of BatchNorm", must, got).into());
            }
        };
        let (n, train) = (stack::rows_of_each(outer)? * inner, train && !self.frozen);
        if train && n < 2 && self.config.convention == BatchNormConvention::Torch {
            let must =
                "at least 2, because one value has no variance (train with batches of at least 2 rows, \
                        see Trainer::batch_size and Trainer::last_batch, or use BatchNormConfig::keras, \
                        LayerNorm or GroupNorm)";
            let what = "the number of values of a channel in a training batch of BatchNorm";
            return Err(Error::invalid(what, must, n).into());
        }
        if x.elem_count() == 0 {
            return Ok(x.clone());
        }
        let (weight, bias) = self.weight_and_bias().unzip();
        let (dims, sets) = (Dims { outer, channels, inner }, Sets::Channels);
        let BatchNormConfig { eps, remove_mean: center, .. } = self.config;
        let layer = Layer { dims, sets, eps, center, weight, bias, then };
        if !train {
            return layer.normalize_by(x, self.running()?);
        }
        let (y, measured) = layer.normalize(x)?;
        self.update(&measured, n)?;
        Ok(y)
    }
}
