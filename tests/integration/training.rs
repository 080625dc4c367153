//! The ready-made trainer, compared with closed forms in f64, with candle's own optimizer, and with the rows
//! that it requests from its data set.
use crate::common::{bits, blobs, bytes, distance, flat, line, listed, weights, Recording, CPU};
use candle_core::{DType, Device, Module, Result as CandleResult, Tensor, D};
use candle_ensemble::{
    combine::Mean,
    data::{Dataset, LastBatch, TensorDataset},
    exec::{Sequential, Threads},
    metrics::{Metric, Score},
    nn::{self, seq},
    observe::Event,
    plan::{Settings, *},
    registry::Tasks,
    store::EpochRecord,
    strategy::{Bagging, EnsembleBuilder, MultiRun},
    train::*,
    weights::WeightFilter,
    AnyNetwork, Error, Member, Network, Pool, Session,
};
use candle_nn::{
    batch_norm, linear, ops, Activation, BatchNorm, Init, Linear, Optimizer as _, ParamsAdamW, VarBuilder,
};
use std::sync::Mutex;

type Mlp = candle_ensemble::nn::Sequential;

fn mlp(inputs: usize, hidden: usize, outputs: usize, vb: VarBuilder<'_>) -> CandleResult<Mlp> {
    let layers = seq().add(linear(inputs, hidden, vb.pp("hidden"))?).add(Activation::Relu);
    Ok(layers.add(linear(hidden, outputs, vb.pp("out"))?))
}

/// A linear layer with known initial values: weights 0.5, bias 0.25.
fn known(vb: VarBuilder<'_>) -> CandleResult<Linear> {
    let weight = vb.get_with_hints((1, 2), "weight", Init::Const(0.5))?;
    Ok(Linear::new(weight, Some(vb.get_with_hints(1, "bias", Init::Const(0.25))?)))
}

fn train<'a, L: Learner>(
    learner: &'a L,
    data: &'a dyn Dataset,
    builder: &dyn EnsembleBuilder,
) -> candle_ensemble::Result<Pool<'a, L>> {
    Session::new(learner, data).executor(&Sequential).fit(builder, 42)
}

/// Trains one network on all rows.
fn one<L: Learner>(learner: &L, data: &dyn Dataset) -> Member {
    train(learner, data, &MultiRun::new(1)).unwrap().members()[0].clone()
}

fn error<L: Learner>(learner: &L, data: &dyn Dataset, builder: &dyn EnsembleBuilder) -> Error {
    match train(learner, data, builder) {
        Ok(_) => panic!("trained, in place of an error"),
        Err(e) => e,
    }
}

fn close(member: &Member, expected: [f64; 3], tolerance: f64) {
    let got = [flat(&member.weights["weight"]), flat(&member.weights["bias"])].concat();
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < tolerance, "{got}, not {expected}");
    }
}

// ---- Closed forms.

/// The rows of a data set with two columns, in f64.
fn rows(data: &TensorDataset) -> Vec<([f64; 2], f64)> {
    let (x, y) = (flat(data.inputs().only().unwrap()), flat(data.targets()));
    x.chunks(2).zip(y).map(|(x, y)| ([x[0], x[1]], y)).collect()
}

fn wide(data: &TensorDataset) -> TensorDataset {
    let x = data.inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    TensorDataset::regression(x, &data.targets().to_dtype(DType::F64).unwrap()).unwrap()
}

fn output(w: [f64; 3], x: [f64; 2]) -> f64 {
    w[0] * x[0] + w[1] * x[1] + w[2]
}

/// `Σ slope(row) · (x₀, x₁, 1) / rows`.
fn gradient(batch: &[([f64; 2], f64)], slope: impl Fn([f64; 2], f64) -> f64) -> [f64; 3] {
    let mut sum = [0.; 3];
    for (x, y) in batch {
        let slope = slope(*x, *y) / batch.len() as f64;
        sum = [sum[0] + slope * x[0], sum[1] + slope * x[1], sum[2] + slope];
    }
    sum
}

#[test]
fn gradient_descent_on_a_line_follows_the_recursion() {
    let data = wide(&line(1, 12, 0.3));
    let rows = rows(&data);
    for epochs in [1, 2, 25] {
        let trainer = Trainer::new(known).dtype(DType::F64).optimizer(Optimizer::sgd(0.1));
        let member = one(&trainer.batch_size(12).epochs(epochs), &data);
        let mut w = [0.5, 0.5, 0.25];
        for _ in 0..epochs {
            let g = gradient(&rows, |x, y| 2. * (output(w, x) - y));
            w = [0, 1, 2].map(|i| w[i] - 0.1 * g[i]);
        }
        close(&member, w, 1e-12);
        let loss = rows.iter().map(|(x, y)| (output(w, *x) - y).powi(2)).sum::<f64>() / 12.;
        assert!(epochs < 25 || loss < 0.2, "the oracle itself learns: {loss}");
    }
}

