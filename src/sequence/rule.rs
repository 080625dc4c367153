//! What a rule for members in sequence is, and what it is told and says.
use crate::{data::Task, sequence::Join, Error, Result, Seed};
use std::fmt::Debug;

/// How the members of a sequence depend on each other.
///
/// The session calls [`start`](Self::start) once, and then for each round [`round_data`](Self::round_data) before the training and
/// [`update`](Self::update) after it. When a build goes on after an interruption, it calls the same functions with the
/// predictions of the members that are in the store. So all of them must be pure functions of their arguments; random draws
/// come from [`Round::seed`].
///
/// # Memory
/// The targets and weights of all rows of the sequence, and what the member of a round predicts for them, are whole tables of
/// 8 bytes a number: `rows × outputs × 8` bytes for each table. A round needs one for the predictions, one for
/// [`RoundData::targets`] where there are any, and what the rule remembers. Predictions are given once, and not kept: a rule that
/// remembers a sum needs one table more, and one that remembers the predictions of every member needs
/// `members × rows × outputs × 8` bytes. For a million rows of ten classes a table has 80 MB, and ten members that a rule
/// remembers have 800 MB.
///
/// A rule whose members look more closely at rows on which the mean of those before is wrong:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, sequence::*, strategy::InSequence, train::Trainer};
/// use candle_ensemble::{Result, Session};
///
/// #[derive(Clone, Debug)]
/// struct MoreOfTheHard;
///
/// impl SequenceRule for MoreOfTheHard {
///     /// The sum of the probabilities of the right class, for each row.
///     type State = Vec<f64>;
///
///     fn text(&self) -> String {
///         "more-of-the-hard, version 1".into()
///     }
///
///     fn join(&self, _: &SequenceData) -> Join {
///         Join::Mean
///     }
///
///     fn start(&self, data: &SequenceData) -> Result<Vec<f64>> {
///         Ok(vec![0.; data.train.len()])
///     }
///
///     fn round_data(&self, data: &SequenceData, sums: &Vec<f64>, round: Round) -> Result<RoundData> {
///         let wrong = |sum: &f64| 1. - sum / (round.number.max(1) as f64);
///         let weights = data.train.weights.iter().zip(sums).map(|(weight, sum)| weight * (0.1 + wrong(sum)));
///         Ok(RoundData::weights(weights.collect()))
///     }
///
///     fn update(
///         &self, data: &SequenceData, sums: &mut Vec<f64>, _: Round, predicted: &Predicted,
///     ) -> Result<Outcome> {
///         let classes = data.train.classes()?;
///         for (row, class) in classes.iter().enumerate() {
///             sums[row] += predicted.train_row(row)[*class as usize];
///         }
///         Ok(Outcome::proceed(1.))
///     }
/// }
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
/// let pool = Session::new(&trainer, &data).fit(&InSequence::of(3, MoreOfTheHard), 42)?;
/// assert_eq!((pool.members().len(), pool.slots()), (3, 1)); // three networks, which predict together
/// assert_eq!(pool.combine(&Mean)?.predict(&x)?.dims(), [40]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait SequenceRule: Debug + Send + Sync + 'static {
    /// What is remembered between the rounds, such as the weights of the rows.
    type State: Send;

    /// The rule with its parameters as a text. It is part of the plan and of the members' keys, so everything that changes
    /// what the rule does must be in it, as a version is.
    fn text(&self) -> String;

    /// How the predictions of the members become one.
    fn join(&self, data: &SequenceData) -> Join;

    /// Checks the parameters, and that the rule goes with the task.
    ///
    /// # Errors
    /// When a parameter is out of range, or the rule is for other tasks.
    fn check(&self, _task: Task) -> Result<()> {
        Ok(())
    }

    /// Whether the members learn another task than that of the data, which [`member_task`](Self::member_task) says. The
    /// default is that they do not.
    fn changes_task(&self) -> bool {
        false
    }

    /// The task that the members learn, where the task of the data is `task` and their networks put out `outputs` numbers a
    /// row. It is another one where [`RoundData::targets`] are residuals. The default is the task of the data.
    ///
    /// # Errors
    /// When the rule needs networks with another number of outputs.
    fn member_task(&self, task: Task, _outputs: usize) -> Result<Task> {
        Ok(task)
    }

    /// What is remembered before the first round.
    ///
    /// # Errors
    /// When the rule does not go with the rows.
    fn start(&self, data: &SequenceData) -> Result<Self::State>;

    /// What the member of a round trains on.
    ///
    /// # Errors
    /// Those of the rule. They end the sequence.
    fn round_data(&self, data: &SequenceData, state: &Self::State, round: Round) -> Result<RoundData>;

    /// Takes in what the member of a round predicts.
    ///
    /// # Errors
    /// Those of the rule, such as for a first member that is no better than chance. They end the sequence.
    fn update(
        &self,
        data: &SequenceData,
        state: &mut Self::State,
        round: Round,
        predicted: &Predicted,
    ) -> Result<Outcome>;
}

