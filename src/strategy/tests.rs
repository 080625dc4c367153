//! Plans of every strategy: their rows as rules, in files, and of data of several blocks.
use super::*;
use crate::{
    codec,
    data::{RowBitmap, Split},
    resample::{
        planned::tests::{consistent, stub, Stub, ROWS, UNITS},
        Folds, PlannedRows, Resample, ResampleUnit,
    },
    Rows,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Plans of every rule.
fn plans(data: &Stub, runs: usize, seed: u64) -> Vec<Plan> {
    let plan =
        |builder: &dyn EnsembleBuilder| builder.plan(data, &["a".into(), "b".into()], Seed::from(seed));
    let all: [&dyn EnsembleBuilder; 7] = [
        &MultiRun::new(runs),
        &Bagging::new(runs),
        &Bagging::new(runs).size(0.5).validation(0.3),
        &KFold::new(2).refit(true),
        &KFold::new(3).validation(0.25),
        &RandomSplit::new(runs, 0.5),
        &ForwardChaining::new(2).gap(1),
    ];
    // Strata can be too small in a sample for rows to watch, which is refused.
    let mut plans: Vec<Plan> = all.iter().filter_map(|builder| plan(*builder).ok()).collect();
    assert!(plans.len() >= 5, "{} plans", plans.len());
    let reserving: Vec<Plan> = plans.iter().flat_map(|plan| plan.clone().reserve(0.2, data, seed)).collect();
    plans.extend(reserving);
    plans
}

/// The rows to train on and to watch, as they were drawn before there were rules.
fn watched_before(data: &Stub, train: &[u32], share: f64, seed: Seed) -> (Rows, Rows) {
    let distinct: Rows = train.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect();
    let of = |ids: &[u32]| distinct.iter().map(|row| ids[*row as usize]).collect::<Vec<_>>();
    let split = match (&data.groups, &data.strata) {
        (Some(groups), _) => Split::grouped(&of(groups), share, seed),
        (_, Some(strata)) => Split::stratified(&of(strata), share, seed),
        _ => Split::random(distinct.len(), share, seed),
    };
    let valid: Rows = split.unwrap().test.iter().map(|at| distinct[*at as usize]).collect();
    (train.iter().copied().filter(|row| !valid.contains(row)).collect(), valid)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn validation_and_reserved_rows_of_one_block_are_those_of_before(rows in 30usize..90, ids in 2u32..7, seed: u64) {
        let own = Seed::from(seed);
        for unit in UNITS {
            let data = stub(rows, unit, |row| row * 7919 % ids);
            for (number, plain) in [Bagging::new(2), Bagging::new(2).rows(25)].iter().enumerate() {
                let of = |builder: &Bagging| builder.plan(&data, &["a".into()], own);
                let (plain, watching) = (of(plain)?, match number {
                    0 => of(&Bagging::new(2).validation(0.5)),
                    _ => of(&Bagging::new(2).rows(25).validation(0.5)),
                });
                // Of one group only, nothing can be watched.
                let Ok(watching) = watching else { continue };
                let reserved = Split::of(&data, 0.2, own.child("reserve"))?.test;
                let reserving = watching.clone().reserve(0.2, &data, own);
                for (run, (plain, watching)) in plain.runs.iter().zip(&watching.runs).enumerate() {
                    let seed = plain.seed.child("validation");
                    let (train, valid) = watched_before(&data, &plain.train.to_vec()?, 0.5, seed);
                    prop_assert_eq!(&consistent(&watching.train, rows as u32), &train);
                    prop_assert_eq!(&consistent(&watching.valid, rows as u32), &valid);
                    let Ok(reserving) = &reserving else { continue };
                    let kept = |of: &[u32]| of.iter().copied().filter(|row| !reserved.contains(row)).collect::<Rows>();
                    prop_assert_eq!(consistent(&reserving.reserved, rows as u32), reserved.clone());
                    prop_assert_eq!(consistent(&reserving.runs[run].train, rows as u32), kept(&train));
                    prop_assert_eq!(consistent(&reserving.runs[run].valid, rows as u32), kept(&valid));
                }
            }
        }
    }

    #[test]
    fn plans_are_read_back_equal_and_bound_to_their_data(rows in 40usize..80, seed: u64) {
        for unit in UNITS {
            let data = stub(rows, unit, |row| row % 13);
            for plan in plans(&data, 2, seed) {
                plan.check(&data)?;
                let bytes = codec::encode(&plan)?;
                let read: Plan = codec::decode(&bytes).unwrap();
                prop_assert_eq!(&read, &plan);
                prop_assert_eq!(codec::encode(&read)?, bytes);
                let bound = read.clone().bind(&data)?;
                prop_assert_eq!(&bound, &plan);
                let lists = |plan: &Plan| -> Result<Vec<Rows>> {
                    plan.runs.iter().flat_map(|run| [&run.train, &run.valid, &run.excluded]).map(PlannedRows::to_vec).collect()
                };
                prop_assert_eq!(lists(&bound)?, lists(&plan)?);
                if let Err(e) = lists(&read) {
                    prop_assert!(unit != ResampleUnit::Rows);
                    prop_assert!(e.to_string().contains("must be bound to its data (Plan::bind)"), "{}", e);
                }
                // Other strata or groups under the same fingerprint are noticed.
                let other = stub(rows, unit, |row| row % 12);
                prop_assert!(unit == ResampleUnit::Rows || lists(&read).is_ok() || read.bind(&other).is_err());
            }
        }
    }
}

#[test]
fn a_plan_takes_a_few_hundred_bytes_a_run_and_keys_differ() {
    for unit in [ResampleUnit::Rows, ResampleUnit::Strata] {
        let data = stub(200_000, unit, |row| row % 3);
        for plan in plans(&data, 50, 1) {
            let bytes = codec::encode(&plan).unwrap().len() / plan.runs.len();
            assert!(bytes < 600, "{bytes}");
            let keys: BTreeSet<String> =
                plan.runs.iter().map(|run| plan.key(run, "", "", 0).unwrap()[6..].to_string()).collect();
            assert_eq!(keys.len(), plan.runs.len());
            for change in 0..4 {
                let mut run = plan.runs[0].clone();
                match change {
                    0 => run.train = (0..7).into(),
                    1 => run.valid = vec![3].into(),
                    2 => run.excluded = vec![3, 4].into(),
                    _ => run.seed = Seed::from(1),
                }
                assert_ne!(plan.key(&run, "", "", 0).unwrap(), plan.key(&plan.runs[0], "", "", 0).unwrap());
            }
        }
    }
}

#[test]
fn rules_of_several_blocks_are_consistent_and_partition_the_rows() {
    for unit in UNITS {
        // Strata of 3 sizes, one of them larger than a block; groups of 1 to 40 rows.
        let data = stub(ROWS, unit, |row| match unit {
            ResampleUnit::Groups => row / (1 + row % 40),
            _ => [0, 0, 0, 0, 1, 1, 2][row as usize % 7],
        });
        let rows = ROWS as u32;
        for plan in plans(&data, 2, 9) {
            plan.check(&data).unwrap();
            let reserved: BTreeSet<u32> = consistent(&plan.reserved, rows).into_iter().collect();
            for run in plan.runs.iter().take(plan.runs.len() / 2).step_by(2) {
                let (train, valid) = (consistent(&run.train, rows), consistent(&run.valid, rows));
                let watched: BTreeSet<u32> = valid.iter().copied().collect();
                assert_eq!(watched.len(), valid.len(), "each once");
                assert!(train.iter().all(|row| !watched.contains(row) && !reserved.contains(row)));
                assert!(watched.is_disjoint(&reserved));
                let excluded = consistent(&run.excluded, rows);
                let seen: RowBitmap = train.iter().chain(&valid).chain(&excluded).collect();
                assert_eq!(run.seen().unwrap(), seen);
                if let (ResampleUnit::Groups, Some(groups)) = (unit, data.groups()) {
                    let of =
                        |rows: &[u32]| rows.iter().map(|row| groups[*row as usize]).collect::<BTreeSet<_>>();
                    assert!(of(&train).is_disjoint(&of(&valid)));
                }
            }
        }
        let folds = Folds { k: 5, repeats: 1, unit: None, refit: false }.draw(&data, Seed::from(3)).unwrap();
        let mut held_out = vec![0; ROWS];
        for fold in &folds {
            let train = consistent(&fold.train, rows);
            fold.train.bitmap().unwrap().complement(ROWS).iter().for_each(|row| held_out[row as usize] += 1);
            if unit != ResampleUnit::Groups {
                let more = usize::from(ROWS - train.len() == ROWS.div_ceil(5));
                assert_eq!(ROWS - train.len(), ROWS / 5 + more);
            }
        }
        assert!(held_out.iter().all(|count| *count == 1), "each row is held out once");
    }
}
