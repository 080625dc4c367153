//! AdaBoost.
use crate::{
    registry::{Argument, Entry},
    sequence::{AdaBoostAlgorithm, AdaBoostRule, ErrorLoss},
    strategy::{
        registry::{all_rows, VALIDATION},
        EnsembleBuilder, InSequence,
    },
};

/// AdaBoost: members that are trained one after the other, each with more weight on the rows on which the one before was
/// wrong. For classes it is SAMME (or SAMME.R), and for one value a row AdaBoost.R2.
///
/// ```text
/// SAMME, for K classes, with weights w of the rows that sum to 1:
///   e = Σ w of the rows that the member gets wrong      α = lr (ln((1 − e) / e) + ln(K − 1))
///   w ← w e^α for these rows, and again of the sum 1    prediction: votes with the weights α
/// R2, with losses l of the rows, from 0 to 1:
///   e = Σ w l      β = e / (1 − e)      w ← w β^(lr (1 − l))      prediction: median with the weights lr ln(1 / β)
/// ```
///
/// A sequence ends early where a member makes no error (it gets the weight 1) or is no better than chance
/// (`e ≥ 1 − 1 / K`, for values `e ≥ ½`; it is left out). A first member that is no better than chance is an error, because
/// its training did not work.
///
/// Use it for networks that underfit: few units, few epochs, strong regularisation. Do not use it for networks that fit all
/// training rows, because then nothing is left to learn from; nor for data with many wrong labels, which get ever more weight.
/// Compare it with [`Bagging`](crate::strategy::Bagging), which lowers variance and not bias.
///
/// The weights enter the loss ([`Batch::weights`](crate::data::Batch::weights)) together with those of the data, with which
/// they begin. A learner of your own has to use them, or [`resample`](Self::resample) has to be set.
///
/// The trainer's loss of a batch is `Σ w l / Σ w` over its rows, as in scikit-learn's `MLPClassifier` and in PyTorch's weighted
/// cross-entropy. All batches count the same, so the rows of a light batch count for more than their weights. With weights that
/// differ little this hardly matters. Where a hundredth of the rows has nine tenths of all weight, batches of 32 rows leave it
/// about a quarter. So take batches of many rows, make steps of [several batches](crate::train::Trainer::accumulate), whose
/// weights count together, or resample, with which each batch follows the weights on average.
///
/// The members are ordinary networks for the task. [`Pool::apart`](crate::Pool::apart) makes each a predictor of its own.
///
/// Cost: `rounds` networks, and a pass over the training rows after each; see [`InSequence`].
///
/// # Errors
/// Planning fails when `rounds` is 0, the learning rate is not above 0, or the data has several values or positions a row.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::AdaBoost, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// let y = Tensor::from_iter((0..40u32).map(|i| u32::from(i / 10 == 1 || i / 10 == 2)), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
///
/// let pool = Session::new(&trainer, &data).fit(&AdaBoost::new(10).learning_rate(0.5), 42)?;
/// let boosted = pool.combine(&Mean)?; // the members of a sequence are one slot
/// assert_eq!((pool.slots(), boosted.predict(&x)?.dims()), (1, &[40][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Freund and Schapire 1997, doi:10.1006/jcss.1997.1504; SAMME and SAMME.R Hastie, Rosset, Zhu and Zou 2009,
/// doi:10.4310/SII.2009.v2.n3.a8; R2 Drucker 1997, Improving regressors using boosting techniques, ICML.
pub type AdaBoost = InSequence<AdaBoostRule>;

impl AdaBoost {
    /// Trains at most `rounds` members, on all rows.
    #[must_use]
    pub fn new(rounds: usize) -> Self {
        Self::of(rounds, AdaBoostRule::default())
    }

    /// Sets the factor of the members' weights, above 0; the default is 1. A smaller one needs more rounds.
    #[must_use]
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.rule.learning_rate = learning_rate;
        self
    }

    /// Sets how weights follow from predictions of classes; the default is [`AdaBoostAlgorithm::Samme`].
    #[must_use]
    pub fn algorithm(mut self, algorithm: AdaBoostAlgorithm) -> Self {
        self.rule.algorithm = algorithm;
        self
    }

    /// Sets the loss of values; the default is [`ErrorLoss::Linear`].
    #[must_use]
    pub fn loss(mut self, loss: ErrorLoss) -> Self {
        self.rule.loss = loss;
        self
    }

    /// Sets whether each member trains on rows that are drawn by their weights with replacement, instead of on all rows with
    /// weights in the loss; the default is `false`. It is for learners without weights of rows.
    #[must_use]
    pub fn resample(mut self, resample: bool) -> Self {
        self.rule.resample = resample;
        self
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> = Entry::new(
    "adaboost",
    "AdaBoost",
    "Members one after the other, with more weight on rows that the one before got wrong",
    |arguments| {
        use AdaBoostAlgorithm::{Samme, SammeR};
        use ErrorLoss::{Exponential, Linear, Square};
        let algorithm = arguments.choice("algorithm", &[("samme", Samme), ("samme.r", SammeR)])?;
        let losses = [("linear", Linear), ("square", Square), ("exponential", Exponential)];
        let rule = AdaBoostRule {
            learning_rate: arguments.get("boosting-rate")?,
            algorithm: algorithm.unwrap_or_default(),
            loss: arguments.choice("error-loss", &losses)?.unwrap_or_default(),
            resample: arguments.get("resample")?,
        };
        let strategy: Box<dyn EnsembleBuilder> =
            Box::new(InSequence::of(arguments.get("runs")?, rule).within(all_rows(arguments)?));
        Ok(strategy)
    },
)
.with_arguments(&[
    Argument::new("runs", "10", "Members at most, for each architecture"),
    Argument::new("boosting-rate", "1", "Factor of the members\' weights"),
    Argument::new("algorithm", "samme", "How weights follow from classes: samme or samme.r"),
    Argument::new("error-loss", "linear", "Loss of values: linear, square or exponential"),
    Argument::new("resample", "false", "Whether rows are drawn by their weights"),
    VALIDATION,
])
.with_source("Hastie, Rosset, Zhu and Zou 2009, doi:10.4310/SII.2009.v2.n3.a8");
