//! Predictions on several threads are those of one thread, to the bit.
use crate::common::{bits, CPU};
use candle_core::{bail, Device, Module, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{Combiner, FittedCombiner, GeometricMean, Mean, Median},
    data::{Batch, Dataset, Fingerprint, Inputs, Scaling, Task, TensorDataset},
    observe::{Event, Flow, Observer},
    plan::Settings,
    strategy::{EnsembleBuilder, KFold, MultiRun, RandomSubspace},
    train::{CustomLoop, Learner, Run, SharedBuild, Trainer},
    Ensemble, Network, Session,
};
use candle_nn::{linear, Activation, Linear, VarBuilder};
use std::{
    collections::HashSet,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, Mutex,
    },
    thread::{self, ThreadId},
};

/// More than a pass of each thread; the last pass is shorter.
const ROWS: usize = 2950;
const PASS: usize = 100;

/// Numbers from −1 to 1 that look random.
fn numbers(rows: usize, columns: usize) -> Tensor {
    let values = (0..(rows * columns) as u64).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.);
    Tensor::from_iter(values, &CPU).unwrap().reshape((rows, columns)).unwrap()
}

fn classes(inputs: impl Into<Inputs>) -> TensorDataset {
    let inputs = inputs.into();
    let labels = Tensor::from_iter((0..inputs.rows() as u32).map(|i| i % 3), &CPU).unwrap();
    TensorDataset::classification(inputs, &labels).unwrap()
}

fn values() -> TensorDataset {
    let x = numbers(60, 2);
    TensorDataset::regression(x.clone(), &(x * 300.).unwrap()).unwrap()
}

/// candle's own layers, which are not `Send`: so large that its passes are spread over threads.
fn local(inputs: usize, outputs: usize, vb: VarBuilder<'static>) -> CandleResult<Box<dyn Network>> {
    let hidden = candle_nn::seq().add(linear(inputs, 512, vb.pp(0))?).add(Activation::Relu);
    Ok(Box::new(hidden.add(linear(512, outputs, vb.pp(1))?)))
}

fn trainer(inputs: usize, outputs: usize) -> Trainer<Box<dyn Network>> {
    Trainer::new(move |vb| local(inputs, outputs, vb)).epochs(1)
}

fn ensemble<L: Learner, C: Combiner>(
    learner: &L,
    data: &TensorDataset,
    strategy: &dyn EnsembleBuilder,
    combiner: &C,
) -> Ensemble<L::Network, C::Fitted> {
    let pool = Session::new(learner, data).fit(strategy, 42).unwrap();
    pool.combine(combiner).unwrap().batch_rows(PASS)
}

