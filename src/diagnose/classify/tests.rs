//! The figures by hand, the forest by hand, and curves whose condition is known.
use super::{
    classify,
    forest::{Forest, FOREST},
    numbers::{log, median, noise, sd, slope, smooth},
    scale,
    untrained::untrained_loss,
    Features,
};
use crate::diagnose::{Curve, CurveMetric, Curves, Label};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::{fs::File, io::BufReader};

const NAN: f64 = f64::NAN;

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan()), "{a} is not {b}");
}

fn run(train: &[f64], valid: &[f64]) -> Curve {
    let mut run = Curve::default();
    (run.train_loss, run.valid_loss) = (train.to_vec(), valid.to_vec());
    run
}

#[test]
fn figures_of_series_are_those_computed_by_hand() {
    close(slope(&[1., 3., 5., 7.]), 2.);
    close(slope(&[0., 1., 0.]), 0.);
    close(sd(&[1., 2., 3.]), 1.);
    close(sd(&[1.]), NAN);
    // Second differences of the second half: 1 − 2·0 + 1 = 2 alone.
    close(noise(&[0., 0., 1., 0., 1.]), (4f64 / 6.).sqrt().max(noise(&[1., 0., 1.])));
    close(noise(&[1., 0., 1.]), (4f64 / 6.).sqrt());
    close(noise(&[3., 2., 1., 0.]), 0.);
    assert_eq!(smooth(&[1., 3., NAN, 5.], 1), [2., 2., 4., 5.]);
    assert_eq!(median([4., NAN, 1., 3.]), Some(3.));
    close(log(0., 1e-3), 1e-3f64.ln());
    close(log(f64::INFINITY, 1.), NAN);
}

#[test]
fn the_loss_of_an_untrained_network_is_that_of_the_classes_or_the_first_one() {
    let mut curves = Curves::new(vec![run(&[2.2, 1.], &[2.25, 1.2])]);
    close(untrained_loss(&curves), 2.25);
    curves.metric = Some(CurveMetric::Accuracy);
    close(untrained_loss(&curves), 10f64.ln());
    curves.runs = vec![run(&[0.5, 0.2], &[])];
    close(untrained_loss(&curves), 2f64.ln());
    curves.runs = vec![run(&[NAN, NAN], &[])];
    close(untrained_loss(&curves), 2f64.ln());
    curves.metric = None;
    close(untrained_loss(&curves), 1.);
}

#[test]
fn the_features_of_a_curve_that_turns_up_are_those_computed_by_hand() {
    // The training loss halves, the validation loss is lowest in the middle.
    let train: Vec<f64> = (0..21).map(|i| 0.5f64.powi(i)).collect();
    let valid: Vec<f64> = (0..21).map(|i| 0.5 + (f64::from(i) - 10.).abs() / 20.).collect();
    let features = Features::of(&Curves::new(vec![run(&train, &valid)]));
    // An untrained network has the loss 1, that of both first epochs. The end is the median of the last two epochs.
    let end = 0.75 * 0.5f64.powi(19);
    close(features.train_end, end);
    close(features.fall, 1. - end);
    close(features.valid_end, 0.975);
    close(features.gap, 0.975 - end);
    close(features.turn_at, 0.5);
    // Smoothed over three epochs: (0.55 + 0.5 + 0.55) / 3 in the middle, (0.95 + 1) / 2 at the end.
    close(features.turn, (0.975f64 / (1.6 / 3.)).ln());
    close(features.rises, 0.);
    close(features.train_spread, NAN);
    close(features.valid_rows, NAN);
    close(features.epochs, 21f64.ln());
    assert_eq!(features.values().len(), Features::NAMES.len());
}

#[test]
fn a_forest_is_read_and_votes_as_its_bytes_say() {
    let real = |x: f32| x.to_le_bytes().to_vec();
    let mut bytes = real(2.);
    (0..9).for_each(|_| bytes.extend(real(1.)));
    bytes.extend([real(1.), real(-3.)].concat());
    // One tree of two nodes, x₀ ≤ 1.5 → label 3, else x₁ ≤ −2 → label 0, else label 8; and one leaf, label 3.
    bytes.extend([&[0][..], &real(1.5), &[255, 3, 1], &real(-2.), &[255, 0, 255, 8], &[255, 3]].concat());
    let forest = Forest::parse(&bytes, 2);
    let of = |features: [f64; 2]| forest.probabilities(&features);
    assert_eq!(of([1.5, 0.])[3], 1.);
    // One vote each: the squares of equal shares are equal.
    assert_eq!((of([2., -2.])[0], of([2., -2.])[3]), (0.5, 0.5));
    assert_eq!(of([2., 0.])[8], 0.5);
    // 1 and −3 stand for what is missing.
    assert_eq!(of([NAN, 0.])[3], 1.);
    assert_eq!(of([2., NAN])[0], 0.5);
}

