//! The loop of improvement on real networks: small ones, with faults whose cause is known.
use candle_core::{Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Batch, Dataset, Fingerprint, Task},
    diagnose::{Finding, Label, Observations, Problem},
    exec::{Executor, Sequential, Threads},
    improve::{Budget, Choice, Decide, Improve, ImproveEvent, Improved, StopReason, Verdict},
    nn::Sequential as Layers,
    observe::{Event, Flow, Observer},
    plan::Settings,
    prelude::*,
    remedy::{Change, Proposal, Remedy, Setup, Start},
    store::Checkpoints,
};
use candle_nn::{linear, Activation, VarBuilder};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex,
    },
};

type Net = Layers;

/// Points in a ring around others: a task that a small network learns in a few epochs.
fn rings(rows: usize) -> TensorDataset {
    let angle = |i: usize| i as f32 * 2.399;
    let radius = |i: usize| {
        if i.is_multiple_of(2) {
            0.5 + 0.4 * (i % 7) as f32 / 7.
        } else {
            1.2 + 0.5 * (i % 5) as f32 / 5.
        }
    };
    let x: Vec<f32> =
        (0..rows).flat_map(|i| [radius(i) * angle(i).cos(), radius(i) * angle(i).sin()]).collect();
    let x = Tensor::from_vec(x, (rows, 2), &Device::Cpu).unwrap();
    let y = Tensor::from_iter((0..rows).map(|i| (i % 2) as u32), &Device::Cpu).unwrap();
    TensorDataset::classification(x, &y).unwrap()
}

