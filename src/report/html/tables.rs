//! The tables of a study.
use super::{
    page::{hidden, Cell, Column, Group, Row, Table},
    text::{count, minus, percent, probability, times},
};
use crate::{
    evaluate::{Cost, EnsembleReport, Spread, StudyReport},
    metrics::{registry, Summary},
    report::numbers::{bytes, interval, plus_minus, seconds, NONE},
};
use maud::{html, Markup};
use std::collections::BTreeMap;

impl StudyReport {
    /// All rows with all metrics.
    pub(super) fn results(&self, place: &str) -> Table {
        let level = self.ensembles.iter().find_map(|e| e.difference).map_or(0.95, |i| i.level);
        let mut columns = vec![Column::text("combination")];
        columns.extend(self.metrics.iter().map(|name| {
            let arrow = match self.rises(name) {
                Some(true) => " ↑",
                Some(false) => " ↓",
                None => "",
            };
            Column::number(format!("{name}{arrow}"))
        }));
        columns.push(Column::number(format!("difference ({})", percent(level))));
        if self.has_p() {
            columns.push(Column::number("p"));
        }
        if self.has_holm() {
            columns.push(Column::number("p (Holm)"));
        }
        columns.extend(["epochs", "forward passes"].map(Column::number));
        columns.push(Column::text("fitted on"));
        let best = self.best_means();
        let mut single: Vec<Cell> = self.metric_cells_of(&self.single.metrics, &best);
        single.resize_with(columns.len() - 1, || String::new().into());
        let at = columns.len() - 4;
        for (cell, text) in single.iter_mut().skip(at).zip(cost_pair(&self.single.cost)) {
            *cell = text.into();
        }
        let with = columns.len();
        Table {
            id: format!("{place}results-table"),
            caption: format!(
                "Metrics on the test rows: mean ± standard deviation. ↑: higher is better, ↓: lower is better. \
                 ★ marks the best mean of a metric. The difference is the {} minus that of a single network.",
                self.metric
            ),
            columns,
            groups: self.groups("single network".into(), single, |e| self.result_cells(e, with, &best)),
        }
    }

    fn result_cells(&self, e: &EnsembleReport, columns: usize, best: &BTreeMap<&str, f64>) -> Vec<Cell> {
        let on = match &e.fitted_on {
            Some(on) => html! { (on.rows) " " (on.source) },
            None => html! {},
        };
        if e.metrics.is_empty() {
            // All columns but the names and the rows that decided.
            return vec![Cell::Over(columns - 2, fate(e)), Cell::One(on)];
        }
        let mut cells = self.metric_cells_of(&e.metrics, best);
        let difference = e.difference.as_ref().map(|i| minus(&interval(i, self.digits())));
        cells.push(difference.unwrap_or_else(|| NONE.into()).into());
        let p = |p: Option<f64>| p.map_or_else(|| NONE.into(), |p| probability(p).replace("= ", ""));
        if self.has_p() {
            cells.push(p(e.p_value).into());
        }
        if self.has_holm() {
            cells.push(p(e.p_holm).into());
        }
        cells.extend(cost_pair(&e.cost).map(Cell::from));
        cells.push(Cell::One(on));
        cells
    }

    /// The metric from one training and one split to the next, as far as it is known.
    pub(super) fn spreads(&self, place: &str) -> Option<Table> {
        let of = |spread: &Spread, ratio: Option<f64>| [spread.seeds, spread.splits, spread.both, ratio];
        let single = of(&self.single.spread, None);
        let mut known = single.map(|sd| sd.is_some());
        for e in &self.ensembles {
            known.iter_mut().zip(of(&e.spread, e.sd_ratio)).for_each(|(known, sd)| *known |= sd.is_some());
        }
        let digits = self.digits() + 1;
        let cells = |of: [Option<f64>; 4]| -> Vec<Cell> {
            let text = |(column, value): (usize, Option<f64>)| match value {
                None => NONE.into(),
                Some(ratio) if column == 3 => times(ratio),
                Some(sd) => format!("{sd:.digits$}"),
            };
            let known = of.into_iter().enumerate().filter(|(column, _)| known[*column]);
            known.map(text).map(Cell::from).collect()
        };
        let headings = ["sd of trainings", "sd of splits", "sd of both", "sd of trainings fell by"];
        let mut columns = vec![Column::text("combination")];
        columns
            .extend(headings.iter().zip(known).filter(|(_, known)| *known).map(|(h, _)| Column::number(*h)));
        let wide = columns.len() - 1;
        (wide > 0).then(|| Table {
            id: format!("{place}spread-table"),
            caption: format!("Standard deviation of {} by its source.", self.metric),
            columns,
            groups: self.groups("single network".into(), cells(single), |e| match e.metrics.is_empty() {
                true => vec![Cell::Over(wide, fate(e))],
                false => cells(of(&e.spread, e.sd_ratio)),
            }),
        })
    }

