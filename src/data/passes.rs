//! Rows divided into forward passes.
use crate::{Error, Result};

/// Divides the rows into passes of `size`. A single last row joins the pass before, because one row has no
/// variance and gives candle's graph another shape (nothing is broadcast).
pub(crate) fn passes(rows: &[u32], size: usize) -> Result<Vec<&[u32]>> {
    if rows.len() < 2 {
        return Err(Error::invalid("the number of rows", "at least 2", rows.len()));
    }
    if size < 2 {
        return Err(Error::invalid("the number of rows in a pass", "at least 2", size));
    }
    let mut parts = Vec::with_capacity(rows.len() / size + 1);
    let mut rest = rows;
    while rest.len() > size + 1 {
        let (part, after) = rest.split_at(size);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_cover_the_rows_and_have_at_least_two_each() {
        for n in 2..40u32 {
            let rows: Vec<u32> = (0..n).collect();
            for size in 2..12 {
                let parts = passes(&rows, size).unwrap();
                assert_eq!(parts.concat(), rows);
                assert!(parts.iter().all(|part| (2..=size + 1).contains(&part.len())), "{n} {size}");
            }
        }
        assert!(passes(&[1], 4).is_err());
        assert!(passes(&[1, 2], 1).is_err());
    }
}
