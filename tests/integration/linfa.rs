//! linfa's models as meta-learners. Reference numbers: `tests/reference/linfa.py`.

use crate::common::{bits, blobs, flat, line, CPU};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_ensemble::{
    combine::{stack::*, Combiner, FittedCombiner, Stack},
    data::Task,
    predictions::Predictions,
    strategy::MultiRun,
    train::{Optimizer, Trainer},
    Ensemble, Error, HeldOut, Seed, Session,
};
use linfa::dataset::Pr;
use linfa_svm::Svm;
use linfa_trees::DecisionTree;
use ndarray::Array2;

const ROWS: usize = 60;

/// The script's generator.
struct Lcg(u64);

impl Lcg {
    fn draw(&mut self) -> f64 {
        self.0 = (self.0 * 1_664_525 + 1_013_904_223) % (1 << 32);
        self.0 as f64 / f64::from(1u32 << 16) / f64::from(1u32 << 16)
    }
}

/// Three members' predictions of counts; the counts with `more` added; weights.
fn counts(more: f64) -> (HeldOut, Tensor) {
    let mut g = Lcg(7);
    let x: Vec<[f64; 3]> = (0..ROWS).map(|_| [3. * g.draw(), 3. * g.draw(), 3. * g.draw()]).collect();
    let mean = |[a, b, c]: &[f64; 3]| 3. * (0.3 * a + 0.2 * b - 0.1 * c).exp();
    let y: Vec<f64> = x.iter().map(|x| (mean(x) * (0.3 + g.draw())).floor() + more).collect();
    let weights: Vec<f64> = (0..ROWS).map(|i| if i % 5 == 0 { 0. } else { 0.5 + g.draw() }).collect();
    (of_values(&by_member(&x), &y), Tensor::new(weights, &CPU).unwrap())
}

fn by_member(rows: &[[f64; 3]]) -> Vec<Vec<f64>> {
    (0..3).map(|member| rows.iter().map(|row| row[member]).collect()).collect()
}

fn of_values(members: &[Vec<f64>], y: &[f64]) -> HeldOut {
    let all = Tensor::new(members.concat(), &CPU).unwrap().reshape((members.len(), y.len(), 1)).unwrap();
    let members = Predictions::new(all, Task::Regression { outputs: 1 }).unwrap();
    HeldOut::from_predictions(&members, &Tensor::new(y, &CPU).unwrap()).unwrap()
}

/// Members that are right more often than not; no two meta-features are equal.
fn classes(seed: u64, members: usize, rows: usize, classes: usize) -> HeldOut {
    let mut g = Lcg(seed);
    let labels: Vec<u32> = (0..rows).map(|_| (g.draw() * classes as f64) as u32).collect();
    let mut all = vec![];
    for _ in 0..members {
        for label in &labels {
            let own = |class: usize| if class == *label as usize { 1.5 } else { 0. };
            let row: Vec<f64> = (0..classes).map(|class| (2. * g.draw() + own(class)).exp()).collect();
            let sum: f64 = row.iter().sum();
            all.extend(row.iter().map(|p| p / sum));
        }
    }
    let all = Tensor::from_vec(all, (members, rows, classes), &CPU).unwrap();
    let members = Predictions::new(all, Task::Classification { classes }).unwrap();
    HeldOut::from_predictions(&members, &Tensor::new(labels, &CPU).unwrap()).unwrap()
}

