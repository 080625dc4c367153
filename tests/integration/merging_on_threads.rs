//! What several threads measure of networks that are merged is what one thread measures, to the bit, and what is computed
//! by hand, and it takes memory for a few passes.
use crate::common::{bits, distance, flat, CPU};
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Module, Result as CandleResult, Shape, Tensor, Var};
use candle_ensemble::{
    data::TensorDataset,
    exec::Sequential,
    merge::{
        barrier, re_estimate, uniform_soup, Barrier, GreedySoup, LearnedSoup, MaxBarrier, MergeSpec, Merged,
        Model, Soup,
    },
    nn,
    strategy::MultiRun,
    threads::configured,
    train::{Averaging, Trainer},
    weights::{RunWeights, Weights},
    Pool, Session,
};
use candle_nn::{ops::log_softmax, VarBuilder};
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
const WIDTH: usize = 1024;
const EPS: f64 = 1e-3;

/// What a network does: on which threads it runs, and how many rows are in graphs that are in memory.
#[derive(Default)]
struct Watched {
    threads: Mutex<HashSet<ThreadId>>,
    rows: AtomicUsize,
    most_rows: AtomicUsize,
}

impl Watched {
    /// What `f` returns, and on how many threads the network ran meanwhile.
    fn threads_of<R>(&self, f: impl FnOnce() -> R) -> (R, usize) {
        self.threads.lock().unwrap().clear();
        let result = f();
        (result, self.threads.lock().unwrap().len())
    }

    /// The most rows that were in graphs at a time while `f` ran.
    fn most_rows_of(&self, f: impl FnOnce()) -> usize {
        self.most_rows.store(0, Ordering::SeqCst);
        f();
        assert_eq!(self.rows.load(Ordering::SeqCst), 0);
        self.most_rows.load(Ordering::SeqCst)
    }
}

/// A layer that changes nothing.
struct Watch(Arc<Watched>);

impl Module for Watch {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        self.0.threads.lock().unwrap().insert(thread::current().id());
        xs.apply_op1(Kept::new(&self.0, xs.dim(0)?))
    }
}

/// An operation that lives as long as the graph that it is in.
struct Kept(Arc<Watched>, usize);

impl Kept {
    fn new(watched: &Arc<Watched>, rows: usize) -> Self {
        let all = watched.rows.fetch_add(rows, Ordering::SeqCst) + rows;
        watched.most_rows.fetch_max(all, Ordering::SeqCst);
        Self(Arc::clone(watched), rows)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.rows.fetch_sub(self.1, Ordering::SeqCst);
    }
}

impl CustomOp1 for Kept {
    fn name(&self) -> &'static str {
        "kept"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        assert!(layout.is_contiguous() && layout.start_offset() == 0);
        Ok((storage.clone(), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> CandleResult<Option<Tensor>> {
        Ok(Some(gradient.clone()))
    }
}

/// Networks with batch normalization before and after dropout, and so many parameters that passes are spread over
/// threads.
fn watched_trainer() -> (Trainer<nn::Sequential>, Arc<Watched>) {
    let watched = Arc::new(Watched::default());
    let kept = Arc::clone(&watched);
    let new = move |vb: VarBuilder<'static>| {
        let hidden = nn::seq().add(nn::linear(2, WIDTH, vb.pp("hidden"))?).add(Watch(Arc::clone(&kept)));
        let hidden = hidden.add(nn::batch_norm(WIDTH, EPS, vb.pp("norm"))?).add(nn::Activation::Relu);
        let hidden = hidden.add(nn::drop_in::Dropout::new(0.2));
        let second = hidden.add(nn::linear(WIDTH, 8, vb.pp("second"))?);
        let second = second.add(nn::batch_norm(8, EPS, vb.pp("second_norm"))?);
        Ok(second.add(nn::linear(8, 3, vb.pp("outputs"))?))
    };
    (Trainer::new(new).epochs(1).batch_size(500), watched)
}

/// Three classes by the sum of two inputs, with weights of the rows.
fn data() -> TensorDataset {
    let values = (0..2 * ROWS as u64).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.);
    let x = Tensor::from_iter(values, &CPU).unwrap().reshape((ROWS, 2)).unwrap();
    let sums = x.sum(1).unwrap().to_vec1::<f32>().unwrap();
    let labels = sums.into_iter().map(|sum| u32::from(sum > -0.3) + u32::from(sum > 0.5));
    let data = TensorDataset::classification(x, &Tensor::from_iter(labels, &CPU).unwrap()).unwrap();
    data.with_weights((0..ROWS).map(|row| 1. + (row % 3) as f32).collect()).unwrap()
}

