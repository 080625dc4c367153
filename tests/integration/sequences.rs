//! Members that depend on each other: order, resuming, shards, workers, and what they predict together.
use crate::common::{bits, blobs, bytes, flat, line, CPU};
use candle_core::Tensor;
use candle_ensemble::{
    combine::Mean,
    data::{Dataset, TensorDataset},
    exec::{Executor, Sequential, Shard, Stacked, Threads, Worker},
    nn::{self, Linear},
    observe::{Event, Flow, Observer},
    plan::Plan,
    sequence::*,
    store::{Checkpoints, DirectoryStore, MemoryStore},
    strategy::{self, AdaBoost, EnsembleBuilder, GradientBoosting, InSequence, KFold, MultiRun},
    train::{Optimizer, Trainer},
    Error, Pool, Result, Session,
};
use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex,
    },
    thread,
    time::Duration,
};

const EPOCHS: usize = 3;

/// A ring around a disc, which no linear model tells apart.
fn rings(seed: u64, rows: usize) -> TensorDataset {
    let one = blobs(seed, rows, 2, 1.);
    let x = one.inputs().only().unwrap().clone();
    let x = x.broadcast_sub(&x.mean(0).unwrap()).unwrap();
    let radius: Vec<f32> = x.sqr().unwrap().sum(1).unwrap().to_vec1().unwrap();
    let mut sorted = radius.clone();
    sorted.sort_by(f32::total_cmp);
    let y = Tensor::from_iter(radius.iter().map(|r| u32::from(*r > sorted[rows / 2])), &CPU).unwrap();
    TensorDataset::classification(x, &y).unwrap()
}

/// Two classes that overlap, so that a linear model is better than chance and never right everywhere.
fn overlapping() -> TensorDataset {
    blobs(3, 60, 2, 2.)
}

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb| nn::linear(2, 2, vb)).epochs(EPOCHS).batch_size(16).optimizer(Optimizer::adam(0.05))
}

/// Two sequences of four members.
fn plan(data: &TensorDataset) -> Plan {
    let trainer = trainer();
    Session::new(&trainer, data).plan(&AdaBoost::new(4).within(MultiRun::new(2)), 7).unwrap()
}

fn expected(plan: &Plan, data: &TensorDataset) -> Vec<Vec<u8>> {
    bytes(Session::new(&trainer(), data).executor(&Sequential).train(plan).unwrap().members())
}

/// Notes the order in which runs start, and stops at one of the ends of epochs.
#[derive(Default)]
struct Order {
    started: Mutex<Vec<usize>>,
    epochs: AtomicUsize,
    stop_at: Option<usize>,
}

impl Observer for Order {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::RunStarted { run } => self.started.lock().unwrap().push(run.id),
            Event::EpochEnded { .. } => {
                let epochs = self.epochs.fetch_add(1, Ordering::SeqCst);
                if self.stop_at == Some(epochs) {
                    return Flow::Stop;
                }
            }
            _ => {}
        }
        Flow::Continue
    }
}

#[test]
fn every_executor_trains_a_member_after_the_one_before_and_gives_the_same_bytes() {
    let (data, trainer) = (overlapping(), trainer());
    let plan = plan(&data);
    let expected = expected(&plan, &data);
    assert_eq!(expected.len(), 7); // one of the sequences ends early
    let (two, stacked) = (Threads::new(2).unwrap(), Stacked::new(1).unwrap());
    for executor in [&Sequential as &dyn Executor, &two, &stacked] {
        let order = Order::default();
        let session = Session::new(&trainer, &data).executor(executor).observer(&order);
        assert_eq!(bytes(session.train(&plan).unwrap().members()), expected);
        let order = order.started.into_inner().unwrap();
        for first in [0, 4] {
            let of_sequence = order.iter().filter(|run| (first..first + 4).contains(*run));
            assert!(of_sequence.copied().eq(first..first + 4), "{order:?}");
        }
    }
}

