//! The seed of a forward pass, for layers that have none of their own.
use crate::Seed;
use std::cell::{Cell, RefCell};

thread_local! {
    /// The seeds of the pass that runs on this thread: one, or one for each member of a pass for several members.
    static SEEDS: RefCell<Vec<Seed>> = const { RefCell::new(Vec::new()) };
    /// The number of draws of this pass so far.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// Ends a pass, also when it is left by a panic.
struct Within {
    seeds: Vec<Seed>,
    drawn: u64,
}

impl Within {
    fn begin(seeds: Vec<Seed>) -> Self {
        Self { seeds: SEEDS.replace(seeds), drawn: DRAWN.replace(0) }
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        SEEDS.set(std::mem::take(&mut self.seeds));
        DRAWN.set(self.drawn);
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
    let _within = Within::begin(vec![seed.into()]);
    forward()
}

/// The same for a pass for several members, each of which has a seed and an equal part of the rows.
pub(crate) fn seeded_passes<T>(seeds: Vec<Seed>, forward: impl FnOnce() -> T) -> T {
    let _within = Within::begin(seeds);
    forward()
}

/// The seeds of the next draw in the pass of this thread, one for each member; none outside of a pass.
pub(crate) fn next_draws() -> Vec<Seed> {
    let drawn = DRAWN.replace(DRAWN.get() + 1);
    SEEDS.with_borrow(|seeds| seeds.iter().map(|seed| seed.nth("draw", drawn)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_the_seed_and_their_number_only() {
        let draws = || [next_draws(), next_draws()];
        let first = seeded_pass(1, draws);
        assert!(first[0].len() == 1 && first[0] != first[1]);
        assert_eq!(seeded_pass(1, draws), first);
        assert_ne!(seeded_pass(2, draws)[0], first[0]);
        // A pass within a pass leaves the draws of the outer one as they are.
        let around = seeded_pass(1, || {
            let before = next_draws();
            seeded_pass(2, draws);
            [before, next_draws()]
        });
        assert_eq!(around, first);
        assert!(next_draws().is_empty());
        assert!(std::panic::catch_unwind(|| seeded_pass(1, || panic!("left"))).is_err());
        assert!(next_draws().is_empty());
    }

    #[test]
    fn members_of_one_pass_draw_what_they_draw_alone() {
        let together = seeded_passes(vec![1.into(), 2.into()], || [next_draws(), next_draws()]);
        let alone = [1, 2].map(|seed: u64| seeded_pass(seed, || [next_draws(), next_draws()]));
        for (draw, both) in together.into_iter().enumerate() {
            assert_eq!(both, [alone[0][draw][0], alone[1][draw][0]]);
        }
    }
}
