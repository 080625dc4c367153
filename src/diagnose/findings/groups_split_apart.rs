//! Groups with rows on both sides of the split.
use crate::{
    diagnose::{words::count, Evidence, Finding, Observations, Problem, Rule},
    Result,
};

/// Finds groups with rows on both sides of the split.
pub(super) struct GroupsSplitApart;

impl Rule for GroupsSplitApart {
    fn name(&self) -> &'static str {
        "groups_split_apart"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let groups = seen.split.map_or(&[][..], |split| &split.groups_on_both_sides);
        let Some(first) = groups.first() else { return Ok(vec![]) };
        let number = count(groups.len(), "group");
        let summary = format!(
            "Training and validation rows share {number}, so the score says little about rows of new groups."
        );
        let source = "Roberts et al. 2017, doi:10.1111/ecog.02881";
        let text = format!("{number} have rows on both sides, the first of them group {first}.");
        let finding = Finding::new(self.name(), Problem::Data, 0.95, summary, source)
            .evidence(Evidence::new(text).value(groups.len() as f64))
            .experiment(
                "Split by whole groups and train again. The difference of the scores is what the network had learned about \
                 single groups.",
            );
        Ok(vec![finding])
    }
}
