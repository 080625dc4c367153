//! Ensembles as candle modules: as layers of other networks, as members of other ensembles, of any kind of
//! network.
use crate::common::{bits, blobs, distance, flat, line, normal, CPU};
use candle_core::{DType, Device, Module, ModuleT, Result as CandleResult, Tensor, Var};
use candle_ensemble::{
    combine::{
        stack::{self, Stack},
        Combiner, FittedCombiner, GeometricMean, HardVote, Mean, Median,
    },
    data::{Inputs, Task, TensorDataset},
    nn::seq,
    plan::*,
    predictions::Predictions,
    store::MemoryStore,
    strategy::{Bagging, KFold, MultiRun},
    train::*,
    AnyNetwork, Ensemble, Error, Member, Network, Pool, Session,
};
use candle_nn::{
    batch_norm, conv2d, linear, Activation, BatchNorm, Conv2d, Conv2dConfig, Linear, VarBuilder,
};
use proptest::prelude::*;
use std::sync::Arc;

/// A network that is `Send`, unlike candle's `Sequential`, and smooth, for finite differences.
struct Mlp(Linear, Linear);

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        self.1.forward(&self.0.forward(xs)?.tanh()?)
    }
}

fn mlp(outputs: usize, vb: VarBuilder<'_>) -> CandleResult<Mlp> {
    Ok(Mlp(linear(2, 6, vb.pp(0))?, linear(6, outputs, vb.pp(1))?))
}

fn fit<N: Network, C: Combiner>(
    trainer: &Trainer<N>,
    data: &TensorDataset,
    rule: &C,
) -> Ensemble<N, C::Fitted> {
    Session::new(trainer, data).fit(&Bagging::new(4), 42).unwrap().combine(rule).unwrap()
}

#[test]
fn ensembles_and_their_parts_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Ensemble<Linear, Mean>>();
    send_and_sync::<Ensemble<Linear, <Stack<stack::Linear> as Combiner>::Fitted>>();
    send_and_sync::<Member>();
    send_and_sync::<Plan>();
    send_and_sync::<Error>();
    send_and_sync::<MemoryStore>();
    send_and_sync::<TensorDataset>();
    send_and_sync::<Trainer<Linear>>();
    send_and_sync::<Trainer<candle_nn::Sequential>>(); // the learner is, although its networks are not

    let data = line(1, 30, 0.1);
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).epochs(2);
    let ensemble = fit(&trainer, &data, &Mean);
    let expected = bits(&ensemble.predict(data.inputs()).unwrap());
    std::thread::scope(|scope| {
        let predict = || bits(&ensemble.predict(data.inputs()).unwrap());
        let threads = [scope.spawn(predict), scope.spawn(predict)];
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), expected));
    });
}

// ---- As a layer.

/// A trainable linear layer, then the ensemble, then a number.
fn through(ensemble: &impl Module, weight: &Tensor, x: &Tensor) -> Tensor {
    let predicted = ensemble.forward(&x.matmul(&weight.t().unwrap()).unwrap()).unwrap();
    let (rows, width) = predicted.dims2().unwrap();
    // Not a plain sum, which for log-probabilities hardly depends on the inputs.
    let mix = Tensor::arange(1f64, 1. + (rows * width) as f64, &CPU).unwrap().reshape((rows, width)).unwrap();
    (predicted * mix).unwrap().mean_all().unwrap()
}

fn gradients_flow<C: Combiner>(data: &TensorDataset, outputs: usize, rule: &C) {
    let x = data.inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    let data = match data.labels() {
        Some(_) => TensorDataset::classification(&x, data.targets()),
        None => TensorDataset::regression(&x, &data.targets().to_dtype(DType::F64).unwrap()),
    };
    let trainer = Trainer::new(move |vb| mlp(outputs, vb)).dtype(DType::F64).epochs(5);
    let ensemble = fit(&trainer, &data.unwrap(), rule);
    let x = x.narrow(0, 0, 5).unwrap();
    let start = [0.9, -0.2, 0.3, 1.1];
    let layer = |w: [f64; 4]| Tensor::new(&w, &CPU).unwrap().reshape((2, 2)).unwrap();

    let weight = Var::from_tensor(&layer(start)).unwrap();
    let gradients = through(&ensemble, &weight, &x).backward().unwrap();
    let gradient = flat(gradients.get(&weight).expect("a gradient passes through the ensemble"));
    for (i, got) in gradient.iter().enumerate() {
        let at = |step: f64| {
            let mut w = start;
            w[i] += step;
            through(&ensemble, &layer(w), &x).to_scalar::<f64>().unwrap()
        };
        let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!(
            (got - expected).abs() < 1e-6 * (1. + expected.abs()),
            "{rule:?}, {i}: {got}, not {expected}"
        );
    }
    assert!(gradient.iter().any(|g| g.abs() > 1e-3), "{gradient:?}");
}

