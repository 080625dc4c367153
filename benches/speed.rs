//! Speed of training and prediction, as ratios of times within one run, which can be compared between
//! machines.
//!
//! `cargo bench` measures everything, `cargo bench -- --quick` takes less time, and `cargo bench --
//! prediction` measures what has this text in its name. Criterion prints the times of the library; the table
//! at the end has the ratios. The two sides of a ratio run in turn, with the same thread settings and the
//! same allocator. The ratio is the median over the turns, which changes little on a busy machine.
use arithmetic::Products;
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::Mean,
    data::TensorDataset,
    exec::{Executor, Stacked, Threads},
    nn,
    strategy::{Bagging, EnsembleBuilder, MultiRun},
    threads,
    train::{Optimizer, Trainer},
    Ensemble, Network, Result, Session,
};
use candle_nn::{linear, loss, AdamW, Linear, Module, Optimizer as _, ParamsAdamW, VarBuilder, VarMap};
use images::Images;
use noise::noise;
use perceptron::layers;
use rand::{rngs::StdRng, seq::SliceRandom, SeedableRng};
use std::{
    cell::RefCell,
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use turns::{Bench, Target};

mod arithmetic;
mod images;
mod noise;
mod perceptron;
mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LEARNING_RATE: f64 = 1e-3;
const MEMBERS: usize = 10;

/// A network with data to train on and to predict.
struct Case {
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
    inputs: Tensor,
    labels: Tensor,
    /// Rows to predict.
    fresh: Tensor,
    /// Numbers of epochs for training one network, ten networks, and ten bootstrap members.
    epochs: [usize; 3],
    /// The most that training with the library's layers may take, as a share of the loop by hand, and as a
    /// multiple of its matrix products.
    with_layers: [f64; 2],
}

impl Case {
    fn small() -> CandleResult<Self> {
        let digits = smartcore::dataset::digits::load_dataset();
        let all = Tensor::from_vec(digits.data, (digits.num_samples, 64), &Device::Cpu)?;
        let labels = digits.target.iter().take(1257).map(|&y| y as u32);
        Ok(Self {
            name: "64-64-32-10",
            widths: &[64, 64, 32, 10],
            batch: 32,
            inputs: (all.narrow(0, 0, 1257)? / 16.)?,
            labels: Tensor::from_iter(labels, &Device::Cpu)?,
            fresh: noise(10_000, 64)?,
            epochs: [10, 10, 30],
            with_layers: [0.35, 3.],
        })
    }

    fn large() -> CandleResult<Self> {
        Ok(Self {
            name: "784-512-512-10",
            widths: &[784, 512, 512, 10],
            batch: 128,
            inputs: noise(1280, 784)?,
            labels: Tensor::from_iter((0..1280u32).map(|i| i % 10), &Device::Cpu)?,
            fresh: noise(2_000, 784)?,
            epochs: [2, 1, 30],
            with_layers: [0.5, 1.35],
        })
    }

    /// A smaller case, which only checks that the benchmark runs.
    fn shorten(&mut self) -> CandleResult<()> {
        (self.inputs, self.labels) = (self.inputs.narrow(0, 0, 200)?, self.labels.narrow(0, 0, 200)?);
        (self.fresh, self.epochs) = (self.fresh.narrow(0, 0, 600)?, [1; 3]);
        Ok(())
    }

    fn data(&self) -> Result<TensorDataset> {
        TensorDataset::classification(self.inputs.clone(), &self.labels)
    }

    fn trainer(&self, epochs: usize) -> Trainer<Mlp> {
        let widths = self.widths;
        self.set(Trainer::new(move |vb| Mlp::new(widths, vb)), epochs)
    }

    /// The same network of the library's layers.
    fn trainer_of_layers(&self, epochs: usize) -> Trainer<nn::Sequential> {
        let widths = self.widths;
        self.set(Trainer::new(move |vb| layers(widths, vb)), epochs)
    }

    fn set<N: Network>(&self, trainer: Trainer<N>, epochs: usize) -> Trainer<N> {
        trainer.optimizer(Optimizer::adam(LEARNING_RATE)).batch_size(self.batch).epochs(epochs)
    }

    /// The matrix products of the steps of a training, and nothing else.
    fn products(&self, epochs: usize, products: &mut Products) {
        let rows = self.labels.elem_count();
        for start in (0..epochs).flat_map(|_| (0..rows).step_by(self.batch)) {
            products.step(self.batch.min(rows - start));
        }
        black_box(products);
    }

    /// The training loop that a user of candle writes.
    fn train_by_hand(&self, epochs: usize) -> CandleResult<f32> {
        let vars = VarMap::new();
        let network = Mlp::new(self.widths, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
        let rates = ParamsAdamW { lr: LEARNING_RATE, weight_decay: 0., ..Default::default() };
        let mut optimizer = AdamW::new(vars.all_vars(), rates)?;
        let rows = self.inputs.dim(0)?;
        let (mut order, mut rng) = ((0..rows as u32).collect::<Vec<_>>(), StdRng::seed_from_u64(42));
        let mut last = f32::NAN;
        for _ in 0..epochs {
            order.shuffle(&mut rng);
            let order = Tensor::new(order.as_slice(), &Device::Cpu)?;
            for start in (0..rows).step_by(self.batch) {
                let ids = order.narrow(0, start, self.batch.min(rows - start))?;
                let (x, y) = (self.inputs.index_select(&ids, 0)?, self.labels.index_select(&ids, 0)?);
                let loss = loss::cross_entropy(&network.forward(&x)?, &y)?;
                optimizer.backward_step(&loss)?;
                if start + self.batch >= rows {
                    last = loss.to_scalar()?;
                }
            }
        }
        Ok(last)
    }
}

/// A multi-layer perceptron in plain candle.
struct Mlp(Vec<Linear>);

impl Mlp {
    fn new(widths: &[usize], vb: VarBuilder<'_>) -> CandleResult<Self> {
        let layer = |(i, w): (usize, &[usize])| linear(w[0], w[1], vb.pp(i));
        Ok(Self(widths.windows(2).enumerate().map(layer).collect::<CandleResult<_>>()?))
    }

    /// The matrix products of a forward pass, and nothing else.
    fn products(&self, xs: &Tensor) -> CandleResult<Tensor> {
        self.0.iter().try_fold(xs.clone(), |xs, layer| xs.matmul(&layer.weight().t()?))
    }
}

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        let (last, hidden) = self.0.split_last().expect("two widths or more");
        let xs = hidden.iter().try_fold(xs.clone(), |xs, layer| layer.forward(&xs)?.relu())?;
        last.forward(&xs)
    }
}

