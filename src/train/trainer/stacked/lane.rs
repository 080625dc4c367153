//! One of several trainings side by side.
use crate::{
    nn::tap::Observed,
    observe::Flow,
    train::{
        trainer::{course::Course, training::ReadyStep},
        Finished, Run,
    },
    weights::compatibility::is_statistic,
    Error, Network, Result,
};
use candle_core::{backprop::GradStore, Tensor, Var};

/// One of the trainings, with its run and the step that it is at.
pub(super) struct Lane<'t, 'a, N> {
    /// The number of the run, for whoever is told of its end.
    number: usize,
    /// The number of the member in the stack.
    pub(super) member: usize,
    pub(super) run: Run<'a>,
    pub(super) course: Course<'t, 'a, N>,
    /// The step that is ready for the passes.
    step: Option<ReadyStep>,
    /// How the training has ended.
    ended: Option<Result<()>>,
    /// The variables that a forward pass may change: statistics, and the integers of layers that draw random numbers.
    pub(super) state: Vec<Var>,
    /// Whether the observer has been told that the run is trained side by side with others.
    pub(super) is_announced: bool,
}

impl<'t, 'a, N: Network> Lane<'t, 'a, N> {
    /// A training that has started. `number` is that of the run, `member` that of the member in the stack.
    pub(super) fn new((number, member): (usize, usize), run: Run<'a>, course: Course<'t, 'a, N>) -> Self {
        let changes = |(name, var): &(String, Var)| is_statistic(name) || !var.dtype().is_float();
        let state = run.vars().named().into_iter().filter(changes).map(|(_, var)| var).collect();
        Self { number, member, run, course, step: None, ended: None, state, is_announced: false }
    }

    /// Makes the next step ready, or ends.
    pub(super) fn take_step(&mut self) {
        match self.course.next_step(&mut self.run) {
            Ok(Some(step)) => self.step = Some(step),
            Ok(None) => self.ended = Some(Ok(())),
            Err(e) => self.fail(e),
        }
    }

    /// The step that is ready.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn step(&self) -> Result<&ReadyStep> {
        self.step.as_ref().ok_or_else(no_step)
    }

    /// Passes and completes the step, without the others.
    pub(super) fn train_alone(&mut self) {
        let trained = self.step.take().ok_or_else(no_step);
        if let Err(e) = trained.and_then(|step| self.course.train(&self.run, step)) {
            self.fail(e);
        }
    }

    /// Completes the step with what its passes gave.
    pub(super) fn complete(&mut self, passed: (&Tensor, f64, &[Observed]), gradients: &mut GradStore) {
        let step = self.step.take().ok_or_else(no_step);
        if let Err(e) = step.and_then(|step| self.course.complete(&self.run, step, passed, gradients)) {
            self.fail(e);
        }
    }

    /// Takes all steps that are left.
    pub(super) fn train_to_end(&mut self) {
        self.ended = Some(self.course.train_to_end(&mut self.run));
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.step = None;
        self.ended = Some(Err(error));
    }

    /// Ends the training if its step has not been taken.
    pub(super) fn fail_step(&mut self, error: &Error) {
        if self.step.is_some() {
            self.fail(candle_core::Error::Msg(error.to_string()).into());
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Ends the training as one that was cancelled.
    pub(super) fn cancel(&mut self) {
        self.fail(Error::Cancelled { done: 0, of: 0 });
    }

    /// Hands the run back. Returns whether the others go on.
    pub(super) fn finish(self, finished: &mut Finished<'_, 'a>) -> Flow {
        let Self { number, mut run, course, ended, .. } = self;
        let outcome = ended.unwrap_or(Ok(())).and_then(|()| course.finish(&run));
        let outcome = outcome.map_err(|e| run.fail(e));
        finished(number, run, outcome)
    }
}

fn no_step() -> Error {
    Error::invalid("the training of a member", "at a step", "between two")
}
