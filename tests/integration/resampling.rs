//! Which rows each run trains on, and which are held out.
use crate::common::{blobs, line, listed, normal, CPU};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::{Dataset, TensorDataset},
    plan::{Plan, Settings},
    resample::ResampleUnit,
    strategy::{
        Bagging, EnsembleBuilder, ForwardChaining, KFold, MultiRun, RandomPatches, RandomSplit,
        RandomSubspace,
    },
    train::{CustomLoop, Learner, Run, Trainer},
    weights::InitScheme,
    Error, Member, Network, Result, Rows, Seed, Session,
};
use candle_nn::{linear, Linear, VarBuilder};
use std::{collections::BTreeMap, sync::Mutex};

fn plan(builder: &dyn EnsembleBuilder, data: &TensorDataset, seed: u64) -> Plan {
    builder.plan(data, &["model".into()], Seed::from(seed)).unwrap()
}

fn distinct(rows: &[u32]) -> Rows {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// 60 rows: 36 of class 0, 18 of class 1, 6 of class 2, mixed.
fn unequal() -> TensorDataset {
    let class = |row: u32| match row % 10 {
        0 | 2 | 3 | 5 | 7 | 8 => 0,
        1 | 4 | 9 => 1,
        _ => 2u32,
    };
    let labels = Tensor::from_iter((0..60).map(class), &CPU).unwrap();
    TensorDataset::classification(normal(1, 60, 2), &labels).unwrap()
}

fn of_class(data: &TensorDataset, rows: &[u32]) -> [usize; 3] {
    let labels = data.labels().unwrap();
    [0, 1, 2].map(|class| rows.iter().filter(|row| labels[**row as usize] == class).count())
}

// ---- The bootstrap.

#[test]
fn a_sample_has_the_given_size() {
    let data = line(1, 60, 0.);
    for (bagging, size) in [
        (Bagging::new(3), 60),
        (Bagging::new(3).size(0.5), 30),
        (Bagging::new(3).size(1.5), 90),
        (Bagging::new(3).size(0.001), 1),
        (Bagging::new(3).rows(45), 45),
        (Bagging::new(3).rows(1), 1),
    ] {
        let plan = plan(&bagging, &data, 1);
        assert_eq!(plan.runs.len(), 3);
        for run in &plan.runs {
            let train = listed(&run.train);
            assert_eq!((train.len(), run.train.len().unwrap()), (size, size), "{bagging:?}");
            assert!(train.is_sorted() && train.iter().all(|row| *row < 60));
            assert!(run.valid.is_empty());
            assert_eq!(run.seen().unwrap(), distinct(&train));
        }
    }
}

const N: usize = 50;
const SAMPLES: usize = 2000;

/// 2000 samples of 50 rows out of 50, from 200 seeds.
fn samples() -> Vec<Rows> {
    let data = line(2, N, 0.);
    let of = |seed| plan(&Bagging::new(10), &data, seed).runs.into_iter().map(|run| listed(&run.train));
    (0..200).flat_map(of).collect()
}

/// The bound is 5.5 standard deviations: over the 100 comparisons a correct bootstrap fails with a
/// probability of 4e-6, for other seeds than these.
#[test]
fn rows_are_drawn_and_left_out_with_binomial_frequencies() {
    let samples = samples();
    let within = |count: usize, trials: usize, p: f64, what: &str| {
        let (mean, sd) = (trials as f64 * p, (trials as f64 * p * (1. - p)).sqrt());
        assert!((count as f64 - mean).abs() < 5.5 * sd, "{what}: {count}, not {mean:.0} ± {sd:.0}");
    };
    let included = 1. - (1. - 1. / N as f64).powi(N as i32);
    for row in 0..N as u32 {
        let drawn = samples.iter().flatten().filter(|r| **r == row).count();
        within(drawn, SAMPLES * N, 1. / N as f64, "draws of a row");
        let holding = samples.iter().filter(|sample| sample.contains(&row)).count();
        within(holding, SAMPLES, included, "samples with a row");
    }
}

/// The number left out of a sample is that of empty cells in the occupancy problem: mean `N qⁿ`, variance `N
/// qⁿ + N (N − 1) (1 − 2/N)ⁿ − N² q²ⁿ`, with `q = 1 − 1/N` (Feller, An Introduction to Probability Theory I,
/// chapter IV). Five standard deviations: 6e-7.
#[test]
fn the_number_of_rows_left_out_follows_the_occupancy_law() {
    let (n, count) = (N as f64, SAMPLES as f64);
    let (one, two) = ((1. - 1. / n).powf(n), (1. - 2. / n).powf(n));
    let (mean, variance) = (n * one, n * one + n * (n - 1.) * two - (n * one).powi(2));
    let left_out: Vec<f64> = samples().iter().map(|s| (N - distinct(s).len()) as f64).collect();
    let got = left_out.iter().sum::<f64>() / count;
    assert!((got - mean).abs() < 5. * (variance / count).sqrt(), "{got}, not {mean}");
    assert!((mean / n - 0.364).abs() < 1e-3, "about e⁻¹");
    // Its variance too; that of a sample variance is about 2 σ⁴ / count, as for a normal law.
    let spread = left_out.iter().map(|x| (x - got).powi(2)).sum::<f64>() / (count - 1.);
    assert!((spread - variance).abs() < 5. * variance * (2. / count).sqrt(), "{spread}, not {variance}");
}

/// Two samples of the same plan are independent: the probability that a row is in both is the square of the
/// probability that it is in one. 5.5 standard deviations, over 50 rows: 2e-6.
#[test]
fn samples_are_independent_of_one_another() {
    let samples = samples();
    let both = (1. - (1. - 1. / N as f64).powi(N as i32)).powi(2);
    let pairs = SAMPLES / 2;
    let (mean, sd) = (pairs as f64 * both, (pairs as f64 * both * (1. - both)).sqrt());
    for row in 0..N as u32 {
        let shared = samples.chunks(2).filter(|pair| pair.iter().all(|s| s.contains(&row))).count();
        assert!((shared as f64 - mean).abs() < 5.5 * sd, "row {row}: {shared}, not {mean:.0} ± {sd:.0}");
    }
    let mut all = samples;
    all.sort();
    all.dedup();
    assert_eq!(all.len(), SAMPLES, "no two samples are the same");
}

#[test]
fn duplicates_are_kept_and_rows_left_out_are_held_out() {
    let data = line(3, 40, 0.1);
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).epochs(1);
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&Bagging::new(4), 5).unwrap();
    let pool = session.train(&plan).unwrap();
    let held_out = pool.held_out().unwrap();
    let covered: Vec<Vec<f32>> = held_out.predictions().covered().unwrap().to_vec2().unwrap();
    for (slot, (run, member)) in plan.runs.iter().zip(pool.members()).enumerate() {
        let train = listed(&run.train);
        assert!(distinct(&train).len() < train.len());
        assert_eq!(member.record.seen, distinct(&train));
        let left_out: Rows = (0..40).filter(|row| !train.contains(row)).collect();
        let predicted = held_out.rows().iter().zip(&covered[slot]).filter(|(_, c)| **c > 0.);
        assert_eq!(predicted.map(|(row, _)| *row).collect::<Rows>(), left_out);
    }
}

