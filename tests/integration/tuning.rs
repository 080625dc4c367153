//! Learning rates and batch sizes: schedules and sizes as settings of runs, range tests, sensitivity studies.
use crate::common::{blobs, bytes, line, CPU};
use candle_core::Module;
use candle_ensemble::{
    chart::Chart,
    data::{Split, TensorDataset},
    evaluate::{Sensitivity, SensitivityFigure, SensitivityReport},
    exec::{Sequential, Threads},
    observe::{Event, Flow, Observer},
    plan::{BatchSize, RunSpec, Schedule, Settings},
    strategy::MultiRun,
    train::{CustomLoop, Optimizer, RangeTest, RangeTestReport, Trainer},
    Error, Member, Seed, Session,
};
use candle_nn::{linear, Linear, VarBuilder};

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| linear(2, 1, vb)).optimizer(Optimizer::sgd(0.05)).epochs(6).batch_size(8)
}

fn one(trainer: &Trainer<Linear>, data: &TensorDataset, settings: Settings) -> Member {
    let pool = Session::new(trainer, data).fit(&MultiRun::new(1).settings([settings]), 5).unwrap();
    pool.members()[0].clone()
}

fn last_rates(member: &Member) -> Vec<f64> {
    member.record.curve.iter().map(|record| record.learning_rate).collect()
}

#[test]
fn batch_sizes_come_from_the_trainer_or_from_a_setting() {
    let data = line(1, 40, 0.1);
    let plain = one(&trainer(), &data, Settings::new());
    let same = one(&trainer().batch_size(BatchSize::Fixed(8)), &data, Settings::new());
    assert_eq!(plain.weights.len(), same.weights.len());
    assert_eq!(bytes(std::slice::from_ref(&plain)), bytes(&[same]));
    for (size, text) in [
        (BatchSize::Full, "full"),
        (BatchSize::Online, "online"),
        (BatchSize::Fixed(10), "10"),
        (BatchSize::Doubling { from: 5, every: 2, max: 20 }, "doubling:5:2:20"),
    ] {
        let set = one(&trainer().batch_size(size), &data, Settings::new());
        let setting = one(&trainer(), &data, Settings::new().with("batch_size", text));
        assert_eq!(crate::common::weights(&set), crate::common::weights(&setting), "{text}");
        assert_ne!(crate::common::weights(&set), crate::common::weights(&plain), "{text}");
    }
    let wrong = MultiRun::new(1).settings([Settings::new().with("batch_size", "ful")]);
    let e = Session::new(&trainer(), &data).fit(&wrong, 5).map(drop).unwrap_err().to_string();
    assert!(e.contains("did you mean full?"), "{e}");
}

/// 40 rows: 8 steps in each of the first 2 epochs, then 4, then 2: 28 steps.
#[test]
fn schedules_count_the_steps_of_growing_batches() {
    let (data, growing) = (line(1, 40, 0.1), BatchSize::Doubling { from: 5, every: 2, max: 20 });
    let schedule = Schedule::Linear { to: 0. };
    let member = one(&trainer().batch_size(growing).schedule(schedule), &data, Settings::new());
    let expected = [7, 15, 19, 23, 25, 27].map(|t| 0.05 * (1. - f64::from(t) / 28.));
    for (got, expected) in last_rates(&member).into_iter().zip(expected) {
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }
}