#[test]
fn gradients_pass_through_an_ensemble_to_the_layers_before_it() {
    gradients_flow(&line(2, 40, 0.3), 1, &Mean);
    gradients_flow(&blobs(2, 40, 3, 0.5), 3, &Mean);
    gradients_flow(&blobs(2, 40, 2, 0.5), 1, &Mean);
    gradients_flow(&blobs(2, 40, 3, 0.5), 3, &GeometricMean);
}

#[test]
fn a_layer_before_an_ensemble_can_be_trained_and_the_ensemble_stays_unchanged() {
    let data = line(3, 60, 0.05);
    let trainer = Trainer::new(|vb| mlp(1, vb)).optimizer(Optimizer::adam(1e-2)).epochs(30);
    let ensemble = Arc::new(fit(&trainer, &data, &Mean));
    // The columns of the inputs are exchanged; the layer must learn to exchange them back.
    let x = data.inputs().only().unwrap().index_select(&Tensor::new(&[1u32, 0], &CPU).unwrap(), 1).unwrap();
    let mixed = TensorDataset::regression(x, data.targets()).unwrap();
    let before = bits(&ensemble.forward(data.inputs().only().unwrap()).unwrap());
    let inner = ensemble.clone();
    let outer = Trainer::new(move |vb| {
        let inner = inner.clone();
        Ok(seq().add(linear(2, 2, vb)?).add_fn(move |x| inner.forward(x)))
    });
    let outer = outer.optimizer(Optimizer::adam(3e-2)).epochs(60);
    let pool = Session::new(&outer, &mixed).fit(&MultiRun::new(1), 1).unwrap();
    let curve = &pool.members()[0].record.curve;
    assert!(curve[59].train_loss < 0.2 * curve[0].train_loss, "{:?} {:?}", curve[0], curve[59]);
    assert_eq!(pool.members()[0].weights.len(), 2, "the outer trainer does not train the inner members");
    assert_eq!(bits(&ensemble.forward(data.inputs().only().unwrap()).unwrap()), before);
}

// ---- As a member.

/// The inner ensemble, with a linear layer after it.
struct Committee {
    inner: Arc<Ensemble<Linear, Mean>>,
    own: Linear,
}

impl Module for Committee {
    fn forward(&self, xs: &Tensor) -> CandleResult<Tensor> {
        self.inner.forward(xs)? + self.own.forward(xs)?
    }
}

#[test]
fn an_ensemble_is_a_member_of_another() {
    let data = blobs(4, 60, 3, 0.6);
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(10);
    let inner = Arc::new(fit(&trainer, &data, &Mean));
    let shared = inner.clone();
    let outer = Trainer::new(move |vb| Ok(Committee { inner: shared.clone(), own: linear(2, 3, vb)? }));
    let outer = outer.epochs(3);
    let pool = Session::new(&outer, &data).fit(&Bagging::new(3), 7).unwrap();
    let members = pool.members().to_vec();
    let ensemble = pool.combine(&Mean).unwrap();

    let x = data.inputs().only().unwrap();
    let logits = inner.forward(x).unwrap();
    let predictions = members.iter().map(|member| {
        let own = Linear::new(member.weights["weight"].clone(), Some(member.weights["bias"].clone()));
        candle_nn::ops::softmax(&(&logits + own.forward(x).unwrap()).unwrap(), 1).unwrap()
    });
    let expected = Tensor::stack(&predictions.collect::<Vec<_>>(), 0).unwrap().mean(0).unwrap();
    assert!(distance(&ensemble.predict_proba(x).unwrap(), &expected) < 1e-6);

    // An ensemble whose members are ensembles only.
    let fixed = CustomLoop::new(
        "fixed",
        move |_| {
            Ok(AnyNetwork::new(seq().add_fn({
                let inner = inner.clone();
                move |x| inner.forward(x)
            })))
        },
        |_, _| Ok(()),
    );
    let nested =
        Session::new(&fixed, &data).fit(&MultiRun::new(2), 1).unwrap().combine(&GeometricMean).unwrap();
    let p = candle_nn::ops::softmax(&logits, 1).unwrap();
    assert!(distance(&nested.predict_proba(x).unwrap(), &p) < 1e-6);
}

