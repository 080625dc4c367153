//! Findings and remedies on a page.
use super::{page::list, text::percent};
use crate::{
    diagnose::{Finding, Problem},
    remedy::Proposal,
    report::marks::Marks,
};
use maud::{html, Markup};

/// Findings, each with its evidence. Evidence that the chart shows has the letter of its mark.
pub(super) fn findings(findings: &[Finding], marks: &Marks<'_>) -> Markup {
    html! {
        @for finding in findings {
            div.finding {
                p { strong { (finding.name) } " " small { (kind(finding)) } }
                p { (finding.summary) }
                @if !finding.evidence.is_empty() {
                    ul {
                        @for evidence in &finding.evidence {
                            li {
                                @if let Some(letter) = evidence.mark.and_then(|mark| marks.letter(&mark)) {
                                    strong { (letter) } " "
                                }
                                (evidence.text)
                            }
                        }
                    }
                }
                @if let Some(experiment) = &finding.experiment { p { "To be sure: " (experiment) } }
                @if let Some(after) = &finding.after { p { "Solve " (after) " first: it hides or causes this." } }
                @if !finding.source.is_empty() { p.note { "Source: " (finding.source) } }
            }
        }
    }
}

/// The kind of problem, the condition of the curves where it has another name, and the confidence.
pub(super) fn kind(finding: &Finding) -> String {
    let problem = match finding.problem {
        Problem::None => "no problem".into(),
        problem => format!("a problem of {problem}"),
    };
    let kind = finding.kind.filter(|kind| kind.name() != finding.name);
    let kind = kind.map(|kind| format!(", a kind of {kind}")).unwrap_or_default();
    format!("({problem}{kind}; confidence {})", percent(finding.confidence))
}

/// Remedies, each with its change, its code, its cost and what to expect.
pub(super) fn proposals<'p>(proposals: impl IntoIterator<Item = &'p Proposal>) -> Markup {
    html! { @for proposal in proposals { div.finding { (of_proposal(proposal)) } } }
}

pub(super) fn of_proposal(proposal: &Proposal) -> Markup {
    let facts = [
        ("why", proposal.why.clone()),
        ("change", proposal.change.to_string()),
        ("cost", proposal.cost.to_string()),
        ("effect", proposal.effect.clone()),
        ("source", proposal.source.clone()),
    ];
    let facts = facts.into_iter().filter(|(_, text)| !text.is_empty());
    html! {
        p { strong { (proposal.remedy) } " " small { "(for " (proposal.finding) ")" } }
        (list("facts", facts.map(|(name, text)| (name.to_string(), text))))
        (code(&proposal.code))
    }
}

/// Code in a box that scrolls sideways, also with the keyboard; nothing for no code.
pub(super) fn code(text: &str) -> Markup {
    let text = text.trim_end();
    html! {
        @if !text.is_empty() {
            div.scroll tabindex="0" role="group" aria-label="Code" { pre { code { (text) } } }
        }
    }
}