// ---- Several runs on the same rows.

#[test]
fn every_run_of_a_multi_run_has_every_row_once() {
    let plan = plan(&MultiRun::new(5), &line(4, 60, 0.), 1);
    let all: Rows = (0..60).collect();
    assert_eq!(plan.runs.len(), 5);
    assert!(plan.runs.iter().all(|run| run.train == all && run.valid.is_empty()));
    assert_eq!(plan.runs.iter().map(|run| run.slot).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

// ---- Validation rows.

#[test]
fn validation_rows_are_drawn_by_class_from_the_runs_rows_with_every_copy() {
    let data = unequal();
    for (bare, with) in [
        (plan(&Bagging::new(6), &data, 1), plan(&Bagging::new(6).validation(0.25), &data, 1)),
        (plan(&MultiRun::new(6), &data, 1), plan(&MultiRun::new(6).validation(0.25), &data, 1)),
    ] {
        for (bare, with) in bare.runs.iter().zip(&with.runs) {
            let rows = distinct(&listed(&bare.train));
            let (train, valid) = (listed(&with.train), listed(&with.valid));
            let share = (rows.len() as f64 * 0.25).ceil() as usize;
            assert_eq!((valid.len(), valid.clone()), (share, distinct(&valid)));
            assert!(valid.iter().all(|row| rows.binary_search(row).is_ok()));
            let rest: Rows = listed(&bare.train).into_iter().filter(|row| !valid.contains(row)).collect();
            assert_eq!(train, rest, "the other rows stay, as often as they were drawn");
            assert_eq!(with.seen().unwrap(), rows);
            for (of, part) in of_class(&data, &rows).iter().zip(of_class(&data, &valid)) {
                let fair = share as f64 * *of as f64 / rows.len() as f64;
                assert!((part as f64 - fair).abs() < 1. + 1e-9, "{part} of {of}, not {fair}");
            }
        }
        assert_ne!(listed(&with.runs[0].valid), listed(&with.runs[1].valid), "each run has its own");
    }
    // A regression has no classes.
    let with = plan(&MultiRun::new(1).validation(0.1), &line(5, 60, 0.), 1);
    assert_eq!((listed(&with.runs[0].valid).len(), listed(&with.runs[0].train).len()), (6, 54));
}

// ---- Reserved rows.

#[test]
fn reserved_rows_are_drawn_by_class_and_removed_from_every_run() -> Result<()> {
    let data = unequal();
    for builder in [&MultiRun::new(3).validation(0.2) as &dyn EnsembleBuilder, &Bagging::new(3)] {
        let bare = plan(builder, &data, 1);
        let plan = bare.clone().reserve(0.3, &data, Seed::from(2))?;
        assert_eq!(
            of_class(&data, &listed(&plan.reserved)),
            [11, 5, 2],
            "18 × (.6, .3, .1), by largest remainder"
        );
        for (before, run) in bare.runs.iter().zip(&plan.runs) {
            let kept = |rows| -> Rows {
                listed(rows).into_iter().filter(|row| !plan.reserved.contains(*row).unwrap()).collect()
            };
            assert_eq!(run.train, kept(&before.train));
            assert_eq!(run.valid, kept(&before.valid));
            assert_eq!((run.seed, run.slot), (before.seed, before.slot));
        }
        assert_eq!(plan, bare.clone().reserve(0.3, &data, Seed::from(2))?);
        assert_ne!(plan.reserved, bare.reserve(0.3, &data, Seed::from(3))?.reserved);
        plan.check(&data)?;
    }
    Ok(())
}

#[test]
fn whole_groups_are_reserved() -> Result<()> {
    let groups: Vec<u32> = (0..60).map(|row| row / 5).collect();
    let data = unequal().with_groups(groups.clone())?;
    let plan = plan(&MultiRun::new(2), &data, 1).reserve(0.25, &data, Seed::from(2))?;
    let reserved = listed(&plan.reserved);
    let whole = distinct(&reserved.iter().map(|row| groups[*row as usize]).collect::<Vec<_>>());
    assert_eq!((whole.len(), reserved.len()), (3, 15), "3 of 12 groups");
    Ok(())
}

#[test]
fn a_share_that_cannot_be_reserved_is_refused() {
    let data = unequal();
    for share in [0., 1., -0.1, 1.5, f64::NAN] {
        let e =
            plan(&MultiRun::new(2), &data, 1).reserve(share, &data, Seed::from(1)).unwrap_err().to_string();
        assert!(e.contains("reserved share") && e.contains("between 0 and 1"), "{e}");
    }
    // A sample of two rows may lose both.
    let e = plan(&Bagging::new(9).rows(2), &data, 1).reserve(0.9, &data, Seed::from(1)).unwrap_err();
    assert!(e.to_string().contains("leave run"), "{e}");
}

// ---- From plans to held-out predictions.

/// `rows` rows of four features, with their sum as the target.
fn rows_of_four(rows: usize) -> TensorDataset {
    let x = Tensor::arange(0f32, (rows * 4) as f32, &CPU).unwrap();
    let x = x.affine(0.01, 0.).unwrap().reshape((rows, 4)).unwrap();
    TensorDataset::regression(x.clone(), &x.sum(1).unwrap()).unwrap()
}

fn narrow() -> Trainer<Linear> {
    Trainer::reading(&["inputs"], |settings, vb| linear(settings.count("inputs")?.unwrap_or(4), 1, vb))
        .epochs(2)
}

/// Each strategy, the number of its slots, and the rows that it holds out, where these do not depend on the
/// seed.
#[test]
fn held_out_rows_are_those_that_some_record_has_not_seen() {
    let data = rows_of_four(24);
    let trainer = narrow().architecture("wide", |vb| linear(4, 1, vb));
    let builders: [(Box<dyn EnsembleBuilder>, usize, Option<Rows>); 5] = [
        (Box::new(KFold::new(3).repeats(2)), 4, Some((0..24).collect())),
        (Box::new(RandomSplit::new(4, 0.5)), 8, None),
        (Box::new(Bagging::new(3).unit(ResampleUnit::Rows)), 6, None),
        (Box::new(ForwardChaining::new(3).gap(1).validation(0.2)), 2, Some((6..24).collect())),
        (Box::new(MultiRun::new(2)), 4, Some(vec![])),
    ];
    for (builder, slots, rows) in &builders {
        let pool = Session::new(&trainer, &data).fit(&**builder, 5).unwrap();
        assert_eq!(pool.slots(), *slots, "{}", builder.name());
        let mut unseen = [false; 24];
        for member in pool.members() {
            let seen = &member.record.seen;
            (0..24).filter(|row| !seen.contains(*row)).for_each(|row| unseen[row as usize] = true);
        }
        let unseen: Rows = (0..24).filter(|row| unseen[*row as usize]).collect();
        assert_eq!(pool.held_out().map(|h| h.rows().to_vec()).unwrap_or_default(), unseen);
        if let Some(rows) = rows {
            assert_eq!(&unseen, rows, "{}", builder.name());
        }
    }
}

/// For a row that both runs may predict, the prediction is the mean of the two.
#[test]
fn a_forward_chain_predicts_with_the_mean_of_the_models_of_the_time() {
    let data = rows_of_four(9);
    let trainer = Trainer::new(|vb| linear(4, 1, vb)).epochs(1);
    let pool = Session::new(&trainer, &data).fit(&ForwardChaining::new(2), 5).unwrap();
    let held = pool.held_out().unwrap();
    assert_eq!(held.rows(), [3, 4, 5, 6, 7, 8]);
    let predict = |member: &Member| {
        let weights = member.weights.iter().map(|(name, t)| (name.clone(), t.clone())).collect();
        let vb = VarBuilder::from_tensors(weights, DType::F32, &CPU);
        let network = trainer.build("model", &Settings::new(), vb).unwrap();
        network.run(data.inputs(), false).unwrap().squeeze(1).unwrap().to_vec1::<f32>().unwrap()
    };
    let (first, second) = (predict(&pool.members()[0]), predict(&pool.members()[1]));
    let prediction = held.predictions().values().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (row, prediction) in (3..9).zip(prediction) {
        let expected = if row < 6 { first[row] } else { (first[row] + second[row]) / 2. };
        assert!((prediction - expected).abs() < 1e-6, "row {row}");
    }
}

/// In training, for held-out predictions and in the ensemble, a member sees its own columns of the full
/// inputs.
#[test]
fn members_see_their_own_features_everywhere() {
    let data = rows_of_four(12);
    let seen: Mutex<BTreeMap<usize, Vec<Vec<f32>>>> = Mutex::default();
    let learner = CustomLoop::new(
        "columns",
        |vb| linear(0, 1, vb),
        |network: &Linear, run: &mut Run<'_>| {
            for batch in run.batches_in_order(5).chain(run.validation(5)).chain(run.batches(0, 5)) {
                let inputs = batch?.inputs;
                network.run(&inputs, true)?;
                let rows = inputs.only()?.to_vec2::<f32>()?;
                seen.lock().unwrap().entry(run.spec().id).or_default().extend(rows);
            }
            Ok(())
        },
    );
    let learner = learner
        .architecture_reading("model", |settings, vb| linear(settings.count("inputs")?.unwrap_or(0), 1, vb));
    let builder = RandomPatches::new(3, 0.5, 0.5).validation(0.3);
    let session = Session::new(&learner, &data);
    let plan = session.plan(&builder, 3).unwrap();
    let pool = session.train(&plan).unwrap();
    let all = data.inputs().only().unwrap();
    for run in &plan.runs {
        let rows = &seen.lock().unwrap()[&run.id];
        assert_eq!(rows.len(), 2 * run.train.len().unwrap() + run.valid.len().unwrap());
        assert!(rows.iter().all(|row| row.len() == 2));
        let columns = Tensor::new(run.features.clone().unwrap(), &CPU).unwrap();
        let own = all.index_select(&columns, 1).unwrap().to_vec2::<f32>().unwrap();
        for (row, got) in run.train.iter().unwrap().zip(rows) {
            assert_eq!(&own[row as usize], got);
        }
    }
    let own = pool.members().iter().map(|member| {
        let weights = member.weights.iter().map(|(name, t)| (name.clone(), t.clone())).collect();
        let vb = VarBuilder::from_tensors(weights, DType::F32, &CPU);
        let network = learner.build("model", &member.record.settings, vb).unwrap();
        let columns = Tensor::new(member.record.features.clone().unwrap(), &CPU).unwrap();
        network.run(&all.index_select(&columns, 1).unwrap().into(), false).unwrap()
    });
    let own = Tensor::stack(&own.collect::<Vec<_>>(), 0).unwrap().to_vec3::<f32>().unwrap();
    let held = pool.held_out().unwrap();
    let (predictions, covered) = (
        held.predictions().values().to_vec3::<f32>().unwrap(),
        held.predictions().covered().unwrap().to_vec2::<f32>().unwrap(),
    );
    for (slot, expected) in own.iter().enumerate() {
        for (i, row) in held.rows().iter().enumerate() {
            if covered[slot][i] > 0. {
                assert_eq!(predictions[slot][i], expected[*row as usize], "slot {slot}, row {row}");
            }
        }
    }
    let ensemble = pool.combine(&Mean).unwrap();
    assert_eq!(ensemble.member_predictions(all).unwrap().to_vec3::<f32>().unwrap(), own);
    assert!(ensemble.predict(all.narrow(1, 0, 1).unwrap()).is_err(), "callers give all features");
}

#[test]
fn a_model_that_does_not_read_its_width_is_an_error() {
    let data = rows_of_four(8);
    let trainer = Trainer::new(|vb| linear(4, 1, vb)).epochs(1);
    let e = Session::new(&trainer, &data).fit(&RandomSubspace::new(2, 0.5), 1).map(|_| ()).unwrap_err();
    assert!(e.to_string().contains("run 0"), "{e}");
    assert!(std::error::Error::source(&e).unwrap().to_string().contains("\"inputs\""));
}

#[test]
fn the_past_stays_excluded_when_rows_are_reserved_or_watched() {
    let data = rows_of_four(30);
    let seed = Seed::from(4);
    let builder = ForwardChaining::new(2).window(5).validation(0.4);
    let plan = builder.plan(&data, &["mlp".into()], seed).unwrap();
    let plan = plan.reserve(0.2, &data, seed).unwrap();
    assert_eq!(plan.runs[0].seen().unwrap(), (0..10).collect::<Rows>());
    assert_eq!(plan.runs[1].seen().unwrap(), (0..20).collect::<Rows>());
}

#[test]
fn validation_rows_are_whole_groups() {
    let ids: Vec<u32> = (0..24).map(|row| row / 4).collect();
    let data = rows_of_four(24).with_groups(ids.clone()).unwrap();
    let plan = plan(&KFold::new(2).validation(0.3), &data, 4);
    for run in &plan.runs {
        let valid = listed(&run.valid);
        assert_eq!(valid.len(), 4, "one of three groups");
        assert!(valid.iter().all(|row| ids[*row as usize] == ids[valid[0] as usize]));
        assert_eq!(listed(&run.train).len() + valid.len(), 12);
    }
}

// ---- Plans that do not fit.

#[test]
fn a_plan_that_does_not_fit_is_refused_before_anything_is_trained() {
    let data = line(6, 20, 0.1);
    let good = plan(&MultiRun::new(3).validation(0.2), &data, 1);
    let changed = |change: fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        plan
    };
    for (plan, expected) in [
        (
            changed(|p| p.runs[1].train = vec![0, 1, 20, 2].into()),
            "a row of run 1 must be below 20, but is 20",
        ),
        (changed(|p| p.runs[2].valid = vec![99].into()), "a row of run 2 must be below 20, but is 99"),
        (changed(|p| p.runs[2].train = vec![].into()), "training rows of run 2"),
        (changed(|p| p.runs.swap(0, 1)), "the number of run 0"),
        (changed(|p| p.runs.clear()), "at least one run"),
    ] {
        let trainer = Trainer::new(|vb| linear(2, 1, vb));
        let tally = crate::common::Tally::new();
        let session = Session::new(&trainer, &data).observer(&tally);
        for e in [plan.check(&data).unwrap_err(), session.train(&plan).map(|_| ()).unwrap_err()] {
            assert!(e.to_string().contains(expected), "{e} does not contain {expected}");
        }
        assert_eq!(tally.started(), 0);
    }
    let other = line(7, 20, 0.1);
    let e = good.check(&other).unwrap_err();
    assert!(matches!(e, Error::Foreign { .. }), "{e:?}");
    assert!(e.to_string().contains("the plan") && e.to_string().contains("other data"), "{e}");
    good.check(&data).unwrap();
    assert_eq!(data.rows(), 20);
    // Only the learner knows its architectures.
    let trainer = Trainer::new(|vb| linear(2, 1, vb));
    let foreign = changed(|p| p.runs[0].architecture = "giant".into());
    let e = Session::new(&trainer, &data).train(&foreign).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("run 0") && e.contains("architecture") && e.contains("giant"), "{e}");
}