#[test]
fn an_ensemble_is_a_network_of_any_type() {
    let data = line(5, 20, 0.1);
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).epochs(2);
    let ensemble = fit(&trainer, &data, &Median);
    let expected = bits(&ensemble.predict(data.inputs()).unwrap());
    let boxed = AnyNetwork::new(ensemble);
    assert_eq!(bits(&boxed.run(data.inputs(), false).unwrap()), expected);
}

// ---- Networks of all kinds.

/// A network with two inputs of different widths.
struct TwoInputs(Linear, Linear);

impl Network for TwoInputs {
    fn run(&self, inputs: &Inputs, _: bool) -> CandleResult<Tensor> {
        let [a, b] = inputs.tensors() else { candle_core::bail!("two inputs are needed") };
        self.0.forward(a)? + self.1.forward(b)?
    }
}

#[test]
fn networks_of_several_inputs_train_and_predict() {
    let (a, b) = (normal(6, 80, 2), normal(7, 80, 3));
    let y = (a.sum(1).unwrap() - b.sum(1).unwrap()).unwrap();
    let inputs = Inputs::from(vec![a, b]);
    let data = TensorDataset::regression(inputs.clone(), &y).unwrap();
    let trainer = Trainer::new(|vb| Ok(TwoInputs(linear(2, 1, vb.pp("a"))?, linear(3, 1, vb.pp("b"))?)))
        .optimizer(Optimizer::adam(5e-2))
        .epochs(60);
    let plan = Session::new(&trainer, &data).plan(&Bagging::new(3), 1).unwrap();
    let plan = plan.reserve(0.3, &data, 2).unwrap();
    let session = Session::new(&trainer, &data);
    for predicted in [
        session.train(&plan).unwrap().combine(&Mean).unwrap().predict(&inputs).unwrap(),
        session
            .train(&plan)
            .unwrap()
            .combine(&Stack::new(stack::Linear))
            .unwrap()
            .batch_rows(9)
            .predict(&inputs)
            .unwrap(),
    ] {
        assert!(distance(&predicted.squeeze(1).unwrap(), &y) < 0.1);
    }
    let ensemble = session.train(&plan).unwrap().combine(&Mean).unwrap();
    let e = ensemble.predict(&inputs.tensors()[0]).unwrap_err().to_string();
    assert!(e.contains("two inputs are needed") && !e.contains('\n'), "{e}");
}

struct ConvNet {
    conv: Conv2d,
    norm: BatchNorm,
    out: Linear,
}

impl ConvNet {
    fn new(vb: VarBuilder<'_>) -> CandleResult<Self> {
        let same = Conv2dConfig { padding: 1, ..Default::default() };
        Ok(Self {
            conv: conv2d(1, 4, 3, same, vb.pp("conv"))?,
            norm: batch_norm(4, 1e-5, vb.pp("norm"))?,
            out: linear(16, 2, vb.pp("out"))?,
        })
    }
}

impl ModuleT for ConvNet {
    fn forward_t(&self, images: &Tensor, train: bool) -> CandleResult<Tensor> {
        let xs = self.norm.forward_t(&self.conv.forward(images)?, train)?.relu()?.max_pool2d(2)?;
        self.out.forward(&xs.flatten_from(1)?)
    }
}

/// Images of two classes; those of class 1 have a bright left half.
fn images() -> TensorDataset {
    let noise = normal(8, 60, 16).reshape((60, 1, 4, 4)).unwrap();
    let left = Tensor::from_iter((0..960u32).map(|i| f32::from((i / 16) % 2 == 1 && i % 4 < 2) * 2.), &CPU);
    let images = (noise + left.unwrap().reshape((60, 1, 4, 4)).unwrap()).unwrap();
    let labels = Tensor::from_iter((0..60u32).map(|i| i % 2), &CPU).unwrap();
    TensorDataset::classification(images, &labels).unwrap()
}

