//! The uniform soup.
use crate::{
    weights::{average, Weights},
    Result,
};

/// Averages networks with equal weights.
///
/// Formula: `θ = 1/M Σ θᵢ`, for `M` networks.
///
/// Use it for networks that were fine-tuned from one network with different settings, or for networks that
/// are aligned ([`align`](crate::merge::align)). Independently trained networks lie in different basins of
/// the loss, and their average is useless. Where some of the networks are bad,
/// [`GreedySoup`](crate::merge::GreedySoup) leaves them out.
///
/// Cost: one pass over the weights of all networks.
///
/// # Errors
/// As [`average`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::uniform_soup, weights::Weights};
///
/// let network = |w: f32| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// let soup = uniform_soup(&[&network(1.)?, &network(4.)?])?;
/// assert_eq!(soup["w"].to_vec1::<f32>()?, [2.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wortsman et al. (2022), "Model soups: averaging weights of multiple fine-tuned models improves
/// accuracy without increasing inference time", arXiv:2203.05482.
pub fn uniform_soup(networks: &[&Weights]) -> Result<Weights> {
    average(networks, &vec![1.; networks.len()])
}
