//! Reports as HTML pages.
mod data_sets;
mod diagnosis;
mod figures;
mod findings;
mod improve;
mod page;
mod range_test;
mod reading;
mod style;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod verdict;
mod why;

use crate::{evaluate::StudyReport, Result};
use maud::{html, Markup};
use page::{list, page, Part};

impl StudyReport {
    /// The report as an HTML page (feature `charts`): the result in a few sentences, the tables, the charts, and how
    /// to read them.
    ///
    /// The page is one file. It loads nothing, needs no JavaScript, and fits phones, dark screens and paper.
    /// [`files::write_whole`](crate::files::write_whole) writes it. `title` is its heading, `data` says in a sentence
    /// what the data is, and `settings` are names and values that the page lists, such as those of the trainer; the
    /// last two may be empty. All texts are escaped. The same report gives the same bytes.
    ///
    /// Cost: a few milliseconds for each chart.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{data::*, evaluate::Study, train::Trainer, Seed, Session};
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// # let all = TensorDataset::classification(x, &y)?;
    /// # let split = Split::stratified(all.strata().unwrap_or_default(), 0.3, Seed::from(1))?;
    /// # let (train, test) = (all.subset(&split.train)?, all.subset(&split.test)?);
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(4);
    /// let report = Study::new(Session::new(&trainer, &train), &test)
    ///     .strategies("bootstrap:4,snapshot:2")?
    ///     .combinations("mean,swa")?
    ///     .repeats(3)
    ///     .run(42)?;
    /// let settings = [("epochs".to_string(), "4".to_string())];
    /// let page = report.html("Two classes", "40 points in the plane.", &settings)?;
    /// assert!(page.starts_with("<!DOCTYPE html>") && page.contains("snapshot:2"));
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("report.html");
    /// candle_ensemble::files::write_whole(&path, page.as_bytes())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a chart cannot be drawn, because a value is NaN, infinite or beyond ±1e300.
    pub fn html(&self, title: &str, data: &str, settings: &[(String, String)]) -> Result<String> {
        Ok(page(title, data, &self.parts("", settings)?))
    }

    /// The sections of a study. `place` is a prefix of their identifiers, which keeps several studies on one page
    /// apart.
    pub(crate) fn parts(&self, place: &str, settings: &[(String, String)]) -> Result<Vec<Part>> {
        let part = |name: &str, heading: &str, body: Markup| Part::new(place, name, heading, body);
        let mut parts = vec![
            part("result", "Result", self.result()),
            part("compared", "What was compared", list("facts", self.facts())),
            part("results", "All results", self.all_results(place)),
        ];
        let mut add = |name: &str, heading: &str, body: Option<Markup>| {
            parts.extend(body.map(|body| Part::new(place, name, heading, body)));
        };
        let costs = html! { (self.cost_figures()?) (self.costs(place).markup()) };
        add("cost", "Cost", Some(costs));
        add("sizes", "Number of members", self.size_figure()?);
        add("why", "Why ensembles gain", self.decomposition_tables(place));
        let diversity = self.diversity_table(place).map(|table| table.markup());
        let diversity = match (self.diversity_figures()?, diversity) {
            (None, None) => None,
            (figures, table) => {
                Some(html! { @for part in [figures, table].into_iter().flatten() { (part) } })
            }
        };
        add("diversity", "Diversity of the members", diversity);
        add("learning", "Learning curve", self.learning_figure()?);
        add("confusion", "Confusion of classes", self.confusion_figures()?);
        add("reliability", "Reliability of probabilities", self.reliability_figures()?);
        let weights = self.weight_table(place).map(|table| table.markup());
        add(
            "weights",
            "Weights",
            match (self.weight_figures()?, weights) {
                (None, None) => None,
                (figure, table) => {
                    Some(html! { @for part in [figure, table].into_iter().flatten() { (part) } })
                }
            },
        );
        add("spread", "Spread", self.spreads(place).map(|table| table.markup()));
        add("members", "Members", self.members(place).map(|table| table.markup()));
        add("settings", "Settings", (!settings.is_empty()).then(|| list("facts", settings.iter().cloned())));
        add("reading", "How to read this page", Some(list("terms", self.reading())));
        Ok(parts)
    }

    fn result(&self) -> Markup {
        html! { div.verdict { @for paragraph in self.verdict() { p { (paragraph) } } } }
    }

    fn all_results(&self, place: &str) -> Markup {
        let failures = self.failures();
        html! {
            (self.results(place).markup())
            @if !failures.is_empty() { ul.note { @for failure in failures { li { (failure) } } } }
        }
    }
}
