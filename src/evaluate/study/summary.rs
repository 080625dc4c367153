//! The report of the trials of one or several splits.
use super::{
    pools::{add_bins, add_counts},
    trial::{Combined, Outcome, Trained},
    why, StrategyTrial, Trials, LEVEL,
};
use crate::{
    evaluate::{
        Cost, CurvePoint, EnsembleReport, RepeatReport, SingleReport, SizeFit, SizeSummary, Spread,
        StrategyReport, StudyReport,
    },
    statistics::{
        corrected_t_interval, corrected_t_test, holm, paired_t_test, t_interval, variance_components,
        Interval, Summary,
    },
    Error, Result,
};
use std::collections::BTreeMap;

impl StudyReport {
    /// The report of the trials of one split, or of several splits of the same data. The trials must be of the
    /// same strategies, combinations, metrics and number of repeats.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{data::*, evaluate::*, train::Trainer, Result, Seed, Session};
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// # let all = TensorDataset::classification(x, &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
    /// let on_split = |number: u64| -> Result<Trials> {
    ///     let split = Split::of(&all, 0.3, Seed::from(1).nth("split", number))?;
    ///     let (train, test) = (all.subset(&split.train)?, all.subset(&split.test)?);
    ///     let study = Study::new(Session::new(&trainer, &train), &test).repeats(2);
    ///     study.strategies("bootstrap:3")?.combinations("mean,median")?.trials(42)
    /// };
    /// let report = StudyReport::of(&[on_split(0)?, on_split(1)?, on_split(2)?])?;
    /// assert!(report.ensembles[0].spread.splits.is_some());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are no trials, or they are of different studies.
    pub fn of(splits: &[Trials]) -> Result<Self> {
        let Some(first) = splits.first() else {
            return Err(Error::invalid("the number of splits", "at least 1", 0));
        };
        let alike = |t: &Trials| {
            let names = |t: &Trials| t.strategies.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            names(t) == names(first)
                && t.combinations == first.combinations
                && t.metrics == first.metrics
                && t.singles.len() == first.singles.len()
        };
        if !splits.iter().all(alike) {
            let must = "of the same strategies, combinations, metrics and repeats";
            return Err(Error::invalid("the trials of the splits", must, "different"));
        }
        let (metric, higher_is_better) = first.metrics.first().cloned().unwrap_or_default();
        let single = single_report(splits)?;
        let mut ensembles = vec![];
        for (s, (strategy, _)) in first.strategies.iter().enumerate() {
            for (c, (combine, one_network)) in first.combinations.iter().enumerate() {
                let cell = Cell { splits, strategy: s, combination: c };
                let report = cell.report(&single)?;
                ensembles.push(EnsembleReport {
                    strategy: strategy.clone(),
                    combine: combine.clone(),
                    one_network: *one_network,
                    ..report
                });
            }
        }
        correct(&mut ensembles)?;
        Ok(Self {
            metric,
            higher_is_better,
            metrics: first.metrics.iter().map(|(name, _)| name.clone()).collect(),
            train_rows: first.train_rows,
            test_rows: first.test_rows,
            splits: splits.len(),
            repeats: first.singles.len(),
            budget_epochs: first.budget,
            strategies: (0..first.strategies.len())
                .map(|s| strategy_report(splits, s))
                .collect::<Result<_>>()?,
            enough_members: enough_members(&ensembles, higher_is_better),
            single,
            ensembles,
        })
    }
}

/// One strategy with one combination, in all splits.
#[derive(Clone, Copy)]
struct Cell<'t> {
    splits: &'t [Trials],
    strategy: usize,
    combination: usize,
}

