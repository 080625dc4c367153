//! What to do about a finding: proposals, ranked, as settings and as code.
//!
//! A [`Remedy`] looks at a [`Finding`](crate::diagnose::Finding) and at what there is, a [`Start`], and makes
//! [`Proposal`]s: a [`Change`] of a [`Setup`], why it fits, what it costs and what to expect. [`propose`]
//! ranks those of all remedies. [`Improve`](crate::improve::Improve) tries them. To add one of your own,
//! implement the trait.
//!
//! A priority is a judgement: how often the technique solved such a problem, and whether the settings show
//! the cause. So try the first few, and keep what helps on rows that the network has not seen.
//!
//! ```
//! use candle_ensemble::{
//!     diagnose::{Finding, Label}, remedy::{propose, remedies, Setup, Start}, train::TrainConfig,
//! };
//!
//! let (trainer, setup) = (TrainConfig::default(), Setup::default());
//! let finding = Finding::of(Label::UnderfitFlat, 0.9, "The training loss falls by 0.1 % in 30 epochs.", "");
//! let best = propose(&remedies(), &[finding], &Start::new(&trainer, &setup)?).remove(0);
//! println!("{best}");
//! assert_eq!(best.code, "let trainer = trainer.optimizer(Adam::new(0.01));\n");
//! let improved = best.change.apply(&setup);
//! assert_eq!(improved.config(&trainer)?.optimizer.learning_rate(), 0.01);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! # The built-in remedies
//!
//! | Remedy | What it proposes |
//! |---|---|
//! | `suggested-learning-rate` | The learning rate that a range test suggests |
//! | `higher-learning-rate` | A learning rate that is 3, 10 or 100 times as high |
//! | `lower-learning-rate` | A learning rate that is 3, 10 or 100 times as low |
//! | `initial-weights` | Initial weights whose variance suits the width of each layer |
//! | `activation` | Relu with He's initial weights in place of units that saturate; leaky relu in place of dead units |
//! | `usual-loss` | Cross-entropy for classes, and the squared error for values |
//! | `standardize-inputs` | Input columns with mean 0 and standard deviation 1 |
//! | `standardize-targets` | Target values with mean 0 and standard deviation 1 |
//! | `unfreeze` | Training of layers that are frozen |
//! | `more-epochs` | 4 or 2 times as many epochs |
//! | `longer-patience` | 4 times the patience of early stopping |
//! | `one-cycle` | A learning rate that rises to 3 times the present one and falls to almost 0 |
//! | `cosine-schedule` | A learning rate that falls to 0 along a cosine |
//! | `adam` | Adam in place of an optimizer whose steps depend on the size of the gradient |
//! | `batch-normalization` | Batch normalization, in a model that reads `batch_norm` |
//! | `clip-gradients` | Gradients of a norm of at most 1 |
//! | `larger-batch` | Batches of 4 times as many rows |
//! | `huber-loss` | A loss on which outliers have a bounded effect |
//! | `less-regularization` | Training without the penalties, constraints, dropout and noise that are set |
//! | `wider-network` | Hidden layers of 4 or 2 times as many units, in a model that reads `hidden` |
//! | `deeper-network` | One more hidden layer, in a model that reads `hidden` |
//! | `early-stopping` | An end to training when the loss of rows set aside no longer falls, and the weights of the best epoch |
//! | `fewer-epochs` | As many epochs as there are before the validation loss turns |
//! | `regularization-cocktail` | Early stopping, dropout and an L2 penalty at once, as far as they are not in place |
//! | `l2-penalty` | A penalty of 0.001 or 0.01 times the squared weights |
//! | `dropout` | Hidden units that are left out at random in training, in a model that reads `dropout` |
//! | `smaller-network` | Hidden layers of a quarter or a sixteenth of the units, in a model that reads `hidden` |
//! | `weight-decay` | Weights that shrink in each step, decoupled from the gradient with Adam |
//! | `label-smoothing` | Classes with a probability of 90 % in place of 100 % |
//! | `input-noise` | Normal noise of 0.1 on the inputs in training |
//! | `several-runs` | The mean prediction of 5 or 10 networks from different seeds |
//! | `bagging` | The mean prediction of 10 networks, each on rows drawn with replacement |
//! | `k-fold-ensemble` | The mean prediction of 5 networks, each on four fifths of the rows |
//! | `horizontal-ensemble` | The mean prediction of the networks of the last epochs of one run |
//! | `snapshot-ensemble` | The mean prediction of 5 networks of one run, at the ends of cosine cycles |
//! | `moving-average` | The exponential moving average of the weights |
//! | `stochastic-weight-averaging` | The mean of the weights over the last half of the epochs |
//! | `greedy-soup` | One network: the mean of the weights of those of the last epochs that lower the loss of reserved rows |
//! | `best-of-runs` | One network: the best of 5 runs, or of their averages, on reserved rows |
//! | `more-rows` | More training rows, by hand |
//! | `more-validation-rows` | More validation rows, or k-fold cross-validation, by hand |
//! | `remove-duplicates` | No row on both sides of the split, by hand |
//! | `split-by-groups` | Whole groups on one side of the split, by hand |
//! | `drop-leaking-column` | No column that knows the target, by hand |
//! | `match-the-splits` | Training rows like those of use, by hand |
//!
//! | Finding | Remedies |
//! |---|---|
//! | `underfit_flat` | `unfreeze`, `suggested-learning-rate`, `usual-loss`, `higher-learning-rate`, `activation`, `less-regularization`, `standardize-targets`, `initial-weights`, `adam`, `standardize-inputs`, `lower-learning-rate`, `batch-normalization`, `more-epochs`, `one-cycle`, `wider-network` |
//! | `underfit_unfinished` | `suggested-learning-rate`, `more-epochs`, `longer-patience`, `higher-learning-rate`, `standardize-targets`, `adam`, `usual-loss`, `unfreeze`, `one-cycle`, `activation`, `less-regularization`, `standardize-inputs`, `initial-weights`, `batch-normalization`, `wider-network` |
//! | `unstable_learning` | `suggested-learning-rate`, `lower-learning-rate`, `standardize-targets`, `clip-gradients`, `usual-loss`, `standardize-inputs`, `cosine-schedule`, `larger-batch`, `initial-weights`, `adam`, `batch-normalization`, `huber-loss`, `moving-average` |
//! | `underfit_capacity` | `unfreeze`, `less-regularization`, `wider-network`, `lower-learning-rate`, `usual-loss`, `more-epochs`, `deeper-network`, `standardize-targets`, `suggested-learning-rate`, `activation`, `standardize-inputs`, `higher-learning-rate`, `longer-patience`, `cosine-schedule`, `initial-weights`, `adam`, `one-cycle` |
//! | `overfit` | `early-stopping`, `regularization-cocktail`, `l2-penalty`, `dropout`, `several-runs`, `smaller-network`, `fewer-epochs`, `weight-decay`, `bagging`, `label-smoothing`, `k-fold-ensemble`, `stochastic-weight-averaging`, `more-rows`, `initial-weights`, `input-noise`, `usual-loss`, `snapshot-ensemble`, `greedy-soup`, `horizontal-ensemble` |
//! | `high_variance` | `several-runs`, `wider-network`, `cosine-schedule`, `bagging`, `horizontal-ensemble`, `snapshot-ensemble`, `moving-average`, `stochastic-weight-averaging`, `greedy-soup`, `k-fold-ensemble`, `best-of-runs`, `lower-learning-rate`, `larger-batch`, `longer-patience`, `l2-penalty`, `weight-decay`, `initial-weights`, `dropout`, `smaller-network`, `standardize-inputs`, `huber-loss` |
//! | `unrepresentative_train` | `more-rows`, `l2-penalty`, `several-runs`, `dropout`, `weight-decay`, `bagging`, `k-fold-ensemble`, `regularization-cocktail`, `smaller-network`, `early-stopping`, `label-smoothing`, `input-noise`, `snapshot-ensemble`, `stochastic-weight-averaging` |
//! | `unrepresentative_validation` | `more-validation-rows` |
//! | `slow_learning` | `suggested-learning-rate`, `higher-learning-rate`, `adam`, `more-epochs` |
//! | `update_ratio` | `suggested-learning-rate` |
//! | `cannot_fit_one_batch` | `unfreeze`, `suggested-learning-rate`, `usual-loss`, `less-regularization`, `initial-weights`, `standardize-targets`, `activation`, `higher-learning-rate`, `standardize-inputs`, `lower-learning-rate`, `adam`, `wider-network` |
//! | `coarse_learning_rate` | `higher-learning-rate`, `lower-learning-rate` |
//! | `dead_units` | `activation`, `initial-weights`, `lower-learning-rate`, `batch-normalization`, `larger-batch`, `standardize-inputs`, `clip-gradients` |
//! | `vanishing_gradients` | `activation`, `initial-weights`, `batch-normalization`, `adam` |
//! | `saturated_units` | `activation`, `initial-weights`, `batch-normalization`, `standardize-inputs` |
//! | `first_loss_too_high` | `standardize-targets`, `initial-weights`, `standardize-inputs` |
//! | `exploding_gradients` | `clip-gradients`, `standardize-targets`, `initial-weights`, `standardize-inputs`, `batch-normalization`, `activation`, `larger-batch`, `huber-loss` |
//! | `loss_does_not_fit_task` | `usual-loss` |
//! | `unscaled_inputs` | `standardize-inputs` |
//! | `unscaled_targets` | `standardize-targets` |
//! | `diverged` | `standardize-targets`, `clip-gradients` |
//! | `single_network` | `several-runs` |
//! | `too_few_rows` | `more-rows` |
//! | `small_validation` | `more-validation-rows` |
//! | `duplicates` | `remove-duplicates` |
//! | `groups_split_apart` | `split-by-groups` |
//! | `target_leak` | `drop-leaking-column` |
//! | `first_loss_too_low` | `drop-leaking-column` |
//! | `drift` | `match-the-splits` |
//!
//! A finding that is a finer form of a condition of learning curves, such as `slow_learning`, has the
//! remedies of this condition too.
mod code;
mod kind;
mod plain;
mod proposal;
mod ranking;
mod remedies;
mod report;
mod setup;
mod start;
#[cfg(test)]
mod tests;

pub use kind::Remedy;
pub use proposal::{Change, Cost, Proposal};
pub use ranking::propose;
pub use remedies::{remedies, remedies_markdown};
pub use report::DiagnosisReport;
pub use setup::Setup;
pub use start::Start;
