use super::{elementwise::Elementwise, *};
use crate::train::{Adam, Clip, Optimizer, OptimizerState, Sgd};
use candle_core::{DType, Device};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

/// Quarters from -5/4 to 5/4.
fn quarters(shape: &[usize], dtype: DType) -> CResult<Tensor> {
    let n = shape.iter().product::<usize>() as i64;
    let numbers: Vec<f64> = (0..n).map(|i| ((7 * i + 3) % 11 - 5) as f64 / 4.0).collect();
    Tensor::from_vec(numbers, shape, CPU)?.to_dtype(dtype)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).unwrap()
}

fn named(var: &Var) -> Vec<(String, Var)> {
    vec![("w".into(), var.clone())]
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &dyn fmt::Debug) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * (1.0 + e.abs()), "{what:?}: {got:?} against {expected:?}");
    }
}

/// The penalty and its gradient at `w`, on top of a gradient of `upstream` everywhere.
fn added(text: &str, w: &Tensor, upstream: f64) -> Result<(f64, Vec<f64>)> {
    let var = Var::from_tensor(w)?;
    let mut gradients = var.sum_all()?.backward()?;
    gradients.insert(&var, (var.ones_like()? * upstream)?);
    let penalty = Regularizers::parse(text)?.add_to(&named(&var), &mut gradients)?;
    let bits = |t: &Tensor| numbers(t).into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&var), bits(w), "the weights are left alone");
    let gradient = gradients.get(&var).unwrap();
    assert_eq!((gradient.dtype(), gradient.shape()), (w.dtype(), w.shape()));
    Ok((penalty, numbers(gradient)))
}

/// Numbers of tests/reference/regularizers.py (torch 2.15.0).
const REFERENCE: [(&str, &[usize], f64, &[f64]); 7] = [
    ("l1:0.5", &[2, 3], 1.875, &[-0.5, 0.5, 0.5, -0.5, 0.5, 0.0]),
    ("l2:0.5", &[2, 3], 1.71875, &[-0.5, 1.25, 0.25, -0.75, 1.0, 0.0]),
    ("l2:0.5:half=true", &[2, 3], 0.859375, &[-0.25, 0.625, 0.125, -0.375, 0.5, 0.0]),
    ("l1-l2:0.5:0.25", &[2, 3], 2.734375, &[-0.75, 1.125, 0.625, -0.875, 1.0, 0.0]),
    ("orthogonal:0.5", &[2, 3], 3.181640625, &[-3.3125, 5.4375, 0.4375, -2.46875, 5.1875, 0.8125]),
    ("orthogonal:0.5", &[3, 2], 1.341796875, &[-2.34375, 3.625, 1.375, -2.09375, 0.625, -1.625]),
    ("orthogonal:0.5", &[2, 1, 2], 1.529296875, &[-1.34375, 3.625, 0.875, -2.09375]),
];

#[test]
fn penalties_and_gradients_equal_those_of_torch() -> Result<()> {
    for (text, shape, expected, gradient) in REFERENCE {
        for (dtype, tolerance) in
            [(DType::F64, 1e-15), (DType::F32, 1e-7), (DType::BF16, 2e-2), (DType::F16, 2e-3)]
        {
            let (penalty, got) = added(text, &quarters(shape, dtype)?, 1.0)?;
            assert_close(&[penalty], &[expected], 1e-7, &(text, dtype));
            let gradient: Vec<f64> = gradient.iter().map(|g| g + 1.0).collect();
            assert_close(&got, &gradient, tolerance, &(text, dtype));
        }
    }
    Ok(())
}

