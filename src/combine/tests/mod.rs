use crate::{combine::*, data::Task};
use candle_core::{DType, Device};

mod fixed;
#[cfg(feature = "learned")]
mod missing;
#[cfg(feature = "learned")]
pub(crate) mod missing_in_meta_learners;
#[cfg(feature = "learned")]
mod on_disk;
#[cfg(feature = "learned")]
pub(crate) use missing::{random_members, COVERAGES};

const CLASSES: Task = Task::Classification { classes: 3 };

fn predictions(members: &[[f32; 3]]) -> Predictions {
    let all: Vec<f32> = members.concat();
    let values = Tensor::from_vec(all, (members.len(), 1, 3), &Device::Cpu).unwrap();
    Predictions::new(values, CLASSES).unwrap()
}

fn row(t: &Tensor) -> Vec<f32> {
    t.get(0).unwrap().to_vec1().unwrap()
}

/// Kuncheva, Combining Pattern Classifiers (2004), the five-member example.
fn kuncheva() -> Predictions {
    predictions(&[[0.1, 0.5, 0.4], [0.0, 0.0, 1.0], [0.4, 0.3, 0.4], [0.2, 0.7, 0.1], [0.1, 0.8, 0.2]])
}

#[test]
fn combiners_predict_the_classes_computed_by_hand() {
    // Sums of the columns: .8, 2.3, 2.1. Medians: .1, .5, .4. Votes: member 3 ties between 0 and 2.
    let values = kuncheva();
    let winner =
        |fitted: &dyn FittedCombiner| crate::kernels::argmax::argmax(&row(&fitted.combine(&values).unwrap()));
    assert_eq!(winner(&Mean), 1);
    assert_eq!(winner(&Median), 1);
    assert_eq!(winner(&HardVote), 1);
    assert_eq!(row(&HardVote.combine(&values).unwrap()), [0.2, 0.6, 0.2]);
    let mean = row(&Mean.combine(&values).unwrap());
    for (a, b) in mean.iter().zip([0.16, 0.46, 0.42]) {
        assert!((a - b).abs() < 1e-6);
    }
}

#[test]
fn the_lowest_class_wins_a_tie_of_the_hard_vote() {
    let split = predictions(&[[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]]);
    assert_eq!(crate::kernels::argmax::argmax(&row(&HardVote.combine(&split).unwrap())), 1);
}

#[test]
fn the_geometric_mean_is_the_mean_of_logs_normalised() {
    let p = row(&GeometricMean.combine(&predictions(&[[0.5, 0.25, 0.25], [0.125, 0.5, 0.375]])).unwrap());
    let raw = [(0.5f64 * 0.125).sqrt(), (0.25f64 * 0.5).sqrt(), (0.25f64 * 0.375).sqrt()];
    let total: f64 = raw.iter().sum();
    for (a, b) in p.iter().zip(raw) {
        assert!((f64::from(*a) - b / total).abs() < 1e-6);
    }
}

#[test]
fn a_probability_of_zero_gives_no_nan() {
    let p = row(&GeometricMean.combine(&predictions(&[[0., 0.5, 0.5], [1., 0., 0.]])).unwrap());
    assert!(p.iter().all(|x| x.is_finite()) && (p.iter().sum::<f32>() - 1.).abs() < 1e-6);
}

#[test]
fn missing_predictions_are_left_out_of_means_and_medians() {
    let nan = f32::NAN;
    let values =
        Tensor::new(&[[[1f32], [nan], [nan]], [[3.], [5.], [nan]], [[8.], [nan], [nan]]], &Device::Cpu);
    let covered = Tensor::new(&[[1f32, 0., 0.], [1., 1., 0.], [1., 0., 0.]], &Device::Cpu).unwrap();
    let predictions =
        Predictions::partial(values.unwrap(), covered, Task::Regression { outputs: 1 }).unwrap();
    let column = |fitted: &dyn FittedCombiner| -> Vec<f32> {
        fitted.combine(&predictions).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let (mean, median) = (column(&Mean), column(&Median));
    assert_eq!((mean[0], mean[1]), (4., 5.));
    assert_eq!((median[0], median[1]), (3., 5.));
    assert!(mean[2].is_nan() && median[2].is_nan());
}

#[test]
fn missing_predictions_cast_no_vote() {
    let nan = f32::NAN;
    let values = Tensor::new(&[[[0.1f32, 0.2, 0.7]], [[nan, nan, nan]], [[0.6, 0.2, 0.2]]], &Device::Cpu);
    let covered = Tensor::new(&[[1u8], [0], [1]], &Device::Cpu).unwrap();
    let predictions = Predictions::partial(values.unwrap(), covered, CLASSES).unwrap();
    assert_eq!(row(&HardVote.combine(&predictions).unwrap()), [0.5, 0., 0.5]);
    let expected = [(0.1f32 * 0.6).sqrt(), 0.2, (0.7f32 * 0.2).sqrt()];
    let total: f32 = expected.iter().sum();
    for (a, b) in row(&GeometricMean.combine(&predictions).unwrap()).iter().zip(expected) {
        assert!((a - b / total).abs() < 1e-6);
    }
}

#[test]
fn combiners_for_classes_refuse_regression() {
    let values = Tensor::zeros((2, 1, 1), DType::F32, &Device::Cpu).unwrap();
    let values = Predictions::new(values, Task::Regression { outputs: 1 }).unwrap();
    for rule in [&HardVote as &dyn FittedCombiner, &GeometricMean] {
        assert!(rule.combine(&values).unwrap_err().to_string().contains("for classes"));
    }
}

#[test]
fn predictions_of_a_wrong_shape_are_errors() {
    let two = Tensor::zeros((2, 4, 2), DType::F32, &Device::Cpu).unwrap();
    assert!(Predictions::new(two.clone(), CLASSES).unwrap_err().to_string().contains("(slots, rows, 3)"));
    let covered = Tensor::zeros((2, 3), DType::U8, &Device::Cpu).unwrap();
    assert!(Predictions::partial(two, covered, Task::Regression { outputs: 2 }).is_err());
    let none = Tensor::zeros((0, 4, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(Predictions::new(none, CLASSES).is_err());
}

proptest::proptest! {
    #[test]
    fn equal_predictions_combine_to_themselves(a in 0.01f32..1., b in 0.01f32..1., c in 0.01f32..1., n in 1usize..6) {
        let total = a + b + c;
        let p = [a / total, b / total, c / total];
        let predictions = predictions(&vec![p; n]);
        for rule in [&Mean as &dyn FittedCombiner, &GeometricMean, &Median] {
            for (x, y) in row(&rule.combine(&predictions).unwrap()).iter().zip(p) {
                proptest::prop_assert!((x - y).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn combiners_do_not_depend_on_the_order_of_members(raw in proptest::collection::vec(0.01f32..1., 12)) {
        let member = |c: &[f32]| { let t: f32 = c.iter().sum(); [c[0] / t, c[1] / t, c[2] / t] };
        let members: Vec<_> = raw.chunks(3).map(member).collect();
        let mut reversed = members.clone();
        reversed.reverse();
        for rule in [&Mean as &dyn FittedCombiner, &GeometricMean, &Median, &HardVote] {
            let a = row(&rule.combine(&predictions(&members)).unwrap());
            let b = row(&rule.combine(&predictions(&reversed)).unwrap());
            for (x, y) in a.iter().zip(b) {
                proptest::prop_assert!((x - y).abs() < 1e-6);
            }
        }
    }
}
