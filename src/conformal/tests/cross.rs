//! Cross-conformal intervals against a calculation that follows the definition row by row, with sorts.
use crate::conformal::{
    Aggregation::{self, Mean, Median},
    CrossConformal,
    CrossMethod::{self, MinMax, Plus},
    PredictionInterval,
};
use proptest::prelude::*;

const NOT: f64 = f64::NAN;

/// The definition. Integers and few members, so that sums are exact in any order.
fn by_definition(
    held_out: &[Vec<f64>],
    targets: &[f64],
    new: &[f64],
    aggregation: Aggregation,
    method: CrossMethod,
    alpha: f64,
) -> PredictionInterval {
    let aggregate = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        match aggregation {
            Mean => values.iter().sum::<f64>() / n as f64,
            Median if n % 2 == 1 => values[n / 2],
            Median => (values[n / 2 - 1] + values[n / 2]) / 2.0,
        }
    };
    let (mut centres, mut residuals) = (vec![], vec![]);
    for (row, target) in targets.iter().enumerate() {
        let members: Vec<usize> = (0..held_out.len()).filter(|m| !held_out[*m][row].is_nan()).collect();
        if !members.is_empty() {
            residuals.push((target - aggregate(members.iter().map(|m| held_out[*m][row]).collect())).abs());
            centres.push(aggregate(members.iter().map(|m| new[*m]).collect()));
        }
    }
    let n = residuals.len();
    let upper = ((n as f64 + 1.0) * (1.0 - alpha) - 1e-9).ceil() as usize;
    let lower = ((n as f64 + 1.0) * alpha + 1e-9).floor() as usize;
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values
    };
    let at = |values: Vec<f64>| sorted(values).get(upper - 1).copied().unwrap_or(f64::INFINITY);
    match method {
        Plus => {
            let lows = sorted(centres.iter().zip(&residuals).map(|(c, r)| c - r).collect());
            PredictionInterval {
                low: lower.checked_sub(1).map_or(f64::NEG_INFINITY, |k| lows[k]),
                high: at(centres.iter().zip(&residuals).map(|(c, r)| c + r).collect()),
            }
        }
        MinMax => {
            let quantile = at(residuals);
            let centres = sorted(centres);
            PredictionInterval { low: centres[0] - quantile, high: centres[centres.len() - 1] + quantile }
        }
    }
}

fn same(a: &PredictionInterval, b: &PredictionInterval) -> bool {
    let close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-9;
    close(a.low, b.low) && close(a.high, b.high)
}

/// Members, rows, which predictions are missing, and new rows.
fn tables() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<f64>, Vec<Vec<f64>>)> {
    (1usize..6, 1usize..120, 0usize..4).prop_flat_map(|(members, rows, new)| {
        let cell = prop_oneof![Just(NOT), (-20i32..20).prop_map(f64::from)];
        (
            prop::collection::vec(prop::collection::vec(cell, rows), members),
            prop::collection::vec((-20i32..20).prop_map(f64::from), rows),
            prop::collection::vec(prop::collection::vec((-20i32..20).prop_map(f64::from), new), members),
        )
    })
}