/// 37 × 21 numbers: whole blocks of the loop and a rest.
#[test]
fn gradients_equal_those_of_candle_for_the_written_out_penalty() -> Result<()> {
    for (shape, dtype, tolerance) in
        [([37, 21], DType::F64, 1e-12), ([21, 37], DType::F64, 1e-12), ([37, 21], DType::F32, 1e-4)]
    {
        // Irrational, so that none is 0, where candle has another derivative of the absolute value.
        let w = Var::from_tensor(&((quarters(&shape, dtype)? + 0.3)? * 0.1)?)?;
        let m = w.as_tensor();
        let gram = if shape[0] <= shape[1] { m.matmul(&m.t()?)? } else { m.t()?.matmul(m)? };
        let eye = Tensor::eye(shape[0].min(shape[1]), dtype, CPU)?;
        let (absolute, squares) = (m.abs()?.sum_all()?, m.sqr()?.sum_all()?);
        for (text, penalty) in [
            ("l1:0.3", (&absolute * 0.3)?),
            ("l2:0.2", (&squares * 0.2)?),
            ("l1-l2:0.3:0.2", ((&absolute * 0.3)? + (&squares * 0.2)?)?),
            ("l2:0.2,l1:0.3", ((&absolute * 0.3)? + (&squares * 0.2)?)?),
            ("orthogonal:0.2", ((gram - eye)?.sqr()?.sum_all()? * 0.2)?),
        ] {
            let loss = ((m * 2.0)?.sum_all()? + &penalty)?;
            let expected = numbers(loss.backward()?.get(&w).unwrap());
            let (value, got) = added(text, m, 2.0)?;
            assert_close(&got, &expected, tolerance, &text);
            assert_close(&[value], &numbers(&penalty), tolerance, &text);
        }
    }
    Ok(())
}

/// The penalty of a variable of members is the sum of those of the members' matrices.
#[test]
fn the_orthogonal_penalty_is_that_of_each_member() -> Result<()> {
    for dims in [[3, 4, 2], [3, 2, 5]] {
        let all = Var::from_tensor(&quarters(&dims, DType::F64)?)?;
        let penalty = |name: &str, w: &Var| -> Result<(f64, Tensor)> {
            let mut gradients = (w.as_tensor() * 2.)?.sum_all()?.backward()?;
            let value = Regularizer::orthogonal(0.5).add_to(&[(name.into(), w.clone())], &mut gradients)?;
            Ok((value, gradients.get(w).unwrap().clone()))
        };
        let (value, gradient) = penalty("0.members.weight", &all)?;
        let mut sum = 0.;
        for member in 0..3 {
            let (own, of_own) = penalty("weight", &Var::from_tensor(&all.get(member)?)?)?;
            assert_eq!(numbers(&gradient.get(member)?), numbers(&of_own));
            sum += own;
        }
        assert!((value - sum).abs() < 1e-12 && (value - penalty("weight", &all)?.0).abs() > 1e-3);
    }
    Ok(())
}

#[test]
fn the_pass_over_slices_equals_the_tensor_operations() -> Result<()> {
    for (l1, l2) in [(0.5, 0.25), (0.5, 0.0), (0.0, 0.25), (0.0, 0.0)] {
        for dtype in [DType::F64, DType::F32, DType::BF16] {
            let (w, g) = (quarters(&[5, 7], dtype)?, quarters(&[5, 7], dtype)?);
            let (expected, value) = Elementwise { l1, l2 }.add_tensors(&w, &g)?;
            let (got, penalty) = Elementwise { l1, l2 }.add(&w, &g)?;
            assert_eq!((got.dtype(), numbers(&got), penalty), (dtype, numbers(&expected), value));
        }
    }
    Ok(())
}

/// Weights of 1e5 by 1e5 of these are beyond the range of a sum in `f16`, and a sum in `f32` would lose digits.
#[test]
fn penalties_are_summed_in_f64() -> Result<()> {
    for dtype in [DType::F16, DType::F32] {
        let (penalty, _) = added("l2:1", &Tensor::full(2f32, (1000, 300), CPU)?.to_dtype(dtype)?, 0.0)?;
        assert_eq!(penalty, 1.2e6);
        let (penalty, _) =
            added("l1:1", &Tensor::full(0.1f32, (1000, 300), CPU)?.to_dtype(DType::F32)?, 0.0)?;
        assert!((penalty / (3e5 * f64::from(0.1f32)) - 1.0).abs() < 1e-12, "{penalty}");
    }
    Ok(())
}

/// Numbers of tests/reference/regularizers.py.
#[test]
fn a_halved_penalty_is_the_weight_decay_of_torch() -> Result<()> {
    let expected: [(Optimizer, [f64; 6]); 2] = [
        (
            Optimizer::sgd(0.1),
            [-0.21475000000000002, 0.7864687499999998, 0.21434375, -0.50040625, 0.5008125, -0.0713125],
        ),
        (
            Optimizer::adam(0.1),
            [
                -0.20062339434341137,
                0.9503474785206203,
                -0.030208307587396843,
                -0.45073840287736455,
                0.700318946163216,
                -0.29512873790224625,
            ],
        ),
    ];
    for (optimizer, expected) in expected {
        let w = Var::from_tensor(&quarters(&[2, 3], DType::F64)?)?;
        let factor = quarters(&[2, 3], DType::F64)?.index_select(&Tensor::new(&[1u32, 0], CPU)?, 0)?;
        let mut state = OptimizerState::new(&optimizer, named(&w))?;
        let l2: Regularizer = L2::new(0.5).half(true).into();
        for _ in 0..3 {
            let mut gradients = (w.as_tensor() * &factor)?.sum_all()?.backward()?;
            l2.add_to(&named(&w), &mut gradients)?;
            state.step(&gradients, 0.1, &Clip::None)?;
        }
        assert_close(&numbers(&w), &expected, 1e-12, &optimizer);
    }
    Ok(())
}

