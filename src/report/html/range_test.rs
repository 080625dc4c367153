//! Range tests of the learning rate on a page.
use super::page::figures;
use crate::{improve::RangeTested, train::RangeTestReport, Result};
use maud::{html, Markup};

/// The charts of range tests, each with what it suggests.
pub(super) fn range_tests(tests: &[RangeTested]) -> Result<Option<Markup>> {
    let figure = |tested: &RangeTested| {
        let title = match tested.after_steps {
            0 => "Range test of the learning rate at the start".into(),
            steps => format!("Range test of the learning rate after step {steps}"),
        };
        figures([&tested.report.chart(title)], &html! { (suggested(&tested.report)) })
    };
    let all = tests.iter().map(figure).collect::<Result<Vec<_>>>()?;
    Ok((!all.is_empty()).then(|| html! { @for figure in &all { (figure) } }))
}

/// What a range test suggests, in a sentence.
fn suggested(report: &RangeTestReport) -> String {
    let all = [
        ("the steepest descent", report.suggestion),
        ("the valley", report.valley),
        ("a tenth of the minimum", report.tenth_of_minimum),
    ];
    let rates = all.into_iter().filter_map(|(name, rate)| Some(format!("{:.1e} by {name}", rate?)));
    match rates.collect::<Vec<_>>().join(", ") {
        rates if rates.is_empty() => "The loss does not fall at any rate.".into(),
        rates => format!("Suggested rates: {rates}."),
    }
}