fn train<N: Network>(
    trainer: &Trainer<N>,
    data: &TensorDataset,
    builder: &dyn EnsembleBuilder,
    workers: &dyn Executor,
) {
    let pool = Session::new(trainer, data).executor(workers).fit(builder, 42).expect("trained");
    black_box(pool.members().len());
}

/// An ensemble after one training step: the cost of a pass does not depend on the weights.
fn trained<N: Network>(case: &Case, trainer: &Trainer<N>) -> Result<Ensemble<N, Mean>> {
    let data = case.data()?.subset(&(0..case.batch as u32).collect::<Vec<_>>())?.with_classes(10)?;
    Session::new(trainer, &data).fit(&MultiRun::new(MEMBERS), 42)?.combine(&Mean)
}

/// The networks of an ensemble, without the library.
fn bare_networks<N: Network>(case: &Case, ensemble: &Ensemble<N, Mean>) -> Result<Vec<Mlp>> {
    let networks = ensemble.members().iter().map(|member| {
        let weights = member.weights.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        Mlp::new(case.widths, VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))
    });
    Ok(networks.collect::<CandleResult<_>>()?)
}

fn predict<N: Network>(ensemble: &Ensemble<N, Mean>, rows: &Tensor) {
    drop(black_box(ensemble.predict_proba(rows).expect("probabilities")));
}

/// The library compared with plain candle.
struct Speed(Bench);

