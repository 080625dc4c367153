use super::{clipping::Clipping, *};
use crate::Error;
use candle_core::{DType, Device, Result as CResult, Tensor};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

/// How these gradients of variables are clipped.
fn clipped(clip: Clip, factor: f64, pairs: &[(&Tensor, &Tensor)]) -> CResult<Vec<Tensor>> {
    let named: Vec<_> = pairs.iter().map(|(w, g)| ("w", *w, *g)).collect();
    clipped_by_name(clip, factor, &named)
}

/// The same with the names of the variables.
fn clipped_by_name(clip: Clip, factor: f64, pairs: &[(&str, &Tensor, &Tensor)]) -> CResult<Vec<Tensor>> {
    let clipping = clip.clipping(pairs.iter().copied(), factor)?;
    let one = |(index, (_, _, gradient)): (usize, &(&str, &Tensor, &Tensor))| {
        let (limits, own) = clipping.of(index, gradient)?;
        limits.apply(&own.unwrap_or_else(|| (*gradient).clone()))?.to_dtype(DType::F64)
    };
    pairs.iter().enumerate().map(one).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(got: &Tensor, expected: &[f64], tolerance: f64) {
    let got = numbers(got);
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * e.abs(), "{got:?} against {expected:?}");
    }
}

#[test]
fn the_norm_is_the_euclidean_norm_over_all_tensors_in_every_type_and_layout() -> CResult<()> {
    // 1² + … + 70² = 70 · 71 · 141 / 6, and 3² + 4² on top.
    let expected = (70f64 * 71.0 * 141.0 / 6.0 + 25.0).sqrt();
    let long = Tensor::arange(1f64, 71f64, CPU)?.reshape((7, 10))?;
    let short = Tensor::new(&[3f64, 4.0], CPU)?;
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let (long, short) = (long.to_dtype(dtype)?, short.to_dtype(dtype)?);
        let transposed = long.t()?;
        for long in [&long, &transposed] {
            let got = norm([long, &short].into_iter())?;
            assert!((got - expected).abs() < 1e-12 * expected, "{dtype:?}: {got} against {expected}");
        }
    }
    Ok(())
}

#[test]
fn squares_that_overflow_f32_do_not_overflow_the_norm() -> CResult<()> {
    let big = Tensor::new(&[3e30f32, 4e30], CPU)?;
    assert!((norm([&big].into_iter())? / 5e30 - 1.0).abs() < 1e-7);
    Ok(())
}

#[test]
fn only_a_norm_beyond_the_limit_is_scaled() -> CResult<()> {
    let g = Tensor::new(&[3f32, 4.0], CPU)?;
    let scale = |clip: Clip| match clip.clipping([("g", &g, &g)].into_iter(), 1.0)? {
        Clipping::All(limits) => Ok(limits.scale),
        other => candle_core::bail!("{other:?}"),
    };
    assert_eq!(scale(Clip::Norm(5.0))?, 1.0);
    assert_eq!(scale(Clip::Norm(50.0))?, 1.0);
    assert_eq!(scale(Clip::Norm(1.0))?, 0.2);
    assert_eq!(scale(Clip::Normalize(1.0))?, 0.2);
    assert_eq!(scale(Clip::Normalize(50.0))?, 10.0);
    Ok(())
}

/// Two variables with gradients (3, 4) and (0, 0, 12), whose norms are 5 and 12, and 13 together.
#[test]
fn each_way_to_clip_gives_the_numbers_of_its_definition() -> CResult<()> {
    let cases = [
        (Clip::None, [3.0, 4.0], 12.0),
        (Clip::Value(3.5), [3.0, 3.5], 3.5),
        (Clip::Norm(6.5), [1.5, 2.0], 6.0),
        (Clip::NormPerVariable(6.0), [3.0, 4.0], 6.0),
        (Clip::NormPerVariable(1.0), [0.6, 0.8], 1.0),
        (Clip::Normalize(26.0), [6.0, 8.0], 24.0),
    ];
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        let a = Tensor::new(&[3f64, 4.0], CPU)?.to_dtype(dtype)?;
        let b = Tensor::new(&[[0f64, 0.0, 12.0]], CPU)?.to_dtype(dtype)?;
        for (clip, first, last) in cases {
            // A loss with four times the gradient, which the factor undoes.
            for factor in [1.0, 0.25] {
                let (a, b) = ((&a / factor)?, (&b / factor)?);
                let got = clipped(clip, factor, &[(&a, &a), (&b, &b)])?;
                let tolerance = if dtype == DType::F64 { 1e-15 } else { 1e-2 };
                assert_close(&got[0], &first, tolerance);
                assert_close(&got[1], &[0.0, 0.0, last], tolerance);
            }
        }
    }
    Ok(())
}

