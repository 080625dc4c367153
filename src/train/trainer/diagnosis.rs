//! Why the loss of a step is not finite.
use crate::{
    data::{values, Batch},
    train::{run::named_element, Run},
    weights::finite::{first_non_finite, NonFinite},
    Result,
};
use candle_core::Tensor;

/// A step whose loss is not finite.
pub(super) struct Step<'s, 'a> {
    pub(super) run: &'s Run<'a>,
    pub(super) when: &'s str,
    pub(super) batch: &'s Batch,
    /// The numbers of the batch's rows in the data set.
    pub(super) rows: &'s [u32],
    pub(super) output: &'s Tensor,
    /// The numbers of the output's rows in the data set.
    pub(super) output_rows: &'s [u32],
    pub(super) loss: f64,
    /// The name of the user's loss.
    pub(super) custom: Option<&'s str>,
}

/// What has diverged, and its value: the loss, or a variable that is not finite.
///
/// # Errors
/// [`Error::NotFinite`](crate::Error::NotFinite) if the data, batch normalization or the network as it was
/// built is the cause. `trained` says whether steps came before; without them the
/// learning rate has had no effect.
pub(super) fn diagnose(step: &Step<'_, '_>, trained: bool) -> Result<(String, f64)> {
    let Step { run, when, batch, rows, output, output_rows, loss, custom } = *step;
    check_data(run, batch, rows, when)?;
    if let Some((name, found)) = run.first_non_finite()? {
        return match run.batch_norm_error(&name, &found, when) {
            Some(fault) => Err(fault),
            None => Ok((named_element(&name, &found), found.value)),
        };
    }
    if trained {
        return Ok(("the loss".into(), loss));
    }
    let constants = run.infinite_variables().map_or_else(String::new, |names| {
        format!(" ({names} had numbers that are not finite from the start, which may be the reason)")
    });
    let (what, value, cause) = match first_non_finite(output)? {
        Some(found) => (
            format!("the network's output for {}", place(output_rows, &found, None)),
            found.value,
            format!(
                "the inputs are finite and nothing has been trained yet, so an operation of the network is \
                 undefined for them (such as 0 / 0 or ln 0) or overflows {}{constants}",
                output.dtype().as_str()
            ),
        ),
        None => {
            let cause = match custom {
                Some(name) => format!("the loss {name:?} is not defined for them, or overflows"),
                None => {
                    "the numbers are too large for the loss; standardize the inputs and the targets".into()
                }
            };
            let known = "inputs, targets and outputs are finite and nothing has been trained yet, so";
            ("the loss".into(), loss, format!("{known} {cause}"))
        }
    };
    Err(run.not_finite(what, value, when, cause))
}

/// Checks that the inputs and the targets of a batch are finite. `rows` are the numbers of its rows.
pub(super) fn check_data(run: &Run<'_>, batch: &Batch, rows: &[u32], when: &str) -> Result<()> {
    let targets = ("targets".to_string(), &batch.targets, None);
    let features = run.spec().features.as_deref();
    let inputs = batch.inputs.names().zip(batch.inputs.tensors());
    let inputs = inputs.map(|(name, tensor)| (name, tensor, features));
    for (name, tensor, columns) in inputs.chain([targets]) {
        if let Some(found) = first_non_finite(tensor)? {
            let what = format!("{name}, {}", place(rows, &found, columns));
            let cause = "the data set returned it; replace it, or leave the row out";
            return Err(run.not_finite(what, found.value, when, cause));
        }
    }
    Ok(())
}

/// The row of the data set and the column of a number in a batch. `columns` are the columns that the batch
/// has, if it has not all of them.
fn place(rows: &[u32], found: &NonFinite, columns: Option<&[u32]>) -> String {
    let number = |of: Option<&[u32]>, at: usize| of.and_then(|of| of.get(at)).map_or(at, |n| *n as usize);
    match found.position.as_slice() {
        [] => "all rows".into(),
        [row, column] => values::place(number(Some(rows), *row), &[number(columns, *column)]),
        [row, within @ ..] => values::place(number(Some(rows), *row), within),
    }
}
