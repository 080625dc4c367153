//! The gradients of a layer with weights.

/// Which gradients are computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) x: bool,
    pub(crate) weight: bool,
    pub(crate) bias: bool,
}

/// The gradients of the inputs, the weights and the bias that are wanted.
#[derive(Debug)]
pub(crate) struct Gradients<T> {
    pub(crate) x: Option<Vec<T>>,
    pub(crate) weight: Option<Vec<T>>,
    pub(crate) bias: Option<Vec<T>>,
}
