//! Training and validation rows of different distributions.
use super::certainty;
use crate::{
    diagnose::{words::figure, Evidence, Finding, Observations, Problem, Rule, TwoSampleReport},
    evaluate::SplitCheck,
    Result,
};

/// Finds training and validation rows that are distributed differently.
pub(super) struct Drift;

/// A difference has to be this unlikely by chance: the rule is asked at every diagnosis, and a false alarm sends the user
/// after something that is not there.
const LEVEL: f64 = 0.001;
/// From this area under the ROC curve on, the sides can be told apart.
const AUC: f64 = 0.6;
/// At this area there is no doubt.
const SURE_AUC: f64 = 0.85;
/// From this distance of the distribution functions of a column on.
const DISTANCE: f64 = 0.2;
/// At this distance there is no doubt.
const SURE_DISTANCE: f64 = 0.5;

impl Rule for Drift {
    fn name(&self) -> &'static str {
        "drift"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let signs =
            [seen.two_sample.and_then(told_apart), seen.split.and_then(column), seen.split.and_then(classes)];
        let mut signs: Vec<(f64, Evidence)> = signs.into_iter().flatten().collect();
        signs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let Some((confidence, _)) = signs.first() else { return Ok(vec![]) };
        let summary = "The validation rows are distributed differently from the training rows, so their score is not that of \
                       rows like those that were learned from.";
        let source = "Lopez-Paz and Oquab 2017, arXiv:1610.06545; Rabanser, Günnemann and Lipton 2019, arXiv:1810.11953";
        let finding = Finding::new(self.name(), Problem::Data, *confidence, summary, source).experiment(
            "Split the rows at random and train again. If the gap between training and validation loss closes, the \
             difference of the rows was the cause.",
        );
        Ok(vec![signs.into_iter().fold(finding, |finding, (_, evidence)| finding.evidence(evidence))])
    }
}

fn told_apart(report: &TwoSampleReport) -> Option<(f64, Evidence)> {
    let confidence = certainty::ramp(report.auc, AUC, SURE_AUC).filter(|_| report.p_value <= LEVEL)?;
    let text = format!(
        "A small network tells training from validation rows with an area under the ROC curve of {} on rows that it has not \
         learned from ({} of either side, p = {:.1e}); 0.5 is chance.",
        figure(report.auc),
        report.rows,
        report.p_value
    );
    Some((confidence, Evidence::new(text).value(report.auc)))
}

fn column(split: &SplitCheck) -> Option<(f64, Evidence)> {
    let further = |a, b| {
        let (a, b): (&crate::evaluate::ColumnDrift, &crate::evaluate::ColumnDrift) = (a, b);
        if b.distance > a.distance {
            b
        } else {
            a
        }
    };
    let furthest = split.drifting(LEVEL).reduce(further)?;
    let confidence = certainty::ramp(furthest.distance, DISTANCE, SURE_DISTANCE)?;
    let text = format!(
        "Column {} differs most: its distribution functions are {} apart (Kolmogorov–Smirnov test, p = {:.1e} after Holm's \
         correction).",
        furthest.column,
        figure(furthest.distance),
        furthest.holm_p_value
    );
    Some((confidence, Evidence::new(text).value(furthest.distance)))
}

/// The class whose shares differ most; half the sum of all differences is the distance of the shares.
fn classes(split: &SplitCheck) -> Option<(f64, Evidence)> {
    let shares = split.classes.as_ref().filter(|shares| shares.homogeneity.p_value <= LEVEL)?;
    let pairs = || shares.train.iter().zip(&shares.test);
    let distance = 0.5 * pairs().map(|(train, test)| (train - test).abs()).sum::<f64>();
    let confidence = certainty::ramp(distance, DISTANCE, SURE_DISTANCE)?;
    let further = |a: (usize, f64), b: (usize, f64)| if b.1 > a.1 { b } else { a };
    let (class, _) = pairs().map(|(train, test)| (train - test).abs()).enumerate().reduce(further)?;
    let (train, test) = pairs().nth(class)?;
    let text = format!(
        "Class {class} is {} of the training rows and {} of the validation rows (chi-squared test of all shares, \
         p = {:.1e}).",
        crate::diagnose::words::percent(*train),
        crate::diagnose::words::percent(*test),
        shares.homogeneity.p_value
    );
    Some((confidence, Evidence::new(text).value(distance)))
}
