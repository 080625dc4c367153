//! Soups: averages of networks that were fine-tuned from one, chosen by what held-out rows say.
use crate::{
    kernels::slices::{self, dense, Held, Loop},
    train::{Clip, Optimizer, OptimizerState},
    weights::{
        average::{average, check_coefficients, mix_each},
        Weights,
    },
    Error, Result,
};
use candle_core::{backprop::GradStore, Device, Result as CandleResult, Tensor, Var, WithDType};
use candle_nn::ops::softmax;
use std::collections::BTreeMap;

/// One network out of several, and what it is made of.
#[derive(Clone, Debug)]
pub struct Soup {
    /// The network.
    pub weights: Weights,
    /// How much of each network is in it, `(N,)` for each group of tensors, by the group's name: `""` for one group.
    pub coefficients: BTreeMap<String, Vec<f64>>,
    /// What the caller's measure says of it: the metric of a greedy soup, the loss of a learned one.
    pub score: f64,
}

/// The uniform soup: the plain mean.
///
/// Source: Wortsman et al. 2022, arXiv:2203.05482.
///
/// # Errors
/// As [`average`].
pub fn uniform_soup(networks: &[&Weights]) -> Result<Weights> {
    average(networks, &vec![1.; networks.len()])
}

/// The greedy soup: networks from the best to the worst by a held-out metric; each goes into the mean if the mean is
/// then not worse.
///
/// "Not worse" (`≥`) is the spec as it is published; its authors' program adds only what makes the mean better
/// (`>`): [`GreedySoup::strict`]. Networks of the same metric keep their order. It costs one evaluation of each
/// network and one of each mean that is tried, and memory for two networks.
///
/// Source: Wortsman et al. 2022, arXiv:2203.05482.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::GreedySoup, weights::Weights};
///
/// let network = |w: f32| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// let (a, b, c) = (network(1.)?, network(2.)?, network(9.)?);
/// // The higher the better: how near the weight is to 1.6.
/// let near = |w: &Weights| Ok(-(w["w"].to_vec1::<f32>()?[0] - 1.6).abs() as f64);
/// let soup = GreedySoup::new().merge(&[&a, &b, &c], near)?;
/// assert_eq!(soup.weights["w"].to_vec1::<f32>()?, [1.5]);
/// assert_eq!(soup.coefficients[""], [0.5, 0.5, 0.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GreedySoup {
    strict: bool,
}

impl GreedySoup {
    /// Adds a network when the soup is not worse for it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a network only when the soup is better for it.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The soup of these networks. `metric` measures one on held-out rows, higher is better: of a loss, give the
    /// negative.
    ///
    /// # Errors
    /// As [`average`], whatever `metric` returns, and when it is NaN for one of the networks.
    pub fn merge(
        &self,
        networks: &[&Weights],
        mut metric: impl FnMut(&Weights) -> Result<f64>,
    ) -> Result<Soup> {
        crate::weights::compatibility::check(networks)?;
        let alone = networks.iter().map(|network| metric(network)).collect::<Result<Vec<_>>>()?;
        if let Some(number) = alone.iter().position(|score| score.is_nan()) {
            return Err(Error::invalid(format!("the metric of network {number}"), "a number", f64::NAN));
        }
        let mut order: Vec<usize> = (0..networks.len()).collect();
        order.sort_by(|a, b| alone[*b].total_cmp(&alone[*a]));
        let mut counts = vec![0.; networks.len()];
        counts[order[0]] = 1.;
        // The mean of one, so that numbers are checked and integer buffers are the last network's in every case.
        let (mut best, mut score) = (average(networks, &counts)?, alone[order[0]]);
        for next in &order[1..] {
            counts[*next] = 1.;
            let tried = average(networks, &counts)?;
            let predicted = metric(&tried)?;
            if predicted > score || predicted == score && !self.strict {
                (best, score) = (tried, predicted);
            } else {
                counts[*next] = 0.;
            }
        }
        let chosen: f64 = counts.iter().sum();
        let shares = counts.iter().map(|count| count / chosen).collect();
        Ok(Soup { weights: best, coefficients: BTreeMap::from([(String::new(), shares)]), score })
    }
}