proptest! {
    #[test]
    fn intervals_follow_the_definition(
        (held_out, targets, new) in tables(),
        percent in 1u32..100,
    ) {
        let alpha = f64::from(percent) / 100.0;
        let members = held_out.len();
        prop_assume!(held_out.concat().iter().any(|p| !p.is_nan()));
        for (aggregation, method) in [(Mean, Plus), (Median, Plus), (Mean, MinMax), (Median, MinMax)] {
            let fitted =
                CrossConformal::fit(&held_out.concat(), members, &targets, aggregation, method, alpha).unwrap();
            let found = fitted.predict(&new.concat()).unwrap();
            prop_assert_eq!(found.len(), new[0].len());
            for (k, interval) in found.iter().enumerate() {
                let column: Vec<f64> = new.iter().map(|member| member[k]).collect();
                let expected = by_definition(&held_out, &targets, &column, aggregation, method, alpha);
                prop_assert!(same(interval, &expected), "{:?} {:?}", interval, expected);
            }
        }
    }

    #[test]
    fn intervals_shrink_with_alpha_and_ignore_the_order_of_rows_and_members(
        (held_out, targets, new) in tables(),
        first in 0.02f64..0.98,
        second in 0.02f64..0.98,
    ) {
        let members = held_out.len();
        prop_assume!(held_out.concat().iter().any(|p| !p.is_nan()));
        let predict = |held_out: &[Vec<f64>], targets: &[f64], new: &[Vec<f64>], method, alpha| {
            let fitted = CrossConformal::fit(&held_out.concat(), members, targets, Mean, method, alpha).unwrap();
            fitted.predict(&new.concat()).unwrap()
        };
        let reversed_rows: Vec<Vec<f64>> =
            held_out.iter().map(|member| member.iter().rev().copied().collect()).collect();
        let reversed_targets: Vec<f64> = targets.iter().rev().copied().collect();
        let [mut reversed_members, mut reversed_new] = [held_out.clone(), new.clone()];
        reversed_members.reverse();
        reversed_new.reverse();
        for method in [Plus, MinMax] {
            let wide = predict(&held_out, &targets, &new, method, first.min(second));
            let narrow = predict(&held_out, &targets, &new, method, first.max(second));
            prop_assert!(wide.iter().zip(&narrow).all(|(w, n)| w.low <= n.low && w.high >= n.high));
            let rows = predict(&reversed_rows, &reversed_targets, &new, method, first.min(second));
            prop_assert_eq!(&rows, &wide);
            let members = predict(&reversed_members, &targets, &reversed_new, method, first.min(second));
            prop_assert!(members.iter().zip(&wide).all(|(a, b)| same(a, b)));
        }
    }

    #[test]
    fn the_plus_interval_is_inside_the_minmax_interval(
        (held_out, targets, new) in tables(),
        alpha in 0.02f64..0.98,
    ) {
        let members = held_out.len();
        prop_assume!(held_out.concat().iter().any(|p| !p.is_nan()));
        let predict = |method| {
            let fitted = CrossConformal::fit(&held_out.concat(), members, &targets, Mean, method, alpha);
            fitted.unwrap().predict(&new.concat()).unwrap()
        };
        for (plus, minmax) in predict(Plus).into_iter().zip(predict(MinMax)) {
            prop_assert!(plus.low >= minmax.low - 1e-9 && plus.high <= minmax.high + 1e-9);
        }
    }

    #[test]
    fn a_mask_is_the_same_as_missing_predictions(
        (held_out, targets, new) in tables(),
        alpha in 0.02f64..0.98,
    ) {
        let members = held_out.len();
        let table = held_out.concat();
        prop_assume!(table.iter().any(|p| !p.is_nan()));
        let in_bag: Vec<bool> = table.iter().map(|p| p.is_nan()).collect();
        let full: Vec<f64> = table.iter().map(|p| if p.is_nan() { 1e9 } else { *p }).collect();
        let masked = CrossConformal::after_bootstrap(&full, &in_bag, members, &targets, Median, Plus, alpha);
        let missing = CrossConformal::fit(&table, members, &targets, Median, Plus, alpha).unwrap();
        prop_assert_eq!(&masked.unwrap(), &missing);
        prop_assert!(missing.predict(&new.concat()).is_ok());
    }
}

/// The jackknife+ of three rows by hand.
#[test]
fn each_row_has_a_member_of_its_own() {
    let held_out = [1.0, NOT, NOT, NOT, 2.0, NOT, NOT, NOT, 3.0];
    let targets = [2.0, 4.0, 6.0]; // residuals 1, 2, 3
    let fitted = CrossConformal::fit(&held_out, 3, &targets, Mean, Plus, 0.25).unwrap();
    let found = fitted.predict(&[10.0, 0.0, 11.0, 5.0, 12.0, 0.0]).unwrap();
    // 10 ± 1, 11 ± 2, 12 ± 3; then 0 ± 1, 5 ± 2, 0 ± 3. The first and the last of three.
    assert_eq!(found[0], PredictionInterval { low: 9.0, high: 15.0 });
    assert_eq!(found[1], PredictionInterval { low: -3.0, high: 7.0 });
    let half = CrossConformal::fit(&held_out, 3, &targets, Mean, Plus, 0.5).unwrap();
    assert_eq!(half.predict(&[10.0, 11.0, 12.0]).unwrap()[0], PredictionInterval { low: 9.0, high: 13.0 });
    let few = CrossConformal::fit(&held_out, 3, &targets, Mean, Plus, 0.2).unwrap();
    assert_eq!(few.predict(&[10.0, 11.0, 12.0]).unwrap()[0].width(), f64::INFINITY);
    let few = CrossConformal::fit(&held_out, 3, &targets, Mean, MinMax, 0.2).unwrap();
    assert_eq!(few.predict(&[10.0, 11.0, 12.0]).unwrap()[0].width(), f64::INFINITY);
}

