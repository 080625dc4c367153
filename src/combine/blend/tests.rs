//! Comparisons with numbers from `tests/reference/blending.py` (numpy 2.4.6, scipy 1.17.1, scikit-learn
//! 1.9.1, arviz 0.23.4), and properties that hold for any predictions.
use crate::{
    combine::{blend::*, Combiner, FittedCombiner, Mean, Weighted},
    data::Task,
    metrics::{Criterion, Custom, RowLoss, Scored},
    predictions::Predictions,
    HeldOut, Result, Seed,
};
use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::Rng;

const CPU: Device = Device::Cpu;

fn classes(slots: usize, rows: usize, width: usize) -> (Vec<f64>, Vec<u32>) {
    let labels: Vec<u32> = (0..rows).map(|i| ((i * i + i / 3) % width) as u32).collect();
    let mut all = vec![];
    for s in 0..slots {
        for (i, label) in labels.iter().enumerate() {
            let raw = |c: usize| {
                let bonus = (20 + 13 * ((s * 5 + c * 3) % 7)) * usize::from(c == *label as usize);
                ((i * 37 + c * 101 + s * 53 + i * c * 17 + s * i * 11 + s * c * 29) % 97 + 1 + bonus) as f64
            };
            let total: f64 = (0..width).map(raw).sum();
            all.extend((0..width).map(|c| raw(c) / total));
        }
    }
    (all, labels)
}

fn predicted_classes(all: Vec<f64>, labels: &[u32], width: usize) -> HeldOut {
    let slots = all.len() / labels.len() / width;
    let predicted = Tensor::from_vec(all, (slots, labels.len(), width), &CPU).unwrap();
    let predictions = Predictions::new(predicted, Task::Classification { classes: width }).unwrap();
    HeldOut::from_predictions(&predictions, &Tensor::new(labels, &CPU).unwrap()).unwrap()
}

fn problem(slots: usize, rows: usize, width: usize) -> HeldOut {
    let (all, labels) = classes(slots, rows, width);
    predicted_classes(all, &labels, width)
}

fn duplicates() -> HeldOut {
    let (all, labels) = classes(5, 200, 3);
    predicted_classes(all.repeat(2), &labels, 3)
}

fn zeros() -> HeldOut {
    let (mut all, labels) = classes(10, 200, 3);
    for (at, row) in all.chunks_exact_mut(3).enumerate() {
        let (s, i) = (at / 200, at % 200);
        if (i + s) % 7 == 0 || i % 50 == 0 {
            row[labels[i] as usize] = 0.;
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= total);
        }
    }
    predicted_classes(all, &labels, 3)
}

fn weighted(held_out: HeldOut) -> HeldOut {
    let weights = (0..held_out.rows().len()).map(|i| 0.5 * (1 + i % 6) as f64);
    held_out.with_weights(&Tensor::from_iter(weights, &CPU).unwrap()).unwrap()
}

fn values(slots: usize, rows: usize, width: usize) -> HeldOut {
    let cells = (0..rows).flat_map(|i| (0..width).map(move |k| (i, k)));
    let truth: Vec<f64> =
        cells.clone().map(|(i, k)| ((i * 29 + k * 53 + i * k * 7) % 83) as f64 / 8. - 5.).collect();
    let mut all = vec![];
    for s in 0..slots {
        for ((i, k), y) in cells.clone().zip(&truth) {
            let raw = ((i * 31 + k * 43 + s * 59 + s * i * 13) % 41) as f64 - 20.;
            all.push(y + raw / 16. * (1. + s as f64 / 4.) + (s as f64 - 1.) * 0.125);
        }
    }
    let predicted = Tensor::from_vec(all, (slots, rows, width), &CPU).unwrap();
    let predictions = Predictions::new(predicted, Task::Regression { outputs: width }).unwrap();
    HeldOut::from_predictions(&predictions, &Tensor::from_vec(truth, (rows, width), &CPU).unwrap()).unwrap()
}

