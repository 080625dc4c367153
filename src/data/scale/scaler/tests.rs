use super::*;
use candle_core::{DType, Device};
use proptest::prelude::*;

const X: [[f64; 4]; 5] = [
    [1.0, -2.0, 1e6 + 0.1, 3.0],
    [2.0, 0.5, 1e6 + 0.2, 3.0],
    [4.0, 7.25, 1e6 + 0.4, 3.0],
    [8.0, -1.5, 1e6 + 0.9, 3.0],
    [-3.0, 0.0, 1e6 + 0.3, 3.0],
];

fn table() -> Tensor {
    Tensor::new(&X, &Device::Cpu).unwrap()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * (1. + b.abs()), "{a} {b}");
    }
}

/// The numbers are those of scikit-learn 1.9.1: `mean_`, `scale_` and `transform(X)` of
/// `StandardScaler().fit(X)`.
#[test]
fn standardize_matches_scikit_learn() {
    let scaler = Scaler::standardize(&table()).unwrap();
    close(scaler.shift(), &[2.4, 0.85, 1000000.3799999999, 3.0], 1e-15);
    close(scaler.scale(), &[3.6110940170535573, 3.330165161069343, 0.278567765560733, 1.0], 1e-15);
    let want = [
        [-0.38769414293519794, -0.855813409291941, -1.0051414216857015, 0.0],
        [-0.11076975512434224, -0.10509989236918572, -0.6461623424823862, 0.0],
        [0.44307902049736914, 1.9218266033222535, 0.07179581634215104, 0.0],
        [1.5507765717407918, -0.70567070590739, 1.8666912127766342, 0.0],
        [-1.4953916941786207, -0.25524259575373676, -0.28718326286116425, 0.0],
    ];
    let got = scaler.transform(&table()).unwrap().to_vec2::<f64>().unwrap();
    close(&got.concat(), &want.concat(), 1e-9);
}

/// The numbers are those of scikit-learn 1.9.1: `data_min_`, `data_range_` and `transform(X)` of
/// `MinMaxScaler().fit(X)`; the constant column is scaled by 1.
#[test]
fn min_max_matches_scikit_learn() {
    let scaler = Scaler::min_max(&table()).unwrap();
    close(scaler.shift(), &[-3.0, -2.0, 1000000.1, 3.0], 0.);
    close(scaler.scale(), &[11.0, 9.25, 0.8000000000465661, 1.0], 0.);
    let want = [
        [0.36363636363636365, 0.0, 0.0, 0.0],
        [0.45454545454545453, 0.2702702702702703, 0.125, 0.0],
        [0.6363636363636364, 1.0, 0.375, 0.0],
        [1.0, 0.05405405405405406, 1.0, 0.0],
        [0.0, 0.21621621621621623, 0.25, 0.0],
    ];
    let got = scaler.transform(&table()).unwrap().to_vec2::<f64>().unwrap();
    close(&got.concat(), &want.concat(), 1e-9);
}

#[test]
fn a_constant_column_with_rounding_is_only_shifted() {
    let x = Tensor::full(0.1f64, (1001, 1), &Device::Cpu).unwrap();
    assert_eq!(Scaler::standardize(&x).unwrap().scale(), [1.]);
    let one = Scaler::standardize(&Tensor::new(&[7f32], &Device::Cpu).unwrap()).unwrap();
    assert_eq!((one.shift(), one.scale()), (&[7.][..], &[1.][..]), "one row");
}

/// One pass in f64, `Σx² − (Σx)²/n`, would lose all digits of this deviation.
#[test]
fn a_large_mean_loses_no_digits() {
    let x: Vec<_> = (0..1000).map(|i| 1e9 + f64::from(i % 2)).collect();
    let scaler = Scaler::standardize(&Tensor::new(x, &Device::Cpu).unwrap()).unwrap();
    close(scaler.scale(), &[0.5], 1e-12);
}

/// The squares of these values are no numbers of f64; their deviation is.
#[test]
fn very_large_and_very_small_values_are_scaled_like_others() {
    for unit in [1e300, 1e-300] {
        let x = Tensor::new(&[-2. * unit, 0., 2. * unit, 4. * unit], &Device::Cpu).unwrap();
        let scaler = Scaler::standardize(&x).unwrap();
        close(&[scaler.shift()[0] / unit, scaler.scale()[0] / unit], &[1., 5f64.sqrt()], 1e-15);
        let z = scaler.transform(&x).unwrap().to_vec1::<f64>().unwrap();
        close(&z, &[-3., -1., 1., 3.].map(|z| z / 5f64.sqrt()), 1e-15);
    }
}