#[test]
fn a_build_that_is_stopped_at_any_epoch_goes_on_to_the_same_bytes() {
    let (data, trainer) = (overlapping(), trainer());
    let plan = plan(&data);
    let expected = expected(&plan, &data);
    for stop_at in 0..8 * EPOCHS {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(folder.path()).unwrap();
        let stopping = Order { stop_at: Some(stop_at), ..Order::default() };
        let session = Session::new(&trainer, &data).store(&store).executor(&Sequential);
        let session = session.checkpoints(Checkpoints::Epochs(1));
        let stopped = session.clone().observer(&stopping).build(&plan);
        assert!(matches!(stopped, Err(Error::Cancelled { .. })), "{stop_at}: {stopped:?}");
        // Another process, which knows nothing but what is in the store.
        let store = DirectoryStore::new(folder.path()).unwrap();
        let pool = session.store(&store).train(&plan).unwrap();
        assert_eq!(bytes(pool.members()), expected, "stopped at {stop_at}");
    }
}

#[test]
fn a_sequence_belongs_to_one_shard() -> Result<()> {
    let (data, trainer) = (overlapping(), trainer());
    let plan = plan(&data);
    let store = MemoryStore::new();
    let session = Session::new(&trainer, &data).store(&store);
    let second = Shard::new(1, 2, &Sequential)?;
    session.clone().executor(&second).build(&plan)?;
    let missing = session.load(&plan).err().unwrap();
    assert!(
        matches!(&missing, Error::Incomplete { missing, of: 8 } if *missing == [0, 1, 2, 3]),
        "{missing}"
    );
    let status = session.status(&plan)?;
    assert_eq!((status.done.to_string(), status.waiting.to_string()), ("4–7".into(), "0–3".into()));
    let first = Shard::new(0, 2, &Sequential)?;
    session.clone().executor(&first).build(&plan)?;
    assert_eq!(bytes(session.load(&plan)?.members()), expected(&plan, &data));
    Ok(())
}

#[test]
fn workers_take_a_run_when_the_one_before_it_is_done() -> Result<()> {
    let (data, trainer) = (overlapping(), trainer());
    let plan = plan(&data);
    let expected = expected(&plan, &data);
    let store = MemoryStore::new();
    let workers = ["a", "b", "c"].map(|name| Worker::new().name(name).expiry(Duration::from_secs(1)));
    thread::scope(|scope| {
        for worker in &workers {
            let session = Session::new(&trainer, &data).store(&store).executor(&Sequential).worker(worker);
            let plan = &plan;
            scope.spawn(move || session.build(plan).unwrap());
        }
    });
    let session = Session::new(&trainer, &data).store(&store);
    assert!(session.status(&plan)?.is_settled());
    assert_eq!(bytes(session.load(&plan)?.members()), expected);

    // A worker with more threads than there are sequences, and one that does not wait.
    for worker in [Worker::new(), Worker::new().wait(false)] {
        let (store, four) = (MemoryStore::new(), Threads::new(4)?);
        let session = Session::new(&trainer, &data).store(&store).executor(&four).worker(&worker);
        session.build(&plan)?;
        assert_eq!(bytes(session.load(&plan)?.members()), expected);
    }
    Ok(())
}

fn error_rate<L: candle_ensemble::train::Learner>(pool: &Pool<'_, L>, data: &TensorDataset) -> f64 {
    let predicted = pool.combine(&Mean).unwrap().predict(data.inputs()).unwrap().to_vec1::<u32>().unwrap();
    let wrong = predicted.iter().zip(data.labels().unwrap()).filter(|(a, b)| a != b).count();
    wrong as f64 / data.rows() as f64
}

