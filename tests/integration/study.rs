//! Studies: every strategy with every combination, what each row was fitted on, costs, budgets, splits, and
//! interrupted studies.
use crate::common::{self, Tally, CPU};
use candle_core::Tensor;
use candle_ensemble::{
    data::{Dataset, Split, TensorDataset},
    evaluate::{combinations, Combination, DataSetsReport, EnsembleReport, Leaderboard, Study, StudyReport},
    merge::{MaxBarrier, MergeSpec, RunWeights},
    metrics::{MetricList, Metrics},
    nn::{seq, Sequential},
    observe::RunTimes,
    plan::{Horizontal, Settings, Span},
    prelude::{Bagging, KFold, Mean, MultiRun, Trainer},
    registry::Tasks,
    statistics::{paired_t_test, variance_components},
    strategy,
    train::Averaging,
    AnyNetwork, Error, Result, Seed, Session,
};
use candle_nn::{linear, Activation, VarBuilder};
use std::collections::BTreeSet;

type Net = AnyNetwork;

/// The number of inputs is a setting of the run where features are drawn.
fn build(settings: &Settings, vb: VarBuilder<'static>, outputs: usize) -> candle_core::Result<Sequential> {
    let inputs = settings.count("inputs").ok().flatten().unwrap_or(4);
    let net = seq().add(linear(inputs, 8, vb.pp(0))?).add(Activation::Relu);
    Ok(net.add(linear(8, outputs, vb.pp(1))?))
}

fn trainer(outputs: usize) -> Trainer<Net> {
    Trainer::convertible(&["inputs"], move |settings, vb| build(settings, vb, outputs))
        .epochs(4)
        .batch_size(16)
}

/// The inputs twice, so that there are four columns to draw from.
fn wide(data: TensorDataset) -> TensorDataset {
    let rows: Vec<u32> = (0..data.rows() as u32).collect();
    let batch = data.batch(&rows, &CPU).unwrap();
    let x = batch.inputs.only().unwrap();
    let x = Tensor::cat(&[x, &x.affine(0.5, 0.1).unwrap()], 1).unwrap();
    match data.classes() {
        Some(_) => TensorDataset::classification(x, &batch.targets).unwrap(),
        None => TensorDataset::regression(x, &batch.targets).unwrap(),
    }
}

fn blobs(seed: u64, rows: usize, classes: u32, noise: f64) -> TensorDataset {
    wide(common::blobs(seed, rows, classes, noise))
}

fn line(seed: u64, rows: usize, noise: f64) -> TensorDataset {
    wide(common::line(seed, rows, noise))
}

/// The report without what depends on the clock.
fn timeless(mut report: StudyReport) -> StudyReport {
    report.single.cost.train_seconds = 0.;
    for ensemble in &mut report.ensembles {
        let costs = ensemble.repeats.iter_mut().map(|repeat| &mut repeat.cost);
        for cost in costs.chain([&mut ensemble.cost]) {
            (cost.train_seconds, cost.fit_seconds) = (0., 0.);
        }
    }
    report
}

fn row<'r>(report: &'r StudyReport, strategy: &str, combine: &str) -> &'r EnsembleReport {
    report.ensembles.iter().find(|e| e.strategy == strategy && e.combine == combine).unwrap()
}

/// Texts of every combination that goes with the task, small enough for a test.
fn every_combination(classes: bool) -> Vec<String> {
    let goes = |tasks: Tasks| if classes { tasks.classification() } else { tasks.regression() };
    let text = |name: &str| match name {
        "weighted-mean" | "weighted-vote" => None, // go with one number of slots
        "stack-network" => Some("stack-network:4:10".into()),
        "stack-tweedie" => Some("stack-tweedie:0".into()), // values below 0
        "differential-evolution" => Some("differential-evolution:5".into()),
        "gating" => Some("gating:0:5".into()),
        other => Some(other.to_string()),
    };
    let entries = combinations().entries().iter().filter(|entry| goes(entry.tasks()));
    entries.filter_map(|entry| text(entry.name())).collect()
}