/// Predicts these inputs in all ways on 1, 2 and 8 threads.
fn same_on_any_threads<N: Network, F: FittedCombiner>(mut ensemble: Ensemble<N, F>, inputs: &Inputs) {
    let mut all = vec![];
    for threads in [1, 2, 8] {
        ensemble = ensemble.threads(threads);
        let tensors = [ensemble.predict(inputs.clone()), ensemble.member_predictions(inputs.clone())];
        all.push(tensors.map(|tensor| bits(&tensor.unwrap())));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    // A pass does not know of the others.
    let rows: Vec<u32> = (0..PASS as u32).collect();
    let first = bits(&ensemble.predict(inputs.select(&rows).unwrap()).unwrap());
    assert_eq!(first, all[0][0][..first.len()]);
}

#[test]
fn means_of_logits_and_combiners_of_probabilities_and_of_their_logarithms() {
    let (data, inputs) = (classes(numbers(60, 2)), Inputs::from(numbers(ROWS, 2)));
    same_on_any_threads(ensemble(&trainer(2, 3), &data, &MultiRun::new(4), &Mean), &inputs);
    same_on_any_threads(ensemble(&trainer(2, 3), &data, &MultiRun::new(4), &Median), &inputs);
    same_on_any_threads(ensemble(&trainer(2, 3), &data, &MultiRun::new(4), &GeometricMean), &inputs);
}

#[test]
fn values_with_scaling_and_slots_of_several_members() {
    let scaled = trainer(2, 2).input_scaling(Scaling::Standardize).target_scaling(Scaling::Standardize);
    let inputs = Inputs::from(numbers(ROWS, 2));
    same_on_any_threads(ensemble(&scaled, &values(), &KFold::new(2).repeats(2), &Median), &inputs);
}

#[test]
fn columns_of_the_inputs() {
    let data = classes(numbers(60, 4));
    let subspaces = RandomSubspace::new(4, 0.5);
    let learner = Trainer::reading(&["inputs"], |settings: &Settings, vb| {
        local(settings.count("inputs")?.unwrap_or(4), 3, vb)
    });
    let learner = learner.epochs(1);
    same_on_any_threads(ensemble(&learner, &data, &subspaces, &Mean), &numbers(ROWS, 4).into());
}

/// Adds two inputs before its layer.
struct Sum(Linear, Linear);

impl Network for Sum {
    fn run(&self, inputs: &Inputs, _train: bool) -> CandleResult<Tensor> {
        let [a, b] = inputs.tensors() else { bail!("expected two inputs") };
        self.1.forward(&self.0.forward(&(a + b)?)?)
    }
}

#[test]
fn several_inputs() {
    let inputs = |rows| Inputs::from(vec![numbers(rows, 2), numbers(rows, 2).affine(0.5, 0.1).unwrap()]);
    let new = |vb: VarBuilder<'static>| Ok(Sum(linear(2, 512, vb.pp(0))?, linear(512, 3, vb.pp(1))?));
    let trainer = Trainer::new(new).epochs(1);
    same_on_any_threads(ensemble(&trainer, &classes(inputs(60)), &MultiRun::new(4), &Mean), &inputs(ROWS));
}

/// A network that notes on which threads it runs.
struct Noting(Box<dyn Network>, Arc<Mutex<HashSet<ThreadId>>>);

impl Network for Noting {
    fn run(&self, inputs: &Inputs, train: bool) -> CandleResult<Tensor> {
        self.1.lock().unwrap().insert(thread::current().id());
        self.0.run(inputs, train)
    }
}

/// A learner that trains nothing and has no `shared_build`.
struct Alone<C>(C);

impl<N: Network, C: Fn(VarBuilder<'static>) -> CandleResult<N> + Sync> Learner for Alone<C> {
    type Network = N;

    fn architectures(&self) -> Vec<String> {
        vec!["alone".into()]
    }

    fn build(&self, _: &str, _: &Settings, vb: VarBuilder<'static>) -> CandleResult<N> {
        self.0(vb)
    }

    fn fit(&self, _: &N, _: &mut Run<'_>) -> CandleResult<()> {
        Ok(())
    }

    fn tag(&self) -> String {
        "alone".into()
    }
}

#[test]
fn other_threads_help_where_they_can_build_the_networks() {
    let (ids, data, inputs) = (Arc::new(Mutex::default()), classes(numbers(60, 2)), numbers(ROWS, 2));
    let noting = {
        let ids: Arc<Mutex<HashSet<ThreadId>>> = Arc::clone(&ids);
        move |vb: VarBuilder<'static>| Ok(Noting(local(2, 3, vb)?, Arc::clone(&ids)))
    };
    let used = |ensemble: &Ensemble<Noting, Mean>| {
        ids.lock().unwrap().clear();
        ensemble.predict(&inputs).unwrap();
        ids.lock().unwrap().len()
    };
    let trained =
        ensemble(&Trainer::new(noting.clone()).epochs(1), &data, &MultiRun::new(4), &Mean).threads(4);
    // Other tests may have all helpers for a while.
    assert!((0..1000).any(|_| used(&trained) > 1));
    let bytes = trained.to_bytes().unwrap();
    let new = noting.clone();
    let loaded = Ensemble::<_, Mean>::from_bytes_with(&bytes, move |_, _, vb| new(vb), &CPU).unwrap();
    let loaded = loaded.batch_rows(PASS).threads(4);
    assert!((0..1000).any(|_| used(&loaded) > 1));
    // A learner that does not tell how other threads build its networks.
    let alone = ensemble(&Alone(noting.clone()), &data, &MultiRun::new(4), &Mean).threads(4);
    assert!((0..10).all(|_| used(&alone) == 1));
    let new = noting.clone();
    let helped = alone.shared_build(SharedBuild::new(move |_, _, vb| new(vb)));
    assert!((0..1000).any(|_| used(&helped) > 1));
    // A thread of a rayon pool is one of several that share the cores already.
    let learner = Trainer::new(noting).epochs(1);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let alone = |_| used(&ensemble(&learner, &data, &MultiRun::new(4), &Mean).threads(4)) == 1;
    assert!(one.install(|| (0..10).all(alone)));
}

#[test]
fn little_work_stays_on_the_calling_thread() {
    let (ids, data) = (Arc::new(Mutex::new(HashSet::new())), classes(numbers(60, 2)));
    let learner = {
        let ids = Arc::clone(&ids);
        Trainer::new(move |vb| Ok(Noting(local(2, 3, vb)?, Arc::clone(&ids)))).epochs(1)
    };
    let ensemble = ensemble(&learner, &data, &MultiRun::new(4), &Mean).threads(8).batch_rows(10);
    ids.lock().unwrap().clear();
    (0..20).for_each(|_| drop(ensemble.predict(numbers(100, 2)).unwrap()));
    assert_eq!(ids.lock().unwrap().len(), 1);
}

/// Rows that are read slowly, and how many passes have been read.
struct Slow(TensorDataset, AtomicUsize);

impl Dataset for Slow {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn task(&self) -> Task {
        self.0.task()
    }

    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        self.1.fetch_add(1, Ordering::SeqCst);
        if rows.contains(&1234) || rows.contains(&2000) {
            bail!("row {} cannot be read", rows[0])
        }
        self.0.batch(rows, device)
    }

    fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }
}

