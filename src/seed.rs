//! Seeds whose sub-seeds are hashes of names.
//!
//! Every random draw in the library has a generator of its own, seeded by a name. So the order of draws does
//! not matter, and neither does the number of threads.
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A seed, from which named sub-seeds are derived by hashing (BLAKE3). Integers convert into seeds, so most
/// functions take `42` as a seed.
///
/// ```
/// use candle_ensemble::Seed;
/// use rand::Rng;
///
/// let seed = Seed::from(42);
/// let draw = |name| seed.child(name).rng().random::<u64>();
/// assert_eq!(draw("weights"), draw("weights"));
/// assert_ne!(draw("weights"), draw("batches"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The sub-seed with this name.
    #[must_use]
    pub fn child(self, name: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, name.as_bytes()).as_bytes())
    }

    /// The sub-seed number `index` of those with this name.
    #[must_use]
    pub fn nth(self, name: &str, index: u64) -> Self {
        self.child(&format!("{name}/{index}"))
    }

    /// A random number generator with this seed: ChaCha8, whose stream is the same on every platform and in
    /// every release.
    #[must_use]
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.0)
    }
}

impl From<u64> for Seed {
    fn from(x: u64) -> Self {
        Self(*blake3::hash(&x.to_le_bytes()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn equal_names_give_equal_streams() {
        let x: u64 = Seed::from(42).child("weights").rng().random();
        assert_eq!(x, Seed::from(42).child("weights").rng().random::<u64>());
        assert_ne!(x, Seed::from(43).child("weights").rng().random::<u64>());
        assert_ne!(Seed::from(1).nth("run", 1), Seed::from(1).nth("run", 2));
        assert_eq!(Seed::from(1).nth("run", 1), Seed::from(1).child("run/1"));
    }
}
