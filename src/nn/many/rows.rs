//! Which rows belong to which member.
use candle_core::{bail, Result, Shape};

/// How the rows of a layer's inputs belong to the members. Those of its outputs are `(M·B, …)`, the rows of one member after
/// those of the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::nn) struct Rows {
    /// The number of members.
    pub(in crate::nn) members: usize,
    /// Whether the inputs are `(B, …)`, the same for all members, and not `(M·B, …)`.
    pub(in crate::nn) shared: bool,
}

impl Rows {
    /// How many of these rows each member has.
    pub(super) fn of_each(self, rows: usize) -> Result<usize> {
        match (self.shared, rows.checked_rem(self.members)) {
            (true, _) => Ok(rows),
            (false, Some(0)) => Ok(rows / self.members),
            (false, _) => bail!("{rows} rows cannot be shared by {} members", self.members),
        }
    }

    /// The shape of the outputs of a layer whose outputs have the shape of its inputs, the rows apart.
    pub(super) fn outputs(self, x: &Shape) -> Result<Shape> {
        let mut dims = x.dims().to_vec();
        match dims.first_mut() {
            Some(rows) => *rows = self.of_each(*rows)? * self.members,
            None => bail!("expected rows"),
        }
        Ok(dims.into())
    }

    /// The elements of a member's inputs, of which there are `part`.
    pub(super) fn part<T>(self, x: &[T], member: usize, part: usize) -> Result<&[T]> {
        let start = if self.shared { 0 } else { member * part };
        match x.get(start..start + part) {
            Some(part) => Ok(part),
            None => bail!("no elements of member {member}"),
        }
    }
}

/// The numbers of a member.
pub(super) fn entry<T>(all: &[T], member: usize, size: usize) -> Result<&[T]> {
    match all.get(member * size..(member + 1) * size) {
        Some(entry) => Ok(entry),
        None => bail!("no elements of member {member}"),
    }
}

/// What each layer with a field `rows` has: the number of members, and inputs that they share.
macro_rules! members_of_layer {
    ($layer:ident) => {
        impl $layer {
            /// The number of members: that of the variables, which is below the declared one in a network that was pruned.
            #[must_use]
            pub fn members(&self) -> usize {
                self.rows.members
            }

            /// The same layer for inputs that are rows of a batch, `(B, …)`, the same for all members, in place of `(M·B, …)`:
            /// for the first layer, and behind layers that all members share.
            #[must_use]
            pub fn shared_inputs(self) -> Self {
                self.sharing(true)
            }

            /// Whether the inputs are rows that all members share.
            pub(super) fn sharing(self, shared: bool) -> Self {
                Self { rows: crate::nn::many::rows::Rows { shared, ..self.rows }, ..self }
            }
        }
    };
}

/// What each layer has that can do the work of an activation behind it.
macro_rules! activated_layer {
    ($layer:ident) => {
        impl $layer {
            /// The activation of the outputs, as one operation where that is possible. The result is that of the two layers
            /// one after the other, to the bit.
            ///
            /// # Errors
            /// As for the forward passes of the two layers.
            pub fn forward_then(&self, activation: Activation, x: &Tensor) -> Result<Tensor> {
                self.activated(activation, x, false)
            }
        }
    };
}

/// The constructors of a layer from the sizes of the plain one, by its `of`, which takes these arguments before the others.
macro_rules! constructors_of_layer {
    (
        $layer:ident, ($($argument:ident: $kind:ty),+),
        linear: $linear:literal, conv1d: $conv1d:literal, conv2d: $conv2d:literal $(,)?
    ) => {
        impl $layer {
            #[doc = $linear]
            ///
            /// # Errors
            /// See the type.
            pub fn linear(
                inputs: usize,
                outputs: usize,
                $($argument: $kind,)+
                vb: VarBuilder<'_>,
            ) -> Result<Self> {
                Self::of($($argument,)+ vb, |vb| nn::linear(inputs, outputs, vb))
            }

            #[doc = $conv1d]
            ///
            /// # Errors
            /// See the type.
            pub fn conv1d(
                inputs: usize,
                outputs: usize,
                kernel: usize,
                config: Conv1dConfig,
                $($argument: $kind,)+
                vb: VarBuilder<'_>,
            ) -> Result<Self> {
                Self::of($($argument,)+ vb, |vb| nn::conv1d(inputs, outputs, kernel, config, vb))
            }

            #[doc = $conv2d]
            ///
            /// # Errors
            /// See the type.
            pub fn conv2d(
                inputs: usize,
                outputs: usize,
                kernel: usize,
                config: Conv2dConfig,
                $($argument: $kind,)+
                vb: VarBuilder<'_>,
            ) -> Result<Self> {
                Self::of($($argument,)+ vb, |vb| nn::conv2d(inputs, outputs, kernel, config, vb))
            }
        }
    };
}
pub(super) use {activated_layer, constructors_of_layer, members_of_layer};
