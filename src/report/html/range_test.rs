//! Range tests of the learning rate on a page.
use super::page::figures;
use crate::{improve::RangeTested, Result};
use maud::{html, Markup};

/// The charts of range tests, each with what it suggests.
pub(super) fn range_tests(tests: &[RangeTested]) -> Result<Option<Markup>> {
    let figure = |tested: &RangeTested| {
        let title = match tested.after_steps {
            0 => "Range test of the learning rate at the start".into(),
            steps => format!("Range test of the learning rate after step {steps}"),
        };
        figures([&tested.report.chart(title)], &html! { (tested.report.to_string()) })
    };
    let all = tests.iter().map(figure).collect::<Result<Vec<_>>>()?;
    Ok((!all.is_empty()).then(|| html! { @for figure in &all { (figure) } }))
}
