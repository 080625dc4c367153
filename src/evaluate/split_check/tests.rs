use super::*;
use crate::data::{Split, TensorDataset};
use crate::Seed;

/// Random numbers of `columns` columns.
fn inputs(rows: usize, columns: usize) -> Vec<f32> {
    use rand::Rng;
    let mut rng = Seed::from(5).rng();
    (0..rows * columns).map(|_| rng.random::<f32>()).collect()
}

fn classification(values: Vec<f32>, columns: usize, class: impl Fn(u32) -> u32) -> TensorDataset {
    let rows = values.len() / columns;
    let x = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
    let y = Tensor::from_iter((0..rows as u32).map(class), &Device::Cpu).unwrap();
    TensorDataset::classification(x, &y).unwrap()
}

fn halves(rows: u32) -> (Vec<u32>, Vec<u32>) {
    ((0..rows / 2).collect(), (rows / 2..rows).collect())
}

#[test]
fn a_random_split_has_no_findings() {
    let data = classification(inputs(200, 8), 8, |row| row % 3);
    let split = Split::of(&data, 0.3, Seed::from(1)).unwrap();
    let check = SplitCheck::of(&data, &split.train, &split.test).unwrap();
    assert_eq!(check.findings(), [""; 0]);
    assert_eq!(check.to_string(), "Nothing was found in the split of 140 training rows and 60 test rows.");
    assert_eq!(check.columns.len(), 8);
    let json = serde_json::to_string(&check).unwrap();
    assert_eq!(serde_json::from_str::<SplitCheck>(&json).unwrap(), check);
}

#[test]
fn rows_groups_and_duplicates_on_both_sides_are_found() {
    let mut values = inputs(100, 2);
    // Row 60 has the inputs of rows 3 and 4, row 70 those of row 8, up to the sign of a zero.
    (values[6], values[7], values[8], values[9]) = (0.25, 0., 0.25, 0.);
    (values[120], values[121]) = (0.25, -0.);
    (values[140], values[141]) = (values[16], values[17]);
    // Row 60 has the class of row 4 and not that of row 3; row 70 not that of row 8.
    let data = classification(values, 2, |row| u32::from([4, 60, 70].contains(&row) || row > 90));
    let data = data.with_groups((0..100).map(|row| row % 51).collect()).unwrap();
    let (train, mut test) = halves(100);
    test.extend([7, 7, 60]);
    let check = SplitCheck::of(&data, &train, &test).unwrap();
    assert_eq!(check.on_both_sides, [7]);
    let duplicate = |test, train, same_target| Duplicate { test, train, same_target };
    assert_eq!(check.duplicates, [duplicate(60, 4, true), duplicate(70, 8, false)]);
    // Rows 51 to 99 are of groups 0 to 48, and row 7 is on both sides.
    assert_eq!(check.groups_on_both_sides, (0..49).collect::<Vec<_>>());
    assert_eq!((check.train_rows, check.test_rows), (50, 51));
    let text = check.to_string();
    for part in [
        "Row 7 is both a training row and a test row.",
        "49 groups have rows on both sides: 0, 1, 2, 3, 4 and 44 more.",
        "2 of 51 test rows have the inputs of a training row (test row 60 = training row 4, test row 70 = \
         training row 8); 1 of them with another target.",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn class_shares_and_drift_are_compared() {
    let mut values = inputs(200, 3);
    // Column 1 is shifted in the second half.
    values.iter_mut().skip(1).step_by(3).skip(100).for_each(|x| *x += 0.5);
    let data = classification(values.clone(), 3, |row| u32::from(row % 10 < if row < 100 { 2 } else { 6 }));
    let (train, test) = halves(200);
    let check = SplitCheck::of(&data, &train, &test).unwrap();
    let shares = check.classes.as_ref().unwrap();
    assert_eq!((shares.train.as_slice(), shares.test.as_slice()), (&[0.8, 0.2][..], &[0.4, 0.6][..]));
    assert_eq!(shares.homogeneity, homogeneity_test(&[80, 20], &[40, 60]).unwrap());
    assert_eq!(check.drifting(0.05).map(|column| column.column).collect::<Vec<_>>(), [1]);
    let column =
        |rows: std::ops::Range<usize>| rows.map(|row| f64::from(values[3 * row + 1])).collect::<Vec<_>>();
    let expected = kolmogorov_smirnov_test(&column(0..100), &column(100..200)).unwrap();
    assert_eq!((check.columns[1].distance, check.columns[1].p_value), (expected.effect, expected.p_value));
    assert_eq!(check.columns[1].holm_p_value, 3. * expected.p_value);
    let text = check.to_string();
    assert!(
        text.contains("that of class 0: 80.0 % of the training rows and 40.0 % of the test rows"),
        "{text}"
    );
    assert!(text.contains("1 of 3 columns is distributed differently on both sides"), "{text}");
}

#[test]
fn regressions_and_several_inputs_are_checked() {
    let table = |columns: usize| Tensor::from_vec(inputs(40, columns), (40, columns), &Device::Cpu).unwrap();
    let ids = Tensor::from_iter((0..40u32).map(|i| 16_777_216 + i), &Device::Cpu).unwrap();
    let data = TensorDataset::regression(
        vec![table(2), table(4).reshape((40, 2, 2)).unwrap(), ids],
        &Tensor::arange(0f32, 40., &Device::Cpu).unwrap(),
    );
    let (train, test) = halves(40);
    let check = SplitCheck::of(&data.unwrap(), &train, &test).unwrap();
    assert_eq!((check.columns.len(), check.classes.is_none()), (7, true));
    assert!(check.duplicates.is_empty());
    assert_eq!(check.columns[6].distance, 1.);
}

#[test]
fn rows_that_are_not_there_are_errors() {
    let data = classification(inputs(10, 1), 1, |row| row % 2);
    for (train, test, part) in [
        (&[][..], &[1][..], "the number of training rows must be at least 1"),
        (&[1], &[], "the number of test rows must be at least 1"),
        (&[1], &[10], "a test row must be below 10, the number of rows, but is 10"),
    ] {
        let e = SplitCheck::of(&data, train, test).unwrap_err().to_string();
        assert!(e.contains(part), "{e}");
    }
}
