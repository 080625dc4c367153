//! The metrics by name.
use crate::{
    data::Task,
    metrics::{
        accuracy::correct,
        average_precision::AVERAGE_PRECISION,
        balanced_accuracy::balanced,
        brier::distance,
        brier_decomposition::BrierPart,
        calibration_bins::Bins,
        classwise_ece::ClasswiseEce,
        distributions::DISTRIBUTIONS,
        ece::{Ece, EqualMass},
        explained_variance::ExplainedVariance,
        f1, jaccard,
        kappa::{Kappa, KappaWeights},
        mae::absolute_errors,
        mape::percentage_errors,
        margins::{averaged, ClassMetric},
        matthews::matthews,
        mce::Mce,
        median_ae::MedianError,
        msle::Msle,
        nll,
        one_vs_rest::{Area, OneVsRest},
        ordinal_mae,
        perplexity::Perplexity,
        pinball::{check_quantile, pinball_losses},
        precision,
        r2::R2,
        recall,
        rmse::{mean_of_squares, root_of_squares},
        roc_auc::ROC_AUC,
        rps,
        score::{BuiltIn, Start},
        stream::{ClassRows, MeanScore, ValueRows},
        top_k::{check_k, TopK},
        Average, Metric, RowLoss, ECE_BINS,
    },
    registry::{Argument, Arguments, Entry, Registry, Tasks},
    Result,
};
use std::sync::LazyLock;

/// The metrics by name.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics;
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1, 1], &Device::Cpu)?;
/// let accuracy = metrics::registry().parse("accuracy")?;
/// assert!(accuracy.higher_is_better());
/// assert_eq!(accuracy.compute(&probs, &labels, None)?, 2. / 3.);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[must_use]
pub fn registry() -> &'static Registry<Metric> {
    static REGISTRY: LazyLock<Registry<Metric>> =
        LazyLock::new(|| Registry::new("metric", [DECISIONS, PROBABILITIES, VALUES, DISTRIBUTIONS].concat()));
    &REGISTRY
}

/// The metrics of [`Metrics`](super::Metrics), in the same order.
pub(super) fn usual(task: Task) -> Vec<Metric> {
    match task {
        Task::Classification { .. } => vec![accuracy(), log_loss(), brier(), ece(Bins::USUAL)],
        Task::Regression { .. } => vec![rmse(), mae(), r2()],
    }
}

const CLASSES: Tasks = Tasks::Classification;

const AVERAGE: Argument =
    Argument::new("average", "macro", "How the classes become one number: macro, weighted, micro or binary");

const BINS: Argument = Argument::new("bins", "15", "Number of bins");

