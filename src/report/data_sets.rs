//! The comparison over several data sets as a table.
use crate::evaluate::DataSetsReport;
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};

impl DataSetsReport {
    /// The methods by average rank as a Markdown table: the rank, the mean reduction of the loss against a single
    /// network, the p-value of that comparison after Holm's correction, and the metric on each data set. Below it
    /// stand Friedman's test, the critical difference, and the methods that were left out.
    #[must_use]
    pub fn table(&self) -> String {
        let comparison = &self.comparison;
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let columns = ["method", "average rank", "loss lower by", "p (Holm)"].map(String::from);
        let sets = self.data_sets.iter().zip(&self.metrics).map(|(set, metric)| format!("{set}, {metric}"));
        table.set_header(columns.into_iter().chain(sets));
        for place in self.by_rank() {
            let Some(name) = comparison.names.get(place) else { continue };
            let Some(method) = self.methods.iter().position(|method| method == name) else { continue };
            let rank = comparison.friedman.average_ranks.get(place).copied().unwrap_or(f64::NAN);
            let scores: Vec<f64> =
                self.scores.iter().filter_map(|of| of.get(method).copied().flatten()).collect();
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            let p = comparison.comparisons.iter().find(|pair| pair.first == place || pair.second == place);
            let p = match comparison.control == Some(place) {
                true => String::new(),
                false => p.map_or_else(String::new, |pair| format!("{:.3}", pair.holm_p_value)),
            };
            let value = |of: &Vec<Option<f64>>| {
                of.get(method).copied().flatten().map_or_else(|| "–".into(), |value| format!("{value:.4}"))
            };
            let cells = [name.clone(), format!("{rank:.2}"), format!("{:+.1} %", 100. * mean), p];
            table.add_row(cells.into_iter().chain(self.values.iter().map(value)));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let friedman = &comparison.friedman;
        let mut text = format!(
            "{table}\n\nFriedman's test over {} data sets: p = {:.3}; average ranks that differ by less than {:.2} do \
             not differ significantly (Nemenyi, 5 %)",
            comparison.datasets, friedman.p_value, comparison.critical_difference
        );
        if !comparison.left_out.is_empty() {
            text += &format!(
                "\nleft out, without a result on every data set: {}",
                comparison.left_out.join("; ")
            );
        }
        text
    }
}
