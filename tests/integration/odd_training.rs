//! Odd models, odd data and odd numbers in training: what is trained all the same, and what is refused, with the
//! cause in the error.
use crate::common::{bits, blobs, flat, line, normal, weights, Recording, CPU};
use candle_core::{DType, Device, Module, ModuleT, Result as CandleResult, Tensor, D};
use candle_ensemble::{
    data::{Batch, Dataset, Fingerprint, Inputs, LastBatch, Task, TensorDataset},
    exec::Sequential,
    plan::{Horizontal, Settings},
    strategy::{EnsembleBuilder, KFold, MultiRun, RandomSubspace},
    train::{Averaging, Clip, CustomLoop, EarlyStopping, Learner, Loss, Optimizer, Run, Trainer},
    Error, Member, Network, Session,
};
use candle_nn::{
    batch_norm, embedding, linear, seq, Activation, BatchNorm, Embedding, Init, Linear, VarBuilder,
};
use std::sync::atomic::{AtomicBool, Ordering};

fn train<L: Learner>(
    learner: &L,
    data: &dyn Dataset,
    builder: &dyn EnsembleBuilder,
) -> candle_ensemble::Result<Vec<Member>> {
    Ok(Session::new(learner, data).executor(&Sequential).fit(builder, 42)?.members().to_vec())
}

/// Trains one network on all rows.
fn one<L: Learner>(learner: &L, data: &dyn Dataset) -> Member {
    train(learner, data, &MultiRun::new(1)).unwrap().remove(0)
}

fn error<L: Learner>(learner: &L, data: &dyn Dataset) -> Error {
    match train(learner, data, &MultiRun::new(1)) {
        Ok(_) => panic!("trained, in place of an error"),
        Err(e) => e,
    }
}

#[test]
fn inputs_of_another_type_than_the_variables_are_named() {
    let of = |dtype| {
        let x = Tensor::arange(0f32, 24., &CPU).unwrap().reshape((12, 2)).unwrap().to_dtype(dtype).unwrap();
        TensorDataset::classification(x, &Tensor::from_iter((0..12u32).map(|i| i % 2), &CPU).unwrap())
            .unwrap()
    };
    let (f32s, f64s) = (of(DType::F32), of(DType::F64));
    let expected = |e: Error| {
        let text = "the type of the inputs must be f32, as the network's variables are (Tensor::to_dtype converts inputs, \
                    Trainer::dtype the variables), but is f64";
        assert!(e.to_string().ends_with(text), "{e}");
    };
    let theirs = Trainer::new(|vb| linear(2, 2, vb)).epochs(1);
    let ours = Trainer::new(|vb| candle_ensemble::nn::linear(2, 2, vb)).epochs(1);
    expected(error(&theirs, &f64s));
    expected(error(&ours, &f64s));
    let several = Session::new(&ours, &f64s).executor(&Sequential).fit(&MultiRun::new(3), 42);
    expected(several.err().unwrap());
    let pool = Session::new(&theirs, &f32s).executor(&Sequential).fit(&MultiRun::new(2), 42).unwrap();
    expected(pool.predictions(f64s.inputs()).err().unwrap());
    // A network that converts its inputs itself is not disturbed.
    let converts = Trainer::new(|vb: VarBuilder<'static>| {
        let layer = linear(2, 2, vb)?;
        Ok(move |x: &Tensor| layer.forward(&x.to_dtype(DType::F32)?))
    });
    one(&converts.epochs(1), &f64s);
}

/// The error of a number that is not finite, whose message has these parts and does not blame the learning rate.
fn not_finite<L: Learner>(learner: &L, data: &dyn Dataset, parts: &[&str]) {
    let e = error(learner, data);
    assert!(matches!(e, Error::NotFinite { run: 0, .. }), "{e:?}");
    let e = e.to_string();
    assert!(!e.contains("learning rate") && !e.contains('\n'), "{e}");
    for part in parts {
        assert!(e.contains(part), "{e} does not say {part}");
    }
}

/// The training rows of an epoch, as `data` was asked for them.
fn batch_sizes<L: Learner>(learner: &L, data: TensorDataset) -> Vec<usize> {
    let data = Recording::new(data);
    one(learner, &data);
    data.take().iter().map(Vec::len).collect()
}

// ---- Batch normalization.

/// Batch normalization of two columns, then a linear layer.
struct Normed(BatchNorm, Linear);

