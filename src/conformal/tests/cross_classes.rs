//! CV+ for classes against its definition, with sorts and row by row, and against split conformal prediction.
use crate::{
    conformal::{class_score::shares, *},
    Seed,
};
use proptest::prelude::*;

const CLASSES: usize = 3;

/// The probabilities of a member for a row; `None` where it was fitted on the row.
type Cell = Option<Vec<f64>>;

fn table(cells: &[Vec<Cell>]) -> Vec<f64> {
    let cell = |cell: &Cell| cell.clone().unwrap_or_else(|| vec![f64::NAN; CLASSES]);
    cells.iter().flatten().flat_map(cell).collect()
}

fn probabilities() -> impl Strategy<Value = Vec<f64>> {
    // Sixteenths, so that sums and means of up to four are exact.
    prop::collection::vec(0u32..16, CLASSES - 1).prop_map(|mut cuts| {
        cuts.sort_unstable();
        let ends = [cuts.as_slice(), &[16]].concat();
        let mut before = 0;
        let part = |end: &u32| {
            let part = f64::from(end - before) / 16.;
            before = *end;
            part
        };
        ends.iter().map(part).collect()
    })
}

/// Members by rows, labels, and members by new rows.
type Tables = (Vec<Vec<Cell>>, Vec<u32>, Vec<Vec<Vec<f64>>>);

/// Tables of 1, 2 or 4 members.
fn tables() -> impl Strategy<Value = Tables> {
    (prop::sample::select(vec![1usize, 2, 4]), 1usize..40, 0usize..4).prop_flat_map(|(members, rows, new)| {
        let cell = prop::option::of(probabilities());
        (
            prop::collection::vec(prop::collection::vec(cell, rows), members),
            prop::collection::vec(0..CLASSES as u32, rows),
            prop::collection::vec(prop::collection::vec(probabilities(), new), members),
        )
    })
}

fn scores() -> impl Strategy<Value = ClassScore> {
    let raps = (0.0f64..0.5, 0usize..3).prop_map(|(lambda, k_reg)| ClassScore::Raps { lambda, k_reg });
    prop_oneof![Just(ClassScore::Lac), Just(ClassScore::Aps), raps]
}

fn mean(of: &[&Vec<f64>]) -> Vec<f64> {
    (0..CLASSES).map(|c| of.iter().map(|p| p[c]).sum::<f64>() / of.len() as f64).collect()
}

/// The score of a class by its definition.
fn score_of(score: ClassScore, p: &[f64], class: usize, u: f64) -> f64 {
    let before = |other: usize| p[other] > p[class] || (p[other] == p[class] && other < class);
    let more: f64 = {
        let mut more: Vec<f64> = (0..CLASSES).filter(|c| before(*c)).map(|c| p[c]).collect();
        more.sort_by(|a, b| b.total_cmp(a));
        more.iter().sum()
    };
    let rank = 1 + (0..CLASSES).filter(|c| before(*c)).count();
    match score {
        ClassScore::Lac => 1. - p[class],
        ClassScore::Aps => more + u * p[class],
        ClassScore::Raps { lambda, k_reg } => {
            more + u * p[class] + lambda * rank.saturating_sub(k_reg) as f64
        }
    }
}

fn new_table(new: &[Vec<Vec<f64>>]) -> Vec<f64> {
    new.iter().flatten().flatten().copied().collect()
}