#[test]
fn boosting_turns_weak_members_into_a_strong_one() {
    let (mut one, mut many) = (0., 0.);
    for seed in 0..5 {
        let (data, new) = (rings(seed, 200), rings(seed + 100, 400));
        // A few units, which cut the plane by a few lines.
        let weak = |vb: candle_nn::VarBuilder<'static>| {
            Ok(nn::seq().add(nn::linear(2, 2, vb.pp(0))?).add(nn::Activation::Relu).add(nn::linear(
                2,
                2,
                vb.pp(1),
            )?))
        };
        let trainer = Trainer::new(weak).epochs(30).batch_size(32).optimizer(Optimizer::adam(0.03));
        let session = Session::new(&trainer, &data);
        one += error_rate(&session.fit(&MultiRun::new(1), seed).unwrap(), &new) / 5.;
        many += error_rate(&session.fit(&AdaBoost::new(12), seed).unwrap(), &new) / 5.;
    }
    println!("error rates: one network {one}, boosting {many}");
    assert!(many < 0.5 * one, "{many} and {one}");
}

#[test]
fn a_sequence_is_one_predictor_in_every_pool() -> Result<()> {
    let (data, trainer) = (rings(3, 60), trainer());
    let session = Session::new(&trainer, &data);
    let builder = AdaBoost::new(3).within(KFold::new(4));
    let pool = session.fit(&builder, 7)?;
    assert_eq!((pool.slots(), builder.name()), (1, "4-fold+adaboost".into()));
    let parsed = strategy::parse("k-fold:4+adaboost:3")?;
    assert_eq!(session.plan(&*parsed, 7)?, session.plan(&builder, 7)?);

    // Each row is predicted by the sequence that has not seen it.
    let held_out = pool.held_out()?;
    assert_eq!(held_out.rows().len(), 60);
    let member = |first: usize| -> Vec<_> {
        let of_sequence =
            pool.members().iter().filter(|m| m.record.round.as_ref().unwrap().sequence == first);
        of_sequence.cloned().collect()
    };
    let of_first = pool.with_members(member(0))?;
    let unseen = of_first.unseen();
    let by_hand = of_first.predictions(data.inputs().select(&unseen)?)?.values().get(0)?;
    let kept = held_out.predictions().values().get(0)?;
    let kept = kept.index_select(&Tensor::new(unseen.as_slice(), &CPU)?, 0)?;
    assert_eq!(bits(&kept), bits(&by_hand));

    // The prediction is SAMME's vote of the members, weighted by their records.
    let members = member(0);
    let each = with_own_predictions(&pool, &members, &data)?;
    let predicted: Vec<Vec<f32>> = of_first.predictions(data.inputs())?.values().get(0)?.to_vec2()?;
    let weights: Vec<f64> = members.iter().map(|m| m.record.round.as_ref().unwrap().weight).collect();
    for (row, predicted) in predicted.iter().enumerate() {
        let vote = |m: usize| if each[m][row][1] > each[m][row][0] { 1. } else { -1. };
        let d: f64 =
            (0..members.len()).map(|m| 2. * weights[m] * vote(m)).sum::<f64>() / weights.iter().sum::<f64>();
        let p = 1. / (1. + (-d).exp());
        assert!((f64::from(predicted[1]) - p).abs() < 1e-6, "row {row}: {predicted:?}, not {p}");
    }

    let e = pool.merge(
        &candle_ensemble::merge::MergeSpec::average(candle_ensemble::weights::RunWeights::Uniform),
        &candle_ensemble::merge::MaxBarrier::new(1e9).rows(&unseen),
    );
    assert!(e.err().unwrap().to_string().contains("one of a sequence, whose members predict together"));
    Ok(())
}

/// What each member predicts as a classifier of its own.
fn with_own_predictions<L: candle_ensemble::train::Learner>(
    pool: &Pool<'_, L>,
    members: &[candle_ensemble::Member],
    data: &TensorDataset,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let each = members.iter().map(|member| {
        let mut alone = member.clone();
        alone.record.round = None;
        Ok(pool.with_members(vec![alone])?.predictions(data.inputs())?.values().get(0)?.to_vec2()?)
    });
    each.collect()
}

