//! Networks that fail because their inputs are floats of another type.
use crate::{data::Inputs, Error};
use candle_core::{DType, Error as CandleError};

/// The error of a network whose variables have this type. If it failed because the inputs are floats of another type, the
/// error names them and what to do; otherwise it is the error as it is.
pub(crate) fn name_inputs(e: CandleError, inputs: &Inputs, dtype: DType) -> CandleError {
    let other = inputs.tensors().iter().map(|tensor| tensor.dtype()).find(|of| of.is_float() && *of != dtype);
    match other.filter(|_| is_mismatch(&e)) {
        Some(other) => {
            let must = format!(
                "{}, as the network's variables are (Tensor::to_dtype converts inputs, Trainer::dtype the variables)",
                dtype.as_str()
            );
            Error::invalid("the type of the inputs", must, other.as_str()).into()
        }
        None => e,
    }
}

fn is_mismatch(e: &CandleError) -> bool {
    match e {
        CandleError::DTypeMismatchBinaryOp { .. } | CandleError::UnexpectedDType { .. } => true,
        CandleError::WithBacktrace { inner, .. } | CandleError::Context { inner, .. } => is_mismatch(inner),
        _ => false,
    }
}
