//! What every strategy and every rule must do for every kind of distribution, and what is refused when it is planned.
use super::{
    combiners,
    problems::{Net, Problem},
    strategies, Case, ROWS,
};
use crate::common::{bits, bytes, flat, Tally};
use candle_ensemble::{
    conformal::QuantileIntervals,
    data::{Scaling, TensorDataset},
    exec::{Executor, Stacked, Threads},
    merge::{best_of, BestOf, MaxBarrier, MergeSpec},
    metrics::MetricList,
    train::{EarlyStopping, Loss, Output, Trainer},
    weights::RunWeights,
    Member, Pool, Session,
};

fn cases() -> impl Iterator<Item = Case> {
    strategies::rows()
        .into_iter()
        .filter(|row| !row.is_sequence())
        .flat_map(|row| Problem::DISTRIBUTIONS.map(|problem| Case::new(&row, problem)))
}

/// Whether the members of a case were trained on some of the features.
fn own_features(members: &[Member]) -> bool {
    members.iter().any(|member| member.record.features.is_some())
}

/// Combiners of each sort: a mean, one with weights, one that learns weights, and one that has none.
const SOME: [&str; 4] = ["mean", "weighted-mean", "ensemble-selection", "median"];

const ONE_STRATEGY: &str = "k-fold:4 ";

/// The mixture of the members has the prediction of the ensemble as its mean, and its variance is what the data leave open and
/// what the members disagree on, with every combiner that is a weighted mean. It is refused with every other one, before
/// anything is predicted. So are the metrics and the intervals that are made of it.
///
/// Combiners see the means of distributions alone. So all of them are tried for Gaussians, with every strategy, and for the
/// other kinds with one strategy; with the other strategies, one combiner of each sort.
#[test]
fn the_ensemble_is_the_mixture_of_its_members_with_every_weighted_mean_or_says_why_not() {
    let (mut mixtures, mut refusals) = (0, 0);
    let list = |problem: Problem| {
        let nll = if problem == Problem::Quantiles { "" } else { ",distribution-nll" };
        MetricList::parse(&format!("crps,rmse,interval-score,coverage,quantile-loss:0.9{nll}")).unwrap()
    };
    for case in cases() {
        let pool = case.pool(&case.reserving());
        // Rows that no member has seen.
        let inputs = (case.data.inputs().only().unwrap() + 1e-3).unwrap();
        let fresh = TensorDataset::regression(inputs, case.data.targets()).unwrap();
        let all = case.problem == Problem::Gaussians || case.name.starts_with(ONE_STRATEGY);
        let tried = |row: &combiners::Row| row.goes_with(case.problem) && (all || SOME.contains(&&*row.name));
        for combiner in combiners::rows().into_iter().filter(tried) {
            let name = format!("{} by {}", case.name, combiner.name);
            let ensemble = combiner.combine(&pool).unwrap_or_else(|e| panic!("{name}: {e}"));
            let on = ensemble.on(&case.data);
            let predicted = flat(&on.predict().unwrap());
            assert!(predicted.len() == 2 * ROWS && predicted.iter().all(|x| x.is_finite()), "{name}");
            match on.predict_distribution() {
                Ok(mixture) => {
                    mixtures += 1;
                    let most = predicted.iter().fold(1f64, |most, x| most.max(x.abs()));
                    let means = flat(&mixture.mean().unwrap());
                    assert!(predicted.iter().zip(means).all(|(p, m)| (p - m).abs() < 1e-4 * most), "{name}");
                    let (noise, total) =
                        (flat(&mixture.aleatoric().unwrap()), flat(&mixture.variance().unwrap()));
                    assert!(noise.iter().zip(total).all(|(part, all)| *part >= 0. && *part <= all), "{name}");
                    if !SOME.contains(&&*combiner.name) {
                        continue;
                    }
                    let metrics = on.metrics(&list(case.problem)).unwrap();
                    assert!(metrics.iter().all(|value| value.is_finite()), "{name}: {metrics:?}");
                    let conformal = ensemble.on(&fresh).conformal(&QuantileIntervals::new(0.2)).unwrap();
                    assert_eq!(on.predict_intervals(&conformal).unwrap().dims(), [ROWS, 2, 2], "{name}");
                }
                Err(e) => {
                    refusals += 1;
                    let metrics = on.metrics(&list(case.problem)).unwrap_err();
                    let conformal = ensemble.on(&fresh).conformal(&QuantileIntervals::new(0.2)).unwrap_err();
                    for e in [e, metrics, conformal] {
                        let e = e.to_string();
                        assert!(e.contains("must be the mean, or a weighted mean"), "{name}: {e}");
                    }
                }
            }
        }
    }
    assert!(mixtures > 0 && refusals > 0, "{mixtures} {refusals}");
}

