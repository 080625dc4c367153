use super::*;
use crate::{
    improve::{agenda::Wishes, kept::Kept, ByRule, Decide},
    plan::{Settings, Value},
    remedy::Change,
    Seed,
};
use rand::Rng;
use rand_distr::StandardNormal;
use std::cell::RefCell;

/// A laboratory without networks: setups have one setting, a whole number `a`, and the logarithm of the loss is a
/// function of it.
struct Fake<'f> {
    /// The logarithm of the loss for a setup and a split; `None` if the training diverges.
    log_loss: &'f dyn Fn(i64, usize) -> Option<f64>,
    /// The names of the findings of a setup.
    findings: &'f dyn Fn(i64) -> Vec<Finding>,
    /// The setups that are proposed for a finding of a setup.
    proposals: &'f dyn Fn(&str, i64) -> Vec<i64>,
    guard: Option<&'f dyn Fn(i64, usize) -> f64>,
    refused: Vec<i64>,
    /// The name of the setting.
    setting: &'static str,
    budget: usize,
    trained: RefCell<Vec<(i64, usize)>>,
}

fn number(setup: &Setup) -> i64 {
    match setup.settings.iter().next() {
        Some((_, Value::Int(a))) => *a,
        _ => 0,
    }
}

impl Fake<'_> {
    fn left(&self, setup: &Setup, splits: Range<usize>) -> usize {
        let trained = self.trained.borrow();
        splits.filter(|split| !trained.contains(&(number(setup), *split))).count()
    }
}

impl Lab for Fake<'_> {
    fn split_rows(&self) -> (usize, usize) {
        (20, 80)
    }

    fn measure(&self) -> Measure {
        Measure { higher_is_better: false, floor: 1e-9 }
    }

    fn guard(&self) -> Option<(String, Measure)> {
        self.guard.map(|_| ("accuracy".into(), Measure { higher_is_better: true, floor: 1e-9 }))
    }

    fn diagnose(&mut self, setup: &Setup) -> Result<(Curves, Vec<Finding>)> {
        Ok((Curves::default(), (self.findings)(number(setup))))
    }

    fn propose(&mut self, finding: &Finding, setup: &Setup, _: usize) -> Result<Vec<Proposal>> {
        let proposed = (self.proposals)(&finding.name, number(setup));
        let proposal = |a: i64| match a {
            -1 => Change { by_hand: Some("Get more rows.".into()), ..Change::default() },
            a => Change { settings: Settings::new().with(self.setting, a), ..Change::default() },
        };
        Ok(proposed
            .into_iter()
            .map(|a| Proposal::new(&format!("to-{a}"), &finding.name, 0.5, proposal(a)))
            .collect())
    }

    fn prepare(&self, setup: Setup) -> Result<Setup> {
        match self.refused.contains(&number(&setup)) {
            true => Err(Error::invalid("the setting \"a\"", "another one", number(&setup))),
            false => Ok(setup),
        }
    }

    fn scores(&mut self, setup: &Setup, splits: Range<usize>) -> Result<Vec<Vec<Scores>>> {
        let a = number(setup);
        let score = |split: usize| {
            let metric = (self.log_loss)(a, split).map_or(f64::NAN, f64::exp);
            vec![Scores { metric, guard: self.guard.map_or(f64::NAN, |guard| guard(a, split)) }]
        };
        let scores = splits.clone().map(score).collect();
        let mut trained = self.trained.borrow_mut();
        splits.for_each(|split| trained.push((a, split)));
        trained.sort_unstable();
        trained.dedup();
        Ok(scores)
    }

    fn baseline(&mut self, setup: &Setup, _: &Setup, splits: Range<usize>) -> Result<Vec<Vec<Scores>>> {
        self.scores(setup, splits)
    }

    fn cost(&self, setup: &Setup, changed: &Setup) -> Result<Spent> {
        let all = 0..LIMITS.splits;
        let trainings = self.left(setup, all.clone()) + self.left(changed, all);
        Ok(Spent { trainings, epochs: 10 * trainings })
    }

    fn affords(&self, setup: &Setup, changed: &Setup, _: &mut Decisions<'_>) -> Result<bool> {
        let left = self.left(setup, 0..LIMITS.splits) + self.left(changed, 0..LIMITS.splits);
        Ok(self.trained.borrow().len() + left <= self.budget)
    }

    fn spent(&self) -> Spent {
        let trainings = self.trained.borrow().len();
        Spent { trainings, epochs: 10 * trainings }
    }
}