fn fitted<C: Combiner>(rule: &C, held_out: &HeldOut) -> C::Fitted {
    rule.fit(&held_out.clone()).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn refused<M: MetaLearner>(learner: M, held_out: &HeldOut, why: &str) {
    match Stack::new(learner).fit(&held_out.clone()) {
        Err(e @ Error::Invalid { .. }) => assert!(e.to_string().contains(why), "{e}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn near(ours: &[f64], reference: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), reference.len());
    for (a, b) in ours.iter().zip(reference) {
        assert!((a - b).abs() <= tolerance * (1. + b.abs()), "{ours:?} are not {reference:?}");
    }
}

fn predicted(head: &impl FittedCombiner, held_out: &HeldOut) -> Vec<Vec<f64>> {
    head.combine(held_out.predictions()).unwrap().to_vec2().unwrap()
}

// Printed by the script.
// scikit-learn 1.9.1, numpy 2.4.6
const LEAST_SQUARES: &[f64] = &[1.673983229, 0.9017182711, -0.6210945178, 1.180272648];
const LEAST_SQUARES_WEIGHTED: &[f64] = &[1.509795821, 0.7467298772, -0.6818847117, 1.663725622];
const NORMAL: &[f64] = &[1.454036305, 0.7920838481, -0.5828266143, 1.647370226];
const NORMAL_WEIGHTED: &[f64] = &[1.322617814, 0.6596444431, -0.6386032083, 2.045512026];
const NORMAL_LOG: &[f64] = &[0.3995532673, 0.1709159087, -0.1963820306, 0.7524718157];
const NORMAL_LOG_WEIGHTED: &[f64] = &[0.3688108573, 0.1318146543, -0.2448167796, 0.9080766965];
const POISSON: &[f64] = &[0.3714355884, 0.1828973758, -0.1389364455, 0.72237698];
const POISSON_WEIGHTED: &[f64] = &[0.3440811394, 0.1466017231, -0.1687592388, 0.8457518799];
const POISSON_PENALTY: &[f64] = &[0.3180580494, 0.1625456011, -0.1303001509, 0.8442790727];
const POISSON_PENALTY_WEIGHTED: &[f64] = &[0.2960519392, 0.1329632446, -0.1529959651, 0.9390195102];
const COMPOUND: &[f64] = &[0.3425039623, 0.1771523929, -0.1242119982, 0.7625171053];
const COMPOUND_WEIGHTED: &[f64] = &[0.3253509592, 0.1475081165, -0.1457423276, 0.8462484863];
const GAMMA: &[f64] = &[0.327681781, 0.1731690388, -0.1095662855, 0.8898140836];
const GAMMA_WEIGHTED: &[f64] = &[0.3181800316, 0.1487667979, -0.1247450433, 0.9443599267];
const GAMMA_PENALTY: &[f64] = &[0.2841961396, 0.1514325191, -0.1042938581, 0.9863471667];
const GAMMA_PENALTY_WEIGHTED: &[f64] = &[0.2760456379, 0.1296324099, -0.1190841442, 1.036239815];
const INVERSE_GAUSSIAN: &[f64] = &[0.3151511967, 0.1742937518, -0.1130295879, 0.9096042974];
const INVERSE_GAUSSIAN_WEIGHTED: &[f64] = &[0.3324084061, 0.1612471442, -0.1230818332, 0.8985832499];

#[test]
fn linear_regression_is_scikit_learns_and_the_closed_form() {
    let (held_out, weights) = counts(0.);
    let row = |head: &FittedStack<AffineModel>| {
        [&head.model().coefficients()[0][..], head.model().intercepts()].concat()
    };
    let head = fitted(&Stack::new(LinearRegression), &held_out);
    assert_eq!(head.name(), "linear-regression-stack");
    near(&row(&head), LEAST_SQUARES, 1e-9);
    let weighted = held_out.clone().with_weights(&weights).unwrap();
    near(&row(&fitted(&Stack::new(LinearRegression), &weighted)), LEAST_SQUARES_WEIGHTED, 1e-6);
    // Both kinds of least squares agree where the coefficients are determined.
    near(&row(&fitted(&Stack::new(Linear), &held_out)), &row(&head), 1e-9);
    let objectives = [fitted(&Stack::new(Linear), &held_out), head].map(|h| h.fitted().unwrap().objective);
    near(&objectives[..1], &objectives[1..], 1e-9);

    // One member: slope = cov(x, y)/var(x), by hand (5, 3, 8, 6 on 1, 2, 3, 4): 4/5 and 5.5 − 0.8 · 2.5.
    let line = of_values(&[vec![1., 2., 3., 4.]], &[5., 3., 8., 6.]);
    near(&row(&fitted(&Stack::new(LinearRegression), &line)), &[0.8, 3.5], 1e-12);
    // Large numbers far from 0.
    let far = of_values(&[vec![1e6 + 1., 1e6 + 2., 1e6 + 3., 1e6 + 4.]], &[5., 3., 8., 6.]);
    near(
        &predicted(&fitted(&Stack::new(LinearRegression), &far), &far).concat(),
        &[4.3, 5.1, 5.9, 6.7],
        1e-8,
    );
}

#[test]
fn linear_regression_refuses_what_leaves_coefficients_open() {
    let (held_out, _) = counts(0.);
    refused(LinearRegression, &classes(3, 2, 30, 2), "linear regression is for values");
    refused(
        LinearRegression,
        &held_out.select_slots(&[0, 1, 0]).unwrap(),
        "meta-feature 2 must be neither constant",
    );
    refused(LinearRegression, &held_out.select(&[0, 1, 2]).unwrap(), "more than the 3 meta-features");
    refused(LinearRegression, &held_out.select(&[4]).unwrap(), "at least two of a weight above 0");
    let constant = of_values(&[vec![1., 2., 3.], vec![7.; 3]], &[1., 2., 4.]);
    refused(LinearRegression, &constant, "meta-feature");
    let sum =
        of_values(&[vec![1., 2., 3., 5.], vec![3., 1., 2., 2.], vec![4., 3., 5., 7.]], &[1., 2., 4., 3.]);
    refused(LinearRegression, &sum, "meta-feature 2");
}

fn glm(model: &TweedieModel) -> Vec<f64> {
    [&model.coefficients()[0][..], model.intercepts()].concat()
}

#[test]
fn tweedie_regression_is_scikit_learns() {
    let cases = [
        (Tweedie::new(0.).alpha(0.1), 0., NORMAL, NORMAL_WEIGHTED),
        (Tweedie::new(0.).alpha(0.1).link(Link::Log), 0., NORMAL_LOG, NORMAL_LOG_WEIGHTED),
        (Tweedie::poisson().alpha(0.), 0., POISSON, POISSON_WEIGHTED),
        (Tweedie::poisson().alpha(0.5), 0., POISSON_PENALTY, POISSON_PENALTY_WEIGHTED),
        (Tweedie::new(1.5).alpha(0.1), 0., COMPOUND, COMPOUND_WEIGHTED),
        (Tweedie::gamma().alpha(0.), 0.5, GAMMA, GAMMA_WEIGHTED),
        (Tweedie::gamma().alpha(0.1), 0.5, GAMMA_PENALTY, GAMMA_PENALTY_WEIGHTED),
        (Tweedie::new(3.).alpha(0.01), 0.5, INVERSE_GAUSSIAN, INVERSE_GAUSSIAN_WEIGHTED),
    ];
    for (learner, more, plain, weighted) in cases {
        let (held_out, weights) = counts(more);
        let head = fitted(&Stack::new(learner), &held_out);
        assert_eq!(head.name(), "tweedie-stack");
        near(&glm(head.model()), plain, 1e-6);
        let held_out = held_out.with_weights(&weights).unwrap();
        near(&glm(fitted(&Stack::new(learner), &held_out).model()), weighted, 1e-6);
    }
}

#[test]
fn power_0_is_least_squares() {
    let (held_out, weights) = counts(0.);
    for held_out in [held_out.clone(), held_out.with_weights(&weights).unwrap()] {
        let head = fitted(&Stack::new(Tweedie::new(0.).alpha(0.)), &held_out);
        let linear = fitted(&Stack::new(LinearRegression), &held_out);
        near(&head.model().coefficients()[0], &linear.model().coefficients()[0], 1e-7);
        near(head.model().intercepts(), linear.model().intercepts(), 1e-7);
        let half = linear.fitted().unwrap().objective / 2.;
        near(&[head.fitted().unwrap().objective], &[half], 1e-9);
    }
}

/// Iteratively reweighted least squares for Poisson with the logarithm, written out: solves XᵀMX b = XᵀM z with
/// M = diag(μ) and z = η + (y − μ)/μ by Gaussian elimination.
#[test]
fn poisson_is_reweighted_least_squares() {
    let (held_out, _) = counts(0.);
    let all = flat(held_out.predictions().values());
    let y = flat(held_out.targets());
    let x: Vec<[f64; 4]> = (0..ROWS).map(|i| [1., all[i], all[ROWS + i], all[2 * ROWS + i]]).collect();
    let mut b = [(y.iter().sum::<f64>() / ROWS as f64).ln(), 0., 0., 0.];
    for _ in 0..50 {
        let mut system = [[0.; 5]; 4];
        for (x, y) in x.iter().zip(&y) {
            let eta: f64 = x.iter().zip(&b).map(|(x, b)| x * b).sum();
            let (mu, z) = (eta.exp(), eta + (y - eta.exp()) / eta.exp());
            for i in 0..4 {
                (0..4).for_each(|j| system[i][j] += mu * x[i] * x[j]);
                system[i][4] += mu * x[i] * z;
            }
        }
        for i in 0..4 {
            for j in 0..4 {
                if j != i {
                    let factor = system[j][i] / system[i][i];
                    (0..5).for_each(|k| system[j][k] -= factor * system[i][k]);
                }
            }
        }
        (0..4).for_each(|i| b[i] = system[i][4] / system[i][i]);
    }
    let head = fitted(&Stack::new(Tweedie::poisson().alpha(0.)), &held_out);
    near(&glm(head.model()), &[b[1], b[2], b[3], b[0]], 1e-7);
    // At the optimum the predictions sum to the targets.
    let sums = [predicted(&head, &held_out).concat().iter().sum(), y.iter().sum::<f64>()];
    near(&sums[..1], &sums[1..], 1e-7);
}

#[test]
fn units_duplicates_and_constants_do_not_change_tweedie_regression() {
    let (held_out, _) = counts(0.5);
    let (values, y) = (held_out.predictions().values().clone(), held_out.targets().clone());
    for learner in [Tweedie::poisson().alpha(0.), Tweedie::gamma().alpha(0.), Tweedie::new(0.).alpha(0.)] {
        let plain = predicted(&fitted(&Stack::new(learner), &held_out), &held_out).concat();
        let twice = held_out.select_slots(&[0, 1, 2, 1]).unwrap();
        let head = fitted(&Stack::new(learner), &twice);
        near(&predicted(&head, &twice).concat(), &plain, 1e-6);
        let b = &head.model().coefficients()[0];
        near(&b[1..2], &b[3..], 1e-6);
        let constant = Tensor::full(2f64, (1, ROWS, 1), &CPU).unwrap();
        let more = Tensor::cat(&[&values, &constant], 0).unwrap();
        let more = Predictions::new(more, held_out.predictions().task()).unwrap();
        let more = HeldOut::from_predictions(&more, &y).unwrap();
        near(&predicted(&fitted(&Stack::new(learner), &more), &more).concat(), &plain, 1e-6);
        let units = Predictions::new((&values * 1e4).unwrap(), held_out.predictions().task()).unwrap();
        let units = HeldOut::from_predictions(&units, &(&y * 1e-6).unwrap()).unwrap();
        let small: Vec<f64> = plain.iter().map(|y| y * 1e-6).collect();
        let ours = predicted(&fitted(&Stack::new(learner), &units), &units).concat();
        ours.iter().zip(&small).for_each(|(a, b)| assert!((a / b - 1.).abs() < 1e-5, "{a} is not {b}"));
    }
}

#[test]
fn tweedie_regression_names_what_it_cannot_fit() {
    let (held_out, _) = counts(0.);
    for power in [0.5, f64::NAN, f64::INFINITY] {
        refused(Tweedie::new(power), &held_out, "the Tweedie power must be finite and not between 0 and 1");
    }
    for alpha in [-1., f64::NAN] {
        refused(Tweedie::poisson().alpha(alpha), &held_out, "the Tweedie penalty must be finite");
    }
    refused(Tweedie::poisson().tolerance(0.), &held_out, "the Tweedie tolerance");
    refused(Tweedie::poisson().max_iterations(0), &held_out, "the most iterations");
    refused(Tweedie::poisson(), &classes(3, 2, 30, 2), "is for values");
    let negative = of_values(&[vec![1., 2., 4.]], &[1., -2., 4.]);
    refused(Tweedie::poisson(), &negative, "targets for a Tweedie power of 1 must be 0 or more, but is -2");
    refused(Tweedie::gamma(), &held_out, "targets for a Tweedie power of 2 must be above 0");
    refused(Tweedie::new(0.).link(Link::Logit), &held_out, "between 0 and 1");
    refused(Tweedie::poisson(), &of_values(&[vec![1., 2.]], &[0., 0.]), "above 0, but is 0");
    refused(Tweedie::poisson(), &held_out.select(&[3]).unwrap(), "at least two");
    // A perfect separation has no least.
    let step = of_values(&[vec![1., 2., 3., 4.]], &[0., 0., 1., 1.]);
    refused(Tweedie::new(0.).link(Link::Logit).alpha(0.).tolerance(1e-300), &step, "the gradient of Tweedie");
}

/// The derivative by the intercept is 0 at every solution: Σ (μ − y) dμ/dη / μ^power.
#[test]
fn tweedie_regression_converges_on_many_tables() {
    for seed in 0..20 {
        let mut g = Lcg(seed);
        let rows = 15 + 10 * seed as usize;
        let x: Vec<[f64; 3]> = (0..rows).map(|_| [4. * g.draw(), g.draw() - 5., 50. * g.draw()]).collect();
        // Counts of which some are very large, and of which many are 0.
        let y: Vec<f64> = x.iter().map(|x| ((x[0] - 1.).exp() * g.draw().powi(4) * 9.).floor()).collect();
        for (power, more) in [(0., 0.), (1., 0.), (1.5, 0.), (1.9, 0.), (2., 0.01), (3., 0.1)] {
            let y: Vec<f64> = y.iter().map(|y| y + more).collect();
            let held_out = of_values(&by_member(&x), &y);
            for alpha in [0., 0.01, 1.] {
                let head = fitted(&Stack::new(Tweedie::new(power).alpha(alpha).link(Link::Log)), &held_out);
                let all = predicted(&head, &held_out).concat();
                let terms = all.iter().zip(&y).map(|(m, y)| (m - y) * m.powf(1. - power));
                let size: f64 = terms.clone().map(f64::abs).sum();
                let sum: f64 = terms.sum();
                assert!(sum.abs() < 1e-5 * size, "seed {seed}, power {power}, α {alpha}: {sum} of {size}");
            }
        }
    }
}

#[test]
fn a_logit_keeps_predictions_between_0_and_1() {
    let shares = of_values(&[vec![0.1, 0.3, 0.5, 0.9, 0.6]], &[0.2, 0.3, 0.6, 0.8, 0.5]);
    let head = fitted(&Stack::new(Tweedie::new(0.).link(Link::Logit).alpha(0.)), &shares);
    let wide = of_values(&[vec![-50., 50.]], &[0., 1.]);
    let far = predicted(&head, &wide).concat();
    assert!(far[0] < 1e-3 && far[1] > 0.999 && far.iter().all(|p| (0. ..=1.).contains(p)), "{far:?}");
}

#[test]
fn a_decision_tree_stacks_classes() {
    for k in [2, 3] {
        let held_out = classes(5, 3, 90, k);
        let learner = || Linfa::labels(DecisionTree::<f64, usize>::params().max_depth(Some(2)));
        let head = fitted(&Stack::new(learner()), &held_out);
        assert_eq!(head.name(), "linfa-decision-tree-stack");
        let all = predicted(&head, &held_out);
        // The tree itself, asked for the same rows.
        let features = features(&held_out, k);
        let labels: Vec<usize> =
            linfa::traits::Predict::predict(&head.model().models()[0], &features).to_vec();
        for (row, label) in all.iter().zip(labels) {
            assert_eq!(row.iter().sum::<f64>(), 1.);
            assert_eq!(row[label], 1.);
        }
        let right = |row: (&Vec<f64>, &f64)| row.0[*row.1 as usize] == 1.;
        let hits = all.iter().zip(&flat(held_out.targets())).filter(|row| right(*row)).count();
        assert!(hits > 60, "{hits} of 90");
    }
}

/// What a stack sees of classes: the second of two, all of more.
fn features(held_out: &HeldOut, classes: usize) -> Array2<f64> {
    let values: Vec<Vec<Vec<f64>>> = held_out.predictions().values().to_vec3().unwrap();
    let rows = held_out.predictions().rows();
    let first = usize::from(classes == 2);
    let row = |row: usize| values.iter().flat_map(move |member| member[row][first..].to_vec());
    let width = values.len() * (classes - first);
    Array2::from_shape_vec((rows, width), (0..rows).flat_map(row).collect()).unwrap()
}

#[test]
fn a_tree_honours_weights_and_rows_of_weight_0_do_not_count() {
    let member =
        Tensor::new(&[[[0.8f64, 0.2], [0.7, 0.3], [0.4, 0.6], [0.4, 0.6], [0.4, 0.6]]], &CPU).unwrap();
    let members = Predictions::new(member, Task::Classification { classes: 2 }).unwrap();
    let held_out =
        HeldOut::from_predictions(&members, &Tensor::new(&[0u32, 0, 0, 1, 1], &CPU).unwrap()).unwrap();
    let learner = || Stack::new(Linfa::labels(DecisionTree::<f64, usize>::params()));
    let last = |held_out: &HeldOut| predicted(&fitted(&learner(), held_out), held_out)[4].clone();
    assert_eq!(last(&held_out), [0., 1.]);
    let weighted =
        |weights: [f64; 5]| held_out.clone().with_weights(&Tensor::new(&weights, &CPU).unwrap()).unwrap();
    assert_eq!(last(&weighted([1., 1., 5., 1., 1.])), [1., 0.], "row 2 outweighs rows 3 and 4");
    // A row of weight 0 is as if it were not there.
    let none = predicted(&fitted(&learner(), &weighted([0., 0., 1., 1., 1.])), &held_out);
    let some = fitted(&learner(), &held_out.select(&[2, 3, 4]).unwrap());
    assert_eq!(none, predicted(&some, &held_out));
}

#[test]
fn a_support_vector_machine_stacks_values() {
    let (held_out, _) = counts(0.);
    let svm = || Svm::<f64, f64>::params().c_svr(10., Some(0.1)).linear_kernel();
    let head = fitted(&Stack::new(Linfa::values(svm())), &held_out);
    assert_eq!(head.name(), "linfa-svm-stack");
    let error = |head: &dyn FittedCombiner| held_out.metrics(head).unwrap().headline();
    let (ours, least) = (error(&head), error(&fitted(&Stack::new(LinearRegression), &held_out)));
    assert!(ours < 1.2 * least && ours >= least - 1e-9, "{ours} and {least}");
}

#[test]
fn one_output_after_the_other() {
    let data = line(3, 40, 0.1);
    let x = flat(data.inputs().only().unwrap());
    let y: Vec<f64> = x.chunks_exact(2).flat_map(|x| [1. + x[0] - x[1], 2. * x[1]]).collect();
    let both = Tensor::new(x, &CPU).unwrap().reshape((1, 40, 2)).unwrap();
    let members = Predictions::new(both, Task::Regression { outputs: 2 }).unwrap();
    let y = Tensor::new(y, &CPU).unwrap().reshape((40, 2)).unwrap();
    let held_out = HeldOut::from_predictions(&members, &y).unwrap();
    let linear = fitted(&Stack::new(LinearRegression), &held_out);
    let linfa = fitted(&Stack::new(Linfa::values(linfa_linear::LinearRegression::new())), &held_out);
    let tweedie = fitted(&Stack::new(Tweedie::new(0.).alpha(0.)), &held_out);
    assert_eq!(linfa.model().models().len(), 2);
    for head in [&linear as &dyn FittedCombiner, &linfa, &tweedie] {
        near(&flat(&head.combine(&members).unwrap()), &flat(&y), 1e-7);
    }
}

#[test]
fn one_class_against_the_rest() {
    let platt = || Svm::<f64, Pr>::params().pos_neg_weights(10., 10.).linear_kernel();
    let hard = || linfa_svm::SvmParams::<f64, bool>::new().pos_neg_weights(10., 10.).linear_kernel();
    for (k, models) in [(2, 1), (3, 3)] {
        let held_out = classes(8, 3, 90, k);
        let soft = fitted(&Stack::new(Linfa::one_vs_rest_probabilities(platt())), &held_out);
        assert_eq!(soft.model().models().len(), models);
        let hard = fitted(&Stack::new(Linfa::one_vs_rest(hard())), &held_out);
        for head in [&soft as &dyn FittedCombiner, &hard] {
            let all = head.combine(held_out.predictions()).unwrap();
            assert!(flat(&all).iter().all(|p| (0. ..=1.).contains(p)));
            all.to_vec2::<f64>().unwrap().iter().for_each(|row| near(&[row.iter().sum()], &[1.], 1e-9));
            let best = all.argmax(1).unwrap().to_vec1::<u32>().unwrap();
            let labels: Vec<u32> = held_out.targets().to_vec1().unwrap();
            let hits = best.iter().zip(&labels).filter(|(a, b)| a == b).count();
            assert!(hits > 75, "{hits} of 90");
        }
        if k == 2 {
            // The second class is `true`.
            let features = features(&held_out, 2);
            let pr: ndarray::Array1<Pr> =
                linfa::traits::Predict::predict(&soft.model().models()[0], &features);
            let second: Vec<f64> = predicted(&soft, &held_out).iter().map(|row| row[1]).collect();
            near(&second, &pr.iter().map(|p| f64::from(**p)).collect::<Vec<_>>(), 1e-12);
        }
    }
}

#[test]
fn classes_that_are_missing_keep_0_and_one_alone_is_an_error() {
    let held_out = classes(11, 3, 90, 4);
    let labels: Vec<u32> = held_out.targets().to_vec1().unwrap();
    let keep = |some: &[u32]| {
        let rows: Vec<u32> = (0..90).filter(|row| some.contains(&labels[*row as usize])).collect();
        held_out.select(&rows).unwrap()
    };
    let tree = || Linfa::labels(DecisionTree::<f64, usize>::params());
    let svm = || Linfa::one_vs_rest_probabilities(Svm::<f64, Pr>::params().linear_kernel());
    for some in [&[1u32, 3][..], &[0, 2, 3]] {
        let rows = keep(some);
        for head in [
            Box::new(fitted(&Stack::new(tree()), &rows)) as Box<dyn FittedCombiner>,
            Box::new(fitted(&Stack::new(svm()), &rows)),
        ] {
            for row in head.combine(held_out.predictions()).unwrap().to_vec2::<f64>().unwrap() {
                near(&[row.iter().sum()], &[1.], 1e-9);
                assert!((0..4u32).all(|class| some.contains(&class) || row[class as usize] == 0.), "{row:?}");
            }
        }
    }
    refused(tree(), &keep(&[2]), "at least two classes for linfa's DecisionTree, but is all of class 2");
    refused(svm(), &keep(&[2]), "at least two classes for linfa's Svm");
}

#[test]
fn what_a_linfa_model_cannot_do_is_an_error() {
    let (numbers, _) = counts(0.);
    let labels = classes(3, 2, 30, 2);
    let tree = || Linfa::labels(DecisionTree::<f64, usize>::params());
    refused(tree(), &numbers, "linfa's DecisionTree is for classes, but is regression");
    refused(Linfa::values(linfa_linear::LinearRegression::new()), &labels, "is for values");
    refused(tree(), &labels.select(&[0]).unwrap(), "at least two of a weight above 0");
    // linfa's own errors are passed on.
    let bad = Linfa::values(linfa_linear::TweedieRegressor::<f64>::params().alpha(-1.));
    refused(
        bad,
        &numbers,
        "linfa's TweedieRegressor must be possible on 60 rows of 3 meta-features, but is refused: penalty",
    );
    let bad = Linfa::labels(DecisionTree::<f64, usize>::params().min_impurity_decrease(0.));
    refused(bad, &labels, "refused");
    let bad = Linfa::one_vs_rest(linfa_svm::SvmParams::<f64, bool>::new().pos_neg_weights(-1., 1.));
    refused(bad, &labels, "refused");

    // Other members, other widths, and NaN.
    let head = fitted(&Stack::new(tree()), &labels);
    assert!(head.combine(classes(3, 3, 30, 2).predictions()).is_err());
    let wide = Tensor::zeros((4, 5), DType::F32, &CPU).unwrap();
    let e = head.model().predict(&wide).unwrap_err().to_string();
    assert!(e.contains("fitted on 2 meta-features, not on these 5"), "{e}");
    let odd = Tensor::new(&[[0.3f32, f32::NAN], [0.2, 0.1]], &CPU).unwrap();
    let all = flat(&head.model().predict(&odd).unwrap());
    assert!(all[..2].iter().all(|p| p.is_nan()) && all[2..].iter().all(|p| p.is_finite()), "{all:?}");
    assert_eq!(head.model().predict(&odd).unwrap().dtype(), DType::F32);
}

/// A model of the tests' own that panics or gives nonsense, as its parameter says.
#[derive(Clone, Copy, Debug)]
struct Faulty(&'static str);

impl linfa::traits::Fit<Array2<f64>, ndarray::Array1<usize>, linfa::Error> for Faulty {
    type Object = Faulty;

    fn fit(
        &self,
        _: &linfa::DatasetBase<Array2<f64>, ndarray::Array1<usize>>,
    ) -> Result<Faulty, linfa::Error> {
        match self.0 {
            "panic in the fit" => panic!("no rows like these"),
            _ => Ok(*self),
        }
    }
}

#[derive(Debug)]
struct Nonsense;

impl LinfaOutput<Faulty> for Nonsense {
    type Target = usize;

    fn read(model: &Faulty, features: &Array2<f64>, width: usize) -> CandleResult<Array2<f64>> {
        let rows = features.nrows();
        Ok(match model.0 {
            "panic in a prediction" => panic!("index out of bounds"),
            "too few rows" => Array2::zeros((rows - 1, width)),
            "too wide" => Array2::zeros((rows, width + 1)),
            "infinite" => Array2::from_elem((rows, width), f64::INFINITY),
            _ => candle_core::bail!("cannot be read"),
        })
    }
}

#[test]
fn no_fault_of_a_model_is_a_panic_of_ours() {
    let held_out = classes(3, 2, 30, 2);
    for (fault, why) in [
        ("panic in the fit", "but is a panic: no rows like these"),
        ("infinite", "a prediction of linfa's Faulty must be finite, but is inf"),
    ] {
        refused(Linfa::custom(Faulty(fault), Nonsense), &held_out, why);
    }
    for (fault, why) in [
        ("panic in a prediction", "linfa's Faulty cannot predict: index out of bounds"),
        ("too few rows", "must give (30, 2), but gives (29, 2)"),
        ("too wide", "must give (30, 2), but gives (30, 3)"),
        ("", "cannot be read"),
    ] {
        let rule = Stack::new(Linfa::custom(Faulty(fault), Nonsense));
        let e = rule.fit(&held_out.clone()).unwrap_err().to_string();
        assert!(e.contains(why), "{e}");
    }
}

#[test]
fn the_same_rows_give_the_same_bytes_on_any_number_of_threads() {
    let (held_out, weights) = counts(0.5);
    let held_out = held_out.with_weights(&weights).unwrap();
    let labels = classes(3, 3, 90, 2);
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let path = folder.path().join(name);
        let mut all = vec![];
        let mut add = |write: &dyn Fn()| {
            write();
            all.push(std::fs::read(&path).unwrap());
        };
        use candle_ensemble::combine::save_combiner;
        let svm = || Svm::<f64, f64>::params().c_svr(10., Some(0.1)).linear_kernel();
        let tree = || DecisionTree::<f64, usize>::params().max_depth(Some(2));
        add(&|| save_combiner(&path, &fitted(&Stack::new(LinearRegression), &held_out)).unwrap());
        add(&|| save_combiner(&path, &fitted(&Stack::new(Tweedie::gamma()), &held_out)).unwrap());
        add(&|| save_combiner(&path, &fitted(&Stack::new(Linfa::values(svm())), &held_out)).unwrap());
        add(&|| save_combiner(&path, &fitted(&Stack::new(Linfa::labels(tree())), &labels)).unwrap());
        all
    };
    let first = bytes("first");
    assert!(first == bytes("second"));
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(first == pool.install(|| bytes("pool")));
    }
}

type TreeHead = FittedStack<LinfaModel<DecisionTree<f64, usize>, ByLabel>>;
type SvmHead = FittedStack<LinfaModel<Svm<f64, f64>, ByValue>>;

#[test]
fn an_ensemble_with_a_linfa_model_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ensemble.safetensors");
    let data = blobs(4, 120, 3, 0.8);
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 3, vb)).epochs(3).optimizer(Optimizer::adam(0.05));
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(3), 42).unwrap().reserve(0.4, &data, Seed::from(42)).unwrap();
    let x = data.inputs().only().unwrap().clone();
    let tree = Linfa::labels(DecisionTree::<f64, usize>::params().max_depth(Some(3)));
    let ensemble = session.train(&plan).unwrap().combine(&Stack::new(tree)).unwrap();
    ensemble.save(&path).unwrap();
    let back = Ensemble::<_, TreeHead>::load(&path, &trainer, &Device::Cpu).unwrap();
    assert_eq!(back.fitted(), ensemble.fitted());
    assert_eq!(back.to_bytes().unwrap(), ensemble.to_bytes().unwrap());
    assert_eq!(bits(&back.predict_proba(&x).unwrap()), bits(&ensemble.predict_proba(&x).unwrap()));
    // Another model is noticed by its name.
    let e = Ensemble::<_, SvmHead>::load(&path, &trainer, &Device::Cpu).unwrap_err().to_string();
    assert!(e.contains("linfa-decision-tree-stack"), "{e}");

    let data = line(3, 90, 0.1);
    let y = flat(&data.targets().exp().unwrap());
    let y = Tensor::new(y, &CPU).unwrap().to_dtype(DType::F32).unwrap();
    let x = data.inputs().only().unwrap().clone();
    let data = candle_ensemble::data::TensorDataset::regression(x.clone(), &y).unwrap();
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(3).optimizer(Optimizer::adam(0.05));
    let session = Session::new(&trainer, &data);
    let plan = session.plan(&MultiRun::new(3), 42).unwrap().reserve(0.4, &data, Seed::from(42)).unwrap();
    let ensemble = session.train(&plan).unwrap().combine(&Stack::new(Tweedie::gamma())).unwrap();
    ensemble.save(&path).unwrap();
    let back = Ensemble::<_, FittedStack<TweedieModel>>::load(&path, &trainer, &Device::Cpu).unwrap();
    assert_eq!(back.fitted(), ensemble.fitted());
    assert_eq!(bits(&back.predict(&x).unwrap()), bits(&ensemble.predict(&x).unwrap()));
    let svm = Linfa::values(Svm::<f64, f64>::params().c_svr(10., Some(0.1)).linear_kernel());
    let ensemble = session.train(&plan).unwrap().combine(&Stack::new(svm)).unwrap();
    ensemble.save(&path).unwrap();
    let back = Ensemble::<_, SvmHead>::load(&path, &trainer, &Device::Cpu).unwrap();
    assert_eq!(bits(&back.predict(&x).unwrap()), bits(&ensemble.predict(&x).unwrap()));
}
