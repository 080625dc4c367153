use super::*;
use crate::combine::{stack::*, *};
use crate::{
    combine::{decode_combiner, encode_combiner, FittedCombiner},
    data::Task,
    metrics::RowLoss,
    network::Scale,
    predictions::Predictions,
    HeldOut,
};
use candle_core::{DType, Device, Tensor};

const ROWS: usize = 48;

/// Four members that are right in different places.
fn held_out(classes: bool) -> HeldOut {
    let noise = |i: usize| (((i * 7919 + 13) % 101) as f64 / 101. - 0.5) * 1.6;
    let inputs = Tensor::from_iter((0..2 * ROWS).map(noise), &Device::Cpu).unwrap();
    let inputs = inputs.reshape((ROWS, 2)).unwrap();
    let signal = |row: usize| (row % 3) as f64 - 1.;
    let member = |m: usize, row: usize| signal(row) * (1. + 0.1 * m as f64) + noise(m * ROWS + row);
    let (predicted, task, targets) = if classes {
        let p = |m: usize, row: usize| 1. / (1. + (-2. * member(m, row)).exp());
        let table = (0..4).flat_map(|m| (0..ROWS).flat_map(move |row| [1. - p(m, row), p(m, row)]));
        let labels = (0..ROWS).map(|row| u32::from(signal(row) + 0.5 * noise(row) > 0.));
        (
            Tensor::from_iter(table, &Device::Cpu).unwrap().reshape((4, ROWS, 2)),
            Task::Classification { classes: 2 },
            Tensor::from_iter(labels, &Device::Cpu).unwrap(),
        )
    } else {
        let table = (0..4).flat_map(|m| (0..ROWS).map(move |row| 3. + member(m, row)));
        let values = (0..ROWS).map(|row| 3. + signal(row) + 0.5 * noise(row));
        (
            Tensor::from_iter(table, &Device::Cpu).unwrap().reshape((4, ROWS, 1)),
            Task::Regression { outputs: 1 },
            Tensor::from_iter(values, &Device::Cpu).unwrap(),
        )
    };
    let predictions = Predictions::new(predicted.unwrap(), task).unwrap().with_inputs(&inputs).unwrap();
    HeldOut::from_predictions(&predictions, &targets).unwrap()
}

