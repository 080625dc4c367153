//! The plurality vote.
use super::{Head, Rule, Voices};
use crate::host;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The hard vote: each slot votes for its most probable class, and a class gets its share of the votes. Ties,
/// within a slot and between classes, go to the lowest class. Classes only; no gradient passes through it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task};
///
/// let members = Tensor::new(&[[[0.2f32, 0.8]], [[0.6, 0.4]]], &Device::Cpu)?;
/// let voices = Voices::new(members, Task::Classification { classes: 2 })?;
/// assert_eq!(HardVote.combine(&voices)?.to_vec2::<f32>()?, [[0.5, 0.5]]); // a tie: class 0
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardVote;

impl Rule for HardVote {}

impl Head for HardVote {
    fn name(&self) -> String {
        "hard-vote".into()
    }

    fn combine(&self, voices: &Voices) -> Result<Tensor> {
        let values = voices.probabilities("the hard vote")?;
        let (slots, rows, classes) = values.dims3()?;
        let covered = voices.coverage()?;
        let speaks = |slot: usize, row: usize| covered.as_ref().is_none_or(|c| c[slot][row] > 0.);
        let shares = host::with_f32(&values, |all| {
            let mut votes = vec![0f32; rows * classes];
            for (i, voice) in all.chunks_exact(classes).enumerate() {
                if speaks(i / rows, i % rows) {
                    votes[i % rows * classes + host::argmax(voice)] += 1.;
                }
            }
            let count = |row: usize| (0..slots).filter(|slot| speaks(*slot, row)).count() as f32;
            for (row, votes) in votes.chunks_exact_mut(classes).enumerate() {
                let count = count(row);
                votes.iter_mut().for_each(|v| *v /= count);
            }
            votes
        })?;
        Tensor::from_vec(shares, (rows, classes), values.device())?.to_dtype(values.dtype())
    }
}