impl Speed {
    fn training(&mut self, case: &Case) -> Result<()> {
        let ([epochs, of_ten, _], data) = (case.epochs, case.data()?);
        let (one, two) = (Threads::new(1)?, Threads::new(2)?);
        let trainer = case.trainer(epochs);
        self.0.pair(
            format!("training/{}, library : by hand", case.name),
            Target::AtMost(0.9),
            || train(&trainer, &data, &MultiRun::new(1), &one),
            Some(&|| assert!(case.train_by_hand(epochs).expect("trained").is_finite())),
        );
        let (trainer, [of_loop, of_products]) = (case.trainer_of_layers(epochs), case.with_layers);
        self.0.pair(
            format!("training/{}, library with its layers : by hand", case.name),
            Target::AtMost(of_loop),
            || train(&trainer, &data, &MultiRun::new(1), &one),
            Some(&|| assert!(case.train_by_hand(epochs).expect("trained").is_finite())),
        );
        // More epochs, so that the beginning and the end of a run count for little.
        let epochs = if Bench::measured() { 5 * epochs } else { epochs };
        let (trainer, products) =
            (case.trainer_of_layers(epochs), RefCell::new(Products::new(case.widths, case.batch)));
        self.0.pair(
            format!("training/{}, library with its layers : matrix products", case.name),
            Target::AtMost(of_products),
            || train(&trainer, &data, &MultiRun::new(1), &one),
            Some(&|| case.products(epochs, &mut products.borrow_mut())),
        );
        let (trainer, ten) = (case.trainer(of_ten), MultiRun::new(MEMBERS));
        self.0.pair(
            format!("training/{}, ten one by one : on two threads", case.name),
            Target::AtLeast(1.7),
            || train(&trainer, &data, &ten, &one),
            Some(&|| train(&trainer, &data, &ten, &two)),
        );
        Ok(())
    }

    /// A network with two convolutions and batch normalization.
    fn images(&mut self, images: &Images) -> Result<()> {
        let data = TensorDataset::classification(images.inputs.clone(), &images.labels)?;
        let trainer = Trainer::new(images.network()).optimizer(Optimizer::adam(LEARNING_RATE));
        let (trainer, one) = (trainer.batch_size(images.batch).epochs(images.epochs), Threads::new(1)?);
        self.0.pair(
            format!("training/{}, library with its layers : by hand", images.name),
            Target::AtMost(0.6),
            || train(&trainer, &data, &MultiRun::new(1), &one),
            Some(&|| assert!(images.train_by_hand(LEARNING_RATE).expect("trained").is_finite())),
        );
        Ok(())
    }

    fn bagging(&mut self, case: &Case) -> Result<()> {
        let (epochs, data, two) = (case.epochs[2], case.data()?, Threads::new(2)?);
        let trainer = case.trainer(epochs);
        let name = format!("training/{}, ten bootstrap members, {epochs} epochs, two threads", case.name);
        self.0.pair(name, Target::Open, || train(&trainer, &data, &Bagging::new(MEMBERS), &two), None);
        Ok(())
    }

    /// Ten members side by side in one graph, against the same members of candle's layers one by one, and on two threads.
    fn stacking(&mut self, case: &Case) -> Result<()> {
        let (epochs, data, ten) = (case.epochs[2], case.data()?, Bagging::new(MEMBERS));
        let (candles, layers) = (case.trainer(epochs), case.trainer_of_layers(epochs));
        let (one, two) = (Threads::new(1)?, Threads::new(2)?);
        let (stacked, on_two) = (Stacked::new(1)?, Stacked::new(2)?);
        let name =
            |what: &str| format!("training/{}, ten bootstrap members, {epochs} epochs, {what}", case.name);
        self.0.pair(
            name("stacked : candle's layers one by one, one thread"),
            Target::AtMost(0.35),
            || train(&layers, &data, &ten, &stacked),
            Some(&|| train(&candles, &data, &ten, &one)),
        );
        self.0.pair(
            name("stacked : candle's layers one by one, two threads"),
            Target::AtMost(0.35),
            || train(&layers, &data, &ten, &on_two),
            Some(&|| train(&candles, &data, &ten, &two)),
        );
        self.0.pair(
            name("stacked : the same layers one by one, one thread"),
            Target::Open,
            || train(&layers, &data, &ten, &stacked),
            Some(&|| train(&layers, &data, &ten, &one)),
        );
        self.0.pair(
            name("stacked on one thread : on two"),
            Target::AtLeast(1.8),
            || train(&layers, &data, &ten, &stacked),
            Some(&|| train(&layers, &data, &ten, &on_two)),
        );
        Ok(())
    }