#[test]
fn a_range_test_finds_rates_that_train_and_draws_them() {
    let data = blobs(3, 120, 3, 0.3);
    let new = |vb: VarBuilder<'static>| linear(2, 3, vb);
    let trainer = Trainer::new(new).optimizer(Optimizer::sgd(1e-9)).batch_size(16).epochs(5);
    let test = RangeTest { from: 1e-4, to: 1e3, steps: 300, smoothing: 0.95, stop_at: 4. };
    let report = test.run(&trainer, &data, 7).unwrap();
    let rate = report.valley.unwrap();
    assert!(rate > 1e-3 && rate < 30., "{rate}");

    // Training at the rate learns; at a thousandth of it, it hardly begins to.
    let loss = |rate: f64| {
        let run = Settings::new().with("learning_rate", rate);
        let pool = Session::new(&trainer, &data).fit(&MultiRun::new(1).settings([run]), 1).unwrap();
        pool.members()[0].record.curve.last().unwrap().train_loss
    };
    assert!(loss(rate) < 0.7 * loss(rate / 1000.), "{} {}", loss(rate), loss(rate / 1000.));

    // The same in any thread, and as data.
    let threads: Vec<RangeTestReport> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..2).map(|_| scope.spawn(|| test.run(&trainer, &data, 7).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(threads.iter().all(|again| *again == report));
    assert_ne!(test.run(&trainer, &data, 8).unwrap(), report);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<RangeTestReport>(&text).unwrap(), report);
    let svg = report.chart("Blobs").svg().unwrap();
    assert!(
        svg.contains("steepest descent") && svg.contains("valley") && svg.contains("a tenth of the minimum")
    );

    // On some rows, with settings of the run.
    let mut run = RunSpec::new(0, "model", Seed::from(1), 0..60);
    run.settings = Settings::new().with("batch_size", "full").with("learning_rate", 5.);
    let some = test.run_on(&trainer, &data, &run, &CPU).unwrap();
    assert!((some.rates[0] - 1e-4).abs() < 1e-18);
    run.settings = Settings::new().with("batch", 3);
    assert!(test.run_on(&trainer, &data, &run, &CPU).unwrap_err().to_string().contains("\"batch\""));
}

fn study(executor: &dyn candle_ensemble::exec::Executor) -> SensitivityReport {
    let (data, trainer) = (line(2, 60, 0.1), trainer());
    let study = Sensitivity::new(&trainer, &data).rates([1e-3, 0.1, 1e9]).batch_sizes([6, 24]).repeats(3);
    study.validation(0.25).executor(executor).run(11).unwrap()
}

#[test]
fn a_sensitivity_study_shows_the_best_pair_and_what_diverged() {
    let report = study(&Threads::new(3).unwrap());
    assert_eq!(report, study(&Sequential));
    assert_eq!((report.train_rows, report.valid_rows, report.cells.len()), (45, 15, 6));
    for size in 0..2 {
        let [low, good, diverged] = [0, 1, 2].map(|rate| report.cell(rate, size).unwrap());
        assert_eq!((low.diverged, good.diverged, diverged.diverged), (0, 0, 3));
        assert!(diverged.why.as_ref().unwrap().contains("diverged"), "{:?}", diverged.why);
        assert!(diverged.best_loss.is_none() && diverged.last_metric.is_none());
        let (low, good) = (low.best_loss.unwrap(), good.best_loss.unwrap());
        assert!(low.n == 3 && low.sd.unwrap() > 0. && good.mean < 0.5 * low.mean, "{low:?} {good:?}");
    }
    // More steps at the rate that is too small.
    assert!(
        report.cell(0, 0).unwrap().last_loss.unwrap().mean
            < report.cell(0, 1).unwrap().last_loss.unwrap().mean
    );
    assert_eq!(report.best().unwrap().rate, 0.1);
    assert!(report.cell(0, 2).is_none() && report.cell(3, 0).is_none());

    let text = report.to_string();
    for part in ["batch size 24", "diverged", "smallest validation loss", "smallest loss: learning rate 0.1"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<SensitivityReport>(&json).unwrap(), report);
    let svg = report.chart("Line", SensitivityFigure::BestLoss).svg().unwrap();
    assert!(svg.contains("learning rate") && svg.contains("diverged") && svg.contains("batch size"));
}