fn fit<C: Combiner>(combiner: &C, held_out: &HeldOut) -> C::Fitted {
    combiner.fit(held_out).unwrap()
}

fn objective(fitted: &Weighted) -> f64 {
    fitted.fitted().unwrap().objective
}

#[track_caller]
fn near(got: f64, want: f64, most: f64) {
    assert!((got - want).abs() <= most, "{got} is not {want}");
}

#[track_caller]
fn all_near(got: &[f64], want: &[f64], most: f64) {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() <= most, "{got:?} is not {want:?}"));
}

/// Checks for the least objective, a small gap, and weights on the simplex.
#[track_caller]
fn optimal(fitted: &Weighted, want: f64) {
    near(objective(fitted), want, 1e-6);
    on_simplex(fitted);
}

/// Checks for weights on the simplex with a small gap.
#[track_caller]
fn on_simplex(fitted: &Weighted) {
    let (weights, gap) = (fitted.weights().unwrap(), fitted.fitted().unwrap().gap.unwrap());
    assert!((0. ..=1e-6).contains(&gap), "{fitted:?}");
    assert!(
        weights.iter().all(|w| *w >= 0.) && (weights.iter().sum::<f64>() - 1.).abs() < 1e-12,
        "{fitted:?}"
    );
}

#[test]
fn simplex_weights_reach_the_loss_of_slsqp() {
    let problems = [
        (problem(10, 200, 3), 0.5838894315941519, 0.30389311196937313),
        (problem(2, 60, 2), 0.31305958596015654, 0.1730816292394001),
        (weighted(problem(10, 200, 3)), 0.5895343768955037, 0.3061382950464803),
        (duplicates(), 0.5904128195611067, 0.3102243729704882),
        (zeros(), 1.4664223789988982, 0.45232113274124836),
    ];
    for (held_out, log_loss, brier) in problems {
        optimal(&fit(&SimplexLogLoss::new(), &held_out), log_loss);
        optimal(&fit(&SimplexSquares::new(), &held_out), brier);
    }
    optimal(&fit(&SimplexSquares::new(), &values(5, 80, 2)), 0.20337372754236197);
    optimal(&fit(&SimplexSquares::new(), &weighted(values(5, 80, 2))), 0.2300273969481813);
    optimal(&fit(&PredictiveStacking, &values(3, 40, 2)), 2.2367544206471766);
}

#[test]
fn penalised_simplex_weights_reach_the_loss_of_slsqp() {
    let held_out = problem(10, 200, 3);
    let penalty =
        |fitted: &Weighted| fitted.weights().unwrap().iter().map(|w| (w - 0.1).powi(2)).sum::<f64>();
    for (lambda, log_loss, brier) in
        [(0.01, 0.5881628523204561, 0.30585240763012106), (1., 0.6233241390456628, 0.3259180751954808)]
    {
        let log = fit(&SimplexLogLoss::new().penalty(Penalty::Fixed(lambda)), &held_out);
        near(objective(&log) + lambda * penalty(&log), log_loss, 1e-6);
        let squares = fit(&SimplexSquares::new().penalty(Penalty::Fixed(lambda)), &held_out);
        near(objective(&squares) + lambda * penalty(&squares), brier, 1e-6);
        on_simplex(&log);
        on_simplex(&squares);
    }
    let equal = fit(&SimplexLogLoss::new().penalty(Penalty::Fixed(f64::INFINITY)), &held_out);
    assert_eq!(equal.weights().unwrap(), [0.1; 10]);
}

