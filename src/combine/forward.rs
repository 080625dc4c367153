//! Methods of [`FittedCombiner`](crate::combine::FittedCombiner) that a wrapper passes on to the combiner
//! that it wraps.

/// Implements the listed methods of `FittedCombiner` by calling them on the wrapped combiner. The first
/// argument is a path to a function that takes `&self` and returns a reference to the wrapped combiner.
///
/// ```text
/// impl<F: FittedCombiner> FittedCombiner for Named<F> {
///     forward!(Self::combiner; scale, is_mean, weights, fitted, fitted_on, needs_inputs, check, combine);
///
///     fn name(&self) -> String {
///         self.name.clone()
///     }
/// }
/// ```
macro_rules! forward {
    ($inner:path; $($method:ident),+ $(,)?) => {
        $($crate::combine::forward!(@$method $inner);)+
    };
    (@name $inner:path) => {
        fn name(&self) -> String {
            $inner(self).name()
        }
    };
    (@scale $inner:path) => {
        fn scale(&self) -> $crate::network::Scale {
            $inner(self).scale()
        }
    };
    (@is_mean $inner:path) => {
        fn is_mean(&self) -> bool {
            $inner(self).is_mean()
        }
    };
    (@weights $inner:path) => {
        fn weights(&self) -> Option<&[f64]> {
            $inner(self).weights()
        }
    };
    (@fitted $inner:path) => {
        fn fitted(&self) -> Option<&$crate::combine::Fit> {
            $inner(self).fitted()
        }
    };
    (@fitted_on $inner:path) => {
        fn fitted_on(&self) -> Option<&$crate::combine::FittedOn> {
            $inner(self).fitted_on()
        }
    };
    (@needs_inputs $inner:path) => {
        fn needs_inputs(&self) -> bool {
            $inner(self).needs_inputs()
        }
    };
    (@check $inner:path) => {
        fn check(&self) -> $crate::Result<()> {
            $inner(self).check()
        }
    };
    (@combine $inner:path) => {
        fn combine(
            &self,
            predictions: &$crate::predictions::Predictions,
        ) -> candle_core::Result<candle_core::Tensor> {
            $inner(self).combine(predictions)
        }
    };
}

pub(crate) use forward;
