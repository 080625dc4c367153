//! Tests of what surrounds the loop: layouts, combinations, decisions and final scores.
use super::{
    decide::{ByRule, Choice, Decide},
    decisions::Decisions,
    finals::{Final, FinalRows},
    kept::Kept,
    layout,
    together::{members_are_runs, Together},
    FinalScores, Spent, Step,
};
use crate::{
    data::{TensorDataset, View},
    diagnose::{Finding, Problem},
    metrics::{Metric, MetricList},
    plan::{Plan, Settings},
    pool::Pool,
    remedy::{Change, Proposal, Setup},
    resample::PlannedRows,
    train::{EarlyStopping, Trainer},
    Rows, Seed, Session,
};
use candle_core::{Device, Tensor};
use candle_nn::Linear;

fn rows(n: usize) -> TensorDataset {
    let x = Tensor::arange(0f32, 2. * n as f32, &Device::Cpu).unwrap().affine(1. / n as f64, -1.).unwrap();
    let y = Tensor::from_iter((0..n).map(|i| (i % 2) as u32), &Device::Cpu).unwrap();
    TensorDataset::classification(x.reshape((n, 2)).unwrap(), &y).unwrap()
}

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2)
}

/// The pool of a plan.
fn train<'a>(trainer: &'a Trainer<Linear>, view: &'a View<'_>, plan: &Plan) -> Pool<'a, Trainer<Linear>> {
    Session::new(trainer, view).train(plan).unwrap()
}

fn setup(strategy: &str, combination: &str) -> Setup {
    let (strategy, combination) = (Some(strategy.into()), Some(combination.into()));
    Setup { strategy, combination, ..Setup::default() }
}

#[test]
fn runs_learn_from_training_rows_and_watch_others_only_where_it_does_not_matter() {
    let data = rows(40);
    let all: Rows = (0..40).filter(|row| row % 4 != 1).collect();
    let view = View::new(&data, all).unwrap();
    let (train, score): (Rows, Rows) =
        ((0..30).filter(|row| row % 3 != 0).collect(), (0..30).step_by(3).collect());
    let seed = Seed::from(1);
    let plan = |setup: &Setup, trainer: &Trainer<Linear>| {
        let setup = layout::completed(setup, trainer).unwrap();
        layout::plan(&setup, trainer, &view, (&train, &score), seed).unwrap()
    };
    // Nothing depends on the validation rows: they are those of the score.
    let single = plan(&Setup::default(), &trainer());
    single.check(&view).unwrap();
    let run = &single.runs[0];
    assert!(single.runs.len() == 1 && run.train == train && run.valid == score, "{run:?}");
    // Early stopping watches a share of the training rows, and the rows of the score are excluded.
    let stopped = plan(&Setup::default(), &trainer().early_stopping(EarlyStopping::default()));
    let rows = |planned: &PlannedRows| planned.to_vec().unwrap();
    let run = &stopped.runs[0];
    assert_eq!((rows(&run.train).len(), rows(&run.valid).len(), rows(&run.excluded)), (17, 3, score.clone()));
    assert!(rows(&run.train).iter().chain(&rows(&run.valid)).all(|row| train.contains(row)));
    // The runs of an ensemble have seeds of their own, and the first one has that of the single network.
    let several = plan(&setup("multi-run:3", "mean"), &trainer());
    assert_eq!((several.runs.len(), several.runs[0].seed), (3, single.runs[0].seed));
    assert_ne!(several.runs[1].seed, single.runs[0].seed);
    let bagged = plan(&setup("bootstrap:2", "mean"), &trainer());
    assert!(bagged.runs.iter().all(|run| rows(&run.train).len() == 20 && run.valid == score));
    assert!(bagged.runs.iter().flat_map(|run| rows(&run.train)).all(|row| train.contains(&row)));
    // A merge is measured on rows that no member has seen, which are training rows of the split.
    let merged = plan(&setup("multi-run:2", "average-weights"), &trainer());
    let reserved = rows(&merged.reserved);
    assert_eq!(reserved.len(), 4);
    assert!(reserved.iter().all(|row| train.contains(row)));
    assert!(merged.runs.iter().all(|run| rows(&run.train).iter().all(|row| !reserved.contains(row))));
}

#[test]
fn every_kind_of_combination_predicts() {
    let (data, trainer) = (rows(24), trainer());
    let view = View::new(&data, (0..24).collect()).unwrap();
    let all: Rows = (0..24).collect();
    for combination in ["mean", "trimmed-mean:0.1", "average-weights", "best-of", "ensemble-selection"] {
        let setup = setup("multi-run:3", combination);
        let Ok(together) = Together::of(&setup) else { panic!("{combination}") };
        let plan = layout::plan(&setup, &trainer, &view, (&all, &[]), Seed::from(2)).unwrap();
        let pool = train(&trainer, &view, &plan);
        match together.ensemble(&pool) {
            Ok(ensemble) => {
                assert_eq!(ensemble.on(&view).predict_proba().unwrap().dims(), [24, 2], "{combination}");
            }
            // Networks that were trained apart may not be averaged.
            Err(e) => assert!(combination == "average-weights" && e.to_string().contains("barrier"), "{e}"),
        }
    }
    let error = Together::of(&setup("multi-run:2", "swa")).err().unwrap().to_string();
    assert!(error.contains("the setting \"averaging\""), "{error}");
    assert!(Together::of(&setup("multi-run:2", "nothing")).is_err());
}

