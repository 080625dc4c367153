//! The result of a soup.
use crate::weights::Weights;
use std::collections::BTreeMap;

/// A network made of several, with the share of each.
#[derive(Clone, Debug)]
pub struct Soup {
    /// The network.
    pub weights: Weights,
    /// The coefficients of the networks, `(M,)` for each group of tensors, by the name of the group. If all
    /// tensors share their coefficients, there is one group, named `""`.
    pub coefficients: BTreeMap<String, Vec<f64>>,
    /// The network's score by the caller's function: the metric of a greedy soup, the loss of a learned soup.
    pub score: f64,
}