const LIMITS: Limits =
    Limits { splits: 8, attempts: 4, max_steps: 40, alpha: 0.05, min_gain: 0., always_try_ensemble: false };

fn finding(name: &str, problem: Problem) -> Finding {
    Finding::new(name, problem, 0.9, "Something is wrong.", "")
}

fn learning(_: i64) -> Vec<Finding> {
    vec![finding("slow", Problem::Learning)]
}

fn noise(a: i64, split: usize) -> f64 {
    0.02 * Seed::from(1).nth("a", a as u64).nth("split", split as u64).rng().sample::<f64, _>(StandardNormal)
}

/// A loss that falls by a third from setup to setup, up to 2.
fn falling(a: i64, split: usize) -> Option<f64> {
    Some(-0.4 * a.min(2) as f64 + noise(a, split))
}

fn fake<'f>() -> Fake<'f> {
    Fake {
        log_loss: &falling,
        findings: &learning,
        proposals: &|_, a| vec![a + 1],
        guard: None,
        refused: vec![],
        setting: "a",
        budget: usize::MAX,
        trained: RefCell::new(vec![]),
    }
}

fn run_with(mut lab: Fake<'_>, limits: Limits, decide: &dyn Decide) -> Course {
    let start = Setup { settings: Settings::new().with(lab.setting, 0), ..Setup::default() };
    let kept = Kept::new(None).unwrap();
    let mut decisions = Decisions::new(decide, &kept, "test").unwrap();
    let (lab, decisions) = (&mut lab, &mut decisions);
    Loop { lab, limits, decisions, tell: &|_| (), steps: vec![], tried: 0 }.run(start).unwrap()
}

fn run(lab: Fake<'_>) -> Course {
    run_with(lab, LIMITS, &ByRule)
}

#[test]
fn remedies_that_help_are_kept_until_nothing_helps() {
    let course = run(fake());
    assert_eq!((number(&course.setup), course.stopped), (2, StopReason::NothingHelps));
    let kept: Vec<bool> = course.steps.iter().map(|step| step.kept).collect();
    assert_eq!(kept, [true, true, false]);
    assert_eq!(course.diagnoses.iter().map(|d| d.after_steps).collect::<Vec<_>>(), [0, 1, 2]);
    let gain = course.steps[0].gain.unwrap();
    assert!((gain.estimate - (1. - (-0.4f64).exp())).abs() < 0.03, "{gain:?}");
    // A change that is kept starts a new family: the level begins again.
    let levels: Vec<f64> = course.steps.iter().map(|step| step.level).collect();
    assert_eq!(levels, [0.95, 0.95, 0.95]);
}

#[test]
fn nothing_is_tried_where_nothing_is_wrong() {
    let healthy =
        |_: i64| vec![finding("good_fit", Problem::None), finding("underfit_unfinished", Problem::Learning)];
    let course = run(Fake { findings: &healthy, ..fake() });
    assert_eq!((course.steps.len(), course.stopped), (0, StopReason::NothingWrong));
    // Unless the user asks for an ensemble.
    let asked = |name: &str, a: i64| if name == "high_variance" { vec![a + 1] } else { vec![] };
    let lab = Fake { findings: &healthy, proposals: &asked, ..fake() };
    let course = run_with(lab, Limits { always_try_ensemble: true, ..LIMITS }, &ByRule);
    assert_eq!((number(&course.setup), course.stopped), (2, StopReason::NothingWrong));
}

