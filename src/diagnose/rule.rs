//! What makes findings.
use crate::{
    diagnose::{Finding, Observations},
    Result,
};

/// A rule that makes findings from what is known about a training.
///
/// The built-in rules are files of their own; a rule of the user's own is added with
/// [`Diagnose::rule`](crate::diagnose::Diagnose::rule).
///
/// ```
/// use candle_ensemble::{diagnose::*, Result};
///
/// /// Finds training losses that are negative.
/// struct NegativeLoss;
///
/// impl Rule for NegativeLoss {
///     fn name(&self) -> &str {
///         "negative_loss"
///     }
///
///     fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
///         let losses = seen.curves.iter().flat_map(|curves| &curves.runs).flat_map(|run| &run.train_loss);
///         let lowest = losses.copied().fold(f64::INFINITY, f64::min);
///         if lowest >= 0. {
///             return Ok(vec![]);
///         }
///         let summary = format!("The training loss falls below zero, to {lowest}.");
///         Ok(vec![Finding::new(self.name(), Problem::Learning, 1., summary, "by definition of this loss")])
///     }
/// }
///
/// let mut run = Curve::default();
/// run.train_loss = vec![1., 0.2, -0.5];
/// let curves = Curves::new(vec![run]);
/// let diagnosis = Diagnose::curves(&curves).rule(Box::new(NegativeLoss)).run()?;
/// assert!(diagnosis.findings.iter().any(|finding| finding.name == "negative_loss"));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Rule: Send + Sync {
    /// The name of what it finds, such as `overfit`.
    fn name(&self) -> &str;

    /// The findings, the strongest evidence of each first. It is empty if nothing was found, or if what the
    /// rule needs is not known.
    ///
    /// # Errors
    /// When what is known cannot be evaluated.
    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>>;

    /// What would have to be known for more, one sentence each.
    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        let _ = seen;
        vec![]
    }
}
