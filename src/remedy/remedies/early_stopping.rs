//! Early stopping.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "early-stopping",
    summary: "An end to training when the loss of rows set aside no longer falls, and the weights of the \
              best epoch",
    treats: &[("overfit", 0.97), ("unrepresentative_train", 0.5)],
    source: "Prechelt 1998, doi:10.1007/3-540-49430-8_3",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.early_stopping.is_some() {
        return vec![];
    }
    let patience = (start.config.epochs / 5).clamp(5, 50);
    let share = start.validation() * 100.;
    let reason = format!(
        "Each run then ends where its own validation loss is lowest: {share:.0} % of its rows are set \
         aside, and it waits {patience} epochs."
    );
    let effect = "Networks of about the best epoch. Restoring its weights is often no better than keeping \
                  the last ones. The rows set aside are not trained on.";
    vec![Draft::new(because(finding, reason), effect)
        .set("early_stopping", &*format!("patience:{patience}"))
        .watched(start)]
}
