use super::*;
use crate::{
    data::TensorDataset,
    plan::{RunSpec, Schedule, Settings, Snapshot, Unit},
    train::{train_alone, Clip, Learner, Loss, LossScale, Optimizer, Sgd, Trainer, Unfreeze},
    weights::{fresh, WeightFilter, Weights},
    Seed,
};
use candle_core::{DType, Device, Module, Result as CandleResult, Tensor};
use candle_nn::{linear_no_bias, Linear, VarBuilder};

const CPU: Device = Device::Cpu;
const ROWS: usize = 12;
const BATCH: usize = 4;
const STEPS: usize = ROWS / BATCH;
const RATE: f64 = 0.01;

/// `a · x₀ + b · x₁`.
struct Plane {
    a: Linear,
    b: Linear,
}

impl Module for Plane {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        self.a.forward(&x.narrow(1, 0, 1)?)? + self.b.forward(&x.narrow(1, 1, 1)?)?
    }
}

fn plane(vb: VarBuilder<'_>) -> CandleResult<Plane> {
    Ok(Plane { a: linear_no_bias(1, 1, vb.pp("a"))?, b: linear_no_bias(1, 1, vb.pp("b"))? })
}

/// All inputs are (2, 3) and the targets are out of reach, so that the gradient of the mean absolute error is (−2, −3) in
/// every step.
const GRADIENT: [f64; 2] = [-2., -3.];

fn data() -> TensorDataset {
    let x = Tensor::new(&[[2f64, 3.]; ROWS], &CPU).unwrap();
    TensorDataset::regression(x, &Tensor::new(vec![1e6f64; ROWS], &CPU).unwrap()).unwrap()
}

fn trainer() -> Trainer<Plane> {
    let trainer = Trainer::new(plane).dtype(DType::F64).loss(Loss::MeanAbsolute).epochs(3).batch_size(BATCH);
    trainer.optimizer(Sgd::new(RATE))
}

/// `a` and `b` before and after the training.
fn trained(trainer: &Trainer<Plane>) -> Result<[[f64; 2]; 2]> {
    let run = RunSpec::new(0, "model", Seed::from(3), 0..ROWS as u32);
    trained_as(trainer, &run)
}

fn trained_as(trainer: &Trainer<Plane>, run: &RunSpec) -> Result<[[f64; 2]; 2]> {
    let (vars, vb) = fresh(Seed::from(3).child("init"), Default::default(), DType::F64, &CPU);
    plane(vb)?;
    let numbers = |weights: &Weights| {
        ["a.weight", "b.weight"].map(|name| weights[name].to_vec2::<f64>().unwrap()[0][0])
    };
    let (weights, _) = train_alone(trainer, &data(), run, &CPU)?;
    Ok([numbers(&vars.snapshot()?), numbers(&weights)])
}

/// Checks the weights after the training against `update(w, gradient, variable, step)` in each step.
fn assert_updates(trainer: &Trainer<Plane>, update: impl Fn(f64, f64, usize, usize) -> f64) {
    let [before, after] = trained(trainer).unwrap();
    for variable in 0..2 {
        let steps = trainer.config().epochs * STEPS;
        let expected =
            (0..steps).fold(before[variable], |w, step| update(w, GRADIENT[variable], variable, step));
        assert!((after[variable] - expected).abs() < 1e-12, "{variable}: {} {expected}", after[variable]);
        assert!(before[variable] != after[variable]);
    }
}

fn group(pattern: &str) -> ParameterGroup {
    ParameterGroup::names([pattern])
}

