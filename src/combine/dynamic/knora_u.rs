//! Votes for being right nearby.
use super::{combine, Competence, Local, Space};
use crate::{
    combine::{Combiner, Head, Voices},
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// KNORA-Union: each member has as many votes as of the row's `k` nearest held-out rows it is right about; if none is right
/// about any, one vote each. Classes only; no gradient passes through it.
///
/// Source: Ko, Sabourin and Britto 2008, doi:10.1016/j.patcog.2007.10.015; the predictions are DESlib's. With row
/// weights a member has the weight of the rows it is right about. Where voices are missing, those that are there
/// vote; a voice missing from a held-out row is stood in for by the mean of the others, and rows of weight 0 are left
/// out.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, HeldOut};
///
/// // The first member is right below 0, the second above.
/// let x = Tensor::arange(-10f32, 10., &Device::Cpu)?.unsqueeze(1)?;
/// let right = x.lt(0f32)?.to_dtype(x.dtype())?;
/// let first = Tensor::cat(&[&right, &(1. - &right)?], 1)?;
/// let second = (1. - &first)?;
/// let said = Voices::new(Tensor::stack(&[first, second], 0)?, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&said, &Tensor::zeros(20, candle_core::DType::U32, &Device::Cpu)?)?;
/// let head = KnoraU::new(3).fit(&|| held_out.clone().with_inputs(&x))?;
/// let p = head.combine(&said.with_inputs(&x)?)?; // class 0 on both sides
/// assert!(p.to_vec2::<f32>()?.iter().all(|p| p[0] > 0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnoraU {
    local: Local,
}

/// [`KnoraU`], fitted: where each slot was right, O(held-out rows × (inputs + slots)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnoraUHead {
    competence: Competence,
    local: Local,
}

impl KnoraU {
    /// With `k` neighbours in the inputs, of which there may be fewer; 7 by default. Votes are counted.
    #[must_use]
    pub fn new(k: usize) -> Self {
        Self { local: Local { k, ..Local::default() } }
    }

    /// With neighbours in this space.
    #[must_use]
    pub fn space(mut self, space: Space) -> Self {
        self.local.space = space;
        self
    }

    /// With the probabilities of those selected averaged, rather than their votes counted.
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.local.soft = true;
        self
    }
}

impl Combiner for KnoraU {
    type Head = KnoraUHead;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<KnoraUHead> {
        let (competence, _) = Competence::fit("KNORA-U", self.local, 1, &held_out()?)?;
        Ok(KnoraUHead { competence, local: self.local })
    }

    fn wants_inputs(&self) -> bool {
        self.local.space == Space::Inputs
    }
}

impl Head for KnoraUHead {
    fn name(&self) -> String {
        "knora-u".into()
    }

    fn wants_inputs(&self) -> bool {
        self.local.space == Space::Inputs
    }

    fn combine(&self, voices: &Voices) -> CandleResult<Tensor> {
        let (competence, near) = (&self.competence, self.competence.around(voices)?);
        combine(voices, self.local.soft, |heard| {
            let near = &near[heard.row * competence.k..][..competence.k];
            move |slot| {
                let right = near.iter().filter(|row| competence.is_right(**row, slot));
                right.map(|row| competence.weight(*row)).sum()
            }
        })
    }
}
