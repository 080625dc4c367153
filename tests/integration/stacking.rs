//! Members that are trained side by side in one graph: the same bytes as one by one, or one by one with a reason.
use crate::common::{blobs, bytes, line, CPU};
use candle_core::{Module, ModuleT, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Batch, Scaling, TensorDataset},
    exec::{Executor, Sequential, Shard, Stacked, Threads},
    metrics::Metric,
    nn::{self, drop_in, ActivityRegularizer},
    observe::{Event, Flow, Observer},
    plan::{BatchSize, Horizontal, Schedule, Settings, Snapshot},
    store::MemoryStore,
    strategy::{Bagging, EnsembleBuilder, KFold, MultiRun, RandomSubspace},
    train::{
        Averaging, ClassWeights, Clip, Constraint, CustomLoop, Distillation, EarlyStopping, Freeze, Learner,
        LossScale, Monitor, Noise, Optimizer, ParameterGroups, ReduceOnPlateau, Regularizer, Retrain, Sgd,
        Trainer, Unfreeze, WarmStart,
    },
    Checkpoints, Error, Network, Result, Seed, Session,
};
use candle_nn::{linear, Conv2dConfig, VarBuilder};
use rand::Rng;
use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex,
    },
};

/// The number of runs that a run is stacked with, itself included, or why it is not stacked.
type Answer = std::result::Result<usize, String>;

/// What the observer was told of each run.
#[derive(Default)]
struct Told {
    runs: Mutex<BTreeMap<usize, Vec<Answer>>>,
}

impl Told {
    fn take(&self) -> BTreeMap<usize, Vec<Answer>> {
        std::mem::take(&mut self.runs.lock().unwrap())
    }

    /// Asserts that each run was told once to be stacked.
    fn assert_stacked(&self, runs: usize, name: &str) {
        let told = self.take();
        assert_eq!(told.len(), runs, "{name}: {told:?}");
        assert!(told.values().all(|told| matches!(&**told, [Ok(2..)])), "{name}: {told:?}");
    }

    /// The reason why the runs are not stacked, which is the same for all.
    fn reason(&self, runs: usize) -> String {
        let told = self.take();
        assert_eq!(told.len(), runs, "{told:?}");
        let mut reasons = told.into_values().map(|told| match told.into_iter().next_back() {
            Some(Err(reason)) => reason,
            other => panic!("{other:?}"),
        });
        let first = reasons.next().unwrap();
        assert!(reasons.all(|reason| reason == first));
        first
    }
}

impl Observer for Told {
    fn notify(&self, event: &Event<'_>) -> Flow {
        let (run, told) = match event {
            Event::Stacked { run, members } => (run.id, Ok(*members)),
            Event::NotStacked { run, reason } => (run.id, Err(reason.to_string())),
            _ => return Flow::Continue,
        };
        self.runs.lock().unwrap().entry(run).or_default().push(told);
        Flow::Continue
    }
}

/// The members one by one and stacked on 1, 2 and 3 threads are the same bytes. Returns what the observer was told on one
/// thread.
fn compared<L: Learner>(
    learner: &L,
    data: &TensorDataset,
    builder: &dyn EnsembleBuilder,
    name: &str,
) -> Told {
    let session = Session::new(learner, data);
    let plan = session.plan(builder, 11).unwrap();
    let expected = bytes(session.clone().executor(&Sequential).train(&plan).unwrap().members());
    let told = Told::default();
    for workers in [3, 2, 1] {
        told.take();
        let stacked = Stacked::new(workers).unwrap();
        let pool = session.clone().executor(&stacked).observer(&told).train(&plan).unwrap();
        assert_eq!(bytes(pool.members()), expected, "{name} on {workers} threads");
    }
    told
}

fn assert_stacks<L: Learner>(learner: &L, data: &TensorDataset, builder: &dyn EnsembleBuilder, name: &str) {
    let runs = Session::new(learner, data).plan(builder, 11).unwrap().runs.len();
    compared(learner, data, builder, name).assert_stacked(runs, name);
}

type Net = nn::Sequential;

fn mlp(vb: VarBuilder<'_>) -> CandleResult<Net> {
    let hidden = nn::seq().add(nn::linear(2, 6, vb.pp(0))?).add(nn::Activation::Relu);
    Ok(hidden.add(nn::linear(6, 3, vb.pp(1))?))
}