#[test]
fn a_label_that_counts_less_leaves_its_share_to_the_others() {
    let mut labels = [(Label::HighVariance, 0.5), (Label::GoodFit, 0.3), (Label::Overfit, 0.2)];
    scale(&mut labels, Label::HighVariance, 0.2);
    // 0.1, 0.3 and 0.2 of 0.6.
    for ((_, got), expected) in labels.into_iter().zip([1. / 6., 0.5, 1. / 3.]) {
        close(got, expected);
    }
}

#[test]
fn the_forest_that_ships_fits_the_features() {
    assert!(FOREST.fits(Features::NAMES.len()), "fit it anew with tests/reference/fit_curves.py");
}

#[test]
fn curves_without_losses_have_no_labels_and_others_have_all() {
    assert!(classify(&Curves::default()).is_empty());
    for curves in [
        Curves::new(vec![run(&[NAN, NAN], &[])]),
        Curves::new(vec![run(&[1.], &[]), run(&[], &[2.])]),
        Curves::new(vec![run(&[0.; 30], &[0.; 30])]),
        Curves::new(vec![run(&[1e300, -1e300, f64::INFINITY], &[1.])]),
    ] {
        let labels = classify(&curves);
        assert_eq!(labels.len(), Label::ALL.len());
        let sum: f64 = labels.iter().map(|(_, probability)| probability).sum();
        assert!((sum - 1.).abs() < 1e-9 && labels.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}

/// The labelled curves of a file, with whether the forest was fitted on them.
fn labelled() -> Vec<(Curves, String, bool)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/diagnose/curves.json.gz");
    let file = GzDecoder::new(BufReader::new(File::open(path).unwrap()));
    let cases: Vec<Value> = serde_json::from_reader(file).unwrap();
    let numbers = |series: &Value| -> Vec<f64> {
        series.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(NAN)).collect()
    };
    let read = |case: &Value| {
        let of_run = |run: &Value| {
            let mut curve = Curve::default();
            (curve.train_loss, curve.valid_loss) = (numbers(&run["train_loss"]), numbers(&run["valid_loss"]));
            (curve.train_metric, curve.valid_metric) =
                (numbers(&run["train_metric"]), numbers(&run["valid_metric"]));
            curve
        };
        let mut curves = Curves::new(case["runs"].as_array().unwrap().iter().map(of_run).collect());
        curves.metric = Some(match case["metric"].as_str().unwrap() {
            "accuracy" => CurveMetric::Accuracy,
            _ => CurveMetric::Rmse,
        });
        let rows = |name: &str| case[name].as_u64().map(|rows| rows as usize);
        (curves.train_rows, curves.valid_rows) = (rows("train_rows"), rows("valid_rows"));
        (curves, case["label"].as_str().unwrap().to_owned(), case["fitted"].as_bool().unwrap())
    };
    cases.iter().map(read).collect()
}

/// Curves of data sets that the forest was not fitted on. With a true rate of 90 % the sum over so many cases is above 78 %
/// in all but one of a thousand such tests; it is one fixed set, so the test never fails by chance.
#[test]
fn curves_of_other_data_sets_get_their_labels() {
    let (mut first, mut two, mut of, mut alarms) = (0, 0, 0, 0);
    for (curves, label, _) in labelled().into_iter().filter(|(_, _, fitted)| !fitted) {
        let labels = classify(&curves);
        let place = labels.iter().position(|(other, _)| other.name() == label).unwrap();
        (first, two, of) = (first + usize::from(place == 0), two + usize::from(place < 2), of + 1);
        alarms += usize::from(label == "good_fit" && place > 0);
    }
    assert!(of >= 40, "{of}");
    assert!(first * 100 >= 80 * of, "{first} of {of} first");
    assert!(two * 100 >= 92 * of, "{two} of {of} among the first two");
    assert!(alarms <= 1, "{alarms} false alarms");
}

#[test]
fn the_order_of_runs_and_the_unit_of_a_loss_change_nothing() {
    for (mut curves, _, _) in labelled().into_iter().step_by(7) {
        let labels = classify(&curves);
        curves.runs.reverse();
        assert_eq!(classify(&curves), labels);
        if curves.metric == Some(CurveMetric::Rmse) {
            for run in &mut curves.runs {
                run.train_loss.iter_mut().chain(&mut run.valid_loss).for_each(|loss| *loss *= 1024.);
            }
            assert_eq!(classify(&curves).first().map(|best| best.0), labels.first().map(|best| best.0));
        }
    }
}