/// Which tensors share their coefficients in a [`LearnedSoup`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Granularity {
    /// All: one coefficient a network.
    #[default]
    Network,
    /// Those of one layer, whose names are the same up to the last dot.
    Layer,
    /// None: each tensor has its own.
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

/// The learned soup: the mixture `Σ cᵢθᵢ` of the least held-out loss, with a coefficient for each network, or for each
/// network and layer or tensor.
///
/// The coefficients are a softmax of what is learned, so positive with sum one, or free ([`LearnedSoup::free`]). They
/// start equal and follow the loss's gradient, `∂L/∂cᵢ = Σ ∂L/∂θ·θᵢ`, by Adam; the best of all steps is the soup, so its
/// loss is never above the uniform soup's. Memory: the networks, one more, and its gradient.
///
/// Source: Wortsman et al. 2022, arXiv:2203.05482, appendix I; the gradient is the chain rule's.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::LearnedSoup, weights::Weights};
///
/// let network = |w: f64| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// // Give the tensors to your model by `VarBuilder::from_tensors`, and its loss on held-out rows back.
/// let loss = |w: &Weights| (&w["w"] - 1.75)?.sqr()?.sum_all();
/// let soup = LearnedSoup::new().steps(300).merge(&[&network(1.)?, &network(2.)?], loss)?;
/// assert!((soup.coefficients[""][1] - 0.75).abs() < 1e-3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnedSoup {
    granularity: Granularity,
    free: bool,
    steps: usize,
    learning_rate: f64,
}

impl Default for LearnedSoup {
    fn default() -> Self {
        Self { granularity: Granularity::Network, free: false, steps: 100, learning_rate: 0.05 }
    }
}

impl LearnedSoup {
    /// One coefficient a network, 100 steps at a learning rate of .05.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which tensors share their coefficients.
    #[must_use]
    pub fn granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// Coefficients of any sign and sum, in place of a softmax.
    #[must_use]
    pub fn free(mut self) -> Self {
        self.free = true;
        self
    }

    /// Steps of Adam, 0 or more.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Adam's learning rate, above 0.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// The soup of these networks. `loss` gives the scalar loss of a network on held-out rows, as a tensor that goes
    /// back to the tensors it was given.
    ///
    /// # Errors
    /// As [`average`], whatever `loss` returns, when it is not finite at the start, when its gradient reaches no
    /// tensor, and when the learning rate is out of range.
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
        let start = if self.free { 1. / n as f64 } else { 0. };
        let learned = Var::from_tensor(&Tensor::full(start, (groups.len(), n), &Device::Cpu)?)?;
        let mut state = OptimizerState::new(&optimizer, vec![("coefficients".into(), learned.clone())])?;
        let mut best: Option<Soup> = None;
        for step in 0..=self.steps {
            let open = match self.free {
                true => learned.as_tensor().clone(),
                false => softmax(learned.as_tensor(), 1)?,
            };
            let table = open.to_vec2::<f64>()?;
            let coefficients: BTreeMap<&str, Vec<f64>> = groups.iter().copied().zip(table).collect();
            let mixed = mix_each(networks, &|name| row(&coefficients, self.granularity.group(name)))?;
            let network = tracked(&mixed)?;
            let predicted = loss(&network)?;
            let value = predicted.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
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
            let slopes = self.slopes(networks, &network, &predicted.backward()?, &groups)?;
            // Its gradient is the loss's: the slopes are constants.
            let stand_in = (open * Tensor::from_vec(slopes, (groups.len(), n), &Device::Cpu)?)?.sum_all()?;
            state.step(&stand_in.backward()?, self.learning_rate, &Clip::None)?;
        }
        best.ok_or_else(|| Error::invalid("the networks", "at least one", 0))
    }

    /// `∂L/∂c` for each group and network, row by row.
    fn slopes(
        &self,
        networks: &[&Weights],
        mixed: &Weights,
        gradients: &GradStore,
        groups: &[&str],
    ) -> Result<Vec<f64>> {
        let (mut slopes, mut reached) = (vec![0.; groups.len() * networks.len()], false);
        for (name, tensor) in mixed {
            let (Some(gradient), Ok(group)) =
                (gradients.get(tensor), groups.binary_search(&self.granularity.group(name)))
            else {
                continue;
            };
            reached = true;
            let gradient = dense(gradient)?;
            let row = &mut slopes[group * networks.len()..][..networks.len()];
            for (slope, network) in row.iter_mut().zip(networks) {
                let Some(theirs) = network.get(name) else { continue };
                *slope += dot(&gradient, &dense(theirs)?)?;
            }
        }
        match reached {
            true => Ok(slopes),
            false => {
                Err(Error::invalid("the loss", "one whose gradient reaches the tensors given", "another"))
            }
        }
    }
}