#[test]
fn least_squares_agrees_with_numpy_and_scikit_learn() {
    let of = |held_out: &HeldOut| fit(&LeastSquares::new(), held_out).weights().unwrap().to_vec();
    let held_out = values(5, 80, 2);
    let plain = [
        0.3943195912598421,
        0.21355277069893275,
        0.18354948176757624,
        0.12018630040833367,
        0.07081288861074762,
    ];
    all_near(&of(&held_out), &plain, 1e-10);
    let twice = held_out.select_slots(&[0, 1, 2, 3, 4, 0]).unwrap();
    let half = 0.19715979562992103;
    all_near(&of(&twice), &[half, plain[1], plain[2], plain[3], plain[4], half], 1e-9);
    let want = [
        0.40359143612803666,
        0.2174924363055748,
        0.21051325096231366,
        0.09187712410241568,
        0.062070128830981314,
    ];
    all_near(&of(&weighted(held_out.clone())), &want, 1e-10);
    let want = [
        0.37361151900568923,
        0.2159902617325575,
        0.18732084311192634,
        0.12628971248855841,
        0.07614027933950547,
    ];
    // Half the row's loss for each of two outputs: alpha 0.1 × 160 is λ = 0.1.
    let ridge = fit(&LeastSquares::ridge(Penalty::Fixed(0.1)), &held_out);
    all_near(ridge.weights().unwrap(), &want, 1e-10);
    let want = [0.42249311271696816, 0.47963258283189936, 0.5530285656791734, -0.15420022330699462];
    all_near(&of(&problem(4, 200, 3)), &want, 1e-5); // probabilities in f32
}

/// The numbers are exact solutions in rational numbers (`tests/reference/blending.py`), for predictions and
/// targets that are all `offset` higher. `numpy.linalg.lstsq` has seven digits at 10⁷ and six at 10¹⁰.
#[test]
fn least_squares_loses_no_digits_to_an_offset() {
    let held_out = values(5, 80, 2);
    let exact = [
        (
            1e7,
            [
                0.3967395962451248,
                0.21496436870589236,
                0.18554601841906723,
                0.12395371260215163,
                0.07879630049595918,
            ],
        ),
        (
            1e10,
            [
                0.3967396020265405,
                0.21496437018335254,
                0.1855460172891569,
                0.12395371123370497,
                0.07879629926371327,
            ],
        ),
    ];
    for (offset, want) in exact {
        let predicted = (held_out.predictions().values() + offset).unwrap();
        let predictions = Predictions::new(predicted, Task::Regression { outputs: 2 }).unwrap();
        let moved = HeldOut::from_predictions(&predictions, &(held_out.targets() + offset).unwrap()).unwrap();
        // The predictions are exact; products of 10¹⁰ with their differences have an error of 10⁻⁶.
        all_near(fit(&LeastSquares::new(), &moved).weights().unwrap(), &want, 1e-16 * offset);
        let ridge = fit(&LeastSquares::ridge(Penalty::Fixed(1e-12)), &moved);
        all_near(ridge.weights().unwrap(), &want, 1e-9 + 1e-16 * offset);
        // The same member twice gets half of the weight each time.
        let twice = fit(&LeastSquares::new(), &moved.select_slots(&[0, 1, 2, 3, 4, 0]).unwrap());
        let half = want[0] / 2.;
        all_near(
            twice.weights().unwrap(),
            &[half, want[1], want[2], want[3], want[4], half],
            1e-9 + 1e-15 * offset,
        );
    }
}

#[test]
fn bayesian_weights_agree_with_arviz() {
    let held_out = problem(4, 40, 3);
    let of = |fitted: Weighted| fitted.weights().unwrap().to_vec();
    let want = [0.16415631096054373, 0.10699213851780166, 0.5887457152526814, 0.14010583526897322];
    all_near(&of(fit(&PseudoBma::new(), &held_out)), &want, 1e-5);
    // Means of 20,000 draws, each of a standard deviation of at most 0.5: off by 0.014 once in 16,000 times.
    let want = [0.26205574901540774, 0.14276401124252183, 0.43618708640951254, 0.15899315333255962];
    all_near(&of(fit(&PseudoBma::bootstrap(20_000).seed(1), &held_out)), &want, 0.014);
    let want = [0.4120567613282456, 0., 0.5879432386717548, 0.];
    all_near(&of(fit(&PredictiveStacking, &held_out)), &want, 1e-3); // SLSQP to 1e-6
    let held_out = values(3, 40, 2);
    let want = [0.9999999733765741, 2.6623419039101957e-08, 6.907034324387315e-15];
    all_near(&of(fit(&PseudoBma::new(), &held_out)), &want, 1e-12);
    let want = [0.9837792567536929, 0.01620338246586663, 1.736078057765392e-05];
    all_near(&of(fit(&PseudoBma::bootstrap(20_000).seed(1), &held_out)), &want, 0.014);
    let want = [0.8201136896028401, 0.17988631039716108, 0.];
    all_near(&of(fit(&PredictiveStacking, &held_out)), &want, 1e-3);
}

