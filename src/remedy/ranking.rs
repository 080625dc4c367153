//! The proposals of all remedies, ranked.
use crate::{
    diagnose::Finding,
    remedy::{Proposal, Remedy, Start},
};

/// The proposals for findings: finding by finding in the order given, and for each finding the best first.
///
/// Proposals of one finding are ranked by [`Proposal::priority`]; among equals, those of the earlier remedy
/// come first. The same change may be proposed for several findings, but once for each.
///
/// ```
/// use candle_ensemble::{
///     diagnose::{Finding, Label}, remedy::{propose, remedies, Setup, Start}, train::TrainConfig,
/// };
///
/// let (trainer, setup) = (TrainConfig::default(), Setup::default());
/// let finding = Finding::of(Label::HighVariance, 0.9, "The accuracy of the runs differs by 3 %.", "");
/// let proposals = propose(&remedies(), &[finding], &Start::new(&trainer, &setup)?);
/// assert_eq!(proposals[0].code, "let strategy = MultiRun::new(5);\n");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[must_use]
pub fn propose(remedies: &[Box<dyn Remedy>], findings: &[Finding], start: &Start<'_>) -> Vec<Proposal> {
    let mut all: Vec<Proposal> = vec![];
    for finding in findings {
        let mut of_finding: Vec<_> =
            remedies.iter().flat_map(|remedy| remedy.propose(finding, start)).collect();
        of_finding.sort_by(|a, b| b.priority.total_cmp(&a.priority));
        let first = all.len();
        for proposal in of_finding {
            let new = all.iter().skip(first).all(|other| other.change != proposal.change);
            if new {
                all.push(proposal);
            }
        }
    }
    all
}
