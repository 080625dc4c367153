//! Ensembles: members and a fitted combiner, as one candle module.
//!
//! An [`Ensemble`] predicts like one network. It can be a layer of another network, a teacher or a member of
//! another ensemble, and it can be saved to one file and loaded from it.
mod file;
mod next_token;
mod on_dataset;
mod uncertainty;

pub use on_dataset::OnDataset;

use crate::{
    combine::{softmax_mean, FittedCombiner, Weighted},
    data::{Dataset, Fingerprint, Inputs, Positions, Task},
    distribution::Mixture,
    kernels::{argmax::argmax_rows, cpu, finite::bad_rows},
    network::{output::ln, positions::Layout, Scale},
    predictions::{
        live::{flatten_inputs, same_layout, Constructor, LiveSlots},
        passes::{concat, nan_rows, with_nan, Pass, Passes, Source, ROWS},
        workers::{Build, Workers},
        Predictions,
    },
    store::member::predicting,
    train::SharedBuild,
    Error, Member, Network, Result,
};
use candle_core::{DType, Module, Result as CandleResult, Tensor};
use std::collections::BTreeSet;

/// Members and a fitted combiner, which predict like one network.
///
/// [`Pool::combine`](crate::Pool::combine) makes an ensemble. It is a candle [`Module`], so it stands
/// wherever one of its members could stand: as a layer of another network, as a teacher, as a member of
/// another ensemble. For classification `forward` returns log-probabilities `(B, C)`, which are valid logits;
/// for regression it returns values `(B, K)`. It is `Send` and `Sync` where the networks and the fitted
/// combiner are, so that one ensemble in an `Arc` serves several threads.
///
/// Probabilities, their logarithms, and means over members are f32 where the networks are f32, f16 or bf16,
/// and f64 where they are f64.
///
/// # NaN
/// A network can turn NaN into an ordinary number: ReLU makes 0 of it. So the methods that predict refuse
/// inputs that are NaN or infinite, as [`TensorDataset`](crate::data::TensorDataset) refuses them for
/// training, and predictions that are NaN; the error names the row. [`allow_nan`](Self::allow_nan) lets them
/// through. The prediction for a row with NaN is then NaN, and so it always is in `forward`.
///
/// `N` is the type of the member networks, `F` that of the fitted combiner ([`fitted`](Self::fitted)).
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::Bagging, train::Trainer, Session};
/// use candle_nn::linear;
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
/// let trainer = Trainer::new(|vb| linear(2, 2, vb)).epochs(2);
///
/// let ensemble = Session::new(&trainer, &data).fit(&Bagging::new(3), 42)?.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [20]);
/// assert_eq!(ensemble.predict_proba(&x)?.dims(), [20, 2]);
/// assert_eq!(ensemble.member_predictions(&x)?.dims(), [3, 20, 2]);
/// let layers = candle_nn::seq().add(ensemble).add_fn(|logits| logits.relu());
/// assert_eq!(layers.forward(&x)?.dims(), [20, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Ensemble<N, F> {
    /// The members that predict.
    members: Vec<Member>,
    live: LiveSlots<N>,
    fitted: F,
    shared_build: Option<SharedBuild<N>>,
    threads: Option<usize>,
    batch_rows: usize,
    allow_nan: bool,
    /// Where it comes from a pool rather than from a file.
    origin: Option<Origin>,
}

/// The data set of the pool that an ensemble comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) data: Fingerprint,
    /// Whether its rows are new to all members, whatever their records say of other data.
    pub(crate) new_data: bool,
}

