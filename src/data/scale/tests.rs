//! The numbers are those of scikit-learn 1.9.1 (tests/reference/scaling.py).
use super::{fit::Fitting, *};
use crate::{
    codec,
    data::{Batch, Dataset, Fingerprint, Inputs, Task, TensorDataset},
    Result,
};
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

/// Positive and skewed; of both signs; negative; with ties; constant.
const ROWS: [[f64; 5]; 8] = [
    [0.1, -2.0, -7.0, 1.0, 3.0],
    [0.3, 0.5, -1.5, 1.0, 3.0],
    [0.4, 7.25, -0.5, 2.0, 3.0],
    [0.9, -1.5, -0.25, 1.0, 3.0],
    [1.7, 0.0, -2.5, 5.0, 3.0],
    [3.0, 1.25, -0.1, 2.0, 3.0],
    [12.0, -4.0, -3.0, 2.0, 3.0],
    [45.0, 2.5, -0.75, 9.0, 3.0],
];

/// Within the rows of the fit, and beyond them.
const FRESH: [[f64; 5]; 3] =
    [[0.35, 1.0, -2.0, 2.0, 3.0], [60.0, -5.0, -0.05, 0.0, 4.0], [0.2, 0.25, -4.0, 3.0, 3.0]];

fn rows() -> Tensor {
    Tensor::new(&ROWS, CPU).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * (1. + b.abs()), "{i}: {a} {b}");
    }
}

fn all() -> Vec<Scaling> {
    ["standardize", "min-max:-1:3", "max-abs", "robust", "power", "quantile", "quantile:5:true"]
        .map(|text| Scaling::parse(text).unwrap())
        .into()
}

#[test]
fn every_scaling_agrees_with_scikit_learn() {
    let fresh = Tensor::new(&FRESH, CPU).unwrap();
    for (text, tolerance, want) in [
        (
            "standardize",
            1e-12,
            [
                [-0.522800130358326, 0.1572562267941503, -0.023260531954677116, -0.33409177193234335, 0.0],
                [3.5940352195920564, -1.7298184947356532, 0.8839002142777296, -1.0977301077776995, 1.0],
                [-0.5331526081872037, -0.07862811339707515, -0.9536818101417609, 0.047727395990334764, 0.0],
            ],
        ),
        (
            "min-max:-1:3",
            1e-12,
            [
                [-0.9777282850779511, 0.7777777777777779, 1.8985507246376814, -0.5, -1.0],
                [4.33630289532294, -1.3555555555555556, 3.028985507246377, -1.5, 3.0],
                [-0.9910913140311804, 0.5111111111111112, 0.7391304347826089, 0.0, -1.0],
            ],
        ),
        (
            "max-abs",
            1e-12,
            [
                [0.0077777777777777776, 0.13793103448275862, -0.2857142857142857, 0.2222222222222222, 1.0],
                [1.3333333333333333, -0.6896551724137931, -0.0071428571428571435, 0.0, 1.3333333333333333],
                [0.0044444444444444444, 0.034482758620689655, -0.5714285714285714, 0.3333333333333333, 1.0],
            ],
        ),
        (
            "robust",
            1e-12,
            [
                [-0.19487179487179487, 0.23529411764705882, -0.4, 0.0, 0.0],
                [12.04102564102564, -1.6470588235294117, 0.4914285714285714, -1.1428571428571428, 1.0],
                [-0.22564102564102567, 0.0, -1.3142857142857143, 0.5714285714285714, 0.0],
            ],
        ),
        (
            "robust:0.1:0.8",
            1e-12,
            [
                [-0.11642156862745091, 0.16304347826086954, -0.2272727272727273, 0.0, 0.0],
                [7.1936274509803875, -1.141304347826087, 0.27922077922077926, -0.7142857142857139, 1.0],
                [-0.13480392156862736, 0.0, -0.7467532467532468, 0.35714285714285693, 0.0],
            ],
        ),
        (
            "power",
            1e-6,
            [
                [-0.9067110974738242, 0.3218720641070696, -0.5355580983258265, 0.13470793059238317, 0.0],
                [1.7111343944522375, -2.2570319516420345, 1.5271378497832306, -5.254258799532399, 1.0],
                [-1.1184834731242776, 0.09171911083942114, -1.186126412787326, 0.7125660295640407, 0.0],
            ],
        ),
        (
            "quantile",
            1e-12,
            [
                [0.21428571428571425, 0.6666666666666666, 0.3571428571428571, 0.5714285714285714, 0.0],
                [1.0, 0.0, 1.0, 0.0, 1.0],
                [0.07142857142857144, 0.5, 0.10714285714285714, 0.7619047619047619, 0.0],
            ],
        ),
        (
            "quantile:5",
            1e-12,
            [
                [0.22727272727272724, 0.6428571428571428, 0.35416666666666663, 0.5, 0.0],
                [1.0, 0.0, 1.0, 0.0, 1.0],
                [0.09090909090909091, 0.5, 0.17142857142857143, 0.76, 0.0],
            ],
        ),
        (
            "quantile:5:true",
            1e-9,
            [
                [-0.7478585947633023, 0.3661063568005695, -0.37409541019772363, 0.0, -5.199337582605575],
                [
                    5.19933758270342,
                    -5.199337582605575,
                    5.19933758270342,
                    -5.199337582605575,
                    5.19933758270342,
                ],
                [-1.335177736118937, 0.0, -0.9485350408266378, 0.7063025628400874, -5.199337582605575],
            ],
        ),
    ] {
        let fitted = Scaling::parse(text).unwrap().fit(&rows()).unwrap();
        close(&values(&fitted.transform(&fresh).unwrap()), &want.concat(), tolerance);
    }
}

