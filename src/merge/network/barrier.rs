//! What lies between networks: the loss barrier.
use crate::{
    codec::real,
    merge::uniform_soup,
    weights::{mix, Weights},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Points on the path, if you have no other number in mind: 11, a tenth apart.
pub const BARRIER_POINTS: usize = 11;

/// How much the loss rises between networks, above the straight line between their own losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    /// The share `t` of the second network, from 0 to 1, and the loss at `(1 − t)·a + t·b`. Between many networks
    /// there is one point, their mean, whose `t` counts for nothing.
    pub path: Vec<(f64, f64)>,
    /// The losses of the networks themselves.
    pub ends: Vec<f64>,
    /// The highest rise: `maxₜ [L((1 − t)·a + t·b) − (1 − t)·L(a) − t·L(b)]`, not less than 0, for the ends are
    /// on the path; between many networks `L(mean) − mean of L`, which may be negative.
    #[serde(with = "real")]
    pub height: f64,
}

impl Barrier {
    /// The loss half-way, or at the mean of many networks; of a path of an even number of points, at the point just
    /// below half-way.
    #[must_use]
    pub fn middle(&self) -> f64 {
        let half = self.path.len().saturating_sub(1) / 2;
        self.path.get(half).map_or(f64::NAN, |(_, loss)| *loss)
    }

    /// The barrier itself, if it is no higher than `limit`: a guard before networks are averaged.
    ///
    /// # Errors
    /// When it is higher, with the figure and the ways out: alignment, or an ensemble of predictions.
    pub fn at_most(self, limit: f64) -> Result<Self> {
        if self.height <= limit {
            return Ok(self);
        }
        Err(self.refused(limit, false))
    }

    /// Why networks that lie so far apart are not averaged.
    pub(crate) fn refused(&self, limit: f64, aligned: bool) -> Error {
        let must = format!("at most {limit} for one network in place of several to be sound");
        let keep = "keep the networks and combine their predictions (Pool::combine)";
        let ways = match aligned {
            true => format!("aligned as they are, {keep}"),
            false => format!("align the networks first (MergeSpec::aligned, merge::align), or {keep}"),
        };
        Error::invalid("the loss barrier", must, format!("{:.4}: {ways}", self.height))
    }

    /// Of one network, with loss `middle`, out of those with losses `ends`.
    pub(crate) fn at(middle: f64, ends: Vec<f64>, shares: &[f64]) -> Result<Self> {
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

/// The barrier along the straight path between `a` and `b` (Frankle et al. 2020, arXiv:1912.05671; Entezari et al.
/// 2022, arXiv:2110.06296), at `points` points, both ends among them. `loss` is any figure of a network, less is
/// better: [`Model::loss`](crate::merge::Model::loss) over held-out rows, say, or 1 − accuracy; or the loss after batch-norm
/// statistics are [re-estimated](crate::merge::network::re_estimate::re_estimate). It is called once a point, from `a` to `b`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::merge::network::barrier;
/// use std::collections::BTreeMap;
///
/// let at = |x: f64| Ok::<_, candle_core::Error>(BTreeMap::from([("x".into(), Tensor::new(&[x], &Device::Cpu)?)]));
/// // A hill between −1 and 1.
/// let hill = barrier(&at(-1.)?, &at(1.)?, 11, |w| Ok(1. - w["x"].to_vec1::<f64>()?[0].powi(2)))?;
/// assert!((hill.height - 1.).abs() < 1e-12 && (hill.middle() - 1.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Errors
/// When the networks differ in names, shapes or dtypes (all differences are listed), there are fewer than 3 points,
/// or a loss is NaN or infinite.
pub fn barrier(
    a: &Weights,
    b: &Weights,
    points: usize,
    mut loss: impl FnMut(&Weights) -> Result<f64>,
) -> Result<Barrier> {
    along(a, b, points, |_, weights| loss(&weights))
}

/// The same; `loss` is told the share of `b`.
pub(crate) fn along(
    a: &Weights,
    b: &Weights,
    points: usize,
    mut loss: impl FnMut(f64, Weights) -> Result<f64>,
) -> Result<Barrier> {
    if points < 3 {
        return Err(Error::invalid("the points on the path", "at least 3", points));
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

/// The loss at the mean of two or more networks against the mean of their losses.
///
/// # Errors
/// As for [`barrier`], and when there are fewer than two networks.
pub fn barrier_at_mean(
    networks: &[&Weights],
    mut loss: impl FnMut(&Weights) -> Result<f64>,
) -> Result<Barrier> {
    if networks.len() < 2 {
        return Err(Error::invalid("the networks", "at least two", networks.len()));
    }
    let middle = loss(&uniform_soup(networks)?)?;
    let ends = networks.iter().map(|network| loss(network)).collect::<Result<Vec<_>>>()?;
    Barrier::at(middle, ends, &vec![1. / networks.len() as f64; networks.len()])
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
    fn a_line_has_no_barrier_and_a_bowl_has_none() {
        let line = barrier(&at(0.), &at(2.), 5, |w| Ok(3. * x(w) + 1.)).unwrap();
        assert!(line.height.abs() < 1e-12);
        assert_eq!(line.path, [(0., 1.), (0.25, 2.5), (0.5, 4.), (0.75, 5.5), (1., 7.)]);
        assert_eq!(line.ends, [1., 7.]);
        let bowl = barrier(&at(-1.), &at(1.), 25, |w| Ok(x(w).powi(2))).unwrap();
        assert_eq!((bowl.height, bowl.middle()), (0., 0.));
    }

    #[test]
    fn the_rise_is_taken_above_the_line_between_the_ends() {
        // Ends 0 and 4, a spike at x = 1 (t = .25): 5 − 1 = 4 above the line.
        let spiked = |w: &Weights| Ok(if x(w) == 1. { 5. } else { x(w) });
        let found = barrier(&at(0.), &at(4.), 5, spiked).unwrap();
        assert_eq!(found.height, 4.);
        assert_eq!(found.to_string(), "barrier 4.0000: loss 2.0000 midway, 0.0000, 4.0000 at the ends");
        assert!(found.clone().at_most(4.).is_ok());
        let e = found.clone().at_most(f64::NAN).unwrap_err().to_string();
        assert!(e.contains("but is 4.0000: align") && e.contains("Pool::combine"), "{e}");
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Barrier>(&json).unwrap(), found);
    }

    #[test]
    fn many_networks_are_measured_at_their_mean() {
        let members = [at(0.), at(3.), at(6.)];
        let all: Vec<_> = members.iter().collect();
        let found = barrier_at_mean(&all, |w| Ok(x(w).powi(2))).unwrap();
        assert_eq!((found.height, found.middle()), (9. - 15., 9.));
        assert_eq!(found.ends, [0., 9., 36.]);
        assert!(barrier_at_mean(&all[..1], |_| Ok(0.)).is_err());
    }

    #[test]
    fn what_is_no_figure_or_no_path_is_refused() {
        assert!(barrier(&at(0.), &at(1.), 2, |_| Ok(0.)).is_err());
        assert!(barrier(&at(0.), &at(1.), 3, |_| Ok(f64::NAN)).is_err());
        let e = barrier(&at(0.), &Weights::new(), 3, |_| Ok(0.)).unwrap_err().to_string();
        assert!(e.contains("network 1: x is missing"), "{e}");
    }
}
