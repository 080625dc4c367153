//! The strength of a penalty, chosen by cross-validation.
use crate::{
    combine::stack::{
        sums::{Centred, Sums},
        MetaDataset,
    },
    kernels::argmax::argmin,
    Error, Result, Seed,
};
use ndarray::Array2;

/// How strong a penalty is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Penalty {
    Given(f64),
    /// By this many folds of the held-out rows.
    Folds(usize),
}

impl Penalty {
    pub(crate) fn check(self, what: &str) -> Result<()> {
        match self {
            Self::Given(x) if !(x.is_finite() && x >= 0.) => {
                Err(Error::invalid(what, "finite and not negative", x))
            }
            Self::Folds(k) if k < 2 => {
                Err(Error::invalid("the folds of the penalty's search", "at least 2", k))
            }
            _ => Ok(()),
        }
    }
}

/// What a penalised fit can do once the rows are summed up.
pub(crate) type Path<'a> = Box<dyn FnMut(f64) -> Result<Array2<f64>> + 'a>;

/// The rows' moments and the strength: of the candidates, the one with the least squared error on folds that the fit
/// has not seen, the strongest of equals.
pub(crate) fn choose(
    dataset: &MetaDataset<'_>,
    strength: Penalty,
    candidates: impl Fn(&Centred) -> Vec<f64>,
    path: impl Fn(&Centred) -> Result<Path<'_>>,
) -> Result<(Centred, f64)> {
    let k = match strength {
        Penalty::Given(penalty) => return Ok((Sums::of_all(dataset)?.centred(), penalty)),
        Penalty::Folds(k) => k,
    };
    let folds = Sums::of(dataset, &dataset.folds(k, Seed::from(0).child("penalty"))?)?;
    let of_all = |skip: Option<usize>| {
        let rest = folds.iter().enumerate().filter(|(i, _)| Some(*i) != skip).map(|(_, sums)| sums);
        rest.cloned().reduce(|a, b| a.plus(&b))
    };
    let none = || Error::invalid("the folds of the penalty's search", "at least 2", folds.len());
    let all = of_all(None).ok_or_else(none)?.centred();
    let mut candidates = candidates(&all);
    candidates.sort_by(|a, b| b.total_cmp(a));
    let mut errors = vec![0.; candidates.len()];
    for (i, fold) in folds.iter().enumerate() {
        let rest = of_all(Some(i)).ok_or_else(none)?;
        // Rows of weight 0 teach and test nothing.
        if !(rest.total() > 0. && fold.total() > 0.) {
            continue;
        }
        let rest = rest.centred();
        let mut path = path(&rest)?;
        for (penalty, error) in candidates.iter().zip(&mut errors) {
            let coefficients = path(*penalty)?;
            *error += fold.total() * fold.error(&coefficients, &rest.intercepts(&coefficients));
        }
    }
    let best = argmin(&errors);
    let penalty = candidates.get(best).copied().ok_or_else(none)?;
    Ok((all, penalty))
}