#[test]
fn powers_and_inverses_of_quantiles_agree_with_scikit_learn() {
    let power = Scaling::Power.fit(&rows()).unwrap();
    let lambda = |column: &FittedColumn| match column {
        FittedColumn::Power { lambda, .. } => *lambda,
        other => panic!("{other:?}"),
    };
    let lambdas: Vec<f64> = power.parameters().iter().map(lambda).collect();
    let want = [-0.5941681116411696, 0.7640198450230133, 2.542461416767828, -1.1932930698231297, 1.0];
    close(&lambdas, &want, 1e-7);

    let z = Tensor::new(&[[0.3, 0.6, 0.1, 0.9, 0.5], [-0.4, 1.4, 0.77, 0.5, 0.2]], CPU).unwrap();
    for (normal, want) in [
        (false, [[0.56, 0.775, -5.25, 6.5, 3.0], [0.1, 7.25, -0.4105, 2.0, 3.0]]),
        (
            true,
            [
                [3.163000470585451, 1.4351711318121139, -1.0154734474881704, 4.398496866331012, 3.0],
                [0.7249395560418006, 5.412786002431709, -0.39787742756257705, 2.5743873838220392, 3.0],
            ],
        ),
    ] {
        let fitted = Scaling::Quantile { quantiles: 5, normal }.fit(&rows()).unwrap();
        close(&values(&fitted.inverse(&z).unwrap()), &want.concat(), 1e-9);
    }
}

#[test]
fn categories_become_columns_and_unknown_ones_are_errors_or_zeros() {
    let x = Tensor::new(&[[3f32, 0.], [1., -0.], [3., 5.]], CPU).unwrap();
    let fresh = Tensor::new(&[[3f32, 5.], [2., 0.]], CPU).unwrap();
    let strict = Scaling::one_hot().fit(&x).unwrap();
    assert_eq!((strict.columns(), strict.output_columns(), strict.has_inverse()), (2, 4, false));
    let expected = [[0., 1., 1., 0.], [1., 0., 1., 0.], [0., 1., 0., 1.]];
    assert_eq!(strict.transform(&x).unwrap().to_vec2::<f32>().unwrap(), expected);
    let e = strict.transform(&fresh).unwrap_err().to_string();
    assert_eq!(e, "row 1, column 0 must be one of the 2 categories of the scaling, 1, 3, but is 2");
    assert!(strict.transform_all(&fresh).unwrap_err().to_string().contains("row 1, column 0 must be one of"));
    let e = strict.inverse(&strict.transform(&x).unwrap()).unwrap_err().to_string();
    assert!(e.starts_with("the inverse of a scaling must be"), "{e}");

    let lenient = Scaling::parse("one-hot:0,1,2,3:ignore-unknown=true").unwrap().fit(&x).unwrap();
    let encoded = lenient.transform(&fresh).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(encoded, [[0., 0., 0., 1., 0., 0., 0., 0.], [0., 0., 1., 0., 1., 0., 0., 0.]]);
    let given = Scaling::OneHot { categories: vec![1., 3.], ignore_unknown: false };
    let e = given.fit(&x).unwrap_err().to_string();
    assert!(e.contains("one of the 2 categories of the scaling, 1, 3, but is 0"), "{e}");
    let one = Scaling::one_hot().fit(&x.narrow(1, 0, 1).unwrap().squeeze(1).unwrap()).unwrap();
    let vector = Tensor::new(&[1f32, 3.], CPU).unwrap();
    assert_eq!(one.transform(&vector).unwrap().to_vec2::<f32>().unwrap(), [[1., 0.], [0., 1.]]);

    let holes = Tensor::new(&[[f32::NAN, 5.]], CPU).unwrap();
    let encoded = values(&strict.transform_all(&holes).unwrap());
    assert!(encoded[..2].iter().all(|x| x.is_nan()) && encoded[2..] == [0., 1.]);
}

