//! Running a loop with the widest vector instructions that the processor has.

/// Runs `work`, compiled for the widest vectors of this processor.
///
/// Wider vectors do not change results: the loops neither fuse multiplications with additions nor change the
/// order of sums. Mark every closure within `work` with `#[inline(always)]`, or it is compiled for the
/// narrowest vectors. `work` is called by reference, because the shim that calls a closure by value is a
/// function of its own, which the attribute does not reach.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnMut() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Work<F> {
        type Output = R;

        #[inline(always)]
        fn call(mut self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}
