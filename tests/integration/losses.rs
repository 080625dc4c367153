//! Losses and penalties of the user, weights of classes, and soft targets.
use crate::{
    common::{blobs, bytes, distance, flat, line, listed, normal, weights, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    data::{Dataset, TensorDataset},
    exec::Sequential,
    nn::{seq, Activation, Sequential as Net},
    plan::{Plan, Settings},
    store::MemoryStore,
    strategy::{Bagging, MultiRun},
    train::{ClassWeights, EarlyStopping, Learner, Loss, Noise, Optimizer, Output, TargetNoise, Trainer},
    Checkpoints, Member, Result, Session,
};
use candle_nn::{linear, VarBuilder};

fn mlp(inputs: usize, outputs: usize) -> Trainer<Net> {
    let trainer = Trainer::new(move |vb: VarBuilder<'_>| {
        let hidden = seq().add(linear(inputs, 8, vb.pp(0))?).add(Activation::Tanh);
        Ok(hidden.add(linear(8, outputs, vb.pp(1))?))
    });
    trainer.epochs(6).batch_size(16).optimizer(Optimizer::adam(0.01))
}

/// The squared error of each row.
fn squared(outputs: &Tensor, batch: &candle_ensemble::data::Batch) -> candle_core::Result<Tensor> {
    (outputs.squeeze(1)? - &batch.targets)?.sqr()
}

fn one(trainer: &Trainer<impl candle_ensemble::Network>, data: &TensorDataset) -> Result<Member> {
    Ok(Session::new(trainer, data).fit(&MultiRun::new(1), 3)?.members()[0].clone())
}

/// The largest difference between the weights of two members.
fn apart(a: &Member, b: &Member) -> f64 {
    a.weights.iter().map(|(name, tensor)| distance(tensor, &b.weights[name])).fold(0., f64::max)
}

/// With row weights, validation rows and early stopping, the squared error as a closure trains what the library's does.
#[test]
fn a_loss_of_the_user_trains_what_the_same_loss_of_the_library_does() -> Result<()> {
    let rows: Vec<f32> = (0..60).map(|row| (row % 4) as f32).collect();
    let data = line(3, 60, 0.3).with_weights(rows)?;
    let fit = |trainer: Trainer<Net>, data: &TensorDataset| -> Result<Member> {
        let trainer = trainer.early_stopping(EarlyStopping { patience: 2, ..EarlyStopping::default() });
        let runs = MultiRun::new(1).validation(0.3);
        Ok(Session::new(&trainer, data).fit(&runs, 3)?.members()[0].clone())
    };
    let own = fit(mlp(2, 1).custom_loss("squares", squared), &data)?;
    let library = fit(mlp(2, 1).loss(Loss::MeanSquared), &data)?;
    assert!(apart(&own, &library) < 1e-5, "{}", apart(&own, &library));
    assert_eq!(own.record.curve.len(), library.record.curve.len());
    for (a, b) in own.record.curve.iter().zip(&library.record.curve) {
        assert!((a.train_loss - b.train_loss).abs() < 1e-5);
        assert!((a.valid_loss.unwrap() - b.valid_loss.unwrap()).abs() < 1e-5);
    }
    // Without the weights it is another training.
    let unweighted = fit(mlp(2, 1).custom_loss("squares", squared), &line(3, 60, 0.3))?;
    assert!(apart(&own, &unweighted) > 1e-3);
    Ok(())
}