impl Normed {
    fn new(vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(Self(batch_norm(2, 1e-5, vb.pp("norm"))?, linear(2, 1, vb.pp("out"))?))
    }
}

impl ModuleT for Normed {
    fn forward_t(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        self.1.forward(&self.0.forward_t(x, train)?)
    }
}

fn normed() -> Trainer<Normed> {
    Trainer::new(Normed::new).batch_size(8).epochs(1)
}

/// The mean and the variance (with n − 1) of a column.
fn moments(data: &TensorDataset, column: usize) -> (f64, f64) {
    let x: Vec<f64> = flat(data.inputs().only().unwrap()).chunks(2).map(|row| row[column]).collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64)
}

#[test]
fn a_single_last_row_joins_the_batch_before_it_where_there_is_batch_normalization() {
    // One batch of nine rows: the statistics are 0.1 times those of the batch plus 0.9 times 0 and 1.
    let data = line(1, 9, 0.1);
    let member = one(&normed(), &data);
    for column in 0..2 {
        let (mean, variance) = moments(&data, column);
        let got = |name: &str| flat(&member.weights[name])[column];
        assert!((got("norm.running_mean") - 0.1 * mean).abs() < 1e-6);
        assert!((got("norm.running_var") - 0.9 - 0.1 * variance).abs() < 1e-6);
    }
    assert_eq!(batch_sizes(&normed(), line(1, 9, 0.1)), [9]);
    assert_eq!(batch_sizes(&normed(), line(1, 17, 0.1)), [8, 9]);
    assert_eq!(batch_sizes(&normed(), line(1, 18, 0.1)), [8, 8, 2]);
    assert_eq!(batch_sizes(&normed().last_batch(LastBatch::Drop), line(1, 18, 0.1)), [8, 8]);
}

/// Without batch normalization nothing has changed.
#[test]
fn a_single_last_row_stays_alone_without_batch_normalization() {
    let data = line(1, 9, 0.1);
    let trainer = || Trainer::new(|vb| linear(2, 1, vb)).batch_size(8).epochs(3);
    assert_eq!(batch_sizes(&trainer().epochs(1), data.clone()), [8, 1]);
    let kept = weights(&one(&trainer().last_batch(LastBatch::Keep), &data));
    assert_eq!(weights(&one(&trainer(), &data)), kept);
    for other in [LastBatch::Join, LastBatch::Drop] {
        assert_ne!(weights(&one(&trainer().last_batch(other), &data)), kept, "{other:?}");
    }
}

#[test]
fn statistics_of_a_single_row_are_an_error_that_names_them_and_their_cause() {
    let parts = ["`norm.running_var`[0] is NaN", "after epoch 0", "single row", "at least 2 rows"];
    let keep = normed().last_batch(LastBatch::Keep).epochs(5);
    not_finite(&keep, &line(1, 9, 0.1), &parts);
    not_finite(&normed().batch_size(1), &line(1, 9, 0.1), &parts);
    not_finite(&normed(), &line(1, 1, 0.1), &[&parts[..], &["the run trains on 1;"]].concat());
    // Before the average, and before a member is collected.
    not_finite(&normed().batch_size(1).averaging(Averaging::ema(0.9)), &line(1, 9, 0.1), &parts);
    let collected = train(&normed().batch_size(1).epochs(4), &line(1, 9, 0.1), &Horizontal::last(2));
    assert!(matches!(collected, Err(Error::NotFinite { .. })));
    // Batches of two rows are enough.
    one(&normed().batch_size(2), &line(1, 8, 0.1));
}

#[test]
fn custom_loops_get_no_single_last_row_for_batch_normalization() {
    let loop_of = |size: usize| {
        CustomLoop::new("reads batches", Normed::new, move |network: &Normed, run: &mut Run<'_>| {
            let mut rows = vec![];
            for batch in run.batches(0, size).chain(run.batches_in_order(size)) {
                let inputs = batch?.inputs;
                rows.push(inputs.rows());
                network.run(&inputs, true)?;
            }
            assert_eq!(rows.iter().sum::<usize>(), 18);
            Ok(())
        })
    };
    let member = one(&loop_of(8), &line(1, 9, 0.1));
    assert!(flat(&member.weights["norm.running_var"]).iter().all(|x| x.is_finite()));
    let parts = ["`norm.running_var`[0] is NaN", "after the training", "single row"];
    not_finite(&loop_of(1), &line(1, 9, 0.1), &parts);
}