#[test]
fn differential_evolution_reaches_the_loss_of_scipy() {
    // SciPy's own run ends at 0.32736, the least is 0.32713.
    let fitted = fit(&DifferentialEvolution::new().seed(1).criterion(RowLoss::Brier), &problem(4, 200, 3));
    assert!((0.3271347..0.3275).contains(&objective(&fitted)), "{fitted:?}");
    let fitted = fit(
        &DifferentialEvolution::new().seed(1).criterion(RowLoss::Brier).tolerance(1e-7),
        &problem(4, 200, 3),
    );
    near(objective(&fitted), 0.3271347162372857, 1e-6);
    // A loss of zero everywhere: no division by zero, no endless search.
    let zero = Custom::new("zero", |_: &Scored<'_>| Ok(0.));
    assert_eq!(
        objective(&fit(&DifferentialEvolution::new().seed(1).criterion(zero), &problem(3, 10, 2))),
        0.
    );
}

#[test]
fn grid_search_agrees_with_nested_loops() {
    let held_out = problem(3, 90, 3);
    let fitted = fit(&GridSearch::new(), &held_out);
    let mut best: Option<(f64, [f64; 3])> = None;
    for (a, b, c) in (0..1331).map(|i| (i / 121, i / 11 % 11, i % 11)) {
        if a == b && b == c {
            continue;
        }
        let total = f64::from(a + b + c);
        let weights = [f64::from(a) / total, f64::from(b) / total, f64::from(c) / total];
        let accuracy = held_out.metrics(&Weighted::new(&weights).unwrap()).unwrap().headline();
        if best.is_none_or(|(most, _)| accuracy > most + 1e-12) {
            best = Some((accuracy, weights));
        }
    }
    let (accuracy, weights) = best.unwrap();
    near(1. - objective(&fitted), accuracy, 1e-6);
    all_near(fitted.weights().unwrap(), &weights, 1e-12);
    assert_eq!(fitted.fitted().unwrap().iterations, 1320);
}

#[test]
fn a_grid_that_is_too_large_is_an_error_with_its_size() {
    let error = GridSearch::new().fit(&problem(10, 20, 2)).unwrap_err().to_string();
    assert!(error.contains("at most 1000000") && error.contains("11^10 = 2.594e10"), "{error}");
    let error = GridSearch::new().max_points(usize::MAX).fit(&problem(40, 20, 2)).unwrap_err().to_string();
    assert!(error.contains("11^40"), "{error}");
}

#[test]
fn a_custom_criterion_is_minimised_and_its_error_is_returned() {
    let first = Custom::new("share of class 0", |predicted: &Scored<'_>| {
        Ok(predicted.values.chunks_exact(predicted.width).map(|row| row[0]).sum())
    });
    let held_out = problem(3, 30, 3);
    let sums: Vec<f64> = held_out
        .predictions()
        .values()
        .to_vec3::<f64>()
        .unwrap()
        .iter()
        .map(|s| s.iter().map(|row| row[0]).sum())
        .collect();
    let least = (0..3).min_by(|a, b| sums[*a].total_cmp(&sums[*b])).unwrap();
    let fitted = fit(&GridSearch::new().steps(4).criterion(first.clone()), &held_out);
    assert_eq!(fitted.used(), [least]);
    let fitted = fit(&DifferentialEvolution::new().seed(3).tolerance(0.).criterion(first), &held_out);
    assert!(fitted.weights().unwrap()[least] > 0.999, "{fitted:?}");
    for combiner in
        [GridSearch::new().criterion(RowLoss::Squared), GridSearch::new().criterion(RowLoss::Absolute)]
    {
        assert!(combiner.fit(&held_out).unwrap_err().to_string().contains("for classes"));
    }
    let never = Custom::new("never", |_: &Scored<'_>| Ok(f64::NAN));
    let error = GridSearch::new().criterion(never).fit(&held_out).unwrap_err();
    assert!(error.to_string().contains("never of the best weights must be finite"), "{error}");
}

#[test]
fn inverse_error_agrees_with_weights_by_hand() {
    // Members whose errors are the same on both rows.
    let y = Tensor::new(&[[1f64], [3.]], &CPU).unwrap();
    let predicted = |errors: &[f64]| {
        let each: Vec<Tensor> = errors.iter().map(|e| (&y + *e).unwrap()).collect();
        let predictions =
            Predictions::new(Tensor::stack(&each, 0).unwrap(), Task::Regression { outputs: 1 }).unwrap();
        HeldOut::from_predictions(&predictions, &y).unwrap()
    };
    let of = |combiner: InverseError, errors: &[f64]| {
        fit(&combiner, &predicted(errors)).weights().unwrap().to_vec()
    };
    all_near(&of(InverseError::new(), &[1., -2.]), &[0.8, 0.2], 1e-12);
    all_near(&of(InverseError::new().power(0.5), &[1., -2.]), &[2. / 3., 1. / 3.], 1e-12);
    all_near(&of(InverseError::new().loss(RowLoss::Absolute), &[1., -2.]), &[2. / 3., 1. / 3.], 1e-12);
    assert_eq!(of(InverseError::new(), &[1., 0., 0., 5.]), [0., 0.5, 0.5, 0.]);
    assert_eq!(of(InverseError::new().power(0.), &[1., 0.]), [0.5, 0.5]);
    assert_eq!(of(InverseError::new().power(1e6), &[1., -2.]), [1., 0.]);
    near(fit(&InverseError::new(), &predicted(&[1., -2.])).fitted().unwrap().objective, 0.16, 1e-12);
}

#[test]
fn each_class_has_the_weights_of_a_fit_to_that_class_alone() {
    let (all, labels) = classes(4, 120, 3);
    let fitted = fit(&PerClass, &predicted_classes(all.clone(), &labels, 3));
    for (class, weights) in fitted.class_weights().iter().enumerate() {
        let column: Vec<f64> = all.iter().skip(class).step_by(3).copied().collect();
        let predicted = Tensor::from_vec(column, (4, 120, 1), &CPU).unwrap();
        let truth = labels.iter().map(|id| f64::from(u8::from(*id as usize == class)));
        let truth = Tensor::from_iter(truth, &CPU).unwrap();
        let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 }).unwrap();
        let alone = fit(&SimplexSquares::new(), &HeldOut::from_predictions(&predictions, &truth).unwrap());
        all_near(weights, alone.weights().unwrap(), 1e-4); // probabilities in f32
    }
    assert!(fitted.fitted().unwrap().gap.unwrap() < 1e-6);
}

