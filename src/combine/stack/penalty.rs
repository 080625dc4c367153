//! The strength of a penalty, given or chosen by cross-validation.
use crate::{
    combine::stack::{
        moments::{CentredMoments, Moments},
        MetaDataset,
    },
    kernels::argmax::argmin,
    Error, Result,
};
use ndarray::Array2;

/// How the strength of a penalty is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PenaltyChoice {
    /// It is given.
    Fixed(f64),
    /// It is chosen by cross-validation over folds of the held-out rows.
    CrossValidated { folds: usize },
}

impl PenaltyChoice {
    pub(crate) fn check(self, what: &str) -> Result<()> {
        match self {
            Self::Fixed(x) if !(x.is_finite() && x >= 0.) => {
                Err(Error::invalid(what, "finite and not negative", x))
            }
            Self::CrossValidated { folds } if folds < 2 => Err(too_few_folds(folds)),
            _ => Ok(()),
        }
    }
}

fn too_few_folds(got: usize) -> Error {
    Error::invalid("number of folds to choose the penalty", "at least 2", got)
}

/// The coefficients, `(F, K)`, as a function of the penalty.
pub(crate) type PenaltyPath<'a> = Box<dyn FnMut(f64) -> Result<Array2<f64>> + 'a>;

/// The moments of all rows, and the penalty: the one given, or the candidate with the least squared error
/// over the folds. In a tie the strongest penalty is taken.
pub(crate) fn choose_penalty(
    dataset: &MetaDataset<'_>,
    choice: PenaltyChoice,
    candidates: impl Fn(&CentredMoments) -> Vec<f64>,
    path: impl Fn(&CentredMoments) -> Result<PenaltyPath<'_>>,
) -> Result<(CentredMoments, f64)> {
    let k = match choice {
        PenaltyChoice::Fixed(penalty) => return Ok((Moments::of_all_rows(dataset)?.centred(), penalty)),
        PenaltyChoice::CrossValidated { folds } => folds,
    };
    let folds = Moments::of_groups(dataset, &dataset.folds(k, dataset.seed().child("penalty"))?)?;
    let sum_without = |left_out: Option<usize>| {
        let rest = folds.iter().enumerate().filter(|(i, _)| Some(*i) != left_out).map(|(_, moments)| moments);
        rest.cloned().reduce(|a, b| a.plus(&b))
    };
    let too_few = || too_few_folds(folds.len());
    let all = sum_without(None).ok_or_else(too_few)?.centred();
    let mut candidates = candidates(&all);
    candidates.sort_by(|a, b| b.total_cmp(a));
    let mut errors = vec![0.; candidates.len()];
    for (i, fold) in folds.iter().enumerate() {
        let rest = sum_without(Some(i)).ok_or_else(too_few)?;
        // Without weight there is nothing to fit on, or nothing to score.
        if !(rest.total_weight() > 0. && fold.total_weight() > 0.) {
            continue;
        }
        let rest = rest.centred();
        let mut path = path(&rest)?;
        for (penalty, error) in candidates.iter().zip(&mut errors) {
            let coefficients = path(*penalty)?;
            *error += fold.total_weight() * fold.error(&coefficients, &rest.intercepts(&coefficients));
        }
    }
    let best = argmin(&errors);
    let penalty = candidates.get(best).copied().ok_or_else(too_few)?;
    Ok((all, penalty))
}
