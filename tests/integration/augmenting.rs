//! Batch transforms in the trainer: what a training with them is, that it resumes, and that nothing else is transformed.
use crate::{
    common::{blobs, distance, flat, line, listed, normal, weights, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use candle_ensemble::{
    data::{Batch, Scaling, TensorDataset},
    exec::{Executor, Sequential as OneByOne, Stacked},
    nn::{self, Sequential},
    plan::Settings,
    strategy::MultiRun,
    train::{
        BatchTransforms, CutMix, Cutout, FitTransform, Learner, Mixup, Noise, Optimizer, RandomFlip, Sgd,
        TargetNoise, Trainer,
    },
    weights::Weights,
    Checkpoints, Member, Result, Session,
};
use candle_nn::{Init, VarBuilder};
use rand::Rng;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

const OF_IMAGES: [&str; 6] =
    ["flip:horizontal", "flip:vertical:0.3", "crop:1", "rotate90", "cutout:2:0.7", "cutmix:1:0.8"];

/// Images `(1, 4, 4)` of three classes.
fn images() -> TensorDataset {
    let x = normal(4, 30, 16).reshape((30, 1, 4, 4)).unwrap();
    let classes = Tensor::from_iter((0..30u32).map(|row| row % 3), &CPU).unwrap();
    TensorDataset::classification(x, &classes).unwrap()
}

fn of_images(transforms: &str) -> Trainer<Sequential> {
    let new = |vb: VarBuilder<'static>| {
        let flat = nn::seq().add_fn(|x: &Tensor| x.flatten_from(1));
        let hidden = flat.add(nn::linear(16, 6, vb.pp(0))?).add(nn::Activation::Relu);
        Ok(hidden.add(nn::linear(6, 3, vb.pp(1))?))
    };
    let trainer = Trainer::new(new).epochs(3).batch_size(8).optimizer(Optimizer::adam(0.01));
    trainer.augment(BatchTransforms::parse(transforms).unwrap())
}

fn linear(vb: VarBuilder<'static>) -> CandleResult<Sequential> {
    Ok(nn::seq().add(nn::linear(2, 1, vb)?))
}

fn one<L: Learner>(learner: &L, data: &TensorDataset) -> Result<Member> {
    Ok(Session::new(learner, data).fit(&MultiRun::new(1), 3)?.members()[0].clone())
}

#[test]
fn transforms_of_images_resume_to_the_bit_and_change_the_training() {
    let data = images();
    let plain = weights(&one(&of_images("none"), &data).unwrap());
    for text in OF_IMAGES {
        let trainer = of_images(text);
        assert!(weights(&one(&trainer, &data).unwrap()) != plain, "{text}");
        assert!(
            interrupt_everywhere_on(&data, &trainer, &MultiRun::new(2), Checkpoints::Epochs(1)) > 0,
            "{text}"
        );
    }
    // At probability 0 the training is the plain one.
    for text in ["flip:horizontal:0", "cutout:3:0", "mixup:0.2:0", "cutmix:1:0", "crop:0"] {
        assert!(weights(&one(&of_images(text), &data).unwrap()) == plain, "{text}");
    }
}

/// Also where rows have several targets, and the runs are trained one by one.
#[test]
fn stacked_members_are_those_of_one_by_one() -> Result<()> {
    let data = images();
    for text in ["flip,crop:1,cutout:2", "rotate90,mixup:0.4", "cutmix"] {
        let trainer = of_images(text);
        let session = Session::new(&trainer, &data);
        let fit = |members| session.clone().executor(members).fit(&MultiRun::new(3), 5);
        let side_by_side = Stacked::new(1)?;
        let (stacked, alone) = (fit(&side_by_side as &dyn Executor)?, fit(&OneByOne)?);
        for (a, b) in stacked.members().iter().zip(alone.members()) {
            assert!(weights(a) == weights(b), "{text}");
        }
    }
    Ok(())
}

/// Pictures `(1, 4, 4)` with a class for each pixel by its number; `None` where there is no ignored id.
fn pixels(ignore_index: Option<i64>) -> TensorDataset {
    let x = normal(4, 30, 16).reshape((30, 1, 4, 4)).unwrap();
    let classes = x.squeeze(1).unwrap().ge(0.).unwrap().to_dtype(DType::U32).unwrap();
    TensorDataset::dense(x, &classes, ignore_index).unwrap()
}

/// The same map at each pixel: mirrored pictures with mirrored classes have the same loss, and others have not.
fn of_pixels(transforms: &str) -> Trainer<Sequential> {
    let new = |vb: VarBuilder<'static>| {
        let layers =
            nn::seq().add(nn::conv2d(1, 3, 1, Default::default(), vb.pp(0))?).add(nn::Activation::Relu);
        Ok(layers.add(nn::conv2d(3, 2, 1, Default::default(), vb.pp(1))?))
    };
    let trainer = Trainer::new(new).epochs(4).batch_size(8).optimizer(Optimizer::adam(0.05));
    trainer.augment(BatchTransforms::parse(transforms).unwrap())
}

