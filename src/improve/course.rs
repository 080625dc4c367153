//! The loop itself, apart from what trains networks.
use crate::{
    diagnose::{Curves, Finding, Problem},
    improve::{
        agenda::{agenda, Wishes, SINGLE_NETWORK},
        decisions::Decisions,
        gain,
        gain::Measure,
        Choice, Diagnosed, Guard, ImproveEvent, RunScores, Spent, Step, StopReason, Verdict,
    },
    remedy::{Proposal, Setup},
    Error, Result,
};
use std::ops::Range;

/// What the loop asks for: diagnoses, proposals and scores of setups.
pub(super) trait Lab {
    /// Validation rows and training rows of a split.
    fn split_rows(&self) -> (usize, usize);

    /// The measure that decides.
    fn measure(&self) -> Measure;

    /// The name and the measure of a second metric, which must not become worse.
    fn guard(&self) -> Option<(String, Measure)>;

    /// The learning curves and findings of a setup.
    fn diagnose(&mut self, setup: &Setup) -> Result<(Curves, Vec<Finding>)>;

    /// The proposals for a finding of a setup, the best first.
    fn propose(&mut self, finding: &Finding, setup: &Setup, steps: usize) -> Result<Vec<Proposal>>;

    /// The setup as it is trained, after a check of what can be checked without training.
    fn prepare(&self, setup: Setup) -> Result<Setup>;

    /// The scores of the runs of a setup on splits, at least one for each split. It is trained where that has
    /// not been done.
    fn scores(&mut self, setup: &Setup, splits: Range<usize>) -> Result<Vec<Vec<Scores>>>;

    /// The scores that those of a changed setup are compared with: of the members of its ensembles, where each of them
    /// is a run of the setup, and of the setup's own runs otherwise.
    fn baseline(&mut self, setup: &Setup, changed: &Setup, splits: Range<usize>) -> Result<Vec<Vec<Scores>>>;

    /// What a comparison of a setup with a changed one would cost, as planned.
    fn cost(&self, setup: &Setup, changed: &Setup) -> Result<Spent>;

    /// Whether a changed setup may be compared with a setup. The diagnosis and the final scores of the
    /// changed setup must be affordable after it, too.
    fn affords(&self, setup: &Setup, changed: &Setup, decisions: &mut Decisions<'_>) -> Result<bool>;

    /// What has been trained so far.
    fn spent(&self) -> Spent;
}

/// The scores of a run on a split: NaN if its training diverged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scores {
    /// The metric that decides.
    pub(super) metric: f64,
    /// The second metric, if there is one.
    pub(super) guard: f64,
}

impl Scores {
    /// From the values of the metrics.
    pub(super) fn of(values: &[f64]) -> Self {
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self { metric: at(0), guard: at(1) }
    }
}

/// The parameters of the loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) splits: usize,
    pub(super) attempts: usize,
    pub(super) max_steps: usize,
    pub(super) alpha: f64,
    pub(super) min_gain: f64,
    pub(super) always_try_ensemble: bool,
}

/// What the loop did.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) setup: Setup,
    pub(super) steps: Vec<Step>,
    pub(super) diagnoses: Vec<Diagnosed>,
    pub(super) stopped: StopReason,
}

/// Splits after which a remedy without a gain is given up. To give up early keeps no remedy that would not be
/// kept otherwise, so it costs no level.
const RACE: usize = 3;
/// The level of the interval of the second metric.
const GUARD_LEVEL: f64 = 0.95;

/// The loop at work.
pub(super) struct Loop<'l, 'd> {
    pub(super) lab: &'l mut dyn Lab,
    pub(super) limits: Limits,
    pub(super) decisions: &'l mut Decisions<'d>,
    pub(super) tell: &'l dyn Fn(&ImproveEvent<'_>),
    pub(super) steps: Vec<Step>,
    /// Remedies tried since the last change that was kept.
    pub(super) tried: usize,
}

/// What became of a setup after its findings were treated.
enum Treated {
    /// A change was kept.
    Changed(Setup),
    /// The loop ends.
    Stopped(StopReason),
}

