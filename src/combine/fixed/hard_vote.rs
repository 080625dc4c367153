//! The plurality vote.
use crate::{
    combine::{
        fixed::row_by_row::{row_by_row, Heard},
        Head, Rule,
    },
    predictions::Voices,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The hard vote: each slot votes for its most probable class, and a class gets its share of the votes. Ties,
/// within a slot and between classes, go to the lowest class. Classes only; no gradient passes through it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
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
        row_by_row(voices, &voices.probabilities("the hard vote")?, |heard, said| vote(&heard, |_| 1., said))
    }
}

/// Each class's share of the votes, of which a slot has `weight`.
pub(crate) fn vote(heard: &Heard<'_>, weight: impl Fn(usize) -> f64, said: &mut [f64]) {
    let mut total = 0.;
    for (voice, slot) in heard.slots.iter().enumerate() {
        said[heard.vote(voice)] += weight(*slot);
        total += weight(*slot);
    }
    said.iter_mut().for_each(|x| *x /= total);
}
