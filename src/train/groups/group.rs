//! One parameter group.
use crate::{
    check::non_negative,
    plan::LrSchedule,
    registry::{Argument, Arguments, Entry, Registry},
    weights::WeightFilter,
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// The learning rate of a [`ParameterGroup`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GroupRate {
    /// That of the other variables, times this factor, 0 or more.
    Factor(f64),
    /// This base learning rate, 0 or more, in place of the optimizer's.
    Value(f64),
}

/// Variables with a learning rate, a weight decay and a schedule of their own, as data.
///
/// ```text
/// η_group(t) = factor · base · f(t, T)
/// ```
///
/// `base` is the optimizer's learning rate or that of the group, and `f` the trainer's schedule or that of the group. What
/// else changes the learning rate changes that of every group: [`ReduceOnPlateau`](crate::train::ReduceOnPlateau), and the
/// cycles of [`Snapshot`](crate::plan::Snapshot), in which a group has no schedule of its own.
/// [`FastGeometric`](crate::plan::FastGeometric) prescribes rates in its cycles, and a factor acts on these. The weight
/// decay is that of the optimizer in strength only: which variables decay is still said by
/// [`Trainer::decay_on`](crate::train::Trainer::decay_on). Gradients are clipped by the norm over all groups.
///
/// The members of a group are those of a [`WeightFilter`]; of several groups in a list the first that matches counts.
/// Variables of no group are trained as without groups. The learning rate in records and events is that of no group.
///
/// Use it for fine-tuning: a small rate for the layers that a [`WarmStart`](crate::train::WarmStart) brings and a larger
/// one for a new head. For a rate that falls from layer to layer see [`LayerDecay`](crate::train::LayerDecay), whose factors
/// multiply those of groups. A factor of 0 keeps weights as they are, except for weight decay that is not decoupled from
/// the rate; [`Freeze`](crate::train::Freeze) does the same and saves the gradients.
///
/// Cost: none.
///
/// ```
/// use candle_ensemble::train::{GroupRate, ParameterGroup, ParameterGroups, Trainer};
///
/// let encoder = ParameterGroup::names(["encoder.*"]).factor(0.1).weight_decay(0.);
/// let head = ParameterGroup::names(["head.*"]).learning_rate(0.01);
/// let groups: ParameterGroups = [encoder.clone(), head].into_iter().collect();
/// assert_eq!(ParameterGroups::parse("group:encoder.*:0.1:weight-decay=0,group:head.*:learning-rate=0.01")?, groups);
/// let network = |vb: candle_nn::VarBuilder<'_>| candle_nn::linear(2, 1, vb.pp("head"));
/// let trainer = Trainer::new(network).parameter_groups(groups);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Howard and Ruder (2018), arXiv:1801.06146, section 3.2, call it discriminative fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ParameterGroup {
    /// The variables.
    pub on: WeightFilter,
    /// Their learning rate. Default a factor of 1.
    pub rate: GroupRate,
    /// Their weight decay in place of the optimizer's, 0 or more.
    pub weight_decay: Option<f64>,
    /// Their schedule in place of the trainer's.
    pub schedule: Option<LrSchedule>,
}

const ARGUMENTS: &[Argument] = &[
    Argument::required("on", "The variables: kernels, biases, all, or patterns of names"),
    Argument::optional("factor", "The factor on the learning rate"),
    Argument::optional("learning-rate", "The learning rate in place of the optimizer's"),
    Argument::optional("weight-decay", "The weight decay in place of the optimizer's"),
    Argument::optional("schedule", "The schedule in place of the trainer's, with / in place of :"),
];

impl ParameterGroup {
    /// A group of these variables, which are trained as the others until a setter says otherwise.
    #[must_use]
    pub fn new(on: WeightFilter) -> Self {
        Self { on, rate: GroupRate::Factor(1.), weight_decay: None, schedule: None }
    }