#[test]
fn what_cannot_be_a_sequence_is_refused_in_words() {
    let (data, trainer) = (rings(3, 60), trainer());
    let session = Session::new(&trainer, &data);
    let error = |builder: &dyn EnsembleBuilder| session.fit(builder, 7).err().unwrap().to_string();
    assert_eq!(error(&AdaBoost::new(0)), "the number of rounds of a sequence must be at least 1, but is 0");
    assert!(error(&AdaBoost::new(2).learning_rate(0.)).contains("the learning rate of AdaBoost must be"));
    let e = error(&AdaBoost::new(2).within(strategy::Bagging::new(2)));
    assert!(e.contains("the rows of a sequence must be each row of the data once"), "{e}");
    let e = error(&*strategy::parse("adaboost:2+snapshot:2").unwrap());
    assert!(
        e.contains("of runs that collect one member, at their end, but is of runs that collect by snapshot"),
        "{e}"
    );
    let e = error(&AdaBoost::new(2).within(AdaBoost::new(2)));
    assert!(e.contains("the strategy around a sequence must be"), "{e}");

    let mut plan = plan(&data);
    plan.runs.pop();
    let e = session.train(&plan).err().unwrap().to_string();
    assert!(e.contains("the sequence of run 4 must be consecutive runs of the plan"), "{e}");
}

/// Another process that trains the plan: this test, started again with a variable that says where.
#[test]
fn the_process_of_a_build() {
    let Ok(folder) = env::var("SEQUENCE_FOLDER") else { return };
    let store = DirectoryStore::new(&folder).unwrap();
    let (data, trainer, slow) = (overlapping(), trainer(), Slow);
    let session = Session::new(&trainer, &data).store(&store).checkpoints(Checkpoints::Epochs(1));
    session.observer(&slow).build(&plan(&data)).unwrap();
}

struct Slow;

impl Observer for Slow {
    fn notify(&self, event: &Event<'_>) -> Flow {
        if let Event::EpochEnded { .. } = event {
            thread::sleep(Duration::from_millis(3));
        }
        Flow::Continue
    }
}

fn process(folder: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "sequences::the_process_of_a_build"]).stdout(Stdio::null());
    command.env("SEQUENCE_FOLDER", folder).spawn().unwrap()
}

#[test]
fn a_build_that_is_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let (data, trainer) = (overlapping(), trainer());
    let plan = plan(&data);
    let expected = expected(&plan, &data);
    let folder = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for moment in (0u64..).map(|i| 15 + i * 37 % 67) {
        let mut child = process(folder.path());
        // After enough kills the process may finish.
        if kills < 12 {
            thread::sleep(Duration::from_millis(moment));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
        }
        if child.wait().unwrap().success() {
            break;
        }
    }
    let store = DirectoryStore::new(folder.path()).unwrap();
    let pool = Session::new(&trainer, &data).store(&store).load(&plan).unwrap();
    assert_eq!(bytes(pool.members()), expected, "after {kills} kills");
}

/// The mean of the members, whose third round fails.
#[derive(Clone, Debug)]
struct FailsInRound(usize);

impl SequenceRule for FailsInRound {
    type State = ();

    fn text(&self) -> String {
        format!("fails in round {}", self.0)
    }

    fn join(&self, _: &SequenceData) -> Join {
        Join::Mean
    }

    fn start(&self, _: &SequenceData) -> Result<()> {
        Ok(())
    }

    fn round_data(&self, _: &SequenceData, (): &(), round: Round) -> Result<RoundData> {
        match round.number == self.0 {
            true => Err(Error::invalid("this round", "another one", round.number)),
            false => Ok(RoundData::default()),
        }
    }

    fn update(&self, _: &SequenceData, (): &mut (), _: Round, _: &Predicted) -> Result<Outcome> {
        Ok(Outcome::proceed(1.))
    }
}

