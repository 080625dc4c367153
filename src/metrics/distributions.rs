//! The metrics of predicted distributions by name.
use crate::{
    distribution::Score,
    metrics::{
        score::{BuiltIn, Start},
        Metric,
    },
    registry::{Argument, Arguments, Entry, Tasks},
    Result,
};

const QUANTILE: Argument = Argument::new("level", "0.5", "The level of the quantile, between 0 and 1");
const PROBABILITY: Argument =
    Argument::new("level", "0.9", "The probability of the central interval, between 0 and 1");

/// Metrics of predicted distributions of values.
pub(super) const DISTRIBUTIONS: &[Entry<Metric>] = &[
    Entry::new(
        "distribution-nll",
        "distribution::Score::Nll",
        "Negative log-likelihood of values in nats, by their distributions",
        |_| Ok(metric("distribution-nll".into(), Score::Nll)),
    )
    .with_aliases(&["nlpd"])
    .with_tasks(Tasks::Regression)
    .with_source("Good 1952, J. R. Stat. Soc. B 14:107"),
    Entry::new(
        "crps",
        "distribution::Score::Crps",
        "Continuous ranked probability score of distributions",
        |_| Ok(metric("crps".into(), Score::Crps)),
    )
    .with_tasks(Tasks::Regression)
    .with_source("Matheson and Winkler 1976, doi:10.1287/mnsc.22.10.1087"),
    Entry::new(
        "quantile-loss",
        "distribution::Score::Pinball",
        "Pinball loss of a quantile of distributions",
        |arguments| at_level("quantile-loss", arguments, |level| Score::Pinball { level }),
    )
    .with_arguments(&[QUANTILE])
    .with_tasks(Tasks::Regression)
    .with_source("Koenker and Bassett 1978, doi:10.2307/1913643"),
    Entry::new(
        "interval-score",
        "distribution::Score::Interval",
        "Score of the central interval of distributions",
        |arguments| at_level("interval-score", arguments, |level| Score::Interval { level }),
    )
    .with_arguments(&[PROBABILITY])
    .with_tasks(Tasks::Regression)
    .with_source("Gneiting and Raftery 2007, doi:10.1198/016214506000001437"),
    Entry::new(
        "coverage",
        "distribution::Score::Coverage",
        "Share of values in the central interval of their distributions",
        |arguments| at_level("coverage", arguments, |level| Score::Coverage { level }),
    )
    .with_arguments(&[PROBABILITY])
    .with_tasks(Tasks::Regression),
];

fn at_level(name: &str, arguments: &Arguments, score: fn(f64) -> Score) -> Result<Metric> {
    let level: f64 = arguments.get("level")?;
    let score = score(level);
    score.check()?;
    Ok(metric(format!("{name}:{level}"), score))
}

