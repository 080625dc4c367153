//! The page of the comparison over several data sets.
use super::{
    page::{figures, list, page, Cell, Column, Group, Part, Row, Table},
    text::{minus, probability},
};
use crate::{
    evaluate::{DataSetsReport, StudyReport},
    report::{data_sets::Ranked, numbers::NONE},
    Result,
};
use maud::{html, Markup};

/// Names and values that a page lists.
type Settings = Vec<(String, String)>;

impl DataSetsReport {
    /// The comparison and the studies it is made of as one HTML page (feature `charts`), of the kind that
    /// [`StudyReport::html`] describes. Each study has a sentence that says what its data is, and its settings.
    ///
    /// # Errors
    /// When a chart cannot be drawn, because a value is NaN, infinite or beyond ±1e300.
    pub fn html(&self, title: &str, studies: &[(String, &StudyReport, Settings)]) -> Result<String> {
        let mut parts = vec![
            Part::new("", "ranks", "All data sets", self.ranks()?),
            Part::new("", "ranking", "How to read the ranks", list("terms", self.reading())),
        ];
        for (i, (data, report, settings)) in studies.iter().enumerate() {
            let (place, name) =
                (format!("data-{}-", i + 1), self.data_sets.get(i).cloned().unwrap_or_default());
            let study = Part::new(&place, "study", name, html! { p.lead { (data) } });
            parts.push(Part { parts: report.parts(&place, settings)?, ..study });
        }
        Ok(page(
            title,
            &format!("{} data sets: {}.", self.data_sets.len(), self.data_sets.join(", ")),
            &parts,
        ))
    }

    fn ranks(&self) -> Result<Markup> {
        let chart = self.rank_chart("Average ranks");
        let caption = html! { "Methods under one bar do not differ significantly (Nemenyi's test at 5 %)." };
        let left_out = &self.comparison.left_out;
        Ok(html! {
            (self.rank_table().markup())
            @if !left_out.is_empty() { p.note { "Left out, without a result on every data set: " (left_out.join("; ")) "." } }
            (figures([&chart], &caption)?)
        })
    }

    fn rank_table(&self) -> Table {
        let mut columns = vec![Column::text("method")];
        columns.extend(["average rank", "loss lower by", "p (Holm)"].map(Column::number));
        let sets = self.data_sets.iter().zip(&self.metrics);
        columns.extend(sets.map(|(set, metric)| Column::number(format!("{set}, {metric}"))));
        let row = |row: Ranked<'_>| {
            let p = row.holm_p_value.map_or_else(String::new, |p| probability(p).replace("= ", ""));
            let mut cells: Vec<Cell> =
                vec![format!("{:.2}", row.rank).into(), minus(&row.lower_by()).into(), p.into()];
            cells.extend(row.values.iter().map(|value| {
                Cell::from(value.map_or_else(|| NONE.into(), |value| minus(&format!("{value:.4}"))))
            }));
            Row { name: html! { (row.name) }, cells }
        };
        Table {
            id: "ranks-table".into(),
            caption: "Strategies with combinations by average rank, best first, beside a single network."
                .into(),
            columns,
            groups: vec![Group { heading: None, rows: self.ranking().into_iter().map(row).collect() }],
        }
    }

    fn reading(&self) -> Vec<(String, String)> {
        let comparison = &self.comparison;
        let friedman = format!(
            "Friedman's test of the hypothesis that all methods have the same ranks, over {} data sets: p {}.",
            comparison.datasets,
            probability(comparison.friedman.p_value)
        );
        let holm = "Wilcoxon's signed-rank test against the single network, with Holm's correction for the number of \
                    methods. With fewer than six data sets it cannot be below 5 %.";
        let score =
            "By how much the loss is lower than that of a single network, relative to it, as the mean over \
                     the data sets. The loss is 1 minus the metric where a higher metric is better.";
        let critical = format!(
            "Average ranks that differ by less than {:.2} do not differ significantly.",
            comparison.critical_difference
        );
        [
            ("average rank", friedman),
            ("loss lower by", score.into()),
            ("p (Holm)", holm.into()),
            ("critical difference", critical),
        ]
        .map(|(term, text)| (term.to_string(), text))
        .to_vec()
    }
}