#[test]
fn the_chosen_penalty_has_the_least_cross_validated_loss() {
    // With few rows the held-out loss of learned weights is noisy, so a penalty towards the mean helps.
    let held_out = problem(10, 30, 3);
    let chosen = fit(&SimplexLogLoss::new().penalty(Penalty::chosen().seed(7)), &held_out);
    let name = chosen.name();
    let lambda: f64 = name.trim_end_matches(')').rsplit(' ').next().unwrap().parse().unwrap();
    let folds = held_out.folds(5, Seed::from(7)).unwrap();
    let loss_of = |lambda: f64| -> f64 {
        let combiner = SimplexLogLoss::new().penalty(Penalty::Fixed(lambda));
        let predicted = crate::combine::cross_fit::cross_fit(&combiner, &held_out, &folds).unwrap();
        let values: Vec<f64> = predicted.flatten_all().unwrap().to_vec1().unwrap();
        let truth = held_out.truth().unwrap();
        let weights = vec![1. / 30.; 30];
        let predicted = Scored { values: &values, width: 3, truth: &truth, weights: &weights };
        RowLoss::LogLoss.loss(&predicted).unwrap()
    };
    let best = loss_of(lambda);
    for other in [0., lambda / 10., lambda / 100., lambda * 10., lambda * 100., f64::INFINITY] {
        assert!(best <= loss_of(other) + 1e-3, "{lambda} gives {best}, {other} {}", loss_of(other));
    }
    // One standard error moves the weights towards the mean.
    let careful = Penalty::CrossValidated { folds: 5, seed: Some(Seed::from(7)), one_standard_error: true };
    let spread = |fitted: Weighted| fitted.weights().unwrap().iter().map(|w| (w - 0.1).powi(2)).sum::<f64>();
    assert!(spread(fit(&SimplexLogLoss::new().penalty(careful), &held_out)) <= spread(chosen));
    assert!(fit(&LeastSquares::ridge(Penalty::chosen().seed(7)), &held_out)
        .name()
        .starts_with("ridge (λ = "));
}

