//! What every strategy and every combiner must do, on every kind of task, and what every merge method and
//! every metric must do. The rows come from the registries, so a new entry is here by itself; `strategies.rs`
//! and `combiners.rs` say what the suite expects of those it knows.
mod combiners;
mod distributions;
mod many_in_one;
mod methods;
mod metrics;
mod problems;
mod strategies;

use crate::common::{bits, bytes, distance, flat, weights, Tally, CPU};
use candle_core::{Module, Tensor};
use candle_ensemble::{
    combine::{AnyFitted, FittedCombiner},
    data::{Dataset, Inputs, TensorDataset},
    exec::{Executor, Sequential, Stacked, Threads},
    merge::{best_of, Alignment, BestOf, GreedySoup, MaxBarrier, MergeSpec},
    nn::many::EfficientEnsemble,
    plan::{Plan, RunSpec},
    store::{MemoryStore, Store},
    strategy::EnsembleBuilder,
    train::Trainer,
    weights::RunWeights,
    Ensemble, Error, HeldOut, Member, Pool, Result, Seed, Session,
};
use problems::{Net, Problem, EPOCHS, ROWS};
use std::collections::BTreeSet;

/// One strategy on one kind of task.
struct Case {
    name: String,
    problem: Problem,
    builder: Box<dyn EnsembleBuilder>,
    /// Networks for one architecture, if the suite knows.
    networks: Option<usize>,
    learner: Trainer<Net>,
    data: TensorDataset,
}

