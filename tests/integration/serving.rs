//! Ensembles that predict for others: on several threads, of data sets that are read in batches, of rows with
//! NaN, in half precision.
use crate::common::{bits, blobs, distance, flat, line, CPU};
use candle_core::{bail, DType, Device, Module, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{AnyFitted, Combiner, FittedCombiner, GeometricMean, HardVote, Mean, Median, Weighted},
    data::{Batch, Dataset, Fingerprint, Inputs, Task, TensorDataset},
    evaluate::Study,
    metrics::Metrics,
    network::Output,
    nn::{seq, Sequential},
    observe::{Event, Flow, Observer},
    plan::Settings,
    predictions::Predictions,
    strategy::{Bagging, KFold, MultiRun},
    train::{CustomLoop, Optimizer, Trainer},
    AnyNetwork, Ensemble, Error, Session,
};
use candle_nn::{linear, Activation, Func, VarBuilder};
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc, Mutex,
};

// ---- Threads.

#[test]
fn what_serves_is_send_and_sync() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<AnyNetwork>();
    send_and_sync::<Sequential>();
    send_and_sync::<Ensemble<AnyNetwork, Mean>>();
    send_and_sync::<Ensemble<Sequential, GeometricMean>>();
    send_and_sync::<Ensemble<Func<'static>, HardVote>>();
    send_and_sync::<Ensemble<AnyNetwork, AnyFitted>>();
    send_and_sync::<OnceForAll>();
    type OnceForAll = Arc<Ensemble<AnyNetwork, AnyFitted>>;
}

fn small(vb: VarBuilder<'static>) -> CandleResult<AnyNetwork> {
    Ok(AnyNetwork::new(linear(2, 3, vb)?))
}

fn large(vb: VarBuilder<'static>) -> CandleResult<AnyNetwork> {
    let hidden = seq().add(linear(2, 8, vb.pp(0))?).add(Activation::Relu);
    Ok(AnyNetwork::new(hidden.add(linear(8, 3, vb.pp(1))?)))
}

#[test]
fn an_ensemble_of_several_architectures_is_loaded_by_its_constructors() {
    let data = blobs(1, 60, 3, 0.5);
    let trainer = Trainer::new(small).architecture("large", large).epochs(3);
    let trained = Session::new(&trainer, &data).fit(&Bagging::new(3), 42).unwrap().combine(&Median).unwrap();
    let expected = bits(&trained.predict_proba(data.inputs()).unwrap());
    let bytes = trained.to_bytes().unwrap();

    let build = |name: &str, _: &Settings, vb: VarBuilder<'static>| match name {
        "model" => small(vb),
        "large" => large(vb),
        other => bail!("no architecture is called {other}"),
    };
    let loaded = Arc::new(Ensemble::<_, Median>::from_bytes_with(&bytes, build, &CPU).unwrap());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (loaded, inputs) = (loaded.clone(), data.inputs());
                scope.spawn(move || bits(&loaded.predict_proba(inputs).unwrap()))
            })
            .collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), expected));
    });

    let only_small = |_: &str, _: &Settings, vb| small(vb);
    let e = Ensemble::<_, Median>::from_bytes_with(&bytes, only_small, &CPU).unwrap_err().to_string();
    assert!(e.contains("its weights do not fit the networks that are built"), "{e}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let e = Ensemble::<_, Median>::load_with(&path, build, &CPU).unwrap_err();
    assert!(matches!(e, Error::Io { .. }), "{e}");
}

#[test]
fn constructors_get_the_settings_of_each_member_and_the_file_says_type_and_output() {
    let data = line(2, 40, 0.1);
    let data = TensorDataset::regression(
        data.inputs().only().unwrap().to_dtype(DType::F64).unwrap(),
        &data.targets().to_dtype(DType::F64).unwrap(),
    )
    .unwrap();
    let wide = |settings: &Settings, vb: VarBuilder<'static>| {
        let width = settings.count("width")?.unwrap_or(4);
        Ok(seq().add(linear(2, width, vb.pp(0))?).add(Activation::Relu).add(linear(width, 1, vb.pp(1))?))
    };
    let trainer = Trainer::reading(&["width"], wide).dtype(DType::F64).epochs(2);
    let strategy =
        MultiRun::new(2).settings([Settings::new().with("width", 5), Settings::new().with("width", 9)]);
    let trained = Session::new(&trainer, &data).fit(&strategy, 1).unwrap().combine(&Mean).unwrap();
    let bytes = trained.to_bytes().unwrap();
    let build = move |_: &str, settings: &Settings, vb: VarBuilder<'static>| wide(settings, vb);
    let loaded = Ensemble::<_, Mean>::from_bytes_with(&bytes, build, &CPU).unwrap();
    let predicted = loaded.predict(data.inputs()).unwrap();
    assert_eq!(predicted.dtype(), DType::F64);
    assert_eq!(bits(&predicted), bits(&trained.predict(data.inputs()).unwrap()));
}

