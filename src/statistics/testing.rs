//! What the tests share: comparisons with reference numbers, and error rates over simulations.
use crate::Seed;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Checks that `a` is `b` up to a relative error.
#[track_caller]
pub(crate) fn close(a: f64, b: f64, relative: f64) {
    assert!((a - b).abs() <= relative * b.abs(), "{a} is not {b}");
}

pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// The number of `simulations` for which an event happens.
pub(crate) fn count(simulations: u64, event: impl Fn(&mut ChaCha8Rng) -> bool) -> f64 {
    let seed = Seed::from(11);
    (0..simulations).filter(|&i| event(&mut seed.nth("simulation", i).rng())).count() as f64
}

/// Four standard deviations of a binomial count: a right method misses by more for one seed in 16,000.
#[track_caller]
pub(crate) fn within_binomial_error(count: f64, simulations: f64, share: f64) {
    let slack = 4.0 * (simulations * share * (1.0 - share)).sqrt();
    let expected = simulations * share;
    assert!((count - expected).abs() <= slack, "{count} of {simulations}, {expected} expected");
}

/// Numbers from 0 to 1 by the generator of `tests/reference/lcg.py`.
pub(crate) fn draws(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32);
        state as f64 / 4_294_967_296.0
    }
}
