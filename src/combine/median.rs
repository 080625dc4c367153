//! The median.
use super::{Head, Rule, Voices};
use crate::{data::Task, host};
use candle_core::{Result, Tensor, D};
use serde::{Deserialize, Serialize};

/// The median of values, output by output; for classes the median of each class's probabilities, normalised
/// again. Of an even number, the mean of the middle two. No gradient passes through it.
///
/// Choose it over the mean when single members now and then fail badly.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task};
///
/// let members = Tensor::new(&[[[1f32]], [[2.]], [[900.]]], &Device::Cpu)?;
/// let voices = Voices::new(members, Task::Regression { outputs: 1 })?;
/// assert_eq!(Median.combine(&voices)?.to_vec2::<f32>()?, [[2.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Median;

impl Rule for Median {}

impl Head for Median {
    fn name(&self) -> String {
        "median".into()
    }

    fn combine(&self, voices: &Voices) -> Result<Tensor> {
        let values = voices.values();
        let (slots, rows, width) = values.dims3()?;
        let covered = voices.coverage()?;
        let speaks = |slot: usize, row: usize| covered.as_ref().is_none_or(|c| c[slot][row] > 0.);
        let medians = host::with_f32(values, |all| {
            let mut present = Vec::with_capacity(slots);
            let mut median = |i: usize| {
                present.clear();
                let heard = (0..slots).filter(|slot| speaks(*slot, i / width));
                present.extend(heard.map(|slot| all[slot * rows * width + i]));
                middle(&mut present)
            };
            (0..rows * width).map(&mut median).collect::<Vec<_>>()
        })?;
        let medians = Tensor::from_vec(medians, (rows, width), values.device())?.to_dtype(values.dtype())?;
        match voices.task() {
            Task::Regression { .. } => Ok(medians),
            Task::Classification { .. } => medians.broadcast_div(&medians.sum_keepdim(D::Minus1)?),
        }
    }
}

fn middle(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    match values.len() {
        0 => f32::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * values[n / 2 - 1] + 0.5 * values[n / 2],
    }
}