const STRATEGIES: &str =
    "multi-run:3,bootstrap:3,k-fold:3,k-fold:2:repeats=2,random-split:3,random-subspace:3,\
    random-patches:3,forward-chaining:2,horizontal:3,snapshot:2,fast-geometric:2:0.05:0.01:0.5,\
    bootstrap:2+snapshot:2,efficient:tab-m:3,bootstrap:2+efficient:heads:2";

const SEQUENCES: [&str; 2] = ["adaboost", "gradient-boosting"];

#[test]
fn a_sequence_is_one_predictor_that_costs_its_networks() {
    let (train, test) = (blobs(1, 90, 3, 0.6), blobs(2, 60, 3, 0.6));
    let trainer = trainer(3);
    let study = Study::new(Session::new(&trainer, &train), &test).repeats(1).baseline(MultiRun::new(3));
    let study = study.strategies("adaboost:2:algorithm=samme.r,gradient-boosting:2").unwrap();
    let report = study.combinations("mean,average-weights-linear").unwrap().run(7).unwrap();
    for name in SEQUENCES {
        let of = |combine: &str| {
            let row = |e: &&EnsembleReport| e.strategy.starts_with(name) && e.combine == combine;
            report.ensembles.iter().find(row).unwrap()
        };
        let mean = of("mean");
        assert!(mean.failed.is_empty() && (0. ..=1.).contains(&mean.metrics[&report.metric].mean), "{name}");
        assert_eq!(mean.cost.prediction_networks, 2., "{name}");
        assert!(!of("average-weights-linear").failed.is_empty(), "{name}");
    }
}

fn every(train: &TensorDataset, test: &TensorDataset, outputs: usize) -> StudyReport {
    let trainer = trainer(outputs);
    let classes = train.classes().is_some();
    let study = Study::new(Session::new(&trainer, train), test).repeats(1).baseline(MultiRun::new(3));
    let study = study.strategies(STRATEGIES).unwrap();
    study.combinations(&every_combination(classes).join(",")).unwrap().run(7).unwrap()
}

/// Every strategy with every combination gives a row. Rows without a result say why, and are few.
fn check_every(report: &StudyReport, headline: fn(f64) -> bool) {
    // Sequences have a test of their own: one is a single predictor of several networks.
    let others = strategy::registry().entries().iter().filter(|s| !SEQUENCES.contains(&s.name()));
    let strategies = others.filter(|s| {
        let used = |e: &EnsembleReport| e.strategy.starts_with(s.name());
        !report.ensembles.iter().any(used)
    });
    assert_eq!(strategies.map(|s| s.name()).collect::<Vec<_>>(), Vec::<&str>::new(), "strategies left out");
    let mut failed = BTreeSet::new();
    for e in &report.ensembles {
        let what = format!("{} with {}", e.strategy, e.combine);
        let combination = combinations().parse(&e.combine).unwrap();
        assert_eq!(combination.is_one_network(), e.one_network, "{what}");
        if let Some(failure) = e.failed.first() {
            assert!(e.metrics.is_empty() && e.difference.is_none() && !failure.why.is_empty(), "{what}");
            assert!(!failure.why.contains('\n'), "{what}: {}", failure.why);
            failed.insert((e.combine.clone(), failure.barrier.is_some(), failure.why.clone()));
            continue;
        }
        let value = e.metrics[&report.metric].mean;
        assert!(headline(value), "{what}: {value}");
        assert!(e.difference.is_some() && e.cost.trained_epochs > 0. && e.cost.bytes > 0., "{what}");
        // One network costs one network; a selection of members at most all of them.
        match e.one_network {
            true => assert_eq!(e.cost.prediction_networks, 1., "{what}"),
            false => assert!((1. ..=e.members as f64).contains(&e.cost.prediction_networks), "{what}"),
        }
        assert_eq!(e.fitted_on.is_some(), combination.needs_held_out(), "{what}");
        if let Some(on) = &e.fitted_on {
            let reserved = on.source == "reserved";
            assert!(on.rows > 0 && (reserved || !e.one_network), "{what}: {on:?}");
        }
    }
    for (combine, refused, why) in failed {
        // Merges may be refused, or be of networks that see different features. Rules may need rows that all
        // members predict, which forward chaining has none of. A student needs members that have not seen its rows.
        let known = refused
            || combine == "distilled" && why.contains("rows that at least one member has not seen")
            || why.contains("were given different features")
            || why.contains("that a single network holds")
            || why.contains("held-out rows")
            || why.contains("every slot")
            || why.contains("rows that every");
        assert!(known, "{combine}: {why}");
    }
}

