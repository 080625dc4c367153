use crate::train::loss::*;
use candle_core::{Device, Var};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;
const ALL: [Loss; 6] = [
    Loss::CrossEntropy { smoothing: 0.0 },
    Loss::CrossEntropy { smoothing: 0.1 },
    Loss::BinaryCrossEntropy,
    Loss::MeanSquared,
    Loss::MeanAbsolute,
    Loss::Huber { delta: 0.7 },
];

type Path = fn(Loss, &Tensor, &Tensor, Option<&Tensor>) -> CResult<Tensor>;

fn fused(loss: Loss, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
    loss.mean(output, targets, weights)
}

fn composed(loss: Loss, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
    composed::mean(loss, output, targets, weights.map(|w| normalized(w, output.dims()[0])).transpose()?)
}

const PATHS: [Path; 2] = [fused, composed];

/// The value and the gradient, as numbers.
fn value_and_gradient(
    path: Path,
    loss: Loss,
    output: &Tensor,
    targets: &Tensor,
    weights: Option<&Tensor>,
) -> CResult<(f64, Vec<f64>)> {
    let output = Var::from_tensor(output)?;
    let value = path(loss, &output, targets, weights)?;
    assert!(value.dims().is_empty());
    let gradients = value.backward()?;
    let gradient = gradients.get(&output).expect("a gradient");
    assert_eq!(gradient.dims(), output.dims());
    let gradient = gradient.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?;
    Ok((value.to_dtype(DType::F64)?.to_scalar()?, gradient))
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), expected.len(), "{what:?}");
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "{what:?}: {got:?} against {expected:?}");
    }
}

/// Outputs, targets and weights of a batch of 7 rows for the loss.
fn batch(loss: Loss, seed: u64) -> CResult<(Tensor, Tensor, Tensor)> {
    use rand::Rng;
    let mut rng = crate::Seed::from(seed).rng();
    let columns = match loss {
        Loss::CrossEntropy { .. } => 5,
        Loss::BinaryCrossEntropy => 1,
        _ => 3,
    };
    let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-2.0..2.0)).collect::<Vec<f64>>();
    let output = Tensor::from_vec(draw(7 * columns), (7, columns), CPU)?;
    let targets = match loss {
        Loss::CrossEntropy { .. } => Tensor::new(&[0u32, 4, 1, 1, 3, 2, 0], CPU)?,
        Loss::BinaryCrossEntropy => Tensor::new(&[0u32, 1, 1, 1, 0, 0, 1], CPU)?,
        _ => Tensor::from_vec(draw(7 * columns), (7, columns), CPU)?,
    };
    let weights = Tensor::new(&[1f64, 0.5, 0.0, 2.0, 3.0, 0.25, 1.0], CPU)?;
    Ok((output, targets, weights))
}

#[test]
fn cross_entropy_by_hand() -> CResult<()> {
    // Softmax of (ln 1, ln 2, ln 5) is (1/8, 2/8, 5/8), that of equal logits (1/3, 1/3, 1/3).
    let z = Tensor::new(&[[0f64, 2f64.ln(), 5f64.ln()], [4.0, 4.0, 4.0]], CPU)?;
    let y = Tensor::new(&[1u32, 0], CPU)?;
    for path in PATHS {
        let plain = Loss::CrossEntropy { smoothing: 0.0 };
        let (value, gradient) = value_and_gradient(path, plain, &z, &y, None)?;
        assert_close(&[value], &[(4f64.ln() + 3f64.ln()) / 2.0], 1e-14, &plain);
        let third = 1.0 / 3.0;
        let by_hand = [0.125, -0.75, 0.625, third - 1.0, third, third].map(|g| g / 2.0);
        assert_close(&gradient, &by_hand, 1e-14, &plain);

        // Weights 3 : 1, and 0.3 of the target spread evenly: 0.1 for each class.
        let w = Tensor::new(&[3f64, 1.0], CPU)?;
        let smooth = Loss::CrossEntropy { smoothing: 0.3 };
        let (value, gradient) = value_and_gradient(path, smooth, &z, &y, Some(&w))?;
        let first = 0.1 * 8f64.ln() + 0.8 * 4f64.ln() + 0.1 * (8f64 / 5.0).ln();
        assert_close(&[value], &[0.75 * first + 0.25 * 3f64.ln()], 1e-14, &smooth);
        let by_hand = [
            0.75 * 0.025,
            0.75 * (0.25 - 0.8),
            0.75 * 0.525,
            0.25 * (third - 0.8),
            0.25 * (third - 0.1),
            0.25 * (third - 0.1),
        ];
        assert_close(&gradient, &by_hand, 1e-14, &smooth);
    }
    Ok(())
}