#[test]
fn rows_that_no_member_holds_out_are_left_out() {
    let held_out = [1.0, NOT, 2.0, NOT];
    let fitted = CrossConformal::fit(&held_out, 2, &[4.0, 100.0], Mean, Plus, 0.5).unwrap();
    assert_eq!((fitted.rows(), fitted.quantile()), (1, 2.5));
    assert_eq!(fitted.predict(&[10.0, 20.0]).unwrap()[0], PredictionInterval { low: 12.5, high: 17.5 });
}

#[test]
fn many_new_rows_are_those_of_one_call_for_each() {
    let (members, rows, new) = (3, 200, 150);
    let value = |a: usize, b: usize| ((a * 37 + b * 101) % 89) as f64;
    let held_out: Vec<f64> = (0..members * rows)
        .map(|at| if at % rows % members == at / rows { value(at, 1) } else { NOT })
        .collect();
    let targets: Vec<f64> = (0..rows).map(|row| value(row, 5)).collect();
    let predictions: Vec<f64> = (0..members * new).map(|at| value(at, 3)).collect();
    let fitted = CrossConformal::fit(&held_out, members, &targets, Mean, Plus, 0.1).unwrap();
    let found = fitted.predict(&predictions).unwrap();
    assert_eq!(found.len(), new);
    for (row, interval) in found.iter().enumerate() {
        let column: Vec<f64> = (0..members).map(|member| predictions[member * new + row]).collect();
        assert_eq!(fitted.predict(&column).unwrap(), [*interval]);
    }
    assert!(fitted.predict(&[]).unwrap().is_empty());
}

#[test]
fn bad_tables_are_named() {
    let fit = |held_out: &[f64], members, targets: &[f64]| {
        CrossConformal::fit(held_out, members, targets, Mean, Plus, 0.5).unwrap_err().to_string()
    };
    assert_eq!(fit(&[], 0, &[1.0]), "number of members must be at least 1, but is 0");
    assert_eq!(fit(&[], 1, &[]), "number of calibration rows must be at least 1, but is 0");
    assert_eq!(
        fit(&[1.0; 3], 2, &[1.0, 2.0]),
        "number of held-out predictions must be 2 · 2, one for each member and row, but is 3"
    );
    assert_eq!(fit(&[NOT], 1, &[1.0]), "number of rows that a member holds out must be at least 1, but is 0");
    assert_eq!(
        fit(&[1.0, f64::INFINITY], 1, &[1.0, 2.0]),
        "prediction of member 0 for row 1 must be finite, or NaN where it is missing, but is inf"
    );
    assert!(fit(&[1.0], 1, &[NOT]).contains("target of row 0"));
    let fitted = CrossConformal::fit(&[1.0, 2.0], 2, &[1.0], Mean, Plus, 0.5).unwrap();
    assert!(fitted.predict(&[1.0]).unwrap_err().to_string().contains("a multiple of 2"));
    let error = fitted.predict(&[1.0, 2.0, 3.0, NOT]).unwrap_err().to_string();
    assert_eq!(error, "prediction of member 1 for new row 1 must be finite, but is NaN");
    let masked = |p: &[f64], in_bag: &[bool]| {
        CrossConformal::after_bootstrap(p, in_bag, 1, &[1.0, 2.0], Mean, Plus, 0.5).unwrap_err().to_string()
    };
    assert_eq!(
        masked(&[1.0, NOT], &[true, false]),
        "prediction of member 0 for row 1 must be finite, but is NaN"
    );
    assert!(masked(&[1.0, 2.0], &[true]).contains("length of the in-bag mask"));
}