#[test]
fn every_strategy_goes_with_every_combination_for_classes() {
    check_every(&every(&blobs(1, 90, 3, 0.6), &blobs(2, 60, 3, 0.6), 3), |accuracy| {
        (0. ..=1.).contains(&accuracy)
    });
}

#[test]
fn every_strategy_goes_with_every_combination_for_values() {
    check_every(&every(&line(3, 90, 0.3), &line(4, 60, 0.3), 1), |rmse| rmse > 0. && rmse < 20.);
}

/// A row is what a program gets that trains, combines and measures by hand.
#[test]
fn a_row_is_what_the_pool_gives() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let session = Session::new(&trainer, &train);
    let study = Study::new(session.clone(), &test).repeats(2).reserve(0.25).max_barrier(f64::INFINITY);
    let study = study.strategies("multi-run:3,bootstrap:4,horizontal:3").unwrap();
    let names = "mean,ensemble-selection,average-weights-linear,swa:0.5,best-of:2";
    let report = study.combinations(names).unwrap().run(11).unwrap();
    for repeat in 0..2 {
        let seed = Seed::from(11).nth("repeat", repeat);
        let check = |strategy: &str, combine: &str, metrics: Metrics| {
            let got = &row(&report, strategy, combine).repeats[repeat as usize].metrics;
            for (name, value) in metrics.values() {
                assert!(
                    (got[name] - value).abs() < 1e-6,
                    "{strategy}, {combine}, {name}: {} {value}",
                    got[name]
                );
            }
        };
        let pool = session.fit(&Bagging::new(4), seed).unwrap();
        check("bootstrap:4", "mean", pool.combine(&Mean).unwrap().on(&test).evaluate().unwrap());
        let rule = candle_ensemble::combine::registry().parse("ensemble-selection").unwrap();
        check(
            "bootstrap:4",
            "ensemble-selection",
            pool.combine(&rule).unwrap().on(&test).evaluate().unwrap(),
        );

        let reserved = session.clone().reserve(0.25).fit(&Horizontal::last(3), seed).unwrap();
        let any = MaxBarrier::new(f64::INFINITY);
        let merged = reserved.merge(&MergeSpec::average(RunWeights::Linear), &any).unwrap();
        let merged = merged.into_ensemble().unwrap().on(&test).evaluate().unwrap();
        check("horizontal:3", "average-weights-linear", merged);

        // The first run of a multi-run, averaged over the last half of its epochs.
        let averaged = self::trainer(3).averaging(Averaging::swa(Span::Share(0.5)));
        let single = Session::new(&averaged, &train).fit(&MultiRun::new(3), seed).unwrap();
        let swa = single.select_slots(&[0]).unwrap().combine(&Mean).unwrap().on(&test).evaluate().unwrap();
        check("multi-run:3", "swa:0.5", swa);
    }
}