proptest! {
    #[test]
    fn sets_follow_the_definition(
        (held_out, labels, new) in tables(), score in scores(), percent in 1u32..100, seed in prop::option::of(0u64..9),
    ) {
        prop_assume!(held_out.iter().flatten().any(Option::is_some));
        let (alpha, members, seed) = (f64::from(percent) / 100., held_out.len(), seed.map(Seed::from));
        let fitted =
            CrossClassConformal::fit(score, &table(&held_out), members, CLASSES, &labels, alpha, seed).unwrap();
        let (u, u_new) = (shares(labels.len(), seed, "calibration rows"), shares(new[0].len(), seed, "new rows"));
        let sets = fitted.predict(&new_table(&new), EmptySets::Keep, seed).unwrap();
        let filled = fitted.predict(&new_table(&new), EmptySets::MostProbable, seed).unwrap();
        for (row, (set, filled)) in sets.iter().zip(filled.iter()).enumerate() {
            for class in 0..CLASSES {
                let (mut lower, mut rows) = (0, 0);
                for (i, label) in labels.iter().enumerate() {
                    let out: Vec<usize> = (0..members).filter(|m| held_out[*m][i].is_some()).collect();
                    if out.is_empty() {
                        continue;
                    }
                    let own = mean(&out.iter().map(|m| held_out[*m][i].as_ref().unwrap()).collect::<Vec<_>>());
                    let here = mean(&out.iter().map(|m| &new[*m][row]).collect::<Vec<_>>());
                    let (e, s) =
                        (score_of(score, &own, *label as usize, u[i]), score_of(score, &here, class, u_new[row]));
                    lower += usize::from(e < s);
                    rows += 1;
                }
                prop_assert_eq!(fitted.rows(), rows);
                // (1 − α)(n + 1) in whole hundredths.
                let inside = 100 * lower < (100 - percent as usize) * (rows + 1);
                prop_assert_eq!(set[class], inside, "class {} of row {}", class, row);
                prop_assert!(filled[class] >= set[class] && filled.contains(&true));
            }
        }
    }

    /// With one member that was fitted on other rows.
    #[test]
    fn one_member_gives_the_sets_of_split_conformal_prediction(
        rows in prop::collection::vec((probabilities(), 0..CLASSES as u32), 1..40),
        new in prop::collection::vec(probabilities(), 1..5),
        score in scores(), alpha in 0.02f64..0.98, seed in prop::option::of(0u64..9),
    ) {
        let (p, labels): (Vec<_>, Vec<u32>) = rows.into_iter().unzip();
        let (p, new, seed) = (p.concat(), new.concat(), seed.map(Seed::from));
        let cross = CrossClassConformal::fit(score, &p, 1, CLASSES, &labels, alpha, seed).unwrap();
        let [own, other] = [&p, &new].map(|p| ClassProbabilities::new(p, CLASSES).unwrap());
        let split = ClassConformal::fit(score, &own, &labels, Condition::Marginal, alpha, seed).unwrap();
        for empty in [EmptySets::Keep, EmptySets::MostProbable] {
            let sets = cross.predict(&new, empty, seed).unwrap();
            prop_assert_eq!(sets, split.predict(&other, None, empty, seed).unwrap());
        }
    }

    #[test]
    fn sets_shrink_with_alpha_and_ignore_the_order_of_rows_and_members(
        (held_out, labels, new) in tables(), score in scores(), first in 0.02f64..0.98, second in 0.02f64..0.98,
    ) {
        prop_assume!(held_out.iter().flatten().any(Option::is_some));
        let predict = |held_out: &[Vec<Cell>], labels: &[u32], new: &[Vec<Vec<f64>>], alpha| {
            let members = held_out.len();
            let fitted =
                CrossClassConformal::fit(score, &table(held_out), members, CLASSES, labels, alpha, None).unwrap();
            fitted.predict(&new_table(new), EmptySets::Keep, None).unwrap()
        };
        let large = predict(&held_out, &labels, &new, first.min(second));
        let small = predict(&held_out, &labels, &new, first.max(second));
        prop_assert!(small.as_slice().iter().zip(large.as_slice()).all(|(s, l)| !s | l));
        let turned: Vec<Vec<Cell>> =
            held_out.iter().rev().map(|rows| rows.iter().rev().cloned().collect()).collect();
        let (turned_labels, turned_new): (Vec<u32>, Vec<_>) =
            (labels.iter().rev().copied().collect(), new.iter().rev().cloned().collect());
        prop_assert_eq!(predict(&turned, &turned_labels, &turned_new, first.min(second)), large);
    }
}