#[test]
fn bad_parameters_are_errors_that_name_them() {
    let held_out = problem(3, 30, 3);
    let fails_with = |got: Result<Weighted>, what: &str| {
        let error = got.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let data = &held_out;
    for bad in [f64::NAN, -1.] {
        let penalty = Penalty::Fixed(bad);
        fails_with(SimplexLogLoss::new().penalty(penalty).fit(data), "the penalty must be 0 or more");
        fails_with(SimplexSquares::new().penalty(penalty).fit(data), "the penalty must be");
        fails_with(InverseError::new().power(bad).fit(data), "power of inverse-error");
        fails_with(
            DifferentialEvolution::new().seed(1).tolerance(bad).fit(data),
            "tolerance of differential evolution",
        );
    }
    fails_with(LeastSquares::ridge(Penalty::Fixed(-1.)).fit(data), "the penalty must be");
    fails_with(LeastSquares::ridge(Penalty::Fixed(f64::INFINITY)).fit(data), "ridge penalty must be finite");
    let folds = Penalty::CrossValidated { folds: 1, seed: Some(Seed::from(1)), one_standard_error: false };
    fails_with(
        SimplexLogLoss::new().penalty(folds).fit(data),
        "folds of the held-out rows must be at least 2",
    );
    fails_with(GridSearch::new().steps(0).fit(data), "steps of the grid");
    fails_with(PseudoBma::bootstrap(0).seed(1).fit(data), "draws of the Bayesian bootstrap");
    fails_with(ModelCombination::new().seed(1).draws(0).fit(data), "draws of Bayesian model combination");
    fails_with(SimplexLogLoss::new().fit(&values(2, 9, 1)), "classification");
    fails_with(InverseError::new().loss(RowLoss::Brier).fit(&values(2, 9, 1)), "a loss for values");
}

#[test]
fn many_slots_are_searched_from_the_best_of_them() {
    // Far more slots than the search starts with; the gap proves that the others do not matter.
    for held_out in
        [problem(300, 100, 3), zeros().select_slots(&(0..200).map(|s| s % 10).collect::<Vec<_>>()).unwrap()]
    {
        on_simplex(&fit(&SimplexLogLoss::new(), &held_out));
        on_simplex(&fit(&SimplexSquares::new(), &held_out));
    }
    optimal(
        &fit(
            &SimplexLogLoss::new(),
            &zeros().select_slots(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].repeat(9)).unwrap(),
        ),
        1.4664223789988982,
    );
}