/// An ensemble is asked for.
const ASKED: Wishes = Wishes { coarse_rate: false, several_runs: false, ensemble: true };

#[test]
fn a_finding_waits_for_the_one_before_it() {
    let mut spread = finding("spread", Problem::Prediction);
    spread.after = Some("slow".into());
    let found = [spread, finding("slow", Problem::Learning), finding("good_fit", Problem::None)];
    let names = |agenda: Vec<Finding>| agenda.into_iter().map(|f| f.name).collect::<Vec<_>>();
    assert_eq!(names(agenda(&found, Wishes::default())), ["slow", "spread"]);
    // Two that wait for each other are treated all the same.
    let mut found = found;
    found[1].after = Some("spread".into());
    assert_eq!(names(agenda(&found, Wishes::default())), ["spread", "slow"]);
    assert_eq!(names(agenda(&found, ASKED)), ["spread", "slow"]);
    assert_eq!(names(agenda(&found[2..], ASKED)), ["high_variance"]);
    // Of a network that was changed several are tried, once, and an ensemble that was asked for comes first.
    let changed = Wishes { several_runs: true, ..Wishes::default() };
    assert_eq!(names(agenda(&found[2..], changed)), ["single_network"]);
    assert_eq!(names(agenda(&found, changed)), ["spread", "slow"]);
    assert_eq!(names(agenda(&found[2..], Wishes { several_runs: true, ..ASKED })), ["high_variance"]);
}

#[test]
fn a_spread_waits_for_a_measured_problem_with_learning() {
    let of = |name: &str, problem, confidence| Finding { confidence, ..finding(name, problem) };
    let names = |found: &[Finding]| {
        agenda(found, Wishes::default()).into_iter().map(|finding| finding.name).collect::<Vec<_>>()
    };
    let spread = || of("high_variance", Problem::Prediction, 0.9);
    let measured = |confidence| of("cannot_fit_one_batch", Problem::Learning, confidence);
    assert_eq!(names(&[spread(), measured(0.5)]), ["cannot_fit_one_batch", "high_variance"]);
    // Not for one that is unlikely, nor for what the curves show less clearly.
    assert_eq!(names(&[spread(), measured(0.3)]), ["high_variance", "cannot_fit_one_batch"]);
    let unfinished = of("underfit_unfinished", Problem::Learning, 0.5);
    assert_eq!(names(&[spread(), unfinished]), ["high_variance", "underfit_unfinished"]);
}

#[test]
fn several_runs_are_tested_at_all_of_the_level_that_is_left() {
    let found = |a: i64| vec![finding(if a == 0 { "slow" } else { "flat" }, Problem::Learning)];
    // The first change helps, the next three do not.
    let proposals = |name: &str, a: i64| match (name, a) {
        ("slow", 0) => vec![1],
        ("flat", 1) => vec![5, 6, 7],
        ("single_network", 1) => vec![2],
        _ => vec![],
    };
    let log_loss = |a: i64, split: usize| Some(if a < 3 { -0.4 * a as f64 } else { 1. } + noise(a, split));
    let course = run(Fake { findings: &found, proposals: &proposals, log_loss: &log_loss, ..fake() });
    let kept: Vec<bool> = course.steps.iter().map(|step| step.kept).collect();
    assert_eq!(kept, [true, false, false, false, true]);
    let level = |step: &Step| (1. - step.level) / 2.;
    let sum: f64 = course.steps.iter().skip(1).map(level).sum();
    assert!((sum - 0.05).abs() < 1e-12, "{sum}");
}