// ---- Half precision.

/// A network whose output is its input, and an ensemble of two of them.
fn echo(classes: usize, dtype: DType, output: Output) -> Ensemble<Func<'static>, Mean> {
    let x = Tensor::zeros((4, classes), dtype, &CPU).unwrap();
    let y = Tensor::from_iter((0..4).map(|row| if row == 0 { classes as u32 - 1 } else { 0 }), &CPU).unwrap();
    let data = TensorDataset::classification(x, &y).unwrap();
    let new = |_| Ok(candle_nn::func(|x: &Tensor| Ok(x.clone())));
    let learner = CustomLoop::new("echo", new, |_, _| Ok(())).dtype(dtype).output(output);
    Session::new(&learner, &data).fit(&MultiRun::new(2), 1).unwrap().combine(&Mean).unwrap()
}

fn logits(rows: usize, classes: usize) -> Tensor {
    let values = (0..(rows * classes) as u64).map(|i| (i * 7919 % 2003) as f32 / 400.);
    Tensor::from_iter(values, &CPU).unwrap().reshape((rows, classes)).unwrap()
}

#[test]
fn probabilities_of_half_precision_networks_are_computed_in_f32() {
    for dtype in [DType::BF16, DType::F16] {
        let short = logits(5, 1000).to_dtype(dtype).unwrap();
        let long = short.to_dtype(DType::F32).unwrap();
        let ensemble = echo(1000, dtype, Output::Logits);
        let expected = candle_nn::ops::softmax(&long, 1).unwrap();
        let log_expected = candle_nn::ops::log_softmax(&long, 1).unwrap();
        let predicted = ensemble.predict_proba(&short).unwrap();
        let forward = ensemble.forward(&short).unwrap();
        let members = ensemble.member_predictions(&short).unwrap();
        assert_eq!(
            (predicted.dtype(), forward.dtype(), members.dtype()),
            (DType::F32, DType::F32, DType::F32)
        );
        assert!(distance(&predicted, &expected) < 1e-8, "{}", distance(&predicted, &expected));
        assert!(distance(&forward, &log_expected) < 1e-5, "{}", distance(&forward, &log_expected));
        for p in [predicted, forward.exp().unwrap(), members.get(1).unwrap()] {
            assert!(flat(&p.sum(1).unwrap()).iter().all(|sum| (sum - 1.).abs() < 1e-5), "{dtype:?}");
        }
        let top = ensemble.predict(&short).unwrap().to_vec1::<u32>().unwrap();
        let wide = echo(1000, DType::F32, Output::Logits).predict(&long).unwrap();
        assert_eq!(top, wide.to_vec1::<u32>().unwrap());

        // Networks that end in a softmax of their own have rounded it.
        let ensemble = echo(1000, dtype, Output::Probabilities);
        let rounded = expected.to_dtype(dtype).unwrap();
        let predicted = ensemble.predict_proba(&rounded).unwrap();
        assert!(flat(&predicted.sum(1).unwrap()).iter().all(|sum| (sum - 1.).abs() < 1e-5), "{dtype:?}");
        assert!(distance(&predicted, &expected) < 1e-3);
    }
}

/// Predictions from elsewhere, of any type, are combined in f32.
#[test]
fn combiners_work_in_f32_at_least() {
    let probabilities = candle_nn::ops::softmax(&logits(6, 1000), 1).unwrap().reshape((3, 2, 1000)).unwrap();
    let task = Task::Classification { classes: 1000 };
    for dtype in [DType::BF16, DType::F16] {
        let short = probabilities.to_dtype(dtype).unwrap();
        let predictions = Predictions::new(short.clone(), task).unwrap();
        let long = Predictions::new(short.to_dtype(DType::F32).unwrap(), task).unwrap();
        for combiner in [&Mean as &dyn FittedCombiner, &GeometricMean, &Median, &HardVote] {
            let combined = combiner.combine(&predictions).unwrap();
            assert_eq!(combined.dtype(), DType::F32, "{}", combiner.name());
            assert_eq!(bits(&combined), bits(&combiner.combine(&long).unwrap()), "{}", combiner.name());
        }
    }
    let long = Predictions::new(probabilities.to_dtype(DType::F64).unwrap(), task).unwrap();
    assert_eq!(Mean.combine(&long).unwrap().dtype(), DType::F64);
}