    /// A group of the variables whose names match one of these patterns; see [`WeightFilter::Names`].
    pub fn names<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self::new(WeightFilter::names(patterns))
    }

    /// Sets the factor on the learning rate.
    #[must_use]
    pub fn factor(self, factor: f64) -> Self {
        Self { rate: GroupRate::Factor(factor), ..self }
    }

    /// Sets the base learning rate.
    #[must_use]
    pub fn learning_rate(self, rate: f64) -> Self {
        Self { rate: GroupRate::Value(rate), ..self }
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(self, decay: f64) -> Self {
        Self { weight_decay: Some(decay), ..self }
    }

    /// Sets the schedule.
    #[must_use]
    pub fn schedule(self, schedule: impl Into<LrSchedule>) -> Self {
        Self { schedule: Some(schedule.into()), ..self }
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        self.on.check()?;
        match self.rate {
            GroupRate::Factor(factor) => non_negative("ParameterGroup::factor", factor)?,
            GroupRate::Value(rate) => non_negative("ParameterGroup::learning_rate", rate)?,
        }
        self.weight_decay.map_or(Ok(()), |decay| non_negative("ParameterGroup::weight_decay", decay))?;
        self.schedule.as_ref().map_or(Ok(()), LrSchedule::check)
    }

    /// The learning rate, where `rate` gives that of variables of no group for a base learning rate and a schedule.
    pub(crate) fn rate_by(
        &self,
        base: f64,
        schedule: &LrSchedule,
        rate: impl Fn(f64, &LrSchedule) -> f64,
    ) -> f64 {
        let schedule = self.schedule.as_ref().unwrap_or(schedule);
        match self.rate {
            GroupRate::Factor(factor) => factor * rate(base, schedule),
            GroupRate::Value(value) => rate(value, schedule),
        }
    }

    /// Groups from text: `group:encoder.*:0.1`, `group:head.*:learning-rate=0.01:schedule=linear/0.1`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<ParameterGroup>> = LazyLock::new(|| {
            let summary = "Variables with a learning rate, weight decay or schedule of their own";
            let entry = Entry::new("group", "ParameterGroup", summary, made).with_arguments(ARGUMENTS);
            Registry::new("parameter group", vec![entry])
        });
        &REGISTRY
    }
}

fn made(arguments: &Arguments) -> Result<ParameterGroup> {
    let mut group = ParameterGroup::new(arguments.get("on")?);
    group.rate = match (arguments.optional("factor")?, arguments.optional("learning-rate")?) {
        (Some(_), Some(rate)) => {
            let must = "left out where a factor is given";
            return Err(Error::invalid("the learning rate of a parameter group", must, rate));
        }
        (Some(factor), None) => GroupRate::Factor(factor),
        (None, Some(rate)) => GroupRate::Value(rate),
        (None, None) => group.rate,
    };
    group.weight_decay = arguments.optional("weight-decay")?;
    let schedule = arguments.optional::<String>("schedule")?;
    group.schedule = schedule.map(|text| LrSchedule::parse(&text.replace('/', ":"))).transpose()?;
    group.check()?;
    Ok(group)
}

/// As in text: `group:encoder.*:0.1`. A schedule that has no text is written as data.
impl fmt::Display for ParameterGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group:{}", self.on)?;
        match self.rate {
            GroupRate::Factor(1.) => {}
            GroupRate::Factor(factor) => write!(f, ":{factor}")?,
            GroupRate::Value(rate) => write!(f, ":learning-rate={rate}")?,
        }
        if let Some(decay) = self.weight_decay {
            write!(f, ":weight-decay={decay}")?;
        }
        match self.schedule.as_ref().map(|schedule| (schedule, schedule.text())) {
            None => Ok(()),
            Some((_, Some(text))) => write!(f, ":schedule={}", text.replace(':', "/")),
            Some((schedule, None)) => write!(f, ":schedule={schedule:?}"),
        }
    }
}
