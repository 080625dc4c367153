//! All measures of diversity of one set of predictions.
use super::{
    cohen_kappa, coincident_failure_diversity, correlation, difficulty, disagreement, double_fault, entropy,
    error_correlation::Errors,
    generalized_diversity, interrater_kappa, kappa, kohavi_wolpert_variance,
    pair_matrix::{pairs, PairMatrix},
    q_statistic, ratio_of_errors,
    votes::{check, Pair, Votes},
    CorrectShares,
};
use crate::{
    data::Task,
    evaluate::{decomposition::ambiguity, RowTargets},
    predictions::Predictions,
    Result,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// How different the errors of the slots of an ensemble are, by every measure.
///
/// For classes these are the measures of pairs `q-statistic`, `correlation`, `disagreement`, `double-fault`,
/// `ratio-of-errors`, `kappa` and `cohen-kappa`, and those of the whole group `entropy`, `kohavi-wolpert`,
/// `interrater-kappa`, `difficulty`, `generalized` and `coincident-failure`. For values they are
/// `error-correlation`, of pairs, and `ambiguity`, of the group.
///
/// Two slots are compared on the rows that both predict. A measure of the group is taken over the rows that
/// all slots predict, except for the ambiguity, which is that of each row's own slots. A measure that is not
/// defined, such as the Q statistic of a slot that is always right, is `None`; the mean over pairs is taken
/// over the pairs for which it is defined. Row weights count as numbers of rows.
///
/// Use it to see why an ensemble gains or does not gain. Do not choose an ensemble by its diversity: members
/// can be diverse because they are wrong. The [decompositions](crate::evaluate::decomposition) say what
/// diversity is worth in units of the loss.
///
/// The most probable class counts, the lowest of equal ones. The cost is one pass over the predictions, and
/// for each pair of slots a few bits for each row: a second or less for 100 slots and 100,000 rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, evaluate::{Diversity, RowTargets}, predictions::Predictions};
///
/// let slots = [[[0.9f32, 0.1], [0.2, 0.8], [0.7, 0.3]], [[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]];
/// let predictions =
///     Predictions::new(Tensor::new(&slots, &Device::Cpu)?, Task::Classification { classes: 2 })?;
/// let diversity = Diversity::of(&predictions, &RowTargets::classes(&[0, 1, 1], 2)?)?;
/// assert_eq!(diversity.get("disagreement"), Some(2. / 3.));
/// assert_eq!(diversity.get("q-statistic"), Some(-1.));
/// println!("{diversity}");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kuncheva and Whitaker 2003, doi:10.1023/A:1022859003006.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diversity {
    /// Number of slots.
    pub slots: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of rows that all slots predict: those of the measures of the group.
    pub common_rows: usize,
    /// The error rate, or the mean squared error over the outputs, of each slot on the rows that it predicts.
    pub errors: Vec<Option<f64>>,
    /// Every measure.
    pub measures: Vec<Measured>,
    /// The measures of pairs, by name.
    pub pairs: BTreeMap<String, PairMatrix>,
    /// The points of the kappa–error diagram; empty for values.
    pub kappa_error: Vec<KappaError>,
}

/// One measure of diversity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// Its value, for pairs the mean over the pairs for which it is defined; `None` where it is not defined.
    pub value: Option<f64>,
    /// Whether a larger value means that the slots differ more.
    pub more_is_more_diverse: bool,
    /// For a measure of pairs, the number of pairs for which it is defined; `None` for one of the group.
    pub pairs: Option<usize>,
}

/// One pair of slots in a kappa–error diagram: the less they agree and the less they err, the better.
///
/// Source: Margineantu and Dietterich 1997, "Pruning adaptive boosting".
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KappaError {
    /// The first slot.
    pub first: usize,
    /// The second slot.
    pub second: usize,
    /// [Cohen's κ](cohen_kappa()) of their classes.
    pub kappa: Option<f64>,
    /// The mean of their error rates on the rows that both predict.
    pub error: Option<f64>,
}

impl Diversity {
    /// Measures the diversity of predictions `(S, N, C)`.
    ///
    /// # Errors
    /// When the targets are of another task or of other rows, or a value is not finite.
    pub fn of(predictions: &Predictions, targets: &RowTargets) -> Result<Self> {
        check(predictions, targets)?;
        match predictions.task() {
            Task::Classification { .. } => Self::of_classes(predictions, targets),
            Task::Regression { .. } => Self::of_values(predictions, targets),
        }
    }

