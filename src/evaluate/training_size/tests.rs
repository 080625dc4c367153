use super::*;
use crate::{data::TensorDataset, strategy::MultiRun, train::Trainer};
use candle_core::Tensor;
use candle_nn::{linear, Linear};

fn inputs() -> Tensor {
    let value = |i: u32| ((i * 7919 % 1000) as f32) / 500. - 1.;
    Tensor::from_iter((0..240).map(value), &Device::Cpu).unwrap().reshape((120, 2)).unwrap()
}

/// Every tenth row is of class 1.
fn classes() -> TensorDataset {
    let y = Tensor::from_iter((0..120u32).map(|i| u32::from(i % 10 == 0)), &Device::Cpu).unwrap();
    TensorDataset::classification(inputs(), &y).unwrap()
}

fn trainer(outputs: usize) -> Trainer<Linear> {
    Trainer::new(move |vb| linear(2, outputs, vb)).epochs(3)
}

#[test]
fn subsets_are_nested_and_keep_the_shares_of_strata() {
    let data = classes();
    let strata = data.strata();
    let split = Split::of(&data, 0.2, Seed::from(1)).unwrap();
    for (count, order) in [5, 10, 20, 48, 96]
        .into_iter()
        .flat_map(|n| [1, 2].map(|seed| (n, in_shares(&split.train, strata, Seed::from(seed)))))
    {
        let ones = order[..count].iter().filter(|row| **row % 10 == 0).count() as f64;
        let share = split.train.iter().filter(|row| **row % 10 == 0).count() as f64 / 96.;
        assert!((ones - share * count as f64).abs() <= 1., "{ones} of {count}");
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, split.train);
    }
    let [a, b] = [1, 2].map(|seed| in_shares(&split.train, strata, Seed::from(seed)));
    assert_ne!(a, b);
    assert_ne!(in_shares(&split.train, None, Seed::from(1)), split.train);
}

#[test]
fn a_curve_is_the_runs_that_it_says() {
    let (data, trainer) = (classes(), trainer(2));
    let curve = TrainingSizeCurve::new(&trainer, &data).sizes([1., 0.25]).repeats(2);
    let report = curve.run(7).unwrap();
    let accuracy = Metric::parse("accuracy").unwrap();
    let mut rows_of_sizes = vec![];
    for repeat in 0..2 {
        let seed = Seed::from(7).nth("repeat", repeat);
        let split = Split::of(&data, 0.2, seed.child("split")).unwrap();
        let order = in_shares(&split.train, data.strata(), seed.child("order"));
        for (point, count) in report.points.iter().zip([24, 96]) {
            assert_eq!(point.rows, count);
            let session = Session::new(&trainer, &data);
            let mut plan = session.plan(&MultiRun::new(1), 1).unwrap();
            let mut rows = order[..count].to_vec();
            rows.sort_unstable();
            plan.runs[0].train = (&rows).into();
            plan.runs[0].seed = seed.child("run");
            let pool = session.train(&plan).unwrap();
            let score = |rows: &[u32]| member_scores(&pool, &data, rows, &accuracy).unwrap()[0];
            assert_eq!(point.validation[repeat as usize], score(&split.test));
            assert_eq!(point.training[repeat as usize], score(&rows));
            rows_of_sizes.push(rows);
        }
    }
    assert!(rows_of_sizes[0].iter().all(|row| rows_of_sizes[1].contains(row)));
    let interval = corrected(&report.points[0].validation, 24, 24);
    assert_eq!(report.points[0].validation_interval, Some(interval));
    assert_eq!(
        (report.metric.as_str(), report.higher_is_better, report.validation_rows),
        ("accuracy", true, 24)
    );
    let text = report.to_string();
    assert!(
        text.contains("accuracy on validation rows") && text.contains(" 24 |") && text.contains(" ± "),
        "{text}"
    );
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<TrainingSizeReport>(&json).unwrap(), report);
    #[cfg(feature = "charts")]
    {
        let chart = report.chart("Rows");
        assert!(crate::chart::Chart::svg(&chart).unwrap().contains("accuracy (higher is better)"));
        assert_eq!(chart.lines[1].points[0].mean, report.points[0].validation_summary.mean);
    }
}

fn corrected(scores: &[f64], test: usize, train: usize) -> crate::metrics::Interval {
    crate::statistics::corrected_t_interval(scores, test, train, 0.95).unwrap()
}

/// A line through few rows fits them and no others: the scores meet as rows are added.
#[test]
fn the_gap_closes_with_more_rows() {
    let wave = |i: u32| (f64::from(i) * 12.9898).sin() * 43758.5453 % 1.;
    let x = Tensor::from_iter((0..2400).map(wave), &Device::Cpu).unwrap().reshape((200, 12)).unwrap();
    let noise = Tensor::from_iter((5000..5200).map(wave), &Device::Cpu).unwrap();
    let data = TensorDataset::regression(&x, &(x.sum(1).unwrap() + noise).unwrap()).unwrap();
    let trainer =
        Trainer::new(|vb| linear(12, 1, vb)).epochs(200).optimizer(crate::train::Optimizer::adam(0.05));
    let trainer = trainer.dtype(candle_core::DType::F64);
    let report = TrainingSizeCurve::new(&trainer, &data).sizes([0.1, 1.]).repeats(3).run(1).unwrap();
    let gap = |p: &TrainingSizePoint| p.validation_summary.mean - p.training_summary.mean;
    let [few, all] = [&report.points[0], &report.points[1]].map(gap);
    assert!(few > 4. * all.abs(), "{few} {all}");
    assert!(report.points[1].validation_summary.mean < report.points[0].validation_summary.mean);
}

#[test]
fn settings_replace_those_of_the_learner() {
    let (data, trainer) = (classes(), trainer(2));
    let report = |trainer: &Trainer<Linear>, settings: Settings| {
        TrainingSizeCurve::new(trainer, &data).sizes([1.]).repeats(1).settings(settings).run(1).unwrap()
    };
    let longer = trainer.clone().epochs(40);
    let given = report(&trainer, Settings::new().with("epochs", 40));
    assert_eq!(given, report(&longer, Settings::new()));
    assert_ne!(given, report(&trainer, Settings::new()));
}

#[test]
fn bad_parameters_are_errors() {
    let (data, trainer) = (classes(), trainer(2));
    let several = trainer.clone().architecture("other", |vb| linear(2, 2, vb));
    let curve = || TrainingSizeCurve::new(&trainer, &data);
    for (outcome, part) in [
        (curve().repeats(0).run(1), "TrainingSizeCurve::repeats"),
        (curve().sizes([]).run(1), "TrainingSizeCurve::sizes must be at least one"),
        (curve().sizes([0.]).run(1), "above 0 and at most 1"),
        (curve().sizes([f64::NAN]).run(1), "above 0 and at most 1"),
        (curve().sizes([0.5, 0.501]).run(1), "two shares of 48"),
        (curve().held_out(0.).run(1), "TrainingSizeCurve::held_out"),
        (TrainingSizeCurve::new(&several, &data).run(1), "of one architecture"),
    ] {
        let e = outcome.unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
    let one = curve().sizes([1.]).repeats(1).run(1).unwrap();
    assert_eq!((one.points[0].validation_interval, one.points[0].validation_summary.sd), (None, None));
}