#[test]
fn several_runs_are_tried_of_a_network_that_was_changed() {
    let until_changed = |a: i64| match a {
        0 => vec![finding("slow", Problem::Learning)],
        _ => vec![finding("good_fit", Problem::None)],
    };
    let proposals = |name: &str, a: i64| match name {
        "slow" | "single_network" => vec![a + 1],
        _ => vec![],
    };
    let course = run(Fake { findings: &until_changed, proposals: &proposals, ..fake() });
    let tried: Vec<_> = course.steps.iter().map(|step| (step.finding.name.as_str(), step.kept)).collect();
    assert_eq!(tried, [("slow", true), ("single_network", true), ("single_network", false)]);
    assert_eq!(course.stopped, StopReason::NothingWrong);
}

#[test]
fn a_measurement_counts_beside_good_curves() {
    let of = |name: &str, problem, confidence| Finding { confidence, ..finding(name, problem) };
    let found = [
        of("good_fit", Problem::None, 0.9),
        of("first_loss_too_high", Problem::Learning, 0.6),
        of("underfit_flat", Problem::Learning, 0.6),
        of("small_validation", Problem::Data, 0.6),
        of("dead_units", Problem::Learning, 0.3),
    ];
    let names: Vec<String> =
        agenda(&found, Wishes::default()).into_iter().map(|finding| finding.name).collect();
    assert_eq!(names, ["first_loss_too_high"]);
}

#[test]
fn the_neighbours_of_a_kept_rate_are_tried_until_none_is_better() {
    // The finding is gone after the first change, and the loss falls on for two more.
    let until_changed = |a: i64| match a {
        0 => vec![finding("slow", Problem::Learning)],
        _ => vec![finding("good_fit", Problem::None)],
    };
    let proposals = |name: &str, a: i64| match name {
        "slow" | "coarse_learning_rate" => vec![a + 1],
        _ => vec![],
    };
    let log_loss = |a: i64, split: usize| Some(-0.4 * a.min(3) as f64 + noise(a, split));
    let lab = || Fake { findings: &until_changed, proposals: &proposals, log_loss: &log_loss, ..fake() };
    // The setting is none of the learning rate: nothing more is tried.
    let course = run(lab());
    assert_eq!((number(&course.setup), course.steps.len()), (1, 1));
    let course = run(Fake { setting: "learning_rate", ..lab() });
    let names: Vec<&str> = course.steps.iter().map(|step| step.finding.name.as_str()).collect();
    assert_eq!(names, ["slow", "coarse_learning_rate", "coarse_learning_rate", "coarse_learning_rate"]);
    assert_eq!((number(&course.setup), course.stopped), (3, StopReason::NothingWrong));
}

#[test]
fn a_gain_that_is_too_small_is_not_kept() {
    let log_loss = |a: i64, split: usize| Some(-0.1 * a.min(1) as f64 + 0.1 * noise(a, split));
    let run = |min_gain: f64| {
        let limits = Limits { min_gain, ..LIMITS };
        run_with(Fake { log_loss: &log_loss, ..fake() }, limits, &ByRule)
    };
    // The loss is reduced by 1 − exp(−0.1) = 0.095.
    let (all, large) = (run(0.08), run(0.11));
    assert_eq!((number(&all.setup), &all.steps[0].verdict), (1, &Verdict::Better));
    assert_eq!((number(&large.setup), &large.steps[0].verdict), (0, &Verdict::SmallGain));
}

#[test]
fn each_finding_has_its_attempts_and_each_change_is_tried_once() {
    let two = |_: i64| vec![finding("first", Problem::Learning), finding("second", Problem::Generalization)];
    let proposals = |name: &str, _: i64| match name {
        "first" => vec![-1, 0, 3, 4, 5, 6, 7],
        _ => vec![4, 8],
    };
    let worse = |a: i64, split: usize| Some(0.5 * a.min(1) as f64 + noise(a, split));
    let course = run(Fake { log_loss: &worse, findings: &two, proposals: &proposals, ..fake() });
    let tried: Vec<&str> = course.steps.iter().map(|step| step.remedy.remedy.as_str()).collect();
    assert_eq!(tried, ["to-3", "to-4", "to-5", "to-6", "to-8"]);
    assert!(course.steps.iter().all(|step| step.pairs.len() == RACE && !step.kept), "given up early");
    let level = |step: &Step| (1. - step.level) / 2.;
    let sum: f64 = course.steps.iter().map(level).sum();
    assert!((sum - 0.05 * 5. / 6.).abs() < 1e-12, "{sum}");
    assert_eq!(course.stopped, StopReason::NothingHelps);
}

