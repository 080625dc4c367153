//! The trait of remedies, and what the built-in ones share.
use crate::{
    diagnose::Finding,
    plan::{BatchSize, Value},
    remedy::{code, Change, Cost, Proposal, Start},
};
use std::fmt;

/// A technique that may solve a problem.
///
/// The built-in ones are [`remedies`](crate::remedy::remedies); one of your own is added to their list.
///
/// ```
/// use candle_ensemble::{diagnose::*, remedy::*, plan::Settings};
///
/// /// Limits the norm of each unit's weights.
/// #[derive(Debug)]
/// struct ConstrainNorms;
///
/// impl Remedy for ConstrainNorms {
///     fn name(&self) -> &str {
///         "constrain-norms"
///     }
///
///     fn propose(&self, finding: &Finding, _: &Start<'_>) -> Vec<Proposal> {
///         if !finding.is("overfit") {
///             return vec![];
///         }
///         let settings = Settings::new().with("constraint", "max-norm:2");
///         vec![Proposal::new(self.name(), &finding.name, 0.5, Change { settings, ..Change::default() })]
///     }
/// }
///
/// let mut all = remedies();
/// all.push(Box::new(ConstrainNorms));
/// let finding = Finding::of(Label::Overfit, 0.9, "The validation loss turns at epoch 7.", "");
/// let (trainer, setup) = (Default::default(), Setup::default());
/// let proposals = propose(&all, &[finding], &Start::new(&trainer, &setup)?);
/// assert_eq!(proposals[0].remedy, "early-stopping");
/// assert!(proposals.iter().any(|proposal| proposal.remedy == "constrain-norms"));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Remedy: Send + Sync + fmt::Debug {
    /// Its name, such as `early-stopping`.
    fn name(&self) -> &str;

    /// What it proposes for a finding. It is empty if the remedy does not fit the finding, or is in place
    /// already.
    fn propose(&self, finding: &Finding, start: &Start<'_>) -> Vec<Proposal>;
}

/// A built-in remedy.
pub(super) struct BuiltIn {
    pub name: &'static str,
    /// One line: what it does.
    pub summary: &'static str,
    /// Names of findings, or labels, each with the priority of the remedy for it.
    pub treats: &'static [(&'static str, f64)],
    pub source: &'static str,
    pub drafts: fn(&Finding, &Start<'_>) -> Vec<Draft>,
}

/// A proposal of a built-in remedy before it has its name, its code and its source.
pub(super) struct Draft {
    change: Change,
    why: String,
    effect: &'static str,
    cost: Cost,
    factor: f64,
}

impl Draft {
    /// Why it fits and what it is expected to do.
    pub(super) fn new(why: impl Into<String>, effect: &'static str) -> Self {
        Self { change: Change::default(), why: why.into(), effect, cost: Cost::default(), factor: 1. }
    }

    pub(super) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.change.settings = self.change.settings.with(name, value);
        self
    }

    pub(super) fn epochs(self, epochs: usize) -> Self {
        self.set("epochs", i64::try_from(epochs).unwrap_or(i64::MAX))
    }

    pub(super) fn batch(self, rows: usize) -> Self {
        self.set("batch_size", BatchSize::Fixed(rows))
    }

    pub(super) fn strategy(mut self, text: impl Into<String>) -> Self {
        self.change.strategy = Some(text.into());
        self
    }

    pub(super) fn combination(mut self, text: impl Into<String>) -> Self {
        self.change.combination = Some(text.into());
        self
    }

    pub(super) fn because(mut self, why: String) -> Self {
        self.why = why;
        self
    }

    pub(super) fn validation(mut self, share: f64) -> Self {
        self.change.validation = Some(share);
        self
    }

    /// Sets validation rows aside.
    pub(super) fn watched(self, start: &Start<'_>) -> Self {
        self.validation(start.validation())
    }

    /// Makes the changes of another draft as well.
    pub(super) fn and(mut self, other: Self) -> Self {
        let Change { settings, strategy, combination, validation, by_hand } = other.change;
        let change = &mut self.change;
        change.settings = std::mem::take(&mut change.settings).with_all(settings.iter());
        change.strategy = strategy.or(change.strategy.take());
        change.combination = combination.or(change.combination.take());
        change.validation = validation.or(change.validation);
        change.by_hand = by_hand.or(change.by_hand.take());
        self
    }

    pub(super) fn is_by_hand(&self) -> bool {
        self.change.by_hand.is_some()
    }

    pub(super) fn by_hand(mut self, text: impl Into<String>) -> Self {
        self.change.by_hand = Some(text.into());
        self
    }

    pub(super) fn cost(mut self, training: f64, prediction: f64) -> Self {
        self.cost = Cost { training, prediction };
        self
    }

    /// Multiplies the priority: below 1 for what fits less well, above 1 where the settings show the cause.
    pub(super) fn times(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }
}

impl BuiltIn {
    /// Its priority for a name; `None` if it is not for it.
    pub(super) fn priority_for(&self, name: &str) -> Option<f64> {
        self.treats.iter().find(|(treated, _)| *treated == name).map(|(_, priority)| *priority)
    }

    /// Its priority for a finding: that for its name or, if there is none, that for its label.
    fn priority(&self, finding: &Finding) -> Option<f64> {
        self.priority_for(&finding.name).or_else(|| self.priority_for(finding.kind?.name()))
    }
}

impl Remedy for BuiltIn {
    fn name(&self) -> &str {
        self.name
    }

    fn propose(&self, finding: &Finding, start: &Start<'_>) -> Vec<Proposal> {
        let Some(priority) = self.priority(finding) else { return vec![] };
        let drafts = (self.drafts)(finding, start).into_iter();
        let fits = |draft: &Draft| {
            let by_hand = draft.change.by_hand.is_some();
            by_hand || (start.changes(&draft.change) && start.check(&draft.change).is_ok())
        };
        drafts
            .filter(fits)
            .map(|draft| Proposal {
                remedy: self.name.into(),
                finding: finding.name.clone(),
                priority: (priority * draft.factor).min(1.),
                why: draft.why,
                code: code::of_change(&draft.change, start).unwrap_or_default(),
                change: draft.change,
                cost: draft.cost,
                effect: draft.effect.into(),
                source: self.source.into(),
            })
            .collect()
    }
}

impl fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remedy").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the finding says, followed by why a remedy fits: the strongest evidence or, without any, the summary.
pub(super) fn because(finding: &Finding, reason: impl fmt::Display) -> String {
    let shown = finding.evidence.first().map_or(&finding.summary, |evidence| &evidence.text);
    let shown = shown.trim().trim_end_matches('.');
    match shown.is_empty() {
        true => reason.to_string(),
        false => format!("{shown}. {reason}"),
    }
}

/// The number with two significant digits.
pub(super) fn rounded(x: f64) -> f64 {
    format!("{x:.1e}").parse().unwrap_or(x)
}