/// Rows of norms 5, 0 and 5 with gradients of norms 1, 5 and 0.25; a bias of norm 5 with one of norm 10.
#[test]
fn adaptive_clipping_limits_the_norm_of_each_unit() -> CResult<()> {
    let clip = Clip::Adaptive { ratio: 0.1, floor: 0.01 };
    let wide = |x: &[f64], shape: &[usize]| Tensor::from_slice(x, shape, CPU);
    let w = wide(&[3.0, 4.0, 0.0, 0.0, 0.0, -5.0], &[3, 2])?;
    let g = wide(&[0.0, 1.0, 3.0, -4.0, 0.25, 0.0], &[3, 2])?;
    let (bias, of_bias) = (wide(&[3.0, 4.0], &[2])?, wide(&[-6.0, 8.0], &[2])?);
    let rows = [0.0, 0.5, 0.0006, -0.0008, 0.25, 0.0];
    for (dtype, tolerance) in
        [(DType::F64, 1e-15), (DType::F32, 1e-6), (DType::F16, 1e-3), (DType::BF16, 1e-2)]
    {
        let of = |x: &Tensor| x.to_dtype(dtype);
        let (w, g, bias, of_bias) = (of(&w)?, of(&g)?, of(&bias)?, of(&of_bias)?);
        let got = clipped(clip, 1.0, &[(&w, &g), (&bias, &of_bias)])?;
        assert_close(&got[0], &rows, tolerance);
        assert_close(&got[1], &[-0.3, 0.4], tolerance);
        // The filters of a convolution, with weights and gradients in another layout.
        let filters = |x: &Tensor| x.reshape((3, 1, 2, 1))?.transpose(0, 2)?.contiguous()?.transpose(0, 2);
        let got = clipped(clip, 0.5, &[(&filters(&w)?, &(filters(&g)? * 2.0)?)])?;
        assert_eq!(got[0].dims(), [3, 1, 2, 1]);
        assert_close(&got[0], &rows, tolerance);
    }
    Ok(())
}

/// The units of each member are clipped as those of a network of its own.
#[test]
fn adaptive_clipping_is_that_of_each_member() -> CResult<()> {
    let clip = Clip::Adaptive { ratio: 0.1, floor: 0.01 };
    let wave = |count: usize, by: f64| (0..count).map(|i| (by * i as f64).sin()).collect::<Vec<f64>>();
    for dims in [&[3usize, 4, 2][..], &[3, 4, 2, 2], &[3, 5], &[3]] {
        let count = dims.iter().product();
        let w = Tensor::from_vec(wave(count, 1.7), dims, CPU)?;
        let g = Tensor::from_vec(wave(count, 2.9), dims, CPU)?;
        let together = clipped_by_name(clip, 1.0, &[("0.members.weight", &w, &g)])?;
        let each =
            (0..3).map(|member| Ok(clipped(clip, 1.0, &[(&w.get(member)?, &g.get(member)?)])?.remove(0)));
        let each = Tensor::stack(&each.collect::<CResult<Vec<_>>>()?, 0)?;
        assert_eq!(numbers(&together[0]), numbers(&each), "{dims:?}");
        // In half precision by tensor operations.
        let (w, g) = (w.to_dtype(DType::BF16)?, g.to_dtype(DType::BF16)?);
        let half = clipped_by_name(clip, 1.0, &[("0.members.weight", &w, &g)])?;
        for (half, whole) in numbers(&half[0]).iter().zip(numbers(&each)) {
            assert!((half - whole).abs() <= 2e-2 * whole.abs() + 1e-4, "{dims:?}: {half} {whole}");
        }
        // A vector of each member is a row of the whole.
        let as_one = numbers(&clipped(clip, 1.0, &[(&w, &g)])?[0]);
        assert_eq!(as_one == numbers(&half[0]), dims.len() == 2, "{dims:?}");
    }
    Ok(())
}

#[test]
fn gradients_within_the_ratio_are_not_copied() -> CResult<()> {
    let w = Tensor::ones((40, 30), DType::F32, CPU)?;
    let g = (&w * 0.01)?;
    let clip = |ratio| Clip::Adaptive { ratio, floor: 1e-3 }.clipping([("w", &w, &g)].into_iter(), 1.0);
    assert!(clip(0.011)?.of(0, &g)?.1.is_none());
    assert!(clip(0.009)?.of(0, &g)?.1.is_some());
    Ok(())
}

