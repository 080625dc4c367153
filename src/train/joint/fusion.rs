//! One loss of the mean of the members' outputs. The trainer computes the mean behind the network, so that everything after it
//! is as for one member.
use crate::{registry::Entry, train::JointLoss};

pub(super) const ENTRY: Entry<JointLoss> =
    Entry::new("fusion", "JointLoss::Fusion", "One loss of the mean of the members' outputs", |_| {
        Ok(JointLoss::Fusion)
    });
