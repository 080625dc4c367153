//! A scaling for each group of columns.
use crate::{data::scale::Scaling, Error, Result};

/// Checks the scalings of groups of columns.
pub(super) fn check(groups: &[(Vec<usize>, Scaling)]) -> Result<()> {
    let mut columns: Vec<usize> = groups.iter().flat_map(|(columns, _)| columns).copied().collect();
    columns.sort_unstable();
    if let Some(twice) = columns.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid("a column of Scaling::Columns", "named once", twice[0]));
    }
    groups.iter().try_for_each(|(_, scaling)| match scaling {
        Scaling::Columns(_) => {
            Err(Error::invalid("a scaling within Scaling::Columns", "another one", "Scaling::Columns"))
        }
        other => other.check(),
    })
}

/// The scaling of each of these columns; `None` where it stays as it is. `width` is the number of all columns.
pub(super) fn of_each(
    groups: &[(Vec<usize>, Scaling)],
    columns: impl Iterator<Item = usize>,
    width: usize,
) -> Result<Vec<Option<&Scaling>>> {
    let mut all = vec![None; width];
    for (columns, scaling) in groups {
        for column in columns {
            match all.get_mut(*column) {
                Some(of) => *of = Some(scaling),
                None => {
                    let must = format!("below {width}, the number of columns");
                    return Err(Error::invalid("a column of Scaling::Columns", must, column));
                }
            }
        }
    }
    Ok(columns.map(|column| all.get(column).copied().flatten()).collect())
}

/// Reads groups such as `0,3=one-hot;1,2=standardize`. `None` where the text has no groups.
pub(super) fn parse(text: &str) -> Option<Result<Scaling>> {
    // `robust:low=0.1` has an equals sign too, but after a colon.
    let is_group = |part: &str| part.split_once('=').is_some_and(|(columns, _)| !columns.contains(':'));
    if !text.split(';').all(is_group) {
        return None;
    }
    let number = |text: &str| {
        let wrong = |_| Error::invalid("a column of Scaling::Columns", "a whole number", format!("{text:?}"));
        text.trim().parse::<usize>().map_err(wrong)
    };
    let group = |part: &str| {
        let (columns, scaling) = part.split_once('=').unwrap_or_default();
        let columns = columns.split(',').map(number).collect::<Result<Vec<_>>>()?;
        Ok((columns, Scaling::registry().parse(scaling.trim())?))
    };
    Some(text.split(';').map(group).collect::<Result<_>>().map(Scaling::Columns))
}
