//! What every strategy and every rule must do, on every kind of task. The strategies are in `builders.rs`, the
//! rules in `rules.rs`: a new one is a row there, and faces everything here.
mod builders;
mod problems;
mod rules;

use crate::common::{bits, bytes, distance, flat, weights, Tally, CPU};
use builders::{Builder, BUILDERS};
use candle_core::Tensor;
use candle_ensemble::{
    data::{Dataset, TensorDataset},
    exec::{Executor, Sequential, Threads},
    merge::{best_of, Alignment, BestOf, GreedySoup, MaxBarrier, MergeSpec},
    plan::Plan,
    store::{MemoryStore, Store},
    strategy::EnsembleBuilder,
    train::Trainer,
    weights::RunWeights,
    Error, HeldOut, Member, Pool, Result, Seed, Session,
};
use problems::{Net, Problem, EPOCHS, ROWS};
use rules::{Predictor, Rule, RULES};
use std::collections::BTreeSet;

/// One strategy on one kind of task.
struct Case {
    name: String,
    problem: Problem,
    builder: Box<dyn EnsembleBuilder>,
    members: usize,
    learner: Trainer<Net>,
    data: TensorDataset,
}

impl Case {
    fn new(builder: &Builder, problem: Problem) -> Self {
        Self {
            name: format!("{} on {problem:?}", builder.name),
            problem,
            builder: (builder.make)(),
            members: builder.members,
            learner: problem.learner(),
            data: problem.data(),
        }
    }

    fn session(&self) -> Session<'_, Trainer<Net>> {
        Session::new(&self.learner, &self.data).executor(&Sequential)
    }

    fn plan(&self) -> Plan {
        self.session().plan(&*self.builder, 42).unwrap()
    }

    /// The plan, with rows kept back for rules that learn.
    fn reserving(&self) -> Plan {
        self.plan().reserve(0.4, &self.data, Seed::from(7)).unwrap()
    }

    fn pool(&self, plan: &Plan) -> Pool<'_, Trainer<Net>> {
        self.session().train(plan).unwrap()
    }

    /// What a rule makes of these members; nothing is trained.
    fn combined(&self, plan: &Plan, members: &[Member], rule: &Rule) -> Result<Box<dyn Predictor>> {
        let (store, tally) = (MemoryStore::new(), Tally::new());
        members.iter().for_each(|member| store.put(member.clone()).unwrap());
        let pool = self.session().store(&store).observer(&tally).train(plan)?;
        assert_eq!(tally.started(), 0, "{}", self.name);
        (rule.combine)(pool)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    BUILDERS.iter().flat_map(|builder| Problem::ALL.map(|problem| Case::new(builder, problem)))
}

/// The rules that go with the case's task.
fn rules(case: &Case) -> impl Iterator<Item = &'static Rule> + '_ {
    RULES.iter().filter(|rule| rule.problems.contains(&case.problem))
}

/// For each case and each rule that goes with it: the ensemble, which has rows kept back.
fn each_ensemble(check: impl Fn(&str, &Case, Box<dyn Predictor>)) {
    for case in cases() {
        let plan = case.reserving();
        let members = case.pool(&plan).members().to_vec();
        for rule in rules(&case) {
            let name = format!("{} by {}", case.name, rule.name);
            let ensemble = case.combined(&plan, &members, rule).unwrap_or_else(|e| panic!("{name}: {e}"));
            check(&name, &case, ensemble);
        }
    }
}

// ---- Plans.

fn members(plan: &Plan) -> usize {
    plan.runs.iter().map(|run| run.collect.members(EPOCHS) as usize).sum()
}

#[test]
fn a_plan_is_a_function_of_its_arguments_and_nothing_else() {
    for case in cases() {
        let plan = case.plan();
        assert_eq!(plan, case.plan(), "{}", case.name);
        assert_ne!(plan, case.session().plan(&*case.builder, 43).unwrap(), "{}", case.name);
        let by_hand = case.builder.plan(&case.data, &["model".into()], Seed::from(42)).unwrap();
        assert_eq!(plan, by_hand, "{}", case.name);

        plan.check(&case.data).unwrap();
        assert_eq!(members(&plan), case.members, "{}", case.name);
        let mut seeds: Vec<_> = plan.runs.iter().map(|run| format!("{:?}", run.seed)).collect();
        seeds.sort();
        seeds.dedup();
        assert_eq!(seeds.len(), plan.runs.len(), "{}: two runs share a seed", case.name);
        assert!(!case.builder.name().is_empty());
    }
}