#[test]
fn what_depends_on_a_failed_run_is_not_trained_and_not_waited_for() -> Result<()> {
    let (data, trainer) = (rings(3, 60), trainer());
    let (worker, two) = (Worker::new().expiry(Duration::from_secs(1)), Threads::new(2)?);
    let builder = InSequence::of(5, FailsInRound(2)).within(MultiRun::new(2));
    for worker in [None, Some(&worker)] {
        let store = MemoryStore::new();
        let session = Session::new(&trainer, &data).store(&store).executor(&two);
        let session = worker.map_or(session.clone(), |worker| session.worker(worker));
        let plan = session.plan(&builder, 7)?;
        let e = session.build(&plan).unwrap_err().to_string();
        assert_eq!(e, "run 2: this round must be another one, but is 2");
        let status = session.status(&plan)?;
        assert_eq!(status.done.to_string(), "0, 1, 5, 6");
        if worker.is_some() {
            assert_eq!((status.failed.len(), status.blocked.to_string()), (2, "3, 4, 8, 9".into()));
            assert!(status.is_settled() && status.waiting.is_empty());
            assert!(status.to_string().contains("blocked by a failure"), "{status}");
        }
    }
    // A plan that was read from a file does not know the rule.
    let session = Session::new(&trainer, &data);
    let json = serde_json::to_string(&session.plan(&builder, 7)?).unwrap();
    let e = session.train(&serde_json::from_str::<Plan>(&json).unwrap()).err().unwrap().to_string();
    assert!(e.contains("make the plan with its strategy instead") && e.contains("fails in round 2"), "{e}");
    Ok(())
}

#[test]
fn gradient_boosting_adds_the_outputs_of_its_members_up() -> Result<()> {
    let data = blobs(1, 60, 3, 1.);
    let trainer = Trainer::new(|vb| nn::linear(2, 3, vb)).epochs(EPOCHS).optimizer(Optimizer::adam(0.05));
    let session = Session::new(&trainer, &data);
    let pool = session.fit(&GradientBoosting::new(3).shrinkage(0.5), 7)?;
    assert_eq!((pool.members().len(), pool.slots()), (3, 1));
    let x: Vec<Vec<f32>> = data.inputs().only()?.to_vec2()?;
    let round = pool.members()[0].record.round.clone().unwrap();
    let Join::Sum { start } = round.join else { panic!("{round:?}") };
    let predicted: Vec<Vec<f32>> = pool.combine(&Mean)?.predict_proba(data.inputs())?.to_vec2()?;
    for (x, predicted) in x.iter().zip(predicted) {
        let mut raw = start.clone();
        for member in pool.members() {
            let weight: Vec<Vec<f32>> = member.weights["weight"].to_vec2()?;
            let bias: Vec<f32> = member.weights["bias"].to_vec1()?;
            for c in 0..3 {
                raw[c] += 0.5 * f64::from(weight[c][0] * x[0] + weight[c][1] * x[1] + bias[c]);
            }
        }
        let sum: f64 = raw.iter().map(|f| f.exp()).sum();
        for (f, p) in raw.iter().zip(predicted) {
            assert!((f.exp() / sum - f64::from(p)).abs() < 1e-5, "{raw:?}");
        }
    }
    // It is saved and loaded like any other ensemble.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("boosted.ensemble");
    let boosted = pool.combine(&Mean)?;
    boosted.save(&path)?;
    let loaded = candle_ensemble::Ensemble::<Linear, Mean>::load(&path, &trainer, &CPU)?;
    assert_eq!(bits(&loaded.predict_proba(data.inputs())?), bits(&boosted.predict_proba(data.inputs())?));
    // Its members predict nothing by themselves.
    assert!(pool.apart().err().unwrap().to_string().contains("model 0 must be one that predicts by itself"));
    assert!(boosted.energy(data.inputs(), 1.).unwrap_err().to_string().contains("a member of a sequence"));
    Ok(())
}

