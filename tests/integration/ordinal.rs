//! Networks of classes with an order: trained, combined, measured, saved, and refused where they do not fit.
use crate::common::{bits, flat, normal, CPU};
use crate::resume::interrupt_everywhere_on;
use candle_core::Tensor;
use candle_ensemble::{
    combine::{self, Mean},
    data::TensorDataset,
    merge::{Distill, Teachers},
    metrics::{rps, Metric},
    network::Output,
    nn::{linear, linear_no_bias, seq, Activation, Sequential},
    plan::Settings,
    strategy::{Bagging, MultiRun},
    train::{EarlyStopping, Loss, Optimizer, Trainer},
    Checkpoints, Ensemble, Session,
};
use candle_nn::VarBuilder;

const KINDS: [Output; 2] = [Output::CumulativeLogits, Output::ConditionalLogits];

/// Four grades of `x + e`, bounded by −1, 0 and 1.
fn grades(seed: u64, rows: usize) -> TensorDataset {
    let x = normal(seed, rows, 2);
    let noise = normal(seed + 1000, rows, 1).affine(0.5, 0.).unwrap();
    let score = (x.sum_keepdim(1).unwrap() + noise).unwrap();
    let grade = |score: &f64| [-1., 0., 1.].iter().filter(|bound| score > bound).count() as u32;
    let labels = Tensor::from_iter(flat(&score).iter().map(grade), &CPU).unwrap();
    TensorDataset::classification(x, &labels).unwrap()
}

/// CORAL: one score with a bias for each logit. CORN: a unit for each logit.
fn network(kind: Output, vb: &VarBuilder<'_>) -> candle_core::Result<Sequential> {
    let hidden = seq().add(linear(2, 8, vb.pp("hidden"))?).add(Activation::Relu);
    if kind == Output::ConditionalLogits {
        return Ok(hidden.add(linear(8, 3, vb.pp("out"))?));
    }
    let (score, bias) = (linear_no_bias(8, 1, vb.pp("score"))?, vb.get(3, "bias")?);
    Ok(hidden.add(score).add_fn(move |score| score.broadcast_add(&bias)))
}

fn trainer(kind: Output) -> Trainer<Sequential> {
    let trainer = Trainer::new(move |vb: VarBuilder<'_>| network(kind, &vb));
    trainer.output(kind).optimizer(Optimizer::adam(0.02)).batch_size(32usize).epochs(20)
}

#[test]
fn grades_are_learned_and_every_rule_metric_and_calibration_takes_them() {
    let (train, test) = (grades(1, 300), grades(2, 400));
    let labels = test.labels().unwrap();
    let shares: Vec<f64> =
        (0..4).map(|c| train.labels().unwrap().iter().filter(|y| **y == c).count() as f64 / 300.).collect();
    let constant = Tensor::from_slice(&shares, (1, 4), &CPU).unwrap().broadcast_as((400, 4)).unwrap();
    let nothing = rps(&constant.contiguous().unwrap(), labels, None).unwrap();
    for kind in KINDS {
        let trainer = trainer(kind);
        let pool = Session::new(&trainer, &train).fit(&Bagging::new(4), 3).unwrap();
        for rule in [
            "mean",
            "log-odds-mean",
            "hard-vote",
            "simplex-log-loss",
            "temperature",
            "isotonic",
            "stack-logistic",
        ] {
            let rule = combine::registry().parse(rule).unwrap();
            let ensemble = pool.combine(&rule).unwrap();
            let p = ensemble.predict_proba(test.inputs()).unwrap();
            assert_eq!(p.dims(), [400, 4]);
            assert!(flat(&p.sum(1).unwrap()).iter().all(|sum| (sum - 1.).abs() < 1e-5), "{kind:?}");
            assert!(flat(&p).iter().all(|p| *p >= 0.), "{kind:?}");
            let found = rps(&p, labels, None).unwrap();
            assert!(found < 0.5 * nothing, "{kind:?} {rule:?}: {found} of {nothing}");
        }
        let mae = Metric::parse("ordinal-mae").unwrap();
        let p = pool.combine(&Mean).unwrap().predict_proba(test.inputs()).unwrap();
        assert!(mae.compute(&p, test.targets(), None).unwrap() < 0.4, "{kind:?}");
    }
}

/// At the optimum the biases of CORAL fall from class to class (theorem 1 of the paper), so that its logits need no sorting.
#[test]
fn the_biases_of_coral_end_in_order() {
    let (trainer, data) = (trainer(KINDS[0]), grades(1, 300));
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 3).unwrap();
    for member in pool.members() {
        let bias = flat(&member.weights["bias"]);
        assert!(bias[0] > bias[1] && bias[1] > bias[2], "{bias:?}");
    }
}