#[test]
fn a_custom_loop_that_diverges_is_an_error() {
    let learner = CustomLoop::new(
        "diverges",
        |vb| linear(2, 1, vb),
        |_, run: &mut Run<'_>| {
            let (_, weight) = run.vars().named().pop().unwrap();
            weight.set(&Tensor::new(&[[1f32, f32::INFINITY]], &CPU)?)
        },
    );
    let e = error(&learner, &line(1, 9, 0.1)).to_string();
    assert!(e.starts_with("run 0: `weight`[0, 1] is inf after the training: the training loop has"), "{e}");
}

// ---- Rows.

#[test]
fn a_batch_larger_than_the_data_is_the_data() {
    let data = line(2, 7, 0.1);
    let trainer = |size| Trainer::new(|vb| linear(2, 1, vb)).batch_size(size).epochs(3);
    assert_eq!(weights(&one(&trainer(1000), &data)), weights(&one(&trainer(7), &data)));
}

#[test]
fn one_row_is_learned_by_heart() {
    let data = line(2, 1, 0.1);
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).optimizer(Optimizer::sgd(0.05)).epochs(300);
    let last = one(&trainer, &data).record.curve.pop().unwrap();
    assert!(last.train_loss < 1e-10, "{last:?}");
}

/// The training rows of a fold may have a single class.
#[test]
fn rows_of_one_class_are_trained() {
    let data = blobs(3, 30, 3, 0.2).subset(&[0, 3, 6, 9, 12]).unwrap();
    assert_eq!(data.labels().unwrap(), [0; 5]);
    let trainer = Trainer::new(|vb| linear(2, 3, vb)).optimizer(Optimizer::sgd(1.)).epochs(100);
    let last = one(&trainer, &data).record.curve.pop().unwrap();
    assert!(last.train_metric == 1. && last.train_loss < 0.05, "{last:?}");
}

#[test]
fn constant_features_are_trained_with_and_without_batch_normalization() {
    let y = line(4, 20, 0.1).targets().clone();
    let x = Tensor::full(3f32, (20, 2), &CPU).unwrap();
    let data = TensorDataset::regression(x, &y).unwrap();
    // All that a model can learn of a constant is the mean of the targets; the loss is then their variance.
    let mean = flat(&y).iter().sum::<f64>() / 20.;
    let variance = flat(&y).iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 20.;
    let sgd = |rate| Optimizer::sgd(rate);
    let plain = Trainer::new(|vb| linear(2, 1, vb)).optimizer(sgd(0.02)).batch_size(20).epochs(400);
    let normed = normed().optimizer(sgd(0.1)).batch_size(20).epochs(400);
    for loss in [&one(&plain, &data), &one(&normed, &data)].map(|m| m.record.curve[399].train_loss) {
        assert!((loss - variance).abs() < 1e-4 * variance, "{loss}, not {variance}");
    }
}

// ---- Models.

/// A network that does not look at its input: one learned value.
struct Constant(Tensor);

impl Module for Constant {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        self.0.broadcast_as((x.dim(0)?, 1))
    }
}

#[test]
fn a_network_that_ignores_its_input_learns_the_mean() {
    let data = line(5, 16, 0.5);
    let new = |vb: VarBuilder<'_>| Ok(Constant(vb.get_with_hints(1, "value", Init::Const(0.))?));
    let trainer = Trainer::new(new).optimizer(Optimizer::sgd(0.25)).batch_size(16).epochs(60);
    let mean = flat(data.targets()).iter().sum::<f64>() / 16.;
    assert!((flat(&one(&trainer, &data).weights["value"])[0] - mean).abs() < 1e-6);
}

#[test]
fn a_network_that_returns_no_variable_cannot_be_trained() {
    let new = |vb: VarBuilder<'_>| Ok(seq().add(linear(2, 1, vb)?).add_fn(|x| x.zeros_like()));
    let e = error(&Trainer::new(new), &line(5, 16, 0.5)).to_string();
    assert!(e.contains("no gradient reaches 2 of 2 variables: bias, weight; so nothing would be"), "{e}");
}

