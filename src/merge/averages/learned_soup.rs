//! The learned soup.
use crate::{
    kernels::cpu::{contiguous, Elements, FloatLoop},
    merge::Soup,
    train::{Clip, Optimizer, OptimizerState},
    weights::{
        average::{check_coefficients, mix_each},
        Weights,
    },
    Error, Result,
};
use candle_core::{backprop::GradStore, Device, Result as CandleResult, Tensor, Var, WithDType};
use candle_nn::ops::softmax;
use std::collections::BTreeMap;

/// Which tensors of a network share one coefficient in a [`LearnedSoup`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Granularity {
    /// All tensors: each network has one coefficient.
    #[default]
    Network,
    /// The tensors of one layer, whose names are equal up to the last dot.
    Layer,
    /// None: each tensor of each network has its own coefficient.
    Tensor,
}

impl Granularity {
    fn group(self, name: &str) -> &str {
        match self {
            Self::Network => "",
            Self::Layer => name.rsplit_once('.').map_or("", |(layer, _)| layer),
            Self::Tensor => name,
        }
    }
}

/// Learns the coefficients of a mixture of networks by gradient descent on a held-out loss.
///
/// Formula: `θ = Σ cᵢ θᵢ`, with the `c` that minimizes `L(θ)`. By default `c` is a softmax of the learned
/// numbers, so the coefficients are positive and sum to 1; with [`unconstrained`](Self::unconstrained) they
/// are any numbers. The coefficients start equal and follow the gradient `∂L/∂cᵢ = ⟨∂L/∂θ, θᵢ⟩` by Adam. The
/// result is the best of all steps, so its loss on these rows is never above that of the uniform soup.
///
/// Use it for networks that were fine-tuned from one network, where a differentiable held-out loss is at
/// hand. Don't use it with few held-out rows and one coefficient for each tensor: it then fits the rows.
/// [`GreedySoup`] needs no gradient.
///
/// Cost: each step runs the loss forward and backward once. Memory for the networks, one more, and its
/// gradient.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::LearnedSoup, weights::Weights};
///
/// let network = |w: f64| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// // In practice: build your model from the tensors with `VarBuilder::from_tensors`, and return its held-out loss.
/// let loss = |w: &Weights| (&w["w"] - 1.75)?.sqr()?.sum_all();
/// let soup = LearnedSoup::new().steps(300).merge(&[&network(1.)?, &network(2.)?], loss)?;
/// assert!((soup.coefficients[""][1] - 0.75).abs() < 1e-3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wortsman et al. (2022), arXiv:2203.05482, appendix I; the gradient follows from the chain rule.
///
/// [`GreedySoup`]: crate::merge::GreedySoup
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedSoup {
    granularity: Granularity,
    unconstrained: bool,
    steps: usize,
    learning_rate: f64,
}

impl Default for LearnedSoup {
    fn default() -> Self {
        Self { granularity: Granularity::Network, unconstrained: false, steps: 100, learning_rate: 0.05 }
    }
}

impl LearnedSoup {
    /// A soup with one coefficient for each network, learned in 100 steps at a learning rate of 0.05.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which tensors share one coefficient; all of a network by default.
    #[must_use]
    pub fn granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// Whether coefficients may have any sign and any sum, instead of being positive with sum 1; false by
    /// default.
    #[must_use]
    pub fn unconstrained(mut self, unconstrained: bool) -> Self {
        self.unconstrained = unconstrained;
        self
    }

