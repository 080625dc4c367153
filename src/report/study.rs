//! The result of a study as a table.
use crate::{
    evaluate::{decomposition::AdditiveLoss, EnsembleReport, StudyReport},
    metrics::Summary,
    report::numbers::{bytes, digits, interval, plus_minus, seconds, NONE},
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use std::collections::BTreeMap;

impl StudyReport {
    /// The report as a Markdown table: a row for the single networks, and one for each strategy and combination.
    /// Combinations that could not be made are listed below it, with the reason.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(self.header());
        table.add_row(self.single_row());
        for ensemble in &self.ensembles {
            table.add_row(self.ensemble_row(ensemble));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let notes = self.notes();
        match notes.is_empty() {
            true => table.to_string(),
            false => format!("{table}\n\n{}", notes.join("\n")),
        }
    }

    /// Why the ensembles gain, as a Markdown table: the loss of the members of each strategy in parts, and how often
    /// two members disagree; `None` for one repeat.
    ///
    /// ```text
    /// loss of a member = bias + variance;  loss of the ensemble = loss of a member − diversity
    /// ```
    ///
    /// The loss is the cross-entropy in nats with the normalised geometric mean as ensemble for classes, and the
    /// squared error with the mean for values ([`decomposition`](crate::evaluate::decomposition)).
    #[must_use]
    pub fn why_table(&self) -> Option<String> {
        let explained: Vec<_> =
            self.strategies.iter().filter_map(|s| s.decompositions.first().map(|parts| (s, parts))).collect();
        let (first, parts) = explained.first()?;
        let loss = match parts.kind {
            AdditiveLoss::CrossEntropy => "cross-entropy",
            AdditiveLoss::Squared => "squared error",
        };
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let mut header = vec!["strategy".to_string(), format!("member, {loss}")];
        header.extend(["= bias", "+ variance", "− diversity", "= ensemble"].map(String::from));
        header.extend(first.pair_measure.clone());
        table.set_header(header);
        for (strategy, parts) in &explained {
            let numbers = [parts.member_loss, parts.bias, parts.variance, parts.diversity, parts.loss];
            let mut row = vec![strategy.strategy.clone()];
            row.extend(numbers.map(|x| format!("{x:.*}", digits(parts.member_loss))));
            let measured = |name: &String| strategy.diversity.iter().find(|measure| measure.name == *name);
            let of_pairs = strategy.pair_measure.as_ref().and_then(measured).and_then(|m| m.summary);
            row.extend(
                first
                    .pair_measure
                    .as_ref()
                    .map(|_| of_pairs.map_or_else(|| NONE.into(), |s| format!("{:.4}", s.mean))),
            );
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Some(table.to_string())
    }

    fn header(&self) -> Vec<String> {
        let mut header = vec!["strategy".into(), "combination".into()];
        header.extend(self.metrics.iter().cloned());
        header.push("difference (95 %)".into());
        if self.splits > 1 {
            header.extend(["sd seeds", "sd splits", "sd both"].map(String::from));
        } else {
            header.push("sd fell by".into());
        }
        header.extend(["epochs", "training", "networks", "size", "fitted on"].map(String::from));
        header
    }

    fn single_row(&self) -> Vec<String> {
        let mut row = vec!["single network".into(), NONE.into()];
        row.extend(self.metric_cells(&self.single.metrics));
        row.push(String::new());
        row.extend(self.spread_cells(self.single.spread, None));
        row.extend(cost_cells(&self.single.cost));
        row.push(String::new());
        row
    }

    fn ensemble_row(&self, ensemble: &EnsembleReport) -> Vec<String> {
        let mut row = vec![ensemble.strategy.clone(), ensemble.combine.clone()];
        if ensemble.metrics.is_empty() {
            row.resize(row.len() + self.metrics.len(), NONE.into());
            row.push(match ensemble.barrier {
                Some(barrier) => format!("refused: barrier {barrier:.2}"),
                None => "not made".into(),
            });
            row.resize(self.header().len() - 1, String::new());
            row.push(fitted_on(ensemble));
            return row;
        }
        row.extend(self.metric_cells(&ensemble.metrics));
        row.push(ensemble.difference.as_ref().map_or_else(|| NONE.into(), |i| interval(i, self.digits())));
        row.extend(self.spread_cells(ensemble.spread, ensemble.sd_ratio));
        row.extend(cost_cells(&ensemble.cost));
        row.push(fitted_on(ensemble));
        row
    }

    fn metric_cells<'r>(&'r self, of: &'r BTreeMap<String, Summary>) -> impl Iterator<Item = String> + 'r {
        self.metrics.iter().map(|name| of.get(name).map(plus_minus).unwrap_or_default())
    }

    fn spread_cells(&self, spread: crate::evaluate::Spread, ratio: Option<f64>) -> Vec<String> {
        let digits = self.digits();
        let sd = |sd: Option<f64>| sd.map_or_else(|| NONE.into(), |sd| format!("{sd:.digits$}"));
        match self.splits {
            1 => vec![ratio.map_or_else(|| NONE.into(), |ratio| format!("{ratio:.1} ×"))],
            _ => [spread.seeds, spread.splits, spread.both].map(sd).to_vec(),
        }
    }

    /// The number of digits of the headline metric.
    pub(super) fn digits(&self) -> usize {
        self.single.metrics.get(&self.metric).map_or(4, |s| digits(s.mean))
    }

    /// Why combinations have no result, and what the figures mean.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let failed = || self.ensembles.iter().filter_map(|e| e.failed.first().map(|failure| (e, failure)));
        for (ensemble, failure) in failed().filter(|(_, failure)| failure.barrier.is_none()) {
            let (failed, of) = (ensemble.failed.len(), ensemble.repeats.len());
            let times = if of > 1 { format!(" ({failed} of {of} trainings)") } else { String::new() };
            notes.push(format!("{} with {}{times}: {}", ensemble.strategy, ensemble.combine, failure.why));
        }
        let partly =
            |e: &&EnsembleReport| !e.metrics.is_empty() && e.failed.iter().any(|f| f.barrier.is_some());
        for e in self.ensembles.iter().filter(partly) {
            let (failed, of) = (e.failed.len(), e.repeats.len());
            notes.push(format!("{} with {}: refused in {failed} of {of} trainings", e.strategy, e.combine));
        }
        if failed().any(|(_, failure)| failure.barrier.is_some()) {
            notes.push(
                "refused: one network in place of several would have a loss on the reserved rows that is higher \
                 than theirs by the barrier, which is above the limit"
                    .into(),
            );
        }
        if self.strategies.iter().any(|strategy| strategy.networks < strategy.members) {
            notes.push(
                "a network that holds several members counts as one, and may take up to as many times as long as a plain \
                 one to predict"
                    .into(),
            );
        }
        if let Some(size) = self.enough_members {
            notes.push(format!(
                "more than {size} members: no combination gains more than the standard error of its {}, by the fitted \
                 curves a + b/M",
                self.metric
            ));
        }
        notes
    }
}

fn cost_cells(cost: &crate::evaluate::Cost) -> [String; 4] {
    [
        format!("{:.0}", cost.trained_epochs),
        seconds(cost.train_seconds),
        format!("{:.0}", cost.prediction_networks),
        bytes(cost.bytes),
    ]
}

fn fitted_on(ensemble: &EnsembleReport) -> String {
    ensemble.fitted_on.as_ref().map_or_else(String::new, |on| format!("{} {}", on.rows, on.source))
}