fn network(settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<Net> {
    let hidden = settings.count("hidden").map_err(candle_core::Error::wrap)?.unwrap_or(16);
    Ok(seq().add(linear(2, hidden, vb.pp("in"))?).add(Activation::Relu).add(linear(hidden, 2, vb.pp("out"))?))
}

fn trainer(rate: f64) -> Trainer<Net> {
    Trainer::reading(&["hidden"], network).epochs(25).batch_size(16usize).optimizer(Optimizer::adam(rate))
}

/// A diagnosis by one figure of the curves: how much of the loss is left.
fn by_fall(seen: Observations<'_>) -> candle_ensemble::Result<Vec<Finding>> {
    let runs = seen.curves.map_or(&[][..], |curves| &curves.runs);
    let left =
        |losses: &[f64]| losses.last().copied().unwrap_or(f64::NAN) / losses.first().copied().unwrap_or(1.);
    let mean = runs.iter().map(|run| left(&run.train_loss)).sum::<f64>() / runs.len() as f64;
    let label = match mean {
        mean if mean < 0.6 => Label::GoodFit,
        mean if mean.is_nan() => Label::UnstableLearning,
        _ => Label::UnderfitFlat,
    };
    Ok(vec![Finding::of(label, 0.9, format!("{mean:.2} of the loss is left."), "this test")])
}

/// Proposes changes for any finding.
#[derive(Debug)]
struct Try(Vec<Change>);

impl Remedy for Try {
    fn name(&self) -> &str {
        "try"
    }
    fn propose(&self, finding: &Finding, _: &Start<'_>) -> Vec<Proposal> {
        self.0.iter().map(|change| Proposal::new("try", &finding.name, 0.5, change.clone())).collect()
    }
}

fn rates(rates: &[f64]) -> Vec<Box<dyn Remedy>> {
    let change = |rate: &f64| {
        let settings = Settings::new().with("learning_rate", *rate);
        Change { settings, ..Change::default() }
    };
    vec![Box::new(Try(rates.iter().map(change).collect()))]
}

fn improve<'a>(trainer: &'a Trainer<Net>, data: &'a TensorDataset) -> Improve<'a, Net> {
    Improve::new(trainer, data)
        .splits(4)
        .runs_per_split(1)
        .runs(2)
        .final_runs(2)
        .diagnoser(&by_fall)
        .remedies(rates(&[1e-2, 3e-2]))
}

fn bytes(improved: &Improved<'_, Net>) -> String {
    serde_json::to_string(&improved.report).unwrap()
}

#[test]
fn a_rate_that_is_100_times_too_small_is_found_and_repaired() {
    let (trainer, data) = (trainer(1e-4), rings(160));
    let improved = Improve::new(&trainer, &data).splits(5).runs(3).diagnoser(&by_fall).run(1).unwrap();
    let report = &improved.report;
    assert_eq!(report.stopped, StopReason::NothingWrong, "{:#?}", report.steps);
    assert_eq!(report.diagnoses.first().unwrap().findings[0].name, "underfit_flat");
    assert!(report.steps.iter().any(|step| step.kept && step.verdict == Verdict::Better));
    assert!(!report.range_tests.is_empty());
    // On the rows that no decision saw: far better, and about as good as the network with the right rate.
    let gain = report.gain.unwrap();
    assert!(gain.low > 0., "{gain:?}");
    assert!(report.start.metrics["nll"] > 0.6 && report.end.metrics["nll"] < 0.3, "{report:#?}");
    assert!(report.no_model > 0.69 && report.no_model < 0.7);
    // The result predicts.
    let ensemble = improved.ensemble().unwrap();
    let accuracy = ensemble.on(&data).rows(improved.test_rows()).predict().unwrap();
    assert_eq!(accuracy.dims(), [40]);
    assert_eq!(improved.setup(), &report.final_setup);
    let json = bytes(&improved);
    assert_eq!(serde_json::from_str::<candle_ensemble::improve::ImproveReport>(&json).unwrap(), *report);
}

/// By the rules and remedies of the library alone.
#[test]
fn the_default_diagnosis_repairs_it_too() {
    let (trainer, data) = (trainer(1e-4), rings(240));
    let report =
        Improve::new(&trainer, &data).splits(6).budget(Budget::Trainings(120)).run(1).unwrap().report;
    let first = &report.diagnoses[0].findings[0];
    assert_eq!(first.problem, Problem::Learning, "{first:#?}");
    assert!(report.steps.iter().any(|step| step.kept), "{:#?}", report.steps);
    assert!(report.gain.unwrap().low > 0. && report.end.metrics["nll"] < 0.4, "{:#?}", report.end);
}

#[test]
fn a_rate_that_is_far_too_large_diverges_and_is_repaired() {
    let data = rings(120);
    let trainer = trainer(1e-4).optimizer(Optimizer::sgd(1e25));
    let improved = improve(&trainer, &data).remedies(rates(&[1e24, 0.3])).run(1).unwrap();
    let report = &improved.report;
    assert_eq!(report.start.diverged, 2, "{report:#?}");
    assert_eq!((report.end.diverged, report.stopped), (0, StopReason::NothingWrong));
    assert!(report.end.metrics["accuracy"] > 0.8);
    assert_eq!(report.gain, None, "no pair of runs can be compared");
    let curve = &report.diagnoses[0].curves.runs[0];
    assert!(curve.train_loss.last().unwrap().is_nan());
    let first = &report.steps[0];
    assert!(!first.kept && first.pairs.iter().all(|pair| pair.without.is_nan() && pair.with.is_nan()));
    assert_eq!(report.steps[1].gain.unwrap().estimate, 1.);
}

#[test]
fn a_healthy_network_is_left_alone() {
    let (trainer, data) = (trainer(1e-2), rings(120));
    let improved = improve(&trainer, &data).run(1).unwrap();
    let report = &improved.report;
    assert_eq!((report.stopped, report.steps.len()), (StopReason::NothingWrong, 0));
    assert_eq!((&report.start, &report.start_setup), (&report.end, &report.final_setup));
    // 4 splits, a second run on the first one, and 2 final trainings of 25 epochs.
    assert_eq!((report.trainings, report.epochs, report.gain), (7, 7 * 25, None));
    assert_eq!(improved.members().len(), 1);
}

/// Stops after a number of epochs.
struct StopAfter(AtomicUsize);

impl Observer for StopAfter {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::EpochEnded { .. } if self.0.fetch_sub(1, Ordering::Relaxed) <= 1 => {
                self.0.store(1, Ordering::Relaxed);
                Flow::Stop
            }
            _ => Flow::Continue,
        }
    }
}

