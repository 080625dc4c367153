//! Resuming: a build that is interrupted anywhere and run again gives the bytes of an uninterrupted one.
use candle_core::{DType, Device, ModuleT, Tensor};
use candle_ensemble::{
    combine::{Combiner, Mean},
    data::{LastBatch, TensorDataset},
    exec::{Executor, Sequential, Stacked, Threads},
    nn::{self, drop_in, Dropout},
    observe::{Event, Flow, Observer},
    plan::{FastGeometric, Horizontal, Plan, Schedule, Settings, Snapshot, Span},
    store::MemoryStore,
    strategy::{Bagging, EnsembleBuilder, MultiRun},
    train::{Averaging, Clip, EarlyStopping, Learner, Optimizer, Sgd, Trainer},
    weights::WarmUp,
    Checkpoints, Ensemble, Error, Network, Result, Session,
};
use candle_nn::{
    batch_norm, linear, seq, Activation, BatchNorm, Conv1dConfig, Linear, Sequential as Mlp, VarBuilder,
};
use rand::Rng;
use std::sync::atomic::{AtomicU32, Ordering};

fn data() -> TensorDataset {
    let value = |i: u32| ((i * 7919 % 1000) as f32) / 500. - 1.;
    let x = Tensor::from_iter((0..120).map(value), &Device::Cpu).unwrap().reshape((60, 2)).unwrap();
    let class = |i: u32| u32::from(value(2 * i) + value(2 * i + 1) > 0.);
    let y = Tensor::from_iter((0..60u32).map(class), &Device::Cpu).unwrap();
    TensorDataset::classification(x, &y).unwrap()
}

fn mlp(vb: VarBuilder<'_>) -> candle_core::Result<Mlp> {
    Ok(seq().add(linear(2, 6, vb.pp("a"))?).add(Activation::Relu).add(linear(6, 2, vb.pp("b"))?))
}

fn trainer() -> Trainer<Mlp> {
    Trainer::new(mlp).epochs(12).batch_size(16)
}

/// Stops the build after a number of epochs, and counts resumed runs.
struct Power {
    left: AtomicU32,
    resumed: AtomicU32,
}

impl Power {
    fn epochs(n: u32) -> Self {
        Self { left: AtomicU32::new(n), resumed: AtomicU32::new(0) }
    }
}

impl Observer for Power {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::Resumed { .. } => drop(self.resumed.fetch_add(1, Ordering::Relaxed)),
            Event::EpochEnded { .. } => {
                let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                return if left.is_ok() { Flow::Continue } else { Flow::Stop };
            }
            _ => {}
        }
        Flow::Continue
    }
}

fn bytes<L: Learner>(
    data: &TensorDataset,
    trainer: &L,
    plan: &Plan,
    store: &MemoryStore,
) -> Result<Vec<Vec<u8>>> {
    let executor = Threads::new(2)?;
    let pool = Session::new(trainer, data).executor(&executor).store(store).train(plan)?;
    pool.members().iter().map(candle_ensemble::Member::to_bytes).collect()
}

fn interrupt_everywhere<N: Network>(
    trainer: &Trainer<N>,
    builder: &dyn EnsembleBuilder,
    often: Checkpoints,
) -> u32 {
    interrupt_everywhere_on(&data(), trainer, builder, often)
}