/// The gradient of `3 b − y` is constant: a step of SGD with rate 0.1 moves the bias by −0.3, weights or not.
#[test]
fn a_step_with_a_loss_and_a_penalty_of_the_user_by_hand() -> Result<()> {
    let x = Tensor::zeros((2, 1), DType::F32, &CPU)?;
    let data = TensorDataset::regression(&x, &Tensor::new(&[5f32, 7.], &CPU)?)?.with_weights(vec![1., 3.])?;
    let trainer = || {
        let bias = |vb: VarBuilder<'_>| {
            let bias = vb.get_with_hints(1, "bias", candle_nn::Init::Const(2.))?;
            Ok(seq().add_fn(move |x: &Tensor| x.broadcast_add(&bias)))
        };
        Trainer::new(bias).epochs(1).batch_size(2).optimizer(Optimizer::sgd(0.1))
    };
    let bias = |trainer: Trainer<Net>| -> Result<(f64, f64)> {
        let member = one(&trainer, &data)?;
        Ok((flat(&member.weights["bias"])[0], member.record.curve[0].train_loss))
    };
    let linear =
        |outputs: &Tensor, batch: &candle_ensemble::data::Batch| (outputs.squeeze(1)? * 3.)? - &batch.targets;
    let (b, loss) = bias(trainer().custom_loss("linear", linear))?;
    assert!((b - 1.7).abs() < 1e-6, "{b}");
    assert!((loss - (6. - (5. + 3. * 7.) / 4.)).abs() < 1e-6, "{loss}");
    // The penalty 10 b² has the gradient 40, and is not recorded.
    let penalized = trainer()
        .custom_loss("linear", linear)
        .custom_penalty("squares", |_, _, vars| vars.named()[0].1.sqr()?.sum_all()? * 10.);
    let (b, recorded) = bias(penalized)?;
    assert!((b - (2. - 0.1 * 43.)).abs() < 1e-5, "{b}");
    assert_eq!(recorded, loss);
    // Two penalties add up; one reads the outputs.
    let two = trainer()
        .custom_loss("linear", linear)
        .custom_penalty("squares", |_, _, vars| vars.named()[0].1.sqr()?.sum_all()? * 10.)
        .custom_penalty("outputs", |outputs, _, _| outputs.mean_all()? * 5.);
    let (b, _) = bias(two)?;
    assert!((b - (2. - 0.1 * 48.)).abs() < 1e-5, "{b}");
    Ok(())
}

#[test]
fn a_loss_of_the_user_that_does_not_fit_is_named() {
    let data = line(3, 30, 0.1);
    let error = |trainer: Trainer<Net>| one(&trainer, &data).unwrap_err().to_string();
    let e = error(mlp(2, 1).custom_loss("mean, not rows", |o, b| squared(o, b)?.mean_all()));
    let must = "what the loss \"mean, not rows\" returns must be floats of shape [16], a loss for each row, but is f32 of \
                shape []";
    assert!(e.contains(must), "{e}");
    let e = error(mlp(2, 1).custom_loss("a column", |o, b| o - b.targets.unsqueeze(1)?));
    assert!(e.contains("shape [16, 1]"), "{e}");
    let e = error(mlp(2, 1).custom_loss("detached", |o, b| squared(&o.detach(), b)));
    assert!(e.contains("0.weight"), "{e}");
    let e = error(mlp(2, 1).custom_loss("logarithm", |o, b| (squared(o, b)?.affine(-1., -1.))?.log()));
    assert!(e.contains("the loss \"logarithm\" is not defined for them") && e.contains("NaN"), "{e}");
    let e = error(mlp(2, 1).custom_loss("fails", |_, _| candle_core::bail!("out of luck")));
    assert!(e.contains("out of luck"), "{e}");
    let e = error(mlp(2, 1).custom_loss(" ", squared));
    assert!(e.contains("the name of the loss must be at least one character"), "{e}");
    let e = error(mlp(2, 1).custom_penalty("rows", squared_penalty));
    assert!(e.contains("what the penalty \"rows\" returns must be a float of shape []"), "{e}");
    let twice = mlp(2, 1).custom_penalty("p", zero).custom_penalty("p", zero);
    assert!(error(twice).contains("different, but is \"p\" twice"));
}

fn squared_penalty(
    outputs: &Tensor,
    batch: &candle_ensemble::data::Batch,
    _: &candle_ensemble::weights::Vars,
) -> candle_core::Result<Tensor> {
    squared(outputs, batch)
}

fn zero(
    outputs: &Tensor,
    _: &candle_ensemble::data::Batch,
    _: &candle_ensemble::weights::Vars,
) -> candle_core::Result<Tensor> {
    outputs.sum_all()? * 0.
}

#[test]
fn a_store_tells_losses_of_the_user_apart_by_their_names() -> Result<()> {
    let data = line(3, 30, 0.1);
    let first = mlp(2, 1).custom_loss("squares, version 1", squared);
    let tags = [
        mlp(2, 1).tag(),
        first.tag(),
        mlp(2, 1).custom_loss("squares, version 2", squared).tag(),
        mlp(2, 1).custom_penalty("squares, version 1", zero).tag(),
        mlp(2, 1).class_weights(ClassWeights::Balanced).tag(),
    ];
    for (i, tag) in tags.iter().enumerate() {
        assert!(tags[..i].iter().all(|other| other != tag), "{i}");
    }
    // The last one that is set counts, and a run's own loss comes first.
    assert_eq!(first.clone().loss(Loss::MeanAbsolute).tag(), mlp(2, 1).loss(Loss::MeanAbsolute).tag());
    assert_eq!(
        mlp(2, 1).loss(Loss::MeanAbsolute).custom_loss("squares, version 1", squared).tag(),
        first.tag()
    );
    let own = MultiRun::new(1).settings([Settings::new().with("loss", "mae")]);
    let of_run = Session::new(&first, &data).fit(&own, 3)?.members()[0].clone();
    assert_eq!(weights(&of_run), weights(&one(&mlp(2, 1).loss(Loss::MeanAbsolute), &data)?));

    let store = MemoryStore::new();
    Session::new(&first, &data).store(&store).fit(&MultiRun::new(1), 3)?;
    let other = mlp(2, 1).custom_loss("squares, version 2", squared);
    let session = Session::new(&other, &data).store(&store);
    let refused = session.load(&session.plan(&MultiRun::new(1), 3)?);
    assert!(refused.is_err());
    Ok(())
}

