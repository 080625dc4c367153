//! What is broken in the cases of the suite, and what has to be found.
use super::sets::{Set, Spoiled};
use candle_ensemble::{diagnose::Label, plan::Value, remedy::Setup};
use Label::{
    GoodFit, HighVariance, Overfit, UnderfitCapacity, UnderfitFlat, UnderfitUnfinished,
    UnrepresentativeTrain, UnrepresentativeValidation, UnstableLearning,
};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is broken.
    Healthy,
    RateFarTooSmall,
    RateFarTooLarge,
    DeepSigmoid,
    ZeroWeights,
    HugeWeights,
    DeadUnits,
    UnscaledInputs,
    UnscaledTargets,
    WrongLoss,
    TooFewEpochs,
    TooManyEpochs,
    TooFewRows,
    HugeCapacity,
    TinyBatchLargeRate,
    LabelNoise,
    FewValidationRows,
    TooSmall,
    HighVarianceNetwork,
}

impl Fault {
    pub const ALL: [Self; 19] = [
        Self::Healthy,
        Self::RateFarTooSmall,
        Self::RateFarTooLarge,
        Self::DeepSigmoid,
        Self::ZeroWeights,
        Self::HugeWeights,
        Self::DeadUnits,
        Self::UnscaledInputs,
        Self::UnscaledTargets,
        Self::WrongLoss,
        Self::TooFewEpochs,
        Self::TooManyEpochs,
        Self::TooFewRows,
        Self::HugeCapacity,
        Self::TinyBatchLargeRate,
        Self::LabelNoise,
        Self::FewValidationRows,
        Self::TooSmall,
        Self::HighVarianceNetwork,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::RateFarTooSmall => "rate-far-too-small",
            Self::RateFarTooLarge => "rate-far-too-large",
            Self::DeepSigmoid => "deep-sigmoid",
            Self::ZeroWeights => "zero-weights",
            Self::HugeWeights => "huge-weights",
            Self::DeadUnits => "dead-units",
            Self::UnscaledInputs => "unscaled-inputs",
            Self::UnscaledTargets => "unscaled-targets",
            Self::WrongLoss => "wrong-loss",
            Self::TooFewEpochs => "too-few-epochs",
            Self::TooManyEpochs => "too-many-epochs",
            Self::TooFewRows => "too-few-rows",
            Self::HugeCapacity => "huge-capacity",
            Self::TinyBatchLargeRate => "tiny-batch-large-rate",
            Self::LabelNoise => "label-noise",
            Self::FewValidationRows => "few-validation-rows",
            Self::TooSmall => "too-small",
            Self::HighVarianceNetwork => "high-variance-network",
        }
    }

    /// Whether the data set can have the fault.
    pub const fn fits(self, set: Set) -> bool {
        match self {
            // The largest data set and two kinds of network: some of the faults, to save time.
            _ if matches!(set, Set::Digits) => matches!(
                self,
                Self::Healthy
                    | Self::RateFarTooSmall
                    | Self::RateFarTooLarge
                    | Self::DeepSigmoid
                    | Self::ZeroWeights
                    | Self::TooFewEpochs
            ),
            Self::UnscaledTargets => set.regression(),
            // The trainer refuses every other loss of one value that is not usual.
            Self::WrongLoss => !set.regression(),
            // A small network is enough for it, or a linear one.
            Self::TooSmall => !matches!(set, Set::Diabetes | Set::Wine),
            _ => true,
        }
    }

    /// How the rows are changed.
    pub fn spoiled(self) -> Spoiled {
        match self {
            Self::UnscaledInputs => Spoiled { input_scale: 1000., ..Spoiled::NOT },
            Self::UnscaledTargets => Spoiled { target_scale: 1000., ..Spoiled::NOT },
            Self::TooFewRows => Spoiled { rows: Some(60), ..Spoiled::NOT },
            Self::TooManyEpochs | Self::HugeCapacity => {
                Spoiled { rows: Some(800), noise: 0.2, ..Spoiled::NOT }
            }
            Self::LabelNoise => Spoiled { rows: Some(900), noise: 0.3, ..Spoiled::NOT },
            Self::FewValidationRows => Spoiled { rows: Some(300), ..Spoiled::NOT },
            _ => Spoiled::NOT,
        }
    }

    /// The share of the rows to validate on.
    pub const fn validation(self) -> f64 {
        match self {
            Self::FewValidationRows => 0.04,
            _ => 0.2,
        }
    }

    /// The setup of the data set, broken.
    pub fn break_setup(self, set: Set) -> Setup {
        let mut setup = set.healthy();
        for (name, value) in self.settings(&setup) {
            setup.settings = setup.settings.with(name, value);
        }
        setup
    }

    fn settings(self, healthy: &Setup) -> Vec<(&'static str, Value)> {
        let real = |name: &str| healthy.settings.real(name).ok().flatten().unwrap_or(1.);
        let rate = real("learning_rate");
        let text = |text: &str| Value::from(text);
        let epochs = |factor: f64| Value::Int((factor * real("epochs")).ceil() as i64);
        match self {
            Self::RateFarTooSmall => vec![("learning_rate", (rate / 300.).into())],
            Self::RateFarTooLarge => vec![("learning_rate", (rate * 300.).into())],
            Self::DeepSigmoid => {
                vec![("hidden", text("16,16,16,16,16,16")), ("activation", text("sigmoid"))]
            }
            Self::ZeroWeights => vec![("init", text("constant:0"))],
            Self::HugeWeights => vec![("init", text("uniform:-20:20"))],
            Self::DeadUnits => vec![("hidden", text("32,32")), ("init", text("uniform:-1:0"))],
            // The trainer refuses losses of another task. This one fits the task and asks for something else.
            Self::WrongLoss => vec![("label_smoothing", 0.95.into())],
            Self::TooFewEpochs => vec![("epochs", epochs(0.05))],
            Self::TooManyEpochs => {
                vec![("hidden", text("128")), ("epochs", epochs(5.)), ("weight_decay", 0.0.into())]
            }
            Self::HugeCapacity => {
                vec![("hidden", text("256,256")), ("epochs", epochs(1.5)), ("weight_decay", 0.0.into())]
            }
            Self::TinyBatchLargeRate => {
                vec![
                    ("batch_size", 2.into()),
                    ("optimizer", text("sgd:0.1:momentum=0.9")),
                    ("learning_rate", 0.1.into()),
                ]
            }
            Self::LabelNoise => {
                vec![("hidden", text("128")), ("epochs", epochs(3.)), ("weight_decay", 0.0.into())]
            }
            Self::TooSmall => vec![("hidden", text("1"))],
            Self::HighVarianceNetwork => vec![("hidden", text("3,3,3"))],
            Self::Healthy
            | Self::UnscaledInputs
            | Self::UnscaledTargets
            | Self::TooFewRows
            | Self::FewValidationRows => vec![],
        }
    }

    /// The setup that the fault is missing: the setup of the data set or, where the fault is in a network of another shape,
    /// the usual remedy of that one.
    pub fn mend_setup(self, set: Set) -> Setup {
        let mut setup = set.healthy();
        let kept = match self {
            Self::DeepSigmoid | Self::DeadUnits | Self::HighVarianceNetwork => &["hidden"][..],
            _ => &[],
        };
        for (name, value) in self.settings(&setup).into_iter().filter(|(name, _)| kept.contains(name)) {
            setup.settings = setup.settings.with(name, value);
        }
        match self {
            Self::DeepSigmoid => setup.settings = setup.settings.with("init", "he-uniform"),
            Self::HighVarianceNetwork => setup.strategy = Some("multi-run:5".into()),
            _ => {}
        }
        setup
    }

    /// A finding that names the fault itself.
    pub const fn finding(self) -> Option<&'static str> {
        match self {
            Self::HugeWeights => Some("first_loss_too_high"),
            Self::DeadUnits => Some("dead_units"),
            Self::UnscaledInputs => Some("unscaled_inputs"),
            Self::UnscaledTargets => Some("unscaled_targets"),
            Self::WrongLoss => Some("loss_does_not_fit_task"),
            Self::TooFewRows => Some("too_few_rows"),
            Self::FewValidationRows => Some("small_validation"),
            Self::TooSmall | Self::HighVarianceNetwork => Some("cannot_fit_one_batch"),
            _ => None,
        }
    }

    /// The labels of which one has to be found first or second.
    pub const fn labels(self) -> &'static [Label] {
        match self {
            Self::Healthy => &[GoodFit],
            Self::RateFarTooSmall | Self::TooFewEpochs => &[UnderfitFlat, UnderfitUnfinished],
            Self::RateFarTooLarge | Self::TinyBatchLargeRate => {
                &[UnstableLearning, UnderfitFlat, UnderfitCapacity, HighVariance]
            }
            Self::DeepSigmoid | Self::ZeroWeights | Self::DeadUnits => {
                &[UnderfitFlat, UnderfitUnfinished, HighVariance, UnderfitCapacity]
            }
            Self::HugeWeights | Self::UnscaledInputs | Self::UnscaledTargets | Self::WrongLoss => &[
                UnstableLearning,
                UnderfitFlat,
                UnderfitUnfinished,
                UnderfitCapacity,
                HighVariance,
                Overfit,
                UnrepresentativeTrain,
            ],
            Self::TooManyEpochs | Self::HugeCapacity | Self::LabelNoise => &[Overfit, UnrepresentativeTrain],
            Self::TooFewRows => &[UnrepresentativeTrain, Overfit, UnrepresentativeValidation],
            Self::FewValidationRows => &[UnrepresentativeValidation],
            Self::TooSmall => &[UnderfitCapacity, HighVariance],
            Self::HighVarianceNetwork => &[HighVariance, UnderfitCapacity, UnderfitUnfinished],
        }
    }
}
