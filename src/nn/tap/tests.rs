use super::*;
use crate::{
    nn::{seq, Activation, Dropout},
    weights::fresh,
    Error,
};
use candle_core::{DType, Device, ModuleT, Var};
use candle_nn::linear;
use std::panic::{catch_unwind, AssertUnwindSafe};

const LOSSES: Collect = Collect { losses: true, activations: false };
const ACTIVATIONS: Collect = Collect { losses: false, activations: true };

fn scalar(x: f64) -> Tensor {
    Tensor::new(x, &Device::Cpu).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn total(collected: &Collected) -> f64 {
    numbers(&collected.loss().unwrap().unwrap())[0]
}

fn layers(collected: &Collected) -> Vec<&str> {
    collected.activations.iter().map(|observed| observed.layer.as_str()).collect()
}

#[test]
fn losses_are_collected_where_asked_for() {
    add_loss(&scalar(5.));
    observe("x", None, &scalar(1.));
    let (result, collected) = collect(LOSSES, || {
        add_loss(&scalar(1.));
        add_loss(&Tensor::new(&[[2f32, 3.]], &Device::Cpu).unwrap());
        observe("x", None, &scalar(1.));
        "result"
    });
    assert_eq!((result, total(&collected), collected.activations.len()), ("result", 6., 0));
    let (_, collected) = collect(ACTIVATIONS, || add_loss(&scalar(1.)));
    assert!(collected.loss().unwrap().is_none());
    let (_, collected) = collect(Collect::default(), || (wants_losses(), wants_activations()));
    assert!(collected.losses.is_empty());
    assert!(collect(Collect { losses: true, activations: true }, wants_activations).0);
    assert!(!wants_losses() && !wants_activations());
}

#[test]
fn the_innermost_collector_that_wants_something_gets_it() {
    let ((inner, other), outer) = collect(LOSSES, || {
        add_loss(&scalar(1.));
        let (_, inner) = collect(LOSSES, || add_loss(&scalar(10.)));
        let (_, other) = collect(ACTIVATIONS, || {
            add_loss(&scalar(100.));
            observe("a", None, &scalar(0.));
        });
        add_loss(&scalar(1000.));
        (inner, other)
    });
    assert_eq!((total(&inner), total(&outer)), (10., 1101.));
    assert_eq!(layers(&other), ["a"]);
}

#[test]
fn a_panic_ends_the_collection() {
    let panics = || {
        collect(ACTIVATIONS, || {
            within("0", || {
                add_loss(&scalar(1.));
                panic!("in the forward pass")
            })
        })
    };
    let (_, outer) = collect(Collect { losses: true, activations: true }, || {
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        add_loss(&scalar(2.));
        within("3", || assert!(catch_unwind(AssertUnwindSafe(|| within("4", || panic!("deeper")))).is_err()));
        observe("1", None, &scalar(0.));
    });
    assert_eq!((total(&outer), layers(&outer)), (3., vec!["1"]));
    assert!(!wants_losses() && !wants_activations());
    assert!(COLLECTORS.with_borrow(Vec::is_empty));
}

#[test]
fn collectors_of_other_threads_are_their_own() {
    let (_, collected) = collect(LOSSES, || {
        std::thread::scope(|scope| {
            scope.spawn(|| add_loss(&scalar(1.)));
        });
    });
    assert!(collected.losses.is_empty());
}

#[test]
fn sequential_reports_the_outputs_of_its_layers_by_path() {
    let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    let block = seq().add(linear(3, 4, vb.pp("a")).unwrap()).add(Activation::Tanh);
    let nested = seq().add(block).add(candle_nn::Activation::Sigmoid);
    let network = seq()
        .add(linear(2, 3, vb.pp("b")).unwrap())
        .add(candle_nn::Activation::Relu)
        .add(nested)
        .add(Dropout::new(0.5, vb.pp("c")).unwrap())
        .add(Activation::HardSigmoid)
        .add_fn(|x| x * 2.);
    let x = Tensor::new(&[[1f32, 2.], [3., -1.]], &Device::Cpu).unwrap();
    let plain = network.forward(&x).unwrap();
    let (y, collected) = collect(ACTIVATIONS, || network.forward_t(&x, false).unwrap());
    assert_eq!(numbers(&y), numbers(&plain));
    assert_eq!(layers(&collected), ["0", "1", "2.0.0", "2.0.1", "2.1", "3", "4", "5"]);
    let bounds: Vec<_> =
        collected.activations.iter().map(|observed| observed.bounds.map(|b| b.low)).collect();
    assert_eq!(bounds, [None, None, None, Some(-0.99), Some(0.01), None, Some(0.01), None]);
    let outputs = network.forward_all(&x).unwrap();
    for (observed, of) in [(0, 0), (1, 1), (4, 2), (5, 3), (6, 4), (7, 5)] {
        assert_eq!(numbers(&collected.activations[observed].output), numbers(&outputs[of]));
    }
    assert!(collected.activations.iter().all(|observed| !observed.output.track_op()));
    // A second pass, or a second network beside it.
    let (_, collected) = collect(ACTIVATIONS, || {
        let _ = (network.forward(&x).unwrap(), seq().add_fn(|x| x * 2.).forward(&x).unwrap());
    });
    assert_eq!(layers(&collected)[7..], ["5", "0#2"]);
    // The failure of a nested layer leaves no path behind.
    let broken = seq().add(seq().add_fn(|_| candle_core::bail!("broken"))).add_fn(|x| x * 1.);
    let (_, collected) = collect(ACTIVATIONS, || {
        assert!(broken.forward(&x).is_err());
        observe("last", None, &x);
    });
    assert_eq!(layers(&collected), ["last"]);
}

fn penalty(regularizer: ActivityRegularizer, h: &Tensor) -> Tensor {
    let (same, collected) = collect(LOSSES, || regularizer.forward_t(h, true).unwrap());
    assert_eq!(numbers(&same), numbers(h));
    collected.loss().unwrap().unwrap()
}

#[test]
fn penalties_are_those_of_the_formula() {
    // Σ|h| = 5.5, Σh² = 13.25, in two rows.
    let h = [[1., -2., 0.], [0., -2.5, 0.]];
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let h = Tensor::new(&h, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        for (regularizer, sum) in [
            (ActivityRegularizer::l1(0.5), 2.75),
            (ActivityRegularizer::l2(0.5), 5.625),
            (ActivityRegularizer::l1_l2(2., 4.), 11. + 45.),
        ] {
            let value = |reduce| numbers(&penalty(regularizer.reduce(reduce), &h))[0];
            assert_eq!((value(Reduce::Sum), value(Reduce::Mean)), (sum, sum / 2.), "{dtype:?}");
            let inner = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
            assert_eq!(penalty(regularizer, &h).dtype(), inner);
            // In evaluation, and where nobody collects, there is none.
            let (_, collected) = collect(LOSSES, || regularizer.forward_t(&h, false).unwrap());
            assert!(collected.losses.is_empty());
        }
    }
    assert_eq!(ActivityRegularizer::l1(1.).reduce, Reduce::Mean);
}

/// Central differences of the loss through a layer, and the derivative at 0.
#[test]
fn gradients_of_penalties_agree_with_differences() {
    let start = [0.3, -0.7, 1.1, -0.2, 0.9, 0.4];
    let regularizer = ActivityRegularizer::l1_l2(0.3, 0.2).reduce(Reduce::Sum);
    let network = seq().add_fn(|w| w.sqr()? - 0.5).add(regularizer).add_fn(|x| x.sqr());
    let loss = |w: &Tensor| {
        let (y, collected) = collect(LOSSES, || network.forward_t(w, true).unwrap());
        (y.sum_all().unwrap() + collected.loss().unwrap().unwrap()).unwrap()
    };
    let w = Var::new(&start, &Device::Cpu).unwrap();
    let gradient = numbers(loss(&w).backward().unwrap().get(&w).unwrap());
    for (i, gradient) in gradient.into_iter().enumerate() {
        let at = |step: f64| {
            let mut moved = start;
            moved[i] += step;
            numbers(&loss(&Tensor::new(&moved, &Device::Cpu).unwrap()))[0]
        };
        let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!((gradient - difference).abs() < 1e-8, "{gradient} {difference}");
    }
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let h = Tensor::new(&[[-2., 0., 0.5]], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let h = Var::from_tensor(&h).unwrap();
        let gradients = penalty(ActivityRegularizer::l1_l2(1., 2.), &h).backward().unwrap();
        assert_eq!(numbers(gradients.get(&h).unwrap()), [-9., 0., 3.], "{dtype:?}");
        // In tensor operations, for other devices.
        let gradients = activity_regularizer::penalty_by_tensors(&h, 1., 2.).unwrap().backward().unwrap();
        assert_eq!(numbers(gradients.get(&h).unwrap()), [-9., 0., 3.], "{dtype:?}");
    }
}

#[test]
fn penalties_by_name_and_bad_factors() {
    let parsed = |text: &str| ActivityRegularizer::registry().parse(text);
    assert_eq!(parsed("l2:0.5").unwrap(), ActivityRegularizer::l2(0.5));
    assert_eq!(
        parsed("l1-l2:0.5:0.25:reduce=sum").unwrap(),
        ActivityRegularizer::l1_l2(0.5, 0.25).reduce(Reduce::Sum)
    );
    assert!(parsed("l1:-1").unwrap_err().to_string().contains("ActivityRegularizer::l1 must be 0 or more"));
    let bad = ActivityRegularizer::l2(f64::NAN);
    let e = Error::from(bad.forward_t(&scalar(1.), false).unwrap_err()).to_string();
    assert!(e.contains("ActivityRegularizer::l2 must be 0 or more, and finite"), "{e}");
    let text = serde_json::to_string(&ActivityRegularizer::l1(0.5)).unwrap();
    assert_eq!(serde_json::from_str::<ActivityRegularizer>(&text).unwrap(), ActivityRegularizer::l1(0.5));
}

fn observed(layer: &str, bounds: Option<Bounds>, output: Tensor) -> Observed {
    Observed { layer: layer.into(), bounds, output }
}

fn records(passes: &[Vec<Observed>]) -> Vec<ActivationRecord> {
    let mut meter = ActivationMeter::default();
    passes.iter().for_each(|pass| meter.add(pass).unwrap());
    meter.finish()
}

/// Two batches of units that are seen: never, in the first batch, in the second, always.
#[test]
fn records_are_those_computed_by_hand() {
    let bounds = Some(Bounds { low: -0.99, high: 0.99 });
    let first = [[0., 0.5, 0., 1.], [0., 0., -0., 1.]];
    let second = [[0., 0., -1., 0.5]];
    let all: Vec<f64> = first.concat().into_iter().chain(second.concat()).collect();
    let mean = all.iter().sum::<f64>() / 12.;
    let deviation = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 12.).sqrt();
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let of = |x: Tensor| vec![observed("1", bounds, x.to_dtype(dtype).unwrap())];
        let passes =
            [of(Tensor::new(&first, &Device::Cpu).unwrap()), of(Tensor::new(&second, &Device::Cpu).unwrap())];
        let [record] = records(&passes).try_into().unwrap();
        assert!((record.mean - mean).abs() < 1e-15 && (record.deviation - deviation).abs() < 1e-15);
        assert_eq!((record.dead, record.saturated), (0.25, Some(0.25)), "{dtype:?}");
    }
}