#[test]
fn each_group_has_its_rate_and_its_decay() {
    let groups = [group("a.*").factor(0.1).weight_decay(0.5), group("*").learning_rate(0.2)];
    let sgd = trainer().parameter_groups(groups.into_iter().collect::<ParameterGroups>());
    let with_decay = sgd.clone().optimizer(Sgd::new(RATE).weight_decay(0.25));
    let rates = [0.1 * RATE, 0.2];
    assert_updates(&sgd, |w, g, at, _| w - rates[at] * (g + [0.5, 0.][at] * w));
    assert_updates(&with_decay, |w, g, at, _| w - rates[at] * (g + [0.5, 0.25][at] * w));
    // What does not decay does not decay in a group either.
    let filtered = with_decay.decay_on(WeightFilter::names(["b.*"]));
    assert_updates(&filtered, |w, g, at, _| w - rates[at] * (g + [0., 0.25][at] * w));
}

/// The moments of a constant gradient are the gradient and its square.
#[test]
fn adam_has_groups() {
    let groups: ParameterGroups =
        [group("a.*").factor(3.), group("b.*").weight_decay(0.1)].into_iter().collect();
    let adamw = trainer().parameter_groups(groups).optimizer(Optimizer::adamw(RATE, 0.4));
    assert_updates(&adamw, |w, g, at, _| {
        let (rate, decay) = ([3. * RATE, RATE][at], [0.4, 0.1][at]);
        w - rate * decay * w - rate * g / (g.abs() + 1e-8)
    });
}

#[test]
fn a_group_has_a_schedule_of_its_own() {
    let halved = Schedule::Step { every: 1, factor: 0.5 }.per(Unit::Epoch);
    let trainer = trainer().schedule(Schedule::Linear { to: 0. });
    let one = trainer.clone().parameter_groups(group("b.*").factor(2.).schedule(halved));
    let total = 3 * STEPS;
    let linear = |step: usize| RATE * (1. - step as f64 / total as f64);
    assert_updates(&one, |w, g, at, step| {
        w - g * [linear(step), 2. * RATE * 0.5f64.powi((step / STEPS) as i32)][at]
    });
    let value = trainer.parameter_groups(group("b.*").learning_rate(1.));
    assert_updates(&value, |w, g, at, step| w - g * linear(step) * [1., 1. / RATE][at]);
}

#[test]
fn gradients_are_clipped_by_one_norm_over_all_groups() {
    let clipped = trainer().clip(Clip::Norm(0.5)).parameter_groups(group("a.*").factor(0.1));
    let norm = 13f64.sqrt();
    assert_updates(&clipped, |w, g, at, _| w - [0.1 * RATE, RATE][at] * g * 0.5 / norm);
    let scaled = clipped.loss_scale(LossScale::Static(1024.));
    assert_updates(&scaled, |w, g, at, _| w - [0.1 * RATE, RATE][at] * g * 0.5 / norm);
}

#[test]
fn the_rate_falls_from_the_last_layer_to_the_first() {
    let decayed = trainer().layer_decay(0.3);
    assert_updates(&decayed, |w, g, at, _| w - RATE * [0.3, 1.][at] * g);
    let turned = trainer().layer_decay(LayerDecay::new(0.3).blocks(["b.*", "a.*"]));
    assert_updates(&turned, |w, g, at, _| w - RATE * [1., 0.3][at] * g);
    let both = turned.parameter_groups(group("b.*").factor(5.));
    assert_updates(&both, |w, g, at, _| w - RATE * [1., 1.5][at] * g);
}

#[test]
fn snapshots_set_the_rate_of_every_group() {
    let mut run = RunSpec::new(0, "model", Seed::from(3), 0..ROWS as u32);
    run.collect = Snapshot::new(1).into();
    let one = trainer().parameter_groups(group("b.*").factor(2.));
    let [before, after] = trained_as(&one, &run).unwrap();
    let moved = |at: usize| (after[at] - before[at]) / GRADIENT[at];
    assert!((moved(1) / moved(0) - 2.).abs() < 1e-9, "{} {}", moved(0), moved(1));
    let scheduled = one.parameter_groups(group("b.*").schedule(Schedule::Cosine { to: 0. }));
    let e = trained_as(&scheduled, &run).unwrap_err().to_string();
    assert!(e.starts_with("the schedule of a parameter group must be left unset with Snapshot"), "{e}");
}

