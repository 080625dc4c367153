//! The greedy soup.
use crate::{
    merge::Soup,
    weights::{average, compatibility, Weights},
    Error, Result,
};
use std::collections::BTreeMap;

/// Averages those networks that improve a held-out metric.
///
/// The networks are sorted by the metric, best first. Starting with the best network, each network is added
/// to the average if the metric of the new average is not worse:
///
/// ```text
/// S ← {best};  for each next θᵢ:  if metric(mean(S ∪ {θᵢ})) ≥ metric(mean(S)):  S ← S ∪ {θᵢ}
/// ```
///
/// The comparison is `≥`, as in the paper. The authors' program uses `>`: [`GreedySoup::strict`]. Networks
/// with equal metrics keep their order.
///
/// Use it for networks that were fine-tuned from one network with different settings, some of which may be
/// bad. Don't use it without held-out rows: the networks are chosen by the metric, so its value for the soup
/// is optimistic.
///
/// Cost: the metric is computed `2·M − 1` times for `M` networks. Memory for two more networks.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::GreedySoup, weights::Weights};
///
/// let network = |w: f32| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// let (a, b, c) = (network(1.)?, network(2.)?, network(9.)?);
/// // Higher is better: minus the distance of the weight to 1.6.
/// let metric = |w: &Weights| Ok(-(w["w"].to_vec1::<f32>()?[0] - 1.6).abs() as f64);
/// let soup = GreedySoup::new().merge(&[&a, &b, &c], metric)?;
/// assert_eq!(soup.weights["w"].to_vec1::<f32>()?, [1.5]);
/// assert_eq!(soup.coefficients[""], [0.5, 0.5, 0.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wortsman et al. (2022), "Model soups: averaging weights of multiple fine-tuned models improves
/// accuracy without increasing inference time", arXiv:2203.05482.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GreedySoup {
    strict: bool,
}

impl GreedySoup {
    /// A soup to which a network is added when the metric is not worse for it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a network is added only when the metric is better for it; false by default.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Makes the soup of these networks. `metric` measures a network on held-out rows, and higher is better:
    /// pass the negative of a loss.
    ///
    /// # Errors
    /// As [`average`]; the first error of `metric`; when the metric of one of the networks is NaN.
    pub fn merge(
        &self,
        networks: &[&Weights],
        mut metric: impl FnMut(&Weights) -> Result<f64>,
    ) -> Result<Soup> {
        compatibility::check(networks)?;
        let single = networks.iter().map(|network| metric(network)).collect::<Result<Vec<_>>>()?;
        if let Some(number) = single.iter().position(|score| score.is_nan()) {
            return Err(Error::invalid(format!("the metric of network {number}"), "a number", f64::NAN));
        }
        let mut order: Vec<usize> = (0..networks.len()).collect();
        order.sort_by(|a, b| single[*b].total_cmp(&single[*a]));
        let mut counts = vec![0.; networks.len()];
        counts[order[0]] = 1.;
        // An average of one network, so that its elements are checked and integer buffers are the last
        // network's.
        let (mut best, mut score) = (average(networks, &counts)?, single[order[0]]);
        for next in &order[1..] {
            counts[*next] = 1.;
            let candidate = average(networks, &counts)?;
            let candidate_score = metric(&candidate)?;
            if candidate_score > score || candidate_score == score && !self.strict {
                (best, score) = (candidate, candidate_score);
            } else {
                counts[*next] = 0.;
            }
        }
        let chosen: f64 = counts.iter().sum();
        let shares = counts.iter().map(|count| count / chosen).collect();
        Ok(Soup { weights: best, coefficients: BTreeMap::from([(String::new(), shares)]), score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{merge::uniform_soup, weights::mix};
    use candle_core::{Device, Tensor};
    use std::cell::Cell;

    fn one(w: f64) -> Weights {
        Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())])
    }

    fn value(weights: &Weights) -> f64 {
        weights["w"].to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn networks_are_added_as_the_paper_describes() -> Result<()> {
        // The metric is minus the distance to 2. Single networks: 1 → −1, 5 → −3, 2.5 → −.5, 9 → −7. Starting
        // at 2.5, adding 1 gives 1.75, which is better; adding 5 gives 2.83 and adding 9 gives 4.17, which
        // are not.
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
    fn an_equally_good_soup_is_accepted_unless_strict() -> Result<()> {
        let networks = [one(1.), one(2.), one(3.)];
        let networks: Vec<&Weights> = networks.iter().collect();
        let same = |_: &Weights| Ok(0.5);
        let all = GreedySoup::new().merge(&networks, same)?;
        assert!(all.coefficients[""].iter().all(|c| (c - 1. / 3.).abs() < 1e-15));
        let first = GreedySoup::new().strict(true).merge(&networks, same)?;
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
    fn errors_and_nan_metrics_are_reported() -> Result<()> {
        let (a, b) = (one(1.), one(2.));
        let e = GreedySoup::new()
            .merge(&[&a, &b], |w| Ok(if value(w) > 1.5 { f64::NAN } else { 0. }))
            .unwrap_err();
        assert!(e.to_string().contains("network 1"), "{e}");
        let fails = |_: &Weights| Err(Error::invalid("the evaluation", "possible", "not"));
        assert!(GreedySoup::new().merge(&[&a, &b], fails).is_err());
        assert!(GreedySoup::new().merge(&[], |_| Ok(0.)).is_err());
        // A soup with a NaN metric is not accepted.
        let soup = GreedySoup::new().merge(&[&a, &b], |w| Ok(if value(w) == 1.5 { f64::NAN } else { 0. }))?;
        assert_eq!(soup.coefficients[""], [1., 0.]);
        Ok(())
    }
}
