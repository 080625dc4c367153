//! The charts that show why ensembles gain, and how far their probabilities can be relied on.
use super::name;
use crate::{
    chart::{
        CriticalDifferenceDiagram, HeatMap, KappaError, KappaErrorDiagram, PairGroup, ReliabilityDiagram,
    },
    evaluate::{DataSetsReport, StrategyReport, StudyReport},
};

/// The most strategies of a κ–error diagram, as [`KappaErrorDiagram`] can tell apart.
const STRATEGIES: usize = 40;
/// The most members of a heat map.
const MEMBERS: usize = 60;
/// The most methods of a critical-difference diagram.
const METHODS: usize = 60;

impl StudyReport {
    /// The reliability diagrams of the single networks and of the best ensemble, each over all trainings and with
    /// its name as title (feature `charts`). Empty for values.
    #[must_use]
    pub fn reliability_charts(&self) -> Vec<ReliabilityDiagram> {
        let single = ("Single networks".to_string(), &self.single.reliability);
        let best = self.best(|_| true).map(|e| (name(e), &e.reliability));
        let diagrams = [single].into_iter().chain(best).filter(|(_, bins)| !bins.is_empty());
        diagrams.map(|(title, bins)| ReliabilityDiagram { title, bins: bins.clone() }).collect()
    }

    /// The κ–error diagram of the pairs of members of each strategy, of one training (feature `charts`). `None` for
    /// values, and without pairs.
    #[must_use]
    pub fn kappa_error_chart(&self, title: &str) -> Option<KappaErrorDiagram> {
        let group = |s: &StrategyReport| {
            let pair = |pair: &crate::evaluate::KappaError| {
                Some(KappaError { kappa: pair.kappa?, error: pair.error? })
            };
            let pairs: Vec<KappaError> = s.kappa_error.iter().filter_map(pair).collect();
            (!pairs.is_empty()).then(|| PairGroup { name: s.strategy.clone(), pairs })
        };
        let groups: Vec<PairGroup> = self.strategies.iter().filter_map(group).take(STRATEGIES).collect();
        (!groups.is_empty()).then(|| KappaErrorDiagram { title: title.into(), groups })
    }

    /// How each two members of each strategy differ, in one training (feature `charts`). Strategies of more than 60
    /// members, and measures that are not defined for all pairs, have no chart.
    #[must_use]
    pub fn diversity_charts(&self) -> Vec<HeatMap> {
        let chart = |s: &StrategyReport| {
            let (measure, pairs) = (s.pair_measure.as_ref()?, s.pairs.as_ref()?);
            let row = |row: Vec<Option<f64>>| row.into_iter().collect::<Option<Vec<f64>>>();
            let mut values = pairs.rows();
            // The diagonal is not drawn.
            values.iter_mut().enumerate().for_each(|(i, row)| row[i] = Some(0.));
            let values = values.into_iter().map(row).collect::<Option<Vec<_>>>()?;
            let correlation = measure.as_str() == "error-correlation";
            (2..=MEMBERS).contains(&values.len()).then(|| HeatMap {
                title: format!("Members of {}", s.strategy),
                measure: match correlation {
                    true => "correlation of errors (lower: more diverse)".into(),
                    false => format!("{measure}, share of rows (higher: more diverse)"),
                },
                names: (1..=values.len()).map(|member| member.to_string()).collect(),
                values,
                center: correlation.then_some(0.),
            })
        };
        self.strategies.iter().filter_map(chart).collect()
    }
}

impl DataSetsReport {
    /// The critical-difference diagram of the average ranks (feature `charts`). Of more than 60 methods it has the
    /// best 60, and then no groups.
    #[must_use]
    pub fn rank_chart(&self, title: &str) -> CriticalDifferenceDiagram {
        let comparison = &self.comparison;
        let best: Vec<usize> = self.by_rank().into_iter().take(METHODS).collect();
        let of = |place: &usize| comparison.names.get(*place).cloned().unwrap_or_default();
        let rank = |place: &usize| comparison.friedman.average_ranks.get(*place).copied().unwrap_or(f64::NAN);
        let all = best.len() == comparison.names.len();
        // The places in the list of the best.
        let place = |method: &usize| best.iter().position(|place| place == method);
        let cliques = comparison.cliques.iter().map(|clique| clique.iter().filter_map(place).collect());
        CriticalDifferenceDiagram {
            title: title.into(),
            names: best.iter().map(of).collect(),
            ranks: best.iter().map(rank).map(|rank| rank.min(best.len() as f64)).collect(),
            cliques: if all { cliques.collect() } else { vec![] },
            critical_difference: all.then_some(comparison.critical_difference),
        }
    }
}