#[test]
fn members_have_their_own_batch_norm_statistics() {
    let data = images();
    let trainer = Trainer::new(ConvNet::new).optimizer(Optimizer::adam(1e-2)).batch_size(16).epochs(12);
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(3), 1).unwrap();
    let members = pool.members().to_vec();
    for member in &members {
        let mean = flat(&member.weights["norm.running_mean"]);
        assert!(mean.iter().any(|m| m.abs() > 1e-3), "the statistics have changed: {mean:?}");
        let back = Member::from_bytes(&member.to_bytes().unwrap()).unwrap();
        assert_eq!(mean, flat(&back.weights["norm.running_mean"]));
    }
    let ensemble = pool.combine(&Mean).unwrap();
    let x = data.inputs();
    let accuracy =
        candle_ensemble::metrics::accuracy(&ensemble.predict_proba(x).unwrap(), data.labels().unwrap(), None);
    assert!(accuracy.unwrap() > 0.9);

    // In evaluation mode a row's prediction does not depend on other rows, and predicting changes no
    // statistics.
    let all = ensemble.predict_proba(x).unwrap();
    let alone = ensemble.predict_proba(x.narrow(17, 1).unwrap()).unwrap();
    assert!(distance(&alone, &all.narrow(0, 17, 1).unwrap()) < 1e-6);
    assert_eq!(bits(&all), bits(&ensemble.predict_proba(x).unwrap()));
    // The prediction depends on the statistics: with those of a new network it differs.
    let mut without = members[0].weights.clone();
    for (name, value) in [("norm.running_mean", 0.), ("norm.running_var", 1.)] {
        without.insert(name.into(), without[name].ones_like().unwrap().affine(value, 0.).unwrap());
    }
    let predict = |weights: &candle_ensemble::weights::Weights| {
        let weights = weights.clone().into_iter().collect();
        let net = ConvNet::new(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu)).unwrap();
        candle_nn::ops::softmax(&net.forward_t(x.only().unwrap(), false).unwrap(), 1).unwrap()
    };
    let first = ensemble.member_predictions(x).unwrap().get(0).unwrap();
    assert!(distance(&predict(&members[0].weights), &first) < 1e-6);
    assert!(distance(&predict(&without), &first) > 1e-3);
}

// ---- Inputs of any length.

#[test]
fn predictions_in_several_passes_equal_those_in_one() {
    let data = blobs(9, 60, 3, 0.6);
    let trainer = Trainer::new(|vb| mlp(3, vb)).epochs(3);
    let x = normal(10, 100_000, 2);
    let in_passes = fit(&trainer, &data, &GeometricMean);
    let predicted = in_passes.predict_proba(&x).unwrap();
    let at_once = in_passes.batch_rows(100_000);
    let expected = at_once.predict_proba(&x).unwrap();
    assert_eq!(predicted.dims(), [100_000, 3]);
    assert!(distance(&predicted, &expected) < 1e-6);
    assert!(distance(&at_once.forward(&x).unwrap().exp().unwrap(), &expected) < 1e-6);
    let (classes, sums) = (at_once.predict(&x).unwrap(), flat(&predicted.sum(1).unwrap()));
    assert_eq!(classes.dims(), [100_000]);
    assert!(sums.iter().all(|sum| (sum - 1.).abs() < 1e-5));
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let data = blobs(11, 40, 3, 0.6);
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(1);
    let ensemble = fit(&trainer, &data, &Mean);
    let empty = Tensor::zeros((0, 2), DType::F32, &CPU).unwrap();
    let message_of = |outcome: candle_ensemble::Result<Tensor>| outcome.unwrap_err().to_string();
    for e in [
        message_of(ensemble.predict(&empty)),
        message_of(ensemble.predict_proba(&empty)),
        message_of(ensemble.member_predictions(&empty)),
        message_of(ensemble.predict(Inputs::from(vec![]))),
    ] {
        assert_eq!(e, "number of rows of the inputs must be at least 1, but is 0");
    }
    for bad in [
        Inputs::from(Tensor::zeros((4, 3), DType::F32, &CPU).unwrap()),
        Inputs::from(Tensor::zeros((4, 2), DType::F64, &CPU).unwrap()),
        Inputs::from(Tensor::zeros((), DType::F32, &CPU).unwrap()),
        Inputs::from(vec![normal(1, 4, 2), normal(1, 4, 2)]),
    ] {
        let e = message_of(ensemble.predict(bad));
        assert!(!e.contains('\n') && !e.is_empty(), "{e}");
    }
    // A layer may be called with no rows; it must not panic.
    let _ = ensemble.forward(&empty);
}