/// A network of half precision trains, and its held-out predictions are accepted by the combiners of this
/// crate.
#[test]
fn held_out_predictions_of_half_precision_networks_are_f32() {
    let data = blobs(3, 60, 3, 0.5);
    for dtype in [DType::F16, DType::BF16] {
        let x = data.inputs().only().unwrap().to_dtype(dtype).unwrap();
        let short = TensorDataset::classification(x, data.targets()).unwrap();
        let trainer =
            Trainer::new(|vb| linear(2, 3, vb)).dtype(dtype).optimizer(Optimizer::adam(0.05)).epochs(4);
        let pool = Session::new(&trainer, &short).fit(&Bagging::new(4), 1).unwrap();
        let held_out = pool.held_out().unwrap();
        assert_eq!(held_out.predictions().values().dtype(), DType::F32);
        let metrics = held_out.metrics(&Mean).unwrap();
        assert!(metrics.headline() > 0.5, "{metrics:?}");
        assert!(held_out.metrics(&GeometricMean).is_ok());
        let selection = candle_ensemble::combine::EnsembleSelection::new(3);
        assert!(pool.combine(&selection).unwrap().predict(short.inputs()).is_ok());
    }
}

// ---- NaN.

/// ReLU makes 0 of NaN, so these networks hide it.
fn with_relu(data: &TensorDataset, classes: usize) -> Ensemble<Sequential, Mean> {
    ensemble_with_relu(data, classes, &Mean)
}

fn ensemble_with_relu<C: Combiner>(
    data: &TensorDataset,
    outputs: usize,
    combiner: &C,
) -> Ensemble<Sequential, C::Fitted> {
    let trainer = Trainer::new(move |vb| {
        Ok(seq().add(linear(2, 8, vb.pp(0))?).add(Activation::Relu).add(linear(8, outputs, vb.pp(1))?))
    });
    Session::new(&trainer.epochs(2), data).fit(&Bagging::new(3), 1).unwrap().combine(combiner).unwrap()
}

fn holes() -> Tensor {
    Tensor::new(&[[0.5f32, 1.], [f32::NAN, 1.], [0.2, 0.1], [f32::NAN, f32::NAN]], &CPU).unwrap()
}

fn nan_rows(t: &Tensor) -> Vec<bool> {
    t.to_vec2::<f32>().unwrap().iter().map(|row| row.iter().all(|x| x.is_nan())).collect()
}

const HOLES: [bool; 4] = [false, true, false, true];

#[test]
fn a_row_with_nan_is_named_in_every_prediction() {
    let classes = blobs(4, 40, 3, 0.5);
    let ensemble = with_relu(&classes, 3);
    let says = |outcome: candle_ensemble::Result<Tensor>| outcome.unwrap_err().to_string();
    let e = "inputs, row 1 must be finite, but is NaN";
    assert_eq!(says(ensemble.predict(holes())), e);
    assert_eq!(says(ensemble.predict_proba(holes())), e);
    assert_eq!(says(ensemble.member_predictions(holes())), e);
    assert_eq!(says(with_relu(&line(5, 40, 0.1), 1).predict(holes())), e);
    // Far into the rows, and infinite.
    let far =
        Tensor::cat(&[&Tensor::zeros((3000, 2), DType::F32, &CPU).unwrap(), &(holes() / 0.).unwrap()], 0);
    assert_eq!(says(ensemble.predict(far.unwrap())), "inputs, row 3000 must be finite, but is inf");

    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(1);
    let pool = Session::new(&trainer, &classes).fit(&Bagging::new(2), 1).unwrap();
    assert_eq!(pool.predictions(holes()).unwrap_err().to_string(), e);
    assert_eq!(pool.predictions_per_member(holes()).unwrap_err().to_string(), e);

    let two = Inputs::from(vec![Tensor::zeros((4, 1), DType::U32, &CPU).unwrap(), holes()]);
    assert_eq!(says(ensemble.predict(two)), "inputs[1], row 1 must be finite, but is NaN");
}