#[test]
fn records_know_units_of_any_shape_and_layers_in_their_order() {
    // (2, 3, 2): channel 1 is dead.
    let x = [[[0f32, 1.], [0., 0.], [0., 2.]], [[0., 0.], [0., 0.], [1., 0.]]];
    let images = Tensor::new(&x, &Device::Cpu).unwrap();
    let rows = Tensor::new(&[0f32, 0., 3.], &Device::Cpu).unwrap();
    let zeros = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
    let nothing = Tensor::zeros((0, 5), DType::F32, &Device::Cpu).unwrap();
    let pass = vec![
        observed("b", None, images),
        observed("a", None, rows),
        observed("c", None, zeros),
        observed("d", None, nothing),
    ];
    let found: Vec<_> = records(&[pass]).into_iter().map(|r| (r.layer, r.dead, r.saturated)).collect();
    assert_eq!(found, [("b".into(), 1. / 3., None), ("a".into(), 0., None), ("c".into(), 1., None)]);
}

#[test]
fn deviations_survive_large_means_and_nan_is_shown() {
    // 1e6 ± 1, a thousand of each.
    let x: Vec<f64> = (0..2000).map(|i| 1e6 + if i % 2 == 0 { 1. } else { -1. }).collect();
    let x = Tensor::from_vec(x, (500, 4), &Device::Cpu).unwrap();
    for dtype in [DType::F32, DType::F64] {
        let pass = || vec![observed("0", None, x.to_dtype(dtype).unwrap())];
        let [record] = records(&[pass(), pass()]).try_into().unwrap();
        assert!((record.mean - 1e6).abs() < 1e-9 && (record.deviation - 1.).abs() < 1e-9, "{record:?}");
    }
    let nan = Tensor::new(&[[1f32, f32::NAN]], &Device::Cpu).unwrap();
    let [record] = records(&[vec![observed("0", None, nan)]]).try_into().unwrap();
    assert!(record.mean.is_nan() && record.deviation.is_nan() && record.dead == 0.);
    let text = serde_json::to_string(&records(&[vec![observed("0", None, scalar(2.))]])[0]).unwrap();
    assert_eq!(text, r#"{"layer":"0","mean":2.0,"deviation":0.0,"dead":0.0,"saturated":null}"#);
}
