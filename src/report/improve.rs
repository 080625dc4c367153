//! What a loop of improvement did, as text.
use crate::{
    improve::{percents, FinalScores, ImproveReport, Step, StopReason},
    remedy::Cost,
    report::numbers::{digits, interval, NONE},
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};

impl ImproveReport {
    /// What was tried and what it bought, as two Markdown tables: the remedies, each with the finding, the
    /// gain with its interval at the level that decided, and the decision; and the scores of the start and of
    /// the result on the rows that no decision saw.
    ///
    /// The gain is the share by which the remedy reduces the loss; see [`Step::gain`].
    #[must_use]
    pub fn table(&self) -> String {
        let scores = self.scores_table();
        self.steps_table().map_or_else(|| scores.clone(), |steps| format!("{steps}\n\n{scores}"))
    }

    fn steps_table(&self) -> Option<String> {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header([
            "step",
            "finding",
            "remedy",
            "loss reduced by",
            "level",
            "splits",
            "trainings",
            "decision",
        ]);
        for (number, step) in self.steps.iter().enumerate() {
            table.add_row([
                (number + 1).to_string(),
                step.finding.name.clone(),
                step.remedy.remedy.clone(),
                step.gain.as_ref().map_or_else(|| NONE.into(), percents),
                format!("{:.2} %", 100. * step.level),
                step.splits().to_string(),
                step.trainings.to_string(),
                step.decision(),
            ]);
        }
        for column in [0, 3, 4, 5, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        (!self.steps.is_empty()).then(|| table.to_string())
    }

    fn scores_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["metric", "start", "result"]);
        for metric in self.start.metrics.keys() {
            table.add_row([metric.clone(), self.start.score(metric), self.end.score(metric)]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    /// The story of the loop in plain words, a line for each diagnosis and step, and the final scores.
    #[must_use]
    pub fn story(&self) -> String {
        let mut lines = vec![];
        for done in 0..=self.steps.len() {
            for diagnosed in self.diagnoses.iter().filter(|diagnosed| diagnosed.after_steps == done) {
                let found =
                    diagnosed.findings.iter().map(|f| format!("{} ({:.0} %)", f.name, 100. * f.confidence));
                let found = found.collect::<Vec<_>>().join(", ");
                lines.push(format!("Found: {}.", if found.is_empty() { "nothing" } else { &found }));
            }
            if let Some(step) = self.steps.get(done) {
                lines.push(format!(
                    "Step {}: {} for {}, {}. {}.",
                    done + 1,
                    step.remedy.remedy,
                    step.finding.name,
                    step.remedy.change,
                    outcome(step)
                ));
            }
        }
        lines.push(format!("{}.", self.end_reason()));
        lines.push(self.bought());
        lines.push(self.paid());
        lines.join("\n")
    }

    /// Why the loop ended.
    pub(super) const fn end_reason(&self) -> &'static str {
        match self.stopped {
            StopReason::NothingWrong => "It ended because nothing is wrong any more",
            StopReason::NothingHelps => "It ended because no remedy that is left helps",
            StopReason::BudgetSpent => "It ended because the budget is spent",
            StopReason::Ended => "The user ended it",
        }
    }

    /// What the loop cost, and what its result costs beside the start.
    pub(super) fn paid(&self) -> String {
        let kept = || self.steps.iter().filter(|step| step.kept).map(|step| step.remedy.cost);
        let cost = Cost {
            training: kept().map(|cost| cost.training).product(),
            prediction: kept().map(|cost| cost.prediction).product(),
        };
        let result = match cost == Cost::default() {
            true => String::new(),
            false => format!(" The result costs {cost} of the start."),
        };
        format!("{} networks were trained for {} epochs together.{result}", self.trainings, self.epochs)
    }

    /// What the changes bought on the rows that no decision saw, in one or two sentences.
    pub(super) fn bought(&self) -> String {
        let rows = format!("the {} rows that no decision saw", self.test_rows);
        let score = |of: &FinalScores| of.score(&self.metric);
        if self.steps.iter().all(|step| !step.kept) {
            return format!("Nothing was changed. The {} on {rows} is {}.", self.metric, score(&self.start));
        }
        let gain = match &self.gain {
            None => "The gain is not known".to_string(),
            Some(gain) => {
                let certain = match gain {
                    gain if gain.low > 0. => "better beyond chance",
                    gain if gain.high < 0. => "worse beyond chance",
                    _ => "it may be chance",
                };
                let digits = self.start.metrics.get(&self.metric).map_or(4, |x| digits(*x));
                format!(
                    "The gain is {} ({:.0} % interval): {certain}",
                    interval(gain, digits),
                    100. * gain.level
                )
            }
        };
        format!(
            "On {rows}, the {} goes from {} to {} ({} is better). {gain}.",
            self.metric,
            score(&self.start),
            score(&self.end),
            if self.higher_is_better { "higher" } else { "lower" }
        )
    }
}

impl FinalScores {
    /// The mean of a metric over the runs with its standard deviation, and how many runs diverged.
    pub(super) fn score(&self, metric: &str) -> String {
        let Some(mean) = self.metrics.get(metric) else { return NONE.into() };
        let digits = digits(*mean);
        let spread = self.spread.get(metric).filter(|sd| sd.is_finite());
        let spread = spread.map(|sd| format!(" ± {sd:.digits$}")).unwrap_or_default();
        match self.diverged {
            0 => format!("{mean:.digits$}{spread}"),
            diverged => format!("{mean:.digits$}{spread}, {diverged} of {} runs diverged", self.runs),
        }
    }
}

/// What came of a step, with its figures and the reason: the beginning of a sentence.
pub(super) fn outcome(step: &Step) -> String {
    let text = step.outcome();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