#[test]
fn a_change_that_is_refused_costs_nothing() {
    let proposals = |_: &str, a: i64| vec![9, a + 1];
    let course = run(Fake { proposals: &proposals, refused: vec![9], ..fake() });
    let Verdict::Refused(why) = &course.steps[0].verdict else { panic!("{:?}", course.steps[0].verdict) };
    assert!(why.contains("must be another one"), "{why}");
    assert_eq!((course.steps[0].trainings, course.steps[1].kept), (0, true));
    // It counts for no level.
    assert_eq!(course.steps[1].level, 0.95);
    assert_eq!(number(&course.setup), 2);
}

#[test]
fn divergence_is_worse_than_everything() {
    // The start diverges, the first change does not train well but ends, and the second one diverges again.
    let log_loss = |a: i64, split: usize| match a {
        0 => None,
        1 => Some(5. + noise(a, split)),
        _ => split.is_multiple_of(3).then_some(0.),
    };
    let course = run(Fake { log_loss: &log_loss, ..fake() });
    assert_eq!((number(&course.setup), course.steps.len()), (1, 2));
    assert_eq!(course.steps[0].verdict, Verdict::Better);
    assert_eq!(course.steps[0].gain.unwrap().estimate, 1.);
    assert_eq!(course.steps[1].verdict, Verdict::Diverged);
}

#[test]
fn a_gain_in_one_metric_is_no_loss_in_another() {
    let accuracy = |a: i64, split: usize| 0.9 - 0.1 * a as f64 + 0.001 * (split % 2) as f64;
    let course = run(Fake { guard: Some(&accuracy), ..fake() });
    assert_eq!(course.steps[0].verdict, Verdict::WorseOn("accuracy".into()));
    assert!(course.steps[0].guard.as_ref().unwrap().gain.high < 0.);
    assert_eq!(number(&course.setup), 0);
}

#[test]
fn the_budget_is_kept_to() {
    // Eight splits of the start and of the first change.
    let course = run(Fake { budget: 16, ..fake() });
    assert_eq!((number(&course.setup), course.stopped), (1, StopReason::BudgetSpent));
    let course = run(Fake { budget: 15, ..fake() });
    assert_eq!((course.steps.len(), course.stopped), (0, StopReason::BudgetSpent));
    let course = run_with(fake(), Limits { max_steps: 1, ..LIMITS }, &ByRule);
    assert_eq!((course.steps.len(), course.stopped), (1, StopReason::BudgetSpent));
}

/// Chooses by a list, and keeps nothing.
struct Listed(RefCell<Vec<Choice>>);

impl Decide for Listed {
    fn choose(&self, _: &Finding, _: &[Proposal]) -> Choice {
        self.0.borrow_mut().pop().unwrap()
    }
    fn keep(&self, step: &Step) -> bool {
        step.remedy.remedy == "to-5"
    }
}

