//! What the arrays of a file mean: predictions, with what belongs to their rows and to their members.
use super::{
    arrays::{shape, Array, Arrays, Values},
    labels::{labels, Groups, Label},
};
use candle_core::{DType, Tensor};
use std::path::Path;

/// The arrays that are read.
const KNOWN: [&str; 9] =
    ["predictions", "targets", "classes", "mask", "names", "groups", "inputs", "weights", "costs"];

/// The content of a file.
pub struct Input {
    /// `(M, N, C)`, f32 or f64; NaN where a member does not predict a row.
    pub predictions: Tensor,
    /// Whether each member predicts each row, `(M, N)`, if some do not.
    pub present: Option<Vec<bool>>,
    /// `(N,)` or `(N, K)`; a combiner that is only applied needs none.
    pub targets: Option<Array>,
    /// The label of each column of the predictions.
    pub classes: Option<Vec<Label>>,
    /// One for each member.
    pub names: Option<Vec<String>>,
    /// One for each row.
    pub groups: Option<Groups>,
    /// `(N, F)`.
    pub inputs: Option<Tensor>,
    /// The weight of each row, f64.
    pub weights: Option<Tensor>,
    /// The cost of each member.
    pub costs: Option<Vec<f64>>,
    /// What the user should know about how the arrays were read.
    pub notes: Vec<String>,
}

pub fn read(path: &Path) -> Result<Input, String> {
    Arrays::open(path).and_then(read_arrays).map_err(|e| format!("{}: {e}", path.display()))
}

fn read_arrays(mut arrays: Arrays) -> Result<Input, String> {
    let mut notes = vec![];
    let all = arrays.names();
    let Some(predictions) = arrays.get("predictions")? else {
        return Err(no_predictions(&all));
    };
    let unread: Vec<&str> = all.iter().map(String::as_str).filter(|name| !KNOWN.contains(name)).collect();
    if !unread.is_empty() {
        notes.push(format!("not read, for arrays of these names are unknown: {}", unread.join(", ")));
    }
    let mut of = |name: &str| -> Result<Option<Array>, String> { Ok(arrays.get(name)?.map(squeezed)) };
    let (targets, groups, inputs, weights) = (of("targets")?, of("groups")?, of("inputs")?, of("weights")?);
    let (names, costs, classes, mask) = (of("names")?, of("costs")?, of("classes")?, of("mask")?);

    let rows = [&targets, &groups, &inputs, &weights].into_iter().flatten().find_map(|a| a.dims.first());
    let members = [&names, &costs].into_iter().flatten().find_map(|a| a.dims.first());
    let (values, turned) = cube(&predictions, rows.copied(), members.copied(), &mut notes)?;
    let (members, rows, _) = values.dims3().map_err(|e| e.to_string())?;
    let mask = mask.map(|mask| masked(&mask, [members, rows], turned)).transpose()?;
    let present = presence(&values, mask)?;
    if let Some(present) = &present {
        let missing = present.iter().filter(|there| !**there).count();
        let of = present.len();
        notes.push(format!("{missing} of {of} predictions are missing (NaN or masked) and are left out"));
    }

    let a_row = |name: &str, array: &Array, rank: &[usize]| match array.dims.first() {
        Some(n) if *n == rows && rank.contains(&array.dims.len()) => Ok(()),
        _ => Err(format!("{name} must be one for each of {rows} rows, but are {}", array.shape())),
    };
    let a_member = |name: &str, array: &Array| match array.dims.as_slice() {
        [n] if *n == members => Ok(()),
        _ => Err(format!("{name} must be ({members},), one for each member, but are {}", array.shape())),
    };
    if let Some(targets) = &targets {
        a_row("targets", targets, &[1, 2])?;
        check_finite("target", targets, rows)?;
    }
    let inputs = match inputs {
        None => None,
        Some(array) => {
            a_row("inputs", &array, &[1, 2, 3, 4, 5])?;
            check_finite("input", &array, rows)?;
            Some(array.tensor("inputs", &[rows, array.len() / rows])?)
        }
    };
    let groups = match groups {
        None => None,
        Some(array) => {
            a_row("groups", &array, &[1])?;
            Some(Groups::of(&array)?)
        }
    };
    let weights = match weights {
        None => None,
        Some(array) => {
            a_row("weights", &array, &[1])?;
            let doubles = Array { values: Values::Double(array.doubles("weights")?), ..array };
            Some(doubles.tensor("weights", &[rows])?)
        }
    };
    let costs = match costs {
        None => None,
        Some(array) => {
            a_member("costs", &array)?;
            Some(array.doubles("costs")?)
        }
    };
    let names = match names {
        None => None,
        Some(array) => {
            a_member("names", &array)?;
            Some(match &array.values {
                Values::Text(texts) => texts.clone(),
                _ => labels(&array, "name")?.iter().map(ToString::to_string).collect(),
            })
        }
    };
    let classes = classes.map(|array| labels(&array, "class")).transpose()?;
    Ok(Input { predictions: values, present, targets, classes, names, groups, inputs, weights, costs, notes })
}

/// The error for a file without predictions.
fn no_predictions(names: &[String]) -> String {
    let has = match names {
        [] => "is empty".into(),
        names => format!("has {}", names.join(", ")),
    };
    let hint = match names.iter().any(|name| name.starts_with("arr_")) {
        true => " (arrays get names from numpy.savez(FILE, predictions=…, targets=…))",
        false => "",
    };
    format!("it has no array `predictions`: it {has}{hint}")
}

