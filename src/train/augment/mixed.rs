//! Batches whose rows have several targets.
use crate::{
    check::require,
    data::{Batch, Positions},
    kernels::{cpu::storage_slice, float::Real, rows::select},
    nn::apply_op2,
    Error, Result,
};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result as CResult, Shape, Tensor};

/// A batch after the transforms of a training. [`Mixup`](crate::train::Mixup) and [`CutMix`](crate::train::CutMix) give
/// each row several targets, each with a share:
///
/// ```text
/// loss = Σₖ shareₖ · mean of l(output, targetsₖ) with the weights of the rows of targetsₖ
/// ```
///
/// So they work with every loss that is a mean over rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Batch, train::{Loss, MixedBatch}};
///
/// let x = Tensor::new(&[[1f32], [3.]], &Device::Cpu)?;
/// let batch = Batch { inputs: x.clone().into(), targets: x.clone(), weights: None };
/// let mixed = MixedBatch::from(batch).mix_targets(0.75, &[1, 0])?;
/// // Each row is right about three quarters of its targets, and wrong by 2 about the rest.
/// let loss = mixed.loss(|batch| Loss::MeanSquared.mean(&x, &batch.targets, None))?;
/// assert_eq!(loss.to_scalar::<f32>()?, 0.25 * 4.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MixedBatch {
    /// The inputs, and the targets with the largest share with the weights of their rows, which are as in [`TargetShare`].
    pub batch: Batch,
    /// The share of these targets, above 0 and at most 1.
    pub share: f64,
    /// The other targets of the rows. All shares together are 1.
    pub others: Vec<TargetShare>,
    /// What the targets are of: whole rows, as in batches from [`Batch`], or several positions of each row. Transforms of
    /// images move the targets of pixels with the pixels.
    pub positions: Positions,
}

/// Further targets of the rows of a batch. See [`MixedBatch`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TargetShare {
    /// What they count for, between 0 and 1.
    pub share: f64,
    /// The targets, of the shape of those of the batch.
    pub targets: Tensor,
    /// The weights of the rows that they are from: one for each row, or one for each position where
    /// [`CutMix`](crate::train::CutMix) has put positions of two rows together.
    pub weights: Option<Tensor>,
}

impl From<Batch> for MixedBatch {
    fn from(batch: Batch) -> Self {
        Self { batch, share: 1., others: vec![], positions: Positions::One }
    }
}