/// A body of four layers, cut off from the head by an operation without a backward pass.
#[test]
fn a_cut_in_a_network_says_what_would_be_trained_alone() {
    let new = |vb: VarBuilder<'_>| {
        let body = (0..8).try_fold(seq(), |body, i| {
            Ok::<_, candle_core::Error>(body.add(linear(2, 2, vb.pp(format!("body.{i}")))?))
        })?;
        Ok(body.add_fn(|x| Ok(x.detach())).add(linear(2, 1, vb.pp("head"))?))
    };
    let data = line(5, 16, 0.5);
    let e = error(&Trainer::new(new), &data);
    let Error::NoGradient { run: 0, names, trained } = &e else { panic!("{e:?}") };
    assert_eq!((names.len(), trained.as_slice()), (16, &["head.bias".to_string(), "head.weight".into()][..]));
    let e = e.to_string();
    for part in [
        "no gradient reaches 16 of 18 variables: body.* (16); so only head.bias, head.weight would be trained",
        "initial values",
        "layer_norm_slow",
        "only if these variables are meant to",
    ] {
        assert!(e.contains(part), "{e} does not say {part}");
    }
    // It is what the message says that it is.
    let frozen = one(&Trainer::new(new).allow_frozen(true).epochs(2), &data);
    let fresh = one(&CustomLoop::new("none", new, |_, _| Ok(())), &data);
    for (name, weight) in &frozen.weights {
        assert_eq!(bits(weight) == bits(&fresh.weights[name]), name.starts_with("body"), "{name}");
    }
}

/// All hidden units of a network whose weights are 0 stay alike, and only its last bias is trained.
#[test]
fn a_network_of_zeros_learns_the_mean() {
    let zeros = |rows: usize, columns: usize, vb: VarBuilder<'_>| {
        let weight = vb.get_with_hints((rows, columns), "weight", Init::Const(0.))?;
        Ok::<_, candle_core::Error>(Linear::new(
            weight,
            Some(vb.get_with_hints(rows, "bias", Init::Const(0.))?),
        ))
    };
    let new = move |vb: VarBuilder<'_>| {
        Ok(seq().add(zeros(4, 2, vb.pp("a"))?).add(Activation::Relu).add(zeros(1, 4, vb.pp("b"))?))
    };
    let data = line(6, 16, 0.5);
    let trainer = Trainer::new(new).optimizer(Optimizer::sgd(0.25)).batch_size(16).epochs(60);
    let member = one(&trainer, &data);
    let mean = flat(data.targets()).iter().sum::<f64>() / 16.;
    assert!((flat(&member.weights["b.bias"])[0] - mean).abs() < 1e-6);
    for name in ["a.weight", "a.bias", "b.weight"] {
        assert!(flat(&member.weights[name]).iter().all(|w| *w == 0.), "{name}");
    }
}

/// Token ids, which must not be turned into floating-point numbers.
struct Bag(Embedding, Linear);

impl Module for Bag {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        self.1.forward(&self.0.forward(x)?.mean(1)?)
    }
}

#[test]
fn integer_inputs_are_embedded() {
    let tokens: Vec<u32> = (0..60).map(|i| i * 7 % 5).collect();
    let labels: Vec<u32> = tokens.chunks(3).map(|t| u32::from(t.contains(&4))).collect();
    let x = Tensor::from_vec(tokens, (20, 3), &CPU).unwrap();
    let data = TensorDataset::classification(x, &Tensor::new(labels, &CPU).unwrap()).unwrap();
    let new = |vb: VarBuilder<'_>| Ok(Bag(embedding(5, 4, vb.pp("tokens"))?, linear(4, 2, vb.pp("out"))?));
    let trainer = Trainer::new(new).optimizer(Optimizer::adam(0.05)).epochs(80);
    assert_eq!(one(&trainer, &data).record.curve[79].train_metric, 1.);
}

/// Minus infinity in a variable from the start, as in a mask of forbidden classes.
struct Masked(Linear, Tensor);

impl Module for Masked {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        self.0.forward(x)?.broadcast_add(&Tensor::cat(&[&self.1.zeros_like()?, &self.1.detach()], 0)?)
    }
}

#[test]
fn a_mask_of_minus_infinity_has_not_diverged() {
    let data = blobs(7, 30, 2, 0.3).subset(&[0, 2, 4, 6, 8]).unwrap();
    let new = |vb: VarBuilder<'_>| {
        let mask = vb.get_with_hints(1, "mask", Init::Const(f64::NEG_INFINITY))?;
        Ok(Masked(linear(2, 2, vb.pp("out"))?, mask))
    };
    // 0 · −∞ in `zeros_like` would be NaN; the first class is allowed.
    let trainer = Trainer::new(new).optimizer(Optimizer::sgd(0.1)).epochs(3).allow_frozen(true);
    let member = one(&trainer, &data);
    assert_eq!(flat(&member.weights["mask"]), [f64::NEG_INFINITY]);
    assert!(member.record.curve.iter().all(|epoch| epoch.train_loss == 0.));
}