// ---- Gains of an ensemble.

/// For each of 20 data sets and seeds, the mean of ten networks has a lower squared error on unseen rows than
/// the networks have on average.
#[test]
fn the_mean_of_ten_is_better_than_the_average_network() {
    let trainer = Trainer::new(|vb| {
        Ok(seq().add(linear(2, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 1, vb.pp(1))?))
    })
    .optimizer(Optimizer::adam(2e-2))
    .epochs(15);
    let mut gains = vec![];
    for seed in 0..20 {
        let (data, test) = (line(seed, 40, 1.), line(seed + 500, 200, 1.));
        let pool = Session::new(&trainer, &data).fit(&Bagging::new(10), seed).unwrap();
        let ensemble = pool.combine(&Mean).unwrap();
        let truth = test.targets().unsqueeze(1).unwrap();
        let error = |predicted: &Tensor| {
            (predicted - &truth).unwrap().sqr().unwrap().mean_all().unwrap().to_vec0::<f32>().unwrap()
        };
        let each = ensemble.member_predictions(test.inputs()).unwrap();
        let alone = (0..10).map(|i| error(&each.get(i).unwrap())).sum::<f32>() / 10.;
        let together = error(&ensemble.predict(test.inputs()).unwrap());
        assert!(together < alone, "seed {seed}: {together} against {alone}");
        gains.push(1. - together / alone);
    }
    let mean = gains.iter().sum::<f32>() / 20.;
    assert!(mean > 0.05, "the mean gain is large: {mean}");
}

proptest! {
    /// The error of the ensemble is the mean error of its members minus their ambiguity, which is their mean
    /// squared distance from the ensemble (Krogh and Vedelsby 1995).
    #[test]
    fn the_error_of_a_mean_is_the_mean_error_less_the_ambiguity(
        (members, truth) in (1usize..8, 1usize..20, 1usize..4).prop_flat_map(|(s, b, k)| (
            prop::collection::vec(prop::collection::vec(-3f32..3., b * k), s),
            prop::collection::vec(-3f32..3., b * k).prop_map(move |y| (y, b, k)),
        ))
    ) {
        let (truth, rows, outputs) = truth;
        let slots = members.len();
        let values = Tensor::from_vec(members.concat(), (slots, rows, outputs), &CPU).unwrap();
        let predicted = flat(&Mean.combine(&Predictions::new(values, Task::Regression { outputs }).unwrap()).unwrap());
        let n = (rows * outputs) as f64;
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n;
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (truth, members): (_, Vec<_>) = (wide(&truth), members.iter().map(|m| wide(m)).collect());
        let mean = |f: &dyn Fn(&Vec<f64>) -> f64| members.iter().map(f).sum::<f64>() / slots as f64;
        let ambiguity = mean(&|m| distance(m, &predicted));
        let expected = mean(&|m| distance(m, &truth)) - ambiguity;
        let error = distance(&predicted, &truth);
        prop_assert!((error - expected).abs() < 1e-5, "{} is not {}", error, expected);
        prop_assert!(ambiguity >= 0.);
    }
}

#[test]
fn combiners_chosen_at_run_time_combine_predictions() {
    let data = blobs(12, 40, 3, 0.6);
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).epochs(2);
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(4), 42).unwrap();
    let predictions = pool.predictions(data.inputs()).unwrap();
    let rules: Vec<Box<dyn FittedCombiner>> =
        vec![Box::new(Mean), Box::new(GeometricMean), Box::new(HardVote), Box::new(Median)];
    for rule in rules {
        let predicted = rule.combine(&predictions).unwrap();
        assert_eq!(predicted.dims(), [40, 3], "{}", rule.name());
        assert!(
            flat(&predicted.sum(1).unwrap()).iter().all(|sum| (sum - 1.).abs() < 1e-5),
            "{}",
            rule.name()
        );
    }
}