fn trainer() -> Trainer<Net> {
    Trainer::new(mlp).epochs(4).batch_size(16).optimizer(Optimizer::adam(1e-2))
}

fn data() -> TensorDataset {
    blobs(5, 61, 3, 0.7)
}

/// The same rows with 16 columns.
fn wide() -> TensorDataset {
    let data = data();
    let x = data.inputs().only().unwrap().clone();
    let mix = crate::common::normal(8, 2, 16);
    TensorDataset::classification(x.matmul(&mix).unwrap().tanh().unwrap(), data.targets()).unwrap()
}

/// Losses that are no operation of the library's own: of the user, of a teacher, with penalties, beside plain ones.
#[test]
fn losses_of_the_user_and_of_teachers_have_the_same_bytes() {
    let data = data();
    let soft = candle_nn::ops::softmax(&crate::common::normal(4, 61, 3), 1).unwrap();
    let taught = data.clone().with_soft_targets(&soft).unwrap();
    let own = |outputs: &Tensor, batch: &Batch| {
        let log = candle_nn::ops::log_softmax(outputs, 1)?;
        log.gather(&batch.targets.unsqueeze(1)?, 1)?.squeeze(1)?.sqr()
    };
    let custom = || trainer().custom_loss("squares of logarithms", own);
    assert_stacks(&custom(), &data, &Bagging::new(5), "custom loss");
    let outputs = custom().custom_penalty("outputs", |outputs, _, _| outputs.sqr()?.mean_all()? * 0.1);
    assert_stacks(&outputs, &data, &Bagging::new(5), "penalty on outputs");
    // The gradients of weights that a penalty reads are sums in another order, so they may not be the same to the bit.
    let weights = outputs.custom_penalty("weights", |_, _, vars| vars.named()[1].1.sqr()?.sum_all()? * 0.01);
    compared(&weights, &data, &Bagging::new(5), "penalty on weights");
    let mixed = [Settings::new(), Settings::new().with("loss", "focal:1")];
    assert_stacks(&custom(), &data, &MultiRun::new(4).settings(mixed), "custom and focal loss");
    let balanced = trainer().class_weights(ClassWeights::Balanced);
    assert_stacks(&balanced, &data, &Bagging::new(5), "class weights");
    assert_stacks(&trainer(), &taught, &Bagging::new(5), "soft targets");
    let distilled = trainer().distillation(Distillation::new());
    assert_stacks(&distilled, &taught, &Bagging::new(5), "distillation");
    assert_stacks(&distilled.loss_scale(LossScale::Static(8.)), &taught, &KFold::new(3), "scaled");
}