/// Three rows, of which row 2 is out of the bag of members 0 and 1. The scores of LAC are 1/4, 1/2 and 3/8.
#[test]
fn after_the_bootstrap_by_hand() {
    let not = [f64::NAN; 2];
    let held_out = [[0.75, 0.25], not, [0.5, 0.5], not, [0.5, 0.5], [0.75, 0.25], not, not, not].concat();
    let fit =
        |alpha| CrossClassConformal::fit(ClassScore::Lac, &held_out, 3, 2, &[0, 1, 0], alpha, None).unwrap();
    // Class 0 has the scores 1/8 (member 0), 5/8 (member 1) and 3/8 (their mean); class 1 has 7/8, 3/8 and 5/8.
    let new = [[0.875, 0.125], [0.375, 0.625], [0.5, 0.5]].concat();
    let classes = |alpha| {
        let sets = fit(alpha).predict(&new, EmptySets::Keep, None).unwrap();
        sets.classes_of(0).collect::<Vec<_>>()
    };
    // Of class 0 one row has a lower score (row 1: 1/2 < 5/8), of class 1 two have (rows 0 and 2).
    assert_eq!(classes(0.2), [0, 1]); // 2 < 3.2
    assert_eq!(classes(0.5), [0]); // 1 < 2, and not 2 < 2
    assert!(classes(0.8).is_empty()); // not 1 < 0.8
    let filled = fit(0.8).predict(&new, EmptySets::MostProbable, None).unwrap();
    assert_eq!(filled.classes_of(0).collect::<Vec<_>>(), [0]);
    assert_eq!(
        classes(0.2),
        fit(0.2).predict(&new, EmptySets::Keep, None).unwrap().classes_of(0).collect::<Vec<_>>()
    );
    assert_eq!((fit(0.2).rows(), fit(0.2).score()), (3, ClassScore::Lac));
}

#[test]
fn what_does_not_fit_is_named() {
    let p = [0.75, 0.25, 0.5, 0.5];
    let fit = |p: &[f64], members, labels: &[u32]| {
        CrossClassConformal::fit(ClassScore::Lac, p, members, 2, labels, 0.4, None).map_err(|e| e.to_string())
    };
    assert_eq!(fit(&p, 0, &[0, 1]).unwrap_err(), "number of members must be at least 1, but is 0");
    assert_eq!(
        fit(&p, 2, &[0, 1]).unwrap_err(),
        "number of held-out probabilities must be 2 · 2 · 2, for each member, row and class, but is 4"
    );
    assert!(fit(&p, 1, &[0, 2]).unwrap_err().contains("label of row 1 must be below 2"));
    assert!(fit(&[0.75, 0.5, 0.5, 0.5], 1, &[0, 1])
        .unwrap_err()
        .contains("sum of the probabilities of row 0"));
    let missing = fit(&[f64::NAN; 4], 1, &[0, 1]).unwrap_err();
    assert_eq!(missing, "number of rows that a member holds out must be at least 1, but is 0");
    assert!(fit(&[f64::NAN, 1., 0.5, 0.5], 1, &[0, 1]).is_err());
    let fitted = fit(&p, 1, &[0, 1]).unwrap();
    let error = |p: &[f64], seed| fitted.predict(p, EmptySets::Keep, seed).unwrap_err().to_string();
    assert!(error(&[0.5; 3], None).contains("a multiple of 1 · 2"));
    assert!(error(&[0.5, f64::NAN], None).contains("probability in row 0"));
    assert!(error(&[0.5; 2], Some(Seed::from(1))).contains("left out, as the fit had none"));
    // Too few rows for a guarantee: every class is in the set.
    let few = CrossClassConformal::fit(ClassScore::Aps, &p, 1, 2, &[0, 1], 0.1, None).unwrap();
    assert_eq!(few.predict(&[0.99, 0.01], EmptySets::Keep, None).unwrap().sizes(), [2]);
}
