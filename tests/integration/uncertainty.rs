//! Conformal prediction and uncertainty of pools and ensembles: the wiring from the members' records to the functions over
//! numbers, and the coverage of what comes of it.
use crate::common::{bits, blobs, flat, line, CPU};
use candle_core::{Module, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{InverseError, Mean, Median, Weighted},
    conformal::*,
    data::{Dataset, Scaling, TensorDataset},
    strategy::{Bagging, EnsembleBuilder, KFold, MultiRun},
    train::{CustomLoop, Learner, Run, Trainer},
    uncertainty::{ClassUncertainty, ValueUncertainty},
    Ensemble, Result, Seed, Session,
};
use candle_nn::{linear, Linear, VarBuilder};
use rand::Rng;

fn trainer() -> Trainer<Linear> {
    Trainer::new(|vb: VarBuilder<'_>| linear(2, 1, vb)).epochs(2)
}

fn classifier() -> Trainer<Linear> {
    Trainer::new(|vb: VarBuilder<'_>| linear(2, 3, vb)).epochs(2)
}

/// The least-squares line of the training rows.
fn least_squares(network: &Linear, run: &mut Run<'_>) -> CandleResult<()> {
    let Some(batch) = run.batches_in_order(1 << 20).next() else { candle_core::bail!("no rows") };
    let batch = batch?;
    let (x, y) = (flat(batch.inputs.only()?), flat(&batch.targets));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (centre, level) = (mean(&x), mean(&y));
    let covariance: f64 = x.iter().zip(&y).map(|(x, y)| (x - centre) * (y - level)).sum();
    let slope = covariance / x.iter().map(|x| (x - centre).powi(2)).sum::<f64>();
    let (weight, bias) = (slope as f32, (level - slope * centre) as f32);
    for var in run.vars().all_vars() {
        let to = if var.dims() == network.weight().dims() {
            Tensor::new(&[[weight]], &CPU)?
        } else {
            Tensor::new(&[bias], &CPU)?
        };
        var.set(&to)?;
    }
    Ok(())
}

fn solver() -> impl Learner<Network = Linear> {
    CustomLoop::new("least squares", |vb: VarBuilder<'_>| linear(1, 1, vb), least_squares)
}

/// `y = 2x + (1.5 + x) e` with a uniform sum as noise.
fn noisy(seed: Seed, rows: usize) -> TensorDataset {
    let mut rng = seed.rng();
    let x: Vec<f32> = (0..rows).map(|_| rng.random_range(-1.0..1.0)).collect();
    let y: Vec<f32> =
        x.iter().map(|x| 2. * x + (1.5 + x) * (rng.random::<f32>() + rng.random::<f32>() - 1.)).collect();
    let x = Tensor::from_vec(x, (rows, 1), &CPU).unwrap();
    TensorDataset::regression(x, &Tensor::from_vec(y, rows, &CPU).unwrap()).unwrap()
}

const RESPLITS: usize = 200;
const NEW: usize = 50;

/// The mean share of new rows that is covered, over 200 draws of training rows and new rows.
fn coverage_of(
    builder: &dyn EnsembleBuilder,
    reserve: Option<f64>,
    method: &impl ConformalMethod<Fitted = ConformalIntervals>,
) -> f64 {
    let learner = solver();
    let share = |resplit: usize| -> Result<f64> {
        let seed = Seed::from(11).nth("resplit", resplit as u64);
        let (data, new) = (noisy(seed.child("training"), 40), noisy(seed.child("new"), NEW));
        let mut session = Session::new(&learner, &data);
        if let Some(share) = reserve {
            session = session.reserve(share);
        }
        let pool = session.fit(builder, seed)?;
        let conformal = pool.conformal(&Mean, method)?;
        let intervals = pool.combine(&Mean)?.on(&new).predict_intervals(&conformal)?;
        let inside = intervals_contain(&output_intervals(&intervals, 0)?, &flat(new.targets()))?;
        Ok(inside.iter().filter(|inside| **inside).count() as f64 / NEW as f64)
    };
    (0..RESPLITS).map(|resplit| share(resplit).unwrap()).sum::<f64>() / RESPLITS as f64
}

/// Four standard deviations of the mean over the draws, if the number of covered rows is beta-binomial: right code fails for
/// one seed in 16 000.
fn tolerance(n: usize, rank: usize) -> f64 {
    let (a, b, m) = (rank as f64, (n + 1 - rank) as f64, NEW as f64);
    let variance = a * b * (a + b + m) / (m * (a + b).powi(2) * (a + b + 1.0));
    4.0 * (variance / RESPLITS as f64).sqrt()
}

/// Half of 38 rows are kept from the fit; of 19 residuals, the 18th.
#[test]
fn split_intervals_of_a_pool_have_exact_coverage_over_200_resplits() {
    for method in [SplitIntervals::new(0.1), SplitIntervals::new(0.1).normalized(0.3)] {
        let found = coverage_of(&Bagging::new(4), Some(0.475), &method);
        assert!((found - 0.9).abs() <= tolerance(19, 18), "{found} ± {}", tolerance(19, 18));
    }
}

/// The expected coverage of jackknife+ is not known exactly, but close to that of split intervals for a stable fit; 0.01 is
/// added to the tolerance.
#[test]
fn jackknife_plus_intervals_of_a_pool_are_near_the_nominal_coverage_over_200_resplits() {
    let near = tolerance(40, 37) + 0.01;
    let strategies: [&dyn EnsembleBuilder; 2] = [&Bagging::new(12), &KFold::new(8)];
    for builder in strategies {
        let found = coverage_of(builder, None, &CrossIntervals::new(0.1));
        assert!((found - 37. / 41.).abs() <= near, "{found} ± {near}");
    }
}

/// The residuals of out-of-bag rows by hand, from the held-out predictions.
#[test]
fn intervals_of_bagging_are_those_of_its_held_out_predictions() -> Result<()> {
    let (data, new, trainer) = (line(1, 40, 0.3), line(2, 90, 0.3), trainer());
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(9), 42)?;
    let held_out = pool.held_out()?;
    let mut table = flat(held_out.predictions().values());
    let covered = flat(held_out.predictions().covered().expect("rows in the bag"));
    table.iter_mut().zip(&covered).filter(|(_, c)| **c == 0.).for_each(|(x, _)| *x = f64::NAN);
    let (targets, plus) = (flat(held_out.targets()), CrossMethod::Plus);
    let exact = CrossConformal::fit(&table, 9, &targets, Aggregation::Median, plus, 0.2)?;
    let exact = exact.predict(&flat(pool.predictions(new.inputs())?.values()))?;

    let conformal = pool.conformal(&Median, &CrossIntervals::new(0.2))?;
    let ensemble = pool.combine(&Median)?.batch_rows(7);
    let found = ensemble.predict_intervals(&conformal, new.inputs())?;
    assert_eq!(output_intervals(&found, 0)?, exact);
    assert_eq!(bits(&found), bits(&ensemble.on(&new).predict_intervals(&conformal)?));
    assert_eq!(bits(&found), bits(&pool.combine(&Median)?.predict_intervals(&conformal, new.inputs())?));
    // Every member has seen what it has seen: an ensemble of other members is refused.
    let other = Session::new(&trainer, &data).fit(&Bagging::new(8), 42)?.combine(&Median)?;
    let error = other.predict_intervals(&conformal, new.inputs()).unwrap_err().to_string();
    assert!(error.contains("member 8"), "{error}");
    Ok(())
}

/// The members of a slot of repeated cross-validation have seen different rows, and count one by one.
#[test]
fn intervals_of_repeated_cross_validation_are_those_of_its_members() -> Result<()> {
    let (data, new, trainer) = (line(1, 30, 0.3), line(2, 10, 0.3), trainer());
    let pool = Session::new(&trainer, &data).fit(&KFold::new(3).repeats(2), 42)?;
    assert_eq!((pool.slots(), pool.members().len()), (2, 6));
    let conformal = pool.conformal(&Mean, &CrossIntervals::new(0.2))?;
    let found = pool.combine(&Mean)?.predict_intervals(&conformal, new.inputs())?;

    let predicted = flat(pool.predictions_per_member(data.inputs())?.values());
    let seen = |member: usize, row: u32| pool.members()[member].record.seen.contains(row);
    let cell = |at: usize| if seen(at / 30, (at % 30) as u32) { f64::NAN } else { predicted[at] };
    let table: Vec<f64> = (0..6 * 30).map(cell).collect();
    let (mean, plus) = (Aggregation::Mean, CrossMethod::Plus);
    let exact = CrossConformal::fit(&table, 6, &flat(data.targets()), mean, plus, 0.2)?;
    let exact = exact.predict(&flat(pool.predictions_per_member(new.inputs())?.values()))?;
    for (found, exact) in output_intervals(&found, 0)?.iter().zip(&exact) {
        assert!((found.low - exact.low).abs() < 1e-5 && (found.high - exact.high).abs() < 1e-5);
    }
    Ok(())
}

#[test]
fn rows_that_do_not_serve_for_a_calibration_are_refused() -> Result<()> {
    let (data, trainer) = (line(1, 30, 0.3), trainer());
    let session = Session::new(&trainer, &data);
    let error = |result: Result<ConformalIntervals>| result.unwrap_err().to_string();
    let pool = session.fit(&KFold::new(3).refit(true), 42)?;
    assert!(error(pool.conformal(&Mean, &CrossIntervals::new(0.1))).contains("refit"));
    let pool = session.fit(&MultiRun::new(3), 42)?;
    for found in
        [pool.conformal(&Mean, &CrossIntervals::new(0.1)), pool.conformal(&Mean, &SplitIntervals::new(0.1))]
    {
        assert!(error(found).contains("held-out rows"));
    }
    let session = Session::new(&trainer, &data).reserve(0.5);
    let pool = session.fit(&MultiRun::new(3), 42)?;
    let learned = error(pool.conformal(&InverseError::new(), &SplitIntervals::new(0.1)));
    assert!(learned.contains("not fitted on rows of the pool"), "{learned}");
    assert!(pool.conformal(&Mean, &SplitIntervals::new(0.1)).is_ok());
    // A learned combiner is calibrated on rows of its own.
    let ensemble = pool.combine(&InverseError::new())?;
    let conformal = ensemble.on(&line(7, 50, 0.3)).conformal(&SplitIntervals::new(0.1))?;
    assert_eq!(conformal.rows(), 50);
    assert!(ensemble.predict_intervals(&conformal, data.inputs()).is_ok());
    // The pool's own rows, which a member or the combiner has seen.
    let own = |found: Result<ConformalIntervals>| {
        let e = error(found);
        assert!(
            e.starts_with("the calibration rows must be rows on which neither a member nor the combiner"),
            "{e}"
        );
        e
    };
    let mean = pool.combine(&Mean)?;
    let e = own(mean.on(&data).conformal(&SplitIntervals::new(0.1)));
    assert!(e.ends_with("but is 30 rows, 15 of which members have seen"), "{e}");
    assert_eq!(mean.on(&data).rows(&pool.unseen()).conformal(&SplitIntervals::new(0.1))?.rows(), 15);
    own(mean.on(&data).conformal(&CrossIntervals::new(0.1)));
    let e = own(ensemble.on(&data).rows(&pool.unseen()).conformal(&SplitIntervals::new(0.1)));
    assert!(e.ends_with("on which \"inverse-error\" was fitted"), "{e}");
    // All rows of new data are new to the members, and not to a combiner that is fitted on them.
    let new = line(9, 20, 0.3);
    let on_new = pool.on_new_data(&new)?;
    assert!(on_new.combine(&Mean)?.on(&new).conformal(&SplitIntervals::new(0.1)).is_ok());
    own(on_new.combine(&InverseError::new())?.on(&new).conformal(&SplitIntervals::new(0.1)));
    // Classes are no values.
    let (blobs, classifier) = (blobs(1, 30, 3, 0.4), classifier());
    let classes = Session::new(&classifier, &blobs).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
    assert!(classes.predict_intervals(&conformal, blobs.inputs()).is_err());
    assert!(error(classes.on(&self::blobs(2, 30, 3, 0.4)).conformal(&SplitIntervals::new(0.1)))
        .contains("must be regression"));
    Ok(())
}

#[test]
fn groups_come_from_the_data_set() -> Result<()> {
    let groups: Vec<u32> = (0..60).map(|row| row % 2).collect();
    let (data, trainer) = (line(1, 40, 0.3), trainer());
    let calibration = line(3, 60, 0.3).with_groups(groups.clone())?;
    let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?.combine(&Mean)?;
    let by_group = ensemble.on(&calibration).conformal(&SplitIntervals::new(0.1).by_group())?;
    assert!(by_group.quantiles().is_some_and(|all| all.iter().all(|of| of.too_few().is_empty())));
    let few = ensemble.on(&calibration).conformal(&SplitIntervals::new(0.03).by_group())?;
    assert_eq!(few.quantiles().map(|all| all[0].too_few()), Some(vec![0, 1]));
    let rows = [5, 0, 7, 1];
    let found = ensemble.on(&calibration).rows(&rows).predict_intervals(&by_group)?;
    let widths: Vec<f64> = output_intervals(&found, 0)?.iter().map(PredictionInterval::width).collect();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(
        near(widths[0], widths[2]) && near(widths[0], widths[3]) && !near(widths[0], widths[1]),
        "{widths:?}"
    );
    let error = ensemble.predict_intervals(&by_group, data.inputs()).unwrap_err().to_string();
    assert!(error.contains("groups of the new rows must be given"), "{error}");
    // Two groups are two units, which are too few for an α of 0.1, and new rows need no group.
    let new_groups = ensemble.on(&calibration).conformal(&SplitIntervals::new(0.1))?;
    let found = ensemble.on(&calibration).predict_intervals(&new_groups)?;
    assert!(flat(&found).iter().all(|end| end.is_infinite()));
    let grouped = line(1, 40, 0.3).with_groups((0..40).map(|row| row / 4).collect())?;
    let pool = Session::new(&trainer, &grouped).fit(&Bagging::new(6), 42)?;
    assert!(pool
        .conformal(&Mean, &CrossIntervals::new(0.1))
        .unwrap_err()
        .to_string()
        .contains("exchangeable"));
    Ok(())
}

#[test]
fn what_is_saved_beside_an_ensemble_serves_after_it_is_loaded() -> Result<()> {
    let (data, trainer) = (line(1, 40, 0.3), trainer());
    let pool = Session::new(&trainer, &data).fit(&Bagging::new(9), 42)?;
    let (ensemble, conformal) = (pool.combine(&Mean)?, pool.conformal(&Mean, &CrossIntervals::new(0.2))?);
    let text = serde_json::to_string(&conformal).unwrap();
    let loaded: Ensemble<_, Mean> = Ensemble::from_bytes(&ensemble.to_bytes()?, &trainer, &CPU)?;
    let read: ConformalIntervals = serde_json::from_str(&text).unwrap();
    let before = bits(&ensemble.predict_intervals(&conformal, data.inputs())?);
    assert_eq!(bits(&loaded.predict_intervals(&read, data.inputs())?), before);
    Ok(())
}

#[test]
fn sets_of_an_ensemble_and_its_uncertainty_are_those_of_its_predictions() -> Result<()> {
    let (data, calibration, trainer) = (blobs(1, 60, 3, 0.5), blobs(2, 40, 3, 0.5), classifier());
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?;
    let weights = [0.5, 0.25, 0.25];
    let ensemble = pool.combine(&Weighted::new(&weights)?)?.batch_rows(7);
    let fitted = ensemble.on(&calibration).conformal(&ClassSets::new(0.2).score(ClassScore::Aps))?;
    let sets = ensemble.predict_sets(&fitted, data.inputs())?;
    let [p, new] = [&calibration, &data].map(|data| flat(&ensemble.predict_proba(data.inputs()).unwrap()));
    let [p, new] = [&p, &new].map(|p| ClassProbabilities::new(p, 3).unwrap());
    let labels = calibration.labels().unwrap();
    let exact = ClassConformal::fit(ClassScore::Aps, &p, labels, Condition::Marginal, 0.2, None)?;
    assert_eq!(sets, exact.predict(&new, None, EmptySets::default(), None)?);
    assert_eq!(
        ensemble.on(&data).rows(&[4, 2]).predict_sets(&fitted)?.as_slice()[..3],
        sets.as_slice()[12..15]
    );

    let predictions = pool.predictions(data.inputs())?;
    let found = ensemble.class_uncertainty(data.inputs())?;
    assert_eq!(found, ClassUncertainty::weighted(&predictions, Some(&weights))?);
    assert_ne!(found.total, ClassUncertainty::new(&predictions)?.total);
    assert_eq!(ensemble.on(&data).class_uncertainty()?, found);
    // The mean energy, by its definition, of networks whose inputs are scaled too.
    for trainer in [classifier(), classifier().input_scaling(Scaling::Standardize)] {
        let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?;
        let x = data.inputs().only().unwrap();
        let mut mean = vec![0.; 60];
        for member in 0..3 {
            let logits = pool.on_network(member, x, |network, inputs| network.forward(inputs.only()?))?;
            for (mean, z) in mean.iter_mut().zip(flat(&logits).chunks(3)) {
                *mean -= 2. * z.iter().map(|z| (z / 2.).exp()).sum::<f64>().ln() / 3.;
            }
        }
        let found = pool.combine(&Mean)?.batch_rows(7).energy(x, 2.)?;
        assert_eq!(pool.combine(&Mean)?.on(&data).rows(&[5, 3]).energy(2.)?, [found[5], found[3]]);
        assert!(found.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {mean:?}");
    }
    assert!(ensemble.value_uncertainty(data.inputs()).is_err());
    let (data, trainer) = (line(1, 40, 0.3), self::trainer());
    let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?;
    let found = pool.combine(&Median)?.value_uncertainty(data.inputs())?;
    let exact = ValueUncertainty::new(&pool.predictions(data.inputs())?, None)?;
    assert_eq!(bits(&found.between), bits(&exact.between));
    assert_eq!(data.rows(), found.mean.dims()[0]);
    let e = pool.combine(&Mean)?.energy(data.inputs(), 1.).unwrap_err().to_string();
    assert!(e.contains("must be Output::Logits for classes, but is Logits for regression"), "{e}");
    Ok(())
}

/// Labels are positions: a set for each, and the groups of the rows are those of their positions.
#[test]
fn sets_of_labels_take_the_groups_of_their_rows() -> Result<()> {
    let x = flat(line(1, 60, 0.3).inputs().only().unwrap());
    let y: Vec<u32> = x.iter().map(|x| u32::from(*x > 0.)).collect();
    let inputs = Tensor::from_iter(x.iter().map(|x| *x as f32), &CPU)?.reshape((60, 2))?;
    let data = TensorDataset::multi_label(&inputs, &Tensor::from_vec(y, (60, 2), &CPU)?)?;
    let trainer = Trainer::new(|vb: VarBuilder<'_>| linear(2, 2, vb)).epochs(20);
    let error = |result: Result<ConformalSets>| result.unwrap_err().to_string();
    let session = Session::new(&trainer, &data).reserve(0.5);
    let pool = session.fit(&MultiRun::new(2), 42)?;
    // A row is a unit, and a group of its own is no group that a new row could be in.
    let sets = pool.combine(&Mean)?.predict_sets(&pool.conformal(&Mean, &ClassSets::new(0.1))?, &inputs)?;
    assert_eq!((sets.rows(), sets.classes()), (120, 2));
    let e = error(pool.conformal(&Mean, &ClassSets::new(0.1).by_group()));
    assert!(
        e.contains("must be given (Dataset::groups), as the quantiles are by group, but is one for each"),
        "{e}"
    );
    let e = error(pool.conformal(&Mean, &ClassSets::new(0.1).by_class()));
    assert!(e.contains("or the positions of a row, are not exchangeable"), "{e}");

    let calibration = TensorDataset::multi_label((&inputs + 0.01)?, data.targets())?;
    let calibration = calibration.with_groups((0..60).map(|row| row % 2).collect())?;
    let ensemble = pool.combine(&Mean)?;
    let by_group = ensemble.on(&calibration).conformal(&ClassSets::new(0.2).by_group())?;
    assert_eq!(by_group.rows(), 120);
    let found = ensemble.on(&calibration).rows(&[3, 0]).predict_sets(&by_group)?;
    // By hand: the threshold of the row's group, for each of its labels.
    let p = flat(&ensemble.on(&calibration).rows(&[3, 0]).predict_proba()?);
    let quantile = |group| {
        Ok::<_, candle_ensemble::Error>(by_group.fitted().unwrap().quantiles().of(Some(group))?.quantile)
    };
    for (at, (p, group)) in p.iter().zip([1, 1, 0, 0]).enumerate() {
        let most = quantile(group)?;
        let mut expected = [*p <= most, 1. - p <= most];
        if expected == [false, false] {
            expected[usize::from(*p > 0.5)] = true;
        }
        assert_eq!(found.as_slice()[2 * at..][..2], expected, "{at}");
    }
    Ok(())
}

/// The module's forward pass is needed for a network that is a `Linear`.
#[test]
fn the_solver_finds_the_line() -> Result<()> {
    let data = noisy(Seed::from(1), 400);
    let learner = solver();
    let pool = Session::new(&learner, &data).fit(&MultiRun::new(1), 42)?;
    let at_one = pool.network(0)?.forward(&Tensor::new(&[[1f32], [0.]], &CPU)?)?;
    let found = flat(&at_one);
    assert!((found[0] - 2.).abs() < 0.3 && found[1].abs() < 0.2, "{found:?}");
    Ok(())
}
