//! What a study showed, in a few sentences.
use crate::{
    evaluate::{EnsembleReport, RepeatReport, StudyReport},
    metrics::{corrected_t_interval, t_interval, Interval},
    report::html::text::{count, percent, probability, signed, times},
    Result,
};
use maud::{html, Markup};
use std::collections::BTreeMap;

/// The level of intervals of differences between two ensembles.
const LEVEL: f64 = 0.95;

/// The p-value below which a difference is called significant.
const SIGNIFICANT: f64 = 0.05;

/// What the difference of an ensemble from a single network shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The ensemble is better.
    Better,
    /// Its own interval shows it, but not after the correction for the number of rows.
    NotAfterHolm,
    /// The interval contains 0.
    Nothing,
    /// The ensemble is worse.
    Worse,
    /// There is no interval.
    Unknown,
}

impl StudyReport {
    /// The ensemble with the best mean of the metric among those that `of` selects; the first of equal ones.
    pub(in crate::report) fn best(&self, of: impl Fn(&EnsembleReport) -> bool) -> Option<&EnsembleReport> {
        let ensembles = self.ensembles.iter().filter(|e| of(e));
        let valued = ensembles.filter_map(|e| Some((e, self.mean(e)?)));
        let better = |a: f64, b: f64| if self.higher_is_better { a > b } else { a < b };
        let best = valued.fold(None, |best: Option<(&EnsembleReport, f64)>, (e, mean)| match best {
            Some((_, so_far)) if !better(mean, so_far) => best,
            _ => Some((e, mean)),
        });
        best.map(|(e, _)| e)
    }

    /// The mean of the metric over the repeats.
    fn mean(&self, ensemble: &EnsembleReport) -> Option<f64> {
        ensemble.metrics.get(&self.metric).map(|summary| summary.mean).filter(|mean| mean.is_finite())
    }

    fn shown(&self, ensemble: &EnsembleReport) -> Shown {
        let Some(i) = &ensemble.difference else { return Shown::Unknown };
        let gain = if self.higher_is_better { i.estimate } else { -i.estimate };
        match ensemble.p_holm {
            _ if ![i.estimate, i.low, i.high].iter().all(|x| x.is_finite()) => Shown::Unknown,
            _ if i.contains(0.) => Shown::Nothing,
            _ if gain <= 0. => Shown::Worse,
            // A p-value that is NaN shows nothing either.
            Some(p) if p.is_nan() || p >= SIGNIFICANT => Shown::NotAfterHolm,
            _ => Shown::Better,
        }
    }

    /// The paragraphs of the verdict.
    pub(super) fn verdict(&self) -> Vec<Markup> {
        let Some(best) = self.best(|_| true) else {
            return vec![html! { "No combination gave a result. The reasons are in the table." }];
        };
        let mut paragraphs = vec![self.of_best(best)];
        paragraphs.extend(self.of_one_network(best));
        paragraphs.extend(self.of_cheapest(best));
        paragraphs
    }

    fn of_best(&self, best: &EnsembleReport) -> Markup {
        let digits = self.digits();
        html! {
            (name(best)) " has the best " (self.metric)
            @if let Some(mean) = self.mean(best) { ": " (format!("{mean:.digits$}")) }
            @if let Some(single) = self.single.metrics.get(&self.metric) {
                ", against " (format!("{:.digits$}", single.mean)) " for a single network"
            }
            ". "
            @if let Some(i) = &best.difference { "The difference is " (spelled(i, digits)) ". " }
            (self.claim(best)) " "
            (self.cost_of(best))
        }
    }

    /// What may be said of the best row.
    fn claim(&self, best: &EnsembleReport) -> String {
        let corrected = self.ensembles.iter().filter(|e| e.p_holm.is_some()).count();
        let holm =
            |p: f64| format!("Holm's correction for {} (p {})", count(corrected, "row"), probability(p));
        let rows = self.ensembles.iter().filter(|e| self.mean(e).is_some()).count();
        match (self.shown(best), best.p_holm) {
            (Shown::Better, Some(p)) => format!("The gain is significant after {}.", holm(p)),
            (Shown::NotAfterHolm, Some(p)) => format!(
                "The interval of this row on its own does not contain 0, but the gain is not significant after {}, \
                 so no gain over a single network was shown.",
                holm(p)
            ),
            (Shown::Better | Shown::NotAfterHolm, _) if rows > 1 => format!(
                "The interval does not contain 0, so this row on its own shows a gain. The interval is not \
                 corrected for the choice of the best of {rows} rows, which favours the row that was lucky."
            ),
            (Shown::Better | Shown::NotAfterHolm, _) => {
                "The interval does not contain 0, so a gain was shown.".into()
            }
            (Shown::Nothing, _) => {
                "The interval contains 0, so no gain over a single network was shown.".into()
            }
            (Shown::Worse, _) => {
                "The whole interval is on the side of the single network, so even the best combination is worse."
                    .into()
            }
            (Shown::Unknown, _) => {
                "There is no interval for this difference, so it may be due to chance.".into()
            }
        }
    }