/// Metrics of the most probable classes.
const DECISIONS: &[Entry<Metric>] = &[
    Entry::new("accuracy", "accuracy()", "Share of rows whose most probable class is the true one", |_| {
        Ok(accuracy())
    })
    .with_tasks(CLASSES),
    Entry::new("error", "RowLoss::Error", "One minus the accuracy", |_| {
        let wrong = || MeanScore::new(|case| f64::from(!case.is_correct()));
        Ok(of_classes("error", false, Some(RowLoss::Error), wrong))
    })
    .with_tasks(CLASSES),
    Entry::new(
        "balanced-accuracy",
        "balanced_accuracy()",
        "Mean over the classes of the share of their rows that are right",
        |_| Ok(of_classes("balanced-accuracy", true, None, balanced)),
    )
    .with_tasks(CLASSES)
    .with_source("Brodersen et al. 2010, doi:10.1109/ICPR.2010.764"),
    Entry::new(
        "top-k",
        "top_k_accuracy()",
        "Share of rows whose true class is among the k most probable",
        |arguments| {
            let k = arguments.get("k")?;
            check_k(k)?;
            Ok(of_classes(format!("top-k:{k}"), true, None, move || TopK::new(k)))
        },
    )
    .with_arguments(&[Argument::new("k", "5", "Number of classes, at least 1")])
    .with_shorthands(&[("top-3", "3"), ("top-5", "5")])
    .with_tasks(CLASSES),
    Entry::new("f1", "f1()", "Harmonic mean of precision and recall", |arguments| {
        by_class("f1", f1::of_class, arguments)
    })
    .with_arguments(&[AVERAGE])
    .with_shorthands(&[
        ("f1-macro", "macro"),
        ("f1-weighted", "weighted"),
        ("f1-micro", "micro"),
        ("f1-binary", "binary"),
    ])
    .with_tasks(CLASSES)
    .with_source("van Rijsbergen 1979, Information Retrieval"),
    Entry::new(
        "precision",
        "precision()",
        "Share of rows predicted as a class that are of it",
        |arguments| by_class("precision", precision::of_class, arguments),
    )
    .with_arguments(&[AVERAGE])
    .with_tasks(CLASSES),
    Entry::new("recall", "recall()", "Share of rows of a class that are predicted as it", |arguments| {
        by_class("recall", recall::of_class, arguments)
    })
    .with_arguments(&[AVERAGE])
    .with_tasks(CLASSES),
    Entry::new(
        "jaccard",
        "jaccard()",
        "Intersection over union of true and predicted rows of a class; its mean is the mean IoU",
        |arguments| by_class("jaccard", jaccard::of_class, arguments),
    )
    .with_aliases(&["iou"])
    .with_arguments(&[AVERAGE])
    .with_shorthands(&[("mean-iou", "macro")])
    .with_tasks(CLASSES)
    .with_source("Everingham et al. 2010, doi:10.1007/s11263-009-0275-4"),
    Entry::new(
        "mcc",
        "matthews_correlation()",
        "Correlation of Matthews between predicted and true classes",
        |_| Ok(of_classes("mcc", true, None, matthews)),
    )
    .with_aliases(&["matthews"])
    .with_tasks(CLASSES)
    .with_source("Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006"),
    Entry::new(
        "kappa",
        "cohen_kappa()",
        "Agreement of predicted and true classes beyond chance",
        |arguments| {
            let words = [
                ("equal", KappaWeights::Equal),
                ("linear", KappaWeights::Linear),
                ("quadratic", KappaWeights::Quadratic),
            ];
            let form = arguments.choice("weights", &words)?.unwrap_or_default();
            let name = named("kappa", &words, form);
            Ok(of_classes(name, true, None, move || Kappa::new(form)))
        },
    )
    .with_arguments(&[Argument::new(
        "weights",
        "equal",
        "How much errors count by the distance of the classes: equal, linear or quadratic",
    )])
    .with_shorthands(&[("kappa-linear", "linear"), ("kappa-quadratic", "quadratic")])
    .with_tasks(CLASSES)
    .with_source("Cohen 1968, doi:10.1037/h0026256"),
    Entry::new(
        "ordinal-mae",
        "ordinal_mae()",
        "Mean number of classes, which have an order, between the predicted and the true one",
        |_| Ok(of_classes("ordinal-mae", false, None, || MeanScore::new(ordinal_mae::distance))),
    )
    .with_tasks(CLASSES),
];

