//! Rows in passes.
use crate::{Error, Result};

/// The rows in passes of `size`; a last row that would stand alone joins the pass before. One row has no variance,
/// and of one row candle broadcasts nothing, so that its graph has another shape.
pub(crate) fn passes(rows: &[u32], size: usize) -> Result<Vec<&[u32]>> {
    if rows.len() < 2 {
        return Err(Error::invalid("the rows", "at least two", rows.len()));
    }
    if size < 2 {
        return Err(Error::invalid("the rows a pass", "at least two", size));
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
    fn no_row_is_lost_and_none_stands_alone() {
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
