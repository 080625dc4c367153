use crate::{codec, train::loss::*, Error};
use candle_core::{Device, Var};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;
const ALL: [Loss; 20] = [
    Loss::CrossEntropy { smoothing: 0.0 },
    Loss::CrossEntropy { smoothing: 0.1 },
    Loss::BinaryCrossEntropy,
    Loss::MeanSquared,
    Loss::MeanAbsolute,
    Loss::Huber { delta: 0.7 },
    Loss::MeanSquaredLogarithmic { clip: true },
    Loss::MeanSquaredLogarithmic { clip: false },
    Loss::LogCosh,
    Loss::Hinge,
    Loss::SquaredHinge,
    Loss::KlDivergence,
    Loss::Poisson { log_rate: false },
    Loss::Poisson { log_rate: true },
    Loss::CosineSimilarity,
    Loss::Focal { gamma: 0.0 },
    Loss::Focal { gamma: 0.5 },
    Loss::Focal { gamma: 2.0 },
    Loss::Coral,
    Loss::Corn,
];

type Path = fn(Loss, &Tensor, &Tensor, Option<&Tensor>) -> CResult<Tensor>;

fn fused(loss: Loss, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
    loss.mean(output, targets, weights)
}

fn composed(loss: Loss, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
    loss.composed_mean(output, targets, weights.map(|w| normalized(w, output.dims()[0])).transpose()?)
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

/// Outputs, targets and weights of a batch of 7 rows for the loss. The losses for labels and values, or for labels and
/// probabilities, have labels where the seed is even.
fn batch(loss: Loss, seed: u64) -> CResult<(Tensor, Tensor, Tensor)> {
    use rand::Rng;
    let mut rng = crate::Seed::from(seed).rng();
    let mut draw = |columns: usize, low: f64, high: f64| {
        let numbers = (0..7 * columns).map(|_| rng.random_range(low..high)).collect::<Vec<f64>>();
        Tensor::from_vec(numbers, (7, columns), CPU)
    };
    let (of_five, of_two) = (Tensor::new(&[0u32, 4, 1, 1, 3, 2, 0], CPU)?, [0u32, 1, 1, 1, 0, 0, 1]);
    let of_two = Tensor::new(&of_two, CPU)?;
    let (output, targets) = match loss {
        Loss::CrossEntropy { .. } | Loss::KlDivergence if seed.is_multiple_of(2) => {
            (draw(5, -2.0, 2.0)?, of_five)
        }
        // One logit in turn.
        Loss::Focal { .. } if seed.is_multiple_of(2) => (draw(5, -2.0, 2.0)?, of_five),
        Loss::Focal { .. } => (draw(1, -2.0, 2.0)?, of_two),
        Loss::BinaryCrossEntropy if !seed.is_multiple_of(2) => {
            let one = draw(1, 0.0, 1.0)?;
            (draw(1, -2.0, 2.0)?, Tensor::cat(&[&(1.0 - &one)?, &one], 1)?)
        }
        Loss::CrossEntropy { .. } | Loss::KlDivergence => {
            let shares = draw(5, -1.0, 2.0)?.maximum(0.0)?; // a third of them is 0
            let shares = (shares + draw(1, 0.1, 0.2)?.pad_with_zeros(1, 2, 2)?)?;
            (draw(5, -2.0, 2.0)?, shares.broadcast_div(&shares.sum_keepdim(1)?)?)
        }
        Loss::BinaryCrossEntropy => (draw(1, -2.0, 2.0)?, of_two),
        // Five classes with an order, and two.
        Loss::Coral | Loss::Corn if seed.is_multiple_of(2) => (draw(4, -2.0, 2.0)?, of_five),
        Loss::Coral | Loss::Corn => (draw(1, -2.0, 2.0)?, of_two),
        Loss::Hinge | Loss::SquaredHinge if seed.is_multiple_of(2) => (draw(1, -2.0, 2.0)?, of_two),
        Loss::Hinge | Loss::SquaredHinge => (draw(3, -2.0, 2.0)?, draw(3, -1.0, 1.0)?.sign()?),
        Loss::MeanSquaredLogarithmic { .. } => (draw(3, 0.1, 3.0)?, draw(3, 0.0, 3.0)?),
        Loss::Poisson { log_rate: false } => (draw(3, 0.5, 3.0)?, draw(3, 0.0, 6.0)?.floor()?),
        Loss::Poisson { log_rate: true } => (draw(3, -2.0, 2.0)?, draw(3, 0.0, 6.0)?.floor()?),
        _ => (draw(3, -2.0, 2.0)?, draw(3, -2.0, 2.0)?),
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

const X: [[f64; 3]; 2] = [[0.3, 1.2, 2.5], [0.05, 0.7, 4.0]];
const Y: [[f64; 3]; 2] = [[0.0, 1.0, 3.0], [2.0, 0.7, 1.5]];
const SIGNS: [[f64; 3]; 2] = [[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]];
const MARGINS: [[f64; 3]; 2] = [[0.3, -1.2, -0.5], [0.05, 0.7, -0.9]];
const Q: [[f64; 3]; 2] = [[0.2, 0.0, 0.8], [0.5, 0.25, 0.25]];
const SOME_NEGATIVE: [[f64; 3]; 2] = [[-0.5, 1.2, 2.5], [0.05, -3.0, 4.0]];
const NEGATIVE_TARGET: [[f64; 3]; 2] = [[-1.0, 1.0, 3.0], [2.0, 0.7, 1.5]];

/// A loss, outputs, targets, and the value and gradient for weights 1 and 3 that tests/reference/losses.py
/// gets from PyTorch or from Keras' formula.
type Reference = (Loss, [[f64; 3]; 2], [[f64; 3]; 2], f64, [f64; 6]);

const REFERENCE: [Reference; 10] = [
    (
        Loss::MeanSquaredLogarithmic { clip: true },
        X,
        Y,
        0.40362401158355504,
        [
            0.03363643134198666,
            0.007220468166994317,
            -0.006358637744024882,
            -0.49991529738032275,
            0.0,
            0.06931471805599451,
        ],
    ),
    (
        Loss::MeanSquaredLogarithmic { clip: true },
        SOME_NEGATIVE,
        NEGATIVE_TARGET,
        0.4682793240254101,
        [0.0, 0.007220468166994317, -0.006358637744024882, -0.49991529738032275, 0.0, 0.06931471805599451],
    ),
    (
        Loss::LogCosh,
        X,
        Y,
        0.7879754677177584,
        [
            0.024276051037632584,
            0.016447943352075334,
            -0.038509763105000816,
            -0.24007984713296127,
            0.0,
            0.24665357453785758,
        ],
    ),
    (
        Loss::Hinge,
        MARGINS,
        SIGNS,
        0.5458333333333334,
        [-0.08333333333333333, 0.0, -0.08333333333333333, 0.25, -0.25, 0.25],
    ),
    (
        Loss::SquaredHinge,
        MARGINS,
        SIGNS,
        0.5289583333333333,
        [-0.11666666666666665, 0.0, -0.25, 0.525, -0.15000000000000002, 0.04999999999999999],
    ),
    (
        Loss::Poisson { log_rate: false },
        X,
        Y,
        2.316990002526504,
        [
            0.08333333333333333,
            0.01388889467592544,
            -0.01666666266666683,
            -9.749980000039999,
            3.571428058846138e-08,
            0.15625000234374994,
        ],
    ),
    (
        Loss::Poisson { log_rate: true },
        X,
        Y,
        13.44766593349902,
        [
            0.11248823396466692,
            0.19334307689471225,
            0.7652078300586227,
            -0.23718222590599397,
            0.32843817686761917,
            13.274537508286059,
        ],
    ),
    (
        Loss::KlDivergence,
        X,
        Q,
        1.427197170820897,
        [
            -0.029975356248591767,
            0.04925267607077327,
            -0.019277319822181532,
            -0.3613265708455294,
            -0.16130798818198253,
            0.5226345590275119,
        ],
    ),
    (
        Loss::CosineSimilarity,
        X,
        Y,
        0.2846286467568235,
        [
            0.009508480507634741,
            0.009690635306631577,
            -0.005792522608099301,
            -0.14085034457611598,
            -0.02989816037162169,
            0.006992807372235246,
        ],
    ),
    // The first target is 0.5 in place of 1e-7, and the first term of the sum is replaced by hand.
    (
        Loss::MeanSquaredLogarithmic { clip: false },
        X,
        [[0.5, 1.0, 3.0], [2.0, 0.7, 1.5]],
        0.40362401158355504 + (LN_1_3_BY_1_5 * LN_1_3_BY_1_5 - (LN_1_3 - 1e-7) * (LN_1_3 - 1e-7)) / 12.0,
        [
            LN_1_3_BY_1_5 / 6.0 / 1.3,
            0.007220468166994317,
            -0.006358637744024882,
            -0.49991529738032275,
            0.0,
            0.06931471805599451,
        ],
    ),
];
const LN_1_3: f64 = 0.26236426446749106;
const LN_1_3_BY_1_5: f64 = -0.1431008436406733;

#[test]
fn losses_equal_the_reference() -> CResult<()> {
    let weights = Tensor::new(&[1f64, 3.0], CPU)?;
    for (loss, x, y, value, gradient) in REFERENCE {
        for path in PATHS {
            for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 2e-6)] {
                let (x, y) = (Tensor::new(&x, CPU)?.to_dtype(dtype)?, Tensor::new(&y, CPU)?);
                let (v, g) = value_and_gradient(path, loss, &x, &y, Some(&weights))?;
                assert_close(&[v], &[value], tolerance, &(loss, dtype));
                assert_close(&g, &gradient, tolerance, &(loss, dtype));
            }
        }
    }
    Ok(())
}

/// By `½ ln(1 + sinh² d)` in extended precision; the plain formula loses all digits of the first.
#[test]
fn log_cosh_is_exact_for_small_and_large_differences() -> CResult<()> {
    let zero = Tensor::new(&[0f64], CPU)?;
    for (d, value, slope) in [
        (1e-8, 5e-17, 1e-8),
        (1e-3, 4.999999166666889e-07, 0.0009999996666668),
        (0.5, 0.12011450695827752, 0.46211715726000974),
        (0.999999, 0.4337800688890812, 0.7615937359811034),
        (1.0, 0.4337808304830272, 0.7615941559557649),
        (3.0, 2.309328504577785, 0.9950547536867305),
        (30.0, 29.306852819440056, 1.0),
        (1e4, 1e4 - std::f64::consts::LN_2, 1.0),
    ] {
        for sign in [1.0, -1.0] {
            for (dtype, tolerance) in [(DType::F64, 4e-16), (DType::F32, 2e-7)] {
                let x = Tensor::new(&[sign * d], CPU)?.to_dtype(dtype)?;
                let (v, g) = value_and_gradient(fused, Loss::LogCosh, &x, &zero, None)?;
                assert!((v - value).abs() <= tolerance * value, "{d} {dtype:?}: {v} for {value}");
                assert!((g[0] - sign * slope).abs() <= tolerance * slope, "{d} {dtype:?}: {g:?} for {slope}");
            }
        }
    }
    let (v, g) = value_and_gradient(composed, Loss::LogCosh, &zero, &zero, None)?;
    assert_eq!((v, g), (0.0, vec![0.0]));
    Ok(())
}

#[test]
fn hinges_of_labels_are_those_of_signs() -> CResult<()> {
    let m = Tensor::new(&[0.25f64, -0.5, -2.0, 1.0], CPU)?;
    let labels = Tensor::new(&[1u32, 1, 0, 1], CPU)?;
    let signs = Tensor::new(&[1f64, 1.0, -1.0, 1.0], CPU)?;
    // max(0, 1 − y m) is 0.75, 1.5, 0 and 0.
    for (loss, value, gradient) in
        [(Loss::Hinge, 2.25, [-1.0, -1.0, 0.0, 0.0]), (Loss::SquaredHinge, 2.8125, [-1.5, -3.0, 0.0, 0.0])]
    {
        for path in PATHS {
            for m in [m.clone(), m.unsqueeze(1)?] {
                let by_hand = (value / 4.0, gradient.map(|g| g / 4.0).to_vec());
                assert_eq!(value_and_gradient(path, loss, &m, &labels, None)?, by_hand);
                assert_eq!(value_and_gradient(path, loss, &m, &signs, None)?, by_hand);
            }
            let wide = Tensor::zeros((4, 2), DType::F64, CPU)?;
            assert!(path(loss, &wide, &labels, None).is_err());
            assert!(path(loss, &m, &Tensor::new(&[1u32, 2, 0, 1], CPU)?, None).is_err());
        }
    }
    Ok(())
}

/// With one-hot targets the divergence is the cross-entropy. Computed from clipped probabilities it would not
/// be, for logits as far apart as these.
#[test]
fn the_divergence_from_labels_is_the_cross_entropy() -> CResult<()> {
    let z = [[1.0, -2.0, 0.5], [60.0, -60.0, 0.0], [0.0, 800.0, -800.0], [3.0, 3.0, 3.0]];
    let (labels, weights) = (Tensor::new(&[2u32, 1, 2, 0], CPU)?, Tensor::new(&[1f64, 0.5, 2.0, 1.0], CPU)?);
    let one_hot = Tensor::new(&[[0f64, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], CPU)?;
    let cross = Loss::CrossEntropy { smoothing: 0.0 };
    for (dtype, tolerance) in [(DType::F64, 1e-15), (DType::F32, 1e-7), (DType::F16, 1e-7)] {
        let z = Tensor::new(&z, CPU)?.to_dtype(dtype)?;
        for path in PATHS {
            let expected = value_and_gradient(path, cross, &z, &labels, Some(&weights))?;
            let of_labels = value_and_gradient(path, Loss::KlDivergence, &z, &labels, Some(&weights))?;
            assert_eq!(of_labels, expected);
            let (v, g) = value_and_gradient(path, Loss::KlDivergence, &z, &one_hot, Some(&weights))?;
            assert_close(&[v], &[expected.0], tolerance, &dtype);
            assert_close(&g, &expected.1, tolerance, &dtype);
        }
    }
    // A class with logit −∞ and probability 0 adds nothing.
    let z = Tensor::new(&[[0f32, f32::NEG_INFINITY, 0.0]], CPU)?;
    let q = Tensor::new(&[[0.5f32, 0.0, 0.5]], CPU)?;
    for path in PATHS {
        let (v, g) = value_and_gradient(path, Loss::KlDivergence, &z, &q, None)?;
        assert_close(&[v], &[0.0], 1e-7, &"masked");
        assert_close(&g, &[0.0; 3], 1e-7, &"masked");
    }
    Ok(())
}

#[test]
fn the_cosine_of_zeros_is_zero() -> CResult<()> {
    let zeros = Tensor::zeros((1, 2), DType::F64, CPU)?;
    let y = Tensor::new(&[[3f64, 4.0]], CPU)?;
    for path in PATHS {
        let (v, g) = value_and_gradient(path, Loss::CosineSimilarity, &zeros, &y, None)?;
        // As in PyTorch, the output counts as 1e-8 long: −y / (‖y‖ 1e-8).
        assert_eq!(v, 1.0);
        assert_close(&g, &[-0.6e8, -0.8e8], 1e-15, &"zero output");
        let (v, g) = value_and_gradient(path, Loss::CosineSimilarity, &y, &zeros, None)?;
        assert_eq!((v, g), (1.0, vec![0.0; 2]));
        let (v, _) = value_and_gradient(path, Loss::CosineSimilarity, &y, &(&y * -2.0)?, None)?;
        assert_eq!(v, 2.0);
    }
    Ok(())
}

/// Softmax (1/8, 2/8, 5/8) with label 1, so p = 1/4; σ(ln 3) = 3/4 as the one logit of a row of class 1 and of class 0.
#[test]
fn the_focal_loss_by_hand() -> CResult<()> {
    let focal = Loss::Focal { gamma: 2.0 };
    for path in PATHS {
        let z = Tensor::new(&[[0f64, 2f64.ln(), 5f64.ln()]], CPU)?;
        let (value, gradient) = value_and_gradient(path, focal, &z, &Tensor::new(&[1u32], CPU)?, None)?;
        assert_close(&[value], &[0.5625 * 4f64.ln()], 1e-14, &focal);
        let a = 0.5625 + 2.0 * 0.75 * 0.25 * 4f64.ln();
        assert_close(&gradient, &[a / 8.0, -a * 0.75, a * 5.0 / 8.0], 1e-14, &focal);

        let z = Tensor::new(&[3f64.ln(), 3f64.ln()], CPU)?;
        let (value, gradient) = value_and_gradient(path, focal, &z, &Tensor::new(&[1u32, 0], CPU)?, None)?;
        let by_hand = 0.0625 * (4f64 / 3.0).ln() + 0.5625 * 4f64.ln();
        assert_close(&[value], &[by_hand / 2.0], 1e-14, &focal);
        let of_one = -0.0625 * (1.5 * (4f64 / 3.0).ln() + 0.25);
        let of_zero = 0.5625 * (0.5 * 4f64.ln() + 0.75);
        assert_close(&gradient, &[of_one / 2.0, of_zero / 2.0], 1e-14, &focal);
    }
    Ok(())
}

/// With two classes, the logits `(0, z)` are the logit `z`. Without focus the loss is the cross-entropy.
#[test]
fn the_focal_loss_is_the_cross_entropy_without_focus_and_the_same_in_both_forms() -> CResult<()> {
    let y = Tensor::new(&[0u32, 1, 1, 0, 1], CPU)?;
    let z = [0.3, -40.0, 900.0, -900.0, 0.0];
    for dtype in [DType::F64, DType::F32] {
        let one = Tensor::new(&z, CPU)?.to_dtype(dtype)?;
        let two = Tensor::stack(&[&one.zeros_like()?, &one], 1)?;
        for path in PATHS {
            for (cross, z) in
                [(Loss::BinaryCrossEntropy, &one), (Loss::CrossEntropy { smoothing: 0.0 }, &two)]
            {
                let without = value_and_gradient(path, Loss::Focal { gamma: 0.0 }, z, &y, None)?;
                assert_eq!(without, value_and_gradient(path, cross, z, &y, None)?);
            }
            for gamma in [0.5, 1.0, 2.0, 5.0] {
                let focal = Loss::Focal { gamma };
                let (value, gradient) = value_and_gradient(path, focal, &one, &y, None)?;
                let (of_two, gradient_of_two) = value_and_gradient(path, focal, &two, &y, None)?;
                let tolerance = if dtype == DType::F32 { 2e-6 } else { 1e-13 };
                assert_close(&[of_two], &[value], tolerance, &(gamma, dtype));
                let second: Vec<f64> = gradient_of_two.iter().skip(1).step_by(2).copied().collect();
                assert_close(&second, &gradient, tolerance, &(gamma, dtype));
                assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
            }
        }
    }
    Ok(())
}

/// `−Σ q ln p`: the divergence plus the entropy of the targets, and labels are targets of 0 and 1.
#[test]
fn soft_targets_of_the_cross_entropy() -> CResult<()> {
    // Softmax (1/8, 2/8, 5/8).
    let z = Tensor::new(&[[0f64, 2f64.ln(), 5f64.ln()]], CPU)?;
    let q = Tensor::new(&[[0.5f64, 0.0, 0.5]], CPU)?;
    let (labels, one_hot) = (Tensor::new(&[2u32], CPU)?, Tensor::new(&[[0f64, 0.0, 1.0]], CPU)?);
    for path in PATHS {
        let plain = Loss::CrossEntropy { smoothing: 0.0 };
        let (value, gradient) = value_and_gradient(path, plain, &z, &q, None)?;
        assert_close(&[value], &[0.5 * 8f64.ln() + 0.5 * 1.6f64.ln()], 1e-14, &plain);
        assert_close(&gradient, &[0.125 - 0.5, 0.25, 0.625 - 0.5], 1e-14, &plain);
        for smoothing in [0.0, 0.3] {
            let loss = Loss::CrossEntropy { smoothing };
            let (value, gradient) = value_and_gradient(path, loss, &z, &labels, None)?;
            let (of_one_hot, gradient_of) = value_and_gradient(path, loss, &z, &one_hot, None)?;
            assert_close(&[of_one_hot], &[value], 1e-14, &loss);
            assert_close(&gradient_of, &gradient, 1e-14, &loss);
        }
        // σ(ln 3) = 3/4.
        let z = Tensor::new(&[3f64.ln()], CPU)?;
        let q = Tensor::new(&[[0.2f64, 0.8]], CPU)?;
        let (value, gradient) = value_and_gradient(path, Loss::BinaryCrossEntropy, &z, &q, None)?;
        assert_close(&[value], &[0.8 * (4f64 / 3.0).ln() + 0.2 * 4f64.ln()], 1e-14, &q);
        assert_close(&gradient, &[0.75 - 0.8], 1e-14, &q);
    }
    for loss in [Loss::CrossEntropy { smoothing: 0.0 }, Loss::BinaryCrossEntropy] {
        let e = loss.check_targets(&Tensor::new(&[[0.25f32, 1.0]], CPU)?, &[7]).unwrap_err().to_string();
        assert!(e.contains("of row 7") && e.contains("probabilities that sum to 1, but is 1.25"), "{e}");
    }
    Ok(())
}

#[test]
fn negative_numbers_are_errors_where_the_loss_is_not_defined() -> CResult<()> {
    let (one, below) = (Tensor::new(&[1f64, 1.0], CPU)?, Tensor::new(&[1f64, -0.5], CPU)?);
    let unclipped = Loss::MeanSquaredLogarithmic { clip: false };
    for path in PATHS {
        for dtype in [DType::F64, DType::F32, DType::BF16] {
            let (one, below) = (one.to_dtype(dtype)?, below.to_dtype(dtype)?);
            let e = |loss, x, y| Error::from(path(loss, x, y, None).unwrap_err()).to_string();
            assert_eq!(e(unclipped, &below, &one), "the output must be 0 or more, but is -0.5");
            assert_eq!(e(unclipped, &one, &below), "the targets must be 0 or more, but is -0.5");
            assert_eq!(
                e(Loss::Poisson { log_rate: false }, &below, &one),
                "the output must be 0 or more, but is -0.5"
            );
            for loss in [Loss::MeanSquaredLogarithmic { clip: true }, Loss::Poisson { log_rate: true }] {
                assert!(path(loss, &below, &one, None).is_ok());
            }
        }
    }
    Ok(())
}

#[test]
fn a_loss_that_does_not_fit_is_an_error_that_says_what_to_do() {
    let classes = |classes| Task::Classification { classes };
    let values = |outputs| Task::Regression { outputs };
    let (logits, margins, probabilities) = (Output::Logits, Output::Margins, Output::Probabilities);
    let cross = Loss::CrossEntropy { smoothing: 0.0 };
    for (loss, task, output) in [
        (cross, classes(3), logits),
        (Loss::BinaryCrossEntropy, classes(2), logits),
        (Loss::MeanSquared, values(1), logits),
        (Loss::LogCosh, values(3), logits),
        (Loss::Hinge, classes(2), margins),
        (Loss::SquaredHinge, values(1), logits),
        (Loss::KlDivergence, classes(2), logits),
        (Loss::KlDivergence, values(2), logits),
        (Loss::Poisson { log_rate: true }, values(1), probabilities),
        (Loss::CosineSimilarity, values(2), logits),
    ] {
        assert!(loss.check_fit(task, output).is_ok(), "{loss:?} {task:?}");
    }
    let error = |loss: Loss, task, output| loss.check_fit(task, output).unwrap_err().to_string();
    assert_eq!(
        error(Loss::Hinge, classes(2), logits),
        "the loss must be used with Output::Margins: end the network in one unit with tanh, and say that its \
         output is Output::Margins, but is Hinge for 2 classes with Logits"
    );
    for (loss, task, output, words) in [
        (Loss::Hinge, classes(3), margins, "Loss::CrossEntropy unless there are 2 classes"),
        (cross, values(2), logits, "but is CrossEntropy { smoothing: 0.0 } for 2 values"),
        (cross, classes(2), probabilities, "must not end in one"),
        (cross, classes(2), margins, "Loss::Hinge or Loss::SquaredHinge"),
        (Loss::BinaryCrossEntropy, classes(3), logits, "unless there are 2 classes"),
        (Loss::BinaryCrossEntropy, values(1), logits, "a loss for values"),
        (Loss::KlDivergence, values(1), logits, "2 values or more"),
        (Loss::KlDivergence, classes(2), margins, "Loss::Hinge"),
        (Loss::CosineSimilarity, values(1), logits, "2 values or more"),
        (Loss::CosineSimilarity, classes(2), logits, "a loss for classes"),
    ] {
        let e = error(loss, task, output);
        assert!(e.contains(words), "{e}");
    }
    // Every loss goes with some task, and no loss for values only goes with classes.
    let (student_t, mixture) =
        (Output::StudentT { degrees_of_freedom: 5.0 }, Output::GaussianMixture { components: 3 });
    let (cumulative, conditional) = (Output::CumulativeLogits, Output::ConditionalLogits);
    let outputs = [
        logits,
        probabilities,
        margins,
        Output::Gaussian,
        Output::Laplace,
        student_t,
        mixture,
        cumulative,
        conditional,
    ];
    for entry in Loss::registry().entries() {
        let loss = Loss::registry().parse(entry.name()).unwrap();
        let fits = |task| outputs.iter().any(|output| loss.check_fit(task, *output).is_ok());
        assert_eq!(
            (fits(classes(2)), fits(values(2))),
            (entry.tasks().classification(), entry.tasks().regression())
        );
    }
    for (task, output, width) in [
        (classes(2), logits, 1),
        (classes(2), logits, 2),
        (classes(2), margins, 1),
        (values(1), logits, 1),
        (classes(2), cumulative, 1),
        (classes(4), conditional, 3),
    ] {
        assert!(Loss::default_for(task, output, width).check_fit(task, output).is_ok());
    }
    assert_eq!(Loss::default_for(classes(2), logits, 1), Loss::BinaryCrossEntropy);
}

#[test]
fn the_first_target_that_does_not_fit_is_named() -> CResult<()> {
    let check = |loss: Loss, targets: &[[f32; 2]]| {
        let targets = Tensor::from_slice(targets.as_flattened(), (targets.len(), 2), CPU).unwrap();
        loss.check_targets(&targets, &[7, 3, 5]).map_err(|e| e.to_string())
    };
    let named = |loss, targets: &[[f32; 2]]| check(loss, targets).unwrap_err();
    assert_eq!(
        named(Loss::Hinge, &[[1.0, -1.0], [-1.0, 0.0], [0.5, 1.0]]),
        "the target of row 3, column 1, for Loss::Hinge must be -1 or 1, but is 0"
    );
    assert_eq!(
        named(Loss::Poisson { log_rate: true }, &[[1.0, 2.0], [3.0, 0.0], [-2.0, 1.0]]),
        "the target of row 5, column 0, for Loss::Poisson must be 0 or more, but is -2"
    );
    assert_eq!(
        named(Loss::KlDivergence, &[[0.5, 0.5], [0.5, 0.25]]),
        "the targets of row 3 for Loss::KlDivergence must be probabilities that sum to 1, but is 0.75"
    );
    assert!(named(Loss::KlDivergence, &[[1.5, -0.5]]).contains("row 7, column 1, for"));
    assert!(named(Loss::CosineSimilarity, &[[0.0, 0.0]]).contains("a direction"));
    assert!(named(Loss::SquaredHinge, &[[2.0, 1.0]]).contains("-1 or 1"));
    let below = [[0.0, -1.0]];
    assert!(named(Loss::MeanSquaredLogarithmic { clip: false }, &below).contains("0 or more, but is -1"));
    for loss in [Loss::MeanSquaredLogarithmic { clip: true }, Loss::MeanSquared, Loss::LogCosh] {
        assert!(check(loss, &below).is_ok());
    }
    // Rows of thirds in half precision sum to almost 1; labels are checked elsewhere, and so is NaN.
    let thirds = Tensor::full(1f32 / 3.0, (2, 3), CPU)?.to_dtype(DType::F16)?;
    assert!(Loss::KlDivergence.check_targets(&thirds, &[]).is_ok());
    assert!(Loss::Hinge.check_targets(&Tensor::new(&[0u32, 1], CPU)?, &[]).is_ok());
    for loss in ALL {
        assert!(loss.check_targets(&Tensor::full(f64::NAN, (2, 2), CPU)?, &[]).is_ok());
    }
    assert!(Loss::Hinge.check_targets(&Tensor::zeros((0, 2), DType::F32, CPU)?, &[]).is_ok());
    Ok(())
}

#[test]
fn the_first_output_that_does_not_fit_is_named() -> CResult<()> {
    let (classes, values) = (Task::Classification { classes: 2 }, Task::Regression { outputs: 1 });
    let check = |loss: Loss, output: &[f64], task, kind| {
        let output = Tensor::new(output, CPU).unwrap();
        loss.check_output_values(&output, task, kind, &[4, 9]).map_err(|e| e.to_string())
    };
    assert_eq!(
        check(Loss::Hinge, &[1.0, 1.5], classes, Output::Margins).unwrap_err(),
        "the output of row 9 for Loss::Hinge must be from -1 to 1 (end the network in tanh), but is 1.5"
    );
    assert!(check(Loss::Hinge, &[1.0, -1.0], classes, Output::Margins).is_ok());
    assert!(check(Loss::Hinge, &[1.0, 1.5], values, Output::Margins).is_ok());
    let rates = Loss::Poisson { log_rate: false };
    let e = check(rates, &[-0.5, 1.5], values, Output::Logits).unwrap_err();
    assert_eq!(e, "the output of row 4 for Loss::Poisson must be 0 or more, but is -0.5");
    assert!(check(Loss::MeanSquaredLogarithmic { clip: false }, &[-0.5], values, Output::Logits).is_err());
    assert!(check(Loss::Poisson { log_rate: true }, &[-0.5], values, Output::Logits).is_ok());
    Ok(())
}

#[test]
fn losses_have_names_and_survive_serde() {
    let names = "cross-entropy, binary-cross-entropy, mean-squared, mean-absolute, huber, \
                 mean-squared-logarithmic, log-cosh, hinge, squared-hinge, kl-divergence, poisson, \
                 cosine-similarity, gaussian-nll, laplace-nll, student-t-nll, gaussian-mixture-nll, pinball, focal, \
                 coral, corn";
    assert_eq!(Loss::registry().names().join(", "), names);
    let parsed = |text: &str| Loss::registry().parse(text).unwrap();
    assert_eq!(parsed("cross-entropy:0.1"), Loss::CrossEntropy { smoothing: 0.1 });
    assert_eq!(parsed("msle"), Loss::MeanSquaredLogarithmic { clip: true });
    assert_eq!(parsed("poisson:log-rate=true"), Loss::Poisson { log_rate: true });
    assert_eq!(parsed("mae"), Loss::MeanAbsolute);
    assert_eq!(parsed("focal"), Loss::Focal { gamma: 2.0 });
    for loss in ALL {
        let json = serde_json::to_string(&loss).unwrap();
        assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), loss);
    }
    // The numbers that stores of earlier versions hold.
    let number = |loss: Loss| codec::encode(&loss).unwrap()[0];
    assert_eq!([Loss::BinaryCrossEntropy, Loss::MeanSquared, Loss::MeanAbsolute].map(number), [1, 2, 3]);
    assert_eq!(number(Loss::Huber { delta: 1.0 }), 4);
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
    for (loss, seed) in ALL.into_iter().flat_map(|loss| [(loss, 8), (loss, 9)]) {
        let (output, targets, weights) = batch(loss, seed)?;
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
    for loss in [
        Loss::MeanSquared,
        Loss::MeanAbsolute,
        Loss::Huber { delta: 1.5 },
        Loss::MeanSquaredLogarithmic { clip: true },
        Loss::MeanSquaredLogarithmic { clip: false },
        Loss::LogCosh,
        Loss::Hinge,
        Loss::SquaredHinge,
        Loss::Poisson { log_rate: false },
        Loss::Poisson { log_rate: true },
        Loss::CosineSimilarity,
    ] {
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
    refused(cross, &z, &Tensor::zeros((2, 2), DType::F32, CPU)?, None, "shape [2, 3]");
    let one = z.narrow(1, 0, 1)?;
    refused(Loss::BinaryCrossEntropy, &one, &z, None, "or probabilities of shape [2, 2]");
    refused(Loss::Focal { gamma: 1.0 }, &z, &z, None, "u32 labels of shape [2]");
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
        (Loss::Focal { gamma: -1.0 }, "gamma"),
        (Loss::Focal { gamma: f64::INFINITY }, "gamma"),
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

    /// Labels and distributions, of any number of rows and classes, against candle's operations and against
    /// central differences.
    #[test]
    fn cross_entropies_of_any_shape_are_those_of_candles_operations(
        rows in 1usize..40,
        classes in 2usize..70,
        smoothing in prop_oneof![Just(0.0), 0.01..0.9],
        weighted: bool,
        seed: u64,
    ) {
        use rand::Rng;
        let mut rng = crate::Seed::from(seed).rng();
        let logits: Vec<f64> = (0..rows * classes).map(|_| rng.random_range(-6.0..6.0)).collect();
        let labels = Tensor::from_iter((0..rows).map(|_| rng.random_range(0..classes as u32)), CPU).unwrap();
        let shares: Vec<f64> = (0..rows * classes).map(|_| rng.random_range(-0.5f64..1.0).max(0.0)).collect();
        let shares = (Tensor::from_vec(shares, (rows, classes), CPU).unwrap() + 1e-3).unwrap();
        let shares = shares.broadcast_div(&shares.sum_keepdim(1).unwrap()).unwrap();
        let weights = Tensor::from_iter((0..rows).map(|_| rng.random_range(0.0..3.0)), CPU).unwrap();
        let weights = weighted.then_some(&weights);
        let moved = rng.random_range(0..rows * classes);
        for (loss, targets) in
            [(Loss::CrossEntropy { smoothing }, &labels), (Loss::KlDivergence, &labels), (Loss::KlDivergence, &shares)]
        {
            for (dtype, exact, step, near) in [(DType::F64, 1e-12, 1e-5, 1e-8), (DType::F32, 1e-5, 1e-2, 1e-3)] {
                let of = |logits: &[f64]| {
                    Tensor::from_slice(logits, (rows, classes), CPU).unwrap().to_dtype(dtype).unwrap()
                };
                let z = of(&logits);
                let (value, gradient) = value_and_gradient(fused, loss, &z, targets, weights).unwrap();
                let (value2, gradient2) = value_and_gradient(composed, loss, &z, targets, weights).unwrap();
                assert_close(&[value], &[value2], exact, &(loss, dtype));
                assert_close(&gradient, &gradient2, exact, &(loss, dtype));
                let at = |by: f64| {
                    let mut logits = logits.clone();
                    logits[moved] += by;
                    value_and_gradient(fused, loss, &of(&logits), targets, weights).unwrap().0
                };
                let slope = (at(step) - at(-step)) / (2.0 * step);
                prop_assert!((slope - gradient[moved]).abs() < near, "{loss:?} {dtype:?}: {slope}");
            }
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