/// Batches of 5, 5 and 2 rows in order; the learning rate is halved after every second epoch.
#[test]
fn momentum_a_short_batch_and_a_schedule_follow_the_recursion() {
    let data = wide(&line(2, 12, 0.3));
    let rows = rows(&data);
    let trainer = Trainer::new(known)
        .dtype(DType::F64)
        .optimizer(Sgd::new(0.05).momentum(0.9))
        .schedule(Schedule::Step { every: 2, factor: 0.5 }.per(Unit::Epoch))
        .shuffle(false)
        .batch_size(5)
        .epochs(7);
    let member = one(&trainer, &data);
    let (mut w, mut velocity) = ([0.5, 0.5, 0.25], [0.; 3]);
    for (epoch, record) in member.record.curve.iter().enumerate() {
        let rate = 0.05 * 0.5f64.powi(epoch as i32 / 2);
        assert!((record.learning_rate - rate).abs() < 1e-15, "epoch {epoch}: {}", record.learning_rate);
        for batch in rows.chunks(5) {
            let g = gradient(batch, |x, y| 2. * (output(w, x) - y));
            velocity = [0, 1, 2].map(|i| 0.9 * velocity[i] + g[i]);
            w = [0, 1, 2].map(|i| w[i] - rate * velocity[i]);
        }
    }
    assert_eq!(member.record.curve.len(), 7);
    close(&member, w, 1e-12);
}

/// Two classes with one logit are logistic regression.
#[test]
fn one_logit_is_logistic_regression() {
    let classes = blobs(3, 20, 2, 0.8);
    let x = classes.inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    let data = TensorDataset::classification(x, classes.targets()).unwrap();
    let rows = rows(&data);
    let mut w = [0.5, 0.5, 0.25];
    for _ in 0..15 {
        let g = gradient(&rows, |x, y| 1. / (1. + (-output(w, x)).exp()) - y);
        w = [0, 1, 2].map(|i| w[i] - 0.5 * g[i]);
    }
    let configured = |trainer: Trainer<AnyNetwork>| {
        trainer.dtype(DType::F64).optimizer(Optimizer::sgd(0.5)).batch_size(20).epochs(15)
    };
    let column = configured(Trainer::new(|vb| Ok(AnyNetwork::new(known(vb)?))));
    let flattened =
        configured(Trainer::new(|vb| Ok(AnyNetwork::new(seq().add(known(vb)?).add_fn(|z| z.squeeze(1))))));
    let (a, b) = (one(&column, &data), one(&flattened, &data));
    close(&a, w, 1e-12);
    assert_eq!(weights(&a), weights(&b), "(B, 1) and (B,) are the same");

    let ensemble = train(&column, &data, &MultiRun::new(1)).unwrap().combine(&Mean).unwrap();
    let p = ensemble.predict_proba(data.inputs()).unwrap();
    assert_eq!(p.dims(), [20, 2]);
    for (p, (x, _)) in flat(&p).chunks(2).zip(&rows) {
        assert!((p[1] - 1. / (1. + (-output(w, *x)).exp())).abs() < 1e-12);
        assert!((p[0] + p[1] - 1.).abs() < 1e-12);
    }
}

// ---- candle's own loop.

#[test]
fn adamw_agrees_with_candles_own_in_a_manual_loop() {
    let data = blobs(4, 60, 3, 0.6);
    let by_hand = CustomLoop::new(
        "candle's AdamW",
        |vb| mlp(2, 8, 3, vb),
        |network, run| {
            let params = ParamsAdamW { lr: 5e-3, weight_decay: 0.1, ..ParamsAdamW::default() };
            let mut optimizer = candle_nn::AdamW::new(run.vars().all_vars(), params)?;
            for epoch in 0..10 {
                for batch in run.batches(epoch, 16) {
                    let batch = batch?;
                    let logits = network.forward(batch.inputs.only()?)?;
                    optimizer.backward_step(&candle_nn::loss::cross_entropy(&logits, &batch.targets)?)?;
                }
            }
            Ok(())
        },
    );
    let trainer =
        Trainer::new(|vb| mlp(2, 8, 3, vb)).optimizer(Optimizer::adamw(5e-3, 0.1)).batch_size(16).epochs(10);
    // candle decays biases too.
    let trainer = trainer.decay_on(WeightFilter::All);
    let ours = train(&trainer, &data, &Bagging::new(3)).unwrap();
    let theirs = train(&by_hand, &data, &Bagging::new(3)).unwrap();
    for (a, b) in ours.members().iter().zip(theirs.members()) {
        assert_eq!(a.record.seen, b.record.seen);
        for (name, weight) in &a.weights {
            let off = distance(weight, &b.weights[name]);
            assert!(off < 1e-5, "run {}, {name}: off by {off}", a.record.run);
        }
    }
}

// ---- Rows.

fn sorted(mut rows: Vec<u32>) -> Vec<u32> {
    rows.sort_unstable();
    rows
}

