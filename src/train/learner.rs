//! The trait of everything that can build and train one network.
use crate::{
    data::Dataset,
    network::{Aggregation, Output},
    observe::Flow,
    plan::{RunSpec, Settings},
    train::{Run, SharedBuild},
    weights::InitScheme,
    Error, Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// Is given each of several runs when it is finished, with its number and the outcome of its training. Where it returns
/// [`Flow::Stop`], the other runs end with [`Error::Cancelled`].
pub type Finished<'f, 'a> = dyn FnMut(usize, Run<'a>, CandleResult<()>) -> Flow + 'f;

/// Builds networks and trains one network at a time.
///
/// A [`Session`](crate::Session) calls a learner once for each run of a plan, on several threads at once. For
/// each run it creates fresh variables, calls [`build`](Learner::build) and then [`fit`](Learner::fit), and
/// stores the variables as a member. For prediction it calls `build` again with the variables of each member.
/// An ensemble therefore needs its learner as long as it predicts.
///
/// Most programs use one of the two implementations of this crate: [`Trainer`](crate::train::Trainer), a
/// configurable training loop, or [`CustomLoop`](crate::train::CustomLoop), which takes the training loop as
/// a closure. Implement the trait when the loop has parameters that the tag has to contain, when it has to
/// resume from checkpoints, or when settings have to be checked before anything is trained.
///
/// # Reproducibility
/// Two trainings of the same run must give the same weights. [`Run::batches`] and [`Run::seed`] depend on the
/// run's seed only. Use [`nn::Dropout`](crate::nn::Dropout) rather than candle's own dropout, which cannot be
/// seeded.
///
/// # Networks that do not fit
/// The ready-made learners refuse a network whose output does not fit the task on its first batch. A learner of
/// your own can call [`Run::check_output`] for that. A member with a variable that is NaN or infinite is an
/// error for every learner, unless the constructor has set the variable to infinity.
///
/// # Example
/// A learner that trains a linear model by stochastic gradient descent and resumes from checkpoints:
///
/// ```
/// use candle_core::{Device, Module, Result, Tensor};
/// use candle_ensemble::{
///     data::TensorDataset, plan::{RunSpec, Settings}, store::EpochRecord, strategy::Bagging,
///     train::{Learner, Run}, Session,
/// };
/// use candle_nn::{linear, loss, Linear, Optimizer, VarBuilder, SGD};
///
/// struct LeastSquares {
///     epochs: usize,
///     learning_rate: f64,
/// }
///
/// impl Learner for LeastSquares {
///     type Network = Linear;
///
///     fn architectures(&self) -> Vec<String> {
///         vec!["linear".into()]
///     }
///
///     fn build(&self, _architecture: &str, _settings: &Settings, vb: VarBuilder<'_>) -> Result<Linear> {
///         linear(2, 1, vb)
///     }
///
///     fn fit(&self, network: &Linear, run: &mut Run<'_>) -> Result<()> {
///         let mut optimizer = SGD::new(run.vars().all_vars(), self.learning_rate)?;
///         for epoch in run.first_epoch()..self.epochs {
///             let (mut sum, mut rows) = (0., 0);
///             for batch in run.batches(epoch, 8) {
///                 let batch = batch?;
///                 let output = network.forward(batch.inputs.only()?)?.squeeze(1)?;
///                 let loss = loss::mse(&output, &batch.targets)?;
///                 optimizer.backward_step(&loss)?;
///                 let count = batch.targets.dim(0)?;
///                 sum += f64::from(loss.to_scalar::<f32>()?) * count as f64;
///                 rows += count;
///             }
///             let train_loss = sum / rows as f64;
///             run.end_epoch(EpochRecord {
///                 epoch,
///                 learning_rate: self.learning_rate,
///                 train_loss,
///                 train_metric: train_loss.sqrt(),
///                 ..EpochRecord::default()
///             })?;
///             // Plain gradient descent has no state besides the weights.
///             run.checkpoint(|| Ok(vec![]))?;
///         }
///         Ok(())
///     }
///
///     fn tag(&self) -> String {
///         format!("least squares, {} epochs at {}", self.epochs, self.learning_rate)
///     }
///
///     fn epochs(&self, _run: &RunSpec) -> usize {
///         self.epochs
///     }
/// }
///
/// let x = Tensor::arange(0f32, 32., &Device::Cpu)?.affine(0.05, -0.8)?.reshape((16, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let learner = LeastSquares { epochs: 20, learning_rate: 0.1 };
/// let pool = Session::new(&learner, &data).fit(&Bagging::new(3), 7)?;
/// assert_eq!(pool.members()[0].record.curve.len(), 20);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Learner: Sync {
    /// The type of the network. It need not be `Send`: a network stays on the thread that built it.
    type Network: Network;

    /// The names of the architectures that [`Learner::build`] knows. A strategy trains each of them.
    fn architectures(&self) -> Vec<String>;

    /// Builds the network of an architecture from a `VarBuilder`.
    ///
    /// The variables that the constructor requests must depend on `architecture` and `settings` only, because
    /// the same call rebuilds a member for prediction.
    ///
    /// # Errors
    /// When `architecture` is not known, when a setting has no usable value, or when candle fails.
    fn build(
        &self,
        architecture: &str,
        settings: &Settings,
        vb: VarBuilder<'static>,
    ) -> CandleResult<Self::Network>;

    /// What [`build`](Learner::build) does, as a constructor that ensembles keep: they then predict on all cores,
    /// where each thread builds networks of its own. The default is that there is none, and an ensemble predicts on
    /// one core, unless it is given one ([`Ensemble::shared_build`](crate::Ensemble::shared_build)).
    fn shared_build(&self) -> Option<SharedBuild<Self::Network>> {
        None
    }

    /// Trains `network` on the rows of `run`. The network's variables are [`Run::vars`]. When the method
    /// returns, they hold the weights of the member.
    ///
    /// # Errors
    /// When the training fails. [`Run::fail`] turns an error of this library into an error that can be
    /// returned here.
    fn fit(&self, network: &Self::Network, run: &mut Run<'_>) -> CandleResult<()>;

    /// What runs have to have in common to be trained side by side in one graph ([`exec::Stacked`]). Runs with the same
    /// text have the same constructor, called with the same arguments. The default is `None`: the learner trains one
    /// network at a time.
    ///
    /// [`exec::Stacked`]: crate::exec::Stacked
    fn stack_key(&self, _run: &RunSpec) -> Option<String> {
        None
    }

    /// Trains the networks of several runs side by side, all of the same [`stack_key`](Self::stack_key), and calls
    /// `finished` for each with its number when it is finished, as [`fit`](Self::fit) returns. The weights of each member
    /// are those that [`fit`](Self::fit) would give it. The default calls [`fit`](Self::fit) for one after the other.
    fn fit_stacked<'a>(&self, members: Vec<(&Self::Network, Run<'a>)>, finished: &mut Finished<'_, 'a>) {
        fit_one_by_one(self, members, finished);
    }

    /// Describes everything that affects the weights of a member, besides the data and the plan:
    /// hyper-parameters, and a version of the loop.
    ///
    /// The tag is part of the key under which a [`Store`](crate::store::Store) keeps a member. If two
    /// learners with different results have the same tag, a store returns the members of one for the other.
    fn tag(&self) -> String;

    /// How many epochs `run` trains for. Strategies that collect members within a run need the number, and
    /// progress bars show it. 0 means that it is not known.
    fn epochs(&self, _run: &RunSpec) -> usize {
        0
    }

    /// How the initial weights of a run with these settings are drawn. The default is to follow what the model's
    /// constructor declares.
    ///
    /// # Errors
    /// When a setting has no usable value.
    fn init(&self, _settings: &Settings) -> Result<InitScheme> {
        Ok(InitScheme::default())
    }

    /// The type of the weights. The default is `f32`.
    fn dtype(&self) -> DType {
        DType::F32
    }

    /// What the networks output for classes, or as distributions of values. The default is logits, and plain values.
    fn output(&self) -> Output {
        Output::default()
    }

    /// How the members of one network predict together, where the networks of a run with these settings hold several
    /// ([`Network::members`]). The default is the mean of their predictions.
    ///
    /// # Errors
    /// When a setting has no usable value.
    fn aggregation(&self, _settings: &Settings) -> Result<Aggregation> {
        Ok(Aggregation::default())
    }

    /// Whether the learner carries out a run's setting `"averaging"`, a text that
    /// [`Averaging::registry`](crate::train::Averaging::registry) reads. The default is that it does not.
    fn averages(&self) -> bool {
        false
    }

    /// Whether the learner carries out a run's setting `"efficient_ensemble"` for an architecture: a text that
    /// [`EfficientEnsemble::registry`](crate::nn::many::EfficientEnsemble::registry) reads, by which
    /// [`build`](Self::build) makes one network of many members. The default is that it does not, and a session refuses such
    /// a run.
    fn converts(&self, _architecture: &str) -> bool {
        false
    }

    /// Whether the learner carries out a run's setting `"distillation"`, a text that
    /// [`Distillation::registry`](crate::train::Distillation::registry) reads, with the
    /// [soft targets](Dataset::soft_targets) of the data set. The default is that it does not.
    fn distills(&self) -> bool {
        false
    }

    /// Checks a run. The session calls it for all runs of a plan before it trains the first one.
    ///
    /// # Errors
    /// When the learner cannot carry out the run, for example because of an unknown setting.
    fn check(&self, _run: &RunSpec, _data: &dyn Dataset) -> Result<()> {
        Ok(())
    }
}

/// Trains the networks of several runs one after the other, and calls `finished` as
/// [`fit_stacked`](Learner::fit_stacked) does.
pub(crate) fn fit_one_by_one<'a, L: Learner + ?Sized>(
    learner: &L,
    members: Vec<(&L::Network, Run<'a>)>,
    finished: &mut Finished<'_, 'a>,
) {
    let mut flow = Flow::Continue;
    for (number, (network, mut run)) in members.into_iter().enumerate() {
        let outcome = match flow {
            Flow::Continue => learner.fit(network, &mut run),
            Flow::Stop => Err(run.fail(Error::Cancelled { done: 0, of: 0 })),
        };
        if finished(number, run, outcome) == Flow::Stop {
            flow = Flow::Stop;
        }
    }
}