fn trained<'a>(
    trainer: &'a Trainer<nn::Sequential>,
    data: &'a TensorDataset,
) -> Pool<'a, Trainer<nn::Sequential>> {
    Session::new(trainer, data).executor(&Sequential).fit(&MultiRun::new(3), 42).unwrap()
}

/// The rows, not in order.
fn rows() -> Vec<u32> {
    (0..ROWS as u32).rev().collect()
}

fn all_bits(weights: &Weights) -> Vec<Vec<u64>> {
    weights.values().filter(|tensor| tensor.dtype().is_float()).map(bits).collect()
}

/// The floating-point tensors as variables.
fn variables(weights: &Weights) -> Weights {
    let variable = |(name, tensor): (&String, &Tensor)| match tensor.dtype().is_float() {
        true => (name.clone(), Var::from_tensor(tensor).unwrap().into_inner()),
        false => (name.clone(), tensor.clone()),
    };
    weights.iter().map(variable).collect()
}

fn gradients(loss: &Tensor, variables: &Weights) -> Vec<Tensor> {
    let store = loss.backward().unwrap();
    variables.values().filter_map(|variable| store.get(variable).cloned()).collect()
}

/// Everything that is measured of some networks.
#[derive(Debug, PartialEq)]
struct Measured {
    statistics: Vec<Vec<u64>>,
    loss: u64,
    loss_tensor: Vec<u64>,
    gradients: Vec<Vec<u64>>,
    barrier: Barrier,
    soups: Vec<(Vec<Vec<u64>>, u64)>,
}

fn measure(
    model: &Model<'_, Trainer<nn::Sequential>>,
    data: &TensorDataset,
    networks: &[&Weights],
) -> Measured {
    let rows = rows();
    let again = |weights: &Weights| re_estimate(model, weights, data, &rows);
    let loss = |weights: &Weights| model.loss(&again(weights)?, data, &rows);
    let soup = uniform_soup(networks).unwrap();
    let variables = variables(&soup);
    let loss_tensor = model.loss_tensor(&variables, data, &rows).unwrap();
    let greedy = GreedySoup::new().merge(networks, |weights| Ok(-loss(weights)?)).unwrap();
    let learned = LearnedSoup::new().steps(3);
    let learned = learned.merge(networks, |weights| model.loss_tensor(weights, data, &rows)).unwrap();
    let of_soup = |soup: &Soup| (all_bits(&soup.weights), soup.score.to_bits());
    Measured {
        statistics: all_bits(&again(&soup).unwrap()),
        loss: model.loss(&soup, data, &rows).unwrap().to_bits(),
        gradients: gradients(&loss_tensor, &variables).iter().map(bits).collect(),
        loss_tensor: bits(&loss_tensor),
        barrier: barrier(networks[0], networks[1], 5, loss).unwrap(),
        soups: vec![of_soup(&greedy), of_soup(&learned)],
    }
}