#[test]
fn each_group_of_columns_has_its_scaling_and_others_stay() {
    let mixed = Scaling::parse("3=one-hot;0,1=standardize").unwrap();
    let fitted = mixed.fit(&rows()).unwrap();
    assert_eq!((fitted.columns(), fitted.output_columns()), (5, 8));
    let got = fitted.transform(&rows()).unwrap();
    let columns = |from, count| values(&got.narrow(1, from, count).unwrap());
    let own = |from, count| rows().narrow(1, from, count).unwrap().contiguous().unwrap();
    let standardized = Scaler::standardize(&own(0, 2)).unwrap().transform(&own(0, 2)).unwrap();
    assert_eq!(columns(0, 2), values(&standardized));
    assert_eq!((columns(2, 1), columns(7, 1)), (values(&own(2, 1)), values(&own(4, 1))));
    let one_hot = Scaling::one_hot().fit(&own(3, 1)).unwrap().transform(&own(3, 1)).unwrap();
    assert_eq!(columns(3, 4), values(&one_hot));

    let refused = |scaling: &str, message: &str| {
        let e = Scaling::parse(scaling).and_then(|scaling| scaling.fit(&rows())).unwrap_err().to_string();
        assert!(e.contains(message), "{e}");
    };
    refused("5=power", "a column of Scaling::Columns must be below 5, the number of columns, but is 5");
    refused("1=power;0,1=max-abs", "a column of Scaling::Columns must be named once, but is 1");
    refused("x=power", "a column of Scaling::Columns must be a whole number");
    let nested = Scaling::columns(vec![(vec![0], Scaling::columns(vec![]))]);
    assert!(nested.check().unwrap_err().to_string().starts_with("a scaling within Scaling::Columns"));
}

#[test]
fn channels_of_images_are_scaled_like_columns() {
    let image =
        Tensor::arange(0f64, 2. * 3. * 4., CPU).unwrap().sqr().unwrap().reshape((2, 3, 2, 2)).unwrap();
    let table = image.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().reshape((8, 3)).unwrap();
    for scaling in all() {
        let (of_image, of_table) = (scaling.fit(&image).unwrap(), scaling.fit(&table).unwrap());
        assert_eq!(of_image, of_table);
        let z = of_image.transform(&image).unwrap();
        assert_eq!(z.dims(), image.dims());
        let z_table = z.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().reshape((8, 3)).unwrap();
        assert_eq!(values(&z_table), values(&of_table.transform(&table).unwrap()));
        close(&values(&of_image.inverse(&z).unwrap()), &values(&image), 1e-9);
    }
    let e = Scaling::one_hot().fit(&image).unwrap_err().to_string();
    assert_eq!(e, "a table must be of shape (N, D) or (N,) for one-hot encoding, but is [2, 3, 2, 2]");
}

#[test]
fn dtype_rank_and_layout_are_kept() {
    for scaling in all() {
        let fitted = scaling.fit(&rows()).unwrap();
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let z = fitted.transform(&rows().to_dtype(dtype).unwrap()).unwrap();
            assert_eq!((z.dtype(), z.dims()), (dtype, &[8, 5][..]));
            let tolerance = if dtype == DType::BF16 { 0.05 } else { 0.01 };
            if !matches!(scaling, Scaling::Quantile { .. }) {
                close(&values(&z), &values(&fitted.transform(&rows()).unwrap()), tolerance);
            }
        }
        let column = rows().get_on_dim(1, 0).unwrap();
        let one = scaling.fit(&column).unwrap();
        assert_eq!(one.transform(&column).unwrap().dims(), [8]);
        assert_eq!(one.transform(&column.unsqueeze(1).unwrap()).unwrap().dims(), [8, 1]);
        let view = rows().t().unwrap().contiguous().unwrap().t().unwrap();
        assert!(!view.is_contiguous());
        assert_eq!(scaling.fit(&view).unwrap(), fitted);
        assert_eq!(values(&fitted.transform(&view).unwrap()), values(&fitted.transform(&rows()).unwrap()));
    }
}

