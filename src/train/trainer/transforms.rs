//! The setters of what becomes of batches before and after the passes, and of what is fitted on the rows before them.
use crate::{
    data::{Batch, Dataset},
    plan::RunSpec,
    train::{BatchTransforms, FitTransform, MixedBatch, TrainConfig, Trainer},
    Network, Result, Seed,
};
use candle_core::{Device, Result as CandleResult};

impl<N: Network> Trainer<N> {
    /// Accumulates the gradients of this many batches for each step of the optimizer. The default is 1.
    ///
    /// ```text
    /// g = Σⱼ Wⱼ gⱼ / Σⱼ Wⱼ        over the batches j; Wⱼ = the sum of the weights of the rows of a batch, or their number
    /// ```
    ///
    /// So a step is that of one batch of as many rows, up to rounding, also where the last batch is smaller. Batch
    /// normalization is the exception, which has the statistics of each batch, and so are dropout and noise, which draw for
    /// each batch. The batches that are left at the end of an epoch make a step of their own. Schedules, monitors, averages
    /// and limits of gradients go by the steps of the optimizer; penalties on weights act once in each.
    ///
    /// Use it where the batch that you want does not fit in memory: beside the weights only one more copy of the gradients
    /// is kept, and the outputs of layers are those of one batch at a time. Otherwise a larger batch is faster.
    ///
    /// ```
    /// use candle_ensemble::train::Trainer;
    ///
    /// // Steps for 256 rows, 32 at a time.
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).batch_size(32).accumulate(8);
    /// assert_eq!(trainer.config().accumulate, 8);
    /// ```
    #[must_use]
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.config.accumulate = batches;
        self
    }

    /// Sets the transforms of the batches in training, such as augmentation and mixup: a
    /// [`BatchTransform`](crate::train::BatchTransform), or several collected into [`BatchTransforms`]. They act after
    /// scaling and before noise. Runs whose transforms give rows several targets are not trained
    /// [side by side](crate::exec::Stacked) with others. The default is none.
    ///
    /// ```
    /// use candle_ensemble::train::{BatchTransforms, Mixup, Trainer};
    ///
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).augment(Mixup::new(0.2));
    /// assert_eq!(trainer.config().augment, BatchTransforms::parse("mixup:0.2")?);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn augment(mut self, transforms: impl Into<BatchTransforms>) -> Self {
        self.config.augment = transforms.into();
        self
    }

    /// Adds a transform of the batches in training that is a function of yours. It gets each batch after scaling, and a seed
    /// for its random draws that depends on the run, the epoch and the batch. It must be a pure function of these two, so
    /// that a resumed training continues to the bit, and keep the number of rows. Several act in the order in which they are
    /// added, before those of [`augment`](Self::augment). Where rows have several positions, the targets are those of the
    /// rows, such as `(B, H, W)`, and the function must change them with the inputs.
    ///
    /// The name is part of the trainer's tag: change it, as by a version, when the function does something else. A store
    /// that outlives the process then refuses members of another version.
    ///
    /// # Errors
    /// A session fails before it trains if a name is empty or occurs twice, and a run in its first step, if the function
    /// returns another number of rows.
    ///
    /// ```
    /// use candle_ensemble::{data::Batch, train::Trainer};
    /// use rand::Rng;
    ///
    /// // Brightness: all numbers of a batch times a random factor.
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).augment_with("brightness, 1", |batch, seed| {
    ///     let factor = seed.rng().random_range(0.8..1.2);
    ///     Ok(Batch { inputs: (batch.inputs.only()? * factor)?.into(), ..batch })
    /// });
    /// ```
    #[must_use]
    pub fn augment_with(
        mut self,
        name: impl Into<String>,
        transform: impl Fn(Batch, Seed) -> CandleResult<Batch> + Send + Sync + 'static,
    ) -> Self {
        self.transforms.add(name, transform);
        self
    }

    /// Adds a transform that each run fits on its training rows before its first step, and that is part of the network. See
    /// [`FitTransform`], which has an example.
    #[must_use]
    pub fn fit_transform(mut self, transform: FitTransform) -> Self {
        self.fits.add(transform);
        self
    }
}

/// Checks on one of the run's rows whether the batch transforms are for rows with several positions: those of images are not
/// for texts. Rows with one position are checked in the first step.
///
/// # Errors
/// When they are not, or the row cannot be read.
pub(super) fn check_positions(config: &TrainConfig, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
    let (false, false, Some(row)) = (config.augment.is_empty(), data.positions().is_one(), run.train.a_row())
    else {
        return Ok(());
    };
    let batch = MixedBatch::from(data.batch(&[row], &Device::Cpu)?).positions(data.positions());
    config.augment.check_batch(&batch)
}