#[test]
fn fits_do_not_depend_on_the_number_of_threads() {
    let held_out = problem(20, 5000, 3);
    let all = || {
        let simplex =
            (fit(&SimplexLogLoss::new(), &held_out), fit(&PseudoBma::bootstrap(50).seed(3), &held_out));
        let evolved = DifferentialEvolution::new().seed(1).max_generations(3);
        (simplex, fit(&evolved, &held_out), fit(&LeastSquares::new(), &held_out))
    };
    let wide = all();
    // On a pool with one thread, no other thread is used.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one.install(all), wide);
}

/// Random probabilities, some of them 0 or 1, with random targets and weights of the rows.
fn random(seed: u64, slots: usize, rows: usize, width: usize) -> HeldOut {
    let mut rng = Seed::from(seed).rng();
    let mut all = vec![];
    for _ in 0..slots * rows {
        let raw: Vec<f64> = (0..width).map(|_| rng.random::<f64>().powi(4)).collect();
        let total: f64 = raw.iter().sum();
        match rng.random_range(0..10) {
            0 => all.extend((0..width).map(|c| f64::from(u8::from(c == seed as usize % width)))),
            _ => all.extend(raw.iter().map(|x| x / total)),
        }
    }
    let labels: Vec<u32> = (0..rows).map(|_| rng.random_range(0..width as u32)).collect();
    let weights: Vec<f64> = (0..rows).map(|_| rng.random_range(0.1..3.)).collect();
    predicted_classes(all, &labels, width).with_weights(&Tensor::new(weights, &CPU).unwrap()).unwrap()
}