#[test]
fn a_variable_moves_from_the_epoch_on_at_which_it_is_unfrozen() {
    use crate::train::Freeze;
    let frozen = trainer().freeze(Freeze::names_like(["a.*"])).unfreeze(2);
    assert_updates(&frozen, |w, g, at, step| if at == 0 && step < 2 * STEPS { w } else { w - RATE * g });
    // Without bias correction from its own first step on, the first updates would be smaller.
    let adam = frozen.optimizer(Optimizer::adam(RATE));
    assert_updates(&adam, |w, g, at, step| match at == 0 && step < 2 * STEPS {
        true => w,
        false => w - RATE * g / (g.abs() + 1e-8),
    });
    let by_name = adam.unfreeze(Unfreeze::names([("a.*", 1)]));
    assert_updates(&by_name, |w, g, at, step| match at == 0 && step < STEPS {
        true => w,
        false => w - RATE * g / (g.abs() + 1e-8),
    });
}

#[test]
fn settings_and_texts_say_the_same() {
    let settings = |name, value: &str| {
        let mut run = RunSpec::new(0, "model", Seed::from(3), 0..ROWS as u32);
        run.settings = Settings::new().with(name, value);
        trained_as(&trainer(), &run).unwrap()
    };
    let groups =
        ParameterGroups::parse("group:a.*:0.1:weight-decay=0.5,group:b.*:learning-rate=0.2").unwrap();
    assert_eq!(
        settings("parameter_groups", &groups.to_string()),
        trained(&trainer().parameter_groups(groups)).unwrap()
    );
    assert_eq!(settings("layer_decay", "0.3"), trained(&trainer().layer_decay(0.3)).unwrap());
    for text in ["group:a.*|b.*", "group:biases:0", "group:all:schedule=warm-up/2/cosine/0.1", "none"] {
        assert_eq!(ParameterGroups::parse(text).unwrap().to_string(), text);
    }
    for text in ["0.5", "0.25:a.*|b.*"] {
        assert_eq!(LayerDecay::parse(text).unwrap().to_string(), text);
    }
    // Trainers with other groups are other trainers.
    let tags = [trainer(), trainer().layer_decay(0.3), trainer().parameter_groups(group("a.*"))];
    let tags: std::collections::BTreeSet<String> = tags.iter().map(Learner::tag).collect();
    assert_eq!(tags.len(), 3);
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let bad: [(Trainer<Plane>, &str); 9] = [
        (trainer().parameter_groups(group("a.*").factor(-1.)), "ParameterGroup::factor"),
        (trainer().parameter_groups(group("a.*").learning_rate(f64::NAN)), "ParameterGroup::learning_rate"),
        (trainer().parameter_groups(group("a.*").weight_decay(-1.)), "ParameterGroup::weight_decay"),
        (trainer().parameter_groups(group("c.*")), "c.*"),
        (
            trainer().parameter_groups([group("*"), group("a.*")].into_iter().collect::<ParameterGroups>()),
            "the order of the ParameterGroups",
        ),
        (trainer().layer_decay(0.), "LayerDecay::factor must be above 0"),
        (trainer().layer_decay(1.1), "LayerDecay::factor"),
        (trainer().layer_decay(LayerDecay::new(0.5).blocks(["a.*"])), "none matches b.weight"),
        (trainer().layer_decay(LayerDecay::new(0.5).blocks(["*", "a.*"])), "is the first for none"),
    ];
    for (trainer, part) in bad {
        let e = trained(&trainer).unwrap_err().to_string();
        assert!(e.contains(part), "{part}: {e}");
    }
    for text in ["group:a.*:0.1:learning-rate=2", "group", "grup:a.*", "group:a.*:x"] {
        assert!(ParameterGroups::parse(text).is_err(), "{text}");
    }
    for text in ["", "x", "0.5:a[", "2"] {
        assert!(LayerDecay::parse(text).is_err(), "{text}");
    }
}