    /// The number of Adam's steps; 100 by default. With 0 the result is the uniform soup.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Adam's learning rate, above 0; 0.05 by default.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// Makes the soup of these networks. `loss` returns the scalar loss of a network on held-out rows, as a
    /// tensor whose gradient reaches the tensors that it is given.
    ///
    /// # Errors
    /// As [`average`](crate::weights::average()); the first error of `loss`; when the loss of the uniform
    /// soup is not finite, the gradient reaches no tensor, or the learning rate is out of range.
    pub fn merge(
        &self,
        networks: &[&Weights],
        mut loss: impl FnMut(&Weights) -> CandleResult<Tensor>,
    ) -> Result<Soup> {
        let (optimizer, n) = (Optimizer::adam(self.learning_rate), networks.len());
        optimizer.check()?;
        check_coefficients(networks, &vec![0.; n])?;
        let mut groups: Vec<&str> = networks[0].keys().map(|name| self.granularity.group(name)).collect();
        groups.sort_unstable();
        groups.dedup();
        let start = if self.unconstrained { 1. / n as f64 } else { 0. };
        let learned = Var::from_tensor(&Tensor::full(start, (groups.len(), n), &Device::Cpu)?)?;
        let mut state = OptimizerState::new(&optimizer, vec![("coefficients".into(), learned.clone())])?;
        let mut best: Option<Soup> = None;
        for step in 0..=self.steps {
            let current = match self.unconstrained {
                true => learned.as_tensor().clone(),
                false => softmax(learned.as_tensor(), 1)?,
            };
            let table = current.to_vec2::<f64>()?;
            let coefficients: BTreeMap<&str, Vec<f64>> = groups.iter().copied().zip(table).collect();
            let mixed = mix_each(networks, &|name| row(&coefficients, self.granularity.group(name)))?;
            let network = as_variables(&mixed)?;
            let loss = loss(&network)?;
            let value = loss.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
            if best.as_ref().is_none_or(|best| value < best.score) {
                if !value.is_finite() {
                    return Err(Error::invalid("the loss of the uniform soup", "finite", value));
                }
                let named = coefficients.iter().map(|(group, row)| ((*group).to_string(), row.clone()));
                best = Some(Soup { weights: mixed, coefficients: named.collect(), score: value });
            }
            if step == self.steps || !value.is_finite() {
                break;
            }
            let derivatives = self.derivatives(networks, &network, &loss.backward()?, &groups)?;
            // A linear function of the coefficients with the gradient of the loss.
            let surrogate =
                (current * Tensor::from_vec(derivatives, (groups.len(), n), &Device::Cpu)?)?.sum_all()?;
            state.step(&surrogate.backward()?, self.learning_rate, &Clip::None)?;
        }
        best.ok_or_else(|| Error::invalid("the number of networks", "at least 1", 0))
    }

    /// `∂L/∂c` of each group and network, `(groups, M)` row by row.
    fn derivatives(
        &self,
        networks: &[&Weights],
        mixed: &Weights,
        gradients: &GradStore,
        groups: &[&str],
    ) -> Result<Vec<f64>> {
        let (mut derivatives, mut reached) = (vec![0.; groups.len() * networks.len()], false);
        for (name, tensor) in mixed {
            let (Some(gradient), Ok(group)) =
                (gradients.get(tensor), groups.binary_search(&self.granularity.group(name)))
            else {
                continue;
            };
            reached = true;
            let gradient = contiguous(gradient)?;
            let row = &mut derivatives[group * networks.len()..][..networks.len()];
            for (derivative, network) in row.iter_mut().zip(networks) {
                let Some(tensor) = network.get(name) else { continue };
                *derivative += dot(&gradient, &contiguous(tensor)?)?;
            }
        }
        match reached {
            true => Ok(derivatives),
            false => Err(Error::invalid(
                "the loss",
                "one whose gradient reaches the tensors it is given",
                "another",
            )),
        }
    }
}

/// The coefficients of a group.
fn row<'a>(coefficients: &'a BTreeMap<&str, Vec<f64>>, group: &str) -> &'a [f64] {
    coefficients.get(group).map_or(&[], Vec::as_slice)
}

/// The floating-point tensors as variables, so that gradients reach them.
fn as_variables(weights: &Weights) -> Result<Weights> {
    let variable = |(name, tensor): (&String, &Tensor)| {
        let tensor = match tensor.dtype().is_float() {
            true => Var::from_tensor(tensor)?.as_tensor().clone(),
            false => tensor.clone(),
        };
        Ok((name.clone(), tensor))
    };
    weights.iter().map(variable).collect()
}

/// `Σ aᵢ bᵢ` in f64.
fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    Elements::of(a)?.run(Dot(Elements::of(b)?))
}

struct Dot<'b>(Elements<'b>);