/// Each row is scored by the members that have not seen it.
#[test]
fn the_out_of_bag_estimate_uses_the_members_that_left_a_row_out() {
    let data = blobs(13, 60, 3, 0.9);
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).optimizer(Optimizer::adam(1e-1)).epochs(4);
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(6), 42).unwrap();
    let predictions: Vec<Vec<Vec<f32>>> =
        pool.predictions(data.inputs()).unwrap().values().to_vec3().unwrap();
    let labels = data.labels().unwrap();
    let (mut right, mut rows) = (0., 0.);
    for row in 0..60u32 {
        let slots = 0..pool.members().len();
        let left_out = slots.filter(|slot| !pool.members()[*slot].record.seen.contains(row));
        let mut sum = [0f32; 3];
        let mut count = 0;
        for slot in left_out {
            (0..3).for_each(|c| sum[c] += predictions[slot][row as usize][c]);
            count += 1;
        }
        if count > 0 {
            let winner = (0..3).max_by(|a, b| sum[*a].total_cmp(&sum[*b])).unwrap();
            right += f64::from(u8::from(winner == labels[row as usize] as usize));
            rows += 1.;
        }
    }
    let held_out = pool.held_out().unwrap();
    assert_eq!(held_out.rows().len() as f64, rows);
    let accuracy = held_out.metrics(&Mean).unwrap().headline();
    assert!((accuracy - right / rows).abs() < 1e-12, "{accuracy}, not {}", right / rows);
    assert!(accuracy < 1. && accuracy > 0.5, "{accuracy}");
    for rule in [&GeometricMean as &dyn FittedCombiner, &HardVote, &Median] {
        assert!(held_out.metrics(rule).unwrap().headline() > 0.5, "{}", rule.name());
    }
}

#[test]
fn a_refit_network_predicts_for_its_folds_at_inference_and_makes_no_held_out_predictions() {
    let x = normal(3, 60, 2);
    let y = x.sqr().unwrap().sum(1).unwrap();
    let data = TensorDataset::regression(x.clone(), &y).unwrap();
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).epochs(3);
    let session = Session::new(&trainer, &data);
    let pool = |builder: &KFold, reserve: bool| {
        let plan = session.plan(builder, 5).unwrap();
        let plan = if reserve { plan.reserve(0.2, &data, 6).unwrap() } else { plan };
        session.train(&plan).unwrap()
    };
    for reserve in [false, true] {
        let (mean, refit) = (pool(&KFold::new(4), reserve), pool(&KFold::new(4).refit(true), reserve));
        assert_eq!((mean.members().len(), refit.members().len(), refit.slots()), (4, 5, 1));
        let held_out =
            |pool: &Pool<'_, _>| pool.held_out().unwrap().predictions().values().flatten_all().unwrap();
        let (a, b) = (held_out(&mean), held_out(&refit));
        assert_eq!(a.to_vec1::<f32>().unwrap(), b.to_vec1::<f32>().unwrap());
        assert_eq!(refit.held_out().unwrap().costs(), [3.]);
        let seen = if reserve { 48 } else { 60 };
        assert_eq!(refit.members()[4].record.seen.len(), seen);
        let alone = refit.predictions_per_member(&x).unwrap().values().get(4).unwrap();
        let rule = Stack::new(stack::Ridge::new(1.));
        let (by_mean, ensemble) = (mean.combine(&rule).unwrap(), refit.combine(&rule).unwrap());
        assert_eq!(
            ensemble.fitted(),
            by_mean.fitted(),
            "the combiner is fitted on predictions of the fold models"
        );
        let predicted = ensemble.member_predictions(&x).unwrap().get(0).unwrap();
        assert_eq!(predicted.to_vec2::<f32>().unwrap(), alone.to_vec2::<f32>().unwrap());
        assert_eq!(ensemble.members().len(), 1);
        let back = Ensemble::<_, <Stack<stack::Ridge> as Combiner>::Fitted>::from_bytes(
            &ensemble.to_bytes().unwrap(),
            &trainer,
            &Device::Cpu,
        );
        assert!(back.unwrap().members()[0].record.refit);
    }
}