#[test]
fn binary_cross_entropy_by_hand_and_for_extreme_logits() -> CResult<()> {
    // σ(ln 3) = 3/4; at 0 it is 1/2; at ±1000 the loss is |z| or 0.
    let z = Tensor::new(&[3f64.ln(), 0.0, 1000.0, 1000.0, -1000.0, -1000.0], CPU)?;
    let y = Tensor::new(&[1u32, 0, 0, 1, 0, 1], CPU)?;
    for path in PATHS {
        for dtype in [DType::F32, DType::F64] {
            for z in [z.to_dtype(dtype)?, z.to_dtype(dtype)?.unsqueeze(1)?] {
                let (value, gradient) = value_and_gradient(path, Loss::BinaryCrossEntropy, &z, &y, None)?;
                let tolerance = if dtype == DType::F32 { 1e-6 } else { 1e-14 };
                assert_close(&[value], &[((4f64 / 3.0).ln() + 2f64.ln() + 2000.0) / 6.0], tolerance, &dtype);
                let by_hand = [-0.25, 0.5, 1.0, 0.0, 0.0, -1.0].map(|g| g / 6.0);
                assert_close(&gradient, &by_hand, tolerance, &dtype);
            }
        }
    }
    Ok(())
}

#[test]
fn cross_entropy_of_extreme_logits() -> CResult<()> {
    let z = Tensor::new(&[[1000f32, -1000.0], [1000.0, -1000.0]], CPU)?;
    let y = Tensor::new(&[0u32, 1], CPU)?;
    for path in PATHS {
        let (value, gradient) =
            value_and_gradient(path, Loss::CrossEntropy { smoothing: 0.0 }, &z, &y, None)?;
        assert_close(&[value], &[1000.0], 1e-6, &"value");
        assert_close(&gradient, &[0.0, 0.0, 0.5, -0.5], 1e-6, &"gradient");
    }
    // A class with logit −∞.
    let z = Tensor::new(&[[0f32, f32::NEG_INFINITY, 0.0]], CPU)?;
    let (value, gradient) =
        value_and_gradient(fused, Loss::CrossEntropy { smoothing: 0.0 }, &z, &y.narrow(0, 0, 1)?, None)?;
    assert_close(&[value], &[2f64.ln()], 1e-6, &"masked");
    assert_close(&gradient, &[-0.5, 0.0, 0.5], 1e-6, &"masked");
    Ok(())
}