/// The figures of a cell are those of runs that a session trains.
#[test]
fn the_figures_are_those_of_single_runs() {
    let (data, trainer) = (line(2, 60, 0.1), trainer());
    let split = Split { train: (0..40).collect(), test: (40..60).collect() };
    let sizes = [BatchSize::Full, BatchSize::Doubling { from: 4, every: 2, max: 16 }];
    let study = Sensitivity::new(&trainer, &data).rates([0.02]).batch_sizes(sizes.clone()).repeats(2);
    let report = study.split(split.clone()).settings(Settings::new().with("epochs", 4)).run(3).unwrap();
    for (j, size) in sizes.into_iter().enumerate() {
        let mut losses = vec![];
        for repeat in 0..2 {
            let mut plan = Session::new(&trainer, &data).plan(&MultiRun::new(1), 0).unwrap();
            let run = &mut plan.runs[0];
            run.seed = Seed::from(3).child("sensitivity").nth("repeat", repeat);
            (run.train, run.valid) = ((&split.train).into(), (&split.test).into());
            let settings = Settings::new().with("epochs", 4).with("learning_rate", 0.02);
            run.settings = settings.with("batch_size", size.clone());
            let pool = Session::new(&trainer, &data).train(&plan).unwrap();
            losses.push(pool.members()[0].record.curve.last().unwrap().valid_loss.unwrap());
        }
        let cell = report.cell(0, j).unwrap();
        let (mean, sd) = ((losses[0] + losses[1]) / 2., (losses[0] - losses[1]).abs() / 2f64.sqrt());
        let last = cell.last_loss.unwrap();
        assert!(
            (last.mean - mean).abs() < 1e-12 && (last.sd.unwrap() - sd).abs() < 1e-12,
            "{last:?} {losses:?}"
        );
    }
}

#[test]
fn faults_other_than_divergence_end_a_study() {
    let data = line(2, 60, 0.1);
    let trainer = trainer();
    let study = || Sensitivity::new(&trainer, &data).rates([0.1]).batch_sizes([8]).repeats(1);
    let error = |study: Sensitivity<'_, Trainer<Linear>>| study.run(1).unwrap_err().to_string();
    assert!(error(study().rates([])).contains("the learning rates of the study"));
    assert!(error(study().rates([-1.])).contains("a learning rate of the study"));
    assert!(error(study().batch_sizes([0])).contains("batch_size"));
    assert!(error(study().repeats(0)).contains("the repeats of the study"));
    assert!(error(study().settings(Settings::new().with("epoch", 3))).contains("\"epoch\""));

    // A loop that records no losses.
    let learner = CustomLoop::new(
        "none",
        |vb| linear(2, 1, vb),
        |network: &Linear, run| {
            for batch in run.batches(0, 8) {
                network.forward(batch?.inputs.only()?)?;
            }
            Ok(())
        },
    );
    let study = Sensitivity::new(&learner, &data).rates([0.1]).batch_sizes([8]).repeats(1);
    assert!(study.run(1).unwrap_err().to_string().contains("the learner"));
}

/// Counts the ends of runs, and stops the study after a number of epochs.
struct Watch {
    runs: std::sync::atomic::AtomicUsize,
    epochs_left: std::sync::atomic::AtomicUsize,
}

impl Observer for Watch {
    fn notify(&self, event: &Event<'_>) -> Flow {
        use std::sync::atomic::Ordering::Relaxed;
        match event {
            Event::RunFinished { .. } => _ = self.runs.fetch_add(1, Relaxed),
            Event::EpochEnded { .. } => {
                let left = self.epochs_left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
                return if left.is_ok() { Flow::Continue } else { Flow::Stop };
            }
            _ => {}
        }
        Flow::Continue
    }
}

#[test]
fn an_observer_sees_the_runs_of_a_study_and_can_stop_it() {
    let (data, trainer) = (line(1, 40, 0.1), trainer());
    let watch = |epochs: usize| Watch { runs: 0.into(), epochs_left: epochs.into() };
    let study = || Sensitivity::new(&trainer, &data).rates([0.01, 0.1]).batch_sizes([8usize]).repeats(2);
    let all = watch(usize::MAX);
    study().observer(&all).run(1).unwrap();
    assert_eq!(all.runs.into_inner(), 4);
    let few = watch(3);
    let e = study().observer(&few).run(1).unwrap_err();
    assert!(matches!(e, Error::Cancelled { .. }), "{e}");
}
