//! The strength of a penalty, given or chosen by cross-validation.
use crate::{
    combine::stack::{
        centred::{Centred, RowSet},
        MetaDataset,
    },
    kernels::argmax::argmin,
    Error, Result,
};

/// How the strength of a penalty is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PenaltyChoice {
    /// It is given.
    Fixed(f64),
    /// It is chosen by cross-validation over folds of the held-out rows.
    CrossValidated { folds: usize },
}

impl PenaltyChoice {
    /// The penalty, if it is given.
    pub(crate) fn fixed(self) -> Option<f64> {
        match self {
            Self::Fixed(penalty) => Some(penalty),
            Self::CrossValidated { .. } => None,
        }
    }

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

/// The mean squared error on a fold as a function of the penalty.
pub(crate) type FoldErrors<'a> = Box<dyn FnMut(f64) -> Result<f64> + 'a>;

/// All rows, and the penalty: the one given, or the candidate with the least squared error over the folds. In
/// a tie the strongest penalty is taken. `errors` is given the rows outside a fold and the fold.
pub(crate) fn choose_penalty(
    dataset: &MetaDataset<'_>,
    choice: PenaltyChoice,
    candidates: impl Fn(&Centred) -> Vec<f64>,
    errors: impl for<'a> Fn(&'a Centred, &'a RowSet) -> Result<FoldErrors<'a>>,
) -> Result<(Centred, f64)> {
    let k = match choice {
        PenaltyChoice::Fixed(penalty) => return Ok((RowSet::of_all_rows(dataset)?.centred(), penalty)),
        PenaltyChoice::CrossValidated { folds } => folds,
    };
    let folds = RowSet::of_groups(dataset, &dataset.folds(k, dataset.seed().child("penalty"))?)?;
    let too_few = || too_few_folds(folds.len());
    let all = RowSet::joined(folds.iter()).ok_or_else(too_few)?.centred();
    let mut candidates = candidates(&all);
    candidates.sort_by(|a, b| b.total_cmp(a));
    let mut totals = vec![0.; candidates.len()];
    for (i, fold) in folds.iter().enumerate() {
        let others = folds.iter().enumerate().filter(|(other, _)| *other != i).map(|(_, rows)| rows);
        let rest = RowSet::joined(others).ok_or_else(too_few)?;
        // Without weight there is nothing to fit on, or nothing to score.
        if !(rest.total_weight() > 0. && fold.total_weight() > 0.) {
            continue;
        }
        let rest = rest.centred();
        let mut error = errors(&rest, fold)?;
        for (penalty, total) in candidates.iter().zip(&mut totals) {
            *total += fold.total_weight() * error(*penalty)?;
        }
    }
    let best = argmin(&totals);
    let penalty = candidates.get(best).copied().ok_or_else(too_few)?;
    Ok((all, penalty))
}