#[test]
fn rows_say_what_they_were_fitted_on() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let study = Study::new(Session::new(&trainer, &train), &test).repeats(1).reserve(0.25);
    let study = study.strategies("multi-run:2,bootstrap:2,k-fold:4,random-split:2,snapshot:2").unwrap();
    let report = study.combinations("mean,ensemble-selection,average-weights").unwrap().run(3).unwrap();
    let on = |strategy: &str, combine: &str| {
        row(&report, strategy, combine).fitted_on.as_ref().map(|on| (on.source.clone(), on.rows))
    };
    for strategy in ["multi-run:2", "bootstrap:2", "k-fold:4", "random-split:2", "snapshot:2"] {
        assert_eq!(on(strategy, "mean"), None);
        assert_eq!(on(strategy, "average-weights"), Some(("reserved".into(), 20)), "{strategy}");
    }
    assert_eq!(on("multi-run:2", "ensemble-selection"), Some(("reserved".into(), 20)));
    assert_eq!(on("snapshot:2", "ensemble-selection"), Some(("reserved".into(), 20)));
    assert_eq!(on("k-fold:4", "ensemble-selection"), Some(("out-of-fold".into(), 80)));
    let (source, rows) = on("bootstrap:2", "ensemble-selection").unwrap();
    assert_eq!(source, "out-of-bag");
    // Each member leaves out 0.37 of the rows, so one of two leaves out 0.60.
    assert!((35..=62).contains(&rows), "{rows}");
    assert_eq!(on("random-split:2", "ensemble-selection").unwrap().0, "held-out");
    let table = report.table();
    assert!(table.contains("80 out-of-fold") && table.contains("20 reserved"), "{table}");
}

#[test]
fn a_refused_merge_is_a_row_with_its_barrier() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let study = Study::new(Session::new(&trainer, &train), &test).repeats(2).max_barrier(-1.);
    let report = study
        .strategies("multi-run:3")
        .unwrap()
        .combinations("average-weights,mean")
        .unwrap()
        .run(3)
        .unwrap();
    let refused = row(&report, "multi-run:3", "average-weights");
    assert_eq!((refused.failed.len(), refused.repeats.len(), refused.metrics.len()), (2, 2, 0));
    let barrier = refused.failed[0].barrier.unwrap();
    assert!(barrier.is_finite() && refused.barrier.is_some());
    let table = report.table();
    assert!(table.contains("refused: barrier") && table.contains("above the limit"), "{table}");
    assert!(row(&report, "multi-run:3", "mean").failed.is_empty());
}

#[test]
fn costs_are_counted_and_budgets_are_equal() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let study = || {
        let study = Study::new(Session::new(&trainer, &train), &test).repeats(1).baseline(MultiRun::new(2));
        let study = study.strategies("multi-run:3,k-fold:2:repeats=2,snapshot:2").unwrap();
        study.combinations("mean,swa").unwrap()
    };
    let cost = |report: &StudyReport, strategy, combine| {
        let cost = row(report, strategy, combine).cost;
        (cost.trained_epochs, cost.prediction_networks)
    };
    let report = study().run(1).unwrap();
    assert_eq!(report.single.cost.trained_epochs, 4.);
    assert_eq!(cost(&report, "multi-run:3", "mean"), (12., 3.));
    assert_eq!(cost(&report, "multi-run:3", "swa"), (4., 1.));
    assert_eq!(cost(&report, "k-fold:2:repeats=2", "mean"), (16., 4.));
    assert_eq!(cost(&report, "snapshot:2", "mean"), (4., 2.));
    // 4 · 8 + 8 and 8 · 3 + 3 parameters of four bytes.
    assert_eq!(report.single.cost.bytes, 4. * (40. + 27.));
    assert_eq!(row(&report, "multi-run:3", "mean").cost.bytes, 3. * 4. * (40. + 27.));

    let report = study().budget_epochs(12).run(1).unwrap();
    assert_eq!((report.budget_epochs, report.single.cost.trained_epochs), (Some(12), 12.));
    for strategy in ["multi-run:3", "k-fold:2:repeats=2", "snapshot:2"] {
        assert_eq!(cost(&report, strategy, "mean").0, 12., "{strategy}");
        assert_eq!(cost(&report, strategy, "swa").0, 12., "{strategy}");
    }
    let e = study().budget_epochs(3).run(1).unwrap_err().to_string();
    assert_eq!(e, "budget_epochs must be at least 4, an epoch for each run, but is 3");
}