/// Metrics of the probabilities of classes.
const PROBABILITIES: &[Entry<Metric>] = &[
    Entry::new("nll", "nll()", "Negative log-likelihood in nats", |_| Ok(log_loss()))
        .with_aliases(&["log-loss"])
        .with_tasks(CLASSES)
        .with_source("Good 1952, J. R. Stat. Soc. B 14:107"),
    Entry::new("perplexity", "perplexity()", "Exponential of the negative log-likelihood", |_| {
        Ok(of_classes("perplexity", false, None, Perplexity::default))
    })
    .with_tasks(CLASSES)
    .with_source("Jelinek et al. 1977, doi:10.1121/1.2016299"),
    Entry::new("brier", "brier()", "Brier score, summed over the classes", |_| Ok(brier()))
        .with_tasks(CLASSES)
        .with_source("Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"),
    Entry::new("rps", "rps()", "Ranked probability score of classes with an order", |_| {
        Ok(of_classes("rps", false, None, || MeanScore::new(rps::distance)))
    })
    .with_aliases(&["ranked-probability-score"])
    .with_tasks(CLASSES)
    .with_source("Epstein 1969, doi:10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2"),
    Entry::new(
        "brier-reliability",
        "brier_decomposition()",
        "Reliability of the Brier score: the part of calibration",
        |arguments| {
            let bins = bins(arguments)?;
            let name = with_bins("brier-reliability", bins);
            Ok(of_classes(name, false, None, move || BrierPart::new(bins, |parts| parts.reliability)))
        },
    )
    .with_arguments(&[BINS])
    .with_tasks(CLASSES)
    .with_source("Murphy 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2"),
    Entry::new(
        "brier-resolution",
        "brier_decomposition()",
        "Resolution of the Brier score: how far bins differ in their classes",
        |arguments| {
            let bins = bins(arguments)?;
            let name = with_bins("brier-resolution", bins);
            Ok(of_classes(name, true, None, move || BrierPart::new(bins, |parts| parts.resolution)))
        },
    )
    .with_arguments(&[BINS])
    .with_tasks(CLASSES)
    .with_source("Murphy 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2"),
    Entry::new("ece", "ece()", "Expected calibration error in bins of equal width", |arguments| {
        Ok(ece(bins(arguments)?))
    })
    .with_arguments(&[BINS])
    .with_tasks(CLASSES)
    .with_source("Guo et al. 2017, arXiv:1706.04599"),
    Entry::new(
        "ece-equal-mass",
        "ece_equal_mass()",
        "Expected calibration error in bins of equal mass",
        |arguments| {
            let bins = bins(arguments)?;
            Ok(of_classes(with_bins("ece-equal-mass", bins), false, None, move || EqualMass::new(bins)))
        },
    )
    .with_aliases(&["adaptive-ece"])
    .with_arguments(&[BINS])
    .with_tasks(CLASSES)
    .with_source("Nixon et al. 2019, arXiv:1904.01685"),
    Entry::new(
        "classwise-ece",
        "classwise_ece()",
        "Mean over the classes of the calibration error of their probabilities",
        |arguments| {
            let bins = bins(arguments)?;
            Ok(of_classes(with_bins("classwise-ece", bins), false, None, move || ClasswiseEce::new(bins)))
        },
    )
    .with_arguments(&[BINS])
    .with_tasks(CLASSES)
    .with_source("Kull et al. 2019, arXiv:1910.12656"),
    Entry::new("mce", "mce()", "Maximum calibration error in bins of equal width", |arguments| {
        let bins = bins(arguments)?;
        Ok(of_classes(with_bins("mce", bins), false, None, move || Mce::new(bins)))
    })
    .with_arguments(&[BINS])
    .with_tasks(CLASSES)
    .with_source("Guo et al. 2017, arXiv:1706.04599"),
    Entry::new(
        "roc-auc",
        "roc_auc()",
        "Area under the ROC curve, each class against the others",
        |arguments| one_vs_rest("roc-auc", ROC_AUC, arguments),
    )
    .with_aliases(&["auroc"])
    .with_arguments(&[AVERAGE])
    .with_shorthands(&[("roc-auc-weighted", "weighted")])
    .with_tasks(CLASSES)
    .with_source("Fawcett 2006, doi:10.1016/j.patrec.2005.10.010"),
    Entry::new(
        "average-precision",
        "average_precision()",
        "Mean precision along the ranking, each class against the others",
        |arguments| one_vs_rest("average-precision", AVERAGE_PRECISION, arguments),
    )
    .with_arguments(&[AVERAGE])
    .with_shorthands(&[("average-precision-weighted", "weighted")])
    .with_tasks(CLASSES)
    .with_source("Davis and Goadrich 2006, doi:10.1145/1143844.1143874"),
];