#[test]
fn nan_that_is_let_through_comes_out_as_nan() {
    let data = blobs(4, 40, 3, 0.5);
    let clean = holes().narrow(0, 2, 1).unwrap();
    let ensemble = with_relu(&data, 3);
    let expected = bits(&ensemble.predict_proba(&clean).unwrap());
    let ensemble = ensemble.allow_nan(true);
    let predicted = ensemble.predict_proba(holes()).unwrap();
    assert_eq!(nan_rows(&predicted), HOLES);
    assert_eq!(bits(&predicted.narrow(0, 2, 1).unwrap()), expected, "other rows are as ever");
    let e = ensemble.predict(holes()).unwrap_err().to_string();
    assert_eq!(e, "the prediction of row 1 must be a number, but is NaN");
    assert_eq!(ensemble.predict(&clean).unwrap().dims(), [1]);

    let values = with_relu(&line(5, 40, 0.1), 1).allow_nan(true).predict(holes()).unwrap();
    assert_eq!(nan_rows(&values), HOLES);
    // A vote counts NaN as a vote for class 0.
    let votes = ensemble_with_relu(&data, 3, &HardVote).allow_nan(true).predict_proba(holes()).unwrap();
    assert_eq!(nan_rows(&votes), HOLES);
}

#[test]
fn the_forward_pass_of_a_layer_gives_nan_for_nan_and_stays_differentiable() {
    let data = blobs(4, 40, 3, 0.5);
    assert_eq!(nan_rows(&with_relu(&data, 3).forward(&holes()).unwrap()), HOLES);
    assert_eq!(nan_rows(&ensemble_with_relu(&data, 3, &HardVote).forward(&holes()).unwrap()), HOLES);
    let values = with_relu(&line(5, 40, 0.1), 1);
    assert_eq!(nan_rows(&values.forward(&holes()).unwrap()), HOLES);
    let x = candle_core::Var::from_tensor(&holes()).unwrap();
    let rows = values.forward(x.as_tensor()).unwrap().get(2).unwrap();
    let gradients = rows.sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(&x).unwrap().to_vec2::<f32>().unwrap();
    assert!(gradient[2].iter().all(|g| g.is_finite()) && gradient[2].iter().any(|g| *g != 0.));
}

#[test]
fn a_network_that_makes_nan_of_numbers_is_an_error() {
    let data = line(6, 20, 0.1);
    let learner = CustomLoop::new(
        "root",
        |vb| {
            let layer = linear(2, 1, vb)?;
            Ok(candle_nn::func(move |x| layer.forward(x)?.affine(0., 0.)? + x.narrow(1, 0, 1)?.sqrt()?))
        },
        |_, _| Ok(()),
    );
    let ensemble = Session::new(&learner, &data).fit(&MultiRun::new(2), 1).unwrap().combine(&Mean).unwrap();
    let x = Tensor::new(&[[4f32, 0.], [-4., 0.]], &CPU).unwrap();
    let e = ensemble.predict(&x).unwrap_err().to_string();
    assert_eq!(e, "the prediction of row 1 must be a number, but is NaN");
    let held_out = Session::new(&learner, &data).fit(&KFold::new(2), 1).unwrap();
    let e = held_out.held_out().unwrap_err().to_string();
    assert!(e.contains("the prediction of row ") && e.contains("must be a number"), "{e}");
}

/// A member of weight 0 is not read, so its NaN changes nothing; nobody may see it as a prediction, though.
#[test]
fn nan_of_a_member_without_weight_is_not_read() {
    let root = |vb: VarBuilder<'static>| {
        let layer = linear(2, 1, vb)?;
        Ok(AnyNetwork::new(seq().add(layer).add_fn(|y| y.sqr()?.neg()?.sqrt())))
    };
    let data = line(6, 20, 0.1);
    let learner = CustomLoop::new("still", |vb| Ok(AnyNetwork::new(linear(2, 1, vb)?)), |_, _| Ok(()));
    let learner = learner.architecture("root", root);
    let pool = Session::new(&learner, &data).fit(&MultiRun::new(1), 1).unwrap();
    let first = pool.select_slots(&[0]).unwrap().combine(&Mean).unwrap();
    let weighted = pool.combine(&Weighted::new(&[1., 0.]).unwrap()).unwrap();
    assert_eq!(bits(&weighted.predict(data.inputs()).unwrap()), bits(&first.predict(data.inputs()).unwrap()));
    assert!(weighted.member_predictions(data.inputs()).is_err());
    assert!(pool.combine(&Mean).unwrap().predict(data.inputs()).is_err());
}