#[test]
fn every_epoch_has_the_rows_of_the_plan_in_another_order() {
    let data = Recording::new(line(5, 60, 0.1));
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).batch_size(32).epochs(4);
    let session = Session::new(&trainer, &data).executor(&Sequential);
    for builder in [&MultiRun::new(2) as &dyn EnsembleBuilder, &Bagging::new(2)] {
        let plan = session.plan(builder, 42).unwrap();
        data.take();
        session.train(&plan).unwrap();
        let asked = data.take();
        let sizes: Vec<_> = asked.iter().map(Vec::len).collect();
        assert_eq!(sizes, [32, 28].repeat(2 * 4), "the short batch is kept");
        for (run, batches) in plan.runs.iter().zip(asked.chunks(2 * 4)) {
            let epochs: Vec<Vec<u32>> = batches.chunks(2).map(<[_]>::concat).collect();
            for (i, epoch) in epochs.iter().enumerate() {
                assert_eq!(sorted(epoch.clone()), listed(&run.train), "run {}", run.id);
                assert_ne!(*epoch, listed(&run.train), "shuffled");
                assert!(epochs[..i].iter().all(|before| before != epoch), "anew each epoch");
            }
        }
        assert_ne!(asked[..8], asked[8..], "each run in an order of its own");
    }
    let in_order = Trainer::new(|vb| linear(2, 1, vb)).batch_size(25).epochs(2).shuffle(false);
    one(&in_order, &data);
    let all: Vec<u32> = (0..60).collect();
    assert_eq!(data.take(), [&all[..25], &all[25..50], &all[50..]].repeat(2));
}

// ---- Early stopping.

/// Few rows, much noise and many weights, so that the validation loss soon rises.
fn overfits() -> (TensorDataset, Trainer<Mlp>) {
    let trainer = Trainer::new(|vb| mlp(2, 32, 1, vb)).optimizer(Optimizer::adam(2e-2)).batch_size(8);
    (line(6, 50, 2.), trainer.epochs(200))
}

fn valid_losses(member: &Member) -> Vec<f64> {
    member.record.curve.iter().map(|epoch| epoch.valid_loss.unwrap()).collect()
}

/// The mean squared error of a member on these rows, computed independently.
fn squared_error(trainer: &Trainer<Mlp>, member: &Member, data: &TensorDataset, rows: &[u32]) -> f64 {
    let tensors = member.weights.clone().into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &CPU);
    let network = trainer.build("model", &Settings::new(), vb).unwrap();
    let batch = data.batch(rows, &CPU).unwrap();
    let predicted = network.forward(batch.inputs.only().unwrap()).unwrap();
    let errors = flat(&predicted).into_iter().zip(flat(&batch.targets)).map(|(a, b)| (a - b).powi(2));
    errors.sum::<f64>() / rows.len() as f64
}

#[test]
fn early_stopping_keeps_the_best_epoch_and_waits_for_its_patience() {
    for patience in [1, 4] {
        for restore_best in [true, false] {
            let (data, trainer) = overfits();
            let trainer =
                trainer.early_stopping(EarlyStopping { patience, restore_best, ..EarlyStopping::default() });
            let builder = MultiRun::new(3).validation(0.3);
            let plan = Session::new(&trainer, &data).plan(&builder, 42).unwrap();
            let pool = train(&trainer, &data, &builder).unwrap();
            for (run, member) in plan.runs.iter().zip(pool.members()) {
                let losses = valid_losses(member);
                let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
                assert!(losses.len() < 200, "it stops at all");
                assert_eq!(losses.len(), best + 1 + patience, "run {}", run.id);
                // It never waited that long before.
                let mut lowest = f64::INFINITY;
                let mut waited = 0;
                for loss in &losses[..losses.len() - 1] {
                    waited = if *loss < lowest { 0 } else { waited + 1 };
                    lowest = lowest.min(*loss);
                    assert!(waited < patience);
                }

                let kept = if restore_best { best } else { losses.len() - 1 };
                let again = squared_error(&trainer, member, &data, &listed(&run.valid));
                assert!((again - losses[kept]).abs() < 1e-5 * again, "{again}, not {}", losses[kept]);
                // The weights are those of a training that ends at this epoch.
                let (_, shorter) = overfits();
                let shorter = shorter.epochs(kept + 1);
                let shorter = train(&shorter, &data, &builder).unwrap();
                assert_eq!(weights(member), weights(&shorter.members()[run.id]));
            }
        }
    }
}

#[test]
fn validation_rows_are_watched_and_never_fitted() {
    let (data, trainer) = overfits();
    let data = Recording::new(data);
    let trainer = trainer.epochs(3).early_stopping(EarlyStopping::default());
    for builder in
        [&MultiRun::new(1).validation(0.3) as &dyn EnsembleBuilder, &Bagging::new(1).validation(0.3)]
    {
        let plan = Session::new(&trainer, &data).plan(builder, 42).unwrap();
        let (rows, valid) = (listed(&plan.runs[0].train), listed(&plan.runs[0].valid));
        data.take();
        let pool = train(&trainer, &data, builder).unwrap();
        let batches = rows.len().div_ceil(8);
        for epoch in data.take().chunks(batches + 1) {
            assert_eq!(sorted(epoch[..batches].concat()), rows);
            assert_eq!(epoch[batches], valid, "all of them, once, after the epoch");
        }
        assert!(!valid.is_empty() && valid.iter().all(|row| !rows.contains(row)));
        assert!(valid.iter().all(|row| pool.members()[0].record.seen.contains(*row)), "they count as seen");
    }
}

/// The values that the metric has after the epochs of one run.
#[derive(Debug)]
struct Scripted {
    values: Vec<f64>,
    higher_is_better: bool,
    calls: Mutex<usize>,
}

impl Score for Scripted {
    fn name(&self) -> String {
        "scripted".into()
    }

    fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    fn tasks(&self) -> Tasks {
        Tasks::Regression
    }

