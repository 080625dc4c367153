//! Seeds whose sub-seeds are hashes of names.
//!
//! Every random draw in the library has a generator of its own, seeded by a name. So the order of draws does
//! not matter, and neither does the number of threads.
pub(crate) mod pass;

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

    fn hex(seed: Seed) -> String {
        seed.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Numbers of tests/reference/seeds.py, which has its own ChaCha8. A change of them changes every plan,
    /// every initial weight and every order of rows.
    #[test]
    fn seeds_and_their_streams_never_change() {
        let seed = Seed::from(42);
        assert_eq!(hex(seed), "fae624a6c2dcaa946ec81bbee9d0ee5c298c00955d3f889057e7ac83ed2dd170");
        assert_eq!(
            hex(seed.child("weights")),
            "67afcdb7a25e74584996ba0301869c336165cfa87d140d81f8d32a20989efd0a"
        );
        assert_eq!(
            hex(seed.nth("run", 7)),
            "86d0c6a50d70e782e29122d412b286c5e1a610947698e89e947a16582c28bd27"
        );
        assert_eq!(hex(Seed::from(0)), "71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb");
        let mut rng = seed.child("weights").rng();
        let draws: [u64; 3] = std::array::from_fn(|_| rng.random());
        assert_eq!(draws, [3584914689940129412, 10173461711169787772, 77699561952344684]);
    }

    #[test]
    fn a_numbered_seed_is_the_child_of_that_name() {
        assert_eq!(Seed::from(1).nth("run", 1), Seed::from(1).child("run/1"));
        assert_ne!(Seed::from(1).nth("run", 1), Seed::from(1).nth("run", 2));
        assert_ne!(Seed::from(1).child("run"), Seed::from(2).child("run"));
    }
}
