//! From the output of a network to predictions. Predictions are f32, or f64 where the network outputs f64:
//! eight or eleven bits are too few for the sum of a thousand probabilities.
use crate::{
    data::{Positions, Task},
    distribution::{Family, Levels},
    network::positions::Layout,
    Error,
};
use candle_core::{DType, Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// What networks output: for classes, and for values whose distribution is predicted. Networks for plain values output
/// the values, and the kind has no effect on them.
///
/// For distributions of `K` values a network outputs several numbers for each value, in a linear layer without activation.
/// The scale is positive, because it is `softplus(t) + 10⁻⁶` of a raw output `t`, with `softplus(t) = ln(1 + eᵗ)`. So no
/// variance is below `10⁻⁶`, and networks learn best where targets are near 0 and 1 in size: let the trainer scale others
/// ([`Trainer::target_scaling`](crate::train::Trainer::target_scaling)); the distributions are in the targets' own unit.
///
/// | Kind | Shape | Columns |
/// |---|---|---|
/// | [`Gaussian`](Self::Gaussian) | `(B, 2 K)` | `K` means, `K` raw variances |
/// | [`Laplace`](Self::Laplace) | `(B, 2 K)` | `K` locations, `K` raw scales |
/// | [`StudentT`](Self::StudentT) | `(B, 2 K)` | `K` locations, `K` raw scales |
/// | [`GaussianMixture`](Self::GaussianMixture) | `(B, 3 J K)` | `J K` logits, `J K` means, `J K` raw variances, those of the first value first |
/// | [`Quantiles`](Self::Quantiles) | `(B, K Q)` | `Q` quantiles of the first value, then of the second |
///
/// The prediction of a distribution is its mean, so combiners, metrics and held-out predictions are those of
/// values. [`Ensemble::predict_distribution`](crate::Ensemble::predict_distribution) and
/// [`Pool::distributions`](crate::Pool::distributions) return the distributions. The loss is the negative log-likelihood or
/// the pinball loss, unless another one is set ([`Loss::default_for`](crate::train::Loss::default_for)).
///
/// For `C` classes with an order, such as grades, a network outputs `C − 1` logits
/// ([`CumulativeLogits`](Self::CumulativeLogits), [`ConditionalLogits`](Self::ConditionalLogits)). Predictions are
/// probabilities of the classes as for other networks.
///
/// ```
/// use candle_ensemble::train::{CustomLoop, Output};
///
/// let learner = CustomLoop::new("idle", |vb| candle_nn::linear(2, 3, vb), |_, _| Ok(())).output(Output::Logits);
/// ```
///
/// A network that predicts mean and variance:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Scaling, distribution::Score, prelude::*, train::Output};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)) // two numbers for each value
///     .output(Output::Gaussian)
///     .target_scaling(Scaling::Standardize)
///     .epochs(5);
/// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(5), 42)?.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [20, 1]);
///
/// let distribution = ensemble.predict_distribution(&x)?;
/// assert_eq!(distribution.variance()?.dims(), [20, 1]);
/// println!("NLL {}", distribution.score(Score::Nll, &x.sum(1)?, None)?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Output {
    /// Logits `(B, C)`, or one logit `(B,)` or `(B, 1)` of class 1 for two classes. Log-probabilities are
    /// valid logits.
    #[default]
    Logits,
    /// Probabilities `(B, C)`: the network ends in a softmax. For two classes also one probability of class 1, `(B,)` or
    /// `(B, 1)`, and for several labels one for each, `(B, L)`: the network ends in a sigmoid.
    ///
    /// For networks that are trained already, or by a loss of your own: the losses of the library take logits.
    Probabilities,
    /// One margin `m` from −1 to 1, `(B,)` or `(B, 1)`, for two classes: the network ends in one unit with
    /// tanh. Its sign is the class, 1 where it is positive, and `(1 + m) / 2` counts as the probability of
    /// class 1. [`Loss::Hinge`](crate::train::Loss::Hinge) trains such networks. The probabilities order the
    /// rows, but they are not calibrated. A margin beyond the range counts as its bound.
    Margins,
    /// Mean and raw variance of a Gaussian for each value; see the table above.
    ///
    /// Source: Lakshminarayanan et al. 2017, arXiv:1612.01474.
    Gaussian,
    /// Location and raw scale of a Laplace distribution for each value.
    Laplace,
    /// Location and raw scale of Student's t distribution for each value.
    StudentT {
        /// The degrees of freedom, above 2.
        degrees_of_freedom: f64,
    },
    /// A mixture of Gaussians for each value. Its components belong to the value alone, so the values of a row are
    /// independent.
    ///
    /// Source: Bishop 1994, Mixture density networks, Aston University NCRG/94/004.
    GaussianMixture {
        /// The number of components `J`, at least 1.
        components: usize,
    },
    /// Quantiles of each value. The distribution is that of [`Mixture::of_quantiles`]: its quantile function is linear
    /// between the levels and constant beyond them, and its mean is the prediction.
    ///
    /// [`Mixture::of_quantiles`]: crate::distribution::Mixture::of_quantiles
    Quantiles {
        /// The levels of the quantiles.
        levels: Levels,
    },
    /// Classes with an order: the logits `(B, C − 1)` of `P(y > k)`, one for each class `k` but the last. With
    /// [`Loss::Coral`](crate::train::Loss::Coral) and one score for all of them, to which each adds a bias of its own, they
    /// are CORAL, a proportional-odds model. Logits that do not fall from class to class are put into that order, so that
    /// no probability is negative.
    ///
    /// ```
    /// use candle_ensemble::{nn, train::{Output, Trainer}};
    ///
    /// // Five grades: a score, and four biases.
    /// let trainer = Trainer::new(|vb| {
    ///     let (score, bias) = (nn::linear_no_bias(8, 1, vb.pp("score"))?, vb.get(4, "bias")?);
    ///     Ok(nn::seq().add(score).add_fn(move |score| score.broadcast_add(&bias)))
    /// });
    /// let trainer = trainer.output(Output::CumulativeLogits);
    /// ```
    ///
    /// Source: McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x; Cao, Mirjalili and Raschka 2020, arXiv:1901.07884.
    CumulativeLogits,
    /// Classes with an order: the logits `(B, C − 1)` of `P(y > k | y ≥ k)`, one for each class `k` but the last, whose
    /// products are probabilities whatever the logits are. [`Loss::Corn`](crate::train::Loss::Corn) trains such networks,
    /// which end in a linear layer of `C − 1` units.
    ///
    /// Source: Shi, Cao and Raschka 2021, arXiv:2111.08851.
    ConditionalLogits,
}