    fn compute(
        &self,
        predicted: &Tensor,
        targets: &Tensor,
        weights: Option<&[f64]>,
    ) -> candle_ensemble::Result<f64> {
        assert_eq!(predicted.dims(), targets.dims());
        assert_eq!((targets.dims(), weights), (&[15][..], None), "all validation rows at once");
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        Ok(self.values[*calls - 1])
    }
}

#[test]
fn early_stopping_watches_the_users_metric_in_its_direction() {
    let builder = MultiRun::new(1).validation(0.3);
    let falling = vec![3., 1., 2., 2., 0.5];
    let rising: Vec<f64> = falling.iter().map(|value| -value).collect();
    for (values, higher_is_better) in [(falling, false), (rising, true)] {
        for restore_best in [true, false] {
            // The best of the first four epochs is epoch 1, and epochs 2 and 3 are no better.
            let metric = Scripted { values: values.clone(), higher_is_better, calls: Mutex::default() };
            let rule = EarlyStopping { patience: 2, restore_best, ..EarlyStopping::default() };
            let (data, trainer) = overfits();
            let trainer = trainer.early_stopping_by(rule, metric);
            let stopped = train(&trainer, &data, &builder).unwrap().members()[0].clone();
            let recorded: Vec<_> =
                stopped.record.curve.iter().map(|epoch| epoch.valid_metric.unwrap()).collect();
            assert_eq!(recorded, values[..4]);
            let (_, shorter) = overfits();
            let shorter = shorter.epochs(if restore_best { 2 } else { 4 });
            let shorter = train(&shorter, &data, &builder).unwrap();
            assert_eq!(weights(&stopped), weights(&shorter.members()[0]));
        }
    }
}

#[test]
fn early_stopping_watches_a_metric_by_name() {
    let data = blobs(18, 60, 3, 0.9);
    let new = || Trainer::new(|vb| mlp(2, 8, 3, vb)).optimizer(Optimizer::adam(1e-2)).batch_size(8);
    let builder = MultiRun::new(1).validation(0.3);
    let valid = Session::new(&new(), &data).plan(&builder, 42).unwrap().runs.remove(0).valid;
    let batch = data.batch(&listed(&valid), &CPU).unwrap();
    for (name, higher_is_better) in [("roc-auc", true), ("ece", false), ("balanced-accuracy", true)] {
        let rule = EarlyStopping { patience: 3, metric: Some(name.into()), ..EarlyStopping::default() };
        let trainer = new().epochs(60).early_stopping(rule);
        let member = train(&trainer, &data, &builder).unwrap().members()[0].clone();
        let recorded: Vec<_> = member.record.curve.iter().map(|epoch| epoch.valid_metric.unwrap()).collect();
        // The metric of the networks after each epoch, which a training of so many epochs gives.
        let metric = Metric::parse(name).unwrap();
        let value = |member: &Member| {
            let vb = VarBuilder::from_tensors(member.weights.clone().into_iter().collect(), DType::F32, &CPU);
            let network = trainer.build("model", &Settings::new(), vb).unwrap();
            let probs = ops::softmax(&network.forward(batch.inputs.only().unwrap()).unwrap(), 1).unwrap();
            metric.compute(&probs, &batch.targets, None).unwrap()
        };
        let loss = |value: &f64| if higher_is_better { -value } else { *value };
        let (mut best, mut waited, mut expected) = (f64::INFINITY, 0, vec![]);
        for epochs in 1..=60 {
            let after = value(&train(&new().epochs(epochs), &data, &builder).unwrap().members()[0]);
            expected.push(after);
            waited = if loss(&after) < best { 0 } else { waited + 1 };
            best = best.min(loss(&after));
            if waited == 3 {
                break;
            }
        }
        assert_eq!(recorded.len(), expected.len(), "{name}: {recorded:?}");
        assert!(
            recorded.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{recorded:?} {expected:?}"
        );
        assert!((loss(&value(&member)) - best).abs() < 1e-6, "{name}: the weights of the best epoch");
    }
}

#[test]
fn the_metric_of_early_stopping_is_checked_before_the_training() {
    let (data, trainer) = overfits();
    let builder = MultiRun::new(1).validation(0.3);
    let rule = |name: &str| EarlyStopping { metric: Some(name.into()), ..EarlyStopping::default() };
    let fails = |trainer: Trainer<Mlp>| error(&trainer, &data, &builder).to_string();
    let e = fails(trainer.early_stopping(rule("maee")));
    assert!(e.contains("did you mean mae?"), "{e}");
    let e = fails(overfits().1.early_stopping(rule("accuracy")));
    assert!(e.contains("the task of the metric accuracy must be classification"), "{e}");
    let metric = Scripted { values: vec![f64::NAN], higher_is_better: true, calls: Mutex::default() };
    let e = fails(overfits().1.early_stopping_by(EarlyStopping::default(), metric));
    assert!(e.contains("the metric scripted of the validation rows") && e.contains("after epoch 0"), "{e}");
    let tags = ["mae", "r2"].map(|name| overfits().1.early_stopping(rule(name)).tag());
    assert_ne!(tags[0], tags[1], "members of another metric are other members");
}