impl Loop<'_, '_> {
    /// Runs the loop from a setup to its end.
    pub(super) fn run(mut self, start: Setup) -> Result<Course> {
        let (mut setup, mut diagnoses) = (start, vec![]);
        loop {
            let (curves, findings) = self.lab.diagnose(&setup)?;
            (self.tell)(&ImproveEvent::Diagnosed { curves: &curves, findings: &findings });
            let wishes = Wishes {
                coarse_rate: self.kept_a_rate(),
                several_runs: self.steps.iter().any(|step| step.kept),
                ensemble: self.limits.always_try_ensemble,
            };
            let agenda = agenda(&findings, wishes);
            let healthy = !findings.iter().take_while(|f| f.problem != Problem::None).any(|_| true);
            diagnoses.push(Diagnosed { after_steps: self.steps.len(), curves, findings });
            match self.treat(&setup, &agenda, healthy)? {
                Treated::Changed(changed) => setup = changed,
                Treated::Stopped(stopped) => {
                    let steps = self.steps;
                    return Ok(Course { setup, steps, diagnoses, stopped });
                }
            }
        }
    }

    /// Whether a change of the learning rate was kept.
    fn kept_a_rate(&self) -> bool {
        let sets_rate =
            |step: &Step| step.remedy.change.settings.iter().any(|(name, _)| name == "learning_rate");
        self.steps.iter().any(|step| step.kept && sets_rate(step))
    }

    /// Tries remedies for the findings of a setup, one after the other, until a change is kept.
    fn treat(&mut self, setup: &Setup, agenda: &[Finding], healthy: bool) -> Result<Treated> {
        let (mut rejected, mut too_expensive): (Vec<Setup>, bool) = (vec![], false);
        for finding in agenda {
            for _ in 0..self.limits.attempts {
                if self.steps.len() >= self.limits.max_steps {
                    return Ok(Treated::Stopped(StopReason::BudgetSpent));
                }
                let mut candidates = vec![];
                for proposal in self.lab.propose(finding, setup, self.steps.len())? {
                    let changed = proposal.change.apply(setup);
                    if proposal.change.by_hand.is_some() || changed == *setup || rejected.contains(&changed) {
                        continue;
                    }
                    match self.affords(setup, &changed)? {
                        true => candidates.push((proposal, changed)),
                        false => too_expensive = true,
                    }
                }
                let proposals: Vec<Proposal> =
                    candidates.iter().map(|(proposal, _)| proposal.clone()).collect();
                if proposals.is_empty() {
                    break;
                }
                let place = match self.decisions.choose(finding, &proposals)? {
                    Choice::Try(place) => place,
                    Choice::Skip => {
                        self.skip(finding, proposals);
                        break;
                    }
                    Choice::Stop => return Ok(Treated::Stopped(StopReason::Ended)),
                };
                let level = self.level(finding.is(SINGLE_NETWORK) && candidates.len() == 1);
                let Some((proposal, changed)) = candidates.into_iter().nth(place) else { break };
                let step = Step::new(finding, proposal, level);
                if let Some(kept) = self.attempt(step, setup, &changed)? {
                    return Ok(Treated::Changed(kept));
                }
                rejected.push(changed);
            }
        }
        Ok(Treated::Stopped(match (healthy, too_expensive) {
            (true, _) => StopReason::NothingWrong,
            (false, true) => StopReason::BudgetSpent,
            (false, false) => StopReason::NothingHelps,
        }))
    }

    /// Whether the budget allows to try a change. One that does not fit costs nothing.
    fn affords(&mut self, setup: &Setup, changed: &Setup) -> Result<bool> {
        match self.lab.prepare(changed.clone()) {
            Ok(changed) => self.lab.affords(setup, &changed, self.decisions),
            Err(e) => refusal(e).map(|_| true),
        }
    }

    /// Records that the user tries nothing more for a finding.
    fn skip(&mut self, finding: &Finding, proposals: Vec<Proposal>) {
        let Some(remedy) = proposals.into_iter().next() else { return };
        let level = self.level(false);
        self.push(Step { verdict: Verdict::Skipped, ..Step::new(finding, remedy, level) });
    }

    /// The level of the interval of the next change, after which no other is tried for this setup if it is the `last`.
    fn level(&self, last: bool) -> f64 {
        gain::interval_level(self.limits.alpha, self.tried, last)
    }