#[test]
fn networks_of_each_layer_have_the_same_bytes() {
    let wide = wide();
    let stacks = |name: &str, new: fn(VarBuilder<'static>) -> CandleResult<Net>| {
        let trainer = Trainer::new(new).epochs(3).batch_size(16).optimizer(Optimizer::adam(1e-2));
        assert_stacks(&trainer, &wide, &Bagging::new(4), name);
    };
    stacks("convolution and batch normalization", |vb| {
        let config = Conv2dConfig { padding: 1, ..Default::default() };
        let images = nn::seq().add_fn(|x| x.reshape(((), 1, 4, 4)));
        let block = images.add(nn::conv2d(1, 3, 3, config, vb.pp("conv"))?).add(candle_nn::Activation::Relu);
        let block = block.add(nn::batch_norm(3, 1e-5, vb.pp("norm"))?).add(nn::MaxPool2d::new(2));
        Ok(block.add_fn(|x| x.flatten_from(1)).add(nn::linear(12, 3, vb.pp("out"))?))
    });
    stacks("convolution over series", |vb| {
        let series = nn::seq().add_fn(|x| x.reshape(((), 2, 8)));
        let block =
            series.add(nn::conv1d(2, 4, 3, Default::default(), vb.pp("conv"))?).add(nn::Activation::Tanh);
        let block = block.add(nn::SpatialDropout1d::new(0.2, vb.pp("dropout"))?);
        let block = block.add(nn::GroupNorm::new(2, 4, 1e-5, vb.pp("norm"))?);
        Ok(block.add_fn(|x| x.mean(2)).add(nn::linear(4, 3, vb.pp("out"))?))
    });
    stacks("layer and root-mean-square normalization", |vb| {
        let hidden = nn::seq().add(nn::linear_no_bias(16, 8, vb.pp(0))?);
        let hidden = hidden.add(nn::layer_norm(8, 1e-5, vb.pp("layer"))?).add(nn::Activation::Gelu);
        Ok(hidden.add(nn::rms_norm(8, 1e-5, vb.pp("rms"))?).add(nn::linear(8, 3, vb.pp(1))?))
    });
    stacks("dropout and noise", |vb| {
        let noisy =
            nn::seq().add(nn::GaussianNoise::new(0.1, vb.pp("noise"))?).add(nn::linear(16, 8, vb.pp(0))?);
        let hidden = noisy.add(nn::Activation::Selu).add(nn::AlphaDropout::new(0.1, vb.pp("alpha"))?);
        let hidden = hidden.add(nn::Dropout::new(0.2, vb.pp("dropout"))?).add(drop_in::Dropout::new(0.1));
        let hidden = hidden.add(nn::GaussianDropout::new(0.1, vb.pp("gaussian"))?);
        Ok(hidden.add(nn::linear(8, 3, vb.pp(1))?))
    });
    stacks("penalties on outputs", |vb| {
        let hidden = nn::seq().add(nn::linear(16, 8, vb.pp(0))?).add(ActivityRegularizer::l1_l2(0.01, 0.1));
        let hidden = hidden.add(nn::Activation::Sigmoid).add(ActivityRegularizer::l2(0.1));
        Ok(hidden.add(nn::linear(8, 3, vb.pp(1))?))
    });
}

#[test]
fn embeddings_have_the_same_bytes() {
    let words = Tensor::from_iter((0..120u32).map(|i| i * i % 7), &CPU).unwrap().reshape((60, 2)).unwrap();
    let labels = Tensor::from_iter((0..60u32).map(|i| i % 3), &CPU).unwrap();
    let data = TensorDataset::classification(words, &labels).unwrap();
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let words = nn::seq().add(nn::embedding(7, 4, vb.pp("words"))?).add_fn(|x| x.flatten_from(1));
        Ok(words.add(nn::linear(8, 3, vb.pp("out"))?))
    });
    assert_stacks(&trainer.epochs(3).batch_size(16), &data, &Bagging::new(3), "embedding");
}

#[test]
fn every_optimizer_and_technique_has_the_same_bytes() {
    let stacks = |name: &str, trainer: Trainer<Net>| assert_stacks(&trainer, &data(), &Bagging::new(4), name);
    for optimizer in Optimizer::registry().names() {
        stacks(optimizer, trainer().optimizer(Optimizer::registry().parse(optimizer).unwrap()));
    }
    let momentum = Sgd::new(0.05).momentum(0.9).nesterov(true);
    stacks("momentum and schedule", trainer().optimizer(momentum).schedule(Schedule::Cosine { to: 0.1 }));
    stacks("clipping", trainer().clip(Clip::Norm(0.5)));
    stacks("penalty", trainer().regularizer(Regularizer::l2(0.01)));
    stacks("constraint", trainer().constraint(Constraint::max_norm(1.)));
    stacks("averaging", trainer().averaging(Averaging::registry().parse("swa:0.5").unwrap()));
    stacks(
        "plateau",
        trainer().reduce_on_plateau(
            ReduceOnPlateau::registry().parse("reduce-on-plateau:watch=train-loss").unwrap(),
        ),
    );
    for noise in [Noise::inputs(0.1), Noise::targets(0.1), Noise::weights(0.1), Noise::gradients(0.1)] {
        stacks(&noise.to_string(), trainer().noise(noise));
    }
    stacks("accumulated gradients", trainer().accumulate(3));
    let noisy = |batch: Batch, seed: Seed| {
        let factor = seed.rng().random_range(0.5..1.5);
        Ok(Batch { inputs: (batch.inputs.only()? * factor)?.into(), ..batch })
    };
    stacks("own transform", trainer().augment_with("noisy", noisy));
    stacks("scaling", trainer().input_scaling(Scaling::Standardize));
    stacks("monitor", trainer().monitor(Monitor::default().every(3)));
    stacks("freeze", trainer().freeze(Freeze::parse("1").unwrap()));
    stacks("freeze biases", trainer().freeze(Freeze::names_like(["*.bias"])));
    stacks("freeze weights", trainer().freeze(Freeze::names_like(["*.weight"])));
    stacks("unfreeze", trainer().freeze(1).unfreeze(2));
    let groups = "group:0.*:0.1:weight-decay=0.1,group:*.bias:2:schedule=linear/0.1";
    stacks("groups", trainer().parameter_groups(ParameterGroups::parse(groups).unwrap()).layer_decay(0.7));
    stacks("scaled loss", trainer().loss_scale(LossScale::registry().parse("dynamic").unwrap()));
    stacks("batch size", trainer().batch_size(BatchSize::Doubling { from: 8, every: 1, max: 32 }));
    stacks("order of the rows", trainer().shuffle(false));
    let (rows, double) = (data(), candle_core::DType::F64);
    let x = rows.inputs().only().unwrap().to_dtype(double).unwrap();
    let rows = TensorDataset::classification(x, rows.targets()).unwrap();
    assert_stacks(&trainer().dtype(double), &rows, &Bagging::new(4), "double precision");
}