impl<N: Network, F: FittedCombiner> Ensemble<N, F> {
    /// The members include those that do not predict; `live` are the networks of those that do.
    pub(crate) fn new(
        members: &[Member],
        live: LiveSlots<N>,
        fitted: F,
        shared_build: Option<SharedBuild<N>>,
    ) -> Self {
        let members = predicting(members).cloned().collect();
        let (threads, batch_rows, allow_nan, origin) = (None, ROWS, false, None);
        Self { members, live, fitted, shared_build, threads, batch_rows, allow_nan, origin }
    }

    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
    }

    /// Sets how many rows one pass over the members takes, at least 1; the default is 1024, or fewer where rows have many
    /// positions: as many as have 2²⁰ logits. The memory that a prediction needs besides its result is that of a few passes
    /// for each thread, however long the input is.
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// Sets how many threads share the passes of a prediction, at least 1. The default is one for each core; it is
    /// one where candle's kernels use all cores themselves
    /// ([`one_core_per_member`](crate::threads::one_core_per_member) was not called), on a device other than the CPU,
    /// and on a thread of a rayon pool. The predictions are the same to the bit.
    ///
    /// Each further thread builds the networks for itself, from the same weights. So it has to be known how: the
    /// ready-made learners tell it ([`Learner::shared_build`](crate::train::Learner::shared_build)), and for others
    /// there is [`shared_build`](Self::shared_build).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Sets what builds the networks on further threads, for an ensemble of a learner that has no
    /// [`shared_build`](crate::train::Learner::shared_build). Others know it: those of the ready-made learners, and
    /// those of [`load_with`](Self::load_with) and [`from_bytes_with`](Self::from_bytes_with).
    ///
    /// ```
    /// # use candle_core::{Device, Result as CandleResult, Tensor};
    /// # use candle_ensemble::{data::TensorDataset, combine::Mean, plan::Settings, strategy::MultiRun, train::{Learner, Run, SharedBuild}, Session};
    /// # use candle_nn::{linear, Linear, VarBuilder};
    /// # struct Untrained;
    /// # impl Learner for Untrained {
    /// #     type Network = Linear;
    /// #     fn architectures(&self) -> Vec<String> { vec!["linear".into()] }
    /// #     fn build(&self, _: &str, _: &Settings, vb: VarBuilder<'static>) -> CandleResult<Linear> { linear(2, 1, vb) }
    /// #     fn fit(&self, _: &Linear, _: &mut Run<'_>) -> CandleResult<()> { Ok(()) }
    /// #     fn tag(&self) -> String { "untrained".into() }
    /// # }
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let learner = Untrained;
    /// // A learner of your own that does not implement `shared_build`.
    /// let pool = Session::new(&learner, &data).fit(&MultiRun::new(3), 42)?;
    /// let ensemble = pool.combine(&Mean)?.shared_build(SharedBuild::new(|_, _, vb| linear(2, 1, vb)));
    /// assert_eq!(ensemble.predict(&x)?.dims(), [10, 1]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn shared_build(mut self, build: SharedBuild<N>) -> Self {
        self.shared_build = Some(build);
        self
    }

    /// Sets whether inputs may be NaN or infinite. The default is `false`: such a row is an error. With `true`
    /// the prediction is NaN for a row whose inputs hold NaN or for which a member predicts NaN. A class id
    /// cannot be NaN, so [`predict`](Self::predict) refuses such a row of a classification always.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::prelude::*;
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// # let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?;
    /// let holes = Tensor::new(&[[1f32, 2.], [f32::NAN, 2.]], &Device::Cpu)?;
    /// let ensemble = pool.combine(&Mean)?;
    /// let e = ensemble.predict(&holes).unwrap_err();
    /// assert_eq!(e.to_string(), "inputs, row 1 must be finite, but is NaN");
    ///
    /// let predicted = ensemble.allow_nan(true).predict(&holes)?.to_vec2::<f32>()?;
    /// assert!(predicted[0][0].is_finite() && predicted[1][0].is_nan());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn allow_nan(mut self, allow: bool) -> Self {
        self.allow_nan = allow;
        self
    }

    /// The weights and records of the members that predict: in a slot with refit members these alone, in
    /// other slots all.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The fitted combiner, with what it learned: its weights, for example.
    #[must_use]
    pub fn fitted(&self) -> &F {
        &self.fitted
    }

    /// What the ensemble predicts, at each position where a row has several: classes or values.
    #[must_use]
    pub fn task(&self) -> Task {
        self.live.task
    }

    /// How many predictions a row takes.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.live.positions
    }

    /// The prediction for each of N rows: class ids `(N,)` of type u32, where ties go to the lowest class; or
    /// values `(N, K)` for K outputs. Where a row has several [`Positions`], a class id for each, such as `(N, H, W)`,
    /// `(N, T)`, or 0 or 1 for each label, `(N, L)`.
    ///
    /// # Errors
    /// When the inputs are empty, are not finite or do not fit the networks; when a prediction is NaN.
    pub fn predict(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let inputs = inputs.into();
        self.predict_passes(&self.passes(Source::Inputs(&inputs)))
    }

    /// The probabilities of C classes for each of N rows, `(N, C)`. Where a row has several [`Positions`], they have the
    /// shape of the networks' outputs: `(N, C, H, W)`, `(N, T, C)`, or the probability of each label, `(N, L)`.
    ///
    /// # Errors
    /// When the ensemble is one for regression; as [`predict`](Self::predict).
    pub fn predict_proba(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let inputs = inputs.into();
        self.predict_proba_passes(&self.passes(Source::Inputs(&inputs)))
    }

    /// The mixture of the distributions that the members predict, for networks whose output is a distribution, such as
    /// [`Output::Gaussian`](crate::network::Output::Gaussian): its mean is that of [`predict`](Self::predict). The
    /// weights are those of the fitted combiner, which is the mean or a weighted mean.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::Median, prelude::*, train::Output};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).output(Output::Gaussian).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?;
    /// let (lower, upper) = pool.combine(&Mean)?.predict_distribution(&x)?.interval(0.9)?;
    /// assert_eq!((lower.dims(), upper.dims()), (&[20, 1][..], &[20, 1][..]));
    ///
    /// let e = pool.combine(&Median)?.predict_distribution(&x).unwrap_err();
    /// assert!(e.to_string().contains("the combiner of a mixture of distributions must be the mean"));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the networks do not output distributions; when the combiner is another one, or has weights that are negative or
    /// do not sum to 1; as [`predict`](Self::predict).
    pub fn predict_distribution(&self, inputs: impl Into<Inputs>) -> Result<Mixture> {
        let inputs = inputs.into();
        self.distribution_passes(&self.passes(Source::Inputs(&inputs)))
    }

    /// The prediction of each slot, `(S, N, C)`: probabilities or values. Where a row has several [`Positions`], the
    /// shapes are those of [`predict_proba`](Self::predict_proba) behind the slots.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn member_predictions(&self, inputs: impl Into<Inputs>) -> Result<Tensor> {
        let inputs = inputs.into();
        self.member_predictions_passes(&self.passes(Source::Inputs(&inputs)))
    }

    /// Predictions and metrics for the rows of a data set, which need not fit in memory.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::prelude::*;
    /// # let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// # let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x.clone(), &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
    /// # let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
    /// let test: &dyn Dataset = &data; // any data set
    /// assert_eq!(ensemble.on(test).predict()?.dims(), [20]);
    /// assert_eq!(ensemble.on(test).rows(&[3, 7]).predict_proba()?.dims(), [2, 2]);
    /// println!("accuracy {}", ensemble.on(test).evaluate()?.headline());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn on<'a>(&'a self, data: &'a dyn Dataset) -> OnDataset<'a, N, F> {
        OnDataset::new(self, data)
    }

    fn passes<'a>(&'a self, source: Source<'a>) -> Passes<'a> {
        let passes = Passes::new(source, self.batch_rows, &self.live.device).allow_nan(self.allow_nan);
        match self.batch_rows {
            ROWS => passes.limited((self.task(), self.positions())),
            _ => passes,
        }
    }

    fn predict_passes(&self, passes: &Passes<'_>) -> Result<Tensor> {
        match self.task() {
            Task::Classification { .. } => {
                let strict = passes.allow_nan(false);
                let (ids, layout) = self.combined_as(passes, |pass, probabilities, layout| {
                    let per_row = layout.map_or(1, Layout::per_row);
                    strict.check_predicted(&probabilities, 0, (pass.start, per_row))?;
                    Ok(lowest_argmax(&probabilities)?)
                })?;
                match layout {
                    Some(layout) => Ok(layout.unflatten_ids(&ids)?),
                    None => Ok(ids),
                }
            }
            Task::Regression { .. } => Ok(self.combined(passes)?.0),
        }
    }

    fn predict_proba_passes(&self, passes: &Passes<'_>) -> Result<Tensor> {
        match self.task() {
            Task::Classification { .. } => {
                let (probabilities, layout) = self.combined(passes)?;
                Ok(Layout::of_rows(layout.as_ref(), probabilities)?)
            }
            Task::Regression { .. } => {
                Err(Error::invalid("the task of predict_proba", "classification", "regression"))
            }
        }
    }

    fn member_predictions_passes(&self, passes: &Passes<'_>) -> Result<Tensor> {
        let predictions = self.workers().predict(passes, Scale::Probability)?;
        let Some(layout) = predictions.layout() else { return Ok(predictions.values().clone()) };
        let slots = (0..predictions.slots()).map(|slot| layout.unflatten(&predictions.values().get(slot)?));
        Ok(Tensor::stack(&slots.collect::<CandleResult<Vec<_>>>()?, 0)?)
    }

    fn distribution_passes(&self, passes: &Passes<'_>) -> Result<Mixture> {
        self.workers().distributions(passes, &self.shares()?)
    }

    /// The weights of the slots in the mixture of their distributions.
    fn shares(&self) -> Result<Vec<f64>> {
        let weights = match self.fitted.weights() {
            None if self.fitted.is_mean() => vec![1. / self.live.len() as f64; self.live.len()],
            None => return Err(no_mixture(self.fitted.name())),
            Some(weights) => weights.to_vec(),
        };
        let total: f64 = weights.iter().sum();
        match weights.iter().all(|weight| *weight >= 0.) && (total - 1.).abs() < 1e-9 {
            true => Ok(weights),
            false => Err(no_mixture(format!("{} with the weights {weights:?}", self.fitted.name()))),
        }
    }

    fn workers(&self) -> Workers<'_, LiveSlots<N>> {
        let LiveSlots { task, positions, output, dtype, device, .. } = &self.live;
        let members = &self.members;
        let build = self.shared_build.as_ref().map(|shared| -> Build<'_, LiveSlots<N>> {
            Box::new(move || {
                let constructor = Constructor::shared(shared, *dtype, *output);
                LiveSlots::construct(members, &constructor, (*task, *positions), device)
            })
        });
        self.live.workers(build).threads(self.threads)
    }

    /// The combined predictions, `(N, C)`, without a graph, and their layout where rows have several positions.
    fn combined(&self, passes: &Passes<'_>) -> Result<(Tensor, Option<Layout>)> {
        self.combined_as(passes, |_, predicted, _| Ok(predicted))
    }

    /// What `keep` makes of the combined predictions of each pass, in one, and their layout.
    fn combined_as(
        &self,
        passes: &Passes<'_>,
        keep: impl Fn(&Pass, Tensor, Option<&Layout>) -> Result<Tensor>,
    ) -> Result<(Tensor, Option<Layout>)> {
        let (mut parts, mut layout) = (vec![], None);
        self.combined_passes(passes, |pass, predicted, of_pass| {
            parts.push(keep(&pass, predicted, of_pass.as_ref())?);
            match of_pass {
                Some(of_pass) => Ok(same_layout(&mut layout, of_pass)?),
                None => Ok(()),
            }
        })?;
        Ok((concat(parts, 0)?, layout))
    }

    /// Gives each pass and its combined predictions, `(B, C)`, to `take`, without a graph. The networks run on several
    /// threads; the combiner, which need not be `Sync`, on this one.
    fn combined_passes(
        &self,
        passes: &Passes<'_>,
        mut take: impl FnMut(Pass, Tensor, Option<Layout>) -> Result<()>,
    ) -> Result<()> {
        let mean_of = self.live.classes_of_plain_logits().filter(|_| self.fitted.is_mean());
        let scale = self.fitted.scale();
        let allow_nan = passes.allow_nan;
        let run = |live: &LiveSlots<N>, inputs: &Inputs| match mean_of {
            Some(classes) if allow_nan => {
                Ok(Combined::Mean(with_nan(mean_of_softmaxes(live, inputs, classes)?, &nan_rows(inputs)?)?))
            }
            // The inputs are finite: it has been checked.
            Some(classes) => Ok(Combined::Mean(mean_of_softmaxes(live, inputs, classes)?)),
            None => Ok(Combined::Not(live.predict(inputs, scale)?.detached())),
        };
        passes.spread(&self.workers(), run, |pass, predicted| {
            let (predicted, layout) = match predicted {
                Combined::Mean(mean) => (mean.detach(), None),
                Combined::Not(predictions) => {
                    let layout = predictions.layout().cloned();
                    (self.combine(predictions, &pass.inputs)?.detach(), layout)
                }
            };
            let per_row = layout.as_ref().map_or(1, Layout::per_row);
            passes.check_predicted(&predicted, 0, (pass.start, per_row))?;
            take(pass, predicted, layout)
        })
    }

    /// Combines predictions of the members for these inputs, `(B, C)`; gradients flow through. A combiner may be the
    /// user's own, so the shape is checked; it may count NaN as class 0, so NaN is put back.
    fn combine(&self, mut predictions: Predictions, inputs: &Inputs) -> CandleResult<Tensor> {
        if self.fitted.needs_inputs() {
            self.check_reads_inputs()?;
            predictions = predictions.with_inputs(&flatten_inputs(inputs)?)?;
        }
        let predicted = self.fitted.combine(&predictions)?;
        let shape = [predictions.rows(), self.task().width()];
        if predicted.dims() != shape {
            candle_core::bail!(
                "{} must return {shape:?}, but returns {:?}",
                self.fitted.name(),
                predicted.dims()
            )
        }
        let mut nan = nan_rows(inputs)?;
        if let Some(layout) = predictions.layout() {
            let per_row = layout.per_row();
            nan = nan.into_iter().flat_map(|row| row * per_row..(row + 1) * per_row).collect();
        }
        for slot in (0..predictions.slots()).filter(|slot| self.reads(*slot)) {
            nan.extend(bad_rows(&predictions.values().get(slot)?, 0, false)?);
        }
        with_nan(predicted, &nan)
    }

    /// Refuses a combiner that reads inputs where rows have several positions.
    fn check_reads_inputs(&self) -> Result<()> {
        self.positions().check_one(&format!("{}, which reads the inputs of a row", self.fitted.name()))
    }

    /// Whether the combined prediction depends on this slot: its weight is not 0.
    fn reads(&self, slot: usize) -> bool {
        self.fitted.weights().and_then(|weights| weights.get(slot)).is_none_or(|weight| *weight != 0.)
    }
}