// ---- Data sets.

/// Rows of a data set that are made when they are asked for. It counts how many were asked for at once.
struct OnDemand {
    all: TensorDataset,
    most: AtomicUsize,
    asked: AtomicUsize,
}

impl OnDemand {
    fn new(all: &TensorDataset) -> Self {
        Self { all: all.clone(), most: AtomicUsize::new(0), asked: AtomicUsize::new(0) }
    }
}

impl Dataset for OnDemand {
    fn rows(&self) -> usize {
        self.all.rows()
    }

    fn task(&self) -> Task {
        self.all.task()
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.most.fetch_max(rows.len(), Ordering::Relaxed);
        self.asked.fetch_add(rows.len(), Ordering::Relaxed);
        self.all.batch(rows, device)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.all.fingerprint()
    }
}

/// Keeps the progress, and stops after a number of events.
struct Progress(Mutex<Vec<(usize, usize)>>, usize);

impl Observer for Progress {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let mut seen = self.0.lock().unwrap();
        if let Event::RowsPredicted { rows, of } = event {
            seen.push((*rows, *of));
        }
        if seen.len() < self.1 {
            Flow::Continue
        } else {
            Flow::Stop
        }
    }
}

#[test]
fn a_data_set_is_predicted_in_batches_with_the_bytes_of_tensors() {
    let train = blobs(7, 60, 3, 0.5);
    let weights = (0..1000u32).map(|i| 1. + i as f32 / 1000.).collect();
    let test = blobs(8, 1000, 3, 0.5).with_weights(weights).unwrap();
    let ensemble = with_relu(&train, 3).batch_rows(64);
    let data = OnDemand::new(&test);
    let x = test.inputs();
    let all = ensemble.predict_proba(x).unwrap();
    assert_eq!(bits(&ensemble.on(&data).predict_proba().unwrap()), bits(&all));
    assert_eq!(bits(&ensemble.on(&data).predict().unwrap()), bits(&ensemble.predict(x).unwrap()));
    let members = ensemble.member_predictions(x).unwrap();
    assert_eq!(bits(&ensemble.on(&data).member_predictions().unwrap()), bits(&members));
    assert_eq!(data.most.load(Ordering::Relaxed), 64, "no more than a batch is read at once");

    let metrics = ensemble.on(&data).evaluate().unwrap();
    let of_tensors =
        Metrics::classification(&all, test.labels().unwrap(), Some(&flat(test.weights().unwrap())));
    assert_eq!(metrics, of_tensors.unwrap());

    let rows = [999, 3, 3, 500];
    let some = ensemble.on(&data).rows(&rows).predict_proba().unwrap();
    let picked = all.index_select(&Tensor::new(&rows, &CPU).unwrap(), 0).unwrap();
    assert!(distance(&some, &picked) < 1e-6);
    let (mut seen, mut parts) = (vec![], vec![]);
    let keep = |rows: &[u32], predicted: &Tensor| {
        seen.extend_from_slice(rows);
        parts.push(predicted.clone());
        Ok(())
    };
    ensemble.on(&data).for_each(keep).unwrap();
    assert_eq!(seen, (0..1000).collect::<Vec<u32>>());
    assert_eq!(bits(&Tensor::cat(&parts, 0).unwrap()), bits(&all));
}

#[test]
fn values_of_a_data_set_are_evaluated_too() {
    let (train, test) = (line(7, 60, 0.1), line(8, 200, 0.1));
    let ensemble = with_relu(&train, 1);
    let predicted = ensemble.predict(test.inputs()).unwrap();
    let expected = Metrics::regression(&predicted, &test.targets().unsqueeze(1).unwrap(), None).unwrap();
    assert_eq!(ensemble.on(&OnDemand::new(&test)).evaluate().unwrap(), expected);
    let e = ensemble.on(&test).predict_proba().unwrap_err().to_string();
    assert_eq!(e, "the task of predict_proba must be classification, but is regression");
    let e = ensemble.on(&blobs(1, 9, 3, 0.5)).evaluate().unwrap_err().to_string();
    assert_eq!(
        e,
        "the task of the data must be that of the ensemble, regression with 1 output, but is classification with 3 classes"
    );
}

