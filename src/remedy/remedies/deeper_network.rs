//! One more layer.
use super::{because, size_ratio, widths, widths_text, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "deeper-network",
    summary: "One more hidden layer, in a model that reads `hidden`",
    treats: &[("underfit_capacity", 0.75)],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.4.1",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(now) = widths(start).filter(|now| now.len() < 4) else { return vec![] };
    let Some(last) = now.last() else { return vec![] };
    let deeper = [&now[..], &[*last]].concat();
    let text = widths_text(&deeper);
    let reason = format!("One more layer represents functions that a wide one needs many units for: {text}.");
    let effect = "A lower training loss where the function is composed of simpler ones.";
    let cost = size_ratio(&now, &deeper, start);
    vec![Draft::new(because(finding, reason), effect).set("hidden", &*text).cost(cost, cost)]
}