    /// What each row costs.
    pub(super) fn costs(&self, place: &str) -> Table {
        let one = self.single.cost;
        let cells = |cost: &Cost| -> Vec<Cell> {
            let ratio = |text: String, value: f64, of_one: f64| {
                let ratio = value / of_one;
                Cell::One(html! {
                    (text)
                    @if ratio.is_finite() && of_one > 0. { " " small { "(" (times(ratio)) ")" } }
                })
            };
            vec![
                ratio(format!("{:.0}", cost.trained_epochs), cost.trained_epochs, one.trained_epochs),
                ratio(seconds(cost.train_seconds), cost.train_seconds, one.train_seconds),
                seconds(cost.fit_seconds).into(),
                passes(cost.prediction_networks).into(),
                ratio(bytes(cost.bytes), cost.bytes, one.bytes),
            ]
        };
        let mut columns = vec![Column::text("combination")];
        columns.extend(["epochs", "training", "fit or merge", "forward passes", "size"].map(Column::number));
        Table {
            id: format!("{place}cost-table"),
            caption: "Mean cost of one ensemble, and in brackets its ratio to that of a single network."
                .into(),
            columns,
            groups: self.groups("single network".into(), cells(&one), |e| match e.metrics.is_empty() {
                true => vec![Cell::Over(5, fate(e))],
                false => cells(&e.cost),
            }),
        }
    }

    /// What the members of each strategy are like.
    pub(super) fn members(&self, place: &str) -> Option<Table> {
        let digits = self.digits();
        let row = |s: &crate::evaluate::StrategyReport| Row {
            name: html! { (s.strategy) },
            cells: vec![s.members.to_string().into(), minus(&format!("{:.digits$}", s.members_mean)).into()],
        };
        (!self.strategies.is_empty()).then(|| Table {
            id: format!("{place}members-table"),
            caption: format!("The members of each strategy, and the mean {} of one of them.", self.metric),
            columns: vec![
                Column::text("strategy"),
                Column::number("members"),
                Column::number(format!("{} of one member", self.metric)),
            ],
            groups: vec![Group { heading: None, rows: self.strategies.iter().map(row).collect() }],
        })
    }

    /// The mean weight of each slot, for the rows that are weighted means.
    pub(super) fn weight_table(&self, place: &str) -> Option<Table> {
        let weighted: Vec<(&EnsembleReport, &Vec<f64>)> =
            self.ensembles.iter().filter_map(|e| Some((e, e.weights.as_ref()?))).collect();
        let slots = weighted.iter().map(|(_, weights)| weights.len()).max().filter(|slots| *slots > 0)?;
        let row = |(e, weights): &(&EnsembleReport, &Vec<f64>)| Row {
            name: html! { (e.strategy) " with " (e.combine) },
            cells: (0..slots)
                .map(|slot| weights.get(slot).map_or_else(String::new, |w| minus(&format!("{w:.3}"))).into())
                .collect(),
        };
        let mut columns = vec![Column::text("combination")];
        columns.extend((1..=slots).map(|slot| Column::number(slot.to_string())));
        Some(Table {
            id: format!("{place}weights-table"),
            caption: "Mean weight of each slot over the trainings.".into(),
            columns,
            groups: vec![Group { heading: None, rows: weighted.iter().map(row).collect() }],
        })
    }

