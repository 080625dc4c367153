use super::*;
use crate::train::{Clip, Optimizer, OptimizerState};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

/// Quarters from -5/4 to 5/4.
fn quarters(shape: &[usize], dtype: DType) -> Result<Tensor> {
    let n = shape.iter().product::<usize>() as i64;
    let numbers: Vec<f64> = (0..n).map(|i| ((7 * i + 3) % 11 - 5) as f64 / 4.0).collect();
    Ok(Tensor::from_vec(numbers, shape, CPU)?.to_dtype(dtype)?)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).unwrap()
}

fn named(var: &Var) -> Vec<(String, Var)> {
    vec![("w".into(), var.clone())]
}

/// The weights after one application.
fn applied(text: &str, w: &Tensor) -> Result<Vec<f64>> {
    let var = Var::from_tensor(w)?;
    Constraints::parse(text)?.apply(&named(&var))?;
    assert_eq!((var.dtype(), var.shape()), (w.dtype(), w.shape()));
    Ok(numbers(&var))
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &dyn fmt::Debug) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance, "{what:?}: {got:?} against {expected:?}");
    }
}

/// Numbers of tests/reference/constraints.py (numpy 2.4.6).
const REFERENCE: [(&str, &[usize], [f64; 6]); 10] = [
    (
        "max-norm:1.4",
        &[2, 3],
        [
            -0.49999996348516546,
            1.2499999087129137,
            0.24999998174258273,
            -0.7499999400000048,
            0.9999999200000064,
            0.0,
        ],
    ),
    (
        "max-norm:1.4:units=1",
        &[2, 3, 1],
        [
            -0.4999999445299866,
            1.0932162649275639,
            0.24999990000004,
            -0.7499999167949798,
            0.874573011942051,
            0.0,
        ],
    ),
    (
        "max-norm:1.4:units=1",
        &[1, 2, 3],
        [
            -0.49999996348516546,
            1.2499999087129137,
            0.24999998174258273,
            -0.7499999400000048,
            0.9999999200000064,
            0.0,
        ],
    ),
    (
        "unit-norm",
        &[2, 3],
        [
            -0.365148345003446,
            0.912870862508615,
            0.182574172501723,
            -0.5999999520000038,
            0.7999999360000051,
            0.0,
        ],
    ),
    (
        "unit-norm:units=1",
        &[2, 3, 1],
        [
            -0.5547001346867745,
            0.7808687606625455,
            0.99999960000016,
            -0.8320502020301617,
            0.6246950085300365,
            0.0,
        ],
    ),
    (
        "unit-norm:units=1",
        &[1, 2, 3],
        [
            -0.365148345003446,
            0.912870862508615,
            0.182574172501723,
            -0.5999999520000038,
            0.7999999360000051,
            0.0,
        ],
    ),
    (
        "min-max-norm:1.4:1.5:0.25",
        &[2, 3],
        [
            -0.5028018933650802,
            1.2570047334127004,
            0.2514009466825401,
            -0.772499938200005,
            1.0299999176000065,
            0.0,
        ],
    ),
    (
        "min-max-norm:1.4:1.5:0.25:units=1",
        &[2, 3, 1],
        [
            -0.5691450055378608,
            1.2303257266832974,
            0.537499785000086,
            -0.8537175083067914,
            0.984260581346638,
            0.0,
        ],
    ),
    (
        "min-max-norm:1.4:1.5:0.25:units=1",
        &[1, 2, 3],
        [
            -0.5028018933650802,
            1.2570047334127004,
            0.2514009466825401,
            -0.772499938200005,
            1.0299999176000065,
            0.0,
        ],
    ),
    ("non-negative", &[2, 3], [0.0, 1.25, 0.25, 0.0, 1.0, 0.0]),
];

#[test]
fn constraints_equal_those_of_keras_in_every_type() -> Result<()> {
    for (text, shape, expected) in REFERENCE {
        for (dtype, tolerance) in
            [(DType::F64, 1e-15), (DType::F32, 1e-7), (DType::BF16, 4e-3), (DType::F16, 5e-4)]
        {
            assert_close(&applied(text, &quarters(shape, dtype)?)?, &expected, tolerance, &(text, dtype));
        }
    }
    Ok(())
}

/// 3 × 5 × 41 numbers: whole blocks of the loop and a rest, with every dimension as that of units.
#[test]
fn the_loops_equal_the_tensor_operations() -> Result<()> {
    let shape = [3, 5, 41];
    let factor = |norm: f64| 1.0 / (1.0 + norm);
    for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
        for units in 0..3 {
            let w = quarters(&shape, dtype)?;
            let var = Var::from_tensor(&w)?;
            units::scale("w", &var, ("units", units), &factor)?;
            let expected = units::scaled(&w, shape[units], shape[units + 1..].iter().product(), &factor)?;
            assert_close(&numbers(&var), &numbers(&expected), tolerance, &(dtype, units));
            let norm = numbers(&w.narrow(units, 0, 1)?).iter().map(|x| x * x).sum::<f64>().sqrt();
            let first = numbers(&var.narrow(units, 0, 1)?);
            let by_hand: Vec<f64> =
                numbers(&w.narrow(units, 0, 1)?).iter().map(|x| x * factor(norm)).collect();
            assert_close(&first, &by_hand, tolerance, &(dtype, units));
        }
    }
    Ok(())
}