#[test]
fn early_stopping_needs_validation_rows_and_parameters_in_range() {
    let (data, trainer) = overfits();
    let e = error(&trainer.early_stopping(EarlyStopping::default()), &data, &MultiRun::new(2)).to_string();
    assert!(e.contains("validation") && e.contains("run 0"), "{e}");
    for (rule, name) in [
        (EarlyStopping { patience: 0, ..Default::default() }, "patience"),
        (EarlyStopping { min_delta: f64::NAN, ..Default::default() }, "min_delta"),
    ] {
        let (data, trainer) = overfits();
        let e = error(&trainer.early_stopping(rule), &data, &MultiRun::new(1).validation(0.3)).to_string();
        assert!(e.contains(name), "{e}");
    }
}

// ---- Failing runs.

#[test]
fn a_loss_that_is_not_finite_is_an_error_with_its_epoch_and_batch() {
    let data = line(7, 20, 0.1);
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).optimizer(Optimizer::sgd(0.01)).batch_size(5).epochs(3);
    let rates = [0.01, 1e25].map(|rate| Settings::new().with("learning_rate", rate));
    let e = error(&trainer, &data, &MultiRun::new(2).settings(rates));
    assert!(matches!(e, Error::Diverged { run: 1, epoch: 0, batch: 1, learning_rate: 1e25, .. }), "{e:?}");
    let message = e.to_string();
    for part in ["run 1", "epoch 0", "batch 1", "learning rate", "10000000000000000000000000", "inf"] {
        assert!(message.contains(part), "{message} does not say {part}");
    }
}

/// No later loss would show it.
#[test]
fn weights_that_are_not_finite_after_the_last_step_are_an_error() {
    let data = line(7, 20, 0.1);
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).optimizer(Optimizer::sgd(1e300));
    let e = error(&trainer.batch_size(20).epochs(1), &data, &MultiRun::new(1));
    assert!(matches!(e, Error::Diverged { run: 0, epoch: 0, batch: 0, .. }), "{e:?}");
}

/// A used layer, an unused one, and batch norm, whose statistics never get a gradient.
struct Forgetful {
    used: Linear,
    norm: BatchNorm,
}

impl Forgetful {
    fn new(vb: VarBuilder<'_>) -> CandleResult<Self> {
        linear(2, 3, vb.pp("idle"))?;
        Ok(Self { used: linear(2, 1, vb.pp("used"))?, norm: batch_norm(1, 1e-5, vb.pp("norm"))? })
    }
}

impl candle_core::ModuleT for Forgetful {
    fn forward_t(&self, xs: &Tensor, train: bool) -> CandleResult<Tensor> {
        self.norm.forward_t(&self.used.forward(xs)?.unsqueeze(2)?, train)?.squeeze(2)
    }
}

#[test]
fn variables_that_no_gradient_reaches_are_named_unless_they_may_be_frozen() {
    let data = line(8, 20, 0.1);
    let trainer = || Trainer::new(Forgetful::new).epochs(2);
    match error(&trainer(), &data, &MultiRun::new(2)) {
        Error::NoGradient { run: 0, names, .. } => assert_eq!(names, ["idle.bias", "idle.weight"]),
        e => panic!("{e:?}"),
    }
    let frozen = one(&trainer().allow_frozen(true), &data);
    let fresh = one(&CustomLoop::new("none", Forgetful::new, |_, _| Ok(())), &data);
    for (name, weight) in &frozen.weights {
        assert_eq!(bits(weight) == bits(&fresh.weights[name]), name.starts_with("idle"), "{name}");
    }
}

#[test]
fn a_softmax_without_backward_pass_is_an_error() {
    let data = blobs(8, 30, 3, 0.5);
    let fast = |vb: VarBuilder<'_>| Ok(seq().add(linear(2, 3, vb)?).add_fn(ops::softmax_last_dim));
    let e = error(&Trainer::new(fast).epochs(1), &data, &MultiRun::new(1)).to_string();
    assert!(e.contains("bias, weight") && e.contains("softmax_last_dim"), "{e}");
}

#[test]
fn an_error_of_a_custom_loop_names_the_run_and_has_no_backtrace() {
    let data = line(9, 20, 0.1);
    let learner = CustomLoop::new(
        "fails",
        |vb| linear(2, 1, vb),
        |_, run| match run.spec().id {
            2 => Err(candle_core::Error::WithBacktrace {
                inner: Box::new(candle_core::Error::Msg("the cable is out".into())),
                backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
            }),
            _ => Ok(()),
        },
    );
    for threads in [1, 3] {
        let session = Session::new(&learner, &data);
        let threads = Threads::new(threads).unwrap();
        let e = session.executor(&threads).fit(&MultiRun::new(4), 1).map(|_| ()).unwrap_err();
        assert_eq!(e.to_string(), "run 2: the cable is out");
    }

    let of_ours = CustomLoop::new(
        "fails",
        |vb| linear(2, 1, vb),
        |_, run| Err(run.fail(Error::invalid("the moon", "full", "new"))),
    );
    let e = error(&of_ours, &data, &MultiRun::new(1));
    assert_eq!(e.to_string(), "run 0: the moon must be full, but is new");
}

#[test]
fn a_network_of_the_wrong_width_is_an_error_that_names_the_run() {
    let data = blobs(8, 30, 3, 0.5);
    let e = error(&Trainer::new(|vb| linear(2, 2, vb)), &data, &MultiRun::new(1)).to_string();
    assert!(e.starts_with("run 0: ") && !e.contains('\n'), "{e}");
    let e = error(&Trainer::new(|vb| linear(5, 3, vb)), &data, &MultiRun::new(1)).to_string();
    assert!(e.starts_with("run 0: ") && !e.contains('\n'), "{e}");
}

