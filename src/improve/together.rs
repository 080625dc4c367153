//! What is made of the members of a setup: an ensemble.
use crate::{
    combine::{self, AnyCombiner, AnyFitted, Combiner, Mean},
    evaluate::{
        combination::{best_within, Way},
        combinations, Combination,
    },
    merge::MaxBarrier,
    pool::Pool,
    registry::split_list,
    remedy::Setup,
    train::Learner,
    Ensemble, Error, Result,
};

/// The highest loss barrier at which networks are merged, as in a study.
const MAX_BARRIER: f64 = 0.05;

/// Whether a setup trains several runs that differ in nothing but their seeds, and combines all of them. A combination
/// that needs rows of its own takes them from the runs, and one that makes a single network of them has one member.
pub(super) fn is_several_runs(setup: &Setup) -> bool {
    let runs = setup.strategy.as_deref().and_then(|text| text.strip_prefix("multi-run:"));
    runs.is_some_and(|runs| runs.parse::<usize>().is_ok())
        && matches!(Together::of(setup), Ok(Together::Rule(rule)) if !rule.needs_held_out())
}

/// Whether the members of a changed setup are runs of a setup: of one network, of which several are made.
pub(super) fn members_are_runs(setup: &Setup, changed: &Setup) -> bool {
    is_several_runs(changed)
        && setup.strategy.is_none()
        && setup.settings == changed.settings
        && setup.validation == changed.validation
}

/// The combination of a setup.
pub(super) enum Together {
    Rule(AnyCombiner),
    OneNetwork(Combination),
}

impl Together {
    pub(super) fn of(setup: &Setup) -> Result<Self> {
        let text = setup.combination.as_deref().unwrap_or("mean");
        let name =
            split_list(text).first().map_or("", |text| text.split(':').next().unwrap_or_default()).to_owned();
        if combine::registry().get(&name).is_ok() {
            return combine::registry().parse(text).map(Self::Rule);
        }
        let combination = combinations().parse(text)?;
        match combination.0 {
            Way::Averaged(_) => {
                let must = "one of several members; an average within a run is the setting \"averaging\"";
                Err(Error::invalid("the combination of a setup", must, format!("{text:?}")))
            }
            _ => Ok(Self::OneNetwork(combination)),
        }
    }

    /// Whether it is fitted or measured on rows that the members have not seen.
    pub(super) fn needs_held_out(&self) -> bool {
        match self {
            Self::Rule(rule) => rule.needs_held_out(),
            Self::OneNetwork(combination) => combination.needs_held_out(),
        }
    }

    /// Whether these rows must be held out for all members at once.
    pub(super) fn needs_reserved(&self) -> bool {
        match self {
            Self::Rule(_) => false,
            Self::OneNetwork(combination) => combination.needs_reserved(),
        }
    }

    /// The ensemble of the pool's members.
    pub(super) fn ensemble<L: Learner>(
        &self,
        pool: &Pool<'_, L>,
    ) -> Result<Ensemble<L::Network, Box<AnyFitted>>> {
        let mean = AnyCombiner::new(Mean);
        match self {
            Self::Rule(rule) => pool.combine(rule),
            Self::OneNetwork(combination) => match &combination.0 {
                Way::Distilled(options) => {
                    let (learner, ..) = pool.parts();
                    pool.distill(learner, options, pool.seed().child("student"))?.combine(&mean)
                }
                Way::Merge(spec) => pool.merge(spec, &MaxBarrier::new(MAX_BARRIER))?.pool.combine(&mean),
                Way::BestOf { max_cost, student } => {
                    let best = best_within(pool, *max_cost, student.as_ref())?;
                    pool.with_members(best.ensemble.members().to_vec())?.combine(&mean)
                }
                Way::Rule(_) | Way::Averaged(_) => pool.combine(&mean),
            },
        }
    }
}
