//! The weights from which the runs of a trainer start.
use crate::{plan::RunSpec, train::WarmStart, Error, Result};

/// The weights from which runs start.
#[derive(Clone, Debug)]
pub(super) enum Starts {
    /// Those that the seed of each run gives it.
    Fresh,
    /// The same for all runs.
    Same(WarmStart),
    /// Different ones.
    Each(Vec<WarmStart>),
}

impl Starts {
    /// The weights from which a run starts, if they are not fresh.
    ///
    /// # Errors
    /// When there are none for the run, or its setting chooses among none.
    pub(super) fn of(&self, run: &RunSpec) -> Result<Option<&WarmStart>> {
        let chosen = run.settings.count("warm_start")?;
        match (self, chosen) {
            (Self::Each(starts), chosen) => {
                let number = chosen.unwrap_or(run.id);
                let Some(start) = starts.get(number) else {
                    let must = format!(
                        "one of the {} that the trainer has, numbered from 0 (each run takes that of its own number; \
                         the setting \"warm_start\" chooses another)",
                        starts.len()
                    );
                    return Err(Error::invalid(format!("the warm start of run {}", run.id), must, number));
                };
                Ok(Some(start))
            }
            (Self::Fresh | Self::Same(_), Some(number)) => {
                let must = "left unset without Trainer::warm_starts";
                Err(Error::invalid("the setting \"warm_start\"", must, number))
            }
            (Self::Same(start), None) => Ok(Some(start)),
            (Self::Fresh, None) => Ok(None),
        }
    }

    /// What distinguishes them from others, for the tag of the trainer.
    pub(super) fn tag(&self) -> String {
        match self {
            Self::Fresh => String::new(),
            Self::Same(start) => format!("{} ", start.tag()),
            Self::Each(starts) => {
                let tags: Vec<String> = starts.iter().map(WarmStart::tag).collect();
                format!("each [{}] ", tags.join(", "))
            }
        }
    }
}