// ---- Settings and architectures.

#[test]
fn settings_differ_from_run_to_run() {
    let data = blobs(10, 40, 2, 0.5);
    let width =
        |settings: &Settings, vb: VarBuilder<'_>| mlp(2, settings.count("width")?.unwrap_or(4), 2, vb);
    let trainer = || Trainer::reading(&["width"], width).epochs(2).batch_size(10);

    let list = [
        Settings::new().with("learning_rate", 0.5).with("width", 3),
        Settings::new().with("epochs", 5).with("batch_size", 40).with("label_smoothing", 0.1),
    ];
    let learner = trainer();
    let pool = train(&learner, &data, &MultiRun::new(3).settings(list.clone())).unwrap();
    let [a, b, c] = pool.members() else { panic!("three members") };
    assert_eq!(a.record.settings, list[0]);
    assert_eq!((&b.record.settings, &c.record.settings), (&list[1], &list[0]), "from the start again");
    assert_eq!([a, b, c].map(|m| m.record.curve.len()), [2, 5, 2]);
    assert_eq!([a, b, c].map(|m| m.record.curve[0].learning_rate), [0.5, 1e-3, 0.5]);
    assert_eq!([a, b, c].map(|m| m.weights["hidden.weight"].dims()[0]), [3, 4, 3]);
    assert_eq!(pool.combine(&Mean).unwrap().predict(data.inputs()).unwrap().dims(), [40]);

    // Settings from a function of the run's number. A setting has the effect of the trainer's own parameter.
    let growing = MultiRun::new(3).settings_by(|run| Settings::new().with("epochs", 1 + run as i64));
    let learner = trainer();
    let pool = train(&learner, &data, &growing).unwrap();
    for (i, member) in pool.members().iter().enumerate() {
        assert_eq!(member.record.curve.len(), 1 + i);
        let learner = trainer().epochs(1 + i);
        let plain = train(&learner, &data, &MultiRun::new(3)).unwrap();
        assert_eq!(weights(member), weights(&plain.members()[i]));
    }
}

#[test]
fn momentum_and_weight_decay_are_settings_too() {
    let data = line(10, 40, 0.5);
    let trainer = |sgd: Sgd| Trainer::new(|vb| linear(2, 1, vb)).optimizer(sgd).epochs(2);
    let with = |name: &str, value: f64| MultiRun::new(1).settings([Settings::new().with(name, value)]);
    for (name, value, own) in [
        ("momentum", 0.7, Sgd::new(0.01).momentum(0.7)),
        ("weight_decay", 0.3, Sgd::new(0.01).weight_decay(0.3)),
        ("learning_rate", 0.03, Sgd::new(0.03)),
    ] {
        let (set, own) = (trainer(Sgd::new(0.01)), trainer(own));
        let pool = train(&set, &data, &with(name, value)).unwrap();
        assert_eq!(weights(&pool.members()[0]), weights(&one(&own, &data)), "{name}");
    }
}

#[test]
fn unknown_settings_and_settings_out_of_range_are_refused() {
    let data = line(11, 20, 0.1);
    let trainer = || Trainer::reading(&["width"], |_, vb| linear(2, 1, vb));
    let message_for =
        |settings: Settings| error(&trainer(), &data, &MultiRun::new(2).settings([settings])).to_string();
    let e = message_for(Settings::new().with("learning_rat", 0.1));
    for part in ["run 0", "\"learning_rat\"", "learning_rate", "epochs", "batch_size", "width"] {
        assert!(e.contains(part), "{e} does not say {part}");
    }
    for (settings, name) in [
        (Settings::new().with("epochs", 0), "epochs"),
        (Settings::new().with("epochs", -1), "epochs"),
        (Settings::new().with("epochs", "many"), "epochs"),
        (Settings::new().with("epochs", 1i64 << 40), "epochs"),
        (Settings::new().with("batch_size", 0), "batch_size"),
        (Settings::new().with("learning_rate", -0.1), "learning_rate"),
        (Settings::new().with("learning_rate", f64::NAN), "learning_rate"),
        (Settings::new().with("weight_decay", -1.), "weight_decay"),
        (Settings::new().with("momentum", 0.5), "momentum"), // Adam has no momentum
        (Settings::new().with("label_smoothing", 0.1), "loss"), // a regression has no labels
    ] {
        let e = message_for(settings);
        assert!(e.contains(name), "{e} does not name {name}");
    }
    for (trainer, name) in [
        (trainer().epochs(0), "epochs"),
        (trainer().epochs(1 << 40), "epochs"),
        (trainer().batch_size(0), "batch_size"),
        (trainer().optimizer(Optimizer::sgd(0.)), "learning_rate"),
        (trainer().loss(Loss::CrossEntropy { smoothing: 0. }), "loss"),
        (trainer().loss(Loss::Huber { delta: -1. }), "delta"),
        (trainer().clip(Clip::Norm(0.)), "Norm"),
    ] {
        let e = error(&trainer, &data, &MultiRun::new(1)).to_string();
        assert!(e.contains(name), "{e} does not name {name}");
    }
}