#[test]
fn standardized_and_min_max_columns_are_those_of_a_scaler_to_the_bit() {
    let x = (rows() * 1e3).unwrap().to_dtype(DType::F32).unwrap();
    for (scaling, scaler) in [
        (Scaling::Standardize, Scaler::standardize(&x).unwrap()),
        (Scaling::MinMax { low: 0., high: 1. }, Scaler::min_max(&x).unwrap()),
    ] {
        let fitted = scaling.fit(&x).unwrap();
        let bits = |x: &Tensor| {
            x.flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .into_iter()
                .map(f32::to_bits)
                .collect::<Vec<_>>()
        };
        let (a, b) = (fitted.transform(&x).unwrap(), scaler.transform(&x).unwrap());
        assert_eq!(bits(&a), bits(&b));
        assert_eq!(bits(&fitted.inverse(&a).unwrap()), bits(&scaler.inverse(&b).unwrap()));
    }
}

#[test]
fn bad_parameters_and_tables_are_errors() {
    let bad = |scaling: Scaling, message: &str| {
        assert_eq!(scaling.fit(&rows()).unwrap_err().to_string(), message);
    };
    bad(
        Scaling::MinMax { low: 1., high: 1. },
        "Scaling::MinMax::low and high must be finite and in order, but is 1 and 1",
    );
    bad(
        Scaling::Robust { low: 0.5, high: 1.5 },
        "Scaling::Robust::low and high must be from 0 to 1 and in order, but is 0.5 and 1.5",
    );
    bad(
        Scaling::Quantile { quantiles: 1, normal: true },
        "Scaling::Quantile::quantiles must be at least 2, but is 1",
    );
    bad(
        Scaling::OneHot { categories: vec![2., 1.], ignore_unknown: true },
        "Scaling::OneHot::categories must be finite and in increasing order, but is [2.0, 1.0]",
    );
    let holes = Tensor::new(&[[1f32, 2.], [1., f32::NAN]], CPU).unwrap();
    for scaling in all() {
        let e = scaling.fit(&holes).unwrap_err().to_string();
        assert_eq!(e, "row 1, column 1 must be finite, but is NaN");
        assert!(scaling.fit(&Tensor::zeros((0, 2), DType::F32, CPU).unwrap()).is_err());
        assert!(scaling.fit(&Tensor::zeros((2, 2), DType::U32, CPU).unwrap()).is_err());
        let fitted = scaling.fit(&rows()).unwrap();
        let e = fitted.transform(&holes).unwrap_err().to_string();
        assert_eq!(e, "the number of columns must be that of the scaling, 5, but is 2");
        let mut infinite = ROWS;
        infinite[2][3] = f64::INFINITY;
        let e = fitted.transform(&Tensor::new(&infinite, CPU).unwrap()).unwrap_err().to_string();
        assert_eq!(e, "row 2, column 3 must be finite, but is inf");
        let mut nan = ROWS;
        nan[1][0] = f64::NAN;
        for way in [FittedScaling::transform_all, FittedScaling::inverse_all] {
            let z = values(&way(&fitted, &Tensor::new(&nan, CPU).unwrap()).unwrap());
            assert_eq!(
                z.iter().map(|x| x.is_nan()).collect::<Vec<_>>(),
                (0..40).map(|i| i == 5).collect::<Vec<_>>()
            );
        }
    }
    let wide = Tensor::new(&[[-1.7e308], [1.7e308]], CPU).unwrap();
    let e = Scaling::MinMax { low: 0., high: 1. }.fit(&wide).unwrap_err().to_string();
    assert!(e.contains("shift and scale of column 0 must be finite and not 0"), "{e}");
    let large = Scaling::Standardize.fit(&Tensor::new(&[1e39, 3e39], CPU).unwrap()).unwrap();
    let e = large.inverse(&Tensor::new(&[-1f32], CPU).unwrap()).unwrap_err().to_string();
    assert_eq!(e, "row 0 must be small enough to be scaled in f32, but is too large");
}

