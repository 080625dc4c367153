//! Numbers as bytes and bytes as numbers, without a copy, in the processor's own order.
use pulp::bytemuck::{cast_slice, try_cast_slice, Pod};

/// The bytes of these numbers.
pub(crate) fn bytes_of<T: Pod>(numbers: &[T]) -> &[u8] {
    cast_slice(numbers)
}

/// These bytes as numbers; `None` unless they begin where a number may begin and are a whole number of them.
pub(crate) fn numbers_of<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
    try_cast_slice(bytes).ok()
}