/// The log-loss is convex, so that of the mean of some networks is at most the mean of theirs, on whatever rows
/// (Jensen's inequality): compared with its own members, an ensemble gains on each split.
#[test]
fn an_ensemble_is_compared_with_its_own_members() {
    let (trainer, data) = (trainer(1e-3).epochs(5), rings(120));
    let several = Change { strategy: Some("multi-run:3".into()), ..Change::default() };
    let remedies: Vec<Box<dyn Remedy>> = vec![Box::new(Try(vec![several]))];
    let improved = improve(&trainer, &data).remedies(remedies).min_gain(0.).run(1).unwrap();
    let step = &improved.report.steps[0];
    assert_eq!((step.splits(), step.pairs.len()), (4, 12), "{step:#?}");
    for pairs in step.pairs.chunks(3) {
        assert!(pairs.iter().all(|pair| pair.with == pairs[0].with), "{pairs:?}");
        let mean = pairs.iter().map(|pair| pair.without).sum::<f64>() / 3.;
        assert!(pairs[0].with < mean && pairs[0].without != pairs[1].without, "{pairs:?}");
    }
    // Three runs on each of four splits, and none of the single network beyond the diagnosis.
    assert_eq!(step.trainings, 12);
    assert!(step.kept && step.gain.unwrap().low > 0., "{step:#?}");
}

/// The loop is stopped every 60 epochs, from the first diagnosis to the final scores, and goes on each time.
#[test]
fn a_loop_that_is_killed_resumes_with_the_same_bytes() {
    let (trainer, data, folder) = (trainer(1e-4), rings(80), tempfile::tempdir().unwrap());
    let whole = improve(&trainer, &data).run(3).unwrap();
    assert!(whole.report.steps.iter().any(|step| step.kept));
    let mut uses = 0;
    let resumed = loop {
        let stop = StopAfter(AtomicUsize::new(60));
        let improve = improve(&trainer, &data).folder(folder.path()).executor(&Sequential).observer(&stop);
        match improve.checkpoints(Checkpoints::Epochs(10)).run(3) {
            Ok(improved) => break bytes(&improved),
            Err(candle_ensemble::Error::Cancelled { .. }) => uses += 1,
            Err(e) => panic!("{e}"),
        }
        assert!(uses < 100, "it makes no progress");
    };
    assert!(uses > 5, "{uses}");
    assert_eq!(resumed, bytes(&whole));
    // A loop that is finished trains nothing.
    let stop = StopAfter(AtomicUsize::new(1));
    let again = improve(&trainer, &data).folder(folder.path()).observer(&stop).run(3).unwrap();
    assert_eq!(bytes(&again), bytes(&whole));
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let (trainer, data) = (trainer(1e-4), rings(80));
    let with = |executor: &dyn Executor| bytes(&improve(&trainer, &data).executor(executor).run(5).unwrap());
    let one = with(&Sequential);
    assert_eq!(one, with(&Threads::new(2).unwrap()));
    assert_eq!(one, with(&Threads::new(3).unwrap()));
}