#[test]
fn members_are_runs_of_a_setup_that_differs_in_nothing_else() {
    let (single, several) = (Setup::default(), setup("multi-run:3", "trimmed-mean:0.1"));
    assert!(members_are_runs(&single, &several));
    // Other rows, members that are ensembles already, other settings, other rows to watch.
    assert!(!members_are_runs(&single, &setup("bootstrap:3", "mean")));
    assert!(!members_are_runs(&several, &setup("multi-run:5", "mean")));
    let settings = Settings::new().with("epochs", 3);
    assert!(!members_are_runs(&single, &Setup { settings, ..several.clone() }));
    assert!(!members_are_runs(&single, &Setup { validation: Some(0.1), ..several }));
    assert!(!members_are_runs(&single, &single));
    // One network is made of them, or the combination is fitted on rows that are taken from them.
    for combination in ["best-of", "average-weights", "ensemble-selection"] {
        assert!(!members_are_runs(&single, &setup("multi-run:3", combination)), "{combination}");
    }
}

/// Chooses the second proposal, and keeps nothing.
struct Second;

impl Decide for Second {
    fn choose(&self, _: &Finding, _: &[Proposal]) -> Choice {
        Choice::Try(1)
    }
    fn keep(&self, _: &Step) -> bool {
        false
    }
}

#[test]
fn decisions_are_taken_again_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::new(Some(folder.path())).unwrap();
    let finding = Finding::new("slow", Problem::Learning, 1., "", "");
    let proposals = [0.5, 0.4].map(|priority| Proposal::new("a", "slow", priority, Change::default()));
    let mut first = Decisions::new(&Second, &kept, "key").unwrap();
    assert!(first.time(|seconds| (0. ..1.).contains(&seconds)).unwrap());
    assert_eq!(first.choose(&finding, &proposals).unwrap(), Choice::Try(1));
    // Another user and another clock, but the same folder.
    let mut again = Decisions::new(&ByRule, &kept, "key").unwrap();
    assert!(again.time(|_| false).unwrap());
    assert_eq!(again.choose(&finding, &proposals).unwrap(), Choice::Try(1));
    assert!(!again.time(|_| false).unwrap(), "a new decision");
    // The order is that of the log.
    let mut other = Decisions::new(&ByRule, &kept, "key").unwrap();
    assert!(other.choose(&finding, &proposals).unwrap_err().to_string().contains("does not come next"));
    let mut new = Decisions::new(&ByRule, &kept, "another key").unwrap();
    assert_eq!(new.choose(&finding, &proposals).unwrap(), Choice::Try(0));
}

/// Final trainings whose predictions are these classes, for sure; `None` diverged.
fn final_of(predictions: &[Option<Vec<u32>>]) -> Final {
    let probabilities = |classes: &Vec<u32>| {
        let rows: Vec<f32> =
            classes.iter().flat_map(|class| if *class == 0 { [0.9, 0.1] } else { [0.1, 0.9] }).collect();
        Tensor::from_vec(rows, (classes.len(), 2), &Device::Cpu).unwrap()
    };
    Final {
        scores: FinalScores::default(),
        predictions: predictions.iter().map(|p| p.as_ref().map(probabilities)).collect(),
        product: None,
        spent: Spent::default(),
    }
}

/// The start is wrong in every fourth row and the result in every eighth: the difference in accuracy is
/// 0.125, and that of a row is 1 with probability 1/8 (those that only the start has wrong). The standard
/// error over 400 rows is sqrt(1/8 · 7/8 / 400) = 0.01654.
#[test]
fn the_final_interval_is_that_of_the_rows() {
    let data = rows(400);
    let view = View::new(&data, (0..400).collect()).unwrap();
    let accuracy = Metric::parse("accuracy").unwrap();
    let final_rows = FinalRows::new(&view, None, &accuracy).unwrap();
    let wrong = |every: usize| {
        (0..400u32).map(|i| (i % 2) ^ u32::from((i as usize).is_multiple_of(every))).collect::<Vec<_>>()
    };
    let (start, end) =
        (final_of(&[Some(wrong(4)), Some(wrong(4))]), final_of(&[Some(wrong(8)), Some(wrong(8))]));
    let gain = final_rows.gain(&start, &end, Seed::from(1)).unwrap().unwrap();
    assert!((gain.estimate - 0.125).abs() < 1e-12, "{gain:?}");
    let half = 1.96 * 0.01654;
    assert!(
        (gain.low - (0.125 - half)).abs() < 0.005 && (gain.high - (0.125 + half)).abs() < 0.005,
        "{gain:?}"
    );
    // A run that diverged has no pair.
    let diverged = final_of(&[None, Some(wrong(4))]);
    assert_eq!(final_rows.gain(&diverged, &end, Seed::from(1)).unwrap().unwrap().estimate, gain.estimate);
    assert!(final_rows.gain(&final_of(&[None, None]), &end, Seed::from(1)).unwrap().is_none());
    let nothing = final_rows.gain(&end, &end, Seed::from(1)).unwrap().unwrap();
    assert_eq!((nothing.low, nothing.high), (0., 0.));
    // The runs vary, too: one run has the whole gain, and the other one none.
    let mixed = final_of(&[Some(wrong(4)), Some(wrong(8))]);
    let wide = final_rows.gain(&start, &mixed, Seed::from(1)).unwrap().unwrap();
    assert!((wide.estimate - 0.0625).abs() < 1e-12 && wide.low <= 0. && wide.high >= 0.11, "{wide:?}");
    // A metric that is better the lower: the same rows, another sign.
    let nll = FinalRows::new(&view, None, MetricList::parse("nll").unwrap().headline()).unwrap();
    assert!(nll.gain(&start, &end, Seed::from(1)).unwrap().unwrap().low > 0.);
}