/// The counts are those of the training rows of each run, and validation rows are not concerned.
#[test]
fn balanced_classes_are_row_weights_by_the_counts_of_the_run() -> Result<()> {
    let all = blobs(5, 90, 3, 0.7);
    let labels = all.labels().unwrap().to_vec();
    // 30 rows of class 0, 10 of class 1 and 20 of class 2.
    let kept: Vec<u32> = (0..90).filter(|row| labels[*row as usize] != 1 || row % 9 == 1).collect();
    let kept: Vec<u32> = kept.into_iter().filter(|row| labels[*row as usize] != 2 || row % 9 != 8).collect();
    let data = all.subset(&kept)?;
    let (plain, balanced) = (mlp(2, 3), mlp(2, 3).class_weights(ClassWeights::Balanced));
    let session = Session::new(&balanced, &data);
    for builder in [MultiRun::new(1).validation(0.25), MultiRun::new(1)] {
        let plan = session.plan(&builder, 9)?;
        let member = session.train(&plan)?.members()[0].clone();
        let (run, labels) = (&plan.runs[0], data.labels().unwrap());
        let count =
            |class: u32| listed(&run.train).iter().filter(|row| labels[**row as usize] == class).count();
        let counts = [0, 1, 2].map(count);
        assert!(counts[0] > counts[2] && counts[2] > counts[1], "{counts:?}");
        let of_class = counts.map(|count| listed(&run.train).len() as f64 / (3 * count) as f64);
        let of_rows = labels.iter().map(|label| of_class[*label as usize] as f32).collect();
        let weighted = data.clone().with_training_weights(of_rows)?;
        let by_hand =
            Session::new(&plain, &weighted).train(&Plan { data: weighted.fingerprint(), ..plan })?;
        assert_eq!(weights(&member), weights(&by_hand.members()[0]));
        let valid = |m: &Member| m.record.curve.iter().map(|epoch| epoch.valid_loss).collect::<Vec<_>>();
        assert_eq!(valid(&member), valid(&by_hand.members()[0]));
        // A given weight for each class is the same, and multiplies the weights of the rows.
        let given = mlp(2, 3).class_weights(ClassWeights::Given(of_class.to_vec()));
        let plan = Session::new(&given, &data).plan(&builder, 9)?;
        let given_member = Session::new(&given, &data).train(&plan)?.members()[0].clone();
        assert_eq!(weights(&member), weights(&given_member));
    }
    assert!(apart(&one(&plain, &data)?, &one(&balanced, &data)?) > 1e-3);
    // The setting of a run does what the setter does.
    let runs = MultiRun::new(1).settings([Settings::new().with("class_weights", "balanced")]);
    let by_setting = Session::new(&mlp(2, 3), &data).fit(&runs, 3)?.members()[0].clone();
    assert_eq!(weights(&by_setting), weights(&one(&balanced, &data)?));
    let e = one(&mlp(2, 1).class_weights(ClassWeights::Balanced), &line(3, 30, 0.1)).unwrap_err().to_string();
    assert!(e.contains("the task of a training with class weights must be classification"), "{e}");
    Ok(())
}