#[test]
fn a_budget_is_respected() {
    let (trainer, data) = (trainer(1e-4), rings(80));
    // 4 splits, a second run and 2 final trainings: 7; a remedy costs 4 + 1 + 2 more.
    let error = improve(&trainer, &data).budget(Budget::Trainings(6)).run(1).err().unwrap().to_string();
    assert_eq!(
        error,
        "the budget must be at least 7, for the diagnosis of the start and its final scores, but is 6"
    );
    let mut steps = vec![];
    for most in [7, 13, 14, 21, 40] {
        let report = improve(&trainer, &data).budget(Budget::Trainings(most)).run(1).unwrap().report;
        assert!(report.trainings <= most, "{} of {most}", report.trainings);
        steps.push(report.steps.len());
        let short = report.steps.is_empty();
        assert_eq!(short, most < 14, "{most}");
        if short {
            assert_eq!(report.stopped, StopReason::BudgetSpent);
        }
    }
    assert!(steps.is_sorted());
    // Two runs on each split: 3 more of the start, and 8 of a remedy.
    for most in [7, 19, 20, 30, 60] {
        let improve = improve(&trainer, &data).runs_per_split(2).budget(Budget::Trainings(most));
        let report = improve.run(1).unwrap().report;
        assert!(report.trainings <= most, "{} of {most}", report.trainings);
        assert_eq!(report.steps.is_empty(), most < 20, "{most}");
    }
    let report = improve(&trainer, &data).budget(Budget::Epochs(14 * 25)).run(1).unwrap().report;
    assert!(report.epochs <= 14 * 25 && report.steps.len() == 1);
    // No time is left after the first diagnosis.
    let report =
        improve(&trainer, &data).budget(Budget::Time(std::time::Duration::ZERO)).run(1).unwrap().report;
    assert_eq!((report.steps.len(), report.stopped), (0, StopReason::BudgetSpent));
}

/// A data set that remembers which rows were asked for.
struct Watched {
    data: TensorDataset,
    asked: Mutex<BTreeSet<u32>>,
}

impl Dataset for Watched {
    fn rows(&self) -> usize {
        self.data.rows()
    }
    fn task(&self) -> Task {
        self.data.task()
    }
    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.asked.lock().unwrap().extend(rows);
        self.data.batch(rows, device)
    }
    fn strata(&self) -> Option<&[u32]> {
        self.data.strata()
    }
    fn groups(&self) -> Option<&[u32]> {
        self.data.groups()
    }
    fn fingerprint(&self) -> Fingerprint {
        self.data.fingerprint()
    }
}

#[test]
fn no_decision_sees_the_rows_of_the_final_scores() {
    let groups = (0..120).map(|row| row / 4).collect();
    let data = Watched { data: rings(120).with_groups(groups).unwrap(), asked: Mutex::default() };
    let trainer = trainer(1e-4);
    let before = RefCell::new(BTreeSet::new());
    let follow = |event: &ImproveEvent<'_>| {
        if let ImproveEvent::Scoring { .. } = event {
            *before.borrow_mut() = data.asked.lock().unwrap().clone();
        }
        assert!(!event.to_string().is_empty());
    };
    let setup = Setup { strategy: Some("bootstrap:2".into()), ..Setup::default() };
    let improve = Improve::new(&trainer, &data)
        .setup(setup)
        .splits(3)
        .runs_per_split(2)
        .runs(2)
        .final_runs(1)
        .follow(&follow);
    let improved = improve.diagnoser(&by_fall).remedies(rates(&[1e-2])).run(1).unwrap();
    let asked = before.borrow().clone();
    assert_eq!(
        asked.iter().copied().collect::<Vec<u32>>(),
        improved.rows(),
        "all rows to decide on, and no other"
    );
    assert!(improved.test_rows().iter().all(|row| !asked.contains(row)));
    // Whole groups are set aside.
    let group = |rows: &[u32]| rows.iter().map(|row| row / 4).collect::<BTreeSet<u32>>();
    assert!(group(improved.rows()).is_disjoint(&group(improved.test_rows())));
    // The networks have learned from rows to decide on: their records number no other.
    let seen = improved.members().iter().flat_map(|member| member.record.seen.iter());
    assert!(seen.max().is_some_and(|row| (row as usize) < improved.rows().len()));
    assert_eq!(improved.members().len(), 2);
    let own: Vec<u32> = (0..30).collect();
    let own = improve_on(&trainer, &data.data).test_rows(own.clone()).run(1).unwrap().test_rows() == own;
    assert!(own);
}

