//! Examinations of networks and data whose faults are known.
use super::*;
use crate::{
    data::TensorDataset,
    diagnose::{Label, Problem},
    exec::{Sequential as OneByOne, Threads},
    nn::{seq, Activation, Sequential},
    observe::{Event, Flow},
    train::Optimizer,
};
use candle_core::Tensor;
use candle_nn::{linear, VarBuilder};
use rand_distr::{Distribution, StandardNormal};
use std::sync::atomic::{AtomicUsize, Ordering};

fn trainer() -> Trainer<Sequential> {
    Trainer::new(|vb: VarBuilder<'static>| {
        let hidden = seq().add(linear(4, 16, vb.pp("in"))?).add(Activation::Relu);
        Ok(hidden.add(linear(16, 3, vb.pp("out"))?))
    })
    .optimizer(Optimizer::adam(0.01))
    .epochs(12)
}

/// Three classes of rows around three points.
fn inputs(rows: usize) -> (Vec<f32>, Vec<u32>) {
    let mut rng = Seed::from(1).rng();
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
    let x = labels.iter().flat_map(|label| {
        let center = [[1.5, 0., 0., 0.], [0., 1.5, 0., 0.], [0., 0., 1.5, 0.]][*label as usize];
        center.map(|c| c + <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut rng))
    });
    (x.collect(), labels)
}

fn data(x: Vec<f32>, labels: Vec<u32>) -> TensorDataset {
    let x = Tensor::from_vec(x, (labels.len(), 4), &Device::Cpu).unwrap();
    TensorDataset::classification(&x, &Tensor::new(labels, &Device::Cpu).unwrap()).unwrap()
}

fn healthy() -> TensorDataset {
    let (x, labels) = inputs(240);
    data(x, labels)
}

fn names(examined: &Examined) -> Vec<&str> {
    examined.diagnosis.findings.iter().map(|finding| finding.name.as_str()).collect()
}

fn fitted(examined: &Examined) -> bool {
    examined.measurements.one_batch.as_ref().unwrap().fitted()
}

#[test]
fn a_healthy_network_on_healthy_rows_has_curves_and_no_finding_beside_them() {
    let (trainer, data) = (trainer(), healthy());
    let examined = Examination::new(&trainer, &data).runs(3).run(1).unwrap();
    assert_eq!((examined.curves.runs.len(), examined.members.len()), (3, 3));
    assert!(examined.curves.runs.iter().all(|run| run.train_loss.len() == 12 && run.valid_loss.len() == 12));
    assert_eq!((examined.curves.train_rows, examined.curves.valid_rows), (Some(180), Some(60)));
    assert!(fitted(&examined) && examined.measurements.two_sample.is_some());
    let beside = examined
        .diagnosis
        .findings
        .iter()
        .filter(|finding| Label::ALL.iter().all(|l| l.name() != finding.name));
    let beside: Vec<_> = beside.map(|finding| (&finding.name, finding.confidence)).collect();
    assert!(beside.iter().all(|(_, confidence)| *confidence < 0.5), "{beside:?}");
    assert!(examined.records[0][0].monitors.is_some());
}

#[test]
fn rows_that_leak_come_first() {
    let (mut x, labels) = inputs(240);
    x.chunks_mut(4).zip(&labels).for_each(|(row, label)| row[3] = *label as f32);
    let (trainer, leaky) = (trainer(), data(x, labels));
    let examined = Examination::new(&trainer, &leaky).runs(1).run(1).unwrap();
    assert_eq!(examined.diagnosis.problem(), Problem::Data, "{}", examined.diagnosis);
    assert_eq!(examined.diagnosis.first().unwrap().name, "target_leak");
    // Every row twice: most validation rows are training rows.
    let (x, labels) = inputs(120);
    let doubled = data([x.clone(), x].concat(), [labels.clone(), labels].concat());
    let examined = Examination::new(&trainer, &doubled).runs(1).run(1).unwrap();
    assert_eq!(examined.diagnosis.first().unwrap().name, "duplicates", "{:?}", names(&examined));
}