    fn cost_of(&self, e: &EnsembleReport) -> String {
        let one = self.single.cost.trained_epochs;
        let epochs = match e.cost.trained_epochs / one {
            ratio if ratio.is_finite() && one > 0. => {
                format!("Its training takes {} the epochs of one network. A", times(ratio))
            }
            _ => "A".into(),
        };
        format!("{epochs} prediction takes {}.", passes(e.cost.prediction_networks))
    }

    /// The best row whose result is one network.
    fn of_one_network(&self, best: &EnsembleReport) -> Option<Markup> {
        if best.one_network {
            return Some(html! {
                "The result is one network, so a prediction costs as much as that of a single network."
            });
        }
        let tried = self.ensembles.iter().filter(|e| e.one_network).count();
        let Some(one) = self.best(|e| e.one_network) else {
            return (tried > 0).then(|| {
                html! { "None of the rows that make one network of the members gave a result." }
            });
        };
        let digits = self.digits();
        let claim = match self.shown(one) {
            Shown::Better => "",
            Shown::NotAfterHolm => ", which is no longer a gain after Holm's correction",
            Shown::Nothing => ", which shows no gain",
            Shown::Worse => ", which is worse than a single network",
            Shown::Unknown => ", without an interval",
        };
        Some(html! {
            "Of the rows that make one network of the members, " (name(one)) " is the best"
            @if let Some(mean) = self.mean(one) { ": " (format!("{mean:.digits$}")) }
            @if let Some(i) = &one.difference {
                ", a difference from a single network of " (spelled(i, digits))
            }
            (claim) ". "
            (self.cost_of(one))
        })
    }

    /// The cheapest row that is not significantly worse than the best one, where the best one is better than a
    /// single network.
    fn of_cheapest(&self, best: &EnsembleReport) -> Option<Markup> {
        if self.shown(best) != Shown::Better {
            return None;
        }
        let cheaper = |e: &EnsembleReport| e.cost.prediction_networks < best.cost.prediction_networks;
        let mut cheaper: Vec<&EnsembleReport> =
            self.ensembles.iter().filter(|e| cheaper(e) && self.mean(e).is_some()).collect();
        cheaper.sort_by(|a, b| {
            let cost = |e: &EnsembleReport| [e.cost.prediction_networks, e.cost.trained_epochs];
            let ([p, t], [q, u]) = (cost(a), cost(b));
            p.total_cmp(&q).then(t.total_cmp(&u))
        });
        let not_worse = cheaper.into_iter().find_map(|e| {
            let i = self.between(e, best)?;
            i.contains(0.).then_some((e, i))
        });
        let (e, i) = not_worse?;
        Some(html! {
            "The cheapest row that is not significantly worse than the best one is " (name(e)) ": "
            (passes(e.cost.prediction_networks)) " for a prediction, and a difference from the best of "
            (spelled(&i, self.digits())) ". That is no proof that the two are equal."
        })
    }

    /// The metric of one ensemble minus that of another, with the interval over the trainings in which both gave a
    /// result; over splits if there are several. `None` where there are too few.
    fn between(&self, one: &EnsembleReport, other: &EnsembleReport) -> Option<Interval> {
        let value = |r: &RepeatReport| r.metrics.get(&self.metric).copied().filter(|x| x.is_finite());
        let key = |r: &RepeatReport| (r.split, r.repeat);
        let others: BTreeMap<_, _> = other.repeats.iter().filter_map(|r| Some((key(r), value(r)?))).collect();
        let mut by_split: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for r in &one.repeats {
            if let (Some(x), Some(y)) = (value(r), others.get(&key(r))) {
                by_split.entry(r.split).or_default().push(x - y);
            }
        }
        let interval: Result<Interval> = match by_split.len() {
            0 => return None,
            1 => t_interval(by_split.values().next()?, LEVEL),
            _ => {
                let mean = |x: &Vec<f64>| x.iter().sum::<f64>() / x.len() as f64;
                let means: Vec<f64> = by_split.values().map(mean).collect();
                corrected_t_interval(&means, self.test_rows, self.train_rows, LEVEL)
            }
        };
        // With too few trainings there is no interval, which is no fault of the report.
        interval.ok()
    }
}

fn name(e: &EnsembleReport) -> Markup {
    html! { strong { (e.strategy) " with " (e.combine) } }
}

fn spelled(i: &Interval, digits: usize) -> String {
    let [x, low, high] = [i.estimate, i.low, i.high].map(|x| signed(x, digits));
    format!("{x} ({} interval {low} to {high})", percent(i.level))
}

fn passes(networks: f64) -> String {
    match format!("{networks:.1}").trim_end_matches(".0") {
        "1" => "1 forward pass".into(),
        several => format!("{several} forward passes"),
    }
}
