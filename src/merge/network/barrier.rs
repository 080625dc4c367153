//! The loss barrier between networks.
use crate::{
    codec::real,
    merge::uniform_soup,
    weights::{mix, Weights},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The usual number of points on the path between two networks: 11, in steps of a tenth.
pub const BARRIER_POINTS: usize = 11;

/// The rise of the loss between networks, above the straight line between their own losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    /// The points of the path: the share `t` of the second network, from 0 to 1, and the loss at
    /// `(1 − t)·a + t·b`. For more than two networks there is one point, their mean, whose `t` has no
    /// meaning.
    pub path: Vec<(f64, f64)>,
    /// The losses of the networks themselves.
    pub ends: Vec<f64>,
    /// The height of the barrier. For two networks it is `maxₜ [L((1 − t)·a + t·b) − (1 − t)·L(a) − t·L(b)]`,
    /// which is at least 0, because both ends are on the path. For more networks it is
    /// `L(Σ wᵢ θᵢ) − Σ wᵢ L(θᵢ)`, which may be negative.
    #[serde(with = "real")]
    pub height: f64,
}

impl Barrier {
    /// The loss in the middle of the path, or at the mean of more than two networks. If the number of points
    /// is even, it is the loss at the point just before the middle.
    #[must_use]
    pub fn middle(&self) -> f64 {
        let half = self.path.len().saturating_sub(1) / 2;
        self.path.get(half).map_or(f64::NAN, |(_, loss)| *loss)
    }

    /// The barrier itself, if its height is at most `limit`: a check before networks are averaged.
    ///
    /// # Errors
    /// [`Error::BarrierTooHigh`] when it is higher. The message names the alternatives: alignment, or an
    /// ensemble.
    pub fn at_most(self, limit: f64) -> Result<Self> {
        match self.height <= limit {
            true => Ok(self),
            false => Err(Error::BarrierTooHigh { barrier: self.height, limit, aligned: false }),
        }
    }

    /// The barrier at one network with loss `middle`, made of networks with losses `ends`.
    pub(crate) fn at_one_point(middle: f64, ends: Vec<f64>, shares: &[f64]) -> Result<Self> {
        let middle = finite(middle)?;
        ends.iter().try_for_each(|loss| finite(*loss).map(drop))?;
        let height = middle - ends.iter().zip(shares).map(|(loss, share)| loss * share).sum::<f64>();
        Ok(Self { path: vec![(0.5, middle)], ends, height })
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends: Vec<_> = self.ends.iter().map(|loss| format!("{loss:.4}")).collect();
        write!(
            f,
            "barrier {:.4}: loss {:.4} midway, {} at the ends",
            self.height,
            self.middle(),
            ends.join(", ")
        )
    }
}

/// Measures the loss barrier along the straight path between two networks.
///
/// Formula: `maxₜ [L((1 − t)·a + t·b) − (1 − t)·L(a) − t·L(b)]`, over `points` evenly spaced `t` from 0 to 1,
/// both ends included.
///
/// `loss` is any number for a network that is better when lower: [`Model::loss`](crate::merge::Model::loss)
/// over held-out rows, one minus the accuracy, or the loss after batch-norm statistics are
/// [re-estimated](crate::merge::re_estimate()).
///
/// Use it to decide whether two networks can be averaged. A height near 0 means that they lie in one basin.
///
/// Cost: `loss` is called once for each point, from `a` to `b`.
///
/// # Errors
/// [`Error::Incompatible`] when the networks differ in names, shapes or dtypes (all differences are listed).
/// When there are fewer than 3 points, or a loss is NaN or infinite.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::barrier, weights::Weights};
///
/// let at = |x: f64| Ok::<_, candle_core::Error>(Weights::from([("x".into(), Tensor::new(&[x], &Device::Cpu)?)]));
/// // The loss is a hill between −1 and 1.
/// let hill = barrier(&at(-1.)?, &at(1.)?, 11, |w| Ok(1. - w["x"].to_vec1::<f64>()?[0].powi(2)))?;
/// assert!((hill.height - 1.).abs() < 1e-12 && (hill.middle() - 1.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Frankle et al. (2020), arXiv:1912.05671; Entezari et al. (2022), arXiv:2110.06296.
pub fn barrier(
    a: &Weights,
    b: &Weights,
    points: usize,
    mut loss: impl FnMut(&Weights) -> Result<f64>,
) -> Result<Barrier> {
    along_path(a, b, points, |_, weights| loss(&weights))
}

/// As [`barrier`]; `loss` is also given the share of `b`.
pub(crate) fn along_path(
    a: &Weights,
    b: &Weights,
    points: usize,
    mut loss: impl FnMut(f64, Weights) -> Result<f64>,
) -> Result<Barrier> {
    if points < 3 {
        return Err(Error::invalid("the number of points on the path", "at least 3", points));
    }
    let last = (points - 1) as f64;
    let shares = (0..points).map(|i| i as f64 / last);
    let at = |t: f64| Ok((t, finite(loss(t, mix(&[a, b], &[1. - t, t])?)?)?));
    let path = shares.map(at).collect::<Result<Vec<_>>>()?;
    let end = |at: Option<&(f64, f64)>| at.map_or(f64::NAN, |(_, loss)| *loss);
    let (first, second) = (end(path.first()), end(path.last()));
    let rise = |&(t, loss): &(f64, f64)| loss - (1. - t) * first - t * second;
    let height = path.iter().map(rise).fold(0., f64::max);
    Ok(Barrier { path, ends: vec![first, second], height })
}

