//! Dynamic selection: members are chosen, or weighted, for each row anew.
//!
//! The other combiners give a member the same weight for all rows. These combiners look at where a row lies.
//! [`KnoraE`], [`KnoraU`] and [`MetaDes`] find the held-out rows that are most similar to it, and let those
//! members vote that did well on them. [`Gating`] trains a small network that computes the weights of the
//! members from the row. They can gain when each member is good in a different region of the inputs.
mod competence;
mod coverage;
mod dynamic_selection;
mod gating;
mod knora;
mod knora_e;
mod knora_u;
mod meta_des;
mod neighbours;
#[cfg(test)]
mod tests;

pub use dynamic_selection::{CompetenceMeasure, DynamicSelection, FittedDynamicSelection};
pub use gating::{FittedGating, Gating};
pub use knora_e::{FittedKnoraE, KnoraE, KnoraEliminate};
pub use knora_u::{FittedKnoraU, KnoraU, KnoraUnion};
pub use meta_des::{FittedMetaDes, MetaClassifier, MetaDes};
pub use neighbours::Space;