/// The array without dimensions of length 1 at the end, as long as one is left.
fn squeezed(mut array: Array) -> Array {
    while array.dims.len() > 1 && array.dims.last() == Some(&1) {
        array.dims.pop();
    }
    array
}

/// The predictions as `(M, N, C)`, and whether their first two axes were exchanged. The numbers of rows and
/// of members are those of the other arrays.
fn cube(
    array: &Array,
    rows: Option<usize>,
    members: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<(Tensor, bool), String> {
    let mut dims = array.dims.clone();
    while dims.len() > 3 && dims.last() == Some(&1) {
        dims.pop();
    }
    let was = array.shape();
    let (m, n, c) = match dims.as_slice() {
        [n] if rows == Some(*n) => (1, *n, 1),
        [m, n] => (*m, *n, 1),
        [m, n, c] => (*m, *n, *c),
        _ => return Err(format!("predictions must be (M, N, C), but are {was}")),
    };
    if m * n * c == 0 {
        return Err(format!("predictions must not be empty, but are {was}"));
    }
    let fits = |m: usize, n: usize| rows.is_none_or(|r| r == n) && members.is_none_or(|k| k == m);
    let known = rows.is_some() || members.is_some();
    let turned = known && !fits(m, n) && fits(n, m);
    if turned && dims.len() == 2 {
        let all = array.doubles("predictions")?;
        if n > 1 && all.chunks_exact(n).all(|row| sums_to_one(row, 1e-3)) {
            return Err(format!(
                "predictions {was} may be one member's probabilities of {n} classes, which must be (1, {m}, {n}), \
                 or the values of {n} members, which must be ({n}, {m}): give one of these shapes"
            ));
        }
    }
    if turned {
        let order = if dims.len() == 2 { "(N, M)" } else { "(N, M, C)" };
        notes.push(format!("the predictions {was} are taken as {order}: {n} members, {m} rows"));
    }
    let tensor = array.tensor("predictions", &[m, n, c])?;
    match turned {
        false => Ok((tensor, false)),
        true => {
            let tensor = tensor.transpose(0, 1).and_then(|t| t.contiguous()).map_err(|e| e.to_string())?;
            Ok((tensor, true))
        }
    }
}

pub fn sums_to_one(row: &[f64], within: f64) -> bool {
    row.iter().all(|p| (-within..=1. + within).contains(p)) && (row.iter().sum::<f64>() - 1.).abs() <= within
}

/// Whether each prediction is masked: nonzero as in `numpy.ma`, `(M, N)`, or `(M, N, C)`, where a row is
/// masked if one of its numbers is.
fn masked(mask: &Array, [members, rows]: [usize; 2], turned: bool) -> Result<Vec<bool>, String> {
    let (first, second) = if turned { (rows, members) } else { (members, rows) };
    let width = match mask.dims.as_slice() {
        [m, n] if (*m, *n) == (first, second) => 1,
        [m, n, c] if (*m, *n) == (first, second) => *c,
        _ => {
            let want = shape(&[first, second]);
            return Err(format!("mask must be {want}, one for each prediction, but is {}", mask.shape()));
        }
    };
    let all = mask.doubles("mask")?;
    let cells: Vec<bool> = all.chunks_exact(width.max(1)).map(|cell| cell.iter().any(|x| *x != 0.)).collect();
    Ok(match turned {
        false => cells,
        true => (0..members * rows).map(|i| cells[i % rows * members + i / rows]).collect(),
    })
}

/// Which predictions are there: a masked one is missing, and one whose numbers are all NaN. Other numbers
/// must be finite, and each row needs a member that predicts it.
fn presence(values: &Tensor, mask: Option<Vec<bool>>) -> Result<Option<Vec<bool>>, String> {
    let (_, rows, width) = values.dims3().map_err(|e| e.to_string())?;
    let all: Vec<f64> =
        values.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).map_err(|e| e.to_string())?;
    let mut present = vec![];
    for (i, row) in all.chunks_exact(width).enumerate() {
        let hidden = mask.as_ref().is_some_and(|mask| mask[i]) || row.iter().all(|x| x.is_nan());
        present.push(!hidden);
        if let Some(column) = row.iter().position(|x| !x.is_finite()).filter(|_| !hidden) {
            let (member, row_number, got) = (i / rows, i % rows, row[column]);
            return Err(format!(
                "prediction of member {member}, row {row_number}, column {column} must be finite, but is {got}"
            ));
        }
    }
    let nobody = |row: &usize| present.iter().skip(*row).step_by(rows).all(|there| !there);
    if let Some(row) = (0..rows).find(nobody) {
        let members = present.len() / rows;
        return Err(match members {
            1 => format!("prediction of member 0, row {row} must be finite, but is NaN, and it is the only member"),
            _ => format!(
                "row {row} must be predicted by at least one member, but the predictions of all members, 0 to {}, \
                 are NaN or masked there",
                members - 1
            ),
        });
    }
    Ok(present.contains(&false).then_some(present))
}

/// Checks that the numbers of an array with one entry for each row are finite.
fn check_finite(what: &str, array: &Array, rows: usize) -> Result<(), String> {
    let bad = match &array.values {
        Values::Single(all) => all.iter().position(|x| !x.is_finite()).map(|i| (i, f64::from(all[i]))),
        Values::Double(all) => all.iter().position(|x| !x.is_finite()).map(|i| (i, all[i])),
        _ => None,
    };
    match bad {
        None => Ok(()),
        Some((at, got)) => {
            Err(format!("{what} of row {} must be finite, but is {got}", at / (array.len() / rows)))
        }
    }
}