#[test]
fn statistics_losses_gradients_barriers_and_soups_are_those_of_one_thread() {
    let (data, (trainer, watched)) = (data(), watched_trainer());
    let pool = trained(&trainer, &data);
    let model = Model::new(&trainer).unwrap().batch_rows(PASS);
    let on = |threads| measure(&model.clone().threads(threads), &data, &pool.weights());
    let (alone, threads) = watched.threads_of(|| on(1));
    assert_eq!(threads, 1);
    assert_eq!(
        alone.gradients.len(),
        10,
        "of three layers and the scales and the shifts of two normalizations"
    );
    let old = uniform_soup(&pool.weights()).unwrap();
    assert_ne!(alone.statistics, all_bits(&old));
    assert_eq!(alone, on(2));
    assert_eq!(alone, on(8));

    // Other threads do help, sooner or later.
    let (model, rows) = (model.threads(4), rows());
    let helped = |f: &dyn Fn()| (0..1000).any(|_| watched.threads_of(f).1 > 1);
    let variables = variables(&old);
    assert!(helped(&|| drop(re_estimate(&model, &old, &data, &rows).unwrap())));
    assert!(helped(&|| {
        model.loss(&old, &data, &rows).unwrap();
    }));
    assert!(helped(&|| drop(model.loss_tensor(&variables, &data, &rows).unwrap())));
}

/// The mean loss by definition, of all rows at once, in f64.
fn loss_by_hand(weights: &Weights, data: &TensorDataset, rows: &[u32]) -> CandleResult<Tensor> {
    let x = data.inputs().select(rows)?.only()?.to_dtype(DType::F64)?;
    let linear = |x: &Tensor, layer: &str| {
        let of = |part: &str| &weights[&format!("{layer}.{part}")];
        x.matmul(&of("weight").t()?)?.broadcast_add(of("bias"))
    };
    let norm = |x: &Tensor, layer: &str| {
        let of = |part: &str| &weights[&format!("{layer}.{part}")];
        let deviation = (of("running_var").detach() + EPS)?.sqrt()?;
        let x = x.broadcast_sub(&of("running_mean").detach())?.broadcast_div(&deviation)?;
        x.broadcast_mul(of("weight"))?.broadcast_add(of("bias"))
    };
    let hidden = norm(&linear(&x, "hidden")?, "norm")?.relu()?;
    let outputs = linear(&norm(&linear(&hidden, "second")?, "second_norm")?, "outputs")?;
    let labels: Vec<u32> = rows.iter().map(|row| data.labels().unwrap()[*row as usize]).collect();
    let labels = Tensor::new(labels, &CPU)?.unsqueeze(1)?;
    let each = log_softmax(&outputs, 1)?.gather(&labels, 1)?.squeeze(1)?.neg()?;
    let counts: Vec<f64> = rows.iter().map(|row| 1. + f64::from(row % 3)).collect();
    let all = counts.iter().sum::<f64>();
    (each * Tensor::new(counts, &CPU)?)?.sum_all()? / all
}

#[test]
fn several_threads_measure_what_is_computed_by_hand() {
    let (data, (trainer, _), rows) = (data(), watched_trainer(), rows());
    let pool = trained(&trainer, &data);
    let soup = uniform_soup(&pool.weights()).unwrap();
    let model = Model::new(&trainer).unwrap().batch_rows(PASS).threads(8);

    // The first normalization is that of a linear layer: its mean and unbiased variance over all rows.
    let again = re_estimate(&model, &soup, &data, &rows).unwrap();
    let in_f64 = |name: &str| soup[name].to_dtype(DType::F64).unwrap();
    let x = data.inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    let hidden = x.matmul(&in_f64("hidden.weight").t().unwrap()).unwrap();
    let hidden = hidden.broadcast_add(&in_f64("hidden.bias")).unwrap();
    let found = |name: &str| again[name].to_dtype(DType::F64).unwrap();
    assert!(distance(&found("norm.running_mean"), &hidden.mean(0).unwrap()) < 1e-5);
    assert!(distance(&found("norm.running_var"), &hidden.var(0).unwrap()) < 1e-5);

    let exact: Weights = again
        .iter()
        .filter(|(_, tensor)| tensor.dtype().is_float())
        .map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F64).unwrap()))
        .collect();
    let exact = variables(&exact);
    let by_hand = loss_by_hand(&exact, &data, &rows).unwrap();
    let expected = by_hand.to_scalar::<f64>().unwrap();
    assert!((model.loss(&again, &data, &rows).unwrap() - expected).abs() < 1e-5 * expected);
    let variables = variables(&again);
    let loss = model.loss_tensor(&variables, &data, &rows).unwrap();
    assert!((flat(&loss)[0] - expected).abs() < 1e-5 * expected);
    let (found, expected) = (gradients(&loss, &variables), gradients(&by_hand, &exact));
    assert_eq!((found.len(), expected.len()), (10, 10));
    for (found, expected) in found.iter().zip(&expected) {
        let scale = flat(expected).into_iter().fold(0f64, |most, x| most.max(x.abs()));
        assert!(distance(&found.to_dtype(DType::F64).unwrap(), expected) < 1e-4 * scale);
    }
}