/// Where runs happen changes no bit, members come back from bytes, held-out predictions are means of distributions, and pools
/// become one network or say why not. All that is asked of Gaussians by the rest of the suite.
#[test]
fn members_of_every_kind_of_distribution_are_members_like_any_other() {
    let (threads, stacked) = (Threads::new(2).unwrap(), Stacked::new(2).unwrap());
    let executors: [&dyn Executor; 2] = [&threads, &stacked];
    let average = MergeSpec::average(RunWeights::Uniform);
    for case in cases().filter(|case| case.problem != Problem::Gaussians) {
        let plan = case.reserving();
        let pool = case.pool(&plan);
        for executor in executors {
            let other = case.session().executor(executor).train(&plan).unwrap();
            assert_eq!(bytes(other.members()), bytes(pool.members()), "{}", case.name);
        }
        let back = |member: &Member| Member::from_bytes(&member.to_bytes().unwrap()).unwrap();
        let again = pool.with_members(pool.members().iter().map(back).collect()).unwrap();
        let variance = |pool: &Pool<'_, Trainer<Net>>| {
            bits(&pool.distributions_on(&case.data).unwrap().variance().unwrap())
        };
        assert_eq!(variance(&again), variance(&pool), "{}", case.name);

        let held_out = pool.held_out().unwrap();
        assert_eq!(held_out.predictions().values().dims()[2], 2, "{}", case.name);
        let merged = pool.merge(&average, &MaxBarrier::new(f64::INFINITY));
        match (merged, own_features(pool.members())) {
            (Ok(merged), false) => {
                assert_eq!(merged.pool.distributions_on(&case.data).unwrap().members(), 1)
            }
            (Err(e), true) => assert!(e.to_string().contains("features"), "{}: {e}", case.name),
            (Err(e), false) if e.to_string().contains("that a single network holds") => {}
            (other, _) => panic!("{}: {:?}", case.name, other.err()),
        }
        let best = best_of(&pool, &BestOf::new()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert!(best.report.best().score.is_some(), "{}", case.name);
    }
}

/// What a kind of output cannot do is refused before the first run, with words that name what does work.
#[test]
fn what_a_kind_of_output_cannot_do_is_refused_when_it_is_planned() {
    type Change = fn(Trainer<Net>) -> Trainer<Net>;
    let watching = |metric: &str| EarlyStopping { metric: Some(metric.into()), ..EarlyStopping::default() };
    let changes: [(Change, &str); 2] = [
        (|trainer| trainer.loss(Loss::MeanSquared), "that of the distribution that the network outputs"),
        (|trainer| trainer.target_scaling(Scaling::Power), "standardize, min-max, max-abs or robust"),
    ];
    let error = |case: &Case, trainer: &Trainer<Net>| {
        let tally = Tally::new();
        let session = Session::new(trainer, &case.data).observer(&tally);
        let e = session.fit(&*case.builder, 1).map(|_| ()).err();
        assert_eq!(tally.started(), 0, "{}: a run has started", case.name);
        e.unwrap_or_else(|| panic!("{}: not refused", case.name)).to_string()
    };
    for case in cases() {
        for (change, words) in &changes {
            let e = error(&case, &change(case.problem.learner()));
            assert!(e.contains(words), "{}: {e}", case.name);
        }
        // A strategy with validation rows takes any metric of distributions but the one that has no value here.
        if case.plan().runs.iter().all(|run| !run.valid.is_empty()) {
            let of = |metric: &str| case.problem.learner().early_stopping(watching(metric));
            let e = error(&case, &of("coverage"));
            assert!(e.contains("such as interval-score:0.9"), "{}: {e}", case.name);
            let e = error(&case, &of("accuracy"));
            assert!(e.contains("must be classification"), "{}: {e}", case.name);
            for metric in ["distribution-nll", "crps", "quantile-loss:0.9", "interval-score"] {
                if (case.problem, metric) == (Problem::Quantiles, "distribution-nll") {
                    let e = error(&case, &of(metric));
                    assert!(e.contains("crps, quantile-loss and interval-score go with quantiles"), "{e}");
                    continue;
                }
                let trainer = of(metric);
                let pool = Session::new(&trainer, &case.data).fit(&*case.builder, 1).unwrap();
                let watched = pool.members()[0].record.curve[0].valid_metric;
                assert!(watched.is_some_and(f64::is_finite), "{}, {metric}", case.name);
            }
        }
    }
    // Distributions are for values, and metrics of them for networks that put them out.
    let with_validation = strategies::rows().into_iter().find(|row| row.name.contains("validation")).unwrap();
    for problem in [Problem::Classes, Problem::Binary, Problem::Positions, Problem::Labels] {
        let case = Case::new(&with_validation, problem);
        for output in Problem::DISTRIBUTIONS.map(Problem::output) {
            let e = error(&case, &problem.learner().output(output));
            assert!(
                e.contains("Output::Logits, Output::Probabilities or Output::Margins for classes"),
                "{e}"
            );
        }
        let e = error(&case, &problem.learner().early_stopping(watching("crps")));
        assert!(e.contains("the task of the metric crps must be regression"), "{e}");
    }
    let case = Case::new(&with_validation, Problem::Values);
    let e = error(&case, &Problem::Values.learner().early_stopping(watching("crps")));
    assert!(e.contains("must be a distribution, such as Output::Gaussian"), "{e}");
    // The width is not known before the first batch.
    let narrow = Problem::Values.learner().output(Output::Gaussian);
    let e = Session::new(&narrow, &case.data).fit(&*case.builder, 1).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("because Gaussian has 2 numbers for each"), "{e}");
}