#[test]
fn regression_losses_by_hand() -> CResult<()> {
    // Differences 0, 0.5, −1 and −3 in two rows of two.
    let x = Tensor::new(&[[1f64, 2.0], [3.0, 4.0]], CPU)?;
    let y = Tensor::new(&[[1f64, 1.5], [4.0, 7.0]], CPU)?;
    let cases = [
        (Loss::MeanSquared, [0.0, 0.25, 1.0, 9.0], [0.0, 1.0, -2.0, -6.0]),
        (Loss::MeanAbsolute, [0.0, 0.5, 1.0, 3.0], [0.0, 1.0, -1.0, -1.0]),
        (Loss::Huber { delta: 1.0 }, [0.0, 0.125, 0.5, 2.5], [0.0, 0.5, -1.0, -1.0]),
        (Loss::Huber { delta: 2.0 }, [0.0, 0.125, 0.5, 4.0], [0.0, 0.5, -1.0, -2.0]),
    ];
    for (loss, l, d) in cases {
        for path in PATHS {
            let (value, gradient) = value_and_gradient(path, loss, &x, &y, None)?;
            assert_close(&[value], &[l.iter().sum::<f64>() / 4.0], 1e-15, &loss);
            assert_close(&gradient, &d.map(|d| d / 4.0), 1e-15, &loss);
            let w = Tensor::new(&[1f32, 4.0], CPU)?;
            let (value, gradient) = value_and_gradient(path, loss, &x, &y, Some(&w))?;
            assert_close(&[value], &[0.1 * (l[0] + l[1]) + 0.4 * (l[2] + l[3])], 1e-15, &loss);
            assert_close(&gradient, &[0.1 * d[0], 0.1 * d[1], 0.4 * d[2], 0.4 * d[3]], 1e-15, &loss);
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_finite_differences_and_both_paths_agree() -> CResult<()> {
    const H: f64 = 1e-6;
    for loss in ALL {
        for seed in 0..5 {
            let (output, targets, weights) = batch(loss, seed)?;
            for weights in [None, Some(&weights)] {
                let (value, gradient) = value_and_gradient(fused, loss, &output, &targets, weights)?;
                let (value2, gradient2) = value_and_gradient(composed, loss, &output, &targets, weights)?;
                assert_close(&[value2], &[value], 1e-14, &loss);
                assert_close(&gradient2, &gradient, 1e-14, &loss);

                let x: Vec<f64> = output.flatten_all()?.to_vec1()?;
                let at = |i: usize, by: f64| -> CResult<f64> {
                    let mut x = x.clone();
                    x[i] += by;
                    loss.mean(&Tensor::from_vec(x, output.shape(), CPU)?, &targets, weights)?.to_scalar()
                };
                for (i, g) in gradient.iter().enumerate() {
                    let slope = (at(i, H)? - at(i, -H)?) / (2.0 * H);
                    assert!((slope - g).abs() < 1e-8, "{loss:?} {i}: {slope} against {g}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn precisions_agree_and_layouts_do_not_matter() -> CResult<()> {
    for loss in ALL {
        let (output, targets, weights) = batch(loss, 9)?;
        let (value, gradient) = value_and_gradient(fused, loss, &output, &targets, Some(&weights))?;
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F16, 4e-3), (DType::BF16, 3e-2)] {
            let low = output.to_dtype(dtype)?;
            assert_eq!(loss.mean(&low, &targets, None)?.dtype(), DType::F32);
            let (v, g) = value_and_gradient(fused, loss, &low, &targets, Some(&weights))?;
            assert_close(&[v], &[value], tolerance, &(loss, dtype));
            assert_close(&g, &gradient, tolerance, &(loss, dtype));
        }
        let transposed = Var::from_tensor(&output.t()?)?;
        let mean = loss.mean(&transposed.t()?, &targets, Some(&weights))?;
        assert_eq!(mean.to_scalar::<f64>()?, value, "{loss:?}");
        let g = mean.backward()?.get(&transposed).unwrap().t()?.flatten_all()?.to_vec1::<f64>()?;
        assert_eq!(g, gradient, "{loss:?}");
    }
    Ok(())
}

#[test]
fn a_column_and_a_vector_are_the_same_and_do_not_broadcast() -> CResult<()> {
    let x = Tensor::new(&[1f64, 2.0, 4.0], CPU)?;
    let y = Tensor::new(&[0f64, 0.0, 1.0], CPU)?;
    for loss in [Loss::MeanSquared, Loss::MeanAbsolute, Loss::Huber { delta: 1.5 }] {
        for path in PATHS {
            let (value, gradient) = value_and_gradient(path, loss, &x, &y, None)?;
            for (x, y) in [
                (x.unsqueeze(1)?, y.clone()),
                (x.clone(), y.unsqueeze(1)?),
                (x.unsqueeze(1)?, y.unsqueeze(1)?),
            ] {
                assert_eq!(value_and_gradient(path, loss, &x, &y, None)?, (value, gradient.clone()));
            }
            assert!(path(loss, &x.unsqueeze(0)?, &y, None).is_err());
        }
    }
    Ok(())
}

#[test]
fn the_gradient_is_scaled_by_the_upstream_gradient() -> CResult<()> {
    let (output, targets, _) = batch(ALL[0], 3)?;
    let (_, plain) = value_and_gradient(fused, ALL[0], &output, &targets, None)?;
    let z = Var::from_tensor(&output)?;
    let penalized = ((ALL[0].mean(&z, &targets, None)? * 3.0)? + (z.sqr()?.sum_all()? * 0.5)?)?;
    let gradients = penalized.backward()?;
    let expected: Vec<f64> =
        plain.iter().zip(output.flatten_all()?.to_vec1::<f64>()?).map(|(g, z)| 3.0 * g + z).collect();
    let got = gradients.get(&z).unwrap().flatten_all()?.to_vec1::<f64>()?;
    assert_close(&got, &expected, 1e-14, &"penalized");
    Ok(())
}

#[test]
fn zero_weights_give_a_zero_loss() -> CResult<()> {
    for loss in ALL {
        let (output, targets, weights) = batch(loss, 1)?;
        for path in PATHS {
            let (value, gradient) =
                value_and_gradient(path, loss, &output, &targets, Some(&weights.zeros_like()?))?;
            assert_eq!(value, 0.0);
            assert!(gradient.iter().all(|g| *g == 0.0));
        }
    }
    Ok(())
}

#[test]
fn nan_outputs_give_a_nan_loss() -> CResult<()> {
    for loss in ALL {
        let (output, targets, _) = batch(loss, 1)?;
        let nan = (&output * f64::NAN)?;
        for path in PATHS {
            assert!(value_and_gradient(path, loss, &nan, &targets, None)?.0.is_nan(), "{loss:?}");
        }
    }
    Ok(())
}

#[test]
fn invalid_input_is_named() -> CResult<()> {
    let refused = |loss: Loss, x: &Tensor, y: &Tensor, w: Option<&Tensor>, word: &str| {
        for path in PATHS {
            if let Ok(value) = path(loss, x, y, w) {
                panic!("{loss:?}: {value}, expected an error with {word}");
            }
            let e = Error::from(path(loss, x, y, w).unwrap_err()).to_string();
            assert!(e.contains(word), "{e}");
        }
    };
    let cross = Loss::CrossEntropy { smoothing: 0.0 };
    let z = Tensor::zeros((2, 3), DType::F64, CPU)?;
    let y = Tensor::new(&[0u32, 2], CPU)?;
    refused(cross, &z, &Tensor::new(&[0u32, 3], CPU)?, None, "the targets must be labels below 3, but is 3");
    refused(cross, &z, &Tensor::new(&[0u32, 1, 2], CPU)?, None, "targets");
    refused(cross, &z, &Tensor::new(&[0i64, 1], CPU)?, None, "u32");
    refused(cross, &z.narrow(1, 0, 1)?, &y, None, "output");
    refused(Loss::BinaryCrossEntropy, &z, &y, None, "output");
    refused(Loss::BinaryCrossEntropy, &z.narrow(1, 0, 1)?, &y, None, "below 2");
    refused(Loss::MeanSquared, &z, &y, None, "targets");
    refused(Loss::MeanSquared, &z, &z.t()?, None, "targets");
    for (w, word) in [(vec![1.0], "shape"), (vec![1.0, -1.0], "a weight"), (vec![1.0, f64::NAN], "a weight")]
    {
        refused(cross, &z, &y, Some(&Tensor::new(w, CPU)?), word);
    }
    let none = Tensor::zeros((0, 3), DType::F64, CPU)?;
    assert!(Loss::MeanSquared.mean(&none, &none, None).is_err());
    assert!(Loss::MeanSquared.mean(&none.sum_all()?, &z, None).is_err());

    for (loss, name) in [
        (Loss::CrossEntropy { smoothing: 1.0 }, "smoothing"),
        (Loss::CrossEntropy { smoothing: -0.1 }, "smoothing"),
        (Loss::Huber { delta: 0.0 }, "delta"),
        (Loss::Huber { delta: f64::NAN }, "delta"),
    ] {
        assert!(loss.check().unwrap_err().to_string().contains(name));
        assert!(loss.mean(&z, &z, None).is_err());
    }
    Ok(())
}

proptest! {
    /// A row of weight n counts like n equal rows.
    #[test]
    fn an_integer_weight_equals_repeated_rows(counts in proptest::collection::vec(0u32..4, 7), seed: u64) {
        prop_assume!(counts.iter().any(|&n| n > 0));
        for loss in ALL {
            let (output, targets, _) = batch(loss, seed).unwrap();
            let repeated: Vec<u32> =
                (0..7u32).flat_map(|row| (0..counts[row as usize]).map(move |_| row)).collect();
            let rows = Tensor::new(repeated, CPU).unwrap();
            let again = |x: &Tensor| x.index_select(&rows, 0).unwrap();
            let plain = loss.mean(&again(&output), &again(&targets), None).unwrap();
            let plain = plain.to_scalar::<f64>().unwrap();
            let weights = Tensor::new(counts.clone(), CPU).unwrap().to_dtype(DType::F32).unwrap();
            let weighted = loss.mean(&output, &targets, Some(&weights)).unwrap().to_scalar::<f64>().unwrap();
            prop_assert!((plain - weighted).abs() < 1e-12);
        }
    }
}

/// In `bf16` itself the sum of a thousand exponentials would end at 256, and the loss would be off by 1.
#[test]
fn half_precision_is_computed_in_f32() -> CResult<()> {
    let logits: Vec<f32> = (0..8 * 1000).map(|i| ((i * 37 % 1001) as f32 / 250.0) - 2.0).collect();
    let logits = Tensor::from_vec(logits, (8, 1000), CPU)?;
    let labels = Tensor::from_iter((0..8u32).map(|row| row * 111), CPU)?;
    for dtype in [DType::BF16, DType::F16] {
        let z = logits.to_dtype(dtype)?;
        for smoothing in [0.0, 0.1] {
            let loss = Loss::CrossEntropy { smoothing };
            let exact = loss.mean(&z.to_dtype(DType::F64)?, &labels, None)?.to_scalar::<f64>()?;
            let got = loss.mean(&z, &labels, None)?;
            assert_eq!(got.dtype(), DType::F32);
            assert!((f64::from(got.to_scalar::<f32>()?) - exact).abs() < 1e-5 * exact, "{dtype:?} {exact}");
        }
    }
    Ok(())
}