    /// What several threads gain, and how near they come to the matrix products alone.
    fn prediction_on_threads(&mut self, case: &Case) -> Result<()> {
        let (one, two) = (trained(case, &case.trainer(1))?, trained(case, &case.trainer(1))?);
        let with_layers = trained(case, &case.trainer_of_layers(1))?.threads(2);
        let networks = bare_networks(case, &one)?;
        let rows = if Bench::measured() { 10_000 } else { 3_000 };
        let fresh = noise(rows, case.widths[0])?;
        let (one, two) = (one.threads(1), two.threads(2));
        self.0.pair(
            format!("prediction/{}, {rows} rows, one thread : two threads", case.name),
            Target::AtLeast(1.7),
            || predict(&one, &fresh),
            Some(&|| predict(&two, &fresh)),
        );
        let passes: Vec<_> = (0..rows).step_by(1024).map(|start| (start, 1024.min(rows - start))).collect();
        let next = AtomicUsize::new(0);
        let products = || {
            while let Some((start, len)) = passes.get(next.fetch_add(1, Ordering::Relaxed)) {
                let xs = fresh.narrow(0, *start, *len).expect("rows");
                networks.iter().for_each(|network| drop(black_box(network.products(&xs).expect("products"))));
            }
        };
        let products_on_two = || {
            next.store(0, Ordering::Relaxed);
            thread::scope(|scope| {
                scope.spawn(products);
                products();
            });
        };
        self.0.pair(
            format!("prediction/{}, {rows} rows, two threads : products alone on two", case.name),
            Target::AtMost(1.18),
            || predict(&two, &fresh),
            Some(&products_on_two),
        );
        self.0.pair(
            format!("prediction/{}, {rows} rows, two threads, its layers : products alone on two", case.name),
            Target::AtMost(1.18),
            || predict(&with_layers, &fresh),
            Some(&products_on_two),
        );
        Ok(())
    }

    fn prediction(&mut self, case: &Case) -> Result<()> {
        let mut ensemble = trained(case, &case.trainer(1))?.threads(1);
        let (networks, with_layers) =
            (bare_networks(case, &ensemble)?, trained(case, &case.trainer_of_layers(1))?.threads(1));
        let bare = || {
            for network in &networks {
                black_box(network.forward(&case.fresh).expect("logits"));
            }
        };
        self.0.pair(
            format!("prediction/{}, ensemble of its layers : bare passes", case.name),
            Target::AtMost(1.05),
            || predict(&with_layers, &case.fresh),
            Some(&bare),
        );
        for rows in [None, Some(256), Some(512), Some(1024), Some(2048), Some(usize::MAX)] {
            let (what, target) = match rows {
                None => ("ensemble : bare passes".into(), Target::AtMost(1.05)),
                Some(usize::MAX) => ("ensemble in one pass : bare passes".into(), Target::Open),
                Some(rows) => (format!("ensemble in passes of {rows} rows : bare passes"), Target::Open),
            };
            if let Some(rows) = rows {
                ensemble = ensemble.batch_rows(rows);
            }
            let name = format!("prediction/{}, {what}", case.name);
            self.0.pair(name, target, || predict(&ensemble, &case.fresh), Some(&bare));
        }
        Ok(())
    }
}

/// The data of a case as images, of which fewer are used where the benchmark is only checked.
fn images(case: &Case, name: &'static str, side: usize, batch: usize, epochs: usize) -> CandleResult<Images> {
    let rows = if Bench::measured() { 640 } else { 2 * batch };
    let rows = rows.min(case.inputs.dim(0)?);
    let inputs = case.inputs.narrow(0, 0, rows)?.reshape((rows, 1, side, side))?;
    let labels = case.labels.narrow(0, 0, rows)?;
    Ok(Images { name, inputs, labels, side, batch, epochs })
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let mut bench = Speed(Bench::new());
    let mut cases = [Case::small()?, Case::large()?];
    if !Bench::measured() {
        cases.iter_mut().try_for_each(Case::shorten)?;
    }
    cases.iter().try_for_each(|case| bench.training(case))?;
    bench.images(&images(&cases[0], "8x8 images", 8, 32, 2)?)?;
    bench.images(&images(&cases[1], "28x28 images", 28, 32, 1)?)?;
    bench.bagging(&cases[0])?;
    bench.stacking(&cases[0])?;
    cases.iter().try_for_each(|case| bench.prediction(case))?;
    cases.iter().try_for_each(|case| bench.prediction_on_threads(case))?;
    bench.0.finish();
    Ok(())
}
