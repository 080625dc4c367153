//! Charts of a loop of improvement.
use super::curves::chart;
use crate::{
    chart::{ForestPlot, ForestRow, LearningCurves},
    improve::{ImproveReport, Step},
};

/// The largest number of rows of the chart.
const ROWS: usize = 100;
/// The largest number of curves of one chart.
const CURVES: usize = 40;

impl ImproveReport {
    /// A chart of what each remedy gained, with the interval that decided (feature `charts`). Those that were
    /// kept are highlighted.
    ///
    /// The gain is the share by which the remedy reduces the loss, in percent; see [`Step::gain`]. Steps
    /// without a finite gain are left out. `None` if there is none.
    #[must_use]
    pub fn gain_chart(&self, title: &str) -> Option<ForestPlot> {
        let row = |(number, step): (usize, &Step)| {
            let gain = step.gain?;
            let [low, estimate, high] = [gain.low, gain.estimate, gain.high].map(|x| 100. * x);
            let name = format!("{}. {}", number + 1, step.remedy.remedy);
            (estimate.abs() <= 1e300 && low <= estimate && estimate <= high).then_some(ForestRow {
                name,
                estimate,
                low,
                high,
                highlighted: step.kept,
            })
        };
        let rows: Vec<ForestRow> = self.steps.iter().enumerate().filter_map(row).take(ROWS).collect();
        let measure = "reduction of the loss in % (right is better; filled: kept)".into();
        (!rows.is_empty()).then(|| ForestPlot { title: title.into(), measure, rows })
    }

    /// A chart of the validation losses at the start and after each change that was kept (feature `charts`),
    /// as [`Curves::chart`](crate::diagnose::Curves::chart).
    ///
    /// Losses compare only where the changes leave the loss function as it is. `None` if no change was kept,
    /// or there are no validation losses.
    #[must_use]
    pub fn loss_chart(&self, title: &str) -> Option<LearningCurves> {
        let name = |steps: usize| match steps.checked_sub(1).and_then(|last| self.steps.get(last)) {
            Some(step) => format!("after {steps}. {}", step.remedy.remedy),
            None => "start".into(),
        };
        let curves = self
            .diagnoses
            .iter()
            .take(CURVES)
            .map(|diagnosed| diagnosed.curves.curve(&name(diagnosed.after_steps), |run| &run.valid_loss));
        let chart = chart(title, "validation loss (lower is better)".into(), curves.collect(), None)?;
        (chart.curves.len() > 1).then_some(chart)
    }
}
