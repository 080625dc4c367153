//! What the members of a pool predict, for any inputs or for a data set.
use crate::{
    data::{Dataset, Inputs},
    distribution::Mixture,
    network::Scale,
    pool::Pool,
    predictions::{
        live::LiveSlots,
        passes::{Passes, Source, ROWS},
        Predictions,
    },
    store::member::with_own_slots,
    train::Learner,
    Member, Result, Rows,
};
use std::ops::Range;

impl<L: Learner> Pool<'_, L> {
    /// The prediction of each slot for any inputs: `(S, N, C)`, for S slots, N rows and C classes or outputs.
    ///
    /// # Errors
    /// When the inputs are not finite or do not fit the networks; when a prediction is NaN.
    pub fn predictions(&self, inputs: impl Into<Inputs>) -> Result<Predictions> {
        self.predict_source(&self.members, Source::Inputs(&inputs.into()))
    }

    /// The prediction of each slot for all rows of a data set, `(S, N, C)`. The rows are read in batches, so
    /// their inputs need not fit in memory.
    ///
    /// # Errors
    /// As [`predictions`](Self::predictions), and when the data cannot be read.
    pub fn predictions_on(&self, data: &dyn Dataset) -> Result<Predictions> {
        let rows: Rows = (0..data.rows() as u32).collect();
        self.predict_source(&self.members, Source::Rows(data, &rows))
    }

    /// The prediction of each member for any inputs, whatever its slot: `(M, N, C)`, for M members, N rows
    /// and C classes or outputs.
    ///
    /// # Errors
    /// As [`predictions`](Self::predictions).
    pub fn predictions_per_member(&self, inputs: impl Into<Inputs>) -> Result<Predictions> {
        self.predict_source(&with_own_slots(&self.members), Source::Inputs(&inputs.into()))
    }

    /// The mixture of the distributions that the members predict for any inputs, where each slot counts the same. The
    /// learner's output is a distribution, such as [`Output::Gaussian`](crate::network::Output::Gaussian).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{distribution::Score, prelude::*, train::Output};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).output(Output::Gaussian).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?;
    /// let mixture = pool.distributions(&x)?;
    /// let (data_noise, disagreement) = (mixture.aleatoric()?, mixture.epistemic()?);
    /// assert_eq!((data_noise.dims(), disagreement.dims()), (&[20, 1][..], &[20, 1][..]));
    /// assert!(mixture.score(Score::Crps, &x.sum(1)?, None)? > 0.);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the networks do not output distributions; as [`predictions`](Self::predictions).
    pub fn distributions(&self, inputs: impl Into<Inputs>) -> Result<Mixture> {
        self.distributions_of(Source::Inputs(&inputs.into()))
    }

    /// The mixture of the distributions that the members predict for all rows of a data set; see
    /// [`distributions`](Self::distributions).
    ///
    /// # Errors
    /// As [`distributions`](Self::distributions), and when the data cannot be read.
    pub fn distributions_on(&self, data: &dyn Dataset) -> Result<Mixture> {
        let rows: Rows = (0..data.rows() as u32).collect();
        self.distributions_of(Source::Rows(data, &rows))
    }

    fn distributions_of(&self, source: Source<'_>) -> Result<Mixture> {
        let passes = Passes::new(source, ROWS, &self.device);
        let build = || LiveSlots::build(&self.members, self.learner, self.data, &self.device);
        let (live, equal) = (build()?, vec![1.; self.slots()]);
        live.workers(Some(Box::new(build))).distributions(&passes, &equal)
    }

    fn predict_source(&self, members: &[Member], source: Source<'_>) -> Result<Predictions> {
        self.predict_members(members, &self.passes(source), Scale::Probability)
    }

    /// Passes over rows, of [`ROWS`] rows at most.
    pub(crate) fn passes<'s>(&'s self, source: Source<'s>) -> Passes<'s> {
        Passes::new(source, ROWS, &self.device).limited((self.data.task(), self.data.positions()))
    }

    fn predict_members(&self, members: &[Member], passes: &Passes<'_>, scale: Scale) -> Result<Predictions> {
        let build = || LiveSlots::build(members, self.learner, self.data, &self.device);
        build()?.workers(Some(Box::new(build))).predict(passes, scale)
    }

    /// What `keep` keeps of the predictions of each slot in each pass, `(S, n, C)`. It is told the places of the rows of the
    /// pass among all rows. No more than the predictions of some passes is held beside.
    pub(crate) fn predict_kept(
        &self,
        passes: &Passes<'_>,
        scale: Scale,
        keep: impl Fn(Range<usize>, Predictions) -> Result<Predictions>,
    ) -> Result<Predictions> {
        let build = || LiveSlots::build(&self.members, self.learner, self.data, &self.device);
        let live = build()?;
        let workers = live.workers(Some(Box::new(build)));
        workers.predict_with(passes, scale, |pass, predicted| keep(pass.places(), predicted))
    }

    /// The prediction of each slot for these rows of a data set, `(S, R, C)`.
    pub(crate) fn predict_rows(&self, data: &dyn Dataset, rows: &[u32]) -> Result<Predictions> {
        self.predict_source(&self.members, Source::Rows(data, rows))
    }
}