/// The heads of three members, of which each has the units of its own.
#[test]
fn entries_of_members_have_units_of_their_own() -> Result<()> {
    let factor = |norm: f64| 1.0 / (1.0 + norm);
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        for units in 0..2 {
            let w = quarters(&[3, 2, 5], dtype)?;
            let var = Var::from_tensor(&w)?;
            units::scale("head.members.weight", &var, ("units", units), &factor)?;
            for member in 0..3 {
                let alone = Var::from_tensor(&w.get(member)?)?;
                units::scale("head.weight", &alone, ("units", units), &factor)?;
                assert_eq!(numbers(&var.get(member)?), numbers(&alone), "{dtype:?} {units}");
            }
        }
    }
    Ok(())
}

#[test]
fn each_number_of_rank_1_or_0_is_a_unit_and_zeros_stay() -> Result<()> {
    assert_close(
        &applied("max-norm:1:all", &Tensor::new(&[3f64, -0.5], CPU)?)?,
        &[1.0, -0.5],
        1e-6,
        &"rank 1",
    );
    assert_close(&applied("unit-norm:all", &Tensor::new(-3f64, CPU)?)?, &[-1.0], 1e-6, &"rank 0");
    for text in ["unit-norm", "min-max-norm:1:2", "max-norm:1"] {
        assert_eq!(applied(text, &Tensor::zeros((2, 2), DType::F32, CPU)?)?, [0.0; 4], "{text}");
        assert_eq!(applied(text, &Tensor::zeros((0, 2), DType::F32, CPU)?)?, [0.0; 0], "{text}");
    }
    let e = applied("unit-norm:units=2", &quarters(&[2, 3], DType::F32)?).unwrap_err().to_string();
    assert_eq!(e, "UnitNorm::units must be below 2, the number of dimensions of `w`, but is 2");
    Ok(())
}

#[test]
fn weights_that_are_nan_stay_so() -> Result<()> {
    for text in ["max-norm:1", "unit-norm", "min-max-norm:1:2", "non-negative"] {
        for dtype in [DType::F32, DType::F16] {
            let w = Tensor::new(&[[1f32, f32::NAN], [0.5, 0.5]], CPU)?.to_dtype(dtype)?;
            let got = applied(text, &w)?;
            assert!(got[1].is_nan() && got[2..].iter().all(|x| x.is_finite()), "{text}: {got:?}");
        }
    }
    Ok(())
}

#[test]
fn only_selected_variables_are_changed() -> Result<()> {
    let twos = |shape: &[usize]| Var::from_tensor(&Tensor::full(2f32, shape, CPU)?);
    let (weight, bias, mean) = (twos(&[1, 1])?, twos(&[1])?, twos(&[1])?);
    let vars: Vec<_> = [("a.weight", &weight), ("a.bias", &bias), ("n.running_mean", &mean)]
        .map(|(name, var)| (name.to_string(), var.clone()))
        .into();
    let list = Constraints::parse("max-norm:1")?;
    list.apply(&vars)?;
    assert_eq!((numbers(&bias), numbers(&mean)), (vec![2.0], vec![2.0]));
    assert_close(&numbers(&weight), &[1.0], 1e-6, &"kernel");
    Constraints::parse("max-norm:1:all")?.apply(&vars)?;
    assert_close(&numbers(&bias), &[1.0], 1e-6, &"bias");
    assert_eq!(numbers(&mean), [2.0]);
    assert!(Constraints::parse("unit-norm:b.*")?.check_variables(&vars).is_err());
    Ok(())
}

#[test]
fn averages_are_brought_back_without_a_change_of_what_they_share() -> Result<()> {
    let (w, b) = (quarters(&[2, 3], DType::F32)?, quarters(&[3], DType::F32)?);
    let mut weights = Weights::from([("w".to_string(), w.clone()), ("b".into(), b.clone())]);
    weights.insert("t".into(), w.t()?);
    let constraints = Constraints::parse("unit-norm,non-negative")?;
    constraints.apply_to(&mut weights)?;
    let expected = Var::from_tensor(&w)?;
    constraints.apply(&named(&expected))?;
    assert_eq!(numbers(&weights["w"]), numbers(&expected));
    assert_eq!(weights["t"].dims(), [3, 2]);
    assert_close(&numbers(&weights["t"])[..2], &[0.0, 0.0], 0.0, &"(-1/2, -3/4)");
    assert_eq!(numbers(&weights["b"]), numbers(&b));
    assert!(!weights["w"].is_variable());
    assert_eq!(numbers(&w), numbers(&quarters(&[2, 3], DType::F32)?), "the original is left alone");
    Ok(())
}