impl Case {
    fn new(row: &strategies::Row, problem: Problem) -> Self {
        Self {
            name: format!("{} on {problem:?}", row.name),
            problem,
            builder: row.strategy(),
            networks: row.networks,
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

    /// The plan, with rows reserved for combiners that learn.
    fn reserving(&self) -> Plan {
        self.plan().reserve(0.4, &self.data, Seed::from(7)).unwrap()
    }

    fn pool(&self, plan: &Plan) -> Pool<'_, Trainer<Net>> {
        self.session().train(plan).unwrap()
    }

    /// The ensemble of these members with a combiner; nothing is trained.
    fn combined(
        &self,
        plan: &Plan,
        members: &[Member],
        combiner: &combiners::Row,
    ) -> Result<Ensemble<Net, Box<AnyFitted>>> {
        let (store, tally) = (MemoryStore::new(), Tally::new());
        // A store keeps a network of several members once.
        let first = |member: &&Member| member.record.in_network.is_none_or(|place| place.member == 0);
        members.iter().filter(first).for_each(|member| store.put(member.clone()).unwrap());
        let pool = self.session().store(&store).observer(&tally).train(plan)?;
        assert_eq!(tally.started(), 0, "{}", self.name);
        combiner.combine(&pool)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    strategies::rows().into_iter().flat_map(|row| {
        let problems = Problem::ALL.into_iter().filter(|problem| row.goes_with(*problem));
        problems.map(|problem| Case::new(&row, problem)).collect::<Vec<_>>()
    })
}

/// The combiners that go with the case's task.
fn combiners(case: &Case) -> impl Iterator<Item = combiners::Row> + '_ {
    combiners::rows().into_iter().filter(|row| row.goes_with(case.problem))
}

/// Checks the ensemble of each case, with reserved rows, and each combiner that goes with it.
fn each_ensemble(check: impl Fn(&str, &Case, Ensemble<Net, Box<AnyFitted>>)) {
    for case in cases() {
        let plan = case.reserving();
        let pool = case.pool(&plan);
        for combiner in combiners(&case) {
            let name = format!("{} by {}", case.name, combiner.name);
            let ensemble = combiner.combine(&pool).unwrap_or_else(|e| panic!("{name}: {e}"));
            check(&name, &case, ensemble);
        }
    }
}

fn forward(ensemble: &Ensemble<Net, Box<AnyFitted>>, inputs: &Inputs) -> Tensor {
    Module::forward(ensemble, inputs.only().unwrap()).unwrap()
}

// ---- Plans.

fn networks(plan: &Plan) -> usize {
    plan.runs.iter().map(|run| run.collect.members(EPOCHS)).sum()
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
        assert_eq!(networks(&plan), case.networks.unwrap_or(networks(&plan)), "{}", case.name);
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
        let each = networks(&case.plan());
        let plan = case.builder.plan(&case.data, &names, Seed::from(42)).unwrap();
        plan.check(&case.data).unwrap();
        assert_eq!(networks(&plan), 2 * each, "{}", case.name);
        for name in &names {
            let of_it = plan.runs.iter().filter(|run| run.architecture == *name);
            let networks: usize = of_it.map(|run| run.collect.members(EPOCHS)).sum();
            assert_eq!(networks, each, "{}", case.name);
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
    for (strategy, name) in strategies::bad() {
        for problem in Problem::ALL {
            let (learner, data) = (problem.learner(), problem.data());
            let e = Session::new(&learner, &data).fit(&*strategy, 1).err().unwrap();
            let e = match e {
                Error::Run { source, .. } => *source,
                e => e,
            };
            assert!(matches!(e, Error::Invalid { .. }), "{strategy:?}: {e:?}");
            assert!(e.to_string().contains(name), "{strategy:?}: {e:?} does not name {name}");
        }
    }
}

// ---- Members.

#[test]
fn where_runs_happen_changes_no_bit() {
    let threads = [1, 2, 8].map(|workers| Threads::new(workers).unwrap());
    let stacked = [1, 2, 8].map(|workers| Stacked::new(workers).unwrap());
    let threads = threads.iter().map(|threads| (threads as &dyn Executor, threads.workers(), ""));
    let stacked = stacked.iter().map(|stacked| (stacked as &dyn Executor, stacked.workers(), ", stacked"));
    let executors: Vec<_> = threads.chain(stacked).collect();
    for case in cases() {
        let plan = case.reserving();
        let expected = case.pool(&plan).members().to_vec();
        let predict = |members: &[Member], combiner: &combiners::Row| {
            let ensemble = case.combined(&plan, members, combiner).unwrap();
            bits(&ensemble.predict(case.data.inputs()).unwrap())
        };
        let mut trained = vec![];
        for (executor, workers, how) in &executors {
            trained = case.session().executor(*executor).train(&plan).unwrap().members().to_vec();
            assert_eq!(bytes(&trained), bytes(&expected), "{} on {workers} threads{how}", case.name);
        }
        // Combiners are fitted on the members alone, so those of one executor stand for all.
        for combiner in combiners(&case) {
            let (got, expected) = (predict(&trained, &combiner), predict(&expected, &combiner));
            assert_eq!(got, expected, "{} by {}", case.name, combiner.name);
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
        for combiner in combiners(&case) {
            let predict = |members: &[Member]| {
                let ensemble = case.combined(&plan, members, &combiner).unwrap();
                bits(&forward(&ensemble, case.data.inputs()))
            };
            assert_eq!(predict(&back), predict(&members), "{} by {}", case.name, combiner.name);
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
    let (two, stacked) = (Threads::new(2).unwrap(), Stacked::new(1).unwrap());
    let executors = [&Sequential as &dyn Executor, &two, &stacked];
    for case in cases().filter(|case| case.problem.is_classification()) {
        let plan = case.plan();
        let expected = bytes(case.pool(&plan).members());
        let stops = [("build started", 0), ("run started", 1), ("epoch", EPOCHS + 1), ("member", 0)];
        let stops = stops.into_iter().chain([("run finished", 0), ("build finished", 0)]);
        // A plan of one run has no second that could start, and not many epochs.
        let epochs = plan.runs.len() * EPOCHS;
        let stops = stops.filter(|(kind, at)| match *kind {
            "run started" => *at < plan.runs.len(),
            "epoch" => *at < epochs,
            _ => true,
        });
        for ((kind, at), executor) in stops.flat_map(|s| executors.map(|executor| (s, executor))) {
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

/// The number of members that the network of a run holds; of a sequence it is one.
fn held(run: &RunSpec) -> usize {
    let method = run.settings.text("efficient_ensemble").unwrap();
    let count = |text: &str| EfficientEnsemble::registry().parse(text).unwrap().members().count;
    method.filter(|_| run.sequence.is_none()).map_or(1, count)
}

/// Which slot predicts which row, by the plan: it does where one of its runs had the row neither to train
/// on nor to watch.
fn covered(plan: &Plan) -> Vec<Vec<bool>> {
    // Each member of a run has a slot of its own, and of a network that holds several each of these.
    let each = plan.runs[0].collect.members(EPOCHS) * held(&plan.runs[0]);
    let slots = (plan.runs.iter().map(|run| run.slot).max().unwrap() + 1) * each;
    let seen: Vec<_> = plan.runs.iter().map(|run| run.seen().unwrap()).collect();
    let predicts = |slot, row| {
        let mut runs = plan.runs.iter().zip(&seen).filter(|(run, _)| run.slot == slot / each);
        runs.any(|(_, seen)| !seen.contains(row))
    };
    (0..slots).map(|slot| (0..ROWS as u32).map(|row| predicts(slot, row)).collect()).collect()
}

/// What each slot predict for a row in held-out predictions, as bits; `None` where it may not predict.
fn predicted(held_out: &HeldOut, row: u32) -> Vec<Option<Vec<u64>>> {
    // The first position of the row.
    let at = held_out.rows().partition_point(|other| *other < row);
    if held_out.rows().get(at) != Some(&row) {
        return vec![];
    }
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
                let run = &plan.runs[member.record.run];
                let of_run = [&run.train, &run.valid, &run.excluded].map(|rows| rows.to_vec().unwrap());
                let known = |row: &u32| of_run.iter().any(|rows| rows.contains(row));
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
            let each = case.problem.positions();
            let positions = rows.iter().flat_map(|row| std::iter::repeat_n(*row, each));
            assert_eq!(held_out.rows(), positions.collect::<Vec<_>>(), "{}", case.name);
            assert_eq!(held_out.total_rows(), each * ROWS);
            assert_eq!(pool.slots(), predicts.len());
            for row in &rows {
                let predicted = predicted(held_out, *row);
                assert!(predicted
                    .iter()
                    .zip(&predicts)
                    .all(|(predicted, predicts)| predicted.is_some() == predicts[*row as usize]));
            }
            let targets = case.data.batch(&rows, &CPU).unwrap().targets;
            let (got, targets) =
                (held_out.targets(), if each > 1 { targets.flatten_all().unwrap() } else { targets });
            assert_eq!(bits(got), bits(&targets), "{}", case.name);

            // A slot of one member predicts held-out rows as it predicts any rows.
            let everywhere = pool.predictions(case.data.inputs()).unwrap();
            for (slot, predicts) in predicts.iter().enumerate() {
                if pool.members().iter().filter(|m| m.record.slot == slot).count() > 1 {
                    continue;
                }
                for (at, row) in rows.iter().enumerate().filter(|(_, row)| predicts[**row as usize]) {
                    let of = |values: &Tensor, row: usize| {
                        values.get(slot).unwrap().narrow(0, each * row, each).unwrap()
                    };
                    let here = of(held_out.predictions().values(), at);
                    let there = of(everywhere.values(), *row as usize);
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
                    assert_eq!(predicted(before, row), predicted(after, row), "{name}");
                    assert_eq!(predicted(before, row).is_empty(), seen_by(row) == predicts.len(), "{name}");
                }
                for (before, after) in pool.members().iter().zip(other.members()) {
                    let run = &plan.runs[before.record.run];
                    let trained = run.train.contains(row).unwrap();
                    assert_eq!(weights(before) != weights(after), trained, "{name}, run {}", run.id);
                }
            }
        }
    }
}

#[test]
fn the_targets_of_held_out_rows_reach_combiners_that_learn_and_no_others() {
    // A combiner that chooses among members may make the same choice whatever one target is, but not every
    // time.
    let mut reached = BTreeSet::new();
    for case in cases() {
        let plan = case.reserving();
        // The last reserved row: a run of the future may not predict early rows, though it was not fitted on
        // them.
        let row = plan.reserved.iter().unwrap().last().unwrap();
        let data = case.problem.with_other_target(row);
        let moved = Plan { data: data.fingerprint(), ..plan.clone() };
        let pool = case.pool(&plan);
        let other = Session::new(&case.learner, &data).train(&moved).unwrap();
        for combiner in combiners(&case) {
            let (before, after) = (combiner.combine(&pool).unwrap(), combiner.combine(&other).unwrap());
            if bits(&forward(&before, data.inputs())) != bits(&forward(&after, data.inputs())) {
                assert!(combiner.learns, "{} by {}", case.name, combiner.name);
                reached.insert(combiner.name);
            }
        }
    }
    let learning: BTreeSet<_> =
        combiners::rows().into_iter().filter(|row| row.learns).map(|row| row.name).collect();
    assert_eq!(reached, learning);
}

#[test]
fn combiners_that_learn_refuse_members_that_have_seen_every_row() {
    for case in cases() {
        let mut plan = case.plan();
        for run in &mut plan.runs {
            run.train = (0..ROWS as u32).into();
            run.valid = vec![].into();
        }
        let members = case.pool(&plan).members().to_vec();
        for combiner in combiners(&case) {
            let outcome = case.combined(&plan, &members, &combiner);
            match (combiner.learns, outcome) {
                (false, Ok(_)) => {}
                (true, Err(e @ Error::HeldOut { have: 0, rows, .. }))
                    if rows == case.problem.positions() * ROWS =>
                {
                    assert!(e.to_string().contains("Session::reserve"), "{e}");
                }
                (_, outcome) => {
                    let outcome = outcome.map(|ensemble| ensemble.fitted().name());
                    panic!("{} by {}: {outcome:?}", case.name, combiner.name)
                }
            }
        }
    }
}

// ---- Ensembles.

#[test]
fn every_combiner_follows_every_strategy_once_rows_are_reserved() {
    each_ensemble(|name, case, ensemble| {
        let x = case.data.inputs();
        let predicted = ensemble.predict(x).unwrap();
        let slots = ensemble.member_predictions(x).unwrap();
        let (each, classes): (&[usize], &[usize]) = match case.problem {
            Problem::Classes | Problem::Ordered => (&[ROWS, 3], &[ROWS]),
            Problem::Binary => (&[ROWS, 2], &[ROWS]),

            Problem::Positions => (&[ROWS, 2, 3], &[ROWS, 2]),
            Problem::Labels => (&[ROWS, 3], &[ROWS, 3]),
            _ => (&[ROWS, 2], &[ROWS, 2]),
        };
        assert_eq!(&slots.dims()[1..], each, "{name}");
        assert_eq!(predicted.dims(), classes, "{name}");
        assert!(flat(&predicted).iter().all(|x| x.is_finite()), "{name}");
    });
}

#[test]
fn combiners_refuse_tasks_that_they_cannot_do() {
    for case in cases() {
        let plan = case.reserving();
        let pool = case.pool(&plan);
        for combiner in combiners::rows().into_iter().filter(|row| !row.goes_with(case.problem)) {
            let outcome = combiner.combine(&pool).and_then(|e| e.predict(case.data.inputs()));
            let e = outcome.map(|_| &combiner.name).unwrap_err().to_string();
            let names_task =
                ["for classes", "for values", "reads the inputs"].iter().any(|words| e.contains(words));
            assert!(names_task, "{} by {}: {e}", case.name, combiner.name);
        }
    }
}

#[test]
fn probabilities_sum_to_one_and_forward_is_their_logarithm() {
    each_ensemble(|name, case, ensemble| {
        let x = case.data.inputs();
        if !case.problem.is_classification() {
            let e = ensemble.predict_proba(x).unwrap_err().to_string();
            assert!(e.contains("must be classification"), "{name}: {e}");
            let predicted = ensemble.predict(x).unwrap();
            assert_eq!(bits(&predicted), bits(&forward(&ensemble, x)), "{name}");
            return;
        }
        let p = ensemble.predict_proba(x).unwrap();
        if case.problem == Problem::Labels {
            labels_are_likely_where_their_logits_are_positive(name, &ensemble, x);
            return;
        }
        let classes = case.data.classes().unwrap();
        match case.problem {
            Problem::Positions => assert_eq!(p.dims(), [ROWS, 2, classes], "{name}"),
            _ => assert_eq!(p.dims(), [ROWS, classes], "{name}"),
        }
        let (p, logs) = (flat(&p), flat(&forward(&ensemble, x)));
        let winners: Vec<u32> = ensemble.predict(x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
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

/// The probability of each label, its log-odds and 0 or 1 say the same.
fn labels_are_likely_where_their_logits_are_positive(
    name: &str,
    ensemble: &Ensemble<Net, Box<AnyFitted>>,
    x: &Inputs,
) {
    let (p, logits) = (ensemble.predict_proba(x).unwrap(), forward(ensemble, x));
    assert_eq!((p.dims(), logits.dims()), (&[ROWS, 3][..], &[ROWS, 3][..]), "{name}");
    let predicted: Vec<u32> = ensemble.predict(x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    for ((p, logit), label) in flat(&p).into_iter().zip(flat(&logits)).zip(predicted) {
        assert!((0. ..=1.000_001).contains(&p), "{name}: {p}");
        assert_eq!(label == 1, p > 0.5, "{name}: {p}");
        // Near 0 and 1 the logarithms of the rounded probabilities decide.
        if (1e-3..0.999).contains(&p) {
            assert!((logit - (p / (1. - p)).ln()).abs() < 1e-3, "{name}: {logit} for {p}");
        }
    }
}

/// To 1e-6, not to the bit: for other numbers of rows candle's matrix product may sum in another order.
#[test]
fn how_many_rows_go_through_at_a_time_does_not_matter() {
    each_ensemble(|name, case, mut ensemble| {
        let x = case.data.inputs();
        let (expected, each) = (ensemble.predict(x).unwrap(), ensemble.member_predictions(x).unwrap());
        // One row at a time takes ten times as long as seven, so that not every combiner shows it.
        let sizes: &[usize] = if name.ends_with(" by mean") { &[1, 7, 1000] } else { &[7, 1000] };
        for rows in sizes {
            ensemble = ensemble.batch_rows(*rows);
            let predicted = ensemble.predict(x).unwrap();
            assert!(distance(&predicted, &expected) < 1e-6, "{name}, {rows} rows at a time");
            let slots = ensemble.member_predictions(x).unwrap();
            assert!(distance(&slots, &each) < 1e-6, "{name}, {rows} rows at a time");
        }
    });
}

#[test]
fn fitted_combiners_have_the_name_of_their_entry() {
    for combiner in combiners::rows() {
        let problem = if combiner.goes_with(Problem::Classes) { Problem::Classes } else { Problem::Values };
        let case = Case::new(&strategies::rows()[0], problem);
        let pool = case.pool(&case.reserving());
        let name = combiner.combine(&pool).unwrap().fitted().name();
        assert_eq!(name.split(" (").next(), Some(&*combiner.fitted_name), "{}", combiner.name);
    }
}

// ---- One network.

#[test]
fn every_pool_becomes_one_network_or_the_error_says_why_not() {
    let average = MergeSpec::average(RunWeights::Uniform);
    let specs = [
        average.clone(),
        average.alignment(Alignment::Weights).repair(true),
        MergeSpec::greedy(GreedySoup::new()),
    ];
    for case in cases() {
        let plan = case.reserving();
        let pool = case.pool(&plan);
        let any = MaxBarrier::new(f64::INFINITY);
        let own_features = pool.members().iter().any(|member| member.record.features.is_some());
        for spec in &specs {
            let merged = match (pool.merge(spec, &any), own_features) {
                (Ok(merged), false) => merged,
                (Err(e), true) if e.to_string().contains("features") => continue,
                (Err(e), false) if e.to_string().contains("one of a sequence") => continue,
                (Err(e), false) if e.to_string().contains("that a single network holds") => continue,
                (other, _) => panic!("{}: {:?}", case.name, other.err()),
            };
            let again = pool.merge(spec, &any).unwrap();
            assert_eq!(bytes(merged.pool.members()), bytes(again.pool.members()), "{}", case.name);
            assert!((merged.shares.iter().sum::<f64>() - 1.).abs() < 1e-12, "{}", case.name);
            let record = &merged.pool.members()[0].record;
            let seen = plan.reserved.iter().unwrap().filter(|row| record.seen.contains(*row)).count();
            assert_eq!(merged.rows, (plan.reserved.len().unwrap(), seen), "{}", case.name);
            let held_out = merged.pool.held_out().unwrap();
            let each = case.problem.positions();
            assert_eq!(held_out.rows().len() + each * record.seen.len(), each * ROWS, "{}", case.name);
            let bound = MaxBarrier::new(merged.barrier.height - 1e-9);
            let e = pool.merge(spec, &bound).err().unwrap();
            assert!(matches!(e, Error::BarrierTooHigh { .. }), "{e}");
            assert!(e.to_string().contains("Pool::combine"), "{e}");
        }
        for max_cost in [1., 2.5, f64::INFINITY] {
            let options = BestOf::new().max_cost(max_cost);
            let sequences: BTreeSet<_> =
                pool.members().iter().filter_map(|m| Some(m.record.round.as_ref()?.sequence)).collect();
            let longest = sequences.iter().map(|sequence| {
                pool.members()
                    .iter()
                    .filter(|m| m.record.round.as_ref().unwrap().sequence == *sequence)
                    .count()
            });
            // A sequence costs all its networks.
            let affordable = longest.min().unwrap_or(1) as f64 <= max_cost;
            let best = match best_of(&pool, &options) {
                Ok(best) if affordable => best,
                Err(e) if !affordable => {
                    assert!(
                        e.to_string().contains("the cost of the cheapest candidate"),
                        "{}: {e}",
                        case.name
                    );
                    continue;
                }
                other => panic!("{}: {:?}", case.name, other.map(|best| best.report)),
            };
            assert_eq!(best.report, best_of(&pool, &options).unwrap().report, "{}", case.name);
            let chosen = best.report.best();
            assert!(chosen.cost <= max_cost + 1e-9 && chosen.score.is_some(), "{}", case.name);
            let held = held(&plan.runs[0]);
            assert_eq!(best.ensemble.members().len(), chosen.networks * held, "{}", case.name);
            let failed = best.report.candidates.iter().any(|c| c.failure.is_some());
            // There are no candidates but the one predictor where there is one sequence.
            let several = pool.members().len() > held;
            let cannot = own_features || sequences.len() > 1 || held > 1 && several;
            assert_eq!(failed, cannot, "{}: {}", case.name, best.report);
        }
    }
}