// ---- Outputs that do not fit.

type LastLayer = fn(&Tensor) -> CandleResult<Tensor>;

/// The last layer of each refused network, and what the error says of it, for 9 rows of 3 classes.
fn misfits() -> Vec<(&'static str, LastLayer)> {
    vec![
        ("must be [9, 3] for 3 classes, but is [9, 2]", |x| x.narrow(1, 0, 2)),
        ("but is [9, 1]", |x| x.narrow(1, 0, 1)),
        ("but is [9, 1, 3]; remove the dimensions of size 1", |x| x.unsqueeze(1)),
        ("but is [3, 9]; rows come first", |x| x.t()),
        ("but is []; the network must return one output for each row", |x| x.mean_all()),
        ("but is [9]", |x| x.mean(D::Minus1)),
        ("but is [18, 3]", |x| Tensor::cat(&[x, x], 0)),
    ]
}

#[test]
fn an_output_that_does_not_fit_is_refused_on_the_first_batch() {
    let data = Recording::new(blobs(8, 9, 3, 0.5));
    for (text, misfit) in misfits() {
        let new = move |vb: VarBuilder<'_>| Ok(seq().add(linear(2, 3, vb)?).add_fn(misfit));
        data.take();
        let e = error(&Trainer::new(new).batch_size(9).epochs(50), &data).to_string();
        assert!(e.starts_with("run 0: the shape of the network's output for a batch of 9 rows"), "{e}");
        assert!(e.contains(text), "{e} does not say {text}");
        assert_eq!(data.take().len(), 1, "one batch was read");

        let begun = AtomicBool::new(false);
        let custom = CustomLoop::new("loop", new, |_, _| {
            begun.store(true, Ordering::SeqCst);
            Ok(())
        });
        let e = error(&custom, &data).to_string();
        assert!(e.starts_with("run 0: the shape of the network's output for a batch of 2 rows"), "{e}");
        assert!(!begun.into_inner(), "the loop has not begun");
    }
}

#[test]
fn values_and_two_classes_have_their_own_shapes() {
    let values = |outputs: usize, data: &TensorDataset| {
        error(&Trainer::new(move |vb| linear(2, outputs, vb)).batch_size(9), data).to_string()
    };
    assert!(values(2, &line(8, 9, 0.1)).contains("must be [9, 1] or [9] for one value, but is [9, 2]"));
    let two = values(3, &blobs(8, 9, 2, 0.5));
    assert!(
        two.contains("[9, 2], or [9, 1] or [9] with one logit for the 2 classes, but is [9, 3]"),
        "{two}"
    );
}

/// A learner of one's own has a check to call.
#[test]
fn a_run_checks_outputs_for_loops() {
    let learner = CustomLoop::new(
        "checks",
        |vb| linear(2, 3, vb),
        |network: &Linear, run: &mut Run<'_>| {
            for batch in run.batches_in_order(4) {
                let batch = batch?;
                let output = network.forward(batch.inputs.only()?)?;
                run.check_output(&output, 4)?;
            }
            Ok(())
        },
    );
    let e = error(&learner, &blobs(8, 9, 3, 0.5)).to_string();
    assert!(
        e.contains("for a batch of 4 rows must be [4, 3] for 3 classes, but is [5, 3]")
            || e.contains("[1, 3]"),
        "{e}"
    );
}

#[test]
fn a_loss_for_two_classes_is_refused_for_three() {
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).loss(Loss::BinaryCrossEntropy);
    let e = error(&trainer, &blobs(8, 9, 3, 0.5)).to_string();
    assert!(e.contains("unless there are 2 classes") && e.contains("3 classes"), "{e}");
}

// ---- Numbers that are not finite.

/// A data set that does not check its rows, with one number replaced.
struct Holed {
    data: TensorDataset,
    row: u32,
    column: usize,
    in_targets: bool,
}