/// Metrics of values.
const VALUES: &[Entry<Metric>] = &[
    Entry::new("rmse", "rmse()", "Root mean squared error", |_| Ok(rmse())).with_tasks(Tasks::Regression),
    Entry::new("mse", "RowLoss::Squared", "Mean squared error", |_| {
        Ok(of_values("mse", false, Some(RowLoss::Squared), mean_of_squares))
    })
    .with_aliases(&["squared"])
    .with_tasks(Tasks::Regression),
    Entry::new("mae", "mae()", "Mean absolute error", |_| Ok(mae()))
        .with_aliases(&["absolute"])
        .with_tasks(Tasks::Regression),
    Entry::new("median-ae", "median_absolute_error()", "Median absolute error", |_| {
        Ok(of_values("median-ae", false, None, MedianError::default))
    })
    .with_tasks(Tasks::Regression),
    Entry::new("mape", "mape()", "Mean absolute error as a share of the target", |_| {
        Ok(of_values("mape", false, None, percentage_errors))
    })
    .with_tasks(Tasks::Regression),
    Entry::new("msle", "msle()", "Mean squared error of the logarithms", |_| {
        Ok(of_values("msle", false, None, Msle::default))
    })
    .with_tasks(Tasks::Regression),
    Entry::new("pinball", "pinball()", "Pinball loss of a quantile", |arguments| {
        let quantile = arguments.get("quantile")?;
        check_quantile(quantile)?;
        Ok(of_values(format!("pinball:{quantile}"), false, None, move || pinball_losses(quantile)))
    })
    .with_arguments(&[Argument::new("quantile", "0.5", "The quantile, from 0 to 1")])
    .with_tasks(Tasks::Regression)
    .with_source("Koenker and Bassett 1978, doi:10.2307/1913643"),
    Entry::new("r2", "r2()", "Coefficient of determination", |_| Ok(r2())).with_tasks(Tasks::Regression),
    Entry::new(
        "explained-variance",
        "explained_variance()",
        "Coefficient of determination without the mean error",
        |_| Ok(of_values("explained-variance", true, None, ExplainedVariance::default)),
    )
    .with_tasks(Tasks::Regression),
];

fn accuracy() -> Metric {
    of_classes("accuracy", true, Some(RowLoss::Error), || MeanScore::new(correct))
}

fn log_loss() -> Metric {
    of_classes("nll", false, Some(RowLoss::LogLoss), || MeanScore::new(nll::loss))
}

fn brier() -> Metric {
    of_classes("brier", false, Some(RowLoss::Brier), || MeanScore::new(distance))
}

fn ece(bins: Bins) -> Metric {
    of_classes(with_bins("ece", bins), false, None, move || Ece::new(bins))
}

fn rmse() -> Metric {
    of_values("rmse", false, None, root_of_squares)
}

fn mae() -> Metric {
    of_values("mae", false, Some(RowLoss::Absolute), absolute_errors)
}

fn r2() -> Metric {
    of_values("r2", true, None, R2::default)
}

/// A metric of classes whose accumulator `start` makes.
fn of_classes<A: ClassRows + 'static>(
    name: impl Into<String>,
    higher_is_better: bool,
    row_loss: Option<RowLoss>,
    start: impl Fn() -> A + Send + Sync + 'static,
) -> Metric {
    let start = Start::Classes(Box::new(move || Box::new(start())));
    Metric::built_in(BuiltIn { name: name.into(), higher_is_better, row_loss, start })
}

/// A metric of values whose accumulator `start` makes.
fn of_values<A: ValueRows + 'static>(
    name: impl Into<String>,
    higher_is_better: bool,
    row_loss: Option<RowLoss>,
    start: impl Fn() -> A + Send + Sync + 'static,
) -> Metric {
    let start = Start::Values(Box::new(move || Box::new(start())));
    Metric::built_in(BuiltIn { name: name.into(), higher_is_better, row_loss, start })
}

fn by_class(name: &str, metric: ClassMetric, arguments: &Arguments) -> Result<Metric> {
    let average = arguments.choice("average", &Average::WORDS)?.unwrap_or_default();
    let name = named(name, &Average::WORDS, average);
    Ok(of_classes(name, true, None, move || averaged(metric, average)))
}

fn one_vs_rest(name: &str, area: Area, arguments: &Arguments) -> Result<Metric> {
    let average = arguments.choice("average", &Average::WORDS)?.unwrap_or_default();
    let name = named(name, &Average::WORDS, average);
    Ok(of_classes(name, true, None, move || OneVsRest::new(area, average)))
}