/// Measures the loss barrier at the mean of two or more networks.
///
/// Formula: `L(1/M Σ θᵢ) − 1/M Σ L(θᵢ)`, for `M` networks. It may be negative.
///
/// Use it to decide whether more than two networks can be averaged; for two, [`barrier`] looks at the whole
/// path.
///
/// Cost: `loss` is called `M + 1` times.
///
/// # Errors
/// As [`barrier`], and when there are fewer than two networks.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::barrier_at_mean, weights::Weights};
///
/// let at = |x: f64| Ok::<_, candle_core::Error>(Weights::from([("x".into(), Tensor::new(&[x], &Device::Cpu)?)]));
/// let networks = [at(0.)?, at(3.)?, at(6.)?];
/// let found = barrier_at_mean(&networks.each_ref(), |w| Ok(w["x"].to_vec1::<f64>()?[0].powi(2)))?;
/// assert_eq!(found.height, 9. - 15.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn barrier_at_mean(
    networks: &[&Weights],
    mut loss: impl FnMut(&Weights) -> Result<f64>,
) -> Result<Barrier> {
    if networks.len() < 2 {
        return Err(Error::invalid("the number of networks", "at least 2", networks.len()));
    }
    let middle = loss(&uniform_soup(networks)?)?;
    let ends = networks.iter().map(|network| loss(network)).collect::<Result<Vec<_>>>()?;
    Barrier::at_one_point(middle, ends, &vec![1. / networks.len() as f64; networks.len()])
}

fn finite(loss: f64) -> Result<f64> {
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(Error::invalid("the loss on the path", "finite", loss))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn at(x: f64) -> Weights {
        Weights::from([("x".to_string(), Tensor::new(&[x], &Device::Cpu).unwrap())])
    }

    fn x(weights: &Weights) -> f64 {
        weights["x"].to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn a_line_and_a_bowl_have_no_barrier() {
        let line = barrier(&at(0.), &at(2.), 5, |w| Ok(3. * x(w) + 1.)).unwrap();
        assert!(line.height.abs() < 1e-12);
        assert_eq!(line.path, [(0., 1.), (0.25, 2.5), (0.5, 4.), (0.75, 5.5), (1., 7.)]);
        assert_eq!(line.ends, [1., 7.]);
        let bowl = barrier(&at(-1.), &at(1.), 25, |w| Ok(x(w).powi(2))).unwrap();
        assert_eq!((bowl.height, bowl.middle()), (0., 0.));
    }

    #[test]
    fn the_height_is_measured_above_the_line_between_the_ends() {
        // Ends 0 and 4, a spike at x = 1 (t = .25): 5 − 1 = 4 above the line.
        let spiked = |w: &Weights| Ok(if x(w) == 1. { 5. } else { x(w) });
        let found = barrier(&at(0.), &at(4.), 5, spiked).unwrap();
        assert_eq!(found.height, 4.);
        assert_eq!(found.to_string(), "barrier 4.0000: loss 2.0000 midway, 0.0000, 4.0000 at the ends");
        assert!(found.clone().at_most(4.).is_ok());
        let e = found.clone().at_most(f64::NAN).unwrap_err().to_string();
        assert!(e.contains("but is 4.0000: align") && e.contains("Pool::combine"), "{e}");
        let refused = found.clone().at_most(1.).unwrap_err();
        assert!(matches!(refused, Error::BarrierTooHigh { barrier: 4., limit: 1., aligned: false }));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Barrier>(&json).unwrap(), found);
    }

    #[test]
    fn more_than_two_networks_are_measured_at_their_mean() {
        let members = [at(0.), at(3.), at(6.)];
        let all: Vec<_> = members.iter().collect();
        let found = barrier_at_mean(&all, |w| Ok(x(w).powi(2))).unwrap();
        assert_eq!((found.height, found.middle()), (9. - 15., 9.));
        assert_eq!(found.ends, [0., 9., 36.]);
        assert!(barrier_at_mean(&all[..1], |_| Ok(0.)).is_err());
    }

    #[test]
    fn bad_losses_and_paths_are_refused() {
        assert!(barrier(&at(0.), &at(1.), 2, |_| Ok(0.)).is_err());
        assert!(barrier(&at(0.), &at(1.), 3, |_| Ok(f64::NAN)).is_err());
        let e = barrier(&at(0.), &Weights::new(), 3, |_| Ok(0.)).unwrap_err().to_string();
        assert!(e.contains("network 1: x is missing"), "{e}");
    }
}