#[test]
fn merges_of_a_pool_are_those_of_one_core() {
    let (data, (trainer, _)) = (data(), watched_trainer());
    let pool = trained(&trainer, &data);
    let rows: Vec<u32> = rows().into_iter().step_by(2).collect();
    let limit = MaxBarrier::new(f64::INFINITY).data(&data, &rows);
    let of =
        |merged: &Merged<'_, Trainer<nn::Sequential>>| (all_bits(merged.weights()), merged.barrier.clone());
    let specs = [
        MergeSpec::average(RunWeights::Uniform),
        MergeSpec::greedy(GreedySoup::new()),
        MergeSpec::learned(LearnedSoup::new().steps(3)),
    ];
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for spec in &specs {
        let merge = || of(&pool.merge(spec, &limit).unwrap());
        assert_eq!(merge(), one_core.install(merge), "{spec:?}");
    }
    let again = || -> Vec<_> {
        pool.re_estimated().unwrap().members().iter().map(|member| all_bits(&member.weights)).collect()
    };
    assert_eq!(again(), one_core.install(again));
}

/// However many rows there are, graphs of one pass for each thread are in memory. The calling thread keeps the graph of
/// the first batch while it looks for the statistics, and runs this batch once more.
#[test]
fn graphs_of_one_pass_for_each_thread_are_in_memory() {
    let (data, (trainer, watched), rows) = (data(), watched_trainer(), rows());
    let pool = trained(&trainer, &data);
    let soup = uniform_soup(&pool.weights()).unwrap();
    let model = Model::new(&trainer).unwrap().batch_rows(PASS);
    let variables = variables(&soup);
    for threads in [1, 2, 4] {
        let model = model.clone().threads(threads);
        let loss = || {
            model.loss(&soup, &data, &rows).unwrap();
        };
        assert!(watched.most_rows_of(loss) <= threads * PASS);
        let loss_tensor = || drop(model.loss_tensor(&variables, &data, &rows).unwrap());
        assert!((PASS..=threads * PASS).contains(&watched.most_rows_of(loss_tensor)));
        let again = || drop(re_estimate(&model, &soup, &data, &rows).unwrap());
        assert!((PASS..=threads.max(2) * PASS).contains(&watched.most_rows_of(again)));
    }
}

#[test]
fn averages_of_training_are_measured_on_several_threads_to_the_same_bytes() {
    let (data, (trainer, watched)) = (data(), watched_trainer());
    let trainer = trainer.averaging(Averaging::ema(0.9)).batch_size(1000);
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let train = || {
        let session = Session::new(&trainer, &data).executor(&Sequential);
        watched.threads_of(|| all_bits(&session.fit(&MultiRun::new(1), 42).unwrap().members()[0].weights))
    };
    let (alone, threads) = one_core.install(train);
    assert_eq!(threads, 1);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let alone_too = cores == 1 || !configured();
    let helped = (0..1000).any(|_| {
        let (found, threads) = train();
        assert_eq!(found, alone);
        threads > 1 || alone_too
    });
    assert!(helped, "no other thread has helped");
}
