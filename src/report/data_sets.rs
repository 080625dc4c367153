//! The comparison over several data sets as a table.
use crate::{evaluate::DataSetsReport, report::numbers::NONE};
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
        for row in self.ranking() {
            let p = row.holm_p_value.map_or_else(String::new, |p| format!("{p:.3}"));
            let value =
                |value: &Option<f64>| value.map_or_else(|| NONE.into(), |value| format!("{value:.4}"));
            let cells = [row.name.to_string(), format!("{:.2}", row.rank), row.lower_by(), p];
            table.add_row(cells.into_iter().chain(row.values.iter().map(value)));
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

    /// The compared methods, best first.
    pub(super) fn ranking(&self) -> Vec<Ranked<'_>> {
        let comparison = &self.comparison;
        let row = |place: usize| {
            let name = comparison.names.get(place)?;
            let method = self.methods.iter().position(|method| method == name)?;
            let of = |table: &Vec<Option<f64>>| table.get(method).copied().flatten();
            let scores: Vec<f64> = self.scores.iter().filter_map(of).collect();
            let pair = comparison.comparisons.iter().find(|pair| pair.first == place || pair.second == place);
            Some(Ranked {
                name,
                rank: comparison.friedman.average_ranks.get(place).copied()?,
                score: scores.iter().sum::<f64>() / scores.len() as f64,
                holm_p_value: pair
                    .filter(|_| comparison.control != Some(place))
                    .map(|pair| pair.holm_p_value),
                values: self.values.iter().map(of).collect(),
            })
        };
        self.by_rank().into_iter().filter_map(row).collect()
    }
}

/// A method in the order of the average ranks.
pub(super) struct Ranked<'r> {
    pub(super) name: &'r str,
    pub(super) rank: f64,
    /// The mean score over the data sets.
    pub(super) score: f64,
    /// Of the comparison with the single network; none for the single network itself.
    pub(super) holm_p_value: Option<f64>,
    /// The metric on each data set.
    pub(super) values: Vec<Option<f64>>,
}

impl Ranked<'_> {
    /// By how much the loss is lower than that of a single network.
    pub(super) fn lower_by(&self) -> String {
        format!("{:+.1} %", 100. * self.score)
    }
}