/// Interrupts a build after every number of epochs from 0 on, runs it again, and compares the bytes. Returns
/// the number of resumed runs.
pub fn interrupt_everywhere_on<L: Learner>(
    data: &TensorDataset,
    trainer: &L,
    builder: &dyn EnsembleBuilder,
    often: Checkpoints,
) -> u32 {
    let session = Session::new(trainer, data);
    let plan = session.plan(builder, 7).unwrap();
    let whole = bytes(data, trainer, &plan, &MemoryStore::new()).unwrap();
    let mut resumed = 0;
    for epochs in 0.. {
        let (store, power) = (MemoryStore::new(), Power::epochs(epochs));
        let executors = [&Threads::new(2).unwrap() as &dyn Executor, &Sequential, &Stacked::new(1).unwrap()];
        let executor = executors[epochs as usize % 3];
        let cut = session.clone().executor(executor).store(&store).observer(&power).checkpoints(often);
        match cut.train(&plan) {
            Ok(_) => break,
            Err(e) => assert!(matches!(e, Error::Cancelled { .. }), "{e}"),
        }
        let again = Power::epochs(u32::MAX);
        let cut = session.clone().executor(executor).store(&store).observer(&again).checkpoints(often);
        cut.train(&plan).unwrap();
        resumed += again.resumed.into_inner();
        assert_eq!(bytes(data, trainer, &plan, &store).unwrap(), whole, "after {epochs} epochs");
    }
    resumed
}

#[test]
fn optimizers_schedules_and_clipping_resume() {
    let momentum: Optimizer = Sgd::new(0.05).momentum(0.9).nesterov(true).into();
    for optimizer in [Optimizer::adam(1e-2), Optimizer::rmsprop(1e-2), momentum] {
        let trainer =
            trainer().optimizer(optimizer).schedule(Schedule::Cosine { to: 0.1 }).clip(Clip::Norm(1.));
        assert!(interrupt_everywhere(&trainer, &MultiRun::new(2), Checkpoints::Epochs(5)) > 0);
    }
}

/// The library's own layers, whose gradients take another way to the optimizer.
#[test]
fn layers_of_the_library_resume() {
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let hidden = nn::seq().add(nn::linear(2, 6, vb.pp("a"))?).add(nn::Activation::Relu);
        Ok(hidden.add(nn::linear(6, 2, vb.pp("b"))?))
    });
    let trainer = trainer.epochs(6).batch_size(16);
    assert!(interrupt_everywhere(&trainer, &MultiRun::new(2), Checkpoints::Epochs(2)) > 0);
}

/// Convolutions, normalization, and dropout that draws from the seed of the step.
#[test]
fn layers_with_candles_constructors_resume() {
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let config = Conv1dConfig { padding: 1, ..Default::default() };
        let network = drop_in::seq().add_fn(|x| x.unsqueeze(1));
        let network = network.add(drop_in::conv1d(1, 4, 2, config, vb.pp("conv"))?);
        let network =
            network.add(drop_in::batch_norm(4, 1e-5, vb.pp("norm"))?).add(drop_in::Activation::Relu);
        let network = network.add_fn(|x| x.flatten_from(1)).add(drop_in::Dropout::new(0.3));
        Ok(network.add(drop_in::linear(12, 2, vb.pp("out"))?))
    });
    let trainer = trainer.epochs(6).batch_size(16);
    assert!(interrupt_everywhere(&trainer, &MultiRun::new(2), Checkpoints::Epochs(2)) > 0);
}

struct Dropping(Linear, Dropout, Linear);

impl ModuleT for Dropping {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        x.apply(&self.0)?.relu()?.apply_t(&self.1, train)?.apply(&self.2)
    }
}

