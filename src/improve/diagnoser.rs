//! What finds problems in the trainings of a setup.
use crate::{
    diagnose::{Finding, Observations},
    Result,
};

/// Finds what is wrong with a setup, from what its trainings show.
///
/// The default of [`Improve`](crate::improve::Improve) is [`Diagnose`](crate::diagnose::Diagnose) with all
/// rules. Implement the trait to diagnose by something else.
pub trait Diagnoser {
    /// The findings, the likeliest first. A finding whose problem is
    /// [`Problem::None`](crate::diagnose::Problem::None) says that nothing is wrong; findings after it are
    /// not treated.
    ///
    /// # Errors
    /// When what is known cannot be evaluated.
    fn diagnose(&self, seen: Observations<'_>) -> Result<Vec<Finding>>;
}

/// A function is a diagnoser.
impl<F: Fn(Observations<'_>) -> Result<Vec<Finding>>> Diagnoser for F {
    fn diagnose(&self, seen: Observations<'_>) -> Result<Vec<Finding>> {
        self(seen)
    }
}