#[test]
fn members_that_start_alike_have_the_same_bytes() {
    let (first, data) = (trainer(), data());
    let pool = Session::new(&first, &data).fit(&MultiRun::new(1), 3).unwrap();
    let start = WarmStart::new(pool.members()[0].weights.clone()).unwrap();
    assert_stacks(&trainer().warm_start(start), &data, &Bagging::new(3), "warm start");
}

#[test]
fn values_weights_and_two_classes_have_the_same_bytes() {
    let one = |vb: VarBuilder<'_>| {
        let hidden = nn::seq().add(nn::linear(2, 6, vb.pp(0))?).add(nn::Activation::Tanh);
        Ok(hidden.add(nn::linear(6, 1, vb.pp(1))?))
    };
    let values = Trainer::new(one).epochs(3).batch_size(16).target_scaling(Scaling::Standardize);
    assert_stacks(&values, &line(1, 50, 0.3), &Bagging::new(3), "values");
    let flat = Trainer::new(move |vb| Ok(one(vb)?.add_fn(|x| x.squeeze(1)))).epochs(3).batch_size(16);
    assert_stacks(&flat, &line(1, 50, 0.3), &Bagging::new(3), "values without a dimension");
    let two = Trainer::new(one).epochs(3).batch_size(16);
    assert_stacks(&two, &blobs(2, 50, 2, 0.9), &Bagging::new(3), "two classes");
    let weights = (0..61).map(|i| (i % 5) as f32 / 4.).collect();
    assert_stacks(&trainer(), &data().with_weights(weights).unwrap(), &Bagging::new(3), "weights of rows");
}

#[test]
fn strategies_of_every_kind_have_the_same_bytes() {
    assert_stacks(&trainer(), &data(), &Bagging::new(4).collect(Horizontal::last(2)), "horizontal");
    assert_stacks(&trainer(), &data(), &Bagging::new(4).collect(Snapshot::new(2)), "snapshots");
    // Folds of 12 and 13 rows, so last batches of different sizes.
    assert_stacks(&trainer(), &data(), &KFold::new(5), "folds");
    let rate = |rate: f64| Settings::new().with("learning_rate", rate);
    let rates = MultiRun::new(6).settings([rate(0.01), rate(0.02), rate(0.001)]);
    assert_stacks(&trainer(), &data(), &rates, "learning rates");
    let lengths = [2, 5, 3].map(|epochs| Settings::new().with("epochs", epochs));
    assert_stacks(&trainer(), &data(), &MultiRun::new(6).settings(lengths), "numbers of epochs");
    let sizes = [7, 16].map(|size| Settings::new().with("batch_size", size));
    assert_stacks(&trainer(), &data(), &MultiRun::new(8).settings(sizes), "batch sizes");
    let subspaces = Trainer::reading(&["inputs"], |settings: &Settings, vb| {
        let inputs = settings.count("inputs")?.unwrap_or(16);
        let hidden = nn::seq().add(nn::linear(inputs, 6, vb.pp(0))?).add(nn::Activation::Relu);
        Ok(hidden.add(nn::linear(6, 3, vb.pp(1))?))
    });
    assert_stacks(&subspaces.epochs(3), &wide(), &RandomSubspace::new(3, 0.5), "subspaces");
}

