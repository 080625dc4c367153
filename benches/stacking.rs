//! Speed of multinomial stacking: 50 members × 10 classes × 20,000 rows, at scikit-learn's default accuracy.
//!
//! `cargo bench --bench stacking`. The predictions come from a generator that is easy to write in any
//! language (`tests/reference/stacking_speed.py` fits the same values with scikit-learn), so that the
//! objectives can be compared: the mean log-loss plus ‖W‖² / (2 C Σw).
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        stack::{Logistic, MetaLearner, Ridge, Stack},
        Combiner, FittedCombiner,
    },
    data::Task,
    predictions::Predictions,
    threads, HeldOut, Result,
};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The objective of scikit-learn 1.9.1 at its default accuracy on the same data, by the size of the members'
/// own noise.
const SCIKIT_LEARN: [(f64, f64); 2] = [(1.0, 1.880_245_2), (0.25, 1.876_102_2)];

/// Predictions of `members` members for `rows` rows of ten classes, from 32-bit integers of the generator. A
/// logit is a noise common to all members, plus `own` times a noise of the member, plus two for the row's
/// class.
fn predictions(members: usize, rows: usize, own: f64) -> Result<HeldOut> {
    const CLASSES: usize = 10;
    let mut state = 12345u64;
    let mut draw = || {
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32);
        state as f64 / 4_294_967_296.
    };
    let labels: Vec<u32> = (0..rows).map(|_| (draw() * CLASSES as f64) as u32).collect();
    let common: Vec<f64> = (0..rows * CLASSES).map(|_| 8. * draw()).collect();
    let mut predicted = Vec::with_capacity(members * rows * CLASSES);
    for _ in 0..members {
        for (row, label) in labels.iter().enumerate() {
            let class = |c: usize| {
                let right = if c == *label as usize { 2. } else { 0. };
                (common[row * CLASSES + c] + 8. * own * draw() + right).exp()
            };
            let odds: Vec<f64> = (0..CLASSES).map(class).collect();
            let sum: f64 = odds.iter().sum();
            predicted.extend(odds.iter().map(|p| (p / sum) as f32));
        }
    }
    let predicted = Tensor::from_vec(predicted, (members, rows, CLASSES), &Device::Cpu)?;
    let predictions = Predictions::new(predicted, Task::Classification { classes: CLASSES })?;
    HeldOut::from_predictions(&predictions, &Tensor::new(labels, &Device::Cpu)?)
}

fn timed<M: MetaLearner + Copy>(name: &str, held_out: &HeldOut, learner: M) -> Result<(String, M::Model)>
where
    M::Model: Clone,
{
    let mut seconds = vec![];
    let mut fitted = None;
    for _ in 0..3 {
        let start = Instant::now();
        fitted = Some(Stack::new(learner).fit(held_out)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let fitted = fitted.ok_or(candle_core::Error::Msg("no run".into()))?;
    let fit = fitted.fitted().map_or(String::new(), |fit| {
        format!("objective {:.7}, {} iterations", fit.objective, fit.iterations)
    });
    let line = format!("{name}: {:.3} s (fastest {:.3}), {fit}", seconds[1], seconds[0]);
    Ok((line, fitted.model().clone()))
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    // `cargo test` runs each benchmark once without optimization; its times are not printed.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let (members, rows) = if measured { (50, 20_000) } else { (4, 300) };
    for (own, theirs) in SCIKIT_LEARN {
        let held_out = predictions(members, rows, own)?;
        let (logistic, model) = timed("multinomial", &held_out, Logistic::new())?;
        assert!(model.gradient() <= 1e-4, "not converged: {}", model.gradient());
        let (ridge, _) = timed("ridge", &held_out, Ridge::new(1.))?;
        if measured {
            println!("{members} members × {rows} rows × 10 classes, own noise {own}");
            println!(
                "  {logistic}, gradient {:.1e} (scikit-learn's objective {theirs:.7})",
                model.gradient()
            );
            println!("  {ridge}");
        }
    }
    Ok(())
}