impl Dataset for Holed {
    fn rows(&self) -> usize {
        self.data.rows()
    }
    fn task(&self) -> Task {
        self.data.task()
    }
    fn batch(&self, rows: &[u32], device: &Device) -> CandleResult<Batch> {
        let batch = self.data.batch(rows, device)?;
        let hole = |tensor: &Tensor| {
            let width = tensor.elem_count() / rows.len();
            let mut numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
            for (place, _) in rows.iter().enumerate().filter(|(_, row)| **row == self.row) {
                numbers[place * width + self.column] = f32::NAN;
            }
            Tensor::from_vec(numbers, tensor.shape(), device)
        };
        Ok(match self.in_targets {
            true => Batch { targets: hole(&batch.targets)?, ..batch },
            false => Batch { inputs: Inputs::from(hole(batch.inputs.only()?)?), ..batch },
        })
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"holed")
    }
}

#[test]
fn a_number_of_the_data_is_named_with_its_row_and_column() {
    let holed = |column, in_targets| Holed { data: line(9, 40, 0.1), row: 13, column, in_targets };
    // candle's relu turns NaN into 0, so the loss alone would not show it.
    let new = |vb: VarBuilder<'_>| {
        Ok(seq().add(linear(2, 4, vb.pp(0))?).add(Activation::Relu).add(linear(4, 1, vb.pp(1))?))
    };
    for optimizer in [Optimizer::adam(1e-3), Optimizer::sgd(1e-3)] {
        let trainer = Trainer::new(new).optimizer(optimizer).batch_size(6);
        let parts = ["inputs, row 13, column 1 is NaN", "in epoch 0, batch ", "the data set returned it"];
        not_finite(&trainer, &holed(1, false), &parts);
        not_finite(&trainer, &holed(0, true), &["targets, row 13 is NaN", "in epoch 0, batch "]);
    }
    // With some of the columns, the column is that of the data.
    let wide = TensorDataset::regression(normal(9, 40, 6), line(9, 40, 0.1).targets()).unwrap();
    let wide = Holed { data: wide, row: 13, column: 4, in_targets: false };
    let reading = Trainer::reading(&["inputs"], |settings: &Settings, vb| {
        linear(settings.count("inputs")?.unwrap_or(6), 1, vb)
    });
    let texts: Vec<_> = (0..6)
        .filter_map(|seed| {
            let session = Session::new(&reading, &wide).executor(&Sequential);
            session.fit(&RandomSubspace::new(1, 0.5), seed).err().map(|e| e.to_string())
        })
        .collect();
    assert!(!texts.is_empty() && texts.len() < 6, "column 4 is not in every subspace");
    assert!(texts.iter().all(|e| e.contains("inputs, row 13, column 4 is NaN")), "{texts:?}");
}

#[test]
fn a_number_of_a_validation_row_is_named() {
    let data = Holed { data: line(9, 40, 0.1), row: 13, column: 0, in_targets: true };
    let trainer = Trainer::new(|vb| linear(2, 1, vb)).early_stopping(EarlyStopping::default()).epochs(2);
    let texts: Vec<_> = (0..8)
        .map(|seed| {
            let session = Session::new(&trainer, &data).executor(&Sequential);
            session.fit(&MultiRun::new(1).validation(0.5), seed).err().unwrap().to_string()
        })
        .collect();
    let count = |part: &str| {
        texts.iter().filter(|e| e.contains("targets, row 13 is NaN") && e.contains(part)).count()
    };
    let (training, validation) = (count("in epoch 0, batch"), count("in the validation after epoch 0"));
    assert!(training > 0 && validation > 0 && training + validation == 8, "{texts:?}");
}