/// Members with the same frozen variables share a pass. Folds of 48 and 49 rows in batches of 16 do not begin their epochs
/// together, and runs with other settings unfreeze at other epochs.
#[test]
fn members_that_are_unfrozen_at_different_times_have_the_same_bytes() {
    let net = |vb: VarBuilder<'_>| {
        let hidden = nn::seq().add(nn::linear(2, 6, vb.pp(0))?).add(nn::batch_norm(6, 1e-5, vb.pp(1))?);
        Ok(hidden.add(nn::Activation::Tanh).add(nn::linear(6, 3, vb.pp(2))?))
    };
    let trainer = Trainer::new(net).epochs(4).batch_size(16).optimizer(Optimizer::adam(1e-2));
    let frozen = trainer.freeze(Freeze::names_like(["0.*", "1.*"]));
    assert_stacks(&frozen, &data(), &Bagging::new(3), "frozen batch normalization");
    let gradual = frozen.clone().unfreeze(Unfreeze::Gradual(1));
    assert_stacks(&gradual, &data(), &KFold::new(5), "folds");
    let epochs = ["1", "gradual:2", "never", "1"].map(|text| Settings::new().with("unfreeze", text));
    let runs = MultiRun::new(8).settings(epochs);
    assert_stacks(&frozen, &data(), &runs, "different epochs");
    let averaged = gradual.averaging(Averaging::registry().parse("ema:0.5:false").unwrap());
    assert_stacks(&averaged, &data(), &Bagging::new(3), "average");
}

#[test]
fn members_stop_early_one_by_one() {
    let rule = EarlyStopping { patience: 1, ..EarlyStopping::default() };
    let data = blobs(9, 80, 3, 1.5);
    let trainer = trainer().epochs(30).optimizer(Optimizer::adam(0.05));
    let builder = MultiRun::new(6).validation(0.3);
    let stopping = trainer.clone().early_stopping(rule.clone());
    assert_stacks(&stopping, &data, &builder, "early stopping");
    let lengths = |trainer: &Trainer<Net>| {
        let pool = Session::new(trainer, &data).fit(&builder, 11).unwrap();
        pool.members().iter().map(|member| member.record.curve.len()).collect::<Vec<_>>()
    };
    let epochs = lengths(&stopping);
    assert!(epochs.iter().any(|n| *n != epochs[0]) && epochs.iter().all(|n| *n < 30), "{epochs:?}");
    let again = EarlyStopping { then: Retrain::FromScratch, ..rule.clone() };
    assert_stacks(&trainer.clone().early_stopping(again), &data, &builder, "training again");
    let by_metric = trainer.early_stopping_by(rule, Metric::parse("accuracy").unwrap());
    assert_stacks(&by_metric, &data, &builder, "early stopping by a metric");
}

/// Stops a build after a number of epochs.
struct After(AtomicUsize);

impl Observer for After {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::EpochEnded { .. } if self.0.fetch_sub(1, Ordering::SeqCst) == 1 => Flow::Stop,
            _ => Flow::Continue,
        }
    }
}

#[test]
fn a_build_that_is_interrupted_anywhere_goes_on_to_the_same_bytes() {
    let net = |vb: VarBuilder<'_>| {
        let hidden = nn::seq().add(nn::linear(2, 6, vb.pp(0))?).add(nn::batch_norm(6, 1e-5, vb.pp(1))?);
        let hidden = hidden.add(nn::Activation::Relu).add(nn::Dropout::new(0.2, vb.pp(2))?);
        Ok(hidden.add(nn::linear(6, 3, vb.pp(3))?))
    };
    let (trainer, data) = (Trainer::new(net).epochs(4).batch_size(16), data());
    let session = Session::new(&trainer, &data).checkpoints(Checkpoints::Epochs(1));
    let plan = session.plan(&Bagging::new(5), 3).unwrap();
    let expected = bytes(session.clone().executor(&Sequential).train(&plan).unwrap().members());
    let executors: [&dyn Executor; 3] =
        [&Stacked::new(1).unwrap(), &Stacked::new(2).unwrap(), &Threads::new(2).unwrap()];
    for epochs in 1..20 {
        let (store, stop) = (MemoryStore::new(), After(AtomicUsize::new(epochs)));
        let session = session.clone().store(&store);
        let cut = session.clone().executor(executors[epochs % 2]).observer(&stop).train(&plan);
        assert!(matches!(cut, Err(Error::Cancelled { .. })), "{epochs}");
        // One by one, what was begun side by side, and the other way round.
        let pool = session.executor(executors[epochs % 3]).train(&plan).unwrap();
        assert_eq!(bytes(pool.members()), expected, "after {epochs} epochs");
    }
}