#[test]
fn architectures_of_several_types_train_in_one_session() {
    let data = blobs(12, 40, 3, 0.5);
    let trainer = Trainer::new(|vb| Ok(AnyNetwork::new(linear(2, 3, vb)?)))
        .architecture("deep", |vb| Ok(AnyNetwork::new(mlp(2, 6, 3, vb)?)))
        .epochs(2);
    let pool = train(&trainer, &data, &Bagging::new(2)).unwrap();
    let names: Vec<_> = pool.members().iter().map(|m| m.record.architecture.clone()).collect();
    assert_eq!(names, ["model", "model", "deep", "deep"]);
    assert_eq!(pool.slots(), 4);
    let widths: Vec<_> = pool.members().iter().map(|m| m.weights.len()).collect();
    assert_eq!(widths, [2, 2, 4, 4]);
    let ensemble = pool.combine(&Mean).unwrap();
    assert_eq!(ensemble.member_predictions(data.inputs()).unwrap().dims(), [4, 40, 3]);
}

// ---- Weights of rows.

#[test]
fn an_integer_weight_equals_repeated_rows() {
    let times: Vec<u32> = (0..30).map(|row| row % 4).collect();
    let repeated: Vec<u32> =
        (0..30).flat_map(|row| std::iter::repeat_n(row, times[row as usize] as usize)).collect();
    for data in [line(13, 30, 1.), blobs(13, 30, 3, 0.8), blobs(14, 30, 2, 0.8)] {
        let outputs = if data.classes() == Some(3) { 3 } else { 1 };
        let trainer = Trainer::new(move |vb| mlp(2, 6, outputs, vb))
            .optimizer(Optimizer::adam(1e-2))
            .batch_size(1000)
            .epochs(20);
        let weighted = data.clone().with_weights(times.iter().map(|w| *w as f32).collect()).unwrap();
        let (a, b) = (one(&trainer, &weighted), one(&trainer, &data.subset(&repeated).unwrap()));
        let plain = one(&trainer, &data);
        let mut moved = 0f64;
        for (name, weight) in &a.weights {
            assert!(distance(weight, &b.weights[name]) < 1e-4, "{name}");
            moved = moved.max(distance(weight, &plain.weights[name]));
        }
        assert!(moved > 1e-2, "weights matter: {moved}");
        let (a, b) = (a.record.curve.last().unwrap(), b.record.curve.last().unwrap());
        assert!((a.train_loss - b.train_loss).abs() < 1e-5, "{} and {}", a.train_loss, b.train_loss);
    }
}

// ---- Learning curves.

#[test]
fn learning_curves_are_complete_and_fall_on_an_easy_problem() {
    let data = blobs(15, 60, 3, 0.2);
    let trainer = Trainer::new(|vb| mlp(2, 16, 3, vb)).optimizer(Optimizer::adam(1e-2)).epochs(25);
    for (builder, watched) in [(Bagging::new(2), false), (Bagging::new(2).validation(0.2), true)] {
        let pool = train(&trainer, &data, &builder).unwrap();
        for member in pool.members() {
            let curve: &[EpochRecord] = &member.record.curve;
            assert_eq!(curve.iter().map(|e| e.epoch).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
            assert!(curve.iter().all(|e| e.valid_loss.is_some() == watched));
            assert!(curve.iter().all(|e| e.valid_metric.is_some() == watched));
            let (first, last) = (&curve[0], &curve[24]);
            assert!(last.train_loss < 0.5 * first.train_loss, "{first:?} {last:?}");
            assert!(last.train_metric > 0.95 && last.train_metric <= 1.);
            assert!(!watched || last.valid_loss < first.valid_loss);
        }
    }
}

/// One epoch of one batch: the training figures are those of the initial weights, the validation figures
/// those of the fitted weights.
#[test]
fn the_figures_of_a_learning_curve_equal_recomputed_ones() {
    let data = line(16, 40, 0.5);
    let trainer = Trainer::new(|vb| mlp(2, 5, 1, vb)).batch_size(100).epochs(1);
    let builder = MultiRun::new(1).validation(0.25);
    let plan = Session::new(&trainer, &data).plan(&builder, 42).unwrap();
    let member = train(&trainer, &data, &builder).unwrap().members()[0].clone();
    let idle = CustomLoop::new("none", |vb| mlp(2, 5, 1, vb), |_, _| Ok(()));
    let fresh = train(&idle, &data, &builder).unwrap().members()[0].clone();

    let epoch = member.record.curve[0].clone();
    let before = squared_error(&trainer, &fresh, &data, &listed(&plan.runs[0].train));
    let after = squared_error(&trainer, &member, &data, &listed(&plan.runs[0].valid));
    for (got, expected) in [
        (epoch.train_loss, before),
        (epoch.train_metric, before.sqrt()),
        (epoch.valid_loss.unwrap(), after),
        (epoch.valid_metric.unwrap(), after.sqrt()),
    ] {
        assert!((got - expected).abs() < 1e-5 * expected, "{got}, not {expected}");
    }
}

// ---- Seeds.

#[test]
fn threads_change_nothing_and_seeds_change_everything() {
    let data = blobs(17, 60, 3, 0.5);
    let trainer = Trainer::new(|vb| mlp(2, 8, 3, vb)).epochs(3);
    let member_bytes = |threads: usize, seed: u64| {
        let threads = Threads::new(threads).unwrap();
        let pool = Session::new(&trainer, &data).executor(&threads).fit(&MultiRun::new(5), seed).unwrap();
        bytes(pool.members())
    };
    let expected = member_bytes(1, 1);
    for threads in [1, 2, 8] {
        assert_eq!(member_bytes(threads, 1), expected, "{threads} threads");
        assert!(member_bytes(threads, 2).iter().zip(&expected).all(|(a, b)| a != b));
    }
    let mut distinct = expected.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 5, "no two members are the same");
}