/// A map of single pixels sees the same pixels and classes after each move that loses none.
#[test]
fn moves_of_pixels_with_their_classes_change_no_training_of_single_pixels() -> Result<()> {
    let data = pixels(None);
    let plain = one(&of_pixels("none"), &data)?;
    for text in ["flip:horizontal", "flip:vertical:1", "rotate90", "cutmix:1"] {
        let moved = one(&of_pixels(text), &data)?;
        for (name, weights) in &plain.weights {
            assert!(distance(weights, &moved.weights[name]) < 1e-4, "{text} {name}");
        }
        let [a, b] = [&plain, &moved].map(|member| member.record.curve.last().unwrap().clone());
        assert!((a.train_loss - b.train_loss).abs() < 1e-5 && (a.train_metric - b.train_metric).abs() < 1e-9);
    }
    Ok(())
}

#[test]
fn transforms_of_pixels_resume_to_the_bit() {
    let data = pixels(Some(255));
    let plain = weights(&one(&of_pixels("none"), &data).unwrap());
    for text in ["crop:1,flip", "rotate90,cutout:2", "cutmix:1,mixup:0.4", "mixup:0.4,crop:1,cutmix:1"] {
        let trainer = of_pixels(text);
        assert!(weights(&one(&trainer, &data).unwrap()) != plain, "{text}");
        let interrupted = interrupt_everywhere_on(&data, &trainer, &MultiRun::new(1), Checkpoints::Epochs(1));
        assert!(interrupted > 0, "{text}");
    }
}

/// A network that does not look at its inputs, with logits of its own at each of three positions. Each target of a batch is
/// that of one row and that of a partner, with shares whose sum is 1, so mixup changes nothing in its training, also where
/// positions are ignored and rows have weights.
#[test]
fn mixup_gives_each_position_and_each_label_both_targets() -> Result<()> {
    let x = normal(8, 24, 6).reshape((24, 3, 2))?;
    // The middle position has a class in each row, the others in most.
    let ids = (0..72u32).map(|at| match (at * at + at / 5) % 7 {
        0 | 3 if at % 3 != 1 => 9,
        n => n % 2,
    });
    let classes = Tensor::from_iter(ids, &CPU)?.reshape((24, 3))?;
    let weights_of_rows: Vec<f32> = (0..24u8).map(|row| f32::from(1 + row % 4)).collect();
    let blind = |shape: &'static [usize]| {
        move |vb: VarBuilder<'static>| {
            let logits = vb.get_with_hints(shape, "logits", Init::Randn { mean: 0., stdev: 1. })?;
            Ok(nn::seq()
                .add_fn(move |x: &Tensor| logits.broadcast_as([&[x.dim(0)?], logits.dims()].concat())))
        }
    };
    let trained = |shape, data: &TensorDataset, text: &str| {
        let trainer = Trainer::new(blind(shape)).epochs(5).batch_size(10).optimizer(Optimizer::adam(0.1));
        one(&trainer.augment(BatchTransforms::parse(text).unwrap()), data)
    };
    let texts = TensorDataset::dense(&x, &classes, Some(9))?.with_weights(weights_of_rows.clone())?;
    let labels =
        TensorDataset::multi_label(x.flatten_from(1)?, &classes.eq(1u32)?)?.with_weights(weights_of_rows)?;
    for (shape, data) in [(&[3usize, 2][..], &texts), (&[3], &labels)] {
        let (plain, mixed) = (trained(shape, data, "none")?, trained(shape, data, "mixup:0.4")?);
        let twice = trained(shape, data, "mixup:0.4,mixup:1")?;
        for member in [&mixed, &twice] {
            assert!(distance(&plain.weights["logits"], &member.weights["logits"]) < 1e-4);
            for (a, b) in plain.record.curve.iter().zip(&member.record.curve) {
                assert!((a.train_loss - b.train_loss).abs() < 1e-5, "{} {}", a.train_loss, b.train_loss);
            }
        }
    }
    Ok(())
}