impl<N: Network> Ensemble<N, Weighted> {
    /// The ensemble without the slots whose weight is zero: the same predictions to the bit, from fewer
    /// networks and a smaller file. If all weights are zero, all slots stay.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::EnsembleSelection, data::TensorDataset, strategy::KFold};
    /// use candle_ensemble::{train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.025, -1.)?.reshape((40, 2))?;
    /// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&KFold::new(2).repeats(5), 42)?;
    ///
    /// let ensemble = pool.combine(&EnsembleSelection::new(2))?; // at most two slots get a weight
    /// let before = ensemble.predict(&x)?.to_vec2::<f32>()?;
    /// let pruned = ensemble.pruned();
    /// assert!(pruned.members().len() <= 4);
    /// assert_eq!(pruned.predict(&x)?.to_vec2::<f32>()?, before);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn pruned(mut self) -> Self {
        let used = self.fitted.used();
        if used.is_empty() {
            return self;
        }
        self.members = members_of(&self.members, &used);
        self.live.keep(&used);
        self.fitted = self.fitted.pruned();
        self
    }
}

/// What a thread makes of the rows of a pass.
enum Combined {
    /// The mean of the members.
    Mean(Tensor),
    /// The predictions of the members, which are to be combined.
    Not(Predictions),
}

/// Predicts in one pass, so that gradients flow through the ensemble.
impl<N: Network, F: FittedCombiner> Module for Ensemble<N, F> {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let inputs = Inputs::from(xs.clone());
        let predictions = self.live.predict(&inputs, self.fitted.scale())?;
        let layout = predictions.layout().cloned();
        let combined = self.combine(predictions, &inputs)?;
        match (self.task(), layout) {
            (Task::Classification { .. }, None) => ln(&combined),
            (Task::Classification { .. }, Some(layout)) => layout.logits(&ln(&combined)?),
            (Task::Regression { .. }, _) => Ok(combined),
        }
    }
}