    /// Tries the change of a step. Returns the setup if it is kept.
    fn attempt(&mut self, mut step: Step, setup: &Setup, changed: &Setup) -> Result<Option<Setup>> {
        let prepared = self.lab.prepare(changed.clone()).and_then(|changed| {
            let cost = self.lab.cost(setup, &changed)?;
            Ok((changed, cost))
        });
        let (changed, cost) = match prepared {
            Ok(prepared) => prepared,
            Err(e) => {
                step.verdict = Verdict::Refused(refusal(e)?);
                self.push(step);
                return Ok(None);
            }
        };
        (self.tell)(&ImproveEvent::Trying {
            step: self.steps.len(),
            finding: &step.finding,
            remedy: &step.remedy,
            level: step.level,
            trainings: cost.trainings,
        });
        let before = self.lab.spent();
        if let Err(e) = self.compare(&mut step, setup, &changed) {
            step.verdict = Verdict::Refused(refusal(e)?);
            (step.pairs, step.gain, step.guard) = (vec![], None, None);
        }
        let after = self.lab.spent();
        step.trainings = after.trainings.saturating_sub(before.trainings);
        step.epochs = after.epochs.saturating_sub(before.epochs);
        if !matches!(step.verdict, Verdict::Refused(_)) {
            self.tried += 1;
            step.kept = step.verdict == Verdict::Better;
            step.kept = self.decisions.keep(&step)?;
        }
        let kept = step.kept;
        self.push(step);
        if kept {
            self.tried = 0;
        }
        Ok(kept.then_some(changed))
    }

    /// Compares the setup with and without the change, on some splits first.
    fn compare(&mut self, step: &mut Step, setup: &Setup, changed: &Setup) -> Result<()> {
        let measure = self.lab.measure();
        let mut guards = vec![];
        let race = RACE.min(self.limits.splits);
        for splits in [0..race, race..self.limits.splits] {
            let with = self.lab.scores(changed, splits.clone())?;
            let without = self.lab.baseline(setup, changed, splits.clone())?;
            for (split, (without, with)) in splits.zip(without.iter().zip(&with)) {
                for (without, with) in pairs(without, with) {
                    step.pairs.push(RunScores { split, without: without.metric, with: with.metric });
                    guards.push(RunScores { split, without: without.guard, with: with.guard });
                }
            }
            if gain::mean_difference(&step.pairs, measure) <= 0. {
                break;
            }
        }
        let rows = self.lab.split_rows();
        step.gain = gain::gain(&step.pairs, measure, rows, step.level)?;
        step.verdict = gain::verdict(step.gain, &step.pairs, self.limits.min_gain);
        if let Some((metric, measure)) = self.lab.guard()
            && let Some(gain) = gain::gain(&guards, measure, rows, GUARD_LEVEL)?
        {
            if step.verdict == Verdict::Better && gain.high < 0. {
                step.verdict = Verdict::WorseOn(metric.clone());
            }
            step.guard = Some(Guard { metric, gain });
        }
        Ok(())
    }

    fn push(&mut self, step: Step) {
        (self.tell)(&ImproveEvent::Tried { number: self.steps.len(), step: &step });
        self.steps.push(step);
    }
}

/// The runs of two setups on a split in pairs. Where one has fewer runs, such as an ensemble, they stand in
/// several pairs.
fn pairs<'s>(without: &'s [Scores], with: &'s [Scores]) -> impl Iterator<Item = (&'s Scores, &'s Scores)> {
    let count = if without.is_empty() || with.is_empty() { 0 } else { without.len().max(with.len()) };
    without.iter().cycle().zip(with.iter().cycle()).take(count)
}

/// Why a change does not fit; an error that is no refusal ends the loop.
fn refusal(error: Error) -> Result<String> {
    match error {
        Error::Cancelled { .. } | Error::Stopped { .. } | Error::Io { .. } | Error::Damaged { .. } => {
            Err(error)
        }
        other => Ok(other.to_string()),
    }
}

impl Step {
    /// A step before anything is known.
    fn new(finding: &Finding, remedy: Proposal, level: f64) -> Self {
        Self {
            finding: finding.clone(),
            remedy,
            pairs: vec![],
            gain: None,
            level,
            guard: None,
            trainings: 0,
            epochs: 0,
            verdict: Verdict::NoGain,
            kept: false,
        }
    }
}

#[cfg(test)]
mod tests;