fn numbers(fitted: &AnyFitted, held_out: &HeldOut) -> Vec<f64> {
    let combined = fitted.combine(held_out.predictions()).unwrap();
    combined.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_combiner_fits_and_comes_back_from_bytes() {
    let small = [("weights", "1,2,3,4"), ("generations", "5"), ("draws", "20"), ("epochs", "5")];
    let small = small.map(|(name, value)| (name, value.to_string()));
    for classes in [true, false] {
        let held_out = held_out(classes);
        for entry in registry().entries() {
            let tasks = entry.tasks();
            if !(if classes { tasks.classification() } else { tasks.regression() }) {
                continue;
            }
            let combiner = registry().parse_with(entry.name(), &small).unwrap();
            let fitted = combiner.fit(&held_out).unwrap_or_else(|e| panic!("{}: {e}", entry.name()));
            let again: AnyFitted =
                decode_combiner(&fitted.name(), &encode_combiner(&fitted).unwrap()).unwrap();
            assert_eq!(again.name(), fitted.name());
            assert_eq!(again.weights(), fitted.weights(), "{}", entry.name());
            assert_eq!(again.needs_inputs(), combiner.needs_inputs(), "{}", entry.name());
            assert_eq!(numbers(&again, &held_out), numbers(&fitted, &held_out), "{}", entry.name());
        }
    }
}

#[test]
fn a_text_makes_the_combiner_that_code_makes() {
    fn same<C: Combiner + 'static>(text: &str, combiner: C)
    where
        C::Fitted: Into<AnyFitted>,
    {
        let parsed = registry().parse(text).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", AnyCombiner::new(combiner)), "{text}");
    }
    same("soft-vote", Mean);
    same("trimmed-mean:0.1", TrimmedMean::new(0.1).unwrap());
    same("weighted-vote:1,2", WeightedVote::new(&[1., 2.]).unwrap());
    same("inverse-error:2:squared", InverseError::new().power(2.).loss(RowLoss::Squared));
    same("ridge:0.5", LeastSquares::ridge(Penalty::Fixed(0.5)));
    same("ridge:seed=3", LeastSquares::ridge(Penalty::chosen().seed(3)));
    same("shrunk-log-loss", SimplexLogLoss::new().penalty(Penalty::chosen()));
    same("pseudo-bma-plus:50:7", PseudoBma::bootstrap(50).seed(7));
    same("ensemble-selection:20:bags=5:bag-share=0.6", EnsembleSelection::new(20).bags(5, 0.6));
    same("ensemble-selection:without-replacement=true", EnsembleSelection::new(50).replacement(false));
    same("stack-elastic-net:0.1:0.3", Stack::new(ElasticNet::new(0.1, 0.3)));
    same("stack-linear:log-odds:true", Stack::new(Linear).features(MetaFeatures::LogOdds).pass_through(true));
    same("stack-tweedie:1.5:link=log", Stack::new(Tweedie::new(1.5).link(Link::Log)));
    same("knora-u:5:true", KnoraU::new(5).space(Space::Outputs));
    same("gating:3:outputs=true", Gating::new().hidden(3).inputs(false).outputs(true));
}

#[test]
fn errors_name_the_criterion_and_the_argument() {
    let error = |text| registry().parse(text).unwrap_err().to_string();
    assert!(error("inverse-error:criterion=ece").contains("a mean over rows for inverse-error, but is ece"));
    assert!(error("grid-search:criterion=los").contains("the metric must be one of accuracy, "));
    assert!(error("weighted-mean").contains("the argument weights of weighted-mean must be given"));
    assert!(error("mean:3").contains("the number of arguments of mean must be at most 0, but is 1"));
}

/// The same rows with another width: values become probabilities of `width` classes, or as many outputs.
fn of_width(held_out: &HeldOut, task: Task) -> Predictions {
    let first = held_out.predictions().values().narrow(2, 0, 1).unwrap();
    let width = task.width();
    let wide = first.repeat((1, 1, width)).unwrap();
    let wide = match task {
        Task::Classification { .. } => (wide.ones_like().unwrap() / width as f64).unwrap(),
        Task::Regression { .. } => wide,
    };
    let inputs = held_out.predictions().inputs().unwrap();
    Predictions::new(wide, task).unwrap().with_inputs(inputs).unwrap()
}

#[test]
fn what_was_learned_is_refused_for_predictions_of_another_kind() {
    let small = [("weights", "1,2,3,4"), ("generations", "5"), ("draws", "20"), ("epochs", "5")];
    let small = small.map(|(name, value)| (name, value.to_string()));
    let names = |names: [&str; 4]| names.map(String::from).to_vec();
    let mut learned = 0;
    for classes in [true, false] {
        let own = held_out(classes).with_names(names(["a", "b", "c", "d"])).unwrap();
        let predictions = own.predictions();
        for entry in registry().entries() {
            let tasks = entry.tasks();
            if !(if classes { tasks.classification() } else { tasks.regression() }) {
                continue;
            }
            let combiner = registry().parse_with(entry.name(), &small).unwrap();
            let fitted = combiner.fit(&own).unwrap();
            let fitted: AnyFitted =
                decode_combiner(&fitted.name(), &encode_combiner(&fitted).unwrap()).unwrap();
            if !combiner.needs_held_out() {
                assert_eq!(fitted.fitted_on(), None, "{} has nothing to fit", entry.name());
                continue;
            }
            learned += 1;
            let on = fitted.fitted_on().unwrap_or_else(|| panic!("{} learns", entry.name()));
            assert_eq!((on.task(), on.slots()), (predictions.task(), 4), "{}", entry.name());
            let refused = |predictions: Predictions, why: &str| {
                let e = fitted.combine(&predictions).unwrap_err().to_string();
                assert!(e.contains(why) && e.contains("as in its fit"), "{}: {e}", entry.name());
            };
            let kind = if classes { "probabilities of 2 classes" } else { "values of 1 output" };
            let other_task = match classes {
                true => Task::Regression { outputs: 2 },
                false => Task::Classification { classes: 1 },
            };
            refused(of_width(&own, other_task), kind);
            for width in [3, 4] {
                let task = match classes {
                    true => Task::Classification { classes: width },
                    false => Task::Regression { outputs: width },
                };
                refused(of_width(&own, task), kind);
            }
            let unnamed = Predictions::new(predictions.values().clone(), predictions.task()).unwrap();
            let unnamed = unnamed.with_inputs(predictions.inputs().unwrap()).unwrap();
            assert!(fitted.combine(&unnamed).is_ok(), "{}", entry.name());
            let (three, one) = (unnamed.select_slots(&[0, 1, 2]), unnamed.select_slots(&[0]));
            refused(three.unwrap(), "must be 4, as in its fit, but is 3");
            refused(one.unwrap(), "must be 4, as in its fit, but is 1");
            let turned = predictions.select_slots(&[0, 2, 1, 3]).unwrap();
            refused(turned, "must be \"b\", as in its fit (the order differs), but is \"c\"");
            let others = predictions.with_names(names(["a", "b", "c", "e"])).unwrap();
            refused(others, "member 3 for ");
            refused(
                predictions.select_slots(&[0, 1]).unwrap(),
                "must be \"c\", as in its fit, but is absent",
            );
            if classes {
                let logits = predictions.values().affine(6., -3.).unwrap();
                let logits = Predictions::new(logits, predictions.task()).unwrap();
                refused(logits.with_inputs(predictions.inputs().unwrap()).unwrap(), "as logits may be");
                let logs = predictions.values().log().unwrap();
                let logs = Predictions::on_scale(logs, None, predictions.task(), Scale::LogProbability);
                refused(
                    logs.unwrap().with_inputs(predictions.inputs().unwrap()).unwrap(),
                    "log-probabilities",
                );
            }
        }
    }
    assert!(learned >= 45, "{learned}");
}