/// The mean of a score over the rows.
fn metric(name: String, score: Score) -> Metric {
    let higher_is_better = matches!(score, Score::Coverage { .. });
    Metric::built_in(BuiltIn { name, higher_is_better, row_loss: None, start: Start::Distributions(score) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Task,
        distribution::{Family, Levels, Mixture},
        metrics::{self, MetricList},
    };
    use candle_core::{Device, Tensor};

    const VALUES: Task = Task::Regression { outputs: 1 };

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::from_slice(values, (1, values.len(), 1), &Device::Cpu).unwrap()
    }

    fn targets(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    /// A Laplace distribution has the quantiles `m ± s ln(2 min(p, 1 − p))`, the CRPS `|y − m| + s exp(−|y − m| / s) − 3 s / 4`
    /// and the negative log-likelihood `|y − m| / s + ln(2 s)`.
    #[test]
    fn closed_forms_of_laplace_distributions() {
        let (m, s, y) = ([0.5, -2.], [1.25, 0.5], [3., -2.25]);
        let mixture = Mixture::new(Family::Laplace, &tensor(&m), &tensor(&s)).unwrap();
        let weights = [3., 1.];
        let mean = |f: &dyn Fn(f64, f64, f64) -> f64| {
            (0..2).map(|i| weights[i] * f(m[i], s[i], y[i])).sum::<f64>() / 4.
        };
        let tail = (2f64 * 0.05).ln();
        let by_hand = [
            ("distribution-nll", mean(&|m, s, y| (y - m).abs() / s + (2. * s).ln())),
            ("crps", mean(&|m, s, y| (y - m).abs() + s * (-(y - m).abs() / s).exp() - 0.75 * s)),
            (
                "quantile-loss:0.95",
                mean(&|m, s, y| {
                    let excess = y - (m - s * tail);
                    (0.95 * excess).max(-0.05 * excess)
                }),
            ),
            (
                "interval-score",
                mean(&|m, s, y| {
                    let (low, high) = (m + s * tail, m - s * tail);
                    high - low + 20. * ((low - y).max(0.) + (y - high).max(0.))
                }),
            ),
            ("coverage:0.9", mean(&|m, s, y| f64::from(u8::from((y - m).abs() <= -s * tail)))),
            ("mae", mean(&|m, _, y| (y - m).abs())),
        ];
        let list =
            MetricList::new(by_hand.iter().map(|(name, _)| Metric::parse(name).unwrap()).collect()).unwrap();
        let got = list.compute_distributions(&mixture, &targets(&y), Some(&weights)).unwrap();
        for ((name, want), got) in by_hand.iter().zip(got) {
            assert!((got - want).abs() < 1e-10 * want.abs().max(1.), "{name}: {got}, {want}");
        }
    }

    #[test]
    fn a_score_of_the_user_may_be_one_of_distributions() {
        #[derive(Debug)]
        struct Width;
        impl metrics::Score for Width {
            fn name(&self) -> String {
                "width".into()
            }
            fn higher_is_better(&self) -> bool {
                false
            }
            fn tasks(&self) -> Tasks {
                Tasks::Regression
            }
            fn compute(&self, _: &Tensor, _: &Tensor, _: Option<&[f64]>) -> Result<f64> {
                Ok(f64::NAN)
            }
            fn needs_distributions(&self) -> bool {
                true
            }
            fn compute_distributions(&self, mixture: &Mixture, _: &Tensor, _: Option<&[f64]>) -> Result<f64> {
                let (low, high) = mixture.interval(0.5)?;
                Ok((high - low)?.mean_all()?.to_scalar::<f64>()?)
            }
        }
        let width = Metric::new(Width);
        let mixture = Mixture::new(Family::Laplace, &tensor(&[1., 2.]), &tensor(&[1., 3.])).unwrap();
        let got = width.compute_distributions(&mixture, &targets(&[0., 0.]), None).unwrap();
        assert!((got - 4. * 2f64.ln()).abs() < 1e-12, "{got}");
        assert!(width.compute(&targets(&[0.]), &targets(&[0.]), None).is_err());
    }

    #[test]
    fn what_has_no_distributions_is_refused_in_words() {
        let y = targets(&[0., 1.]);
        let crps = Metric::parse("crps").unwrap();
        let e = crps.compute(&y, &y, None).unwrap_err().to_string();
        let words = "the metric must be a metric of predicted values or probabilities here";
        assert!(
            e.starts_with(words) && e.contains("OnDataset::metrics") && e.ends_with("but is crps"),
            "{e}"
        );
        let list = MetricList::parse("rmse,crps").unwrap();
        assert!(list.compute(&y, &y, None).unwrap_err().to_string().starts_with(words));
        assert!(list.check(VALUES).is_ok() && list.check_of_predictions(VALUES).is_err());
        let [values, distributions] = list.parted().map(|part| part.unwrap().names());
        assert_eq!((values, distributions), (vec!["rmse".to_string()], vec!["crps".into()]));

        let e = crps.check_task(Task::Classification { classes: 2 }).unwrap_err().to_string();
        assert_eq!(e, "the task of the metric crps must be regression, but is classification with 2 classes");
        let e = Metric::parse("nll").unwrap().check_task(VALUES).unwrap_err().to_string();
        assert!(e.contains("classification (distribution-nll is that of distributions of values)"), "{e}");

        let quantiles = Tensor::from_slice(&[0., 1., 2., 3.], (1, 2, 1, 2), &Device::Cpu).unwrap();
        let mixture = Mixture::of_quantiles(Levels::new(&[0.25, 0.75]).unwrap(), &quantiles).unwrap();
        let nll = Metric::parse("nlpd").unwrap();
        let e = nll.compute_distributions(&mixture, &y, None).unwrap_err().to_string();
        assert!(e.contains("quantiles, which have no density"), "{e}");
        assert!(crps.compute_distributions(&mixture, &y, None).unwrap() > 0.);
        assert!(Metric::parse("accuracy").unwrap().compute_distributions(&mixture, &y, None).is_err());

        let e = Metric::parse("coverage").unwrap().check_orders().unwrap_err().to_string();
        assert!(e.contains("such as interval-score:0.9") && e.ends_with("but is coverage:0.9"), "{e}");
        assert!(crps.check_orders().is_ok());
    }
}