#[test]
fn shards_of_stacked_runs_have_the_same_bytes() {
    let (trainer, data, store) = (trainer(), data(), MemoryStore::new());
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&Bagging::new(7), 3).unwrap();
    let expected = bytes(session.train(&plan).unwrap().members());
    let (stacked, told) = (Stacked::new(1).unwrap(), Told::default());
    for index in 0..2 {
        let shard = Shard::new(index, 2, &stacked).unwrap();
        session.clone().executor(&shard).store(&store).observer(&told).build(&plan).unwrap();
    }
    told.assert_stacked(7, "shards");
    assert_eq!(bytes(session.store(&store).load(&plan).unwrap().members()), expected);
}

/// A model that knows nothing of this crate's layers in its forward pass.
struct OwnScale(nn::Linear, Tensor);

impl Module for OwnScale {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        x.apply(&self.0)?.broadcast_mul(&self.1)
    }
}

/// Subtracts the means of the batch.
struct Centred(nn::Linear);

impl ModuleT for Centred {
    fn forward_t(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        let x = if train { x.broadcast_sub(&x.mean_keepdim(0)?)? } else { x.clone() };
        x.apply(&self.0)
    }
}

fn reason<N: Network + 'static>(new: fn(VarBuilder<'static>) -> CandleResult<N>) -> String {
    let trainer = Trainer::new(new).epochs(3).batch_size(16);
    compared(&trainer, &data(), &Bagging::new(4), "not stacked").reason(4)
}

#[test]
fn a_network_that_cannot_be_stacked_is_trained_one_by_one_and_the_observer_is_told_why() {
    let candles = reason(|vb| Ok(candle_nn::seq().add(linear(2, 3, vb.pp("candles"))?)));
    assert!(
        candles.contains("its outputs for a batch of several members are not those of each member"),
        "{candles}"
    );
    assert!(candles.contains("`candles.bias`, `candles.weight`"), "{candles}");
    let own = reason(|vb| Ok(OwnScale(nn::linear(2, 3, vb.pp("in"))?, vb.get(3, "scale")?)));
    assert!(own.contains("`scale`") && !own.contains("`in.weight`"), "{own}");
    let centred = reason(|vb| Ok(Centred(nn::linear(2, 3, vb)?)));
    assert!(centred.contains("are not those of each member"), "{centred}");
    let computed = reason(|vb| Ok(nn::Linear::new((vb.get((3, 2), "half")? * 0.5)?, None)));
    assert!(computed.contains("computed from variables"), "{computed}");
    let turned = reason(|vb| {
        let layers = nn::seq().add_fn(|x| x.t()).add_fn(|x| x.t()).add(nn::linear(2, 3, vb)?);
        Ok(layers.add_fn(|x| x.reshape((x.dim(0)?.min(16), 3))))
    });
    assert!(turned.contains("hape mismatch"), "{turned}");
    let drop_connect = reason(|vb| Ok(nn::seq().add(nn::DropConnect::new(2, 3, 0.2, vb)?)));
    assert!(drop_connect.contains("`weight`") || drop_connect.contains("random numbers"), "{drop_connect}");
}

/// The gradient of its weights is halved where the batch is large.
struct Large(nn::Linear);

impl ModuleT for Large {
    fn forward_t(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        let y = x.apply(&self.0)?;
        match train && x.dim(0)? > 16 {
            true => (&y * 0.5)? + (y.detach() * 0.5)?,
            false => Ok(y),
        }
    }
}