/// The scale on which the predictions of members are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Probabilities for classes; values for regression.
    Probability,
    /// Log-probabilities, for classes only.
    LogProbability,
}

impl Output {
    /// The predictions of one network at all positions of its rows, `(B · P, C)` on `scale`.
    pub(crate) fn prediction_at(
        self,
        output: &Tensor,
        (task, positions): (Task, Positions),
        scale: Scale,
    ) -> Result<Tensor> {
        match positions {
            Positions::One => self.prediction(output, task, scale),
            _ => {
                let flat = Layout::of(output.dims(), task, positions)?.flatten(output)?;
                self.prediction(&flat, task, scale)
            }
        }
    }

    /// Whether it is a distribution of values.
    #[must_use]
    pub fn is_distribution(self) -> bool {
        !matches!(self, Self::Logits | Self::Probabilities | Self::Margins) && !self.is_ordinal()
    }

    /// How many numbers the network outputs for each value.
    #[must_use]
    pub fn numbers_per_value(self) -> usize {
        match self {
            Self::Logits
            | Self::Probabilities
            | Self::Margins
            | Self::CumulativeLogits
            | Self::ConditionalLogits => 1,
            Self::Gaussian | Self::Laplace | Self::StudentT { .. } => 2,
            Self::GaussianMixture { components } => components.saturating_mul(3),
            Self::Quantiles { levels } => levels.as_slice().len(),
        }
    }