#[test]
fn the_user_decides() {
    let two = |a: i64| match a {
        5 => vec![finding("third", Problem::Learning)],
        _ => vec![finding("first", Problem::Learning), finding("second", Problem::Learning)],
    };
    let proposals = |_: &str, _: i64| vec![1, 2, 5];
    let choices = vec![Choice::Stop, Choice::Try(1), Choice::Skip, Choice::Try(1)];
    let decide = Listed(RefCell::new(choices));
    let lab = Fake { findings: &two, proposals: &proposals, ..fake() };
    let course = run_with(lab, LIMITS, &decide);
    let tried: Vec<(&str, bool)> = course.steps.iter().map(|s| (&*s.remedy.remedy, s.kept)).collect();
    // The change to 2 is better and not kept; the first finding is then skipped, and the second one gets the
    // change to 5, which is kept; then the user ends it.
    assert_eq!(tried, [("to-2", false), ("to-1", false), ("to-5", true)]);
    assert_eq!(course.steps[0].verdict, Verdict::Better);
    assert_eq!(course.steps[1].verdict, Verdict::Skipped);
    assert_eq!((number(&course.setup), course.stopped), (5, StopReason::Ended));
    let out_of_range = Listed(RefCell::new(vec![Choice::Try(7)]));
    let kept = Kept::new(None).unwrap();
    let mut decisions = Decisions::new(&out_of_range, &kept, "test").unwrap();
    let error = decisions.choose(&finding("a", Problem::Learning), &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the position of the chosen proposal must be below 0, the number of proposals, but is 7"
    );
}

/// Losses whose logarithms have a standard deviation of 0.1 and, from split to split, the correlation of
/// Nadeau and Bengio for a fifth of validation rows. A setup that is `better` has a smaller loss.
fn simulated(seed: Seed, better: impl Fn(i64) -> f64) -> impl Fn(i64, usize) -> Option<f64> {
    move |a, split| {
        let normal = |seed: Seed| seed.rng().sample::<f64, _>(StandardNormal);
        let of_setup = seed.nth("setup", a as u64);
        let of_split = normal(seed.nth("split", split as u64));
        let correlated =
            0.2f64.sqrt() * normal(of_setup) + 0.8f64.sqrt() * normal(of_setup.nth("split", split as u64));
        Some(0.3 * of_split + 0.1 * correlated - better(a))
    }
}

/// The share of simulated uses that keep a change, where eight are proposed for two findings.
fn kept_share(uses: u64, splits: usize, better: impl Fn(i64) -> f64 + Copy) -> f64 {
    let two = |_: i64| vec![finding("first", Problem::Learning), finding("second", Problem::Prediction)];
    let proposals = |name: &str, a: i64| match name {
        "first" => (1..5).map(|i| 10 * a + i).collect(),
        _ => (5..9).map(|i| 10 * a + i).collect::<Vec<i64>>(),
    };
    let kept = (0..uses).filter(|use_number| {
        let log_loss = simulated(Seed::from(*use_number), better);
        let lab = Fake { log_loss: &log_loss, findings: &two, proposals: &proposals, ..fake() };
        run_with(lab, Limits { splits, max_steps: 8, ..LIMITS }, &ByRule).steps.iter().any(|step| step.kept)
    });
    kept.count() as f64 / uses as f64
}

/// The levels of eight remedies add up to 0.05 · 8/9 = 0.044. The share over these 4,000 uses was 0.039, and
/// it has a standard error of 0.0033 at 0.044: 0.055 is exceeded by chance in one of 2,000 tests.
#[test]
fn where_nothing_helps_one_use_in_twenty_keeps_a_remedy() {
    let share = kept_share(4000, 10, |_| 0.);
    assert!(share <= 0.055, "{share}");
    assert!(share >= 0.015, "the test has lost its power: {share}");
}

/// A change that takes a third or a fifth of the loss away, where the loss varies by a tenth from run to run:
/// the share of uses that find it as the first or the fourth remedy, on 10 or 15 splits. It was 1.00, 0.93,
/// 0.98 and 0.75 over these 400 uses; the limits are 3 standard errors below, or near them.
#[test]
fn large_gains_are_found() {
    let found = |splits: usize, place: i64, gain: f64| {
        kept_share(400, splits, |a| if a % 10 == place { -(1. - gain).ln() } else { 0. })
    };
    let [first, fourth, more] = [found(10, 1, 1. / 3.), found(10, 4, 1. / 3.), found(15, 4, 1. / 3.)];
    let fifth = found(10, 1, 0.2);
    assert!(first > 0.98 && fourth > 0.88 && more > 0.96 && fifth > 0.68, "{first} {fourth} {more} {fifth}");
}
