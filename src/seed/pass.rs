//! The seed of a forward pass, for layers that have none of their own.
use crate::Seed;
use std::cell::Cell;

#[derive(Clone, Copy)]
struct Pass {
    seed: PassSeed,
    /// The number of draws so far.
    drawn: u64,
}

#[derive(Clone, Copy)]
enum PassSeed {
    Known(Seed),
    /// That of a step, of those of a training. It is computed when something is drawn.
    OfStep(Seed, u64),
}

impl PassSeed {
    fn get(self) -> Seed {
        match self {
            Self::Known(seed) => seed,
            Self::OfStep(seeds, step) => seeds.nth("step", step),
        }
    }
}

thread_local! {
    static PASS: Cell<Option<Pass>> = const { Cell::new(None) };
}

/// Ends a pass, also when it is left by a panic.
struct Within {
    outer: Option<Pass>,
}

impl Drop for Within {
    fn drop(&mut self) {
        PASS.set(self.outer);
    }
}

/// Runs a forward pass in training, in which the layers of [`drop_in::Dropout`](crate::nn::drop_in::Dropout) draw their
/// masks from this seed.
///
/// The [`Trainer`](crate::train::Trainer) calls it at every step, with seeds that depend on the run's seed and the
/// number of the step. In a training loop of your own, call it with another seed at every step. The pass has to run on
/// the thread that calls this function. Passes may be nested; each has its own draws.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{drop_in::Dropout, seeded_pass}, Seed};
///
/// let (layer, x) = (Dropout::new(0.5), Tensor::ones(64, DType::F32, &Device::Cpu)?);
/// let step = |number| seeded_pass(Seed::from(42).nth("step", number), || layer.forward(&x, true)?.to_vec1::<f32>());
/// assert_eq!(step(0)?, step(0)?);
/// assert_ne!(step(0)?, step(1)?);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn seeded_pass<T>(seed: impl Into<Seed>, forward: impl FnOnce() -> T) -> T {
    within(PassSeed::Known(seed.into()), forward)
}

/// A [`seeded_pass`] with the seed `seeds.nth("step", step)`, which costs nothing where nothing is drawn.
pub(crate) fn seeded_step<T>(seeds: Seed, step: u64, forward: impl FnOnce() -> T) -> T {
    within(PassSeed::OfStep(seeds, step), forward)
}

fn within<T>(seed: PassSeed, forward: impl FnOnce() -> T) -> T {
    let _within = Within { outer: PASS.replace(Some(Pass { seed, drawn: 0 })) };
    forward()
}

/// The seed of the next draw in the pass of this thread; `None` outside of a pass.
pub(crate) fn next_draw() -> Option<Seed> {
    let Pass { seed, drawn } = PASS.get()?;
    let seed = seed.get();
    PASS.set(Some(Pass { seed: PassSeed::Known(seed), drawn: drawn + 1 }));
    Some(seed.nth("draw", drawn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_the_seed_and_their_number_only() {
        let draws = || [next_draw(), next_draw()];
        let first = seeded_pass(1, draws);
        assert!(first[0].is_some() && first[0] != first[1]);
        assert_eq!(seeded_pass(1, draws), first);
        assert_ne!(seeded_pass(2, draws)[0], first[0]);
        // The pass of a step has the seed of that name.
        let seeds = Seed::from(3);
        assert_eq!(seeded_step(seeds, 7, draws), seeded_pass(seeds.nth("step", 7), draws));
        assert_eq!(seeded_step(seeds, 7, || 1), 1);
        // A pass within a pass leaves the draws of the outer one as they are.
        let around = seeded_pass(1, || {
            let before = next_draw();
            seeded_pass(2, draws);
            [before, next_draw()]
        });
        assert_eq!(around, first);
        assert!(next_draw().is_none());
        assert!(std::panic::catch_unwind(|| seeded_pass(1, || panic!("left"))).is_err());
        assert!(next_draw().is_none());
    }
}