#[test]
fn gradient_boosting_stops_early_and_loads_the_members_that_count() -> Result<()> {
    // Noise only: after the first members the validation loss does not become smaller.
    let data = line(4, 60, 20.);
    let trainer = Trainer::new(|vb| nn::linear(2, 1, vb)).epochs(EPOCHS).optimizer(Optimizer::adam(0.1));
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(folder.path())?;
    let session = Session::new(&trainer, &data).store(&store);
    let builder = GradientBoosting::new(12).patience(2).within(MultiRun::new(1).validation(0.3));
    let plan = session.plan(&builder, 7)?;
    let order = Order::default();
    let pool = session.clone().observer(&order).train(&plan)?;
    assert!(pool.members().len() < 10, "{} members", pool.members().len());
    let status = session.status(&plan)?;
    assert_eq!((status.done.len(), order.started.lock().unwrap().len()), (12, 12));
    // The runs after the end took no epoch.
    let trained = (pool.members().len() + 2) * EPOCHS;
    assert_eq!(order.epochs.load(Ordering::SeqCst), trained);
    assert_eq!(bytes(session.load(&plan)?.members()), bytes(pool.members()));
    let rounds: Vec<_> = pool.members().iter().map(|m| m.record.round.as_ref().unwrap().round).collect();
    assert!(rounds.iter().copied().eq(0..pool.members().len()));
    let e = Session::new(&trainer, &data).fit(&GradientBoosting::new(2).patience(1), 7).err().unwrap();
    assert!(e.to_string().contains("the number of validation rows must be at least one"), "{e}");
    Ok(())
}

fn squared_error<L: candle_ensemble::train::Learner>(pool: &Pool<'_, L>, data: &TensorDataset) -> f64 {
    let predicted = flat(&pool.combine(&Mean).unwrap().predict(data.inputs()).unwrap());
    let errors = predicted.iter().zip(flat(data.targets())).map(|(a, b)| (a - b).powi(2));
    errors.sum::<f64>() / data.rows() as f64
}

#[test]
fn boosting_lowers_the_bias_of_networks_for_values() -> Result<()> {
    let (mut one, mut gradient, mut r2) = (0., 0., 0.);
    for seed in 0..3 {
        let x = Tensor::arange(0f32, 120., &CPU)?.affine(0.05, -3.)?.reshape((120, 1))?;
        let data = TensorDataset::regression(
            &x,
            &(x.affine(2., 0.)?.sin()? + x.sqr()?.affine(0.1, 0.)?)?.squeeze(1)?,
        )?;
        let weak = |vb: candle_nn::VarBuilder<'static>| {
            let hidden = nn::seq().add(nn::linear(1, 3, vb.pp(0))?).add(nn::Activation::Tanh);
            Ok(hidden.add(nn::linear(3, 1, vb.pp(1))?))
        };
        let trainer = Trainer::new(weak).epochs(60).batch_size(30).optimizer(Optimizer::adam(0.03));
        let session = Session::new(&trainer, &data);
        one += squared_error(&session.fit(&MultiRun::new(1), seed)?, &data);
        gradient += squared_error(&session.fit(&GradientBoosting::new(10), seed)?, &data);
        r2 += squared_error(&session.fit(&AdaBoost::new(10).loss(ErrorLoss::Square), seed)?, &data);
    }
    println!("squared errors: one network {one}, gradient boosting {gradient}, R2 {r2}");
    assert!(gradient < 0.5 * one && r2 < one, "{gradient}, {r2} and {one}");
    Ok(())
}

#[test]
fn gradient_boosting_of_two_classes_takes_one_output_or_two() -> Result<()> {
    let data = rings(3, 60);
    for outputs in [1, 2] {
        let trainer = Trainer::new(move |vb| nn::linear(2, outputs, vb)).epochs(EPOCHS);
        let pool = Session::new(&trainer, &data).fit(&GradientBoosting::new(2), 7)?;
        let p = pool.combine(&Mean)?.predict_proba(data.inputs())?;
        assert_eq!(p.dims(), [60, 2]);
        let Join::Sum { start } = &pool.members()[0].record.round.as_ref().unwrap().join else { panic!() };
        assert_eq!(start.len(), outputs);
    }
    let trainer = Trainer::new(|vb| nn::linear(2, 3, vb)).epochs(EPOCHS);
    let e = Session::new(&trainer, &data).fit(&GradientBoosting::new(2), 7).err().unwrap().to_string();
    assert!(e.contains("the number of outputs of a network of gradient boosting must be 1 or 2"), "{e}");
    Ok(())
}