#[test]
fn gradients_are_compared_as_well() {
    let large = reason(|vb| Ok(Large(nn::linear(2, 3, vb)?)));
    assert!(large.contains("its gradients for a batch of several members"), "{large}");
}

#[test]
fn learners_and_runs_that_cannot_be_together_are_told_so() {
    let custom = CustomLoop::new("once", |vb| nn::linear(2, 3, vb), |_, _| Ok(()));
    let told = compared(&custom, &data(), &Bagging::new(3), "custom loop");
    assert_eq!(told.reason(3), "its learner trains one network at a time");
    let widths = [4, 5, 6].map(|width| Settings::new().with("width", width));
    let trainer = Trainer::reading(&["width"], |settings: &Settings, vb| {
        let width = settings.count("width")?.unwrap_or(2);
        Ok(nn::seq().add(nn::linear(2, width, vb.pp(0))?).add(nn::linear(width, 3, vb.pp(1))?))
    });
    let told = compared(&trainer.epochs(2), &data(), &MultiRun::new(3).settings(widths), "widths");
    assert_eq!(told.reason(3), "no other run of its group has the same network");
}

fn failure<N: Network>(trainer: &Trainer<N>, data: &TensorDataset, executor: &dyn Executor) -> Error {
    let session = Session::new(trainer, data).executor(executor);
    session.fit(&Bagging::new(4), 11).map(|_| ()).unwrap_err()
}

#[test]
fn errors_are_those_of_one_by_one() {
    let (data, stacked) = (data(), Stacked::new(1).unwrap());
    let same = |trainer: &Trainer<Net>, data: &TensorDataset| {
        let errors =
            [&Sequential as &dyn Executor, &stacked].map(|executor| failure(trainer, data, executor));
        let [alone, together] = errors.each_ref().map(ToString::to_string);
        assert_eq!(alone, together);
        errors.into_iter().next_back().unwrap()
    };
    let wild = trainer().epochs(40).optimizer(Sgd::new(1e12));
    assert!(matches!(same(&wild, &data), Error::Diverged { .. }));
    let unreached = Trainer::new(|vb: VarBuilder<'_>| {
        let unused = nn::linear(2, 3, vb.pp("unused"))?;
        drop(unused);
        mlp(vb)
    });
    assert!(matches!(same(&unreached, &data), Error::NoGradient { .. }));
    let narrow = Trainer::new(|vb: VarBuilder<'_>| Ok(nn::seq().add(nn::linear(2, 2, vb)?)));
    let e = same(&narrow, &data).to_string();
    assert!(e.contains("must be [32, 3] for 3 classes"), "{e}");
}

/// One member diverges, and the others are finished all the same.
#[test]
fn a_member_that_diverges_leaves_the_others_as_they_are() {
    let (trainer, data) = (trainer(), data());
    let rate = |rate: f64| Settings::new().with("learning_rate", rate);
    let strategy = MultiRun::new(4).settings([rate(0.01), rate(0.02), rate(1e30), rate(0.03)]);
    let members = |executor: &dyn Executor| {
        let store = MemoryStore::new();
        let session = Session::new(&trainer, &data).executor(executor).store(&store);
        let plan = session.plan(&strategy, 3).unwrap();
        let Err(e) = session.build(&plan) else { panic!("did not diverge") };
        let Err(Error::Incomplete { missing, .. }) = session.load(&plan) else { panic!("complete") };
        (e.to_string(), missing)
    };
    let (e, missing) = members(&Sequential);
    assert_eq!(missing, [2], "{e}");
    assert_eq!(members(&Stacked::new(1).unwrap()), (e, missing));
}

#[test]
fn groups_need_not_have_all_members() -> Result<()> {
    let (trainer, data, told) = (trainer(), data(), Told::default());
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&Bagging::new(7), 3)?;
    let expected = bytes(session.train(&plan)?.members());
    let stacked = Stacked::new(1)?.members(3)?;
    let pool = session.executor(&stacked).observer(&told).train(&plan)?;
    assert_eq!(bytes(pool.members()), expected);
    let told = told.take();
    assert_eq!(told.values().map(|told| told[0].clone().unwrap()).collect::<Vec<_>>(), [3, 3, 3, 2, 2, 2, 2]);
    Ok(())
}
