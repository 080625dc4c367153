//! One member, when the run ends.
use crate::{plan::collect::CollectMembers, registry::Entry, Result};
use serde::{Deserialize, Serialize};

/// Collects one member: the network when the run ends. This is the default of every strategy.
///
/// With early stopping or weight averaging, the member is the network that these select.
///
/// ```
/// use candle_ensemble::plan::{Collect, Last};
///
/// assert_eq!(Collect::default(), Last.into());
/// assert_eq!(Collect::from(Last).members(30), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last;

impl CollectMembers for Last {
    const ENTRY: Entry<Self> = Entry::new("last", "Last", "The network when the run is over", |_| Ok(Self));

    fn due(&self, _epoch: usize, _epochs: usize) -> Option<usize> {
        None
    }

    fn at_end(&self) -> bool {
        true
    }

    fn check(&self, _epochs: usize) -> Result<()> {
        Ok(())
    }
}
