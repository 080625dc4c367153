//! A forest of decision trees that vote, as a table.
use super::Features;
use std::sync::LazyLock;

/// The number of labels.
const LABELS: usize = 9;

/// The fitted forest.
pub(super) static FOREST: LazyLock<Forest> =
    LazyLock::new(|| Forest::parse(include_bytes!("forest.bin"), Features::NAMES.len()));

/// A forest. `tests/reference/fit_curves.py` writes its bytes, little-endian: as `f32` the power of the vote shares, the
/// weight of each label, and what stands for each feature that is NaN; and then each tree in preorder. An inner node is
/// the number of a feature as `u8` and a threshold as `f32`, below or at which the left branch follows; a leaf is 255 and
/// the number of a label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Forest {
    power: f64,
    weights: [f64; LABELS],
    /// What stands for each feature that is NaN: a number far from all others or, where the number of validation rows is
    /// not known, the median, so that it speaks for no label.
    missing: Vec<f64>,
    nodes: Vec<Node>,
    /// The position of the root of each tree.
    roots: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Leaf { label: usize },
    Inner { feature: usize, threshold: f64, right: usize },
}

/// Larger features are cut.
const LARGEST: f64 = 50.;

impl Forest {
    /// Reads a forest. It ends where the bytes do.
    pub(super) fn parse(bytes: &[u8], features: usize) -> Self {
        let mut at = bytes;
        let power = real(&mut at).unwrap_or(1.);
        let weights = std::array::from_fn(|_| real(&mut at).unwrap_or(1.));
        let missing = (0..features).map(|_| real(&mut at).unwrap_or(0.)).collect();
        let mut forest = Self { power, weights, missing, nodes: vec![], roots: vec![] };
        while !at.is_empty() {
            forest.roots.push(forest.nodes.len());
            forest.tree(&mut at);
        }
        forest
    }

    /// Reads one tree.
    fn tree(&mut self, at: &mut &[u8]) {
        // Inner nodes whose right branch is still to come.
        let mut open = vec![];
        loop {
            let position = self.nodes.len();
            match (byte(at), at.first()) {
                (Some(feature), Some(_)) if feature < u8::MAX => {
                    let threshold = real(at).unwrap_or(0.);
                    self.nodes.push(Node::Inner { feature: feature.into(), threshold, right: 0 });
                    open.push(position);
                }
                (_, label) => {
                    let label = label.map_or(0, |label| usize::from(*label)).min(LABELS - 1);
                    byte(at);
                    self.nodes.push(Node::Leaf { label });
                    let Some(parent) = open.pop() else { return };
                    if let Some(Node::Inner { right, .. }) = self.nodes.get_mut(parent) {
                        *right = position + 1;
                    }
                }
            }
        }
    }

    /// Whether every inner node asks for one of so many features, and there are trees.
    #[cfg(test)]
    pub(super) fn fits(&self, features: usize) -> bool {
        let known = |node: &Node| {
            matches!(node, Node::Leaf { .. })
                || matches!(node, Node::Inner { feature, right, .. } if *feature < features && *right > 0)
        };
        !self.roots.is_empty() && self.nodes.iter().all(known)
    }

    /// The probability of each label, in the order of [`Label::ALL`](crate::diagnose::Label::ALL).
    pub(super) fn probabilities(&self, features: &[f64]) -> [f64; LABELS] {
        let mut votes = [0f64; LABELS];
        for root in &self.roots {
            if let Some(votes) = self.vote(*root, features).and_then(|label| votes.get_mut(label)) {
                *votes += 1.;
            }
        }
        let mut shares = votes;
        for (share, weight) in shares.iter_mut().zip(&self.weights) {
            *share = weight * share.powf(self.power);
        }
        let sum: f64 = shares.iter().sum();
        shares.map(|share| share / sum)
    }

    /// The label at the leaf of one tree.
    fn vote(&self, root: usize, features: &[f64]) -> Option<usize> {
        let mut at = root;
        loop {
            match *self.nodes.get(at)? {
                Node::Leaf { label } => return Some(label),
                Node::Inner { feature, threshold, right } => {
                    let value = *features.get(feature)?;
                    let value = if value.is_nan() { *self.missing.get(feature)? } else { value };
                    let value = value.clamp(-LARGEST, LARGEST);
                    at = if value <= threshold { at + 1 } else { right };
                }
            }
        }
    }
}

fn byte(at: &mut &[u8]) -> Option<u8> {
    let (first, rest) = at.split_first()?;
    *at = rest;
    Some(*first)
}

fn real(at: &mut &[u8]) -> Option<f64> {
    let (bytes, rest) = at.split_first_chunk::<4>()?;
    *at = rest;
    Some(f32::from_le_bytes(*bytes).into())
}
