//! How far the trainings of one step are.
use candle_ensemble::{
    observe::{Event, Flow, Observer},
    ProgressBar,
};
use std::sync::{Mutex, PoisonError};

/// A progress bar for each build, which is removed when the build ends.
#[derive(Default)]
pub struct Progress(Mutex<Option<ProgressBar>>);

impl Progress {
    /// Removes the bar from the terminal, before something is printed.
    pub fn clear(&self) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.clear();
        }
    }
}

impl Observer for Progress {
    fn notify(&self, event: &Event<'_>) -> Flow {
        if matches!(event, Event::BuildFinished) {
            self.clear();
            return Flow::Continue;
        }
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bar.get_or_insert_with(|| ProgressBar::new(1)).notify(event)
    }
}