#[test]
fn fitted_scalings_are_read_back_to_the_bit_and_damaged_ones_refused() {
    for text in ["standardize", "power", "quantile:5", "0=one-hot;1=max-abs"] {
        let fitted = Scaling::parse(text).unwrap().fit(&rows()).unwrap();
        let json = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<FittedScaling>(&json).unwrap(), fitted);
        let bytes = codec::encode(&fitted).unwrap();
        assert_eq!(codec::decode::<FittedScaling>(&bytes).unwrap(), fitted);
    }
    for bad in [
        "[]",
        r#"[{"Affine":{"shift":1.0,"scale":0.0}}]"#,
        r#"[{"Quantile":{"quantiles":[1.0,0.5],"normal":false}}]"#,
        r#"[{"Quantile":{"quantiles":[],"normal":false}}]"#,
        r#"[{"OneHot":{"categories":[1.0,1.0],"ignore_unknown":false}}]"#,
        r#"[{"Power":{"lambda":1.0,"shift":0.0,"scale":1.0,"low":2.0,"high":1.0}}]"#,
    ] {
        assert!(serde_json::from_str::<FittedScaling>(bad).is_err(), "{bad}");
    }
}

/// The gradient of a sum of squares of scaled numbers, by differences.
#[test]
fn gradients_pass_through() {
    let scalings =
        all().into_iter().chain([Scaling::parse("0=one-hot:ignore-unknown=true;2=power").unwrap()]);
    for scaling in scalings {
        let fitted = scaling.fit(&rows()).unwrap();
        let x = Tensor::new(&[[0.35, 1.1, -2.1, 2.2, 3.], [2.2, 0.3, -0.9, 3.3, 3.]], CPU).unwrap();
        let ways: &[fn(&FittedScaling, &Tensor) -> candle_core::Result<Tensor>] = match fitted.has_inverse() {
            true => &[FittedScaling::transform_all, FittedScaling::inverse_all],
            false => &[FittedScaling::transform_all],
        };
        for (way, f) in ways.iter().enumerate() {
            let at = if way == 0 { x.clone() } else { (&x / 10.).unwrap() };
            let sum = |x: &Tensor| f(&fitted, x).unwrap().sqr().unwrap().sum_all().unwrap();
            let var = Var::from_tensor(&at).unwrap();
            let gradients = sum(var.as_tensor()).backward().unwrap();
            let gradient = values(gradients.get(var.as_tensor()).unwrap());
            for (i, got) in gradient.into_iter().enumerate().filter(|(i, _)| i % 5 != 4) {
                let moved = |h: f64| {
                    let mut moved = values(&at);
                    moved[i] += h;
                    sum(&Tensor::from_vec(moved, (2, 5), CPU).unwrap()).to_scalar::<f64>().unwrap()
                };
                let want = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!(
                    (got - want).abs() < 1e-4 * (1. + want.abs()),
                    "{scaling:?}, {way}, {i}: {got}, {want}"
                );
            }
        }
    }
}

#[test]
fn a_power_brings_no_output_further_than_one_range_beyond_the_rows() {
    let fitted = Scaling::Power.fit(&rows()).unwrap();
    let wild = Tensor::new(&[[1e3, 1e3, -1e3, 1e3, 1e3]], CPU).unwrap();
    let back = values(&fitted.inverse(&wild).unwrap());
    assert_eq!((back[0], back[3]), (45. + 44.9, 9. + 8.), "λ < 0 is bounded above");
    assert!((back[2] - (-7. - 6.9)).abs() < 1e-12, "λ > 2 is bounded below");
}

#[test]
fn columns_are_fitted_alike_in_any_number_of_passes() {
    for text in
        ["standardize", "min-max:low=-1", "max-abs", "power", "0=one-hot;1,3=standardize;2,4=quantile:3"]
    {
        let scaling = Scaling::parse(text).unwrap();
        for memory in [1, 8, 17, 1000] {
            let mut fitting = Fitting::new("", &scaling, &rows(), 8, None).unwrap();
            fitting.memory = memory;
            let mut passes = 0;
            while fitting.next_pass().unwrap() {
                passes += 1;
                for part in [0..3, 3..8] {
                    fitting.add(&rows().narrow(0, part.start, part.len()).unwrap(), |row| row).unwrap();
                }
            }
            assert!(passes > 1 || memory == 1000);
            assert_eq!(fitting.finish().unwrap(), scaling.fit(&rows()).unwrap(), "{text} {memory}");
        }
    }
}

/// Two inputs.
struct Two;

impl Dataset for Two {
    fn rows(&self) -> usize {
        2
    }

    fn task(&self) -> Task {
        Task::Regression { outputs: 1 }
    }