#[test]
fn spread_is_separated_by_its_source() {
    let all = blobs(8, 120, 3, 0.9);
    let trainer = trainer(3);
    let trials = |number: u64| {
        let split = Split::of(&all, 0.4, Seed::from(5).nth("split", number)).unwrap();
        let (train, test) = (all.subset(&split.train).unwrap(), all.subset(&split.test).unwrap());
        let study = Study::new(Session::new(&trainer, &train), &test).repeats(3);
        study.strategies("bootstrap:3").unwrap().combinations("mean,median").unwrap().trials(9).unwrap()
    };
    let splits: Vec<_> = (0..4).map(trials).collect();
    let report = StudyReport::of(&splits).unwrap();
    assert_eq!((report.splits, report.repeats), (4, 3));
    let mean = row(&report, "bootstrap:3", "mean");
    let values: Vec<Vec<f64>> = (0..4)
        .map(|split| {
            let of_split = mean.repeats.iter().filter(|repeat| repeat.split == split);
            of_split.map(|repeat| repeat.metrics["accuracy"]).collect()
        })
        .collect();
    let parts = variance_components(&values).unwrap();
    assert_eq!(
        (mean.spread.seeds, mean.spread.splits, mean.spread.both),
        (parts.within, parts.between, parts.total)
    );
    let table = report.table();
    assert!(["sd seeds", "sd splits", "sd both"].iter().all(|column| table.contains(column)), "{table}");

    let one = StudyReport::of(&splits[..1]).unwrap();
    assert_eq!((one.ensembles[0].spread.splits, one.ensembles[0].spread.both), (None, None));
    // With one split, the p-value is that of the paired t-test over the repeats; Holm's is at least that.
    let e = &one.ensembles[0];
    let differences: Vec<f64> = e.repeats.iter().map(|r| r.metrics["accuracy"] - r.single_mean).collect();
    let test = paired_t_test(&differences).unwrap();
    assert_eq!(e.p_value, Some(test.p_value));
    assert!(one.ensembles.iter().all(|e| e.p_holm >= e.p_value));
    assert!(StudyReport::of(&[]).unwrap_err().to_string().contains("splits"));
}

#[test]
fn with_one_repeat_the_interval_is_over_test_rows() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 200, 3, 0.6));
    let trainer = trainer(3);
    for metric in ["accuracy", "nll", "f1-macro"] {
        let study = Study::new(Session::new(&trainer, &train), &test).repeats(1);
        let study = study.metrics(MetricList::parse(metric).unwrap());
        let study = study.strategies("bootstrap:3").unwrap().combinations("mean").unwrap();
        let report = study.run(2).unwrap();
        let (e, difference) = (&report.ensembles[0], report.ensembles[0].difference.unwrap());
        let want = e.metrics[&report.metric].mean - e.repeats[0].single_mean;
        assert!((difference.estimate - want).abs() < 1e-9, "{metric}: {} {want}", difference.estimate);
        assert!(difference.low < difference.estimate && difference.estimate < difference.high, "{metric}");
        assert_eq!(e.p_value, None);
    }
}

#[test]
fn an_interrupted_study_resumes_and_a_finished_one_computes_nothing() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let folder = tempfile::tempdir().unwrap();
    let run = |observer: &Tally, keep: bool| -> Result<StudyReport> {
        let session = Session::new(&trainer, &train).observer(observer);
        let study = Study::new(session, &test).repeats(2);
        let study = study.strategies("multi-run:2,bootstrap:3+horizontal:2")?;
        let study = study.combinations("mean,ensemble-selection,average-weights,swa")?;
        let study = if keep { study.folder(folder.path()) } else { study };
        study.run(4)
    };
    let whole = run(&Tally::new(), false).unwrap();
    for at in [3, 11, 17] {
        let stopped = run(&Tally::stopping("run started", at), true).unwrap_err();
        assert!(matches!(stopped, Error::Cancelled { .. }), "{stopped}");
    }
    let resumed = run(&Tally::new(), true).unwrap();
    assert_eq!(timeless(resumed.clone()), timeless(whole));
    let again = Tally::new();
    // The times are those of the first time, too.
    assert_eq!(run(&again, true).unwrap(), resumed);
    assert_eq!(again.started(), 0);
}