/// The penalty is part of the loss, so it is clipped with it; the decoupled decay of AdamW is not.
#[test]
fn the_penalty_is_clipped_and_decoupled_decay_is_another_step() -> Result<()> {
    let end = |optimizer: Optimizer, penalty: Option<Regularizer>, clip: &Clip| -> Result<Vec<f64>> {
        let w = Var::new(&[[3f64, 4.0]], CPU)?;
        let mut gradients = w.sum_all()?.backward()?;
        gradients.insert(&w, w.zeros_like()?);
        if let Some(penalty) = penalty {
            penalty.add_to(&named(&w), &mut gradients)?;
        }
        OptimizerState::new(&optimizer, named(&w))?.step(&gradients, 0.1, clip)?;
        Ok(numbers(&w))
    };
    // The gradient (6, 8) has norm 10.
    let clipped = end(Sgd::new(0.1).into(), Some(Regularizer::l2(1.0)), &Clip::Norm(1.0))?;
    assert_close(&clipped, &[3.0 - 0.06, 4.0 - 0.08], 1e-14, &"clipped");
    // Adam makes steps of its rate of any gradient; AdamW shrinks by rate · decay.
    let adam = end(Adam::new(0.1).into(), Some(Regularizer::l2(1.0)), &Clip::None)?;
    assert_close(&adam, &[2.9, 3.9], 1e-8, &"Adam");
    let adamw = end(Optimizer::adamw(0.1, 1.0), None, &Clip::None)?;
    assert_close(&adamw, &[2.7, 3.6], 1e-14, &"AdamW");
    Ok(())
}

#[test]
fn only_selected_variables_with_a_gradient_have_a_penalty() -> Result<()> {
    let ones = |shape: &[usize]| Var::ones(shape, DType::F32, CPU);
    let (weight, bias, head, frozen) = (ones(&[2, 2])?, ones(&[2])?, ones(&[3, 2])?, ones(&[4, 4])?);
    let vars: Vec<_> = [
        ("hidden.weight", &weight),
        ("hidden.bias", &bias),
        ("head.weight", &head),
        ("frozen.weight", &frozen),
        ("tied.weight", &weight),
    ]
    .map(|(name, var)| (name.to_string(), var.clone()))
    .into();
    let gradients = || ((weight.sum_all()? + bias.sum_all()?)? + head.sum_all()?)?.backward();
    for (text, expected) in [
        ("l2:1", 4.0 + 6.0),
        ("l2:1:all", 4.0 + 2.0 + 6.0),
        ("l2:1:biases", 2.0),
        ("l2:1:tied.*", 4.0),
        ("l2:1:!head.*", 4.0),
        ("l2:1:frozen.*", 0.0),
        ("none", 0.0),
    ] {
        let list = Regularizers::parse(text)?;
        list.check_variables(&vars)?;
        let mut gradients = gradients()?;
        assert_eq!(list.add_to(&vars, &mut gradients)?, expected, "{text}");
        assert!(gradients.get(&frozen).is_none());
    }
    let mut gradients = gradients()?;
    Regularizer::l2(1.0).add_to(&vars, &mut gradients)?;
    assert_eq!(numbers(gradients.get(&weight).unwrap()), [3.0; 4], "once, although it has two names");
    assert_eq!(numbers(gradients.get(&bias).unwrap()), [1.0; 2]);
    let e = Regularizers::parse("l2:1:hiden.*")?.check_variables(&vars).unwrap_err().to_string();
    assert!(e.contains("such as hidden.bias, hidden.weight"), "{e}");
    Ok(())
}