#[test]
fn a_result_that_the_dtype_cannot_hold_is_an_error() {
    let x = Tensor::new(&[1e39, 3e39], &Device::Cpu).unwrap();
    let scaler = Scaler::standardize(&x).unwrap();
    let z = scaler.transform(&x).unwrap();
    close(&z.to_vec1::<f64>().unwrap(), &[-1., 1.], 1e-15);
    let error = scaler.inverse(&z.to_dtype(DType::F32).unwrap()).unwrap_err().to_string();
    assert_eq!(error, "row 0, column 0 must be small enough to be scaled in f32, but is -1");
}

#[test]
fn dtype_and_rank_are_kept() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        let x = Tensor::new(&[1f32, 3., 5.], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let scaler = Scaler::min_max(&x).unwrap();
        let z = scaler.transform(&x).unwrap();
        assert_eq!((z.dtype(), z.dims()), (dtype, &[3][..]));
        assert_eq!(z.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap(), [0., 0.5, 1.]);
        let column = scaler.transform(&x.reshape((3, 1)).unwrap()).unwrap();
        assert_eq!(column.dims(), [3, 1]);
    }
    let transposed = table().t().unwrap();
    let dense = Scaler::standardize(&transposed.contiguous().unwrap()).unwrap();
    assert_eq!(Scaler::standardize(&transposed).unwrap(), dense, "a view gives the same as a copy");
}

#[test]
fn bad_tables_are_errors() {
    let scaler = Scaler::standardize(&table()).unwrap();
    let refused = |result: Result<Tensor>, what: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(what), "{message:?} does not contain {what:?}");
    };
    refused(scaler.transform(&table().narrow(1, 0, 3).unwrap()), "that of the scaler, 4, but is 3");
    refused(scaler.inverse(&Tensor::new(&[1f32], &Device::Cpu).unwrap()), "that of the scaler, 4, but is 1");
    refused(scaler.transform(&(table() / 0.).unwrap()), "row 0, column 0 must be finite, but is inf");
    refused(scaler.transform(&table().to_dtype(DType::U32).unwrap()), "of floats, but is u32");
    let with_nan = Tensor::new(&[[1f32, 2.], [1., f32::NAN]], &Device::Cpu).unwrap();
    for fit in [Scaler::standardize, Scaler::min_max] {
        let message = fit(&with_nan).unwrap_err().to_string();
        assert!(message.contains("row 1, column 1 must be finite, but is NaN"), "{message}");
        assert!(fit(&Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap()).is_err());
        assert!(fit(&Tensor::zeros((2, 2, 2), DType::F32, &Device::Cpu).unwrap()).is_err());
    }
    let vast = Tensor::new(&[[-1.7e308], [1.7e308]], &Device::Cpu).unwrap();
    assert!(Scaler::min_max(&vast).is_err(), "the range exceeds f64");
    close(Scaler::standardize(&vast).unwrap().scale(), &[1.7e308], 1e-15);
}

#[test]
fn a_scaler_is_read_back_by_serde_and_a_damaged_one_is_refused() {
    let scaler = Scaler::standardize(&table()).unwrap();
    let json = serde_json::to_string(&scaler).unwrap();
    assert_eq!(serde_json::from_str::<Scaler>(&json).unwrap(), scaler);
    for bad in [r#"{"shift":[1,2],"scale":[1]}"#, r#"{"shift":[1],"scale":[0]}"#] {
        assert!(serde_json::from_str::<Scaler>(bad).is_err());
    }
}

proptest! {
    #[test]
    fn the_inverse_undoes_the_transform(
        x in proptest::collection::vec(-1e3f64..1e3, 24),
        shift in -1e3f64..1e3,
        factor in 1e-3f64..1e3,
    ) {
        let x: Vec<_> = x.into_iter().map(|x| x * factor + shift).collect();
        let tensor = Tensor::from_slice(&x, (8, 3), &Device::Cpu).unwrap();
        for fit in [Scaler::standardize, Scaler::min_max] {
            let scaler = fit(&tensor).unwrap();
            let z = scaler.transform(&tensor).unwrap();
            let back = scaler.inverse(&z).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            close(&back, &x, 1e-9);
            let again = fit(&z).unwrap();
            close(again.shift(), &[0.; 3], 1e-9);
            close(again.scale(), &[1.; 3], 1e-9);
        }
    }
}
