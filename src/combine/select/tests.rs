use crate::{
    combine::{select::*, FittedCombiner},
    metrics::Custom,
    predictions::Predictions,
};
use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::Rng;

fn held_out(values: Vec<f64>, dims: (usize, usize, usize), truth: &Truth, dtype: DType) -> HeldOut {
    let device = &Device::Cpu;
    let values = Tensor::from_vec(values, dims, device).unwrap().to_dtype(dtype).unwrap();
    let (task, targets) = match truth {
        Truth::Classes(ids) => {
            (Task::Classification { classes: dims.2 }, Tensor::new(ids.as_slice(), device).unwrap())
        }
        Truth::Values(y) => {
            (Task::Regression { outputs: dims.2 }, Tensor::from_slice(y, (dims.1, dims.2), device).unwrap())
        }
    };
    HeldOut::from_predictions(&Predictions::new(values, task).unwrap(), &targets).unwrap()
}

fn fit(selection: &EnsembleSelection, held_out: &HeldOut) -> Weighted {
    selection.fit(held_out).unwrap()
}

/// auto-sklearn 0.15.0, test/test_ensemble_builder/test_ensemble_selection.py, testEnsembleSelection: the
/// inputs and the expected weights and trajectory (of root mean squared errors) of that test.
#[test]
fn follows_the_published_trajectory_of_auto_sklearn() {
    let rows = 100;
    let mut values = vec![];
    for i in 1..20usize {
        let own = |row: usize| if (i * 5..5 * (i + 1)).contains(&row) { 5.5 * i as f64 } else { i as f64 };
        values.extend((0..rows).map(own));
    }
    let truth = Truth::Values(vec![5.5; rows]);
    let held_out = held_out(values, (19, rows, 1), &truth, DType::F64);
    let weights = [0.1, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1];
    let trajectory = [
        3.462296925452813,
        2.679202306657711,
        2.2748626436960375,
        2.065717187806695,
        1.7874562615598728,
        1.6983448128441783,
        1.559451106330085,
        1.5316326052614575,
        1.3801950121782542,
        1.3554980575295374,
    ];
    let rms = Custom::new("rms", |predicted: &Scored<'_>| Ok(RowLoss::Squared.loss(predicted)?.sqrt()));
    let slow = EnsembleSelection::new(10).criterion(rms);
    for (selection, loss) in [(EnsembleSelection::new(10), f64::sqrt as fn(f64) -> f64), (slow, |x| x)] {
        let path = selection.paths(&held_out).unwrap().remove(0);
        for (got, want) in path.losses.iter().zip(trajectory) {
            assert!((loss(*got) - want).abs() < 1e-6, "{got} {want}");
        }
        let fitted = fit(&selection, &held_out);
        for (slot, got) in fitted.weights().unwrap().iter().enumerate() {
            assert!((got - weights.get(slot).unwrap_or(&0.)).abs() < 1e-12);
        }
    }
}

/// tests/reference/selection.py (numpy 2.4.6): auto-sklearn's algorithm on a table with classes.
#[test]
fn takes_the_steps_of_auto_sklearn_for_classes() {
    let (slots, rows, classes) = (9, 120, 4);
    let labels: Vec<u32> = (0..rows).map(|i| ((i * 7 + i / 5) % classes) as u32).collect();
    let mut values = vec![];
    for (s, i) in (0..slots).flat_map(|s| (0..rows).map(move |i| (s, i))) {
        let raw = |c: usize| {
            let own = if c == labels[i] as usize { 60 } else { 0 };
            ((s * 61 + i * 37 + c * 101 + i * c * 17 + s * i * 13) % 97 + 1 + own) as f64
        };
        let total: f64 = (0..classes).map(raw).sum();
        values.extend((0..classes).map(|c| raw(c) / total));
    }
    let held_out = held_out(values, (slots, rows, classes), &Truth::Classes(labels), DType::F64);
    for (loss, order, first, best, last) in [
        (
            RowLoss::LogLoss,
            [3, 2, 7, 3, 2, 8, 3, 2, 0, 3, 2, 3],
            0.8344699393472962,
            0.8176263449256234,
            0.8177008174768473,
        ),
        (
            RowLoss::Brier,
            [2, 3, 0, 7, 8, 2, 3, 6, 2, 3, 0, 8],
            0.4439358217375947,
            0.41994521995816986,
            0.4200893973019649,
        ),
    ] {
        let selection = EnsembleSelection::new(12).criterion(loss);
        let path = selection.paths(&held_out).unwrap().remove(0);
        assert_eq!(path.order, order);
        assert!((path.losses[0] - first).abs() < 1e-12 && (path.losses[11] - last).abs() < 1e-12);
        assert!((fit(&selection, &held_out).fitted().unwrap().objective - best).abs() < 1e-12);
    }
}

/// The definition of ensemble selection in its simplest form.
fn simple_selection(
    values: &[Vec<f64>],
    width: usize,
    truth: &Truth,
    weights: &[f64],
    loss: RowLoss,
    (start, steps, replacement): (usize, usize, bool),
) -> SelectionPath {
    let of = |members: &[usize]| {
        let mut mean = vec![0.; values[0].len()];
        for m in members {
            mean.iter_mut().zip(&values[*m]).for_each(|(mean, x)| *mean += x);
        }
        mean.iter_mut().for_each(|x| *x /= members.len() as f64);
        loss.loss(&Scored { values: &mean, width, truth, weights }).unwrap()
    };
    let better = |a: f64, b: f64| a < b - 1e-12 * b.abs();
    let mut alone: Vec<usize> = (0..values.len()).collect();
    alone.sort_by(|a, b| of(&[*a]).total_cmp(&of(&[*b])));
    let mut path = SelectionPath::default();
    for step in 0..start + steps {
        let with = |m: usize| of(&[path.order.as_slice(), &[m]].concat());
        let mut best = None;
        if step < start && step < alone.len() {
            best = Some((with(alone[step]), alone[step]));
        } else {
            // Members in use come first, so that they win ties.
            let used = |m: &usize| path.order.contains(m);
            let old = (0..values.len()).filter(used).filter(|_| replacement);
            for m in old.chain((0..values.len()).filter(|m| !used(m))) {
                let new = with(m);
                if best.is_none_or(|(old, _)| better(new, old)) {
                    best = Some((new, m));
                }
            }
        }
        let Some((loss, m)) = best else { break };
        path.order.push(m);
        path.losses.push(loss);
    }
    path
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Random problems; coarse ones have many ties.
    #[test]
    fn all_scorers_take_the_steps_of_the_simple_selection(
        seed in 0u64..1 << 40,
        slots in 1usize..12,
        rows in 1usize..60,
        width in 2usize..6,
        coarse: bool,
        weighted in 0usize..3,
        start in 0usize..3,
        replacement: bool,
        f32s: bool,
    ) {
        let mut rng = Seed::from(seed).rng();
        let steps = 8;
        for loss in [RowLoss::LogLoss, RowLoss::Error, RowLoss::Brier, RowLoss::Squared, RowLoss::Absolute] {
            let classes = !matches!(loss, RowLoss::Squared | RowLoss::Absolute);
            let dtype = if f32s { DType::F32 } else { DType::F64 };
            let mut values: Vec<Vec<f64>> = vec![];
            for slot in 0..slots {
                if slot > 1 && rng.random_bool(0.2) {
                    values.push(values[slot - 1].clone()); // a duplicate
                    continue;
                }
                let mut member = vec![];
                for _ in 0..rows {
                    let raw: Vec<f64> = (0..width).map(|_| match coarse {
                        true => f64::from(rng.random_range(0..4u32)),
                        false => rng.random_range(0.0..1f64).powi(3),
                    }).collect();
                    let total: f64 = if coarse { 4. } else { raw.iter().sum() };
                    member.extend(raw.iter().map(|x| f64::from((x / total) as f32)));
                }
                values.push(member);
            }
            let truth = match classes {
                true => Truth::Classes((0..rows).map(|_| rng.random_range(0..width as u32)).collect()),
                false => Truth::Values((0..rows * width).map(|_| rng.random_range(-1.0..2f64)).collect()),
            };
            let mut given = held_out(values.concat(), (slots, rows, width), &truth, dtype);
            let mut weights = vec![1.; rows];
            if weighted > 0 {
                let draw = |_| if weighted == 1 { rng.random_range(0.1..2f32) } else { 2. };
                let raw: Vec<f32> = (0..rows).map(draw).collect();
                given = given.with_weights(&Tensor::new(raw.as_slice(), &Device::Cpu).unwrap()).unwrap();
                weights = raw.iter().map(|w| f64::from(*w)).collect();
            }
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= total);
            let selection =
                EnsembleSelection::new(steps).criterion(loss).start(start).replacement(replacement);
            let fast = selection.paths(&given).unwrap().remove(0);
            let slow = simple_selection(&values, width, &truth, &weights, loss, (start, steps, replacement));
            prop_assert_eq!(&fast.order, &slow.order, "{:?}", loss);
            prop_assert_eq!(fast.best(), slow.best());
            for (a, b) in fast.losses.iter().zip(&slow.losses) {
                prop_assert!((a - b).abs() < 1e-12, "{:?}: {} {}", loss, a, b);
            }
            let own = Custom::new("the same", move |predicted: &Scored<'_>| loss.loss(predicted));
            prop_assert_eq!(selection.criterion(own).paths(&given).unwrap().remove(0).order, slow.order);
        }
    }

    #[test]
    fn the_cost_of_the_selection_is_within_the_budget(
        seed in 0u64..1 << 40,
        slots in 1usize..15,
        bags in 0usize..5,
        budget in 0.0..6f64,
        start in 0usize..4,
    ) {
        let mut rng = Seed::from(seed).rng();
        let rows = 20;
        let values: Vec<f64> = (0..slots * rows).map(|_| rng.random_range(-1.0..1.)).collect();
        let costs: Vec<f64> = (0..slots).map(|_| rng.random_range(0.0..3.)).collect();
        let truth = Truth::Values((0..rows).map(|_| rng.random_range(-1.0..1.)).collect());
        let given = held_out(values, (slots, rows, 1), &truth, DType::F64).with_costs(costs.clone()).unwrap();
        let mut selection = EnsembleSelection::new(20).start(start).budget(budget).seed(seed);
        if bags > 0 {
            selection = selection.bags(bags, 0.5);
        }
        match selection.fit(&given) {
            Ok(fitted) => {
                let total: f64 = fitted.used().iter().map(|slot| costs[*slot]).sum();
                prop_assert!(total <= budget + 1e-9, "{} {}", total, budget);
                prop_assert!((fitted.weights().unwrap().iter().sum::<f64>() - 1.).abs() < 1e-12);
            }
            // Only a bag can lack a member that is cheap enough.
            Err(e) => prop_assert!(bags > 0 || costs.iter().all(|c| *c > budget), "{}", e),
        }
    }
}

/// The second step increases the loss, the third decreases it below the first, and later steps do not help.
#[test]
fn the_best_step_is_returned() {
    let path = |losses: &[f64]| SelectionPath { order: vec![0; losses.len()], losses: losses.to_vec() };
    assert_eq!(path(&[3., 4., 2., 2., 5.]).best(), 3);
    assert_eq!(path(&[1., 4., 2.]).best(), 1);
    assert_eq!(path(&[]).best(), 0);
    // The members' errors are 1, −1.2 and −1.3. The mean of two has the error −.1, the mean of three a third
    // of −1.5.
    let y = Truth::Values(vec![0.; 4]);
    let given = held_out([[1.; 4], [-1.2; 4], [-1.3; 4]].concat(), (3, 4, 1), &y, DType::F64);
    let fitted = fit(&EnsembleSelection::new(0).start(3), &given);
    assert_eq!(fitted.weights().unwrap(), [0.5, 0.5, 0.]);
    assert!((fitted.fitted().unwrap().objective - 0.01).abs() < 1e-12);
    assert_eq!(fitted.fitted().unwrap().iterations, 3);
}

#[test]
fn ties_go_to_a_member_in_use_and_then_to_the_lowest() {
    let y = Truth::Classes(vec![0, 1]);
    let same = [0.75, 0.25, 0.25, 0.75];
    let given = held_out([same, same, same].concat(), (3, 2, 2), &y, DType::F32);
    let path = EnsembleSelection::new(4).paths(&given).unwrap().remove(0);
    assert_eq!(path.order, [0; 4]);
    let once = EnsembleSelection::new(9).replacement(false).paths(&given).unwrap().remove(0);
    assert_eq!(once.order, [0, 1, 2]);
}

#[test]
fn bags_draw_a_share_of_the_members_from_the_seed() {
    let selection = EnsembleSelection::new(3).bags(40, 0.3);
    let bags = selection.bag_slots(10, Seed::from(0));
    assert!(bags.iter().all(|slots| slots.len() == 3 && slots.windows(2).all(|w| w[0] < w[1])));
    assert_eq!(bags, selection.bag_slots(10, Seed::from(0)));
    assert_ne!(bags, selection.bag_slots(10, Seed::from(1)));
    // 40 bags of 3 of 10: a member is missing from all with probability .7⁴⁰ < 1e-6.
    let mut seen = bags.concat();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 10);
}

#[test]
fn bad_parameters_are_errors() {
    let y = Truth::Values(vec![0.; 4]);
    let given = held_out(vec![1.; 8], (2, 4, 1), &y, DType::F64);
    for (selection, message) in [
        (EnsembleSelection::new(0), "at least 1"),
        (EnsembleSelection::new(1).bags(0, 0.5), "at least 1"),
        (EnsembleSelection::new(1).bags(1, 0.), "above 0"),
        (EnsembleSelection::new(1).bags(1, f64::NAN), "above 0"),
        (EnsembleSelection::new(1).budget(-1.), "not negative"),
        (EnsembleSelection::new(1).budget(0.5), "enough"),
        (EnsembleSelection::new(1).criterion(RowLoss::Brier), "a loss for values"),
        (EnsembleSelection::new(1).criterion(Custom::new("none", |_: &Scored<'_>| Ok(f64::NAN))), "NaN"),
    ] {
        let e = selection.fit(&given).unwrap_err().to_string();
        assert!(e.contains(message), "{e}");
    }
}
