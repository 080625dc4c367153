use super::*;
use crate::{
    data::TensorDataset,
    nn::{seq, Sequential},
    statistics::Summary,
    train::Optimizer,
};
use candle_core::Tensor;
use candle_nn::{linear, Activation};

fn data(shift: u32) -> TensorDataset {
    let value = |i: u32| ((i * 7919 % 1000) as f32) / 500. - 1.;
    let x =
        Tensor::from_iter((shift..shift + 120).map(value), &Device::Cpu).unwrap().reshape((60, 2)).unwrap();
    let y = x.sqr().unwrap().sum(1).unwrap().affine(1., f64::from(shift) / 100.).unwrap();
    TensorDataset::regression(x, &y).unwrap()
}

fn trainer() -> Trainer<Sequential> {
    let network = |vb: VarBuilder<'_>| {
        Ok(seq().add(linear(2, 6, vb.pp("z"))?).add(Activation::Relu).add(linear(6, 1, vb.pp("a"))?))
    };
    Trainer::new(network).epochs(4).optimizer(Optimizer::adam(0.02))
}

/// The same by single calls: source networks, fresh networks and warm starts one by one.
#[test]
fn a_study_is_the_runs_that_it_says() {
    let (source, target, test, trainer) = (data(0), data(500), data(300), trainer());
    let study = TransferStudy::new(&trainer, &source, &target).test(&test).frozen([1, 0]);
    let report = study.repeats(2).runs_per_source(2).run(5).unwrap();
    let seed = Seed::from(5);
    let sources = Session::new(&trainer, &source).fit(&MultiRun::new(2), seed.child("source")).unwrap();
    let rows: Rows = (0..60).collect();
    let rmse = Metric::parse("rmse").unwrap();
    let fresh = Session::new(&trainer, &target).fit(&MultiRun::new(4), seed.child("target")).unwrap();
    let expected = member_scores(&fresh, &test, &rows, &rmse).unwrap();
    assert_eq!(report.fresh().unwrap().scores.concat(), expected);
    for layers in [0, 1] {
        for s in 0..2 {
            let start = WarmStart::new(sources.members()[s].weights.clone()).unwrap();
            let warm = trainer.clone().warm_start(start).freeze(layers);
            let all = Session::new(&warm, &target).fit(&MultiRun::new(4), seed.child("target")).unwrap();
            let expected = member_scores(&all, &test, &rows, &rmse).unwrap();
            assert_eq!(report.with_frozen(layers).unwrap().scores[s], expected[2 * s..2 * s + 2]);
        }
    }
    assert_eq!(report.rows.iter().map(|row| row.frozen).collect::<Vec<_>>(), [None, Some(1), Some(0)]);
    let again = study_again(&trainer, &source, &target, &test);
    assert_eq!(again, report, "the number of threads does not matter");
}

fn study_again(
    trainer: &Trainer<Sequential>,
    source: &TensorDataset,
    target: &TensorDataset,
    test: &TensorDataset,
) -> TransferReport {
    let study = TransferStudy::new(trainer, source, target).test(test).frozen([1, 0]);
    study.executor(&crate::exec::Sequential).repeats(2).runs_per_source(2).run(5).unwrap()
}

/// Three sources with two runs each. Differences of the means: −1, 0, −2 and their t interval; the spread by
/// hand.
#[test]
fn the_figures_of_a_report() {
    let fresh = vec![vec![3., 5.], vec![2., 2.], vec![6., 4.]];
    let warm = vec![vec![2., 4.], vec![1., 3.], vec![3., 3.]];
    let all = vec![(None, fresh), (Some(0), warm.clone())];
    let report = TransferReport::of(&Metric::parse("rmse").unwrap(), 2, all.clone()).unwrap();
    let row = report.with_frozen(0).unwrap();
    assert_eq!((row.better, row.equal, row.median), (2, 1, 3.));
    assert_eq!(row.summary, Summary::of(&warm.concat()).unwrap());
    let difference = row.difference.unwrap();
    // t with 2 degrees of freedom at 0.975 is 4.302653; sd 1, n 3.
    assert!((difference.estimate + 1.).abs() < 1e-12);
    assert!((difference.high - difference.low - 2. * 4.302_652_73 / 3f64.sqrt()).abs() < 1e-6);
    // Means 3, 2, 3: MSB = 2·(2/3)/2 = 2/3; MSW = (2 + 2 + 0)/3 = 4/3.
    assert!((row.spread.within.unwrap() - (4f64 / 3.).sqrt()).abs() < 1e-12);
    assert_eq!(row.spread.between, Some(0.));
    assert_eq!(report.fresh().unwrap().difference, None);
    let higher = TransferReport::of(&Metric::parse("r2").unwrap(), 2, all).unwrap();
    assert_eq!(higher.with_frozen(0).unwrap().better, 0);
    let text = report.to_string();
    for part in
        ["fresh", "warm, 0 layers frozen", "-1.0000 [-3.4841, +1.4841]", "2 (1 equal)", "sd between sources"]
    {
        assert!(text.contains(part), "{text}");
    }
    let one = TransferReport::of(&Metric::parse("rmse").unwrap(), 1, vec![(None, vec![vec![1.]])]).unwrap();
    assert_eq!((one.rows[0].difference, one.rows[0].summary.sd), (None, None));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<TransferReport>(&json).unwrap(), report);
}

#[test]
fn rows_are_held_out_without_test_data() {
    let (source, target, trainer) = (data(0), data(500), trainer());
    let report = TransferStudy::new(&trainer, &source, &target).repeats(2).run(1).unwrap();
    let split = Split::of(&target, 0.3, Seed::from(1).child("split")).unwrap();
    let mut plan =
        Session::new(&trainer, &target).plan(&MultiRun::new(2), Seed::from(1).child("target")).unwrap();
    plan.runs.iter_mut().for_each(|run| run.train = (&split.train).into());
    let pool = Session::new(&trainer, &target).train(&plan).unwrap();
    let expected = member_scores(&pool, &target, &split.test, &Metric::parse("rmse").unwrap()).unwrap();
    assert_eq!(report.fresh().unwrap().scores.concat(), expected);
}

#[test]
fn what_a_study_cannot_do_is_an_error() {
    let (source, target, trainer) = (data(0), data(500), trainer());
    let study = || TransferStudy::new(&trainer, &source, &target);
    let frozen = trainer.clone().freeze(1);
    let several = trainer.clone().architecture("other", |vb| Ok(seq().add(linear(2, 1, vb)?)));
    let y = Tensor::from_iter((0..60u32).map(|i| i % 2), &Device::Cpu).unwrap();
    let classes = TensorDataset::classification(source.inputs().clone(), &y).unwrap();
    for (outcome, part) in [
        (study().repeats(0).run(1), "TransferStudy::repeats must be at least 1"),
        (study().runs_per_source(0).run(1), "TransferStudy::runs_per_source"),
        (study().frozen([]).run(1), "TransferStudy::frozen"),
        (study().frozen([1, 1]).run(1), "1 twice"),
        (study().frozen([2]).repeats(1).run(1), "leaves a variable to be trained"),
        (study().held_out(1.).run(1), "TransferStudy::held_out"),
        (study().test(&classes).run(1), "the task of the test data"),
        (TransferStudy::new(&frozen, &source, &target).run(1), "without a warm start"),
        (TransferStudy::new(&several, &source, &target).run(1), "of one architecture"),
    ] {
        let e = outcome.unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
}