#[test]
fn an_untrained_network_is_not_said_to_diverge() {
    let data = line(10, 20, 0.1);
    let with = |f: fn(&Tensor) -> CandleResult<Tensor>| {
        Trainer::new(move |vb: VarBuilder<'_>| Ok(seq().add(linear(2, 1, vb)?).add_fn(f)))
    };
    let parts = ["the network's output for row ", "in epoch 0, batch 0", "nothing has been trained yet"];
    not_finite(&with(|x| (x.abs()? * -1.)?.log()), &data, &parts);
    // Finite numbers whose squares are not.
    let huge = TensorDataset::regression(data.inputs(), &(data.targets() * 1e30).unwrap()).unwrap();
    not_finite(&with(|x| Ok(x.clone())), &huge, &["the loss is inf in epoch 0, batch 0", "standardize"]);
    // sqrt has an infinite derivative at 0.
    for clip in [Clip::None, Clip::Norm(1.)] {
        let trainer = with(|x| (x - x)?.sqrt()).clip(clip);
        not_finite(&trainer, &data, &["the gradient of `bias`[0] is", "in epoch 0, batch 0", "sqrt"]);
    }
}

#[test]
fn a_network_that_diverges_names_the_learning_rate_and_the_variable() {
    let data = line(11, 20, 0.1);
    let trainer =
        Trainer::new(|vb| linear(2, 1, vb)).optimizer(Optimizer::sgd(1e300)).batch_size(20).epochs(1);
    let e = error(&trainer, &data);
    let Error::Diverged { what, value, .. } = &e else { panic!("{e:?}") };
    assert_eq!((what.as_str(), value.is_finite()), ("`bias`[0]", false), "{e}");
    assert!(e.to_string().contains("lower the learning rate"), "{e}");
}

/// Behaves in training, and returns NaN in evaluation.
struct Fickle(Linear);

impl ModuleT for Fickle {
    fn forward_t(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        let y = self.0.forward(x)?;
        if train {
            Ok(y)
        } else {
            y * f64::NAN
        }
    }
}

#[test]
fn a_validation_loss_that_is_nan_is_an_error() {
    let trainer = Trainer::new(|vb| Ok(Fickle(linear(2, 1, vb)?))).epochs(2);
    let data = line(11, 20, 0.1);
    let session = Session::new(&trainer, &data).executor(&Sequential);
    let session = session.fit(&KFold::new(2).validation(0.3), 1);
    let e = session.err().unwrap().to_string();
    assert!(e.contains("the validation loss is NaN in the validation after epoch 0"), "{e}");
}

// ---- Precision.

/// One weight that starts at 1, times the input.
struct Scale(Tensor, DType);

impl Module for Scale {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        x.to_dtype(self.1)?.broadcast_mul(&self.0)
    }
}

/// The weight after 1000 steps of 1e-4: the derivative of the absolute error is 1 while the weight is above 0.
fn after_small_steps(dtype: DType) -> f64 {
    let x = Tensor::ones((1, 1), DType::F32, &CPU).unwrap();
    let data = TensorDataset::regression(x, &Tensor::zeros(1, DType::F32, &CPU).unwrap()).unwrap();
    let new = move |vb: VarBuilder<'_>| Ok(Scale(vb.get_with_hints(1, "weight", Init::Const(1.))?, dtype));
    let trainer = Trainer::new(new).dtype(dtype).loss(Loss::MeanAbsolute).optimizer(Optimizer::sgd(1e-4));
    flat(&one(&trainer.epochs(1000), &data).weights["weight"])[0]
}

/// The spacing of `bf16` just below 1 is 2⁻⁸, that of `f16` 2⁻¹¹, and both are larger than twice the step.
#[test]
fn steps_below_the_spacing_of_half_precision_add_up() {
    assert!((after_small_steps(DType::F64) - 0.9).abs() < 1e-12);
    // Each step is rounded to multiples of 2⁻²⁴.
    assert!((after_small_steps(DType::F32) - 0.9).abs() < 1000. * 2f64.powi(-25));
    let nearest = |spacing: f64| (0.9 / spacing).round() * spacing;
    assert_eq!(after_small_steps(DType::BF16), nearest(2f64.powi(-8)));
    assert_eq!(after_small_steps(DType::F16), nearest(2f64.powi(-11)));
}

/// The targets are around 10⁹ and their noise is a thousandth: far below what `f32` can tell apart.
#[test]
fn the_figures_of_a_network_in_f64_are_those_of_f64() {
    let narrow = line(12, 40, 0.001);
    let x = narrow.inputs().only().unwrap().to_dtype(DType::F64).unwrap();
    let y = (narrow.targets().to_dtype(DType::F64).unwrap() + 1e9).unwrap();
    let data = TensorDataset::regression(x, &y).unwrap();
    let new = |vb: VarBuilder<'_>| {
        let weight = vb.get_with_hints((1, 2), "weight", Init::Const(0.))?;
        Ok(Linear::new(weight, Some(vb.get_with_hints(1, "bias", Init::Const(1e9))?)))
    };
    let trainer = Trainer::new(new).dtype(DType::F64).optimizer(Optimizer::sgd(0.1)).epochs(60);
    for epoch in &one(&trainer, &data).record.curve {
        let mean_square = epoch.train_metric.powi(2);
        assert!((mean_square - epoch.train_loss).abs() <= 1e-9 * epoch.train_loss, "{epoch:?}");
    }
}