fn row<'a>(coefficients: &'a BTreeMap<&str, Vec<f64>>, group: &str) -> &'a [f64] {
    coefficients.get(group).map_or(&[], Vec::as_slice)
}

/// The floating-point tensors as variables, so that a gradient goes back to them.
fn tracked(weights: &Weights) -> Result<Weights> {
    let variable = |(name, tensor): (&String, &Tensor)| {
        let tensor = match tensor.dtype().is_float() {
            true => Var::from_tensor(tensor)?.as_tensor().clone(),
            false => tensor.clone(),
        };
        Ok((name.clone(), tensor))
    };
    weights.iter().map(variable).collect()
}

/// `Σ aᵢbᵢ` in f64.
fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    let guards = (a.storage_and_layout(), b.storage_and_layout());
    let (a, b) = (Held::of(&guards.0), Held::of(&guards.1));
    slices::run(a.storage()?, Dot { a, b })
}

struct Dot<'a> {
    a: Held<'a>,
    b: Held<'a>,
}

impl Loop for Dot<'_> {
    type Out = f64;

    fn run<T: WithDType>(
        self,
        all: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<f64> {
        const LANES: usize = 8;
        let (a, b) = (self.a.part(all)?, self.b.numbers::<T>()?);
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
    use std::cell::Cell;

    fn one(w: f64) -> Weights {
        Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())])
    }

    fn value(weights: &Weights) -> f64 {
        weights["w"].to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn greedy_follows_the_recipe_step_by_step() -> Result<()> {
        // Nearness to 2. Alone: 1 → −1, 5 → −3, 2.5 → −.5, 9 → −7. From 2.5: with 1, 1.75 is better; with 5, 2.83 is
        // not; with 9, 4.17 is not.
        let networks = [one(1.), one(5.), one(2.5), one(9.)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let calls = Cell::new(0);
        let near = |w: &Weights| {
            calls.set(calls.get() + 1);
            Ok(-(value(w) - 2.).abs())
        };
        let soup = GreedySoup::new().merge(&networks, near)?;
        assert_eq!((value(&soup.weights), soup.score, calls.get()), (1.75, -0.25, 4 + 3));
        assert_eq!(soup.coefficients[""], [0.5, 0., 0.5, 0.]);
        assert_eq!(value(&uniform_soup(&networks)?), 17.5 / 4.);
        Ok(())
    }

    #[test]
    fn equally_good_is_added_unless_strict() -> Result<()> {
        let networks = [one(1.), one(2.), one(3.)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let same = |_: &Weights| Ok(0.5);
        let all = GreedySoup::new().merge(&networks, same)?;
        assert!(all.coefficients[""].iter().all(|c| (c - 1. / 3.).abs() < 1e-15));
        let first = GreedySoup::new().strict().merge(&networks, same)?;
        assert_eq!(first.coefficients[""], [1., 0., 0.]);
        assert_eq!(value(&first.weights), 1.);
        Ok(())
    }

    #[test]
    fn the_greedy_soup_is_never_worse_than_the_best_network() -> Result<()> {
        for seed in 0..50u64 {
            let mut rng = crate::Seed::from(seed).rng();
            let networks: Vec<Weights> =
                (0..6).map(|_| one(rand::Rng::random_range(&mut rng, -3f64..3.))).collect();
            let networks: Vec<&Weights> = networks.iter().collect();
            let bumpy = |w: &Weights| Ok((5. * value(w)).sin() - value(w).abs());
            let soup = GreedySoup::new().merge(&networks, bumpy)?;
            let best = networks.iter().map(|n| bumpy(n).unwrap()).fold(f64::NEG_INFINITY, f64::max);
            assert!(soup.score >= best);
            assert!((bumpy(&mix(&networks, &soup.coefficients[""])?)? - soup.score).abs() < 1e-9);
        }
        Ok(())
    }

    #[test]
    fn errors_and_numbers_that_are_none_end_it() -> Result<()> {
        let (a, b) = (one(1.), one(2.));
        let e = GreedySoup::new()
            .merge(&[&a, &b], |w| Ok(if value(w) > 1.5 { f64::NAN } else { 0. }))
            .unwrap_err();
        assert!(e.to_string().contains("network 1"), "{e}");
        let fails = |_: &Weights| Err(Error::invalid("the evaluation", "possible", "not"));
        assert!(GreedySoup::new().merge(&[&a, &b], fails).is_err());
        assert!(GreedySoup::new().merge(&[], |_| Ok(0.)).is_err());
        // A soup that is no number is not taken.
        let soup = GreedySoup::new().merge(&[&a, &b], |w| Ok(if value(w) == 1.5 { f64::NAN } else { 0. }))?;
        assert_eq!(soup.coefficients[""], [1., 0.]);
        Ok(())
    }

    /// Two tensors, of two layers; the loss is least at chosen values within the networks' reach.
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
    fn layers_have_coefficients_of_their_own() -> Result<()> {
        let (x, y) = (two(1., 5.), two(2., 6.));
        let soup = LearnedSoup::new().steps(600).learning_rate(0.02);
        let apart = soup.granularity(Granularity::Layer).merge(&[&x, &y], distance)?;
        assert!((apart.coefficients["one"][1] - 0.2).abs() < 1e-3, "{apart:?}");
        assert!((apart.coefficients["two"][1] - 0.8).abs() < 1e-3, "{apart:?}");
        assert!(apart.score < 1e-5);
        // One coefficient for both: the best is half way.
        let shared = soup.merge(&[&x, &y], distance)?;
        assert!((shared.coefficients[""][1] - 0.5).abs() < 1e-6 && shared.score > apart.score);
        let by_tensor = soup.granularity(Granularity::Tensor).merge(&[&x, &y], distance)?;
        assert_eq!(by_tensor.coefficients.keys().collect::<Vec<_>>(), ["one.w", "two.w"]);
        Ok(())
    }

    #[test]
    fn free_coefficients_reach_beyond_the_networks() -> Result<()> {
        let far = |w: &Weights| (&w["w"] - 7.)?.sqr()?.sum_all();
        let networks = [one(1.), one(2.)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let free = LearnedSoup::new().free().steps(800).merge(&networks, far)?;
        assert!((value(&free.weights) - 7.).abs() < 1e-2, "{free:?}");
        let within = LearnedSoup::new().steps(300).merge(&networks, far)?;
        assert!((1.9..=2.).contains(&value(&within.weights)));
        assert!((within.coefficients[""].iter().sum::<f64>() - 1.).abs() < 1e-12);
        Ok(())
    }

    /// The gradient by the coefficients against differences of the loss.
    #[test]
    fn slopes_are_the_derivatives_of_the_loss() -> Result<()> {
        let networks = [two(1., 5.), two(2.5, -1.), two(0.3, 0.7)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let at = [0.2, 0.5, 0.3];
        let loss = |c: &[f64]| -> Result<f64> { Ok(distance(&mix(&networks, c)?)?.to_scalar()?) };
        let mixed = tracked(&mix(&networks, &at)?)?;
        let got = LearnedSoup::new().slopes(&networks, &mixed, &distance(&mixed)?.backward()?, &[""])?;
        for (i, got) in got.iter().enumerate() {
            let (mut up, mut down) = (at, at);
            (up[i], down[i]) = (up[i] + 1e-5, down[i] - 1e-5);
            let slope = (loss(&up)? - loss(&down)?) / 2e-5;
            assert!((got - slope).abs() < 1e-6 * (1. + slope.abs()), "{got} {slope}");
        }
        Ok(())
    }

    #[test]
    fn a_loss_that_leads_nowhere_is_an_error() -> Result<()> {
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
        // Single precision, too.
        let single = |w: f32| Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())]);
        let soup = soup.steps(200).merge(&[&single(1.), &single(2.)], near)?;
        assert!(soup.score < 1e-3 && soup.weights["w"].dtype() == DType::F32);
        Ok(())
    }
}