#[test]
fn every_architecture_gets_the_whole_strategy() {
    for case in cases() {
        let names = ["small".to_string(), "large".into()];
        let plan = case.builder.plan(&case.data, &names, Seed::from(42)).unwrap();
        plan.check(&case.data).unwrap();
        assert_eq!(members(&plan), 2 * case.members, "{}", case.name);
        for name in &names {
            let of_it = plan.runs.iter().filter(|run| run.architecture == *name);
            let members: usize = of_it.map(|run| run.collect.members(EPOCHS)).sum();
            assert_eq!(members as usize, case.members, "{}", case.name);
        }
        let slots = |name: &str| -> Vec<usize> {
            plan.runs.iter().filter(|run| run.architecture == name).map(|run| run.slot).collect()
        };
        assert!(slots("small").iter().all(|slot| !slots("large").contains(slot)), "{}", case.name);
        let none = case.builder.plan(&case.data, &[], Seed::from(42)).unwrap_err().to_string();
        assert!(none.contains("architecture"), "{none}");
    }
}

#[test]
fn plans_survive_json_and_train_to_the_same_bytes() {
    for case in cases() {
        let plan = case.reserving();
        let json = serde_json::to_string(&plan).unwrap();
        let back: Plan = serde_json::from_str(&json).unwrap();
        assert_eq!(back, plan, "{}", case.name);
        assert_eq!(bytes(case.pool(&back).members()), bytes(case.pool(&plan).members()), "{}", case.name);
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    for builder in BUILDERS {
        for (make, name) in builder.bad {
            for problem in Problem::ALL {
                let (learner, data) = (problem.learner(), problem.data());
                let e = Session::new(&learner, &data).fit(&*make(), 1).err().unwrap();
                let e = match e {
                    Error::Run { source, .. } => *source,
                    e => e,
                };
                assert!(matches!(e, Error::Invalid { .. }), "{}: {e:?}", builder.name);
                assert!(e.to_string().contains(name), "{}: {e:?} does not name {name}", builder.name);
            }
        }
    }
}

// ---- Members.

#[test]
fn where_runs_happen_changes_no_bit() {
    let threads = [1, 2, 8].map(|workers| Threads::new(workers).unwrap());
    for case in cases() {
        let plan = case.reserving();
        let expected = case.pool(&plan).members().to_vec();
        let says = |members: &[Member], rule: &Rule| {
            let ensemble = case.combined(&plan, members, rule).unwrap();
            bits(&ensemble.predict(case.data.inputs()).unwrap())
        };
        for executor in &threads {
            let pool = case.session().executor(executor as &dyn Executor).train(&plan).unwrap();
            let name = format!("{} on {} threads", case.name, executor.workers());
            assert_eq!(bytes(pool.members()), bytes(&expected), "{name}");
            for rule in rules(&case) {
                let (got, expected) = (says(pool.members(), rule), says(&expected, rule));
                assert_eq!(got, expected, "{name}, by {}", rule.name);
            }
        }
        let other = case.session().fit(&*case.builder, 43).unwrap();
        let same = other.members().iter().zip(&expected).filter(|(a, b)| weights(a) == weights(b));
        assert_eq!(same.count(), 0, "{}: another seed gives other weights", case.name);
    }
}

#[test]
fn members_come_back_from_bytes() {
    for case in cases() {
        let plan = case.reserving();
        let members = case.pool(&plan).members().to_vec();
        let back: Vec<_> =
            members.iter().map(|m| Member::from_bytes(&m.to_bytes().unwrap()).unwrap()).collect();
        for rule in rules(&case) {
            let says = |members: &[Member]| {
                let ensemble = case.combined(&plan, members, rule).unwrap();
                bits(&ensemble.forward(case.data.inputs()).unwrap())
            };
            assert_eq!(says(&back), says(&members), "{} by {}", case.name, rule.name);
        }
    }
}

#[test]
fn what_is_in_the_store_is_not_trained_again() {
    for case in cases() {
        let plan = case.plan();
        let (store, tally) = (MemoryStore::new(), Tally::new());
        let session = case.session().store(&store).observer(&tally);
        let first = bytes(session.train(&plan).unwrap().members());
        assert_eq!(tally.started(), plan.runs.len(), "{}", case.name);
        let again = bytes(session.train(&plan).unwrap().members());
        assert_eq!(tally.started(), plan.runs.len(), "{}", case.name);
        assert_eq!(first, again);
        let other = case.session().plan(&*case.builder, 43).unwrap();
        session.train(&other).unwrap();
        assert_eq!(tally.started(), 2 * plan.runs.len(), "{}: another plan is another thing", case.name);
    }
}

#[test]
fn a_cancelled_build_goes_on_to_the_same_bytes() {
    let two = Threads::new(2).unwrap();
    for case in cases().filter(|case| case.problem != Problem::Binary) {
        let plan = case.plan();
        let expected = bytes(case.pool(&plan).members());
        let stops = [("build started", 0), ("run started", 1), ("epoch", EPOCHS as usize + 1), ("member", 0)];
        let stops = stops.into_iter().chain([("run finished", 0), ("build finished", 0)]);
        // A plan of one run has no second that could start, and not many epochs.
        let epochs = plan.runs.len() * EPOCHS as usize;
        let stops = stops.filter(|(kind, at)| match *kind {
            "run started" => *at < plan.runs.len(),
            "epoch" => *at < epochs,
            _ => true,
        });
        for ((kind, at), executor) in stops.flat_map(|s| [(s, &Sequential as &dyn Executor), (s, &two)]) {
            let name = format!("{}, stopped at {kind}", case.name);
            let (store, stopper) = (MemoryStore::new(), Tally::stopping(kind, at));
            let session = case.session().store(&store).executor(executor);
            let stopped = session.clone().observer(&stopper).train(&plan).map(|_| ());
            let Err(Error::Cancelled { done, of }) = stopped else { panic!("{name}: {stopped:?}") };
            assert_eq!(of, plan.runs.len(), "{name}");
            let tally = Tally::new();
            let pool = session.observer(&tally).train(&plan).unwrap();
            assert_eq!(tally.started(), of - done, "{name}: what is done is not done again, the rest is");
            assert_eq!(bytes(pool.members()), expected, "{name}");
        }
    }
}

// ---- Held-out predictions.

/// Which slot predicts which row, by the plan: it does where one of its runs had the row neither to train
/// on nor to watch.
fn covered(plan: &Plan) -> Vec<Vec<bool>> {
    // Each member of a run has a slot of its own.
    let each = plan.runs[0].collect.members(EPOCHS);
    let slots = (plan.runs.iter().map(|run| run.slot).max().unwrap() + 1) * each;
    let predicts = |slot, row| {
        let mut runs = plan.runs.iter().filter(|run| run.slot == slot / each);
        runs.any(|run| ![&run.train, &run.valid, &run.excluded].iter().any(|rows| rows.contains(&row)))
    };
    (0..slots).map(|slot| (0..ROWS as u32).map(|row| predicts(slot, row)).collect()).collect()
}

/// What each slot predict for a row in held-out predictions, as bits; `None` where it may not predict.
fn predicted(held_out: &HeldOut, row: u32) -> Vec<Option<Vec<u64>>> {
    let Ok(at) = held_out.rows().binary_search(&row) else { return vec![] };
    let predictions = held_out.predictions();
    let predicts: Vec<Vec<f32>> = predictions.covered().unwrap().to_vec2().unwrap();
    let of = |slot: usize| bits(&predictions.values().get(slot).unwrap().get(at).unwrap());
    (0..predictions.slots()).map(|slot| (predicts[slot][at] > 0.).then(|| of(slot))).collect()
}

#[test]
fn held_out_rows_are_those_no_member_of_the_slot_has_seen() {
    for case in cases() {
        for plan in [case.plan(), case.reserving()] {
            let pool = case.pool(&plan);
            let predicts = covered(&plan);
            for member in pool.members() {
                let run = &plan.runs[member.record.run as usize];
                let known =
                    |row: &u32| [&run.train, &run.valid, &run.excluded].iter().any(|rows| rows.contains(row));
                let known: Vec<u32> = (0..ROWS as u32).filter(known).collect();
                assert_eq!(member.record.seen, known, "{}", case.name);
            }
            let rows: Vec<u32> =
                (0..ROWS as u32).filter(|row| predicts.iter().any(|slot| slot[*row as usize])).collect();
            let held_out = match pool.held_out() {
                Ok(held_out) => held_out,
                Err(e) => {
                    assert!(matches!(e, Error::HeldOut { .. }), "{}: {e:?}", case.name);
                    assert!(rows.is_empty(), "{}: {rows:?}", case.name);
                    continue;
                }
            };
            assert_eq!(held_out.rows(), rows, "{}", case.name);
            assert_eq!(held_out.total_rows(), ROWS);
            assert_eq!(pool.slots(), predicts.len());
            for row in &rows {
                let predicted = predicted(&held_out, *row);
                assert!(predicted
                    .iter()
                    .zip(&predicts)
                    .all(|(predicted, predicts)| predicted.is_some() == predicts[*row as usize]));
            }
            let targets = case.data.batch(&rows, &CPU).unwrap().targets;
            assert_eq!(bits(held_out.targets()), bits(&targets), "{}", case.name);

            // A slot of one member predict for held-out rows what it says of any rows.
            let everywhere = pool.predictions(case.data.inputs()).unwrap();
            for (slot, predicts) in predicts.iter().enumerate() {
                if pool.members().iter().filter(|m| m.record.slot as usize == slot).count() > 1 {
                    continue;
                }
                for (at, row) in rows.iter().enumerate().filter(|(_, row)| predicts[**row as usize]) {
                    let here = held_out.predictions().values().get(slot).unwrap().get(at).unwrap();
                    let there = everywhere.values().get(slot).unwrap().get(*row as usize).unwrap();
                    assert!(distance(&here, &there) < 1e-6, "{}, slot {slot}, row {row}", case.name);
                }
            }
        }
    }
}

#[test]
fn the_target_of_a_row_changes_nothing_in_what_is_said_of_it_held_out() {
    for case in cases() {
        for plan in [case.plan(), case.reserving()] {
            let pool = case.pool(&plan);
            let predicts = covered(&plan);
            let seen_by = |row: u32| predicts.iter().filter(|slot| !slot[row as usize]).count();
            // A row of each kind: seen by all slots, by none, by some.
            let kinds = [predicts.len()..predicts.len() + 1, 0..1, 1..predicts.len()];
            let rows = kinds.map(|seen| (0..ROWS as u32).find(|row| seen.contains(&seen_by(*row))));
            for row in rows.into_iter().flatten() {
                let name = format!("{}, row {row}", case.name);
                let data = case.problem.with_other_target(row);
                let plan = Plan { data: data.fingerprint(), ..plan.clone() };
                let other = Session::new(&case.learner, &data).train(&plan).unwrap();

                if let (Ok(before), Ok(after)) = (pool.held_out(), other.held_out()) {
                    assert_eq!(predicted(&before, row), predicted(&after, row), "{name}");
                    assert_eq!(predicted(&before, row).is_empty(), seen_by(row) == predicts.len(), "{name}");
                }
                for (before, after) in pool.members().iter().zip(other.members()) {
                    let run = &plan.runs[before.record.run as usize];
                    let trained = run.train.contains(&row);
                    assert_eq!(weights(before) != weights(after), trained, "{name}, run {}", run.id);
                }
            }
        }
    }
}

#[test]
fn the_targets_of_held_out_rows_reach_rules_that_learn_and_no_others() {
    // A rule that chooses among members may choose the same for all that one target says, but not every time.
    let mut reached = BTreeSet::new();
    for case in cases() {
        let plan = case.reserving();
        // The last: to a run that looks ahead, early rows are barred though it was not fitted on them.
        let row = *plan.reserved.last().unwrap();
        let data = case.problem.with_other_target(row);
        let moved = Plan { data: data.fingerprint(), ..plan.clone() };
        for rule in rules(&case) {
            let before = (rule.combine)(case.pool(&plan)).unwrap();
            let after = (rule.combine)(Session::new(&case.learner, &data).train(&moved).unwrap()).unwrap();
            let says = |e: &dyn Predictor| bits(&e.forward(data.inputs()).unwrap());
            if says(&*before) != says(&*after) {
                assert!(rule.learns, "{} by {}", case.name, rule.name);
                reached.insert(rule.name);
            }
        }
    }
    let learning: BTreeSet<_> = RULES.iter().filter(|rule| rule.learns).map(|rule| rule.name).collect();
    assert_eq!(reached, learning);
}

#[test]
fn rules_that_learn_refuse_members_that_have_seen_every_row() {
    for case in cases() {
        let mut plan = case.plan();
        for run in &mut plan.runs {
            run.train = (0..ROWS as u32).collect();
            run.valid.clear();
        }
        let members = case.pool(&plan).members().to_vec();
        for rule in rules(&case) {
            let outcome = case.combined(&plan, &members, rule);
            match (rule.learns, outcome) {
                (false, Ok(_)) => {}
                (true, Err(e @ Error::HeldOut { have: 0, rows: ROWS, .. })) => {
                    assert!(e.to_string().contains("Plan::reserve"), "{e}");
                }
                (_, outcome) => panic!("{} by {}: {:?}", case.name, rule.name, outcome.map(|e| e.name())),
            }
        }
    }
}

// ---- Ensembles.

#[test]
fn every_rule_follows_every_strategy_once_rows_are_kept_back() {
    each_ensemble(|name, case, ensemble| {
        let x = case.data.inputs();
        let predicted = ensemble.predict(x).unwrap();
        let slots = ensemble.member_predictions(x).unwrap();
        assert_eq!(slots.dims()[1..], [ROWS, if case.problem == Problem::Classes { 3 } else { 2 }], "{name}");
        match case.problem.is_classification() {
            true => assert_eq!(predicted.dims(), [ROWS], "{name}"),
            false => assert_eq!(predicted.dims(), [ROWS, 2], "{name}"),
        }
        assert!(flat(&predicted).iter().all(|x| x.is_finite()), "{name}");
    });
}

#[test]
fn rules_refuse_tasks_that_they_cannot_do() {
    for case in cases() {
        let plan = case.reserving();
        for rule in RULES.iter().filter(|rule| !rule.problems.contains(&case.problem)) {
            let outcome: Result<Tensor> =
                (rule.combine)(case.pool(&plan)).and_then(|e| e.predict(case.data.inputs()));
            let e = outcome.map(|_| rule.name).unwrap_err().to_string();
            assert!(
                e.contains("for classes") || e.contains("for values"),
                "{} by {}: {e}",
                case.name,
                rule.name
            );
        }
    }
}

#[test]
fn probabilities_sum_to_one_and_forward_is_their_logarithm() {
    each_ensemble(|name, case, ensemble| {
        let x = case.data.inputs();
        if !case.problem.is_classification() {
            assert!(ensemble.predict_proba(x).unwrap_err().to_string().contains("classes"), "{name}");
            let (predicted, forward) = (ensemble.predict(x).unwrap(), ensemble.forward(x).unwrap());
            assert_eq!(bits(&predicted), bits(&forward), "{name}");
            return;
        }
        let p = ensemble.predict_proba(x).unwrap();
        let classes = case.data.classes().unwrap();
        assert_eq!(p.dims(), [ROWS, classes], "{name}");
        let (p, logs) = (flat(&p), flat(&ensemble.forward(x).unwrap()));
        let winners: Vec<u32> = ensemble.predict(x).unwrap().to_vec1().unwrap();
        for ((row, logs), winner) in p.chunks(classes).zip(logs.chunks(classes)).zip(winners) {
            assert!((row.iter().sum::<f64>() - 1.).abs() < 1e-5, "{name}: {row:?}");
            assert!(row.iter().all(|p| (0. ..=1.000_001).contains(p)), "{name}: {row:?}");
            for (p, log) in row.iter().zip(logs) {
                // A probability of 0 counts as the smallest positive f32, so that no logarithm is infinite.
                let expected = p.max(f64::from(f32::MIN_POSITIVE)).ln();
                assert!(
                    (log - expected).abs() < 1e-5 * (1. + expected.abs()),
                    "{name}: {log}, not {expected}"
                );
            }
            let highest = row.iter().copied().fold(f64::MIN, f64::max);
            let first = row.iter().position(|p| *p == highest).unwrap();
            assert_eq!(winner as usize, first, "{name}: {row:?}");
        }
    });
}

/// To 1e-6, not to the bit: for other numbers of rows candle's matrix product may sum in another order.
#[test]
fn how_many_rows_go_through_at_a_time_does_not_matter() {
    each_ensemble(|name, case, mut ensemble| {
        let x = case.data.inputs();
        let (expected, each) = (ensemble.predict(x).unwrap(), ensemble.member_predictions(x).unwrap());
        for rows in [1, 7, 1000] {
            ensemble = ensemble.batch_rows(rows);
            let predicted = ensemble.predict(x).unwrap();
            assert!(distance(&predicted, &expected) < 1e-6, "{name}, {rows} rows at a time");
            let slots = ensemble.member_predictions(x).unwrap();
            assert!(distance(&slots, &each) < 1e-6, "{name}, {rows} rows at a time");
        }
    });
}

#[test]
fn rules_are_called_what_the_table_says() {
    let case = Case::new(&BUILDERS[0], Problem::Classes);
    for rule in RULES {
        let name = (rule.combine)(case.pool(&case.reserving())).unwrap().name();
        // Behind it may stand what was chosen in the fit.
        assert_eq!(name.split(" (").next(), Some(rule.name));
    }
}

// ---- One network.

#[test]
fn any_pool_becomes_one_network_or_says_why_not() {
    let average = MergeSpec::average(RunWeights::Uniform);
    let recipes = [
        average.clone(),
        average.alignment(Alignment::Weights).repair(true),
        MergeSpec::greedy(GreedySoup::new()),
    ];
    for case in cases() {
        let plan = case.reserving();
        let pool = case.pool(&plan);
        let any = MaxBarrier::new(f64::INFINITY);
        let own_features = pool.members().iter().any(|member| member.record.features.is_some());
        for spec in &recipes {
            let merged = match (pool.merge(spec, &any), own_features) {
                (Ok(merged), false) => merged,
                (Err(e), true) if e.to_string().contains("features") => continue,
                (other, _) => panic!("{}: {:?}", case.name, other.err()),
            };
            let again = pool.merge(spec, &any).unwrap();
            assert_eq!(bytes(merged.pool.members()), bytes(again.pool.members()), "{}", case.name);
            assert!((merged.shares.iter().sum::<f64>() - 1.).abs() < 1e-12, "{}", case.name);
            let record = &merged.pool.members()[0].record;
            let seen = plan.reserved.iter().filter(|row| record.seen.binary_search(row).is_ok()).count();
            assert_eq!(merged.rows, (plan.reserved.len(), seen), "{}", case.name);
            let held_out = merged.pool.held_out().unwrap();
            assert_eq!(held_out.rows().len() + record.seen.len(), ROWS, "{}", case.name);
            let bound = MaxBarrier::new(merged.barrier.height - 1e-9);
            let e = pool.merge(spec, &bound).err().unwrap();
            assert!(matches!(e, Error::BarrierTooHigh { .. }), "{e}");
            assert!(e.to_string().contains("Pool::combine"), "{e}");
        }
        for max_cost in [1., 2.5, f64::INFINITY] {
            let options = BestOf::new().max_cost(max_cost);
            let best = best_of(&pool, &options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            assert_eq!(best.report, best_of(&pool, &options).unwrap().report, "{}", case.name);
            let chosen = best.report.best();
            assert!(chosen.cost <= max_cost + 1e-9 && chosen.score.is_some(), "{}", case.name);
            assert_eq!(best.ensemble.members().len(), chosen.networks, "{}", case.name);
            let failed = best.report.candidates.iter().any(|c| c.failure.is_some());
            assert_eq!(failed, own_features, "{}: {}", case.name, best.report);
        }
    }
}