    /// Checks the parameters of the kind, and that it goes with the task.
    ///
    /// # Errors
    /// [`Error::Invalid`] when degrees of freedom or the number of components are out of range, and for a distribution of
    /// values where the task is classification.
    pub fn check(self, task: Task) -> crate::Result<()> {
        match (self, task) {
            (_, Task::Classification { .. }) if self.is_distribution() => {
                let must = "Output::Logits, Output::Probabilities or Output::Margins for classes";
                Err(Error::invalid("the output of the network", must, format!("{self:?}")))
            }
            (Self::StudentT { degrees_of_freedom }, _) => Family::StudentT { degrees_of_freedom }.check(),
            (Self::GaussianMixture { components: 0 }, _) => {
                Err(Error::invalid("Output::GaussianMixture::components", "at least 1", 0))
            }
            _ => Ok(()),
        }
    }

    /// The predictions of one network, of type f32 or f64: `(B, C)` on `scale` for classes, `(B, K)` for
    /// values.
    pub(crate) fn prediction(self, output: &Tensor, task: Task, scale: Scale) -> Result<Tensor> {
        let rounded = is_short(output.dtype());
        let output = widened(output)?;
        let output = if output.rank() == 1 { output.unsqueeze(1)? } else { output };
        let Ok((_, width)) = output.dims2() else {
            let (width, unit) = match task {
                Task::Classification { classes } => (classes, "classes"),
                Task::Regression { outputs } => (outputs, "values"),
            };
            let shape = output.dims();
            candle_core::bail!(
                "the network must output {width} {unit} for each row, but its output has the shape {shape:?}"
            )
        };
        let classes = match task {
            Task::Regression { outputs } if outputs == width => return Ok(output),
            Task::Regression { outputs } => {
                candle_core::bail!(
                    "the network must output {outputs} values for each row, but outputs {width}"
                )
            }
            Task::Classification { classes } => classes,
        };
        match (self, width) {
            (Self::Logits, 1) if classes == 2 => {
                // One logit z of class 1 is a softmax over (0, z).
                normalized(&Tensor::cat(&[&output.zeros_like()?, &output], 1)?, scale)
            }
            (Self::Logits, _) if width == classes => normalized(&output, scale),
            (Self::Margins, 1) if classes == 2 => {
                let half = (output.clamp(-1f64, 1f64)? * 0.5)?;
                let probabilities = Tensor::cat(&[&(0.5 - &half)?, &(&half + 0.5)?], 1)?;
                on_scale(probabilities, scale)
            }
            _ if self.is_ordinal() && width + 1 == classes => {
                normalized(&self.log_probabilities(&output)?, scale)
            }
            _ if self.is_ordinal() => candle_core::bail!(
                "a network with Output::{self:?} must output {} numbers for {classes} classes, but outputs {width}",
                classes.saturating_sub(1)
            ),
            (Self::Margins, _) => candle_core::bail!(
                "a network with Output::Margins must output one number for 2 classes, but outputs {width} for \
                 {classes}"
            ),
            (Self::Probabilities, 1) if classes == 2 => {
                on_scale(Tensor::cat(&[&output.affine(-1., 1.)?, &output], 1)?, scale)
            }
            (Self::Probabilities, _) if width == classes => {
                // A network of short floats has rounded its probabilities, and the sum that it divided by.
                let output = match rounded {
                    true => output.broadcast_div(&output.sum_keepdim(1)?)?,
                    false => output,
                };
                on_scale(output, scale)
            }
            _ => candle_core::bail!("the network must output {classes} classes, but outputs {width}"),
        }
    }
}

/// Probabilities on a scale.
fn on_scale(probabilities: Tensor, scale: Scale) -> Result<Tensor> {
    match scale {
        Scale::Probability => Ok(probabilities),
        Scale::LogProbability => ln(&probabilities),
    }
}

/// Whether numbers of this type are shorter than 32 bits.
fn is_short(dtype: DType) -> bool {
    dtype != DType::F32 && dtype != DType::F64
}

/// The tensor as f64 if it is so already, else as f32. Gradients pass through.
pub(crate) fn widened(tensor: &Tensor) -> Result<Tensor> {
    match is_short(tensor.dtype()) {
        true => tensor.to_dtype(DType::F32),
        false => Ok(tensor.clone()),
    }
}

