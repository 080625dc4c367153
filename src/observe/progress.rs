//! A progress bar (feature `progress`).
use crate::observe::{Event, Flow, Observer};
use indicatif::ProgressStyle;
use std::sync::atomic::{AtomicBool, Ordering};

/// A progress bar over the epochs of a build, on standard error. It is drawn on terminals only.
///
/// ```no_run
/// use candle_ensemble::ProgressBar;
///
/// let bar = ProgressBar::new(1); // for one build
/// // Session::new(&learner, &data).observer(&bar).train(&plan)?;
/// ```
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    builds: u64,
    has_length: AtomicBool,
}

impl ProgressBar {
    /// A bar for `builds` builds of about the same length, such as the repeats of a study.
    #[must_use]
    pub fn new(builds: usize) -> Self {
        let bar = indicatif::ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(
            "{spinner} {bar:32} {percent:>3} %  epoch {human_pos} of {human_len}  {elapsed} (left: {eta})  {msg}",
        ) {
            bar.set_style(style);
        }
        Self { bar, builds: builds.max(1) as u64, has_length: AtomicBool::new(false) }
    }

    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for ProgressBar {
    fn notify(&self, event: &Event<'_>) -> Flow {
        match event {
            Event::BuildStarted { epochs, .. } if !self.has_length.swap(true, Ordering::Relaxed) => {
                self.bar.set_length(*epochs as u64 * self.builds);
            }
            Event::EpochEnded { record, .. } => {
                self.bar.inc(1);
                self.bar.set_message(format!("loss {:.4}", record.train_loss));
            }
            Event::Resumed { epoch, .. } => self.bar.inc(*epoch as u64),
            Event::RunFinished { epochs, planned, .. } => {
                self.bar.inc(planned.saturating_sub(*epochs) as u64)
            }
            _ => {}
        }
        Flow::Continue
    }
}
