//! The page of a loop of improvement.
use super::{
    diagnosis::curve_figures,
    findings::{code, findings, kind, of_proposal},
    page::{figures, list, page, Cell, Column, Group, Part, Row, Table},
    range_test::range_tests,
    text::{count, minus, percent},
};
use crate::{
    improve::{percents, ImproveReport, Step},
    report::{
        improve::outcome,
        marks::Marks,
        numbers::{digits, NONE},
    },
    Result,
};
use maud::{html, Markup};

impl ImproveReport {
    /// The loop as an HTML page (feature `charts`): what it bought, what was tried, kept and thrown away, the
    /// learning curves with their evidence at the start and after each change that was kept, and the improved
    /// setup.
    ///
    /// The page is one file that loads nothing. [`files::write_whole`](crate::files::write_whole) writes it.
    /// `title` is its heading, `description` says in a sentence what the data is, and `settings` are names
    /// and values that the page lists, such as those of the trainer; the last two may be empty. All texts are
    /// escaped. The same report gives the same bytes.
    ///
    /// # Errors
    /// When a chart cannot be drawn, because the library's font is missing.
    pub fn html(&self, title: &str, description: &str, settings: &[(String, String)]) -> Result<String> {
        let mut parts = vec![
            Part::new("", "result", "Result", self.result()),
            Part::new("", "scores", "Final scores", self.scores()),
        ];
        let mut add = |name: &str, heading: &str, body: Option<Markup>| {
            parts.extend(body.map(|body| Part::new("", name, heading, body)));
        };
        add("tried", "What was tried", self.tried()?);
        add("setup", "The setup at the end", Some(self.setup()));
        add("range-tests", "Learning rates", range_tests(&self.range_tests)?);
        parts.push(self.curves()?);
        if !self.steps.is_empty() {
            let steps = self.steps.iter().enumerate().map(|(number, step)| step.part(number)).collect();
            parts.push(Part { parts: steps, ..Part::new("", "steps", "The steps", html! {}) });
        }
        parts.push(Part::new("", "cost", "What was done", list("facts", self.facts())));
        if !settings.is_empty() {
            parts.push(Part::new("", "settings", "Settings", list("facts", settings.iter().cloned())));
        }
        Ok(page(title, description, &parts))
    }

    /// What it bought, in a few sentences.
    fn result(&self) -> Markup {
        let kept: Vec<&str> =
            self.steps.iter().filter(|s| s.kept).map(|s| s.remedy.remedy.as_str()).collect();
        html! {
            div.verdict {
                p { (minus_signs(&self.bought())) }
                @if !self.steps.is_empty() {
                    p {
                        (count(self.steps.len(), "remedy").replace("remedys", "remedies")) " tried, "
                        @if kept.is_empty() { "none kept." }
                        @else { (kept.len()) " kept: " strong { (kept.join(", ")) } "." }
                    }
                }
                p { (self.end_reason()) ". " (self.paid()) }
            }
        }
    }

    /// The scores of the start and of the result.
    fn scores(&self) -> Markup {
        let row = |metric: &String| Row {
            name: html! { (metric) @if *metric == self.metric { " " small { "(decided)" } } },
            cells: [&self.start, &self.end].map(|of| Cell::from(minus(&of.score(metric)))).into(),
        };
        let table = Table {
            id: "scores-table".into(),
            caption: format!(
                "Scores on the {} that no decision saw: mean ± standard deviation over {} of the start and {} of the \
                 result.",
                count(self.test_rows, "row"),
                count(self.start.runs, "run"),
                self.end.runs
            ),
            columns: vec![Column::text("metric"), Column::number("start"), Column::number("result")],
            groups: vec![Group { heading: None, rows: self.start.metrics.keys().map(row).collect() }],
        };
        table.markup()
    }

    /// What each remedy gained.
    fn tried(&self) -> Result<Option<Markup>> {
        if self.steps.is_empty() {
            return Ok(None);
        }
        let caption = html! {
            "Gains over splits of the rows that decisions were made on. The interval is corrected for the number of \
             remedies tried, and a remedy is kept only if it lies above zero."
        };
        let chart = self.gain_chart("What each remedy gained");
        let chart = chart.map(|chart| figures([&chart], &caption)).transpose()?;
        let row = |(number, step): (usize, &Step)| {
            let gain = step.gain.as_ref().map_or_else(|| NONE.into(), |gain| minus(&percents(gain)));
            let cells = [
                step.finding.name.clone(),
                gain,
                percent(step.level),
                step.splits().to_string(),
                step.trainings.to_string(),
                step.decision(),
            ];
            Row {
                name: html! { (number + 1) ". " (step.remedy.remedy) },
                cells: cells.map(Cell::from).into(),
            }
        };
        let mut columns = vec![Column::text("remedy"), Column::text("finding")];
        columns.extend(["loss reduced by", "level", "splits", "trainings"].map(Column::number));
        columns.push(Column::text("decision"));
        let table = Table {
            id: "tried-table".into(),
            caption: "The remedies in the order in which they were tried.".into(),
            columns,
            groups: vec![Group { heading: None, rows: self.steps.iter().enumerate().map(row).collect() }],
        };
        Ok(Some(html! { @if let Some(chart) = &chart { (chart) } (table.markup()) }))
    }