/// Softmax or log-softmax. candle's fast softmax has no backward pass, so it is used only without gradients.
fn normalized(logits: &Tensor, scale: Scale) -> Result<Tensor> {
    match scale {
        Scale::LogProbability => ops::log_softmax(logits, D::Minus1),
        Scale::Probability if logits.track_op() => ops::softmax(logits, D::Minus1),
        Scale::Probability => ops::softmax_last_dim(&logits.contiguous()?),
    }
}

/// The logarithm of probabilities. A probability of 0 counts as the smallest positive `f32` (in f16, which does
/// not have that number, as the smallest positive f16), so the result is finite.
pub(crate) fn ln(probabilities: &Tensor) -> Result<Tensor> {
    let tiny = match probabilities.dtype() {
        DType::F16 => 2f64.powi(-24),
        _ => f64::from(f32::MIN_POSITIVE),
    };
    probabilities.maximum(tiny)?.log()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const TWO: Task = Task::Classification { classes: 2 };

    fn margins(m: &Tensor, scale: Scale) -> Vec<Vec<f64>> {
        let predicted = Output::Margins.prediction(m, TWO, scale).unwrap();
        predicted.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn margins_are_probabilities_of_class_1() -> Result<()> {
        let m = Tensor::new(&[-1f64, -0.5, 0., 0.25, 1., 3.], &Device::Cpu)?;
        let by_hand = [[1., 0.], [0.75, 0.25], [0.5, 0.5], [0.375, 0.625], [0., 1.], [0., 1.]];
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            for m in [m.to_dtype(dtype)?, m.to_dtype(dtype)?.unsqueeze(1)?] {
                assert_eq!(margins(&m, Scale::Probability), by_hand, "{dtype:?}");
                for (got, p) in
                    margins(&m, Scale::LogProbability).iter().flatten().zip(by_hand.as_flattened())
                {
                    let tiny = f64::from(f32::MIN_POSITIVE);
                    assert!((got - p.max(tiny).ln()).abs() < 1e-5, "{got} for ln {p}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn one_probability_is_that_of_class_1() -> Result<()> {
        let p = Tensor::new(&[0f64, 0.25, 1.], &Device::Cpu)?;
        for p in [p.clone(), p.unsqueeze(1)?] {
            let predicted = Output::Probabilities.prediction(&p, TWO, Scale::Probability)?;
            assert_eq!(predicted.to_vec2::<f64>()?, [[1., 0.], [0.75, 0.25], [0., 1.]]);
            let logarithms = Output::Probabilities.prediction(&p, TWO, Scale::LogProbability)?;
            assert_eq!(logarithms.to_vec2::<f64>()?[1], [0.75f64.ln(), 0.25f64.ln()]);
        }
        let three = Task::Classification { classes: 3 };
        assert!(Output::Probabilities.prediction(&p, three, Scale::Probability).is_err());
        Ok(())
    }

    #[test]
    fn gradients_pass_through_margins() -> Result<()> {
        let m = Var::new(&[0.5f64, -0.2], &Device::Cpu)?;
        let log = Output::Margins.prediction(&m, TWO, Scale::LogProbability)?;
        // d ln((1 + m) / 2) / dm = 1 / (1 + m)
        let gradients = log.narrow(1, 1, 1)?.sum_all()?.backward()?;
        let got = gradients.get(&m).unwrap().to_vec1::<f64>()?;
        assert!((got[0] - 1. / 1.5).abs() < 1e-15 && (got[1] - 1.25).abs() < 1e-15, "{got:?}");
        Ok(())
    }

    #[test]
    fn margins_are_for_two_classes_and_one_output() {
        let of = |dims: &[usize], task| {
            let output = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
            Output::Margins.prediction(&output, task, Scale::Probability).map_err(|e| e.to_string())
        };
        assert!(of(&[3, 2], TWO).unwrap_err().contains("one number for 2 classes, but outputs 2 for 2"));
        assert!(of(&[3, 1], Task::Classification { classes: 3 }).is_err());
        assert_eq!(of(&[3, 2], Task::Regression { outputs: 2 }).unwrap().dims(), [3, 2]);
    }
}
