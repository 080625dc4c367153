//! What every method of many members in one network must do, on every kind of task, with every kind of strategy and every
//! combiner.
use super::{
    combiners,
    problems::{Problem, ROWS},
};
use crate::common::{bits, bytes, distance, flat, CPU};
use candle_ensemble::{
    combine::{AnyFitted, Mean},
    conformal::SplitIntervals,
    exec::{Executor, Sequential, Stacked, Threads},
    nn::many::{EfficientEnsemble, EnsembleNetwork},
    strategy::{self, EnsembleBuilder},
    train::Trainer,
    Ensemble, Member, Pool, Seed, Session,
};

/// The members of each network.
const MEMBERS: usize = 3;

/// Strategies of each sort, with the number of networks that they train and the number of slots in which these are.
const STRATEGIES: [(&str, usize, usize); 4] =
    [("multi-run:2", 2, 2), ("k-fold:3", 3, 1), ("bootstrap:2+snapshot:2", 4, 4), ("subspace:2", 2, 2)];

/// Every method of the registry.
fn methods() -> Vec<EfficientEnsemble> {
    let registry = EfficientEnsemble::registry();
    let mut few = ["members", "k", "passes"].map(|name| (name, MEMBERS.to_string())).to_vec();
    few.push(("p", "0.2".into()));
    let method = |name: &&str| registry.parse_with(name, &few).unwrap();
    let methods: Vec<_> = registry.names().iter().map(method).collect();
    assert!(methods.iter().all(|method| method.members().count == MEMBERS), "{methods:?}");
    methods
}

fn problems() -> impl Iterator<Item = Problem> {
    let others = Problem::DISTRIBUTIONS.into_iter().filter(|problem| *problem != Problem::Gaussians);
    Problem::ALL.into_iter().chain(others)
}

/// Calls `check` for each method on each kind of task with a strategy, and with the name of all three.
fn each(
    text: &str,
    check: impl Fn(&str, Problem, &Session<'_, Trainer<EnsembleNetwork>>, &dyn EnsembleBuilder),
) {
    let builder = strategy::parse(text).unwrap();
    for method in methods() {
        for problem in problems() {
            let (learner, data) = (problem.learner_of(method), problem.data());
            let session = Session::new(&learner, &data).executor(&Sequential);
            let name = format!("{method} on {problem:?} by {text}");
            check(&name, problem, &session, &*builder);
        }
    }
}

fn trained<'a>(
    name: &str,
    session: &Session<'a, Trainer<EnsembleNetwork>>,
    builder: &dyn EnsembleBuilder,
) -> Pool<'a, Trainer<EnsembleNetwork>> {
    session.fit(builder, 42).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn each_member_is_a_slot_wherever_its_network_is_trained() {
    let (threads, stacked) = (Threads::new(2).unwrap(), Stacked::new(2).unwrap());
    let executors: [&dyn Executor; 2] = [&threads, &stacked];
    for (text, networks, slots) in STRATEGIES {
        each(text, |name, problem, session, builder| {
            let pool = trained(name, session, builder);
            assert_eq!(pool.members().len(), networks * MEMBERS, "{name}");
            assert_eq!(pool.slots(), slots * MEMBERS, "{name}");
            for executor in executors {
                let other = trained(name, &session.clone().executor(executor), builder);
                assert_eq!(bytes(other.members()), bytes(pool.members()), "{name}");
            }
            let data = problem.data();
            let predicted = pool.predictions(data.inputs().clone()).unwrap();
            let numbers = flat(predicted.values());
            assert!(numbers.iter().all(|x| x.is_finite()), "{name}");
            // Members come back from bytes, and the rows of a batch do not matter to each other.
            let back = |member: &Member| Member::from_bytes(&member.to_bytes().unwrap()).unwrap();
            let again = pool.with_members(pool.members().iter().map(back).collect()).unwrap();
            assert_eq!(
                bits(again.predictions(data.inputs().clone()).unwrap().values()),
                bits(predicted.values())
            );
            let part = data.subset(&[5, 7, 11]).unwrap();
            let of_part = pool.predictions(part.inputs().clone()).unwrap();
            let per_row = predicted.values().dims()[1] / ROWS;
            for (place, row) in [5, 7, 11].into_iter().enumerate() {
                let a = of_part.values().narrow(1, place * per_row, per_row).unwrap();
                let b = predicted.values().narrow(1, row * per_row, per_row).unwrap();
                assert!(distance(&a, &b) < 1e-5, "{name}");
            }
        });
    }
}