/// The mean of the members' probabilities, computed from their logits in one step. Each slot is one network.
fn mean_of_softmaxes<N: Network>(
    live: &LiveSlots<N>,
    inputs: &Inputs,
    classes: usize,
) -> CandleResult<Tensor> {
    let logits = live.outputs(inputs)?;
    let logits = logits.iter().map(|logits| logits.to_dtype(DType::F32)).collect::<CandleResult<Vec<_>>>()?;
    let rows = inputs.rows();
    if let Some(odd) = logits.iter().find(|l| l.dims() != [rows, classes]) {
        candle_core::bail!("the network must return ({rows}, {classes}), but returns {:?}", odd.dims());
    }
    let mut mean = vec![0f32; rows * classes];
    cpu::with_f32_slices(&logits, |logits| softmax_mean(logits, classes, &mut mean))?;
    Tensor::from_vec(mean, (rows, classes), &live.device)
}

/// The members of the slots at these positions.
fn members_of(members: &[Member], positions: &[usize]) -> Vec<Member> {
    let numbers: BTreeSet<usize> = members.iter().map(|m| m.record.slot).collect();
    let position = |number: usize| numbers.range(..number).count();
    members.iter().filter(|m| positions.contains(&position(m.record.slot))).cloned().collect()
}

/// The error for a combiner that is no mixture of distributions.
fn no_mixture(combiner: String) -> Error {
    let must = "the mean, or a weighted mean whose weights are not negative and sum to 1";
    Error::invalid("the combiner of a mixture of distributions", must, combiner)
}

/// The class of the largest probability of each row; of equal ones the lowest. candle's argmax leaves ties
/// open.
fn lowest_argmax(probabilities: &Tensor) -> CandleResult<Tensor> {
    Tensor::new(argmax_rows(probabilities)?, probabilities.device())
}