/// A random search over settings that the trainer and the constructor read, including dropout.
#[test]
fn dropout_resumes_and_drawn_settings_are_the_same() {
    let new = |settings: &Settings, vb: VarBuilder<'_>| {
        let width = settings.count("width")?.unwrap_or(6);
        let dropout = Dropout::new(settings.real("dropout")?.unwrap_or(0.5), vb.pp("dropout"))?;
        Ok(Dropping(linear(2, width, vb.pp("in"))?, dropout, linear(width, 2, vb.pp("out"))?))
    };
    let trainer = Trainer::reading(&["width", "dropout"], new).epochs(6).batch_size(16);
    let search = MultiRun::new(3).settings_drawn(|rng| {
        Settings::new()
            .with("learning_rate", 10f64.powf(rng.random_range(-3. ..-1.)))
            .with("width", rng.random_range(4..9))
            .with("dropout", rng.random_range(0.1..0.6))
    });
    assert!(interrupt_everywhere(&trainer, &search, Checkpoints::Epochs(2)) > 0);
    let data = data();
    let session = Session::new(&trainer, &data);
    let pool = session.fit(&search, 7).unwrap();
    let settings: Vec<_> = pool.members().iter().map(|m| m.record.settings.clone()).collect();
    assert!(settings.iter().all(|s| s.real("dropout").unwrap().is_some()) && settings[0] != settings[1]);
    // 60 rows in batches of 16: four batches in an epoch.
    let step = |m: &candle_ensemble::Member| m.weights["dropout.step"].to_scalar::<u32>().unwrap();
    assert!(pool.members().iter().all(|member| step(member) == 24));
    let ensemble = pool.combine(&Mean).unwrap();
    let again: Ensemble<_, <Mean as Combiner>::Fitted> =
        Ensemble::from_bytes(&ensemble.to_bytes().unwrap(), &trainer, &Device::Cpu).unwrap();
    let x = Tensor::arange(0f32, 20., &Device::Cpu).unwrap().reshape((10, 2)).unwrap();
    let [a, b] = [&ensemble, &again].map(|e| e.predict_proba(&x).unwrap().to_vec2::<f32>().unwrap());
    assert_eq!(a, b);
}

/// A network in half precision, whose steps are far below the spacing of its weights.
struct Half(Linear);

impl ModuleT for Half {
    fn forward_t(&self, x: &Tensor, _: bool) -> candle_core::Result<Tensor> {
        x.to_dtype(DType::F16)?.apply(&self.0)
    }
}

#[test]
fn half_precision_resumes_with_its_weights_in_f32() {
    for optimizer in [Optimizer::sgd(2e-3), Optimizer::adam(2e-4)] {
        let trainer = Trainer::new(|vb| Ok(Half(linear(2, 2, vb)?))).dtype(DType::F16).optimizer(optimizer);
        let trainer = trainer.epochs(12).batch_size(16);
        assert!(interrupt_everywhere(&trainer, &MultiRun::new(2), Checkpoints::Epochs(5)) > 0);
    }
}

/// A linear layer, then batch normalization.
struct Normed(Linear, BatchNorm);

impl ModuleT for Normed {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.1.forward_t(&x.apply(&self.0)?, train)
    }
}

/// 60 rows in batches of 59: the last row joins, or is left out.
#[test]
fn a_single_last_row_resumes() {
    for last in [LastBatch::Auto, LastBatch::Drop] {
        let new =
            |vb: VarBuilder<'_>| Ok(Normed(linear(2, 2, vb.pp("a"))?, batch_norm(2, 1e-5, vb.pp("b"))?));
        let trainer = Trainer::new(new).epochs(6).batch_size(59).last_batch(last);
        assert!(interrupt_everywhere(&trainer, &MultiRun::new(2), Checkpoints::Epochs(2)) > 0);
    }
}

#[test]
fn early_stopping_resumes() {
    for restore_best in [true, false] {
        let rule = EarlyStopping { patience: 2, min_delta: 0.02, restore_best, ..EarlyStopping::default() };
        for metric in [None, Some("balanced-accuracy".to_string())] {
            let rule = EarlyStopping { metric, ..rule.clone() };
            let trainer = trainer().optimizer(Optimizer::adam(3e-2)).early_stopping(rule);
            let builder = Bagging::new(2).validation(0.3);
            assert!(interrupt_everywhere(&trainer, &builder, Checkpoints::Epochs(1)) > 0);
            assert!(interrupt_everywhere(&trainer, &builder, Checkpoints::Epochs(4)) > 0);
        }
    }
}