fn improve_on<'a>(trainer: &'a Trainer<Net>, data: &'a TensorDataset) -> Improve<'a, Net> {
    improve(trainer, data).budget(Budget::Trainings(7))
}

/// Ends after the first step that it keeps.
struct One(RefCell<usize>);

impl Decide for One {
    fn choose(&self, _: &Finding, proposals: &[Proposal]) -> Choice {
        *self.0.borrow_mut() += 1;
        if proposals.len() > 1 {
            Choice::Try(1)
        } else {
            Choice::Stop
        }
    }
    fn keep(&self, _: &candle_ensemble::improve::Step) -> bool {
        false
    }
}

#[test]
fn the_user_is_asked_once() {
    let (trainer, data, folder) = (trainer(1e-4), rings(80), tempfile::tempdir().unwrap());
    let decide = One(RefCell::new(0));
    let run = || improve(&trainer, &data).folder(folder.path()).decide(&decide).run(1).unwrap();
    let (first, asked) = (run(), *decide.0.borrow());
    assert_eq!((first.report.steps.len(), first.report.stopped, asked), (1, StopReason::Ended, 2));
    assert_eq!(first.report.steps[0].remedy.change.settings, Settings::new().with("learning_rate", 3e-2));
    assert!(!first.report.steps[0].kept);
    assert_eq!(bytes(&run()), bytes(&first));
    assert_eq!(*decide.0.borrow(), asked, "decisions are kept");
}

/// A remedy that changes the architecture a little and nothing else: 30 uses keep it rarely.
#[test]
fn remedies_that_do_nothing_are_not_kept() {
    let data = rings(60);
    let trainer =
        Trainer::reading(&["hidden"], network).epochs(8).batch_size(16usize).optimizer(Optimizer::adam(2e-2));
    let hidden = |hidden: i64| {
        let settings = Settings::new().with("hidden", hidden);
        Change { settings, ..Change::default() }
    };
    let nothing =
        |widths: [i64; 3]| -> Vec<Box<dyn Remedy>> { vec![Box::new(Try(widths.map(hidden).to_vec()))] };
    let ill = |_: Observations<'_>| Ok(vec![Finding::new("ill", Problem::Learning, 1., "Imagined.", "")]);
    let uses = (0..30u64).filter(|seed| {
        let improve =
            Improve::new(&trainer, &data).splits(6).runs_per_split(1).runs(1).final_runs(1).diagnoser(&ill);
        let report = improve.remedies(nothing([15, 17, 18])).max_steps(3).run(*seed).unwrap().report;
        report.steps.iter().any(|step| step.kept)
    });
    // Where one in twenty is kept, four or more of 30 are so with a probability of 6 %.
    let kept = uses.count();
    assert!(kept <= 3, "{kept}");
}

#[test]
fn what_does_not_fit_is_an_error_in_the_words_of_the_user() {
    let (trainer, data) = (trainer(1e-2), rings(40));
    let error = |improve: Improve<'_, Net>| improve.run(1).err().unwrap().to_string();
    let new = || improve(&trainer, &data);
    assert_eq!(error(new().splits(2)), "the number of splits must be at least 3, but is 2");
    assert_eq!(error(new().min_gain(1.)), "the smallest gain must be at least 0 and below 1, but is 1");
    assert_eq!(error(new().alpha(0.5)), "alpha must be above 0 and below 0.5, but is 0.5");
    assert_eq!(error(new().validation(1.)), "the share of validation rows must be between 0 and 1, but is 1");
    assert_eq!(
        error(new().test_rows((0..40).collect())),
        "the test rows must be some of the rows, and not all, but is 40 rows"
    );
    let setup =
        |name: &str, value: f64| Setup { settings: Settings::new().with(name, value), ..Setup::default() };
    assert!(error(new().setup(setup("learning_rat", 0.1))).contains("learning_rat"));
    let two = trainer.clone().architecture_reading("other", &[], network);
    assert!(
        error(improve(&two, &data)).starts_with("the trainer must be one of a single architecture, but is")
    );
}