/// The optimizer keeps `f32` weights of a variable in `bf16`. What the constraint changes is not undone by the
/// next step, and the sum of small updates of a weight that it does not change is not lost.
#[test]
fn a_constraint_on_half_precision_sticks() -> Result<()> {
    let w = Var::from_tensor(&Tensor::new(&[[3f32, 4.0], [0.5, 0.25]], CPU)?.to_dtype(DType::BF16)?)?;
    let mut state = OptimizerState::new(&Optimizer::sgd(1.0), named(&w))?;
    let small = 2f64.powi(-11);
    let constraint = Constraint::max_norm(1.0);
    let g = Tensor::new(&[[0f32, 0.0], [-1.0, 0.0]], CPU)?.to_dtype(DType::BF16)?;
    for _ in 0..8 {
        let mut gradients = w.to_dtype(DType::F32)?.sum_all()?.backward()?;
        gradients.insert(&w, g.clone());
        state.step(&gradients, small, &Clip::None)?;
        constraint.apply(&named(&w))?;
        assert_close(&numbers(&w)[..2], &[0.6, 0.8], 4e-3, &"held");
    }
    // 8 · 2⁻¹¹ is the spacing of bf16 at 1/2; each step alone is rounded away.
    assert_eq!(numbers(&w)[2..], [0.5 + 2f64.powi(-8), 0.25]);
    Ok(())
}

#[test]
fn texts_and_json_make_the_constraint_that_they_describe() {
    let head = || WeightFilter::names(["*.weight", "!head.*"]);
    let all: Vec<Constraint> = vec![
        MaxNorm::new(3.0).units(1).on(head()).into(),
        UnitNorm::new().units(1).into(),
        MinMaxNorm::new(0.5, 2.0).rate(0.1).on(WeightFilter::All).into(),
        Constraint::non_negative().on(head()),
        Constraint::min_max_norm(0.0, 1.0),
    ];
    for constraint in &all {
        let text = constraint.to_string();
        assert_eq!(&Constraint::registry().parse(&text).unwrap(), constraint, "{text}");
    }
    let list: Constraints = all.into_iter().collect();
    assert_eq!(Constraints::parse(&list.to_string()).unwrap(), list);
    assert_eq!(serde_json::from_str::<Constraints>(&serde_json::to_string(&list).unwrap()).unwrap(), list);
    assert_eq!(Constraints::parse(&Constraints::default().to_string()).unwrap(), Constraints::default());
}

#[test]
fn bad_parameters_are_named() {
    for (constraint, name) in [
        (Constraint::max_norm(0.0), "MaxNorm::max"),
        (Constraint::max_norm(f64::NAN), "MaxNorm::max"),
        (Constraint::min_max_norm(-1.0, 1.0), "MinMaxNorm::min"),
        (Constraint::min_max_norm(2.0, 1.0), "MinMaxNorm::max"),
        (Constraint::min_max_norm(0.0, 0.0), "MinMaxNorm::max"),
        (MinMaxNorm::new(0.0, 1.0).rate(0.0).into(), "MinMaxNorm::rate"),
        (MinMaxNorm::new(0.0, 1.0).rate(1.5).into(), "MinMaxNorm::rate"),
        (Constraint::unit_norm().on(WeightFilter::names(["a[b"])), "WeightFilter::Names"),
        (Constraint::non_negative().on(WeightFilter::Names(vec![])), "WeightFilter::Names"),
    ] {
        let e = Constraints::from(constraint).check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
    }
    for text in ["max-norm", "max-norm:x", "max-nrom:1", "max-norm:-1", "unit-norm:a[b", "unit-norm:units=-1"]
    {
        assert!(Constraints::parse(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn norms_are_in_range_directions_stay_and_a_second_time_changes_little(
        w in prop::collection::vec(-3.0..3.0f64, 60), low in 0.0..1.0f64, width in 0.1..2.0f64,
    ) {
        let w = Tensor::from_vec(w, (3, 4, 5), CPU).unwrap();
        let high = low + width;
        for units in 0..3 {
            let text = format!("min-max-norm:{low}:{high}:units={units}");
            let once = Tensor::from_vec(applied(&text, &w).unwrap(), (3, 4, 5), CPU).unwrap();
            for unit in 0..w.dims()[units] {
                let [before, after] = [&w, &once].map(|t| numbers(&t.narrow(units, unit, 1).unwrap()));
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let norm = dot(&after, &after).sqrt();
                prop_assert!(norm > low - 1e-6 && norm < high + 1e-6, "{norm}");
                prop_assert!((dot(&before, &after) - dot(&before, &before).sqrt() * norm).abs() < 1e-9);
            }
            let twice = applied(&text, &once).unwrap();
            prop_assert!(twice.iter().zip(numbers(&once)).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}