#[test]
fn gradients_of_zero_and_empty_variables_stay() -> CResult<()> {
    let zero = Tensor::zeros((2, 3), DType::F64, CPU)?;
    let empty = Tensor::zeros((0, 3), DType::F64, CPU)?;
    for clip in [Clip::Normalize(2.0), Clip::NormPerVariable(1.0), Clip::Adaptive { ratio: 0.1, floor: 0.1 }]
    {
        let got = clipped(clip, 1.0, &[(&zero, &zero), (&empty, &empty)])?;
        assert_eq!((numbers(&got[0]), numbers(&got[1])), (vec![0.0; 6], vec![]));
    }
    Ok(())
}

#[test]
fn a_norm_that_is_not_finite_is_an_error() -> CResult<()> {
    for bad in [f32::NAN, f32::INFINITY] {
        let g = Tensor::new(&[1f32, bad], CPU)?;
        for clip in [
            Clip::Norm(1.0),
            Clip::NormPerVariable(1.0),
            Clip::Normalize(1.0),
            Clip::Adaptive { ratio: 0.1, floor: 1e-3 },
        ] {
            let e = Error::from(clip.clipping([("g", &g, &g)].into_iter(), 1.0).unwrap_err()).to_string();
            assert!(e.starts_with("the norm of ") && e.contains("must be finite"), "{e}");
        }
    }
    Ok(())
}

#[test]
fn limits_must_be_positive_and_finite() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Clip::Norm(bad).check().is_err());
        assert!(Clip::Value(bad).check().is_err());
        assert!(Clip::NormPerVariable(bad).check().is_err());
        assert!(Clip::Normalize(bad).check().is_err());
        let ratio = Clip::Adaptive { ratio: bad, floor: 1.0 }.check().unwrap_err().to_string();
        assert!(ratio.starts_with("Clip::Adaptive::ratio must be"), "{ratio}");
        let floor = Clip::Adaptive { ratio: 1.0, floor: bad }.check().unwrap_err().to_string();
        assert!(floor.starts_with("Clip::Adaptive::floor must be"), "{floor}");
    }
    assert!(Clip::None.check().is_ok());
}

#[test]
fn a_text_makes_the_clipping_that_it_describes() {
    let parse = |text| Clip::registry().parse(text).unwrap();
    assert_eq!(parse("none"), Clip::None);
    assert_eq!(parse("value:5"), Clip::Value(5.0));
    assert_eq!(parse("norm:0.5"), Clip::Norm(0.5));
    assert_eq!(parse("norm-per-variable"), Clip::NormPerVariable(1.0));
    assert_eq!(parse("adaptive:0.1:floor=0.01"), Clip::Adaptive { ratio: 0.1, floor: 0.01 });
    assert_eq!(parse("normalize:norm=2"), Clip::Normalize(2.0));
    for name in Clip::registry().names() {
        assert!(parse(name).check().is_ok(), "{name}");
    }
}

proptest! {
    #[test]
    fn norms_are_within_their_limits_and_directions_stay(
        w in prop::collection::vec(-3.0..3.0f64, 12), g in prop::collection::vec(-9.0..9.0f64, 12),
        limit in 0.01..9.0f64, floor in 1e-4..0.1f64,
    ) {
        let of = |x: &[f64]| Tensor::from_slice(x, (3, 4), CPU).unwrap();
        let root = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (w_tensor, g_tensor) = (of(&w), of(&g));
        let by = |clip| numbers(&clipped(clip, 1.0, &[(&w_tensor, &g_tensor)]).unwrap()[0]);

        for clip in [Clip::Norm(limit), Clip::NormPerVariable(limit)] {
            let norm = root(&by(clip));
            prop_assert!((norm - root(&g).min(limit)).abs() < 1e-12 * limit.max(1.0));
        }
        prop_assert!((root(&by(Clip::Normalize(limit))) - limit).abs() < 1e-12 * limit);

        let got = by(Clip::Adaptive { ratio: limit, floor });
        for ((got, w), g) in got.chunks(4).zip(w.chunks(4)).zip(g.chunks(4)) {
            let (norm, largest) = (root(got), limit * root(w).max(floor));
            prop_assert!((norm - root(g).min(largest)).abs() < 1e-12 * largest.max(1.0));
            let along: f64 = got.iter().zip(g).map(|(a, b)| a * b).sum();
            prop_assert!((along - norm * root(g)).abs() < 1e-10);
        }
    }
}