#[test]
fn the_progress_of_a_prediction_is_observed_and_stopped() {
    let data = blobs(7, 150, 3, 0.5);
    let ensemble = with_relu(&data, 3).batch_rows(60);
    let progress = Progress(Mutex::default(), 100);
    ensemble.on(&data).observer(&progress).evaluate().unwrap();
    assert_eq!(*progress.0.lock().unwrap(), [(60, 150), (120, 150), (150, 150)]);
    let stop = Progress(Mutex::default(), 2);
    let e = ensemble.on(&data).observer(&stop).predict().unwrap_err();
    assert!(matches!(e, Error::Stopped { rows: 120, of: 150 }));
    assert_eq!(e.to_string(), "stopped; 120 of 150 rows are predicted");
}

/// A data set whose rows are not checked.
struct Unchecked(Tensor);

impl Dataset for Unchecked {
    fn rows(&self) -> usize {
        self.0.dims()[0]
    }

    fn task(&self) -> Task {
        Task::Classification { classes: 3 }
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        let rows = Tensor::new(rows, device)?;
        Ok(Batch {
            inputs: self.0.index_select(&rows, 0)?.into(),
            targets: rows.zeros_like()?,
            weights: None,
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"unchecked")
    }
}

#[test]
fn rows_of_a_data_set_are_named_by_their_numbers() {
    let ensemble = with_relu(&blobs(4, 40, 3, 0.5), 3);
    let data = Unchecked(holes());
    let e = "inputs, row 3 must be finite, but is NaN";
    assert_eq!(ensemble.on(&data).rows(&[0, 2, 3, 1]).predict().unwrap_err().to_string(), e);
    assert_eq!(ensemble.on(&data).rows(&[0, 2, 3, 1]).evaluate().unwrap_err().to_string(), e);
    let e = ensemble.on(&data).rows(&[]).predict().unwrap_err().to_string();
    assert_eq!(e, "number of rows of the inputs must be at least 1, but is 0");
    let e = ensemble.on(&data).rows(&[4]).predict().unwrap_err().to_string();
    assert!(!e.is_empty() && !e.contains('\n'), "{e}");
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(1);
    let train = blobs(4, 40, 3, 0.5);
    let pool = Session::new(&trainer, &train).fit(&Bagging::new(2), 1).unwrap();
    let e = pool.predictions_on(&data).unwrap_err().to_string();
    assert_eq!(e, "inputs, row 1 must be finite, but is NaN");
}

#[test]
fn a_study_reads_its_test_data_in_batches() {
    let (train, test) = (blobs(9, 60, 3, 0.5), blobs(10, 2500, 3, 0.5));
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(3);
    let report = |test: &dyn Dataset| {
        let study = Study::new(Session::new(&trainer, &train), test).repeats(2).baseline(MultiRun::new(2));
        let study = study.strategies("bootstrap:2").unwrap().combinations("mean,geometric-mean").unwrap();
        let report = study.run(42).unwrap();
        // Seconds differ from run to run.
        report.ensembles.into_iter().map(|e| (e.metrics, e.size_curve)).collect::<Vec<_>>()
    };
    let data = OnDemand::new(&test);
    assert_eq!(report(&data), report(&test));
    assert_eq!(data.most.load(Ordering::Relaxed), 1024);

    let progress = Progress(Mutex::default(), usize::MAX);
    let session = Session::new(&trainer, &train).observer(&progress);
    let study = |session, test| {
        let study = Study::new(session, test).repeats(1).baseline(MultiRun::new(2));
        study.strategies("multi-run:2").unwrap().combinations("mean").unwrap()
    };
    study(session, &test).run(42).unwrap();
    assert_eq!(*progress.0.lock().unwrap(), [(1024, 2500), (2048, 2500), (2500, 2500)]);

    struct Empty(TensorDataset);
    impl Dataset for Empty {
        fn rows(&self) -> usize {
            0
        }
        fn task(&self) -> Task {
            self.0.task()
        }
        fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
            self.0.batch(rows, device)
        }
        fn fingerprint(&self) -> Fingerprint {
            self.0.fingerprint()
        }
    }
    let empty = Empty(test.clone());
    let e = study(Session::new(&trainer, &train), &empty).run(1);
    assert_eq!(
        e.unwrap_err().to_string(),
        "the number of rows of the test data must be at least 1, but is 0"
    );
}