/// The loss of the weighted mean on the rows of the fit, by the criterion itself.
fn loss_of(held_out: &HeldOut, weights: &[f64], loss: RowLoss) -> f64 {
    let all = held_out.predictions().values().to_vec3::<f64>().unwrap();
    let omega = held_out.weights().unwrap().to_vec1::<f64>().unwrap();
    let total: f64 = omega.iter().sum();
    let truth = held_out.truth().unwrap();
    let mut sum = 0.;
    for (row, w) in omega.iter().enumerate() {
        let width = all[0][row].len();
        // The log-loss of the combiner: each slot's probabilities are at least NLL_EPSILON.
        let least = if loss == RowLoss::LogLoss { f64::EPSILON } else { 0. };
        let mixed: Vec<f64> = (0..width)
            .map(|c| weights.iter().zip(&all).map(|(w, s)| w * s[row][c].max(least)).sum())
            .collect();
        sum += w / total * loss.of(&mixed, &truth, row);
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_least_loss_is_below_every_vertex_and_the_mean(
        seed in any::<u64>(), slots in 1usize..9, rows in 1usize..40, width in 2usize..5,
    ) {
        let held_out = random(seed, slots, rows, width);
        for (loss, fitted) in [
            (RowLoss::LogLoss, fit(&SimplexLogLoss::new(), &held_out)),
            (RowLoss::Brier, fit(&SimplexSquares::new(), &held_out)),
        ] {
            let weights = fitted.weights().unwrap();
            prop_assert!(weights.iter().all(|w| *w >= 0.));
            prop_assert!((weights.iter().sum::<f64>() - 1.).abs() < 1e-12);
            let (end, best) = (fitted.fitted().unwrap(), loss_of(&held_out, weights, loss));
            prop_assert!(end.gap.unwrap() <= 1e-6, "{:?}", end);
            prop_assert!((end.objective - best).abs() < 2e-6, "{} {}", end.objective, best);
            let mut others: Vec<Vec<f64>> = vec![vec![1. / slots as f64; slots]];
            others.extend((0..slots).map(|s| (0..slots).map(|t| f64::from(u8::from(s == t))).collect()));
            for other in &others {
                prop_assert!(best <= loss_of(&held_out, other, loss) + 2e-6);
            }
        }
    }

    #[test]
    fn order_and_duplicates_do_not_change_the_loss(seed in any::<u64>(), slots in 1usize..7, rows in 2usize..30) {
        let held_out = random(seed, slots, rows, 3);
        let back: Vec<usize> = (0..slots).rev().collect();
        let twice: Vec<usize> = (0..slots).chain(0..slots).collect();
        let reversed_rows: Vec<u32> = (0..rows as u32).rev().collect();
        let others = [
            held_out.select_slots(&back).unwrap(),
            held_out.select_slots(&twice).unwrap(),
            held_out.select(&reversed_rows).unwrap(),
        ];
        let same = |a: f64, b: f64| (a - b).abs() < 2e-6;
        for other in &others {
            prop_assert!(same(
                objective(&fit(&SimplexLogLoss::new(), &held_out)),
                objective(&fit(&SimplexLogLoss::new(), other)),
            ));
            prop_assert!(same(
                objective(&fit(&SimplexSquares::new(), &held_out)),
                objective(&fit(&SimplexSquares::new(), other)),
            ));
            let least = |held_out: &HeldOut| {
                loss_of(held_out, fit(&LeastSquares::new(), held_out).weights().unwrap(), RowLoss::Brier)
            };
            prop_assert!(same(least(&held_out), least(other)));
        }
        // With inverse errors the weights themselves are permuted.
        let weights = fit(&InverseError::new(), &held_out).weights().unwrap().to_vec();
        let mut reversed = fit(&InverseError::new(), &others[0]).weights().unwrap().to_vec();
        reversed.reverse();
        prop_assert!(weights.iter().zip(reversed).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn least_squares_is_below_the_simplex_and_at_a_stationary_point(
        seed in any::<u64>(), slots in 1usize..6, rows in 2usize..30,
    ) {
        let held_out = random(seed, slots, rows, 3);
        let free = fit(&LeastSquares::new(), &held_out);
        // The squared error before the result is made a probability.
        let least = loss_of(&held_out, free.weights().unwrap(), RowLoss::Brier);
        prop_assert!(least <= objective(&fit(&SimplexSquares::new(), &held_out)) + 1e-6);
        for s in 0..slots {
            for step in [-1e-2, 1e-2] {
                let mut other = free.weights().unwrap().to_vec();
                other[s] += step;
                prop_assert!(least <= loss_of(&held_out, &other, RowLoss::Brier) + 1e-6);
            }
        }
    }
}

#[test]
fn an_infinite_penalty_gives_the_mean() {
    let held_out = problem(4, 50, 3);
    let fitted = fit(&SimplexSquares::new().penalty(Penalty::Fixed(f64::INFINITY)), &held_out);
    let (a, b) =
        (fitted.combine(held_out.predictions()).unwrap(), Mean.combine(held_out.predictions()).unwrap());
    let most = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(most < 1e-12);
}

#[test]
fn the_default_seed_follows_from_the_held_out_predictions() {
    let held_out = problem(4, 40, 3).with_seed(7);
    let seed = |name: &str| Seed::from(7).child(name);
    assert_eq!(
        fit(&PseudoBma::bootstrap(20), &held_out),
        fit(&PseudoBma::bootstrap(20).seed(seed("pseudo-bma+")), &held_out),
    );
    assert_eq!(
        fit(&ModelCombination::new().draws(30), &held_out),
        fit(&ModelCombination::new().draws(30).seed(seed("model-combination")), &held_out),
    );
    let evolution = DifferentialEvolution::new().max_generations(2);
    assert_eq!(
        fit(&evolution, &held_out),
        fit(&evolution.clone().seed(seed("differential-evolution")), &held_out),
    );
    let chosen = |penalty| fit(&SimplexSquares::new().penalty(penalty), &held_out);
    assert_eq!(chosen(Penalty::chosen()), chosen(Penalty::chosen().seed(seed("simplex-squares"))));
    let other = fit(&PseudoBma::bootstrap(20), &held_out.clone().with_seed(8));
    assert_ne!(fit(&PseudoBma::bootstrap(20), &held_out), other);
}