/// A transform that does the same to every batch gives the training on rows that are so.
#[test]
fn a_training_with_a_transform_is_that_on_transformed_rows() -> Result<()> {
    let data = line(3, 40, 0.1);
    let doubled = data.with_inputs((data.inputs().only()? * 2.)?)?;
    let trainer = || Trainer::new(linear).epochs(3).optimizer(Optimizer::sgd(0.05));
    let double = |batch: Batch, _| Ok(Batch { inputs: (batch.inputs.only()? * 2.)?.into(), ..batch });
    let member = one(&trainer().augment_with("double, 1", double), &data)?;
    assert!(weights(&member) == weights(&one(&trainer(), &doubled)?));
    // The image of every row is mirrored.
    let (text, mirrored) = ("flip:horizontal:1", images());
    let x = mirrored.inputs().only()?.flip(&[3])?;
    assert!(
        weights(&one(&of_images(text), &images())?)
            == weights(&one(&of_images("none"), &mirrored.with_inputs(x)?)?)
    );
    Ok(())
}

/// Inputs are 0 in training, so their weights have no gradient; the rows of the validation are as they were.
#[test]
fn validation_and_prediction_have_no_transforms() -> Result<()> {
    let data = line(5, 40, 0.);
    let new = |vb: VarBuilder<'static>| {
        let weight = vb.get_with_hints((1, 2), "weight", Init::Const(1.))?;
        Ok(candle_nn::Linear::new(weight, None))
    };
    let nothing = |batch: Batch, _| Ok(Batch { inputs: batch.inputs.only()?.zeros_like()?.into(), ..batch });
    let trainer = Trainer::new(new).epochs(2).optimizer(Optimizer::sgd(0.1)).augment_with("nothing", nothing);
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(1).validation(0.5), 1)?;
    let pool = session.train(&plan)?;
    let member = &pool.members()[0];
    assert_eq!(flat(&member.weights["weight"]), [1., 1.]);
    // ŷ = x₀ + x₁ for y = 2 x₀ − x₁ + 0.5, on the validation rows.
    let rows = listed(&plan.runs[0].valid);
    let (x, y) = (flat(data.inputs().only()?), flat(data.targets()));
    let error = |row: &u32| (x[2 * *row as usize] + x[2 * *row as usize + 1] - y[*row as usize]).powi(2);
    let expected = rows.iter().map(error).sum::<f64>() / rows.len() as f64;
    let valid = member.record.curve[0].valid_loss.unwrap();
    assert!((valid - expected).abs() < 1e-5 * expected, "{valid} {expected}");
    Ok(())
}

