//! The mean of the members' losses. The rows of all members are one batch, so it is the mean over all rows: every member has
//! the same rows, and so the same sum of their weights.
use crate::{registry::Entry, train::JointLoss};

pub(super) const ENTRY: Entry<JointLoss> =
    Entry::new("member-mean", "JointLoss::MemberMean", "The mean of the members' losses", |_| {
        Ok(JointLoss::MemberMean)
    })
    .with_source("Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210");
