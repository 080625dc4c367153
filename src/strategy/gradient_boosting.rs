//! Gradient boosting.
use crate::{
    registry::{Argument, Entry},
    sequence::GradientBoostingRule,
    strategy::{
        registry::{all_rows, VALIDATION},
        EnsembleBuilder, InSequence,
    },
};

/// Gradient boosting of networks: members that are trained one after the other, each on what the sum of those before it leaves
/// over, and whose outputs are added up.
///
/// ```text
/// F₀ = the constant that fits best      F_m = F_{m−1} + shrinkage · o_m
/// member m learns the negative gradients by the squared error:
///   values                       y − F            prediction F
///   two classes, one output      y − σ(F)         prediction σ(F)         (logistic deviance)
///   K classes, K outputs         1_y − softmax(F) prediction softmax(F)   (multinomial deviance)
/// ```
///
/// The networks are the same as for the task itself: they put out one number for each value or class, or one for two classes.
/// They are trained as for regression, by the squared error unless the trainer has another loss of values, with the weights of
/// the data. Their metrics and learning curves are those of residuals.
///
/// Use it for networks that underfit, as [`AdaBoost`](crate::strategy::AdaBoost) is, and in its place for several values a row,
/// or where labels are wrong for some rows. Do not use it for networks that fit all training rows. A member alone predicts
/// nothing of the data: the members cannot be merged or pruned one by one.
///
/// Cost: `rounds` networks, and a pass over the training and validation rows after each; see [`InSequence`].
///
/// # Errors
/// Planning fails when `rounds` is 0 or a parameter is out of range; training when the networks put out something else than
/// plain numbers, and when [`patience`](Self::patience) is set and there are no validation rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::*, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sqr()?.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
///
/// let all_rows = GradientBoosting::new(5).shrinkage(0.3);
/// let boosted = Session::new(&trainer, &data).fit(&all_rows, 42)?.combine(&Mean)?;
/// assert_eq!(boosted.predict(&x)?.dims(), [40, 1]);
///
/// // Ends after three members without a smaller loss of a tenth of the rows, and leaves these three out.
/// let stopped = GradientBoosting::new(20).patience(3).within(MultiRun::new(1).validation(0.1));
/// let pool = Session::new(&trainer, &data).fit(&stopped, 42)?;
/// assert!((1..=20).contains(&pool.members().len()));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Friedman 2001, doi:10.1214/aos/1013203451; subsampling Friedman 2002, doi:10.1016/S0167-9473(01)00065-2.
pub type GradientBoosting = InSequence<GradientBoostingRule>;

impl GradientBoosting {
    /// Trains at most `rounds` members, on all rows.
    #[must_use]
    pub fn new(rounds: usize) -> Self {
        Self::of(rounds, GradientBoostingRule::default())
    }

    /// Sets the weight of each member in the sum, above 0; the default is 1. A smaller one needs more rounds, and overfits
    /// less.
    #[must_use]
    pub fn shrinkage(mut self, shrinkage: f64) -> Self {
        self.rule.shrinkage = shrinkage;
        self
    }

    /// Sets the share of the training rows that each member trains on, in (0, 1]; the default is 1. They are drawn without
    /// replacement, anew for each member.
    #[must_use]
    pub fn subsample(mut self, share: f64) -> Self {
        self.rule.subsample = share;
        self
    }

    /// Sets after how many members in a row without a smaller loss of the validation rows the sequence ends, at least 1. Those
    /// members are left out. The default is to train all rounds and to keep all members. The validation rows are those of the
    /// strategy [around](Self::within). `n_iter_no_change` of scikit-learn compares with the worst of the last losses instead
    /// of the least one, and keeps all members.
    #[must_use]
    pub fn patience(mut self, members: usize) -> Self {
        self.rule.patience = Some(members);
        self
    }

    /// Sets by how much the loss of the validation rows has to become smaller to count, 0 or more; the default is 0. The loss
    /// is half the squared error, or the cross-entropy. `tol` of scikit-learn is compared with twice these losses, except for
    /// more than two classes.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.rule.tolerance = tolerance;
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> = Entry::new(
    "gradient-boosting",
    "GradientBoosting",
    "Members one after the other, each on what the sum of those before leaves over",
    |arguments| {
        let rule = GradientBoostingRule {
            shrinkage: arguments.get("shrinkage")?,
            subsample: arguments.get("subsample")?,
            patience: arguments.optional("patience")?,
            ..GradientBoostingRule::default()
        };
        let strategy: Box<dyn EnsembleBuilder> =
            Box::new(InSequence::of(arguments.get("runs")?, rule).within(all_rows(arguments)?));
        Ok(strategy)
    },
)
.with_arguments(&[
    Argument::new("runs", "10", "Members at most, for each architecture"),
    Argument::new("shrinkage", "1", "Weight of each member in the sum"),
    Argument::new("subsample", "1", "Share of the rows that each member trains on"),
    Argument::optional("patience", "Members in a row without a smaller validation loss after which it ends"),
    VALIDATION,
])
.with_source("Friedman 2001, doi:10.1214/aos/1013203451");