#[test]
fn the_layout_of_a_gradient_does_not_matter_and_its_shape_does() -> Result<()> {
    let w = Var::from_tensor(&quarters(&[3, 5], DType::F32)?)?;
    let with = |g: Tensor| -> Result<Vec<f64>> {
        let mut gradients = w.sum_all()?.backward()?;
        gradients.insert(&w, g);
        Regularizer::l1_l2(0.5, 0.25).add_to(&named(&w), &mut gradients)?;
        Ok(numbers(gradients.get(&w).unwrap()))
    };
    let plain = quarters(&[3, 5], DType::F32)?;
    let transposed = plain.t()?.contiguous()?.t()?;
    assert_eq!(with(transposed)?, with(plain)?);
    let broadcast = Tensor::ones((1, 5), DType::F32, CPU)?.broadcast_as((3, 5))?;
    assert_eq!(with(broadcast)?, with(Tensor::ones((3, 5), DType::F32, CPU)?)?);
    let e = with(quarters(&[5, 3], DType::F32)?).unwrap_err().to_string();
    assert_eq!(e, "the gradient of `w` must be of the variable's shape, [3, 5], but is of shape [5, 3]");
    Ok(())
}

#[test]
fn weights_that_are_nan_give_a_penalty_that_is_nan() -> Result<()> {
    for text in ["l1:1", "l2:1", "l1-l2:1:1", "orthogonal:1"] {
        let (penalty, gradient) = added(text, &Tensor::new(&[[1f32, f32::NAN]], CPU)?, 1.0)?;
        assert!(penalty.is_nan() && gradient[1].is_nan(), "{text}");
    }
    Ok(())
}

#[test]
fn texts_and_json_make_the_regularizer_that_they_describe() {
    let head = || WeightFilter::names(["*.weight", "!head.*"]);
    let all: Vec<Regularizer> = vec![
        Regularizer::l1(1e-5),
        L2::new(0.001).half(true).on(head()).into(),
        Regularizer::l1_l2(1e-5, 1e-4).on(WeightFilter::All),
        Regularizer::orthogonal(0.1).on(head()),
    ];
    for regularizer in &all {
        let text = regularizer.to_string();
        assert_eq!(&Regularizer::registry().parse(&text).unwrap(), regularizer, "{text}");
    }
    let list: Regularizers = all.into_iter().collect();
    assert_eq!(Regularizers::parse(&list.to_string()).unwrap(), list);
    assert_eq!(serde_json::from_str::<Regularizers>(&serde_json::to_string(&list).unwrap()).unwrap(), list);
    assert_eq!(Regularizers::parse(&Regularizers::default().to_string()).unwrap(), Regularizers::default());
}

#[test]
fn bad_parameters_are_named() {
    for (regularizer, name) in [
        (Regularizer::l1(-1.0), "L1::rate"),
        (Regularizer::l2(f64::NAN), "L2::rate"),
        (Regularizer::l1_l2(-1.0, 0.0), "L1L2::l1"),
        (Regularizer::l1_l2(0.0, f64::INFINITY), "L1L2::l2"),
        (Regularizer::orthogonal(-0.1), "Orthogonal::rate"),
        (Regularizer::l2(0.1).on(WeightFilter::names(["a[b"])), "WeightFilter::Names"),
    ] {
        let e = Regularizers::from(regularizer).check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
    }
    for text in ["l2", "l2:x", "l3:1", "l2:-1", "l2:1:a[b", "l2:1:half=maybe", "l2:1:kernels:true:1"] {
        assert!(Regularizers::parse(text).is_err(), "{text}");
    }
}

proptest! {
    /// Along any direction the penalty changes by the gradient.
    #[test]
    fn the_gradient_is_the_slope_of_the_penalty(
        w in prop::collection::vec(prop_oneof![-2.0..-0.1f64, 0.1..2.0f64], 12),
        direction in prop::collection::vec(-1.0..1.0f64, 12),
        l1 in 0.0..1.0f64, l2 in 0.0..1.0f64, wide: bool,
    ) {
        let shape = if wide { (3, 4) } else { (4, 3) };
        for text in [format!("l1-l2:{l1}:{l2}"), format!("orthogonal:{l2}")] {
            let at = |t: f64| {
                let moved: Vec<f64> = w.iter().zip(&direction).map(|(w, d)| w + t * d).collect();
                added(&text, &Tensor::from_vec(moved, shape, CPU).unwrap(), 0.0).unwrap()
            };
            let (penalty, gradient) = at(0.0);
            prop_assert!(penalty >= 0.0);
            let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let measured = (at(1e-5).0 - at(-1e-5).0) / 2e-5;
            prop_assert!((slope - measured).abs() < 1e-4 * (1.0 + slope.abs()), "{slope} {measured}");
        }
    }
}
