//! The charts of a page.
use super::{page::figures, text::percent};
use crate::{evaluate::StudyReport, Result};
use maud::{html, Markup};

impl StudyReport {
    pub(super) fn cost_figures(&self) -> Result<Markup> {
        let level = self.ensembles.iter().find_map(|e| e.difference).map(|i| i.level);
        let caption = html! {
            "Filled points are the Pareto front: no other row is both cheaper and better. "
            @if let Some(level) = level {
                "Bars are the " (percent(level)) " intervals of the differences from a single network, around the means."
            }
        };
        let metric = &self.metric;
        let charts = [
            self.prediction_cost_chart(&format!("Test {metric} and the cost of a prediction")),
            self.training_cost_chart(&format!("Test {metric} and the cost of training")),
        ];
        figures(charts.iter().flatten(), &caption)
    }

    pub(super) fn size_figure(&self) -> Result<Option<Markup>> {
        let Some(chart) = self.size_chart(&format!("Test {} by number of members", self.metric)) else {
            return Ok(None);
        };
        let all = self.ensembles.iter().filter(|e| e.size_curve.len() > 1).count();
        let caption = html! {
            "Mean over all groups of so many members and all trainings; bands are ± one standard deviation. \
             Combinations that learn have no curve. "
            @if chart.lines.len() < all { "These are the best " (chart.lines.len()) " of " (all) " curves." }
        };
        figures([&chart], &caption).map(Some)
    }

    pub(super) fn learning_figure(&self) -> Result<Option<Markup>> {
        let Some(chart) = self.learning_chart("Training loss of single networks") else { return Ok(None) };
        figures(
            [&chart],
            &html! { "Mean over all single networks; the band goes from the lowest to the highest." },
        )
        .map(Some)
    }

    pub(super) fn confusion_figures(&self) -> Result<Option<Markup>> {
        let charts = self.confusion_charts();
        let caption = html! {
            "Test rows over all trainings, by their true class and by the class that was predicted."
        };
        (!charts.is_empty()).then(|| figures(&charts, &caption)).transpose()
    }

    pub(super) fn weight_figures(&self) -> Result<Option<Markup>> {
        let charts = self.weights_charts();
        (!charts.is_empty()).then(|| figures(&charts, &html! { "Mean over the trainings." })).transpose()
    }
}