#[test]
fn files_keep_the_kind_of_output() {
    let (data, x) = (grades(1, 90), normal(5, 20, 2));
    for kind in KINDS {
        let trainer = trainer(kind).epochs(2);
        let ensemble =
            Session::new(&trainer, &data).fit(&MultiRun::new(2), 3).unwrap().combine(&Mean).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grades.ensemble");
        ensemble.save(&path).unwrap();
        let build = move |_: &str, _: &Settings, vb: VarBuilder<'static>| network(kind, &vb);
        let read = Ensemble::<_, Mean>::load_with(&path, build, &CPU).unwrap();
        let of = |ensemble: &Ensemble<_, Mean>| bits(&ensemble.predict_proba(&x).unwrap());
        assert_eq!(of(&read), of(&ensemble), "{kind:?}");
    }
}

#[test]
fn they_resume_to_the_bit_and_stop_by_their_own_metric() {
    let (data, builder) = (grades(1, 60), MultiRun::new(2).validation(0.25));
    for kind in KINDS {
        let rule = EarlyStopping::default();
        let trainer = trainer(kind).epochs(4).early_stopping_by(rule, Metric::parse("rps").unwrap());
        assert!(interrupt_everywhere_on(&data, &trainer, &builder, Checkpoints::Epochs(1)) > 0);
    }
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let data = grades(1, 60);
    let error = |trainer: &Trainer<Sequential>, data: &TensorDataset| {
        Session::new(trainer, data).fit(&MultiRun::new(1), 3).map(drop).unwrap_err().to_string()
    };
    let plain = Trainer::new(|vb: VarBuilder<'_>| Ok(seq().add(linear(2, 4, vb)?)));
    let wide = error(&plain.clone().output(KINDS[1]), &data);
    assert!(
        wide.contains("[32, 3] for 4 classes with an order, because Output::ConditionalLogits"),
        "{wide}"
    );
    let other = error(&trainer(KINDS[0]).loss(Loss::Corn), &data);
    assert!(other.contains("used with Output::ConditionalLogits: end the network"), "{other}");
    let unordered = error(&plain.clone().loss(Loss::Coral), &data);
    assert!(unordered.contains("used with Output::CumulativeLogits"), "{unordered}");
    let smoothed = error(&trainer(KINDS[0]).loss(Loss::CrossEntropy { smoothing: 0.1 }), &data);
    assert!(smoothed.contains("Loss::Coral for a network with Output::CumulativeLogits"), "{smoothed}");
    // A student has a temperature, which divides logits of a softmax.
    let trainer = trainer(KINDS[1]).epochs(1);
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 3).unwrap();
    let student = pool.distill(&trainer, &Distill::new().teachers(Teachers::All), 3).map(drop).unwrap_err();
    assert!(student.to_string().contains("Output::Logits with distillation"), "{student}");
    // Several positions of a row.
    let dense = Tensor::from_iter((0..120u32).map(|i| i % 4), &CPU).unwrap().reshape((60, 2)).unwrap();
    let dense = TensorDataset::dense(data.inputs().clone(), &dense, None).unwrap();
    let positions = error(&trainer, &dense);
    assert!(positions.contains("used with one prediction for each row"), "{positions}");
}
