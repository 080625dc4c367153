//! Early stopping that waits longer.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::EarlyStopping};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "longer-patience",
    summary: "4 times the patience of early stopping",
    treats: &[("underfit_unfinished", 0.9), ("underfit_capacity", 0.5), ("high_variance", 0.4)],
    source: "Prechelt 1998, doi:10.1007/3-540-49430-8_3",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(rule) = &start.config.early_stopping else { return vec![] };
    let simple = *rule == EarlyStopping { patience: rule.patience, ..EarlyStopping::default() };
    if !simple || rule.patience >= start.config.epochs {
        return vec![];
    }
    let (now, longer) = (rule.patience, rule.patience.saturating_mul(4));
    let reason =
        format!("Early stopping may have ended runs too soon: wait {longer} epochs in place of {now}.");
    let effect = "Runs that stopped on a false plateau go on. It costs epochs and no accuracy.";
    vec![Draft::new(because(finding, reason), effect)
        .set("early_stopping", &*format!("patience:{longer}"))
        .cost(1.5, 1.)]
}