/// One round of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its number, from 0.
    pub number: usize,
    /// The number of rounds that are planned.
    pub of: usize,
    /// The seed for random draws of the rule in this round.
    pub seed: Seed,
}

impl Round {
    /// Whether no other round is planned.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.number + 1 >= self.of
    }
}

/// The rows that a sequence trains on and those that it watches.
#[derive(Clone, Debug)]
pub struct SequenceData {
    /// The task of the data.
    pub task: Task,
    /// The task that the members learn; see [`SequenceRule::member_task`].
    pub member_task: Task,
    /// The training rows, in the order of the plan.
    pub train: SequenceRows,
    /// The validation rows; there may be none.
    pub valid: SequenceRows,
}

/// Targets and weights of some rows.
#[derive(Clone, Debug)]
pub struct SequenceRows {
    /// The targets.
    pub targets: RowTargets,
    /// The weights of the data, scaled to the sum 1: those for training of training rows, those for validation of validation
    /// rows.
    pub weights: Vec<f64>,
}

/// Targets of rows as numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum RowTargets {
    /// The class of each row.
    Classes(Vec<u32>),
    /// The values of each row, one row after the other.
    Values(Vec<f64>),
}

impl SequenceRows {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The class of each row.
    ///
    /// # Errors
    /// When the targets are values.
    pub fn classes(&self) -> Result<&[u32]> {
        match &self.targets {
            RowTargets::Classes(classes) => Ok(classes),
            RowTargets::Values(_) => Err(Error::invalid("the targets of a sequence", "classes", "values")),
        }
    }

    /// The values of each row, one row after the other.
    ///
    /// # Errors
    /// When the targets are classes.
    pub fn values(&self) -> Result<&[f64]> {
        match &self.targets {
            RowTargets::Values(values) => Ok(values),
            RowTargets::Classes(_) => Err(Error::invalid("the targets of a sequence", "values", "classes")),
        }
    }
}

/// What a member predicts for the rows of its sequence: probabilities of classes, or values, in the units of the targets that
/// it learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// For the training rows, one row after the other.
    pub train: Vec<f64>,
    /// For the validation rows.
    pub valid: Vec<f64>,
    /// The number of classes, or of values of a row.
    pub width: usize,
}

impl Predicted {
    /// What is predicted for one of the training rows; empty where there is no such row.
    #[must_use]
    pub fn train_row(&self, row: usize) -> &[f64] {
        self.train.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }
}

/// What the member of a round trains on, where it is not simply the data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundData {
    /// A weight of each training row, 0 or more, on any scale. `None` keeps the weights of the data.
    pub weights: Option<Vec<f64>>,
    /// Targets of the training and of the validation rows. `None` keeps those of the data.
    pub targets: Option<NewTargets>,
    /// The positions of the training rows to train on, each as often as it is trained on in an epoch. `None` means all.
    pub rows: Option<Vec<usize>>,
}

/// Other targets, one row after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTargets {
    /// Those of the training rows.
    pub train: Vec<f64>,
    /// Those of the validation rows.
    pub valid: Vec<f64>,
}

impl RoundData {
    /// The rows with these weights.
    #[must_use]
    pub fn weights(weights: Vec<f64>) -> Self {
        Self { weights: Some(weights), ..Self::default() }
    }

    /// The rows at these positions.
    #[must_use]
    pub fn rows(rows: Vec<usize>) -> Self {
        Self { rows: Some(rows), ..Self::default() }
    }
}

/// What has come of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The weight of the member in the ensemble.
    pub weight: f64,
    /// Where the sequence ends: how many of its members count, from the first on. All later ones are left out.
    pub kept: Option<usize>,
}

impl Outcome {
    /// The member has this weight, and the next round begins if one is planned.
    #[must_use]
    pub fn proceed(weight: f64) -> Self {
        Self { weight, kept: None }
    }

    /// The member has this weight, and the sequence ends with so many members.
    #[must_use]
    pub fn stop(weight: f64, kept: usize) -> Self {
        Self { weight, kept: Some(kept) }
    }
}