/// Learners that differ in anything have different tags, and so different keys in the store.
#[test]
fn tags_of_different_trainers_differ() {
    let trainer = || Trainer::new(|vb| linear(2, 1, vb));
    let others = [
        trainer(),
        trainer().epochs(31),
        trainer().batch_size(31),
        trainer().last_batch(LastBatch::Keep),
        trainer().shuffle(false),
        trainer().optimizer(Optimizer::adam(2e-3)),
        trainer().schedule(Schedule::Cosine { to: 0. }),
        trainer().loss(Loss::MeanAbsolute),
        trainer().clip(Clip::Norm(1.)),
        trainer().early_stopping(EarlyStopping::default()),
        trainer().init(candle_ensemble::weights::InitScheme::Torch),
        trainer().dtype(DType::F64),
    ];
    let mut tags: Vec<_> = others.iter().map(Learner::tag).collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), others.len());
    assert_eq!(trainer().tag(), trainer().tag());
}

// ---- Custom loops.

#[test]
fn a_custom_loop_gets_its_run() {
    let data = blobs(18, 30, 3, 0.5);
    let learner = CustomLoop::new(
        "looks around",
        |vb| linear(2, 3, vb),
        |network: &Linear, run| {
            assert!(matches!(run.device(), Device::Cpu));
            assert_eq!(run.task().width(), 3);
            assert_eq!(run.settings().real("power")?, Some(2.));
            let names: Vec<_> = run.vars().named().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["bias", "weight"]);
            assert_ne!(run.seed("dropout"), run.seed("noise"));
            let count = |batches: Vec<CandleResult<candle_ensemble::data::Batch>>| -> CandleResult<usize> {
                batches.into_iter().map(|batch| batch?.targets.dim(0)).sum()
            };
            assert_eq!(count(run.batches(0, 7).collect())?, run.train_rows().len());
            assert_eq!(count(run.batches_in_order(7).collect())?, run.train_rows().len());
            assert_eq!(count(run.validation(7).collect())?, run.valid_rows().len());
            for batch in run.batches(0, 7) {
                let batch = batch?;
                assert_eq!(network.run(&batch.inputs, true)?.dim(D::Minus1)?, 3);
            }
            run.end_epoch(EpochRecord {
                epoch: 0,
                learning_rate: 0.,
                train_loss: 1.5,
                train_metric: 0.,
                ..Default::default()
            })
        },
    );
    let settings = [Settings::new().with("power", 2.)];
    let builder = Bagging::new(2).validation(0.2).settings(settings);
    let epochs = std::sync::atomic::AtomicUsize::new(0);
    struct Count<'a>(&'a std::sync::atomic::AtomicUsize);
    impl candle_ensemble::observe::Observer for Count<'_> {
        fn notify(&self, event: &Event<'_>) -> candle_ensemble::observe::Flow {
            if let Event::EpochEnded { record, .. } = event {
                assert_eq!(record.train_loss, 1.5);
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            candle_ensemble::observe::Flow::Continue
        }
    }
    let observer = Count(&epochs);
    let pool = Session::new(&learner, &data).observer(&observer).fit(&builder, 3).unwrap();
    assert!(pool.members().iter().all(|m| m.record.curve.len() == 1));
    assert_eq!(epochs.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[test]
fn targets_of_shape_n_and_n_by_1_train_alike() {
    let data = line(19, 30, 0.5);
    let column = data.targets().unsqueeze(1).unwrap();
    let column = TensorDataset::regression(data.inputs(), &column).unwrap();
    let trainer = Trainer::new(|vb| mlp(2, 4, 1, vb)).epochs(3);
    assert_eq!(weights(&one(&trainer, &data)), weights(&one(&trainer, &column)));
}

/// Only the `use` line of a model changes: names, initial weights and, but for rounding, the trained weights
/// are those of candle's layers, and members go from one to the other.
#[test]
fn layers_of_the_library_take_the_place_of_candles() {
    let theirs = |vb: VarBuilder<'_>| mlp(2, 8, 2, vb);
    let ours = |vb: VarBuilder<'_>| {
        let hidden = nn::linear(2, 8, vb.pp("hidden"))?;
        Ok(seq().add(hidden).add(Activation::Relu).add(nn::linear(8, 2, vb.pp("out"))?))
    };
    let data = blobs(3, 60, 2, 0.5);
    for (epochs, tolerance) in [(1, 1e-5), (10, 1e-3)] {
        let set = |trainer: Trainer<Mlp>| trainer.epochs(epochs).batch_size(16);
        let (ours, theirs) = (one(&set(Trainer::new(ours)), &data), one(&set(Trainer::new(theirs)), &data));
        assert!(ours.weights.keys().eq(theirs.weights.keys()));
        for (name, weights) in &ours.weights {
            let pairs = flat(weights).into_iter().zip(flat(&theirs.weights[name]));
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < tolerance), "{name}");
        }
    }
}