impl FloatLoop for Dot<'_> {
    type Out = f64;

    fn run<T: WithDType>(
        self,
        a: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<f64> {
        const LANES: usize = 8;
        let b = self.0.as_slice::<T>()?;
        let mut sums = [0f64; LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += load(*a) * load(*b));
        }
        Ok(sums.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::mix;
    use candle_core::DType;

    fn one(w: f64) -> Weights {
        Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())])
    }

    fn value(weights: &Weights) -> f64 {
        weights["w"].to_vec1::<f64>().unwrap()[0]
    }

    /// A network with two layers of one tensor each.
    fn two(a: f64, b: f64) -> Weights {
        let tensor = |x: f64| Tensor::new(&[x, 2. * x], &Device::Cpu).unwrap();
        Weights::from([("one.w".into(), tensor(a)), ("two.w".into(), tensor(b))])
    }

    fn distance(w: &Weights) -> CandleResult<Tensor> {
        let off =
            |name: &str, at: f64| (&w[name] - Tensor::new(&[at, 2. * at], &Device::Cpu)?)?.sqr()?.sum_all();
        off("one.w", 1.2)? + off("two.w", 5.8)?
    }

    #[test]
    fn each_layer_has_its_own_coefficients() -> Result<()> {
        let (x, y) = (two(1., 5.), two(2., 6.));
        let soup = LearnedSoup::new().steps(600).learning_rate(0.02);
        let by_layer = soup.granularity(Granularity::Layer).merge(&[&x, &y], distance)?;
        assert!((by_layer.coefficients["one"][1] - 0.2).abs() < 1e-3, "{by_layer:?}");
        assert!((by_layer.coefficients["two"][1] - 0.8).abs() < 1e-3, "{by_layer:?}");
        assert!(by_layer.score < 1e-5);
        // With one coefficient for both layers, the best is half way.
        let shared = soup.merge(&[&x, &y], distance)?;
        assert!((shared.coefficients[""][1] - 0.5).abs() < 1e-6 && shared.score > by_layer.score);
        let by_tensor = soup.granularity(Granularity::Tensor).merge(&[&x, &y], distance)?;
        assert_eq!(by_tensor.coefficients.keys().collect::<Vec<_>>(), ["one.w", "two.w"]);
        Ok(())
    }

    #[test]
    fn unconstrained_coefficients_reach_beyond_the_networks() -> Result<()> {
        let far = |w: &Weights| (&w["w"] - 7.)?.sqr()?.sum_all();
        let networks = [one(1.), one(2.)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let outside = LearnedSoup::new().unconstrained(true).steps(800).merge(&networks, far)?;
        assert!((value(&outside.weights) - 7.).abs() < 1e-2, "{outside:?}");
        let within = LearnedSoup::new().steps(300).merge(&networks, far)?;
        assert!((1.9..=2.).contains(&value(&within.weights)));
        assert!((within.coefficients[""].iter().sum::<f64>() - 1.).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn the_gradient_matches_differences_of_the_loss() -> Result<()> {
        let networks = [two(1., 5.), two(2.5, -1.), two(0.3, 0.7)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let at = [0.2, 0.5, 0.3];
        let loss = |c: &[f64]| -> Result<f64> { Ok(distance(&mix(&networks, c)?)?.to_scalar()?) };
        let mixed = as_variables(&mix(&networks, &at)?)?;
        let got = LearnedSoup::new().derivatives(&networks, &mixed, &distance(&mixed)?.backward()?, &[""])?;
        for (i, got) in got.iter().enumerate() {
            let (mut up, mut down) = (at, at);
            (up[i], down[i]) = (up[i] + 1e-5, down[i] - 1e-5);
            let derivative = (loss(&up)? - loss(&down)?) / 2e-5;
            assert!((got - derivative).abs() < 1e-6 * (1. + derivative.abs()), "{got} {derivative}");
        }
        Ok(())
    }

    #[test]
    fn a_loss_without_gradient_or_with_nan_is_an_error() -> Result<()> {
        let (a, b) = (one(1.), one(2.));
        let soup = LearnedSoup::new();
        let constant = |_: &Weights| Tensor::new(1f64, &Device::Cpu);
        assert!(soup.merge(&[&a, &b], constant).unwrap_err().to_string().contains("gradient"));
        let nan = |w: &Weights| (&w["w"] * f64::NAN)?.sum_all();
        assert!(soup.merge(&[&a, &b], nan).unwrap_err().to_string().contains("finite"));
        let near = |w: &Weights| (&w["w"] - 1.)?.sqr()?.sum_all();
        assert!(soup.learning_rate(-1.).merge(&[&a, &b], near).is_err());
        let uniform = soup.steps(0).merge(&[&a, &b], near)?;
        assert_eq!((value(&uniform.weights), uniform.score), (1.5, 0.25));
        // In f32 too.
        let single = |w: f32| Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())]);
        let soup = soup.steps(200).merge(&[&single(1.), &single(2.)], near)?;
        assert!(soup.score < 1e-3 && soup.weights["w"].dtype() == DType::F32);
        Ok(())
    }
}