impl MixedBatch {
    /// Sets what the targets are of: [`Dataset::positions`](crate::data::Dataset::positions) of their data set.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::{Batch, Positions}, train::{BatchTransforms, MixedBatch}};
    ///
    /// let image = Tensor::new(&[[[[0.1f32, 0.2], [0.3, 0.4]]]], &Device::Cpu)?;
    /// let classes = Tensor::new(&[[[0u32, 1], [2, 3]]], &Device::Cpu)?;
    /// let batch = MixedBatch::from(Batch { inputs: image.into(), targets: classes, weights: None });
    /// let batch = batch.positions(Positions::Many { ignore_index: None });
    /// let mirrored = BatchTransforms::parse("flip:horizontal:1")?.apply(batch, 42)?.batch;
    /// assert_eq!(mirrored.inputs.only()?.flatten_all()?.to_vec1::<f32>()?, [0.2, 0.1, 0.4, 0.3]);
    /// assert_eq!(mirrored.targets.to_vec3::<u32>()?, [[[1, 0], [3, 2]]]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn positions(self, positions: Positions) -> Self {
        Self { positions, ..self }
    }

    /// Gives each row the targets of another row too: `partners` are the numbers of the other rows within the batch, each
    /// once. Its own targets have the share `own`, from 0 to 1, and those of its partner the rest.
    ///
    /// # Errors
    /// When the share is out of range, or the numbers are not each number below that of the rows once.
    pub fn mix_targets(self, own: f64, partners: &[u32]) -> Result<Self> {
        require((0.0..=1.0).contains(&own), "the share of a row's own targets", "from 0 to 1", own)?;
        let Self { batch, share, others, positions } = self;
        let rows = batch.inputs.rows();
        let mut seen = vec![false; rows];
        let is_new =
            |row: &u32| seen.get_mut(*row as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if partners.len() != rows || !partners.iter().all(is_new) {
            let must = format!("each number below {rows}, that of the rows, once");
            return Err(Error::invalid("the partners of the rows", must, format!("{partners:?}")));
        }
        let Batch { inputs, targets, weights } = batch;
        let mut all = vec![TargetShare { share, targets, weights }];
        all.extend(others);
        let of_partner = |of: &TargetShare| {
            let weights = of.weights.as_ref().map(|weights| select(weights, partners)).transpose()?;
            let targets = select(&of.targets, partners)?;
            Ok(TargetShare { share: of.share * (1. - own), targets, weights })
        };
        let of_partners = all.iter().map(of_partner).collect::<CResult<Vec<_>>>()?;
        all.iter_mut().for_each(|of| of.share *= own);
        all.extend(of_partners);
        all.retain(|of| of.share > 0.);
        // The sort is stable: of equal shares, the row's own come first.
        all.sort_by(|a, b| b.share.total_cmp(&a.share));
        let mut all = all.into_iter();
        let Some(TargetShare { share, targets, weights }) = all.next() else {
            return Err(Error::invalid("the shares of targets", "above 0, for one at least", share));
        };
        Ok(Self { batch: Batch { inputs, targets, weights }, share, others: all.collect(), positions })
    }

    /// The loss of the batch: that of each of its targets, times their share. `mean` computes the mean loss of the outputs
    /// for a batch that differs in its targets and weights.
    ///
    /// # Errors
    /// Those of `mean`, or when candle fails.
    pub fn loss(&self, mean: impl Fn(&Batch) -> CResult<Tensor>) -> CResult<Tensor> {
        self.loss_of_each(|_, batch| mean(batch))
    }

    /// As [`loss`](Self::loss). `mean` is told the number of the targets too: 0 for those of the batch, then those of the
    /// others.
    pub(crate) fn loss_of_each(&self, mean: impl Fn(usize, &Batch) -> CResult<Tensor>) -> CResult<Tensor> {
        let first = mean(0, &self.batch)?;
        let add = |(sum, share): (Tensor, f64), (at, of): (usize, &TargetShare)| {
            let TargetShare { targets, weights, .. } = of.clone();
            let loss = mean(at, &Batch { inputs: self.batch.inputs.clone(), targets, weights })?;
            Ok((weighted_sum((&sum, share), (&loss, of.share))?, 1.))
        };
        (1..).zip(&self.others).try_fold((first, self.share), add).map(|(sum, _)| sum)
    }
}

/// The sum of two scalars times their factors. On the CPU it is one operation that the backward pass of the library knows.
fn weighted_sum((a, by_a): (&Tensor, f64), (b, by_b): (&Tensor, f64)) -> CResult<Tensor> {
    let known = matches!(a.dtype(), DType::F32 | DType::F64) && a.dtype() == b.dtype();
    match known && a.device().is_cpu() && a.rank() == 0 && b.rank() == 0 {
        true => apply_op2(a, b, WeightedSum([by_a, by_b])),
        false => (a * by_a)? + (b * by_b)?,
    }
}

struct WeightedSum([f64; 2]);

impl WeightedSum {
    fn sum<T: Real>(&self, a: (&CpuStorage, &Layout), b: (&CpuStorage, &Layout)) -> CResult<CpuStorage> {
        let number = |(storage, layout): (&CpuStorage, &Layout)| -> CResult<f64> {
            Ok(storage_slice::<T>(storage, layout)?.first().map_or(f64::NAN, |x| x.wide()))
        };
        let [by_a, by_b] = self.0;
        let sum = by_a * number(a)? + by_b * number(b)?;
        Ok(T::to_cpu_storage_owned(vec![T::of(sum)]))
    }
}

impl CustomOp2 for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted sum of losses"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        of_a: &Layout,
        b: &CpuStorage,
        of_b: &Layout,
    ) -> CResult<(CpuStorage, Shape)> {
        let sum = match a {
            CpuStorage::F64(_) => self.sum::<f64>((a, of_a), (b, of_b)),
            _ => self.sum::<f32>((a, of_a), (b, of_b)),
        };
        Ok((sum?, Shape::from(())))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> CResult<(Option<Tensor>, Option<Tensor>)> {
        let [by_a, by_b] = self.0;
        Ok((Some((upstream * by_a)?), Some((upstream * by_b)?)))
    }
}