impl<'t> Cell<'t> {
    /// The trials, each with its split, its repeat, and the single networks of that repeat.
    fn trials(self) -> impl Iterator<Item = (usize, usize, &'t StrategyTrial, &'t Outcome, &'t Trained)> {
        self.splits.iter().enumerate().flat_map(move |(split, trials)| {
            let of_strategy =
                trials.strategies.get(self.strategy).map(|(_, of)| of.as_slice()).unwrap_or_default();
            let with_single = of_strategy.iter().zip(&trials.singles).enumerate();
            with_single.filter_map(move |(repeat, (trial, single))| {
                trial.outcomes.get(self.combination).map(|outcome| (split, repeat, trial, outcome, single))
            })
        })
    }

    fn report(self, single: &SingleReport) -> Result<EnsembleReport> {
        let names = metric_names(self.splits);
        let (mut repeats, mut costs, mut failed, mut barriers) = (vec![], vec![], vec![], vec![]);
        let (mut differences, mut headlines): (Vec<Vec<f64>>, Vec<Vec<f64>>) =
            (vec![vec![]; self.splits.len()], vec![vec![]; self.splits.len()]);
        let (mut scores, mut curves, mut weights) = (vec![], vec![], vec![]);
        let (mut confusion, mut reliability) = (None, vec![]);
        let (mut members, mut fitted_on) = (0, None);
        for (split, repeat, trial, outcome, of_single) in self.trials() {
            members = trial.trained.members;
            fitted_on = fitted_on.or_else(|| outcome.fitted_on.clone());
            barriers.extend(outcome.barrier);
            let single_mean = of_single.headline_mean();
            let mut metrics = BTreeMap::new();
            match &outcome.result {
                Err(failure) => failed.push(failure.clone()),
                Ok(combined) => {
                    metrics = named(&names, &combined.scores);
                    let headline = combined.scores.first().copied().unwrap_or(f64::NAN);
                    differences[split].push(headline - single_mean);
                    headlines[split].push(headline);
                    scores.push(combined.scores.clone());
                    costs.push(outcome.cost);
                    curves.push(combined.size_curve.clone());
                    weights.extend(combined.weights.clone());
                    add_counts(&mut confusion, combined.confusion.clone());
                    add_bins(&mut reliability, &combined.reliability);
                }
            }
            repeats.push(RepeatReport {
                split,
                repeat,
                metrics,
                members_mean: trial.trained.headline_mean(),
                single_mean,
                cost: outcome.cost,
            });
        }
        let of_first = self.trials().filter(|(split, ..)| *split == 0);
        let of_first: Vec<&Combined> =
            of_first.filter_map(|(_, _, _, outcome, _)| outcome.result.as_ref().ok()).collect();
        let (bias_variance, zero_one) = match self.splits.first() {
            Some(split) => why::bias_variance(&split.rows, &of_first)?,
            None => (None, None),
        };
        let size_curve = size_summaries(&curves)?;
        let spread = spread(&headlines)?;
        let (difference, p_value) = self.difference(&differences)?;
        let sd_ratio = match (single.spread.seeds, spread.seeds) {
            (Some(one), Some(many)) if many > 0. => Some(one / many),
            _ => None,
        };
        Ok(EnsembleReport {
            strategy: String::new(),
            combine: String::new(),
            one_network: false,
            members,
            metrics: summaries(&names, &scores)?,
            spread,
            difference,
            p_value,
            p_holm: None,
            sd_ratio,
            cost: mean_cost(&costs),
            fitted_on,
            barrier: mean(&barriers),
            failed,
            weights: mean_weights(&weights),
            size_fit: SizeFit::of_report(&size_curve, LEVEL).ok(),
            size_curve,
            confusion,
            reliability,
            bias_variance,
            zero_one,
            repeats,
        })
    }

