//! The combiners that have nothing to fit. Reference numbers: `tests/reference/voting.py`.
use crate::{
    combine::{
        tests::{kuncheva, predictions, row, CLASSES},
        *,
    },
    data::Task,
    kernels::argmax::{argmax, argmax_rows},
};
use candle_core::{DType, Device, Var};

const CPU: &Device = &Device::Cpu;

/// Seven members, six rows, four classes: the table of the reference script.
fn table() -> Vec<f64> {
    let raw = |s: usize, i: usize, c: usize| {
        ((s * 131 + i * 37 + c * 101 + s * i * c * 17 + s * c * 59) % 97 + 1) as f64
    };
    let rows = (0..7).flat_map(|s| (0..6).map(move |i| [0, 1, 2, 3].map(|c| raw(s, i, c))));
    rows.flat_map(|row| row.map(|x| x / row.iter().sum::<f64>())).collect()
}

fn of(values: Vec<f64>, (slots, rows, width): (usize, usize, usize), task: Task) -> Predictions {
    Predictions::new(Tensor::from_vec(values, (slots, rows, width), CPU).unwrap(), task).unwrap()
}

fn probabilities() -> Predictions {
    of(table(), (7, 6, 4), Task::Classification { classes: 4 })
}

fn predict(fitted: &dyn FittedCombiner, predictions: &Predictions) -> Vec<f64> {
    fitted
        .combine(predictions)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn assert_near(got: &[f64], want: &[f64]) {
    let odd = got.iter().zip(want).any(|(a, b)| (a - b).abs() > 1e-13);
    assert!(!odd && want.len() <= got.len(), "{got:?} against {want:?}");
}

/// All fixed combiners, for this number of slots.
fn every(slots: usize) -> Vec<Box<dyn FittedCombiner>> {
    let weights: Vec<f64> = (1..=slots).map(|w| w as f64).collect();
    let mut all = for_values(slots);
    all.extend([
        Box::new(HardVote) as Box<dyn FittedCombiner>,
        Box::new(WeightedVote::new(&weights).unwrap()),
        Box::new(GeometricMean),
        Box::new(LogOddsMean),
        Box::new(Product),
        Box::new(RankAverage),
        Box::new(BordaCount),
    ]);
    all
}

/// The fixed combiners that also combine regression values.
fn for_values(slots: usize) -> Vec<Box<dyn FittedCombiner>> {
    let weights: Vec<f64> = (1..=slots).map(|w| w as f64).collect();
    vec![
        Box::new(Mean),
        Box::new(Weighted::new(&weights).unwrap()),
        Box::new(Median),
        Box::new(Minimum),
        Box::new(Maximum),
        Box::new(TrimmedMean::new(0.3).unwrap()),
        Box::new(WinsorizedMean::new(0.3).unwrap()),
    ]
}

#[test]
fn votes_and_weighted_means_equal_those_of_scikit_learn() {
    let all = probabilities();
    let three = all.narrow_slots(0, 3).unwrap();
    let won = |fitted: &dyn FittedCombiner, predictions: &Predictions| {
        argmax_rows(&fitted.combine(predictions).unwrap()).unwrap()
    };
    assert_eq!(won(&HardVote, &all), [1, 0, 0, 2, 0, 0]);
    assert_eq!(won(&WeightedVote::new(&[2., 1., 1.]).unwrap(), &three), [3, 3, 0, 3, 3, 2]);
    let rising = WeightedVote::new(&[1., 2., 3., 4., 5., 6., 7.]).unwrap();
    assert_eq!(won(&rising, &all), [1, 1, 0, 2, 0, 0]);
    let soft = [
        [0.159518283440697, 0.192501894657067, 0.307498105342933, 0.340481716559303],
        [0.216208330839667, 0.279977606878529, 0.220022393121471, 0.283791669160333],
        [0.250115740740741, 0.250038580246914, 0.249961419753086, 0.249884259259259],
        [0.244122390632487, 0.213284337845356, 0.292174791845556, 0.250418479676601],
        [0.226807634146961, 0.260630763596012, 0.25773078861768, 0.254830813639347],
        [0.248312018603107, 0.315423194352674, 0.270265851583722, 0.165998935460497],
    ];
    assert_near(&predict(&Weighted::new(&[2., 1., 1.]).unwrap(), &three), &soft.concat());
    let mean = [0.166218206225563, 0.308823499777993, 0.293162336125016, 0.231795957871428];
    assert_near(&predict(&Mean, &all), &mean);
}

#[test]
fn trimmed_and_winsorized_means_equal_those_of_scipy() {
    let values = of(table(), (7, 6, 4), Task::Regression { outputs: 4 });
    assert_near(
        &predict(&Median, &values),
        &[0.165289256198347, 0.355371900826446, 0.321428571428571, 0.230769230769231],
    );
    let trimmed = |cut| predict(&TrimmedMean::new(cut).unwrap(), &values);
    let drawn_in = |cut| predict(&WinsorizedMean::new(cut).unwrap(), &values);
    let rows = [
        [0.167723169236467, 0.330169276860406, 0.293000214872105, 0.230847481563665],
        [0.274323008234053, 0.317395589474579, 0.182604410525421, 0.225676991765947],
    ];
    assert_near(&trimmed(0.15), &rows.concat());
    let rows = [
        [0.167391989285724, 0.319227175238081, 0.282000234738529, 0.229296740554006],
        [0.280300235124613, 0.316974027786344, 0.183025972213656, 0.219699764875387],
    ];
    assert_near(&drawn_in(0.15), &rows.concat());
    let rows = [
        [0.168495922454867, 0.3557008473125, 0.318666835183781, 0.23446587725287],
        [0.260376145489414, 0.318379233413796, 0.181620766586204, 0.239623854510586],
    ];
    assert_near(&trimmed(0.3), &rows.concat());
    let rows = [
        [0.169412112813872, 0.355794832022801, 0.317877767685269, 0.235522061962481],
        [0.273081018226649, 0.320059014389166, 0.179940985610834, 0.226918981773351],
    ];
    assert_near(&drawn_in(0.3), &rows.concat());
    // Three of seven at each end: the median.
    assert_near(&trimmed(0.45), &predict(&Median, &values));
    assert_near(&drawn_in(0.45), &predict(&Median, &values));
    assert_near(&trimmed(0.), &predict(&Mean, &values));
    assert_near(&drawn_in(0.), &predict(&Mean, &values));
}

#[test]
fn ranks_log_odds_and_products_equal_those_of_scipy() {
    let coarse: Vec<f64> = table().iter().map(|p| (p * 8.).floor()).collect();
    let coarse = of(coarse, (7, 6, 4), Task::Classification { classes: 4 });
    let ranks = [
        [0.2, 0.307142857142857, 0.257142857142857, 0.235714285714286],
        [0.25, 0.278571428571429, 0.221428571428571, 0.25],
        [0.292857142857143, 0.264285714285714, 0.235714285714286, 0.207142857142857],
        [0.257142857142857, 0.214285714285714, 0.285714285714286, 0.242857142857143],
        [0.278571428571429, 0.264285714285714, 0.235714285714286, 0.221428571428571],
        [0.242857142857143, 0.242857142857143, 0.285714285714286, 0.228571428571429],
    ];
    assert_near(&predict(&RankAverage, &coarse), &ranks.concat());
    let all = probabilities();
    let rows = [0.160785718969156, 0.280610442084786, 0.365338393457629, 0.193265445488429];
    assert_near(&predict(&GeometricMean, &all), &rows);
    let rows = [
        [0.156831803081526, 0.294038135427388, 0.350626875205002, 0.198503186286083],
        [0.258238787312385, 0.317505702091606, 0.195664015453911, 0.228591495142099],
    ];
    assert_near(&predict(&LogOddsMean, &all), &rows.concat());
    let rows = [0.002727418013591, 0.134507405755506, 0.852877394162887, 0.009887782068017];
    assert_near(&predict(&Product, &all), &rows);
}

/// The classes that the tests of DESlib give for the example; its numbers do not sum to one.
#[test]
fn combiners_predict_the_known_classes_of_kunchevas_example() {
    let known: [(&dyn FittedCombiner, usize); 7] = [
        (&Product, 2),
        (&Mean, 1),
        (&Minimum, 2),
        (&Maximum, 2),
        (&Median, 1),
        (&HardVote, 1),
        (&GeometricMean, 2),
    ];
    for (fitted, class) in known {
        assert_eq!(argmax(&row(&fitted.combine(&kuncheva()).unwrap())), class, "{}", fitted.name());
    }
    // Points, 2 for the first and none for the last, of equals the lowest first:
    // (0 2 1) (1 0 2) (2 0 1) (1 2 0) (0 2 1).
    let shares = [4. / 15., 6. / 15., 5. / 15.];
    for (got, want) in row(&BordaCount.combine(&kuncheva()).unwrap()).iter().zip(shares) {
        assert!((f64::from(*got) - want).abs() < 1e-7);
    }
}

#[test]
fn the_lowest_class_wins_a_tie() {
    let even = predictions(&[[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]]);
    let split = predictions(&[[0.1, 0.7, 0.2], [0.1, 0.2, 0.7]]);
    for fitted in every(2).iter().filter(|fitted| !fitted.name().starts_with("weighted")) {
        assert_eq!(argmax_rows(&fitted.combine(&even).unwrap()).unwrap(), [1], "{}", fitted.name());
        assert_eq!(argmax_rows(&fitted.combine(&split).unwrap()).unwrap(), [1], "{}", fitted.name());
    }
    let vote = WeightedVote::new(&[1., 2., 3.]).unwrap();
    let predicted = vote.combine(&predictions(&[[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])).unwrap();
    assert_eq!(row(&predicted), [0.5, 0.5, 0.]);
}

#[test]
fn probabilities_of_exactly_0_and_1_give_probabilities() {
    let sure = [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];
    for members in [&sure[..], &sure[..1], &[sure[0], sure[0], sure[1]]] {
        for fitted in every(members.len()) {
            let p = row(&fitted.combine(&predictions(members)).unwrap());
            let total: f32 = p.iter().sum();
            assert!(
                p.iter().all(|p| (0. ..=1.).contains(p)) && (total - 1.).abs() < 1e-6,
                "{fitted:?}: {p:?}"
            );
        }
    }
    // If some member gives each class a probability of 0, all classes are equal.
    assert_eq!(row(&Minimum.combine(&predictions(&sure)).unwrap()), [1. / 3.; 3]);
    assert_eq!(row(&Median.combine(&predictions(&sure)).unwrap()), [1. / 3.; 3]);
}

#[test]
fn a_nan_prediction_affects_only_its_own_row() {
    let mut values = table();
    values[(2 * 6 + 3) * 4 + 1] = f64::NAN;
    let odd = of(values, (7, 6, 4), Task::Classification { classes: 4 });
    let well = probabilities();
    for fitted in every(7) {
        let (odd, well) = (predict(&fitted, &odd), predict(&fitted, &well));
        // The mean is taken class by class.
        assert!(odd[3 * 4 + 1].is_nan(), "{fitted:?}");
        assert_eq!(odd[..12], well[..12], "{fitted:?}");
        assert_eq!(odd[16..], well[16..], "{fitted:?}");
    }
}

#[test]
fn a_missing_prediction_is_left_out() {
    let covered: Vec<u8> = (0..7 * 6).map(|i| u8::from((i * 5) % 7 > 2 && i % 6 != 4)).collect();
    let mut values = table();
    for (prediction, there) in values.chunks_exact_mut(4).zip(&covered) {
        if *there == 0 {
            prediction.fill(f64::NAN);
        }
    }
    for dtype in [DType::F64, DType::F32] {
        let values = Tensor::from_slice(&values, (7, 6, 4), CPU).unwrap().to_dtype(dtype).unwrap();
        let mask = Tensor::from_slice(&covered, (7, 6), CPU).unwrap();
        let partial = Predictions::partial(values, mask, Task::Classification { classes: 4 }).unwrap();
        for (rule, fitted) in every(7).iter().enumerate() {
            let got = predict(fitted, &partial);
            for (row, got) in got.chunks_exact(4).enumerate() {
                let present: Vec<usize> = (0..7).filter(|s| covered[s * 6 + row] == 1).collect();
                if present.is_empty() {
                    assert!(row == 4 && got.iter().all(|x| x.is_nan()), "{fitted:?}");
                    continue;
                }
                let weights: Vec<f64> = present.iter().map(|s| *s as f64 + 1.).collect();
                let alone: Box<dyn FittedCombiner> = match fitted.name().as_str() {
                    "weighted-mean" => Box::new(Weighted::new(&weights).unwrap()),
                    "weighted-vote" => Box::new(WeightedVote::new(&weights).unwrap()),
                    _ => every(7).swap_remove(rule),
                };
                let those = partial.select_slots(&present).unwrap().select_rows(&[row as u32]).unwrap();
                let want = predict(&alone, &those.clone().assume_complete());
                let near = got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(near, "{fitted:?}, row {row}: {got:?} against {want:?}");
            }
        }
    }
}

#[test]
fn numbers_of_double_precision_are_not_rounded_to_single() {
    let close = 1e-12;
    let p = of(vec![0.5, 0.5 + close], (1, 1, 2), Task::Classification { classes: 2 });
    for fitted in [&Mean as &dyn FittedCombiner, &Median, &HardVote, &BordaCount, &Maximum] {
        let predicted = fitted.combine(&p).unwrap();
        assert_eq!(
            (predicted.dtype(), argmax_rows(&predicted).unwrap()),
            (DType::F64, vec![1]),
            "{}",
            fitted.name()
        );
    }
    let y = 1e300;
    let values = of(vec![y, y, y + 1e290], (3, 1, 1), Task::Regression { outputs: 1 });
    assert_eq!(predict(&Median, &values), [y]);
    assert!(values.check_finite().is_ok());
}

#[test]
fn combiners_for_classes_refuse_regression() {
    let values = of(table(), (7, 6, 4), Task::Regression { outputs: 4 });
    let fits = for_values(7).len();
    for (i, fitted) in every(7).iter().enumerate() {
        match fitted.combine(&values) {
            Ok(predicted) => assert!(i < fits && predicted.dims() == [6, 4], "{fitted:?}"),
            Err(e) => assert!(i >= fits && e.to_string().contains("for classes"), "{fitted:?}: {e}"),
        }
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    for cut in [-0.1, 0.5, f64::NAN] {
        let (e, f) = (TrimmedMean::new(cut).unwrap_err(), WinsorizedMean::new(cut).unwrap_err());
        assert!(e.to_string().contains("from 0 to less than 0.5"), "{e}");
        assert!(f.to_string().contains("from 0 to less than 0.5"), "{f}");
    }
    for weights in [&[][..], &[0., 0.], &[1., -1.], &[1., f64::NAN], &[f64::MAX, f64::MAX]] {
        assert!(WeightedVote::new(weights).is_err() && Weighted::new(weights).is_err(), "{weights:?}");
    }
    let two = WeightedVote::new(&[1., 2.]).unwrap();
    assert!(two.combine(&kuncheva()).unwrap_err().to_string().contains("2 slots, not 5"));
    // A damaged file may hold any share.
    let odd: TrimmedMean = serde_json::from_str(r#"{"cut":7.5}"#).unwrap();
    assert_eq!(predict(&odd, &kuncheva()), predict(&Median, &kuncheva()));
}

/// The single pass over the predictions against tensor operations, over blocks and threads.
#[test]
fn the_single_pass_mean_equals_the_tensor_mean() {
    for (slots, rows, width) in [(1, 1, 1), (3, 7, 2), (4, 5000, 3), (9, 30_000, 3), (6, 1, 20_000)] {
        for dtype in [DType::F32, DType::F64] {
            let number = |i: usize| ((i * 7919) % 10_007) as f64 / 10_007. - 0.3;
            let all: Vec<f64> = (0..slots * rows * width).map(number).collect();
            let values = Tensor::from_vec(all, (slots, rows, width), CPU).unwrap().to_dtype(dtype).unwrap();
            let mask: Vec<u8> = (0..slots * rows).map(|i| u8::from(i % rows == 0 || i % 3 > 0)).collect();
            let mask = Tensor::from_vec(mask, (slots, rows), CPU).unwrap();
            let task = Task::Regression { outputs: width };
            let weights: Vec<f64> =
                (0..slots).map(|s| ((s * 3) % 4 + usize::from(slots < 4)) as f64).collect();
            for partial in [false, true] {
                let make = |values: Tensor| match partial {
                    true => Predictions::partial(values, mask.clone(), task).unwrap(),
                    false => Predictions::new(values, task).unwrap(),
                };
                let quick = make(values.clone());
                let tracked = Var::from_tensor(&values).unwrap();
                let slow = make(tracked.as_tensor().clone());
                for fitted in [&Mean as &dyn FittedCombiner, &Weighted::new(&weights).unwrap()] {
                    let name = format!("{}, {slots} × {rows} × {width}, {dtype:?}", fitted.name());
                    let (predicted, graph) =
                        (fitted.combine(&quick).unwrap(), fitted.combine(&slow).unwrap());
                    assert!(
                        !predicted.track_op() && graph.track_op() && predicted.dtype() == dtype,
                        "{name}"
                    );
                    let far = (predicted - &graph).unwrap().abs().unwrap().flatten_all().unwrap();
                    let far: Vec<f64> = far.to_dtype(DType::F64).unwrap().to_vec1().unwrap();
                    let most = if dtype == DType::F32 { 1e-6 } else { 1e-14 };
                    // Rows that only predictions without weight predict are NaN both ways.
                    let worst = far.iter().filter(|x| !x.is_nan()).fold(0f64, |a, b| a.max(*b));
                    assert!(worst <= most, "{name}: {worst}");
                    let gradient = graph.sum_all().unwrap().backward().unwrap();
                    assert_eq!(gradient.get(&tracked).unwrap().dims(), [slots, rows, width], "{name}");
                }
            }
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let (slots, rows) = (5, 20_000);
    let raw = |i: usize| ((i * 7919) % 10_007 + 1) as f32 / 10_008.;
    let values: Vec<f32> = (0..slots * rows * 3).map(raw).collect();
    let values = Tensor::from_vec(values, (slots, rows, 3), CPU).unwrap();
    let all = Predictions::new(values, CLASSES).unwrap();
    for fitted in every(slots) {
        let together = predict(&fitted, &all);
        // Few enough rows for one thread.
        let parts: Vec<f64> = (0..rows as u32)
            .collect::<Vec<_>>()
            .chunks(1000)
            .flat_map(|rows| predict(&fitted, &all.select_rows(rows).unwrap()))
            .collect();
        assert_eq!(together, parts, "{fitted:?}");
    }
}

proptest::proptest! {
    #[test]
    fn the_log_odds_mean_of_two_classes_is_the_geometric_mean(raw in proptest::collection::vec(0.001f64..0.999, 1..9)) {
        let values: Vec<f64> = raw.iter().flat_map(|p| [*p, 1. - p]).collect();
        let two = of(values, (raw.len(), 1, 2), Task::Classification { classes: 2 });
        for (a, b) in predict(&LogOddsMean, &two).iter().zip(predict(&GeometricMean, &two)) {
            proptest::prop_assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn the_softmax_of_mean_logits_is_the_geometric_mean(raw in proptest::collection::vec(-9f64..9., 12), shift in -5f64..5.) {
        // Four members; each adds a constant to its logits, which does not change its probabilities.
        let probabilities: Vec<f64> = raw.chunks(3).flat_map(|l| {
            let total: f64 = l.iter().map(|x| x.exp()).sum();
            l.iter().map(|x| x.exp() / total).collect::<Vec<_>>()
        }).collect();
        let logits: Vec<f64> = raw.iter().enumerate().map(|(i, l)| l + shift * (i / 3) as f64).collect();
        let mean = |c: usize| (0..4).map(|s| logits[s * 3 + c]).sum::<f64>() / 4.;
        let total: f64 = (0..3).map(|c| mean(c).exp()).sum();
        let got = predict(&GeometricMean, &of(probabilities, (4, 1, 3), CLASSES));
        for (c, got) in got.iter().enumerate() {
            proptest::prop_assert!((got - mean(c).exp() / total).abs() < 1e-12);
        }
    }

    #[test]
    fn no_combiner_depends_on_the_order_of_members(raw in proptest::collection::vec(0.01f32..1., 15)) {
        let member = |c: &[f32]| { let t: f32 = c.iter().sum(); [c[0] / t, c[1] / t, c[2] / t] };
        let members: Vec<_> = raw.chunks(3).map(member).collect();
        let mut reversed = members.clone();
        reversed.reverse();
        for fitted in every(5).iter().filter(|fitted| !fitted.name().starts_with("weighted")) {
            let (a, b) = (predict(fitted, &predictions(&members)), predict(fitted, &predictions(&reversed)));
            for (x, y) in a.iter().zip(b) {
                proptest::prop_assert!((x - y).abs() < 1e-6, "{:?}", fitted);
            }
        }
    }
}

/// A class that one network rules out completely, on the scale of logarithms.
#[test]
fn log_probabilities_of_minus_infinity_are_not_nan() {
    use crate::network::Scale;
    let ruled_out = f32::NEG_INFINITY;
    let half = 0.5f32.ln();
    let logs = [[half, half, ruled_out], [half, ruled_out, half], [half, half, ruled_out]];
    let logs = Tensor::from_vec(logs.concat(), (3, 1, 3), &Device::Cpu).unwrap();
    let predictions = Predictions::on_scale(logs, None, CLASSES, Scale::LogProbability).unwrap();
    // Only class 0 is ruled out by none.
    assert_eq!(row(&GeometricMean.combine(&predictions).unwrap()), [1., 0., 0.]);
    assert_eq!(row(&Product.combine(&predictions).unwrap()), [1., 0., 0.]);
    let all = [[0., ruled_out, ruled_out], [ruled_out, 0., ruled_out], [0., ruled_out, ruled_out]];
    let all = Tensor::from_vec(all.concat(), (3, 1, 3), &Device::Cpu).unwrap();
    let predictions = Predictions::on_scale(all, None, CLASSES, Scale::LogProbability).unwrap();
    // Every class is ruled out: the one that the fewest rule out is left, as for probabilities of 0.
    assert_eq!(row(&GeometricMean.combine(&predictions).unwrap()), [1., 0., 0.]);
    assert_eq!(row(&Product.combine(&predictions).unwrap()), [1., 0., 0.]);
    let half_precision = Tensor::from_vec(vec![1f32, 0., 0., 0., 1., 0.], (2, 1, 3), &Device::Cpu).unwrap();
    let half_precision = half_precision.to_dtype(DType::F16).unwrap();
    let predictions = Predictions::new(half_precision, CLASSES).unwrap();
    for fitted in [&GeometricMean as &dyn FittedCombiner, &Product, &LogOddsMean] {
        let combined = row(&fitted.combine(&predictions).unwrap().to_dtype(DType::F32).unwrap());
        assert!((combined[0] - 0.5).abs() < 1e-3 && combined[2] < 1e-3, "{}: {combined:?}", fitted.name());
    }
}
