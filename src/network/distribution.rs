//! From the output of a network to the distribution of its values.
use crate::{
    data::Task,
    distribution::{positive, Family, Mixture, Score},
    kernels::cpu,
    metrics::Metric,
    network::Output,
    Error, Result,
};
use candle_core::{Device, Result as CandleResult, Tensor};
use candle_nn::ops;

/// Shift and scale of each target: what the network is trained on times the scale, plus the shift, is in the unit of the
/// targets.
type Affine = (f64, f64);

impl Output {
    /// The output of a network with the mean in place of a distribution's parameters, `(B, K)`. The outputs of classes and
    /// of plain values stay as they are. Gradients pass through.
    pub(crate) fn values(self, output: &Tensor) -> CandleResult<Tensor> {
        if !self.is_distribution() {
            return Ok(output.clone());
        }
        let outputs = output.dims().get(1).map_or(1, |width| width / self.numbers_per_value().max(1));
        let rows = self.check_width(output, outputs)?;
        match self {
            Self::GaussianMixture { components } => {
                let block = |i| {
                    output
                        .narrow(1, i * outputs * components, outputs * components)?
                        .reshape((rows, outputs, components))
                };
                let logits = block(0)?;
                let shares = if logits.track_op() {
                    ops::softmax(&logits, 2)?
                } else {
                    ops::softmax_last_dim(&logits.contiguous()?)?
                };
                (shares * block(1)?)?.sum(2)
            }
            Self::Quantiles { levels } => {
                let count = levels.as_slice().len();
                let quantiles = output.reshape((rows * outputs, count))?.contiguous()?;
                // In increasing order, as the distribution has them.
                let order = quantiles.detach().arg_sort_last_dim(true)?;
                let weights = Tensor::from_vec(levels.mean_weights(), (count, 1), output.device())?;
                let sorted = quantiles.gather(&order, 1)?;
                sorted.matmul(&weights.to_dtype(output.dtype())?)?.reshape((rows, outputs))
            }
            _ => output.narrow(1, 0, outputs)?.contiguous(),
        }
    }

    /// The distributions that one network predicts, from its output `(B, W)` for `K` values, in the unit that the network
    /// was trained on.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::network::Output;
    ///
    /// // A mean of 2 and a raw variance whose softplus is 9.
    /// let raw = Tensor::new(&[[2f64, 9f64.exp_m1().ln()]], &Device::Cpu)?;
    /// let distribution = Output::Gaussian.distribution(&raw, 1)?;
    /// assert_eq!(distribution.mean()?.to_vec2::<f64>()?, [[2.]]);
    /// assert!((distribution.variance()?.to_vec2::<f64>()?[0][0] - 9.).abs() < 2e-6);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the kind is no distribution, the output has another width, or it is not finite.
    pub fn distribution(self, output: &Tensor, values: usize) -> Result<Mixture> {
        self.check(Task::Regression { outputs: values })?;
        let parameters = self.parameters(output, &vec![(0., 1.); values])?;
        self.mixture(&parameters.unsqueeze(0)?, values)
    }

    /// The parameters of the distributions `(B, W)`, of f64 and in the unit of the targets: scales in place of raw scales
    /// (standard deviations in place of raw variances), and shares in place of logits.
    pub(crate) fn parameters(self, output: &Tensor, targets: &[Affine]) -> CandleResult<Tensor> {
        let outputs = targets.len();
        self.check_width(output, outputs)?;
        let mut numbers = cpu::with_slice(&output.detach(), |x: &[f64]| x.to_vec())?;
        let width = outputs * self.numbers_per_value();
        for row in numbers.chunks_exact_mut(width.max(1)) {
            self.activate(row, targets);
        }
        Tensor::from_vec(numbers, (output.dim(0)?, width), &Device::Cpu)
    }