#[test]
fn the_number_of_builds_is_known_before() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let counted = std::sync::atomic::AtomicUsize::new(0);
    struct Builds<'c>(&'c std::sync::atomic::AtomicUsize);
    impl candle_ensemble::observe::Observer for Builds<'_> {
        fn notify(&self, event: &candle_ensemble::observe::Event<'_>) -> candle_ensemble::observe::Flow {
            if matches!(event, candle_ensemble::observe::Event::BuildStarted { .. }) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            candle_ensemble::observe::Flow::Continue
        }
    }
    let observer = Builds(&counted);
    let session = Session::new(&trainer, &train).observer(&observer);
    let study = Study::new(session, &test).repeats(2).baseline(MultiRun::new(2));
    let study = study.strategies("multi-run:2,bootstrap:2,snapshot:2").unwrap();
    let study = study.combinations("mean,ensemble-selection,average-weights,swa,ema").unwrap();
    let builds = study.builds(1).unwrap();
    study.run(1).unwrap();
    assert_eq!(counted.load(std::sync::atomic::Ordering::SeqCst), builds);
}

#[test]
fn bad_studies_are_named() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let study = || Study::new(Session::new(&trainer, &train), &test);
    let error = |study: Result<Study<'_, Trainer<Net>>>| match study.and_then(|study| study.run(1)) {
        Ok(_) => panic!("no error"),
        Err(e) => e.to_string(),
    };
    assert_eq!(error(study().strategies("multi-run:2")), "combinations must be at least 1, but is 0");
    assert_eq!(error(study().combinations("mean")), "strategies must be at least 1, but is 0");
    let twice = study().strategies("multi-run:2,multi-run:2").and_then(|s| s.combinations("mean"));
    assert!(error(twice).contains("\"multi-run:2\" twice"));
    let both = || study().strategies("multi-run:2").and_then(|s| s.combinations("mean")).unwrap();
    assert!(error(Ok(both().repeats(0))).starts_with("repeats must be at least 1"));
    assert!(error(Ok(both().reserve(1.))).contains("reserved share"));
    assert!(error(Ok(both().metrics(MetricList::parse("rmse").unwrap()))).contains("rmse"));
    assert!(error(Ok(both().max_barrier(f64::NAN))).starts_with("max_barrier"));
    assert!(error(study().strategies("bootstrapp")).contains("did you mean bootstrap?"));
    assert!(error(study().combinations("meen")).contains("did you mean mean?"));
}

/// A combination of the user's own.
#[test]
fn own_strategies_and_combinations_have_names() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 50, 3, 0.6));
    let trainer = trainer(3);
    let study = Study::new(Session::new(&trainer, &train), &test).repeats(1);
    let study = study.strategy("mine", KFold::new(2)).combiner("average", Mean);
    let study = study.combination("soup", Combination::merge(MergeSpec::average(RunWeights::Uniform)));
    let report = study.run(1).unwrap();
    let names: Vec<_> = report.ensembles.iter().map(|e| (e.strategy.as_str(), e.combine.as_str())).collect();
    assert_eq!(names, [("mine", "average"), ("mine", "soup")]);
}