/// Notes how many rows are predicted.
#[derive(Default)]
struct Progress(Mutex<Vec<usize>>);

impl Observer for Progress {
    fn notify(&self, event: &Event<'_>) -> Flow {
        if let Event::RowsPredicted { rows, .. } = event {
            self.0.lock().unwrap().push(*rows);
        }
        Flow::Continue
    }
}

#[test]
fn passes_arrive_in_order_few_are_in_memory_and_the_first_error_is_returned() {
    let data = Slow(classes(numbers(ROWS, 2)), AtomicUsize::new(0));
    for threads in [1, 2, 8] {
        let ensemble = ensemble(&trainer(2, 3), &classes(numbers(60, 2)), &MultiRun::new(4), &Median);
        let ensemble = ensemble.threads(threads);
        let progress = Progress::default();
        data.1.store(0, Ordering::SeqCst);
        let mut taken = 0;
        let result = ensemble.on(&data).observer(&progress).for_each(|rows, predicted| {
            assert_eq!((rows[0] as usize, predicted.dims()), (taken * PASS, &[PASS, 3][..]));
            assert!(data.1.load(Ordering::SeqCst) - taken <= 2 * threads + 1);
            taken += 1;
            Ok(())
        });
        assert!(result.unwrap_err().to_string().contains("row 1200 cannot be read"));
        assert_eq!(taken, 12);
        assert_eq!(*progress.0.lock().unwrap(), (1..=12).map(|pass| pass * PASS).collect::<Vec<_>>());
    }
}

#[test]
fn the_first_row_that_is_not_finite_is_named() {
    let mut x = numbers(ROWS, 2).to_vec2::<f32>().unwrap();
    x[1777][1] = f32::NAN;
    x[2111][0] = f32::INFINITY;
    let x = Tensor::new(x, &CPU).unwrap();
    for threads in [1, 2, 8] {
        let ensemble = ensemble(&trainer(2, 3), &classes(numbers(60, 2)), &MultiRun::new(4), &Mean);
        let ensemble = ensemble.threads(threads);
        let e = ensemble.predict(&x).unwrap_err().to_string();
        assert_eq!(e, "inputs, row 1777 must be finite, but is NaN");
        let predicted = ensemble.allow_nan(true).predict_proba(&x).unwrap();
        let first = predicted.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(first[1777].is_nan() && first[1776].is_finite());
    }
}

#[test]
fn pools_predict_on_several_threads_what_they_predict_on_one() {
    let data = classes(numbers(ROWS, 2));
    let learner = trainer(2, 3);
    let custom = CustomLoop::new("untrained", |vb| local(2, 3, vb), |_, _| Ok(()));
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let predict = || {
        let pool = Session::new(&custom, &data).fit(&KFold::new(3).repeats(2), 1).unwrap();
        let all = pool.predictions(numbers(ROWS, 2)).unwrap();
        [bits(all.values()), bits(pool.held_out().unwrap().predictions().values())]
    };
    assert_eq!(predict(), one_core.install(predict));
    let trained = || {
        let few = classes(numbers(300, 2));
        let pool = Session::new(&learner, &few).fit(&KFold::new(2), 1).unwrap();
        bits(pool.predictions_on(&data).unwrap().values())
    };
    assert_eq!(trained(), one_core.install(trained));
}