#[test]
fn weight_averages_resume() {
    let warm_up = Some(WarmUp::default());
    for rule in [
        Averaging::Swa { start: Span::Share(0.3), every: 2 },
        Averaging::ema(0.9),
        Averaging::Ema { decay: 0.99, warm_up },
    ] {
        for often in [1, 5] {
            let trainer = trainer().averaging(rule);
            assert!(interrupt_everywhere(&trainer, &MultiRun::new(2), Checkpoints::Epochs(often)) > 0);
        }
    }
}

#[test]
fn members_collected_within_a_run_are_the_same() {
    let builders: [&dyn EnsembleBuilder; 4] = [
        &Horizontal::last(5),
        &Snapshot::new(3),
        &FastGeometric::new(2, 1e-2, 1e-3).pretraining(0.5),
        &Bagging::new(2).collect(Snapshot::new(4).keep(2)),
    ];
    for builder in builders {
        assert!(interrupt_everywhere(&trainer(), builder, Checkpoints::Epochs(2)) > 0, "{builder:?}");
    }
}

#[test]
fn checkpoints_by_minutes_or_never() {
    assert!(interrupt_everywhere(&trainer(), &MultiRun::new(1), Checkpoints::Minutes(0.)) > 0);
    assert_eq!(interrupt_everywhere(&trainer(), &MultiRun::new(1), Checkpoints::Never), 0);
    assert_eq!(interrupt_everywhere(&trainer(), &MultiRun::new(1), Checkpoints::Minutes(60.)), 0);
}

#[test]
fn invalid_settings_are_named() {
    let (data, trainer) = (data(), trainer());
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(1), 7).unwrap();
    for (often, what) in
        [(Checkpoints::Epochs(0), "epochs between"), (Checkpoints::Minutes(-1.), "minutes between")]
    {
        let e = session.clone().checkpoints(often).train(&plan).err().unwrap();
        assert!(e.to_string().contains(what), "{e}");
    }
    let plan = session.plan(&Snapshot::new(13), 7).unwrap();
    let e = session.train(&plan).err().unwrap();
    assert!(e.to_string().contains("cycles must be from 1 to 12"), "{e}");
}

#[test]
fn build_and_load_need_a_store() {
    let (data, trainer) = (data(), trainer());
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(2), 7).unwrap();
    assert!(session.build(&plan).unwrap_err().to_string().contains("given a store"));
    let store = MemoryStore::new();
    let session = session.store(&store);
    assert!(matches!(session.load(&plan), Err(Error::Incomplete { missing, of: 2 }) if missing == [0, 1]));
    session.build(&plan).unwrap();
    assert_eq!(session.load(&plan).unwrap().members().len(), 2);
}

/// A build says how many epochs it has in all, also where its store has them already: progress is a share of it.
#[test]
fn a_build_starts_with_the_epochs_of_all_its_runs() {
    struct Epochs(std::sync::Mutex<Vec<[usize; 4]>>);
    impl Observer for Epochs {
        fn notify(&self, event: &Event<'_>) -> Flow {
            if let Event::BuildStarted { runs, finished, epochs, planned } = event {
                self.0.lock().unwrap().push([*runs, *finished, *epochs, *planned]);
            }
            Flow::Continue
        }
    }
    let (trainer, data, store, seen) = (trainer(), data(), MemoryStore::new(), Epochs(Default::default()));
    let power = Power::epochs(30);
    let session = Session::new(&trainer, &data).executor(&Sequential).store(&store);
    let plan = session.plan(&MultiRun::new(4), 1).unwrap();
    let watched: [&dyn Observer; 2] = [&seen, &power];
    assert!(
        session.clone().observer(&watched).train(&plan).is_err(),
        "two runs of twelve epochs are finished"
    );
    session.clone().observer(&seen).train(&plan).unwrap();
    session.observer(&seen).train(&plan).unwrap();
    assert_eq!(*seen.0.lock().unwrap(), [[4, 0, 48, 48], [4, 2, 24, 48], [4, 4, 0, 48]]);
}