    fn batch(&self, rows: &[u32], device: &Device) -> candle_core::Result<Batch> {
        let x = Tensor::ones((rows.len(), 1), DType::F32, device)?;
        let targets = x.clone();
        Ok(Batch { inputs: Inputs::from(vec![x.clone(), x]), targets, weights: None })
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"two")
    }
}

#[test]
fn a_run_fits_its_rows_and_features() -> Result<()> {
    let y = rows().get_on_dim(1, 1)?;
    let data = TensorDataset::regression(rows(), &y)?;
    let chosen = [6, 0, 0, 3];
    let some = rows().index_select(&Tensor::new(&chosen, CPU)?, 0)?;
    let features = some.index_select(&Tensor::new(&[3u32, 0], CPU)?, 1)?;
    let (by_column, power) = (Scaling::parse("0=standardize;1=power")?, Scaling::Power);
    let fitted = FittedScalings::fit(&data, &chosen, Some(&[3, 0]), Some(&by_column), Some(&power))?;
    let by_hand = Scaling::parse("1=standardize")?.fit(&features)?;
    assert_eq!(fitted.inputs.as_ref(), Some(&by_hand), "columns are those of the data set");
    assert_eq!(fitted.targets, Some(power.fit(&some.get_on_dim(1, 1)?)?));
    let scaled = fitted.scale_inputs(&features.clone().into())?;
    assert_eq!(values(scaled.only()?), values(&by_hand.transform(&features)?));
    let z = fitted.scale_targets(&y)?;
    assert_eq!(z.dims(), [8]);
    let back = fitted.unscale_outputs(&z.unsqueeze(1)?)?;
    close(&values(&back), &values(&y), 1e-9);
    let half = fitted.unscale_outputs(&z.to_dtype(DType::F16)?)?;
    assert_eq!(half.dtype(), DType::F32);

    let fit = |data: &dyn Dataset, rows: &[u32], x: Option<&str>, y: Option<&str>| {
        let parse = |text: Option<&str>| text.map(|text| Scaling::parse(text).unwrap());
        let e = FittedScalings::fit(data, rows, None, parse(x).as_ref(), parse(y).as_ref());
        e.map_or_else(|e| e.to_string(), |fitted| format!("{}", fitted.is_none()))
    };
    let e = "the scaling of the inputs must be unset unless there is one input, but is set for 2 inputs";
    assert_eq!(fit(&Two, &[0], Some("power"), None), e);
    assert_eq!(fit(&Two, &[0], None, Some("power")), "false");
    assert_eq!(fit(&Two, &[0], None, None), "true");
    assert!(
        fit(&data, &[], Some("power"), None).starts_with("the number of rows that a scaling is fitted on")
    );
    assert!(fit(&data, &[0], None, Some("one-hot")).contains("must be one with an inverse"));
    let classes = TensorDataset::classification(rows(), &Tensor::new(&[0u32, 1, 0, 1, 0, 1, 0, 1], CPU)?)?;
    assert!(fit(&classes, &[0], None, Some("power")).contains("must be unset for classification"));
    Ok(())
}

proptest! {
    #[test]
    fn the_inverse_undoes_the_transform(
        x in proptest::collection::vec(-1e3f64..1e3, 24),
        shift in -1e2f64..1e2,
        factor in 1e-2f64..1e1,
    ) {
        let x: Vec<_> = x.into_iter().map(|x| x * factor + shift).collect();
        let tensor = Tensor::from_slice(&x, (8, 3), CPU).unwrap();
        for scaling in all().into_iter().chain([Scaling::parse("0,2=quantile:100;1=robust").unwrap()]) {
            // Fewer quantiles than rows lose what is between.
            let scaling = match scaling {
                Scaling::Quantile { normal, .. } => Scaling::Quantile { quantiles: 8, normal },
                other => other,
            };
            let fitted = scaling.fit(&tensor).unwrap();
            let z = fitted.transform(&tensor).unwrap();
            let back = values(&fitted.inverse(&z).unwrap());
            close(&back, &x, 1e-6);
        }
    }

    #[test]
    fn monotone_scalings_keep_the_order(x in proptest::collection::vec(-50f64..50., 12)) {
        let column = Tensor::from_slice(&x, 12, CPU).unwrap();
        for scaling in all() {
            let z = values(&scaling.fit(&column).unwrap().transform(&column).unwrap());
            for i in 0..12 {
                for j in 0..12 {
                    prop_assert!(x[i] > x[j] || z[i] <= z[j] + 1e-12, "{scaling:?}");
                }
            }
        }
    }
}
