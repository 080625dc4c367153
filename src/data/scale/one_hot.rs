//! One column for each category.
use crate::{
    data::scale::{FittedColumn, Scaling},
    registry::{Argument, Entry},
    Error, Result,
};
use std::cmp::Ordering;

pub(super) const ENTRY: Entry<Scaling> =
    Entry::new("one-hot", "Scaling::OneHot", "One column for each category", |arguments| {
        Ok(Scaling::OneHot {
            categories: arguments.optional("categories")?.unwrap_or_default(),
            ignore_unknown: arguments.get("ignore-unknown")?,
        })
    })
    .with_arguments(&[
        Argument::optional("categories", "The categories, if not those of the rows of the fit"),
        Argument::new("ignore-unknown", "false", "Whether unknown categories become zeros"),
    ]);

pub(super) fn check(categories: &[f64]) -> Result<()> {
    match is_sorted(categories) {
        true => Ok(()),
        false => Err(Error::invalid(
            "Scaling::OneHot::categories",
            "finite and in increasing order",
            format!("{categories:?}"),
        )),
    }
}

/// Whether these can be the categories of a column.
pub(super) fn is_sorted(categories: &[f64]) -> bool {
    categories.iter().all(|x| x.is_finite()) && categories.is_sorted_by(|a, b| a < b)
}

/// The given categories, or those of the column. −0 and 0 are one category.
pub(super) fn fit(mut column: Vec<f64>, categories: &[f64], ignore_unknown: bool) -> Result<FittedColumn> {
    let categories = match categories {
        [] => {
            column.sort_unstable_by(f64::total_cmp);
            column.dedup_by(|a, b| a == b);
            column
        }
        given => {
            let unknown = column.iter().find(|x| place(given, **x).is_none());
            if let (Some(x), false) = (unknown, ignore_unknown) {
                return Err(Error::invalid("each value of the column", listed(given), x));
            }
            given.to_vec()
        }
    };
    Ok(FittedColumn::OneHot { categories, ignore_unknown })
}

/// The place of a category.
pub(super) fn place(categories: &[f64], x: f64) -> Option<usize> {
    categories.binary_search_by(|of| of.partial_cmp(&x).unwrap_or(Ordering::Less)).ok()
}

/// What a value must be, for an error.
pub(super) fn listed(categories: &[f64]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = categories.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if categories.len() > SHOWN { ", …" } else { "" };
    format!("one of the {} categories of the scaling, {}{more}", categories.len(), shown.join(", "))
}