#[test]
fn a_leaderboard_has_members_and_rules_best_first() {
    let (train, test) = (blobs(5, 80, 3, 0.6), blobs(6, 300, 3, 0.6));
    let (trainer, times) = (trainer(3), RunTimes::new());
    let pool = Session::new(&trainer, &train).observer(&times).fit(&Bagging::new(4), 2).unwrap();
    let board = Leaderboard::of(&pool).combinations("mean,ensemble-selection").unwrap();
    let board = board.combiner("product", candle_ensemble::combine::Product).test(&test).run_times(&times);
    let board = board.measure().unwrap();
    assert_eq!((board.metric.as_str(), board.rows.len()), ("accuracy", 7));
    let scores: Vec<f64> = board.rows.iter().map(|row| row.score.unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let find = |name: &str| board.rows.iter().find(|row| row.name == name).unwrap();
    let want = pool.combine(&Mean).unwrap().on(&test).evaluate().unwrap();
    assert!((find("mean").score.unwrap() - want.headline()).abs() < 1e-12);
    assert_eq!(find("mean").networks, 4);
    let want = pool.held_out().unwrap().metrics(&Mean).unwrap().headline();
    assert!((find("mean").held_out_score.unwrap() - want).abs() < 1e-12);
    // A member's held-out score is that of its own rows, and its test score that of its network.
    let member = find(&pool.names()[2]);
    let one = pool.select_slots(&[2]).unwrap();
    assert_eq!(member.held_out_rows, one.held_out().unwrap().rows().len());
    assert_eq!(member.seen_rows, Some(80 - member.held_out_rows));
    assert!(member.is_member && member.fit_seconds.is_some() && member.predict_seconds.is_some());
    let probabilities = one.predictions_on(&test).unwrap().values().get(0).unwrap();
    let best = probabilities.argmax(1).unwrap().to_vec1::<u32>().unwrap();
    let right = best.iter().enumerate().filter(|(row, class)| **class == *row as u32 % 3).count();
    assert!((member.score.unwrap() - right as f64 / 300.).abs() < 1e-12);
    let text = board.to_string();
    assert!(text.contains("held-out accuracy") && text.contains("ensemble-selection"), "{text}");

    // Without held-out rows, a rule that learns is a row with the reason.
    let pool = Session::new(&trainer, &train).fit(&MultiRun::new(2), 2).unwrap();
    let board = Leaderboard::of(&pool).combinations("mean,ensemble-selection").unwrap().measure().unwrap();
    let learned = board.rows.iter().find(|row| row.name == "ensemble-selection").unwrap();
    assert!(learned.failure.is_some() && learned.held_out_score.is_none());
    let e = Leaderboard::of(&pool).combinations("swa").err().unwrap().to_string();
    assert!(e.contains("a combiner of predictions"), "{e}");
}

/// Values, scores and ranks are those computed by hand from the reports; a method without a result is left out.
#[test]
fn data_sets_are_compared_by_ranks() {
    let trainer = trainer(3);
    let reports: Vec<StudyReport> = [0.3, 0.6, 0.9, 1.2]
        .iter()
        .enumerate()
        .map(|(i, noise)| {
            let (train, test) = (blobs(10 + i as u64, 80, 3, *noise), blobs(20 + i as u64, 150, 3, *noise));
            let study = Study::new(Session::new(&trainer, &train), &test).repeats(2).max_barrier(-10.);
            let study = study.strategies("bootstrap:3,horizontal:2").unwrap();
            study.combinations("mean,average-weights").unwrap().run(1).unwrap()
        })
        .collect();
    let names = ["a", "b", "c", "d"];
    let named: Vec<(&str, &StudyReport)> = names.into_iter().zip(&reports).collect();
    let all = DataSetsReport::of(&named).unwrap();
    let methods = [
        "single network",
        "bootstrap:3, mean",
        "bootstrap:3, average-weights",
        "horizontal:2, mean",
        "horizontal:2, average-weights",
    ];
    assert_eq!(all.methods, methods);
    assert_eq!(all.comparison.left_out, [methods[2], methods[4]]);
    assert_eq!(all.comparison.names, [methods[0], methods[1], methods[3]]);
    let mut ranks = [0.; 3];
    for (set, report) in reports.iter().enumerate() {
        let single = report.single.metrics["accuracy"].mean;
        let values = [
            single,
            row(report, "bootstrap:3", "mean").metrics["accuracy"].mean,
            row(report, "horizontal:2", "mean").metrics["accuracy"].mean,
        ];
        for (at, value) in [0, 1, 3].into_iter().zip(values) {
            assert_eq!(all.values[set][at], Some(value));
            let score = all.scores[set][at].unwrap();
            assert!((score - ((1. - single) - (1. - value)) / (1. - single)).abs() < 1e-12);
        }
        for (rank, value) in ranks.iter_mut().zip(values) {
            let better = values.iter().filter(|other| **other > value).count() as f64;
            let equal = values.iter().filter(|other| **other == value).count() as f64;
            *rank += (better + (equal + 1.) / 2.) / 4.;
        }
    }
    for (got, want) in all.comparison.friedman.average_ranks.iter().zip(ranks) {
        assert!((got - want).abs() < 1e-12, "{got} {want}");
    }
    let table = all.table();
    assert!(table.contains("Friedman's test over 4 data sets") && table.contains("left out"), "{table}");
    let page = all
        .html("All", &named.iter().map(|(name, r)| (name.to_string(), *r, vec![])).collect::<Vec<_>>())
        .unwrap();
    assert!(page.contains("<svg") && page.matches("<h2").count() == 6, "{}", page.matches("<h2").count());
    assert!(DataSetsReport::of(&named[..1]).unwrap_err().to_string().contains("at least 2"));
    let twice = [named[0], named[0]];
    assert!(DataSetsReport::of(&twice).unwrap_err().to_string().contains("different"));
}

/// The parts of a decomposition are those of the members' predictions, and they add up.
#[test]
fn a_study_says_why_ensembles_gain() {
    let (train, test) = (blobs(5, 80, 3, 0.9), blobs(6, 100, 3, 0.9));
    let trainer = trainer(3);
    let session = Session::new(&trainer, &train);
    let study = Study::new(session.clone(), &test).repeats(4);
    let report =
        study.strategies("bootstrap:3").unwrap().combinations("mean,geometric-mean").unwrap().run(3).unwrap();
    let strategy = &report.strategies[0];
    assert_eq!(strategy.decompositions.len(), 2);
    for parts in &strategy.decompositions {
        assert!((parts.bias + parts.variance - parts.diversity - parts.loss).abs() < 1e-10);
        assert!(parts.variance > 0. && parts.diversity > 0.);
    }
    // The loss of the ensemble is the mean log-loss of the geometric mean, and the Brier score of the mean.
    let mean = |combine: &str, metric: &str| row(&report, "bootstrap:3", combine).metrics[metric].mean;
    assert!((strategy.decompositions[0].loss - mean("geometric-mean", "nll")).abs() < 1e-6);
    assert!((strategy.decompositions[1].loss - mean("mean", "brier")).abs() < 1e-6);
    let bias_variance = row(&report, "bootstrap:3", "mean").bias_variance.unwrap();
    assert!((bias_variance.loss - mean("mean", "nll")).abs() < 1e-6);
    assert!((bias_variance.bias + bias_variance.variance - bias_variance.loss).abs() < 1e-10);
    let zero_one = row(&report, "bootstrap:3", "mean").zero_one.unwrap();
    assert!((zero_one.loss - (1. - mean("mean", "accuracy"))).abs() < 1e-12);
    let effect = strategy.diversity_effect.as_ref().unwrap();
    assert!((effect.bias + effect.variance_effect - effect.diversity_effect - effect.loss).abs() < 1e-10);
    // The disagreement of members is that of the first training and the others, on average.
    let disagreement = strategy.diversity.iter().find(|m| m.name == "disagreement").unwrap().summary.unwrap();
    let of_repeat = |repeat: u64| {
        let pool = session.fit(&Bagging::new(3), Seed::from(3).nth("repeat", repeat)).unwrap();
        let classes =
            pool.predictions_on(&test).unwrap().values().argmax(2).unwrap().to_vec2::<u32>().unwrap();
        let differ = |a: usize, b: usize| {
            classes[a].iter().zip(&classes[b]).filter(|(x, y)| x != y).count() as f64 / 100.
        };
        // Two wrong members may be wrong differently: disagreement is about right and wrong.
        let right =
            |m: usize| classes[m].iter().enumerate().map(|(row, c)| *c == row as u32 % 3).collect::<Vec<_>>();
        let about = |a: usize, b: usize| {
            right(a).iter().zip(right(b)).filter(|(x, y)| **x != *y).count() as f64 / 100.
        };
        assert!(about(0, 1) <= differ(0, 1));
        (about(0, 1) + about(0, 2) + about(1, 2)) / 3.
    };
    let mean = (0..4).map(of_repeat).sum::<f64>() / 4.;
    assert!((disagreement.mean - mean).abs() < 1e-12, "{} {mean}", disagreement.mean);
    let table = report.why_table().unwrap();
    assert!(table.contains("cross-entropy") && table.contains("disagreement"), "{table}");
    assert!(report.enough_members.is_some());
}
