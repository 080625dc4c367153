//! Rules that are chosen at run time.
use crate::{
    data::Task,
    sequence::{
        AdaBoostRule, GradientBoostingRule, Join, Outcome, Predicted, Round, RoundData, SequenceData,
        SequenceRule,
    },
    Error, Result,
};
use std::{fmt, sync::Arc};

/// A [`SequenceRule`], whichever it is.
///
/// Plans are written with the [text](SequenceRule::text) of a rule. A rule of the library is made from its text again. A rule
/// of your own is known only in plans that your strategy has made in this process: make the plan anew instead of reading it.
#[derive(Clone)]
pub struct Rule {
    text: Arc<str>,
    rule: Option<Arc<dyn AnyRule>>,
}

impl Rule {
    /// This rule.
    #[must_use]
    pub fn new(rule: impl SequenceRule) -> Self {
        Self { text: rule.text().into(), rule: Some(Arc::new(rule)) }
    }

    /// The rule with this text.
    pub(crate) fn from_text(text: &str) -> Self {
        let adaboost = AdaBoostRule::from_text(text).map(Self::new);
        let known = adaboost.or_else(|| GradientBoostingRule::from_text(text).map(Self::new));
        known.unwrap_or_else(|| Self { text: text.into(), rule: None })
    }

    /// The rule with its parameters as a text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rule itself.
    ///
    /// # Errors
    /// When the plan was read from a file and its rule is not one of the library.
    pub(crate) fn get(&self) -> Result<&Arc<dyn AnyRule>> {
        self.rule.as_ref().ok_or_else(|| {
            let must = "one of the library in a plan that was read from a file (make the plan with its strategy instead)";
            Error::invalid("the rule of a sequence", must, format!("{:?}", self.text))
        })
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({:?})", self.text)
    }
}

/// A rule, with its state erased.
pub(crate) trait AnyRule: fmt::Debug + Send + Sync {
    fn check(&self, task: Task) -> Result<()>;
    fn changes_task(&self) -> bool;
    fn member_task(&self, task: Task, outputs: usize) -> Result<Task>;
    /// The beginning of a sequence.
    fn start(self: Arc<Self>, data: SequenceData) -> Result<Box<dyn Course>>;
}

/// A sequence under way: its rule, its rows, and what is remembered.
pub(crate) trait Course: Send {
    fn data(&self) -> &SequenceData;
    fn join(&self) -> Join;
    fn round_data(&self, round: Round) -> Result<RoundData>;
    fn update(&mut self, round: Round, predicted: &Predicted) -> Result<Outcome>;
}

impl<R: SequenceRule> AnyRule for R {
    fn check(&self, task: Task) -> Result<()> {
        SequenceRule::check(self, task)
    }

    fn changes_task(&self) -> bool {
        SequenceRule::changes_task(self)
    }

    fn member_task(&self, task: Task, outputs: usize) -> Result<Task> {
        SequenceRule::member_task(self, task, outputs)
    }

    fn start(self: Arc<Self>, data: SequenceData) -> Result<Box<dyn Course>> {
        let state = SequenceRule::start(&*self, &data)?;
        Ok(Box::new(Started { rule: self, data, state }))
    }
}

struct Started<R: SequenceRule> {
    rule: Arc<R>,
    data: SequenceData,
    state: R::State,
}

impl<R: SequenceRule> Course for Started<R> {
    fn data(&self) -> &SequenceData {
        &self.data
    }

    fn join(&self) -> Join {
        self.rule.join(&self.data)
    }

    fn round_data(&self, round: Round) -> Result<RoundData> {
        let round_data = self.rule.round_data(&self.data, &self.state, round)?;
        check_round_data(&round_data, &self.data)?;
        Ok(round_data)
    }

    fn update(&mut self, round: Round, predicted: &Predicted) -> Result<Outcome> {
        let outcome = self.rule.update(&self.data, &mut self.state, round, predicted)?;
        if !outcome.weight.is_finite() {
            return Err(Error::invalid("the weight of a member of a sequence", "finite", outcome.weight));
        }
        match outcome.kept {
            Some(kept) if kept == 0 || kept > round.number + 1 => {
                let must = format!("from 1 to {}, the rounds so far", round.number + 1);
                Err(Error::invalid("the number of members that a sequence keeps", must, kept))
            }
            _ => Ok(outcome),
        }
    }
}

/// Checks the numbers of a round.
fn check_round_data(round_data: &RoundData, data: &SequenceData) -> Result<()> {
    let count = |what: &str, must: usize, was: usize| match must == was {
        true => Ok(()),
        false => Err(Error::invalid(format!("the number of {what} of a round"), must.to_string(), was)),
    };
    if let Some(weights) = &round_data.weights {
        count("weights", data.train.len(), weights.len())?;
        if let Some((row, weight)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.) {
            return Err(Error::invalid(
                format!("the weight of training row {row}"),
                "finite, 0 or more",
                weight,
            ));
        }
        if weights.iter().all(|weight| *weight == 0.) {
            return Err(Error::invalid("the weights of a round", "above 0 for at least one row", 0));
        }
    }
    if let Some(targets) = &round_data.targets {
        let width = data.member_task.width();
        count("targets", data.train.len() * width, targets.train.len())?;
        count("validation targets", data.valid.len() * width, targets.valid.len())?;
        if let Some(target) = targets.train.iter().chain(&targets.valid).find(|target| !target.is_finite()) {
            return Err(Error::invalid("a target of a round", "finite", target));
        }
    }
    match round_data.rows.as_deref() {
        Some([]) => Err(Error::invalid("the rows of a round", "at least one", 0)),
        Some(rows) => match rows.iter().find(|row| **row >= data.train.len()) {
            Some(row) => {
                let must = format!("below {}, the number of training rows", data.train.len());
                Err(Error::invalid("a row of a round", must, row))
            }
            None => Ok(()),
        },
        None => Ok(()),
    }
}