#[test]
fn a_run_that_diverges_is_a_curve_that_ends_in_nan() {
    let (trainer, data) = (trainer().optimizer(Optimizer::sgd(1e20)), healthy());
    let examined = Examination::new(&trainer, &data).runs(2).run(1).unwrap();
    assert!(examined.members.is_empty() && examined.curves.runs.len() == 2);
    assert!(examined.curves.runs.iter().all(|run| run.train_loss.last().is_some_and(|loss| loss.is_nan())));
    assert!(!fitted(&examined));
    assert_eq!(examined.diagnosis.problem(), Problem::Learning, "{}", examined.diagnosis);
    assert!(examined.diagnosis.get("diverged").is_some(), "{}", examined.diagnosis);
}

#[test]
fn it_is_the_same_for_every_number_of_threads_and_goes_on_after_an_interruption() {
    let (trainer, data, folder) = (trainer(), healthy(), tempfile::tempdir().unwrap());
    let examination =
        || Examination::new(&trainer, &data).runs(3).two_sample(TwoSampleTest::default().epochs(2));
    let text = |examined: &Examined| format!("{:?} {:?}", examined.diagnosis, examined.curves);
    let expected = text(&examination().executor(&OneByOne).run(7).unwrap());
    assert_eq!(text(&examination().executor(&Threads::new(2).unwrap()).run(7).unwrap()), expected);

    struct StopAt(AtomicUsize);
    impl Observer for StopAt {
        fn notify(&self, event: &Event<'_>) -> Flow {
            let ended = matches!(event, Event::EpochEnded { .. });
            match ended && self.0.fetch_add(1, Ordering::Relaxed) == 20 {
                true => Flow::Stop,
                false => Flow::Continue,
            }
        }
    }
    let stop = StopAt(AtomicUsize::new(0));
    let stopped = examination().executor(&OneByOne).observer(&stop).folder(folder.path()).run(7);
    assert!(matches!(stopped, Err(Error::Cancelled { .. })));
    let again = StopAt(AtomicUsize::new(100));
    let resumed = examination().executor(&OneByOne).observer(&again).folder(folder.path()).run(7).unwrap();
    assert_eq!(text(&resumed), expected);
    // The first run was finished, and was not trained again.
    assert_eq!(again.0.into_inner() - 100, 24);
}

/// A sum of twelve inputs, which a few rows do not determine.
#[test]
fn more_rows_that_would_help_are_a_finding() {
    let mut rng = Seed::from(2).rng();
    let mut normal =
        |count: usize| -> Vec<f32> { (0..count).map(|_| StandardNormal.sample(&mut rng)).collect() };
    let x = Tensor::from_vec(normal(12 * 160), (160, 12), &Device::Cpu).unwrap();
    let noise = Tensor::new(normal(160), &Device::Cpu).unwrap().affine(0.3, 0.).unwrap();
    let data = TensorDataset::regression(&x, &(x.sum(1).unwrap() + noise).unwrap()).unwrap();
    let trainer = Trainer::new(|vb| linear(12, 1, vb)).optimizer(Optimizer::adam(0.05)).epochs(60);
    let examination = || Examination::new(&trainer, &data).runs(1);
    let examined = examination().training_sizes([0.1, 0.3], 4).run(1).unwrap();
    let report = examined.training_size.as_ref().unwrap();
    // A quarter of the 120 training rows is held out again.
    assert_eq!(report.points.iter().map(|point| point.rows).collect::<Vec<_>>(), [9, 27]);
    assert_eq!(report.validation_rows, 30);
    assert!(examined.diagnosis.get("too_few_rows").is_some(), "{report}\n{}", examined.diagnosis);

    let without = examination().run(1).unwrap();
    assert!(without.training_size.is_none() && without.diagnosis.get("too_few_rows").is_none());
    assert_eq!(without.curves, examined.curves);
    assert!(examination().training_sizes([0.1, 2.], 4).run(1).is_err());
}

#[test]
fn trainings_of_sizes_that_diverge_are_left_out() {
    let (trainer, data) = (trainer().optimizer(Optimizer::sgd(1e20)), healthy());
    let examined = Examination::new(&trainer, &data).runs(1).training_sizes([0.5, 1.], 2).run(1).unwrap();
    assert!(examined.training_size.is_none() && examined.diagnosis.get("diverged").is_some());
}

#[test]
fn parameters_are_checked() {
    let (trainer, data) = (trainer(), healthy());
    let e = Examination::new(&trainer, &data).runs(0).run(1).unwrap_err().to_string();
    assert_eq!(e, "the number of runs of an examination must be at least 1, but is 0");
    assert!(Examination::new(&trainer, &data).validation(1.5).run(1).is_err());
}