/// A network of a bias alone ends at the mean of the soft targets, and is measured by the labels.
#[test]
fn networks_learn_soft_targets_and_are_measured_by_labels() -> Result<()> {
    let x = Tensor::zeros((4, 1), DType::F32, &CPU)?;
    let soft = Tensor::new(&[[0.6f32, 0.4], [0.9, 0.1], [0.45, 0.55], [0.85, 0.15]], &CPU)?; // mean 0.7, 0.3
    let data = TensorDataset::soft_classification(&x, &soft)?;
    let bias = |width: usize| {
        Trainer::new(move |vb: VarBuilder<'_>| {
            let bias = vb.get_with_hints(width, "bias", candle_nn::Init::Const(0.))?;
            Ok(seq().add_fn(move |x: &Tensor| x.broadcast_as((x.dim(0)?, width))?.broadcast_add(&bias)))
        })
        .epochs(300)
        .batch_size(4)
        .optimizer(Optimizer::sgd(1.))
    };
    let entropy = -(0.7f64 * 0.7f64.ln() + 0.3 * 0.3f64.ln());
    for (trainer, loss) in [
        (bias(2), entropy),
        (bias(2).loss(Loss::CrossEntropy { smoothing: 0. }), entropy),
        (bias(1), entropy),
        (bias(1).loss(Loss::BinaryCrossEntropy), entropy),
    ] {
        let member = one(&trainer, &data)?;
        let bias = flat(&member.weights["bias"]);
        let logit = if bias.len() == 2 { bias[1] - bias[0] } else { bias[0] };
        assert!((logit - (0.3f64 / 0.7).ln()).abs() < 1e-4, "{bias:?}");
        let last = member.record.curve.last().unwrap();
        assert!((last.train_loss - loss).abs() < 1e-5, "{last:?}");
        assert_eq!(last.train_metric, 0.75, "the most probable class of three rows of four is 0");
    }
    // A loss of the user gets them as the targets of the batch.
    let own = bias(2).custom_loss("soft", |outputs, batch| {
        (candle_nn::ops::log_softmax(outputs, 1)? * &batch.targets)?.sum(1)?.neg()
    });
    let (own, library) = (one(&own, &data)?, one(&bias(2), &data)?);
    assert!(apart(&own, &library) < 1e-5);
    // Values: the mean of the soft targets in place of that of the targets.
    let values = TensorDataset::regression(&x, &Tensor::new(&[1f32, 1., 1., 1.], &CPU)?)?
        .with_soft_targets(&Tensor::new(&[0f32, 2., 4., 6.], &CPU)?)?;
    let member = one(&bias(1).optimizer(Optimizer::sgd(0.25)), &values)?;
    assert!((flat(&member.weights["bias"])[0] - 3.).abs() < 1e-4);
    assert!((member.record.curve.last().unwrap().train_metric - 2.).abs() < 1e-4, "rmse for the targets");
    Ok(())
}

#[test]
fn losses_and_techniques_that_take_no_soft_targets_are_refused_before_anything_is_trained() -> Result<()> {
    let data = blobs(5, 30, 2, 0.7);
    let soft = Tensor::full(0.5f32, (30, 2), &CPU)?;
    let data = data.with_soft_targets(&soft)?;
    for (trainer, part) in [
        (mlp(2, 2).loss(Loss::Focal { gamma: 2. }), "Loss::KlDivergence, for networks with Output::Logits"),
        (mlp(2, 1).output(Output::Margins), "the default for Output::Margins"),
        (
            mlp(2, 2).noise(Noise::from(TargetNoise::new(0.1))),
            "noise on targets must be off with soft targets",
        ),
    ] {
        let e = one(&trainer, &data).unwrap_err();
        assert!(e.to_string().contains(part), "{part}: {e}");
    }
    Ok(())
}

/// Soft targets, class weights, a loss and penalties of the user: resumed trainings are the same to the bit, and so is a
/// training on several threads.
#[test]
fn they_resume_and_repeat_to_the_bit() -> Result<()> {
    let classes = blobs(5, 48, 3, 0.7);
    let soft = candle_nn::ops::softmax(&normal(4, 48, 3), 1)?;
    let trainers = [
        mlp(2, 3).loss(Loss::Focal { gamma: 2. }).class_weights(ClassWeights::Balanced),
        mlp(2, 3)
            .custom_loss("cubes", |outputs, _| outputs.powf(3.)?.abs()?.sum(1))
            .custom_penalty("p", |o, _, _| o.sqr()?.mean_all()),
        mlp(2, 3),
    ];
    for (i, trainer) in trainers.iter().enumerate() {
        let data = if i == 2 { classes.clone().with_soft_targets(&soft)? } else { classes.clone() };
        let trainer = trainer.clone().epochs(4);
        assert!(interrupt_everywhere_on(&data, &trainer, &MultiRun::new(2), Checkpoints::Epochs(1)) > 0);
        let session = Session::new(&trainer, &data);
        let alone = session.clone().executor(&Sequential).fit(&Bagging::new(3), 5)?;
        assert_eq!(bytes(alone.members()), bytes(session.fit(&Bagging::new(3), 5)?.members()));
    }
    Ok(())
}