/// The network is right about every row. With a small `α` a mixture is almost one of its two rows, and its class is that of
/// the target with the larger share, which is the other row's half of the time.
#[test]
fn the_metric_counts_against_the_target_with_the_largest_share() -> Result<()> {
    let x = Tensor::from_iter((0..64u32).map(|row| if row % 2 == 0 { -1f32 } else { 1. }), &CPU)?
        .reshape((64, 1))?;
    let classes = Tensor::from_iter((0..64u32).map(|row| row % 2), &CPU)?;
    let data = TensorDataset::classification(x, &classes)?;
    let new = |vb: VarBuilder<'static>| {
        Ok(candle_nn::Linear::new(vb.get_with_hints((1, 1), "weight", Init::Const(3.))?, None))
    };
    let trainer = Trainer::new(new).epochs(6).batch_size(8).optimizer(Optimizer::sgd(1e-30));
    let member = one(&trainer.clone().augment(Mixup::new(0.01)), &data)?;
    assert!(member.record.curve.iter().all(|epoch| epoch.train_metric > 0.97), "{:?}", member.record.curve);
    // Half and half: the loss is far above that of the rows.
    let plain = one(&trainer, &data)?.record.curve[0].train_loss;
    let mixed = one(&trainer.augment(Mixup::new(1.)), &data)?.record.curve[0].train_loss;
    assert!(mixed > 3. * plain, "{mixed} {plain}");
    Ok(())
}

/// Everything works together and resumes, the weights of the rows matter, and the metric is in the units of the targets.
#[test]
fn transforms_go_with_scaling_noise_weights_and_accumulation() -> Result<()> {
    let data = blobs(2, 40, 2, 0.4);
    let heavy = data.clone().with_weights((0..40).map(|row| row as f32 / 10.).collect())?;
    let new = |vb: VarBuilder<'static>| Ok(nn::seq().add(nn::linear(2, 2, vb)?));
    let trainer = Trainer::new(new).epochs(3).batch_size(8).augment(Mixup::new(0.5));
    let trainer = trainer.input_scaling(Scaling::Standardize).noise(Noise::from(TargetNoise::new(0.1)));
    let trainer = trainer.accumulate(2).optimizer(Sgd::new(0.1).momentum(0.9));
    let members = [one(&trainer, &data)?, one(&trainer, &heavy)?];
    assert!(members.iter().all(|member| member
        .record
        .curve
        .iter()
        .all(|epoch| epoch.train_loss.is_finite())));
    assert!(distance(&members[0].weights["weight"], &members[1].weights["weight"]) > 1e-4);
    assert!(interrupt_everywhere_on(&heavy, &trainer, &MultiRun::new(2), Checkpoints::Epochs(1)) > 0);
    let data = line(3, 40, 0.1);
    let far = TensorDataset::regression(data.inputs(), &(data.targets() + 1e3)?)?;
    let trainer = Trainer::new(linear).epochs(30).batch_size(8).optimizer(Optimizer::adam(0.05));
    let trainer = trainer.target_scaling(Scaling::Standardize).augment(Mixup::new(0.2));
    let curve = one(&trainer, &far)?.record.curve;
    assert!(curve[29].train_metric < 2., "{:?}", curve[29]);
    Ok(())
}