/// Combiners of each sort: a mean, one that learns weights, one without weights, and one that reads the inputs of a row.
const SOME: [&str; 4] = ["mean", "ensemble-selection", "median", "knora-u"];

/// Combiners see predictions alone, so all of them are tried with one method, and one of each sort with the others.
#[test]
fn every_combiner_takes_the_members_of_one_network() {
    each("multi-run:1", |name, problem, session, builder| {
        let data = problem.data();
        let plan = session.plan(builder, 42).unwrap().reserve(0.4, &data, Seed::from(7)).unwrap();
        let pool = session.train(&plan).unwrap_or_else(|e| panic!("{name}: {e}"));
        let all = name.starts_with("tab-m:");
        let tried = |row: &combiners::Row| row.goes_with(problem) && (all || SOME.contains(&&*row.name));
        for combiner in combiners::rows().into_iter().filter(tried) {
            let name = format!("{name} and {}", combiner.name);
            let ensemble = combiner.combine(&pool).unwrap_or_else(|e| panic!("{name}: {e}"));
            let predicted = ensemble.predict(data.inputs().clone()).unwrap();
            assert!(flat(&predicted).iter().all(|x| x.is_finite()), "{name}");
            let loaded: Ensemble<EnsembleNetwork, Box<AnyFitted>> = {
                let bytes = ensemble.to_bytes().unwrap();
                Ensemble::from_bytes(&bytes, &problem_learner(&name, problem), &CPU).unwrap()
            };
            assert_eq!(bits(&loaded.predict(data.inputs().clone()).unwrap()), bits(&predicted), "{name}");
        }
    });
}

/// The learner of the method with which a name begins.
fn problem_learner(name: &str, problem: Problem) -> Trainer<EnsembleNetwork> {
    let method = methods().into_iter().find(|method| name.starts_with(&format!("{method} on ")));
    problem.learner_of(method.unwrap())
}

#[test]
fn a_pool_keeps_the_members_that_are_selected() {
    each("multi-run:2", |name, problem, session, builder| {
        let (pool, data) = (trained(name, session, builder), problem.data());
        let kept = [0, 2, 4];
        let pruned = pool.select_slots(&kept).unwrap();
        let [all, few] = [&pool, &pruned].map(|pool| pool.predictions(data.inputs().clone()).unwrap());
        for (slot, of_pool) in kept.into_iter().enumerate() {
            let (a, b) = (few.values().get(slot).unwrap(), all.values().get(of_pool).unwrap());
            assert!(distance(&a, &b) < 1e-5, "{name}, slot {slot}");
        }
        let loaded = {
            let bytes = pruned.combine(&Mean).unwrap().to_bytes().unwrap();
            Ensemble::<_, Mean>::from_bytes(&bytes, &problem_learner(name, problem), &CPU).unwrap()
        };
        let expected = pruned.combine(&Mean).unwrap().predict(data.inputs().clone()).unwrap();
        assert_eq!(bits(&loaded.predict(data.inputs().clone()).unwrap()), bits(&expected), "{name}");
    });
}

#[test]
fn intervals_cover_the_values_of_new_rows() {
    for method in methods() {
        let (problem, data) = (Problem::Values, Problem::Values.data());
        let learner = problem.learner_of(method);
        let session = Session::new(&learner, &data).executor(&Sequential);
        let plan = session.plan(&*strategy::parse("multi-run:1").unwrap(), 42).unwrap();
        let plan = plan.reserve(0.4, &data, Seed::from(7)).unwrap();
        let pool = session.train(&plan).unwrap();
        let ensemble = pool.combine(&Mean).unwrap();
        let rows = pool.reserved().to_vec();
        let conformal = ensemble.on(&data).rows(&rows).conformal(&SplitIntervals::new(0.2)).unwrap();
        let intervals = ensemble.on(&data).rows(&rows).predict_intervals(&conformal).unwrap();
        assert_eq!(intervals.dims(), [rows.len(), 2, 2], "{method}");
    }
}
