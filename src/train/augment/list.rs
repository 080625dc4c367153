//! Several transforms, one after the other.
use crate::{
    data::Positions,
    train::{
        augment::{each, BatchTransform, MixedBatch, TransformBatch},
        list::list_of,
    },
    Result, Seed,
};
use serde::{Deserialize, Serialize};

list_of! {
    /// A list of [`BatchTransform`]s, which act one after the other. An empty list, the default, costs nothing.
    ///
    /// [`Trainer::augment`](crate::train::Trainer::augment) takes it. A training loop of your own calls
    /// [`apply`](Self::apply) with a seed for each batch, and computes the loss by [`MixedBatch::loss`]. Where rows have
    /// several positions, it says so by [`MixedBatch::positions`].
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_ensemble::{data::Batch, train::BatchTransforms, Seed};
    ///
    /// let images = Tensor::arange(0f32, 32., &Device::Cpu)?.reshape((2, 1, 4, 4))?;
    /// let targets = Tensor::new(&[0u32, 1], &Device::Cpu)?;
    /// let batch = Batch { inputs: images.into(), targets, weights: None };
    /// let transforms = BatchTransforms::parse("crop:1,cutmix:1")?;
    /// let mixed = transforms.apply(batch, Seed::from(42).nth("epoch", 0).nth("batch", 3))?;
    /// assert_eq!(mixed.batch.inputs.only()?.dims(), [2, 1, 4, 4]);
    /// let shares: f64 = mixed.share + mixed.others.iter().map(|other| other.share).sum::<f64>();
    /// assert!((shares - 1.).abs() < 1e-12);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    BatchTransforms, BatchTransform
}

impl BatchTransforms {
    /// The batch after all transforms. It is a function of its arguments alone.
    ///
    /// # Errors
    /// When the inputs of the batch are none that a transform is for, or candle fails.
    pub fn apply(&self, batch: impl Into<MixedBatch>, seed: impl Into<Seed>) -> Result<MixedBatch> {
        let seed = seed.into();
        self.iter().enumerate().try_fold(batch.into(), |batch, (index, transform)| {
            each!(transform, transform => {
                transform.check_batch(&batch)?;
                transform.apply(batch, seed.nth("transform", index as u64))
            })
        })
    }

    /// Whether rows, or their positions, have several targets after them.
    pub(crate) fn mix(&self, positions: Positions) -> bool {
        self.iter().any(|transform| transform.mixes(positions))
    }

    /// Checks whether they are for the rows of this batch. No transform changes the kind or the shapes of a batch.
    pub(crate) fn check_batch(&self, batch: &MixedBatch) -> Result<()> {
        self.iter().try_for_each(|transform| each!(transform, transform => transform.check_batch(batch)))
    }
}