    /// One group for the single networks, and one for each strategy.
    fn groups(
        &self,
        single: String,
        of_single: Vec<Cell>,
        cells: impl Fn(&EnsembleReport) -> Vec<Cell>,
    ) -> Vec<Group> {
        let mut groups =
            vec![Group { heading: None, rows: vec![Row { name: html! { (single) }, cells: of_single }] }];
        let mut strategies: Vec<&str> = vec![];
        for e in &self.ensembles {
            if !strategies.contains(&e.strategy.as_str()) {
                strategies.push(&e.strategy);
            }
        }
        groups.extend(strategies.into_iter().map(|strategy| {
            let of: Vec<&EnsembleReport> = self.ensembles.iter().filter(|e| e.strategy == strategy).collect();
            let members = of.first().map_or(0, |e| e.members);
            let row = |e: &&EnsembleReport| Row {
                name: html! {
                    (e.combine)
                    @if e.one_network { " " small { "(one network)" } }
                },
                cells: cells(e),
            };
            Group {
                heading: Some(html! { (strategy) " " small { "(" (count(members, "member")) ")" } }),
                rows: of.iter().map(row).collect(),
            }
        }));
        groups
    }

    fn metric_cells_of(&self, of: &BTreeMap<String, Summary>, best: &BTreeMap<&str, f64>) -> Vec<Cell> {
        let cell = |name: &String| match of.get(name) {
            None => Cell::One(html! { (NONE) }),
            Some(summary) if best.get(name.as_str()) == Some(&summary.mean) => Cell::One(html! {
                span.best { span aria-hidden="true" { "★ " } (minus(&plus_minus(summary))) }
                (hidden(" best"))
            }),
            Some(summary) => minus(&plus_minus(summary)).into(),
        };
        self.metrics.iter().map(cell).collect()
    }

    /// The best mean of each metric over all rows of the table, where it is known which way is better.
    fn best_means(&self) -> BTreeMap<&str, f64> {
        let best = |name: &'_ String| {
            let rises = self.rises(name)?;
            let rows = self.ensembles.iter().map(|e| &e.metrics).chain([&self.single.metrics]);
            let means = rows.filter_map(|metrics| metrics.get(name)).map(|s| s.mean).filter(|x| !x.is_nan());
            means.reduce(if rises { f64::max } else { f64::min })
        };
        self.metrics.iter().filter_map(|name| Some((name.as_str(), best(name)?))).collect()
    }

    /// Whether a higher value of the metric is better, where that is known.
    fn rises(&self, metric: &str) -> Option<bool> {
        match metric == self.metric {
            true => Some(self.higher_is_better),
            false => registry().parse(metric).ok().map(|metric| metric.higher_is_better()),
        }
    }

    fn has_p(&self) -> bool {
        self.ensembles.iter().any(|e| e.p_value.is_some())
    }

    pub(super) fn has_holm(&self) -> bool {
        self.ensembles.iter().any(|e| e.p_holm.is_some())
    }

    /// The rows that have no result in some trainings, with the reason.
    pub(super) fn failures(&self) -> Vec<Markup> {
        let refused = |e: &EnsembleReport| {
            e.metrics.is_empty()
                && !e.failed.is_empty()
                && e.failed.iter().all(|failure| failure.barrier.is_some())
        };
        let others = self.ensembles.iter().filter(|e| !e.failed.is_empty() && !refused(e));
        let note = |e: &EnsembleReport| {
            html! {
                strong { (e.strategy) " with " (e.combine) }
                ": no result in " (e.failed.len()) " of " (count(e.repeats.len(), "training")) ". "
                (reason(e))
            }
        };
        let mut notes: Vec<Markup> = others.map(note).collect();
        if self.ensembles.iter().any(refused) {
            notes.push(html! {
                strong { "Refused" }
                ": the loss of the one network on the reserved rows is higher than that of the networks it is made of, \
                 by the barrier, which is above the limit of the study."
            });
        }
        notes
    }
}

/// What became of a row without a result.
fn fate(e: &EnsembleReport) -> Markup {
    match e.barrier {
        Some(barrier) => html! { "refused: loss barrier " (format!("{barrier:.2}")) },
        None => html! { "not made" },
    }
}

/// The reason why there is no result. Reasons with numbers differ from training to training, so only the first is
/// shown.
fn reason(e: &EnsembleReport) -> String {
    let Some(first) = e.failed.first() else { return String::new() };
    match e.failed.iter().all(|failure| failure.why == first.why) {
        true => format!("Reason: {}", first.why),
        false => format!("Reason in the first of them: {}", first.why),
    }
}

fn cost_pair(cost: &Cost) -> [String; 2] {
    [format!("{:.0}", cost.trained_epochs), passes(cost.prediction_networks)]
}

fn passes(networks: f64) -> String {
    format!("{networks:.1}").trim_end_matches(".0").into()
}