    /// The difference from a single network, with its interval and its p-value.
    fn difference(self, by_split: &[Vec<f64>]) -> Result<(Option<Interval>, Option<f64>)> {
        let filled: Vec<&Vec<f64>> = by_split.iter().filter(|split| !split.is_empty()).collect();
        match filled.as_slice() {
            [] => Ok((None, None)),
            [one] if one.len() == 1 => {
                let over_rows =
                    |trials: &Trials| *trials.over_rows.get(self.strategy)?.get(self.combination)?;
                Ok((self.splits.iter().find_map(over_rows), None))
            }
            [one] => Ok((Some(t_interval(one, LEVEL)?), Some(paired_t_test(one)?.p_value))),
            several => {
                let means: Vec<f64> = several.iter().filter_map(|split| mean(split)).collect();
                let (test, train) = self.splits.first().map_or((1, 1), |t| (t.test_rows, t.train_rows));
                let interval = corrected_t_interval(&means, test, train, LEVEL)?;
                Ok((Some(interval), Some(corrected_t_test(&means, test, train)?.p_value)))
            }
        }
    }
}

/// The number of members beyond which no combination gets better by more than the standard error of its metric.
fn enough_members(ensembles: &[EnsembleReport], higher_is_better: bool) -> Option<usize> {
    let fits = ensembles.iter().filter_map(|e| e.size_fit);
    let enough = |fit: SizeFit| match (fit.slope.estimate < 0.) == higher_is_better {
        true => fit.enough_within_noise(),
        // The metric gets worse with the number of members, or does not change.
        false => Some(1),
    };
    fits.map(enough).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Adds the p-values after Holm's correction for all rows that have one.
fn correct(ensembles: &mut [EnsembleReport]) -> Result<()> {
    let with_p: Vec<&mut EnsembleReport> = ensembles.iter_mut().filter(|e| e.p_value.is_some()).collect();
    let p_values: Vec<f64> = with_p.iter().filter_map(|e| e.p_value).collect();
    if p_values.is_empty() {
        return Ok(());
    }
    with_p.into_iter().zip(holm(&p_values)?).for_each(|(e, p)| e.p_holm = Some(p));
    Ok(())
}

fn metric_names(splits: &[Trials]) -> Vec<String> {
    splits.first().map(|t| t.metrics.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default()
}

/// Mean and standard deviation of each metric; nothing where there are no scores.
fn summaries(names: &[String], scores: &[Vec<f64>]) -> Result<BTreeMap<String, Summary>> {
    if scores.is_empty() {
        return Ok(BTreeMap::new());
    }
    let column = |i: usize| scores.iter().filter_map(|s| s.get(i).copied()).collect::<Vec<_>>();
    names.iter().enumerate().map(|(i, name)| Ok((name.clone(), Summary::of(&column(i))?))).collect()
}

fn named(names: &[String], scores: &[f64]) -> BTreeMap<String, f64> {
    names.iter().cloned().zip(scores.iter().copied()).collect()
}

fn single_report(splits: &[Trials]) -> Result<SingleReport> {
    let names = metric_names(splits);
    let trained: Vec<&Trained> = splits.iter().flat_map(|split| &split.singles).collect();
    let scores: Vec<Vec<f64>> = trained.iter().flat_map(|t| t.member_scores.clone()).collect();
    let headlines = splits.iter().map(|split| {
        let scores = split.singles.iter().flat_map(|t| &t.member_scores);
        scores.filter_map(|scores| scores.first().copied()).collect::<Vec<_>>()
    });
    let cost = |t: &&Trained| {
        // A member of a sequence takes the runs of all its networks.
        let (runs, of_one) = (t.curves.len().max(1) as f64, t.networks_of_one);
        Cost {
            trained_epochs: t.epochs / runs * of_one,
            train_seconds: t.seconds / runs * of_one,
            fit_seconds: 0.,
            prediction_networks: of_one,
            bytes: t.bytes_of_one,
        }
    };
    let (mut confusion, mut reliability) = (None, vec![]);
    for t in &trained {
        add_counts(&mut confusion, t.confusion.clone());
        add_bins(&mut reliability, &t.reliability);
    }
    Ok(SingleReport {
        metrics: summaries(&names, &scores)?,
        spread: spread(&headlines.collect::<Vec<_>>())?,
        cost: mean_cost(&trained.iter().map(cost).collect::<Vec<_>>()),
        learning_curve: learning_curve(&trained.iter().flat_map(|t| &t.curves).collect::<Vec<_>>()),
        confusion,
        reliability,
        repeats: trained.iter().map(|t| t.member_scores.iter().map(|s| named(&names, s)).collect()).collect(),
    })
}

/// The mean, lowest and highest training loss after each epoch, over the runs that trained so long.
fn learning_curve(curves: &[&Vec<f64>]) -> Vec<CurvePoint> {
    let longest = curves.iter().map(|curve| curve.len()).max().unwrap_or_default();
    let point = |epoch: usize| {
        let losses: Vec<f64> = curves.iter().filter_map(|curve| curve.get(epoch).copied()).collect();
        let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        CurvePoint { epoch: epoch + 1, mean: mean(&losses).unwrap_or(f64::NAN), low, high }
    };
    (0..longest).map(point).collect()
}

fn strategy_report(splits: &[Trials], strategy: usize) -> Result<StrategyReport> {
    let trials: Vec<&StrategyTrial> = splits
        .iter()
        .filter_map(|split| split.strategies.get(strategy))
        .flat_map(|(_, trials)| trials)
        .collect();
    let name = splits.first().and_then(|split| split.strategies.get(strategy)).map(|(name, _)| name.clone());
    let means: Vec<f64> = trials.iter().map(|trial| trial.trained.headline_mean()).collect();
    let report = StrategyReport {
        strategy: name.unwrap_or_default(),
        members: trials.first().map_or(0, |trial| trial.trained.members),
        networks: trials.first().map_or(0, |trial| trial.trained.networks),
        members_mean: mean(&means).unwrap_or(f64::NAN),
        diversity: vec![],
        kappa_error: vec![],
        pair_measure: None,
        pairs: None,
        decompositions: vec![],
        diversity_effect: None,
    };
    why::explain(report, splits, strategy)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn mean_cost(costs: &[Cost]) -> Cost {
    let of = |field: fn(&Cost) -> f64| mean(&costs.iter().map(field).collect::<Vec<_>>()).unwrap_or_default();
    Cost {
        trained_epochs: of(|c| c.trained_epochs),
        train_seconds: of(|c| c.train_seconds),
        fit_seconds: of(|c| c.fit_seconds),
        prediction_networks: of(|c| c.prediction_networks),
        bytes: of(|c| c.bytes),
    }
}

/// The mean weight of each slot, where all trainings have as many.
fn mean_weights(weights: &[Vec<f64>]) -> Option<Vec<f64>> {
    let slots = weights.first()?.len();
    if weights.iter().any(|w| w.len() != slots) {
        return None;
    }
    (0..slots).map(|slot| mean(&weights.iter().map(|w| w[slot]).collect::<Vec<_>>())).collect()
}

/// The standard deviations from trainings within splits, between splits, and of both.
fn spread(by_split: &[Vec<f64>]) -> Result<Spread> {
    let filled: Vec<&Vec<f64>> = by_split.iter().filter(|split| !split.is_empty()).collect();
    if filled.is_empty() {
        return Ok(Spread::default());
    }
    let parts = variance_components(&filled)?;
    Ok(Spread { seeds: parts.within, splits: parts.between, both: parts.total })
}

fn size_summaries(curves: &[Vec<crate::evaluate::SizePoint>]) -> Result<Vec<SizeSummary>> {
    let Some(first) = curves.first() else { return Ok(vec![]) };
    let summary = |i: usize| {
        let repeats: Vec<_> =
            curves.iter().filter_map(|curve| curve.get(i)).map(|point| point.values.clone()).collect();
        Ok(SizeSummary { size: first[i].size, summary: Summary::of(&repeats.concat())?, repeats })
    };
    (0..first.len()).map(summary).collect()
}
