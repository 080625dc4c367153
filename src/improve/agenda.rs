//! What is treated, and in which order.
use crate::diagnose::{Finding, Label, Problem};

/// What is tried besides remedies for findings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// The neighbours of a learning rate that was kept.
    pub(super) coarse_rate: bool,
    /// Several runs in place of the one network that was changed.
    pub(super) several_runs: bool,
    /// An ensemble, even where nothing is wrong.
    pub(super) ensemble: bool,
}

/// A measurement is acted on from this confidence on, although the curves say that nothing is wrong.
const MEASURED: f64 = 0.4;
/// The name of the finding for a learning rate that was kept, whose neighbours may be better.
const COARSE_RATE: &str = "coarse_learning_rate";
/// The name of the finding for a network that was changed, of which several may be better than one. It is the last one.
pub(super) const SINGLE_NETWORK: &str = "single_network";

/// The findings to treat, in their order: those that are likelier than that nothing is wrong and, after them, those
/// that a measurement shows. Good curves do not speak against a measurement. A finding comes after the one that has to
/// be solved before it, and predictions that vary after a measured problem with learning: the spread of a network that
/// does not learn says little, and each later step with an ensemble costs as many trainings as it has members.
pub(super) fn agenda(findings: &[Finding], wishes: Wishes) -> Vec<Finding> {
    let likelier =
        findings.iter().position(|finding| finding.problem == Problem::None).unwrap_or(findings.len());
    let treated =
        findings.iter().enumerate().filter(|(place, finding)| *place < likelier || is_measured(finding));
    let mut left: Vec<Finding> = treated.map(|(_, finding)| finding.clone()).collect();
    if wishes.coarse_rate {
        let summary = "The learning rate is known to a factor of about 3.";
        let source = "Bengio 2012, arXiv:1206.5533, section 3.1.1";
        left.push(Finding::new(COARSE_RATE, Problem::Learning, 0., summary, source));
    }
    let source = "Hansen and Salamon 1990, doi:10.1109/34.58871";
    let summary = "An ensemble varies less than one network, and is often better.";
    match wishes {
        _ if left.iter().any(|finding| finding.problem == Problem::Prediction) => {}
        Wishes { ensemble: true, .. } => left.push(Finding::of(Label::HighVariance, 0., summary, source)),
        Wishes { several_runs: true, .. } => {
            left.push(Finding::new(SINGLE_NETWORK, Problem::Prediction, 0., summary, source));
        }
        _ => {}
    }
    let mut agenda = vec![];
    while !left.is_empty() {
        let waits = |finding: &Finding| {
            let before = finding.after.as_deref();
            before.is_some_and(|name| left.iter().any(|other| other.is(name) && other != finding))
                || finding.problem == Problem::Prediction && left.iter().any(is_measured)
        };
        let next = left.iter().position(|finding| !waits(finding)).unwrap_or(0);
        agenda.push(left.remove(next));
    }
    agenda
}

/// Whether a finding is a measured problem with learning.
fn is_measured(finding: &Finding) -> bool {
    let of_curves = Label::ALL.iter().any(|label| label.name() == finding.name);
    finding.problem == Problem::Learning && !of_curves && finding.confidence >= MEASURED
}
