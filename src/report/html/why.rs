//! The parts of a page that say why ensembles gain.
use super::page::{figures, Cell, Column, Group, Row, Table};
use crate::{
    evaluate::{decomposition::AdditiveLoss, StudyReport},
    report::numbers::NONE,
    Result,
};
use maud::{html, Markup};

impl StudyReport {
    /// The loss of the members of each strategy in parts that add up.
    pub(super) fn decomposition_tables(&self, place: &str) -> Option<Markup> {
        let kinds = self.strategies.iter().map(|s| s.decompositions.len()).max().unwrap_or_default();
        if kinds == 0 {
            return None;
        }
        Some(html! {
            @for kind in 0..kinds { (self.decomposition_table(place, kind).markup()) }
            @if let Some(table) = self.effect_table(place) { (table.markup()) }
        })
    }

    fn decomposition_table(&self, place: &str, kind: usize) -> Table {
        let parts = self.strategies.iter().filter_map(|s| Some((s, s.decompositions.get(kind)?)));
        let parts: Vec<_> = parts.collect();
        let loss = match parts.first().map(|(_, parts)| parts.kind) {
            Some(AdditiveLoss::CrossEntropy) => {
                "Cross-entropy in nats; the ensemble is the normalised geometric mean."
            }
            _ => "Squared error; the ensemble is the mean.",
        };
        let columns = ["loss of a member", "= bias", "+ variance", "− diversity", "= loss of the ensemble"];
        let mut all = vec![Column::text("strategy")];
        all.extend(columns.map(Column::number));
        let row = |(s, parts): &(
            &crate::evaluate::StrategyReport,
            &crate::evaluate::decomposition::BiasVarianceDiversity,
        )| Row {
            name: html! { (s.strategy) },
            cells: [parts.member_loss, parts.bias, parts.variance, parts.diversity, parts.loss]
                .map(|x| Cell::from(number(x)))
                .into(),
        };
        Table {
            id: format!("{place}decomposition-{kind}"),
            caption: format!("{loss} Means over the trainings of the first split."),
            columns: all,
            groups: vec![Group { heading: None, rows: parts.iter().map(row).collect() }],
        }
    }

    /// The error rate of majority votes in parts that add up.
    fn effect_table(&self, place: &str) -> Option<Table> {
        let parts: Vec<_> =
            self.strategies.iter().filter_map(|s| Some((s, s.diversity_effect.as_ref()?))).collect();
        let columns = [
            "error of a member",
            "= bias",
            "+ effect of variance",
            "− effect of diversity",
            "= error of the vote",
        ];
        let mut all = vec![Column::text("strategy")];
        all.extend(columns.map(Column::number));
        let rows = parts.iter().map(|(s, parts)| Row {
            name: html! { (s.strategy) },
            cells: [parts.member_loss, parts.bias, parts.variance_effect, parts.diversity_effect, parts.loss]
                .map(|x| Cell::from(number(x)))
                .into(),
        });
        (!parts.is_empty()).then(|| Table {
            id: format!("{place}effects"),
            caption: "Error rate of majority votes. Effects may be below 0.".into(),
            columns: all,
            groups: vec![Group { heading: None, rows: rows.collect() }],
        })
    }

    /// Every measure of diversity of every strategy.
    pub(super) fn diversity_table(&self, place: &str) -> Option<Table> {
        let first = self.strategies.iter().find(|s| !s.diversity.is_empty())?;
        let heading = |measure: &crate::evaluate::DiversityMeasure| {
            let arrow = if measure.more_is_more_diverse { "↑" } else { "↓" };
            Column::number(format!("{} {arrow}", measure.name))
        };
        let rows =
            self.strategies.iter().filter(|s| s.diversity.len() == first.diversity.len()).map(|s| Row {
                name: html! { (s.strategy) },
                cells: s
                    .diversity
                    .iter()
                    .map(|measure| measure.summary.map_or_else(|| NONE.into(), |of| number(of.mean)).into())
                    .collect(),
            });
        Some(Table {
            id: format!("{place}diversity-table"),
            caption: "Measures of diversity, mean over the trainings. ↑: more is more diverse, ↓: less is."
                .into(),
            columns: [Column::text("strategy")]
                .into_iter()
                .chain(first.diversity.iter().map(heading))
                .collect(),
            groups: vec![Group { heading: None, rows: rows.collect() }],
        })
    }

    pub(super) fn diversity_figures(&self) -> Result<Option<Markup>> {
        let kappa = self.kappa_error_chart("How much two members agree, and how much they err");
        let maps = self.diversity_charts();
        if kappa.is_none() && maps.is_empty() {
            return Ok(None);
        }
        let pairs =
            html! { "Each point is a pair of members of one training; the large marks are the means." };
        let one = html! { "Each cell is a pair of members of one training." };
        Ok(Some(html! { (figures(&kappa, &pairs)?) (figures(&maps, &one)?) }))
    }

    pub(super) fn reliability_figures(&self) -> Result<Option<Markup>> {
        let charts = self.reliability_charts();
        let caption = html! {
            "Test rows over all trainings, by the probability of their most probable class. On the diagonal, a class \
             that is predicted with 80 % is right in 80 % of the rows."
        };
        (!charts.is_empty()).then(|| figures(&charts, &caption)).transpose()
    }
}

fn number(x: f64) -> String {
    super::text::minus(&format!("{x:.4}"))
}