    /// Replaces the outputs for one row by parameters.
    fn activate(self, row: &mut [f64], targets: &[Affine]) {
        let shift = |location: &mut f64, (shift, scale): &Affine| *location = *location * scale + shift;
        let stretch = |raw: &mut f64, (_, scale): &Affine| *raw = positive(*raw).0 * scale.abs();
        let deviation = |raw: &mut f64, (_, scale): &Affine| *raw = positive(*raw).0.sqrt() * scale.abs();
        match self {
            Self::Logits
            | Self::Probabilities
            | Self::Margins
            | Self::CumulativeLogits
            | Self::ConditionalLogits => {}
            Self::Gaussian | Self::Laplace | Self::StudentT { .. } => {
                let (locations, scales) = row.split_at_mut(targets.len());
                locations.iter_mut().zip(targets).for_each(|(x, target)| shift(x, target));
                let each = scales.iter_mut().zip(targets);
                match self {
                    Self::Gaussian => each.for_each(|(x, target)| deviation(x, target)),
                    _ => each.for_each(|(x, target)| stretch(x, target)),
                }
            }
            Self::GaussianMixture { components } => {
                let (logits, others) = row.split_at_mut(targets.len() * components);
                let (means, deviations) = others.split_at_mut(targets.len() * components);
                for logits in logits.chunks_exact_mut(components.max(1)) {
                    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    logits.iter_mut().for_each(|a| *a = (*a - greatest).exp());
                    let total: f64 = logits.iter().sum();
                    logits.iter_mut().for_each(|a| *a /= total);
                }
                let of_target = |numbers: &mut [f64], f: &dyn Fn(&mut f64, &Affine)| {
                    let chunks = numbers.chunks_exact_mut(components.max(1)).zip(targets);
                    chunks.for_each(|(numbers, target)| numbers.iter_mut().for_each(|x| f(x, target)));
                };
                of_target(means, &shift);
                of_target(deviations, &deviation);
            }
            Self::Quantiles { levels } => {
                let of_targets = row.chunks_exact_mut(levels.as_slice().len().max(1)).zip(targets);
                of_targets
                    .for_each(|(quantiles, target)| quantiles.iter_mut().for_each(|x| shift(x, target)));
            }
        }
    }

    /// The mixture of members with these parameters, `(M, N, W)`.
    pub(crate) fn mixture(self, parameters: &Tensor, outputs: usize) -> Result<Mixture> {
        let (members, rows, _) = parameters.dims3()?;
        let block = |i: usize, components: usize| {
            let part = parameters.narrow(2, i * outputs * components, outputs * components)?;
            part.reshape((members, rows, outputs, components))
        };
        let located = |family| Mixture::new(family, &block(0, 1)?.squeeze(3)?, &block(1, 1)?.squeeze(3)?);
        match self {
            Self::Gaussian => located(Family::Gaussian),
            Self::Laplace => located(Family::Laplace),
            Self::StudentT { degrees_of_freedom } => located(Family::StudentT { degrees_of_freedom }),
            Self::GaussianMixture { components } => {
                let block = |i| block(i, components);
                Mixture::of_components(Family::Gaussian, &block(0)?, &block(1)?, &block(2)?)
            }
            Self::Quantiles { levels } => Mixture::of_quantiles(levels, &block(0, levels.as_slice().len())?),
            Self::Logits
            | Self::Probabilities
            | Self::Margins
            | Self::CumulativeLogits
            | Self::ConditionalLogits => self.distribution_only(),
        }
    }

    /// An error unless the output is a distribution.
    pub(crate) fn distribution_only<T>(self) -> Result<T> {
        let must = "a distribution, such as Output::Gaussian, for which the network outputs its parameters";
        Err(Error::invalid("the output of the networks", must, format!("{self:?}")))
    }

    /// Checks that a metric can be computed of what networks with this output predict for a task.
    pub(crate) fn check_metric(self, metric: &Metric, task: Task) -> Result<()> {
        metric.check_task(task)?;
        if !metric.needs_distributions() {
            return Ok(());
        }
        let must = match (self.is_distribution(), self, metric.distribution_score()) {
            (false, ..) => "a distribution, such as Output::Gaussian",
            (true, Self::Quantiles { .. }, Some(Score::Nll)) => {
                "one with a density (crps, quantile-loss and interval-score go with quantiles)"
            }
            _ => return Ok(()),
        };
        let what = format!("the output of the networks, for the metric {},", metric.name());
        Err(Error::invalid(what, must, format!("{self:?}")))
    }

    /// The number of rows, where the output has the right width.
    fn check_width(self, output: &Tensor, outputs: usize) -> CandleResult<usize> {
        let width = outputs * self.numbers_per_value();
        match *output.dims() {
            [rows, columns] if columns == width => Ok(rows),
            [rows] if width == 1 => Ok(rows),
            _ => candle_core::bail!(
                "the network must output {width} numbers for each row, {} for each of {outputs} values of {self:?}, but \
                 its output has the shape {:?}",
                self.numbers_per_value(),
                output.dims()
            ),
        }
    }
}