    /// The setup at the end as a file and as code.
    fn setup(&self) -> Markup {
        let text = serde_json::to_string_pretty(&self.final_setup).unwrap_or_default();
        let kept = self.steps.iter().filter(|step| step.kept).map(|step| step.remedy.code.trim_end());
        let kept: Vec<&str> = kept.filter(|code| !code.is_empty()).collect();
        html! {
            p { "As a file:" }
            (code(&text))
            @if !kept.is_empty() {
                p { "The changes that were kept, as code:" }
                (code(&kept.join("\n")))
            }
        }
    }

    /// Learning curves and findings at the start and after each change that was kept.
    fn curves(&self) -> Result<Part> {
        let part = |(i, diagnosed): (usize, &crate::improve::Diagnosed)| {
            let last = diagnosed.after_steps.checked_sub(1).and_then(|last| self.steps.get(last));
            let heading = match last {
                Some(step) => format!("After step {}: {}", diagnosed.after_steps, step.remedy.remedy),
                None => "At the start".into(),
            };
            let figures = curve_figures(&diagnosed.curves, &diagnosed.findings, &heading)?;
            let body = html! {
                @if let Some(figures) = &figures { (figures) }
                @if diagnosed.findings.is_empty() { p { "Nothing was found." } }
                (findings(&diagnosed.findings, &Marks::of(&diagnosed.findings)))
            };
            Ok(Part::new("", &format!("curves-{}", i + 1), heading, body))
        };
        let parts = self.diagnoses.iter().enumerate().map(part).collect::<Result<Vec<_>>>()?;
        let caption = html! {
            "Means over the runs; bands go from the smallest to the largest. Losses compare where the loss function \
             is the same."
        };
        let before_and_after = self.loss_chart("Before and after the changes that were kept");
        let figure = before_and_after.map(|chart| figures([&chart], &caption)).transpose()?;
        let body = html! { @if let Some(figure) = &figure { (figure) } };
        Ok(Part { parts, ..Part::new("", "curves", "Learning curves and findings", body) })
    }

    fn facts(&self) -> Vec<(String, String)> {
        let no_model = format!("{:.*}", digits(self.no_model), self.no_model);
        [
            (&*format!("{} without a model", self.metric), minus(&no_model)),
            ("rows to decide on", self.rows.to_string()),
            ("rows of the final scores", self.test_rows.to_string()),
            ("networks trained", self.trainings.to_string()),
            ("epochs", self.epochs.to_string()),
            ("seed", self.seed.clone()),
        ]
        .map(|(name, text)| (name.to_string(), text))
        .into()
    }
}

impl Step {
    /// What was tried, why, and what came of it.
    fn part(&self, number: usize) -> Part {
        let kept = if self.kept { "kept" } else { "not kept" };
        let body = html! {
            p { strong { (minus_signs(&outcome(self))) "." } }
            @if let Some(guard) = &self.guard {
                p {
                    "The " (guard.metric) " changes by " (minus(&percents(&guard.gain)))
                    ", and must not become worse."
                }
            }
            p {
                "Found: " strong { (self.finding.name) } " " small { (kind(&self.finding)) } " "
                (self.finding.summary)
            }
            (of_proposal(&self.remedy))
            p.note { "Trained for it: " (count(self.trainings, "network")) ", " (count(self.epochs, "epoch")) "." }
        };
        let heading = format!("{}. {}: {kept}", number + 1, self.remedy.remedy);
        Part::new("", &format!("step-{}", number + 1), heading, body)
    }
}

/// Minus signs in place of hyphens before figures.
fn minus_signs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let sign =
            letter == '-' && !before.is_alphanumeric() && letters.peek().is_some_and(char::is_ascii_digit);
        out.push(if sign { '−' } else { letter });
        before = letter;
    }
    out
}