/// The name with the word of an argument, unless that is the default.
fn named<T: PartialEq + Default>(name: &str, words: &[(&str, T)], value: T) -> String {
    match words.iter().find(|(_, known)| *known == value) {
        Some((word, _)) if value != T::default() => format!("{name}:{word}"),
        _ => name.into(),
    }
}

fn bins(arguments: &Arguments) -> Result<Bins> {
    Bins::new(arguments.get("bins")?)
}

/// The name with the number of bins, unless that is the default.
fn with_bins(name: &str, bins: Bins) -> String {
    match bins.count() {
        ECE_BINS => name.into(),
        count => format!("{name}:{count}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{reference, Criterion, Metrics, Scored, Truth};
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    #[test]
    fn every_metric_equals_the_one_of_the_same_name() {
        let (probs, labels, weights) = reference::classification();
        let ids = Tensor::new(labels.as_slice(), &Device::Cpu).unwrap();
        let (p, y, w) = reference::regression();
        let classes = Metrics::classification(&probs, &labels, Some(&weights)).unwrap();
        let values = Metrics::regression(&p, &y, Some(&w)).unwrap();
        for (name, expected) in classes.values() {
            let metric = registry().parse(name).unwrap();
            reference::close(metric.compute(&probs, &ids, Some(&weights)).unwrap(), expected);
            assert!(metric.compute(&p, &y, None).unwrap_err().to_string().contains("class ids"), "{name}");
        }
        for (name, expected) in values.values() {
            let metric = registry().parse(name).unwrap();
            reference::close(metric.compute(&p, &y, Some(&w)).unwrap(), expected);
            assert!(metric.compute(&probs, &ids, None).unwrap_err().to_string().contains("values"), "{name}");
        }
        assert_eq!(registry().parse("accuracy").unwrap().higher_is_better(), classes.larger_is_better());
        assert_eq!(registry().parse("rmse").unwrap().higher_is_better(), values.larger_is_better());
    }

    #[test]
    fn names_hold_the_arguments_and_can_be_parsed() {
        for (text, name) in [
            ("top-k", "top-k:5"),
            ("top-3", "top-k:3"),
            ("pinball", "pinball:0.5"),
            ("pinball:0.95", "pinball:0.95"),
            ("ece", "ece"),
            ("ece:bins=10", "ece:10"),
            ("adaptive-ece:15", "ece-equal-mass"),
            ("f1-macro", "f1"),
            ("f1-weighted", "f1:weighted"),
            ("f1:average=binary", "f1:binary"),
            ("roc-auc-weighted", "roc-auc:weighted"),
            ("kappa-quadratic", "kappa:quadratic"),
            ("log-loss", "nll"),
        ] {
            assert_eq!(registry().parse(text).unwrap().name(), name);
        }
        for entry in registry().entries() {
            let metric = registry().parse(entry.name()).unwrap();
            assert!(metric.name().starts_with(entry.name()));
            assert_eq!(registry().parse(&metric.name()).unwrap().name(), metric.name());
            assert_eq!(metric.tasks(), entry.tasks());
            assert_eq!(metric.needs_distributions(), DISTRIBUTIONS.iter().any(|e| e.name() == entry.name()));
        }
        for text in ["top-k:0", "ece:0", "pinball:2", "f1:average=sum", "kappa:cubic", "coverage:1"] {
            assert!(registry().parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn as_a_criterion_less_is_better() {
        let probs = [0.5, 0.3, 0.2, 0.1, 0.1, 0.8, 0.4, 0.4, 0.2, 0.0, 1.0, 0.0];
        let ids = vec![0, 1, 1, 2];
        let table = Tensor::from_slice(&probs, (4, 3), &Device::Cpu).unwrap();
        let labels = Tensor::new(ids.as_slice(), &Device::Cpu).unwrap();
        let (truth, weights) = (Truth::Classes(ids), [0.1, 0.2, 0.3, 0.4]);
        let predicted = Scored { values: &probs, width: 3, truth: &truth, weights: &weights };
        for entry in registry().entries() {
            let metric = registry().parse(entry.name()).unwrap();
            assert_eq!(metric.loss(&predicted).is_ok(), entry.tasks().classification(), "{}", entry.name());
            if let (Ok(loss), None) = (metric.loss(&predicted), metric.row_loss()) {
                let value = metric.compute(&table, &labels, Some(&weights)).unwrap();
                assert_eq!(loss, if metric.higher_is_better() { -value } else { value }, "{}", entry.name());
            }
        }
        let equal = Scored { weights: &[0.25; 4], ..predicted };
        let loss = |name: &str| registry().parse(name).unwrap().loss(&equal).unwrap();
        assert_eq!(loss("accuracy"), loss("error"));
        assert_eq!(loss("accuracy"), 0.75);
        let truth = Truth::Values(vec![0.; 4]);
        let values = Scored { values: &[1., 1., 1., 1.], width: 1, truth: &truth, weights: &[0.25; 4] };
        for (name, expected) in
            [("rmse", 1.), ("mse", 1.), ("absolute", 1.), ("median-ae", 1.), ("pinball:0.25", 0.75)]
        {
            assert_eq!(registry().parse(name).unwrap().loss(&values).unwrap(), expected, "{name}");
        }
    }

    /// Rows of three numbers from 1 to 5 (probabilities when divided by their sum), a class, and a weight;
    /// every class has a row of positive weight, and another class is the most probable one in one of them.
    fn rows() -> impl Strategy<Value = Vec<([u8; 3], u32, u8)>> {
        let row = (prop::array::uniform3(1u8..6), 0u32..3, 0u8..4);
        prop::collection::vec(row, 0..30).prop_map(|mut rows| {
            rows.extend([([5, 1, 1], 0, 1), ([1, 5, 1], 1, 1), ([1, 1, 5], 2, 2), ([1, 2, 3], 1, 1)]);
            rows
        })
    }

    /// The value of every metric, with and without arguments, for these rows.
    fn all(rows: &[([u8; 3], u32, u8)], weights: Option<&[f64]>) -> Vec<(String, f64)> {
        let numbers = |share: bool| {
            let numbers = rows.iter().flat_map(move |(values, ..)| {
                let total = f64::from(values.iter().sum::<u8>());
                values.map(|v| f64::from(v) / if share { total } else { 1.0 })
            });
            Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape((rows.len(), 3)).unwrap()
        };
        let ids = Tensor::from_iter(rows.iter().map(|(_, class, _)| *class), &Device::Cpu).unwrap();
        let targets =
            rows.iter().flat_map(|(_, class, _)| [1.0, 2.0, 0.5].map(|k| k * f64::from(*class) + 0.25));
        let targets = Tensor::from_iter(targets, &Device::Cpu).unwrap().reshape((rows.len(), 3)).unwrap();
        let more = "top-k:2,f1-weighted,f1-micro,recall:weighted,precision:micro,kappa-linear,kappa-quadratic,ece:4,mce:3,\
                    roc-auc:micro,roc-auc:weighted,average-precision:weighted,average-precision:micro,pinball:0.9";
        let of_predictions = |name: &&str| DISTRIBUTIONS.iter().all(|entry| entry.name() != *name);
        let names = registry().names().into_iter().filter(of_predictions).map(String::from);
        let texts = names.chain(crate::registry::split_list(more));
        let value = |text: String| {
            let metric = registry().parse(&text).unwrap();
            let value = match metric.tasks().regression() {
                true => metric.compute(&numbers(false), &targets, weights),
                false => metric.compute(&numbers(true), &ids, weights),
            };
            (text, value.unwrap())
        };
        texts.map(value).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_whole_weight_is_a_row_repeated_in_any_order(rows in rows(), shift in 0usize..30) {
            let weights: Vec<f64> = rows.iter().map(|(.., weight)| f64::from(*weight)).collect();
            let repeat = |row: &([u8; 3], u32, u8)| std::iter::repeat_n(*row, row.2.into());
            let mut repeated: Vec<_> = rows.iter().flat_map(repeat).collect();
            let places = shift % repeated.len();
            repeated.rotate_left(places);
            for ((name, a), (_, b)) in all(&rows, Some(&weights)).into_iter().zip(all(&repeated, None)) {
                prop_assert!((a - b).abs() <= 1e-11 * (1.0 + a.abs()), "{name}: {a}, {b}");
            }
        }
    }
}