#[test]
fn a_setting_is_a_transform_and_names_are_part_of_the_tag() -> Result<()> {
    let data = images();
    let with = |text: &str| -> Result<Member> {
        let runs = MultiRun::new(1).settings([Settings::new().with("augment", text)]);
        Ok(Session::new(&of_images("none"), &data).fit(&runs, 3)?.members()[0].clone())
    };
    for text in ["flip,cutmix:1:0.5", "crop:2,mixup:0.2"] {
        assert!(weights(&with(text)?) == weights(&one(&of_images(text), &data)?), "{text}");
    }
    let same = |batch: Batch, _| Ok(batch);
    let tags = [
        of_images("none").tag(),
        of_images("none").augment_with("a, 1", same).tag(),
        of_images("none").augment_with("a, 2", same).tag(),
        of_images("none").fit_transform(FitTransform::new("a, 1", ["a"], |_| Ok(Weights::new()))).tag(),
        of_images("none").augment(RandomFlip::new(Default::default())).tag(),
        of_images("none").accumulate(2).tag(),
    ];
    for (at, tag) in tags.iter().enumerate() {
        assert!(!tags[..at].contains(tag), "{tag}");
    }
    // A function that gives back what it gets changes nothing.
    let plain = weights(&one(&of_images("none"), &data)?);
    assert!(weights(&one(&of_images("none").augment_with("same", same), &data)?) == plain);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let images = images();
    let refused =
        |trainer: Trainer<Sequential>, data: &TensorDataset| one(&trainer, data).unwrap_err().to_string();
    let e = refused(of_images("none").augment(Mixup::new(0.)), &images);
    assert!(e.contains("Mixup::alpha must be positive"), "{e}");
    let e = refused(of_images("none").augment(Cutout::new(0)), &images);
    assert!(e.contains("Cutout::size must be at least 1"), "{e}");
    let e = refused(Trainer::new(linear).augment(CutMix::new(1.)), &line(1, 20, 0.1));
    assert!(e.contains("the inputs of a training with CutMix must be one tensor of images"), "{e}");
    let whole = images.with_inputs(images.inputs().only().unwrap().to_dtype(DType::I64).unwrap()).unwrap();
    let e = refused(of_images("mixup"), &whole);
    assert!(
        e.contains("the inputs of a training with Mixup must be of a floating-point type, but is i64"),
        "{e}"
    );
    // Texts have no pixels, and pictures without an ignored id no class for what comes from outside. No step is needed to
    // know.
    let ids = Tensor::from_iter((0..36u32).map(|at| at % 2), &CPU).unwrap().reshape((12, 3)).unwrap();
    let texts = TensorDataset::dense(normal(2, 12, 3), &ids, None).unwrap();
    let planned = |trainer: Trainer<Sequential>, data: &TensorDataset| {
        let session = Session::new(&trainer, data);
        let trained = session.plan(&MultiRun::new(1), 1).and_then(|plan| session.train(&plan));
        trained.err().unwrap().to_string()
    };
    let e = planned(of_pixels("flip"), &texts);
    assert!(e.contains("the inputs of a training with RandomFlip must be images"), "{e}");
    let e = planned(of_pixels("crop:1"), &pixels(None));
    assert!(e.contains("the data of a training with RandomCrop must be of an ignored id"), "{e}");
    let short = |batch: Batch, _| Ok(Batch { inputs: batch.inputs.narrow(0, 1)?, ..batch });
    let e = refused(of_images("none").augment_with("short", short), &images);
    assert!(e.contains("\"short\" returns must be 8, as before, but is 1"), "{e}");
    let twice = of_images("none").augment_with("a", |b, _| Ok(b)).augment_with("a", |b, _| Ok(b));
    assert!(refused(twice, &images).contains("\"a\" twice"));
    let e = refused(of_images("none").accumulate(0), &images);
    assert!(e.contains("the number of batches that are accumulated must be at least 1"), "{e}");
}

/// A seed of its own for each batch of each epoch of each run.
#[test]
fn own_transforms_get_a_seed_for_each_batch() -> Result<()> {
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let draws = seen.clone();
    let trainer = Trainer::new(linear).epochs(3).batch_size(10).augment_with("draws", move |batch, seed| {
        draws.lock().unwrap().push(seed.rng().random());
        Ok(batch)
    });
    let data = line(1, 40, 0.1);
    let fit = || -> Result<Vec<u64>> {
        Session::new(&trainer, &data).executor(&OneByOne).fit(&MultiRun::new(2), 3)?;
        Ok(std::mem::take(&mut *seen.lock().unwrap()))
    };
    let first = fit()?;
    assert_eq!(first.len(), 2 * 3 * 4);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
    assert_eq!(fit()?, first);
    Ok(())
}