#[test]
fn too_few_rows_are_an_error_not_a_panic() {
    let two = TensorDataset::regression(normal(1, 2, 2), &normal(2, 2, 1)).unwrap();
    let tiny = blobs(1, 3, 3, 0.1);
    for data in [&two, &tiny] {
        for builder in
            [&MultiRun::new(2).validation(0.9) as &dyn EnsembleBuilder, &Bagging::new(2).validation(0.9)]
        {
            match builder.plan(data, &["model".into()], Seed::from(1)) {
                Ok(plan) => plan.check(data).unwrap(),
                Err(e) => assert!(matches!(e, Error::Invalid { .. }), "{e:?}"),
            }
        }
    }
}

// ---- Numbers that never change.

/// A change of one of these numbers changes what every seed gives. The seed of the run and the weights are those
/// of tests/reference/seeds.py; the rows are those of the version that had this test first.
#[test]
fn plans_weights_and_orders_of_rows_never_change() {
    let data = line(1, 10, 0.1);
    let bagging = plan(&Bagging::new(2).validation(0.2), &data, 42);
    let run = &bagging.runs[0];
    let bytes: Vec<u8> = serde_json::from_value(serde_json::to_value(run.seed).unwrap()).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "9d1f267c8a93edb92abe019015c239d30d0734d5612db185a4b677012854f4c1");
    assert_eq!(run.train, [3, 3, 4, 4, 4, 4, 5, 7, 7]);
    assert_eq!(run.valid, [9]);
    let folds = plan(&KFold::new(5), &data, 42);
    let held_out = |rows: &Rows| (0..10).filter(|row| !rows.contains(row)).collect::<Rows>();
    let held_out: Vec<Rows> = folds.runs.iter().map(|run| held_out(&listed(&run.train))).collect();
    assert_eq!(held_out, [[4, 6], [0, 3], [1, 7], [2, 9], [5, 8]]);

    let order: Mutex<Vec<f32>> = Mutex::default();
    let learner = CustomLoop::new(
        "reads",
        |vb| linear(2, 1, vb),
        |_: &Linear, run: &mut Run<'_>| {
            for batch in run.batches(1, 10) {
                order.lock().unwrap().extend(batch?.targets.to_vec1::<f32>()?);
            }
            Ok(())
        },
    );
    let learner = learner.init(InitScheme::Torch);
    let rows = Tensor::arange(0f32, 10., &CPU).unwrap();
    let numbered = TensorDataset::regression(normal(1, 10, 2), &rows).unwrap();
    let pool = Session::new(&learner, &numbered).fit(&MultiRun::new(1), 42).unwrap();
    assert_eq!(*order.lock().unwrap(), [0., 8., 6., 9., 3., 5., 2., 7., 4., 1.]);
    let weights = &pool.members()[0].weights;
    let weight = weights["weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(weight, [0.279_327_53, 0.311_709_74]);
    assert_eq!(weights["bias"].to_vec1::<f32>().unwrap(), [0.442_74]);
}