    fn of_classes(predictions: &Predictions, targets: &RowTargets) -> Result<Self> {
        let votes = Votes::new(predictions, targets)?;
        let (slots, all) = (predictions.slots(), votes.pairs());
        let (mut measures, mut by_name) = (vec![], BTreeMap::new());
        for (name, more_is_more_diverse, measure) in PAIRWISE {
            let matrix = PairMatrix::new(slots, all.iter().map(measure).collect());
            measures.push(of_pairs(name, &matrix, *more_is_more_diverse));
            by_name.insert((*name).to_string(), matrix);
        }
        let (shares, common_rows) = votes.correct_shares();
        for (name, more_is_more_diverse, measure) in OF_GROUP {
            let (name, value) = ((*name).to_string(), shares.as_ref().and_then(measure));
            let more_is_more_diverse = *more_is_more_diverse;
            measures.push(Measured { name, value, more_is_more_diverse, pairs: None });
        }
        let different = pairs(slots).zip(&all).filter(|((a, b), _)| a != b);
        let point = |((first, second), pair): ((usize, usize), &Pair)| KappaError {
            first,
            second,
            kappa: pair.cohen_kappa(),
            error: pair.counts.mean_error(),
        };
        Ok(Self {
            slots,
            rows: predictions.rows(),
            common_rows,
            errors: votes.errors(),
            measures,
            pairs: by_name,
            kappa_error: different.map(point).collect(),
        })
    }

    fn of_values(predictions: &Predictions, targets: &RowTargets) -> Result<Self> {
        let errors = Errors::new(predictions, targets)?;
        let (mean_squared, matrix) = (errors.mean_squared.clone(), errors.correlations());
        let covered = predictions.coverage_by_slot()?;
        let common = |row: &usize| covered.iter().flatten().all(|slot| slot[*row] > 0.);
        let measures = vec![
            of_pairs("error-correlation", &matrix, false),
            Measured {
                name: "ambiguity".into(),
                value: ambiguity(predictions, targets, None).ok().map(|parts| parts.ambiguity),
                more_is_more_diverse: true,
                pairs: None,
            },
        ];
        Ok(Self {
            slots: predictions.slots(),
            rows: predictions.rows(),
            common_rows: (0..predictions.rows()).filter(common).count(),
            errors: mean_squared,
            measures,
            pairs: BTreeMap::from([("error-correlation".to_string(), matrix)]),
            kappa_error: vec![],
        })
    }

    /// Returns a measure by its name; `None` where it is not defined, or there is none of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.measures.iter().find(|measure| measure.name == name)?.value
    }

    /// Returns a measure of each pair of slots by its name.
    #[must_use]
    pub fn pairs(&self, name: &str) -> Option<&PairMatrix> {
        self.pairs.get(name)
    }
}

fn of_pairs(name: &str, matrix: &PairMatrix, more_is_more_diverse: bool) -> Measured {
    let (value, pairs) = (matrix.mean(), Some(matrix.defined_pairs()));
    Measured { name: name.into(), value, more_is_more_diverse, pairs }
}

impl Pair {
    fn cohen_kappa(&self) -> Option<f64> {
        (self.counts.rows() > 0.).then(|| cohen_kappa(self.agreement, self.by_chance)).flatten()
    }
}

/// A measure: its name, whether more of it is more diverse, and how it is computed.
type Entry<T> = (&'static str, bool, fn(&T) -> Option<f64>);

const PAIRWISE: &[Entry<Pair>] = &[
    ("q-statistic", false, |pair| q_statistic(&pair.counts)),
    ("correlation", false, |pair| correlation(&pair.counts)),
    ("disagreement", true, |pair| disagreement(&pair.counts)),
    ("double-fault", false, |pair| double_fault(&pair.counts)),
    ("ratio-of-errors", true, |pair| ratio_of_errors(&pair.counts)),
    ("kappa", false, |pair| kappa(&pair.counts)),
    ("cohen-kappa", false, Pair::cohen_kappa),
];

const OF_GROUP: &[Entry<CorrectShares>] = &[
    ("entropy", true, entropy),
    ("kohavi-wolpert", true, |correct| Some(kohavi_wolpert_variance(correct))),
    ("interrater-kappa", false, interrater_kappa),
    ("difficulty", false, |correct| Some(difficulty(correct))),
    ("generalized", true, generalized_diversity),
    ("coincident-failure", true, coincident_failure_diversity),
];

/// A Markdown table of the measures; an arrow shows in which direction the slots differ more.
impl fmt::Display for Diversity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measure            | value   | more diverse |")?;
        writeln!(f, "|--------------------|---------|--------------|")?;
        for Measured { name, value, more_is_more_diverse, .. } in &self.measures {
            let value = value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
            let arrow = if *more_is_more_diverse { '↑' } else { '↓' };
            writeln!(f, "| {name:<18} | {value:>7} | {arrow:<12} |")?;
        }
        Ok(())
    }
}
